/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dm_args.h - the command line of a device model: read, and made
 *
 * Pure.  Nothing of a command line travels: what it says that the standby's
 * has to say too is a few numbers.  What is not in the table of arguments is
 * not known to be fit for another host, and refused by name.
 */
#ifndef KEMARI_DM_ARGS_H
#define KEMARI_DM_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DM_ARGS_MAX = 48,		/* of a command line that we make */
	DM_ARG_MAX = 128,		/* bytes of one, with its NUL */
	DM_CMDLINE_MAX = 32 << 10,	/* bytes that are read */
	DM_MEMORY_MAX = 1 << 22,	/* MiB: 4 TiB */
};

/** struct dm_args - what a device model was told about its machine */
struct dm_args {
	uint32_t memory_mib;
	uint32_t vcpus;
	bool kernel;			/* it boots one of the host's: such a
					 * machine has a device more */
};

/* Where a standby's finds its kernel, which never boots. */
#define DM_KERNEL_FD 3


/** struct dm_line - a command line; .argv points into .text */
struct dm_line {
	char text[DM_ARGS_MAX][DM_ARG_MAX];
	char *argv[DM_ARGS_MAX + 1];	/* NULL-terminated */
	size_t n;
};

/**
 * dm_args_read() - Read the command line of a running device model
 * @line:	Arguments, each with its NUL, as in /proc/PID/cmdline
 * @say:	Called with a sentence for each argument that cannot be
 * Return: number of such; *@out is right if 0
 */
size_t dm_args_read(const char *line, size_t len, struct dm_args *out,
		    void (*say)(void *arg, const char *text), void *arg);

/**
 * dm_args_make() - The command line of a standby's device model
 * @path:	Of the program
 */
void dm_args_make(const struct dm_args *a, const char *path, uint32_t domid,
		  struct dm_line *out);

/** dm_args_qmp() - Path of the socket on which Kemari speaks to it */
void dm_args_qmp(uint32_t domid, char *path, size_t size);

/** dm_args_serves() - Is that the command line of @domid's device model? */
int dm_args_serves(const char *line, size_t len, uint32_t domid);

#endif
