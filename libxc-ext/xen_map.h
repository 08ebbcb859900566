/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_map.h - a whole guest's memory, mapped once
 *
 * In chunks of 2 MiB (512 frames), so that a frame's address is found in O(1)
 * and no mapping is ever split.  A frame stays mapped, and the page under it
 * in existence, until xen_map_close().
 */
#ifndef KEMARI_XEN_MAP_H
#define KEMARI_XEN_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "libxc-ext/xen_host.h"

struct xen_map;

/**
 * xen_map_open() - Map frames of a domain
 * @ranges:	Ascending, disjoint, all below PLATFORM_GFN_MAX, all populated
 * @writable:	Map for writing too
 * Return: to be closed before @h, or NULL with errno and a sentence in @h
 */
struct xen_map *xen_map_open(struct xen_host *h, uint32_t domid,
			     const struct gfn_range *ranges, size_t n,
			     bool writable);

/** xen_map_page() - Address of @gfn, NULL if it is in none of the ranges */
void *xen_map_page(const struct xen_map *m, uint64_t gfn);

/** xen_map_close() - NULL is fine */
void xen_map_close(struct xen_map *m);

#endif
