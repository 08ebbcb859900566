/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_tcp.h - the link over TCP, on a libevent loop
 *
 * Addresses are "HOST:PORT", "[V6]:PORT" or "HOST" for LINK_TCP_PORT.
 */
#ifndef KEMARI_LINK_TCP_H
#define KEMARI_LINK_TCP_H

#include "replicator/link.h"

struct event_base;

#define LINK_TCP_PORT "7766"

enum {
	LINK_TCP_WHY_MAX = 256,
	LINK_TCP_PEER_MAX = 64,	/* "[address]:port" */
	LINK_TCP_CONNECT_S = 5,	/* connecting takes no longer */
	LINK_TCP_IDLE_S = 10,	/* first keepalive probe; heartbeats are
				 * what detects a dead peer */
};

/**
 * link_tcp_connect() - Start connecting
 * @address:	Of the listener; a name is looked up here, blocking
 * @why:	LINK_TCP_WHY_MAX bytes; a sentence on failure
 *
 * Returns at once; messages may be sent already.  If the connection cannot be
 * made, closed() comes with the reason.
 * Return: closed by ops->close, or NULL: EINVAL or ENOENT the address, others
 */
struct link *link_tcp_connect(struct event_base *base, const char *address,
			      char *why);

/**
 * link_tcp_from_fd() - Make a link of a connected socket
 * @fd:		Taken over, also on failure
 * Return: closed by ops->close, or NULL with ENOMEM
 */
struct link *link_tcp_from_fd(struct event_base *base, int fd);

struct link_listener;

/**
 * link_tcp_listen() - Accept connections
 * @address:	As above; port 0 takes any free one, see link_tcp_port()
 * @accepted:	Called for each; owns @l; @peer is valid until it returns.
 *		To refuse, close @l there
 * @why:	LINK_TCP_WHY_MAX bytes; a sentence on failure
 * Return: freed by link_tcp_unlisten(), or NULL with errno
 */
struct link_listener *link_tcp_listen(struct event_base *base,
				      const char *address,
				      void (*accepted)(void *arg,
						       struct link *l,
						       const char *peer),
				      void *arg, char *why);

/** link_tcp_port() - Port a listener has */
unsigned int link_tcp_port(const struct link_listener *l);

void link_tcp_unlisten(struct link_listener *l);	/* NULL is fine */

#endif
