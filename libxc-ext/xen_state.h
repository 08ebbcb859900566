/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_state.h - what Xen knows of a guest, to records and back
 *
 * All of a domain's state that a guest which does not co-operate cannot
 * rebuild, but for its pages and its xenstore nodes.
 */
#ifndef KEMARI_XEN_STATE_H
#define KEMARI_XEN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "libxc-ext/records.h"
#include "libxc-ext/xen_grants.h"
#include "libxc-ext/xen_hv.h"
#include "libxc-ext/xen_image.h"

/**
 * xen_state_describe() - DOMAIN, RANGES, CPUID, MSRS, DM, PARAMS
 * @p2m:	Of xen_p2m_scan()
 * @port:	Kemari's port, here and there
 */
int xen_state_describe(struct xen_host *h, uint32_t domid,
		       const struct xen_p2m *p2m, uint32_t port,
		       struct recbuf *out);

/** xen_state_free_port() - A port that the guest does not use, and will not
 * soon */
int xen_state_free_port(struct xen_host *h, uint32_t domid, uint32_t *port);

/** xen_state_reserve_ports() - Standby, never loaded: ports 1 to @n - 1 are
 * taken, so that a device model that is started now gets @n */
int xen_state_reserve_ports(struct xen_host *h, uint32_t domid, uint32_t n);

/** xen_state_same_dm_ports() - Has the standby's device model got the ports of
 * @s?  EXDEV */
int xen_state_same_dm_ports(struct xen_host *h, uint32_t domid,
			    const struct xen_shape *s);

/**
 * xen_state_early() - DOM, PARAMS, PORTS, VCPU; @dm: PIRQS
 * @info:	Gets the frames of the vcpu_info pages, ~0 for none; @vcpus
 */
int xen_state_early(struct xen_host *h, uint32_t domid, uint32_t vcpus,
		    bool dm, uint64_t *info, struct recbuf *out);

/** xen_state_late() - CONTEXT, GRANT */
int xen_state_late(struct xen_host *h, uint32_t domid, struct xen_grants *g,
		   struct recbuf *out);

/**
 * xen_state_set_places() - Register the places of vcpu_info
 *
 * Standby.  The first time Xen writes over what the guest has there: the
 * content of these pages must be put back afterwards (INV-23).
 * Return: 1 some were registered, 0 all were so before, -1 failure
 */
int xen_state_set_places(struct xen_host *h, uint32_t domid,
			 const struct xen_image *i, const struct xen_shape *s);

/** xen_state_load_early() - Standby: HVM parameters, grant frames, event
 * channels, vm_assist */
int xen_state_load_early(struct xen_host *h, uint32_t domid,
			 const struct xen_image *i, struct xen_grants *g);

/**
 * xen_state_load_late() - Standby: HVM context, guest time, vCPUs
 * @advance:	Guest time becomes the image's plus this, ns
 */
int xen_state_load_late(struct xen_host *h, uint32_t domid,
			const struct xen_image *i, const struct xen_shape *s,
			uint64_t advance);

/** xen_state_set_params() - HVM parameters */
int xen_state_set_params(struct xen_host *h, uint32_t domid,
			 const struct xen_rec_param *p, uint32_t n);

#endif
