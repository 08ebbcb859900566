/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_engine.h - the real engine between a synthetic guest and its standby
 *
 * One end is protect without Xen: primary.c on a bench_guest.  The other is
 * receive without Xen: secondary.c on a standby in memory, and the raw
 * connections of bench_raw.h beside it, on the next port.
 */
#ifndef KEMARI_BENCH_ENGINE_H
#define KEMARI_BENCH_ENGINE_H

#include <stdint.h>

#include "replicator/bench_guest.h"
#include "replicator/sender.h"

enum { BENCH_WHY_MAX = 512 };

struct bench_engine;

/** struct bench_parts - of the checkpoints of one bench_engine_run(), sums */
struct bench_parts {
	uint64_t receive_ns;	/* CKPT_BEGIN to CKPT_END, decoding included */
	uint64_t verify_ns;	/* to the commit */
	uint64_t apply_ns;	/* of the ones before */
	struct sender_figures sent;	/* .codec: pages and bytes of these */
};

/**
 * bench_engine_open() - Protect a new guest: connect, copy, first checkpoint
 * @host:	Where bench_serve() listens
 * @port:	Decimal
 * @rate:	Paced to so many bytes/s, 0 not; from the end of the copy on
 * @cache:	Pages that the codec may keep
 * @why:	BENCH_WHY_MAX bytes; a sentence on failure
 * Return: closed by bench_engine_close(), or NULL
 */
struct bench_engine *bench_engine_open(const char *host, const char *port,
				       const struct bench_knobs *k,
				       uint64_t rate, size_t cache, char *why);

/** bench_engine_guest() - Its guest */
struct platform *bench_engine_guest(struct bench_engine *e);

/**
 * bench_engine_run() - Take @n checkpoints, one after the other
 * Return: 0, or -1: see @why of open
 */
int bench_engine_run(struct bench_engine *e, uint32_t n,
		     struct bench_cycles *out, struct bench_parts *parts);

/** bench_engine_close() - End the protection in order; NULL is fine */
void bench_engine_close(struct bench_engine *e);

/**
 * bench_serve() - Hold standbys, one after the other, for ever
 * @port:	Decimal; "0": any two.  The raw one is the next, or any
 * @ready:	Called once with both ports
 * @why:	As above
 * Return: -1, on failure only
 */
int bench_serve(const char *host, const char *port,
		void (*ready)(void *arg, unsigned int port, unsigned int raw),
		void *arg, char *why);

#endif
