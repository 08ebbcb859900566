/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the local socket of a running kemari: one line in, text out
 *
 * Each running `kemari protect` and `kemari receive` listens on a socket of
 * its own under KEMARI_RUN_DIR, for root only.  A client sends one line and
 * reads the answer until end of file: "ok\n" and what follows, or
 * "error <sentence>\n".
 */
#ifndef KEMARI_CONTROL_H
#define KEMARI_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#define KEMARI_RUN_DIR "/run/kemari"

enum {
	CONTROL_LINE_MAX = 256,		/* bytes of a request */
	CONTROL_ANSWER_MAX = 1 << 20,	/* bytes of an answer */
	CONTROL_CLIENTS_MAX = 16,	/* at once */
};

struct event_base;
struct control;
struct control_call;

/**
 * control_fn - Acts on one request
 * @arg:	As given to control_open()
 * @call:	Answer it by control_answer(), now or later
 * @line:	The request without its newline; valid during the call
 */
typedef void control_fn(void *arg, struct control_call *call,
			const char *line);

/**
 * control_open() - Listen on KEMARI_RUN_DIR/@name.sock
 * @why:	Gets a sentence on failure
 * Return: server, or NULL: EADDRINUSE somebody answers on that socket
 */
struct control *control_open(struct event_base *base, const char *name,
			     control_fn *fn, void *arg, char *why, size_t len);

/** control_answer() - Send "ok\n" + @text, or "error @text\n"; ends @call */
void control_answer(struct control_call *call, bool ok, const char *text);

/** control_close() - Stop listening, answer what is open with an error */
void control_close(struct control *c);

/**
 * control_ask() - Client: send @line to the socket of @name, wait
 * @answer:	Gets the text after "ok\n" or "error ", NUL-terminated
 * @timeout_ms:	For the whole exchange
 * Return: 0 ok; -1: ENOENT nobody listens, EREMOTEIO the answer is an error
 *	   (in @answer), ETIMEDOUT, others as they come
 */
int control_ask(const char *name, const char *line, char *answer, size_t len,
		int timeout_ms);

/**
 * control_names() - Call @fn with each name that has a socket, sorted
 * Return: number of names, or -1 with errno (not ENOENT: that is 0)
 */
int control_names(void (*fn)(void *arg, const char *name), void *arg);

#endif
