// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_epoch.c - the state machine of epochs: every state that can be reached
 */
#include "replicator/epoch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void move(struct epoch *e, enum epoch_move m, uint64_t n)
{
	assert_int_equal(epoch_move(e, m, n), 0);
}

static void refuse(struct epoch *e, enum epoch_move m, uint64_t n)
{
	struct epoch before = *e;

	assert_int_equal(epoch_move(e, m, n), -1);
	assert_int_equal(errno, EPERM);
	assert_memory_equal(e, &before, sizeof(before));
}

static struct epoch begun(bool bound)
{
	struct epoch e;

	epoch_init(&e, 1);
	move(&e, EPOCH_STOP, 0);
	move(&e, EPOCH_BEGIN, 1);
	move(&e, EPOCH_TAKEN, 0);
	if (bound)
		move(&e, EPOCH_BIND, 0);
	return e;
}

/* INV-6: the order of a commit. */
static void test_straight(void **state)
{
	struct epoch e = begun(true);

	(void)state;
	refuse(&e, EPOCH_RELEASE, 0);
	refuse(&e, EPOCH_GO, 0);
	move(&e, EPOCH_COMMIT, 1);
	refuse(&e, EPOCH_GO, 0);
	refuse(&e, EPOCH_DRAINED, 0);
	move(&e, EPOCH_RELEASE, 0);
	refuse(&e, EPOCH_RELEASE, 0);
	refuse(&e, EPOCH_GO, 0);
	move(&e, EPOCH_DRAINED, 0);
	move(&e, EPOCH_GO, 0);
	assert_false(e.stopped);
	assert_int_equal(e.running, 2);
	assert_int_equal(e.captured, 1);
	assert_int_equal(e.committed, 1);
	assert_int_equal(e.released, 1);
}

static void test_numbers(void **state)
{
	struct epoch e;

	(void)state;
	epoch_init(&e, 5);
	refuse(&e, EPOCH_BEGIN, 5);	/* the guest runs */
	move(&e, EPOCH_STOP, 0);
	refuse(&e, EPOCH_BEGIN, 4);
	refuse(&e, EPOCH_BEGIN, 6);
	move(&e, EPOCH_BEGIN, 5);
	refuse(&e, EPOCH_BEGIN, 6);
	move(&e, EPOCH_TAKEN, 0);
	move(&e, EPOCH_BIND, 0);
	refuse(&e, EPOCH_COMMIT, 4);
	refuse(&e, EPOCH_COMMIT, 6);
	move(&e, EPOCH_COMMIT, 5);
	refuse(&e, EPOCH_COMMIT, 5);
}

/* Alone, output needs no commit; and there is nothing to commit. */
static void test_alone(void **state)
{
	struct epoch e = begun(false);

	(void)state;
	refuse(&e, EPOCH_COMMIT, 1);
	move(&e, EPOCH_RELEASE, 0);
	move(&e, EPOCH_DRAINED, 0);
	move(&e, EPOCH_GO, 0);
}

/* INV-14: torn, nothing leaves before the right to go on alone. */
static void test_torn(void **state)
{
	struct epoch e = begun(true);

	(void)state;
	move(&e, EPOCH_COMMIT, 1);
	move(&e, EPOCH_RELEASE, 0);
	move(&e, EPOCH_DRAINED, 0);
	move(&e, EPOCH_BEGIN, 2);
	move(&e, EPOCH_LOSE, 0);
	refuse(&e, EPOCH_RELEASE, 0);
	refuse(&e, EPOCH_GO, 0);
	refuse(&e, EPOCH_TAKEN, 0);
	refuse(&e, EPOCH_BEGIN, 3);
	move(&e, EPOCH_GRANT, 0);
	assert_false(e.bound);
	move(&e, EPOCH_RELEASE, 0);
	assert_int_equal(e.released, 2);
	move(&e, EPOCH_DRAINED, 0);
	/* With no held set closed there is nothing to release. */
	move(&e, EPOCH_LOSE, 0);
	move(&e, EPOCH_GRANT, 0);
	refuse(&e, EPOCH_RELEASE, 0);
	move(&e, EPOCH_GO, 0);
}

/* A flight that lets the guest run on: it may not be captured again. */
static void test_overlapped(void **state)
{
	struct epoch e = begun(true);

	(void)state;
	e.overlapped = true;
	move(&e, EPOCH_GO, 0);
	move(&e, EPOCH_STOP, 0);
	refuse(&e, EPOCH_BEGIN, 2);
	move(&e, EPOCH_COMMIT, 1);
	move(&e, EPOCH_RELEASE, 0);
	move(&e, EPOCH_DRAINED, 0);
	move(&e, EPOCH_BEGIN, 2);
	assert_false(e.overlapped);
}

static bool seen(const struct epoch *all, unsigned int n,
		 const struct epoch *e)
{
	for (unsigned int i = 0; i < n; i++)
		if (!memcmp(&all[i], e, sizeof(*e)))
			return true;
	return false;
}

static void check_step(const struct epoch *a, enum epoch_move m,
		       const struct epoch *b)
{
	/* INV-1: bound, what is released was committed. */
	if (b->released > a->released && a->bound)
		assert_true(b->released <= b->committed);
	assert_true(b->released <= b->captured);
	assert_true(b->committed <= b->captured);
	assert_true(b->running == b->captured + 1);
	assert_true(b->released >= a->released);
	/* INV-9: captured means stopped all the time. */
	if (b->flight == EPOCH_TAKING && a->flight == EPOCH_TAKING)
		assert_true(b->stopped);
	/* In sync mode the guest runs only when nothing is in flight. */
	if (!b->stopped)
		assert_int_equal(b->flight, EPOCH_NONE);
	/* Only the standby's word makes a bound primary alone. */
	if (a->bound && !b->bound)
		assert_int_equal(m, EPOCH_GRANT);
}

/* Every state that three epochs can reach, by every order of moves. */
static void test_all_states(void **state)
{
	enum { MAX = 4096, EPOCHS = 3 };
	static struct epoch all[MAX];
	unsigned int n = 1, torn = 0;

	(void)state;
	memset(all, 0, sizeof(all));
	epoch_init(&all[0], 1);
	for (unsigned int i = 0; i < n; i++) {
		torn += all[i].flight == EPOCH_TORN;
		for (int m = 0; m < EPOCH_MOVE_NUM; m++) {
			for (uint64_t k = 1; k <= EPOCHS; k++) {
				struct epoch e = all[i];

				if (!epoch_may(&e, m, k))
					continue;
				move(&e, m, k);
				check_step(&all[i], m, &e);
				if (seen(all, n, &e))
					continue;
				assert_true(n < MAX);
				all[n++] = e;
			}
		}
	}
	print_message("%u states\n", n);
	assert_true(n > 50 && torn > 5);
}

static void test_names(void **state)
{
	(void)state;
	for (int f = 0; f < EPOCH_FLIGHT_NUM; f++)
		assert_string_not_equal(epoch_flight_str(f), "unknown");
	for (int m = 0; m < EPOCH_MOVE_NUM; m++)
		assert_string_not_equal(epoch_move_str(m), "unknown");
	assert_string_equal(epoch_move_str(EPOCH_MOVE_NUM), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_straight),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_overlapped),
		cmocka_unit_test(test_all_states),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
