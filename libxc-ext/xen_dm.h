/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_dm.h - the device model of a domain: found, started, ended
 *
 * What is in it is ioemu's; here it is a process of this host, as the toolstack
 * left it or as we start it for a standby.
 */
#ifndef KEMARI_XEN_DM_H
#define KEMARI_XEN_DM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libxc-ext/dm_args.h"
#include "libxc-ext/xen_check.h"
#include "libxc-ext/xen_host.h"

struct dm;

/**
 * xen_dm_find() - The device model of @domid
 * Return: its process; 0 there is none; -1 with errno
 */
pid_t xen_dm_find(struct xen_host *h, uint32_t domid);

/** xen_dm_check() - Add what speaks against protecting the domain's, if it has
 * one */
int xen_dm_check(struct xen_host *h, uint32_t domid, uint32_t vcpus,
		 struct xen_reasons *r);

/** xen_dm_args() - What the process @pid was told.  EXDEV: see check */
int xen_dm_args(struct xen_host *h, pid_t pid, struct dm_args *out);

/**
 * xen_dm_open() - Speak to the device model of @domid
 * @wait_ms:	It may need so long to get there
 * Return: for dm_free(), or NULL
 */
struct dm *xen_dm_open(struct xen_host *h, uint32_t domid, uint64_t wait_ms);

/**
 * xen_dm_start() - Start one that waits for a state
 *
 * The domain exists and has never run.  The device model outlives this
 * process; its output goes to /var/log/xen.
 * Return: its process, or -1
 */
pid_t xen_dm_start(struct xen_host *h, uint32_t domid,
		   const struct dm_args *a);

/**
 * xen_dm_quit() - Let the process @pid end, connected as @dm, by itself
 *
 * What Xen keeps for it goes with it; after xen_dm_end() that stays with the
 * domain.
 */
int xen_dm_quit(struct xen_host *h, uint32_t domid, pid_t pid, struct dm *dm);

/** xen_dm_end() - Kill the process @pid if it is @domid's device model, and
 * wait for its end; what it left in xenstore goes */
int xen_dm_end(struct xen_host *h, uint32_t domid, pid_t pid);

#endif
