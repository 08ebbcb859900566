// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate_order.c - the order of calls that every gate keeps
 */
#include "backends/gate_order.h"

#include <errno.h>

static int refuse(int err)
{
	errno = err;
	return -1;
}

/*
 * Is the caller of this generation still the one in charge?  *@o becomes the
 * state that the call starts from, which a newer generation begins anew.
 */
static int enter(struct gate_order *o, uint64_t generation)
{
	if (!generation)
		return refuse(EINVAL);
	if (generation < o->generation)
		return refuse(ESTALE);
	if (generation > o->generation) {
		o->generation = generation;
		o->captured = 0;
		o->released = 0;
		o->opened = false;
	}
	return o->opened ? refuse(EPERM) : 0;
}

int gate_order_freeze(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;

	if (enter(&next, generation))
		return -1;
	next.frozen = true;
	*o = next;
	return 0;
}

int gate_order_capture(struct gate_order *o, uint64_t generation,
		       uint64_t epoch)
{
	struct gate_order next = *o;

	if (enter(&next, generation))
		return -1;
	if (!epoch)
		return refuse(EINVAL);
	if (!next.frozen)
		return refuse(EAGAIN);
	if (epoch <= next.captured)
		return refuse(ERANGE);
	next.captured = epoch;
	next.fresh = false;
	*o = next;
	return 0;
}

int gate_order_thaw(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;

	if (enter(&next, generation))
		return -1;
	next.frozen = false;
	*o = next;
	return 0;
}

int gate_order_release(struct gate_order *o, uint64_t generation,
		       uint64_t epoch)
{
	struct gate_order next = *o;

	if (enter(&next, generation))
		return -1;
	if (!epoch)
		return refuse(EINVAL);
	if (next.fresh) {
		next.captured = epoch;
		next.fresh = false;
	}
	if (epoch > next.captured)
		return refuse(ERANGE);
	if (epoch <= next.released)
		return refuse(EALREADY);
	next.released = epoch;
	*o = next;
	return 0;
}

int gate_order_open(struct gate_order *o, uint64_t generation)
{
	struct gate_order next = *o;

	if (enter(&next, generation) && errno != EPERM)
		return -1;
	next.frozen = false;
	next.opened = true;
	*o = next;
	return 0;
}
