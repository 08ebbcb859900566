// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_backend.c - the tap of a simulated host, and what stands behind ports
 *
 * The backends are as unkind as real ones: the console's reader takes what is
 * in the ring when it looks, the disk polls its ring and waits for no
 * notification, the store answers while the guest is stopped.
 */
#include "libxc-ext/sim_int.h"

static uint64_t host_now(const struct sim_world *w, const struct sim_domain *d)
{
	return sim_host_now(w, d->host);
}

/* Behind log-dirty's back. */
static void make_pending(struct sim_domain *d, enum sim_port port)
{
	struct sim_shared *sh = sim_special(d, SIM_SHARED);

	sh->pending |= 1u << port;
}

/* --- the tap ------------------------------------------------------------ */

void sim_send(struct sim_world *w, struct sim_domain *d, enum sim_port port)
{
	uint32_t bit = 1u << port;

	if (d->role != PLATFORM_PRIMARY ||
	    !((d->policy_hold | d->policy_drain) & bit)) {
		sim_deliver(w, d, bit);
		return;
	}
	d->held_running |= bit;
	d->taps++;
	if (d->mode == PLATFORM_SYNC)
		d->stopped = true;
	sim_raise(d, PLATFORM_EV_TAP);
}

void sim_deliver(struct sim_world *w, struct sim_domain *d, uint32_t set)
{
	if (set & (1u << SIM_PORT_CONSOLE) && !d->console_at)
		d->console_at = host_now(w, d) + w->knobs.console_ns;
	if (set & (1u << SIM_PORT_STORE) && !d->store_at)
		d->store_at = host_now(w, d) + w->knobs.store_ns;
}

void sim_ask_shutdown(struct sim_world *w, struct sim_domain *d,
		      uint32_t reason)
{
	d->shutdown = 1 + reason;
	if (d->role != PLATFORM_PRIMARY) {
		sim_perform_shutdown(w, d);
		return;
	}
	d->shutdown_epoch = d->running;
	d->stopped = true;
	sim_raise(d, PLATFORM_EV_SHUTDOWN);
}

void sim_perform_shutdown(struct sim_world *w, struct sim_domain *d)
{
	struct sim_slot what = { .seq = 1, .content = d->shutdown - 1 };

	sim_leave(w, d, SIM_PORT_SHUTDOWN, &what, d->shutdown_epoch,
		  d->released);
	/* The toolstack, whatever the reason. */
	sim_domain_free(w, d);
}

/* --- backends ----------------------------------------------------------- */

static void console_run(struct sim_world *w, struct sim_domain *d)
{
	struct sim_console *c = sim_special(d, SIM_CONSOLE);
	uint64_t at;

	if (!d->console_at || host_now(w, d) < d->console_at)
		return;
	d->console_at = 0;
	for (; c->cons != c->prod; c->cons++) {
		at = c->cons % SIM_LINES;
		sim_leave(w, d, SIM_PORT_CONSOLE, &c->line[at],
			  d->line_epoch[at], d->released);
	}
	make_pending(d, SIM_PORT_CONSOLE);
}

static void store_run(struct sim_world *w, struct sim_domain *d)
{
	struct sim_store *s = sim_special(d, SIM_STORE);

	if (!d->store_at || host_now(w, d) < d->store_at)
		return;
	d->store_at = 0;
	if (s->req_cons == s->req_prod)
		return;
	d->node[s->index % SIM_NODES] = s->value;
	s->req_cons++;
	s->rsp_prod++;
	make_pending(d, SIM_PORT_STORE);
}

/* Requests up to here may be executed. */
static uint64_t disk_limit(const struct sim_domain *d,
			   const struct sim_disk *k)
{
	const struct sim_fence *f = &d->gate;

	if (f->closed && f->fence < k->req_prod)
		return f->fence;
	return k->req_prod;
}

/* Requests behind the fence: said once for each place of the guest's. */
static void look_at_fence(struct sim_domain *d, const struct sim_disk *k)
{
	struct sim_fence *f = &d->gate;

	if (!f->closed || k->req_prod <= f->fence || k->req_prod == f->seen)
		return;
	f->seen = k->req_prod;
	sim_meet(d);
}

static void disk_run(struct sim_world *w, struct sim_domain *d)
{
	struct sim_disk *k = sim_special(d, SIM_DISK);
	uint64_t limit = disk_limit(d, k), released = d->released, at;
	struct sim_slot *s;

	if (d->disk_at && host_now(w, d) >= d->disk_at &&
	    !d->gate.order.frozen) {
		d->disk_at = 0;
		for (; k->rsp_prod < d->disk_taken; k->rsp_prod++) {
			s = &k->slot[k->rsp_prod % SIM_REQUESTS];
			s->content = sim_answer(s->seq);
		}
		make_pending(d, SIM_PORT_DISK);
	}
	look_at_fence(d, k);
	if (d->disk_at || d->disk_taken >= limit)
		return;
	/* The fence moves before the platform's release. */
	if (d->gate.order.released > released)
		released = d->gate.order.released;
	for (; d->disk_taken < limit; d->disk_taken++) {
		at = d->disk_taken % SIM_REQUESTS;
		sim_leave(w, d, SIM_PORT_DISK, &k->slot[at],
			  d->request_epoch[at], released);
	}
	d->disk_at = host_now(w, d) + w->knobs.disk_ns;
}

void sim_backends_run(struct sim_world *w, struct sim_domain *d)
{
	if (d->role == PLATFORM_STANDBY)
		return;
	console_run(w, d);
	store_run(w, d);
	disk_run(w, d);
}

void sim_backends_attach(struct sim_world *w, struct sim_domain *d)
{
	const struct sim_disk *k = sim_special(d, SIM_DISK);

	d->disk_taken = k->rsp_prod;
	make_pending(d, SIM_PORT_STORE);
	make_pending(d, SIM_PORT_CONSOLE);
	make_pending(d, SIM_PORT_DISK);
	sim_deliver(w, d, ~0u);
}
