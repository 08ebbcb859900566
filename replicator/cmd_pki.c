// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cmd_pki.c - kemari pki: a CA, and the certificate of a host
 */
#include <stdio.h>

#include "replicator/commands.h"
#include "replicator/options.h"
#include "replicator/pki.h"
#include "replicator/tls.h"

int cmd_pki(const struct options *o)
{
	const char *dir = o->words[0], *host = o->words[1];
	const struct pki_host h = {
		.name = host,
		.more = (const char *const *)o->words + 2,
		.n = o->n_words - 2,
	};
	char why[PKI_WHY_MAX];
	bool made;
	int rc = pki_issue(dir, &h, &made, why);

	if (made)
		printf("kemari pki: made a new CA, %s/ca.pem; whoever has "
		       "%s/ca.key can pass for any host\n", dir, dir);
	if (rc) {
		fprintf(stderr, "kemari pki: %s\n", why);
		return 1;
	}
	printf("kemari pki: made %s/%s; copy it to %s as %s\n", dir, host,
	       host, TLS_DIR);
	return 0;
}
