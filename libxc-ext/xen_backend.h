/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_backend.h - backends of a standby: opened, waiting, attached, closed
 *
 * What libxl does for a guest's disks and network cards, for a domain that
 * libxl does not know: the directories in xenstore bring the kernel's backend
 * to InitWait, a hotplug script then opens the disk or bridges the card.
 * There it waits, with a frontend that is Initialising, and touches nothing,
 * until xen_store_restore() writes the guest's own frontend, Connected.
 *
 * 0, or -1 with errno and a sentence in xen_store_why().
 */
#ifndef KEMARI_XEN_BACKEND_H
#define KEMARI_XEN_BACKEND_H

#include "libxc-ext/platform.h"
#include "libxc-ext/xen_store.h"

/**
 * xen_backends_open() - Bring the backends of a standby to where they wait
 * @how:	What is known of the storage
 *
 * After xen_store_standby().  Takes as long as the scripts, seconds on a busy
 * host, and at most BACKEND_OPEN_MS; on failure close() what there is.  INV-38
 */
enum {
	BACKEND_OPEN_MS = 45000,	/* the primary waits longer: PEER_PATIENCE */
	BACKEND_SCRIPT_MS = 40000,	/* libxl's, too */
};
int xen_backends_open(struct xen_store *s, enum platform_xen_storage how);

/**
 * xen_backends_ready() - May they attach?  Drops what is cached of the disks
 *
 * Part of xen_store_restore(), after the fence: checks that each disk is there
 * and as large as the guest knows it.  INV-40
 */
int xen_backends_ready(struct xen_store *s);

/**
 * xen_backends_attached() - Do they serve the guest?
 * Return: 1 all do; 0 one does not yet, -1 one cannot: the sentence names it
 */
int xen_backends_attached(struct xen_store *s);

/**
 * xen_backends_close() - Close each backend that the domain has on this host
 *
 * Standby or running, known to @s or not: in order, as libxl does by force,
 * within BACKEND_CLOSE_MS, and BACKEND_SCRIPT_MS for all scripts.  None is
 * fine; the directories are gone then.
 */
enum { BACKEND_CLOSE_MS = 10000 };
int xen_backends_close(struct xen_store *s);

#endif
