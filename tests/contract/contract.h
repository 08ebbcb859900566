/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * contract.h - what every implementation of libxc-ext/platform.h must do
 *
 * One test case for each rule, the same for all implementations.  A runner
 * (sim.c here, ../dom0/contract-xen.c in the lab) says how to get at a running
 * guest and at a host for its standby.  The order:
 *
 *	contract_primary()	the guest runs unprotected before and after
 *				each case
 *	contract_capture()	protect it, take one checkpoint, leave it stopped
 *	(the runner makes sure that the guest is no more, or cut off)
 *	contract_standby()	on the standby's host; the guest runs there after
 *				the last case
 */
#ifndef KEMARI_TESTS_CONTRACT_H
#define KEMARI_TESTS_CONTRACT_H

#include "libxc-ext/platform.h"

/** struct contract_image - a checkpoint of the guest, and its shell */
struct contract_image {
	struct platform_info info;
	struct gfn_range range[PLATFORM_RANGES_MAX];
	size_t ranges;
	struct recbuf shell;
	struct recbuf state;		/* EARLY, then LATE */
	uint8_t *pages;			/* of all ranges, in order */
	uint64_t guest_time;		/* not below the checkpoint's */
};

/** struct contract_host - an implementation; all members are set */
struct contract_host {
	const char *name;

	/* A platform of the running guest, or of a standby yet to be built;
	 * NULL: cannot be had, said on stderr. */
	struct platform *(*open_primary)(void *arg);
	struct platform *(*open_standby)(void *arg);

	/* Once the standby was activated: a platform of the guest there. */
	struct platform *(*open_activated)(void *arg);

	/* The guest gets a frame of memory more, or loses it again: 0 or -1. */
	int (*extra_frame)(void *arg, bool there);

	/* Let so much time pass. */
	void (*pass)(void *arg, uint64_t ns);

	void *arg;
};

/* Each: 0, or the number of cases that failed; contract_capture(): or -1. */
int contract_primary(const struct contract_host *h);
int contract_capture(const struct contract_host *h,
		     struct contract_image *image);
int contract_standby(const struct contract_host *h,
		     const struct contract_image *image);

/** contract_image_free() - Free what contract_capture() filled in */
void contract_image_free(struct contract_image *image);

#endif
