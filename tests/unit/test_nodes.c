// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_nodes.c - xenstore nodes as records: there and back, hostile ones (INV-31)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libxc-ext/nodes.h"

static char why[200];

static int add(struct nodes *l, enum node_root root, const char *path,
	       const char *value)
{
	struct node n = {
		.root = root, .path = (char *)path,
		.value = (uint8_t *)value, .value_len = strlen(value),
		.perms = { { 0, 0 }, { 3, 1 } }, .nperms = 2,
	};

	return nodes_add(l, &n);
}

static void there_and_back(void **state)
{
	struct nodes a = { 0 }, b = { 0 };
	struct recbuf buf = { 0 };
	const struct node *n;

	(void)state;
	assert_int_equal(add(&a, NODE_VM, "", ""), 0);
	assert_int_equal(add(&a, NODE_DOMAIN, "b/c", "old"), 0);
	assert_int_equal(add(&a, NODE_DOMAIN, "b", ""), 0);
	assert_int_equal(add(&a, NODE_DOMAIN, "b-a", "x"), 0);
	assert_int_equal(add(&a, NODE_DOMAIN, "", ""), 0);
	assert_int_equal(add(&a, NODE_DOMAIN, "b/c", "new"), 0);
	assert_int_equal(nodes_add_watch(&a, "control/shutdown",
					 "FFFF8880"), 0);
	assert_int_equal(a.n, 5);
	assert_string_equal(a.node[0].path, "");
	assert_string_equal(a.node[1].path, "b");
	assert_int_equal(nodes_put(&a, &buf), 0);
	/* Records of others are none of its business. */
	assert_int_equal(recbuf_add(&buf, 0x1000, 0, 0, "x", 1), 0);

	assert_int_equal(add(&b, NODE_DOMAIN, "gone", ""), 0);
	assert_int_equal(nodes_get(&b, buf.bytes, buf.used, why,
				   sizeof(why)), 0);
	assert_int_equal(b.n, 5);
	n = nodes_find(&b, NODE_DOMAIN, "b/c");
	assert_non_null(n);
	assert_string_equal((char *)n->value, "new");
	assert_int_equal(n->nperms, 2);
	assert_int_equal(n->perms[1].domid, 3);
	assert_int_equal(b.nwatch, 1);
	assert_string_equal(b.watch[0].token, "FFFF8880");

	nodes_drop(&b, NODE_DOMAIN, "b");
	assert_null(nodes_find(&b, NODE_DOMAIN, "b/c"));
	assert_non_null(nodes_find(&b, NODE_DOMAIN, "b-a"));
	assert_non_null(nodes_find(&b, NODE_VM, ""));
	nodes_drop(&b, NODE_DOMAIN, "");
	assert_int_equal(b.n, 1);
	nodes_free(&a);
	nodes_free(&b);
	recbuf_free(&buf);
}

static void paths(void **state)
{
	static const char *const bad[] = {
		"/a", "a/", "a//b", "a b", "a.b", "../x", "a\n", "a:b",
	};
	char deep[2 * NODE_DEPTH_MAX + 2] = "a";
	char longest[NODE_PATH_MAX + 2];
	struct nodes l = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(add(&l, NODE_DOMAIN, bad[i], ""), -1);
		assert_int_equal(errno, EINVAL);
	}
	for (i = 1; i < NODE_DEPTH_MAX; i++)
		strcat(deep, "/a");
	assert_int_equal(add(&l, NODE_DOMAIN, deep, ""), 0);
	strcat(deep, "/a");
	assert_int_equal(add(&l, NODE_DOMAIN, deep, ""), -1);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(add(&l, NODE_DOMAIN, longest, ""), -1);
	longest[NODE_PATH_MAX] = 0;
	assert_int_equal(add(&l, NODE_DOMAIN, longest, ""), 0);
	assert_int_equal(add(&l, NODE_ROOTS, "a", ""), -1);
	assert_int_equal(l.n, 2);
	nodes_free(&l);
}

static void limits(void **state)
{
	struct nodes l = { 0 };
	char path[16];
	unsigned int i;

	(void)state;
	for (i = 0; i < NODES_MAX; i++) {
		snprintf(path, sizeof(path), "n%u", i);
		assert_int_equal(add(&l, NODE_DOMAIN, path, ""), 0);
	}
	assert_int_equal(add(&l, NODE_DOMAIN, "one-more", ""), -1);
	assert_int_equal(errno, E2BIG);
	assert_int_equal(add(&l, NODE_DOMAIN, "n7", "still"), 0);
	for (i = 0; i < NODES_WATCHES_MAX; i++)
		assert_int_equal(nodes_add_watch(&l, "@releaseDomain", "t"), 0);
	assert_int_equal(nodes_add_watch(&l, "device", "t"), -1);
	assert_int_equal(errno, E2BIG);
	nodes_free(&l);
	assert_int_equal(nodes_add_watch(&l, "a b", "t"), -1);
	assert_int_equal(nodes_add_watch(&l, "", "t"), -1);
	assert_int_equal(nodes_add_watch(&l, "a", ""), -1);
	assert_int_equal(nodes_add_watch(&l, "a", "t\nwatch D5: x y"), -1);
	nodes_free(&l);
}

/* Each byte of a list of records changed in each bit: taken or refused as a
 * whole, the list that was there stays if refused. */
static void bits_flipped(void **state)
{
	struct nodes l = { 0 };
	struct recbuf buf = { 0 };
	size_t i, refused = 0;

	(void)state;
	why[0] = 0;
	add(&l, NODE_DOMAIN, "", "");
	add(&l, NODE_DOMAIN, "data/x", "value");
	nodes_add_watch(&l, "device", "FFFF");
	assert_int_equal(nodes_put(&l, &buf), 0);
	nodes_free(&l);
	add(&l, NODE_LIBXL, "before", "");
	for (i = 0; i < buf.used * 8; i++) {
		uint8_t *copy = malloc(buf.used);

		assert_non_null(copy);
		memcpy(copy, buf.bytes, buf.used);
		copy[i / 8] ^= (uint8_t)(1u << i % 8);
		if (nodes_get(&l, copy, buf.used, why, sizeof(why))) {
			assert_int_equal(errno, EPROTO);
			assert_int_equal(l.n, 1);
			assert_non_null(nodes_find(&l, NODE_LIBXL, "before"));
			refused++;
		} else {
			nodes_free(&l);
			add(&l, NODE_LIBXL, "before", "");
		}
		free(copy);
	}
	assert_in_range(refused, 1, buf.used * 8);
	for (i = 1; i < buf.used; i++) {	/* cut short */
		uint8_t *copy = malloc(i);

		assert_non_null(copy);
		memcpy(copy, buf.bytes, i);
		nodes_get(&l, copy, i, why, sizeof(why));
		free(copy);
	}
	nodes_free(&l);
	recbuf_free(&buf);
}

/* Lists inside the record that nodes_put() would not write. */
static void hostile_lists(void **state)
{
	struct nodes l = { 0 };
	struct recbuf buf = { 0 }, twice = { 0 };
	struct record all;

	(void)state;
	assert_int_equal(nodes_get(&l, NULL, 0, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "no xenstore nodes"));

	add(&l, NODE_DOMAIN, "a", "");
	assert_int_equal(nodes_put(&l, &buf), 0);
	assert_int_equal(record_find(buf.bytes, buf.used, RECORD_STORE, 0,
				     &all), 1);
	assert_true(all.flags & RECORD_STICKY);
	memcpy(recbuf_reserve(&twice, RECORD_STORE, 0, 0, 2 * all.length),
	       all.data, all.length);
	memcpy(twice.bytes + sizeof(struct record_head) + all.length,
	       all.data, all.length);
	assert_int_equal(nodes_get(&l, twice.bytes, twice.used, why,
				   sizeof(why)), -1);
	assert_non_null(strstr(why, "malformed"));

	recbuf_reset(&twice);
	assert_int_equal(recbuf_add(&buf, 0x1000, 0, 0, "x", 1), 0);
	assert_int_equal(recbuf_add(&twice, RECORD_STORE, 0, 0, buf.bytes,
				    buf.used), 0);
	assert_int_equal(nodes_get(&l, twice.bytes, twice.used, why,
				   sizeof(why)), -1);
	nodes_free(&l);
	recbuf_free(&buf);
	recbuf_free(&twice);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(paths),
		cmocka_unit_test(limits),
		cmocka_unit_test(bits_flipped),
		cmocka_unit_test(hostile_lists),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
