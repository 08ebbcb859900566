// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_link_tls.c - who may take part in TLS, and what all others get: nothing
 *		     (INV-41)
 *
 * Links over loopback against other links, against OpenSSL used as no Kemari
 * does, and against bytes.
 */
#include "tests/unit/link_end.h"

#include <netinet/in.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { SHORT_MS = 50, DAY_S = 86400 };

/* --- a server: one listener, what it accepted and refused -------------------- */

static struct server {
	struct end end;		/* the last one accepted */
	unsigned int accepted, refused;
	char why[LINK_TCP_WHY_MAX];
	struct link_listener *l;
	char address[32];
	struct tls *tls;
	struct pki_files files;
} server;

static void on_accepted(void *arg, struct link *l, const char *peer)
{
	(void)arg;
	assert_non_null(strstr(peer, "127.0.0.1:"));
	server.accepted++;
	end_free(&server.end);
	server.end = (struct end){ .echo = true, .close_on_closed = true };
	end_use(&server.end, l);
}

static void on_refused(void *arg, const char *peer, const char *text)
{
	(void)arg;
	assert_non_null(strstr(peer, "127.0.0.1:"));
	server.refused++;
	snprintf(server.why, sizeof(server.why), "%s", text);
}

/* Host @name of CA @ca listens; NULL: in plaintext. */
static void serve(const char *ca, const char *name, const char *peer,
		  unsigned int handshake_ms)
{
	const struct link_listen tell = { on_accepted, on_refused, NULL };
	struct tls_config c;

	memset(&server, 0, sizeof(server));
	if (ca) {
		c = pki_config(&server.files, ca, name, peer);
		c.handshake_ms = handshake_ms;
		server.tls = pki_tls(&c);
	}
	server.l = link_tcp_listen(base, server.tls, "127.0.0.1:0", &tell,
				   why);
	assert_non_null(server.l);
	snprintf(server.address, sizeof(server.address), "127.0.0.1:%u",
		 link_tcp_port(server.l));
}

static void serve_end(void)
{
	end_free(&server.end);
	link_tcp_unlisten(server.l);
	tls_free(server.tls);
}

/* --- a client that is a link ------------------------------------------------- */

static struct client {
	struct end end;
	struct tls *tls;
	struct pki_files files;
} client;

/* Host @name of CA @ca connects to @peer; NULL: in plaintext. */
static void call(const char *ca, const char *name, const char *peer)
{
	struct tls_config c;

	memset(&client, 0, sizeof(client));
	if (ca) {
		c = pki_config(&client.files, ca, name, peer);
		client.tls = pki_tls(&c);
	}
	end_use(&client.end, link_tcp_connect(base, client.tls,
					      server.address, why));
	assert_int_equal(send_beat(&client.end, 1), 0);
}

static void call_end(void)
{
	end_free(&client.end);
	tls_free(client.tls);
}

static void served(void)
{
	while (!client.end.messages) {
		once();
		if (client.end.closed || server.refused)
			fail_msg("%s; %s", client.end.why, server.why);
	}
}

static void refused(const char *word)
{
	while (!server.refused)
		once();
	says(server.why, word);
	assert_int_equal(server.accepted, 0);
}

/* --- bare sockets ------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)link_tcp_port(server.l)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

/* A socket that listens, and may be called by call(). */
static int listen_bare(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(server.address, sizeof(server.address), "127.0.0.1:%u",
		 ntohs(sin.sin_port));
	return fd;
}

/* --- OpenSSL as no Kemari uses it ----------------------------------------------- */

struct rogue {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	int r;			/* of the last call */
};

/* Host @name of CA @ca; NULL: without a certificate.  It trusts everybody. */
static void rogue_new(struct rogue *r, int fd, bool accepts, const char *ca,
		      const char *name)
{
	struct pki_files f = { 0 };

	r->fd = fd;
	r->ctx = SSL_CTX_new(TLS_method());
	if (ca) {
		(void)pki_config(&f, ca, name, NULL);
		assert_int_equal(SSL_CTX_use_certificate_file(r->ctx, f.cert,
				 SSL_FILETYPE_PEM), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(r->ctx, f.key,
				 SSL_FILETYPE_PEM), 1);
	}
	r->ssl = SSL_new(r->ctx);
	assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
	assert_int_equal(SSL_set_fd(r->ssl, fd), 1);
	if (accepts)
		SSL_set_accept_state(r->ssl);
	else
		SSL_set_connect_state(r->ssl);
}

static bool rogue_waits(struct rogue *r)
{
	int e = SSL_get_error(r->ssl, r->r);

	ERR_clear_error();
	return r->r <= 0 && (e == SSL_ERROR_WANT_READ ||
			     e == SSL_ERROR_WANT_WRITE);
}

/* Its handshake as far as it goes, then a message; then it listens until the
 * end.  It must not have read a byte: nothing is said to a stranger. */
static void rogue_try(struct rogue *r)
{
	uint8_t bytes[96], got[64];
	struct wire_heartbeat h = { .sequence = 1 };

	wire_put(bytes, WIRE_HEARTBEAT, &h, sizeof(h));
	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		r->r = SSL_do_handshake(r->ssl);
	} while (rogue_waits(r));
	if (r->r == 1)
		(void)SSL_write(r->ssl, bytes, sizeof(bytes));
	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		r->r = SSL_read(r->ssl, got, sizeof(got));
	} while (rogue_waits(r));
	assert_true(r->r <= 0);
}

static void rogue_free(struct rogue *r)
{
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	close(r->fd);
	ERR_clear_error();
}

/* --- good pairs ------------------------------------------------------------------- */

static void test_good(void **state)
{
	(void)state;
	serve("ca", "b", NULL, 0);
	call("ca", "a", "127.0.0.1");
	served();
	assert_string_equal(link_tcp_transport(client.end.l),
			    "tls1.3 TLS_AES_256_GCM_SHA384, peer 127.0.0.1");
	assert_string_equal(link_tcp_transport(server.end.l),
			    "tls1.3 TLS_AES_256_GCM_SHA384, peer a, 127.0.0.1, ::1");
	call_end();
	while (!server.end.closed)
		once();
	assert_int_equal(server.end.err, 0);
	serve_end();
}

/* The server knows its one client by name, the client its server. */
static void test_names(void **state)
{
	(void)state;
	serve("ca", "b", "a", 0);
	call("ca", "a", "b");
	served();
	assert_string_equal(link_tcp_transport(server.end.l),
			    "tls1.3 TLS_AES_256_GCM_SHA384, peer a");
	call_end();
	serve_end();
}

/* No ticket is given, no session is resumed. */
static void test_full_handshakes(void **state)
{
	SSL_SESSION *session = NULL;
	unsigned int i;

	(void)state;
	serve("ca", "b", NULL, 0);
	for (i = 0; i < 2; i++) {
		struct rogue r;
		uint8_t byte;

		rogue_new(&r, dial(), false, "ca", "a");
		if (session)
			SSL_set_session(r.ssl, session);
		do {
			event_base_loop(base, EVLOOP_NONBLOCK);
			r.r = SSL_do_handshake(r.ssl);
		} while (rogue_waits(&r));
		assert_int_equal(r.r, 1);
		while (server.accepted <= i)
			once();
		r.r = SSL_read(r.ssl, &byte, 1);
		assert_true(rogue_waits(&r));
		assert_false(SSL_session_reused(r.ssl));
		SSL_SESSION_free(session);
		session = SSL_get1_session(r.ssl);
		assert_false(SSL_SESSION_is_resumable(session));
		rogue_free(&r);
	}
	SSL_SESSION_free(session);
	serve_end();
}

static void on_handshake_message(int out, int version, int type,
				 const void *bytes, size_t len, SSL *ssl,
				 void *arg)
{
	(void)version;
	(void)ssl;
	if (!out && type == SSL3_RT_HANDSHAKE && len &&
	    *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		++*(unsigned int *)arg;
}

/* A key is used for so many records, then comes the next. */
static void test_keys(void **state)
{
	struct pki_files files = { 0 };
	struct tls_config c = pki_config(&files, "ca", "b", NULL);
	unsigned int keys = 0, got = 0;
	struct end e = { 0 };
	struct tls *tls;
	struct rogue r;
	uint8_t bytes[96];
	int fd[2];

	(void)state;
	c.records_max = 2;
	tls = pki_tls(&c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	end_use(&e, link_tcp_new(base, bare(tls, fd[0], true), HANG_S * 1000,
				 end_ready, &e));
	rogue_new(&r, fd[1], false, "ca", "a");
	SSL_set_msg_callback(r.ssl, on_handshake_message);
	SSL_set_msg_callback_arg(r.ssl, &keys);
	while (!e.ready) {
		r.r = SSL_do_handshake(r.ssl);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	while (got < 7) {
		assert_int_equal(send_beat(&e, ++got), 0);
		do {
			event_base_loop(base, EVLOOP_NONBLOCK);
			r.r = SSL_read(r.ssl, bytes, sizeof(bytes));
		} while (rogue_waits(&r));
		assert_int_equal(r.r, sizeof(bytes));
	}
	assert_int_equal(keys, 3);
	end_free(&e);
	rogue_free(&r);
	tls_free(tls);
}

/* --- certificates that are not good enough ---------------------------------------- */

/* A client that is refused, and is told why. */
static void test_clients(void **state)
{
	static const struct {
		const char *ca, *name, *peer, *theirs, *ours;
	} t[] = {
		{ "other", "a", NULL, "unknown ca", "of another CA" },
		{ "ca", "old", NULL, "certificate expired", "(old, 127.0.0.1, ::1) has expired: valid until" },
		{ "ca", "early", NULL, "bad certificate", "is not valid yet: valid from" },
		{ "ca", "plain", NULL, "unsupported certificate", "extendedKeyUsage" },
		{ "ca", "a", "c", "bad certificate", "it is for a, 127.0.0.1, ::1, must be for c" },
		{ NULL, NULL, NULL, "certificate required", "has no certificate" },
	};
	char alert[256];
	struct rogue r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		serve("ca", "b", t[i].peer, 0);
		rogue_new(&r, dial(), false, t[i].ca, t[i].name);
		do {
			event_base_loop(base, EVLOOP_NONBLOCK);
			r.r = SSL_do_handshake(r.ssl);
		} while (rogue_waits(&r));
		do {
			event_base_loop(base, EVLOOP_NONBLOCK);
			r.r = SSL_read(r.ssl, alert, 1);
		} while (r.r <= 0 && SSL_get_error(r.ssl, r.r) ==
			 SSL_ERROR_WANT_READ);
		ERR_error_string_n(ERR_get_error(), alert, sizeof(alert));
		says(alert, t[i].theirs);
		refused(t[i].ours);
		rogue_free(&r);
		serve_end();
	}
}

/* What a Kemari says whose own certificate was not accepted. */
static void test_told(void **state)
{
	uint8_t byte = 0;
	struct iovec iov = { &byte, 1 };
	struct end e = { 0 };
	struct transport *peer;
	int fd[2];

	(void)state;
	serve("ca", "b", "c", 0);
	call("ca", "a", "127.0.0.1");
	while (!client.end.closed)
		once();
	says(client.end.why, "does not accept the certificate of this host");
	assert_int_equal(client.end.err, EACCES);
	refused("wrong name");

	/* Also one that writes to a closed socket before it has listened. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	end_use(&e, link_tcp_new(base, bare(server.tls, fd[0], true),
				 HANG_S * 1000, end_ready, &e));
	peer = bare(client.tls, fd[1], false);
	while (peer->ops->start(peer))
		event_base_loop(base, EVLOOP_NONBLOCK);
	while (!e.closed)
		once();
	assert_int_equal(e.ready, 0);
	end_free(&e);
	assert_int_equal(peer->ops->write(peer, &iov, 1), -1);
	assert_int_equal(errno, EACCES);
	says(peer->why, "does not accept the certificate of this host");
	peer->ops->close(peer);
	call_end();
	serve_end();
}

/* A server that a client does not speak to. */
static void test_servers(void **state)
{
	static const struct {
		const char *ca, *name, *peer, *word;
	} t[] = {
		{ "other", "b", "127.0.0.1", "of another CA" },
		{ "ca", "old", "127.0.0.1", "has expired: valid until" },
		{ "ca", "early", "127.0.0.1", "is not valid yet: valid from" },
		{ "ca", "plain", "127.0.0.1", "extendedKeyUsage" },
		{ "ca", "b", "c", "it is for b, 127.0.0.1, ::1, must be for c" },
		{ "ca", "b", "127.0.0.2", "must be for 127.0.0.2" },
	};
	struct rogue r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int lfd, fd;

		memset(&server, 0, sizeof(server));
		lfd = listen_bare();
		call("ca", "a", t[i].peer);
		fd = accept(lfd, NULL, NULL);
		assert_true(fd >= 0);
		rogue_new(&r, fd, true, t[i].ca, t[i].name);
		rogue_try(&r);
		while (!client.end.closed)
			once();
		says(client.end.why, t[i].word);
		assert_int_equal(client.end.err, EACCES);
		assert_int_equal(client.end.messages, 0);
		assert_string_equal(client.end.label, "");
		rogue_free(&r);
		call_end();
		close(lfd);
	}
}

/* --- other protocols --------------------------------------------------------------- */

static void test_tls12(void **state)
{
	struct rogue r;
	int lfd;

	(void)state;
	serve("ca", "b", NULL, 0);
	rogue_new(&r, dial(), false, "ca", "a");
	assert_int_equal(SSL_set_max_proto_version(r.ssl, TLS1_2_VERSION), 1);
	rogue_try(&r);
	refused("does not offer TLS 1.3");
	rogue_free(&r);
	serve_end();

	lfd = listen_bare();
	call("ca", "a", "127.0.0.1");
	rogue_new(&r, accept(lfd, NULL, NULL), true, "ca", "b");
	assert_int_equal(SSL_set_max_proto_version(r.ssl, TLS1_2_VERSION), 1);
	rogue_try(&r);
	while (!client.end.closed)
		once();
	says(client.end.why, "TLS 1.3");
	rogue_free(&r);
	call_end();
	close(lfd);
}

/* One side has --plaintext: each says so. */
static void test_plaintext(void **state)
{
	(void)state;
	serve("ca", "b", NULL, 0);
	call(NULL, NULL, NULL);
	refused("does not speak TLS");
	says(server.why, "--plaintext");
	while (!client.end.closed)
		once();
	assert_int_equal(client.end.messages, 0);
	call_end();
	serve_end();

	serve(NULL, NULL, NULL, 0);
	call("ca", "a", "127.0.0.1");
	while (!client.end.closed || !server.end.closed)
		once();
	says(server.end.why, "the peer speaks TLS");
	says(client.end.why, "--plaintext");
	assert_int_equal(server.end.messages, 0);
	call_end();
	serve_end();
}

static void test_garbage(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\n\r\n";
	static const uint8_t record[] = { 0x16, 3, 1, 1, 0, 1 };
	uint8_t bytes[512], first;
	unsigned int i, n;
	int fd;

	(void)state;
	for (i = 0; i < 64; i++) {
		serve("ca", "b", NULL, SHORT_MS);
		for (n = 0; n < sizeof(bytes); n++)
			bytes[n] = (uint8_t)((n * 7 + i * 131) ^ (n * i >> 3));
		if (i == 0)
			snprintf((char *)bytes, sizeof(bytes), "%s", http);
		if (i & 1)
			memcpy(bytes, record, sizeof(record));
		fd = dial();
		assert_int_equal(write(fd, bytes, sizeof(bytes)),
				 sizeof(bytes));
		while (!server.refused)
			once();
		assert_true(*server.why);
		assert_int_equal(server.accepted, 0);
		/* An alert at most. */
		n = (unsigned int)recv(fd, &first, 1, 0);
		assert_true(n != 1 || first == SSL3_RT_ALERT);
		close(fd);
		serve_end();
	}
}

/* --- silence and ends ------------------------------------------------------------------ */

/* A peer that stalls is sent away when its time is over, and keeps nobody out
 * until then. */
static void test_stalled(void **state)
{
	int fd, lfd;
	char byte;

	(void)state;
	serve("ca", "b", NULL, SHORT_MS);
	fd = dial();
	refused("was not over after 50 ms");
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);

	/* In the middle of the handshake. */
	server.refused = 0;
	fd = dial();
	assert_int_equal(write(fd, "\x16\x03\x01\x01\x00\x01", 6), 6);
	refused("was not over");
	close(fd);
	serve_end();

	/* The other way round. */
	lfd = listen_bare();
	memset(&client, 0, sizeof(client));
	{
		struct tls_config c = pki_config(&client.files, "ca", "a",
						 "127.0.0.1");

		c.handshake_ms = SHORT_MS;
		client.tls = pki_tls(&c);
	}
	end_use(&client.end, link_tcp_connect(base, client.tls, server.address,
					      why));
	while (!client.end.closed)
		once();
	says(client.end.why, "was not over after 50 ms");
	assert_int_equal(client.end.err, ETIMEDOUT);
	call_end();
	close(lfd);
}

static void test_many_stalled(void **state)
{
	enum { MORE = 3, ALL = LINK_TCP_UNKNOWN_MAX + MORE };
	int fd[ALL];
	char byte;
	unsigned int i;

	(void)state;
	serve("ca", "b", NULL, HANG_S * 1000);
	for (i = 0; i < ALL; i++) {
		fd[i] = dial();
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	while (server.refused < MORE)
		once();
	says(server.why, "oldest gives way");
	assert_int_equal(server.accepted, 0);
	for (i = 0; i < MORE; i++)
		assert_int_equal(read(fd[i], &byte, 1), 0);
	server.refused = 0;
	memset(&client, 0, sizeof(client));
	call("ca", "a", "127.0.0.1");
	while (!client.end.messages)
		once();
	/* One place was taken from a staller for it. */
	assert_int_equal(server.refused, 1);
	for (i = 0; i < ALL; i++)
		close(fd[i]);
	while (server.refused < LINK_TCP_UNKNOWN_MAX)
		once();
	assert_int_equal(client.end.closed, 0);
	call_end();
	serve_end();
}

/* Half of the connection is closed: in the handshake, and after it without
 * the word that TLS has for the end. */
static void test_half_closed(void **state)
{
	struct end e = { 0 };
	struct transport *peer;
	int fd;

	(void)state;
	serve("ca", "b", NULL, 0);
	fd = dial();
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	refused("closed the connection in the TLS handshake");
	close(fd);
	call("ca", "a", "127.0.0.1");
	while (!client.end.messages)
		once();
	peer = half_of(&e, server.tls, client.tls);
	assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
	while (!e.closed)
		once();
	assert_int_equal(e.err, ECONNRESET);
	says(e.why, "cut");
	end_free(&e);
	peer->ops->close(peer);
	call_end();
	serve_end();
}

/* --- renewal ------------------------------------------------------------------------------- */

/* A certificate that was renewed is used from the next connection on. */
static void test_renewed(void **state)
{
	struct pki_files f = { 0 }, new = { 0 };

	(void)state;
	(void)pki_config(&f, "ca", "renewed", NULL);
	(void)pki_config(&new, "ca", "c", NULL);
	serve("ca", "renewed", NULL, 0);
	call("ca", "a", "renewed");
	served();
	call_end();
	/* Half a set: nobody is served, and it is said why. */
	copy(new.cert, f.cert);
	call("ca", "a", "c");
	while (!server.refused)
		once();
	says(server.why, "not the key of the certificate");
	call_end();
	copy(new.key, f.key);
	server.refused = 0;
	call("ca", "a", "c");
	served();
	call_end();
	serve_end();
}

/* A certificate of the CA that says nothing of what it is for. */
static void strip_usage(const char *ca, const char *name)
{
	struct pki_files f = { 0 };
	char path[PATH_MAX];
	X509 *cert;
	EVP_PKEY *key;
	FILE *file;
	int at;

	(void)pki_config(&f, ca, name, NULL);
	file = fopen(f.cert, "re");
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	at = X509_get_ext_by_NID(cert, NID_ext_key_usage, -1);
	assert_true(at >= 0);
	X509_EXTENSION_free(X509_delete_ext(cert, at));
	snprintf(path, sizeof(path), "%s/%s/ca.key", pki_dir, ca);
	file = fopen(path, "re");
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	file = fopen(f.cert, "we");
	assert_int_equal(PEM_write_X509(file, cert), 1);
	fclose(file);
	EVP_PKEY_free(key);
	X509_free(cert);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, loop_new, loop_free)
		T(test_good), T(test_names), T(test_full_handshakes),
		T(test_keys), T(test_clients), T(test_told), T(test_servers),
		T(test_tls12), T(test_plaintext), T(test_garbage),
		T(test_stalled), T(test_many_stalled), T(test_half_closed),
		T(test_renewed),
	};
	time_t now = time(NULL);
	int failed;

	pki_begin();
	pki_make("ca", "a", 0, 0);
	pki_make("ca", "b", 0, 0);
	pki_make("ca", "c", 0, 0);
	pki_make("ca", "renewed", 0, 0);
	pki_make("ca", "old", now - 9 * DAY_S, now - 2 * DAY_S);
	pki_make("ca", "early", now + 2 * DAY_S, now + 9 * DAY_S);
	pki_make("ca", "plain", 0, 0);
	strip_usage("ca", "plain");
	pki_make("other", "a", 0, 0);
	pki_make("other", "b", 0, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pki_end();
	return failed;
}
