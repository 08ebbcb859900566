// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_receive.c - a stream becomes a committed checkpoint, or nothing
 *
 * INV-17: what is committed is whole and checked.  INV-19: no eligibility
 * between a copy's begin and the first commit after it.
 */
#include "tests/unit/session.h"

#include "replicator/apply.h"

/* Index of the first message of @type from @from on. */
static unsigned int find(const struct stream *s, unsigned int from, int type)
{
	while (from < s->n && message_type(s, from) != type)
		from++;
	assert_true(from < s->n);
	return from;
}

static int take(struct standby *s, const struct stream *in, unsigned int i)
{
	return standby_take(s, message(in, i), message_len(in, i));
}

/* A copy of message @i with @body_at.. replaced and the sum right. */
static int take_changed(struct standby *s, const struct stream *in,
			unsigned int i, size_t body_at, const void *with,
			size_t n)
{
	size_t len = message_len(in, i) - sizeof(struct wire_head);
	uint8_t *body = malloc(len), *bytes = malloc(len + 32);
	int event;

	memcpy(body, (const uint8_t *)wire_body(message(in, i)), len);
	memcpy(body + body_at, with, n);
	wire_put(bytes, message_type(in, i), body, len);
	event = standby_take(s, bytes, len + 32);
	free(body);
	free(bytes);
	return event;
}

static void expect(struct standby *s, const struct stream *in, uint64_t epoch)
{
	const struct staging_view *v = staging_view(s->st);
	struct apply a = { 0 };
	struct record rec;
	const void *records;
	uint64_t got;
	size_t len;

	assert_true(staging_eligible(s->st));
	assert_int_equal(v->committed, epoch);
	assert_memory_equal(v->digest, in->digest[epoch], WIRE_DIGEST);
	assert_int_equal(v->guest_time, epoch * 1000000);
	assert_int_equal(apply_some(&a, s->st, &s->guest.base, SIZE_MAX), 0);
	assert_memory_equal(s->memory, in->memory[epoch],
			    PAGES * WIRE_PAGE);
	records = staging_records(s->st, &len);
	assert_int_equal(record_find(records, len, REC_VCPU, 0, &rec), 1);
	memcpy(&got, rec.data, sizeof(got));
	assert_int_equal(got, epoch);
	/* Sent with the first only; it stays. */
	assert_int_equal(record_find(records, len, REC_NODES, 0, &rec), 1);
	assert_memory_equal(rec.data, "nodes", 5);
}

static void feed_applied(struct standby *s, const struct stream *in,
			 unsigned int from, unsigned int to)
{
	struct apply a = { 0 };
	unsigned int i;

	for (i = from; i < to; i++) {
		standby_feed(s, in, i, i + 1);
		assert_int_equal(apply_some(&a, s->st, &s->guest.base,
					    SIZE_MAX), 0);
	}
}

static void test_session(void **state)
{
	struct stream *in = stream_new();
	struct receive_progress pr;
	struct standby s;
	struct wire_ack ack;
	uint64_t epoch;

	(void)state;
	standby_init(&s);
	standby_feed(&s, in, 0, in->ckpt[1]);
	assert_int_equal(staging_view(s.st)->phase, STAGING_COPIED);
	assert_false(staging_eligible(s.st));
	assert_memory_equal(s.memory, in->memory[0], PAGES * WIRE_PAGE);
	receive_progress(s.r, &pr);
	assert_int_equal(pr.pages, PAGES);
	assert_int_equal(pr.total, PAGES);
	for (epoch = 1; epoch <= CKPTS; epoch++) {
		standby_feed(&s, in, in->ckpt[epoch], in->ckpt[epoch + 1]);
		/* Committed, and the memory is not touched yet. */
		assert_memory_equal(s.memory, in->memory[epoch - 1],
				    PAGES * WIRE_PAGE);
		expect(&s, in, epoch);
	}
	assert_int_equal(s.guest.verified, CKPTS);
	receive_ack(s.r, 42, &ack);
	assert_int_equal(ack.committed, CKPTS);
	assert_int_equal(ack.applied, CKPTS);
	assert_int_equal(ack.staging_free, staging_capacity(s.st));
	assert_int_equal(ack.generation, GENERATION);
	assert_int_equal(ack.apply_ns, 42);
	assert_true(ack.receive_ns > 0 && ack.verify_ns > 0);
	standby_free(&s);
	stream_free(in);
}

/* The connection ends before each message; the next life goes on (INV-18). */
static void test_cut_and_killed(void **state)
{
	struct stream *in = stream_new();
	unsigned int cut, go_on;
	struct standby s;
	int killed;

	(void)state;
	for (killed = 0; killed < 2; killed++) {
		for (cut = 0; cut <= in->n; cut++) {
			standby_init(&s);
			feed_applied(&s, in, 0, cut);
			if (killed) {
				standby_detach(&s);
				standby_attach(&s);
			} else {
				receive_reset(s.r);
			}
			if (staging_eligible(s.st)) {
				expect(&s, in, staging_view(s.st)->committed);
				go_on = in->ckpt[staging_view(s.st)->committed
						 + 1];
			} else {
				assert_true(cut < in->ckpt[2]);
				go_on = staging_view(s.st)->phase ==
					STAGING_EMPTY ? 0 :
					find(in, 0, WIRE_COPY_BEGIN);
			}
			feed_applied(&s, in, go_on, in->n);
			expect(&s, in, CKPTS);
			standby_free(&s);
		}
	}
	stream_free(in);
}

/* Every byte of a checkpoint, changed under a right sum: not one of them ends
 * in a commit, and the checkpoint before stands. */
static void test_changed_bytes(void **state)
{
	struct stream *in = stream_new();
	unsigned int i, j;
	struct standby s;
	size_t at, step;
	uint8_t byte;
	int event;

	(void)state;
	standby_init(&s);
	feed_applied(&s, in, 0, in->ckpt[2]);
	for (i = in->ckpt[2]; i < in->ckpt[3]; i++) {
		step = message_type(in, i) == WIRE_PAGES ? 7 : 1;
		for (at = 0; at + 32 < message_len(in, i); at += step) {
			feed_applied(&s, in, in->ckpt[2], i);
			byte = message(in, i)[32 + at] ^ 0x81;
			event = take_changed(&s, in, i, at, &byte, 1);
			for (j = i + 1; event >= 0 && j < in->ckpt[3]; j++)
				event = take(&s, in, j);
			if (event >= 0)
				fail_msg("%s byte %zu", wire_type_str(
					 (unsigned int)message_type(in, i)), at);
			receive_reset(s.r);
			expect(&s, in, 1);
		}
	}
	feed_applied(&s, in, in->ckpt[2], in->n);
	expect(&s, in, CKPTS);
	standby_free(&s);
	stream_free(in);
}

/* The same for a copy: it never becomes COPIED. */
static void test_changed_copy(void **state)
{
	struct stream *in = stream_new();
	unsigned int i, j, begin = find(in, 0, WIRE_COPY_BEGIN);
	struct standby s;
	size_t at, step;
	uint8_t byte;
	int event;

	(void)state;
	standby_init(&s);
	standby_feed(&s, in, 0, begin);
	for (i = begin; i < in->ckpt[1]; i++) {
		step = message_type(in, i) == WIRE_COPY ? 31 : 1;
		for (at = 0; at + 32 < message_len(in, i); at += step) {
			standby_feed(&s, in, begin, i);
			byte = message(in, i)[32 + at] ^ 0x81;
			event = take_changed(&s, in, i, at, &byte, 1);
			for (j = i + 1; event >= 0 && j < in->ckpt[1]; j++)
				event = take(&s, in, j);
			assert_int_equal(event, -1);
			receive_reset(s.r);
			assert_false(staging_eligible(s.st));
		}
	}
	feed_applied(&s, in, begin, in->n);
	expect(&s, in, CKPTS);
	standby_free(&s);
	stream_free(in);
}

/* Messages in this order, until one is refused.  Return: the last event. */
static int take_all(struct standby *s, const struct stream *in,
		    const unsigned int *order, unsigned int n)
{
	unsigned int i;
	int event = 0;

	for (i = 0; event >= 0 && i < n; i++)
		event = take(s, in, order[i]);
	return event;
}

/* Each message of a checkpoint left out, doubled, swapped with the next. */
static void test_order(void **state)
{
	struct stream *in = stream_new();
	unsigned int from = in->ckpt[2], n = in->ckpt[3] - from, i, j, m;
	unsigned int order[MESSAGES_MAX];
	struct standby s;

	(void)state;
	standby_init(&s);
	feed_applied(&s, in, 0, from);
	for (i = 0; i < n; i++) {
		for (j = m = 0; j < n; j++)
			if (j != i)
				order[m++] = from + j;
		/* Without CKPT_END nobody complains, and nothing is done. */
		assert_int_equal(take_all(&s, in, order, m),
				 i == n - 1 ? RECEIVE_MORE : -1);
		expect(&s, in, 1);
		receive_reset(s.r);
	}
	for (i = 0; i < n - 1; i++) {
		for (j = m = 0; j < n; j++) {
			order[m++] = from + j;
			if (j == i)
				order[m++] = from + j;
		}
		assert_int_equal(take_all(&s, in, order, m), -1);
		expect(&s, in, 1);

		for (j = 0; j < n; j++)
			order[j] = from + j;
		order[i] = from + i + 1;
		order[i + 1] = from + i;
		assert_int_equal(take_all(&s, in, order, n), -1);
		expect(&s, in, 1);
	}
	/* A checkpoint once more: the first time it is committed. */
	for (j = 0; j < 2 * n; j++)
		order[j] = from + j % n;
	assert_int_equal(take_all(&s, in, order, 2 * n), -1);
	expect(&s, in, 2);
	standby_free(&s);
	stream_free(in);
}

/* One rule each: what is refused, with which errno, naming what. */
static void refuse(struct standby *s, const struct stream *in, unsigned int i,
		   size_t at, const void *with, size_t n, int err,
		   const char *word)
{
	assert_int_equal(take_changed(s, in, i, at, with, n), -1);
	assert_int_equal(errno, err);
	if (!strstr(receive_why(s->r), word))
		fail_msg("'%s' does not name '%s'", receive_why(s->r), word);
}

#define BEGIN(member) offsetof(struct wire_ckpt_begin, member)

static void test_rules(void **state)
{
	struct stream *in = stream_new();
	uint64_t v64, outside = GFN0 + PAGES;
	unsigned int begin = in->ckpt[2], pages, st;
	struct standby s;
	uint32_t v32;

	(void)state;
	standby_init(&s);
	feed_applied(&s, in, 0, begin);

	v64 = GENERATION - 1;
	refuse(&s, in, begin, BEGIN(generation), &v64, 8, ESTALE,
	       "generation 6");
	v64 = GENERATION + 1;
	refuse(&s, in, begin, BEGIN(generation), &v64, 8, EPROTO,
	       "generation 8");
	v64 = 0;
	refuse(&s, in, begin, BEGIN(previous), &v64, 8, EPROTO,
	       "committed is 1");
	refuse(&s, in, begin, BEGIN(digest), &v64, 8, EPROTO,
	       "another digest");
	v64 = STAGING_PAGES_MIN + 1;
	refuse(&s, in, begin, BEGIN(pages), &v64, 8, EMSGSIZE, "65 pages");
	v32 = WIRE_CAUSE_FIRST;
	refuse(&s, in, begin, BEGIN(cause), &v32, 4, EPROTO, "cause first");

	pages = find(in, begin, WIRE_PAGES);
	feed_applied(&s, in, begin, pages);
	refuse(&s, in, pages, sizeof(struct wire_batch), &outside, 8, EPROTO,
	       "not one of the guest's");
	outside = PLATFORM_GFN_MAX;
	feed_applied(&s, in, begin, pages);
	refuse(&s, in, pages, sizeof(struct wire_batch), &outside, 8, EPROTO,
	       "0x40000000");
	outside = STAGING_ZERO | GFN0;
	feed_applied(&s, in, begin, pages);
	refuse(&s, in, pages, sizeof(struct wire_batch), &outside, 8, EPROTO,
	       "not one of the guest's");

	st = find(in, begin, WIRE_STATE);
	feed_applied(&s, in, begin, st);
	v64 = 8;
	refuse(&s, in, st, 8, &v64, 8, EPROTO, "at 8, expected");

	/* The platform has the last word. */
	s.guest.refuse = true;
	feed_applied(&s, in, begin, in->ckpt[3] - 1);
	assert_int_equal(take(&s, in, in->ckpt[3] - 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_non_null(strstr(receive_why(s.r), "refused on purpose"));
	s.guest.refuse = false;

	/* A copy over a valid standby, a shell over it: never. */
	assert_int_equal(take(&s, in, find(in, 0, WIRE_COPY_BEGIN)), -1);
	assert_non_null(strstr(receive_why(s.r), "paired"));
	assert_int_equal(take(&s, in, 0), -1);
	assert_int_equal(errno, EBUSY);
	/* A message that is the conductors'. */
	assert_false(receive_wants(WIRE_HEARTBEAT));
	assert_false(receive_wants(WIRE_END));
	assert_false(receive_wants(0));
	assert_false(receive_wants(-1));
	assert_false(receive_wants(1000));
	expect(&s, in, 1);
	standby_free(&s);
	stream_free(in);
}

/* A checkpoint never arrives on a copy of an earlier connection. */
static void test_copied_does_not_last(void **state)
{
	struct stream *in = stream_new();
	struct standby s;

	(void)state;
	standby_init(&s);
	standby_feed(&s, in, 0, in->ckpt[1]);
	receive_reset(s.r);
	assert_int_equal(take(&s, in, in->ckpt[1]), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(staging_view(s.st)->phase, STAGING_COPIED);
	standby_free(&s);
	stream_free(in);
}

/* Both slots taken: refused, and after an apply there is room again. */
static void test_no_room(void **state)
{
	struct stream *in = stream_new();
	struct apply a = { 0 };
	struct standby s;

	(void)state;
	standby_init(&s);
	standby_feed(&s, in, 0, in->ckpt[3]);	/* 1, 2 committed */
	assert_int_equal(take(&s, in, in->ckpt[3]), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(apply_some(&a, s.st, &s.guest.base, SIZE_MAX), 0);
	assert_memory_equal(s.memory, in->memory[2], PAGES * WIRE_PAGE);
	standby_feed(&s, in, in->ckpt[3], in->n);
	expect(&s, in, CKPTS);
	standby_free(&s);
	stream_free(in);
}

/* Records beyond what staging has for them. */
static void test_state_too_large(void **state)
{
	struct stream *in = stream_new();
	size_t len = sizeof(struct wire_state) + STAGING_STATE_MIN + 8;
	struct wire_state st = { .epoch = 2 };
	uint8_t *body = calloc(1, len), *bytes = malloc(len + 32);
	struct standby s;

	(void)state;
	standby_init(&s);
	feed_applied(&s, in, 0, in->ckpt[2] + 1);
	memcpy(body, &st, sizeof(st));
	wire_put(bytes, WIRE_STATE, body, len);
	assert_int_equal(standby_take(&s, bytes, len + 32), -1);
	assert_int_equal(errno, EMSGSIZE);
	expect(&s, in, 1);
	free(body);
	free(bytes);
	standby_free(&s);
	stream_free(in);
}

/* --- pages that refer to the checkpoint before ------------------------------ */

static void test_refers(void **state)
{
	struct stream *in = stream_make(true, true);
	const struct codec_stats *did = codec_stats(in->codec);
	struct standby s;

	(void)state;
	/* Some of each kind, or nothing is tested here. */
	assert_int_equal(did->same, CKPTS - 1);
	assert_true(did->delta >= CKPTS - 1);
	standby_init(&s);
	feed_applied(&s, in, 0, in->n);
	expect(&s, in, CKPTS);
	standby_free(&s);
	stream_free(in);
}

/* A new connection, or a new life, has nothing that pages may refer to; the
 * same checkpoint is taken if its pages stand for themselves. */
static void test_refers_to_the_past(void **state)
{
	struct stream *in = stream_make(true, true);
	struct stream *plain = stream_make(true, false);
	struct standby s;
	int killed;

	(void)state;
	assert_memory_equal(in->digest[1], plain->digest[1], WIRE_DIGEST);
	for (killed = 0; killed < 2; killed++) {
		standby_init(&s);
		feed_applied(&s, in, 0, in->ckpt[2]);
		if (killed) {
			standby_detach(&s);
			standby_attach(&s);
		} else {
			receive_reset(s.r);
		}
		assert_int_equal(take(&s, in, in->ckpt[2]), -1);
		assert_int_equal(errno, EPROTO);
		assert_non_null(strstr(receive_why(s.r), "codec state 1"));
		feed_applied(&s, plain, plain->ckpt[2], plain->n);
		expect(&s, plain, CKPTS);
		standby_free(&s);
	}
	stream_free(plain);
	stream_free(in);
}

/* What pages refer to has to be in memory: the one before is applied first. */
static void test_refers_to_unapplied(void **state)
{
	struct stream *in = stream_make(true, true);
	struct standby s;

	(void)state;
	standby_init(&s);
	standby_feed(&s, in, 0, in->ckpt[2]);
	assert_int_equal(take(&s, in, in->ckpt[2]), -1);
	assert_int_equal(errno, ENOBUFS);
	expect(&s, in, 1);
	standby_free(&s);
	stream_free(in);
}

/* Somebody wrote to the standby's memory: never a wrong page, and the
 * checkpoint comes again. */
static void test_foreign_page(void **state)
{
	struct stream *in = stream_make(true, true);
	struct stream *plain = stream_make(true, false);
	struct wire_again again;
	struct standby s;
	unsigned int i, page;
	int event = 0;

	(void)state;
	/* 3: the page that stays as it was.  5: one that is changed. */
	for (page = 3; page <= 5; page += 2) {
		standby_init(&s);
		feed_applied(&s, in, 0, in->ckpt[2]);
		s.memory[page * WIRE_PAGE + 17] ^= 1;
		for (i = in->ckpt[2]; i < in->ckpt[3]; i++) {
			event = take(&s, in, i);
			assert_true(event >= 0);
		}
		assert_int_equal(event, RECEIVE_AGAIN);
		receive_again(s.r, &again);
		assert_int_equal(again.epoch, 2);
		assert_int_equal(again.generation, GENERATION);
		assert_int_equal(again.gfn, GFN0 + page);
		assert_int_equal(staging_view(s.st)->committed, 1);
		assert_null(staging_pending(s.st));
		/* Once more the same way it is refused. */
		assert_int_equal(take(&s, in, in->ckpt[2]), -1);
		feed_applied(&s, plain, plain->ckpt[2], plain->n);
		expect(&s, plain, CKPTS);
		standby_free(&s);
	}
	stream_free(plain);
	stream_free(in);
}

/* Every byte of one, changed under a right sum. */
static void test_changed_references(void **state)
{
	struct stream *in = stream_make(true, true);
	unsigned int i, j;
	struct standby s;
	uint8_t byte;
	size_t at;
	int event;

	(void)state;
	for (i = in->ckpt[2]; i < in->ckpt[3]; i++) {
		for (at = 0; at + 32 < message_len(in, i); at += 7) {
			standby_init(&s);
			feed_applied(&s, in, 0, i);
			byte = message(in, i)[32 + at] ^ 0x81;
			event = take_changed(&s, in, i, at, &byte, 1);
			for (j = i + 1; event >= 0 && j < in->ckpt[3]; j++)
				event = take(&s, in, j);
			assert_int_equal(event, -1);
			expect(&s, in, 1);
			standby_free(&s);
		}
	}
	stream_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_cut_and_killed),
		cmocka_unit_test(test_changed_bytes),
		cmocka_unit_test(test_changed_copy),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_copied_does_not_last),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_state_too_large),
		cmocka_unit_test(test_refers),
		cmocka_unit_test(test_refers_to_the_past),
		cmocka_unit_test(test_refers_to_unapplied),
		cmocka_unit_test(test_foreign_page),
		cmocka_unit_test(test_changed_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
