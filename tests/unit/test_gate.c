// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_gate.c - the order of calls that every gate keeps, and what the
 * simulated one does to its disk (INV-1, INV-5, INV-28)
 */
#include "backends/gate.h"
#include "backends/gate_sim.h"
#include "libxc-ext/platform_sim.h"
#include "tests/fault_gate.h"
#include "tests/fault_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>

enum { DOMID = 3 };

#define MS 1000000ull

#define assert_ok(expr) assert_int_equal(expr, 0)
#define assert_errno(expr, want)					\
	do {								\
		errno = 0;						\
		assert_int_equal(expr, -1);				\
		assert_int_equal(errno, want);				\
	} while (0)

/** struct fixture - a gate of one kind */
struct fixture {
	struct sim_world *w;
	struct gate *g;
};

static struct gate *open_none(struct fixture *f)
{
	(void)f;
	return gate_none();
}

static struct gate *open_sim(struct fixture *f)
{
	return gate_sim_open(f->w, 0, DOMID);
}

static struct gate *(*const openers[])(struct fixture *) = {
	open_none, open_sim,
};

static void begin(struct fixture *f, struct gate *(*open)(struct fixture *))
{
	f->w = sim_world_new(1, NULL);
	assert_non_null(f->w);
	assert_ok(sim_start(f->w, 0, "guest", DOMID));
	f->g = open(f);
	assert_non_null(f->g);
}

static void end(struct fixture *f)
{
	f->g->ops->close(f->g);
	sim_world_free(f->w);
}

static void order(struct gate *g)
{
	const struct gate_ops *o = g->ops;

	assert_errno(o->shut(g, 0), EINVAL);
	assert_ok(o->shut(g, 5));
	assert_ok(o->shut(g, 5));
	assert_errno(o->freeze(g, 0), EINVAL);
	assert_errno(o->capture(g, 5, 1), EAGAIN);
	assert_ok(o->freeze(g, 5));
	assert_errno(o->capture(g, 5, 0), EINVAL);
	assert_ok(o->freeze(g, 5));
	assert_ok(o->capture(g, 5, 1));
	assert_errno(o->capture(g, 5, 1), ERANGE);
	assert_errno(o->release(g, 5, 2), ERANGE);
	assert_errno(o->release(g, 5, 0), EINVAL);
	assert_ok(o->thaw(g, 5));
	assert_ok(o->thaw(g, 5));
	assert_errno(o->capture(g, 5, 2), EAGAIN);
	assert_ok(o->release(g, 5, 1));
	assert_errno(o->release(g, 5, 1), EALREADY);

	/* Two captured, never released: the later one takes both. */
	assert_ok(o->freeze(g, 5));
	assert_ok(o->capture(g, 5, 2));
	assert_ok(o->capture(g, 5, 3));
	assert_ok(o->thaw(g, 5));
	assert_ok(o->release(g, 5, 3));
	assert_errno(o->release(g, 5, 2), EALREADY);
}

static void generations(struct gate *g)
{
	const struct gate_ops *o = g->ops;

	assert_ok(o->freeze(g, 5));
	assert_ok(o->capture(g, 5, 9));
	assert_errno(o->shut(g, 4), ESTALE);
	assert_errno(o->freeze(g, 4), ESTALE);
	assert_errno(o->capture(g, 4, 10), ESTALE);
	assert_errno(o->thaw(g, 4), ESTALE);
	assert_errno(o->release(g, 4, 9), ESTALE);
	assert_errno(o->open(g, 4), ESTALE);

	/* A newer one begins anew; what the older captured is not its own. */
	assert_errno(o->release(g, 6, 9), ERANGE);
	assert_ok(o->freeze(g, 6));
	assert_ok(o->capture(g, 6, 1));
	assert_ok(o->thaw(g, 6));
	assert_ok(o->release(g, 6, 1));
	assert_errno(o->release(g, 5, 9), ESTALE);

	assert_ok(o->open(g, 6));
	assert_ok(o->open(g, 6));
	assert_errno(o->freeze(g, 6), EPERM);
	assert_errno(o->release(g, 6, 2), EPERM);
	/* Shut again it begins anew: what was captured before is forgotten. */
	assert_ok(o->shut(g, 6));
	assert_errno(o->release(g, 6, 1), ERANGE);
	assert_ok(o->freeze(g, 6));
	assert_ok(o->capture(g, 6, 1));
	assert_ok(o->release(g, 6, 1));
	assert_ok(o->open(g, 6));
	assert_ok(o->freeze(g, 7));
}

static void for_each(void (*check)(struct gate *))
{
	struct fixture f;
	size_t i;

	for (i = 0; i < sizeof(openers) / sizeof(openers[0]); i++) {
		begin(&f, openers[i]);
		check(f.g);
		end(&f);
	}
}

static void test_order(void **state)
{
	(void)state;
	for_each(order);
}

static void test_generations(void **state)
{
	(void)state;
	for_each(generations);
}

/* A controller that was restarted: gate_none believes the first release. */
static void test_none_after_restart(void **state)
{
	struct gate *g = gate_none();

	(void)state;
	assert_non_null(g);
	assert_ok(g->ops->release(g, 3, 17));
	assert_errno(g->ops->release(g, 3, 18), ERANGE);
	g->ops->close(g);
}

static size_t disk_outputs(const struct sim_world *w)
{
	const struct sim_output *o;
	size_t n = sim_outputs(w, &o), i, disk = 0;

	for (i = 0; i < n; i++)
		disk += o[i].port == SIM_PORT_DISK;
	return disk;
}

static uint64_t queued(const struct sim_world *w)
{
	struct sim_domain_info info;

	assert_ok(sim_domain_info(w, 0, DOMID, &info));
	return info.queued;
}

static void test_sim_fence(void **state)
{
	struct fixture f;
	uint64_t first, second;

	(void)state;
	begin(&f, open_sim);
	assert_ok(f.g->ops->shut(f.g, 1));
	sim_run(f.w, 5 * MS);
	assert_int_equal(disk_outputs(f.w), 0);
	first = queued(f.w);
	assert_true(first > 0);

	assert_ok(f.g->ops->freeze(f.g, 1));
	assert_ok(f.g->ops->capture(f.g, 1, 1));
	assert_ok(f.g->ops->thaw(f.g, 1));
	sim_run(f.w, 5 * MS);
	assert_int_equal(disk_outputs(f.w), 0);
	assert_ok(f.g->ops->release(f.g, 1, 1));
	sim_run(f.w, 5 * MS);
	assert_int_equal(disk_outputs(f.w), first);

	/* Closed and found again it is as it was. */
	second = queued(f.w);
	assert_true(second > first);
	f.g->ops->close(f.g);
	sim_run(f.w, 5 * MS);
	assert_int_equal(disk_outputs(f.w), first);
	f.g = open_sim(&f);
	assert_non_null(f.g);
	assert_errno(f.g->ops->release(f.g, 1, 1), EALREADY);
	assert_ok(f.g->ops->open(f.g, 1));
	sim_run(f.w, 5 * MS);
	assert_true(disk_outputs(f.w) >= second);
	assert_null(sim_check(f.w));
	end(&f);
}

/* Frozen: requests before the fence are executed, none is answered. */
static void test_sim_frozen(void **state)
{
	struct sim_domain_info before, after;
	struct fixture f;

	(void)state;
	begin(&f, open_sim);
	assert_ok(f.g->ops->shut(f.g, 1));
	sim_run(f.w, 5 * MS);
	assert_ok(f.g->ops->freeze(f.g, 1));
	assert_ok(f.g->ops->capture(f.g, 1, 1));
	assert_ok(f.g->ops->release(f.g, 1, 1));
	sim_run(f.w, 50 * MS);
	assert_ok(sim_domain_info(f.w, 0, DOMID, &before));
	/* The guest's ring is full of unanswered requests. */
	sim_run(f.w, 50 * MS);
	assert_ok(sim_domain_info(f.w, 0, DOMID, &after));
	assert_int_equal(before.queued, after.queued);
	assert_true(after.steps > before.steps);
	assert_ok(f.g->ops->thaw(f.g, 1));
	sim_run(f.w, 50 * MS);
	assert_ok(sim_domain_info(f.w, 0, DOMID, &after));
	assert_true(after.queued > before.queued);
	assert_null(sim_check(f.w));
	end(&f);
}

/* A newer generation's epoch does not move the fence to an older one's. */
static void test_sim_takeover(void **state)
{
	struct fixture f;
	uint64_t first;

	(void)state;
	begin(&f, open_sim);
	assert_ok(f.g->ops->shut(f.g, 1));
	assert_ok(f.g->ops->freeze(f.g, 1));
	assert_ok(f.g->ops->capture(f.g, 1, 40));
	sim_run(f.w, 5 * MS);
	first = queued(f.w);
	assert_ok(f.g->ops->shut(f.g, 2));
	assert_ok(f.g->ops->capture(f.g, 2, 1));
	assert_ok(f.g->ops->thaw(f.g, 2));
	assert_ok(f.g->ops->release(f.g, 2, 1));
	sim_run(f.w, 5 * MS);
	assert_int_equal(disk_outputs(f.w), first);
	end(&f);
}

static bool readable(struct gate *g)
{
	struct pollfd p = { .fd = g->ops->event_fd(g), .events = POLLIN };

	assert_true(p.fd >= 0);
	return poll(&p, 1, 0) == 1;
}

static void test_ports(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, open_none);
	sim_run(f.w, 5 * MS);
	assert_int_equal(f.g->ops->covers(f.g, SIM_PORT_DISK), 0);
	assert_int_equal(f.g->ops->waiting(f.g), 0);
	assert_int_equal(f.g->ops->event_fd(f.g), -1);
	assert_errno(f.g->ops->beyond(f.g, 1, SIM_PORT_DISK), ENOENT);
	f.g->ops->close(f.g);

	f.g = open_sim(&f);
	assert_int_equal(f.g->ops->covers(f.g, SIM_PORT_DISK), 1);
	assert_int_equal(f.g->ops->covers(f.g, SIM_PORT_CONSOLE), 0);
	assert_ok(f.g->ops->shut(f.g, 1));
	assert_int_equal(f.g->ops->waiting(f.g), 0);
	assert_false(readable(f.g));
	assert_int_equal(f.g->ops->beyond(f.g, 1, SIM_PORT_DISK), 0);
	assert_errno(f.g->ops->beyond(f.g, 1, SIM_PORT_CONSOLE), ENOENT);
	assert_errno(f.g->ops->beyond(f.g, 0, SIM_PORT_DISK), ESTALE);
	sim_run(f.w, 5 * MS);
	assert_true(readable(f.g));
	assert_int_equal(f.g->ops->beyond(f.g, 1, SIM_PORT_DISK), 1);
	assert_int_equal(f.g->ops->waiting(f.g), 1);
	assert_false(readable(f.g));
	assert_int_equal(f.g->ops->waiting(f.g), 0);
	end(&f);
}

static void test_sim_gone(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, open_sim);
	assert_ok(sim_destroy(f.w, 0, DOMID));
	assert_errno(f.g->ops->freeze(f.g, 1), ESRCH);
	assert_null(gate_sim_open(f.w, 0, DOMID));
	assert_int_equal(errno, ENOENT);
	sim_power_off(f.w, 0);
	assert_errno(f.g->ops->freeze(f.g, 1), EIO);
	assert_null(gate_sim_open(f.w, 0, DOMID));
	assert_int_equal(errno, EIO);
	end(&f);
}

static void test_fault(void **state)
{
	struct fault_plan plan = fault_nth(1, FAULT_ONCE, ENODEV);
	struct gate *g = fault_gate(gate_none(), &plan);

	(void)state;
	assert_non_null(g);
	assert_ok(g->ops->freeze(g, 1));
	assert_errno(g->ops->capture(g, 1, 1), ENODEV);
	assert_string_equal(plan.op, "gate_capture");
	assert_ok(g->ops->capture(g, 1, 1));
	assert_int_equal(plan.fired, 1);

	/* Carried out, and the answer lost; and so is every later one. */
	plan = fault_nth(0, FAULT_OP, EIO);
	plan.done = true;
	assert_errno(g->ops->release(g, 1, 1), EIO);
	assert_ok(g->ops->thaw(g, 1));
	assert_errno(g->ops->release(g, 1, 1), EIO);
	plan = fault_nth(FAULT_NEVER, FAULT_ONCE, EIO);
	assert_errno(g->ops->release(g, 1, 1), EALREADY);
	assert_int_equal(plan.calls, 1);
	g->ops->close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_none_after_restart),
		cmocka_unit_test(test_sim_fence),
		cmocka_unit_test(test_sim_frozen),
		cmocka_unit_test(test_sim_takeover),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_sim_gone),
		cmocka_unit_test(test_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
