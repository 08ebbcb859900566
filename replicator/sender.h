/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sender.h - a whole checkpoint in the outbox -> messages on a link
 *
 * Sends CKPT_BEGIN, PAGES, STATE, CKPT_END (docs/PROTOCOL.md, 5), stopping
 * whenever the link is full.  May be started again for the same checkpoint.
 */
#ifndef KEMARI_SENDER_H
#define KEMARI_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "replicator/wire.h"

struct link;
struct outbox;
struct sender;

/**
 * sender_new() - Make one; @o borrowed
 * Return: freed by sender_free(), or NULL with ENOMEM
 */
struct sender *sender_new(struct outbox *o);
void sender_free(struct sender *s);	/* NULL is fine */

/**
 * sender_start() - Send the outbox's whole checkpoint, from its beginning
 * @features:	enum WIRE_FEATURE_* in use on this connection
 *
 * The checkpoint before it is that of the outbox's facts.
 * Return: 0, or -1 with ENOMEM
 */
int sender_start(struct sender *s, uint64_t features);

/** sender_stop() - The connection is gone, or there is nothing to send */
void sender_stop(struct sender *s);

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

#endif
