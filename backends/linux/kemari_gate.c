// SPDX-License-Identifier: GPL-2.0-only
/*
 * kemari_gate.c - the domains, their rings, and the calls on a whole domain
 *
 * Locks: a domain's, then registry; a reference is put with neither.  A kick
 * and all of kr_*() run under the domain's lock, so that a ring cannot go
 * meanwhile.
 *
 * A gate outlives its controller and the rings it is about (INV-30): a guest
 * that reconnects a disk is fenced from its first request on.  It ends by OPEN,
 * or when xenstore has no such domain any more and no ring is left.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <xen/xenbus.h>

#include "backends/linux/kemari_int.h"

enum {
	SETTLE_MS = 2000,	/* most that SHUT waits for the backends */
	SETTLE_STEP_US = 500,
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

static struct kemari_domain *get_or_make(u32 domid)
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

static void hold(struct kemari_domain *d)
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

/* The UUID of domain @domid in xenstore: 0, -ENOENT it has none, or an error
 * of the store. */
static int uuid_of(u32 domid, u8 uuid[16])
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

/* The gate is gone.  Domain's lock held; the caller puts a reference. */
static void end_gate(struct kemari_domain *d)
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
		end_gate(d);
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

	return uuid_of(d->domid, uuid) || !memcmp(uuid, d->uuid, 16);
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
	d = get_or_make(desc->domid);
	if (!d)
		return -ENOMEM;
	kr->desc = *desc;
	mutex_lock(&d->lock);
	ours = d->shut && same_life(d);
	if (d->shut && !ours && list_empty(&d->rings)) {
		end_gate(d);
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

/* --- calls -------------------------------------------------------------- */

static void for_rings(struct kemari_domain *d, void (*f)(struct kemari_ring *))
{
	struct kemari_ring *kr;

	list_for_each_entry(kr, &d->rings, list)
		f(kr);
}

/* Stock rings become gated.  Domain's lock held. */
static int shut_rings(struct kemari_domain *d)
{
	struct kemari_slot *slots;
	struct kemari_ring *kr;

	list_for_each_entry(kr, &d->rings, list) {
		if (!kr_fenced(kr) || kr->gated)
			continue;
		slots = kr_slots(kr);
		if (!slots)
			return -ENOMEM;
		kr_shut(kr, slots);
	}
	return 0;
}

/* Is there a fence in each ring?  Domain's lock held. */
static bool settled(struct kemari_domain *d, bool kick)
{
	struct kemari_ring *kr;
	bool all = true;

	list_for_each_entry(kr, &d->rings, list) {
		if (!kemari_ring_unsettled(kr))
			continue;
		all = false;
		if (kick)
			kr_kick(kr);
	}
	return all;
}

/* Requests that are being served are answered first. */
static int wait_settled(struct kemari_domain *d)
{
	unsigned long end = jiffies + msecs_to_jiffies(SETTLE_MS);
	bool ok;

	for (;;) {
		mutex_lock(&d->lock);
		ok = settled(d, true);
		mutex_unlock(&d->lock);
		if (ok)
			return 0;
		if (time_after(jiffies, end))
			return -EBUSY;
		if (fatal_signal_pending(current))
			return -EINTR;
		usleep_range(SETTLE_STEP_US, 2 * SETTLE_STEP_US);
	}
}

/* The gate's UUID and generation, at SHUT and ATTACH.  Domain's lock held. */
static int claim(struct kemari_domain *d, const struct kemari_gate_call *c)
{
	u64 before = d->order.generation;
	int r;

	if (memcmp(d->uuid, c->uuid, 16)) {
		if (d->shut)
			return -ESTALE;
		memcpy(d->uuid, c->uuid, 16);
		memset(&d->order, 0, sizeof(d->order));
	}
	if (!d->shut)
		d->order.frozen = false;
	r = gate_order_shut(&d->order, c->generation);
	if (!r && d->order.generation != before)
		for_rings(d, kr_forget);
	return r;
}

/* Domain's lock held. */
static int shut(struct kemari_domain *d, const struct kemari_gate_call *c)
{
	int r = claim(d, c);

	if (r)
		return r;
	r = shut_rings(d);
	if (r && !d->shut)
		for_rings(d, kr_open);
	return r;
}

int kemari_shut(const struct kemari_gate_call *c)
{
	struct kemari_domain *d;
	u8 uuid[16];
	int r = uuid_of(c->domid, uuid);

	if (r)
		return r == -ENOENT ? -ENODEV : r;
	if (memcmp(uuid, c->uuid, 16))
		return -ESTALE;
	d = get_or_make(c->domid);
	if (!d)
		return -ENOMEM;
	mutex_lock(&d->lock);
	r = shut(d, c);
	if (!r && !d->shut) {
		d->shut = true;
		hold(d);
	}
	mutex_unlock(&d->lock);
	if (!r)
		r = wait_settled(d);
	kemari_domain_put(d);
	return r;
}

int kemari_attach(const struct kemari_gate_call *c)
{
	struct kemari_domain *d = kemari_domain_get(c->domid);
	int r = -ENODEV;

	if (!d)
		return -ENODEV;
	mutex_lock(&d->lock);
	if (d->shut)
		r = claim(d, c);
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return r;
}

static int next_order(struct gate_order *o, unsigned int cmd,
		      const struct kemari_gate_call *c)
{
	switch (cmd) {
	case KEMARI_GATE_FREEZE:
		return gate_order_freeze(o, c->generation);
	case KEMARI_GATE_CAPTURE:
		return gate_order_capture(o, c->generation, c->epoch);
	case KEMARI_GATE_THAW:
		return gate_order_thaw(o, c->generation);
	case KEMARI_GATE_RELEASE:
		return gate_order_release(o, c->generation, c->epoch);
	case KEMARI_GATE_OPEN:
		return gate_order_open(o, c->generation);
	case KEMARI_GATE_BEYOND:
		return gate_order_shut(o, c->generation);
	default:
		return -ENOTTY;
	}
}

static void freeze(struct kemari_domain *d)
{
	for_rings(d, kr_freeze);
	d->freezes++;
	d->frozen_since = ktime_get_ns();
}

static void thaw(struct kemari_domain *d)
{
	for_rings(d, kr_thaw);
	d->frozen_ns += ktime_get_ns() - d->frozen_since;
}

/* Does a ring of the port have requests behind its fence? */
static int port_beyond(struct kemari_domain *d, u32 port)
{
	struct kemari_ring *kr;
	int r = -ENOENT;

	list_for_each_entry(kr, &d->rings, list) {
		if (kr->desc.port != port)
			continue;
		if (kr_beyond(kr))
			return 1;
		r = 0;
	}
	if (!r)
		atomic64_inc(&d->spared);
	return r;
}

/* What @cmd means to the rings.  Domain's lock held. */
static int act(struct kemari_domain *d, unsigned int cmd,
	       const struct kemari_gate_call *c, bool was_frozen)
{
	struct kemari_ring *kr;

	switch (cmd) {
	case KEMARI_GATE_FREEZE:
		if (!was_frozen)
			freeze(d);
		break;
	case KEMARI_GATE_CAPTURE:
		list_for_each_entry(kr, &d->rings, list)
			kr_capture(kr, c->epoch);
		break;
	case KEMARI_GATE_THAW:
		if (was_frozen)
			thaw(d);
		break;
	case KEMARI_GATE_RELEASE:
		list_for_each_entry(kr, &d->rings, list)
			kr_release(kr, c->epoch);
		break;
	case KEMARI_GATE_OPEN:
		if (was_frozen)
			thaw(d);
		for_rings(d, kr_open);
		end_gate(d);
		break;
	case KEMARI_GATE_BEYOND:
		return port_beyond(d, c->port);
	}
	return 0;
}

/* Domain's lock held. */
static int call(struct kemari_domain *d, unsigned int cmd,
		const struct kemari_gate_call *c)
{
	struct gate_order next = d->order;
	bool opened = d->order.opened;
	int r;

	if (memcmp(d->uuid, c->uuid, 16))
		return -ESTALE;
	r = next_order(&next, cmd, c);
	if (r)
		return r;
	if (!d->shut)
		return cmd == KEMARI_GATE_OPEN && opened ? 0 : -ENODEV;
	if (cmd == KEMARI_GATE_FREEZE && !settled(d, false))
		return -EBUSY;
	/* What an older generation captured is not this one's to release. */
	if (next.generation != d->order.generation)
		for_rings(d, kr_forget);
	swap(d->order, next);
	return act(d, cmd, c, next.frozen);
}

int kemari_call(struct kemari_domain *d, unsigned int cmd,
		const struct kemari_gate_call *c)
{
	bool was_shut, ended;
	int r;

	mutex_lock(&d->lock);
	was_shut = d->shut;
	r = call(d, cmd, c);
	ended = was_shut && !d->shut;
	mutex_unlock(&d->lock);
	if (ended)
		kemari_domain_put(d);
	return r;
}

/* --- looking ------------------------------------------------------------ */

/* Rings with requests behind their fence.  Domain's lock held. */
static u32 waiting(struct kemari_domain *d)
{
	struct kemari_ring *kr;
	u32 n = 0;

	list_for_each_entry(kr, &d->rings, list)
		n += kr_beyond(kr);
	return n;
}

bool kemari_waits(struct kemari_domain *d)
{
	bool yes;

	mutex_lock(&d->lock);
	yes = waiting(d);
	mutex_unlock(&d->lock);
	return yes;
}

static void fill(struct kemari_domain *d, struct kemari_gate_query *q)
{
	q->rings = d->n;
	memcpy(q->uuid, d->uuid, 16);
	q->generation = d->order.generation;
	q->captured = d->order.captured;
	q->released = d->order.released;
	q->frozen = d->order.frozen;
	q->waiting = waiting(d);
	q->fenced = atomic64_read(&d->met);
	q->queued = atomic64_read(&d->queued);
	q->spared = atomic64_read(&d->spared);
	q->freezes = d->freezes;
	q->frozen_ns = d->frozen_ns;
	if (d->order.frozen)
		q->frozen_ns += ktime_get_ns() - d->frozen_since;
}

int kemari_query(struct kemari_gate_query *q)
{
	struct kemari_domain *d = kemari_domain_get(q->domid);
	int r = -ENODEV;

	if (!d)
		return -ENODEV;
	mutex_lock(&d->lock);
	if (d->shut) {
		fill(d, q);
		r = 0;
	}
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return r;
}

int kemari_rings(u32 domid, struct kemari_gate_ring *out, u32 room, u32 *n)
{
	struct kemari_domain *d = kemari_domain_get(domid);
	struct kemari_ring *kr;
	u32 i = 0;

	*n = 0;
	if (!d)
		return 0;
	mutex_lock(&d->lock);
	*n = d->n;
	list_for_each_entry(kr, &d->rings, list) {
		if (i == room)
			break;
		kr_describe(kr, &out[i++]);
	}
	mutex_unlock(&d->lock);
	kemari_domain_put(d);
	return *n > room ? -E2BIG : 0;
}

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

int kemari_gate_init(void)
{
	return register_xenstore_notifier(&xenstore_up);
}

/* No ring is registered and no file open: what is left are shut gates. */
void kemari_gate_exit(void)
{
	struct kemari_domain *d, *next;

	unregister_xenstore_notifier(&xenstore_up);
	if (watching)
		unregister_xenbus_watch(&release_watch);
	list_for_each_entry_safe(d, next, &domains, list)
		kfree(d);
}
