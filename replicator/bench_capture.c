// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_capture.c - captures alone, beside a bare gather of the same list
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/gate.h"
#include "replicator/bench_measure.h"
#include "replicator/bench_raw.h"
#include "replicator/capture.h"
#include "replicator/epoch.h"
#include "replicator/outbox.h"
#include "replicator/run.h"
#include "replicator/wire.h"

enum {
	GENERATION = 1,
	RESERVE = 64,		/* pages of the outbox beyond the list */
	TURNS = 20,		/* captures and gathers in a round */
	CACHES = 96 << 20,	/* more than they hold, bytes */
};

struct bench {
	struct platform *guest;
	struct gate *gate;
	int fd;
	struct outbox *outbox;
	struct capture *capture;
	struct epoch epoch;
	void *buffer;
	uint8_t *other;		/* CACHES bytes */
};

static int open_bench(struct bench *b, const struct bench_knobs *k)
{
	uint64_t room = k->dirty + RESERVE;

	b->guest = bench_guest_new(k);
	b->gate = gate_none();
	b->fd = run_memfd("kemari-bench-outbox");
	b->buffer = calloc(room, WIRE_PAGE);
	b->other = malloc(CACHES);
	if (!b->guest || !b->gate || b->fd < 0 || !b->buffer || !b->other)
		return -1;
	b->outbox = outbox_open(b->fd, room);
	if (!b->outbox)
		return -1;
	b->capture = capture_new(b->guest, b->gate, b->outbox, room);
	epoch_init(&b->epoch, 1);
	if (!b->capture || b->gate->ops->shut(b->gate, GENERATION))
		return -1;
	return epoch_move(&b->epoch, EPOCH_STOP, 0);
}

static void close_bench(struct bench *b)
{
	capture_free(b->capture);
	outbox_close(b->outbox);
	if (b->fd >= 0)
		close(b->fd);
	if (b->gate)
		b->gate->ops->close(b->gate);
	if (b->guest)
		b->guest->ops->close(b->guest);
	free(b->buffer);
	free(b->other);
}

/* ns, 0: failed. */
static uint64_t capture_once(struct bench *b)
{
	uint64_t from;

	bench_guest_change(b->guest);
	from = bench_now();
	if (capture_run(b->capture, &b->epoch, GENERATION, WIRE_CAUSE_TAP) !=
	    CAPTURE_WHOLE)
		return 0;
	from = bench_now() - from;
	/* Alone: what is captured may be let out, and the next begins. */
	if (b->gate->ops->release(b->gate, GENERATION, b->epoch.captured) ||
	    epoch_move(&b->epoch, EPOCH_RELEASE, 0) ||
	    epoch_move(&b->epoch, EPOCH_DRAINED, 0))
		return 0;
	return from;
}

static void chill(struct bench *b, bool cold, int value)
{
	if (cold)
		memset(b->other, value, CACHES);
}

static int one_round(struct bench *b, bool cold, double *capture,
		     double *gather)
{
	double c[TURNS], g[TURNS];

	for (int i = 0; i < TURNS; i++) {
		chill(b, cold, i);
		g[i] = (double)raw_gather(b->guest, b->buffer);
		chill(b, cold, i + 1);
		c[i] = (double)capture_once(b);
		if (c[i] <= 0)
			return -1;
	}
	*capture = bench_median(c, TURNS);
	*gather = bench_median(g, TURNS);
	return 0;
}

int bench_capture(const struct bench_knobs *guest, uint32_t rounds, bool cold,
		  struct bench_capture *out)
{
	double capture[BENCH_ROUNDS_MAX], gather[BENCH_ROUNDS_MAX];
	double ratio[BENCH_ROUNDS_MAX];
	struct bench_knobs k = *guest;
	struct bench b = { .fd = -1 };
	int rc = -1;

	/* Its own changes would warm what is to be cold. */
	k.pattern = BENCH_SAME;
	if (open_bench(&b, &k) || !capture_once(&b))
		goto out;
	for (uint32_t i = 0; i < rounds; i++) {
		if (one_round(&b, cold, &capture[i], &gather[i]))
			goto out;
		ratio[i] = gather[i] / capture[i];
	}
	*out = (struct bench_capture){
		.capture_us = bench_median(capture, rounds) / 1e3,
		.gather_us = bench_median(gather, rounds) / 1e3,
		.ratio = bench_median(ratio, rounds),
	};
	rc = 0;
out:
	close_bench(&b);
	return rc;
}
