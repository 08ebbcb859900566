/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outbox.h - the primary's captured, not yet acknowledged checkpoint
 *
 * Lies in a memory file that a supervising parent holds, so that a controller
 * that is killed and restarted finds the checkpoint again: its pages and
 * state, and the chain of what was committed before.  Everything in it was
 * written by this host; a reader checks it all the same.
 *
 * Life: outbox_session() -> { outbox_begin -> outbox_page ... , outbox_state
 * -> outbox_whole -> [read and sent, as often as needed] ->
 * outbox_committed } ...
 */
#ifndef KEMARI_OUTBOX_H
#define KEMARI_OUTBOX_H

#include "libxc-ext/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OUTBOX_DIGEST = 32,
	OUTBOX_PAGES_MAX = 1 << 24,	/* pages of one checkpoint: 64 GiB */
	OUTBOX_STATE_MAX = RECBUF_MAX,
};

/** struct outbox_facts - of the session; stored, and read back after a
 *  restart */
struct outbox_facts {
	uint8_t session[16];
	uint64_t generation;
	uint64_t committed;		/* last acknowledged epoch, 0 none */
	uint8_t committed_digest[OUTBOX_DIGEST];
	uint8_t copy_digest[OUTBOX_DIGEST];	/* of the last copy */
	uint32_t bound;			/* 1: the standby may be eligible, so
					 * nothing leaves without its word */
	uint32_t ending;		/* enum wire_reason, 0: not */
};

/** struct outbox_checkpoint - the one that is not acknowledged */
struct outbox_checkpoint {
	uint64_t epoch;			/* 0: none */
	uint64_t guest_time, clock;	/* ns */
	uint64_t pages;
	uint64_t state_bytes;
	uint32_t cause;			/* enum wire_cause */
	uint32_t whole;			/* 1: all of it is here */
};

struct outbox;

/**
 * outbox_open() - Use the memory file @fd
 * @fd:		From memfd_create(), stays the caller's; empty, or as left
 *		by an earlier life with the same @pages
 * @pages:	Room for this many
 * Return: to be closed by outbox_close(), or NULL with errno; EPROTO: the
 *	   file holds something else
 */
struct outbox *outbox_open(int fd, uint64_t pages);

/** outbox_close() - Unmap; the file keeps everything */
void outbox_close(struct outbox *o);

/** outbox_room() - Pages that fit */
uint64_t outbox_room(const struct outbox *o);

/** outbox_facts() - Facts of the session: read and, in place, written */
struct outbox_facts *outbox_facts(struct outbox *o);

/** outbox_checkpoint() - The checkpoint that lies here; .epoch 0: none */
const struct outbox_checkpoint *outbox_checkpoint(const struct outbox *o);

/** outbox_begin() - Forget what lies here, begin @epoch */
void outbox_begin(struct outbox *o, uint64_t epoch, uint32_t cause);

/**
 * outbox_page() - Copy one page in
 * Return: 0, or -1 with ENOSPC
 */
int outbox_page(struct outbox *o, uint64_t gfn, const void *bytes);

/**
 * outbox_whole() - Copy the state in; from now on the checkpoint is whole
 * Return: 0, or -1 with ENOSPC
 */
int outbox_whole(struct outbox *o, const void *state, size_t len,
		 uint64_t guest_time, uint64_t clock);

/** outbox_committed() - It was acknowledged: note it, forget its bytes */
void outbox_committed(struct outbox *o, const uint8_t *digest);

/** outbox_gfn(), outbox_bytes() - Page @i of the checkpoint, i < .pages */
uint64_t outbox_gfn(const struct outbox *o, uint64_t i);
const void *outbox_bytes(const struct outbox *o, uint64_t i);

/** outbox_state() - The state's records, .state_bytes long */
const void *outbox_state(const struct outbox *o);

#endif
