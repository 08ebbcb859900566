// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nodes.c - a domain's xenstore nodes as records
 *
 * Record of a node: struct node_wire, the permissions, path, value.  Record
 * of a watch: struct watch_wire, path, token.  Without NULs; little-endian, as
 * the only hosts are.
 */
#include "libxc-ext/nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node_wire {
	uint16_t path_len;
	uint16_t value_len;
	uint16_t nperms;
	uint16_t zero;
};
static_assert(sizeof(struct node_wire) == 8, "wire layout");
static_assert(sizeof(struct node_perm) == 8, "wire layout");

struct watch_wire {
	uint16_t path_len;
	uint16_t token_len;
	uint32_t zero;
};
static_assert(sizeof(struct watch_wire) == 8, "wire layout");

static const char path_chars[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@";

static int invalid(void)
{
	errno = EINVAL;
	return -1;
}

/* "" or names with single slashes between them. */
static bool path_ok(const char *path)
{
	size_t len = strlen(path), depth = 1;
	const char *p;

	if (!len)
		return true;
	if (len > NODE_PATH_MAX || strspn(path, path_chars) != len ||
	    path[0] == '/' || path[len - 1] == '/' || strstr(path, "//"))
		return false;
	for (p = path; *p; p++)
		depth += *p == '/';
	return depth <= NODE_DEPTH_MAX;
}

static int compare(enum node_root root, const char *path, const struct node *n)
{
	if (root != n->root)
		return root < n->root ? -1 : 1;
	return strcmp(path, n->path);
}

/* Where the node is (*@found) or belongs. */
static size_t place(const struct nodes *l, enum node_root root,
		    const char *path, bool *found)
{
	size_t low = 0, high = l->n;

	*found = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = compare(root, path, &l->node[mid]);

		if (!order) {
			*found = true;
			return mid;
		}
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Room for one more of @size bytes, at most @max. */
static int grow(void **array, size_t n, size_t *room, size_t size, size_t max)
{
	size_t want = *room ? *room * 2 : 64;
	void *bigger;

	if (n >= max) {
		errno = E2BIG;
		return -1;
	}
	if (n < *room)
		return 0;
	bigger = reallocarray(*array, want, size);
	if (!bigger)
		return -1;
	*array = bigger;
	*room = want;
	return 0;
}

int nodes_add(struct nodes *l, const struct node *n)
{
	size_t path_size = strlen(n->path) + 1, at;
	struct node copy = *n;
	bool found;

	if ((unsigned int)n->root >= NODE_ROOTS || !path_ok(n->path) ||
	    n->value_len > NODE_VALUE_MAX || n->nperms > NODE_PERMS_MAX)
		return invalid();
	at = place(l, n->root, n->path, &found);
	if (!found && grow((void **)&l->node, l->n, &l->room,
			   sizeof(l->node[0]), NODES_MAX))
		return -1;
	copy.path = malloc(path_size + n->value_len + 1);
	if (!copy.path)
		return -1;
	memcpy(copy.path, n->path, path_size);
	copy.value = (uint8_t *)copy.path + path_size;
	if (n->value_len)
		memcpy(copy.value, n->value, n->value_len);
	copy.value[n->value_len] = 0;
	if (found) {
		free(l->node[at].path);
	} else {
		memmove(l->node + at + 1, l->node + at,
			(l->n - at) * sizeof(l->node[0]));
		l->n++;
	}
	l->node[at] = copy;
	return 0;
}

void nodes_drop(struct nodes *l, enum node_root root, const char *path)
{
	size_t len = strlen(path), i, kept = 0;

	for (i = 0; i < l->n; i++) {
		struct node *n = &l->node[i];

		if (n->root == root && !strncmp(n->path, path, len) &&
		    (!len || !n->path[len] || n->path[len] == '/'))
			free(n->path);
		else
			l->node[kept++] = *n;
	}
	l->n = kept;
}

const struct node *nodes_find(const struct nodes *l, enum node_root root,
			      const char *path)
{
	bool found;
	size_t at = place(l, root, path, &found);

	return found ? &l->node[at] : NULL;
}

/* Printable, no blanks: what a daemon can print in a line and we can read. */
static bool token_ok(const char *token)
{
	const char *p;

	for (p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return p != token && p - token <= NODE_TOKEN_MAX;
}

int nodes_add_watch(struct nodes *l, const char *path, const char *token)
{
	size_t path_size = strlen(path) + 1, token_size = strlen(token) + 1;
	struct node_watch w;

	if (path_size < 2 || path_size > NODE_PATH_MAX + 1 ||
	    strspn(path, path_chars) != path_size - 1 || !token_ok(token))
		return invalid();
	if (grow((void **)&l->watch, l->nwatch, &l->watch_room,
		 sizeof(l->watch[0]), NODES_WATCHES_MAX))
		return -1;
	w.path = malloc(path_size + token_size);
	if (!w.path)
		return -1;
	memcpy(w.path, path, path_size);
	w.token = w.path + path_size;
	memcpy(w.token, token, token_size);
	l->watch[l->nwatch++] = w;
	return 0;
}

void nodes_drop_watches(struct nodes *l)
{
	while (l->nwatch)
		free(l->watch[--l->nwatch].path);
}

void nodes_free(struct nodes *l)
{
	while (l->n)
		free(l->node[--l->n].path);
	nodes_drop_watches(l);
	free(l->node);
	free(l->watch);
	memset(l, 0, sizeof(*l));
}

static int put_node(const struct node *n, struct recbuf *out)
{
	struct node_wire w = {
		.path_len = (uint16_t)strlen(n->path),
		.value_len = (uint16_t)n->value_len,
		.nperms = (uint16_t)n->nperms,
	};
	size_t perms = n->nperms * sizeof(n->perms[0]);
	uint8_t *to = recbuf_reserve(out, RECORD_STORE_NODE, RECORD_MANDATORY,
				     n->root, sizeof(w) + perms + w.path_len +
				     w.value_len);

	if (!to)
		return -1;
	memcpy(to, &w, sizeof(w));
	to += sizeof(w);
	memcpy(to, n->perms, perms);
	to += perms;
	memcpy(to, n->path, w.path_len);
	memcpy(to + w.path_len, n->value, w.value_len);
	return 0;
}

static int put_watch(const struct node_watch *watch, struct recbuf *out)
{
	struct watch_wire w = {
		.path_len = (uint16_t)strlen(watch->path),
		.token_len = (uint16_t)strlen(watch->token),
	};
	uint8_t *to = recbuf_reserve(out, RECORD_STORE_WATCH, RECORD_MANDATORY,
				     0, sizeof(w) + w.path_len + w.token_len);

	if (!to)
		return -1;
	memcpy(to, &w, sizeof(w));
	memcpy(to + sizeof(w), watch->path, w.path_len);
	memcpy(to + sizeof(w) + w.path_len, watch->token, w.token_len);
	return 0;
}

static int put_all(const struct nodes *l, struct recbuf *out)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (put_node(&l->node[i], out))
			return -1;
	for (i = 0; i < l->nwatch; i++)
		if (put_watch(&l->watch[i], out))
			return -1;
	return 0;
}

int nodes_put(const struct nodes *l, struct recbuf *out)
{
	struct recbuf all = { 0 };
	int rc, err;

	rc = put_all(l, &all);
	if (!rc)
		rc = recbuf_add(out, RECORD_STORE,
				RECORD_MANDATORY | RECORD_STICKY, 0, all.bytes,
				all.used);
	err = errno;
	recbuf_free(&all);
	errno = err;
	return rc;
}

/* @len bytes as a string; false if there is a NUL among them. */
static bool text(char *out, const uint8_t *from, size_t len)
{
	memcpy(out, from, len);
	out[len] = 0;
	return strlen(out) == len;
}

static int get_node(struct nodes *l, const struct record *r)
{
	char path[NODE_PATH_MAX + 1];
	const uint8_t *from = r->data;
	struct node n = { .root = (enum node_root)r->instance, .path = path };
	struct node_wire w;
	size_t perms;

	if (r->length < sizeof(w))
		return invalid();
	memcpy(&w, from, sizeof(w));
	perms = w.nperms * sizeof(n.perms[0]);
	if (r->instance >= NODE_ROOTS || w.path_len > NODE_PATH_MAX ||
	    w.nperms > NODE_PERMS_MAX || w.zero || r->length !=
	    sizeof(w) + perms + w.path_len + w.value_len)
		return invalid();
	from += sizeof(w);
	memcpy(n.perms, from, perms);
	n.nperms = w.nperms;
	from += perms;
	if (!text(path, from, w.path_len) || nodes_find(l, n.root, path))
		return invalid();
	n.value = (uint8_t *)from + w.path_len;
	n.value_len = w.value_len;
	return nodes_add(l, &n);
}

static int get_watch(struct nodes *l, const struct record *r)
{
	char path[NODE_PATH_MAX + 1], token[NODE_TOKEN_MAX + 1];
	const uint8_t *from = r->data;
	struct watch_wire w;

	if (r->length < sizeof(w))
		return invalid();
	memcpy(&w, from, sizeof(w));
	if (r->instance || w.zero || w.path_len > NODE_PATH_MAX ||
	    w.token_len > NODE_TOKEN_MAX ||
	    r->length != sizeof(w) + w.path_len + w.token_len)
		return invalid();
	from += sizeof(w);
	if (!text(path, from, w.path_len) ||
	    !text(token, from + w.path_len, w.token_len))
		return invalid();
	return nodes_add_watch(l, path, token);
}

__attribute__((format(printf, 3, 4)))
static int reject(char *why, size_t why_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_len, fmt, ap);
	va_end(ap);
	errno = EPROTO;
	return -1;
}

static int get_all(struct nodes *l, const struct record *all, char *why,
		   size_t why_len)
{
	struct record r;
	size_t pos = 0;
	int more;

	while ((more = record_next(all->data, all->length, &pos, &r)) == 1) {
		int rc = r.type == RECORD_STORE_NODE ? get_node(l, &r) :
			 r.type == RECORD_STORE_WATCH ? get_watch(l, &r) :
			 invalid();

		if (rc && errno == ENOMEM)
			return -1;
		if (rc)
			return reject(why, why_len,
				      "xenstore record of %u bytes before byte %zu is malformed or beyond a limit (%d nodes, %d watches)",
				      r.length, pos, NODES_MAX,
				      NODES_WATCHES_MAX);
	}
	if (more < 0)
		return reject(why, why_len,
			      "list of xenstore nodes broken at byte %zu", pos);
	return 0;
}

int nodes_get(struct nodes *l, const void *records, size_t len,
	      char *why, size_t why_len)
{
	struct nodes new = { 0 };
	struct record all;

	if (record_find(records, len, RECORD_STORE, 0, &all) != 1)
		return reject(why, why_len,
			      "no xenstore nodes among the records");
	if (get_all(&new, &all, why, why_len)) {
		int err = errno;

		if (err == ENOMEM)
			snprintf(why, why_len, "no memory for xenstore records");
		nodes_free(&new);
		errno = err;
		return -1;
	}
	nodes_free(l);
	*l = new;
	return 0;
}
