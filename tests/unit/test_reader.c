// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_reader.c - what the engine sends, as the second reader understands it
 */
#include "tests/unit/session.h"
#include "tests/unit/reader.h"

#include <openssl/sha.h>

/* Exit status of the reader on the session's bytes from @skip to @end. */
static int run_reader(const struct stream *in, size_t end)
{
	char path[] = "/tmp/kemari-stream-XXXXXX";
	struct wire_hello h = {
		.magic = WIRE_HELLO_MAGIC, .version = WIRE_VERSION,
		.compatible = WIRE_COMPATIBLE, .role = WIRE_PRIMARY,
		.page_size = WIRE_PAGE, .session = SESSION, .name = "demo",
	};
	uint8_t hello[sizeof(struct wire_head) + sizeof(h)];
	int fd = mkstemp(path), status;

	assert_true(fd >= 0);
	wire_put(hello, WIRE_HELLO, &h, sizeof(h));
	assert_int_equal(write(fd, hello, sizeof(hello)), sizeof(hello));
	assert_int_equal(write(fd, in->bytes, end), end);
	close(fd);
	status = reader_run(path);
	unlink(path);
	return status;
}

static void expect_image(const struct stream *in)
{
	uint8_t image[PAGES * (8 + WIRE_PAGE)], sha[SHA256_DIGEST_LENGTH];
	uint64_t i, gfn;

	for (i = 0; i < PAGES; i++) {
		gfn = GFN0 + i;
		memcpy(image + i * (8 + WIRE_PAGE), &gfn, 8);
		memcpy(image + i * (8 + WIRE_PAGE) + 8,
		       in->memory[CKPTS] + i * WIRE_PAGE, WIRE_PAGE);
	}
	SHA256(image, sizeof(image), sha);
	reader_expect_hex("memory_sha256", sha, sizeof(sha));
}

/* Change byte @at, which is in message @i, and make its sum right. */
static void resum(struct stream *in, unsigned int i, size_t at)
{
	size_t len = message_len(in, i) - sizeof(struct wire_head);
	uint8_t *body = malloc(len);

	in->bytes[at] ^= 1;
	memcpy(body, wire_body(message(in, i)), len);
	wire_put(in->bytes + in->at[i], message_type(in, i), body, len);
	free(body);
}

/* The same memory, digest and records, by another program. */
static void test_same_understanding(void **state)
{
	struct stream *in = stream_new();

	(void)state;
	if (run_reader(in, in->used))
		fail_msg("%s", reader_answer);
	expect_image(in);
	reader_expect_hex("digest", in->digest[CKPTS], WIRE_DIGEST);
	reader_expect("committed", "3");
	reader_expect("frames", "24");
	assert_non_null(strstr(reader_answer, "6e6f646573"));	/* "nodes" stayed */
	stream_free(in);
}

/* Pages that refer to the checkpoint before, too. */
static void test_references(void **state)
{
	struct stream *in = stream_make(true, true);
	size_t at = in->at[in->ckpt[2] + 1];

	(void)state;
	if (run_reader(in, in->used))
		fail_msg("%s", reader_answer);
	reader_expect("same", "2");
	assert_null(strstr(reader_answer, "\"delta\": 0"));
	expect_image(in);
	/* Another hash in the first page of checkpoint 2, under a right sum. */
	resum(in, in->ckpt[2] + 1, at + sizeof(struct wire_head) +
	      sizeof(struct wire_batch) + sizeof(struct wire_page));
	assert_int_equal(run_reader(in, in->used), 1);
	assert_non_null(strstr(reader_answer, "refers to another page"));
	stream_free(in);
}

/* It is a reader that says no, too. */
static void test_refuses(void **state)
{
	static const size_t flips[] = { 40, 30000 };
	struct stream *in = stream_new();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
		in->bytes[flips[i]] ^= 4;
		assert_int_equal(run_reader(in, in->used), 1);
		in->bytes[flips[i]] ^= 4;
	}
	assert_int_equal(run_reader(in, in->used - 1), 1);
	assert_int_equal(run_reader(in, in->at[in->ckpt[2]]), 0);
	reader_expect("committed", "1");
	stream_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_understanding),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
