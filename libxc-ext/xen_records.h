/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_records.h - byte layouts of the records that platform_xen writes
 *
 * Little-endian, no padding; packed, so that a record may lie at any address.
 * All of them are mandatory.  Types from 0x1100 on are nodes.h's.
 *
 * describe():	DOMAIN, RANGES, CPUID, MSRS, PARAMS, DM,
 *		RECORD_DM_STATE, store nodes
 * save EARLY:	RECORD_DM_STATE, DOM, PARAMS, PIRQS, PORTS, VCPU of each vCPU,
 *		store nodes
 * save LATE:	CONTEXT, GRANT of each frame in use
 */
#ifndef KEMARI_XEN_RECORDS_H
#define KEMARI_XEN_RECORDS_H

#include <assert.h>
#include <stdint.h>

#include "libxc-ext/records.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "records are little-endian and used in place");

enum {
	RECORD_XEN_DOMAIN = RECORD_TYPE_PLATFORM,
	RECORD_XEN_RANGES,		/* struct xen_rec_range [] */
	RECORD_XEN_CPUID,		/* struct xen_rec_cpuid [] */
	RECORD_XEN_MSRS,		/* struct xen_rec_msr [] */
	RECORD_XEN_DM,			/* of a guest with a device model */

	RECORD_XEN_DOM = RECORD_TYPE_PLATFORM + 0x10,
	RECORD_XEN_PARAMS,		/* struct xen_rec_param [] */
	RECORD_XEN_PORTS,		/* struct xen_rec_port [], from 0 on */
	RECORD_XEN_VCPU,		/* .instance: vCPU */
	RECORD_XEN_PIRQS,		/* with a device model; before PORTS */

	RECORD_XEN_CONTEXT = RECORD_TYPE_PLATFORM + 0x20,
	RECORD_XEN_GRANT,		/* .instance: frame of the table */

	XEN_CPUID_MAX = 1024,		/* leaves */
	XEN_MSRS_MAX = 256,
	XEN_PARAMS_MAX = 64,
	XEN_GSIS_MAX = 64,		/* KEMARI_MAX_GSIS */
};

#define XEN_RECORD(name, size)						\
	static_assert(sizeof(struct name) == (size), "layout of " #name)

/** struct xen_rec_domain - what the shell is created with */
struct xen_rec_domain {
	uint8_t uuid[16];
	uint32_t domid;
	uint32_t vcpus;
	uint32_t create_flags;		/* XEN_DOMCTL_CDF_hvm | _hap */
	uint32_t emulation_flags;	/* XEN_X86_EMU_* */
	uint32_t max_grant_frames;
	uint32_t zero;
	uint32_t kemari_port;		/* the controller's */
	uint32_t tsc_mode;
	uint32_t tsc_khz;
	uint32_t ssidref;
	uint64_t pages;			/* in RANGES */
	uint64_t max_pages;		/* the domain may have */
	uint64_t paging_bytes;		/* memory for its page tables */
	uint64_t shared_info;		/* gfn; one of RANGES */
} __attribute__((packed));
XEN_RECORD(xen_rec_domain, 88);

/** struct xen_rec_range - as struct gfn_range */
struct xen_rec_range {
	uint64_t first;
	uint64_t count;
} __attribute__((packed));
XEN_RECORD(xen_rec_range, 16);

/** struct xen_rec_cpuid - as xen_cpuid_leaf_t */
struct xen_rec_cpuid {
	uint32_t leaf, subleaf;
	uint32_t a, b, c, d;
} __attribute__((packed));
XEN_RECORD(xen_rec_cpuid, 24);

/** struct xen_rec_msr - as xen_msr_entry_t */
struct xen_rec_msr {
	uint32_t index;
	uint32_t flags;			/* zero */
	uint64_t value;
} __attribute__((packed));
XEN_RECORD(xen_rec_msr, 16);

/** struct xen_rec_dm - the device model of a guest that has one */
struct xen_rec_dm {
	uint32_t memory_mib;		/* it was told */
	uint32_t first_port;		/* of those that lead from the guest's
					 * vCPUs to it: */
	uint32_t ports;			/* vCPUs and one */
	uint32_t kernel;		/* 1: it was given one to boot, else 0 */
} __attribute__((packed));
XEN_RECORD(xen_rec_dm, 16);

/** struct xen_rec_pirqs - interrupt lines that are event channels */
struct xen_rec_pirqs {
	uint16_t pirq[XEN_GSIS_MAX];	/* by GSI; KEMARI_PIRQ_NONE */
} __attribute__((packed));
XEN_RECORD(xen_rec_pirqs, 2 * XEN_GSIS_MAX);

/** struct xen_rec_dom - domain-wide state */
struct xen_rec_dom {
	uint64_t vm_assist;
	uint64_t shared_info;		/* gfn: as in DOMAIN */
	uint32_t ports;			/* in PORTS */
	uint32_t grant_frames;		/* in use: so many GRANT */
} __attribute__((packed));
XEN_RECORD(xen_rec_dom, 24);

/** struct xen_rec_param - one HVM parameter, HVM_PARAM_* */
struct xen_rec_param {
	uint32_t index;			/* ascending */
	uint32_t zero;
	uint64_t value;			/* not 0 */
} __attribute__((packed));
XEN_RECORD(xen_rec_param, 16);

/** struct xen_rec_port - one event channel */
struct xen_rec_port {
	uint8_t state;			/* KEMARI_EVTCHN_* */
	uint8_t zero;
	uint16_t remote;		/* domain ID: 0 */
	uint16_t virq;			/* or pirq */
	uint16_t zero2;
	uint32_t vcpu;			/* it notifies */
} __attribute__((packed));
XEN_RECORD(xen_rec_port, 12);

/** struct xen_rec_vcpu - as struct xen_hvm_kemari_vcpu */
struct xen_rec_vcpu {
	uint32_t flags;			/* KEMARI_VF_* */
	uint32_t upcall_vector;
	uint64_t info_gfn;		/* ~0: in shared_info */
	uint32_t info_offset;
	uint32_t activity;
	uint64_t runstate_area;		/* guest virtual addresses */
	uint64_t time_area;
	uint64_t runstate_time[4];	/* ns */
	uint64_t singleshot;		/* guest system time, ns */
	uint64_t periodic;		/* ns */
	uint64_t dr6_pending;
} __attribute__((packed));
XEN_RECORD(xen_rec_vcpu, 96);

/** struct xen_rec_context - followed by the HVM context */
struct xen_rec_context {
	uint64_t guest_time;		/* ns, at the instant of the context */
	uint8_t context[];
} __attribute__((packed));
XEN_RECORD(xen_rec_context, 8);

/** struct xen_rec_grant - one frame of the grant table */
struct xen_rec_grant {
	uint64_t gfn;			/* where the guest sees it; ~0 nowhere */
	uint8_t frame[4096];
} __attribute__((packed));
XEN_RECORD(xen_rec_grant, 4104);

#endif
