// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_disk.c - the block devices behind a guest's disks on this host
 */
#include "libxc-ext/xen_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "libxc-ext/disk.h"

enum { DISK_PATH_MAX = 128 };

static char *value(struct xs_handle *xs, const char *dir, const char *id,
		   const char *key)
{
	char path[DISK_PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%.32s/%s", dir, id, key);
	return xs_read(xs, XBT_NULL, path, NULL);
}

static void check(struct xen_reasons *r, struct xs_handle *xs,
		  const char *dir, const char *id)
{
	char *physical = value(xs, dir, id, "physical-device");
	char *mode = value(xs, dir, id, "mode");
	char *dev = value(xs, dir, id, "dev");
	char why[DISK_WHY_MAX] = "its block device is not known";
	struct disk_number number;

	if (mode && !strchr(mode, 'w'))
		;
	else if (!physical || disk_number(physical, &number) ||
		 disk_shared(&disk_this_host, number, why))
		xen_reason(r, "disk %.16s: %s; the rule is storage that both hosts see",
			   dev ? dev : id, why);
	free(physical);
	free(mode);
	free(dev);
}

void xen_disk_check(struct xen_reasons *r, struct xs_handle *xs,
		    uint32_t domid)
{
	char dir[DISK_PATH_MAX], **id;
	unsigned int n = 0, i;

	snprintf(dir, sizeof(dir), "/local/domain/0/backend/vbd/%u", domid);
	id = xs_directory(xs, XBT_NULL, dir, &n);
	for (i = 0; id && i < n; i++)
		check(r, xs, dir, id[i]);
	free(id);
}
