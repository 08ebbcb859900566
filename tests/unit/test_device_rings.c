// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_device_rings.c - rings as a guest's xenstore nodes name them: all the
 * ways to connect a device, and hostile ones (INV-31, INV-36)
 */
#include "libxc-ext/device_rings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/** struct fixture - nodes, what was read from them, what was said */
struct fixture {
	struct nodes l;
	struct device_rings r;
	int said;
	char text[512];			/* the last sentence */
};

static void put(struct fixture *f, enum node_root root, const char *value,
		const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void put(struct fixture *f, enum node_root root, const char *value,
		const char *fmt, ...)
{
	char path[128];
	struct node n = { .root = root, .path = path,
			  .value = (uint8_t *)value,
			  .value_len = strlen(value) };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	assert_int_equal(nodes_add(&f->l, &n), 0);
}

#define guest(f, value, ...) put(f, NODE_DOMAIN, value, "device/" __VA_ARGS__)

/* What toolstack and guest write before anything else. */
static void device(struct fixture *f, const char *class, unsigned int id,
		   const char *kind)
{
	char backend[64];

	snprintf(backend, sizeof(backend), "/local/domain/0/backend/%s/7/%u",
		 kind, id);
	put(f, NODE_LIBXL, "", "device/%s/%u", class, id);
	put(f, NODE_LIBXL, backend, "device/%s/%u/backend", class, id);
	guest(f, "", "%s/%u", class, id);
	guest(f, "4", "%s/%u/state", class, id);
}

static void say(void *arg, const char *text)
{
	struct fixture *f = arg;

	f->said++;
	snprintf(f->text, sizeof(f->text), "%s", text);
}

static int read_all(struct fixture *f)
{
	f->said = 0;
	return device_rings_read(&f->r, &f->l, say, f);
}

static void expect(const struct device_rings *r, uint32_t i, const char *name,
		   uint32_t port, bool output, uint32_t pages)
{
	assert_true(i < r->n);
	assert_string_equal(r->ring[i].name, name);
	assert_int_equal(r->ring[i].port, port);
	assert_int_equal(r->ring[i].output, output);
	assert_int_equal(r->ring[i].pages, pages);
	assert_true(r->ring[i].first + pages <= r->refs);
}

static void test_none(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	put(&f, NODE_LIBXL, "", "device/vbd");
	put(&f, NODE_LIBXL, "", "device/console/0");
	put(&f, NODE_DOMAIN, "", "device/vbd");
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 0);
	nodes_free(&f.l);
}

static void simple_disk(struct fixture *f)
{
	device(f, "vbd", 51712, "vbd");
	guest(f, "8", "vbd/51712/ring-ref");
	guest(f, "12", "vbd/51712/event-channel");
}

static void test_disk(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	simple_disk(&f);
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 1);
	expect(&f.r, 0, "disk xvda (51712)", 12, true, 1);
	assert_int_equal(f.r.ref[0], 8);
	nodes_free(&f.l);
}

static void test_disk_queues_and_pages(void **state)
{
	struct fixture f = { 0 };
	char value[16];

	(void)state;
	device(&f, "vbd", 51729, "vbd");
	guest(&f, "2", "vbd/51729/multi-queue-num-queues");
	guest(&f, "2", "vbd/51729/ring-page-order");
	for (unsigned int q = 0; q < 2; q++) {
		snprintf(value, sizeof(value), "%u", 20 + q);
		guest(&f, value, "vbd/51729/queue-%u/event-channel", q);
		for (unsigned int i = 0; i < 4; i++) {
			snprintf(value, sizeof(value), "%u", 100 * q + i);
			guest(&f, value, "vbd/51729/queue-%u/ring-ref%u", q,
			      i);
		}
	}
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 2);
	expect(&f.r, 0, "disk xvdb1 (51729) queue 0", 20, true, 4);
	expect(&f.r, 1, "disk xvdb1 (51729) queue 1", 21, true, 4);
	assert_int_equal(f.r.refs, 8);
	assert_int_equal(f.r.ref[7], 103);
	nodes_free(&f.l);
}

/* Order 0 is one page, and yet numbered. */
static void test_disk_order_0(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	simple_disk(&f);
	guest(&f, "0", "vbd/51712/ring-page-order");
	assert_int_equal(read_all(&f), 1);
	assert_non_null(strstr(f.text, "has no ring-ref0"));
	guest(&f, "9", "vbd/51712/ring-ref0");
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.ref[0], 9);
	nodes_free(&f.l);
}

static void card(struct fixture *f, const char *dir, const char *tx,
		 const char *rx)
{
	guest(f, "700", "vif/%s/tx-ring-ref", dir);
	guest(f, "701", "vif/%s/rx-ring-ref", dir);
	guest(f, tx, "vif/%s/event-channel%s", dir, rx ? "-tx" : "");
	if (rx)
		guest(f, rx, "vif/%s/event-channel-rx", dir);
}

static void test_card(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	device(&f, "vif", 0, "vif");
	card(&f, "0", "30", NULL);
	device(&f, "vif", 1, "vif");
	card(&f, "1", "31", "32");
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 3);
	expect(&f.r, 0, "network card 0", 30, true, 2);
	expect(&f.r, 1, "network card 1 tx", 31, true, 1);
	expect(&f.r, 2, "network card 1 rx", 32, false, 1);
	assert_int_equal(f.r.refs, 4);
	nodes_free(&f.l);
}

/* Split in name only, and many queues. */
static void test_card_queues(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	device(&f, "vif", 2, "vif");
	guest(&f, "2", "vif/2/multi-queue-num-queues");
	card(&f, "2/queue-0", "40", "40");
	card(&f, "2/queue-1", "41", "42");
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 3);
	expect(&f.r, 0, "network card 2 queue 0", 40, true, 2);
	expect(&f.r, 1, "network card 2 queue 1 tx", 41, true, 1);
	expect(&f.r, 2, "network card 2 queue 1 rx", 42, false, 1);
	nodes_free(&f.l);
}

/** struct refusal - one node that makes a good guest a bad one */
struct refusal {
	const char *path, *value;	/* below device/; NULL: the node goes */
	const char *word;		/* in the sentence */
};

static const struct refusal refusals[] = {
	{ "vbd/51712/state", "3", "state 3" },
	{ "vbd/51712/state", "", "rule is a number" },
	{ "vbd/51712/state", NULL, "has no state" },
	{ "vbd/51712/event-channel", "0", "rule is 1 to 4095" },
	{ "vbd/51712/event-channel", "4096", "rule is 1 to 4095" },
	{ "vbd/51712/event-channel", "99999999999", "rule is a number" },
	{ "vbd/51712/event-channel", "9999999999", "rule is 1 to 4095" },
	{ "vbd/51712/event-channel", "-1", "rule is a number" },
	{ "vbd/51712/event-channel", "12 ", "rule is a number" },
	{ "vbd/51712/event-channel", "0x12", "rule is a number" },
	{ "vbd/51712/event-channel", NULL, "has no event-channel" },
	{ "vbd/51712/event-channel", "30", "event channel 30 belongs to" },
	{ "vbd/51712/ring-ref", "4294967296", "rule is 0 to 4294967295" },
	{ "vbd/51712/ring-ref", "one", "rule is a number" },
	{ "vbd/51712/ring-ref", NULL, "has no ring-ref" },
	{ "vbd/51712/ring-page-order", "5", "rule is 0 to 4" },
	{ "vbd/51712/ring-page-order", "4294967297", "rule is 0 to 4" },
	{ "vbd/51712/ring-page-order", "x", "rule is a number" },
	{ "vbd/51712/multi-queue-num-queues", "0", "rule is 1 to 128" },
	{ "vbd/51712/multi-queue-num-queues", "129", "rule is 1 to 128" },
	{ "vbd/51712/multi-queue-num-queues", "2", "queue-0" },
	{ "vif/0/ctrl-ring-ref", "5", "control ring" },
	{ "vif/0/request-multicast-control", "1", "multicast filters" },
	{ "vif/0/event-channel-ctrl", "5", "control ring" },
	{ "vif/0/tx-ring-ref", NULL, "has no tx-ring-ref" },
	{ "vif/0/rx-ring-ref", "-5", "rule is a number" },
	{ "vif/0/event-channel-tx", "0", "rule is 1 to 4095" },
};

static void good_guest(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	device(f, "vif", 0, "vif");
	card(f, "0", "30", NULL);
	simple_disk(f);
}

static void test_refusals(void **state)
{
	struct fixture f;

	(void)state;
	good_guest(&f);
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 2);
	nodes_free(&f.l);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *t = &refusals[i];
		char path[64];

		good_guest(&f);
		snprintf(path, sizeof(path), "device/%s", t->path);
		if (t->value)
			put(&f, NODE_DOMAIN, t->value, "%s", path);
		else
			nodes_drop(&f.l, NODE_DOMAIN, path);
		assert_int_equal(read_all(&f), 1);
		if (!strstr(f.text, t->word))
			fail_msg("%s = %s: \"%s\" lacks \"%s\"", t->path,
				 t->value ? t->value : "none", f.text,
				 t->word);
		/* The other device is there, and nothing of this one. */
		assert_int_equal(f.r.n, 1);
		for (uint32_t k = f.r.n; k < PLATFORM_RINGS_MAX; k++)
			assert_int_equal(f.r.ring[k].port, 0);
		nodes_free(&f.l);
	}
}

/* A driver that lets go is told from one that never had it. */
static void test_closing(void **state)
{
	struct fixture f;

	(void)state;
	good_guest(&f);
	guest(&f, "5", "vbd/51712/state");
	assert_int_equal(read_all(&f), 1);
	assert_int_equal(f.r.closing, 1);
	guest(&f, "6", "vbd/51712/state");
	guest(&f, "6", "vif/0/state");
	assert_int_equal(read_all(&f), 2);
	assert_int_equal(f.r.closing, 2);
	guest(&f, "1", "vbd/51712/state");
	assert_int_equal(read_all(&f), 2);
	assert_int_equal(f.r.closing, 1);
	nodes_free(&f.l);
}

/* The toolstack's word counts, not the guest's. */
static void test_backends(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	device(&f, "vbd", 51712, "qdisk");
	guest(&f, "/local/domain/0/backend/vbd/7/51712",
	      "vbd/51712/backend");
	assert_int_equal(read_all(&f), 1);
	assert_non_null(strstr(f.text, "qemu (qdisk)"));
	put(&f, NODE_LIBXL, "/local/domain/3/backend/vbd/7/51712",
	    "device/vbd/51712/backend");
	assert_int_equal(read_all(&f), 1);
	assert_non_null(strstr(f.text, "domain 3"));
	nodes_drop(&f.l, NODE_LIBXL, "device/vbd/51712/backend");
	assert_int_equal(read_all(&f), 1);
	nodes_free(&f.l);

	/* A device that only the guest knows has no backend. */
	f = (struct fixture){ 0 };
	guest(&f, "4", "vbd/51712/state");
	guest(&f, "12", "vbd/51712/event-channel");
	assert_int_equal(read_all(&f), 0);
	assert_int_equal(f.r.n, 0);
	nodes_free(&f.l);
}

/* More than there is room for: refused, not cut off. */
static void test_limits(void **state)
{
	struct fixture f = { 0 };
	char value[16], dir[32];
	unsigned int port = 1;

	(void)state;
	for (unsigned int card_id = 0; card_id < 3; card_id++) {
		device(&f, "vif", card_id, "vif");
		guest(&f, "128", "vif/%u/multi-queue-num-queues", card_id);
		for (unsigned int q = 0; q < 128; q++) {
			snprintf(value, sizeof(value), "%u", port++);
			snprintf(dir, sizeof(dir), "%u/queue-%u", card_id, q);
			card(&f, dir, value, NULL);
		}
	}
	assert_int_equal(read_all(&f), 1);
	assert_non_null(strstr(f.text, "network card 2"));
	assert_int_equal(f.r.n, PLATFORM_RINGS_MAX);
	nodes_free(&f.l);
}

static void test_names(void **state)
{
	static const struct {
		const char *class, *id, *name;
	} want[] = {
		{ "vbd", "51712", "disk xvda (51712)" },
		{ "vbd", "51953", "disk xvdp1 (51953)" },
		{ "vbd", "268439552", "disk xvdq (268439552)" },
		{ "vbd", "268442115", "disk xvdaa3 (268442115)" },
		{ "vbd", "768", "disk (768)" },
		{ "vbd", "99999999999", "disk (99999999999)" },
		{ "vif", "3", "network card 3" },
	};
	char name[DEVICE_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		device_name(want[i].class, want[i].id, name);
		assert_string_equal(name, want[i].name);
	}
}

static void test_same(void **state)
{
	struct fixture a, b;

	(void)state;
	good_guest(&a);
	good_guest(&b);
	assert_int_equal(read_all(&a), 0);
	assert_int_equal(read_all(&b), 0);
	assert_true(device_rings_same(&a.r, &b.r));
	guest(&b, "9", "vbd/51712/ring-ref");
	assert_int_equal(read_all(&b), 0);
	assert_false(device_rings_same(&a.r, &b.r));
	guest(&b, "8", "vbd/51712/ring-ref");
	guest(&b, "13", "vbd/51712/event-channel");
	assert_int_equal(read_all(&b), 0);
	assert_false(device_rings_same(&a.r, &b.r));
	nodes_free(&a.l);
	nodes_free(&b.l);
}

static void test_grants(void **state)
{
	static struct {
		uint16_t flags, domid;
		uint32_t frame;
	} table[2 * 512];
	char why[DEVICE_WHY_MAX];
	uint64_t gfn;

	(void)state;
	table[1023].flags = 1 | 8 | 16;		/* permit, in use */
	table[1023].frame = 0xffffffff;
	assert_int_equal(device_rings_frame(table, 2, 1023, &gfn, why), 0);
	assert_int_equal(gfn, 0xffffffff);
	assert_int_equal(device_rings_frame(table, 2, 1024, &gfn, why), -1);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(device_rings_frame(table, 2, UINT32_MAX, &gfn, why),
			 -1);
	assert_int_equal(device_rings_frame(table, 0, 0, &gfn, why), -1);
	assert_int_equal(device_rings_frame(table, 2, 5, &gfn, why), -1);
	table[5].flags = 1 | 4;			/* read-only */
	assert_int_equal(device_rings_frame(table, 2, 5, &gfn, why), -1);
	table[5].flags = 2;			/* accept transfer */
	assert_int_equal(device_rings_frame(table, 2, 5, &gfn, why), -1);
	table[5].flags = 1;
	table[5].domid = 3;
	assert_int_equal(device_rings_frame(table, 2, 5, &gfn, why), -1);
	assert_non_null(strstr(why, "domain 3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_disk_queues_and_pages),
		cmocka_unit_test(test_disk_order_0),
		cmocka_unit_test(test_card),
		cmocka_unit_test(test_card_queues),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_grants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
