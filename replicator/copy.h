/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy.h - all of the guest's memory -> COPY messages, in rounds
 *
 * The first copy and a resync.  A round sends each page that is to be sent
 * once; pages that became dirty meanwhile are marked and go in the next one.
 */
#ifndef KEMARI_COPY_H
#define KEMARI_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "replicator/wire.h"

struct copy;
struct link;
struct platform;

/** struct copy_progress - for status */
struct copy_progress {
	uint64_t pages;		/* of the guest */
	uint64_t sent;		/* in all rounds */
	uint64_t left;		/* marked now */
	unsigned int round;	/* from 1 */
};

/**
 * copy_new() - Take the guest's populated frames from @p, borrowed
 * Return: freed by copy_free(), or NULL with errno
 */
struct copy *copy_new(struct platform *p);
void copy_free(struct copy *c);	/* NULL is fine */

/**
 * copy_start() - Begin copy number @number with all pages marked
 * Return: 0, or -1 with ENOMEM
 */
int copy_start(struct copy *c, uint64_t generation, uint64_t number,
	       uint64_t features);

/** copy_mark_all() - Every page is to be sent (again) */
void copy_mark_all(struct copy *c);

/**
 * copy_mark() - Page @gfn is to be sent (again)
 * Return: 0, or -1 with ERANGE: not one of the frames of copy_new()
 */
int copy_mark(struct copy *c, uint64_t gfn);

/** copy_take() - Unmark one page and return it; UINT64_MAX: none is left */
uint64_t copy_take(struct copy *c);

/**
 * copy_run() - Send marked pages
 * Return: 1 the round is over, call again for the next; 0 the link is full;
 *	   -1 with errno as of link's send
 */
int copy_run(struct copy *c, struct link *l);

/**
 * copy_end() - Send COPY_END
 * @digest:	Gets that of the copy
 * Return: 1 done, 0 the link is full, -1 as copy_run()
 */
int copy_end(struct copy *c, struct link *l, uint8_t digest[WIRE_DIGEST]);

/** copy_progress() - Where it stands */
void copy_progress(const struct copy *c, struct copy_progress *out);

#endif
