/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link_end.h - links over real sockets, as tests see them
 *
 * An end is a link and what it was told.  A bare end is a transport: it sends and
 * receives bytes that no link has framed.  Certificates are made as an operator
 * makes them (pki.h), in a directory of the test's own.
 */
#ifndef TESTS_LINK_END_H
#define TESTS_LINK_END_H

#include "tests/unit/session.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "replicator/link_tcp.h"
#include "replicator/pki.h"
#include "replicator/transport.h"
#include "replicator/tls.h"

enum { HANG_S = 300 };	/* a test that waits for nothing is killed */

static struct event_base *base;
static char why[LINK_TCP_WHY_MAX];

/* --- one end: what it was told ---------------------------------------------- */

struct end {
	struct link *l;
	unsigned int ready, messages, writables, closed;
	size_t bytes;
	uint64_t last;		/* .sequence of the last heartbeat */
	bool in_call;		/* a callback from within a call is a bug */
	bool close_on_message, close_on_closed, echo;
	int err;
	char why[LINK_TCP_WHY_MAX];
	char label[TRANSPORT_LABEL_MAX];
};

static inline int end_send(struct end *e, const struct iovec *iov, int n)
{
	int r;

	e->in_call = true;
	r = e->l->ops->send(e->l, iov, n);
	e->in_call = false;
	return r;
}

static inline void end_message(void *arg, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)bytes, len };
	char text[WIRE_WHY_MAX];
	struct wire_heartbeat h;
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	if (wire_check(bytes, len, text) < 0)
		fail_msg("%s", text);
	e->messages++;
	e->bytes += len;
	if (wire_check(bytes, len, text) == WIRE_HEARTBEAT) {
		memcpy(&h, wire_body(bytes), sizeof(h));
		assert_int_equal(h.sequence, e->last + 1);
		e->last = h.sequence;
	}
	if (e->echo)
		assert_int_equal(end_send(e, &iov, 1), 0);
	if (e->close_on_message) {
		e->l->ops->close(e->l);
		e->l = NULL;
	}
}

static inline void end_closed(void *arg, int err, const char *text)
{
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	e->closed++;
	e->err = err;
	snprintf(e->why, sizeof(e->why), "%s", text);
	snprintf(e->label, sizeof(e->label), "%s",
		 link_tcp_transport(e->l));
	if (e->close_on_closed) {
		e->l->ops->close(e->l);
		e->l = NULL;
	}
}

static inline void end_writable(void *arg)
{
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	assert_true(e->l->ops->queued(e->l) <= LINK_QUEUE_LOW);
	e->writables++;
}

static inline void end_ready(void *arg)
{
	struct end *e = arg;

	assert_false(e->in_call || e->closed || e->ready);
	e->ready++;
}

static inline void end_use(struct end *e, struct link *l)
{
	if (!l)
		fail_msg("%s", why);
	e->l = l;
	l->handler = (struct link_handler){
		.message = end_message,
		.closed = end_closed,
		.writable = end_writable,
		.arg = e,
	};
}

static inline void end_free(struct end *e)
{
	if (e->l)
		e->l->ops->close(e->l);
	e->l = NULL;
}

static inline int send_beat(struct end *e, uint64_t sequence)
{
	uint8_t bytes[sizeof(struct wire_head) + sizeof(struct wire_heartbeat)];
	struct wire_heartbeat h = { .sequence = sequence };
	struct iovec iov[2] = { { bytes, 40 }, { bytes + 40, 56 } };

	assert_int_equal(wire_put(bytes, WIRE_HEARTBEAT, &h, sizeof(h)), 96);
	return end_send(e, iov, 2);
}

static inline void says(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("'%s' does not say '%s'", text, word);
}

/* --- the loop ----------------------------------------------------------------- */

static inline void once(void)
{
	assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
}

/* Let everything that is ready happen. */
static inline void settle(void)
{
	unsigned int i;

	for (i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static inline int loop_new(void **state)
{
	(void)state;
	alarm(HANG_S);
	base = event_base_new();
	return base ? 0 : -1;
}

static inline int loop_free(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

/* --- a bare end ------------------------------------------------------------------ */

/* @tls NULL: plaintext. */
static inline struct transport *bare(struct tls *tls, int fd, bool server)
{
	struct transport *s;

	assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
	s = tls ? transport_tls(tls, fd, server, why) : transport_plain(fd);
	if (!s)
		fail_msg("%s", why);
	return s;
}

/* Until all is written; the loop takes it away. */
static inline void bare_write(struct transport *s, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)bytes, len };
	ssize_t n;

	while (iov.iov_len) {
		n = s->ops->write(s, &iov, 1);
		if (n < 0)
			fail_msg("%s", s->why);
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		if (!n)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

/* A link, which was accepted, and the bare end of its peer. */
static inline struct transport *half_of(struct end *e, struct tls *server,
				     struct tls *client)
{
	bool up = false;
	struct transport *s;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	end_use(e, link_tcp_new(base, bare(server, fd[0], true), HANG_S * 1000,
				end_ready, e));
	s = bare(client, fd[1], false);
	while (!up || !e->ready) {
		if (!up)
			up = !s->ops->start(s);
		if (!up && errno != EAGAIN)
			fail_msg("%s", s->why);
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (e->closed)
			fail_msg("%s", e->why);
	}
	return s;
}

/* --- certificates ----------------------------------------------------------------- */

static char pki_dir[] = "/tmp/kemari-pki-XXXXXX";

static inline int pki_remove(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void pki_end(void)
{
	nftw(pki_dir, pki_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void pki_begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(pki_dir));
}

/* Host @name of CA @ca, with the addresses of loopback. */
static inline void pki_make(const char *ca, const char *name, time_t from,
			    time_t until)
{
	static const char *const more[] = { "127.0.0.1", "::1" };
	const struct pki_host h = {
		.name = name, .more = more, .n = 2, .from = from,
		.until = until,
	};
	char dir[PATH_MAX], text[PKI_WHY_MAX];
	bool made;

	snprintf(dir, sizeof(dir), "%s/%s", pki_dir, ca);
	if (pki_issue(dir, &h, &made, text))
		fail_msg("%s", text);
}

/* The files of host @name of CA @ca; kept for the whole test program. */
struct pki_files {
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
};

static inline struct tls_config pki_config(struct pki_files *f, const char *ca,
					   const char *name, const char *peer)
{
	snprintf(f->ca, PATH_MAX, "%s/%s/%s/ca.pem", pki_dir, ca, name);
	snprintf(f->cert, PATH_MAX, "%s/%s/%s/host.pem", pki_dir, ca, name);
	snprintf(f->key, PATH_MAX, "%s/%s/%s/host.key", pki_dir, ca, name);
	return (struct tls_config){
		.ca = f->ca, .cert = f->cert, .key = f->key, .peer = peer,
	};
}

static inline void copy(const char *from, const char *to)
{
	char command[3 * PATH_MAX];

	snprintf(command, sizeof(command), "cp -p %s %s", from, to);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static inline struct tls *pki_tls(const struct tls_config *c)
{
	struct tls *t = tls_new(c, why);

	if (!t)
		fail_msg("%s", why);
	return t;
}

#endif
