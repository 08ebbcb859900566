/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_shell.h - a domain without a life of its own: the standby's
 *
 * Created straight through libxenctrl, not by a toolstack: the same domain ID,
 * frames, CPU and limits as the primary's, all memory reserved, never run.
 */
#ifndef KEMARI_XEN_SHELL_H
#define KEMARI_XEN_SHELL_H

#include <stdint.h>

#include "libxc-ext/xen_host.h"
#include "libxc-ext/xen_image.h"

/**
 * xen_shell_build() - Create the domain of @s, role standby
 *
 * All of it or nothing.  EADDRINUSE: a domain has the ID, the sentence says
 * which; ENOMEM: with figures; EXDEV: this host's CPU cannot be the guest's.
 */
int xen_shell_build(struct xen_host *h, const struct xen_shape *s,
		    uint64_t generation);

/** xen_shell_find() - Domain ID of a standby with @uuid; ENOENT */
int xen_shell_find(struct xen_host *h, const uint8_t uuid[16],
		   uint32_t *domid);

/**
 * xen_shell_destroy() - The domain goes
 *
 * None of it may be mapped any more, or it stays as a zombie.  No such domain
 * is fine.
 */
int xen_shell_destroy(struct xen_host *h, uint32_t domid);

#endif
