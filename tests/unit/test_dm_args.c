// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dm_args.c - command lines of device models: what is taken, what not
 */
#include "libxc-ext/dm_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { FLIPS = 20000 };

static char said[1024];

static void say(void *arg, const char *text)
{
	size_t used = strlen(said);

	(void)arg;
	snprintf(said + used, sizeof(said) - used, "%s\n", text);
}

/* As libxl makes it; words end with a blank here, with a NUL there. */
static const char usual[] =
	"/usr/libexec/xen-qemu-system-i386 -xen-domid 2 -no-shutdown "
	"-chardev socket,id=libxl-cmd,path=/var/run/xen/qmp-libxl-2,server=on,wait=off "
	"-mon chardev=libxl-cmd,mode=control "
	"-chardev socket,id=libxenstat-cmd,path=/var/run/xen/qmp-libxenstat-2,server=on,wait=off "
	"-mon chardev=libxenstat-cmd,mode=control -nodefaults -no-user-config "
	"-name h -vnc none -display none -kernel /k -initrd /i -append x "
	"-serial none -boot order=cda -smp 2,maxcpus=2 -net none "
	"-machine xenfv,suppress-vmdesc=on -m 128 ";

/* @text without @cut and with @more; a copy of just that size. */
static char *line(const char *text, const char *cut, const char *more,
		  size_t *len)
{
	const char *at = cut ? strstr(text, cut) : text + strlen(text);
	char *out = malloc(strlen(text) + strlen(more) + 1);
	size_t i;

	assert_non_null(at);
	assert_non_null(out);
	*len = (size_t)sprintf(out, "%.*s%s%s", (int)(at - text), text, more,
			       at + (cut ? strlen(cut) : 0));
	for (i = 0; i < *len; i++)
		if (out[i] == ' ')
			out[i] = '\0';
	return out;
}

static size_t read_changed(const char *cut, const char *more,
			   struct dm_args *a)
{
	size_t len, bad;
	char *l = line(usual, cut, more, &len);

	said[0] = '\0';
	bad = dm_args_read(l, len, a, say, NULL);
	assert_int_equal(!bad, !said[0]);
	free(l);
	return bad;
}

static void test_usual(void **state)
{
	struct dm_args a;

	(void)state;
	assert_int_equal(read_changed(NULL, "", &a), 0);
	assert_int_equal(a.memory_mib, 128);
	assert_int_equal(a.vcpus, 2);
	assert_true(a.kernel);
	assert_int_equal(read_changed("-smp 2,maxcpus=2 ", "", &a), 0);
	assert_int_equal(a.vcpus, 1);
	assert_int_equal(read_changed("-kernel /k ", "", &a), 0);
	assert_false(a.kernel);
}

/* INV-32: each is named. */
static void refused(const char *cut, const char *more, const char *named)
{
	struct dm_args a;

	assert_int_not_equal(read_changed(cut, more, &a), 0);
	assert_non_null(strstr(said, named));
}

static void test_refused(void **state)
{
	(void)state;
	refused("-vnc none", "-vnc 127.0.0.1:0,to=99", "127.0.0.1:0");
	refused("-serial none", "-serial pty", "-serial pty");
	refused("-net none ", "-device rtl8139,id=nic0,netdev=net0 ",
		"-device");
	refused(NULL, "-drive file=/d,if=ide ", "-drive");
	refused(NULL, "-usb ", "-usb");
	refused(NULL, "-chardev socket,id=mine,path=/x ", "id=mine");
	refused("-m 128 ", "", "memory");
	refused("-m 128", "-m 0", "-m 0");
	refused("-m 128", "-m 99999999999", "-m 9999");
	refused("-m 128", "-m 128M", "-m 128M");
	refused("2,maxcpus=2", "2,sockets=2", "sockets");
	/* An argument whose value is missing. */
	refused(NULL, "-boot ", "-boot");
	refused(NULL, "-bo", "ends");
	refused("-machine xenfv,suppress-vmdesc=on", "-machine q35", "q35");
}

/* What we make is what we take: the guest is protected again from there. */
static void test_made(void **state)
{
	struct dm_args a = { .memory_mib = 4096, .vcpus = 3, .kernel = true };
	struct dm_args b;
	static struct dm_line l;
	char text[DM_ARGS_MAX * DM_ARG_MAX];
	size_t len = 0, i;

	(void)state;
	dm_args_make(&a, "/usr/libexec/x", 32751, &l);
	assert_true(l.n < DM_ARGS_MAX);
	for (i = 0; i < l.n; i++) {
		assert_ptr_equal(l.argv[i], l.text[i]);
		memcpy(text + len, l.argv[i], strlen(l.argv[i]) + 1);
		len += strlen(l.argv[i]) + 1;
	}
	assert_null(l.argv[l.n]);
	said[0] = '\0';
	assert_int_equal(dm_args_read(text, len, &b, say, NULL), 0);
	assert_int_equal(b.memory_mib, a.memory_mib);
	assert_int_equal(b.vcpus, a.vcpus);
	assert_int_equal(b.kernel, a.kernel);
	assert_true(dm_args_serves(text, len, 32751));
	assert_false(dm_args_serves(text, len, 3275));
	assert_false(dm_args_serves(text, 0, 32751));
	assert_string_equal(l.argv[0], "/usr/libexec/x");
}

/* A process may say anything about itself. */
static void test_flips(void **state)
{
	struct dm_args a;
	size_t len;
	char *l = line(usual, NULL, "", &len);

	(void)state;
	srand(1);	/* NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time */
	for (int n = 0; n < FLIPS; n++) {
		size_t some = (size_t)rand() % (len + 1);
		char *copy = malloc(some ? some : 1);

		assert_non_null(copy);
		memcpy(copy, l, some);
		for (int f = 0; some && f < 1 + n % 4; f++)
			copy[(size_t)rand() % some] ^= 1 << rand() % 8;
		said[0] = '\0';
		dm_args_read(copy, some, &a, say, NULL);
		dm_args_serves(copy, some, 2);
		free(copy);
	}
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_flips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
