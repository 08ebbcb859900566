/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faults.pml - what goes wrong, each at a price, and what comes back by itself
 */
#ifdef ARBITER
#define can_go_on(h)	((rec_owner == (h) && (is_primary(h) || \
			  stage[h] == P_OVER || phase[h] == PAIRED || \
			  phase[h] == TAKING)) || \
			 (rec_owner != (h) && rec_paired && phase[h] == PAIRED))
#else
#define can_go_on(h)	(is_primary(h) || phase[h] == PAIRED || \
			 phase[h] == TAKING)
#endif
#ifdef FOR_GOOD
#define survives(h)	(up(h) && can_go_on(h))
#else
#define survives(h)	can_go_on(h)
#endif
/* Asked for and not answered: it may be granted, and the one who asked is gone.
 * So is a guest of which the operator has ended the protection. */
#ifdef ARBITER
#define asks(h)		(cas[h] != NO || late[h] != NO || stage[h] == P_END)
#else
#define asks(h)		(stage[h] == P_ALONE || stage[h] == P_END)
#endif

inline break_link(h)
{
	breaks--;
	hang_up(h);
	printf("%c: the connection breaks\n", name(h))
}

inline crash(h)
{
	crashes--;
	lost = lost || asks(h);
	power_off(h);
	lost = lost || !survives(other(h));
	printf("%c: power cut\n", name(h))
}

inline freeze(h)
{
	freezes--;
	frozen[h] = true;
#ifdef FOR_GOOD
	lost = lost || asks(h) || !survives(other(h));
#endif
	printf("%c: stands still\n", name(h))
}

inline give_up_waiting(h)
{
	unknowns--;
	if
	:: answer[h] == SENT ->
		late[h] = cas[h];
		late_base[h] = base[h];
		printf("%c: %e gets no answer in time\n", name(h), cas[h])
	:: else -> printf("%c: the answer to %e is lost\n", name(h), cas[h])
	fi;
	answer[h] = UNKNOWN
}

/* A killed controller goes on from what is stored. */
inline restart(h)
{
	restarts--;
	hang_up(h);
	leave_cas(h);
	written[h] = false;
	if
	:: (stage[h] == S_CLAIM && !is(CLAIM_FORGOTTEN)) ||
	   (stage[h] == S_BACK && !is(BACK_FORGOTTEN)) ->
		if
		:: cas[h] != NO -> answer[h] = UNKNOWN
		:: else
		fi
	:: else ->
		forget_cas(h);
		if
#ifdef ARBITER
		:: stage[h] == S_FENCE && !is(CLAIM_FORGOTTEN)
#endif
		:: stage[h] == S_CLAIM || stage[h] == S_FENCE ||
		   stage[h] == S_BACK -> stage[h] = S_SUSPECT
		:: else
		fi
	fi;
	printf("%c: the controller is killed\n", name(h))
}

/* A write that was sent takes effect, or is refused. */
inline land(h)
{
	old[h] = false;
	if
	:: fenced[h] -> hurt[h] = true
	:: else -> must(OLD_WRITE, owner == h)
	fi
}

proctype faults(bit h)
{
end:	do
	:: d_step { breaks && conn[h] -> break_link(h) }
	:: d_step { up(h) && conn[h] && (!conn[other(h)] || frozen[other(h)]) ->
		hang_up(h) }
	:: d_step { crashes && up(h) -> crash(h) }
	:: d_step { freezes && up(h) -> freeze(h) }
#ifndef FOR_GOOD
	:: d_step { off[h] -> off[h] = false }
	:: d_step { frozen[h] -> frozen[h] = false }
#endif
	:: d_step { restarts && up(h) && late[h] == NO -> restart(h) }
	:: d_step { unknowns && cas[h] != NO && answer[h] != UNKNOWN &&
		late[h] == NO -> give_up_waiting(h) }
	:: d_step { old[h] -> land(h) }
	/* Let in again by hand, once nothing of the old guest is left. */
	:: d_step { fenced[h] && up(h) && ((stage[h] == S_IDLE && !old[h]) ||
		is(LET_IN_EARLY)) -> fenced[h] = false }
	od
}
