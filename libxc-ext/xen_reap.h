/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_reap.h - clean up after a domain that was taken over
 *
 * xl leaves a process behind for each domain that it creates, which destroys
 * the domain once it has shut down.  A domain that was taken over has none:
 * after a power-off it would keep its number and its memory for ever.  The
 * process that took it over does that duty instead.  This header needs no
 * header of Xen.
 */
#ifndef KEMARI_XEN_REAP_H
#define KEMARI_XEN_REAP_H

#include <stddef.h>
#include <stdint.h>

struct xen_reaper;

/**
 * xen_reaper_open() - Follow a domain of this host
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 * Return: to be closed, or NULL with errno
 */
struct xen_reaper *xen_reaper_open(uint32_t domid, const uint8_t uuid[16],
				   char *why);

/** xen_reaper_fd() - Readable when run() may have something to do */
int xen_reaper_fd(const struct xen_reaper *r);

/**
 * xen_reaper_run() - See how the domain is; clean up if it has shut down
 * @say:	Gets a sentence unless 0, PLATFORM_WHY_MAX bytes
 * Return: 0 it lives on; 1 it is no more, by xl destroy or by this call,
 *	   nothing is left of it; -1 with errno, may be tried again
 */
int xen_reaper_run(struct xen_reaper *r, char *say);

/** xen_reaper_close() - NULL is fine; the domain is left as it is */
void xen_reaper_close(struct xen_reaper *r);

#endif
