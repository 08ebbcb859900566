/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_hv.c - the calls of hypervisor/public/kemari.h, one function each
 *
 * In: plain arguments.  Out: a struct xen_hvm_kemari in hypercall-safe memory,
 * through HVMOP_kemari of an unmodified libxencall.
 */
#include "libxc-ext/xen_hv.h"

#include <errno.h>
#include <string.h>

static const char *const cmd_name[] = {
	[KEMARI_CMD_enable] = "enable",
	[KEMARI_CMD_disable] = "disable",
	[KEMARI_CMD_query] = "query",
	[KEMARI_CMD_eligible] = "eligible",
	[KEMARI_CMD_policy] = "policy",
	[KEMARI_CMD_pause] = "pause",
	[KEMARI_CMD_resume] = "resume",
	[KEMARI_CMD_begin] = "begin",
	[KEMARI_CMD_release] = "release",
	[KEMARI_CMD_harvest] = "harvest",
	[KEMARI_CMD_get_evtchn] = "get_evtchn",
	[KEMARI_CMD_set_evtchn] = "set_evtchn",
	[KEMARI_CMD_get_vcpu] = "get_vcpu",
	[KEMARI_CMD_set_vcpu] = "set_vcpu",
	[KEMARI_CMD_get_dom] = "get_dom",
	[KEMARI_CMD_set_dom] = "set_dom",
	[KEMARI_CMD_get_context] = "get_context",
	[KEMARI_CMD_set_context] = "set_context",
	[KEMARI_CMD_activate] = "activate",
	[KEMARI_CMD_deliver] = "deliver",
	[KEMARI_CMD_get_pirqs] = "get_pirqs",
	[KEMARI_CMD_set_pirqs] = "set_pirqs",
};

/* What an errno of the hypervisor means, whatever the command. */
static const char *meaning(int err)
{
	switch (err) {
	case ENOENT:
		return "Kemari is not enabled for this domain";
	case ESRCH:
		return "no such domain";
	case ESTALE:
		return "the generation is not the domain's";
	case EOPNOTSUPP:
		return "not an HVM or PVH domain";
	case EAGAIN:
		return "the domain is not stopped by Kemari";
	case EXDEV:
		return "the domain is not eligible";
	case EADDRINUSE:
		return "the event-channel port is taken";
	case ERANGE:
		return "the epoch is not captured";
	case EALREADY:
		return "the epoch was released before";
	case ENODEV:
		return "dirty tracking is off";
	case EIO:
		return "dirty information was lost";
	case ENOBUFS:
		return "more frames are dirty than fit";
	default:
		return strerror(err);
	}
}

static struct xen_hvm_kemari *prepare(struct xen_host *h)
{
	memset(h->arg, 0, sizeof(*h->arg));
	return h->arg;
}

static int call(struct xen_host *h, uint32_t domid, uint32_t cmd)
{
	struct xen_hvm_kemari *a = h->arg;
	int err;

	a->version = KEMARI_VERSION;
	a->cmd = cmd;
	a->domid = domid;
	if (domid >= DOMID_FIRST_RESERVED)
		return xen_fail(h, ESRCH, "domain ID %u is not below %u",
				domid, DOMID_FIRST_RESERVED);
	if (xencall2(h->call, __HYPERVISOR_hvm_op, HVMOP_kemari,
		     (uintptr_t)a) >= 0)
		return 0;

	err = errno;
	if (err == ENOSYS)
		return xen_fail(h, err,
				"this host's Xen has no Kemari: boot the "
				"hypervisor built by \"make xen\"");
	if (err == EPROTO)
		return xen_fail(h, err,
				"this host's Xen speaks version %u of Kemari's "
				"interface, this program version %u",
				a->version, KEMARI_VERSION);
	if (err == EPERM)
		return xen_fail(h, err, "%s of domain %u refused: not the "
				"control domain, or not in this state",
				cmd_name[cmd], domid);
	return xen_fail(h, err, "domain %u: %s: %s", domid, cmd_name[cmd],
			meaning(err));
}

int xen_hv_enable(struct xen_host *h, uint32_t domid, uint64_t generation,
		  uint32_t role, uint32_t mode, uint64_t dirty_limit,
		  uint32_t *port)
{
	struct xen_hvm_kemari_enable *e = &prepare(h)->u.enable;

	e->generation = generation;
	e->dirty_limit = dirty_limit;
	e->role = role;
	e->mode = mode;
	e->port = *port;
	if (call(h, domid, KEMARI_CMD_enable))
		return -1;
	*port = e->port;
	return 0;
}

int xen_hv_disable(struct xen_host *h, uint32_t domid, uint64_t generation,
		   bool standby)
{
	struct xen_hvm_kemari_disable *d = &prepare(h)->u.disable;

	d->generation = generation;
	d->flags = standby ? KEMARI_DISABLE_STANDBY : 0;
	return call(h, domid, KEMARI_CMD_disable);
}

int xen_hv_query(struct xen_host *h, uint32_t domid,
		 struct xen_hvm_kemari_query *q)
{
	struct xen_hvm_kemari *a = prepare(h);

	if (call(h, domid, KEMARI_CMD_query))
		return -1;
	*q = a->u.query;
	return 0;
}

int xen_hv_eligible(struct xen_host *h, uint32_t domid, uint32_t *reasons)
{
	struct xen_hvm_kemari *a = prepare(h);

	if (call(h, domid, KEMARI_CMD_eligible))
		return -1;
	*reasons = a->u.eligible.reasons;
	return 0;
}

int xen_hv_policy(struct xen_host *h, uint32_t domid, uint32_t port,
		  uint32_t policy)
{
	struct xen_hvm_kemari_policy *p = &prepare(h)->u.policy;

	p->port = port;
	p->policy = policy;
	return call(h, domid, KEMARI_CMD_policy);
}

int xen_hv_deliver(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint32_t port)
{
	struct xen_hvm_kemari_deliver *d = &prepare(h)->u.deliver;

	d->generation = generation;
	d->port = port;
	return call(h, domid, KEMARI_CMD_deliver);
}

static int epoch_call(struct xen_host *h, uint32_t domid, uint32_t cmd,
		      uint64_t generation, uint64_t epoch, uint32_t flags)
{
	struct xen_hvm_kemari_epoch *e = &prepare(h)->u.epoch;

	e->generation = generation;
	e->epoch = epoch;
	e->flags = flags;
	return call(h, domid, cmd);
}

int xen_hv_pause(struct xen_host *h, uint32_t domid, uint64_t generation)
{
	return epoch_call(h, domid, KEMARI_CMD_pause, generation, 0, 0);
}

int xen_hv_resume(struct xen_host *h, uint32_t domid, uint64_t generation)
{
	return epoch_call(h, domid, KEMARI_CMD_resume, generation, 0, 0);
}

int xen_hv_begin(struct xen_host *h, uint32_t domid, uint64_t generation,
		 uint64_t epoch, bool merge)
{
	return epoch_call(h, domid, KEMARI_CMD_begin, generation, epoch,
			  merge ? KEMARI_BEGIN_MERGE : 0);
}

int xen_hv_release(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint64_t epoch)
{
	return epoch_call(h, domid, KEMARI_CMD_release, generation, epoch, 0);
}

int xen_hv_harvest(struct xen_host *h, uint32_t domid, uint64_t generation,
		   uint64_t *gfn, size_t cap, size_t *n)
{
	struct xen_hvm_kemari_harvest *a = &prepare(h)->u.harvest;
	uint64_t *buf;

	if (cap > KEMARI_MAX_DIRTY)
		cap = KEMARI_MAX_DIRTY;
	buf = xen_host_bounce(h, (cap ? cap : 1) * sizeof(*buf));
	if (!buf)
		return -1;
	a->generation = generation;
	a->nr = cap;
	set_xen_guest_handle_raw(a->gfns, buf);
	if (call(h, domid, KEMARI_CMD_harvest)) {
		*n = errno == ENOBUFS ? a->nr : 0;
		return -1;
	}
	if (a->nr > cap)
		return xen_fail(h, EPROTO, "domain %u: harvest answered %llu "
				"frames for room of %zu", domid,
				(unsigned long long)a->nr, cap);
	memcpy(gfn, buf, a->nr * sizeof(*gfn));
	*n = a->nr;
	return 0;
}

int xen_hv_get_evtchns(struct xen_host *h, uint32_t domid, uint32_t first,
		       struct xen_hvm_kemari_evtchn *e, uint32_t *n)
{
	struct xen_hvm_kemari_evtchns *a = &prepare(h)->u.evtchns;
	struct xen_hvm_kemari_evtchn *buf;

	buf = xen_host_bounce(h, *n * sizeof(*buf));
	if (!buf)
		return -1;
	a->first = first;
	a->nr = *n;
	set_xen_guest_handle_raw(a->array, buf);
	if (call(h, domid, KEMARI_CMD_get_evtchn))
		return -1;
	if (a->nr < *n)
		*n = a->nr;
	memcpy(e, buf, *n * sizeof(*e));
	return 0;
}

int xen_hv_set_evtchns(struct xen_host *h, uint32_t domid,
		       const struct xen_hvm_kemari_evtchn *e, uint32_t n)
{
	struct xen_hvm_kemari_evtchns *a = &prepare(h)->u.evtchns;
	struct xen_hvm_kemari_evtchn *buf;

	buf = xen_host_bounce(h, n * sizeof(*buf));
	if (!buf)
		return -1;
	memcpy(buf, e, n * sizeof(*buf));
	a->nr = n;
	set_xen_guest_handle_raw(a->array, buf);
	return call(h, domid, KEMARI_CMD_set_evtchn);
}

int xen_hv_get_pirqs(struct xen_host *h, uint32_t domid,
		     struct xen_hvm_kemari_pirqs *p)
{
	struct xen_hvm_kemari *a = prepare(h);

	if (call(h, domid, KEMARI_CMD_get_pirqs))
		return -1;
	if (a->u.pirqs.nr > KEMARI_MAX_GSIS)
		return xen_fail(h, EPROTO, "domain %u: get_pirqs answered %u "
				"interrupt lines, at most %d", domid,
				a->u.pirqs.nr, KEMARI_MAX_GSIS);
	*p = a->u.pirqs;
	return 0;
}

int xen_hv_set_pirqs(struct xen_host *h, uint32_t domid,
		     const struct xen_hvm_kemari_pirqs *p)
{
	prepare(h)->u.pirqs = *p;
	return call(h, domid, KEMARI_CMD_set_pirqs);
}

int xen_hv_get_vcpu(struct xen_host *h, uint32_t domid,
		    struct xen_hvm_kemari_vcpu *v)
{
	struct xen_hvm_kemari *a = prepare(h);

	a->u.vcpu.vcpu = v->vcpu;
	if (call(h, domid, KEMARI_CMD_get_vcpu))
		return -1;
	*v = a->u.vcpu;
	return 0;
}

int xen_hv_set_vcpu(struct xen_host *h, uint32_t domid,
		    const struct xen_hvm_kemari_vcpu *v)
{
	prepare(h)->u.vcpu = *v;
	return call(h, domid, KEMARI_CMD_set_vcpu);
}

int xen_hv_get_dom(struct xen_host *h, uint32_t domid,
		   struct xen_hvm_kemari_dom *d)
{
	struct xen_hvm_kemari *a = prepare(h);

	if (call(h, domid, KEMARI_CMD_get_dom))
		return -1;
	*d = a->u.dom;
	return 0;
}

int xen_hv_set_dom(struct xen_host *h, uint32_t domid,
		   const struct xen_hvm_kemari_dom *d)
{
	prepare(h)->u.dom = *d;
	return call(h, domid, KEMARI_CMD_set_dom);
}

int xen_hv_context_size(struct xen_host *h, uint32_t domid, size_t *size)
{
	struct xen_hvm_kemari *a = prepare(h);

	if (call(h, domid, KEMARI_CMD_get_context))
		return -1;
	*size = a->u.context.nr;
	return 0;
}

int xen_hv_get_context(struct xen_host *h, uint32_t domid, void *buf,
		       size_t *len, uint64_t *guest_time)
{
	struct xen_hvm_kemari_context *c = &prepare(h)->u.context;
	void *safe = xen_host_bounce(h, *len);

	if (!safe)
		return -1;
	c->nr = *len;
	set_xen_guest_handle_raw(c->buffer, safe);
	if (call(h, domid, KEMARI_CMD_get_context))
		return -1;
	if (c->nr > *len)
		return xen_fail(h, EPROTO, "domain %u: get_context answered "
				"%llu bytes for room of %zu", domid,
				(unsigned long long)c->nr, *len);
	*len = c->nr;
	memcpy(buf, safe, *len);
	*guest_time = c->guest_time;
	return 0;
}

int xen_hv_set_context(struct xen_host *h, uint32_t domid, const void *buf,
		       size_t len, uint64_t guest_time, uint64_t advance)
{
	struct xen_hvm_kemari_context *c = &prepare(h)->u.context;
	void *safe = xen_host_bounce(h, len);

	if (!safe)
		return -1;
	memcpy(safe, buf, len);
	c->guest_time = guest_time;
	c->advance = advance;
	c->nr = len;
	set_xen_guest_handle_raw(c->buffer, safe);
	return call(h, domid, KEMARI_CMD_set_context);
}

int xen_hv_activate(struct xen_host *h, uint32_t domid, uint64_t generation,
		    uint64_t new_generation)
{
	struct xen_hvm_kemari_activate *a = &prepare(h)->u.activate;

	a->generation = generation;
	a->new_generation = new_generation;
	return call(h, domid, KEMARI_CMD_activate);
}
