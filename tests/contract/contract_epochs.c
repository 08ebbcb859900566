// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contract_epochs.c - cases: epochs, dirty memory, state
 */
#include "tests/contract/contract_int.h"

#include <errno.h>
#include <stdlib.h>

/* --- epochs ------------------------------------------------------------- */

static void case_begin_rules(void **state)
{
	struct platform *p = contract_sync(*state);
	struct platform_query q;

	assert_ok(p, p->ops->stop(p));
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION - 1, 1, false),
		     ESTALE);
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 0, false),
		     EINVAL);
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 2, false),
		     EINVAL);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	q = contract_query(p);
	assert_int_equal(q.running, 2);
	assert_int_equal(q.captured, 1);
	assert_int_equal(q.held_running, 0);
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 1, true),
		     EINVAL);
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 2, false),
		     EBUSY);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 2, true));
	assert_int_equal(contract_query(p).captured, 2);
	contract_finish(p);
}

/* INV-9.  Pipelined, as no output stops the guest there. */
static void case_running_guest_is_not_captured(void **state)
{
	struct platform *p = contract_enabled(*state, PLATFORM_PIPELINED,
					      CONTRACT_DIRTY);
	size_t n;

	assert_ok(p, p->ops->go(p));
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false),
		     EAGAIN);
	assert_fails(p, p->ops->harvest(p, contract_gfns, CONTRACT_GFNS, &n),
		     EAGAIN);
	contract_finish(p);
}

/* INV-5, INV-28 */
static void case_release_rules(void **state)
{
	struct platform *p = contract_sync(*state);

	assert_ok(p, p->ops->stop(p));
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 1), ERANGE);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION - 1, 1),
		     ESTALE);
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION + 1, 1),
		     ESTALE);
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 2), ERANGE);
	assert_int_equal(contract_query(p).released, 0);
	assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, 1));
	assert_int_equal(contract_query(p).released, 1);
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 1), EALREADY);
	/* Merged into a later one it cannot leave alone. */
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 2, false));
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 3, true));
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 2), ERANGE);
	assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, 3));
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 2), EALREADY);
	contract_finish(p);
}

static void case_sync_waits_for_release(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(h);

	assert_ok(p, p->ops->stop(p));
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	assert_fails(p, p->ops->go(p), EBUSY);
	assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, 1));
	contract_wait_drained(h, p);
	assert_ok(p, p->ops->go(p));
	contract_finish(p);
}

/* ... with an epoch that holds nothing: an unfenced port would have to be
 * drained first. */
static void case_pipelined_goes_on(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_enabled(h, PLATFORM_PIPELINED,
					      CONTRACT_DIRTY);
	uint64_t epoch;

	assert_int_equal(contract_query(p).mode, PLATFORM_PIPELINED);
	for (epoch = 1;; epoch++) {
		assert_in_range(epoch, 1, CONTRACT_TRIES);
		assert_ok(p, p->ops->stop(p));
		assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, epoch,
					   false));
		if (!contract_query(p).held_captured)
			break;
		assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, epoch));
		contract_wait_drained(h, p);
		assert_ok(p, p->ops->go(p));
	}
	/* Of what was printed before the tap went on. */
	contract_wait_drained(h, p);
	assert_ok(p, p->ops->go(p));
	assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, epoch));
	contract_finish(p);
}

static void case_released_output_is_consumed(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct platform_query q;
	uint64_t epoch;

	for (epoch = 1; epoch <= 5; epoch++) {
		/* An event may be one of an epoch that is over. */
		do
			(void)contract_wait_event(h, p, PLATFORM_EV_TAP);
		while (!contract_query(p).held_running);
		contract_settle(h, p);
		assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, epoch,
					   false));
		q = contract_query(p);
		assert_true(q.held_captured > 0);
		assert_int_equal(q.held_running, 0);
		assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, epoch));
		assert_int_equal(contract_query(p).held_captured, 0);
		contract_wait_drained(h, p);
		assert_ok(p, p->ops->go(p));
	}
	contract_finish(p);
}

/* --- memory and state --------------------------------------------------- */

static void case_harvest_rules(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	size_t n, again, i;

	/* It may have been stopped before it wrote anything. */
	do {
		assert_ok(p, p->ops->go(p));
		h->pass(h->arg, CONTRACT_WAIT);
	} while (!contract_query(p).dirty);
	contract_settle(h, p);
	/* No room: nothing is taken. */
	assert_fails(p, p->ops->harvest(p, contract_gfns, 0, &n), ENOBUFS);
	assert_true(n > 0);
	assert_fails(p, p->ops->harvest(p, contract_gfns, 0, &again), ENOBUFS);
	assert_int_equal(n, again);
	assert_true(contract_query(p).dirty > 0);
	n = contract_harvest(p);
	assert_true(n > 0);
	assert_int_equal(contract_query(p).dirty, 0);
	qsort(contract_gfns, n, sizeof(contract_gfns[0]), contract_compare);
	for (i = 0; i < n; i++) {
		assert_non_null(p->ops->page(p, contract_gfns[i]));
		if (i)
			assert_true(contract_gfns[i] != contract_gfns[i - 1]);
	}
	contract_finish(p);
}

static void case_harvest_needs_track(void **state)
{
	struct platform *p = contract_primary_open(*state);
	size_t n;

	assert_ok(p, p->ops->enable(p, CONTRACT_GENERATION, PLATFORM_SYNC,
				    CONTRACT_DIRTY));
	assert_ok(p, p->ops->stop(p));
	assert_fails(p, p->ops->harvest(p, contract_gfns, CONTRACT_GFNS, &n), ENODEV);
	assert_ok(p, p->ops->track(p));
	(void)contract_harvest(p);
	contract_finish(p);
}

static void case_no_page_outside(void **state)
{
	static struct gfn_range r[PLATFORM_RANGES_MAX];
	struct platform *p = contract_sync(*state);
	size_t n = PLATFORM_RANGES_MAX;

	assert_ok(p, p->ops->ranges(p, r, &n));
	assert_non_null(p->ops->page(p, r[0].first));
	assert_non_null(p->ops->page(p, r[n - 1].first + r[n - 1].count - 1));
	assert_null(p->ops->page(p, r[n - 1].first + r[n - 1].count));
	assert_null(p->ops->page(p, PLATFORM_GFN_MAX));
	assert_null(p->ops->page(p, UINT64_MAX));
	contract_finish(p);
}

/* INV-11, INV-12: what is copied once, and again when it is harvested, is the
 * guest. */
static void case_copy_and_harvests_are_the_guest(void **state)
{
	const struct contract_host *h = *state;
	struct contract_image image = { .ranges = PLATFORM_RANGES_MAX };
	struct platform *p = contract_sync(*state);
	uint64_t bad = 0, epoch;
	size_t n, i;

	contract_copy_all(p, &image);
	for (epoch = 1; epoch <= 5; epoch++) {
		h->pass(h->arg, CONTRACT_WAIT);
		contract_settle(h, p);
		assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, epoch,
					   false));
		n = contract_harvest(p);
		for (i = 0; i < n; i++)
			contract_copy_page(p, &image, contract_gfns[i]);
		bad += contract_differences(p, &image, n);
		assert_ok(p, p->ops->release(p, CONTRACT_GENERATION, epoch));
		contract_wait_drained(h, p);
		assert_ok(p, p->ops->go(p));
	}
	assert_int_equal(bad, 0);
	contract_image_free(&image);
	contract_finish(p);
}

/* INV-15 */
static void case_changed_frames_are_noticed(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(h);
	size_t n;

	assert_false(contract_query(p).lost);
	assert_int_equal(h->extra_frame(h->arg, true), 0);
	assert_true(contract_query(p).lost);
	assert_ok(p, p->ops->stop(p));
	assert_fails(p, p->ops->track(p), EXDEV);
	assert_int_equal(h->extra_frame(h->arg, false), 0);
	assert_true(contract_query(p).lost);
	/* All is as it was: a fresh copy will do. */
	assert_ok(p, p->ops->track(p));
	assert_false(contract_query(p).lost);
	assert_ok(p, p->ops->harvest(p, contract_gfns, CONTRACT_GFNS, &n));
	contract_finish(p);
}

/* INV-16 */
static void case_dirty_limit_stops(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_enabled(*state, PLATFORM_SYNC,
					  CONTRACT_DIRTY_SMALL);
	struct platform_query q;

	(void)contract_wait_event(h, p, PLATFORM_EV_DIRTY);
	q = contract_query(p);
	assert_true(q.stopped);
	assert_true(q.dirty >= CONTRACT_DIRTY_SMALL);
	assert_true(q.dirty <= CONTRACT_DIRTY_SMALL + CONTRACT_RESERVE);
	(void)contract_harvest(p);
	assert_int_equal(contract_query(p).dirty, 0);
	contract_finish(p);
}

static void case_state_is_a_list(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_sync(*state);
	struct recbuf b = { 0 };
	struct record r;
	size_t pos = 0, early;

	h->pass(h->arg, CONTRACT_WAIT);
	contract_settle(h, p);
	assert_ok(p, p->ops->save(p, PLATFORM_EARLY, &b));
	early = b.used;
	assert_true(early > 0);
	assert_ok(p, p->ops->save(p, PLATFORM_LATE, &b));
	assert_true(b.used > early);
	while (record_next(b.bytes, b.used, &pos, &r) > 0)
		assert_true(r.type >= RECORD_TYPE_PLATFORM);
	assert_int_equal(pos, b.used);

	/* What is sticky and has not changed is not saved again. */
	recbuf_reset(&b);
	assert_ok(p, p->ops->save(p, PLATFORM_EARLY, &b));
	for (pos = 0; record_next(b.bytes, b.used, &pos, &r) > 0;)
		assert_false(r.flags & RECORD_STICKY);
	recbuf_free(&b);
	contract_finish(p);
}

static const struct CMUnitTest cases[] = {
	cmocka_unit_test(case_begin_rules),
	cmocka_unit_test(case_running_guest_is_not_captured),
	cmocka_unit_test(case_release_rules),
	cmocka_unit_test(case_sync_waits_for_release),
	cmocka_unit_test(case_pipelined_goes_on),
	cmocka_unit_test(case_released_output_is_consumed),
	cmocka_unit_test(case_harvest_rules),
	cmocka_unit_test(case_harvest_needs_track),
	cmocka_unit_test(case_no_page_outside),
	cmocka_unit_test(case_copy_and_harvests_are_the_guest),
	cmocka_unit_test(case_changed_frames_are_noticed),
	cmocka_unit_test(case_dirty_limit_stops),
	cmocka_unit_test(case_state_is_a_list),
};

int contract_primary_epochs(const struct contract_host *h)
{
	return contract_run(h, cases, sizeof(cases) / sizeof(cases[0]));
}
