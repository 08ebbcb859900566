// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dm_devices.c - which devices a device model has, and which of them may be
 *
 * The tree of its objects is walked; whatever is of a type that QEMU calls a
 * device must stand in the table.  A type that nobody has thought about is
 * refused.
 */
#include "ioemu/dm.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ioemu/dm_int.h"

enum { TYPE_MAX = 64, DEPTH_MAX = 8 };

/*
 * The machine that xl makes for an HVM guest.  None of them speaks to the
 * outside by itself: what they do is the answer to an I/O request, or to input
 * (keyboard, mouse), or a clock that ticks (dm_section_changes()).
 */
static const char *const allowed[] = {
	/* the chipset */
	"i440FX-pcihost", "i440FX", "PIIX3", "PIIX3-xen", "PIIX4_PM",
	"i8257", "isa-i8259", "isa-pit", "ioapic", "xen-apic", "apic",
	"kvmvapic", "hpet", "fw_cfg_io", "port92", "smbus-eeprom",
	"mc146818rtc", "isa-pcspk",
	/* Xen's */
	"xen-platform", "xen-sysdev", "xen-bridge",
	/* the screen, keyboard and mouse */
	"VGA", "cirrus-vga", "i8042", "ps2-kbd", "ps2-mouse", "vmmouse",
	"vmport",
	/* disks that firmware boots from */
	"piix3-ide", "ide-hd", "ide-cd", "isa-fdc",
};

static bool is_allowed(const char *type)
{
	size_t i, len = strlen(type);

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (!strcmp(type, allowed[i]))
			return true;
	/* The processors: Xen has them, these are places. */
	return (len > 11 && !strcmp(type + len - 11, "-x86_64-cpu")) ||
	       (len > 9 && !strcmp(type + len - 9, "-i386-cpu"));
}

/* One for each console of the guest, also for those that the console daemon
 * serves and not the device model: which these are is in xenstore. */
static bool is_idle(const char *type, const char *name)
{
	return !strcmp(type, "xen-backend") &&
	       !strncmp(name, "xen-console-", strlen("xen-console-"));
}

/** struct walk - through the objects below /machine */
struct walk {
	struct dm *dm;
	struct json_object *devices;	/* types of devices, as keys */
	unsigned int objects;
	size_t bad;			/* refused devices */
	char names[QMP_WHY_MAX / 2];	/* of them, as far as they fit */
};

/* Types that are devices, as the keys of an object. */
static struct json_object *device_types(struct dm *dm)
{
	struct json_object *args = json_object_new_object(), *list, *types;
	const char *name;
	size_t i;

	json_object_object_add(args, "implements",
			       json_object_new_string("device"));
	json_object_object_add(args, "abstract",
			       json_object_new_boolean(false));
	list = qmp_call(&dm->q, "qom-list-types", args, -1);
	if (!list)
		return NULL;
	types = json_object_new_object();
	if (json_object_is_type(list, json_type_array))
		for (i = 0; i < json_object_array_length(list); i++) {
			name = qmp_text(json_object_array_get_idx(list, i),
					"name");
			if (*name)
				json_object_object_add(types, name,
					json_object_new_boolean(true));
		}
	json_object_put(list);
	if (json_object_object_length(types) > 0)
		return types;
	json_object_put(types);
	(void)dm_fail(dm, EPROTO, "qom-list-types: the device model has no"
		      " type of device");
	return NULL;
}

static void refuse(struct walk *w, const char *type, const char *path)
{
	size_t used = strlen(w->names), room = sizeof(w->names) - used;
	int n;

	w->bad++;
	n = snprintf(w->names + used, room, "%s%s (%s)", used ? ", " : "", type,
		     path);
	if (n < 0 || (size_t)n >= room)
		w->names[used] = '\0';
}

/* "child<TYPE>": the type, TYPE_MAX bytes; false if it is no such thing. */
static bool child_type(const char *text, char *type)
{
	size_t len = strlen(text);

	if (len < 8 || len - 7 >= TYPE_MAX || strncmp(text, "child<", 6) != 0 ||
	    text[len - 1] != '>')
		return false;
	snprintf(type, TYPE_MAX, "%.*s", (int)(len - 7), text + 6);
	return true;
}

static int walk(struct walk *w, const char *path, unsigned int depth);

static int visit(struct walk *w, const char *path, struct json_object *entry,
		 unsigned int depth)
{
	const char *name = qmp_text(entry, "name");
	const char *text = qmp_text(entry, "type");
	char type[TYPE_MAX], below[DM_PATH_MAX];
	int n;

	if (strncmp(text, "child<", 6) != 0)
		return 0;
	n = snprintf(below, sizeof(below), "%s/%s", path, name);
	if (!child_type(text, type) || n >= (int)sizeof(below) ||
	    depth == DEPTH_MAX || ++w->objects > DM_OBJECTS_MAX)
		return dm_fail(w->dm, EPROTO, "the device model's objects are"
			       " too many or too deep, or their names too long,"
			       " at %.128s", path);
	if (json_object_object_get_ex(w->devices, type, NULL) &&
	    !is_allowed(type) && !is_idle(type, name))
		refuse(w, type, below);
	/* By the hundred, and nothing hangs below them. */
	if (!strcmp(type, "qemu:memory-region") || !strcmp(type, "irq"))
		return 0;
	return walk(w, below, depth + 1);
}

static int walk(struct walk *w, const char *path, unsigned int depth)
{
	struct json_object *args = json_object_new_object(), *list;
	size_t i;
	int r = 0;

	json_object_object_add(args, "path", json_object_new_string(path));
	list = qmp_call(&w->dm->q, "qom-list", args, -1);
	if (!list)
		return -1;
	if (!json_object_is_type(list, json_type_array))
		r = dm_fail(w->dm, EPROTO, "qom-list %.128s: no list", path);
	for (i = 0; !r && i < json_object_array_length(list); i++)
		r = visit(w, path, json_object_array_get_idx(list, i), depth);
	json_object_put(list);
	return r;
}

int dm_check(struct dm *dm)
{
	struct walk w = { .dm = dm };
	int r;

	w.devices = device_types(dm);
	if (!w.devices)
		return -1;
	r = walk(&w, "/machine", 0);
	json_object_put(w.devices);
	if (!r && w.bad)
		r = dm_fail(dm, ENOTSUP, "the device model has %zu device%s"
			    " that cannot be protected: %s", w.bad,
			    w.bad > 1 ? "s" : "", w.names);
	return r;
}
