/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari.h - HVMOP_kemari: fault tolerance for guests that do not co-operate
 *
 * One sub-operation of the hvm_op hypercall, for the control domain only.
 * The argument is a struct xen_hvm_kemari; .cmd picks a member of .u.
 * A Xen without it answers -ENOSYS; another .version gets -EPROTO and the
 * version that is spoken, written back into .version.
 *
 * All numbers are those of the protected domain: gfns are 64 bits, times are
 * nanoseconds, epochs and generations count up from 1 and never go back.
 *
 * Life of a primary:
 *   ENABLE(primary) -> { PAUSE [RESUME ...] -> BEGIN(N) -> HARVEST, GET_* ->
 *   RELEASE(N) -> RESUME } ... -> DISABLE
 * In notify-only mode RESUME may come before RELEASE(N).
 * Life of a standby:
 *   ENABLE(standby) -> SET_* as often as wished -> ACTIVATE
 *
 * Errors common to all commands: -EPERM not the control domain, -ESRCH no such
 * domain, -EOPNOTSUPP not an HVM or PVH domain, -EINVAL a reserved field is
 * not zero, a value is out of range or the command is not for the domain's
 * role, -ENOENT Kemari not enabled for it, -ESTALE the generation is not the
 * domain's (ENABLE: lower than one it had before), -EAGAIN the command needs
 * a domain that Kemari has stopped.
 */
#ifndef __XEN_PUBLIC_HVM_KEMARI_H__
#define __XEN_PUBLIC_HVM_KEMARI_H__

#ifdef __XEN__
#include "../xen.h"
#else
#include <xen/xen.h>
#endif

#if defined(__XEN__) || defined(__XEN_TOOLS__)

#define HVMOP_kemari            64   /* far above upstream's last one */
#define KEMARI_VERSION          1

/* Roles and modes. */
#define KEMARI_ROLE_NONE        0
#define KEMARI_ROLE_PRIMARY     1
#define KEMARI_ROLE_STANDBY     2    /* Never runs until ACTIVATE. */

#define KEMARI_MODE_PAUSE       0    /* A tapped send pauses the domain. */
#define KEMARI_MODE_NOTIFY      1    /* It only tells the controller. */

/* What to do with a send on an interdomain port. */
#define KEMARI_POLICY_NONE      0    /* Deliver at once. */
#define KEMARI_POLICY_HOLD      1    /* Hold; the backend has a ring fence. */
#define KEMARI_POLICY_DRAIN     2    /* Hold; guest waits for the consumer. */

/* Limits: everything a caller passes is checked against these. */
#define KEMARI_MAX_VCPUS        128
#define KEMARI_MAX_PORTS        4096     /* 2-level ABI, 64-bit guest */
#define KEMARI_MAX_CONTEXT      (1u << 20)
#define KEMARI_MAX_DIRTY        (1u << 24)   /* pages: 64 GiB an epoch */
#define KEMARI_MAX_GSIS         64

#define KEMARI_CMD_enable       1
#define KEMARI_CMD_disable      2
#define KEMARI_CMD_query        3
#define KEMARI_CMD_eligible     4
#define KEMARI_CMD_policy       5
#define KEMARI_CMD_pause        6
#define KEMARI_CMD_resume       7
#define KEMARI_CMD_begin        8
#define KEMARI_CMD_release      9
#define KEMARI_CMD_harvest     10
#define KEMARI_CMD_get_evtchn  11
#define KEMARI_CMD_set_evtchn  12
#define KEMARI_CMD_get_vcpu    13
#define KEMARI_CMD_set_vcpu    14
#define KEMARI_CMD_get_dom     15
#define KEMARI_CMD_set_dom     16
#define KEMARI_CMD_get_context 17
#define KEMARI_CMD_set_context 18
#define KEMARI_CMD_activate    19
#define KEMARI_CMD_deliver     20
#define KEMARI_CMD_get_pirqs   21
#define KEMARI_CMD_set_pirqs   22

/*
 * ENABLE.  Primary: a running guest; the tap is on when this returns.
 * Standby: a domain that has never run.  -EBUSY: enabled already (QUERY tells
 * how).  -EADDRINUSE: the wanted port is taken.  -EPERM is never used for an
 * ineligible domain: that is -EXDEV, ELIGIBLE names the reasons.
 */
struct xen_hvm_kemari_enable {
    uint64_t generation;        /* IN: at least 1 */
    uint64_t dirty_limit;       /* IN: pages, 1..KEMARI_MAX_DIRTY; 0 for standby */
    uint32_t role;              /* IN */
    uint32_t mode;              /* IN */
    uint32_t port;              /* IN: wanted, 0 any free; OUT: controller's */
    uint32_t _pad;
};

/*
 * DISABLE.  Primary: everything held is delivered, the tap goes, the domain is
 * unpaused as far as Kemari paused it, the port is freed.  Standby: -EBUSY
 * unless KEMARI_DISABLE_STANDBY is set; the pause of the role then stays with
 * the domain for ever (it is only good for xl destroy).
 */
#define KEMARI_DISABLE_STANDBY  1u
struct xen_hvm_kemari_disable {
    uint64_t generation;        /* IN */
    uint32_t flags;             /* IN */
    uint32_t _pad;
};

/*
 * QUERY.  Works for any HVM/PVH domain.  Role none: all else is zero but
 * .generation, the last one it was protected or taken over with (0 never).
 */
#define KEMARI_QF_PAUSED        1u   /* Stopped by Kemari (tap, limit, PAUSE). */
#define KEMARI_QF_LIMIT         2u   /* The dirty limit was reached. */
#define KEMARI_QF_LOST          4u   /* Dirty information was lost: copy afresh. */
#define KEMARI_QF_SHUTDOWN      8u   /* The guest asked to be shut down; held. */
#define KEMARI_QF_P2M          16u   /* A page came into or left its p2m since
                                        log-dirty mode was enabled. */
#define KEMARI_QF_IOREQ        32u   /* A vCPU waits for the device model, or
                                        that has buffered requests to take.
                                        Holds while the domain is stopped. */
struct xen_hvm_kemari_query {
    uint64_t generation;
    uint64_t running;           /* Epoch the guest is in. */
    uint64_t captured;          /* Last BEGIN, 0 before the first. */
    uint64_t released;          /* Last RELEASE. */
    uint64_t dirty;             /* Pages dirty now. */
    uint64_t dirty_limit;
    uint64_t taps;              /* Sends held since ENABLE. */
    uint64_t ioreqs;            /* I/O requests to the device model, ditto. */
    uint32_t role, mode;
    uint32_t port;              /* The controller's. */
    uint32_t flags;             /* KEMARI_QF_* */
    uint32_t held_running;      /* Ports with a held send in this epoch. */
    uint32_t held_captured;     /* ... in a captured, unreleased one. */
    uint32_t shutdown_reason;   /* SHUTDOWN_*, valid with QF_SHUTDOWN */
    uint32_t nr_ports;          /* Size of the guest's port space now. */
};

/* ELIGIBLE.  Zero: it can be protected (as far as the hypervisor knows). */
#define KEMARI_NO_HAP           (1u << 0)   /* shadow paging */
#define KEMARI_NO_FIFO          (1u << 1)   /* FIFO event channels in use */
#define KEMARI_NO_GRANT_V2      (1u << 2)
#define KEMARI_NO_PASSTHROUGH   (1u << 3)   /* a device or IOMMU context */
#define KEMARI_NO_POD           (1u << 4)   /* populate on demand left over */
#define KEMARI_NO_NESTED        (1u << 5)
#define KEMARI_NO_ALTP2M        (1u << 6)
#define KEMARI_NO_SHARING       (1u << 7)   /* memory sharing or paging */
#define KEMARI_NO_VMEVENT       (1u << 8)   /* monitor, mem-access */
#define KEMARI_NO_VPMU          (1u << 9)
#define KEMARI_NO_DEBUGGER      (1u << 10)
#define KEMARI_NO_IOREQ         (1u << 11)  /* more than one device model, or
                                               not domain 0's */
#define KEMARI_NO_PEER          (1u << 12)  /* channel to a domain other than 0 */
#define KEMARI_NO_GRANT_PEER    (1u << 13)  /* grant to a domain other than 0 */
#define KEMARI_NO_SHARED_INFO   (1u << 14)  /* guest has not booted that far */
#define KEMARI_NO_GRANT_FRAME   (1u << 15)  /* ditto: a grant frame has no gfn */
#define KEMARI_NO_ARGO          (1u << 16)
#define KEMARI_NO_DYING         (1u << 17)  /* dying or shut down */
#define KEMARI_NO_VCPUS         (1u << 18)  /* more than KEMARI_MAX_VCPUS */
#define KEMARI_NO_FOREIGN       (1u << 19)  /* foreign pages in its p2m */
#define KEMARI_NO_BALLOON       (1u << 20)  /* below its maximum */
#define KEMARI_NO_PIRQ          (1u << 21)  /* channel of a physical IRQ, or of
                                               an emulated MSI */
struct xen_hvm_kemari_eligible {
    uint32_t reasons;           /* OUT: KEMARI_NO_* */
    uint32_t _pad;
};

/* POLICY of one port, or the default for ports bound later. */
#define KEMARI_PORT_DEFAULT     0xffffffffu
struct xen_hvm_kemari_policy {
    uint32_t port;              /* IN */
    uint32_t policy;            /* IN: KEMARI_POLICY_* */
};

/*
 * PAUSE: when it returns every vCPU is off its CPU.  Idempotent.
 * RESUME: the domain goes on; sends held so far stay held.  Idempotent; it
 * does not touch other pauses.  Refused (-EBUSY) in pause mode while a
 * captured epoch is unreleased, and while a guest's shutdown is held.
 * BEGIN(epoch): closes the current held set as that of `epoch`, which must be
 * running; the domain must be paused by Kemari (-EAGAIN).  An earlier captured
 * and unreleased epoch is -EBUSY, or joins with KEMARI_BEGIN_MERGE.
 * RELEASE(epoch): delivers what was held up to and in `epoch`, and performs a
 * held shutdown of it.  -ERANGE: not captured yet, or merged into a later one
 * that is not released; -EALREADY: released before.
 */
#define KEMARI_BEGIN_MERGE      1u
struct xen_hvm_kemari_epoch {
    uint64_t generation;        /* IN */
    uint64_t epoch;             /* IN: BEGIN, RELEASE */
    uint32_t flags;             /* IN: BEGIN */
    uint32_t delivered;         /* OUT: RELEASE: ports notified */
    uint32_t drain;             /* OUT: BEGIN, RELEASE: those of policy DRAIN */
    uint32_t _pad;
};

/*
 * DELIVER: a send that the running epoch holds leaves at once, for the caller
 * knows that it is no output.  Only of a port with policy HOLD, whose backend
 * goes no further than its ring's fence, whoever wakes it; else -EINVAL.
 * -EALREADY: none is held.
 */
struct xen_hvm_kemari_deliver {
    uint64_t generation;        /* IN */
    uint32_t port;              /* IN */
    uint32_t _pad;
};

/*
 * HARVEST: dirty gfns since the last one, each once, in no order; they are
 * re-armed.  The domain is paused by Kemari (-EAGAIN).  If they do not all fit
 * nothing is taken, -ENOBUFS, and .nr tells how many.  -EIO: information was
 * lost (QF_LOST); a fresh log-dirty enable and copy clears that.
 * Needs log-dirty mode (XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY): -ENODEV.
 */
struct xen_hvm_kemari_harvest {
    uint64_t generation;                /* IN */
    uint64_t nr;                        /* IN: room; OUT: gfns */
    XEN_GUEST_HANDLE_64(uint64) gfns;   /* OUT */
};

/* Event channels; GET fills [first, first + nr), SET takes them so. */
#define KEMARI_EVTCHN_FREE      0
#define KEMARI_EVTCHN_UNBOUND   1
#define KEMARI_EVTCHN_INTERDOM  2    /* SET makes it unbound towards remote */
#define KEMARI_EVTCHN_VIRQ      3
#define KEMARI_EVTCHN_IPI       4
#define KEMARI_EVTCHN_XEN       5    /* Xen has this end: Kemari's own, or a
                                        device model's; SET skips it */
#define KEMARI_EVTCHN_PIRQ      6    /* of an emulated interrupt line */
struct xen_hvm_kemari_evtchn {
    uint8_t  state;             /* KEMARI_EVTCHN_* */
    uint8_t  policy;            /* KEMARI_POLICY_*; GET only */
    uint8_t  held;              /* 1 running, 2 captured; GET only */
    uint8_t  busy;              /* INTERDOM: the remote end has a notification
                                 * that it has not dealt with yet (pending or
                                 * masked); GET only */
    uint16_t remote;            /* domid, for UNBOUND and INTERDOM */
    uint16_t virq;              /* for VIRQ; for PIRQ the pirq */
    uint32_t vcpu;              /* notified vCPU */
    uint32_t remote_port;       /* for INTERDOM; GET only */
};
typedef struct xen_hvm_kemari_evtchn xen_hvm_kemari_evtchn_t;
DEFINE_XEN_GUEST_HANDLE(xen_hvm_kemari_evtchn_t);
struct xen_hvm_kemari_evtchns {
    uint32_t first;             /* IN */
    uint32_t nr;                /* IN: at most KEMARI_MAX_PORTS; OUT: done */
    XEN_GUEST_HANDLE_64(xen_hvm_kemari_evtchn_t) array;
};

/*
 * Which pirqs stand for interrupt lines of the emulated machine: an HVM guest
 * may have these as event channels.  The domain is paused.  SET before
 * SET_EVTCHN.
 */
#define KEMARI_PIRQ_NONE        0xffffu
struct xen_hvm_kemari_pirqs {
    uint32_t nr;                /* of GSIs: GET fills, SET has as many */
    uint32_t _pad;
    uint16_t pirq[KEMARI_MAX_GSIS];     /* by GSI; KEMARI_PIRQ_NONE */
};

/*
 * One vCPU's state that no HVM save record holds.  The domain is paused.
 * SET may be repeated; the vcpu_info placement is set once and must not
 * change (-EBUSY), and writes the page: set it before the memory image.
 * All else takes effect at ACTIVATE; until then GET returns what SET stored.
 */
#define KEMARI_VF_INT_STI       1u   /* interrupt shadow of sti */
#define KEMARI_VF_INT_MOVSS     2u   /* ... of mov ss */
#define KEMARI_VF_RUNSTATE      4u   /* runstate_area is valid */
#define KEMARI_VF_TIME          8u   /* time_area is valid */
#define KEMARI_VF_SINGLESHOT   16u   /* a singleshot timer is armed */
struct xen_hvm_kemari_vcpu {
    uint32_t vcpu;              /* IN */
    uint32_t flags;             /* KEMARI_VF_* */
    uint64_t info_gfn;          /* vcpu_info; ~0 in shared_info */
    uint32_t info_offset;
    uint32_t upcall_vector;     /* 0 none */
    uint64_t runstate_area;     /* guest virtual address */
    uint64_t time_area;         /* guest virtual address */
    uint64_t runstate_time[4];  /* ns in each RUNSTATE_* */
    uint64_t singleshot;        /* guest system time */
    uint64_t periodic;          /* period, 0 off */
    uint64_t dr6_pending;       /* pending debug exceptions, VMX; else 0 */
    uint32_t activity;          /* VMX activity state; else 0 */
    uint32_t _pad;
};

/*
 * Domain-wide state.  GET: of any HVM/PVH domain, enabled or not, while it
 * runs.  SET: the time is set by SET_CONTEXT, not here.
 */
struct xen_hvm_kemari_dom {
    uint64_t vm_assist;
    uint64_t guest_time;        /* GET only: guest system time now */
    uint64_t shared_info_gfn;   /* GET only; ~0 not mapped */
    uint32_t max_vcpus;         /* GET only */
    uint32_t grant_frames;      /* GET only: in use */
    uint32_t max_grant_frames;  /* GET only: limits of the domain */
    uint32_t max_maptrack;      /* GET only */
};

/*
 * HVM context and guest system time of one instant.  GET with nr 0 returns
 * the size to provide.  SET: guest time becomes `guest_time + advance`, TSCs
 * are those of the context plus the same `advance`.
 */
struct xen_hvm_kemari_context {
    uint64_t guest_time;
    uint64_t advance;           /* IN, SET only */
    uint64_t nr;                /* bytes: IN room or length; OUT length */
    XEN_GUEST_HANDLE_64(uint8) buffer;
};

/*
 * ACTIVATE: the standby becomes an ordinary domain, not tapped, of role none;
 * every interdomain, unbound and IPI port and VIRQ_TIMER is made pending,
 * VIRQ_DEBUG is not; the pause of the role goes.  Pauses that others hold
 * (the creation pause of a toolstack) stay.  The generation must be higher
 * than that of ENABLE.
 */
struct xen_hvm_kemari_activate {
    uint64_t generation;        /* IN: of ENABLE */
    uint64_t new_generation;    /* IN */
};

struct xen_hvm_kemari {
    uint32_t version;           /* IN: KEMARI_VERSION */
    uint32_t cmd;               /* IN: KEMARI_CMD_* */
    domid_t  domid;             /* IN */
    uint16_t _pad0;
    uint32_t _pad1;
    union {
        struct xen_hvm_kemari_enable enable;
        struct xen_hvm_kemari_disable disable;
        struct xen_hvm_kemari_query query;
        struct xen_hvm_kemari_eligible eligible;
        struct xen_hvm_kemari_policy policy;
        struct xen_hvm_kemari_epoch epoch;      /* pause resume begin release */
        struct xen_hvm_kemari_harvest harvest;
        struct xen_hvm_kemari_evtchns evtchns;
        struct xen_hvm_kemari_vcpu vcpu;
        struct xen_hvm_kemari_dom dom;
        struct xen_hvm_kemari_context context;
        struct xen_hvm_kemari_activate activate;
        struct xen_hvm_kemari_deliver deliver;
        struct xen_hvm_kemari_pirqs pirqs;
        uint8_t pad[144];
    } u;
};
typedef struct xen_hvm_kemari xen_hvm_kemari_t;
DEFINE_XEN_GUEST_HANDLE(xen_hvm_kemari_t);

#endif /* __XEN__ || __XEN_TOOLS__ */

#endif /* __XEN_PUBLIC_HVM_KEMARI_H__ */
