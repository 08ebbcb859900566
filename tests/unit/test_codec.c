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
	assert_int_equal(codec_decode(&head, data, NULL, 0, back), 0);
	assert_memory_equal(back, page, WIRE_PAGE);
	assert_int_equal(batch_next(wire_body(out), len - 32, &pos, &head,
				    &data), 0);
	return head.encoding;
}

static void test_encodings(void **state)
{
	struct codec *c = codec_new(WIRE_FEATURE_LZ4, NULL);
	struct codec *plain = codec_new(0, NULL);

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
	struct codec *c = codec_new(WIRE_FEATURE_LZ4, NULL);
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
	struct codec *c = codec_new(WIRE_FEATURE_LZ4, NULL);
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
	struct codec *c = codec_new(WIRE_FEATURE_LZ4, NULL);
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
	struct codec *c = codec_new(0, NULL);
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
	struct codec *c = codec_new(WIRE_FEATURE_LZ4, NULL);
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
		assert_int_equal(codec_decode(&cut, exact, NULL, 0, back), -1);
		assert_int_equal(errno, EPROTO);
		free(exact);
	}
	for (i = 0; i < head.length; i++) {
		exact = malloc(head.length);
		memcpy(exact, data, head.length);
		exact[i] ^= 0xff;
		refused += codec_decode(&head, exact, NULL, 0, back) != 0;
		free(exact);
	}
	assert_true(refused > 0);
	codec_free(c);
}

/* --- pages that refer to the checkpoint before ------------------------------ */

enum { SEED = 99, FRAMES = 48, ROUNDS = 60 };

static struct wire_page heads[WIRE_BATCH_MAX];
static const void *datas[WIRE_BATCH_MAX];

/* Encode @n pages of @memory as one checkpoint, leave them in heads, datas. */
static void checkpoint(struct codec *c, const uint64_t *gfn, unsigned int n,
		       const uint8_t *memory)
{
	size_t len, pos = sizeof(struct wire_batch);
	char why[WIRE_WHY_MAX];
	unsigned int i;

	codec_next(c);
	codec_start(c, out, WIRE_PAGES, 5, 0);
	for (i = 0; i < n; i++)
		assert_int_equal(codec_add(c, gfn[i],
					   memory + gfn[i] * WIRE_PAGE), 0);
	len = codec_finish(c);
	assert_int_equal(wire_check(out, len, why), WIRE_PAGES);
	for (i = 0; i < n; i++)
		assert_int_equal(batch_next(wire_body(out), len - 32, &pos,
					    &heads[i], &datas[i]), 1);
}

static void change(uint8_t *p, uint32_t *x)
{
	uint32_t kind = next(x) % 6, at = next(x) % 3000, n = next(x) % 1000;

	if (kind == 0)
		memset(p, 0, WIRE_PAGE);
	else if (kind == 1)
		noise(p, WIRE_PAGE, next(x));
	else if (kind == 2)
		memset(p + at, (int)(next(x) & 0xff), n);
	else if (kind == 3)
		noise(p + at, n / 8, next(x));
	else if (kind == 4)
		p[at] ^= 1;
}

/* Memory that changes in all ways, and a standby that follows by the records
 * alone; whatever the cache holds. */
static void follow(size_t cache)
{
	uint8_t *memory = calloc(FRAMES, WIRE_PAGE);
	uint8_t *standby = calloc(FRAMES, WIRE_PAGE);
	struct known *k = known_new(SEED, cache);
	struct codec *c = codec_new(WIRE_FEATURES, k);
	const struct codec_stats *did = codec_stats(c);
	unsigned int round, i, n;
	uint64_t gfn[FRAMES];
	uint32_t x = 7;

	for (round = 0; round < ROUNDS; round++) {
		for (i = n = 0; i < FRAMES; i++) {
			if (next(&x) % 3 == 0)
				continue;
			change(memory + i * WIRE_PAGE, &x);
			gfn[n++] = i;
		}
		if (round % 20 == 19)
			known_forget(k);
		checkpoint(c, gfn, n, memory);
		for (i = 0; i < n; i++) {
			uint8_t *to = standby + gfn[i] * WIRE_PAGE;

			assert_int_equal(codec_decode(&heads[i], datas[i], to,
						      SEED, back), 0);
			if (heads[i].encoding != WIRE_SAME)
				memcpy(to, back, WIRE_PAGE);
		}
		assert_memory_equal(memory, standby,
				    (size_t)FRAMES * WIRE_PAGE);
	}
	assert_true(did->zero && did->same && did->lz4 && did->raw);
	assert_int_equal(!did->delta, !cache);
	codec_free(c);
	known_free(k);
	free(standby);
	free(memory);
}

static void test_follow(void **state)
{
	(void)state;
	follow(0);
	follow(KNOWN_WAYS);
	follow(FRAMES);
}

/* One frame, sent as @before and then as @page: the second record. */
static struct wire_page second(struct codec *c, const uint8_t *before)
{
	static const uint64_t first;

	checkpoint(c, &first, 1, before);
	checkpoint(c, &first, 1, page);
	return heads[0];
}

static void test_choice(void **state)
{
	struct known *k = known_new(SEED, KNOWN_WAYS);
	struct codec *c = codec_new(WIRE_FEATURES, k);
	uint8_t before[WIRE_PAGE];

	(void)state;
	noise(before, WIRE_PAGE, 1);
	memcpy(page, before, WIRE_PAGE);
	assert_int_equal(second(c, before).encoding, WIRE_SAME);
	assert_int_equal(heads[0].length, WIRE_HASH);
	page[77]++;
	assert_int_equal(second(c, before).encoding, WIRE_DELTA);
	assert_true(heads[0].length < 80);
	/* Half of it, and it is not worth it. */
	noise(page, WIRE_PAGE / 2 + 64, 2);
	assert_int_equal(second(c, before).encoding, WIRE_RAW);
	memset(page, 0, WIRE_PAGE);
	assert_int_equal(second(c, before).encoding, WIRE_ZERO);
	assert_int_equal(second(c, page).encoding, WIRE_ZERO);
	codec_free(c);
	known_free(k);
}

/* The same frame twice in one checkpoint: the second does not refer to the
 * first, nor does what follows refer to either. */
static void test_twice(void **state)
{
	static const uint64_t twice[] = { 3, 3 }, once = 3;
	struct known *k = known_new(SEED, KNOWN_WAYS);
	struct codec *c = codec_new(WIRE_FEATURES, k);
	uint8_t *memory = calloc(4, WIRE_PAGE);

	(void)state;
	noise(memory + 3 * WIRE_PAGE, WIRE_PAGE, 1);
	checkpoint(c, twice, 2, memory);
	assert_int_equal(heads[0].encoding, WIRE_RAW);
	assert_int_equal(heads[1].encoding, WIRE_RAW);
	checkpoint(c, &once, 1, memory);
	assert_int_equal(heads[0].encoding, WIRE_RAW);
	checkpoint(c, &once, 1, memory);
	assert_int_equal(heads[0].encoding, WIRE_SAME);
	free(memory);
	codec_free(c);
	known_free(k);
}

/* A guest whose pages change wholly does not fill the cache for nothing. */
static void test_in_vain(void **state)
{
	struct known *k = known_new(SEED, 256);
	struct codec *c = codec_new(WIRE_FEATURES, k);
	uint8_t *memory = calloc(256, WIRE_PAGE);
	uint64_t gfn[256], most = 0;
	unsigned int round, i, n = 0;
	struct known_hash hash;
	const void *bytes;

	(void)state;
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 256; i++) {
			gfn[i] = i;
			noise(memory + i * WIRE_PAGE, WIRE_PAGE,
			      round * 256 + i);
		}
		checkpoint(c, gfn, 256, memory);
		if (!round)
			most = known_bytes(k);
	}
	assert_true(most > 256 * WIRE_PAGE);
	assert_true(known_bytes(k) < most / 4);
	assert_int_equal(codec_stats(c)->delta, 0);
	for (i = 0; i < 256; i++)
		n += known_find(k, i, &hash, &bytes);
	/* Most of them are not even hashed any more. */
	assert_in_range(n, 256 / 16, 256 / 4);
	/* It changes its ways, and that is noticed. */
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 256; i++)
			memory[i * WIRE_PAGE + round] ^= 1;
		checkpoint(c, gfn, 256, memory);
	}
	for (i = 0; i < 256; i++)
		assert_int_equal(heads[i].encoding, WIRE_DELTA);
	free(memory);
	codec_free(c);
	known_free(k);
}

/* A hostile peer's: never outside the page, never without its base. */
static void test_bad_references(void **state)
{
	struct known *k = known_new(SEED, KNOWN_WAYS);
	struct codec *c = codec_new(WIRE_FEATURES, k);
	uint8_t before[WIRE_PAGE], other[WIRE_PAGE];
	unsigned int refused = 0;
	struct wire_page head, cut;
	uint8_t *exact;
	size_t i;

	(void)state;
	noise(before, WIRE_PAGE, 1);
	memcpy(other, before, WIRE_PAGE);
	other[0] ^= 1;
	memcpy(page, before, WIRE_PAGE);
	assert_int_equal(second(c, before).encoding, WIRE_SAME);
	assert_int_equal(codec_decode(heads, datas[0], NULL, SEED, back), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(codec_decode(heads, datas[0], other, SEED, back), -1);
	assert_int_equal(errno, ESTALE);
	assert_int_equal(codec_decode(heads, datas[0], before, SEED + 1, back),
			 -1);
	assert_int_equal(errno, ESTALE);

	noise(page + 1000, 300, 2);
	head = second(c, before);
	assert_int_equal(head.encoding, WIRE_DELTA);
	assert_int_equal(codec_decode(&head, datas[0], NULL, SEED, back), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(codec_decode(&head, datas[0], other, SEED, back), -1);
	assert_int_equal(errno, ESTALE);
	assert_int_equal(codec_decode(&head, datas[0], before, SEED, back), 0);
	assert_memory_equal(back, page, WIRE_PAGE);
	for (i = WIRE_HASH + 1; i < head.length; i++) {
		cut = head;
		cut.length = (uint32_t)i;
		exact = malloc(i);
		memcpy(exact, datas[0], i);
		assert_int_equal(codec_decode(&cut, exact, before, SEED, back),
				 -1);
		assert_int_equal(errno, EPROTO);
		free(exact);
	}
	for (i = 0; i < head.length; i++) {
		exact = malloc(head.length);
		memcpy(exact, datas[0], head.length);
		exact[i] ^= 0xff;
		refused += codec_decode(&head, exact, before, SEED, back) != 0;
		free(exact);
	}
	/* The base's hash alone accounts for this many. */
	assert_true(refused >= WIRE_HASH);
	head.encoding = 5;
	assert_int_equal(codec_decode(&head, datas[0], before, SEED, back), -1);
	assert_int_equal(errno, EPROTO);
	codec_free(c);
	known_free(k);
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
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_in_vain),
		cmocka_unit_test(test_bad_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
