/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari-dirty.c - Kemari: which pages became dirty, and arming them again
 *
 * A gfn is recorded at the moment its log-dirty bit becomes set, so the list
 * holds each dirty page once, and taking it costs no more than what is in it:
 * neither the bitmap nor the p2m is walked, and only the pages in the list are
 * made log-dirty again.
 *
 * Upholds INV-11, INV-14 and INV-16 (docs/INVARIANTS.md).
 */
#include <xen/kemari-private.h>

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/softirq.h>
#include <xen/vmap.h>

#include <asm/hvm/asid.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#include "mm-locks.h"

/* gfns handled under one hold of the locks */
#define HARVEST_BATCH   512u

/* Stop the domain and tell the controller, unless that was done for @why. */
static void alarm(struct domain *d, unsigned int why)
{
    struct kemari *k = d->kemari;

    if ( test_and_set_bit(why, &k->state) && test_bit(KS_paused, &k->state) )
        return;

    kemari_stop(d);
    kemari_wake(d);
}

void kemari_add_dirty(struct domain *d, unsigned long gfn)
{
    struct kemari *k = d->kemari;

    if ( k->role != KEMARI_ROLE_PRIMARY || !k->dirty )
        return;

    if ( k->nr_dirty < k->max_dirty )
        k->dirty[k->nr_dirty++] = gfn;
    else
        alarm(d, KS_lost);

    /* INV-16 */
    if ( k->nr_dirty >= k->dirty_limit )
        alarm(d, KS_limit);
}

void kemari_lose_dirty(struct domain *d)
{
    if ( d->kemari->role == KEMARI_ROLE_PRIMARY )
        alarm(d, KS_lost);
}

void kemari_reset_dirty(struct domain *d)
{
    struct kemari *k = d->kemari;

    k->nr_dirty = k->harvested = k->harvest_end = 0;
    clear_bit(KS_lost, &k->state);
    clear_bit(KS_limit, &k->state);
    clear_bit(KS_p2m, &k->state);
}

void kemari_note_p2m(struct domain *d)
{
    set_bit(KS_p2m, &d->kemari->state);
}

int kemari_dirty_init(struct domain *d, unsigned long limit)
{
    struct kemari *k = d->kemari;
    unsigned long max = limit + KEMARI_DIRTY_RESERVE;
    uint64_t *list = vmalloc(max * sizeof(*list));

    if ( !list )
        return -ENOMEM;

    paging_lock(d);
    kemari_reset_dirty(d);
    /* Bits that are set already were never recorded. */
    if ( paging_mode_log_dirty(d) )
        set_bit(KS_lost, &k->state);
    k->max_dirty = max;
    k->dirty_limit = limit;
    k->dirty = list;
    paging_unlock(d);

    return 0;
}

void kemari_dirty_free(struct domain *d)
{
    struct kemari *k = d->kemari;
    uint64_t *list;

    paging_lock(d);
    list = k->dirty;
    k->dirty = NULL;
    kemari_reset_dirty(d);
    k->max_dirty = k->dirty_limit = 0;
    paging_unlock(d);

    vfree(list);
}

unsigned long kemari_dirty_count(struct domain *d)
{
    unsigned long nr;

    paging_lock(d);
    nr = d->kemari->nr_dirty - d->kemari->harvested;
    paging_unlock(d);

    return nr;
}

/* Clear a gfn's bit in the log-dirty trie.  Paging lock held. */
static void clear_dirty(struct domain *d, unsigned long gfn)
{
    pfn_t pfn = _pfn(gfn);
    const unsigned int idx[] = {
        L4_LOGDIRTY_IDX(pfn), L3_LOGDIRTY_IDX(pfn), L2_LOGDIRTY_IDX(pfn),
    };
    mfn_t mfn = d->arch.paging.log_dirty.top;
    unsigned long *leaf;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(idx) && !mfn_eq(mfn, INVALID_MFN); i++ )
    {
        mfn_t *node = map_domain_page(mfn);

        mfn = node[idx[i]];
        unmap_domain_page(node);
    }

    if ( mfn_eq(mfn, INVALID_MFN) )
        return;

    leaf = map_domain_page(mfn);
    if ( __test_and_clear_bit(L1_LOGDIRTY_IDX(pfn), leaf) )
        d->arch.paging.log_dirty.dirty_count--;
    unmap_domain_page(leaf);
}

/* Let the next write to @gfn fault.  P2m lock held, the domain is stopped. */
static int arm(struct p2m_domain *p2m, unsigned long gfn)
{
    p2m_type_t t;
    p2m_access_t a;
    mfn_t mfn = p2m->get_entry(p2m, _gfn(gfn), &t, &a, 0, NULL, NULL);

    /* Armed already if only a hypercall or a backend wrote to it. */
    if ( t != p2m_ram_rw )
        return 0;

    return p2m_set_entry(p2m, _gfn(gfn), mfn, PAGE_ORDER_4K, p2m_ram_logdirty,
                         a);
}

static int take_batch(struct domain *d, unsigned long first, unsigned int nr)
{
    struct p2m_domain *p2m = p2m_get_hostp2m(d);
    struct kemari *k = d->kemari;
    unsigned int i;
    int rc = 0;

    paging_lock(d);
    if ( k->harvest_end < first + nr )
        rc = -EIO;                  /* Log-dirty mode was started anew. */
    else
    {
        for ( i = 0; i < nr; i++ )
            clear_dirty(d, k->dirty[first + i]);
        k->harvested += nr;
    }
    paging_unlock(d);

    if ( rc )
        return rc;

    p2m_lock(p2m);
    for ( i = 0; i < nr && !rc; i++ )
        rc = arm(p2m, k->dirty[first + i]);
    p2m_unlock(p2m);

    return rc;
}

/* Begin a harvest, or go on with it after -ERESTART. */
static int start_harvest(struct domain *d, struct xen_hvm_kemari_harvest *op)
{
    struct kemari *k = d->kemari;
    int rc = 0;

    if ( !k->harvest_end )
        p2m_flush_hardware_cached_dirty(d);

    paging_lock(d);
    if ( test_bit(KS_lost, &k->state) )
        rc = -EIO;
    else if ( k->harvest_end > op->nr )
        rc = -EBUSY;                /* Another call's, half done. */
    else if ( !k->harvest_end && k->nr_dirty > op->nr )
    {
        op->nr = k->nr_dirty;
        rc = -ENOBUFS;
    }
    else if ( !k->harvest_end )
        k->harvest_end = k->nr_dirty;
    paging_unlock(d);

    return rc;
}

/* It failed: nothing is lost if nothing was taken. */
static void abort_harvest(struct domain *d)
{
    struct kemari *k = d->kemari;

    paging_lock(d);
    if ( k->harvested )
        set_bit(KS_lost, &k->state);
    k->harvested = k->harvest_end = 0;
    paging_unlock(d);
}

/* All that start_harvest() saw is taken: drop it from the list. */
static void end_harvest(struct domain *d, struct xen_hvm_kemari_harvest *op)
{
    struct kemari *k = d->kemari;
    struct vcpu *v;

    /* A vCPU that comes back to the same CPU may still have old entries. */
    for_each_vcpu ( d, v )
        hvm_asid_flush_vcpu(v);

    paging_lock(d);
    op->nr = k->harvest_end;
    k->nr_dirty -= k->harvest_end;
    memmove(k->dirty, k->dirty + k->harvest_end,
            k->nr_dirty * sizeof(*k->dirty));
    k->harvested = k->harvest_end = 0;
    if ( k->nr_dirty < k->dirty_limit )
        clear_bit(KS_limit, &k->state);
    paging_unlock(d);
}

/*
 * k->lock is held and the domain is stopped.  Backends go on marking pages:
 * what they add comes behind harvest_end and is left for the next harvest.
 * INV-11
 */
int kemari_harvest(struct domain *d, struct xen_hvm_kemari_harvest *op)
{
    struct kemari *k = d->kemari;
    int rc;

    if ( !paging_mode_log_dirty(d) )
    {
        abort_harvest(d);
        return -ENODEV;
    }

    rc = start_harvest(d, op);
    if ( rc )
        return rc;

    while ( k->harvested < k->harvest_end )
    {
        unsigned long first = k->harvested;
        unsigned int nr = min(k->harvest_end - first, HARVEST_BATCH + 0UL);

        if ( copy_to_guest_offset(op->gfns, first, &k->dirty[first], nr) )
            rc = -EFAULT;
        else
            rc = take_batch(d, first, nr);

        if ( rc )
        {
            abort_harvest(d);
            return rc;
        }

        if ( k->harvested < k->harvest_end && hypercall_preempt_check() )
            return -ERESTART;
    }

    end_harvest(d, op);

    return 0;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
