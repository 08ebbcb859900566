/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe.h - would that secondary take this guest?
 *
 * A short session over a link as `kemari protect` would make it: HELLO, SHELL,
 * END.  The secondary really builds the shell, and destroys it again; the guest
 * is not touched.
 */
#ifndef KEMARI_PROBE_H
#define KEMARI_PROBE_H

#include <stddef.h>

struct platform_info;
struct tls;

enum {
	PROBE_TIMEOUT_S = 20,		/* for each step */
	PROBE_WHY_MAX = 1400,
};

/**
 * probe() - Ask the secondary at @address
 * @tls:	NULL: plaintext
 * @info:	The guest
 * @records:	Its description, from platform->ops->describe
 * @why:	PROBE_WHY_MAX bytes; gets a sentence on failure
 * Return: 0 it takes the guest, -1 with errno
 */
int probe(struct tls *tls, const char *address,
	  const struct platform_info *info, const void *records, size_t len,
	  char *why);

#endif
