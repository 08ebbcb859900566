// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_state.c - a simulated guest's state as records, out and in
 *
 * The reader trusts nothing: records may come from a peer.
 */
#include "libxc-ext/sim_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	REC_SHELL = RECORD_TYPE_PLATFORM + 0x100,
	REC_VCPU,		/* instance: vCPU; struct sim_regs */
	REC_PORTS,		/* uint64_t: bit per sim_port */
	REC_STORE,		/* uint64_t: open transactions */
	REC_NODE,		/* instance: node; sticky; uint64_t, or of
				 * length 0: the node is gone */
	REC_TIME,		/* uint64_t: guest time */
	REC_HINT,		/* optional; nobody reads it */
};

enum { PORTS_BOUND = 1 << SIM_PORT_STORE | 1 << SIM_PORT_CONSOLE |
		     1 << SIM_PORT_DISK };

static_assert(sizeof(struct sim_shell) == 96, "layout of the record");
static_assert(sizeof(struct sim_regs) == 32, "layout of the record");

/* --- the shell ---------------------------------------------------------- */

int sim_shell_save(const struct sim_world *w, const struct sim_domain *d,
		   struct recbuf *out)
{
	const struct sim_guest *g = &w->guest[d->guest];
	struct sim_shell shell = {
		.domid = d->domid,
		.vcpus = d->vcpus,
		.pages = d->pages,
	};

	memcpy(shell.uuid, g->uuid, sizeof(shell.uuid));
	memcpy(shell.name, g->name, sizeof(shell.name));
	return recbuf_add(out, REC_SHELL, RECORD_MANDATORY, 0, &shell,
			  sizeof(shell));
}

static int bad(struct platform *p, const char *what, uint64_t value,
	       const char *rule)
{
	return platform_fail(p, EPROTO, "records: %s is %llu, must be %s", what,
			     (unsigned long long)value, rule);
}

static int malformed(struct platform *p)
{
	return platform_fail(p, EPROTO, "records: the list is malformed");
}

static int unknown(struct platform *p, const struct record *r)
{
	if (!(r->flags & RECORD_MANDATORY))
		return 0;
	return platform_fail(p, EPROTO,
			     "records: type %#x is mandatory and unknown here",
			     r->type);
}

int sim_shell_parse(struct platform *p, const void *records, size_t len,
		    struct sim_shell *out)
{
	unsigned int found = 0;
	struct record rec;
	size_t pos = 0;
	int r;

	while ((r = record_next(records, len, &pos, &rec)) > 0) {
		if (rec.type != REC_SHELL) {
			if (unknown(p, &rec))
				return -1;
			continue;
		}
		if (rec.length != sizeof(*out))
			return bad(p, "length of the shell", rec.length, "96");
		memcpy(out, rec.data, sizeof(*out));
		found++;
	}
	if (r < 0)
		return malformed(p);
	if (found != 1)
		return bad(p, "number of shells", found, "1");
	if (!memchr(out->name, 0, sizeof(out->name)))
		return platform_fail(p, EPROTO,
				     "records: the name has no end");
	if (out->pages < SIM_PAGES_MIN || out->pages > SIM_PAGES_MAX)
		return bad(p, "number of pages", out->pages, "64..4096");
	if (out->vcpus < 1 || out->vcpus > SIM_VCPUS_MAX)
		return bad(p, "number of vCPUs", out->vcpus, "1..4");
	if (out->zero)
		return bad(p, "a reserved field", out->zero, "0");
	return 0;
}

/* --- a checkpoint ------------------------------------------------------- */

/* The nodes that changed since they were last saved; all after track().  If
 * this epoch's are saved again, what was saved may not have been heard. */
static int save_nodes(struct sim_domain *d, struct recbuf *out)
{
	const uint64_t *old = d->node_before;
	uint32_t i;

	if (!d->nodes_known)
		memset(d->node_before, 0, sizeof(d->node_before));
	else if (!d->captured || d->node_epoch != d->captured)
		memcpy(d->node_before, d->node_saved, sizeof(d->node_saved));
	d->node_epoch = d->captured;
	for (i = 0; i < SIM_NODES; i++)
		if (d->node[i] != old[i] &&
		    recbuf_add(out, REC_NODE, RECORD_MANDATORY | RECORD_STICKY,
			       i, &d->node[i],
			       d->node[i] ? sizeof(d->node[i]) : 0))
			return -1;
	memcpy(d->node_saved, d->node, sizeof(d->node_saved));
	d->nodes_known = true;
	return 0;
}

static int save_early(struct sim_domain *d, struct recbuf *out)
{
	uint64_t ports = PORTS_BOUND, transactions = d->transaction;
	uint32_t i;

	for (i = 0; i < d->vcpus; i++)
		if (recbuf_add(out, REC_VCPU, RECORD_MANDATORY, i,
			       &d->vcpu[i], sizeof(d->vcpu[i])))
			return -1;
	if (recbuf_add(out, REC_PORTS, RECORD_MANDATORY, 0, &ports,
		       sizeof(ports)))
		return -1;
	if (recbuf_add(out, REC_STORE, RECORD_MANDATORY, 0, &transactions,
		       sizeof(transactions)))
		return -1;
	if (recbuf_add(out, REC_HINT, 0, 0, NULL, 0))
		return -1;
	return save_nodes(d, out);
}

int sim_state_save(struct sim_world *w, struct sim_domain *d,
		   enum platform_phase phase, struct recbuf *out)
{
	uint64_t now = sim_guest_time(w, d);

	if (phase == PLATFORM_EARLY)
		return save_early(d, out);
	return recbuf_add(out, REC_TIME, RECORD_MANDATORY, 0, &now,
			  sizeof(now));
}

/* Which records were seen, so that none is missing and none is there twice. */
struct seen {
	unsigned int vcpu[SIM_VCPUS_MAX];
	unsigned int node[SIM_NODES];
	unsigned int ports, store, time;
};

static int take(struct platform *p, const struct record *rec, void *to,
		size_t size, const char *what, unsigned int *seen)
{
	if (rec->length != size)
		return platform_fail(p, EPROTO,
				     "records: length of %s %u is %u, must be %zu",
				     what, rec->instance, rec->length, size);
	if ((*seen)++)
		return platform_fail(p, EPROTO, "records: %s %u comes twice",
				     what, rec->instance);
	if (size)
		memcpy(to, rec->data, size);
	return 0;
}

static int take_record(struct platform *p, const struct sim_domain *d,
		       const struct record *rec, struct sim_state *out,
		       struct seen *seen)
{
	switch (rec->type) {
	case REC_VCPU:
		if (rec->instance >= d->vcpus)
			return bad(p, "a vCPU's number", rec->instance,
				   "below the shell's number of vCPUs");
		return take(p, rec, &out->vcpu[rec->instance],
			    sizeof(out->vcpu[0]), "vCPU",
			    &seen->vcpu[rec->instance]);
	case REC_PORTS:
		return take(p, rec, &out->ports, sizeof(out->ports), "ports",
			    &seen->ports);
	case REC_STORE:
		return take(p, rec, &out->transaction,
			    sizeof(out->transaction), "store", &seen->store);
	case REC_NODE:
		if (rec->instance >= SIM_NODES)
			return bad(p, "a node's number", rec->instance,
				   "below 8");
		return take(p, rec, &out->node[rec->instance],
			    rec->length ? sizeof(out->node[0]) : 0, "node",
			    &seen->node[rec->instance]);
	case REC_TIME:
		return take(p, rec, &out->guest_time, sizeof(out->guest_time),
			    "time", &seen->time);
	default:
		return unknown(p, rec);
	}
}

int sim_state_parse(struct platform *p, const struct sim_domain *d,
		    const void *records, size_t len, struct sim_state *out)
{
	struct seen seen = { .time = 0 };
	struct record rec;
	size_t pos = 0;
	uint32_t i;
	int r;

	*out = (struct sim_state){ .ports = 0 };
	while ((r = record_next(records, len, &pos, &rec)) > 0)
		if (take_record(p, d, &rec, out, &seen))
			return -1;
	if (r < 0)
		return malformed(p);
	for (i = 0; i < d->vcpus; i++) {
		if (!seen.vcpu[i])
			return platform_fail(p, EPROTO,
					     "records: vCPU %u is missing", i);
		if (out->vcpu[i].zero)
			return bad(p, "a reserved field", out->vcpu[i].zero,
				   "0");
		if (out->vcpu[i].last_time > out->guest_time)
			return bad(p, "the guest's clock", out->guest_time,
				   "no less than its vCPUs saw");
	}
	if (!seen.ports || !seen.store || !seen.time)
		return platform_fail(p, EPROTO, "records: %s is missing",
				     !seen.ports ? "ports" :
				     !seen.store ? "store" : "time");
	if (out->ports != PORTS_BOUND)
		return bad(p, "the set of ports", out->ports, "0xe");
	/* INV-13 */
	if (out->transaction)
		return bad(p, "the number of open store transactions",
			   out->transaction, "0");
	return 0;
}

void sim_state_load(const struct sim_world *w, struct sim_domain *d,
		    const struct sim_state *s, uint64_t guest_time)
{
	memcpy(d->vcpu, s->vcpu, sizeof(d->vcpu));
	memcpy(d->node, s->node, sizeof(d->node));
	d->time_offset = guest_time - sim_host_now(w, d->host);
}
