// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * eligible.c - can this guest be protected, and behind which gate?
 */
#include "replicator/eligible.h"

#include "backends/gate.h"
#include "backends/gate_linux.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int failed(char *why, const char *what, const char *reason)
{
	int err = errno;

	snprintf(why, PLATFORM_WHY_MAX, "%s%s%s", what, *what ? ": " : "",
		 reason);
	errno = err;
	return -1;
}

static struct gate *none(char *why)
{
	struct gate *g = gate_none();

	if (!g)
		failed(why, "gate", strerror(errno));
	return g;
}

/* The host has no gate of its own, or none that we understand. */
static void no_gate(char *why)
{
	if (errno == ENODEV)
		snprintf(why, PLATFORM_WHY_MAX,
			 "the guest has disks or network cards, and /dev/kemari-gate is not there; the rule is Kemari's kemari-gate, xen-blkback and xen-netback on this host");
	else if (errno == EPROTO)
		snprintf(why, PLATFORM_WHY_MAX,
			 "/dev/kemari-gate speaks another version than this program");
	else
		failed(why, "/dev/kemari-gate", strerror(errno));
}

struct gate *eligible_gate(struct platform *p, char *why)
{
	struct platform_info info;
	struct gate *g;
	size_t n = 0;
	int err;

	if (p->ops->info(p, &info)) {
		failed(why, "", platform_why(p));
		return NULL;
	}
	g = gate_linux_open(info.domid, info.uuid);
	err = errno;
	if (g && gate_linux_is_shut(g) == 1)
		return g;
	/* No room is asked for: only a guest with rings needs some. */
	if (!p->ops->rings(p, NULL, &n) || errno == EXDEV) {
		if (g)
			g->ops->close(g);
		return none(why);
	}
	if (errno != ENOBUFS) {
		failed(why, "", platform_why(p));
		if (g)
			g->ops->close(g);
		return NULL;
	}
	if (g)
		return g;
	errno = err;
	no_gate(why);
	return NULL;
}

int eligible_rings(struct platform *p, struct gate *g,
		   struct platform_ring *out, size_t *n,
		   void (*say)(void *arg, const char *text), void *arg,
		   char *why)
{
	char text[PLATFORM_WHY_MAX];
	int bad = 0;

	*n = PLATFORM_RINGS_MAX;
	if (p->ops->rings(p, out, n))
		return failed(why, "", platform_why(p));
	for (size_t i = 0; i < *n; i++) {
		int r = g->ops->covers(g, out[i].port);

		if (r < 0)
			return failed(why, "gate", strerror(errno));
		if (r)
			continue;
		snprintf(text, sizeof(text),
			 "%s (event channel %u): its backend is not Kemari's xen-blkback or xen-netback",
			 out[i].name, out[i].port);
		say(arg, text);
		bad++;
	}
	return bad;
}

int eligible(struct platform *p, struct gate *g,
	     void (*say)(void *arg, const char *text), void *arg, char *why)
{
	struct platform_ring ring[PLATFORM_RINGS_MAX];
	const char *reason[PLATFORM_REASONS_MAX];
	size_t n = 0, rings;
	int bad;

	if (p->ops->check(p, reason, &n))
		return failed(why, "check", platform_why(p));
	for (size_t i = 0; i < n; i++)
		say(arg, reason[i]);
	if (!g)
		return (int)n;
	bad = eligible_rings(p, g, ring, &rings, say, arg, why);
	if (bad >= 0)
		return (int)n + bad;
	if (errno != EXDEV)
		return -1;
	if (n)
		return (int)n;
	say(arg, why);
	return 1;
}
