// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_session.c - whole sessions: protect, go on, take over, end
 */
#include "tests/sim/engine.h"

static struct engine engine;

static struct engine *begin(uint64_t seed)
{
	engine_new(&engine, seed);
	assert_int_equal(engine_start(&engine), 0);
	return &engine;
}

static struct engine *protected_guest(uint64_t seed)
{
	struct engine *e = begin(seed);

	assert_true(engine_until(e, 500 * MS, engine_committed_some));
	return e;
}

static void finish(struct engine *e)
{
	engine_run(e, 5 * MS);
	engine_assert_sound(e);
	engine_free(e);
}

static void cut_power(struct engine *e)
{
	sim_power_off(e->w, 0);
	engine_a_die(e);
}

static void expect_take_over(struct engine *e)
{
	assert_true(engine_until(e, 1000 * MS, engine_took_over));
	assert_true(engine_runs(e, 1));
	finish(e);
}

static struct status primary_view(struct engine *e)
{
	struct status s;

	primary_status(e->primary, &s);
	return s;
}

static struct status secondary_view(struct engine *e)
{
	struct status s;

	secondary_status(e->secondary, &s);
	return s;
}

/* The main job: INV-1, INV-2, INV-24, INV-26. */
static void test_power_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct engine *e = protected_guest(seed);

		engine_run(e, seed * 1234 * US);
		cut_power(e);
		expect_take_over(e);
	}
}

/* Somebody on the standby's host writes to a page that the guest changes all
 * the time: that page is not made from a wrong one, and no copy is needed. */
static void test_foreign_page(void **state)
{
	struct engine *e = protected_guest(13);
	struct gfn_range range[8];
	size_t n = 8;
	uint8_t *page;

	(void)state;
	assert_int_equal(e->b.platform->ops->ranges(e->b.platform, range, &n),
			 0);
	page = e->b.platform->ops->page_rw(e->b.platform, range[0].first);
	for (int i = 0; i < 10; i++) {
		page[100 + i] ^= 1;
		engine_run(e, 3 * MS);
		assert_int_equal(primary_view(e).state, STATUS_PROTECTED);
	}
	assert_int_equal(primary_view(e).sent.again, 1);
	assert_int_equal(primary_view(e).stats.resyncs, 0);
	assert_int_equal(e->connections, 1);
	cut_power(e);
	expect_take_over(e);
}

/* Figures that people see are there and plausible. */
static void test_status(void **state)
{
	struct engine *e = protected_guest(21);
	struct status s = primary_view(e);

	(void)state;
	assert_int_equal(s.state, STATUS_PROTECTED);
	assert_int_equal(s.role, PLATFORM_PRIMARY);
	assert_string_equal(s.guest.name, GUEST);
	assert_true(s.stats.checkpoints >= 6);
	assert_true(s.stats.dirty_pages_mean > 0);
	assert_true(s.stats.pause_ms_p50 > 0);
	assert_true(s.stats.pause_ms_p99 >= s.stats.pause_ms_p50);
	assert_true(s.released <= s.committed && s.committed <= s.captured);
	s = secondary_view(e);
	assert_int_equal(s.state, STATUS_PROTECTED);
	assert_true(s.eligible);
	finish(e);
}

/* Given up in order: the guest runs on, the standby is gone. */
static void test_unprotect(void **state)
{
	struct engine *e = protected_guest(31);

	(void)state;
	assert_int_equal(primary_unprotect(e->primary, false), 0);
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	assert_int_equal(primary_outcome(e->primary), PRIMARY_UNPROTECTED);
	engine_assert_free(e);
	engine_a_die(e);
	assert_true(engine_until(e, 2000 * MS, engine_empty_standby));
	assert_int_equal(secondary_failover(e->secondary), -1);
	finish(e);
}

/* A link that is down holds the guest until it returns; then no copy. */
static void test_resume(void **state)
{
	struct engine *e = protected_guest(41);
	uint64_t committed = e->acked;

	(void)state;
	e->no_link = true;
	link_pair_cut(e->pair);
	engine_run(e, 5 * MS);
	assert_int_equal(primary_view(e).state, STATUS_PAUSED);
	assert_false(engine_runs(e, 0));
	assert_true(e->acked <= committed + 1);
	e->no_link = false;
	assert_true(engine_until(e, 100 * MS, engine_protected));
	engine_run(e, 5 * MS);
	assert_int_equal(primary_view(e).stats.resumes, 1);
	assert_int_equal(primary_view(e).stats.resyncs, 0);
	assert_true(e->acked > committed + 1);
	cut_power(e);
	expect_take_over(e);
}

/* A pulled cable is noticed by silence, and repaired as a cut is. */
static void test_stall(void **state)
{
	struct engine *e = protected_guest(51);

	(void)state;
	link_pair_stall(e->pair);
	engine_run(e, 25 * MS);
	assert_true(engine_until(e, 100 * MS, engine_protected));
	assert_true(e->connections >= 2);
	assert_false(engine_took_over(e));
	cut_power(e);
	expect_take_over(e);
}

/* Silence is a suspicion, not a verdict (INV-27): the fence decides. */
static void test_fence_fails(void **state)
{
	struct engine *e = protected_guest(61);

	(void)state;
	e->fences_failing = 3;
	cut_power(e);
	engine_run(e, 40 * MS);
	assert_false(engine_took_over(e));
	assert_false(engine_runs(e, 1));
	assert_string_equal(secondary_view(e).reason, "fence-failed");
	expect_take_over(e);
}

/* A backend that does not attach: the guest runs, and status says what is
 * wrong until it is not. */
static void test_served_late(void **state)
{
	struct engine *e = protected_guest(65);
	struct status s;

	(void)state;
	e->b.plan.only = "served";
	e->b.plan.at = e->b.plan.calls;
	e->b.plan.span = FAULT_OP;
	e->b.plan.err = EIO;
	cut_power(e);
	assert_true(engine_until(e, 1000 * MS, engine_took_over));
	assert_true(engine_runs(e, 1));
	engine_run(e, 500 * MS);
	s = secondary_view(e);
	assert_int_equal(s.state, STATUS_FAILED_OVER);
	assert_string_equal(s.reason, "devices");
	assert_non_null(strstr(s.detail, "served"));
	e->b.plan.at = FAULT_NEVER;
	e->b.plan.op = NULL;
	e->b.plan.fired = 0;
	engine_run(e, 500 * MS);
	assert_string_equal(secondary_view(e).reason, "");
	finish(e);
}

/* Without a fence only an operator fails over. */
static void test_forced(void **state)
{
	struct engine *e = &engine;

	(void)state;
	engine_new(e, 71);
	e->no_fence = true;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 500 * MS, engine_committed_some));
	cut_power(e);
	engine_run(e, 100 * MS);
	assert_string_equal(secondary_view(e).reason, "no-fence");
	assert_false(engine_runs(e, 1));
	assert_int_equal(secondary_failover(e->secondary), 0);
	assert_int_equal(secondary_failover(e->secondary), -1);
	assert_int_equal(errno, EALREADY);
	expect_take_over(e);
}

/* Forced while the primary lives: it yields, and lets nothing out. */
static void test_superseded(void **state)
{
	struct engine *e = protected_guest(81);

	(void)state;
	assert_int_equal(secondary_failover(e->secondary), 0);
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	assert_int_equal(primary_outcome(e->primary), PRIMARY_SUPERSEDED);
	assert_int_equal(primary_view(e).state, STATUS_FAILED_OVER);
	assert_false(engine_runs(e, 0));
	assert_int_equal(primary_unprotect(e->primary, false), -1);
	expect_take_over(e);
}

/* A standby that is being copied to never takes over (INV-19, INV-27). */
static void test_stale(void **state)
{
	struct engine *e = begin(91);

	(void)state;
	while (staging_view(e->staging)->phase != STAGING_COPYING)
		engine_step(e, 1 * MS);
	assert_int_equal(secondary_failover(e->secondary), -1);
	assert_int_equal(errno, EPERM);
	link_pair_cut(e->pair);
	cut_power(e);
	engine_run(e, 200 * MS);
	assert_false(engine_took_over(e));
	assert_int_equal(secondary_failover(e->secondary), -1);
	assert_true(engine_until(e, 20000 * MS, engine_empty_standby));
	finish(e);
}

/* INV-7, INV-29: each end of the guest ends the session, and is held until
 * the standby has given up its claim. */
static void test_guest_ends(void **state)
{
	(void)state;
	for (uint32_t reason = 0; reason <= 3; reason++) {
		struct engine *e = protected_guest(100 + reason);

		if (reason == 2)
			assert_int_equal(sim_destroy(e->w, 0, DOMID), 0);
		else
			assert_int_equal(sim_shutdown(e->w, 0, DOMID, reason),
					 0);
		assert_true(engine_until(e, 100 * MS, engine_primary_over));
		assert_int_equal(primary_outcome(e->primary), PRIMARY_ENDED);
		engine_a_die(e);
		assert_true(engine_until(e, 2000 * MS, engine_empty_standby));
		assert_false(engine_runs(e, 1));
		finish(e);
	}
}

static bool shutdown_left(struct engine *e)
{
	const struct sim_output *o;
	size_t n = sim_outputs(e->w, &o);

	for (size_t i = 0; i < n; i++)
		if (o[i].port == SIM_PORT_SHUTDOWN)
			return true;
	return false;
}

/* The same while the link is down: nothing of it leaves. */
static void test_shutdown_waits(void **state)
{
	struct engine *e = protected_guest(111);

	(void)state;
	e->no_link = true;
	e->no_fence = true;
	link_pair_cut(e->pair);
	sim_shutdown(e->w, 0, DOMID, 0);
	engine_run(e, 8 * MS);
	assert_false(shutdown_left(e));
	e->no_link = false;
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	engine_run(e, 1 * MS);
	assert_true(shutdown_left(e));
	finish(e);
}

static bool resynced(struct engine *e)
{
	struct status s = primary_view(e);

	return s.state == STATUS_PROTECTED && s.stats.resyncs;
}

/* INV-14: dirty information lost: alone first, then a fresh copy. */
static void test_resync(void **state)
{
	struct engine *e = protected_guest(121);
	uint64_t committed = e->acked;

	(void)state;
	assert_int_equal(sim_lose_dirty(e->w, 0, DOMID), 0);
	assert_true(engine_until(e, 200 * MS, resynced));
	engine_run(e, 5 * MS);
	assert_true(e->acked > committed);
	cut_power(e);
	expect_take_over(e);
}

/* The same while the standby cannot be asked: the guest waits (INV-8). */
static void test_resync_waits(void **state)
{
	struct engine *e = protected_guest(131);

	(void)state;
	e->no_link = true;
	link_pair_cut(e->pair);
	sim_lose_dirty(e->w, 0, DOMID);
	engine_run(e, 8 * MS);
	assert_int_equal(primary_view(e).state, STATUS_PAUSED);
	assert_false(engine_runs(e, 0));
	e->no_link = false;
	assert_true(engine_until(e, 200 * MS, resynced));
	cut_power(e);
	expect_take_over(e);
}

/* Unprotect waits for the standby's word, unless an operator vouches. */
static void test_unprotect_unheard(void **state)
{
	struct engine *e = protected_guest(141);

	(void)state;
	e->no_link = true;
	engine_b_die(e);
	assert_int_equal(primary_unprotect(e->primary, false), 0);
	engine_run(e, 50 * MS);
	assert_int_equal(primary_outcome(e->primary), PRIMARY_GOING);
	assert_int_equal(primary_unprotect(e->primary, true), 0);
	assert_true(engine_until(e, 50 * MS, engine_primary_over));
	engine_assert_free(e);
	finish(e);
}

/* An ineligible guest is refused by name, and untouched (INV-32). */
static void test_ineligible(void **state)
{
	struct engine *e = &engine;

	(void)state;
	engine_new(e, 151);
	sim_ineligible(e->w, 0, DOMID, "it has a passthrough device");
	assert_int_equal(engine_start(e), -1);
	engine_assert_free(e);
	finish(e);
}

/* INV-37: a disk that no event announces gets its checkpoints all the same,
 * without waiting for the timer; also while the guest is copied. */
static void test_quiet_disk(void **state)
{
	(void)state;
	for (uint64_t seed = 171; seed < 176; seed++) {
		struct engine *e = &engine;
		struct sim_knobs *k;
		uint64_t before;

		engine_new(e, seed);
		k = sim_knobs(e->w);
		k->quiet = 1000;
		k->console = 0;
		k->disk_ns = 100 * US;
		e->max_epoch = 1000 * MS;
		assert_int_equal(engine_start(e), 0);
		assert_true(engine_until(e, 500 * MS, engine_committed_some));
		assert_true(primary_view(e).stats.cause[CAUSE_GATE] >= 5);
		assert_int_equal(primary_view(e).stats.cause[CAUSE_TAP], 0);
		assert_int_equal(primary_view(e).stats.cause[CAUSE_TIMER], 0);
		before = engine_disk_outputs(e);
		engine_run(e, 20 * MS);
		assert_true(engine_disk_outputs(e) > before + 5);
		cut_power(e);
		expect_take_over(e);
	}
}

/* An event that announces nothing costs no checkpoint, and hides none: the
 * timer goes on, and so does the disk. */
static void test_idle_events(void **state)
{
	(void)state;
	for (uint64_t seed = 211; seed < 214; seed++) {
		struct engine *e = &engine;
		uint64_t before;

		engine_new(e, seed);
		sim_knobs(e->w)->idle = 500;
		sim_knobs(e->w)->console = 0;
		sim_knobs(e->w)->disk = 0;
		e->max_epoch = 3 * MS;
		assert_int_equal(engine_start(e), 0);
		assert_true(engine_until(e, 500 * MS, engine_committed_some));
		assert_true(primary_view(e).stats.spared > 20);
		assert_int_equal(primary_view(e).stats.cause[CAUSE_TAP], 0);
		assert_true(primary_view(e).stats.cause[CAUSE_TIMER] >= 5);
		sim_knobs(e->w)->disk = 100;
		before = engine_disk_outputs(e);
		engine_run(e, 20 * MS);
		assert_true(engine_disk_outputs(e) > before + 5);
		assert_true(primary_view(e).stats.cause[CAUSE_TAP] > 0);
		cut_power(e);
		expect_take_over(e);
	}
}

/* The same across a restart of the controller: what the dead one was told of
 * is not forgotten (INV-30, INV-37). */
static void test_quiet_restart(void **state)
{
	struct engine *e = &engine;
	uint64_t before;

	(void)state;
	engine_new(e, 181);
	sim_knobs(e->w)->quiet = 1000;
	sim_knobs(e->w)->console = 0;
	e->max_epoch = 1000 * MS;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 500 * MS, engine_committed_some));
	for (int i = 0; i < 10; i++) {
		e->a.kill_at = e->a.plan.calls + (uint64_t)i;
		while (e->primary)
			engine_step(e, 1 * MS);
		before = engine_disk_outputs(e);
		assert_true(engine_until(e, 100 * MS, engine_protected));
		engine_run(e, 20 * MS);
		assert_true(engine_disk_outputs(e) > before);
	}
	cut_power(e);
	expect_take_over(e);
}

/* INV-36: a guest with other rings than those that were checked is not
 * captured: the protection ends, in order, and the guest runs on. */
static void test_other_rings(void **state)
{
	struct engine *e = protected_guest(191);
	uint64_t committed = e->acked;

	(void)state;
	assert_int_equal(sim_other_rings(e->w, 0, DOMID), 0);
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	assert_int_equal(primary_outcome(e->primary), PRIMARY_REFUSED);
	assert_true(e->acked <= committed + 1);
	engine_assert_free(e);
	engine_a_die(e);
	assert_true(engine_until(e, 2000 * MS, engine_empty_standby));
	assert_false(engine_runs(e, 1));
	finish(e);
}

/* The same if the standby is the one that sees it. */
static void test_standby_refuses(void **state)
{
	struct engine *e = protected_guest(195);

	(void)state;
	e->b.plan = fault_nth(0, FAULT_OP, EXDEV);
	e->b.plan.only = "verify";
	assert_true(engine_until(e, 200 * MS, engine_primary_over));
	assert_true(e->b.plan.fired);
	assert_int_equal(primary_outcome(e->primary), PRIMARY_REFUSED);
	engine_assert_free(e);
	engine_a_die(e);
	assert_true(engine_until(e, 2000 * MS, engine_empty_standby));
	assert_false(engine_runs(e, 1));
	finish(e);
}

/* The same if they changed while no controller was there, or at the start. */
static void test_other_rings_unseen(void **state)
{
	struct engine *e = protected_guest(201);

	(void)state;
	e->a.kill_at = e->a.plan.calls;
	while (e->primary)
		engine_step(e, 1 * MS);
	sim_other_rings(e->w, 0, DOMID);
	while (!e->primary)
		engine_step(e, 1 * MS);
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	assert_int_equal(primary_outcome(e->primary), PRIMARY_REFUSED);
	engine_assert_free(e);
	finish(e);

	e = &engine;
	engine_new(e, 202);
	sim_other_rings(e->w, 0, DOMID);
	assert_int_equal(engine_start(e), -1);
	engine_assert_free(e);
	finish(e);
}

/* The domain ID is taken on the other host: refused, the guest runs on. */
static void test_id_taken(void **state)
{
	struct engine *e = &engine;

	(void)state;
	engine_new(e, 161);
	assert_int_equal(sim_start(e->w, 1, "squatter", DOMID), 0);
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 100 * MS, engine_primary_over));
	assert_int_equal(primary_outcome(e->primary), PRIMARY_REFUSED);
	engine_assert_free(e);
	finish(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cut),
		cmocka_unit_test(test_foreign_page),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_unprotect),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_fence_fails),
		cmocka_unit_test(test_served_late),
		cmocka_unit_test(test_forced),
		cmocka_unit_test(test_superseded),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_guest_ends),
		cmocka_unit_test(test_shutdown_waits),
		cmocka_unit_test(test_resync),
		cmocka_unit_test(test_resync_waits),
		cmocka_unit_test(test_unprotect_unheard),
		cmocka_unit_test(test_ineligible),
		cmocka_unit_test(test_quiet_disk),
		cmocka_unit_test(test_idle_events),
		cmocka_unit_test(test_quiet_restart),
		cmocka_unit_test(test_other_rings),
		cmocka_unit_test(test_standby_refuses),
		cmocka_unit_test(test_other_rings_unseen),
		cmocka_unit_test(test_id_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
