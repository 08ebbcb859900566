// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioload.c - a guest's disk under light load, each answer checked
 *
 *	ioload DEVICE [PAUSE_MS]
 *
 * Writes numbered, checksummed blocks past the page cache, each to the place
 * that its number says, and reads an older one back after each.  Prints
 * "IO <number>" now and then, and "BAD <what>" for a block that is not what it
 * was, or a request that failed.  A block of before this program's start is
 * not looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	BLOCK = 4096,
	WORDS = BLOCK / 8,
	PLACES_MAX = 4096,
	SAY_EVERY = 20,
	STEP = 7,			/* how far back the read goes */
};

static uint64_t *block;

static uint64_t word(uint64_t number, unsigned int i)
{
	return (number + 1) * 0x9e3779b97f4a7c15u ^ i;
}

static void write_block(int fd, uint64_t number, uint64_t places)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		block[i] = word(number, i);
	block[0] = number;
	if (pwrite(fd, block, BLOCK, (off_t)(number % places * BLOCK)) != BLOCK)
		printf("BAD write %llu: %s\n", (unsigned long long)number,
		       strerror(errno));
}

static void read_block(int fd, uint64_t number, uint64_t places)
{
	unsigned int i;

	memset(block, 0, BLOCK);
	if (pread(fd, block, BLOCK, (off_t)(number % places * BLOCK)) != BLOCK) {
		printf("BAD read %llu: %s\n", (unsigned long long)number,
		       strerror(errno));
		return;
	}
	for (i = 1; i < WORDS; i++)
		if (block[i] != word(number, i))
			break;
	if (block[0] != number || i < WORDS)
		printf("BAD block %llu says %llu, wrong from word %u on\n",
		       (unsigned long long)number,
		       (unsigned long long)block[0], i);
}

int main(int argc, char **argv)
{
	long pause = argc > 2 ? atol(argv[2]) : 10;
	struct timespec nap = { pause / 1000, pause % 1000 * 1000000 };
	int fd = argc > 1 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
	uint64_t size, places, n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) ||
	    posix_memalign((void **)&block, BLOCK, BLOCK)) {
		printf("BAD ioload: %s: %s\n", argc > 1 ? argv[1] :
		       "no device", strerror(errno));
		return 1;
	}
	places = size / BLOCK < PLACES_MAX ? size / BLOCK : PLACES_MAX;
	for (n = 0;; n++) {
		write_block(fd, n, places);
		if (n % 16 == 15 && fdatasync(fd))
			printf("BAD fdatasync: %s\n", strerror(errno));
		if (n >= STEP)
			read_block(fd, n - STEP, places);
		if (n % SAY_EVERY == 0)
			printf("IO %llu\n", (unsigned long long)n);
		nanosleep(&nap, NULL);
	}
}
