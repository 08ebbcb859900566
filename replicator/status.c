// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status.c - a snapshot of one side of a protection, to be printed
 */
#include "replicator/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const state_str[] = {
	[STATUS_UNPROTECTED] = "unprotected",
	[STATUS_SYNCING] = "syncing",
	[STATUS_PROTECTED] = "protected",
	[STATUS_DEGRADED] = "degraded",
	[STATUS_PAUSED] = "paused",
	[STATUS_FAILING_OVER] = "failing-over",
	[STATUS_FAILED_OVER] = "failed-over",
};
static_assert(sizeof(state_str) / sizeof(state_str[0]) == STATUS_NUM,
	      "name every state");

const char *status_state_str(enum status_state state)
{
	return state < STATUS_NUM ? state_str[state] : "unknown";
}

void status_set(struct status *s, enum status_state state, const char *reason,
		const char *fmt, ...)
{
	va_list ap;

	s->state = state;
	snprintf(s->reason, sizeof(s->reason), "%s", reason ? reason : "");
	va_start(ap, fmt);
	vsnprintf(s->detail, sizeof(s->detail), fmt, ap);
	va_end(ap);
}
