// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dm.c - check, save and load of real device models
 */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/ioemu/qemu.h"

enum {
	HASTY_MS = 100,
	ROM_SIZE = 64 << 10,
	DISK_SIZE = 1 << 20,
	STEP = 61,			/* bytes */
	SAVES = 20,			/* of a machine that idles */
};

#define STD "-vga", "std"
#define CIRRUS "-vga", "cirrus"
#define CMOS "mc146818rtc"
#define STANDBY "-incoming", "defer"
/* As under Xen. */
#define NO_FOOTERS "-global", "migration.send-section-footer=off"

static char dir[] = "/tmp/kemari-dm-XXXXXX", rom[64], disk[64], drive[128];
static struct qemu one, two;
static struct recbuf first, second;
static struct dm_stream a, b;

static void start(struct qemu *q, const char *const *more)
{
	if (!qemu_start(q, QEMU_TIMEOUT_MS, more))
		fail_msg("there is no device model to test with");
}

#define START(q, ...) start(q, (const char *const[]){ __VA_ARGS__, NULL })

static int teardown(void **state)
{
	(void)state;
	qemu_end(&one);
	qemu_end(&two);
	recbuf_free(&first);
	recbuf_free(&second);
	return 0;
}

/* A command that dm.h has not. */
static void tell(struct qemu *q, const char *command, const char *args)
{
	struct json_object *value = qmp_call(&q->dm->q, command,
		args ? json_tokener_parse(args) : NULL, -1);

	if (!value)
		fail_msg("%s", dm_why(q->dm));
	json_object_put(value);
}

static struct record state_of(const struct recbuf *buf)
{
	struct record rec;

	assert_int_equal(record_find(buf->bytes, buf->used, RECORD_DM_STATE, 0,
				     &rec), 1);
	assert_int_equal(rec.flags, RECORD_MANDATORY | RECORD_STICKY);
	return rec;
}

static void save(struct qemu *q, struct recbuf *buf, struct dm_stream *s)
{
	struct record rec;
	char why[256];

	recbuf_reset(buf);
	if (dm_save(q->dm, buf))
		fail_msg("%s", dm_why(q->dm));
	rec = state_of(buf);
	if (dm_stream_read(s, rec.data, rec.length, why, sizeof(why)))
		fail_msg("%s", why);
}

static void load(struct qemu *q, const struct recbuf *buf)
{
	struct record rec = state_of(buf);

	if (dm_load(q->dm, rec.data, rec.length))
		fail_msg("%s", dm_why(q->dm));
}

/* The same sections, but for the clock in CMOS: that is the host's. */
static void same(void)
{
	size_t pos = 0;
	const char *name;

	assert_int_equal(a.n, b.n);
	while ((name = dm_stream_differ(&a, &b, &pos)))
		if (strcmp(name, CMOS) != 0)
			fail_msg("section %s differs", name);
}

/* Whatever differs changes by itself; is @name among it? */
static bool only_listed(const char *name)
{
	bool found = false;
	size_t pos = 0;
	const char *diff;

	while ((diff = dm_stream_differ(&a, &b, &pos))) {
		if (!dm_section_changes(diff))
			fail_msg("section %s changed by itself", diff);
		found = found || !strcmp(diff, name);
	}
	return found;
}

static bool differs(const char *name)
{
	size_t pos = 0;
	const char *diff;

	while ((diff = dm_stream_differ(&a, &b, &pos)))
		if (!strcmp(diff, name))
			return true;
	return false;
}

/* --- saves of one ------------------------------------------------------ */

static void stopped(void **state)
{
	(void)state;
	START(&one, STD, "-rtc", "clock=vm");
	save(&one, &first, &a);
	assert_true(a.footers);
	assert_true(a.n > 20);
	save(&one, &second, &b);
	same();
	assert_int_equal(first.used, second.used);
	assert_memory_equal(first.bytes, second.bytes, first.used);
}

/* The clock in CMOS follows the host's even where the machine is stopped. */
static void stopped_clock(void **state)
{
	int i;

	(void)state;
	START(&one, STD);
	save(&one, &first, &a);
	for (i = 0; i < QEMU_TRIES; i++) {
		save(&one, &second, &b);
		same();
		if (differs(CMOS))
			return;
		qemu_pause();
	}
	fail_msg("the clock stands still");
}

/* Saved again and again; whatever changes must be in the list. */
static void idle(void **state)
{
	bool ticked = false;
	int i;

	(void)state;
	START(&one, STD, "-bios", rom);
	if (dm_run(one.dm))
		fail_msg("%s", dm_why(one.dm));
	save(&one, &first, &a);
	for (i = 0; i < SAVES; i++) {
		qemu_pause();
		save(&one, &second, &b);
		ticked = only_listed("timer") || ticked;
	}
	assert_true(ticked);
}

/* Input is seen, in a section that does not change by itself. */
static void input(void **state)
{
	static const char key[] = "{\"keys\":[{\"type\":\"qcode\","
				  "\"data\":\"a\"}]}";

	(void)state;
	START(&one, STD, "-bios", rom);
	assert_int_equal(dm_run(one.dm), 0);
	save(&one, &first, &a);
	tell(&one, "send-key", key);
	save(&one, &second, &b);
	assert_null(dm_section_changes("ps2kbd"));
	assert_true(differs("ps2kbd"));
}

/* The set that its descriptor was in may outlive a connection. */
static void connected_again(void **state)
{
	(void)state;
	START(&one, STD);
	save(&one, &first, &a);
	if (dm_connect(one.dm, one.path))
		fail_msg("%s", dm_why(one.dm));
	save(&one, &second, &b);
	same();
}

/* There is one conversation at a time: a second one is not greeted. */
static void taken(void **state)
{
	struct dm *other = dm_new(HASTY_MS);

	(void)state;
	assert_non_null(other);
	START(&one, STD);
	assert_int_equal(dm_connect(other, one.path), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_non_null(strstr(dm_why(other), one.path));
	dm_free(other);
	save(&one, &first, &a);
}

/* What was cut off is no state. */
static void pieces(void **state)
{
	struct record rec;
	char why[256];
	size_t len;

	(void)state;
	START(&one, STD);
	save(&one, &first, &a);
	rec = state_of(&first);
	for (len = rec.length - 1; len > STEP * 4; len -= STEP)
		assert_int_equal(dm_stream_read(&b, rec.data, len, why,
						sizeof(why)), -1);
}

/* --- from one to another ----------------------------------------------- */

/* The firmware has been at work: the screen shows something. */
static void boot(struct qemu *q)
{
	int i;

	save(q, &first, &a);
	assert_int_equal(dm_run(q->dm), 0);
	for (i = 0; i < QEMU_TRIES; i++) {
		save(q, &second, &b);
		if (differs("0000:00:02.0/vga") ||
		    differs("0000:00:02.0/cirrus_vga"))
			return;
		qemu_pause();
	}
	fail_msg("the firmware does not start");
}

static void moves(void)
{
	boot(&one);
	save(&one, &first, &a);
	load(&two, &first);
	save(&two, &second, &b);
	same();
	if (dm_run(two.dm))
		fail_msg("%s", dm_why(two.dm));
}

static void moves_std(void **state)
{
	(void)state;
	START(&one, STD);
	START(&two, STD, STANDBY);
	moves();
	assert_true(a.footers);
}

static void moves_as_under_xen(void **state)
{
	(void)state;
	START(&one, CIRRUS, NO_FOOTERS);
	START(&two, CIRRUS, NO_FOOTERS, STANDBY);
	moves();
	assert_false(a.footers);
}

/* The same machine saved both ways has the same sections. */
static void with_footers_or_without(void **state)
{
	(void)state;
	START(&one, STD);
	START(&two, STD, NO_FOOTERS);
	save(&one, &first, &a);
	save(&two, &second, &b);
	assert_true(a.footers);
	assert_false(b.footers);
	same();
}

/* A standby does not touch the disks of a primary that lives. */
static void disks(void **state)
{
	const char *const other[] = { STD, "-drive", drive, NULL };
	struct qemu three;

	(void)state;
	START(&one, STD, "-drive", drive);
	START(&two, STD, "-drive", drive, STANDBY);
	assert_int_equal(dm_check(one.dm), 0);
	save(&one, &first, &a);
	load(&two, &first);
	assert_int_equal(dm_run(two.dm), -1);
	assert_int_equal(errno, EREMOTEIO);
	assert_non_null(strstr(dm_why(two.dm), "lock"));
	/* A save of one that is stopped has not given them away. */
	assert_false(qemu_start(&three, QEMU_TIMEOUT_MS, other));
	assert_int_equal(dm_run(one.dm), 0);
	kill(one.pid, SIGKILL);
	waitpid(one.pid, NULL, 0);
	one.pid = 0;
	if (dm_run(two.dm))
		fail_msg("%s", dm_why(two.dm));
}

static void loads_refused(void **state)
{
	struct record rec;
	uint8_t *copy;

	(void)state;
	START(&one, STD);
	START(&two, STD, STANDBY);
	save(&one, &first, &a);
	rec = state_of(&first);
	/* By us: the standby does not hear of it, and can have another. */
	assert_int_equal(dm_load(two.dm, rec.data, rec.length - 1), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(dm_load(one.dm, rec.data, rec.length), -1);
	assert_int_equal(errno, EBUSY);
	assert_non_null(strstr(dm_why(one.dm), "\"prelaunch\""));
	load(&two, &first);
	assert_int_equal(dm_load(two.dm, rec.data, rec.length), -1);
	assert_int_equal(errno, EBUSY);
	qemu_end(&two);
	/* By the device model, which ends: a version it does not know. */
	START(&two, STD, STANDBY);
	copy = malloc(rec.length);
	assert_non_null(copy);
	memcpy(copy, rec.data, rec.length);
	copy[8 + 6 + strlen("timer") + 4 + 3] = 99;
	assert_int_equal(dm_load(two.dm, copy, rec.length), -1);
	free(copy);
	assert_int_equal(errno, EPIPE);
	assert_non_null(strstr(dm_why(two.dm), "has closed"));
}

/* --- one that fails ---------------------------------------------------- */

static void killed(void **state)
{
	(void)state;
	START(&one, STD);
	save(&one, &first, &a);
	kill(one.pid, SIGKILL);
	waitpid(one.pid, NULL, 0);
	one.pid = 0;
	assert_int_equal(dm_save(one.dm, &first), -1);
	assert_int_equal(errno, EPIPE);
	/* What was there is as it was. */
	assert_int_equal(first.used, (size_t)(8 * ((state_of(&first).length +
						    7) / 8)) + 16);
	assert_int_equal(dm_save(one.dm, &first), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(dm_connect(one.dm, one.path), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static void hangs(void **state)
{
	(void)state;
	START(&one, STD);
	save(&one, &first, &a);
	kill(one.pid, SIGSTOP);
	one.dm->q.timeout_ms = HASTY_MS;
	assert_int_equal(dm_save(one.dm, &first), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_non_null(strstr(dm_why(one.dm), "xen-save-devices-state: the"
			       " device model did not answer within 100 ms"));
}

/* --- devices ----------------------------------------------------------- */

static void check_refuses(const char *const *more, const char *type)
{
	start(&one, more);
	assert_int_equal(dm_check(one.dm), -1);
	assert_int_equal(errno, ENOTSUP);
	if (!strstr(dm_why(one.dm), type))
		fail_msg("\"%s\" does not name %s", dm_why(one.dm), type);
	qemu_end(&one);
}

#define CHECK_REFUSES(type, ...) \
	check_refuses((const char *const[]){ __VA_ARGS__, NULL }, type)

static void devices(void **state)
{
	(void)state;
	START(&one, STD);
	if (dm_check(one.dm))
		fail_msg("%s", dm_why(one.dm));
	qemu_end(&one);
	CHECK_REFUSES("rtl8139 (/machine/peripheral/nic)", CIRRUS, "-device",
		      "rtl8139,id=nic");
	CHECK_REFUSES("piix3-usb-uhci", STD, "-usb", "-device", "usb-tablet");
	CHECK_REFUSES("isa-serial", STD, "-serial", "null");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		TEST(stopped), TEST(stopped_clock), TEST(idle), TEST(input),
		TEST(connected_again), TEST(taken), TEST(pieces),
		TEST(moves_std), TEST(moves_as_under_xen),
		TEST(with_footers_or_without), TEST(disks),
		TEST(loads_refused), TEST(killed), TEST(hangs), TEST(devices),
	};
	/* Where the processor begins: cli; hlt; jmp to the hlt. */
	static const uint8_t code[] = { 0xfa, 0xf4, 0xeb, 0xfd };
	int fd, r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(rom, sizeof(rom), "%s/rom", dir);
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(drive, sizeof(drive), "file=%s,format=raw,if=ide", disk);
	fd = open(rom, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, ROM_SIZE) ||
	    pwrite(fd, code, sizeof(code), ROM_SIZE - 16) != sizeof(code))
		return 1;
	close(fd);
	fd = open(disk, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(rom);
	unlink(disk);
	rmdir(dir);
	return r;
}
