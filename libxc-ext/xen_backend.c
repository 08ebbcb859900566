// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_backend.c - backends of a standby: opened, waiting, attached, closed
 */
#include "libxc-ext/xen_backend.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libxc-ext/device.h"
#include "libxc-ext/disk.h"
#include "libxc-ext/hotplug.h"
#include "libxc-ext/xen_store_priv.h"

/* Of the nodes "state": those that are asked for here. */
enum { GONE = 0, INIT_WAIT = 2, CONNECTED = 4, CLOSED = 6 };

enum { DETAIL_MAX = 160 };

/** struct work - one device, on its way */
struct work {
	struct device d;
	pid_t script;			/* 0: none runs */
};

static int failed(struct xen_store *s, const struct device *d, int err,
		  const char *what)
{
	char title[DEVICE_TITLE_MAX];

	device_title(&s->now, d, title);
	return store_fail(s, err, "%s: %s", title, what);
}

/* Path of the backend's directory, or of the node @key in it. */
static void back_path(const struct xen_store *s, const struct device *d,
		      const char *key, char *full)
{
	char node[64];

	snprintf(node, sizeof(node), "%u%s%s", d->id, *key ? "/" : "", key);
	store_path(s, d->root, node, full);
}

/* A node of the backend's, malloced, or NULL. */
static char *back_value(struct xen_store *s, const struct device *d,
			const char *key)
{
	char full[STORE_PATH_MAX];

	back_path(s, d, key, full);
	return xs_read(s->xs, XBT_NULL, full, NULL);
}

static unsigned int back_state(struct xen_store *s, const struct device *d)
{
	char *value = back_value(s, d, "state");
	unsigned int state = value ? (unsigned int)strtoul(value, NULL, 10) :
				     GONE;

	free(value);
	return state;
}

static bool back_says(struct xen_store *s, const struct device *d,
		      const char *key, const char *word)
{
	char *value = back_value(s, d, key);
	bool same = value && !strcmp(value, word);

	free(value);
	return same;
}

/* What the kernel's backend has written about its trouble, or "". */
static void back_error(struct xen_store *s, const struct device *d, char *text)
{
	char path[96], *value;

	snprintf(path, sizeof(path),
		 "/local/domain/0/error/backend/%s/%u/%u/error",
		 device_kind(d), s->domid, d->id);
	value = xs_read(s->xs, XBT_NULL, path, NULL);
	snprintf(text, DETAIL_MAX, "%s%.120s", value ? ": " : "",
		 value ? value : "");
	free(value);
}

/* Does the kernel's driver have it, with the file @file in its directory? */
static bool kernel_has(struct xen_store *s, const struct device *d,
		       const char *file)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/%s-%u-%u/%s",
		 device_kind(d), s->domid, d->id, file);
	return !access(path, F_OK);
}

/* --- the script -------------------------------------------------------- */

static int start_script(struct xen_store *s, struct work *w, bool add)
{
	char path[sizeof(DEVICE_SCRIPT_DIR) + DEVICE_SCRIPT_MAX + 1];
	char why[HOTPLUG_WHY_MAX], xenbus[64], netdev[32];
	const struct device *d = &w->d;
	bool card = d->root == NODE_VIF;
	const char *arg[3] = { add ? "add" : "remove", NULL, NULL };
	char *value = back_value(s, d, "script"), *gateway = NULL;
	const char *name = value ? device_script(value) : NULL;
	int rc = -1;

	if (card) {
		arg[0] = add ? "online" : "offline";
		arg[1] = "type_if=vif";
		gateway = back_value(s, d, "gatewaydev");
	}
	snprintf(xenbus, sizeof(xenbus), "backend/%s/%u/%u", device_kind(d),
		 s->domid, d->id);
	/* The name before a script renames it. */
	snprintf(netdev, sizeof(netdev), "vif%u.%u", s->domid, d->id);
	if (!name) {
		failed(s, d, EACCES, "no script in " DEVICE_SCRIPT_DIR
		       " is named");
	} else if (hotplug_path(DEVICE_SCRIPT_DIR, name, 0, path,
				sizeof(path), why)) {
		failed(s, d, errno, why);
	} else {
		const struct hotplug_env env[] = {
			{ "script", path },
			{ "XENBUS_TYPE", device_kind(d) },
			{ "XENBUS_PATH", xenbus },
			{ "XENBUS_BASE_PATH", "backend" },
			{ "netdev", gateway ? gateway : "" },
			{ "vif", netdev },
		};

		w->script = hotplug_start(path, arg, env, card ? 6 : 4);
		rc = w->script > 0 ? 0 : failed(s, d, errno, "its script does not start");
	}
	free(value);
	free(gateway);
	return rc;
}

/* Its end, and what it says of a failure. */
static int end_script(struct xen_store *s, struct work *w, uint64_t deadline)
{
	char why[HOTPLUG_WHY_MAX], what[HOTPLUG_WHY_MAX + DETAIL_MAX + 32];
	char *said, *params;
	pid_t pid = w->script;
	int err;

	w->script = 0;
	if (!pid || !hotplug_wait(pid, deadline, why))
		return 0;
	err = errno;
	said = back_value(s, &w->d, "hotplug-error");
	params = back_value(s, &w->d, "params");
	if (said)
		snprintf(what, sizeof(what), "%.*s", DETAIL_MAX, said);
	else
		snprintf(what, sizeof(what), "its script%s%.*s: %s",
			 params ? ", given " : "", DETAIL_MAX,
			 params ? params : "", why);
	free(params);
	free(said);
	return failed(s, &w->d, err, what);
}

/* --- opening ----------------------------------------------------------- */

static size_t list(const struct nodes *l, struct work *w)
{
	size_t n = 0, pos = 0;

	while (n < DEVICES_MAX && device_next(l, &pos, &w[n].d))
		w[n++].script = 0;
	return n;
}

static int wait_probed(struct xen_store *s, const struct device *d,
		       uint64_t deadline)
{
	unsigned int state;
	char what[64 + DETAIL_MAX], error[DETAIL_MAX];

	while ((state = back_state(s, d)) != INIT_WAIT) {
		if (hotplug_now() >= deadline || state > INIT_WAIT) {
			back_error(s, d, error);
			snprintf(what, sizeof(what), "its backend is in state %u, not waiting%s%s",
				 state, error, state == 1 ?
				 "; is its driver loaded?" : "");
			return failed(s, d, ENODEV, what);
		}
		hotplug_nap();
	}
	return 0;
}

static int get_disk(struct xen_store *s, const struct device *d,
		    struct disk_number *dev)
{
	char *value = back_value(s, d, "physical-device");
	int rc = value ? disk_number(value, dev) : -1;

	free(value);
	return rc ? failed(s, d, ENODEV, "its script names no block device") :
		    0;
}

/* The guest knows its disk's size, and will not ask again. */
static int check_size(struct xen_store *s, const struct device *d,
		      struct disk_number dev)
{
	const char *value = device_value(&s->now, d, "sectors");
	uint64_t sectors, want;
	char what[DETAIL_MAX];

	if (!value)
		return failed(s, d, EPROTO, "its size is not known");
	want = strtoull(value, NULL, 10);
	if (disk_size(&disk_this_host, dev, &sectors))
		return failed(s, d, errno, "its size cannot be read");
	if (sectors == want)
		return 0;
	snprintf(what, sizeof(what), "%llu sectors here; the rule is as many as on the other host, %llu",
		 (unsigned long long)sectors, (unsigned long long)want);
	return failed(s, d, EMEDIUMTYPE, what);
}

static int check_storage(struct xen_store *s, const struct device *d,
			 struct disk_number dev, enum platform_xen_storage how)
{
	char why[DISK_WHY_MAX], what[DISK_WHY_MAX + 64];

	if (how == PLATFORM_XEN_UNSAFE || !device_writable(&s->now, d))
		return 0;
	if (!disk_shared(&disk_this_host, dev, why))
		return 0;
	snprintf(what, sizeof(what), "%s; the rule is storage that both hosts see",
		 why);
	return failed(s, d, EPERM, what);
}

/* Can this host's backend serve what the guest and the other one agreed on? */
static int check_limit(struct xen_store *s, const struct device *d,
		       const char *front, const char *back)
{
	const char *asked = device_front(&s->now, d, front);
	char *most = asked ? back_value(s, d, back) : NULL;
	unsigned long want = asked ? strtoul(asked, NULL, 10) : 0;
	unsigned long can = most ? strtoul(most, NULL, 10) : 0;
	char what[DETAIL_MAX];
	int rc = 0;

	if (want > can) {
		snprintf(what, sizeof(what), "the guest uses %.32s = %lu; this host's backend can do %lu",
			 front, want, can);
		rc = failed(s, d, EMEDIUMTYPE, what);
	}
	free(most);
	return rc;
}

static int check_limits(struct xen_store *s, const struct device *d)
{
	if (check_limit(s, d, "multi-queue-num-queues",
			"multi-queue-max-queues"))
		return -1;
	return d->root == NODE_VBD ?
	       check_limit(s, d, "ring-page-order", "max-ring-page-order") : 0;
}

static int finish_disk(struct xen_store *s, const struct device *d,
		       enum platform_xen_storage how, uint64_t deadline)
{
	struct disk_number dev = { 0 };
	char error[DETAIL_MAX], what[DETAIL_MAX + 32];

	if (get_disk(s, d, &dev) || check_size(s, d, dev) ||
	    check_storage(s, d, dev, how))
		return -1;
	while (!kernel_has(s, d, "physical_device")) {
		back_error(s, d, error);
		if (*error || hotplug_now() >= deadline) {
			snprintf(what, sizeof(what), "its backend has not opened it%s",
				 error);
			return failed(s, d, ENODEV, what);
		}
		hotplug_nap();
	}
	return 0;
}

static int finish(struct xen_store *s, const struct device *d,
		  enum platform_xen_storage how, uint64_t deadline)
{
	if (d->root == NODE_VBD)
		return finish_disk(s, d, how, deadline);
	while (!back_says(s, d, "hotplug-status", "connected")) {
		if (hotplug_now() >= deadline)
			return failed(s, d, ENODEV, "its script does not say that it is connected");
		hotplug_nap();
	}
	return 0;
}

/* Before anything is opened. */
static int check_fence(struct xen_store *s, const struct work *w, size_t n,
		       enum platform_xen_storage how)
{
	size_t i;

	for (i = 0; i < n && how == PLATFORM_XEN_UNFENCED; i++)
		if (device_writable(&s->now, &w[i].d))
			return failed(s, &w[i].d, EPERM,
				      "the guest can write to it; the rule is a fence for the other host's storage (docs/STORAGE.md), or that the operator says that it is unsafe");
	return 0;
}

int xen_backends_open(struct xen_store *s, enum platform_xen_storage how)
{
	uint64_t deadline = hotplug_now() + BACKEND_OPEN_MS;
	char why[PLATFORM_WHY_MAX];
	struct work w[DEVICES_MAX];
	size_t n = list(&s->now, w), i;
	int rc, err;

	if (!n)
		return 0;
	rc = check_fence(s, w, n, how);
	for (i = 0; i < n && !rc; i++)
		rc = wait_probed(s, &w[i].d, deadline) ||
		     check_limits(s, &w[i].d) ? -1 : 0;
	for (i = 0; i < n && !rc; i++)
		rc = start_script(s, &w[i], true);
	/* Each that runs must end, whatever became of the others. */
	err = errno;
	memcpy(why, s->why, sizeof(why));
	for (i = 0; i < n; i++) {
		if (!end_script(s, &w[i], deadline) || rc)
			continue;
		rc = -1;
		err = errno;
		memcpy(why, s->why, sizeof(why));
	}
	if (rc) {
		memcpy(s->why, why, sizeof(why));
		errno = err;
		return -1;
	}
	for (i = 0; i < n && !rc; i++)
		rc = finish(s, &w[i].d, how, deadline);
	return rc;
}

/* --- attaching --------------------------------------------------------- */

int xen_backends_ready(struct xen_store *s)
{
	struct disk_number dev = { 0 };
	struct device d;
	size_t pos = 0;

	while (device_next(&s->now, &pos, &d)) {
		if (d.root != NODE_VBD)
			continue;
		if (get_disk(s, &d, &dev) || check_size(s, &d, dev))
			return -1;
		if (disk_flush(&disk_this_host, dev))
			return failed(s, &d, errno, "what this host has cached of it cannot be dropped");
	}
	return 0;
}

int xen_backends_attached(struct xen_store *s)
{
	char what[64 + DETAIL_MAX], error[DETAIL_MAX];
	struct device d;
	size_t pos = 0;

	while (device_next(&s->now, &pos, &d)) {
		unsigned int state = back_state(s, &d);

		if (state == CONNECTED)
			continue;
		back_error(s, &d, error);
		snprintf(what, sizeof(what), "its backend does not serve the guest%s (state %u)%s",
			 state && state < CONNECTED && !*error ? " yet" : "",
			 state, error);
		failed(s, &d, EAGAIN, what);
		return state && state < CONNECTED && !*error ? 0 : -1;
	}
	return 1;
}

/* --- closing ----------------------------------------------------------- */

/* What there is on this host, known to us or not. */
static size_t list_here(struct xen_store *s, struct work *w)
{
	static const enum node_root roots[] = { NODE_VBD, NODE_VIF };
	unsigned int k, count, i;
	size_t n = 0;

	for (k = 0; k < 2; k++) {
		char **id = xs_directory(s->xs, XBT_NULL, s->root[roots[k]],
					 &count);

		for (i = 0; id && i < count && n < DEVICES_MAX; i++)
			w[n++] = (struct work){
				.d = { roots[k], (uint32_t)strtoul(id[i], NULL,
								   10) },
			};
		free(id);
	}
	return n;
}

/* The backend lets go when its frontend is no more. */
static bool ask(struct xen_store *s, xs_transaction_t t,
		const struct device *d)
{
	char full[STORE_PATH_MAX], node[64];
	unsigned int state = back_state(s, d);

	snprintf(node, sizeof(node), "device/%s/%u", device_kind(d), d->id);
	store_path(s, NODE_DOMAIN, node, full);
	if (!xs_rm(s->xs, t, full) && errno != ENOENT)
		return false;
	if (state == GONE || state == CLOSED)
		return true;
	back_path(s, d, "online", full);
	if (!xs_write(s->xs, t, full, "0", 1))
		return false;
	back_path(s, d, "state", full);
	return xs_write(s->xs, t, full, "5", 1);
}

static int ask_all(struct xen_store *s, const struct work *w, size_t n)
{
	unsigned int tries;
	size_t i;

	for (tries = 0; tries < STORE_TRIES; tries++) {
		xs_transaction_t t = xs_transaction_start(s->xs);
		bool ok = t != XBT_NULL;

		for (i = 0; i < n && ok; i++)
			ok = ask(s, t, &w[i].d);
		if (!ok)
			break;
		if (xs_transaction_end(s->xs, t, false))
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return store_fail(s, errno, "closing the devices of domain %u: %s",
			  s->domid, strerror(errno));
}

static bool let_go(struct xen_store *s, const struct device *d)
{
	unsigned int state = back_state(s, d);

	return (state == GONE || state == CLOSED) && !kernel_has(s, d, "");
}

static int remove_dir(struct xen_store *s, const struct device *d)
{
	char full[STORE_PATH_MAX];

	back_path(s, d, "", full);
	if (!xs_rm(s->xs, XBT_NULL, full) && errno != ENOENT)
		return store_fail(s, errno, "removing %s: %s", full,
				  strerror(errno));
	return 0;
}

int xen_backends_close(struct xen_store *s)
{
	uint64_t deadline = hotplug_now() + BACKEND_CLOSE_MS, scripts;
	struct work w[DEVICES_MAX];
	size_t n = list_here(s, w), i;
	int rc = 0;

	if (n && ask_all(s, w, n))
		return -1;
	for (i = 0; i < n; i++)
		while (!let_go(s, &w[i].d) && hotplug_now() < deadline)
			hotplug_nap();
	scripts = hotplug_now() + BACKEND_SCRIPT_MS;
	/* What a script has made must go, even if its own words are lost. */
	for (i = 0; i < n; i++)
		(void)start_script(s, &w[i], false);
	for (i = 0; i < n; i++)
		(void)end_script(s, &w[i], scripts);
	for (i = 0; i < n && !rc; i++)
		rc = remove_dir(s, &w[i].d);
	xs_rm(s->xs, XBT_NULL, s->root[NODE_VBD]);
	xs_rm(s->xs, XBT_NULL, s->root[NODE_VIF]);
	deadline = hotplug_now() + BACKEND_CLOSE_MS;
	for (i = 0; i < n && !rc; i++) {
		while (kernel_has(s, &w[i].d, "") && hotplug_now() < deadline)
			hotplug_nap();
		if (kernel_has(s, &w[i].d, ""))
			rc = failed(s, &w[i].d, EBUSY, "its backend does not let go of it");
	}
	return rc;
}
