/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dm_stream.h - the saved state of a device model, section by section
 *
 * Pure.  The format does not say how long a section is: its end is where the
 * head of another one, or the end of the stream, can be read.  That is good
 * enough to refuse what is no such stream and to name what differs between
 * two; the device model that loads it is the judge of what is inside.  A
 * stream without footers that was cut off where a zero stands cannot be told
 * from a whole one: what carries it has to know its length.
 */
#ifndef KEMARI_DM_STREAM_H
#define KEMARI_DM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DM_STATE_MAX = 4 << 20,		/* bytes of a saved state */
	DM_SECTIONS_MAX = 256,
	DM_SECTION_ID_MAX = 4095,
	DM_SECTION_NAME_MIN = 3,
	DM_SECTION_NAME_MAX = 127,
	DM_SECTION_INSTANCE_MAX = 255,
	DM_SECTION_VERSION_MAX = 255,
	DM_STREAM_VERSION = 3,
};

/** struct dm_section - of one device; .data points into the stream */
struct dm_section {
	char name[DM_SECTION_NAME_MAX + 1];
	uint32_t id, instance, version;
	const uint8_t *data;
	size_t length;
};

/** struct dm_stream - valid as long as the bytes it was read from */
struct dm_stream {
	bool footers;			/* each section ends with its number */
	size_t n;
	struct dm_section section[DM_SECTIONS_MAX];
};

/**
 * dm_stream_read() - Check a saved state, from anywhere, and divide it
 * @why:	Gets a sentence on failure, @why_len bytes
 * Return: 0, or -1 with errno EPROTO
 */
int dm_stream_read(struct dm_stream *s, const void *bytes, size_t len,
		   char *why, size_t why_len);

/**
 * dm_stream_differ() - The next section that differs between two saves
 * @pos:	Starts as 0 and moves on
 *
 * Where one has a section that the other does not have at this place it
 * differs, and all that follows is left out.
 *
 * Return: its name, or NULL if there is none
 */
const char *dm_stream_differ(const struct dm_stream *a,
			     const struct dm_stream *b, size_t *pos);

/**
 * dm_section_changes() - Why the section @name changes by itself
 * Return: a few words, or NULL: it does so only when somebody uses the device
 */
const char *dm_section_changes(const char *name);

#endif
