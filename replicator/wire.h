/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire.h - layout of every message between primary and secondary; pure
 *
 * The structures are the bytes on the wire (docs/PROTOCOL.md): little-endian,
 * naturally aligned, sizes pinned in wire.c, reserved fields zero.  A message
 * is one struct wire_head and .length bytes of body.
 */
#ifndef KEMARI_WIRE_H
#define KEMARI_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define WIRE_MAGIC	0x316d654bu		/* "Kem1", each message */
#define WIRE_HELLO_MAGIC 0x004952414d454bull	/* "KEMARI\0\0" */

enum {
	WIRE_VERSION = 1,
	WIRE_COMPATIBLE = 1,	/* lowest version this end still speaks */

	WIRE_DIGEST = 32,	/* bytes; digest.h */
	WIRE_HASH = 16,		/* bytes; XXH3 128 of a page, known.h */
	WIRE_NAME_MAX = 64,	/* guest's name, NUL included */
	WIRE_TEXT_MAX = 1024,	/* sentence, NUL included */
	WIRE_PAGE = 4096,
	WIRE_BATCH_MAX = 256,	/* pages in one PAGES or COPY */
	WIRE_CHUNK_MAX = 1 << 20,	/* record bytes in one SHELL or STATE */
	WIRE_SHELL_MAX = 16 << 20,	/* bytes of all SHELL parts */
	WIRE_HELLO_MAX = 4096,	/* a later version's HELLO may be longer */
	WIRE_BODY_MAX = 0x110000,	/* any message's body */
	WIRE_WHY_MAX = 256,	/* sentence of a check, NUL included */
};

/* .flags of wire_head */
enum {
	WIRE_MANDATORY = 1,	/* a receiver that does not know .type must
				 * end the session; without it, skip */
};

/* P: sent by the primary, S: by the secondary. */
enum wire_type {
	WIRE_HELLO = 1,		/* PS first message of a connection */
	WIRE_ERROR = 2,		/* PS last message: why it ends */
	WIRE_HEARTBEAT = 3,	/* PS */

	WIRE_SHELL = 8,		/* P  part of the shell's records */
	WIRE_SHELL_RESULT = 9,	/*  S shell built, or why not */
	WIRE_RESUME = 10,	/* P  go on after epoch; answer: ACK */

	WIRE_COPY_BEGIN = 16,	/* P  pages in place from here */
	WIRE_COPY = 17,		/* P  a batch of them */
	WIRE_COPY_END = 18,	/* P  counts and digest */
	WIRE_COPY_ACK = 19,	/*  S all of it is in the standby's memory */

	WIRE_CKPT_BEGIN = 32,	/* P */
	WIRE_PAGES = 33,	/* P  a batch of pages */
	WIRE_STATE = 34,	/* P  part of the state's records */
	WIRE_CKPT_END = 35,	/* P  counts and digest */
	WIRE_ACK = 36,		/*  S committed, applied */
	WIRE_AGAIN = 37,	/*  S a page referred to what is not here */

	WIRE_END = 48,		/* P  the session is over for good */
	WIRE_END_ACK = 49,	/*  S claim given up, shell destroyed */
	WIRE_ALONE = 50,	/* P  asks the right to go on alone */
	WIRE_ALONE_ACK = 51,	/*  S claim given up until a new copy */
};

/** struct wire_head - first in each message; the same in every version */
struct wire_head {
	uint32_t magic;		/* WIRE_MAGIC */
	uint16_t type;		/* enum wire_type */
	uint16_t flags;
	uint32_t group;		/* reserved: guests that commit together */
	uint32_t stream;	/* reserved: parallel connections */
	uint64_t length;	/* of the body */
	uint64_t sum;		/* XXH64, seed 0, of head (.sum 0) and body */
};

enum wire_role { WIRE_PRIMARY = 1, WIRE_SECONDARY = 2 };

/* Feature bits; used is what both ends offer. */
enum {
	WIRE_FEATURE_LZ4 = 1,
	WIRE_FEATURE_REFER = 2,	/* SAME, DELTA (with LZ4), AGAIN */
	WIRE_FEATURES = WIRE_FEATURE_LZ4 | WIRE_FEATURE_REFER,
};

struct wire_hello {
	uint64_t magic;		/* WIRE_HELLO_MAGIC */
	uint32_t version;
	uint32_t compatible;	/* lowest version the sender speaks */
	uint32_t role;		/* enum wire_role */
	uint32_t page_size;	/* WIRE_PAGE */
	uint64_t features;
	uint8_t guest[16];	/* its UUID */
	uint8_t host[16];	/* of the sender */
	uint8_t boot[16];	/* of the sender's host */
	uint8_t session[16];	/* P: random, S: the one held; 0 none */
	uint64_t generation;	/* S: of what is held */
	uint64_t staging;	/* decoded bytes of one checkpoint; P: 0 */
	uint64_t committed;	/* P: last acknowledged epoch, S: last
				 * committed; 0 none */
	uint8_t digest[WIRE_DIGEST];	/* of that checkpoint */
	uint64_t clock;		/* sender's monotonic clock, ns */
	uint32_t domid;
	uint32_t eligible;	/* S: 1 if it would take over now */
	char name[WIRE_NAME_MAX];
};

struct wire_error {
	uint32_t error;		/* errno of Linux, for programs */
	uint32_t zero;
	char text[WIRE_TEXT_MAX];	/* NUL-terminated sentence */
};

struct wire_heartbeat {
	uint64_t sequence;	/* from 1, per connection and direction */
	uint64_t echo;		/* .clock of the last one received, or 0 */
	uint64_t clock;		/* sender's, ns */
	uint64_t guest_time;	/* P: guest system time, ns; S: 0 */
	uint64_t generation;
	uint64_t running;	/* P: epoch in execution; S: 0 */
	uint64_t committed;	/* P: last acknowledged; S: last committed */
	uint64_t applied;	/* S; P: 0 */
};

/* Followed by the bytes [offset, offset + length - sizeof). */
struct wire_shell {
	uint64_t generation;
	uint64_t total;		/* bytes of all parts, <= WIRE_SHELL_MAX */
	uint64_t offset;
};

struct wire_shell_result {
	uint32_t error;		/* 0: built; else errno */
	uint32_t zero;
	uint64_t staging;	/* decoded bytes of one checkpoint */
	char text[WIRE_TEXT_MAX];	/* why not; "" if built */
};

struct wire_resume {
	uint8_t session[16];
	uint64_t generation;
	uint64_t epoch;		/* both have it committed */
	uint8_t digest[WIRE_DIGEST];	/* of it */
};

struct wire_copy_begin {
	uint64_t generation;
	uint64_t copy;		/* number of this copy, not 0; echoed */
	uint64_t pages;		/* of the guest: for progress */
};

struct wire_copy_end {
	uint64_t copy;
	uint64_t pages;		/* sent in all rounds */
	uint8_t digest[WIRE_DIGEST];
};

struct wire_copy_ack {
	uint64_t copy;
	uint64_t pages;
};

/* Head of PAGES and COPY; .count struct wire_page follow. */
struct wire_batch {
	uint64_t of;		/* PAGES: epoch; COPY: number of the copy */
	uint32_t count;		/* 1 to WIRE_BATCH_MAX */
	uint32_t round;		/* COPY: from 1; PAGES: 0 */
};

enum wire_encoding {
	WIRE_ZERO = 0,		/* all zero; .length 0 */
	WIRE_RAW = 1,		/* .length WIRE_PAGE */
	WIRE_LZ4 = 2,		/* LZ4 block of WIRE_PAGE bytes; .length 1 to
				 * WIRE_PAGE - 1 */
	WIRE_SAME = 3,		/* as in the checkpoint before: .length
				 * WIRE_HASH, hash of it */
	WIRE_DELTA = 4,		/* hash of the page in the checkpoint before,
				 * then an LZ4 block of the two pages' XOR;
				 * .length WIRE_HASH + 1 to WIRE_PAGE - 1 */
};

/* Followed by .length bytes and zeroes up to a multiple of 8. */
struct wire_page {
	uint64_t gfn;
	uint16_t encoding;	/* enum wire_encoding */
	uint16_t zero;
	uint32_t length;
};

enum wire_cause {
	WIRE_CAUSE_FIRST = 1,	/* first after a copy */
	WIRE_CAUSE_TAP = 2,	/* output is held */
	WIRE_CAUSE_TIMER = 3,	/* max-epoch */
	WIRE_CAUSE_DIRTY = 4,	/* dirty limit */
	WIRE_CAUSE_SHUTDOWN = 5,
	WIRE_CAUSE_OPERATOR = 6,
	WIRE_CAUSE_GATE = 7,	/* requests wait that no event announced */
};

struct wire_ckpt_begin {
	uint64_t generation;
	uint64_t epoch;		/* > .previous */
	uint64_t previous;	/* epoch of the checkpoint before; first after
				 * a copy: of the last one committed, or 0 */
	uint8_t digest[WIRE_DIGEST];	/* of the one before; first after a
					 * copy: of the copy */
	uint64_t guest_time;	/* guest system time while stopped, ns */
	uint64_t clock;		/* sender's at that moment, ns */
	uint64_t pages;
	uint64_t codec_state;	/* 0: no page refers to the one before; else
				 * .previous: pages may */
	uint32_t part;		/* 0 */
	uint32_t parts;		/* 1 */
	uint32_t cause;		/* enum wire_cause */
	uint32_t zero;
};

/* Followed by the bytes [offset, offset + length - sizeof). */
struct wire_state {
	uint64_t epoch;
	uint64_t offset;
};

struct wire_ckpt_end {
	uint64_t epoch;
	uint64_t pages;
	uint64_t state;		/* bytes of all STATE parts */
	uint64_t messages;	/* CKPT_BEGIN, PAGES and STATE */
	uint8_t digest[WIRE_DIGEST];	/* of this checkpoint */
};

struct wire_ack {
	uint64_t generation;
	uint64_t committed;
	uint64_t applied;
	uint64_t staging_free;	/* decoded bytes */
	uint8_t digest[WIRE_DIGEST];	/* of .committed */
	uint64_t receive_ns;	/* CKPT_BEGIN to CKPT_END, decoding included */
	uint64_t verify_ns;	/* CKPT_END to commit */
	uint64_t apply_ns;	/* of the last one applied */
	uint64_t clock;		/* sender's, ns */
};

/* In place of an ACK: nothing was committed. */
struct wire_again {
	uint64_t generation;
	uint64_t epoch;		/* of the checkpoint to be sent again */
	uint64_t gfn;		/* the first page that could not be made */
};

enum wire_reason {
	WIRE_REASON_POWEROFF = 1,
	WIRE_REASON_REBOOT = 2,
	WIRE_REASON_CRASH = 3,
	WIRE_REASON_DESTROYED = 4,
	WIRE_REASON_UNPROTECT = 5,
};

struct wire_end {
	uint64_t generation;
	uint64_t epoch;		/* last acknowledged */
	uint32_t reason;	/* enum wire_reason */
	uint32_t zero;
};

struct wire_end_ack {
	uint64_t generation;
	uint32_t reason;	/* as in END */
	uint32_t zero;
};

/* ALONE and ALONE_ACK. */
struct wire_alone {
	uint64_t generation;
	uint64_t nonce;		/* chosen by the primary, echoed */
};

/**
 * wire_type_str() - Name of a message type for log lines
 * Return: static string, "?" if unknown
 */
const char *wire_type_str(unsigned int type);

/** wire_reason_str(), wire_cause_str() - the same for reason and cause */
const char *wire_reason_str(unsigned int reason);
const char *wire_cause_str(unsigned int cause);

/**
 * wire_head_check() - Frame the stream: how long is the message at @bytes?
 * @bytes:	From the peer, any alignment
 * @have:	Bytes there
 * @total:	Set to header plus body, at most sizeof(struct wire_head) +
 *		WIRE_BODY_MAX; to 0 if @have is less than a header
 * @why:	WIRE_WHY_MAX bytes; gets a sentence on failure
 *
 * Checks magic, reserved fields, the type's limits of length, and that the
 * type is known or optional.
 * Return: 0, or -1 with errno EPROTO: the stream is unusable
 */
int wire_head_check(const void *bytes, size_t have, size_t *total, char *why);

/**
 * wire_check() - Check one whole message completely
 * @bytes:	Header and body, any alignment
 * @len:	Exactly their length
 * @why:	WIRE_WHY_MAX bytes; gets a sentence on failure
 *
 * Everything that can be said without knowing the session: the header, the
 * sum, enumerations, reserved fields, terminated strings, the structure of
 * page batches.  After it a body may be read without further checks of form.
 * Return: its type; 0 if it is unknown and to be skipped; -1 with errno EPROTO
 */
int wire_check(const void *bytes, size_t len, char *why);

/**
 * wire_body() - Body of a checked message
 * Return: its first byte, unaligned; wire_check() vouches for the length
 */
const void *wire_body(const void *bytes);

/**
 * wire_hello_check() - May these two ends work together?
 * @mine:	What this end sent
 * @theirs:	Body of a HELLO that passed wire_check()
 * @why:	WIRE_WHY_MAX bytes; a sentence naming field, value and rule
 *
 * Versions, roles, page size, guest UUID; not session and generation, which
 * are the conductors' business.  @mine of a secondary that holds nothing yet
 * has a guest UUID of zeroes, which accepts any.
 * Return: 0, or -1 with errno EPROTO
 */
int wire_hello_check(const struct wire_hello *mine,
		     const struct wire_hello *theirs, char *why);

/**
 * wire_seal() - Fill in a header
 * @head:	Overwritten
 * @type:	enum wire_type; all types of this version are mandatory
 * @body:	The body's parts in order, unchanged
 * @n:		Their number; their bytes together at most WIRE_BODY_MAX
 */
void wire_seal(struct wire_head *head, enum wire_type type,
	       const struct iovec *body, int n);

/**
 * wire_put() - Header and a fixed body into @out
 * @out:	sizeof(struct wire_head) + @len bytes
 * Return: that number
 */
size_t wire_put(void *out, enum wire_type type, const void *body, size_t len);

#endif
