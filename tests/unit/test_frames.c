// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_frames.c - the announcements of a card, byte for byte
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "libxc-ext/frames.h"

static const uint8_t mac[FRAME_MAC] = { 0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a };
static uint8_t frame[FRAME_MAX];

static void expect_padding(size_t from)
{
	for (; from < FRAME_MIN; from++)
		assert_int_equal(frame[from], 0);
}

static void rarp(void **state)
{
	static const uint8_t want[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 0x80, 0x35,
		0, 1, 8, 0, 6, 4, 0, 3,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 0, 0, 0, 0,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 0, 0, 0, 0,
	};

	(void)state;
	memset(frame, 0xee, sizeof(frame));
	assert_int_equal(frame_rarp(frame, mac), FRAME_MIN);
	assert_memory_equal(frame, want, sizeof(want));
	expect_padding(sizeof(want));
}

static void arp(void **state)
{
	static const uint8_t want[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 0x08, 0x06,
		0, 1, 8, 0, 6, 4, 0, 1,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 10, 77, 0, 100,
		0, 0, 0, 0, 0, 0, 10, 77, 0, 100,
	};
	struct in_addr ip;

	(void)state;
	memset(frame, 0xee, sizeof(frame));
	assert_int_equal(inet_pton(AF_INET, "10.77.0.100", &ip), 1);
	assert_int_equal(frame_arp(frame, mac, ip), FRAME_MIN);
	assert_memory_equal(frame, want, sizeof(want));
	expect_padding(sizeof(want));
}

/* Of the message and its pseudo header, computed apart from the code. */
static uint16_t ones_sum(void)
{
	uint32_t sum = 32 + 58;
	unsigned int i;

	for (i = 22; i < 54; i += 2)		/* both addresses */
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	for (i = 54; i < 86; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void neighbour(void **state)
{
	static const uint8_t head[] = {
		0x33, 0x33, 0, 0, 0, 1,
		0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, 32, 58, 255,
		0xfe, 0x80, 0, 0, 0, 0, 0, 0,
		0x02, 0x16, 0x3e, 0xff, 0xfe, 0x01, 0x02, 0x0a,
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		136, 0,
	}, tail[] = {
		0x20, 0, 0, 0,
		0xfe, 0x80, 0, 0, 0, 0, 0, 0,
		0x02, 0x16, 0x3e, 0xff, 0xfe, 0x01, 0x02, 0x0a,
		2, 1, 0x00, 0x16, 0x3e, 0x01, 0x02, 0x0a,
	};
	struct in6_addr ip;
	size_t n;

	(void)state;
	frame_link_local(mac, &ip);
	n = frame_neighbour(frame, mac, &ip);
	assert_int_equal(n, sizeof(head) + 2 + sizeof(tail));
	assert_memory_equal(frame, head, sizeof(head));
	assert_memory_equal(frame + sizeof(head) + 2, tail, sizeof(tail));
	assert_int_equal(ones_sum(), 0xffff);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(rarp),
		cmocka_unit_test(arp),
		cmocka_unit_test(neighbour),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
