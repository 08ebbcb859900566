// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * receive.c - messages -> shell records, copied pages, a staged checkpoint
 *
 * What may come when:
 *	IDLE	SHELL -> SHELL		COPY_BEGIN -> COPYING
 *		CKPT_BEGIN -> ARRIVING
 *	SHELL	SHELL -> SHELL, or IDLE after the last part
 *	COPYING	COPY			COPY_END -> IDLE
 *	ARRIVING PAGES, STATE		CKPT_END -> STAGED
 *	STAGED	nothing, until receive_commit() or receive_reset() -> IDLE
 * CKPT_END leads back to IDLE if a page of the checkpoint cannot be made.
 * Anything else breaks the rules, and what was arriving is dropped.
 */
#include "replicator/receive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/codec.h"
#include "replicator/digest.h"
#include "replicator/known.h"
#include "replicator/sticky.h"

enum stage { IDLE, SHELL, COPYING, ARRIVING, STAGED };

static const char *const stage_str[] = {
	[IDLE] = "idle", [SHELL] = "shell", [COPYING] = "copying",
	[ARRIVING] = "arriving", [STAGED] = "staged",
};

struct receive {
	struct platform *p;
	struct staging *st;
	struct digest *digest;
	enum stage stage;
	bool copied;		/* COPIED was reached on this connection */
	uint64_t memory;	/* epoch committed on this connection, which
				 * pages may refer to; 0 none */
	char why[WIRE_WHY_MAX + PLATFORM_WHY_MAX];

	uint8_t *shell;		/* SHELL: records so far */
	uint64_t shell_total, shell_got, shell_generation;

	struct receive_progress copy;

	struct wire_ckpt_begin begin;	/* ARRIVING, STAGED */
	struct staging_slot *slot;
	uint64_t seed;		/* of hashes */
	uint64_t pages;		/* received; SAME takes no place in the slot */
	bool differs;		/* .foreign refers to what is not there */
	uint64_t foreign;	/* gfn */
	uint8_t *state;		/* as sent, before the sticky ones join */
	uint64_t state_got;
	uint64_t began_ns, ended_ns;
	uint64_t receive_ns, verify_ns;
};

/* --- making and dropping ------------------------------------------------- */

struct receive *receive_new(struct platform *p, struct staging *st)
{
	struct receive *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->p = p;
	r->st = st;
	r->digest = digest_new();
	r->state = malloc(staging_state_room(st));
	if (!r->digest || !r->state) {
		receive_free(r);
		errno = ENOMEM;
		return NULL;
	}
	return r;
}

void receive_free(struct receive *r)
{
	if (!r)
		return;
	digest_free(r->digest);
	free(r->state);
	free(r->shell);
	free(r);
}

/* Back to IDLE; a slot that was filled stays uncommitted and is reused. */
static void drop(struct receive *r)
{
	free(r->shell);
	r->shell = NULL;
	r->slot = NULL;
	r->stage = IDLE;
}

void receive_reset(struct receive *r)
{
	drop(r);
	r->copied = false;
	r->memory = 0;
}

static int fail(struct receive *r, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct receive *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	receive_reset(r);
	errno = err;
	return -1;
}

static int check_generation(struct receive *r, const char *what,
			    uint64_t generation)
{
	uint64_t ours = staging_view(r->st)->generation;

	if (generation == ours)
		return 0;
	return fail(r, generation < ours ? ESTALE : EPROTO, "%s: generation %"
		    PRIu64 " is not this session's, %" PRIu64, what,
		    generation, ours);
}

/* --- shell ----------------------------------------------------------------- */

static int take_shell(struct receive *r, const uint8_t *body, size_t len)
{
	enum staging_phase phase = staging_view(r->st)->phase;
	size_t part = len - sizeof(struct wire_shell);
	struct wire_shell s;

	memcpy(&s, body, sizeof(s));
	if (phase >= STAGING_PAIRED)
		return fail(r, EBUSY, "SHELL: the standby of another session "
			    "is %s here", staging_phase_str(phase));
	if (r->stage == IDLE) {
		free(r->shell);
		r->shell = malloc(s.total);
		if (!r->shell)
			return fail(r, ENOMEM, "SHELL: no memory for %" PRIu64
				    " bytes", s.total);
		r->shell_total = s.total;
		r->shell_got = 0;
		r->shell_generation = s.generation;
		r->stage = SHELL;
	}
	if (s.total != r->shell_total || s.offset != r->shell_got ||
	    s.generation != r->shell_generation)
		return fail(r, EPROTO, "SHELL: part at %" PRIu64 " of %" PRIu64
			    " does not continue %" PRIu64 " of %" PRIu64,
			    s.offset, s.total, r->shell_got, r->shell_total);
	memcpy(r->shell + r->shell_got, body + sizeof(s), part);
	r->shell_got += part;
	if (r->shell_got < r->shell_total)
		return RECEIVE_MORE;
	r->stage = IDLE;
	return RECEIVE_SHELL;
}

const void *receive_shell(const struct receive *r, size_t *len,
			  uint64_t *generation)
{
	*len = r->shell ? r->shell_got : 0;
	*generation = r->shell_generation;
	return r->shell;
}

/* --- copy: in place, the standby is not eligible (INV-19) ------------------- */

static int take_copy_begin(struct receive *r, const uint8_t *body, size_t len)
{
	enum staging_phase phase = staging_view(r->st)->phase;
	struct wire_copy_begin b;

	(void)len;
	memcpy(&b, body, sizeof(b));
	if (check_generation(r, "COPY_BEGIN", b.generation))
		return -1;
	if (phase != STAGING_SHELL && phase != STAGING_COPYING &&
	    phase != STAGING_COPIED)
		return fail(r, EPROTO, "COPY_BEGIN: the standby is %s",
			    staging_phase_str(phase));
	if (!b.copy)
		return fail(r, EPROTO, "COPY_BEGIN: copy 0");
	staging_copy_begin(r->st);
	r->copied = false;
	r->memory = 0;
	r->copy = (struct receive_progress){
		.copy = b.copy,
		.total = b.pages,
	};
	r->stage = COPYING;
	return RECEIVE_COPYING;
}

/* Memory of @gfn, or NULL: it is not one of the guest's frames. */
static void *memory(struct receive *r, uint64_t gfn)
{
	return gfn < PLATFORM_GFN_MAX ? r->p->ops->page_rw(r->p, gfn) : NULL;
}

static int take_copy(struct receive *r, const uint8_t *body, size_t len)
{
	size_t pos = sizeof(struct wire_batch);
	struct wire_batch batch;
	struct wire_page page;
	const void *data;
	void *to;

	memcpy(&batch, body, sizeof(batch));
	if (batch.of != r->copy.copy || batch.round < r->copy.round ||
	    !batch.round)
		return fail(r, EPROTO, "COPY: copy %" PRIu64 " round %u after "
			    "copy %" PRIu64 " round %u", batch.of, batch.round,
			    r->copy.copy, r->copy.round);
	r->copy.round = batch.round;
	while (batch_next(body, len, &pos, &page, &data)) {
		to = memory(r, page.gfn);
		if (!to)
			return fail(r, EPROTO, "COPY: gfn %#" PRIx64 " is not "
				    "one of the guest's frames", page.gfn);
		if (codec_decode(&page, data, NULL, 0, to))
			return fail(r, EPROTO, "COPY: gfn %#" PRIx64
				    ": encoding %u of %u bytes is malformed",
				    page.gfn, page.encoding, page.length);
		r->copy.pages++;
	}
	return RECEIVE_MORE;
}

static int take_copy_end(struct receive *r, const uint8_t *body, size_t len)
{
	uint8_t digest[WIRE_DIGEST];
	struct wire_copy_end e;

	(void)len;
	memcpy(&e, body, sizeof(e));
	if (e.copy != r->copy.copy || e.pages != r->copy.pages)
		return fail(r, EPROTO, "COPY_END: copy %" PRIu64 " of %" PRIu64
			    " pages, received copy %" PRIu64 " of %" PRIu64,
			    e.copy, e.pages, r->copy.copy, r->copy.pages);
	if (digest_finish(r->digest, digest))
		return fail(r, errno, "COPY_END: digest failed");
	if (memcmp(digest, e.digest, WIRE_DIGEST))
		return fail(r, EPROTO, "COPY_END: digest of copy %" PRIu64
			    " is wrong", e.copy);
	staging_copy_end(r->st, digest);
	r->copied = true;
	r->stage = IDLE;
	return RECEIVE_COPIED;
}

/* --- checkpoint: staged, touches no memory of the standby ------------------- */

static int take_ckpt_begin(struct receive *r, const uint8_t *body, size_t len)
{
	const struct staging_view *v = staging_view(r->st);
	struct wire_ckpt_begin *b = &r->begin;
	bool first = r->copied;

	(void)len;
	memcpy(b, body, sizeof(*b));
	if (check_generation(r, "CKPT_BEGIN", b->generation))
		return -1;
	if (v->phase != (first ? STAGING_COPIED : STAGING_PAIRED))
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": the standby "
			    "is %s", b->epoch, staging_phase_str(v->phase));
	if ((b->cause == WIRE_CAUSE_FIRST) != first)
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": cause %s is "
			    "for the first after a copy only", b->epoch,
			    wire_cause_str(b->cause));
	if (b->previous != v->committed ||
	    memcmp(b->digest, v->digest, WIRE_DIGEST))
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": it follows "
			    "%" PRIu64 ", committed is %" PRIu64 "%s",
			    b->epoch, b->previous, v->committed,
			    b->previous == v->committed ?
			    " with another digest" : "");
	if (b->pages > staging_capacity(r->st) / WIRE_PAGE)
		return fail(r, EMSGSIZE, "checkpoint %" PRIu64 ": %" PRIu64
			    " pages exceed staging for %" PRIu64, b->epoch,
			    b->pages, staging_capacity(r->st) / WIRE_PAGE);
	if (b->codec_state && b->codec_state != r->memory)
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": codec state %"
			    PRIu64 ", this end's is %" PRIu64, b->epoch,
			    b->codec_state, r->memory);
	/* What pages refer to is looked up in the standby's memory. */
	if (b->codec_state && staging_pending(r->st))
		return fail(r, ENOBUFS, "checkpoint %" PRIu64 ": the one "
			    "before is not applied, and pages refer to it",
			    b->epoch);
	r->slot = staging_slot_begin(r->st);
	if (!r->slot)
		return fail(r, ENOBUFS, "checkpoint %" PRIu64 ": the one "
			    "before %" PRIu64 " is not applied yet", b->epoch,
			    v->committed);
	r->began_ns = r->p->ops->now_ns(r->p);
	staging_clock_set(r->st, b->guest_time, r->began_ns);
	r->pages = 0;
	r->differs = false;
	r->state_got = 0;
	r->seed = known_seed(v->session);
	r->stage = ARRIVING;
	return RECEIVE_MORE;
}

/* The rest is received all the same, so that both ends stay in step. */
static int note_foreign(struct receive *r, uint64_t gfn)
{
	if (!r->differs)
		r->foreign = gfn;
	r->differs = true;
	return 0;
}

/* The gfn's entry comes after its bytes: a count never runs ahead. */
static int stage_page(struct receive *r, const struct wire_page *page,
		      const void *data)
{
	const void *before = memory(r, page->gfn);
	struct staging_slot *slot = r->slot;
	uint64_t entry = page->gfn;
	void *to = staging_pages(r->st, slot) + slot->stored * WIRE_PAGE;

	if (!before)
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": gfn %#" PRIx64
			    " is not one of the guest's frames",
			    r->begin.epoch, page->gfn);
	if (!r->begin.codec_state)
		before = NULL;
	r->pages++;
	if (page->encoding == WIRE_ZERO) {
		entry |= STAGING_ZERO;
	} else if (codec_decode(page, data, before, r->seed, to)) {
		if (errno == ESTALE)
			return note_foreign(r, page->gfn);
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": gfn %#" PRIx64
			    ": encoding %u of %u bytes is malformed, or refers "
			    "to nothing", r->begin.epoch, page->gfn,
			    page->encoding, page->length);
	} else if (page->encoding == WIRE_SAME) {
		return 0;
	} else {
		slot->stored++;
	}
	staging_gfns(r->st, slot)[slot->pages++] = entry;
	return 0;
}

static int take_pages(struct receive *r, const uint8_t *body, size_t len)
{
	size_t pos = sizeof(struct wire_batch);
	struct wire_batch batch;
	struct wire_page page;
	const void *data;

	memcpy(&batch, body, sizeof(batch));
	if (batch.of != r->begin.epoch || batch.round)
		return fail(r, EPROTO, "PAGES: of checkpoint %" PRIu64
			    " round %u within %" PRIu64, batch.of, batch.round,
			    r->begin.epoch);
	if (batch.count > r->begin.pages - r->pages)
		return fail(r, EPROTO, "checkpoint %" PRIu64 ": more pages "
			    "than the %" PRIu64 " announced", r->begin.epoch,
			    r->begin.pages);
	while (batch_next(body, len, &pos, &page, &data))
		if (stage_page(r, &page, data))
			return -1;
	return RECEIVE_MORE;
}

static int take_state(struct receive *r, const uint8_t *body, size_t len)
{
	size_t part = len - sizeof(struct wire_state);
	struct wire_state s;

	memcpy(&s, body, sizeof(s));
	if (s.epoch != r->begin.epoch || s.offset != r->state_got)
		return fail(r, EPROTO, "STATE: of checkpoint %" PRIu64 " at %"
			    PRIu64 ", expected %" PRIu64 " at %" PRIu64,
			    s.epoch, s.offset, r->begin.epoch, r->state_got);
	if (part > staging_state_room(r->st) - r->state_got)
		return fail(r, EMSGSIZE, "checkpoint %" PRIu64 ": state "
			    "exceeds %" PRIu64 " bytes", s.epoch,
			    staging_state_room(r->st));
	memcpy(r->state + r->state_got, body + sizeof(s), part);
	r->state_got += part;
	return RECEIVE_MORE;
}

/* The whole state of the checkpoint, and whether the platform takes it. */
static int stage_state(struct receive *r)
{
	uint8_t *out = staging_state(r->st, r->slot);
	const void *old = NULL;
	size_t old_len = 0, used;

	if (!r->copied)
		old = staging_records(r->st, &old_len);
	if (sticky_merge(old, old_len, r->state, r->state_got, out,
			 staging_state_room(r->st), &used))
		return fail(r, errno, "checkpoint %" PRIu64 ": its %" PRIu64
			    " bytes of records are malformed or too many",
			    r->begin.epoch, r->state_got);
	r->slot->state = used;
	if (r->p->ops->verify(r->p, out, used))
		return fail(r, errno == EXDEV ? EXDEV : EINVAL,
			    "checkpoint %" PRIu64 ": %s", r->begin.epoch,
			    platform_why(r->p));
	return 0;
}

static int take_ckpt_end(struct receive *r, const uint8_t *body, size_t len)
{
	struct staging_slot *slot = r->slot;
	struct wire_ckpt_end e;

	(void)len;
	memcpy(&e, body, sizeof(e));
	r->ended_ns = r->p->ops->now_ns(r->p);
	r->receive_ns = r->ended_ns - r->began_ns;
	if (e.epoch != r->begin.epoch || e.pages != r->pages ||
	    e.pages != r->begin.pages || e.state != r->state_got ||
	    e.messages != digest_messages(r->digest))
		return fail(r, EPROTO, "CKPT_END: checkpoint %" PRIu64 " of %"
			    PRIu64 " pages, %" PRIu64 " bytes, %" PRIu64
			    " messages; received %" PRIu64 " of %" PRIu64
			    ", %" PRIu64 ", %" PRIu64, e.epoch, e.pages,
			    e.state, e.messages, r->begin.epoch, r->pages,
			    r->state_got, digest_messages(r->digest));
	if (digest_finish(r->digest, slot->digest))
		return fail(r, errno, "CKPT_END: digest failed");
	if (memcmp(slot->digest, e.digest, WIRE_DIGEST))
		return fail(r, EPROTO, "CKPT_END: digest of checkpoint %"
			    PRIu64 " is wrong", e.epoch);
	if (r->differs) {
		receive_reset(r);
		return RECEIVE_AGAIN;
	}
	if (stage_state(r))
		return -1;
	slot->guest_time = r->begin.guest_time;
	r->stage = STAGED;
	return RECEIVE_STAGED;
}

const void *receive_staged(const struct receive *r, size_t *len,
			   uint64_t *epoch)
{
	if (r->stage != STAGED) {
		*len = 0;
		return NULL;
	}
	*len = r->slot->state;
	*epoch = r->begin.epoch;
	return staging_state(r->st, r->slot);
}

void receive_commit(struct receive *r)
{
	staging_commit(r->st, r->slot, r->begin.epoch);
	r->verify_ns = r->p->ops->now_ns(r->p) - r->ended_ns;
	receive_reset(r);
	r->memory = r->begin.epoch;
}

void receive_again(const struct receive *r, struct wire_again *out)
{
	*out = (struct wire_again){
		.generation = r->begin.generation,
		.epoch = r->begin.epoch,
		.gfn = r->foreign,
	};
}

void receive_ack(const struct receive *r, uint64_t apply_ns,
		 struct wire_ack *out)
{
	const struct staging_view *v = staging_view(r->st);

	*out = (struct wire_ack){
		.generation = v->generation,
		.committed = v->committed,
		.applied = staging_applied(r->st),
		.staging_free = staging_free(r->st),
		.receive_ns = r->receive_ns,
		.verify_ns = r->verify_ns,
		.apply_ns = apply_ns,
		.clock = r->p->ops->now_ns(r->p),
	};
	memcpy(out->digest, v->digest, WIRE_DIGEST);
}

/* --- dispatch --------------------------------------------------------------- */

/* How a message enters the digest of what is arriving. */
enum chain { NO, COPY_STARTS, CKPT_STARTS, ADDS };

static const struct take {
	unsigned int stages;	/* in which it may come: bits */
	enum chain chain;
	int (*take)(struct receive *r, const uint8_t *body, size_t len);
} takes[] = {
	[WIRE_SHELL] = { 1 << IDLE | 1 << SHELL, NO, take_shell },
	[WIRE_COPY_BEGIN] = { 1 << IDLE, COPY_STARTS, take_copy_begin },
	[WIRE_COPY] = { 1 << COPYING, ADDS, take_copy },
	[WIRE_COPY_END] = { 1 << COPYING, NO, take_copy_end },
	[WIRE_CKPT_BEGIN] = { 1 << IDLE, CKPT_STARTS, take_ckpt_begin },
	[WIRE_PAGES] = { 1 << ARRIVING, ADDS, take_pages },
	[WIRE_STATE] = { 1 << ARRIVING, ADDS, take_state },
	[WIRE_CKPT_END] = { 1 << ARRIVING, NO, take_ckpt_end },
};

bool receive_wants(int type)
{
	return type > 0 && type < (int)(sizeof(takes) / sizeof(takes[0])) &&
	       takes[type].take;
}

int receive_message(struct receive *r, const void *bytes, size_t len)
{
	const uint8_t *body = wire_body(bytes);
	const struct take *take;
	struct wire_head head;
	int event;

	memcpy(&head, bytes, sizeof(head));
	if (!receive_wants(head.type))
		return fail(r, EPROTO, "message %s: not for a receiver",
			    wire_type_str(head.type));
	take = &takes[head.type];
	if (!(take->stages & 1u << r->stage))
		return fail(r, EPROTO, "message %s: out of place, the "
			    "receiver is %s", wire_type_str(head.type),
			    stage_str[r->stage]);
	event = take->take(r, body, len - sizeof(head));
	if (event < 0)
		return -1;
	if (take->chain == COPY_STARTS)
		digest_start(r->digest, NULL);
	if (take->chain == CKPT_STARTS)
		digest_start(r->digest, r->begin.digest);
	if (take->chain != NO)
		digest_add(r->digest, bytes);
	return event;
}

const char *receive_why(const struct receive *r)
{
	return r->why;
}

void receive_progress(const struct receive *r, struct receive_progress *out)
{
	*out = r->copy;
}
