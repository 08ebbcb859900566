// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bench.c - what `kemari bench` measures is there and is measured
 *
 * No figure of time is judged here: what is sent for a page is.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "replicator/bench_engine.h"
#include "replicator/bench_measure.h"
#include "replicator/bench_raw.h"
#include "replicator/wire.h"

enum { DIRTY = 96 };

static struct bench_path path = { .host = "127.0.0.1" };
static char why[BENCH_WHY_MAX];

static struct bench_knobs knobs(enum bench_pattern p)
{
	return (struct bench_knobs){
		.pages = BENCH_GUEST_PAGES_MIN,
		.dirty = DIRTY,
		.pattern = p,
		.seed = 3,
	};
}

/* How many words of the frames that change do change. */
static void test_patterns(void **state)
{
	static const struct {
		enum bench_pattern pattern;
		unsigned int low, high;
	} want[] = {
		{ BENCH_SAME, 0, 0 },
		{ BENCH_SPARSE, DIRTY * 6, DIRTY * 8 },
		{ BENCH_TEXT, DIRTY * 500, DIRTY * 512 },
		{ BENCH_RANDOM, DIRTY * 500, DIRTY * 512 },
	};
	uint64_t *before = malloc((size_t)DIRTY * WIRE_PAGE);
	const uint64_t *list, *now;
	size_t n, i, k, w;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct bench_knobs knob = knobs(want[i].pattern);
		struct platform *p = bench_guest_new(&knob);
		unsigned int changed = 0;

		assert_non_null(p);
		list = bench_guest_list(p, &n);
		assert_int_equal(n, DIRTY);
		bench_guest_change(p);
		assert_true(raw_gather(p, before) > 0);
		bench_guest_change(p);
		for (k = 0; k < n; k++) {
			assert_true(!k || list[k] > list[k - 1]);
			now = p->ops->page(p, list[k]);
			for (w = 0; w < WIRE_PAGE / 8; w++)
				changed += now[w] != before[k * WIRE_PAGE / 8 +
							    w];
		}
		assert_in_range(changed, want[i].low, want[i].high);
		/* And back. */
		raw_scatter(p, before);
		assert_memory_equal(p->ops->page(p, list[n - 1]),
				    before + (n - 1) * WIRE_PAGE / 8,
				    WIRE_PAGE);
		p->ops->close(p);
	}
	free(before);
}

static void test_capture(void **state)
{
	struct bench_knobs k = knobs(BENCH_SAME);
	struct bench_capture c;

	(void)state;
	assert_int_equal(bench_capture(&k, 3, false, &c), 0);
	assert_true(c.capture_us > 0 && c.gather_us > 0 && c.ratio > 0);
}

static void test_median(void **state)
{
	double v[] = { 5, 1, 4, 2 };

	(void)state;
	assert_true(bench_median(v, 4) == 3);
	assert_true(bench_median(v, 3) == 2);
	assert_true(bench_median(v, 0) == 0);
}

static void tell(void *arg, unsigned int port, unsigned int raw)
{
	const unsigned int ports[] = { port, raw };

	if (write(*(const int *)arg, ports, sizeof(ports)) != sizeof(ports))
		_exit(1);
}

static int start_server(void **state)
{
	unsigned int ports[2];
	int fd[2];

	(void)state;
	if (pipe(fd))
		return -1;
	path.pid = fork();
	if (!path.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)bench_serve(path.host, "0", tell, &fd[1], why);
		_exit(1);
	}
	close(fd[1]);
	if (read(fd[0], ports, sizeof(ports)) != sizeof(ports))
		return -1;
	close(fd[0]);
	snprintf(path.port, sizeof(path.port), "%u", ports[0]);
	snprintf(path.raw, sizeof(path.raw), "%u", ports[1]);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	kill(path.pid, SIGKILL);
	return waitpid(path.pid, NULL, 0) != path.pid;
}

/* The whole engine, and what it sends for a page of each kind. */
static void test_measure(void **state)
{
	static const struct {
		double low, high;
	} wire[] = {
		[BENCH_ZERO] = { 16, 18 },
		[BENCH_SAME] = { 32, 34 },
		[BENCH_SPARSE] = { 80, 250 },
		[BENCH_TEXT] = { 1000, 3000 },
		[BENCH_RANDOM] = { 4096, 4120 },
	};

	(void)state;
	for (int p = 0; p < BENCH_PATTERNS; p++) {
		struct bench_way way = {
			.guest = knobs((enum bench_pattern)p),
			.cache = 2 * DIRTY,
			.rounds = 2,
		};
		struct bench_result r;

		if (bench_measure(&path, &way, &r, why))
			fail_msg("%s: %s", bench_pattern_str(p), why);
		if (r.wire < wire[p].low || r.wire > wire[p].high)
			fail_msg("%s: %g bytes for a page",
				 bench_pattern_str(p), r.wire);
		assert_true(r.engine > 0 && r.raw > 0 && r.gather > 0 &&
			    r.commit_ms > 0 && r.ping_ms > 0 && r.cpu_us > 0);
		assert_true(r.to_parts > 0 && r.lz4_size > 0);
	}
}

/* The other end outlives who asks for nonsense, or goes away. */
static void test_bad_ask(void **state)
{
	static const uint64_t bad[][2] = {
		{ 0, 1 }, { 1, 0 }, { UINT64_MAX, 1 }, { 1, UINT64_MAX },
	};
	struct bench_way way = { .guest = knobs(BENCH_ZERO), .rounds = 1 };
	struct bench_result r;
	struct bench_engine *e;
	char byte;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = raw_connect(path.host, path.raw, 0, why);
		assert_true(fd >= 0);
		assert_int_equal(send(fd, bad[i], sizeof(bad[i]), 0),
				 sizeof(bad[i]));
		assert_int_equal(recv(fd, &byte, 1, 0), 0);
		close(fd);
	}
	fd = raw_connect(path.host, path.port, 0, why);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, bad, sizeof(bad), 0), sizeof(bad));
	close(fd);
	e = bench_engine_open(path.host, path.port, &way.guest, 0, 0, why);
	assert_non_null(e);
	assert_int_equal(bench_measure(&path, &way, &r, why), 0);
	bench_engine_close(e);
}

static void test_nobody_there(void **state)
{
	struct bench_way way = { .guest = knobs(BENCH_ZERO), .rounds = 1 };
	struct bench_path nowhere = { .host = "127.0.0.1", .port = "1",
				      .raw = "2" };
	struct bench_result r;

	(void)state;
	assert_int_equal(bench_measure(&nowhere, &way, &r, why), -1);
	assert_true(*why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_median),
		cmocka_unit_test_setup_teardown(test_measure, start_server,
						stop_server),
		cmocka_unit_test_setup_teardown(test_bad_ask, start_server,
						stop_server),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
