// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fault_gate.c - a gate around a gate, whose calls fail by plan
 */
#include "tests/fault_gate.h"
#include "backends/gate.h"
#include "tests/fault_plan.h"

#include <errno.h>
#include <stdlib.h>

struct faulty {
	struct gate base;
	struct gate *next;
	struct fault_plan *plan;
};

static struct gate *next_of(struct gate *g)
{
	return ((struct faulty *)g)->next;
}

static int fail(const struct fault_plan *plan)
{
	errno = plan->err;
	return -1;
}

/* One operation, as in fault_platform.c. */
#define OP(op, params, args)						\
static int faulty_##op params						\
{									\
	struct fault_plan *plan = ((struct faulty *)g)->plan;		\
	bool due = fault_due(plan, "gate_" #op);			\
	int r;								\
									\
	if (due && !plan->done)						\
		return fail(plan);					\
	r = next_of(g)->ops->op args;					\
	return due ? fail(plan) : r;					\
}

OP(shut, (struct gate *g, uint64_t generation), (next_of(g), generation))
OP(freeze, (struct gate *g, uint64_t generation), (next_of(g), generation))
OP(capture, (struct gate *g, uint64_t generation, uint64_t epoch),
   (next_of(g), generation, epoch))
OP(thaw, (struct gate *g, uint64_t generation), (next_of(g), generation))
OP(release, (struct gate *g, uint64_t generation, uint64_t epoch),
   (next_of(g), generation, epoch))
OP(open, (struct gate *g, uint64_t generation), (next_of(g), generation))
OP(covers, (struct gate *g, uint32_t port), (next_of(g), port))
OP(beyond, (struct gate *g, uint64_t generation, uint32_t port),
   (next_of(g), generation, port))
OP(waiting, (struct gate *g), (next_of(g)))

static int faulty_event_fd(struct gate *g)
{
	return next_of(g)->ops->event_fd(next_of(g));
}

static void faulty_close(struct gate *g)
{
	next_of(g)->ops->close(next_of(g));
	free(g);
}

static const struct gate_ops faulty_ops = {
	.name = "faulty",
	.shut = faulty_shut,
	.freeze = faulty_freeze,
	.capture = faulty_capture,
	.thaw = faulty_thaw,
	.release = faulty_release,
	.open = faulty_open,
	.covers = faulty_covers,
	.beyond = faulty_beyond,
	.event_fd = faulty_event_fd,
	.waiting = faulty_waiting,
	.close = faulty_close,
};

struct gate *fault_gate(struct gate *next, struct fault_plan *plan)
{
	struct faulty *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base.ops = &faulty_ops;
	f->next = next;
	f->plan = plan;
	return &f->base;
}
