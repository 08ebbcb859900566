// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control.c - the local socket: server side on libevent, client side blocking
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "replicator/control.h"

struct control_call {
	struct control *owner;
	struct control_call *next;
	struct bufferevent *bev;
	bool asked;		/* its line has been handed to fn */
	bool answered;		/* only waits to be written out */
};

struct control {
	struct evconnlistener *listener;
	control_fn *fn;
	void *arg;
	struct control_call *calls;
	unsigned int n;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

static int address(struct sockaddr_un *sun, const char *name)
{
	int n;

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/%s.sock",
		     KEMARI_RUN_DIR, name);
	if (strchr(name, '/') || !*name || n >= (int)sizeof(sun->sun_path)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

static void call_free(struct control_call *call)
{
	struct control_call **p = &call->owner->calls;

	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
	call->owner->n--;
	bufferevent_free(call->bev);
	free(call);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct control_call *call = arg;

	if (call->answered && !evbuffer_get_length(bufferevent_get_output(bev)))
		call_free(call);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct control_call *call = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	char *line;

	if (call->asked) {
		evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF);
	if (line && strlen(line) < CONTROL_LINE_MAX) {
		call->asked = true;
		call->owner->fn(call->owner->arg, call, line);
	} else if (line || evbuffer_get_length(in) >= CONTROL_LINE_MAX) {
		call->asked = true;
		control_answer(call, false, "request line is too long");
	}
	free(line);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct control_call *call = arg;

	(void)bev;
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)))
		return;
	/* A client that went away; the one who answers later still holds
	 * the call, so it is only marked. */
	if (call->asked && !call->answered)
		bufferevent_disable(bev, EV_READ);
	else
		call_free(call);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd,
		      struct sockaddr *sa, int socklen, void *arg)
{
	const struct timeval patience = { .tv_sec = 10 };
	struct control *c = arg;
	struct control_call *call;

	(void)sa;
	(void)socklen;
	call = c->n < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*call)) : NULL;
	if (call)
		call->bev = bufferevent_socket_new(evconnlistener_get_base(l),
						   fd, BEV_OPT_CLOSE_ON_FREE);
	if (!call || !call->bev) {
		free(call);
		close(fd);
		return;
	}
	call->owner = c;
	call->next = c->calls;
	c->calls = call;
	c->n++;
	bufferevent_setcb(call->bev, on_read, on_written, on_event, call);
	bufferevent_set_timeouts(call->bev, NULL, &patience);
	bufferevent_setwatermark(call->bev, EV_READ, 0, CONTROL_LINE_MAX);
	bufferevent_enable(call->bev, EV_READ | EV_WRITE);
}

/* Does anybody answer there? */
static bool alive(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && !connect(fd, (const struct sockaddr *)sun,
				      sizeof(*sun));

	if (fd >= 0)
		close(fd);
	return ok;
}

struct control *control_open(struct event_base *base, const char *name,
			     control_fn *fn, void *arg, char *why, size_t len)
{
	struct sockaddr_un sun;
	struct control *c;
	mode_t mask;

	if (address(&sun, name)) {
		snprintf(why, len, "control socket: name '%s' is empty, too "
			 "long or holds a slash", name);
		return NULL;
	}
	if (mkdir(KEMARI_RUN_DIR, 0700) && errno != EEXIST) {
		snprintf(why, len, "control socket: mkdir %s: %s",
			 KEMARI_RUN_DIR, strerror(errno));
		return NULL;
	}
	if (alive(&sun)) {
		snprintf(why, len, "control socket %s: another kemari answers "
			 "there; one at a time", sun.sun_path);
		errno = EADDRINUSE;
		return NULL;
	}
	unlink(sun.sun_path);
	c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(why, len, "control socket: out of memory");
		return NULL;
	}
	c->fn = fn;
	c->arg = arg;
	memcpy(c->path, sun.sun_path, sizeof(c->path));
	mask = umask(0177);
	c->listener = evconnlistener_new_bind(base, on_accept, c,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
			(struct sockaddr *)&sun, sizeof(sun));
	umask(mask);
	if (!c->listener) {
		int err = errno;

		snprintf(why, len, "control socket %s: %s", sun.sun_path,
			 strerror(err));
		free(c);
		errno = err;
		return NULL;
	}
	return c;
}

void control_answer(struct control_call *call, bool ok, const char *text)
{
	struct evbuffer *out = bufferevent_get_output(call->bev);

	call->answered = true;
	evbuffer_add_printf(out, ok ? "ok\n%s" : "error %s\n", text);
}

/* Last words: the loop may not run again. */
static void say_now(struct control_call *call)
{
	struct evbuffer *out = bufferevent_get_output(call->bev);
	size_t len = evbuffer_get_length(out);
	const void *text = evbuffer_pullup(out, -1);

	if (text && send(bufferevent_getfd(call->bev), text, len,
			 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		perror("kemari: control socket");
}

void control_close(struct control *c)
{
	if (!c)
		return;
	evconnlistener_free(c->listener);
	unlink(c->path);
	while (c->calls) {
		struct control_call *call = c->calls;

		if (!call->answered)
			control_answer(call, false, "kemari is ending");
		say_now(call);
		call_free(call);
	}
	free(c);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Read to the end of file, at most @len - 1 bytes. */
static int read_answer(int fd, char *buf, size_t len, int64_t deadline)
{
	size_t got = 0;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t r;

		if (left <= 0 || poll(&pfd, 1, (int)left) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		r = read(fd, buf + got, len - 1 - got);
		if (r < 0 && errno != EINTR)
			return -1;
		if (r > 0)
			got += r;
		if (r == 0 || got == len - 1) {
			buf[got] = '\0';
			return 0;
		}
	}
}

int control_ask(const char *name, const char *line, char *answer, size_t len,
		int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct sockaddr_un sun;
	char *buf = NULL;
	int fd, err, rc = -1;

	if (address(&sun, name))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		if (errno == ECONNREFUSED)
			errno = ENOENT;
		goto out;
	}
	buf = malloc(CONTROL_ANSWER_MAX);
	if (!buf || dprintf(fd, "%s\n", line) < 0 ||
	    read_answer(fd, buf, CONTROL_ANSWER_MAX, deadline))
		goto out;
	if (!strncmp(buf, "ok\n", 3)) {
		snprintf(answer, len, "%s", buf + 3);
		rc = 0;
	} else {
		buf[strcspn(buf, "\n")] = '\0';
		snprintf(answer, len, "%s",
			 strncmp(buf, "error ", 6) ? "no answer" : buf + 6);
		errno = EREMOTEIO;
	}
out:
	err = errno;
	free(buf);
	close(fd);
	errno = err;
	return rc;
}

static int is_socket(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && !strcmp(d->d_name + n - 5, ".sock");
}

int control_names(void (*fn)(void *arg, const char *name), void *arg)
{
	struct dirent **list;
	int i, n = scandir(KEMARI_RUN_DIR, &list, is_socket, alphasort);

	if (n < 0)
		return errno == ENOENT ? 0 : -1;
	for (i = 0; i < n; i++) {
		list[i]->d_name[strlen(list[i]->d_name) - 5] = '\0';
		fn(arg, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return n;
}
