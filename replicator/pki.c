// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pki.c - a CA of one's own and what it issues for hosts
 *
 * X.509 version 3, ECDSA on P-256 with SHA-256, random serial numbers.  Private
 * keys are written for their owner only, and no file is ever overwritten.
 */
#include "replicator/pki.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum {
	SERIAL_BITS = 127,
	DAY_S = 86400,
	SAN_MAX = (PKI_NAMES_MAX + 1) * (PKI_HOST_MAX + 5),
};

/* A key and its certificate. */
struct pair {
	EVP_PKEY *key;
	X509 *cert;
};

struct extension {
	int nid;
	const char *value;
};

static void pair_free(struct pair *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
	ERR_clear_error();
}

static int bad(char *why, int err, const char *thing, const char *rule)
{
	snprintf(why, PKI_WHY_MAX, "%.300s: %.180s", thing, rule);
	errno = err;
	return -1;
}

/* --- files ----------------------------------------------------------------- */

static int path(char out[PATH_MAX], const char *dir, const char *sub,
		const char *name, char *why)
{
	if (snprintf(out, PATH_MAX, "%s/%s%s%s", dir, sub, *sub ? "/" : "",
		     name) < PATH_MAX)
		return 0;
	return bad(why, ENAMETOOLONG, dir, strerror(ENAMETOOLONG));
}

static int write_pem(const char *file, mode_t mode, const EVP_PKEY *key,
		     const X509 *cert, char *why)
{
	int ok, fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		if (fd >= 0)
			close(fd);
		return bad(why, errno, file, strerror(errno));
	}
	ok = key ? PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) :
		   PEM_write_X509(f, cert);
	if (fflush(f) || fsync(fd))
		ok = 0;
	if (!fclose(f) && ok)
		return 0;
	unlink(file);
	return bad(why, EIO, file, "cannot be written");
}

static int read_pair(const char *dir, struct pair *p, char *why)
{
	char file[PATH_MAX];
	FILE *f;

	if (path(file, dir, "", "ca.pem", why))
		return -1;
	f = fopen(file, "re");
	if (f) {
		p->cert = PEM_read_X509(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (!p->cert)
		return bad(why, EINVAL, file, f ? "holds no certificate" :
			   strerror(errno));
	if (path(file, dir, "", "ca.key", why))
		return -1;
	f = fopen(file, "re");
	if (f) {
		p->key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (!p->key)
		return bad(why, EINVAL, file, f ? "holds no private key" :
			   strerror(errno));
	if (X509_check_private_key(p->cert, p->key) != 1)
		return bad(why, EINVAL, file, "is not the key of ca.pem");
	return 0;
}

/* --- certificates ------------------------------------------------------------- */

static bool extend(const struct pair *p, const struct pair *ca,
		   const struct extension *e)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, ca->cert, p->cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, e->nid, e->value);
	ok = ext && X509_add_ext(p->cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool number(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE,
			       BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));

	BN_free(n);
	return ok;
}

static bool name(X509 *cert, const char *text)
{
	X509_NAME *subject = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					  (const unsigned char *)text, -1, -1,
					  0) == 1;
}

/* A new key, and a certificate signed by @ca, which may be the pair itself. */
static int make(struct pair *p, const struct pair *ca, const char *cn,
		time_t from, time_t until, const struct extension *e, int n,
		char *why)
{
	bool ok;

	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	ok = p->key && p->cert && X509_set_version(p->cert, X509_VERSION_3) &&
	     number(p->cert) && name(p->cert, cn) &&
	     X509_set_issuer_name(p->cert, X509_get_subject_name(ca->cert)) &&
	     X509_time_adj_ex(X509_getm_notBefore(p->cert), 0, 0, &from) &&
	     X509_time_adj_ex(X509_getm_notAfter(p->cert), 0, 0, &until) &&
	     X509_set_pubkey(p->cert, p->key);
	for (int i = 0; ok && i < n; i++)
		ok = extend(p, ca, &e[i]);
	if (ok && X509_sign(p->cert, ca->key, EVP_sha256()))
		return 0;
	return bad(why, ENOMEM, cn, "the certificate cannot be made");
}

/* --- the CA -------------------------------------------------------------------- */

/* There is one, or one is made. */
static int make_ca(const char *dir, bool *made, char *why)
{
	static const struct extension says[] = {
		{ NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
		{ NID_key_usage, "critical,keyCertSign,cRLSign" },
		{ NID_subject_key_identifier, "hash" },
	};
	char key[PATH_MAX], cert[PATH_MAX];
	time_t now = time(NULL);
	struct pair p = { 0 };
	int rc = -1;

	if (path(key, dir, "", "ca.key", why) ||
	    path(cert, dir, "", "ca.pem", why))
		return -1;
	if (!access(key, F_OK) || !access(cert, F_OK))
		return 0;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return bad(why, errno, dir, strerror(errno));
	if (make(&p, &p, "Kemari CA", now - PKI_EARLY_S,
		 now + (time_t)PKI_CA_DAYS * DAY_S, says,
		 sizeof(says) / sizeof(says[0]), why) ||
	    write_pem(key, 0600, p.key, NULL, why))
		goto out;
	rc = write_pem(cert, 0644, NULL, p.cert, why);
	if (rc)
		unlink(key);
	*made = !rc;
out:
	pair_free(&p);
	return rc;
}

/* --- a host --------------------------------------------------------------------- */

static bool is_address(const char *text)
{
	uint8_t ip[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, ip) == 1 ||
	       inet_pton(AF_INET6, text, ip) == 1;
}

/* Also the name of a directory: no slash, no dot in front. */
static bool is_name(const char *text)
{
	const char *c;

	for (c = text; *c; c++)
		if (!isalnum((unsigned char)*c) &&
		    (c == text || !strchr("-._", *c)))
			return false;
	return c > text && c - text <= PKI_HOST_MAX;
}

/* subjectAltName, in OpenSSL's words. */
static int san(const struct pki_host *h, char out[SAN_MAX], char *why)
{
	const char *text;
	int i, at = 0;

	if (h->n > PKI_NAMES_MAX)
		return bad(why, E2BIG, h->name, "has more than 16 other names");
	for (i = -1; i < h->n; i++) {
		text = i < 0 ? h->name : h->more[i];
		if (!is_name(text) && (i < 0 || !is_address(text)))
			return bad(why, EINVAL, text, i < 0 ?
				   "a host's name has letters, digits, '-', '.' and '_', at most 63, the first a letter or digit" :
				   "neither a name nor an IP address");
		at += snprintf(out + at, (size_t)(SAN_MAX - at), "%s%s:%s",
			       i < 0 ? "" : ",", is_address(text) ? "IP" :
			       "DNS", text);
	}
	return 0;
}

/* All or nothing. */
static int write_host(const char *dir, const char *host, const struct pair *p,
		      const X509 *ca, char *why)
{
	const struct {
		const char *name;
		mode_t mode;
		const EVP_PKEY *key;
		const X509 *cert;
	} files[] = {
		{ "host.key", 0600, p->key, NULL },
		{ "host.pem", 0644, NULL, p->cert },
		{ "ca.pem", 0644, NULL, ca },
	};
	char file[PATH_MAX], unused[PKI_WHY_MAX];
	int i, n = sizeof(files) / sizeof(files[0]);

	if (path(file, dir, "", host, why))
		return -1;
	if (mkdir(file, 0700))
		return bad(why, errno, file, errno == EEXIST ?
			   "exists; move it away to issue anew" :
			   strerror(errno));
	for (i = 0; i < n; i++)
		if (path(file, dir, host, files[i].name, why) ||
		    write_pem(file, files[i].mode, files[i].key,
			      files[i].cert, why))
			break;
	if (i == n)
		return 0;
	n = errno;
	while (i--)
		if (!path(file, dir, host, files[i].name, unused))
			unlink(file);
	if (!path(file, dir, "", host, unused))
		rmdir(file);
	errno = n;
	return -1;
}

int pki_issue(const char *dir, const struct pki_host *h, bool *made, char *why)
{
	char names[SAN_MAX];
	const struct extension says[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		/* Either host is the other's client when roles change. */
		{ NID_ext_key_usage, "serverAuth,clientAuth" },
		{ NID_subject_key_identifier, "hash" },
		{ NID_authority_key_identifier, "keyid:always" },
		{ NID_subject_alt_name, names },
	};
	time_t now = time(NULL);
	struct pair ca = { 0 }, p = { 0 };
	int rc = -1;

	*made = false;
	if (san(h, names, why) || make_ca(dir, made, why) ||
	    read_pair(dir, &ca, why))
		goto out;
	if (make(&p, &ca, h->name, h->from ? h->from : now - PKI_EARLY_S,
		 h->until ? h->until : now + (time_t)PKI_DAYS * DAY_S, says,
		 sizeof(says) / sizeof(says[0]), why))
		goto out;
	rc = write_host(dir, h->name, &p, ca.cert, why);
out:
	pair_free(&p);
	pair_free(&ca);
	return rc;
}
