/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * epoch.h - states and legal moves of the primary's epochs; pure
 *
 * The conductor asks epoch_move() before it acts on the world; a move that
 * would break the output rule (INV-1) does not exist here.
 */
#ifndef KEMARI_EPOCH_H
#define KEMARI_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * enum epoch_flight - how far the one checkpoint in flight has come
 *
 * EPOCH_NONE	   Nothing captured is unreleased.
 *		   BEGIN -> TAKING; LOSE -> TORN; GO.
 * EPOCH_TAKING	   The held set is closed, pages and state are being copied;
 *		   the guest is stopped all the time.
 *		   WHOLE -> WHOLE; LOSE -> TORN; alone: RELEASE -> RELEASED.
 * EPOCH_WHOLE	   Captured whole; may be sent, and sent again, at any time.
 *		   COMMIT(captured) -> COMMITTED; alone: RELEASE -> RELEASED;
 *		   overlapped: GO.
 * EPOCH_COMMITTED The standby has it.  RELEASE -> RELEASED; overlapped: GO.
 * EPOCH_RELEASED  Its output left; consumers of unfenced ports may still be
 *		   reading (INV-4).  DRAINED -> NONE.
 * EPOCH_TORN	   What changed since the last commit is not known any more:
 *		   nothing can be captured and nothing leaves until the right
 *		   to go on alone is granted (INV-14).
 *		   GRANT -> TAKING if a held set is closed, else NONE.
 *
 * Beside the flight there are
 *   the guest: STOP at any time; GO only as above.
 *   the right: ALONE, no standby may take over, output needs no commit; or
 *   BOUND, one may.  BIND in WHOLE, before the end of that checkpoint is sent,
 *   which lets the standby commit; GRANT whenever the standby has no claim.
 *
 * In sync mode a flight is finished with the guest stopped: never overlapped.
 * In pipelined mode it is overlapped unless it holds output of a port that
 * has to be drained.
 */
enum epoch_flight {
	EPOCH_NONE,
	EPOCH_TAKING,
	EPOCH_WHOLE,
	EPOCH_COMMITTED,
	EPOCH_RELEASED,
	EPOCH_TORN,
	EPOCH_FLIGHT_NUM,
};

enum epoch_move {
	EPOCH_STOP,	/* the guest is stopped */
	EPOCH_GO,	/* the guest runs */
	EPOCH_BEGIN,	/* n: the running epoch; its held set is closed */
	EPOCH_TAKEN,	/* the checkpoint is whole */
	EPOCH_COMMIT,	/* n: acknowledged epoch */
	EPOCH_RELEASE,	/* output of the captured epoch leaves */
	EPOCH_DRAINED,	/* its consumers have read it */
	EPOCH_LOSE,	/* dirty information is lost */
	EPOCH_BIND,	/* a standby may become eligible from here on */
	EPOCH_GRANT,	/* no standby has a claim */
	EPOCH_MOVE_NUM,
};

/** struct epoch - by epoch_init(); read by all, written by epoch_move() */
struct epoch {
	enum epoch_flight flight;
	bool stopped;		/* the guest */
	bool bound;
	bool overlapped;	/* this flight lets the guest run */
	uint64_t running;	/* epoch the guest is in */
	uint64_t captured;	/* last one closed; 0 none */
	uint64_t committed;	/* last one acknowledged; 0 none */
	uint64_t released;	/* last one let out; 0 none */
};

/**
 * epoch_init() - A running guest in epoch @running, alone
 * @running:	From 1
 */
void epoch_init(struct epoch *e, uint64_t running);

/**
 * epoch_may() - Is @m legal now?
 * @n:	With BEGIN and COMMIT: the epoch; else ignored
 */
bool epoch_may(const struct epoch *e, enum epoch_move m, uint64_t n);

/**
 * epoch_move() - Make a move
 * Return: 0, or -1 with errno EPERM if epoch_may() says no; @e is then as
 *	   it was
 */
int epoch_move(struct epoch *e, enum epoch_move m, uint64_t n);

/** epoch_flight_str(), epoch_move_str() - names for log lines */
const char *epoch_flight_str(enum epoch_flight f);
const char *epoch_move_str(enum epoch_move m);

#endif
