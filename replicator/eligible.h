/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eligible.h - can this guest be protected, and behind which gate?
 *
 * The same for `kemari check`, for a protection that begins and for one whose
 * controller was restarted.  INV-36
 */
#ifndef KEMARI_ELIGIBLE_H
#define KEMARI_ELIGIBLE_H

#include "libxc-ext/platform.h"

#include <stddef.h>
#include <stdint.h>

struct gate;

/**
 * eligible_gate() - The gate that a guest of this host needs
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 *
 * The host's, if it is shut for the guest already or if the guest has rings;
 * else gate_none(), so that a host without the module still protects a guest
 * without disks and network cards.  A guest whose rings cannot be told gets
 * gate_none() too: check() refuses it.
 * Return: closed by ops->close, or NULL with errno
 */
struct gate *eligible_gate(struct platform *p, char *why);

/**
 * eligible_rings() - The guest's rings: is each behind the gate?
 * @out:	Room for PLATFORM_RINGS_MAX; gets all, *@n of them
 * @say:	Called with a sentence for each that is not
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 * Return: how many are not; -1 with errno: EXDEV one cannot be protected
 */
int eligible_rings(struct platform *p, struct gate *g,
		   struct platform_ring *out, size_t *n,
		   void (*say)(void *arg, const char *text), void *arg,
		   char *why);

/**
 * eligible() - Everything that speaks against protecting a guest
 * @g:		NULL: there is none to be had, said by the caller
 * @say:	Called with a sentence for each reason (INV-32)
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 * Return: the number of reasons; -1 with errno if that cannot be found out
 */
int eligible(struct platform *p, struct gate *g,
	     void (*say)(void *arg, const char *text), void *arg, char *why);

#endif
