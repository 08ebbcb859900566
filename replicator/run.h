/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run.h - what both runners share: loop, deadline timer, log, control verbs
 *
 * A runner drives a conductor (primary.h, secondary.h) from libevent: it owns
 * platform, gate, links, memory files and the control socket.
 */
#ifndef KEMARI_RUN_H
#define KEMARI_RUN_H

#include "replicator/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_call;
struct event_base;
struct link;
struct options;
struct platform_info;
struct status;
struct status_facts;
struct tls;

/* Answer of a control socket that is asked about another guest. */
#define RUN_NOT_MINE "not my guest"

/** struct run_request - a control line, taken apart */
struct run_request {
	char verb[16];
	char flag[16];
	const char *domain;	/* points into the line; NULL: any */
};

/** run_request() - Take a control line apart; false if it is malformed */
bool run_request(const char *line, struct run_request *out);

/** run_is() - Is @domain (name, ID or UUID) this guest?  NULL is any. */
bool run_is(const struct platform_info *guest, const char *domain);

/** run_answer_status() - Answer a status request */
void run_answer_status(struct control_call *call, const char *flag,
		       const struct status *s, const struct status_facts *f);

/** run_report() - A report that prints "kemari: WHO: text" lines; warnings
 *		    and errors on standard error.  @who is kept. */
struct report run_report(const char *who);

/** struct run_timer - calls @tick when a conductor's deadline comes */
struct run_timer;
struct run_timer *run_timer_new(struct event_base *base,
				void (*tick)(void *arg), void *arg);
/* @deadline and @now on the platform's clock, UINT64_MAX never. */
void run_timer_set(struct run_timer *t, uint64_t deadline, uint64_t now);
void run_timer_free(struct run_timer *t);

/**
 * run_tls() - TLS as the command line wants it
 * @verb:	For the message
 * @peer:	Whose certificate it must be; NULL: anybody's of the CA
 * @out:	NULL with --plaintext
 * Return: 0, or -1 after a message
 */
int run_tls(const char *verb, const struct options *o, const char *peer,
	    struct tls **out);

/** run_transport() - How the bytes of @l go, NULL: would go; for status */
const char *run_transport(const struct link *l, const struct tls *tls);

/** struct run_rate - zero-initialised: nothing said yet */
struct run_rate {
	uint64_t since;		/* ns */
	unsigned int said, unsaid;
};

/**
 * run_rate() - May a line that a stranger can provoke be printed?
 * @now:	ns
 * @unsaid:	Lines that were not, since the last one that was
 */
bool run_rate(struct run_rate *r, uint64_t now, unsigned int *unsaid);

/** run_memfd() - An empty memory file named @name, or -1 after a message */
int run_memfd(const char *name);

#endif
