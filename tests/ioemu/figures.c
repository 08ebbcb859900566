// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * figures [PROGRAM] - how large a device model's state is, what a save takes,
 * and what changed in a run of saves while nobody used the machine
 *
 * Two lines for each of a few machines of QEMU's or PROGRAM's.  Not a test:
 * figures are this host's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/ioemu/qemu.h"

enum { SAVES = 1000, MORE_MAX = 10 };

static const struct {
	const char *name;
	const char *more[MORE_MAX];
	bool runs;
} machines[] = {
	{ "std, stopped", { QEMU_PASSIVE, "-vga", "std" }, false },
	{ "std, running", { QEMU_PASSIVE, "-vga", "std" }, true },
	{ "cirrus, running", { QEMU_PASSIVE, "-vga", "cirrus" }, true },
	{ "std and a CD drive, running", { QEMU_PASSIVE, "-vga", "std",
	  "-drive", "if=ide,media=cdrom" }, true },
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void stream_of(const struct recbuf *buf, struct dm_stream *s)
{
	struct record rec;
	size_t pos = 0;
	char why[QMP_WHY_MAX];

	s->n = 0;
	if (record_next(buf->bytes, buf->used, &pos, &rec) != 1 ||
	    dm_stream_read(s, rec.data, rec.length, why, sizeof(why)))
		fprintf(stderr, "no state\n");
}

static void print_changes(const struct recbuf *x, const struct recbuf *y)
{
	static struct dm_stream a, b;
	const char *name;
	size_t pos = 0;

	printf("%28s changed:", "");
	stream_of(x, &a);
	stream_of(y, &b);
	while ((name = dm_stream_differ(&a, &b, &pos)))
		printf(" %s%s", name, dm_section_changes(name) ? "" : "(!)");
	printf("\n");
}

static int measure(size_t m)
{
	static double us[SAVES];
	struct recbuf buf = { 0 }, start = { 0 };
	size_t i, pos = 0;
	struct record rec;
	struct qemu q;
	int r = -1;

	if (!qemu_start(&q, QEMU_TIMEOUT_MS, machines[m].more))
		return -1;
	if (dm_check(q.dm) || (machines[m].runs && dm_run(q.dm)))
		goto out;
	if (dm_save(q.dm, &start))
		goto out;
	for (i = 0; i < SAVES; i++) {
		recbuf_reset(&buf);
		us[i] = now_us();
		if (dm_save(q.dm, &buf))
			goto out;
		us[i] = now_us() - us[i];
	}
	qsort(us, SAVES, sizeof(us[0]), by_value);
	if (record_next(buf.bytes, buf.used, &pos, &rec) == 1)
		printf("%-28s %6u bytes, save: median %.0f us, 99 %% %.0f us,"
		       " worst %.0f us\n", machines[m].name, rec.length,
		       us[SAVES / 2], us[SAVES * 99 / 100], us[SAVES - 1]);
	print_changes(&start, &buf);
	r = 0;
out:
	if (r)
		fprintf(stderr, "%s: %s\n", machines[m].name, dm_why(q.dm));
	recbuf_free(&buf);
	recbuf_free(&start);
	qemu_end(&q);
	return r;
}

int main(int argc, char **argv)
{
	size_t m;

	if (argc > 1)
		qemu_program = argv[1];
	for (m = 0; m < sizeof(machines) / sizeof(machines[0]); m++)
		if (measure(m))
			return 1;
	return 0;
}
