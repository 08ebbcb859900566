// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * wire.c - layout of every message: pack and check; pure
 *
 * One table holds what each type may look like; wire_check() applies it and
 * the type's own rule (INV-31).  Nothing here knows the session.
 */
#include "replicator/wire.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "the structures are the bytes on the wire");
static_assert(sizeof(struct wire_head) == 32, "wire layout is frozen");
static_assert(sizeof(struct wire_hello) == 232, "wire layout is frozen");
static_assert(sizeof(struct wire_error) == 1032, "wire layout is frozen");
static_assert(sizeof(struct wire_heartbeat) == 64, "wire layout is frozen");
static_assert(sizeof(struct wire_shell) == 24, "wire layout is frozen");
static_assert(sizeof(struct wire_shell_result) == 1040,
	      "wire layout is frozen");
static_assert(sizeof(struct wire_resume) == 64, "wire layout is frozen");
static_assert(sizeof(struct wire_copy_begin) == 24, "wire layout is frozen");
static_assert(sizeof(struct wire_copy_end) == 48, "wire layout is frozen");
static_assert(sizeof(struct wire_copy_ack) == 16, "wire layout is frozen");
static_assert(sizeof(struct wire_batch) == 16, "wire layout is frozen");
static_assert(sizeof(struct wire_page) == 16, "wire layout is frozen");
static_assert(sizeof(struct wire_ckpt_begin) == 104, "wire layout is frozen");
static_assert(sizeof(struct wire_state) == 16, "wire layout is frozen");
static_assert(sizeof(struct wire_ckpt_end) == 64, "wire layout is frozen");
static_assert(sizeof(struct wire_ack) == 96, "wire layout is frozen");
static_assert(sizeof(struct wire_again) == 24, "wire layout is frozen");
static_assert(sizeof(struct wire_end) == 24, "wire layout is frozen");
static_assert(sizeof(struct wire_end_ack) == 16, "wire layout is frozen");
static_assert(sizeof(struct wire_alone) == 16, "wire layout is frozen");

enum {
	BATCH_BODY_MAX = sizeof(struct wire_batch) +
		WIRE_BATCH_MAX * (sizeof(struct wire_page) + WIRE_PAGE),
};

static_assert((int)BATCH_BODY_MAX <= (int)WIRE_BODY_MAX, "a full batch fits");
static_assert(sizeof(struct wire_shell) + WIRE_CHUNK_MAX <= WIRE_BODY_MAX,
	      "a full part fits");

static int bad(char *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int bad(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WIRE_WHY_MAX, fmt, ap);
	va_end(ap);
	errno = EPROTO;
	return -1;
}

/* --- rules of single types: the form of the body has been checked ------- */

static bool all_zero(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* Terminated, and zero from there to the end. */
static bool is_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	return len < size && all_zero(text + len, size - len);
}

static int check_hello(const uint8_t *body, size_t len, char *why)
{
	struct wire_hello h;

	(void)len;
	memcpy(&h, body, sizeof(h));
	if (h.magic != WIRE_HELLO_MAGIC)
		return bad(why, "HELLO: magic %#" PRIx64 " is not Kemari's",
			   h.magic);
	if (h.role != WIRE_PRIMARY && h.role != WIRE_SECONDARY)
		return bad(why, "HELLO: role %u is neither 1 (primary) nor 2 "
			   "(secondary)", h.role);
	if (h.compatible > h.version)
		return bad(why, "HELLO: compatible %u exceeds version %u",
			   h.compatible, h.version);
	if (h.eligible > 1)
		return bad(why, "HELLO: eligible %u is neither 0 nor 1",
			   h.eligible);
	if (!is_text(h.name, sizeof(h.name)))
		return bad(why, "HELLO: name is not terminated");
	return 0;
}

static int check_error(const uint8_t *body, size_t len, char *why)
{
	struct wire_error e;

	(void)len;
	memcpy(&e, body, sizeof(e));
	if (e.zero || !is_text(e.text, sizeof(e.text)))
		return bad(why, "ERROR: reserved field or text malformed");
	return 0;
}

static int check_shell(const uint8_t *body, size_t len, char *why)
{
	uint64_t part = len - sizeof(struct wire_shell);
	struct wire_shell s;

	memcpy(&s, body, sizeof(s));
	if (!s.total || s.total > WIRE_SHELL_MAX)
		return bad(why, "SHELL: total %" PRIu64 " is not 1 to %u",
			   s.total, (unsigned int)WIRE_SHELL_MAX);
	if (s.offset > s.total || part > s.total - s.offset)
		return bad(why, "SHELL: offset %" PRIu64 " and part %" PRIu64
			   " exceed total %" PRIu64, s.offset, part, s.total);
	return 0;
}

static int check_shell_result(const uint8_t *body, size_t len, char *why)
{
	struct wire_shell_result r;

	(void)len;
	memcpy(&r, body, sizeof(r));
	if (r.zero || !is_text(r.text, sizeof(r.text)))
		return bad(why, "SHELL_RESULT: reserved field or text "
			   "malformed");
	return 0;
}

static bool length_fits(const struct wire_page *p)
{
	switch (p->encoding) {
	case WIRE_ZERO:
		return !p->length;
	case WIRE_RAW:
		return p->length == WIRE_PAGE;
	case WIRE_LZ4:
		return p->length && p->length < WIRE_PAGE;
	case WIRE_SAME:
		return p->length == WIRE_HASH;
	case WIRE_DELTA:
		return p->length > WIRE_HASH && p->length < WIRE_PAGE;
	default:
		return false;
	}
}

static int check_batch(const uint8_t *body, size_t len, char *why)
{
	struct wire_batch b;
	struct wire_page p;
	size_t at = sizeof(b), pad;
	uint32_t i;

	memcpy(&b, body, sizeof(b));
	if (!b.count || b.count > WIRE_BATCH_MAX)
		return bad(why, "batch: count %u is not 1 to %u", b.count,
			   (unsigned int)WIRE_BATCH_MAX);
	for (i = 0; i < b.count; i++) {
		if (len - at < sizeof(p))
			return bad(why, "batch: ends within page %u of %u", i,
				   b.count);
		memcpy(&p, body + at, sizeof(p));
		at += sizeof(p);
		if (p.zero || !length_fits(&p))
			return bad(why, "batch: gfn %#" PRIx64 ": length %u "
				   "does not go with encoding %u", p.gfn,
				   p.length, p.encoding);
		pad = -p.length & 7;
		if (len - at < p.length + pad)
			return bad(why, "batch: gfn %#" PRIx64 ": length %u "
				   "exceeds the message", p.gfn, p.length);
		at += p.length;
		if (!all_zero(body + at, pad))
			return bad(why, "batch: gfn %#" PRIx64 ": padding is "
				   "not zero", p.gfn);
		at += pad;
	}
	if (at != len)
		return bad(why, "batch: %zu bytes after the last page",
			   len - at);
	return 0;
}

static int check_ckpt_begin(const uint8_t *body, size_t len, char *why)
{
	struct wire_ckpt_begin b;

	(void)len;
	memcpy(&b, body, sizeof(b));
	if (b.epoch <= b.previous)
		return bad(why, "checkpoint: epoch %" PRIu64 " does not follow "
			   "%" PRIu64, b.epoch, b.previous);
	if (b.part || b.parts != 1)
		return bad(why, "checkpoint %" PRIu64 ": part %u of %u: only "
			   "0 of 1 is known", b.epoch, b.part, b.parts);
	if (b.codec_state && b.codec_state != b.previous)
		return bad(why, "checkpoint %" PRIu64 ": codec state %" PRIu64
			   " is neither 0 nor the epoch before, %" PRIu64,
			   b.epoch, b.codec_state, b.previous);
	if (b.cause < WIRE_CAUSE_FIRST || b.cause > WIRE_CAUSE_GATE ||
	    b.zero)
		return bad(why, "checkpoint %" PRIu64 ": cause %u is unknown",
			   b.epoch, b.cause);
	return 0;
}

static int check_reason(unsigned int reason, unsigned int zero, char *why)
{
	if (reason < WIRE_REASON_POWEROFF || reason > WIRE_REASON_UNPROTECT ||
	    zero)
		return bad(why, "END: reason %u is unknown", reason);
	return 0;
}

static int check_end(const uint8_t *body, size_t len, char *why)
{
	struct wire_end e;

	(void)len;
	memcpy(&e, body, sizeof(e));
	return check_reason(e.reason, e.zero, why);
}

static int check_end_ack(const uint8_t *body, size_t len, char *why)
{
	struct wire_end_ack e;

	(void)len;
	memcpy(&e, body, sizeof(e));
	return check_reason(e.reason, e.zero, why);
}

static int check_any(const uint8_t *body, size_t len, char *why)
{
	(void)body;
	(void)len;
	(void)why;
	return 0;
}

/* --- the table ----------------------------------------------------------- */

struct rule {
	const char *name;
	size_t min, max;	/* bytes of body */
	int (*check)(const uint8_t *body, size_t len, char *why);
};

#define FIXED(s) sizeof(struct s), sizeof(struct s)

static const struct rule rules[] = {
	[WIRE_HELLO] = { "HELLO", sizeof(struct wire_hello), WIRE_HELLO_MAX,
			 check_hello },
	[WIRE_ERROR] = { "ERROR", FIXED(wire_error), check_error },
	[WIRE_HEARTBEAT] = { "HEARTBEAT", FIXED(wire_heartbeat), check_any },
	[WIRE_SHELL] = { "SHELL", sizeof(struct wire_shell) + 1,
			 sizeof(struct wire_shell) + WIRE_CHUNK_MAX,
			 check_shell },
	[WIRE_SHELL_RESULT] = { "SHELL_RESULT", FIXED(wire_shell_result),
				check_shell_result },
	[WIRE_RESUME] = { "RESUME", FIXED(wire_resume), check_any },
	[WIRE_COPY_BEGIN] = { "COPY_BEGIN", FIXED(wire_copy_begin),
			      check_any },
	[WIRE_COPY] = { "COPY", sizeof(struct wire_batch), BATCH_BODY_MAX,
			check_batch },
	[WIRE_COPY_END] = { "COPY_END", FIXED(wire_copy_end), check_any },
	[WIRE_COPY_ACK] = { "COPY_ACK", FIXED(wire_copy_ack), check_any },
	[WIRE_CKPT_BEGIN] = { "CKPT_BEGIN", FIXED(wire_ckpt_begin),
			      check_ckpt_begin },
	[WIRE_PAGES] = { "PAGES", sizeof(struct wire_batch), BATCH_BODY_MAX,
			 check_batch },
	[WIRE_STATE] = { "STATE", sizeof(struct wire_state) + 1,
			 sizeof(struct wire_state) + WIRE_CHUNK_MAX,
			 check_any },
	[WIRE_CKPT_END] = { "CKPT_END", FIXED(wire_ckpt_end), check_any },
	[WIRE_ACK] = { "ACK", FIXED(wire_ack), check_any },
	[WIRE_AGAIN] = { "AGAIN", FIXED(wire_again), check_any },
	[WIRE_END] = { "END", FIXED(wire_end), check_end },
	[WIRE_END_ACK] = { "END_ACK", FIXED(wire_end_ack), check_end_ack },
	[WIRE_ALONE] = { "ALONE", FIXED(wire_alone), check_any },
	[WIRE_ALONE_ACK] = { "ALONE_ACK", FIXED(wire_alone), check_any },
};

static const struct rule *rule_of(unsigned int type)
{
	if (type >= sizeof(rules) / sizeof(rules[0]) || !rules[type].name)
		return NULL;
	return &rules[type];
}

const char *wire_type_str(unsigned int type)
{
	const struct rule *rule = rule_of(type);

	return rule ? rule->name : "?";
}

static const char *name_of(const char *const *names, size_t n, unsigned int i)
{
	return i < n && names[i] ? names[i] : "?";
}

const char *wire_reason_str(unsigned int reason)
{
	static const char *const names[] = {
		[WIRE_REASON_POWEROFF] = "poweroff",
		[WIRE_REASON_REBOOT] = "reboot",
		[WIRE_REASON_CRASH] = "crash",
		[WIRE_REASON_DESTROYED] = "destroyed",
		[WIRE_REASON_UNPROTECT] = "unprotect",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), reason);
}

const char *wire_cause_str(unsigned int cause)
{
	static const char *const names[] = {
		[WIRE_CAUSE_FIRST] = "first",
		[WIRE_CAUSE_TAP] = "output",
		[WIRE_CAUSE_TIMER] = "timer",
		[WIRE_CAUSE_DIRTY] = "dirty limit",
		[WIRE_CAUSE_SHUTDOWN] = "shutdown",
		[WIRE_CAUSE_OPERATOR] = "operator",
		[WIRE_CAUSE_GATE] = "requests",
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), cause);
}

/* --- check --------------------------------------------------------------- */

int wire_head_check(const void *bytes, size_t have, size_t *total, char *why)
{
	const struct rule *rule;
	struct wire_head head;

	*total = 0;
	if (have < sizeof(head))
		return 0;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != WIRE_MAGIC)
		return bad(why, "message: magic %#x is not %#x: the peer does "
			   "not speak Kemari", head.magic, WIRE_MAGIC);
	if (head.flags & ~WIRE_MANDATORY || head.group || head.stream)
		return bad(why, "message %s (%u): reserved field is not zero "
			   "(flags %#x, group %u, stream %u)",
			   wire_type_str(head.type), head.type, head.flags,
			   head.group, head.stream);
	if (head.length > WIRE_BODY_MAX)
		return bad(why, "message %s (%u): length %" PRIu64 " exceeds "
			   "%u", wire_type_str(head.type), head.type,
			   head.length, (unsigned int)WIRE_BODY_MAX);
	rule = rule_of(head.type);
	if (!rule && head.flags & WIRE_MANDATORY)
		return bad(why, "message type %u is unknown and mandatory",
			   head.type);
	if (rule && (head.length < rule->min || head.length > rule->max))
		return bad(why, "message %s: length %" PRIu64 " is not %zu to "
			   "%zu", rule->name, head.length, rule->min,
			   rule->max);
	*total = sizeof(head) + head.length;
	return 0;
}

static uint64_t sum_of(const struct wire_head *sealed, const struct iovec *body,
		       int n)
{
	struct wire_head head = *sealed;
	XXH64_state_t state;
	int i;

	head.sum = 0;
	XXH64_reset(&state, 0);
	XXH64_update(&state, &head, sizeof(head));
	for (i = 0; i < n; i++)
		XXH64_update(&state, body[i].iov_base, body[i].iov_len);
	return XXH64_digest(&state);
}

int wire_check(const void *bytes, size_t len, char *why)
{
	const struct rule *rule;
	struct wire_head head;
	struct iovec body;
	size_t total;

	if (wire_head_check(bytes, len, &total, why))
		return -1;
	if (!total || total != len)
		return bad(why, "message: %zu bytes are not the %zu it says",
			   len, total);
	memcpy(&head, bytes, sizeof(head));
	body.iov_base = (uint8_t *)bytes + sizeof(head);
	body.iov_len = head.length;
	if (sum_of(&head, &body, 1) != head.sum)
		return bad(why, "message %s (%u), %" PRIu64 " bytes: its sum "
			   "is wrong: damaged on the way",
			   wire_type_str(head.type), head.type, head.length);
	rule = rule_of(head.type);
	if (!rule)
		return 0;
	if (rule->check(body.iov_base, head.length, why))
		return -1;
	return head.type;
}

const void *wire_body(const void *bytes)
{
	return (const uint8_t *)bytes + sizeof(struct wire_head);
}

int wire_hello_check(const struct wire_hello *mine,
		     const struct wire_hello *theirs, char *why)
{
	if (theirs->version < mine->compatible)
		return bad(why, "the peer speaks version %u, this end %u and "
			   "down to %u", theirs->version, mine->version,
			   mine->compatible);
	if (mine->version < theirs->compatible)
		return bad(why, "the peer speaks version %u and down to %u, "
			   "this end %u", theirs->version, theirs->compatible,
			   mine->version);
	if (theirs->page_size != mine->page_size)
		return bad(why, "the peer's page size is %u, this end's %u",
			   theirs->page_size, mine->page_size);
	if (theirs->role == mine->role)
		return bad(why, "both ends are %s",
			   mine->role == WIRE_PRIMARY ? "primary" :
							"secondary");
	if (!all_zero(mine->guest, sizeof(mine->guest)) &&
	    !all_zero(theirs->guest, sizeof(theirs->guest)) &&
	    memcmp(mine->guest, theirs->guest, sizeof(mine->guest)))
		return bad(why, "the peer holds another guest, %s",
			   theirs->name[0] ? theirs->name : "without a name");
	return 0;
}

/* --- pack ---------------------------------------------------------------- */

void wire_seal(struct wire_head *head, enum wire_type type,
	       const struct iovec *body, int n)
{
	int i;

	*head = (struct wire_head){
		.magic = WIRE_MAGIC,
		.type = type,
		.flags = WIRE_MANDATORY,
	};
	for (i = 0; i < n; i++)
		head->length += body[i].iov_len;
	assert(head->length <= WIRE_BODY_MAX);
	head->sum = sum_of(head, body, n);
}

size_t wire_put(void *out, enum wire_type type, const void *body, size_t len)
{
	struct iovec iov = { (void *)body, len };
	struct wire_head head;

	wire_seal(&head, type, &iov, 1);
	memcpy(out, &head, sizeof(head));
	memcpy((uint8_t *)out + sizeof(head), body, len);
	return sizeof(head) + len;
}
