// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_ended.c - END is lost on its way, and the standby's host begins anew
 *
 * What a receiver without a memory says about the session must not let a guest
 * run that an operator has made run on that receiver's host.
 */
#include "tests/sim/engine.h"

static struct engine engine;

static void cut(struct engine *e)
{
	link_pair_cut(e->pair);
	e->no_link = true;
	engine_run(e, 100 * MS);
}

/* Protected; then END is sent, and lost. */
static void end_lost(struct engine *e)
{
	engine_new(e, 501);
	e->no_fence = true;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 500 * MS, engine_committed_some));
	assert_int_equal(primary_unprotect(e->primary, false), 0);
	cut(e);
}

/* As `kemari receive` that is started again: its memory is new. */
static void anew(struct engine *e)
{
	staging_move(e->staging, STAGING_EMPTY);
	engine_b_die(e);
	assert_int_equal(engine_b_born(e), 0);
	e->no_link = false;
	engine_run(e, 2000 * MS);
}

/* INV-8, INV-29 */
static void test_forced(void **state)
{
	struct engine *e = &engine;

	(void)state;
	end_lost(e);
	assert_int_equal(secondary_failover(e->secondary), 0);
	engine_run(e, 100 * MS);
	assert_true(engine_runs(e, 1));
	anew(e);
	assert_true(engine_runs(e, 1));
	assert_false(engine_runs(e, 0));
	engine_free(e);
}

/* The operator says what the receiver cannot know. */
static void test_operator(void **state)
{
	struct engine *e = &engine;

	(void)state;
	end_lost(e);
	anew(e);
	assert_false(engine_runs(e, 0));
	assert_int_equal(primary_unprotect(e->primary, true), 0);
	engine_run(e, 100 * MS);
	assert_true(engine_runs(e, 0));
	engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forced),
		cmocka_unit_test(test_operator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
