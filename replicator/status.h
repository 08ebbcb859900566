/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.h - a snapshot of one side of a protection, to be printed
 */
#ifndef KEMARI_STATUS_H
#define KEMARI_STATUS_H

#include "libxc-ext/platform.h"
#include "replicator/sender.h"
#include "replicator/stats.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	STATUS_REASON_MAX = 32,
	STATUS_DETAIL_MAX = 512,
};

/*
 * enum status_state - the word of state, the same on both sides
 *
 * unprotected	  nothing is protected (yet, or any more)
 * syncing	  a first copy is under way: the standby cannot take over
 * protected	  every output waits for its commit; the standby is eligible
 * degraded	  as protected, but something asks for an operator's eye; on
 *		  the standby: the peer is suspected
 * paused	  primary: the guest stands still until the reason goes
 * failing-over	  standby: the fence runs, or the take-over does
 * failed-over	  standby: the guest runs here; primary: it runs there
 */
enum status_state {
	STATUS_UNPROTECTED,
	STATUS_SYNCING,
	STATUS_PROTECTED,
	STATUS_DEGRADED,
	STATUS_PAUSED,
	STATUS_FAILING_OVER,
	STATUS_FAILED_OVER,
	STATUS_NUM,
};

/** struct status - zero-initialised: unprotected, no reason */
struct status {
	enum status_state state;
	char reason[STATUS_REASON_MAX];	/* a word for machines, "" if none */
	char detail[STATUS_DETAIL_MAX];	/* the same as a sentence */
	enum platform_role role;
	struct platform_info guest;	/* .name[0] 0: not known yet */
	uint64_t generation;
	uint64_t running, captured, committed, released; /* epochs */
	bool eligible;			/* the standby could take over */
	bool link_up;
	uint64_t copy_pages, copy_total; /* of the first copy */
	unsigned int copy_round;	/* from 1; 0 no copy under way */
	unsigned int rings, fenced;	/* of disks and network cards; those
					 * whose requests are output */
	struct stats_summary stats;
	struct sender_figures sent;	/* in checkpoints; by a primary */
};

/** status_state_str() - "protected" and so on */
const char *status_state_str(enum status_state state);

/** status_set() - Set state, reason and detail; @reason NULL: none */
void status_set(struct status *s, enum status_state state, const char *reason,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
