/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari_ring.h - one ring of a guest, as Kemari's xen-blkback and xen-netback
 * hand it to the gate
 *
 * A fenced ring (blk, net TX) lives in one of three ways:
 *
 *	stock	The driver does what it always did.  kemari_ring_gated() is
 *		false; that is the one branch an unprotected guest pays.
 *	drain	The gate is being shut.  kemari_ring_limit() lets nothing new
 *		be taken; what was taken is answered wherever rsp_prod_pvt is,
 *		as stock does, until kemari_ring_settle() finds the ring empty.
 *	order	Nothing is taken beyond the fence.  Each response goes to the
 *		slot of its own request, in ring order, whole packets at a
 *		time: slots [rsp_prod, req_prod) are the requests that have no
 *		answer, untouched.  Frozen, answers are kept here instead.
 *
 * The changes happen with the driver's response lock held (drain to order in
 * the taker's own context), so a driver that holds it sees a constant
 * kemari_ring_gated().  Written rings (net RX, ctrl) are never fenced: their
 * writer brackets what it does, from the first slot it overwrites to the push.
 *
 * Contexts.  "Taker": the one context that moves req_cons (xenblkd, NAPI
 * poll).  "Lock": the spinlock given at registration, taken with irqs off.
 */
#ifndef KEMARI_RING_H
#define KEMARI_RING_H

#include <linux/compiler.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/list.h>
#include <xen/interface/io/ring.h>

/* What the rings of all protocols have in common; as blkif_common does it. */
struct kemari_any {
	char dummy;
};
DEFINE_RING_TYPES(kemari, struct kemari_any, struct kemari_any);

enum {
	KEMARI_RSP_BYTES = 16,	/* most of one response */
	KEMARI_RING_MARKS = 8,	/* captured epochs that are not released */
};

struct kemari_domain;
struct kemari_ring;
struct kemari_slot;

/** struct kemari_ring_desc - what the driver says of a ring as it connects */
struct kemari_ring_desc {
	u32 domid;
	u32 kind;		/* KEMARI_GATE_BLK, ... of kemari-gate.h */
	u32 device, queue;
	u32 port;		/* the guest's event channel */
	void *back;		/* its struct ..._back_ring */
	u32 stride;		/* bytes between two slots of the ring */
	u32 rsp_bytes;		/* of a response, up to KEMARI_RSP_BYTES */
	spinlock_t *lock;	/* the driver's response lock; NULL: written */

	/*
	 * Look at the ring again: take, settle, final check.  Process
	 * context, no spinlock held, must not wait for the ring.
	 */
	void (*kick)(struct kemari_ring *kr);

	/* Grants that stay mapped between requests; any context, no lock.
	 * NULL: none ever. */
	u32 (*persistent)(struct kemari_ring *kr);
};

/**
 * struct kemari_ring - embedded in the driver's ring; zeroed, it is stock
 *
 * The driver sets irq, before or after it registers, and touches nothing else.
 */
struct kemari_ring {
	unsigned int irq;	/* what notifies the guest; 0 not bound yet */

	/* private; gated and below change with the lock held */
	bool gated;		/* drain or order */
	bool settled;		/* order */
	bool frozen;		/* and under the writer's mutex */
	bool broken;		/* req_prod is impossible: nothing is read */
	bool unordered;		/* unsafe_no_order, as the gate was shut */
	bool kicked;		/* the next wake-up is ours */
	bool skipped;		/* something was left undone while frozen */
	u32 fence;
	u32 seen;		/* req_prod, when it was last looked at */
	u32 told;		/* ... and when the gate was told of it */
	u32 queued;		/* answers kept here */
	u32 marks;
	struct {
		u64 epoch;
		u32 fence;
	} mark[KEMARI_RING_MARKS];
	struct kemari_slot *slot;	/* one for each of the ring's; gated */

	struct kemari_ring_desc desc;
	struct kemari_domain *domain;	/* while registered */
	struct list_head list;		/* of the domain */
	struct mutex writer;
};

/** kemari_ring_init() - Before any other call, once in @kr's life */
void kemari_ring_init(struct kemari_ring *kr);

/**
 * kemari_ring_register() - A ring is connected
 * @kr:		initialised, not registered
 * @desc:	copied; the back ring and the lock live until unregister
 *
 * Before the taker and the writer start.  If the domain's gate is shut nothing
 * that is in the ring now is taken before it is released.  Process context.
 *
 * Return: 0, -ENOMEM, -EINVAL @desc is not possible, -E2BIG too many rings
 */
int kemari_ring_register(struct kemari_ring *kr,
			 const struct kemari_ring_desc *desc);

/**
 * kemari_ring_unregister() - A ring is about to go; not registered: nothing
 *
 * After the taker and the writer stopped and all that was taken is answered,
 * before the ring is unmapped.  Answers that are kept here are lost.
 * Afterwards no kick() comes any more.  Process context.
 */
void kemari_ring_unregister(struct kemari_ring *kr);

/** kemari_ring_gated() - Not stock?  Constant while the lock is held */
static inline bool kemari_ring_gated(const struct kemari_ring *kr)
{
	return unlikely(READ_ONCE(kr->gated));
}

u32 __kemari_ring_limit(struct kemari_ring *kr, u32 req_prod);

/**
 * kemari_ring_limit() - How far may be taken: use it for each sring->req_prod
 * @req_prod:	as it was just read from the shared page, hostile
 *
 * Any context, lock not held.  What the gate allows lies between req_cons and
 * @req_prod; a ring whose req_prod is impossible ends at req_cons.
 *
 * Return: the index to be used for @req_prod
 */
static inline u32 kemari_ring_limit(struct kemari_ring *kr, u32 req_prod)
{
	return kemari_ring_gated(kr) ? __kemari_ring_limit(kr, req_prod) :
				       req_prod;
}

/**
 * kemari_ring_final_check_at() - RING_FINAL_CHECK_FOR_REQUESTS of a gated ring
 * @at:		how far the driver looked: req_cons, or the limit if what is
 *		there is no whole packet yet
 *
 * Arms req_event beyond all that is visible, so that the next push raises an
 * event, and tells the gate of requests behind the fence.  Frozen, it leaves
 * the page alone and lets the thaw kick.  Taker, lock not held.
 *
 * Return: is there more than @at to take now?
 */
bool kemari_ring_final_check_at(struct kemari_ring *kr, u32 at);

/** kemari_ring_final_check() - The same where each request is a packet */
bool kemari_ring_final_check(struct kemari_ring *kr);

bool __kemari_ring_awaited(struct kemari_ring *kr);

/**
 * kemari_ring_awaited() - Was this wake-up ours, or do requests wait here?
 *
 * Then its event must not be ended as XEN_EOI_FLAG_SPURIOUS: Linux would hold
 * back the next ones.  Any context, lock not held.
 */
static inline bool kemari_ring_awaited(struct kemari_ring *kr)
{
	return unlikely(READ_ONCE(kr->gated) || READ_ONCE(kr->kicked)) &&
	       __kemari_ring_awaited(kr);
}

/** kemari_ring_unsettled() - Drain?  Then the taker calls settle */
static inline bool kemari_ring_unsettled(const struct kemari_ring *kr)
{
	return kemari_ring_gated(kr) && !READ_ONCE(kr->settled);
}

/**
 * kemari_ring_settle() - From drain to order, if all that was taken is answered
 *
 * Taker, lock not held, no persistent grant mapped, with no request between
 * its ring slot and the driver's own structures: req_cons is the truth.
 *
 * Return: true: from now on there is a fence; look at the ring again
 */
bool kemari_ring_settle(struct kemari_ring *kr);

/**
 * kemari_ring_ordered() - Order?  True only for the taker: it makes it so
 *
 * Not so with unsafe_no_order, where the driver is to do what stock does.
 */
static inline bool kemari_ring_ordered(const struct kemari_ring *kr)
{
	return kemari_ring_gated(kr) && READ_ONCE(kr->settled) &&
	       !kr->unordered;
}

/**
 * kemari_ring_packet() - Slots [@idx, @idx + @slots) belong together
 *
 * None of them is answered before this call, and req_cons is beyond them
 * before the first is: they are published at once.  A slot that no call speaks
 * of is a packet of its own.  Stock, drain: does nothing.  Taker, lock not
 * held.
 */
void kemari_ring_packet(struct kemari_ring *kr, u32 idx, u32 slots);

/**
 * kemari_ring_answer() - The response to the request at index @idx
 * @rsp:	desc.rsp_bytes of it
 *
 * For a gated ring only; the driver does not touch rsp_prod_pvt nor the shared
 * page then.  Each request is answered once, extra slots too.  Lock held.
 *
 * Return: true: notify the guest, once the lock is dropped
 */
bool kemari_ring_answer(struct kemari_ring *kr, u32 idx, const void *rsp);

/**
 * kemari_ring_write_begin() - May the writer of this ring go on now?
 *
 * Registered or not; process context; may sleep.  False: the ring is frozen,
 * the thaw kicks.  True: no freeze ends before kemari_ring_write_end().
 */
bool kemari_ring_write_begin(struct kemari_ring *kr);
void kemari_ring_write_end(struct kemari_ring *kr);

bool __kemari_ring_frozen(struct kemari_ring *kr);

/**
 * kemari_ring_frozen() - Is this written ring frozen?  Then the thaw kicks
 *
 * For a writer that looks whether there is something to do.  Any context.
 */
static inline bool kemari_ring_frozen(struct kemari_ring *kr)
{
	return unlikely(READ_ONCE(kr->frozen)) && __kemari_ring_frozen(kr);
}

#endif
