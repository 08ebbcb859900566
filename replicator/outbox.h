/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outbox.h - the primary's captured, not yet acknowledged checkpoint
 *
 * Lies in a memory file that a supervising parent holds, so that a controller
 * that is killed and restarted finds the checkpoint again: its pages and
 * state, and the facts of the session.  Everything in it was written by this
 * host; a reader checks it all the same.
 *
 * A kill loses no stores, so the order of stores is all that is needed: the
 * facts have two places and one index, the checkpoint counts as whole by one
 * store after all others.
 */
#ifndef KEMARI_OUTBOX_H
#define KEMARI_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OUTBOX_DIGEST = 32,
	OUTBOX_PAGES_MAX = 1 << 22,	/* of one checkpoint: 16 GiB */
	OUTBOX_STATE_MAX = 8 << 20,	/* bytes of its records */
};

/** struct outbox_facts - of the session, changed as one */
struct outbox_facts {
	uint8_t session[16];
	uint64_t generation;		/* 0: no session */
	uint64_t committed;		/* last acknowledged epoch, 0 none */
	uint8_t digest[OUTBOX_DIGEST];	/* of it, or of the copy since */
	uint64_t copy;			/* number of the last copy begun */
	uint32_t bound;			/* 1: the standby may be eligible, so
					 * nothing leaves without its word */
	uint32_t ending;		/* enum wire_reason, 0: not */
	uint32_t end_sent;		/* 1: END may have reached the standby */
	uint32_t zero;
	uint64_t room;			/* pages that a checkpoint may have */
	uint64_t rings;			/* sum of the guest's; 0: not known */
};

/** struct outbox_checkpoint - the one that is not acknowledged */
struct outbox_checkpoint {
	uint64_t epoch;			/* 0: none */
	uint64_t guest_time, clock;	/* ns */
	uint64_t pages;
	uint64_t state;			/* bytes */
	uint8_t digest[OUTBOX_DIGEST];	/* valid once it was sent */
	uint32_t cause;			/* enum wire_cause */
	uint32_t sent;			/* 1: its end was handed to a link */
	_Atomic uint32_t whole;		/* 1: all of it is here */
};

struct outbox;

/**
 * outbox_open() - Use the memory file @fd
 * @fd:		From memfd_create(), stays the caller's; empty, or as left
 *		by an earlier life with the same @pages
 * @pages:	Room for this many, up to OUTBOX_PAGES_MAX
 *
 * All memory is allocated here.
 * Return: closed by outbox_close(), or NULL: EPROTO the file holds something
 *	   else, EINVAL, ENOMEM or ENOSPC
 */
struct outbox *outbox_open(int fd, uint64_t pages);

/** outbox_close() - Unmap; the file keeps everything; NULL is fine */
void outbox_close(struct outbox *o);

/** outbox_room() - Pages that fit */
uint64_t outbox_room(const struct outbox *o);

/** outbox_facts() - The facts as last stored; valid until the next store */
const struct outbox_facts *outbox_facts(const struct outbox *o);

/** outbox_store() - Store facts, all or none of them */
void outbox_store(struct outbox *o, const struct outbox_facts *facts);

/** outbox_checkpoint() - The checkpoint that lies here; .epoch 0: none */
const struct outbox_checkpoint *outbox_checkpoint(const struct outbox *o);

/** outbox_begin() - Forget what lies here, begin @epoch */
void outbox_begin(struct outbox *o, uint64_t epoch, uint32_t cause);

/**
 * outbox_page() - Copy one page in, its upper half first
 *
 * Daemons write into their rings while the guest is stopped; both rings of a
 * shared page with xenstored or xenconsoled keep their indices in the upper
 * half, so no index is copied that is newer than its data.
 * Return: 0, or -1 with ENOSPC
 */
int outbox_page(struct outbox *o, uint64_t gfn, const void *bytes);

/**
 * outbox_whole() - Copy the state in; from now on the checkpoint is whole
 * Return: 0, or -1 with ENOSPC
 */
int outbox_whole(struct outbox *o, const void *state, size_t len,
		 uint64_t guest_time, uint64_t clock);

/** outbox_sent() - Note the digest, before its end is handed to a link */
void outbox_sent(struct outbox *o, const uint8_t digest[OUTBOX_DIGEST]);

/** outbox_drop() - Forget the checkpoint */
void outbox_drop(struct outbox *o);

/** outbox_gfn(), outbox_bytes() - Page @i of the checkpoint, i < .pages */
uint64_t outbox_gfn(const struct outbox *o, uint64_t i);
const void *outbox_bytes(const struct outbox *o, uint64_t i);

/** outbox_state() - The state's records, .state bytes */
const void *outbox_state(const struct outbox *o);

#endif
