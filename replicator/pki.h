/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pki.h - a CA of one's own and what it issues for hosts, for tls.h
 *
 * DIR/ca.pem, DIR/ca.key, and for each host a directory DIR/HOST to be copied
 * there as TLS_DIR: ca.pem, host.pem, host.key.
 */
#ifndef KEMARI_PKI_H
#define KEMARI_PKI_H

#include <stdbool.h>
#include <time.h>

enum {
	PKI_WHY_MAX = 512,
	PKI_HOST_MAX = 63,	/* characters of a name */
	PKI_NAMES_MAX = 16,	/* of a host, addresses included */
	PKI_CA_DAYS = 7300,	/* the CA's certificate is good for */
	PKI_DAYS = 3650,	/* a host's */
	PKI_EARLY_S = 86400,	/* and from before now, for a clock behind */
};

/** struct pki_host - what a host's certificate says */
struct pki_host {
	const char *name;		/* letters, digits, '-', '.', '_' */
	const char *const *more;	/* other names and IP addresses of it */
	int n;				/* of .more, 0 to PKI_NAMES_MAX */
	time_t from, until;		/* 0: now, PKI_DAYS later */
};

/**
 * pki_issue() - Make key and certificate of a host
 * @dir:	Of the CA; where there is none, one is made
 * @made:	Was it?
 * @why:	PKI_WHY_MAX bytes; on failure a sentence
 * Return: 0; -1, and nothing of the host is left behind.  One that has a
 * directory already is refused: EEXIST
 */
int pki_issue(const char *dir, const struct pki_host *h, bool *made,
	      char *why);

#endif
