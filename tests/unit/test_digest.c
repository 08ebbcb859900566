// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_digest.c - the chain: known value, order, predecessor, count
 */
#include "tests/unit/session.h"

static uint8_t beat[2][sizeof(struct wire_head) +
		       sizeof(struct wire_heartbeat)];

static void digest_of(struct digest *d, const uint8_t *previous, int first,
		      int second, uint8_t *out)
{
	digest_start(d, previous);
	digest_add(d, beat[first]);
	digest_add(d, beat[second]);
	assert_int_equal(digest_messages(d), 2);
	assert_int_equal(digest_finish(d, out), 0);
}

static void test_known(void **state)
{
	/* SHA-256 of 32 zero bytes. */
	static const uint8_t known[WIRE_DIGEST] = {
		0x66, 0x68, 0x7a, 0xad, 0xf8, 0x62, 0xbd, 0x77,
		0x6c, 0x8f, 0xc1, 0x8b, 0x8e, 0x9f, 0x8e, 0x20,
		0x08, 0x97, 0x14, 0x85, 0x6e, 0xe2, 0x33, 0xb3,
		0x90, 0x2a, 0x59, 0x1d, 0x0d, 0x5f, 0x29, 0x25,
	};
	struct digest *d = digest_new();
	uint8_t out[WIRE_DIGEST];

	(void)state;
	digest_start(d, NULL);
	assert_int_equal(digest_finish(d, out), 0);
	assert_memory_equal(out, known, sizeof(out));
	digest_free(d);
}

static void test_chain(void **state)
{
	uint8_t a[WIRE_DIGEST], b[WIRE_DIGEST];
	struct wire_heartbeat h = { .sequence = 1 };
	struct digest *d = digest_new();

	(void)state;
	wire_put(beat[0], WIRE_HEARTBEAT, &h, sizeof(h));
	h.sequence = 2;
	wire_put(beat[1], WIRE_HEARTBEAT, &h, sizeof(h));

	digest_of(d, NULL, 0, 1, a);
	digest_of(d, NULL, 0, 1, b);
	assert_memory_equal(a, b, sizeof(a));
	digest_of(d, NULL, 1, 0, b);		/* order */
	assert_memory_not_equal(a, b, sizeof(a));
	digest_of(d, NULL, 0, 0, b);		/* content */
	assert_memory_not_equal(a, b, sizeof(a));
	digest_of(d, a, 0, 1, b);		/* predecessor */
	assert_memory_not_equal(a, b, sizeof(a));
	digest_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
