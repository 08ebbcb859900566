// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * codec.c - page <-> record of a batch: zero, lz4, raw; both ways
 *
 * Giving up early.  Compressing a page that does not compress costs more than
 * sending it.  LZ4 is told to stop as soon as its output exceeds LZ4_WORTH; and
 * after STREAK pages in a row that failed, a page is tried only if PROBE bytes
 * from its middle shrink.
 */
#include "replicator/codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	LZ4_WORTH = WIRE_PAGE - WIRE_PAGE / 8,	/* longest worth sending */
	STREAK = 4,		/* pages */
	PROBE = 512,		/* bytes */
	PROBE_WORTH = PROBE - PROBE / 8,
	ACCELERATION = 1,
};

struct codec {
	uint64_t features;
	struct codec_stats stats;
	uint8_t *out;		/* the message being made */
	size_t used;
	uint32_t count;
	enum wire_type type;
	unsigned int streak;	/* pages in a row that did not compress */
	LZ4_stream_t lz4;
};

struct codec *codec_new(uint64_t features)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->features = features;
	LZ4_initStream(&c->lz4, sizeof(c->lz4));
	return c;
}

void codec_free(struct codec *c)
{
	free(c);
}

void codec_start(struct codec *c, void *out, enum wire_type type, uint64_t of,
		 uint32_t round)
{
	struct wire_batch batch = { .of = of, .round = round };

	c->out = out;
	c->type = type;
	c->count = 0;
	c->used = sizeof(struct wire_head) + sizeof(batch);
	memcpy(c->out + sizeof(struct wire_head), &batch, sizeof(batch));
}

static bool is_zero(const void *page)
{
	const uint64_t *w = page;
	size_t i;

	for (i = 0; i < WIRE_PAGE / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] |
		    w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7])
			return false;
	return true;
}

/* Each block on its own: the reset forgets the page before, cheaply. */
static int compress(struct codec *c, const void *in, void *out, int len,
		    int room)
{
	LZ4_resetStream_fast(&c->lz4);
	return LZ4_compress_fast_continue(&c->lz4, in, out, len, room,
					  ACCELERATION);
}

/* Length of the compressed page at @out, or 0: send it raw. */
static int try_lz4(struct codec *c, const uint8_t *page, uint8_t *out)
{
	int n;

	if (!(c->features & WIRE_FEATURE_LZ4))
		return 0;
	if (c->streak >= STREAK &&
	    !compress(c, page + (WIRE_PAGE - PROBE) / 2, out, PROBE,
		      PROBE_WORTH))
		return 0;
	n = compress(c, page, out, WIRE_PAGE, LZ4_WORTH);
	c->streak = n ? 0 : c->streak + 1;
	return n;
}

int codec_add(struct codec *c, uint64_t gfn, const void *page)
{
	struct wire_page head = { .gfn = gfn };
	uint8_t *at = c->out + c->used, *data = at + sizeof(head);
	size_t pad;
	int n;

	if (c->count == WIRE_BATCH_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	if (is_zero(page)) {
		head.encoding = WIRE_ZERO;
		c->stats.zero++;
	} else if ((n = try_lz4(c, page, data)) > 0) {
		head.encoding = WIRE_LZ4;
		head.length = (uint32_t)n;
		c->stats.lz4++;
	} else {
		head.encoding = WIRE_RAW;
		head.length = WIRE_PAGE;
		memcpy(data, page, WIRE_PAGE);
		c->stats.raw++;
	}
	pad = -head.length & 7;
	memset(data + head.length, 0, pad);
	memcpy(at, &head, sizeof(head));
	c->used += sizeof(head) + head.length + pad;
	c->count++;
	return 0;
}

size_t codec_finish(struct codec *c)
{
	uint8_t *body = c->out + sizeof(struct wire_head);
	struct iovec iov = { body, c->used - sizeof(struct wire_head) };
	struct wire_head head;

	if (!c->count)
		return 0;
	memcpy(body + offsetof(struct wire_batch, count), &c->count,
	       sizeof(c->count));
	wire_seal(&head, c->type, &iov, 1);
	memcpy(c->out, &head, sizeof(head));
	c->stats.bytes += c->used;
	return c->used;
}

const struct codec_stats *codec_stats(const struct codec *c)
{
	return &c->stats;
}

int batch_next(const void *body, size_t len, size_t *pos,
	       struct wire_page *out, const void **data)
{
	const uint8_t *at = (const uint8_t *)body + *pos;

	if (*pos >= len)
		return 0;
	memcpy(out, at, sizeof(*out));
	*data = at + sizeof(*out);
	*pos += sizeof(*out) + ((out->length + 7ul) & ~7ul);
	return 1;
}

int codec_decode(const struct wire_page *head, const void *data, void *page)
{
	int n = WIRE_PAGE;

	if (head->encoding == WIRE_ZERO)
		memset(page, 0, WIRE_PAGE);
	else if (head->encoding == WIRE_RAW)
		memcpy(page, data, WIRE_PAGE);
	else
		n = LZ4_decompress_safe(data, page, (int)head->length,
					WIRE_PAGE);
	if (n != WIRE_PAGE) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}
