// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_client.c - verbs that ask a running kemari over its control socket
 *
 * Every socket is asked; one that does not hold the guest says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/gate.h"
#include "libxc-ext/platform.h"
#include "replicator/commands.h"
#include "replicator/control.h"
#include "replicator/eligible.h"
#include "replicator/options.h"
#include "replicator/run.h"

enum {
	STATUS_TIMEOUT_MS = 5000,
	ACT_TIMEOUT_MS = 120000,
};

struct asked {
	const struct options *o;
	const char *line;	/* request */
	int timeout_ms;
	unsigned int answers, failures;
	char *answer;		/* CONTROL_ANSWER_MAX bytes */
};

static void ask(void *arg, const char *name)
{
	struct asked *a = arg;

	if (!control_ask(name, a->line, a->answer, CONTROL_ANSWER_MAX,
			 a->timeout_ms)) {
		if (a->o->json && !a->o->domain)
			printf("%s", a->answers ? ",\n" : "");
		printf("%s", a->answer);
		a->answers++;
		return;
	}
	/* Not its guest; or a socket that a killed program left behind. */
	if ((errno == EREMOTEIO && !strcmp(a->answer, RUN_NOT_MINE)) ||
	    errno == ENOENT)
		return;
	fprintf(stderr, "kemari: %s: %s\n", name,
		errno == EREMOTEIO ? a->answer : strerror(errno));
	a->failures++;
}

static int nobody_answers(const struct options *o)
{
	fprintf(stderr, "kemari: %s: no kemari on this host protects or holds "
		"it\n", o->domain);
	return 1;
}

/* @nobody is called if no running kemari knows the domain. */
static int ask_all(const struct options *o, const char *verb,
		   const char *flags, int timeout_ms,
		   int (*nobody)(const struct options *o))
{
	struct asked a = { .o = o, .timeout_ms = timeout_ms };
	char line[CONTROL_LINE_MAX];
	int n, status = 1;

	n = snprintf(line, sizeof(line), "%s %s%s%s", verb, flags,
		     o->domain ? " " : "", o->domain ? o->domain : "");
	if (n >= (int)sizeof(line)) {
		fprintf(stderr, "kemari: domain '%.20s...' is too long: at "
			"most %d bytes\n", o->domain, CONTROL_LINE_MAX - 64);
		return 1;
	}
	a.line = line;
	a.answer = malloc(CONTROL_ANSWER_MAX);
	if (!a.answer) {
		perror("kemari");
		return 1;
	}
	if (o->json && !o->domain)
		printf("[\n");
	/* Who protects a guest speaks for it, also if it was taken over here
	 * from another host before. */
	if (o->domain)
		ask(&a, o->domain);
	if (!a.answers && !a.failures && control_names(ask, &a) < 0)
		fprintf(stderr, "kemari: %s: %s\n", KEMARI_RUN_DIR,
			strerror(errno));
	else if (o->domain && !a.answers && !a.failures)
		status = nobody(o);
	else
		status = a.failures ? 1 : 0;
	if (o->json && !o->domain)
		printf("]\n");
	else if (!o->domain && !a.answers && !status)
		printf("no guest is protected or held on this host\n");
	free(a.answer);
	return status;
}

int cmd_status(const struct options *o)
{
	return ask_all(o, "status", o->json ? "json" : "text",
		       STATUS_TIMEOUT_MS, nobody_answers);
}

/* Gate and tap. */
static int open_all(struct platform *p, uint64_t generation, char *why)
{
	struct gate *g = eligible_gate(p, why);
	int r;

	if (!g)
		return -1;
	r = g->ops->open(g, generation);
	if (r)
		snprintf(why, PLATFORM_WHY_MAX, "gate: %s", strerror(errno));
	g->ops->close(g);
	if (!r && p->ops->disable(p, generation)) {
		snprintf(why, PLATFORM_WHY_MAX, "%s", platform_why(p));
		r = -1;
	}
	return r;
}

/*
 * A guest whose controllers are gone altogether stays held: that is what they
 * leave behind (INV-30).  By order of an operator who vouches for the standby
 * it goes on unprotected.
 */
static int release_orphan(const struct options *o)
{
	char why[PLATFORM_WHY_MAX];
	struct platform_query q;
	struct platform *p;
	int status = 1;

	if (platform_open_xen(&p, o->domain, why)) {
		fprintf(stderr, "kemari unprotect: %s: %s\n", o->domain, why);
		return 1;
	}
	if (p->ops->query(p, &q)) {
		fprintf(stderr, "kemari unprotect: %s: %s\n", o->domain,
			platform_why(p));
	} else if (q.role == PLATFORM_PRIMARY &&
		   open_all(p, q.generation, why)) {
		fprintf(stderr, "kemari unprotect: %s: %s\n", o->domain, why);
	} else if (q.role != PLATFORM_PRIMARY) {
		fprintf(stderr, "kemari unprotect: %s is not protected by this "
			"host\n", o->domain);
	} else {
		printf("%s: unprotected; no kemari was in charge of it\n",
		       o->domain);
		status = 0;
	}
	p->ops->close(p);
	return status;
}

int cmd_unprotect(const struct options *o)
{
	if (o->force && !o->standby_is_dead) {
		fprintf(stderr, "kemari unprotect: --force needs "
			"--standby-is-dead: it lets the guest run on without "
			"the standby's word; if the standby ever takes over, "
			"the guest runs twice\n");
		return EXIT_USAGE;
	}
	return ask_all(o, "unprotect", o->force ? "dead" : "agreed",
		       ACT_TIMEOUT_MS,
		       o->force ? release_orphan : nobody_answers);
}

int cmd_failover(const struct options *o)
{
	if (!o->force) {
		fprintf(stderr, "kemari failover: --force is needed: it takes "
			"over without the fence; if the primary still runs "
			"the guest, the guest runs twice\n");
		return EXIT_USAGE;
	}
	return ask_all(o, "failover", "force", ACT_TIMEOUT_MS,
		       nobody_answers);
}
