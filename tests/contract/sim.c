// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim.c - the contract of platforms, run on the simulated hosts
 */
#include "libxc-ext/platform_sim.h"
#include "tests/contract/contract.h"

#include <stdio.h>

enum { DOMID = 11 };

static struct platform *open_sim(struct sim_world *w, unsigned int host,
				 const char *domain)
{
	char why[PLATFORM_WHY_MAX];
	struct platform *p;

	if (platform_open_sim(&p, w, host, domain, why) == 0)
		return p;
	(void)fprintf(stderr, "sim: %s\n", why);
	return NULL;
}

static struct platform *open_primary(void *arg)
{
	return open_sim(arg, 0, "guest");
}

static struct platform *open_standby(void *arg)
{
	return open_sim(arg, 1, NULL);
}

static struct platform *open_activated(void *arg)
{
	return open_sim(arg, 1, "guest");
}

static int extra_frame(void *arg, bool there)
{
	return sim_extra_frame(arg, 0, DOMID, there);
}

static void pass(void *arg, uint64_t ns)
{
	sim_run(arg, ns);
}

/* Return: number of things that went wrong. */
static int run(uint64_t seed)
{
	struct sim_knobs knobs = sim_knobs_default();
	struct sim_world *w;
	static struct contract_image image;
	struct contract_host h = {
		.name = "sim",
		.open_primary = open_primary,
		.open_standby = open_standby,
		.open_activated = open_activated,
		.extra_frame = extra_frame,
		.pass = pass,
	};
	const char *bad;
	int failed;

	/* Without a gate there can be no disk. */
	knobs.disk = 0;
	w = sim_world_new(seed, &knobs);
	h.arg = w;
	if (!w || sim_start(w, 0, "guest", DOMID)) {
		perror("sim");
		return 1;
	}
	failed = contract_primary(&h);
	if (contract_capture(&h, &image)) {
		sim_world_free(w);
		return failed + 1;
	}
	sim_power_off(w, 0);
	failed += contract_standby(&h, &image);
	bad = sim_check(w);
	if (bad) {
		(void)fprintf(stderr, "sim: seed %llu: %s\n",
			      (unsigned long long)seed, bad);
		failed++;
	}
	contract_image_free(&image);
	sim_world_free(w);
	return failed;
}

int main(void)
{
	int failed = 0;
	uint64_t seed;

	for (seed = 1; seed <= 20; seed++)
		failed += run(seed);
	return failed ? 1 : 0;
}
