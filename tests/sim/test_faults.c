// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_faults.c - every call of platform, gate and link fails once in turn
 *
 * A short session: protect, some epochs, the power of the primary's host is
 * cut, take-over, the guest runs on.  In run n the n-th call of one side
 * fails: once, or that operation for good, or everything from there on.
 * After each run the observer must be content: nothing left uncommitted
 * (INV-1), what continues knows all that left (INV-2), one runner (INV-26).
 * After a single failure the session must also reach its end.
 */
#include "tests/sim/engine.h"

static struct engine engine;

/* The session.  Whether the guest came through as it should. */
static void play(struct engine *e, bool must_end)
{
	bool ok;

	/* Refused by a fault at the start: the guest is untouched. */
	if (engine_start(e)) {
		engine_assert_free(e);
		return;
	}
	ok = engine_until(e, 60 * MS, engine_committed_some);
	if (!ok && engine_primary_over(e)) {
		engine_assert_free(e);
		return;
	}
	if (must_end)
		assert_true(ok);
	engine_assert_sound(e);
	sim_power_off(e->w, 0);
	engine_a_die(e);
	ok = engine_until(e, 100 * MS, engine_took_over);
	if (must_end)
		assert_true(ok);
	engine_run(e, 3 * MS);
	engine_assert_sound(e);
}

static uint64_t one_run(int side, uint64_t n, enum fault_span span, int err,
			bool done)
{
	struct engine *e = &engine;
	struct side *s;
	uint64_t fired;

	engine_new(e, 1000 + n);
	s = side ? &e->b : &e->a;
	s->plan.at = n;
	s->plan.span = span;
	s->plan.err = err;
	s->plan.done = done;
	if (e->verbose)
		print_message("side %d call %llu span %d\n", side,
			      (unsigned long long)n, (int)span);
	play(e, span == FAULT_ONCE && !done);
	fired = s->plan.fired;
	engine_free(e);
	return fired;
}

static void all_runs(int side, enum fault_span span, int err, bool done,
		     uint64_t stride)
{
	uint64_t n = 0;

	while (one_run(side, n, span, err, done))
		n += stride;
	print_message("%llu runs\n", (unsigned long long)(n / stride));
	assert_true(n >= 20);
}

static void test_primary_once(void **state)
{
	(void)state;
	all_runs(0, FAULT_ONCE, EIO, false, 1);
}

static void test_primary_again(void **state)
{
	(void)state;
	all_runs(0, FAULT_ONCE, EAGAIN, false, 1);
}

/* The call is carried out, then said to have failed. */
static void test_primary_unheard(void **state)
{
	(void)state;
	all_runs(0, FAULT_ONCE, EIO, true, 1);
}

static void test_secondary_unheard(void **state)
{
	(void)state;
	all_runs(1, FAULT_ONCE, EIO, true, 1);
}

static void test_primary_op(void **state)
{
	(void)state;
	all_runs(0, FAULT_OP, EIO, false, 1);
}

static void test_primary_all(void **state)
{
	(void)state;
	all_runs(0, FAULT_ALL, EPIPE, false, 3);
}

static void test_secondary_once(void **state)
{
	(void)state;
	all_runs(1, FAULT_ONCE, EPIPE, false, 1);
}

static void test_secondary_again(void **state)
{
	(void)state;
	all_runs(1, FAULT_ONCE, EAGAIN, false, 1);
}

static void test_secondary_op(void **state)
{
	(void)state;
	all_runs(1, FAULT_OP, EIO, false, 1);
}

static void test_secondary_all(void **state)
{
	(void)state;
	all_runs(1, FAULT_ALL, EPIPE, false, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_primary_once),
		cmocka_unit_test(test_primary_again),
		cmocka_unit_test(test_primary_unheard),
		cmocka_unit_test(test_secondary_unheard),
		cmocka_unit_test(test_primary_op),
		cmocka_unit_test(test_primary_all),
		cmocka_unit_test(test_secondary_once),
		cmocka_unit_test(test_secondary_again),
		cmocka_unit_test(test_secondary_op),
		cmocka_unit_test(test_secondary_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
