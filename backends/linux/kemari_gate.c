// SPDX-License-Identifier: GPL-2.0-only
/*
 * kemari_gate.c - the calls on a domain: all of its rings at once
 *
 * The order of calls is gate_order.c's; it is asked first, and the rings are
 * touched only if it agrees (INV-28).
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "backends/linux/kemari_int.h"

enum {
	SETTLE_MS = 2000,	/* most that SHUT waits for the backends */
	SETTLE_STEP_US = 500,
};

/* --- calls -------------------------------------------------------------- */

static void for_rings(struct kemari_domain *d, void (*f)(struct kemari_ring *))
{
	struct kemari_ring *kr;

	list_for_each_entry(kr, &d->rings, list)
		f(kr);
}

/* Stock rings become gated.  Domain's lock held. */
static int shut_rings(struct kemari_domain *d)
{
	struct kemari_slot *slots;
	struct kemari_ring *kr;

	list_for_each_entry(kr, &d->rings, list) {
		if (!kr_fenced(kr) || kr->gated)
			continue;
		slots = kr_slots(kr);
		if (!slots)
			return -ENOMEM;
		kr_shut(kr, slots);
	}
	return 0;
}

/* Is there a fence in each ring?  Domain's lock held. */
static bool settled(struct kemari_domain *d, bool kick)
{
	struct kemari_ring *kr;
	bool all = true;

	list_for_each_entry(kr, &d->rings, list) {
		if (!kemari_ring_unsettled(kr))
			continue;
		all = false;
		if (kick)
			kr_kick(kr);
	}
	return all;
}

/* Requests that are being served are answered first. */
static int wait_settled(struct kemari_domain *d)
{
	unsigned long end = jiffies + msecs_to_jiffies(SETTLE_MS);
	bool ok;

	for (;;) {
		mutex_lock(&d->lock);
		ok = settled(d, true);
		mutex_unlock(&d->lock);
		if (ok)
			return 0;
		if (time_after(jiffies, end))
			return -EBUSY;
		if (fatal_signal_pending(current))
			return -EINTR;
		usleep_range(SETTLE_STEP_US, 2 * SETTLE_STEP_US);
	}
}

/* The gate's UUID and generation, at SHUT and ATTACH.  Domain's lock held. */
static int claim(struct kemari_domain *d, const struct kemari_gate_call *c)
{
	u64 before = d->order.generation;
	int r;

	if (memcmp(d->uuid, c->uuid, 16)) {
		if (d->shut)
			return -ESTALE;
		memcpy(d->uuid, c->uuid, 16);
		memset(&d->order, 0, sizeof(d->order));
	}
	if (!d->shut)
		d->order.frozen = false;
	r = gate_order_shut(&d->order, c->generation);
	if (!r && d->order.generation != before)
		for_rings(d, kr_forget);
	return r;
}

/* Domain's lock held. */
static int shut(struct kemari_domain *d, const struct kemari_gate_call *c)
{
	int r = claim(d, c);

	if (r)
		return r;
	r = shut_rings(d);
	if (r && !d->shut)
		for_rings(d, kr_open);
	return r;
}

int kemari_shut(const struct kemari_gate_call *c)
{
	struct kemari_domain *d;
	u8 uuid[16];
	int r = kemari_uuid_of(c->domid, uuid);

	if (r)
		return r == -ENOENT ? -ENODEV : r;
	if (memcmp(uuid, c->uuid, 16))
		return -ESTALE;
	d = kemari_domain_make(c->domid);
	if (!d)
		return -ENOMEM;
	mutex_lock(&d->lock);
	r = shut(d, c);
	if (!r && !d->shut) {
		d->shut = true;
		kemari_domain_hold(d);
	}
	mutex_unlock(&d->lock);
	if (!r)
		r = wait_settled(d);
	kemari_domain_put(d);
	return r;
}

int kemari_attach(const struct kemari_gate_call *c)
{
	struct kemari_domain *d = kemari_domain_get(c->domid);
	int r = -ENODEV;

	if (!d)
		return -ENODEV;
	mutex_lock(&d->lock);
	if (d->shut)
		r = claim(d, c);
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return r;
}

static int next_order(struct gate_order *o, unsigned int cmd,
		      const struct kemari_gate_call *c)
{
	switch (cmd) {
	case KEMARI_GATE_FREEZE:
		return gate_order_freeze(o, c->generation);
	case KEMARI_GATE_CAPTURE:
		return gate_order_capture(o, c->generation, c->epoch);
	case KEMARI_GATE_THAW:
		return gate_order_thaw(o, c->generation);
	case KEMARI_GATE_RELEASE:
		return gate_order_release(o, c->generation, c->epoch);
	case KEMARI_GATE_OPEN:
		return gate_order_open(o, c->generation);
	case KEMARI_GATE_BEYOND:
		return gate_order_shut(o, c->generation);
	default:
		return -ENOTTY;
	}
}

static void freeze(struct kemari_domain *d)
{
	for_rings(d, kr_freeze);
	d->freezes++;
	d->frozen_since = ktime_get_ns();
}

static void thaw(struct kemari_domain *d)
{
	for_rings(d, kr_thaw);
	d->frozen_ns += ktime_get_ns() - d->frozen_since;
}

/* Does a ring of the port have requests behind its fence? */
static int port_beyond(struct kemari_domain *d, u32 port)
{
	struct kemari_ring *kr;
	int r = -ENOENT;

	list_for_each_entry(kr, &d->rings, list) {
		if (kr->desc.port != port)
			continue;
		if (kr_beyond(kr))
			return 1;
		r = 0;
	}
	if (!r)
		atomic64_inc(&d->spared);
	return r;
}

/* What @cmd means to the rings.  Domain's lock held. */
static int act(struct kemari_domain *d, unsigned int cmd,
	       const struct kemari_gate_call *c, bool was_frozen)
{
	struct kemari_ring *kr;

	switch (cmd) {
	case KEMARI_GATE_FREEZE:
		if (!was_frozen)
			freeze(d);
		break;
	case KEMARI_GATE_CAPTURE:
		list_for_each_entry(kr, &d->rings, list)
			kr_capture(kr, c->epoch);
		break;
	case KEMARI_GATE_THAW:
		if (was_frozen)
			thaw(d);
		break;
	case KEMARI_GATE_RELEASE:
		list_for_each_entry(kr, &d->rings, list)
			kr_release(kr, c->epoch);
		break;
	case KEMARI_GATE_OPEN:
		if (was_frozen)
			thaw(d);
		for_rings(d, kr_open);
		kemari_end_gate(d);
		break;
	case KEMARI_GATE_BEYOND:
		return port_beyond(d, c->port);
	}
	return 0;
}

/* Domain's lock held. */
static int call(struct kemari_domain *d, unsigned int cmd,
		const struct kemari_gate_call *c)
{
	struct gate_order next = d->order;
	bool opened = d->order.opened;
	int r;

	if (memcmp(d->uuid, c->uuid, 16))
		return -ESTALE;
	r = next_order(&next, cmd, c);
	if (r)
		return r;
	if (!d->shut)
		return cmd == KEMARI_GATE_OPEN && opened ? 0 : -ENODEV;
	if (cmd == KEMARI_GATE_FREEZE && !settled(d, false))
		return -EBUSY;
	/* What an older generation captured is not this one's to release. */
	if (next.generation != d->order.generation)
		for_rings(d, kr_forget);
	swap(d->order, next);
	return act(d, cmd, c, next.frozen);
}

int kemari_call(struct kemari_domain *d, unsigned int cmd,
		const struct kemari_gate_call *c)
{
	bool was_shut, ended;
	int r;

	mutex_lock(&d->lock);
	was_shut = d->shut;
	r = call(d, cmd, c);
	ended = was_shut && !d->shut;
	mutex_unlock(&d->lock);
	if (ended)
		kemari_domain_put(d);
	return r;
}

/* --- looking ------------------------------------------------------------ */

/* Rings with requests behind their fence.  Domain's lock held. */
static u32 waiting(struct kemari_domain *d)
{
	struct kemari_ring *kr;
	u32 n = 0;

	list_for_each_entry(kr, &d->rings, list)
		n += kr_beyond(kr);
	return n;
}

bool kemari_waits(struct kemari_domain *d)
{
	bool yes;

	mutex_lock(&d->lock);
	yes = waiting(d);
	mutex_unlock(&d->lock);
	return yes;
}

static void fill(struct kemari_domain *d, struct kemari_gate_query *q)
{
	q->rings = d->n;
	memcpy(q->uuid, d->uuid, 16);
	q->generation = d->order.generation;
	q->captured = d->order.captured;
	q->released = d->order.released;
	q->frozen = d->order.frozen;
	q->waiting = waiting(d);
	q->fenced = atomic64_read(&d->met);
	q->queued = atomic64_read(&d->queued);
	q->spared = atomic64_read(&d->spared);
	q->freezes = d->freezes;
	q->frozen_ns = d->frozen_ns;
	if (d->order.frozen)
		q->frozen_ns += ktime_get_ns() - d->frozen_since;
}

int kemari_query(struct kemari_gate_query *q)
{
	struct kemari_domain *d = kemari_domain_get(q->domid);
	int r = -ENODEV;

	if (!d)
		return -ENODEV;
	mutex_lock(&d->lock);
	if (d->shut) {
		fill(d, q);
		r = 0;
	}
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return r;
}

int kemari_rings(u32 domid, struct kemari_gate_ring *out, u32 room, u32 *n)
{
	struct kemari_domain *d = kemari_domain_get(domid);
	struct kemari_ring *kr;
	u32 i = 0;

	*n = 0;
	if (!d)
		return 0;
	mutex_lock(&d->lock);
	*n = d->n;
	list_for_each_entry(kr, &d->rings, list) {
		if (i == room)
			break;
		kr_describe(kr, &out[i++]);
	}
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return *n > room ? -E2BIG : 0;
}
