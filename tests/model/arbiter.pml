/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arbiter.pml - the record, its compare-and-set, and how a host asks
 *
 * A request may be done late, after the host has given up waiting, or never.
 * So a record that has not changed says nothing yet: only one that has
 * changed decides.  A host that reads its own nonce has won; one that reads
 * another has lost; one that reads the record it compared with asks again with
 * the same compare and the same nonce, of which at most one can be done.
 */
#define idle(h)		(cas[h] == NO)
#define mine(h)		(rec_by == (h) && rec_kind == cas[h] && \
			 rec_rev == base[h] + 1)
#define unchanged(h)	(rec_rev == base[h])
#define answered(h)	(cas[h] != NO && answer[h] != SENT)

/* In a d_step: request @kind, compared with the record as it is now. */
inline ask(h, kind)
{
	cas[h] = kind;
	base[h] = rec_rev;
	answer[h] = SENT
}

inline forget_cas(h)
{
	cas[h] = NO;
	base[h] = 0;
	answer[h] = SENT
}

/* Nobody waits for it any more; it may be done all the same. */
inline leave_cas(h)
{
	if
	:: cas[h] != NO && answer[h] == SENT && late[h] == NO ->
		late[h] = cas[h];
		late_base[h] = base[h]
	:: else
	fi
}

inline compare_and_set(h, kind, compare, done)
{
	if
	:: compare == rec_rev ->
		rec_rev++;
		rec_by = h;
		rec_kind = kind;
		if
		:: kind == PAIR -> rec_paired = true
		:: kind == ALONE -> rec_paired = false
		:: kind == TAKE ->
			rec_gen++;
			rec_owner = h;
			rec_paired = false
		:: kind == BACK ->
			rec_gen++;
			rec_owner = other(h);
			rec_paired = false
		fi;
		done = true;
		printf("arbiter: %e of %c: generation %d, owner %c, paired %d\n",
			kind, name(h), rec_gen, name(rec_owner), rec_paired)
	:: else ->
		done = false;
		printf("arbiter: %e of %c refused, the record has changed\n",
			kind, name(h))
	fi
}

#ifdef ARBITER
/* What comes from @h. */
proctype arbiter(bit h)
{
	bool done;

end:	do
	:: d_step { cas[h] != NO && answer[h] == SENT ->
		compare_and_set(h, cas[h], base[h], done);
		answer[h] = (done -> WON : LOST);
		done = false }
	:: d_step { late[h] != NO ->
		compare_and_set(h, late[h], late_base[h], done);
		late[h] = NO;
		late_base[h] = 0;
		done = false }
	:: d_step { late[h] != NO -> late[h] = NO; late_base[h] = 0 }
	od
}
#endif
