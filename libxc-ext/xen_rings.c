// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_rings.c - the rings of a primary's disks and network cards
 *
 * Backends write to their pages behind log-dirty's back, for they stay mapped:
 * they are in the always-copy set (INV-12).  Which pages these are is found
 * out once, when the tap goes on.  A guest that connects a device anew, or gets
 * or loses one, is another guest to us (INV-36).
 */
#include "libxc-ext/xen_platform.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xen/grant_table.h>

#include "libxc-ext/xen_hv.h"

static_assert((int)DEVICE_PORTS_MAX == KEMARI_MAX_PORTS, "ports of a guest");
static_assert(sizeof(grant_entry_v1_t) == 8 && GTF_type_mask == 3 &&
	      GTF_permit_access == 1 && GTF_readonly == 4,
	      "grants as device_rings.c reads them");

#define CLOSING_NS	10000000000ull	/* from letting go to shutdown */

enum { PORTS_FEW = 64 };		/* asked for at a time */

/* The first complaint. */
static void keep_first(void *arg, const char *text)
{
	char *why = arg;

	if (!*why)
		snprintf(why, PLATFORM_WHY_MAX, "%s", text);
}

static void add_reason(void *arg, const char *text)
{
	xen_reason(arg, "%s", text);
}

/* From xenstore: 0, or the number of complaints; -1. */
static int read_now(struct xen_platform *x, struct device_rings *r,
		    void (*say)(void *arg, const char *text), void *arg)
{
	const struct nodes *l;
	bool changed;

	l = xen_store_fresh(x->store, &changed);
	if (!l)
		return xen_platform_store_failed(x);
	return device_rings_read(r, l, say, arg);
}

/* Where a ring's page is: 0, or -1 and half a sentence. */
static int frame_of(struct xen_platform *x, uint32_t ref, uint64_t *gfn,
		    char *why)
{
	if (device_rings_frame(x->grants.base, x->grants.frames, ref, gfn,
			       why))
		return -1;
	if (xen_map_page(x->map, *gfn))
		return 0;
	snprintf(why, DEVICE_WHY_MAX, "grant %u is of frame %#llx, which is not of the guest's memory",
		 ref, (unsigned long long)*gfn);
	return -1;
}

/* All pages of all rings, in the order of .ref.  As read_now(). */
static int find_frames(struct xen_platform *x, const struct device_rings *r,
		       uint64_t *gfn,
		       void (*say)(void *arg, const char *text), void *arg)
{
	char text[DEVICE_WHY_MAX + PLATFORM_RING_NAME_MAX];
	char why[DEVICE_WHY_MAX];
	struct xen_hvm_kemari_dom d;
	int said = 0;

	if (!r->n)
		return 0;
	if (xen_primary_prepare(x))
		return -1;
	if (xen_hv_get_dom(x->h, x->domid, &d) ||
	    xen_grants_map(x->h, &x->grants, x->domid, d.grant_frames, false))
		return xen_platform_host_failed(x);
	for (uint32_t i = 0; i < r->n; i++) {
		const struct device_ring *ring = &r->ring[i];

		for (uint32_t k = 0; k < ring->pages; k++) {
			uint32_t at = ring->first + k;

			if (!frame_of(x, r->ref[at], &gfn[at], why))
				continue;
			snprintf(text, sizeof(text), "%s: %s", ring->name,
				 why);
			say(arg, text);
			said++;
		}
	}
	return said;
}

/* Nodes and frames.  0, the number of complaints, or -1. */
static int find(struct xen_platform *x, struct device_rings *r, uint64_t *gfn,
		void (*say)(void *arg, const char *text), void *arg)
{
	int bad, worse;

	bad = read_now(x, r, say, arg);
	if (bad < 0)
		return -1;
	worse = find_frames(x, r, gfn, say, arg);
	return worse < 0 ? -1 : bad + worse;
}

int xen_rings_check(struct xen_platform *x, struct xen_reasons *r)
{
	uint64_t gfn[DEVICE_PAGES_MAX] = { 0 };
	struct device_rings now;

	return find(x, &now, gfn, add_reason, r) < 0 ? -1 : 0;
}

int xen_rings_learn(struct xen_platform *x)
{
	uint64_t gfn[DEVICE_PAGES_MAX] = { 0 };
	char why[PLATFORM_WHY_MAX] = "";
	int bad;

	if (x->rings_known)
		return 0;
	bad = find(x, &x->rings, gfn, keep_first, why);
	if (bad < 0)
		return -1;
	if (bad)
		return platform_fail(&x->base, EXDEV, "%s", why);
	for (uint32_t i = 0; i < x->rings.refs; i++)
		if (xen_always_add(x->always, gfn[i], XEN_ALWAYS_PLAIN))
			return platform_fail(&x->base, errno, "domain %u: "
					     "more than %d pages need a copy "
					     "in each checkpoint", x->domid,
					     XEN_ALWAYS_MAX);
	x->rings_known = true;
	return 0;
}

int xen_rings_list(struct platform *p, struct platform_ring *out, size_t *n)
{
	struct xen_platform *x = to_xen(p);
	size_t room = *n;

	if (x->shape.dom.domid || !x->domid)
		return platform_fail(p, ENOTSUP, "not for a standby");
	if (xen_primary_prepare(x))
		return -1;
	/* Before it is protected the guest may still change them. */
	if (!x->generation)
		x->rings_known = false;
	if (xen_rings_learn(x))
		return -1;
	*n = x->rings.n;
	if (x->rings.n > room)
		return platform_fail(p, ENOBUFS, "the guest has %u rings, "
				     "there is room for %zu", x->rings.n,
				     room);
	for (uint32_t i = 0; i < x->rings.n; i++) {
		memcpy(out[i].name, x->rings.ring[i].name,
		       sizeof(out[i].name));
		out[i].port = x->rings.ring[i].port;
		out[i].output = x->rings.ring[i].output;
	}
	return 0;
}

int xen_rings_set_policy(struct xen_platform *x)
{
	bool tapped = !(x->unsafe & PLATFORM_XEN_NO_TAP);

	for (uint32_t i = 0; i < x->rings.n; i++) {
		const struct device_ring *ring = &x->rings.ring[i];

		if (xen_hv_policy(x->h, x->domid, ring->port,
				  tapped && ring->output ? KEMARI_POLICY_HOLD :
							   KEMARI_POLICY_NONE))
			return xen_platform_host_failed(x);
	}
	return 0;
}

/* A guest that shuts down is about to say so. */
static int let_go(struct xen_platform *x, const char *why)
{
	uint64_t now = x->base.ops->now_ns(&x->base);

	if (!x->closing_since)
		x->closing_since = now;
	if (now - x->closing_since >= CLOSING_NS)
		return -1;
	platform_fail(&x->base, EAGAIN, "%s", why);
	return 0;
}

int xen_rings_same(struct xen_platform *x)
{
	char why[PLATFORM_WHY_MAX] = "";
	struct device_rings now;
	const struct nodes *l;
	bool changed;

	l = xen_store_fresh(x->store, &changed);
	if (!l)
		return xen_platform_store_failed(x);
	if (!x->rings_known)
		return xen_rings_learn(x) ? -1 : 1;
	if (!changed)
		return 1;
	if (!device_rings_read(&now, l, keep_first, why) &&
	    device_rings_same(&now, &x->rings)) {
		x->closing_since = 0;
		return 1;
	}
	if (now.closing && !let_go(x, why))
		return 0;
	return platform_fail(&x->base, EXDEV, "domain %u: its disks or network "
			     "cards are not those of its protection any more%s%s",
			     x->domid, *why ? ": " : "", why);
}

/* --- what they tell ------------------------------------------------------- */

static int need_protected(struct xen_platform *x)
{
	if (x->shape.dom.domid || !x->domid)
		return platform_fail(&x->base, ENOTSUP, "not for a standby");
	if (!x->generation)
		return platform_fail(&x->base, EINVAL, "domain %u is not "
				     "protected", x->domid);
	return 0;
}

int xen_rings_held(struct platform *p, uint32_t *port, size_t *n)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_evtchn few[PORTS_FEW];
	size_t room = *n;

	if (need_protected(x))
		return -1;
	*n = 0;
	for (uint32_t first = 0; first < KEMARI_MAX_PORTS;
	     first += PORTS_FEW) {
		uint32_t got = PORTS_FEW;

		if (xen_hv_get_evtchns(x->h, x->domid, first, few, &got))
			return xen_platform_host_failed(x);
		for (uint32_t i = 0; i < got; i++) {
			if (few[i].held != 1)
				continue;
			if (*n < room)
				port[*n] = first + i;
			++*n;
		}
		if (got < PORTS_FEW)
			break;
	}
	if (*n > room)
		return platform_fail(p, ENOBUFS, "sends are held on %zu ports, "
				     "there is room for %zu", *n, room);
	return 0;
}

int xen_rings_deliver(struct platform *p, uint64_t generation, uint32_t port)
{
	struct xen_platform *x = to_xen(p);

	if (need_protected(x))
		return -1;
	if (xen_hv_deliver(x->h, x->domid, generation, port))
		return xen_platform_host_failed(x);
	return 0;
}
