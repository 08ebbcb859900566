/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * op.c - Kemari: the hypercall, and the life of a protected domain
 *
 * Upholds INV-20, INV-28, INV-30 and INV-31 (docs/INVARIANTS.md).
 */
#include <xen/kemari-private.h>

#include <xen/event.h>
#include <xen/guest_access.h>
#include <xsm/xsm.h>

#include <asm/hvm/hvm.h>
#include <asm/hvm/kemari.h>

#include <public/hvm/params.h>

bool kemari_is_active(const struct domain *d)
{
    return d->kemari->role != KEMARI_ROLE_NONE;
}

bool kemari_is_standby(const struct domain *d)
{
    return d->kemari->role == KEMARI_ROLE_STANDBY;
}

/*
 * The first ENABLE of a domain allocates its struct kemari, which then stays
 * with it to the end, so that hooks may look at it without a lock.
 */
static struct kemari *get_kemari(struct domain *d)
{
    struct kemari *k;

    if ( d->kemari )
        return d->kemari;

    k = xzalloc(struct kemari);
    if ( !k )
        return NULL;

    spin_lock_init(&k->lock);
    memset(k->policy, KEMARI_POLICY_UNSET, sizeof(k->policy));
    k->default_policy = KEMARI_POLICY_DRAIN;

    if ( cmpxchgptr(&d->kemari, NULL, k) )
        xfree(k);

    return d->kemari;
}

static void free_vcpus(struct kemari *k)
{
    XFREE(k->vcpu);
    XFREE(k->vcpu_set);
}

static int enable_primary(struct domain *d,
                          const struct xen_hvm_kemari_enable *op)
{
    struct kemari *k = d->kemari;
    unsigned int store = d->arch.hvm.params[HVM_PARAM_STORE_EVTCHN];
    int rc;

    if ( op->mode > KEMARI_MODE_NOTIFY || !op->dirty_limit ||
         op->dirty_limit > KEMARI_MAX_DIRTY )
        return -EINVAL;
    if ( k->parked )
        return -EBUSY;
    if ( kemari_reasons(d) )
        return -EXDEV;

    rc = kemari_dirty_init(d, op->dirty_limit);
    if ( rc )
        return rc;

    /* Xenstore is replicated rather than held. */
    if ( store && store < KEMARI_MAX_PORTS )
        k->policy[store] = KEMARI_POLICY_NONE;
    kemari_grant_pin_version(d);

    return 0;
}

static int enable_standby(struct domain *d,
                          const struct xen_hvm_kemari_enable *op)
{
    struct kemari *k = d->kemari;

    if ( op->mode || op->dirty_limit )
        return -EINVAL;
    if ( (d->creation_finished && !k->parked) || kemari_shell_reasons(d) )
        return -EXDEV;

    free_vcpus(k);
    k->vcpu = xzalloc_array(struct xen_hvm_kemari_vcpu, d->max_vcpus);
    k->vcpu_set = xzalloc_array(bool, d->max_vcpus);
    if ( !k->vcpu || !k->vcpu_set )
    {
        free_vcpus(k);
        return -ENOMEM;
    }

    if ( !k->parked )
    {
        domain_pause(d);
        k->parked = true;
    }

    return 0;
}

/* The domain is paused, so that no hook runs in a guest's context. */
static int enable(struct domain *d, struct xen_hvm_kemari_enable *op)
{
    struct kemari *k = d->kemari;
    int rc;

    if ( k->role != KEMARI_ROLE_NONE )
        return -EBUSY;
    if ( !op->generation || op->_pad )
        return -EINVAL;
    if ( op->generation < k->generation )
        return -ESTALE;

    switch ( op->role )
    {
    case KEMARI_ROLE_PRIMARY:
        rc = enable_primary(d, op);
        break;

    case KEMARI_ROLE_STANDBY:
        /* INV-20: from here on it is parked, whoever unpauses it. */
        rc = enable_standby(d, op);
        break;

    default:
        return -EINVAL;
    }
    if ( rc )
        return rc;

    rc = kemari_alloc_port(d, op->port);
    if ( rc < 0 )
    {
        kemari_dirty_free(d);
        return rc;
    }
    op->port = rc;

    k->generation = op->generation;
    k->running = 1;
    k->captured = k->released = 0;
    k->taps = 0;
    k->ioreqs = 0;
    k->mode = op->mode;
    write_atomic(&k->port, op->port);
    smp_wmb();
    write_atomic(&k->role, op->role);

    return 0;
}

/* Back to role none; the domain is paused. */
static void end_role(struct domain *d)
{
    struct kemari *k = d->kemari;
    unsigned int port = k->port;

    write_atomic(&k->role, KEMARI_ROLE_NONE);
    write_atomic(&k->port, 0);
    if ( port )
        free_xen_event_channel(d, port);
    kemari_dirty_free(d);
    free_vcpus(k);
    memset(k->policy, KEMARI_POLICY_UNSET, sizeof(k->policy));
    k->default_policy = KEMARI_POLICY_DRAIN;
}

static int disable(struct domain *d, const struct xen_hvm_kemari_disable *op)
{
    struct kemari *k = d->kemari;

    if ( (op->flags & ~KEMARI_DISABLE_STANDBY) || op->_pad )
        return -EINVAL;
    if ( k->role == KEMARI_ROLE_STANDBY &&
         !(op->flags & KEMARI_DISABLE_STANDBY) )
        return -EBUSY;

    if ( k->role == KEMARI_ROLE_PRIMARY )
        kemari_release_all(d);
    end_role(d);
    kemari_unstop(d);

    return 0;
}

static void query(struct domain *d, struct xen_hvm_kemari_query *op)
{
    const struct kemari *k = d->kemari;

    memset(op, 0, sizeof(*op));
    if ( !k )
        return;

    op->generation = k->generation;
    if ( k->role == KEMARI_ROLE_NONE )
        return;

    op->running = k->running;
    op->captured = k->captured;
    op->released = k->released;
    op->dirty = kemari_dirty_count(d);
    op->dirty_limit = k->dirty_limit;
    op->taps = k->taps;
    op->ioreqs = k->ioreqs;
    op->role = k->role;
    op->mode = k->mode;
    op->port = k->port;
    op->held_running = bitmap_weight(k->held, KEMARI_MAX_PORTS);
    op->held_captured = bitmap_weight(k->closed, KEMARI_MAX_PORTS);
    op->nr_ports = min(d->valid_evtchns, KEMARI_MAX_PORTS + 0U);

    if ( test_bit(KS_paused, &k->state) )
        op->flags |= KEMARI_QF_PAUSED;
    if ( test_bit(KS_limit, &k->state) )
        op->flags |= KEMARI_QF_LIMIT;
    if ( test_bit(KS_lost, &k->state) )
        op->flags |= KEMARI_QF_LOST;
    if ( test_bit(KS_p2m, &k->state) )
        op->flags |= KEMARI_QF_P2M;
    if ( kemari_ioreq_pending(d) )
        op->flags |= KEMARI_QF_IOREQ;
    if ( test_bit(KS_shutdown, &k->state) )
    {
        op->flags |= KEMARI_QF_SHUTDOWN;
        op->shutdown_reason = d->shutdown_code != SHUTDOWN_CODE_INVALID
                              ? d->shutdown_code : k->shutdown_reason;
    }
}

static int set_policy(struct domain *d, const struct xen_hvm_kemari_policy *op)
{
    struct kemari *k = d->kemari;

    if ( op->policy > KEMARI_POLICY_DRAIN )
        return -EINVAL;

    if ( op->port == KEMARI_PORT_DEFAULT )
        kemari_fix_policies(d, op->policy);
    else if ( op->port >= KEMARI_MAX_PORTS || op->port == k->port ||
              !kemari_port_in_use(d, op->port) )
        return -EINVAL;
    else
        write_atomic(&k->policy[op->port], op->policy);

    return 0;
}

static int activate(struct domain *d,
                    const struct xen_hvm_kemari_activate *op)
{
    struct kemari *k = d->kemari;

    if ( op->new_generation <= op->generation )
        return -EINVAL;

    kemari_apply(d);
    end_role(d);
    k->generation = op->new_generation;
    k->parked = false;
    domain_unpause(d);

    return 0;
}

/* What a command needs of the domain. */
#define NEEDS_GENERATION    1u      /* the first field of its argument */
#define NEEDS_STOPPED       2u      /* no vCPU runs: paused, or a standby */
#define NEEDS_PRIMARY       4u
#define NEEDS_STANDBY       8u

static const uint8_t needs[] = {
    [KEMARI_CMD_disable]     = NEEDS_GENERATION,
    [KEMARI_CMD_policy]      = NEEDS_PRIMARY,
    [KEMARI_CMD_pause]       = NEEDS_GENERATION | NEEDS_PRIMARY,
    [KEMARI_CMD_resume]      = NEEDS_GENERATION | NEEDS_PRIMARY,
    [KEMARI_CMD_begin]       = NEEDS_GENERATION | NEEDS_PRIMARY | NEEDS_STOPPED,
    [KEMARI_CMD_release]     = NEEDS_GENERATION | NEEDS_PRIMARY,
    [KEMARI_CMD_harvest]     = NEEDS_GENERATION | NEEDS_PRIMARY | NEEDS_STOPPED,
    [KEMARI_CMD_get_evtchn]  = NEEDS_STOPPED,
    [KEMARI_CMD_set_evtchn]  = NEEDS_STANDBY,
    [KEMARI_CMD_get_vcpu]    = NEEDS_STOPPED,
    [KEMARI_CMD_set_vcpu]    = NEEDS_STANDBY,
    [KEMARI_CMD_set_dom]     = NEEDS_STANDBY,
    [KEMARI_CMD_get_context] = NEEDS_STOPPED,
    [KEMARI_CMD_set_context] = NEEDS_STANDBY,
    [KEMARI_CMD_activate]    = NEEDS_GENERATION | NEEDS_STANDBY,
    [KEMARI_CMD_deliver]     = NEEDS_GENERATION | NEEDS_PRIMARY,
    [KEMARI_CMD_get_pirqs]   = NEEDS_STOPPED,
    [KEMARI_CMD_set_pirqs]   = NEEDS_STANDBY,
};

static bool is_epoch_cmd(uint32_t cmd)
{
    return cmd == KEMARI_CMD_pause || cmd == KEMARI_CMD_resume ||
           cmd == KEMARI_CMD_begin || cmd == KEMARI_CMD_release;
}

static int check_needs(struct domain *d, const struct xen_hvm_kemari *op)
{
    const struct kemari *k = d->kemari;
    unsigned int need = needs[op->cmd];

    if ( is_epoch_cmd(op->cmd) && op->u.epoch._pad )
        return -EINVAL;
    if ( k->role == KEMARI_ROLE_NONE )
        return -ENOENT;
    if ( (need & NEEDS_PRIMARY) && k->role != KEMARI_ROLE_PRIMARY )
        return -EINVAL;
    if ( (need & NEEDS_STANDBY) && k->role != KEMARI_ROLE_STANDBY )
        return -EINVAL;
    /* .generation is the first field of all arguments that have one. */
    if ( (need & NEEDS_GENERATION) &&
         op->u.disable.generation != k->generation )
        return -ESTALE;
    if ( (need & NEEDS_STOPPED) && k->role == KEMARI_ROLE_PRIMARY )
    {
        if ( !test_bit(KS_paused, &k->state) )
            return -EAGAIN;
        kemari_sync(d);
    }

    return 0;
}

/* Commands of a domain that is enabled; k->lock is held. */
static int enabled_op(struct domain *d, struct xen_hvm_kemari *op)
{
    int rc = check_needs(d, op);

    if ( rc )
        return rc;

    switch ( op->cmd )
    {
    case KEMARI_CMD_disable:
        domain_pause(d);
        rc = disable(d, &op->u.disable);
        domain_unpause(d);
        return rc;

    case KEMARI_CMD_policy:
        return set_policy(d, &op->u.policy);

    case KEMARI_CMD_pause:
        return kemari_pause(d);

    case KEMARI_CMD_resume:
        return kemari_resume(d);

    case KEMARI_CMD_begin:
        return kemari_begin(d, &op->u.epoch);

    case KEMARI_CMD_release:
        return kemari_release(d, &op->u.epoch);

    case KEMARI_CMD_harvest:
        return kemari_harvest(d, &op->u.harvest);

    case KEMARI_CMD_get_evtchn:
        return kemari_get_evtchns(d, &op->u.evtchns);

    case KEMARI_CMD_set_evtchn:
        return kemari_set_evtchns(d, &op->u.evtchns);

    case KEMARI_CMD_get_vcpu:
        return kemari_get_vcpu(d, &op->u.vcpu);

    case KEMARI_CMD_set_vcpu:
        return kemari_set_vcpu(d, &op->u.vcpu);

    case KEMARI_CMD_set_dom:
        return kemari_set_dom(d, &op->u.dom);

    case KEMARI_CMD_get_context:
        return kemari_get_context(d, &op->u.context);

    case KEMARI_CMD_set_context:
        return kemari_set_context(d, &op->u.context);

    case KEMARI_CMD_activate:
        return activate(d, &op->u.activate);

    case KEMARI_CMD_deliver:
        return kemari_deliver_held(d, &op->u.deliver);

    case KEMARI_CMD_get_pirqs:
        return kemari_get_pirqs(d, &op->u.pirqs);

    case KEMARI_CMD_set_pirqs:
        return kemari_set_pirqs(d, &op->u.pirqs);
    }

    return -EINVAL;
}

static int locked_op(struct domain *d, struct xen_hvm_kemari *op)
{
    struct kemari *k;
    int rc;

    if ( op->cmd == KEMARI_CMD_enable )
        k = get_kemari(d);
    else
        k = d->kemari;

    if ( !k )
    {
        if ( op->cmd == KEMARI_CMD_query )
        {
            query(d, &op->u.query);
            return 0;
        }
        return op->cmd == KEMARI_CMD_enable ? -ENOMEM : -ENOENT;
    }

    spin_lock(&k->lock);

    if ( d->is_dying )
        rc = -ESRCH;
    else if ( op->cmd == KEMARI_CMD_enable )
    {
        domain_pause(d);
        rc = enable(d, &op->u.enable);
        domain_unpause(d);
    }
    else if ( op->cmd == KEMARI_CMD_query )
    {
        query(d, &op->u.query);
        rc = 0;
    }
    else
        rc = enabled_op(d, op);

    spin_unlock(&k->lock);

    return rc;
}

static int domain_op(struct domain *d, struct xen_hvm_kemari *op)
{
    int rc;

    if ( !is_hvm_domain(d) )
        return -EOPNOTSUPP;

    rc = xsm_hvm_param_altp2mhvm(XSM_PRIV, d);
    if ( rc )
        return rc;

    switch ( op->cmd )
    {
    case KEMARI_CMD_eligible:
        memset(&op->u.eligible, 0, sizeof(op->u.eligible));
        op->u.eligible.reasons = kemari_reasons(d);
        return 0;

    case KEMARI_CMD_get_dom:
        return kemari_get_dom(d, &op->u.dom);
    }

    return locked_op(d, op);
}

int do_kemari_op(XEN_GUEST_HANDLE_PARAM(xen_hvm_kemari_t) arg)
{
    struct xen_hvm_kemari op;
    struct domain *d;
    int rc;

    BUILD_BUG_ON(sizeof(op.u) != sizeof(op.u.pad));

    if ( !is_control_domain(current->domain) )
        return -EPERM;

    if ( copy_from_guest(&op, arg, 1) )
        return -EFAULT;

    if ( op.version != KEMARI_VERSION )
    {
        op.version = KEMARI_VERSION;
        return copy_field_to_guest(arg, &op, version) ? -EFAULT : -EPROTO;
    }

    if ( op._pad0 || op._pad1 || !op.cmd || op.cmd > KEMARI_CMD_set_pirqs )
        return -EINVAL;

    rc = rcu_lock_remote_domain_by_id(op.domid, &d);
    if ( rc )
        return rc;

    rc = domain_op(d, &op);

    rcu_unlock_domain(d);

    /* Errors may come with a number (-ENOBUFS: how many there are). */
    if ( rc != -ERESTART && copy_to_guest(arg, &op, 1) )
        rc = -EFAULT;

    return rc;
}

/* The domain is dying; nothing of it runs and nothing comes back. */
void kemari_teardown(struct domain *d)
{
    struct kemari *k = d->kemari;

    spin_lock(&k->lock);
    if ( k->role != KEMARI_ROLE_NONE )
        end_role(d);
    spin_unlock(&k->lock);
}

void kemari_free(struct domain *d)
{
    XFREE(d->kemari);
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
