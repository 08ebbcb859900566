/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_always.c - pages that others write without log-dirty's knowledge
 */
#include "libxc-ext/xen_always.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libxc-ext/ring.h"

struct entry {
	uint64_t gfn;
	enum xen_always_kind kind;
	bool valid;			/* .copy was taken */
	bool dirty;			/* listed already, in this harvest */
	uint8_t *copy;
};

struct xen_always {
	size_t n;
	struct entry entry[XEN_ALWAYS_MAX];	/* ascending by gfn */
	uint8_t fresh[PLATFORM_PAGE];
};

struct xen_always *xen_always_new(void)
{
	return calloc(1, sizeof(struct xen_always));
}

void xen_always_free(struct xen_always *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->entry[i].copy);
	free(a);
}

/* Index of the first entry not below @gfn. */
static size_t place(const struct xen_always *a, uint64_t gfn)
{
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (a->entry[mid].gfn < gfn)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct entry *find(struct xen_always *a, uint64_t gfn)
{
	size_t at = place(a, gfn);

	return at < a->n && a->entry[at].gfn == gfn ? &a->entry[at] : NULL;
}

int xen_always_add(struct xen_always *a, uint64_t gfn,
		   enum xen_always_kind kind)
{
	size_t at = place(a, gfn);
	uint8_t *copy;

	if (at < a->n && a->entry[at].gfn == gfn)
		return 0;
	if (a->n == XEN_ALWAYS_MAX) {
		errno = E2BIG;
		return -1;
	}
	copy = malloc(PLATFORM_PAGE);
	if (!copy)
		return -1;
	memmove(&a->entry[at + 1], &a->entry[at],
		(a->n - at) * sizeof(a->entry[0]));
	a->entry[at] = (struct entry){ .gfn = gfn, .kind = kind, .copy = copy };
	a->n++;
	return 0;
}

size_t xen_always_count(const struct xen_always *a)
{
	return a->n;
}

static void copy_page(enum xen_always_kind kind, void *dst, const void *src)
{
	switch (kind) {
	case XEN_ALWAYS_STORE:
		ring_store_copy(dst, src);
		break;
	case XEN_ALWAYS_CONSOLE:
		ring_console_copy(dst, src);
		ring_console_replay(dst);
		break;
	case XEN_ALWAYS_PLAIN:
		memcpy(dst, src, PLATFORM_PAGE);
		break;
	}
}

void xen_always_harvest(struct xen_always *a, const struct xen_map *m,
			uint64_t *gfn, size_t *n)
{
	for (size_t i = 0; i < *n; i++) {
		struct entry *e = find(a, gfn[i]);

		if (e)
			e->dirty = true;
	}
	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->entry[i];
		const void *live = xen_map_page(m, e->gfn);

		if (!live)
			continue;
		copy_page(e->kind, a->fresh, live);
		if (!e->valid || memcmp(a->fresh, e->copy, PLATFORM_PAGE)) {
			memcpy(e->copy, a->fresh, PLATFORM_PAGE);
			e->valid = true;
			if (!e->dirty)
				gfn[(*n)++] = e->gfn;
		}
		e->dirty = false;
	}
}

const void *xen_always_page(const struct xen_always *a, uint64_t gfn)
{
	const struct entry *e = find((struct xen_always *)a, gfn);

	return e && e->valid ? e->copy : NULL;
}
