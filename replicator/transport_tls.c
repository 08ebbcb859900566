// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * transport_tls.c - the bytes of a socket under TLS 1.3
 *
 * A record is written whole or waits whole: what OpenSSL has taken and the
 * socket has not is kept in .record and offered again unchanged, while the
 * caller keeps those bytes too, as transport.h has it.
 *
 * In TLS 1.3 writing never waits for reading, and reading for writing only
 * when the peer demands a new key of ours, which no Kemari does: such a peer
 * on a full socket is disconnected.
 */
#include "replicator/transport.h"
#include "replicator/tls_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

struct transport_tls {
	struct transport base;
	SSL *ssl;
	bool up;		/* the handshake is over */
	bool broken;		/* OpenSSL is not to be called again */
	int pending;		/* errno that read() says next, with .why */
	unsigned int records;	/* written under this key */
	unsigned int records_max;
	size_t waiting;		/* bytes of .record that wait, 0 none */
	uint8_t record[SSL3_RT_MAX_PLAIN_LENGTH];
};

static struct transport_tls *of(struct transport *tr)
{
	return (struct transport_tls *)tr;
}

/* --- what went wrong --------------------------------------------------------- */

/* The peer says so: an alert of RFC 8446, 6. */
static int told(struct transport *tr, int alert)
{
	static const int about_us[] = {
		SSL_AD_BAD_CERTIFICATE, SSL_AD_UNSUPPORTED_CERTIFICATE,
		SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_EXPIRED,
		SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNKNOWN_CA,
		SSL_AD_ACCESS_DENIED, SSL_AD_CERTIFICATE_REQUIRED,
	};
	const char *text = SSL_alert_desc_string_long(alert);
	size_t i;

	for (i = 0; i < sizeof(about_us) / sizeof(about_us[0]); i++)
		if (alert == about_us[i])
			return transport_fail(tr, EACCES, "the peer does not accept the certificate of this host: %s; its log says more",
					      text);
	if (alert == SSL_AD_PROTOCOL_VERSION)
		return transport_fail(tr, EPROTO, "the peer does not speak TLS 1.3");
	return transport_fail(tr, EPROTO, "the peer ended the connection: %s",
			      text);
}

static int explain(struct transport *tr)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_REASON(e);
	const char *text = ERR_reason_error_string(e);

	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		return transport_fail(tr, EPROTO, "TLS: %s",
				      text ? text : "failed");
	if (reason > SSL_AD_REASON_OFFSET)
		return told(tr, reason - SSL_AD_REASON_OFFSET);
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		/* verified() has said why. */
		if (*tr->why) {
			errno = EACCES;
			return -1;
		}
		break;
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return transport_fail(tr, EACCES, "the peer has no certificate");
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_UNEXPECTED_MESSAGE:
		if (!of(tr)->up)
			return transport_fail(tr, EPROTO, "the peer does not speak TLS (%s): --plaintext is for both sides or for none",
					      text);
		break;
	case SSL_R_UNSUPPORTED_PROTOCOL:
		return transport_fail(tr, EPROTO, "the peer does not offer TLS 1.3");
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return transport_fail(tr, ECONNRESET, of(tr)->up ?
				      "the connection was cut" :
				      "the peer closed the connection in the TLS handshake: --plaintext is for both sides or for none");
	default:
		break;
	}
	return transport_fail(tr, EPROTO, "TLS: %s", text ? text : "failed");
}

/* After a call of OpenSSL that returned @r.  Return: 0 with .wants_write: the
 * socket is not ready; 1: the peer closed in order; -1: with .why */
static int outcome(struct transport_tls *t, int r)
{
	int saved = errno;

	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		t->base.wants_write = false;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		t->base.wants_write = true;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return 1;
	case SSL_ERROR_SYSCALL:
		t->broken = true;
		saved = saved ? saved : ECONNRESET;
		return transport_fail(&t->base, saved, "connection lost: %s",
				      strerror(saved));
	default:
		t->broken = true;
		return explain(&t->base);
	}
}

/* --- operations -------------------------------------------------------------- */

static void describe(struct transport_tls *t)
{
	const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(t->ssl));
	char names[TLS_NAMES_MAX];

	tls_names(SSL_get0_peer_certificate(t->ssl), names);
	snprintf(t->base.label, sizeof(t->base.label),
		 "tls1.3 %s, peer %.80s", SSL_get_cipher_name(t->ssl),
		 tls->c.peer ? tls->c.peer : names);
}

static int tls_start(struct transport *tr)
{
	struct transport_tls *t = of(tr);
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(t->ssl);
	if (r == 1) {
		t->up = true;
		/* What came along with the end of the handshake. */
		tr->more = true;
		describe(t);
		return 0;
	}
	r = outcome(t, r);
	if (r > 0)
		return transport_fail(tr, ECONNRESET, "the peer closed the connection in the TLS handshake");
	if (!r)
		errno = EAGAIN;
	return -1;
}

static ssize_t tls_read(struct transport *tr, void *to, size_t len)
{
	struct transport_tls *t = of(tr);
	size_t got = 0, n;
	int r;

	tr->more = false;
	if (t->pending) {
		errno = t->pending;
		return -1;
	}
	while (got < len) {
		ERR_clear_error();
		errno = 0;
		r = SSL_read_ex(t->ssl, (char *)to + got, len - got, &n);
		if (r == 1) {
			got += n;
			continue;
		}
		r = outcome(t, r);
		if (!r && tr->wants_write)
			r = transport_fail(tr, EPROTO, "the peer demands a new key and does not read");
		/* What came before an error is delivered first. */
		if (r < 0)
			t->pending = errno;
		if (r)
			tr->more = got > 0;
		if (got || r > 0)
			return (ssize_t)got;
		errno = r ? t->pending : EAGAIN;
		return -1;
	}
	tr->more = true;
	return (ssize_t)got;
}

/* The next record's bytes, from @iov after @skip.  Return: how many */
static size_t gather(struct transport_tls *t, const struct iovec *iov, int n,
		     size_t skip)
{
	size_t have = 0, part;
	int i;

	for (i = 0; i < n && have < sizeof(t->record); i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - skip;
		if (part > sizeof(t->record) - have)
			part = sizeof(t->record) - have;
		memcpy(t->record + have, (const char *)iov[i].iov_base + skip,
		       part);
		have += part;
		skip = 0;
	}
	return have;
}

/* Writing failed.  If the peer said why before it closed, that is the reason;
 * errno and .why stay otherwise. */
static void last_words(struct transport_tls *t)
{
	int err = errno, r;
	char byte;
	size_t n;

	ERR_clear_error();
	r = SSL_peek_ex(t->ssl, &byte, 1, &n);
	errno = err;
	if (r != 1 && SSL_get_error(t->ssl, r) == SSL_ERROR_SSL)
		explain(&t->base);
}

static ssize_t tls_write(struct transport *tr, const struct iovec *iov, int n)
{
	struct transport_tls *t = of(tr);
	size_t done = 0, written;
	int r;

	if (t->broken) {
		errno = t->pending ? t->pending : EPIPE;
		return -1;
	}
	for (;;) {
		if (!t->waiting) {
			t->waiting = gather(t, iov, n, done);
			if (!t->waiting)
				break;
			/* Between two records is when the key may change. */
			if (t->records++ == t->records_max) {
				t->records = 1;
				SSL_key_update(t->ssl,
					       SSL_KEY_UPDATE_NOT_REQUESTED);
			}
		}
		ERR_clear_error();
		errno = 0;
		r = SSL_write_ex(t->ssl, t->record, t->waiting, &written);
		if (r != 1) {
			r = outcome(t, r);
			if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
				last_words(t);
			else if (r > 0 || (!r && !tr->wants_write))
				r = transport_fail(tr, EPIPE, "the peer closed the connection");
			if (r < 0)
				return -1;
			break;
		}
		done += written;
		t->waiting = 0;
	}
	return (ssize_t)done;
}

static void tls_close(struct transport *tr)
{
	struct transport_tls *t = of(tr);

	ERR_clear_error();
	if (t->up && !t->broken && !t->waiting)
		(void)SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	close(tr->fd);
	OPENSSL_cleanse(t->record, sizeof(t->record));
	free(t);
	ERR_clear_error();
}

static const struct transport_ops tls_ops = {
	.name = "tls",
	.start = tls_start,
	.read = tls_read,
	.write = tls_write,
	.close = tls_close,
};

/* --- making ------------------------------------------------------------------ */

/* The peer's certificate must bear this name, in subjectAltName. */
static bool expect(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	uint8_t ip[sizeof(struct in6_addr)];

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_WILDCARDS |
					X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (inet_pton(AF_INET, name, ip) == 1 ||
	    inet_pton(AF_INET6, name, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

struct transport *transport_tls(struct tls *tls, int fd, bool server, char *why)
{
	struct transport_tls *t;

	if (!server && !tls->c.peer) {
		snprintf(why, TLS_WHY_MAX, "TLS: a client must know whom it calls");
		close(fd);
		errno = EINVAL;
		return NULL;
	}
	if (tls_refresh(tls, why)) {
		close(fd);
		errno = EACCES;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (t) {
		t->base.ops = &tls_ops;
		t->base.fd = fd;
		t->records_max = tls->c.records_max;
		t->ssl = SSL_new(tls->ctx);
	}
	if (!t || !t->ssl || SSL_set_fd(t->ssl, fd) != 1 ||
	    (tls->c.peer && !expect(t->ssl, tls->c.peer))) {
		snprintf(why, TLS_WHY_MAX, "TLS: out of memory");
		if (t)
			SSL_free(t->ssl);
		free(t);
		close(fd);
		ERR_clear_error();
		errno = ENOMEM;
		return NULL;
	}
	SSL_set_app_data(t->ssl, t);
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	return &t->base;
}
