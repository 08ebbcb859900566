/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_disk.h - the block devices behind a guest's disks on this host
 *
 * The rules of disk.h, applied to what the backends in xenstore name.
 */
#ifndef KEMARI_XEN_DISK_H
#define KEMARI_XEN_DISK_H

#include <stdint.h>

#include "libxc-ext/xen_check.h"

struct xs_handle;

/**
 * xen_disk_check() - Add a reason for each disk that another host cannot take
 * over with all that was acknowledged: docs/STORAGE.md, "Which storage"
 *
 * Read-only disks pass.  A loop device on shared storage is switched to direct
 * I/O, the one thing that is changed here.  INV-40
 */
void xen_disk_check(struct xen_reasons *r, struct xs_handle *xs,
		    uint32_t domid);

#endif
