/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * known.h - what the secondary is known to have: the codec's memory
 *
 * For each frame the hash of its bytes, for some frames the bytes themselves.
 * The primary alone keeps it; the secondary has the pages.  It is a guess that
 * the secondary checks: a page that refers to what is not there is found out.
 *
 * Memory: 16 bytes for each frame that was ever sent, in whole pages of 256
 * frames (0.4 % of the guest at most), and the cache.  Both are address space
 * only until they are used.
 */
#ifndef KEMARI_KNOWN_H
#define KEMARI_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replicator/wire.h"

enum {
	KNOWN_WAYS = 8,		/* cache lines that a frame may be in */
	KNOWN_EXCLUDED_MAX = 256,	/* frames; more: nothing is known */
};

/** struct known_hash - XXH3 128 of a page, as on the wire */
struct known_hash {
	uint64_t low, high;
};

/**
 * known_seed() - The seed of a session's hashes
 * @session:	Random, 16 bytes, and known to both ends from HELLO; a guest
 *		that could guess it could make pages that are taken for others
 */
uint64_t known_seed(const uint8_t session[16]);

/** known_hash() - Hash of the WIRE_PAGE bytes at @page, any alignment */
struct known_hash known_hash(const void *page, uint64_t seed);

struct known;

/**
 * known_new() - A memory that knows nothing
 * @cache:	Pages whose bytes are kept, rounded down to KNOWN_WAYS; 0: none
 * Return: freed by known_free(), or NULL with ENOMEM
 */
struct known *known_new(uint64_t seed, size_t cache);
void known_free(struct known *k);	/* NULL is fine */

/** known_forget() - The secondary may have anything now */
void known_forget(struct known *k);

/** known_next() - A checkpoint begins: for the age of what is cached */
void known_next(struct known *k);

/** known_hash_of() - Hash of a page with the memory's seed; cheap if @zero:
 *		      it is one of zeroes */
struct known_hash known_hash_of(const struct known *k, const void *page,
				bool zero);

/**
 * known_find() - What has the secondary at @gfn?
 * @hash:	Set if it is known
 * @page:	Set to the bytes, until the next known_set(), or to NULL: they
 *		are not kept
 * Return: is it known?
 */
bool known_find(struct known *k, uint64_t gfn, struct known_hash *hash,
		const void **page);

/**
 * known_set() - From now on the secondary has other bytes there
 * @page:	The bytes, if they are worth keeping, else NULL
 *
 * May forget the frame instead, for want of memory or if it is excluded.
 */
void known_set(struct known *k, uint64_t gfn, const struct known_hash *hash,
	       const void *page);

/** known_lose() - What the secondary has at @gfn is not known */
void known_lose(struct known *k, uint64_t gfn);

/**
 * known_exclude() - Others write to this frame of the standby: never know it
 *
 * Outlasts known_forget().
 */
void known_exclude(struct known *k, uint64_t gfn);

/** known_bytes() - Memory that hashes and cache use by now, about */
uint64_t known_bytes(const struct known *k);

#endif
