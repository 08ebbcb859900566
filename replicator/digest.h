/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * digest.h - running digest of a checkpoint or copy: the chain
 *
 * SHA-256 over the digest before and the sums of the messages, in order
 * (docs/PROTOCOL.md, "Digest").  Eight bytes per message: the pages themselves
 * are under each message's sum.
 */
#ifndef KEMARI_DIGEST_H
#define KEMARI_DIGEST_H

#include <stdint.h>

#include "replicator/wire.h"

struct digest;

/** digest_new() - Return: freed by digest_free(), or NULL with ENOMEM */
struct digest *digest_new(void);
void digest_free(struct digest *d);	/* NULL is fine */

/**
 * digest_start() - Begin anew
 * @previous:	Digest before; NULL for zeroes (a copy)
 */
void digest_start(struct digest *d, const uint8_t previous[WIRE_DIGEST]);

/** digest_add() - Take in a sealed or checked message: its header's sum */
void digest_add(struct digest *d, const void *message);

/** digest_messages() - How many since the start */
uint64_t digest_messages(const struct digest *d);

/**
 * digest_finish() - The digest; start again before the next use
 * Return: 0, or -1 with ENOMEM: the library failed at some point
 */
int digest_finish(struct digest *d, uint8_t out[WIRE_DIGEST]);

#endif
