// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dm_stream.c - the saved state of a device model, section by section
 *
 * Theory of operation
 *
 *	"QEVM", version, then sections, then a byte 0.  All big-endian.
 *	section: 4, id, length of name (1 byte), name, instance, version, data
 *	footer:  0x7e, id: after the data, if the machine has footers; those of
 *		 Xen have not, by default
 *
 * What a guest can write into a device (a palette, CMOS) may look like the
 * head of a section.  An id is used once, the rest has tight limits, and
 * whoever compares two saves sees another list of sections: nothing that a
 * guest does so can make an invalid stream valid for the device model.
 */
#include "ioemu/dm_stream.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	SECTION_END = 0,
	SECTION_FULL = 4,
	SECTION_FOOTER = 0x7e,
	HEAD = 8,			/* magic and version */
	FOOTER = 1 + 4,
};

static const char magic[] = "QEVM";

/* Those of a machine of Xen's, and those that there Xen has instead. */
static const struct {
	const char *name, *why;
} changes[] = {
	{ "timer", "the device model's clocks" },
	{ "mc146818rtc", "the clock in CMOS follows the host's" },
	{ "i8254", "the timer's channels count" },
	{ "hpet", "the timer's counter runs" },
	{ "i8259", "the timer's interrupts pass it" },
	{ "ioapic", "the timer's interrupts pass it" },
	{ "apic", "the processor's timer runs" },
	{ "cpu", "the processor runs" },
	{ "cpu_common", "the processor runs" },
};

static int bad(char *why, size_t why_len, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int bad(char *why, size_t why_len, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, why_len, format, ap);
	va_end(ap);
	errno = EPROTO;
	return -1;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("-_:./ ,()[]+", c));
}

static bool id_used(const struct dm_stream *s, uint32_t id)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->section[i].id == id)
			return true;
	return false;
}

/*
 * head() - Is there the head of a section of @s at @at?
 * @sec:	Gets what it says, if so
 * Return: its length, or 0
 */
static size_t head(const struct dm_stream *s, const uint8_t *at, size_t len,
		   struct dm_section *sec)
{
	size_t name_len, i;

	if (len < 6 || at[0] != SECTION_FULL)
		return 0;
	*sec = (struct dm_section){ .id = get32(at + 1) };
	name_len = at[5];
	if (sec->id > DM_SECTION_ID_MAX || name_len < DM_SECTION_NAME_MIN ||
	    name_len > DM_SECTION_NAME_MAX || len < 6 + name_len + 8)
		return 0;
	memcpy(sec->name, at + 6, name_len);
	for (i = 0; i < name_len; i++)
		if (!name_char(sec->name[i]))
			return 0;
	sec->instance = get32(at + 6 + name_len);
	sec->version = get32(at + 6 + name_len + 4);
	if (sec->instance > DM_SECTION_INSTANCE_MAX ||
	    sec->version > DM_SECTION_VERSION_MAX || id_used(s, sec->id))
		return 0;
	return 6 + name_len + 8;
}

/* The end of the stream, or of a section: what can follow on a section? */
static bool follows(const struct dm_stream *s, const uint8_t *at, size_t len)
{
	struct dm_section ignored;

	return (len == 1 && at[0] == SECTION_END) ||
	       head(s, at, len, &ignored);
}

/* Does the section @id, with a footer or without, end at @at? */
static bool ends(const struct dm_stream *s, uint32_t id, const uint8_t *at,
		 size_t len)
{
	if (!s->footers)
		return follows(s, at, len);
	return len > FOOTER && at[0] == SECTION_FOOTER &&
	       get32(at + 1) == id && follows(s, at + FOOTER, len - FOOTER);
}

/* The first section says it: is its number what comes before the next one? */
static bool has_footers(const struct dm_stream *s, const uint8_t *at,
			size_t len)
{
	struct dm_section first;
	size_t pos = head(s, at, len, &first), data = pos;

	if (!pos)
		return false;
	while (pos < len && !follows(s, at + pos, len - pos))
		pos++;
	return pos < len && pos - data >= FOOTER &&
	       at[pos - FOOTER] == SECTION_FOOTER &&
	       get32(at + pos - FOOTER + 1) == first.id;
}

int dm_stream_read(struct dm_stream *s, const void *bytes, size_t len,
		   char *why, size_t why_len)
{
	const uint8_t *at = bytes;
	struct dm_section *sec;
	size_t pos = HEAD, n;

	s->n = 0;
	s->footers = false;
	if (len > DM_STATE_MAX)
		return bad(why, why_len, "a device model's state of %zu bytes,"
			   " at most %d", len, DM_STATE_MAX);
	if (len < HEAD + 1 || memcmp(at, magic, strlen(magic)) != 0)
		return bad(why, why_len, "%zu bytes that are no device model's"
			   " state", len);
	if (get32(at + 4) != DM_STREAM_VERSION)
		return bad(why, why_len, "a device model's state of version"
			   " %u, not %d", get32(at + 4), DM_STREAM_VERSION);
	s->footers = has_footers(s, at + HEAD, len - HEAD);
	while (len - pos > 1) {
		if (s->n == DM_SECTIONS_MAX)
			return bad(why, why_len, "a device model's state of"
				   " more than %d sections", DM_SECTIONS_MAX);
		sec = &s->section[s->n];
		n = head(s, at + pos, len - pos, sec);
		if (!n)
			return bad(why, why_len, "byte %zu of a device model's"
				   " state begins no section", pos);
		pos += n;
		sec->data = at + pos;
		s->n++;
		while (pos < len && !ends(s, sec->id, at + pos, len - pos))
			pos++;
		if (pos == len)
			return bad(why, why_len, "section %s of a device"
				   " model's state has no end", sec->name);
		sec->length = (size_t)(at + pos - sec->data);
		pos += s->footers ? FOOTER : 0;
	}
	if (pos == len || at[pos] != SECTION_END || !s->n)
		return bad(why, why_len, "a device model's state without %s",
			   s->n ? "an end" : "a section");
	return 0;
}

static bool same_head(const struct dm_section *a, const struct dm_section *b)
{
	return a->id == b->id && a->instance == b->instance &&
	       a->version == b->version && !strcmp(a->name, b->name);
}

const char *dm_stream_differ(const struct dm_stream *a,
			     const struct dm_stream *b, size_t *pos)
{
	const struct dm_section *x, *y;

	while (*pos < a->n && *pos < b->n) {
		x = &a->section[*pos];
		y = &b->section[*pos];
		(*pos)++;
		if (!same_head(x, y)) {
			*pos = DM_SECTIONS_MAX;
			return x->name;
		}
		if (x->length != y->length ||
		    memcmp(x->data, y->data, x->length) != 0)
			return x->name;
	}
	if (*pos == DM_SECTIONS_MAX || a->n == b->n)
		return NULL;
	x = *pos < a->n ? &a->section[*pos] : &b->section[*pos];
	*pos = DM_SECTIONS_MAX;
	return x->name;
}

const char *dm_section_changes(const char *name)
{
	const char *device = strrchr(name, '/');
	size_t i;

	/* A device on a bus has its place before its name. */
	device = device ? device + 1 : name;
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (!strcmp(device, changes[i].name))
			return changes[i].why;
	return NULL;
}
