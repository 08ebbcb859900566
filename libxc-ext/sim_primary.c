// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_primary.c - the primary of a simulated host: tap, epochs, dirty memory
 *
 * The rules of calls and their errors are those of hypervisor/public/kemari.h.
 */
#include "libxc-ext/sim_int.h"

#include <errno.h>
#include <string.h>

#define NUM(x) ((unsigned long long)(x))

static struct sim_platform *sim_of(struct platform *p)
{
	return (struct sim_platform *)p;
}

/* The domain for an operation of a primary, protected or not. */
static struct sim_domain *primary_dom(struct platform *p)
{
	if (sim_of(p)->standby) {
		(void)platform_fail(p, ENOTSUP, "not for a standby");
		return NULL;
	}
	return sim_dom(p);
}

/* ... protected. */
static struct sim_domain *protected_dom(struct platform *p)
{
	struct sim_domain *d = primary_dom(p);

	if (d && d->role != PLATFORM_PRIMARY) {
		(void)platform_fail(p, ENOENT, "domain %u is not protected",
				    d->domid);
		return NULL;
	}
	return d;
}

/* ... protected and stopped. */
static struct sim_domain *stopped_dom(struct platform *p)
{
	struct sim_domain *d = protected_dom(p);

	if (d && !d->stopped) {
		(void)platform_fail(p, EAGAIN, "domain %u is not stopped",
				    d->domid);
		return NULL;
	}
	return d;
}

static int stale(struct platform *p, const struct sim_domain *d,
		 uint64_t generation)
{
	if (generation == d->generation)
		return 0;
	return platform_fail(p, ESTALE, "generation %llu, the domain's is %llu",
			     NUM(generation), NUM(d->generation));
}

int sim_check_eligible(struct platform *p, const char **reasons,
		       size_t *n)
{
	const struct sim_domain *d = primary_dom(p);

	if (!d)
		return -1;
	*n = 0;
	if (d->ineligible)
		reasons[(*n)++] = d->ineligible;
	return 0;
}

int sim_rings(struct platform *p, struct platform_ring *out, size_t *n)
{
	const struct sim_domain *d = primary_dom(p);
	size_t room = *n;

	if (!d)
		return -1;
	*n = 1;
	if (!room)
		return platform_fail(p, ENOBUFS, "room for no ring, there is 1");
	*out = (struct platform_ring){
		.name = "disk", .port = SIM_PORT_DISK, .output = true,
	};
	if (d->other_rings)
		out->port = SIM_PORTS;
	return 0;
}

int sim_describe(struct platform *p, struct recbuf *out)
{
	const struct sim_domain *d = primary_dom(p);

	if (!d)
		return -1;
	if (sim_shell_save(sim_of(p)->world, d, out))
		return platform_fail(p, errno, "describe: %s", strerror(errno));
	return 0;
}

int sim_enable(struct platform *p, uint64_t generation,
	       enum platform_mode mode, uint64_t dirty_limit)
{
	const struct sim_knobs *k = &sim_of(p)->world->knobs;
	struct sim_domain *d = primary_dom(p);

	if (!d)
		return -1;
	if (!generation || !dirty_limit)
		return platform_fail(p, EINVAL,
				     "generation %llu, dirty limit %llu: must be at least 1",
				     NUM(generation), NUM(dirty_limit));
	if (d->role != PLATFORM_NONE)
		return platform_fail(p, EBUSY, "domain %u is protected already",
				     d->domid);
	if (generation < d->generation)
		return platform_fail(p, ESTALE,
				     "generation %llu, the domain had %llu",
				     NUM(generation), NUM(d->generation));
	if (d->ineligible)
		return platform_fail(p, EXDEV, "%s", d->ineligible);
	d->role = PLATFORM_PRIMARY;
	d->mode = mode;
	d->generation = generation;
	d->running = 1;
	d->captured = 0;
	d->released = 0;
	d->dirty_limit = dirty_limit;
	d->taps = 0;
	d->held_running = 0;
	d->held_captured = 0;
	d->policy_hold = 1u << SIM_PORT_DISK;
	d->policy_drain = 1u << SIM_PORT_CONSOLE;
	if (k->no_drain) {
		d->policy_hold |= d->policy_drain;
		d->policy_drain = 0;
	}
	if (k->no_tap) {
		d->policy_hold = 0;
		d->policy_drain = 0;
	}
	return 0;
}

int sim_disable(struct platform *p, uint64_t generation)
{
	struct sim_domain *d = protected_dom(p);
	struct sim_world *w = sim_of(p)->world;

	if (!d || stale(p, d, generation))
		return -1;
	d->role = PLATFORM_NONE;
	d->tracking = false;
	d->lost = false;
	d->stopped = false;
	memset(d->line_epoch, 0, sizeof(d->line_epoch));
	memset(d->request_epoch, 0, sizeof(d->request_epoch));
	sim_deliver(w, d, d->held_captured | d->held_running);
	if (d->shutdown)
		sim_perform_shutdown(w, d);
	return 0;
}

int sim_track(struct platform *p)
{
	struct sim_domain *d = protected_dom(p);

	if (!d)
		return -1;
	if (d->extra_frame)
		return platform_fail(p, EXDEV,
				     "domain %u got a frame of memory since its standby was built",
				     d->domid);
	memset(d->dirty_map, 0, sizeof(d->dirty_map));
	d->dirty = 0;
	d->tracking = true;
	d->lost = false;
	d->special_known = false;
	d->nodes_known = false;
	return 0;
}

/* A handle without a domain of its own has nothing to tell; the one of a
 * domain that is gone has. */
static struct sim_domain *told_dom(struct platform *p)
{
	struct sim_platform *s = sim_of(p);

	if (s->standby) {
		(void)platform_fail(p, ENOTSUP, "not for a standby");
		return NULL;
	}
	if (!s->world->host[s->host].on) {
		(void)platform_fail(p, EIO, "host %u is off", s->host);
		return NULL;
	}
	if (s->domain->serial != s->serial) {
		(void)platform_fail(p, ESRCH, "the domain is gone");
		return NULL;
	}
	return s->domain;
}

int sim_event_fd(struct platform *p)
{
	const struct sim_domain *d = told_dom(p);

	return d ? d->event_fd : -1;
}

int sim_events(struct platform *p)
{
	struct sim_domain *d = told_dom(p);
	int events;

	if (!d)
		return -1;
	sim_drain(d);
	events = d->events;
	d->events = 0;
	return events;
}

int sim_stop(struct platform *p)
{
	struct sim_domain *d = protected_dom(p);

	if (!d)
		return -1;
	d->stopped = true;
	return 0;
}

int sim_held(struct platform *p, uint32_t *port, size_t *n)
{
	const struct sim_domain *d = stopped_dom(p);
	size_t room = *n;

	if (!d)
		return -1;
	*n = 0;
	for (uint32_t i = 0; i < SIM_PORTS; i++) {
		if (!(d->held_running & 1u << i))
			continue;
		if (*n < room)
			port[*n] = i;
		++*n;
	}
	if (*n > room)
		return platform_fail(p, ENOBUFS, "%zu ports, room for %zu", *n,
				     room);
	return 0;
}

int sim_deliver_held(struct platform *p, uint64_t generation, uint32_t port)
{
	struct sim_domain *d = stopped_dom(p);

	if (!d || stale(p, d, generation))
		return -1;
	if (port >= SIM_PORTS || !(d->policy_hold & 1u << port))
		return platform_fail(p, EINVAL, "port %u is no ring's", port);
	if (!(d->held_running & 1u << port))
		return platform_fail(p, EALREADY, "port %u: nothing is held",
				     port);
	d->held_running &= ~(1u << port);
	sim_deliver(sim_of(p)->world, d, 1u << port);
	return 0;
}

int sim_go(struct platform *p)
{
	struct sim_domain *d = protected_dom(p);

	if (!d)
		return -1;
	if (d->shutdown)
		return platform_fail(p, EBUSY, "a shutdown is held");
	if (d->mode == PLATFORM_SYNC && d->captured > d->released)
		return platform_fail(p, EBUSY,
				     "epoch %llu is captured, %llu released",
				     NUM(d->captured), NUM(d->released));
	d->stopped = false;
	return 0;
}

int sim_settled(struct platform *p)
{
	const struct sim_domain *d = stopped_dom(p);
	const struct sim_store *s;

	if (!d)
		return -1;
	s = sim_special(d, SIM_STORE);
	if (d->transaction) {
		(void)platform_fail(p, 0, "a xenstore transaction is open");
		return 0;
	}
	if (s->req_cons != s->req_prod) {
		(void)platform_fail(p, 0, "xenstore request %llu is under way",
				    NUM(s->req_prod));
		return 0;
	}
	if (d->other_rings)
		return platform_fail(p, EXDEV,
				     "the disk is not that of the protection any more");
	return 1;
}

int sim_begin(struct platform *p, uint64_t generation, uint64_t epoch,
	      bool merge)
{
	struct sim_domain *d = protected_dom(p);
	const struct sim_console *c;

	if (!d || stale(p, d, generation) || !stopped_dom(p))
		return -1;
	if (epoch != d->running)
		return platform_fail(p, EINVAL,
				     "epoch %llu is not the running one, %llu",
				     NUM(epoch), NUM(d->running));
	if (d->captured > d->released && !merge)
		return platform_fail(p, EBUSY,
				     "epoch %llu is captured, %llu released",
				     NUM(d->captured), NUM(d->released));
	d->held_captured |= d->held_running;
	d->held_running = 0;
	d->captured = d->running++;
	c = sim_special(d, SIM_CONSOLE);
	d->console_prod = c->prod;
	return 0;
}

/* Which special frames changed since the last harvest?  Bit each. */
static uint32_t specials_changed(const struct sim_domain *d, uint64_t *sum)
{
	uint32_t changed = 0, i;

	for (i = 0; i < SIM_SPECIALS; i++) {
		sum[i] = sim_hash(sim_special(d, i), PLATFORM_PAGE);
		if (!d->special_known || sum[i] != d->special_sum[i])
			changed |= 1u << i;
	}
	return changed;
}

static bool to_copy(const struct sim_domain *d, uint32_t index,
		    uint32_t specials)
{
	uint32_t low = d->pages - SIM_SPECIALS;

	if (index >= low)
		return specials & 1u << (index - low);
	return d->dirty_map[index / 64] >> index % 64 & 1;
}

int sim_harvest(struct platform *p, uint64_t *gfn, size_t cap,
		size_t *n)
{
	struct sim_domain *d = stopped_dom(p);
	uint64_t sum[SIM_SPECIALS];
	uint32_t specials, i, at;
	size_t wanted = 0;

	if (!d)
		return -1;
	if (!d->tracking)
		return platform_fail(p, ENODEV, "nothing is tracked");
	if (d->lost)
		return platform_fail(p, EIO, "dirty information was lost");
	specials = specials_changed(d, sum);
	for (i = 0; i < d->pages; i++)
		wanted += to_copy(d, i, specials);
	*n = wanted;
	if (wanted > cap)
		return platform_fail(p, ENOBUFS,
				     "room for %zu frames, %zu are dirty", cap,
				     wanted);
	/* In no order that anybody could rely on. */
	wanted = 0;
	for (i = 0; i < d->pages; i++) {
		at = (i + (uint32_t)d->running * 37) % d->pages;
		if (to_copy(d, at, specials))
			gfn[wanted++] = sim_gfn(d, at);
	}
	memset(d->dirty_map, 0, sizeof(d->dirty_map));
	d->dirty = 0;
	memcpy(d->special_sum, sum, sizeof(sum));
	d->special_known = true;
	return 0;
}

const void *sim_page(struct platform *p, uint64_t gfn)
{
	const struct sim_domain *d = protected_dom(p);
	int64_t at;

	if (!d)
		return NULL;
	at = sim_index(d, gfn);
	if (at < 0) {
		(void)platform_fail(p, ERANGE, "frame %#llx is not populated",
				    NUM(gfn));
		return NULL;
	}
	return sim_frame(d, (uint32_t)at);
}

int sim_save(struct platform *p, enum platform_phase phase,
	     struct recbuf *out)
{
	struct sim_domain *d = stopped_dom(p);

	if (!d)
		return -1;
	if (sim_state_save(sim_of(p)->world, d, phase, out))
		return platform_fail(p, errno, "save: %s", strerror(errno));
	return 0;
}

int sim_guest_clock(struct platform *p, uint64_t *ns)
{
	const struct sim_domain *d = primary_dom(p);

	if (!d)
		return -1;
	*ns = sim_guest_time(sim_of(p)->world, d);
	return 0;
}

int sim_release(struct platform *p, uint64_t generation, uint64_t epoch)
{
	struct sim_domain *d = protected_dom(p);
	struct sim_world *w = sim_of(p)->world;

	if (!d || stale(p, d, generation))
		return -1;
	if (epoch <= d->released)
		return platform_fail(p, EALREADY,
				     "epoch %llu: released up to %llu",
				     NUM(epoch), NUM(d->released));
	if (epoch != d->captured)
		return platform_fail(p, ERANGE,
				     "epoch %llu: the captured one is %llu",
				     NUM(epoch), NUM(d->captured));
	d->released = epoch;
	sim_deliver(w, d, d->held_captured);
	d->held_captured = 0;
	if (d->shutdown && d->shutdown_epoch <= epoch)
		sim_perform_shutdown(w, d);
	return 0;
}

int sim_drained(struct platform *p)
{
	const struct sim_domain *d = stopped_dom(p);
	const struct sim_console *c;

	if (!d)
		return -1;
	c = sim_special(d, SIM_CONSOLE);
	/*
	 * A reader that was notified and has not looked yet would read what
	 * the guest prints next, even if there is nothing in the ring now.
	 */
	if (!(d->policy_drain & 1u << SIM_PORT_CONSOLE) ||
	    (c->cons >= d->console_prod && !d->console_at))
		return 1;
	(void)platform_fail(p, 0, "port %d: the console has read %llu of %llu",
			    SIM_PORT_CONSOLE, NUM(c->cons),
			    NUM(d->console_prod));
	return 0;
}
