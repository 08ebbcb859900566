// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run.c - what both runners share: loop, deadline timer, log, control verbs
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>

#include "libxc-ext/platform.h"
#include "replicator/control.h"
#include "replicator/link_tcp.h"
#include "replicator/options.h"
#include "replicator/run.h"
#include "replicator/status.h"
#include "replicator/status_print.h"
#include "replicator/tls.h"

enum { RATE_LINES = 5, RATE_S = 10 };

struct run_timer {
	struct event *ev;
	void (*tick)(void *arg);
	void *arg;
};

bool run_request(const char *line, struct run_request *out)
{
	int n = 0;

	if (sscanf(line, "%15s %15s%n", out->verb, out->flag, &n) < 2 || !n)
		return false;
	out->domain = NULL;
	if (line[n] == ' ' && line[n + 1])
		out->domain = line + n + 1;
	else if (line[n])
		return false;
	return true;
}

bool run_is(const struct platform_info *guest, const char *domain)
{
	char uuid[37], id[16];

	if (!domain)
		return true;
	uuid_str(guest->uuid, uuid);
	snprintf(id, sizeof(id), "%u", guest->domid);
	return *guest->name && (!strcmp(domain, guest->name) ||
				!strcmp(domain, id) ||
				!strcasecmp(domain, uuid));
}

void run_answer_status(struct control_call *call, const char *flag,
		       const struct status *s, const struct status_facts *f)
{
	char *text = strcmp(flag, "json") ? status_text(s, f) :
					    status_json(s, f);

	control_answer(call, text, text ? text : "out of memory");
	free(text);
}

static void say(void *arg, enum report_level level, const char *id,
		const char *text)
{
	static const char *const prefix[] = {
		[REPORT_INFO] = "",
		[REPORT_WARN] = "warning: ",
		[REPORT_ERROR] = "error: ",
	};

	fprintf(level == REPORT_INFO ? stdout : stderr,
		"kemari: %s: %s%s [%s]\n", (const char *)arg, prefix[level],
		text, id);
}

struct report run_report(const char *who)
{
	return (struct report){ .say = say, .arg = (void *)(uintptr_t)who };
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct run_timer *t = arg;

	(void)fd;
	(void)what;
	t->tick(t->arg);
}

struct run_timer *run_timer_new(struct event_base *base,
				void (*tick)(void *arg), void *arg)
{
	struct run_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tick = tick;
	t->arg = arg;
	t->ev = evtimer_new(base, on_time, t);
	if (!t->ev) {
		free(t);
		return NULL;
	}
	return t;
}

void run_timer_set(struct run_timer *t, uint64_t deadline, uint64_t now)
{
	uint64_t left = deadline > now ? deadline - now : 0;
	const struct timeval tv = {
		.tv_sec = left / 1000000000,
		.tv_usec = left / 1000 % 1000000,
	};

	if (deadline == UINT64_MAX)
		evtimer_del(t->ev);
	else
		evtimer_add(t->ev, &tv);
}

void run_timer_free(struct run_timer *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t);
}

int run_tls(const char *verb, const struct options *o, const char *peer,
	    struct tls **out)
{
	const struct tls_config c = {
		.ca = o->tls_ca,
		.cert = o->tls_cert,
		.key = o->tls_key,
		.peer = peer,
	};
	char why[TLS_WHY_MAX];

	*out = NULL;
	if (o->plaintext)
		return 0;
	*out = tls_new(&c, why);
	if (*out)
		return 0;
	fprintf(stderr, "kemari %s: %s\n", verb, why);
	return -1;
}

const char *run_transport(const struct link *l, const struct tls *tls)
{
	const char *text = l ? link_tcp_transport(l) : "";

	return *text ? text : tls ? "tls1.3" : "plaintext";
}

bool run_rate(struct run_rate *r, uint64_t now, unsigned int *unsaid)
{
	if (!r->said || now - r->since > RATE_S * 1000000000ull)
		*r = (struct run_rate){ .since = now, .unsaid = r->unsaid };
	if (r->said == RATE_LINES) {
		r->unsaid++;
		return false;
	}
	r->said++;
	*unsaid = r->unsaid;
	r->unsaid = 0;
	return true;
}

int run_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		fprintf(stderr, "kemari: memory file %s: %s\n", name,
			strerror(errno));
	return fd;
}
