/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * supervise.h - a parent that outlives its worker
 *
 * The parent does nothing but wait: what it holds (memory files with staged
 * checkpoints) survives a worker that is killed or crashes, and the next
 * worker finds it under the same descriptors.
 */
#ifndef KEMARI_SUPERVISE_H
#define KEMARI_SUPERVISE_H

enum {
	SUPERVISE_RESTARTS_MAX = 20,	/* in SUPERVISE_WINDOW_S */
	SUPERVISE_WINDOW_S = 60,
	SUPERVISE_PAUSE_MS = 100,	/* between death and restart */
};

/**
 * supervise() - Run @worker in a child, again whenever a signal ends it
 * @what:	Name for log lines
 * @worker:	Its return value is the child's exit status; @life counts
 *		from 0; descriptors opened before are the same in every life
 * @arg:	Handed to @worker
 *
 * SIGTERM, SIGINT and SIGHUP are passed on to the child and not acted upon.
 * Return: the exit status of the first worker that exits by itself, or 1 if
 *	   workers die more than SUPERVISE_RESTARTS_MAX times in a window
 */
int supervise(const char *what, int (*worker)(void *arg, unsigned int life),
	      void *arg);

#endif
