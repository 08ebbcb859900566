/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_pair.h - a connection inside one process, on a virtual clock
 *
 * What one end sends the other gets, in order, after a seeded delay; it can
 * be cut at any byte, and stall like a cable that was pulled.  Whoever owns
 * the clock calls link_pair_run().
 */
#ifndef KEMARI_LINK_PAIR_H
#define KEMARI_LINK_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link;
struct link_pair;

#define LINK_PAIR_NEVER UINT64_MAX

/** struct link_pair_knobs - one connection's fate; zeroes: perfect */
struct link_pair_knobs {
	uint64_t seed;
	uint64_t delay_min, delay_max;	/* ns from send to message */
	/* The connection breaks when end 0, 1 has sent that many bytes; a
	 * message of which not all bytes got through is lost. */
	uint64_t cut[2];		/* 0: never */
	/* Before every send, if set: an errno makes it fail with that; EPIPE
	 * breaks the connection, EAGAIN is followed by writable(). */
	int (*fault)(void *arg, int end);
	void *fault_arg;
};

/** link_pair_new() - A connection made; NULL with ENOMEM */
struct link_pair *link_pair_new(const struct link_pair_knobs *k);

/** link_pair_free() - Free it, after both ends were closed or forgotten */
void link_pair_free(struct link_pair *p);

/** link_pair_end() - End 0 or 1; ops->close forgets it, no callback comes */
struct link *link_pair_end(struct link_pair *p, int end);

/** link_pair_cut() - Break it now */
void link_pair_cut(struct link_pair *p);

/** link_pair_stall() - From now on nothing arrives any more */
void link_pair_stall(struct link_pair *p);

/** link_pair_sent() - Bytes that @end has sent */
uint64_t link_pair_sent(const struct link_pair *p, int end);

/**
 * link_pair_run() - Deliver one thing that is due at @now, to either end
 * Return: whether there was one
 */
bool link_pair_run(struct link_pair *p, uint64_t now);

/** link_pair_next() - When link_pair_run() has something to deliver */
uint64_t link_pair_next(const struct link_pair *p);

#endif
