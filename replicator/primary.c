// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary.c - conductor of the host that runs the guest
 *
 * Every entry point notes what happened and calls advance(), which goes as
 * far as it can through the stage the protection is at (primary_int.h) and
 * sets the next deadline.  Nothing waits here.
 *
 * One epoch, in order: epoch_cycle().  The copy before the first:
 * primary_copy_cycle().
 */
#include "replicator/eligible.h"
#include "replicator/primary_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull

enum { CODEC_CACHE = 16384 };	/* pages: 64 MiB */

void primary_config_default(struct primary_config *c)
{
	*c = (struct primary_config){
		.mode = PLATFORM_SYNC,
		.max_epoch = 100 * MS,
		.heartbeat = 100 * MS,
		.silence = 2000 * MS,
		.settle_bound = 2000 * MS,
		.drain_bound = 1000 * MS,
		.codec_cache = CODEC_CACHE,
	};
}

static const char *const outcome_str[] = {
	[PRIMARY_GOING] = "going",
	[PRIMARY_UNPROTECTED] = "unprotected",
	[PRIMARY_ENDED] = "ended",
	[PRIMARY_REFUSED] = "refused",
	[PRIMARY_SUPERSEDED] = "superseded",
};

const char *primary_outcome_str(enum primary_outcome o)
{
	return o <= PRIMARY_SUPERSEDED ? outcome_str[o] : "unknown";
}

/* --- life --------------------------------------------------------------------- */

struct primary *primary_new(struct platform *platform, struct gate *g,
			    struct outbox *o, const struct primary_config *c,
			    const struct report *r)
{
	struct primary *p;

	if (c->mode != PLATFORM_SYNC) {
		errno = ENOTSUP;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->platform = platform;
	p->gate = g;
	p->outbox = o;
	p->cfg = *c;
	p->report = r;
	p->stage = STAGE_OVER;
	p->wake = PRIMARY_NEVER;
	p->sender = sender_new(o, c->codec_cache);
	if (!p->sender) {
		free(p);
		errno = ENOMEM;
		return NULL;
	}
	epoch_init(&p->epoch, 1);
	return p;
}

void primary_free(struct primary *p)
{
	if (!p)
		return;
	recbuf_free(&p->shell);
	copy_free(p->copy);
	capture_free(p->capture);
	sender_free(p->sender);
	free(p);
}

static int complain(struct primary *p, const char *id, const char *what)
{
	report_say(p->report, REPORT_ERROR, id, "%s: %s", what,
		   platform_why(p->platform));
	return -1;
}

static void ineligible(void *arg, const char *reason)
{
	const struct primary *p = arg;

	report_say(p->report, REPORT_ERROR, "ineligible",
		   "%s cannot be protected: %s", p->info.name, reason);
}

/* INV-32: every reason is named. */
static int check_guest(struct primary *p)
{
	char why[PLATFORM_WHY_MAX];
	int n = eligible(p->platform, p->gate, ineligible, p, why);

	if (!n)
		return 0;
	if (n < 0)
		report_say(p->report, REPORT_ERROR, "check-failed", "%s", why);
	else
		errno = EXDEV;
	return -1;
}

/* What the hypervisor does not need to be asked twice. */
static int meet_guest(struct primary *p)
{
	struct platform *pl = p->platform;

	if (pl->ops->info(pl, &p->info))
		return complain(p, "guest-unknown", "guest");
	recbuf_reset(&p->shell);
	if (pl->ops->describe(pl, &p->shell))
		return complain(p, "describe-failed", "describe");
	if (p->shell.used <= WIRE_SHELL_MAX)
		return 0;
	report_say(p->report, REPORT_ERROR, "describe-failed",
		   "describe: %zu bytes, at most %d can be sent",
		   p->shell.used, WIRE_SHELL_MAX);
	errno = EMSGSIZE;
	return -1;
}

int primary_start(struct primary *p)
{
	struct platform_query q;

	if (p->platform->ops->query(p->platform, &q))
		return complain(p, "query-failed", "query");
	if (q.role != PLATFORM_NONE) {
		report_say(p->report, REPORT_ERROR, "already-protected",
			   "the guest is %s of a protection already, generation %" PRIu64
			   "; if no kemari is in charge of it any more and its standby is dead: kemari unprotect --force --standby-is-dead",
			   q.role == PLATFORM_PRIMARY ? "the primary" :
							"the standby",
			   q.generation);
		errno = EBUSY;
		return -1;
	}
	if (p->platform->ops->info(p->platform, &p->info))
		return complain(p, "guest-unknown", "guest");
	if (check_guest(p) || meet_guest(p))
		return -1;
	p->facts = (struct outbox_facts){ .generation = q.generation + 1 };
	memcpy(p->facts.session, p->cfg.session, sizeof(p->facts.session));
	primary_store(p);
	outbox_drop(p->outbox);
	epoch_init(&p->epoch, 1);
	p->stage = STAGE_SHELL;
	p->outcome = PRIMARY_GOING;
	p->went_at = primary_now(p);
	return 0;
}

/* --- events ------------------------------------------------------------------------------------- */

/* INV-7: whatever the guest asked for stays held until END is acknowledged. */
void primary_end(struct primary *p, enum wire_reason reason)
{
	if (p->stage >= STAGE_END)
		return;
	report_say(p->report, REPORT_INFO, "ending", "the session ends: %s",
		   wire_reason_str(reason));
	p->facts.ending = reason;
	primary_store(p);
	/* Without a shell there, there is nobody to tell. */
	if (p->stage == STAGE_SHELL && !p->standby_has_shell && !p->shell_out)
		p->ready = false;
	p->stage = STAGE_END;
	p->asked = false;
	if (!p->epoch.bound && !p->ready)
		primary_granted(p);
}

enum wire_reason primary_shutdown_reason(const struct platform_query *q)
{
	return q->shutdown_reason == 1 ? WIRE_REASON_REBOOT :
	       q->shutdown_reason == 3 ? WIRE_REASON_CRASH :
					 WIRE_REASON_POWEROFF;
}

static int take_events(struct primary *p)
{
	int ev = p->platform->ops->events(p->platform);
	struct platform_query q;

	if (ev < 0)
		return primary_stumble_platform(p, "events");
	if (ev & PLATFORM_EV_TAP)
		p->cause = WIRE_CAUSE_TAP;
	if (ev & PLATFORM_EV_DIRTY)
		p->cause = WIRE_CAUSE_DIRTY;
	if (ev & PLATFORM_EV_GONE) {
		p->gone = true;
		primary_end(p, WIRE_REASON_DESTROYED);
	} else if (ev & PLATFORM_EV_SHUTDOWN) {
		if (p->platform->ops->query(p->platform, &q))
			q.shutdown_reason = 0;
		primary_end(p, primary_shutdown_reason(&q));
	}
	return 0;
}

/* --- epochs ------------------------------------------------------------------------- */

static bool epoch_is_due(struct primary *p)
{
	uint64_t at = p->went_at + p->cfg.max_epoch;

	if (!p->cause && primary_now(p) >= at)
		p->cause = WIRE_CAUSE_TIMER;
	if (!p->cause)
		primary_wake(p, at);
	return p->cause != 0;
}

int primary_start_sending(struct primary *p)
{
	if (sender_start(p->sender, p->peer.features))
		return primary_stumble(p, "send", strerror(errno));
	p->sending = true;
	return 0;
}

/* Sent, or as far as the link takes it; then the ACK is awaited. */
static void send_checkpoint(struct primary *p)
{
	if (!p->ready)
		return;
	if (!p->sending && primary_start_sending(p))
		return;
	if (sender_run(p->sender, p->peer.link, true) < 0 && errno != EPIPE) {
		p->sending = false;
		primary_stumble(p, "send", strerror(errno));
	}
}

void primary_committed(struct primary *p)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(p->outbox);
	enum stats_cause why = c->cause == WIRE_CAUSE_TAP ? CAUSE_TAP :
			       c->cause == WIRE_CAUSE_GATE ? CAUSE_GATE :
			       c->cause == WIRE_CAUSE_TIMER ? CAUSE_TIMER :
			       c->cause == WIRE_CAUSE_DIRTY ? CAUSE_DIRTY :
			       c->cause == WIRE_CAUSE_FIRST ? CAUSE_FIRST :
							      CAUSE_END;

	if (epoch_move(&p->epoch, EPOCH_COMMIT, c->epoch))
		return;
	sender_committed(p->sender);
	stats_checkpoint(&p->stats, why, c->pages,
			 primary_now(p) - p->stopped_at);
	if (why == CAUSE_FIRST)
		report_say(p->report, REPORT_INFO, "protected",
			   "the first checkpoint, epoch %" PRIu64 ", is committed: %s is protected",
			   c->epoch, p->info.name);
	p->facts.committed = c->epoch;
	memcpy(p->facts.digest, c->digest, sizeof(p->facts.digest));
	primary_store(p);
	outbox_drop(p->outbox);
}

/* The way of an epoch: each case is one stage, top to bottom. */
static void epoch_cycle(struct primary *p)
{
	int r;

	if (primary_now(p) < p->busy_until) {
		primary_wake(p, p->busy_until);
		return;
	}
	if (!p->epoch.stopped) {
		if (!epoch_is_due(p) || primary_halt(p))
			return;
		/* What was held until now is in this epoch: said once. */
		if (take_events(p) || primary_take_gate(p) ||
		    p->stage != STAGE_BOUND)
			return;
		if (primary_spare(p)) {
			primary_wake(p, p->went_at + p->cfg.max_epoch);
			return;
		}
	}
	for (;;) {
		switch (p->epoch.flight) {
		case EPOCH_NONE:
			if (!p->cause) {
				if (!primary_run_on(p))
					primary_wake(p, p->went_at +
							p->cfg.max_epoch);
				return;
			}
			/* fall through */
		case EPOCH_TAKING:
			r = primary_capture(p);
			if (r > 0)
				primary_put_off(p);
			if (r)
				return;
			p->cause = 0;
			break;
		case EPOCH_WHOLE:
			send_checkpoint(p);
			return;
		case EPOCH_COMMITTED:
			if (primary_release(p))
				return;
			break;
		case EPOCH_RELEASED:
			if (primary_drain(p))
				return;
			break;
		case EPOCH_TORN:
			p->stage = STAGE_ALONE;
			p->asked = false;
			return;
		case EPOCH_FLIGHT_NUM:
			return;
		}
	}
}

/* --- the right to go on alone -------------------------------------------------- */

void primary_granted(struct primary *p)
{
	epoch_move(&p->epoch, EPOCH_GRANT, 0);
	sender_stop(p->sender);
	outbox_drop(p->outbox);
	if (p->capture)
		capture_reset(p->capture);
	p->facts.bound = 0;
	primary_store(p);
	primary_fine(p, "copy-afresh");
	p->cause = WIRE_CAUSE_OPERATOR;	/* so that let_out() lets all out */
	if (p->stage == STAGE_END) {
		primary_leave(p, p->given_up ? PRIMARY_REFUSED :
			      p->facts.ending == WIRE_REASON_UNPROTECT ?
				      PRIMARY_UNPROTECTED : PRIMARY_ENDED);
	} else if (p->stage == STAGE_ALONE || p->stage == STAGE_BOUND) {
		report_say(p->report, REPORT_WARN, "resync",
			   "the standby has no claim any more: copying afresh");
		p->stats.resyncs++;
		p->stage = STAGE_COPY;
		p->copying = false;
		p->ready = true;
	}
}

/* Alone and not connected, or the shell is not built: the guest goes on. */
static void alone_cycle(struct primary *p)
{
	if (p->enabled && (p->cause || p->epoch.stopped))
		primary_let_out(p);
}

/* --- the shell ------------------------------------------------------------------------------ */

static void send_shell(struct primary *p)
{
	uint8_t head_bytes[sizeof(struct wire_head)];

	while (p->ready && !p->shell_out) {
		uint64_t left = p->shell.used - p->shell_sent;
		uint64_t n = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX;
		struct wire_shell s = {
			.generation = p->facts.generation,
			.total = p->shell.used,
			.offset = p->shell_sent,
		};
		struct iovec iov[3] = {
			{ head_bytes, sizeof(head_bytes) },
			{ &s, sizeof(s) },
			{ p->shell.bytes + p->shell_sent, n },
		};
		struct wire_head head;

		wire_seal(&head, WIRE_SHELL, iov + 1, 2);
		memcpy(head_bytes, &head, sizeof(head));
		if (p->peer.link->ops->send(p->peer.link, iov, 3))
			return;
		p->shell_sent += n;
		p->shell_out = p->shell_sent == p->shell.used;
	}
}

/* --- asking the standby to give up its claim --------------------------------------------------- */

static void ask_alone(struct primary *p)
{
	struct wire_alone a = {
		.generation = p->facts.generation,
		.nonce = p->nonce + 1,
	};

	if (!p->ready || p->asked)
		return;
	if (peer_send(&p->peer, WIRE_ALONE, &a, sizeof(a)))
		return;
	p->nonce = a.nonce;
	p->asked = true;
}

static void ask_end(struct primary *p)
{
	struct wire_end e = {
		.generation = p->facts.generation,
		.epoch = p->facts.committed,
		.reason = p->facts.ending,
	};

	if (!p->peer.link && !p->epoch.bound) {
		primary_granted(p);
		return;
	}
	if (!p->ready || p->asked)
		return;
	p->facts.end_sent = 1;
	primary_store(p);
	if (!peer_send(&p->peer, WIRE_END, &e, sizeof(e)))
		p->asked = true;
}

/* --- letting go ------------------------------------------------------------------------------- */

void primary_leave(struct primary *p, enum primary_outcome o)
{
	p->stage = STAGE_LEAVE;
	p->outcome = o;
}

void primary_yield(struct primary *p, const char *why)
{
	if (p->stage == STAGE_YIELD || p->stage == STAGE_OVER)
		return;
	report_say(p->report, REPORT_ERROR, "superseded",
		   "the guest stays stopped here: %s", why);
	p->stage = STAGE_YIELD;
	p->outcome = PRIMARY_SUPERSEDED;
}

static void yield(struct primary *p)
{
	if (!primary_halt(p))
		p->stage = STAGE_OVER;
}

/* A guest that is no more needs neither opened.  INV-37 */
static int open_tap(struct primary *p)
{
	if (!(p->enabled || p->gate_shut) || p->gone)
		return 0;
	/* INV-1, INV-8: nobody may be left who could take over. */
	if (p->epoch.bound)
		return primary_stumble(p, "open tap", "the standby is bound");
	if (primary_open_gate(p))
		return -1;
	if (p->enabled &&
	    p->platform->ops->disable(p->platform, p->facts.generation) &&
	    errno != ESRCH && errno != ENOENT)
		return primary_stumble_platform(p, "disable");
	p->enabled = false;
	return 0;
}

static void leave(struct primary *p)
{
	if (open_tap(p))
		return;
	p->stage = STAGE_OVER;
	p->facts = (struct outbox_facts){ .generation = 0 };
	primary_store(p);
	outbox_drop(p->outbox);
	report_say(p->report, REPORT_INFO, "over", "the protection is over: %s",
		   primary_outcome_str(p->outcome));
}

/* --- driving ----------------------------------------------------------------- */

static void beat(struct primary *p)
{
	uint64_t now = primary_now(p);
	struct wire_heartbeat b = {
		.generation = p->facts.generation,
		.running = p->epoch.running,
		.committed = p->facts.committed,
	};

	if (!peer_beat_due(&p->peer, now))
		return;
	/* Without it the standby goes on from the last one it got. */
	if (p->platform->ops->guest_time(p->platform, &b.guest_time))
		b.guest_time = 0;
	peer_beat(&p->peer, now, p->cfg.heartbeat, &b);
}

/* Nothing hangs on a quick verdict before the standby is bound. */
static uint64_t patience(const struct primary *p)
{
	return p->stage < STAGE_BOUND ? PEER_PATIENCE * p->cfg.silence :
					p->cfg.silence;
}

static void advance(struct primary *p)
{
	enum primary_stage before;

	p->wake = PRIMARY_NEVER;
	peer_watch(&p->peer, primary_now(p), patience(p));
	beat(p);
	do {
		before = p->stage;
		if (primary_now(p) < p->retry_at)
			break;
		p->retry_at = 0;
		switch (p->stage) {
		case STAGE_SHELL:
			alone_cycle(p);
			send_shell(p);
			break;
		case STAGE_COPY:
			if (p->ready)
				primary_copy_cycle(p);
			else
				alone_cycle(p);
			break;
		case STAGE_BOUND:
			epoch_cycle(p);
			break;
		case STAGE_ALONE:
			ask_alone(p);
			break;
		case STAGE_END:
			ask_end(p);
			break;
		case STAGE_YIELD:
			yield(p);
			break;
		case STAGE_LEAVE:
			leave(p);
			break;
		case STAGE_OVER:
			break;
		}
	} while (p->stage != before);
	if (p->retry_at)
		primary_wake(p, p->retry_at);
	else
		primary_recovered(p);
}

void primary_platform_event(struct primary *p)
{
	if (p->stage == STAGE_OVER)
		return;
	take_events(p);
	advance(p);
}

void primary_gate_event(struct primary *p)
{
	if (p->stage == STAGE_OVER)
		return;
	primary_take_gate(p);
	advance(p);
}

void primary_tick(struct primary *p)
{
	advance(p);
}

uint64_t primary_deadline(const struct primary *p)
{
	uint64_t link = peer_deadline(&p->peer, patience(p));

	if (p->stage == STAGE_OVER)
		return PRIMARY_NEVER;
	return link < p->wake ? link : p->wake;
}

void primary_link_up(struct primary *p, struct link *l)
{
	peer_up(&p->peer, l, primary_now(p));
	if (p->stage == STAGE_OVER)
		return;
	primary_greet(p);
	advance(p);
}

void primary_link_down(struct primary *p, int err, const char *why)
{
	(void)err;
	peer_down(&p->peer);
	p->ready = false;
	p->resuming = false;
	p->asked = false;
	p->shell_out = false;
	p->shell_sent = 0;
	p->sending = false;
	sender_stop(p->sender);
	if (p->stage == STAGE_OVER)
		return;
	/* A copy begins anew; the checkpoint that was to end it is let out,
	 * for nobody was bound by it. */
	if (p->stage == STAGE_COPY && !p->epoch.bound) {
		p->copying = false;
		p->copy_last = false;
		outbox_drop(p->outbox);
		if (p->capture)
			capture_reset(p->capture);
	}
	primary_trouble(p, "link-down", "the link is down: %s", why);
	advance(p);
}

void primary_writable(struct primary *p)
{
	advance(p);
}

void primary_message(struct primary *p, const void *bytes, size_t len)
{
	char why[WIRE_WHY_MAX];
	int type;

	if (!p->peer.link || p->peer.leaving || p->stage == STAGE_OVER)
		return;
	p->peer.heard = primary_now(p);
	type = wire_check(bytes, len, why);
	if (type < 0)
		primary_break(p, "%s", why);
	else if (type)
		primary_hear(p, type, bytes, len);
	advance(p);
}

int primary_unprotect(struct primary *p, bool standby_is_dead)
{
	if (p->stage >= STAGE_YIELD) {
		errno = EALREADY;
		return -1;
	}
	primary_end(p, WIRE_REASON_UNPROTECT);
	if (standby_is_dead && p->stage == STAGE_END) {
		report_say(p->report, REPORT_WARN, "claim-overruled",
			   "the operator vouches that the standby is dead");
		primary_granted(p);
	}
	advance(p);
	return 0;
}

enum primary_outcome primary_outcome(const struct primary *p)
{
	return p->stage == STAGE_OVER ? p->outcome : PRIMARY_GOING;
}
