/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_guest.h - a synthetic guest and its standby, for `kemari bench`
 *
 * Two platforms in ordinary memory.  The guest executes nothing: when it is let
 * run it changes its pages in the way of its pattern, at once, and puts out
 * something, so that the next checkpoint is due.  It notes how long each took,
 * without the time that its own changes took.
 */
#ifndef KEMARI_BENCH_GUEST_H
#define KEMARI_BENCH_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "replicator/bench_pattern.h"

enum {
	BENCH_GUEST_PAGES_MIN = 1 << 12,	/* 16 MiB */
	BENCH_GUEST_PAGES_MAX = 1 << 22,	/* 16 GiB */
	BENCH_DIRTY_MAX = 1 << 13,	/* pages of a checkpoint */
	BENCH_CYCLES_MAX = 4096,
};

/** struct bench_knobs - a guest */
struct bench_knobs {
	uint64_t pages;			/* of its memory */
	uint32_t dirty;			/* of them change, scattered */
	enum bench_pattern pattern;
	uint64_t seed;
};

/** struct bench_cycles - checkpoints of a guest, from stop to go */
struct bench_cycles {
	uint32_t n;
	uint64_t ns[BENCH_CYCLES_MAX];
	uint64_t capture_ns[BENCH_CYCLES_MAX];	/* the guest's stop to the end
						 * of copying */
	uint64_t cpu_ns;		/* of this process, in all of them */
};

/**
 * bench_guest_new() - A guest that stands still
 * Return: a platform of a primary, or NULL with errno
 */
struct platform *bench_guest_new(const struct bench_knobs *k);

/** bench_guest_go() - Let it go through @n checkpoints, noted in @out, which
 *		       stays the guest's until bench_guest_left() is 0 */
void bench_guest_go(struct platform *p, uint32_t n, struct bench_cycles *out);
uint32_t bench_guest_left(const struct platform *p);

/** bench_guest_change() - What it does between two checkpoints */
void bench_guest_change(struct platform *p);

/** bench_guest_list() - The frames that change, ascending; @n of them */
const uint64_t *bench_guest_list(const struct platform *p, size_t *n);

/** bench_standby_new() - A platform of a standby, or NULL with ENOMEM */
struct platform *bench_standby_new(void);

/** bench_now() - CLOCK_MONOTONIC, ns */
uint64_t bench_now(void);

#endif
