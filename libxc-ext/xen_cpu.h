/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_cpu.h - the CPU that a guest sees (its CPUID and MSR policy)
 */
#ifndef KEMARI_XEN_CPU_H
#define KEMARI_XEN_CPU_H

#include <stdint.h>

#include "libxc-ext/records.h"
#include "libxc-ext/xen_host.h"
#include "libxc-ext/xen_image.h"

/** xen_cpu_save() - Append CPUID and MSRS of a domain */
int xen_cpu_save(struct xen_host *h, uint32_t domid, struct recbuf *out);

/**
 * xen_cpu_set() - Give a new domain the CPU of @s
 *
 * EXDEV: this host cannot: another vendor, or a feature is missing.  Xen by
 * itself would silently take the feature away from the guest.
 */
int xen_cpu_set(struct xen_host *h, uint32_t domid, const struct xen_shape *s);

#endif
