// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_tls_line.c - what someone on the line between two ends can do: nothing
 */
#include "tests/unit/link_end.h"

/* Bytes of a record beside its text. */
enum { RECORD_EXTRA = 5 + 1 + 16 };

/* Client and server, and this test between them. */
static struct wire_tap {
	struct end server, client;
	int fd[2];		/* our ends: to the server, to the client */
	uint8_t seen[2][1 << 16];	/* what the server, the client got */
	size_t n[2];
	size_t change;		/* flip a bit of the byte the server gets
				 * there, counted from 1; 0 none */
} tap;

static void tap_new(struct tls *s, struct tls *c)
{
	int a[2], b[2];

	memset(&tap, 0, sizeof(tap));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	end_use(&tap.server, link_tcp_new(base, bare(s, a[1], true),
					  HANG_S * 1000, NULL, NULL));
	end_use(&tap.client, link_tcp_new(base, bare(c, b[1], false),
					  HANG_S * 1000, NULL, NULL));
	tap.fd[0] = a[0];
	tap.fd[1] = b[0];
}

static void tap_move(int to)
{
	uint8_t *at = tap.seen[to] + tap.n[to];
	ssize_t n = recv(tap.fd[!to], at, sizeof(tap.seen[0]) - tap.n[to],
			 MSG_DONTWAIT);

	if (n <= 0)
		return;
	if (!to && tap.change > tap.n[0] && tap.change <= tap.n[0] + (size_t)n)
		tap.seen[0][tap.change - 1] ^= 0x10;
	assert_int_equal(send(tap.fd[to], at, (size_t)n, MSG_NOSIGNAL), n);
	tap.n[to] += (size_t)n;
}

static void tap_run(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	tap_move(0);
	tap_move(1);
}

static void tap_free(void)
{
	end_free(&tap.server);
	end_free(&tap.client);
	close(tap.fd[0]);
	close(tap.fd[1]);
}

/* What a listener on the line recorded is worth nothing later, and a changed
 * byte ends the connection with nothing delivered. */
static void test_replay(void **state)
{
	static struct pki_files fs, fc;
	struct tls_config cs = pki_config(&fs, "ca", "b", NULL);
	struct tls_config cc = pki_config(&fc, "ca", "a", "b");
	struct tls *s = pki_tls(&cs), *c = pki_tls(&cc);
	struct end e = { 0 };
	size_t last;
	int fd[2];

	(void)state;
	tap_new(s, c);
	assert_int_equal(send_beat(&tap.client, 1), 0);
	while (!tap.server.messages)
		tap_run();
	tap_free();

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	end_use(&e, link_tcp_new(base, bare(s, fd[0], true), HANG_S * 1000,
				 end_ready, &e));
	assert_int_equal(send(fd[1], tap.seen[0], tap.n[0], 0), tap.n[0]);
	while (!e.closed)
		once();
	assert_int_equal(e.err, EPROTO);
	assert_int_equal(e.ready + e.messages, 0);
	end_free(&e);
	close(fd[1]);

	/* The last byte of the second of two messages, which come together:
	 * the first is delivered, and then the end, for which no socket
	 * becomes readable. */
	tap_new(s, c);
	while (!*link_tcp_transport(tap.client.l) ||
	       !*link_tcp_transport(tap.server.l))
		tap_run();
	last = tap.n[0] + 2 * (sizeof(struct wire_head) +
			       sizeof(struct wire_heartbeat) + RECORD_EXTRA);
	tap.change = last;
	assert_int_equal(send_beat(&tap.client, 1), 0);
	assert_int_equal(send_beat(&tap.client, 2), 0);
	while (!tap.server.closed)
		tap_run();
	assert_int_equal(tap.n[0], last);
	assert_int_equal(tap.server.messages, 1);
	assert_int_equal(tap.server.err, EPROTO);
	says(tap.server.why, "bad record mac");
	tap_free();
	tls_free(s);
	tls_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replay, loop_new,
						loop_free),
	};
	int failed;

	pki_begin();
	pki_make("ca", "a", 0, 0);
	pki_make("ca", "b", 0, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pki_end();
	return failed;
}
