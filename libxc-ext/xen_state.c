/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_state.c - what Xen knows of a guest, to records and back
 */
#include "libxc-ext/xen_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#include "libxc-ext/xen_cpu.h"
#include "libxc-ext/xen_dm.h"

/* Those that a guest can change while it runs: read for each checkpoint. */
static const uint32_t guest_params[] = {
	HVM_PARAM_CALLBACK_IRQ,
	HVM_PARAM_STORE_EVTCHN,
	HVM_PARAM_VM86_TSS,
	HVM_PARAM_CONSOLE_EVTCHN,
	HVM_PARAM_ACPI_IOPORTS_LOCATION,
	HVM_PARAM_VM_GENERATION_ID_ADDR,
	HVM_PARAM_X87_FIP_WIDTH,
	HVM_PARAM_VM86_TSS_SIZED,
};

/* All that describe an HVM or PVH domain, and that dom0 can read and set. */
static const uint32_t all_params[] = {
	HVM_PARAM_CALLBACK_IRQ,
	HVM_PARAM_STORE_PFN,
	HVM_PARAM_STORE_EVTCHN,
	HVM_PARAM_TIMER_MODE,
	HVM_PARAM_HPET_ENABLED,
	HVM_PARAM_IDENT_PT,
	HVM_PARAM_VM86_TSS,
	HVM_PARAM_VPT_ALIGN,
	HVM_PARAM_CONSOLE_PFN,
	HVM_PARAM_CONSOLE_EVTCHN,
	HVM_PARAM_ACPI_IOPORTS_LOCATION,
	HVM_PARAM_PAGING_RING_PFN,
	HVM_PARAM_MONITOR_RING_PFN,
	HVM_PARAM_SHARING_RING_PFN,
	HVM_PARAM_TRIPLE_FAULT_REASON,
	HVM_PARAM_VM_GENERATION_ID_ADDR,
	HVM_PARAM_X87_FIP_WIDTH,
	HVM_PARAM_VM86_TSS_SIZED,
	HVM_PARAM_MCA_CAP,
};

enum { PORTS_FEW = 256 };		/* asked for at first */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int out_of_memory(struct xen_host *h)
{
	return xen_fail(h, errno, "no room for the domain's state: %s",
			strerror(errno));
}

static int add(struct xen_host *h, struct recbuf *out, uint16_t type,
	       uint32_t instance, const void *data, size_t len)
{
	if (recbuf_add(out, type, RECORD_MANDATORY, instance, data, len))
		return out_of_memory(h);
	return 0;
}

/* --- describe ---------------------------------------------------------- */

static int put_params(struct xen_host *h, uint32_t domid,
		      const uint32_t *index, size_t n, struct recbuf *out)
{
	struct xen_rec_param p[COUNT(all_params)];
	size_t used = 0;

	memset(p, 0, sizeof(p));
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 0;

		if (xc_hvm_param_get(h->xch, domid, index[i], &value))
			return xen_fail(h, errno, "domain %u: cannot read HVM "
					"parameter %u: %s", domid, index[i],
					strerror(errno));
		if (!value)
			continue;
		p[used].index = index[i];
		p[used++].value = value;
	}
	return add(h, out, RECORD_XEN_PARAMS, 0, p, used * sizeof(p[0]));
}

static int put_domain(struct xen_host *h, uint32_t domid,
		      const struct xen_p2m *p2m, uint32_t port,
		      struct recbuf *out)
{
	struct xen_rec_domain d = { .domid = domid, .kemari_port = port,
				    .pages = p2m->pages };
	struct gnttab_query_size grants = { .dom = domid };
	uint64_t elapsed, paging = 0;
	uint32_t mode, khz, incarnation;
	xc_domaininfo_t info;

	if (xc_domain_getinfolist(h->xch, domid, 1, &info) != 1 ||
	    info.domain != domid)
		return xen_fail(h, ESRCH, "domain %u is gone", domid);
	if (xc_domain_get_tsc_info(h->xch, domid, &mode, &elapsed, &khz,
				   &incarnation))
		return xen_fail(h, errno, "domain %u: cannot read how its TSC "
				"works: %s", domid, strerror(errno));
	if (xc_get_paging_mempool_size(h->xch, domid, &paging))
		return xen_fail(h, errno, "domain %u: cannot read the size of "
				"its paging memory: %s", domid,
				strerror(errno));
	if (xc_gnttab_query_size(h->xch, &grants) ||
	    grants.status != GNTST_okay)
		return xen_fail(h, EIO, "domain %u: cannot read the size of "
				"its grant table", domid);

	memcpy(d.uuid, info.handle, sizeof(d.uuid));
	d.vcpus = info.max_vcpu_id + 1;
	d.create_flags = XEN_DOMCTL_CDF_hvm;
	if (info.flags & XEN_DOMINF_hap)
		d.create_flags |= XEN_DOMCTL_CDF_hap;
	d.emulation_flags = info.arch_config.emulation_flags;
	d.max_grant_frames = grants.max_nr_frames;
	d.tsc_mode = mode;
	d.tsc_khz = khz;
	d.ssidref = info.ssidref;
	d.max_pages = info.max_pages;
	d.paging_bytes = paging;
	d.shared_info = info.shared_info_frame;
	return add(h, out, RECORD_XEN_DOMAIN, 0, &d, sizeof(d));
}

static int put_ranges(struct xen_host *h, const struct xen_p2m *p2m,
		      struct recbuf *out)
{
	struct xen_rec_range *r;

	r = recbuf_reserve(out, RECORD_XEN_RANGES, RECORD_MANDATORY, 0,
			   p2m->n * sizeof(*r));
	if (!r)
		return out_of_memory(h);
	for (size_t i = 0; i < p2m->n; i++) {
		r[i].first = p2m->range[i].first;
		r[i].count = p2m->range[i].count;
	}
	return 0;
}

/*
 * The ports of a device model, which Xen has the guest's ends of: one for each
 * vCPU and one for buffered requests, allocated at once, before the guest ran.
 */
static int find_dm_ports(struct xen_host *h, uint32_t domid, uint32_t kemari,
			 struct xen_rec_dm *d)
{
	xc_evtchn_status_t s = { .dom = domid };

	for (s.port = 1; s.port < KEMARI_MAX_PORTS; s.port++) {
		if (!xc_evtchn_status(h->xch, &s))
			continue;
		if (errno != EACCES)
			break;
		if (s.port == kemari)
			continue;
		if (!d->ports)
			d->first_port = s.port;
		if (s.port != d->first_port + d->ports++)
			return xen_fail(h, EXDEV, "domain %u: the event "
					"channels of its device model are not "
					"in one piece: port %u", domid,
					s.port);
	}
	return 0;
}

static int put_dm(struct xen_host *h, uint32_t domid, uint32_t kemari,
		  struct recbuf *out)
{
	struct xen_rec_dm d = { 0 };
	pid_t pid = xen_dm_find(h, domid);
	struct dm_args a;

	if (pid < 0)
		return -1;
	if (!pid)
		return 0;
	if (xen_dm_args(h, pid, &a) || find_dm_ports(h, domid, kemari, &d))
		return -1;
	d.memory_mib = a.memory_mib;
	d.kernel = a.kernel;
	return add(h, out, RECORD_XEN_DM, 0, &d, sizeof(d));
}

int xen_state_describe(struct xen_host *h, uint32_t domid,
		       const struct xen_p2m *p2m, uint32_t port,
		       struct recbuf *out)
{
	if (put_domain(h, domid, p2m, port, out) || put_ranges(h, p2m, out) ||
	    xen_cpu_save(h, domid, out) || put_dm(h, domid, port, out))
		return -1;
	return put_params(h, domid, all_params, COUNT(all_params), out);
}

int xen_state_free_port(struct xen_host *h, uint32_t domid, uint32_t *port)
{
	xc_evtchn_status_t s = { .dom = domid };

	/* The highest of those allocated: guests take the lowest free one. */
	*port = 0;
	for (s.port = 1; s.port < KEMARI_MAX_PORTS; s.port++) {
		if (xc_evtchn_status(h->xch, &s)) {
			if (errno == EACCES)	/* Xen has this end */
				continue;
			break;
		}
		if (s.status == EVTCHNSTAT_closed)
			*port = s.port;
	}
	if (*port)
		return 0;
	return xen_fail(h, ENOSPC, "domain %u: none of its %u event-channel "
			"ports is free", domid, s.port);
}

/* --- save -------------------------------------------------------------- */

/* All ports; few guests have many.  Return: to be freed; *@n of them. */
static struct xen_hvm_kemari_evtchn *get_ports(struct xen_host *h,
					       uint32_t domid, uint32_t *n)
{
	struct xen_hvm_kemari_evtchn *e;

	for (uint32_t room = PORTS_FEW;; room = KEMARI_MAX_PORTS) {
		e = calloc(room, sizeof(*e));
		if (!e) {
			out_of_memory(h);
			return NULL;
		}
		*n = room;
		if (xen_hv_get_evtchns(h, domid, 0, e, n)) {
			free(e);
			return NULL;
		}
		if (*n < room || room == KEMARI_MAX_PORTS)
			return e;
		free(e);
	}
}

static int put_ports(struct xen_host *h, uint32_t domid, struct recbuf *out)
{
	struct xen_hvm_kemari_evtchn *e;
	struct xen_hvm_kemari_dom kd;
	struct xen_rec_dom d = { 0 };
	struct xen_rec_port *p;
	uint32_t n;

	if (xen_hv_get_dom(h, domid, &kd))
		return -1;
	e = get_ports(h, domid, &n);
	if (!e)
		return -1;
	while (n > 1 && e[n - 1].state == KEMARI_EVTCHN_FREE)
		n--;
	d.vm_assist = kd.vm_assist;
	d.shared_info = kd.shared_info_gfn;
	d.grant_frames = kd.grant_frames;
	d.ports = n;
	if (add(h, out, RECORD_XEN_DOM, 0, &d, sizeof(d))) {
		free(e);
		return -1;
	}
	p = recbuf_reserve(out, RECORD_XEN_PORTS, RECORD_MANDATORY, 0,
			   n * sizeof(*p));
	for (uint32_t i = 0; p && i < n; i++) {
		p[i].state = e[i].state;
		p[i].remote = e[i].remote;
		p[i].virq = e[i].virq;
		p[i].vcpu = e[i].vcpu;
	}
	free(e);
	return p ? 0 : out_of_memory(h);
}

static int put_vcpu(struct xen_host *h, uint32_t domid, uint32_t vcpu,
		    uint64_t *info, struct recbuf *out)
{
	struct xen_hvm_kemari_vcpu v = { .vcpu = vcpu };
	struct xen_rec_vcpu r = { 0 };

	if (xen_hv_get_vcpu(h, domid, &v))
		return -1;
	r.flags = v.flags;
	r.upcall_vector = v.upcall_vector;
	r.info_gfn = v.info_gfn;
	r.info_offset = v.info_offset;
	r.activity = v.activity;
	r.runstate_area = v.runstate_area;
	r.time_area = v.time_area;
	memcpy(r.runstate_time, v.runstate_time, sizeof(r.runstate_time));
	r.singleshot = v.singleshot;
	r.periodic = v.periodic;
	r.dr6_pending = v.dr6_pending;
	*info = v.info_gfn;
	return add(h, out, RECORD_XEN_VCPU, vcpu, &r, sizeof(r));
}

static int put_pirqs(struct xen_host *h, uint32_t domid, struct recbuf *out)
{
	struct xen_hvm_kemari_pirqs p;
	struct xen_rec_pirqs r;

	if (xen_hv_get_pirqs(h, domid, &p))
		return -1;
	for (uint32_t gsi = 0; gsi < XEN_GSIS_MAX; gsi++)
		r.pirq[gsi] = gsi < p.nr ? p.pirq[gsi] : KEMARI_PIRQ_NONE;
	return add(h, out, RECORD_XEN_PIRQS, 0, &r, sizeof(r));
}

int xen_state_early(struct xen_host *h, uint32_t domid, uint32_t vcpus,
		    bool dm, uint64_t *info, struct recbuf *out)
{
	/* vCPUs, with their timers, first: INV-10. */
	for (uint32_t v = 0; v < vcpus; v++)
		if (put_vcpu(h, domid, v, &info[v], out))
			return -1;
	if ((dm && put_pirqs(h, domid, out)) || put_ports(h, domid, out))
		return -1;
	return put_params(h, domid, guest_params, COUNT(guest_params), out);
}

static int put_grants(struct xen_host *h, uint32_t domid, struct xen_grants *g,
		      struct recbuf *out)
{
	uint64_t gfn[XEN_GRANT_FRAMES_MAX];
	struct xen_hvm_kemari_dom kd;
	struct xen_rec_grant *r;

	if (xen_hv_get_dom(h, domid, &kd) ||
	    xen_grants_map(h, g, domid, kd.grant_frames, false) ||
	    xen_p2m_grant_frames(h, domid, gfn, kd.grant_frames))
		return -1;
	for (uint32_t i = 0; i < kd.grant_frames; i++) {
		r = recbuf_reserve(out, RECORD_XEN_GRANT, RECORD_MANDATORY, i,
				   sizeof(*r));
		if (!r)
			return out_of_memory(h);
		r->gfn = gfn[i];
		memcpy(r->frame, g->base + (size_t)i * PLATFORM_PAGE,
		       PLATFORM_PAGE);
	}
	return 0;
}

static int put_context(struct xen_host *h, uint32_t domid, struct recbuf *out)
{
	struct xen_rec_context *c;
	uint64_t guest_time;
	size_t len, room;
	int rc;

	if (xen_hv_context_size(h, domid, &room))
		return -1;
	c = malloc(sizeof(*c) + room);
	if (!c)
		return out_of_memory(h);
	len = room;
	rc = xen_hv_get_context(h, domid, c->context, &len, &guest_time);
	if (!rc) {
		c->guest_time = guest_time;
		rc = add(h, out, RECORD_XEN_CONTEXT, 0, c, sizeof(*c) + len);
	}
	free(c);
	return rc;
}

int xen_state_late(struct xen_host *h, uint32_t domid, struct xen_grants *g,
		   struct recbuf *out)
{
	if (put_grants(h, domid, g, out))
		return -1;
	return put_context(h, domid, out);
}

/* --- load -------------------------------------------------------------- */

int xen_state_set_params(struct xen_host *h, uint32_t domid,
			 const struct xen_rec_param *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (xc_hvm_param_set(h->xch, domid, p[i].index, p[i].value))
			return xen_fail(h, errno, "domain %u: cannot set HVM "
					"parameter %u to %#llx: %s", domid,
					p[i].index,
					(unsigned long long)p[i].value,
					strerror(errno));
	return 0;
}

static void to_vcpu(const struct xen_rec_vcpu *r, uint32_t vcpu,
		    struct xen_hvm_kemari_vcpu *v)
{
	*v = (struct xen_hvm_kemari_vcpu){
		.vcpu = vcpu,
		.flags = r->flags,
		.info_gfn = r->info_gfn,
		.info_offset = r->info_offset,
		.upcall_vector = r->upcall_vector,
		.runstate_area = r->runstate_area,
		.time_area = r->time_area,
		.singleshot = r->singleshot,
		.periodic = r->periodic,
		.dr6_pending = r->dr6_pending,
		.activity = r->activity,
	};
	memcpy(v->runstate_time, r->runstate_time, sizeof(v->runstate_time));
}

int xen_state_set_places(struct xen_host *h, uint32_t domid,
			 const struct xen_image *i, const struct xen_shape *s)
{
	int some = 0;

	for (uint32_t n = 0; n < s->dom.vcpus; n++) {
		struct xen_hvm_kemari_vcpu now = { .vcpu = n }, v;

		if (xen_hv_get_vcpu(h, domid, &now))
			return -1;
		if (now.info_gfn == i->vcpu[n]->info_gfn &&
		    now.info_offset == i->vcpu[n]->info_offset)
			continue;
		to_vcpu(i->vcpu[n], n, &v);
		if (xen_hv_set_vcpu(h, domid, &v))
			return -1;
		some = 1;
	}
	return some;
}

static int set_ports(struct xen_host *h, uint32_t domid,
		     const struct xen_image *i)
{
	struct xen_hvm_kemari_evtchn *e = calloc(i->dom->ports, sizeof(*e));
	int rc;

	if (!e)
		return out_of_memory(h);
	for (uint32_t n = 0; n < i->dom->ports; n++) {
		e[n].state = i->port[n].state;
		e[n].remote = i->port[n].remote;
		e[n].virq = i->port[n].virq;
		e[n].vcpu = i->port[n].vcpu;
	}
	rc = xen_hv_set_evtchns(h, domid, e, i->dom->ports);
	free(e);
	return rc;
}

static int set_grants(struct xen_host *h, uint32_t domid,
		      const struct xen_image *i, struct xen_grants *g)
{
	uint32_t n = i->dom->grant_frames;
	uint64_t gfn[XEN_GRANT_FRAMES_MAX];

	if (xen_grants_map(h, g, domid, n, true) ||
	    xen_p2m_grant_frames(h, domid, gfn, n))
		return -1;
	for (uint32_t f = 0; f < n; f++) {
		memcpy(g->base + (size_t)f * PLATFORM_PAGE, i->grant[f]->frame,
		       PLATFORM_PAGE);
		if (gfn[f] == i->grant[f]->gfn || i->grant[f]->gfn == ~0ull)
			continue;
		if (xc_domain_add_to_physmap(h->xch, domid,
					     XENMAPSPACE_grant_table, f,
					     i->grant[f]->gfn))
			return xen_fail(h, errno, "domain %u: cannot put grant "
					"frame %u at %#llx: %s", domid, f,
					(unsigned long long)i->grant[f]->gfn,
					strerror(errno));
	}
	return 0;
}

static int set_pirqs(struct xen_host *h, uint32_t domid,
		     const struct xen_image *i)
{
	struct xen_hvm_kemari_pirqs p, now;

	if (!i->pirqs)
		return 0;
	if (xen_hv_get_pirqs(h, domid, &now))
		return -1;
	memset(&p, 0, sizeof(p));
	p.nr = now.nr;
	for (uint32_t gsi = 0; gsi < XEN_GSIS_MAX; gsi++) {
		if (gsi < p.nr)
			p.pirq[gsi] = i->pirqs->pirq[gsi];
		else if (i->pirqs->pirq[gsi] != KEMARI_PIRQ_NONE)
			return xen_fail(h, EXDEV, "domain %u: this host's Xen "
					"gives it %u interrupt lines, it uses "
					"number %u", domid, p.nr, gsi);
	}
	return xen_hv_set_pirqs(h, domid, &p);
}

int xen_state_reserve_ports(struct xen_host *h, uint32_t domid, uint32_t n)
{
	struct xen_hvm_kemari_evtchn *e = calloc(n, sizeof(*e));
	int rc;

	if (!e)
		return out_of_memory(h);
	for (uint32_t port = 1; port < n; port++)
		e[port].state = KEMARI_EVTCHN_UNBOUND;
	rc = xen_hv_set_evtchns(h, domid, e, n);
	free(e);
	return rc;
}

int xen_state_same_dm_ports(struct xen_host *h, uint32_t domid,
			    const struct xen_shape *s)
{
	struct xen_rec_dm d = { 0 };

	if (find_dm_ports(h, domid, s->dom.kemari_port, &d))
		return -1;
	if (d.first_port == s->dm.first_port && d.ports == s->dm.ports)
		return 0;
	return xen_fail(h, EXDEV, "standby domain %u: its device model has %u "
			"event channels from port %u on, the primary's %u "
			"from %u", domid, d.ports, d.first_port, s->dm.ports,
			s->dm.first_port);
}

int xen_state_load_early(struct xen_host *h, uint32_t domid,
			 const struct xen_image *i, struct xen_grants *g)
{
	struct xen_hvm_kemari_dom d = { .vm_assist = i->dom->vm_assist };

	if (xen_state_set_params(h, domid, i->param, i->nparam) ||
	    set_grants(h, domid, i, g) || set_pirqs(h, domid, i) ||
	    set_ports(h, domid, i))
		return -1;
	return xen_hv_set_dom(h, domid, &d);
}

int xen_state_load_late(struct xen_host *h, uint32_t domid,
			const struct xen_image *i, const struct xen_shape *s,
			uint64_t advance)
{
	struct xen_hvm_kemari_vcpu v;

	if (xen_hv_set_context(h, domid, i->context->context, i->context_len,
			       i->context->guest_time, advance))
		return -1;
	/* After the time, in which the timers are. */
	for (uint32_t n = 0; n < s->dom.vcpus; n++) {
		to_vcpu(i->vcpu[n], n, &v);
		if (xen_hv_set_vcpu(h, domid, &v))
			return -1;
	}
	return 0;
}
