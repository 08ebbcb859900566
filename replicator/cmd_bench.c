// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_bench.c - kemari bench: what would a link carry?
 *
 * Synthetic guests through the real engine, to a second process of this machine
 * or to another machine, beside the same bytes without it.  No Xen is needed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replicator/bench_engine.h"
#include "replicator/bench_measure.h"
#include "replicator/bench_report.h"
#include "replicator/commands.h"
#include "replicator/options.h"

enum { PAGES_PER_MIB = 256, MB = 1000000 };

/* --- the other end ----------------------------------------------------------- */

struct ports {
	unsigned int engine, raw;
};

static void tell_ports(void *arg, unsigned int port, unsigned int raw)
{
	const struct ports p = { port, raw };
	const int *fd = arg;

	if (write(*fd, &p, sizeof(p)) != sizeof(p))
		_exit(1);
}

static void print_ports(void *arg, unsigned int port, unsigned int raw)
{
	const struct options *o = arg;

	printf("kemari bench: listening on %s, ports %u and %u; unencrypted, made-up memory only\n",
	       o->host, port, raw);
}

static int serve(const struct options *o)
{
	char why[BENCH_WHY_MAX];

	(void)bench_serve(o->host, o->port, print_ports, (void *)o, why);
	fprintf(stderr, "kemari bench: --listen %s: %s\n", o->host, why);
	return 1;
}

/* In a process of its own, which goes with this one. */
static int fork_other_end(struct bench_path *path, char *why)
{
	struct ports p = { 0, 0 };
	int fd[2];

	snprintf(why, BENCH_WHY_MAX, "the other end could not be started");
	if (pipe(fd))
		return -1;
	path->pid = fork();
	if (path->pid < 0)
		return -1;
	if (!path->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fd[0]);
		(void)bench_serve(path->host, "0", tell_ports, &fd[1], why);
		fprintf(stderr, "kemari bench: %s\n", why);
		_exit(1);
	}
	close(fd[1]);
	if (read(fd[0], &p, sizeof(p)) != sizeof(p))
		p.engine = 0;
	close(fd[0]);
	snprintf(path->port, sizeof(path->port), "%u", p.engine);
	snprintf(path->raw, sizeof(path->raw), "%u", p.raw);
	return p.engine ? 0 : -1;
}

static int find_other_end(const struct options *o, struct bench_path *path,
			  char *why)
{
	if (!*o->host) {
		path->host = "127.0.0.1";
		return fork_other_end(path, why);
	}
	path->host = o->host;
	snprintf(path->port, sizeof(path->port), "%.10s", o->port);
	snprintf(path->raw, sizeof(path->raw), "%lu",
		 strtoul(o->port, NULL, 10) + 1);
	return 0;
}

/* --- what is measured ----------------------------------------------------------- */

static struct bench_way way_of(const struct options *o, enum bench_pattern p,
			       uint64_t rate)
{
	return (struct bench_way){
		.guest = {
			.pages = (uint64_t)o->bench_size_mib * PAGES_PER_MIB,
			.dirty = o->bench_pages,
			.pattern = p,
			.seed = o->bench_seed,
		},
		.rate = rate,
		.cache = (size_t)o->codec_cache_mib * PAGES_PER_MIB,
		.rounds = o->bench_rounds,
	};
}

static int pattern_of(const char *name)
{
	for (int p = 0; p < BENCH_PATTERNS; p++) {
		if (!strcmp(bench_pattern_str((enum bench_pattern)p), name))
			return p;
	}
	return -1;
}

/* Each pattern, at the rate that was asked for. */
static int size_link(const struct options *o, const struct bench_path *path,
		     struct bench_report *r, char *why)
{
	int only = o->pattern ? pattern_of(o->pattern) : -1;
	struct bench_result result;
	struct bench_way way;

	for (int p = 0; p < BENCH_PATTERNS; p++) {
		if (only >= 0 && p != only)
			continue;
		way = way_of(o, (enum bench_pattern)p,
			     (uint64_t)o->bench_rate * MB);
		if (bench_measure(path, &way, &result, why))
			return -1;
		bench_report_way(r, &way, &result);
	}
	return 0;
}

/* One row of a table of targets: a ratio of one measurement. */
static const struct target {
	const char *what;
	enum bench_pattern pattern;
	uint32_t rate;			/* MB/s, 0 not paced */
	uint32_t pages;			/* 0: as asked for */
	size_t ratio;			/* offset in struct bench_result */
	double want;
	bool at_most;
} targets[] = {
#define RATIO(member) offsetof(struct bench_result, member)
	{ "incompressible at 1250 MB/s: engine / raw stream", BENCH_RANDOM,
	  1250, 0, RATIO(to_raw), 0.9, false },
	{ "zero at 125 MB/s: engine / raw stream", BENCH_ZERO,
	  125, 0, RATIO(to_raw), 10, false },
	{ "rewritten-same at 125 MB/s: engine / raw stream", BENCH_SAME,
	  125, 0, RATIO(to_raw), 10, false },
	{ "sparse-change at 125 MB/s: engine / raw stream", BENCH_SPARSE,
	  125, 0, RATIO(to_raw), 5, false },
	{ "text at 125 MB/s: engine / raw stream", BENCH_TEXT,
	  125, 0, RATIO(to_raw), 1.5, false },
	{ "rewritten-same, not paced: engine / gather", BENCH_SAME,
	  0, 0, RATIO(to_gather), 0.4, false },
	{ "incompressible, not paced: CPU / (gather + send + receive + apply)",
	  BENCH_RANDOM, 0, 0, RATIO(to_parts), 1.6, true },
	{ "commit of 100 incompressible pages / raw ping-pong", BENCH_RANDOM,
	  0, 100, RATIO(to_ping), 2.5, true },
};

static int captures(const struct options *o, struct bench_report *r)
{
	struct bench_knobs small = way_of(o, BENCH_SAME, 0).guest, large;
	struct bench_capture cold, warm, huge;
	double grew, bare;

	small.dirty = 1000;
	large = small;
	large.pages = (uint64_t)BENCH_SIZE_MIB_MAX * PAGES_PER_MIB;
	if (bench_capture(&small, o->bench_rounds, true, &cold) ||
	    bench_capture(&small, o->bench_rounds, false, &warm) ||
	    bench_capture(&large, o->bench_rounds, false, &huge))
		return -1;
	bench_report_target(r, "capture of 1000 pages, cold: gather / capture",
			    cold.ratio, 0.8, false);
	bench_report_target(r, "capture of 1000 pages, warm: gather / capture",
			    warm.ratio, 0.8, false);
	grew = huge.capture_us / warm.capture_us;
	bare = huge.gather_us / warm.gather_us;
	bench_report_target(r, "16 GiB / as asked: growth of capture / of gather",
			    grew / bare, 1.1, true);
	return 0;
}

static int all_targets(const struct options *o, const struct bench_path *path,
		       struct bench_report *r, char *why)
{
	struct bench_result result;
	double figure;

	if (captures(o, r)) {
		snprintf(why, BENCH_WHY_MAX, "captures: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const struct target *t = &targets[i];
		struct bench_way way = way_of(o, t->pattern,
					      (uint64_t)t->rate * MB);

		if (t->pages)
			way.guest.dirty = t->pages;
		if (bench_measure(path, &way, &result, why))
			return -1;
		memcpy(&figure, (const char *)&result + t->ratio,
		       sizeof(figure));
		bench_report_target(r, t->what, figure, t->want, t->at_most);
		if (t->pages)
			bench_report_parts(&result);
	}
	return 0;
}

static int measure(const struct options *o, const struct bench_path *path,
		   struct bench_report *r, char *why)
{
	if (size_link(o, path, r, why))
		return -1;
	bench_report_baselines(r);
	/* The targets have rates of their own. */
	return o->bench_rate || o->pattern ? 0 : all_targets(o, path, r, why);
}

int cmd_bench(const struct options *o)
{
	struct bench_path path = { .pid = 0 };
	char why[BENCH_WHY_MAX] = "";
	struct bench_report *r;
	int failed;

	if (o->serve)
		return serve(o);
	if (o->pattern && pattern_of(o->pattern) < 0) {
		fprintf(stderr, "kemari bench: --pattern %s: must be zero, same, sparse, text or random\n",
			o->pattern);
		return EXIT_USAGE;
	}
	r = bench_report_new(o->json_file);
	if (!r) {
		fprintf(stderr, "kemari bench: --json %s: %s\n",
			o->json_file ? o->json_file : "", strerror(errno));
		return 1;
	}
	failed = find_other_end(o, &path, why) || measure(o, &path, r, why);
	if (failed)
		fprintf(stderr, "kemari bench: %s\n", why);
	if (path.pid > 0) {
		kill(path.pid, SIGKILL);
		waitpid(path.pid, NULL, 0);
	}
	if (bench_report_end(r, !failed)) {
		fprintf(stderr, "kemari bench: --json %s: %s\n", o->json_file,
			strerror(errno));
		failed = 1;
	}
	return failed ? 1 : 0;
}
