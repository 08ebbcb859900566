// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * epoch.c - states and legal moves of the primary's epochs; pure
 *
 * The specification is the comment in epoch.h.
 */
#include "replicator/epoch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const flight_str[] = {
	[EPOCH_NONE] = "none",
	[EPOCH_TAKING] = "taking",
	[EPOCH_WHOLE] = "whole",
	[EPOCH_COMMITTED] = "committed",
	[EPOCH_RELEASED] = "released",
	[EPOCH_TORN] = "torn",
};
static_assert(sizeof(flight_str) / sizeof(flight_str[0]) == EPOCH_FLIGHT_NUM,
	      "name every flight");

static const char *const move_str[] = {
	[EPOCH_STOP] = "stop",
	[EPOCH_GO] = "go",
	[EPOCH_BEGIN] = "begin",
	[EPOCH_TAKEN] = "taken",
	[EPOCH_COMMIT] = "commit",
	[EPOCH_RELEASE] = "release",
	[EPOCH_DRAINED] = "drained",
	[EPOCH_LOSE] = "lose",
	[EPOCH_BIND] = "bind",
	[EPOCH_GRANT] = "grant",
};
static_assert(sizeof(move_str) / sizeof(move_str[0]) == EPOCH_MOVE_NUM,
	      "name every move");

const char *epoch_flight_str(enum epoch_flight f)
{
	return f < EPOCH_FLIGHT_NUM ? flight_str[f] : "unknown";
}

const char *epoch_move_str(enum epoch_move m)
{
	return m < EPOCH_MOVE_NUM ? move_str[m] : "unknown";
}

void epoch_init(struct epoch *e, uint64_t running)
{
	memset(e, 0, sizeof(*e));
	e->running = running;
}

static bool may_go(const struct epoch *e)
{
	switch (e->flight) {
	case EPOCH_NONE:
		return true;
	case EPOCH_WHOLE:
	case EPOCH_COMMITTED:
		return e->overlapped;
	default:
		return false;
	}
}

/* INV-1: bound, only what was committed leaves. */
static bool may_release(const struct epoch *e)
{
	switch (e->flight) {
	case EPOCH_COMMITTED:
		return true;
	case EPOCH_TAKING:
	case EPOCH_WHOLE:
		return !e->bound;
	default:
		return false;
	}
}

bool epoch_may(const struct epoch *e, enum epoch_move m, uint64_t n)
{
	switch (m) {
	case EPOCH_STOP:
	case EPOCH_GRANT:
		return true;
	case EPOCH_GO:
		return may_go(e);
	case EPOCH_BEGIN:
		return e->flight == EPOCH_NONE && e->stopped &&
		       n == e->running;
	case EPOCH_TAKEN:
		return e->flight == EPOCH_TAKING && e->stopped;
	case EPOCH_COMMIT:
		return e->flight == EPOCH_WHOLE && e->bound &&
		       n == e->captured;
	case EPOCH_RELEASE:
		return may_release(e);
	case EPOCH_DRAINED:
		return e->flight == EPOCH_RELEASED;
	case EPOCH_LOSE:
		return e->stopped && (e->flight == EPOCH_NONE ||
				      e->flight == EPOCH_TAKING);
	case EPOCH_BIND:
		return e->flight == EPOCH_WHOLE && e->stopped;
	default:
		return false;
	}
}

int epoch_move(struct epoch *e, enum epoch_move m, uint64_t n)
{
	if (!epoch_may(e, m, n)) {
		errno = EPERM;
		return -1;
	}
	switch (m) {
	case EPOCH_STOP:
		e->stopped = true;
		break;
	case EPOCH_GO:
		e->stopped = false;
		break;
	case EPOCH_BEGIN:
		e->flight = EPOCH_TAKING;
		e->overlapped = false;
		e->captured = n;
		e->running = n + 1;
		break;
	case EPOCH_TAKEN:
		e->flight = EPOCH_WHOLE;
		break;
	case EPOCH_COMMIT:
		e->flight = EPOCH_COMMITTED;
		e->committed = n;
		break;
	case EPOCH_RELEASE:
		e->flight = EPOCH_RELEASED;
		e->released = e->captured;
		break;
	case EPOCH_DRAINED:
		e->flight = EPOCH_NONE;
		break;
	case EPOCH_LOSE:
		e->flight = EPOCH_TORN;
		break;
	case EPOCH_BIND:
		e->bound = true;
		break;
	case EPOCH_GRANT:
		e->bound = false;
		if (e->flight == EPOCH_TORN)
			e->flight = e->captured > e->released ? EPOCH_TAKING :
								EPOCH_NONE;
		break;
	case EPOCH_MOVE_NUM:
		break;
	}
	return 0;
}
