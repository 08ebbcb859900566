// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contract.c - how cases are run, and the steps that they share
 */
#include "tests/contract/contract_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CASES_MAX = 64 };

uint64_t contract_gfns[CONTRACT_GFNS];

/* What the case has open: a failed one does not close it. */
static struct platform *opened;

/* --- running ------------------------------------------------------------ */

/* After a failed case: nothing stays protected, no shell stays. */
static int clean_up(void **state)
{
	struct platform *p = opened;
	struct platform_query q;

	(void)state;
	if (!p)
		return 0;
	if (p->ops->query(p, &q) == 0) {
		if (q.role == PLATFORM_PRIMARY)
			(void)p->ops->disable(p, q.generation);
		if (q.role == PLATFORM_STANDBY)
			(void)p->ops->destroy(p);
	}
	contract_close(p);
	return 0;
}

int contract_run(const struct contract_host *h,
		 const struct CMUnitTest *cases, size_t n)
{
	struct CMUnitTest tests[CASES_MAX];
	size_t i;

	assert_true(n <= CASES_MAX);
	for (i = 0; i < n; i++) {
		tests[i] = cases[i];
		tests[i].initial_state = (void *)h;
		tests[i].teardown_func = clean_up;
	}
	return _cmocka_run_group_tests(h->name, tests, n, NULL, NULL);
}

int contract_primary(const struct contract_host *h)
{
	return contract_primary_facts(h) + contract_primary_epochs(h);
}

struct platform *contract_open(struct platform *(*how)(void *arg),
			       const struct contract_host *h)
{
	struct platform *p = how(h->arg);

	if (!p)
		fail_msg("the runner gave no platform");
	opened = p;
	return p;
}

void contract_close(struct platform *p)
{
	p->ops->close(p);
	opened = NULL;
}

/* --- a primary ---------------------------------------------------------- */

struct platform_query contract_query(struct platform *p)
{
	struct platform_query q;

	assert_ok(p, p->ops->query(p, &q));
	return q;
}

struct platform *contract_primary_open(const struct contract_host *h)
{
	struct platform *p = contract_open(h->open_primary, h);

	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	return p;
}

struct platform *contract_enabled(const struct contract_host *h,
				  enum platform_mode mode,
				  uint64_t dirty_limit)
{
	struct platform *p = contract_primary_open(h);

	assert_ok(p, p->ops->enable(p, CONTRACT_GENERATION, mode,
				    dirty_limit));
	assert_ok(p, p->ops->track(p));
	return p;
}

struct platform *contract_sync(const struct contract_host *h)
{
	return contract_enabled(h, PLATFORM_SYNC, CONTRACT_DIRTY);
}

void contract_finish(struct platform *p)
{
	assert_ok(p, p->ops->disable(p, CONTRACT_GENERATION));
	assert_int_equal(contract_query(p).role, PLATFORM_NONE);
	contract_close(p);
}

int contract_wait_event(const struct contract_host *h, struct platform *p,
			int events)
{
	int tries, got, all = 0;

	for (tries = 0; tries < CONTRACT_TRIES; tries++) {
		got = p->ops->events(p);
		if (got < 0)
			fail_msg("events: %s", platform_why(p));
		all |= got;
		if (got & events)
			return all;
		assert_ok(p, p->ops->go(p));
		h->pass(h->arg, CONTRACT_WAIT);
	}
	fail_msg("no event of %#x came, only %#x", (unsigned int)events,
		 (unsigned int)all);
	return -1;
}

void contract_settle(const struct contract_host *h, struct platform *p)
{
	int tries, r;

	for (tries = 0; tries < CONTRACT_TRIES; tries++) {
		assert_ok(p, p->ops->stop(p));
		r = p->ops->settled(p);
		if (r == 1)
			return;
		if (r < 0)
			fail_msg("settled: %s", platform_why(p));
		assert_string_not_equal(p->why, "");
		assert_ok(p, p->ops->go(p));
		h->pass(h->arg, CONTRACT_WAIT);
	}
	fail_msg("the store was never at rest: %s", platform_why(p));
}

void contract_wait_drained(const struct contract_host *h, struct platform *p)
{
	int tries, r;

	for (tries = 0; tries < CONTRACT_TRIES; tries++) {
		r = p->ops->drained(p);
		if (r == 1)
			return;
		if (r < 0)
			fail_msg("drained: %s", platform_why(p));
		assert_string_not_equal(p->why, "");
		h->pass(h->arg, CONTRACT_WAIT);
	}
	fail_msg("never drained: %s", platform_why(p));
}

size_t contract_harvest(struct platform *p)
{
	size_t n = 0;

	assert_ok(p, p->ops->harvest(p, contract_gfns, CONTRACT_GFNS, &n));
	return n;
}

int contract_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* --- an image ----------------------------------------------------------- */

/* Where @gfn is in .pages. */
static uint8_t *page_of(const struct contract_image *image, uint64_t gfn)
{
	uint64_t before = 0;
	size_t i;

	for (i = 0; i < image->ranges; i++) {
		if (gfn >= image->range[i].first &&
		    gfn - image->range[i].first < image->range[i].count)
			return image->pages + (before + gfn -
					       image->range[i].first) *
					      PLATFORM_PAGE;
		before += image->range[i].count;
	}
	fail_msg("frame %#llx is in no range", (unsigned long long)gfn);
	return NULL;
}

void contract_copy_page(struct platform *p, struct contract_image *image,
			uint64_t gfn)
{
	const void *page = p->ops->page(p, gfn);

	assert_non_null(page);
	memcpy(page_of(image, gfn), page, PLATFORM_PAGE);
}

void contract_copy_all(struct platform *p, struct contract_image *image)
{
	uint64_t gfn, end;
	size_t i;

	image->ranges = PLATFORM_RANGES_MAX;
	assert_ok(p, p->ops->ranges(p, image->range, &image->ranges));
	assert_ok(p, p->ops->info(p, &image->info));
	image->pages = calloc(image->info.pages, PLATFORM_PAGE);
	assert_non_null(image->pages);
	for (i = 0; i < image->ranges; i++) {
		end = image->range[i].first + image->range[i].count;
		for (gfn = image->range[i].first; gfn < end; gfn++)
			contract_copy_page(p, image, gfn);
	}
}

/* Is @gfn among the first @n of contract_gfns? */
static bool harvested(uint64_t gfn, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (contract_gfns[i] == gfn)
			return true;
	return false;
}

uint64_t contract_differences(struct platform *p,
			      const struct contract_image *image, size_t n)
{
	uint64_t gfn, end, bad = 0, events = 0;
	const uint8_t *copy, *now;
	size_t i, at;

	for (i = 0; i < image->ranges; i++) {
		end = image->range[i].first + image->range[i].count;
		for (gfn = image->range[i].first; gfn < end; gfn++) {
			copy = page_of(image, gfn);
			now = p->ops->page(p, gfn);
			if (memcmp(copy, now, PLATFORM_PAGE) == 0)
				continue;
			if (harvested(gfn, n) &&
			    ++events <= CONTRACT_EVENT_FRAMES)
				continue;
			for (at = 0; copy[at] == now[at]; at++)
				;
			print_error("frame %#llx differs at %#zx: %#x, now %#x\n",
				    (unsigned long long)gfn, at, copy[at],
				    now[at]);
			bad++;
		}
	}
	return bad;
}

void contract_image_free(struct contract_image *image)
{
	recbuf_free(&image->shell);
	recbuf_free(&image->state);
	free(image->pages);
	image->pages = NULL;
}

/* --- a checkpoint ------------------------------------------------------- */

/** struct capture - state of the one case of contract_capture() */
struct capture {
	const struct contract_host *h;
	struct contract_image *image;
};

static void case_capture(void **state)
{
	const struct capture *c = *state;
	struct platform *p = contract_sync(c->h);
	struct contract_image *image = c->image;
	size_t n, i;

	assert_ok(p, p->ops->describe(p, &image->shell));
	contract_copy_all(p, image);
	c->h->pass(c->h->arg, CONTRACT_WAIT);
	contract_settle(c->h, p);
	assert_ok(p, p->ops->begin(p, CONTRACT_GENERATION, 1, false));
	assert_ok(p, p->ops->save(p, PLATFORM_EARLY, &image->state));
	n = contract_harvest(p);
	for (i = 0; i < n; i++)
		contract_copy_page(p, image, contract_gfns[i]);
	assert_ok(p, p->ops->save(p, PLATFORM_LATE, &image->state));
	assert_ok(p, p->ops->guest_time(p, &image->guest_time));
	contract_close(p);
}

int contract_capture(const struct contract_host *h,
		     struct contract_image *image)
{
	struct capture c = { .h = h, .image = image };
	struct CMUnitTest test[] = { cmocka_unit_test(case_capture) };

	*image = (struct contract_image){ .ranges = 0 };
	test[0].initial_state = &c;
	test[0].teardown_func = clean_up;
	if (_cmocka_run_group_tests(h->name, test, 1, NULL, NULL) == 0)
		return 0;
	contract_image_free(image);
	return -1;
}
