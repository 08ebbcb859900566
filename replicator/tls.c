// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tls.c - the files of TLS and what must hold of them
 *
 * What is read goes into one SSL_CTX.  Nothing of it depends on the host's
 * openssl.cnf or its store of public CAs.
 */
#include "replicator/tls_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "replicator/transport.h"

enum file { CA, CERT, KEY };

/* Whoever can write the CA's file decides who is a peer. */
static const struct {
	const char *option;
	mode_t forbidden;
	const char *rule;
} files[] = {
	[CA] = { "--tls-ca", 022, "must not be writable by group or others" },
	[CERT] = { "--tls-cert", 022,
		   "must not be writable by group or others" },
	[KEY] = { "--tls-key", 077,
		  "must be accessible to its owner only (chmod 600)" },
};

enum { FILES = sizeof(files) / sizeof(files[0]) };

static const char *path_of(const struct tls *t, enum file f)
{
	return f == CA ? t->c.ca : f == CERT ? t->c.cert : t->c.key;
}

static int bad(const struct tls *t, enum file f, char *why, const char *value,
	       const char *rule)
{
	snprintf(why, TLS_WHY_MAX, "%s %.120s: %.80s%s%s", files[f].option,
		 path_of(t, f), value, *value && *rule ? ": " : "", rule);
	return -1;
}

/* --- reading --------------------------------------------------------------- */

static void note(const struct stat *st, struct tls_seen *seen)
{
	seen->inode = st->st_ino;
	seen->size = (uint64_t)st->st_size;
	seen->sec = (uint64_t)st->st_mtim.tv_sec;
	seen->nsec = (uint64_t)st->st_mtim.tv_nsec;
}

static int check_file(const struct tls *t, enum file f, const struct stat *st,
		      char *why)
{
	char value[80];

	if (!S_ISREG(st->st_mode))
		return bad(t, f, why, "", "must be a file");
	if (st->st_uid && st->st_uid != geteuid()) {
		snprintf(value, sizeof(value), "owned by user %u",
			 st->st_uid);
		return bad(t, f, why, value, "must be root's");
	}
	if (st->st_mode & files[f].forbidden) {
		snprintf(value, sizeof(value), "mode %04o",
			 st->st_mode & 07777);
		return bad(t, f, why, value, files[f].rule);
	}
	if (st->st_size > TLS_FILE_MAX) {
		snprintf(value, sizeof(value), "%lld bytes",
			 (long long)st->st_size);
		return bad(t, f, why, value, "must be 65536 or less");
	}
	return 0;
}

/* The whole file, checked, as a BIO; or NULL with @why. */
static BIO *read_file(struct tls *t, enum file f, char *why)
{
	int fd = open(path_of(t, f), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	static char bytes[TLS_FILE_MAX];
	BIO *bio = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0) {
		bad(t, f, why, strerror(errno), errno == ENOENT ?
		    "`kemari pki` makes certificates, --plaintext goes without"
		    : "");
		return NULL;
	}
	if (fstat(fd, &st)) {
		bad(t, f, why, strerror(errno), "");
	} else if (!check_file(t, f, &st, why)) {
		note(&st, &t->seen[f]);
		n = read(fd, bytes, sizeof(bytes));
		if (n >= 0)
			bio = BIO_new(BIO_s_mem());
		if (!bio || BIO_write(bio, bytes, (int)n) != n) {
			bad(t, f, why, n < 0 ? strerror(errno) :
			    "out of memory", "");
			BIO_free(bio);
			bio = NULL;
		}
		OPENSSL_cleanse(bytes, sizeof(bytes));
	}
	close(fd);
	return bio;
}

/* --- what is in the files ---------------------------------------------------- */

static const char *last_error(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "out of memory";
}

/* All certificates of the file go to @take.  Return: how many, -1 with @why */
static int read_certs(struct tls *t, enum file f, SSL_CTX *ctx,
		      int (*take)(SSL_CTX *ctx, X509 *cert, int n), char *why)
{
	BIO *bio = read_file(t, f, why);
	X509 *cert;
	int n = 0;

	if (!bio)
		return -1;
	for (;;) {
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (!cert)
			break;
		if (take(ctx, cert, n++) != 1)
			n = -1;
		X509_free(cert);
		if (n < 0)
			break;
	}
	BIO_free(bio);
	if (n < 0)
		bad(t, f, why, "a certificate that cannot be used",
		    last_error());
	else if (!n || ERR_GET_REASON(ERR_peek_last_error()) !=
		 PEM_R_NO_START_LINE)
		n = bad(t, f, why, "", "must hold certificates in PEM");
	ERR_clear_error();
	return n;
}

static int take_ca(SSL_CTX *ctx, X509 *cert, int n)
{
	(void)n;
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
}

static int take_cert(SSL_CTX *ctx, X509 *cert, int n)
{
	return n ? (int)SSL_CTX_add1_chain_cert(ctx, cert) :
		   SSL_CTX_use_certificate(ctx, cert);
}

/* Nobody is there to be asked for it. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

static int read_key(struct tls *t, SSL_CTX *ctx, char *why)
{
	BIO *bio = read_file(t, KEY, why);
	bool encrypted = false;
	EVP_PKEY *key;
	int rc = -1;

	if (!bio)
		return -1;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &encrypted);
	if (!key)
		bad(t, KEY, why, "", encrypted ?
		    "must be without a password: nobody is there to give it" :
		    "must hold a private key in PEM");
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		bad(t, KEY, why, "not the key of the certificate",
		    t->c.cert);
	else
		rc = 0;
	EVP_PKEY_free(key);
	BIO_free(bio);
	ERR_clear_error();
	return rc;
}

/* What a peer would say about our own certificate is better said here. */
static int check_own(struct tls *t, SSL_CTX *ctx, char *why)
{
	X509_STORE_CTX *sc = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	char whose[160];
	int rc = -1;

	SSL_CTX_get0_chain_certs(ctx, &chain);
	snprintf(whose, sizeof(whose), "%s %.120s", files[CERT].option,
		 t->c.cert);
	if (!sc || X509_STORE_CTX_init(sc, SSL_CTX_get_cert_store(ctx),
				       SSL_CTX_get0_certificate(ctx),
				       chain) != 1)
		bad(t, CERT, why, "out of memory", "");
	else if (X509_verify_cert(sc) != 1)
		tls_verify_why(sc, &t->c, whose, why, TLS_WHY_MAX);
	else
		rc = 0;
	X509_STORE_CTX_free(sc);
	ERR_clear_error();
	return rc;
}

/* --- what is agreed with a peer ---------------------------------------------- */

/* A certificate without extendedKeyUsage is good for all to OpenSSL. */
static bool is_for(const X509 *cert, uint32_t usage)
{
	uint32_t has = X509_get_extended_key_usage((X509 *)cert);

	return has != UINT32_MAX && (has & usage);
}

/* INV-41 */
static int verified(int ok, X509_STORE_CTX *sc)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(sc,
				SSL_get_ex_data_X509_STORE_CTX_idx());
	struct transport *tr = SSL_get_app_data(ssl);
	const struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (ok && !X509_STORE_CTX_get_error_depth(sc) &&
	    !is_for(X509_STORE_CTX_get_current_cert(sc),
		    SSL_is_server(ssl) ? XKU_SSL_CLIENT : XKU_SSL_SERVER)) {
		X509_STORE_CTX_set_error(sc, X509_V_ERR_INVALID_PURPOSE);
		ok = 0;
	}
	if (!ok)
		tls_verify_why(sc, &t->c, "the peer's certificate", tr->why,
			       sizeof(tr->why));
	return ok;
}

/* Every connection is a full handshake: nothing of an old one can be replayed
 * or resumed. */
static bool agree(struct tls *t, SSL_CTX *ctx)
{
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
			   SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verified);
	SSL_CTX_set_verify_depth(ctx, TLS_DEPTH_MAX);
	SSL_CTX_set_max_cert_list(ctx, TLS_CHAIN_MAX);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
			    SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(ctx, 1);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, TLS_DEFAULT_CIPHERSUITES) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	       SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
	       SSL_CTX_set_recv_max_early_data(ctx, 0) == 1;
}

/* --- making ------------------------------------------------------------------ */

static SSL_CTX *load(struct tls *t, char *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (!ctx || !agree(t, ctx)) {
		snprintf(why, TLS_WHY_MAX, "TLS 1.3: %s", last_error());
		ERR_clear_error();
	} else if (read_certs(t, CA, ctx, take_ca, why) > 0 &&
		   read_certs(t, CERT, ctx, take_cert, why) > 0 &&
		   !read_key(t, ctx, why) && !check_own(t, ctx, why)) {
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static bool changed(const struct tls *t)
{
	struct tls_seen now;
	struct stat st;

	for (int f = 0; f < FILES; f++) {
		memset(&now, 0, sizeof(now));
		if (!stat(path_of(t, f), &st))
			note(&st, &now);
		if (memcmp(&now, &t->seen[f], sizeof(now)) != 0)
			return true;
	}
	return false;
}

int tls_refresh(struct tls *t, char *why)
{
	SSL_CTX *ctx;

	if (t->ctx && !changed(t))
		return 0;
	ctx = load(t, why);
	/* Half of a new set: the next connection looks again. */
	if (!ctx)
		memset(t->seen, 0, sizeof(t->seen));
	if (!ctx)
		return -1;
	SSL_CTX_free(t->ctx);
	t->ctx = ctx;
	return 0;
}

struct tls *tls_new(const struct tls_config *c, char *why)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t) {
		snprintf(why, TLS_WHY_MAX, "TLS: out of memory");
		return NULL;
	}
	t->c = *c;
	if (!t->c.handshake_ms)
		t->c.handshake_ms = TLS_HANDSHAKE_MS;
	if (!t->c.records_max)
		t->c.records_max = TLS_RECORDS_MAX;
	if (tls_refresh(t, why)) {
		tls_free(t);
		return NULL;
	}
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

unsigned int tls_handshake_ms(const struct tls *t)
{
	return t->c.handshake_ms;
}
