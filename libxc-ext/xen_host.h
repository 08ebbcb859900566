/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_host.h - the handles to this host's hypervisor that the xen_* share
 *
 * All xen_* functions that take a struct xen_host return 0, or -1 with errno
 * and a sentence in xen_host.why.  Not thread-safe.
 */
#ifndef KEMARI_XEN_HOST_H
#define KEMARI_XEN_HOST_H

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1		/* before any Xen header */
#endif

#include <stddef.h>
#include <stdint.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "libxc-ext/platform.h"

struct xen_hvm_kemari;

/** struct xen_host - open handles, owned; and the last failure */
struct xen_host {
	xc_interface *xch;		/* silent: errors come as sentences */
	xencall_handle *call;
	xenforeignmemory_handle *fmem;
	struct xen_hvm_kemari *arg;	/* hypercall-safe */
	void *bounce;			/* hypercall-safe, grows */
	size_t bounce_len;
	char why[PLATFORM_WHY_MAX];
};

/** xen_host_open() - Return: to be closed, or NULL with errno and @why */
struct xen_host *xen_host_open(char *why);

/** xen_host_close() - NULL is fine */
void xen_host_close(struct xen_host *h);

/** xen_host_bounce() - Hypercall-safe memory of at least @len bytes, zeroed
 * Return: valid until the next call, or NULL with errno and a sentence */
void *xen_host_bounce(struct xen_host *h, size_t len);

/** xen_fail() - Note a sentence, set errno to @err, return -1 */
int xen_fail(struct xen_host *h, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
