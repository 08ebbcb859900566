// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * link_listen.c - accept connections, and find out who it is
 *
 * A connection is kept here until its peer is known, or its deadline comes, or
 * LINK_TCP_UNKNOWN_MAX younger ones have come.  Until then it costs one link
 * and gets nothing but the handshake (INV-41).
 */
#include "replicator/link_tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "replicator/address.h"
#include "replicator/transport.h"
#include "replicator/tls.h"

enum { BACKLOG = 64 };

/* One whose peer is not known yet; a free place has no .l */
struct unknown {
	struct link_listener *owner;
	struct link *l;
	uint64_t number;	/* of the connection */
	char peer[LINK_TCP_PEER_MAX];
};

struct link_listener {
	struct event_base *base;
	struct tls *tls;
	struct evconnlistener *lev;
	struct link_listen tell;
	uint64_t connections;
	struct unknown unknown[LINK_TCP_UNKNOWN_MAX];
};

static void forget(struct unknown *u, const char *why)
{
	u->l->ops->close(u->l);
	u->l = NULL;
	u->owner->tell.refused(u->owner->tell.arg, u->peer, why);
}

static void on_closed(void *arg, int err, const char *why)
{
	char text[LINK_TCP_WHY_MAX];

	(void)err;
	/* @why goes with the link. */
	snprintf(text, sizeof(text), "%s", why);
	forget(arg, text);
}

static void on_ready(void *arg)
{
	struct unknown *u = arg;
	struct link *l = u->l;

	u->l = NULL;
	l->handler = (struct link_handler){ 0 };
	u->owner->tell.accepted(u->owner->tell.arg, l, u->peer);
}

static void name(char peer[LINK_TCP_PEER_MAX], const struct sockaddr *from,
		 socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(from, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(peer, LINK_TCP_PEER_MAX, "?");
	else
		snprintf(peer, LINK_TCP_PEER_MAX,
			 from->sa_family == AF_INET6 ? "[%.48s]:%.8s" :
			 "%.48s:%.8s", host, port);
}

/* A free place, or that of the oldest. */
static struct unknown *place(struct link_listener *listener)
{
	struct unknown *u, *oldest = listener->unknown;

	for (u = oldest; u < listener->unknown + LINK_TCP_UNKNOWN_MAX; u++) {
		if (!u->l)
			return u;
		if (u->number < oldest->number)
			oldest = u;
	}
	forget(oldest, "too many connections whose peer is not known: the oldest gives way");
	return oldest;
}

static void on_accept(struct evconnlistener *lev, evutil_socket_t fd,
		      struct sockaddr *from, int len, void *arg)
{
	char why[LINK_TCP_WHY_MAX] = "out of memory";
	struct link_listener *listener = arg;
	struct tls *tls = listener->tls;
	struct unknown *u = place(listener);
	struct transport *tr;

	(void)lev;
	u->owner = listener;
	u->number = listener->connections++;
	name(u->peer, from, (socklen_t)len);
	tr = tls ? transport_tls(tls, fd, true, why) : transport_plain(fd);
	if (tr)
		u->l = link_tcp_new(listener->base, tr,
				    tls ? tls_handshake_ms(tls) :
				    TLS_HANDSHAKE_MS, on_ready, u);
	if (u->l)
		u->l->handler = (struct link_handler){
			.closed = on_closed, .arg = u,
		};
	else
		listener->tell.refused(listener->tell.arg, u->peer, why);
}

struct link_listener *link_tcp_listen(struct event_base *base, struct tls *tls,
				      const char *address,
				      const struct link_listen *tell,
				      char *why)
{
	struct addrinfo *at = address_resolve(address, AI_PASSIVE, why);
	struct link_listener *l;

	if (!at)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l) {
		snprintf(why, LINK_TCP_WHY_MAX, "out of memory");
		freeaddrinfo(at);
		return NULL;
	}
	l->base = base;
	l->tls = tls;
	l->tell = *tell;
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
	struct unknown *u;

	if (!l)
		return;
	for (u = l->unknown; u < l->unknown + LINK_TCP_UNKNOWN_MAX; u++)
		if (u->l)
			u->l->ops->close(u->l);
	evconnlistener_free(l->lev);
	free(l);
}
