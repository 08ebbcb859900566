// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * capture.c - a stopped guest -> a whole checkpoint in the outbox
 *
 * Order: INV-9 to INV-13.  Every vCPU is stopped throughout, and backends are
 * frozen from before the held set is closed until the fences are noted: a
 * response that is in a ring was written before, and so were the marks of the
 * pages it filled and of its grant.  HARVEST takes the rings' pages, LATE the
 * grant table after them.
 */
#include "replicator/capture.h"

#include "backends/gate.h"
#include "libxc-ext/platform.h"
#include "replicator/epoch.h"
#include "replicator/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each names the step to be done next. */
enum capture_step {
	STEP_SETTLE,	/* is the xenstore ring at rest? */
	STEP_FREEZE,	/* backends write no more into the guest */
	STEP_BEGIN,	/* the held set of this epoch is closed */
	STEP_EARLY,	/* vCPU extras, event channels, timers, store nodes */
	STEP_HARVEST,	/* which pages (INV-11) */
	STEP_PAGES,	/* their bytes */
	STEP_LATE,	/* HVM context, guest time, grant frames */
	STEP_FENCE,	/* rings: the fence-to-be */
	STEP_THAW,
	STEP_NUM,
};

static const char *const step_str[] = {
	[STEP_SETTLE] = "settle",
	[STEP_FREEZE] = "freeze backends",
	[STEP_BEGIN] = "begin epoch",
	[STEP_EARLY] = "save early state",
	[STEP_HARVEST] = "harvest dirty pages",
	[STEP_PAGES] = "copy pages",
	[STEP_LATE] = "save late state",
	[STEP_FENCE] = "note ring fences",
	[STEP_THAW] = "thaw backends",
};
static_assert(sizeof(step_str) / sizeof(step_str[0]) == STEP_NUM,
	      "name every step");

struct capture {
	struct platform *platform;
	struct gate *gate;
	struct outbox *outbox;
	enum capture_step step;
	struct recbuf state;
	uint64_t guest_time, clock;
	uint64_t froze_at, frozen_ns;
	uint64_t *gfn;		/* gathered, with duplicates until PAGES */
	size_t n, room;
	uint64_t limit;		/* pages of one checkpoint */
	char why[PLATFORM_WHY_MAX];
};

struct capture *capture_new(struct platform *p, struct gate *g,
			    struct outbox *o, uint64_t room)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->platform = p;
	c->gate = g;
	c->outbox = o;
	c->limit = room;
	/* What was added and what is harvested may overlap. */
	c->room = 2 * room;
	c->gfn = calloc(c->room, sizeof(*c->gfn));
	if (!c->gfn) {
		free(c);
		errno = ENOMEM;
		return NULL;
	}
	return c;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	recbuf_free(&c->state);
	free(c->gfn);
	free(c);
}

int capture_add(struct capture *c, uint64_t gfn)
{
	if (c->n >= c->limit) {
		errno = ENOSPC;
		return -1;
	}
	c->gfn[c->n++] = gfn;
	return 0;
}

const uint64_t *capture_taken(const struct capture *c, size_t *n)
{
	*n = c->n;
	return c->gfn;
}

void capture_reset(struct capture *c)
{
	c->step = STEP_SETTLE;
	c->n = 0;
	recbuf_reset(&c->state);
}

uint64_t capture_frozen_ns(const struct capture *c)
{
	return c->frozen_ns;
}

const char *capture_why(const struct capture *c)
{
	return c->why;
}

/* Note the failure of the step under way; @by_gate: it has no sentences. */
static int failed(struct capture *c, const char *what, bool by_gate)
{
	int err = errno;

	snprintf(c->why, sizeof(c->why), "%s: %s", what,
		 by_gate ? strerror(err) : platform_why(c->platform));
	errno = err;
	return -1;
}

static int fail(struct capture *c)
{
	return failed(c, step_str[c->step], false);
}

static int gate_fail(struct capture *c)
{
	return failed(c, step_str[c->step], true);
}

int capture_harvest(struct capture *c)
{
	size_t n = 0;

	if (c->platform->ops->harvest(c->platform, c->gfn + c->n,
				      c->room - c->n, &n))
		return failed(c, step_str[STEP_HARVEST], false);
	c->n += n;
	return 0;
}

static int begin_epoch(struct capture *c, struct epoch *e, uint64_t generation,
		       uint32_t cause)
{
	struct platform_query q;
	uint64_t n = e->running;

	if (!epoch_may(e, EPOCH_BEGIN, n)) {
		errno = EPERM;
		snprintf(c->why, sizeof(c->why),
			 "begin epoch %llu: not in state %s",
			 (unsigned long long)n, epoch_flight_str(e->flight));
		return -1;
	}
	if (c->platform->ops->begin(c->platform, generation, n, false)) {
		fail(c);
		/* It may have done its work all the same. */
		if (c->platform->ops->query(c->platform, &q) ||
		    q.captured != n)
			return -1;
	}
	outbox_begin(c->outbox, n, cause);
	return epoch_move(e, EPOCH_BEGIN, n);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void drop_duplicates(struct capture *c)
{
	size_t kept = 0;

	qsort(c->gfn, c->n, sizeof(*c->gfn), ascending);
	for (size_t i = 0; i < c->n; i++) {
		if (!kept || c->gfn[kept - 1] != c->gfn[i])
			c->gfn[kept++] = c->gfn[i];
	}
	c->n = kept;
}

/* Into the outbox: nothing here can fail in a way that a retry could heal. */
static int copy_pages(struct capture *c)
{
	drop_duplicates(c);
	if (c->n > c->limit) {
		snprintf(c->why, sizeof(c->why),
			 "copy pages: %zu pages, the standby takes %llu", c->n,
			 (unsigned long long)c->limit);
		errno = ENOSPC;
		return -1;
	}
	for (size_t i = 0; i < c->n; i++) {
		const void *page = c->platform->ops->page(c->platform,
							  c->gfn[i]);

		/* INV-15 */
		if (!page) {
			snprintf(c->why, sizeof(c->why),
				 "copy pages: frame 0x%llx is not one of the guest's populated frames any more",
				 (unsigned long long)c->gfn[i]);
			errno = EIO;
			return -1;
		}
		if (outbox_page(c->outbox, c->gfn[i], page)) {
			snprintf(c->why, sizeof(c->why),
				 "copy pages: %zu pages, the outbox takes %llu",
				 c->n,
				 (unsigned long long)outbox_room(c->outbox));
			return -1;
		}
	}
	return 0;
}

static int save_late(struct capture *c)
{
	size_t used = c->state.used;

	if (c->platform->ops->guest_time(c->platform, &c->guest_time))
		return fail(c);
	if (c->platform->ops->save(c->platform, PLATFORM_LATE, &c->state)) {
		c->state.used = used;
		return fail(c);
	}
	c->clock = c->platform->ops->now_ns(c->platform);
	return 0;
}

static enum capture_result lose(struct capture *c, struct epoch *e)
{
	epoch_move(e, EPOCH_LOSE, 0);
	outbox_drop(c->outbox);
	capture_reset(c);
	return CAPTURE_LOST;
}

static enum capture_result whole(struct capture *c, struct epoch *e)
{
	if (outbox_whole(c->outbox, c->state.bytes, c->state.used,
			 c->guest_time, c->clock)) {
		snprintf(c->why, sizeof(c->why),
			 "%zu bytes of state, the outbox takes %d",
			 c->state.used, OUTBOX_STATE_MAX);
		return lose(c, e);
	}
	epoch_move(e, EPOCH_TAKEN, 0);
	capture_reset(c);
	return CAPTURE_WHOLE;
}

/* The step's work: 0 done, -1 failed, 1 the xenstore ring is busy. */
static int do_step(struct capture *c, struct epoch *e, uint64_t generation,
		   uint32_t cause)
{
	struct platform *p = c->platform;
	struct gate *g = c->gate;
	int r;

	switch (c->step) {
	case STEP_SETTLE:
		r = p->ops->settled(p);
		if (r > 0)
			return 0;
		fail(c);
		return r < 0 ? -1 : 1;
	case STEP_FREEZE:
		c->froze_at = p->ops->now_ns(p);
		return g->ops->freeze(g, generation) ? gate_fail(c) : 0;
	case STEP_BEGIN:
		return begin_epoch(c, e, generation, cause);
	case STEP_EARLY:
		recbuf_reset(&c->state);
		if (p->ops->save(p, PLATFORM_EARLY, &c->state))
			return fail(c);
		return 0;
	case STEP_HARVEST:
		return capture_harvest(c);
	case STEP_PAGES:
		return copy_pages(c);
	case STEP_LATE:
		return save_late(c);
	case STEP_FENCE:
		r = g->ops->capture(g, generation, e->captured);
		return r ? gate_fail(c) : 0;
	case STEP_THAW:
		if (g->ops->thaw(g, generation))
			return gate_fail(c);
		c->frozen_ns = p->ops->now_ns(p) - c->froze_at;
		return 0;
	case STEP_NUM:
		break;
	}
	return 0;
}

/* Failures that no retry heals: what the step would take is gone, or may be,
 * unless the host says that it took nothing (INV-14). */
static bool is_lost(enum capture_step step, int err)
{
	return (step == STEP_HARVEST && err != EAGAIN) || step == STEP_PAGES;
}

/* Repeatable: a set that is closed, and a fence that is noted, stay so. */
enum capture_result capture_close(struct capture *c, struct epoch *e,
				  uint64_t generation)
{
	static const enum capture_step steps[] = {
		STEP_FREEZE, STEP_BEGIN, STEP_FENCE, STEP_THAW,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		c->step = steps[i];
		if (c->step == STEP_BEGIN && e->flight == EPOCH_TAKING)
			continue;
		if (!do_step(c, e, generation, 0))
			continue;
		if (c->step != STEP_FENCE || errno != ERANGE)
			return CAPTURE_FAILED;
	}
	c->step = STEP_SETTLE;
	outbox_drop(c->outbox);
	return CAPTURE_WHOLE;
}

enum capture_result capture_run(struct capture *c, struct epoch *e,
				uint64_t generation, uint32_t cause)
{
	int r;

	while (c->step < STEP_NUM) {
		r = do_step(c, e, generation, cause);
		if (r > 0)
			return CAPTURE_UNSETTLED;
		if (r < 0 && c->step == STEP_SETTLE && errno == EXDEV)
			return CAPTURE_CHANGED;
		if (r < 0 && is_lost(c->step, errno))
			return lose(c, e);
		if (r < 0)
			return CAPTURE_FAILED;
		c->step++;
	}
	return whole(c, e);
}
