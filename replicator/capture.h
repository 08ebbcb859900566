/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture.h - a stopped guest -> a whole checkpoint in the outbox
 *
 * The order of the steps is that of enum capture_step.  A step that fails is
 * tried again by the next capture_run(), which goes on from it: the guest
 * stays stopped meanwhile, so what was taken before stays true, and nothing
 * that can only be taken once (dirty pages, sticky records) is taken twice.
 */
#ifndef KEMARI_CAPTURE_H
#define KEMARI_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct capture;
struct epoch;
struct gate;
struct outbox;
struct platform;

enum capture_result {
	CAPTURE_FAILED,		/* capture_why(); may be tried again */
	CAPTURE_UNSETTLED,	/* xenstore is busy: let the guest run on and
				 * come again; capture_why() says with what */
	CAPTURE_CHANGED,	/* it has other rings now: capture_why() */
	CAPTURE_LOST,		/* not to be had any more: the epoch is torn */
	CAPTURE_WHOLE,		/* it is in the outbox */
};

/**
 * capture_new() - Make one for a protection; all borrowed
 * @room:	Pages that a checkpoint may have, from 1
 * Return: freed by capture_free(), or NULL with ENOMEM
 */
struct capture *capture_new(struct platform *p, struct gate *g,
			    struct outbox *o, uint64_t room);
void capture_free(struct capture *c);	/* NULL is fine */

/**
 * capture_add() - A page that has to be in the next checkpoint, dirty or not
 * Return: 0, or -1 with ENOSPC
 */
int capture_add(struct capture *c, uint64_t gfn);

/** capture_taken() - Frames gathered so far, *@n of them */
const uint64_t *capture_taken(const struct capture *c, size_t *n);

/** capture_reset() - Begin anew: what was gathered is forgotten */
void capture_reset(struct capture *c);

/**
 * capture_run() - Go on with the capture of @e's running epoch
 * @cause:	enum wire_cause
 *
 * Makes the moves BEGIN, TAKEN and LOSE of @e, whose guest is stopped.  After
 * WHOLE and LOST the next call begins anew.
 */
enum capture_result capture_run(struct capture *c, struct epoch *e,
				uint64_t generation, uint32_t cause);

/**
 * capture_close() - Close the held set of a guest that is alone, without
 *		     taking a checkpoint: its output may be released then
 *
 * A part of capture_run(): freeze, BEGIN, note fences, thaw.  What was
 * gathered stays.  Return: WHOLE, or FAILED: try again.
 */
enum capture_result capture_close(struct capture *c, struct epoch *e,
				  uint64_t generation);

/**
 * capture_harvest() - Between checkpoints of a guest that is alone: take the
 *		       dirty frames, gathered as by capture_add()
 * Return: 0, or -1: EAGAIN try again, else copy afresh
 */
int capture_harvest(struct capture *c);

/** capture_frozen_ns() - How long backends were frozen for the last one */
uint64_t capture_frozen_ns(const struct capture *c);

/** capture_why() - Sentence about the last result that was not WHOLE */
const char *capture_why(const struct capture *c);

#endif
