/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_image.h - records of xen_records.h, read and checked
 *
 * Pure: no hypercall.  Whatever is accepted here is in range for the setters
 * of xen_state.h, so that nothing but the host can make a load fail (INV-17,
 * INV-31).  why: PLATFORM_WHY_MAX bytes, gets a sentence on failure.
 */
#ifndef KEMARI_XEN_IMAGE_H
#define KEMARI_XEN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "libxc-ext/xen_p2m.h"
#include "hypervisor/public/kemari.h"
#include "libxc-ext/xen_records.h"

/** struct xen_shape - what describe() says; owns its memory */
struct xen_shape {
	struct xen_rec_domain dom;
	struct xen_p2m p2m;
	struct xen_rec_cpuid *cpuid;
	struct xen_rec_msr *msr;
	uint32_t ncpuid, nmsr, nparam;
	struct xen_rec_param param[XEN_PARAMS_MAX];
	struct xen_rec_dm dm;		/* .ports 0: it has no device model */
	uint32_t dm_len;		/* bytes of its state in the records */
};

/** struct xen_image - one checkpoint's state; points into its records */
struct xen_image {
	const struct xen_rec_dom *dom;
	const struct xen_rec_param *param;
	const struct xen_rec_pirqs *pirqs;	/* with a device model, else
						 * NULL */
	const struct xen_rec_port *port;
	const struct xen_rec_vcpu *vcpu[KEMARI_MAX_VCPUS];
	const struct xen_rec_context *context;
	const struct xen_rec_grant *grant[XEN_GRANT_FRAMES_MAX];
	const void *dm_state;		/* with a device model, else NULL */
	uint32_t dm_len;
	uint32_t nparam;
	uint32_t context_len;		/* without guest_time */
};

/**
 * xen_shape_read() - Read what describe() wrote
 * @out:	To be freed, on success
 * Return: 0, or -1: EPROTO with @why, ENOMEM
 */
int xen_shape_read(const void *records, size_t len, struct xen_shape *out,
		   char *why);
void xen_shape_free(struct xen_shape *s);

/**
 * xen_image_read() - Read and check one checkpoint's records
 * @s:		The domain they must fit
 * @out:	Valid as long as @records
 * Return: 0, or -1: EPROTO with @why
 */
int xen_image_read(const void *records, size_t len, const struct xen_shape *s,
		   struct xen_image *out, char *why);

/** xen_shape_has() - Is @gfn in the domain's ranges? */
bool xen_shape_has(const struct xen_shape *s, uint64_t gfn);

/** xen_shape_dm_port() - Does @port lead from the guest to its device model? */
bool xen_shape_dm_port(const struct xen_shape *s, uint32_t port);

/** xen_param() - Value of an HVM parameter, 0 if it is not in @p */
uint64_t xen_param(const struct xen_rec_param *p, uint32_t n, uint32_t index);

#endif
