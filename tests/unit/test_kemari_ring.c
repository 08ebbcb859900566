// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_kemari_ring.c - the kernel's kemari_ring.c, with a guest that counts
 * and a backend that answers in any order (INV-31, INV-33, INV-34, INV-35)
 */
#include "tests/unit/kernel/kernel.h"

#include "backends/linux/kemari_ring.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
	SLOTS = 16,
	STRIDE = 24,
	RSP = 12,
	SEEDS = 200,
	STEPS = 2000,
	PACKET_MAX = 5,
};

unsigned int test_warned, test_broken, test_notified;
void (*test_barrier)(void);

/** struct world - one ring, both ends */
struct world {
	struct kemari_ring kr;
	struct kemari_domain domain;
	spinlock_t lock;
	struct kemari_back_ring back;
	union {
		struct kemari_sring sring;
		u8 bytes[sizeof(struct kemari_sring) + SLOTS * STRIDE];
	} page;
	unsigned int kicks;

	/* guest */
	u64 next_id, answered;
	u32 rsp_cons, prod;
	u64 expect[SLOTS];	/* id that each slot of a request has */

	/* backend: taken, not answered */
	u32 taken[SLOTS];
	u64 taken_id[SLOTS];
	u32 open;
	u32 packet_end;		/* of the guest's last packet */
};

/* What a slot holds, request or response. */
struct entry {
	u64 id;
	u32 what;		/* 1 request, 2 response */
	u32 slots;		/* of the packet that starts here, or 0 */
};

static struct world *w;

static struct entry *entry(u32 idx)
{
	return (struct entry *)(w->page.bytes +
				offsetof(struct kemari_sring, ring) +
				(size_t)(idx & (SLOTS - 1)) * STRIDE);
}

static void on_kick(struct kemari_ring *kr)
{
	assert_false(w->lock.held);
	assert_ptr_equal(kr, &w->kr);
	w->kicks++;
}

static void begin(u32 start)
{
	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	test_barrier = NULL;
	test_warned = test_broken = test_notified = 0;
	w->page.sring.req_prod = w->page.sring.rsp_prod = start;
	w->page.sring.req_event = w->page.sring.rsp_event = start + 1;
	w->back = (struct kemari_back_ring){
		start, start, SLOTS, &w->page.sring,
	};
	w->rsp_cons = w->prod = w->packet_end = start;
	kemari_ring_init(&w->kr);
	w->kr.irq = 1;
	w->kr.domain = &w->domain;
	w->kr.desc = (struct kemari_ring_desc){
		.back = &w->back, .stride = STRIDE, .rsp_bytes = RSP,
		.lock = &w->lock, .kick = on_kick,
	};
}

static void end(void)
{
	assert_int_equal(test_warned, 0);
	kr_reset(&w->kr);
	free(w);
}

/* --- the guest ---------------------------------------------------------- */

static bool guest_push(u32 slots)
{
	u32 i;

	if (w->prod + slots - w->rsp_cons > SLOTS)
		return false;
	for (i = 0; i < slots; i++) {
		*entry(w->prod) = (struct entry){
			.id = ++w->next_id, .what = 1, .slots = i ? 0 : slots,
		};
		w->expect[w->prod++ & (SLOTS - 1)] = w->next_id;
	}
	w->page.sring.req_prod = w->prod;
	return true;
}

/* In order mode the n-th response is that of the n-th request. */
static void guest_reap(bool in_order)
{
	for (; w->rsp_cons != w->page.sring.rsp_prod; w->rsp_cons++) {
		assert_int_equal(entry(w->rsp_cons)->what, 2);
		w->answered++;
		if (in_order)
			assert_int_equal(entry(w->rsp_cons)->id, w->answered);
	}
	w->page.sring.rsp_event = w->rsp_cons + 1;
}

/* Slots [rsp_prod, req_prod) are the guest's requests, untouched; INV-33. */
static void ring_is_exact(void)
{
	u32 i;

	for (i = w->page.sring.rsp_prod; i != w->prod; i++) {
		assert_int_equal(entry(i)->what, 1);
		assert_int_equal(entry(i)->id, w->expect[i & (SLOTS - 1)]);
	}
	/* A replay starts with a packet. */
	if (w->page.sring.rsp_prod != w->prod)
		assert_true(entry(w->page.sring.rsp_prod)->slots > 0);
}

/* --- the backend -------------------------------------------------------- */

/* Take whole packets up to the limit; true: some. */
static bool take(void)
{
	u32 limit = kemari_ring_limit(&w->kr, w->page.sring.req_prod), i, n;
	bool some = false;

	while (w->back.req_cons != limit) {
		n = entry(w->back.req_cons)->slots;
		assert_true(n > 0 && limit - w->back.req_cons >= n);
		for (i = 0; i < n; i++) {
			w->taken[w->open] = w->back.req_cons + i;
			w->taken_id[w->open++] = entry(w->back.req_cons + i)->id;
		}
		w->back.req_cons += n;
		kemari_ring_packet(&w->kr, w->back.req_cons - n, n);
		some = true;
	}
	return some;
}

static void stock_answer(u64 id)
{
	bool notify;

	*entry(w->back.rsp_prod_pvt++) = (struct entry){ .id = id, .what = 2 };
	RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&w->back, notify);
	test_notified += notify;
}

static void answer(u32 which)
{
	struct entry rsp = { .id = w->taken_id[which], .what = 2 };
	u32 idx = w->taken[which];

	w->open--;
	w->taken[which] = w->taken[w->open];
	w->taken_id[which] = w->taken_id[w->open];
	w->lock.held = true;
	if (!kemari_ring_gated(&w->kr))
		stock_answer(rsp.id);
	else
		test_notified += kemari_ring_answer(&w->kr, idx, &rsp);
	w->lock.held = false;
}

/* From stock to order, nothing in flight. */
static void shut(void)
{
	kr_shut(&w->kr, kr_slots(&w->kr));
	assert_true(kemari_ring_unsettled(&w->kr));
	assert_true(kemari_ring_settle(&w->kr));
}

/* --- tests -------------------------------------------------------------- */

static void test_fence(void **state)
{
	(void)state;
	begin(0xfffffff8u);
	assert_true(guest_push(3));
	shut();
	assert_true(take());
	assert_true(guest_push(1));
	assert_true(guest_push(2));
	assert_false(take());
	assert_true(kr_beyond(&w->kr));
	assert_false(kemari_ring_final_check(&w->kr));
	assert_int_equal(w->page.sring.req_event, w->prod + 1);
	assert_int_equal(w->domain.met.n, 1);
	assert_int_equal(w->domain.wait.woken, 1);
	assert_true(__kemari_ring_awaited(&w->kr));
	/* Told once; and again of more. */
	assert_false(kemari_ring_final_check(&w->kr));
	assert_int_equal(w->domain.met.n, 1);

	kr_freeze(&w->kr);
	kr_capture(&w->kr, 7);
	kr_thaw(&w->kr);
	assert_true(guest_push(1));
	assert_false(take());
	kr_release(&w->kr, 6);
	assert_false(take());
	assert_int_equal(w->kicks, 1);
	kr_release(&w->kr, 7);
	assert_int_equal(w->kicks, 2);
	assert_true(take());
	assert_int_equal(w->back.req_cons, w->prod - 1);
	kr_open(&w->kr);
	assert_true(take());
	assert_int_equal(w->back.req_cons, w->prod);
	end();
}

/* A push between the look and the arming is not missed. */
static void push_one(void)
{
	test_barrier = NULL;
	assert_true(guest_push(1));
}

static void test_final_check_race(void **state)
{
	(void)state;
	begin(0);
	shut();
	test_barrier = push_one;
	assert_false(kemari_ring_final_check(&w->kr));
	assert_int_equal(w->page.sring.req_event, 2);
	assert_int_equal(w->domain.met.n, 1);
	kr_open(&w->kr);
	assert_true(take());
	end();
}

static void test_drain(void **state)
{
	u32 i;

	(void)state;
	begin(5);
	for (i = 0; i < 4; i++)
		assert_true(guest_push(1));
	assert_true(take());
	kr_shut(&w->kr, kr_slots(&w->kr));
	/* Stock until the last of them is answered, and nothing new. */
	assert_true(guest_push(1));
	assert_false(take());
	assert_false(kemari_ring_final_check(&w->kr));
	answer(3);
	assert_int_equal(w->page.sring.rsp_prod, 6);
	assert_int_equal(entry(5)->id, 4);
	assert_false(kemari_ring_settle(&w->kr));
	for (i = 0; i < 3; i++)
		answer(0);
	assert_true(kemari_ring_settle(&w->kr));
	assert_false(kemari_ring_settle(&w->kr));
	/* What was there by then is before the fence. */
	assert_true(take());
	assert_true(guest_push(1));
	assert_false(take());
	/* Opened while it drains it is stock again. */
	kr_open(&w->kr);
	kr_shut(&w->kr, kr_slots(&w->kr));
	kr_open(&w->kr);
	assert_true(take());
	end();
}

/* Frozen, no byte of the page changes; INV-35. */
static void test_frozen(void **state)
{
	u8 before[sizeof(w->page)];
	u32 i;

	(void)state;
	begin(0);
	for (i = 0; i < 3; i++)
		assert_true(guest_push(1));
	shut();
	assert_true(take());
	kr_freeze(&w->kr);
	memcpy(before, &w->page, sizeof(before));
	for (i = 0; i < 3; i++)
		answer(0);
	assert_false(kemari_ring_final_check(&w->kr));
	assert_memory_equal(before, &w->page, sizeof(before));
	assert_int_equal(w->kr.queued, 3);
	assert_int_equal(w->kicks, 0);
	test_notified = 0;
	kr_thaw(&w->kr);
	assert_int_equal(w->page.sring.rsp_prod, 3);
	assert_int_equal(test_notified, 1);
	assert_int_equal(w->kicks, 1);
	guest_reap(true);

	kr_freeze(&w->kr);
	assert_false(kemari_ring_write_begin(&w->kr));
	kr_thaw(&w->kr);
	assert_int_equal(w->kicks, 2);
	assert_true(kemari_ring_write_begin(&w->kr));
	kemari_ring_write_end(&w->kr);

	/* A writer that only looked is called, too; another is not. */
	kr_freeze(&w->kr);
	assert_true(kemari_ring_frozen(&w->kr));
	kr_thaw(&w->kr);
	assert_int_equal(w->kicks, 3);
	assert_false(kemari_ring_frozen(&w->kr));
	kr_freeze(&w->kr);
	kr_thaw(&w->kr);
	assert_int_equal(w->kicks, 3);
	end();
}

/* What is there is no whole packet: its rest has to raise an event. */
static void test_part_of_a_packet(void **state)
{
	u32 limit;

	(void)state;
	begin(0);
	shut();
	assert_true(guest_push(1));
	kr_freeze(&w->kr);
	kr_capture(&w->kr, 1);
	kr_thaw(&w->kr);
	kr_release(&w->kr, 1);
	limit = kemari_ring_limit(&w->kr, w->prod);
	assert_int_equal(limit, 1);
	w->page.sring.req_event = 0;
	assert_true(kemari_ring_final_check(&w->kr));
	assert_int_equal(w->page.sring.req_event, 0);
	assert_false(kemari_ring_final_check_at(&w->kr, limit));
	assert_int_equal(w->page.sring.req_event, limit + 1);
	assert_true(kemari_ring_ordered(&w->kr));
	kr_open(&w->kr);
	assert_false(kemari_ring_ordered(&w->kr));
	end();
}

/* What is kept at OPEN is published, the holes come later. */
static void test_open_with_holes(void **state)
{
	u32 i;

	(void)state;
	begin(0);
	for (i = 0; i < 4; i++)
		assert_true(guest_push(1));
	shut();
	assert_true(take());
	answer(3);
	answer(1);
	assert_int_equal(w->page.sring.rsp_prod, 0);
	kr_open(&w->kr);
	assert_int_equal(w->page.sring.rsp_prod, 2);
	assert_int_equal(entry(0)->id, 2);
	assert_int_equal(entry(1)->id, 4);
	answer(0);
	answer(0);
	guest_reap(false);
	assert_int_equal(w->answered, 4);
	end();
}

/* A req_prod that goes back or too far closes this ring; INV-31. */
static void test_hostile(void **state)
{
	static const int32_t step[] = { -1, SLOTS + 1, INT32_MAX, INT32_MIN };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		begin(100);
		assert_true(guest_push(2));
		shut();
		assert_true(take());
		w->page.sring.req_prod += (u32)step[i];
		assert_false(take());
		assert_false(kemari_ring_final_check(&w->kr));
		assert_int_equal(test_broken, 1);
		assert_int_equal(w->domain.met.n, 0);
		/* It stays so, and what was taken is answered. */
		w->page.sring.req_prod = w->prod;
		assert_true(guest_push(1));
		kr_freeze(&w->kr);
		kr_capture(&w->kr, 1);
		kr_thaw(&w->kr);
		kr_release(&w->kr, 1);
		assert_false(take());
		assert_false(kr_beyond(&w->kr));
		answer(0);
		answer(0);
		assert_int_equal(w->page.sring.rsp_prod, 102);
		end();
	}
}

static void test_unsafe(void **state)
{
	(void)state;
	begin(0);
	unsafe_no_order = true;
	assert_true(guest_push(1));
	assert_true(guest_push(1));
	shut();
	assert_true(take());
	answer(1);
	assert_int_equal(w->page.sring.rsp_prod, 1);
	assert_int_equal(entry(0)->id, 2);
	kr_freeze(&w->kr);
	answer(0);
	kr_thaw(&w->kr);
	assert_int_equal(entry(1)->id, 1);
	unsafe_no_order = false;

	unsafe_no_fence = true;
	assert_true(guest_push(1));
	assert_true(take());
	/* Back behind the fence nothing is taken twice. */
	unsafe_no_fence = false;
	assert_true(guest_push(1));
	assert_false(take());
	end();
}

/* --- at random ---------------------------------------------------------- */

static u64 seed;

static u32 pick(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed % n);
}

/** struct gate - what the test knows of it */
struct gate {
	bool frozen;
	u64 captured, released;
	u32 mark[4];		/* of captured epochs, by number */
	u32 fence;
};

static void step(struct gate *g)
{
	switch (pick(8)) {
	case 0:
	case 1:
		guest_push(1 + pick(PACKET_MAX));
		break;
	case 2:
		take();
		assert_true((s32)(w->back.req_cons - g->fence) <= 0);
		if (!kemari_ring_final_check(&w->kr) && !g->frozen)
			assert_int_equal(w->page.sring.req_event, w->prod + 1);
		break;
	case 3:
	case 4:
		if (w->open)
			answer(pick(w->open));
		break;
	case 5:
		if (!g->frozen)
			kr_freeze(&w->kr);
		else
			kr_thaw(&w->kr);
		g->frozen = !g->frozen;
		break;
	case 6:
		if (!g->frozen || g->captured - g->released == 4)
			break;
		kr_capture(&w->kr, ++g->captured);
		g->mark[g->captured % 4] = w->prod;
		break;
	default:
		if (g->captured == g->released)
			break;
		g->released += 1 + pick((u32)(g->captured - g->released));
		g->fence = g->mark[g->released % 4];
		kr_release(&w->kr, g->released);
	}
	ring_is_exact();
	guest_reap(true);
}

static void test_torture(void **state)
{
	struct gate g;
	u64 n;
	int i;

	(void)state;
	for (n = 1; n <= SEEDS; n++) {
		seed = n * 0x9e3779b97f4a7c15u;
		begin((u32)-40 + (u32)n);
		shut();
		g = (struct gate){ .fence = w->prod };
		for (i = 0; i < STEPS; i++)
			step(&g);
		/* Every request has its answer in the end. */
		kr_open(&w->kr);
		take();
		while (w->open)
			answer(0);
		guest_reap(false);
		assert_int_equal(w->answered, w->next_id);
		assert_true(w->answered > STEPS / 20);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_final_check_race),
		cmocka_unit_test(test_part_of_a_packet),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_open_with_holes),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_unsafe),
		cmocka_unit_test(test_torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
