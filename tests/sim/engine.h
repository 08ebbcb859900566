/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - the whole engine in one process, on a simulated world
 *
 * Host 0 runs the guest and the primary's conductor, host 1 the standby's.
 * Time is virtual.  Every call of platform, gate and link passes a fault
 * plan; a conductor can be killed before any of them, and finds again what a
 * supervising parent would hold: outbox, staging, and the world.
 *
 * The fence cuts the power of host 0.  Everything follows from the seed.
 */
#ifndef KEMARI_TESTS_ENGINE_H
#define KEMARI_TESTS_ENGINE_H

#include "backends/gate.h"
#include "backends/gate_sim.h"
#include "libxc-ext/platform_sim.h"
#include "replicator/link.h"
#include "replicator/link_pair.h"
#include "replicator/outbox.h"
#include "replicator/primary.h"
#include "replicator/report.h"
#include "replicator/secondary.h"
#include "replicator/staging.h"
#include "replicator/status.h"
#include "tests/fault_gate.h"
#include "tests/fault_plan.h"
#include "tests/fault_platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS 1000000ull
#define US 1000ull

enum {
	DOMID = 7,
	GUEST_PAGES = 64,
	CKPT_PAGES = 96,	/* room of outbox and staging */
	CODEC_PAGES = 32,	/* kept by the codec: less than are used */
	STATE_ROOM = 64 << 10,
};

#define GUEST "guest"

struct engine;

/** struct side - one conductor and what it works on */
struct side {
	struct engine *e;
	unsigned int host;
	struct fault_plan plan;
	uint64_t kill_at;	/* before this call (FAULT_NEVER) */
	uint64_t kills;		/* that happened */
	bool alive;
	struct platform *platform;
	int event_fd;		/* its; a runner asks for it once */
	struct gate *gate;
	int gate_fd;
	struct link *link;
	struct report report;
};

/** struct engine - everything */
struct engine {
	struct sim_world *w;
	struct side a, b;
	int outbox_fd, staging_fd;
	struct outbox *outbox;
	struct primary *primary;
	unsigned int primary_lives;
	struct staging *staging;
	struct secondary *secondary;
	uint64_t a_restart_at, b_restart_at;	/* sim_now(); 0 no */

	struct link_pair_knobs knobs;
	struct link_pair *pair;
	uint64_t connect_at;
	unsigned int connections;
	unsigned int cut_connection;	/* whose knobs.cut counts, from 1 */
	uint64_t bytes[2];	/* sent in connection cut_connection */
	void (*on_send)(struct engine *e);	/* before each, if set */
	bool no_link;		/* none comes up any more */
	FILE *recording;	/* if set: gets what the secondary hears */

	uint64_t max_epoch;	/* of the primary */
	uint64_t grace;		/* of the standby */
	bool no_fence;
	uint64_t fence_at;	/* it ends then; 0 it does not run */
	unsigned int fences_failing;	/* so many fail first */
	uint64_t seed;

	uint64_t acked;		/* highest committed seen on the primary */
	enum primary_outcome outcome;	/* of the primary's last life */
	bool verbose;
	sigjmp_buf kill;
	struct side *running;	/* whose code may be killed now */
};

/* Pages that all primaries of this program have sent, by encoding. */
static struct codec_stats engine_sent;

/* --- faults and kills -------------------------------------------------------- */

static inline void engine_delay(void *arg, const char *op)
{
	struct side *s = arg;

	(void)op;
	if (s->plan.calls == s->kill_at && s->e->running == s) {
		s->kills++;
		s->kill_at = FAULT_NEVER;
		siglongjmp(s->e->kill, 1);
	}
}

static inline int engine_link_fault(void *arg, int end)
{
	struct engine *e = arg;
	struct side *s = end ? &e->b : &e->a;

	if (e->on_send)
		e->on_send(e);
	return fault_due(&s->plan, "link_send") ? s->plan.err : 0;
}

static inline void engine_say(void *arg, enum report_level level,
			      const char *id, const char *text)
{
	struct side *s = arg;

	if (s->e->verbose)
		print_message("%9llu us host %u: %d %s: %s\n",
			      (unsigned long long)(sim_now(s->e->w) / US),
			      s->host, (int)level, id, text);
}

/* --- links --------------------------------------------------------------------- */

static inline void engine_a_message(void *arg, const void *b, size_t n)
{
	struct engine *e = arg;

	if (e->primary)
		primary_message(e->primary, b, n);
}

static inline void engine_b_message(void *arg, const void *b, size_t n)
{
	struct engine *e = arg;

	if (e->recording)
		assert_int_equal(fwrite(b, n, 1, e->recording), 1);
	if (e->secondary)
		secondary_message(e->secondary, b, n);
}

static inline void engine_a_closed(void *arg, int err, const char *why)
{
	struct engine *e = arg;

	e->a.link->ops->close(e->a.link);
	e->a.link = NULL;
	e->connect_at = sim_now(e->w) + 2 * MS;
	if (e->primary)
		primary_link_down(e->primary, err, why);
}

static inline void engine_b_closed(void *arg, int err, const char *why)
{
	struct engine *e = arg;

	e->b.link->ops->close(e->b.link);
	e->b.link = NULL;
	if (e->secondary)
		secondary_link_down(e->secondary, err, why);
}

static inline void engine_a_writable(void *arg)
{
	struct engine *e = arg;

	if (e->primary)
		primary_writable(e->primary);
}

static inline void engine_b_writable(void *arg)
{
	struct engine *e = arg;

	if (e->secondary)
		secondary_writable(e->secondary);
}

/* The kernel closes what a killed process had open. */
static inline void engine_hang_up(struct side *s)
{
	if (s->link)
		s->link->ops->close(s->link);
	s->link = NULL;
}

static inline void engine_reap_pair(struct engine *e)
{
	if (e->pair && !e->a.link && !e->b.link) {
		link_pair_free(e->pair);
		e->pair = NULL;
	}
}

static inline void engine_connect(struct engine *e)
{
	struct link_pair_knobs k = e->knobs;

	if (e->pair || e->no_link || !e->primary || !e->secondary ||
	    primary_outcome(e->primary) != PRIMARY_GOING ||
	    sim_now(e->w) < e->connect_at)
		return;
	e->connections++;
	k.seed = e->seed + e->connections;
	k.fault = engine_link_fault;
	k.fault_arg = e;
	if (e->connections != e->cut_connection)
		k.cut[0] = k.cut[1] = 0;
	e->pair = link_pair_new(&k);
	assert_non_null(e->pair);
	e->a.link = link_pair_end(e->pair, 0);
	e->b.link = link_pair_end(e->pair, 1);
	e->a.link->handler = (struct link_handler){
		engine_a_message, engine_a_closed, engine_a_writable, e };
	e->b.link->handler = (struct link_handler){
		engine_b_message, engine_b_closed, engine_b_writable, e };
	e->connect_at = sim_now(e->w) + 2 * MS;
	e->running = &e->b;
	if (secondary_link_up(e->secondary, e->b.link))
		engine_hang_up(&e->b);
	e->running = &e->a;
	primary_link_up(e->primary, e->a.link);
	e->running = NULL;
}

/* --- lives ----------------------------------------------------------------------- */

static inline void engine_a_die(struct engine *e)
{
	struct status s;

	if (!e->primary)
		return;
	primary_status(e->primary, &s);
	engine_sent.same += s.sent.codec.same;
	engine_sent.delta += s.sent.codec.delta;
	e->outcome = primary_outcome(e->primary);
	primary_free(e->primary);
	e->primary = NULL;
	outbox_close(e->outbox);
	if (e->a.gate)
		e->a.gate->ops->close(e->a.gate);
	e->a.gate = NULL;
	e->a.platform->ops->close(e->a.platform);
	engine_hang_up(&e->a);
	e->a.alive = false;
}

static inline void engine_b_die(struct engine *e)
{
	if (!e->secondary)
		return;
	secondary_free(e->secondary);
	e->secondary = NULL;
	staging_close(e->staging);
	e->b.platform->ops->close(e->b.platform);
	engine_hang_up(&e->b);
	e->b.alive = false;
}

/* Open what a controller of host 0 works on.  0, or -1: it cannot live. */
static inline int engine_a_born(struct engine *e)
{
	struct primary_config c;
	struct platform *p;
	struct gate *g;
	char why[PLATFORM_WHY_MAX];

	if (platform_open_sim(&p, e->w, 0, GUEST, why))
		return -1;
	g = gate_sim_open(e->w, 0, DOMID);
	assert_non_null(g);
	e->a.event_fd = p->ops->event_fd(p);
	e->a.gate_fd = g->ops->event_fd(g);
	e->a.platform = fault_platform(p, &e->a.plan);
	e->a.gate = fault_gate(g, &e->a.plan);
	e->outbox = outbox_open(e->outbox_fd, CKPT_PAGES);
	assert_non_null(e->outbox);
	primary_config_default(&c);
	c.max_epoch = e->max_epoch;
	c.heartbeat = 2 * MS;
	c.silence = 20 * MS;
	c.settle_bound = 5 * MS;
	c.drain_bound = 5 * MS;
	c.codec_cache = CODEC_PAGES;
	memset(c.session, 0x5a, sizeof(c.session));
	e->primary = primary_new(e->a.platform, e->a.gate, e->outbox, &c,
				 &e->a.report);
	assert_non_null(e->primary);
	e->primary_lives++;
	e->a.alive = true;
	return 0;
}

static inline int engine_fence(void *arg, const uint8_t host[16],
			       const struct platform_info *guest)
{
	struct engine *e = arg;

	(void)host;
	(void)guest;
	e->fence_at = sim_now(e->w) + 1 * MS;
	return 0;
}

static inline int engine_b_born(struct engine *e)
{
	struct secondary_config c;
	struct platform *p;
	char why[PLATFORM_WHY_MAX];

	if (platform_open_sim(&p, e->w, 1, NULL, why))
		return -1;
	e->b.platform = fault_platform(p, &e->b.plan);
	e->staging = staging_open(e->staging_fd, why);
	assert_non_null(e->staging);
	secondary_config_default(&c);
	c.heartbeat = 2 * MS;
	c.silence = 20 * MS;
	c.grace = e->grace;
	c.fence_retry = 5 * MS;
	if (!e->no_fence) {
		c.fence = engine_fence;
		c.fence_arg = e;
	}
	e->secondary = secondary_new(e->b.platform, e->staging, &c,
				     &e->b.report);
	assert_non_null(e->secondary);
	e->b.alive = true;
	return secondary_attach(e->secondary);
}

static inline void engine_side(struct engine *e, struct side *s,
			       unsigned int host)
{
	s->e = e;
	s->host = host;
	s->plan = (struct fault_plan){ .at = FAULT_NEVER };
	s->plan.delay = engine_delay;
	s->plan.delay_arg = s;
	s->kill_at = FAULT_NEVER;
	s->report = (struct report){ engine_say, s };
}

static inline void engine_new(struct engine *e, uint64_t seed)
{
	struct sim_knobs k = sim_knobs_default();

	memset(e, 0, sizeof(*e));
	k.pages = GUEST_PAGES;
	e->seed = seed;
	e->max_epoch = 1 * MS;
	e->grace = 10 * MS;
	e->w = sim_world_new(seed, &k);
	assert_non_null(e->w);
	assert_int_equal(sim_start(e->w, 0, GUEST, DOMID), 0);
	sim_run(e->w, 1 * MS);
	e->outbox_fd = memfd_create("outbox", MFD_CLOEXEC);
	e->staging_fd = staging_create(CKPT_PAGES, STATE_ROOM);
	assert_true(e->outbox_fd >= 0 && e->staging_fd >= 0);
	e->knobs = (struct link_pair_knobs){ .delay_min = 10 * US,
					     .delay_max = 30 * US };
	engine_side(e, &e->a, 0);
	engine_side(e, &e->b, 1);
	e->verbose = getenv("KEMARI_VERBOSE") != NULL;
}

static inline void engine_free(struct engine *e)
{
	engine_a_die(e);
	engine_b_die(e);
	engine_reap_pair(e);
	close(e->outbox_fd);
	close(e->staging_fd);
	sim_world_free(e->w);
}

/* --- time ------------------------------------------------------------------------- */

static inline bool engine_readable(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };

	return poll(&f, 1, 0) == 1;
}

static inline void engine_sooner(uint64_t *wait, uint64_t now, uint64_t at)
{
	uint64_t d = at > now ? at - now : 0;

	if (d < *wait)
		*wait = d;
}

/* Is there a primary that takes events? */
static inline bool engine_listens(struct engine *e)
{
	return e->primary && primary_outcome(e->primary) == PRIMARY_GOING;
}

/* One thing that is due; false if nothing is. */
static inline bool engine_act(struct engine *e)
{
	uint64_t now = sim_now(e->w);

	if (e->fence_at && now >= e->fence_at) {
		bool ok = !e->fences_failing;

		e->fence_at = 0;
		if (ok)
			sim_power_off(e->w, 0);
		else
			e->fences_failing--;
		e->running = &e->b;
		if (e->secondary)
			secondary_fence_done(e->secondary, ok, "exit 1");
		return true;
	}
	e->running = &e->b;
	if (e->secondary &&
	    sim_host_now(e->w, 1) >= secondary_deadline(e->secondary)) {
		secondary_tick(e->secondary);
		return true;
	}
	e->running = &e->a;
	/* One that cannot be taken is no reason to let time stand still. */
	if (engine_listens(e) && engine_readable(e->a.event_fd)) {
		primary_platform_event(e->primary);
		if (!engine_readable(e->a.event_fd))
			return true;
	}
	if (engine_listens(e) && primary_gate_is_shut(e->primary) &&
	    engine_readable(e->a.gate_fd)) {
		primary_gate_event(e->primary);
		if (!engine_readable(e->a.gate_fd))
			return true;
	}
	if (e->primary &&
	    sim_host_now(e->w, 0) >= primary_deadline(e->primary)) {
		primary_tick(e->primary);
		return true;
	}
	/* Either end may be told; which one is killed then is all the same:
	 * its call counts, not ours. */
	e->running = e->a.kill_at != FAULT_NEVER ? &e->a : &e->b;
	return e->pair && link_pair_run(e->pair, now);
}

/* A controller died in the middle: its parent starts it again. */
static inline void engine_bury(struct engine *e)
{
	uint64_t at = sim_now(e->w) + 1 * MS;

	if (e->running == &e->a) {
		engine_a_die(e);
		e->a_restart_at = at;
	} else {
		engine_b_die(e);
		e->b_restart_at = at;
	}
	e->running = NULL;
}

static inline void engine_revive(struct engine *e)
{
	uint64_t now = sim_now(e->w);

	if (e->a_restart_at && now >= e->a_restart_at) {
		e->a_restart_at = 0;
		if (!engine_a_born(e) && primary_attach(e->primary)) {
			e->a_restart_at = errno == ENOENT ? 0 : now + 1 * MS;
			engine_a_die(e);
		}
	}
	if (e->b_restart_at && now >= e->b_restart_at) {
		e->b_restart_at = 0;
		if (engine_b_born(e)) {
			e->b_restart_at = now + 1 * MS;
			engine_b_die(e);
		}
	}
}

/* A session is over: the next conductor listens. */
static inline void engine_next_session(struct engine *e)
{
	enum secondary_outcome o;

	if (!e->secondary)
		return;
	o = secondary_outcome(e->secondary);
	if (o != SECONDARY_ENDED && o != SECONDARY_ABANDONED)
		return;
	engine_b_die(e);
	(void)engine_b_born(e);
}

/* How long nothing is due, at most @most. */
static inline uint64_t engine_idle(struct engine *e, uint64_t most)
{
	uint64_t wait = most, now = sim_now(e->w);

	if (e->primary)
		engine_sooner(&wait, sim_host_now(e->w, 0),
			      primary_deadline(e->primary));
	if (e->secondary)
		engine_sooner(&wait, sim_host_now(e->w, 1),
			      secondary_deadline(e->secondary));
	if (e->pair)
		engine_sooner(&wait, now, link_pair_next(e->pair));
	else if (!e->no_link && e->connect_at > now)
		engine_sooner(&wait, now, e->connect_at);
	if (e->fence_at)
		engine_sooner(&wait, now, e->fence_at);
	if (e->a_restart_at)
		engine_sooner(&wait, now, e->a_restart_at);
	if (e->b_restart_at)
		engine_sooner(&wait, now, e->b_restart_at);
	/* Clocks drift: what is due there may not be due here yet. */
	return wait < 1 * US ? 1 * US : wait;
}

/* INV-1 as seen from here: released only what the primary saw committed. */
static inline void engine_watch(struct engine *e)
{
	struct status s;

	if (!e->primary)
		return;
	primary_state(e->primary, &s);
	if (s.committed > e->acked)
		e->acked = s.committed;
}

/** engine_step() - Do what is due, else let up to @most pass */
static inline void engine_step(struct engine *e, uint64_t most)
{
	bool did;

	engine_reap_pair(e);
	engine_revive(e);
	if (sigsetjmp(e->kill, 0)) {
		engine_bury(e);
		return;
	}
	engine_connect(e);
	did = engine_act(e);
	e->running = NULL;
	engine_next_session(e);
	engine_watch(e);
	if (e->pair && e->connections == e->cut_connection) {
		e->bytes[0] = link_pair_sent(e->pair, 0);
		e->bytes[1] = link_pair_sent(e->pair, 1);
	}
	if (did)
		return;
	if (engine_listens(e) && !engine_readable(e->a.event_fd) &&
	    !engine_readable(e->a.gate_fd))
		sim_run_to_event(e->w, engine_idle(e, most));
	else
		sim_run(e->w, engine_idle(e, most));
}

/** engine_run() - For @ns */
static inline void engine_run(struct engine *e, uint64_t ns)
{
	uint64_t end = sim_now(e->w) + ns;

	while (sim_now(e->w) < end)
		engine_step(e, end - sim_now(e->w));
}

/** engine_until() - Until @done says so, for at most @ns; whether it did */
static inline bool engine_until(struct engine *e, uint64_t ns,
				bool (*done)(struct engine *e))
{
	uint64_t end = sim_now(e->w) + ns;

	while (!done(e)) {
		if (sim_now(e->w) >= end)
			return false;
		engine_step(e, end - sim_now(e->w));
	}
	return true;
}

/** engine_start() - Both conductors, a fresh protection; 0 or -1 */
static inline int engine_start(struct engine *e)
{
	int r;

	/* Faults begin with the first call of a conductor. */
	assert_int_equal(engine_b_born(e), 0);
	assert_int_equal(engine_a_born(e), 0);
	if (sigsetjmp(e->kill, 0)) {
		engine_a_die(e);
		return -1;
	}
	e->running = &e->a;
	r = primary_start(e->primary);
	e->running = NULL;
	return r;
}

/** engine_assert_refers() - Pages that refer to others were under way: what
 *			     was tested was tested with them */
static inline void engine_assert_refers(uint64_t least)
{
	print_message("%llu pages as before, %llu by what changed\n",
		      (unsigned long long)engine_sent.same,
		      (unsigned long long)engine_sent.delta);
	assert_true(engine_sent.same >= least && engine_sent.delta >= least);
	engine_sent = (struct codec_stats){ 0 };
}

static inline void engine_assert_sound(struct engine *e)
{
	const char *bad = sim_check(e->w);

	if (bad)
		fail_msg("seed %llu, %llu us: %s", (unsigned long long)e->seed,
			 (unsigned long long)(sim_now(e->w) / US), bad);
}

/* --- questions for engine_until() ---------------------------------------------------- */

static inline bool engine_protected(struct engine *e)
{
	struct status s;

	if (!e->primary)
		return false;
	primary_status(e->primary, &s);
	return s.state == STATUS_PROTECTED && s.committed;
}

static inline bool engine_committed_some(struct engine *e)
{
	struct status s;

	if (!e->primary)
		return false;
	primary_status(e->primary, &s);
	return s.state == STATUS_PROTECTED && s.stats.checkpoints >= 6;
}

static inline bool engine_primary_over(struct engine *e)
{
	return !e->primary || primary_outcome(e->primary) != PRIMARY_GOING;
}

static inline bool engine_took_over(struct engine *e)
{
	return e->secondary &&
	       secondary_outcome(e->secondary) == SECONDARY_TOOK_OVER;
}

static inline bool engine_empty_standby(struct engine *e)
{
	return e->secondary &&
	       staging_view(e->staging)->phase == STAGING_EMPTY;
}

static inline uint64_t engine_disk_outputs(struct engine *e)
{
	const struct sim_output *o;
	size_t n = sim_outputs(e->w, &o), disk = 0;

	for (size_t i = 0; i < n; i++)
		disk += o[i].port == SIM_PORT_DISK;
	return disk;
}

static inline bool engine_runs(struct engine *e, unsigned int host)
{
	struct sim_domain_info i;

	return !sim_domain_info(e->w, host, DOMID, &i) && i.running;
}

/** engine_assert_free() - The guest of host 0 runs, and so does its disk: no
 *			   gate was left shut (INV-37) */
static inline void engine_assert_free(struct engine *e)
{
	uint64_t before = engine_disk_outputs(e);

	assert_true(engine_runs(e, 0));
	sim_run(e->w, 20 * MS);
	assert_true(engine_disk_outputs(e) > before);
	engine_assert_sound(e);
}

#endif
