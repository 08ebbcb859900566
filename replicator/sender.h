/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sender.h - a whole checkpoint in the outbox -> messages on a link
 *
 * Sends CKPT_BEGIN, PAGES, STATE, CKPT_END (docs/PROTOCOL.md, 5), stopping
 * whenever the link is full.  May be started again for the same checkpoint.
 *
 * Pages refer to the checkpoint before only while it is sure what the standby
 * made of it: all of it was sent on this connection, and its ACK came.
 * Anything else (another connection, a checkpoint that is given up or sent
 * again, a copy) and the codec's memory is forgotten.
 */
#ifndef KEMARI_SENDER_H
#define KEMARI_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "replicator/codec.h"
#include "replicator/wire.h"

struct link;
struct outbox;
struct sender;

/** struct sender_figures - for status, since sender_new() */
struct sender_figures {
	struct codec_stats codec;	/* of checkpoints sent */
	uint64_t memory;		/* bytes that the codec's uses now */
	uint64_t again;			/* checkpoints sent twice for AGAIN */
};

/**
 * sender_new() - Make one; @o borrowed
 * @cache:	Pages whose bytes the codec's memory may keep; 0 none
 * Return: freed by sender_free(), or NULL with ENOMEM
 */
struct sender *sender_new(struct outbox *o, size_t cache);
void sender_free(struct sender *s);	/* NULL is fine */

/**
 * sender_start() - Send the outbox's whole checkpoint, from its beginning
 * @features:	enum WIRE_FEATURE_* in use on this connection
 *
 * The checkpoint before it is that of the outbox's facts.
 * Return: 0, or -1 with ENOMEM
 */
int sender_start(struct sender *s, uint64_t features);

/** sender_committed() - The outbox's checkpoint is: the ACK for it came */
void sender_committed(struct sender *s);

/** sender_stop() - The connection is gone, or there is nothing to send */
void sender_stop(struct sender *s);

/**
 * sender_again() - The standby cannot make page @gfn of the checkpoint: start
 *		    it again, and never let that page refer to another
 * Return: 0; -1 with EPROTO: not all of it is sent, or nothing in it refers
 */
int sender_again(struct sender *s, uint64_t gfn);

/** sender_busy() - Started and not done */
bool sender_busy(const struct sender *s);

/** sender_at_end() - All that is left is CKPT_END, which lets the standby
 *		      commit */
bool sender_at_end(const struct sender *s);

/**
 * sender_run() - Send what the link takes
 * @to_end:	false: everything but CKPT_END
 * Return: 1 done, or at the end and not @to_end; 0 the link is full; -1 with
 *	   errno as of link's send, ENOMEM
 */
int sender_run(struct sender *s, struct link *l, bool to_end);

void sender_figures(const struct sender *s, struct sender_figures *out);

#endif
