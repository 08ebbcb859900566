// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_session.c - whole sessions without faults: protect, take over, end
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

/* The main job: INV-1, INV-2, INV-24, INV-26. */
static void test_power_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct engine *e = protected_guest(seed);

		engine_run(e, seed * 1234 * US);
		sim_power_off(e->w, 0);
		engine_a_die(e);
		assert_true(engine_until(e, 500 * MS, engine_took_over));
		assert_true(engine_runs(e, 1));
		finish(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
