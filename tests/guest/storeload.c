// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * storeload.c - a guest that talks to xenstore all the time
 *
 * Small and long reads and writes, directories, transactions, with and
 * without pauses between them.  Each answer must be that of its request.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIRECTORY = 1, READ = 2, START = 6, END = 7, WRITE = 11, ERROR = 16 };

struct head {
	uint32_t type, req_id, tx_id, len;
};

static int fd;
static uint32_t id;
static char answer[4097];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void get(void *to, size_t len)
{
	uint8_t *byte = to;

	while (len) {
		ssize_t n = read(fd, byte, len);

		if (n <= 0)
			die("storeload: read");
		byte += n;
		len -= (size_t)n;
	}
}

/* Returns the type of the answer, whose text is then in answer[]. */
static uint32_t ask(uint32_t type, uint32_t tx, const void *data, size_t len)
{
	struct head h = { type, ++id, tx, (uint32_t)len };

	if (write(fd, &h, sizeof(h)) != (ssize_t)sizeof(h) ||
	    write(fd, data, len) != (ssize_t)len)
		die("storeload: write");
	get(&h, sizeof(h));
	if (h.req_id != id || h.len > 4096) {
		printf("storeload: answer %u of %u bytes to request %u\n",
		       h.req_id, h.len, id);
		exit(1);
	}
	get(answer, h.len);
	answer[h.len] = 0;
	return h.type;
}

static void transaction(void)
{
	char value[32];
	uint32_t tx;
	int n;

	if (ask(START, 0, "", 1) != START)
		return;
	tx = (uint32_t)strtoul(answer, NULL, 10);
	ask(READ, tx, "name", 5);
	n = snprintf(value, sizeof(value), "data/t%c%u", 0, id);
	ask(WRITE, tx, value, (size_t)n);
	ask(END, tx, "T", 2);
}

int main(void)
{
	static char big[2000] = "data/big";
	unsigned long rounds = 0;
	char text[32];
	int n;

	memset(big + 9, 'x', sizeof(big) - 9);
	fd = open("/dev/xen/xenbus", O_RDWR);
	if (fd < 0)
		die("storeload: /dev/xen/xenbus");
	for (;;) {
		switch (random() % 8) {
		case 0:
			transaction();
			break;
		case 1:
			if (ask(WRITE, 0, big, sizeof(big)) == WRITE)
				ask(READ, 0, "data/big", 9);
			break;
		case 2:
			ask(DIRECTORY, 0, "device", 7);
			break;
		case 3:
			n = snprintf(text, sizeof(text), "data/n%c%lu", 0,
				     rounds);
			ask(WRITE, 0, text, (size_t)n);
			break;
		case 4:
			usleep((useconds_t)(random() % 30000));
			break;
		default:
			ask(READ, 0, "name", 5);
		}
		if (++rounds % 50 == 0) {
			printf("storeload: %lu rounds\n", rounds);
			fflush(stdout);
		}
	}
}
