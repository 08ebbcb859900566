/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_p2m.c - which guest frames have memory behind them
 */
#include "libxc-ext/xen_p2m.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>

enum { BATCH = 1024 };			/* Xen's own limit */

static int append(struct xen_host *h, struct xen_p2m *p, uint64_t gfn)
{
	struct gfn_range *last = p->n ? &p->range[p->n - 1] : NULL;

	p->pages++;
	if (last && last->first + last->count == gfn) {
		last->count++;
		return 0;
	}
	if (p->n == PLATFORM_RANGES_MAX)
		return xen_fail(h, E2BIG, "the domain's memory has more than "
				"%d separate ranges", PLATFORM_RANGES_MAX);
	if (!p->range)
		p->range = calloc(PLATFORM_RANGES_MAX, sizeof(*p->range));
	if (!p->range)
		return xen_fail(h, ENOMEM, "no memory for a list of ranges");
	p->range[p->n++] = (struct gfn_range){ .first = gfn, .count = 1 };
	return 0;
}

/* Types of @n frames from @at on, into @type, hypercall-safe. */
static int types(struct xen_host *h, uint32_t domid, xen_pfn_t at,
		 unsigned int n, xen_pfn_t *type)
{
	struct xen_domctl op = {
		.cmd = XEN_DOMCTL_getpageframeinfo3,
		.domain = domid,
		.u.getpageframeinfo3.num = n,
	};

	for (unsigned int i = 0; i < n; i++)
		type[i] = at + i;
	set_xen_guest_handle_raw(op.u.getpageframeinfo3.array, type);
	if (xc_domctl(h->xch, &op))
		return xen_fail(h, errno, "domain %u: cannot read the types "
				"of frames from %#lx on: %s", domid, at,
				strerror(errno));
	return 0;
}

static int scan(struct xen_host *h, uint32_t domid, uint64_t shared_info,
		struct xen_p2m *out)
{
	xen_pfn_t *type = xen_host_bounce(h, BATCH * sizeof(*type));
	xen_pfn_t top;

	if (!type)
		return -1;
	if (xc_domain_nr_gpfns(h->xch, domid, &top))
		return xen_fail(h, errno, "domain %u: cannot read its highest "
				"frame: %s", domid, strerror(errno));
	if (top > PLATFORM_GFN_MAX)
		return xen_fail(h, E2BIG, "domain %u: highest frame %#lx is "
				"not below %#x", domid, top, PLATFORM_GFN_MAX);
	for (xen_pfn_t at = 0; at < top; at += BATCH) {
		unsigned int n = top - at < BATCH ? top - at : BATCH;

		if (types(h, domid, at, n, type))
			return -1;
		for (unsigned int i = 0; i < n; i++) {
			xen_pfn_t t = type[i] & XEN_DOMCTL_PFINFO_LTAB_MASK;

			if (t == XEN_DOMCTL_PFINFO_BROKEN)
				return xen_fail(h, EIO, "domain %u: frame %#lx "
						"is broken memory", domid,
						at + i);
			if (t == XEN_DOMCTL_PFINFO_XTAB &&
			    at + i != shared_info)
				continue;
			if (append(h, out, at + i))
				return -1;
		}
	}
	if (!out->pages)
		return xen_fail(h, ENODATA, "domain %u has no memory", domid);
	return 0;
}

int xen_p2m_scan(struct xen_host *h, uint32_t domid, uint64_t shared_info,
		 struct xen_p2m *out)
{
	int err;

	memset(out, 0, sizeof(*out));
	if (!scan(h, domid, shared_info, out))
		return 0;
	err = errno;
	xen_p2m_free(out);
	errno = err;
	return -1;
}

void xen_p2m_free(struct xen_p2m *p)
{
	free(p->range);
	memset(p, 0, sizeof(*p));
}

int xen_p2m_grant_frames(struct xen_host *h, uint32_t domid, uint64_t *gfn,
			 uint32_t n)
{
	struct gnttab_setup_table op = { .dom = domid, .nr_frames = n };
	xen_pfn_t *list;

	if (!n)
		return 0;
	if (n > XEN_GRANT_FRAMES_MAX)
		return xen_fail(h, E2BIG, "domain %u: %u grant frames are more "
				"than %d", domid, n, XEN_GRANT_FRAMES_MAX);
	list = xen_host_bounce(h, n * sizeof(*list));
	if (!list)
		return -1;
	set_xen_guest_handle_raw(op.frame_list, list);
	if (xc_gnttab_op(h->xch, GNTTABOP_setup_table, &op, sizeof(op), 1))
		return xen_fail(h, errno, "domain %u: cannot read the places "
				"of its grant frames: %s", domid,
				strerror(errno));
	if (op.status != GNTST_okay)
		return xen_fail(h, EIO, "domain %u: cannot read the places of "
				"its grant frames: grant status %d", domid,
				op.status);
	for (uint32_t i = 0; i < n; i++)
		gfn[i] = list[i];
	return 0;
}
