// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * primary_peer.c - what the standby says, and what follows from it
 *
 * A standby that holds our session and says that it is not eligible has no
 * claim: it gets one only from a checkpoint that we have yet to send.  One
 * that holds another session, or nothing, tells us nothing about its past;
 * a bound primary then waits for its operator (INV-8, INV-26).
 */
#include "replicator/primary_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void primary_break(struct primary *p, const char *fmt, ...)
{
	char text[WIRE_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_say(p->report, REPORT_WARN, "peer-broke-rules", "%s", text);
	peer_error(&p->peer, primary_now(p), EPROTO, text);
}

static void my_hello(const struct primary *p, struct wire_hello *h)
{
	*h = (struct wire_hello){
		.magic = WIRE_HELLO_MAGIC,
		.version = WIRE_VERSION,
		.compatible = WIRE_COMPATIBLE,
		.role = WIRE_PRIMARY,
		.page_size = WIRE_PAGE,
		.features = WIRE_FEATURES,
		.generation = p->facts.generation,
		.committed = p->facts.committed,
		.clock = primary_now(p),
		.domid = p->info.domid,
	};
	memcpy(h->guest, p->info.uuid, sizeof(h->guest));
	memcpy(h->host, p->info.host_uuid, sizeof(h->host));
	memcpy(h->boot, p->info.boot_id, sizeof(h->boot));
	memcpy(h->session, p->facts.session, sizeof(h->session));
	if (p->facts.committed)
		memcpy(h->digest, p->facts.digest, sizeof(h->digest));
	snprintf(h->name, sizeof(h->name), "%s", p->info.name);
}

void primary_greet(struct primary *p)
{
	struct wire_hello h;

	my_hello(p, &h);
	if (peer_send(&p->peer, WIRE_HELLO, &h, sizeof(h)))
		p->peer.link->ops->shut(p->peer.link, errno,
					"HELLO could not be sent");
}

/* --- HELLO: how do we go on? ------------------------------------------------ */

static bool holds_nothing(const struct wire_hello *h)
{
	static const uint8_t none[sizeof(h->session)];

	return !memcmp(h->session, none, sizeof(none));
}

static void resume_from(struct primary *p, const struct wire_hello *h)
{
	struct wire_resume r = {
		.generation = p->facts.generation,
		.epoch = h->committed,
	};

	memcpy(r.session, p->facts.session, sizeof(r.session));
	memcpy(r.digest, h->digest, sizeof(r.digest));
	if (peer_send(&p->peer, WIRE_RESUME, &r, sizeof(r)))
		p->peer.link->ops->shut(p->peer.link, errno,
					"RESUME could not be sent");
	else
		p->resuming = true;
}

/* Is what the standby has our last commit, or the one we wait for? */
static bool in_step(const struct primary *p, const struct wire_hello *h)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(p->outbox);

	if (p->facts.committed && h->committed == p->facts.committed)
		return !memcmp(h->digest, p->facts.digest, WIRE_DIGEST);
	return p->epoch.flight == EPOCH_WHOLE && c->sent &&
	       h->committed == c->epoch &&
	       !memcmp(h->digest, c->digest, WIRE_DIGEST);
}

static void meet_bound(struct primary *p, const struct wire_hello *h,
		       bool ours)
{
	if (!ours)
		primary_trouble(p, "standby-lost",
				"the standby's host holds %s; only an operator can say that it did not run the guest",
				holds_nothing(h) ? "nothing of this session" :
						   "another session");
	else if (p->stage == STAGE_BOUND && !in_step(p, h))
		primary_trouble(p, "standby-differs",
				"the standby has epoch %" PRIu64 ", which is neither our last commit %" PRIu64 " nor the one in flight",
				h->committed, p->facts.committed);
	else if (p->stage == STAGE_BOUND)
		resume_from(p, h);
	else
		p->ready = true;	/* ALONE, END: to be asked */
}

static void meet_alone(struct primary *p, const struct wire_hello *h,
		       bool ours)
{
	p->standby_has_shell = ours && h->domid;
	if (!ours && h->eligible) {
		report_say(p->report, REPORT_ERROR, "standby-taken",
			   "the standby's host holds a standby of this guest from another session, which could take over: end that one first");
		peer_error(&p->peer, primary_now(p), EBUSY,
			   "a standby of another session is eligible there");
		primary_leave(p, PRIMARY_REFUSED);
		return;
	}
	if (p->stage == STAGE_END && !ours) {
		primary_granted(p);
		return;
	}
	if (p->stage == STAGE_COPY && !p->standby_has_shell)
		p->stage = STAGE_SHELL;
	p->ready = true;
}

static void hear_hello(struct primary *p, const struct wire_hello *h)
{
	char why[WIRE_WHY_MAX];
	struct wire_hello mine;
	bool ours;

	my_hello(p, &mine);
	if (wire_hello_check(&mine, h, why)) {
		primary_break(p, "HELLO: %s", why);
		if (!p->enabled)
			primary_leave(p, PRIMARY_REFUSED);
		return;
	}
	ours = !memcmp(h->session, p->facts.session, sizeof(h->session));
	p->peer.greeted = true;
	p->peer.features = mine.features & h->features;
	primary_fine(p, "link-down");
	/* INV-28 */
	if (ours && h->generation > p->facts.generation) {
		primary_yield(p, "the standby took over while we were apart");
		return;
	}
	if (ours && !h->eligible && p->epoch.bound && p->stage != STAGE_END)
		primary_granted(p);
	/* A guest that is no more asks for nothing.  Else "nothing" does not
	 * tell that END was heard: an operator may have made the standby take
	 * over, and a receiver begun anew since. */
	if (p->stage == STAGE_END && p->gone && holds_nothing(h))
		primary_granted(p);
	if (p->epoch.bound)
		meet_bound(p, h, ours);
	else
		meet_alone(p, h, ours);
}

/* --- everything after it --------------------------------------------------- */

static void hear_shell_result(struct primary *p,
			      const struct wire_shell_result *r)
{
	if (p->stage != STAGE_SHELL || !p->shell_out) {
		primary_break(p, "SHELL_RESULT: no SHELL was sent");
		return;
	}
	if (r->error) {
		report_say(p->report, REPORT_ERROR, "shell-refused",
			   "the standby cannot be built: %s", r->text);
		primary_leave(p, PRIMARY_REFUSED);
		return;
	}
	primary_built(p, r->staging / WIRE_PAGE);
}

static void hear_ack(struct primary *p, const struct wire_ack *a)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(p->outbox);

	if (!p->ready && !p->resuming) {
		primary_break(p, "ACK: no RESUME was sent");
		return;
	}
	if (a->generation != p->facts.generation) {
		primary_break(p, "ACK: generation %" PRIu64 " is not %" PRIu64,
			      a->generation, p->facts.generation);
		return;
	}
	if (!p->ready) {
		p->ready = true;
		p->stats.resumes++;
		primary_fine(p, "standby-lost");
		primary_fine(p, "standby-differs");
		report_say(p->report, REPORT_INFO, "resumed",
			   "the standby goes on after epoch %" PRIu64,
			   a->committed);
	}
	if (p->stage != STAGE_BOUND || a->committed == p->facts.committed)
		return;
	if (p->epoch.flight != EPOCH_WHOLE || !c->sent ||
	    a->committed != c->epoch ||
	    memcmp(a->digest, c->digest, WIRE_DIGEST)) {
		primary_break(p, "ACK: epoch %" PRIu64 " with that digest was not sent",
			      a->committed);
		return;
	}
	primary_committed(p);
}

/* The standby stands at the checkpoint before, and waits. */
static void hear_again(struct primary *p, const struct wire_again *a)
{
	const struct outbox_checkpoint *c = outbox_checkpoint(p->outbox);

	if (p->stage != STAGE_BOUND)
		return;
	if (!p->ready || a->generation != p->facts.generation ||
	    p->epoch.flight != EPOCH_WHOLE || a->epoch != c->epoch ||
	    sender_again(p->sender, a->gfn)) {
		primary_break(p, "AGAIN: checkpoint %" PRIu64 " was not sent, or none of its pages refers to another",
			      a->epoch);
		return;
	}
	report_say(p->report, REPORT_INFO, "again",
		   "frame %#" PRIx64 " of the standby is not what was sent: checkpoint %" PRIu64 " goes again",
		   a->gfn, a->epoch);
	p->sending = false;
}

static void hear_alone_ack(struct primary *p, const struct wire_alone *a)
{
	if (p->stage != STAGE_ALONE || !p->asked || a->nonce != p->nonce)
		primary_break(p, "ALONE_ACK: not asked for");
	else
		primary_granted(p);
}

static void hear_end_ack(struct primary *p, const struct wire_end_ack *a)
{
	if (p->stage != STAGE_END || !p->asked ||
	    a->reason != p->facts.ending)
		primary_break(p, "END_ACK: no END for that reason was sent");
	else
		primary_granted(p);
}

static void hear_error(struct primary *p, const struct wire_error *e)
{
	report_say(p->report, REPORT_WARN, "peer-error",
		   "the standby's host says: %s", e->text);
	if (e->error == ESTALE && p->epoch.bound) {
		primary_yield(p, e->text);
	} else if (e->error == EXDEV && p->epoch.bound &&
		   p->facts.committed) {
		/* A checkpoint that its standby is not made for: no other
		 * will be.  INV-36 */
		primary_give_up(p, e->text);
	} else if (!p->facts.committed && (p->stage < STAGE_BOUND ||
		   (p->stage == STAGE_BOUND && p->sending))) {
		/* Instead of the first ACK, on the connection on which that
		 * checkpoint was sent: nothing is committed, nor will be. */
		primary_granted(p);
		primary_leave(p, PRIMARY_REFUSED);
	}
	p->peer.leaving = true;
	p->peer.linger_at = primary_now(p);
}

void primary_hear(struct primary *p, int type, const void *bytes, size_t len)
{
	union {
		struct wire_hello hello;
		struct wire_error error;
		struct wire_heartbeat beat;
		struct wire_shell_result shell;
		struct wire_ack ack;
		struct wire_again again;
		struct wire_alone alone;
		struct wire_end_ack end;
	} u;
	size_t body = len - sizeof(struct wire_head);

	memset(&u, 0, sizeof(u));
	memcpy(&u, wire_body(bytes), body < sizeof(u) ? body : sizeof(u));
	if (!p->peer.greeted && type != WIRE_HELLO && type != WIRE_ERROR) {
		primary_break(p, "%s before HELLO", wire_type_str(type));
		return;
	}
	switch (type) {
	case WIRE_HELLO:
		if (p->peer.greeted)
			primary_break(p, "a second HELLO");
		else
			hear_hello(p, &u.hello);
		break;
	case WIRE_ERROR:
		hear_error(p, &u.error);
		break;
	case WIRE_HEARTBEAT:
		p->peer.echo = u.beat.clock;
		break;
	case WIRE_SHELL_RESULT:
		hear_shell_result(p, &u.shell);
		break;
	case WIRE_COPY_ACK:
		break;
	case WIRE_ACK:
		hear_ack(p, &u.ack);
		break;
	case WIRE_AGAIN:
		hear_again(p, &u.again);
		break;
	case WIRE_ALONE_ACK:
		hear_alone_ack(p, &u.alone);
		break;
	case WIRE_END_ACK:
		hear_end_ack(p, &u.end);
		break;
	default:
		primary_break(p, "%s is not for a primary",
			      wire_type_str(type));
	}
}
