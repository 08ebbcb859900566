// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dm_hostile.c - a device model that answers in form and lies in substance
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ioemu/dm.h"

enum {
	TIMEOUT_MS = 20000,		/* never reached unless it hangs */
	FEW_MS = 300,			/* as many questions, and each answer */
	REQUEST_MAX = 4096,
};

static char dir[] = "/tmp/kemari-hostile-XXXXXX", path[64];
static struct recbuf buf;
static struct dm *dm;
static pid_t server;

/* What it returns; @fd came with this or a former request, or -1. */
typedef const char *reply_fn(const char *request, int fd);

/* One request, which ends where its object ends; false: the client has gone. */
static bool hear(int from, char *request, int *fd)
{
	char room[CMSG_SPACE(sizeof(int))];
	int depth = 0;
	size_t n = 0;

	do {
		struct iovec iov = { .iov_base = request + n, .iov_len = 1 };
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = room, .msg_controllen = sizeof(room),
		};
		struct cmsghdr *c;

		if (n == REQUEST_MAX - 1 || recvmsg(from, &msg, 0) != 1)
			return false;
		c = CMSG_FIRSTHDR(&msg);
		if (c)
			memcpy(fd, CMSG_DATA(c), sizeof(int));
		depth += (request[n] == '{') - (request[n] == '}');
		n++;
	} while (depth);
	request[n] = '\0';
	return true;
}

static void serve(int listener, reply_fn *reply)
{
	int to = accept(listener, NULL, NULL), fd = -1;
	char request[REQUEST_MAX];
	unsigned int id = 0;

	dprintf(to, "{\"QMP\": {}}\n");
	while (hear(to, request, &fd)) {
		dprintf(to, "{\"return\": %s, \"id\": %u}\n",
			id ? reply(request, fd) : "{}", id + 1);
		id++;
	}
	_exit(0);
}

static void start_for(reply_fn *reply, unsigned int timeout_ms)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	server = fork();
	assert_true(server >= 0);
	if (!server)
		serve(fd, reply);
	close(fd);
	dm = dm_new(timeout_ms);
	assert_non_null(dm);
	if (dm_connect(dm, path))
		fail_msg("%s", dm_why(dm));
}

static void start(reply_fn *reply)
{
	start_for(reply, TIMEOUT_MS);
}

static int teardown(void **state)
{
	(void)state;
	dm_free(dm);
	dm = NULL;
	recbuf_free(&buf);
	if (server > 0)
		waitpid(server, NULL, 0);
	server = 0;
	return 0;
}

static void failed(int r, int err, const char *word)
{
	int got = errno;

	assert_int_equal(r, -1);
	assert_int_equal(got, err);
	if (!strstr(dm_why(dm), word))
		fail_msg("\"%s\" does not say \"%s\"", dm_why(dm), word);
}

/* --- devices ----------------------------------------------------------- */

static const char *types_or(const char *request, const char *list)
{
	return strstr(request, "qom-list-types") ?
	       "[{\"name\": \"VGA\"}, {\"name\": \"bad\\u001b[2J\"}]" : list;
}

static const char *endless(const char *request, int fd)
{
	(void)fd;
	return types_or(request, "[{\"name\": \"a\", \"type\": \"child<x>\"}]");
}

static const char *unknown(const char *request, int fd)
{
	(void)fd;
	return types_or(request, strstr(request, "\"/machine\"") ||
			strstr(request, "\"\\/machine\"") ?
			"[{\"name\": \"a\", \"type\": \"child<VGA>\"},"
			" {\"name\": \"b\","
			" \"type\": \"child<bad\\u001b[2J>\"},"
			" {\"name\": \"c\", \"type\": \"child<other>\"},"
			" {\"name\": \"d\", \"type\": \"link<bad\\u001b[2J>\"},"
			" {\"name\": 5}, 7, null]" : "[]");
}

static const char *no_list(const char *request, int fd)
{
	(void)fd;
	return types_or(request, "{}");
}

static const char *nothing(const char *request, int fd)
{
	(void)request;
	(void)fd;
	return "[]";
}

static void devices(void **state)
{
	(void)state;
	start(endless);
	failed(dm_check(dm), EPROTO, "too many or too deep");
	teardown(state);
	start(unknown);
	failed(dm_check(dm), ENOTSUP, "has 1 device that cannot be protected:"
	       " bad?[2J (/machine/b)");
	teardown(state);
	start(no_list);
	failed(dm_check(dm), EPROTO, "no list");
	teardown(state);
	start(nothing);
	failed(dm_check(dm), EPROTO, "no type of device");
}

/* --- states ------------------------------------------------------------ */

static const char *writes_nothing(const char *request, int fd)
{
	(void)request;
	(void)fd;
	return "{}";
}

static const char *writes_too_much(const char *request, int fd)
{
	if (strstr(request, "xen-save") && ftruncate(fd, DM_STATE_MAX + 1))
		return "\"no descriptor\"";
	return "{}";
}

static const char *writes_garbage(const char *request, int fd)
{
	static const char text[] = "QEVM\0\0\0\3\4garbage";

	if (strstr(request, "xen-save") &&
	    write(fd, text, sizeof(text)) != sizeof(text))
		return "\"no descriptor\"";
	return "{}";
}

static void states(void **state)
{
	(void)state;
	start(writes_nothing);
	failed(dm_save(dm, &buf), EPROTO, "0 bytes that are no device model's");
	assert_int_equal(buf.used, 0);
	teardown(state);
	start(writes_too_much);
	failed(dm_save(dm, &buf), EPROTO, "4194305 bytes, at most 4194304");
	assert_int_equal(buf.used, 0);
	teardown(state);
	start(writes_garbage);
	failed(dm_save(dm, &buf), EPROTO, "begins no section");
	/* The second one begins at the start of the file again. */
	failed(dm_save(dm, &buf), EPROTO, "begins no section");
	assert_int_equal(buf.used, 0);
}

/* --- a standby --------------------------------------------------------- */

static const char one_section[] =
	"QEVM\0\0\0\3\4\0\0\0\0\5timer\0\0\0\0\0\0\0\2data";

static const char *never_loads(const char *request, int fd)
{
	(void)fd;
	return strstr(request, "query-status") ?
	       "{\"status\": \"inmigrate\"}" : "{}";
}

static const char *no_status(const char *request, int fd)
{
	(void)fd;
	return strstr(request, "query-status") ? "{\"status\": 1}" : "{}";
}

static void standbys(void **state)
{
	(void)state;
	start(no_status);
	failed(dm_load(dm, one_section, sizeof(one_section)), EBUSY,
	       "is \"\" and does not wait");
	failed(dm_run(dm), EPROTO, "is \"\" after it was told to run");
}

static void standby_waits_for_ever(void **state)
{
	(void)state;
	start_for(never_loads, FEW_MS);
	failed(dm_load(dm, one_section, sizeof(one_section)), ETIMEDOUT,
	       "had not loaded its state");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		TEST(devices), TEST(states), TEST(standbys),
		TEST(standby_waits_for_ever),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/qmp", dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return r;
}
