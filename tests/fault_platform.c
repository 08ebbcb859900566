// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fault_platform.c - a platform around a platform, whose calls fail by plan
 */
#include "tests/fault_platform.h"
#include "libxc-ext/platform.h"
#include "tests/fault_plan.h"

#include <stdlib.h>
#include <string.h>

struct faulty {
	struct platform base;
	struct platform *next;
	struct fault_plan *plan;
};

static struct platform *next_of(struct platform *p)
{
	return ((struct faulty *)p)->next;
}

static int fail(struct platform *p, const char *op)
{
	const struct fault_plan *plan = ((struct faulty *)p)->plan;

	return platform_fail(p, plan->err, "fault: call %llu, %s",
			     (unsigned long long)plan->calls - 1, op);
}

/* Hand on why the call failed, or fail although it was carried out. */
static int result(struct platform *p, bool due, const char *op, int r)
{
	if (due)
		return fail(p, op);
	memcpy(p->why, next_of(p)->why, sizeof(p->why));
	return r;
}

/*
 * One operation that returns int: @params are its parameters after the
 * platform, @args the same as arguments.
 */
#define OP(op, params, args)						\
static int faulty_##op params						\
{									\
	struct fault_plan *plan = ((struct faulty *)p)->plan;		\
	bool due = fault_due(plan, #op);				\
									\
	if (due && !plan->done)						\
		return fail(p, #op);					\
	return result(p, due, #op, next_of(p)->ops->op args);		\
}

OP(info, (struct platform *p, struct platform_info *out), (next_of(p), out))
OP(query, (struct platform *p, struct platform_query *out), (next_of(p), out))
OP(ranges,
   (struct platform *p, struct gfn_range *out, size_t *n),
   (next_of(p), out, n))
OP(check,
   (struct platform *p, const char **reasons, size_t *n),
   (next_of(p), reasons, n))
OP(rings,
   (struct platform *p, struct platform_ring *out, size_t *n),
   (next_of(p), out, n))
OP(describe, (struct platform *p, struct recbuf *out), (next_of(p), out))
OP(enable,
   (struct platform *p, uint64_t generation, enum platform_mode mode,
    uint64_t dirty_limit),
   (next_of(p), generation, mode, dirty_limit))
OP(disable, (struct platform *p, uint64_t generation), (next_of(p), generation))
OP(track, (struct platform *p), (next_of(p)))
OP(event_fd, (struct platform *p), (next_of(p)))
OP(events, (struct platform *p), (next_of(p)))
OP(stop, (struct platform *p), (next_of(p)))
OP(held, (struct platform *p, uint32_t *port, size_t *n),
   (next_of(p), port, n))
OP(deliver, (struct platform *p, uint64_t generation, uint32_t port),
   (next_of(p), generation, port))
OP(go, (struct platform *p), (next_of(p)))
OP(settled, (struct platform *p), (next_of(p)))
OP(begin,
   (struct platform *p, uint64_t generation, uint64_t epoch,
    bool merge),
   (next_of(p), generation, epoch, merge))
OP(harvest,
   (struct platform *p, uint64_t *gfn, size_t cap, size_t *n),
   (next_of(p), gfn, cap, n))
OP(save,
   (struct platform *p, enum platform_phase phase,
    struct recbuf *out),
   (next_of(p), phase, out))
OP(guest_time, (struct platform *p, uint64_t *ns), (next_of(p), ns))
OP(release,
   (struct platform *p, uint64_t generation, uint64_t epoch),
   (next_of(p), generation, epoch))
OP(drained, (struct platform *p), (next_of(p)))
OP(build,
   (struct platform *p, uint64_t generation, const void *records,
    size_t len),
   (next_of(p), generation, records, len))
OP(attach,
   (struct platform *p, const void *records, size_t len),
   (next_of(p), records, len))
OP(verify,
   (struct platform *p, const void *records, size_t len),
   (next_of(p), records, len))
OP(rehearse,
   (struct platform *p, const void *records, size_t len),
   (next_of(p), records, len))
OP(load,
   (struct platform *p, const void *records, size_t len,
    uint64_t guest_time),
   (next_of(p), records, len, guest_time))
OP(activate,
   (struct platform *p, uint64_t generation, uint64_t new_generation),
   (next_of(p), generation, new_generation))
OP(served, (struct platform *p), (next_of(p)))
OP(destroy, (struct platform *p), (next_of(p)))

static uint64_t faulty_now_ns(struct platform *p)
{
	return next_of(p)->ops->now_ns(next_of(p));
}

static bool page_due(struct platform *p, const char *op)
{
	struct fault_plan *plan = ((struct faulty *)p)->plan;

	return plan->pages && fault_due(plan, op);
}

static const void *faulty_page(struct platform *p, uint64_t gfn)
{
	if (page_due(p, "page")) {
		(void)fail(p, "page");
		return NULL;
	}
	return next_of(p)->ops->page(next_of(p), gfn);
}

static void *faulty_page_rw(struct platform *p, uint64_t gfn)
{
	if (page_due(p, "page_rw")) {
		(void)fail(p, "page_rw");
		return NULL;
	}
	return next_of(p)->ops->page_rw(next_of(p), gfn);
}

static void faulty_close(struct platform *p)
{
	next_of(p)->ops->close(next_of(p));
	free(p);
}

static const struct platform_ops faulty_ops = {
	.name = "faulty",
	.info = faulty_info,
	.query = faulty_query,
	.now_ns = faulty_now_ns,
	.ranges = faulty_ranges,
	.close = faulty_close,
	.check = faulty_check,
	.rings = faulty_rings,
	.describe = faulty_describe,
	.enable = faulty_enable,
	.disable = faulty_disable,
	.track = faulty_track,
	.event_fd = faulty_event_fd,
	.events = faulty_events,
	.stop = faulty_stop,
	.held = faulty_held,
	.deliver = faulty_deliver,
	.go = faulty_go,
	.settled = faulty_settled,
	.begin = faulty_begin,
	.harvest = faulty_harvest,
	.page = faulty_page,
	.save = faulty_save,
	.guest_time = faulty_guest_time,
	.release = faulty_release,
	.drained = faulty_drained,
	.build = faulty_build,
	.attach = faulty_attach,
	.page_rw = faulty_page_rw,
	.verify = faulty_verify,
	.rehearse = faulty_rehearse,
	.load = faulty_load,
	.activate = faulty_activate,
	.served = faulty_served,
	.destroy = faulty_destroy,
};

struct platform *fault_platform(struct platform *next,
				struct fault_plan *plan)
{
	struct faulty *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base.ops = &faulty_ops;
	f->next = next;
	f->plan = plan;
	return &f->base;
}
