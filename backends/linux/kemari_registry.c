// SPDX-License-Identifier: GPL-2.0-only
/*
 * kemari_registry.c - the domains, and the rings that register with them
 *
 * Locks: a domain's, then registry; a reference is put with neither.  A kick
 * and all of kr_*() run under the domain's lock, so that a ring cannot go
 * meanwhile.
 *
 * A gate outlives its controller and the rings it is about (INV-30): a guest
 * that reconnects a disk is fenced from its first request on.  It ends by OPEN,
 * or when xenstore has no such domain any more and no ring is left.
 */
#include <linux/err.h>
#include <linux/export.h>
#include <linux/log2.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <xen/xenbus.h>

#include "backends/linux/kemari_int.h"

enum {
	PATH_BYTES = 32,	/* /local/domain/N */
};

static DEFINE_MUTEX(registry);
static LIST_HEAD(domains);

/* --- domains ------------------------------------------------------------ */

/* Registry lock held. */
static struct kemari_domain *find(u32 domid)
{
	struct kemari_domain *d;

	list_for_each_entry(d, &domains, list) {
		if (d->domid == domid)
			return d;
	}
	return NULL;
}

struct kemari_domain *kemari_domain_get(u32 domid)
{
	struct kemari_domain *d;

	mutex_lock(&registry);
	d = find(domid);
	if (d)
		d->refs++;
	mutex_unlock(&registry);
	return d;
}

struct kemari_domain *kemari_domain_make(u32 domid)
{
	struct kemari_domain *d;

	mutex_lock(&registry);
	d = find(domid);
	if (!d) {
		d = kzalloc(sizeof(*d), GFP_KERNEL);
		if (!d)
			goto out;
		d->domid = domid;
		mutex_init(&d->lock);
		INIT_LIST_HEAD(&d->rings);
		init_waitqueue_head(&d->wait);
		list_add(&d->list, &domains);
	}
	d->refs++;
out:
	mutex_unlock(&registry);
	return d;
}

void kemari_domain_hold(struct kemari_domain *d)
{
	mutex_lock(&registry);
	d->refs++;
	mutex_unlock(&registry);
}

void kemari_domain_put(struct kemari_domain *d)
{
	mutex_lock(&registry);
	if (!--d->refs) {
		list_del(&d->list);
		kfree(d);
	}
	mutex_unlock(&registry);
}

int kemari_uuid_of(u32 domid, u8 uuid[16])
{
	char path[PATH_BYTES], *vm;
	uuid_t parsed;
	int r = 0;

	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	vm = xenbus_read(XBT_NIL, path, "vm", NULL);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	if (strncmp(vm, "/vm/", 4) || uuid_parse(vm + 4, &parsed))
		r = -ENOENT;
	else
		export_uuid(uuid, &parsed);
	kfree(vm);
	return r;
}

static bool in_xenstore(u32 domid)
{
	char path[PATH_BYTES], **names;
	unsigned int n;

	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	names = xenbus_directory(XBT_NIL, path, "", &n);
	if (IS_ERR(names))
		return PTR_ERR(names) != -ENOENT;
	kfree(names);
	return true;
}

void kemari_end_gate(struct kemari_domain *d)
{
	d->shut = false;
	wake_up_interruptible(&d->wait);
}

/* End the gate of a domain that is gone.  The caller holds a reference. */
static void end_if_gone(struct kemari_domain *d)
{
	bool ended = false;

	mutex_lock(&d->lock);
	if (d->shut && list_empty(&d->rings) && !in_xenstore(d->domid)) {
		kemari_end_gate(d);
		ended = true;
	}
	mutex_unlock(&d->lock);
	if (ended)
		kemari_domain_put(d);
}

static void on_release(struct xenbus_watch *watch, const char *path,
		       const char *token)
{
	struct kemari_domain *d, *before = NULL;

	mutex_lock(&registry);
	list_for_each_entry(d, &domains, list) {
		d->refs++;
		mutex_unlock(&registry);
		if (before)
			kemari_domain_put(before);
		end_if_gone(d);
		before = d;
		mutex_lock(&registry);
	}
	mutex_unlock(&registry);
	if (before)
		kemari_domain_put(before);
}

/* Any domain ended. */
static struct xenbus_watch release_watch = {
	.node = "@releaseDomain",
	.callback = on_release,
};

/* --- registry of rings -------------------------------------------------- */

static bool valid(const struct kemari_ring_desc *desc)
{
	const struct kemari_back_ring *b = desc->back;

	return b && b->sring && is_power_of_2(b->nr_ents) && desc->kick &&
	       desc->rsp_bytes <= KEMARI_RSP_BYTES &&
	       desc->rsp_bytes <= desc->stride;
}

/* Is the gate that is shut this domain's, and not one's before it with the
 * same number?  If nothing is known it is. */
static bool same_life(struct kemari_domain *d)
{
	u8 uuid[16];

	return kemari_uuid_of(d->domid, uuid) || !memcmp(uuid, d->uuid, 16);
}

/* Domain's lock held. */
static int add_ring(struct kemari_domain *d, struct kemari_ring *kr, bool shut)
{
	struct kemari_slot *slots = NULL;

	if (d->n == KEMARI_GATE_RINGS_MAX)
		return -E2BIG;
	if (shut && kr_fenced(kr)) {
		slots = kr_slots(kr);
		if (!slots)
			return -ENOMEM;
	}
	kr->domain = d;
	list_add_tail(&kr->list, &d->rings);
	d->n++;
	if (shut)
		kr_attach(kr, slots);
	if (shut && d->order.frozen)
		kr_freeze(kr);
	return 0;
}

int kemari_ring_register(struct kemari_ring *kr,
			 const struct kemari_ring_desc *desc)
{
	struct kemari_domain *d;
	bool ours, stale = false;
	int r;

	if (!valid(desc) || kr->domain)
		return -EINVAL;
	d = kemari_domain_make(desc->domid);
	if (!d)
		return -ENOMEM;
	kr->desc = *desc;
	mutex_lock(&d->lock);
	ours = d->shut && same_life(d);
	if (d->shut && !ours && list_empty(&d->rings)) {
		kemari_end_gate(d);
		stale = true;
	}
	r = add_ring(d, kr, ours);
	mutex_unlock(&d->lock);
	if (stale)
		kemari_domain_put(d);
	if (r)
		kemari_domain_put(d);
	return r;
}
EXPORT_SYMBOL_GPL(kemari_ring_register);

void kemari_ring_unregister(struct kemari_ring *kr)
{
	struct kemari_domain *d = kr->domain;

	if (!d)
		return;
	mutex_lock(&d->lock);
	list_del(&kr->list);
	d->n--;
	kr_reset(kr);
	mutex_unlock(&d->lock);
	end_if_gone(d);
	kemari_domain_put(d);
}
EXPORT_SYMBOL_GPL(kemari_ring_unregister);

/* --- the module --------------------------------------------------------- */

static bool watching;

/* dom0's xenstored may start long after this module. */
static int on_xenstore(struct notifier_block *nb, unsigned long event,
		       void *data)
{
	int r = register_xenbus_watch(&release_watch);

	watching = !r;
	if (r)
		pr_err("kemari-gate: cannot watch %s: %d\n",
		       release_watch.node, r);
	return NOTIFY_DONE;
}

static struct notifier_block xenstore_up = {
	.notifier_call = on_xenstore,
};

int kemari_registry_init(void)
{
	return register_xenstore_notifier(&xenstore_up);
}

/* No ring is registered and no file open: what is left are shut gates. */
void kemari_registry_exit(void)
{
	struct kemari_domain *d, *next;

	unregister_xenstore_notifier(&xenstore_up);
	if (watching)
		unregister_xenbus_watch(&release_watch);
	list_for_each_entry_safe(d, next, &domains, list)
		kfree(d);
}
