/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_p2m.h - which guest frames have memory behind them
 */
#ifndef KEMARI_XEN_P2M_H
#define KEMARI_XEN_P2M_H

#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "libxc-ext/xen_host.h"

/* More than any domain has: a table of 64 frames holds 32768 grants. */
enum { XEN_GRANT_FRAMES_MAX = 256 };

/** struct xen_p2m - zero-initialised is empty; freed by xen_p2m_free() */
struct xen_p2m {
	struct gfn_range *range;	/* ascending, disjoint */
	size_t n;
	uint64_t pages;			/* in all of them */
};

/**
 * xen_p2m_scan() - All frames of a domain that hold its memory
 * @shared_info:	Frame of the shared_info page, which Xen reports as a
 *			hole although it is the guest's to read and write
 *
 * RAM, ACPI tables, special pages and shared_info.  Grant frames are not
 * among them: they are Xen's, travel as records, and need not have a frame.
 * Hundreds of hypercalls: not for the pause.
 */
int xen_p2m_scan(struct xen_host *h, uint32_t domid, uint64_t shared_info,
		 struct xen_p2m *out);

void xen_p2m_free(struct xen_p2m *p);

/**
 * xen_p2m_grant_frames() - Where the guest has put its grant table
 * @gfn:	Room for @n; ~0 for one that the guest has not mapped
 * @n:		Number of frames in use, at most XEN_GRANT_FRAMES_MAX
 */
int xen_p2m_grant_frames(struct xen_host *h, uint32_t domid, uint64_t *gfn,
			 uint32_t n);

#endif
