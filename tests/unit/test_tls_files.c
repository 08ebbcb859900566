// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_tls_files.c - which files TLS takes, and those that kemari pki makes
 */
#include "tests/unit/link_end.h"

#include <sys/stat.h>

#include <openssl/pem.h>

enum { DAY_S = 86400 };

static void bad_files(const struct tls_config *c, const char *path,
		      const char *word)
{
	struct tls *t = tls_new(c, why);

	assert_null(t);
	says(why, path);
	says(why, word);
}

static void put(const char *path, const void *bytes, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Each by name, value and rule (INV-32). */
static void test_files(void **state)
{
	struct pki_files f = { 0 }, other = { 0 };
	struct tls_config c = pki_config(&f, "ca", "a", NULL), d;
	char path[PATH_MAX + 8];
	EVP_PKEY *key;
	FILE *file;
	char *large = calloc(1, TLS_FILE_MAX + 1);

	(void)state;
	(void)pki_config(&other, "other", "a", NULL);
	snprintf(path, sizeof(path), "%s/file", pki_dir);
	d = c;
	d.key = path;
	bad_files(&d, path, "No such file");
	says(why, "--plaintext");
	says(why, "--tls-key");

	copy(f.key, path);
	assert_int_equal(chmod(path, 0640), 0);
	bad_files(&d, path, "mode 0640: must be accessible to its owner only");
	assert_int_equal(chmod(path, 0604), 0);
	bad_files(&d, path, "mode 0604");
	assert_int_equal(chmod(path, 0400), 0);
	tls_free(pki_tls(&d));
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		bad_files(&d, path, "owned by user 12345: must be root's");
	}
	assert_int_equal(remove(path), 0);

	put(path, "no key", 6, 0600);
	bad_files(&d, path, "must hold a private key in PEM");
	put(path, large, TLS_FILE_MAX + 1, 0600);
	bad_files(&d, path, "65537 bytes: must be 65536 or less");
	d.key = pki_dir;
	bad_files(&d, pki_dir, "must be a file");
	d.key = other.key;
	bad_files(&d, other.key, "not the key of the certificate");

	file = fopen(f.key, "re");
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	file = fopen(path, "we");
	PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), NULL, 0, NULL,
			     "secret");
	fclose(file);
	EVP_PKEY_free(key);
	d.key = path;
	bad_files(&d, path, "must be without a password");

	d = c;
	d.cert = path;
	bad_files(&d, path, "must hold certificates in PEM");
	put(path, "-----BEGIN CERTIFICATE-----\nAAAA\n", 33, 0644);
	bad_files(&d, path, "must hold certificates in PEM");
	d = c;
	d.ca = path;
	copy(f.ca, path);
	assert_int_equal(chmod(path, 0664), 0);
	bad_files(&d, path, "mode 0664: must not be writable by group or others");
	d.ca = other.ca;
	bad_files(&d, f.cert, "is of another CA than that in");
	c = pki_config(&f, "ca", "old", NULL);
	bad_files(&c, f.cert, "(old, 127.0.0.1, ::1) has expired: valid until");
	c = pki_config(&f, "ca", "early", NULL);
	bad_files(&c, f.cert, "is not valid yet: valid from");
	remove(path);
	free(large);
}

static void test_pki(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", "a/b", "-a", "a b", "a,DNS:b", "1.2.3.4.", "h\n",
		"a123456789012345678901234567890123456789012345678901234567890123",
	};
	struct pki_host h = { .name = "d" };
	char dir[PATH_MAX], path[PATH_MAX + 32], text[PKI_WHY_MAX];
	struct stat st;
	bool made;
	size_t i;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/fresh", pki_dir);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		h = (struct pki_host){ .name = bad[i] };
		if (strcmp(bad[i], "1.2.3.4.") != 0) {
			assert_int_equal(pki_issue(dir, &h, &made, text), -1);
			says(text, "a host's name has");
		}
		h = (struct pki_host){ .name = "d", .more = &bad[i], .n = 1 };
		if (strcmp(bad[i], "1.2.3.4.") != 0)
			assert_int_equal(pki_issue(dir, &h, &made, text), -1);
	}
	assert_int_equal(stat(dir, &st), -1);

	h = (struct pki_host){ .name = "d" };
	assert_int_equal(pki_issue(dir, &h, &made, text), 0);
	assert_true(made);
	snprintf(path, sizeof(path), "%s/ca.key", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s/d/host.key", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(pki_issue(dir, &h, &made, text), -1);
	says(text, "exists");
	assert_false(made);
	h.name = "e";
	assert_int_equal(pki_issue(dir, &h, &made, text), 0);
	assert_false(made);

	/* Of a CA whose key is another's nothing is issued. */
	snprintf(path, sizeof(path), "%s/d/host.key", dir);
	snprintf(text, sizeof(text), "%.400s/ca.key", dir);
	copy(path, text);
	h.name = "f";
	assert_int_equal(pki_issue(dir, &h, &made, text), -1);
	says(text, "is not the key of ca.pem");
	snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files), cmocka_unit_test(test_pki),
	};
	time_t now = time(NULL);
	int failed;

	pki_begin();
	pki_make("ca", "a", 0, 0);
	pki_make("ca", "old", now - 9 * DAY_S, now - 2 * DAY_S);
	pki_make("ca", "early", now + 2 * DAY_S, now + 9 * DAY_S);
	pki_make("other", "a", 0, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pki_end();
	return failed;
}
