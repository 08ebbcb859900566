// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_staging.c - the file that outlives a receiver
 *
 * INV-17, INV-18, INV-19: whatever instruction the receiver is killed at, the
 * file says N-1 or N, and what it says is there.
 */
#include "tests/unit/step.h"

#include <sys/mman.h>

static char why[WIRE_WHY_MAX];

static const uint8_t session[16] = "session", host[16] = "host";

struct file {
	int fd;
	struct staging *st;
};

static void file_init(struct file *f)
{
	f->fd = staging_create(STAGING_PAGES_MIN, STAGING_STATE_MIN);
	assert_true(f->fd >= 0);
	f->st = staging_open(f->fd, why);
	assert_non_null(f->st);
}

static void file_reopen(struct file *f)
{
	staging_close(f->st);
	f->st = staging_open(f->fd, why);
	if (!f->st)
		fail_msg("%s", why);
}

static void file_free(struct file *f)
{
	staging_close(f->st);
	close(f->fd);
}

static struct staging_slot *fill(struct file *f, uint8_t byte)
{
	struct staging_slot *slot = staging_slot_begin(f->st);

	assert_non_null(slot);
	staging_gfns(f->st, slot)[0] = GFN0;
	memset(staging_pages(f->st, slot), byte, WIRE_PAGE);
	memset(staging_state(f->st, slot), byte, 32);
	memset(slot->digest, byte, WIRE_DIGEST);
	slot->pages = slot->stored = 1;
	slot->state = 32;
	slot->guest_time = byte * 100;
	return slot;
}

static void to_copied(struct file *f)
{
	uint8_t digest[WIRE_DIGEST] = "copy";

	assert_int_equal(staging_shell_put(f->st, session, host, 1, "shell",
					   5), 0);
	staging_move(f->st, STAGING_SHELL);
	staging_copy_begin(f->st);
	staging_copy_end(f->st, digest);
}

static void test_limits(void **state)
{
	(void)state;
	assert_int_equal(staging_create(STAGING_PAGES_MIN - 1,
					STAGING_STATE_MIN), -1);
	assert_int_equal(staging_create(STAGING_PAGES_MAX + 1ull,
					STAGING_STATE_MIN), -1);
	assert_int_equal(staging_create(STAGING_PAGES_MIN,
					STAGING_STATE_MIN - 1), -1);
	assert_int_equal(staging_create(UINT64_MAX / 2, STAGING_STATE_MIN),
			 -1);
	assert_int_equal(errno, EINVAL);
}

static void test_foreign_files(void **state)
{
	int fd = memfd_create("other", 0);

	(void)state;
	assert_null(staging_open(fd, why));
	assert_int_equal(errno, EPROTO);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_null(staging_open(fd, why));
	close(fd);
	assert_null(staging_open(-1, why));
}

/* Whatever one byte of the header becomes: refused, or usable in bounds. */
static void test_damaged_header(void **state)
{
	unsigned int at, refused = 0;
	struct staging *st;
	uint8_t kept, bad;
	struct file f;
	size_t len;

	(void)state;
	file_init(&f);
	to_copied(&f);
	staging_commit(f.st, fill(&f, 1), 5);
	for (at = 0; at < 512; at++) {
		assert_int_equal(pread(f.fd, &kept, 1, at), 1);
		bad = kept ^ 0xf0;
		assert_int_equal(pwrite(f.fd, &bad, 1, at), 1);
		st = staging_open(f.fd, why);
		if (st) {
			(void)staging_records(st, &len);
			assert_true(len <= STAGING_STATE_MIN);
			(void)staging_shell(st, &len);
			assert_true(len <= WIRE_SHELL_MAX);
		} else {
			refused++;
		}
		staging_close(st);
		assert_int_equal(pwrite(f.fd, &kept, 1, at), 1);
	}
	assert_true(refused > 40);
	file_free(&f);
}

static void test_phases(void **state)
{
	struct file f;
	size_t len;

	(void)state;
	file_init(&f);
	assert_int_equal(staging_view(f.st)->phase, STAGING_EMPTY);
	assert_null(staging_shell(f.st, &len));
	to_copied(&f);
	file_reopen(&f);
	assert_int_equal(staging_view(f.st)->phase, STAGING_COPIED);
	assert_false(staging_eligible(f.st));
	assert_memory_equal(staging_shell(f.st, &len), "shell", 5);
	assert_int_equal(len, 5);
	assert_memory_equal(staging_view(f.st)->session, session, 16);
	assert_memory_equal(staging_view(f.st)->host, host, 16);

	staging_commit(f.st, fill(&f, 1), 1);
	file_reopen(&f);
	assert_true(staging_eligible(f.st));
	assert_int_equal(staging_view(f.st)->committed, 1);
	assert_int_equal(staging_view(f.st)->guest_time, 100);

	/* ALONE, and a fresh copy: not eligible until its first commit. */
	staging_move(f.st, STAGING_SHELL);
	assert_false(staging_eligible(f.st));
	staging_copy_begin(f.st);
	file_reopen(&f);
	assert_false(staging_eligible(f.st));
	assert_null(staging_records(f.st, &len));
	assert_null(staging_pending(f.st));

	staging_move(f.st, STAGING_EMPTY);
	assert_null(staging_shell(f.st, &len));
	assert_int_equal(staging_view(f.st)->committed, 0);
	file_free(&f);
}

/* Two commits ahead of any apply is all there is room for. */
static void test_redo_log(void **state)
{
	struct staging_slot *slot;
	struct file f;
	size_t len;

	(void)state;
	file_init(&f);
	to_copied(&f);
	staging_commit(f.st, fill(&f, 1), 1);
	assert_int_equal(staging_free(f.st), staging_capacity(f.st));
	staging_commit(f.st, fill(&f, 2), 2);
	assert_int_equal(staging_free(f.st), 0);
	assert_null(staging_slot_begin(f.st));
	assert_int_equal(errno, ENOBUFS);
	file_reopen(&f);

	slot = staging_pending(f.st);
	assert_non_null(slot);
	assert_int_equal(slot->epoch, 1);
	staging_done(f.st, slot);
	assert_int_equal(staging_applied(f.st), 1);
	assert_int_equal(staging_free(f.st), staging_capacity(f.st));

	/* What arrives now must leave the pending one and its state alone. */
	(void)fill(&f, 3);
	file_reopen(&f);
	slot = staging_pending(f.st);
	assert_int_equal(slot->epoch, 2);
	assert_int_equal(staging_pages(f.st, slot)[0], 2);
	staging_done(f.st, slot);
	assert_null(staging_pending(f.st));
	assert_int_equal(staging_applied(f.st), 2);
	assert_int_equal(((const uint8_t *)staging_records(f.st, &len))[0], 2);
	file_free(&f);
}

/* A checkpoint of a copy that was given up is never applied (INV-19). */
static void test_stale_slot(void **state)
{
	uint8_t digest[WIRE_DIGEST] = "second copy";
	struct file f;

	(void)state;
	file_init(&f);
	to_copied(&f);
	staging_commit(f.st, fill(&f, 1), 1);
	staging_commit(f.st, fill(&f, 2), 2);
	staging_move(f.st, STAGING_SHELL);
	staging_copy_begin(f.st);
	staging_copy_end(f.st, digest);
	staging_commit(f.st, fill(&f, 3), 9);
	file_reopen(&f);
	assert_int_equal(staging_pending(f.st)->epoch, 9);
	staging_done(f.st, staging_pending(f.st));
	assert_null(staging_pending(f.st));
	file_free(&f);
}

static void test_clock(void **state)
{
	struct file f;

	(void)state;
	file_init(&f);
	to_copied(&f);
	staging_clock_set(f.st, 5000, 1000000);
	assert_int_equal(staging_clock(f.st, 1000700), 5700);
	file_reopen(&f);
	assert_int_equal(staging_clock(f.st, 1000700), 5700);
	staging_commit(f.st, fill(&f, 90), 1);	/* guest time 9000 */
	assert_int_equal(staging_clock(f.st, 1000700), 9000);
	assert_int_equal(staging_clock(f.st, 1003000), 9000);
	assert_int_equal(staging_clock(f.st, 1009000), 14000);
	file_free(&f);
}

/* --- killed at any instruction ------------------------------------------------ */

struct kill {
	struct file f, copy;
	struct staging_slot *slot;
	unsigned int before, after;	/* looks that saw N-1, and N */
};

static void run_commit(void *arg)
{
	struct kill *k = arg;

	staging_commit(k->f.st, k->slot, 2);
}

/* Opening changes the file: look at a copy. */
static void file_copy(int from, int to)
{
	uint64_t at = WIRE_PAGE + (uint64_t)WIRE_SHELL_MAX;
	static uint8_t buf[1 << 20];
	ssize_t n;

	assert_int_equal(pread(from, buf, WIRE_PAGE, 0), WIRE_PAGE);
	assert_int_equal(pwrite(to, buf, WIRE_PAGE, 0), WIRE_PAGE);
	n = pread(from, buf, sizeof(buf), (off_t)at);
	assert_true(n > 0);
	assert_int_equal(pwrite(to, buf, (size_t)n, (off_t)at), n);
}

static void look_commit(void *arg)
{
	const struct staging_view *v;
	struct staging_slot *slot;
	struct kill *k = arg;
	const uint8_t *records;
	uint8_t n;
	size_t len;

	file_copy(k->f.fd, k->copy.fd);
	file_reopen(&k->copy);
	v = staging_view(k->copy.st);
	n = (uint8_t)v->committed;
	assert_true(n == 1 || n == 2);
	k->before += n == 1;
	k->after += n == 2;
	assert_true(n == 2 || !k->after);	/* never back */
	assert_true(staging_eligible(k->copy.st));
	assert_int_equal(v->guest_time, n * 100);
	assert_int_equal(v->digest[0], n);
	assert_int_equal(v->digest[31], n);
	records = staging_records(k->copy.st, &len);
	assert_int_equal(len, 32);
	assert_int_equal(records[0], n);
	assert_int_equal(records[31], n);
	slot = staging_pending(k->copy.st);
	assert_int_equal(slot->epoch, 1);
	staging_done(k->copy.st, slot);
	slot = staging_pending(k->copy.st);
	if (n == 1) {
		assert_null(slot);
		return;
	}
	assert_int_equal(slot->epoch, 2);
	assert_int_equal(staging_pages(k->copy.st, slot)[17], 2);
}

static void test_kill_commit(void **state)
{
	struct kill k = { 0 };

	(void)state;
	file_init(&k.f);
	file_init(&k.copy);
	to_copied(&k.f);
	staging_commit(k.f.st, fill(&k.f, 1), 1);
	k.slot = fill(&k.f, 2);
	step_through(run_commit, look_commit, &k, 1);
	assert_true(k.before > 10);
	assert_true(k.after > 1);
	file_free(&k.f);
	file_free(&k.copy);
}

static void run_copy_begin(void *arg)
{
	struct kill *k = arg;

	staging_copy_begin(k->f.st);
}

/* Eligible with its checkpoint, or not eligible with none. */
static void look_copy_begin(void *arg)
{
	struct kill *k = arg;
	bool eligible;

	file_copy(k->f.fd, k->copy.fd);
	file_reopen(&k->copy);
	eligible = staging_eligible(k->copy.st);
	k->before += eligible;
	k->after += !eligible;
	assert_int_equal(staging_pending(k->copy.st) != NULL, eligible);
}

static void test_kill_copy_begin(void **state)
{
	struct kill k = { 0 };

	(void)state;
	file_init(&k.f);
	file_init(&k.copy);
	to_copied(&k.f);
	staging_commit(k.f.st, fill(&k.f, 1), 1);
	step_through(run_copy_begin, look_copy_begin, &k, 1);
	assert_true(k.before > 10);
	assert_true(k.after > 1);
	file_free(&k.f);
	file_free(&k.copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_foreign_files),
		cmocka_unit_test(test_damaged_header),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_redo_log),
		cmocka_unit_test(test_stale_slot),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_kill_commit),
		cmocka_unit_test(test_kill_copy_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
