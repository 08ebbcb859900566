/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_p2m.c - which guest frames have memory behind them
 */
#include "libxc-ext/xen_p2m.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>

enum { BATCH = 1024 };			/* Xen's own limit */

/** struct scan - frames found so far */
struct scan {
	struct xen_host *h;
	uint32_t domid;
	xen_pfn_t *type;		/* BATCH, hypercall-safe */
	uint64_t *found;		/* a bit for each frame */
	uint64_t top;			/* highest frame + 1 */
	uint64_t pages;			/* bits set */
};

/* Look at the frames of one batch.  Return: how many hold memory, or -1. */
static int look(struct scan *s, uint64_t batch)
{
	xen_pfn_t at = batch * BATCH;
	unsigned int n = s->top - at < BATCH ? s->top - at : BATCH;
	struct xen_domctl op = {
		.cmd = XEN_DOMCTL_getpageframeinfo3,
		.domain = s->domid,
		.u.getpageframeinfo3.num = n,
	};
	int pages = 0;

	for (unsigned int i = 0; i < n; i++)
		s->type[i] = at + i;
	set_xen_guest_handle_raw(op.u.getpageframeinfo3.array, s->type);
	if (xc_domctl(s->h->xch, &op))
		return xen_fail(s->h, errno, "domain %u: cannot read the types "
				"of frames from %#lx on: %s", s->domid, at,
				strerror(errno));
	for (unsigned int i = 0; i < n; i++) {
		xen_pfn_t t = s->type[i] & XEN_DOMCTL_PFINFO_LTAB_MASK;

		if (t == XEN_DOMCTL_PFINFO_BROKEN)
			return xen_fail(s->h, EIO, "domain %u: frame %#lx is "
					"broken memory", s->domid, at + i);
		if (t == XEN_DOMCTL_PFINFO_XTAB)
			continue;
		s->found[(at + i) / 64] |= 1ull << (at + i) % 64;
		pages++;
	}
	s->pages += pages;
	return pages;
}

/*
 * Memory lies at the bottom and at the top of the address space, with a large
 * hole between: look from both ends until all pages that the domain owns are
 * found.  If some are found nowhere, everything has been looked at.
 */
static int look_all(struct scan *s, uint64_t owned)
{
	uint64_t low = 0, high = (s->top + BATCH - 1) / BATCH;
	int n = 1;

	while (low < high && n && s->pages < owned) {
		n = look(s, low++);
		if (n < 0)
			return -1;
	}
	while (low < high && s->pages < owned)
		if (look(s, --high) < 0)
			return -1;
	return 0;
}

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
	p->range[p->n++] = (struct gfn_range){ .first = gfn, .count = 1 };
	return 0;
}

static int to_ranges(const struct scan *s, struct xen_p2m *out)
{
	out->range = calloc(PLATFORM_RANGES_MAX, sizeof(*out->range));
	if (!out->range)
		return xen_fail(s->h, ENOMEM, "no memory for a list of ranges");
	for (uint64_t word = 0; word < (s->top + 63) / 64; word++)
		for (uint64_t bits = s->found[word]; bits; bits &= bits - 1)
			if (append(s->h, out,
				   word * 64 + __builtin_ctzll(bits)))
				return -1;
	if (!out->pages)
		return xen_fail(s->h, ENODATA, "domain %u has no memory",
				s->domid);
	return 0;
}

static int scan(struct scan *s, uint64_t shared_info, struct xen_p2m *out)
{
	xc_domaininfo_t info;
	xen_pfn_t top;

	if (xc_domain_getinfolist(s->h->xch, s->domid, 1, &info) != 1 ||
	    info.domain != s->domid)
		return xen_fail(s->h, ESRCH, "domain %u is gone", s->domid);
	if (xc_domain_nr_gpfns(s->h->xch, s->domid, &top))
		return xen_fail(s->h, errno, "domain %u: cannot read its "
				"highest frame: %s", s->domid, strerror(errno));
	if (!top || top > PLATFORM_GFN_MAX || shared_info >= top)
		return xen_fail(s->h, E2BIG, "domain %u: number of frames %#lx "
				"is not within 1..%#x, or shared_info at %#llx "
				"not among them", s->domid, top,
				PLATFORM_GFN_MAX,
				(unsigned long long)shared_info);
	s->top = top;
	s->type = xen_host_bounce(s->h, BATCH * sizeof(*s->type));
	s->found = calloc((top + 63) / 64, sizeof(*s->found));
	if (!s->type || !s->found)
		return xen_fail(s->h, ENOMEM, "no memory to scan domain %u",
				s->domid);
	if (look_all(s, info.tot_pages))
		return -1;
	s->found[shared_info / 64] |= 1ull << shared_info % 64;
	return to_ranges(s, out);
}

int xen_p2m_scan(struct xen_host *h, uint32_t domid, uint64_t shared_info,
		 struct xen_p2m *out)
{
	struct scan s = { .h = h, .domid = domid };
	int rc, err;

	memset(out, 0, sizeof(*out));
	rc = scan(&s, shared_info, out);
	err = errno;
	free(s.found);
	if (rc)
		xen_p2m_free(out);
	errno = err;
	return rc;
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
