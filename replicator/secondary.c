// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secondary.c - conductor of the host that holds the standby
 *
 * Every entry point notes what happened and calls advance(), which goes as
 * far as it can through the stage the session is at (secondary_int.h) and
 * sets the next deadline.  Nothing waits here.
 *
 * Deadlines, on the platform's clock:
 *	alone_at + grace	the fence starts, if there is one
 *	fence_at		it starts again after it failed
 *	alone_at + ABANDON	a shell that was never eligible goes
 *	linger_at		the end of a session does not wait longer for
 *				the primary to close
 *	retry_at		a step of take-over or destruction again
 *	serve_by		devices that do not work by then are trouble;
 *				the guest runs, nothing waits for them
 */
#include "replicator/secondary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

#define ABANDON		(10000 * MS)
#define RETRY_FIRST	(2 * MS)
#define RETRY_MAX	(1000 * MS)
#define SERVE		(10000 * MS)
#define SERVE_LOOK	(100 * MS)

enum { APPLY_SLICE = 4096 };	/* pages between two looks at the link */

void secondary_config_default(struct secondary_config *c)
{
	*c = (struct secondary_config){
		.heartbeat = 100 * MS,
		.silence = 2000 * MS,
		.grace = 1000 * MS,
		.fence_retry = 5000 * MS,
	};
}

static const char *const outcome_str[] = {
	[SECONDARY_GOING] = "going",
	[SECONDARY_ENDED] = "ended",
	[SECONDARY_ABANDONED] = "abandoned",
	[SECONDARY_TOOK_OVER] = "took-over",
};

const char *secondary_outcome_str(enum secondary_outcome o)
{
	return o <= SECONDARY_TOOK_OVER ? outcome_str[o] : "unknown";
}

uint64_t secondary_now(const struct secondary *s)
{
	return s->platform->ops->now_ns(s->platform);
}

/* --- trouble ------------------------------------------------------------------ */

void secondary_trouble(struct secondary *s, const char *id,
		       const char *fmt, ...)
{
	char text[STATUS_DETAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(s->trouble, id))
		report_say(s->report, REPORT_WARN, id, "%s", text);
	snprintf(s->trouble, sizeof(s->trouble), "%s", id);
	memcpy(s->trouble_text, text, sizeof(text));
}

void secondary_fine(struct secondary *s)
{
	s->trouble[0] = '\0';
	s->trouble_text[0] = '\0';
}

static void wake_at(struct secondary *s, uint64_t at)
{
	if (at < s->wake)
		s->wake = at;
}

/* The step failed: come again later. */
static void stumble(struct secondary *s, const char *what)
{
	secondary_trouble(s, "platform", "%s: %s; trying again", what,
			  platform_why(s->platform));
	s->retry_delay = s->retry_delay ? s->retry_delay * 2 : RETRY_FIRST;
	if (s->retry_delay > RETRY_MAX)
		s->retry_delay = RETRY_MAX;
	s->retry_at = secondary_now(s) + s->retry_delay;
}

/* --- life ----------------------------------------------------------------------- */

struct secondary *secondary_new(struct platform *p, struct staging *st,
				const struct secondary_config *c,
				const struct report *r)
{
	struct secondary *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->platform = p;
	s->staging = st;
	s->cfg = *c;
	s->report = r;
	s->stage = STAGE_IDLE;
	s->wake = SECONDARY_NEVER;
	s->receive = receive_new(p, st);
	if (!s->receive) {
		free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void secondary_free(struct secondary *s)
{
	if (!s)
		return;
	receive_free(s->receive);
	free(s);
}

static int find_shell(struct secondary *s)
{
	size_t len;
	const void *records = staging_shell(s->staging, &len);

	if (s->platform->ops->attach(s->platform, records, len))
		return -1;
	return s->platform->ops->info(s->platform, &s->info);
}

static int not_found(struct secondary *s)
{
	report_say(s->report, REPORT_ERROR, "attach-failed",
		   "the standby cannot be found again: %s",
		   platform_why(s->platform));
	return -1;
}

/* Killed while a take-over was under way: had it come to activate()? */
static int attach_taking(struct secondary *s)
{
	struct platform_query q = { .role = PLATFORM_NONE };

	if (find_shell(s)) {
		if (errno != ENOENT)
			return not_found(s);
	} else if (s->platform->ops->query(s->platform, &q)) {
		return not_found(s);
	}
	if (q.role == PLATFORM_STANDBY) {
		s->stage = STAGE_TAKE;
		return 0;
	}
	/* A shell goes by activation only, once staging says TAKING. */
	staging_generation(s->staging,
			   staging_view(s->staging)->generation + 1);
	staging_move(s->staging, STAGING_TAKEN);
	s->stage = STAGE_TAKEN;
	return 0;
}

int secondary_attach(struct secondary *s)
{
	const struct staging_view *v = staging_view(s->staging);

	s->alone_at = secondary_now(s);
	s->wake = 0;
	switch (v->phase) {
	case STAGING_EMPTY:
		return 0;
	case STAGING_TAKING:
		if (attach_taking(s))
			return -1;
		break;
	case STAGING_TAKEN:
		s->stage = STAGE_TAKEN;
		break;
	default:
		if (!find_shell(s)) {
			s->stage = STAGE_HELD;
			break;
		}
		/* No shell: killed before it was built, or as it went. */
		if (staging_eligible(s->staging) || errno != ENOENT)
			return not_found(s);
		staging_over(s->staging);
		return 0;
	}
	if (s->stage == STAGE_HELD && v->phase == STAGING_BUILDING)
		secondary_drop(s, SECONDARY_ABANDONED);
	/* The primary did not go: we did.  It has its time to come back. */
	if (s->stage == STAGE_HELD && staging_eligible(s->staging)) {
		s->stage = STAGE_SUSPECT;
		s->alone_at += s->cfg.silence;
	}
	report_say(s->report, REPORT_INFO, "attached",
		   "going on with the standby of %s: %s, committed epoch %" PRIu64,
		   s->info.name, staging_phase_str(v->phase), v->committed);
	return 0;
}

/* --- the redo log ------------------------------------------------------------------ */

int secondary_apply_all(struct secondary *s)
{
	int r;

	do {
		r = apply_some(&s->apply, s->staging, s->platform, SIZE_MAX);
	} while (r > 0);
	if (r)
		secondary_trouble(s, "apply", "applying failed: %s",
				  platform_why(s->platform));
	return r;
}

static void apply_a_little(struct secondary *s)
{
	if (!staging_eligible(s->staging) || s->stage > STAGE_FENCE)
		return;
	/* The acknowledgement leaves first: the guest waits for it. */
	if (s->fresh_commit) {
		s->fresh_commit = false;
		wake_at(s, 0);
		return;
	}
	if (apply_some(&s->apply, s->staging, s->platform, APPLY_SLICE) > 0)
		wake_at(s, 0);
}

/* --- the end of a session ------------------------------------------------------------ */

void secondary_drop(struct secondary *s, enum secondary_outcome o)
{
	/* The claim first: from this store on nothing takes over (INV-29). */
	receive_reset(s->receive);
	staging_move(s->staging, STAGING_SHELL);
	s->stage = STAGE_DROP;
	s->outcome = o;
	s->destroyed = false;
	s->in_step = false;
	s->ack_due = false;
}

static void drop(struct secondary *s)
{
	uint64_t now = secondary_now(s);

	/* The claim is given up: a guest waits for that, not for backends
	 * that close. */
	if (s->end_ack_due && s->peer.link) {
		secondary_say_end_ack(s);
		if (!s->end_ack_due)
			wake_at(s, 0);
		return;
	}
	if (!s->destroyed) {
		if (s->platform->ops->destroy(s->platform) &&
		    errno != ENOENT) {
			stumble(s, "destroy the standby");
			return;
		}
		s->destroyed = true;
		s->linger_at = now + PEER_LINGER;
		staging_over(s->staging);
	}
	/* The END_ACK is to reach the primary, which closes then. */
	if (s->peer.link && now < s->linger_at) {
		wake_at(s, s->linger_at);
		return;
	}
	s->stage = STAGE_OVER;
}

/* --- from suspicion to take-over --------------------------------------------------------- */

static void start_fence(struct secondary *s)
{
	uint64_t at = s->alone_at + s->cfg.grace;
	uint64_t now = secondary_now(s);

	if (s->fence_at > at)
		at = s->fence_at;
	if (now < at) {
		wake_at(s, at);
		return;
	}
	if (!s->cfg.fence) {
		secondary_trouble(s, "no-fence",
				  "the primary is silent and there is no fence: an operator must decide (kemari failover --force)");
		return;
	}
	report_say(s->report, REPORT_WARN, "fencing",
		   "no word from the primary for %" PRIu64 " ms: fencing its host",
		   (uint64_t)((now - s->alone_at) / MS));
	if (s->cfg.fence(s->cfg.fence_arg, staging_view(s->staging)->host,
			 &s->info)) {
		secondary_trouble(s, "fence-failed",
				  "the fence could not be started: %s",
				  strerror(errno));
		s->fence_at = now + s->cfg.fence_retry;
		wake_at(s, s->fence_at);
		return;
	}
	s->stage = STAGE_FENCE;
}

/* Decided: from this store on no primary is heard any more (INV-26). */
static void decide(struct secondary *s)
{
	receive_reset(s->receive);
	staging_move(s->staging, STAGING_TAKING);
	s->stage = STAGE_TAKE;
	s->retry_at = 0;
	secondary_fine(s);
}

static bool activated(struct secondary *s)
{
	uint64_t g = staging_view(s->staging)->generation;
	struct platform_query q;

	if (!s->platform->ops->activate(s->platform, g, g + 1))
		return true;
	/* It may have done its work all the same. */
	return !s->platform->ops->query(s->platform, &q) &&
	       q.role == PLATFORM_NONE;
}

/* INV-18, INV-24: the committed checkpoint, and a clock that went on. */
static void take_over(struct secondary *s)
{
	const void *records;
	size_t len;

	if (secondary_apply_all(s)) {
		stumble(s, "apply");
		return;
	}
	records = staging_records(s->staging, &len);
	if (s->platform->ops->load(s->platform, records, len,
				   staging_clock(s->staging,
						 secondary_now(s)))) {
		stumble(s, "load the checkpoint");
		return;
	}
	if (!activated(s)) {
		stumble(s, "activate");
		return;
	}
	staging_generation(s->staging,
			   staging_view(s->staging)->generation + 1);
	staging_move(s->staging, STAGING_TAKEN);
	s->stage = STAGE_TAKEN;
	s->serve_by = secondary_now(s) + SERVE;
	secondary_fine(s);
	report_say(s->report, REPORT_INFO, "took-over",
		   "%s runs here from epoch %" PRIu64 " on, generation %" PRIu64,
		   s->info.name, staging_view(s->staging)->committed,
		   staging_view(s->staging)->generation);
}

/* Aside: the guest runs already. */
static void see_served(struct secondary *s)
{
	uint64_t now = secondary_now(s);
	int served;

	if (!s->serve_by)
		return;
	served = s->platform->ops->served(s->platform);
	if (served > 0) {
		s->serve_by = 0;
		secondary_fine(s);
		report_say(s->report, REPORT_INFO, "served",
			   "the devices of %s work", s->info.name);
		return;
	}
	if (served < 0 || now >= s->serve_by)
		secondary_trouble(s, "devices", "%s",
				  platform_why(s->platform));
	wake_at(s, now + SERVE_LOOK);
}

void secondary_fence_done(struct secondary *s, bool ok, const char *why)
{
	if (s->stage != STAGE_FENCE)
		return;
	if (ok) {
		report_say(s->report, REPORT_INFO, "fenced",
			   "the primary's host is fenced: taking over");
		decide(s);
	} else {
		secondary_trouble(s, "fence-failed",
				  "the fence failed: %s; the standby waits",
				  why);
		s->stage = STAGE_SUSPECT;
		s->fence_at = secondary_now(s) + s->cfg.fence_retry;
	}
	secondary_tick(s);
}

int secondary_failover(struct secondary *s)
{
	if (s->forced || s->stage == STAGE_TAKE ||
	    s->stage == STAGE_TAKEN) {
		errno = EALREADY;
		return -1;
	}
	/* INV-27: a stale standby never, not even by order. */
	if (!staging_eligible(s->staging)) {
		errno = EPERM;
		return -1;
	}
	report_say(s->report, REPORT_WARN, "forced",
		   "an operator orders the take-over");
	/* A primary that lives stops its guest before it closes. */
	peer_error(&s->peer, secondary_now(s), ESTALE,
		   "an operator ordered the standby to take over");
	s->forced = true;
	secondary_tick(s);
	return 0;
}

/* --- driving ---------------------------------------------------------------------------------- */

static void beat(struct secondary *s)
{
	uint64_t now = secondary_now(s);
	struct wire_heartbeat b = {
		.generation = staging_view(s->staging)->generation,
		.committed = staging_view(s->staging)->committed,
		.applied = staging_applied(s->staging),
	};

	if (peer_beat_due(&s->peer, now))
		peer_beat(&s->peer, now, s->cfg.heartbeat, &b);
}

/* A shell without a primary that is good for nothing. */
static void abandon(struct secondary *s)
{
	if (s->peer.link || staging_eligible(s->staging))
		return;
	if (secondary_now(s) < s->alone_at + ABANDON) {
		wake_at(s, s->alone_at + ABANDON);
		return;
	}
	report_say(s->report, REPORT_WARN, "abandoned",
		   "the primary did not come back; the standby of %s was never eligible and goes",
		   s->info.name);
	secondary_drop(s, SECONDARY_ABANDONED);
}

/* Nothing hangs on a quick verdict while the standby cannot take over. */
static uint64_t patience(const struct secondary *s)
{
	return staging_eligible(s->staging) ? s->cfg.silence :
					      PEER_PATIENCE * s->cfg.silence;
}

static void advance(struct secondary *s)
{
	enum secondary_stage before;

	s->wake = SECONDARY_NEVER;
	peer_watch(&s->peer, secondary_now(s), patience(s));
	beat(s);
	secondary_say_ack(s);
	apply_a_little(s);
	if (s->forced && !s->peer.link && s->stage < STAGE_TAKE)
		decide(s);
	do {
		before = s->stage;
		if (secondary_now(s) < s->retry_at)
			break;
		s->retry_at = 0;
		switch (s->stage) {
		case STAGE_HELD:
			abandon(s);
			break;
		case STAGE_SUSPECT:
			start_fence(s);
			break;
		case STAGE_TAKE:
			take_over(s);
			break;
		case STAGE_DROP:
			drop(s);
			break;
		case STAGE_TAKEN:
			see_served(s);
			break;
		case STAGE_IDLE:
		case STAGE_FENCE:
		case STAGE_OVER:
			break;
		}
	} while (s->stage != before);
	if (s->retry_at)
		wake_at(s, s->retry_at);
	else
		s->retry_delay = 0;
}

void secondary_tick(struct secondary *s)
{
	advance(s);
}

uint64_t secondary_deadline(const struct secondary *s)
{
	uint64_t link = peer_deadline(&s->peer, patience(s));

	return link < s->wake ? link : s->wake;
}

int secondary_link_up(struct secondary *s, struct link *l)
{
	if (s->peer.link || s->stage == STAGE_FENCE ||
	    s->stage >= STAGE_DROP) {
		errno = EBUSY;
		return -1;
	}
	peer_up(&s->peer, l, secondary_now(s));
	advance(s);
	return 0;
}

void secondary_link_down(struct secondary *s, int err, const char *why)
{
	/* A process that died on a live host comes back; it has as long for
	 * that as one that hangs. */
	uint64_t at = s->peer.heard + s->cfg.silence;

	(void)err;
	peer_down(&s->peer);
	receive_reset(s->receive);
	s->in_step = false;
	s->ack_due = false;
	s->end_ack_due = false;
	if (s->stage == STAGE_HELD) {
		s->alone_at = secondary_now(s);
		if (s->alone_at < at)
			s->alone_at = at;
		report_say(s->report, REPORT_WARN, "link-down",
			   "the link is down: %s", why);
		if (staging_eligible(s->staging))
			s->stage = STAGE_SUSPECT;
	}
	s->ours = false;
	advance(s);
}

void secondary_writable(struct secondary *s)
{
	advance(s);
}

void secondary_message(struct secondary *s, const void *bytes, size_t len)
{
	char why[WIRE_WHY_MAX];
	int type;

	if (!s->peer.link || s->peer.leaving || s->stage == STAGE_OVER)
		return;
	s->peer.heard = secondary_now(s);
	type = wire_check(bytes, len, why);
	if (type < 0)
		secondary_break(s, EPROTO, "%s", why);
	else if (type)
		secondary_hear(s, type, bytes, len);
	advance(s);
}

enum secondary_outcome secondary_outcome(const struct secondary *s)
{
	return s->stage == STAGE_TAKEN ? SECONDARY_TOOK_OVER :
	       s->stage == STAGE_OVER ? s->outcome : SECONDARY_GOING;
}
