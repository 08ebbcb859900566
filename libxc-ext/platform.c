// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * platform.c - what all platforms share: how a failure is told
 */
#include "libxc-ext/platform.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *platform_why(const struct platform *p)
{
	return p->why[0] ? p->why : "no reason given";
}

int platform_fail(struct platform *p, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	/* A cut sentence is better than none. */
	(void)vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	errno = err;
	return -1;
}
