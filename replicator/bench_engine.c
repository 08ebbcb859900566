// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_engine.c - protect without Xen: primary.c on a bench_guest
 */
#include "replicator/bench_engine.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <event2/event.h>

#include "backends/gate.h"
#include "replicator/link.h"
#include "replicator/link_tcp.h"
#include "replicator/outbox.h"
#include "replicator/primary.h"
#include "replicator/report.h"
#include "replicator/run.h"
#include "replicator/status.h"
#include "replicator/wire.h"

#define NEVER (3600 * 1000000000ull)	/* ns: longer than any measurement */

enum { RESERVE = 1024 };	/* pages, beyond those that change */

struct bench_engine {
	struct event_base *base;
	struct platform *guest;
	struct gate *gate;
	int outbox_fd;
	struct outbox *outbox;
	struct primary *primary;
	struct link *link;
	struct event *ev_guest;
	struct run_timer *timer;
	struct report report;
	struct bench_parts parts;	/* since it was opened */
	char *why;
	bool failed;
};

static void proceed(struct bench_engine *e)
{
	run_timer_set(e->timer, primary_deadline(e->primary), bench_now());
}

static void note_ack(struct bench_engine *e, const void *bytes, size_t len)
{
	struct wire_head head;
	struct wire_ack ack;

	memcpy(&head, bytes, sizeof(head));
	if (head.type != WIRE_ACK || len != sizeof(head) + sizeof(ack))
		return;
	memcpy(&ack, wire_body(bytes), sizeof(ack));
	e->parts.receive_ns += ack.receive_ns;
	e->parts.verify_ns += ack.verify_ns;
	e->parts.apply_ns += ack.apply_ns;
}

static void on_message(void *arg, const void *bytes, size_t len)
{
	struct bench_engine *e = arg;

	note_ack(e, bytes, len);
	primary_message(e->primary, bytes, len);
	proceed(e);
}

static void on_closed(void *arg, int err, const char *why)
{
	struct bench_engine *e = arg;

	if (primary_outcome(e->primary) == PRIMARY_GOING && !e->failed) {
		snprintf(e->why, BENCH_WHY_MAX, "the connection broke: %s", why);
		e->failed = true;
	}
	primary_link_down(e->primary, err, why);
	e->link->ops->close(e->link);
	e->link = NULL;
}

static void on_writable(void *arg)
{
	struct bench_engine *e = arg;

	primary_writable(e->primary);
	proceed(e);
}

static void on_guest(evutil_socket_t fd, short what, void *arg)
{
	struct bench_engine *e = arg;

	(void)fd;
	(void)what;
	primary_platform_event(e->primary);
	proceed(e);
}

static void on_tick(void *arg)
{
	struct bench_engine *e = arg;

	primary_tick(e->primary);
	proceed(e);
}

/* The first thing that goes wrong is what is said. */
static void say(void *arg, enum report_level level, const char *id,
		const char *text)
{
	struct bench_engine *e = arg;

	(void)id;
	if (level != REPORT_ERROR || e->failed)
		return;
	snprintf(e->why, BENCH_WHY_MAX, "%s", text);
	e->failed = true;
}

static int open_primary(struct bench_engine *e, const struct bench_knobs *k,
			size_t cache)
{
	struct primary_config c;

	e->base = event_base_new();
	e->guest = bench_guest_new(k);
	e->gate = gate_none();
	e->outbox_fd = run_memfd("kemari-bench-outbox");
	if (!e->base || !e->guest || !e->gate || e->outbox_fd < 0)
		return -1;
	e->outbox = outbox_open(e->outbox_fd, k->dirty + RESERVE);
	e->timer = run_timer_new(e->base, on_tick, e);
	e->ev_guest = event_new(e->base, e->guest->ops->event_fd(e->guest),
				EV_READ | EV_PERSIST, on_guest, e);
	if (!e->outbox || !e->timer || !e->ev_guest)
		return -1;
	primary_config_default(&c);
	/* Nothing but what is measured ends an epoch, and nobody is missed
	 * while something else is measured. */
	c.max_epoch = c.silence = NEVER;
	c.heartbeat = NEVER / 2;
	c.codec_cache = cache;
	if (getrandom(c.session, sizeof(c.session), 0) != sizeof(c.session))
		return -1;
	e->report = (struct report){ say, e };
	e->primary = primary_new(e->guest, e->gate, e->outbox, &c, &e->report);
	if (!e->primary || primary_start(e->primary))
		return -1;
	return event_add(e->ev_guest, NULL);
}

static int dial(struct bench_engine *e, const char *host, const char *port)
{
	char address[BENCH_WHY_MAX], why[LINK_TCP_WHY_MAX];

	snprintf(address, sizeof(address), strchr(host, ':') ? "[%s]:%s" :
							       "%s:%s",
		 host, port);
	e->link = link_tcp_connect(e->base, NULL, address, why);
	if (!e->link) {
		snprintf(e->why, BENCH_WHY_MAX, "%s", why);
		e->failed = true;
		return -1;
	}
	e->link->handler = (struct link_handler){
		on_message, on_closed, on_writable, e
	};
	primary_link_up(e->primary, e->link);
	proceed(e);
	return 0;
}

static int loop(struct bench_engine *e)
{
	if (event_base_loop(e->base, EVLOOP_ONCE) < 0) {
		snprintf(e->why, BENCH_WHY_MAX, "the event loop failed");
		e->failed = true;
	}
	return e->failed ? -1 : 0;
}

/* Copied, and the first checkpoint is committed. */
static bool is_protected(const struct bench_engine *e)
{
	struct status s;

	primary_state(e->primary, &s);
	return s.state == STATUS_PROTECTED && s.committed;
}

struct bench_engine *bench_engine_open(const char *host, const char *port,
				       const struct bench_knobs *k,
				       uint64_t rate, size_t cache, char *why)
{
	struct bench_engine *e = calloc(1, sizeof(*e));

	snprintf(why, BENCH_WHY_MAX, "out of memory");
	if (!e)
		return NULL;
	e->why = why;
	e->outbox_fd = -1;
	if (open_primary(e, k, cache) || dial(e, host, port))
		goto fail;
	while (!is_protected(e)) {
		if (primary_outcome(e->primary) != PRIMARY_GOING || loop(e))
			goto fail;
	}
	if (rate && link_tcp_pace(e->link, rate)) {
		snprintf(why, BENCH_WHY_MAX, "cannot pace the connection: %s",
			 strerror(errno));
		goto fail;
	}
	return e;
fail:
	e->failed = true;
	bench_engine_close(e);
	return NULL;
}

struct platform *bench_engine_guest(struct bench_engine *e)
{
	return e->guest;
}

static void subtract(struct codec_stats *a, const struct codec_stats *b)
{
	a->zero -= b->zero;
	a->same -= b->same;
	a->delta -= b->delta;
	a->lz4 -= b->lz4;
	a->raw -= b->raw;
	a->bytes -= b->bytes;
}

int bench_engine_run(struct bench_engine *e, uint32_t n,
		     struct bench_cycles *out, struct bench_parts *parts)
{
	struct status before, after;

	primary_status(e->primary, &before);
	memset(&e->parts, 0, sizeof(e->parts));
	bench_guest_go(e->guest, n, out);
	while (bench_guest_left(e->guest)) {
		if (loop(e))
			return -1;
	}
	primary_status(e->primary, &after);
	*parts = e->parts;
	parts->sent = after.sent;
	subtract(&parts->sent.codec, &before.sent.codec);
	return 0;
}

void bench_engine_close(struct bench_engine *e)
{
	if (!e)
		return;
	if (e->primary && !e->failed)
		primary_unprotect(e->primary, false);
	while (e->primary && !e->failed &&
	       primary_outcome(e->primary) == PRIMARY_GOING)
		(void)loop(e);
	if (e->link)
		e->link->ops->close(e->link);
	if (e->ev_guest)
		event_free(e->ev_guest);
	run_timer_free(e->timer);
	primary_free(e->primary);
	outbox_close(e->outbox);
	if (e->outbox_fd >= 0)
		close(e->outbox_fd);
	if (e->gate)
		e->gate->ops->close(e->gate);
	if (e->guest)
		e->guest->ops->close(e->guest);
	if (e->base)
		event_base_free(e->base);
	free(e);
}
