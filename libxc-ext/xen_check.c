// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_check.c - why a domain cannot be protected, in sentences
 *
 * The rules are those that the toolstack's own data can answer; those of the
 * hypervisor come as bits.  A device of a class that is not named here is
 * refused as well: what is not known is not supported.
 */
#include "libxc-ext/xen_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenstore.h>

#include <xen/xen.h>
#include "hypervisor/public/kemari.h"
#include "libxc-ext/xen_disk.h"

/* One per bit, lowest first. */
static const char *const bit_text[] = {
	"memory: shadow paging; the rule is hardware-assisted paging (hap=1)",
	"event channels: the FIFO ABI is in use; the rule is the 2-level ABI (boot the host as docs/HYPERVISOR.md says, then the guest)",
	"grant table: version 2 is in use; the rule is version 1",
	"passthrough: a device or an IOMMU context is assigned; the rule is none",
	"memory: populate-on-demand pages are left; the rule is memory = maxmem",
	"nested virtualisation is on; the rule is off (nestedhvm=0)",
	"altp2m is on; the rule is off (altp2m=\"disabled\")",
	"memory: sharing or paging is in use; the rule is neither",
	"introspection: a monitor or mem-access is attached; the rule is none",
	"vPMU is in use by the guest; the rule is vpmu=off",
	"a debugger is attached; the rule is none",
	"device model: more than one, or one of another domain; the rule is one, of domain 0",
	"event channels: one leads to a domain other than 0; the rule is domain 0 only",
	"grants: one is for a domain other than 0; the rule is domain 0 only",
	"the guest has not booted far enough: shared_info is not mapped yet; try again later",
	"the guest has not booted far enough: a grant frame is not mapped yet; try again later",
	"argo: a ring is registered; the rule is none",
	"the domain is dying or has shut down; the rule is a running guest",
	"vCPUs: more than this version protects",
	"memory: pages of another domain are mapped into the guest; the rule is none",
	"memory: the guest is ballooned below its maximum; the rule is memory = maxmem",
	"event channels: one is of a physical interrupt or of an emulated MSI; the rule is lines of the emulated interrupt controller only",
};
_Static_assert(KEMARI_NO_HAP == 1u && KEMARI_NO_PIRQ ==
	       1u << (sizeof(bit_text) / sizeof(bit_text[0]) - 1),
	       "a sentence per bit of KEMARI_NO_*");

/* Device classes: what is said of them. */
static const struct {
	const char *class, *what;
} device_text[] = {
	{ "vfb", "framebuffer: cannot be replicated" },
	{ "vkbd", "keyboard and mouse: cannot be replicated (vkb_device=0)" },
	{ "vkb", "keyboard and mouse: cannot be replicated" },
	{ "9pfs", "9pfs: its server's state cannot be replicated" },
	{ "pvcalls", "pvcalls: sockets of the host cannot be replicated" },
	{ "vscsi", "SCSI: cannot be replicated" },
	{ "vusb", "USB: cannot be replicated" },
	{ "qusb", "USB: cannot be replicated" },
	{ "vtpm", "TPM: its state cannot be replicated" },
	{ "pci", "passed-through PCI device: cannot be replicated" },
	{ "vdispl", "display: cannot be replicated" },
	{ "vsnd", "sound: cannot be replicated" },
	{ "virtio", "virtio device: cannot be replicated" },
};

void xen_reason(struct xen_reasons *r, const char *fmt, ...)
{
	va_list ap;

	if (r->n == PLATFORM_REASONS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(r->text[r->n++], XEN_REASON_MAX, fmt, ap);
	va_end(ap);
}

void xen_check_bits(struct xen_reasons *r, uint32_t bits)
{
	const size_t known = sizeof(bit_text) / sizeof(bit_text[0]);
	size_t i;

	for (i = 0; i < known; i++)
		if (bits & 1u << i)
			xen_reason(r, "%s", bit_text[i]);
	if (bits >> known)
		xen_reason(r, "the hypervisor refuses for a reason (%#x) that this program does not know",
			   bits);
}

/* A value, malloced; NULL with errno. */
__attribute__((format(printf, 2, 3)))
static char *value(struct xs_handle *xs, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return xs_read(xs, XBT_NULL, path, NULL);
}

static void check_state(struct xen_reasons *r, const xc_dominfo_t *info)
{
	if (!info->hvm)
		xen_reason(r, "domain %u is a PV guest; the rule is HVM or PVH",
			   info->domid);
	if (info->dying)
		xen_reason(r, "domain %u is dying; the rule is a running guest",
			   info->domid);
	else if (info->shutdown)
		xen_reason(r, "domain %u has shut down (reason %u); the rule is a running guest",
			   info->domid, info->shutdown_reason);
	else if (info->paused)
		xen_reason(r, "domain %u is paused by a toolstack; the rule is a running guest (xl unpause)",
			   info->domid);
}

static void check_name(struct xen_reasons *r, struct xs_handle *xs,
		       uint32_t domid)
{
	char *name = value(xs, "/local/domain/%u/name", domid);

	if (!name)
		xen_reason(r, "domain %u has no name in xenstore; the rule is one",
			   domid);
	else if (strlen(name) >= PLATFORM_NAME_MAX)
		xen_reason(r, "name: %zu bytes; the rule is fewer than %d",
			   strlen(name), PLATFORM_NAME_MAX);
	free(name);
}

static const char *about(const char *class)
{
	size_t i;

	for (i = 0; i < sizeof(device_text) / sizeof(device_text[0]); i++)
		if (!strcmp(device_text[i].class, class))
			return device_text[i].what;
	return "device of an unknown class: not supported";
}

static bool has_rings(const char *class)
{
	return !strcmp(class, "vbd") || !strcmp(class, "vif");
}

static void check_device(struct xen_reasons *r, struct xs_handle *xs,
			 const char *top, const char *class, const char *id)
{
	char *backend = value(xs, "%s/%s/%s/backend", top, class, id);
	bool console = !strcmp(class, "console");
	unsigned int domid = 0;

	if (backend && sscanf(backend, "/local/domain/%u/", &domid) == 1 &&
	    domid)
		xen_reason(r, "device %s/%s: its backend is domain %u; the rule is domain 0",
			   class, id, domid);
	if (console && strcmp(id, "0"))
		xen_reason(r, "device console/%s: a channel; the rule is the one console",
			   id);
	if (!console)
		xen_reason(r, "device %s/%s: %s", class, id,
			   has_rings(class) ? "the toolstack does not know it" :
					      about(class));
	free(backend);
}

/* Devices below @top; @seen: those below it are known already. */
static void check_devices(struct xen_reasons *r, struct xs_handle *xs,
			  const char *top, const char *seen)
{
	unsigned int nclass = 0, nid, i, j;
	char **class = xs_directory(xs, XBT_NULL, top, &nclass), **id;
	char path[256], *known;

	for (i = 0; class && i < nclass; i++) {
		/* What the toolstack knows of these is xen_rings.c's. */
		if (!strcmp(class[i], "suspend") ||
		    (!seen && has_rings(class[i])))
			continue;
		snprintf(path, sizeof(path), "%s/%s", top, class[i]);
		id = xs_directory(xs, XBT_NULL, path, &nid);
		for (j = 0; id && j < nid; j++) {
			known = seen ? value(xs, "%s/%s/%s", seen, class[i],
					     id[j]) : NULL;
			if (!known)
				check_device(r, xs, top, class[i], id[j]);
			free(known);
		}
		free(id);
	}
	free(class);
}

/* A domain that serves others. */
static void check_backends(struct xen_reasons *r, struct xs_handle *xs,
			   uint32_t domid)
{
	char path[64], **names;
	unsigned int n = 0;

	snprintf(path, sizeof(path), "/local/domain/%u/backend", domid);
	names = xs_directory(xs, XBT_NULL, path, &n);
	if (names && n)
		xen_reason(r, "driver domain: it has a backend (%s); the rule is none",
			   names[0]);
	free(names);
}

/* Type "ioemu" is one that the device model serves. */
static void check_console(struct xen_reasons *r, struct xs_handle *xs,
			  uint32_t domid)
{
	char *type = value(xs, "/local/domain/%u/console/type", domid);

	if (type && strcmp(type, "xenconsoled") != 0)
		xen_reason(r, "device console/0: of type %.32s; the rule is xenconsoled",
			   type);
	free(type);
}

static void check_memory(struct xen_reasons *r, struct xs_handle *xs,
			 uint32_t domid)
{
	char *max = value(xs, "/local/domain/%u/memory/static-max", domid);
	char *target = value(xs, "/local/domain/%u/memory/target", domid);

	if (max && target && strtoull(target, NULL, 10) <
	    strtoull(max, NULL, 10))
		xen_reason(r, "memory: target %s KiB is below the maximum of %s KiB; the rule is no ballooning (memory = maxmem)",
			   target, max);
	free(max);
	free(target);
}

static int check_time(struct xen_reasons *r, xc_interface *xch,
		      uint32_t domid)
{
	uint32_t mode, khz, incarnation;
	uint64_t elapsed;

	if (xc_domain_get_tsc_info(xch, domid, &mode, &elapsed, &khz,
				   &incarnation))
		return -1;
	if (mode)
		xen_reason(r, "tsc_mode: %u; the rule is 0 (\"default\"), which another host can give",
			   mode);
	return 0;
}

int xen_check_domain(struct xen_reasons *r, struct xc_interface_core *xch,
		     uint32_t domid, bool storage)
{
	char libxl[64], local[64];
	struct xs_handle *xs;
	xc_dominfo_t info;
	int rc;

	if (!domid) {
		xen_reason(r, "domain 0 is the control domain; the rule is a guest");
		return 0;
	}
	if (xc_domain_getinfo(xch, domid, 1, &info) != 1 ||
	    info.domid != domid) {
		errno = ESRCH;
		return -1;
	}
	check_state(r, &info);
	xs = xs_open(0);
	if (!xs)
		return -1;
	snprintf(libxl, sizeof(libxl), "/libxl/%u/device", domid);
	snprintf(local, sizeof(local), "/local/domain/%u/device", domid);
	check_name(r, xs, domid);
	check_devices(r, xs, libxl, NULL);
	check_devices(r, xs, local, libxl);
	check_console(r, xs, domid);
	check_backends(r, xs, domid);
	check_memory(r, xs, domid);
	if (storage)
		xen_disk_check(r, xs, domid);
	rc = info.hvm ? check_time(r, xch, domid) : 0;
	xs_close(xs);
	return rc;
}
