/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nodes.h - a domain's xenstore nodes as records
 *
 * Pure: no xenstore here.  A list of nodes is filled by xen_store.c or from
 * records that came over the wire, of which everything is checked.  Paths are
 * relative to one of a few roots that the receiving host computes itself, so
 * that no record can name a node outside of them.  INV-31
 */
#ifndef KEMARI_NODES_H
#define KEMARI_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

enum {
	NODES_MAX = 4096,		/* of one domain */
	NODES_WATCHES_MAX = 256,
	NODE_PATH_MAX = 1024,		/* bytes below the root */
	NODE_VALUE_MAX = 4096,
	NODE_PERMS_MAX = 16,
	NODE_DEPTH_MAX = 32,		/* levels below the root */
	NODE_TOKEN_MAX = 512,

	RECORD_STORE = 0x1100,		/* all of a domain; sticky; its bytes
					 * are a list of the two below */
	RECORD_STORE_NODE = 0x1101,	/* .instance: enum node_root */
	RECORD_STORE_WATCH = 0x1102,	/* .instance: 0 */
};

enum node_root {
	NODE_DOMAIN,			/* /local/domain/<domid> */
	NODE_LIBXL,			/* /libxl/<domid> */
	NODE_VM,			/* /vm/<uuid> */
	NODE_CONSOLE,			/* /local/domain/0/backend/console/<domid> */
	NODE_VBD,			/* /local/domain/0/backend/vbd/<domid> */
	NODE_VIF,			/* /local/domain/0/backend/vif/<domid> */
	NODE_ROOTS
};

/** struct node_perm - first one: owner and everybody's; then exceptions */
struct node_perm {
	uint32_t domid;
	uint32_t perms;			/* 1 read, 2 write */
};

/** struct node - path and value are one block, freed with the list */
struct node {
	enum node_root root;
	char *path;			/* "" is the root itself; "a/b" */
	uint8_t *value;			/* NUL added, not counted */
	size_t value_len;
	struct node_perm perms[NODE_PERMS_MAX];
	size_t nperms;
};

/** struct node_watch - one watch of the guest */
struct node_watch {
	char *path;			/* as the guest gave it */
	char *token;
};

/** struct nodes - a list; zero-initialised is empty */
struct nodes {
	struct node *node;		/* sorted by root, then path */
	size_t n, room;
	struct node_watch *watch;
	size_t nwatch, watch_room;
};

/**
 * nodes_add() - Add a node, or replace the one of the same path; copies
 * Return: 0, or -1: ENOMEM, E2BIG with NODES_MAX, EINVAL a limit or a
 *	   character that no xenstore path has
 */
int nodes_add(struct nodes *l, const struct node *n);

/** nodes_drop() - Remove the node @path and everything below it */
void nodes_drop(struct nodes *l, enum node_root root, const char *path);

/** nodes_find() - The node, or NULL */
const struct node *nodes_find(const struct nodes *l, enum node_root root,
			      const char *path);

/** nodes_add_watch() - Return: like nodes_add() */
int nodes_add_watch(struct nodes *l, const char *path, const char *token);

void nodes_drop_watches(struct nodes *l);
void nodes_free(struct nodes *l);

/** nodes_put() - Append all as one record; 0 or -1 like recbuf_add() */
int nodes_put(const struct nodes *l, struct recbuf *out);

/**
 * nodes_get() - The list becomes what the RECORD_STORE of @records says
 * @why:	Gets a sentence on failure, @why_len bytes
 * Return: 0, or -1: EPROTO there is none, or it is malformed or beyond a
 *	   limit; ENOMEM; @l is then as before
 */
int nodes_get(struct nodes *l, const void *records, size_t len,
	      char *why, size_t why_len);

#endif
