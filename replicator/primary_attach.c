// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_attach.c - a restarted controller finds its place again
 *
 * The hypervisor knows the epochs, the outbox the session and the captured
 * checkpoint, the standby what it committed.  Nothing is let out or let run
 * here (INV-30): where the epoch stands follows from the first two, and the
 * standby is asked when the link is up.
 */
#include "replicator/primary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

/* How far the last captured epoch had come. */
static enum epoch_flight flight_of(const struct primary *p,
				   const struct platform_query *q)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(p->outbox);

	if (q->captured <= q->released)
		return q->lost && p->facts.bound ? EPOCH_TORN :
		       q->stopped && q->released ? EPOCH_RELEASED : EPOCH_NONE;
	if (!p->facts.bound)
		return EPOCH_TAKING;
	if (p->facts.committed == q->captured)
		return EPOCH_COMMITTED;
	return c->epoch == q->captured && atomic_load(&c->whole) ?
		       EPOCH_WHOLE : EPOCH_TORN;
}

static void place_epoch(struct primary *p, const struct platform_query *q)
{
	struct epoch *e = &p->epoch;

	epoch_init(e, q->running);
	e->captured = q->captured;
	e->committed = p->facts.committed;
	e->released = q->released;
	e->stopped = q->stopped;
	e->bound = p->facts.bound;
	e->flight = flight_of(p, q);
	if (e->flight != EPOCH_WHOLE)
		outbox_drop(p->outbox);
}

int primary_attach(struct primary *p)
{
	struct platform *pl = p->platform;
	struct platform_query q;

	p->facts = *outbox_facts(p->outbox);
	recbuf_reset(&p->shell);
	capture_free(p->capture);
	p->capture = NULL;
	if (!p->facts.generation) {
		errno = ENOENT;
		return -1;
	}
	if (pl->ops->query(pl, &q) || pl->ops->info(pl, &p->info) ||
	    pl->ops->describe(pl, &p->shell)) {
		report_say(p->report, REPORT_ERROR, "attach-failed",
			   "the guest cannot be found again: %s",
			   platform_why(pl));
		return -1;
	}
	p->outcome = PRIMARY_GOING;
	p->wake = 0;
	p->went_at = primary_now(p);
	p->stopped_at = p->went_at;
	if (q.role == PLATFORM_NONE && !p->facts.bound) {
		/* Killed before the tap was on, or after it was off. */
		p->gate_shut = true;
		if (primary_open_gate(p))
			return -1;
		outbox_drop(p->outbox);
		epoch_init(&p->epoch, 1);
		p->stage = STAGE_SHELL;
		return 0;
	}
	if (q.role != PLATFORM_PRIMARY ||
	    q.generation != p->facts.generation) {
		report_say(p->report, REPORT_ERROR, "attach-failed",
			   "the hypervisor knows role %d, generation %" PRIu64 "; the session has generation %" PRIu64,
			   (int)q.role, q.generation, p->facts.generation);
		errno = ENOENT;
		return -1;
	}
	/* Nothing changes if it is shut as it should be (INV-30). */
	if (primary_shut_gate(p))
		return -1;
	p->enabled = true;
	place_epoch(p, &q);
	p->capture = capture_new(pl, p->gate, p->outbox, p->facts.room);
	if (!p->capture)
		return -1;
	p->drain_since = p->went_at;
	p->stage = p->facts.ending ? STAGE_END :
		   p->facts.bound ? STAGE_BOUND : STAGE_COPY;
	/* What came while nobody listened: output, or the guest's end.  The
	 * gate does not repeat what it told. */
	p->cause = q.held_running ? WIRE_CAUSE_TAP :
		   p->gate->ops->event_fd(p->gate) >= 0 ? WIRE_CAUSE_GATE : 0;
	report_say(p->report, REPORT_INFO, "attached",
		   "going on: epoch %" PRIu64 " runs, %" PRIu64 " captured, %" PRIu64 " released, checkpoint %s",
		   q.running, q.captured, q.released,
		   epoch_flight_str(p->epoch.flight));
	if (q.shutdown)
		primary_end(p, primary_shutdown_reason(&q));
	else if (p->stage < STAGE_END && primary_know_rings(p) &&
		 p->stage < STAGE_END)
		return -1;
	return 0;
}
