/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari-grant.h - Kemari: the grant table of a protected domain
 *
 * Included at the end of grant_table.c, whose static functions it uses.
 */
#include <xen/kemari-private.h>

/* What about its grants keeps a domain from being protected? */
uint32_t kemari_grant_reasons(struct domain *d)
{
    struct grant_table *gt = d->grant_table;
    domid_t self = current->domain->domain_id;
    uint32_t reasons = 0;
    grant_ref_t ref, nr;
    unsigned int i;

    grant_read_lock(gt);

    if ( evaluate_nospec(gt->gt_version != 1) )
    {
        reasons |= KEMARI_NO_GRANT_V2;
        goto out;
    }

    for ( i = 0; i < nr_grant_frames(gt); i++ )
        if ( gfn_eq(gnttab_shared_gfn(d, gt, i), INVALID_GFN) )
            reasons |= KEMARI_NO_GRANT_FRAME;

    nr = nr_grant_entries(gt);
    for ( ref = 0; ref < nr; ref++ )
    {
        const grant_entry_v1_t *e = &shared_entry_v1(gt, ref);
        uint16_t flags = read_atomic(&e->flags);

        if ( (flags & GTF_type_mask) != GTF_invalid &&
             read_atomic(&e->domid) != self )
            reasons |= KEMARI_NO_GRANT_PEER;
    }

 out:
    grant_read_unlock(gt);

    return reasons;
}

/* A protected domain stays with version 1. */
void kemari_grant_pin_version(struct domain *d)
{
    struct grant_table *gt = d->grant_table;

    grant_write_lock(gt);
    gt->max_version = 1;
    grant_write_unlock(gt);
}

void kemari_grant_sizes(struct domain *d, struct xen_hvm_kemari_dom *op)
{
    struct grant_table *gt = d->grant_table;

    grant_read_lock(gt);
    op->grant_frames = nr_grant_frames(gt);
    op->max_grant_frames = gt->max_grant_frames;
    op->max_maptrack = gt->max_maptrack_frames;
    grant_read_unlock(gt);
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
