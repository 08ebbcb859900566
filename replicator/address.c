// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * address.c - "HOST:PORT" as a socket address
 */
#include "replicator/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int bad_address(char *why, const char *address, const char *rule)
{
	snprintf(why, ADDRESS_WHY_MAX, "address '%.100s': %s", address, rule);
	errno = EINVAL;
	return -1;
}

/* "HOST:PORT", "[V6]:PORT", "HOST" or a bare IPv6 address, taken apart in
 * place: @text is cut, @host and @port point into it. */
static int split(char *text, const char *address, char **host,
		 const char **port, char *why)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long number;

	*host = text;
	*port = ADDRESS_PORT;
	if (text[0] == '[') {
		*host = text + 1;
		colon = strchr(text, ']');
		if (!colon || (colon[1] && colon[1] != ':'))
			return bad_address(why, address, "not [V6]:PORT");
		*colon++ = '\0';
		colon = *colon ? colon : NULL;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL;
	}
	if (colon) {
		*colon = '\0';
		*port = colon + 1;
		number = strtoul(*port, &end, 10);
		if (!**port || *end || number > 65535)
			return bad_address(why, address, "the port is not a "
					   "number from 0 to 65535");
	}
	if (!**host)
		return bad_address(why, address, "no host");
	return 0;
}

struct addrinfo *address_resolve(const char *address, int flags, char *why)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	}, *list;
	char text[256], *host;
	const char *port;
	int r;

	if (snprintf(text, sizeof(text), "%s", address) >= (int)sizeof(text)) {
		bad_address(why, address, "longer than 255 characters");
		return NULL;
	}
	if (split(text, address, &host, &port, why))
		return NULL;
	r = getaddrinfo(host, port, &hints, &list);
	if (r) {
		snprintf(why, ADDRESS_WHY_MAX, "address '%.100s': %s", address,
			 gai_strerror(r));
		errno = ENOENT;
		return NULL;
	}
	return list;
}
