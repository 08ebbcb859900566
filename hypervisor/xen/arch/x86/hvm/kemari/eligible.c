/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * eligible.c - Kemari: what keeps a domain from being protected
 */
#include <xen/kemari-private.h>

#include <xen/pci.h>
#include <xen/vm_event.h>

#include <asm/altp2m.h>
#include <asm/hvm/nestedhvm.h>
#include <asm/mem_sharing.h>
#include <asm/p2m.h>
#include <asm/paging.h>
#include <asm/vpmu.h>

/*
 * A toolstack sets the maximum somewhat above what it populates (xl: 1 MiB);
 * a domain further below than this has given memory back.
 */
#define BALLOON_SLACK   (MB(2) >> PAGE_SHIFT)

static bool has_vpmu(const struct domain *d)
{
    const struct vcpu *v;

    for_each_vcpu ( d, v )
        if ( vpmu_is_set(vcpu_vpmu(v), VPMU_CONTEXT_ALLOCATED) )
            return true;

    return false;
}

static bool has_vm_event(struct domain *d)
{
    return vm_event_check_ring(d->vm_event_monitor) ||
           p2m_get_hostp2m(d)->default_access != p2m_access_rwx;
}

static bool shares_memory(struct domain *d)
{
#ifdef CONFIG_MEM_PAGING
    if ( vm_event_check_ring(d->vm_event_paging) )
        return true;
#endif

    return mem_sharing_enabled(d);
}

/* What a domain has from its creation. */
uint32_t kemari_shell_reasons(struct domain *d)
{
    uint32_t reasons = 0;

    if ( !hap_enabled(d) )
        reasons |= KEMARI_NO_HAP;
    if ( is_iommu_enabled(d) )
        reasons |= KEMARI_NO_PASSTHROUGH;
#ifdef CONFIG_HAS_PCI
    if ( has_arch_pdevs(d) )
        reasons |= KEMARI_NO_PASSTHROUGH;
#endif
    if ( nestedhvm_enabled(d) )
        reasons |= KEMARI_NO_NESTED;
    if ( d->target )
        reasons |= KEMARI_NO_FOREIGN;   /* may map its target's pages */
    if ( d->is_dying || d->is_shutting_down )
        reasons |= KEMARI_NO_DYING;
    if ( d->max_vcpus > KEMARI_MAX_VCPUS )
        reasons |= KEMARI_NO_VCPUS;
    if ( !kemari_ioreq_eligible(d) )
        reasons |= KEMARI_NO_IOREQ;
#ifdef CONFIG_ARGO
    if ( d->argo )
        reasons |= KEMARI_NO_ARGO;
#endif

    return reasons;
}

uint32_t kemari_reasons(struct domain *d)
{
    const struct p2m_domain *p2m = p2m_get_hostp2m(d);
    uint32_t reasons = kemari_shell_reasons(d);

    reasons |= kemari_evtchn_reasons(d);
    reasons |= kemari_grant_reasons(d);

    if ( !kemari_pirqs_eligible(d) )
        reasons |= KEMARI_NO_PIRQ;
    if ( p2m->pod.entry_count || p2m->pod.count )
        reasons |= KEMARI_NO_POD;
    if ( altp2m_active(d) )
        reasons |= KEMARI_NO_ALTP2M;
    if ( shares_memory(d) )
        reasons |= KEMARI_NO_SHARING;
    if ( has_vm_event(d) )
        reasons |= KEMARI_NO_VMEVENT;
    if ( has_vpmu(d) )
        reasons |= KEMARI_NO_VPMU;
    if ( d->debugger_attached )
        reasons |= KEMARI_NO_DEBUGGER;
    if ( !VALID_M2P(get_gpfn_from_mfn(virt_to_mfn(d->shared_info))) )
        reasons |= KEMARI_NO_SHARED_INFO;
    if ( domain_tot_pages(d) + BALLOON_SLACK < d->max_pages )
        reasons |= KEMARI_NO_BALLOON;

    return reasons;
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
