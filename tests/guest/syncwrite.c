// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * syncwrite.c - synchronous writes of 4 KiB, one after the other, counted
 *
 * syncwrite DEVICE [syncport=N]
 *
 * While a client is connected (TCP, port 7002 unless told otherwise) the disk
 * is written to, past the page cache, and each write is durable before the
 * next one begins.  To each line of the client the answer is how many have
 * been done on this connection.  The client takes the time: a guest's clock
 * may stand still while the guest does.  The device is open only meanwhile, so
 * that it may come and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/guest/guest.h"

enum { BLOCK = 4096, PLACES = 1024 };

static struct option options[] = { { "syncport", 7002, 1, 65535 } };

/* Answer what the client has asked by now; returns -1 once it has left. */
static int answer(int client, uint64_t count)
{
	char in[64], out[32];
	ssize_t got = recv(client, in, sizeof(in), MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	if (!got)
		return -1;
	for (ssize_t i = 0; i < got; i++) {
		int len;

		if (in[i] != '\n')
			continue;
		len = snprintf(out, sizeof(out), "%" PRIu64 "\n", count);
		if (send(client, out, (size_t)len, MSG_NOSIGNAL) != len)
			return -1;
	}
	return 0;
}

static void serve(int client, const char *device, uint64_t *block)
{
	int disk = open(device, O_RDWR | O_DIRECT | O_SYNC);

	if (disk < 0) {
		say("BAD syncwrite: %s: %s\n", device, strerror(errno));
		return;
	}
	for (uint64_t count = 0; !answer(client, count);) {
		off_t place = (off_t)(count % PLACES * BLOCK);

		block[0] = count;
		if (pwrite(disk, block, BLOCK, place) != BLOCK) {
			say("BAD syncwrite: write %" PRIu64 ": %s\n", count,
			    strerror(errno));
			break;
		}
		count++;
	}
	close(disk);
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t *block = aligned_alloc(BLOCK, BLOCK);

	read_options(options, 1, argc, argv);
	any.sin_port = htons((uint16_t)options[0].value);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (argc < 2 || !block ||
	    bind(listener, (struct sockaddr *)&any, sizeof(any)) ||
	    listen(listener, 1)) {
		say("BAD syncwrite: cannot start: %s\n", strerror(errno));
		return 1;
	}
	memset(block, 0x5a, BLOCK);
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client < 0)
			continue;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		serve(client, argv[1], block);
		close(client);
	}
}
