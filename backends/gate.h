/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.h - the backends of one protected domain, as the engine sees them
 *
 * A gate stands between the rings of a domain and its backends.  Calls carry
 * the generation and the epoch; an older one is refused with ESTALE.
 * Conventions as in platform.h: 0, or -1 with errno.
 *
 * Per checkpoint: freeze -> (capture) -> capture(N) -> thaw -> release(N).
 * A gate whose controller dies stays closed.
 */
#ifndef KEMARI_GATE_H
#define KEMARI_GATE_H

#include <stdint.h>

struct gate;

struct gate_ops {
	const char *name;

	/* Backends queue all ring updates until thaw.  Guest stopped. */
	int (*freeze)(struct gate *g, uint64_t generation);

	/* Note each ring's req_prod as the fence-to-be of @epoch.  Frozen. */
	int (*capture)(struct gate *g, uint64_t generation, uint64_t epoch);

	/* Queued ring updates take effect. */
	int (*thaw)(struct gate *g, uint64_t generation);

	/* The fence moves to that of @epoch.  ERANGE not captured,
	 * EALREADY repeated. */
	int (*release)(struct gate *g, uint64_t generation, uint64_t epoch);

	/* No fence from here on: the domain goes on unprotected. */
	int (*open)(struct gate *g, uint64_t generation);

	void (*close)(struct gate *g);
};

/** struct gate - base; first member of each implementation's own */
struct gate {
	const struct gate_ops *ops;
};

/**
 * gate_none() - The gate of a domain without disks and network cards
 *
 * Keeps the order of calls and epochs like any gate, and has no ring.
 * Return: a gate to be closed by ops->close, or NULL with ENOMEM
 */
struct gate *gate_none(void);

#endif
