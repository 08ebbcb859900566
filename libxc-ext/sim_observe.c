// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_observe.c - the outside of the simulated world: sees what leaves, and
 * judges it by the output rule (INV-1, INV-2, INV-7, INV-26, INV-29)
 */
#include "libxc-ext/sim_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NUM(x) ((unsigned long long)(x))

static const char *const port_str[SIM_PORTS] = {
	[SIM_PORT_STORE] = "store request",
	[SIM_PORT_CONSOLE] = "console line",
	[SIM_PORT_DISK] = "disk request",
	[SIM_PORT_SHUTDOWN] = "shutdown",
};

void sim_violation(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->violation[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(w->violation, sizeof(w->violation), fmt, ap);
	va_end(ap);
}

/* Is it right that this leaves now? */
static void judge(struct sim_world *w, const struct sim_domain *d,
		  enum sim_port port, const struct sim_slot *what,
		  uint64_t epoch, uint64_t released)
{
	const struct sim_guest *g = &w->guest[d->guest];
	const char *kind = port_str[port];

	/*
	 * A reader that was awake when the tap went on may take along what is
	 * printed next.  That is harmless in epoch 1, as no standby can take
	 * over before its commit (INV-19), and does not happen after it: a
	 * drained console's reader sleeps.
	 */
	if (d->role == PLATFORM_PRIMARY && epoch > released && epoch > 1)
		sim_violation(w, "%s %llu of epoch %llu left host %u while only %llu was released",
			      kind, NUM(what->seq), NUM(epoch), d->host,
			      NUM(released));
	if (g->runner != d->serial && what->seq > g->known[port])
		sim_violation(w, "%s %llu left host %u after another host went on knowing only %llu",
			      kind, NUM(what->seq), d->host,
			      NUM(g->known[port]));
	if (what->seq > g->left[port] + 1)
		sim_violation(w, "%s %llu left host %u after %llu: some are missing",
			      kind, NUM(what->seq), d->host,
			      NUM(g->left[port]));
	if (what->seq <= g->left[port] &&
	    what->content != g->content[port][what->seq])
		sim_violation(w, "%s %llu left host %u and contradicts what left before",
			      kind, NUM(what->seq), d->host);
}

void sim_leave(struct sim_world *w, struct sim_domain *d, enum sim_port port,
	       const struct sim_slot *what, uint64_t epoch, uint64_t released)
{
	struct sim_guest *g = &w->guest[d->guest];
	struct sim_output *o;

	if (w->outputs == SIM_OUTPUTS_MAX || what->seq >= SIM_OUTPUTS_MAX) {
		sim_violation(w, "the observer's book is full: %u outputs",
			      (unsigned int)SIM_OUTPUTS_MAX);
		return;
	}
	judge(w, d, port, what, epoch, released);
	o = &w->output[w->outputs++];
	*o = (struct sim_output){
		.when = w->now,
		.seq = what->seq,
		.content = what->content,
		.generation = d->role == PLATFORM_PRIMARY ?
			      d->generation : 0,
		.epoch = epoch,
		.host = d->host,
		.port = port,
	};
	memcpy(o->guest, g->name, sizeof(o->guest));
	if (what->seq > g->left[port]) {
		g->left[port] = what->seq;
		g->content[port][what->seq] = what->content;
	}
}

static void judge_known(struct sim_world *w, const struct sim_domain *d,
			enum sim_port port, uint64_t known)
{
	struct sim_guest *g = &w->guest[d->guest];

	g->known[port] = known;
	if (g->left[port] > known)
		sim_violation(w, "%s %llu had left when %s went on on host %u knowing only %llu",
			      port_str[port], NUM(g->left[port]), g->name,
			      d->host, NUM(known));
}

static void judge_guest(struct sim_world *w, const struct sim_domain *d)
{
	char why[SIM_WHY_MAX];

	if (sim_guest_verify(d, why))
		sim_violation(w, "%s on host %u: %.160s",
			      w->guest[d->guest].name, d->host, why);
}

void sim_took_over(struct sim_world *w, struct sim_domain *d)
{
	const struct sim_store *s = sim_special(d, SIM_STORE);
	const struct sim_notes *n = sim_frame(d, 0);
	struct sim_guest *g = &w->guest[d->guest];

	/* Now: what runs on may cover the traces. */
	judge_guest(w, d);
	judge_known(w, d, SIM_PORT_CONSOLE, n->printed);
	judge_known(w, d, SIM_PORT_DISK, n->queued);
	judge_known(w, d, SIM_PORT_SHUTDOWN, 0);
	if (s->req_cons != s->req_prod)
		sim_violation(w, "%s went on on host %u with a store request under way",
			      g->name, d->host);
	g->runner = d->serial;
}

size_t sim_outputs(const struct sim_world *w, const struct sim_output **out)
{
	*out = w->output;
	return w->outputs;
}

const char *sim_check(struct sim_world *w)
{
	const struct sim_domain *d;
	unsigned int h, i;

	for (h = 0; h < w->knobs.hosts; h++) {
		for (i = 0; w->host[h].on && i < SIM_DOMAINS_MAX; i++) {
			d = &w->host[h].domain[i];
			if (d->life != SIM_LIVE ||
			    d->role == PLATFORM_STANDBY)
				continue;
			judge_guest(w, d);
		}
	}
	return w->violation[0] ? w->violation : NULL;
}
