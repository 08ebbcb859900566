// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * diskwrite.c - numbered records on a raw disk, and what the guest knows of
 * them
 *
 * diskwrite DEVICE [OPTION]...  Each writer is a thread with one write in
 * flight and a region of its own, writer * window records into the device,
 * which it fills round and round: number n lies in slot (n - 1) % window.  All
 * I/O is O_DIRECT.  A record is 512 words of 64 bits, little endian:
 *
 *	magic, writer, number, CLOCK_MONOTONIC in ns, random, filler...,
 *	checksum
 *
 * Before a record is submitted its number, clock and random are noted in
 * memory.  The clock makes sure that a number that is executed twice differs;
 * the kernel's random numbers alone may repeat after a revival.
 *
 * One client at a time, on TCP, tells by lines what it wants:
 *
 *	follow	from now on "done WRITER NUMBER MONO RANDOM" for each record
 *		whose write (and fdatasync) has completed
 *	stop	writers come to rest; answered by "stopped"
 *	table	"note WRITER NUMBER MONO RANDOM DONE" for each record of the
 *		last NOTES of each writer, then "end"
 *
 * Options: writers=N (default 4), window=N records (64), synced=N: so many of
 * the writers fdatasync each record (2), every=N ms between two records (50),
 * diskport=N (7001).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "tests/guest/guest.h"

#define MAGIC		0x64726f6365526b44u
#define FNV_OFFSET	0xcbf29ce484222325u
#define FNV_PRIME	0x100000001b3u

enum {
	RECORD = 4096,
	WORDS = RECORD / 8,
	WRITERS_MAX = 32,
	WINDOW_MAX = 1024,
	NOTES = 65536,
	VERIFY_EACH = 8,		/* records, one is read back */
	IDLE_MS = 2,
};

static struct option options[] = {
	{ "writers", 4, 1, WRITERS_MAX },
	{ "window", 64, 1, WINDOW_MAX },
	{ "synced", 2, 0, WRITERS_MAX },
	{ "every", 50, 0, 60000 },
	{ "diskport", 7001, 1, 65535 },
};

enum { OPT_WRITERS, OPT_WINDOW, OPT_SYNCED, OPT_EVERY, OPT_PORT };

enum { W_MAGIC, W_WRITER, W_NUMBER, W_MONO, W_RANDOM, W_FILLER,
       W_SUM = WORDS - 1 };

struct note {
	uint64_t number, mono, random;
	bool done;
};

struct writer {
	pthread_t thread;
	pthread_mutex_t lock;		/* of the notes */
	struct note *notes;		/* of number n at n % NOTES */
	uint64_t number;		/* the last one issued */
	uint64_t *buf;			/* window records, on a page boundary */
	_Atomic bool idle;
};

static struct writer writers[WRITERS_MAX];
static int disk;
static _Atomic bool stopping;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static int client = -1;			/* whom to answer; under out_lock */
static bool following;			/* it wants to know of each record */

static void nap_ms(unsigned long ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000 * 1000000) };

	nanosleep(&t, NULL);
}

/* --- records ----------------------------------------------------------- */

static uint64_t checksum(const uint64_t *rec)
{
	uint64_t sum = FNV_OFFSET;

	for (int i = 0; i < W_SUM; i++)
		sum = (sum ^ rec[i]) * FNV_PRIME;
	return sum;
}

static void fill(uint64_t *rec, uint64_t writer, const struct note *note)
{
	rec[W_MAGIC] = MAGIC;
	rec[W_WRITER] = writer;
	rec[W_NUMBER] = note->number;
	rec[W_MONO] = note->mono;
	rec[W_RANDOM] = note->random;
	for (uint64_t i = W_FILLER; i < W_SUM; i++)
		rec[i] = note->random * (2 * i + 1);
	rec[W_SUM] = checksum(rec);
}

static off_t place(const struct writer *w, uint64_t number)
{
	uint64_t window = options[OPT_WINDOW].value;
	uint64_t slot = (uint64_t)(w - writers) * window +
		(number - 1) % window;

	return (off_t)(slot * RECORD);
}

/* Read back the newest record of a random slot, once all are filled. */
static void verify(struct writer *w)
{
	uint64_t window = options[OPT_WINDOW].value;
	struct note *note;
	uint64_t number;
	uint64_t *rec = w->buf;

	if (w->number < window)
		return;
	number = w->number - (uint64_t)random() % window;
	note = &w->notes[number % NOTES];
	if (!note->done)		/* its write failed */
		return;
	if (pread(disk, rec, RECORD, place(w, number)) != RECORD) {
		say("BAD disk: reading record %" PRIu64 " of writer %td: %s\n",
		    number, w - writers, strerror(errno));
		return;
	}
	if (rec[W_MAGIC] != MAGIC || rec[W_SUM] != checksum(rec) ||
	    rec[W_WRITER] != (uint64_t)(w - writers) ||
	    rec[W_NUMBER] != number || rec[W_MONO] != note->mono ||
	    rec[W_RANDOM] != note->random)
		say("BAD disk: writer %td, record %" PRIu64 " of clock %" PRIu64
		    " reads as %" PRIu64 " of clock %" PRIu64 "%s\n",
		    w - writers, number, note->mono, rec[W_NUMBER], rec[W_MONO],
		    rec[W_SUM] == checksum(rec) ? "" : ", checksum wrong");
}

/* --- the client -------------------------------------------------------- */

/* Send a line to the client that is there, if any.  out_lock is held. */
__attribute__((format(printf, 1, 2)))
static void tell(const char *fmt, ...)
{
	char line[128];
	va_list ap;
	int n;

	if (client < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (send(client, line, (size_t)n, MSG_NOSIGNAL) != n)
		following = false;	/* its reader notices the end */
}

static void report(const struct writer *w, const struct note *note)
{
	pthread_mutex_lock(&out_lock);
	if (following)
		tell("done %td %" PRIu64 " %" PRIu64 " %" PRIx64 "\n",
		     w - writers, note->number, note->mono, note->random);
	pthread_mutex_unlock(&out_lock);
}

static void tell_table(void)
{
	for (unsigned long i = 0; i < options[OPT_WRITERS].value; i++) {
		struct writer *w = &writers[i];

		pthread_mutex_lock(&w->lock);
		for (size_t n = 0; n < NOTES; n++)
			if (w->notes[n].number)
				tell("note %lu %" PRIu64 " %" PRIu64 " %" PRIx64
				     " %d\n", i, w->notes[n].number,
				     w->notes[n].mono, w->notes[n].random,
				     w->notes[n].done);
		pthread_mutex_unlock(&w->lock);
	}
	tell("end\n");
}

static void rest(void)
{
	atomic_store(&stopping, true);
	for (unsigned long i = 0; i < options[OPT_WRITERS].value; i++)
		while (!atomic_load(&writers[i].idle))
			nap_ms(IDLE_MS);
}

static void obey(const char *word)
{
	if (!strcmp(word, "stop\n"))
		rest();			/* without the lock: they report */
	pthread_mutex_lock(&out_lock);
	if (!strcmp(word, "follow\n"))
		following = true;
	else if (!strcmp(word, "stop\n"))
		tell("stopped\n");
	else if (!strcmp(word, "table\n"))
		tell_table();
	pthread_mutex_unlock(&out_lock);
}

static void serve(int listener)
{
	int one = 1, fd = accept(listener, NULL, NULL);
	char word[32];
	FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

	if (!in)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	pthread_mutex_lock(&out_lock);
	client = fd;
	pthread_mutex_unlock(&out_lock);
	while (fgets(word, sizeof(word), in))
		obey(word);
	pthread_mutex_lock(&out_lock);
	client = -1;
	following = false;
	pthread_mutex_unlock(&out_lock);
	fclose(in);
}

/* --- writers ----------------------------------------------------------- */

static void write_one(struct writer *w, bool sync)
{
	struct note note = { .number = w->number + 1 };
	struct note *noted = &w->notes[note.number % NOTES];

	note.mono = now(CLOCK_MONOTONIC);
	if (getrandom(&note.random, sizeof(note.random), 0) !=
	    sizeof(note.random))
		say("BAD getrandom: %s\n", strerror(errno));
	pthread_mutex_lock(&w->lock);
	*noted = note;
	w->number = note.number;
	pthread_mutex_unlock(&w->lock);

	fill(w->buf, (uint64_t)(w - writers), &note);
	if (pwrite(disk, w->buf, RECORD, place(w, note.number)) != RECORD ||
	    (sync && fdatasync(disk))) {
		say("BAD disk: writing record %" PRIu64 " of writer %td: %s\n",
		    note.number, w - writers, strerror(errno));
		return;
	}
	pthread_mutex_lock(&w->lock);
	noted->done = true;
	pthread_mutex_unlock(&w->lock);
	report(w, noted);
}

static void *run_writer(void *arg)
{
	struct writer *w = arg;
	bool sync = (unsigned long)(w - writers) < options[OPT_SYNCED].value;
	size_t size = options[OPT_WINDOW].value * RECORD;

	/* What an earlier guest left is not ours. */
	if (pwrite(disk, w->buf, size, place(w, 1)) != (ssize_t)size)
		say("BAD disk: clearing the region of writer %td: %s\n",
		    w - writers, strerror(errno));
	while (!atomic_load(&stopping)) {
		write_one(w, sync);
		if (w->number % VERIFY_EACH == 0)
			verify(w);
		nap_ms(options[OPT_EVERY].value);
	}
	atomic_store(&w->idle, true);
	return NULL;
}

static void start(struct writer *w)
{
	size_t size = options[OPT_WINDOW].value * RECORD;

	w->notes = calloc(NOTES, sizeof(*w->notes));
	w->buf = aligned_alloc(RECORD, size);
	if (!w->notes || !w->buf) {
		say("BAD diskwrite: no memory\n");
		exit(1);
	}
	memset(w->buf, 0, size);
	pthread_mutex_init(&w->lock, NULL);
	if (pthread_create(&w->thread, NULL, run_writer, w)) {
		say("BAD diskwrite: no thread\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	off_t need;

	read_options(options, sizeof(options) / sizeof(options[0]), argc, argv);
	need = place(&writers[options[OPT_WRITERS].value], 1);
	disk = argc < 2 ? -1 : open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0 || lseek(disk, 0, SEEK_END) < need) {
		say("BAD diskwrite: needs a device of %lld bytes: %s\n",
		    (long long)need, strerror(errno));
		return 1;
	}
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	any.sin_port = htons((uint16_t)options[OPT_PORT].value);
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) ||
	    listen(listener, 1)) {
		say("BAD diskwrite: bind: %s\n", strerror(errno));
		return 1;
	}
	for (unsigned long i = 0; i < options[OPT_WRITERS].value; i++)
		start(&writers[i]);
	say("diskwrite: %lu writers on %s\n", options[OPT_WRITERS].value,
	    argv[1]);
	for (;;)
		serve(listener);
}
