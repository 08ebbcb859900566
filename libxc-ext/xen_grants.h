/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_grants.h - the frames of a domain's grant table, mapped as a resource
 *
 * By resource and not by gfn: a frame that the guest has not mapped has none,
 * and yet holds the entries for its xenstore and console pages.
 */
#ifndef KEMARI_XEN_GRANTS_H
#define KEMARI_XEN_GRANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libxc-ext/xen_host.h"

/** struct xen_grants - zero-initialised is nothing mapped */
struct xen_grants {
	uint32_t frames;
	uint8_t *base;			/* frames * PLATFORM_PAGE */
	xenforeignmemory_resource_handle *handle;
};

/**
 * xen_grants_map() - Have at least @frames mapped; grows the table to it
 * @writable:	The same in each call
 */
int xen_grants_map(struct xen_host *h, struct xen_grants *g, uint32_t domid,
		   uint32_t frames, bool writable);

/** xen_grants_unmap() - May be called twice */
void xen_grants_unmap(struct xen_host *h, struct xen_grants *g);

#endif
