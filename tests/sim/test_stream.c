// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_stream.c - a recorded session of the whole engine, read by the second
 *		   reader: same checkpoints, same memory
 *
 * tests/tools/stream_reader.py knows docs/PROTOCOL.md and none of our code.
 */
#include "tests/sim/engine.h"

#include <openssl/evp.h>
#include <sys/wait.h>

static struct engine engine;
static char answer[1 << 20];

static int run_reader(const char *path)
{
	char command[256];
	FILE *out;
	size_t n;
	int status;

	snprintf(command, sizeof(command),
		 "python3 tests/tools/stream_reader.py %s 2>&1", path);
	out = popen(command, "r");
	assert_non_null(out);
	n = fread(answer, 1, sizeof(answer) - 1, out);
	answer[n] = '\0';
	status = pclose(out);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect(const char *key, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line), "\"%s\": %s", key, value);
	if (!strstr(answer, line))
		fail_msg("no '%s' in:\n%.2000s", line, answer);
}

static void hex(char *out, const uint8_t *bytes, size_t n)
{
	size_t i;

	*out++ = '"';
	for (i = 0; i < n; i++)
		out += sprintf(out, "%02x", bytes[i]);
	strcpy(out, "\"");
}

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
	char path[] = "/tmp/kemari-stream-XXXXXX", value[80];
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
	if (run_reader(path))
		fail_msg("%.2000s", answer);
	unlink(path);
	v = staging_view(e->staging);
	snprintf(value, sizeof(value), "%llu",
		 (unsigned long long)v->committed);
	expect("committed", value);
	hex(value, v->digest, sizeof(v->digest));
	expect("digest", value);
	standby_sha(e->b.platform, sha);
	hex(value, sha, sizeof(sha));
	expect("memory_sha256", value);
	expect("RESUME", "1");
	engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
