// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_netback_packet.c - a packet that is cut by the fence waits (INV-33), and
 * a guest that never ends one is not followed beyond the limit (INV-31)
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/kernel/netif.h"

#include "backends/linux/netback_packet.h"

#define RING_BYTES	4096u
#define ROUNDS		20000

static netif_tx_sring_t *sring;
static netif_tx_back_ring_t tx;
static uint32_t size;

static int begin(void **state)
{
	(void)state;
	sring = aligned_alloc(RING_BYTES, RING_BYTES);
	assert_non_null(sring);
	memset(sring, 0, RING_BYTES);
	BACK_RING_INIT(&tx, sring, RING_BYTES);
	size = RING_SIZE(&tx);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(sring);
	return 0;
}

static void put_data(uint32_t at, uint16_t flags)
{
	netif_tx_request_t req = { .flags = flags, .size = 100 };

	memcpy(RING_GET_REQUEST(&tx, at), &req, sizeof(req));
}

static void put_extra(uint32_t at, bool more)
{
	netif_extra_info_t extra = {
		.type = XEN_NETIF_EXTRA_TYPE_GSO,
		.flags = more ? XEN_NETIF_EXTRA_FLAG_MORE : 0,
	};

	memcpy(RING_GET_REQUEST(&tx, at), &extra, sizeof(extra));
}

/* A packet of 1 + @extras + @more slots at @at. */
static void put_packet(uint32_t at, uint32_t extras, uint32_t more)
{
	uint16_t first = extras ? NETTXF_extra_info : 0;
	uint32_t i;

	put_data(at++, first | (more ? NETTXF_more_data : 0));
	for (i = 0; i < extras; i++)
		put_extra(at++, i + 1 < extras);
	for (i = 0; i < more; i++)
		put_data(at++, i + 1 < more ? NETTXF_more_data : 0);
}

static void test_cut_anywhere(void **state)
{
	uint32_t i, limit, extras, more, slots;

	(void)state;
	srand(7);
	for (i = 0; i < ROUNDS; i++) {
		extras = (uint32_t)rand() % 4;
		more = (uint32_t)rand() % 19;
		slots = 1 + extras + more;
		tx.req_cons = (uint32_t)rand() * 2u + i;
		if (i % 8 == 0)
			tx.req_cons = 0u - (uint32_t)rand() % 8;
		put_packet(tx.req_cons, extras, more);
		for (limit = 0; limit < slots; limit++)
			assert_false(xenvif_whole_packet(&tx, tx.req_cons +
							 limit));
		assert_true(xenvif_whole_packet(&tx, tx.req_cons + slots));
		assert_true(xenvif_whole_packet(&tx, tx.req_cons + size));
	}
}

/* Each kind of chain that never ends, the whole ring long. */
static void test_endless(void **state)
{
	uint32_t i;

	(void)state;
	tx.req_cons = 0xfffffff0u;
	for (i = 0; i < size; i++)
		put_data(tx.req_cons + i, NETTXF_more_data);
	assert_false(xenvif_whole_packet(&tx, tx.req_cons + size));
	put_data(tx.req_cons, NETTXF_extra_info);
	for (i = 1; i < size; i++)
		put_extra(tx.req_cons + i, true);
	assert_false(xenvif_whole_packet(&tx, tx.req_cons + size));
	put_extra(tx.req_cons + size - 1, false);
	assert_true(xenvif_whole_packet(&tx, tx.req_cons + size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cut_anywhere, begin, end),
		cmocka_unit_test_setup_teardown(test_endless, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
