// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blkload.c - a guest that keeps a disk busy
 *
 *	blkload write DEVICE DEPTH
 *	blkload bench DEVICE DEPTH SECONDS
 *
 * write: DEPTH threads write 4 KiB records with the numbers 1, 2, 3... past
 * the page cache, neighbours never side by side, and after "blkload starts"
 * every 100 ms a line says how many the disk has completed; an error ends it.
 *
 * bench: for as long as the guest lives, whenever DEVICE is there: SECONDS of
 * random 4 KiB reads and as many of writes, and a line with requests per
 * second; then waits until DEVICE is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, STRIDE = 17, DEPTH_MAX = 256 };

/** struct record - one block; the number is everywhere in it */
struct record {
	uint64_t number[BLOCK / sizeof(uint64_t)];
};

static const char *device;
static int fd;
static uint64_t blocks;
static atomic_ullong next, completed;
static atomic_bool stop;
static bool writing, random_place;

static void die(const char *what)
{
	printf("blkload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void one(struct record *r, uint64_t n)
{
	/* Knuth's multiplier spreads what STRIDE keeps apart. */
	uint64_t at = random_place ? n * 2654435761u : n * STRIDE;
	off_t where = (off_t)(at % blocks * BLOCK);
	size_t i;

	if (!writing) {
		if (pread(fd, r, sizeof(*r), where) != sizeof(*r))
			die("read");
		return;
	}
	for (i = 0; i < sizeof(r->number) / sizeof(r->number[0]); i++)
		r->number[i] = n;
	if (pwrite(fd, r, sizeof(*r), where) != sizeof(*r))
		die("write");
}

static void *work(void *arg)
{
	void *buffer;

	(void)arg;
	if (posix_memalign(&buffer, BLOCK, sizeof(struct record)))
		die("memory");
	while (!atomic_load(&stop)) {
		one(buffer, atomic_fetch_add(&next, 1) + 1);
		atomic_fetch_add(&completed, 1);
	}
	free(buffer);
	return NULL;
}

/* Once it is there and has its size. */
static void open_device(void)
{
	off_t size;

	for (;;) {
		fd = open(device, O_RDWR | O_DIRECT);
		size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
		if (size >= BLOCK)
			break;
		if (fd >= 0)
			close(fd);
		nap(50);
	}
	blocks = (uint64_t)size / BLOCK;
}

static void start(pthread_t *thread, unsigned int depth)
{
	unsigned int i;

	atomic_store(&stop, false);
	atomic_store(&completed, 0);
	for (i = 0; i < depth; i++) {
		if (pthread_create(&thread[i], NULL, work, NULL))
			die("thread");
	}
}

/* Requests per second. */
static double measure(unsigned int depth, double seconds)
{
	pthread_t thread[DEPTH_MAX];
	double t = now();
	unsigned int i;

	start(thread, depth);
	nap((long)(seconds * 1000));
	atomic_store(&stop, true);
	for (i = 0; i < depth; i++)
		pthread_join(thread[i], NULL);
	return (double)atomic_load(&completed) / (now() - t);
}

static void bench(unsigned int depth, double seconds)
{
	double reads, writes;

	random_place = true;
	for (;;) {
		open_device();
		writing = false;
		reads = measure(depth, seconds);
		writing = true;
		writes = measure(depth, seconds);
		close(fd);
		printf("bench read=%.0f write=%.0f\n", reads, writes);
		while (!access(device, F_OK))
			nap(50);
	}
}

static void load(unsigned int depth)
{
	pthread_t thread[DEPTH_MAX];

	open_device();
	printf("blkload starts\n");
	writing = true;
	start(thread, depth);
	for (;;) {
		nap(100);
		printf("written %llu\n", atomic_load(&completed));
	}
}

int main(int argc, char **argv)
{
	unsigned int depth = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (depth < 1 || depth > DEPTH_MAX) {
		printf("blkload: depth: 1..%d\n", DEPTH_MAX);
		return 2;
	}
	device = argv[2];
	if (argc == 4 && !strcmp(argv[1], "write"))
		load(depth);
	if (argc == 5 && !strcmp(argv[1], "bench"))
		bench(depth, atof(argv[4]));
	printf("blkload: write DEVICE DEPTH | bench DEVICE DEPTH SECONDS\n");
	return 2;
}
