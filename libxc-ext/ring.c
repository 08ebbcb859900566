// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ring.c - is the xenstore ring at rest, has the console been read?
 *
 * In: two pages that the guest and host daemons write.  Out: yes or no.  A
 * look works on a private copy, so that nothing changes between check and
 * use; every index is reduced to the ring's size before it is followed.
 */
#include "libxc-ext/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MASK(i)		((i) & (RING_STORE_SIZE - 1))

enum {
	TYPE_WATCH = 4,
	TYPE_UNWATCH = 5,
	TYPE_TRANSACTION_START = 6,
	TYPE_TRANSACTION_END = 7,
	TYPE_WATCH_EVENT = 15,
	TYPE_ERROR = 16,
	TYPE_RESET_WATCHES = 21,
	HEAD = sizeof(struct ring_head),
	MESSAGE_MAX = HEAD + RING_STORE_PAYLOAD_MAX,
};

static const char *const type_str[] = {
	"control", "directory", "read", "get-permissions", "watch", "unwatch",
	"transaction-start", "transaction-end", "introduce", "release",
	"get-domain-path", "write", "mkdir", "rm", "set-permissions",
	"watch-event", "error", "is-domain-introduced", "resume", "set-target",
	"restrict", "reset-watches", "directory-part", "?", "?",
};
static_assert(sizeof(type_str) / sizeof(type_str[0]) == RING_STORE_TYPES,
	      "name every message type");
static_assert(sizeof(struct ring_head) == 16, "public layout");
static_assert(offsetof(struct ring_store, req_cons) == 2048, "public layout");
static_assert(sizeof(struct ring_console) == 3088, "public layout");

/* How much of @len bytes lies before the ring's end. */
static size_t before_end(uint32_t at, size_t len)
{
	size_t first = RING_STORE_SIZE - MASK(at);

	return first < len ? first : len;
}

void ring_get(const uint8_t *ring, uint32_t at, void *out, size_t len)
{
	size_t first = before_end(at, len);

	memcpy(out, ring + MASK(at), first);
	memcpy((uint8_t *)out + first, ring, len - first);
}

void ring_put(uint8_t *ring, uint32_t *at, const void *from, size_t len)
{
	size_t first = before_end(*at, len);

	memcpy(ring + MASK(*at), from, first);
	memcpy(ring, (const uint8_t *)from + first, len - first);
	*at += (uint32_t)len;
}

/* The head at @at; false if it cannot be one.  Type 0 is not for guests, and
 * would make messages of zeroes. */
static bool head_at(const uint8_t *ring, uint32_t at, struct ring_head *h)
{
	ring_get(ring, at, h, HEAD);
	return h->type && h->type < RING_STORE_TYPES &&
	       h->len <= RING_STORE_PAYLOAD_MAX;
}

/* Do messages lead from @at to exactly @prod, at most a ring away? */
static bool chain(const uint8_t *ring, uint32_t at, uint32_t prod)
{
	struct ring_head h;

	while (at != prod) {
		if (prod - at < HEAD || !head_at(ring, at, &h) ||
		    h.len > prod - at - HEAD)
			return false;
		at += HEAD + h.len;
	}
	return true;
}

/* The oldest boundary still in the ring, or none. */
static void find_boundary(struct ring_stream *s, const uint8_t *ring,
			  uint32_t prod)
{
	uint32_t back;

	s->any = false;
	s->known = prod == 0;		/* never used */
	s->at = prod;
	for (back = RING_STORE_SIZE; !s->known && back >= HEAD; back--) {
		if (chain(ring, prod - back, prod)) {
			s->known = true;
			s->at = prod - back;
		}
	}
}

static void tx_forget(struct ring_track *t, uint32_t id)
{
	unsigned int i, n = 0;

	for (i = 0; i < t->ntx; i++)
		if (t->tx[i] != id)
			t->tx[n++] = t->tx[i];
	t->ntx = n;
}

/* When there is no room the oldest goes: it cannot be open any more. */
static void tx_note(struct ring_track *t, uint32_t id)
{
	if (!id)
		return;
	tx_forget(t, id);
	if (t->ntx == RING_STORE_TX_MAX) {
		memmove(t->tx, t->tx + 1, sizeof(t->tx) - sizeof(t->tx[0]));
		t->ntx--;
	}
	t->tx[t->ntx++] = id;
}

/* The number in a reply to transaction-start. */
static uint32_t tx_number(const uint8_t *ring, uint32_t at, uint32_t len)
{
	char digits[12] = "";
	uint32_t id = 0;
	size_t i;

	if (len >= sizeof(digits))
		return 0;
	ring_get(ring, at, digits, len);
	for (i = 0; digits[i] >= '0' && digits[i] <= '9'; i++)
		id = id * 10 + (uint32_t)(digits[i] - '0');
	return id;
}

static void saw_reply(struct ring_track *t, const struct ring_store *p,
		      uint32_t at, const struct ring_head *h)
{
	if (h->type == TYPE_WATCH_EVENT)
		return;
	t->rsp.any = true;
	t->rsp.head = *h;
	/* A reply of which only half is there is looked at for its number
	 * only if the number is there. */
	if (h->type == TYPE_TRANSACTION_START &&
	    h->len <= p->rsp_prod - at - HEAD)
		tx_note(t, tx_number(p->rsp, at + HEAD, h->len));
}

static void saw_request(struct ring_track *t, const struct ring_head *h)
{
	t->req.any = true;
	t->req.head = *h;
	if (h->type == TYPE_WATCH || h->type == TYPE_UNWATCH ||
	    h->type == TYPE_RESET_WATCHES)
		t->rewatched = true;
	if (h->type == TYPE_TRANSACTION_END)
		tx_forget(t, h->tx_id);
	else
		tx_note(t, h->tx_id);
}

/* Read the heads between s->at and @prod. */
static void follow(struct ring_track *t, const struct ring_store *p,
		   struct ring_stream *s, const uint8_t *ring, uint32_t prod)
{
	uint32_t ahead = s->at - prod;	/* of a message half there */
	struct ring_head h;

	if (s->known && prod - s->at > RING_STORE_SIZE && ahead > MESSAGE_MAX)
		s->known = false;
	if (!s->known) {
		if (s == &t->req) {
			t->ntx = 0;
			t->rewatched = true;
		}
		find_boundary(s, ring, prod);
	}
	while (s->known && prod - s->at >= HEAD &&
	       prod - s->at <= RING_STORE_SIZE) {
		if (!head_at(ring, s->at, &h)) {
			s->known = false;
			s->any = false;
			break;
		}
		if (s == &t->req)
			saw_request(t, &h);
		else
			saw_reply(t, p, s->at, &h);
		s->at += HEAD + h.len;
	}
}

static int not_yet(char *why, const char *what, uint32_t n)
{
	snprintf(why, RING_WHY_MAX, "xenstore ring: %s %u", what, n);
	return 0;
}

static bool answered(const struct ring_head *ask, const struct ring_head *reply)
{
	return ask->req_id == reply->req_id &&
	       (reply->type == ask->type || reply->type == TYPE_ERROR);
}

static int verdict(struct ring_track *t, const struct ring_store *p,
		   uint64_t now, char *why)
{
	const struct ring_head *ask = &t->req.head;

	if (p->connection)
		return not_yet(why, "reconnect under way, state",
			       p->connection);
	if (p->req_cons != p->req_prod)
		return not_yet(why, "bytes of requests not consumed:",
			       p->req_prod - p->req_cons);
	if (t->req.known && t->req.at != p->req_prod)
		return not_yet(why, "half a message at request byte",
			       p->req_prod);
	if (t->rsp.known && t->rsp.at != p->rsp_prod)
		return not_yet(why, "half a message at reply byte",
			       p->rsp_prod);
	if (t->req.any && t->rsp.any && !answered(ask, &t->rsp.head)) {
		snprintf(why, RING_WHY_MAX,
			 "xenstore ring: request %u (%s) is not answered",
			 ask->req_id, type_str[ask->type]);
		return 0;
	}
	if (t->ntx)
		return not_yet(why, "open transaction", t->tx[0]);
	if (t->req.known && t->rsp.known && t->req.any == t->rsp.any)
		return 1;
	if (now - t->since >= RING_STILL_NS)
		return 1;
	t->unsure = true;
	snprintf(why, RING_WHY_MAX,
		 "xenstore ring: more than %u bytes passed unseen; it must be still for %llu ms",
		 (unsigned int)RING_STORE_SIZE, RING_STILL_NS / 1000000);
	return 0;
}

int ring_store_settled(struct ring_track *t, const void *live, uint64_t now,
		       char *why)
{
	struct {
		struct ring_store ring;
		uint8_t rest[RING_PAGE - sizeof(struct ring_store)];
	} page;
	const struct ring_store *p = &page.ring;

	ring_store_copy(&page, live);
	t->unsure = false;
	if (p->req_prod - p->req_cons > RING_STORE_SIZE ||
	    p->rsp_prod - p->rsp_cons > RING_STORE_SIZE) {
		snprintf(why, RING_WHY_MAX,
			 "xenstore ring: the guest broke its indices: requests %u to %u, replies %u to %u, the ring has %u bytes",
			 p->req_cons, p->req_prod, p->rsp_cons, p->rsp_prod,
			 (unsigned int)RING_STORE_SIZE);
		memset(t, 0, sizeof(*t));
		errno = EPROTO;
		return -1;
	}
	t->moved = !t->looked || t->still_req != p->req_prod;
	if (t->moved || t->still_rsp != p->rsp_prod) {
		t->looked = true;
		t->still_req = p->req_prod;
		t->still_rsp = p->rsp_prod;
		t->since = now;
	}
	/* Replies first: the one that opens a transaction comes before the
	 * request that closes it. */
	follow(t, p, &t->rsp, p->rsp, p->rsp_prod);
	follow(t, p, &t->req, p->req, p->req_prod);
	return verdict(t, p, now, why);
}

/* The words of [first, first + n) before everything else. */
static void copy_page(void *dst, const void *src, size_t first, size_t n)
{
	const volatile uint32_t *words = src;
	uint32_t index[8];
	size_t i;

	assert(n <= sizeof(index) / sizeof(index[0]));
	for (i = 0; i < n; i++)
		index[i] = words[first / 4 + i];
	/* The data that these indices cover must not be older than them. */
	__sync_synchronize();
	memcpy(dst, src, RING_PAGE);
	memcpy((uint8_t *)dst + first, index, n * sizeof(index[0]));
}

void ring_store_copy(void *dst, const void *src)
{
	copy_page(dst, src, offsetof(struct ring_store, req_cons), 7);
}

void ring_console_copy(void *dst, const void *src)
{
	copy_page(dst, src, offsetof(struct ring_console, in_cons), 4);
}

void ring_console_replay(void *copy)
{
	struct ring_console *c = copy;
	uint32_t unread = c->out_prod - c->out_cons;
	uint32_t back = RING_CONSOLE_REPLAY;

	/* Indices begin at 0; before that there is nothing. */
	if (back > c->out_prod)
		back = c->out_prod;
	if (unread < back)
		c->out_cons = c->out_prod - back;
}

static uint32_t console_word(const void *live, size_t offset)
{
	return *(const volatile uint32_t *)((const uint8_t *)live + offset);
}

uint32_t ring_console_produced(const void *live)
{
	return console_word(live, offsetof(struct ring_console, out_prod));
}

bool ring_console_drained(const void *live, uint32_t produced, uint32_t *left)
{
	uint32_t cons = console_word(live,
				     offsetof(struct ring_console, out_cons));

	*left = produced - cons;
	if (*left > RING_CONSOLE_OUT)
		*left = 0;
	return *left == 0;
}
