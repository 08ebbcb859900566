// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_raw.c - the same bytes without the engine: what it is measured against
 */
#include "replicator/bench_raw.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>
#include <lz4.h>

#include "replicator/bench_guest.h"

enum {
	PIECE = 1 << 20,	/* bytes in one send() or recv() */
	CHUNK_MAX = 1 << 30,
	COUNT_MAX = 1 << 20,
	WHY_MAX = 256,
	BACKLOG = 4,
};

struct raw_ask {
	uint64_t chunk, count;
};

/* --- memory ----------------------------------------------------------------- */

uint64_t raw_gather(struct platform *guest, void *to)
{
	size_t n;
	const uint64_t *list = bench_guest_list(guest, &n);
	const uint8_t *memory = guest->ops->page(guest, 0);
	uint64_t from = bench_now();

	for (size_t i = 0; i < n; i++)
		memcpy((uint8_t *)to + i * PLATFORM_PAGE,
		       memory + list[i] * PLATFORM_PAGE, PLATFORM_PAGE);
	return bench_now() - from;
}

uint64_t raw_scatter(struct platform *guest, const void *from)
{
	size_t n;
	const uint64_t *list = bench_guest_list(guest, &n);
	uint8_t *memory = guest->ops->page_rw(guest, 0);
	uint64_t begun = bench_now();

	for (size_t i = 0; i < n; i++)
		memcpy(memory + list[i] * PLATFORM_PAGE,
		       (const uint8_t *)from + i * PLATFORM_PAGE,
		       PLATFORM_PAGE);
	return bench_now() - begun;
}

struct raw_lz4 raw_lz4(struct platform *guest)
{
	char out[LZ4_COMPRESSBOUND(PLATFORM_PAGE)], back[PLATFORM_PAGE];
	struct raw_lz4 r = { 0 };
	uint64_t t[3];
	size_t n;
	const uint64_t *list = bench_guest_list(guest, &n);

	for (size_t i = 0; i < n; i++) {
		int len;

		t[0] = bench_now();
		len = LZ4_compress_default(guest->ops->page(guest, list[i]),
					   out, PLATFORM_PAGE, sizeof(out));
		t[1] = bench_now();
		(void)LZ4_decompress_safe(out, back, len, sizeof(back));
		t[2] = bench_now();
		r.compress_ns += t[1] - t[0];
		r.decompress_ns += t[2] - t[1];
		r.bytes += (uint64_t)len;
	}
	return r;
}

/* --- sending ----------------------------------------------------------------- */

static int fail(char *why, const char *host, const char *port,
		const char *reason)
{
	snprintf(why, WHY_MAX, "%.100s port %.10s: %.100s", host, port, reason);
	return -1;
}

static struct addrinfo *resolve(const char *host, const char *port, int flags,
				char *why)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	}, *list;
	int r = getaddrinfo(host, port, &hints, &list);

	if (!r)
		return list;
	fail(why, host, port, gai_strerror(r));
	return NULL;
}

int raw_connect(const char *host, const char *port, uint64_t rate, char *why)
{
	struct addrinfo *to = resolve(host, port, 0, why);
	const int one = 1;
	int fd;

	if (!to)
		return -1;
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen)) {
		fail(why, host, port, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(to);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (rate && setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
			       sizeof(rate))) {
		fail(why, host, port, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static bool send_all(int fd, const void *bytes, uint64_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len < PIECE ? len : PIECE,
				 MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes = (const uint8_t *)bytes + n;
		len -= (uint64_t)n;
	}
	return true;
}

/* The buffer is sent again and again: it holds no more than PIECE bytes. */
static bool send_chunk(int fd, const void *piece, uint64_t chunk)
{
	while (chunk) {
		uint64_t n = chunk < PIECE ? chunk : PIECE;

		if (!send_all(fd, piece, n))
			return false;
		chunk -= n;
	}
	return true;
}

uint64_t raw_send(int fd, uint64_t chunk, uint32_t count, uint64_t *ns)
{
	struct raw_ask ask = { chunk, count };
	uint8_t *piece = malloc(PIECE), answer[RAW_ANSWER];
	uint64_t sum = 0;

	if (!piece)
		return 0;
	memset(piece, 0x5a, PIECE);
	if (!send_all(fd, &ask, sizeof(ask)))
		count = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t from = bench_now(), took;

		if (!send_chunk(fd, piece, chunk) ||
		    recv(fd, answer, sizeof(answer), MSG_WAITALL) !=
		    sizeof(answer)) {
			sum = 0;
			break;
		}
		took = bench_now() - from;
		sum += took;
		if (ns)
			ns[i] = took;
	}
	free(piece);
	return sum;
}

/* --- serving ------------------------------------------------------------------ */

struct raw_server {
	struct event *ev;
	struct raw_ask ask;	/* .count: chunks left */
	bool asking;		/* the ask is awaited, else its chunks */
	uint64_t left;		/* bytes of the ask, or of the chunk */
	uint8_t piece[PIECE];
};

static void hang_up(struct raw_server *s)
{
	close(event_get_fd(s->ev));
	event_free(s->ev);
	free(s);
}

/* The ask is whole; false: not one of ours. */
static bool take_ask(struct raw_server *s)
{
	if (!s->ask.chunk || s->ask.chunk > CHUNK_MAX || !s->ask.count ||
	    s->ask.count > COUNT_MAX)
		return false;
	s->asking = false;
	s->left = s->ask.chunk;
	return true;
}

static bool take_chunk(struct raw_server *s, int fd)
{
	static const uint8_t answer[RAW_ANSWER];

	if (send(fd, answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
		return false;
	s->asking = !--s->ask.count;
	s->left = s->asking ? sizeof(s->ask) : s->ask.chunk;
	return true;
}

static void on_raw(evutil_socket_t fd, short what, void *arg)
{
	struct raw_server *s = arg;
	uint64_t want = s->left < PIECE ? s->left : PIECE;
	uint8_t *to = s->piece;
	ssize_t n;

	(void)what;
	if (s->asking)
		to = (uint8_t *)&s->ask + sizeof(s->ask) - s->left;
	n = recv(fd, to, want, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(s);
		return;
	}
	s->left -= (uint64_t)n;
	if (!s->left && !(s->asking ? take_ask(s) : take_chunk(s, fd)))
		hang_up(s);
}

static void on_accept(struct evconnlistener *lev, evutil_socket_t fd,
		      struct sockaddr *from, int len, void *arg)
{
	struct raw_server *s = calloc(1, sizeof(*s));
	const int one = 1;

	(void)lev;
	(void)from;
	(void)len;
	if (!s) {
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->asking = true;
	s->left = sizeof(s->ask);
	s->ev = event_new(arg, fd, EV_READ | EV_PERSIST, on_raw, s);
	if (s->ev) {
		event_add(s->ev, NULL);
		return;
	}
	close(fd);
	free(s);
}

unsigned int raw_listen(struct event_base *base, const char *host,
			const char *port, char *why)
{
	struct addrinfo *at = resolve(host, port, AI_PASSIVE, why);
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	struct evconnlistener *lev;

	if (!at)
		return 0;
	lev = evconnlistener_new_bind(base, on_accept, base,
				      LEV_OPT_CLOSE_ON_FREE |
				      LEV_OPT_CLOSE_ON_EXEC |
				      LEV_OPT_REUSEABLE, BACKLOG, at->ai_addr,
				      (int)at->ai_addrlen);
	freeaddrinfo(at);
	if (!lev || getsockname(evconnlistener_get_fd(lev),
				(struct sockaddr *)&ss, &len)) {
		fail(why, host, port, strerror(errno));
		return 0;
	}
	/* It does not know what getsockname() fills in.
	 * NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
	return ntohs(ss.ss_family == AF_INET6 ?
		     ((struct sockaddr_in6 *)&ss)->sin6_port :
		     ((struct sockaddr_in *)&ss)->sin_port);
}
