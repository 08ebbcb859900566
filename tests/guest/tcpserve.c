// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpserve.c - a server whose every answer tells what it knows of the past
 *
 * TCP: a request is a line "ID SEQ NONCE": the client's name of the connection
 * and a nonce, 16 hex digits each, and a number.  The answer is
 *
 *	ID SEQ NONCE COUNT NUMBER MONO HASH
 *
 * COUNT: requests on this connection, NUMBER: answers of this server, over TCP
 * or UDP, MONO: its CLOCK_MONOTONIC in ns, HASH: FNV-1a of all bytes that this
 * connection has sent.  A server that was revived without the memory of a
 * request that it had answered gives itself away (INV-2).
 *
 * UDP: "SEQ NONCE", answered by "SEQ NONCE NUMBER MONO".
 *
 * Option tcpport=N: port of both (default 7000).
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/guest/guest.h"

#define FNV_OFFSET	0xcbf29ce484222325u
#define FNV_PRIME	0x100000001b3u

enum { LINE_MAX_LEN = 128, EVENTS = 16, BACKLOG = 64 };

static struct option options[] = { { "tcpport", 7000, 1, 65535 } };

/* One open connection, or a listener, of which only the socket is used. */
struct conn {
	int fd;
	char id[17];
	uint64_t count, hash;
	size_t len;			/* of an unfinished line */
	char line[LINE_MAX_LEN];
};

static uint64_t number;			/* of the last answer */

static void die(const char *what)
{
	say("BAD tcpserve: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A full line is in @c.  Returns 0, or -1 if the connection must go. */
static int answer(struct conn *c)
{
	char id[17], nonce[17], reply[2 * LINE_MAX_LEN];
	uint64_t seq;
	int n;

	for (size_t i = 0; i < c->len; i++)
		c->hash = (c->hash ^ (uint8_t)c->line[i]) * FNV_PRIME;
	c->line[c->len - 1] = 0;
	if (sscanf(c->line, "%16[0-9a-f] %" SCNu64 " %16[0-9a-f]", id, &seq,
		   nonce) != 3)
		return -1;
	if (!c->count++)
		memcpy(c->id, id, sizeof(id));
	if (strcmp(c->id, id))
		return -1;
	n = snprintf(reply, sizeof(reply), "%s %" PRIu64 " %s %" PRIu64 " %"
		     PRIu64 " %" PRIu64 " %016" PRIx64 "\n", id, seq, nonce,
		     c->count, ++number, now(CLOCK_MONOTONIC), c->hash);
	/* A client that keeps some requests open at most fills no buffer. */
	return send(c->fd, reply, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -1;
}

/* Returns 0, or -1 if the connection must go. */
static int serve(struct conn *c)
{
	char buf[1024];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	for (ssize_t i = 0; i < n; i++) {
		if (c->len == sizeof(c->line))
			return -1;
		c->line[c->len++] = buf[i];
		if (buf[i] != '\n')
			continue;
		if (answer(c))
			return -1;
		c->len = 0;
	}
	return 0;
}

static void probe(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char buf[LINE_MAX_LEN], reply[2 * LINE_MAX_LEN], nonce[17];
	ssize_t n = recvfrom(fd, buf, sizeof(buf) - 1, 0,
			     (struct sockaddr *)&from, &len);
	uint64_t seq;

	if (n < 0)
		return;
	buf[n] = 0;
	if (sscanf(buf, "%" SCNu64 " %16[0-9a-f]", &seq, nonce) != 2)
		return;
	n = snprintf(reply, sizeof(reply), "%" PRIu64 " %s %" PRIu64 " %" PRIu64
		     "\n", seq, nonce, ++number, now(CLOCK_MONOTONIC));
	/* What does not leave is a lost packet. */
	sendto(fd, reply, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static void watch(int ep, struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll");
}

static void accept_one(int ep, int listener)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	struct conn *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	c->hash = FNV_OFFSET;
	watch(ep, c);
}

static int open_port(int type)
{
	struct sockaddr_in any = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)options[0].value),
	};
	int one = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG)))
		die("bind");
	return fd;
}

int main(int argc, char **argv)
{
	static struct conn listener, udp;
	struct epoll_event events[EVENTS];
	int ep = epoll_create1(0), least = 0;

	read_options(options, 1, argc, argv);
	listener.fd = open_port(SOCK_STREAM);
	udp.fd = open_port(SOCK_DGRAM);
	/* A guest that is slow answers fewer probes, not older ones. */
	setsockopt(udp.fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
	watch(ep, &listener);
	watch(ep, &udp);
	say("tcpserve: port %lu\n", options[0].value);
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c == &udp) {
				probe(c->fd);
			} else if (c == &listener) {
				accept_one(ep, c->fd);
			} else if (serve(c)) {
				close(c->fd);
				free(c);
			}
		}
	}
}
