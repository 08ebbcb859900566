/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_order.h - the order of calls that every gate keeps
 *
 * Pure, and built into programs and into the kernel: a gate asks here first
 * and acts only when the answer is 0.
 *
 *	generation	0 is EINVAL; an older one is ESTALE; a newer one
 *			takes over, and its epochs start anew
 *	shut		idempotent; one that was opened begins anew
 *	freeze, thaw	idempotent, as a restarted controller repeats them
 *	capture		frozen (EAGAIN); epochs only go up (ERANGE)
 *	release		captured (ERANGE), once (EALREADY)
 *	open		ends it: all but open and shut is EPERM for that
 *			generation
 */
#ifndef KEMARI_GATE_ORDER_H
#define KEMARI_GATE_ORDER_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#endif

/** struct gate_order - zero-initialised: no generation seen yet */
struct gate_order {
	uint64_t generation;
	uint64_t captured, released;	/* epochs, 0 none */
	bool frozen;
	bool opened;
	bool fresh;		/* made after a restart: the first release is
				 * believed without its capture */
};

/* Each: 0 and the state moved on, or an error number, negative, and nothing
 * changed. */
int gate_order_shut(struct gate_order *o, uint64_t generation);
int gate_order_freeze(struct gate_order *o, uint64_t generation);
int gate_order_capture(struct gate_order *o, uint64_t generation,
		       uint64_t epoch);
int gate_order_thaw(struct gate_order *o, uint64_t generation);
int gate_order_release(struct gate_order *o, uint64_t generation,
		       uint64_t epoch);
int gate_order_open(struct gate_order *o, uint64_t generation);

#endif
