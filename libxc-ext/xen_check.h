/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_check.h - why a domain cannot be protected, in sentences
 *
 * Each sentence names the thing, its value and the rule.
 */
#ifndef KEMARI_XEN_CHECK_H
#define KEMARI_XEN_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"

struct xc_interface_core;

enum { XEN_REASON_MAX = 200 };

/** struct xen_reasons - sentences; those that do not fit are dropped */
struct xen_reasons {
	char text[PLATFORM_REASONS_MAX][XEN_REASON_MAX];
	size_t n;
};

/** xen_reason() - Add a sentence */
void xen_reason(struct xen_reasons *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** xen_check_bits() - Add those of the hypervisor: KEMARI_NO_* */
void xen_check_bits(struct xen_reasons *r, uint32_t bits);

/**
 * xen_check_domain() - Add those that the toolstack's data show
 *
 * Kind and state of the domain, devices, device model, memory target, TSC
 * mode; with @storage where its disks are, see xen_disk.h.
 * Return: 0, or -1 with errno if that cannot be found out
 */
int xen_check_domain(struct xen_reasons *r, struct xc_interface_core *xch,
		     uint32_t domid, bool storage);

#endif
