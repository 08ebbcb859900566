/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sticky.h - state of a checkpoint: its own records and those that stay
 *
 * docs/PROTOCOL.md, "Records": a sticky record stands until another of the same
 * type and instance takes its place; one of length 0 removes it.
 */
#ifndef KEMARI_STICKY_H
#define KEMARI_STICKY_H

#include <stddef.h>

enum {
	STICKY_MAX = 1024,		/* sticky records in one state */
	STICKY_RECORDS_MAX = 1 << 16,	/* records in one state */
};

/**
 * sticky_merge() - Records of checkpoint N from those of N-1 and what N sent
 * @old:	State of N-1, as merged then; NULL: first after a copy
 * @sent:	What N sent, from the peer
 * @out:	@room bytes, overlapping neither; meaningless on failure
 * @used:	Set to the length of the result
 * Return: 0, or -1: EPROTO malformed list or the same sticky record twice,
 *	   EMSGSIZE one of the limits above, or @room, exceeded
 */
int sticky_merge(const void *old, size_t old_len, const void *sent,
		 size_t sent_len, void *out, size_t room, size_t *used);

#endif
