/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.pml - the replication link, and what is forgotten with it
 *
 * In order and whole until it breaks; each end notices that in its own time
 * and can read until then what had come.
 */
inline say(h, what, arg)
{
	if
	:: conn[other(h)] -> box[other(h)]!what, arg
	:: else
	fi
}

inline hang_up(h)
{
	conn[h] = false;
	ready[h] = false;
	copying[h] = false;
	sent[h] = false;
	if
	:: nempty(box[h]) -> box[h]?_, _
	:: empty(box[h])
	fi;
	if
	:: nempty(box[h]) -> box[h]?_, _
	:: empty(box[h])
	fi
}

inline clear_primary(h)
{
	bound[h] = false;
	flight[h] = NONE;
	stopped[h] = true;
	first[h] = false;
	written[h] = false;
	copying[h] = false;
	sent[h] = false;
	ending[h] = false;
	end_sent[h] = false;
	forget_cas(h)
}

inline power_off(h)
{
	off[h] = true;
	frozen[h] = false;
	hang_up(h);
	leave_cas(h);
	clear_primary(h);
	stopped[h] = false;
	stage[h] = S_IDLE;
	phase[h] = EMPTY;
	committed[h] = 0;
	epoch[h] = 0;
	gen[h] = 0;
	fence_begun[h] = false
}
