// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netgate-test.c - the gate of a guest with network cards, call by call
 *
 *	netgate-test DOMID GENERATION COMMAND [ARG]...
 *
 *	shut, freeze, thaw, open, query, rings
 *	capture N, release N
 *	epoch			freeze, capture, thaw, release of the next epoch
 *	cycles COUNT MS REF..	an epoch every MS, the guest stopped from before
 *				the freeze until the thaw; at each capture the TX
 *				rings of these grants are looked at
 *	still MS REF...		the guest stopped and frozen for MS: no byte of
 *				the pages of these grants may change
 *	toggle COUNT MS		shut and open again, from GENERATION upwards
 *
 * Exit status 0: all held; 1 with a line FAIL: it did not; 2: no result.
 * tests/system/netgate.py drives it.  Tests INV-33,
 * INV-35.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xengnttab.h>
#include <xen/io/netif.h>

#include "backends/kemari-gate.h"

#define REFS_MAX	64
#define RINGS_MAX	64
#define PAGE		4096u
#define MASK		((uint32_t)__CONST_RING_SIZE(netif_tx, PAGE) - 1)

/** struct known - requests that waited in a ring when it was looked at */
struct known {
	uint32_t from, to;
	uint16_t id[256];
};

static struct known known[REFS_MAX];
static int gate;
static xc_interface *xch;
static struct kemari_gate_call call;
static void *pages[REFS_MAX];
static unsigned int refs, failures;

static void die(const char *what)
{
	fprintf(stderr, "netgate-test: %s: %s\n", what, strerror(errno));
	exit(2);
}

#define FAIL(...) do { \
	printf("FAIL " __VA_ARGS__); \
	putchar('\n'); \
	failures++; \
} while (0)

static void nap(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000),
			      (long)(ms % 1000 * 1000000) };

	nanosleep(&t, NULL);
}

static void gate_call(const char *what, unsigned long request, uint64_t epoch)
{
	call.epoch = epoch;
	if (ioctl(gate, request, &call))
		die(what);
}

static void attach(void)
{
	gate_call("attach", KEMARI_GATE_ATTACH, 0);
}

/* Some packet may be held up elsewhere for long: a busy ring is asked again. */
static void shut(void)
{
	int i;

	for (i = 0; i < 20; i++) {
		call.epoch = 0;
		if (!ioctl(gate, KEMARI_GATE_SHUT, &call))
			return;
		if (errno != EBUSY)
			break;
		printf("shut: busy\n");
	}
	die("shut");
}

static void query(struct kemari_gate_query *q)
{
	memset(q, 0, sizeof(*q));
	q->domid = call.domid;
	if (ioctl(gate, KEMARI_GATE_QUERY, q))
		die("query");
}

static unsigned int rings(struct kemari_gate_ring *r)
{
	struct kemari_gate_rings all = {
		.domid = call.domid, .n = RINGS_MAX, .rings = (uintptr_t)r,
	};

	if (ioctl(gate, KEMARI_GATE_RINGS, &all))
		die("rings");
	return all.n;
}

static void print_rings(void)
{
	struct kemari_gate_ring r[RINGS_MAX];
	unsigned int i, n = rings(r);

	for (i = 0; i < n; i++)
		printf("kind %u device %u queue %u port %u flags %#x fence %u "
		       "req_prod %u req_cons %u rsp_prod %u queued %u\n",
		       r[i].kind, r[i].device, r[i].queue, r[i].port,
		       r[i].flags, r[i].fence, r[i].req_prod, r[i].req_cons,
		       r[i].rsp_prod, r[i].queued);
}

static void print_query(void)
{
	struct kemari_gate_query q;

	query(&q);
	printf("rings %u captured %" PRIu64 " released %" PRIu64 " frozen %u "
	       "waiting %u fenced %" PRIu64 " queued %" PRIu64 " spared %"
	       PRIu64 " freezes %" PRIu64 " frozen_ms %" PRIu64 "\n", q.rings,
	       (uint64_t)q.captured, (uint64_t)q.released, q.frozen, q.waiting,
	       (uint64_t)q.fenced, (uint64_t)q.queued, (uint64_t)q.spared,
	       (uint64_t)q.freezes, (uint64_t)q.frozen_ns / 1000000);
}

/* --- what a ring holds --------------------------------------------------- */

static void map_refs(char **argv)
{
	xengnttab_handle *g = xengnttab_open(NULL, 0);

	if (!g)
		die("xengnttab_open");
	for (; *argv && refs < REFS_MAX; argv++) {
		uint32_t ref = (uint32_t)strtoul(*argv, NULL, 10);

		pages[refs] = xengnttab_map_grant_ref(g, call.domid, ref,
						      PROT_READ);
		if (!pages[refs++])
			die("map a ring");
	}
}

/* Have the requests that waited at the last look the answers of their own? */
static void look_at_answers(struct known *k, const netif_tx_sring_t *s,
			    const char *when)
{
	uint32_t i;

	for (i = k->from; i != k->to; i++) {
		const netif_tx_response_t *rsp = &s->ring[i & MASK].rsp;

		if ((int32_t)(s->rsp_prod - i) <= 0 || s->req_prod - i > MASK)
			continue;	/* none yet; or a request again */
		if (rsp->status != NETIF_RSP_NULL &&
		    rsp->id != k->id[i & MASK])
			FAIL("%s: id %u at %u was answered with id %u", when,
			     k->id[i & MASK], i, rsp->id);
	}
	k->from = s->rsp_prod;
	k->to = s->req_prod;
	for (i = k->from; i != k->to; i++)
		k->id[i & MASK] = s->ring[i & MASK].req.id;
}

/*
 * A backend that starts here would take [rsp_prod, req_prod): that must be
 * whole packets from the first on, each request there once.
 */
static void look_at_tx_ring(struct known *k, const netif_tx_sring_t *s,
			    const char *when)
{
	uint32_t i = s->rsp_prod, end = s->req_prod;
	bool seen[65536] = { false };

	if (end - i > MASK + 1) {
		FAIL("%s: rsp_prod %u, req_prod %u", when, i, end);
		return;
	}
	look_at_answers(k, s, when);
	while (i != end) {
		uint32_t start = i, slots = 1, size, sum = 0;
		netif_tx_request_t req = s->ring[i++ & MASK].req;
		bool extra = req.flags & NETTXF_extra_info;

		size = req.size;
		while (extra && i != end) {
			netif_extra_info_t info;

			memcpy(&info, &s->ring[i++ & MASK], sizeof(info));
			extra = info.flags & XEN_NETIF_EXTRA_FLAG_MORE;
		}
		for (;;) {
			if (seen[req.id]) {
				FAIL("%s: id %u at %u is there twice", when,
				     req.id, i - 1);
				return;
			}
			seen[req.id] = true;
			if (slots > 1)
				sum += req.size;
			if (!(req.flags & NETTXF_more_data) || i == end)
				break;
			req = s->ring[i++ & MASK].req;
			slots++;
		}
		if (extra || req.flags & NETTXF_more_data || size < 14 ||
		    (slots > 1 && sum >= size)) {
			FAIL("%s: no packet at %u: %u slots, %u bytes, "
			     "rsp_prod %u, req_prod %u", when, start, slots,
			     size, s->rsp_prod, end);
			return;
		}
	}
}

/* --- a guest that is stopped --------------------------------------------- */

static void still(uint64_t ms)
{
	static uint8_t before[REFS_MAX][PAGE];
	unsigned int i;

	if (xc_domain_pause(xch, call.domid))
		die("pause");
	gate_call("freeze", KEMARI_GATE_FREEZE, 0);
	for (i = 0; i < refs; i++)
		memcpy(before[i], pages[i], PAGE);
	nap(ms);
	for (i = 0; i < refs; i++)
		if (memcmp(before[i], pages[i], PAGE))
			FAIL("a frozen ring was written to: page %u", i);
	gate_call("thaw", KEMARI_GATE_THAW, 0);
	if (xc_domain_unpause(xch, call.domid))
		die("unpause");
	printf("still: %u pages, %" PRIu64 " ms\n", refs, ms);
}

static void epoch(bool stop)
{
	struct kemari_gate_query q;
	unsigned int i;
	char when[32];

	query(&q);
	if (stop && xc_domain_pause(xch, call.domid))
		die("pause");
	gate_call("freeze", KEMARI_GATE_FREEZE, 0);
	gate_call("capture", KEMARI_GATE_CAPTURE, q.captured + 1);
	snprintf(when, sizeof(when), "epoch %" PRIu64,
		 (uint64_t)q.captured + 1);
	for (i = 0; stop && i < refs; i++)
		look_at_tx_ring(&known[i], pages[i], when);
	gate_call("thaw", KEMARI_GATE_THAW, 0);
	if (stop && xc_domain_unpause(xch, call.domid))
		die("unpause");
	gate_call("release", KEMARI_GATE_RELEASE, q.captured + 1);
}

static void toggle(uint64_t count, uint64_t ms)
{
	for (; count--; call.generation++) {
		shut();
		epoch(false);
		nap(ms);
		gate_call("open", KEMARI_GATE_OPEN, 0);
		nap(ms);
	}
}

static void bind_domain(const char *domid, const char *generation)
{
	xc_dominfo_t info;

	call.domid = (uint32_t)strtoul(domid, NULL, 10);
	call.generation = strtoull(generation, NULL, 10);
	xch = xc_interface_open(NULL, NULL, 0);
	gate = open(KEMARI_GATE_DEVICE, O_RDWR);
	if (!xch || gate < 0)
		die("open");
	if (xc_domain_getinfo(xch, call.domid, 1, &info) != 1 ||
	    info.domid != call.domid)
		die(domid);
	memcpy(call.uuid, info.handle, sizeof(call.uuid));
}

static bool simple(const char *command, uint64_t arg)
{
	static const struct {
		const char *name;
		unsigned long request;
	} calls[] = {
		{ "freeze", KEMARI_GATE_FREEZE },
		{ "capture", KEMARI_GATE_CAPTURE },
		{ "thaw", KEMARI_GATE_THAW },
		{ "release", KEMARI_GATE_RELEASE },
		{ "open", KEMARI_GATE_OPEN },
	};
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(command, calls[i].name))
			continue;
		attach();
		gate_call(command, calls[i].request, arg);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	uint64_t arg, ms, i;
	const char *command;

	if (argc < 4) {
		fprintf(stderr, "usage: netgate-test DOMID GENERATION COMMAND "
			"[ARG]...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	bind_domain(argv[1], argv[2]);
	command = argv[3];
	arg = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	ms = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
	if (simple(command, arg)) {
		;
	} else if (!strcmp(command, "shut")) {
		shut();
	} else if (!strcmp(command, "query")) {
		print_query();
	} else if (!strcmp(command, "rings")) {
		print_rings();
	} else if (!strcmp(command, "epoch")) {
		attach();
		epoch(false);
	} else if (!strcmp(command, "toggle")) {
		toggle(arg, ms);
	} else if (!strcmp(command, "still") && argc > 5) {
		map_refs(argv + 5);
		attach();
		still(arg);
	} else if (!strcmp(command, "cycles") && argc > 5) {
		map_refs(argv + 6);
		attach();
		for (i = 0; i < arg; i++) {
			epoch(true);
			nap(ms);
		}
		printf("cycles: %" PRIu64 "\n", arg);
	} else {
		fprintf(stderr, "netgate-test: %s: no such command\n", command);
		return 2;
	}
	return !!failures;
}
