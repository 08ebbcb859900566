// SPDX-License-Identifier: GPL-2.0-only
/*
 * kemari_dev.c - /dev/kemari-gate, for root
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <xen/xen.h>

#include "backends/linux/kemari_int.h"

/** struct kemari_file - one controller, of one domain */
struct kemari_file {
	struct mutex lock;		/* bound once, then constant */
	struct kemari_domain *domain;
	atomic64_t told;		/* of the domain's met */
};

static int gate_open(struct inode *inode, struct file *file)
{
	struct kemari_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	file->private_data = f;
	return stream_open(inode, file);
}

/* Changes nothing: what is shut stays shut (INV-30). */
static int gate_release(struct inode *inode, struct file *file)
{
	struct kemari_file *f = file->private_data;

	if (f->domain)
		kemari_domain_put(f->domain);
	kfree(f);
	return 0;
}

static struct kemari_domain *bound(struct kemari_file *f)
{
	return smp_load_acquire(&f->domain);
}

/* From here on the file speaks for @domid.  Its lock held. */
static int bind_to(struct kemari_file *f, u32 domid)
{
	struct kemari_domain *d;

	if (f->domain)
		return 0;
	d = kemari_domain_get(domid);
	if (!d)
		return -ENODEV;
	atomic64_set(&f->told, atomic64_read(&d->met));
	/* What waits already is news to this file. */
	if (kemari_waits(d))
		atomic64_dec(&f->told);
	smp_store_release(&f->domain, d);
	return 0;
}

/* SHUT, ATTACH.  A gate that is shut though not all is ready is bound too. */
static int begin(struct kemari_file *f, unsigned int cmd,
		 const struct kemari_gate_call *c)
{
	int r, b;

	mutex_lock(&f->lock);
	if (f->domain && f->domain->domid != c->domid)
		r = -EINVAL;
	else if (cmd == KEMARI_GATE_SHUT)
		r = kemari_shut(c);
	else
		r = kemari_attach(c);
	if (!r || r == -EBUSY) {
		b = bind_to(f, c->domid);
		if (b)
			r = b;
	}
	mutex_unlock(&f->lock);
	return r;
}

static int do_call(struct kemari_file *f, unsigned int cmd,
		   const struct kemari_gate_call *c)
{
	struct kemari_domain *d = bound(f);
	bool epoch = cmd == KEMARI_GATE_CAPTURE || cmd == KEMARI_GATE_RELEASE;

	if (!c->generation || (c->port && cmd != KEMARI_GATE_BEYOND) ||
	    (c->epoch && !epoch))
		return -EINVAL;
	if (cmd == KEMARI_GATE_SHUT || cmd == KEMARI_GATE_ATTACH)
		return begin(f, cmd, c);
	if (!d)
		return -ENOTCONN;
	if (d->domid != c->domid)
		return -EINVAL;
	return kemari_call(d, cmd, c);
}

static int do_rings(struct kemari_gate_rings __user *arg)
{
	struct kemari_gate_rings r;
	struct kemari_gate_ring *list = NULL;
	u32 room;
	int err;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	room = min_t(u32, r.n, KEMARI_GATE_RINGS_MAX);
	if (room) {
		list = kvcalloc(room, sizeof(*list), GFP_KERNEL);
		if (!list)
			return -ENOMEM;
	}
	err = kemari_rings(r.domid, list, room, &r.n);
	room = min(room, r.n);
	if (room && copy_to_user(u64_to_user_ptr(r.rings), list,
				 room * sizeof(*list)))
		err = -EFAULT;
	kvfree(list);
	if (put_user(r.n, &arg->n))
		err = -EFAULT;
	return err;
}

static int do_query(struct kemari_gate_query __user *arg)
{
	struct kemari_gate_query q = { 0 };
	int r;

	if (get_user(q.domid, &arg->domid))
		return -EFAULT;
	r = kemari_query(&q);
	if (!r && copy_to_user(arg, &q, sizeof(q)))
		r = -EFAULT;
	return r;
}

static long gate_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;
	struct kemari_gate_call c;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	switch (cmd) {
	case KEMARI_GATE_GET_VERSION:
		return put_user(KEMARI_GATE_VERSION, (u32 __user *)p);
	case KEMARI_GATE_RINGS:
		return do_rings(p);
	case KEMARI_GATE_QUERY:
		return do_query(p);
	case KEMARI_GATE_SHUT:
	case KEMARI_GATE_ATTACH:
	case KEMARI_GATE_FREEZE:
	case KEMARI_GATE_CAPTURE:
	case KEMARI_GATE_THAW:
	case KEMARI_GATE_RELEASE:
	case KEMARI_GATE_OPEN:
	case KEMARI_GATE_BEYOND:
		if (copy_from_user(&c, p, sizeof(c)))
			return -EFAULT;
		return do_call(file->private_data, cmd, &c);
	default:
		return -ENOTTY;
	}
}

static __poll_t gate_poll(struct file *file, poll_table *wait)
{
	struct kemari_file *f = file->private_data;
	struct kemari_domain *d = bound(f);
	__poll_t mask = 0;

	if (!d)
		return 0;
	poll_wait(file, &d->wait, wait);
	if (atomic64_read(&d->met) != atomic64_read(&f->told))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (!READ_ONCE(d->shut))
		mask |= EPOLLHUP;
	return mask;
}

static ssize_t gate_read(struct file *file, char __user *buf, size_t n,
			 loff_t *pos)
{
	struct kemari_file *f = file->private_data;
	struct kemari_domain *d = bound(f);
	u64 met, news;

	if (n < sizeof(news))
		return -EINVAL;
	if (!d)
		return -ENOTCONN;
	met = atomic64_read(&d->met);
	news = met - (u64)atomic64_xchg(&f->told, met);
	if (!news)
		return -EAGAIN;
	return copy_to_user(buf, &news, sizeof(news)) ? -EFAULT :
							sizeof(news);
}

static const struct file_operations gate_fops = {
	.owner = THIS_MODULE,
	.open = gate_open,
	.release = gate_release,
	.unlocked_ioctl = gate_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = gate_poll,
	.read = gate_read,
	.llseek = no_llseek,
};

static struct miscdevice gate_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kemari-gate",
	.fops = &gate_fops,
	.mode = 0600,
};

static int __init kemari_init(void)
{
	int r;

	if (!xen_initial_domain())
		return -ENODEV;
	r = kemari_registry_init();
	if (r)
		return r;
	r = misc_register(&gate_device);
	if (r)
		kemari_registry_exit();
	return r;
}

static void __exit kemari_exit(void)
{
	misc_deregister(&gate_device);
	kemari_registry_exit();
}

module_init(kemari_init);
module_exit(kemari_exit);

MODULE_DESCRIPTION("Kemari: fence and freeze of a protected guest's rings");
MODULE_LICENSE("GPL");
