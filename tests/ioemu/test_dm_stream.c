// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dm_stream.c - streams that are none are refused, differences are named
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ioemu/dm_stream.h"

enum { ROOM = 64 << 10, FLIPS = 20000 };

static uint8_t bytes[ROOM];
static size_t used;
static struct dm_stream a, b;
static char why[256];

static void put(const void *data, size_t n)
{
	memcpy(bytes + used, data, n);
	used += n;
}

static void put32(uint32_t v)
{
	const uint8_t be[] = { v >> 24, v >> 16, v >> 8, v };

	put(be, sizeof(be));
}

static void begin(void)
{
	used = 0;
	put("QEVM", 4);
	put32(3);
}

static void section(uint32_t id, const char *name, uint32_t instance,
		    const char *data, size_t len, bool footer)
{
	const uint8_t head[] = { 4, 0, 0, id >> 8, id, (uint8_t)strlen(name) };

	put(head, sizeof(head));
	put(name, strlen(name));
	put32(instance);
	put32(1);
	put(data, len);
	if (footer) {
		put("\x7e", 1);
		put32(id);
	}
}

static void three(bool footer, const char *middle, size_t len)
{
	begin();
	section(0, "timer", 0, "12345678", 8, footer);
	section(7, "dma", 1, middle, len, footer);
	section(3, "0000:00:01.1/ide", 0, "", 0, footer);
	put("", 1);
}

static void refused(size_t len, const char *word)
{
	memset(why, 0, sizeof(why));
	errno = 0;
	assert_int_equal(dm_stream_read(&a, bytes, len, why, sizeof(why)), -1);
	assert_int_equal(errno, EPROTO);
	if (!strstr(why, word))
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void accepted(struct dm_stream *s)
{
	if (dm_stream_read(s, bytes, used, why, sizeof(why)))
		fail_msg("refused: %s", why);
}

static void divided(void **state)
{
	int footer;

	(void)state;
	for (footer = 0; footer < 2; footer++) {
		three(footer, "\0\4abc\0", 6);
		accepted(&a);
		assert_int_equal(a.footers, footer);
		assert_int_equal(a.n, 3);
		assert_string_equal(a.section[1].name, "dma");
		assert_int_equal(a.section[1].id, 7);
		assert_int_equal(a.section[1].instance, 1);
		assert_int_equal(a.section[1].version, 1);
		assert_int_equal(a.section[1].length, 6);
		assert_memory_equal(a.section[1].data, "\0\4abc\0", 6);
		assert_string_equal(a.section[2].name, "0000:00:01.1/ide");
		assert_int_equal(a.section[2].length, 0);
	}
}

/* What a guest wrote looks like a section, but its number is taken. */
static void in_disguise(void **state)
{
	static const char fake[] = "\4\0\0\0\0\3abc\0\0\0\0\0\0\0\1x";

	(void)state;
	three(false, fake, sizeof(fake));
	accepted(&a);
	assert_int_equal(a.n, 3);
	assert_int_equal(a.section[1].length, sizeof(fake));
}

static void none(void **state)
{
	(void)state;
	refused(0, "no device model's");
	three(true, "x", 1);
	bytes[0] = 'q';
	refused(used, "no device model's");
	three(true, "x", 1);
	bytes[7] = 2;
	refused(used, "version 2");
	begin();
	refused(used, "no device model's");
	put("", 1);
	refused(used, "without a section");
	three(true, "x", 1);
	bytes[8] = 1;
	refused(used, "begins no section");
	three(true, "x", 1);
	bytes[used - 1] = 1;
	refused(used, "no end");
}

static void too_much(void **state)
{
	uint8_t *big;
	int i;

	(void)state;
	begin();
	for (i = 0; i <= DM_SECTIONS_MAX; i++)
		section((uint32_t)i, "abc", 0, "x", 1, true);
	put("", 1);
	refused(used, "more than 256 sections");
	big = calloc(1, DM_STATE_MAX + 1);
	assert_non_null(big);
	assert_int_equal(dm_stream_read(&a, big, DM_STATE_MAX + 1, why,
					sizeof(why)), -1);
	assert_non_null(strstr(why, "at most"));
	free(big);
	begin();
	section(DM_SECTION_ID_MAX + 1, "abc", 0, "x", 1, false);
	put("", 1);
	refused(used, "begins no section");
	begin();
	section(1, "abc", DM_SECTION_INSTANCE_MAX + 1, "x", 1, false);
	put("", 1);
	refused(used, "begins no section");
	begin();
	section(1, "a\nc", 0, "x", 1, false);
	put("", 1);
	refused(used, "begins no section");
}

static void truncated(void **state)
{
	size_t len, first;

	(void)state;
	begin();
	section(0, "timer", 0, "12345678", 8, true);
	section(7, "dma", 1, "", 0, false);
	first = used;
	/* That there are footers is seen when a second section begins. */
	three(true, "data", 4);
	for (len = 0; len < used; len++)
		if (len > first || bytes[len ? len - 1 : 0])
			refused(len, "");
	/* Without footers: save where a zero can be taken for the end. */
	three(false, "data", 4);
	for (len = 0; len < used; len++)
		if (!len || bytes[len - 1])
			refused(len, "");
}

/* The copy is of the exact size, so that a sanitizer sees a step beyond it. */
static void corrupted(void **state)
{
	unsigned int seed = 1;
	uint8_t *copy;
	size_t i;
	int n;

	(void)state;
	for (n = 0; n < FLIPS; n++) {
		three(n % 2, "\0\4abc\0", 6);
		copy = malloc(used);
		assert_non_null(copy);
		memcpy(copy, bytes, used);
		copy[(size_t)rand_r(&seed) % used] = (uint8_t)rand_r(&seed);
		copy[(size_t)rand_r(&seed) % used] ^= 4;
		if (!dm_stream_read(&a, copy, used, why, sizeof(why)))
			for (i = 0; i < a.n; i++)
				assert_true(a.section[i].data +
					    a.section[i].length <= copy + used);
		free(copy);
	}
}

static void differences(void **state)
{
	static uint8_t before[ROOM];
	size_t pos = 0;

	(void)state;
	three(true, "data", 4);
	memcpy(before, bytes, used);
	assert_int_equal(dm_stream_read(&b, before, used, why, sizeof(why)), 0);
	accepted(&a);
	assert_null(dm_stream_differ(&a, &b, &pos));
	three(true, "dat", 3);
	accepted(&a);
	pos = 0;
	assert_string_equal(dm_stream_differ(&a, &b, &pos), "dma");
	assert_null(dm_stream_differ(&a, &b, &pos));
	begin();
	section(0, "timer", 0, "1234567.", 8, true);
	section(3, "0000:00:01.1/ide", 0, "", 0, true);
	put("", 1);
	accepted(&a);
	pos = 0;
	assert_string_equal(dm_stream_differ(&b, &a, &pos), "timer");
	assert_string_equal(dm_stream_differ(&b, &a, &pos), "dma");
	assert_null(dm_stream_differ(&b, &a, &pos));
	begin();
	section(0, "timer", 0, "12345678", 8, true);
	put("", 1);
	accepted(&a);
	pos = 0;
	assert_string_equal(dm_stream_differ(&a, &b, &pos), "dma");
	assert_null(dm_stream_differ(&a, &b, &pos));
}

static void by_themselves(void **state)
{
	(void)state;
	assert_non_null(dm_section_changes("timer"));
	assert_non_null(dm_section_changes("0000:00:05.0/hpet"));
	assert_null(dm_section_changes("0000:00:01.1/ide"));
	assert_null(dm_section_changes("timer2"));
	assert_null(dm_section_changes(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(divided),
		cmocka_unit_test(in_disguise),
		cmocka_unit_test(none),
		cmocka_unit_test(too_much),
		cmocka_unit_test(truncated),
		cmocka_unit_test(corrupted),
		cmocka_unit_test(differences),
		cmocka_unit_test(by_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
