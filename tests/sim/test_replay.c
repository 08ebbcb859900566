// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_replay.c - what a primary once sent is sent again by somebody else
 *
 * Under TLS nobody can (test_link_tls.c); this is what is left if he could: a
 * standby that is held keeps its checkpoint, and its primary goes on (INV-28).
 */
#include "tests/sim/engine.h"

enum { MESSAGES_MAX = 4096 };

static struct engine engine;

/* What the standby heard, message by message. */
static struct heard {
	char *bytes;
	size_t len, at[MESSAGES_MAX + 1];
	unsigned int n;
	unsigned int hello[2];	/* first of each connection */
} heard;

static int type_of(unsigned int i)
{
	char why[WIRE_WHY_MAX];

	return wire_check(heard.bytes + heard.at[i],
			  heard.at[i + 1] - heard.at[i], why);
}

static void take_apart(void)
{
	unsigned int hellos = 0;
	char why[WIRE_WHY_MAX];
	size_t total;

	for (heard.n = 0; heard.at[heard.n] < heard.len; heard.n++) {
		size_t at = heard.at[heard.n];

		assert_true(heard.n < MESSAGES_MAX);
		assert_int_equal(wire_head_check(heard.bytes + at,
						 heard.len - at, &total, why),
				 0);
		heard.at[heard.n + 1] = at + total;
		if (type_of(heard.n) == WIRE_HELLO && hellos < 2)
			heard.hello[hellos++] = heard.n;
	}
	assert_int_equal(hellos, 2);
}

/* --- the one who replays ----------------------------------------------------- */

static struct {
	unsigned int errors, acks;
} answer;

static void on_message(void *arg, const void *bytes, size_t len)
{
	char why[WIRE_WHY_MAX];
	int type = wire_check(bytes, len, why);

	(void)arg;
	answer.errors += type == WIRE_ERROR;
	answer.acks += type == WIRE_ACK;
}

static void on_closed(void *arg, int err, const char *why)
{
	struct engine *e = arg;

	(void)err;
	(void)why;
	e->a.link->ops->close(e->a.link);
	e->a.link = NULL;
}

static void on_writable(void *arg)
{
	(void)arg;
}

static bool is_closed(struct engine *e)
{
	return !e->pair;
}

/* Messages of his own, then those recorded from @from to before @to. */
static void replay(struct engine *e, const struct iovec *own, int n,
		   unsigned int from, unsigned int to)
{
	struct link_pair_knobs k = { .seed = 1, .delay_min = 10 * US,
				     .delay_max = 30 * US };
	struct iovec iov;
	struct staging_view before = *staging_view(e->staging);
	const struct staging_view *v = staging_view(e->staging);
	unsigned int i;

	memset(&answer, 0, sizeof(answer));
	assert_null(e->pair);
	e->pair = link_pair_new(&k);
	e->a.link = link_pair_end(e->pair, 0);
	e->b.link = link_pair_end(e->pair, 1);
	e->a.link->handler = (struct link_handler){
		on_message, on_closed, on_writable, e };
	e->b.link->handler = (struct link_handler){
		engine_b_message, engine_b_closed, engine_b_writable, e };
	assert_int_equal(secondary_link_up(e->secondary, e->b.link), 0);
	for (; n; n--, own++)
		assert_int_equal(e->a.link->ops->send(e->a.link, own, 1), 0);
	for (i = from; i < to; i++) {
		iov.iov_base = heard.bytes + heard.at[i];
		iov.iov_len = heard.at[i + 1] - heard.at[i];
		assert_int_equal(e->a.link->ops->send(e->a.link, &iov, 1), 0);
	}
	/* No end of his own would be an answer. */
	assert_true(engine_until(e, 2000 * MS, is_closed));
	assert_int_equal(answer.errors, 1);
	assert_int_equal(answer.acks, 0);
	assert_true(staging_eligible(e->staging));
	assert_int_equal(v->committed, before.committed);
	assert_memory_equal(v->digest, before.digest, sizeof(v->digest));
	assert_memory_equal(v->session, before.session, sizeof(v->session));
}

static void replay_recorded(struct engine *e, unsigned int hello,
			    unsigned int from, unsigned int to)
{
	const struct iovec own = { heard.bytes + heard.at[hello],
				   heard.at[hello + 1] - heard.at[hello] };

	replay(e, &own, 1, from, to);
}

static unsigned int find(unsigned int from, int type)
{
	while (type_of(from) != type)
		assert_true(++from < heard.n);
	return from;
}

/* In the name of a session that is not held here, but from where it stands. */
static void replay_renamed(struct engine *e, unsigned int hello)
{
	const struct staging_view *v = staging_view(e->staging);
	struct wire_resume r;
	struct wire_hello h;
	uint8_t first[sizeof(struct wire_head) + sizeof(h)];
	uint8_t then[sizeof(struct wire_head) + sizeof(r)];
	const struct iovec own[] = {
		{ first, sizeof(first) }, { then, sizeof(then) },
	};

	memcpy(&h, wire_body(heard.bytes + heard.at[hello]), sizeof(h));
	h.session[0] ^= 1;
	r = (struct wire_resume){ .generation = v->generation,
				  .epoch = v->committed };
	memcpy(r.session, h.session, sizeof(r.session));
	memcpy(r.digest, v->digest, sizeof(r.digest));
	wire_put(first, WIRE_HELLO, &h, sizeof(h));
	wire_put(then, WIRE_RESUME, &r, sizeof(r));
	replay(e, own, 2, 0, 0);
}

static void test_replayed(void **state)
{
	struct engine *e = &engine;
	unsigned int first, second, ckpt, end;

	(void)state;
	engine_new(e, 11);
	e->no_fence = true;
	e->recording = open_memstream(&heard.bytes, &heard.len);
	assert_int_equal(engine_start(e), 0);
	engine_run(e, 30 * MS);
	link_pair_cut(e->pair);
	engine_run(e, 30 * MS);
	assert_int_equal(e->connections, 2);
	e->no_link = true;
	link_pair_cut(e->pair);
	engine_run(e, 5 * MS);
	assert_true(staging_eligible(e->staging));
	fclose(e->recording);
	e->recording = NULL;
	take_apart();
	first = heard.hello[0];
	second = heard.hello[1];
	ckpt = find(first, WIRE_CKPT_BEGIN);
	end = find(ckpt, WIRE_CKPT_END) + 1;

	/* The whole session, as it began. */
	replay_recorded(e, first, find(first, WIRE_SHELL), end);
	/* Its copy, and its first checkpoint. */
	replay_recorded(e, first, find(first, WIRE_COPY_BEGIN), end);
	replay_recorded(e, first, ckpt, end);
	/* The connection that went on from an earlier epoch. */
	end = find(second, WIRE_CKPT_END) + 1;
	replay_recorded(e, second, find(second, WIRE_RESUME), end);

	replay_renamed(e, second);

	/* The primary goes on as if nothing had been. */
	e->no_link = false;
	engine_run(e, 30 * MS);
	assert_int_equal(primary_outcome(e->primary), PRIMARY_GOING);
	assert_true(staging_view(e->staging)->committed > 1);
	assert_int_equal(e->connections, 3);
	engine_assert_sound(e);
	engine_free(e);
	free(heard.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replayed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
