/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slow-disk.h - how a test steers slow-disk, and what it sees
 *
 * Both map the same file.  The test writes what is above the line, slow-disk
 * what is below.
 */
#ifndef KEMARI_SLOW_DISK_H
#define KEMARI_SLOW_DISK_H

#include <stdatomic.h>
#include <stdint.h>

enum { SLOW_DISK_SIZE = 16 << 20, SLOW_DISK_BLOCK = 4096 };

/* order */
enum {
	SLOW_DISK_FIFO,
	SLOW_DISK_LIFO,		/* the newest first, */
	SLOW_DISK_KEEP_OLDEST,	/* ... and the oldest not at all */
	SLOW_DISK_HOLD,		/* none */
};

struct slow_disk {
	_Atomic uint32_t order;
	_Atomic uint32_t batch;		/* requests that must be here before
					 * one is answered */
	/* --- */
	_Atomic uint64_t writes;	/* that came in */
	_Atomic uint64_t answered;	/* requests */
	_Atomic uint64_t waiting;	/* requests that have no answer */
	_Atomic uint64_t newest;	/* greatest number written */
};

#endif
