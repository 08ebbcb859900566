/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader.h - ask the second reader of streams what it understands
 *
 * tests/tools/stream_reader.py knows docs/PROTOCOL.md and none of our code.
 */
#ifndef TESTS_READER_H
#define TESTS_READER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static char reader_answer[1 << 20];

/* Exit status of the reader on the stream in file @path. */
static inline int reader_run(const char *path)
{
	char command[256];
	FILE *out;
	size_t n;
	int status;

	snprintf(command, sizeof(command),
		 "python3 tests/tools/stream_reader.py %s 2>&1", path);
	out = popen(command, "r");
	assert_non_null(out);
	n = fread(reader_answer, 1, sizeof(reader_answer) - 1, out);
	reader_answer[n] = '\0';
	status = pclose(out);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The answer says @value, as JSON, of @key. */
static inline void reader_expect(const char *key, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line), "\"%s\": %s", key, value);
	if (!strstr(reader_answer, line))
		fail_msg("no '%s' in:\n%.2000s", line, reader_answer);
}

/* ... these @n bytes, at most 64, in hexadecimal. */
static inline void reader_expect_hex(const char *key, const uint8_t *bytes,
				     size_t n)
{
	char value[2 * 64 + 3], *out = value;

	assert_true(n <= 64);
	*out++ = '"';
	for (size_t i = 0; i < n; i++)
		out += sprintf(out, "%02x", bytes[i]);
	strcpy(out, "\"");
	reader_expect(key, value);
}

#endif
