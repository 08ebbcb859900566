// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe.c - would that secondary take this guest?
 *
 * Step by step: the loop runs until the answer to the last message is there.
 */
#include "replicator/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>

#include <event2/event.h>

#include "libxc-ext/platform.h"
#include "replicator/link.h"
#include "replicator/link_tcp.h"
#include "replicator/wire.h"

struct probe {
	struct event_base *base;
	struct event *limit;
	struct link *link;
	char *why;
	int failed;		/* errno, with .why */
	int got;		/* type of .message, 0 none yet */
	uint8_t message[sizeof(struct wire_head) + WIRE_BODY_MAX];
};

static int fail(struct probe *p, int err, const char *what, const char *text)
{
	snprintf(p->why, PROBE_WHY_MAX, "%s: %s", what, text);
	p->failed = err;
	errno = err;
	return -1;
}

/* --- the link ---------------------------------------------------------------- */

/* The first that comes is kept, but for heartbeats; an ERROR ends all. */
static void on_message(void *arg, const void *bytes, size_t len)
{
	struct probe *p = arg;
	char why[WIRE_WHY_MAX];
	int type = wire_check(bytes, len, why);
	struct wire_error e;

	if (p->failed || type == 0 || type == WIRE_HEARTBEAT)
		return;
	if (type < 0) {
		fail(p, EPROTO, "the peer breaks the protocol", why);
	} else if (type == WIRE_ERROR) {
		memcpy(&e, wire_body(bytes), sizeof(e));
		fail(p, EREMOTEIO, "the peer says", e.text);
	} else if (!p->got) {
		memcpy(p->message, bytes, len);
		p->got = type;
	}
}

static void on_closed(void *arg, int err, const char *why)
{
	struct probe *p = arg;

	if (!p->failed)
		fail(p, err ? err : EPIPE, "no answer", why);
}

static void on_writable(void *arg)
{
	(void)arg;
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)fd;
	(void)what;
	if (!p->failed)
		fail(p, ETIMEDOUT, "receive", "no answer in time");
}

static int open_link(struct probe *p, struct tls *tls, const char *address)
{
	char why[LINK_TCP_WHY_MAX];

	p->base = event_base_new();
	if (p->base)
		p->limit = evtimer_new(p->base, on_limit, p);
	if (!p->limit)
		return fail(p, ENOMEM, "probe", "out of memory");
	p->link = link_tcp_connect(p->base, tls, address, why);
	if (!p->link)
		return fail(p, errno, "connect", why);
	p->link->handler = (struct link_handler){
		on_message, on_closed, on_writable, p
	};
	return 0;
}

static void close_link(struct probe *p)
{
	if (p->link)
		p->link->ops->close(p->link);
	if (p->limit)
		event_free(p->limit);
	if (p->base)
		event_base_free(p->base);
}

/* --- one step ---------------------------------------------------------------- */

static void be_patient(struct probe *p)
{
	const struct timeval patience = { .tv_sec = PROBE_TIMEOUT_S };

	evtimer_add(p->limit, &patience);
}

static int send_all(struct probe *p, enum wire_type type, const void *head,
		    size_t head_len, const void *rest, size_t rest_len)
{
	const struct iovec body[2] = {
		{ (void *)(uintptr_t)head, head_len },
		{ (void *)(uintptr_t)rest, rest_len },
	};
	struct wire_head h;
	struct iovec all[3];

	wire_seal(&h, type, body, rest_len ? 2 : 1);
	all[0] = (struct iovec){ &h, sizeof(h) };
	all[1] = body[0];
	all[2] = body[1];
	be_patient(p);
	while (!p->failed && p->link->ops->send(p->link, all, 3)) {
		if (errno == EAGAIN || errno == EPIPE)	/* closed() will come */
			event_base_loop(p->base, EVLOOP_ONCE);
		else
			fail(p, errno, "send", strerror(errno));
	}
	return p->failed ? -1 : 0;
}

/* Wait for @type; its body. */
static const void *expect(struct probe *p, int type)
{
	int got;

	be_patient(p);
	while (!p->failed && !p->got)
		event_base_loop(p->base, EVLOOP_ONCE);
	got = p->got;
	p->got = 0;
	if (got && got != type)
		fail(p, EPROTO, "the peer sent", wire_type_str(got));
	return got == type ? wire_body(p->message) : NULL;
}

/* --- the steps --------------------------------------------------------------- */

static int hello(struct probe *p, const struct platform_info *info)
{
	struct wire_hello mine = {
		.magic = WIRE_HELLO_MAGIC, .version = WIRE_VERSION,
		.compatible = WIRE_COMPATIBLE, .role = WIRE_PRIMARY,
		.page_size = WIRE_PAGE, .generation = 1,
		.domid = info->domid,
	};
	struct wire_hello theirs;
	const void *body;
	char why[WIRE_WHY_MAX];

	memcpy(mine.guest, info->uuid, sizeof(mine.guest));
	memcpy(mine.host, info->host_uuid, sizeof(mine.host));
	memcpy(mine.boot, info->boot_id, sizeof(mine.boot));
	snprintf(mine.name, sizeof(mine.name), "%s", info->name);
	if (getrandom(mine.session, sizeof(mine.session), 0) < 0)
		return fail(p, errno, "getrandom", strerror(errno));
	if (send_all(p, WIRE_HELLO, &mine, sizeof(mine), NULL, 0))
		return -1;
	body = expect(p, WIRE_HELLO);
	if (!body)
		return -1;
	memcpy(&theirs, body, sizeof(theirs));
	if (wire_hello_check(&mine, &theirs, why))
		return fail(p, EPROTO, "the peer cannot take part", why);
	if (theirs.eligible)
		return fail(p, EBUSY, "the peer", "holds a standby of this "
			    "guest that may take over; end that protection "
			    "first");
	return 0;
}

static int shell(struct probe *p, const uint8_t *records, size_t len)
{
	struct wire_shell_result result;
	const void *body;
	size_t at, n;

	for (at = 0; at < len; at += n) {
		struct wire_shell part = {
			.generation = 1, .total = len, .offset = at,
		};

		n = len - at < WIRE_CHUNK_MAX ? len - at : WIRE_CHUNK_MAX;
		if (send_all(p, WIRE_SHELL, &part, sizeof(part), records + at,
			     n))
			return -1;
	}
	body = expect(p, WIRE_SHELL_RESULT);
	if (!body)
		return -1;
	memcpy(&result, body, sizeof(result));
	if (result.error)
		return fail(p, result.error, "the peer cannot build the "
			    "standby", result.text);
	return 0;
}

int probe(struct tls *tls, const char *address,
	  const struct platform_info *info, const void *records, size_t len,
	  char *why)
{
	const struct wire_end end = {
		.generation = 1, .reason = WIRE_REASON_UNPROTECT,
	};
	struct probe *p = calloc(1, sizeof(*p));
	int rc = -1, err;

	if (!p) {
		snprintf(why, PROBE_WHY_MAX, "probe: out of memory");
		return -1;
	}
	p->why = why;
	if (!open_link(p, tls, address) && !hello(p, info) &&
	    !shell(p, records, len) &&
	    !send_all(p, WIRE_END, &end, sizeof(end), NULL, 0) &&
	    expect(p, WIRE_END_ACK))
		rc = 0;
	err = p->failed;
	close_link(p);
	free(p);
	errno = err;
	return rc;
}
