/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec.h - page <-> record of a batch: zero, same, delta, lz4, raw; both ways
 *
 * The encoder writes a whole PAGES or COPY message into the caller's buffer,
 * which may be the one that is kept until the acknowledgement.  A page stands
 * for itself, or refers to the same frame in the checkpoint before: SAME, and
 * DELTA, the XOR of the two pages compressed (docs/PROTOCOL.md, 6).
 */
#ifndef KEMARI_CODEC_H
#define KEMARI_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "replicator/wire.h"

enum {
	/* Room that a message of WIRE_BATCH_MAX pages may need. */
	CODEC_BATCH_ROOM = sizeof(struct wire_head) +
			   sizeof(struct wire_batch) +
			   WIRE_BATCH_MAX * (sizeof(struct wire_page) +
					     WIRE_PAGE),
};

/** struct codec_stats - what an encoder did since it was made */
struct codec_stats {
	uint64_t zero, same, delta, lz4, raw;	/* pages */
	uint64_t bytes;			/* of messages finished */
};

struct codec;
struct known;

/**
 * codec_new() - Make an encoder
 * @features:	WIRE_FEATURE_LZ4: may compress
 * @known:	What pages may refer to, and what is noted of each page added;
 *		borrowed; NULL: each stands for itself
 * Return: freed by codec_free(), or NULL with ENOMEM
 */
struct codec *codec_new(uint64_t features, struct known *known);
void codec_free(struct codec *c);	/* NULL is fine */

/** codec_next() - A checkpoint begins: what was added until now is before it */
void codec_next(struct codec *c);

/**
 * codec_start() - Begin a batch
 * @out:	At least CODEC_BATCH_ROOM bytes, the caller's until finish
 * @type:	WIRE_PAGES or WIRE_COPY
 * @of:		Epoch or number of the copy
 * @round:	0 for WIRE_PAGES
 */
void codec_start(struct codec *c, void *out, enum wire_type type, uint64_t of,
		 uint32_t round);

/**
 * codec_add() - Encode one page into the batch
 * @gfn:	Ascending within a checkpoint; a page whose is not stands for
 *		itself
 * @page:	WIRE_PAGE bytes, aligned to 8; without a memory they may change meanwhile (a
 *		running guest): what arrives then is some mix, and the page is
 *		sent again later
 * Return: 0, or -1 with ENOBUFS: WIRE_BATCH_MAX pages are in, finish first
 */
int codec_add(struct codec *c, uint64_t gfn, const void *page);

/**
 * codec_finish() - Seal the message
 * Return: its length in @out, header included; 0 if no page was added
 */
size_t codec_finish(struct codec *c);

const struct codec_stats *codec_stats(const struct codec *c);

/**
 * batch_next() - Read the page at *@pos of a batch and advance *@pos past it
 * @body:	Body of a PAGES or COPY that passed wire_check()
 * @len:	Its length
 * @pos:	Start with sizeof(struct wire_batch)
 * @data:	Set to the page's encoded bytes
 * Return: 1, or 0 at the end
 */
int batch_next(const void *body, size_t len, size_t *pos,
	       struct wire_page *out, const void **data);

/**
 * codec_decode() - Make the plain page
 * @head:	From batch_next(), checked there
 * @before:	The same frame in the checkpoint before, which SAME and DELTA
 *		refer to; NULL: none may
 * @seed:	Of the hash of it
 * @page:	WIRE_PAGE bytes; meaningless on failure; SAME leaves it alone
 * Return: 0, or -1: EPROTO not a block of exactly WIRE_PAGE bytes, or refers
 *	   to nothing; ESTALE @before is not what it refers to
 */
int codec_decode(const struct wire_page *head, const void *data,
		 const void *before, uint64_t seed, void *page);

#endif
