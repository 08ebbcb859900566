/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secondary_int.h - inside the secondary's conductor; for secondary*.c only
 *
 * secondary.c	     entry points, the order of stages, the take-over
 * secondary_peer.c  what the primary says, and what follows from it
 * secondary_view.c  status for people
 */
#ifndef KEMARI_SECONDARY_INT_H
#define KEMARI_SECONDARY_INT_H

#include "libxc-ext/platform.h"
#include "replicator/apply.h"
#include "replicator/link.h"
#include "replicator/peer.h"
#include "replicator/receive.h"
#include "replicator/report.h"
#include "replicator/secondary.h"
#include "replicator/staging.h"
#include "replicator/status.h"
#include "replicator/wire.h"

/*
 * enum secondary_stage - what the session is at; staging's phase says what is
 * held and survives this process, the stage says what is done about it
 *
 * IDLE		Nothing is held.  Shell built -> HELD.
 * HELD		A shell; eligible once staging is PAIRED.  Link lost: eligible
 *		-> SUSPECT, else after ABANDON -> DROP.
 * SUSPECT	Eligible, without a word from the primary.  Its HELLO -> HELD;
 *		grace over and a fence there -> FENCE; operator -> TAKE.
 * FENCE	The fence runs: no primary is heard.  Failed -> SUSPECT, done
 *		-> TAKE.
 * TAKE		Decided, for good (staging: TAKING): apply, load, activate.
 *		Done -> TAKEN.
 * TAKEN	The guest runs here; a primary that comes is told so.
 * DROP		The claim is given up: END_ACK, if the primary asked for it;
 *		then the shell is being destroyed.  -> OVER.
 * OVER		The outcome is set.
 */
enum secondary_stage {
	STAGE_IDLE,
	STAGE_HELD,
	STAGE_SUSPECT,
	STAGE_FENCE,
	STAGE_TAKE,
	STAGE_TAKEN,
	STAGE_DROP,
	STAGE_OVER,
};

struct secondary {
	struct platform *platform;
	struct staging *staging;
	struct secondary_config cfg;
	const struct report *report;
	enum secondary_stage stage;
	enum secondary_outcome outcome;	/* DROP: what it will be */

	struct peer peer;
	struct wire_hello primary;	/* of this connection */
	bool ours;		/* it has the session that is held */
	bool in_step;		/* RESUME, or a commit, on this connection */
	bool ack_due;
	bool fresh_commit;	/* since the last look at the link */
	bool forced;		/* an operator ordered the take-over */
	bool end_ack_due;	/* DROP: the primary waits for it */
	bool destroyed;		/* DROP: the shell is gone */
	uint64_t serve_by;	/* TAKEN: its devices should work; 0: they do,
				 * or it is not for us to see */
	uint32_t end_reason;	/* enum wire_reason */

	struct platform_info info;	/* of the standby; .name[0] 0: none */
	struct receive *receive;
	struct apply apply;
	uint64_t checkpoints;	/* committed in this life */

	uint64_t alone_at;	/* when the link was lost */
	uint64_t fence_at;	/* next attempt, not before */
	uint64_t linger_at;	/* DROP: do not wait longer for the link's end */
	uint64_t retry_at;	/* a step failed: not before; 0 none */
	uint64_t retry_delay;
	uint64_t wake;		/* next deadline of the stages */

	char trouble[STATUS_REASON_MAX];	/* "" none */
	char trouble_text[STATUS_DETAIL_MAX];
};

/* --- secondary.c ---------------------------------------------------------- */

uint64_t secondary_now(const struct secondary *s);

/** secondary_trouble() - Note and report; the same @id is said once */
void secondary_trouble(struct secondary *s, const char *id,
		       const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** secondary_fine() - No trouble any more */
void secondary_fine(struct secondary *s);

/** secondary_drop() - Give up the claim, destroy the shell, end with @o */
void secondary_drop(struct secondary *s, enum secondary_outcome o);

/** secondary_apply_all() - Apply what is committed.  0, or -1 after a report */
int secondary_apply_all(struct secondary *s);

/* --- secondary_peer.c ------------------------------------------------------- */

/** secondary_hear() - Act on one message that passed wire_check() */
void secondary_hear(struct secondary *s, int type, const void *bytes,
		    size_t len);

/** secondary_break() - The peer broke the rules, or cannot be served: ERROR */
void secondary_break(struct secondary *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** secondary_say_ack() - Send the ACK that is due */
void secondary_say_ack(struct secondary *s);

/** secondary_say_end_ack() - Send the END_ACK that is due */
void secondary_say_end_ack(struct secondary *s);

#endif
