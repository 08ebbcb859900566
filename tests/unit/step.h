/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step.h - look at what a process leaves behind if killed at any instruction
 *
 * A child runs the code one machine instruction at a time; after each, the
 * parent looks at the memory that they share, which is just what would be left
 * if the child were killed there.
 */
#ifndef TESTS_STEP_H
#define TESTS_STEP_H

#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/session.h"

/**
 * step_through() - Run @run in a child, @look in this process in between
 * @every:	Look after each @every-th instruction
 * Return: number of looks
 */
static inline unsigned long step_through(void (*run)(void *arg),
					 void (*look)(void *arg), void *arg,
					 unsigned long every)
{
	unsigned long steps = 0, looks = 0;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(99);
		raise(SIGSTOP);
		run(arg);
		_exit(0);
	}
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (steps++ % every == 0) {
			look(arg);
			looks++;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL),
				 0);
	}
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	return looks;
}

#endif
