/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_map.c - a whole guest's memory, mapped once
 */
#include "libxc-ext/xen_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK_SHIFT = 9, CHUNK = 1 << CHUNK_SHIFT };

struct chunk {
	uint8_t *base;			/* of the chunk's frame .first */
	uint16_t first, frames;		/* what is mapped, holes included */
	uint64_t present[CHUNK / 64];
};

struct xen_map {
	struct xen_host *h;
	size_t nchunks;
	struct chunk chunk[];
};

static void mark(struct xen_map *m, const struct gfn_range *r)
{
	for (uint64_t gfn = r->first; gfn < r->first + r->count; gfn++) {
		unsigned int at = gfn & (CHUNK - 1);

		m->chunk[gfn >> CHUNK_SHIFT].present[at / 64] |=
			1ull << (at % 64);
	}
}

static bool present(const struct chunk *c, unsigned int at)
{
	return c->present[at / 64] >> (at % 64) & 1;
}

/* Map from the first to the last present frame; holes stay unmapped. */
static int map_chunk(struct xen_map *m, uint32_t domid, size_t number,
		     int prot)
{
	struct chunk *c = &m->chunk[number];
	xen_pfn_t gfn[CHUNK];
	int err[CHUNK];
	int first = 0, last = CHUNK - 1;

	while (first < CHUNK && !present(c, first))
		first++;
	if (first == CHUNK)
		return 0;
	while (!present(c, last))
		last--;

	c->first = first;
	c->frames = last - first + 1;
	for (int i = 0; i < c->frames; i++)
		gfn[i] = ((xen_pfn_t)number << CHUNK_SHIFT) + first + i;
	c->base = xenforeignmemory_map(m->h->fmem, domid, prot, c->frames,
				       gfn, err);
	if (!c->base)
		return xen_fail(m->h, errno, "domain %u: cannot map frames "
				"%#llx to %#llx: %s", domid,
				(unsigned long long)gfn[0],
				(unsigned long long)gfn[c->frames - 1],
				strerror(errno));
	for (int i = 0; i < c->frames; i++)
		if (err[i] && present(c, first + i))
			return xen_fail(m->h, err[i] < 0 ? -err[i] : err[i],
					"domain %u: cannot map frame %#llx: %s",
					domid, (unsigned long long)gfn[i],
					strerror(abs(err[i])));
	return 0;
}

struct xen_map *xen_map_open(struct xen_host *h, uint32_t domid,
			     const struct gfn_range *ranges, size_t n,
			     bool writable)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	uint64_t top = n ? ranges[n - 1].first + ranges[n - 1].count : 0;
	struct xen_map *m;
	size_t nchunks;
	int err;

	if (!top || top > PLATFORM_GFN_MAX) {
		xen_fail(h, EINVAL, "domain %u: highest frame %#llx is not "
			 "within 1..%#x", domid, (unsigned long long)top,
			 PLATFORM_GFN_MAX);
		return NULL;
	}
	nchunks = (top + CHUNK - 1) >> CHUNK_SHIFT;
	m = calloc(1, sizeof(*m) + nchunks * sizeof(m->chunk[0]));
	if (!m) {
		xen_fail(h, ENOMEM, "no memory to map domain %u", domid);
		return NULL;
	}
	m->h = h;
	m->nchunks = nchunks;
	for (size_t i = 0; i < n; i++)
		mark(m, &ranges[i]);
	for (size_t i = 0; i < nchunks; i++) {
		if (map_chunk(m, domid, i, prot)) {
			err = errno;
			xen_map_close(m);
			errno = err;
			return NULL;
		}
	}
	return m;
}

void *xen_map_page(const struct xen_map *m, uint64_t gfn)
{
	const struct chunk *c;
	unsigned int at = gfn & (CHUNK - 1);

	if (gfn >> CHUNK_SHIFT >= m->nchunks)
		return NULL;
	c = &m->chunk[gfn >> CHUNK_SHIFT];
	if (!present(c, at))
		return NULL;
	return c->base + (size_t)(at - c->first) * PLATFORM_PAGE;
}

void xen_map_close(struct xen_map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nchunks; i++)
		if (m->chunk[i].base)
			xenforeignmemory_unmap(m->h->fmem, m->chunk[i].base,
					       m->chunk[i].frames);
	free(m);
}
