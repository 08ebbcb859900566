/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging.h - what the secondary must not forget when its receiver is killed
 *
 * One memory file (memfd), held open by a supervising parent: the shell's
 * records, two slots for decoded checkpoints, and a header that says which
 * phase the session is in and which checkpoint is committed.  A receiver that
 * is killed at any instruction leaves a file from which the next one goes on
 * (INV-17, INV-18, INV-19).
 *
 * Method.  All that must change together is one struct staging_view; there are
 * two of them, and one store to header.current makes the other one true.  A
 * slot is filled before the view that names it.  Kills lose no stores, so
 * order of stores is all that is needed; power failure loses the host.
 *
 * A slot holds a checkpoint's plain pages until they are applied, and its state
 * records until the next commit.  So the next checkpoint always finds the
 * slot that is not the committed one, if that one is applied.
 */
#ifndef KEMARI_STAGING_H
#define KEMARI_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replicator/wire.h"

enum {
	STAGING_PAGES_MIN = 64,
	STAGING_PAGES_MAX = 1 << 22,	/* of one checkpoint: 16 GiB */
	STAGING_STATE_MIN = 64 << 10,
	STAGING_STATE_MAX = 64 << 20,	/* RECBUF_MAX */
	STAGING_STATE_DEFAULT = 8 << 20,
	STAGING_SLOTS = 2,
};

enum staging_phase {
	STAGING_EMPTY,		/* holds nothing */
	STAGING_BUILDING,	/* shell records are here; the domain may be */
	STAGING_SHELL,		/* the domain is; its memory means nothing */
	STAGING_COPYING,
	STAGING_COPIED,		/* meaningless without the next checkpoint */
	STAGING_PAIRED,		/* a checkpoint is committed: eligible */
	STAGING_TAKING,		/* take-over decided; no primary is heard */
	STAGING_TAKEN,		/* the guest runs here: hands off */
	STAGING_PHASES
};

/** struct staging_view - what is true of the session, changed as one */
struct staging_view {
	uint8_t session[16];
	uint8_t host[16];	/* UUID of the primary's host: for the fence */
	uint64_t generation;
	uint64_t committed;	/* epoch; 0 none */
	uint8_t digest[WIRE_DIGEST];	/* of .committed; COPIED: of the copy */
	uint64_t guest_time;	/* of .committed, guest system time, ns */
	uint64_t copy;		/* counts copies begun: marks slots */
	uint64_t shell;		/* bytes of the shell's records */
	uint32_t phase;		/* enum staging_phase */
	uint32_t slot;		/* of .committed */
};

/** struct staging_slot - one decoded checkpoint, in the file */
struct staging_slot {
	_Atomic uint64_t epoch;	/* 0: nothing to apply */
	uint64_t copy;		/* view.copy it belongs to */
	uint64_t pages;		/* entries of gfn */
	uint64_t stored;	/* pages with bytes: not zero */
	uint64_t state;		/* bytes of records */
	uint64_t guest_time;
	uint8_t digest[WIRE_DIGEST];
};

/* A gfn entry with this bit is a page of zeroes and has no bytes. */
#define STAGING_ZERO (1ull << 63)

struct staging;

/**
 * staging_create() - Make the memory file
 * @pages:	Of the largest checkpoint
 * @state:	Bytes of records of one, sticky ones included
 *
 * All of it is allocated here, 2 * (@pages * 4104 + @state) bytes, so that
 * nothing can be missing later.
 * Return: descriptor (close-on-exec), or -1: EINVAL limits above, ENOMEM
 */
int staging_create(uint64_t pages, uint64_t state);

/**
 * staging_open() - Map a memory file, new or left by a killed receiver
 * @fd:		Stays the caller's; open until staging_close()
 * @why:	WIRE_WHY_MAX bytes; a sentence on failure
 *
 * Everything in it is checked.  What was arriving is dropped.
 * Return: closed by staging_close(), or NULL: EPROTO not one of ours or
 *	   damaged, ENOMEM
 */
struct staging *staging_open(int fd, char *why);
void staging_close(struct staging *st);	/* NULL is fine */

/** staging_view() - What is true now; valid until the next change */
const struct staging_view *staging_view(const struct staging *st);

const char *staging_phase_str(unsigned int phase);

/** staging_eligible() - Is there a committed checkpoint to continue from? */
bool staging_eligible(const struct staging *st);

/** staging_applied() - Highest epoch applied in this session; 0 none */
uint64_t staging_applied(const struct staging *st);

/** staging_capacity() - Decoded bytes of the largest checkpoint */
uint64_t staging_capacity(const struct staging *st);

/** staging_state_room() - Bytes of records of one checkpoint */
uint64_t staging_state_room(const struct staging *st);

/** staging_free() - Decoded bytes that the next checkpoint may have now */
uint64_t staging_free(const struct staging *st);

/* --- the session -------------------------------------------------------- */

/**
 * staging_shell_put() - Keep the shell's records; phase BUILDING
 * @session:	Of the primary
 * @host:	UUID of the primary's host
 *
 * Forgets any checkpoint: call it when the old shell is gone.
 * Return: 0, or -1: EMSGSIZE more than WIRE_SHELL_MAX, ENOMEM
 */
int staging_shell_put(struct staging *st, const uint8_t session[16],
		      const uint8_t host[16], uint64_t generation,
		      const void *records, size_t len);

/** staging_shell() - The shell's records; NULL and 0 in phase EMPTY */
const void *staging_shell(const struct staging *st, size_t *len);

/**
 * staging_move() - Change phase, and nothing else
 *
 * EMPTY forgets the session.  SHELL: built, or claim given up (ALONE).  TAKING
 * and TAKEN: take-over; from TAKING back to PAIRED if it is given back.
 * COPYING, COPIED and commits have their own functions.
 */
void staging_move(struct staging *st, enum staging_phase phase);

/**
 * staging_over() - Phase EMPTY, but for the session's name
 *
 * It was held here, its claim is given up, and nothing of it is left: which a
 * primary that has missed END_ACK has to be told.
 */
void staging_over(struct staging *st);

/** staging_generation() - Note a higher generation */
void staging_generation(struct staging *st, uint64_t generation);

/** staging_copy_begin() - Phase COPYING: not eligible, slots forgotten */
void staging_copy_begin(struct staging *st);

/** staging_copy_end() - Phase COPIED; @digest: of the copy */
void staging_copy_end(struct staging *st, const uint8_t digest[WIRE_DIGEST]);

/* --- the guest's clock (INV-24) ------------------------------------------ */

/**
 * staging_clock_set() - Guest time as received, and the local clock's now
 *
 * From heartbeats and checkpoints; one store.
 */
void staging_clock_set(struct staging *st, uint64_t guest_time, uint64_t now);

/**
 * staging_clock() - What the guest's clock shall show at @now
 * Return: last received plus local time since, never below the committed
 *	   checkpoint's; ns
 */
uint64_t staging_clock(const struct staging *st, uint64_t now);

/* --- an arriving checkpoint ----------------------------------------------- */

/**
 * staging_slot_begin() - Take the free slot for a checkpoint
 * Return: the slot, emptied; NULL with ENOBUFS: not applied yet
 */
struct staging_slot *staging_slot_begin(struct staging *st);

/** staging_gfns(), staging_pages(), staging_state() - A slot's areas */
uint64_t *staging_gfns(const struct staging *st,
		       const struct staging_slot *slot);
uint8_t *staging_pages(const struct staging *st,
		       const struct staging_slot *slot);
uint8_t *staging_state(const struct staging *st,
		       const struct staging_slot *slot);

/**
 * staging_commit() - Make a filled slot the resume point; phase PAIRED
 * @slot:	From staging_slot_begin(), all members but .epoch, .copy set
 * @epoch:	Above the committed one
 *
 * Cannot fail.  Killed anywhere inside: the old view or the new one holds.
 */
void staging_commit(struct staging *st, struct staging_slot *slot,
		    uint64_t epoch);

/** staging_records() - State of the committed checkpoint; NULL and 0: none */
const void *staging_records(const struct staging *st, size_t *len);

/* --- the redo log --------------------------------------------------------- */

/** staging_pending() - Oldest committed slot not yet applied, or NULL */
struct staging_slot *staging_pending(const struct staging *st);

/** staging_done() - @slot, from staging_pending(), is applied */
void staging_done(struct staging *st, struct staging_slot *slot);

#endif
