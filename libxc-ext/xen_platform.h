/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_platform.h - what the files behind platform_xen.c share
 *
 * platform_xen.c opens a domain and holds the table of operations,
 * xen_primary.c and xen_standby.c hold those of each role.
 */
#ifndef KEMARI_XEN_PLATFORM_H
#define KEMARI_XEN_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "libxc-ext/device_rings.h"
#include "libxc-ext/xen_always.h"
#include "libxc-ext/xen_announce.h"
#include "libxc-ext/xen_check.h"
#include "libxc-ext/xen_dm.h"
#include "libxc-ext/xen_grants.h"
#include "libxc-ext/xen_host.h"
#include "libxc-ext/xen_image.h"
#include "libxc-ext/xen_map.h"
#include "libxc-ext/xen_p2m.h"
#include "libxc-ext/xen_store.h"

#include <xenevtchn.h>

/** struct xen_platform - one domain of this host */
struct xen_platform {
	struct platform base;
	struct xen_host *h;
	struct xen_store *store;	/* NULL: standby not yet built */
	struct xen_map *map;		/* NULL: not yet mapped */
	struct xen_grants grants;
	uint32_t domid;			/* 0: standby not yet built */
	uint32_t vcpus;
	uint8_t uuid[16];
	uint64_t generation;		/* 0: not enabled */
	uint64_t store_gfn, console_gfn;
	unsigned int unsafe;		/* enum platform_xen_unsafe */
	enum platform_xen_storage storage;

	pid_t dm_pid;			/* its device model; 0: none */
	struct dm *dm;			/* NULL: not connected */

	/* Primary. */
	struct xen_p2m p2m;
	struct xen_always *always;
	uint64_t shared_info;
	uint32_t port;			/* Kemari's; 0: not yet chosen */
	uint32_t console_port;
	uint32_t console_produced;	/* what drained() waits for */
	bool console_drains;		/* its policy is hold-and-drain */
	bool console_held;		/* it has something to wait for */
	bool console_known;		/* both are of the captured epoch */
	xenevtchn_handle *xce;
	evtchn_port_t xce_port;
	int epfd;			/* -1: not yet */
	bool nodes_sent;		/* save() may leave them out */
	bool dm_sent;			/* the device model's state, too */
	uint64_t dm_ioreqs;		/* requests to it before that */
	uint64_t dm_saved;		/* when: ns */
	struct device_rings rings;
	bool rings_known;		/* their pages are in .always */
	uint64_t closing_since;		/* ns; 0: none of them is let go */
	struct xen_reasons reasons;
	const char *reason[PLATFORM_REASONS_MAX];

	/* Standby. */
	struct xen_shape shape;		/* .dom.domid 0: not yet built */
	bool dm_loaded;			/* its device model has its state */
	bool restored;			/* its nodes; backends attach */
	bool introduced;
	bool activated;
	struct xen_announce *announce;	/* NULL: nothing to announce */
	int announce_err;		/* why it cannot be, or 0 */
	bool unmapping;			/* .unmapper runs or has run */
	pthread_t unmapper;
};

static inline struct xen_platform *to_xen(struct platform *p)
{
	return (struct xen_platform *)p;
}

/* Hand on the sentence of a xen_* or xen_store_* that failed; errno stays. */
int xen_platform_host_failed(struct xen_platform *x);
int xen_platform_store_failed(struct xen_platform *x);

/* Unmap the domain's memory and grant table. */
void xen_platform_unmap(struct xen_platform *x);

int xen_primary_check(struct platform *p, const char **reasons, size_t *n);
int xen_primary_describe(struct platform *p, struct recbuf *out);
int xen_primary_enable(struct platform *p, uint64_t generation,
		       enum platform_mode mode, uint64_t dirty_limit);
int xen_primary_disable(struct platform *p, uint64_t generation);
int xen_primary_track(struct platform *p);
int xen_primary_event_fd(struct platform *p);
int xen_primary_events(struct platform *p);
int xen_primary_stop(struct platform *p);
int xen_primary_go(struct platform *p);
int xen_primary_settled(struct platform *p);
int xen_primary_begin(struct platform *p, uint64_t generation, uint64_t epoch,
		      bool merge);
int xen_primary_harvest(struct platform *p, uint64_t *gfn, size_t cap,
			size_t *n);
const void *xen_primary_page(struct platform *p, uint64_t gfn);
int xen_primary_save(struct platform *p, enum platform_phase phase,
		     struct recbuf *out);
int xen_primary_guest_time(struct platform *p, uint64_t *ns);
int xen_primary_release(struct platform *p, uint64_t generation,
			uint64_t epoch);
int xen_primary_drained(struct platform *p);

/* --- xen_machine.c: its device model --------------------------------------- */

/* Primary: a state of it, for a trial. */
int xen_machine_describe(struct xen_platform *x, struct recbuf *out);

/* Primary: it tells Xen what it writes, from now on; or not any more. */
int xen_machine_track(struct xen_platform *x, bool on);

/* Stopped guest: 1 no I/O request is under way, 0 one is, -1. */
int xen_machine_settled(struct xen_platform *x);

/* Stopped guest: append its state, if it may have changed since the last
 * time.  Before anything else is saved: it writes to the guest's memory.
 * xen_machine_saved(): what save() appended will be sent. */
int xen_machine_save(struct xen_platform *x, struct recbuf *out);
void xen_machine_saved(struct xen_platform *x);

/* Standby: start one that can load what is in describe()'s @records; find it
 * again; end it. */
int xen_machine_build(struct xen_platform *x, const void *records, size_t len);
int xen_machine_attach(struct xen_platform *x);
int xen_machine_end(struct xen_platform *x);

/* Standby: the state of the checkpoint, once; then let it run. */
int xen_machine_load(struct xen_platform *x, const struct xen_image *i);
int xen_machine_run(struct xen_platform *x);

/* Let go of the connection; the device model is left as it is. */
void xen_machine_close(struct xen_platform *x);

/* --- xen_rings.c: its disks' and network cards' rings -------------------- */

int xen_rings_list(struct platform *p, struct platform_ring *out, size_t *n);

/* Add what speaks against protecting them; 0 or -1. */
int xen_rings_check(struct xen_platform *x, struct xen_reasons *r);

/* Find them, once; from then on their pages are always copied.  EXDEV: one
 * cannot be protected. */
int xen_rings_learn(struct xen_platform *x);

/* Tell the hypervisor what to do with their notifications. */
int xen_rings_set_policy(struct xen_platform *x);

int xen_rings_held(struct platform *p, uint32_t *port, size_t *n);
int xen_rings_deliver(struct platform *p, uint64_t generation, uint32_t port);

/* Stopped guest, xenstore at rest: are they still those?  1; 0 the guest lets
 * go of them, as it does before it shuts down; -1 with EXDEV.  INV-36 */
int xen_rings_same(struct xen_platform *x);

/* Scan and map the domain, once; ranges() and page() need it. */
int xen_primary_prepare(struct xen_platform *x);

/* Let go of event channel and always-copy set; may be called twice. */
void xen_primary_close(struct xen_platform *x);

int xen_standby_build(struct platform *p, uint64_t generation,
		      const void *records, size_t len);
int xen_standby_attach(struct platform *p, const void *records, size_t len);
void *xen_standby_page_rw(struct platform *p, uint64_t gfn);
int xen_standby_verify(struct platform *p, const void *records, size_t len);
int xen_standby_rehearse(struct platform *p, const void *records, size_t len);
int xen_standby_load(struct platform *p, const void *records, size_t len,
		     uint64_t guest_time);
int xen_standby_activate(struct platform *p, uint64_t generation,
			 uint64_t new_generation);
int xen_standby_served(struct platform *p);
int xen_standby_destroy(struct platform *p);

#endif
