/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - figures of a protection: counts for ever, times of late
 *
 * Percentiles are those of the last STATS_RECENT checkpoints, so that memory
 * is bounded and an old hiccup does not colour the figures for ever.
 */
#ifndef KEMARI_STATS_H
#define KEMARI_STATS_H

#include <stddef.h>
#include <stdint.h>

enum { STATS_RECENT = 4096 };

/* Why an epoch ended. */
enum stats_cause {
	CAUSE_TAP,	/* output was held */
	CAUSE_GATE,	/* requests waited that no event announced */
	CAUSE_TIMER,	/* max-epoch passed */
	CAUSE_DIRTY,	/* the dirty limit stopped the guest */
	CAUSE_FIRST,	/* end of a first copy */
	CAUSE_END,	/* the guest ended */
	CAUSE_NUM,
};

/** struct stats_ring - recent values of one quantity */
struct stats_ring {
	uint64_t value[STATS_RECENT];
	size_t next, used;
};

/** struct stats - zero-initialised: nothing happened yet */
struct stats {
	uint64_t checkpoints;		/* committed */
	uint64_t cause[CAUSE_NUM];	/* of those */
	uint64_t pages;			/* sent in them */
	uint64_t unsettled;		/* captures put off: xenstore busy */
	uint64_t resumes;		/* reconnects without a copy */
	uint64_t resyncs;		/* copies afresh */
	uint64_t spared;		/* events that were no output */
	struct stats_ring pause_ns;	/* stop to go */
	struct stats_ring freeze_ns;	/* of backends, for a capture */
	struct stats_ring commit_ns;	/* stop to acknowledgement */
	struct stats_ring dirty;	/* pages of a checkpoint */
};

/** struct stats_summary - what people see */
struct stats_summary {
	uint64_t checkpoints, unsettled, resumes, resyncs, spared;
	uint64_t cause[CAUSE_NUM];
	double dirty_pages_mean;
	double pause_ms_p50, pause_ms_p99;
	double freeze_ms_p50, freeze_ms_p99;
	double commit_ms_p50, commit_ms_p99;
};

/** stats_cause_str() - Name of a cause, for people and JSON */
const char *stats_cause_str(enum stats_cause cause);

/** stats_add() - Note one value */
void stats_add(struct stats_ring *r, uint64_t value);

/** stats_percentile() - Value at @percent (0..100) of the ring, 0 if empty */
uint64_t stats_percentile(const struct stats_ring *r, unsigned int percent);

/** stats_checkpoint() - Note a committed checkpoint of @pages pages */
void stats_checkpoint(struct stats *s, enum stats_cause cause, uint64_t pages,
		      uint64_t commit_ns);

/** stats_summarise() - The figures of now */
void stats_summarise(const struct stats *s, struct stats_summary *out);

#endif
