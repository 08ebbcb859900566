/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * receive.h - messages -> shell records, copied pages, a staged checkpoint
 *
 * Takes the primary's SHELL, COPY* and CKPT*, PAGES, STATE messages and
 * yields whole, checked things or nothing.  A checkpoint touches no memory of
 * the standby here.  All that can fail, fails here (INV-17).
 */
#ifndef KEMARI_RECEIVE_H
#define KEMARI_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/platform.h"
#include "replicator/staging.h"
#include "replicator/wire.h"

enum receive_event {
	RECEIVE_MORE,		/* taken in; nothing is complete */
	RECEIVE_SHELL,		/* all parts are here: receive_shell() */
	RECEIVE_COPYING,	/* the copy has begun: phase COPYING */
	RECEIVE_COPIED,		/* the copy is complete: phase COPIED */
	RECEIVE_STAGED,		/* a checkpoint is staged and validated:
				 * receive_commit() or receive_reset() */
	RECEIVE_AGAIN,		/* it is whole, but a page refers to what the
				 * standby has not: receive_again() */
};

/** struct receive_progress - of the copy under way, for status */
struct receive_progress {
	uint64_t copy;		/* its number */
	uint64_t pages;		/* received, all rounds */
	uint64_t total;		/* pages of the guest */
	uint32_t round;
};

struct receive;

/**
 * receive_new() - Make a receiver
 * @p:		Of the standby; borrowed; page_rw and verify are called once
 *		the shell is built or attached
 * @st:		Borrowed
 * Return: freed by receive_free(), or NULL with ENOMEM
 */
struct receive *receive_new(struct platform *p, struct staging *st);
void receive_free(struct receive *r);	/* NULL is fine */

/** receive_wants() - Is @type one for receive_message()? */
bool receive_wants(int type);

/**
 * receive_message() - Take one message
 * @bytes:	Passed wire_check(), which returned a type of receive_wants()
 * @len:	Header and body
 * Return: enum receive_event, or -1: EPROTO the peer breaks the rules, ESTALE
 *	   its generation is older, ENOMEM, ENOBUFS (a checkpoint while none
 *	   is free), EINVAL (verify refused the state); see receive_why().
 *	   After -1 what was arriving is dropped; end the connection.
 */
int receive_message(struct receive *r, const void *bytes, size_t len);

/** receive_why() - Sentence about the last -1 */
const char *receive_why(const struct receive *r);

/** receive_reset() - The connection is gone: drop what is incomplete */
void receive_reset(struct receive *r);

/** receive_shell() - The records after RECEIVE_SHELL, until the next call */
const void *receive_shell(const struct receive *r, size_t *len,
			  uint64_t *generation);

/**
 * receive_again() - What to tell the primary after RECEIVE_AGAIN
 *
 * The checkpoint is dropped; it may come again, with pages that refer to none.
 */
void receive_again(const struct receive *r, struct wire_again *out);

/** receive_staged() - State records and epoch after RECEIVE_STAGED */
const void *receive_staged(const struct receive *r, size_t *len,
			   uint64_t *epoch);

/**
 * receive_commit() - After RECEIVE_STAGED: commit.  Cannot fail
 *
 * The acknowledgement may be sent when it returns, not before (INV-1).
 */
void receive_commit(struct receive *r);

/**
 * receive_ack() - Fill in an ACK from staging, with the timings known
 * @apply_ns:	Of the last checkpoint applied
 */
void receive_ack(const struct receive *r, uint64_t apply_ns,
		 struct wire_ack *out);

void receive_progress(const struct receive *r, struct receive_progress *out);

#endif
