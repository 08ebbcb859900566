/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status_print.h - a struct status as JSON and as text
 */
#ifndef KEMARI_STATUS_PRINT_H
#define KEMARI_STATUS_PRINT_H

#include <stdbool.h>
#include <stdint.h>

struct status;

/** struct status_facts - what the runner knows and the conductor does not */
struct status_facts {
	const char *peer;	/* HOST:PORT */
	const char *transport;	/* "plaintext", "tls1.3 CIPHER, peer NAME" */
	const char *policy;	/* "hold-and-drain", or an unsafe one */
	unsigned int life;	/* restarts of the worker */
	bool unsafe_storage;	/* --unsafe-storage */
};

/**
 * status_json() - The snapshot as one JSON object
 * Return: text to be freed by the caller, ending in a newline, or NULL
 */
char *status_json(const struct status *s, const struct status_facts *f);

/** status_text() - The same for people, a line each; freed by the caller */
char *status_text(const struct status *s, const struct status_facts *f);

/** uuid_str() - 16 bytes as the usual 36 characters and a NUL */
void uuid_str(const uint8_t u[16], char out[37]);

#endif
