// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_measure.c - the engine and what it is measured against, in turns
 */
#include "replicator/bench_measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replicator/bench_engine.h"
#include "replicator/bench_raw.h"
#include "replicator/wire.h"

enum {
	WARM_UP = 8,		/* checkpoints before the first round */
	TURN_MS = 200,		/* about, of the raw stream */
	CYCLES_MIN = 4, CYCLES_MAX = 64,	/* of the engine in a turn */
	UNPACED = 1 << 28,	/* bytes/s, to reckon the length of a turn */
	GATHERS = 8,
};

double bench_median(double *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		double x = v[i];
		size_t k = i;

		for (; k && v[k - 1] > x; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
	return !n ? 0 : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* --- time and CPU time of a turn --------------------------------------------- */

struct span {
	uint64_t wall, here, there;	/* ns */
};

static uint64_t cpu_of(pid_t pid)
{
	struct timespec t;
	clockid_t id;

	if (pid < 0 || clock_getcpuclockid(pid, &id) || clock_gettime(id, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(struct span *s, const struct bench_path *path)
{
	s->there = path->pid ? cpu_of(path->pid) : 0;
	s->here = cpu_of(0);
	s->wall = bench_now();
}

static void end(struct span *s, const struct bench_path *path)
{
	s->wall = bench_now() - s->wall;
	s->here = cpu_of(0) - s->here;
	s->there = path->pid ? cpu_of(path->pid) - s->there : 0;
}

/* --- one way ------------------------------------------------------------------- */

/* What is kept of each round. */
enum column {
	ENGINE, RAW, GATHER, SCATTER, TO_RAW, TO_GATHER, PING, TO_PING, CPU,
	TO_PARTS, CAPTURE, RECEIVE, VERIFY, WIRE, COLUMNS
};

struct turn {
	const struct bench_path *path;
	const struct bench_way *way;
	struct bench_engine *engine;
	int raw;
	void *buffer;
	uint32_t cycles;		/* in a turn */
	uint32_t round;
	double bytes;			/* of pages in a turn */
	double column[COLUMNS][BENCH_ROUNDS_MAX];
	struct bench_cycles did;
	uint64_t ping_ns[CYCLES_MAX];
	double commit[BENCH_CYCLES_MAX];	/* ms, of all rounds */
	size_t commits;
	uint64_t memory;
};

static void put(struct turn *t, enum column c, double v)
{
	t->column[c][t->round] = v;
}

static double median(struct turn *t, enum column c)
{
	return bench_median(t->column[c], t->way->rounds);
}

static double ms_of(const uint64_t *ns, uint32_t n)
{
	double v[BENCH_CYCLES_MAX];

	for (uint32_t i = 0; i < n; i++)
		v[i] = (double)ns[i] / 1e6;
	return bench_median(v, n);
}

/* CPU time of one gather, or scatter, of the list; the fastest, so that what
 * the machine does beside it does not count.  Wall time: into @wall. */
static double copy_turn(struct turn *t, bool back, double *wall)
{
	struct platform *guest = bench_engine_guest(t->engine);
	double walls[GATHERS], cpu[GATHERS];
	struct span s;

	for (int i = 0; i < GATHERS; i++) {
		begin(&s, t->path);
		walls[i] = (double)(back ? raw_scatter(guest, t->buffer) :
					   raw_gather(guest, t->buffer));
		end(&s, t->path);
		cpu[i] = (double)s.here;
	}
	*wall = bench_median(walls, GATHERS);
	return bench_median(cpu, GATHERS);
}

/* The engine's turn.  Its CPU time for a turn, ns; negative: it failed. */
static double engine_turn(struct turn *t)
{
	struct bench_parts parts;
	uint64_t sum = 0, capture = 0;
	struct span s;

	begin(&s, t->path);
	if (bench_engine_run(t->engine, t->cycles, &t->did, &parts))
		return -1;
	end(&s, t->path);
	for (uint32_t i = 0; i < t->did.n; i++) {
		sum += t->did.ns[i];
		capture += t->did.capture_ns[i];
		if (t->commits < BENCH_CYCLES_MAX)
			t->commit[t->commits++] = (double)t->did.ns[i] / 1e6;
	}
	t->memory = parts.sent.memory;
	put(t, ENGINE, t->bytes / (double)sum * 1e9);
	put(t, CAPTURE, (double)capture / 1e6 / t->did.n);
	put(t, RECEIVE, (double)parts.receive_ns / 1e6 / t->did.n);
	put(t, VERIFY, (double)parts.verify_ns / 1e6 / t->did.n);
	put(t, WIRE, (double)parts.sent.codec.bytes * WIRE_PAGE / t->bytes);
	return (double)(t->did.cpu_ns + s.there);
}

static int one_round(struct turn *t, char *why)
{
	uint64_t message = t->way->guest.dirty *
			   (uint64_t)(WIRE_PAGE + sizeof(struct wire_page));
	double cpu, parts, gather, scatter, pages = t->bytes / WIRE_PAGE;
	struct span s;

	/* SCATTER writes what GATHER read: the guest is as it was. */
	parts = copy_turn(t, false, &gather);
	parts += copy_turn(t, true, &scatter);
	put(t, GATHER, t->bytes / t->cycles / gather * 1e9);
	put(t, SCATTER, t->bytes / t->cycles / scatter * 1e9);
	cpu = engine_turn(t);
	if (cpu < 0)
		return -1;
	begin(&s, t->path);
	if (!raw_send(t->raw, (uint64_t)t->bytes, 1, NULL))
		goto lost;
	end(&s, t->path);
	put(t, RAW, t->bytes / (double)s.wall * 1e9);
	parts = parts * t->cycles + (double)(s.here + s.there);
	put(t, CPU, t->path->pid ? cpu / 1e3 / pages : 0);
	put(t, TO_PARTS, t->path->pid ? cpu / parts : 0);
	if (!raw_send(t->raw, message, t->cycles, t->ping_ns))
		goto lost;
	put(t, PING, ms_of(t->ping_ns, t->cycles));
	put(t, TO_PING, ms_of(t->did.ns, t->did.n) /
			t->column[PING][t->round]);
	put(t, TO_RAW, t->column[ENGINE][t->round] / t->column[RAW][t->round]);
	put(t, TO_GATHER, t->column[ENGINE][t->round] /
			  t->column[GATHER][t->round]);
	return 0;
lost:
	snprintf(why, BENCH_WHY_MAX, "the raw connection broke");
	return -1;
}

static void conclude(struct turn *t, struct bench_result *out)
{
	struct raw_lz4 lz4 = raw_lz4(bench_engine_guest(t->engine));
	double plain = (double)t->way->guest.dirty * WIRE_PAGE;

	*out = (struct bench_result){
		.engine = median(t, ENGINE),
		.raw = median(t, RAW),
		.gather = median(t, GATHER),
		.scatter = median(t, SCATTER),
		.to_raw = median(t, TO_RAW),
		.to_gather = median(t, TO_GATHER),
		.wire = median(t, WIRE),
		.commit_ms = bench_median(t->commit, t->commits),
		.capture_ms = median(t, CAPTURE),
		.receive_ms = median(t, RECEIVE),
		.verify_ms = median(t, VERIFY),
		.ping_ms = median(t, PING),
		.to_ping = median(t, TO_PING),
		.cpu_us = median(t, CPU),
		.to_parts = median(t, TO_PARTS),
		.lz4_compress = plain / (double)lz4.compress_ns * 1e9,
		.lz4_decompress = plain / (double)lz4.decompress_ns * 1e9,
		.lz4_size = (double)lz4.bytes / plain,
		.memory = t->memory,
	};
}

static uint32_t cycles_of(const struct bench_way *way)
{
	uint64_t rate = way->rate ? way->rate : UNPACED;
	uint64_t n = rate * TURN_MS / 1000 / way->guest.dirty / WIRE_PAGE;

	return n < CYCLES_MIN ? CYCLES_MIN : n > CYCLES_MAX ? CYCLES_MAX :
	       (uint32_t)n;
}

int bench_measure(const struct bench_path *path, const struct bench_way *way,
		  struct bench_result *out, char *why)
{
	struct turn *t = calloc(1, sizeof(*t));
	struct bench_parts parts;
	int rc = -1;

	if (!t) {
		snprintf(why, BENCH_WHY_MAX, "out of memory");
		return -1;
	}
	t->path = path;
	t->way = way;
	t->cycles = cycles_of(way);
	t->bytes = (double)t->cycles * way->guest.dirty * WIRE_PAGE;
	t->buffer = calloc(way->guest.dirty, WIRE_PAGE);
	t->engine = bench_engine_open(path->host, path->port, &way->guest,
				      way->rate, way->cache, why);
	t->raw = raw_connect(path->host, path->raw, way->rate, why);
	if (!t->buffer || !t->engine || t->raw < 0 ||
	    bench_engine_run(t->engine, WARM_UP, &t->did, &parts))
		goto out;
	for (; t->round < way->rounds; t->round++) {
		if (one_round(t, why))
			goto out;
	}
	conclude(t, out);
	rc = 0;
out:
	if (t->raw >= 0)
		close(t->raw);
	bench_engine_close(t->engine);
	free(t->buffer);
	free(t);
	return rc;
}
