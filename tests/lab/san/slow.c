// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slow.c - nbdkit filter: requests wait here, as long as a test wants
 *
 * Parameter slow-control=FILE names a file of sizeof(struct slow_control)
 * bytes that is mapped shared: whoever runs the server changes the delays
 * while requests are waiting, and sees how many wait.  All numbers are
 * native; lablib/san.py has the same layout.
 *
 * A request waits *before* it reaches the disk and has then no effect yet.
 * Nothing but the end of the process stops it: a client that went away does
 * not, as with a server that had the request already.
 */
#include <nbdkit-filter.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum kind { READ, WRITE, FLUSH, KINDS };	/* trim and zero are writes */

#define HOLD		UINT32_MAX	/* as minimum: until that changes */
#define SLICE_NS	2000000		/* a change is seen so soon */
#define NS_PER_MS	1000000

struct slow_control {
	_Atomic uint64_t seed;		/* of the delays */
	struct {
		_Atomic uint32_t min_ms, max_ms;
	} delay[KINDS];
	struct {
		_Atomic uint64_t begun, ended;
	} requests[KINDS];
};
_Static_assert(sizeof(struct slow_control) == 80, "lablib/san.py knows it");

static struct slow_control *control;
static _Atomic uint64_t draws;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The next number of the seed's sequence (splitmix64). */
static uint64_t draw(void)
{
	uint64_t z = control->seed +
		(atomic_fetch_add(&draws, 1) + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Let a request of @kind wait; the delay's place in its range is @random. */
static void wait_turn(enum kind kind)
{
	uint64_t start = now_ns(), random = draw();

	for (;;) {
		uint32_t min = control->delay[kind].min_ms;
		uint32_t max = control->delay[kind].max_ms;
		uint64_t want, past = now_ns() - start;
		struct timespec slice = { .tv_nsec = SLICE_NS };

		if (min != HOLD) {
			want = min * (uint64_t)NS_PER_MS;
			if (max > min)
				want += random %
					((max - min) * (uint64_t)NS_PER_MS);
			if (past >= want)
				return;
			if (want - past < SLICE_NS)
				slice.tv_nsec = (long)(want - past);
		}
		nanosleep(&slice, NULL);
	}
}

static void begin(enum kind kind)
{
	atomic_fetch_add(&control->requests[kind].begun, 1);
	wait_turn(kind);
}

static int end(enum kind kind, int ret)
{
	atomic_fetch_add(&control->requests[kind].ended, 1);
	return ret;
}

static int slow_pread(nbdkit_next *next, void *handle, void *buf,
		      uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
	(void)handle;
	begin(READ);
	return end(READ, next->pread(next, buf, count, offset, flags, err));
}

static int slow_pwrite(nbdkit_next *next, void *handle, const void *buf,
		       uint32_t count, uint64_t offset, uint32_t flags,
		       int *err)
{
	(void)handle;
	begin(WRITE);
	return end(WRITE, next->pwrite(next, buf, count, offset, flags, err));
}

static int slow_trim(nbdkit_next *next, void *handle, uint32_t count,
		     uint64_t offset, uint32_t flags, int *err)
{
	(void)handle;
	begin(WRITE);
	return end(WRITE, next->trim(next, count, offset, flags, err));
}

static int slow_zero(nbdkit_next *next, void *handle, uint32_t count,
		     uint64_t offset, uint32_t flags, int *err)
{
	(void)handle;
	begin(WRITE);
	return end(WRITE, next->zero(next, count, offset, flags, err));
}

static int slow_flush(nbdkit_next *next, void *handle, uint32_t flags,
		      int *err)
{
	(void)handle;
	begin(FLUSH);
	return end(FLUSH, next->flush(next, flags, err));
}

static int slow_config(nbdkit_next_config *next, nbdkit_backend *nxdata,
		       const char *key, const char *value)
{
	void *map;
	int fd;

	if (strcmp(key, "slow-control"))
		return next(nxdata, key, value);
	fd = open(value, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		nbdkit_error("%s: %m", value);
		return -1;
	}
	map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	close(fd);
	if (map == MAP_FAILED) {
		nbdkit_error("mmap: %m");
		return -1;
	}
	control = map;
	return 0;
}

static int slow_config_complete(nbdkit_next_config_complete *next,
				nbdkit_backend *nxdata)
{
	if (!control) {
		nbdkit_error("slow-control=FILE is missing");
		return -1;
	}
	return next(nxdata);
}

static struct nbdkit_filter filter = {
	.name			= "slow",
	.longname		= "nbdkit slow filter",
	.config			= slow_config,
	.config_complete	= slow_config_complete,
	.config_help		= "slow-control=<FILE>  delays and counters",
	.pread			= slow_pread,
	.pwrite			= slow_pwrite,
	.trim			= slow_trim,
	.zero			= slow_zero,
	.flush			= slow_flush,
};

NBDKIT_REGISTER_FILTER(filter)
