// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim_guest.c - the guest: a seeded program and what must hold of its memory
 *
 * A step is atomic: between two steps sim_guest_verify() finds nothing.  It
 * depends on memory, registers and the clock, and on nothing else.
 */
#include "libxc-ext/sim_int.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0x54534555474d4953	/* "SIMGUEST" */

enum {
	BODY_WORDS = SIM_PAGE_WORDS - 3,
	WORDS_WRITTEN_MAX = 4,		/* of a page, in one write */
	TRANSACTION_STEPS_MAX = 20,
	REMOVES = 200,			/* per mille of store writes */
};

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "guest memory is little-endian");

/* --- pages -------------------------------------------------------------- */

void *sim_touch(struct sim_domain *d, uint32_t index)
{
	uint64_t bit = (uint64_t)1 << index % 64;

	if (d->tracking && !(d->dirty_map[index / 64] & bit)) {
		d->dirty_map[index / 64] |= bit;
		d->dirty++;
	}
	return sim_frame(d, index);
}

static void *touch_special(struct sim_domain *d, enum sim_special which)
{
	return sim_touch(d, d->pages - SIM_SPECIALS + which);
}

static uint64_t head_check(const struct sim_page *pg)
{
	return sim_mix(pg->version, pg->index);
}

static uint64_t word_check(const struct sim_page *pg, uint32_t i)
{
	return sim_mix(pg->body[i], i + 1);
}

static uint64_t page_check(const struct sim_page *pg)
{
	uint64_t sum = head_check(pg);
	uint32_t i;

	for (i = 0; i < BODY_WORDS; i++)
		sum += word_check(pg, i);
	return sum;
}

/* Contents of all kinds: empty, noise, a pattern, a few words. */
static void page_fill(struct sim_page *pg, uint32_t index, uint64_t *rng)
{
	uint64_t word = sim_random(rng);
	uint32_t i;

	pg->index = index;
	pg->version = 1;
	for (i = 0; i < BODY_WORDS; i++) {
		switch (index % 4) {
		case 0:
			pg->body[i] = 0;
			break;
		case 1:
			pg->body[i] = sim_random(rng);
			break;
		case 2:
			pg->body[i] = word;
			break;
		case 3:
			pg->body[i] = i % 64 ? 0 : word + i;
			break;
		}
	}
	pg->check = page_check(pg);
}

static void page_change(struct sim_page *pg, uint64_t *rng)
{
	uint64_t words = 1 + sim_random(rng) % WORDS_WRITTEN_MAX;
	uint32_t i;

	pg->check -= head_check(pg);
	pg->version++;
	pg->check += head_check(pg);
	while (words--) {
		i = (uint32_t)(sim_random(rng) % BODY_WORDS);
		pg->check -= word_check(pg, i);
		pg->body[i] = sim_random(rng);
		pg->check += word_check(pg, i);
	}
}

void sim_guest_boot(struct sim_world *w, struct sim_domain *d)
{
	struct sim_notes *n = sim_frame(d, 0);
	struct sim_page *pg;
	uint32_t i;

	n->magic = MAGIC;
	for (i = 0; i < d->vcpus; i++) {
		d->vcpu[i].rng = sim_random(&w->rng);
		n->vcpu[i] = d->vcpu[i];
	}
	/* An eighth of the memory has never been used. */
	for (i = 1; i < d->pages - SIM_SPECIALS; i++) {
		if (sim_random(&w->rng) % 8 == 0)
			continue;
		pg = sim_frame(d, i);
		page_fill(pg, i, &w->rng);
		n->sum += pg->check;
	}
}

/* --- a step ------------------------------------------------------------- */

static bool chance(uint64_t *rng, uint32_t per_mille)
{
	return sim_random(rng) % 1000 < per_mille;
}

static void write_page(const struct sim_knobs *k, struct sim_domain *d,
		       struct sim_notes *n, uint64_t *rng)
{
	uint32_t used = d->pages - SIM_SPECIALS - 1;
	uint32_t i = 1 + (uint32_t)(sim_random(rng) % used);
	struct sim_page *pg = sim_touch(d, i);

	if (chance(rng, k->rewrite))
		return;
	n->sum -= pg->check;
	if (chance(rng, k->clear))
		memset(pg, 0, sizeof(*pg));
	else if (!pg->index)
		page_fill(pg, i, rng);
	else
		page_change(pg, rng);
	n->sum += pg->check;
}

static uint64_t epoch_of(const struct sim_domain *d)
{
	return d->role == PLATFORM_PRIMARY ? d->running : 0;
}

static bool print_line(struct sim_domain *d, struct sim_notes *n)
{
	struct sim_console *c = sim_special(d, SIM_CONSOLE);
	uint64_t at = c->prod % SIM_LINES;

	if (c->prod - c->cons >= SIM_LINES)
		return false;
	(void)touch_special(d, SIM_CONSOLE);
	n->printed++;
	c->line[at].seq = n->printed;
	c->line[at].content = sim_mix(n->chain, n->printed);
	d->line_epoch[at] = epoch_of(d);
	c->prod++;
	return true;
}

static bool queue_request(struct sim_domain *d, struct sim_notes *n)
{
	struct sim_disk *k = sim_special(d, SIM_DISK);
	uint64_t at = k->req_prod % SIM_REQUESTS;

	if (k->req_prod - k->rsp_cons >= SIM_REQUESTS)
		return false;
	(void)touch_special(d, SIM_DISK);
	n->queued++;
	k->slot[at].seq = n->queued;
	k->slot[at].content = sim_mix(n->chain, ~n->queued);
	d->request_epoch[at] = epoch_of(d);
	k->req_prod++;
	return true;
}

uint64_t sim_answer(uint64_t seq)
{
	return sim_mix(seq, 0xa115e7);
}

static void take_answers(struct sim_domain *d, struct sim_notes *n)
{
	struct sim_disk *k = sim_special(d, SIM_DISK);
	const struct sim_slot *s;

	(void)touch_special(d, SIM_DISK);
	for (; k->rsp_cons < k->rsp_prod; k->rsp_cons++) {
		s = &k->slot[k->rsp_cons % SIM_REQUESTS];
		n->answered++;
		if ((s->seq != n->answered ||
		     s->content != sim_answer(s->seq)) && !n->bad_answer)
			n->bad_answer = n->answered;
	}
}

static void take_store_answer(struct sim_domain *d, struct sim_notes *n)
{
	struct sim_store *s = sim_special(d, SIM_STORE);

	if (s->rsp_prod == s->rsp_cons)
		return;
	(void)touch_special(d, SIM_STORE);
	s->rsp_cons++;
	if (!n->want_index || s->rsp_cons != s->rsp_prod) {
		n->bad_store = 1;
		return;
	}
	n->node[n->want_index - 1] = n->want_value;
	n->want_index = 0;
}

/* Does the guest send on the store's port? */
static bool use_store(const struct sim_knobs *k, struct sim_domain *d,
		      struct sim_notes *n, uint64_t *rng)
{
	struct sim_store *s = sim_special(d, SIM_STORE);

	if (n->transaction) {
		if (--n->transaction == 0) {
			n->bad_store |= !d->transaction;
			d->transaction = false;
		}
		return false;
	}
	if (n->want_index || !chance(rng, k->store))
		return false;
	if (chance(rng, k->transaction)) {
		n->transaction = 1 + sim_random(rng) % TRANSACTION_STEPS_MAX;
		d->transaction = true;
		return false;
	}
	(void)touch_special(d, SIM_STORE);
	s->index = sim_random(rng) % SIM_NODES;
	s->value = chance(rng, REMOVES) ? 0 : sim_random(rng);
	n->want_index = 1 + s->index;
	n->want_value = s->value;
	s->req_prod++;
	return true;
}

static void take_pending(struct sim_domain *d, struct sim_notes *n)
{
	struct sim_shared *sh = sim_special(d, SIM_SHARED);
	uint64_t pending = sh->pending;

	if (!pending)
		return;
	(void)touch_special(d, SIM_SHARED);
	sh->pending = 0;
	if (pending & (1u << SIM_PORT_DISK))
		take_answers(d, n);
	if (pending & (1u << SIM_PORT_STORE))
		take_store_answer(d, n);
}

void sim_guest_step(struct sim_world *w, struct sim_domain *d)
{
	struct sim_regs *r = &d->vcpu[d->next_vcpu];
	uint64_t now = sim_guest_time(w, d), writes;
	struct sim_notes *n = sim_touch(d, 0);
	bool line, request, quiet, idle, store;

	if (w->guest[d->guest].runner != d->serial)
		sim_violation(w, "%s runs on host %u, where it must not",
			      w->guest[d->guest].name, d->host);
	if (d->told) {
		uint32_t reason = d->told - 1;

		d->told = 0;
		sim_ask_shutdown(w, d, reason);
		return;
	}
	if (now < r->last_time)
		n->clock_back++;
	r->last_time = now;
	r->steps++;
	n->chain = sim_mix(n->chain, now ^ r->rng);
	take_pending(d, n);
	writes = sim_random(&r->rng) % (w->knobs.writes + 1ull);
	while (writes--)
		write_page(&w->knobs, d, n, &r->rng);
	line = chance(&r->rng, w->knobs.console) && print_line(d, n);
	request = chance(&r->rng, w->knobs.disk) && queue_request(d, n);
	idle = w->knobs.idle && chance(&r->rng, w->knobs.idle);
	quiet = request && w->knobs.quiet && chance(&r->rng, w->knobs.quiet);
	store = use_store(&w->knobs, d, n, &r->rng);
	n->vcpu[d->next_vcpu] = *r;
	d->next_vcpu = (d->next_vcpu + 1) % d->vcpus;

	if (d->role == PLATFORM_PRIMARY && d->dirty >= d->dirty_limit) {
		d->stopped = true;
		sim_raise(d, PLATFORM_EV_DIRTY);
	}
	if (line)
		sim_send(w, d, SIM_PORT_CONSOLE);
	if (idle || (request && !quiet))
		sim_send(w, d, SIM_PORT_DISK);
	if (store)
		sim_send(w, d, SIM_PORT_STORE);
}

/* --- what must hold ----------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static const char *wrong(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, SIM_WHY_MAX, fmt, ap);
	va_end(ap);
	return why;
}

#define NUM(x) ((unsigned long long)(x))

static const char *verify_pages(const struct sim_domain *d,
				const struct sim_notes *n, char *why)
{
	static const struct sim_page empty;
	const struct sim_page *pg;
	uint64_t sum = 0;
	uint32_t i;

	for (i = 1; i < d->pages - SIM_SPECIALS; i++) {
		pg = sim_frame(d, i);
		if (!pg->index) {
			if (memcmp(pg, &empty, sizeof(*pg)) != 0)
				return wrong(why, "frame %u should be empty", i);
			continue;
		}
		if (pg->index != i || pg->check != page_check(pg))
			return wrong(why, "frame %u is damaged", i);
		sum += pg->check;
	}
	if (sum != n->sum)
		return wrong(why, "frames are of different moments: the sum is %llx, noted %llx",
			     NUM(sum), NUM(n->sum));
	return NULL;
}

static const char *verify_rings(const struct sim_domain *d,
				const struct sim_notes *n, char *why)
{
	const struct sim_console *c = sim_special(d, SIM_CONSOLE);
	const struct sim_disk *k = sim_special(d, SIM_DISK);
	uint64_t i;

	if (c->prod != n->printed || c->cons > c->prod ||
	    c->prod - c->cons > SIM_LINES)
		return wrong(why, "console ring: %llu printed, prod %llu, cons %llu",
			     NUM(n->printed), NUM(c->prod), NUM(c->cons));
	for (i = c->cons; i < c->prod; i++)
		if (c->line[i % SIM_LINES].seq != i + 1)
			return wrong(why, "console ring: line %llu is gone",
				     NUM(i + 1));
	if (k->req_prod != n->queued || k->rsp_cons != n->answered ||
	    k->rsp_prod > k->req_prod || k->rsp_cons > k->rsp_prod ||
	    k->req_prod - k->rsp_cons > SIM_REQUESTS)
		return wrong(why, "disk ring: %llu queued, %llu answered, req_prod %llu, rsp_prod %llu, rsp_cons %llu",
			     NUM(n->queued), NUM(n->answered),
			     NUM(k->req_prod), NUM(k->rsp_prod),
			     NUM(k->rsp_cons));
	for (i = k->rsp_cons; i < k->req_prod; i++)
		if (k->slot[i % SIM_REQUESTS].seq != i + 1)
			return wrong(why, "disk ring: request %llu is gone",
				     NUM(i + 1));
	return NULL;
}

static const char *verify_store(const struct sim_domain *d,
				const struct sim_notes *n, char *why)
{
	uint64_t i;

	if (d->transaction != !!n->transaction)
		return wrong(why, "xenstore: transaction %s in the store only",
			     d->transaction ? "open" : "closed");
	for (i = 0; i < SIM_NODES; i++)
		if (d->node[i] != n->node[i] && n->want_index != 1 + i)
			return wrong(why, "xenstore: node %llu is not what the guest wrote",
				     NUM(i));
	return NULL;
}

const char *sim_guest_verify(const struct sim_domain *d, char *why)
{
	const struct sim_notes *n = sim_frame(d, 0);
	const char *bad;
	uint32_t i;

	if (n->magic != MAGIC)
		return wrong(why, "frame 0 is damaged");
	for (i = 0; i < d->vcpus; i++)
		if (memcmp(&n->vcpu[i], &d->vcpu[i], sizeof(d->vcpu[i])) != 0)
			return wrong(why, "vCPU %u: step %llu in registers, %llu in memory",
				     i, NUM(d->vcpu[i].steps),
				     NUM(n->vcpu[i].steps));
	if (n->clock_back)
		return wrong(why, "the clock went back %llu times",
			     NUM(n->clock_back));
	if (n->bad_answer)
		return wrong(why, "disk: answer %llu is wrong, lost or repeated",
			     NUM(n->bad_answer));
	if (n->bad_store)
		return wrong(why, "xenstore lost a transaction or repeated an answer");
	bad = verify_pages(d, n, why);
	if (!bad)
		bad = verify_rings(d, n, why);
	if (!bad)
		bad = verify_store(d, n, why);
	return bad;
}
