/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dm.h - the device model of a guest: check, save, load
 *
 * A stock qemu-system-xen over a QMP socket of its own.  States pass through
 * memory that both sides have as a file, never through a disk.  Every call is
 * bounded in time; dm_why() says what was wrong with the last one that failed.
 */
#ifndef KEMARI_DM_H
#define KEMARI_DM_H

#include <stdbool.h>
#include <stddef.h>

#include "ioemu/dm_stream.h"
#include "libxc-ext/records.h"

enum {
	RECORD_DM_STATE = 0x1700,	/* of a device model; mandatory,
					 * sticky */
	DM_OBJECTS_MAX = 2048,		/* of one device model, when checked */
	DM_PATH_MAX = 256,		/* bytes of an object's name */
};

struct dm;

/**
 * dm_new() - Not connected
 * @timeout_ms:	For each command; what needs several ends after as many times
 * Return: or NULL with ENOMEM
 */
struct dm *dm_new(unsigned int timeout_ms);
void dm_free(struct dm *dm);

/** dm_why() - The last failure, a sentence */
const char *dm_why(const struct dm *dm);

/**
 * dm_connect() - To the QMP socket @path; again after a failure is fine
 * Return: 0, or -1 with errno
 */
int dm_connect(struct dm *dm, const char *path);

/**
 * dm_check() - Has the device model only devices that can be protected?
 * Return: 0, or -1: ENOTSUP, dm_why() names those that cannot; or like
 *	   dm_save()
 */
int dm_check(struct dm *dm);

/**
 * dm_track() - Let the device model tell Xen which pages it writes, or not
 * Return: 0, or -1 like dm_save()
 */
int dm_track(struct dm *dm, bool on);

/**
 * dm_save() - Append the state as one record RECORD_DM_STATE
 *
 * The device model stops for it, finishes the I/O that it has begun, which may
 * write to the guest's memory and raise interrupts, flushes its disks, and
 * goes on if it ran.  So the guest must be paused, and its memory be harvested
 * after this.
 *
 * Return: 0, the record is a valid stream; or -1: EREMOTEIO, refused;
 *	   ETIMEDOUT; EPROTO; EPIPE, ENOTCONN, the device model has gone;
 *	   ENOMEM, EMSGSIZE like recbuf_add(); @out is then unchanged
 */
int dm_save(struct dm *dm, struct recbuf *out);

/**
 * dm_load() - Give a standby, which waits with "-incoming defer -S", a state
 *
 * Possible once in the life of a device model; one that cannot use the state
 * ends.  Checked with dm_stream_read() before it is handed over.
 *
 * Return: 0, it has the state and is stopped; or -1: EBUSY, it does not wait;
 *	   EPROTO, it is no state; and like dm_save()
 */
int dm_load(struct dm *dm, const void *state, size_t len);

/**
 * dm_waits() - Is it a standby that has no state yet?
 * Return: 1 yes; 0 no; -1 like dm_save()
 */
int dm_waits(struct dm *dm);

/**
 * dm_run() - Let it run, with its disks, after dm_load()
 * Return: 0, or -1 like dm_save(); EREMOTEIO if it does not get its disks,
 *	   which may be tried again
 */
int dm_run(struct dm *dm);

/**
 * dm_quit() - Tell it to end, as it does by itself: what it has of Xen goes
 * Return: 0, it will; or -1 like dm_save()
 */
int dm_quit(struct dm *dm);

#endif
