/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transport.h - the bytes of one connected socket, as they are or under TLS
 *
 * What link_tcp.c frames into messages.  Non-blocking: each call does what it
 * can and never waits.
 *
 * Implementations: transport_plain.c, transport_tls.c (tls.h).
 */
#ifndef KEMARI_TRANSPORT_H
#define KEMARI_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	TRANSPORT_WHY_MAX = 320,
	TRANSPORT_LABEL_MAX = 160,
};

struct transport;

struct transport_ops {
	const char *name;

	/* What precedes the first byte: the TLS handshake.  To be called
	 * until it returns 0, nothing else before.
	 * 0, or -1: EAGAIN, the socket must be ready for .wants_write, or
	 * else reading; anything else with .why. */
	int (*start)(struct transport *tr);

	/* Bytes read, at most @len; 0 the peer closed in order; -1: EAGAIN
	 * when the socket is readable again, else with .why. */
	ssize_t (*read)(struct transport *tr, void *to, size_t len);

	/* Bytes taken of @iov, maybe none: the socket is full.  The next
	 * write() begins with the bytes that were not taken.  -1 with .why.
	 * SIGPIPE is ignored by the process. */
	ssize_t (*write)(struct transport *tr, const struct iovec *iov, int n);

	/* Say good-bye if that is possible, close .fd, free. */
	void (*close)(struct transport *tr);
};

/** struct transport - base; first member of each implementation's own */
struct transport {
	const struct transport_ops *ops;
	int fd;
	bool wants_write;	/* see start() */
	bool more;		/* read() has something though the socket
				 * may not be readable */
	char label[TRANSPORT_LABEL_MAX];	/* for status; after start() */
	char why[TRANSPORT_WHY_MAX];	/* a sentence, after a failure */
};

/**
 * transport_plain() - The bytes as they are
 * @fd:		Connected and non-blocking; taken over, also on failure
 * Return: closed by ops->close, or NULL with ENOMEM
 */
struct transport *transport_plain(int fd);

/**
 * transport_fail() - Set .why and errno, for implementations
 * Return: -1
 */
int transport_fail(struct transport *tr, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
