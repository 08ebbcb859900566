// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * copy.c - all of the guest's memory -> COPY messages, in rounds
 *
 * Marks are a bitmap over frame numbers; a round is one sweep over it.
 */
#include "replicator/copy.h"

#include "libxc-ext/platform.h"
#include "replicator/codec.h"
#include "replicator/digest.h"
#include "replicator/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 64 };

struct copy {
	struct platform *platform;
	struct codec *codec;
	struct digest *digest;
	struct gfn_range *range;
	size_t ranges;
	uint64_t pages;		/* in them */
	uint64_t end;		/* highest frame + 1 */
	uint64_t *mark;		/* @end bits */
	uint64_t left;		/* of them set */
	uint64_t next;		/* frame where the sweep goes on */
	uint64_t generation, number;
	uint64_t sent;
	unsigned int round;
	bool begun;		/* COPY_BEGIN is made */
	bool ended;		/* COPY_END is made */
	uint8_t end_digest[WIRE_DIGEST];
	size_t ready;		/* bytes in message that wait for the link */
	uint8_t message[CODEC_BATCH_ROOM];
};

static int take_ranges(struct copy *c)
{
	c->range = calloc(PLATFORM_RANGES_MAX, sizeof(*c->range));
	if (!c->range)
		return -1;
	c->ranges = PLATFORM_RANGES_MAX;
	if (c->platform->ops->ranges(c->platform, c->range, &c->ranges))
		return -1;
	for (size_t i = 0; i < c->ranges; i++) {
		const struct gfn_range *r = &c->range[i];

		if (!r->count || r->first < c->end ||
		    r->first >= PLATFORM_GFN_MAX ||
		    r->count > PLATFORM_GFN_MAX - r->first)
			return platform_fail(c->platform, ERANGE,
					     "ranges: frames 0x%llx + 0x%llx are out of order or beyond 0x%x",
					     (unsigned long long)r->first,
					     (unsigned long long)r->count,
					     PLATFORM_GFN_MAX);
		c->end = r->first + r->count;
		c->pages += r->count;
	}
	return 0;
}

struct copy *copy_new(struct platform *p)
{
	struct copy *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return NULL;
	c->platform = p;
	c->digest = digest_new();
	if (!c->digest || take_ranges(c))
		goto fail;
	c->mark = calloc(c->end / BITS + 1, sizeof(*c->mark));
	if (!c->mark)
		goto fail;
	return c;
fail:
	err = errno;
	copy_free(c);
	errno = err;
	return NULL;
}

void copy_free(struct copy *c)
{
	if (!c)
		return;
	codec_free(c->codec);
	digest_free(c->digest);
	free(c->range);
	free(c->mark);
	free(c);
}

static bool marked(const struct copy *c, uint64_t gfn)
{
	return c->mark[gfn / BITS] >> (gfn % BITS) & 1;
}

static void set(struct copy *c, uint64_t gfn)
{
	if (!marked(c, gfn))
		c->left++;
	c->mark[gfn / BITS] |= 1ull << (gfn % BITS);
}

static void clear(struct copy *c, uint64_t gfn)
{
	if (marked(c, gfn))
		c->left--;
	c->mark[gfn / BITS] &= ~(1ull << (gfn % BITS));
}

void copy_mark_all(struct copy *c)
{
	for (size_t i = 0; i < c->ranges; i++) {
		for (uint64_t k = 0; k < c->range[i].count; k++)
			set(c, c->range[i].first + k);
	}
}

int copy_mark(struct copy *c, uint64_t gfn)
{
	if (gfn >= c->end || !c->platform->ops->page(c->platform, gfn)) {
		errno = ERANGE;
		return -1;
	}
	set(c, gfn);
	return 0;
}

/* First marked frame from @from on, or UINT64_MAX. */
static uint64_t find(const struct copy *c, uint64_t from)
{
	while (from < c->end) {
		uint64_t word = c->mark[from / BITS] >> (from % BITS);

		if (word)
			return from + (uint64_t)__builtin_ctzll(word);
		from = (from / BITS + 1) * BITS;
	}
	return UINT64_MAX;
}

uint64_t copy_take(struct copy *c)
{
	uint64_t gfn = c->left ? find(c, 0) : UINT64_MAX;

	if (gfn != UINT64_MAX)
		clear(c, gfn);
	return gfn;
}

int copy_start(struct copy *c, uint64_t generation, uint64_t number,
	       uint64_t features)
{
	codec_free(c->codec);
	c->codec = codec_new(features, NULL);
	if (!c->codec)
		return -1;
	c->generation = generation;
	c->number = number;
	c->next = 0;
	c->sent = 0;
	c->round = 1;
	c->begun = false;
	c->ended = false;
	c->ready = 0;
	digest_start(c->digest, NULL);
	copy_mark_all(c);
	return 0;
}

static void make_begin(struct copy *c)
{
	struct wire_copy_begin b = {
		.generation = c->generation,
		.copy = c->number,
		.pages = c->pages,
	};

	c->ready = wire_put(c->message, WIRE_COPY_BEGIN, &b, sizeof(b));
	digest_add(c->digest, c->message);
	c->begun = true;
}

static void make_batch(struct copy *c)
{
	uint64_t gfn;

	codec_start(c->codec, c->message, WIRE_COPY, c->number, c->round);
	while ((gfn = find(c, c->next)) != UINT64_MAX) {
		const void *page = c->platform->ops->page(c->platform, gfn);

		/* A frame that went away is found by the first harvest. */
		if (page && codec_add(c->codec, gfn, page))
			break;
		c->sent += page != NULL;
		clear(c, gfn);
		c->next = gfn + 1;
	}
	if (gfn == UINT64_MAX)
		c->next = c->end;
	c->ready = codec_finish(c->codec);
	if (c->ready)
		digest_add(c->digest, c->message);
}

/* 1 nothing waits any more, 0 the link is full, -1. */
static int flush(struct copy *c, struct link *l)
{
	struct iovec iov = { .iov_base = c->message, .iov_len = c->ready };

	if (!c->ready)
		return 1;
	if (l->ops->send(l, &iov, 1))
		return errno == EAGAIN ? 0 : -1;
	c->ready = 0;
	return 1;
}

int copy_run(struct copy *c, struct link *l)
{
	for (;;) {
		int r = flush(c, l);

		if (r <= 0)
			return r;
		if (!c->begun) {
			make_begin(c);
		} else if (c->next >= c->end) {
			c->next = 0;
			c->round++;
			return 1;
		} else {
			make_batch(c);
		}
	}
}

int copy_end(struct copy *c, struct link *l, uint8_t digest[WIRE_DIGEST])
{
	struct wire_copy_end e = { .copy = c->number, .pages = c->sent };
	int r = flush(c, l);

	if (r <= 0)
		return r;
	if (!c->ended) {
		if (digest_finish(c->digest, c->end_digest))
			return -1;
		memcpy(e.digest, c->end_digest, sizeof(e.digest));
		c->ready = wire_put(c->message, WIRE_COPY_END, &e, sizeof(e));
		c->ended = true;
	}
	memcpy(digest, c->end_digest, WIRE_DIGEST);
	return flush(c, l);
}

void copy_progress(const struct copy *c, struct copy_progress *out)
{
	out->pages = c->pages;
	out->sent = c->sent;
	out->left = c->left;
	out->round = c->round;
}
