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
struct platform_info;
struct status;
struct status_facts;

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

/** run_memfd() - An empty memory file named @name, or -1 after a message */
int run_memfd(const char *name);

#endif
