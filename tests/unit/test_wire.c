// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_wire.c - messages: what is packed is accepted, what is not is refused
 *
 * INV-31: every length from the network is checked before use.
 */
#include "tests/unit/session.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { ROOM = sizeof(struct wire_head) + WIRE_BODY_MAX + 64 };

static char why[WIRE_WHY_MAX];

/* One good message of each type, alone in an exactly sized allocation, so that
 * the sanitizer sees a read beyond it. */
struct sample {
	uint8_t *bytes;
	size_t len;
};

static struct sample make(enum wire_type type, const void *body, size_t len)
{
	struct sample s = { malloc(sizeof(struct wire_head) + len), 0 };

	s.len = wire_put(s.bytes, type, body, len);
	return s;
}

static void reseal(struct sample *s)
{
	struct wire_head head, sealed;
	struct iovec body = { s->bytes + sizeof(head), s->len - sizeof(head) };

	memcpy(&head, s->bytes, sizeof(head));
	wire_seal(&sealed, head.type, &body, 1);
	memcpy(s->bytes, &sealed, sizeof(sealed));
}

static struct wire_hello hello(enum wire_role role)
{
	return (struct wire_hello){
		.magic = WIRE_HELLO_MAGIC, .version = WIRE_VERSION,
		.compatible = WIRE_COMPATIBLE, .role = role,
		.page_size = WIRE_PAGE, .guest = "guest", .name = "demo",
	};
}

static size_t samples(struct sample *out)
{
	struct wire_hello h = hello(WIRE_PRIMARY);
	struct wire_error err = { .error = EPROTO, .text = "because" };
	struct wire_heartbeat beat = { .sequence = 1 };
	struct wire_shell_result result = { .staging = 1 << 20 };
	struct wire_resume resume = { .epoch = 3 };
	struct wire_copy_ack copied = { .copy = 1 };
	struct wire_ack ack = { .committed = 3 };
	struct wire_end end = { .reason = WIRE_REASON_REBOOT };
	struct wire_end_ack ended = { .reason = WIRE_REASON_REBOOT };
	struct wire_alone alone = { .nonce = 9 };
	struct wire_again again = { .epoch = 3, .gfn = 5 };
	struct stream *s = stream_new();
	size_t n = 0;
	unsigned int i;

	out[n++] = make(WIRE_HELLO, &h, sizeof(h));
	out[n++] = make(WIRE_ERROR, &err, sizeof(err));
	out[n++] = make(WIRE_HEARTBEAT, &beat, sizeof(beat));
	out[n++] = make(WIRE_SHELL_RESULT, &result, sizeof(result));
	out[n++] = make(WIRE_RESUME, &resume, sizeof(resume));
	out[n++] = make(WIRE_COPY_ACK, &copied, sizeof(copied));
	out[n++] = make(WIRE_ACK, &ack, sizeof(ack));
	out[n++] = make(WIRE_AGAIN, &again, sizeof(again));
	out[n++] = make(WIRE_END, &end, sizeof(end));
	out[n++] = make(WIRE_END_ACK, &ended, sizeof(ended));
	out[n++] = make(WIRE_ALONE, &alone, sizeof(alone));
	out[n++] = make(WIRE_ALONE_ACK, &alone, sizeof(alone));
	/* Shell, copy and the first checkpoint have all other types. */
	for (i = 0; i < s->ckpt[2]; i++, n++) {
		out[n].len = message_len(s, i);
		out[n].bytes = malloc(out[n].len);
		memcpy(out[n].bytes, message(s, i), out[n].len);
	}
	stream_free(s);
	return n;
}

static void free_samples(struct sample *s, size_t n)
{
	while (n--)
		free(s[n].bytes);
}

static void test_all_types_pass(void **state)
{
	struct sample s[MESSAGES_MAX];
	bool seen[64] = { false };
	size_t n = samples(s), i, total;
	struct wire_head head;
	unsigned int type, known = 0;

	(void)state;
	for (i = 0; i < n; i++) {
		memcpy(&head, s[i].bytes, sizeof(head));
		assert_int_equal(wire_check(s[i].bytes, s[i].len, why),
				 head.type);
		assert_int_equal(wire_head_check(s[i].bytes, 32, &total, why),
				 0);
		assert_int_equal(total, s[i].len);
		seen[head.type] = true;
	}
	for (type = 0; type < 64; type++) {
		if (!strcmp(wire_type_str(type), "?"))
			continue;
		known++;
		if (!seen[type])
			fail_msg("no sample of %s", wire_type_str(type));
	}
	assert_int_equal(known, 20);
	free_samples(s, n);
}

/* Every shorter prefix is refused, or asks for more when framing. */
static void test_truncated(void **state)
{
	struct sample s[MESSAGES_MAX];
	size_t n = samples(s), i, len, total;
	uint8_t *cut;

	(void)state;
	for (i = 0; i < n; i++) {
		for (len = 0; len < s[i].len; len += len < 400 ? 1 : 61) {
			cut = malloc(len + 1);
			memcpy(cut, s[i].bytes, len);
			assert_int_equal(wire_check(cut, len, why), -1);
			assert_int_equal(wire_head_check(cut, len, &total,
							 why), 0);
			assert_int_equal(total, len < 32 ? 0 : s[i].len);
			free(cut);
		}
	}
	free_samples(s, n);
}

/* A change of any byte is found: by the header's rules or the sum. */
static void test_mutated(void **state)
{
	struct sample s[MESSAGES_MAX];
	size_t n = samples(s), i, at;

	(void)state;
	for (i = 0; i < n; i++) {
		for (at = 0; at < s[i].len; at++) {
			s[i].bytes[at] ^= 1u << at % 8;
			if (wire_check(s[i].bytes, s[i].len, why) >= 0)
				fail_msg("sample %zu byte %zu", i, at);
			s[i].bytes[at] ^= 1u << at % 8;
		}
	}
	free_samples(s, n);
}

/* The same with the sum made right again: a peer that means it.  Accepted or
 * not, a batch that is accepted can be read to its end and no further. */
static void test_hostile(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct sample s[MESSAGES_MAX];
	size_t n = samples(s), i, at, v, pos, refused = 0;
	struct wire_page page;
	const void *data;
	uint8_t kept;
	int type;

	(void)state;
	for (i = 0; i < n; i++) {
		for (at = 32; at < s[i].len && at < 1200; at++) {
			kept = s[i].bytes[at];
			for (v = 0; v < sizeof(values); v++) {
				s[i].bytes[at] = values[v];
				reseal(&s[i]);
				type = wire_check(s[i].bytes, s[i].len, why);
				refused += type < 0;
				if (type != WIRE_PAGES && type != WIRE_COPY)
					continue;
				pos = sizeof(struct wire_batch);
				while (batch_next(wire_body(s[i].bytes),
						  s[i].len - 32, &pos, &page,
						  &data))
					assert_true(page.length <= WIRE_PAGE);
				assert_int_equal(pos, s[i].len - 32);
			}
			s[i].bytes[at] = kept;
			reseal(&s[i]);
		}
	}
	assert_true(refused > 500);
	free_samples(s, n);
}

static int head_of(uint32_t type, uint32_t flags, uint64_t length)
{
	struct wire_head head = {
		.magic = WIRE_MAGIC, .type = (uint16_t)type,
		.flags = (uint16_t)flags, .length = length,
	};
	size_t total;

	return wire_head_check(&head, sizeof(head), &total, why);
}

static void test_lengths_at_limits(void **state)
{
	static const struct { unsigned int type; uint64_t min, max; } t[] = {
		{ WIRE_HELLO, 232, 4096 },
		{ WIRE_ERROR, 1032, 1032 },
		{ WIRE_SHELL, 25, 24 + (1 << 20) },
		{ WIRE_STATE, 17, 16 + (1 << 20) },
		{ WIRE_COPY, 16, 16 + 256 * (16 + 4096) },
		{ WIRE_PAGES, 16, 16 + 256 * (16 + 4096) },
		{ WIRE_CKPT_BEGIN, 104, 104 },
		{ WIRE_ACK, 96, 96 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(head_of(t[i].type, 1, t[i].min), 0);
		assert_int_equal(head_of(t[i].type, 1, t[i].max), 0);
		assert_int_equal(head_of(t[i].type, 1, t[i].min - 1), -1);
		assert_int_equal(head_of(t[i].type, 1, t[i].max + 1), -1);
		assert_int_equal(head_of(t[i].type, 1, UINT64_MAX), -1);
	}
	assert_int_equal(errno, EPROTO);
}

static void test_unknown_types(void **state)
{
	uint8_t bytes[40];
	struct wire_head head = { .magic = WIRE_MAGIC, .type = 999 };
	struct sample s = { bytes, sizeof(bytes) };

	(void)state;
	assert_int_equal(head_of(999, 0, 8), 0);
	assert_int_equal(head_of(999, 0, WIRE_BODY_MAX), 0);
	assert_int_equal(head_of(999, 0, WIRE_BODY_MAX + 1ull), -1);
	assert_int_equal(head_of(999, WIRE_MANDATORY, 8), -1);
	assert_non_null(strstr(why, "999"));
	assert_int_equal(head_of(0, WIRE_MANDATORY, 0), -1);
	assert_int_equal(head_of(WIRE_ACK, 2, 96), -1);

	/* Optional: to be skipped, once its sum is right. */
	memset(bytes, 0, sizeof(bytes));
	wire_put(bytes, 999, "8 bytes", 8);
	memcpy(&head, bytes, sizeof(head));
	assert_int_equal(wire_check(s.bytes, s.len, why), -1);
	head.flags = 0;
	head.sum = 0;
	memcpy(bytes, &head, sizeof(head));
	assert_int_equal(wire_check(s.bytes, s.len, why), -1);
	assert_non_null(strstr(why, "sum"));
	head.sum = XXH64(bytes, sizeof(bytes), 0);
	memcpy(bytes, &head, sizeof(head));
	assert_int_equal(wire_check(s.bytes, s.len, why), 0);
}

/* Bodies with right sums that break one rule each. */
static void refused(enum wire_type type, const void *body, size_t len,
		    const char *word)
{
	struct sample s = make(type, body, len);

	why[0] = '\0';
	assert_int_equal(wire_check(s.bytes, s.len, why), -1);
	if (!strstr(why, word))
		fail_msg("'%s' does not name '%s'", why, word);
	free(s.bytes);
}

static void test_rules(void **state)
{
	struct wire_hello h = hello(WIRE_PRIMARY);
	struct wire_ckpt_begin b = { .epoch = 2, .previous = 1, .parts = 1,
				     .cause = WIRE_CAUSE_TAP };
	struct wire_end end = { .reason = 6 };
	struct wire_error err = { .text = "x" };
	struct { struct wire_shell s; uint8_t part[16]; } shell = {
		.s = { .total = 24, .offset = 8 } };
	struct sample ok;

	(void)state;
	h.role = 3;
	refused(WIRE_HELLO, &h, sizeof(h), "role 3");
	h = hello(WIRE_PRIMARY);
	h.magic ^= 1;
	refused(WIRE_HELLO, &h, sizeof(h), "magic");
	h = hello(WIRE_PRIMARY);
	memset(h.name, 'x', sizeof(h.name));
	refused(WIRE_HELLO, &h, sizeof(h), "name");
	h = hello(WIRE_PRIMARY);
	h.compatible = 2;
	refused(WIRE_HELLO, &h, sizeof(h), "compatible 2");

	ok = make(WIRE_CKPT_BEGIN, &b, sizeof(b));
	assert_int_equal(wire_check(ok.bytes, ok.len, why), WIRE_CKPT_BEGIN);
	free(ok.bytes);
	b.previous = 2;
	refused(WIRE_CKPT_BEGIN, &b, sizeof(b), "epoch 2");
	b.previous = 1;
	b.parts = 2;
	refused(WIRE_CKPT_BEGIN, &b, sizeof(b), "of 2");
	b.parts = 1;
	b.codec_state = 5;
	refused(WIRE_CKPT_BEGIN, &b, sizeof(b), "codec state 5");
	b.codec_state = b.previous;
	ok = make(WIRE_CKPT_BEGIN, &b, sizeof(b));
	assert_int_equal(wire_check(ok.bytes, ok.len, why), WIRE_CKPT_BEGIN);
	free(ok.bytes);
	b.codec_state = 0;
	b.cause = 77;
	refused(WIRE_CKPT_BEGIN, &b, sizeof(b), "cause 77");

	refused(WIRE_END, &end, sizeof(end), "reason 6");
	memset(err.text, 'x', sizeof(err.text));
	refused(WIRE_ERROR, &err, sizeof(err), "text");

	ok = make(WIRE_SHELL, &shell, sizeof(shell));
	assert_int_equal(wire_check(ok.bytes, ok.len, why), WIRE_SHELL);
	free(ok.bytes);
	shell.s.offset = 9;
	refused(WIRE_SHELL, &shell, sizeof(shell), "offset 9");
	shell.s.offset = UINT64_MAX;
	refused(WIRE_SHELL, &shell, sizeof(shell), "offset");
	shell.s.offset = 0;
	shell.s.total = WIRE_SHELL_MAX + 1ull;
	refused(WIRE_SHELL, &shell, sizeof(shell), "total");
}

static size_t batch_of(uint8_t *body, uint32_t count, uint16_t encoding,
		       uint32_t length, size_t bytes)
{
	struct wire_batch b = { .of = 1, .count = count };
	struct wire_page p = { .gfn = GFN0, .encoding = encoding,
			       .length = length };
	uint32_t i;
	size_t at = sizeof(b);

	memcpy(body, &b, sizeof(b));
	for (i = 0; i < count; i++) {
		memcpy(body + at, &p, sizeof(p));
		memset(body + at + sizeof(p), 0, bytes);
		at += sizeof(p) + bytes;
	}
	return at;
}

static void test_batches(void **state)
{
	uint8_t *body = malloc(ROOM), *bytes = malloc(ROOM);
	size_t n;

	(void)state;
	n = batch_of(body, WIRE_BATCH_MAX, WIRE_RAW, WIRE_PAGE, WIRE_PAGE);
	n = wire_put(bytes, WIRE_PAGES, body, n);
	assert_int_equal(wire_check(bytes, n, why), WIRE_PAGES);

	n = batch_of(body, 0, WIRE_ZERO, 0, 0);
	refused(WIRE_PAGES, body, n, "count 0");
	n = batch_of(body, WIRE_BATCH_MAX + 1, WIRE_ZERO, 0, 0);
	refused(WIRE_PAGES, body, n, "count 257");
	n = batch_of(body, 1, 5, 0, 0);
	refused(WIRE_PAGES, body, n, "encoding 5");
	n = batch_of(body, 1, WIRE_SAME, WIRE_HASH - 1, WIRE_HASH);
	refused(WIRE_PAGES, body, n, "length 15");
	n = batch_of(body, 1, WIRE_SAME, WIRE_HASH + 1, WIRE_HASH + 8);
	refused(WIRE_PAGES, body, n, "length 17");
	n = batch_of(body, 1, WIRE_DELTA, WIRE_HASH, WIRE_HASH);
	refused(WIRE_PAGES, body, n, "length 16");
	n = batch_of(body, 1, WIRE_DELTA, WIRE_PAGE, WIRE_PAGE);
	refused(WIRE_PAGES, body, n, "length 4096");
	n = batch_of(body, 1, WIRE_ZERO, 8, 8);
	refused(WIRE_PAGES, body, n, "length 8");
	n = batch_of(body, 1, WIRE_RAW, 4095, 4096);
	refused(WIRE_PAGES, body, n, "length 4095");
	n = batch_of(body, 1, WIRE_LZ4, 0, 0);
	refused(WIRE_PAGES, body, n, "length 0");
	n = batch_of(body, 1, WIRE_LZ4, 4096, 4096);
	refused(WIRE_PAGES, body, n, "length 4096");
	n = batch_of(body, 2, WIRE_LZ4, 24, 24);
	refused(WIRE_PAGES, body, n - 24, "exceeds");
	refused(WIRE_PAGES, body, n - 40, "ends within page 1");
	refused(WIRE_PAGES, body, n + 1, "after the last");
	n = batch_of(body, 1, WIRE_LZ4, 20, 24);
	body[n - 1] = 1;
	refused(WIRE_PAGES, body, n, "padding");
	free(body);
	free(bytes);
}

static void test_hello_check(void **state)
{
	struct wire_hello p = hello(WIRE_PRIMARY), s = hello(WIRE_SECONDARY);

	(void)state;
	assert_int_equal(wire_hello_check(&p, &s, why), 0);
	assert_int_equal(wire_hello_check(&s, &p, why), 0);

	memset(s.guest, 0, sizeof(s.guest));
	assert_int_equal(wire_hello_check(&s, &p, why), 0);
	s.guest[0] = 'x';
	assert_int_equal(wire_hello_check(&s, &p, why), -1);
	assert_non_null(strstr(why, "another guest"));

	s = hello(WIRE_SECONDARY);
	s.version = 9;
	s.compatible = 8;
	assert_int_equal(wire_hello_check(&p, &s, why), -1);
	assert_non_null(strstr(why, "down to 8"));
	s.compatible = 1;
	assert_int_equal(wire_hello_check(&p, &s, why), 0);
	s.version = s.compatible = 0;
	assert_int_equal(wire_hello_check(&p, &s, why), -1);

	s = hello(WIRE_SECONDARY);
	s.page_size = 65536;
	assert_int_equal(wire_hello_check(&p, &s, why), -1);
	assert_non_null(strstr(why, "65536"));
	assert_int_equal(wire_hello_check(&p, &p, why), -1);
	assert_non_null(strstr(why, "primary"));
}

/* A later version's HELLO is longer and is understood. */
static void test_hello_longer(void **state)
{
	uint8_t body[WIRE_HELLO_MAX] = { 0 };
	struct wire_hello h = hello(WIRE_PRIMARY);
	struct sample s;

	(void)state;
	memcpy(body, &h, sizeof(h));
	body[sizeof(h) + 3] = 9;
	s = make(WIRE_HELLO, body, sizeof(body));
	assert_int_equal(wire_check(s.bytes, s.len, why), WIRE_HELLO);
	free(s.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types_pass),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_lengths_at_limits),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_hello_check),
		cmocka_unit_test(test_hello_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
