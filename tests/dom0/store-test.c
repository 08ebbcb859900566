// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * store-test.c - xenstore and console of a running guest, in a real dom0
 *
 *	store-test COMMAND DOMID [N|FILE]
 *
 * Each command is one test and prints what it saw; exit status 0 if it held.
 * tests/system/store.sh runs them all against a guest that loads both rings.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/hvm/params.h>

#include "libxc-ext/nodes.h"
#include "libxc-ext/ring.h"
#include "libxc-ext/xen_check.h"
#include "libxc-ext/xen_store.h"
#include "libxc-ext/xen_store_priv.h"

static xc_interface *xch;
static xenforeignmemory_handle *fmem;
static uint32_t domid;
static struct xen_store *store;
static xc_dominfo_t info;
static unsigned int failures;

static void die(const char *what)
{
	fprintf(stderr, "store-test: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void die_store(const char *what)
{
	fprintf(stderr, "store-test: %s: %s\n", what, xen_store_why(store));
	exit(2);
}

#define EXPECT(condition) do { \
	if (!(condition)) { \
		printf("FAIL line %d: %s\n", __LINE__, #condition); \
		failures++; \
	} \
} while (0)

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void open_store(void)
{
	char why[PLATFORM_WHY_MAX];

	if (xc_domain_getinfo(xch, domid, 1, &info) != 1 ||
	    info.domid != domid)
		die("no such domain");
	if (xen_store_open(&store, xch, domid, info.handle, why)) {
		fprintf(stderr, "store-test: %s\n", why);
		exit(2);
	}
}

static uint64_t param(int index)
{
	uint64_t value;

	if (xc_hvm_param_get(xch, domid, index, &value))
		die("HVM parameter");
	return value;
}

static void *map(int index)
{
	xen_pfn_t gfn = param(index);
	void *page = xenforeignmemory_map(fmem, domid, PROT_READ | PROT_WRITE,
					  1, &gfn, NULL);

	if (!page)
		die("mapping a page of the guest");
	return page;
}

static void stop(void)
{
	if (xc_domain_pause(xch, domid))
		die("pause");
}

static void go(void)
{
	if (xc_domain_unpause(xch, domid))
		die("unpause");
}

/* --- nodes --------------------------------------------------------------- */

static void print(const struct nodes *l)
{
	static const char *const root[NODE_ROOTS] = {
		"domain", "libxl", "vm", "console",
	};
	size_t i, j;

	for (i = 0; i < l->n; i++) {
		const struct node *n = &l->node[i];

		printf("%s/%s = \"%.40s\" (", root[n->root], n->path,
		       (const char *)n->value);
		for (j = 0; j < n->nperms; j++)
			printf("%s%u:%u", j ? " " : "", n->perms[j].domid,
			       n->perms[j].perms);
		printf(")\n");
	}
	for (i = 0; i < l->nwatch; i++)
		printf("watch %s %s\n", l->watch[i].path, l->watch[i].token);
}

static void dump(struct recbuf *b, struct nodes *l)
{
	char why[200];

	recbuf_reset(b);
	if (xen_store_save(store, b, true) != 1)
		die_store("save");
	if (nodes_get(l, b->bytes, b->used, why, sizeof(why))) {
		fprintf(stderr, "store-test: %s\n", why);
		exit(2);
	}
}

static void cmd_dump(void)
{
	struct recbuf b = { 0 };
	struct nodes l = { 0 };

	open_store();
	dump(&b, &l);
	print(&l);
	printf("%zu nodes, %zu watches, %zu bytes\n", l.n, l.nwatch, b.used);
	EXPECT(nodes_find(&l, NODE_DOMAIN, "console/port"));
	EXPECT(nodes_find(&l, NODE_DOMAIN, "control/shutdown"));
	EXPECT(!nodes_find(&l, NODE_DOMAIN, "console/tty"));
	EXPECT(nodes_find(&l, NODE_LIBXL, "type"));
	EXPECT(nodes_find(&l, NODE_VM, "uuid"));
	EXPECT(nodes_find(&l, NODE_CONSOLE, "0/frontend"));
	nodes_free(&l);
	recbuf_free(&b);
}

/* save() says "changed" when and only when something changed. */
static void cmd_changed(void)
{
	struct recbuf b = { 0 };
	struct nodes l = { 0 };
	struct xs_handle *xs = xs_open(0);
	const struct node *n;
	char path[64];

	open_store();
	stop();
	if (!xs || xen_store_follow(store))
		die_store("follow");
	dump(&b, &l);
	recbuf_reset(&b);
	EXPECT(xen_store_save(store, &b, false) == 0);
	EXPECT(b.used == 0);
	snprintf(path, sizeof(path), "/local/domain/%u/data/test/x", domid);
	EXPECT(xs_write(xs, XBT_NULL, path, "1", 1));
	EXPECT(xen_store_save(store, &b, false) == 1);
	EXPECT(xen_store_save(store, &b, false) == 0);
	*strrchr(path, '/') = 0;
	EXPECT(xs_rm(xs, XBT_NULL, path));
	dump(&b, &l);
	n = nodes_find(&l, NODE_DOMAIN, "data/test/x");
	EXPECT(!n);
	EXPECT(nodes_find(&l, NODE_DOMAIN, "data"));
	go();
	xs_close(xs);
	nodes_free(&l);
	recbuf_free(&b);
}

static bool same(const struct nodes *a, const struct nodes *b)
{
	struct recbuf x = { 0 }, y = { 0 };
	bool equal;

	if (nodes_put(a, &x) || nodes_put(b, &y))
		die("records");
	equal = x.used == y.used && !memcmp(x.bytes, y.bytes, x.used);
	recbuf_free(&x);
	recbuf_free(&y);
	return equal;
}

/* --- rings --------------------------------------------------------------- */

/* Stop the guest at rest; how often it had to run on, -1 for too often. */
static int stop_settled(const void *page)
{
	int tries, rc;

	for (tries = 0; tries < 2000; tries++) {
		stop();
		rc = xen_store_settled(store, page);
		if (rc == 1)
			return tries;
		if (rc < 0)
			die_store("settled");
		go();
		nap(1);
	}
	printf("never at rest: %s\n", xen_store_why(store));
	return -1;
}

/* INV-13.  At rest means: the daemon has nothing half done, and nothing more
 * comes. */
static void cmd_settled(unsigned int rounds)
{
	struct ring_store *ring, then;
	unsigned int i, retried = 0, most = 0;

	open_store();
	ring = map(HVM_PARAM_STORE_PFN);
	if (xen_store_follow(store))
		die_store("follow");
	for (i = 0; i < rounds; i++) {
		int tries = stop_settled(ring), idle;

		if (tries < 0) {
			failures++;
			break;
		}
		retried += tries > 0;
		if ((unsigned int)tries > most)
			most = (unsigned int)tries;
		memcpy(&then, ring, sizeof(then));
		idle = daemon_idle(domid);
		nap(10);
		EXPECT(idle != 0);
		EXPECT(then.req_cons == then.req_prod);
		EXPECT(ring->req_cons == then.req_cons);
		EXPECT(ring->rsp_prod == then.rsp_prod);
		go();
		nap(random() % 40);
	}
	printf("%u times at rest, %u at the first look, at most %u looks more; %u requests' bytes\n",
	       i, i - retried, most, ring->req_prod);
	EXPECT(ring->req_prod > 10000);
}

static void cmd_drained(unsigned int rounds)
{
	struct ring_console *ring;
	unsigned int i, waits = 0, ms, most = 0;
	uint32_t produced, left;

	open_store();
	ring = map(HVM_PARAM_CONSOLE_PFN);
	for (i = 0; i < rounds; i++) {
		stop();
		produced = ring_console_produced(ring);
		for (ms = 0; !ring_console_drained(ring, produced, &left) &&
		     ms < 5000; ms++)
			nap(1);
		waits += ms > 0;
		most = ms > most ? ms : most;
		EXPECT(left == 0);
		EXPECT(ring->out_cons == produced);
		EXPECT(ring->out_prod == produced);
		go();
		nap(random() % 20);
	}
	printf("%u times drained, %u had to wait, at most %u ms\n", i, waits,
	       most);
	EXPECT(waits > 0);
}

/* --- restore --------------------------------------------------------------- */

/* In the guest's name: remove all watches.  The ring is at rest. */
static void reset_watches(struct xs_handle *xs, struct ring_store *ring)
{
	struct ring_head h = { 21, 0, 0, 1 };
	uint32_t prod = ring->req_prod;
	unsigned int i;

	ring_put(ring->req, &prod, &h, sizeof(h));
	ring_put(ring->req, &prod, "", 1);
	ring->req_prod = prod;
	if (!xs_introduce_domain(xs, domid, param(HVM_PARAM_STORE_PFN),
				 (unsigned int)param(HVM_PARAM_STORE_EVTCHN)))
		die("introducing the domain again");
	for (i = 0; i < 1000 && ring->req_cons != ring->req_prod; i++)
		nap(1);
	EXPECT(ring->req_cons == ring->req_prod);
}

/* Stop the guest at rest when it has read all replies: there is room for the
 * first events of its watches. */
static void stop_having_read(const struct ring_store *ring)
{
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		if (stop_settled(ring) < 0)
			exit(1);
		if (ring->rsp_cons == ring->rsp_prod)
			return;
		go();
		nap(1);
	}
	printf("never without an unread reply\n");
	exit(1);
}

/*
 * What a take-over does, on one host: the daemon forgets the watches of a
 * stopped guest, its nodes are removed and written again, it is introduced
 * anew, and its ring is put back as it was.  The guest must not notice;
 * store.sh then sees whether it still hears xl shutdown.
 */
static void cmd_replace(void)
{
	struct recbuf b = { 0 };
	struct nodes before = { 0 }, after = { 0 };
	struct xs_handle *xs = xs_open(0);
	struct timespec t0, t1;
	uint8_t image[RING_PAGE];
	void *page;

	open_store();
	page = map(HVM_PARAM_STORE_PFN);
	if (!xs || xen_store_follow(store))
		die_store("follow");
	stop_having_read(page);
	dump(&b, &before);
	ring_store_copy(image, page);
	reset_watches(xs, page);
	EXPECT(daemon_watches(domid, &after) || after.nwatch == 0);
	ring_store_copy(page, image);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	if (xen_store_restore(store, b.bytes, b.used))
		die_store("restore");
	if (xen_store_introduce(store, param(HVM_PARAM_STORE_PFN),
				(uint32_t)param(HVM_PARAM_STORE_EVTCHN), page))
		die_store("introduce");
	clock_gettime(CLOCK_MONOTONIC, &t1);
	printf("%zu nodes and %zu watches restored in %ld ms, %u watches lost\n",
	       before.n, before.nwatch, (t1.tv_sec - t0.tv_sec) * 1000 +
	       (t1.tv_nsec - t0.tv_nsec) / 1000000,
	       xen_store_lost_watches(store));
	EXPECT(xen_store_lost_watches(store) == 0);
	EXPECT(xs_is_domain_introduced(xs, domid));
	/* Read it all again, not only what changed. */
	xen_store_close(store);
	open_store();
	b.used = 0;
	dump(&b, &after);
	EXPECT(after.nwatch == before.nwatch);
	nodes_drop_watches(&before);	/* listed in any order */
	nodes_drop_watches(&after);
	EXPECT(same(&before, &after));
	if (failures) {
		print(&before);
		printf("--- after\n");
		print(&after);
	}
	go();
	xs_close(xs);
	nodes_free(&before);
	nodes_free(&after);
	recbuf_free(&b);
}

static void cmd_save(const char *path)
{
	struct recbuf b = { 0 };
	FILE *f = fopen(path, "w");

	open_store();
	if (xen_store_save(store, &b, true) != 1)
		die_store("save");
	if (!f || fwrite(info.handle, 16, 1, f) != 1 ||
	    fwrite(b.bytes, b.used, 1, f) != 1 || fclose(f))
		die(path);
	recbuf_free(&b);
}

/*
 * An empty domain of number DOMID gets a standby's nodes, made of those that
 * were saved on another host.
 */
static void cmd_standby(const char *path)
{
	struct xen_domctl_createdomain create = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
		.max_vcpus = 1, .max_grant_frames = 4,
		.max_maptrack_frames = 1, .max_evtchn_port = 1023,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch.emulation_flags = XEN_X86_EMU_LAPIC,
	};
	static uint8_t saved[1 << 20];
	struct recbuf b = { 0 };
	struct nodes l = { 0 };
	FILE *f = fopen(path, "r");
	size_t len = f ? fread(saved, 1, sizeof(saved), f) : 0;

	if (len <= sizeof(create.handle))
		die(path);
	fclose(f);
	memcpy(create.handle, saved, sizeof(create.handle));
	if (xc_domain_create(xch, &domid, &create))
		die("creating an empty domain");
	open_store();
	if (xen_store_standby(store, saved + sizeof(create.handle),
			      len - sizeof(create.handle)))
		die_store("standby");
	dump(&b, &l);
	EXPECT(!nodes_find(&l, NODE_DOMAIN, "console"));
	EXPECT(!nodes_find(&l, NODE_CONSOLE, ""));
	EXPECT(nodes_find(&l, NODE_LIBXL, "type"));
	printf("standby %u %s\n", domid,
	       nodes_find(&l, NODE_DOMAIN, "name")->value);
	nodes_free(&l);
	recbuf_free(&b);
}

/* --- the rest -------------------------------------------------------------- */

static void cmd_check(void)
{
	struct xen_reasons r = { .n = 0 };
	size_t i;

	if (xen_check_domain(&r, xch, domid, true))
		die("check");
	for (i = 0; i < r.n; i++)
		printf("%s\n", r.text[i]);
	failures = r.n != 0;
}

/* Prints events as they come, until the domain is gone. */
static void cmd_events(void)
{
	int seen = 0, ev;
	uint32_t reason = 0;
	struct pollfd p = { .events = POLLIN };

	open_store();
	if (xen_store_follow(store))
		die_store("follow");
	p.fd = xen_store_event_fd(store);
	printf("following %u\n", domid);
	fflush(stdout);
	do {
		if (poll(&p, 1, 60000) < 1)
			die("no event for a minute");
		ev = xen_store_events(store, &reason);
		if (ev & PLATFORM_EV_SHUTDOWN && !(seen & ev))
			printf("shutdown %u\n", reason);
		seen |= ev;
	} while (!(ev & PLATFORM_EV_GONE));
	printf("gone\n");
}

/* Waits for the guest's end, and cleans up. */
static void cmd_reap(void)
{
	struct pollfd p = { .events = POLLIN };
	struct recbuf b = { 0 };
	struct platform_reaper *r;
	char say[PLATFORM_WHY_MAX];
	int rc;

	open_store();
	r = platform_reaper_open(domid, info.handle, say);
	if (!r)
		die(say);
	p.fd = platform_reaper_fd(r);
	printf("waiting for %u\n", domid);
	fflush(stdout);
	while (!(rc = platform_reaper_run(r, say)))
		if (poll(&p, 1, 60000) < 1)
			die("no event for a minute");
	printf("%s\n", say);
	EXPECT(rc == 1);
	EXPECT(xen_store_save(store, &b, true) == -1);
	platform_reaper_close(r);
	recbuf_free(&b);
	printf("reaped\n");
}

int main(int argc, char **argv)
{
	const char *arg = argc > 3 ? argv[3] : "100";
	unsigned int n = (unsigned int)atoi(arg);
	const char *cmd = argc > 2 ? argv[1] : "";

	domid = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	xch = xc_interface_open(NULL, NULL, 0);
	fmem = xenforeignmemory_open(NULL, 0);
	if (!xch || !fmem)
		die("no Xen here");
	if (!strcmp(cmd, "dump"))
		cmd_dump();
	else if (!strcmp(cmd, "changed"))
		cmd_changed();
	else if (!strcmp(cmd, "settled"))
		cmd_settled(n);
	else if (!strcmp(cmd, "drained"))
		cmd_drained(n);
	else if (!strcmp(cmd, "replace"))
		cmd_replace();
	else if (!strcmp(cmd, "standby"))
		cmd_standby(arg);
	else if (!strcmp(cmd, "save"))
		cmd_save(arg);
	else if (!strcmp(cmd, "check"))
		cmd_check();
	else if (!strcmp(cmd, "events"))
		cmd_events();
	else if (!strcmp(cmd, "reap"))
		cmd_reap();
	else {
		fprintf(stderr, "usage: store-test COMMAND DOMID [N|FILE]\n");
		return 2;
	}
	xen_store_close(store);
	xenforeignmemory_close(fmem);
	xc_interface_close(xch);
	return failures ? 1 : 0;
}
