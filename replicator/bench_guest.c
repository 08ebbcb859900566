// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_guest.c - a synthetic guest and its standby, for `kemari bench`
 */
#include "replicator/bench_guest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	REC_SHELL = RECORD_TYPE_PLATFORM,	/* u64: pages */
	REC_STATE,
	STATE_BYTES = 4096,	/* about what a small guest's state has */
};

struct bench_guest {
	struct platform base;
	struct bench_knobs k;
	uint8_t *memory;
	uint64_t pages;			/* of it; 0: none is built */
	uint64_t *list;
	uint64_t rng;
	int event;			/* eventfd */
	bool dirty;			/* .list is to be harvested */
	struct platform_query q;
	struct bench_cycles *cycles;
	uint32_t left;
	uint64_t stopped_at, cpu_at, captured_ns;
};

static struct bench_guest *of(const struct platform *p)
{
	return (struct bench_guest *)p;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t bench_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* --- the guest's checkpoints ------------------------------------------------ */

void bench_guest_change(struct platform *p)
{
	struct bench_guest *g = of(p);

	for (uint32_t i = 0; i < g->k.dirty; i++)
		bench_change_page(g->k.pattern,
				  g->memory + g->list[i] * PLATFORM_PAGE,
				  &g->rng);
	g->dirty = true;
}

const uint64_t *bench_guest_list(const struct platform *p, size_t *n)
{
	*n = of(p)->k.dirty;
	return of(p)->list;
}

static void start_cycle(struct bench_guest *g)
{
	const uint64_t one = 1;

	bench_guest_change(&g->base);
	g->cpu_at = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	g->stopped_at = bench_now();
	g->captured_ns = 0;
	if (write(g->event, &one, sizeof(one)) != sizeof(one))
		abort();	/* a counter that overflows after 2^64 */
}

static void end_cycle(struct bench_guest *g)
{
	struct bench_cycles *c = g->cycles;

	c->cpu_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - g->cpu_at;
	c->ns[c->n] = bench_now() - g->stopped_at;
	c->capture_ns[c->n++] = g->captured_ns;
	if (--g->left)
		start_cycle(g);
}

void bench_guest_go(struct platform *p, uint32_t n, struct bench_cycles *out)
{
	struct bench_guest *g = of(p);

	out->n = 0;
	out->cpu_ns = 0;
	g->cycles = out;
	g->left = n < BENCH_CYCLES_MAX ? n : BENCH_CYCLES_MAX;
	if (g->left)
		start_cycle(g);
}

uint32_t bench_guest_left(const struct platform *p)
{
	return of(p)->left;
}

/* --- both roles --------------------------------------------------------------- */

static int get_info(struct platform *p, struct platform_info *out)
{
	static const struct platform_info any = {
		.name = "bench",
		.uuid = "kemari bench gue",
		.domid = 1,
		.vcpus = 1,
		.host_uuid = "kemari bench hos",
		.boot_id = "kemari bench boo",
	};

	*out = any;
	out->pages = of(p)->pages;
	return 0;
}

static int get_query(struct platform *p, struct platform_query *out)
{
	*out = of(p)->q;
	return 0;
}

static uint64_t get_now(struct platform *p)
{
	(void)p;
	return bench_now();
}

static int get_ranges(struct platform *p, struct gfn_range *out, size_t *n)
{
	if (!*n) {
		*n = 1;
		return platform_fail(p, ENOBUFS, "ranges: room for none of 1");
	}
	*n = 1;
	out[0] = (struct gfn_range){ .count = of(p)->pages };
	return 0;
}

static void unmap(struct bench_guest *g)
{
	if (g->pages)
		munmap(g->memory, g->pages * PLATFORM_PAGE);
	g->pages = 0;
}

static int map(struct bench_guest *g, uint64_t pages)
{
	void *at = mmap(NULL, pages * PLATFORM_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return platform_fail(&g->base, ENOMEM, "no memory for %llu pages",
				     (unsigned long long)pages);
	g->memory = at;
	g->pages = pages;
	return 0;
}

static void do_close(struct platform *p)
{
	struct bench_guest *g = of(p);

	unmap(g);
	if (g->event >= 0)
		close(g->event);
	free(g->list);
	free(g);
}

static void *page_at(struct platform *p, uint64_t gfn)
{
	struct bench_guest *g = of(p);

	return gfn < g->pages ? g->memory + gfn * PLATFORM_PAGE : NULL;
}

static int done(struct platform *p)
{
	(void)p;
	return 0;
}

static int yes(struct platform *p)
{
	(void)p;
	return 1;
}

static int not_here(struct platform *p)
{
	return platform_fail(p, ENOTSUP, "not in this role, not in a bench");
}

/* --- primary -------------------------------------------------------------------- */

static int no_reasons(struct platform *p, const char **reasons, size_t *n)
{
	(void)p;
	(void)reasons;
	*n = 0;
	return 0;
}

static int no_rings(struct platform *p, struct platform_ring *out, size_t *n)
{
	(void)p;
	(void)out;
	*n = 0;
	return 0;
}

static int describe(struct platform *p, struct recbuf *out)
{
	return recbuf_add(out, REC_SHELL, RECORD_MANDATORY, 0, &of(p)->pages,
			  sizeof(of(p)->pages));
}

static int enable(struct platform *p, uint64_t generation,
		  enum platform_mode mode, uint64_t dirty_limit)
{
	of(p)->q = (struct platform_query){
		.role = PLATFORM_PRIMARY,
		.mode = mode,
		.generation = generation,
		.running = 1,
		.dirty_limit = dirty_limit,
	};
	return 0;
}

static int disable(struct platform *p, uint64_t generation)
{
	(void)generation;
	of(p)->q.role = PLATFORM_NONE;
	return 0;
}

static int event_fd(struct platform *p)
{
	return of(p)->event;
}

static int events(struct platform *p)
{
	uint64_t count;

	return read(of(p)->event, &count, sizeof(count)) == sizeof(count) ?
	       PLATFORM_EV_TAP : 0;
}

static int no_held(struct platform *p, uint32_t *port, size_t *n)
{
	(void)p;
	(void)port;
	*n = 0;
	return 0;
}

static int no_deliver(struct platform *p, uint64_t generation, uint32_t port)
{
	(void)generation;
	(void)port;
	return not_here(p);
}

static int stop(struct platform *p)
{
	of(p)->q.stopped = true;
	return 0;
}

static int go(struct platform *p)
{
	struct bench_guest *g = of(p);

	g->q.stopped = false;
	if (g->left)
		end_cycle(g);
	return 0;
}

static int begin(struct platform *p, uint64_t generation, uint64_t epoch,
		 bool merge)
{
	(void)generation;
	(void)merge;
	of(p)->q.captured = epoch;
	of(p)->q.running = epoch + 1;
	return 0;
}

static int harvest(struct platform *p, uint64_t *gfn, size_t cap, size_t *n)
{
	struct bench_guest *g = of(p);
	size_t dirty = g->dirty ? g->k.dirty : 0;

	if (dirty > cap)
		return platform_fail(p, ENOBUFS, "harvest: %zu pages, room for "
				     "%zu", dirty, cap);
	memcpy(gfn, g->list, dirty * sizeof(*gfn));
	*n = dirty;
	g->dirty = false;
	return 0;
}

static const void *page(struct platform *p, uint64_t gfn)
{
	return page_at(p, gfn);
}

static int save(struct platform *p, enum platform_phase phase,
		struct recbuf *out)
{
	static const uint8_t state[STATE_BYTES];
	struct bench_guest *g = of(p);

	if (phase == PLATFORM_EARLY)
		return recbuf_add(out, REC_STATE, RECORD_MANDATORY, 0, state,
				  sizeof(state));
	g->captured_ns = bench_now() - g->stopped_at;
	return 0;
}

static int guest_time(struct platform *p, uint64_t *ns)
{
	(void)p;
	*ns = bench_now();
	return 0;
}

static int release(struct platform *p, uint64_t generation, uint64_t epoch)
{
	(void)generation;
	of(p)->q.released = epoch;
	return 0;
}

/* --- standby ---------------------------------------------------------------------- */

static int build(struct platform *p, uint64_t generation, const void *records,
		 size_t len)
{
	struct record rec;
	uint64_t pages;

	if (record_find(records, len, REC_SHELL, 0, &rec) != 1 ||
	    rec.length != sizeof(pages))
		return platform_fail(p, EPROTO, "the guest's size is missing");
	memcpy(&pages, rec.data, sizeof(pages));
	if (pages < BENCH_GUEST_PAGES_MIN || pages > BENCH_GUEST_PAGES_MAX)
		return platform_fail(p, EPROTO,
				     "a guest of %llu pages is not one of %d to %d",
				     (unsigned long long)pages,
				     BENCH_GUEST_PAGES_MIN,
				     BENCH_GUEST_PAGES_MAX);
	if (of(p)->pages)
		return platform_fail(p, EBUSY, "a guest was built already");
	of(p)->q = (struct platform_query){
		.role = PLATFORM_STANDBY,
		.generation = generation,
	};
	return map(of(p), pages);
}

/* What was built dies with its process. */
static int attach(struct platform *p, const void *records, size_t len)
{
	(void)records;
	(void)len;
	return platform_fail(p, ENOENT, "no guest was built");
}

static int verify(struct platform *p, const void *records, size_t len)
{
	struct record rec;

	if (record_find(records, len, REC_STATE, 0, &rec) != 1)
		return platform_fail(p, EPROTO, "the guest's state is missing");
	return 0;
}

static int no_load(struct platform *p, const void *records, size_t len,
		   uint64_t time)
{
	(void)records;
	(void)len;
	(void)time;
	return not_here(p);
}

static int no_activate(struct platform *p, uint64_t generation,
		       uint64_t new_generation)
{
	(void)generation;
	(void)new_generation;
	return not_here(p);
}

static int destroy(struct platform *p)
{
	unmap(of(p));
	of(p)->q = (struct platform_query){ .role = PLATFORM_NONE };
	return 0;
}

static const struct platform_ops ops = {
	.name = "bench",
	.info = get_info,
	.query = get_query,
	.now_ns = get_now,
	.ranges = get_ranges,
	.close = do_close,
	.check = no_reasons,
	.rings = no_rings,
	.describe = describe,
	.enable = enable,
	.disable = disable,
	.track = done,
	.event_fd = event_fd,
	.events = events,
	.stop = stop,
	.held = no_held,
	.deliver = no_deliver,
	.go = go,
	.settled = yes,
	.begin = begin,
	.harvest = harvest,
	.page = page,
	.save = save,
	.guest_time = guest_time,
	.release = release,
	.drained = yes,
	.build = build,
	.attach = attach,
	.page_rw = page_at,
	.verify = verify,
	.rehearse = verify,
	.load = no_load,
	.activate = no_activate,
	.served = not_here,
	.destroy = destroy,
};

struct platform *bench_standby_new(void)
{
	struct bench_guest *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->base.ops = &ops;
	g->event = -1;
	return &g->base;
}

/* One frame in each of as many parts of the memory. */
static void scatter(struct bench_guest *g)
{
	uint64_t part = g->pages / g->k.dirty;

	for (uint32_t i = 0; i < g->k.dirty; i++)
		g->list[i] = i * part + bench_draw(&g->rng) % part;
}

struct platform *bench_guest_new(const struct bench_knobs *k)
{
	struct platform *p = bench_standby_new();
	struct bench_guest *g = of(p);

	if (!p)
		return NULL;
	g->k = *k;
	g->rng = k->seed;
	g->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->list = calloc(k->dirty, sizeof(*g->list));
	if (g->event < 0 || !g->list || map(g, k->pages)) {
		do_close(p);
		errno = ENOMEM;
		return NULL;
	}
	scatter(g);
	/* What all patterns begin with, so that they cost the same at first. */
	for (uint32_t i = 0; i < k->dirty; i++)
		bench_change_page(BENCH_RANDOM,
				  g->memory + g->list[i] * PLATFORM_PAGE,
				  &g->rng);
	return p;
}
