/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary.h - conductor of the host that runs the guest
 *
 * Event-driven and without I/O of its own: the runner owns platform, gate,
 * link and outbox, tells what happened, and calls primary_tick() no later
 * than primary_deadline().  All times are those of the platform's clock.
 *
 *	new -> start | attach -> { link_up, message, writable, link_down,
 *	platform_event, tick } ... -> outcome() says it is over -> free
 *
 * After a link_down the runner connects again, until outcome() is set.
 */
#ifndef KEMARI_PRIMARY_H
#define KEMARI_PRIMARY_H

#include "libxc-ext/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate;
struct link;
struct outbox;
struct primary;
struct report;
struct status;

#define PRIMARY_NEVER UINT64_MAX

/** struct primary_config - what the operator may choose; times in ns */
struct primary_config {
	enum platform_mode mode;	/* PLATFORM_SYNC only, so far */
	uint64_t max_epoch;		/* an epoch without output ends */
	uint64_t dirty_limit;		/* pages; 0: what staging allows */
	uint64_t heartbeat;		/* between two sent */
	uint64_t silence;		/* from the peer: the link is shut */
	uint64_t settle_bound;		/* xenstore busy for longer: degraded */
	uint64_t drain_bound;		/* console unread for longer: paused */
	size_t codec_cache;		/* pages that the codec keeps, to send
					 * what differs from them; 0: none */
	uint8_t session[16];		/* random; of a new session */
};

/** primary_config_default() - All but the session: see docs/kemari.8 */
void primary_config_default(struct primary_config *c);

/** enum primary_outcome - how a protection ended */
enum primary_outcome {
	PRIMARY_GOING,		/* not over */
	PRIMARY_UNPROTECTED,	/* given up in order: the guest runs on */
	PRIMARY_ENDED,		/* the guest ended, the standby is destroyed */
	PRIMARY_REFUSED,	/* could not begin, failed before the first
				 * commit, or was given up as the guest has
				 * other devices now: it runs on unprotected */
	PRIMARY_SUPERSEDED,	/* the standby took over: the guest stays
				 * stopped here and lets nothing out */
};

/**
 * primary_new() - A conductor that has not begun
 * @p, @g, @o, @r:	The caller's, and stay its own; outlive the conductor
 * @c:			Copied
 * Return: to be freed by primary_free(), or NULL: ENOMEM, ENOTSUP a mode that
 *	   is not there yet
 */
struct primary *primary_new(struct platform *p, struct gate *g,
			    struct outbox *o, const struct primary_config *c,
			    const struct report *r);

/** primary_free() - Free it; guest, platform and gate are left as they are */
void primary_free(struct primary *p);

/**
 * primary_start() - Begin a new protection: check and describe the guest
 * Return: 0; -1 with errno: nothing was touched, the reasons were reported
 */
int primary_start(struct primary *p);

/**
 * primary_attach() - Go on with the protection that platform and outbox know,
 *		      after a restart of the controller
 * Return: 0; -1 with errno: ENOENT there is none to go on with; else it may be
 *	   tried again, the guest is as it was
 */
int primary_attach(struct primary *p);

/** primary_link_up() - Connected; @l is the runner's and lives until after
 *			primary_link_down() */
void primary_link_up(struct primary *p, struct link *l);

/** primary_link_down() - The link is gone; @err, @why as in link.h */
void primary_link_down(struct primary *p, int err, const char *why);

/** primary_message() - One framed message came (link.h) */
void primary_message(struct primary *p, const void *bytes, size_t len);

/** primary_writable() - The link has room again */
void primary_writable(struct primary *p);

/** primary_platform_event() - The platform's event_fd is readable */
void primary_platform_event(struct primary *p);

/** primary_gate_event() - The gate's event_fd is readable */
void primary_gate_event(struct primary *p);

/** primary_gate_is_shut() - Is that fd to be waited for now? */
bool primary_gate_is_shut(const struct primary *p);

/** primary_tick() - The deadline has come; harmless at any time */
void primary_tick(struct primary *p);

/** primary_deadline() - When to tick, on the platform's clock; may be in the
 *			 past; PRIMARY_NEVER */
uint64_t primary_deadline(const struct primary *p);

/**
 * primary_unprotect() - The operator wants an end
 * @standby_is_dead:	He vouches that the standby cannot run: do not wait
 *			for it to give up its claim
 * Return: 0 under way, see outcome(); -1 with errno: EALREADY it is over
 */
int primary_unprotect(struct primary *p, bool standby_is_dead);

/** primary_outcome() - Over? */
enum primary_outcome primary_outcome(const struct primary *p);

/** primary_outcome_str() - Name of an outcome */
const char *primary_outcome_str(enum primary_outcome o);

/** primary_status() - Snapshot for people; role, figures, state */
void primary_status(const struct primary *p, struct status *out);

/** primary_state() - The same without .stats, which take sorting: for use
 *		      after every event */
void primary_state(const struct primary *p, struct status *out);

#endif
