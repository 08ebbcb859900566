// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_stream.c - a recorded session of the whole engine, read by the second
 *		   reader: same checkpoints, same memory
 */
#include "tests/sim/engine.h"
#include "tests/unit/reader.h"

#include <openssl/evp.h>

static struct engine engine;

/* SHA-256 over each frame's number and bytes, ascending. */
static void standby_sha(struct platform *p, uint8_t *sha)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct gfn_range range[64];
	size_t n = 64, i;
	uint64_t gfn;

	assert_int_equal(p->ops->ranges(p, range, &n), 0);
	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	for (i = 0; i < n; i++) {
		for (gfn = range[i].first;
		     gfn < range[i].first + range[i].count; gfn++) {
			EVP_DigestUpdate(ctx, &gfn, sizeof(gfn));
			EVP_DigestUpdate(ctx, p->ops->page_rw(p, gfn),
					 PLATFORM_PAGE);
		}
	}
	EVP_DigestFinal_ex(ctx, sha, NULL);
	EVP_MD_CTX_free(ctx);
}

static void test_recorded(void **state)
{
	char path[] = "/tmp/kemari-stream-XXXXXX", value[24];
	struct engine *e = &engine;
	const struct staging_view *v;
	uint8_t sha[32];
	int fd = mkstemp(path);

	(void)state;
	engine_new(e, 11);
	e->recording = fdopen(fd, "w");
	assert_non_null(e->recording);
	assert_int_equal(engine_start(e), 0);
	engine_run(e, 60 * MS);
	assert_true(staging_eligible(e->staging));
	/* A cut, and the session is resumed. */
	assert_non_null(e->pair);
	link_pair_cut(e->pair);
	engine_run(e, 60 * MS);
	assert_true(e->connections > 1);
	while (staging_pending(e->staging))
		engine_run(e, 1 * US);

	assert_int_equal(fclose(e->recording), 0);
	e->recording = NULL;
	if (reader_run(path))
		fail_msg("%.2000s", reader_answer);
	unlink(path);
	v = staging_view(e->staging);
	snprintf(value, sizeof(value), "%llu",
		 (unsigned long long)v->committed);
	reader_expect("committed", value);
	reader_expect_hex("digest", v->digest, sizeof(v->digest));
	standby_sha(e->b.platform, sha);
	reader_expect_hex("memory_sha256", sha, sizeof(sha));
	reader_expect("RESUME", "1");
	/* Pages that refer to others were among them. */
	assert_non_null(strstr(reader_answer, "\"delta\": "));
	assert_null(strstr(reader_answer, "\"same\": 0,"));
	assert_null(strstr(reader_answer, "\"delta\": 0"));
	engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
