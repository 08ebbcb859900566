// SPDX-License-Identifier: GPL-2.0-only
/*
 * kemari_ring.c - one ring: the order of its responses, fence and freeze
 *
 * DOC: Theory of Operation
 *
 * A frontend finds its unanswered requests where it put them: in the slots
 * [rsp_prod, req_prod).  A backend that answers out of order writes its
 * response over the oldest unanswered request, which a backend that takes the
 * ring over can then neither repeat nor leave alone.  In order mode a response
 * is kept here until all older ones are there, so that these slots are exactly
 * what has to be repeated, and none is answered twice (INV-33).
 *
 * What lies behind the fence was not committed; the backend does not see it
 * (INV-34).  req_event is armed beyond it, so that each later push raises an
 * event that can start a checkpoint; what was pushed before that is told to
 * userland.
 *
 * From freeze to thaw no byte of the page changes (INV-35).
 *
 * The shared page is the guest's: req_prod may say anything at any time.  It
 * is believed when it did not go back and fits the ring; else nothing more is
 * read from this ring (INV-31).
 */
#include <linux/export.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <xen/events.h>

#include "backends/linux/kemari_int.h"

static bool unsafe_no_fence;
module_param(unsafe_no_fence, bool, 0644);
MODULE_PARM_DESC(unsafe_no_fence,
		 "Requests pass the fence: to see that tests notice");

static bool unsafe_no_order;
module_param(unsafe_no_order, bool, 0644);
MODULE_PARM_DESC(unsafe_no_order,
		 "Responses are published as they come, of gates that are shut later: to see that tests notice");

/** struct kemari_slot - the response that will go into one slot of the ring */
struct kemari_slot {
	u8 rsp[KEMARI_RSP_BYTES];
	u16 packet;		/* slots from here on that belong together */
	bool done;
};

/* Is index @a beyond @b?  Indices wrap; they are never half a range apart. */
static bool beyond(u32 a, u32 b)
{
	return (s32)(a - b) > 0;
}

static struct kemari_back_ring *back_of(const struct kemari_ring *kr)
{
	return kr->desc.back;
}

static struct kemari_slot *slot_of(struct kemari_ring *kr, u32 idx)
{
	return &kr->slot[idx & (back_of(kr)->nr_ents - 1)];
}

static u32 prod_of(const struct kemari_ring *kr)
{
	return READ_ONCE(back_of(kr)->sring->req_prod);
}

static bool possible(const struct kemari_ring *kr, u32 prod)
{
	return prod - back_of(kr)->rsp_prod_pvt <= back_of(kr)->nr_ents;
}

/* Look at req_prod.  False: the ring is broken.  Lock held. */
static bool look(struct kemari_ring *kr)
{
	u32 prod = prod_of(kr);

	if (kr->broken)
		return false;
	if (!beyond(kr->seen, prod) && possible(kr, prod)) {
		kr->seen = prod;
		return true;
	}
	kr->broken = true;
	pr_warn("kemari-gate: domain %u, device %u, queue %u: req_prod went from %u to %u; no request of this ring is read any more\n",
		kr->desc.domid, kr->desc.device, kr->desc.queue, kr->seen,
		prod);
	return false;
}

/* Requests up to here may be taken.  Lock held. */
static u32 end_of(struct kemari_ring *kr)
{
	u32 cons = READ_ONCE(back_of(kr)->req_cons);
	u32 end;

	if (!kr->settled || !look(kr))
		return cons;
	end = kr->seen;
	if (beyond(end, kr->fence) && !unsafe_no_fence)
		end = kr->fence;
	return beyond(cons, end) ? cons : end;
}

static void put(struct kemari_ring *kr, u32 idx, const void *rsp)
{
	struct kemari_back_ring *b = back_of(kr);
	u8 *slots = (u8 *)b->sring + offsetof(struct kemari_sring, ring);

	memcpy(slots + (idx & (b->nr_ents - 1)) * kr->desc.stride, rsp,
	       kr->desc.rsp_bytes);
}

static bool push(struct kemari_ring *kr)
{
	bool notify;

	RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(back_of(kr), notify);
	return notify;
}

/* Slots of the packet at @idx, if each of them has its response; or 0. */
static u32 complete_packet(struct kemari_ring *kr, u32 idx)
{
	u32 i, n = 1;

	if (!slot_of(kr, idx)->done)
		return 0;
	if (!kr->unordered)
		n = max_t(u32, slot_of(kr, idx)->packet, 1);
	for (i = 1; i < n; i++) {
		if (!slot_of(kr, idx + i)->done)
			return 0;
	}
	return n;
}

/* Put what is kept at @idx into the next slot. */
static void put_kept(struct kemari_ring *kr, u32 idx)
{
	struct kemari_slot *s = slot_of(kr, idx);

	put(kr, back_of(kr)->rsp_prod_pvt++, s->rsp);
	s->done = false;
	s->packet = 0;
	kr->queued--;
}

/* Publish what is there, in order.  Lock held; true: notify. */
static bool publish(struct kemari_ring *kr)
{
	struct kemari_back_ring *b = back_of(kr);
	u32 before = b->rsp_prod_pvt, n;

	if (kr->frozen)
		return false;
	while (kr->queued) {
		n = complete_packet(kr, b->rsp_prod_pvt);
		if (!n)
			break;
		while (n--)
			put_kept(kr, b->rsp_prod_pvt);
	}
	return b->rsp_prod_pvt != before && push(kr);
}

static void notify_guest(const struct kemari_ring *kr)
{
	if (kr->irq)
		notify_remote_via_irq(kr->irq);
}

/* --- what the drivers call ---------------------------------------------- */

void kemari_ring_init(struct kemari_ring *kr)
{
	memset(kr, 0, sizeof(*kr));
	INIT_LIST_HEAD(&kr->list);
	mutex_init(&kr->writer);
}
EXPORT_SYMBOL_GPL(kemari_ring_init);

u32 __kemari_ring_limit(struct kemari_ring *kr, u32 req_prod)
{
	unsigned long flags;

	spin_lock_irqsave(kr->desc.lock, flags);
	/* Read again: @req_prod may be older than what another context saw. */
	if (kr->gated)
		req_prod = end_of(kr);
	spin_unlock_irqrestore(kr->desc.lock, flags);
	return req_prod;
}
EXPORT_SYMBOL_GPL(__kemari_ring_limit);

/* Requests that no event may have announced wait behind the fence. */
static void tell(struct kemari_ring *kr)
{
	if (!beyond(kr->seen, kr->fence) || kr->told == kr->seen)
		return;
	kr->told = kr->seen;
	atomic64_inc(&kr->domain->met);
	wake_up_interruptible(&kr->domain->wait);
}

/* Lock held. */
static bool final_check(struct kemari_ring *kr, u32 at)
{
	struct kemari_back_ring *b = back_of(kr);
	u32 armed;

	if (!kr->gated)
		return b->sring->req_prod != at;
	if (end_of(kr) != at)
		return true;
	if (!kr->settled || kr->broken)
		return false;
	if (kr->frozen) {
		kr->skipped = true;
		return false;
	}
	do {
		armed = kr->seen;
		WRITE_ONCE(b->sring->req_event, armed + 1);
		virt_mb(); /* the guest sees it before we look again */
	} while (look(kr) && kr->seen != armed);
	if (end_of(kr) != at)
		return true;
	if (!kr->broken)
		tell(kr);
	return false;
}

bool kemari_ring_final_check_at(struct kemari_ring *kr, u32 at)
{
	unsigned long flags;
	bool more;

	spin_lock_irqsave(kr->desc.lock, flags);
	more = final_check(kr, at);
	spin_unlock_irqrestore(kr->desc.lock, flags);
	return more;
}
EXPORT_SYMBOL_GPL(kemari_ring_final_check_at);

bool kemari_ring_final_check(struct kemari_ring *kr)
{
	return kemari_ring_final_check_at(kr, back_of(kr)->req_cons);
}
EXPORT_SYMBOL_GPL(kemari_ring_final_check);

bool __kemari_ring_awaited(struct kemari_ring *kr)
{
	if (READ_ONCE(kr->kicked)) {
		WRITE_ONCE(kr->kicked, false);
		return true;
	}
	return kemari_ring_gated(kr) && prod_of(kr) != back_of(kr)->req_cons;
}
EXPORT_SYMBOL_GPL(__kemari_ring_awaited);

static bool settle(struct kemari_ring *kr)
{
	struct kemari_back_ring *b = back_of(kr);

	if (!kr->gated || kr->settled || b->rsp_prod_pvt != b->req_cons)
		return false;
	kr->seen = b->req_cons;
	look(kr);
	kr->fence = kr->seen;
	kr->told = kr->seen;
	kr->unordered = unsafe_no_order;
	if (kr->unordered || unsafe_no_fence)
		pr_warn("kemari-gate: domain %u is not safe: unsafe_no_fence=%d, unsafe_no_order=%d\n",
			kr->desc.domid, unsafe_no_fence, kr->unordered);
	WRITE_ONCE(kr->settled, true);
	return true;
}

bool kemari_ring_settle(struct kemari_ring *kr)
{
	unsigned long flags;
	bool settled;

	spin_lock_irqsave(kr->desc.lock, flags);
	settled = settle(kr);
	spin_unlock_irqrestore(kr->desc.lock, flags);
	return settled;
}
EXPORT_SYMBOL_GPL(kemari_ring_settle);

void kemari_ring_packet(struct kemari_ring *kr, u32 idx, u32 slots)
{
	unsigned long flags;

	if (!kemari_ring_gated(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	if (kr->gated && kr->settled)
		slot_of(kr, idx)->packet = min(slots, back_of(kr)->nr_ents);
	spin_unlock_irqrestore(kr->desc.lock, flags);
}
EXPORT_SYMBOL_GPL(kemari_ring_packet);

bool kemari_ring_answer(struct kemari_ring *kr, u32 idx, const void *rsp)
{
	struct kemari_back_ring *b = back_of(kr);
	struct kemari_slot *s;

	if (!kr->settled) {
		put(kr, b->rsp_prod_pvt++, rsp);
		return push(kr);
	}
	if (kr->unordered)
		idx = b->rsp_prod_pvt + kr->queued;
	s = slot_of(kr, idx);
	if (WARN_ON_ONCE(idx - b->rsp_prod_pvt >= b->nr_ents || s->done))
		return false;
	memcpy(s->rsp, rsp, kr->desc.rsp_bytes);
	s->done = true;
	kr->queued++;
	if (kr->frozen || idx != b->rsp_prod_pvt)
		atomic64_inc(&kr->domain->queued);
	return publish(kr);
}
EXPORT_SYMBOL_GPL(kemari_ring_answer);

bool kemari_ring_write_begin(struct kemari_ring *kr)
{
	mutex_lock(&kr->writer);
	if (likely(!kr->frozen))
		return true;
	kr->skipped = true;
	mutex_unlock(&kr->writer);
	return false;
}
EXPORT_SYMBOL_GPL(kemari_ring_write_begin);

void kemari_ring_write_end(struct kemari_ring *kr)
{
	mutex_unlock(&kr->writer);
}
EXPORT_SYMBOL_GPL(kemari_ring_write_end);

bool __kemari_ring_frozen(struct kemari_ring *kr)
{
	WRITE_ONCE(kr->skipped, true);
	smp_mb(); /* the thaw sees it, or we see the thaw */
	return READ_ONCE(kr->frozen);
}
EXPORT_SYMBOL_GPL(__kemari_ring_frozen);

/* --- what the gate calls ------------------------------------------------ */

struct kemari_slot *kr_slots(const struct kemari_ring *kr)
{
	return kvcalloc(back_of(kr)->nr_ents, sizeof(struct kemari_slot),
			GFP_KERNEL);
}

void kr_shut(struct kemari_ring *kr, struct kemari_slot *slots)
{
	unsigned long flags;

	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	if (!kr->gated) {
		swap(kr->slot, slots);
		kr->settled = false;
		kr->broken = false;
		kr->marks = 0;
		WRITE_ONCE(kr->gated, true);
	}
	spin_unlock_irqrestore(kr->desc.lock, flags);
	kvfree(slots);
}

void kr_attach(struct kemari_ring *kr, struct kemari_slot *slots)
{
	unsigned long flags;

	kr_shut(kr, slots);
	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	settle(kr);
	kr->fence = back_of(kr)->req_cons;
	kr->told = kr->fence;
	spin_unlock_irqrestore(kr->desc.lock, flags);
}

void kr_open(struct kemari_ring *kr)
{
	struct kemari_slot *slots = NULL;
	struct kemari_back_ring *b;
	unsigned long flags;
	bool notify;
	u32 start, i;

	kr_thaw(kr);
	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	b = back_of(kr);
	start = b->rsp_prod_pvt;
	/* From here on it is as stock has it: any order. */
	for (i = 0; kr->queued && i < b->nr_ents; i++) {
		if (slot_of(kr, start + i)->done)
			put_kept(kr, start + i);
	}
	notify = b->rsp_prod_pvt != start && push(kr);
	swap(kr->slot, slots);
	WRITE_ONCE(kr->gated, false);
	spin_unlock_irqrestore(kr->desc.lock, flags);
	kvfree(slots);
	if (notify)
		notify_guest(kr);
	kr_kick(kr);
}

void kr_freeze(struct kemari_ring *kr)
{
	unsigned long flags;

	mutex_lock(&kr->writer);
	if (kr_fenced(kr)) {
		spin_lock_irqsave(kr->desc.lock, flags);
		kr->frozen = kr->gated;
		spin_unlock_irqrestore(kr->desc.lock, flags);
	} else {
		kr->frozen = true;
	}
	mutex_unlock(&kr->writer);
}

void kr_thaw(struct kemari_ring *kr)
{
	unsigned long flags;
	bool notify = false, kick;

	mutex_lock(&kr->writer);
	if (kr_fenced(kr)) {
		spin_lock_irqsave(kr->desc.lock, flags);
		kr->frozen = false;
		kick = kr->skipped;
		kr->skipped = false;
		notify = kr->gated && publish(kr);
		spin_unlock_irqrestore(kr->desc.lock, flags);
	} else {
		WRITE_ONCE(kr->frozen, false);
		smp_mb(); /* see __kemari_ring_frozen() */
		kick = READ_ONCE(kr->skipped);
		WRITE_ONCE(kr->skipped, false);
	}
	mutex_unlock(&kr->writer);
	if (notify)
		notify_guest(kr);
	if (kick)
		kr_kick(kr);
}

/* Forget the @n oldest fences-to-be. */
static void forget(struct kemari_ring *kr, u32 n)
{
	kr->marks -= n;
	memmove(kr->mark, kr->mark + n, kr->marks * sizeof(kr->mark[0]));
}

void kr_capture(struct kemari_ring *kr, u64 epoch)
{
	unsigned long flags;

	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	if (kr->gated && look(kr)) {
		/* Without its mark an epoch moves the fence less far. */
		if (kr->marks == KEMARI_RING_MARKS)
			forget(kr, 1);
		kr->mark[kr->marks].epoch = epoch;
		kr->mark[kr->marks++].fence = kr->seen;
	}
	spin_unlock_irqrestore(kr->desc.lock, flags);
}

void kr_release(struct kemari_ring *kr, u64 epoch)
{
	unsigned long flags;
	bool kick = false;

	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	while (kr->gated && kr->marks && kr->mark[0].epoch <= epoch) {
		kick |= kr->fence != kr->mark[0].fence;
		kr->fence = kr->mark[0].fence;
		forget(kr, 1);
	}
	/* Who was told of what waits still may have taken it for older. */
	kr->told = kr->fence;
	kick |= kr->settled && look(kr) && beyond(kr->seen, kr->fence);
	spin_unlock_irqrestore(kr->desc.lock, flags);
	if (kick)
		kr_kick(kr);
}

void kr_forget(struct kemari_ring *kr)
{
	unsigned long flags;

	if (!kr_fenced(kr))
		return;
	spin_lock_irqsave(kr->desc.lock, flags);
	kr->marks = 0;
	spin_unlock_irqrestore(kr->desc.lock, flags);
}

void kr_kick(struct kemari_ring *kr)
{
	WRITE_ONCE(kr->kicked, true);
	kr->desc.kick(kr);
}

bool kr_beyond(struct kemari_ring *kr)
{
	unsigned long flags;
	bool yes = false;

	if (!kr_fenced(kr))
		return false;
	spin_lock_irqsave(kr->desc.lock, flags);
	if (kr->gated)
		yes = !kr->settled || (look(kr) && beyond(kr->seen, kr->fence));
	spin_unlock_irqrestore(kr->desc.lock, flags);
	return yes;
}

void kr_describe(struct kemari_ring *kr, struct kemari_gate_ring *out)
{
	struct kemari_back_ring *b = back_of(kr);
	unsigned long flags = 0;

	if (kr_fenced(kr))
		spin_lock_irqsave(kr->desc.lock, flags);
	*out = (struct kemari_gate_ring){
		.kind = kr->desc.kind, .device = kr->desc.device,
		.queue = kr->desc.queue, .port = kr->desc.port,
		.fence = kr->gated ? kr->fence : 0,
		.req_prod = prod_of(kr), .req_cons = READ_ONCE(b->req_cons),
		.rsp_prod = READ_ONCE(b->sring->rsp_prod),
		.queued = kr->queued,
		.flags = (kr->gated ? KEMARI_GATE_F_FENCED : 0) |
			 (kr->frozen ? KEMARI_GATE_F_FROZEN : 0),
	};
	if (kr->broken || (kr_fenced(kr) && !possible(kr, out->req_prod)))
		out->flags |= KEMARI_GATE_F_BROKEN;
	if (kr_fenced(kr))
		spin_unlock_irqrestore(kr->desc.lock, flags);
	if (kr->desc.persistent)
		out->persistent = kr->desc.persistent(kr);
}

void kr_reset(struct kemari_ring *kr)
{
	unsigned int irq = kr->irq;

	kvfree(kr->slot);
	kemari_ring_init(kr);
	kr->irq = irq;
}
