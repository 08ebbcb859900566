/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.h - a small guest in memory and the stream that protects it
 *
 * For the tests of what the secondary does: a platform of PAGES frames whose
 * memory may be shared with a parent process, and a recorded session (shell,
 * copy, checkpoints) made with the real encoder, next to what the standby must
 * look like after each checkpoint.
 *
 * In a session that repeats, each checkpoint has the same pages: one as it was,
 * some changed in places, some new.  If it refers, they are sent so.
 */
#ifndef TESTS_SESSION_H
#define TESTS_SESSION_H

#define SESSION "a test session"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>
#include <cmocka.h>

#include "libxc-ext/platform.h"
#include "libxc-ext/records.h"
#include "replicator/codec.h"
#include "replicator/digest.h"
#include "replicator/known.h"
#include "replicator/receive.h"
#include "replicator/staging.h"
#include "replicator/wire.h"

enum {
	PAGES = 24,		/* of the guest, gfns GFN0 and up */
	GFN0 = 0x100,
	CKPTS = 3,		/* checkpoints of the session */
	DIRTY = 5,		/* pages in each */
	MESSAGES_MAX = 64,
	GENERATION = 7,
	REC_VCPU = RECORD_TYPE_PLATFORM,	/* in each checkpoint */
	REC_NODES = RECORD_TYPE_PLATFORM + 1,	/* sticky: in the first */
};

/* --- the guest ------------------------------------------------------------ */

struct guest {
	struct platform base;
	uint8_t *memory;		/* PAGES pages, the owner's */
	uint64_t now;
	bool refuse;			/* verify() says no */
	unsigned int verified;
	void (*touch)(struct guest *g);	/* called by each page_rw */
	uint64_t touches;
};

static inline void *guest_page_rw(struct platform *p, uint64_t gfn)
{
	struct guest *g = (struct guest *)p;

	g->touches++;
	if (g->touch)
		g->touch(g);
	if (gfn < GFN0 || gfn >= GFN0 + PAGES)
		return NULL;
	return g->memory + (gfn - GFN0) * WIRE_PAGE;
}

static inline int guest_verify(struct platform *p, const void *records,
			       size_t len)
{
	struct guest *g = (struct guest *)p;
	struct record rec;

	g->verified++;
	if (g->refuse)
		return platform_fail(p, EINVAL, "refused on purpose");
	if (record_find(records, len, REC_VCPU, 0, &rec) != 1)
		return platform_fail(p, EINVAL, "no vCPU");
	return 0;
}

static inline uint64_t guest_now(struct platform *p)
{
	return ((struct guest *)p)->now += 1000;
}

static const struct platform_ops guest_ops = {
	.name = "memory",
	.now_ns = guest_now,
	.page_rw = guest_page_rw,
	.verify = guest_verify,
};

static inline void guest_init(struct guest *g, uint8_t *memory)
{
	*g = (struct guest){ .base.ops = &guest_ops, .memory = memory };
}

/* --- the stream ------------------------------------------------------------- */

struct stream {
	uint8_t *bytes;
	size_t used;
	size_t at[MESSAGES_MAX + 1];	/* where each begins; [n] is the end */
	unsigned int n;
	unsigned int ckpt[CKPTS + 2];	/* first message of checkpoint 1... */
	uint8_t memory[CKPTS + 1][PAGES * WIRE_PAGE];	/* after each */
	uint8_t digest[CKPTS + 1][WIRE_DIGEST];
	struct digest *chain;
	bool repeats, refers;
	struct known *known;
	struct codec *codec;
};

static inline const uint8_t *message(const struct stream *s, unsigned int i)
{
	return s->bytes + s->at[i];
}

static inline size_t message_len(const struct stream *s, unsigned int i)
{
	return s->at[i + 1] - s->at[i];
}

static inline int message_type(const struct stream *s, unsigned int i)
{
	struct wire_head head;

	memcpy(&head, message(s, i), sizeof(head));
	return head.type;
}

static inline void stream_added(struct stream *s, size_t len)
{
	assert_true(s->n < MESSAGES_MAX);
	s->used += len;
	s->at[++s->n] = s->used;
}

static inline const uint8_t *stream_put(struct stream *s, enum wire_type type,
					const void *body, size_t len)
{
	uint8_t *at = s->bytes + s->used;

	stream_added(s, wire_put(at, type, body, len));
	return at;
}

/* A fixed part and bytes behind it. */
static inline const uint8_t *stream_part(struct stream *s, enum wire_type type,
					 const void *fixed, size_t fixed_len,
					 const void *part, size_t len)
{
	uint8_t *body = malloc(fixed_len + len);
	const uint8_t *at;

	memcpy(body, fixed, fixed_len);
	memcpy(body + fixed_len, part, len);
	at = stream_put(s, type, body, fixed_len + len);
	free(body);
	return at;
}

/* Some compress, some do not, some are zero. */
static inline void fill_page(uint8_t *page, unsigned int seed)
{
	uint32_t x = seed * 2654435761u + 1;
	unsigned int i;

	memset(page, 0, WIRE_PAGE);
	if (seed % 3 == 0)
		return;
	for (i = 0; i < (seed % 3 == 1 ? 300u : (unsigned int)WIRE_PAGE); i++) {
		x = x * 1664525u + 1013904223u;
		page[i] = (uint8_t)(x >> 24);
	}
}

static inline void stream_shell(struct stream *s)
{
	struct wire_shell shell = { .generation = GENERATION };
	struct recbuf b = { 0 };

	assert_int_equal(recbuf_add(&b, REC_VCPU, 0, 0, "shell", 5), 0);
	shell.total = b.used;
	stream_part(s, WIRE_SHELL, &shell, sizeof(shell), b.bytes, 10);
	shell.offset = 10;
	stream_part(s, WIRE_SHELL, &shell, sizeof(shell), b.bytes + 10,
		    b.used - 10);
	recbuf_free(&b);
}

static inline void stream_batch(struct stream *s, enum wire_type type,
				uint64_t of, const uint8_t *memory,
				const unsigned int *index, unsigned int n)
{
	struct codec *c = type == WIRE_COPY ?
		codec_new(WIRE_FEATURE_LZ4, NULL) : s->codec;
	uint8_t *at = s->bytes + s->used;
	unsigned int i;

	codec_start(c, at, type, of, type == WIRE_COPY);
	for (i = 0; i < n; i++)
		assert_int_equal(codec_add(c, GFN0 + index[i],
					   memory + index[i] * WIRE_PAGE), 0);
	stream_added(s, codec_finish(c));
	digest_add(s->chain, at);
	if (type == WIRE_COPY)
		codec_free(c);
}

static inline void stream_copy(struct stream *s)
{
	struct wire_copy_begin b = {
		.generation = GENERATION, .copy = 1, .pages = PAGES,
	};
	struct wire_copy_end e = { .copy = 1, .pages = PAGES };
	unsigned int i, index[PAGES];

	for (i = 0; i < PAGES; i++) {
		index[i] = i;
		fill_page(s->memory[0] + i * WIRE_PAGE, i);
	}
	digest_start(s->chain, NULL);
	digest_add(s->chain, stream_put(s, WIRE_COPY_BEGIN, &b, sizeof(b)));
	stream_batch(s, WIRE_COPY, 1, s->memory[0], index, PAGES / 2);
	stream_batch(s, WIRE_COPY, 1, s->memory[0], index + PAGES / 2,
		     PAGES - PAGES / 2);
	assert_int_equal(digest_finish(s->chain, e.digest), 0);
	memcpy(s->digest[0], e.digest, WIRE_DIGEST);
	stream_put(s, WIRE_COPY_END, &e, sizeof(e));
}

static inline void stream_state(struct stream *s, uint64_t epoch)
{
	struct wire_state st = { .epoch = epoch };
	struct recbuf b = { 0 };
	size_t half;

	assert_int_equal(recbuf_add(&b, REC_VCPU, RECORD_MANDATORY, 0, &epoch,
				    sizeof(epoch)), 0);
	if (epoch == 1)
		assert_int_equal(recbuf_add(&b, REC_NODES, RECORD_STICKY, 0,
					    "nodes", 5), 0);
	half = b.used / 2 + 3;
	digest_add(s->chain, stream_part(s, WIRE_STATE, &st, sizeof(st),
					 b.bytes, half));
	st.offset = half;
	digest_add(s->chain, stream_part(s, WIRE_STATE, &st, sizeof(st),
					 b.bytes + half, b.used - half));
	recbuf_free(&b);
}

static inline size_t state_len(uint64_t epoch)
{
	return sizeof(struct record_head) + 8 +
	       (epoch == 1 ? sizeof(struct record_head) + 8 : 0);
}

/* As it was, or with some bytes changed, or new. */
static inline void change_page(uint8_t *page, uint64_t epoch, unsigned int i)
{
	if (epoch == 1 || i > 2)
		fill_page(page, (unsigned int)epoch * 100 + i);
	else if (i)
		memset(page + 100 * i, (int)(epoch * 10 + i), 40);
}

/* Checkpoint @epoch: DIRTY pages that differ, some more than once. */
static inline void stream_ckpt(struct stream *s, uint64_t epoch)
{
	struct wire_ckpt_begin b = {
		.generation = GENERATION, .epoch = epoch,
		.previous = epoch - 1, .guest_time = epoch * 1000000,
		.clock = epoch * 1000, .pages = DIRTY, .parts = 1,
		.cause = epoch == 1 ? WIRE_CAUSE_FIRST : WIRE_CAUSE_TAP,
	};
	struct wire_ckpt_end e = {
		.epoch = epoch, .pages = DIRTY, .state = state_len(epoch),
		.messages = 5,
	};
	uint8_t *memory = s->memory[epoch], *page;
	unsigned int i, index[DIRTY];

	s->ckpt[epoch] = s->n;
	memcpy(memory, s->memory[epoch - 1], sizeof(s->memory[0]));
	for (i = 0; i < DIRTY; i++) {
		index[i] = (unsigned int)((s->repeats ? 1 : epoch) * 3 +
					  i * 2) % PAGES;
		page = memory + index[i] * WIRE_PAGE;
		if (s->repeats)
			change_page(page, epoch, i);
		else
			fill_page(page, (unsigned int)epoch * 100 + i);
	}
	if (s->refers && epoch > 1)
		b.codec_state = b.previous;
	codec_next(s->codec);
	memcpy(b.digest, s->digest[epoch - 1], WIRE_DIGEST);
	digest_start(s->chain, b.digest);
	digest_add(s->chain, stream_put(s, WIRE_CKPT_BEGIN, &b, sizeof(b)));
	stream_batch(s, WIRE_PAGES, epoch, memory, index, 2);
	stream_batch(s, WIRE_PAGES, epoch, memory, index + 2, DIRTY - 2);
	stream_state(s, epoch);
	assert_int_equal(digest_finish(s->chain, e.digest), 0);
	memcpy(s->digest[epoch], e.digest, WIRE_DIGEST);
	stream_put(s, WIRE_CKPT_END, &e, sizeof(e));
	s->ckpt[epoch + 1] = s->n;
}

static inline struct stream *stream_make(bool repeats, bool refers)
{
	static const uint8_t session[16] = SESSION;
	struct stream *s = calloc(1, sizeof(*s));
	uint64_t epoch;

	s->repeats = repeats;
	s->refers = refers;
	if (refers)
		s->known = known_new(known_seed(session), PAGES);
	s->codec = codec_new(WIRE_FEATURES, s->known);
	assert_non_null(s->codec);
	s->bytes = malloc(1 << 20);
	s->chain = digest_new();
	stream_shell(s);
	stream_copy(s);
	for (epoch = 1; epoch <= CKPTS; epoch++)
		stream_ckpt(s, epoch);
	assert_true(s->used < 1 << 20);
	return s;
}

static inline struct stream *stream_new(void)
{
	return stream_make(false, false);
}

static inline void stream_free(struct stream *s)
{
	codec_free(s->codec);
	known_free(s->known);
	digest_free(s->chain);
	free(s->bytes);
	free(s);
}

/* --- the secondary ---------------------------------------------------------- */

struct standby {
	int fd;
	struct staging *st;
	struct guest guest;
	uint8_t *memory;
	struct receive *r;
};

static inline void standby_attach(struct standby *s)
{
	char why[WIRE_WHY_MAX];

	s->st = staging_open(s->fd, why);
	assert_non_null(s->st);
	guest_init(&s->guest, s->memory);
	s->r = receive_new(&s->guest.base, s->st);
	assert_non_null(s->r);
}

static inline void standby_detach(struct standby *s)
{
	receive_free(s->r);
	staging_close(s->st);
}

static inline void standby_init(struct standby *s)
{
	s->fd = staging_create(STAGING_PAGES_MIN, STAGING_STATE_MIN);
	assert_true(s->fd >= 0);
	s->memory = calloc(PAGES, WIRE_PAGE);
	standby_attach(s);
}

static inline void standby_free(struct standby *s)
{
	standby_detach(s);
	free(s->memory);
	close(s->fd);
}

/* One message, as a conductor would take it.  Return: as receive_message(). */
static inline int standby_take(struct standby *s, const void *bytes, size_t len)
{
	static const uint8_t session[16] = SESSION, host[16] = "host";
	char why[WIRE_WHY_MAX];
	const void *records;
	uint64_t generation;
	int event, type;
	size_t n;

	type = wire_check(bytes, len, why);
	if (type <= 0)
		return -1;
	event = receive_message(s->r, bytes, len);
	if (event == RECEIVE_SHELL) {
		records = receive_shell(s->r, &n, &generation);
		assert_int_equal(staging_shell_put(s->st, session, host,
						   generation, records, n), 0);
		staging_move(s->st, STAGING_SHELL);
	}
	if (event == RECEIVE_STAGED)
		receive_commit(s->r);
	return event;
}

/* Messages [from, to) of @in, all of which must be accepted. */
static inline void standby_feed(struct standby *s, const struct stream *in,
				unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = from; i < to; i++)
		if (standby_take(s, message(in, i), message_len(in, i)) < 0)
			fail_msg("message %u: %s", i, receive_why(s->r));
}

#endif
