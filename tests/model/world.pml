/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * world.pml - names, state and ghosts: what the hosts, the storage and the
 * arbiter are, and what must be true of them (docs/MODEL.md)
 *
 * Two hosts, each of which can be primary or secondary.  A host that does
 * nothing for a while is slow, frozen or cut off: there are no clocks, so that
 * any step may be late, and cut, heal, freeze and thaw need no step of their
 * own.  What else can go wrong costs one of a number of faults.
 */
#define other(h) (1 - (h))
#define name(h) ('a' + (h))

/* What an engine may do wrong: is(X) in the model, described in table.txt. */
#define NO_COMMIT		1
#define BOUND_LATE		2
#define NO_ALONE		3
#define BEFORE_ANSWER		4
#define ALONE_IS_READ		5
#define UNCHANGED_IS_LOST	6
#define UNKNOWN_IS_WON		7
#define UNKNOWN_IS_LOST		8
#define NOT_PAIRED		9
#define HEARD_IN_CLAIM		10
#define CLAIM_FORGOTTEN		11
#define NO_FENCE		12
#define LEASE			13
#define LET_IN_EARLY		14
#define BACK_AFTER_FENCE	15
#define BACK_FORGOTTEN		16
#define DESTROYED_EARLY		17
#define NOTHING_IS_ENDED	18
#define HALF_FENCE		19
#define FORCED			20
#ifndef MUTATION
#define MUTATION 0
#endif
#define is(m) (MUTATION == m)

/* Properties (docs/MODEL.md), and what must be possible in a model that is
 * worth anything. */
mtype = { OUTPUT_RULE, PREFIX, TWO_RUNNERS, STALE_STANDBY, OLD_WRITE,
	STORAGE_OF_OWNER, GOES_ON,
	TAKEN_OVER, TAKEN_BACK, PAIRED_AGAIN, GIVEN_BACK, LATE_OUTPUT };

#ifdef ONLY		/* this property is looked at, or: this is reached */
#define looked_at(property) (property == ONLY)
#define reached(place) (place == ONLY)
#else
#define looked_at(property) true
#define reached(place) false
#endif

#define must(property, condition) \
	if \
	:: looked_at(property) && !(condition) -> \
		printf("VIOLATED: %e\n", property); \
		assert(false) \
	:: else \
	fi
#define mark(place) \
	if \
	:: reached(place) -> \
		printf("REACHED: %e\n", place); \
		assert(false) \
	:: else \
	fi

/* Faults that are left; the table of configurations sets them. */
#ifndef BREAKS
#define BREAKS 1		/* connections that break, for no reason */
#endif
#ifndef FREEZES
#define FREEZES 0		/* hosts that stand still, and are missed */
#endif
#ifndef CRASHES
#define CRASHES 0		/* power cuts */
#endif
#ifndef UNKNOWNS
#define UNKNOWNS 0		/* CAS without an answer */
#endif
#ifndef RESTARTS
#define RESTARTS 0		/* killed controllers */
#endif
#ifndef TEARS
#define TEARS 0			/* lost dirty information */
#endif
#ifndef ENDS
#define ENDS 0			/* kemari unprotect */
#endif
#ifndef BROKEN
#define BROKEN 0		/* a winner that cannot activate */
#endif
#ifndef FAILED
#define FAILED 0		/* fence hooks that fail */
#endif
#ifndef EPOCHS
#define EPOCHS 3		/* with output */
#endif

byte breaks = BREAKS, freezes = FREEZES, crashes = CRASHES, unknowns = UNKNOWNS,
	restarts = RESTARTS, tears = TEARS, ends = ENDS, broken = BROKEN,
	failed = FAILED;

/*
 * STAGE_x of secondary_int.h (S_) and of primary_int.h (P_).  TAKEN is the
 * P_COPY of a new generation: a guest that runs alone and may be protected.
 * P_OVER: superseded, the guest stays stopped.  With an arbiter there are also
 * S_CLAIM	its answer to TAKE is awaited: no primary is heard
 * S_BACK	its answer to BACK is awaited: the verdict is given back
 */
mtype:stage = { S_IDLE, S_HELD, S_SUSPECT, S_CLAIM, S_FENCE, S_TAKE, S_BACK,
	P_COPY, P_BOUND, P_ALONE, P_END, P_LEAVE, P_OVER };
mtype:phase = { EMPTY, SHELL, COPYING, PAIRED, TAKING };	/* STAGING_x */
mtype:flight = { NONE, WHOLE, COMMITTED };			/* EPOCH_x */
mtype = { HELLO_NOTHING, HELLO_SHELL, HELLO_ELIGIBLE, HELLO_OVER,
	COPY, CKPT, ACK, M_ALONE, ALONE_ACK, END, END_ACK };
mtype:cas = { NO, PAIR, ALONE, TAKE, BACK };
mtype:answer = { SENT, WON, LOST, UNKNOWN };

mtype:stage stage[2];
bool off[2];			/* no power */
bool frozen[2];
#define up(h)		(!off[h] && !frozen[h])
byte gen[2];

/* Primary. */
bool bound[2];			/* facts.bound: a standby may be eligible */
bool stopped[2];		/* the guest */
bool first[2];			/* the first checkpoint is not acknowledged */
bool written[2];		/* the record is known to say paired */
bool ready[2];			/* the standby is in step */
bool copying[2];		/* COPY was sent on this connection */
bool sent[2];			/* the checkpoint was, or END, or ALONE */
bool ending[2];			/* facts.ending */
bool end_sent[2];
mtype:flight flight[2];
byte epoch[2];			/* running, or captured and in flight */

/* Secondary; survives its process. */
mtype:phase phase[2];
byte committed[2];

/* The replication link: one connection, an inbox for each end. */
#ifdef FOR_GOOD			/* nothing comes back by itself */
#define cut		(breaks < BREAKS)
#else
#define cut		false
#endif
bool conn[2];
chan box[2] = [2] of { mtype, byte };

/* Storage. */
bool old[2];			/* a write of this host is on its way */
bool fenced[2];
bool fence_begun[2];		/* by this host, in this take-over */

/* The arbiter's record; rev: how often it was changed. */
byte rec_gen = 1, rec_rev;
bit rec_owner;
bool rec_paired;
bit rec_by;			/* rec_by, rec_kind, rec_rev: the nonce */
mtype:cas rec_kind = NO;

/* A host's CAS, and one that it has given up waiting for. */
mtype:cas cas[2], late[2];
byte base[2], late_base[2];
mtype:answer answer[2];

/* Ghosts: seen by the checks only. */
bit owner;			/* whose guest's output the world believes */
byte from;			/* ... since this checkpoint */
byte out;			/* last epoch of which output left */
byte known[2];			/* last one that this host's standby has */
bool hurt[2];			/* the guest has lost a write to the fence */
bool lost;			/* more has failed than Kemari survives */

#define is_primary(h)	(stage[h] == P_COPY || stage[h] == P_BOUND || \
			 stage[h] == P_ALONE || stage[h] == P_END || \
			 stage[h] == P_LEAVE)
#define runs_alone(h)	(stage[h] == P_COPY || stage[h] == P_LEAVE)

#ifdef ARBITER
#define nobody_claims(h) (rec_owner == (h) && !rec_paired)
#define lawful(h)	(owner == (h) && rec_owner == (h))
#else
#define nobody_claims(h) (phase[other(h)] != PAIRED && \
			  phase[other(h)] != TAKING)
#define lawful(h)	(owner == (h) && phase[other(h)] != TAKING)
#endif

/* Output of the epoch leaves, a write among it. */
inline let_out(h)
{
	if
	:: !bound[h] ->
		must(OUTPUT_RULE, owner == h && nobody_claims(h))
	:: bound[h] ->
		must(OUTPUT_RULE, epoch[h] <= known[h])
	fi;
	if
	:: owner == h ->
		out = epoch[h];
		/* An owner's guest is not let down by its own storage. */
		must(STORAGE_OF_OWNER, !lawful(h) || (!fenced[h] && !hurt[h]))
	:: else ->
		/* Late, after a freeze: a prefix of what the other knows. */
		must(PREFIX, epoch[h] <= from);
		mark(LATE_OUTPUT)
	fi;
	old[h] = true;
	printf("%c: output of epoch %d leaves\n", name(h), epoch[h])
}

inline activate(h)
{
	must(STALE_STANDBY, committed[h] >= out);
	must(TWO_RUNNERS, !runs_alone(other(h)));
	mark(TAKEN_OVER);
	if
	:: h == 0 -> mark(TAKEN_BACK)
	:: else
	fi;
	owner = h;
	from = committed[h];
	known[h] = 0;
	hurt[h] = false;
	gen[h]++;
	epoch[h] = committed[h] + 1;
	printf("%c: takes over from epoch %d, generation %d\n", name(h),
		committed[h], gen[h])
}
