/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_image.c - records of xen_records.h, read and checked
 */
#include "libxc-ext/xen_image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/params.h>
#include <xen/hvm/save.h>

#include "ioemu/dm.h"
#include "libxc-ext/dm_args.h"
#include "libxc-ext/nodes.h"

#define VCPU_FLAGS (KEMARI_VF_INT_STI | KEMARI_VF_INT_MOVSS |		\
		    KEMARI_VF_RUNSTATE | KEMARI_VF_TIME | KEMARI_VF_SINGLESHOT)

static_assert((int)XEN_GSIS_MAX == KEMARI_MAX_GSIS, "layout of PIRQS");

enum {
	INFO_SIZE = 64,			/* struct vcpu_info */
	INFO_SLOTS = 32,		/* of them in shared_info */
	DOMID_END = 0x7ff0,
	VIRQ_END = 24,
};

__attribute__((format(printf, 2, 3)))
static int bad(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, PLATFORM_WHY_MAX, fmt, ap);
	va_end(ap);
	errno = EPROTO;
	return -1;
}

static const char *type_name(uint16_t type)
{
	switch (type) {
	case RECORD_XEN_DOMAIN:
		return "DOMAIN";
	case RECORD_XEN_RANGES:
		return "RANGES";
	case RECORD_XEN_CPUID:
		return "CPUID";
	case RECORD_XEN_MSRS:
		return "MSRS";
	case RECORD_XEN_DM:
		return "DM";
	case RECORD_XEN_PIRQS:
		return "PIRQS";
	case RECORD_DM_STATE:
		return "device-model state";
	case RECORD_XEN_DOM:
		return "DOM";
	case RECORD_XEN_PARAMS:
		return "PARAMS";
	case RECORD_XEN_PORTS:
		return "PORTS";
	case RECORD_XEN_VCPU:
		return "VCPU";
	case RECORD_XEN_CONTEXT:
		return "CONTEXT";
	case RECORD_XEN_GRANT:
		return "GRANT";
	default:
		return "unknown";
	}
}

/* A record of a fixed size, of a list of such, or with such a head. */
static int sized(const struct record *r, size_t size, size_t max, char *why)
{
	if (r->length % size || r->length / size > max || !r->length)
		return bad(why, "record %s %u: length %u is not a multiple of "
			   "%zu up to %zu", type_name(r->type), r->instance,
			   r->length, size, size * max);
	return 0;
}

static int instance(const struct record *r, uint32_t limit, char *why)
{
	if (r->instance >= limit)
		return bad(why, "record %s: instance %u is not below %u",
			   type_name(r->type), r->instance, limit);
	return 0;
}

/* To be called for each record: 1 it is ours, 0 skip it, -1 failure. */
static int next(const void *records, size_t len, size_t *pos,
		struct record *r, char *why)
{
	int rc = record_next(records, len, pos, r);

	if (rc < 0)
		return bad(why, "the list of records is malformed at byte %zu "
			   "of %zu", *pos, len);
	return rc;
}

static int unknown(const struct record *r, char *why)
{
	if (r->type == RECORD_STORE || !(r->flags & RECORD_MANDATORY))
		return 0;
	return bad(why, "record of type %#x, instance %u, must be understood, "
		   "and is not known here", r->type, r->instance);
}

static int twice(const struct record *r, char *why)
{
	return bad(why, "record %s %u comes twice", type_name(r->type),
		   r->instance);
}

static int check_params(const struct xen_rec_param *p, uint32_t n, char *why)
{
	for (uint32_t i = 0; i < n; i++) {
		if (p[i].index >= HVM_NR_PARAMS)
			return bad(why, "HVM parameter %u is not below %u",
				   p[i].index, (unsigned int)HVM_NR_PARAMS);
		if (i && p[i].index <= p[i - 1].index)
			return bad(why, "HVM parameters are not in ascending "
				   "order: %u follows %u", p[i].index,
				   p[i - 1].index);
	}
	return 0;
}

uint64_t xen_param(const struct xen_rec_param *p, uint32_t n, uint32_t index)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i].index == index)
			return p[i].value;
	return 0;
}

bool xen_shape_has(const struct xen_shape *s, uint64_t gfn)
{
	size_t low = 0, high = s->p2m.n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct gfn_range *r = &s->p2m.range[mid];

		if (gfn < r->first)
			high = mid;
		else if (gfn - r->first >= r->count)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

/* --- describe ---------------------------------------------------------- */

static int read_ranges(const struct record *r, struct xen_p2m *p, char *why)
{
	const struct xen_rec_range *in = r->data;
	uint64_t end = 0;

	if (sized(r, sizeof(*in), PLATFORM_RANGES_MAX, why))
		return -1;
	p->n = r->length / sizeof(*in);
	p->range = calloc(p->n, sizeof(*p->range));
	if (!p->range)
		return -1;
	for (size_t i = 0; i < p->n; i++) {
		uint64_t first = in[i].first, count = in[i].count;

		if (first < end || first > PLATFORM_GFN_MAX || !count ||
		    count > PLATFORM_GFN_MAX - first)
			return bad(why, "range %zu of the guest's memory, "
				   "frame %#llx and %#llx more, does not follow "
				   "%#llx within %#x", i,
				   (unsigned long long)first,
				   (unsigned long long)count,
				   (unsigned long long)end, PLATFORM_GFN_MAX);
		end = first + count;
		p->pages += count;
		p->range[i] = (struct gfn_range){ first, count };
	}
	return 0;
}

static int read_domain(const struct record *r, struct xen_rec_domain *d,
		       char *why)
{
	if (sized(r, sizeof(*d), 1, why))
		return -1;
	memcpy(d, r->data, sizeof(*d));
	if (!d->domid || d->domid >= DOMID_END)
		return bad(why, "domain ID %u is not within 1..%d", d->domid,
			   DOMID_END - 1);
	if (!d->vcpus || d->vcpus > KEMARI_MAX_VCPUS)
		return bad(why, "%u vCPUs are not within 1..%d", d->vcpus,
			   KEMARI_MAX_VCPUS);
	if (d->max_grant_frames > XEN_GRANT_FRAMES_MAX)
		return bad(why, "a limit of %u grant frames is more than %d",
			   d->max_grant_frames, XEN_GRANT_FRAMES_MAX);
	if (d->kemari_port >= KEMARI_MAX_PORTS)
		return bad(why, "port %u is not below %d", d->kemari_port,
			   KEMARI_MAX_PORTS);
	if (d->max_pages > PLATFORM_GFN_MAX)
		return bad(why, "%llu pages are more than %d",
			   (unsigned long long)d->max_pages, PLATFORM_GFN_MAX);
	return 0;
}

static int read_copy(const struct record *r, size_t size, size_t max,
		     void *out, uint32_t *n, char *why)
{
	void **to = out;

	if (sized(r, size, max, why))
		return -1;
	*to = malloc(r->length);
	if (!*to)
		return -1;
	memcpy(*to, r->data, r->length);
	*n = r->length / size;
	return 0;
}

static int read_dm(const struct record *r, struct xen_rec_dm *d, char *why)
{
	if (sized(r, sizeof(*d), 1, why))
		return -1;
	memcpy(d, r->data, sizeof(*d));
	if (!d->memory_mib || d->memory_mib > DM_MEMORY_MAX)
		return bad(why, "device model: %u MiB are not within 1..%d",
			   d->memory_mib, DM_MEMORY_MAX);
	if (d->kernel > 1)
		return bad(why, "device model: %u is neither with nor without "
			   "a kernel", d->kernel);
	if (!d->first_port || d->first_port >= KEMARI_MAX_PORTS ||
	    !d->ports || d->ports > KEMARI_MAX_PORTS - d->first_port)
		return bad(why, "device model: %u ports from %u on are not "
			   "within 1..%d", d->ports, d->first_port,
			   KEMARI_MAX_PORTS - 1);
	return 0;
}

/* A device model's state, of which nothing is looked at but the form. */
static int check_dm_state(const struct record *r, char *why)
{
	struct dm_stream *s;
	int rc, err;

	if (instance(r, 1, why))
		return -1;
	s = malloc(sizeof(*s));
	if (!s)
		return -1;
	rc = dm_stream_read(s, r->data, r->length, why, PLATFORM_WHY_MAX);
	err = errno;
	free(s);
	errno = err;
	return rc;
}

bool xen_shape_dm_port(const struct xen_shape *s, uint32_t port)
{
	return s->dm.ports && port >= s->dm.first_port &&
	       port - s->dm.first_port < s->dm.ports;
}

static int shape_record(const struct record *r, struct xen_shape *s, char *why)
{
	if (r->type == RECORD_DM_STATE) {
		if (s->dm_len)
			return twice(r, why);
		s->dm_len = r->length;
		return check_dm_state(r, why);
	}
	if (r->type < RECORD_XEN_DOMAIN || r->type > RECORD_XEN_GRANT)
		return unknown(r, why);
	if (instance(r, 1, why))
		return -1;
	switch (r->type) {
	case RECORD_XEN_DOMAIN:
		if (s->dom.domid)
			return twice(r, why);
		return read_domain(r, &s->dom, why);
	case RECORD_XEN_RANGES:
		if (s->p2m.range)
			return twice(r, why);
		return read_ranges(r, &s->p2m, why);
	case RECORD_XEN_CPUID:
		if (s->cpuid)
			return twice(r, why);
		return read_copy(r, sizeof(*s->cpuid), XEN_CPUID_MAX,
				 &s->cpuid, &s->ncpuid, why);
	case RECORD_XEN_MSRS:
		if (s->msr)
			return twice(r, why);
		return read_copy(r, sizeof(*s->msr), XEN_MSRS_MAX, &s->msr,
				 &s->nmsr, why);
	case RECORD_XEN_PARAMS:
		if (s->nparam)
			return twice(r, why);
		if (sized(r, sizeof(s->param[0]), XEN_PARAMS_MAX, why))
			return -1;
		s->nparam = r->length / sizeof(s->param[0]);
		memcpy(s->param, r->data, r->length);
		return check_params(s->param, s->nparam, why);
	case RECORD_XEN_DM:
		if (s->dm.ports)
			return twice(r, why);
		return read_dm(r, &s->dm, why);
	default:
		return unknown(r, why);
	}
}

static int shape_check(const struct xen_shape *s, char *why)
{
	uint64_t store = xen_param(s->param, s->nparam, HVM_PARAM_STORE_PFN);
	uint64_t cons = xen_param(s->param, s->nparam, HVM_PARAM_CONSOLE_PFN);

	if (!s->dom.domid || !s->p2m.range || !s->cpuid || !s->nparam)
		return bad(why, "description of the domain: record %s is "
			   "missing", !s->dom.domid ? "DOMAIN" :
			   !s->p2m.range ? "RANGES" :
			   !s->cpuid ? "CPUID" : "PARAMS");
	if (s->dom.pages != s->p2m.pages)
		return bad(why, "description of the domain: %llu pages, but "
			   "its ranges have %llu",
			   (unsigned long long)s->dom.pages,
			   (unsigned long long)s->p2m.pages);
	if (!s->dm.ports != !s->dm_len)
		return bad(why, "description of the domain: %s of its device "
			   "model is missing", s->dm_len ? "record DM" :
			   "a state");
	if (s->dm.ports && (s->dm.ports != s->dom.vcpus + 1 ||
			    xen_shape_dm_port(s, s->dom.kemari_port)))
		return bad(why, "device model: ports %u and %u more, for %u "
			   "vCPUs; Kemari's own is port %u",
			   s->dm.first_port, s->dm.ports - 1, s->dom.vcpus,
			   s->dom.kemari_port);
	if (!xen_shape_has(s, s->dom.shared_info) ||
	    !xen_shape_has(s, store) || !xen_shape_has(s, cons))
		return bad(why, "description of the domain: shared_info %#llx, "
			   "xenstore page %#llx or console page %#llx is "
			   "outside of its memory",
			   (unsigned long long)s->dom.shared_info,
			   (unsigned long long)store,
			   (unsigned long long)cons);
	return 0;
}

int xen_shape_read(const void *records, size_t len, struct xen_shape *out,
		   char *why)
{
	struct record r;
	size_t pos = 0;
	int rc, err;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	while ((rc = next(records, len, &pos, &r, why)) > 0) {
		rc = shape_record(&r, out, why);
		if (rc)
			break;
	}
	if (!rc && !shape_check(out, why))
		return 0;
	err = errno;
	if (!why[0])
		snprintf(why, PLATFORM_WHY_MAX, "%s", strerror(err));
	xen_shape_free(out);
	errno = err;
	return -1;
}

void xen_shape_free(struct xen_shape *s)
{
	xen_p2m_free(&s->p2m);
	free(s->cpuid);
	free(s->msr);
	memset(s, 0, sizeof(*s));
}

/* --- checkpoint -------------------------------------------------------- */

static int check_vcpu(const struct record *r, const struct xen_shape *s,
		      char *why)
{
	const struct xen_rec_vcpu *v = r->data;

	if (sized(r, sizeof(*v), 1, why) || instance(r, s->dom.vcpus, why))
		return -1;
	if (v->flags & ~VCPU_FLAGS)
		return bad(why, "vCPU %u: flags %#x have unknown bits",
			   r->instance, v->flags);
	if (v->upcall_vector > 0xff)
		return bad(why, "vCPU %u: upcall vector %u is above 255",
			   r->instance, v->upcall_vector);
	if (v->info_gfn == ~0ull) {
		if (r->instance >= INFO_SLOTS)
			return bad(why, "vCPU %u: shared_info has room for the "
				   "vcpu_info of %d", r->instance, INFO_SLOTS);
		return 0;
	}
	if (!xen_shape_has(s, v->info_gfn) || v->info_offset % 8 ||
	    v->info_offset > PLATFORM_PAGE - INFO_SIZE)
		return bad(why, "vCPU %u: vcpu_info at frame %#llx offset %u "
			   "is not in the guest's memory", r->instance,
			   (unsigned long long)v->info_gfn, v->info_offset);
	return 0;
}

static bool is_pirq(const struct xen_image *i, uint16_t pirq)
{
	for (uint32_t gsi = 0; i->pirqs && gsi < XEN_GSIS_MAX; gsi++)
		if (i->pirqs->pirq[gsi] == pirq)
			return pirq != KEMARI_PIRQ_NONE;
	return false;
}

static int check_pirqs(const struct xen_rec_pirqs *p, char *why)
{
	for (uint32_t a = 0; a < XEN_GSIS_MAX; a++)
		for (uint32_t b = 0; b < a; b++)
			if (p->pirq[a] != KEMARI_PIRQ_NONE &&
			    p->pirq[a] == p->pirq[b])
				return bad(why, "pirq %u stands for the "
					   "interrupt lines %u and %u",
					   p->pirq[a], b, a);
	return 0;
}

static int check_ports(const struct xen_image *i, const struct xen_shape *s,
		       char *why)
{
	for (uint32_t n = 0; n < i->dom->ports; n++) {
		const struct xen_rec_port *p = &i->port[n];

		if (p->state > KEMARI_EVTCHN_PIRQ || p->zero || p->zero2)
			return bad(why, "port %u: unknown state %u", n,
				   p->state);
		if ((p->state == KEMARI_EVTCHN_XEN) !=
		    (n == s->dom.kemari_port || xen_shape_dm_port(s, n)))
			return bad(why, "port %u: state %u, and Kemari's own "
				   "is port %u, its device model's are %u "
				   "from %u on", n, p->state,
				   s->dom.kemari_port, s->dm.ports,
				   s->dm.first_port);
		if (p->state == KEMARI_EVTCHN_PIRQ && !is_pirq(i, p->virq))
			return bad(why, "port %u: pirq %u stands for no "
				   "interrupt line", n, p->virq);
		if (p->vcpu >= s->dom.vcpus)
			return bad(why, "port %u: vCPU %u is not below %u", n,
				   p->vcpu, s->dom.vcpus);
		if (p->state != KEMARI_EVTCHN_PIRQ && p->virq >= VIRQ_END)
			return bad(why, "port %u: VIRQ %u is not below %d", n,
				   p->virq, VIRQ_END);
		if ((p->state == KEMARI_EVTCHN_UNBOUND ||
		     p->state == KEMARI_EVTCHN_INTERDOM) && p->remote)
			return bad(why, "port %u: its other end is domain %u, "
				   "must be domain 0", n, p->remote);
	}
	return 0;
}

static int check_context(const struct record *r, const struct xen_shape *s,
			 char *why)
{
	const struct xen_rec_context *c = r->data;
	struct hvm_save_descriptor d;
	uint32_t at = 0, len, cpus = 0;

	if (r->length < sizeof(*c) ||
	    r->length - sizeof(*c) > KEMARI_MAX_CONTEXT)
		return bad(why, "HVM context: %u bytes are not within %zu..%u",
			   r->length, sizeof(*c), KEMARI_MAX_CONTEXT);
	len = r->length - sizeof(*c);
	do {
		if (len - at < sizeof(d))
			return bad(why, "HVM context: ends without its end "
				   "mark, at byte %u of %u", at, len);
		memcpy(&d, c->context + at, sizeof(d));
		if (!at && d.typecode != HVM_SAVE_CODE(HEADER))
			return bad(why, "HVM context: begins with type %u, "
				   "not with its header", d.typecode);
		at += sizeof(d);
		if (d.length > len - at)
			return bad(why, "HVM context: part of type %u has %u "
				   "bytes, %u are left", d.typecode, d.length,
				   len - at);
		at += d.length;
		if (d.typecode == HVM_SAVE_CODE(CPU)) {
			if (d.instance != cpus)
				return bad(why, "HVM context: vCPU %u where "
					   "%u is due", d.instance, cpus);
			cpus++;
		}
	} while (d.typecode != HVM_SAVE_CODE(END));
	if (at != len)
		return bad(why, "HVM context: %u bytes after its end mark",
			   len - at);
	if (cpus != s->dom.vcpus)
		return bad(why, "HVM context: has %u vCPUs, the domain %u",
			   cpus, s->dom.vcpus);
	return 0;
}

/* Of a guest with a device model. */
static int machine_record(const struct record *r, struct xen_image *i,
			  char *why)
{
	if (r->type == RECORD_DM_STATE) {
		if (i->dm_state)
			return twice(r, why);
		i->dm_state = r->data;
		i->dm_len = r->length;
		return check_dm_state(r, why);
	}
	if (i->pirqs)
		return twice(r, why);
	i->pirqs = r->data;
	return instance(r, 1, why) || sized(r, sizeof(*i->pirqs), 1, why) ||
	       check_pirqs(i->pirqs, why) ? -1 : 0;
}

static int image_record(const struct record *r, const struct xen_shape *s,
			struct xen_image *i, char *why)
{
	if (s->dm.ports && (r->type == RECORD_DM_STATE ||
			    r->type == RECORD_XEN_PIRQS))
		return machine_record(r, i, why);
	if (r->type < RECORD_XEN_DOM || r->type > RECORD_XEN_GRANT)
		return unknown(r, why);
	switch (r->type) {
	case RECORD_XEN_DOM:
		if (i->dom)
			return twice(r, why);
		i->dom = r->data;
		return instance(r, 1, why) || sized(r, sizeof(*i->dom), 1, why);
	case RECORD_XEN_PARAMS:
		if (i->param)
			return twice(r, why);
		if (instance(r, 1, why) ||
		    sized(r, sizeof(*i->param), XEN_PARAMS_MAX, why))
			return -1;
		i->param = r->data;
		i->nparam = r->length / sizeof(*i->param);
		return check_params(i->param, i->nparam, why);
	case RECORD_XEN_PORTS:
		if (i->port)
			return twice(r, why);
		i->port = r->data;
		if (!i->dom || r->length != i->dom->ports * sizeof(*i->port))
			return bad(why, "record PORTS: length %u does not fit "
				   "record DOM, which must precede it",
				   r->length);
		return instance(r, 1, why) ||
		       sized(r, sizeof(*i->port), KEMARI_MAX_PORTS, why);
	case RECORD_XEN_VCPU:
		if (check_vcpu(r, s, why))
			return -1;
		if (i->vcpu[r->instance])
			return twice(r, why);
		i->vcpu[r->instance] = r->data;
		return 0;
	case RECORD_XEN_CONTEXT:
		if (i->context)
			return twice(r, why);
		if (instance(r, 1, why) || check_context(r, s, why))
			return -1;
		i->context = r->data;
		i->context_len = r->length - sizeof(*i->context);
		return 0;
	case RECORD_XEN_GRANT:
		if (instance(r, s->dom.max_grant_frames, why) ||
		    sized(r, sizeof(*i->grant[0]), 1, why))
			return -1;
		if (i->grant[r->instance])
			return twice(r, why);
		i->grant[r->instance] = r->data;
		return 0;
	default:
		return unknown(r, why);
	}
}

static int image_check(const struct xen_image *i, const struct xen_shape *s,
		       char *why)
{
	if (!i->dom || !i->param || !i->port || !i->context)
		return bad(why, "checkpoint: record %s is missing",
			   !i->dom ? "DOM" : !i->param ? "PARAMS" :
			   !i->port ? "PORTS" : "CONTEXT");
	if (s->dm.ports && (!i->dm_state || !i->pirqs))
		return bad(why, "checkpoint: %s is missing", i->pirqs ?
			   "the device model's state" : "record PIRQS");
	if (i->dom->shared_info != s->dom.shared_info)
		return bad(why, "checkpoint: shared_info at frame %#llx, was "
			   "%#llx", (unsigned long long)i->dom->shared_info,
			   (unsigned long long)s->dom.shared_info);
	for (uint32_t n = 0; n < s->dom.vcpus; n++)
		if (!i->vcpu[n])
			return bad(why, "checkpoint: record VCPU %u is "
				   "missing", n);
	for (uint32_t n = 0; n < XEN_GRANT_FRAMES_MAX; n++)
		if ((n < i->dom->grant_frames) != !!i->grant[n])
			return bad(why, "checkpoint: record GRANT %u %s, the "
				   "table has %u frames", n,
				   i->grant[n] ? "is there" : "is missing",
				   i->dom->grant_frames);
	return check_ports(i, s, why);
}

int xen_image_read(const void *records, size_t len, const struct xen_shape *s,
		   struct xen_image *out, char *why)
{
	struct record r;
	size_t pos = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	while ((rc = next(records, len, &pos, &r, why)) > 0)
		if (image_record(&r, s, out, why))
			return -1;
	return rc ? -1 : image_check(out, s, why);
}
