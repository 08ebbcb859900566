// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_codec.c - pages through the codec and back
 */
#include "tests/unit/session.h"

#include <stdio.h>

static uint8_t out[CODEC_BATCH_ROOM];
static uint8_t page[WIRE_PAGE], back[WIRE_PAGE];

static uint32_t next(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return *x >> 8;
}

static void noise(uint8_t *p, size_t n, uint32_t seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)next(&seed);
}

/* Encode @page alone, decode into @back.  Return: the encoding used. */
static int through(struct codec *c)
{
	size_t len, pos = sizeof(struct wire_batch);
	char why[WIRE_WHY_MAX];
	struct wire_page head;
	const void *data;

	codec_start(c, out, WIRE_PAGES, 5, 0);
	assert_int_equal(codec_add(c, GFN0, page), 0);
	len = codec_finish(c);
	assert_int_equal(wire_check(out, len, why), WIRE_PAGES);
	assert_int_equal(batch_next(wire_body(out), len - 32, &pos, &head,
				    &data), 1);
	assert_int_equal(head.gfn, GFN0);
	memset(back, 0xaa, sizeof(back));
	assert_int_equal(codec_decode(&head, data, back), 0);
	assert_memory_equal(back, page, WIRE_PAGE);
	assert_int_equal(batch_next(wire_body(out), len - 32, &pos, &head,
				    &data), 0);
	return head.encoding;
}

static void test_encodings(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4);
	struct codec *plain = codec_new(0);

	(void)state;
	memset(page, 0, sizeof(page));
	assert_int_equal(through(c), WIRE_ZERO);
	assert_int_equal(through(plain), WIRE_ZERO);
	page[WIRE_PAGE - 1] = 1;
	assert_int_equal(through(c), WIRE_LZ4);
	assert_int_equal(through(plain), WIRE_RAW);
	noise(page, WIRE_PAGE, 1);
	assert_int_equal(through(c), WIRE_RAW);
	assert_int_equal(codec_stats(c)->zero, 1);
	assert_int_equal(codec_stats(c)->lz4, 1);
	assert_int_equal(codec_stats(c)->raw, 1);
	codec_free(c);
	codec_free(plain);
}

/* One bit anywhere makes a page not zero. */
static void test_zero_is_zero(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4);
	unsigned int i;

	(void)state;
	for (i = 0; i < WIRE_PAGE; i++) {
		memset(page, 0, sizeof(page));
		page[i] = (uint8_t)(1u << i % 8);
		assert_int_not_equal(through(c), WIRE_ZERO);
	}
	codec_free(c);
}

/* Every mix of noise and runs survives, whatever is chosen for it. */
static void test_seeded(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4);
	uint32_t seed, x;

	(void)state;
	for (seed = 1; seed <= 3000; seed++) {
		x = seed;
		memset(page, (int)(next(&x) & 0xff), sizeof(page));
		noise(page + next(&x) % 1024, next(&x) % 3072, x);
		through(c);
	}
	assert_true(codec_stats(c)->lz4 > 500);
	codec_free(c);
}

/* After pages that do not compress, one that does is still compressed. */
static void test_streak(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4);
	unsigned int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		noise(page, WIRE_PAGE, i);
		assert_int_equal(through(c), WIRE_RAW);
	}
	memset(page, 'x', sizeof(page));
	assert_int_equal(through(c), WIRE_LZ4);
	codec_free(c);
}

static void test_full_batch(void **state)
{
	struct codec *c = codec_new(0);
	char why[WIRE_WHY_MAX];
	unsigned int i;
	size_t len;

	(void)state;
	codec_start(c, out, WIRE_COPY, 1, 1);
	assert_int_equal(codec_finish(c), 0);
	noise(page, WIRE_PAGE, 3);
	for (i = 0; i < WIRE_BATCH_MAX; i++)
		assert_int_equal(codec_add(c, i, page), 0);
	assert_int_equal(codec_add(c, i, page), -1);
	assert_int_equal(errno, ENOBUFS);
	len = codec_finish(c);
	assert_int_equal(len, CODEC_BATCH_ROOM);
	assert_int_equal(wire_check(out, len, why), WIRE_COPY);
	codec_free(c);
}

/* Blocks from a hostile peer: never outside the page, never half accepted. */
static void test_bad_blocks(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4);
	size_t pos = sizeof(struct wire_batch), len, i;
	struct wire_page head, cut;
	unsigned int refused = 0;
	const void *data;
	uint8_t *exact;

	(void)state;
	memset(page, 0, sizeof(page));
	noise(page + 100, 900, 7);
	through(c);
	len = codec_stats(c)->bytes;
	batch_next(wire_body(out), len - 32, &pos, &head, &data);
	assert_int_equal(head.encoding, WIRE_LZ4);
	for (i = 1; i < head.length; i++) {
		cut = head;
		cut.length = (uint32_t)i;
		exact = malloc(i);
		memcpy(exact, data, i);
		assert_int_equal(codec_decode(&cut, exact, back), -1);
		assert_int_equal(errno, EPROTO);
		free(exact);
	}
	for (i = 0; i < head.length; i++) {
		exact = malloc(head.length);
		memcpy(exact, data, head.length);
		exact[i] ^= 0xff;
		refused += codec_decode(&head, exact, back) != 0;
		free(exact);
	}
	assert_true(refused > 0);
	codec_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_zero_is_zero),
		cmocka_unit_test(test_seeded),
		cmocka_unit_test(test_streak),
		cmocka_unit_test(test_full_batch),
		cmocka_unit_test(test_bad_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
