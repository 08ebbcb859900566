// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_serve.c - receive without Xen: secondary.c on a standby in memory
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "replicator/bench_engine.h"
#include "replicator/bench_raw.h"
#include "replicator/link.h"
#include "replicator/link_tcp.h"
#include "replicator/report.h"
#include "replicator/run.h"
#include "replicator/secondary.h"
#include "replicator/staging.h"

#define NEVER (3600 * 1000000000ull)	/* ns */

enum { STAGING_PAGES = BENCH_DIRTY_MAX + 2048 };

struct server {
	struct event_base *base;
	struct run_timer *timer;
	struct report report;
	int staging_fd;
	struct staging *staging;
	struct platform *standby;
	struct secondary *secondary;
	struct link *link;
	char *why;
};

static int session_open(struct server *s)
{
	struct secondary_config c;

	s->standby = bench_standby_new();
	if (!s->standby)
		return -1;
	secondary_config_default(&c);
	c.silence = NEVER;
	c.heartbeat = NEVER / 2;
	s->secondary = secondary_new(s->standby, s->staging, &c, &s->report);
	return s->secondary ? 0 : -1;
}

static void session_close(struct server *s)
{
	secondary_free(s->secondary);
	if (s->standby)
		s->standby->ops->close(s->standby);
	s->secondary = NULL;
	s->standby = NULL;
}

/* Whatever it was: nothing of it is worth keeping. */
static void session_next(struct server *s)
{
	if (s->link)
		s->link->ops->close(s->link);
	s->link = NULL;
	session_close(s);
	staging_move(s->staging, STAGING_EMPTY);
	if (session_open(s)) {
		snprintf(s->why, BENCH_WHY_MAX, "out of memory");
		event_base_loopbreak(s->base);
	}
}

static void proceed(struct server *s)
{
	if (secondary_outcome(s->secondary) != SECONDARY_GOING)
		session_next(s);
	run_timer_set(s->timer, secondary_deadline(s->secondary), bench_now());
}

static void on_message(void *arg, const void *bytes, size_t len)
{
	struct server *s = arg;

	secondary_message(s->secondary, bytes, len);
	proceed(s);
}

static void on_closed(void *arg, int err, const char *why)
{
	struct server *s = arg;

	secondary_link_down(s->secondary, err, why);
	session_next(s);
	proceed(s);
}

static void on_writable(void *arg)
{
	struct server *s = arg;

	secondary_writable(s->secondary);
	proceed(s);
}

static void on_tick(void *arg)
{
	struct server *s = arg;

	secondary_tick(s->secondary);
	proceed(s);
}

static void on_accepted(void *arg, struct link *l, const char *peer)
{
	struct server *s = arg;

	(void)peer;
	/* The one before may be over without our having heard of it. */
	if (s->link)
		session_next(s);
	l->handler = (struct link_handler){
		on_message, on_closed, on_writable, s
	};
	if (!s->secondary || secondary_link_up(s->secondary, l)) {
		l->ops->close(l);
		return;
	}
	s->link = l;
	proceed(s);
}

static void on_refused(void *arg, const char *peer, const char *why)
{
	(void)arg;
	(void)peer;
	(void)why;
}

/* The port for raw connections: the next one. */
static void raw_port(const char *port, char *out, size_t len)
{
	unsigned long n = strtoul(port, NULL, 10);

	snprintf(out, len, "%lu", n ? n + 1 : 0);
}

static int set_up(struct server *s, const char *host, const char *port,
		  void (*ready)(void *arg, unsigned int port, unsigned int raw),
		  void *arg)
{
	const struct link_listen tell = { on_accepted, on_refused, s };
	char address[BENCH_WHY_MAX], next[16];
	struct link_listener *listener;
	unsigned int raw;

	snprintf(s->why, BENCH_WHY_MAX, "out of memory");
	s->base = event_base_new();
	s->staging_fd = staging_create(STAGING_PAGES, STAGING_STATE_MIN);
	if (!s->base || s->staging_fd < 0)
		return -1;
	s->staging = staging_open(s->staging_fd, s->why);
	s->timer = run_timer_new(s->base, on_tick, s);
	if (!s->staging || !s->timer || session_open(s))
		return -1;
	snprintf(address, sizeof(address), strchr(host, ':') ? "[%s]:%s" :
							       "%s:%s",
		 host, port);
	listener = link_tcp_listen(s->base, NULL, address, &tell, s->why);
	if (!listener)
		return -1;
	raw_port(port, next, sizeof(next));
	raw = raw_listen(s->base, host, next, s->why);
	if (!raw)
		return -1;
	ready(arg, link_tcp_port(listener), raw);
	return 0;
}

int bench_serve(const char *host, const char *port,
		void (*ready)(void *arg, unsigned int port, unsigned int raw),
		void *arg, char *why)
{
	struct server s = { .staging_fd = -1, .why = why };

	/* What it holds goes with the process. */
	if (!set_up(&s, host, port, ready, arg))
		event_base_dispatch(s.base);
	return -1;
}
