// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device.c - disks and network cards of a guest, as its nodes describe them
 */
#include "libxc-ext/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define NAMES LETTERS DIGITS "._-"
#define PARAMS NAMES "/:+=,@%"
#define IP_LIST DIGITS "abcdefABCDEF.:/ "

enum {
	ID_DIGITS = 9,
	IP_LIST_MAX = 255,
	KEY_LEN_MAX = 32,
};

/** struct key - what a value may be: one of .one_of, or of .chars */
struct key {
	const char *name;
	const char *one_of;		/* words between blanks */
	const char *chars;
	size_t max;			/* bytes; .chars */
	bool must;
	bool here;			/* not for the new backend: for us */
};

/* A leading "-" would be an option to somebody: nothing begins with one. */
static const struct key disk_keys[] = {
	{ "params", NULL, PARAMS, DEVICE_PARAMS_MAX, true, false },
	{ "script", NULL, NAMES "/", DEVICE_PARAMS_MAX, true, false },
	{ "mode", "r w", NULL, 0, true, false },
	{ "type", "phy", NULL, 0, true, false },
	{ "dev", NULL, LETTERS DIGITS, 15, true, false },
	{ "device-type", "disk cdrom", NULL, 0, false, false },
	{ "removable", "0 1", NULL, 0, false, false },
	{ "bootable", "0 1", NULL, 0, false, false },
	{ "direct-io-safe", "0 1", NULL, 0, false, false },
	{ "discard-enable", "0 1", NULL, 0, false, false },
	{ "specification", "xen", NULL, 0, false, false },
	{ "sectors", NULL, DIGITS, 19, false, true },
	{ "sector-size", NULL, DIGITS, 5, false, true },
};

static const struct key card_keys[] = {
	{ "script", NULL, NAMES "/", DEVICE_PARAMS_MAX, true, false },
	{ "mac", NULL, DIGITS "abcdefABCDEF:", 17, true, false },
	{ "handle", NULL, DIGITS, ID_DIGITS, true, false },
	{ "type", "vif", NULL, 0, true, false },
	{ "bridge", NULL, NAMES, DEVICE_IFNAME_MAX, false, false },
	{ "vifname", NULL, NAMES, DEVICE_IFNAME_MAX, false, false },
	{ "gatewaydev", NULL, NAMES, DEVICE_IFNAME_MAX, false, false },
	{ "ip", NULL, IP_LIST, IP_LIST_MAX, false, false },
	{ "rate", NULL, DIGITS ",", 31, false, false },
	{ "mtu", NULL, DIGITS, 5, false, false },
};

static const struct key *keys_of(enum node_root root, size_t *n)
{
	if (root == NODE_VBD) {
		*n = sizeof(disk_keys) / sizeof(disk_keys[0]);
		return disk_keys;
	}
	*n = sizeof(card_keys) / sizeof(card_keys[0]);
	return card_keys;
}

static const struct key *find_key(enum node_root root, const char *name)
{
	size_t n, i;
	const struct key *key = keys_of(root, &n);

	for (i = 0; i < n; i++)
		if (!strcmp(key[i].name, name))
			return &key[i];
	return NULL;
}

static bool is_backend(enum node_root root)
{
	return root == NODE_VBD || root == NODE_VIF;
}

/* The number that @path begins with; what follows it is at *@rest. */
static bool get_id(const char *path, uint32_t *id, const char **rest)
{
	size_t n = strspn(path, DIGITS);

	if (!n || n > ID_DIGITS || (n > 1 && path[0] == '0') ||
	    (path[n] && path[n] != '/'))
		return false;
	*id = (uint32_t)strtoul(path, NULL, 10);
	*rest = path + n + (path[n] == '/');
	return *id <= DEVICE_ID_MAX;
}

bool device_travels(enum node_root root, const char *path)
{
	const char *rest;
	uint32_t id;

	if (!is_backend(root) || !*path)
		return true;
	return get_id(path, &id, &rest) && (!*rest || find_key(root, rest));
}

bool device_next(const struct nodes *l, size_t *pos, struct device *d)
{
	const char *rest;
	uint32_t id;

	for (; *pos < l->n; ++*pos) {
		const struct node *n = &l->node[*pos];

		if (!is_backend(n->root) || !get_id(n->path, &id, &rest))
			continue;
		d->root = n->root;
		d->id = id;
		while (*pos < l->n && l->node[*pos].root == d->root &&
		       get_id(l->node[*pos].path, &id, &rest) && id == d->id)
			++*pos;
		return true;
	}
	return false;
}

/* A value that is one string, or NULL. */
static const char *string(const struct node *n)
{
	if (!n || strlen((const char *)n->value) != n->value_len)
		return NULL;
	return (const char *)n->value;
}

const char *device_value(const struct nodes *l, const struct device *d,
			 const char *key)
{
	char path[ID_DIGITS + KEY_LEN_MAX + 2];

	snprintf(path, sizeof(path), "%u/%s", d->id, key);
	return string(nodes_find(l, d->root, path));
}

const char *device_kind(const struct device *d)
{
	return d->root == NODE_VBD ? "vbd" : "vif";
}

const char *device_front(const struct nodes *l, const struct device *d,
			 const char *key)
{
	char path[ID_DIGITS + KEY_LEN_MAX + 16];

	snprintf(path, sizeof(path), "device/%s/%u/%s", device_kind(d), d->id,
		 key);
	return string(nodes_find(l, NODE_DOMAIN, path));
}

void device_title(const struct nodes *l, const struct device *d, char *title)
{
	const char *dev = device_value(l, d, "dev");

	if (d->root == NODE_VIF)
		snprintf(title, DEVICE_TITLE_MAX, "network card %u", d->id);
	else if (dev)
		snprintf(title, DEVICE_TITLE_MAX, "disk %.32s", dev);
	else
		snprintf(title, DEVICE_TITLE_MAX, "disk %u", d->id);
}

bool device_writable(const struct nodes *l, const struct device *d)
{
	const char *mode = device_value(l, d, "mode");

	return d->root == NODE_VBD && (!mode || strcmp(mode, "r"));
}

void device_netdev(const struct nodes *l, const struct device *d,
		   uint32_t domid, char *name)
{
	const char *own = device_value(l, d, "vifname");

	if (own)
		snprintf(name, DEVICE_IFNAME_MAX + 1, "%s", own);
	else
		snprintf(name, DEVICE_IFNAME_MAX + 1, "vif%u.%u",
			 domid & 0xffff, d->id & 0xffff);
}

int device_mac(const char *text, uint8_t mac[DEVICE_MAC_LEN])
{
	unsigned int byte[DEVICE_MAC_LEN];
	int used = 0, i;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1],
		   &byte[2], &byte[3], &byte[4], &byte[5], &used) !=
	    DEVICE_MAC_LEN || used != 17) {
		errno = EINVAL;
		return -1;
	}
	for (i = 0; i < DEVICE_MAC_LEN; i++)
		mac[i] = (uint8_t)byte[i];
	return 0;
}

const char *device_script(const char *value)
{
	static const char dir[] = DEVICE_SCRIPT_DIR "/";
	size_t len;

	if (!strncmp(value, dir, sizeof(dir) - 1))
		value += sizeof(dir) - 1;
	len = strlen(value);
	if (!len || len > DEVICE_SCRIPT_MAX || strspn(value, NAMES) != len ||
	    !strchr(LETTERS DIGITS, value[0]))
		return NULL;
	return value;
}

/* --- what arrives ------------------------------------------------------ */

__attribute__((format(printf, 3, 4)))
static int refuse(char *why, size_t why_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_len, fmt, ap);
	va_end(ap);
	errno = EPROTO;
	return -1;
}

static bool one_of(const char *words, const char *value)
{
	size_t len = strlen(value);
	const char *at = len && !strchr(value, ' ') ? strstr(words, value) :
						      NULL;

	return at && (at == words || at[-1] == ' ') &&
	       (!at[len] || at[len] == ' ');
}

static bool value_ok(const struct key *key, const char *value)
{
	size_t len = strlen(value);

	if (key->one_of)
		return one_of(key->one_of, value);
	return len && len <= key->max && strspn(value, key->chars) == len &&
	       value[0] != '-' && value[0] != '.';
}

static int check_values(const struct nodes *l, const struct device *d,
			const char *title, char *why, size_t why_len)
{
	size_t n, i;
	const struct key *key = keys_of(d->root, &n);

	for (i = 0; i < n; i++) {
		const char *value = device_value(l, d, key[i].name);

		if (!value && key[i].must)
			return refuse(why, why_len, "%s: no %s", title,
				      key[i].name);
		if (value && !value_ok(&key[i], value))
			return refuse(why, why_len, "%s: %s \"%.64s\": the rule is %s%.64s",
				      title, key[i].name, value,
				      key[i].one_of ? "one of " :
				      "few bytes, of ", key[i].one_of ?
				      key[i].one_of : key[i].chars);
	}
	return 0;
}

static int check_device(const struct nodes *l, const struct device *d,
			char *why, size_t why_len)
{
	char title[DEVICE_TITLE_MAX];
	uint8_t mac[DEVICE_MAC_LEN];
	const char *value;

	device_title(l, d, title);
	if (check_values(l, d, title, why, why_len))
		return -1;
	value = device_value(l, d, "script");
	if (!device_script(value))
		return refuse(why, why_len, "%s: script \"%.64s\": the rule is a name in %s",
			      title, value, DEVICE_SCRIPT_DIR);
	if (d->root == NODE_VBD)
		return 0;
	value = device_value(l, d, "mac");
	if (device_mac(value, mac) || mac[0] & 1)
		return refuse(why, why_len, "%s: mac \"%.17s\": the rule is the address of one card",
			      title, value);
	value = device_value(l, d, "handle");
	if (strtoul(value, NULL, 10) != d->id || d->id > 0xffff)
		return refuse(why, why_len, "%s: handle %.16s: the rule is its own number",
			      title, value);
	return 0;
}

/* Two cards of one name on this host, or a name that another guest's has. */
static int check_netdev(const struct nodes *l, const struct device *d,
			char *why, size_t why_len)
{
	const char *own = device_value(l, d, "vifname"), *other;
	struct device e;
	size_t pos = 0;

	if (d->root != NODE_VIF || !own)
		return 0;
	if (!strncmp(own, "vif", 3) && strspn(own + 3, DIGITS))
		return refuse(why, why_len, "network card %u: vifname %s: the rule is a name that no backend gives",
			      d->id, own);
	while (device_next(l, &pos, &e)) {
		if (e.root != NODE_VIF || e.id == d->id)
			continue;
		other = device_value(l, &e, "vifname");
		if (other && !strcmp(own, other))
			return refuse(why, why_len, "network card %u: vifname %s is that of card %u, too",
				      d->id, own, e.id);
	}
	return 0;
}

int devices_check(const struct nodes *l, char *why, size_t why_len)
{
	struct device d;
	size_t pos = 0, i;
	unsigned int n = 0;

	for (i = 0; i < l->n; i++)
		if (!device_travels(l->node[i].root, l->node[i].path))
			return refuse(why, why_len, "%s backend: node %.64s: the rule is what a toolstack writes",
				      l->node[i].root == NODE_VBD ? "vbd" :
				      "vif", l->node[i].path);
	while (device_next(l, &pos, &d)) {
		if (++n > DEVICES_MAX)
			return refuse(why, why_len, "more than %d disks and network cards",
				      DEVICES_MAX);
		if (check_device(l, &d, why, why_len) ||
		    check_netdev(l, &d, why, why_len))
			return -1;
	}
	return 0;
}

/* Each of @a in @b, the same. */
static bool contained(const struct nodes *a, const struct nodes *b, char *odd)
{
	struct device d;
	size_t pos = 0, i, n;

	while (device_next(a, &pos, &d)) {
		const struct key *key = keys_of(d.root, &n);

		for (i = 0; i < n; i++) {
			const char *x = device_value(a, &d, key[i].name);
			const char *y = device_value(b, &d, key[i].name);

			if (key[i].here || (!x && !y))
				continue;
			if (x && y && !strcmp(x, y))
				continue;
			device_title(a, &d, odd);
			return false;
		}
	}
	return true;
}

bool devices_same(const struct nodes *a, const struct nodes *b, char *odd)
{
	return contained(a, b, odd) && contained(b, a, odd);
}

/* --- what is made of it ------------------------------------------------ */

/** struct maker - adds nodes below one directory, all with its permissions */
struct maker {
	struct nodes *to;
	enum node_root root;
	char dir[KEY_LEN_MAX];
	struct node_perm perms[2];
	size_t nperms;
	int rc;
};

static void make(struct maker *m, const char *key, const char *value)
{
	char path[2 * KEY_LEN_MAX + 1];
	struct node n = {
		.root = m->root, .path = path, .nperms = m->nperms,
		.value = (uint8_t *)value, .value_len = strlen(value),
	};

	snprintf(path, sizeof(path), "%s%s%s", m->dir, *key ? "/" : "", key);
	memcpy(n.perms, m->perms, sizeof(m->perms));
	if (!m->rc)
		m->rc = nodes_add(m->to, &n);
}

static void make_number(struct maker *m, const char *key, uint32_t value)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", value);
	make(m, key, text);
}

/* What the toolstack says of a backend, to it or to itself. */
static void make_back(struct maker *m, const struct nodes *from,
		      const struct device *d, uint32_t domid)
{
	char frontend[64];
	size_t n, i;
	const struct key *key = keys_of(d->root, &n);

	snprintf(frontend, sizeof(frontend), "/local/domain/%u/device/%s/%u",
		 domid, device_kind(d), d->id);
	make(m, "frontend", frontend);
	make_number(m, "frontend-id", domid);
	make(m, "online", "1");
	make(m, "state", "1");
	for (i = 0; i < n; i++) {
		const char *value = device_value(from, d, key[i].name);

		if (!value || key[i].here)
			continue;
		if (!strcmp(key[i].name, "script"))
			continue;
		make(m, key[i].name, value);
	}
	if (d->root == NODE_VIF)
		make(m, "hotplug-status", "");
}

static void make_script(struct maker *m, const struct nodes *from,
			const struct device *d)
{
	char script[sizeof(DEVICE_SCRIPT_DIR) + DEVICE_SCRIPT_MAX + 1];

	snprintf(script, sizeof(script), "%s/%s", DEVICE_SCRIPT_DIR,
		 device_script(device_value(from, d, "script")));
	make(m, "script", script);
}

static void make_front(struct maker *m, const struct nodes *from,
		       const struct device *d, uint32_t domid)
{
	const char *type = device_value(from, d, "device-type");
	char backend[64];

	snprintf(backend, sizeof(backend), "/local/domain/0/backend/%s/%u/%u",
		 device_kind(d), domid, d->id);
	make(m, "", "");
	make(m, "backend", backend);
	make(m, "backend-id", "0");
	make(m, "state", "1");
	if (d->root == NODE_VIF) {
		make_number(m, "handle", d->id);
		make(m, "mac", device_value(from, d, "mac"));
		return;
	}
	make_number(m, "virtual-device", d->id);
	make(m, "device-type", type ? type : "disk");
}

int devices_new(const struct nodes *from, uint32_t domid, struct nodes *to)
{
	struct device d;
	size_t pos = 0;

	while (device_next(from, &pos, &d)) {
		struct maker back = {
			.to = to, .root = d.root, .nperms = 2,
			.perms = { { 0, 0 }, { domid, 1 } },
		}, front = {
			.to = to, .root = NODE_DOMAIN, .nperms = 2,
			.perms = { { domid, 0 }, { 0, 1 } },
		};

		snprintf(back.dir, sizeof(back.dir), "%u", d.id);
		snprintf(front.dir, sizeof(front.dir), "device/%s/%u",
			 device_kind(&d), d.id);
		make(&back, "", "");
		make_back(&back, from, &d, domid);
		make_script(&back, from, &d);
		make_front(&front, from, &d, domid);
		if (back.rc || front.rc)
			return -1;
	}
	return 0;
}

int devices_libxl(const struct nodes *from, uint32_t domid, struct nodes *to)
{
	char backend[64];
	struct device d;
	size_t pos = 0;

	nodes_drop(to, NODE_LIBXL, "device/vbd");
	nodes_drop(to, NODE_LIBXL, "device/vif");
	while (device_next(from, &pos, &d)) {
		struct maker m = { .to = to, .root = NODE_LIBXL };

		snprintf(m.dir, sizeof(m.dir), "device/%s/%u", device_kind(&d),
			 d.id);
		snprintf(backend, sizeof(backend),
			 "/local/domain/0/backend/%s/%u/%u", device_kind(&d),
			 domid, d.id);
		make(&m, "", "");
		make(&m, "backend", backend);
		make_back(&m, from, &d, domid);
		make_script(&m, from, &d);
		if (m.rc)
			return -1;
	}
	return 0;
}
