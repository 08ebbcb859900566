/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * takeover.pml - the take-over protocol, whole; see docs/MODEL.md
 *
 *	tests/model/run.sh		checks table.txt's rows
 *	tests/model/run.sh NAME...	some of them
 */
#include "world.pml"
#include "link.pml"
#include "arbiter.pml"
#include "primary.pml"
#include "secondary.pml"
#include "faults.pml"

#define runs(h)	(up(h) && lawful(h) && (runs_alone(h) || \
		 (stage[h] == P_BOUND && !stopped[h])))

/* Nothing happens any more: whatever was cut, frozen or dead is back. */
proctype watch()
{
end:	timeout -> must(GOES_ON, lost || runs(0) || runs(1))
}

init
{
	d_step {
		stage[0] = P_COPY;
		stage[1] = S_IDLE;
		gen[0] = 1;
		epoch[0] = 1;
		phase[0] = EMPTY;
		phase[1] = EMPTY;
		flight[0] = NONE;
		flight[1] = NONE;
		cas[0] = NO; cas[1] = NO;
		late[0] = NO; late[1] = NO;
		answer[0] = SENT; answer[1] = SENT
	};
	atomic {
		run primary(0);
		run primary(1);
		run secondary(0);
		run secondary(1);
#ifdef ARBITER
		run arbiter(0);
		run arbiter(1);
#endif
		run faults(0);
		run faults(1);
		run watch()
	}
}
