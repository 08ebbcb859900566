// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * outbox.c - the primary's captured, not yet acknowledged checkpoint
 *
 * The file: one struct header, gfns, pages, state; each begins on a page.
 */
#include "replicator/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTBOX_MAGIC 0x31786f626d656bull	/* "kembox1" */

enum { PAGE = 4096 };

struct header {
	uint64_t magic;
	uint64_t room;		/* pages */
	_Atomic uint32_t current; /* which of facts is true */
	uint32_t zero;
	struct outbox_facts facts[2];
	struct outbox_checkpoint checkpoint;
};

struct outbox {
	struct header *head;
	uint64_t *gfn;
	uint8_t *page;
	uint8_t *state;
	size_t size;		/* of the mapping */
	uint64_t room;
};

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* What a killed writer can leave behind must not lead a reader astray. */
static bool sane(const struct header *h, uint64_t room)
{
	const struct outbox_checkpoint *c = &h->checkpoint;

	return h->magic == OUTBOX_MAGIC && h->room == room &&
	       atomic_load(&h->current) <= 1 && c->pages <= room &&
	       c->state <= OUTBOX_STATE_MAX;
}

static int prepare(int fd, size_t size, bool *fresh)
{
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -1;
	*fresh = st.st_size == 0;
	if (!*fresh && (size_t)st.st_size != size) {
		errno = EPROTO;
		return -1;
	}
	if (!*fresh)
		return 0;
	err = posix_fallocate(fd, 0, (off_t)size);
	if (err) {
		errno = err;
		return -1;
	}
	return 0;
}

struct outbox *outbox_open(int fd, uint64_t pages)
{
	size_t head, gfns, size;
	struct outbox *o;
	bool fresh;
	void *map;

	if (!pages || pages > OUTBOX_PAGES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	head = whole_pages(sizeof(struct header));
	gfns = whole_pages(pages * sizeof(uint64_t));
	size = head + gfns + pages * PAGE + OUTBOX_STATE_MAX;
	if (prepare(fd, size, &fresh))
		return NULL;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		free(o);
		return NULL;
	}
	o->head = map;
	o->gfn = (uint64_t *)((uint8_t *)map + head);
	o->page = (uint8_t *)map + head + gfns;
	o->state = o->page + pages * PAGE;
	o->size = size;
	o->room = pages;
	/* The magic comes last: a kill in between leaves zeroes. */
	if (fresh || !o->head->magic) {
		o->head->room = pages;
		atomic_signal_fence(memory_order_seq_cst);
		o->head->magic = OUTBOX_MAGIC;
	}
	if (!sane(o->head, pages)) {
		outbox_close(o);
		errno = EPROTO;
		return NULL;
	}
	return o;
}

void outbox_close(struct outbox *o)
{
	if (!o)
		return;
	munmap(o->head, o->size);
	free(o);
}

uint64_t outbox_room(const struct outbox *o)
{
	return o->room;
}

const struct outbox_facts *outbox_facts(const struct outbox *o)
{
	return &o->head->facts[atomic_load(&o->head->current)];
}

void outbox_store(struct outbox *o, const struct outbox_facts *facts)
{
	uint32_t next = !atomic_load(&o->head->current);

	o->head->facts[next] = *facts;
	atomic_store(&o->head->current, next);
}

const struct outbox_checkpoint *outbox_checkpoint(const struct outbox *o)
{
	return &o->head->checkpoint;
}

void outbox_drop(struct outbox *o)
{
	struct outbox_checkpoint *c = &o->head->checkpoint;

	atomic_store(&c->whole, 0);
	c->epoch = 0;
	c->pages = 0;
	c->state = 0;
	c->sent = 0;
}

void outbox_begin(struct outbox *o, uint64_t epoch, uint32_t cause)
{
	outbox_drop(o);
	o->head->checkpoint.epoch = epoch;
	o->head->checkpoint.cause = cause;
}

int outbox_page(struct outbox *o, uint64_t gfn, const void *bytes)
{
	struct outbox_checkpoint *c = &o->head->checkpoint;
	const uint8_t *from = bytes;
	uint8_t *to;

	if (c->pages >= o->room) {
		errno = ENOSPC;
		return -1;
	}
	to = o->page + c->pages * PAGE;
	memcpy(to + PAGE / 2, from + PAGE / 2, PAGE / 2);
	/* Data after indices: a daemon writes data, then its index. */
	atomic_thread_fence(memory_order_acquire);
	memcpy(to, from, PAGE / 2);
	o->gfn[c->pages++] = gfn;
	return 0;
}

int outbox_whole(struct outbox *o, const void *state, size_t len,
		 uint64_t guest_time, uint64_t clock)
{
	struct outbox_checkpoint *c = &o->head->checkpoint;

	if (len > OUTBOX_STATE_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if (len)
		memcpy(o->state, state, len);
	c->state = len;
	c->guest_time = guest_time;
	c->clock = clock;
	atomic_store(&c->whole, 1);
	return 0;
}

void outbox_sent(struct outbox *o, const uint8_t digest[OUTBOX_DIGEST])
{
	struct outbox_checkpoint *c = &o->head->checkpoint;

	memcpy(c->digest, digest, sizeof(c->digest));
	atomic_signal_fence(memory_order_seq_cst);
	c->sent = 1;
}

uint64_t outbox_gfn(const struct outbox *o, uint64_t i)
{
	return o->gfn[i];
}

const void *outbox_bytes(const struct outbox *o, uint64_t i)
{
	return o->page + i * PAGE;
}

const void *outbox_state(const struct outbox *o)
{
	return o->state;
}
