// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_gate.c - the gate before the backends of the primary's guest
 *
 * Shut before the tap is on, opened before it goes (INV-37).  While it is shut
 * a backend that meets the fence tells: requests wait that no event may have
 * announced, and an epoch is to end.
 */
#include "replicator/eligible.h"
#include "replicator/primary_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { RING_TEXT = PLATFORM_RING_NAME_MAX + 24 };

int primary_shut_gate(struct primary *p)
{
	/* Even one that says EBUSY is shut. */
	p->gate_shut = true;
	if (!p->gate->ops->shut(p->gate, p->facts.generation))
		return 0;
	return primary_stumble(p, "shut gate", errno == EBUSY ?
			       "a backend has not finished what it began before" :
			       strerror(errno));
}

int primary_open_gate(struct primary *p)
{
	if (!p->gate_shut)
		return 0;
	if (p->gate->ops->open(p->gate, p->facts.generation))
		return primary_stumble(p, "open gate", strerror(errno));
	p->gate_shut = false;
	return 0;
}

/*
 * A gate that cannot tell counts as one that tells: better an epoch too many
 * than output that waits for ever.  What a stopped guest has asked for is in
 * the checkpoint under way.  INV-37
 */
int primary_take_gate(struct primary *p)
{
	int r;

	if (!p->gate_shut)
		return 0;
	r = p->gate->ops->waiting(p->gate);
	if (r && !p->cause &&
	    !(p->epoch.stopped && p->epoch.flight != EPOCH_NONE))
		p->cause = WIRE_CAUSE_GATE;
	return r < 0 ? primary_stumble(p, "gate", strerror(errno)) : 0;
}

/* Nothing that is held announces a request. */
static bool is_idle(struct primary *p, const uint32_t *port, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p->gate->ops->beyond(p->gate, p->facts.generation,
					 port[i]))
			return false;
	return n > 0;
}

/*
 * Receive buffers on a shared channel, or a request that was released before
 * its event came.  That they leave is safe whatever happens, for the fence
 * stays; if anything here fails the epoch takes all that is held still.
 */
int primary_spare(struct primary *p)
{
	struct platform *pl = p->platform;
	uint64_t since = p->went_at;
	uint32_t port[PLATFORM_RINGS_MAX];
	size_t n = PLATFORM_RINGS_MAX;

	if (p->cause != WIRE_CAUSE_TAP || !p->fenced ||
	    p->epoch.flight != EPOCH_NONE || pl->ops->held(pl, port, &n) ||
	    !is_idle(p, port, n))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (pl->ops->deliver(pl, p->facts.generation, port[i]))
			return 0;
	p->cause = 0;
	p->stats.spared++;
	if (primary_run_on(p))
		return 1;
	/* The timer of the epoch runs on. */
	p->went_at = since;
	return 1;
}

bool primary_gate_is_shut(const struct primary *p)
{
	return p->gate_shut && p->stage != STAGE_OVER;
}

/* --- rings: those that were checked, and no others ------------------------ */

void primary_give_up(struct primary *p, const char *why)
{
	if (p->stage >= STAGE_END)
		return;
	report_say(p->report, REPORT_ERROR, "devices-changed",
		   "the protection ends: %s; protect the guest again", why);
	p->given_up = true;
	primary_end(p, WIRE_REASON_UNPROTECT);
}

static void uncovered(void *arg, const char *text)
{
	primary_give_up(arg, text);
}

/* Never 0, which is: not known. */
static uint64_t rings_sum(const struct platform_ring *ring, size_t n)
{
	uint64_t sum = n;

	for (size_t i = 0; i < n; i++) {
		char text[RING_TEXT];
		int len = snprintf(text, sizeof(text), "%s %u %d",
				   ring[i].name, ring[i].port, ring[i].output);

		sum = XXH64(text, (size_t)len, sum);
	}
	return sum | 1;
}

/* INV-36 */
int primary_know_rings(struct primary *p)
{
	struct platform_ring ring[PLATFORM_RINGS_MAX];
	char why[PLATFORM_WHY_MAX];
	uint64_t sum;
	size_t n;
	int bad = eligible_rings(p->platform, p->gate, ring, &n, uncovered, p,
				 why);

	if (bad < 0 && errno == EXDEV)
		primary_give_up(p, why);
	else if (bad < 0)
		return primary_stumble(p, "rings", why);
	if (bad)
		return -1;
	sum = rings_sum(ring, n);
	if (p->facts.rings && p->facts.rings != sum) {
		primary_give_up(p, "the guest's disks or network cards are not those of its protection any more");
		return -1;
	}
	p->facts.rings = sum;
	primary_store(p);
	p->rings = (unsigned int)n;
	p->fenced = 0;
	for (size_t i = 0; i < n; i++)
		p->fenced += ring[i].output;
	p->rings_known = true;
	return 0;
}
