/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu.h - real device models for tests: no Xen, no KVM
 *
 * The machine is the one that xl makes, as far as that goes without Xen, and
 * writes its state in the form that it has under Xen.
 */
#ifndef KEMARI_TEST_QEMU_H
#define KEMARI_TEST_QEMU_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ioemu/dm_int.h"

enum {
	QEMU_ARGS_MAX = 64,
	QEMU_PATH_MAX = 96,
	QEMU_TIMEOUT_MS = 20000,	/* never reached unless it hangs */
	QEMU_TRIES = 2000,		/* times 10 ms */
};

/* May be another one, if all its machines are QEMU_PASSIVE. */
static const char *qemu_program = "qemu-system-x86_64";

/* No processor, as under Xen; for a program that can: that of Xen can. */
#define QEMU_PASSIVE "-accel", "qtest"

struct qemu {
	pid_t pid;
	struct dm *dm;
	char dir[QEMU_PATH_MAX / 2], path[QEMU_PATH_MAX];
};

static inline void qemu_pause(void)
{
	const struct timespec t = { .tv_nsec = 10000000 };

	nanosleep(&t, NULL);
}

static inline void qemu_end(struct qemu *q)
{
	if (q->pid > 0) {
		kill(q->pid, SIGKILL);
		waitpid(q->pid, NULL, 0);
	}
	dm_free(q->dm);
	unlink(q->path);
	rmdir(q->dir);
	*q = (struct qemu){ 0 };
}

/* @more: further arguments, NULL at the end. */
static inline void qemu_exec(const struct qemu *q, const char *const *more)
{
	const char *const common[] = {
		qemu_program, "-machine", "pc,suppress-vmdesc=on", "-m", "16",
		"-nodefaults", "-display", "none", "-S",
		"-global", "migration.send-configuration=off",
		"-global", "migration.store-global-state=off",
		"-global", "apic-common.vapic=off", "-qmp",
	};
	const char *argv[QEMU_ARGS_MAX + 1];
	char socket[QEMU_PATH_MAX + 32];
	size_t n;

	for (n = 0; n < sizeof(common) / sizeof(common[0]); n++)
		argv[n] = common[n];
	snprintf(socket, sizeof(socket), "unix:%s,server=on,wait=off", q->path);
	argv[n++] = socket;
	while (*more && n < QEMU_ARGS_MAX - 2)
		argv[n++] = *more++;
	/* Unless there was another one before. */
	argv[n++] = "-accel";
	argv[n++] = "tcg";
	argv[n] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp(qemu_program, (char *const *)argv);
	fprintf(stderr, "%s does not start: make deps\n", qemu_program);
	_exit(127);
}

/* Start it and connect; false, with a word, if that is not possible. */
static inline bool qemu_start(struct qemu *q, unsigned int timeout_ms,
			      const char *const *more)
{
	int i;

	*q = (struct qemu){ .dir = "/tmp/kemari-qemu-XXXXXX" };
	if (!mkdtemp(q->dir))
		return false;
	snprintf(q->path, sizeof(q->path), "%s/qmp", q->dir);
	q->dm = dm_new(timeout_ms);
	q->pid = fork();
	if (!q->pid)
		qemu_exec(q, more);
	for (i = 0; q->dm && q->pid > 0 && i < QEMU_TRIES; i++) {
		if (!dm_connect(q->dm, q->path))
			return true;
		if (waitpid(q->pid, NULL, WNOHANG)) {
			q->pid = 0;
			break;
		}
		qemu_pause();
	}
	fprintf(stderr, "no device model: %s\n", q->dm ? dm_why(q->dm) : "");
	qemu_end(q);
	return false;
}

#endif
