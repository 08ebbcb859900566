// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_known.c - what the secondary is known to have
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libxc-ext/platform.h"
#include "replicator/known.h"

enum { SEED = 42, CACHE = 4 * KNOWN_WAYS };

static uint8_t page[WIRE_PAGE];

static struct known_hash set(struct known *k, uint64_t gfn, unsigned int fill,
			     bool keep)
{
	struct known_hash h;

	memset(page, (int)fill, sizeof(page));
	h = known_hash_of(k, page, !fill);
	known_set(k, gfn, &h, keep ? page : NULL);
	return h;
}

/* Known with these bytes, or with a hash only (-1), or not at all (-2). */
static int find(struct known *k, uint64_t gfn)
{
	struct known_hash h, want;
	const void *bytes;

	if (!known_find(k, gfn, &h, &bytes))
		return -2;
	if (!bytes)
		return -1;
	want = known_hash(bytes, SEED);
	assert_memory_equal(&h, &want, sizeof(h));
	return *(const uint8_t *)bytes;
}

static void test_hash(void **state)
{
	struct known *k = known_new(SEED, 0);
	struct known_hash a, b;

	(void)state;
	memset(page, 0, sizeof(page));
	a = known_hash(page, SEED);
	b = known_hash_of(k, NULL, true);
	assert_memory_equal(&a, &b, sizeof(a));
	b = known_hash(page, SEED + 1);
	assert_memory_not_equal(&a, &b, sizeof(a));
	page[4095] = 1;
	b = known_hash(page, SEED);
	assert_memory_not_equal(&a, &b, sizeof(a));
	known_free(k);
}

static void test_set_and_find(void **state)
{
	struct known *k = known_new(SEED, CACHE);
	struct known_hash h, got;
	const void *bytes;

	(void)state;
	assert_int_equal(find(k, 5), -2);
	h = set(k, 5, 7, false);
	assert_true(known_find(k, 5, &got, &bytes));
	assert_memory_equal(&h, &got, sizeof(h));
	assert_null(bytes);
	set(k, 5, 8, true);
	assert_int_equal(find(k, 5), 8);
	set(k, 5, 9, true);
	assert_int_equal(find(k, 5), 9);
	/* Bytes never outlive their hash. */
	set(k, 5, 10, false);
	assert_int_equal(find(k, 5), -1);
	set(k, 5, 11, true);
	known_lose(k, 5);
	assert_int_equal(find(k, 5), -2);
	known_free(k);
}

static void test_forget_and_exclude(void **state)
{
	struct known *k = known_new(SEED, CACHE);
	uint64_t gfn;

	(void)state;
	set(k, 1, 1, true);
	set(k, 2, 2, true);
	known_exclude(k, 2);
	known_exclude(k, 2);
	assert_int_equal(find(k, 1), 1);
	assert_int_equal(find(k, 2), -2);
	set(k, 2, 3, true);
	assert_int_equal(find(k, 2), -2);
	known_forget(k);
	assert_int_equal(find(k, 1), -2);
	set(k, 1, 4, false);
	set(k, 2, 4, true);
	assert_int_equal(find(k, 1), -1);
	assert_int_equal(find(k, 2), -2);
	/* Too many: it is no help any more, and says nothing wrong. */
	for (gfn = 100; gfn < 100 + KNOWN_EXCLUDED_MAX; gfn++)
		known_exclude(k, gfn);
	known_forget(k);
	set(k, 1, 5, true);
	assert_int_equal(find(k, 1), -2);
	known_free(k);
}

/* Any frame number, and those that none can have. */
static void test_far_frames(void **state)
{
	static const uint64_t far[] = {
		0, 65535, 65536, 0xfeff8, 1 << 24, PLATFORM_GFN_MAX - 1,
	};
	struct known *k = known_new(SEED, CACHE);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		set(k, far[i], (unsigned int)i + 1, true);
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		assert_int_equal(find(k, far[i]), i + 1);
	set(k, PLATFORM_GFN_MAX, 1, true);
	assert_int_equal(find(k, PLATFORM_GFN_MAX), -2);
	set(k, UINT64_MAX, 1, true);
	assert_int_equal(find(k, UINT64_MAX), -2);
	known_lose(k, UINT64_MAX);
	known_exclude(k, UINT64_MAX);
	known_free(k);
}

static unsigned int kept(struct known *k, uint64_t frames)
{
	unsigned int n = 0;
	uint64_t gfn;

	for (gfn = 0; gfn < frames; gfn++)
		n += find(k, gfn) >= 0;
	return n;
}

/* Bounded; and a sweep over more than fits leaves what was there. */
static void test_cache(void **state)
{
	struct known *k = known_new(SEED, CACHE);
	uint64_t empty = known_bytes(k), gfn;
	int round;

	(void)state;
	for (round = 0; round < 4; round++) {
		known_next(k);
		for (gfn = 0; gfn < 3 * CACHE; gfn++) {
			(void)find(k, gfn);
			set(k, gfn, 1 + (unsigned int)gfn % 200, true);
		}
		assert_int_equal(kept(k, 3 * CACHE), CACHE);
		assert_int_equal(find(k, 0), 1);
	}
	/* Two pages of hashes at most, and the cache. */
	assert_in_range(known_bytes(k), empty + CACHE * WIRE_PAGE,
			empty + (CACHE + 2) * WIRE_PAGE);
	/* What is not used any more makes room. */
	known_next(k);
	known_next(k);
	for (gfn = 1000; gfn < 1000 + CACHE; gfn++)
		set(k, gfn, 3, true);
	assert_int_equal(kept(k, 3 * CACHE), 0);
	assert_int_equal(find(k, 1000), 3);
	known_forget(k);
	assert_int_equal(known_bytes(k), empty);
	known_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_set_and_find),
		cmocka_unit_test(test_forget_and_exclude),
		cmocka_unit_test(test_far_frames),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
