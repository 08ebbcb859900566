// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_kill.c - a controller is killed before each of its calls in turn
 *
 * Its parent starts it again a millisecond later, with nothing but outbox or
 * staging and what platform and gate know (INV-30).  Then the session goes on,
 * or ends as it would have; and when at last the power of the primary's host
 * goes, the standby continues from a committed checkpoint.
 */
#include "tests/sim/engine.h"

static struct engine engine;

/* What is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static bool two_more(struct engine *e)
{
	struct status s;

	if (!e->primary || e->primary_lives < 2)
		return false;
	primary_status(e->primary, &s);
	return s.state == STATUS_PROTECTED && s.stats.checkpoints >= 3;
}

static void the_end(struct engine *e)
{
	sim_power_off(e->w, 0);
	engine_a_die(e);
	e->a_restart_at = 0;
	assert_true(engine_until(e, 100 * MS, engine_took_over));
	engine_run(e, 2 * MS);
	assert_true(engine_runs(e, 1));
	engine_assert_sound(e);
}

static bool killed(struct engine *e)
{
	return e->a.kills || e->b.kills || engine_committed_some(e);
}

/* Call @n of the sender; false: there are fewer. */
static bool kill_sender(uint64_t n)
{
	struct engine *e = &engine;
	bool fired;

	engine_new(e, 2000 + n);
	e->a.kill_at = n;
	if (engine_start(e)) {
		/* Before anything was touched: the user starts it again. */
		assert_true(e->a.kills);
		assert_true(engine_runs(e, 0));
		engine_free(e);
		return true;
	}
	assert_true(engine_until(e, 300 * MS, killed));
	fired = e->a.kills;
	engine_assert_sound(e);
	if (fired)
		assert_true(engine_until(e, 300 * MS, two_more));
	the_end(e);
	engine_free(e);
	return fired;
}

static void test_sender(void **state)
{
	uint64_t n = 0;

	(void)state;
	while (kill_sender(n))
		n++;
	print_message("%llu kills\n", (unsigned long long)n);
	assert_true(n >= 100);
	engine_assert_refers(n);
}

static bool kill_receiver(uint64_t n)
{
	struct engine *e = &engine;
	bool fired;

	engine_new(e, 3000);
	e->b.plan.pages = true;
	e->b.kill_at = n;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 300 * MS, killed));
	fired = e->b.kills;
	engine_assert_sound(e);
	assert_true(engine_until(e, 300 * MS, engine_committed_some));
	the_end(e);
	engine_free(e);
	return fired;
}

static void test_receiver(void **state)
{
	uint64_t n = 0;

	(void)state;
	while (kill_receiver(n))
		n++;
	print_message("%llu kills\n", (unsigned long long)n);
	assert_true(n >= 100);
	engine_assert_refers(n);
}

static bool standby_gone(struct engine *e)
{
	return engine_primary_over(e) && engine_empty_standby(e);
}

/* Either side dies while the session ends, by order or by the guest. */
static bool kill_at_end(struct side *s, uint64_t n, bool shutdown)
{
	struct engine *e = &engine;
	bool fired;

	engine_new(e, 5000);
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 300 * MS, engine_committed_some));
	if (shutdown)
		assert_int_equal(sim_shutdown(e->w, 0, DOMID, 0), 0);
	else
		assert_int_equal(primary_unprotect(e->primary, false), 0);
	s->kill_at = s->plan.calls + n;
	/* Killed between its last word and its duty, the receiver finds a shell
	 * that nobody wants, and waits 10 s for its primary. */
	assert_true(engine_until(e, 15000 * MS, standby_gone));
	fired = s->kills;
	engine_a_die(e);
	engine_run(e, 2 * MS);
	assert_int_equal(engine_runs(e, 0), !shutdown);
	assert_false(engine_took_over(e));
	engine_assert_sound(e);
	engine_free(e);
	return fired;
}

/* INV-7, INV-29 */
static void test_end(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		uint64_t n = 0;

		while (kill_at_end(k & 1 ? &engine.b : &engine.a, n, k & 2))
			n++;
		print_message("%llu kills\n", (unsigned long long)n);
		assert_true(n >= 2);
	}
}

static bool unapplied(struct engine *e)
{
	return staging_pending(e->staging);
}

/* The receiver dies while the primary is dead: apply, load, activate. */
static bool kill_taker(uint64_t n)
{
	struct engine *e = &engine;
	bool fired;

	engine_new(e, 4000);
	e->b.plan.pages = true;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 300 * MS, engine_committed_some));
	assert_true(engine_until(e, 10 * MS, unapplied));
	e->b.kill_at = e->b.plan.calls + n;
	the_end(e);
	fired = e->b.kills;
	engine_free(e);
	return fired;
}

static void test_taker(void **state)
{
	uint64_t n = 0;

	(void)state;
	while (kill_taker(n))
		n++;
	print_message("%llu kills\n", (unsigned long long)n);
	assert_true(n >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_receiver),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_taker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
