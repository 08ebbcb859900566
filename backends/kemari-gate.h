/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kemari-gate.h - /dev/kemari-gate: the rings of protected domains
 *
 * The module keeps a registry of the rings that Kemari's xen-blkback and
 * xen-netback serve.  A domain whose gate is shut has a fence in each of its
 * rings: the backend takes no request beyond it.  Root only.  One file may
 * speak for one domain: SHUT or ATTACH binds it, and poll() is then about that
 * domain.  Closing the file, or dying, changes nothing: the gate stays shut.
 *
 * Each call but VERSION, RINGS and QUERY names domain, UUID and generation.
 * The order of calls is that of backends/gate_order.h:
 *
 *	SHUT -> { FREEZE -> CAPTURE(N) -> THAW -> RELEASE(N) } ... -> OPEN
 *
 * Errors common to them: ENODEV no gate is shut for this domain (SHUT: there is
 * no such domain), ESTALE an older generation or another UUID (SHUT: another
 * than xenstore has), EINVAL a reserved field is not zero, the generation is 0
 * or the file speaks for another domain, ENOTCONN it speaks for none yet, EPERM
 * the gate of this generation was opened.  EAGAIN, ERANGE, EALREADY are those
 * of gate_order.h.
 *
 * A gate ends by OPEN, or when xenstore has no such domain and no ring of it is
 * left.  A ring that the guest connects while the gate is shut is fenced from
 * its first request on.
 */
#ifndef KEMARI_GATE_UAPI_H
#define KEMARI_GATE_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KEMARI_GATE_DEVICE	"/dev/kemari-gate"
#define KEMARI_GATE_VERSION	1

#define KEMARI_GATE_RINGS_MAX	1024	/* of one domain */

/** struct kemari_gate_call - what every call on a domain says */
struct kemari_gate_call {
	__u8 uuid[16];
	__u32 domid;
	__u32 port;		/* BEYOND: the guest's event channel; else 0 */
	__u64 generation;	/* at least 1 */
	__u64 epoch;		/* CAPTURE, RELEASE; else 0 */
};

/* kind of a ring */
#define KEMARI_GATE_BLK		1
#define KEMARI_GATE_NET_TX	2	/* and RX, on an unsplit channel */
#define KEMARI_GATE_NET_RX	3	/* never fenced, only frozen */
#define KEMARI_GATE_NET_CTRL	4

/* flags of a ring */
#define KEMARI_GATE_F_FENCED	1u	/* the domain's gate is shut */
#define KEMARI_GATE_F_FROZEN	2u
#define KEMARI_GATE_F_BROKEN	4u	/* req_prod went backwards or too far:
					 * nothing is read any more */

/** struct kemari_gate_ring - one ring, as it is now; indices are the ring's */
struct kemari_gate_ring {
	__u32 kind;
	__u32 device;		/* e.g. 51712; 0 for vif 0 */
	__u32 queue;
	__u32 port;		/* the guest's event channel */
	__u32 flags;
	__u32 fence;		/* 0 if it is not fenced */
	__u32 req_prod;		/* as the guest has it */
	__u32 req_cons;
	__u32 rsp_prod;		/* as the guest sees it */
	__u32 queued;		/* responses that are not published yet: frozen,
				 * or an older request is not answered */
	__u32 persistent;	/* grants kept mapped (blk) */
	__u32 zero;
};

/** struct kemari_gate_rings - RINGS of a domain, protected or not */
struct kemari_gate_rings {
	__u32 domid;
	__u32 n;		/* in: room; out: there are (E2BIG if more) */
	__u64 rings;		/* address of struct kemari_gate_ring [] */
};

/** struct kemari_gate_query - QUERY: what the gate remembers of a domain */
struct kemari_gate_query {
	__u32 domid;		/* in; ENODEV: no gate is shut */
	__u32 rings;
	__u8 uuid[16];
	__u64 generation;
	__u64 captured, released;	/* epochs, 0 none */
	__u32 frozen;
	__u32 waiting;		/* rings with requests beyond the fence */
	__u64 fenced;		/* times a backend met the fence */
	__u64 queued;		/* responses that had to wait, in all */
	__u64 spared;		/* BEYOND answered no */
	__u64 freezes;
	__u64 frozen_ns;	/* in all */
};

#define KEMARI_GATE_IOC	0xbb

/* The version that is spoken; answers any caller. */
#define KEMARI_GATE_GET_VERSION	_IOR(KEMARI_GATE_IOC, 0, __u32)
#define KEMARI_GATE_RINGS	_IOWR(KEMARI_GATE_IOC, 1, struct kemari_gate_rings)
#define KEMARI_GATE_QUERY	_IOWR(KEMARI_GATE_IOC, 2, struct kemari_gate_query)

/*
 * SHUT: nothing new is taken until all that was taken is answered (2 s at
 * most); then the fence of each ring is where the guest's req_prod is.  The
 * tree of persistent grants is emptied and stays so.  EBUSY: some requests are
 * not answered yet, or a ring cannot be fenced; the gate is shut all the same
 * and nothing is taken, repeat.  Repeated it changes nothing else.  A newer
 * generation takes over, and what the older one captured is forgotten.
 * ATTACH: bind this file to a gate that is shut, after a restart.
 */
#define KEMARI_GATE_SHUT	_IOW(KEMARI_GATE_IOC, 3, struct kemari_gate_call)
#define KEMARI_GATE_ATTACH	_IOW(KEMARI_GATE_IOC, 4, struct kemari_gate_call)

/* FREEZE: when it returns no ring of the domain is written to, until THAW.
 * EBUSY: SHUT has not returned 0 yet. */
#define KEMARI_GATE_FREEZE	_IOW(KEMARI_GATE_IOC, 5, struct kemari_gate_call)
/* CAPTURE: each ring's req_prod is the fence-to-be of .epoch.  Frozen. */
#define KEMARI_GATE_CAPTURE	_IOW(KEMARI_GATE_IOC, 6, struct kemari_gate_call)
/* THAW: responses that waited are published, the guest is notified. */
#define KEMARI_GATE_THAW	_IOW(KEMARI_GATE_IOC, 7, struct kemari_gate_call)
/* RELEASE: the fences move to those of .epoch; backends are woken. */
#define KEMARI_GATE_RELEASE	_IOW(KEMARI_GATE_IOC, 8, struct kemari_gate_call)
/* OPEN: no fence from here on; thawed too; backends are woken. */
#define KEMARI_GATE_OPEN	_IOW(KEMARI_GATE_IOC, 9, struct kemari_gate_call)
/* BEYOND: 1 if a ring of .port has requests beyond its fence, else 0.  ENOENT:
 * no ring has this port. */
#define KEMARI_GATE_BEYOND	_IOW(KEMARI_GATE_IOC, 10, struct kemari_gate_call)

/*
 * poll(): POLLIN while requests wait behind the fence that no read() has told
 * of; POLLHUP when the gate is open.  read() of a __u64: how often a backend
 * met the fence since the last one; EAGAIN none (the file does not block).
 */

/* For the negative proofs, module parameters of kemari-gate, all off:
 *	unsafe_no_fence		requests pass the fence
 *	unsafe_no_order		responses are published as they come
 */

#endif
