/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device_rings.h - the rings of a guest's disks and network cards
 *
 * Pure: from its xenstore nodes and a copy of its grant table.  Which devices
 * there are is the toolstack's word (NODE_LIBXL); all else, the pages and event
 * channels of their rings, was written by the guest and may be anything.
 * INV-31
 */
#ifndef KEMARI_DEVICE_RINGS_H
#define KEMARI_DEVICE_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/nodes.h"
#include "libxc-ext/platform.h"

enum {
	DEVICE_QUEUES_MAX = 128,	/* of a device: one for each vCPU */
	DEVICE_RING_PAGES_MAX = 16,	/* what XENBUS_MAX_RING_GRANTS says */
	DEVICE_PAGES_MAX = 512,		/* of all rings of a guest */
	DEVICE_PORTS_MAX = 4096,	/* event channels of a guest */
	DEVICE_NAME_MAX = 48,
	DEVICE_WHY_MAX = 200,
};

/** struct device_ring - what one event channel tells of */
struct device_ring {
	char name[PLATFORM_RING_NAME_MAX];
	uint32_t port;			/* the guest's */
	bool output;			/* requests on it are output */
	uint32_t first, pages;		/* in .ref */
};

/** struct device_rings - all of a guest; zero-initialised: none */
struct device_rings {
	struct device_ring ring[PLATFORM_RINGS_MAX];
	uint32_t n;
	uint32_t closing;		/* devices that their driver lets go */
	uint32_t refs;
	uint32_t ref[DEVICE_PAGES_MAX];	/* grant references of ring pages */
};

/**
 * device_name() - "disk xvda (51712)" or "network card 0"
 * @class:	"vbd" or "vif"
 * @id:		Of the device, as in its path
 * @out:	DEVICE_NAME_MAX bytes
 */
void device_name(const char *class, const char *id, char *out);

/**
 * device_rings_read() - Find the rings of all disks and network cards
 * @r:		Overwritten
 * @l:		Nodes of the domain: NODE_DOMAIN and NODE_LIBXL
 * @say:	Called with a sentence for each device that cannot be used
 *
 * A device must be served by domain 0's kernel (backend directory vbd or vif),
 * be connected, have no control ring, and keep the limits above.  A guest that
 * shuts down lets go of all its devices first.
 * Return: 0, or the number of sentences; @r then lacks what they are about
 */
int device_rings_read(struct device_rings *r, const struct nodes *l,
		      void (*say)(void *arg, const char *text), void *arg);

/** device_rings_same() - Are these the same rings, in the same pages? */
bool device_rings_same(const struct device_rings *a,
		       const struct device_rings *b);

/**
 * device_rings_frame() - The frame that the guest grants as @ref
 * @table:	Grant table, version 1, of @frames pages; it may change while
 *		it is read
 * @why:	Gets half a sentence on failure, DEVICE_WHY_MAX bytes
 * Return: 0, or -1 with EPROTO: beyond the table, or no grant of a writable
 *	   page to domain 0
 */
int device_rings_frame(const void *table, size_t frames, uint32_t ref,
		       uint64_t *gfn, char *why);

#endif
