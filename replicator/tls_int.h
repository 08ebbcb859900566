/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls_int.h - what tls.c and transport_tls.c share
 */
#ifndef KEMARI_TLS_INT_H
#define KEMARI_TLS_INT_H

#include "replicator/tls.h"

#include <openssl/ssl.h>

enum {
	TLS_NAMES_MAX = 128,
	TLS_DATE_MAX = 32,
};

struct tls {
	struct tls_config c;
	SSL_CTX *ctx;
	struct tls_seen {	/* the files as they were read */
		uint64_t inode, size, sec, nsec;
	} seen[3];
};

/** tls_refresh() - Read the files again if they changed; -1 with @why */
int tls_refresh(struct tls *t, char *why);

/** tls_names() - What a certificate is for: "a, 192.0.2.1"; no byte of it is
 *		  anything but printable */
void tls_names(const X509 *cert, char out[TLS_NAMES_MAX]);

/** tls_date() - "2026-11-27 10:00:00 UTC", or "?" */
void tls_date(const ASN1_TIME *t, char out[TLS_DATE_MAX]);

/** tls_verify_why() - Why a certificate was not accepted, as a sentence that
 *		       begins with @whose */
void tls_verify_why(X509_STORE_CTX *sc, const struct tls_config *c,
		    const char *whose, char *why, size_t len);

#endif
