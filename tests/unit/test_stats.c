// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_stats.c - percentiles, means, and that old values go
 */
#include "replicator/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

static struct stats s;

static int setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	return 0;
}

static void test_empty(void **state)
{
	struct stats_summary out;

	(void)state;
	assert_int_equal(stats_percentile(&s.pause_ns, 99), 0);
	stats_summarise(&s, &out);
	assert_int_equal(out.checkpoints, 0);
	assert_true(out.dirty_pages_mean == 0);
}

static void test_percentiles(void **state)
{
	(void)state;
	for (uint64_t v = 100; v >= 1; v--)
		stats_add(&s.pause_ns, v);
	assert_int_equal(stats_percentile(&s.pause_ns, 0), 1);
	assert_int_equal(stats_percentile(&s.pause_ns, 50), 50);
	assert_int_equal(stats_percentile(&s.pause_ns, 99), 99);
	assert_int_equal(stats_percentile(&s.pause_ns, 100), 100);
	assert_int_equal(stats_percentile(&s.pause_ns, 1000), 100);
}

static void test_recent(void **state)
{
	(void)state;
	stats_add(&s.pause_ns, 1000000);
	for (int i = 0; i < STATS_RECENT; i++)
		stats_add(&s.pause_ns, 1);
	assert_int_equal(stats_percentile(&s.pause_ns, 100), 1);
}

static void test_summary(void **state)
{
	struct stats_summary out;

	(void)state;
	stats_checkpoint(&s, CAUSE_TAP, 10, 2000000);
	stats_checkpoint(&s, CAUSE_TAP, 20, 4000000);
	stats_checkpoint(&s, CAUSE_TIMER, 30, 6000000);
	stats_add(&s.pause_ns, 3000000);
	stats_summarise(&s, &out);
	assert_int_equal(out.checkpoints, 3);
	assert_int_equal(out.cause[CAUSE_TAP], 2);
	assert_int_equal(out.cause[CAUSE_TIMER], 1);
	assert_true(out.dirty_pages_mean == 20);
	assert_true(out.commit_ms_p50 == 4);
	assert_true(out.commit_ms_p99 == 4);
	assert_true(out.pause_ms_p50 == 3);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_empty),
		T(test_percentiles),
		T(test_recent),
		T(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
