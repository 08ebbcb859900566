/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.c - Kemari: state of a domain and its vCPUs that no HVM save record
 * holds
 *
 * What is set for a standby is checked and kept, and takes effect only when
 * the standby becomes the domain: a timer must not fire, nor Xen write to the
 * guest's areas, while its memory is still being replaced.  The placement of
 * vcpu_info is the exception; it has to be there before the memory image.
 * Upholds INV-22, INV-23 and INV-25 (docs/INVARIANTS.md).
 */
#include <xen/kemari-private.h>

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xen/time.h>

#include <asm/hvm/hvm.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#define SHADOW_FLAGS    (KEMARI_VF_INT_STI | KEMARI_VF_INT_MOVSS)
#define ALL_FLAGS       (SHADOW_FLAGS | KEMARI_VF_RUNSTATE | KEMARI_VF_TIME | \
                         KEMARI_VF_SINGLESHOT)

/* Interrupt shadow and what else VMX keeps beside the registers. */
static void get_shadow(struct vcpu *v, struct xen_hvm_kemari_vcpu *op)
{
    unsigned int shadow;

    if ( hvm_funcs.get_nonreg_state )
    {
        struct hvm_vcpu_nonreg_state nrs = {};

        hvm_get_nonreg_state(v, &nrs);
        shadow = nrs.vmx.interruptibility_info;
        op->activity = nrs.vmx.activity_state;
        op->dr6_pending = nrs.vmx.pending_dbg;
    }
    else
        shadow = alternative_call(hvm_funcs.get_interrupt_shadow, v);

    if ( shadow & HVM_INTR_SHADOW_STI )
        op->flags |= KEMARI_VF_INT_STI;
    if ( shadow & HVM_INTR_SHADOW_MOV_SS )
        op->flags |= KEMARI_VF_INT_MOVSS;
}

static void apply_shadow(struct vcpu *v, const struct xen_hvm_kemari_vcpu *op)
{
    unsigned int shadow = 0;

    if ( op->flags & KEMARI_VF_INT_STI )
        shadow |= HVM_INTR_SHADOW_STI;
    if ( op->flags & KEMARI_VF_INT_MOVSS )
        shadow |= HVM_INTR_SHADOW_MOV_SS;

    if ( hvm_funcs.set_nonreg_state )
    {
        struct hvm_vcpu_nonreg_state nrs = {};

        /* Keep the interrupt status, which the LAPIC's record has set. */
        hvm_get_nonreg_state(v, &nrs);
        nrs.vmx.activity_state = 0;
        nrs.vmx.interruptibility_info = shadow;
        nrs.vmx.pending_dbg = op->dr6_pending;
        hvm_set_nonreg_state(v, &nrs);
    }
    else
        alternative_vcall(hvm_funcs.set_interrupt_shadow, v, shadow);
}

static void get_placement(struct vcpu *v, struct xen_hvm_kemari_vcpu *op)
{
    op->info_gfn = ~0ULL;
    if ( mfn_eq(v->vcpu_info_mfn, INVALID_MFN) )
        return;

    op->info_gfn = gfn_x(mfn_to_gfn(v->domain, v->vcpu_info_mfn));
    op->info_offset = (unsigned long)v->vcpu_info & ~PAGE_MASK;
}

int kemari_get_vcpu(struct domain *d, struct xen_hvm_kemari_vcpu *op)
{
    const struct kemari *k = d->kemari;
    struct vcpu_runstate_info runstate;
    struct vcpu *v = domain_vcpu(d, op->vcpu);
    unsigned int i, id = op->vcpu;

    if ( !v )
        return -EINVAL;

    if ( k->vcpu_set && k->vcpu_set[id] )
    {
        *op = k->vcpu[id];
        return 0;
    }

    memset(op, 0, sizeof(*op));
    op->vcpu = id;
    get_placement(v, op);
    get_shadow(v, op);
    op->upcall_vector = v->arch.hvm.evtchn_upcall_vector;

    op->runstate_area = (unsigned long)v->runstate_guest.native.p;
    if ( op->runstate_area )
        op->flags |= KEMARI_VF_RUNSTATE;
    op->time_area = (unsigned long)v->arch.time_info_guest.p;
    if ( op->time_area )
        op->flags |= KEMARI_VF_TIME;

    vcpu_runstate_get(v, &runstate);
    for ( i = 0; i < ARRAY_SIZE(op->runstate_time); i++ )
        op->runstate_time[i] = runstate.time[i];

    if ( timer_is_active(&v->singleshot_timer) )
    {
        op->singleshot = kemari_guest_time(d, v->singleshot_timer.expires);
        op->flags |= KEMARI_VF_SINGLESHOT;
    }
    op->periodic = v->periodic_period;

    return 0;
}

static int check_vcpu(const struct domain *d,
                      const struct xen_hvm_kemari_vcpu *op)
{
    unsigned int i;

    if ( (op->flags & ~ALL_FLAGS) || op->_pad || op->activity )
        return -EINVAL;
    if ( op->dr6_pending && !hvm_funcs.set_nonreg_state )
        return -EINVAL;
    if ( op->info_gfn != ~0ULL && !gfn_valid(d, _gfn(op->info_gfn)) )
        return -EINVAL;
    if ( op->upcall_vector > 0xff ||
         (op->upcall_vector && op->upcall_vector < 0x10) )
        return -EINVAL;
    if ( !is_canonical_address(op->runstate_area) ||
         !is_canonical_address(op->time_area) )
        return -EINVAL;
    if ( op->singleshot > STIME_DELTA_MAX || op->periodic > STIME_DELTA_MAX ||
         (op->periodic && op->periodic < MILLISECS(1)) )
        return -EINVAL;
    for ( i = 0; i < ARRAY_SIZE(op->runstate_time); i++ )
        if ( op->runstate_time[i] > STIME_DELTA_MAX )
            return -EINVAL;

    return 0;
}

static int set_placement(struct vcpu *v, const struct xen_hvm_kemari_vcpu *op)
{
    struct domain *d = v->domain;
    struct xen_hvm_kemari_vcpu now = {};
    int rc;

    get_placement(v, &now);
    if ( now.info_gfn == op->info_gfn )
        return now.info_gfn == ~0ULL || now.info_offset == op->info_offset
               ? 0 : -EBUSY;
    if ( now.info_gfn != ~0ULL )
        return -EBUSY;

    domain_lock(d);
    rc = map_vcpu_info(v, op->info_gfn, op->info_offset);
    domain_unlock(d);

    return rc;
}

int kemari_set_vcpu(struct domain *d, const struct xen_hvm_kemari_vcpu *op)
{
    struct kemari *k = d->kemari;
    struct vcpu *v = domain_vcpu(d, op->vcpu);
    int rc;

    if ( !v )
        return -EINVAL;

    rc = check_vcpu(d, op) ?: set_placement(v, op);
    if ( rc )
        return rc;

    k->vcpu[v->vcpu_id] = *op;
    k->vcpu_set[v->vcpu_id] = true;

    return 0;
}

int kemari_get_dom(struct domain *d, struct xen_hvm_kemari_dom *op)
{
    memset(op, 0, sizeof(*op));
    op->vm_assist = d->vm_assist;
    op->guest_time = kemari_guest_time(d, NOW());
    op->shared_info_gfn = get_gpfn_from_mfn(virt_to_mfn(d->shared_info));
    if ( !VALID_M2P(op->shared_info_gfn) )
        op->shared_info_gfn = ~0ULL;
    op->max_vcpus = d->max_vcpus;
    kemari_grant_sizes(d, op);

    return 0;
}

int kemari_set_dom(struct domain *d, const struct xen_hvm_kemari_dom *op)
{
    if ( op->vm_assist & ~arch_vm_assist_valid_mask(d) )
        return -EINVAL;

    d->vm_assist = op->vm_assist;

    return 0;
}

static void apply_vcpu(struct vcpu *v, const struct xen_hvm_kemari_vcpu *op)
{
    unsigned int i;

    apply_shadow(v, op);
    v->arch.hvm.evtchn_upcall_vector = op->upcall_vector;

    v->runstate_guest.native.p = (void *)(op->flags & KEMARI_VF_RUNSTATE ?
                                          op->runstate_area : 0);
    v->arch.time_info_guest.p = (void *)(op->flags & KEMARI_VF_TIME ?
                                         op->time_area : 0);
    for ( i = 0; i < ARRAY_SIZE(op->runstate_time); i++ )
        v->runstate.time[i] = op->runstate_time[i];
    v->runstate.state_entry_time = NOW();

    vcpu_set_periodic_timer(v, op->periodic);
    if ( op->flags & KEMARI_VF_SINGLESHOT )
        set_timer(&v->singleshot_timer,
                  op->singleshot ? kemari_host_time(v->domain, op->singleshot)
                                 : 1);
    else
        stop_timer(&v->singleshot_timer);
}

/* The standby becomes the domain; guest time and memory are in place. */
void kemari_apply(struct domain *d)
{
    const struct kemari *k = d->kemari;
    struct vcpu *v;

    for_each_vcpu ( d, v )
        if ( k->vcpu_set[v->vcpu_id] )
            apply_vcpu(v, &k->vcpu[v->vcpu_id]);

    update_domain_wallclock_time(d);
    kemari_kick(d);
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
