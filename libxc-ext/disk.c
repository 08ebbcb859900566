// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * disk.c - is a block device of this host storage that another host sees too?
 */
#include "libxc-ext/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

enum kind { SHARED, LOWER, SCSI, NVME, LOOP, NOT };

/* By the beginning of the kernel's name; what is not here is not known. */
static const struct {
	const char *name;
	enum kind kind;
	const char *not;
} kinds[] = {
	{ "nbd", SHARED, NULL },
	{ "rbd", SHARED, NULL },
	{ "dm-", LOWER, NULL },
	{ "sd", SCSI, NULL },
	{ "nvme", NVME, NULL },
	{ "loop", LOOP, NULL },
	{ "drbd", NOT, "is replicated storage, whose protocol and state are not looked at" },
	{ "md", NOT, "is an array that two hosts cannot both assemble" },
	{ "bcache", NOT, "has a cache of this host in front of it" },
	{ "ram", NOT, "is memory of this host" },
	{ "zram", NOT, "is memory of this host" },
	{ "pmem", NOT, "is memory of this host" },
	{ "null", NOT, "keeps nothing" },
	{ "vd", NOT, "is a virtual disk of this host" },
	{ "xvd", NOT, "is a virtual disk of this host" },
	{ "mmcblk", NOT, "is a card of this host" },
	{ "sr", NOT, "is a drive of this host" },
	{ "fd", NOT, "is a drive of this host" },
};

/* File systems that several hosts mount at a time: statfs()'s type. */
static const uint32_t shared_fs[] = {
	0x6969,		/* NFS */
	0xff534d42,	/* CIFS */
	0xfe534d42,	/* SMB2 */
	0x00c36400,	/* CephFS */
	0x01161970,	/* GFS2 */
	0x7461636f,	/* OCFS2 */
	0x0bd00bd0,	/* Lustre */
};

/* NVMe's ways over a network. */
static const char *const fabrics[] = { "tcp", "rdma", "fc" };

__attribute__((format(printf, 2, 3)))
static int no(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, DISK_WHY_MAX, fmt, ap);
	va_end(ap);
	errno = EPERM;
	return -1;
}

/* "@dir/@name" into PATH_MAX bytes; "" if it does not fit: nothing is there. */
static const char *below(char *path, const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		path[0] = '\0';
	return path;
}

/* One line of the file @name below @dir, without its end: 0 or -1. */
static int read_line(const char *dir, const char *name, char *line, int size)
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	f = fopen(below(path, dir, name), "re");
	if (!f)
		return -1;
	ok = fgets(line, size, f);
	fclose(f);
	if (!ok) {
		errno = ENODATA;
		return -1;
	}
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

/* The device's directory, resolved, into PATH_MAX bytes. */
static int directory(const struct disk_host *h, struct disk_number dev,
		     char *path)
{
	char link[PATH_MAX];

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", h->sys, dev.major,
		 dev.minor);
	return realpath(link, path) ? 0 : -1;
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int disk_number(const char *text, struct disk_number *out)
{
	int used = 0;

	if (sscanf(text, "%x:%x%n", &out->major, &out->minor, &used) == 2 &&
	    used > 0 && !text[used])
		return 0;
	errno = EINVAL;
	return -1;
}

int disk_name(const struct disk_host *h, struct disk_number dev, char *name)
{
	char path[PATH_MAX];

	if (directory(h, dev, path))
		return -1;
	if (snprintf(name, DISK_NAME_MAX, "%s", base(path)) < DISK_NAME_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int disk_size(const struct disk_host *h, struct disk_number dev,
	      uint64_t *sectors)
{
	char path[PATH_MAX], line[32], *end;

	if (directory(h, dev, path) ||
	    read_line(path, "size", line, sizeof(line)))
		return -1;
	*sectors = strtoull(line, &end, 10);
	if (*end || end == line) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

static bool is_fabric(const char *dir)
{
	char line[16];
	size_t i;

	if (read_line(dir, "transport", line, sizeof(line)))
		return false;
	for (i = 0; i < sizeof(fabrics) / sizeof(fabrics[0]); i++)
		if (!strcmp(line, fabrics[i]))
			return true;
	return false;
}

/* One controller, or a subsystem with several ways: all over a network. */
static int look_nvme(const char *path, char *why)
{
	char device[PATH_MAX], way[PATH_MAX], file[PATH_MAX];
	unsigned int ways = 0, good = 0;
	struct dirent *e;
	DIR *d;

	if (is_fabric(below(device, path, "device")))
		return 0;
	d = opendir(device);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, "nvme", 4))
			continue;
		below(way, device, e->d_name);
		if (access(below(file, way, "transport"), R_OK))
			continue;
		ways++;
		good += is_fabric(way);
	}
	if (d)
		closedir(d);
	if (ways && good == ways)
		return 0;
	return no(why, "%s is an NVMe device of this host", base(path));
}

/* The host adapter is in the path: a session of iSCSI, a port of FC. */
static int look_scsi(const char *path, char *why)
{
	char device[PATH_MAX], link[PATH_MAX];

	if (realpath(below(link, path, "device"), device) &&
	    (strstr(device, "/session") || strstr(device, "/rport-")))
		return 0;
	return no(why, "%s is a SCSI disk that is reached neither over iSCSI nor over Fibre Channel",
		  base(path));
}

static bool is_direct(const char *path)
{
	char line[4];

	return !read_line(path, "loop/dio", line, sizeof(line)) &&
	       !strcmp(line, "1");
}

static int look_loop(const struct disk_host *h, const char *path, char *why)
{
	char file[PATH_MAX];
	uint32_t type;
	size_t i;

	if (read_line(path, "loop/backing_file", file, sizeof(file)))
		return no(why, "%s has no file", base(path));
	if (h->fs_type(file, &type))
		return no(why, "%s: its file %.64s cannot be looked at: %s",
			  base(path), file, strerror(errno));
	for (i = 0; i < sizeof(shared_fs) / sizeof(shared_fs[0]); i++)
		if (type == shared_fs[i])
			break;
	if (i == sizeof(shared_fs) / sizeof(shared_fs[0]))
		return no(why, "%s: its file %.64s is in a file system of this host (type %#x)",
			  base(path), file, type);
	if (is_direct(path) || (!h->direct_io(base(path)) && is_direct(path)))
		return 0;
	return no(why, "%s keeps writes in this host's memory and cannot be switched to direct I/O",
		  base(path));
}

static int look(const struct disk_host *h, const char *path,
		unsigned int depth, char *why);

static int look_lower(const struct disk_host *h, const char *path,
		      unsigned int depth, char *why)
{
	char dir[PATH_MAX], link[PATH_MAX], lower[PATH_MAX];
	unsigned int n = 0;
	struct dirent *e;
	int rc = 0;
	DIR *d;

	d = opendir(below(dir, path, "slaves"));
	while (d && !rc && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (realpath(below(link, dir, e->d_name), lower))
			rc = look(h, lower, depth + 1, why);
		else
			rc = no(why, "%s: %s below it cannot be looked at",
				base(path), e->d_name);
	}
	if (d)
		closedir(d);
	if (!rc && !n)
		return no(why, "%s has no device below it", base(path));
	return rc;
}

static int look(const struct disk_host *h, const char *path,
		unsigned int depth, char *why)
{
	char whole[PATH_MAX], part[PATH_MAX];
	size_t i;

	snprintf(whole, sizeof(whole), "%s", path);
	if (!access(below(part, path, "partition"), F_OK))
		*strrchr(whole, '/') = '\0';
	if (depth > DISK_DEPTH_MAX)
		return no(why, "%s: more than %d devices on top of each other",
			  base(whole), DISK_DEPTH_MAX);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(base(whole), kinds[i].name, strlen(kinds[i].name)))
			continue;
		switch (kinds[i].kind) {
		case SHARED:
			return 0;
		case LOWER:
			return look_lower(h, whole, depth, why);
		case SCSI:
			return look_scsi(whole, why);
		case NVME:
			return look_nvme(whole, why);
		case LOOP:
			return look_loop(h, whole, why);
		case NOT:
			return no(why, "%s %s", base(whole), kinds[i].not);
		}
	}
	return no(why, "%s is of a kind that is not known to be shared",
		  base(whole));
}

int disk_shared(const struct disk_host *h, struct disk_number dev, char *why)
{
	char path[PATH_MAX];

	if (directory(h, dev, path))
		return no(why, "device %u:%u cannot be looked at: %s",
			  dev.major, dev.minor, strerror(errno));
	return look(h, path, 1, why);
}

/* devtmpfs has it under the kernel's name, a "!" in it being a "/". */
static int open_device(const char *name)
{
	char path[DISK_NAME_MAX + 8], *bang;

	snprintf(path, sizeof(path), "/dev/%s", name);
	while ((bang = strchr(path, '!')))
		*bang = '/';
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int on_device(const char *name, unsigned long request,
		     unsigned long arg)
{
	int fd = open_device(name), rc, err;

	if (fd < 0)
		return -1;
	rc = ioctl(fd, request, arg);
	err = errno;
	close(fd);
	errno = err;
	return rc ? -1 : 0;
}

int disk_flush(const struct disk_host *h, struct disk_number dev)
{
	char name[DISK_NAME_MAX];

	return disk_name(h, dev, name) ? -1 : on_device(name, BLKFLSBUF, 0);
}

static int this_fs_type(const char *path, uint32_t *type)
{
	struct statfs s;

	if (statfs(path, &s))
		return -1;
	*type = (uint32_t)s.f_type;
	return 0;
}

static int this_direct_io(const char *name)
{
	return on_device(name, LOOP_SET_DIRECT_IO, 1);
}

const struct disk_host disk_this_host = {
	.sys = "/sys",
	.fs_type = this_fs_type,
	.direct_io = this_direct_io,
};
