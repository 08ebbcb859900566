/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_standby.c - struct platform on Xen: the operations of a standby
 */
#include "libxc-ext/xen_platform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/params.h>

#include "libxc-ext/xen_backend.h"
#include "libxc-ext/xen_hv.h"
#include "libxc-ext/xen_shell.h"
#include "libxc-ext/xen_state.h"

static int need(struct xen_platform *x)
{
	if (!x->shape.dom.domid)
		return platform_fail(&x->base, ENOTSUP, x->domid ?
				     "not for a primary" :
				     "the standby is not built yet");
	if (x->activated)
		return platform_fail(&x->base, EPERM, "domain %u is no standby "
				     "any more: it runs", x->domid);
	return 0;
}

/* --- creating ---------------------------------------------------------- */

static int read_shape(struct xen_platform *x, const void *records, size_t len)
{
	if (x->domid)
		return platform_fail(&x->base, EBUSY, "domain %u is open "
				     "already", x->domid);
	if (xen_shape_read(records, len, &x->shape, x->base.why))
		return -1;
	memcpy(x->uuid, x->shape.dom.uuid, sizeof(x->uuid));
	x->domid = x->shape.dom.domid;
	x->vcpus = x->shape.dom.vcpus;
	x->store_gfn = xen_param(x->shape.param, x->shape.nparam,
				 HVM_PARAM_STORE_PFN);
	x->console_gfn = xen_param(x->shape.param, x->shape.nparam,
				   HVM_PARAM_CONSOLE_PFN);
	if (xen_store_open(&x->store, x->h->xch, x->domid, x->uuid,
			   x->base.why))
		return -1;
	if (xen_store_verify(x->store, records, len))
		return xen_platform_store_failed(x);
	return 0;
}

/* As if it had never been built; the domain, if there is one, stays. */
static void forget(struct xen_platform *x)
{
	xen_platform_unmap(x);
	xen_machine_close(x);
	x->dm_pid = 0;
	x->dm_loaded = false;
	xen_store_close(x->store);
	x->store = NULL;
	xen_shape_free(&x->shape);
	x->domid = 0;
	x->generation = 0;
}

static int map(struct xen_platform *x)
{
	x->map = xen_map_open(x->h, x->domid, x->shape.p2m.range,
			      x->shape.p2m.n, true);
	if (!x->map || xen_grants_map(x->h, &x->grants, x->domid, 1, true))
		return xen_platform_host_failed(x);
	return 0;
}

static int build(struct xen_platform *x, uint64_t generation,
		 const void *records, size_t len)
{
	int err;

	if (read_shape(x, records, len))
		return -1;
	if (xen_shell_build(x->h, &x->shape, generation))
		return xen_platform_host_failed(x);
	x->generation = generation;
	if (!map(x) && !xen_machine_build(x, records, len)) {
		if (!xen_store_standby(x->store, records, len) &&
		    !xen_backends_open(x->store, x->storage))
			return 0;
		xen_platform_store_failed(x);
	}
	err = errno;
	xen_machine_end(x);
	xen_platform_unmap(x);
	xen_store_remove(x->store);
	xen_shell_destroy(x->h, x->domid);
	xen_store_remove(x->store);
	errno = err;
	return -1;
}

int xen_standby_build(struct platform *p, uint64_t generation,
		      const void *records, size_t len)
{
	struct xen_platform *x = to_xen(p);
	int err;

	if (x->domid)
		return platform_fail(p, EBUSY, "domain %u is open already",
				     x->domid);
	if (!build(x, generation, records, len))
		return 0;
	err = errno;
	forget(x);
	errno = err;
	return -1;
}

static int attach(struct xen_platform *x, const void *records, size_t len)
{
	struct xen_hvm_kemari_query q;
	uint32_t domid;

	if (read_shape(x, records, len))
		return -1;
	if (xen_shell_find(x->h, x->uuid, &domid))
		return xen_platform_host_failed(x);
	if (domid != x->domid)
		return platform_fail(&x->base, EXDEV, "the standby has domain "
				     "ID %u, its records say %u", domid,
				     x->domid);
	if (xen_hv_query(x->h, domid, &q))
		return xen_platform_host_failed(x);
	x->generation = q.generation;
	if (xen_store_attach(x->store, records, len, &x->restored))
		return xen_platform_store_failed(x);
	return xen_machine_attach(x) || map(x) ? -1 : 0;
}

int xen_standby_attach(struct platform *p, const void *records, size_t len)
{
	struct xen_platform *x = to_xen(p);
	int err;

	if (x->domid)
		return platform_fail(p, EBUSY, "domain %u is open already",
				     x->domid);
	if (!attach(x, records, len))
		return 0;
	err = errno;
	forget(x);
	errno = err;
	return -1;
}

/* --- receiving --------------------------------------------------------- */

void *xen_standby_page_rw(struct platform *p, uint64_t gfn)
{
	struct xen_platform *x = to_xen(p);

	return need(x) ? NULL : xen_map_page(x->map, gfn);
}

int xen_standby_verify(struct platform *p, const void *records, size_t len)
{
	struct xen_platform *x = to_xen(p);
	struct xen_image image;

	if (need(x) ||
	    xen_image_read(records, len, &x->shape, &image, p->why))
		return -1;
	if (xen_store_verify(x->store, records, len))
		return xen_platform_store_failed(x);
	return 0;
}

/* --- the pages that Xen writes to -------------------------------------- */

/** struct kept - what shared_info and vcpu_info pages held */
struct kept {
	unsigned int n;
	uint64_t gfn[KEMARI_MAX_VCPUS + 1];
	uint8_t *bytes;
};

static void keep_page(struct kept *k, uint64_t gfn)
{
	for (unsigned int i = 0; i < k->n; i++)
		if (k->gfn[i] == gfn)
			return;
	k->gfn[k->n++] = gfn;
}

static int keep(struct xen_platform *x, const struct xen_image *i,
		struct kept *k)
{
	k->n = 0;
	keep_page(k, x->shape.dom.shared_info);
	for (uint32_t v = 0; v < x->vcpus; v++)
		if (i->vcpu[v]->info_gfn != ~0ull)
			keep_page(k, i->vcpu[v]->info_gfn);
	k->bytes = malloc((size_t)k->n * PLATFORM_PAGE);
	if (!k->bytes)
		return platform_fail(&x->base, ENOMEM, "no memory to keep %u "
				     "pages", k->n);
	for (unsigned int n = 0; n < k->n; n++)
		memcpy(k->bytes + (size_t)n * PLATFORM_PAGE,
		       xen_map_page(x->map, k->gfn[n]), PLATFORM_PAGE);
	return 0;
}

static void put_back(struct xen_platform *x, struct kept *k)
{
	for (unsigned int n = 0; n < k->n; n++)
		memcpy(xen_map_page(x->map, k->gfn[n]),
		       k->bytes + (size_t)n * PLATFORM_PAGE, PLATFORM_PAGE);
}

/* --- setting ----------------------------------------------------------- */

int xen_standby_rehearse(struct platform *p, const void *records, size_t len)
{
	struct xen_platform *x = to_xen(p);
	struct xen_image i;
	struct kept k;
	int rc, err;

	if (xen_standby_verify(p, records, len) ||
	    xen_image_read(records, len, &x->shape, &i, p->why) ||
	    keep(x, &i, &k))
		return -1;
	rc = xen_state_set_places(x->h, x->domid, &i, &x->shape) < 0 ||
	     xen_state_load_early(x->h, x->domid, &i, &x->grants) ||
	     xen_state_load_late(x->h, x->domid, &i, &x->shape, 0);
	err = errno;
	put_back(x, &k);
	free(k.bytes);
	errno = err;
	return rc ? xen_platform_host_failed(x) : 0;
}

/*
 * Grants and ports; then the nodes, which let the backends attach.  As often as
 * that fails, and once: from then on all of these are in use.  INV-38
 */
static int attach_backends(struct xen_platform *x, const struct xen_image *i,
			   const void *records, size_t len)
{
	/* By a receiver before this one. */
	if (x->restored)
		return xen_store_attach(x->store, records, len, &x->restored) ?
		       xen_platform_store_failed(x) : 0;
	if (xen_state_load_early(x->h, x->domid, i, &x->grants))
		return xen_platform_host_failed(x);
	if (xen_store_restore(x->store, records, len))
		return xen_platform_store_failed(x);
	x->restored = true;
	return 0;
}

/* The daemon's connection: once. */
static int introduce(struct xen_platform *x, const struct xen_image *i)
{
	uint32_t port = xen_param(i->param, i->nparam, HVM_PARAM_STORE_EVTCHN);

	if (x->introduced)
		return 0;
	if (xen_store_introduce(x->store, x->store_gfn, port,
				xen_map_page(x->map, x->store_gfn)))
		return xen_platform_store_failed(x);
	x->introduced = true;
	return 0;
}

int xen_standby_load(struct platform *p, const void *records, size_t len,
		     uint64_t guest_time)
{
	struct xen_platform *x = to_xen(p);
	uint64_t began = p->ops->now_ns(p), advance;
	struct xen_image i;
	struct kept k;
	int placed, err;

	if (need(x) || xen_image_read(records, len, &x->shape, &i, p->why))
		return -1;
	if (guest_time < i.context->guest_time)
		return platform_fail(p, EINVAL, "guest time %llu ns is before "
				     "the checkpoint's %llu",
				     (unsigned long long)guest_time,
				     (unsigned long long)i.context->guest_time);
	if (keep(x, &i, &k))
		return -1;
	placed = xen_state_set_places(x->h, x->domid, &i, &x->shape);
	err = errno;
	if (placed)
		put_back(x, &k);
	free(k.bytes);
	errno = err;
	if (placed < 0)
		return xen_platform_host_failed(x);
	if (attach_backends(x, &i, records, len) || introduce(x, &i) ||
	    xen_machine_load(x, &i))
		return -1;
	xen_announce_free(x->announce);
	x->announce = xen_announce_new(xen_store_nodes(x->store), x->domid);
	x->announce_err = x->announce ? 0 : errno;
	/* @guest_time was true when this began.  INV-24 */
	advance = guest_time - i.context->guest_time +
		  p->ops->now_ns(p) - began;
	if (xen_state_load_late(x->h, x->domid, &i, &x->shape, advance))
		return xen_platform_host_failed(x);
	return xen_machine_run(x);
}

static void *unmap(void *arg)
{
	xen_platform_unmap(arg);
	return NULL;
}

/* What stays mapped would keep a destroyed domain as a zombie; but the guest
 * runs, and nobody is to wait for this. */
static void unmap_aside(struct xen_platform *x)
{
	x->unmapping = !pthread_create(&x->unmapper, NULL, unmap, x);
	if (!x->unmapping)
		unmap(x);
}

int xen_standby_activate(struct platform *p, uint64_t generation,
			 uint64_t new_generation)
{
	struct xen_platform *x = to_xen(p);

	if (need(x))
		return -1;
	if (!x->introduced)
		return platform_fail(p, EINVAL, "domain %u: no checkpoint is "
				     "loaded", x->domid);
	if (xen_hv_activate(x->h, x->domid, generation, new_generation))
		return xen_platform_host_failed(x);
	x->activated = true;
	xen_machine_close(x);
	if (x->announce && xen_announce_start(x->announce))
		x->announce_err = errno;
	/* The pause that every domain is created with. */
	if (xc_domain_unpause(x->h->xch, x->domid))
		return platform_fail(p, errno, "domain %u: cannot unpause: %s",
				     x->domid, strerror(errno));
	unmap_aside(x);
	return 0;
}

int xen_standby_served(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	char why[XEN_ANNOUNCE_WHY_MAX];
	int served, announced = 1;

	if (!x->activated)
		return platform_fail(p, EINVAL, "domain %u was not activated "
				     "here", x->domid);
	served = xen_backends_attached(x->store);
	if (served <= 0) {
		xen_platform_store_failed(x);
		return served;
	}
	if (x->announce && !x->announce_err)
		announced = xen_announce_done(x->announce, why);
	if (x->announce_err)
		return platform_fail(p, x->announce_err, "the addresses of "
				     "domain %u are not announced: %s",
				     x->domid, strerror(x->announce_err));
	if (announced < 0)
		return platform_fail(p, EIO, "%s", why);
	return announced;
}

int xen_standby_destroy(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_query q;

	if (need(x))
		return -1;
	if (!xen_hv_query(x->h, x->domid, &q) && q.role != KEMARI_ROLE_STANDBY)
		return platform_fail(p, EPERM, "domain %u is no standby",
				     x->domid);
	if (xen_machine_end(x))
		return -1;
	if (xen_store_remove(x->store))
		return xen_platform_store_failed(x);
	xen_platform_unmap(x);
	if (xen_shell_destroy(x->h, x->domid))
		return xen_platform_host_failed(x);
	if (xen_store_remove(x->store))
		return xen_platform_store_failed(x);
	forget(x);
	return 0;
}
