// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dm.c - save and load the state of a device model
 *
 * Saves: one memory file serves all saves of a connection.  The device model
 * opens "/dev/fdset/N" for writing only, gets a descriptor only if that was
 * opened in precisely this way, and truncates, so the file cannot be sealed.
 * It writes where the descriptor, which both sides share, stands.
 *
 * Loads: not by xen-load-devices-state.  That ends QEMU 7.2 by an assertion,
 * or, where it waits for a migration, leaves it waiting.  libxl restores a
 * guest's devices by way of a migration that comes in; so does this.  Until
 * then such a device model neither locks nor uses its disks.
 */
#include "ioemu/dm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ioemu/dm_int.h"

enum {
	FDSET = 1799,			/* our number among its sets */
	FD_PATH_MAX = 40,
	ASK_AGAIN_MS = 1,
};

static_assert((int)DM_STATE_MAX <= (int)RECORD_LENGTH_MAX,
	      "a state is one record");

#define FD_NAME "kemari-state"

struct dm *dm_new(unsigned int timeout_ms)
{
	struct dm *dm = calloc(1, sizeof(*dm));

	if (!dm)
		return NULL;
	qmp_init(&dm->q, timeout_ms);
	dm->save_fd = dm->save_out = -1;
	return dm;
}

static void forget_memory(struct dm *dm)
{
	int err = errno;

	if (dm->save_fd >= 0)
		close(dm->save_fd);
	if (dm->save_out >= 0)
		close(dm->save_out);
	dm->save_fd = dm->save_out = -1;
	errno = err;
}

void dm_free(struct dm *dm)
{
	if (!dm)
		return;
	qmp_close(&dm->q);
	forget_memory(dm);
	free(dm);
}

const char *dm_why(const struct dm *dm)
{
	return dm->q.why;
}

/* A command whose result says nothing. */
static int order(struct dm *dm, const char *command, struct json_object *args,
		 int fd)
{
	struct json_object *value = qmp_call(&dm->q, command, args, fd);

	if (!value)
		return -1;
	json_object_put(value);
	return 0;
}

int dm_connect(struct dm *dm, const char *path)
{
	/* The set was the old connection's. */
	forget_memory(dm);
	return qmp_open(&dm->q, path);
}

/* --- memory that is a file --------------------------------------------- */

/* The file @fd once more, opened with @flags. */
static int open_again(struct dm *dm, int fd, int flags)
{
	char path[FD_PATH_MAX];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	if (again < 0)
		return dm_fail(dm, errno, "memory for a state: %s: %s", path,
			       strerror(errno));
	return again;
}

static int memory(struct dm *dm)
{
	int fd = memfd_create(FD_NAME, MFD_CLOEXEC);

	if (fd < 0)
		return dm_fail(dm, errno, "memory for a state: %s",
				strerror(errno));
	return fd;
}

static int give_memory(struct dm *dm)
{
	struct json_object *args;

	if (dm->save_out >= 0)
		return 0;
	forget_memory(dm);
	dm->save_fd = memory(dm);
	if (dm->save_fd < 0)
		return -1;
	dm->save_out = open_again(dm, dm->save_fd, O_WRONLY);
	if (dm->save_out < 0)
		return -1;
	/* One of a former connection stays while somebody else has one. */
	args = json_object_new_object();
	json_object_object_add(args, "fdset-id", json_object_new_int(FDSET));
	if (order(dm, "remove-fd", args, -1) && errno != EREMOTEIO) {
		forget_memory(dm);
		return -1;
	}
	args = json_object_new_object();
	json_object_object_add(args, "fdset-id", json_object_new_int(FDSET));
	if (!order(dm, "add-fd", args, dm->save_out))
		return 0;
	forget_memory(dm);
	return -1;
}

/* --- save -------------------------------------------------------------- */

int dm_track(struct dm *dm, bool on)
{
	struct json_object *args = json_object_new_object();

	json_object_object_add(args, "enable", json_object_new_boolean(on));
	return order(dm, "xen-set-global-dirty-log", args, -1);
}

/* Copied before it is looked at: the device model can write to the file. */
static int take(struct dm *dm, size_t len, struct recbuf *out)
{
	size_t used = out->used, done = 0;
	uint8_t *state;
	ssize_t n;

	state = recbuf_reserve(out, RECORD_DM_STATE,
			       RECORD_MANDATORY | RECORD_STICKY, 0, len);
	if (!state)
		return dm_fail(dm, errno, "a device model's state of %zu bytes:"
			       " %s", len, strerror(errno));
	while (done < len) {
		n = pread(dm->save_fd, state + done, len - done, (off_t)done);
		if (n <= 0) {
			(void)dm_fail(dm, n ? errno : EIO, "memory of a state:"
				      " read failed at byte %zu", done);
			break;
		}
		done += (size_t)n;
	}
	if (done < len || dm_stream_read(&dm->stream, state, len, dm->q.why,
					 sizeof(dm->q.why))) {
		out->used = used;
		return -1;
	}
	return 0;
}

int dm_save(struct dm *dm, struct recbuf *out)
{
	struct json_object *args;
	char path[FD_PATH_MAX];
	off_t len;

	if (give_memory(dm))
		return -1;
	if (ftruncate(dm->save_fd, 0) || lseek(dm->save_out, 0, SEEK_SET))
		return dm_fail(dm, errno, "memory for a state: %s",
				strerror(errno));
	snprintf(path, sizeof(path), "/dev/fdset/%d", FDSET);
	args = json_object_new_object();
	json_object_object_add(args, "filename", json_object_new_string(path));
	/* Live, one that is stopped would give its disks to somebody else. */
	json_object_object_add(args, "live", json_object_new_boolean(false));
	if (order(dm, "xen-save-devices-state", args, -1))
		return -1;
	len = lseek(dm->save_fd, 0, SEEK_END);
	if (len < 0 || len > DM_STATE_MAX)
		return dm_fail(dm, EPROTO, "a device model's state of %lld"
			       " bytes, at most %d", (long long)len,
			       DM_STATE_MAX);
	return take(dm, (size_t)len, out);
}

/* --- load -------------------------------------------------------------- */

/* @status: STATUS_MAX bytes, "running", "inmigrate", ... */
enum { STATUS_MAX = 32 };

static int query_status(struct dm *dm, char *status)
{
	struct json_object *value = qmp_call(&dm->q, "query-status", NULL, -1);

	if (!value)
		return -1;
	snprintf(status, STATUS_MAX, "%s", qmp_text(value, "status"));
	json_object_put(value);
	return 0;
}

/* A file that is read from its start. */
static int filled(struct dm *dm, const void *state, size_t len)
{
	int fd = memory(dm), in = -1;
	const uint8_t *at = state;
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	while (done < len) {
		n = pwrite(fd, at + done, len - done, (off_t)done);
		if (n <= 0) {
			(void)dm_fail(dm, n ? errno : EIO, "memory of a state:"
				      " write failed at byte %zu", done);
			break;
		}
		done += (size_t)n;
	}
	if (done == len)
		in = open_again(dm, fd, O_RDONLY);
	close(fd);
	return in;
}

/* It says "inmigrate" until it has the state, and ends if it is a bad one. */
static int wait_loaded(struct dm *dm)
{
	const struct timespec pause = { .tv_nsec = ASK_AGAIN_MS * 1000000L };
	unsigned int asked = 0;
	char status[STATUS_MAX];

	for (;;) {
		if (query_status(dm, status))
			return -1;
		if (strcmp(status, "inmigrate") != 0)
			break;
		if (asked++ > dm->q.timeout_ms / ASK_AGAIN_MS)
			return dm_fail(dm, ETIMEDOUT, "the device model had"
				       " not loaded its state after %u ms",
				       dm->q.timeout_ms);
		nanosleep(&pause, NULL);
	}
	if (strcmp(status, "paused") != 0)
		return dm_fail(dm, EPROTO, "the device model is \"%.31s\" after"
			       " it loaded its state, not \"paused\"", status);
	return 0;
}

int dm_load(struct dm *dm, const void *state, size_t len)
{
	struct json_object *args;
	char status[STATUS_MAX];
	int fd, r;

	if (dm_stream_read(&dm->stream, state, len, dm->q.why,
			   sizeof(dm->q.why)) || query_status(dm, status))
		return -1;
	if (strcmp(status, "inmigrate") != 0)
		return dm_fail(dm, EBUSY, "the device model is \"%.31s\" and"
			       " does not wait for a state", status);
	fd = filled(dm, state, len);
	if (fd < 0)
		return -1;
	args = json_object_new_object();
	json_object_object_add(args, "fdname", json_object_new_string(FD_NAME));
	r = order(dm, "getfd", args, fd);
	close(fd);
	if (r)
		return -1;
	args = json_object_new_object();
	json_object_object_add(args, "uri",
			       json_object_new_string("fd:" FD_NAME));
	if (order(dm, "migrate-incoming", args, -1))
		return -1;
	return wait_loaded(dm);
}

int dm_waits(struct dm *dm)
{
	char status[STATUS_MAX];

	if (query_status(dm, status))
		return -1;
	return !strcmp(status, "inmigrate");
}

int dm_run(struct dm *dm)
{
	char status[STATUS_MAX];

	if (order(dm, "cont", NULL, -1) || query_status(dm, status))
		return -1;
	if (strcmp(status, "running") != 0)
		return dm_fail(dm, EPROTO, "the device model is \"%.31s\" after"
			       " it was told to run", status);
	return 0;
}

int dm_quit(struct dm *dm)
{
	/* It may be gone before it has said so. */
	return order(dm, "quit", NULL, -1) && errno != EPIPE ? -1 : 0;
}
