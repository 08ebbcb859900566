// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate_none.c - the gate of a domain that has no ring behind a fence
 *
 * Nothing to freeze and nothing to hold, but the order of calls is kept, so
 * that an engine that works here makes no mistake elsewhere.  It lives in the
 * controller: one made after a restart believes the first release.
 */
#include "backends/gate.h"
#include "backends/gate_order.h"

#include <errno.h>
#include <stdlib.h>

struct none {
	struct gate base;
	struct gate_order order;
};

static struct gate_order *order_of(struct gate *g)
{
	return &((struct none *)g)->order;
}

static int none_shut(struct gate *g, uint64_t generation)
{
	return gate_answer(gate_order_shut(order_of(g), generation));
}

static int none_freeze(struct gate *g, uint64_t generation)
{
	return gate_answer(gate_order_freeze(order_of(g), generation));
}

static int none_capture(struct gate *g, uint64_t generation, uint64_t epoch)
{
	return gate_answer(gate_order_capture(order_of(g), generation, epoch));
}

static int none_thaw(struct gate *g, uint64_t generation)
{
	return gate_answer(gate_order_thaw(order_of(g), generation));
}

static int none_release(struct gate *g, uint64_t generation, uint64_t epoch)
{
	return gate_answer(gate_order_release(order_of(g), generation, epoch));
}

static int none_open(struct gate *g, uint64_t generation)
{
	return gate_answer(gate_order_open(order_of(g), generation));
}

static int none_covers(struct gate *g, uint32_t port)
{
	(void)g;
	(void)port;
	return 0;
}

static int none_beyond(struct gate *g, uint64_t generation, uint32_t port)
{
	(void)g;
	(void)generation;
	(void)port;
	errno = ENOENT;
	return -1;
}

static int none_event_fd(struct gate *g)
{
	(void)g;
	return -1;
}

static int none_waiting(struct gate *g)
{
	(void)g;
	return 0;
}

static void none_close(struct gate *g)
{
	free(g);
}

static const struct gate_ops none_ops = {
	.name = "none",
	.shut = none_shut,
	.freeze = none_freeze,
	.capture = none_capture,
	.thaw = none_thaw,
	.release = none_release,
	.open = none_open,
	.covers = none_covers,
	.beyond = none_beyond,
	.event_fd = none_event_fd,
	.waiting = none_waiting,
	.close = none_close,
};

struct gate *gate_none(void)
{
	struct none *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->base.ops = &none_ops;
	n->order.fresh = true;
	return &n->base;
}
