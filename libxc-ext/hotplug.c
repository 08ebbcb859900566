// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hotplug.c - run a hotplug script as root, and not for longer than agreed
 */
#include "libxc-ext/hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LOOK_MS = 5,
	ARGS_MAX = 4,
};

uint64_t hotplug_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void hotplug_nap(void)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };

	nanosleep(&look, NULL);
}

__attribute__((format(printf, 3, 4)))
static int refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, HOTPLUG_WHY_MAX, fmt, ap);
	va_end(ap);
	errno = err;
	return -1;
}

static int check_owner(const char *path, const struct stat *st, uid_t owner,
		       char *why)
{
	if (st->st_uid != owner)
		return refuse(why, EACCES, "%.96s belongs to user %u; the rule is %u",
			      path, st->st_uid, owner);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return refuse(why, EACCES, "%.96s can be written by others (mode %o)",
			      path, st->st_mode & 07777);
	return 0;
}

int hotplug_path(const char *dir, const char *name, uid_t owner, char *path,
		 size_t size, char *why)
{
	struct stat st;

	if (stat(dir, &st))
		return refuse(why, errno, "%.96s: %s", dir, strerror(errno));
	if (check_owner(dir, &st, owner, why))
		return -1;
	if ((size_t)snprintf(path, size, "%s/%s", dir, name) >= size)
		return refuse(why, ENAMETOOLONG, "%.96s: too long", name);
	if (stat(path, &st))
		return refuse(why, errno, "there is no %.96s on this host: %s",
			      path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR))
		return refuse(why, EACCES, "%.96s cannot be executed", path);
	return check_owner(path, &st, owner, why);
}

/* In the child. */
static void become(const char *path, char *const *argv,
		   const struct hotplug_env *env, size_t nenv)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;
	size_t i;

	setpgid(0, 0);
	if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
		_exit(127);
	close_range(3, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	for (i = 0; i < nenv; i++)
		if (setenv(env[i].name, env[i].value, 1))
			_exit(127);
	execv(path, argv);
	_exit(127);
}

pid_t hotplug_start(const char *path, const char *const *arg,
		    const struct hotplug_env *env, size_t nenv)
{
	char *argv[ARGS_MAX + 2] = { (char *)path };
	pid_t pid;
	int n;

	for (n = 0; n < ARGS_MAX && arg[n]; n++)
		argv[n + 1] = (char *)arg[n];
	fflush(NULL);
	pid = fork();
	if (!pid)
		become(path, argv, env, nenv);
	return pid;
}

int hotplug_wait(pid_t pid, uint64_t deadline, char *why)
{
	int status;
	pid_t got;

	while (!(got = waitpid(pid, &status, WNOHANG))) {
		if (hotplug_now() >= deadline) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return refuse(why, ETIME, "it took too long and was killed");
		}
		hotplug_nap();
	}
	if (got < 0)
		return refuse(why, EIO, "its end is not known: %s",
			      strerror(errno));
	if (WIFSIGNALED(status))
		return refuse(why, EIO, "it was ended by signal %d",
			      WTERMSIG(status));
	if (WEXITSTATUS(status))
		return refuse(why, EIO, "it ended with status %d",
			      WEXITSTATUS(status));
	return 0;
}
