// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sticky.c - state of a checkpoint: its own records and those that stay
 */
#include "replicator/sticky.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "libxc-ext/records.h"

struct key {
	uint16_t type;
	uint32_t instance;
};

/* The sticky records that the checkpoint itself sent. */
struct named {
	struct key key[STICKY_MAX];
	size_t n;
};

struct output {
	uint8_t *bytes;
	size_t room, used;
	size_t sticky;
};

static bool is_named(const struct named *named, const struct record *rec)
{
	size_t i;

	for (i = 0; i < named->n; i++)
		if (named->key[i].type == rec->type &&
		    named->key[i].instance == rec->instance)
			return true;
	return false;
}

static int find_named(struct named *named, const void *sent, size_t len)
{
	size_t pos = 0, n = 0;
	struct record rec;
	int r;

	named->n = 0;
	while ((r = record_next(sent, len, &pos, &rec)) > 0) {
		if (++n > STICKY_RECORDS_MAX) {
			errno = EMSGSIZE;
			return -1;
		}
		if (!(rec.flags & RECORD_STICKY))
			continue;
		if (is_named(named, &rec)) {
			errno = EPROTO;
			return -1;
		}
		if (named->n == STICKY_MAX) {
			errno = EMSGSIZE;
			return -1;
		}
		named->key[named->n++] = (struct key){ rec.type,
						       rec.instance };
	}
	return r;
}

static int put(struct output *out, const void *bytes, size_t len, bool sticky)
{
	if (len > out->room - out->used ||
	    (sticky && out->sticky++ == STICKY_MAX)) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(out->bytes + out->used, bytes, len);
	out->used += len;
	return 0;
}

/* Sticky records of @old that the checkpoint does not name. */
static int keep(struct output *out, const struct named *named,
		const uint8_t *old, size_t len)
{
	size_t pos = 0, at = 0;
	struct record rec;
	int r;

	while ((r = record_next(old, len, &pos, &rec)) > 0) {
		if (rec.flags & RECORD_STICKY && !is_named(named, &rec) &&
		    put(out, old + at, pos - at, true))
			return -1;
		at = pos;
	}
	return r;
}

/* Its own records, without the removals. */
static int append(struct output *out, const uint8_t *sent, size_t len)
{
	size_t pos = 0, at = 0;
	struct record rec;
	bool sticky;
	int r;

	while ((r = record_next(sent, len, &pos, &rec)) > 0) {
		sticky = rec.flags & RECORD_STICKY;
		if ((!sticky || rec.length) &&
		    put(out, sent + at, pos - at, sticky))
			return -1;
		at = pos;
	}
	return r;
}

int sticky_merge(const void *old, size_t old_len, const void *sent,
		 size_t sent_len, void *out, size_t room, size_t *used)
{
	struct output output = { .bytes = out, .room = room };
	struct named named;

	if (find_named(&named, sent, sent_len) ||
	    (old && keep(&output, &named, old, old_len)) ||
	    append(&output, sent, sent_len))
		return -1;
	*used = output.used;
	return 0;
}
