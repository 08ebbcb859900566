/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secondary.h - conductor of the host that holds the standby
 *
 * Event-driven and without I/O of its own, as primary.h.  One conductor for
 * one session: when outcome() is set the runner makes a new one.
 *
 *	new -> start | attach -> { link_up, message, writable, link_down,
 *	tick, fence_done } ... -> outcome() says it is over -> free
 */
#ifndef KEMARI_SECONDARY_H
#define KEMARI_SECONDARY_H

#include "libxc-ext/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;
struct report;
struct secondary;
struct staging;
struct status;

#define SECONDARY_NEVER UINT64_MAX

/** struct secondary_config - what the operator may choose; times in ns */
struct secondary_config {
	uint64_t heartbeat;	/* between two sent */
	uint64_t silence;	/* from the peer: it is suspected */
	uint64_t grace;		/* from suspicion to the fence */
	uint64_t fence_retry;	/* from a fence that failed to the next */

	/* Start the fence for the host @host_uuid of the guest described by
	 * @guest; its result comes to secondary_fence_done().  0, or -1 with
	 * errno: could not be started.  NULL: there is no fence, only an
	 * operator can fail over. */
	int (*fence)(void *arg, const uint8_t host_uuid[16],
		     const struct platform_info *guest);
	void *fence_arg;
};

/** secondary_config_default() - Times: see docs/kemari.8; no fence */
void secondary_config_default(struct secondary_config *c);

/** enum secondary_outcome - how a session ended */
enum secondary_outcome {
	SECONDARY_GOING,	/* not over */
	SECONDARY_ENDED,	/* the primary ended it: standby destroyed */
	SECONDARY_ABANDONED,	/* broke off before the first commit: shell
				 * destroyed */
	SECONDARY_TOOK_OVER,	/* the guest runs here */
};

/**
 * secondary_new() - A conductor that holds nothing
 * @p:	Opened without a domain; @p, @s, @r are the caller's and outlive it
 * @c:	Copied
 * Return: to be freed by secondary_free(), or NULL with errno
 */
struct secondary *secondary_new(struct platform *p, struct staging *s,
				const struct secondary_config *c,
				const struct report *r);

/** secondary_free() - Free it; platform and staging are left as they are */
void secondary_free(struct secondary *s);

/**
 * secondary_attach() - Go on with the standby that staging knows, after a
 *			restart of the controller
 * Return: 0, also if staging is empty; -1 with errno: there should be a
 *	   standby and it cannot be found again
 */
int secondary_attach(struct secondary *s);

/** secondary_link_up() - A primary has connected; @l is the runner's and
 *			  lives until after secondary_link_down().  EBUSY:
 *			  another is connected, or the fence is at work */
int secondary_link_up(struct secondary *s, struct link *l);

/** The same as in primary.h. */
void secondary_link_down(struct secondary *s, int err, const char *why);
void secondary_message(struct secondary *s, const void *bytes, size_t len);
void secondary_writable(struct secondary *s);
void secondary_tick(struct secondary *s);
uint64_t secondary_deadline(const struct secondary *s);

/** secondary_fence_done() - The fence ended: @ok, the primary can do nothing
 *			     any more */
void secondary_fence_done(struct secondary *s, bool ok, const char *why);

/**
 * secondary_failover() - The operator orders the take-over, without fence
 * Return: 0 under way; -1 with errno: EPERM the standby is not eligible,
 *	   EALREADY under way or done
 *
 * A primary that is still connected is told, and stops its guest first.
 */
int secondary_failover(struct secondary *s);

/** secondary_outcome() - Over? */
enum secondary_outcome secondary_outcome(const struct secondary *s);

/** secondary_outcome_str() - Name of an outcome */
const char *secondary_outcome_str(enum secondary_outcome o);

/** secondary_status() - Snapshot for people */
void secondary_status(const struct secondary *s, struct status *out);

#endif
