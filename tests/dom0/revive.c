// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * revive.c - a running guest dies on this host and goes on on this host
 *
 * revive DOMAIN [--cycles N | --epochs N]
 *
 * Each cycle: the guest is protected, stopped at a random moment and captured;
 * its domain is destroyed; a standby with the same domain ID is built, gets
 * the pages and the state, and becomes the guest.  Only struct platform is
 * used, but for the destruction.  Prints what each step took.  Disks and
 * network cards: the host's own backends are given REST_MS to finish what they
 * have begun, and then there is nothing that only their kernel knows.
 *
 * With --epochs nothing dies: so many checkpoints are taken, 20 ms or an output
 * apart, copied and released at once; printed is how long the guest stood for
 * each step.
 */
#include "libxc-ext/platform.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "libxc-ext/xen_host.h"
#include "libxc-ext/xen_store.h"

enum {
	DIRTY_LIMIT = 65536,
	SETTLE_TRIES = 2000,
	GONE_TRIES = 2000,		/* of 10 ms */
	REST_MS = 500,
	LINE_MAX_LEN = 1024,
	NUMBER_MAX = 1000000,
};

/** struct image - all that is left of the guest between two lives */
struct image {
	uint64_t generation;		/* and the next one is used too */
	struct platform_info info;
	struct recbuf shape, state;
	struct gfn_range range[PLATFORM_RANGES_MAX];
	size_t ranges;
	uint8_t *pages;
	uint64_t guest_time;		/* when it was .taken */
	uint64_t taken;			/* ns, this host's clock */
	uint64_t stopped;
};

static char times[LINE_MAX_LEN];
static uint64_t dirty_gfn[DIRTY_LIMIT];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Note what took from *@since until now; *@since becomes now. */
static void took(const char *what, uint64_t *since)
{
	uint64_t t = now();
	size_t len = strlen(times);

	snprintf(times + len, sizeof(times) - len, " %s=%.1f", what,
		 (t - *since) / 1e6);
	*since = t;
}

static int failed(const char *what, const char *why)
{
	fprintf(stderr, "revive: %s: %s\n", what, why);
	return -1;
}

#define TRY(p, call, what)						\
	do {								\
		if (call)						\
			return failed(what, platform_why(p));		\
	} while (0)

/* Stop it where its xenstore ring is at rest. */
static int stop(struct platform *p, struct image *i)
{
	int rc;

	for (int n = 0; n < SETTLE_TRIES; n++) {
		i->stopped = now();
		TRY(p, p->ops->stop(p), "stop");
		rc = p->ops->settled(p);
		if (rc > 0)
			return 0;
		if (rc < 0)
			return failed("settled", platform_why(p));
		TRY(p, p->ops->go(p), "go");
		usleep(2000);
	}
	return failed("settled, each time", platform_why(p));
}

static int copy_out(struct platform *p, struct image *i)
{
	uint8_t *to = i->pages;

	for (size_t r = 0; r < i->ranges; r++) {
		for (uint64_t n = 0; n < i->range[r].count; n++) {
			uint64_t gfn = i->range[r].first + n;
			const void *page = p->ops->page(p, gfn);

			if (!page)
				return failed("page", "not mapped");
			memcpy(to, page, PLATFORM_PAGE);
			to += PLATFORM_PAGE;
		}
	}
	return 0;
}

static int copy_in(struct platform *p, const struct image *i)
{
	const uint8_t *from = i->pages;

	for (size_t r = 0; r < i->ranges; r++) {
		for (uint64_t n = 0; n < i->range[r].count; n++) {
			void *page = p->ops->page_rw(p, i->range[r].first + n);

			if (!page)
				return failed("page_rw", "not mapped");
			memcpy(page, from, PLATFORM_PAGE);
			from += PLATFORM_PAGE;
		}
	}
	return 0;
}

/* It has no fence: that is what the rest is for. */
static bool is_device(const char *reason)
{
	return !strncmp(reason, "device vbd/", 11) ||
	       !strncmp(reason, "device vif/", 11);
}

static int check(struct platform *p)
{
	const char *reason[PLATFORM_REASONS_MAX];
	size_t n, bad = 0;

	TRY(p, p->ops->check(p, reason, &n), "check");
	for (size_t i = 0; i < n; i++) {
		if (is_device(reason[i]))
			continue;
		failed("cannot be protected", reason[i]);
		bad++;
	}
	return bad ? -1 : 0;
}

static int capture(struct platform *p, struct image *i)
{
	uint64_t t = now();
	size_t dirty;

	if (check(p))
		return -1;
	took("check", &t);
	TRY(p, p->ops->describe(p, &i->shape), "describe");
	TRY(p, p->ops->info(p, &i->info), "info");
	i->ranges = PLATFORM_RANGES_MAX;
	TRY(p, p->ops->ranges(p, i->range, &i->ranges), "ranges");
	/* Touched now: a page fault costs more than the copy of a page. */
	i->pages = mmap(NULL, i->info.pages * PLATFORM_PAGE,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (i->pages == MAP_FAILED)
		return failed("capture", "out of memory");
	took("describe", &t);
	TRY(p, p->ops->enable(p, i->generation, PLATFORM_SYNC, DIRTY_LIMIT),
	    "enable");
	TRY(p, p->ops->track(p), "track");
	took("enable", &t);
	usleep(rand() % 50000);
	t = now();
	if (stop(p, i))
		return -1;
	took("stop", &t);
	usleep(REST_MS * 1000);
	t = now();
	TRY(p, p->ops->begin(p, i->generation, 1, false), "begin");
	TRY(p, p->ops->save(p, PLATFORM_EARLY, &i->state), "save early");
	took("early", &t);
	TRY(p, p->ops->harvest(p, dirty_gfn, DIRTY_LIMIT, &dirty), "harvest");
	took("harvest", &t);
	if (copy_out(p, i))
		return -1;
	took("copy", &t);
	TRY(p, p->ops->save(p, PLATFORM_LATE, &i->state), "save late");
	TRY(p, p->ops->guest_time(p, &i->guest_time), "guest time");
	i->taken = now();
	took("late", &t);
	return 0;
}

/* The death of the primary, as thorough as a power cut. */
static int destroy(const struct image *i)
{
	char why[PLATFORM_WHY_MAX];
	struct xen_store *store;
	xc_domaininfo_t info;
	struct xen_host *h = xen_host_open(why);
	int n, rc = -1;

	if (!h)
		return failed("destroy", why);
	if (xen_store_open(&store, h->xch, i->info.domid, i->info.uuid, why)) {
		xen_host_close(h);
		return failed("destroy", why);
	}
	if (xen_store_remove(store) ||
	    xc_domain_destroy(h->xch, i->info.domid)) {
		failed("destroy", strerror(errno));
		goto out;
	}
	for (n = 0; n < GONE_TRIES; n++) {
		if (xc_domain_getinfolist(h->xch, i->info.domid, 1,
					  &info) != 1 ||
		    info.domain != i->info.domid)
			break;
		usleep(10000);
	}
	if (n == GONE_TRIES)
		failed("destroy", "the domain does not go away");
	else if (xen_store_remove(store))
		failed("destroy", xen_store_why(store));
	else
		rc = 0;
out:
	xen_store_close(store);
	xen_host_close(h);
	return rc;
}

static int restore(struct platform *p, struct image *i)
{
	const void *state = i->state.bytes;
	size_t len = i->state.used;
	uint64_t t = now();

	TRY(p, p->ops->build(p, i->generation, i->shape.bytes, i->shape.used),
	    "build");
	took("build", &t);
	if (copy_in(p, i))
		return -1;
	took("copy", &t);
	TRY(p, p->ops->verify(p, state, len), "verify");
	took("verify", &t);
	TRY(p, p->ops->rehearse(p, state, len), "rehearse");
	took("rehearse", &t);
	TRY(p, p->ops->load(p, state, len, i->guest_time + now() - i->taken),
	    "load");
	took("load", &t);
	TRY(p, p->ops->activate(p, i->generation, i->generation + 1),
	    "activate");
	took("activate", &t);
	t = i->stopped;
	took("outage", &t);
	return 0;
}

static int cycle(const char *domain, struct image *i)
{
	char why[PLATFORM_WHY_MAX];
	struct platform *p;
	uint64_t t;
	int rc;

	if (platform_open_xen(&p, domain, why))
		return failed("open", why);
	platform_xen_storage(p, PLATFORM_XEN_UNSAFE);
	rc = capture(p, i);
	p->ops->close(p);
	if (rc)
		return -1;
	t = now();
	if (destroy(i))
		return -1;
	took("destroy", &t);
	if (platform_open_xen(&p, NULL, why))
		return failed("open", why);
	platform_xen_storage(p, PLATFORM_XEN_UNSAFE);
	rc = restore(p, i);
	p->ops->close(p);
	return rc;
}

/* --- epochs ------------------------------------------------------------ */

enum step { STOP, SETTLE, BEGIN, EARLY, HARVEST, COPY, LATE, RELEASE, DRAIN, GO,
	    PAUSE, PAGES, STEPS };

static const char *const step_name[STEPS] = {
	"stop", "settled", "begin", "save early", "harvest", "copy",
	"save late", "release", "drained", "go", "pause, in all",
	"pages / 1000",
};

static uint64_t *spent[STEPS];		/* ns; of each epoch */

static void step(enum step s, uint64_t epoch, uint64_t *since)
{
	uint64_t t = now();

	spent[s][epoch - 1] = t - *since;
	*since = t;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report(uint64_t epochs)
{
	printf("%-14s %9s %9s %9s  (ms)\n", "", "median", "99 %", "most");
	for (int s = 0; s < STEPS; s++) {
		qsort(spent[s], epochs, sizeof(*spent[s]), compare);
		printf("%-14s %9.3f %9.3f %9.3f\n", step_name[s],
		       spent[s][epochs / 2] / 1e6,
		       spent[s][epochs * 99 / 100] / 1e6,
		       spent[s][epochs - 1] / 1e6);
	}
}

static int epoch(struct platform *p, struct image *i, uint64_t number)
{
	uint64_t t, began;
	size_t n;
	int rc;

	for (;;) {
		t = began = now();
		TRY(p, p->ops->stop(p), "stop");
		step(STOP, number, &t);
		rc = p->ops->settled(p);
		if (rc < 0)
			return failed("settled", platform_why(p));
		step(SETTLE, number, &t);
		if (rc)
			break;
		TRY(p, p->ops->go(p), "go");
		usleep(2000);
	}
	TRY(p, p->ops->begin(p, i->generation, number, false), "begin");
	step(BEGIN, number, &t);
	recbuf_reset(&i->state);
	TRY(p, p->ops->save(p, PLATFORM_EARLY, &i->state), "save early");
	step(EARLY, number, &t);
	TRY(p, p->ops->harvest(p, dirty_gfn, DIRTY_LIMIT, &n), "harvest");
	step(HARVEST, number, &t);
	for (size_t k = 0; k < n; k++)
		memcpy(i->pages + k * PLATFORM_PAGE,
		       p->ops->page(p, dirty_gfn[k]), PLATFORM_PAGE);
	step(COPY, number, &t);
	TRY(p, p->ops->save(p, PLATFORM_LATE, &i->state), "save late");
	step(LATE, number, &t);
	TRY(p, p->ops->release(p, i->generation, number), "release");
	step(RELEASE, number, &t);
	while ((rc = p->ops->drained(p)) == 0)
		usleep(200);
	if (rc < 0)
		return failed("drained", platform_why(p));
	step(DRAIN, number, &t);
	TRY(p, p->ops->go(p), "go");
	step(GO, number, &t);
	spent[PAUSE][number - 1] = t - began;
	spent[PAGES][number - 1] = n * 1000;
	return 0;
}

static int run_epochs(struct platform *p, struct image *i, uint64_t epochs)
{
	int fd;

	i->pages = mmap(NULL, (size_t)DIRTY_LIMIT * PLATFORM_PAGE,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	for (int s = 0; s < STEPS; s++)
		spent[s] = calloc(epochs, sizeof(*spent[s]));
	if (i->pages == MAP_FAILED || !spent[STEPS - 1])
		return failed("epochs", "out of memory");
	if (check(p))
		return -1;
	TRY(p, p->ops->enable(p, i->generation, PLATFORM_SYNC, DIRTY_LIMIT),
	    "enable");
	TRY(p, p->ops->track(p), "track");
	fd = p->ops->event_fd(p);
	if (fd < 0)
		return failed("event_fd", platform_why(p));
	for (uint64_t n = 1; n <= epochs; n++) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };

		poll(&wait, 1, 20);
		if (p->ops->events(p) < 0)
			return failed("events", platform_why(p));
		if (epoch(p, i, n))
			return -1;
	}
	TRY(p, p->ops->disable(p, i->generation), "disable");
	report(epochs);
	return 0;
}

static int measure(const char *domain, struct image *i, uint64_t epochs)
{
	char why[PLATFORM_WHY_MAX];
	struct platform *p;
	int rc;

	if (platform_open_xen(&p, domain, why))
		return failed("open", why);
	rc = run_epochs(p, i, epochs);
	if (rc)
		(void)p->ops->disable(p, i->generation);
	p->ops->close(p);
	return rc;
}

static void forget(struct image *i)
{
	recbuf_free(&i->shape);
	recbuf_free(&i->state);
	munmap(i->pages, i->info.pages * PLATFORM_PAGE);
	memset(i, 0, sizeof(*i));
}

static int revive(const char *domain, struct image *image,
		  unsigned long cycles)
{
	for (unsigned long n = 1; n <= cycles; n++) {
		times[0] = '\0';
		/* Higher than those of all runs before. */
		image->generation = (uint64_t)time(NULL) * 2;
		if (cycle(domain, image)) {
			fprintf(stderr, "revive: cycle %lu failed after%s\n",
				n, times);
			return -1;
		}
		printf("cycle %lu of %lu: pages=%llu state=%zu ms:%s\n", n,
		       cycles, (unsigned long long)image->info.pages,
		       image->state.used, times);
		fflush(stdout);
		forget(image);
		if (n < cycles)
			usleep(1000000 + rand() % 1000000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct image image;
	unsigned long number = 1;
	int epochs = argc == 4 && !strcmp(argv[2], "--epochs");
	char *end = "";

	if (epochs || (argc == 4 && !strcmp(argv[2], "--cycles")))
		number = strtoul(argv[3], &end, 10);
	else if (argc != 2)
		end = "?";
	if (*end || !number || number > NUMBER_MAX) {
		fprintf(stderr, "usage: revive DOMAIN [--cycles N | "
			"--epochs N]\n");
		return 2;
	}
	srand((unsigned int)now());
	if (!epochs)
		return revive(argv[1], &image, number) ? 1 : 0;
	image.generation = (uint64_t)time(NULL) * 2;
	return measure(argv[1], &image, number) ? 1 : 0;
}
