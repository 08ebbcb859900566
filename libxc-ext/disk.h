/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk.h - is a block device of this host storage that another host sees too?
 *
 * Does the completion of a request mean that the shared storage has it?  Told
 * from sysfs; a device is accepted by what it is, never because nothing speaks
 * against it.  docs/STORAGE.md has the same table for people.  INV-40
 */
#ifndef KEMARI_DISK_H
#define KEMARI_DISK_H

#include <stdint.h>

enum {
	DISK_WHY_MAX = 160,
	DISK_NAME_MAX = 64,
	DISK_DEPTH_MAX = 8,		/* devices on top of each other */
	DISK_SECTOR = 512,		/* bytes; the unit of sizes here */
};

/** struct disk_host - where to look; tests have one of their own */
struct disk_host {
	const char *sys;		/* "/sys" */
	/* statfs()'s type of the file system that @path is on: 0 or -1 */
	int (*fs_type)(const char *path, uint32_t *type);
	/* Ask loop device @name for direct I/O: 0 or -1 */
	int (*direct_io)(const char *name);
};
extern const struct disk_host disk_this_host;

/** struct disk_number - of a block device */
struct disk_number {
	unsigned int major, minor;
};

/** disk_number() - Of xenstore's physical-device, "2b:0"
 * Return: 0, or -1 with EINVAL */
int disk_number(const char *text, struct disk_number *out);

/** disk_name() - The kernel's name into DISK_NAME_MAX bytes: 0 or -1 */
int disk_name(const struct disk_host *h, struct disk_number dev, char *name);

/** disk_size() - In units of DISK_SECTOR: 0 or -1 */
int disk_size(const struct disk_host *h, struct disk_number dev,
	      uint64_t *sectors);

/**
 * disk_shared() - May a guest that another host takes over write to it?
 * @why:	Gets a sentence without subject if not, DISK_WHY_MAX bytes
 * Return: 0 yes; -1 no, with EPERM, or that cannot be found out
 */
int disk_shared(const struct disk_host *h, struct disk_number dev, char *why);

/**
 * disk_flush() - Drop what this host has cached of the device
 *
 * Before the guest's first request here: the other host has written since.
 * Return: 0 or -1
 */
int disk_flush(const struct disk_host *h, struct disk_number dev);

#endif
