// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device-test.c - disks and network cards of a standby, in a real dom0
 *
 *	device-test COMMAND DOMID FILE [N|KEY VALUE]
 *
 * FILE is what `store-test save` wrote about a guest of another host.  An empty
 * domain of number DOMID stands for its standby.
 *	build	its backends open and wait; it stays
 *	cycles	the same N times, and it goes each time
 *	accept	the value of KEY becomes VALUE: with a fence that is built
 *	refuse	the value of KEY (vbd/51712/params) becomes VALUE: what is said
 *		of that build, and of one without a fence ("KEY" -)
 * Exit status 0 if it held; tests/system/devices.sh looks from outside.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "libxc-ext/device.h"
#include "libxc-ext/xen_backend.h"
#include "libxc-ext/xen_store.h"

enum { FILE_MAX_LEN = 1 << 20, VALUE_PATH_MAX = 256 };

static xc_interface *xch;
static struct xs_handle *xs;
static uint32_t domid;
static uint8_t saved[FILE_MAX_LEN];
static struct recbuf records;
static struct xen_store *store;
static unsigned int failures;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "device-test: %s: %s\n", what, why);
	exit(2);
}

#define EXPECT(condition) do { \
	if (!(condition)) { \
		printf("FAIL line %d: %s\n", __LINE__, #condition); \
		failures++; \
	} \
} while (0)

static void load(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t len = f ? fread(saved, 1, sizeof(saved), f) : 0;

	if (len <= 16)
		die(path, strerror(errno));
	fclose(f);
	records.bytes = saved + 16;
	records.used = len - 16;
}

static void create(void)
{
	struct xen_domctl_createdomain c = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
		.max_vcpus = 1, .max_grant_frames = 4,
		.max_maptrack_frames = 1, .max_evtchn_port = 1023,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch.emulation_flags = XEN_X86_EMU_LAPIC,
	};
	char why[PLATFORM_WHY_MAX];

	memcpy(c.handle, saved, sizeof(c.handle));
	if (xc_domain_create(xch, &domid, &c))
		die("creating an empty domain", strerror(errno));
	if (xen_store_open(&store, xch, domid, saved, why))
		die("open", why);
}

static void destroy(void)
{
	if (xen_store_remove(store))
		die("remove", xen_store_why(store));
	if (xc_domain_destroy(xch, domid))
		die("destroy", strerror(errno));
	if (xen_store_remove(store))
		die("remove", xen_store_why(store));
	xen_store_close(store);
	store = NULL;
}

static void expect_value(const struct device *d, bool back, const char *key,
			 const char *want)
{
	char path[VALUE_PATH_MAX], *value;

	if (back)
		snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u/%u/%s",
			 device_kind(d), domid, d->id, key);
	else
		snprintf(path, sizeof(path), "/local/domain/%u/device/%s/%u/%s",
			 domid, device_kind(d), d->id, key);
	value = xs_read(xs, XBT_NULL, path, NULL);
	if (!value || strcmp(value, want)) {
		printf("FAIL %s = \"%s\", not \"%s\"\n", path,
		       value ? value : "(none)", want);
		failures++;
	}
	free(value);
}

/* INV-38: opened, bridged, and nothing to attach to. */
static void expect_waiting(void)
{
	const struct nodes *l = xen_store_nodes(store);
	struct device d;
	size_t pos = 0, n = 0;

	while (device_next(l, &pos, &d)) {
		expect_value(&d, true, "state", "2");
		expect_value(&d, true, "hotplug-status", "connected");
		expect_value(&d, false, "state", "1");
		n++;
	}
	EXPECT(n == 2);
	EXPECT(xen_backends_attached(store) == 0);
	EXPECT(xen_backends_ready(store) == 0);
}

static int build(enum platform_xen_storage how)
{
	create();
	if (xen_store_standby(store, records.bytes, records.used))
		return -1;
	return xen_backends_open(store, how);
}

static void cmd_build(void)
{
	if (build(PLATFORM_XEN_UNSAFE))
		die("build", xen_store_why(store));
	expect_waiting();
}

static void cmd_cycles(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		cmd_build();
		destroy();
	}
	printf("%lu times built and destroyed\n", n);
}

/* "vbd/51712/params" and such, or "domain/..." for the guest's own. */
static void change(const char *key, const char *value)
{
	struct node n = {
		.root = !strncmp(key, "vbd/", 4) ? NODE_VBD :
			!strncmp(key, "vif/", 4) ? NODE_VIF : NODE_DOMAIN,
		.path = strchr(key, '/') + 1,
		.value = (uint8_t *)value, .value_len = strlen(value),
	};
	struct nodes l = { 0 };
	struct recbuf b = { 0 };
	char why[200];

	if (nodes_get(&l, records.bytes, records.used, why, sizeof(why)))
		die("records", why);
	if (nodes_add(&l, &n) || nodes_put(&l, &b))
		die("records", strerror(errno));
	nodes_free(&l);
	records = b;
}

static void cmd_refuse(const char *key, const char *value)
{
	enum platform_xen_storage how = PLATFORM_XEN_UNSAFE;

	if (!strcmp(key, "unfenced"))
		how = PLATFORM_XEN_UNFENCED;
	else if (!strcmp(key, "fenced"))
		how = PLATFORM_XEN_FENCED;
	else
		change(key, value);
	EXPECT(build(how) == -1);
	printf("%s\n", xen_store_why(store));
	destroy();
}

static void cmd_accept(const char *key, const char *value)
{
	change(key, value);
	if (build(PLATFORM_XEN_FENCED))
		die("build", xen_store_why(store));
	expect_waiting();
	destroy();
}

int main(int argc, char **argv)
{
	const char *cmd = argc > 3 ? argv[1] : "";

	xch = xc_interface_open(NULL, NULL, 0);
	xs = xs_open(0);
	if (!xch || !xs)
		die("no Xen here", strerror(errno));
	if (argc > 3) {
		domid = (uint32_t)strtoul(argv[2], NULL, 10);
		load(argv[3]);
	}
	if (!strcmp(cmd, "build"))
		cmd_build();
	else if (!strcmp(cmd, "cycles") && argc == 5)
		cmd_cycles(strtoul(argv[4], NULL, 10));
	else if (!strcmp(cmd, "accept") && argc == 6 && strchr(argv[4], '/'))
		cmd_accept(argv[4], argv[5]);
	else if (!strcmp(cmd, "refuse") && argc == 6 && strchr(argv[4], '/'))
		cmd_refuse(argv[4], argv[5]);
	else if (!strcmp(cmd, "refuse") && argc == 5)
		cmd_refuse(argv[4], "");
	else {
		fprintf(stderr, "usage: device-test COMMAND DOMID FILE [N|KEY VALUE]\n");
		return 2;
	}
	xen_store_close(store);
	xs_close(xs);
	xc_interface_close(xch);
	return failures ? 1 : 0;
}
