/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer.h - the other conductor, as far as both sides see it alike
 *
 * The link of the moment, heartbeats both ways, the watch for silence, and
 * the polite end: ERROR is the last message, then the peer closes, or we do
 * PEER_LINGER later.  Deadlines, on the platform's clock:
 *	beat_at		send the next heartbeat
 *	heard + silence	the peer is silent: shut the link
 *	linger_at	the peer has not closed after our ERROR: shut the link
 */
#ifndef KEMARI_PEER_H
#define KEMARI_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replicator/wire.h"

struct link;

#define PEER_LINGER 1000000000ull	/* ns */
/* Times the silence that makes suspicious, while the standby is not eligible:
 * a domain is built, hotplug scripts run and the first copy is made. */
#define PEER_PATIENCE 30

/** struct peer - zero-initialised: no link */
struct peer {
	struct link *link;	/* NULL: down */
	bool greeted;		/* its HELLO was accepted */
	bool leaving;		/* ERROR was sent or shut() called: nothing
				 * more is said or heard */
	uint64_t features;	/* in use */
	uint64_t heard;		/* when the last message came; later if we
				 * had no time to listen */
	uint64_t watched;	/* when we last listened */
	uint64_t beat_at, linger_at;
	uint64_t sequence;	/* of our last heartbeat */
	uint64_t echo;		/* .clock of its last heartbeat */
};

/** peer_up(), peer_down() - A link came, went */
void peer_up(struct peer *p, struct link *l, uint64_t now);
void peer_down(struct peer *p);

/**
 * peer_send() - Send a message of fixed length
 * Return: 0, or -1: EAGAIN the link is full, EPIPE it is down or leaving
 */
int peer_send(struct peer *p, enum wire_type type, const void *body,
	      size_t len);

/** peer_error() - Send ERROR with @err and @text; from now on it is leaving */
void peer_error(struct peer *p, uint64_t now, int err, const char *text);

/** peer_beat_due() - Is a heartbeat due? */
bool peer_beat_due(const struct peer *p, uint64_t now);

/**
 * peer_beat() - Send a heartbeat
 * @b:		Filled in but for sequence, echo and clock
 * @interval:	To the next one, ns
 */
void peer_beat(struct peer *p, uint64_t now, uint64_t interval,
	       struct wire_heartbeat *b);

/** peer_watch() - Shut a link that is silent or was told to leave */
void peer_watch(struct peer *p, uint64_t now, uint64_t silence);

/** peer_deadline() - When peer_beat() or peer_watch() has something to do */
uint64_t peer_deadline(const struct peer *p, uint64_t silence);

#endif
