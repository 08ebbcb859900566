/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * platform.h - the host, as the replication engine sees it
 *
 * Two implementations: platform_xen (hypercalls) and platform_sim (a seeded
 * guest in this process).  One struct platform stands for one domain on one
 * host, in one of two roles.  Every operation is implemented by both, in both
 * roles: one that the role does not have fails with ENOTSUP.
 *
 * Conventions: 0, or -1 with errno and a sentence in platform_why().  Nothing
 * here is thread-safe; nothing here decides when.
 *
 * Life of a primary:
 *	open -> check, rings -> describe -> enable -> track
 *	  -> the first copy: { harvest between stop and go, page } ...
 *	  -> epochs: stop -> settled -> begin -> save EARLY -> harvest -> page
 *	     -> save LATE -> [the standby commits] -> release -> drained -> go
 *	  -> disable -> close
 * Life of a standby:
 *	open -> build -> { page_rw, verify } ... -> rehearse
 *	  -> load -> activate -> served -> close,  or  destroy -> close
 * After a restart of the controller: open -> query, or open -> attach.
 */
#ifndef KEMARI_PLATFORM_H
#define KEMARI_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

enum {
	PLATFORM_PAGE = 4096,
	PLATFORM_NAME_MAX = 64,
	PLATFORM_WHY_MAX = 512,
	PLATFORM_REASONS_MAX = 32,
	PLATFORM_GFN_MAX = 1 << 30,	/* highest gfn + 1: 4 TiB */
	PLATFORM_RANGES_MAX = 4096,
	PLATFORM_RINGS_MAX = 256,	/* of disks and network cards */
	PLATFORM_RING_NAME_MAX = 80,
};

enum platform_role { PLATFORM_NONE, PLATFORM_PRIMARY, PLATFORM_STANDBY };
enum platform_mode { PLATFORM_SYNC, PLATFORM_PIPELINED };

/* What can happen to a primary's guest; a set. */
enum platform_event {
	PLATFORM_EV_TAP = 1,		/* output is held */
	PLATFORM_EV_DIRTY = 2,		/* the dirty limit stopped the guest */
	PLATFORM_EV_SHUTDOWN = 4,	/* asked for; held until release */
	PLATFORM_EV_GONE = 8,		/* destroyed, or dying */
};

enum platform_phase {
	PLATFORM_EARLY,	/* vCPU extras, event channels, timers, store nodes:
			 * before pages, so that what is set pending later
			 * is in the pages */
	PLATFORM_LATE,	/* HVM context with guest time, grant frames: after
			 * the pages; the last thing before the guest goes on */
};

/** struct gfn_range - guest frames [first, first + count) */
struct gfn_range {
	uint64_t first;
	uint64_t count;
};

/** struct platform_ring - a ring that a backend of the host serves */
struct platform_ring {
	char name[PLATFORM_RING_NAME_MAX];	/* "disk xvda (51712) queue 0" */
	uint32_t port;		/* the guest's event channel; one a ring */
	bool output;		/* its requests are output */
};

/** struct platform_info - what does not change while a domain lives */
struct platform_info {
	char name[PLATFORM_NAME_MAX];	/* NUL-terminated */
	uint8_t uuid[16];
	uint32_t domid;
	uint32_t vcpus;
	uint64_t pages;			/* populated frames */
	uint8_t host_uuid[16];		/* of this host; random per boot if it
					 * has none */
	uint8_t boot_id[16];		/* changes when the host boots */
};

/** struct platform_query - what the host remembers of a protection */
struct platform_query {
	enum platform_role role;
	enum platform_mode mode;
	uint64_t generation;	/* role none: the last one, 0 none */
	uint64_t running, captured, released;	/* epochs */
	uint64_t dirty;				/* pages */
	uint64_t dirty_limit;
	uint64_t taps;				/* sends held, in all */
	uint32_t held_running, held_captured;	/* ports */
	bool stopped;				/* by us */
	bool lost;				/* copy afresh */
	bool shutdown;				/* held */
	uint32_t shutdown_reason;		/* SHUTDOWN_*: 0 poweroff 1
						 * reboot 2 suspend 3 crash */
};

struct platform;

struct platform_ops {
	const char *name;

	/* --- both roles ------------------------------------------------ */

	/* Facts of the domain.  Standby: valid after build or attach. */
	int (*info)(struct platform *p, struct platform_info *out);

	/* Re-read on each call.  No domain: role none, not an error. */
	int (*query)(struct platform *p, struct platform_query *out);

	/* Monotonic clock of this host, ns; virtual in the simulator. */
	uint64_t (*now_ns)(struct platform *p);

	/* Populated frames, ascending, disjoint; *@n is room, then number.
	 * The memory of the guest for a full copy.  ENOBUFS: *@n wanted. */
	int (*ranges)(struct platform *p, struct gfn_range *out, size_t *n);

	/* Frees everything here; the domain is left as it is. */
	void (*close)(struct platform *p);

	/* --- primary --------------------------------------------------- */

	/* Can it be protected?  Fills up to PLATFORM_REASONS_MAX sentences
	 * (owned by @p, until the next check); *@n 0: yes. */
	int (*check)(struct platform *p, const char **reasons, size_t *n);

	/* The rings of its disks and network cards, in a steady order; each
	 * must be behind a gate.  *@n is room, then number; ENOBUFS: wanted.
	 * EXDEV: one cannot be protected, see check.  While protected: those
	 * of enable, or of the first call after a restart. */
	int (*rings)(struct platform *p, struct platform_ring *out, size_t *n);

	/* Everything the other host needs to build the shell: records. */
	int (*describe)(struct platform *p, struct recbuf *out);

	/* Tap on.  From here on output is held.  EBUSY: see query. */
	int (*enable)(struct platform *p, uint64_t generation,
		      enum platform_mode mode, uint64_t dirty_limit);

	/* Tap off: held output leaves, the guest goes on unprotected. */
	int (*disable)(struct platform *p, uint64_t generation);

	/* (Re)start dirty tracking from nothing: all pages count as clean;
	 * the caller copies all of ranges().  Clears query.lost. */
	int (*track)(struct platform *p);

	/* Readable when events() has something to say; fd owned by @p. */
	int (*event_fd)(struct platform *p);

	/* Take the events that came since the last call: enum
	 * platform_event, 0 for none, -1 on failure. */
	int (*events)(struct platform *p);

	/* Stop every vCPU, return when they are.  Idempotent. */
	int (*stop)(struct platform *p);

	/* Stopped guest: the ports whose sends the running epoch holds.  *@n
	 * is room, then number; ENOBUFS: wanted. */
	int (*held)(struct platform *p, uint32_t *port, size_t *n);

	/* Stopped guest: let such a send leave now, for it is no output; only
	 * of a port that is an output ring's (EINVAL).  EALREADY none held. */
	int (*deliver)(struct platform *p, uint64_t generation, uint32_t port);

	/* Let the guest run.  Sends held so far stay held.  EBUSY in sync
	 * mode while a captured epoch is not released.  Idempotent. */
	int (*go)(struct platform *p);

	/* Stopped guest: 1 if its xenstore ring is at rest (no request or
	 * transaction under way), 0 if it must run a little more
	 * (platform_why() says for what), -1 on failure.  EXDEV: its rings
	 * are not those of rings() any more, for good. */
	int (*settled)(struct platform *p);

	/* Close the held set of the running epoch @epoch.  @merge: an older
	 * captured, never released one joins it. */
	int (*begin)(struct platform *p, uint64_t generation, uint64_t epoch,
		     bool merge);

	/* Frames to copy: those dirtied since the last harvest and those
	 * that change behind log-dirty's back (always-copy set, already
	 * compared with what was harvested last).  No duplicates, any
	 * order.  @cap is room for all of the dirty limit's reserve.
	 * ENOBUFS: nothing taken.  EIO: information lost, copy afresh.
	 * Guest stopped. */
	int (*harvest)(struct platform *p, uint64_t *gfn, size_t cap,
		       size_t *n);

	/* The frame's bytes; mapped for the life of the protection; NULL
	 * if @gfn is not one of ranges().  Guest running or stopped. */
	const void *(*page)(struct platform *p, uint64_t gfn);

	/* Append the records of @phase.  Guest stopped. */
	int (*save)(struct platform *p, enum platform_phase phase,
		    struct recbuf *out);

	/* Guest system time now, ns: for heartbeats. */
	int (*guest_time)(struct platform *p, uint64_t *ns);

	/* Deliver all held up to and in @epoch.  ESTALE older generation,
	 * ERANGE not captured, EALREADY repeated. */
	int (*release)(struct platform *p, uint64_t generation,
		       uint64_t epoch);

	/* After release, guest stopped: 1 when the consumers of unfenced
	 * ports (console) have read what was released, 0 not yet
	 * (platform_why() names the port). */
	int (*drained)(struct platform *p);

	/* --- standby --------------------------------------------------- */

	/* Create the shell domain from describe()'s records: same domain
	 * ID, all memory reserved and mapped, role standby.  EADDRINUSE:
	 * the domain ID is taken (platform_why() says by whom); ENOMEM:
	 * with figures.  Nothing is left behind on failure. */
	int (*build)(struct platform *p, uint64_t generation,
		     const void *records, size_t len);

	/* Find the shell of @uuid again after a restart; the records are
	 * those of build. */
	int (*attach)(struct platform *p, const void *records, size_t len);

	/* The frame's bytes to write to; NULL if not one of ranges(). */
	void *(*page_rw)(struct platform *p, uint64_t gfn);

	/* Would load() take these?  Checks all, touches nothing.  EXDEV: well
	 * formed, but of a guest with other devices. */
	int (*verify)(struct platform *p, const void *records, size_t len);

	/* Dry run of every setter on the shell, with real records: all that
	 * can fail at load() for want of resources fails here. */
	int (*rehearse)(struct platform *p, const void *records, size_t len);

	/* Put the state of one checkpoint into the shell, whose pages are
	 * already that checkpoint's.  @guest_time: what the guest's clock
	 * shall show now, never below the checkpoint's own. */
	int (*load)(struct platform *p, const void *records, size_t len,
		    uint64_t guest_time);

	/* The shell becomes an ordinary running domain, once. */
	int (*activate)(struct platform *p, uint64_t generation,
			uint64_t new_generation);

	/* After activate: do the backends of this host serve the guest, and
	 * does the network know where it is?  1 yes, 0 not yet, -1 it fails:
	 * platform_why() names the device.  EINVAL: not activated here. */
	int (*served)(struct platform *p);

	/* The shell goes; never a domain that was activated (EPERM). */
	int (*destroy)(struct platform *p);
};

/** struct platform - base; first member of each implementation's own */
struct platform {
	const struct platform_ops *ops;
	char why[PLATFORM_WHY_MAX];	/* the last failure, as a sentence */
};

/** platform_why() - Sentence about the last failure on @p, never NULL */
const char *platform_why(const struct platform *p);

/**
 * platform_fail() - For implementations: note why, set errno, return -1
 * @err:	errno to set
 * @fmt:	printf format of the sentence
 */
int platform_fail(struct platform *p, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * platform_open_xen() - Open a domain of this Xen host
 * @out:	Closed by ops->close
 * @domain:	Name, domain ID or UUID; NULL for a standby yet to be built
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 * Return: 0, or -1: ENOENT no such domain, ENOSYS this Xen has no Kemari,
 *	   EACCES not the control domain, others as they come
 */
int platform_open_xen(struct platform **out, const char *domain, char *why);

/*
 * Cleaning up after a guest that was taken over.  xl leaves a process behind
 * for each domain that it creates, which destroys the domain once it has shut
 * down.  A domain that was taken over has none: after a power-off it would
 * keep its number and its memory for ever.  Whoever took it over does that
 * duty instead (docs/GUEST.md).
 */
struct platform_reaper;

/**
 * platform_reaper_open() - Follow a domain of this Xen host to its end
 * @why:	Gets a sentence on failure, PLATFORM_WHY_MAX bytes
 * Return: to be closed, or NULL with errno
 */
struct platform_reaper *platform_reaper_open(uint32_t domid,
					     const uint8_t uuid[16], char *why);

/** platform_reaper_fd() - Readable when run() may have something to do */
int platform_reaper_fd(const struct platform_reaper *r);

/**
 * platform_reaper_run() - See how the domain is; clean up if it has shut down
 * @say:	Gets a sentence unless 0, PLATFORM_WHY_MAX bytes
 * Return: 0 it lives on; 1 it is no more, by a toolstack or by this call, and
 *	   nothing is left of it; -1 with errno, may be tried again
 */
int platform_reaper_run(struct platform_reaper *r, char *say);

/** platform_reaper_close() - NULL is fine; the domain is left as it is */
void platform_reaper_close(struct platform_reaper *r);

/* Knobs of platform_xen for the negative proofs; not for users. */
enum platform_xen_unsafe {
	PLATFORM_XEN_NO_TAP = 1,	/* ports get policy none */
	PLATFORM_XEN_NO_DRAIN = 2,	/* ports get policy hold */
};
void platform_xen_unsafe(struct platform *p, unsigned int unsafe);

/**
 * platform_xen_storage() - What is known of the storage of a guest's disks
 *
 * Before check() on a primary, before build() or attach() on a standby.
 * UNFENCED, as it is without this call: a standby with disks that the guest
 * can write to is not built.  FENCED: the fence shuts the other host out of
 * the storage.  UNSAFE: neither that nor the kind of storage is asked for.
 */
enum platform_xen_storage {
	PLATFORM_XEN_UNFENCED,
	PLATFORM_XEN_FENCED,
	PLATFORM_XEN_UNSAFE,
};
void platform_xen_storage(struct platform *p, enum platform_xen_storage how);

#endif
