// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_qmp.c - a device model that answers anything but what it should
 */
#include <errno.h>
#include <json-c/json.h>
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

#include "ioemu/qmp.h"

enum {
	PATIENT_MS = 20000,		/* never reached unless it hangs */
	HASTY_MS = 50,			/* where the answer never comes */
};

#define GREETING "{\"QMP\": {}}\n"
#define READY "{\"return\": {}, \"id\": 1}\n"

static char dir[] = "/tmp/kemari-qmp-XXXXXX", path[64];
static struct qmp q;
static pid_t server;

/* A line of the client's, unless it has gone. */
static void hear(int fd)
{
	char c = 0;

	while (c != '\n' && read(fd, &c, 1) == 1)
		;
}

static void say(int fd, const char *text, size_t len)
{
	if (len)
		(void)!write(fd, text, len);
}

/* QMP ends its commands where the object ends: there is no newline. */
static void hear_object(int fd)
{
	int depth = 0;
	char c = 0;

	do {
		if (read(fd, &c, 1) != 1)
			return;
		depth += (c == '{') - (c == '}');
	} while (depth);
}

/* How many descriptors came with a command's first byte? */
static int hear_fd(int fd)
{
	char c, room[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *cmsg;

	if (recvmsg(fd, &msg, 0) != 1)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	return cmsg ? (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
}

struct script {
	const char *greeting, *ready;
	const char *answer;		/* to the command; NULL: silence */
	size_t len;			/* of it; 0: strlen() */
	unsigned int times;		/* 0: once */
	bool ends;			/* closes then */
	bool counts_fds;		/* answers with their number */
};

static void serve(int listener, const struct script *s)
{
	int fd = accept(listener, NULL, NULL);
	char text[64];
	unsigned int i;

	say(fd, s->greeting, strlen(s->greeting));
	if (*s->ready) {
		hear_object(fd);
		say(fd, s->ready, strlen(s->ready));
	}
	if (s->counts_fds) {
		snprintf(text, sizeof(text), "{\"return\": %d, \"id\": 2}\n",
			 hear_fd(fd));
		say(fd, text, strlen(text));
	} else if (s->answer) {
		hear_object(fd);
		for (i = 0; i < (s->times ? s->times : 1); i++)
			say(fd, s->answer, s->len ? s->len : strlen(s->answer));
	}
	if (!s->ends)
		hear(fd);
	_exit(0);
}

static void start(const struct script *s)
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
		serve(fd, s);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	qmp_init(&q, PATIENT_MS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	qmp_close(&q);
	qmp_close(&q);
	if (server > 0)
		waitpid(server, NULL, 0);
	server = 0;
	return 0;
}

static void says(const char *word)
{
	if (!strstr(q.why, word))
		fail_msg("\"%s\" does not say \"%s\"", q.why, word);
}

static void not_opened(const struct script *s, int err, const char *word)
{
	start(s);
	errno = 0;
	assert_int_equal(qmp_open(&q, path), -1);
	assert_int_equal(errno, err);
	says(word);
	assert_int_equal(q.fd, -1);
}

/* Of a command after the greeting. */
static struct json_object *called(struct script s)
{
	s.greeting = GREETING;
	s.ready = READY;
	start(&s);
	if (qmp_open(&q, path))
		fail_msg("%s", q.why);
	errno = 0;
	return qmp_call(&q, "stop", NULL, -1);
}

static void fails(struct script s, int err, const char *word, bool closed)
{
	assert_null(called(s));
	assert_int_equal(errno, err);
	says("stop: ");
	says(word);
	assert_int_equal(q.fd < 0, closed);
	if (!closed)
		return;
	assert_null(qmp_call(&q, "stop", NULL, -1));
	assert_int_equal(errno, ENOTCONN);
}

/* --- the greeting ------------------------------------------------------ */

static void nobody(void **state)
{
	char longest[200];

	(void)state;
	unlink(path);
	assert_int_equal(qmp_open(&q, path), -1);
	assert_int_equal(errno, ENOENT);
	says(path);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(qmp_open(&q, longest), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

static void no_greeting(void **state)
{
	(void)state;
	q.timeout_ms = HASTY_MS;
	not_opened(&(struct script){ .greeting = "", .ready = "" }, ETIMEDOUT,
		   "did not answer");
}

static void other_greeting(void **state)
{
	(void)state;
	not_opened(&(struct script){ .greeting = "SSH-2.0\n", .ready = "" },
		   EPROTO, "no object");
}

static void no_qmp(void **state)
{
	(void)state;
	not_opened(&(struct script){ .greeting = "{}\n", .ready = "" }, EPROTO,
		   "no greeting");
}

static void goes_at_once(void **state)
{
	(void)state;
	not_opened(&(struct script){ .greeting = "", .ready = "",
				     .ends = true }, EPIPE, "closed");
}

static void not_ready(void **state)
{
	(void)state;
	not_opened(&(struct script){ .greeting = GREETING, .ready =
		"{\"error\": {\"desc\": \"no\\u001b[31m\"}, \"id\": 1}\n" },
		EREMOTEIO, "says: no?[31m");
}

/* --- answers ----------------------------------------------------------- */

static void after_events(void **state)
{
	struct json_object *value = called((struct script){ .answer =
		"{\"event\": \"STOP\"}\n{\"event\": \"RESUME\", \"id\": 2}\n"
		"{\"return\": {\"status\": \"ok\"}, \"id\": 2}\n" });

	(void)state;
	if (!value)
		fail_msg("%s", q.why);
	assert_string_equal(qmp_text(value, "status"), "ok");
	assert_string_equal(qmp_text(value, "other"), "");
	json_object_put(value);
}

static void with_descriptor(void **state)
{
	const struct script s = {
		.greeting = GREETING, .ready = READY, .counts_fds = true,
	};
	struct json_object *value;

	(void)state;
	start(&s);
	assert_int_equal(qmp_open(&q, path), 0);
	value = qmp_call(&q, "add-fd", json_object_new_object(), 0);
	assert_non_null(value);
	assert_int_equal(json_object_get_int(value), 1);
	json_object_put(value);
}

static void refusal(void **state)
{
	(void)state;
	fails((struct script){ .answer =
		"{\"error\": {\"desc\": \"not now\"}, \"id\": 2}\n" },
		EREMOTEIO, "says: not now", false);
}

static void silence(void **state)
{
	struct script s = { .greeting = GREETING, .ready = READY };

	(void)state;
	start(&s);
	assert_int_equal(qmp_open(&q, path), 0);
	q.timeout_ms = HASTY_MS;
	assert_null(qmp_call(&q, "stop", NULL, -1));
	assert_int_equal(errno, ETIMEDOUT);
	says("stop: the device model did not answer within 50 ms");
	assert_null(qmp_call(&q, "stop", NULL, -1));
	assert_int_equal(errno, ENOTCONN);
}

static void half_an_answer(void **state)
{
	(void)state;
	fails((struct script){ .answer = "{\"return\": {}, \"id\"",
			       .ends = true }, EPIPE, "closed", true);
}

static void gone_meanwhile(void **state)
{
	(void)state;
	fails((struct script){ .answer = "", .ends = true }, EPIPE, "closed",
	      true);
}

static void garbage(void **state)
{
	static const char *const lines[] = {
		"\n", "x\n", "[]\n", "null\n", "{\"return\": {}, \"id\": 2\n",
		"{\"return\": {}, \"id\": 2} {}\n",
		"{\"return\": '', \"id\": 2}\n",
		"{\"return\": \"\xff\xfe\", \"id\": 2}\n", "\x80\x80\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		fails((struct script){ .answer = lines[i] }, EPROTO,
		      "no object", true);
		waitpid(server, NULL, 0);
	}
	fails((struct script){ .answer = "{\"return\": {}\0, \"id\": 2}\n",
			       .len = 25 }, EPROTO, "no object", true);
}

static void to_another(void **state)
{
	(void)state;
	fails((struct script){ .answer = "{\"return\": {}, \"id\": 1}\n" },
	      EPROTO, "another command", true);
	waitpid(server, NULL, 0);
	fails((struct script){ .answer = "{\"return\": {}}\n" }, EPROTO,
	      "another command", true);
	waitpid(server, NULL, 0);
	fails((struct script){ .answer = "{\"id\": 2}\n" }, EPROTO,
	      "without a result", true);
}

static void too_deep(void **state)
{
	static const char deep[] = "{\"return\":"
		"[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]],\"id\":2}\n";

	(void)state;
	fails((struct script){ .answer = deep }, EPROTO, "nesting", true);
}

static void too_long(void **state)
{
	static char text[64 << 10];

	(void)state;
	memset(text, ' ', sizeof(text));
	fails((struct script){ .answer = text, .len = sizeof(text),
			       .times = 8 }, EPROTO, "more than 262144 bytes",
	      true);
}

static void too_many_events(void **state)
{
	(void)state;
	fails((struct script){ .answer = "{\"event\": \"X\"}\n",
			       .times = 2 * QMP_EVENTS_MAX }, EPROTO,
	      "more than 1024 events", true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody), TEST(no_greeting), TEST(other_greeting),
		TEST(no_qmp), TEST(goes_at_once), TEST(not_ready),
		TEST(after_events), TEST(with_descriptor), TEST(refusal),
		TEST(silence), TEST(half_an_answer), TEST(gone_meanwhile),
		TEST(garbage), TEST(to_another), TEST(too_deep),
		TEST(too_long), TEST(too_many_events),
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
