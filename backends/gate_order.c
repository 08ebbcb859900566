// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate_order.c - the order of calls that every gate keeps
 */
#include "backends/gate_order.h"

/*
 * Is the caller of this generation still the one in charge?  *@o becomes the
 * state that the call starts from, which a newer generation begins anew.
 */
static int enter(struct gate_order *o, uint64_t generation)
{
	if (!generation)
		return -EINVAL;
	if (generation < o->generation)
		return -ESTALE;
	if (generation > o->generation) {
		o->generation = generation;
		o->captured = 0;
		o->released = 0;
		o->opened = false;
	}
	return o->opened ? -EPERM : 0;
}

int gate_order_shut(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r && r != -EPERM)
		return r;
	if (next.opened) {
		next.captured = 0;
		next.released = 0;
		next.opened = false;
	}
	*o = next;
	return 0;
}

int gate_order_freeze(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r)
		return r;
	next.frozen = true;
	*o = next;
	return 0;
}

int gate_order_capture(struct gate_order *o, uint64_t generation,
		       uint64_t epoch)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r)
		return r;
	if (!epoch)
		return -EINVAL;
	if (!next.frozen)
		return -EAGAIN;
	if (epoch <= next.captured)
		return -ERANGE;
	next.captured = epoch;
	next.fresh = false;
	*o = next;
	return 0;
}

int gate_order_thaw(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r)
		return r;
	next.frozen = false;
	*o = next;
	return 0;
}

int gate_order_release(struct gate_order *o, uint64_t generation,
		       uint64_t epoch)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r)
		return r;
	if (!epoch)
		return -EINVAL;
	if (next.fresh) {
		next.captured = epoch;
		next.fresh = false;
	}
	if (epoch > next.captured)
		return -ERANGE;
	if (epoch <= next.released)
		return -EALREADY;
	next.released = epoch;
	*o = next;
	return 0;
}

int gate_order_open(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;
	int r = enter(&next, generation);

	if (r && r != -EPERM)
		return r;
	next.frozen = false;
	next.opened = true;
	*o = next;
	return 0;
}
