// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * records.c - lists of typed, opaque records: append, read, check
 *
 * The writer keeps its own limits, the reader trusts nothing: what it is given
 * may come from a peer.
 */
#include "libxc-ext/records.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGN = 8,
	ROOM_MIN = 4096,
};

static_assert(sizeof(struct record_head) == 16, "layout of the wire");
static_assert(RECORD_LENGTH_MAX % ALIGN == 0, "padding adds no overflow");

static size_t padded(size_t length)
{
	return (length + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Make room for @more bytes; the buffer is unchanged on failure. */
static int recbuf_grow(struct recbuf *b, size_t more)
{
	size_t room = b->room ? b->room : ROOM_MIN;
	uint8_t *bytes;

	if (more > RECBUF_MAX - b->used) {
		errno = EMSGSIZE;
		return -1;
	}
	while (room < b->used + more)
		room *= 2;
	if (room == b->room)
		return 0;
	bytes = realloc(b->bytes, room);
	if (!bytes)
		return -1;
	b->bytes = bytes;
	b->room = room;
	return 0;
}

void *recbuf_reserve(struct recbuf *b, uint16_t type, uint16_t flags,
		     uint32_t instance, size_t length)
{
	struct record_head head = {
		.type = htole16(type),
		.flags = htole16(flags),
		.instance = htole32(instance),
	};
	size_t need;
	uint8_t *at;

	if (flags & ~RECORD_FLAGS) {
		errno = EINVAL;
		return NULL;
	}
	if (length > RECORD_LENGTH_MAX) {
		errno = EMSGSIZE;
		return NULL;
	}
	head.length = htole32((uint32_t)length);
	need = sizeof(head) + padded(length);
	if (recbuf_grow(b, need))
		return NULL;
	at = b->bytes + b->used;
	memcpy(at, &head, sizeof(head));
	memset(at + sizeof(head), 0, padded(length));
	b->used += need;
	return at + sizeof(head);
}

int recbuf_add(struct recbuf *b, uint16_t type, uint16_t flags,
	       uint32_t instance, const void *data, size_t length)
{
	void *at = recbuf_reserve(b, type, flags, instance, length);

	if (!at)
		return -1;
	if (length)
		memcpy(at, data, length);
	return 0;
}

void recbuf_reset(struct recbuf *b)
{
	b->used = 0;
}

void recbuf_free(struct recbuf *b)
{
	free(b->bytes);
	*b = (struct recbuf){ 0 };
}

static int malformed(void)
{
	errno = EPROTO;
	return -1;
}

int record_next(const void *bytes, size_t len, size_t *pos,
		struct record *out)
{
	const uint8_t *at = bytes;
	struct record_head head;
	size_t length, i;

	if (*pos == len)
		return 0;
	if (*pos > len || len - *pos < sizeof(head))
		return malformed();
	at += *pos;
	memcpy(&head, at, sizeof(head));
	length = le32toh(head.length);
	if (head.zero || le16toh(head.flags) & ~RECORD_FLAGS ||
	    length > RECORD_LENGTH_MAX ||
	    padded(length) > len - *pos - sizeof(head))
		return malformed();
	at += sizeof(head);
	for (i = length; i < padded(length); i++)
		if (at[i])
			return malformed();
	*out = (struct record){
		.type = le16toh(head.type),
		.flags = le16toh(head.flags),
		.instance = le32toh(head.instance),
		.length = (uint32_t)length,
		.data = at,
	};
	*pos += sizeof(head) + padded(length);
	return 1;
}

int record_find(const void *bytes, size_t len, uint16_t type,
		uint32_t instance, struct record *out)
{
	struct record rec;
	size_t pos = 0;
	int r;

	while ((r = record_next(bytes, len, &pos, &rec)) > 0) {
		if (rec.type != type || rec.instance != instance)
			continue;
		*out = rec;
		return 1;
	}
	return r;
}
