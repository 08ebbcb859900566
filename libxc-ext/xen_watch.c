// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_watch.c - follow a domain: its nodes, its store ring, its end
 *
 * Two connections to the daemon: libxenstore starts a thread for one that
 * watches, and each request on it then costs two switches between threads.
 * Events of the daemon come in order with its answers on the same connection,
 * so a question asked and answered there (store_sync) proves that everything
 * reported before has arrived, and that the daemon, which has one thread, has
 * worked off all that it had taken from the guest's ring before.
 *
 * The end of a domain.  xl create leaves a process behind that waits for it:
 * on the primary that process destroys the domain when it has shut down, or
 * builds it anew after a reboot (under a new domain ID: another domain to
 * us), as the domain's configuration says.  All of these end the protection
 * as SHUTDOWN or GONE.  A domain that was taken over has no such process;
 * after a power-off it would stay in state "s" for ever, with all of its
 * memory.  Whoever took it over stays to reap it.
 */
#include "libxc-ext/xen_store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenctrl.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

#define SAME(ours, theirs, member) \
	_Static_assert(offsetof(ours, member) == offsetof(theirs, member), \
		       "public layout")
SAME(struct ring_store, struct xenstore_domain_interface, rsp);
SAME(struct ring_store, struct xenstore_domain_interface, req_cons);
SAME(struct ring_store, struct xenstore_domain_interface, req_prod);
SAME(struct ring_store, struct xenstore_domain_interface, rsp_cons);
SAME(struct ring_store, struct xenstore_domain_interface, rsp_prod);
SAME(struct ring_store, struct xenstore_domain_interface, server_features);
SAME(struct ring_store, struct xenstore_domain_interface, connection);
SAME(struct ring_store, struct xenstore_domain_interface, error);
SAME(struct ring_console, struct xencons_interface, out);
SAME(struct ring_console, struct xencons_interface, out_cons);
SAME(struct ring_console, struct xencons_interface, out_prod);
_Static_assert(sizeof(struct ring_head) == sizeof(struct xsd_sockmsg),
	       "public layout");
_Static_assert((int)RING_STORE_TYPES > (int)XS_TYPE_COUNT, "public types");

static const char end_token[] = "end";

int xen_store_follow(struct xen_store *s)
{
	unsigned int i;
	char token[2] = "0";

	if (s->xw)
		return 0;
	s->xw = xs_open(0);
	if (!s->xw)
		return store_fail(s, errno,
			"no connection to the xenstore daemon: %s",
			strerror(errno));
	for (i = 0; i < NODE_ROOTS; i++) {
		token[0] = (char)('0' + i);
		if (!xs_watch(s->xw, s->root[i], token))
			goto fail;
	}
	if (xs_watch(s->xw, "@releaseDomain", end_token))
		return 0;
fail:
	store_fail(s, errno, "watching domain %u in xenstore: %s", s->domid,
		   strerror(errno));
	xs_close(s->xw);
	s->xw = NULL;
	return -1;
}

int xen_store_event_fd(struct xen_store *s)
{
	return xs_fileno(s->xw);
}

void store_take(struct xen_store *s)
{
	char **event;

	while ((event = xs_check_watch(s->xw))) {
		const char *path = event[XS_WATCH_PATH];
		unsigned int root = (unsigned int)event[XS_WATCH_TOKEN][0] -
				    '0';

		if (root < NODE_ROOTS) {
			size_t len = strlen(s->root[root]);

			if (strlen(path) > len)
				path += len + 1;
			else
				path = "";
			if (!store_local((enum node_root)root, path))
				store_touch(s, (enum node_root)root, path);
		}
		free(event);
	}
}

int store_sync(struct xen_store *s)
{
	char *path;

	/* A controller that was restarted has not followed it yet. */
	if (xen_store_follow(s))
		return -1;
	path = xs_get_domain_path(s->xw, s->domid);
	if (!path)
		return store_fail(s, errno, "the xenstore daemon is gone: %s",
				  strerror(errno));
	free(path);
	store_take(s);
	return 0;
}

enum store_is store_look(const struct xen_store *s, int *shutdown)
{
	xc_dominfo_t info;

	if (shutdown)
		*shutdown = -1;
	if (xc_domain_getinfo(s->xch, s->domid, 1, &info) != 1 ||
	    info.domid != s->domid)
		return STORE_GONE;
	if (memcmp(info.handle, s->uuid, sizeof(s->uuid)))
		return STORE_OTHER;
	if (info.dying)
		return STORE_GONE;
	if (shutdown && info.shutdown)
		*shutdown = (int)info.shutdown_reason;
	return STORE_ALIVE;
}

int xen_store_events(struct xen_store *s, uint32_t *reason)
{
	int shutdown;

	store_take(s);
	if (store_look(s, &shutdown) != STORE_ALIVE)
		return PLATFORM_EV_GONE;
	if (shutdown < 0)
		return 0;
	if (reason)
		*reason = (uint32_t)shutdown;
	return PLATFORM_EV_SHUTDOWN;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int xen_store_settled(struct xen_store *s, const void *page)
{
	char why[RING_WHY_MAX] = "";
	int rc = ring_store_settled(&s->track, page, now_ns(), why);

	/* What was not at rest may have come to it since, unseen. */
	if (rc >= 0 && (s->track.moved || !s->rested)) {
		if (store_sync(s))
			return -1;
		rc = ring_store_settled(&s->track, page, now_ns(), why);
	}
	if (!rc && s->track.unsure && daemon_idle(s->domid) == 1)
		rc = 1;
	s->rested = rc == 1;
	s->looked = false;
	if (rc < 1)
		return store_fail(s, errno, "%s", why), rc;
	return 1;
}

int xen_store_reap(struct xen_store *s)
{
	int shutdown;

	if (store_look(s, &shutdown) != STORE_ALIVE)
		return xen_store_remove(s) ? -1 : 1;
	if (shutdown < 0 || shutdown == SHUTDOWN_suspend)
		return 0;
	if (xen_store_remove(s))
		return -1;
	if (xc_domain_destroy(s->xch, s->domid))
		return store_fail(s, errno, "destroying domain %u: %s",
				  s->domid, strerror(errno));
	return xen_store_remove(s) ? -1 : 1;
}
