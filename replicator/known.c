// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * known.c - what the secondary is known to have: the codec's memory
 *
 * Hashes: an array by frame number, grown by mremap(); the kernel gives memory
 * only to those parts that are used, and takes it back when all is forgotten.
 * A hash of zeroes stands for: not known.  That a page has it is as likely as
 * any collision, and costs no more than a page sent whole.
 *
 * Cache: frame g is in one of the KNOWN_WAYS lines of set g mod sets.  What the
 * last two checkpoints used is not put out by a newcomer: a guest that sweeps
 * over more than the cache holds finds a part of it, not nothing.
 */
#include "replicator/known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "libxc-ext/platform.h"

enum {
	GROW = 1 << 16,			/* frames: 1 MiB of hashes */
	LEAF = WIRE_PAGE / sizeof(struct known_hash),	/* frames, in a page */
};

struct line {
	uint64_t gfn;
	uint64_t used;			/* known.now; 0: empty */
};

struct known {
	uint64_t seed;
	struct known_hash zero;		/* of a page of zeroes */
	uint64_t now;			/* counts checkpoints, from 2 */
	bool any;			/* since all was forgotten */
	bool off;			/* too many frames are excluded */

	struct known_hash *hash;	/* by gfn */
	uint64_t frames;		/* room in it */
	uint64_t leaves;		/* pages of it that are in use */

	struct line *line;
	uint8_t *bytes;			/* a page for each line */
	size_t sets;
	size_t kept;			/* lines in use */

	uint64_t excluded[KNOWN_EXCLUDED_MAX];
	size_t n_excluded;
};

static const struct known_hash unknown, foreign = { UINT64_MAX, UINT64_MAX };

uint64_t known_seed(const uint8_t session[16])
{
	uint64_t seed;

	memcpy(&seed, session, sizeof(seed));
	return seed;
}

struct known_hash known_hash(const void *page, uint64_t seed)
{
	XXH128_hash_t h = XXH3_128bits_withSeed(page, WIRE_PAGE, seed);

	return (struct known_hash){ h.low64, h.high64 };
}

static void *reserve(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* From here on it reads as zeroes, and has no memory. */
static void vacate(void *at, size_t len)
{
	if (madvise(at, len, MADV_DONTNEED))
		memset(at, 0, len);
}

static size_t lines_of(const struct known *k)
{
	return k->sets * KNOWN_WAYS;
}

struct known *known_new(uint64_t seed, size_t cache)
{
	static const uint8_t zeroes[WIRE_PAGE];
	struct known *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->seed = seed;
	k->zero = known_hash(zeroes, seed);
	k->now = 2;
	k->sets = cache / KNOWN_WAYS;
	k->frames = GROW;
	k->hash = reserve(k->frames * sizeof(*k->hash));
	if (k->hash && k->sets) {
		k->line = reserve(lines_of(k) * sizeof(*k->line));
		k->bytes = reserve(lines_of(k) * WIRE_PAGE);
	}
	if (!k->hash || (k->sets && (!k->line || !k->bytes))) {
		known_free(k);
		errno = ENOMEM;
		return NULL;
	}
	return k;
}

void known_free(struct known *k)
{
	if (!k)
		return;
	if (k->hash)
		munmap(k->hash, k->frames * sizeof(*k->hash));
	if (k->line)
		munmap(k->line, lines_of(k) * sizeof(*k->line));
	if (k->bytes)
		munmap(k->bytes, lines_of(k) * WIRE_PAGE);
	free(k);
}

void known_next(struct known *k)
{
	k->now++;
}

struct known_hash known_hash_of(const struct known *k, const void *page,
				bool zero)
{
	return zero ? k->zero : known_hash(page, k->seed);
}

/* --- hashes --------------------------------------------------------------- */

static bool equal(struct known_hash a, struct known_hash b)
{
	return a.low == b.low && a.high == b.high;
}

static bool leaf_is_empty(const struct known *k, uint64_t gfn)
{
	const struct known_hash *h = k->hash + gfn / LEAF * LEAF;

	for (size_t i = 0; i < LEAF; i++) {
		if (!equal(h[i], unknown))
			return false;
	}
	return true;
}

/* Is there room for @gfn's? */
static bool make_room(struct known *k, uint64_t gfn)
{
	uint64_t frames = (gfn / GROW + 1) * GROW;
	void *at;

	if (gfn < k->frames)
		return true;
	if (gfn >= PLATFORM_GFN_MAX)
		return false;
	at = mremap(k->hash, k->frames * sizeof(*k->hash),
		    frames * sizeof(*k->hash), MREMAP_MAYMOVE);
	if (at == MAP_FAILED)
		return false;
	k->hash = at;
	k->frames = frames;
	return true;
}

void known_forget(struct known *k)
{
	if (!k->any)
		return;
	k->any = false;
	vacate(k->hash, k->frames * sizeof(*k->hash));
	if (k->sets) {
		vacate(k->line, lines_of(k) * sizeof(*k->line));
		vacate(k->bytes, lines_of(k) * WIRE_PAGE);
	}
	for (size_t i = 0; i < k->n_excluded; i++)
		k->hash[k->excluded[i]] = foreign;
	k->leaves = 0;
	k->kept = 0;
}

void known_exclude(struct known *k, uint64_t gfn)
{
	if (k->n_excluded == KNOWN_EXCLUDED_MAX || !make_room(k, gfn)) {
		k->off = true;
		return;
	}
	known_lose(k, gfn);
	if (!equal(k->hash[gfn], foreign))
		k->excluded[k->n_excluded++] = gfn;
	k->hash[gfn] = foreign;
}

/* --- cache ---------------------------------------------------------------- */

static struct line *set_of(const struct known *k, uint64_t gfn)
{
	return k->line + gfn % k->sets * KNOWN_WAYS;
}

static uint8_t *bytes_of(const struct known *k, const struct line *l)
{
	return k->bytes + (size_t)(l - k->line) * WIRE_PAGE;
}

static struct line *cached(const struct known *k, uint64_t gfn)
{
	struct line *l = k->sets ? set_of(k, gfn) : NULL;

	for (size_t i = 0; l && i < KNOWN_WAYS; i++) {
		if (l[i].used && l[i].gfn == gfn)
			return &l[i];
	}
	return NULL;
}

/* The line that @gfn may take, or NULL: all are worth more. */
static struct line *victim(const struct known *k, uint64_t gfn)
{
	struct line *l = k->sets ? set_of(k, gfn) : NULL, *oldest = l;

	for (size_t i = 1; l && i < KNOWN_WAYS; i++) {
		if (l[i].used < oldest->used)
			oldest = &l[i];
	}
	return oldest && oldest->used + 1 < k->now ? oldest : NULL;
}

static void put_out(struct known *k, struct line *l)
{
	k->kept -= l->used != 0;
	l->used = 0;
}

static void keep(struct known *k, uint64_t gfn, const void *page)
{
	struct line *l = cached(k, gfn);

	if (!l)
		l = victim(k, gfn);
	if (!l)
		return;
	k->kept += !l->used;
	l->gfn = gfn;
	l->used = k->now;
	memcpy(bytes_of(k, l), page, WIRE_PAGE);
}

/* --- both ----------------------------------------------------------------- */

bool known_find(struct known *k, uint64_t gfn, struct known_hash *hash,
		const void **page)
{
	struct line *l;

	*page = NULL;
	if (gfn >= k->frames || equal(k->hash[gfn], unknown) ||
	    equal(k->hash[gfn], foreign))
		return false;
	*hash = k->hash[gfn];
	l = cached(k, gfn);
	if (l) {
		l->used = k->now;
		*page = bytes_of(k, l);
	}
	return true;
}

void known_lose(struct known *k, uint64_t gfn)
{
	struct line *l = cached(k, gfn);

	if (l)
		put_out(k, l);
	if (gfn < k->frames && !equal(k->hash[gfn], foreign))
		k->hash[gfn] = unknown;
}

void known_set(struct known *k, uint64_t gfn, const struct known_hash *hash,
	       const void *page)
{
	struct line *l;

	if (k->off || !make_room(k, gfn) || equal(k->hash[gfn], foreign))
		return;
	k->any = true;
	if (equal(k->hash[gfn], unknown) && leaf_is_empty(k, gfn))
		k->leaves++;
	k->hash[gfn] = *hash;
	if (page) {
		keep(k, gfn, page);
		return;
	}
	l = cached(k, gfn);
	if (l)
		put_out(k, l);
}

uint64_t known_bytes(const struct known *k)
{
	return k->leaves * WIRE_PAGE + lines_of(k) * sizeof(*k->line) +
	       k->kept * (uint64_t)WIRE_PAGE;
}
