// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate_sim.c - the gate of a simulated guest's disk ring
 *
 * The fence and the order of calls belong to the domain; what is here is a
 * controller's handle on them.
 */
#include "backends/gate_sim.h"
#include "libxc-ext/sim_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct gate_sim {
	struct gate base;
	struct sim_world *world;
	struct sim_domain *domain;
	uint64_t serial;
};

static struct sim_fence *fence_of(struct gate *g)
{
	struct gate_sim *s = (struct gate_sim *)g;

	if (!s->world->host[s->domain->host].on) {
		errno = EIO;
		return NULL;
	}
	if (s->domain->life != SIM_LIVE || s->domain->serial != s->serial) {
		errno = ESRCH;
		return NULL;
	}
	return &s->domain->gate;
}

static uint64_t req_prod(const struct gate *g)
{
	const struct gate_sim *s = (const struct gate_sim *)g;
	const struct sim_disk *k = sim_special(s->domain, SIM_DISK);

	return k->req_prod;
}

/* Forget the @n oldest fences-to-be. */
static void forget(struct sim_fence *f, uint32_t n)
{
	f->marks -= n;
	memmove(f->mark, f->mark + n, f->marks * sizeof(f->mark[0]));
	memmove(f->mark_epoch, f->mark_epoch + n,
		f->marks * sizeof(f->mark_epoch[0]));
}

static int gate_sim_shut(struct gate *g, uint64_t generation)
{
	struct sim_fence *f = fence_of(g);

	if (!f || gate_answer(gate_order_shut(&f->order, generation)))
		return -1;
	if (f->closed)
		return 0;
	f->closed = true;
	f->fence = req_prod(g);
	f->marks = 0;
	return 0;
}

static int gate_sim_freeze(struct gate *g, uint64_t generation)
{
	struct sim_fence *f = fence_of(g);

	return f ? gate_answer(gate_order_freeze(&f->order, generation)) : -1;
}

static int gate_sim_capture(struct gate *g, uint64_t generation,
			    uint64_t epoch)
{
	struct sim_fence *f = fence_of(g);

	if (!f ||
	    gate_answer(gate_order_capture(&f->order, generation, epoch)))
		return -1;
	/* What an older generation captured is not this one's to release. */
	if (f->marks_of != generation)
		f->marks = 0;
	f->marks_of = generation;
	/* Without its mark an epoch's release moves the fence less far. */
	if (f->marks == SIM_FENCES)
		forget(f, 1);
	f->mark[f->marks] = req_prod(g);
	f->mark_epoch[f->marks++] = epoch;
	return 0;
}

static int gate_sim_thaw(struct gate *g, uint64_t generation)
{
	struct sim_fence *f = fence_of(g);

	return f ? gate_answer(gate_order_thaw(&f->order, generation)) : -1;
}

static int gate_sim_release(struct gate *g, uint64_t generation,
			    uint64_t epoch)
{
	struct sim_fence *f = fence_of(g);

	if (!f ||
	    gate_answer(gate_order_release(&f->order, generation, epoch)))
		return -1;
	while (f->marks && f->mark_epoch[0] <= epoch) {
		f->fence = f->mark[0];
		forget(f, 1);
	}
	return 0;
}

static int gate_sim_open_fence(struct gate *g, uint64_t generation)
{
	struct sim_fence *f = fence_of(g);

	if (!f || gate_answer(gate_order_open(&f->order, generation)))
		return -1;
	f->closed = false;
	f->marks = 0;
	return 0;
}

static int gate_sim_covers(struct gate *g, uint32_t port)
{
	return fence_of(g) ? port == SIM_PORT_DISK : -1;
}

static int gate_sim_beyond(struct gate *g, uint64_t generation, uint32_t port)
{
	const struct sim_fence *f = fence_of(g);

	if (!f)
		return -1;
	errno = generation < f->order.generation ? ESTALE : ENOENT;
	if (errno == ESTALE || port != SIM_PORT_DISK)
		return -1;
	return f->closed && req_prod(g) > f->fence;
}

static int gate_sim_event_fd(struct gate *g)
{
	struct sim_fence *f = fence_of(g);

	if (!f)
		return -1;
	f->watched = true;
	return ((struct gate_sim *)g)->domain->gate_fd;
}

static int gate_sim_waiting(struct gate *g)
{
	return fence_of(g) ? sim_met(((struct gate_sim *)g)->domain) : -1;
}

static void gate_sim_close(struct gate *g)
{
	free(g);
}

static const struct gate_ops gate_sim_ops = {
	.name = "sim",
	.shut = gate_sim_shut,
	.freeze = gate_sim_freeze,
	.capture = gate_sim_capture,
	.thaw = gate_sim_thaw,
	.release = gate_sim_release,
	.open = gate_sim_open_fence,
	.covers = gate_sim_covers,
	.beyond = gate_sim_beyond,
	.event_fd = gate_sim_event_fd,
	.waiting = gate_sim_waiting,
	.close = gate_sim_close,
};

struct gate *gate_sim_open(struct sim_world *w, unsigned int host,
			   uint32_t domid)
{
	struct sim_domain *d = sim_domain_at(w, host, domid);
	struct gate_sim *s;

	if (!d) {
		errno = host < w->knobs.hosts && w->host[host].on ? ENOENT :
								    EIO;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->base.ops = &gate_sim_ops;
	s->world = w;
	s->domain = d;
	s->serial = d->serial;
	return &s->base;
}
