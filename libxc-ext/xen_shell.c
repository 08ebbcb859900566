/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_shell.c - a domain without a life of its own: the standby's
 */
#include "libxc-ext/xen_shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "libxc-ext/xen_cpu.h"
#include "libxc-ext/xen_grants.h"
#include "libxc-ext/xen_hv.h"
#include "libxc-ext/xen_state.h"

enum {
	SUPER_SHIFT = 9,		/* 2 MiB pages */
	BATCH = 512,			/* frames a hypercall populates */
	OVERHEAD_PAGES = 512,		/* Xen's own for a domain, vCPUs */
	MIB_PAGES = 256,
};

/* Name of a domain into @name, for messages; "?" if nobody knows. */
static void name_of(uint32_t domid, char *name, size_t size)
{
	struct xs_handle *xs = xs_open(0);
	char path[64], *value = NULL;
	unsigned int len;

	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	if (xs)
		value = xs_read(xs, XBT_NULL, path, &len);
	snprintf(name, size, "%s", value ? value : "?");
	free(value);
	if (xs)
		xs_close(xs);
}

/* Return: whether domain @domid exists; @info is then about it. */
static int exists(struct xen_host *h, uint32_t domid, xc_domaininfo_t *info)
{
	return xc_domain_getinfolist(h->xch, domid, 1, info) == 1 &&
	       info->domain == domid;
}

static int check_free_id(struct xen_host *h, uint32_t domid)
{
	xc_domaininfo_t info;
	char name[PLATFORM_NAME_MAX];

	if (!exists(h, domid, &info))
		return 0;
	name_of(domid, name, sizeof(name));
	return xen_fail(h, EADDRINUSE, "domain ID %u is taken on this host by "
			"\"%s\"%s; the standby needs the ID of its primary: "
			"destroy or migrate that domain, or give each host its "
			"own range of domain IDs", domid, name,
			info.flags & XEN_DOMINF_dying ? " (dying)" : "");
}

static int check_memory(struct xen_host *h, const struct xen_shape *s)
{
	uint64_t paging = s->dom.paging_bytes / PLATFORM_PAGE;
	uint64_t want = s->dom.pages + paging + OVERHEAD_PAGES;
	xc_physinfo_t info;

	if (xc_physinfo(h->xch, &info))
		return xen_fail(h, errno, "cannot read this host's free "
				"memory: %s", strerror(errno));
	if (info.free_pages + info.scrub_pages >= want)
		return 0;
	return xen_fail(h, ENOMEM, "the standby needs %llu MiB of this host's "
			"memory (guest %llu, its page tables %llu, Xen %d), "
			"free are %llu MiB",
			(unsigned long long)want / MIB_PAGES + 1,
			(unsigned long long)(s->dom.pages / MIB_PAGES),
			(unsigned long long)(paging / MIB_PAGES),
			OVERHEAD_PAGES / MIB_PAGES,
			(unsigned long long)(info.free_pages / MIB_PAGES));
}

/* INV-21 */
static int create(struct xen_host *h, const struct xen_shape *s)
{
	struct xen_domctl_createdomain c = {
		.ssidref = s->dom.ssidref,
		.flags = s->dom.create_flags,
		.max_vcpus = s->dom.vcpus,
		.max_evtchn_port = KEMARI_MAX_PORTS - 1,
		.max_grant_frames = s->dom.max_grant_frames,
		.max_maptrack_frames = -1,	/* the host's default */
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch.emulation_flags = s->dom.emulation_flags,
	};
	uint32_t domid = s->dom.domid;

	memcpy(c.handle, s->dom.uuid, sizeof(c.handle));
	if (xc_domain_create(h->xch, &domid, &c))
		return xen_fail(h, errno, "cannot create domain %u: %s",
				s->dom.domid, strerror(errno));
	return 0;
}

static int failed(struct xen_host *h, uint32_t domid, const char *what)
{
	return xen_fail(h, errno, "standby domain %u: cannot %s: %s", domid,
			what, strerror(errno));
}

static int configure(struct xen_host *h, const struct xen_shape *s)
{
	uint32_t id = s->dom.domid;

	if (xc_domain_max_vcpus(h->xch, id, s->dom.vcpus))
		return failed(h, id, "create its vCPUs");
	if (xc_domain_setmaxmem(h->xch, id, s->dom.max_pages *
				(PLATFORM_PAGE / 1024)))
		return failed(h, id, "set its memory limit");
	if (xc_set_paging_mempool_size(h->xch, id, s->dom.paging_bytes))
		return failed(h, id, "reserve memory for its page tables");
	if (xc_domain_set_tsc_info(h->xch, id, s->dom.tsc_mode, 0,
				   s->dom.tsc_khz, 0))
		return failed(h, id, "set how its TSC works");
	return xen_cpu_set(h, id, s);
}

/* Populate [first, first + count) with pages of 2^@order frames. */
static int populate(struct xen_host *h, const struct xen_shape *s,
		    uint64_t first, uint64_t count, unsigned int order)
{
	xen_pfn_t gfn[BATCH];

	while (count >> order) {
		uint64_t left = count >> order;
		unsigned int n = left < BATCH ? left : BATCH;
		int done;

		for (unsigned int i = 0; i < n; i++)
			gfn[i] = first + ((uint64_t)i << order);
		done = xc_domain_populate_physmap(h->xch, s->dom.domid, n,
						  order, 0, gfn);
		if (done < 0)
			return failed(h, s->dom.domid, "populate its memory");
		first += (uint64_t)done << order;
		count -= (uint64_t)done << order;
		if ((unsigned int)done == n)
			continue;
		if (!order)
			return xen_fail(h, ENOMEM, "standby domain %u: this "
					"host has no memory for its frame "
					"%#llx", s->dom.domid,
					(unsigned long long)first);
		if (populate(h, s, first, 1ull << order, 0))
			return -1;
		first += 1ull << order;
		count -= 1ull << order;
	}
	return 0;
}

/* One range without shared_info in it: whole 2 MiB pages where they fit. */
static int populate_range(struct xen_host *h, const struct xen_shape *s,
			  uint64_t first, uint64_t end)
{
	const uint64_t mask = (1ull << SUPER_SHIFT) - 1;
	uint64_t low = (first + mask) & ~mask, high = end & ~mask;

	if (low >= high)
		return populate(h, s, first, end - first, 0);
	if (populate(h, s, first, low - first, 0) ||
	    populate(h, s, low, high - low, SUPER_SHIFT))
		return -1;
	return populate(h, s, high, end - high, 0);
}

static int populate_all(struct xen_host *h, const struct xen_shape *s)
{
	for (size_t i = 0; i < s->p2m.n; i++) {
		uint64_t first = s->p2m.range[i].first;
		uint64_t end = first + s->p2m.range[i].count;
		uint64_t info = s->dom.shared_info;

		if (info >= first && info < end) {
			if (populate_range(h, s, first, info))
				return -1;
			first = info + 1;
		}
		if (populate_range(h, s, first, end))
			return -1;
	}
	if (xc_domain_add_to_physmap(h->xch, s->dom.domid,
				     XENMAPSPACE_shared_info, 0,
				     s->dom.shared_info))
		return failed(h, s->dom.domid, "place its shared_info page");
	return 0;
}

static int fill(struct xen_host *h, const struct xen_shape *s,
		uint64_t generation)
{
	uint32_t port = s->dom.kemari_port;

	if (configure(h, s) || populate_all(h, s))
		return -1;
	/* Takes the port, and refuses everybody to let the domain run. */
	if (xen_hv_enable(h, s->dom.domid, generation, KEMARI_ROLE_STANDBY,
			  KEMARI_MODE_PAUSE, 0, &port))
		return -1;
	return xen_state_set_params(h, s->dom.domid, s->param, s->nparam);
}

int xen_shell_build(struct xen_host *h, const struct xen_shape *s,
		    uint64_t generation)
{
	char why[PLATFORM_WHY_MAX];
	int err;

	if (check_free_id(h, s->dom.domid) || check_memory(h, s) ||
	    create(h, s))
		return -1;
	if (!fill(h, s, generation))
		return 0;
	err = errno;
	memcpy(why, h->why, sizeof(why));
	xen_shell_destroy(h, s->dom.domid);
	memcpy(h->why, why, sizeof(why));
	errno = err;
	return -1;
}

int xen_shell_find(struct xen_host *h, const uint8_t uuid[16],
		   uint32_t *domid)
{
	struct xen_hvm_kemari_query q;
	xc_domaininfo_t info;
	uint32_t next = 1;

	while (xc_domain_getinfolist(h->xch, next, 1, &info) == 1) {
		next = info.domain + 1;
		if (memcmp(info.handle, uuid, sizeof(info.handle)) ||
		    info.flags & XEN_DOMINF_dying)
			continue;
		if (xen_hv_query(h, info.domain, &q))
			return -1;
		if (q.role != KEMARI_ROLE_STANDBY)
			continue;
		*domid = info.domain;
		return 0;
	}
	return xen_fail(h, ENOENT, "no domain of this host is the standby of "
			"that guest");
}

int xen_shell_destroy(struct xen_host *h, uint32_t domid)
{
	xc_domaininfo_t info;

	if (!exists(h, domid, &info))
		return 0;
	if (xc_domain_destroy(h->xch, domid))
		return failed(h, domid, "destroy it");
	return 0;
}
