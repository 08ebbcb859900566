// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * platform_sim.c - the platform of a simulated host: opening a domain, both
 * roles' facts; the roles' own are in sim_primary.c and sim_standby.c
 */
#include "libxc-ext/sim_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sim_platform *sim_of(struct platform *p)
{
	return (struct sim_platform *)p;
}

struct sim_domain *sim_dom(struct platform *p)
{
	struct sim_platform *s = sim_of(p);

	if (!s->world->host[s->host].on) {
		(void)platform_fail(p, EIO, "host %u is off", s->host);
		return NULL;
	}
	if (!s->domain) {
		(void)platform_fail(p, ENOENT, "there is no standby yet");
		return NULL;
	}
	if (s->domain->life != SIM_LIVE || s->domain->serial != s->serial) {
		(void)platform_fail(p, ESRCH, "the domain is gone");
		return NULL;
	}
	return s->domain;
}

/* --- both roles --------------------------------------------------------- */

static int sim_info(struct platform *p, struct platform_info *out)
{
	const struct sim_domain *d = sim_dom(p);
	const struct sim_world *w = sim_of(p)->world;
	const struct sim_host *h;
	const struct sim_guest *g;

	if (!d)
		return -1;
	h = &w->host[d->host];
	g = &w->guest[d->guest];
	*out = (struct platform_info){
		.domid = d->domid,
		.vcpus = d->vcpus,
		.pages = d->pages,
	};
	memcpy(out->name, g->name, sizeof(out->name));
	memcpy(out->uuid, g->uuid, sizeof(out->uuid));
	memcpy(out->host_uuid, h->uuid, sizeof(out->host_uuid));
	memcpy(out->boot_id, h->boot_id, sizeof(out->boot_id));
	return 0;
}

static int sim_query(struct platform *p, struct platform_query *out)
{
	const struct sim_domain *d = sim_dom(p);

	*out = (struct platform_query){ .role = PLATFORM_NONE };
	if (!d)
		return errno == EIO ? -1 : 0;
	out->generation = d->generation;
	if (d->role == PLATFORM_NONE)
		return 0;
	*out = (struct platform_query){
		.role = d->role,
		.mode = d->mode,
		.generation = d->generation,
		.running = d->running,
		.captured = d->captured,
		.released = d->released,
		.dirty = d->dirty,
		.dirty_limit = d->dirty_limit,
		.taps = d->taps,
		.held_running =
			(uint32_t)__builtin_popcount(d->held_running),
		.held_captured =
			(uint32_t)__builtin_popcount(d->held_captured),
		.stopped = d->stopped,
		.lost = d->lost,
		.shutdown = d->shutdown,
		.shutdown_reason = d->shutdown ? d->shutdown - 1 : 0,
	};
	return 0;
}

static uint64_t sim_now_ns(struct platform *p)
{
	return sim_host_now(sim_of(p)->world, sim_of(p)->host);
}

static int sim_ranges(struct platform *p, struct gfn_range *out, size_t *n)
{
	const struct sim_domain *d = sim_dom(p);
	size_t room = *n;

	if (!d)
		return -1;
	*n = 2;
	if (room < *n)
		return platform_fail(p, ENOBUFS,
				     "room for %zu ranges, there are %zu",
				     room, *n);
	out[0] = (struct gfn_range){ 0, d->pages - SIM_SPECIALS };
	out[1] = (struct gfn_range){ SIM_SPECIAL_GFN, SIM_SPECIALS };
	return 0;
}

static void sim_close(struct platform *p)
{
	struct sim_platform *s = sim_of(p);

	if (!s->standby && s->domain->serial == s->serial)
		s->domain->watched = false;
	free(s);
}

static const struct platform_ops sim_ops = {
	.name = "sim",
	.info = sim_info,
	.query = sim_query,
	.now_ns = sim_now_ns,
	.ranges = sim_ranges,
	.close = sim_close,
	.check = sim_check_eligible,
	.rings = sim_rings,
	.describe = sim_describe,
	.enable = sim_enable,
	.disable = sim_disable,
	.track = sim_track,
	.event_fd = sim_event_fd,
	.events = sim_events,
	.stop = sim_stop,
	.held = sim_held,
	.deliver = sim_deliver_held,
	.go = sim_go,
	.settled = sim_settled,
	.begin = sim_begin,
	.harvest = sim_harvest,
	.page = sim_page,
	.save = sim_save,
	.guest_time = sim_guest_clock,
	.release = sim_release,
	.drained = sim_drained,
	.build = sim_build,
	.attach = sim_attach,
	.page_rw = sim_page_rw,
	.verify = sim_verify,
	.rehearse = sim_rehearse,
	.load = sim_load,
	.activate = sim_activate,
	.served = sim_served,
	.destroy = sim_destroy_shell,
};

/* --- open --------------------------------------------------------------- */

static struct sim_domain *lookup(struct sim_world *w, unsigned int host,
				 const char *domain)
{
	struct sim_domain *d;
	unsigned int i;
	char *end;
	unsigned long domid = strtoul(domain, &end, 10);

	if (*domain && !*end && domid <= UINT32_MAX)
		return sim_domain_at(w, host, (uint32_t)domid);
	for (i = 0; i < SIM_DOMAINS_MAX; i++) {
		d = &w->host[host].domain[i];
		if (d->life == SIM_LIVE &&
		    strcmp(w->guest[d->guest].name, domain) == 0)
			return d;
	}
	return NULL;
}

static int open_fail(char *why, int err, const char *thing, const char *rule)
{
	(void)snprintf(why, PLATFORM_WHY_MAX, "%s: %s", thing, rule);
	errno = err;
	return -1;
}

int platform_open_sim(struct platform **out, struct sim_world *w,
		      unsigned int host, const char *domain, char *why)
{
	struct sim_domain *d = NULL;
	struct sim_platform *s;

	if (host >= w->knobs.hosts || !w->host[host].on)
		return open_fail(why, EIO, "simulated host", "it is off");
	if (domain) {
		d = lookup(w, host, domain);
		if (!d)
			return open_fail(why, ENOENT, domain,
					 "no such domain on this host");
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return open_fail(why, ENOMEM, "simulated host",
				 "no memory for a platform");
	s->base.ops = &sim_ops;
	s->world = w;
	s->host = host;
	s->standby = !domain;
	if (d) {
		s->domain = d;
		s->serial = d->serial;
		d->watched = true;
	}
	*out = &s->base;
	return 0;
}
