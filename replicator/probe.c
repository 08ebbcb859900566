// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe.c - would that secondary take this guest?
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libxc-ext/platform.h"
#include "replicator/probe.h"
#include "replicator/wire.h"

struct probe {
	int fd;
	char *why;
	uint8_t *message;	/* the last one received */
};

static int fail(struct probe *p, int err, const char *what, const char *text)
{
	snprintf(p->why, PROBE_WHY_MAX, "%s: %s", what, text);
	errno = err;
	return -1;
}

/* Try each address of the name. */
static int connect_to(struct probe *p, const char *host, const char *port)
{
	const struct timeval patience = { .tv_sec = PROBE_TIMEOUT_S };
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *a;
	int r = getaddrinfo(host, port, &hints, &list);
	int err = EHOSTUNREACH;

	if (r)
		return fail(p, ENOENT, "address", gai_strerror(r));
	for (a = list; a && p->fd < 0; a = a->ai_next) {
		p->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (p->fd < 0)
			continue;
		setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			   sizeof(patience));
		setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
			   sizeof(patience));
		if (!connect(p->fd, a->ai_addr, a->ai_addrlen))
			continue;
		err = errno == EINPROGRESS ? ETIMEDOUT : errno;
		close(p->fd);
		p->fd = -1;
	}
	freeaddrinfo(list);
	return p->fd < 0 ? fail(p, err, "connect", strerror(err)) : 0;
}

static int send_all(struct probe *p, enum wire_type type, const void *head,
		    size_t head_len, const void *rest, size_t rest_len)
{
	const struct iovec body[2] = {
		{ (void *)(uintptr_t)head, head_len },
		{ (void *)(uintptr_t)rest, rest_len },
	};
	struct wire_head h;
	const struct iovec *part;
	struct iovec all[3];
	int i;

	wire_seal(&h, type, body, rest_len ? 2 : 1);
	all[0] = (struct iovec){ &h, sizeof(h) };
	all[1] = body[0];
	all[2] = body[1];
	for (i = 0; i < 3; i++) {
		size_t sent = 0;

		part = &all[i];
		while (sent < part->iov_len) {
			ssize_t n = send(p->fd, (char *)part->iov_base + sent,
					 part->iov_len - sent, MSG_NOSIGNAL);

			if (n < 0)
				return fail(p, errno, "send", strerror(errno));
			sent += n;
		}
	}
	return 0;
}

static int read_all(struct probe *p, uint8_t *to, size_t len)
{
	while (len) {
		ssize_t n = recv(p->fd, to, len, MSG_WAITALL);

		if (!n)
			return fail(p, EPIPE, "the peer closed the connection",
				    "is it a kemari of this version?");
		if (n < 0)
			return fail(p, errno, "receive", errno == EAGAIN ?
				    "no answer in time" : strerror(errno));
		to += n;
		len -= n;
	}
	return 0;
}

/* Wait for @type, passing over heartbeats; its body. */
static const void *expect(struct probe *p, int type)
{
	char why[WIRE_WHY_MAX];
	struct wire_error e;
	size_t total;
	int got;

	do {
		if (read_all(p, p->message, sizeof(struct wire_head)))
			return NULL;
		if (wire_head_check(p->message, sizeof(struct wire_head),
				    &total, why)) {
			fail(p, EPROTO, "the peer does not speak this "
			     "protocol", why);
			return NULL;
		}
		if (read_all(p, p->message + sizeof(struct wire_head),
			     total - sizeof(struct wire_head)))
			return NULL;
		got = wire_check(p->message, total, why);
		if (got < 0) {
			fail(p, EPROTO, "the peer breaks the protocol", why);
			return NULL;
		}
	} while (got == WIRE_HEARTBEAT || got == 0);
	if (got == WIRE_ERROR) {
		memcpy(&e, wire_body(p->message), sizeof(e));
		fail(p, EREMOTEIO, "the peer says", e.text);
		return NULL;
	}
	if (got != type) {
		fail(p, EPROTO, "the peer sent", wire_type_str(got));
		return NULL;
	}
	return wire_body(p->message);
}

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

int probe(const char *host, const char *port, const struct platform_info *info,
	  const void *records, size_t len, char *why)
{
	const struct wire_end end = {
		.generation = 1, .reason = WIRE_REASON_UNPROTECT,
	};
	struct probe p = { .fd = -1, .why = why };
	int rc = -1;

	p.message = malloc(sizeof(struct wire_head) + WIRE_BODY_MAX);
	if (!p.message) {
		fail(&p, ENOMEM, "probe", "out of memory");
		return -1;
	}
	if (connect_to(&p, host, port) || hello(&p, info) ||
	    shell(&p, records, len) ||
	    send_all(&p, WIRE_END, &end, sizeof(end), NULL, 0) ||
	    !expect(&p, WIRE_END_ACK))
		goto out;
	rc = 0;
out:
	if (p.fd >= 0)
		close(p.fd);
	free(p.message);
	return rc;
}
