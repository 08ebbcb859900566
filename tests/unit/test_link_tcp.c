// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_link_tcp.c - whole messages in order, or nothing (INV-31); in plaintext
 *		     and under TLS
 */
#include "tests/unit/link_end.h"

/* Of the transport under test; NULL: plaintext. */
static struct tls *server_tls, *client_tls;

static struct transport *half(struct end *e)
{
	return half_of(e, server_tls, client_tls);
}

static void on_accepted(void *arg, struct link *l, const char *peer)
{
	assert_non_null(strchr(peer, ':'));
	end_use(arg, l);
}

static void on_refused(void *arg, const char *peer, const char *text)
{
	(void)arg;
	fail_msg("%s: %s", peer, text);
}

static struct link_listener *listen_for(struct end *e, const char *address)
{
	const struct link_listen tell = { on_accepted, on_refused, e };

	return link_tcp_listen(base, server_tls, address, &tell, why);
}

static void test_connect(void **state)
{
	struct end client = { 0 }, server = { .echo = true };
	struct link_listener *l;
	char address[64];
	uint64_t i;

	(void)state;
	l = listen_for(&server, "127.0.0.1:0");
	assert_non_null(l);
	snprintf(address, sizeof(address), "127.0.0.1:%u", link_tcp_port(l));
	end_use(&client, link_tcp_connect(base, client_tls, address, why));
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
	l = listen_for(NULL, "127.0.0.1:0");
	snprintf(address, sizeof(address), "127.0.0.1:%u", link_tcp_port(l));
	link_tcp_unlisten(l);
	end_use(&e, link_tcp_connect(base, client_tls, address, why));
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
		assert_null(link_tcp_connect(base, client_tls, bad[i], why));
		assert_true(why[0]);
		assert_null(listen_for(NULL, bad[i]));
	}
	l = listen_for(NULL, "127.0.0.1:0");
	assert_non_null(l);
	link_tcp_unlisten(l);
}

/* The peer writes a session one byte, or some, at a time. */
static void test_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 33, 4096, 1 << 20 };
	struct stream *in = stream_new();
	struct transport *peer;
	struct end e;
	size_t i, at, n;

	(void)state;
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		e = (struct end){ 0 };
		peer = half(&e);
		for (at = 0; at < in->used; at += n) {
			n = in->used - at < pieces[i] ? in->used - at :
							pieces[i];
			bare_write(peer, in->bytes + at, n);
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
		while (e.bytes < in->used)
			once();
		assert_int_equal(e.messages, in->n);
		peer->ops->close(peer);
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
	struct transport *peer;
	struct end e;

	(void)state;
	for (cut = 0; cut <= end; cut++) {
		e = (struct end){ 0 };
		peer = half(&e);
		bare_write(peer, in->bytes, cut);
		peer->ops->close(peer);
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
	struct transport *peer = half(&e);

	bare_write(peer, bytes, len);
	while (!e.closed)
		once();
	assert_int_equal(e.err, EPROTO);
	assert_int_equal(e.messages, 0);
	if (!strstr(e.why, word))
		fail_msg("'%s' does not name '%s'", e.why, word);
	peer->ops->close(peer);
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
	struct transport *peer = half(&e);
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

	while (got < sent * len) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (e.writables && more) {
			more--;
			sent++;
			assert_int_equal(end_send(&e, &iov, 1), 0);
		}
		n = peer->ops->read(peer, body, len - got % len);
		if (n <= 0)
			continue;
		assert_memory_equal(body, bytes + got % len, (size_t)n);
		got += (size_t)n;
	}
	assert_int_equal(more, 0);
	assert_int_equal(e.writables, 1);
	assert_int_equal(e.l->ops->queued(e.l), 0);
	end_free(&e);
	peer->ops->close(peer);
	free(bytes);
	free(body);
}

/* The owner closes while it is being told of the first of many messages. */
static void test_close_within(void **state)
{
	struct stream *in = stream_new();
	struct end e = { .close_on_message = true };
	struct transport *peer = half(&e);

	(void)state;
	bare_write(peer, in->bytes, in->at[5]);
	while (e.l)
		once();
	settle();
	assert_int_equal(e.messages, 1);
	assert_int_equal(e.closed, 0);
	peer->ops->close(peer);
	stream_free(in);
}

static void test_shut(void **state)
{
	struct end e = { 0 };
	struct transport *peer = half(&e);

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
	peer->ops->close(peer);
	e = (struct end){ 0 };
	peer = half(&e);
	e.l->ops->shut(e.l, ETIMEDOUT, "silent");
	end_free(&e);
	settle();
	assert_int_equal(e.closed, 0);
	peer->ops->close(peer);
}

/* Sending to a peer that is gone: EPIPE and one closed(), no signal. */
static void test_peer_gone(void **state)
{
	struct end e = { .close_on_closed = true };
	struct transport *peer = half(&e);
	unsigned int i;

	(void)state;
	peer->ops->close(peer);
	for (i = 0; i < 3; i++) {
		assert_int_equal(send_beat(&e, 1), -1);
		assert_int_equal(errno, EPIPE);
	}
	while (e.l)
		once();
	assert_int_equal(e.closed, 1);
}

static int use_tls(void **state)
{
	static struct pki_files server, client;
	struct tls_config c;

	(void)state;
	pki_make("ca", "a", 0, 0);
	pki_make("ca", "b", 0, 0);
	/* A new key every few records: whatever is tested crosses changes. */
	c = pki_config(&server, "ca", "b", "a");
	c.records_max = 5;
	server_tls = pki_tls(&c);
	c = pki_config(&client, "ca", "a", "127.0.0.1");
	c.records_max = 5;
	client_tls = pki_tls(&c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, loop_new, loop_free)
		T(test_connect), T(test_refused), T(test_addresses),
		T(test_pieces), T(test_cut), T(test_hostile), T(test_full),
		T(test_close_within), T(test_shut), T(test_peer_gone),
	};
	int failed;

	pki_begin();
	failed = cmocka_run_group_tests_name("plaintext", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("tls", tests, use_tls, NULL);
	tls_free(server_tls);
	tls_free(client_tls);
	pki_end();
	return failed;
}
