// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_check.c - kemari check: can this guest be protected, and there?
 */
#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "backends/gate.h"
#include "libxc-ext/platform.h"
#include "replicator/commands.h"
#include "replicator/eligible.h"
#include "replicator/options.h"
#include "replicator/probe.h"
#include "replicator/run.h"
#include "replicator/tls.h"

static void print_json(const char *name, struct json_object *reasons)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "guest", json_object_new_string(name));
	json_object_object_add(o, "eligible", json_object_new_boolean(
			       !json_object_array_length(reasons)));
	json_object_object_add(o, "reasons", reasons);
	printf("%s\n", json_object_to_json_string_ext(o,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(o);
}

static void print_text(const char *name, const char *to,
		       struct json_object *reasons)
{
	size_t i, n = json_object_array_length(reasons);

	if (!n)
		printf("%s can be protected%s%s\n", name,
		       *to ? " by " : "", to);
	for (i = 0; i < n; i++)
		fprintf(stderr, "kemari check: %s: %s\n", name,
			json_object_get_string(
				json_object_array_get_idx(reasons, i)));
}

static void add(void *reasons, const char *text)
{
	json_object_array_add(reasons, json_object_new_string(text));
}

/* Here: the number of reasons, or -1 and @why. */
static int collect_here(struct platform *p, struct json_object *reasons,
			char *why)
{
	struct gate *g = eligible_gate(p, why);
	int n;

	if (!g)
		add(reasons, why);
	n = eligible(p, g, add, reasons, why);
	if (g)
		g->ops->close(g);
	else if (n >= 0)
		n++;
	return n;
}

/* Everything against it, in @reasons; -1 if that could not be found out. */
static int collect(struct platform *p, struct tls *tls,
		   const struct options *o, struct platform_info *info,
		   struct json_object *reasons)
{
	char address[OPTIONS_HOST_MAX + OPTIONS_PORT_MAX + 4];
	struct recbuf shell = { 0 };
	char why[PROBE_WHY_MAX] = "";
	int n, rc = -1;

	if (p->ops->info(p, info))
		goto out;
	n = collect_here(p, reasons, why);
	if (n < 0)
		goto out;
	rc = 0;
	if (n || !*o->host)
		goto out;
	rc = p->ops->describe(p, &shell);
	options_address(o, address, sizeof(address));
	if (!rc && probe(tls, address, info, shell.bytes, shell.used, why))
		add(reasons, why);
out:
	if (rc)
		fprintf(stderr, "kemari check: %s: %s\n", o->domain,
			*why ? why : platform_why(p));
	recbuf_free(&shell);
	return rc;
}

int cmd_check(const struct options *o)
{
	struct json_object *reasons;
	struct platform_info info;
	struct platform *p;
	struct tls *tls = NULL;
	char why[PLATFORM_WHY_MAX];
	int status = 1;

	if (*o->host && run_tls("check", o, o->peer ? o->peer : o->host, &tls))
		return 1;
	if (platform_open_xen(&p, o->domain, why)) {
		fprintf(stderr, "kemari check: %s: %s\n", o->domain, why);
		tls_free(tls);
		return 1;
	}
	if (o->unsafe_storage)
		platform_xen_storage(p, PLATFORM_XEN_UNSAFE);
	reasons = json_object_new_array();
	if (!collect(p, tls, o, &info, reasons)) {
		status = json_object_array_length(reasons) ? 1 : 0;
		if (o->json)
			print_json(info.name, json_object_get(reasons));
		else
			print_text(info.name, o->host, reasons);
	}
	json_object_put(reasons);
	p->ops->close(p);
	tls_free(tls);
	return status;
}
