// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fence.c - run the site's fence command without waiting for it
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "libxc-ext/platform.h"
#include "replicator/fence.h"
#include "replicator/status_print.h"

struct fence {
	struct event *child;
	const char *command;
	void (*done)(void *arg, bool ok, const char *why);
	void *arg;
	pid_t pid;		/* 0: not running */
};

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct fence *f = arg;
	char why[128];
	int status;

	(void)sig;
	(void)what;
	if (!f->pid || waitpid(f->pid, &status, WNOHANG) != f->pid)
		return;
	f->pid = 0;
	if (WIFEXITED(status))
		snprintf(why, sizeof(why), "fence command ended with status "
			 "%d, 0 is success", WEXITSTATUS(status));
	else
		snprintf(why, sizeof(why), "fence command was ended by signal "
			 "%d", WTERMSIG(status));
	f->done(f->arg, WIFEXITED(status) && !WEXITSTATUS(status), why);
}

struct fence *fence_new(struct event_base *base, const char *command,
			void (*done)(void *arg, bool ok, const char *why),
			void *arg)
{
	struct fence *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->command = command;
	f->done = done;
	f->arg = arg;
	f->child = evsignal_new(base, SIGCHLD, on_child, f);
	if (!f->child || evsignal_add(f->child, NULL)) {
		fence_free(f);
		errno = ENOMEM;
		return NULL;
	}
	return f;
}

int fence_start(struct fence *f, const uint8_t host_uuid[16],
		const struct platform_info *guest)
{
	char host[37], uuid[37];
	pid_t pid;

	if (f->pid) {
		errno = EBUSY;
		return -1;
	}
	uuid_str(host_uuid, host);
	uuid_str(guest->uuid, uuid);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		/* A fence must outlive a worker that is killed. */
		setsid();
		setenv("KEMARI_GUEST", guest->name, 1);
		setenv("KEMARI_GUEST_UUID", uuid, 1);
		setenv("KEMARI_PRIMARY_UUID", host, 1);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", f->command, (char *)NULL);
		_exit(127);
	}
	f->pid = pid;
	return 0;
}

void fence_free(struct fence *f)
{
	if (!f)
		return;
	if (f->child)
		event_free(f->child);
	free(f);
}
