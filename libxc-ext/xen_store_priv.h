/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_store_priv.h - what the files behind xen_store.h share
 *
 * xen_store.c reads and writes nodes, xen_watch.c follows a domain,
 * xen_introduce.c connects one to the daemon, xen_daemon.c asks the daemon
 * about what only it knows.
 */
#ifndef KEMARI_XEN_STORE_PRIV_H
#define KEMARI_XEN_STORE_PRIV_H

#include <xenstore.h>

#include "libxc-ext/nodes.h"
#include "libxc-ext/ring.h"
#include "libxc-ext/xen_store.h"

enum {
	STORE_ROOT_MAX = 64,
	STORE_PATH_MAX = STORE_ROOT_MAX + NODE_PATH_MAX + 2,
	STORE_STALE_MAX = 64,		/* changed places remembered */
	STORE_TRIES = 16,		/* a transaction's */
};

/** struct stale - a node that changed, with all below it */
struct stale {
	enum node_root root;
	char *path;
};

struct xen_store {
	struct xc_interface_core *xch;		/* borrowed */
	uint32_t domid;
	uint8_t uuid[16];
	char root[NODE_ROOTS][STORE_ROOT_MAX];
	struct xs_handle *xs;			/* requests */
	struct xs_handle *xw;			/* watches; NULL: not yet */

	struct nodes now;			/* as read last */
	struct stale stale[STORE_STALE_MAX];
	size_t nstale;
	bool all_stale;				/* read everything */
	bool unsaved;				/* changed since save() */

	struct ring_track track;
	bool rested;				/* at rest when last looked,
						 * and events taken since */
	bool looked;				/* by fresh(), since then */
	unsigned int lost_watches;
	uint32_t dm;				/* 0: no device model */
	char why[PLATFORM_WHY_MAX];
};

/** store_fail() - Note a sentence, set errno to @err, return -1 */
int store_fail(struct xen_store *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** store_path() - Absolute path into STORE_PATH_MAX bytes of @out */
void store_path(const struct xen_store *s, enum node_root root,
		const char *path, char *out);

/** store_local() - Is the node of this host, and not for another one? */
bool store_local(enum node_root root, const char *path);

/** store_touch() - Note that something at or below @path may have changed */
void store_touch(struct xen_store *s, enum node_root root, const char *path);

/** store_sync() - Wait until the daemon has done what it was asked before,
 * and take the watch events that it sent until then */
int store_sync(struct xen_store *s);

/** store_take() - Take the watch events that are here */
void store_take(struct xen_store *s);

/**
 * store_look() - What has the number of our domain now?
 * @shutdown:	May be NULL; gets its SHUTDOWN_* or -1 if it is not shut down
 */
enum store_is {
	STORE_GONE,		/* nothing, or our domain, dying */
	STORE_ALIVE,
	STORE_OTHER,		/* a domain with another UUID */
};
enum store_is store_look(const struct xen_store *s, int *shutdown);

/**
 * daemon_ask() - XS_CONTROL on a connection of its own
 * @cmd:	e.g. "watches"; @arg its argument or NULL
 * Return: malloced, NUL-terminated answer of at most DAEMON_ANSWER_MAX bytes;
 *	   or NULL with errno, ENOSYS if the daemon does not know the command
 */
enum { DAEMON_ANSWER_MAX = 4 << 20 };
char *daemon_ask(const char *cmd, const char *arg);

/**
 * daemon_watches() - Put the domain's watches in place of those in @l
 * Return: 0, or -1: ENOSYS this daemon does not tell (C xenstored)
 */
int daemon_watches(uint32_t domid, struct nodes *l);

/**
 * daemon_idle() - Has the daemon nothing half done for the domain?
 * Return: 1 yes, 0 no, -1 it does not tell
 */
int daemon_idle(uint32_t domid);

#endif
