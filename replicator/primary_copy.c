// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_copy.c - the first copy, or a copy afresh, and its checkpoint
 *
 * The guest runs alone meanwhile.  Its memory goes over in rounds; when little
 * is left, or rounds do not help any more, the guest is stopped, the rest goes
 * with the first checkpoint, and from the end of that on the primary is bound.
 */
#include "replicator/primary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MS 1000000ull

#define PROGRESS_EVERY	(1000 * MS)

enum {
	COPY_ROUNDS = 8,	/* then the guest is stopped for the last one */
	COPY_ENOUGH = 512,	/* ... or when so few pages are left */
	RESERVE_PART = 4,	/* of a checkpoint's room, for what is not */
	RESERVE_MAX = 8192,	/* counted by the dirty limit: always-copied
				 * pages, and reads of a disk that end while
				 * the guest is stopped */
};

static uint64_t reserve(uint64_t room)
{
	uint64_t part = room / RESERVE_PART;

	return part < RESERVE_MAX ? part : RESERVE_MAX;
}

/* INV-16: what is counted and the reserve fit a checkpoint together. */
static uint64_t dirty_limit(const struct primary *p)
{
	uint64_t limit = p->facts.room - reserve(p->facts.room);

	return p->cfg.dirty_limit && p->cfg.dirty_limit < limit ?
		       p->cfg.dirty_limit : limit;
}

void primary_built(struct primary *p, uint64_t room)
{
	uint64_t most = outbox_room(p->outbox);

	p->standby_has_shell = true;
	p->ready = true;
	if (room < most)
		most = room;
	if (!most) {
		primary_break(p, "SHELL_RESULT: staging holds no page");
		return;
	}
	p->facts.room = most;
	p->facts.committed = 0;
	primary_store(p);
	capture_free(p->capture);
	p->capture = capture_new(p->platform, p->gate, p->outbox, most);
	if (!p->capture) {
		report_say(p->report, REPORT_ERROR, "no-memory",
			   "no memory for %" PRIu64 " frame numbers", most);
		primary_leave(p, PRIMARY_REFUSED);
		return;
	}
	p->stage = STAGE_COPY;
	p->copying = false;
}

/* INV-37: requests that no event will announce are held before the tap is on;
 * a guest that cannot be tapped is not left behind a fence. */
static int enable(struct primary *p)
{
	if (!p->enabled) {
		if (primary_shut_gate(p))
			return -1;
		if (p->platform->ops->enable(p->platform, p->facts.generation,
					     p->cfg.mode, dirty_limit(p))) {
			primary_stumble_platform(p, "enable");
			(void)primary_open_gate(p);
			return -1;
		}
		p->enabled = true;
	}
	return p->rings_known ? 0 : primary_know_rings(p);
}

/* All pages count as clean from here on.  INV-15: other frames than the
 * standby was built with need another standby. */
static int track(struct primary *p)
{
	if (!p->platform->ops->track(p->platform))
		return 0;
	if (errno != EXDEV)
		return primary_stumble_platform(p, "track");
	report_say(p->report, REPORT_ERROR, "frames-changed", "%s",
		   platform_why(p->platform));
	primary_leave(p, PRIMARY_REFUSED);
	return -1;
}

static int begin_copy(struct primary *p)
{
	struct copy *c;

	if (p->copying)
		return 0;
	if (enable(p))
		return -1;
	if (track(p))
		return -1;
	c = copy_new(p->platform);
	if (!c)
		return primary_stumble_platform(p, "ranges");
	copy_free(p->copy);
	p->copy = c;
	p->facts.copy++;
	primary_store(p);
	if (copy_start(p->copy, p->facts.generation, p->facts.copy,
		       p->peer.features))
		return primary_stumble(p, "copy", strerror(errno));
	copy_progress(p->copy, &p->progress);
	p->copy_before = p->progress.pages;
	p->copying = true;
	p->copy_last = false;
	p->copy_ended = false;
	return 0;
}

/* Dirty pages are marked for the next round; lost: all are. */
static int mark_dirty(struct primary *p)
{
	const uint64_t *gfn;
	size_t n;

	if (primary_halt(p))
		return -1;
	if (capture_harvest(p->capture)) {
		if (errno == EAGAIN)
			return primary_stumble(p, "copy", capture_why(p->capture));
		if (track(p))
			return -1;
		copy_mark_all(p->copy);
	}
	gfn = capture_taken(p->capture, &n);
	for (size_t i = 0; i < n; i++) {
		if (copy_mark(p->copy, gfn[i]))
			return primary_stumble(p, "copy",
				       "the guest has a frame that it had not");
	}
	capture_reset(p->capture);
	return 0;
}

static void say_progress(struct primary *p)
{
	uint64_t now = primary_now(p);

	copy_progress(p->copy, &p->progress);
	if (now - p->said_at < PROGRESS_EVERY)
		return;
	p->said_at = now;
	report_say(p->report, REPORT_INFO, "copying",
		   "round %u: %" PRIu64 " pages sent, %" PRIu64 " of %" PRIu64 " left",
		   p->progress.round, p->progress.sent, p->progress.left,
		   p->progress.pages);
}

/* What is left goes with the checkpoint.  0 captured, 1 put off, -1. */
static int capture_rest(struct primary *p)
{
	uint32_t held = p->cause;
	uint64_t gfn;
	size_t n;
	int r;

	p->cause = WIRE_CAUSE_FIRST;
	while ((gfn = copy_take(p->copy)) != UINT64_MAX) {
		if (capture_add(p->capture, gfn))
			return primary_stumble(p, "copy", strerror(errno));
	}
	r = primary_capture(p);
	if (r > 0) {
		const uint64_t *taken = capture_taken(p->capture, &n);

		for (size_t i = 0; i < n; i++)
			copy_mark(p->copy, taken[i]);
		capture_reset(p->capture);
		p->copy_last = false;
		p->cause = held;
		primary_put_off(p);
	}
	return r;
}

/* COPY_END, and all of the first checkpoint but its end.  1, 0 the link is
 * full, -1. */
static int send_first(struct primary *p)
{
	int r;

	if (!p->copy_ended) {
		r = copy_end(p->copy, p->peer.link, p->facts.digest);
		if (r <= 0)
			return r;
		p->copy_ended = true;
		primary_store(p);
	}
	if (!p->sending && primary_start_sending(p))
		return -1;
	return sender_run(p->sender, p->peer.link, false);
}

/* From the end of the first checkpoint on we are bound (INV-19). */
static void bind(struct primary *p)
{
	int r = send_first(p);

	if (r < 0 && errno != EPIPE) {
		p->sending = false;
		primary_stumble(p, "send", strerror(errno));
	}
	if (r <= 0)
		return;
	p->facts.bound = 1;
	primary_store(p);
	epoch_move(&p->epoch, EPOCH_BIND, 0);
	p->cause = 0;
	p->stage = STAGE_BOUND;
	copy_free(p->copy);
	p->copy = NULL;
	p->copying = false;
}

/* One round has been sent.  0 go on, -1 or waiting. */
static int round_over(struct primary *p)
{
	struct copy_progress c;

	if (mark_dirty(p))
		return -1;
	copy_progress(p->copy, &c);
	if (!p->copy_last && c.left > COPY_ENOUGH && c.round <= COPY_ROUNDS &&
	    c.left < p->copy_before / 4 * 3) {
		p->copy_before = c.left;
		return primary_run_on(p);
	}
	p->copy_last = true;
	return 0;
}

void primary_copy_cycle(struct primary *p)
{
	struct copy_progress c;
	int r;

	if (begin_copy(p))
		return;
	if (primary_now(p) < p->busy_until) {
		primary_wake(p, p->busy_until);
		return;
	}
	for (;;) {
		if (p->copy_last && p->epoch.flight == EPOCH_WHOLE) {
			bind(p);
			return;
		}
		/* What the guest put out, or its dirty limit, comes first. */
		if (p->cause == WIRE_CAUSE_DIRTY && mark_dirty(p))
			return;
		if (!p->copy_last && (p->cause || p->epoch.stopped) &&
		    primary_let_out(p))
			return;
		say_progress(p);
		copy_progress(p->copy, &c);
		if (p->copy_last && c.left <= p->facts.room / 2) {
			if (capture_rest(p))
				return;
			/* Lost: whatever is held leaves, all is copied. */
			if (p->epoch.flight == EPOCH_TORN) {
				epoch_move(&p->epoch, EPOCH_GRANT, 0);
				p->copying = false;
				p->copy_last = false;
				primary_wake(p, 0);
				return;
			}
			continue;
		}
		r = copy_run(p->copy, p->peer.link);
		if (r <= 0 || round_over(p))
			return;
	}
}
