// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status_print.c - a struct status as JSON and as text
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "replicator/status.h"
#include "replicator/status_print.h"

#define MIB (1 << 20)

static const char *role_str(enum platform_role role)
{
	static const char *const name[] = {
		[PLATFORM_NONE] = "none",
		[PLATFORM_PRIMARY] = "primary",
		[PLATFORM_STANDBY] = "standby",
	};

	return name[role];
}

void uuid_str(const uint8_t u[16], char out[37])
{
	int i, n = 0;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		n += sprintf(out + n, "%02x", u[i]);
	}
}

static void add_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

static void add_real(struct json_object *o, const char *key, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", v);
	json_object_object_add(o, key, json_object_new_double_s(v, text));
}

static void add_stats(struct json_object *o, const struct stats_summary *t)
{
	struct json_object *causes = json_object_new_object();
	int i;

	add_u64(o, "checkpoints", t->checkpoints);
	for (i = 0; i < CAUSE_NUM; i++)
		add_u64(causes, stats_cause_str(i), t->cause[i]);
	json_object_object_add(o, "causes", causes);
	add_u64(o, "unsettled", t->unsettled);
	add_u64(o, "resumes", t->resumes);
	add_u64(o, "resyncs", t->resyncs);
	add_u64(o, "spared", t->spared);
	add_real(o, "dirty_pages_mean", t->dirty_pages_mean);
	add_real(o, "pause_ms_p50", t->pause_ms_p50);
	add_real(o, "pause_ms_p99", t->pause_ms_p99);
	add_real(o, "freeze_ms_p50", t->freeze_ms_p50);
	add_real(o, "freeze_ms_p99", t->freeze_ms_p99);
	add_real(o, "commit_ms_p50", t->commit_ms_p50);
	add_real(o, "commit_ms_p99", t->commit_ms_p99);
}

static void add_sent(struct json_object *o, const struct sender_figures *f)
{
	struct json_object *pages = json_object_new_object();

	add_u64(pages, "zero", f->codec.zero);
	add_u64(pages, "same", f->codec.same);
	add_u64(pages, "delta", f->codec.delta);
	add_u64(pages, "lz4", f->codec.lz4);
	add_u64(pages, "raw", f->codec.raw);
	json_object_object_add(o, "pages", pages);
	add_u64(o, "pages_bytes", f->codec.bytes);
	add_u64(o, "codec_memory", f->memory);
	add_u64(o, "sent_again", f->again);
}

char *status_json(const struct status *s, const struct status_facts *f)
{
	struct json_object *o = json_object_new_object();
	char uuid[37];
	char *text;

	uuid_str(s->guest.uuid, uuid);
	add_str(o, "guest", s->guest.name);
	add_u64(o, "domid", s->guest.domid);
	add_str(o, "uuid", uuid);
	add_str(o, "role", role_str(s->role));
	add_str(o, "state", status_state_str(s->state));
	add_str(o, "reason", s->reason);
	add_str(o, "detail", s->detail);
	add_str(o, "peer", f->peer);
	add_str(o, "transport", f->transport);
	add_str(o, "policy", f->policy);
	add_str(o, "storage", f->unsafe_storage ? "unsafe" : "checked");
	add_u64(o, "worker_restarts", f->life);
	add_bool(o, "link_up", s->link_up);
	add_bool(o, "eligible", s->eligible);
	add_u64(o, "generation", s->generation);
	add_u64(o, "epoch_running", s->running);
	add_u64(o, "epoch_captured", s->captured);
	add_u64(o, "epoch_committed", s->committed);
	add_u64(o, "epoch_released", s->released);
	add_u64(o, "copy_round", s->copy_round);
	add_u64(o, "copy_pages", s->copy_pages);
	add_u64(o, "copy_total", s->copy_total);
	add_u64(o, "rings", s->rings);
	add_u64(o, "rings_fenced", s->fenced);
	add_stats(o, &s->stats);
	add_sent(o, &s->sent);
	if (asprintf(&text, "%s\n", json_object_to_json_string_ext(o,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED)) < 0)
		text = NULL;
	json_object_put(o);
	return text;
}

/* Those that there were. */
static void print_causes(FILE *out, const struct stats_summary *t)
{
	const char *before = "  caused by     ";

	for (int i = 0; i < CAUSE_NUM; i++) {
		if (!t->cause[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, before, stats_cause_str(i),
			t->cause[i]);
		before = ", ";
	}
	fprintf(out, "\n");
}

static void print_sent(FILE *out, const struct sender_figures *f)
{
	const struct codec_stats *c = &f->codec;
	uint64_t pages = c->zero + c->same + c->delta + c->lz4 + c->raw;

	fprintf(out, "  pages         zero %" PRIu64 ", same %" PRIu64
		", delta %" PRIu64 ", lz4 %" PRIu64 ", raw %" PRIu64 "\n"
		"  sent          %.1f MiB for %.1f MiB of pages, codec's "
		"memory %.1f MiB\n", c->zero, c->same, c->delta, c->lz4,
		c->raw, (double)c->bytes / MIB, (double)pages * WIRE_PAGE / MIB,
		(double)f->memory / MIB);
}

char *status_text(const struct status *s, const struct status_facts *f)
{
	const struct stats_summary *t = &s->stats;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s (domain %" PRIu32 ", %s): %s", s->guest.name,
		s->guest.domid, role_str(s->role), status_state_str(s->state));
	if (*s->reason)
		fprintf(out, " (%s)", s->reason);
	fprintf(out, "\n");
	if (*s->detail)
		fprintf(out, "  %s\n", s->detail);
	fprintf(out, "  peer          %s, %s, link %s\n", f->peer, f->transport,
		s->link_up ? "up" : "down");
	fprintf(out, "  generation    %" PRIu64 "\n", s->generation);
	fprintf(out, "  epochs        running %" PRIu64 ", committed %" PRIu64
		", released %" PRIu64 "\n", s->running, s->committed,
		s->released);
	if (s->copy_round)
		fprintf(out, "  first copy    round %u, %" PRIu64 " of %" PRIu64
			" pages\n", s->copy_round, s->copy_pages,
			s->copy_total);
	if (s->role == PLATFORM_PRIMARY && t->checkpoints)
		fprintf(out, "  checkpoints   %" PRIu64 ", %.0f dirty pages on "
			"average\n"
			"  pause         %.1f ms median, %.1f ms p99\n"
			"  commit        %.1f ms median, %.1f ms p99\n",
			t->checkpoints, t->dirty_pages_mean, t->pause_ms_p50,
			t->pause_ms_p99, t->commit_ms_p50, t->commit_ms_p99);
	if (s->role == PLATFORM_PRIMARY && t->checkpoints)
		print_causes(out, t);
	if (s->role == PLATFORM_PRIMARY && t->checkpoints)
		print_sent(out, &s->sent);
	if (s->rings)
		fprintf(out, "  rings         %u, %u of them fenced; %" PRIu64
			" events were no output\n"
			"  freeze        %.2f ms median, %.2f ms p99\n",
			s->rings, s->fenced, t->spared, t->freeze_ms_p50,
			t->freeze_ms_p99);
	if (strcmp(f->policy, "hold-and-drain"))
		fprintf(out, "  WARNING       policy %s: output is not safe\n",
			f->policy);
	if (f->unsafe_storage)
		fprintf(out, "  WARNING       unsafe storage: written data may "
			"be lost\n");
	fclose(out);
	return text;
}
