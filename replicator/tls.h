/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls.h - TLS 1.3 with certificates on both sides (docs/SECURITY.md)
 *
 * One CA of the site's own, no other; each end proves with a certificate of
 * that CA that it may take part.  Every connection makes a full handshake.
 */
#ifndef KEMARI_TLS_H
#define KEMARI_TLS_H

#include <stdbool.h>
#include <stdint.h>

#define TLS_DIR "/etc/kemari/pki"

enum {
	TLS_WHY_MAX = 320,
	TLS_FILE_MAX = 64 << 10,	/* bytes of a file */
	TLS_DEPTH_MAX = 4,		/* CAs between a host's and ours */
	TLS_CHAIN_MAX = 32 << 10,	/* bytes of a peer's certificates */
	/* A peer not known after that is sent away. */
	TLS_HANDSHAKE_MS = 5000,
	/* Records under one key, of at most 16 KiB; RFC 8446, 5.5 allows AES
	 * in GCM 2^24.5, which a busy guest would reach in an hour. */
	TLS_RECORDS_MAX = 1 << 22,
};

struct transport;
struct tls;

/** struct tls_config - texts are the caller's and outlive the struct tls */
struct tls_config {
	const char *ca, *cert, *key;	/* files, PEM */
	/* Name or address that the peer's certificate must bear; NULL, on a
	 * server only: any that the CA issued for a TLS client. */
	const char *peer;
	unsigned int handshake_ms;	/* 0: TLS_HANDSHAKE_MS */
	unsigned int records_max;	/* 0: TLS_RECORDS_MAX */
};

/**
 * tls_new() - Read and check the files
 * @why:	TLS_WHY_MAX bytes; on failure a sentence that names the file,
 *		the value and the rule
 *
 * They are read again when a connection is made after they changed, so that a
 * renewed certificate needs no restart.
 * Return: freed by tls_free() after its transports; or NULL
 */
struct tls *tls_new(const struct tls_config *c, char *why);

void tls_free(struct tls *t);			/* NULL is fine */

/** tls_handshake_ms() - How long a handshake may take */
unsigned int tls_handshake_ms(const struct tls *t);

/**
 * transport_tls() - One end of a TLS connection
 * @fd:		Connected and non-blocking; taken over, also on failure
 * @server:	Was it accepted?
 * @why:	TLS_WHY_MAX bytes; as for tls_new()
 * Return: closed by ops->close, or NULL
 */
struct transport *transport_tls(struct tls *t, int fd, bool server, char *why);

#endif
