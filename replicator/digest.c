// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * digest.c - running digest of a checkpoint or copy: the chain
 *
 * A failure of the library is remembered until the end: callers check once.
 */
#include "replicator/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct digest {
	EVP_MD_CTX *ctx;
	uint64_t messages;
	bool failed;
};

struct digest *digest_new(void)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx) {
		free(d);
		errno = ENOMEM;
		return NULL;
	}
	digest_start(d, NULL);
	return d;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

static void take(struct digest *d, const void *bytes, size_t len)
{
	if (!d->failed && EVP_DigestUpdate(d->ctx, bytes, len) != 1)
		d->failed = true;
}

void digest_start(struct digest *d, const uint8_t previous[WIRE_DIGEST])
{
	static const uint8_t zeroes[WIRE_DIGEST];

	d->messages = 0;
	d->failed = EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1;
	take(d, previous ? previous : zeroes, WIRE_DIGEST);
}

void digest_add(struct digest *d, const void *message)
{
	take(d, (const uint8_t *)message + offsetof(struct wire_head, sum),
	     sizeof(((struct wire_head *)NULL)->sum));
	d->messages++;
}

uint64_t digest_messages(const struct digest *d)
{
	return d->messages;
}

int digest_finish(struct digest *d, uint8_t out[WIRE_DIGEST])
{
	unsigned int len = 0;

	if (d->failed || EVP_DigestFinal_ex(d->ctx, out, &len) != 1 ||
	    len != WIRE_DIGEST) {
		d->failed = true;
		errno = ENOMEM;
		return -1;
	}
	return 0;
}
