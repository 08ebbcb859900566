// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_world.c - the simulated world: hosts, clocks, domains, time passing
 */
#include "libxc-ext/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	DRIFT_MAX = 100000,		/* ppm */
	BOOT_OFFSET_MAX = 1 << 30,	/* microseconds */
};

static_assert(sizeof(struct sim_notes) <= PLATFORM_PAGE, "fits its frame");
static_assert(sizeof(struct sim_page) == PLATFORM_PAGE, "a frame");
static_assert(sizeof(struct sim_console) <= PLATFORM_PAGE, "fits its frame");
static_assert(sizeof(struct sim_disk) <= PLATFORM_PAGE, "fits its frame");

uint64_t sim_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return sim_mix(*state, 0);
}

uint64_t sim_mix(uint64_t h, uint64_t v)
{
	h ^= v * 0xff51afd7ed558ccd;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
	h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
	return h ^ (h >> 31);
}

uint64_t sim_hash(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t h = len, word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		h = (h ^ word) * 0x100000001b3;
		h ^= h >> 29;
	}
	return sim_mix(h, 1);
}

struct sim_knobs sim_knobs_default(void)
{
	return (struct sim_knobs){
		.hosts = 2,
		.pages = 256,
		.vcpus = 2,
		.host_pages = 8192,
		.step_ns = 10000,
		.writes = 4,
		.rewrite = 200,
		.clear = 20,
		.console = 20,
		.disk = 20,
		.store = 10,
		.transaction = 300,
		.console_ns = 50000,
		.disk_ns = 200000,
		.store_ns = 100000,
		.drift_ppm = 50,
	};
}

static bool knobs_ok(const struct sim_knobs *k)
{
	return k->hosts >= 2 && k->hosts <= SIM_HOSTS_MAX &&
	       k->pages >= SIM_PAGES_MIN && k->pages <= SIM_PAGES_MAX &&
	       k->vcpus >= 1 && k->vcpus <= SIM_VCPUS_MAX && k->step_ns &&
	       k->drift_ppm >= -DRIFT_MAX && k->drift_ppm <= DRIFT_MAX;
}

static void random_bytes(uint64_t *rng, uint8_t out[16])
{
	uint64_t v[2] = { sim_random(rng), sim_random(rng) };

	memcpy(out, v, sizeof(v));
}

static void host_init(struct sim_world *w, unsigned int host, uint8_t *mem)
{
	struct sim_host *h = &w->host[host];
	unsigned int i;

	h->on = true;
	h->boot_offset = sim_random(&w->rng) % BOOT_OFFSET_MAX * 1000;
	random_bytes(&w->rng, h->uuid);
	random_bytes(&w->rng, h->boot_id);
	for (i = 0; i < SIM_DOMAINS_MAX; i++) {
		h->domain[i].mem = mem;
		h->domain[i].host = host;
		mem += (size_t)w->knobs.pages * PLATFORM_PAGE;
	}
}

/* Undo what event_fds_open() did, all or in part. */
static void event_fds_close(struct sim_world *w)
{
	unsigned int h, i;

	for (h = 0; h < w->knobs.hosts; h++) {
		for (i = 0; i < SIM_DOMAINS_MAX; i++) {
			if (w->host[h].domain[i].event_fd > 0)
				(void)close(w->host[h].domain[i].event_fd);
			if (w->host[h].domain[i].gate_fd > 0)
				(void)close(w->host[h].domain[i].gate_fd);
		}
	}
}

static int event_fds_open(struct sim_world *w)
{
	unsigned int h, i;

	for (h = 0; h < w->knobs.hosts; h++) {
		for (i = 0; i < SIM_DOMAINS_MAX; i++) {
			struct sim_domain *d = &w->host[h].domain[i];

			d->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			d->gate_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			if (d->event_fd < 0 || d->gate_fd < 0)
				return -1;
		}
	}
	return 0;
}

struct sim_world *sim_world_new(uint64_t seed, const struct sim_knobs *knobs)
{
	struct sim_knobs k = knobs ? *knobs : sim_knobs_default();
	size_t head, bytes, per_host;
	struct sim_world *w;
	unsigned int h;
	int err;

	if (!knobs_ok(&k)) {
		errno = EINVAL;
		return NULL;
	}
	head = (sizeof(*w) + PLATFORM_PAGE - 1) / PLATFORM_PAGE * PLATFORM_PAGE;
	per_host = (size_t)SIM_DOMAINS_MAX * k.pages * PLATFORM_PAGE;
	bytes = head + k.hosts * per_host;
	w = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w == MAP_FAILED)
		return NULL;
	w->bytes = bytes;
	w->knobs = k;
	w->rng = seed;
	for (h = 0; h < k.hosts; h++)
		host_init(w, h, (uint8_t *)w + head + h * per_host);
	if (event_fds_open(w)) {
		err = errno;
		sim_world_free(w);
		errno = err;
		return NULL;
	}
	return w;
}

void sim_world_free(struct sim_world *w)
{
	if (!w)
		return;
	event_fds_close(w);
	(void)munmap(w, w->bytes);
}

struct sim_knobs *sim_knobs(struct sim_world *w)
{
	return &w->knobs;
}

uint64_t sim_now(const struct sim_world *w)
{
	return w->now;
}

uint64_t sim_host_now(const struct sim_world *w, unsigned int host)
{
	const struct sim_host *h = &w->host[host];
	int64_t drift = host % 2 ? w->knobs.drift_ppm : 0;
	uint64_t scale = (uint64_t)(1000000 + drift);

	if (!h->on)
		return h->stopped_at;
	return h->boot_offset + w->now / 1000000 * scale +
	       w->now % 1000000 * scale / 1000000;
}

uint64_t sim_guest_time(const struct sim_world *w, const struct sim_domain *d)
{
	return sim_host_now(w, d->host) + d->time_offset;
}

void sim_power_off(struct sim_world *w, unsigned int host)
{
	w->host[host].stopped_at = sim_host_now(w, host);
	w->host[host].on = false;
}

/* --- domains ------------------------------------------------------------ */

struct sim_domain *sim_domain_at(struct sim_world *w, unsigned int host,
				 uint32_t domid)
{
	struct sim_host *h;
	unsigned int i;

	if (host >= w->knobs.hosts || !w->host[host].on)
		return NULL;
	h = &w->host[host];
	for (i = 0; i < SIM_DOMAINS_MAX; i++)
		if (h->domain[i].life == SIM_LIVE &&
		    h->domain[i].domid == domid)
			return &h->domain[i];
	return NULL;
}

static struct sim_domain *slot_for(struct sim_host *h, enum sim_life life)
{
	unsigned int i;

	for (i = 0; i < SIM_DOMAINS_MAX; i++)
		if (h->domain[i].life == life)
			return &h->domain[i];
	return NULL;
}

void sim_drain(struct sim_domain *d)
{
	uint64_t n;

	/* EAGAIN, nothing to read, is the usual case. */
	(void)!read(d->event_fd, &n, sizeof(n));
}

void sim_meet(struct sim_domain *d)
{
	uint64_t one = 1;

	d->gate.met = true;
	(void)!write(d->gate_fd, &one, sizeof(one));
}

bool sim_met(struct sim_domain *d)
{
	bool met = d->gate.met;
	uint64_t n;

	(void)!read(d->gate_fd, &n, sizeof(n));
	d->gate.met = false;
	return met;
}

struct sim_domain *sim_domain_new(struct sim_world *w, unsigned int host,
				  uint32_t guest, uint32_t domid,
				  uint32_t pages, uint32_t vcpus)
{
	struct sim_host *h = &w->host[host];
	struct sim_domain *d;

	if (sim_domain_at(w, host, domid)) {
		errno = EADDRINUSE;
		return NULL;
	}
	if (pages > w->knobs.pages || h->pages_used > w->knobs.host_pages ||
	    pages > w->knobs.host_pages - h->pages_used) {
		errno = ENOMEM;
		return NULL;
	}
	d = slot_for(h, SIM_FREE);
	if (!d)
		d = slot_for(h, SIM_GONE);
	if (!d) {
		errno = ENOSPC;
		return NULL;
	}
	sim_drain(d);
	(void)sim_met(d);
	*d = (struct sim_domain){
		.life = SIM_LIVE,
		.serial = ++w->serial,
		.domid = domid,
		.host = host,
		.guest = guest,
		.pages = pages,
		.vcpus = vcpus,
		.mem = d->mem,
		.event_fd = d->event_fd,
		.gate_fd = d->gate_fd,
	};
	memset(d->mem, 0, (size_t)pages * PLATFORM_PAGE);
	h->pages_used += pages;
	return d;
}

void sim_domain_free(struct sim_world *w, struct sim_domain *d)
{
	d->life = SIM_GONE;
	w->host[d->host].pages_used -= d->pages;
	if (d->watched)
		sim_raise(d, PLATFORM_EV_GONE);
}

int sim_start(struct sim_world *w, unsigned int host, const char *name,
	      uint32_t domid)
{
	struct sim_domain *d;
	struct sim_guest *g;

	if (host >= w->knobs.hosts || w->guests == SIM_DOMAINS_MAX ||
	    strlen(name) >= sizeof(g->name)) {
		errno = EINVAL;
		return -1;
	}
	if (!w->host[host].on) {
		errno = EIO;
		return -1;
	}
	d = sim_domain_new(w, host, w->guests, domid, w->knobs.pages,
			   w->knobs.vcpus);
	if (!d)
		return -1;
	g = &w->guest[w->guests++];
	(void)snprintf(g->name, sizeof(g->name), "%s", name);
	random_bytes(&w->rng, g->uuid);
	g->runner = d->serial;
	d->time_offset = sim_random(&w->rng) % BOOT_OFFSET_MAX;
	sim_guest_boot(w, d);
	sim_backends_attach(w, d);
	return 0;
}

void sim_raise(struct sim_domain *d, int event)
{
	uint64_t one = 1;

	d->events |= event;
	(void)!write(d->event_fd, &one, sizeof(one));
}

bool sim_runs(const struct sim_world *w, const struct sim_domain *d)
{
	return w->host[d->host].on && d->life == SIM_LIVE && !d->stopped &&
	       d->role != PLATFORM_STANDBY;
}

/* --- memory ------------------------------------------------------------- */

int64_t sim_index(const struct sim_domain *d, uint64_t gfn)
{
	uint32_t low = d->pages - SIM_SPECIALS;

	if (gfn < low)
		return (int64_t)gfn;
	if (gfn >= SIM_SPECIAL_GFN && gfn < SIM_SPECIAL_GFN + SIM_SPECIALS)
		return (int64_t)(low + (gfn - SIM_SPECIAL_GFN));
	return -1;
}

uint64_t sim_gfn(const struct sim_domain *d, uint32_t index)
{
	uint32_t low = d->pages - SIM_SPECIALS;

	return index < low ? index : SIM_SPECIAL_GFN + index - low;
}

void *sim_frame(const struct sim_domain *d, uint32_t index)
{
	return d->mem + (size_t)index * PLATFORM_PAGE;
}

void *sim_special(const struct sim_domain *d, enum sim_special which)
{
	return sim_frame(d, d->pages - SIM_SPECIALS + which);
}

/* --- what happens to domains -------------------------------------------- */

static struct sim_domain *domain_or_enoent(struct sim_world *w,
					   unsigned int host, uint32_t domid)
{
	struct sim_domain *d = sim_domain_at(w, host, domid);

	if (!d)
		errno = ENOENT;
	return d;
}

int sim_shutdown(struct sim_world *w, unsigned int host, uint32_t domid,
		 uint32_t reason)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	d->told = 1 + reason;
	return 0;
}

int sim_destroy(struct sim_world *w, unsigned int host, uint32_t domid)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	sim_domain_free(w, d);
	return 0;
}

int sim_lose_dirty(struct sim_world *w, unsigned int host, uint32_t domid)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	d->lost = true;
	return 0;
}

int sim_extra_frame(struct sim_world *w, unsigned int host, uint32_t domid,
		    bool there)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	d->extra_frame = there;
	d->lost |= d->tracking;
	return 0;
}

int sim_other_rings(struct sim_world *w, unsigned int host, uint32_t domid)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	d->other_rings = true;
	return 0;
}

int sim_ineligible(struct sim_world *w, unsigned int host, uint32_t domid,
		   const char *reason)
{
	struct sim_domain *d = domain_or_enoent(w, host, domid);

	if (!d)
		return -1;
	d->ineligible = reason;
	return 0;
}

int sim_domain_info(const struct sim_world *w, unsigned int host,
		    uint32_t domid, struct sim_domain_info *out)
{
	const struct sim_domain *d =
		domain_or_enoent((struct sim_world *)w, host, domid);
	const struct sim_notes *n;
	unsigned int i;

	if (!d)
		return -1;
	n = sim_frame(d, 0);
	*out = (struct sim_domain_info){
		.running = sim_runs(w, d),
		.printed = n->printed,
		.queued = n->queued,
		.digest = sim_hash(d->mem, (size_t)d->pages * PLATFORM_PAGE),
	};
	for (i = 0; i < d->vcpus; i++)
		out->steps += n->vcpu[i].steps;
	return 0;
}

/* --- time --------------------------------------------------------------- */

/* Guests step when the world's time is a multiple of .step_ns. */
static void pass(struct sim_world *w, uint64_t ns)
{
	struct sim_domain *d;
	unsigned int h, i;
	bool step;

	w->now += ns;
	step = w->now % w->knobs.step_ns == 0;
	for (h = 0; h < w->knobs.hosts; h++) {
		for (i = 0; w->host[h].on && i < SIM_DOMAINS_MAX; i++) {
			d = &w->host[h].domain[i];
			if (d->life != SIM_LIVE)
				continue;
			sim_backends_run(w, d);
			if (step && sim_runs(w, d))
				sim_guest_step(w, d);
		}
	}
}

static bool event_waits(const struct sim_world *w)
{
	const struct sim_domain *d;
	unsigned int h, i;

	for (h = 0; h < w->knobs.hosts; h++) {
		for (i = 0; w->host[h].on && i < SIM_DOMAINS_MAX; i++) {
			d = &w->host[h].domain[i];
			if (d->events || (d->gate.met && d->gate.watched))
				return true;
		}
	}
	return false;
}

static void run(struct sim_world *w, uint64_t ns, bool to_event)
{
	uint64_t step = w->knobs.step_ns, part;

	while (ns && !(to_event && event_waits(w))) {
		part = step - w->now % step;
		if (ns < part)
			part = ns;
		pass(w, part);
		ns -= part;
	}
}

void sim_run(struct sim_world *w, uint64_t ns)
{
	run(w, ns, false);
}

bool sim_run_to_event(struct sim_world *w, uint64_t ns)
{
	run(w, ns, true);
	return event_waits(w);
}
