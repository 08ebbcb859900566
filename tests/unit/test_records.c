// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_records.c - lists of records: what is written is read, what is not a
 * list is refused (INV-31)
 */
#include "libxc-ext/platform.h"
#include "libxc-ext/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_round_trip(void **state)
{
	uint8_t data[64];
	struct recbuf b = { 0 };
	struct record r;
	size_t pos = 0, i;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i + 1);
	for (i = 0; i < sizeof(data); i++)
		assert_int_equal(recbuf_add(&b, (uint16_t)(100 + i),
					    i % 2 ? RECORD_MANDATORY : 0,
					    (uint32_t)i << 20, data, i), 0);
	assert_int_equal(b.used % 8, 0);
	for (i = 0; i < sizeof(data); i++) {
		assert_int_equal(record_next(b.bytes, b.used, &pos, &r), 1);
		assert_int_equal(r.type, 100 + i);
		assert_int_equal(r.flags, i % 2 ? RECORD_MANDATORY : 0);
		assert_int_equal(r.instance, i << 20);
		assert_int_equal(r.length, i);
		assert_memory_equal(r.data, data, i);
	}
	assert_int_equal(record_next(b.bytes, b.used, &pos, &r), 0);
	assert_int_equal(pos, b.used);
	recbuf_free(&b);
	recbuf_free(&b);
}

static void test_layout(void **state)
{
	static const uint8_t want[] = {
		0x34, 0x12, 1, 0, 0x0d, 0x0c, 0x0b, 0x0a, 3, 0, 0, 0,
		0, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 0,
	};
	struct recbuf b = { 0 };

	(void)state;
	assert_int_equal(recbuf_add(&b, 0x1234, RECORD_MANDATORY, 0x0a0b0c0d,
				    "abc", 3), 0);
	assert_int_equal(b.used, sizeof(want));
	assert_memory_equal(b.bytes, want, sizeof(want));
	recbuf_free(&b);
}

static void test_reserve_is_zeroed(void **state)
{
	struct recbuf b = { 0 };
	uint8_t *at;
	int i;

	(void)state;
	at = recbuf_reserve(&b, 1, 0, 0, 100);
	assert_non_null(at);
	memset(at, 0xff, 100);
	recbuf_reset(&b);
	assert_int_equal(b.used, 0);
	at = recbuf_reserve(&b, 1, 0, 0, 100);
	assert_non_null(at);
	for (i = 0; i < 104; i++)
		assert_int_equal(at[i], 0);
	recbuf_free(&b);
}

static void test_limits(void **state)
{
	struct recbuf b = { 0 };
	size_t used = 0;

	(void)state;
	errno = 0;
	assert_null(recbuf_reserve(&b, 1, 0, 0, RECORD_LENGTH_MAX + 1));
	assert_int_equal(errno, EMSGSIZE);
	errno = 0;
	assert_null(recbuf_reserve(&b, 1, 0, 0, SIZE_MAX));
	assert_int_equal(errno, EMSGSIZE);
	errno = 0;
	assert_null(recbuf_reserve(&b, 1, RECORD_FLAGS + 1, 0, 0));
	assert_int_equal(errno, EINVAL);
	while (recbuf_reserve(&b, 1, 0, 0, RECORD_LENGTH_MAX))
		used = b.used;
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(b.used, used);
	assert_true(b.used <= RECBUF_MAX);
	assert_true(RECBUF_MAX - b.used < RECORD_LENGTH_MAX + 16);
	recbuf_free(&b);
}

static void test_find(void **state)
{
	struct recbuf b = { 0 };
	struct record r;

	(void)state;
	assert_int_equal(recbuf_add(&b, 5, 0, 1, "one", 3), 0);
	assert_int_equal(recbuf_add(&b, 5, 0, 2, "two", 3), 0);
	assert_int_equal(recbuf_add(&b, 6, 0, 2, "six", 3), 0);
	assert_int_equal(record_find(b.bytes, b.used, 5, 2, &r), 1);
	assert_memory_equal(r.data, "two", 3);
	assert_int_equal(record_find(b.bytes, b.used, 6, 1, &r), 0);
	errno = 0;
	assert_int_equal(record_find(b.bytes, b.used - 8, 6, 1, &r), -1);
	assert_int_equal(errno, EPROTO);
	recbuf_free(&b);
}

/* Read to the end or to the first error, in memory of just that size. */
static int read_all(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct record r;
	size_t pos = 0;
	int rc;

	assert_non_null(exact);
	memcpy(exact, bytes, len);
	while ((rc = record_next(exact, len, &pos, &r)) > 0) {
		assert_true((const uint8_t *)r.data >= exact);
		assert_true(r.length <= RECORD_LENGTH_MAX);
		assert_true((const uint8_t *)r.data + r.length <= exact + len);
	}
	if (rc < 0)
		assert_int_equal(errno, EPROTO);
	free(exact);
	return rc;
}

static void small_list(struct recbuf *b)
{
	assert_int_equal(recbuf_add(b, 1, RECORD_MANDATORY, 0, "abc", 3), 0);
	assert_int_equal(recbuf_add(b, 2, 0, 9, NULL, 0), 0);
	assert_int_equal(recbuf_add(b, 3, 0, 9, "12345678", 8), 0);
}

static void test_every_cut(void **state)
{
	struct recbuf b = { 0 };
	size_t len;

	(void)state;
	small_list(&b);
	for (len = 0; len <= b.used; len++)
		assert_int_equal(read_all(b.bytes, len),
				 len == 0 || len == 24 || len == 40 ||
				 len == b.used ? 0 : -1);
	recbuf_free(&b);
}

static void test_every_byte_wrong(void **state)
{
	struct recbuf b = { 0 };
	int value, good;
	size_t i;

	(void)state;
	small_list(&b);
	for (i = 0; i < b.used; i++) {
		for (value = 1; value < 256; value++) {
			b.bytes[i] ^= (uint8_t)value;
			(void)read_all(b.bytes, b.used);
			b.bytes[i] ^= (uint8_t)value;
		}
	}
	good = read_all(b.bytes, b.used);
	assert_int_equal(good, 0);
	recbuf_free(&b);
}

/* Each reserved field and the padding, set. */
static void test_reserved(void **state)
{
	static const size_t at[] = { 2, 3, 12, 15, 19, 23 };
	struct recbuf b = { 0 };
	size_t i;

	(void)state;
	small_list(&b);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		b.bytes[at[i]] ^= 0x80;
		assert_int_equal(read_all(b.bytes, b.used), -1);
		b.bytes[at[i]] ^= 0x80;
	}
	recbuf_free(&b);
}

static void test_why(void **state)
{
	struct platform p = { 0 };
	char want[PLATFORM_WHY_MAX];

	(void)state;
	assert_non_null(platform_why(&p));
	errno = 0;
	assert_int_equal(platform_fail(&p, ESTALE, "%d is not %s", 3, "4"),
			 -1);
	assert_int_equal(errno, ESTALE);
	assert_string_equal(platform_why(&p), "3 is not 4");
	memset(want, 'x', sizeof(want));
	want[sizeof(want) - 1] = 0;
	(void)platform_fail(&p, EIO, "%s and more", want);
	assert_string_equal(platform_why(&p), want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_reserve_is_zeroed),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_byte_wrong),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
