// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_standby.c - the standby of a simulated host: build, load, activate
 */
#include "libxc-ext/sim_int.h"

#include <errno.h>
#include <string.h>

#define NUM(x) ((unsigned long long)(x))

static struct sim_platform *sim_of(struct platform *p)
{
	return (struct sim_platform *)p;
}

/* May @p have a shell now?  It has none, its host is on. */
static int may_get_shell(struct platform *p)
{
	struct sim_platform *s = sim_of(p);

	if (!s->standby)
		return platform_fail(p, ENOTSUP, "not for a primary");
	if (!s->world->host[s->host].on)
		return platform_fail(p, EIO, "host %u is off", s->host);
	if (s->domain)
		return platform_fail(p, EBUSY, "domain %u was built already",
				     s->domain->domid);
	return 0;
}

/* The shell of @p, not yet activated. */
static struct sim_domain *shell_dom(struct platform *p)
{
	struct sim_domain *d;

	if (!sim_of(p)->standby) {
		(void)platform_fail(p, ENOTSUP, "not for a primary");
		return NULL;
	}
	d = sim_dom(p);
	if (d && d->role != PLATFORM_STANDBY) {
		(void)platform_fail(p, EPERM, "domain %u was activated",
				    d->domid);
		return NULL;
	}
	return d;
}

static int guest_by_uuid(const struct sim_world *w, const uint8_t uuid[16])
{
	uint32_t i;

	for (i = 0; i < w->guests; i++)
		if (memcmp(w->guest[i].uuid, uuid, 16) == 0)
			return (int)i;
	return -1;
}

static int build_fail(struct platform *p, const struct sim_shell *shell)
{
	struct sim_world *w = sim_of(p)->world;
	const struct sim_host *h = &w->host[sim_of(p)->host];
	const struct sim_domain *other;

	if (errno == EADDRINUSE) {
		other = sim_domain_at(w, sim_of(p)->host, shell->domid);
		return platform_fail(p, EADDRINUSE,
				     "domain ID %u is taken here by %s",
				     shell->domid, w->guest[other->guest].name);
	}
	if (errno == ENOMEM)
		return platform_fail(p, ENOMEM,
				     "%u pages wanted, %u of %u are in use",
				     shell->pages, h->pages_used,
				     w->knobs.host_pages);
	return platform_fail(p, errno, "domain %u: %s", shell->domid,
			     strerror(errno));
}

int sim_build(struct platform *p, uint64_t generation, const void *records,
	      size_t len)
{
	struct sim_platform *s = sim_of(p);
	struct sim_shell shell;
	struct sim_domain *d;
	int guest;

	if (may_get_shell(p))
		return -1;
	if (!generation)
		return platform_fail(p, EINVAL,
				     "generation 0: must be at least 1");
	if (sim_shell_parse(p, records, len, &shell))
		return -1;
	guest = guest_by_uuid(s->world, shell.uuid);
	if (guest < 0)
		return platform_fail(p, EPROTO,
				     "records: nobody knows this UUID");
	d = sim_domain_new(s->world, s->host, (uint32_t)guest, shell.domid,
			   shell.pages, shell.vcpus);
	if (!d)
		return build_fail(p, &shell);
	d->role = PLATFORM_STANDBY;
	d->generation = generation;
	d->stopped = true;
	s->domain = d;
	s->serial = d->serial;
	return 0;
}

int sim_attach(struct platform *p, const void *records, size_t len)
{
	struct sim_platform *s = sim_of(p);
	struct sim_shell shell;
	struct sim_domain *d;

	if (may_get_shell(p) || sim_shell_parse(p, records, len, &shell))
		return -1;
	d = sim_domain_at(s->world, s->host, shell.domid);
	if (!d || d->role != PLATFORM_STANDBY ||
	    memcmp(s->world->guest[d->guest].uuid, shell.uuid, 16) != 0)
		return platform_fail(p, ENOENT, "domain %u: no shell of %s here",
				     shell.domid, shell.name);
	if (d->pages != shell.pages || d->vcpus != shell.vcpus)
		return platform_fail(p, EINVAL,
				     "domain %u: %u pages and %u vCPUs, the records say %u and %u",
				     shell.domid, d->pages, d->vcpus,
				     shell.pages, shell.vcpus);
	s->domain = d;
	s->serial = d->serial;
	return 0;
}

void *sim_page_rw(struct platform *p, uint64_t gfn)
{
	const struct sim_domain *d = shell_dom(p);
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

int sim_verify(struct platform *p, const void *records, size_t len)
{
	const struct sim_domain *d = shell_dom(p);
	struct sim_state state;

	return d ? sim_state_parse(p, d, records, len, &state) : -1;
}

int sim_rehearse(struct platform *p, const void *records, size_t len)
{
	struct sim_domain *d = shell_dom(p);
	struct sim_state state;

	if (!d || sim_state_parse(p, d, records, len, &state))
		return -1;
	sim_state_load(sim_of(p)->world, d, &state, state.guest_time);
	return 0;
}

int sim_load(struct platform *p, const void *records, size_t len,
	     uint64_t guest_time)
{
	struct sim_domain *d = shell_dom(p);
	struct sim_state state;

	if (!d || sim_state_parse(p, d, records, len, &state))
		return -1;
	/* INV-24 */
	if (guest_time < state.guest_time)
		return platform_fail(p, EINVAL,
				     "guest time %llu is below the checkpoint's, %llu",
				     NUM(guest_time), NUM(state.guest_time));
	sim_state_load(sim_of(p)->world, d, &state, guest_time);
	d->loaded = true;
	return 0;
}

int sim_activate(struct platform *p, uint64_t generation,
		 uint64_t new_generation)
{
	struct sim_world *w = sim_of(p)->world;
	struct sim_domain *d = shell_dom(p);

	if (!d)
		return -1;
	if (generation != d->generation)
		return platform_fail(p, ESTALE,
				     "generation %llu, the domain's is %llu",
				     NUM(generation), NUM(d->generation));
	if (new_generation <= generation)
		return platform_fail(p, EINVAL,
				     "new generation %llu must be above %llu",
				     NUM(new_generation), NUM(generation));
	if (!d->loaded)
		return platform_fail(p, EAGAIN,
				     "no checkpoint's state was loaded");
	d->generation = new_generation;
	d->role = PLATFORM_NONE;
	d->stopped = false;
	sim_took_over(w, d);
	sim_backends_attach(w, d);
	return 0;
}

/* Its backends attach within activate(). */
int sim_served(struct platform *p)
{
	const struct sim_domain *d = sim_of(p)->domain;

	if (!d || !d->loaded || d->role != PLATFORM_NONE)
		return platform_fail(p, EINVAL, "not activated here");
	return 1;
}

int sim_destroy_shell(struct platform *p)
{
	struct sim_domain *d = shell_dom(p);

	if (!d)
		return -1;
	sim_domain_free(sim_of(p)->world, d);
	sim_of(p)->domain = NULL;
	return 0;
}
