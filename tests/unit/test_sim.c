// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_sim.c - the simulated world itself: it must be able to fail
 *
 * A small engine, as simple as can be, protects the guest; then each of its
 * duties is left out in turn, and the observer must notice.
 */
#include "backends/gate.h"
#include "backends/gate_sim.h"
#include "libxc-ext/platform_sim.h"
#include "replicator/sticky.h"
#include "tests/fault_plan.h"
#include "tests/fault_platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DOMID = 7, GFNS = SIM_PAGES_MAX, DIRTY_LIMIT = 200,
       STATE_MAX = 16384 };

#define MS 1000000ull

/* What the small engine leaves out. */
enum sin {
	SIN_NONE,
	SIN_NO_PAGES,		/* dirty pages are not sent */
	SIN_LATE_PAGES,		/* the guest runs between harvest and copy */
	SIN_EARLY_GO,		/* the guest runs before the console drained */
	SIN_NO_FENCE,		/* no gate */
	SIN_NO_SPECIAL,		/* no always-copy set */
	SIN_UNSETTLED,		/* captured whatever the store does */
	SIN_TWO_RUN,		/* the primary is not cut off */
	SIN_OLD_STATE,		/* vCPUs of another checkpoint */
};

/** struct state - records of one checkpoint, sticky ones merged */
struct state {
	uint8_t bytes[STATE_MAX];
	size_t used;
};

struct engine {
	struct sim_world *w;
	struct platform *a, *b;
	struct gate *g;
	struct recbuf sent;
	struct state state, last;
	uint64_t epoch, copied;
	uint64_t state_time;
	enum sin sin;
};

static uint64_t gfns[GFNS];

static void copy_page(struct engine *e, uint64_t gfn)
{
	const void *from = e->a->ops->page(e->a, gfn);
	void *to = e->b->ops->page_rw(e->b, gfn);

	assert_non_null(from);
	assert_non_null(to);
	memcpy(to, from, PLATFORM_PAGE);
	e->copied++;
}

static void copy_all(struct engine *e)
{
	struct gfn_range r[8];
	size_t n = 8, i;
	uint64_t gfn;

	assert_int_equal(e->a->ops->ranges(e->a, r, &n), 0);
	for (i = 0; i < n; i++)
		for (gfn = r[i].first; gfn < r[i].first + r[i].count; gfn++)
			copy_page(e, gfn);
}

static void engine_begin(struct engine *e, uint64_t seed, enum sin sin,
			 const struct sim_knobs *knobs)
{
	struct recbuf shell = { 0 };
	char why[PLATFORM_WHY_MAX];

	*e = (struct engine){ .sin = sin };
	e->w = sim_world_new(seed, knobs);
	assert_non_null(e->w);
	assert_int_equal(sim_start(e->w, 0, "guest", DOMID), 0);
	sim_run(e->w, 5 * MS);
	assert_null(sim_check(e->w));
	assert_int_equal(platform_open_sim(&e->a, e->w, 0, "guest", why), 0);
	assert_int_equal(platform_open_sim(&e->b, e->w, 1, NULL, why), 0);
	assert_int_equal(e->a->ops->describe(e->a, &shell), 0);
	assert_int_equal(e->b->ops->build(e->b, 1, shell.bytes, shell.used),
			 0);
	recbuf_free(&shell);
	if (sin != SIN_NO_FENCE) {
		e->g = gate_sim_open(e->w, 0, DOMID);
		assert_non_null(e->g);
		assert_int_equal(e->g->ops->shut(e->g, 1), 0);
	}
	assert_int_equal(e->a->ops->enable(e->a, 1, PLATFORM_SYNC,
					   DIRTY_LIMIT), 0);
	assert_int_equal(e->a->ops->track(e->a), 0);
	copy_all(e);
}

static void engine_end(struct engine *e)
{
	if (e->g)
		e->g->ops->close(e->g);
	e->a->ops->close(e->a);
	e->b->ops->close(e->b);
	recbuf_free(&e->sent);
	sim_world_free(e->w);
}

/* Stop at a moment when the store is at rest. */
static void settle(struct engine *e)
{
	int r, tries = 0;

	assert_int_equal(e->a->ops->stop(e->a), 0);
	while (e->sin != SIN_UNSETTLED &&
	       (r = e->a->ops->settled(e->a)) != 1) {
		assert_int_equal(r, 0);
		assert_true(tries++ < 10000);
		assert_int_equal(e->a->ops->go(e->a), 0);
		sim_run(e->w, sim_knobs(e->w)->step_ns);
		assert_int_equal(e->a->ops->stop(e->a), 0);
	}
}

static void capture(struct engine *e)
{
	struct platform *a = e->a;
	size_t n, i;

	e->last = e->state;
	recbuf_reset(&e->sent);
	e->epoch++;
	settle(e);
	if (e->g) {
		assert_int_equal(e->g->ops->freeze(e->g, 1), 0);
		assert_int_equal(e->g->ops->capture(e->g, 1, e->epoch), 0);
	}
	assert_int_equal(a->ops->begin(a, 1, e->epoch, false), 0);
	assert_int_equal(a->ops->save(a, PLATFORM_EARLY, &e->sent), 0);
	assert_int_equal(a->ops->harvest(a, gfns, GFNS, &n), 0);
	if (e->sin == SIN_LATE_PAGES) {
		assert_int_equal(a->ops->release(a, 1, e->epoch), 0);
		assert_int_equal(a->ops->go(a), 0);
		sim_run(e->w, MS);
		assert_int_equal(a->ops->stop(a), 0);
	}
	for (i = 0; i < n; i++) {
		if (e->sin == SIN_NO_PAGES && gfns[i] % 16 == 3)
			continue;
		if (e->sin == SIN_NO_SPECIAL && gfns[i] > SIM_PAGES_MAX)
			continue;
		copy_page(e, gfns[i]);
	}
	assert_int_equal(a->ops->save(a, PLATFORM_LATE, &e->sent), 0);
	assert_int_equal(sticky_merge(e->last.used ? e->last.bytes : NULL,
				      e->last.used, e->sent.bytes,
				      e->sent.used, e->state.bytes, STATE_MAX,
				      &e->state.used), 0);
	assert_int_equal(a->ops->guest_time(a, &e->state_time), 0);
	if (e->g)
		assert_int_equal(e->g->ops->thaw(e->g, 1), 0);
}

static void release(struct engine *e)
{
	int r, tries = 0;

	if (e->g)
		assert_int_equal(e->g->ops->release(e->g, 1, e->epoch), 0);
	if (e->sin != SIN_LATE_PAGES)
		assert_int_equal(e->a->ops->release(e->a, 1, e->epoch), 0);
	while (e->sin != SIN_EARLY_GO &&
	       (r = e->a->ops->drained(e->a)) != 1) {
		assert_int_equal(r, 0);
		assert_true(tries++ < 10000);
		sim_run(e->w, 10000);
	}
	assert_int_equal(e->a->ops->go(e->a), 0);
}

static void checkpoint(struct engine *e)
{
	capture(e);
	release(e);
}

static void take_over(struct engine *e)
{
	const struct state *s = e->sin == SIN_OLD_STATE ? &e->last :
							  &e->state;
	uint64_t time = e->state_time;

	if (e->sin != SIN_TWO_RUN)
		sim_power_off(e->w, 0);
	sim_run(e->w, 20 * MS);
	assert_int_equal(e->b->ops->load(e->b, s->bytes, s->used,
					 time + 20 * MS), 0);
	assert_int_equal(e->b->ops->activate(e->b, 1, 2), 0);
	if (e->sin == SIN_TWO_RUN)
		assert_int_equal(e->a->ops->go(e->a), 0);
	sim_run(e->w, 20 * MS);
}

/* Does the observer say something after a run with @sin?  Any seed will do. */
static bool noticed(enum sin sin, uint64_t seed)
{
	struct sim_knobs knobs = sim_knobs_default();
	struct engine e;
	bool bad;
	int i;

	knobs.store = sin == SIN_UNSETTLED ? 300 : knobs.store;
	knobs.transaction = sin == SIN_UNSETTLED ? 0 : knobs.transaction;
	knobs.console = sin == SIN_EARLY_GO ? 100 : knobs.console;
	engine_begin(&e, seed, sin, &knobs);
	for (i = 0; i < 60; i++) {
		(void)sim_run_to_event(e.w, MS);
		assert_true(e.a->ops->events(e.a) >= 0);
		checkpoint(&e);
	}
	(void)sim_run_to_event(e.w, seed % 7 * MS / 3);
	if (seed % 2) {
		/* The last one does not arrive: as if it had not been. */
		assert_int_equal(e.a->ops->stop(e.a), 0);
		sim_run(e.w, MS);
	}
	take_over(&e);
	bad = sim_check(e.w);
	if (getenv("SIM_VERBOSE"))
		print_message("sin %d seed %llu: %s\n", sin,
			      (unsigned long long)seed,
			      bad ? sim_check(e.w) : "nothing");
	engine_end(&e);
	return bad;
}

static void test_good_engine(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++)
		assert_false(noticed(SIN_NONE, seed));
}

/* INV-2, INV-4, INV-9, INV-11, INV-12, INV-13, INV-26: each can be lost. */
static void test_each_sin(void **state)
{
	static const enum sin sins[] = {
		SIN_NO_PAGES, SIN_LATE_PAGES, SIN_EARLY_GO, SIN_NO_FENCE,
		SIN_NO_SPECIAL, SIN_UNSETTLED, SIN_TWO_RUN, SIN_OLD_STATE,
	};
	unsigned int seen;
	uint64_t seed;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sins) / sizeof(sins[0]); i++) {
		seen = 0;
		for (seed = 1; seed <= 20; seed++)
			seen += noticed(sins[i], seed);
		if (!seen)
			fail_msg("sin %d was never noticed", sins[i]);
	}
}

/* --- the world ---------------------------------------------------------- */

static uint64_t digest_after(uint64_t seed)
{
	struct sim_world *w = sim_world_new(seed, NULL);
	struct sim_domain_info info;

	assert_non_null(w);
	assert_int_equal(sim_start(w, 0, "guest", DOMID), 0);
	sim_run(w, 20 * MS);
	assert_int_equal(sim_domain_info(w, 0, DOMID, &info), 0);
	assert_null(sim_check(w));
	sim_world_free(w);
	return info.digest;
}

static void test_seed_repeats(void **state)
{
	(void)state;
	assert_true(digest_after(1) == digest_after(1));
	assert_true(digest_after(1) != digest_after(2));
}

static void test_bad_knobs(void **state)
{
	struct sim_knobs k = sim_knobs_default();

	(void)state;
	k.pages = SIM_PAGES_MAX + 1;
	assert_null(sim_world_new(1, &k));
	assert_int_equal(errno, EINVAL);
	k = sim_knobs_default();
	k.hosts = 1;
	assert_null(sim_world_new(1, &k));
	k = sim_knobs_default();
	k.step_ns = 0;
	assert_null(sim_world_new(1, &k));
}

static struct platform *open_guest(struct sim_world *w, const char *name)
{
	char why[PLATFORM_WHY_MAX];
	struct platform *p;

	assert_int_equal(platform_open_sim(&p, w, 0, name, why), 0);
	return p;
}

static void test_power_off(void **state)
{
	char why[PLATFORM_WHY_MAX];
	struct platform_query q;
	struct sim_output last;
	const struct sim_output *o;
	struct platform *p;
	struct engine e;
	size_t n;

	(void)state;
	engine_begin(&e, 1, SIN_NONE, NULL);
	n = sim_outputs(e.w, &o);
	assert_true(n > 0);
	last = o[n - 1];
	sim_power_off(e.w, 0);
	sim_run(e.w, 50 * MS);
	assert_int_equal(sim_outputs(e.w, &o), n);
	assert_memory_equal(&o[n - 1], &last, sizeof(last));
	assert_int_equal(e.a->ops->query(e.a, &q), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(e.a->ops->stop(e.a), -1);
	assert_int_equal(errno, EIO);
	assert_null(e.a->ops->page(e.a, 0));
	assert_int_equal(e.a->ops->events(e.a), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(platform_open_sim(&p, e.w, 0, "guest", why), -1);
	assert_int_equal(errno, EIO);
	engine_end(&e);
}

/* INV-7: a shutdown is output. */
static void test_shutdown_is_held(void **state)
{
	const struct sim_output *o;
	struct platform_query q;
	struct engine e;
	size_t n;

	(void)state;
	engine_begin(&e, 1, SIN_NONE, NULL);
	checkpoint(&e);
	assert_int_equal(sim_shutdown(e.w, 0, DOMID, 0), 0);
	while (!(e.a->ops->events(e.a) & PLATFORM_EV_SHUTDOWN)) {
		checkpoint(&e);
		sim_run(e.w, 10000);
	}
	sim_run(e.w, 50 * MS);
	assert_int_equal(e.a->ops->query(e.a, &q), 0);
	assert_true(q.shutdown);
	assert_true(q.stopped);
	assert_int_equal(e.a->ops->go(e.a), -1);
	assert_int_equal(errno, EBUSY);
	n = sim_outputs(e.w, &o);
	assert_int_not_equal(o[n - 1].port, SIM_PORT_SHUTDOWN);
	capture(&e);
	assert_int_equal(e.a->ops->release(e.a, 1, e.epoch), 0);
	n = sim_outputs(e.w, &o);
	assert_int_equal(o[n - 1].port, SIM_PORT_SHUTDOWN);
	assert_int_equal(e.a->ops->query(e.a, &q), 0);
	assert_int_equal(q.role, PLATFORM_NONE);
	assert_int_equal(e.a->ops->events(e.a), PLATFORM_EV_GONE);
	assert_null(sim_check(e.w));

	/* INV-29: the observer notices a revival. */
	assert_int_equal(e.b->ops->load(e.b, e.state.bytes, e.state.used,
					e.state_time), 0);
	assert_int_equal(e.b->ops->activate(e.b, 1, 2), 0);
	assert_non_null(sim_check(e.w));
	engine_end(&e);
}

/* INV-14 */
static void test_lost_information(void **state)
{
	struct platform_query q;
	struct engine e;
	size_t n;

	(void)state;
	engine_begin(&e, 1, SIN_NONE, NULL);
	checkpoint(&e);
	assert_int_equal(sim_lose_dirty(e.w, 0, DOMID), 0);
	assert_int_equal(e.a->ops->query(e.a, &q), 0);
	assert_true(q.lost);
	assert_int_equal(e.a->ops->stop(e.a), 0);
	assert_int_equal(e.a->ops->harvest(e.a, gfns, GFNS, &n), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(e.a->ops->track(e.a), 0);
	assert_int_equal(e.a->ops->query(e.a, &q), 0);
	assert_false(q.lost);
	assert_int_equal(e.a->ops->harvest(e.a, gfns, GFNS, &n), 0);
	engine_end(&e);
}

static void test_taken_and_full(void **state)
{
	struct sim_knobs k = sim_knobs_default();
	struct recbuf shell = { 0 };
	char why[PLATFORM_WHY_MAX];
	struct platform *a, *b;
	struct sim_world *w;

	(void)state;
	k.host_pages = k.pages + 10;
	w = sim_world_new(1, &k);
	assert_non_null(w);
	assert_int_equal(sim_start(w, 0, "guest", DOMID), 0);
	assert_int_equal(sim_start(w, 0, "more", DOMID + 1), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(sim_start(w, 1, "other", DOMID), 0);
	a = open_guest(w, "guest");
	assert_int_equal(a->ops->describe(a, &shell), 0);
	assert_int_equal(platform_open_sim(&b, w, 1, NULL, why), 0);
	assert_int_equal(b->ops->build(b, 1, shell.bytes, shell.used), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_non_null(strstr(platform_why(b), "other"));
	assert_int_equal(sim_destroy(w, 1, DOMID), 0);
	assert_int_equal(b->ops->build(b, 1, shell.bytes, shell.used), 0);
	assert_int_equal(sim_start(w, 1, "third", DOMID + 1), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(sim_ineligible(w, 0, DOMID, "it has wings"), 0);
	assert_int_equal(a->ops->enable(a, 1, PLATFORM_SYNC, 1), -1);
	assert_int_equal(errno, EXDEV);
	a->ops->close(a);
	b->ops->close(b);
	recbuf_free(&shell);
	sim_world_free(w);
}

/* A receiver that is killed while it writes: what it wrote stays, its standby
 * is found again by another process. */
static void test_killed_receiver(void **state)
{
	struct recbuf shell = { 0 };
	char why[PLATFORM_WHY_MAX];
	struct platform *b;
	struct engine e;
	pid_t child;
	int status;

	(void)state;
	engine_begin(&e, 1, SIN_NONE, NULL);
	assert_int_equal(e.a->ops->describe(e.a, &shell), 0);
	e.b->ops->close(e.b);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (platform_open_sim(&b, e.w, 1, NULL, why) ||
		    b->ops->attach(b, shell.bytes, shell.used))
			_exit(1);
		memset(b->ops->page_rw(b, 5), 0x5a, PLATFORM_PAGE);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(platform_open_sim(&e.b, e.w, 1, NULL, why), 0);
	assert_int_equal(e.b->ops->attach(e.b, shell.bytes, shell.used), 0);
	assert_int_equal(((uint8_t *)e.b->ops->page_rw(e.b, 5))[4095], 0x5a);
	copy_all(&e);
	checkpoint(&e);
	take_over(&e);
	assert_null(sim_check(e.w));
	recbuf_free(&shell);
	engine_end(&e);
}

/* --- faults ------------------------------------------------------------- */

static void test_fault_platform(void **state)
{
	struct fault_plan plan = fault_nth(1, FAULT_ONCE, ENOMEM);
	struct sim_world *w = sim_world_new(1, NULL);
	struct platform_query q;
	struct platform *p;

	(void)state;
	assert_non_null(w);
	assert_int_equal(sim_start(w, 0, "guest", DOMID), 0);
	p = fault_platform(open_guest(w, "guest"), &plan);
	assert_non_null(p);
	assert_int_equal(p->ops->enable(p, 1, PLATFORM_SYNC, 100), 0);
	assert_int_equal(p->ops->stop(p), -1);
	assert_int_equal(errno, ENOMEM);
	assert_non_null(strstr(platform_why(p), "stop"));
	assert_int_equal(p->ops->query(p, &q), 0);
	assert_false(q.stopped);
	/* The platform's own reasons come through. */
	assert_int_equal(p->ops->enable(p, 1, PLATFORM_SYNC, 100), -1);
	assert_int_equal(errno, EBUSY);
	assert_non_null(strstr(platform_why(p), "already"));

	plan = fault_nth(0, FAULT_ALL, EIO);
	plan.done = true;
	assert_int_equal(p->ops->stop(p), -1);
	assert_int_equal(p->ops->track(p), -1);
	plan = fault_nth(FAULT_NEVER, FAULT_ONCE, EIO);
	assert_int_equal(p->ops->query(p, &q), 0);
	assert_true(q.stopped);

	plan.pages = true;
	plan.at = 2;
	assert_non_null(p->ops->page(p, 0));
	assert_null(p->ops->page(p, 0));
	assert_non_null(p->ops->page(p, 0));
	p->ops->close(p);
	sim_world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_engine),
		cmocka_unit_test(test_each_sin),
		cmocka_unit_test(test_seed_repeats),
		cmocka_unit_test(test_bad_knobs),
		cmocka_unit_test(test_power_off),
		cmocka_unit_test(test_shutdown_is_held),
		cmocka_unit_test(test_lost_information),
		cmocka_unit_test(test_taken_and_full),
		cmocka_unit_test(test_killed_receiver),
		cmocka_unit_test(test_fault_platform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
