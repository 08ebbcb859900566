// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contract-xen.c - the contract of platforms, run on Xen, in a lab's dom0
 *
 * contract-xen DOMAIN
 *
 * DOMAIN is a running guest that prints all the time and writes to memory.
 * After the primary's cases a checkpoint is taken, the domain destroyed, and
 * the standby's cases run on this same host; after the last one the guest runs
 * again.
 */
#include "tests/contract/contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>

enum { EXTRA_GFN = 0xe0000 };	/* below 4 GiB's holes, above 128 MiB */

static const char *domain;
static char domid[16];

static struct platform *open_xen(const char *what)
{
	char why[PLATFORM_WHY_MAX];
	struct platform *p;

	if (platform_open_xen(&p, what, why) == 0)
		return p;
	fprintf(stderr, "contract-xen: %s\n", why);
	return NULL;
}

static struct platform *open_primary(void *arg)
{
	(void)arg;
	return open_xen(domain);
}

static struct platform *open_standby(void *arg)
{
	(void)arg;
	return open_xen(NULL);
}

/* By its domain ID: that must be the old one. */
static struct platform *open_activated(void *arg)
{
	(void)arg;
	return open_xen(domid);
}

/* By the toolstack's own calls, at a place where guests have nothing. */
static int extra_frame(void *arg, bool there)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	struct platform *p = open_xen(domain);
	struct platform_info info;
	xen_pfn_t gfn = EXTRA_GFN;
	int rc = -1;

	(void)arg;
	if (!xch || !p || p->ops->info(p, &info))
		fprintf(stderr, "contract-xen: cannot reach the domain\n");
	else if (there)
		rc = xc_domain_populate_physmap_exact(xch, info.domid, 1, 0, 0,
						      &gfn);
	else
		rc = xc_domain_decrease_reservation_exact(xch, info.domid, 1,
							  0, &gfn);
	if (rc)
		perror("contract-xen: extra frame");
	if (p)
		p->ops->close(p);
	if (xch)
		xc_interface_close(xch);
	return rc;
}

static void pass(void *arg, uint64_t ns)
{
	struct timespec t = {
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};

	(void)arg;
	while (nanosleep(&t, &t))
		;
}

/* Return: 0, or -1 if the toolstack could not. */
static int xl_destroy(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("xl", "xl", "destroy", domid, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "contract-xen: xl destroy %s failed\n", domid);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct contract_image image;
	const struct contract_host h = {
		.name = "xen",
		.open_primary = open_primary,
		.open_standby = open_standby,
		.open_activated = open_activated,
		.extra_frame = extra_frame,
		.pass = pass,
	};
	int failed;

	if (argc != 2) {
		fprintf(stderr, "usage: contract-xen DOMAIN\n");
		return 2;
	}
	domain = argv[1];
	failed = contract_primary(&h);
	if (contract_capture(&h, &image))
		return 1;
	snprintf(domid, sizeof(domid), "%u", image.info.domid);
	if (xl_destroy())
		return 1;
	failed += contract_standby(&h, &image);
	contract_image_free(&image);
	return failed ? 1 : 0;
}
