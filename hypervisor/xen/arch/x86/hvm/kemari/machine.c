/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machine.c - Kemari: the emulated machine of an HVM guest
 *
 * I/O requests are what a device model does for a guest: it is asked by way of
 * a page that Xen shares with it.  One that is under way is in no save record,
 * so none may be when a checkpoint is taken.  Upholds INV-42.
 *
 * A guest may have lines of the emulated interrupt controller as event
 * channels: a pirq stands for a line, a channel may be bound to the pirq.
 */
#include <xen/kemari-private.h>

#include <xen/event.h>
#include <xen/ioreq.h>

#include <asm/hvm/irq.h>
#include <asm/irq.h>

#include <public/hvm/ioreq.h>

void kemari_count_ioreq(struct domain *d)
{
    arch_fetch_and_add(&d->kemari->ioreqs, 1UL);
}

/* At most one device model, which domain 0 runs. */
bool kemari_ioreq_eligible(struct domain *d)
{
    unsigned int i, servers = 0;
    bool ok = true;

    spin_lock_recursive(&d->ioreq_server.lock);

    for ( i = 0; i < ARRAY_SIZE(d->ioreq_server.server); i++ )
    {
        const struct ioreq_server *s = d->ioreq_server.server[i];

        if ( s && (servers++ || s->emulator != hardware_domain) )
            ok = false;
    }

    spin_unlock_recursive(&d->ioreq_server.lock);

    return ok;
}

static bool server_busy(const struct ioreq_server *s)
{
    const buffered_iopage_t *pg = s->bufioreq.va;

    return s->enabled && pg &&
           read_atomic(&pg->ptrs.read_pointer) !=
           read_atomic(&pg->ptrs.write_pointer);
}

/*
 * Is an I/O request under way?  A vCPU that has the answer and has not run
 * since counts.  While the domain is stopped, none can begin.
 */
bool kemari_ioreq_pending(struct domain *d)
{
    bool pending = false;
    struct vcpu *v;
    unsigned int i;

    spin_lock_recursive(&d->ioreq_server.lock);

    for ( i = 0; i < ARRAY_SIZE(d->ioreq_server.server); i++ )
        if ( d->ioreq_server.server[i] &&
             server_busy(d->ioreq_server.server[i]) )
            pending = true;
    for_each_vcpu ( d, v )
        if ( vcpu_ioreq_pending(v) )
            pending = true;

    spin_unlock_recursive(&d->ioreq_server.lock);

    return pending;
}

/* Emulated MSIs, and pirqs of real interrupts, cannot be told by a GSI. */
bool kemari_pirqs_eligible(struct domain *d)
{
    bool ok = true;
    int pirq;

    read_lock(&d->event_lock);

    for ( pirq = 0; pirq < d->nr_pirqs; pirq++ )
        if ( domain_pirq_to_emuirq(d, pirq) < IRQ_UNBOUND )
            ok = false;

    read_unlock(&d->event_lock);

    return ok && hvm_domain_irq(d)->nr_gsis <= KEMARI_MAX_GSIS;
}

int kemari_get_pirqs(struct domain *d, struct xen_hvm_kemari_pirqs *op)
{
    unsigned int gsi;

    memset(op, 0, sizeof(*op));
    op->nr = min(hvm_domain_irq(d)->nr_gsis, KEMARI_MAX_GSIS + 0U);

    read_lock(&d->event_lock);

    for ( gsi = 0; gsi < op->nr; gsi++ )
    {
        int pirq = domain_emuirq_to_pirq(d, gsi);

        op->pirq[gsi] = pirq == IRQ_UNBOUND ? KEMARI_PIRQ_NONE : pirq;
    }

    read_unlock(&d->event_lock);

    return 0;
}

static int check_pirqs(const struct domain *d,
                       const struct xen_hvm_kemari_pirqs *op)
{
    unsigned int gsi, other;

    if ( op->_pad || op->nr > KEMARI_MAX_GSIS ||
         op->nr > hvm_domain_irq(d)->nr_gsis )
        return -EINVAL;

    for ( gsi = 0; gsi < op->nr; gsi++ )
    {
        if ( op->pirq[gsi] == KEMARI_PIRQ_NONE )
            continue;
        if ( op->pirq[gsi] >= d->nr_pirqs )
            return -EINVAL;
        for ( other = 0; other < gsi; other++ )
            if ( op->pirq[other] == op->pirq[gsi] )
                return -EINVAL;
    }

    return 0;
}

/* The domain is a standby: nobody else maps or unmaps. */
int kemari_set_pirqs(struct domain *d, const struct xen_hvm_kemari_pirqs *op)
{
    unsigned int gsi;
    int rc = check_pirqs(d, op);

    if ( rc )
        return rc;

    write_lock(&d->event_lock);

    /* All that go, before any that comes: a pirq may have moved. */
    for ( gsi = 0; gsi < op->nr; gsi++ )
    {
        int now = domain_emuirq_to_pirq(d, gsi);

        if ( now != IRQ_UNBOUND && now != op->pirq[gsi] )
            unmap_domain_pirq_emuirq(d, now);
    }
    for ( gsi = 0; gsi < op->nr && !rc; gsi++ )
        if ( op->pirq[gsi] != KEMARI_PIRQ_NONE )
            rc = map_domain_emuirq_pirq(d, op->pirq[gsi], gsi);

    write_unlock(&d->event_lock);

    return rc;
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
