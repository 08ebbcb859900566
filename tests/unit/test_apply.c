// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_apply.c - committed checkpoints into memory, killed wherever it hurts
 *
 * INV-18: image plus committed, not yet applied checkpoints, in order, is
 * always the last committed checkpoint, however often it is begun again.
 */
#include "tests/unit/step.h"

#include <sys/mman.h>

#include "replicator/apply.h"

/* Copy, checkpoint 1 applied, 2 and 3 committed and pending. */
static void two_pending(struct standby *s, struct stream *in)
{
	struct apply a = { 0 };

	standby_feed(s, in, 0, in->ckpt[2]);
	assert_int_equal(apply_some(&a, s->st, &s->guest.base, SIZE_MAX), 0);
	standby_feed(s, in, in->ckpt[2], in->n);
	assert_memory_equal(s->memory, in->memory[1], PAGES * WIRE_PAGE);
}

static void test_order(void **state)
{
	struct stream *in = stream_new();
	struct apply a = { 0 };
	struct standby s;

	(void)state;
	standby_init(&s);
	two_pending(&s, in);
	assert_int_equal(apply_some(&a, s.st, &s.guest.base, DIRTY), 1);
	assert_memory_equal(s.memory, in->memory[2], PAGES * WIRE_PAGE);
	assert_int_equal(staging_applied(s.st), 2);
	assert_int_equal(apply_some(&a, s.st, &s.guest.base, DIRTY), 0);
	assert_memory_equal(s.memory, in->memory[3], PAGES * WIRE_PAGE);
	assert_int_equal(staging_applied(s.st), 3);
	assert_int_equal(apply_some(&a, s.st, &s.guest.base, DIRTY), 0);
	standby_free(&s);
	stream_free(in);
}

/* In slices of any size, with the receiver killed after each @die of them. */
static void test_slices(void **state)
{
	struct stream *in = stream_new();
	unsigned int slice, die, n;
	struct standby s;
	struct apply a;

	(void)state;
	for (slice = 1; slice <= 2 * DIRTY; slice++) {
		for (die = 1; die < 5; die++) {
			standby_init(&s);
			two_pending(&s, in);
			a = (struct apply){ 0 };
			for (n = 0; n < die && apply_some(&a, s.st,
			     &s.guest.base, slice) == 1; n++)
				;
			standby_detach(&s);
			standby_attach(&s);
			a = (struct apply){ 0 };
			while (apply_some(&a, s.st, &s.guest.base, DIRTY) == 1)
				;
			assert_memory_equal(s.memory, in->memory[3],
					    PAGES * WIRE_PAGE);
			standby_free(&s);
		}
	}
	stream_free(in);
}

/* --- between any two stores: jump out of page_rw -------------------------------- */

static jmp_buf killed;
static uint64_t kill_at;

static void maybe_die(struct guest *g)
{
	if (g->touches == kill_at)
		longjmp(killed, 1);
}

/* Apply, killed before the @n-th page; then the next life. */
static void apply_killed(struct standby *s, uint64_t n)
{
	struct apply a = { 0 };

	s->guest.touches = 0;
	s->guest.touch = maybe_die;
	kill_at = n;
	if (!setjmp(killed)) {
		apply_some(&a, s->st, &s->guest.base, SIZE_MAX);
		fail_msg("not killed at page %u", (unsigned int)n);
	}
	standby_detach(s);
	standby_attach(s);
}

/* Killed before page n; begun again and killed before page m; then done. */
static void test_killed_at_pages(void **state)
{
	struct stream *in = stream_new();
	struct apply a;
	struct standby s;
	uint64_t n, m;

	(void)state;
	for (n = 1; n <= 2 * DIRTY; n++) {
		for (m = 1; m <= DIRTY; m++) {
			standby_init(&s);
			two_pending(&s, in);
			apply_killed(&s, n);
			apply_killed(&s, m);
			a = (struct apply){ 0 };
			assert_int_equal(apply_some(&a, s.st, &s.guest.base,
						    SIZE_MAX), 0);
			assert_memory_equal(s.memory, in->memory[3],
					    PAGES * WIRE_PAGE);
			standby_free(&s);
		}
	}
	stream_free(in);
}

/* --- at any instruction ------------------------------------------------------------ */

struct kill {
	struct standby s, copy;
	struct stream *in;
	unsigned int partly;	/* looks that found a mix in memory */
};

static void run_apply(void *arg)
{
	struct apply a = { 0 };
	struct kill *k = arg;

	apply_some(&a, k->s.st, &k->s.guest.base, SIZE_MAX);
}

/* What a new receiver makes of the file and the memory, in copies of both. */
static void look_apply(void *arg)
{
	uint64_t at = WIRE_PAGE + (uint64_t)WIRE_SHELL_MAX;
	static uint8_t buf[1 << 20];
	struct kill *k = arg;
	struct apply a = { 0 };
	ssize_t n;

	assert_int_equal(pread(k->s.fd, buf, WIRE_PAGE, 0), WIRE_PAGE);
	assert_int_equal(pwrite(k->copy.fd, buf, WIRE_PAGE, 0), WIRE_PAGE);
	n = pread(k->s.fd, buf, sizeof(buf), (off_t)at);
	assert_true(n > 0);
	assert_int_equal(pwrite(k->copy.fd, buf, (size_t)n, (off_t)at), n);
	memcpy(k->copy.memory, k->s.memory, PAGES * WIRE_PAGE);
	k->partly += memcmp(k->s.memory, k->in->memory[1], PAGES * WIRE_PAGE) &&
		     memcmp(k->s.memory, k->in->memory[2], PAGES * WIRE_PAGE) &&
		     memcmp(k->s.memory, k->in->memory[3], PAGES * WIRE_PAGE);

	standby_detach(&k->copy);
	standby_attach(&k->copy);
	assert_int_equal(staging_view(k->copy.st)->committed, 3);
	assert_int_equal(apply_some(&a, k->copy.st, &k->copy.guest.base,
				    SIZE_MAX), 0);
	assert_memory_equal(k->copy.memory, k->in->memory[3],
			    PAGES * WIRE_PAGE);
}

static void test_killed_at_instructions(void **state)
{
	struct kill k = { .in = stream_new() };
	unsigned long looks;

	(void)state;
	standby_init(&k.s);
	standby_init(&k.copy);
	free(k.s.memory);
	k.s.memory = mmap(NULL, PAGES * WIRE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(k.s.memory != MAP_FAILED);
	k.s.guest.memory = k.s.memory;
	two_pending(&k.s, k.in);
	/* A prime, so that loops are not met at the same place each time. */
	looks = step_through(run_apply, look_apply, &k, 13);
	assert_true(looks > 20);
	assert_true(k.partly > 10);
	munmap(k.s.memory, PAGES * WIRE_PAGE);
	k.s.memory = NULL;
	standby_free(&k.s);
	standby_free(&k.copy);
	stream_free(k.in);
}

/* A frame that is gone is a bug, said and not skipped. */
static void test_no_memory(void **state)
{
	struct stream *in = stream_new();
	struct apply a = { 0 };
	struct standby s;

	(void)state;
	standby_init(&s);
	two_pending(&s, in);
	staging_gfns(s.st, staging_pending(s.st))[1] = 5;
	assert_int_equal(apply_some(&a, s.st, &s.guest.base, SIZE_MAX), -1);
	assert_int_equal(errno, EFAULT);
	assert_non_null(staging_pending(s.st));
	standby_free(&s);
	stream_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_killed_at_pages),
		cmocka_unit_test(test_killed_at_instructions),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
