// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lab-confwd.c - forwards guests' console lines out of a lab host
 *
 * Follows xenconsoled's guest logs (DIR/guest-NAME.log) and writes each whole
 * line as "NAME<tab>LINE<newline>" to the emulator's debug port, as soon as it
 * is in the log.  A line that is not ended yet stays here; one longer than
 * LINE_MAX_LEN leaves in pieces.
 *
 * Why not a 16550: Xen traps each port access of dom0, and a 16550 needs one
 * per byte.  The debug port is always ready, so that a line is one string
 * instruction in one trap, and no buffer lies in between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/io.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "guest-"
#define SUFFIX ".log"

enum {
	LINE_MAX_LEN = 4096,
	READ_LEN = 4096,
};

/* One byte wide; the address is given to the emulator, too. */
enum { DEBUG_PORT = 0x4b0 };

struct guest {
	struct guest *next;
	char name[NAME_MAX + 1];	/* without prefix and suffix */
	int fd;				/* its log, -1: gone */
	off_t done;			/* bytes of the log read */
	char line[LINE_MAX_LEN];
	size_t len;
};

static struct guest *guests;

/* Guest's name from a log's file name; false if it is no guest's log. */
static bool guest_name(const char *file, char *name)
{
	size_t len = strlen(file);
	size_t around = strlen(PREFIX) + strlen(SUFFIX);

	if (len <= around || len > NAME_MAX ||
	    strncmp(file, PREFIX, strlen(PREFIX)) != 0 ||
	    strcmp(file + len - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	memcpy(name, file + strlen(PREFIX), len - around);
	name[len - around] = '\0';
	return true;
}

/* Not outsb() of sys/io.h: it hides from the compiler that it reads. */
static void write_port(const char *buf, size_t len)
{
	__asm__ volatile ("rep outsb" : "+S" (buf), "+c" (len)
			  : "d" (DEBUG_PORT) : "memory");
}

static void send_line(struct guest *g)
{
	char out[NAME_MAX + LINE_MAX_LEN + 3];
	int n = snprintf(out, sizeof(out), "%s\t", g->name);

	memcpy(out + n, g->line, g->len);
	out[(size_t)n + g->len] = '\n';
	write_port(out, (size_t)n + g->len + 1);
	g->len = 0;
}

/* Forward what is new in the guest's log. */
static void follow(struct guest *g)
{
	char buf[READ_LEN];
	struct stat st;
	ssize_t n;

	if (!fstat(g->fd, &st) && st.st_size < g->done) {
		lseek(g->fd, 0, SEEK_SET);	/* cut short: start again */
		g->done = 0;
	}
	while ((n = read(g->fd, buf, sizeof(buf))) > 0) {
		g->done += n;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n')
				g->line[g->len++] = buf[i];
			if (buf[i] == '\n' || g->len == LINE_MAX_LEN)
				send_line(g);
		}
	}
}

static struct guest *find_guest(const char *name)
{
	struct guest *g;

	for (g = guests; g; g = g->next)
		if (strcmp(g->name, name) == 0)
			return g;
	g = calloc(1, sizeof(*g));
	if (!g) {
		perror("lab-confwd");
		exit(1);
	}
	memcpy(g->name, name, strlen(name) + 1);
	g->fd = -1;
	g->next = guests;
	guests = g;
	return g;
}

static void log_changed(int dir, const char *file, bool gone)
{
	char name[NAME_MAX + 1];
	struct guest *g;

	if (!guest_name(file, name))
		return;
	g = find_guest(name);
	if (g->fd < 0 && !gone) {
		g->fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
		g->done = 0;
	}
	if (g->fd < 0)
		return;
	follow(g);
	if (gone) {
		close(g->fd);
		g->fd = -1;
	}
}

static void scan(int dir, const char *path)
{
	struct dirent *entry;
	DIR *d = opendir(path);

	while (d && (entry = readdir(d)))
		log_changed(dir, entry->d_name, false);
	if (d)
		closedir(d);
}

int main(int argc, char **argv)
{
	_Alignas(struct inotify_event) char buf[READ_LEN];
	int dir, watch;

	if (argc != 2) {
		fprintf(stderr, "usage: lab-confwd DIR\n");
		return 2;
	}
	if (ioperm(DEBUG_PORT, 1, 1)) {
		perror("lab-confwd: debug port");
		return 1;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	watch = inotify_init1(IN_CLOEXEC);
	if (dir < 0 || watch < 0 ||
	    inotify_add_watch(watch, argv[1], IN_CREATE | IN_MODIFY |
			      IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0) {
		perror(argv[1]);
		return 1;
	}
	scan(dir, argv[1]);
	for (;;) {
		ssize_t n = read(watch, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			perror("lab-confwd: inotify");
			return 1;
		}
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (struct inotify_event *)p;

			if (e->mask & IN_Q_OVERFLOW)
				scan(dir, argv[1]);
			else if (e->len)
				log_changed(dir, e->name, e->mask &
					    (IN_DELETE | IN_MOVED_FROM));
			p += sizeof(*e) + e->len;
		}
	}
}
