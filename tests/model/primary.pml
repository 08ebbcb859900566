/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary.pml - the host that runs the guest: primary*.c, epoch.c
 *
 * is(X): what an engine does that table.txt weakens by X.
 */

/* EPOCH_GRANT: no standby has a claim. */
inline granted(h)
{
	must(TWO_RUNNERS, !runs_alone(other(h)));
	stage[h] = (ending[h] -> P_LEAVE : P_COPY);
	clear_primary(h);
	stopped[h] = false;
#ifdef ARBITER
	gen[h] = rec_gen;
#endif
	printf("%c: goes on alone\n", name(h))
}

inline superseded(h)
{
	stage[h] = P_OVER;
	clear_primary(h);
	hang_up(h);
	printf("%c: superseded, the guest stays stopped\n", name(h))
}

/* EPOCH_BIND: stored before the end of the first checkpoint is sent. */
inline bind(h)
{
	stage[h] = P_BOUND;
	bound[h] = true;
	stopped[h] = true;
	flight[h] = WHOLE;
	first[h] = true
}

inline commit(h)
{
	flight[h] = COMMITTED;
	first[h] = false
}

inline hear_hello(h)
{
	if
	:: box[h]?[HELLO_NOTHING, _] ->
		box[h]?HELLO_NOTHING, n;
		if
		:: !bound[h] && stage[h] == P_COPY -> ready[h] = true
		:: !bound[h] && stage[h] == P_END -> granted(h)
#ifdef ARBITER
		:: bound[h] && stage[h] == P_BOUND -> to_alone(h)
#else
		/* END was heard there, and nothing is left of the session. */
		:: bound[h] && stage[h] == P_END && end_sent[h] -> granted(h)
#endif
		:: else			/* standby-lost */
		fi
	:: box[h]?[HELLO_SHELL, _] ->
		box[h]?HELLO_SHELL, n;
		if
#ifdef ARBITER
		:: stage[h] == P_BOUND -> to_alone(h)
#else
		:: bound[h] && stage[h] != P_END -> granted(h)
#endif
		:: else
		fi;
		ready[h] = true
	:: box[h]?[HELLO_ELIGIBLE, _] ->
		box[h]?HELLO_ELIGIBLE, n;
		if
		:: stage[h] != P_BOUND || n + 1 == epoch[h] -> ready[h] = true
		:: stage[h] == P_BOUND && n == epoch[h] &&
		   flight[h] != NONE ->
			commit(h);	/* RESUME, and its ACK */
			ready[h] = true
		:: else			/* standby-differs */
#ifdef ARBITER
			-> to_alone(h)
#endif
		fi
	:: box[h]?[HELLO_OVER, _] ->
		box[h]?HELLO_OVER, n;
		must(TWO_RUNNERS, !runs_alone(h));
		superseded(h)
	fi;
	n = 0
}

inline hear_answers(h)
{
	if
	:: box[h]?[ACK, _] ->
		box[h]?ACK, n;
		if
		:: stage[h] == P_BOUND && flight[h] == WHOLE &&
		   n == epoch[h] -> commit(h)
		:: is(BOUND_LATE) && stage[h] == P_COPY && n == epoch[h] ->
			bind(h);
			commit(h)
		:: else
		fi
	:: box[h]?[ALONE_ACK, _] ->
		box[h]?ALONE_ACK, n;
		if
		:: stage[h] == P_ALONE -> granted(h); ready[h] = true
		:: else
		fi
	:: box[h]?[END_ACK, _] ->
		box[h]?END_ACK, n;
		if
		:: stage[h] == P_END -> granted(h)
		:: else
		fi
	fi;
	n = 0
}

/* The guest is stopped; the right to go on alone is asked for. */
inline to_alone(h)
{
	leave_cas(h);
	forget_cas(h);
	stopped[h] = true;
	sent[h] = false;
	stage[h] = P_ALONE;
	printf("%c: the guest is stopped, to go on alone is asked for\n",
		name(h))
}

inline to_end(h)
{
	leave_cas(h);
	forget_cas(h);
	stopped[h] = true;
	sent[h] = false;
	ending[h] = true;
	stage[h] = P_END;
	printf("%c: kemari unprotect\n", name(h))
}

/* Connected, and the standby says what it holds; it is no suspect any more. */
inline connect(h)
{
	printf("%c: connects\n", name(h));
	conn[0] = true;
	conn[1] = true;
	if
	:: stage[other(h)] == S_TAKE -> box[h]!HELLO_OVER, 0
	:: stage[other(h)] != S_TAKE && phase[other(h)] == PAIRED ->
		stage[other(h)] = S_HELD;
		box[h]!HELLO_ELIGIBLE, committed[other(h)]
	:: phase[other(h)] == SHELL || phase[other(h)] == COPYING ->
		box[h]!HELLO_SHELL, 0
	:: phase[other(h)] == EMPTY -> box[h]!HELLO_NOTHING, 0
	fi
}

#define listens(h)	(stage[h] == S_IDLE || stage[h] == S_HELD || \
			 stage[h] == S_SUSPECT || stage[h] == S_TAKE || \
			 (is(HEARD_IN_CLAIM) && stage[h] == S_CLAIM))
#define ready_to(h, s)	(up(h) && stage[h] == s && ready[h] && \
			 (nfull(box[other(h)]) || !conn[other(h)]))

/* What the arbiter's answer, or the record itself, says to one who wants to
 * go on alone. */
inline hear_verdict(h)
{
	if
	:: answer[h] == WON || (is(UNKNOWN_IS_WON) && answer[h] == UNKNOWN) ->
		granted(h)
	:: else ->
		if
		:: is(UNKNOWN_IS_LOST) && answer[h] == UNKNOWN -> superseded(h)
		:: mine(h) -> granted(h)
		:: rec_owner != h -> superseded(h)
		:: rec_owner == h && unchanged(h) -> answer[h] = SENT
		:: else -> forget_cas(h)
		fi
	fi
}

proctype primary(bit h)
{
	byte n;

end:	do
	/* Alone: output needs no commit. */
	:: d_step { up(h) && runs_alone(h) && epoch[h] <= EPOCHS ->
		let_out(h);
		epoch[h]++ }
	:: d_step { up(h) && up(other(h)) && is_primary(h) &&
		stage[h] != P_LEAVE && !conn[0] && !conn[1] && !cut &&
		listens(other(h)) ->
		connect(h) }
	:: d_step { up(h) && conn[h] && is_primary(h) &&
		(box[h]?[HELLO_NOTHING, _] || box[h]?[HELLO_SHELL, _] ||
		 box[h]?[HELLO_ELIGIBLE, _] || box[h]?[HELLO_OVER, _]) ->
		hear_hello(h) }
	:: d_step { up(h) && conn[h] && is_primary(h) &&
		(box[h]?[ACK, _] || box[h]?[ALONE_ACK, _] ||
		 box[h]?[END_ACK, _]) ->
		hear_answers(h) }

	/* The copy (ALONE before it, if the standby thinks that it could take
	 * over), then the checkpoint that binds. */
	:: d_step { ready_to(h, P_COPY) && !copying[h] && epoch[h] <= EPOCHS ->
		say(h, COPY, 0);
		copying[h] = true }
	:: d_step { ready_to(h, P_COPY) && copying[h] && !sent[h] &&
		epoch[h] <= EPOCHS ->
		say(h, CKPT, epoch[h]);
		sent[h] = true;
		if
		:: is(BOUND_LATE)	/* by the ACK */
		:: else -> bind(h)
		fi }

	/* Epochs. */
	:: d_step { up(h) && stage[h] == P_BOUND && flight[h] == NONE &&
		epoch[h] <= EPOCHS ->
		stopped[h] = true;
		flight[h] = WHOLE;
		sent[h] = false }
	:: d_step { ready_to(h, P_BOUND) && flight[h] == WHOLE && !sent[h] ->
		say(h, CKPT, epoch[h]);
		sent[h] = true }
	:: d_step { up(h) && stage[h] == P_BOUND && (flight[h] == COMMITTED ||
		(is(NO_COMMIT) && flight[h] == WHOLE && sent[h])) ->
		let_out(h);
		epoch[h]++;
		flight[h] = NONE;
		stopped[h] = false }

	:: d_step { tears && up(h) && stage[h] == P_BOUND &&
		flight[h] == NONE && epoch[h] <= EPOCHS ->
		tears--;
		to_alone(h) }
	:: d_step { ends && up(h) && (stage[h] == P_COPY ||
		stage[h] == P_BOUND || stage[h] == P_ALONE) ->
		ends--;
		to_end(h) }
	/* xl destroy, of a guest that runs elsewhere. */
	:: d_step { up(h) && stage[h] == P_OVER && (owner == other(h) ||
		(is(DESTROYED_EARLY) && rec_owner == other(h))) ->
		stage[h] = S_IDLE;
		stopped[h] = false;
		printf("%c: the stopped guest is destroyed\n", name(h)) }
	/* Its standby runs as an ordinary guest, and says so. */
	:: d_step { up(h) && up(other(h)) && bound[h] && !conn[h] &&
		is_primary(other(h)) && gen[other(h)] > gen[h] ->
		if
		:: is(NOTHING_IS_ENDED) && stage[h] == P_END && end_sent[h] ->
			printf("%c: connects, %c holds nothing any more\n",
				name(h), name(other(h)));
			granted(h)
		:: else ->
			printf("%c: connects, %c has taken over\n", name(h),
				name(other(h)));
			superseded(h)
		fi }

#ifdef ARBITER
	:: d_step { up(h) && stage[h] == P_BOUND && !first[h] &&
		!written[h] && idle(h) && rec_owner == h ->
		if
		:: rec_paired -> written[h] = true
		:: else -> ask(h, PAIR)
		fi }
	:: d_step { up(h) && stage[h] == P_BOUND && answered(h) ->
		if
		:: answer[h] == WON || mine(h) ->
			if
			:: rec_rev > 1 && rec_gen == 1 -> mark(PAIRED_AGAIN)
			:: else
			fi;
			forget_cas(h);
			written[h] = true
		:: else ->
			if
			:: rec_owner != h -> superseded(h)
			:: rec_owner == h && unchanged(h) &&
			   is(UNCHANGED_IS_LOST) && !rec_paired -> granted(h)
			:: rec_owner == h && unchanged(h) &&
			   !is(UNCHANGED_IS_LOST) -> answer[h] = SENT
			:: else -> forget_cas(h)
			fi
		fi }
	:: d_step { up(h) && stage[h] == P_BOUND && !conn[h] -> to_alone(h) }
	:: d_step { up(h) && (stage[h] == P_ALONE || stage[h] == P_END) &&
		idle(h) ->
		if
		:: rec_owner != h -> superseded(h)
		:: rec_owner == h && (is(NO_ALONE) ||
		   (is(ALONE_IS_READ) && !rec_paired)) -> granted(h)
		:: else -> ask(h, ALONE)
		fi }
	:: d_step { up(h) && (stage[h] == P_ALONE || stage[h] == P_END) &&
		answered(h) ->
		hear_verdict(h) }
	:: d_step { is(BEFORE_ANSWER) && up(h) && stage[h] == P_ALONE &&
		cas[h] == ALONE && answer[h] == SENT ->
		leave_cas(h);
		granted(h) }
	/* The winner gave the verdict back. */
	:: d_step { up(h) && stage[h] == P_OVER && rec_owner == h ->
		mark(GIVEN_BACK);
		granted(h) }
	/* The standby is told, too; its word is not what counts. */
	:: d_step { is(NOTHING_IS_ENDED) && ready_to(h, P_END) && !sent[h] ->
		say(h, END, 0);
		printf("%c: sends END\n", name(h));
		end_sent[h] = true;
		sent[h] = true }
#else
	:: d_step { ready_to(h, P_ALONE) && !sent[h] ->
		say(h, M_ALONE, 0);
		sent[h] = true }
	:: d_step { ready_to(h, P_END) && !sent[h] ->
		say(h, END, 0);
		printf("%c: sends END\n", name(h));
		end_sent[h] = true;
		sent[h] = true }
	:: d_step { up(h) && stage[h] == P_END && !conn[h] && !bound[h] ->
		granted(h) }
	/* The operator, who knows: unprotect --force --standby-is-dead. */
	:: d_step { up(h) && bound[h] && !ready[h] && owner == h &&
		(off[other(h)] ||
		 (stage[other(h)] == S_IDLE && empty(box[other(h)]))) ->
		ending[h] = true;
		granted(h) }
#endif
	od
}
