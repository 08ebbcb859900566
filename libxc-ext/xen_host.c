/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_host.c - the handles to this host's hypervisor that the xen_* share
 */
#include "libxc-ext/xen_host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/public/kemari.h"

int xen_fail(struct xen_host *h, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->why, sizeof(h->why), fmt, ap);
	va_end(ap);
	errno = err;
	return -1;
}

struct xen_host *xen_host_open(char *why)
{
	struct xen_host *h = calloc(1, sizeof(*h));
	int err;

	if (!h) {
		snprintf(why, PLATFORM_WHY_MAX, "out of memory");
		return NULL;
	}
	h->xch = xc_interface_open(NULL, NULL, 0);
	h->call = xencall_open(NULL, 0);
	h->fmem = xenforeignmemory_open(NULL, 0);
	if (h->call)
		h->arg = xencall_alloc_buffer(h->call, sizeof(*h->arg));
	if (h->xch && h->fmem && h->arg)
		return h;

	err = errno;
	snprintf(why, PLATFORM_WHY_MAX,
		 "cannot talk to the hypervisor: %s; this must run as root in "
		 "the control domain of a Xen host", strerror(err));
	xen_host_close(h);
	errno = err;
	return NULL;
}

void xen_host_close(struct xen_host *h)
{
	if (!h)
		return;
	if (h->bounce)
		xencall_free_buffer(h->call, h->bounce);
	if (h->arg)
		xencall_free_buffer(h->call, h->arg);
	if (h->fmem)
		xenforeignmemory_close(h->fmem);
	if (h->call)
		xencall_close(h->call);
	if (h->xch)
		xc_interface_close(h->xch);
	free(h);
}

void *xen_host_bounce(struct xen_host *h, size_t len)
{
	if (len > h->bounce_len) {
		void *more = xencall_alloc_buffer(h->call, len);

		if (!more) {
			xen_fail(h, ENOMEM,
				 "no memory for a hypercall buffer of %zu bytes",
				 len);
			return NULL;
		}
		if (h->bounce)
			xencall_free_buffer(h->call, h->bounce);
		h->bounce = more;
		h->bounce_len = len;
	}
	memset(h->bounce, 0, len);
	return h->bounce;
}
