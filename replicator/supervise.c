// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * supervise.c - fork the worker, wait, fork again if a signal ended it
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replicator/supervise.h"

static volatile sig_atomic_t child_pid;

static void pass_on(int sig)
{
	int saved = errno;

	if (child_pid > 0)
		kill(child_pid, sig);
	errno = saved;
}

static void handle(void (*fn)(int))
{
	static const int sigs[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction sa = { .sa_handler = fn };
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
}

/* Wait for @pid; its wait status. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1 << 8;
	return status;
}

int supervise(const char *what, int (*worker)(void *arg, unsigned int life),
	      void *arg)
{
	const struct timespec pause = {
		.tv_nsec = SUPERVISE_PAUSE_MS * 1000000L
	};
	time_t window = time(NULL);
	unsigned int life, deaths = 0;

	for (life = 0; ; life++) {
		int status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid < 0) {
			fprintf(stderr, "kemari: %s: fork: %s\n", what,
				strerror(errno));
			return 1;
		}
		if (!pid) {
			int ret = worker(arg, life);

			fflush(NULL);
			_exit(ret);
		}
		child_pid = pid;
		handle(pass_on);
		status = wait_for(pid);
		child_pid = 0;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);

		fprintf(stderr, "kemari: %s: worker %d ended by signal %d (%s)"
			", restarting it\n", what, (int)pid, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
		if (time(NULL) - window > SUPERVISE_WINDOW_S) {
			window = time(NULL);
			deaths = 0;
		}
		if (++deaths > SUPERVISE_RESTARTS_MAX) {
			fprintf(stderr, "kemari: %s: worker died %u times in "
				"%d s, at most %d allowed; giving up, the "
				"guest stays as it is\n", what, deaths,
				SUPERVISE_WINDOW_S, SUPERVISE_RESTARTS_MAX);
			return 1;
		}
		handle(SIG_DFL);
		nanosleep(&pause, NULL);
	}
}
