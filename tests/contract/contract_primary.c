// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contract_primary.c - cases: facts of a guest, on and off, held output
 */
#include "tests/contract/contract_int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* --- facts -------------------------------------------------------------- */

static void case_info_is_stable(void **state)
{
	const struct contract_host *h = *state;
	struct platform_info a, b;
	struct platform *p = contract_primary_open(*state);

	assert_ok(p, p->ops->info(p, &a));
	h->pass(h->arg, CONTRACT_WAIT);
	assert_ok(p, p->ops->info(p, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(a.vcpus > 0);
	assert_true(a.pages > 0);
	assert_non_null(memchr(a.name, 0, sizeof(a.name)));
	contract_close(p);
}

static void case_clocks_go_on(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_primary_open(*state);
	uint64_t now = p->ops->now_ns(p), guest, later;

	assert_ok(p, p->ops->guest_time(p, &guest));
	h->pass(h->arg, CONTRACT_WAIT);
	assert_true(p->ops->now_ns(p) > now);
	assert_ok(p, p->ops->guest_time(p, &later));
	assert_true(later > guest);
	contract_close(p);
}

static void case_eligible_guest_has_no_reasons(void **state)
{
	const char *reasons[PLATFORM_REASONS_MAX];
	struct platform *p = contract_primary_open(*state);
	size_t n = 1;

	assert_ok(p, p->ops->check(p, reasons, &n));
	if (n)
		fail_msg("not eligible: %s", reasons[0]);
	contract_close(p);
}

static void case_ranges_cover_the_memory(void **state)
{
	static struct gfn_range r[PLATFORM_RANGES_MAX];
	struct platform *p = contract_primary_open(*state);
	struct platform_info info;
	uint64_t sum = 0, next = 0;
	size_t n = 0, i;

	assert_ok(p, p->ops->info(p, &info));
	assert_fails(p, p->ops->ranges(p, r, &n), ENOBUFS);
	assert_in_range(n, 1, PLATFORM_RANGES_MAX);
	assert_ok(p, p->ops->ranges(p, r, &n));
	for (i = 0; i < n; i++) {
		assert_true(r[i].count > 0);
		assert_true(r[i].first >= next);
		next = r[i].first + r[i].count;
		sum += r[i].count;
	}
	assert_true(next <= PLATFORM_GFN_MAX);
	assert_int_equal(sum, info.pages);
	contract_close(p);
}

static void case_describe_is_a_list(void **state)
{
	struct platform *p = contract_primary_open(*state);
	struct recbuf b = { 0 };
	struct record r;
	size_t pos = 0, n = 0;

	assert_ok(p, p->ops->describe(p, &b));
	for (; record_next(b.bytes, b.used, &pos, &r) > 0; n++)
		assert_true(r.type >= RECORD_TYPE_PLATFORM);
	assert_int_equal(pos, b.used);
	assert_true(n > 0);
	recbuf_free(&b);
	contract_close(p);
}

/* Few or none, each with a name and a port of its own, the same each time. */
static void case_rings_are_steady(void **state)
{
	static struct platform_ring a[PLATFORM_RINGS_MAX];
	static struct platform_ring b[PLATFORM_RINGS_MAX];
	struct platform *p = contract_primary_open(*state);
	size_t n = PLATFORM_RINGS_MAX, m = PLATFORM_RINGS_MAX, none = 0, i, k;

	assert_ok(p, p->ops->rings(p, a, &n));
	assert_in_range(n, 0, PLATFORM_RINGS_MAX);
	if (n) {
		assert_fails(p, p->ops->rings(p, NULL, &none), ENOBUFS);
		assert_int_equal(none, n);
	}
	for (i = 0; i < n; i++) {
		assert_non_null(memchr(a[i].name, 0, sizeof(a[i].name)));
		assert_string_not_equal(a[i].name, "");
		assert_true(a[i].port > 0);
		for (k = 0; k < i; k++)
			assert_int_not_equal(a[i].port, a[k].port);
	}
	contract_close(p);

	p = contract_sync(*state);
	assert_ok(p, p->ops->rings(p, b, &m));
	assert_int_equal(m, n);
	for (i = 0; i < n; i++) {
		assert_string_equal(a[i].name, b[i].name);
		assert_int_equal(a[i].port, b[i].port);
		assert_int_equal(a[i].output, b[i].output);
	}
	contract_finish(p);
}

static void case_no_standby_operations(void **state)
{
	struct platform *p = contract_primary_open(*state);
	struct recbuf b = { 0 };

	assert_ok(p, p->ops->describe(p, &b));
	assert_null(p->ops->page_rw(p, 0));
	assert_fails(p, p->ops->verify(p, b.bytes, b.used), ENOTSUP);
	assert_fails(p, p->ops->rehearse(p, b.bytes, b.used), ENOTSUP);
	assert_fails(p, p->ops->load(p, b.bytes, b.used, 1), ENOTSUP);
	assert_fails(p, p->ops->activate(p, 1, 2), ENOTSUP);
	assert_fails(p, p->ops->destroy(p), ENOTSUP);
	recbuf_free(&b);
	contract_close(p);
}

/* --- on and off --------------------------------------------------------- */

static void case_nothing_before_enable(void **state)
{
	struct platform *p = contract_primary_open(*state);
	size_t n;

	assert_refused(p, p->ops->disable(p, CONTRACT_GENERATION));
	assert_refused(p, p->ops->stop(p));
	assert_refused(p, p->ops->go(p));
	assert_refused(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	assert_refused(p, p->ops->release(p, CONTRACT_GENERATION, 1));
	assert_refused(p, p->ops->harvest(p, contract_gfns, CONTRACT_GFNS, &n));
	contract_close(p);
}

static void case_enable_once(void **state)
{
	struct platform *p = contract_primary_open(*state);
	struct platform_query q;

	assert_fails(p, p->ops->enable(p, 0, PLATFORM_SYNC, CONTRACT_DIRTY),
		     EINVAL);
	assert_fails(p, p->ops->enable(p, CONTRACT_GENERATION, PLATFORM_SYNC,
				       0), EINVAL);
	assert_ok(p, p->ops->enable(p, CONTRACT_GENERATION, PLATFORM_SYNC,
				    CONTRACT_DIRTY));
	q = contract_query(p);
	assert_int_equal(q.role, PLATFORM_PRIMARY);
	assert_int_equal(q.mode, PLATFORM_SYNC);
	assert_int_equal(q.generation, CONTRACT_GENERATION);
	assert_int_equal(q.running, 1);
	assert_int_equal(q.captured, 0);
	assert_int_equal(q.released, 0);
	assert_int_equal(q.dirty_limit, CONTRACT_DIRTY);
	assert_false(q.shutdown);
	assert_fails(p, p->ops->enable(p, CONTRACT_GENERATION, PLATFORM_SYNC,
				       CONTRACT_DIRTY), EBUSY);
	contract_finish(p);
}

static void case_disable_checks_the_generation(void **state)
{
	struct platform *p = contract_sync(*state);

	assert_fails(p, p->ops->disable(p, CONTRACT_GENERATION - 1), ESTALE);
	assert_fails(p, p->ops->disable(p, CONTRACT_GENERATION + 1), ESTALE);
	assert_int_equal(contract_query(p).role, PLATFORM_PRIMARY);
	contract_finish(p);
}

static void case_disable_lets_all_go(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);

	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	assert_ok(p, p->ops->stop(p));
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	contract_finish(p);
	/* It runs: it has output again; the next one is a later generation. */
	p = contract_primary_open(*state);
	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	assert_int_equal(contract_query(p).generation, CONTRACT_GENERATION);
	contract_close(p);
	p = contract_sync(*state);
	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	contract_finish(p);
}

static void case_controller_comes_back(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct platform_query a, b;

	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	a = contract_query(p);
	contract_close(p);
	/* Nothing has let the guest go meanwhile.  INV-30 */
	h->pass(h->arg, CONTRACT_WAIT);
	p = contract_open(h->open_primary, h);
	b = contract_query(p);
	assert_int_equal(b.role, PLATFORM_PRIMARY);
	assert_int_equal(b.generation, CONTRACT_GENERATION);
	assert_int_equal(b.captured, 1);
	assert_int_equal(b.released, 0);
	assert_int_equal(b.taps, a.taps);
	assert_int_equal(b.held_captured, a.held_captured);
	assert_true(b.stopped);
	assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, 1));
	contract_wait_drained(h, p);
	assert_ok(p, p->ops->go(p));
	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	contract_finish(p);
}

/* --- output ------------------------------------------------------------- */

/* INV-3 */
static void case_output_is_held_and_stops(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct platform_query q;

	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	q = contract_query(p);
	assert_true(q.stopped);
	assert_true(q.taps > 0);
	assert_true(q.held_running > 0);
	assert_int_equal(q.held_captured, 0);
	contract_finish(p);
}

/* Output of a port that is no ring's is not let go by the way. */
static void case_held_ports_are_told(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	uint32_t port[PLATFORM_RINGS_MAX];
	size_t n = PLATFORM_RINGS_MAX, none = 0;

	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	assert_ok(p, p->ops->stop(p));
	assert_ok(p, p->ops->held(p, port, &n));
	assert_int_equal(n, contract_query(p).held_running);
	assert_fails(p, p->ops->held(p, port, &none), ENOBUFS);
	assert_int_equal(none, n);
	assert_fails(p, p->ops->deliver(p, CONTRACT_GENERATION - 1, port[0]),
		     ESTALE);
	assert_fails(p, p->ops->deliver(p, CONTRACT_GENERATION, port[0]),
		     EINVAL);
	assert_int_equal(contract_query(p).held_running, n);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	n = PLATFORM_RINGS_MAX;
	assert_ok(p, p->ops->held(p, port, &n));
	assert_int_equal(n, 0);
	contract_finish(p);
}

static void case_event_fd_wakes(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct pollfd fd = { .fd = p->ops->event_fd(p), .events = POLLIN };
	int tries, ready = 0, got = 0;

	assert_true(fd.fd >= 0);
	for (tries = 0; tries < CONTRACT_TRIES; tries++) {
		ready = poll(&fd, 1, 0);
		if (ready == 1) {
			got = p->ops->events(p);
			assert_true(got >= 0);
		}
		if (got & PLATFORM_EV_TAP)
			break;
		assert_ok(p, p->ops->go(p));
		h->pass(h->arg, CONTRACT_WAIT);
	}
	assert_true(got & PLATFORM_EV_TAP);
	/* The guest is stopped: soon there is nothing more to say. */
	for (tries = 0; p->ops->events(p); tries++)
		assert_true(tries < CONTRACT_TRIES);
	assert_int_equal(poll(&fd, 1, 0), 0);
	contract_finish(p);
}

static void case_stop_and_go_are_idempotent(void **state)
{
	struct platform *p = contract_sync(*state);

	assert_ok(p, p->ops->stop(p));
	assert_ok(p, p->ops->stop(p));
	assert_true(contract_query(p).stopped);
	assert_ok(p, p->ops->go(p));
	assert_ok(p, p->ops->go(p));
	assert_ok(p, p->ops->stop(p));
	assert_true(contract_query(p).stopped);
	contract_finish(p);
}

/* INV-9 */
static void case_stopped_is_stopped(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct platform_query a, b;

	h->pass(h->arg, CONTRACT_WAIT);
	assert_ok(p, p->ops->stop(p));
	a = contract_query(p);
	h->pass(h->arg, CONTRACT_WAIT);
	b = contract_query(p);
	assert_int_equal(a.dirty, b.dirty);
	assert_int_equal(a.taps, b.taps);
	contract_finish(p);
}

static void case_held_output_stays_held(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct platform_query a, b;

	(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
	a = contract_query(p);
	assert_ok(p, p->ops->go(p));
	h->pass(h->arg, CONTRACT_WAIT);
	b = contract_query(p);
	assert_true(b.held_running >= a.held_running);
	assert_int_equal(b.released, 0);
	contract_finish(p);
}

static const struct CMUnitTest cases[] = {
	cmocka_unit_test(case_info_is_stable),
	cmocka_unit_test(case_clocks_go_on),
	cmocka_unit_test(case_eligible_guest_has_no_reasons),
	cmocka_unit_test(case_ranges_cover_the_memory),
	cmocka_unit_test(case_rings_are_steady),
	cmocka_unit_test(case_describe_is_a_list),
	cmocka_unit_test(case_no_standby_operations),
	cmocka_unit_test(case_nothing_before_enable),
	cmocka_unit_test(case_enable_once),
	cmocka_unit_test(case_disable_checks_the_generation),
	cmocka_unit_test(case_disable_lets_all_go),
	cmocka_unit_test(case_controller_comes_back),
	cmocka_unit_test(case_output_is_held_and_stops),
	cmocka_unit_test(case_held_ports_are_told),
	cmocka_unit_test(case_event_fd_wakes),
	cmocka_unit_test(case_stop_and_go_are_idempotent),
	cmocka_unit_test(case_stopped_is_stopped),
	cmocka_unit_test(case_held_output_stays_held),
};

int contract_primary_facts(const struct contract_host *h)
{
	return contract_run(h, cases, sizeof(cases) / sizeof(cases[0]));
}
