/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari.h - fault tolerance for guests that do not co-operate: the hooks
 *
 * Everything that stock files call is here.  A domain that was never enabled
 * has no struct kemari, and every hook is then a test of that pointer.
 */
#ifndef __XEN_KEMARI_H__
#define __XEN_KEMARI_H__

#include <xen/sched.h>

#if defined(CONFIG_X86) && defined(CONFIG_HVM)

/* Out of line parts; call them through the inline functions below only. */
bool kemari_tap_port(struct domain *d, unsigned int port);
void kemari_free_port(struct domain *d, unsigned int port);
bool kemari_hold_shutdown(struct domain *d, unsigned int reason);
void kemari_count_ioreq(struct domain *d);
void kemari_add_dirty(struct domain *d, unsigned long gfn);
void kemari_lose_dirty(struct domain *d);
void kemari_reset_dirty(struct domain *d);
void kemari_note_p2m(struct domain *d);
void kemari_teardown(struct domain *d);
void kemari_free(struct domain *d);
bool kemari_is_active(const struct domain *d);
bool kemari_is_standby(const struct domain *d);
bool kemari_host_prepared(void);
domid_t kemari_domid(domid_t dom);
domid_t kemari_domid_rover(domid_t rover);

/* A guest sends on an interdomain port: true if the send is held. */
static inline bool kemari_tap(struct domain *d, unsigned int port)
{
    return unlikely(d->kemari) && kemari_tap_port(d, port);
}

/* A port has become free: what was held or set for it goes. */
static inline void kemari_port_freed(struct domain *d, unsigned int port)
{
    if ( unlikely(d->kemari) )
        kemari_free_port(d, port);
}

/* A domain is about to be shut down: true if that is held back. */
static inline bool kemari_shutdown(struct domain *d, unsigned int reason)
{
    return unlikely(d->kemari) && kemari_hold_shutdown(d, reason);
}

/* A vCPU sends an I/O request to a device model. */
static inline void kemari_ioreq(struct domain *d)
{
    if ( unlikely(d->kemari) )
        kemari_count_ioreq(d);
}

/* A page's log-dirty bit went from clear to set.  Paging lock held. */
static inline void kemari_dirtied(struct domain *d, unsigned long gfn)
{
    if ( unlikely(d->kemari) )
        kemari_add_dirty(d, gfn);
}

/* Log-dirty information is gone.  Paging lock held. */
static inline void kemari_dirty_lost(struct domain *d)
{
    if ( unlikely(d->kemari) )
        kemari_lose_dirty(d);
}

/* Log-dirty mode starts anew: all pages are clean.  Paging lock held. */
static inline void kemari_dirty_reset(struct domain *d)
{
    if ( unlikely(d->kemari) )
        kemari_reset_dirty(d);
}

/* The p2m got or lost a page of RAM.  P2m lock held. */
static inline void kemari_p2m_changed(struct domain *d)
{
    if ( unlikely(d->kemari) )
        kemari_note_p2m(d);
}

/* The domain is being killed. */
static inline void kemari_kill(struct domain *d)
{
    if ( unlikely(d->kemari) )
        kemari_teardown(d);
}

/* May a vCPU's vcpu_info be placed from outside, though it is not down? */
static inline bool kemari_may_place(const struct domain *d)
{
    return unlikely(d->kemari) && kemari_is_standby(d);
}

/* Must this domain stay with the 2-level event channel ABI? */
static inline bool kemari_no_fifo(const struct domain *d)
{
    return is_hvm_domain(d) && !is_hardware_domain(d) &&
           (kemari_host_prepared() ||
            (unlikely(d->kemari) && kemari_is_active(d)));
}

/* Highest grant table version for a new domain that asks for @version. */
static inline unsigned int kemari_grant_version(const struct domain *d,
                                                unsigned int version)
{
    return is_hvm_domain(d) && !is_hardware_domain(d) &&
           kemari_host_prepared() && version > 1 ? 1 : version;
}

#else /* !(CONFIG_X86 && CONFIG_HVM) */

static inline bool kemari_tap(struct domain *d, unsigned int port)
{
    return false;
}
static inline void kemari_port_freed(struct domain *d, unsigned int port) {}
static inline bool kemari_shutdown(struct domain *d, unsigned int reason)
{
    return false;
}
static inline void kemari_ioreq(struct domain *d) {}
static inline void kemari_dirtied(struct domain *d, unsigned long gfn) {}
static inline void kemari_dirty_lost(struct domain *d) {}
static inline void kemari_dirty_reset(struct domain *d) {}
static inline void kemari_p2m_changed(struct domain *d) {}
static inline void kemari_kill(struct domain *d) {}
static inline void kemari_free(struct domain *d) {}
static inline bool kemari_may_place(const struct domain *d)
{
    return false;
}
static inline bool kemari_no_fifo(const struct domain *d)
{
    return false;
}
static inline unsigned int kemari_grant_version(const struct domain *d,
                                                unsigned int version)
{
    return version;
}
static inline domid_t kemari_domid(domid_t dom)
{
    return dom == DOMID_FIRST_RESERVED ? 1 : dom;
}
static inline domid_t kemari_domid_rover(domid_t rover)
{
    return rover;
}

#endif /* CONFIG_X86 && CONFIG_HVM */

/*
 * Guest system time is host system time plus stime_delta, which is zero but
 * for domains that came from another host.
 */
static inline s_time_t kemari_guest_time(const struct domain *d, s_time_t host)
{
    return host + d->stime_delta;
}

/* What a guest gets to see of a vCPU's runstate. */
static inline void kemari_guest_runstate(const struct domain *d,
                                         struct vcpu_runstate_info *runstate)
{
    runstate->state_entry_time = kemari_guest_time(d,
                                                   runstate->state_entry_time);
}

/*
 * The inverse, for a timeout that a guest asks for.  Zero and negative values
 * mean something else than a time to the callers and stay as they are; what
 * lies before the host's boot becomes the earliest time there is.
 */
static inline s_time_t kemari_host_time(const struct domain *d, s_time_t guest)
{
    if ( likely(!d->stime_delta) || guest <= 0 )
        return guest;

    return max_t(s_time_t, guest - d->stime_delta, 1);
}

/* The wall clock at guest system time zero, from that at host time zero. */
static inline void kemari_wallclock(const struct domain *d, uint64_t *sec,
                                    uint32_t *nsec)
{
    s_time_t x;

    if ( likely(!d->stime_delta) )
        return;

    x = SECONDS(*sec) + *nsec - d->stime_delta;
    *sec = x / SECONDS(1);
    *nsec = x % SECONDS(1);
}

#endif /* __XEN_KEMARI_H__ */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
