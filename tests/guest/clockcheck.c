// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * clockcheck.c - a guest's witness: what must not happen to it, it would see
 *
 * Two threads on each CPU watch the clocks (never back, never standing still,
 * on one CPU and across CPUs) and the timers (a sleep ends, and not before its
 * time).  One thread keeps verifying and changing a working set in memory,
 * page by page, each page with a checksum and a sequence number that is also
 * kept elsewhere, so that a page of the past is noticed too.
 *
 * Standard output gets numbered lines, "N <count> mono=<ns> real=<ns>", and
 * "BAD <what>" for each violation; "KMSG <record>" for messages of the kernel.
 * A line goes out whole: one write, and on a terminal no processing.
 *
 * Options, as arguments or on the kernel's command line:
 *	ms=N	between two numbered lines (default 10)
 *	mb=N	size of the working set in MiB (default 32)
 *	pages=N	changed in a row (default 4)
 *	calm=N	all rests are N times as long (default 1): a guest that has other
 *		things to do
 *	kmsg=1	tell what the kernel says from the start on, as /dev/kmsg has it
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/guest.h"

enum {
	CPUS_MAX = 128,
	BURST = 10,			/* readings in a row */
	STILL_READS = 50000000,		/* of one value: it stands still */
	WORDS = 4096 / sizeof(uint64_t),
	STALL_S = 120,			/* a thread that does nothing */
	NS_PER_MS = 1000000,
};

static struct option options[] = {
	{ "ms", 10, 1, 60000 },
	{ "mb", 32, 1, 4096 },
	{ "pages", 4, 1, 100000 },
	{ "calm", 1, 1, 1000 },
	{ "kmsg", 0, 0, 1 },
};

enum { OPT_MS, OPT_MB, OPT_PAGES, OPT_CALM, OPT_KMSG };

/* A clock that all CPUs must agree on. */
struct clock {
	const char *name;
	clockid_t id;
	_Atomic uint64_t newest;
};

static struct clock clocks[] = {
	{ .name = "MONOTONIC", .id = CLOCK_MONOTONIC },
	{ .name = "MONOTONIC_RAW", .id = CLOCK_MONOTONIC_RAW },
	{ .name = "BOOTTIME", .id = CLOCK_BOOTTIME },
	{ .name = "REALTIME", .id = CLOCK_REALTIME },
};

enum { CLOCKS = sizeof(clocks) / sizeof(clocks[0]) };

struct worker {
	pthread_t thread;
	const char *what;
	int cpu;
	_Atomic uint64_t rounds;
	uint64_t seen;			/* by the main thread */
	uint64_t seen_at;
};

static struct worker workers[2 * CPUS_MAX + 1];
static int nworkers;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		say("BAD cannot run on CPU %d: %s\n", cpu, strerror(errno));
}

/* --- clocks ------------------------------------------------------------ */

static uint64_t check_clock(struct clock *c, int cpu, uint64_t last)
{
	/* What others saw is read before our own clock is. */
	uint64_t newest = atomic_load(&c->newest);
	uint64_t t = now(c->id);

	if (t < last)
		say("BAD CLOCK_%s went back on CPU %d: %llu after %llu\n",
		    c->name, cpu, (unsigned long long)t,
		    (unsigned long long)last);
	if (t < newest)
		say("BAD CLOCK_%s on CPU %d is behind another CPU: %llu after "
		    "%llu\n", c->name, cpu, (unsigned long long)t,
		    (unsigned long long)newest);
	while (newest < t &&
	       !atomic_compare_exchange_weak(&c->newest, &newest, t))
		;
	return t;
}

static struct timespec span(unsigned long ms)
{
	return (struct timespec){ .tv_sec = (time_t)(ms / 1000),
				  .tv_nsec = (long)(ms % 1000 * NS_PER_MS) };
}

static void check_moves(const struct clock *c, int cpu)
{
	uint64_t first = now(c->id);

	for (int i = 0; i < STILL_READS; i++)
		if (now(c->id) != first)
			return;
	say("BAD CLOCK_%s stands still at %llu on CPU %d\n", c->name,
	    (unsigned long long)first, cpu);
}

static void *watch_clocks(void *arg)
{
	struct worker *w = arg;
	struct timespec nap = span(7 * options[OPT_CALM].value);
	uint64_t last[CLOCKS] = { 0 };

	pin(w->cpu);
	for (;; atomic_fetch_add(&w->rounds, 1)) {
		for (int n = 0; n < BURST; n++)
			for (int c = 0; c < CLOCKS; c++)
				last[c] = check_clock(&clocks[c], w->cpu,
						      last[c]);
		for (int c = 0; c < CLOCKS; c++)
			check_moves(&clocks[c], w->cpu);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

/* --- timers ------------------------------------------------------------ */

static void *watch_timers(void *arg)
{
	struct worker *w = arg;
	struct timespec until;
	uint64_t due, woke, step = 5;

	pin(w->cpu);
	for (;; atomic_fetch_add(&w->rounds, 1)) {
		/* 1 to 30 ms, in no order, if it is not calm. */
		step = step * 7 % 31;
		due = now(CLOCK_MONOTONIC) +
		      step * options[OPT_CALM].value * NS_PER_MS;
		until.tv_sec = (time_t)(due / 1000000000u);
		until.tv_nsec = (long)(due % 1000000000u);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until,
				       NULL) == EINTR)
			;
		woke = now(CLOCK_MONOTONIC);
		if (woke < due)
			say("BAD timer on CPU %d fired at %llu, due at %llu\n",
			    w->cpu, (unsigned long long)woke,
			    (unsigned long long)due);
	}
	return NULL;
}

/* --- memory ------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Word 0: sequence number, last word: checksum of the others. */
static void fill(uint64_t *page, uint64_t number, uint64_t seq)
{
	uint64_t sum = 0;

	page[0] = seq;
	for (unsigned int i = 1; i < WORDS - 1; i++) {
		page[i] = mix(number << 32 ^ seq << 10 ^ i);
		sum = (sum << 1 | sum >> 63) ^ page[i];
	}
	page[WORDS - 1] = mix(sum ^ seq ^ number);
}

static void verify(const uint64_t *page, uint64_t number, uint64_t seq)
{
	uint64_t sum = 0;

	for (unsigned int i = 1; i < WORDS - 1; i++)
		sum = (sum << 1 | sum >> 63) ^ page[i];
	if (page[WORDS - 1] != mix(sum ^ page[0] ^ number))
		say("BAD memory: page %llu, sequence %llu, has a wrong "
		    "checksum\n", (unsigned long long)number,
		    (unsigned long long)page[0]);
	if (page[0] != seq)
		say("BAD memory: page %llu has sequence %llu, must be %llu\n",
		    (unsigned long long)number, (unsigned long long)page[0],
		    (unsigned long long)seq);
}

static void *watch_memory(void *arg)
{
	struct worker *w = arg;
	struct timespec nap = span(options[OPT_CALM].value);
	uint64_t pages = options[OPT_MB].value << 8, at = 1;
	uint64_t *set, *seq;

	set = aligned_alloc(4096, pages * 4096);
	seq = calloc(pages, sizeof(*seq));
	if (!set || !seq) {
		say("BAD no memory for a working set of %lu MiB\n",
		    options[OPT_MB].value);
		return NULL;
	}
	for (uint64_t n = 0; n < pages; n++)
		fill(set + n * WORDS, n, seq[n]);
	say("clockcheck: working set of %llu pages ready\n",
	    (unsigned long long)pages);
	for (;; atomic_fetch_add(&w->rounds, 1)) {
		for (unsigned long i = 0; i < options[OPT_PAGES].value; i++) {
			at = mix(at + 0x9e3779b97f4a7c15u);
			uint64_t n = at % pages;

			verify(set + n * WORDS, n, seq[n]);
			fill(set + n * WORDS, n, ++seq[n]);
		}
		nanosleep(&nap, NULL);
	}
	return NULL;
}

/* --- the kernel -------------------------------------------------------- */

static void *watch_kernel(void *arg)
{
	int fd = open("/dev/kmsg", O_RDONLY);
	char record[8192];			/* of them at most: one read */
	ssize_t n;

	(void)arg;
	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0) {
		say("BAD cannot read /dev/kmsg: %s\n", strerror(errno));
		return NULL;
	}
	for (;;) {
		n = read(fd, record, sizeof(record));
		if (n < 0 && errno != EPIPE)
			say("BAD cannot read /dev/kmsg: %s\n", strerror(errno));
		if (n <= 0)
			continue;
		/* Without the properties that may follow the first line. */
		say("KMSG %.*s\n", (int)strcspn(record, "\n"), record);
	}
	return NULL;
}

/* --- the whole --------------------------------------------------------- */

/*
 * A terminal that makes "\r\n" of a newline sends it as a piece of output of
 * its own: then the last piece is never a whole line, and nobody would see if
 * it came out before its time.
 */
static void raw_output(void)
{
	struct termios t;

	if (tcgetattr(STDOUT_FILENO, &t))
		return;			/* not a terminal */
	t.c_oflag &= ~(tcflag_t)OPOST;
	if (tcsetattr(STDOUT_FILENO, TCSANOW, &t))
		say("BAD cannot set up the terminal: %s\n", strerror(errno));
}

static void start(void *(*run)(void *), const char *what, int cpu)
{
	struct worker *w = &workers[nworkers++];
	int err;

	w->what = what;
	w->cpu = cpu;
	w->seen_at = now(CLOCK_MONOTONIC);
	err = pthread_create(&w->thread, NULL, run, w);
	if (err)
		say("BAD cannot start a thread: %s\n", strerror(err));
}

/* A thread that makes no progress waits for a timer that does not fire. */
static void check_workers(void)
{
	uint64_t t = now(CLOCK_MONOTONIC);

	for (int i = 0; i < nworkers; i++) {
		struct worker *w = &workers[i];
		uint64_t rounds = atomic_load(&w->rounds);

		if (rounds != w->seen) {
			w->seen = rounds;
			w->seen_at = t;
		} else if (t - w->seen_at > STALL_S * 1000000000ull) {
			say("BAD %s on CPU %d: no progress in %d s\n", w->what,
			    w->cpu, STALL_S);
			w->seen_at = t;
		}
	}
}

int main(int argc, char **argv)
{
	struct timespec nap;
	pthread_t kernel;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	raw_output();
	read_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
	if (cpus > CPUS_MAX)
		cpus = CPUS_MAX;
	for (int cpu = 0; cpu < cpus; cpu++) {
		start(watch_clocks, "clocks", cpu);
		start(watch_timers, "timers", cpu);
	}
	start(watch_memory, "memory", -1);
	if (options[OPT_KMSG].value &&
	    pthread_create(&kernel, NULL, watch_kernel, NULL))
		say("BAD cannot start a thread\n");
	say("clockcheck: %ld CPUs, a line each %lu ms\n", cpus,
	    options[OPT_MS].value);

	nap = span(options[OPT_MS].value);
	for (uint64_t n = 1;; n++) {
		say("N %llu mono=%llu real=%llu\n", (unsigned long long)n,
		    (unsigned long long)now(CLOCK_MONOTONIC),
		    (unsigned long long)now(CLOCK_REALTIME));
		check_workers();
		nanosleep(&nap, NULL);
	}
}
