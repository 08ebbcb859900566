/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tap.c - Kemari: hold a guest's sends, stop it, and let go by epochs
 *
 * Upholds INV-3, INV-5 and INV-7 (docs/INVARIANTS.md).
 *
 * A held send is a bit in k->held.  BEGIN moves the bits to k->closed, the set
 * of captured epochs; RELEASE delivers that set.  The guest's vCPUs set bits
 * while they run, without a lock; BEGIN runs with all of them off their CPUs.
 */
#include <xen/kemari-private.h>

#include <xen/event.h>
#include <xen/nospec.h>

#include <public/sched.h>

/*
 * Stop the domain, which may be the caller's own.  The pause is taken before
 * the bit is set, so that whoever clears the bit has a pause to drop.
 */
void kemari_stop(struct domain *d)
{
    domain_pause_nosync(d);
    if ( test_and_set_bit(KS_paused, &d->kemari->state) )
        domain_unpause(d);
}

/* Drop the pause of kemari_stop(); false if there was none. */
bool kemari_unstop(struct domain *d)
{
    if ( !test_and_clear_bit(KS_paused, &d->kemari->state) )
        return false;

    domain_unpause(d);

    return true;
}

/* Wait until each vCPU of a stopped domain is off its CPU. */
void kemari_sync(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu ( d, v )
        vcpu_sleep_sync(v);
}

void kemari_wake(struct domain *d)
{
    unsigned int port = read_atomic(&d->kemari->port);

    if ( port )
        notify_via_xen_event_channel(d, port);
}

uint8_t kemari_policy(const struct kemari *k, unsigned int port)
{
    uint8_t policy = read_atomic(
        &k->policy[array_index_nospec(port, KEMARI_MAX_PORTS)]);

    return policy == KEMARI_POLICY_UNSET ? k->default_policy : policy;
}

/* Guest context, the channel's read lock is held.  INV-3 */
bool kemari_tap_port(struct domain *d, unsigned int port)
{
    struct kemari *k = d->kemari;
    bool fresh;

    if ( k->role != KEMARI_ROLE_PRIMARY || port >= KEMARI_MAX_PORTS ||
         port == d->suspend_evtchn || d->is_dying ||
         kemari_policy(k, port) == KEMARI_POLICY_NONE )
        return false;

    fresh = !test_and_set_bit(port, k->held);
    arch_fetch_and_add(&k->taps, 1UL);

    if ( k->mode == KEMARI_MODE_PAUSE )
        kemari_stop(d);
    if ( fresh || k->mode == KEMARI_MODE_PAUSE )
        kemari_wake(d);

    return true;
}

/* The event lock or, of a channel's own, its write lock is held. */
void kemari_free_port(struct domain *d, unsigned int port)
{
    struct kemari *k = d->kemari;

    if ( port >= KEMARI_MAX_PORTS )
        return;

    write_atomic(&k->policy[port], KEMARI_POLICY_UNSET);
    clear_bit(port, k->held);
    clear_bit(port, k->closed);
}

/*
 * Any context: the guest's own, a timer, the control domain, or deep inside
 * Xen for domain_crash().  The first reason is the one that counts.  INV-7
 */
bool kemari_hold_shutdown(struct domain *d, unsigned int reason)
{
    struct kemari *k = d->kemari;

    if ( k->role != KEMARI_ROLE_PRIMARY || d->is_dying ||
         d->is_shutting_down || read_atomic(&k->shutdown_go) )
        return false;

    if ( !test_bit(KS_shutdown, &k->state) )
    {
        k->shutdown_reason = reason;
        k->shutdown_epoch = k->running;
        smp_wmb();
        set_bit(KS_shutdown, &k->state);
    }

    kemari_stop(d);
    kemari_wake(d);

    return true;
}

static void perform_shutdown(struct domain *d)
{
    struct kemari *k = d->kemari;

    write_atomic(&k->shutdown_go, true);
    smp_wmb();
    domain_shutdown(d, k->shutdown_reason);
    write_atomic(&k->shutdown_go, false);
    clear_bit(KS_shutdown, &k->state);
}

int kemari_pause(struct domain *d)
{
    kemari_stop(d);
    kemari_sync(d);

    return 0;
}

int kemari_resume(struct domain *d)
{
    struct kemari *k = d->kemari;

    if ( !test_bit(KS_paused, &k->state) )
        return 0;

    /* A vCPU on its way out may still hold a send, or a shutdown. */
    kemari_sync(d);

    if ( test_bit(KS_shutdown, &k->state) || k->harvest_end ||
         (k->mode == KEMARI_MODE_PAUSE && k->captured > k->released) )
        return -EBUSY;

    kemari_unstop(d);

    /* Somebody else (a watchdog, a crash from outside) came in between. */
    if ( test_bit(KS_shutdown, &k->state) )
    {
        kemari_stop(d);
        return -EBUSY;
    }

    return 0;
}

int kemari_begin(struct domain *d, struct xen_hvm_kemari_epoch *op)
{
    struct kemari *k = d->kemari;
    unsigned int port;

    if ( op->flags & ~KEMARI_BEGIN_MERGE || op->epoch != k->running )
        return -EINVAL;
    if ( k->captured > k->released && !(op->flags & KEMARI_BEGIN_MERGE) )
        return -EBUSY;

    op->drain = 0;
    for ( port = find_first_bit(k->held, KEMARI_MAX_PORTS);
          port < KEMARI_MAX_PORTS;
          port = find_next_bit(k->held, KEMARI_MAX_PORTS, port + 1) )
    {
        if ( kemari_policy(k, port) == KEMARI_POLICY_DRAIN )
            op->drain++;
        set_bit(port, k->closed);
        clear_bit(port, k->held);
    }

    k->captured = k->running++;

    return 0;
}

/* Deliver the sends in @set and empty it. */
static void deliver(struct domain *d, unsigned long *set, uint32_t *delivered,
                    uint32_t *drain)
{
    unsigned int port;

    for ( port = find_first_bit(set, KEMARI_MAX_PORTS);
          port < KEMARI_MAX_PORTS;
          port = find_next_bit(set, KEMARI_MAX_PORTS, port + 1) )
    {
        clear_bit(port, set);
        if ( !kemari_deliver(d, port) )
            continue;
        ++*delivered;
        if ( kemari_policy(d->kemari, port) == KEMARI_POLICY_DRAIN )
            ++*drain;
    }
}

/* INV-5 */
int kemari_release(struct domain *d, struct xen_hvm_kemari_epoch *op)
{
    struct kemari *k = d->kemari;

    if ( op->flags )
        return -EINVAL;
    if ( op->epoch <= k->released )
        return -EALREADY;
    if ( op->epoch != k->captured )
        return -ERANGE;

    op->delivered = op->drain = 0;
    deliver(d, k->closed, &op->delivered, &op->drain);
    k->released = op->epoch;

    if ( test_bit(KS_shutdown, &k->state) && k->shutdown_epoch <= k->released )
        perform_shutdown(d);

    return 0;
}

/* No output: the fence of its ring keeps INV-1 whatever the backend sees. */
int kemari_deliver_held(struct domain *d,
                        const struct xen_hvm_kemari_deliver *op)
{
    struct kemari *k = d->kemari;

    if ( op->_pad || op->port >= KEMARI_MAX_PORTS ||
         kemari_policy(k, op->port) != KEMARI_POLICY_HOLD )
        return -EINVAL;
    if ( !test_and_clear_bit(op->port, k->held) )
        return -EALREADY;

    kemari_deliver(d, op->port);

    return 0;
}

/* The end of protection: nothing stays held. */
void kemari_release_all(struct domain *d)
{
    struct kemari *k = d->kemari;
    uint32_t delivered = 0, drain = 0;

    deliver(d, k->closed, &delivered, &drain);
    deliver(d, k->held, &delivered, &drain);
    if ( test_bit(KS_shutdown, &k->state) )
        perform_shutdown(d);
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
