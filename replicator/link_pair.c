// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * link_pair.c - a connection inside one process, on a virtual clock
 */
#include "replicator/link_pair.h"

#include "replicator/link.h"
#include "replicator/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A message under way. */
struct packet {
	struct packet *next;
	uint64_t due;
	size_t len;
	uint8_t bytes[];
};

struct end {
	struct link base;
	struct link_pair *pair;
	struct packet *first, **last;	/* towards this end */
	size_t waiting;			/* bytes of them */
	uint64_t last_due;
	uint64_t sent;			/* bytes, by this end */
	bool forgotten;			/* ops->close: no callbacks */
	bool want_room;			/* a send was refused */
	bool told;			/* closed() was called */
};

struct link_pair {
	struct end end[2];
	struct link_pair_knobs knobs;
	uint64_t rng;
	uint64_t now;
	bool broken, stalled;
	int err;
	const char *why;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static struct end *end_of(struct link *l)
{
	return (struct end *)l;
}

static int index_of(const struct end *e)
{
	return e == &e->pair->end[1];
}

static struct end *other(struct end *e)
{
	return &e->pair->end[!index_of(e)];
}

static void break_pair(struct link_pair *p, int err, const char *why)
{
	if (p->broken)
		return;
	p->broken = true;
	p->err = err;
	p->why = why;
}

static void drop_packets(struct end *e)
{
	while (e->first) {
		struct packet *k = e->first;

		e->first = k->next;
		free(k);
	}
	e->last = &e->first;
	e->waiting = 0;
}

static struct packet *gather(const struct iovec *iov, int n)
{
	struct packet *k;
	size_t len = 0, at = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	k = malloc(sizeof(*k) + len);
	if (!k)
		return NULL;
	k->next = NULL;
	k->len = len;
	for (int i = 0; i < n; i++) {
		memcpy(k->bytes + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return k;
}

static void post(struct end *from, struct packet *k)
{
	struct link_pair *p = from->pair;
	struct end *to = other(from);
	uint64_t span = p->knobs.delay_max - p->knobs.delay_min;
	uint64_t delay = p->knobs.delay_min;

	if (span)
		delay += next_random(&p->rng) % (span + 1);
	k->due = p->now + delay;
	if (k->due < to->last_due)
		k->due = to->last_due;
	to->last_due = k->due;
	*to->last = k;
	to->last = &k->next;
	to->waiting += k->len;
}

static int pair_send(struct link *l, const struct iovec *iov, int n)
{
	struct end *e = end_of(l);
	struct link_pair *p = e->pair;
	uint64_t cut = p->knobs.cut[index_of(e)];
	struct packet *k;
	int err = 0;

	if (!p->broken && p->knobs.fault)
		err = p->knobs.fault(p->knobs.fault_arg, index_of(e));
	if (err == EPIPE)
		break_pair(p, ECONNRESET, "a fault was injected");
	if (p->broken) {
		errno = EPIPE;
		return -1;
	}
	if (err == EAGAIN || other(e)->waiting >= LINK_QUEUE_MAX) {
		e->want_room = true;
		errno = EAGAIN;
		return -1;
	}
	if (err) {
		errno = err;
		return -1;
	}
	k = gather(iov, n);
	if (!k) {
		errno = ENOMEM;
		return -1;
	}
	e->sent += k->len;
	if (cut && e->sent >= cut)
		break_pair(p, ECONNRESET, "the connection was cut");
	if (cut && e->sent > cut)
		free(k);
	else
		post(e, k);
	return 0;
}

static size_t pair_queued(const struct link *l)
{
	const struct end *e = (const struct end *)l;

	return e->pair->end[!index_of(e)].waiting;
}

static void pair_shut(struct link *l, int err, const char *why)
{
	struct end *e = end_of(l);

	(void)why;
	drop_packets(e);
	drop_packets(other(e));
	break_pair(e->pair, err, "shut");
}

static void pair_close(struct link *l)
{
	struct end *e = end_of(l);

	e->forgotten = true;
	drop_packets(e);
	break_pair(e->pair, 0, "closed by the peer");
}

static const struct link_ops pair_ops = {
	.name = "pair",
	.send = pair_send,
	.queued = pair_queued,
	.shut = pair_shut,
	.close = pair_close,
};

struct link_pair *link_pair_new(const struct link_pair_knobs *k)
{
	struct link_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->knobs = *k;
	p->rng = k->seed;
	for (int i = 0; i < 2; i++) {
		p->end[i].base.ops = &pair_ops;
		p->end[i].pair = p;
		p->end[i].last = &p->end[i].first;
	}
	return p;
}

void link_pair_free(struct link_pair *p)
{
	if (!p)
		return;
	drop_packets(&p->end[0]);
	drop_packets(&p->end[1]);
	free(p);
}

struct link *link_pair_end(struct link_pair *p, int end)
{
	return &p->end[end].base;
}

void link_pair_cut(struct link_pair *p)
{
	drop_packets(&p->end[0]);
	drop_packets(&p->end[1]);
	break_pair(p, ECONNRESET, "the connection was cut");
}

void link_pair_stall(struct link_pair *p)
{
	p->stalled = true;
}

uint64_t link_pair_sent(const struct link_pair *p, int end)
{
	return p->end[end].sent;
}

static bool deliver(struct end *e)
{
	struct packet *k = e->first;

	e->first = k->next;
	if (!e->first)
		e->last = &e->first;
	e->waiting -= k->len;
	e->base.handler.message(e->base.handler.arg, k->bytes, k->len);
	free(k);
	return true;
}

static bool due(const struct end *e)
{
	return !e->forgotten && !e->pair->stalled && e->first &&
	       e->first->due <= e->pair->now;
}

bool link_pair_run(struct link_pair *p, uint64_t now)
{
	p->now = now;
	for (int i = 0; i < 2; i++) {
		struct end *e = &p->end[i];

		if (due(e))
			return deliver(e);
		if (e->forgotten || e->told)
			continue;
		/* What was sent before the break arrives before it. */
		if (p->broken && (!e->first || p->stalled)) {
			e->told = true;
			e->base.handler.closed(e->base.handler.arg, p->err,
					       p->why);
			return true;
		}
		if (!p->broken && e->want_room &&
		    other(e)->waiting <= LINK_QUEUE_LOW) {
			e->want_room = false;
			e->base.handler.writable(e->base.handler.arg);
			return true;
		}
	}
	return false;
}

uint64_t link_pair_next(const struct link_pair *p)
{
	uint64_t at = LINK_PAIR_NEVER;

	for (int i = 0; i < 2; i++) {
		const struct end *e = &p->end[i];

		if (e->forgotten)
			continue;
		if (e->first && !p->stalled && e->first->due < at)
			at = e->first->due;
		if (p->broken && !e->told && (!e->first || p->stalled))
			at = 0;
		if (!p->broken && e->want_room &&
		    p->end[!i].waiting <= LINK_QUEUE_LOW)
			at = 0;
	}
	return at;
}
