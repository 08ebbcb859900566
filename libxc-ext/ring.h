/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - the two shared pages of a guest: its xenstore and its console ring
 *
 * Everything in these pages is written by the guest and by daemons of the
 * host at any time.  Nothing here follows an index or a length that was not
 * checked, and no answer is worse than "not at rest".  INV-31
 * Times are nanoseconds of any monotonic clock.
 */
#ifndef KEMARI_RING_H
#define KEMARI_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RING_PAGE = 4096,
	RING_STORE_SIZE = 1024,		/* each direction */
	RING_STORE_PAYLOAD_MAX = 4096,	/* of one message */
	RING_STORE_TYPES = 25,		/* message types are below this */
	RING_STORE_TX_MAX = 16,		/* daemons allow a guest 10 */
	RING_CONSOLE_IN = 1024,
	RING_CONSOLE_OUT = 2048,
	RING_CONSOLE_REPLAY = 1536,	/* bytes that are shown again */
	RING_WHY_MAX = 160,
};

/* A ring whose messages cannot be followed counts as at rest when it has
 * stood still for so long while the guest ran. */
#define RING_STILL_NS	200000000ull

/** struct ring_store - the xenstore page */
struct ring_store {
	uint8_t req[RING_STORE_SIZE];
	uint8_t rsp[RING_STORE_SIZE];
	uint32_t req_cons, req_prod;
	uint32_t rsp_cons, rsp_prod;
	uint32_t server_features;
	uint32_t connection;		/* 1: reconnect under way */
	uint32_t error;
};

/** struct ring_console - the console page */
struct ring_console {
	uint8_t in[RING_CONSOLE_IN];
	uint8_t out[RING_CONSOLE_OUT];
	uint32_t in_cons, in_prod;
	uint32_t out_cons, out_prod;
};

/** struct ring_head - precedes each message of the xenstore ring */
struct ring_head {
	uint32_t type;
	uint32_t req_id;
	uint32_t tx_id;
	uint32_t len;
};

/** ring_get() - Copy @len bytes, at most RING_STORE_SIZE, from index @at on */
void ring_get(const uint8_t *ring, uint32_t at, void *out, size_t len);

/** ring_put() - Copy @len bytes into the ring from index *@at on, and move it */
void ring_put(uint8_t *ring, uint32_t *at, const void *from, size_t len);

/** struct ring_stream - one direction, followed from message to message */
struct ring_stream {
	bool known;		/* .at is a boundary */
	uint32_t at;		/* end of the last message whose head was seen:
				 * beyond the producer if only half is there */
	bool any;		/* .head is valid */
	struct ring_head head;	/* last request, or last reply: no event */
};

/**
 * struct ring_track - what is known of one guest's xenstore ring
 *
 * Zero-initialised: nothing.  All of it is derived from the page; losing it
 * costs at most RING_STILL_NS of waiting.
 */
struct ring_track {
	struct ring_stream req, rsp;
	uint32_t tx[RING_STORE_TX_MAX];	/* open transactions, oldest first */
	unsigned int ntx;
	uint32_t still_req, still_rsp;	/* producers at .since */
	uint64_t since;			/* when they were first seen so */
	bool looked;			/* the three above are valid */
	bool moved;			/* last look: requests had been made */
	bool unsure;			/* last look: 0 for want of knowledge */
	bool rewatched;			/* the guest may have set or removed
					 * watches; for the caller to clear */
};

/**
 * ring_store_settled() - Is the xenstore ring of a stopped guest at rest?
 * @t:		What earlier looks found out; updated
 * @live:	The page
 * @now:	Time of this look
 * @why:	Gets a sentence unless at rest; RING_WHY_MAX bytes
 *
 * INV-13.  At rest: all requests are consumed, the last one is whole and answered in
 * the ring, no reply is half written, no transaction is open.
 *
 * The ring keeps the last RING_STORE_SIZE bytes of each direction.  If more
 * than that passed since the last look, the boundary between messages is
 * found again in what is left; if that fails too (.unsure) the ring counts as
 * at rest after RING_STILL_NS without a new byte.  A transaction that no
 * message in those bytes belongs to is then not seen: after a take-over its
 * owner gets an error for it, as after a restart of the daemon.
 *
 * Return: 1 at rest, 0 not yet, -1 with EPROTO: the guest broke its ring
 */
int ring_store_settled(struct ring_track *t, const void *live, uint64_t now,
		       char *why);

/**
 * ring_store_copy() - Copy the page while the daemon may write to it
 *
 * Indices first, then data: whatever the indices of the copy cover was in
 * place when they were read, because the guest, stopped, frees nothing.
 */
void ring_store_copy(void *dst, const void *src);

/** ring_console_copy() - The same for the console page */
void ring_console_copy(void *dst, const void *src);

/**
 * ring_console_replay() - Let a copied page's next reader begin earlier
 * @copy:	From ring_console_copy()
 *
 * What a daemon has read and not passed on dies with its host.  So the
 * standby's daemon gets the last RING_CONSOLE_REPLAY bytes once more, which
 * still lie in the ring: output may be repeated, never missing.  INV-2
 */
void ring_console_replay(void *copy);

/** ring_console_produced() - Index that drained() waits for */
uint32_t ring_console_produced(const void *live);

/**
 * ring_console_drained() - Has the consumer read everything up to @produced?
 * @left:	Bytes still to be read
 *
 * INV-4.  A distance beyond the ring's size means a guest that broke its indices;
 * no console daemon reads such a ring, so nothing of it can leave: drained.
 * Return: whether
 */
bool ring_console_drained(const void *live, uint32_t produced, uint32_t *left);

#endif
