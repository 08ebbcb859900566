// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * qmp.c - one command at a time over a QMP socket, none without a deadline
 */
#include "ioemu/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { DESC_MAX = 256 };		/* of the text of a refusal */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int qmp_fail(struct qmp *q, int err, const char *format, ...)
{
	va_list ap;
	char *c;

	va_start(ap, format);
	vsnprintf(q->why, sizeof(q->why), format, ap);
	va_end(ap);
	for (c = q->why; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	errno = err;
	return -1;
}

static int hang_up(struct qmp *q)
{
	int err = errno;

	qmp_close(q);
	errno = err;
	return -1;
}

/* The same, and nothing more can be said to the other end. */
#define broken(...) (qmp_fail(__VA_ARGS__), hang_up(q))

void qmp_init(struct qmp *q, unsigned int timeout_ms)
{
	*q = (struct qmp){ .fd = -1, .timeout_ms = timeout_ms };
}

void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	free(q->line);
	q->line = NULL;
	q->have = 0;
}

const char *qmp_text(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

/* --- lines ------------------------------------------------------------- */

/* Until @events or the deadline. */
static int wait_for(struct qmp *q, short events, int64_t deadline,
		    const char *what)
{
	struct pollfd p = { .fd = q->fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - now_ms();
		if (left < 0)
			left = 0;
		n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return broken(q, errno, "%s: poll: %s", what, strerror(errno));
	if (!n)
		return broken(q, ETIMEDOUT,
			      "%s: the device model did not answer within"
			      " %u ms", what, q->timeout_ms);
	return 0;
}

static int gone(struct qmp *q, const char *what)
{
	return broken(q, EPIPE, "%s: the device model has closed its QMP"
		      " socket", what);
}

static int send_line(struct qmp *q, const char *text, int fd, int64_t deadline,
		     const char *what)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	size_t len = strlen(text), sent = 0;

	while (sent < len) {
		struct iovec iov = {
			.iov_base = (char *)text + sent,
			.iov_len = len - sent,
		};
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		struct cmsghdr *c;
		ssize_t n;

		if (fd >= 0 && !sent) {
			msg.msg_control = control.bytes;
			msg.msg_controllen = sizeof(control.bytes);
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &fd, sizeof(int));
		}
		n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN &&
			 wait_for(q, POLLOUT, deadline, what))
			return -1;
		else if (errno == EPIPE || errno == ECONNRESET)
			return gone(q, what);
		else if (errno != EAGAIN && errno != EINTR)
			return broken(q, errno, "%s: send: %s", what,
				      strerror(errno));
	}
	return 0;
}

/* The length of the line at the start of .line, its newline included. */
static int read_line(struct qmp *q, size_t *len, int64_t deadline,
		     const char *what)
{
	size_t seen = 0;
	ssize_t n;
	char *end;

	for (;;) {
		end = memchr(q->line + seen, '\n', q->have - seen);
		if (end)
			break;
		seen = q->have;
		if (seen == QMP_LINE_MAX)
			return broken(q, EPROTO,
				      "%s: a QMP line of more than %d bytes",
				      what, QMP_LINE_MAX);
		if (wait_for(q, POLLIN, deadline, what))
			return -1;
		n = recv(q->fd, q->line + seen, QMP_LINE_MAX - seen, 0);
		if (!n || (n < 0 && errno == ECONNRESET))
			return gone(q, what);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return broken(q, errno, "%s: receive: %s", what,
				      strerror(errno));
		if (n > 0)
			q->have += (size_t)n;
	}
	*len = (size_t)(end - q->line) + 1;
	return 0;
}

/* The next line as an object, or NULL. */
static struct json_object *read_object(struct qmp *q, int64_t deadline,
				       const char *what)
{
	struct json_object *object = NULL;
	enum json_tokener_error error;
	struct json_tokener *tok;
	size_t len = 0;

	if (read_line(q, &len, deadline, what))
		return NULL;
	tok = json_tokener_new_ex(QMP_DEPTH_MAX);
	if (!tok) {
		(void)broken(q, ENOMEM, "%s: out of memory", what);
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
			       JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tok, q->line, (int)len);
	error = json_tokener_get_error(tok);
	json_tokener_free(tok);
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		(void)broken(q, EPROTO, "%s: a QMP line that is no object: %s",
			     what, error == json_tokener_success ?
			     "of another type" :
			     json_tokener_error_desc(error));
		return NULL;
	}
	q->have -= len;
	memmove(q->line, q->line + len, q->have);
	return object;
}

/* --- commands ---------------------------------------------------------- */

/*
 * Is @line the answer to the last command?
 * Return: 1 and *@value, 0 it is an event, -1
 */
static int answer(struct qmp *q, struct json_object *line, const char *command,
		  struct json_object **value)
{
	struct json_object *id, *error;

	if (json_object_object_get_ex(line, "event", NULL))
		return 0;
	if (!json_object_object_get_ex(line, "id", &id) ||
	    !json_object_is_type(id, json_type_int) ||
	    json_object_get_int64(id) != q->id)
		return broken(q, EPROTO,
			      "%s: the answer is to another command", command);
	if (json_object_object_get_ex(line, "error", &error))
		return qmp_fail(q, EREMOTEIO, "%s: the device model says: %.*s",
				command, DESC_MAX, qmp_text(error, "desc"));
	if (!json_object_object_get_ex(line, "return", value) || !*value)
		return broken(q, EPROTO, "%s: an answer without a result",
			      command);
	json_object_get(*value);
	return 1;
}

/* The line that @command is; takes @args over. */
static struct json_object *request(struct qmp *q, const char *command,
				   struct json_object *args)
{
	struct json_object *line = json_object_new_object();

	if (!line) {
		json_object_put(args);
		(void)qmp_fail(q, ENOMEM, "%s: out of memory", command);
		return NULL;
	}
	json_object_object_add(line, "execute",
			       json_object_new_string(command));
	if (args)
		json_object_object_add(line, "arguments", args);
	json_object_object_add(line, "id", json_object_new_int64(++q->id));
	return line;
}

struct json_object *qmp_call(struct qmp *q, const char *command,
			     struct json_object *args, int fd)
{
	int64_t deadline = now_ms() + q->timeout_ms;
	struct json_object *line, *value = NULL;
	unsigned int events = 0;
	int r;

	line = request(q, command, args);
	if (!line)
		return NULL;
	if (q->fd < 0)
		r = qmp_fail(q, ENOTCONN, "%s: there is no connection to the"
			     " device model", command);
	else
		r = send_line(q, json_object_to_json_string_ext(line,
				JSON_C_TO_STRING_PLAIN), fd, deadline, command);
	json_object_put(line);
	while (!r) {
		line = read_object(q, deadline, command);
		if (!line)
			return NULL;
		r = answer(q, line, command, &value);
		json_object_put(line);
		if (!r && ++events > QMP_EVENTS_MAX)
			r = broken(q, EPROTO,
				   "%s: more than %d events and no answer",
				   command, QMP_EVENTS_MAX);
	}
	return r > 0 ? value : NULL;
}

/* --- the connection ---------------------------------------------------- */

static int greet(struct qmp *q, const char *path)
{
	struct json_object *line, *value;
	bool ok;

	line = read_object(q, now_ms() + q->timeout_ms, path);
	if (!line)
		return -1;
	ok = json_object_object_get_ex(line, "QMP", NULL);
	json_object_put(line);
	if (!ok)
		return broken(q, EPROTO, "%s: no greeting of a device model",
			      path);
	value = qmp_call(q, "qmp_capabilities", NULL, -1);
	if (!value) {
		qmp_close(q);
		return -1;
	}
	json_object_put(value);
	return 0;
}

int qmp_open(struct qmp *q, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	qmp_close(q);
	q->id = 0;
	if (strlen(path) >= sizeof(to.sun_path))
		return qmp_fail(q, ENAMETOOLONG, "%s: longer than the %zu bytes"
				" of a socket's name", path,
				sizeof(to.sun_path) - 1);
	memcpy(to.sun_path, path, strlen(path) + 1);
	q->line = malloc(QMP_LINE_MAX);
	if (!q->line)
		return broken(q, ENOMEM, "%s: out of memory", path);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		return broken(q, errno, "%s: socket: %s", path,
			      strerror(errno));
	if (connect(q->fd, (struct sockaddr *)&to, sizeof(to)))
		return broken(q, errno, "%s: connect: %s", path,
			      strerror(errno));
	return greet(q, path);
}
