// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slow-disk.c - a disk of dom0 that answers when and in the order a test wants
 *
 *	slow-disk NBD CONTROL
 *
 * The server of the network block device NBD (/dev/nbd0), with its contents in
 * memory.  CONTROL is a file that holds a struct slow_disk.  Ends when the
 * device is disconnected or by a signal.
 */
#include "tests/dom0/slow-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <endian.h>
#include <linux/nbd.h>

enum { PENDING_MAX = 1024, STEP_MS = 1 };

/** struct pending - a request without an answer, oldest first */
struct pending {
	struct nbd_request head;
	uint64_t from;
	uint32_t len, type;
};

static struct slow_disk *control;
static struct pending pending[PENDING_MAX];
static size_t waiting;
static uint8_t *contents;

static void die(const char *what)
{
	fprintf(stderr, "slow-disk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void get(int fd, void *to, size_t len)
{
	uint8_t *byte = to;
	ssize_t n;

	for (; len; byte += n, len -= (size_t)n) {
		n = read(fd, byte, len);
		if (n <= 0)
			exit(0);
	}
}

static void put(int fd, const void *from, size_t len)
{
	const uint8_t *byte = from;
	ssize_t n;

	for (; len; byte += n, len -= (size_t)n) {
		n = write(fd, byte, len);
		if (n <= 0)
			exit(0);
	}
}

static void note_write(const struct pending *p)
{
	uint64_t number, at;

	for (at = 0; at < p->len; at += SLOW_DISK_BLOCK) {
		memcpy(&number, contents + p->from + at, sizeof(number));
		if (number > control->newest)
			control->newest = number;
		control->writes++;
	}
}

static void take(int fd)
{
	struct pending *p = &pending[waiting];

	get(fd, &p->head, sizeof(p->head));
	p->from = be64toh(p->head.from);
	p->len = be32toh(p->head.len);
	p->type = be32toh(p->head.type) & 0xffff;
	if (p->type == NBD_CMD_DISC)
		exit(0);
	if (be32toh(p->head.magic) != NBD_REQUEST_MAGIC ||
	    p->from > SLOW_DISK_SIZE || p->len > SLOW_DISK_SIZE - p->from) {
		errno = EPROTO;
		die("request");
	}
	if (p->type == NBD_CMD_WRITE) {
		get(fd, contents + p->from, p->len);
		note_write(p);
	}
	waiting++;
	control->waiting = waiting;
}

static void answer(int fd, size_t i)
{
	struct pending p = pending[i];
	struct nbd_reply reply = { .magic = htobe32(NBD_REPLY_MAGIC) };

	memmove(&pending[i], &pending[i + 1],
		(--waiting - i) * sizeof(pending[0]));
	memcpy(reply.handle, p.head.handle, sizeof(reply.handle));
	put(fd, &reply, sizeof(reply));
	if (p.type == NBD_CMD_READ)
		put(fd, contents + p.from, p.len);
	control->waiting = waiting;
	control->answered++;
}

/* Answer what may be answered now. */
static void answer_some(int fd)
{
	size_t keep;

	for (;;) {
		keep = control->order == SLOW_DISK_KEEP_OLDEST;
		if (control->order == SLOW_DISK_HOLD || waiting <= keep ||
		    waiting < control->batch)
			return;
		do {
			answer(fd, control->order == SLOW_DISK_FIFO ?
					   0 : waiting - 1);
		} while (waiting > keep);
	}
}

static void serve(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		if (poll(&p, 1, waiting ? STEP_MS : -1) < 0 && errno != EINTR)
			die("poll");
		while (waiting < PENDING_MAX && poll(&p, 1, 0) == 1)
			take(fd);
		answer_some(fd);
	}
}

static void open_control(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*control)))
		die(path);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		die(path);
	close(fd);
}

int main(int argc, char **argv)
{
	int nbd, pair[2];
	pid_t child;

	if (argc != 3) {
		fprintf(stderr, "usage: slow-disk NBD CONTROL\n");
		return 2;
	}
	open_control(argv[2]);
	contents = mmap(NULL, SLOW_DISK_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	nbd = open(argv[1], O_RDWR);
	if (nbd < 0 || contents == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die(argv[1]);
	if (ioctl(nbd, NBD_SET_BLKSIZE, (unsigned long)SLOW_DISK_BLOCK) ||
	    ioctl(nbd, NBD_SET_SIZE_BLOCKS,
		  (unsigned long)(SLOW_DISK_SIZE / SLOW_DISK_BLOCK)) ||
	    ioctl(nbd, NBD_CLEAR_SOCK) || ioctl(nbd, NBD_SET_SOCK, pair[0]))
		die("NBD");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		close(pair[1]);
		if (ioctl(nbd, NBD_DO_IT) && errno != EPIPE)
			die("NBD_DO_IT");
		(void)ioctl(nbd, NBD_CLEAR_SOCK);
		return 0;
	}
	close(pair[0]);
	close(nbd);
	(void)signal(SIGPIPE, SIG_IGN);
	serve(pair[1]);
}
