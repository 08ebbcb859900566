/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv-test.c - HVMOP_kemari against a live guest: tap, epochs, dirty pages, end
 *
 * usage: hv-test DOMID LOG.  The guest runs tests/guest/hvload.c, LOG is what
 * it prints: a line every 50 ms, dirtying pages all the time.  At the end it
 * is crashed and destroyed.  Tests INV-3, INV-5, INV-7, INV-11, INV-14, INV-16,
 * INV-28 and INV-31.
 */
#include "tests/hv/hv.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include <xenstore.h>

#define ENABLES		1000
#define ROOM		(LIMIT + 16384)	/* the limit and Xen's reserve */

/* --- calls that must fail ------------------------------------------------ */

static void test_bad_calls(void)
{
	int got;

	clear();
	got = xencall2(t.call, __HYPERVISOR_hvm_op, HVMOP_kemari + 1,
		       (uintptr_t)t.op) < 0 ? errno : 0;
	check(got == ENOSYS, "an operation this Xen does not know: ENOSYS");

	t.op->version = KEMARI_VERSION + 1;
	t.op->cmd = KEMARI_CMD_query;
	got = xencall2(t.call, __HYPERVISOR_hvm_op, HVMOP_kemari,
		       (uintptr_t)t.op) < 0 ? errno : 0;
	check(got == EPROTO && t.op->version == KEMARI_VERSION,
	      "another version: EPROTO, and the version spoken");

	expect(EINVAL, t.domid, 0, "command 0");
	expect(EINVAL, t.domid, KEMARI_CMD_set_pirqs + 1, "command past the last");
	expect(ESRCH, 0x7000, KEMARI_CMD_query, "no such domain");
	expect(EPERM, 0, KEMARI_CMD_query, "dom0 itself");
	expect(0, t.domid, KEMARI_CMD_query, "query of an unprotected domain");
	check(query(t.domid)->role == KEMARI_ROLE_NONE &&
	      !t.op->u.query.running && !t.op->u.query.nr_ports,
	      "role none, all but its generation zero");
	expect(ENOENT, t.domid, KEMARI_CMD_pause, "pause while not enabled");

	clear();
	expect(EINVAL, t.domid, KEMARI_CMD_enable, "enable without generation");
	check(enable(t.domid, 3, 0, 0) == EINVAL, "enable of role 3: EINVAL");
	check(enable(t.domid, KEMARI_ROLE_PRIMARY, 2, 0) == EINVAL,
	      "enable of mode 2: EINVAL");
	check(enable(t.domid, KEMARI_ROLE_PRIMARY, 0, KEMARI_MAX_PORTS) ==
	      EINVAL, "enable with a port past the last: EINVAL");
	check(enable(t.domid, KEMARI_ROLE_PRIMARY, 0, console_port()) ==
	      EADDRINUSE, "enable with the console's port: EADDRINUSE");
	check(enable(t.domid, KEMARI_ROLE_STANDBY, 0, 0) == EXDEV,
	      "standby role for a guest that has run: EXDEV");

	clear();
	expect(0, t.domid, KEMARI_CMD_eligible, "eligible");
	check(!t.op->u.eligible.reasons, "the guest is eligible: reasons %#x",
	      t.op->u.eligible.reasons);
}

/* --- enable and disable -------------------------------------------------- */

static void test_enable(void)
{
	xc_physinfo_t before, after;
	uint32_t first = 0;
	int i, rc = 0;

	check(!enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0),
	      "enable");
	first = t.op->u.enable.port;
	check(first > 8, "the controller's port %u is not among the low ones",
	      first);
	check(enable(t.domid, KEMARI_ROLE_PRIMARY, 0, 0) == EBUSY,
	      "enable twice: EBUSY");
	clear();
	t.op->u.disable.generation = 2;
	expect(ESTALE, t.domid, KEMARI_CMD_disable, "disable, generation 2");
	check(!disable(t.domid, 0), "disable");

	xc_physinfo(t.xch, &before);
	for (i = 0; i < ENABLES && !rc; i++) {
		rc = enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_PAUSE, 0);
		if (!rc && t.op->u.enable.port != first)
			rc = -1;
		if (!rc)
			rc = disable(t.domid, 0);
	}
	xc_physinfo(t.xch, &after);
	check(!rc, "enabled and disabled %d times, always port %u (rc %d)", i,
	      first, rc);
	/* Each leaked list would cost pages by the thousand. */
	check(after.free_pages + after.scrub_pages + 64 >=
	      before.free_pages + before.scrub_pages,
	      "no memory lost: %" PRIu64 " pages free before, %" PRIu64 " after",
	      before.free_pages, after.free_pages);
}

/* --- tap and epochs ------------------------------------------------------ */

/* The console port's entry in the event-channel table. */
static bool console_state(struct xen_hvm_kemari_evtchn *e)
{
	struct xen_hvm_kemari_evtchn *buf;

	buf = xencall_alloc_buffer(t.call, sizeof(*buf));
	clear();
	t.op->u.evtchns.first = console_port();
	t.op->u.evtchns.nr = 1;
	set_xen_guest_handle_raw(t.op->u.evtchns.array, buf);
	if (kemari(t.domid, KEMARI_CMD_get_evtchn) || t.op->u.evtchns.nr != 1)
		return false;
	*e = *buf;
	xencall_free_buffer(t.call, buf);
	return true;
}

static void test_tap(void)
{
	struct xen_hvm_kemari_evtchn e = { 0 };
	xenevtchn_port_or_error_t local;
	uint32_t port;

	check(!enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_PAUSE, 0),
	      "enable, pause at tap");
	port = t.op->u.enable.port;
	local = xenevtchn_bind_interdomain(t.evtchn, t.domid, port);
	check(local >= 0, "bind the controller's port %u", port);

	check(wait_flags(KEMARI_QF_PAUSED), "a console line stops the guest");
	check(query(t.domid)->held_running == 1 && t.op->u.query.taps >= 1 &&
	      t.op->u.query.running == 1 && !t.op->u.query.captured,
	      "one port holds a send, in epoch 1");
	check(poll(&(struct pollfd){ .fd = xenevtchn_fd(t.evtchn),
				     .events = POLLIN }, 1,
		   PATIENCE_S * 1000) == 1 &&
	      xenevtchn_pending(t.evtchn) == local,
	      "the controller was notified");
	xenevtchn_unmask(t.evtchn, (evtchn_port_t)local);
	check(console_state(&e) && e.state == KEMARI_EVTCHN_INTERDOM &&
	      e.held == 1 && e.policy == KEMARI_POLICY_DRAIN,
	      "it is the console's, policy drain");

	check(deliver(1, console_port()) == EINVAL,
	      "deliver of a port that is to be drained: EINVAL");
	check(deliver(2, console_port()) == ESTALE, "deliver, generation 2: ESTALE");
	check(deliver(1, KEMARI_MAX_PORTS) == EINVAL, "deliver, no such port: EINVAL");
	check(query(t.domid)->held_running == 1, "it is held still");
	check(!set_policy(console_port(), KEMARI_POLICY_HOLD) &&
	      !deliver(1, console_port()) && !query(t.domid)->held_running &&
	      t.op->u.query.flags & KEMARI_QF_PAUSED,
	      "with policy hold it leaves at once; the guest stays stopped");
	check(deliver(1, console_port()) == EALREADY, "again: EALREADY");
	check(!set_policy(console_port(), KEMARI_POLICY_DRAIN) &&
	      !epoch_op(KEMARI_CMD_resume, 0, 0) &&
	      wait_flags(KEMARI_QF_PAUSED) && query(t.domid)->held_running == 1,
	      "the next line stops it again");
	check(epoch_op(KEMARI_CMD_release, 1, 0) == ERANGE,
	      "release of an epoch not captured: ERANGE");
	check(epoch_op(KEMARI_CMD_begin, 2, 0) == EINVAL,
	      "begin of an epoch that does not run: EINVAL");
	check(epoch_op(KEMARI_CMD_begin, 1, 2) == EINVAL,
	      "begin with an unknown flag: EINVAL");
	check(!epoch_op(KEMARI_CMD_begin, 1, 0) && t.op->u.epoch.drain == 1,
	      "begin(1): one port to drain");
	check(query(t.domid)->held_captured == 1 && t.op->u.query.running == 2 &&
	      t.op->u.query.captured == 1, "the held set is that of epoch 1");
	check(console_state(&e) && e.held == 2, "the console's send is captured");
	check(epoch_op(KEMARI_CMD_resume, 0, 0) == EBUSY,
	      "resume before the release, pause mode: EBUSY");
	check(epoch_op(KEMARI_CMD_begin, 2, 0) == EBUSY,
	      "begin(2) before release(1): EBUSY");
	check(!epoch_op(KEMARI_CMD_begin, 2, KEMARI_BEGIN_MERGE),
	      "begin(2), merged");
	check(epoch_op(KEMARI_CMD_release, 1, 0) == ERANGE,
	      "release of the merged epoch alone: ERANGE");
	clear();
	t.op->u.epoch.generation = 2;
	t.op->u.epoch.epoch = 2;
	expect(ESTALE, t.domid, KEMARI_CMD_release, "release, generation 2");
	check(!epoch_op(KEMARI_CMD_release, 2, 0) &&
	      t.op->u.epoch.delivered == 1 && t.op->u.epoch.drain == 1,
	      "release(2) delivers one send");
	check(epoch_op(KEMARI_CMD_release, 2, 0) == EALREADY,
	      "release(2) again: EALREADY");
	check(!query(t.domid)->held_captured && t.op->u.query.released == 2,
	      "nothing is held");
	check(!epoch_op(KEMARI_CMD_resume, 0, 0), "resume");
	check(wait_flags(KEMARI_QF_PAUSED), "the next line stops it again");

	check(!set_policy(console_port(), KEMARI_POLICY_NONE),
	      "policy none for the console");
	check(set_policy(console_port(), 3) == EINVAL, "policy 3: EINVAL");
	check(set_policy(4000, KEMARI_POLICY_HOLD) == EINVAL,
	      "policy of a port that is not bound: EINVAL");
	check(set_policy(port, KEMARI_POLICY_NONE) == EINVAL,
	      "policy of the controller's port: EINVAL");
	check(!epoch_op(KEMARI_CMD_begin, 3, 0) &&
	      !epoch_op(KEMARI_CMD_release, 3, 0), "epoch 3");
	check(epoch_op(KEMARI_CMD_harvest, 0, 0) == ENODEV,
	      "harvest without log-dirty mode: ENODEV");
	check(!epoch_op(KEMARI_CMD_resume, 0, 0), "resume");
	check(!epoch_op(KEMARI_CMD_pause, 0, 0) &&
	      !epoch_op(KEMARI_CMD_pause, 0, 0), "pause, twice");
	check(!xc_domain_unpause(t.xch, t.domid) || errno == EINVAL,
	      "xl unpause");
	check(query(t.domid)->flags & KEMARI_QF_PAUSED,
	      "... does not drop Kemari's pause");
	check(!disable(t.domid, 0), "disable");
	check(query(t.domid)->role == KEMARI_ROLE_NONE &&
	      t.op->u.query.generation == 1, "role none, its generation is known");
	xenevtchn_unbind(t.evtchn, (evtchn_port_t)local);
}

/* --- dirty pages --------------------------------------------------------- */

static int log_dirty(uint32_t op)
{
	return xc_shadow_control(t.xch, t.domid, op, NULL, 0) < 0 ? errno : 0;
}

static bool test_bit(const uint8_t *map, uint64_t bit)
{
	return map[bit / 8] >> (bit % 8) & 1;
}

/* Copy of Xen's log-dirty bitmap into @map, which has room for @pages. */
static int peek(uint8_t *map, unsigned long pages)
{
	DECLARE_HYPERCALL_BUFFER(uint8_t, buf);
	xc_shadow_op_stats_t stats;
	long long rc;

	buf = xc_hypercall_buffer_alloc_pages(t.xch, buf,
					      pages / 8 / PAGE + 1);
	if (!buf)
		return -1;
	rc = xc_logdirty_control(t.xch, t.domid, XEN_DOMCTL_SHADOW_OP_PEEK,
				 HYPERCALL_BUFFER(buf), pages, 0, &stats);
	if (rc > 0)
		memcpy(map, buf, pages / 8);
	xc_hypercall_buffer_free_pages(t.xch, buf, pages / 8 / PAGE + 1);
	return rc > 0 ? 0 : -1;
}

/* Let the guest run until it has dirtied some pages, then stop it. */
static void run_a_while(void)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	time_t end = time(NULL) + PATIENCE_S;

	epoch_op(KEMARI_CMD_resume, 0, 0);
	while (query(t.domid)->dirty < 200 && time(NULL) <= end)
		nanosleep(&nap, NULL);
	epoch_op(KEMARI_CMD_pause, 0, 0);
}

/* Pages that are written behind log-dirty's back: not the list's business. */
static bool always_copied(uint64_t gfn)
{
	struct xen_hvm_kemari_vcpu *v = &t.op->u.vcpu;
	uint32_t i;

	if (gfn == page_param(HVM_PARAM_CONSOLE_PFN) ||
	    gfn == page_param(HVM_PARAM_STORE_PFN))
		return true;
	clear();
	if (!kemari(t.domid, KEMARI_CMD_get_dom) &&
	    t.op->u.dom.shared_info_gfn == gfn)
		return true;
	for (i = 0; ; i++) {
		clear();
		v->vcpu = i;
		if (kemari(t.domid, KEMARI_CMD_get_vcpu))
			return false;
		if (v->info_gfn == gfn)
			return true;
	}
}

static void test_exact(const uint8_t *ram)
{
	uint8_t *copy = malloc((size_t)GUEST_PAGES * PAGE);
	uint8_t *map = calloc(1, GUEST_PAGES / 8);
	uint8_t *left = calloc(1, GUEST_PAGES / 8);
	uint64_t nr = 0, i, missed = 0, changed = 0, unmarked = 0, more = 0;
	uint64_t twice = 0, taken = 0;

	check(!harvest(ROOM, &nr), "harvest of what there was");
	memcpy(copy, ram, (size_t)GUEST_PAGES * PAGE);
	run_a_while();
	check(!peek(map, GUEST_PAGES), "read Xen's own bitmap");
	check(harvest(1, &nr) == ENOBUFS && nr > 100,
	      "harvest with room for 1: ENOBUFS, and how many");
	check(!harvest(ROOM, &nr), "harvest with room for all");
	for (i = 0; i < nr; i++) {
		if (t.gfns[i] >= GUEST_PAGES)
			continue;
		taken++;
		if (!test_bit(map, t.gfns[i]))
			unmarked++;
		if (test_bit(left, t.gfns[i]))
			twice++;
		left[t.gfns[i] / 8] |= (uint8_t)(1u << (t.gfns[i] % 8));
	}
	for (i = 0; i < GUEST_PAGES; i++) {
		more += test_bit(map, i) && !test_bit(left, i);
		if (!memcmp(copy + i * PAGE, ram + i * PAGE, PAGE))
			continue;
		changed++;
		if (!test_bit(left, i) && !always_copied(i))
			missed++;
	}
	check(!twice, "no page twice (%" PRIu64 ")", twice);
	check(!unmarked && !more, "the list is Xen's bitmap (%" PRIu64
	      " pages; %" PRIu64 " too many, %" PRIu64 " too few)", taken,
	      unmarked, more);
	check(changed > 50 && !missed, "every page that changed is in it (%"
	      PRIu64 " changed, %" PRIu64 " missed)", changed, missed);
	memset(map, 0xff, GUEST_PAGES / 8);
	for (i = 0, more = !!peek(map, GUEST_PAGES); i < GUEST_PAGES / 8; i++)
		more += !!map[i];
	check(!more, "after it Xen's bitmap is empty");
	check(!harvest(LIMIT, &nr) && !nr, "a second harvest is empty");
	free(copy);
	free(map);
	free(left);
}

/* A page that comes into the guest's memory map, or leaves it. */
static void test_p2m(void)
{
	xen_pfn_t gfn = GUEST_PAGES + 7;
	uint64_t nr = 0, i;

	check(!(query(t.domid)->flags & KEMARI_QF_P2M),
	      "the memory map has not changed");
	check(!xc_domain_populate_physmap_exact(t.xch, t.domid, 1, 0, 0, &gfn),
	      "add a page to it");
	check(query(t.domid)->flags & KEMARI_QF_P2M, "it has changed");
	check(!harvest(ROOM, &nr), "harvest");
	for (i = 0; i < nr && t.gfns[i] != gfn; i++)
		;
	check(i < nr, "the new page is dirty");
	check(!xc_domain_decrease_reservation_exact(t.xch, t.domid, 1, 0, &gfn),
	      "take it away");
}

static void test_dirty(void)
{
	xen_pfn_t *gfns = calloc(GUEST_PAGES, sizeof(*gfns));
	uint64_t nr = 0, round;
	uint8_t *ram;
	uint32_t i;

	check(!enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0),
	      "enable for dirty pages");
	check(!set_policy(KEMARI_PORT_DEFAULT, KEMARI_POLICY_HOLD) &&
	      !set_policy(console_port(), KEMARI_POLICY_NONE),
	      "output passes for now");
	check(!log_dirty(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY),
	      "log-dirty mode");
	check(harvest(LIMIT, &nr) == EAGAIN, "harvest of a running guest: EAGAIN");
	check(wait_flags(KEMARI_QF_PAUSED | KEMARI_QF_LIMIT),
	      "the dirty limit stops the guest");
	query(t.domid);
	check(t.op->u.query.dirty >= LIMIT && t.op->u.query.dirty < ROOM,
	      "%" PRIu64 " pages dirty, limit %u", t.op->u.query.dirty, LIMIT);

	for (i = 0; i < GUEST_PAGES; i++)
		gfns[i] = i;
	ram = xenforeignmemory_map(t.fmem, t.domid, PROT_READ, GUEST_PAGES,
				   gfns, NULL);
	check(ram, "map the guest");
	for (round = 0; ram && round < 3; round++)
		test_exact(ram);
	check(!(query(t.domid)->flags & KEMARI_QF_LIMIT),
	      "the limit is no longer reached");

	test_p2m();
	check(!log_dirty(XEN_DOMCTL_SHADOW_OP_CLEAN), "somebody else cleans");
	check(query(t.domid)->flags & KEMARI_QF_LOST &&
	      harvest(LIMIT, &nr) == EIO, "... then information is lost: EIO");
	check(!log_dirty(XEN_DOMCTL_SHADOW_OP_OFF) &&
	      !log_dirty(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY) &&
	      !harvest(LIMIT, &nr) && !nr, "log-dirty mode anew clears that");
	check(!disable(t.domid, 0) &&
	      !enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0) &&
	      query(t.domid)->flags & KEMARI_QF_LOST,
	      "enable in log-dirty mode: information is lost already");
	check(!disable(t.domid, 0) && !log_dirty(XEN_DOMCTL_SHADOW_OP_OFF),
	      "disable, log-dirty mode off");
	if (ram)
		xenforeignmemory_unmap(t.fmem, ram, GUEST_PAGES);
	free(gfns);
}

/* --- what a guest can do, and its end ------------------------------------ */

/* Type a line on the guest's console. */
static bool type_line(const char *line)
{
	struct xs_handle *xs = xs_open(0);
	char path[64], *tty;
	bool done = false;
	int fd;

	if (!xs)
		return false;
	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", t.domid);
	tty = xs_read(xs, XBT_NULL, path, NULL);
	fd = tty ? open(tty, O_WRONLY | O_NOCTTY | O_CLOEXEC) : -1;
	if (fd >= 0)
		done = write(fd, line, strlen(line)) == (ssize_t)strlen(line) &&
		       !close(fd);
	free(tty);
	xs_close(xs);
	return done;
}

/* Wait until @log has a line that starts with @start; copy it to @line. */
static bool wait_line(const char *log, const char *start, char *line, int size)
{
	time_t end = time(NULL) + PATIENCE_S;

	while (time(NULL) <= end) {
		FILE *f = fopen(log, "r");

		while (f && fgets(line, size, f))
			if (!strncmp(line, start, strlen(start)) &&
			    strchr(line, '\n')) {
				fclose(f);
				return true;
			}
		if (f)
			fclose(f);
		usleep(100000);
	}
	return false;
}

static void test_attack(const char *log)
{
	int closed = 0, sent = 0, called = 0, fifo = 0;
	char line[256];

	check(!enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0),
	      "enable for the attack from inside");
	set_policy(console_port(), KEMARI_POLICY_NONE);
	snprintf(line, sizeof(line), "attack %u\n", query(t.domid)->port);
	check(type_line(line), "ask the guest to attack its port");
	check(wait_line(log, "attack: ", line, sizeof(line)) &&
	      sscanf(line, "attack: close %d send %d kemari %d fifo %d",
		     &closed, &sent, &called, &fifo) == 4, "it did");
	check(closed == EINVAL, "it cannot close the controller's port");
	check(sent == EINVAL, "it cannot send on it");
	check(called == EPERM, "it cannot call HVMOP_kemari");
	check(fifo == ENOSYS, "it cannot change to the FIFO ABI");
	check(query(t.domid)->role == KEMARI_ROLE_PRIMARY && !disable(t.domid, 0),
	      "disable");
}

static void test_shutdown(void)
{
	xc_domaininfo_t info;
	char command[64];

	check(!enable(t.domid, KEMARI_ROLE_PRIMARY, KEMARI_MODE_NOTIFY, 0),
	      "enable for the guest's end");
	set_policy(console_port(), KEMARI_POLICY_NONE);
	snprintf(command, sizeof(command), "xl sysrq %u c >/dev/null 2>&1",
		 t.domid);
	check(!system(command), "xl sysrq c");
	check(wait_flags(KEMARI_QF_SHUTDOWN | KEMARI_QF_PAUSED),
	      "the guest's crash is held");
	check(query(t.domid)->shutdown_reason == 3, "the reason is a crash");
	check(xc_domain_getinfolist(t.xch, t.domid, 1, &info) == 1 &&
	      !(info.flags & XEN_DOMINF_shutdown), "xl sees no shutdown");
	check(epoch_op(KEMARI_CMD_resume, 0, 0) == EBUSY,
	      "resume of it: EBUSY");
	check(!epoch_op(KEMARI_CMD_begin, 1, 0) &&
	      !epoch_op(KEMARI_CMD_release, 1, 0), "release its epoch");
	check(xc_domain_getinfolist(t.xch, t.domid, 1, &info) == 1 &&
	      info.flags & XEN_DOMINF_shutdown, "now it is shut down");
	check(!xc_domain_destroy(t.xch, t.domid),
	      "destroy it while it is protected");
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: hv-test DOMID LOG\n");
		return 2;
	}
	if (!open_all(argv[1]))
		return 1;
	test_bad_calls();
	if (t.failed) {
		printf("# the rest needs what failed\n");
		return verdict();
	}
	test_enable();
	test_tap();
	test_attack(argv[2]);
	test_dirty();
	test_shutdown();
	return verdict();
}
