/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address.h - "HOST:PORT" as a socket address
 */
#ifndef KEMARI_ADDRESS_H
#define KEMARI_ADDRESS_H

struct addrinfo;

#define ADDRESS_PORT "7766"	/* KEMARI_PORT */

enum { ADDRESS_WHY_MAX = 256 };

/**
 * address_resolve() - Look an address up, blocking
 * @address:	"HOST:PORT", "[V6]:PORT", or "HOST" for ADDRESS_PORT
 * @flags:	AI_PASSIVE to listen
 * @why:	ADDRESS_WHY_MAX bytes; a sentence on failure
 * Return: for freeaddrinfo(), or NULL with EINVAL or ENOENT
 */
struct addrinfo *address_resolve(const char *address, int flags, char *why);

#endif
