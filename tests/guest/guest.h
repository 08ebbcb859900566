/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - what the programs of a guest share: options, clock, lines
 *
 * Programs of a bare initramfs are one file each; so this is all inline.
 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* NAME=VALUE, on the kernel's command line or as an argument. */
struct option {
	const char *name;
	unsigned long value, min, max;
};

/**
 * say() - Print one line to standard output
 *
 * One line, one write: nothing of another thread comes in between.  A longer
 * one than 255 bytes is cut.
 */
__attribute__((format(printf, 1, 2)))
static inline void say(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(1);
}

/** now() - Clock @id in nanoseconds */
static inline uint64_t now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void option_word(struct option *options, size_t n,
			       const char *text)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(options[i].name);
		unsigned long value;
		char *end;

		if (strncmp(text, options[i].name, len) || text[len] != '=')
			continue;
		value = strtoul(text + len + 1, &end, 10);
		if (*end || value < options[i].min || value > options[i].max)
			say("BAD option %s: must be %lu to %lu\n", text,
			    options[i].min, options[i].max);
		else
			options[i].value = value;
	}
}

/**
 * read_options() - Set the @n @options that are given
 *
 * The kernel's command line first, then the arguments.  Words that name none
 * of them are others' business; a value out of range is said and left.
 */
static inline void read_options(struct option *options, size_t n, int argc,
				char **argv)
{
	char line[4096], *word, *rest = line;
	FILE *f = fopen("/proc/cmdline", "r");

	if (f) {
		if (fgets(line, sizeof(line), f))
			while ((word = strtok_r(rest, " \n", &rest)))
				option_word(options, n, word);
		fclose(f);
	}
	for (int i = 1; i < argc; i++)
		option_word(options, n, argv[i]);
}

#endif
