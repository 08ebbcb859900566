/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmp.h - one command at a time over a QMP socket, none without a deadline
 *
 * The other end is a device model, which a guest may have taken over: lines,
 * depth and the events before an answer have limits.  After a failure that
 * leaves it unknown what the other end will send next, the connection is
 * closed and every further call fails with ENOTCONN.
 */
#ifndef KEMARI_QMP_H
#define KEMARI_QMP_H

#include <stddef.h>

enum {
	QMP_LINE_MAX = 256 << 10,	/* bytes of one line */
	QMP_DEPTH_MAX = 16,		/* objects in objects */
	QMP_EVENTS_MAX = 1024,		/* lines skipped for one answer */
	QMP_WHY_MAX = 512,
};

struct json_object;

/** struct qmp - a connection; qmp_init() first */
struct qmp {
	int fd;				/* -1: none */
	unsigned int timeout_ms;	/* for each command and the greeting */
	unsigned int id;		/* of the last command */
	size_t have;			/* bytes in .line */
	char *line;			/* QMP_LINE_MAX of them, or NULL */
	char why[QMP_WHY_MAX];		/* the last failure, a sentence */
};

/** qmp_init() - No connection; qmp_close() is then a no-op */
void qmp_init(struct qmp *q, unsigned int timeout_ms);

/**
 * qmp_open() - Connect to the socket @path, read the greeting, negotiate
 * Return: 0, or -1 with errno and .why; there is then no connection
 */
int qmp_open(struct qmp *q, const char *path);

/** qmp_close() - May be called twice */
void qmp_close(struct qmp *q);

/**
 * qmp_call() - Send a command and wait for its answer
 * @args:	Its arguments, or NULL; taken over in every case
 * @fd:		Goes with it, or -1; stays open here
 *
 * Events that come before the answer are skipped.
 *
 * Return: what the command returned, to be put by the caller; or NULL with
 *	   .why and errno: EREMOTEIO, it refused and said why; ETIMEDOUT;
 *	   EPROTO, an answer that is none; EPIPE, the device model has gone
 */
struct json_object *qmp_call(struct qmp *q, const char *command,
			     struct json_object *args, int fd);

/** qmp_fail() - Set errno to @err and .why, fit for a log; returns -1 */
int qmp_fail(struct qmp *q, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** qmp_text() - The string @key of @object, or "" */
const char *qmp_text(struct json_object *object, const char *key);

#endif
