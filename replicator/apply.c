// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply.c - committed checkpoints -> the standby's memory
 *
 * Order is what makes it restartable: all stores of a checkpoint, then its slot
 * is free; the older checkpoint whole before the newer (INV-18).
 */
#include "replicator/apply.h"

#include <errno.h>
#include <string.h>

static int apply_pages(struct apply *a, struct staging *st,
		       const struct staging_slot *slot, struct platform *p,
		       uint64_t end)
{
	const uint8_t *bytes = staging_pages(st, slot);
	const uint64_t *gfns = staging_gfns(st, slot);
	void *to;

	for (; a->next < end; a->next++) {
		to = p->ops->page_rw(p, gfns[a->next] & ~STAGING_ZERO);
		if (!to) {
			errno = EFAULT;
			return -1;
		}
		if (gfns[a->next] & STAGING_ZERO)
			memset(to, 0, WIRE_PAGE);
		else
			memcpy(to, bytes + a->stored++ * WIRE_PAGE, WIRE_PAGE);
	}
	return 0;
}

int apply_some(struct apply *a, struct staging *st, struct platform *p,
	       size_t pages)
{
	struct staging_slot *slot;
	uint64_t left;

	while ((slot = staging_pending(st))) {
		if (a->epoch != slot->epoch || a->copy != slot->copy) {
			a->epoch = slot->epoch;
			a->copy = slot->copy;
			a->next = a->stored = 0;
			a->began_ns = p->ops->now_ns(p);
		}
		left = slot->pages - a->next;
		if (left > pages)
			return apply_pages(a, st, slot, p, a->next + pages) ?
			       -1 : 1;
		if (apply_pages(a, st, slot, p, slot->pages))
			return -1;
		pages -= left;
		staging_done(st, slot);
		a->epoch = 0;
		a->last_ns = p->ops->now_ns(p) - a->began_ns;
	}
	return 0;
}
