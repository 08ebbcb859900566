// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_ring.c - when is a guest's xenstore ring at rest, its console read?
 *
 * A guest and a daemon are played on a page, message by message and byte by
 * byte; then pages of noise.  INV-4, INV-13, INV-31
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libxc-ext/ring.h"

enum { READ = 2, START = 6, END = 7, WRITE = 11, EVENT = 15, ERROR = 16 };

static struct {
	struct ring_store ring;
	uint8_t rest[RING_PAGE - sizeof(struct ring_store)];
} page;
static struct ring_track track;
static char why[RING_WHY_MAX];
static uint64_t now;

static int start(void **state)
{
	(void)state;
	memset(&page, 0, sizeof(page));
	memset(&track, 0, sizeof(track));
	now = 1000;
	return 0;
}

static int look(void)
{
	return ring_store_settled(&track, &page, now, why);
}

/* Any length: what is more than the ring holds runs over itself. */
static void put(uint8_t *ring, uint32_t *prod, const void *data, size_t len)
{
	const uint8_t *from = data;

	for (; len > RING_STORE_SIZE; len -= RING_STORE_SIZE) {
		ring_put(ring, prod, from, RING_STORE_SIZE);
		from += RING_STORE_SIZE;
	}
	ring_put(ring, prod, from, len);
}

static void put_request(uint32_t type, uint32_t id, uint32_t tx,
			const char *text, uint32_t len)
{
	struct ring_head h = { type, id, tx, len };

	ring_put(page.ring.req, &page.ring.req_prod, &h, sizeof(h));
	put(page.ring.req, &page.ring.req_prod, text, len);
}

static void put_reply(uint32_t type, uint32_t id, uint32_t tx,
		      const char *text, uint32_t len)
{
	struct ring_head h = { type, id, tx, len };

	ring_put(page.ring.rsp, &page.ring.rsp_prod, &h, sizeof(h));
	put(page.ring.rsp, &page.ring.rsp_prod, text, len);
}

static void consume(void)
{
	page.ring.req_cons = page.ring.req_prod;
}

static void guest_reads(void)
{
	page.ring.rsp_cons = page.ring.rsp_prod;
}

/* A request with its answer. */
static void exchange(uint32_t type, uint32_t id, uint32_t tx)
{
	put_request(type, id, tx, "name", 5);
	consume();
	put_reply(type, id, tx, "guest", 5);
	guest_reads();
}

static void unused_ring_is_at_rest(void **state)
{
	(void)state;
	assert_int_equal(look(), 1);
	assert_int_equal(look(), 1);
}

static void request_must_be_consumed_and_answered(void **state)
{
	(void)state;
	assert_int_equal(look(), 1);
	put_request(READ, 7, 0, "name", 5);
	assert_int_equal(look(), 0);
	assert_non_null(strstr(why, "not consumed"));
	consume();
	/* The reply ring was never used: nothing to compare with yet. */
	assert_int_equal(look(), 0);
	put_reply(READ, 7, 0, "guest", 5);
	assert_int_equal(look(), 1);	/* unread replies are in the page */

	put_request(WRITE, 8, 0, "a\0b", 3);
	consume();
	assert_int_equal(look(), 0);
	assert_non_null(strstr(why, "request 8 (write)"));
	put_reply(EVENT, 0, 0, "x\0y", 4);
	assert_int_equal(look(), 0);
	put_reply(ERROR, 8, 0, "EACCES", 7);
	assert_int_equal(look(), 1);
}

static void half_messages(void **state)
{
	struct ring_head h = { READ, 3, 0, 5 };
	size_t i;

	(void)state;
	exchange(READ, 2, 0);
	assert_int_equal(look(), 1);
	for (i = 0; i < sizeof(h); i++) {
		ring_put(page.ring.req, &page.ring.req_prod, (uint8_t *)&h + i, 1);
		consume();
		assert_int_equal(look(), 0);
	}
	ring_put(page.ring.req, &page.ring.req_prod, "nam", 3);
	consume();
	assert_int_equal(look(), 0);
	ring_put(page.ring.req, &page.ring.req_prod, "e", 2);
	consume();
	assert_int_equal(look(), 0);
	for (i = 0; i < sizeof(h); i++) {
		ring_put(page.ring.rsp, &page.ring.rsp_prod, (uint8_t *)&h + i, 1);
		assert_int_equal(look(), 0);
	}
	ring_put(page.ring.rsp, &page.ring.rsp_prod, "guest", 5);
	assert_int_equal(look(), 1);
}

static void half_message_without_history(void **state)
{
	struct ring_head h = { WRITE, 3, 0, 5 };

	(void)state;
	exchange(READ, 1, 0);
	exchange(READ, 2, 0);
	ring_put(page.ring.req, &page.ring.req_prod, &h, sizeof(h));
	consume();
	assert_int_equal(look(), 0);
	ring_put(page.ring.req, &page.ring.req_prod, "a\0bcd", 5);
	consume();
	put_reply(WRITE, 3, 0, "OK", 3);
	assert_int_equal(look(), 1);
}

static void message_longer_than_the_ring(void **state)
{
	static const char value[3000];
	struct ring_head h = { WRITE, 9, 0, sizeof(value) };
	size_t at, n;

	(void)state;
	exchange(READ, 8, 0);
	assert_int_equal(look(), 1);
	ring_put(page.ring.req, &page.ring.req_prod, &h, sizeof(h));
	for (at = 0; at < sizeof(value); at += n) {
		n = sizeof(value) - at < 700 ? sizeof(value) - at : 700;
		ring_put(page.ring.req, &page.ring.req_prod, value + at, n);
		consume();
		assert_int_equal(look(), 0);
	}
	put_reply(WRITE, 9, 0, "OK", 3);
	assert_int_equal(look(), 1);
}

static void lost_track_is_found_again(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(look(), 1);
	for (i = 1; i < 500; i++)
		exchange(READ, i, 0);
	assert_int_equal(look(), 1);
	for (; i < 1000; i++)
		exchange(READ, i, 0);
	put_request(READ, i, 0, "name", 5);
	consume();
	assert_int_equal(look(), 0);
	assert_non_null(strstr(why, "is not answered"));
}

static void lost_for_good_waits_for_stillness(void **state)
{
	static const char value[4096];

	(void)state;
	exchange(READ, 1, 0);
	assert_int_equal(look(), 1);
	exchange(READ, 2, 0);
	put_request(WRITE, 3, 0, value, sizeof(value));
	put_reply(WRITE, 3, 0, "OK", 3);
	consume();
	assert_int_equal(look(), 0);
	assert_true(track.unsure);
	now += RING_STILL_NS - 1;
	assert_int_equal(look(), 0);
	now++;
	assert_int_equal(look(), 1);
	exchange(READ, 4, 0);
	assert_int_equal(look(), 1);
	assert_false(track.unsure);
}

static void transactions(void **state)
{
	(void)state;
	assert_int_equal(look(), 1);
	put_request(START, 1, 0, "", 1);
	consume();
	put_reply(START, 1, 0, "17", 3);
	assert_int_equal(look(), 0);
	assert_non_null(strstr(why, "transaction 17"));
	exchange(READ, 2, 17);
	assert_int_equal(look(), 0);
	put_request(END, 3, 17, "T", 2);
	consume();
	assert_int_equal(look(), 0);
	put_reply(END, 3, 17, "OK", 3);
	assert_int_equal(look(), 1);

	/* A whole one between two looks. */
	put_request(START, 4, 0, "", 1);
	put_request(READ, 5, 18, "x", 2);
	put_request(END, 6, 18, "T", 2);
	consume();
	put_reply(START, 4, 0, "18", 3);
	put_reply(READ, 5, 18, "x", 1);
	put_reply(END, 6, 18, "OK", 3);
	assert_int_equal(look(), 1);
}

static void many_transactions_are_bounded(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(look(), 1);
	for (i = 1; i < 100; i++) {
		exchange(READ, i, 1000 + i);
		assert_int_equal(look(), 0);
		assert_in_range(track.ntx, 1, RING_STORE_TX_MAX);
	}
}

static void wrapping_indices(void **state)
{
	uint32_t i;

	(void)state;
	page.ring.req_cons = page.ring.req_prod = UINT32_MAX - 300;
	page.ring.rsp_cons = page.ring.rsp_prod = UINT32_MAX - 100;
	assert_int_equal(look(), 0);	/* zeroes are no messages */
	now += RING_STILL_NS;
	assert_int_equal(look(), 1);
	for (i = 0; i < 100; i++) {
		exchange(READ, i, 0);
		assert_int_equal(look(), 1);
	}
}

static void broken_indices(void **state)
{
	(void)state;
	exchange(READ, 1, 0);
	page.ring.req_prod = page.ring.req_cons + RING_STORE_SIZE + 1;
	assert_int_equal(look(), -1);
	assert_int_equal(errno, EPROTO);
	assert_non_null(strstr(why, "broke its indices"));
	consume();
	page.ring.rsp_cons = page.ring.rsp_prod + 1;
	assert_int_equal(look(), -1);
	guest_reads();
	page.ring.connection = 1;
	assert_int_equal(look(), 0);
}

/* Whatever the page says: an answer, and nothing out of bounds. */
static void noise(void **state)
{
	unsigned int round, i;
	uint8_t *bytes = (uint8_t *)&page;

	(void)state;
	srandom(1);
	for (round = 0; round < 3000; round++) {
		int answer;

		for (i = 0; i < sizeof(page.ring); i++)
			bytes[i] = random() % 4 ? 0 : (uint8_t)random();
		page.ring.req_prod = (uint32_t)random();
		page.ring.rsp_prod = (uint32_t)random();
		page.ring.req_cons = page.ring.req_prod -
				     (uint32_t)random() % 1030;
		page.ring.rsp_cons = page.ring.rsp_prod -
				     (uint32_t)random() % 1030;
		now += (uint64_t)random();
		answer = look();
		assert_in_range(answer + 1, 0, 2);
		assert_in_range(track.ntx, 0, RING_STORE_TX_MAX);
	}
}

static void copy_takes_everything(void **state)
{
	uint8_t from[RING_PAGE], to[RING_PAGE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7);
	memset(to, 0, sizeof(to));
	ring_store_copy(to, from);
	assert_memory_equal(to, from, sizeof(to));
	memset(to, 0, sizeof(to));
	ring_console_copy(to, from);
	assert_memory_equal(to, from, sizeof(to));
}

static void console(void **state)
{
	struct ring_console c = { .out_cons = UINT32_MAX - 5, .out_prod = 10 };
	uint32_t prod = ring_console_produced(&c), left;

	(void)state;
	assert_int_equal(prod, 10);
	assert_false(ring_console_drained(&c, prod, &left));
	assert_int_equal(left, 16);
	c.out_cons = 9;
	assert_false(ring_console_drained(&c, prod, &left));
	c.out_cons = 10;
	assert_true(ring_console_drained(&c, prod, &left));
	c.out_cons = 11;		/* beyond, or nonsense */
	assert_true(ring_console_drained(&c, prod, &left));
	c.out_cons = prod - RING_CONSOLE_OUT;
	assert_false(ring_console_drained(&c, prod, &left));
	c.out_cons--;
	assert_true(ring_console_drained(&c, prod, &left));
	assert_int_equal(left, 0);
}

/* INV-2: what the dead host's daemon had read is shown again, if it is there. */
static void console_replay(void **state)
{
	static const struct {
		uint32_t cons, prod, want;
	} t[] = {
		{ 0, 0, 0 },			/* nothing yet */
		{ 10, 10, 0 },			/* all since the start */
		{ 5000, 5000, 5000 - RING_CONSOLE_REPLAY },
		{ 4990, 5000, 5000 - RING_CONSOLE_REPLAY },
		{ 3000, 5000, 3000 },		/* more is unread already */
		{ UINT32_MAX - 5, 10, UINT32_MAX - 5 },
		{ 1000000, 5000, 1000000 },	/* broken: left alone */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ring_console c = {
			.out_cons = t[i].cons, .out_prod = t[i].prod
		};

		ring_console_replay(&c);
		assert_int_equal(c.out_cons, t[i].want);
		assert_int_equal(c.out_prod, t[i].prod);
	}
}

#define CASE(f) cmocka_unit_test_setup(f, start)

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(unused_ring_is_at_rest),
		CASE(request_must_be_consumed_and_answered),
		CASE(half_messages),
		CASE(half_message_without_history),
		CASE(message_longer_than_the_ring),
		CASE(lost_track_is_found_again),
		CASE(lost_for_good_waits_for_stillness),
		CASE(transactions),
		CASE(many_transactions_are_bounded),
		CASE(wrapping_indices),
		CASE(broken_indices),
		CASE(noise),
		CASE(copy_takes_everything),
		CASE(console),
		CASE(console_replay),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
