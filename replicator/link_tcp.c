// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * link_tcp.c - the link over TCP, on a libevent loop
 *
 * Input goes into one fixed buffer, from which whole messages are handed out
 * in place.  Output that the socket does not take at once waits in an evbuffer;
 * send() refuses while LINK_QUEUE_MAX is queued.  (No bufferevent: it reads
 * 4 KiB at a time, and a checkpoint would cost hundreds of wakeups.)
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
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "replicator/wire.h"

/* Deadlines: connecting LINK_TCP_CONNECT_S; keepalive probes after
 * LINK_TCP_IDLE_S, PROBES of them PROBE_S apart. */
enum {
	PROBE_S = 5,
	PROBES = 3,
	BACKLOG = 8,
	IN_ROOM = 2 * (sizeof(struct wire_head) + WIRE_BODY_MAX),
};

struct link_tcp {
	struct link base;
	int fd;
	struct event *rd, *wr;
	struct event *later;	/* tells closed() from the loop */
	struct evbuffer *out;
	bool connecting;
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
	event_active(t->later, EV_TIMEOUT, 0);
}

static void go_down_errno(struct link_tcp *t, const char *what, int err)
{
	char why[LINK_TCP_WHY_MAX];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(err));
	go_down(t, err, why);
}

static void tell_closed(evutil_socket_t fd, short what, void *arg)
{
	struct link_tcp *t = arg;

	(void)fd;
	(void)what;
	t->base.handler.closed(t->base.handler.arg, t->err, t->why);
}

static bool try_again(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* --- input ------------------------------------------------------------------ */

/* Hand out whole messages.  Return: bytes taken; *@gone: the link is freed. */
static size_t deliver(struct link_tcp *t, bool *gone)
{
	char why[WIRE_WHY_MAX];
	size_t at = 0, total;

	while (!t->down) {
		if (wire_head_check(t->in + at, t->have - at, &total, why)) {
			go_down(t, EPROTO, why);
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

	(void)what;
	n = recv(fd, t->in + t->have, sizeof(t->in) - t->have, 0);
	if (n < 0) {
		if (!try_again(errno))
			go_down_errno(t, "connection lost", errno);
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
}

/* --- output ------------------------------------------------------------------ */

/* What the socket takes now.  Return: bytes, or -1: the link is down. */
static ssize_t put(struct link_tcp *t, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t sent = sendmsg(t->fd, &msg, MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (try_again(errno))
		return 0;
	go_down_errno(t, "connection lost", errno);
	return -1;
}

static bool connected(struct link_tcp *t, short what)
{
	socklen_t len = sizeof(int);
	int err = ETIMEDOUT;

	if (!(what & EV_TIMEOUT) &&
	    getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err) {
		go_down_errno(t, "cannot connect", err);
		return false;
	}
	t->connecting = false;
	event_add(t->rd, NULL);
	return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct evbuffer_iovec iov[LINK_IOV_MAX];
	struct link_tcp *t = arg;
	ssize_t sent;
	int n;

	(void)fd;
	if (t->connecting && !connected(t, what))
		return;
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
	struct iovec copy[LINK_IOV_MAX];
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
	if (!t->connecting && !tcp_queued(l)) {
		memcpy(copy, iov, (size_t)n * sizeof(*iov));
		sent = put(t, copy, n);
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
	if (!t->connecting && tcp_queued(l))
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
	event_drop(t->later);
	if (t->out)
		evbuffer_free(t->out);
	close(t->fd);
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

static struct link_tcp *make(struct event_base *base, int fd)
{
	struct link_tcp *t = calloc(1, sizeof(*t));

	if (!t) {
		close(fd);
		return NULL;
	}
	t->base.ops = &tcp_ops;
	t->fd = fd;
	t->rd = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, t);
	t->wr = event_new(base, fd, EV_WRITE, on_writable, t);
	t->later = event_new(base, -1, 0, tell_closed, t);
	t->out = evbuffer_new();
	if (!t->rd || !t->wr || !t->later || !t->out ||
	    evutil_make_socket_nonblocking(fd)) {
		tcp_close(&t->base);
		errno = ENOMEM;
		return NULL;
	}
	tune(fd);
	return t;
}

struct link *link_tcp_from_fd(struct event_base *base, int fd)
{
	struct link_tcp *t = make(base, fd);

	if (!t)
		return NULL;
	event_add(t->rd, NULL);
	return &t->base;
}

static int bad_address(char *why, const char *address, const char *rule)
{
	snprintf(why, LINK_TCP_WHY_MAX, "address '%.100s': %s", address, rule);
	errno = EINVAL;
	return -1;
}

/* "HOST:PORT", "[V6]:PORT", "HOST" or a bare IPv6 address, taken apart in
 * place: @text is cut, @host and @port point into it. */
static int split(char *text, const char *address, char **host,
		 const char **port, char *why)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long number;

	*host = text;
	*port = LINK_TCP_PORT;
	if (text[0] == '[') {
		*host = text + 1;
		colon = strchr(text, ']');
		if (!colon || (colon[1] && colon[1] != ':'))
			return bad_address(why, address, "not [V6]:PORT");
		*colon++ = '\0';
		colon = *colon ? colon : NULL;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL;
	}
	if (colon) {
		*colon = '\0';
		*port = colon + 1;
		number = strtoul(*port, &end, 10);
		if (!**port || *end || number > 65535)
			return bad_address(why, address, "the port is not a "
					   "number from 0 to 65535");
	}
	if (!**host)
		return bad_address(why, address, "no host");
	return 0;
}

static struct addrinfo *resolve(const char *address, int flags, char *why)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	}, *list;
	char text[256], *host;
	const char *port;
	int r;

	if (snprintf(text, sizeof(text), "%s", address) >= (int)sizeof(text)) {
		bad_address(why, address, "longer than 255 characters");
		return NULL;
	}
	if (split(text, address, &host, &port, why))
		return NULL;
	r = getaddrinfo(host, port, &hints, &list);
	if (r) {
		snprintf(why, LINK_TCP_WHY_MAX, "address '%.100s': %s", address,
			 gai_strerror(r));
		errno = ENOENT;
		return NULL;
	}
	return list;
}

struct link *link_tcp_connect(struct event_base *base, const char *address,
			      char *why)
{
	struct timeval limit = { .tv_sec = LINK_TCP_CONNECT_S };
	struct addrinfo *to = resolve(address, 0, why);
	struct link_tcp *t = NULL;
	int fd;

	if (!to)
		return NULL;
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd >= 0)
		t = make(base, fd);
	if (!t) {
		snprintf(why, LINK_TCP_WHY_MAX, "%.150s: %s", address,
			 strerror(errno));
		freeaddrinfo(to);
		return NULL;
	}
	t->connecting = true;
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		go_down_errno(t, "cannot connect", errno);
	else
		event_add(t->wr, &limit);
	freeaddrinfo(to);
	return &t->base;
}

/* --- listening ------------------------------------------------------------------ */

struct link_listener {
	struct event_base *base;
	struct evconnlistener *lev;
	void (*accepted)(void *arg, struct link *l, const char *peer);
	void *arg;
};

static void on_accept(struct evconnlistener *lev, evutil_socket_t fd,
		      struct sockaddr *from, int len, void *arg)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	char peer[NI_MAXHOST + NI_MAXSERV + 4];
	struct link_listener *listener = arg;
	struct link *l = link_tcp_from_fd(listener->base, fd);

	(void)lev;
	if (!l)
		return;		/* no memory: the peer tries again */
	if (getnameinfo(from, (socklen_t)len, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(peer, sizeof(peer), "?");
	else
		snprintf(peer, sizeof(peer), from->sa_family == AF_INET6 ?
			 "[%s]:%s" : "%s:%s", host, port);
	peer[LINK_TCP_PEER_MAX - 1] = '\0';
	listener->accepted(listener->arg, l, peer);
}

struct link_listener *link_tcp_listen(struct event_base *base,
				      const char *address,
				      void (*accepted)(void *arg,
						       struct link *l,
						       const char *peer),
				      void *arg, char *why)
{
	struct addrinfo *at = resolve(address, AI_PASSIVE, why);
	struct link_listener *l;

	if (!at)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l) {
		snprintf(why, LINK_TCP_WHY_MAX, "out of memory");
		freeaddrinfo(at);
		return NULL;
	}
	*l = (struct link_listener){
		.base = base,
		.accepted = accepted,
		.arg = arg,
	};
	l->lev = evconnlistener_new_bind(base, on_accept, l,
					 LEV_OPT_CLOSE_ON_FREE |
					 LEV_OPT_CLOSE_ON_EXEC |
					 LEV_OPT_REUSEABLE, BACKLOG,
					 at->ai_addr, (int)at->ai_addrlen);
	freeaddrinfo(at);
	if (!l->lev) {
		snprintf(why, LINK_TCP_WHY_MAX, "cannot listen on %.150s: %s",
			 address, strerror(errno));
		free(l);
		return NULL;
	}
	return l;
}

unsigned int link_tcp_port(const struct link_listener *l)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getsockname(evconnlistener_get_fd(l->lev), (struct sockaddr *)&ss,
			&len))
		return 0;
	/* It does not know what getsockname() fills in.
	 * NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
	return ntohs(ss.ss_family == AF_INET6 ?
		     ((struct sockaddr_in6 *)&ss)->sin6_port :
		     ((struct sockaddr_in *)&ss)->sin_port);
}

void link_tcp_unlisten(struct link_listener *l)
{
	if (!l)
		return;
	evconnlistener_free(l->lev);
	free(l);
}
