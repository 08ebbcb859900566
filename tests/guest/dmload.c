// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dmload.c - guest of the drills: lets the device model write to its memory
 *
 * With dm=1 on the kernel's command line.  Page after page is filled by the
 * processor, and some time later, in another epoch, by "rep insb" from a port
 * of QEMU's firmware configuration device, which writes the bytes to memory by
 * itself, behind the page tables.  Every page is looked at again and again: one
 * that holds what was before was not in a checkpoint, or half of an I/O
 * request was.  INV-42
 *
 * QEMU as the processor (the lab's) looks into the table of permitted ports
 * only while the task register is not marked busy, which it is in a state that
 * was saved: after a take-over a program may use ports no more there.  Then the
 * pages are only looked at.
 */
#include "guest.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/mman.h>

enum {
	PAGE = 4096,
	PAGES = 64,
	PORT_SELECT = 0x510,
	PORT_DATA = 0x511,
	KEY_SIGNATURE = 0,		/* "QEMU", then zeros without end */
	NAP_US = 30000,
};

static struct option options[] = {
	{ "dm", 0, 0, 1 },
};

static void read_signature(uint8_t *to)
{
	outw(KEY_SIGNATURE, PORT_SELECT);
	insb(PORT_DATA, to, PAGE);
}

static sigjmp_buf no_ports;

static void fault(int signal)
{
	(void)signal;
	siglongjmp(no_ports, 1);
}

static void fill(uint8_t *page, uint8_t byte)
{
	memset(page, byte, PAGE);
}

/* What the device model wrote. */
static int is_signature(const uint8_t *page)
{
	if (memcmp(page, "QEMU", 4) != 0)
		return 0;
	for (int i = 4; i < PAGE; i++)
		if (page[i])
			return 0;
	return 1;
}

static int is_filled(const uint8_t *page, uint8_t byte)
{
	for (int i = 0; i < PAGE; i++)
		if (page[i] != byte)
			return 0;
	return 1;
}

/* Those before @next of this round are the device model's; @half may be half
 * filled, -1 none. */
static void look(uint8_t *memory, int next, int half, uint8_t byte)
{
	for (int n = 0; n < PAGES; n++) {
		const uint8_t *page = memory + (size_t)n * PAGE;

		if (n == half)
			continue;
		if (n < next ? is_signature(page) : is_filled(page, byte))
			continue;
		say("BAD dmload: page %d of %d holds %02x %02x %02x %02x\n", n,
		    next, page[0], page[1], page[2], page[3]);
		exit(1);
	}
}

/* A round: pages are read, one after the other.  @n, @byte: where it is. */
static void read_pages(uint8_t *memory, volatile int *n, uint8_t byte)
{
	for (*n = 0; *n < PAGES; ) {
		read_signature(memory + (size_t)*n * PAGE);
		look(memory, ++*n, -1, byte);
		usleep(NAP_US);
	}
}

int main(int argc, char **argv)
{
	volatile uint8_t byte = 1;
	volatile int n = 0;
	uint8_t *memory;

	read_options(options, 1, argc, argv);
	if (!options[0].value)
		return 0;
	memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED || iopl(3)) {
		say("BAD dmload: no memory or no ports\n");
		return 1;
	}
	signal(SIGSEGV, fault);
	if (sigsetjmp(no_ports, 1)) {
		say("DM no ports any more: page %d of this round\n", n);
		for (;;) {
			look(memory, n, n, byte);
			usleep(NAP_US);
		}
	}
	/* Odd: never what the device model writes. */
	for (;; byte += 2) {
		for (int i = 0; i < PAGES; i++)
			fill(memory + (size_t)i * PAGE, byte);
		read_pages(memory, &n, byte);
		say("DM round %u\n", byte);
	}
}
