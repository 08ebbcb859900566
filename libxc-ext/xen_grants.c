/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_grants.c - the frames of a domain's grant table, mapped as a resource
 */
#include "libxc-ext/xen_grants.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/memory.h>

int xen_grants_map(struct xen_host *h, struct xen_grants *g, uint32_t domid,
		   uint32_t frames, bool writable)
{
	void *at = NULL;

	if (!frames)
		return xen_fail(h, ENODATA, "domain %u has no grant table",
				domid);
	if (g->frames >= frames)
		return 0;
	xen_grants_unmap(h, g);
	g->handle = xenforeignmemory_map_resource(h->fmem, domid,
			XENMEM_resource_grant_table,
			XENMEM_resource_grant_table_id_shared, 0, frames, &at,
			PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED);
	if (!g->handle)
		return xen_fail(h, errno, "domain %u: cannot map %u frames of "
				"its grant table: %s", domid, frames,
				strerror(errno));
	g->base = at;
	g->frames = frames;
	return 0;
}

void xen_grants_unmap(struct xen_host *h, struct xen_grants *g)
{
	if (g->handle)
		xenforeignmemory_unmap_resource(h->fmem, g->handle);
	memset(g, 0, sizeof(*g));
}
