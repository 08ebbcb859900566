// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * peer.c - the other conductor, as far as both sides see it alike
 */
#include "replicator/peer.h"

#include "replicator/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	FIXED_MAX = 2048,
	WATCHES = 4,		/* looks per time of silence, at least */
};

void peer_up(struct peer *p, struct link *l, uint64_t now)
{
	*p = (struct peer){ .link = l, .heard = now, .watched = now,
			     .beat_at = now };
}

void peer_down(struct peer *p)
{
	*p = (struct peer){ .link = NULL };
}

int peer_send(struct peer *p, enum wire_type type, const void *body,
	      size_t len)
{
	uint8_t message[FIXED_MAX];
	struct iovec iov = { .iov_base = message };

	if (!p->link || p->leaving) {
		errno = EPIPE;
		return -1;
	}
	if (len > sizeof(message) - sizeof(struct wire_head)) {
		errno = EMSGSIZE;
		return -1;
	}
	iov.iov_len = wire_put(message, type, body, len);
	return p->link->ops->send(p->link, &iov, 1);
}

void peer_error(struct peer *p, uint64_t now, int err, const char *text)
{
	struct wire_error e = { .error = (uint32_t)err };

	snprintf(e.text, sizeof(e.text), "%s", text);
	if (!p->link || p->leaving)
		return;
	if (peer_send(p, WIRE_ERROR, &e, sizeof(e)))
		p->link->ops->shut(p->link, err, text);
	p->leaving = true;
	p->linger_at = now + PEER_LINGER;
}

bool peer_beat_due(const struct peer *p, uint64_t now)
{
	return p->link && p->greeted && !p->leaving && now >= p->beat_at;
}

void peer_beat(struct peer *p, uint64_t now, uint64_t interval,
	       struct wire_heartbeat *b)
{
	b->sequence = p->sequence + 1;
	b->echo = p->echo;
	b->clock = now;
	p->beat_at = now + interval;
	/* A full link is no silence: what fills it speaks for us. */
	if (!peer_send(p, WIRE_HEARTBEAT, b, sizeof(*b)))
		p->sequence++;
}

void peer_watch(struct peer *p, uint64_t now, uint64_t silence)
{
	if (!p->link)
		return;
	/* What came while this side was busy is not read yet: its silence
	 * was ours.  Twice the interval, for no timer is quite on time. */
	if (now - p->watched > 2 * (silence / WATCHES))
		p->heard += now - p->watched;
	p->watched = now;
	if (p->leaving && now >= p->linger_at) {
		p->link->ops->shut(p->link, 0, "told to leave");
		p->linger_at = now + PEER_LINGER;
	} else if (!p->leaving && now >= p->heard + silence) {
		p->leaving = true;
		p->linger_at = now + PEER_LINGER;
		p->link->ops->shut(p->link, ETIMEDOUT, "the peer is silent");
	}
}

uint64_t peer_deadline(const struct peer *p, uint64_t silence)
{
	uint64_t at;

	if (!p->link)
		return UINT64_MAX;
	if (p->leaving)
		return p->linger_at;
	at = p->heard + silence;
	if (at > p->watched + silence / WATCHES)
		at = p->watched + silence / WATCHES;
	return p->greeted && p->beat_at < at ? p->beat_at : at;
}
