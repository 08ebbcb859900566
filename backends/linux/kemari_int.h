/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari_int.h - between the files of kemari-gate.ko
 *
 *	kemari_ring.c		one ring: order, fence, freeze; knows no domain's state
 *	kemari_registry.c	domains, and the rings that register with them
 *	kemari_gate.c		the calls on a domain: all of its rings at once
 *	kemari_dev.c		/dev/kemari-gate
 */
#ifndef KEMARI_INT_H
#define KEMARI_INT_H

#include <linux/atomic.h>
#include <linux/wait.h>

#include "backends/gate_order.h"
#include "backends/kemari-gate.h"
#include "backends/linux/kemari_ring.h"

/**
 * struct kemari_domain - what the gate knows of a domain
 *
 * It exists while a ring, a file or a shut gate refers to it.
 */
struct kemari_domain {
	struct list_head list;	/* of all of them; registry lock */
	u32 refs;		/* registry lock */
	u32 domid;

	struct mutex lock;	/* all that follows but the counters */
	struct list_head rings;
	u32 n;
	bool shut;
	u8 uuid[16];		/* of shut, or of the last time it was */
	struct gate_order order;
	u64 freezes, frozen_ns, frozen_since;

	wait_queue_head_t wait;	/* met, and the end of the gate */
	atomic64_t met;		/* times a backend met the fence */
	atomic64_t queued;	/* responses that had to wait */
	atomic64_t spared;	/* BEYOND answered no */
};

/* --- kemari_ring.c ------------------------------------------------------ */

/* The fenced kinds: a response lock, and slots in order. */
static inline bool kr_fenced(const struct kemari_ring *kr)
{
	return kr->desc.lock;
}

struct kemari_slot *kr_slots(const struct kemari_ring *kr);

/*
 * Each is called with the domain's lock held, by process context.  Those about
 * the fence do nothing to a ring that is not gated.
 *
 * kr_shut	stock to drain; takes over @slots of kr_slots(), frees it when
 *		it is not needed
 * kr_attach	a ring that registers at a shut gate: stock to order at once,
 *		everything in it is behind the fence
 * kr_open	to stock; what was kept is published, as far as it is there
 * kr_freeze	waits for the writer; nothing is written from here on ...
 * kr_thaw	... until here; what was kept is published
 * kr_capture	req_prod is the fence-to-be of @epoch
 * kr_release	the fence moves to that of @epoch
 * kr_forget	no captured epoch is remembered
 * kr_kick	the backend looks at its ring
 */
void kr_shut(struct kemari_ring *kr, struct kemari_slot *slots);
void kr_attach(struct kemari_ring *kr, struct kemari_slot *slots);
void kr_open(struct kemari_ring *kr);
void kr_freeze(struct kemari_ring *kr);
void kr_thaw(struct kemari_ring *kr);
void kr_capture(struct kemari_ring *kr, u64 epoch);
void kr_release(struct kemari_ring *kr, u64 epoch);
void kr_forget(struct kemari_ring *kr);
void kr_kick(struct kemari_ring *kr);

/* Are there requests behind the fence? */
bool kr_beyond(struct kemari_ring *kr);
void kr_describe(struct kemari_ring *kr, struct kemari_gate_ring *out);
/* Back to a ring that was never registered. */
void kr_reset(struct kemari_ring *kr);

/* --- kemari_registry.c -------------------------------------------------- */

int kemari_registry_init(void);
void kemari_registry_exit(void);

/* A reference, or NULL: nothing is known of @domid. */
struct kemari_domain *kemari_domain_get(u32 domid);
/* The same, but made if need be, and NULL is out of memory. */
struct kemari_domain *kemari_domain_make(u32 domid);
void kemari_domain_hold(struct kemari_domain *d);
void kemari_domain_put(struct kemari_domain *d);

/* The gate is gone.  Domain's lock held; the caller puts its reference. */
void kemari_end_gate(struct kemari_domain *d);
/* The UUID that xenstore has for @domid: 0, -ENOENT none, or an error of it. */
int kemari_uuid_of(u32 domid, u8 uuid[16]);

/* --- kemari_gate.c ------------------------------------------------------ */

/* The calls of kemari-gate.h: 0 (BEYOND also 1), or an error number. */
int kemari_shut(const struct kemari_gate_call *c);
int kemari_attach(const struct kemari_gate_call *c);
/* FREEZE, CAPTURE, THAW, RELEASE, OPEN, BEYOND; the caller has a reference. */
int kemari_call(struct kemari_domain *d, unsigned int cmd,
		const struct kemari_gate_call *c);
/* Are there requests behind a fence? */
bool kemari_waits(struct kemari_domain *d);
int kemari_query(struct kemari_gate_query *q);
/* Up to @room rings; *@n is how many there are. */
int kemari_rings(u32 domid, struct kemari_gate_ring *out, u32 room, u32 *n);

#endif
