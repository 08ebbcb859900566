// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * dm_args.c - the command line of a device model: read, and made
 *
 * The one that libxl makes for type hvm, with the emulated machine alone: no
 * screen, no serial port, no network card, no USB.  What serves to boot only
 * (kernel, order of drives) is not for a guest that runs.
 */
#include "libxc-ext/dm_args.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum arg_kind {
	ARG_FLAG,			/* no value */
	ARG_ANY,			/* whatever it says */
	ARG_IS,				/* the value of the table */
	ARG_BEGINS,			/* with that of the table */
	ARG_MEMORY,
	ARG_VCPUS,
	ARG_KERNEL,
};

/* INV-32: an argument that is not here is refused. */
static const struct {
	const char *arg;
	enum arg_kind kind;
	const char *value;
} table[] = {
	{ "-xen-domid", ARG_ANY, NULL },
	{ "-no-shutdown", ARG_FLAG, NULL },
	{ "-chardev", ARG_BEGINS, "socket,id=libxl-cmd," },
	{ "-chardev", ARG_BEGINS, "socket,id=libxenstat-cmd," },
	{ "-mon", ARG_IS, "chardev=libxl-cmd,mode=control" },
	{ "-mon", ARG_IS, "chardev=libxenstat-cmd,mode=control" },
	{ "-nodefaults", ARG_FLAG, NULL },
	{ "-no-user-config", ARG_FLAG, NULL },
	{ "-name", ARG_ANY, NULL },
	{ "-vnc", ARG_IS, "none" },
	{ "-display", ARG_IS, "none" },
	{ "-serial", ARG_IS, "none" },
	{ "-net", ARG_IS, "none" },
	{ "-boot", ARG_ANY, NULL },
	{ "-kernel", ARG_KERNEL, NULL },
	{ "-initrd", ARG_ANY, NULL },
	{ "-append", ARG_ANY, NULL },
	{ "-machine", ARG_IS, "xenfv,suppress-vmdesc=on" },
	{ "-m", ARG_MEMORY, NULL },
	{ "-smp", ARG_VCPUS, NULL },
	{ "-incoming", ARG_IS, "defer" },
	{ "-S", ARG_FLAG, NULL },
};

enum { ARGS_KNOWN = sizeof(table) / sizeof(table[0]) };

static bool number(const char *text, uint32_t max, const char *rest,
		   uint32_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || !n || n > max ||
	    (*end && (!rest || strncmp(end, rest, strlen(rest)) != 0)))
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool fits(size_t i, const char *value, struct dm_args *out)
{
	switch (table[i].kind) {
	case ARG_FLAG:
	case ARG_ANY:
		return true;
	case ARG_IS:
		return !strcmp(value, table[i].value);
	case ARG_BEGINS:
		return !strncmp(value, table[i].value, strlen(table[i].value));
	case ARG_MEMORY:
		return number(value, DM_MEMORY_MAX, NULL, &out->memory_mib);
	case ARG_VCPUS:
		return number(value, UINT16_MAX, ",maxcpus=", &out->vcpus);
	case ARG_KERNEL:
		out->kernel = true;
		return true;
	}
	return false;
}

/* The next argument, or NULL. */
static const char *next(const char *line, size_t len, size_t *pos)
{
	const char *at = line + *pos, *end;

	if (*pos >= len)
		return NULL;
	end = memchr(at, '\0', len - *pos);
	if (!end)
		return NULL;
	*pos = (size_t)(end - line) + 1;
	return at;
}

__attribute__((format(printf, 3, 4)))
static size_t refuse(void (*say)(void *arg, const char *text), void *arg,
		     const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(arg, text);
	return 1;
}

size_t dm_args_read(const char *line, size_t len, struct dm_args *out,
		    void (*say)(void *arg, const char *text), void *arg)
{
	const char *a, *value = "";
	size_t pos = 0, bad = 0, i;
	bool known;

	*out = (struct dm_args){ .vcpus = 1 };
	if (!next(line, len, &pos))		/* the program */
		return refuse(say, arg, "device model: it has no command line");
	while ((a = next(line, len, &pos))) {
		size_t at = pos;

		known = false;
		for (i = 0; i < ARGS_KNOWN && !known; i++) {
			if (strcmp(a, table[i].arg) != 0)
				continue;
			pos = at;
			if (table[i].kind != ARG_FLAG)
				value = next(line, len, &pos);
			known = value && fits(i, value, out);
			if (!value)
				value = "";
		}
		if (!known)
			bad += refuse(say, arg, "device model: %.40s%s%.100s cannot be protected in this version",
				      a, pos != at ? " " : "",
				      pos != at ? value : "");
	}
	if (pos < len)
		bad += refuse(say, arg, "device model: its command line ends within an argument");
	if (!out->memory_mib)
		bad += refuse(say, arg, "device model: its command line does not say how much memory the guest has");
	return bad;
}

/* --- made -------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void add(struct dm_line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->text[l->n], DM_ARG_MAX, fmt, ap);
	va_end(ap);
	l->argv[l->n] = l->text[l->n];
	l->argv[++l->n] = NULL;
}

static void add_monitor(struct dm_line *l, const char *who, uint32_t domid)
{
	add(l, "-chardev");
	add(l, "socket,id=%s-cmd,path=/var/run/xen/qmp-%s-%u,server=on,wait=off",
	    who, who, domid);
	add(l, "-mon");
	add(l, "chardev=%s-cmd,mode=control", who);
}

void dm_args_make(const struct dm_args *a, const char *path, uint32_t domid,
		  struct dm_line *out)
{
	static const char *const fixed[] = {
		"-nodefaults", "-no-user-config", "-vnc", "none", "-display",
		"none", "-serial", "none", "-net", "none", "-machine",
		"xenfv,suppress-vmdesc=on", "-incoming", "defer", "-S",
	};
	size_t i;

	out->n = 0;
	add(out, "%s", path);
	add(out, "-xen-domid");
	add(out, "%u", domid);
	add(out, "-no-shutdown");
	add_monitor(out, "libxl", domid);
	add_monitor(out, "libxenstat", domid);
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		add(out, "%s", fixed[i]);
	add(out, "-name");
	add(out, "domain-%u", domid);
	add(out, "-m");
	add(out, "%u", a->memory_mib);
	if (a->kernel) {
		add(out, "-kernel");
		add(out, "/proc/self/fd/%d", DM_KERNEL_FD);
	}
	if (a->vcpus > 1) {
		add(out, "-smp");
		add(out, "%u,maxcpus=%u", a->vcpus, a->vcpus);
	}
}

void dm_args_qmp(uint32_t domid, char *path, size_t size)
{
	snprintf(path, size, "/var/run/xen/qmp-libxenstat-%u", domid);
}

int dm_args_serves(const char *line, size_t len, uint32_t domid)
{
	const char *a;
	char want[16];
	size_t pos = 0;

	snprintf(want, sizeof(want), "%u", domid);
	while ((a = next(line, len, &pos)))
		if (!strcmp(a, "-xen-domid")) {
			a = next(line, len, &pos);
			return a && !strcmp(a, want);
		}
	return 0;
}
