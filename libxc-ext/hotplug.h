/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hotplug.h - run a hotplug script as root, and not for longer than agreed
 *
 * The file must be one that only root of this host can have put there: the
 * name of it may come from another host.  INV-39
 */
#ifndef KEMARI_HOTPLUG_H
#define KEMARI_HOTPLUG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	HOTPLUG_WHY_MAX = 256,
	HOTPLUG_ENV_MAX = 8,
};

/** struct hotplug_env - variables for a script, besides our own */
struct hotplug_env {
	const char *name, *value;
};

/**
 * hotplug_path() - The script @name of @dir, if it may be run
 * @owner:	Whom both must belong to: 0 but in tests
 * @path:	Gets it, @size bytes
 *
 * Rules: both belong to @owner, nobody else can write to either, the file is
 * a plain one and can be executed.
 * Return: 0, or -1 with errno and a sentence in @why
 */
int hotplug_path(const char *dir, const char *name, uid_t owner, char *path,
		 size_t size, char *why);

/**
 * hotplug_start() - Run @path with the arguments @arg, NULL-terminated
 *
 * In a process group of its own, standard input empty, output where our error
 * output goes, none of our files.
 * Return: its process ID, or -1 with errno
 */
pid_t hotplug_start(const char *path, const char *const *arg,
		    const struct hotplug_env *env, size_t nenv);

/**
 * hotplug_wait() - Wait for its end, until @deadline at the latest
 * @deadline:	CLOCK_MONOTONIC, ms; then its process group is killed
 * Return: 0 status 0; -1 with a sentence in @why: ETIME, or EIO any other end
 */
int hotplug_wait(pid_t pid, uint64_t deadline, char *why);

/** hotplug_now() - CLOCK_MONOTONIC, ms */
uint64_t hotplug_now(void);

/** hotplug_nap() - Sleep for a look's length */
void hotplug_nap(void);

#endif
