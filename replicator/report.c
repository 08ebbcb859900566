// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * report.c - what a conductor tells people while it works
 */
#include "replicator/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 1024 };

void report_say(const struct report *r, enum report_level level,
		const char *id, const char *fmt, ...)
{
	char text[TEXT_MAX];
	int err = errno;
	va_list ap;

	if (!r->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->say(r->arg, level, id, text);
	errno = err;
}
