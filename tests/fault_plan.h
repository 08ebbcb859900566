/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault_plan.h - which call fails, and how; shared by the fault wrappers
 *
 * One plan may serve several wrappers: its count is then that of all their
 * calls.  The loop of a test:
 *
 *	for (n = 0; ; n++) {
 *		struct fault_plan plan = fault_nth(n, FAULT_ONCE, EIO);
 *		... run with fault_platform(p, &plan), check the invariants ...
 *		if (!plan.fired)
 *			break;		// fewer than n calls: all were tried
 *	}
 */
#ifndef KEMARI_TESTS_FAULT_PLAN_H
#define KEMARI_TESTS_FAULT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum fault_span {
	FAULT_ONCE,		/* this call */
	FAULT_OP,		/* this and every later call of the same op */
	FAULT_ALL,		/* this and every later call */
};

/** struct fault_plan - zeroed but for .at it does nothing but count */
struct fault_plan {
	uint64_t at;		/* number of the call that fails, from 0;
				 * FAULT_NEVER */
	enum fault_span span;
	int err;		/* errno of failed calls, not 0 */
	bool done;		/* the call is carried out, then said to have
				 * failed: its answer was lost */
	bool pages;		/* page() and page_rw() count, too */
	uint32_t per_mille;	/* besides: so many calls fail at random */
	uint64_t rng;		/* seed for that */
	const char *only;	/* if set: just calls of this op count */

	/* Before every call, if set: let time pass, kill a process... */
	void (*delay)(void *arg, const char *op);
	void *delay_arg;

	uint64_t calls;		/* counted so far */
	uint64_t fired;		/* failed so far */
	const char *op;		/* of the first that failed, or NULL */
};

#define FAULT_NEVER UINT64_MAX

/** fault_nth() - A plan by which call @n fails with @err */
struct fault_plan fault_nth(uint64_t n, enum fault_span span, int err);

/** fault_due() - Count a call of @op: shall it fail? */
bool fault_due(struct fault_plan *plan, const char *op);

#endif
