/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_store.h - what a domain has in xenstore, and what its daemons know
 *
 * One struct xen_store stands for one domain on this host.  Not thread-safe.
 * 0, or -1 with errno and a sentence in xen_store_why().
 *
 * Primary:	open -> follow -> { settled -> save } ... -> close
 * Standby:	open -> standby, or attach -> restore -> introduce -> close;
 *		or remove
 * Restored:	open -> follow -> { event -> reap } -> close
 */
#ifndef KEMARI_XEN_STORE_H
#define KEMARI_XEN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/nodes.h"
#include "libxc-ext/platform.h"
#include "libxc-ext/records.h"

struct xen_store;
struct xc_interface_core;

/**
 * xen_store_open() - Connect to the host's xenstore daemon
 * @xch:	Borrowed; used by events() and reap()
 * @domid:	The domain; need not exist yet, nor be known to the daemon
 * @uuid:	Its UUID, as xc_domain_getinfo() gives it
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 */
int xen_store_open(struct xen_store **out, struct xc_interface_core *xch,
		   uint32_t domid, const uint8_t uuid[16], char *why);

/** xen_store_close() - NULL is fine.  Nothing in xenstore changes */
void xen_store_close(struct xen_store *s);

const char *xen_store_why(const struct xen_store *s);

/** xen_store_name() - Name of the domain into PLATFORM_NAME_MAX bytes */
int xen_store_name(struct xen_store *s, char *name);

/* --- primary ----------------------------------------------------------- */

/**
 * xen_store_follow() - Watch the domain's nodes and its end
 *
 * Needed once before event_fd, events, save.  A few watches and a thread of
 * libxenstore.
 */
int xen_store_follow(struct xen_store *s);

/** xen_store_event_fd() - Readable when events() may have something to say */
int xen_store_event_fd(struct xen_store *s);

/**
 * xen_store_events() - What happened to the domain
 * @reason:	SHUTDOWN_* if shut down; may be NULL
 *
 * Level, not edge: a domain that is gone stays gone.  One short hypercall
 * while the fd is quiet.  Call it now and then without the fd too: the daemon
 * tells nothing of the end of a domain that was never introduced to it.
 * Return: set of enum platform_event (SHUTDOWN, GONE), 0 none, -1 failure
 */
int xen_store_events(struct xen_store *s, uint32_t *reason);

/**
 * xen_store_settled() - Is the guest's xenstore ring at rest?  Guest stopped
 * @page:	The live, mapped store page, PLATFORM_PAGE bytes
 * Return: 1 yes, 0 not yet (see why), -1: EPROTO the guest broke its ring
 */
int xen_store_settled(struct xen_store *s, const void *page);

/**
 * xen_store_save() - Append all nodes and watches as records
 * @always:	false: append only what was changed since the last call, that
 *		is all of them or nothing
 *
 * Guest stopped and settled.  Only nodes that changed are read again: cheap
 * when nothing happened.
 * Return: 1 appended, 0 nothing changed, -1 failure
 */
int xen_store_save(struct xen_store *s, struct recbuf *out, bool always);

/**
 * xen_store_fresh() - All nodes of the domain as they are now
 * @changed:	Set to: differently from the last save(), or unknown
 *
 * Cheap when nothing changed, as save(), which after settled() and this call
 * appends these and no newer ones.
 * Return: valid until the next call on @s, or NULL with errno and why
 */
const struct nodes *xen_store_fresh(struct xen_store *s, bool *changed);

/* --- standby ----------------------------------------------------------- */

/**
 * xen_store_verify() - Would standby() and restore() take @records?
 *
 * EPROTO malformed, or a device that may not be made here; EXDEV its devices
 * are not those of the standby any more.
 */
int xen_store_verify(struct xen_store *s, const void *records, size_t len);

/**
 * xen_store_standby() - Nodes of a standby domain, from save()'s records
 *
 * Name with "--standby" after it, type, UUID: enough for xl list and for
 * xl destroy to be clean.  Nothing that a console daemon would attach to, and
 * of disks and network cards what their backends begin with: see
 * xen_backends_open().  Call after the domain was created.
 */
int xen_store_standby(struct xen_store *s, const void *records, size_t len);

/** xen_store_set_dm() - Process of the device model, for standby() and
 * restore(); 0 none */
void xen_store_set_dm(struct xen_store *s, uint32_t pid);

/**
 * xen_store_attach() - The standby of @records was made before, by another
 * @restored:	Set if restore() was done, too
 */
int xen_store_attach(struct xen_store *s, const void *records, size_t len,
		     bool *restored);

/**
 * xen_store_restore() - All nodes, in one transaction, from save()'s records
 *
 * From here on xenconsoled and the backends attach: all pages, the grant
 * frames and event channels of the guest must be in place, and its disks
 * nobody else's: they are looked at first, and what this host has cached of
 * them is dropped.  On failure nothing is written.  INV-38, INV-40
 */
int xen_store_restore(struct xen_store *s, const void *records, size_t len);

/**
 * xen_store_introduce() - Connect the domain to the daemon
 * @gfn:	Of the store page (HVM_PARAM_STORE_PFN)
 * @port:	The guest's end (HVM_PARAM_STORE_EVTCHN), unbound
 * @page:	The live, mapped store page: holds the checkpoint's content,
 *		and holds it again afterwards (C xenstored zeroes indices)
 *
 * After restore(), before the guest runs: the watches among the records are
 * made again in the guest's name, and each fires once.  A watch that cannot
 * be made is not a failure of the take-over: see xen_store_lost_watches().
 */
int xen_store_introduce(struct xen_store *s, uint64_t gfn, uint32_t port,
			void *page);

/** xen_store_nodes() - Those that standby(), attach() or restore() had */
const struct nodes *xen_store_nodes(const struct xen_store *s);

/** xen_store_lost_watches() - How many could not be made by introduce() */
unsigned int xen_store_lost_watches(const struct xen_store *s);

/* --- the end ----------------------------------------------------------- */

/**
 * xen_store_remove() - Remove every node of the domain; none is fine
 *
 * With the domain alive: only the backend side goes, so that nothing of it
 * is in use when the domain is destroyed, and hotplug scripts undo what they
 * did: see xen_backends_close().  Call it before and after.  If its
 * number belongs to another domain by now, nothing goes.
 */
int xen_store_remove(struct xen_store *s);

/**
 * xen_store_reap() - Clean up a domain that has shut down
 *
 * xl leaves a process behind for each domain that it creates, which destroys
 * the domain when it has shut down; a domain that was taken over has none.
 * Call when events() says SHUTDOWN: the domain is destroyed and its nodes are
 * removed, whatever the reason was, for nobody knows here how to boot it
 * anew.  A domain suspended by xl save is left alone.  Unmap its memory
 * before, or it stays as a zombie until then.
 * Return: 1 reaped, 0 not shut down or suspended, -1 failure
 */
int xen_store_reap(struct xen_store *s);

#endif
