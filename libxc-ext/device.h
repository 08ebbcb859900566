/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.h - disks and network cards of a guest, as its nodes describe them
 *
 * Pure: no xenstore here.  Of a backend's nodes only those travel that the
 * toolstack wrote: what a backend or a script wrote is about one host.  All
 * that arrives is checked against a table of keys, each with its characters
 * and its length, for scripts that run as root will read it.  INV-39
 */
#ifndef KEMARI_DEVICE_H
#define KEMARI_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libxc-ext/nodes.h"

enum {
	DEVICES_MAX = 64,		/* of one guest */
	DEVICE_ID_MAX = (1 << 29) - 1,
	DEVICE_SCRIPT_MAX = 64,		/* bytes of a script's name */
	DEVICE_PARAMS_MAX = 1023,
	DEVICE_IFNAME_MAX = 15,
	DEVICE_TITLE_MAX = 48,
	DEVICE_MAC_LEN = 6,
};

/* Where a hotplug script may lie, here as for libxl. */
#define DEVICE_SCRIPT_DIR "/etc/xen/scripts"

/** struct device - one of a list of nodes: "<id>/..." below @root */
struct device {
	enum node_root root;		/* NODE_VBD or NODE_VIF */
	uint32_t id;
};

/** device_travels() - Is the node of a backend for the other host, too? */
bool device_travels(enum node_root root, const char *path);

/**
 * device_next() - The device after *@pos, which starts as 0 and moves on
 * Return: false if there is none
 */
bool device_next(const struct nodes *l, size_t *pos, struct device *d);

/** device_value() - Of a key of the backend's, or NULL */
const char *device_value(const struct nodes *l, const struct device *d,
			 const char *key);

/** device_front() - The same of the frontend's */
const char *device_front(const struct nodes *l, const struct device *d,
			 const char *key);

/** device_kind() - "vbd" or "vif" */
const char *device_kind(const struct device *d);

/** device_title() - "disk xvda", "network card 0": DEVICE_TITLE_MAX bytes */
void device_title(const struct nodes *l, const struct device *d, char *title);

/** device_writable() - Can the guest write to it?  Network cards: no */
bool device_writable(const struct nodes *l, const struct device *d);

/**
 * device_netdev() - The network card's name on this host
 * @name:	DEVICE_IFNAME_MAX + 1 bytes
 */
void device_netdev(const struct nodes *l, const struct device *d,
		   uint32_t domid, char *name);

/** device_mac() - Its hardware address: 0, or -1 with EINVAL */
int device_mac(const char *text, uint8_t mac[DEVICE_MAC_LEN]);

/**
 * device_script() - Name of a script below DEVICE_SCRIPT_DIR
 * @value:	"NAME", or "/etc/xen/scripts/NAME"
 * Return: points into @value; NULL: no such name, or it is elsewhere
 */
const char *device_script(const char *value);

/**
 * devices_check() - Is every device of the list one that may be made here?
 * @why:	Gets a sentence if not
 * Return: 0, or -1: EPROTO
 */
int devices_check(const struct nodes *l, char *why, size_t why_len);

/**
 * devices_same() - Do both lists have the same devices, in all that travels?
 * @odd:	Gets the title of one that differs, DEVICE_TITLE_MAX bytes
 *
 * The size of a disk may differ: it can grow.
 */
bool devices_same(const struct nodes *a, const struct nodes *b, char *odd);

/**
 * devices_new() - Add the nodes of new devices, as a toolstack would
 * @from:	Passed devices_check()
 * @to:		Gets backend and frontend directories, both Initialising
 * Return: 0, or -1 like nodes_add()
 */
int devices_new(const struct nodes *from, uint32_t domid, struct nodes *to);

/**
 * devices_libxl() - Put what xl is to know of the devices in place of what
 * @to has of them: made here, not taken from another host
 */
int devices_libxl(const struct nodes *from, uint32_t domid, struct nodes *to);

#endif
