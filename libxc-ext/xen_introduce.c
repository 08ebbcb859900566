// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_introduce.c - connect a domain to the xenstore daemon, watches included
 *
 * DOC: Theory of Operation
 *
 * The daemon of this host knows nothing of the watches that the guest has set
 * on the other one, and the guest will not set them again.  So, between the
 * introduction and the guest's first instruction, we play the guest: requests
 * to watch are put in the empty ring, the answers are taken out, and then the
 * ring of the checkpoint is put in their place, with the first event of each
 * watch added behind its unread replies.  The guest finds its watches set and
 * each of them fired, as after any reconnection.
 *
 * The daemon looks at the ring when the guest's event comes, and that we
 * cannot send.  oxenstored also looks after binding the port, which another
 * introduction makes it do; C xenstored, which empties the ring at each
 * introduction, also looks whenever it wakes for anybody.
 */
#include "libxc-ext/xen_store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xen/io/xs_wire.h>

enum {
	PLAY_LOOKS = 2000,		/* of PLAY_NAP each, in all */
	PLAY_KICK = 20,			/* looks until another kick */
	EVENTS_MAX = 64 << 10,		/* bytes of first events kept */
};
static const struct timespec PLAY_NAP = { .tv_nsec = 1000000 };

struct play {
	struct xen_store *s;
	uint64_t gfn;
	uint32_t port;
	struct ring_store *ring;	/* live */
	bool kick_by_introduction;
	unsigned int looks;
	size_t sent, acked, refused, fired;
	uint8_t *events;		/* whole messages */
	size_t events_len;
};

/* The daemon reads both words without a lock: change them as one. */
static void set_pair(uint32_t *first, uint32_t a, uint32_t b)
{
	uint64_t both = (uint64_t)b << 32 | a;

	__atomic_store_n((uint64_t *)(void *)first, both, __ATOMIC_SEQ_CST);
}

static uint32_t word(const uint32_t *w)
{
	return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}

static int kick(struct play *p)
{
	struct xen_store *s = p->s;
	char *path;

	if (p->kick_by_introduction)
		return xs_introduce_domain(s->xs, s->domid, p->gfn, p->port) ?
		       0 : -1;
	path = xs_get_domain_path(s->xs, s->domid);
	free(path);
	return path ? 0 : -1;
}

/* One whole message of the reply ring, or false. */
static bool take_message(struct play *p)
{
	struct ring_store *r = p->ring;
	uint32_t cons = word(&r->rsp_cons), n = word(&r->rsp_prod) - cons;
	struct ring_head h;
	size_t size;

	if (n < sizeof(h) || n > RING_STORE_SIZE)
		return false;
	ring_get(r->rsp, cons, &h, sizeof(h));
	size = sizeof(h) + h.len;
	if (h.len > RING_STORE_PAYLOAD_MAX || n < size)
		return false;
	if (h.type == XS_WATCH_EVENT) {
		p->fired++;
		if (p->events_len + size <= EVENTS_MAX) {
			ring_get(r->rsp, cons, p->events + p->events_len, size);
			p->events_len += size;
		}
	} else {
		p->acked++;
		p->refused += h.type == XS_ERROR;
	}
	__atomic_store_n(&r->rsp_cons, cons + (uint32_t)size,
			 __ATOMIC_SEQ_CST);
	return true;
}

/* Until everything asked is answered and has fired; false: time is up. */
static bool take_all(struct play *p)
{
	unsigned int quiet = 0;

	while (p->acked < p->sent || p->fired < p->acked - p->refused) {
		if (take_message(p)) {
			quiet = 0;
			continue;
		}
		if (p->looks++ == PLAY_LOOKS)
			return false;
		if (++quiet % PLAY_KICK == 0 && kick(p))
			return false;
		nanosleep(&PLAY_NAP, NULL);
	}
	return true;
}

static uint32_t request_size(const struct node_watch *w)
{
	return (uint32_t)(sizeof(struct ring_head) + strlen(w->path) +
			  strlen(w->token) + 2);
}

static void put_request(struct play *p, uint32_t *at,
			const struct node_watch *w)
{
	struct ring_head h = {
		.type = XS_WATCH,
		.len = request_size(w) - (uint32_t)sizeof(h),
	};

	ring_put(p->ring->req, at, &h, sizeof(h));
	ring_put(p->ring->req, at, w->path, strlen(w->path) + 1);
	ring_put(p->ring->req, at, w->token, strlen(w->token) + 1);
	p->sent++;
}

/* As many requests at a time as fit; those left over are lost. */
static void play(struct play *p, const struct nodes *l)
{
	size_t i = 0;

	while (i < l->nwatch) {
		uint32_t prod = word(&p->ring->req_prod), at = prod;

		if (request_size(&l->watch[i]) > RING_STORE_SIZE) {
			i++;
			continue;
		}
		while (i < l->nwatch && at - prod +
		       request_size(&l->watch[i]) <= RING_STORE_SIZE)
			put_request(p, &at, &l->watch[i++]);
		__atomic_store_n(&p->ring->req_prod, at, __ATOMIC_SEQ_CST);
		if (kick(p) || !take_all(p))
			return;
	}
}

/* The ring of the checkpoint, and the events as far as there is room: how
 * many were added. */
static size_t put_back(struct play *p, const struct ring_store *image,
		       const uint8_t *rest)
{
	struct ring_store new = *image;
	size_t at = 0, added = 0;

	while (at < p->events_len) {
		struct ring_head h;
		size_t size;

		memcpy(&h, p->events + at, sizeof(h));
		size = sizeof(h) + h.len;
		if (new.rsp_prod - new.rsp_cons + size > RING_STORE_SIZE)
			break;
		ring_put(new.rsp, &new.rsp_prod, p->events + at, size);
		at += size;
		added++;
	}
	memcpy(p->ring->req, new.req, sizeof(new.req));
	memcpy(p->ring->rsp, new.rsp, sizeof(new.rsp));
	memcpy(p->ring + 1, rest, RING_PAGE - sizeof(new));
	p->ring->connection = new.connection;
	p->ring->error = new.error;
	set_pair(&p->ring->rsp_cons, new.rsp_cons, new.rsp_prod);
	set_pair(&p->ring->req_cons, new.req_cons, new.req_prod);
	return added;
}

static bool is_oxenstored(void)
{
	char *answer = daemon_ask("watches", NULL);
	bool is = answer;

	free(answer);
	return is;
}

int xen_store_introduce(struct xen_store *s, uint64_t gfn, uint32_t port,
			void *page)
{
	struct play p = { .s = s, .gfn = gfn, .port = port, .ring = page };
	struct {
		struct ring_store ring;
		uint8_t rest[RING_PAGE - sizeof(struct ring_store)];
	} image;
	int rc = 0;

	p.events = malloc(EVENTS_MAX);
	if (!p.events)
		return store_fail(s, ENOMEM, "no memory for xenstore events");
	memcpy(&image, page, sizeof(image));
	set_pair(&p.ring->req_cons, 0, 0);
	set_pair(&p.ring->rsp_cons, 0, 0);
	p.kick_by_introduction = is_oxenstored();
	if (!xs_introduce_domain(s->xs, s->domid, gfn, port))
		rc = store_fail(s, errno,
			"introducing domain %u (gfn %#llx, port %u) to the xenstore daemon: %s",
			s->domid, (unsigned long long)gfn, port,
			strerror(errno));
	else
		play(&p, &s->now);
	s->lost_watches = (unsigned int)(s->now.nwatch -
		put_back(&p, &image.ring, image.rest));
	free(p.events);
	return rc;
}

unsigned int xen_store_lost_watches(const struct xen_store *s)
{
	return s->lost_watches;
}
