/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv-standby.c - HVMOP_kemari: a live guest's state on a standby shell, and
 * the standby's role
 *
 * usage: hv-standby DOMID, a running guest, which runs on afterwards.
 * Tests INV-20, INV-23, INV-24, INV-28 and INV-31.
 */
#include "tests/hv/hv.h"

#include <xen/hvm/save.h>
#include <xen/memory.h>

/* --- state, against a standby shell -------------------------------------- */

#define CONTEXT_MAX	65536u
#define VCPUS_MAX	8u

struct state {
	struct xen_hvm_kemari_evtchn port[KEMARI_MAX_PORTS];
	struct xen_hvm_kemari_vcpu vcpu[VCPUS_MAX];
	struct xen_hvm_kemari_dom dom;
	uint64_t guest_time;
	uint32_t ports, vcpus;
	uint32_t context;
	uint8_t buf[CONTEXT_MAX];
};

static int get_context(uint32_t domid, struct state *s, uint8_t *bounce)
{
	clear();
	if (kemari(domid, KEMARI_CMD_get_context))
		return errno;
	set_xen_guest_handle_raw(t.op->u.context.buffer, bounce);
	if (t.op->u.context.nr > CONTEXT_MAX)
		return E2BIG;
	if (kemari(domid, KEMARI_CMD_get_context))
		return errno;
	s->guest_time = t.op->u.context.guest_time;
	s->context = (uint32_t)t.op->u.context.nr;
	memcpy(s->buf, bounce, s->context);
	return 0;
}

static int get_state(uint32_t domid, struct state *s)
{
	uint8_t *bounce = xencall_alloc_buffer(t.call, CONTEXT_MAX);
	int rc;

	clear();
	t.op->u.evtchns.nr = KEMARI_MAX_PORTS;
	set_xen_guest_handle_raw(t.op->u.evtchns.array, (void *)bounce);
	rc = kemari(domid, KEMARI_CMD_get_evtchn);
	s->ports = t.op->u.evtchns.nr;
	memcpy(s->port, bounce, s->ports * sizeof(s->port[0]));
	clear();
	rc = rc ? rc : kemari(domid, KEMARI_CMD_get_dom);
	s->dom = t.op->u.dom;
	s->vcpus = s->dom.max_vcpus < VCPUS_MAX ? s->dom.max_vcpus : VCPUS_MAX;
	for (uint32_t i = 0; i < s->vcpus && !rc; i++) {
		clear();
		t.op->u.vcpu.vcpu = i;
		rc = kemari(domid, KEMARI_CMD_get_vcpu);
		s->vcpu[i] = t.op->u.vcpu;
	}
	rc = rc ? rc : get_context(domid, s, bounce);
	xencall_free_buffer(t.call, bounce);
	return rc;
}

static int set_context(uint32_t domid, const struct state *s, uint64_t advance)
{
	uint8_t *bounce = xencall_alloc_buffer(t.call, CONTEXT_MAX);
	int rc;

	memcpy(bounce, s->buf, s->context);
	clear();
	t.op->u.context.guest_time = s->guest_time;
	t.op->u.context.advance = advance;
	t.op->u.context.nr = s->context;
	set_xen_guest_handle_raw(t.op->u.context.buffer, bounce);
	rc = kemari(domid, KEMARI_CMD_set_context);
	xencall_free_buffer(t.call, bounce);
	return rc;
}

static int set_ports(uint32_t domid, const struct state *s)
{
	uint8_t *bounce = xencall_alloc_buffer(t.call, CONTEXT_MAX);
	int rc;

	memcpy(bounce, s->port, s->ports * sizeof(s->port[0]));
	clear();
	t.op->u.evtchns.nr = s->ports;
	set_xen_guest_handle_raw(t.op->u.evtchns.array, (void *)bounce);
	rc = kemari(domid, KEMARI_CMD_set_evtchn);
	xencall_free_buffer(t.call, bounce);
	return rc;
}

static int set_state(uint32_t domid, const struct state *s, uint64_t advance)
{
	int rc = set_ports(domid, s);

	clear();
	t.op->u.dom = s->dom;
	rc = rc ? rc : kemari(domid, KEMARI_CMD_set_dom);
	for (uint32_t i = 0; i < s->vcpus && !rc; i++) {
		clear();
		t.op->u.vcpu = s->vcpu[i];
		rc = kemari(domid, KEMARI_CMD_set_vcpu);
	}
	return rc ? rc : set_context(domid, s, advance);
}

/* Records of type @type in a context, after the one at *@off. */
static void *next_record(struct state *s, uint16_t type, uint32_t *off)
{
	while (*off + sizeof(struct hvm_save_descriptor) <= s->context) {
		struct hvm_save_descriptor d;
		uint8_t *body = s->buf + *off + sizeof(d);

		memcpy(&d, s->buf + *off, sizeof(d));
		*off += (uint32_t)sizeof(d) + d.length;
		if (d.typecode == type && *off <= s->context)
			return body;
	}
	return NULL;
}

static uint64_t tsc_of(struct state *s)
{
	uint32_t off = 0;
	void *cpu = next_record(s, HVM_SAVE_CODE(CPU), &off);
	uint64_t tsc = 0;

	if (cpu)
		memcpy(&tsc, (uint8_t *)cpu + offsetof(struct hvm_hw_cpu, tsc),
		       sizeof(tsc));
	return tsc;
}

static uint32_t khz_of(struct state *s)
{
	uint32_t off = 0;
	struct hvm_save_header *h;

	h = next_record(s, HVM_SAVE_CODE(HEADER), &off);
	return h ? h->gtsc_khz : 0;
}

/* CPU registers, TSC aside, are the same. */
static bool same_cpus(struct state *a, struct state *b)
{
	uint32_t off_a = 0, off_b = 0;
	struct hvm_hw_cpu ca, cb;
	void *ra, *rb;

	for (;;) {
		ra = next_record(a, HVM_SAVE_CODE(CPU), &off_a);
		rb = next_record(b, HVM_SAVE_CODE(CPU), &off_b);
		if (!ra || !rb)
			return ra == rb;
		memcpy(&ca, ra, sizeof(ca));
		memcpy(&cb, rb, sizeof(cb));
		ca.tsc = cb.tsc;
		if (memcmp(&ca, &cb, sizeof(ca)))
			return false;
	}
}

static bool same_ports(const struct state *a, const struct state *b)
{
	for (uint32_t i = 0; i < a->ports; i++) {
		struct xen_hvm_kemari_evtchn x = a->port[i], y = b->port[i];

		x.remote_port = y.remote_port;
		x.policy = y.policy;
		x.held = y.held;
		if (x.state == KEMARI_EVTCHN_INTERDOM)
			x.state = KEMARI_EVTCHN_UNBOUND;
		if (memcmp(&x, &y, sizeof(x))) {
			printf("# port %u: state %u/%u vcpu %u/%u virq %u/%u\n",
			       i, x.state, y.state, x.vcpu, y.vcpu, x.virq,
			       y.virq);
			return false;
		}
	}
	return true;
}

/* A domain with the guest's shape that has never run. */
static uint32_t make_shell(const struct state *s)
{
	struct xen_domctl_createdomain cfg = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
		.max_vcpus = s->vcpus,
		.max_evtchn_port = 1023,
		.max_grant_frames = 64,
		.max_maptrack_frames = 1024,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch.emulation_flags = XEN_X86_EMU_LAPIC,
	};
	xen_pfn_t gfn;
	uint32_t domid = 0;

	if (xc_domain_create(t.xch, &domid, &cfg) ||
	    xc_domain_max_vcpus(t.xch, domid, cfg.max_vcpus) ||
	    xc_domain_setmaxmem(t.xch, domid, GUEST_PAGES * 4 + 4096) ||
	    xc_set_paging_mempool_size(t.xch, domid, 16u << 20))
		return 0;
	for (gfn = 0; gfn < GUEST_PAGES; gfn += 512)
		if (xc_domain_populate_physmap_exact(t.xch, domid, 1, 9, 0,
						     &gfn))
			return 0;
	if (xc_domain_add_to_physmap(t.xch, domid, XENMAPSPACE_shared_info, 0,
				     s->dom.shared_info_gfn))
		return 0;
	return domid;
}

static bool running(uint32_t domid)
{
	xc_domaininfo_t info;
	uint64_t before;

	if (xc_domain_getinfolist(t.xch, domid, 1, &info) != 1)
		return false;
	before = info.cpu_time;
	usleep(300000);
	xc_domain_getinfolist(t.xch, domid, 1, &info);
	return info.cpu_time != before;
}

static uint64_t free_pages(void)
{
	xc_physinfo_t info;

	return xc_physinfo(t.xch, &info) ? 0 :
	       info.free_pages + info.scrub_pages;
}

static bool wait_gone(uint32_t domid)
{
	time_t end = time(NULL) + PATIENCE_S;
	xc_domaininfo_t info;

	while (xc_domain_getinfolist(t.xch, domid, 1, &info) == 1 &&
	       info.domain == domid) {
		if (time(NULL) > end)
			return false;
		usleep(50000);
	}
	return true;
}

static void test_bad_sets(uint32_t shell, struct state *s)
{
	struct xen_hvm_kemari_vcpu *v = &t.op->u.vcpu;
	uint8_t saved = s->buf[0];

	clear();
	*v = s->vcpu[0];
	v->vcpu = 77;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "set vCPU 77");
	*v = s->vcpu[0];
	v->flags |= 0x8000;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "unknown vCPU flag");
	*v = s->vcpu[0];
	v->upcall_vector = 3;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "upcall vector 3");
	*v = s->vcpu[0];
	v->periodic = 17;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "period of 17 ns");
	*v = s->vcpu[0];
	v->singleshot = 1ull << 63;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "timer in 290 years");
	*v = s->vcpu[0];
	v->runstate_area = 0x800000000000ull;
	expect(EINVAL, shell, KEMARI_CMD_set_vcpu, "area not canonical");
	*v = s->vcpu[0];
	v->info_gfn++;
	expect(EBUSY, shell, KEMARI_CMD_set_vcpu, "vcpu_info moves");
	clear();
	t.op->u.dom.vm_assist = 1ull << 60;
	expect(EINVAL, shell, KEMARI_CMD_set_dom, "unknown vm_assist");
	clear();
	t.op->u.evtchns.first = KEMARI_MAX_PORTS - 1;
	t.op->u.evtchns.nr = 2;
	expect(EINVAL, shell, KEMARI_CMD_set_evtchn, "ports past the last");
	clear();
	t.op->u.context.nr = KEMARI_MAX_CONTEXT + 1;
	expect(EINVAL, shell, KEMARI_CMD_set_context, "context of over 1 MiB");
	s->buf[0] = 0xee;
	check(set_context(shell, s, 0) == ENODATA, "damaged context: ENODATA");
	s->buf[0] = saved;
	s->context -= 8;
	check(set_context(shell, s, 0) == EINVAL, "short context: EINVAL");
	s->context += 8;
	expect(EINVAL, shell, KEMARI_CMD_pause, "pause of a standby");
}

static int pirqs(uint32_t shell, uint32_t cmd, uint32_t gsi, uint16_t pirq,
		 uint32_t gsi2, uint16_t pirq2)
{
	struct xen_hvm_kemari_pirqs *p = &t.op->u.pirqs;

	clear();
	p->nr = 48;
	memset(p->pirq, 0xff, sizeof(p->pirq));
	p->pirq[gsi] = pirq;
	p->pirq[gsi2] = pirq2;
	return kemari(shell, cmd);
}

/* One port, bound to @pirq. */
static int bind_pirq(uint32_t shell, uint32_t port, uint16_t pirq)
{
	struct xen_hvm_kemari_evtchn *e = xencall_alloc_buffer(t.call,
							       sizeof(*e));
	int rc;

	clear();
	memset(e, 0, sizeof(*e));
	e->state = pirq ? KEMARI_EVTCHN_PIRQ : KEMARI_EVTCHN_FREE;
	e->virq = pirq;
	t.op->u.evtchns.first = port;
	t.op->u.evtchns.nr = 1;
	set_xen_guest_handle_raw(t.op->u.evtchns.array, e);
	rc = kemari(shell, KEMARI_CMD_set_evtchn);
	xencall_free_buffer(t.call, e);
	return rc;
}

/* An interrupt line as an event channel, as HVM guests have it. */
static void test_pirqs(uint32_t shell)
{
	const struct xen_hvm_kemari_pirqs *p = &t.op->u.pirqs;
	const uint32_t port = 50;

	check(bind_pirq(shell, port, 16) == ENODEV,
	      "a port of a pirq that stands for no line: ENODEV");
	check(!pirqs(shell, KEMARI_CMD_set_pirqs, 9, 16, 12, 17),
	      "pirqs 16 and 17 stand for lines 9 and 12");
	clear();
	check(!kemari(shell, KEMARI_CMD_get_pirqs) && p->nr == 48 &&
	      p->pirq[9] == 16 && p->pirq[12] == 17 &&
	      p->pirq[8] == KEMARI_PIRQ_NONE, "read back");
	check(!bind_pirq(shell, port, 16) && !bind_pirq(shell, port, 16),
	      "a port of pirq 16, twice");
	check(bind_pirq(shell, port - 1, 16) == EEXIST,
	      "another one of it: EEXIST");
	check(!pirqs(shell, KEMARI_CMD_set_pirqs, 9, 17, 12, 16) &&
	      !bind_pirq(shell, port, 17), "lines and port are exchanged");
	check(!bind_pirq(shell, port, 0) &&
	      !pirqs(shell, KEMARI_CMD_set_pirqs, 0, KEMARI_PIRQ_NONE, 1,
		     KEMARI_PIRQ_NONE), "none stands for anything");
	check(pirqs(shell, KEMARI_CMD_set_pirqs, 9, 16, 10, 16) == EINVAL,
	      "one pirq for two lines: EINVAL");
	check(pirqs(shell, KEMARI_CMD_set_pirqs, 9, 0xfffe, 10, 17) == EINVAL,
	      "a pirq past the last: EINVAL");
	clear();
	t.op->u.pirqs.nr = KEMARI_MAX_GSIS + 1;
	expect(EINVAL, shell, KEMARI_CMD_set_pirqs, "more lines than there are");
}

static void test_activate(uint32_t shell, uint32_t port)
{
	check(!disable(shell, KEMARI_DISABLE_STANDBY) && !running(shell),
	      "a disabled standby does not run either");
	check(enable(shell, KEMARI_ROLE_PRIMARY, 0, 0) == EBUSY,
	      "it cannot be a primary: EBUSY");
	check(!enable(shell, KEMARI_ROLE_STANDBY, 0, port),
	      "it can be a standby again");
	clear();
	t.op->u.activate.generation = 1;
	t.op->u.activate.new_generation = 1;
	expect(EINVAL, shell, KEMARI_CMD_activate, "activate, same generation");
	t.op->u.activate.generation = 2;
	t.op->u.activate.new_generation = 3;
	expect(ESTALE, shell, KEMARI_CMD_activate, "activate, generation 2");

	/* Its memory is empty: it must not run now, but only the tools say so. */
	check(!xc_domain_pause(t.xch, shell), "xl pause");
	t.op->u.activate.generation = 1;
	t.op->u.activate.new_generation = 2;
	expect(0, shell, KEMARI_CMD_activate, "activate");
	check(query(shell)->role == KEMARI_ROLE_NONE && !running(shell) &&
	      t.op->u.query.generation == 2, "an ordinary domain, still paused by xl");
	check(enable(shell, KEMARI_ROLE_PRIMARY, 0, 0) == ESTALE,
	      "enable with the old generation: ESTALE");
}

static void test_standby(void)
{
	struct state *s = calloc(1, sizeof(*s)), *back = calloc(1, sizeof(*s));
	const uint64_t advance = 5000000000ull;
	int64_t clock_ns, tsc_ns;
	uint32_t shell, port;
	uint64_t time1, tsc1, pages, left;
	int rc;

	/* Not stopped by what it prints meanwhile. */
	enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0);
	port = t.op->u.enable.port;
	clear();
	expect(EAGAIN, t.domid, KEMARI_CMD_get_vcpu, "state of a running guest");
	epoch_op(KEMARI_CMD_pause, 0, 0);
	rc = get_state(t.domid, s);
	check(!rc, "read the guest's state: %u ports, %u vCPUs, context of %u "
	      "bytes", s->ports, s->vcpus, s->context);
	expect(EINVAL, t.domid, KEMARI_CMD_set_dom, "set state of a primary");
	check(port < s->ports && s->port[port].state == KEMARI_EVTCHN_XEN,
	      "the controller's port %u is in the table", port);
	disable(t.domid, 0);

	pages = free_pages();
	shell = make_shell(s);
	if (!check(shell, "create a shell, domain %u", shell))
		return;
	check(!enable(shell, KEMARI_ROLE_STANDBY, 0, port) &&
	      t.op->u.enable.port == port, "standby with the same port");
	check(disable(shell, 0) == EBUSY, "plain disable of a standby: EBUSY");
	check(!set_state(shell, s, advance), "set the guest's state on it");
	check(!get_state(shell, back), "read it back");
	check(same_ports(s, back), "same event channels");
	check(!memcmp(s->vcpu, back->vcpu, sizeof(s->vcpu)), "same vCPU state");
	check(s->dom.vm_assist == back->dom.vm_assist &&
	      s->dom.shared_info_gfn == back->dom.shared_info_gfn &&
	      s->dom.max_vcpus == back->dom.max_vcpus, "same domain state");
	check(same_cpus(s, back), "same registers");
	check(back->guest_time >= s->guest_time + advance &&
	      back->guest_time < s->guest_time + 2 * advance,
	      "guest time went on by the advance");

	time1 = back->guest_time;
	tsc1 = tsc_of(back);
	check(!get_state(shell, back), "read it again");
	clock_ns = (int64_t)(back->guest_time - time1);
	tsc_ns = (int64_t)((tsc_of(back) - tsc1) * 1000000.0 / khz_of(back));
	check(clock_ns > 0 && llabs(clock_ns - tsc_ns) < 20000,
	      "clock and TSC went on together: %" PRId64 " ns, %" PRId64 " ns",
	      clock_ns, tsc_ns);
	clock_ns = (int64_t)(time1 - s->guest_time);
	tsc_ns = (int64_t)((tsc1 - tsc_of(s)) * 1000000.0 / khz_of(s));
	check(llabs(clock_ns - tsc_ns) < 20000,
	      "... and since the guest was read: %" PRId64 " ns, %" PRId64
	      " ns", clock_ns, tsc_ns);
	test_bad_sets(shell, s);
	test_pirqs(shell);
	check(!set_state(shell, s, 0) && !set_state(shell, s, advance),
	      "set it twice more");
	check(query(shell)->role == KEMARI_ROLE_STANDBY &&
	      t.op->u.query.port == port, "a standby still");

	check(!xc_domain_unpause(t.xch, shell), "xl unpause of the standby");
	check(!running(shell) && query(shell)->role == KEMARI_ROLE_STANDBY,
	      "... and it does not run");
	test_activate(shell, port);
	check(!xc_domain_destroy(t.xch, shell) && wait_gone(shell),
	      "destroy the standby");
	left = free_pages();
	check(left + 64 >= pages, "its memory is free again: %" PRIu64
	      " pages before, %" PRIu64 " after", pages, left);
	free(s);
	free(back);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: hv-standby DOMID\n");
		return 2;
	}
	if (!open_all(argv[1]))
		return 1;
	test_standby();
	return verdict();
}
