/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h - one connection between primary and secondary, message by message
 *
 * A message is a wire header (wire.h) and its body; the header's length frames
 * the byte stream.  A link delivers whole messages in order or not at all:
 * what a broken connection cut in two is never seen.  It knows nothing of what
 * messages mean.
 *
 * Implementations: link_tcp.h (sockets), link_pair.h (two ends in one process
 * with seeded cuts, delays and losses).  One link is one connection: when it
 * is closed a reconnect makes a new one.
 *
 * No callback is ever called from within a call on the same link: they come
 * from the event loop, or from whoever drives a link_pair.
 */
#ifndef KEMARI_LINK_H
#define KEMARI_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	/* Bytes that may wait in a link: send() refuses a message while this
	 * much or more is queued, so at most one message above it. */
	LINK_QUEUE_MAX = 8 << 20,
	/* writable() comes when the queue has fallen to this. */
	LINK_QUEUE_LOW = 2 << 20,
	LINK_IOV_MAX = 16,
};

struct link;

/**
 * struct link_handler - whom a link tells
 *
 * Set before the first event; all members are set, @arg comes back.
 */
struct link_handler {
	/* One whole message, header included; the header's magic, type and
	 * length have been checked (wire_head_check()).  @bytes are valid
	 * until the callback returns. */
	void (*message)(void *arg, const void *bytes, size_t len);

	/* The connection is gone, once, as the last callback.  @err: errno,
	 * 0 if the peer closed it in order; @why: a sentence, valid until
	 * the callback returns.  The link is still to be closed by
	 * ops->close, which may be done from here. */
	void (*closed)(void *arg, int err, const char *why);

	/* After a send() that failed with EAGAIN: there is room again. */
	void (*writable)(void *arg);

	void *arg;
};

struct link_ops {
	const char *name;

	/* Send one whole message, gathered from @iov (at most LINK_IOV_MAX);
	 * the bytes are the caller's again when it returns.
	 * 0, or -1: EAGAIN the queue is full, nothing was taken, writable()
	 * will come; EPIPE the link is down (closed() came or will come);
	 * ENOMEM. */
	int (*send)(struct link *l, const struct iovec *iov, int n);

	/* Bytes accepted by send() and not yet given to the network. */
	size_t (*queued)(const struct link *l);

	/* Break the connection: nothing is received or sent any more, what is
	 * queued is dropped, closed() comes with @err and @why.  For a peer
	 * that breaks the rules or has gone silent.  Idempotent. */
	void (*shut)(struct link *l, int err, const char *why);

	/* Free everything; no callback comes any more. */
	void (*close)(struct link *l);
};

/** struct link - base; first member of each implementation's own */
struct link {
	const struct link_ops *ops;
	struct link_handler handler;	/* set by the owner, any time before
					 * it lets the loop run */
};

#endif
