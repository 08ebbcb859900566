/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_always.h - pages that others write without log-dirty's knowledge
 *
 * shared_info and vcpu_info are written by Xen, the xenstore and console
 * rings by daemons, the rings of disks and network cards by backends, which
 * are frozen when a checkpoint is taken (INV-12).  They are compared with what was harvested last,
 * and what a checkpoint gets of them is the copy taken then, the rings'
 * indices before their data, not the live page: that may change in the pause.
 */
#ifndef KEMARI_XEN_ALWAYS_H
#define KEMARI_XEN_ALWAYS_H

#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/device_rings.h"
#include "libxc-ext/xen_host.h"
#include "libxc-ext/xen_map.h"
#include "hypervisor/public/kemari.h"

/* shared_info, xenstore, console; vcpu_info; rings. */
enum { XEN_ALWAYS_MAX = 3 + KEMARI_MAX_VCPUS + DEVICE_PAGES_MAX };

enum xen_always_kind { XEN_ALWAYS_PLAIN, XEN_ALWAYS_STORE, XEN_ALWAYS_CONSOLE };

struct xen_always;

/** xen_always_new() - Return: an empty set, or NULL with ENOMEM */
struct xen_always *xen_always_new(void);
void xen_always_free(struct xen_always *a);

/**
 * xen_always_add() - Add frame @gfn; again is fine
 * Return: 0, or -1: ENOMEM, E2BIG
 */
int xen_always_add(struct xen_always *a, uint64_t gfn,
		   enum xen_always_kind kind);

/** xen_always_count() - Frames in the set */
size_t xen_always_count(const struct xen_always *a);

/**
 * xen_always_harvest() - Copy those that changed, and list them
 * @gfn:	Frames that are dirty already, @n of them; those that changed
 *		and are not among them are appended
 * @n:		In and out; there must be room for xen_always_count() more
 */
void xen_always_harvest(struct xen_always *a, const struct xen_map *m,
			uint64_t *gfn, size_t *n);

/** xen_always_page() - Its last harvested copy; NULL: not in the set, or not
 * yet harvested */
const void *xen_always_page(const struct xen_always *a, uint64_t gfn);

#endif
