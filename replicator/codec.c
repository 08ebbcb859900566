// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * codec.c - page <-> record of a batch: zero, same, delta, lz4, raw; both ways
 *
 * The cheapest test first.  Most pages that are not zero show it in their first
 * word, so that comes before the hash; a page with a known hash ends there.
 *
 * Giving up early.  Compressing a page that does not compress costs more than
 * sending it.  LZ4 is told to stop as soon as its output exceeds LZ4_WORTH; and
 * after STREAK pages in a row that failed, a page is tried only if PROBE bytes
 * from its middle shrink.  A delta is given up when half of the words differ;
 * after STREAK pages in a row for which keeping the bytes was in vain, only one
 * in KEEP_PROBE is kept.  After STRANGE pages in a row that referred to nothing,
 * only one in HASH_PROBE is hashed; the others are not known then.
 */
#include "replicator/codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/known.h"

enum {
	LZ4_WORTH = WIRE_PAGE - WIRE_PAGE / 8,	/* longest worth sending */
	STREAK = 4,		/* pages */
	PROBE = 512,		/* bytes */
	PROBE_WORTH = PROBE - PROBE / 8,
	KEEP_PROBE = 16,	/* pages */
	STRANGE = 256,		/* pages */
	HASH_PROBE = 8,		/* pages: the same ones for ... */
	HASH_SAME = 16,		/* ... checkpoints, or none would be known */
	ACCELERATION = 1,
	STRIDE = 256,		/* bytes between two looks at the count */
};

/* Four words at a time: the compiler's name for a vector register. */
typedef uint32_t quad __attribute__((vector_size(16)));

enum { WORDS = WIRE_PAGE / sizeof(uint32_t), QUAD = sizeof(quad) };

struct codec {
	uint64_t features;
	struct known *known;	/* NULL: no page refers to another */
	uint64_t above;		/* gfns below have been in this checkpoint */
	struct codec_stats stats;
	uint8_t *out;		/* the message being made */
	size_t used;
	uint32_t count;
	enum wire_type type;
	unsigned int streak;	/* pages in a row that did not compress */
	unsigned int in_vain;	/* ... that differed from what was kept */
	unsigned int strange;	/* ... that referred to nothing */
	unsigned int turn;	/* of those, for KEEP_PROBE */
	unsigned int checkpoints;
	quad xor[WIRE_PAGE / QUAD];
	LZ4_stream_t lz4;
};

struct codec *codec_new(uint64_t features, struct known *known)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->features = features;
	c->known = known;
	LZ4_initStream(&c->lz4, sizeof(c->lz4));
	return c;
}

void codec_free(struct codec *c)
{
	free(c);
}

void codec_next(struct codec *c)
{
	c->above = 0;
	c->checkpoints++;
	if (c->known)
		known_next(c->known);
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

/* XOR of two pages into c->xor; false: they have too little in common. */
static bool diff(struct codec *c, const void *page, const void *before)
{
	quad a, b, differ = { 0 };
	size_t i, k;

	for (i = 0; i < WIRE_PAGE; i += STRIDE) {
		for (k = i; k < i + STRIDE; k += QUAD) {
			memcpy(&a, (const uint8_t *)page + k, QUAD);
			memcpy(&b, (const uint8_t *)before + k, QUAD);
			a ^= b;
			c->xor[k / QUAD] = a;
			/* A comparison that holds is all ones: -1. */
			differ -= (quad)(a != 0);
		}
		if (differ[0] + differ[1] + differ[2] + differ[3] > WORDS / 2)
			return false;
	}
	return true;
}

/* Length of the delta at @out, or 0: send it otherwise. */
static int try_delta(struct codec *c, const void *page, const void *before,
		     const struct known_hash *hash, uint8_t *out)
{
	int n = 0;

	if (!(c->features & WIRE_FEATURE_LZ4))
		return 0;
	if (diff(c, page, before))
		n = compress(c, (const void *)c->xor, out + WIRE_HASH,
			     WIRE_PAGE, LZ4_WORTH);
	c->in_vain = n ? 0 : c->in_vain + 1;
	if (!n)
		return 0;
	memcpy(out, hash, WIRE_HASH);
	return n + WIRE_HASH;
}

/* Are the bytes of a page, whose frame was kept or was not, to be kept? */
static bool worth_keeping(struct codec *c, bool kept)
{
	if (kept && c->in_vain)
		return false;
	return c->in_vain < STREAK || ++c->turn % KEEP_PROBE == 0;
}

static void encode_plain(struct codec *c, const void *page,
			 struct wire_page *head, uint8_t *data)
{
	int n = try_lz4(c, page, data);

	if (n > 0) {
		head->encoding = WIRE_LZ4;
		head->length = (uint32_t)n;
		c->stats.lz4++;
	} else {
		head->encoding = WIRE_RAW;
		head->length = WIRE_PAGE;
		memcpy(data, page, WIRE_PAGE);
		c->stats.raw++;
	}
}

/* By what the secondary has, which is what this page is from now on. */
static void encode_known(struct codec *c, const void *page, bool zero,
			 struct wire_page *head, uint8_t *data)
{
	struct known_hash now = known_hash_of(c->known, page, zero), before;
	const void *kept;
	bool there = known_find(c->known, head->gfn, &before, &kept);
	int n = 0;

	if (zero) {
		kept = NULL;
	} else if (there && !memcmp(&now, &before, sizeof(now))) {
		head->encoding = WIRE_SAME;
		head->length = WIRE_HASH;
		memcpy(data, &now, WIRE_HASH);
		c->stats.same++;
		c->strange = 0;
		return;
	} else {
		if (kept)
			n = try_delta(c, page, kept, &before, data);
		if (n > 0) {
			head->encoding = WIRE_DELTA;
			head->length = (uint32_t)n;
			c->stats.delta++;
			c->strange = 0;
		} else {
			encode_plain(c, page, head, data);
			c->strange++;
		}
		kept = worth_keeping(c, kept) ? page : NULL;
	}
	known_set(c->known, head->gfn, &now, kept);
}

/* May it refer to another, or another to it? */
static bool to_be_known(struct codec *c, uint64_t gfn, bool zero)
{
	if (!c->known || gfn < c->above)
		return false;
	c->above = gfn + 1;
	return zero || c->strange < STRANGE ||
	       (gfn + c->checkpoints / HASH_SAME) % HASH_PROBE == 0;
}

int codec_add(struct codec *c, uint64_t gfn, const void *page)
{
	struct wire_page head = { .gfn = gfn, .encoding = WIRE_ZERO };
	uint8_t *at = c->out + c->used, *data = at + sizeof(head);
	bool zero;
	size_t pad;

	if (c->count == WIRE_BATCH_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	zero = is_zero(page);
	c->stats.zero += zero;
	if (to_be_known(c, gfn, zero)) {
		encode_known(c, page, zero, &head, data);
	} else {
		if (!zero)
			encode_plain(c, page, &head, data);
		if (c->known)
			known_lose(c->known, gfn);
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

static bool is_hash_of(const void *hash, const void *page, uint64_t seed)
{
	struct known_hash h = known_hash(page, seed);

	return !memcmp(hash, &h, sizeof(h));
}

static int malformed(void)
{
	errno = EPROTO;
	return -1;
}

static int differs(void)
{
	errno = ESTALE;
	return -1;
}

static int decode_delta(const uint8_t *data, size_t len, const void *before,
			uint64_t seed, void *page)
{
	uint64_t base[WIRE_PAGE / 8], xor[WIRE_PAGE / 8];
	size_t i;

	/* Others may write to it: what is hashed is what is used. */
	memcpy(base, before, WIRE_PAGE);
	if (LZ4_decompress_safe((const char *)data + WIRE_HASH, (char *)xor,
				(int)(len - WIRE_HASH), WIRE_PAGE) != WIRE_PAGE)
		return malformed();
	if (!is_hash_of(data, base, seed))
		return differs();
	for (i = 0; i < WIRE_PAGE / 8; i++)
		xor[i] ^= base[i];
	memcpy(page, xor, WIRE_PAGE);
	return 0;
}

int codec_decode(const struct wire_page *head, const void *data,
		 const void *before, uint64_t seed, void *page)
{
	switch (head->encoding) {
	case WIRE_ZERO:
		memset(page, 0, WIRE_PAGE);
		return 0;
	case WIRE_RAW:
		memcpy(page, data, WIRE_PAGE);
		return 0;
	case WIRE_LZ4:
		return LZ4_decompress_safe(data, page, (int)head->length,
					   WIRE_PAGE) == WIRE_PAGE ?
		       0 : malformed();
	case WIRE_SAME:
		return !before ? malformed() :
		       is_hash_of(data, before, seed) ? 0 : differs();
	case WIRE_DELTA:
		return !before ? malformed() :
		       decode_delta(data, head->length, before, seed, page);
	default:
		return malformed();
	}
}
