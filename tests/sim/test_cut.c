// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_cut.c - the stream is cut at every byte of a short session
 *
 * The session: shell, copy, some checkpoints.  In one set of runs the power of
 * the primary's host goes with the cut: the standby takes over, if it was
 * eligible, at a checkpoint that was committed, and knows all that left.  In
 * the other the link comes back: the session goes on, and nothing is lost.
 *
 * A link hands over whole messages or nothing, for every cut of a socket's
 * stream (test_link_tcp.c, test_cut).  So all cuts inside one message are one
 * and the same run here: each message is cut after its first byte, before its
 * last, and behind it, in both directions.
 */
#include "tests/sim/engine.h"

static struct engine engine;

enum { ENDS_MAX = 1024, COMMITS = 4 };

/* Where messages end, by direction, in a session that is not disturbed. */
static struct {
	uint64_t at[ENDS_MAX];
	unsigned int n;
} ends[2];

static bool committed_some(struct engine *e)
{
	return engine_protected(e) && e->acked >= COMMITS;
}

static void note_ends(struct engine *e)
{
	for (int i = 0; i < 2; i++) {
		uint64_t at = e->pair ? link_pair_sent(e->pair, i) : 0;
		uint64_t last = ends[i].n ? ends[i].at[ends[i].n - 1] : 0;

		if (at > last && ends[i].n < ENDS_MAX)
			ends[i].at[ends[i].n++] = at;
	}
}

static void record(uint64_t seed)
{
	struct engine *e = &engine;

	memset(ends, 0, sizeof(ends));
	engine_new(e, seed);
	e->on_send = note_ends;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 200 * MS, committed_some));
	note_ends(e);
	engine_free(e);
	assert_true(ends[0].n > 15 && ends[1].n > 5);
}

static bool first_link_gone(struct engine *e)
{
	return e->connections && !e->a.link && !e->b.link;
}

static void power_goes_too(uint64_t seed, int end, uint64_t at)
{
	struct engine *e = &engine;
	bool eligible;

	engine_new(e, seed);
	e->cut_connection = 1;
	e->knobs.cut[end] = at;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 200 * MS, first_link_gone));
	sim_power_off(e->w, 0);
	engine_a_die(e);
	eligible = staging_eligible(e->staging);
	assert_int_equal(engine_until(e, 50 * MS, engine_took_over), eligible);
	assert_true(staging_view(e->staging)->committed >= e->acked);
	engine_run(e, 2 * MS);
	assert_int_equal(engine_runs(e, 1), eligible);
	engine_assert_sound(e);
	engine_free(e);
}

static void link_comes_back(uint64_t seed, int end, uint64_t at)
{
	struct engine *e = &engine;

	engine_new(e, seed);
	e->cut_connection = 1;
	e->knobs.cut[end] = at;
	assert_int_equal(engine_start(e), 0);
	assert_true(engine_until(e, 200 * MS, first_link_gone));
	assert_true(engine_until(e, 200 * MS, committed_some));
	assert_int_equal(e->connections, 2);
	engine_assert_sound(e);
	sim_power_off(e->w, 0);
	engine_a_die(e);
	assert_true(engine_until(e, 50 * MS, engine_took_over));
	engine_run(e, 2 * MS);
	engine_assert_sound(e);
	engine_free(e);
}

static void every_message(uint64_t seed, void (*run)(uint64_t seed, int end,
						     uint64_t at))
{
	unsigned int runs = 0;

	record(seed);
	for (int end = 0; end < 2; end++) {
		uint64_t begin = 0;

		for (unsigned int i = 0; i < ends[end].n; i++) {
			uint64_t stop = ends[end].at[i];

			run(seed, end, begin + 1);
			run(seed, end, stop - 1);
			run(seed, end, stop);
			begin = stop;
			runs += 3;
		}
	}
	print_message("seed %llu: %u messages out, %u back, %u runs\n",
		      (unsigned long long)seed, ends[0].n, ends[1].n, runs);
}

/* INV-1, INV-2, INV-17, INV-19 */
static void test_power(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++)
		every_message(seed, power_goes_too);
	engine_assert_refers(100);
}

/* No full copy is needed once there was a commit, and none is wasted. */
static void test_resume(void **state)
{
	(void)state;
	for (uint64_t seed = 3; seed <= 4; seed++)
		every_message(seed, link_comes_back);
	engine_assert_refers(100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power),
		cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
