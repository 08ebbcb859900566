// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_sticky.c - which records make the state of a checkpoint
 */
#include "tests/unit/session.h"

#include "replicator/sticky.h"

enum { A = RECORD_TYPE_PLATFORM, B, ROOM = 1 << 20 };

static uint8_t out[ROOM];
static size_t used;

static int merge(const struct recbuf *old, const struct recbuf *sent,
		 size_t room)
{
	return sticky_merge(old->bytes, old->used, sent->bytes, sent->used,
			    out, room, &used);
}

static void add(struct recbuf *b, unsigned int type, unsigned int flags,
		uint32_t instance, const char *text)
{
	assert_int_equal(recbuf_add(b, (uint16_t)type, (uint16_t)flags,
				    instance, text, strlen(text)), 0);
}

/* What the merged list holds, as one string. */
static const char *text(void)
{
	static char line[256];
	size_t pos = 0, n = 0;
	struct record rec;

	line[0] = '\0';
	while (record_next(out, used, &pos, &rec) > 0) {
		memcpy(line + n, rec.data, rec.length);
		n += rec.length;
		line[n++] = ' ';
		line[n] = '\0';
	}
	return line;
}

static void test_merge(void **state)
{
	struct recbuf none = { 0 }, one = { 0 }, two = { 0 };

	(void)state;
	add(&one, A, 0, 0, "a0");
	add(&one, B, RECORD_STICKY, 0, "b0");
	add(&one, B, RECORD_STICKY, 1, "b1");
	add(&one, B, RECORD_STICKY | RECORD_MANDATORY, 2, "b2");
	assert_int_equal(merge(&none, &one, ROOM), 0);
	assert_string_equal(text(), "a0 b0 b1 b2 ");

	/* The plain one is gone, one replaced, one removed, one kept. */
	add(&two, A, 0, 7, "a7");
	add(&two, B, RECORD_STICKY, 1, "new1");
	add(&two, B, RECORD_STICKY, 2, "");
	add(&two, B, RECORD_STICKY, 3, "");
	assert_int_equal(merge(&one, &two, ROOM), 0);
	assert_string_equal(text(), "b0 a7 new1 ");
	recbuf_free(&one);
	recbuf_free(&two);
}

static void test_limits(void **state)
{
	struct recbuf none = { 0 }, many = { 0 }, twice = { 0 }, more = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < STICKY_MAX; i++)
		add(&many, A, RECORD_STICKY, i, "x");
	assert_int_equal(merge(&none, &many, ROOM), 0);
	assert_int_equal(used, many.used);
	assert_int_equal(merge(&none, &many, many.used), 0);
	assert_int_equal(merge(&none, &many, many.used - 1), -1);
	assert_int_equal(errno, EMSGSIZE);
	add(&more, A, RECORD_STICKY, STICKY_MAX, "x");
	assert_int_equal(merge(&many, &more, ROOM), -1);
	assert_int_equal(errno, EMSGSIZE);
	add(&many, A, RECORD_STICKY, STICKY_MAX, "x");
	assert_int_equal(merge(&none, &many, ROOM), -1);
	assert_int_equal(errno, EMSGSIZE);

	add(&twice, A, RECORD_STICKY, 1, "x");
	add(&twice, A, RECORD_STICKY, 1, "y");
	assert_int_equal(merge(&none, &twice, ROOM), -1);
	assert_int_equal(errno, EPROTO);
	twice.used -= 8;
	assert_int_equal(merge(&none, &twice, ROOM), -1);
	assert_int_equal(errno, EPROTO);

	recbuf_reset(&twice);
	for (i = 0; i <= STICKY_RECORDS_MAX; i++)
		add(&twice, A, 0, 0, "");
	assert_int_equal(merge(&none, &twice, ROOM), -1);
	assert_int_equal(errno, EMSGSIZE);
	recbuf_free(&many);
	recbuf_free(&more);
	recbuf_free(&twice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
