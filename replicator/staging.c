// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * staging.c - what the secondary must not forget when its receiver is killed
 *
 * The file:	header, one page
 *		shell records, WIRE_SHELL_MAX, allocated as used
 *		per slot: state records, gfn table, page bytes; allocated whole
 */
#include "replicator/staging.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libxc-ext/platform.h"

#define MAGIC 0x45474154534d454bull	/* "KEMSTAGE" */

enum {
	VERSION = 1,
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

/* The first page of the file. */
struct header {
	uint64_t magic;
	uint64_t version;
	uint64_t pages;		/* of the largest checkpoint */
	uint64_t state;		/* bytes of records of one */
	_Atomic uint32_t current;	/* which view is true */
	uint32_t zero;
	_Atomic uint64_t applied;	/* epoch, for the acknowledgement */
	_Atomic uint64_t clock;	/* guest time minus local time */
	struct staging_view view[2];
	struct staging_slot slot[STAGING_SLOTS];
};

static_assert(sizeof(struct header) <= WIRE_PAGE, "the header is one page");
static_assert(sizeof(struct staging_view) == 112, "layout of the file");
static_assert(sizeof(struct staging_slot) == 80, "layout of the file");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would not survive a kill");

struct staging {
	struct header *h;
	size_t size;
	int fd;			/* borrowed */
};

static uint64_t page_up(uint64_t n)
{
	return (n + WIRE_PAGE - 1) & ~(uint64_t)(WIRE_PAGE - 1);
}

static uint64_t slot_bytes(uint64_t pages, uint64_t state)
{
	return page_up(state) + page_up(pages * sizeof(uint64_t)) +
	       pages * WIRE_PAGE;
}

static uint64_t slots_at(void)
{
	return WIRE_PAGE + (uint64_t)WIRE_SHELL_MAX;
}

static uint64_t file_bytes(uint64_t pages, uint64_t state)
{
	return slots_at() + STAGING_SLOTS * slot_bytes(pages, state);
}

static bool sizes_ok(uint64_t pages, uint64_t state)
{
	return pages >= STAGING_PAGES_MIN && pages <= STAGING_PAGES_MAX &&
	       state >= STAGING_STATE_MIN && state <= STAGING_STATE_MAX;
}

static int reserve(int fd, uint64_t at, uint64_t len)
{
	int r;

	do
		r = fallocate(fd, 0, (off_t)at, (off_t)len);
	while (r && errno == EINTR);
	return r;
}

int staging_create(uint64_t pages, uint64_t state)
{
	struct header h = {
		.magic = MAGIC,
		.version = VERSION,
		.pages = pages,
		.state = state,
	};
	uint64_t size = file_bytes(pages, state);
	int fd, err;

	if (!sizes_ok(pages, state)) {
		errno = EINVAL;
		return -1;
	}
	fd = memfd_create("kemari-staging", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) || reserve(fd, 0, WIRE_PAGE) ||
	    reserve(fd, slots_at(), size - slots_at()) ||
	    pwrite(fd, &h, sizeof(h), 0) != sizeof(h) ||
	    fcntl(fd, F_ADD_SEALS, SEALS)) {
		err = errno == ENOSPC ? ENOMEM : errno;
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* --- opening: everything in the file is checked -------------------------- */

static const struct staging_view *view_of(const struct header *h)
{
	uint32_t current = atomic_load_explicit(&h->current,
						memory_order_acquire);

	return &h->view[current & 1];
}

static bool committed(const struct staging_view *v)
{
	return v->phase == STAGING_PAIRED || v->phase == STAGING_TAKING;
}

/* Is @slot part of the redo log? */
static bool pending(const struct header *h, const struct staging_slot *slot)
{
	const struct staging_view *v = view_of(h);
	uint64_t epoch = atomic_load_explicit(&slot->epoch,
					      memory_order_acquire);

	return committed(v) && epoch && epoch <= v->committed &&
	       slot->copy == v->copy;
}

static bool slot_ok(const struct header *h, const struct staging_slot *slot)
{
	return slot->pages <= h->pages && slot->stored <= slot->pages &&
	       slot->state <= h->state;
}

static int view_check(const struct header *h, char *why)
{
	const struct staging_view *v = view_of(h);
	unsigned int i;

	if (h->current > 1 || v->phase >= STAGING_PHASES ||
	    v->slot >= STAGING_SLOTS || v->shell > WIRE_SHELL_MAX) {
		snprintf(why, WIRE_WHY_MAX, "staging: view %u is damaged: "
			 "phase %u, slot %u, shell %" PRIu64 " bytes",
			 h->current, v->phase, v->slot, v->shell);
		return -1;
	}
	for (i = 0; i < STAGING_SLOTS; i++) {
		if (!pending(h, &h->slot[i]) &&
		    !(committed(v) && v->slot == i))
			continue;
		if (slot_ok(h, &h->slot[i]))
			continue;
		snprintf(why, WIRE_WHY_MAX, "staging: slot %u is damaged: "
			 "%" PRIu64 " pages, %" PRIu64 " bytes of state", i,
			 h->slot[i].pages, h->slot[i].state);
		return -1;
	}
	return 0;
}

static int header_check(const struct header *h, size_t size, char *why)
{
	if (h->magic != MAGIC || h->version != VERSION) {
		snprintf(why, WIRE_WHY_MAX, "staging: magic %#" PRIx64
			 " version %" PRIu64 " are not ours", h->magic,
			 h->version);
		return -1;
	}
	if (!sizes_ok(h->pages, h->state) ||
	    file_bytes(h->pages, h->state) != size) {
		snprintf(why, WIRE_WHY_MAX, "staging: %" PRIu64 " pages and %"
			 PRIu64 " bytes of state do not make a file of %zu",
			 h->pages, h->state, size);
		return -1;
	}
	return view_check(h, why);
}

struct staging *staging_open(int fd, char *why)
{
	struct staging *st;
	struct stat sb;
	unsigned int i;
	int seals;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &sb) ||
	    sb.st_size < WIRE_PAGE) {
		snprintf(why, WIRE_WHY_MAX, "staging: descriptor %d is not a "
			 "staging file", fd);
		errno = EPROTO;
		return NULL;
	}
	st = calloc(1, sizeof(*st));
	if (!st) {
		snprintf(why, WIRE_WHY_MAX, "staging: out of memory");
		return NULL;
	}
	st->fd = fd;
	st->size = (size_t)sb.st_size;
	st->h = mmap(NULL, st->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     0);
	if (st->h == MAP_FAILED) {
		snprintf(why, WIRE_WHY_MAX, "staging: cannot map %zu bytes",
			 st->size);
		free(st);
		errno = ENOMEM;
		return NULL;
	}
	if (header_check(st->h, st->size, why)) {
		staging_close(st);
		errno = EPROTO;
		return NULL;
	}
	/* A checkpoint that was filled but never committed. */
	for (i = 0; i < STAGING_SLOTS; i++)
		if (!pending(st->h, &st->h->slot[i]))
			st->h->slot[i].epoch = 0;
	return st;
}

void staging_close(struct staging *st)
{
	if (!st)
		return;
	munmap(st->h, st->size);
	free(st);
}

/* --- reading -------------------------------------------------------------- */

const struct staging_view *staging_view(const struct staging *st)
{
	return view_of(st->h);
}

const char *staging_phase_str(unsigned int phase)
{
	static const char *const names[] = {
		[STAGING_EMPTY] = "empty",
		[STAGING_BUILDING] = "building",
		[STAGING_SHELL] = "shell",
		[STAGING_COPYING] = "copying",
		[STAGING_COPIED] = "copied",
		[STAGING_PAIRED] = "paired",
		[STAGING_TAKING] = "taking over",
		[STAGING_TAKEN] = "taken over",
	};

	static_assert(sizeof(names) / sizeof(names[0]) == STAGING_PHASES,
		      "name every phase");
	return phase < STAGING_PHASES ? names[phase] : "?";
}

bool staging_eligible(const struct staging *st)
{
	return committed(view_of(st->h));
}

uint64_t staging_applied(const struct staging *st)
{
	return st->h->applied;
}

uint64_t staging_capacity(const struct staging *st)
{
	return st->h->pages * WIRE_PAGE;
}

uint64_t staging_state_room(const struct staging *st)
{
	return st->h->state;
}

/* The slot for the next checkpoint, or NULL: it is not applied yet. */
static struct staging_slot *free_slot(const struct staging *st)
{
	const struct staging_view *v = view_of(st->h);
	struct staging_slot *slot = &st->h->slot[committed(v) ? !v->slot : 0];

	return pending(st->h, slot) ? NULL : slot;
}

uint64_t staging_free(const struct staging *st)
{
	return free_slot(st) ? staging_capacity(st) : 0;
}

static uint8_t *slot_area(const struct staging *st,
			  const struct staging_slot *slot)
{
	size_t i = (size_t)(slot - st->h->slot);

	assert(i < STAGING_SLOTS);
	return (uint8_t *)st->h + slots_at() +
	       i * slot_bytes(st->h->pages, st->h->state);
}

uint8_t *staging_state(const struct staging *st,
		       const struct staging_slot *slot)
{
	return slot_area(st, slot);
}

uint64_t *staging_gfns(const struct staging *st,
		       const struct staging_slot *slot)
{
	return (uint64_t *)(void *)(slot_area(st, slot) +
				    page_up(st->h->state));
}

uint8_t *staging_pages(const struct staging *st,
		       const struct staging_slot *slot)
{
	return (uint8_t *)staging_gfns(st, slot) +
	       page_up(st->h->pages * sizeof(uint64_t));
}

const void *staging_records(const struct staging *st, size_t *len)
{
	const struct staging_view *v = view_of(st->h);

	*len = 0;
	if (!committed(v))
		return NULL;
	*len = st->h->slot[v->slot].state;
	return staging_state(st, &st->h->slot[v->slot]);
}

const void *staging_shell(const struct staging *st, size_t *len)
{
	*len = view_of(st->h)->shell;
	return *len ? (uint8_t *)st->h + WIRE_PAGE : NULL;
}

/* --- changing: one store makes the new view true -------------------------- */

static struct staging_view *view_edit(struct staging *st)
{
	struct staging_view *next = &st->h->view[!st->h->current];

	*next = *view_of(st->h);
	return next;
}

/* Release: whoever sees the new view sees all that was stored before it. */
static void view_publish(struct staging *st)
{
	atomic_store_explicit(&st->h->current, !st->h->current,
			      memory_order_release);
}

int staging_shell_put(struct staging *st, const uint8_t session[16],
		      const uint8_t host[16], uint64_t generation,
		      const void *records, size_t len)
{
	struct staging_view *v;

	if (len > WIRE_SHELL_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	staging_move(st, STAGING_EMPTY);
	/* Now: a store into a file without memory is a SIGBUS. */
	if (len && reserve(st->fd, WIRE_PAGE, page_up(len))) {
		errno = ENOMEM;
		return -1;
	}
	memcpy((uint8_t *)st->h + WIRE_PAGE, records, len);
	st->h->applied = 0;
	st->h->clock = 0;
	v = view_edit(st);
	memcpy(v->session, session, sizeof(v->session));
	memcpy(v->host, host, sizeof(v->host));
	v->generation = generation;
	v->shell = len;
	v->phase = STAGING_BUILDING;
	view_publish(st);
	return 0;
}

void staging_move(struct staging *st, enum staging_phase phase)
{
	struct staging_view *v = view_edit(st);

	if (phase == STAGING_EMPTY)
		*v = (struct staging_view){ .copy = v->copy };
	v->phase = phase;
	view_publish(st);
}

void staging_over(struct staging *st)
{
	struct staging_view *v = view_edit(st), over = { .copy = v->copy };

	memcpy(over.session, v->session, sizeof(over.session));
	*v = over;
	view_publish(st);
}

void staging_generation(struct staging *st, uint64_t generation)
{
	struct staging_view *v = view_edit(st);

	assert(generation >= v->generation);
	v->generation = generation;
	view_publish(st);
}

void staging_copy_begin(struct staging *st)
{
	struct staging_view *v = view_edit(st);

	/* Slots of the copy before are no part of the redo log any more. */
	v->copy++;
	v->phase = STAGING_COPYING;
	view_publish(st);
}

void staging_copy_end(struct staging *st, const uint8_t digest[WIRE_DIGEST])
{
	struct staging_view *v = view_edit(st);

	memcpy(v->digest, digest, WIRE_DIGEST);
	v->phase = STAGING_COPIED;
	view_publish(st);
}

struct staging_slot *staging_slot_begin(struct staging *st)
{
	struct staging_slot *slot = free_slot(st);

	if (!slot) {
		errno = ENOBUFS;
		return NULL;
	}
	slot->epoch = 0;
	slot->pages = slot->stored = slot->state = 0;
	return slot;
}

void staging_commit(struct staging *st, struct staging_slot *slot,
		    uint64_t epoch)
{
	struct staging_view *v = view_edit(st);

	assert(epoch > v->committed && slot_ok(st->h, slot));
	slot->copy = v->copy;
	v->committed = epoch;
	v->guest_time = slot->guest_time;
	memcpy(v->digest, slot->digest, WIRE_DIGEST);
	v->slot = (uint32_t)(slot - st->h->slot);
	v->phase = STAGING_PAIRED;
	/* After the slot's content, before the view that counts it in. */
	atomic_store_explicit(&slot->epoch, epoch, memory_order_release);
	view_publish(st);
}

/* --- the redo log --------------------------------------------------------- */

struct staging_slot *staging_pending(const struct staging *st)
{
	struct staging_slot *slot, *oldest = NULL;
	unsigned int i;

	for (i = 0; i < STAGING_SLOTS; i++) {
		slot = &st->h->slot[i];
		if (pending(st->h, slot) &&
		    (!oldest || slot->epoch < oldest->epoch))
			oldest = slot;
	}
	return oldest;
}

void staging_done(struct staging *st, struct staging_slot *slot)
{
	st->h->applied = slot->epoch;
	/* Release: the pages are in the standby before the slot is free. */
	atomic_store_explicit(&slot->epoch, 0, memory_order_release);
}

/* --- the guest's clock ----------------------------------------------------- */

void staging_clock_set(struct staging *st, uint64_t guest_time, uint64_t now)
{
	st->h->clock = guest_time - now;	/* modulo 2^64 */
}

uint64_t staging_clock(const struct staging *st, uint64_t now)
{
	uint64_t time = st->h->clock + now, floor = view_of(st->h)->guest_time;

	/* Compared as a difference: clocks are modulo 2^64. */
	return (int64_t)(time - floor) < 0 ? floor : time;
}
