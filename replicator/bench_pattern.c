// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_pattern.c - what happens to a page of a synthetic guest
 */
#include "replicator/bench_pattern.h"

#include <stddef.h>
#include <string.h>

#include "libxc-ext/platform.h"

enum {
	SPARSE_WORDS = 8,
	WORDS = PLATFORM_PAGE / sizeof(uint64_t),
};

static const char *const names[] = {
	[BENCH_ZERO] = "zero",
	[BENCH_SAME] = "same",
	[BENCH_SPARSE] = "sparse",
	[BENCH_TEXT] = "text",
	[BENCH_RANDOM] = "random",
};

const char *bench_pattern_str(enum bench_pattern p)
{
	return p < BENCH_PATTERNS ? names[p] : "?";
}

/* splitmix64 */
uint64_t bench_draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void fill_random(uint8_t *page, uint64_t *rng)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t w = bench_draw(rng);

		memcpy(page + i * sizeof(w), &w, sizeof(w));
	}
}

/* Words of two to nine letters, a small number of them often: LZ4 makes about
 * half of it, as of source code; of prose it makes two thirds. */
static void fill_text(uint8_t *page, uint64_t *rng)
{
	size_t at = 0;

	while (at < PLATFORM_PAGE) {
		uint64_t r = bench_draw(rng);
		uint64_t word = r % 8 ? r / 8 % 64 : r / 8 % 4096;
		uint64_t letters = bench_draw(&word);
		size_t n = 2 + letters % 8;

		for (; n && at < PLATFORM_PAGE; n--, letters /= 26)
			page[at++] = (uint8_t)('a' + letters % 26);
		if (at < PLATFORM_PAGE)
			page[at++] = r >> 60 ? ' ' : '\n';
	}
}

void bench_change_page(enum bench_pattern p, uint8_t *page, uint64_t *rng)
{
	switch (p) {
	case BENCH_ZERO:
		memset(page, 0, PLATFORM_PAGE);
		break;
	case BENCH_SPARSE:
		for (int i = 0; i < SPARSE_WORDS; i++) {
			uint64_t r = bench_draw(rng);

			memcpy(page + r % WORDS * sizeof(r), &r, sizeof(r));
		}
		break;
	case BENCH_TEXT:
		fill_text(page, rng);
		break;
	case BENCH_RANDOM:
		fill_random(page, rng);
		break;
	case BENCH_SAME:
	case BENCH_PATTERNS:
		break;
	}
}
