// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sender.c - a whole checkpoint in the outbox -> messages on a link
 */
#include "replicator/sender.h"

#include "replicator/codec.h"
#include "replicator/digest.h"
#include "replicator/known.h"
#include "replicator/link.h"
#include "replicator/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is sent next. */
enum sender_step {
	SEND_NOTHING,
	SEND_BEGIN,
	SEND_PAGES,
	SEND_STATE,
	SEND_END,
};

/* Pages in a message: few, so that the standby decodes while we encode, and that
 * what was encoded is in the processor's cache when it is sent. */
enum { BATCH = 32 };

static_assert((int)BATCH <= (int)WIRE_BATCH_MAX, "it is a batch");
static_assert((int)OUTBOX_DIGEST == (int)WIRE_DIGEST, "one digest");

struct sender {
	struct outbox *outbox;
	struct codec *codec;
	struct known *known;
	struct digest *digest;
	uint64_t features;
	size_t cache;		/* pages */
	uint64_t started;	/* epoch that is on its way; 0 none */
	uint64_t memory;	/* epoch that .known is exactly; 0 none */
	struct codec_stats before;	/* of codecs that are no more */
	uint64_t again;
	enum sender_step step;
	uint64_t page;		/* next of the checkpoint's */
	uint64_t state;		/* next byte */
	size_t ready;		/* bytes in message that wait for the link */
	uint8_t message[CODEC_BATCH_ROOM];
};

static_assert(CODEC_BATCH_ROOM >= sizeof(struct wire_head) +
		      sizeof(struct wire_state) + WIRE_CHUNK_MAX,
	      "every message fits");

struct sender *sender_new(struct outbox *o, size_t cache)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->outbox = o;
	s->cache = cache;
	s->digest = digest_new();
	if (!s->digest) {
		free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void sender_free(struct sender *s)
{
	if (!s)
		return;
	codec_free(s->codec);
	known_free(s->known);
	digest_free(s->digest);
	free(s);
}

static void forget(struct sender *s)
{
	s->memory = 0;
	if (s->known)
		known_forget(s->known);
}

static void add_stats(struct codec_stats *to, const struct codec_stats *s)
{
	to->zero += s->zero;
	to->same += s->same;
	to->delta += s->delta;
	to->lz4 += s->lz4;
	to->raw += s->raw;
	to->bytes += s->bytes;
}

/* A codec for these features, which are those of a connection. */
static int equip(struct sender *s, uint64_t features)
{
	bool refer = features & WIRE_FEATURE_REFER;

	if (s->codec && s->features == features)
		return 0;
	forget(s);
	if (s->codec)
		add_stats(&s->before, codec_stats(s->codec));
	codec_free(s->codec);
	s->codec = NULL;
	if (refer && !s->known)
		s->known = known_new(known_seed(outbox_facts(s->outbox)->session),
				     s->cache);
	if (refer && !s->known)
		return -1;
	s->codec = codec_new(features, refer ? s->known : NULL);
	s->features = features;
	return s->codec ? 0 : -1;
}

int sender_start(struct sender *s, uint64_t features)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(s->outbox);

	if (equip(s, features))
		return -1;
	if (s->started || c->cause == WIRE_CAUSE_FIRST)
		forget(s);
	codec_next(s->codec);
	s->started = c->epoch;
	s->step = SEND_BEGIN;
	s->page = 0;
	s->state = 0;
	s->ready = 0;
	digest_start(s->digest, outbox_facts(s->outbox)->digest);
	return 0;
}

void sender_committed(struct sender *s)
{
	uint64_t epoch = outbox_checkpoint(s->outbox)->epoch;

	if (s->started != epoch || sender_busy(s) || !s->known) {
		sender_stop(s);
		return;
	}
	s->memory = epoch;
	s->started = 0;
}

void sender_stop(struct sender *s)
{
	s->step = SEND_NOTHING;
	s->ready = 0;
	s->started = 0;
	forget(s);
}

int sender_again(struct sender *s, uint64_t gfn)
{
	if (!s->started || sender_busy(s) || !s->memory) {
		errno = EPROTO;
		return -1;
	}
	known_exclude(s->known, gfn);
	s->again++;
	sender_stop(s);
	return 0;
}

bool sender_busy(const struct sender *s)
{
	return s->step != SEND_NOTHING || s->ready;
}

bool sender_at_end(const struct sender *s)
{
	return s->step == SEND_END;
}

static void make_begin(struct sender *s)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(s->outbox);
	const struct outbox_facts *f = outbox_facts(s->outbox);
	struct wire_ckpt_begin b = {
		.generation = f->generation,
		.epoch = c->epoch,
		.previous = f->committed,
		.guest_time = c->guest_time,
		.clock = c->clock,
		.pages = c->pages,
		.codec_state = s->memory,
		.parts = 1,
		.cause = c->cause,
	};

	memcpy(b.digest, f->digest, sizeof(b.digest));
	s->ready = wire_put(s->message, WIRE_CKPT_BEGIN, &b, sizeof(b));
	s->step = SEND_PAGES;
}

static void make_pages(struct sender *s)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(s->outbox);
	uint64_t end = s->page + BATCH < c->pages ? s->page + BATCH : c->pages;

	codec_start(s->codec, s->message, WIRE_PAGES, c->epoch, 0);
	while (s->page < end &&
	       !codec_add(s->codec, outbox_gfn(s->outbox, s->page),
			  outbox_bytes(s->outbox, s->page)))
		s->page++;
	s->ready = codec_finish(s->codec);
	if (s->page == c->pages)
		s->step = SEND_STATE;
}

static void make_state(struct sender *s)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(s->outbox);
	uint64_t left = c->state - s->state;
	size_t n = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX;
	struct wire_state w = { .epoch = c->epoch, .offset = s->state };
	uint8_t *body = s->message + sizeof(struct wire_head);
	struct iovec iov = { .iov_base = body, .iov_len = sizeof(w) + n };
	struct wire_head head;

	if (!n) {
		s->step = SEND_END;
		return;
	}
	memcpy(body, &w, sizeof(w));
	memcpy(body + sizeof(w),
	       (const uint8_t *)outbox_state(s->outbox) + s->state, n);
	wire_seal(&head, WIRE_STATE, &iov, 1);
	memcpy(s->message, &head, sizeof(head));
	s->ready = sizeof(head) + sizeof(w) + n;
	s->state += n;
}

static int make_end(struct sender *s)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(s->outbox);
	struct wire_ckpt_end e = {
		.epoch = c->epoch,
		.pages = c->pages,
		.state = c->state,
		.messages = digest_messages(s->digest),
	};

	if (digest_finish(s->digest, e.digest))
		return -1;
	outbox_sent(s->outbox, e.digest);
	s->ready = wire_put(s->message, WIRE_CKPT_END, &e, sizeof(e));
	s->step = SEND_NOTHING;
	return 0;
}

/* The next message, if the step has one. */
static int make(struct sender *s)
{
	bool counted = s->step != SEND_END;

	switch (s->step) {
	case SEND_BEGIN:
		make_begin(s);
		break;
	case SEND_PAGES:
		make_pages(s);
		break;
	case SEND_STATE:
		make_state(s);
		break;
	case SEND_END:
		if (make_end(s))
			return -1;
		break;
	case SEND_NOTHING:
		return 0;
	}
	if (counted && s->ready)
		digest_add(s->digest, s->message);
	return 0;
}

int sender_run(struct sender *s, struct link *l, bool to_end)
{
	for (;;) {
		if (s->ready) {
			struct iovec iov = { .iov_base = s->message,
					     .iov_len = s->ready };

			if (l->ops->send(l, &iov, 1))
				return errno == EAGAIN ? 0 : -1;
			s->ready = 0;
		}
		if (s->step == SEND_NOTHING || (s->step == SEND_END && !to_end))
			return 1;
		if (make(s))
			return -1;
	}
}

void sender_figures(const struct sender *s, struct sender_figures *out)
{
	*out = (struct sender_figures){
		.codec = s->before,
		.memory = s->known ? known_bytes(s->known) : 0,
		.again = s->again,
	};
	if (s->codec)
		add_stats(&out->codec, codec_stats(s->codec));
}
