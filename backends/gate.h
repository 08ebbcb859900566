/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.h - the backends of one protected domain, as the engine sees them
 *
 * A gate stands between the rings of a domain and its backends.  Calls carry
 * the generation and the epoch; an older one is refused with ESTALE.
 * Conventions as in platform.h: 0, or -1 with errno.
 *
 * shut -> { freeze -> capture(N) -> thaw -> release(N) } ... -> open
 * A gate whose controller dies stays as it is.
 */
#ifndef KEMARI_GATE_H
#define KEMARI_GATE_H

#include <errno.h>
#include <stdint.h>

struct gate;

struct gate_ops {
	const char *name;

	/* From here on requests wait for their release; those that are in the
	 * rings now do not.  Before the tap is on, and again after a restart.
	 * Idempotent.  EBUSY: a backend is not ready yet, try again. */
	int (*shut)(struct gate *g, uint64_t generation);

	/* Backends queue all ring updates until thaw.  Guest stopped. */
	int (*freeze)(struct gate *g, uint64_t generation);

	/* Note each ring's req_prod as the fence-to-be of @epoch.  Frozen. */
	int (*capture)(struct gate *g, uint64_t generation, uint64_t epoch);

	/* Queued ring updates take effect. */
	int (*thaw)(struct gate *g, uint64_t generation);

	/* The fence moves to that of @epoch.  ERANGE not captured,
	 * EALREADY repeated. */
	int (*release)(struct gate *g, uint64_t generation, uint64_t epoch);

	/* No fence from here on: the domain goes on unprotected.  Thawed
	 * too; idempotent.  A shut may follow: epochs then begin anew. */
	int (*open)(struct gate *g, uint64_t generation);

	/* Is there a ring behind this gate for event channel @port of the
	 * domain?  1, 0, -1. */
	int (*covers)(struct gate *g, uint32_t port);

	/* Has the guest put requests beyond the fence into a ring of event
	 * channel @port?  1, 0, -1: ENOENT there is no such ring. */
	int (*beyond)(struct gate *g, uint64_t generation, uint32_t port);

	/* Readable when waiting() may have something to say; owned by @g; -1
	 * if there is never anything. */
	int (*event_fd)(struct gate *g);

	/* Did requests come to wait behind the fence since the last call?
	 * They are output that no event may have announced.  1, 0, -1. */
	int (*waiting)(struct gate *g);

	void (*close)(struct gate *g);
};

/** struct gate - base; first member of each implementation's own */
struct gate {
	const struct gate_ops *ops;
};

/* What gate_order.h answered, in the convention of the operations. */
static inline int gate_answer(int r)
{
	if (r >= 0)
		return 0;
	errno = -r;
	return -1;
}

/**
 * gate_none() - The gate of a domain without disks and network cards
 *
 * Keeps the order of calls and epochs like any gate, and has no ring.
 * Return: a gate to be closed by ops->close, or NULL with ENOMEM
 */
struct gate *gate_none(void);

#endif
