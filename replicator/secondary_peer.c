// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * secondary_peer.c - what the primary says, and what follows from it
 */
#include "replicator/secondary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void secondary_break(struct secondary *s, int err, const char *fmt, ...)
{
	char text[WIRE_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_say(s->report, REPORT_WARN, "refused", "%s", text);
	receive_reset(s->receive);
	/* ERROR in place of an ACK says that nothing was committed. */
	secondary_say_ack(s);
	if (s->ack_due && s->peer.link)
		s->peer.link->ops->shut(s->peer.link, err, text);
	peer_error(&s->peer, secondary_now(s), err, text);
}

/* --- HELLO --------------------------------------------------------------------- */

static bool taking(const struct secondary *s)
{
	return s->stage == STAGE_TAKE || s->stage == STAGE_TAKEN;
}

static void my_hello(const struct secondary *s, struct wire_hello *h)
{
	const struct staging_view *v = staging_view(s->staging);

	*h = (struct wire_hello){
		.magic = WIRE_HELLO_MAGIC,
		.version = WIRE_VERSION,
		.compatible = WIRE_COMPATIBLE,
		.role = WIRE_SECONDARY,
		.page_size = WIRE_PAGE,
		.features = WIRE_FEATURES,
		.generation = v->generation + (s->stage == STAGE_TAKE),
		.staging = staging_capacity(s->staging),
		.committed = v->committed,
		.clock = secondary_now(s),
		.domid = s->info.domid,
		.eligible = staging_eligible(s->staging),
	};
	memcpy(h->guest, s->info.uuid, sizeof(h->guest));
	memcpy(h->host, s->info.host_uuid, sizeof(h->host));
	memcpy(h->boot, s->info.boot_id, sizeof(h->boot));
	memcpy(h->session, v->session, sizeof(h->session));
	memcpy(h->digest, v->digest, sizeof(h->digest));
	snprintf(h->name, sizeof(h->name), "%s", s->info.name);
}

static void hear_hello(struct secondary *s, const struct wire_hello *h)
{
	const struct staging_view *v = staging_view(s->staging);
	char why[WIRE_WHY_MAX];
	struct wire_hello mine;

	my_hello(s, &mine);
	if (wire_hello_check(&mine, h, why)) {
		secondary_break(s, EPROTO, "HELLO: %s", why);
		return;
	}
	if (s->stage == STAGE_FENCE) {
		secondary_break(s, EBUSY, "the fence for the primary runs: the standby may be about to take over");
		return;
	}
	if (peer_send(&s->peer, WIRE_HELLO, &mine, sizeof(mine))) {
		s->peer.link->ops->shut(s->peer.link, errno,
					"HELLO could not be sent");
		return;
	}
	s->primary = *h;
	s->peer.greeted = true;
	s->peer.features = mine.features & h->features;
	s->ours = v->phase != STAGING_EMPTY &&
		  !memcmp(h->session, v->session, sizeof(h->session));
	/* INV-28 */
	if (taking(s) || (s->ours && h->generation < v->generation)) {
		secondary_break(s, ESTALE,
				"generation %" PRIu64 " is over: the standby took over with %" PRIu64,
				h->generation, mine.generation);
		return;
	}
	if (!s->ours)
		return;
	secondary_fine(s);
	if (s->stage == STAGE_SUSPECT)
		s->stage = STAGE_HELD;
}

/* --- shell, copy, checkpoints --------------------------------------------------- */

static int build(struct secondary *s)
{
	struct platform *p = s->platform;
	const void *records;
	uint64_t generation;
	size_t len;

	records = receive_shell(s->receive, &len, &generation);
	if (s->stage == STAGE_HELD) {
		/* Another session's, or ours again: not eligible. */
		if (p->ops->destroy(p))
			return -1;
		staging_move(s->staging, STAGING_EMPTY);
		s->stage = STAGE_IDLE;
		memset(&s->info, 0, sizeof(s->info));
	}
	if (staging_shell_put(s->staging, s->primary.session, s->primary.host,
			      generation, records, len))
		return platform_fail(p, errno, "shell: %s", strerror(errno));
	if (p->ops->build(p, generation, records, len) ||
	    p->ops->info(p, &s->info)) {
		int err = errno;

		staging_move(s->staging, STAGING_EMPTY);
		errno = err;
		return -1;
	}
	staging_move(s->staging, STAGING_SHELL);
	s->stage = STAGE_HELD;
	return 0;
}

static void take_shell(struct secondary *s)
{
	struct wire_shell_result r = {
		.staging = staging_capacity(s->staging),
	};

	if (build(s)) {
		r.error = errno ? (uint32_t)errno : EIO;
		snprintf(r.text, sizeof(r.text), "%s",
			 platform_why(s->platform));
		report_say(s->report, REPORT_ERROR, "shell-failed",
			   "no standby for %s: %s", s->primary.name, r.text);
	} else {
		s->ours = true;
		report_say(s->report, REPORT_INFO, "shell-built",
			   "the standby of %s is built, domain %u",
			   s->info.name, s->info.domid);
	}
	if (peer_send(&s->peer, WIRE_SHELL_RESULT, &r, sizeof(r)))
		secondary_break(s, EIO, "SHELL_RESULT could not be sent");
}

/* INV-22: all that can fail at the take-over fails here, before the first
 * commit of a session. */
static int rehearse(struct secondary *s)
{
	const void *records;
	uint64_t epoch;
	size_t len;

	if (staging_eligible(s->staging))
		return 0;
	records = receive_staged(s->receive, &len, &epoch);
	if (!s->platform->ops->rehearse(s->platform, records, len))
		return 0;
	secondary_break(s, EINVAL,
			"the dry run of checkpoint %" PRIu64 " failed: %s",
			epoch, platform_why(s->platform));
	return -1;
}

static void commit(struct secondary *s)
{
	bool first = !staging_eligible(s->staging);

	if (rehearse(s))
		return;
	receive_commit(s->receive);
	s->checkpoints++;
	s->fresh_commit = true;
	s->in_step = true;
	s->ack_due = true;
	secondary_say_ack(s);
	if (first)
		report_say(s->report, REPORT_INFO, "eligible",
			   "the standby of %s can take over from epoch %" PRIu64,
			   s->info.name,
			   staging_view(s->staging)->committed);
}

/* A page of the standby is not what the primary sent last: somebody of this
 * host wrote to it.  Nothing is committed, nothing is lost. */
static void ask_again(struct secondary *s)
{
	struct wire_again a;

	receive_again(s->receive, &a);
	report_say(s->report, REPORT_INFO, "again",
		   "frame %#" PRIx64 " of the standby was changed here: checkpoint %" PRIu64 " is to come again",
		   a.gfn, a.epoch);
	if (peer_send(&s->peer, WIRE_AGAIN, &a, sizeof(a)))
		secondary_break(s, EIO, "AGAIN could not be sent");
}

/* 0: @type may be received now. */
static int admit(struct secondary *s, int type)
{
	if (type == WIRE_SHELL) {
		if (s->stage == STAGE_IDLE || (s->stage == STAGE_HELD &&
		    !staging_eligible(s->staging)))
			return 0;
		secondary_break(s, EBUSY,
				"a standby of %s is held here, and could take over: end that session first",
				s->info.name);
		return -1;
	}
	if (s->stage != STAGE_HELD || !s->ours) {
		secondary_break(s, EPROTO, "%s: the session is not held here",
				wire_type_str((unsigned int)type));
		return -1;
	}
	if (staging_eligible(s->staging) && !s->in_step) {
		secondary_break(s, EPROTO, "%s before RESUME",
				wire_type_str((unsigned int)type));
		return -1;
	}
	/* Makes room for the next: there are two slots. */
	return type == WIRE_CKPT_BEGIN ? secondary_apply_all(s) : 0;
}

static void hear_data(struct secondary *s, int type, const void *bytes,
		      size_t len)
{
	if (admit(s, type))
		return;
	switch (receive_message(s->receive, bytes, len)) {
	case RECEIVE_MORE:
	case RECEIVE_COPYING:
		break;
	case RECEIVE_SHELL:
		take_shell(s);
		break;
	case RECEIVE_COPIED: {
		struct receive_progress c;
		struct wire_copy_ack a;

		receive_progress(s->receive, &c);
		a = (struct wire_copy_ack){ .copy = c.copy, .pages = c.pages };
		/* Nobody waits for it: the checkpoint follows. */
		(void)peer_send(&s->peer, WIRE_COPY_ACK, &a, sizeof(a));
		break;
	}
	case RECEIVE_STAGED:
		commit(s);
		break;
	case RECEIVE_AGAIN:
		ask_again(s);
		break;
	default:
		secondary_break(s, errno, "%s", receive_why(s->receive));
	}
}

/* --- acknowledgements ------------------------------------------------------------ */

void secondary_say_ack(struct secondary *s)
{
	struct wire_ack a;

	if (!s->ack_due || !s->in_step)
		return;
	receive_ack(s->receive, s->apply.last_ns, &a);
	if (!peer_send(&s->peer, WIRE_ACK, &a, sizeof(a)))
		s->ack_due = false;
}

void secondary_say_end_ack(struct secondary *s)
{
	struct wire_end_ack a = {
		.generation = s->primary.generation,
		.reason = s->end_reason,
	};

	if (s->end_ack_due && !peer_send(&s->peer, WIRE_END_ACK, &a,
					 sizeof(a)))
		s->end_ack_due = false;
}

/* --- RESUME, ALONE, END ------------------------------------------------------------- */

/* Is it the primary of what is held here, of this generation? */
static bool is_ours(struct secondary *s, const char *what,
		    uint64_t generation)
{
	uint64_t mine = staging_view(s->staging)->generation;

	if (s->stage != STAGE_HELD || !s->ours)
		secondary_break(s, EPROTO, "%s: the session is not held here",
				what);
	else if (generation != mine)
		secondary_break(s, generation < mine ? ESTALE : EPROTO,
				"%s: generation %" PRIu64 " is not %" PRIu64,
				what, generation, mine);
	else
		return true;
	return false;
}

static void hear_resume(struct secondary *s, const struct wire_resume *r)
{
	const struct staging_view *v = staging_view(s->staging);

	if (!is_ours(s, "RESUME", r->generation))
		return;
	if (!staging_eligible(s->staging) || r->epoch != v->committed ||
	    memcmp(r->digest, v->digest, sizeof(r->digest))) {
		secondary_break(s, EPROTO,
				"RESUME: after epoch %" PRIu64 ", committed is %" PRIu64,
				r->epoch, v->committed);
		return;
	}
	s->in_step = true;
	s->ack_due = true;
	secondary_say_ack(s);
}

static void hear_alone(struct secondary *s, const struct wire_alone *a)
{
	struct wire_alone reply = *a;

	if (!is_ours(s, "ALONE", a->generation))
		return;
	/* The claim is given up by this store, then the primary may know. */
	receive_reset(s->receive);
	staging_move(s->staging, STAGING_SHELL);
	s->in_step = false;
	s->ack_due = false;
	report_say(s->report, REPORT_WARN, "claim-given-up",
		   "the primary goes on alone until a new copy is committed");
	if (peer_send(&s->peer, WIRE_ALONE_ACK, &reply, sizeof(reply)))
		secondary_break(s, EIO, "ALONE_ACK could not be sent");
}

static void hear_end(struct secondary *s, const struct wire_end *e)
{
	const struct staging_view *v = staging_view(s->staging);

	if (v->phase == STAGING_EMPTY &&
	    !memcmp(v->session, s->primary.session, sizeof(v->session))) {
		/* Once more: END_ACK did not reach it. */
		s->end_reason = e->reason;
		s->end_ack_due = true;
		secondary_say_end_ack(s);
		if (s->end_ack_due)
			secondary_break(s, EIO, "END_ACK could not be sent");
		s->end_ack_due = false;
		return;
	}
	if (!is_ours(s, "END", e->generation))
		return;
	report_say(s->report, REPORT_INFO, "ended",
		   "the primary ended the session: %s",
		   wire_reason_str(e->reason));
	s->end_reason = e->reason;
	s->end_ack_due = true;
	secondary_drop(s, SECONDARY_ENDED);
}

static void hear_heartbeat(struct secondary *s,
			   const struct wire_heartbeat *b)
{
	s->peer.echo = b->clock;
	/* INV-24 */
	if (s->ours && b->guest_time)
		staging_clock_set(s->staging, b->guest_time,
				  secondary_now(s));
}

static void hear_error(struct secondary *s, const struct wire_error *e)
{
	report_say(s->report, REPORT_WARN, "peer-error",
		   "the primary's host says: %s", e->text);
	s->peer.leaving = true;
	s->peer.linger_at = secondary_now(s);
}

void secondary_hear(struct secondary *s, int type, const void *bytes,
		    size_t len)
{
	union {
		struct wire_hello hello;
		struct wire_error error;
		struct wire_heartbeat beat;
		struct wire_resume resume;
		struct wire_alone alone;
		struct wire_end end;
	} u;
	size_t body = len - sizeof(struct wire_head);

	memset(&u, 0, sizeof(u));
	memcpy(&u, wire_body(bytes), body < sizeof(u) ? body : sizeof(u));
	if (s->peer.greeted != (type != WIRE_HELLO) && type != WIRE_ERROR) {
		secondary_break(s, EPROTO, s->peer.greeted ?
				"a second %s" : "%s before HELLO",
				wire_type_str((unsigned int)type));
		return;
	}
	switch (type) {
	case WIRE_HELLO:
		hear_hello(s, &u.hello);
		break;
	case WIRE_ERROR:
		hear_error(s, &u.error);
		break;
	case WIRE_HEARTBEAT:
		hear_heartbeat(s, &u.beat);
		break;
	case WIRE_RESUME:
		hear_resume(s, &u.resume);
		break;
	case WIRE_ALONE:
		hear_alone(s, &u.alone);
		break;
	case WIRE_END:
		hear_end(s, &u.end);
		break;
	default:
		if (receive_wants(type))
			hear_data(s, type, bytes, len);
		else
			secondary_break(s, EPROTO, "%s is not for a secondary",
					wire_type_str((unsigned int)type));
	}
}
