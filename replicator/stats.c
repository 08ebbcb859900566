// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stats.c - figures of a protection: counts for ever, times of late
 */
#include "replicator/stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const cause_str[] = {
	[CAUSE_TAP] = "output",
	[CAUSE_GATE] = "requests",
	[CAUSE_TIMER] = "timer",
	[CAUSE_DIRTY] = "dirty-limit",
	[CAUSE_FIRST] = "first-copy",
	[CAUSE_END] = "end",
};
static_assert(sizeof(cause_str) / sizeof(cause_str[0]) == CAUSE_NUM,
	      "name every cause");

const char *stats_cause_str(enum stats_cause cause)
{
	return cause < CAUSE_NUM ? cause_str[cause] : "unknown";
}

void stats_add(struct stats_ring *r, uint64_t value)
{
	r->value[r->next] = value;
	r->next = (r->next + 1) % STATS_RECENT;
	if (r->used < STATS_RECENT)
		r->used++;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t stats_percentile(const struct stats_ring *r, unsigned int percent)
{
	uint64_t sorted[STATS_RECENT];

	if (!r->used)
		return 0;
	memcpy(sorted, r->value, r->used * sizeof(sorted[0]));
	qsort(sorted, r->used, sizeof(sorted[0]), ascending);
	return sorted[(r->used - 1) * (percent > 100 ? 100 : percent) / 100];
}

void stats_checkpoint(struct stats *s, enum stats_cause cause, uint64_t pages,
		      uint64_t commit_ns)
{
	s->checkpoints++;
	s->cause[cause]++;
	s->pages += pages;
	stats_add(&s->dirty, pages);
	stats_add(&s->commit_ns, commit_ns);
}

static double ms(const struct stats_ring *r, unsigned int percent)
{
	return (double)stats_percentile(r, percent) / 1e6;
}

void stats_summarise(const struct stats *s, struct stats_summary *out)
{
	double sum = 0;

	memset(out, 0, sizeof(*out));
	out->checkpoints = s->checkpoints;
	out->unsettled = s->unsettled;
	out->resumes = s->resumes;
	out->resyncs = s->resyncs;
	out->spared = s->spared;
	memcpy(out->cause, s->cause, sizeof(out->cause));
	for (size_t i = 0; i < s->dirty.used; i++)
		sum += (double)s->dirty.value[i];
	if (s->dirty.used)
		out->dirty_pages_mean = sum / (double)s->dirty.used;
	out->pause_ms_p50 = ms(&s->pause_ns, 50);
	out->pause_ms_p99 = ms(&s->pause_ns, 99);
	out->freeze_ms_p50 = ms(&s->freeze_ns, 50);
	out->freeze_ms_p99 = ms(&s->freeze_ns, 99);
	out->commit_ms_p50 = ms(&s->commit_ns, 50);
	out->commit_ms_p99 = ms(&s->commit_ns, 99);
}
