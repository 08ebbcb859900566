/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_measure.h - the engine and what it is measured against, in turns
 *
 * Other things run on the machine, and more at one time than at another.  So
 * the engine and each baseline are measured in short turns, several rounds of
 * them; a ratio is taken within a round, and the median of the rounds counts.
 */
#ifndef KEMARI_BENCH_MEASURE_H
#define KEMARI_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "replicator/bench_guest.h"

enum { BENCH_ROUNDS_MAX = 64 };

/** struct bench_path - where the other end is */
struct bench_path {
	const char *host;
	char port[16], raw[16];		/* decimal */
	pid_t pid;			/* of the other end, 0: not on this
					 * machine, its CPU time is not known */
};

/** struct bench_way - what is measured */
struct bench_way {
	struct bench_knobs guest;
	uint64_t rate;			/* bytes/s, 0: not paced */
	size_t cache;			/* of the codec, pages */
	uint32_t rounds;
};

/** struct bench_result - medians of rounds; of one page where it says so */
struct bench_result {
	double engine, raw;		/* bytes of pages/s */
	double gather, scatter;		/* bytes/s: memcpy of the same list */
	double to_raw, to_gather;	/* engine / each, in one round */
	double wire;			/* bytes sent for a page */
	double commit_ms;		/* stop to go, median of all */
	double capture_ms, receive_ms, verify_ms;	/* of it, means */
	double ping_ms;			/* raw ping-pong of the same bytes */
	double to_ping;			/* commit / ping */
	double cpu_us;			/* of both ends, for a page; 0: n/a */
	double to_parts;		/* that / (gather + send + receive +
					 * scatter); 0: n/a */
	double lz4_compress, lz4_decompress;	/* bytes of pages/s */
	double lz4_size;		/* compressed / plain */
	uint64_t memory;		/* bytes of the codec's */
};

/** struct bench_capture - a capture beside a bare gather; medians */
struct bench_capture {
	double capture_us, gather_us;
	double ratio;			/* gather / capture */
};

/**
 * bench_measure() - Measure one way
 * @why:	BENCH_WHY_MAX bytes; a sentence on failure
 * Return: 0 or -1
 */
int bench_measure(const struct bench_path *path, const struct bench_way *way,
		  struct bench_result *out, char *why);

/**
 * bench_capture() - Measure captures alone: no link, no encoding
 * @cold:	What the caches hold is put out before each
 * Return: 0, or -1 with errno
 */
int bench_capture(const struct bench_knobs *guest, uint32_t rounds, bool cold,
		  struct bench_capture *out);

/** bench_median() - Of @n values, which get sorted; 0 if there are none */
double bench_median(double *v, size_t n);

#endif
