// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_guest.c - what the primary's conductor does to its guest
 *
 * Stop and go, capture, release and drain, and the note of what went wrong:
 * a stage that fails is tried again, after RETRY_FIRST and then twice as long
 * each time up to RETRY_MAX; the guest stays as it is meanwhile: running with
 * its output held, or stopped (INV-8).
 */
#include "replicator/primary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MS 1000000ull

#define RETRY_FIRST	(2 * MS)
#define RETRY_MAX	(1000 * MS)
#define SETTLE_RUN	(1 * MS)	/* a guest with a busy xenstore ring */
#define DRAIN_POLL	(1 * MS)
#define DRAIN_POLL_LATE	(20 * MS)	/* past the bound */

uint64_t primary_now(const struct primary *p)
{
	return p->platform->ops->now_ns(p->platform);
}

void primary_store(struct primary *p)
{
	outbox_store(p->outbox, &p->facts);
}

/* --- trouble ---------------------------------------------------------------- */

void primary_trouble(struct primary *p, const char *id, const char *fmt, ...)
{
	char text[STATUS_DETAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(p->trouble, id))
		report_say(p->report, REPORT_WARN, id, "%s", text);
	snprintf(p->trouble, sizeof(p->trouble), "%s", id);
	memcpy(p->trouble_text, text, sizeof(text));
}

void primary_fine(struct primary *p, const char *id)
{
	if (strcmp(p->trouble, id))
		return;
	p->trouble[0] = '\0';
	p->trouble_text[0] = '\0';
}

void primary_wake(struct primary *p, uint64_t at)
{
	if (at < p->wake)
		p->wake = at;
}

/* The stage failed: come again later.  Always -1. */
int primary_stumble(struct primary *p, const char *what, const char *why)
{
	primary_trouble(p, "platform", "%s: %s; trying again", what, why);
	p->retry_delay = p->retry_delay ? p->retry_delay * 2 : RETRY_FIRST;
	if (p->retry_delay > RETRY_MAX)
		p->retry_delay = RETRY_MAX;
	p->retry_at = primary_now(p) + p->retry_delay;
	return -1;
}

int primary_stumble_platform(struct primary *p, const char *what)
{
	return primary_stumble(p, what, platform_why(p->platform));
}

void primary_recovered(struct primary *p)
{
	p->retry_at = 0;
	p->retry_delay = 0;
	primary_fine(p, "platform");
}

/* --- the guest: stop and go ------------------------------------------------------ */

int primary_halt(struct primary *p)
{
	if (p->epoch.stopped)
		return 0;
	if (p->platform->ops->stop(p->platform))
		return primary_stumble_platform(p, "stop");
	epoch_move(&p->epoch, EPOCH_STOP, 0);
	p->stopped_at = primary_now(p);
	return 0;
}

int primary_run_on(struct primary *p)
{
	if (!p->epoch.stopped)
		return 0;
	if (!epoch_may(&p->epoch, EPOCH_GO, 0))
		return primary_stumble(p, "go", "not in this state of the epoch");
	if (p->platform->ops->go(p->platform))
		return primary_stumble_platform(p, "go");
	epoch_move(&p->epoch, EPOCH_GO, 0);
	p->went_at = primary_now(p);
	stats_add(&p->stats.pause_ns, p->went_at - p->stopped_at);
	return 0;
}

/* --- output: release and drain ----------------------------------------------------- */

/* INV-5, INV-6: the gate's fence, then held events.  Repeats after a failure or a
 * restart are answered EALREADY, which is as good as 0. */
int primary_release(struct primary *p)
{
	uint64_t n = p->epoch.captured, gen = p->facts.generation;

	/* INV-1: asked before anything is let out. */
	if (!epoch_may(&p->epoch, EPOCH_RELEASE, 0))
		return primary_stumble(p, "release", "not in this state of the epoch");
	if (p->gate->ops->release(p->gate, gen, n) && errno != EALREADY)
		return primary_stumble(p, "release gate", strerror(errno));
	if (p->platform->ops->release(p->platform, gen, n) &&
	    errno != EALREADY)
		return primary_stumble_platform(p, "release");
	epoch_move(&p->epoch, EPOCH_RELEASE, 0);
	p->drain_since = primary_now(p);
	return 0;
}

/* INV-4.  0 drained, 1 not yet, -1. */
int primary_drain(struct primary *p)
{
	uint64_t now = primary_now(p);
	bool late = now - p->drain_since >= p->cfg.drain_bound;
	int r = p->platform->ops->drained(p->platform);

	if (r < 0)
		return primary_stumble_platform(p, "drain");
	if (!r) {
		if (late)
			primary_trouble(p, "drain", "output is not read: %s",
					platform_why(p->platform));
		primary_wake(p, now + (late ? DRAIN_POLL_LATE : DRAIN_POLL));
		return 1;
	}
	primary_fine(p, "drain");
	return epoch_move(&p->epoch, EPOCH_DRAINED, 0);
}

/* --- capture ---------------------------------------------------------------- */

/* INV-13.  The ring is busy: the guest has to run on for a little. */
void primary_put_off(struct primary *p)
{
	uint64_t now = primary_now(p);

	p->stats.unsettled++;
	if (!p->busy_since)
		p->busy_since = now;
	if (now - p->busy_since >= p->cfg.settle_bound)
		primary_trouble(p, "xenstore-busy",
				"no checkpoint for %" PRIu64 " ms: %s",
				(uint64_t)((now - p->busy_since) / MS),
				capture_why(p->capture));
	if (primary_run_on(p))
		return;
	p->busy_until = now + SETTLE_RUN;
	primary_wake(p, p->busy_until);
}

static void settled(struct primary *p)
{
	p->busy_since = 0;
	p->busy_until = 0;
	primary_fine(p, "xenstore-busy");
}

/* 0 whole or torn, 1 put off, -1. */
int primary_capture(struct primary *p)
{
	switch (capture_run(p->capture, &p->epoch, p->facts.generation,
			    p->cause)) {
	case CAPTURE_UNSETTLED:
		return 1;
	case CAPTURE_LOST:
		primary_trouble(p, "copy-afresh", "%s",
				capture_why(p->capture));
		return 0;
	case CAPTURE_CHANGED:
		primary_give_up(p, capture_why(p->capture));
		return -1;
	case CAPTURE_WHOLE:
		settled(p);
		stats_add(&p->stats.freeze_ns, capture_frozen_ns(p->capture));
		p->sending = false;
		return 0;
	case CAPTURE_FAILED:
		break;
	}
	return primary_stumble(p, "capture", capture_why(p->capture));
}

/* --- alone: output needs no commit ---------------------------------------------------- */

/* Let out what is held, then let the guest go.  0, or -1 or waiting. */
int primary_let_out(struct primary *p)
{
	if (primary_halt(p))
		return -1;
	for (;;) {
		switch (p->epoch.flight) {
		case EPOCH_NONE:
			if (!p->cause)
				return primary_run_on(p);
			/* fall through */
		case EPOCH_TAKING:
			if (capture_close(p->capture, &p->epoch,
					  p->facts.generation) !=
			    CAPTURE_WHOLE)
				return primary_stumble(p, "close epoch",
					       capture_why(p->capture));
			p->cause = 0;
			/* fall through */
		case EPOCH_WHOLE:
		case EPOCH_COMMITTED:
			if (primary_release(p))
				return -1;
			break;
		case EPOCH_RELEASED:
			if (primary_drain(p))
				return -1;
			break;
		case EPOCH_TORN:
		case EPOCH_FLIGHT_NUM:
			return primary_stumble(p, "release", "not granted");
		}
	}
}
