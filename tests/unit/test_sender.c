// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_sender.c - when pages of a checkpoint may refer to the one before
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <errno.h>
#include <cmocka.h>

#include "replicator/codec.h"
#include "replicator/link.h"
#include "replicator/outbox.h"
#include "replicator/sender.h"

enum { GFN = 7, ROOM = 64 };

/* A link that remembers of each checkpoint its codec state and first page. */
struct ear {
	struct link base;
	uint64_t codec_state;
	uint32_t encoding;
	unsigned int left;	/* messages that it takes */
};

static int hear(struct link *l, const struct iovec *iov, int n)
{
	struct ear *e = (struct ear *)l;
	const uint8_t *bytes = iov->iov_base;
	struct wire_ckpt_begin begin;
	struct wire_page page;
	char why[WIRE_WHY_MAX];
	int type;

	assert_int_equal(n, 1);
	if (!e->left) {
		errno = EAGAIN;
		return -1;
	}
	e->left--;
	type = wire_check(bytes, iov->iov_len, why);
	if (type == WIRE_CKPT_BEGIN) {
		memcpy(&begin, wire_body(bytes), sizeof(begin));
		e->codec_state = begin.codec_state;
	}
	if (type == WIRE_PAGES) {
		memcpy(&page, (const uint8_t *)wire_body(bytes) +
		       sizeof(struct wire_batch), sizeof(page));
		e->encoding = page.encoding;
	}
	return 0;
}

static const struct link_ops ear_ops = { .name = "ear", .send = hear };

static struct ear ear;
static struct outbox *outbox;
static struct sender *sender;
static int fd;
static uint64_t features = WIRE_FEATURES;

static int setup(void **state)
{
	struct outbox_facts facts = { .session = "sender's", .generation = 1 };

	(void)state;
	fd = memfd_create("outbox", 0);
	outbox = outbox_open(fd, ROOM);
	assert_non_null(outbox);
	outbox_store(outbox, &facts);
	sender = sender_new(outbox, ROOM);
	assert_non_null(sender);
	ear = (struct ear){ .base.ops = &ear_ops };
	features = WIRE_FEATURES;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sender_free(sender);
	outbox_close(outbox);
	close(fd);
	return 0;
}

/* Checkpoint @epoch, of one page full of @fill, as far as @messages go. */
static void send_some(uint64_t epoch, int fill, unsigned int messages)
{
	uint8_t page[WIRE_PAGE];

	memset(page, fill, sizeof(page));
	outbox_begin(outbox, epoch, epoch == 1 ? WIRE_CAUSE_FIRST :
						 WIRE_CAUSE_TAP);
	assert_int_equal(outbox_page(outbox, GFN, page), 0);
	assert_int_equal(outbox_whole(outbox, "12345678", 8, 0, 0), 0);
	ear.left = messages;
	assert_int_equal(sender_start(sender, features), 0);
	assert_true(sender_run(sender, &ear.base, true) >= 0);
}

static void commit(uint64_t epoch)
{
	struct outbox_facts facts = *outbox_facts(outbox);

	sender_committed(sender);
	facts.committed = epoch;
	outbox_store(outbox, &facts);
	outbox_drop(outbox);
}

static void send_and_commit(uint64_t epoch, int fill)
{
	send_some(epoch, fill, 100);
	assert_false(sender_busy(sender));
	commit(epoch);
}

static void expect_sent(uint64_t codec_state, uint32_t encoding)
{
	assert_int_equal(ear.codec_state, codec_state);
	assert_int_equal(ear.encoding, encoding);
}

static void test_refers(void **state)
{
	struct sender_figures f;

	(void)state;
	send_and_commit(1, 1);
	expect_sent(0, WIRE_LZ4);
	send_and_commit(2, 1);
	expect_sent(1, WIRE_SAME);
	send_and_commit(5, 1);
	expect_sent(2, WIRE_SAME);
	sender_figures(sender, &f);
	assert_int_equal(f.codec.lz4, 1);
	assert_int_equal(f.codec.same, 2);
	assert_int_equal(f.again, 0);
	assert_true(f.memory > WIRE_PAGE);
}

/* A peer that does not offer it gets what it always got. */
static void test_old_peer(void **state)
{
	(void)state;
	features = WIRE_FEATURE_LZ4;
	send_and_commit(1, 1);
	send_and_commit(2, 1);
	expect_sent(0, WIRE_LZ4);
	/* Another connection, to one that does. */
	sender_stop(sender);
	features = WIRE_FEATURES;
	send_and_commit(3, 1);
	expect_sent(0, WIRE_LZ4);
	send_and_commit(4, 1);
	expect_sent(3, WIRE_SAME);
	sender_stop(sender);
	features = 0;
	send_and_commit(5, 1);
	expect_sent(0, WIRE_RAW);
}

static void test_new_connection(void **state)
{
	(void)state;
	send_and_commit(1, 1);
	sender_stop(sender);
	send_and_commit(2, 1);
	expect_sent(0, WIRE_LZ4);
	send_and_commit(3, 1);
	expect_sent(2, WIRE_SAME);
	/* Cut off in the middle; the standby had it all the same, or not. */
	send_some(4, 2, 2);
	sender_stop(sender);
	send_and_commit(4, 2);
	expect_sent(0, WIRE_LZ4);
	send_some(5, 3, 100);
	sender_stop(sender);
	commit(5);		/* learnt by RESUME */
	send_and_commit(6, 3);
	expect_sent(0, WIRE_LZ4);
}

/* Started anew without a word from the standby. */
static void test_started_again(void **state)
{
	(void)state;
	send_and_commit(1, 1);
	send_some(2, 2, 100);
	send_some(2, 2, 100);
	expect_sent(0, WIRE_LZ4);
}

/* Committed before all of it was sent: not by what we sent. */
static void test_committed_early(void **state)
{
	(void)state;
	send_and_commit(1, 1);
	send_some(2, 1, 2);
	assert_true(sender_busy(sender));
	commit(2);
	send_and_commit(3, 1);
	expect_sent(0, WIRE_LZ4);
}

static void test_first_after_copy(void **state)
{
	(void)state;
	send_and_commit(1, 1);
	send_and_commit(1, 1);
	expect_sent(0, WIRE_LZ4);
}

static void test_again(void **state)
{
	struct sender_figures f;

	(void)state;
	assert_int_equal(sender_again(sender, GFN), -1);
	send_some(1, 1, 100);
	/* Nothing in it refers to anything. */
	assert_int_equal(sender_again(sender, GFN), -1);
	assert_int_equal(errno, EPROTO);
	commit(1);
	send_some(2, 1, 2);
	assert_int_equal(sender_again(sender, GFN), -1);
	ear.left = 100;
	assert_int_equal(sender_run(sender, &ear.base, true), 1);
	expect_sent(1, WIRE_SAME);
	assert_int_equal(sender_again(sender, GFN), 0);
	assert_int_equal(sender_start(sender, features), 0);
	assert_int_equal(sender_run(sender, &ear.base, true), 1);
	expect_sent(0, WIRE_LZ4);
	assert_int_equal(sender_again(sender, GFN), -1);
	commit(2);
	/* Never again by reference. */
	send_and_commit(3, 1);
	expect_sent(2, WIRE_LZ4);
	sender_figures(sender, &f);
	assert_int_equal(f.again, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_connection, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_started_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_committed_early, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_first_after_copy, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
