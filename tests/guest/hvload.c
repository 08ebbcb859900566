/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hvload.c - guest of the hypervisor tests: dirties memory, prints lines, and
 * tries what a guest must not be able to do
 *
 * "attack PORT" typed on its console: close Xen's port PORT, send on it, call
 * HVMOP_kemari, ask for FIFO event channels; prints the errno of each (0: it
 * worked).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096u
#define PAGES		1024u		/* of the working set */
#define TOUCHED		64u		/* pages written per line */
#define LINE_MS		50

/* From Xen's public headers, which a guest's C library does not bring. */
#define HYPERVISOR_EVENT_CHANNEL_OP	32
#define HYPERVISOR_HVM_OP		34
#define EVTCHNOP_CLOSE			3
#define EVTCHNOP_SEND			4
#define EVTCHNOP_INIT_CONTROL		11
#define HVMOP_KEMARI			64

struct privcmd_hypercall {
	uint64_t op, arg[5];
};
#define IOCTL_PRIVCMD_HYPERCALL \
	_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))

static int hypercall(int fd, uint64_t op, uint64_t cmd, void *arg)
{
	struct privcmd_hypercall h = { .op = op,
				       .arg = { cmd, (uintptr_t)arg } };

	return ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &h) < 0 ? errno : 0;
}

static void attack(uint32_t port)
{
	uint64_t control[2] = { 0 };
	uint8_t op[160] = { 1 };	/* version 1, command 3: query */
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		perror("/dev/xen/privcmd");
		return;
	}
	op[4] = 3;
	if (mlock(op, sizeof(op)) || mlock(&port, sizeof(port))) {
		perror("mlock");
		close(fd);
		return;
	}
	printf("attack: close %d send %d kemari %d fifo %d\n",
	       hypercall(fd, HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_CLOSE,
			 &port),
	       hypercall(fd, HYPERVISOR_EVENT_CHANNEL_OP, EVTCHNOP_SEND, &port),
	       hypercall(fd, HYPERVISOR_HVM_OP, HVMOP_KEMARI, op),
	       hypercall(fd, HYPERVISOR_EVENT_CHANNEL_OP,
			 EVTCHNOP_INIT_CONTROL, control));
	fflush(stdout);
	close(fd);
}

int main(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[64];
	unsigned char *mem;
	unsigned long n;

	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (n = 0; ; n++) {
		for (unsigned int i = 0; i < TOUCHED; i++) {
			size_t page = (n * TOUCHED + i) % PAGES;

			memcpy(mem + page * PAGE, &n, sizeof(n));
		}
		printf("line %lu\n", n);
		fflush(stdout);
		if (poll(&in, 1, LINE_MS) == 1 &&
		    fgets(line, sizeof(line), stdin) &&
		    !strncmp(line, "attack ", 7))
			attack((uint32_t)strtoul(line + 7, NULL, 10));
	}
}
