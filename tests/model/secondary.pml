/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secondary.pml - the host that holds the standby: secondary*.c, staging.c
 */

inline hear_primary(h)
{
	if
	:: box[h]?[COPY, _] ->
		box[h]?COPY, n;
		stage[h] = S_HELD;
		phase[h] = COPYING;
		gen[h] = gen[other(h)];
		committed[h] = 0
	:: box[h]?[CKPT, _] ->
		box[h]?CKPT, n;
		if
		:: phase[h] == COPYING || phase[h] == PAIRED ->
			phase[h] = PAIRED;
			committed[h] = n;
			known[other(h)] = n;
			say(h, ACK, n);
			printf("%c: epoch %d is committed\n", name(h), n)
		:: else
		fi
	:: box[h]?[M_ALONE, _] ->
		box[h]?M_ALONE, n;
		phase[h] = SHELL;
		say(h, ALONE_ACK, 0)
	:: box[h]?[END, _] ->
		box[h]?END, n;
		phase[h] = EMPTY;
		stage[h] = S_IDLE;
		committed[h] = 0;
		say(h, END_ACK, 0)
	fi;
	n = 0
}

/* The storage shuts the other host out: what it has sent is done by now, or
 * never. */
inline shut_out(h)
{
	fenced[h] = true;
	if
	:: old[h] -> old[h] = false; hurt[h] = true
	:: else
	fi
}

inline fence_done(h)
{
	stage[h] = S_TAKE;
	phase[h] = TAKING;
	fence_begun[h] = true
}

inline dropped(h)
{
	stage[h] = S_IDLE;
	phase[h] = EMPTY;
	committed[h] = 0;
	gen[h] = 0;
	fence_begun[h] = false
}

proctype secondary(bit h)
{
	byte n;

end:	do
	/* A shell opens the disk: a host that is shut out has none. */
	:: d_step { up(h) && conn[h] && !fenced[h] &&
		(stage[h] == S_IDLE || stage[h] == S_HELD) &&
		(nfull(box[other(h)]) || !conn[other(h)]) &&
		(box[h]?[COPY, _] || box[h]?[CKPT, _] ||
		 box[h]?[M_ALONE, _] || box[h]?[END, _]) ->
		hear_primary(h) }
	:: d_step { up(h) && stage[h] == S_HELD && !conn[h] ->
		if
		:: phase[h] == PAIRED ->
			stage[h] = S_SUSPECT;
			printf("%c: suspects the primary\n", name(h))
		:: else -> dropped(h)
		fi }
#ifdef ARBITER
	/* After the grace. */
	:: d_step { up(h) && stage[h] == S_SUSPECT &&
		rec_owner == other(h) && rec_gen == gen[h] &&
		(rec_paired || is(NOT_PAIRED)) ->
		stage[h] = S_CLAIM;
		ask(h, TAKE) }
	:: d_step { up(h) && stage[h] == S_CLAIM && answered(h) ->
		if
		:: answer[h] == WON ||
		   (is(UNKNOWN_IS_WON) && answer[h] == UNKNOWN) ->
			forget_cas(h);
			stage[h] = S_FENCE
		:: else ->
			if
			:: is(UNKNOWN_IS_LOST) && answer[h] == UNKNOWN ->
				dropped(h);
				forget_cas(h)
			:: mine(h) -> stage[h] = S_FENCE; forget_cas(h)
			:: unchanged(h) && !is(UNCHANGED_IS_LOST) ->
				answer[h] = SENT
			:: else -> stage[h] = S_SUSPECT; forget_cas(h)
			fi
		fi }
	/* A request that was left, or a controller that was killed. */
	:: d_step { up(h) && stage[h] == S_SUSPECT && rec_owner == h ->
		stage[h] = S_FENCE }

	/* A lease is over, and the primary has kept to it. */
	:: d_step { up(h) && stage[h] == S_FENCE && (!is(LEASE) ||
		off[other(h)] || stopped[other(h)]) ->
		if
		:: is(NO_FENCE) || is(LEASE)
		:: else ->
			shut_out(other(h));
			printf("%c: the storage has shut %c out\n", name(h),
				name(other(h)))
		fi;
		fence_done(h) }
	:: d_step { failed && up(h) && stage[h] == S_FENCE ->
		failed--;
		fence_begun[h] = true;
		shut_out(other(h));
		printf("%c: the fence failed half-way\n", name(h)) }
	/* It cannot activate, and knows it before anything was fenced. */
	:: d_step { broken && up(h) && !fence_begun[h] &&
		stage[h] == S_FENCE ->
		broken--;
		stage[h] = S_BACK;
		ask(h, BACK) }
	:: d_step { is(BACK_AFTER_FENCE) && broken && up(h) &&
		stage[h] == S_TAKE ->
		broken--;
		stage[h] = S_BACK;
		ask(h, BACK) }
	:: d_step { up(h) && stage[h] == S_BACK && idle(h) ->
		if
		:: rec_owner == h -> ask(h, BACK)
		:: else -> dropped(h)
		fi }
	:: d_step { up(h) && stage[h] == S_BACK && answered(h) ->
		if
		:: answer[h] == WON || mine(h) -> dropped(h); forget_cas(h)
		:: else ->
			if
			:: unchanged(h) -> answer[h] = SENT
			:: else -> forget_cas(h)
			fi
		fi }
#else
	:: d_step { up(h) && stage[h] == S_SUSPECT -> stage[h] = S_FENCE }
	/* Exit status 0: the other host can do nothing any more. */
	:: d_step { up(h) && stage[h] == S_FENCE ->
		if
		:: is(NO_FENCE)
		:: else ->
			shut_out(other(h));
			power_off(other(h))
		fi;
		fence_done(h);
		printf("%c: %c is fenced\n", name(h), name(other(h))) }
	:: d_step { failed && up(h) && stage[h] == S_FENCE ->
		failed--;
		stage[h] = S_SUSPECT;
		printf("%c: the fence failed\n", name(h)) }
	:: d_step { is(HALF_FENCE) && failed && up(h) &&
		stage[h] == S_FENCE ->
		failed--;
		shut_out(other(h));
		stage[h] = S_SUSPECT;
		printf("%c: the fence failed half-way\n", name(h)) }
	/* The operator, who knows: failover --force. */
	:: d_step { up(h) && stage[h] == S_SUSPECT && !old[other(h)] &&
		(off[other(h)] || stage[other(h)] == S_IDLE) ->
		fence_done(h) }
	/* ... who is not asked what is on its way to the storage. */
	:: d_step { (is(FORCED) || is(NOTHING_IS_ENDED)) && up(h) &&
		stage[h] == S_HELD && conn[h] &&
		phase[h] == PAIRED && nfull(box[other(h)]) ->
		say(h, HELLO_OVER, 0);
		stage[h] = S_CLAIM;
		printf("%c: kemari failover --force\n", name(h)) }
	:: d_step { (is(FORCED) || is(NOTHING_IS_ENDED)) && up(h) &&
		stage[h] == S_CLAIM && !conn[h] ->
		fence_done(h) }
#endif
	:: d_step { up(h) && stage[h] == S_TAKE && !fenced[h] ->
		activate(h);
		stage[h] = P_COPY;
		stopped[h] = false;
		phase[h] = EMPTY;
		committed[h] = 0;
		fence_begun[h] = false;
		hang_up(h) }
	od
}
