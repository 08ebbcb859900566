// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_chaos.c - many small accidents in one session, drawn from a seed
 *
 * Links are cut and stall, controllers are killed, calls fail, dirty
 * information is lost, all at random moments and on top of each other.  The
 * observer is asked after each.  Then the accidents end: the session must find
 * back to protection by itself, and survive the power cut that follows.
 *
 * KEMARI_SIM_SEEDS=FIRST-LAST runs those seeds instead.
 */
#include "tests/sim/engine.h"

static struct engine engine;

enum { ACCIDENTS = 25, SEEDS = 40 };

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void kill_soon(struct side *s, uint64_t within)
{
	s->kill_at = s->plan.calls + within;
}

static void calls_fail(struct side *s, uint32_t per_mille, uint64_t seed)
{
	s->plan.per_mille = per_mille;
	s->plan.rng = seed;
	s->plan.err = EAGAIN;
}

static void accident(struct engine *e, uint64_t *rng)
{
	uint64_t r = next_random(rng);

	switch (r % 8) {
	case 0:
		if (e->pair)
			link_pair_cut(e->pair);
		break;
	case 1:
		if (e->pair)
			link_pair_stall(e->pair);
		break;
	case 2:
		kill_soon(&e->a, r / 8 % 30);
		break;
	case 3:
		kill_soon(&e->b, r / 8 % 10);
		break;
	case 4:
		calls_fail(&e->a, r / 8 % 30, r);
		break;
	case 5:
		calls_fail(&e->b, r / 8 % 30, r);
		break;
	case 6:
		sim_lose_dirty(e->w, 0, DOMID);
		break;
	case 7:
		calls_fail(&e->a, 0, 1);
		calls_fail(&e->b, 0, 1);
		break;
	}
}

static void calm(struct engine *e)
{
	calls_fail(&e->a, 0, 1);
	calls_fail(&e->b, 0, 1);
	e->a.kill_at = FAULT_NEVER;
	e->b.kill_at = FAULT_NEVER;
}

/* The protection gave up before its first commit: a user begins anew. */
static bool gave_up(struct engine *e)
{
	return e->primary && primary_outcome(e->primary) == PRIMARY_REFUSED;
}

static void one_seed(uint64_t seed)
{
	struct engine *e = &engine;
	uint64_t rng = seed * 77;
	bool over = false;

	if (getenv("KEMARI_VERBOSE"))
		print_message("seed %llu\n", (unsigned long long)seed);
	engine_new(e, seed);
	/* Events without requests, and requests without events. */
	sim_knobs(e->w)->idle = seed % 3 ? 0 : 200;
	sim_knobs(e->w)->quiet = seed % 2 ? 0 : 500;
	/* A link that breaks is repaired before anybody is fenced. */
	e->grace = 2000 * MS;
	assert_int_equal(engine_start(e), 0);
	for (int i = 0; i < ACCIDENTS && !over; i++) {
		engine_run(e, next_random(&rng) % (3 * MS));
		engine_assert_sound(e);
		accident(e, &rng);
		over = gave_up(e);
	}
	calm(e);
	if (!over) {
		over = !engine_until(e, 8000 * MS, engine_protected) &&
		       gave_up(e);
		if (!over && !engine_protected(e))
			fail_msg("seed %llu: not protected again",
				 (unsigned long long)seed);
	}
	engine_assert_sound(e);
	if (over) {
		engine_assert_free(e);
	} else {
		sim_power_off(e->w, 0);
		engine_a_die(e);
		e->a_restart_at = 0;
		assert_true(engine_until(e, 4000 * MS, engine_took_over));
		engine_run(e, 2 * MS);
		assert_true(engine_runs(e, 1));
	}
	engine_assert_sound(e);
	engine_free(e);
}

static void test_chaos(void **state)
{
	const char *range = getenv("KEMARI_SIM_SEEDS");
	unsigned long long first = 1, last = SEEDS;

	(void)state;
	if (range)
		assert_int_equal(sscanf(range, "%llu-%llu", &first, &last), 2);
	for (uint64_t seed = first; seed <= last; seed++)
		one_seed(seed);
	if (!getenv("KEMARI_SIM_SEEDS"))
		engine_assert_refers(100);
}

/* What is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
