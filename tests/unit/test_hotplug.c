// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_hotplug.c - which scripts are run, how, and for how long (INV-39)
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libxc-ext/hotplug.h"

enum { PATH_LEN = 128, FOREVER_MS = 60000 };

static char dir[64], path[PATH_LEN], why[HOTPLUG_WHY_MAX];

static void script(const char *name, const char *text, mode_t mode)
{
	char at[PATH_LEN];
	FILE *f;

	snprintf(at, sizeof(at), "%s/%s", dir, name);
	f = fopen(at, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(at, mode), 0);
}

static int find(const char *name)
{
	why[0] = '\0';
	return hotplug_path(dir, name, getuid(), path, sizeof(path), why);
}

static int start(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test-hotplug-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void which(void **state)
{
	(void)state;
	script("good", "exit 0", 0755);
	script("group", "exit 0", 0775);
	script("all", "exit 0", 0757);
	script("data", "exit 0", 0644);
	assert_int_equal(find("good"), 0);
	assert_int_equal(find("group"), -1);
	assert_non_null(strstr(why, "written by others"));
	assert_int_equal(find("all"), -1);
	assert_int_equal(find("data"), -1);
	assert_non_null(strstr(why, "executed"));
	assert_int_equal(find("none"), -1);
	assert_non_null(strstr(why, "none on this host"));
	assert_int_equal(find("."), -1);
	assert_int_equal(hotplug_path(dir, "good", getuid() + 1, path,
				      sizeof(path), why), -1);
	assert_non_null(strstr(why, "belongs to"));
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(find("good"), -1);
}

static void run(void **state)
{
	const char *const arg[] = { "add", "type_if=vif", NULL };
	const struct hotplug_env env[] = { { "vif", "vif3.0" } };
	uint64_t deadline = hotplug_now() + FOREVER_MS;
	char said[PATH_LEN], text[128] = "", body[256];
	int inherited = open("/dev/null", O_RDONLY);
	FILE *f;

	(void)state;
	snprintf(said, sizeof(said), "%s/said", dir);
	/* Its arguments, its variables, and none of our files. */
	snprintf(body, sizeof(body),
		 "echo \"$1 $2 $vif\" >%s; [ ! -e /proc/self/fd/%d ]", said,
		 inherited);
	script("say", body, 0755);
	assert_int_equal(find("say"), 0);
	assert_int_equal(hotplug_wait(hotplug_start(path, arg, env, 1),
				      deadline, why), 0);
	f = fopen(said, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	close(inherited);
	assert_string_equal(text, "add type_if=vif vif3.0\n");

	script("fail", "exit 3", 0755);
	assert_int_equal(find("fail"), 0);
	assert_int_equal(hotplug_wait(hotplug_start(path, arg, NULL, 0),
				      deadline, why), -1);
	assert_int_equal(errno, EIO);
	assert_non_null(strstr(why, "status 3"));
}

/* Time is up: it and what it has started go. */
static void too_long(void **state)
{
	const char *const arg[] = { "add", NULL };
	char body[256], done[PATH_LEN];
	pid_t pid;

	(void)state;
	snprintf(done, sizeof(done), "%s/done", dir);
	snprintf(body, sizeof(body), "sleep 1000 & wait; touch %s", done);
	script("hang", body, 0755);
	assert_int_equal(find("hang"), 0);
	pid = hotplug_start(path, arg, NULL, 0);
	assert_true(pid > 0);
	assert_int_equal(hotplug_wait(pid, hotplug_now() + 50, why), -1);
	assert_int_equal(errno, ETIME);
	assert_int_equal(access(done, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test_setup_teardown(which, start, end),
		cmocka_unit_test_setup_teardown(run, start, end),
		cmocka_unit_test_setup_teardown(too_long, start, end),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
