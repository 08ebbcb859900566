// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_report.c - figures of `kemari bench`, as tables and as JSON
 */
#include "replicator/bench_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#define MB 1e6

struct bench_report {
	FILE *file;
	struct json_object *ways, *targets;
	struct bench_result last[BENCH_PATTERNS];	/* row of each pattern */
	bool have[BENCH_PATTERNS];
};

struct bench_report *bench_report_new(const char *file)
{
	struct bench_report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (file) {
		r->file = fopen(file, "we");
		if (!r->file) {
			free(r);
			return NULL;
		}
	}
	r->ways = json_object_new_array();
	r->targets = json_object_new_array();
	return r;
}

static void add(struct json_object *o, const char *key, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", v);
	json_object_object_add(o, key, json_object_new_double_s(v, text));
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

void bench_report_way(struct bench_report *r, const struct bench_way *way,
		      const struct bench_result *b)
{
	struct json_object *o = json_object_new_object();

	if (!json_object_array_length(r->ways)) {
		printf("%u pages of %.0f MiB change between two checkpoints, ",
		       way->guest.dirty, (double)way->guest.pages / 256);
		if (way->rate)
			printf("paced to %.0f MB/s\n", (double)way->rate / MB);
		else
			printf("not paced\n");
		printf("%-8s %10s %10s %8s %11s %10s %10s %11s\n", "pattern",
		       "MB/s", "raw MB/s", "ratio", "bytes/page", "commit ms",
		       "capture ms", "CPU us/page");
	}
	printf("%-8s %10.0f %10.0f %8.2f %11.1f %10.2f %10.2f ",
	       bench_pattern_str(way->guest.pattern), b->engine / MB,
	       b->raw / MB, b->to_raw, b->wire, b->commit_ms, b->capture_ms);
	if (b->cpu_us > 0)
		printf("%11.2f\n", b->cpu_us);
	else
		printf("%11s\n", "-");
	r->last[way->guest.pattern] = *b;
	r->have[way->guest.pattern] = true;

	add_text(o, "pattern", bench_pattern_str(way->guest.pattern));
	add(o, "guest_pages", (double)way->guest.pages);
	add(o, "dirty_pages", way->guest.dirty);
	add(o, "rate", (double)way->rate);
	add(o, "rounds", way->rounds);
	add(o, "engine_bytes_per_s", b->engine);
	add(o, "raw_bytes_per_s", b->raw);
	add(o, "gather_bytes_per_s", b->gather);
	add(o, "scatter_bytes_per_s", b->scatter);
	add(o, "engine_to_raw", b->to_raw);
	add(o, "engine_to_gather", b->to_gather);
	add(o, "wire_bytes_per_page", b->wire);
	add(o, "commit_ms", b->commit_ms);
	add(o, "capture_ms", b->capture_ms);
	add(o, "receive_ms", b->receive_ms);
	add(o, "verify_ms", b->verify_ms);
	add(o, "ping_pong_ms", b->ping_ms);
	add(o, "commit_to_ping_pong", b->to_ping);
	add(o, "cpu_us_per_page", b->cpu_us);
	add(o, "cpu_to_parts", b->to_parts);
	add(o, "lz4_compress_bytes_per_s", b->lz4_compress);
	add(o, "lz4_decompress_bytes_per_s", b->lz4_decompress);
	add(o, "lz4_size", b->lz4_size);
	add(o, "codec_memory", (double)b->memory);
	json_object_array_add(r->ways, o);
}

void bench_report_baselines(struct bench_report *r)
{
	printf("\n%-8s %11s %11s %9s %12s %12s %10s\n", "alone", "gather MB/s",
	       "apply MB/s", "ping ms", "lz4 MB/s", "unlz4 MB/s", "lz4 size");
	for (int p = 0; p < BENCH_PATTERNS; p++) {
		const struct bench_result *b = &r->last[p];

		if (r->have[p])
			printf("%-8s %11.0f %11.0f %9.2f %12.0f %12.0f %9.0f%%\n",
			       bench_pattern_str((enum bench_pattern)p),
			       b->gather / MB, b->scatter / MB, b->ping_ms,
			       b->lz4_compress / MB, b->lz4_decompress / MB,
			       b->lz4_size * 100);
	}
}

void bench_report_target(struct bench_report *r, const char *what,
			 double figure, double want, bool at_most)
{
	bool met = at_most ? figure <= want : figure >= want;
	/* Nothing was measured: the other end's CPU time is not known. */
	const char *verdict = figure <= 0 ? "n/a" : met ? "met" : "missed";
	struct json_object *o = json_object_new_object();

	if (!json_object_array_length(r->targets))
		printf("\n%-67s %12s %8s\n", "target", "", "figure");
	printf("%-67s %8s %3.3g %8.2f  %s\n", what,
	       at_most ? "at most" : "at least", want, figure, verdict);
	add_text(o, "what", what);
	add_text(o, "rule", at_most ? "at most" : "at least");
	add(o, "want", want);
	add(o, "figure", figure);
	add_text(o, "verdict", verdict);
	json_object_array_add(r->targets, o);
}

void bench_report_parts(const struct bench_result *b)
{
	printf("    commit %.3f ms: capture %.3f, then encode, send and receive %.3f of which the standby sees %.3f, verify and commit %.3f; ping-pong %.3f ms\n",
	       b->commit_ms, b->capture_ms,
	       b->commit_ms - b->capture_ms - b->verify_ms, b->receive_ms,
	       b->verify_ms, b->ping_ms);
}

int bench_report_end(struct bench_report *r, bool whole)
{
	struct json_object *o = json_object_new_object();
	int rc = 0;

	json_object_object_add(o, "patterns", r->ways);
	json_object_object_add(o, "targets", r->targets);
	if (r->file && whole &&
	    fprintf(r->file, "%s\n", json_object_to_json_string_ext(o,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED)) < 0)
		rc = -1;
	if (r->file && fclose(r->file))
		rc = -1;
	json_object_put(o);
	free(r);
	return rc;
}
