/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * context.c - Kemari: HVM context and guest system time of one instant
 *
 * Upholds INV-24 (docs/INVARIANTS.md).
 *
 * A guest derives its clock from a pair (system time, TSC).  Read or set at
 * different moments the two disagree by the time in between, so they are
 * handled in one operation: the host TSC at which Xen takes the guest's TSCs
 * is in sync_tsc, and guest time is that of the same TSC.
 */
#include <xen/kemari-private.h>

#include <xen/guest_access.h>
#include <xen/time.h>

#include <asm/hvm/hvm.h>
#include <asm/hvm/save.h>
#include <asm/msr.h>

#include <public/hvm/save.h>

/* System time when the TSC was @tsc, which is not long ago. */
static s_time_t time_at(uint64_t tsc)
{
    uint64_t tsc_now;
    s_time_t now;

    local_irq_disable();
    tsc_now = rdtsc_ordered();
    now = get_s_time_fixed(tsc_now);
    local_irq_enable();

    return now - tsc_ticks2ns(tsc_now - tsc);
}

int kemari_get_context(struct domain *d, struct xen_hvm_kemari_context *op)
{
    struct hvm_domain_context c = { .size = hvm_save_size(d) };
    uint64_t room = op->nr;
    int rc;

    if ( op->advance )
        return -EINVAL;

    op->nr = c.size;
    if ( !room )
        return 0;
    if ( room < c.size )
        return -ENOBUFS;

    c.data = xzalloc_bytes(c.size);
    if ( !c.data )
        return -ENOMEM;

    rc = hvm_save(d, &c);
    if ( !rc )
    {
        op->guest_time = kemari_guest_time(d, time_at(d->arch.hvm.sync_tsc));
        op->nr = c.cur;
        if ( copy_to_guest(op->buffer, c.data, c.cur) )
            rc = -EFAULT;
    }

    xfree(c.data);

    return rc;
}

/*
 * Let the TSC in each CPU record of a context be @ns later, and with it all
 * that is relative to the TSC (the LAPIC's deadline).
 */
static int advance_tscs(struct hvm_domain_context *c, uint64_t ns,
                        uint32_t khz)
{
    unsigned int off = 0;

    for ( ; ; )
    {
        const struct hvm_save_descriptor *desc = (void *)c->data + off;
        void *record = (void *)(desc + 1);

        if ( c->size - off < sizeof(*desc) )
            return -EINVAL;
        off += sizeof(*desc);
        if ( desc->length > c->size - off )
            return -EINVAL;
        off += desc->length;

        switch ( desc->typecode )
        {
        case HVM_SAVE_CODE(END):
            return 0;

        case HVM_SAVE_CODE(HEADER):
            if ( desc->length != HVM_SAVE_LENGTH(HEADER) )
                return -EINVAL;
            khz = ((struct hvm_save_header *)record)->gtsc_khz ?: khz;
            break;

        case HVM_SAVE_CODE(CPU):
            if ( desc->length != HVM_SAVE_LENGTH(CPU) )
                return -EINVAL;
            ((struct hvm_hw_cpu *)record)->tsc += muldiv64(ns, khz, 1000000);
            break;
        }
    }
}

/*
 * The domain is a standby.  When it fails the context may be half loaded: the
 * caller sets another one before it activates.
 */
int kemari_set_context(struct domain *d, struct xen_hvm_kemari_context *op)
{
    struct hvm_domain_context c = { .size = op->nr };
    int rc;

    if ( !op->nr || op->nr > KEMARI_MAX_CONTEXT ||
         op->guest_time > STIME_DELTA_MAX || op->advance > STIME_DELTA_MAX )
        return -EINVAL;

    c.data = xmalloc_bytes(c.size);
    if ( !c.data )
        return -ENOMEM;

    rc = -EFAULT;
    if ( copy_from_guest(c.data, op->buffer, c.size) )
        goto out;

    rc = advance_tscs(&c, op->advance, d->arch.tsc_khz);
    if ( rc )
        goto out;

    rc = hvm_load(d, &c);
    if ( !rc )
        d->stime_delta = op->guest_time + op->advance -
                         time_at(d->arch.hvm.sync_tsc);

 out:
    xfree(c.data);

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
