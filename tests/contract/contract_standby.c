// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contract_standby.c - cases: a shell, its pages and state, its activation
 */
#include "tests/contract/contract_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CUTS = 16,			/* of a list, tried */
	TYPE_NOBODY_KNOWS = 0xfffe,
};

/* The checkpoint, for all cases. */
static const struct contract_image *image;

static struct platform *open_unbuilt(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = contract_open(h->open_standby, h);

	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	return p;
}

static int build(struct platform *p)
{
	return p->ops->build(p, CONTRACT_GENERATION, image->shell.bytes,
			     image->shell.used);
}

static struct platform *open_built(void **state)
{
	struct platform *p = open_unbuilt(state);

	assert_ok(p, build(p));
	return p;
}

static void finish(struct platform *p)
{
	assert_ok(p, p->ops->destroy(p));
	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	contract_close(p);
}

/* Bytes of @image that belong to @gfn, called for each in order. */
static void for_each_page(struct platform *p,
			  void (*act)(void *page, const uint8_t *bytes))
{
	const uint8_t *bytes = image->pages;
	uint64_t gfn, end;
	size_t i;
	void *page;

	for (i = 0; i < image->ranges; i++) {
		end = image->range[i].first + image->range[i].count;
		for (gfn = image->range[i].first; gfn < end; gfn++) {
			page = p->ops->page_rw(p, gfn);
			assert_non_null(page);
			act(page, bytes);
			bytes += PLATFORM_PAGE;
		}
	}
}

static void put(void *page, const uint8_t *bytes)
{
	memcpy(page, bytes, PLATFORM_PAGE);
}

static void expect(void *page, const uint8_t *bytes)
{
	assert_memory_equal(page, bytes, PLATFORM_PAGE);
}

static int load(struct platform *p)
{
	return p->ops->load(p, image->state.bytes, image->state.used,
			    image->guest_time);
}

/* --- before the build --------------------------------------------------- */

static void case_unbuilt_can_do_nothing(void **state)
{
	struct platform *p = open_unbuilt(state);

	assert_null(p->ops->page_rw(p, image->range[0].first));
	assert_refused(p, p->ops->verify(p, image->state.bytes,
					 image->state.used));
	assert_refused(p, p->ops->rehearse(p, image->state.bytes,
					   image->state.used));
	assert_refused(p, load(p));
	assert_refused(p, p->ops->activate(p, CONTRACT_GENERATION,
					   CONTRACT_GENERATION + 1));
	assert_refused(p, p->ops->destroy(p));
	contract_close(p);
}

static void case_attach_needs_a_shell(void **state)
{
	struct platform *p = open_unbuilt(state);

	assert_fails(p, p->ops->attach(p, image->shell.bytes,
				       image->shell.used), ENOENT);
	/* Nothing was lost by trying. */
	assert_ok(p, build(p));
	finish(p);
}

/* INV-31, INV-32: and nothing is left behind. */
static void case_build_refuses_bad_records(void **state)
{
	struct platform *p = open_unbuilt(state);
	struct recbuf b = { 0 };
	struct platform *q;
	size_t i, cut;

	for (i = 0; i < CUTS; i++) {
		cut = image->shell.used * i / CUTS;
		assert_refused(p, p->ops->build(p, CONTRACT_GENERATION,
						image->shell.bytes, cut));
	}
	assert_int_equal(recbuf_add(&b, TYPE_NOBODY_KNOWS, RECORD_MANDATORY,
				    0, "?", 1), 0);
	assert_refused(p, p->ops->build(p, CONTRACT_GENERATION, b.bytes,
					b.used));
	recbuf_free(&b);
	assert_refused(p, p->ops->build(p, 0, image->shell.bytes,
					image->shell.used));
	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	q = open_unbuilt(state);
	assert_fails(q, q->ops->attach(q, image->shell.bytes,
				       image->shell.used), ENOENT);
	q->ops->close(q);
	assert_ok(p, build(p));
	finish(p);
}

/* --- a shell ------------------------------------------------------------ */

/* INV-20, INV-21 */
static void case_shell_is_the_same_domain(void **state)
{
	static struct gfn_range r[PLATFORM_RANGES_MAX];
	struct platform *p = open_built(state);
	struct platform_query q = contract_query(p);
	struct platform_info info;
	size_t n = PLATFORM_RANGES_MAX;

	assert_int_equal(q.role, PLATFORM_STANDBY);
	assert_int_equal(q.generation, CONTRACT_GENERATION);
	assert_ok(p, p->ops->info(p, &info));
	assert_string_equal(info.name, image->info.name);
	assert_memory_equal(info.uuid, image->info.uuid, sizeof(info.uuid));
	assert_int_equal(info.domid, image->info.domid);
	assert_int_equal(info.vcpus, image->info.vcpus);
	assert_int_equal(info.pages, image->info.pages);
	assert_ok(p, p->ops->ranges(p, r, &n));
	assert_int_equal(n, image->ranges);
	assert_memory_equal(r, image->range, n * sizeof(r[0]));
	finish(p);
}

static void case_no_primary_operations(void **state)
{
	struct platform *p = open_built(state);
	struct recbuf b = { 0 };
	uint64_t ns;
	size_t n = 0;

	assert_refused(p, p->ops->enable(p, CONTRACT_GENERATION,
					 PLATFORM_SYNC, CONTRACT_DIRTY));
	assert_fails(p, p->ops->rings(p, NULL, &n), ENOTSUP);
	assert_fails(p, p->ops->held(p, NULL, &n), ENOTSUP);
	assert_fails(p, p->ops->deliver(p, 1, 1), ENOTSUP);
	assert_fails(p, p->ops->stop(p), ENOTSUP);
	assert_fails(p, p->ops->go(p), ENOTSUP);
	assert_fails(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false),
		     ENOTSUP);
	assert_fails(p, p->ops->release(p, CONTRACT_GENERATION, 1), ENOTSUP);
	assert_fails(p, p->ops->save(p, PLATFORM_EARLY, &b), ENOTSUP);
	assert_fails(p, p->ops->guest_time(p, &ns), ENOTSUP);
	assert_fails(p, p->ops->disable(p, CONTRACT_GENERATION), ENOTSUP);
	assert_int_equal(contract_query(p).role, PLATFORM_STANDBY);
	recbuf_free(&b);
	finish(p);
}

static void case_domain_id_is_taken(void **state)
{
	struct platform *p = open_built(state);
	const struct contract_host *h = *state;
	struct platform *q = h->open_standby(h->arg);

	assert_non_null(q);
	assert_fails(q, build(q), EADDRINUSE);
	q->ops->close(q);
	assert_int_equal(contract_query(p).role, PLATFORM_STANDBY);
	finish(p);
}

static void case_all_pages_can_be_written(void **state)
{
	const struct gfn_range *last = &image->range[image->ranges - 1];
	struct platform *p = open_built(state);

	for_each_page(p, put);
	for_each_page(p, expect);
	assert_null(p->ops->page_rw(p, last->first + last->count));
	assert_null(p->ops->page_rw(p, UINT64_MAX));
	finish(p);
}

/* INV-18: a receiver that was restarted finds what it left. */
static void case_attach_finds_the_shell(void **state)
{
	struct platform *p = open_built(state);

	for_each_page(p, put);
	contract_close(p);
	p = open_unbuilt(state);
	assert_ok(p, p->ops->attach(p, image->shell.bytes,
				    image->shell.used));
	assert_int_equal(contract_query(p).role, PLATFORM_STANDBY);
	assert_int_equal(contract_query(p).generation, CONTRACT_GENERATION);
	for_each_page(p, expect);
	assert_ok(p, p->ops->verify(p, image->state.bytes,
				    image->state.used));
	finish(p);
}

static void case_destroyed_is_gone(void **state)
{
	struct platform *p = open_built(state);

	assert_ok(p, p->ops->destroy(p));
	assert_refused(p, p->ops->destroy(p));
	assert_null(p->ops->page_rw(p, image->range[0].first));
	contract_close(p);
	/* Its domain ID and its memory are free again. */
	p = open_built(state);
	finish(p);
}

/* --- state -------------------------------------------------------------- */

/* INV-17, INV-31 */
static void case_verify_refuses_bad_records(void **state)
{
	struct platform *p = open_built(state);
	struct recbuf b = { 0 };
	size_t i, cut;

	assert_ok(p, p->ops->verify(p, image->state.bytes,
				    image->state.used));
	for (i = 0; i < CUTS; i++) {
		cut = image->state.used * i / CUTS;
		assert_refused(p, p->ops->verify(p, image->state.bytes, cut));
	}
	assert_int_equal(recbuf_add(&b, TYPE_NOBODY_KNOWS, RECORD_MANDATORY,
				    0, "?", 1), 0);
	assert_non_null(recbuf_reserve(&b, TYPE_NOBODY_KNOWS,
				       RECORD_MANDATORY, 0, 0));
	assert_refused(p, p->ops->verify(p, b.bytes, b.used));
	recbuf_free(&b);
	finish(p);
}

static void case_verify_skips_the_optional(void **state)
{
	struct platform *p = open_built(state);
	struct recbuf b = { 0 };
	struct record r;
	size_t pos = 0;

	while (record_next(image->state.bytes, image->state.used, &pos,
			   &r) > 0)
		assert_int_equal(recbuf_add(&b, r.type, r.flags, r.instance,
					    r.data, r.length), 0);
	assert_int_equal(recbuf_add(&b, TYPE_NOBODY_KNOWS, 0, 0, "?", 1), 0);
	assert_ok(p, p->ops->verify(p, b.bytes, b.used));
	recbuf_free(&b);
	finish(p);
}

/* The rehearsal may be repeated, and leaves the pages as they are.  INV-22 */
static void case_rehearse_changes_no_page(void **state)
{
	struct platform *p = open_built(state);
	int i;

	for_each_page(p, put);
	for (i = 0; i < 3; i++)
		assert_ok(p, p->ops->rehearse(p, image->state.bytes,
					      image->state.used));
	for_each_page(p, expect);
	finish(p);
}

static void case_load_checks_the_time(void **state)
{
	struct platform *p = open_built(state);

	for_each_page(p, put);
	/* INV-24 */
	assert_fails(p, p->ops->load(p, image->state.bytes, image->state.used,
				     0), EINVAL);
	assert_ok(p, load(p));
	assert_ok(p, load(p));
	assert_int_equal(contract_query(p).role, PLATFORM_STANDBY);
	finish(p);
}

/* --- activation --------------------------------------------------------- */

/* INV-28 */
static void case_activate_rules(void **state)
{
	struct platform *p = open_built(state);

	for_each_page(p, put);
	assert_refused(p, p->ops->activate(p, CONTRACT_GENERATION,
					   CONTRACT_GENERATION + 1));
	assert_ok(p, p->ops->rehearse(p, image->state.bytes,
				      image->state.used));
	assert_refused(p, p->ops->activate(p, CONTRACT_GENERATION,
					   CONTRACT_GENERATION + 1));
	assert_ok(p, load(p));
	assert_fails(p, p->ops->activate(p, CONTRACT_GENERATION - 1,
					 CONTRACT_GENERATION + 1), ESTALE);
	assert_fails(p, p->ops->activate(p, CONTRACT_GENERATION,
					 CONTRACT_GENERATION), EINVAL);
	assert_int_equal(contract_query(p).role, PLATFORM_STANDBY);
	finish(p);
}

/*
 * The last one: the guest runs here from now on.  INV-10, INV-23, INV-25: it
 * would complain, not find its vcpu_info, or wait for ever.
 */
static void case_activated_guest_runs(void **state)
{
	const struct contract_host *h = *state;
	struct platform *p = open_built(state);
	uint64_t before, after;
	struct platform *q;

	for_each_page(p, put);
	assert_ok(p, p->ops->verify(p, image->state.bytes,
				    image->state.used));
	assert_ok(p, p->ops->rehearse(p, image->state.bytes,
				      image->state.used));
	assert_ok(p, load(p));
	assert_fails(p, p->ops->served(p), EINVAL);
	assert_ok(p, p->ops->activate(p, CONTRACT_GENERATION,
				      CONTRACT_GENERATION + 1));
	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	assert_int_equal(contract_query(p).generation, CONTRACT_GENERATION + 1);
	assert_int_equal(p->ops->served(p), 1);
	assert_refused(p, p->ops->activate(p, CONTRACT_GENERATION,
					   CONTRACT_GENERATION + 2));
	assert_fails(p, p->ops->destroy(p), EPERM);
	assert_refused(p, load(p));
	contract_close(p);

	/* It is an ordinary domain, that has output, and can be protected. */
	q = contract_open(h->open_activated, h);
	assert_ok(q, q->ops->guest_time(q, &before));
	assert_true(before >= image->guest_time);
	assert_fails(q, q->ops->enable(q, CONTRACT_GENERATION, PLATFORM_SYNC,
				       CONTRACT_DIRTY), ESTALE);
	assert_ok(q, q->ops->enable(q, CONTRACT_GENERATION + 2, PLATFORM_SYNC,
				    CONTRACT_DIRTY));
	assert_ok(q, q->ops->track(q));
	(void)contract_wait_event(h, q, PLATFORM_EV_TAP);
	assert_ok(q, q->ops->guest_time(q, &after));
	assert_true(after > before);
	assert_ok(q, q->ops->disable(q, CONTRACT_GENERATION + 2));
	contract_close(q);
}

static const struct CMUnitTest cases[] = {
	cmocka_unit_test(case_unbuilt_can_do_nothing),
	cmocka_unit_test(case_attach_needs_a_shell),
	cmocka_unit_test(case_build_refuses_bad_records),
	cmocka_unit_test(case_shell_is_the_same_domain),
	cmocka_unit_test(case_no_primary_operations),
	cmocka_unit_test(case_domain_id_is_taken),
	cmocka_unit_test(case_all_pages_can_be_written),
	cmocka_unit_test(case_attach_finds_the_shell),
	cmocka_unit_test(case_destroyed_is_gone),
	cmocka_unit_test(case_verify_refuses_bad_records),
	cmocka_unit_test(case_verify_skips_the_optional),
	cmocka_unit_test(case_rehearse_changes_no_page),
	cmocka_unit_test(case_load_checks_the_time),
	cmocka_unit_test(case_activate_rules),
	cmocka_unit_test(case_activated_guest_runs),
};

int contract_standby(const struct contract_host *h,
		     const struct contract_image *i)
{
	image = i;
	return contract_run(h, cases, sizeof(cases) / sizeof(cases[0]));
}
