// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * gate-test.c - /dev/kemari-gate on a running guest that loads its disk
 *
 *	gate-test DOMID CONTROL CASE...
 *
 * The guest runs blkload on a disk that slow-disk serves, steered by CONTROL.
 * What is looked at is what leaves: the requests that the disk gets, and the
 * guest's ring page itself (INV-33, INV-34, INV-35).  tests/system/gate.sh
 * runs it.  Before the first CASE the gate is open, and after the last it is
 * again.  The cases shut and open do just that; without a disk, CONTROL is "-".
 * The case gone is about a domain that died behind its fence.
 */
#include "backends/kemari-gate.h"
#include "tests/dom0/slow-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xen/io/blkif.h>

enum {
	GENERATIONS = 10000,	/* of one run; the next one's are greater */
	PATIENCE_MS = 20000,
	STILL_MS = 300,		/* in which nothing may happen */
	STILL_TRIES = 10,
	RINGS = 8,
	CYCLES = 1000,
	EPOCHS = 100,
	STORE_PATH_MAX = 100,
};

static int gate;
static uint32_t domid;
static uint8_t uuid[16];
static struct slow_disk *disk;
static blkif_sring_t *sring;
static uint64_t generation;
static unsigned int failures;

static void die(const char *what)
{
	fprintf(stderr, "gate-test: %s: %s\n", what, strerror(errno));
	exit(2);
}

#define EXPECT(condition) do { \
	if (!(condition)) { \
		printf("FAIL line %d: %s\n", __LINE__, #condition); \
		failures++; \
	} \
} while (0)

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Wait for a condition; false: it did not come. */
#define COMES(condition) ({ \
	long ms_ = 0; \
	while (!(condition) && ms_++ < PATIENCE_MS) \
		nap(1); \
	(condition); \
})

/* --- calls -------------------------------------------------------------- */

/* 0, 1, or an error number, negative. */
static int call_as(int fd, unsigned long cmd, uint64_t gen, uint64_t epoch,
		   uint32_t port)
{
	struct kemari_gate_call c = {
		.domid = domid, .port = port, .generation = gen,
		.epoch = epoch,
	};
	int r;

	memcpy(c.uuid, uuid, 16);
	r = ioctl(fd, cmd, &c);
	return r < 0 ? -errno : r;
}

static int call(unsigned long cmd, uint64_t epoch)
{
	return call_as(gate, cmd, generation, epoch, 0);
}

static int shut(void)
{
	int r;

	do {
		r = call(KEMARI_GATE_SHUT, 0);
	} while (r == -EBUSY);
	return r;
}

static int beyond(uint32_t port)
{
	return call_as(gate, KEMARI_GATE_BEYOND, generation, 0, port);
}

/* The guest's block rings; their number. */
static uint32_t rings(struct kemari_gate_ring list[RINGS])
{
	struct kemari_gate_rings all = {
		.domid = domid, .n = RINGS, .rings = (uintptr_t)list,
	};
	uint32_t i, n = 0;

	if (ioctl(gate, KEMARI_GATE_RINGS, &all))
		die("RINGS");
	for (i = 0; i < all.n; i++) {
		if (list[i].kind == KEMARI_GATE_BLK)
			list[n++] = list[i];
	}
	errno = ENOENT;
	if (!n)
		die("no block ring");
	return n;
}

/* The first of them. */
static struct kemari_gate_ring ring(void)
{
	struct kemari_gate_ring list[RINGS];

	rings(list);
	return list[0];
}

static struct kemari_gate_query query(void)
{
	struct kemari_gate_query q = { .domid = domid };

	if (ioctl(gate, KEMARI_GATE_QUERY, &q))
		die("QUERY");
	return q;
}

static int open_gate(void)
{
	int fd = open(KEMARI_GATE_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(KEMARI_GATE_DEVICE);
	return fd;
}

/* Of all that waits in the ring now let the disk have it: epoch @n. */
static void epoch(uint64_t n)
{
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == 0);
	EXPECT(call(KEMARI_GATE_CAPTURE, n) == 0);
	EXPECT(call(KEMARI_GATE_THAW, 0) == 0);
	EXPECT(call(KEMARI_GATE_RELEASE, n) == 0);
}

/* The guest wrote all it can write: its ring is full, or it waits. */
static bool wait_full(void)
{
	uint32_t before;
	int tries = 0;

	do {
		before = ring().req_prod;
		nap(STILL_MS);
	} while (ring().req_prod != before && ++tries < STILL_TRIES);
	EXPECT(tries < STILL_TRIES);
	return tries < STILL_TRIES;
}

static int news(short *revents)
{
	struct pollfd p = { .fd = gate, .events = POLLIN };
	int r = poll(&p, 1, 0);

	*revents = p.revents;
	return r;
}

/* --- cases -------------------------------------------------------------- */

static void refusals_of_an_open_gate(void)
{
	struct kemari_gate_query q = { .domid = domid };
	uint32_t version = 0;

	EXPECT(!ioctl(gate, KEMARI_GATE_GET_VERSION, &version));
	EXPECT(version == KEMARI_GATE_VERSION);
	EXPECT(!(ring().flags & KEMARI_GATE_F_FENCED));
	EXPECT(ioctl(gate, KEMARI_GATE_QUERY, &q) && errno == ENODEV);
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == -ENOTCONN);
	EXPECT(call(KEMARI_GATE_ATTACH, 0) == -ENODEV);
	EXPECT(call(KEMARI_GATE_SHUT, 1) == -EINVAL);
	EXPECT(call_as(gate, KEMARI_GATE_SHUT, 0, 0, 0) == -EINVAL);
	EXPECT(call_as(gate, KEMARI_GATE_SHUT, 1, 0, 1) == -EINVAL);
	uuid[3] ^= 1;
	EXPECT(call(KEMARI_GATE_SHUT, 0) == -ESTALE);
	uuid[3] ^= 1;
	EXPECT(!(ring().flags & KEMARI_GATE_F_FENCED));
}

static void nothing_leaves(void)
{
	uint64_t before = disk->writes;
	uint32_t rsp_prod = ring().rsp_prod;

	nap(STILL_MS);
	EXPECT(disk->writes == before);
	EXPECT(ring().rsp_prod == rsp_prod);
}

static void stalls_behind_the_fence(void)
{
	struct kemari_gate_ring r;
	uint64_t met, count;
	short revents;

	EXPECT(COMES(disk->writes > 100));
	EXPECT(shut() == 0);
	EXPECT(call(KEMARI_GATE_SHUT, 0) == 0);
	if (!wait_full()) {
		nothing_leaves();
		return;
	}
	r = ring();
	EXPECT(r.flags == KEMARI_GATE_F_FENCED);
	EXPECT(r.persistent == 0);
	EXPECT(r.req_cons == r.fence && r.rsp_prod == r.fence);
	EXPECT((int32_t)(r.req_prod - r.fence) > 0);
	nothing_leaves();

	EXPECT(news(&revents) == 1 && revents == POLLIN);
	EXPECT(read(gate, &met, sizeof(met)) == sizeof(met) && met > 0);
	EXPECT(read(gate, &met, sizeof(met)) < 0 && errno == EAGAIN);
	EXPECT(news(&revents) == 0);
	EXPECT(beyond(r.port) == 1);
	EXPECT(beyond(r.port + 1000) == -ENOENT);
	EXPECT(query().waiting == 1);

	/* Captured is not released; released is all that was captured. */
	count = disk->writes;
	EXPECT(call(KEMARI_GATE_CAPTURE, 1) == -EAGAIN);
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == 0);
	EXPECT(call(KEMARI_GATE_CAPTURE, 1) == 0);
	EXPECT(call(KEMARI_GATE_THAW, 0) == 0);
	nothing_leaves();
	EXPECT(disk->writes == count);
	EXPECT(call(KEMARI_GATE_RELEASE, 2) == -ERANGE);
	EXPECT(call(KEMARI_GATE_RELEASE, 1) == 0);
	EXPECT(call(KEMARI_GATE_RELEASE, 1) == -EALREADY);
	EXPECT(COMES(ring().rsp_prod == r.req_prod));
	EXPECT(disk->writes - count == r.req_prod - r.fence);
	EXPECT(ring().fence == r.req_prod);
	nothing_leaves();
	/* It is told again of what came since. */
	EXPECT(COMES(news(&revents) == 1));
}

static void stale_callers(void)
{
	EXPECT(call_as(gate, KEMARI_GATE_FREEZE, generation - 1, 0, 0) ==
	       -ESTALE);
	EXPECT(call_as(gate, KEMARI_GATE_RELEASE, generation - 1, 1, 0) ==
	       -ESTALE);
	EXPECT(call_as(gate, KEMARI_GATE_OPEN, generation - 1, 0, 0) ==
	       -ESTALE);
	EXPECT(call_as(gate, KEMARI_GATE_SHUT, generation - 1, 0, 0) ==
	       -ESTALE);
	uuid[15] ^= 0x80;
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == -ESTALE);
	EXPECT(call(KEMARI_GATE_OPEN, 0) == -ESTALE);
	EXPECT(call(KEMARI_GATE_ATTACH, 0) == -ESTALE);
	uuid[15] ^= 0x80;
	domid++;
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == -EINVAL);
	domid--;
	EXPECT(ring().flags == KEMARI_GATE_F_FENCED);
}

/* Answers that come while the ring is frozen wait for the thaw. */
static void frozen_ring(void)
{
	uint8_t page[XC_PAGE_SIZE];
	struct kemari_gate_ring r;
	uint32_t n;

	disk->order = SLOW_DISK_HOLD;
	epoch(10);
	wait_full();
	r = ring();
	n = r.req_cons - r.rsp_prod;
	EXPECT(n > 0 && r.req_cons == r.fence);
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == 0);
	EXPECT(ring().flags == (KEMARI_GATE_F_FENCED | KEMARI_GATE_F_FROZEN));
	memcpy(page, sring, sizeof(page));
	disk->order = SLOW_DISK_FIFO;
	EXPECT(COMES(ring().queued == n));
	nap(STILL_MS);
	EXPECT(ring().rsp_prod == r.rsp_prod);
	EXPECT(!memcmp(page, sring, sizeof(page)));
	EXPECT(call(KEMARI_GATE_THAW, 0) == 0);
	EXPECT(ring().rsp_prod == r.fence && ring().queued == 0);
	EXPECT(query().queued >= n);
}

/*
 * The disk answers the newest first, and the oldest of a batch not at all:
 * what is unanswered is in the ring, and is what the guest wrote there.
 */
static void ring_stays_exact(void)
{
	uint8_t page[XC_PAGE_SIZE];
	struct kemari_gate_ring r;
	uint32_t n;

	wait_full();
	r = ring();
	memcpy(page, sring, sizeof(page));
	n = r.req_prod - r.rsp_prod;
	disk->batch = n;
	disk->order = SLOW_DISK_KEEP_OLDEST;
	epoch(20);
	EXPECT(COMES(disk->waiting == 1));
	disk->batch = 0;
	EXPECT(COMES(ring().queued == n - 1 ||
		     ring().rsp_prod != r.rsp_prod));
	EXPECT(n > 1 && ring().queued == n - 1);
	EXPECT(ring().rsp_prod == r.rsp_prod);
	EXPECT(!memcmp(page + offsetof(blkif_sring_t, ring), &sring->ring,
		       sizeof(page) - offsetof(blkif_sring_t, ring)));
	disk->order = SLOW_DISK_FIFO;
	EXPECT(COMES(ring().rsp_prod == r.req_prod));
}

/* A controller that dies leaves the gate as it is; the next one goes on. */
static void controller_dies(void)
{
	struct kemari_gate_ring r;
	int status, go[2];
	uint64_t next = generation + 1;
	pid_t child;
	char byte;

	wait_full();
	if (pipe(go))
		die("pipe");
	child = fork();
	if (!child) {
		int fd = open_gate();

		if (call_as(fd, KEMARI_GATE_ATTACH, next, 0, 0) ||
		    call_as(fd, KEMARI_GATE_FREEZE, next, 0, 0) ||
		    call_as(fd, KEMARI_GATE_CAPTURE, next, 1, 0) ||
		    write(go[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(go[1]);
	EXPECT(read(go[0], &byte, 1) == 1);
	close(go[0]);
	kill(child, SIGKILL);
	EXPECT(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
	close(gate);
	gate = open_gate();
	r = ring();
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == -ENOTCONN);
	EXPECT(call(KEMARI_GATE_ATTACH, 0) == -ESTALE);
	generation = next;
	EXPECT(call(KEMARI_GATE_ATTACH, 0) == 0);
	EXPECT(query().frozen == 1 && query().captured == 1);
	EXPECT(query().generation == generation && query().released == 0);
	nothing_leaves();
	EXPECT(call(KEMARI_GATE_THAW, 0) == 0);
	nothing_leaves();
	EXPECT(call(KEMARI_GATE_RELEASE, 1) == 0);
	EXPECT(COMES(ring().rsp_prod == r.req_prod));
}

static void opens(void)
{
	uint64_t before;
	short revents;

	EXPECT(call(KEMARI_GATE_FREEZE, 0) == 0);
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
	EXPECT(call(KEMARI_GATE_FREEZE, 0) == -EPERM);
	EXPECT(news(&revents) == 1 && revents & POLLHUP);
	/* Shut again, by the same generation, its epochs begin anew. */
	EXPECT(shut() == 0);
	epoch(1);
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
	before = disk->writes;
	EXPECT(COMES(disk->writes > before + 200));
	EXPECT(ring().flags == 0 && ring().queued == 0);
}

static void cycles(void)
{
	uint64_t before;
	unsigned int i;

	for (i = 0; i < CYCLES && !failures; i++) {
		generation++;
		disk->order = i & 1 ? SLOW_DISK_LIFO : SLOW_DISK_FIFO;
		EXPECT(shut() == 0);
		if (i % 3 == 0)
			epoch(1);
		if (i % 5 == 0)
			EXPECT(call(KEMARI_GATE_FREEZE, 0) == 0);
		EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
	}
	disk->order = SLOW_DISK_FIFO;
	before = disk->writes;
	EXPECT(COMES(disk->writes > before + 200));
	EXPECT(ring().flags == 0);
}

/* Several queues, rings of several pages, and the disk answers at random. */
static void many_rings(void)
{
	struct kemari_gate_ring list[RINGS], r;
	uint64_t before;
	uint32_t i, n;
	unsigned int k;

	disk->order = SLOW_DISK_LIFO;
	EXPECT(shut() == 0);
	n = rings(list);
	EXPECT(n > 1);
	for (i = 0; i < n; i++) {
		r = list[i];
		EXPECT(r.flags == KEMARI_GATE_F_FENCED && !r.persistent);
		EXPECT(r.queue == i && r.port != list[(i + 1) % n].port);
	}
	for (k = 1; k <= EPOCHS && !failures; k++) {
		before = disk->writes;
		EXPECT(COMES(query().waiting));
		epoch(k);
		EXPECT(COMES(disk->writes > before));
	}
	n = rings(list);
	for (i = 0; i < n; i++)
		EXPECT(list[i].rsp_prod > EPOCHS);
	disk->order = SLOW_DISK_FIFO;
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
	before = disk->writes;
	EXPECT(COMES(disk->writes > before + 200));
}

static void order(void)
{
	EXPECT(shut() == 0);
	ring_stays_exact();
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
}

static void fence(void)
{
	stalls_behind_the_fence();
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
}

static void all(void)
{
	refusals_of_an_open_gate();
	stalls_behind_the_fence();
	stale_callers();
	frozen_ring();
	ring_stays_exact();
	controller_dies();
	opens();
}

static void only_shut(void)
{
	EXPECT(shut() == 0);
}

static void only_open(void)
{
	EXPECT(call(KEMARI_GATE_ATTACH, 0) == 0);
	EXPECT(call(KEMARI_GATE_OPEN, 0) == 0);
}

/* Nothing is remembered of a domain that died. */
static void gone(void)
{
	struct kemari_gate_query q = { .domid = domid };
	struct kemari_gate_rings r = { .domid = domid };

	EXPECT(COMES(ioctl(gate, KEMARI_GATE_QUERY, &q) && errno == ENODEV));
	EXPECT(!ioctl(gate, KEMARI_GATE_RINGS, &r) && r.n == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "all", all }, { "cycles", cycles }, { "many", many_rings },
	{ "fence", fence }, { "order", order },
	{ "shut", only_shut }, { "open", only_open },
	{ "gone", gone },
};

/* --- the guest ---------------------------------------------------------- */

static uint32_t read_number(struct xs_handle *xs, const char *path)
{
	unsigned int len;
	char *text = xs_read(xs, XBT_NULL, path, &len);
	uint32_t n;

	if (!text)
		die(path);
	n = (uint32_t)strtoul(text, NULL, 10);
	free(text);
	return n;
}

/* Another mapping of the ring that the backend has mapped. */
static void map_ring(void)
{
	struct xs_handle *xs = xs_open(0);
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	char path[STORE_PATH_MAX];
	struct kemari_gate_ring list[RINGS];

	if (!xs || !xgt)
		die("xenstore, gntdev");
	/* Its first page, if the ring has several. */
	snprintf(path, sizeof(path), "/local/domain/%u/device/vbd/%u/%s",
		 domid, ring().device,
		 rings(list) > 1 ? "queue-0/ring-ref0" : "ring-ref");
	sring = xengnttab_map_grant_ref(xgt, domid, read_number(xs, path),
					PROT_READ);
	if (!sring)
		die("mapping the ring");
	xs_close(xs);
}

static void find_guest(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xc_dominfo_t info;

	if (!xch || xc_domain_getinfo(xch, domid, 1, &info) != 1 ||
	    info.domid != domid)
		die("no such domain");
	memcpy(uuid, info.handle, 16);
	xc_interface_close(xch);
}

static void find_disk(const char *control)
{
	int fd = open(control, O_RDWR);

	if (fd < 0)
		die(control);
	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	if (disk == MAP_FAILED)
		die(control);
	close(fd);
	map_ring();
}

static int run(const char *name)
{
	unsigned int before = failures;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, name))
			continue;
		generation++;
		cases[i].run();
		printf("gate-test: %s: %s\n", name,
		       failures == before ? "ok" : "FAIL");
		return 0;
	}
	fprintf(stderr, "gate-test: %s: no such case\n", name);
	return -1;
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 4) {
		fprintf(stderr, "usage: gate-test DOMID CONTROL CASE...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	domid = (uint32_t)atoi(argv[1]);
	generation = (uint64_t)time(NULL) * GENERATIONS;
	if (strcmp(argv[3], "gone"))
		find_guest();
	gate = open_gate();
	if (strcmp(argv[2], "-"))
		find_disk(argv[2]);
	for (i = 3; i < argc; i++) {
		if (run(argv[i]))
			return 2;
	}
	return failures ? 1 : 0;
}
