/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_pattern.h - what happens to a page of a synthetic guest
 */
#ifndef KEMARI_BENCH_PATTERN_H
#define KEMARI_BENCH_PATTERN_H

#include <stdint.h>

/* Between two checkpoints. */
enum bench_pattern {
	BENCH_ZERO,	/* zeroes are written */
	BENCH_SAME,	/* the same bytes again, which do not compress */
	BENCH_SPARSE,	/* 8 words change among such bytes */
	BENCH_TEXT,	/* other words of a language each time */
	BENCH_RANDOM,	/* other bytes each time, which do not compress */
	BENCH_PATTERNS,
};

const char *bench_pattern_str(enum bench_pattern p);

/** bench_change_page() - Change PLATFORM_PAGE bytes, drawing from @rng */
void bench_change_page(enum bench_pattern p, uint8_t *page, uint64_t *rng);

/** bench_draw() - A number; @state: any seed, gets the next */
uint64_t bench_draw(uint64_t *state);

#endif
