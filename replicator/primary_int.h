/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary_int.h - inside the primary's conductor; for primary*.c only
 *
 * primary.c	   entry points and the order of stages
 * primary_guest.c what is done to the guest, and what went wrong
 * primary_copy.c  the first copy
 * primary_gate.c  the gate before its backends, and its rings
 * primary_peer.c  what the standby says, and what follows from it
 * primary_view.c  status for people
 */
#ifndef KEMARI_PRIMARY_INT_H
#define KEMARI_PRIMARY_INT_H

#include "backends/gate.h"
#include "libxc-ext/platform.h"
#include "replicator/capture.h"
#include "replicator/copy.h"
#include "replicator/epoch.h"
#include "replicator/link.h"
#include "replicator/outbox.h"
#include "replicator/peer.h"
#include "replicator/primary.h"
#include "replicator/report.h"
#include "replicator/sender.h"
#include "replicator/stats.h"
#include "replicator/status.h"
#include "replicator/wire.h"

/*
 * enum primary_stage - what the protection is at
 *
 * SHELL	The standby has no shell of this session.  Nothing of the
 *		guest is touched the first time; after a resync it runs alone.
 *		Built -> COPY; refused -> LEAVE.
 * COPY		Memory is copied while the guest runs alone: what it puts out
 *		needs no commit.  Its checkpoint is ready -> BOUND.
 * BOUND	Epochs.  Dirty information lost -> ALONE.
 * ALONE	The guest is stopped; the standby is asked to give up its
 *		claim.  Given up -> COPY.
 * END		The session ends; the standby is told, its word awaited if
 *		it is bound.  Acknowledged -> LEAVE.
 * YIELD	The standby took over: stop the guest.  Stopped -> OVER.
 * LEAVE	Gate and tap are being opened.  Done -> OVER.
 * OVER		The outcome is set.
 */
enum primary_stage {
	STAGE_SHELL,
	STAGE_COPY,
	STAGE_BOUND,
	STAGE_ALONE,
	STAGE_END,
	STAGE_YIELD,
	STAGE_LEAVE,
	STAGE_OVER,
};

struct primary {
	struct platform *platform;
	struct gate *gate;
	struct outbox *outbox;
	struct primary_config cfg;
	const struct report *report;
	struct platform_info info;
	enum primary_stage stage;
	enum primary_outcome outcome;	/* LEAVE: what it will be */

	struct outbox_facts facts;	/* as stored; by store_facts() */
	struct epoch epoch;
	struct peer peer;
	bool ready;		/* the standby is in step with us: copy or
				 * checkpoints may be sent */
	bool standby_has_shell;
	bool enabled;		/* the tap is on */
	bool gate_shut;		/* it was, or may have been */
	bool rings_known;	/* ... to be behind it, all of them */
	bool given_up;		/* ending: it is not that guest any more */
	unsigned int rings, fenced;
	bool gone;		/* the domain is */
	bool resuming;		/* RESUME of this connection is out */
	bool asked;		/* END or ALONE of this connection is out */
	uint64_t nonce;		/* of ALONE */

	struct recbuf shell;	/* describe()'s records */
	uint64_t shell_sent;
	bool shell_out;		/* all of it is sent on this connection */

	struct copy *copy;
	bool copying;		/* the copy has been started */
	bool copy_last;		/* the guest stays stopped: its last round */
	bool copy_ended;	/* COPY_END is out */
	uint64_t copy_before;	/* pages left after the round before */
	struct copy_progress progress;
	uint64_t said_at;	/* when progress was reported */

	struct capture *capture;
	struct sender *sender;
	bool sending;		/* the sender was started on this connection */
	uint32_t cause;		/* enum wire_cause: an epoch is to end; 0 no */

	uint64_t went_at;	/* guest last let run */
	uint64_t stopped_at;
	uint64_t busy_since;	/* xenstore, 0 not */
	uint64_t busy_until;	/* let the guest run till then */
	uint64_t drain_since;	/* 0: not draining */
	uint64_t retry_at;	/* a stage failed: not before; 0 none */
	uint64_t retry_delay;
	uint64_t wake;		/* next deadline of the stages */

	char trouble[STATUS_REASON_MAX];	/* "" none */
	char trouble_text[STATUS_DETAIL_MAX];
	struct stats stats;
};

/* --- primary_guest.c: 0, or -1 after a note of when to try again ---------- */

uint64_t primary_now(const struct primary *p);

/** primary_store() - p->facts -> outbox */
void primary_store(struct primary *p);

/** primary_trouble() - Note and report what keeps it from going on; the same
 *			@id again is not reported again */
void primary_trouble(struct primary *p, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** primary_fine() - That trouble is over */
void primary_fine(struct primary *p, const char *id);

/** primary_wake() - The stages have something to do at @at */
void primary_wake(struct primary *p, uint64_t at);

/** primary_stumble() - The stage failed: come again later.  Always -1 */
int primary_stumble(struct primary *p, const char *what, const char *why);
int primary_stumble_platform(struct primary *p, const char *what);

/** primary_recovered() - The stage went well: forget what was before */
void primary_recovered(struct primary *p);

/** primary_halt() - Stop the guest; idempotent */
int primary_halt(struct primary *p);

/** primary_run_on() - Let it go on; idempotent */
int primary_run_on(struct primary *p);

/** primary_capture() - Go on with the capture for p->cause.  0 whole or torn,
 *			1 to be put off, -1 */
int primary_capture(struct primary *p);

/** primary_put_off() - Xenstore is busy: let the guest run for a little */
void primary_put_off(struct primary *p);

/** primary_release() - Let out the captured epoch's output */
int primary_release(struct primary *p);

/** primary_drain() - Have its consumers read it?  0, or 1 not yet, -1 */
int primary_drain(struct primary *p);

/** primary_let_out() - Alone: let out what is held, then let the guest go.
 *			0 it runs; -1 failed or not drained yet */
int primary_let_out(struct primary *p);

/* --- primary_gate.c ------------------------------------------------------- */

/** primary_shut_gate(), primary_open_gate() - 0, or -1 as above */
int primary_shut_gate(struct primary *p);
int primary_open_gate(struct primary *p);

/** primary_take_gate() - Do requests wait?  Then p->cause says so.  0, -1 */
int primary_take_gate(struct primary *p);

/** primary_spare() - A stopped guest, its epoch due for what is held: if none
 *		     of that is output, let it leave and the guest run on.  1
 *		     it does, 0 not so: go on with the epoch */
int primary_spare(struct primary *p);

/** primary_know_rings() - Once protected: are its rings behind the gate, and
 *			   those of facts.rings?  0, -1 also if that ended it */
int primary_know_rings(struct primary *p);

/** primary_give_up() - The guest is not what its standby was made for: the
 *			protection ends as by unprotect, with outcome REFUSED */
void primary_give_up(struct primary *p, const char *why);

/* --- primary_copy.c ------------------------------------------------------- */

/** primary_copy_cycle() - STAGE_COPY, the standby being ready */
void primary_copy_cycle(struct primary *p);

/* --- primary.c ------------------------------------------------------------- */

/** primary_end() - The session ends: the standby is to be told */
void primary_end(struct primary *p, enum wire_reason reason);

/** primary_shutdown_reason() - Of a held shutdown */
enum wire_reason primary_shutdown_reason(const struct platform_query *q);

/** primary_start_sending() - The outbox's checkpoint, from its beginning */
int primary_start_sending(struct primary *p);

/* What happened, told by primary_peer.c. */

/** primary_granted() - No standby has a claim: alone from here on */
void primary_granted(struct primary *p);

/** primary_built() - The shell is built; @room pages fit its staging */
void primary_built(struct primary *p, uint64_t room);

/** primary_committed() - The checkpoint in flight is committed */
void primary_committed(struct primary *p);

/** primary_leave() - Let go of the guest; the outcome will be @o */
void primary_leave(struct primary *p, enum primary_outcome o);

/** primary_yield() - The standby took over */
void primary_yield(struct primary *p, const char *why);

/* --- primary_peer.c ------------------------------------------------------ */

/** primary_greet() - Send HELLO */
void primary_greet(struct primary *p);

/** primary_hear() - Act on one message that passed wire_check() */
void primary_hear(struct primary *p, int type, const void *bytes, size_t len);

/** primary_break() - The peer broke the rules: ERROR, and report */
void primary_break(struct primary *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
