// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * link_tcp.c - the link over TCP, on a libevent loop
 *
 * Input goes into one fixed buffer, from which whole messages are handed out
 * in place.  Output that the transport does not take at once waits in an evbuffer;
 * send() refuses while LINK_QUEUE_MAX is queued.  (No bufferevent: it reads
 * 4 KiB at a time, and a checkpoint would cost hundreds of wakeups.)
 *
 * CONNECTING, until the socket is; STARTING, until the peer is known; UP.  Each
 * of the first two has a deadline.  What is sent before UP waits.
 *
 * No callback comes from within a call: send() only writes and appends, and
 * shut() leaves the telling to an event of its own.  A callback may close the
 * link: after each that can, it is looked whether the link still is.
 */
#include "replicator/link_tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "replicator/address.h"
#include "replicator/transport.h"
#include "replicator/tls.h"
#include "replicator/wire.h"

/* Deadlines: connecting LINK_TCP_CONNECT_S, then the handshake .limit_ms;
 * keepalive probes after LINK_TCP_IDLE_S, PROBES of them PROBE_S apart. */
enum {
	PROBE_S = 5,
	PROBES = 3,
	IN_ROOM = 2 * (sizeof(struct wire_head) + WIRE_BODY_MAX),
};

enum state { CONNECTING, STARTING, UP };

struct link_tcp {
	struct link base;
	struct transport *tr;
	enum state state;
	struct event *rd, *wr;
	struct event *limit;	/* until UP */
	struct event *later;	/* tells closed() from the loop */
	unsigned int limit_ms;
	void (*ready)(void *arg);
	void *ready_arg;
	struct evbuffer *out;
	bool down;		/* nothing goes in or out any more */
	bool full;		/* a send() was refused: writable() is due */
	bool *gone;		/* set by close() within a callback */
	int err;
	char why[LINK_TCP_WHY_MAX];
	size_t have;		/* bytes of .in, less than a whole message
				 * when nobody is looking */
	uint8_t in[IN_ROOM];
};

static struct link_tcp *of(const struct link *l)
{
	return (struct link_tcp *)l;
}

/* --- going down: said once, from the loop --------------------------------- */

static void go_down(struct link_tcp *t, int err, const char *why)
{
	if (t->down)
		return;
	t->down = true;
	t->err = err;
	snprintf(t->why, sizeof(t->why), "%s", why);
	event_del(t->rd);
	event_del(t->wr);
	event_del(t->limit);
	event_active(t->later, EV_TIMEOUT, 0);
}

static void cannot_connect(struct link_tcp *t, int err)
{
	char why[LINK_TCP_WHY_MAX];

	snprintf(why, sizeof(why), "cannot connect: %s", strerror(err));
	go_down(t, err, why);
}

static void tell_closed(evutil_socket_t fd, short what, void *arg)
{
	struct link_tcp *t = arg;

	(void)fd;
	(void)what;
	t->base.handler.closed(t->base.handler.arg, t->err, t->why);
}

/* --- before the first message ----------------------------------------------- */

static void limit(struct link_tcp *t, unsigned int ms)
{
	const struct timeval tv = {
		.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000,
	};

	event_add(t->limit, &tv);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct link_tcp *t = arg;
	char why[LINK_TCP_WHY_MAX];

	(void)fd;
	(void)what;
	if (t->state == CONNECTING) {
		cannot_connect(t, ETIMEDOUT);
		return;
	}
	snprintf(why, sizeof(why), "the TLS handshake was not over after %u ms",
		 t->limit_ms);
	go_down(t, ETIMEDOUT, why);
}

static bool connected(struct link_tcp *t)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(t->tr->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err) {
		cannot_connect(t, err);
		return false;
	}
	t->state = STARTING;
	limit(t, t->limit_ms);
	return true;
}

/* One step of the handshake.  @t may be gone afterwards. */
static void go_on(struct link_tcp *t)
{
	if (t->state == CONNECTING && !connected(t))
		return;
	if (!t->tr->ops->start(t->tr)) {
		t->state = UP;
		event_del(t->limit);
		event_add(t->rd, NULL);
		if (t->tr->more)
			event_active(t->rd, EV_READ, 0);
		if (evbuffer_get_length(t->out))
			event_add(t->wr, NULL);
		if (t->ready)
			t->ready(t->ready_arg);
	} else if (errno != EAGAIN) {
		go_down(t, errno, t->tr->why);
	} else if (t->tr->wants_write) {
		event_del(t->rd);
		event_add(t->wr, NULL);
	} else {
		event_add(t->rd, NULL);
	}
}

/* --- input ------------------------------------------------------------------ */

/* A ClientHello where a message should be: one side has --plaintext. */
static bool is_tls(const uint8_t *in, size_t have)
{
	return have > 2 && in[0] == 0x16 && in[1] == 0x03;
}

/* Hand out whole messages.  Return: bytes taken; *@gone: the link is freed. */
static size_t deliver(struct link_tcp *t, bool *gone)
{
	char why[WIRE_WHY_MAX];
	size_t at = 0, total;

	while (!t->down) {
		if (wire_head_check(t->in + at, t->have - at, &total, why)) {
			go_down(t, EPROTO, is_tls(t->in + at, t->have - at) ?
				"the peer speaks TLS: --plaintext is for both sides or for none" :
				why);
			break;
		}
		if (!total || t->have - at < total)
			break;
		t->base.handler.message(t->base.handler.arg, t->in + at, total);
		if (*gone)
			return 0;
		at += total;
	}
	return at;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link_tcp *t = arg;
	bool gone = false;
	size_t taken;
	ssize_t n;

	(void)fd;
	(void)what;
	if (t->state != UP) {
		go_on(t);
		return;
	}
	n = t->tr->ops->read(t->tr, t->in + t->have, sizeof(t->in) - t->have);
	if (n < 0) {
		if (errno != EAGAIN)
			go_down(t, errno, t->tr->why);
		return;
	}
	if (!n) {
		go_down(t, t->have ? ECONNRESET : 0,
			"the peer closed the connection");
		return;
	}
	t->have += (size_t)n;
	t->gone = &gone;
	taken = deliver(t, &gone);
	if (gone)
		return;
	t->gone = NULL;
	t->have -= taken;
	memmove(t->in, t->in + taken, t->have);
	if (t->tr->more && !t->down)
		event_active(t->rd, EV_READ, 0);
}

/* --- output ------------------------------------------------------------------ */

/* What the transport takes now.  Return: bytes, or -1: the link is down. */
static ssize_t put(struct link_tcp *t, const struct iovec *iov, int n)
{
	ssize_t sent = t->tr->ops->write(t->tr, iov, n);

	if (sent < 0)
		go_down(t, errno, t->tr->why);
	return sent;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct evbuffer_iovec iov[LINK_IOV_MAX];
	struct link_tcp *t = arg;
	ssize_t sent;
	int n;

	(void)fd;
	(void)what;
	if (t->state != UP) {
		go_on(t);
		return;
	}
	n = evbuffer_peek(t->out, -1, NULL, iov, LINK_IOV_MAX);
	if (n > LINK_IOV_MAX)
		n = LINK_IOV_MAX;
	sent = n ? put(t, iov, n) : 0;
	if (sent < 0)
		return;
	evbuffer_drain(t->out, (size_t)sent);
	if (evbuffer_get_length(t->out))
		event_add(t->wr, NULL);
	if (t->full && evbuffer_get_length(t->out) <= LINK_QUEUE_LOW) {
		t->full = false;
		t->base.handler.writable(t->base.handler.arg);
	}
}

/* --- operations -------------------------------------------------------------- */

static size_t tcp_queued(const struct link *l)
{
	return evbuffer_get_length(of(l)->out);
}

/* Append what is left of the message after @skip bytes. */
static int append(struct link_tcp *t, const struct iovec *iov, int n,
		  size_t skip)
{
	const uint8_t *base;
	size_t len;
	int i;

	for (i = 0; i < n; i++) {
		base = iov[i].iov_base;
		len = iov[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		if (evbuffer_add(t->out, base + skip, len - skip))
			return -1;
		skip = 0;
	}
	return 0;
}

static int tcp_send(struct link *l, const struct iovec *iov, int n)
{
	struct link_tcp *t = of(l);
	ssize_t sent = 0;

	if (t->down) {
		errno = EPIPE;
		return -1;
	}
	if (n < 1 || n > LINK_IOV_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (tcp_queued(l) >= LINK_QUEUE_MAX) {
		t->full = true;
		errno = EAGAIN;
		return -1;
	}
	if (t->state == UP && !tcp_queued(l)) {
		sent = put(t, iov, n);
		if (sent < 0) {
			errno = EPIPE;
			return -1;
		}
	}
	if (append(t, iov, n, (size_t)sent)) {
		go_down(t, ENOMEM, "no memory for a message");
		errno = ENOMEM;
		return -1;
	}
	if (t->state == UP && tcp_queued(l))
		event_add(t->wr, NULL);
	return 0;
}

static void tcp_shut(struct link *l, int err, const char *why)
{
	go_down(of(l), err, why);
}

static void event_drop(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static void tcp_close(struct link *l)
{
	struct link_tcp *t = of(l);

	if (t->gone)
		*t->gone = true;
	event_drop(t->rd);
	event_drop(t->wr);
	event_drop(t->limit);
	event_drop(t->later);
	if (t->out)
		evbuffer_free(t->out);
	t->tr->ops->close(t->tr);
	free(t);
}

static const struct link_ops tcp_ops = {
	.name = "tcp",
	.send = tcp_send,
	.queued = tcp_queued,
	.shut = tcp_shut,
	.close = tcp_close,
};

/* --- making ------------------------------------------------------------------- */

/* Small messages at once; a dead peer is noticed even when nothing is sent.
 * Failures are no reason to refuse: heartbeats watch the peer. */
static void tune(int fd)
{
	static const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, LINK_TCP_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, PROBES },
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
				 &options[i].value, sizeof(options[i].value));
}

static struct link_tcp *make(struct event_base *base, struct transport *tr,
			     unsigned int limit_ms)
{
	struct link_tcp *t = calloc(1, sizeof(*t));

	if (!t) {
		tr->ops->close(tr);
		errno = ENOMEM;
		return NULL;
	}
	t->base.ops = &tcp_ops;
	t->tr = tr;
	t->limit_ms = limit_ms;
	t->rd = event_new(base, tr->fd, EV_READ | EV_PERSIST, on_readable, t);
	t->wr = event_new(base, tr->fd, EV_WRITE, on_writable, t);
	t->limit = evtimer_new(base, on_limit, t);
	t->later = event_new(base, -1, 0, tell_closed, t);
	t->out = evbuffer_new();
	if (!t->rd || !t->wr || !t->limit || !t->later || !t->out ||
	    evutil_make_socket_nonblocking(tr->fd)) {
		tcp_close(&t->base);
		errno = ENOMEM;
		return NULL;
	}
	tune(tr->fd);
	return t;
}

struct link *link_tcp_new(struct event_base *base, struct transport *tr,
			  unsigned int limit_ms, void (*ready)(void *arg),
			  void *arg)
{
	struct link_tcp *t = make(base, tr, limit_ms);

	if (!t)
		return NULL;
	t->state = STARTING;
	t->ready = ready;
	t->ready_arg = arg;
	limit(t, limit_ms);
	event_active(t->rd, EV_READ, 0);
	return &t->base;
}

int link_tcp_pace(struct link *l, uint64_t rate)
{
	uint64_t most = rate ? rate : UINT64_MAX;

	return setsockopt(of(l)->tr->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &most,
			  sizeof(most));
}

struct link *link_tcp_connect(struct event_base *base, struct tls *tls,
			      const char *address, char *why)
{
	struct addrinfo *to = address_resolve(address, 0, why);
	struct link_tcp *t = NULL;
	struct transport *tr = NULL;
	int fd;

	if (!to)
		return NULL;
	*why = '\0';
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd >= 0)
		tr = tls ? transport_tls(tls, fd, false, why) : transport_plain(fd);
	if (tr)
		t = make(base, tr, tls ? tls_handshake_ms(tls) : 0);
	if (!t) {
		if (!*why)
			snprintf(why, LINK_TCP_WHY_MAX, "%.150s: %s", address,
				 strerror(errno));
		freeaddrinfo(to);
		return NULL;
	}
	limit(t, LINK_TCP_CONNECT_S * 1000);
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		cannot_connect(t, errno);
	else
		event_add(t->wr, NULL);
	freeaddrinfo(to);
	return &t->base;
}

const char *link_tcp_transport(const struct link *l)
{
	return of(l)->state == UP ? of(l)->tr->label : "";
}
