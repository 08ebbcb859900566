// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_device.c - disks and network cards from another host's nodes, hostile
 * ones too (INV-39)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libxc-ext/device.h"

static char why[200];

static void put(struct nodes *l, enum node_root root, const char *path,
		const char *value)
{
	struct node n = {
		.root = root, .path = (char *)path,
		.value = (uint8_t *)value, .value_len = strlen(value),
	};

	assert_int_equal(nodes_add(l, &n), 0);
}

/* A guest with a disk and a card, as xl makes them. */
static void guest(struct nodes *l)
{
	memset(l, 0, sizeof(*l));
	put(l, NODE_VBD, "", "");
	put(l, NODE_VBD, "51712", "");
	put(l, NODE_VBD, "51712/params", "/dev/nbd0");
	put(l, NODE_VBD, "51712/script", "/etc/xen/scripts/block");
	put(l, NODE_VBD, "51712/mode", "w");
	put(l, NODE_VBD, "51712/type", "phy");
	put(l, NODE_VBD, "51712/dev", "xvda");
	put(l, NODE_VBD, "51712/sectors", "32768");
	put(l, NODE_VIF, "0/script", "vif-bridge");
	put(l, NODE_VIF, "0/mac", "00:16:3e:01:02:0a");
	put(l, NODE_VIF, "0/handle", "0");
	put(l, NODE_VIF, "0/type", "vif");
	put(l, NODE_VIF, "0/bridge", "xenbr0");
	put(l, NODE_LIBXL, "device/vbd/51712/backend",
	    "/local/domain/0/backend/vbd/1/51712");
	put(l, NODE_DOMAIN, "device/vbd/51712/ring-page-order", "2");
}

static void what_travels(void **state)
{
	(void)state;
	assert_true(device_travels(NODE_DOMAIN, "device/vbd/51712/state"));
	assert_true(device_travels(NODE_VBD, ""));
	assert_true(device_travels(NODE_VBD, "51712"));
	assert_true(device_travels(NODE_VBD, "51712/params"));
	assert_true(device_travels(NODE_VBD, "51712/sectors"));
	assert_true(device_travels(NODE_VIF, "0/mac"));
	/* About one host, or about one moment. */
	assert_false(device_travels(NODE_VBD, "51712/physical-device"));
	assert_false(device_travels(NODE_VBD, "51712/physical-device-path"));
	assert_false(device_travels(NODE_VBD, "51712/node"));
	assert_false(device_travels(NODE_VBD, "51712/state"));
	assert_false(device_travels(NODE_VBD, "51712/hotplug-error"));
	assert_false(device_travels(NODE_VIF, "0/hotplug-status"));
	assert_false(device_travels(NODE_VIF, "0/frontend"));
	assert_false(device_travels(NODE_VIF, "0/params"));
	assert_false(device_travels(NODE_VBD, "51712/params/x"));
	assert_false(device_travels(NODE_VBD, "051712"));
	assert_false(device_travels(NODE_VBD, "xvda"));
	assert_false(device_travels(NODE_VBD, "5368709120"));
}

static void listed(void **state)
{
	char title[DEVICE_TITLE_MAX], name[DEVICE_IFNAME_MAX + 1];
	struct device d;
	struct nodes l;
	size_t pos = 0;

	(void)state;
	guest(&l);
	assert_int_equal(devices_check(&l, why, sizeof(why)), 0);
	assert_true(device_next(&l, &pos, &d));
	assert_int_equal(d.root, NODE_VBD);
	assert_int_equal(d.id, 51712);
	device_title(&l, &d, title);
	assert_string_equal(title, "disk xvda");
	assert_true(device_writable(&l, &d));
	assert_string_equal(device_front(&l, &d, "ring-page-order"), "2");
	assert_null(device_front(&l, &d, "multi-queue-num-queues"));
	put(&l, NODE_VBD, "51712/mode", "r");
	assert_false(device_writable(&l, &d));
	assert_true(device_next(&l, &pos, &d));
	assert_int_equal(d.root, NODE_VIF);
	device_title(&l, &d, title);
	assert_string_equal(title, "network card 0");
	device_netdev(&l, &d, 17, name);
	assert_string_equal(name, "vif17.0");
	assert_false(device_next(&l, &pos, &d));
	put(&l, NODE_VIF, "0/vifname", "web0");
	device_netdev(&l, &d, 17, name);
	assert_string_equal(name, "web0");
	nodes_free(&l);
}

static void scripts(void **state)
{
	static const char *const bad[] = {
		"", "/", ".", "..", "../block", "/etc/xen/scripts/",
		"/etc/xen/scripts/../x", "/etc/xen/scripts//block",
		"/etc/xen/scripts/a/b", "/etc/xen/block", "/tmp/x", "block ",
		"-c", ".hidden", "a;b", "$(x)", "block\n",
		"etc/xen/scripts/block",
	};
	char longest[DEVICE_SCRIPT_MAX + 2];
	size_t i;

	(void)state;
	assert_string_equal(device_script("block"), "block");
	assert_string_equal(device_script("/etc/xen/scripts/vif-bridge"),
			    "vif-bridge");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(device_script(bad[i]));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(device_script(longest));
	assert_non_null(device_script(longest + 1));
}

/* One value changed at a time: refused, and the sentence names it. */
static void hostile_values(void **state)
{
	static const struct {
		enum node_root root;
		const char *path, *value, *says;
	} bad[] = {
		{ NODE_VBD, "51712/script", "/tmp/evil", "script \"/tmp/evil\"" },
		{ NODE_VBD, "51712/script", "../../../tmp/evil", "script" },
		{ NODE_VBD, "51712/params", "/dev/nbd0; reboot", "params" },
		{ NODE_VBD, "51712/params", "$(reboot)", "params" },
		{ NODE_VBD, "51712/params", "-d", "params" },
		{ NODE_VBD, "51712/params", "", "params" },
		{ NODE_VBD, "51712/params", "/dev/nbd0\nx", "params" },
		{ NODE_VBD, "51712/mode", "rw", "mode \"rw\"" },
		{ NODE_VBD, "51712/mode", "r w", "mode" },
		{ NODE_VBD, "51712/mode", "w!", "mode" },
		{ NODE_VBD, "51712/type", "tap", "type" },
		{ NODE_VBD, "51712/dev", "../x", "dev" },
		{ NODE_VBD, "51712/sectors", "many", "sectors" },
		{ NODE_VBD, "51712/physical-device", "8:0", "physical-device" },
		{ NODE_VBD, "51712/online", "1", "online" },
		{ NODE_VBD, "051712/params", "/dev/nbd0", "051712" },
		{ NODE_VBD, "51713", "", "no params" },
		{ NODE_VIF, "0/script", "/etc/passwd", "script" },
		{ NODE_VIF, "0/mac", "00:16:3e:01:02", "mac" },
		{ NODE_VIF, "0/mac", "01:16:3e:01:02:0a", "mac" },
		{ NODE_VIF, "0/mac", "0:0:0:0:0:0:0:0:0", "mac" },
		{ NODE_VIF, "0/bridge", "xenbr0 up", "bridge" },
		{ NODE_VIF, "0/bridge", "a-very-long-bridge", "bridge" },
		{ NODE_VIF, "0/vifname", "`x`", "vifname" },
		{ NODE_VIF, "0/vifname", "vif3.0", "vifname" },
		{ NODE_VIF, "0/vifname", "-x", "vifname" },
		{ NODE_VIF, "0/handle", "1", "handle" },
		{ NODE_VIF, "0/ip", "10.0.0.1\\; x", "ip" },
		{ NODE_VIF, "0/mtu", "1500x", "mtu" },
		{ NODE_VIF, "0/type", "vif_ioemu", "type" },
	};
	struct nodes l;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		guest(&l);
		put(&l, bad[i].root, bad[i].path, bad[i].value);
		why[0] = '\0';
		assert_int_equal(devices_check(&l, why, sizeof(why)), -1);
		assert_int_equal(errno, EPROTO);
		if (!strstr(why, bad[i].says))
			fail_msg("%s = \"%s\": says \"%s\"", bad[i].path,
				 bad[i].value, why);
		nodes_free(&l);
	}
}

/* A value with a NUL in it is no value. */
static void hidden_tail(void **state)
{
	struct node n = {
		.root = NODE_VBD, .path = (char *)"51712/params",
		.value = (uint8_t *)"/dev/nbd0\0x", .value_len = 11,
	};
	struct nodes l;

	(void)state;
	guest(&l);
	assert_int_equal(nodes_add(&l, &n), 0);
	assert_int_equal(devices_check(&l, why, sizeof(why)), -1);
	nodes_free(&l);
}

static void limits(void **state)
{
	static const char *const key[] = { "script", "type", "mode", "params",
					   "dev" };
	static const char *const value[] = { "block", "phy", "r", "/dev/x",
					     "xvdb" };
	struct nodes l;
	char path[32];
	unsigned int n, k;

	(void)state;
	guest(&l);
	for (n = 0; n < DEVICES_MAX - 1; n++) {
		assert_int_equal(devices_check(&l, why, sizeof(why)), 0);
		for (k = 0; k < 5; k++) {
			snprintf(path, sizeof(path), "%u/%s", 51728 + n,
				 key[k]);
			put(&l, NODE_VBD, path, value[k]);
		}
	}
	assert_int_equal(devices_check(&l, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "64"));
	nodes_free(&l);
}

static void two_of_a_name(void **state)
{
	struct nodes l;

	(void)state;
	guest(&l);
	put(&l, NODE_VIF, "0/vifname", "web");
	put(&l, NODE_VIF, "1/script", "vif-bridge");
	put(&l, NODE_VIF, "1/mac", "00:16:3e:01:02:0b");
	put(&l, NODE_VIF, "1/handle", "1");
	put(&l, NODE_VIF, "1/type", "vif");
	assert_int_equal(devices_check(&l, why, sizeof(why)), 0);
	put(&l, NODE_VIF, "1/vifname", "web");
	assert_int_equal(devices_check(&l, why, sizeof(why)), -1);
	nodes_free(&l);
}

static void same(void **state)
{
	char odd[DEVICE_TITLE_MAX];
	struct nodes a, b;

	(void)state;
	guest(&a);
	guest(&b);
	assert_true(devices_same(&a, &b, odd));
	put(&b, NODE_VBD, "51712/sectors", "65536");	/* it grew */
	put(&b, NODE_DOMAIN, "device/vbd/51712/state", "4");
	assert_true(devices_same(&a, &b, odd));
	put(&b, NODE_VBD, "51712/params", "/dev/nbd1");
	assert_false(devices_same(&a, &b, odd));
	assert_string_equal(odd, "disk xvda");
	nodes_drop(&b, NODE_VBD, "51712");
	assert_false(devices_same(&a, &b, odd));
	assert_string_equal(odd, "disk xvda");
	assert_false(devices_same(&b, &a, odd));
	nodes_free(&a);
	nodes_free(&b);
}

static void expect(const struct nodes *l, enum node_root root,
		   const char *path, const char *value)
{
	const struct node *n = nodes_find(l, root, path);

	if (!n)
		fail_msg("no %s", path);
	assert_string_equal((const char *)n->value, value);
}

/* What is made is of this host: another domain's number, our directory. */
static void made(void **state)
{
	struct nodes l, to = { 0 };
	const struct node *n;

	(void)state;
	guest(&l);
	assert_int_equal(devices_new(&l, 17, &to), 0);
	expect(&to, NODE_VBD, "51712/params", "/dev/nbd0");
	expect(&to, NODE_VBD, "51712/script", "/etc/xen/scripts/block");
	expect(&to, NODE_VBD, "51712/frontend",
	       "/local/domain/17/device/vbd/51712");
	expect(&to, NODE_VBD, "51712/frontend-id", "17");
	expect(&to, NODE_VBD, "51712/state", "1");
	assert_null(nodes_find(&to, NODE_VBD, "51712/sectors"));
	expect(&to, NODE_VIF, "0/script", "/etc/xen/scripts/vif-bridge");
	expect(&to, NODE_VIF, "0/hotplug-status", "");
	/* Nothing for a backend to attach to. */
	expect(&to, NODE_DOMAIN, "device/vbd/51712/state", "1");
	expect(&to, NODE_DOMAIN, "device/vif/0/backend",
	       "/local/domain/0/backend/vif/17/0");
	assert_null(nodes_find(&to, NODE_DOMAIN,
			       "device/vbd/51712/ring-page-order"));
	n = nodes_find(&to, NODE_VBD, "51712");
	assert_int_equal(n->nperms, 2);
	assert_int_equal(n->perms[0].domid, 0);
	assert_int_equal(n->perms[1].domid, 17);
	n = nodes_find(&to, NODE_DOMAIN, "device/vif/0");
	assert_int_equal(n->perms[0].domid, 17);

	put(&to, NODE_LIBXL, "device/vbd/768/backend", "/of/another");
	put(&to, NODE_LIBXL, "device/console/0/backend", "/stays");
	assert_int_equal(devices_libxl(&l, 17, &to), 0);
	assert_null(nodes_find(&to, NODE_LIBXL, "device/vbd/768/backend"));
	expect(&to, NODE_LIBXL, "device/console/0/backend", "/stays");
	expect(&to, NODE_LIBXL, "device/vbd/51712/backend",
	       "/local/domain/0/backend/vbd/17/51712");
	expect(&to, NODE_LIBXL, "device/vif/0/mac", "00:16:3e:01:02:0a");
	nodes_free(&l);
	nodes_free(&to);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(what_travels),
		cmocka_unit_test(listed),
		cmocka_unit_test(scripts),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(hidden_tail),
		cmocka_unit_test(limits),
		cmocka_unit_test(two_of_a_name),
		cmocka_unit_test(same),
		cmocka_unit_test(made),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
