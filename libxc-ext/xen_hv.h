/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_hv.h - the calls of hypervisor/public/kemari.h, one function each
 *
 * What each does and refuses is specified there.  Failures common to all:
 * ENOSYS this Xen has no Kemari, EPROTO it has another version, ENOENT Kemari
 * is not enabled for the domain, ESRCH no such domain, ESTALE wrong
 * generation, EPERM not the control domain.  Structures that Xen fills are
 * the caller's; arrays are copied.
 */
#ifndef KEMARI_XEN_HV_H
#define KEMARI_XEN_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/xen_host.h"
#include "hypervisor/public/kemari.h"

/** xen_hv_enable() - @port: in wanted or 0, out the controller's */
int xen_hv_enable(struct xen_host *h, uint32_t domid, uint64_t generation,
		  uint32_t role, uint32_t mode, uint64_t dirty_limit,
		  uint32_t *port);

/** xen_hv_disable() - @standby: disable a standby, for destroying it */
int xen_hv_disable(struct xen_host *h, uint32_t domid, uint64_t generation,
		   bool standby);

/** xen_hv_query() - Any HVM or PVH domain; all zero if not enabled */
int xen_hv_query(struct xen_host *h, uint32_t domid,
		 struct xen_hvm_kemari_query *q);

/** xen_hv_eligible() - @reasons: set of KEMARI_NO_* */
int xen_hv_eligible(struct xen_host *h, uint32_t domid, uint32_t *reasons);

/** xen_hv_policy() - @port: or KEMARI_PORT_DEFAULT */
int xen_hv_policy(struct xen_host *h, uint32_t domid, uint32_t port,
		  uint32_t policy);

int xen_hv_pause(struct xen_host *h, uint32_t domid, uint64_t generation);
int xen_hv_resume(struct xen_host *h, uint32_t domid, uint64_t generation);

/** xen_hv_begin() - Close the held set of @epoch */
int xen_hv_begin(struct xen_host *h, uint32_t domid, uint64_t generation,
		 uint64_t epoch, bool merge);

/** xen_hv_release() - Deliver what is held up to and in @epoch */
int xen_hv_release(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint64_t epoch);

/** xen_hv_deliver() - A send held on @port leaves at once.  EALREADY: none */
int xen_hv_deliver(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint32_t port);

/**
 * xen_hv_harvest() - Take the dirty frames
 * @cap:	Room of @gfn; 0 asks for the number only
 * @n:		Frames taken; with ENOBUFS: how many there are
 */
int xen_hv_harvest(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint64_t *gfn, size_t cap, size_t *n);

/** xen_hv_get_evtchns() - Ports [@first, @first + *@n); out: as many as the
 * guest has */
int xen_hv_get_evtchns(struct xen_host *h, uint32_t domid, uint32_t first,
		       struct xen_hvm_kemari_evtchn *e, uint32_t *n);

/** xen_hv_set_evtchns() - Ports [0, @n) */
int xen_hv_set_evtchns(struct xen_host *h, uint32_t domid,
		       const struct xen_hvm_kemari_evtchn *e, uint32_t n);

/** xen_hv_get_pirqs() - Lines of the emulated interrupt controller that are
 * event channels */
int xen_hv_get_pirqs(struct xen_host *h, uint32_t domid,
		     struct xen_hvm_kemari_pirqs *p);
int xen_hv_set_pirqs(struct xen_host *h, uint32_t domid,
		     const struct xen_hvm_kemari_pirqs *p);

/** xen_hv_get_vcpu() - @v->vcpu says which */
int xen_hv_get_vcpu(struct xen_host *h, uint32_t domid,
		    struct xen_hvm_kemari_vcpu *v);
int xen_hv_set_vcpu(struct xen_host *h, uint32_t domid,
		    const struct xen_hvm_kemari_vcpu *v);

int xen_hv_get_dom(struct xen_host *h, uint32_t domid,
		   struct xen_hvm_kemari_dom *d);
int xen_hv_set_dom(struct xen_host *h, uint32_t domid,
		   const struct xen_hvm_kemari_dom *d);

/** xen_hv_context_size() - @size: room that get_context may need */
int xen_hv_context_size(struct xen_host *h, uint32_t domid, size_t *size);

/**
 * xen_hv_get_context() - HVM context and guest time of one instant
 * @len:	In: room of @buf; out: bytes
 */
int xen_hv_get_context(struct xen_host *h, uint32_t domid, void *buf,
		       size_t *len, uint64_t *guest_time);

/** xen_hv_set_context() - Guest time becomes @guest_time + @advance */
int xen_hv_set_context(struct xen_host *h, uint32_t domid, const void *buf,
		       size_t len, uint64_t guest_time, uint64_t advance);

int xen_hv_activate(struct xen_host *h, uint32_t domid, uint64_t generation,
		    uint64_t new_generation);

#endif
