// SPDX-License-Identifier: GPL-2.0-only
/*
 * gate_linux.c - the gate in front of this host's xen-blkback and xen-netback
 */
#include "backends/gate_linux.h"
#include "backends/kemari-gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct gate_linux {
	struct gate base;
	int fd;
	uint32_t domid;
	uint8_t uuid[16];
};

static struct gate_linux *of(struct gate *g)
{
	return (struct gate_linux *)g;
}

static int call(struct gate *g, unsigned long request, uint64_t generation,
		uint64_t epoch, uint32_t port)
{
	struct kemari_gate_call c = {
		.domid = of(g)->domid, .port = port,
		.generation = generation, .epoch = epoch,
	};

	memcpy(c.uuid, of(g)->uuid, sizeof(c.uuid));
	return ioctl(of(g)->fd, request, &c);
}

static int linux_shut(struct gate *g, uint64_t generation)
{
	return call(g, KEMARI_GATE_SHUT, generation, 0, 0);
}

static int linux_freeze(struct gate *g, uint64_t generation)
{
	return call(g, KEMARI_GATE_FREEZE, generation, 0, 0);
}

static int linux_capture(struct gate *g, uint64_t generation, uint64_t epoch)
{
	return call(g, KEMARI_GATE_CAPTURE, generation, epoch, 0);
}

static int linux_thaw(struct gate *g, uint64_t generation)
{
	return call(g, KEMARI_GATE_THAW, generation, 0, 0);
}

static int linux_release(struct gate *g, uint64_t generation, uint64_t epoch)
{
	return call(g, KEMARI_GATE_RELEASE, generation, epoch, 0);
}

/* By a controller that has not shut it, as well.  No gate is as good as an
 * open one. */
static int linux_open(struct gate *g, uint64_t generation)
{
	int r = call(g, KEMARI_GATE_OPEN, generation, 0, 0);

	if (r && errno == ENOTCONN) {
		r = call(g, KEMARI_GATE_ATTACH, generation, 0, 0);
		if (!r)
			r = call(g, KEMARI_GATE_OPEN, generation, 0, 0);
	}
	return r && errno == ENODEV ? 0 : r;
}

static int linux_covers(struct gate *g, uint32_t port)
{
	struct kemari_gate_ring *ring;
	struct kemari_gate_rings q = {
		.domid = of(g)->domid, .n = KEMARI_GATE_RINGS_MAX,
	};
	int r;

	ring = calloc(KEMARI_GATE_RINGS_MAX, sizeof(*ring));
	if (!ring)
		return -1;
	q.rings = (uint64_t)(uintptr_t)ring;
	r = ioctl(of(g)->fd, KEMARI_GATE_RINGS, &q) ? -1 : 0;
	for (uint32_t i = 0; !r && i < q.n; i++)
		r = ring[i].port == port;
	free(ring);
	return r;
}

static int linux_beyond(struct gate *g, uint64_t generation, uint32_t port)
{
	return call(g, KEMARI_GATE_BEYOND, generation, 0, port);
}

static int linux_event_fd(struct gate *g)
{
	return of(g)->fd;
}

static int linux_waiting(struct gate *g)
{
	uint64_t n;
	ssize_t got = read(of(g)->fd, &n, sizeof(n));

	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	return 1;
}

static void linux_close(struct gate *g)
{
	close(of(g)->fd);
	free(g);
}

static const struct gate_ops linux_ops = {
	.name = "linux",
	.shut = linux_shut,
	.freeze = linux_freeze,
	.capture = linux_capture,
	.thaw = linux_thaw,
	.release = linux_release,
	.open = linux_open,
	.covers = linux_covers,
	.beyond = linux_beyond,
	.event_fd = linux_event_fd,
	.waiting = linux_waiting,
	.close = linux_close,
};

int gate_linux_is_shut(struct gate *g)
{
	struct kemari_gate_query q = { .domid = of(g)->domid };

	if (ioctl(of(g)->fd, KEMARI_GATE_QUERY, &q))
		return errno == ENODEV ? 0 : -1;
	return !memcmp(q.uuid, of(g)->uuid, sizeof(q.uuid));
}

/* The device, speaking our version. */
static int open_device(void)
{
	int fd = open(KEMARI_GATE_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	uint32_t version;
	int err;

	if (fd < 0) {
		if (errno == ENOENT || errno == ENXIO)
			errno = ENODEV;
		return -1;
	}
	if (!ioctl(fd, KEMARI_GATE_GET_VERSION, &version)) {
		if (version == KEMARI_GATE_VERSION)
			return fd;
		errno = EPROTO;
	}
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

struct gate *gate_linux_open(uint32_t domid, const uint8_t uuid[16])
{
	struct gate_linux *g;
	int fd = open_device();

	if (fd < 0)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	g->base.ops = &linux_ops;
	g->fd = fd;
	g->domid = domid;
	memcpy(g->uuid, uuid, sizeof(g->uuid));
	return &g->base;
}
