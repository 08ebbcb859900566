// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_view.c - the primary's status, for people
 */
#include "replicator/primary_int.h"

#include <inttypes.h>
#include <string.h>

/* Is a commit still awaited that makes the standby eligible (again)? */
static bool awaits_first(const struct primary *p)
{
	return p->epoch.flight == EPOCH_WHOLE &&
	       outbox_checkpoint(p->outbox)->cause == WIRE_CAUSE_FIRST;
}

static void set_bound(const struct primary *p, struct status *s)
{
	if (p->ready && awaits_first(p)) {
		status_set(s, STATUS_SYNCING, NULL,
			   "the first checkpoint awaits its commit");
	} else if (!p->ready) {
		status_set(s, STATUS_PAUSED,
			   *p->trouble ? p->trouble : "link-down", "%s",
			   *p->trouble ? p->trouble_text :
					 "not in step with the standby");
	} else if (*p->trouble) {
		status_set(s, p->epoch.stopped ? STATUS_PAUSED :
						 STATUS_DEGRADED,
			   p->trouble, "%s", p->trouble_text);
	} else {
		status_set(s, STATUS_PROTECTED, NULL,
			   "every output waits for its commit");
	}
}

static void set_over(const struct primary *p, struct status *s)
{
	if (p->outcome == PRIMARY_SUPERSEDED)
		status_set(s, STATUS_FAILED_OVER, "superseded",
			   "the standby took over; the guest stays stopped here");
	else
		status_set(s, STATUS_UNPROTECTED,
			   primary_outcome_str(p->outcome),
			   "no protection is under way");
}

static void set_state(const struct primary *p, struct status *s)
{
	switch (p->stage) {
	case STAGE_SHELL:
		status_set(s, STATUS_UNPROTECTED,
			   *p->trouble ? p->trouble : "connecting", "%s",
			   *p->trouble ? p->trouble_text :
					 "the standby is being built");
		break;
	case STAGE_COPY:
		status_set(s, STATUS_SYNCING, p->trouble, "%s",
			   *p->trouble ? p->trouble_text :
					 "the guest's memory is being copied");
		break;
	case STAGE_BOUND:
		set_bound(p, s);
		break;
	case STAGE_ALONE:
		status_set(s, STATUS_PAUSED, "copy-afresh",
			   "the standby is asked to give up its claim");
		break;
	case STAGE_END:
		status_set(s, p->epoch.bound ? STATUS_PAUSED :
					       STATUS_UNPROTECTED,
			   *p->trouble ? p->trouble : "ending",
			   "the session ends (%s) when the standby has heard it%s%s",
			   wire_reason_str(p->facts.ending),
			   *p->trouble ? ": " : "", p->trouble_text);
		break;
	case STAGE_YIELD:
	case STAGE_LEAVE:
	case STAGE_OVER:
		set_over(p, s);
		break;
	}
}

void primary_state(const struct primary *p, struct status *out)
{
	memset(out, 0, sizeof(*out));
	set_state(p, out);
	out->role = PLATFORM_PRIMARY;
	out->guest = p->info;
	out->generation = p->facts.generation;
	out->running = p->epoch.running;
	out->captured = p->epoch.captured;
	out->committed = p->facts.committed;
	out->released = p->epoch.released;
	out->eligible = p->epoch.bound && p->facts.committed &&
			!awaits_first(p);
	out->link_up = p->peer.greeted;
	out->rings = p->rings;
	out->fenced = p->fenced;
	out->copy_pages = p->progress.sent;
	out->copy_total = p->progress.pages;
	out->copy_round = p->stage == STAGE_COPY ? p->progress.round : 0;
}

void primary_status(const struct primary *p, struct status *out)
{
	primary_state(p, out);
	stats_summarise(&p->stats, &out->stats);
	sender_figures(p->sender, &out->sent);
}
