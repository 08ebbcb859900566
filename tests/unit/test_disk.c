// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_disk.c - which block devices are shared storage, in a tree like sysfs
 * (INV-40)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libxc-ext/disk.h"

enum { PATH_LEN = 512, NFS = 0x6969, EXT4 = 0xef53 };

static char sys[64];
static uint32_t fs;			/* of any file; 0: cannot be told */
static bool can_direct;
static struct disk_host host;
static char why[DISK_WHY_MAX];

/* Directories down to @path, which is one itself if @whole. */
static void make_dirs(const char *path, bool whole)
{
	char part[PATH_LEN], *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = part + strlen(sys); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(!mkdir(part, 0755) || errno == EEXIST);
		*slash = '/';
	}
	if (whole)
		assert_true(!mkdir(part, 0755) || errno == EEXIST);
}

__attribute__((format(printf, 2, 3)))
static void file(const char *text, const char *fmt, ...)
{
	char path[PATH_LEN];
	va_list ap;
	FILE *f;
	int n;

	n = snprintf(path, sizeof(path), "%s/", sys);
	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	make_dirs(path, false);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static void link_to(const char *target, const char *at)
{
	char from[PATH_LEN], to[PATH_LEN];

	snprintf(from, sizeof(from), "%s/%s", sys, at);
	snprintf(to, sizeof(to), "%s/%s", sys, target);
	make_dirs(from, false);
	unlink(from);
	assert_int_equal(symlink(to, from), 0);
}

/* A device of number 1:@minor that lies at @path. */
static struct disk_number device(unsigned int minor, const char *path)
{
	char full[PATH_LEN], number[32];

	snprintf(full, sizeof(full), "%s/%s", sys, path);
	make_dirs(full, true);
	file("2048", "%s/size", path);
	snprintf(number, sizeof(number), "dev/block/1:%u", minor);
	link_to(path, number);
	return (struct disk_number){ 1, minor };
}

static int fake_fs(const char *path, uint32_t *type)
{
	(void)path;
	*type = fs;
	errno = ENOENT;
	return fs ? 0 : -1;
}

static int fake_direct(const char *name)
{
	if (!can_direct) {
		errno = EINVAL;
		return -1;
	}
	file("1", "block/%s/loop/dio", name);
	return 0;
}

static int start(void **state)
{
	(void)state;
	snprintf(sys, sizeof(sys), "/tmp/test-disk-XXXXXX");
	assert_non_null(mkdtemp(sys));
	host = (struct disk_host){ sys, fake_fs, fake_direct };
	fs = NFS;
	can_direct = false;
	return 0;
}

static int end(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", sys);
	return system(command);
}

static void refused(struct disk_number dev, const char *says)
{
	why[0] = '\0';
	assert_int_equal(disk_shared(&host, dev, why), -1);
	assert_int_equal(errno, EPERM);
	if (!strstr(why, says))
		fail_msg("says \"%s\", not \"%s\"", why, says);
}

static void accepted(struct disk_number dev)
{
	if (disk_shared(&host, dev, why))
		fail_msg("refused: %s", why);
}

static void numbers(void **state)
{
	struct disk_number n;

	(void)state;
	assert_int_equal(disk_number("2b:1f", &n), 0);
	assert_int_equal(n.major, 0x2b);
	assert_int_equal(n.minor, 0x1f);
	assert_int_equal(disk_number("2b", &n), -1);
	assert_int_equal(disk_number("2b:1 ", &n), -1);
	assert_int_equal(disk_number("", &n), -1);
}

static void by_kind(void **state)
{
	char name[DISK_NAME_MAX];
	uint64_t sectors;
	struct disk_number nbd = device(1, "devices/virtual/block/nbd0");

	(void)state;
	accepted(nbd);
	assert_int_equal(disk_name(&host, nbd, name), 0);
	assert_string_equal(name, "nbd0");
	assert_int_equal(disk_size(&host, nbd, &sectors), 0);
	assert_int_equal(sectors, 2048);
	file("1", "devices/virtual/block/nbd0/nbd0p1/partition");
	accepted(device(2, "devices/virtual/block/nbd0/nbd0p1"));
	accepted(device(3, "devices/rbd/0/block/rbd0"));
	refused(device(4, "block/ram0"), "ram0 is memory");
	refused(device(5, "block/zram0"), "zram0 is memory");
	refused(device(6, "block/md0"), "md0");
	refused(device(7, "block/drbd0"), "drbd0");
	refused(device(8, "block/vda"), "virtual disk");
	refused(device(9, "block/novel0"), "not known to be shared");
	refused((struct disk_number){ 9, 9 }, "9:9");
}

static void scsi(void **state)
{
	(void)state;
	device(1, "devices/pci0/host2/rport-2:0-1/target/0/block/sda");
	link_to("devices/pci0/host2/rport-2:0-1/target/0",
		"devices/pci0/host2/rport-2:0-1/target/0/block/sda/device");
	accepted((struct disk_number){ 1, 1 });
	device(2, "devices/platform/host3/session1/target/0/block/sdb");
	link_to("devices/platform/host3/session1/target/0",
		"devices/platform/host3/session1/target/0/block/sdb/device");
	accepted((struct disk_number){ 1, 2 });
	device(3, "devices/pci0/ata1/host0/target/0/block/sdc");
	link_to("devices/pci0/ata1/host0/target/0",
		"devices/pci0/ata1/host0/target/0/block/sdc/device");
	refused((struct disk_number){ 1, 3 }, "sdc is a SCSI disk");
	refused(device(4, "block/sdd"), "sdd");
}

static void nvme(void **state)
{
	(void)state;
	file("pcie", "devices/pci0/nvme/nvme0/transport");
	device(1, "devices/pci0/nvme/nvme0/nvme0n1");
	link_to("devices/pci0/nvme/nvme0",
		"devices/pci0/nvme/nvme0/nvme0n1/device");
	refused((struct disk_number){ 1, 1 }, "nvme0n1 is an NVMe");
	file("tcp", "devices/pci0/nvme/nvme0/transport");
	accepted((struct disk_number){ 1, 1 });
	/* Several ways to one subsystem: each counts. */
	file("tcp", "devices/virtual/subsystem/nvme1/transport");
	file("rdma", "devices/virtual/subsystem/nvme2/transport");
	device(2, "devices/virtual/subsystem/nvme1n1");
	link_to("devices/virtual/subsystem",
		"devices/virtual/subsystem/nvme1n1/device");
	accepted((struct disk_number){ 1, 2 });
	file("pcie", "devices/virtual/subsystem/nvme2/transport");
	refused((struct disk_number){ 1, 2 }, "nvme1n1");
}

static void loops(void **state)
{
	struct disk_number dev = device(1, "block/loop0");

	(void)state;
	refused(dev, "has no file");
	file("/srv/nfs/disk", "block/loop0/loop/backing_file");
	file("0", "block/loop0/loop/dio");
	refused(dev, "direct I/O");
	can_direct = true;
	accepted(dev);			/* switched */
	can_direct = false;
	accepted(dev);			/* is so already */
	fs = EXT4;
	refused(dev, "of this host");
	fs = 0;
	refused(dev, "cannot be looked at");
}

static void layers(void **state)
{
	char upper[64], lower[96];
	unsigned int i;

	(void)state;
	device(1, "block/nbd0");
	device(2, "block/ram0");
	device(3, "block/dm-0");
	refused((struct disk_number){ 1, 3 }, "no device below");
	link_to("block/nbd0", "block/dm-0/slaves/nbd0");
	accepted((struct disk_number){ 1, 3 });
	/* One of two is enough to lose something. */
	link_to("block/ram0", "block/dm-0/slaves/ram0");
	refused((struct disk_number){ 1, 3 }, "ram0 is memory");
	link_to("block/gone", "block/dm-1/slaves/gone");
	refused(device(4, "block/dm-1"), "gone below it");
	/* A ring of devices ends. */
	for (i = 10; i < 12 + DISK_DEPTH_MAX; i++) {
		snprintf(upper, sizeof(upper), "block/dm-%u", i);
		device(i, upper);
	}
	for (i = 10; i < 11 + DISK_DEPTH_MAX; i++) {
		snprintf(upper, sizeof(upper), "block/dm-%u", i + 1);
		snprintf(lower, sizeof(lower), "block/dm-%u/slaves/x", i);
		link_to(upper, lower);
	}
	refused((struct disk_number){ 1, 10 }, "on top of each other");
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test_setup_teardown(numbers, start, end),
		cmocka_unit_test_setup_teardown(by_kind, start, end),
		cmocka_unit_test_setup_teardown(scsi, start, end),
		cmocka_unit_test_setup_teardown(nvme, start, end),
		cmocka_unit_test_setup_teardown(loops, start, end),
		cmocka_unit_test_setup_teardown(layers, start, end),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
