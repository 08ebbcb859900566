/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_cpu.c - the CPU that a guest sees (its CPUID and MSR policy)
 */
#include "libxc-ext/xen_cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenguest.h>

static_assert(sizeof(xen_cpuid_leaf_t) == sizeof(struct xen_rec_cpuid),
	      "CPUID records are used in place");
static_assert(sizeof(xen_msr_entry_t) == sizeof(struct xen_rec_msr),
	      "MSR records are used in place");

/** struct list - a policy as Xen lists it; owns its memory */
struct list {
	xen_cpuid_leaf_t *leaf;
	xen_msr_entry_t *msr;
	uint32_t nleaf, nmsr;
};

static void list_free(struct list *l)
{
	free(l->leaf);
	free(l->msr);
}

/* xc_cpu_policy_*() return -1 with errno, or -errno. */
static int policy_fail(struct xen_host *h, uint32_t domid, const char *what,
		       int rc)
{
	int err = rc < -1 ? -rc : errno;

	return xen_fail(h, err, "domain %u: cannot %s its CPU policy: %s",
			domid, what, strerror(err));
}

static int read_list(struct xen_host *h, uint32_t domid, xc_cpu_policy_t *p,
		     struct list *l)
{
	int rc = xc_cpu_policy_get_size(h->xch, &l->nleaf, &l->nmsr);

	if (rc)
		return policy_fail(h, domid, "size", rc);
	l->leaf = calloc(l->nleaf, sizeof(*l->leaf));
	l->msr = calloc(l->nmsr, sizeof(*l->msr));
	if (!l->leaf || !l->msr)
		return policy_fail(h, domid, "hold", -ENOMEM);
	rc = xc_cpu_policy_get_domain(h->xch, domid, p);
	if (!rc)
		rc = xc_cpu_policy_serialise(h->xch, p, l->leaf, &l->nleaf,
					     l->msr, &l->nmsr);
	if (rc)
		return policy_fail(h, domid, "read", rc);
	if (l->nleaf > XEN_CPUID_MAX || l->nmsr > XEN_MSRS_MAX)
		return xen_fail(h, E2BIG, "domain %u: its CPU policy of %u "
				"leaves and %u MSRs is larger than %d and %d",
				domid, l->nleaf, l->nmsr, XEN_CPUID_MAX,
				XEN_MSRS_MAX);
	return 0;
}

int xen_cpu_save(struct xen_host *h, uint32_t domid, struct recbuf *out)
{
	xc_cpu_policy_t *p = xc_cpu_policy_init();
	struct list l = { 0 };
	int rc = -1;

	if (!p)
		return policy_fail(h, domid, "hold", -ENOMEM);
	if (!read_list(h, domid, p, &l)) {
		rc = recbuf_add(out, RECORD_XEN_CPUID, RECORD_MANDATORY, 0,
				l.leaf, l.nleaf * sizeof(*l.leaf));
		if (!rc && l.nmsr)
			rc = recbuf_add(out, RECORD_XEN_MSRS, RECORD_MANDATORY,
					0, l.msr, l.nmsr * sizeof(*l.msr));
		if (rc)
			policy_fail(h, domid, "hold", rc);
	}
	list_free(&l);
	xc_cpu_policy_destroy(p);
	return rc;
}

static const xen_cpuid_leaf_t *find_leaf(const struct list *l,
					 const xen_cpuid_leaf_t *like)
{
	for (uint32_t i = 0; i < l->nleaf; i++)
		if (l->leaf[i].leaf == like->leaf &&
		    l->leaf[i].subleaf == like->subleaf)
			return &l->leaf[i];
	return NULL;
}

/* What the domain has got must be what was asked for. */
static int compare(struct xen_host *h, uint32_t domid, const struct list *got,
		   const struct list *want)
{
	for (uint32_t i = 0; i < want->nleaf; i++) {
		const xen_cpuid_leaf_t *w = &want->leaf[i];
		const xen_cpuid_leaf_t *g = find_leaf(got, w);
		static const xen_cpuid_leaf_t none;

		if (!g)
			g = &none;
		if (w->a == g->a && w->b == g->b && w->c == g->c &&
		    w->d == g->d)
			continue;
		return xen_fail(h, EXDEV, "domain %u: the CPU of this host "
				"cannot stand in for the guest's: CPUID leaf "
				"%#x.%d is %08x %08x %08x %08x there and "
				"%08x %08x %08x %08x here; it must be the same",
				domid, w->leaf, (int)w->subleaf, w->a, w->b,
				w->c, w->d, g->a, g->b, g->c, g->d);
	}
	return 0;
}

static int set(struct xen_host *h, uint32_t domid, xc_cpu_policy_t *host,
	       xc_cpu_policy_t *p, const struct list *want)
{
	int rc;

	rc = xc_cpu_policy_get_system(h->xch, XEN_SYSCTL_cpu_policy_hvm_max,
				      host);
	if (rc)
		return policy_fail(h, domid, "read the host's instead of", rc);
	rc = xc_cpu_policy_update_cpuid(h->xch, p, want->leaf, want->nleaf);
	if (!rc)
		rc = xc_cpu_policy_update_msrs(h->xch, p, want->msr,
					       want->nmsr);
	if (rc)
		return xen_fail(h, EPROTO, "domain %u: its CPU policy is not "
				"one that Xen knows: %s", domid,
				strerror(errno));
	if (!xc_cpu_policy_is_compatible(h->xch, host, p))
		return xen_fail(h, EXDEV, "domain %u: the CPU of this host "
				"cannot stand in for the guest's: it has fewer "
				"leaves or MSR bits", domid);
	rc = xc_cpu_policy_set_domain(h->xch, domid, p);
	return rc ? policy_fail(h, domid, "set", rc) : 0;
}

int xen_cpu_set(struct xen_host *h, uint32_t domid, const struct xen_shape *s)
{
	struct list want = {
		.leaf = (xen_cpuid_leaf_t *)s->cpuid, .nleaf = s->ncpuid,
		.msr = (xen_msr_entry_t *)s->msr, .nmsr = s->nmsr,
	};
	xc_cpu_policy_t *host = xc_cpu_policy_init();
	xc_cpu_policy_t *p = xc_cpu_policy_init();
	struct list got = { 0 };
	int rc = -1;

	if (!host || !p)
		policy_fail(h, domid, "hold", -ENOMEM);
	else if (!set(h, domid, host, p, &want) &&
		 !read_list(h, domid, p, &got))
		rc = compare(h, domid, &got, &want);
	list_free(&got);
	xc_cpu_policy_destroy(host);
	xc_cpu_policy_destroy(p);
	return rc;
}
