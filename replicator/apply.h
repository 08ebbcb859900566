/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.h - committed checkpoints -> the standby's memory
 *
 * Nothing but stores into memory mapped at protect time: no allocation, no
 * call that can fail.  Killed anywhere and begun again, the result is the
 * same (INV-18).  State records stay in staging until load().
 */
#ifndef KEMARI_APPLY_H
#define KEMARI_APPLY_H

#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "replicator/staging.h"

/** struct apply - where an apply stands; zero-initialised is the start */
struct apply {
	uint64_t epoch;		/* under way; 0 none */
	uint64_t copy;		/* staging_slot.copy of it */
	uint64_t next;		/* index of the next page */
	uint64_t stored;	/* pages with bytes before it */
	uint64_t began_ns;
	uint64_t last_ns;	/* time the last whole one took */
};

/**
 * apply_some() - Apply up to @pages pages of the oldest pending checkpoint
 * @pages:	SIZE_MAX: all that is pending
 * Return: 1 more is pending, 0 all committed checkpoints are applied, -1 with
 *	   EFAULT: a bug: a gfn that passed staging has no memory now
 */
int apply_some(struct apply *a, struct staging *st, struct platform *p,
	       size_t pages);

#endif
