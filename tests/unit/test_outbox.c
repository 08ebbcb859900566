// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_outbox.c - the outbox survives its process, and is checked when found
 */
#include "replicator/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROOM = 8, PAGE = 4096 };

static int fd;

static int setup(void **state)
{
	(void)state;
	fd = memfd_create("outbox", MFD_CLOEXEC);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(fd);
}

static struct outbox *open_it(void)
{
	struct outbox *o = outbox_open(fd, ROOM);

	assert_non_null(o);
	return o;
}

static void test_survives(void **state)
{
	struct outbox_facts f = { .generation = 3, .committed = 8,
				  .bound = 1 };
	const struct outbox_checkpoint *c;
	uint8_t page[PAGE], digest[OUTBOX_DIGEST];
	struct outbox *o = open_it();

	(void)state;
	outbox_store(o, &f);
	outbox_begin(o, 9, 2);
	for (int i = 0; i < 3; i++) {
		memset(page, 'a' + i, sizeof(page));
		assert_int_equal(outbox_page(o, 100 + i, page), 0);
	}
	assert_false(outbox_checkpoint(o)->whole);
	assert_int_equal(outbox_whole(o, "state", 5, 111, 222), 0);
	memset(digest, 7, sizeof(digest));
	outbox_sent(o, digest);
	outbox_close(o);

	o = open_it();
	assert_memory_equal(outbox_facts(o), &f, sizeof(f));
	c = outbox_checkpoint(o);
	assert_int_equal(c->epoch, 9);
	assert_int_equal(c->cause, 2);
	assert_int_equal(c->pages, 3);
	assert_int_equal(c->guest_time, 111);
	assert_int_equal(c->clock, 222);
	assert_true(atomic_load(&c->whole) && c->sent);
	assert_memory_equal(c->digest, digest, sizeof(digest));
	assert_int_equal(c->state, 5);
	assert_memory_equal(outbox_state(o), "state", 5);
	for (int i = 0; i < 3; i++) {
		memset(page, 'a' + i, sizeof(page));
		assert_int_equal(outbox_gfn(o, i), 100 + i);
		assert_memory_equal(outbox_bytes(o, i), page, PAGE);
	}
	outbox_drop(o);
	assert_int_equal(outbox_checkpoint(o)->epoch, 0);
	outbox_close(o);
}

/* A capture that was cut short is not taken for a whole one. */
static void test_half(void **state)
{
	struct outbox *o = open_it();
	uint8_t page[PAGE] = { 1 };

	(void)state;
	outbox_begin(o, 4, 1);
	assert_int_equal(outbox_whole(o, "x", 1, 0, 0), 0);
	outbox_begin(o, 5, 1);
	outbox_page(o, 1, page);
	outbox_close(o);
	o = open_it();
	assert_int_equal(outbox_checkpoint(o)->epoch, 5);
	assert_false(outbox_checkpoint(o)->whole);
	assert_false(outbox_checkpoint(o)->sent);
	outbox_close(o);
}

static void test_bounds(void **state)
{
	static uint8_t state_bytes[OUTBOX_STATE_MAX + 1];
	struct outbox *o = open_it();
	uint8_t page[PAGE] = { 1 };

	(void)state;
	assert_int_equal(outbox_room(o), ROOM);
	outbox_begin(o, 1, 1);
	for (int i = 0; i < ROOM; i++)
		assert_int_equal(outbox_page(o, i, page), 0);
	assert_int_equal(outbox_page(o, ROOM, page), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(outbox_whole(o, state_bytes, sizeof(state_bytes), 0,
				      0), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(outbox_whole(o, state_bytes, OUTBOX_STATE_MAX, 0, 0),
			 0);
	outbox_close(o);
	assert_null(outbox_open(fd, 0));
	assert_int_equal(errno, EINVAL);
	assert_null(outbox_open(fd, OUTBOX_PAGES_MAX + 1ull));
	assert_int_equal(errno, EINVAL);
}

/* Something else, or of another size, is not used (INV-31). */
static void test_foreign(void **state)
{
	struct outbox *o = open_it();
	uint64_t junk = 0x1122334455667788ull;

	(void)state;
	outbox_close(o);
	assert_null(outbox_open(fd, ROOM + 1));
	assert_int_equal(errno, EPROTO);
	assert_int_equal(pwrite(fd, &junk, sizeof(junk), 0), sizeof(junk));
	assert_null(outbox_open(fd, ROOM));
	assert_int_equal(errno, EPROTO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_survives),
		T(test_half),
		T(test_bounds),
		T(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
