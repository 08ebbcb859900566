/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_machine.c - the device model of a primary, and of a standby
 *
 * A part of the guest's state is in a process: it is saved by way of ioemu, as
 * often as it may have changed, and loaded into the process that has waited on
 * the other host since protection began.  What it does for the guest by itself
 * is over when it has saved; so that comes first.  INV-42
 */
#include "libxc-ext/xen_platform.h"

#include <errno.h>
#include <string.h>

#include "ioemu/dm.h"
#include "libxc-ext/xen_hv.h"
#include "libxc-ext/xen_state.h"

#define SAVE_EVERY_NS	1000000000ull	/* what nobody counts: its clocks */

enum { START_MS = 45000 };		/* until a new one answers */

static int failed(struct xen_platform *x)
{
	return platform_fail(&x->base, errno, "%s", dm_why(x->dm));
}

static int connected(struct xen_platform *x)
{
	if (!x->dm)
		x->dm = xen_dm_open(x->h, x->domid, 0);
	return x->dm ? 0 : xen_platform_host_failed(x);
}

void xen_machine_close(struct xen_platform *x)
{
	dm_free(x->dm);
	x->dm = NULL;
}

/* --- primary ----------------------------------------------------------- */

int xen_machine_track(struct xen_platform *x, bool on)
{
	if (!x->dm_pid)
		return 0;
	if (connected(x))
		return -1;
	return dm_track(x->dm, on) ? failed(x) : 0;
}

int xen_machine_settled(struct xen_platform *x)
{
	struct xen_hvm_kemari_query q;

	if (!x->dm_pid)
		return 1;
	if (xen_hv_query(x->h, x->domid, &q))
		return xen_platform_host_failed(x);
	if (!(q.flags & KEMARI_QF_IOREQ))
		return 1;
	platform_fail(&x->base, EAGAIN, "domain %u: an I/O request to its "
		      "device model is under way", x->domid);
	return 0;
}

int xen_machine_save(struct xen_platform *x, struct recbuf *out)
{
	uint64_t now = x->base.ops->now_ns(&x->base);
	struct xen_hvm_kemari_query q;
	int err;

	if (!x->dm_pid)
		return 0;
	if (xen_hv_query(x->h, x->domid, &q))
		return xen_platform_host_failed(x);
	if (x->dm_sent && q.ioreqs == x->dm_ioreqs &&
	    now - x->dm_saved < SAVE_EVERY_NS)
		return 0;
	x->dm_sent = false;
	if (connected(x))
		return -1;
	if (dm_save(x->dm, out)) {
		failed(x);
		/* It may have been the connection. */
		err = errno;
		xen_machine_close(x);
		errno = err;
		return -1;
	}
	x->dm_ioreqs = q.ioreqs;
	x->dm_saved = now;
	return 0;
}

void xen_machine_saved(struct xen_platform *x)
{
	x->dm_sent = x->dm_pid;
}

int xen_machine_describe(struct xen_platform *x, struct recbuf *out)
{
	int rc, err;

	if (!x->dm_pid)
		return 0;
	if (connected(x))
		return -1;
	/* While it saves it answers nobody. */
	if (xc_domain_pause(x->h->xch, x->domid))
		return platform_fail(&x->base, errno, "domain %u: cannot "
				     "pause: %s", x->domid, strerror(errno));
	rc = dm_save(x->dm, out);
	err = errno;
	if (xc_domain_unpause(x->h->xch, x->domid))
		return platform_fail(&x->base, errno, "domain %u: cannot "
				     "unpause: %s", x->domid, strerror(errno));
	errno = err;
	return rc ? failed(x) : 0;
}

/* --- standby ----------------------------------------------------------- */

/* Start one, connected, with the ports of the primary's. */
static int start(struct xen_platform *x)
{
	struct dm_args a = {
		.memory_mib = x->shape.dm.memory_mib,
		.vcpus = x->vcpus,
		.kernel = x->shape.dm.kernel,
	};

	x->dm_pid = xen_dm_start(x->h, x->domid, &a);
	if (x->dm_pid < 0) {
		x->dm_pid = 0;
		return xen_platform_host_failed(x);
	}
	x->dm = xen_dm_open(x->h, x->domid, START_MS);
	if (!x->dm || xen_state_same_dm_ports(x->h, x->domid, &x->shape))
		return xen_platform_host_failed(x);
	return 0;
}

/* A device model takes a state once in its life.  So the one that shows that
 * this host's can load the primary's is not the one that will.  INV-22 */
static int try_state(struct xen_platform *x, const struct record *state)
{
	if (start(x))
		return -1;
	if (dm_load(x->dm, state->data, state->length))
		return failed(x);
	if (xen_dm_quit(x->h, x->domid, x->dm_pid, x->dm))
		return xen_platform_host_failed(x);
	xen_machine_close(x);
	return 0;
}

int xen_machine_build(struct xen_platform *x, const void *records, size_t len)
{
	struct record state;

	if (!x->shape.dm.ports)
		return 0;
	if (xen_state_reserve_ports(x->h, x->domid, x->shape.dm.first_port))
		return xen_platform_host_failed(x);
	if (record_find(records, len, RECORD_DM_STATE, 0, &state) != 1)
		return platform_fail(&x->base, EPROTO, "description of the "
				     "domain: no state of its device model");
	if (try_state(x, &state) || start(x))
		return -1;
	xen_store_set_dm(x->store, (uint32_t)x->dm_pid);
	return 0;
}

int xen_machine_attach(struct xen_platform *x)
{
	int waits;

	if (!x->shape.dm.ports)
		return 0;
	x->dm_pid = xen_dm_find(x->h, x->domid);
	if (x->dm_pid <= 0)
		return platform_fail(&x->base, ENOENT, "domain %u: its device "
				     "model is not to be found", x->domid);
	xen_store_set_dm(x->store, (uint32_t)x->dm_pid);
	if (connected(x))
		return -1;
	waits = dm_waits(x->dm);
	if (waits < 0)
		return failed(x);
	x->dm_loaded = !waits;
	return 0;
}

/* Once in its life; and by a receiver before this one, it was the same: there
 * is one last checkpoint. */
int xen_machine_load(struct xen_platform *x, const struct xen_image *i)
{
	if (!x->shape.dm.ports || x->dm_loaded)
		return 0;
	if (connected(x))
		return -1;
	if (dm_load(x->dm, i->dm_state, i->dm_len))
		return failed(x);
	x->dm_loaded = true;
	return 0;
}

int xen_machine_run(struct xen_platform *x)
{
	if (!x->shape.dm.ports)
		return 0;
	if (connected(x))
		return -1;
	return dm_run(x->dm) ? failed(x) : 0;
}

int xen_machine_end(struct xen_platform *x)
{
	if (!x->dm_pid)
		return 0;
	xen_machine_close(x);
	if (xen_dm_end(x->h, x->domid, x->dm_pid))
		return xen_platform_host_failed(x);
	x->dm_pid = 0;
	return 0;
}
