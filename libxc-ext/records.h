/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * records.h - state of a domain as a list of typed, opaque records
 *
 * A platform writes its guest's state as records, the engine carries them,
 * the other side's platform reads them.  In a buffer a record is a struct
 * record_head, then .length bytes, then zeroes up to a multiple of 8.  All
 * integers are little-endian; the same bytes go over the wire
 * (docs/PROTOCOL.md, "Records").
 */
#ifndef KEMARI_RECORDS_H
#define KEMARI_RECORDS_H

#include <stddef.h>
#include <stdint.h>

enum {
	RECORD_MANDATORY = 1,		/* .flags: a reader must know .type */
	RECORD_STICKY = 2,		/* .flags: left out of a checkpoint it
					 * still holds as last sent; the first
					 * save() after track() sends it; of
					 * length 0: no more (PROTOCOL.md) */
	RECORD_FLAGS = RECORD_MANDATORY | RECORD_STICKY,
	RECORD_LENGTH_MAX = 4 << 20,	/* one record's bytes */
	RECBUF_MAX = 64 << 20,		/* one buffer's bytes */
	RECORD_TYPE_PLATFORM = 0x1000,	/* first type a platform may use */
};

/** struct record_head - precedes each record's bytes */
struct record_head {
	uint16_t type;
	uint16_t flags;
	uint32_t instance;	/* vCPU, port, frame or device number */
	uint32_t length;	/* of the bytes that follow, without padding */
	uint32_t zero;
};

/** struct record - one record, as read: @data points into the buffer */
struct record {
	uint16_t type;
	uint16_t flags;
	uint32_t instance;
	uint32_t length;
	const void *data;
};

/** struct recbuf - a growing list of records; zero-initialised is empty */
struct recbuf {
	uint8_t *bytes;
	size_t used;
	size_t room;
};

/**
 * recbuf_add() - Append a record, copying @length bytes of @data
 * Return: 0, or -1: ENOMEM, or EMSGSIZE if a limit above is exceeded
 */
int recbuf_add(struct recbuf *b, uint16_t type, uint16_t flags,
	       uint32_t instance, const void *data, size_t length);

/**
 * recbuf_reserve() - Append a record of @length zero bytes to be filled in
 * Return: its bytes, valid until the next append, or NULL like recbuf_add()
 */
void *recbuf_reserve(struct recbuf *b, uint16_t type, uint16_t flags,
		     uint32_t instance, size_t length);

/** recbuf_reset() - Forget the records, keep the memory */
void recbuf_reset(struct recbuf *b);

/** recbuf_free() - Free the memory; may be called twice */
void recbuf_free(struct recbuf *b);

/**
 * record_next() - Read the record at *@pos and advance *@pos past it
 * @bytes:	The list, from anywhere: everything is checked
 * @len:	Its length
 * @pos:	Start with 0
 * Return: 1 and *@out, 0 at the end, -1 with errno EPROTO if malformed
 */
int record_next(const void *bytes, size_t len, size_t *pos,
		struct record *out);

/**
 * record_find() - First record of @type and @instance
 * Return: 1 and *@out, 0 if there is none, -1 with errno EPROTO
 */
int record_find(const void *bytes, size_t len, uint16_t type,
		uint32_t instance, struct record *out);

#endif
