// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secondary_view.c - the secondary's status, for people
 */
#include "replicator/secondary_int.h"

#include <inttypes.h>
#include <string.h>

static void set_held(const struct secondary *s, struct status *out)
{
	if (!staging_eligible(s->staging))
		status_set(out, STATUS_SYNCING,
			   s->peer.greeted ? NULL : "link-down", "%s",
			   s->peer.greeted ? "a copy arrives" :
					     "the primary is not connected");
	else if (!s->peer.greeted)
		status_set(out, STATUS_DEGRADED, "link-down",
			   "the primary is not connected");
	else
		status_set(out, STATUS_PROTECTED, s->trouble, "%s",
			   *s->trouble ? s->trouble_text :
					 "the standby can take over");
}

static void set_state(const struct secondary *s, struct status *out)
{
	switch (s->stage) {
	case STAGE_IDLE:
		status_set(out, STATUS_UNPROTECTED, "waiting",
			   "no primary has come yet");
		break;
	case STAGE_HELD:
		set_held(s, out);
		break;
	case STAGE_SUSPECT:
		status_set(out, STATUS_DEGRADED,
			   *s->trouble ? s->trouble : "suspect", "%s",
			   *s->trouble ? s->trouble_text :
					 "no word from the primary");
		break;
	case STAGE_FENCE:
		status_set(out, STATUS_FAILING_OVER, "fencing",
			   "the fence for the primary's host runs");
		break;
	case STAGE_TAKE:
		status_set(out, STATUS_FAILING_OVER,
			   *s->trouble ? s->trouble : "activating", "%s",
			   *s->trouble ? s->trouble_text :
					 "the standby is being activated");
		break;
	case STAGE_TAKEN:
		status_set(out, STATUS_FAILED_OVER,
			   *s->trouble ? s->trouble : NULL, "%s",
			   *s->trouble ? s->trouble_text :
					 "the guest runs here");
		break;
	case STAGE_DROP:
	case STAGE_OVER:
		status_set(out, STATUS_UNPROTECTED,
			   secondary_outcome_str(s->outcome),
			   "the session is over");
		break;
	}
}

void secondary_status(const struct secondary *s, struct status *out)
{
	const struct staging_view *v = staging_view(s->staging);
	struct receive_progress c;

	memset(out, 0, sizeof(*out));
	set_state(s, out);
	out->role = PLATFORM_STANDBY;
	out->guest = s->info;
	out->generation = v->generation;
	out->committed = v->committed;
	out->eligible = staging_eligible(s->staging);
	out->link_up = s->peer.greeted;
	receive_progress(s->receive, &c);
	out->copy_pages = c.pages;
	out->copy_total = c.total;
	out->copy_round = v->phase == STAGING_COPYING ? c.round : 0;
	out->stats.checkpoints = s->checkpoints;
}
