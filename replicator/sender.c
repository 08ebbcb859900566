// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sender.c - a whole checkpoint in the outbox -> messages on a link
 */
#include "replicator/sender.h"

#include "replicator/codec.h"
#include "replicator/digest.h"
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

static_assert((int)OUTBOX_DIGEST == (int)WIRE_DIGEST, "one digest");

struct sender {
	struct outbox *outbox;
	struct codec *codec;
	struct digest *digest;
	uint64_t features;
	enum sender_step step;
	uint64_t page;		/* next of the checkpoint's */
	uint64_t state;		/* next byte */
	size_t ready;		/* bytes in message that wait for the link */
	uint8_t message[CODEC_BATCH_ROOM];
};

static_assert(CODEC_BATCH_ROOM >= sizeof(struct wire_head) +
		      sizeof(struct wire_state) + WIRE_CHUNK_MAX,
	      "every message fits");

struct sender *sender_new(struct outbox *o)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->outbox = o;
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
	digest_free(s->digest);
	free(s);
}

int sender_start(struct sender *s, uint64_t features)
{
	if (!s->codec || s->features != features) {
		codec_free(s->codec);
		s->codec = codec_new(features);
		if (!s->codec)
			return -1;
		s->features = features;
	}
	s->step = SEND_BEGIN;
	s->page = 0;
	s->state = 0;
	s->ready = 0;
	digest_start(s->digest, outbox_facts(s->outbox)->digest);
	return 0;
}

void sender_stop(struct sender *s)
{
	s->step = SEND_NOTHING;
	s->ready = 0;
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

	codec_start(s->codec, s->message, WIRE_PAGES, c->epoch, 0);
	while (s->page < c->pages &&
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
