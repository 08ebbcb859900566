// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_link_tcp.c - whole messages in order, or nothing (INV-31)
 */
#include "tests/unit/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "replicator/link_tcp.h"

enum { HANG_S = 60 };	/* a test that waits for nothing is killed */

/* One end: what it was told. */
struct end {
	struct link *l;
	unsigned int messages, writables, closed;
	size_t bytes;
	uint64_t last;		/* .sequence of the last heartbeat */
	bool in_call;		/* a callback from within a call is a bug */
	bool close_on_message, close_on_closed, echo;
	int err;
	char why[LINK_TCP_WHY_MAX];
};

static struct event_base *base;
static char why[LINK_TCP_WHY_MAX];

static int end_send(struct end *e, const struct iovec *iov, int n)
{
	int r;

	e->in_call = true;
	r = e->l->ops->send(e->l, iov, n);
	e->in_call = false;
	return r;
}

static void on_message(void *arg, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)bytes, len };
	char text[WIRE_WHY_MAX];
	struct wire_heartbeat h;
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	if (wire_check(bytes, len, text) < 0)
		fail_msg("%s", text);
	e->messages++;
	e->bytes += len;
	if (wire_check(bytes, len, text) == WIRE_HEARTBEAT) {
		memcpy(&h, wire_body(bytes), sizeof(h));
		assert_int_equal(h.sequence, e->last + 1);
		e->last = h.sequence;
	}
	if (e->echo)
		assert_int_equal(end_send(e, &iov, 1), 0);
	if (e->close_on_message) {
		e->l->ops->close(e->l);
		e->l = NULL;
	}
}

static void on_closed(void *arg, int err, const char *text)
{
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	e->closed++;
	e->err = err;
	snprintf(e->why, sizeof(e->why), "%s", text);
	if (e->close_on_closed) {
		e->l->ops->close(e->l);
		e->l = NULL;
	}
}

static void on_writable(void *arg)
{
	struct end *e = arg;

	assert_false(e->in_call || e->closed);
	assert_true(e->l->ops->queued(e->l) <= LINK_QUEUE_LOW);
	e->writables++;
}

static void end_use(struct end *e, struct link *l)
{
	assert_non_null(l);
	e->l = l;
	l->handler = (struct link_handler){
		.message = on_message,
		.closed = on_closed,
		.writable = on_writable,
		.arg = e,
	};
}

static void end_free(struct end *e)
{
	if (e->l)
		e->l->ops->close(e->l);
	e->l = NULL;
}

static void on_accepted(void *arg, struct link *l, const char *peer)
{
	assert_non_null(strchr(peer, ':'));
	end_use(arg, l);
}

static void once(void)
{
	assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
}

/* Let everything that is ready happen. */
static void settle(void)
{
	unsigned int i;

	for (i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int send_beat(struct end *e, uint64_t sequence)
{
	uint8_t bytes[sizeof(struct wire_head) + sizeof(struct wire_heartbeat)];
	struct wire_heartbeat h = { .sequence = sequence };
	struct iovec iov[2] = { { bytes, 40 }, { bytes + 40, 56 } };

	assert_int_equal(wire_put(bytes, WIRE_HEARTBEAT, &h, sizeof(h)), 96);
	return end_send(e, iov, 2);
}

static int setup(void **state)
{
	(void)state;
	alarm(HANG_S);
	base = event_base_new();
	return base ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	event_base_free(base);
	return 0;
}

/* A link, and the bare socket at its other end. */
static int half(struct end *e)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	end_use(e, link_tcp_from_fd(base, fd[0]));
	return fd[1];
}

static void test_connect(void **state)
{
	struct end client = { 0 }, server = { .echo = true };
	struct link_listener *l;
	char address[64];
	uint64_t i;

	(void)state;
	l = link_tcp_listen(base, "127.0.0.1:0", on_accepted, &server, why);
	assert_non_null(l);
	snprintf(address, sizeof(address), "127.0.0.1:%u", link_tcp_port(l));
	end_use(&client, link_tcp_connect(base, address, why));
	/* Before the connection stands, too. */
	for (i = 1; i <= 100; i++)
		assert_int_equal(send_beat(&client, i), 0);
	while (client.messages < 100)
		once();
	for (; i <= 200; i++)
		assert_int_equal(send_beat(&client, i), 0);
	while (client.messages < 200)
		once();
	assert_int_equal(server.messages, 200);
	end_free(&client);
	while (!server.closed)
		once();
	assert_int_equal(server.err, 0);
	end_free(&server);
	link_tcp_unlisten(l);
}

static void test_refused(void **state)
{
	struct link_listener *l;
	struct end e = { .close_on_closed = true };
	char address[64];

	(void)state;
	l = link_tcp_listen(base, "127.0.0.1:0", on_accepted, NULL, why);
	snprintf(address, sizeof(address), "127.0.0.1:%u", link_tcp_port(l));
	link_tcp_unlisten(l);
	end_use(&e, link_tcp_connect(base, address, why));
	while (!e.closed)
		once();
	assert_int_equal(e.err, ECONNREFUSED);
	assert_non_null(strstr(e.why, "cannot connect"));
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"", "[::1", "[::1]x", "127.0.0.1:port", "127.0.0.1:99999999",
		":1", "host:", "-1:-1", "no such host:1",
	};
	struct link_listener *l;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = '\0';
		assert_null(link_tcp_connect(base, bad[i], why));
		assert_true(why[0]);
		assert_null(link_tcp_listen(base, bad[i], on_accepted, NULL,
					    why));
	}
	l = link_tcp_listen(base, "127.0.0.1:0", on_accepted, NULL, why);
	assert_non_null(l);
	link_tcp_unlisten(l);
}

/* The peer writes a session one byte, or some, at a time. */
static void test_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 33, 4096, 1 << 20 };
	struct stream *in = stream_new();
	struct end e;
	size_t i, at, n;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		e = (struct end){ 0 };
		fd = half(&e);
		for (at = 0; at < in->used; at += n) {
			n = in->used - at < pieces[i] ? in->used - at :
							pieces[i];
			n = (size_t)send(fd, in->bytes + at, n, MSG_DONTWAIT);
			if (n == (size_t)-1)
				n = 0;
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
		while (e.bytes < in->used)
			once();
		assert_int_equal(e.messages, in->n);
		close(fd);
		while (!e.closed)
			once();
		assert_int_equal(e.err, 0);
		end_free(&e);
	}
	stream_free(in);
}

/* Cut at every byte of two messages: whole ones are seen, halves never. */
static void test_cut(void **state)
{
	struct stream *in = stream_new();
	size_t end = in->at[2], cut;
	struct end e;
	int fd;

	(void)state;
	for (cut = 0; cut <= end; cut++) {
		e = (struct end){ 0 };
		fd = half(&e);
		assert_int_equal(write(fd, in->bytes, cut), cut);
		close(fd);
		while (!e.closed)
			once();
		assert_int_equal(e.messages, cut == end ? 2 :
				 cut >= in->at[1]);
		assert_int_equal(e.err, cut == end || cut == in->at[1] ||
				 !cut ? 0 : ECONNRESET);
		end_free(&e);
	}
	stream_free(in);
}

static void hostile(const void *bytes, size_t len, const char *word)
{
	struct end e = { .close_on_closed = true };
	int fd = half(&e);

	assert_int_equal(write(fd, bytes, len), len);
	while (!e.closed)
		once();
	assert_int_equal(e.err, EPROTO);
	assert_int_equal(e.messages, 0);
	if (!strstr(e.why, word))
		fail_msg("'%s' does not name '%s'", e.why, word);
	close(fd);
}

static void test_hostile(void **state)
{
	struct wire_head head = { .magic = WIRE_MAGIC, .type = WIRE_PAGES,
				  .flags = WIRE_MANDATORY };

	(void)state;
	hostile("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 37, "magic");
	head.length = UINT64_MAX;
	hostile(&head, sizeof(head), "length");
	head.length = WIRE_BODY_MAX + 1ull;
	hostile(&head, sizeof(head), "length");
	head.length = 100;
	head.type = 4000;
	hostile(&head, sizeof(head), "4000");
}

/* The peer does not read: send() refuses, bounded; then all arrives. */
static void test_full(void **state)
{
	size_t len = sizeof(struct wire_head) + sizeof(struct wire_state) +
		     WIRE_CHUNK_MAX, got = 0;
	uint8_t *bytes = malloc(len), *body = calloc(1, len);
	struct end e = { 0 };
	unsigned int sent = 0, more = 3;
	struct iovec iov;
	int fd = half(&e);
	ssize_t n;

	(void)state;
	wire_put(bytes, WIRE_STATE, body, len - sizeof(struct wire_head));
	iov = (struct iovec){ bytes, len };
	while (!end_send(&e, &iov, 1))
		sent++;
	assert_int_equal(errno, EAGAIN);
	assert_true(e.l->ops->queued(e.l) >= LINK_QUEUE_MAX);
	assert_true(e.l->ops->queued(e.l) < LINK_QUEUE_MAX + len);
	settle();
	assert_int_equal(e.writables, 0);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < sent * len) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (e.writables && more) {
			more--;
			sent++;
			assert_int_equal(end_send(&e, &iov, 1), 0);
		}
		n = read(fd, body, len - got % len);
		if (n <= 0)
			continue;
		assert_memory_equal(body, bytes + got % len, (size_t)n);
		got += (size_t)n;
	}
	assert_int_equal(more, 0);
	assert_int_equal(e.writables, 1);
	assert_int_equal(e.l->ops->queued(e.l), 0);
	end_free(&e);
	close(fd);
	free(bytes);
	free(body);
}

/* The owner closes while it is being told of the first of many messages. */
static void test_close_within(void **state)
{
	struct stream *in = stream_new();
	struct end e = { .close_on_message = true };
	int fd = half(&e);

	(void)state;
	assert_int_equal(write(fd, in->bytes, in->at[5]), in->at[5]);
	while (e.l)
		once();
	settle();
	assert_int_equal(e.messages, 1);
	assert_int_equal(e.closed, 0);
	close(fd);
	stream_free(in);
}

static void test_shut(void **state)
{
	struct end e = { 0 };
	int fd = half(&e);

	(void)state;
	e.in_call = true;
	e.l->ops->shut(e.l, ETIMEDOUT, "silent");
	e.l->ops->shut(e.l, EIO, "twice");
	e.in_call = false;
	assert_int_equal(send_beat(&e, 1), -1);
	assert_int_equal(errno, EPIPE);
	settle();
	assert_int_equal(e.closed, 1);
	assert_int_equal(e.err, ETIMEDOUT);
	assert_string_equal(e.why, "silent");
	end_free(&e);

	/* Closed before it could be told: nothing is told. */
	close(fd);
	fd = half(&e);
	e.closed = 0;
	e.l->ops->shut(e.l, ETIMEDOUT, "silent");
	end_free(&e);
	settle();
	assert_int_equal(e.closed, 0);
	close(fd);
}

/* Sending to a peer that is gone: EPIPE and one closed(), no signal. */
static void test_peer_gone(void **state)
{
	struct end e = { .close_on_closed = true };
	int fd = half(&e);
	unsigned int i;

	(void)state;
	close(fd);
	for (i = 0; i < 3; i++) {
		assert_int_equal(send_beat(&e, 1), -1);
		assert_int_equal(errno, EPIPE);
	}
	while (e.l)
		once();
	assert_int_equal(e.closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_connect), T(test_refused), T(test_addresses),
		T(test_pieces), T(test_cut), T(test_hostile), T(test_full),
		T(test_close_within), T(test_shut), T(test_peer_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
