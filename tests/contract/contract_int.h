/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * contract_int.h - what the files of cases share
 */
#ifndef KEMARI_TESTS_CONTRACT_INT_H
#define KEMARI_TESTS_CONTRACT_INT_H

#include "tests/contract/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
	CONTRACT_GENERATION = 5,	/* of a protection */
	CONTRACT_DIRTY = 65536,		/* dirty limit: never reached */
	CONTRACT_DIRTY_SMALL = 32,	/* ... reached soon */
	CONTRACT_RESERVE = 4096,	/* frames above the limit */
	CONTRACT_GFNS = CONTRACT_DIRTY + CONTRACT_RESERVE,
	CONTRACT_WAIT = 20000000,	/* ns: a guest does something in it */
	CONTRACT_EVENT_FRAMES = 3,	/* shared_info, 2 vcpu_info */
	CONTRACT_TRIES = 500,		/* of CONTRACT_WAIT */
};

/* 0, or the case fails with the platform's own words. */
#define assert_ok(p, call)						\
	do {								\
		if (call)						\
			fail_msg("%s: %s", #call, platform_why(p));	\
	} while (0)

/* -1, with the errno @want and a sentence. */
#define assert_fails(p, call, want)					\
	do {								\
		(p)->why[0] = 0;					\
		errno = 0;						\
		if ((call) != -1)					\
			fail_msg("%s: was not refused", #call);		\
		if (errno != (want))					\
			fail_msg("%s: errno %d, not %s (%s)", #call,	\
				 errno, #want, platform_why(p));	\
		assert_string_not_equal((p)->why, "");			\
	} while (0)

/* -1, with any errno and a sentence. */
#define assert_refused(p, call)						\
	do {								\
		(p)->why[0] = 0;					\
		errno = 0;						\
		if ((call) != -1 || !errno)				\
			fail_msg("%s: was not refused", #call);		\
		assert_string_not_equal((p)->why, "");			\
	} while (0)

extern uint64_t contract_gfns[CONTRACT_GFNS];

/* --- contract.c --- */

int contract_run(const struct contract_host *h,
		 const struct CMUnitTest *cases, size_t n);

/* Open by @how; what a failed case leaves open is closed for it. */
struct platform *contract_open(struct platform *(*how)(void *arg),
			       const struct contract_host *h);
void contract_close(struct platform *p);

/* A guest that is not protected; protected; so in sync mode. */
struct platform *contract_primary_open(const struct contract_host *h);
struct platform *contract_enabled(const struct contract_host *h,
				  enum platform_mode mode,
				  uint64_t dirty_limit);
struct platform *contract_sync(const struct contract_host *h);
/* Disable and close. */
void contract_finish(struct platform *p);

struct platform_query contract_query(struct platform *p);
/* Wait for one of @events; the guest runs on after others. */
int contract_wait_event(const struct contract_host *h, struct platform *p,
			int events);
/* Stop it where the store is at rest. */
void contract_settle(const struct contract_host *h, struct platform *p);
void contract_wait_drained(const struct contract_host *h, struct platform *p);
/* Into contract_gfns; how many. */
size_t contract_harvest(struct platform *p);
int contract_compare(const void *a, const void *b);

/*
 * Pages of @image from those of @p: all, one; how many differ after the first
 * @n of contract_gfns were copied.  A timer or a backend's event may still
 * mark a few of those, in shared_info and a vcpu_info; no other.
 */
void contract_copy_all(struct platform *p, struct contract_image *image);
void contract_copy_page(struct platform *p, struct contract_image *image,
			uint64_t gfn);
uint64_t contract_differences(struct platform *p,
			      const struct contract_image *image, size_t n);

/* --- the files of cases --- */

int contract_primary_facts(const struct contract_host *h);
int contract_primary_epochs(const struct contract_host *h);

#endif
