/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_tcp.h - the link over TCP, on a libevent loop
 *
 * The bytes go as transport.h has it: under TLS, or, with a NULL
 * struct tls, as they are.  Addresses are those of address.h.
 */
#ifndef KEMARI_LINK_TCP_H
#define KEMARI_LINK_TCP_H

#include "replicator/link.h"

struct event_base;
struct transport;
struct tls;

enum {
	LINK_TCP_WHY_MAX = 384,
	LINK_TCP_PEER_MAX = 64,	/* "[address]:port" */
	LINK_TCP_CONNECT_S = 5,	/* connecting takes no longer */
	LINK_TCP_IDLE_S = 10,	/* first keepalive probe; heartbeats are
				 * what detects a dead peer */
	/* Connections whose peer is not known yet.  One more and the oldest
	 * is closed: a peer that stalls keeps nobody out. */
	LINK_TCP_UNKNOWN_MAX = 8,
};

/**
 * link_tcp_connect() - Start connecting
 * @tls:	NULL: plaintext
 * @address:	Of the listener; a name is looked up here, blocking
 * @why:	LINK_TCP_WHY_MAX bytes; a sentence on failure
 *
 * Returns at once; messages may be sent already.  If the connection cannot be
 * made, closed() comes with the reason.
 * Return: closed by ops->close, or NULL: EINVAL or ENOENT the address, EACCES
 * a file of @tls, others
 */
struct link *link_tcp_connect(struct event_base *base, struct tls *tls,
			      const char *address, char *why);

/**
 * link_tcp_new() - Make a link of a connected socket
 * @tr:		Of the socket; taken over, also on failure
 * @limit_ms:	For what precedes the first byte
 * @ready:	Called once that is over, with @arg; NULL: nobody.  It may
 *		set the handler anew, and may close the link
 * Return: closed by ops->close, or NULL with ENOMEM
 */
struct link *link_tcp_new(struct event_base *base, struct transport *tr,
			  unsigned int limit_ms, void (*ready)(void *arg),
			  void *arg);

/** link_tcp_transport() - How the bytes go, for status: "plaintext", "tls1.3
 *			   CIPHER, peer NAME"; "" before the first byte */
const char *link_tcp_transport(const struct link *l);

/**
 * link_tcp_pace() - Send no faster than @rate bytes/s, 0: as fast as it goes
 * Return: 0, or -1 with errno
 */
int link_tcp_pace(struct link *l, uint64_t rate);

struct link_listener;

/**
 * struct link_listen - whom a listener tells; all members are set
 *
 * @peer and @why are valid until the call returns.
 */
struct link_listen {
	/* A peer that may take part; owns @l.  To refuse, close it. */
	void (*accepted)(void *arg, struct link *l, const char *peer);
	/* One that may not: it is gone. */
	void (*refused)(void *arg, const char *peer, const char *why);
	void *arg;
};

/**
 * link_tcp_listen() - Accept connections
 * @tls:	NULL: plaintext
 * @address:	Port 0 takes any free one, see link_tcp_port()
 * @why:	LINK_TCP_WHY_MAX bytes; a sentence on failure
 * Return: freed by link_tcp_unlisten(), or NULL with errno
 */
struct link_listener *link_tcp_listen(struct event_base *base, struct tls *tls,
				      const char *address,
				      const struct link_listen *tell,
				      char *why);

/** link_tcp_port() - Port a listener has */
unsigned int link_tcp_port(const struct link_listener *l);

void link_tcp_unlisten(struct link_listener *l);	/* NULL is fine */

#endif
