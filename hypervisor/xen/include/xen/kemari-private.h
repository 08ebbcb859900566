/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari-private.h - what Kemari's own files share; stock files do not include
 * this
 *
 * Locks.  k->lock serialises the control domain's commands and is the
 * outermost: event_lock, p2m and paging locks nest inside it.  The hooks that
 * run in a guest's context (tap, dirty, shutdown) never take it: they use the
 * atomic bitmaps and k->state, or run under the paging lock.
 */
#ifndef __XEN_KEMARI_PRIVATE_H__
#define __XEN_KEMARI_PRIVATE_H__

#include <xen/bitmap.h>
#include <xen/kemari.h>
#include <xen/spinlock.h>

#include <public/hvm/kemari.h>

/* Linux's numbers, as all of Xen's; its list lacks these. */
#ifndef EPROTO
#define EPROTO  71
#endif
#ifndef EALREADY
#define EALREADY 114
#endif
#ifndef ESTALE
#define ESTALE  116
#endif

/* Bits of k->state, changed atomically. */
#define KS_paused       0   /* Kemari holds one pause of the domain. */
#define KS_limit        1
#define KS_lost         2
#define KS_shutdown     3   /* A shutdown is held. */
#define KS_p2m          4

/* k->policy of a port for which none was set. */
#define KEMARI_POLICY_UNSET     0xff

/* Pages that may become dirty after the limit paused the domain. */
#define KEMARI_DIRTY_RESERVE    16384

struct kemari {
    spinlock_t lock;
    unsigned long state;            /* KS_* */

    /* Under lock; changed only while the domain is stopped. */
    unsigned int role, mode;
    unsigned int port;              /* the controller's, 0: none */
    uint64_t generation, running, captured, released;
    bool parked;                    /* The standby's pause is held. */

    /* Shutdown. */
    unsigned int shutdown_reason;
    uint64_t shutdown_epoch;
    bool shutdown_go;               /* Let the next domain_shutdown() pass. */

    /* Tap. */
    unsigned long taps;             /* atomic */
    unsigned long ioreqs;           /* atomic */
    uint8_t default_policy;
    uint8_t policy[KEMARI_MAX_PORTS];
    DECLARE_BITMAP(held, KEMARI_MAX_PORTS);     /* by the running epoch */
    DECLARE_BITMAP(closed, KEMARI_MAX_PORTS);   /* by captured ones */

    /*
     * Dirty gfns in the order in which they became so.  Under the paging lock.
     * While a harvest is under way [0, harvested) are with the caller and
     * [harvested, harvest_end) are still to be taken.
     */
    uint64_t *dirty;
    unsigned long nr_dirty, max_dirty, dirty_limit;
    unsigned long harvested, harvest_end;

    /* Standby: what SET_VCPU stored for ACTIVATE; .vcpu of a set one is valid. */
    struct xen_hvm_kemari_vcpu *vcpu;
    bool *vcpu_set;
    uint64_t vm_assist;
};

/* arch/x86/hvm/kemari/tap.c */
void kemari_stop(struct domain *d);
void kemari_sync(struct domain *d);
void kemari_wake(struct domain *d);
bool kemari_unstop(struct domain *d);
uint8_t kemari_policy(const struct kemari *k, unsigned int port);
int kemari_pause(struct domain *d);
int kemari_resume(struct domain *d);
int kemari_begin(struct domain *d, struct xen_hvm_kemari_epoch *op);
int kemari_release(struct domain *d, struct xen_hvm_kemari_epoch *op);
int kemari_deliver_held(struct domain *d,
                        const struct xen_hvm_kemari_deliver *op);
void kemari_release_all(struct domain *d);

/* arch/x86/hvm/kemari/state.c */
int kemari_get_vcpu(struct domain *d, struct xen_hvm_kemari_vcpu *op);
int kemari_set_vcpu(struct domain *d, const struct xen_hvm_kemari_vcpu *op);
int kemari_get_dom(struct domain *d, struct xen_hvm_kemari_dom *op);
int kemari_set_dom(struct domain *d, const struct xen_hvm_kemari_dom *op);
void kemari_apply(struct domain *d);

/* arch/x86/hvm/kemari/context.c */
int kemari_get_context(struct domain *d, struct xen_hvm_kemari_context *op);
int kemari_set_context(struct domain *d, struct xen_hvm_kemari_context *op);

/* arch/x86/hvm/kemari/machine.c */
bool kemari_ioreq_pending(struct domain *d);
bool kemari_ioreq_eligible(struct domain *d);
bool kemari_pirqs_eligible(struct domain *d);
int kemari_get_pirqs(struct domain *d, struct xen_hvm_kemari_pirqs *op);
int kemari_set_pirqs(struct domain *d, const struct xen_hvm_kemari_pirqs *op);

/* arch/x86/hvm/kemari/eligible.c */
uint32_t kemari_reasons(struct domain *d);
uint32_t kemari_shell_reasons(struct domain *d);

/* arch/x86/mm/kemari-dirty.c */
int kemari_dirty_init(struct domain *d, unsigned long limit);
void kemari_dirty_free(struct domain *d);
unsigned long kemari_dirty_count(struct domain *d);
int kemari_harvest(struct domain *d, struct xen_hvm_kemari_harvest *op);

/* arch/x86/mm/paging.c: forget that @gfn is dirty.  Paging lock held. */
void paging_clear_pfn_dirty(struct domain *d, unsigned long gfn);

/* common/kemari-evtchn.h, part of event_channel.c */
int kemari_alloc_port(struct domain *d, unsigned int port);
unsigned int kemari_deliver(struct domain *d, unsigned int port);
void kemari_fix_policies(struct domain *d, uint8_t policy);
bool kemari_port_in_use(struct domain *d, unsigned int port);
uint32_t kemari_evtchn_reasons(struct domain *d);
int kemari_get_evtchns(struct domain *d, struct xen_hvm_kemari_evtchns *op);
int kemari_set_evtchns(struct domain *d, struct xen_hvm_kemari_evtchns *op);
void kemari_kick(struct domain *d);

/* common/kemari-grant.h, part of grant_table.c */
uint32_t kemari_grant_reasons(struct domain *d);
void kemari_grant_pin_version(struct domain *d);
void kemari_grant_sizes(struct domain *d, struct xen_hvm_kemari_dom *op);

#endif /* __XEN_KEMARI_PRIVATE_H__ */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
