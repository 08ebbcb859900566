/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari-evtchn.h - Kemari: event channels of a protected domain
 *
 * Included at the end of event_channel.c, whose static functions it uses.
 */
#include <xen/kemari-private.h>

static void cf_check kemari_port_unused(struct vcpu *v, unsigned int port)
{
    /* The controller only listens. */
}

/*
 * Where the controller's port goes in a running guest: guests take the lowest
 * free port, so the highest one of what is allocated is the last they would
 * come to; if all are taken, the next bucket is allocated.
 */
static int kemari_choose_port(struct domain *d)
{
    unsigned int last = min(d->max_evtchn_port, max_evtchns(d) - 1);
    unsigned int port;

    for ( port = min(d->valid_evtchns - 1, last); port; port-- )
    {
        const struct evtchn *chn = evtchn_from_port(d, port);

        if ( chn->state == ECS_FREE && !evtchn_is_busy(d, chn) )
            return port;
    }

    port = d->valid_evtchns + EVTCHNS_PER_BUCKET - 1;

    return port <= last ? port : -ENOSPC;
}

/*
 * Give the controller, which is the caller, a Xen-attached port: guests can
 * neither close nor reset nor send on one.  @port 0: choose one.
 */
int kemari_alloc_port(struct domain *d, unsigned int port)
{
    struct evtchn *chn;
    int rc;

    if ( port >= KEMARI_MAX_PORTS )
        return -EINVAL;

    write_lock(&d->event_lock);

    rc = port ? port : kemari_choose_port(d);
    if ( rc < 0 )
        goto out;

    port = rc;
    rc = evtchn_allocate_port(d, port);
    if ( rc )
    {
        rc = rc == -EBUSY ? -EADDRINUSE : rc;
        goto out;
    }

    chn = evtchn_from_port(d, port);
    rc = xsm_evtchn_unbound(XSM_TARGET, d, chn, current->domain->domain_id);
    if ( !rc )
    {
        evtchn_write_lock(chn);
        chn->state = ECS_UNBOUND;
        chn->xen_consumer = get_xen_consumer(kemari_port_unused);
        chn->notify_vcpu_id = 0;
        chn->u.unbound.remote_domid = current->domain->domain_id;
        evtchn_write_unlock(chn);

        write_atomic(&d->xen_evtchns, d->xen_evtchns + 1);
        rc = port;
    }

    check_free_port(d, port);

 out:
    write_unlock(&d->event_lock);

    return rc;
}

/* Deliver a send that was held; true if somebody was there to notify. */
unsigned int kemari_deliver(struct domain *d, unsigned int port)
{
    struct evtchn *lchn = _evtchn_from_port(d, port), *rchn;
    struct domain *rd;
    bool done = false;

    if ( !lchn )
        return false;

    evtchn_read_lock(lchn);

    if ( lchn->state == ECS_INTERDOMAIN )
    {
        rd = lchn->u.interdomain.remote_dom;
        rchn = evtchn_from_port(rd, lchn->u.interdomain.remote_port);
        evtchn_port_set_pending(rd, rchn->notify_vcpu_id, rchn);
        done = true;
    }

    evtchn_read_unlock(lchn);

    return done;
}

bool kemari_port_in_use(struct domain *d, unsigned int port)
{
    const struct evtchn *chn = _evtchn_from_port(d, port);

    return chn && chn->state != ECS_FREE && chn->state != ECS_RESERVED;
}

/* The default changes: ports that are bound now keep the one of before. */
void kemari_fix_policies(struct domain *d, uint8_t policy)
{
    struct kemari *k = d->kemari;
    unsigned int port, end;

    write_lock(&d->event_lock);

    end = min(d->valid_evtchns, KEMARI_MAX_PORTS + 0U);
    for ( port = 1; port < end; port++ )
        if ( evtchn_from_port(d, port)->state != ECS_FREE &&
             k->policy[port] == KEMARI_POLICY_UNSET )
            write_atomic(&k->policy[port], k->default_policy);
    write_atomic(&k->default_policy, policy);

    write_unlock(&d->event_lock);
}

uint32_t kemari_evtchn_reasons(struct domain *d)
{
    domid_t self = current->domain->domain_id;
    uint32_t reasons = 0;
    unsigned int port;

    read_lock(&d->event_lock);

    if ( d->evtchn_fifo )
        reasons |= KEMARI_NO_FIFO;

    for ( port = 1; port < min(d->valid_evtchns, KEMARI_MAX_PORTS + 0U); port++ )
    {
        const struct evtchn *chn = evtchn_from_port(d, port);

        if ( consumer_is_xen(chn) )
            continue;

        if ( chn->state == ECS_PIRQ )
        {
            if ( domain_pirq_to_emuirq(d, chn->u.pirq.irq) < 0 )
                reasons |= KEMARI_NO_PIRQ;
        }
        else if ( chn->state == ECS_UNBOUND )
        {
            if ( chn->u.unbound.remote_domid != self )
                reasons |= KEMARI_NO_PEER;
        }
        else if ( chn->state == ECS_INTERDOMAIN &&
                  chn->u.interdomain.remote_dom != current->domain )
            reasons |= KEMARI_NO_PEER;
    }

    read_unlock(&d->event_lock);

    return reasons;
}

/*
 * Linux masks a port from the notification until its user says that it has
 * been dealt with, so a reader that will look once more shows here.
 */
static bool kemari_remote_busy(const struct evtchn *chn)
{
    struct domain *rd = chn->u.interdomain.remote_dom;
    const struct evtchn *rchn =
        evtchn_from_port(rd, chn->u.interdomain.remote_port);

    return evtchn_is_pending(rd, rchn) || evtchn_is_masked(rd, rchn);
}

static int kemari_get_port(struct domain *d, unsigned int port,
                           struct xen_hvm_kemari_evtchn *e)
{
    const struct kemari *k = d->kemari;
    const struct evtchn *chn = evtchn_from_port(d, port);

    memset(e, 0, sizeof(*e));

    if ( chn->state == ECS_FREE || chn->state == ECS_RESERVED )
        return 0;

    e->vcpu = chn->notify_vcpu_id;

    if ( consumer_is_xen(chn) )
    {
        e->state = KEMARI_EVTCHN_XEN;
        return 0;
    }

    switch ( chn->state )
    {
    case ECS_UNBOUND:
        e->state = KEMARI_EVTCHN_UNBOUND;
        e->remote = chn->u.unbound.remote_domid;
        break;

    case ECS_INTERDOMAIN:
        e->state = KEMARI_EVTCHN_INTERDOM;
        e->remote = chn->u.interdomain.remote_dom->domain_id;
        e->remote_port = chn->u.interdomain.remote_port;
        e->busy = kemari_remote_busy(chn);
        break;

    case ECS_VIRQ:
        e->state = KEMARI_EVTCHN_VIRQ;
        e->virq = chn->u.virq;
        break;

    case ECS_IPI:
        e->state = KEMARI_EVTCHN_IPI;
        break;

    case ECS_PIRQ:
        e->state = KEMARI_EVTCHN_PIRQ;
        e->virq = chn->u.pirq.irq;
        break;

    default:
        return -EXDEV;
    }

    e->policy = kemari_policy(k, port);
    e->held = test_bit(port, k->closed) ? 2 : test_bit(port, k->held);

    return 0;
}

int kemari_get_evtchns(struct domain *d, struct xen_hvm_kemari_evtchns *op)
{
    unsigned int i, end;
    int rc = 0;

    if ( op->nr > KEMARI_MAX_PORTS || op->first >= KEMARI_MAX_PORTS )
        return -EINVAL;

    end = min(op->first + op->nr, read_atomic(&d->valid_evtchns));
    end = min(end, KEMARI_MAX_PORTS + 0U);

    for ( i = op->first; i < end && !rc; i++ )
    {
        struct xen_hvm_kemari_evtchn e;

        read_lock(&d->event_lock);
        rc = kemari_get_port(d, i, &e);
        read_unlock(&d->event_lock);

        if ( !rc && copy_to_guest_offset(op->array, i - op->first, &e, 1) )
            rc = -EFAULT;
    }

    op->nr = max(end, op->first) - op->first;

    return rc;
}

/* Is the port bound as wanted already?  Then only its vCPU can change. */
static bool kemari_same_port(const struct evtchn *chn,
                             const struct xen_hvm_kemari_evtchn *e)
{
    switch ( e->state )
    {
    case KEMARI_EVTCHN_UNBOUND:
    case KEMARI_EVTCHN_INTERDOM:
        if ( chn->state == ECS_UNBOUND )
            return chn->u.unbound.remote_domid == e->remote;
        return chn->state == ECS_INTERDOMAIN &&
               chn->u.interdomain.remote_dom->domain_id == e->remote;

    case KEMARI_EVTCHN_VIRQ:
        return chn->state == ECS_VIRQ && chn->u.virq == e->virq &&
               (virq_is_global(e->virq) || chn->notify_vcpu_id == e->vcpu);

    case KEMARI_EVTCHN_IPI:
        return chn->state == ECS_IPI && chn->notify_vcpu_id == e->vcpu;

    case KEMARI_EVTCHN_PIRQ:
        return chn->state == ECS_PIRQ && chn->u.pirq.irq == e->virq &&
               chn->notify_vcpu_id == e->vcpu;
    }

    return chn->state == ECS_FREE || chn->state == ECS_RESERVED;
}

static int kemari_bind_port(struct domain *d, unsigned int port,
                            const struct xen_hvm_kemari_evtchn *e)
{
    struct vcpu *v = NULL;
    struct pirq *pirq = NULL;
    struct evtchn *chn;
    int rc;

    if ( e->state == KEMARI_EVTCHN_PIRQ )
    {
        pirq = pirq_info(d, e->virq);
        if ( !pirq || domain_pirq_to_emuirq(d, e->virq) < 0 )
            return -ENODEV;
        if ( pirq->evtchn )
            return -EEXIST;
    }
    if ( e->state == KEMARI_EVTCHN_VIRQ )
    {
        v = d->vcpu[virq_is_global(e->virq) ? 0 : e->vcpu];
        if ( read_atomic(&v->virq_to_evtchn[e->virq]) )
            return -EEXIST;
    }

    rc = evtchn_allocate_port(d, port);
    if ( rc )
        return rc;

    chn = evtchn_from_port(d, port);
    evtchn_write_lock(chn);

    chn->notify_vcpu_id = e->vcpu;
    switch ( e->state )
    {
    case KEMARI_EVTCHN_UNBOUND:
    case KEMARI_EVTCHN_INTERDOM:
        chn->state = ECS_UNBOUND;
        chn->u.unbound.remote_domid = e->remote;
        break;

    case KEMARI_EVTCHN_VIRQ:
        chn->state = ECS_VIRQ;
        chn->u.virq = e->virq;
        break;

    case KEMARI_EVTCHN_IPI:
        chn->state = ECS_IPI;
        break;

    case KEMARI_EVTCHN_PIRQ:
        chn->state = ECS_PIRQ;
        chn->u.pirq.irq = e->virq;
        pirq->evtchn = port;
        link_pirq_port(port, chn, d->vcpu[e->vcpu]);
        break;
    }
    evtchn_port_init(d, chn);

    evtchn_write_unlock(chn);

    if ( v )
        write_atomic(&v->virq_to_evtchn[e->virq], port);

    return 0;
}

static int kemari_check_port(const struct domain *d, unsigned int port,
                             const struct xen_hvm_kemari_evtchn *e)
{
    if ( e->state > KEMARI_EVTCHN_PIRQ )
        return -EINVAL;
    if ( e->state == KEMARI_EVTCHN_FREE || e->state == KEMARI_EVTCHN_XEN )
        return 0;
    if ( !port || e->vcpu >= d->max_vcpus || !domain_vcpu(d, e->vcpu) )
        return -EINVAL;
    if ( e->state == KEMARI_EVTCHN_VIRQ && e->virq >= NR_VIRQS )
        return -EINVAL;
    if ( (e->state == KEMARI_EVTCHN_UNBOUND ||
          e->state == KEMARI_EVTCHN_INTERDOM) &&
         e->remote >= DOMID_FIRST_RESERVED )
        return -EINVAL;

    return 0;
}

static int kemari_set_port(struct domain *d, unsigned int port,
                           const struct xen_hvm_kemari_evtchn *e)
{
    struct evtchn *chn = _evtchn_from_port(d, port);
    int rc = kemari_check_port(d, port, e);

    if ( rc || e->state == KEMARI_EVTCHN_XEN )
        return rc;

    if ( !chn && e->state == KEMARI_EVTCHN_FREE )
        return 0;
    if ( chn && consumer_is_xen(chn) )
        return e->state == KEMARI_EVTCHN_FREE ? 0 : -EADDRINUSE;

    if ( chn && !kemari_same_port(chn, e) && kemari_port_in_use(d, port) )
    {
        rc = evtchn_close(d, port, false);
        if ( rc )
            return rc;
    }

    if ( e->state == KEMARI_EVTCHN_FREE )
        return 0;

    write_lock(&d->event_lock);
    chn = _evtchn_from_port(d, port);
    if ( chn && kemari_same_port(chn, e) )
        chn->notify_vcpu_id = e->vcpu;
    else
        rc = kemari_bind_port(d, port, e);
    write_unlock(&d->event_lock);

    return rc;
}

/* The domain is a standby: nobody but the caller changes its ports. */
int kemari_set_evtchns(struct domain *d, struct xen_hvm_kemari_evtchns *op)
{
    unsigned int i;
    int rc = 0;

    if ( op->nr > KEMARI_MAX_PORTS || op->first >= KEMARI_MAX_PORTS ||
         op->nr > KEMARI_MAX_PORTS - op->first )
        return -EINVAL;

    for ( i = 0; i < op->nr && !rc; i++ )
    {
        struct xen_hvm_kemari_evtchn e;

        if ( copy_from_guest_offset(&e, op->array, i, 1) )
            rc = -EFAULT;
        else
            rc = kemari_set_port(d, op->first + i, &e);
    }

    op->nr = rc ? i - 1 : i;

    return rc;
}

/*
 * Make pending whatever may have been lost in the move.  Guests have to bear
 * with spurious events, but VIRQ_DEBUG makes Linux dump its event channels.
 * INV-25
 */
void kemari_kick(struct domain *d)
{
    unsigned int port;
    struct vcpu *v;

    read_lock(&d->event_lock);

    for ( port = 1; port < min(d->valid_evtchns, KEMARI_MAX_PORTS + 0U); port++ )
    {
        struct evtchn *chn = evtchn_from_port(d, port);

        if ( consumer_is_xen(chn) )
            continue;
        if ( chn->state == ECS_INTERDOMAIN || chn->state == ECS_UNBOUND ||
             chn->state == ECS_IPI ||
             (chn->state == ECS_VIRQ && chn->u.virq == VIRQ_TIMER) )
            evtchn_port_set_pending(d, chn->notify_vcpu_id, chn);
    }

    read_unlock(&d->event_lock);

    /*
     * A pending bit that was set in the image already raised nothing above.
     * The upcall flag may be set too: clear it, so that marking asserts it.
     */
    for_each_vcpu ( d, v )
    {
        if ( v->vcpu_info == &dummy_vcpu_info )
            continue;
        write_atomic(&vcpu_info(v, evtchn_pending_sel), ~0);
        vcpu_info(v, evtchn_upcall_pending) = 0;
        smp_wmb();
        vcpu_mark_events_pending(v);
    }
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
