// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_store.c - the nodes of a domain in xenstore: read, written, removed
 *
 * DOC: Theory of Operation
 *
 * A domain has six subtrees (enum node_root).  The primary reads them once
 * and then only what a watch reports; the records are always those of the
 * whole.  The standby gets a subset under another name, chosen so that xl
 * lists and destroys it and that no daemon attaches to it: everything but the
 * console; and disks and network cards of its own, as a toolstack makes them,
 * whose backends wait (xen_backend.c).  At the take-over the subtrees are
 * replaced in one transaction, but for these backends: they then find the
 * guest's frontends in the place of the standby's, and attach.
 *
 * Not carried over is what a daemon or a driver of the host has written about
 * itself: the terminal of the console, most of a backend.  Permissions for domains other than the guest and
 * the control domain are not carried over either: on another host these
 * numbers mean other domains.
 */
#include "libxc-ext/xen_store_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libxc-ext/device.h"
#include "libxc-ext/xen_backend.h"

static const char standby_suffix[] = "--standby";
static const char dm_node[] = "image/device-model-pid";

int store_fail(struct xen_store *s, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	errno = err;
	return -1;
}

const char *xen_store_why(const struct xen_store *s)
{
	return s->why;
}

void store_path(const struct xen_store *s, enum node_root root,
		const char *path, char *out)
{
	snprintf(out, STORE_PATH_MAX, "%s%s%s", s->root[root],
		 *path ? "/" : "", path);
}

int xen_store_open(struct xen_store **out, struct xc_interface_core *xch,
		   uint32_t domid, const uint8_t uuid[16], char *why)
{
	struct xen_store *s = calloc(1, sizeof(*s));
	size_t i, n;

	if (!s) {
		snprintf(why, PLATFORM_WHY_MAX, "no memory");
		return -1;
	}
	s->xch = xch;
	s->domid = domid;
	memcpy(s->uuid, uuid, sizeof(s->uuid));
	s->all_stale = true;
	s->xs = xs_open(0);
	if (!s->xs) {
		snprintf(why, PLATFORM_WHY_MAX,
			 "no connection to the xenstore daemon: %s",
			 strerror(errno));
		free(s);
		return -1;
	}
	snprintf(s->root[NODE_DOMAIN], STORE_ROOT_MAX, "/local/domain/%u",
		 domid);
	snprintf(s->root[NODE_LIBXL], STORE_ROOT_MAX, "/libxl/%u", domid);
	snprintf(s->root[NODE_CONSOLE], STORE_ROOT_MAX,
		 "/local/domain/0/backend/console/%u", domid);
	snprintf(s->root[NODE_VBD], STORE_ROOT_MAX,
		 "/local/domain/0/backend/vbd/%u", domid);
	snprintf(s->root[NODE_VIF], STORE_ROOT_MAX,
		 "/local/domain/0/backend/vif/%u", domid);
	n = (size_t)snprintf(s->root[NODE_VM], STORE_ROOT_MAX, "/vm/");
	for (i = 0; i < 16; i++)
		n += (size_t)snprintf(s->root[NODE_VM] + n, STORE_ROOT_MAX - n,
				      "%s%02x", i == 4 || i == 6 || i == 8 ||
				      i == 10 ? "-" : "", uuid[i]);
	*out = s;
	return 0;
}

static void forget_stale(struct xen_store *s)
{
	while (s->nstale)
		free(s->stale[--s->nstale].path);
	s->all_stale = false;
}

void xen_store_close(struct xen_store *s)
{
	if (!s)
		return;
	forget_stale(s);
	nodes_free(&s->now);
	xs_close(s->xw);
	xs_close(s->xs);
	free(s);
}

int xen_store_name(struct xen_store *s, char *name)
{
	char path[STORE_PATH_MAX], *value;

	store_path(s, NODE_DOMAIN, "name", path);
	value = xs_read(s->xs, XBT_NULL, path, NULL);
	if (!value)
		return store_fail(s, errno, "domain %u has no name: %s: %s",
				  s->domid, path, strerror(errno));
	snprintf(name, PLATFORM_NAME_MAX, "%s", value);
	free(value);
	return 0;
}

/* --- reading ----------------------------------------------------------- */

void store_touch(struct xen_store *s, enum node_root root, const char *path)
{
	char *copy;
	size_t i;

	for (i = 0; i < s->nstale; i++)
		if (s->stale[i].root == root && !strcmp(s->stale[i].path, path))
			return;
	copy = s->nstale < STORE_STALE_MAX ? strdup(path) : NULL;
	if (!copy) {
		s->all_stale = true;
		return;
	}
	s->stale[s->nstale++] = (struct stale){ root, copy };
}

bool store_local(enum node_root root, const char *path)
{
	return (root == NODE_DOMAIN && (!strcmp(path, "console/tty") ||
					!strcmp(path, dm_node))) ||
	       !device_travels(root, path);
}

static int read_perms(struct xen_store *s, const char *path, struct node *n)
{
	struct xs_permissions *perms;
	unsigned int nr, i;

	perms = xs_get_permissions(s->xs, XBT_NULL, path, &nr);
	if (!perms)
		return -1;
	n->nperms = 0;
	for (i = 0; i < nr; i++) {
		struct node_perm p = { perms[i].id, perms[i].perms & 3 };

		if (p.domid && p.domid != s->domid) {
			if (i)
				continue;
			p.domid = 0;
		}
		if (n->nperms == NODE_PERMS_MAX) {
			free(perms);
			return store_fail(s, E2BIG,
				"%s: %u permissions, at most %d", path, nr,
				NODE_PERMS_MAX);
		}
		n->perms[n->nperms++] = p;
	}
	free(perms);
	return 0;
}

/* One node into s->now; 1 if there is none. */
static int read_node(struct xen_store *s, enum node_root root,
		     const char *path, const char *full)
{
	struct node n = { .root = root, .path = (char *)path };
	unsigned int len;
	int rc;

	n.value = xs_read(s->xs, XBT_NULL, full, &len);
	if (!n.value)
		return errno == ENOENT ? 1 : -1;
	n.value_len = len;
	rc = read_perms(s, full, &n);
	if (rc && errno == ENOENT) {
		free(n.value);
		return 1;
	}
	if (!rc && nodes_add(&s->now, &n)) {
		rc = store_fail(s, errno,
			"%s: %s (at most %d nodes, paths of %d bytes, values of %d)",
			full, strerror(errno), NODES_MAX, NODE_PATH_MAX,
			NODE_VALUE_MAX);
	}
	free(n.value);
	return rc;
}

/* @path, in a buffer of NODE_PATH_MAX + 1 bytes, and all below it. */
static int read_tree(struct xen_store *s, enum node_root root, char *path,
		     unsigned int depth)
{
	char full[STORE_PATH_MAX], **names;
	size_t len = strlen(path);
	unsigned int n, i;
	int rc;

	store_path(s, root, path, full);
	if (store_local(root, path))
		return 0;
	if (depth > NODE_DEPTH_MAX)
		return store_fail(s, E2BIG, "%s: deeper than %d levels", full,
				  NODE_DEPTH_MAX);
	rc = read_node(s, root, path, full);
	if (rc)
		return rc < 0 ? -1 : 0;
	names = xs_directory(s->xs, XBT_NULL, full, &n);
	if (!names)
		return errno == ENOENT ? 0 : -1;
	for (i = 0; i < n && !rc; i++) {
		int more = snprintf(path + len, NODE_PATH_MAX + 1 - len,
				    "%s%s", len ? "/" : "", names[i]);

		if (more < 0 || (size_t)more > NODE_PATH_MAX - len)
			rc = store_fail(s, E2BIG,
				"%s/%s: longer than %d bytes", full, names[i],
				NODE_PATH_MAX);
		else
			rc = read_tree(s, root, path, depth + 1);
		path[len] = 0;
	}
	free(names);
	return rc;
}

static int read_again(struct xen_store *s, enum node_root root,
		      const char *path)
{
	char buffer[NODE_PATH_MAX + 1];
	unsigned int depth = *path ? 1 : 0;
	const char *p;

	for (p = path; *p; p++)
		depth += *p == '/';
	snprintf(buffer, sizeof(buffer), "%s", path);
	nodes_drop(&s->now, root, path);
	return read_tree(s, root, buffer, depth);
}

static int refresh(struct xen_store *s)
{
	unsigned int i;
	int rc = 0;

	s->why[0] = 0;
	if (s->all_stale)
		for (i = 0; i < NODE_ROOTS && !rc; i++)
			rc = read_again(s, (enum node_root)i, "");
	else
		for (i = 0; i < s->nstale && !rc; i++)
			rc = read_again(s, s->stale[i].root, s->stale[i].path);
	if (rc && !s->why[0])
		store_fail(s, errno, "reading the nodes of domain %u: %s",
			   s->domid, strerror(errno));
	if (rc)
		return -1;
	if (s->all_stale || s->nstale)
		s->unsaved = true;
	forget_stale(s);
	return 0;
}

/* Learn what has changed.  At rest: settled() has waited for what the guest
 * wrote.  What a tool of this host writes just now may travel with the next
 * checkpoint. */
static int look(struct xen_store *s, bool always)
{
	if (s->xw && s->rested && !always)
		store_take(s);
	else if (store_sync(s))
		return -1;
	return 0;
}

const struct nodes *xen_store_fresh(struct xen_store *s, bool *changed)
{
	if (look(s, false))
		return NULL;
	/* For save(), which could not tell any more. */
	s->track.rewatched |= s->all_stale;
	if (refresh(s))
		return NULL;
	*changed = s->unsaved;
	s->looked = true;
	return &s->now;
}

int xen_store_save(struct xen_store *s, struct recbuf *out, bool always)
{
	/* What fresh() showed is what is saved. */
	if ((always || !s->looked) && look(s, always))
		return -1;
	if (s->all_stale || s->track.rewatched) {
		if (daemon_watches(s->domid, &s->now) && errno != ENOSYS)
			return store_fail(s, errno,
				"asking the xenstore daemon for watches: %s",
				strerror(errno));
		s->track.rewatched = false;
		s->unsaved = true;
	}
	if (refresh(s))
		return -1;
	if (!nodes_find(&s->now, NODE_DOMAIN, "name"))
		return store_fail(s, ENOENT, "domain %u has no name in %s",
				  s->domid, s->root[NODE_DOMAIN]);
	if (!s->unsaved && !always)
		return 0;
	if (nodes_put(&s->now, out))
		return store_fail(s, errno, "nodes of domain %u: %s", s->domid,
				  strerror(errno));
	s->unsaved = false;
	return 1;
}

/* --- writing ----------------------------------------------------------- */

static bool same_perms(const struct node *a, const struct node *b)
{
	return a->nperms == b->nperms &&
	       !memcmp(a->perms, b->perms, a->nperms * sizeof(a->perms[0]));
}

/* A new node has its parent's permissions. */
static bool inherits(const struct nodes *l, const struct node *n)
{
	char parent[NODE_PATH_MAX + 1];
	const struct node *p;
	char *slash;

	if (!*n->path)
		return false;
	snprintf(parent, sizeof(parent), "%s", n->path);
	slash = strrchr(parent, '/');
	*(slash ? slash : parent) = 0;
	p = nodes_find(l, n->root, parent);
	return p && same_perms(p, n);
}

static bool write_node(struct xen_store *s, xs_transaction_t t,
		       const struct nodes *l, const struct node *n)
{
	struct xs_permissions perms[NODE_PERMS_MAX];
	char full[STORE_PATH_MAX];
	unsigned int nr = 0;
	size_t i;

	store_path(s, n->root, n->path, full);
	if (!xs_write(s->xs, t, full, n->value, (unsigned int)n->value_len))
		return false;
	if (!n->nperms || inherits(l, n))
		return true;
	for (i = 0; i < n->nperms; i++) {
		uint32_t domid = n->perms[i].domid;

		/* As when reading: these records may be anyone's. */
		if (domid && domid != s->domid && i)
			continue;
		perms[nr].id = domid == s->domid ? domid : 0;
		perms[nr++].perms = n->perms[i].perms & 3;
	}
	return xs_set_permissions(s->xs, t, full, perms, nr);
}

/* A backend that waits would take the loss of its directory for its end. */
static bool stays(enum node_root root)
{
	return root == NODE_VBD || root == NODE_VIF;
}

void xen_store_set_dm(struct xen_store *s, uint32_t pid)
{
	s->dm = pid;
}

/* What xl destroy kills. */
static bool write_dm(struct xen_store *s, xs_transaction_t t)
{
	char full[STORE_PATH_MAX], value[16];

	if (!s->dm)
		return true;
	store_path(s, NODE_DOMAIN, dm_node, full);
	snprintf(value, sizeof(value), "%u", s->dm);
	return xs_write(s->xs, t, full, value, (unsigned int)strlen(value));
}

static bool write_all(struct xen_store *s, xs_transaction_t t,
		      const struct nodes *l)
{
	size_t i;

	for (i = 0; i < NODE_ROOTS; i++)
		if (!stays((enum node_root)i) && !xs_rm(s->xs, t, s->root[i]) &&
		    errno != ENOENT)
			return false;
	for (i = 0; i < l->n; i++)
		if ((stays(l->node[i].root) ||
		     !store_local(l->node[i].root, l->node[i].path)) &&
		    !write_node(s, t, l, &l->node[i]))
			return false;
	return write_dm(s, t);
}

/* Replace all that the domain has by @l, or change nothing; of backends
 * nothing goes. */
static int replace(struct xen_store *s, const struct nodes *l)
{
	unsigned int tries;

	for (tries = 0; tries < STORE_TRIES; tries++) {
		xs_transaction_t t = xs_transaction_start(s->xs);
		bool ok;

		if (t == XBT_NULL)
			break;
		ok = write_all(s, t, l);
		if (!ok) {
			int err = errno;

			xs_transaction_end(s->xs, t, true);
			errno = err;
			break;
		}
		if (xs_transaction_end(s->xs, t, false))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return store_fail(s, errno, "writing %zu nodes of domain %u: %s", l->n,
			  s->domid, strerror(errno));
}

static int take(struct xen_store *s, struct nodes *l, const void *records,
		size_t len)
{
	if (nodes_get(l, records, len, s->why, sizeof(s->why)))
		return -1;
	if (!nodes_find(l, NODE_DOMAIN, "name"))
		store_fail(s, EPROTO,
			   "no name of a domain among the xenstore records");
	else if (!devices_check(l, s->why, sizeof(s->why)))
		return 0;
	nodes_free(l);
	errno = EPROTO;
	return -1;
}

/* The backends that wait are those of the build. */
static int same_devices(struct xen_store *s, const struct nodes *l)
{
	char odd[DEVICE_TITLE_MAX];

	if (!s->now.n || devices_same(&s->now, l, odd))
		return 0;
	return store_fail(s, EXDEV, "%s came, went or changed since the standby was built; protect the guest again",
			  odd);
}

int xen_store_verify(struct xen_store *s, const void *records, size_t len)
{
	struct nodes l = { 0 };
	int rc;

	if (take(s, &l, records, len))
		return -1;
	rc = same_devices(s, &l);
	nodes_free(&l);
	return rc;
}

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (!path[n] || path[n] == '/');
}

/* Nothing that anybody would attach to. */
static bool for_standby(const struct node *n)
{
	switch (n->root) {
	case NODE_DOMAIN:
		return !*n->path || !strcmp(n->path, "domid") ||
		       !strcmp(n->path, "name") || !strcmp(n->path, "vm");
	case NODE_LIBXL:
		return !below(n->path, "device");
	case NODE_VM:
		return true;
	default:
		return false;
	}
}

static int add_suffix(struct nodes *l)
{
	const struct node *old = nodes_find(l, NODE_DOMAIN, "name");
	char name[PLATFORM_NAME_MAX + sizeof(standby_suffix)];
	struct node n = *old;

	n.value_len = (size_t)snprintf(name, sizeof(name), "%.*s%s",
				       PLATFORM_NAME_MAX - 1,
				       (const char *)old->value,
				       standby_suffix);
	n.value = (uint8_t *)name;
	n.path = "name";
	return nodes_add(l, &n);
}

static void become(struct xen_store *s, struct nodes *l)
{
	nodes_free(&s->now);
	s->now = *l;
}

int xen_store_standby(struct xen_store *s, const void *records, size_t len)
{
	struct nodes all = { 0 }, few = { 0 };
	size_t i;
	int rc;

	/* Left by a domain that had this number before: not ours to use. */
	if (take(s, &all, records, len) || xen_backends_close(s)) {
		nodes_free(&all);
		return -1;
	}
	for (i = 0, rc = 0; i < all.n && !rc; i++)
		if (for_standby(&all.node[i]))
			rc = nodes_add(&few, &all.node[i]);
	if (!rc)
		rc = add_suffix(&few) ||
		     devices_new(&all, s->domid, &few) ||
		     devices_libxl(&all, s->domid, &few);
	if (rc)
		rc = store_fail(s, errno, "nodes of domain %u: %s", s->domid,
				strerror(errno));
	else
		rc = replace(s, &few);
	nodes_free(&few);
	become(s, &all);
	return rc;
}

int xen_store_attach(struct xen_store *s, const void *records, size_t len,
		     bool *restored)
{
	char name[PLATFORM_NAME_MAX + sizeof(standby_suffix)], *suffix;
	char path[STORE_PATH_MAX], *value;
	struct nodes all = { 0 };

	if (take(s, &all, records, len))
		return -1;
	become(s, &all);
	store_path(s, NODE_DOMAIN, "name", path);
	value = xs_read(s->xs, XBT_NULL, path, NULL);
	if (!value)
		return store_fail(s, errno, "standby domain %u has no name: %s",
				  s->domid, strerror(errno));
	snprintf(name, sizeof(name), "%s", value);
	free(value);
	suffix = strstr(name, standby_suffix);
	*restored = !suffix || strcmp(suffix, standby_suffix);
	return 0;
}

int xen_store_restore(struct xen_store *s, const void *records, size_t len)
{
	struct nodes l = { 0 }, all = { 0 };
	int rc;

	if (take(s, &all, records, len))
		return -1;
	rc = same_devices(s, &all);
	if (rc || take(s, &l, records, len)) {
		nodes_free(&all);
		return -1;
	}
	become(s, &all);
	nodes_drop(&l, NODE_VBD, "");
	nodes_drop(&l, NODE_VIF, "");
	if (devices_libxl(&s->now, s->domid, &l))
		rc = store_fail(s, errno, "nodes of domain %u: %s", s->domid,
				strerror(errno));
	else
		rc = xen_backends_ready(s) ? -1 : replace(s, &l);
	nodes_free(&l);
	return rc;
}

const struct nodes *xen_store_nodes(const struct xen_store *s)
{
	return &s->now;
}

int xen_store_remove(struct xen_store *s)
{
	static const enum node_root order[] = {
		NODE_CONSOLE, NODE_DOMAIN, NODE_LIBXL, NODE_VM,
	};
	enum store_is now = store_look(s, NULL);
	size_t n = now == STORE_ALIVE ? 1 : sizeof(order) / sizeof(order[0]);
	size_t i;

	if (now == STORE_OTHER)
		return 0;
	if (xen_backends_close(s))
		return -1;
	for (i = 0; i < n; i++) {
		const char *path = s->root[order[i]];

		if (!xs_rm(s->xs, XBT_NULL, path) && errno != ENOENT)
			return store_fail(s, errno, "removing %s: %s", path,
					  strerror(errno));
	}
	return 0;
}
