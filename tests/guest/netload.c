// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netload.c - a guest's network at work, and the one outside who checks it
 *
 *	netload serve			in the guest, TCP port 7000
 *	netload source ADDRESS BYTES	receive that many and compare each
 *	netload sink ADDRESS BYTES	send them; the guest compares
 *	netload echo ADDRESS MS COUNT	ask every MS, compare each answer
 *	netload flood ADDRESS HZ SIZE PORT [TO]
 *			until killed: have the guest send numbered datagrams,
 *			back or to another address
 *
 * The bytes are a function of their offset: a lost, repeated or changed one is
 * seen where it is.  A client prints one line and exits 0 only if all was well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT	7000
#define CHUNK	65536		/* a multiple of 8 */
#define SIZE_MAX_UDP 1400

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fill(uint64_t *words, uint64_t offset)
{
	uint64_t i;

	for (i = 0; i < CHUNK / 8; i++)
		words[i] = (offset / 8 + i + 1) * 0x9e3779b97f4a7c15u;
}

static int put_all(int fd, const void *data, size_t len)
{
	const char *from = data;

	while (len) {
		ssize_t n = write(fd, from, len);

		if (n <= 0)
			return -1;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

static int get_all(int fd, void *data, size_t len)
{
	char *to = data;

	while (len) {
		ssize_t n = read(fd, to, len);

		if (n <= 0)
			return -1;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_bytes(int fd, uint64_t total)
{
	static uint64_t words[CHUNK / 8];
	uint64_t at;

	for (at = 0; at < total; at += CHUNK) {
		uint64_t left = total - at;

		fill(words, at);
		if (put_all(fd, words, left < CHUNK ? left : CHUNK))
			return -1;
	}
	return 0;
}

/* Returns the offset of the first wrong or missing byte, @total if none. */
static uint64_t compare_bytes(int fd, uint64_t total)
{
	static uint64_t words[CHUNK / 8];
	static char got[CHUNK];
	uint64_t at;

	for (at = 0; at < total; at += CHUNK) {
		size_t i, len = total - at < CHUNK ? total - at : CHUNK;

		fill(words, at);
		if (get_all(fd, got, len))
			return at;
		for (i = 0; i < len; i++)
			if (got[i] != ((char *)words)[i])
				return at + i;
	}
	return total;
}

/* --- the guest ----------------------------------------------------------- */

static void flood(int fd, unsigned int hz, unsigned int size, unsigned int port,
		  const char *to)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	char data[SIZE_MAX_UDP] = { 0 };
	uint64_t next, n = 0;
	int udp = socket(AF_INET, SOCK_DGRAM, 0);

	if (!hz || size < sizeof(n) || size > sizeof(data) || port > 65535 ||
	    getpeername(fd, (struct sockaddr *)&peer, &len) ||
	    (*to && inet_pton(AF_INET, to, &peer.sin_addr) != 1))
		return;
	peer.sin_port = htons((uint16_t)port);
	next = now_ns();
	while (recv(fd, data, 1, MSG_DONTWAIT | MSG_PEEK) != 0) {
		struct timespec t = { (time_t)(next / 1000000000u),
				      (long)(next % 1000000000u) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		next += 1000000000u / hz;
		n++;
		memcpy(data, &n, sizeof(n));
		if (sendto(udp, data, size, 0, (struct sockaddr *)&peer,
			   sizeof(peer)) < 0 && errno != ECONNREFUSED)
			n--;		/* it never left the program */
	}
}

static void answer(int fd)
{
	unsigned int hz, size, port;
	char line[64] = { 0 }, to[INET_ADDRSTRLEN] = "";
	uint64_t n, word;
	size_t i;

	for (i = 0; i < sizeof(line) - 1; i++)
		if (get_all(fd, line + i, 1) || line[i] == '\n')
			break;
	if (sscanf(line, "source %" SCNu64, &n) == 1) {
		send_bytes(fd, n);
	} else if (sscanf(line, "sink %" SCNu64, &n) == 1) {
		word = compare_bytes(fd, n);
		put_all(fd, &word, sizeof(word));
	} else if (!strcmp(line, "echo\n")) {
		while (!get_all(fd, &word, sizeof(word)))
			if (put_all(fd, &word, sizeof(word)))
				break;
	} else if (sscanf(line, "flood %u %u %u %15s", &hz, &size, &port,
			  to) >= 3) {
		flood(fd, hz, size, port, to);
	}
}

static void serve(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons(PORT) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		die("listen");
	puts("netload: ready");
	fflush(stdout);
	for (;;) {
		int conn = accept(fd, NULL, NULL);

		if (conn < 0)
			continue;
		setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!fork()) {
			close(fd);
			answer(conn);
			exit(0);
		}
		close(conn);
	}
}

/* --- outside ------------------------------------------------------------- */

static int dial(const char *address, const char *line)
{
	struct sockaddr_in peer = { .sin_family = AF_INET,
				    .sin_port = htons(PORT) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (inet_pton(AF_INET, address, &peer.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		die(address);
	if (put_all(fd, line, strlen(line)))
		die("write");
	return fd;
}

static int stream(const char *address, const char *what, uint64_t total)
{
	uint64_t start = now_ns(), good = 0;
	char line[64];
	int fd;

	snprintf(line, sizeof(line), "%s %" PRIu64 "\n", what, total);
	fd = dial(address, line);
	if (!strcmp(what, "source"))
		good = compare_bytes(fd, total);
	else if (send_bytes(fd, total) || get_all(fd, &good, sizeof(good)))
		die(what);
	printf("%s %" PRIu64 " of %" PRIu64 " bytes right, %" PRIu64 " ms\n",
	       what, good, total, (now_ns() - start) / 1000000);
	return good != total;
}

static int echo(const char *address, uint64_t ms, uint64_t count)
{
	uint64_t n, got = 0, last, gap = 0, rtt = 0;
	int fd = dial(address, "echo\n");

	last = now_ns();
	for (n = 0; n < count; n++) {
		struct timespec t = { (time_t)(ms / 1000),
				      (long)(ms % 1000 * 1000000) };
		uint64_t sent = now_ns(), done;

		if (put_all(fd, &n, sizeof(n)) ||
		    get_all(fd, &got, sizeof(got)) || got != n)
			break;
		done = now_ns();
		rtt += done - sent;
		if (done - last > gap)
			gap = done - last;
		last = done;
		nanosleep(&t, NULL);
	}
	printf("echo %" PRIu64 " of %" PRIu64 " right, mean %" PRIu64
	       " us, longest silence %" PRIu64 " ms\n", n, count,
	       n ? rtt / n / 1000 : 0, gap / 1000000);
	return n != count;
}

int main(int argc, char **argv)
{
	char line[64];
	int fd;

	if (argc == 2 && !strcmp(argv[1], "serve"))
		serve();
	if (argc == 4 && (!strcmp(argv[1], "source") ||
			  !strcmp(argv[1], "sink")))
		return stream(argv[2], argv[1], strtoull(argv[3], NULL, 10));
	if (argc == 5 && !strcmp(argv[1], "echo"))
		return echo(argv[2], strtoull(argv[3], NULL, 10),
			    strtoull(argv[4], NULL, 10));
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "flood")) {
		snprintf(line, sizeof(line), "flood %s %s %s %s\n", argv[3],
			 argv[4], argv[5], argc == 7 ? argv[6] : "");
		fd = dial(argv[2], line);
		read(fd, line, 1);
		close(fd);
		return 0;
	}
	fprintf(stderr, "usage: netload serve | source|sink ADDRESS BYTES | "
		"echo ADDRESS MS COUNT | flood ADDRESS HZ SIZE PORT [TO]\n");
	return 2;
}
