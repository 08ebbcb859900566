// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device_rings.c - the rings of a guest's disks and network cards
 *
 * Names of nodes: xen/io/blkif.h and xen/io/netif.h.  With one queue they lie
 * in the device's own directory, with more in queue-N below it.
 */
#include "libxc-ext/device_rings.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECTED = 4,			/* XenbusStateConnected */
	CLOSING = 5,			/* XenbusStateClosing */
	CLOSED = 6,			/* XenbusStateClosed */
	DIR_MAX = 32,			/* "vbd/<id>" */
	ID_MAX = 12,
};

/** struct reader - state of one device_rings_read() */
struct reader {
	struct device_rings *r;
	const struct nodes *l;
	const char *class, *id;
	char name[DEVICE_NAME_MAX];
	void (*say)(void *arg, const char *text);
	void *arg;
	int said;
};

/* --- names -------------------------------------------------------------- */

/* xvda, xvdaa7: letters count like a number without a zero. */
static void disk_name(uint32_t disk, uint32_t part, char *out, size_t len)
{
	char letters[8];
	size_t at = sizeof(letters) - 1;

	letters[at] = 0;
	for (disk++; disk && at; disk /= 26)
		letters[--at] = (char)('a' + --disk % 26);
	if (part)
		snprintf(out, len, "xvd%s%u", letters + at, part);
	else
		snprintf(out, len, "xvd%s", letters + at);
}

/* Numbers of virtual disks: docs/misc/vbd-interface.txt of Xen. */
void device_name(const char *class, const char *id, char *out)
{
	unsigned long n = strtoul(id, NULL, 10);
	char disk[24] = "";

	if (strcmp(class, "vbd") != 0) {
		snprintf(out, DEVICE_NAME_MAX, "network card %.12s", id);
		return;
	}
	if (n >> 28 == 1)
		disk_name(n >> 8 & 0xfffff, n & 0xff, disk, sizeof(disk));
	else if (n >> 8 == 202)
		disk_name(n >> 4 & 0xf, n & 0xf, disk, sizeof(disk));
	snprintf(out, DEVICE_NAME_MAX, "disk %s%s(%.12s)", disk,
		 *disk ? " " : "", id);
}

/* --- nodes -------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static int complain(struct reader *c, const char *fmt, ...)
{
	char text[DEVICE_WHY_MAX + DEVICE_NAME_MAX + 2];
	char why[DEVICE_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%s: %s", c->name, why);
	c->say(c->arg, text);
	c->said++;
	return -1;
}

__attribute__((format(printf, 3, 4)))
static const char *value(const struct reader *c, enum node_root root,
			 const char *fmt, ...)
{
	char path[NODE_PATH_MAX + 1];
	const struct node *n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = nodes_find(c->l, root, path);
	return n ? (const char *)n->value : NULL;
}

/* A number of the guest's below its directory @dir.  1, 0 there is no such
 * node, -1 it is none within @low..@high, said. */
static int number(struct reader *c, const char *dir, const char *node,
		  uint32_t low, uint32_t high, uint32_t *out)
{
	const char *text = value(c, NODE_DOMAIN, "device/%s/%s", dir, node);
	size_t len;
	uint64_t n;

	if (!text)
		return 0;
	len = strlen(text);
	if (!len || len > 10 || strspn(text, "0123456789") != len)
		return complain(c, "%s is \"%.20s\"; the rule is a number", node,
				text);
	n = strtoull(text, NULL, 10);
	if (n < low || n > high)
		return complain(c, "%s is %llu; the rule is %u to %u", node,
				(unsigned long long)n, low, high);
	*out = (uint32_t)n;
	return 1;
}

/* One that has to be there. */
static int need(struct reader *c, const char *dir, const char *node,
		uint32_t low, uint32_t high, uint32_t *out)
{
	int rc = number(c, dir, node, low, high, out);

	if (rc)
		return rc < 0 ? -1 : 0;
	return complain(c, "has no %s in device/%s", node, dir);
}

/* --- rings -------------------------------------------------------------- */

/* A port belongs to one ring: two policies for it cannot both be right. */
static int port_is_new(struct reader *c, uint32_t port)
{
	for (uint32_t i = 0; i < c->r->n; i++)
		if (c->r->ring[i].port == port)
			return complain(c, "event channel %u belongs to %s already",
					port, c->r->ring[i].name);
	return 0;
}

/* The next ring, without pages yet. */
static struct device_ring *add_ring(struct reader *c, uint32_t port,
				    bool output, int queue, const char *part)
{
	struct device_ring *ring = &c->r->ring[c->r->n];
	char which[20] = "";

	if (port_is_new(c, port))
		return NULL;
	if (c->r->n == PLATFORM_RINGS_MAX) {
		complain(c, "the guest has more than %d rings",
			 PLATFORM_RINGS_MAX);
		return NULL;
	}
	if (queue >= 0)
		snprintf(which, sizeof(which), " queue %d", queue);
	snprintf(ring->name, sizeof(ring->name), "%s%s%s", c->name, which,
		 part);
	ring->port = port;
	ring->output = output;
	ring->first = c->r->refs;
	c->r->n++;
	return ring;
}

static int add_page(struct reader *c, struct device_ring *ring,
		    const char *dir, const char *node)
{
	uint32_t ref = 0;

	if (need(c, dir, node, 0, UINT32_MAX, &ref))
		return -1;
	if (c->r->refs == DEVICE_PAGES_MAX)
		return complain(c, "the rings of the guest have more than %d pages",
				DEVICE_PAGES_MAX);
	c->r->ref[c->r->refs++] = ref;
	ring->pages++;
	return 0;
}

static int disk_queue(struct reader *c, const char *dir, int queue,
		      uint32_t pages, bool numbered)
{
	struct device_ring *ring;
	uint32_t port = 0;
	char node[20];

	if (need(c, dir, "event-channel", 1, DEVICE_PORTS_MAX - 1, &port))
		return -1;
	ring = add_ring(c, port, true, queue, "");
	if (!ring)
		return -1;
	if (!numbered)
		return add_page(c, ring, dir, "ring-ref");
	for (uint32_t i = 0; i < pages; i++) {
		snprintf(node, sizeof(node), "ring-ref%u", i);
		if (add_page(c, ring, dir, node))
			return -1;
	}
	return 0;
}

/* Receive buffers handed to the backend are not output. */
static int card_queue(struct reader *c, const char *dir, int queue)
{
	uint32_t tx = 0, rx = 0;
	struct device_ring *ring;
	int split;

	split = number(c, dir, "event-channel-tx", 1, DEVICE_PORTS_MAX - 1,
		       &tx);
	if (split > 0)
		split = number(c, dir, "event-channel-rx", 1,
			       DEVICE_PORTS_MAX - 1, &rx);
	if (split < 0)
		return -1;
	if (!split && need(c, dir, "event-channel", 1, DEVICE_PORTS_MAX - 1,
			   &tx))
		return -1;
	if (!split)
		rx = tx;
	ring = add_ring(c, tx, true, queue, tx == rx ? "" : " tx");
	if (!ring || add_page(c, ring, dir, "tx-ring-ref"))
		return -1;
	if (tx != rx)
		ring = add_ring(c, rx, false, queue, " rx");
	return ring ? add_page(c, ring, dir, "rx-ring-ref") : -1;
}

/* --- devices ------------------------------------------------------------ */

static int disk_pages(struct reader *c, const char *dir, uint32_t *pages,
		      bool *numbered)
{
	uint32_t order = 0;
	int rc;

	static_assert(DEVICE_RING_PAGES_MAX == 1 << 4, "orders 0 to 4");
	rc = number(c, dir, "ring-page-order", 0, 4, &order);
	*pages = 1u << order;
	*numbered = rc > 0;
	return rc < 0 ? -1 : 0;
}

/* The frontend has told the backend all there is, and the backend uses it. */
static int check_connected(struct reader *c, const char *dir)
{
	uint32_t state = 0;

	if (need(c, dir, "state", 0, UINT32_MAX, &state))
		return -1;
	if (state == CONNECTED)
		return 0;
	if (state == CLOSING || state == CLOSED)
		c->r->closing++;
	return complain(c, "its driver in the guest is in state %u; the rule is %u, connected: try again later",
			state, CONNECTED);
}

/* The toolstack's word: the guest could write anything into its own node. */
static int check_backend(struct reader *c)
{
	const char *path = value(c, NODE_LIBXL, "device/%s/%s/backend",
				 c->class, c->id);
	char kind[16] = "", seen[16];
	unsigned int domid = 0;

	if (!path || sscanf(path, "/local/domain/%u/backend/%15[^/]/", &domid,
			    seen) != 2)
		return complain(c, "the toolstack does not know its backend");
	memcpy(kind, seen, sizeof(kind));
	if (domid)
		return complain(c, "its backend is domain %u; the rule is domain 0",
				domid);
	if (strcmp(kind, c->class) == 0)
		return 0;
	return complain(c, "its backend is %s; the rule is %s of domain 0's kernel%s",
			strcmp(kind, "qdisk") == 0 ? "qemu (qdisk)" : kind,
			c->class[1] == 'b' ? "xen-blkback" : "xen-netback",
			c->class[1] == 'b' ? " (a block device, phy:)" : "");
}

/* What a backend would have to remember, and the other host's does not know. */
static int check_features(struct reader *c, const char *dir)
{
	uint32_t multicast = 0;

	if (number(c, dir, "request-multicast-control", 0, UINT32_MAX,
		   &multicast) < 0)
		return -1;
	if (multicast)
		return complain(c, "its driver in the guest asked for multicast filters (request-multicast-control %u); the rule is none",
				multicast);
	if (!value(c, NODE_DOMAIN, "device/%s/ctrl-ring-ref", dir) &&
	    !value(c, NODE_DOMAIN, "device/%s/event-channel-ctrl", dir))
		return 0;
	return complain(c, "its driver in the guest uses a control ring; the rule is none");
}

static int read_device(struct reader *c)
{
	bool disk = c->class[1] == 'b', numbered = false;
	uint32_t queues = 1, pages = 1;
	char dir[DIR_MAX], sub[DIR_MAX + 20];

	snprintf(dir, sizeof(dir), "%s/%s", c->class, c->id);
	if (check_backend(c) || check_connected(c, dir) ||
	    check_features(c, dir) ||
	    number(c, dir, "multi-queue-num-queues", 1, DEVICE_QUEUES_MAX,
		   &queues) < 0 ||
	    (disk && disk_pages(c, dir, &pages, &numbered)))
		return -1;
	for (uint32_t i = 0; i < queues; i++) {
		int queue = queues > 1 ? (int)i : -1;

		if (queue < 0)
			snprintf(sub, sizeof(sub), "%s", dir);
		else
			snprintf(sub, sizeof(sub), "%s/queue-%u", dir, i);
		if (disk ? disk_queue(c, sub, queue, pages, numbered) :
			   card_queue(c, sub, queue))
			return -1;
	}
	return 0;
}

/* What a failed device left behind. */
static void forget(struct device_rings *r, uint32_t n, uint32_t refs)
{
	memset(r->ring + n, 0, (r->n - n) * sizeof(r->ring[0]));
	memset(r->ref + refs, 0, (r->refs - refs) * sizeof(r->ref[0]));
	r->n = n;
	r->refs = refs;
}

/* The toolstack's directory of one device?  Its number is then in @id. */
static bool is_device(const struct node *n, const char *class, char *id)
{
	char prefix[16];
	size_t len, digits;

	len = (size_t)snprintf(prefix, sizeof(prefix), "device/%s/", class);
	if (n->root != NODE_LIBXL || strncmp(n->path, prefix, len) != 0)
		return false;
	digits = strspn(n->path + len, "0123456789");
	if (!digits || digits >= ID_MAX || n->path[len + digits])
		return false;
	memcpy(id, n->path + len, digits + 1);
	return true;
}

int device_rings_read(struct device_rings *r, const struct nodes *l,
		      void (*say)(void *arg, const char *text), void *arg)
{
	static const char *const class[] = { "vbd", "vif" };
	struct reader c = { .r = r, .l = l, .say = say, .arg = arg };
	char id[ID_MAX];

	memset(r, 0, sizeof(*r));
	for (size_t k = 0; k < sizeof(class) / sizeof(class[0]); k++) {
		for (size_t i = 0; i < l->n; i++) {
			uint32_t n = r->n, refs = r->refs;

			if (!is_device(&l->node[i], class[k], id))
				continue;
			c.class = class[k];
			c.id = id;
			device_name(class[k], id, c.name);
			if (read_device(&c))
				forget(r, n, refs);
		}
	}
	return c.said;
}

bool device_rings_same(const struct device_rings *a,
		       const struct device_rings *b)
{
	return a->n == b->n && a->refs == b->refs &&
	       !memcmp(a->ref, b->ref, a->refs * sizeof(a->ref[0])) &&
	       !memcmp(a->ring, b->ring, a->n * sizeof(a->ring[0]));
}

/* --- grants ------------------------------------------------------------- */

/* Version 1; xen_rings.c checks it against Xen's own. */
struct grant {
	uint16_t flags;
	uint16_t domid;
	uint32_t frame;
};
static_assert(sizeof(struct grant) == 8, "layout");

enum {
	GRANTS_PER_FRAME = PLATFORM_PAGE / sizeof(struct grant),
	GRANT_TYPE = 3,
	GRANT_PERMIT_ACCESS = 1,
	GRANT_READONLY = 4,
};

int device_rings_frame(const void *table, size_t frames, uint32_t ref,
		       uint64_t *gfn, char *why)
{
	const volatile struct grant *live = table;
	struct grant g;

	if (ref / GRANTS_PER_FRAME >= frames) {
		snprintf(why, DEVICE_WHY_MAX, "grant %u is beyond the table of %zu frames",
			 ref, frames);
		errno = EPROTO;
		return -1;
	}
	g.flags = live[ref].flags;
	g.domid = live[ref].domid;
	g.frame = live[ref].frame;
	if ((g.flags & GRANT_TYPE) != GRANT_PERMIT_ACCESS ||
	    g.flags & GRANT_READONLY || g.domid) {
		snprintf(why, DEVICE_WHY_MAX, "grant %u (flags %#x, domain %u) is not one of a writable page to domain 0",
			 ref, g.flags, g.domid);
		errno = EPROTO;
		return -1;
	}
	*gfn = g.frame;
	return 0;
}
