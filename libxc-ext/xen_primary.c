/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_primary.c - struct platform on Xen: the operations of a primary
 */
#include "libxc-ext/xen_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <xen/hvm/params.h>

#include "libxc-ext/ring.h"
#include "libxc-ext/xen_hv.h"
#include "libxc-ext/xen_state.h"

/* --- before ------------------------------------------------------------ */

static int read_param(struct xen_platform *x, uint32_t index, uint64_t *value)
{
	if (xc_hvm_param_get(x->h->xch, x->domid, index, value))
		return platform_fail(&x->base, errno, "domain %u: cannot read "
				     "HVM parameter %u: %s", x->domid, index,
				     strerror(errno));
	return 0;
}

static int add_always(struct xen_platform *x, uint64_t gfn,
		      enum xen_always_kind kind)
{
	if (xen_always_add(x->always, gfn, kind))
		return platform_fail(&x->base, errno, "domain %u: more than %d "
				     "pages need a copy in each checkpoint",
				     x->domid, XEN_ALWAYS_MAX);
	return 0;
}

/* The places that others write to, and the frames. */
static int survey(struct xen_platform *x)
{
	xc_domaininfo_t info;
	uint64_t port = 0;

	if (xc_domain_getinfolist(x->h->xch, x->domid, 1, &info) != 1 ||
	    info.domain != x->domid)
		return platform_fail(&x->base, ESRCH, "domain %u is gone",
				     x->domid);
	x->shared_info = info.shared_info_frame;
	if (read_param(x, HVM_PARAM_STORE_PFN, &x->store_gfn) ||
	    read_param(x, HVM_PARAM_CONSOLE_PFN, &x->console_gfn) ||
	    read_param(x, HVM_PARAM_CONSOLE_EVTCHN, &port))
		return -1;
	x->console_port = port;
	x->dm_pid = xen_dm_find(x->h, x->domid);
	if (x->dm_pid < 0)
		return xen_platform_host_failed(x);
	xen_p2m_free(&x->p2m);
	if (xen_p2m_scan(x->h, x->domid, x->shared_info, &x->p2m))
		return xen_platform_host_failed(x);
	return 0;
}

static int map(struct xen_platform *x)
{
	x->map = xen_map_open(x->h, x->domid, x->p2m.range, x->p2m.n, false);
	if (!x->map)
		return xen_platform_host_failed(x);
	if (!xen_map_page(x->map, x->shared_info) ||
	    !xen_map_page(x->map, x->store_gfn) ||
	    !xen_map_page(x->map, x->console_gfn))
		return platform_fail(&x->base, ENXIO, "domain %u: its "
				     "shared_info, xenstore or console page is "
				     "not in its memory: the guest has not "
				     "booted far enough", x->domid);
	x->always = xen_always_new();
	if (!x->always)
		return platform_fail(&x->base, ENOMEM, "no memory for copies "
				     "of shared pages");
	if (add_always(x, x->shared_info, XEN_ALWAYS_PLAIN) ||
	    add_always(x, x->store_gfn, XEN_ALWAYS_STORE))
		return -1;
	return add_always(x, x->console_gfn, XEN_ALWAYS_CONSOLE);
}

static void unmap(struct xen_platform *x)
{
	xen_platform_unmap(x);
	xen_always_free(x->always);
	x->always = NULL;
	x->rings_known = false;
}

int xen_primary_prepare(struct xen_platform *x)
{
	int err;

	if (x->map)
		return 0;
	if (!survey(x) && !map(x))
		return 0;
	err = errno;
	unmap(x);
	errno = err;
	return -1;
}

/* A primary's operation on what is not one. */
static int need(struct xen_platform *x, bool enabled)
{
	if (x->shape.dom.domid || !x->domid)
		return platform_fail(&x->base, ENOTSUP, "not for a standby");
	if (enabled && !x->generation)
		return platform_fail(&x->base, EINVAL, "domain %u is not "
				     "protected", x->domid);
	return 0;
}

int xen_primary_check(struct platform *p, const char **reasons, size_t *n)
{
	struct xen_platform *x = to_xen(p);
	xc_domaininfo_t info;
	uint32_t bits = 0;

	if (need(x, false))
		return -1;
	x->reasons.n = 0;
	if (!xen_hv_eligible(x->h, x->domid, &bits))
		xen_check_bits(&x->reasons, bits);
	else if (errno != EOPNOTSUPP)
		return xen_platform_host_failed(x);
	if (xen_check_domain(&x->reasons, x->h->xch, x->domid,
			     x->storage != PLATFORM_XEN_UNSAFE))
		return platform_fail(p, errno, "domain %u: cannot find out "
				     "what it uses: %s", x->domid,
				     strerror(errno));
	if (xen_rings_check(x, &x->reasons))
		return -1;
	if (xen_dm_check(x->h, x->domid, x->vcpus, &x->reasons))
		return xen_platform_host_failed(x);
	if (xc_domain_getinfolist(x->h->xch, x->domid, 1, &info) == 1 &&
	    info.domain == x->domid &&
	    info.nr_online_vcpus != info.max_vcpu_id + 1)
		xen_reason(&x->reasons, "%u of its %u vCPUs are online; all "
			   "must be", info.nr_online_vcpus,
			   info.max_vcpu_id + 1);
	*n = x->reasons.n;
	for (size_t i = 0; i < x->reasons.n; i++)
		reasons[i] = x->reasons.text[i];
	return 0;
}

int xen_primary_describe(struct platform *p, struct recbuf *out)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_query q;

	if (need(x, false))
		return -1;
	if (!x->generation)
		unmap(x);		/* the guest may have changed since */
	if (xen_primary_prepare(x))
		return -1;
	if (xen_hv_query(x->h, x->domid, &q))
		return xen_platform_host_failed(x);
	if (q.role != KEMARI_ROLE_NONE) {
		x->port = q.port;
	} else {
		if (xen_state_free_port(x->h, x->domid, &x->port))
			return xen_platform_host_failed(x);
	}
	if (xen_state_describe(x->h, x->domid, &x->p2m, x->port, out))
		return xen_platform_host_failed(x);
	if (xen_machine_describe(x, out))
		return -1;
	if (xen_store_save(x->store, out, true) < 0)
		return xen_platform_store_failed(x);
	return 0;
}

/* --- on and off -------------------------------------------------------- */

/* Become the one whom the hypervisor wakes, and xenstore. */
static int bind(struct xen_platform *x)
{
	struct epoll_event e = { .events = EPOLLIN };
	xenevtchn_port_or_error_t port;
	int flags;

	if (x->epfd >= 0)
		return 0;
	x->xce = xenevtchn_open(NULL, 0);
	x->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!x->xce || x->epfd < 0)
		return platform_fail(&x->base, errno, "cannot open event "
				     "channels: %s", strerror(errno));
	flags = fcntl(xenevtchn_fd(x->xce), F_GETFL);
	port = xenevtchn_bind_interdomain(x->xce, x->domid, x->port);
	if (port < 0)
		return platform_fail(&x->base, errno, "domain %u: cannot bind "
				     "to Kemari's port %u: %s; is another "
				     "controller at work?", x->domid, x->port,
				     strerror(errno));
	x->xce_port = port;
	if (xen_store_follow(x->store))
		return xen_platform_store_failed(x);
	if (fcntl(xenevtchn_fd(x->xce), F_SETFL, flags | O_NONBLOCK) ||
	    epoll_ctl(x->epfd, EPOLL_CTL_ADD, xenevtchn_fd(x->xce), &e) ||
	    epoll_ctl(x->epfd, EPOLL_CTL_ADD, xen_store_event_fd(x->store),
		      &e))
		return platform_fail(&x->base, errno, "cannot wait for event "
				     "channels: %s", strerror(errno));
	return 0;
}

/* Read all nodes now, so that the first epoch reads those that changed. */
static int read_nodes(struct xen_platform *x)
{
	struct recbuf scratch = { 0 };
	int rc = xen_store_save(x->store, &scratch, true);

	recbuf_free(&scratch);
	return rc < 0 ? xen_platform_store_failed(x) : 0;
}

static void unbind(struct xen_platform *x)
{
	if (x->xce)
		xenevtchn_close(x->xce);
	if (x->epfd >= 0)
		close(x->epfd);
	x->xce = NULL;
	x->epfd = -1;
}

void xen_primary_close(struct xen_platform *x)
{
	unbind(x);
	xen_machine_close(x);
	xen_always_free(x->always);
	x->always = NULL;
	x->rings_known = false;
}

static int set_policy(struct xen_platform *x)
{
	uint32_t policy = x->unsafe & PLATFORM_XEN_NO_TAP ?
			  KEMARI_POLICY_NONE : KEMARI_POLICY_HOLD;

	if (!x->unsafe)
		return 0;		/* hold and drain: Xen's default */
	if (xen_hv_policy(x->h, x->domid, KEMARI_PORT_DEFAULT, policy) ||
	    xen_hv_policy(x->h, x->domid, x->console_port, policy))
		return xen_platform_host_failed(x);
	return 0;
}

int xen_primary_enable(struct platform *p, uint64_t generation,
		       enum platform_mode mode, uint64_t dirty_limit)
{
	struct xen_platform *x = to_xen(p);
	int err;

	if (need(x, false) || xen_primary_prepare(x))
		return -1;
	if (xen_hv_enable(x->h, x->domid, generation, KEMARI_ROLE_PRIMARY,
			  mode == PLATFORM_SYNC ? KEMARI_MODE_PAUSE :
			  KEMARI_MODE_NOTIFY, dirty_limit, &x->port))
		return xen_platform_host_failed(x);
	x->generation = generation;
	/* The rings after the watches: what changes then is noticed. */
	x->rings_known = false;
	if (!set_policy(x) && !bind(x) && !read_nodes(x) &&
	    !xen_rings_learn(x) && !xen_rings_set_policy(x))
		return 0;
	err = errno;
	unbind(x);
	xen_hv_disable(x->h, x->domid, generation, false);
	x->generation = 0;
	errno = err;
	return -1;
}

static int log_dirty(struct xen_platform *x, unsigned int op)
{
	return xc_shadow_control(x->h->xch, x->domid, op, NULL, 0);
}

int xen_primary_disable(struct platform *p, uint64_t generation)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true))
		return -1;
	if (xen_hv_disable(x->h, x->domid, generation, false))
		return xen_platform_host_failed(x);
	unbind(x);
	xen_machine_track(x, false);		/* as far as it still answers */
	xen_machine_close(x);
	x->generation = 0;
	x->port = 0;
	if (log_dirty(x, XEN_DOMCTL_SHADOW_OP_OFF) < 0 && errno != EINVAL)
		return platform_fail(p, errno, "domain %u: cannot end dirty "
				     "tracking: %s", x->domid,
				     strerror(errno));
	return 0;
}

/* Are the domain's frames still those of the first survey?  INV-15 */
static int same_frames(struct xen_platform *x)
{
	struct xen_p2m now;
	int same;

	if (xen_p2m_scan(x->h, x->domid, x->shared_info, &now))
		return xen_platform_host_failed(x);
	same = now.n == x->p2m.n &&
	       !memcmp(now.range, x->p2m.range, now.n * sizeof(*now.range));
	xen_p2m_free(&now);
	if (same)
		return 0;
	return platform_fail(&x->base, EXDEV, "domain %u: the guest has given "
			     "up or got frames of memory since its standby was "
			     "built; protect it again", x->domid);
}

int xen_primary_track(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_query q;

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	if (xen_hv_query(x->h, x->domid, &q))
		return xen_platform_host_failed(x);
	x->nodes_sent = false;
	x->dm_sent = false;
	if (xen_machine_track(x, true))
		return -1;
	log_dirty(x, XEN_DOMCTL_SHADOW_OP_OFF);		/* fails if off */
	if (log_dirty(x, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY) < 0)
		return platform_fail(p, errno, "domain %u: cannot track what "
				     "it writes: %s", x->domid,
				     strerror(errno));
	/* From here on a change would be noticed. */
	return q.flags & KEMARI_QF_P2M ? same_frames(x) : 0;
}

/* --- events ------------------------------------------------------------ */

int xen_primary_event_fd(struct platform *p)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true) || bind(x))
		return -1;
	return x->epfd;
}

int xen_primary_events(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_query q;
	xenevtchn_port_or_error_t port;
	int events;

	if (need(x, true) || bind(x))
		return -1;
	events = xen_store_events(x->store, NULL);
	if (events < 0)
		return xen_platform_store_failed(x);
	port = xenevtchn_pending(x->xce);
	if (port < 0 && errno != EAGAIN)
		return platform_fail(p, errno, "domain %u: cannot read events: "
				     "%s", x->domid, strerror(errno));
	if (port < 0)
		return events;
	if (xenevtchn_unmask(x->xce, port))
		return platform_fail(p, errno, "domain %u: cannot unmask "
				     "events: %s", x->domid, strerror(errno));
	if (xen_hv_query(x->h, x->domid, &q)) {
		if (errno == ESRCH)
			return events | PLATFORM_EV_GONE;
		return xen_platform_host_failed(x);
	}
	if (q.held_running)
		events |= PLATFORM_EV_TAP;
	if (q.flags & KEMARI_QF_LIMIT)
		events |= PLATFORM_EV_DIRTY;
	if (q.flags & KEMARI_QF_SHUTDOWN)
		events |= PLATFORM_EV_SHUTDOWN;
	return events;
}

/* --- epochs ------------------------------------------------------------ */

int xen_primary_stop(struct platform *p)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true))
		return -1;
	if (xen_hv_pause(x->h, x->domid, x->generation))
		return xen_platform_host_failed(x);
	return 0;
}

int xen_primary_go(struct platform *p)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true))
		return -1;
	if (xen_hv_resume(x->h, x->domid, x->generation))
		return xen_platform_host_failed(x);
	return 0;
}

int xen_primary_settled(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	int rc;

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	rc = xen_machine_settled(x);
	if (rc <= 0)
		return rc;
	rc = xen_store_settled(x->store, xen_map_page(x->map, x->store_gfn));
	if (rc > 0)
		return xen_rings_same(x);
	platform_fail(p, rc ? errno : EAGAIN, "%s", xen_store_why(x->store));
	return rc;
}

/*
 * What drained() will wait for.  Only what the guest has announced will be
 * read by the daemon: to wait for anything else is to wait for ever.  INV-4
 */
static int look_at_console(struct xen_platform *x)
{
	struct xen_hvm_kemari_evtchn console;
	uint32_t n = 1;

	if (xen_hv_get_evtchns(x->h, x->domid, x->console_port, &console, &n))
		return xen_platform_host_failed(x);
	x->console_drains = n && console.policy == KEMARI_POLICY_DRAIN;
	x->console_held = x->console_drains && console.held == 2;
	x->console_produced = ring_console_produced(
			xen_map_page(x->map, x->console_gfn));
	x->console_known = true;
	return 0;
}

int xen_primary_begin(struct platform *p, uint64_t generation, uint64_t epoch,
		      bool merge)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	if (xen_hv_begin(x->h, x->domid, generation, epoch, merge))
		return xen_platform_host_failed(x);
	if (merge)
		x->nodes_sent = x->dm_sent = false;	/* an epoch that came
							 * to nothing */
	return look_at_console(x);
}

/*
 * Drop those that are not of the guest's memory: only its grant frames may
 * be, they travel as records.  Anything else came into its p2m (INV-15).
 */
static int drop_grants(struct xen_platform *x, uint64_t *gfn, size_t *n)
{
	uint64_t grant[XEN_GRANT_FRAMES_MAX];
	struct xen_hvm_kemari_dom d;
	uint32_t grants = 0;
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		uint32_t at = 0;

		if (xen_map_page(x->map, gfn[i])) {
			gfn[kept++] = gfn[i];
			continue;
		}
		if (!grants) {
			if (xen_hv_get_dom(x->h, x->domid, &d) ||
			    xen_p2m_grant_frames(x->h, x->domid, grant,
						 d.grant_frames))
				return xen_platform_host_failed(x);
			grants = d.grant_frames;
		}
		while (at < grants && grant[at] != gfn[i])
			at++;
		if (at == grants)
			return platform_fail(&x->base, EIO, "domain %u: frame "
					     "%#llx was not part of its memory "
					     "before: copy afresh", x->domid,
					     (unsigned long long)gfn[i]);
	}
	*n = kept;
	return 0;
}

int xen_primary_harvest(struct platform *p, uint64_t *gfn, size_t cap,
			size_t *n)
{
	struct xen_platform *x = to_xen(p);
	size_t reserve;

	if (need(x, true) || xen_primary_prepare(x) || xen_rings_learn(x))
		return -1;
	reserve = xen_always_count(x->always);
	if (cap < reserve) {
		*n = reserve;
		return platform_fail(p, ENOBUFS, "room for %zu frames is less "
				     "than the %zu that are always looked at",
				     cap, reserve);
	}
	if (xen_hv_harvest(x->h, x->domid, x->generation, gfn, cap - reserve,
			   n)) {
		if (errno == ENOBUFS)
			*n += reserve;
		return xen_platform_host_failed(x);
	}
	if (drop_grants(x, gfn, n))
		return -1;
	xen_always_harvest(x->always, x->map, gfn, n);
	return 0;
}

const void *xen_primary_page(struct platform *p, uint64_t gfn)
{
	struct xen_platform *x = to_xen(p);
	const void *copy;

	if (need(x, false) || xen_primary_prepare(x))
		return NULL;
	copy = xen_always_page(x->always, gfn);
	return copy ? copy : xen_map_page(x->map, gfn);
}

static int save_early(struct xen_platform *x, struct recbuf *out)
{
	uint64_t info[KEMARI_MAX_VCPUS];

	if (xen_machine_save(x, out))
		return -1;
	if (xen_state_early(x->h, x->domid, x->vcpus, x->dm_pid, info, out))
		return xen_platform_host_failed(x);
	for (uint32_t v = 0; v < x->vcpus; v++)
		if (info[v] != ~0ull &&
		    add_always(x, info[v], XEN_ALWAYS_PLAIN))
			return -1;
	/* Sticky: sent again only when changed. */
	if (xen_store_save(x->store, out, !x->nodes_sent) < 0)
		return xen_platform_store_failed(x);
	x->nodes_sent = true;
	xen_machine_saved(x);
	return 0;
}

int xen_primary_save(struct platform *p, enum platform_phase phase,
		     struct recbuf *out)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	if (phase == PLATFORM_EARLY)
		return save_early(x, out);
	if (xen_state_late(x->h, x->domid, &x->grants, out))
		return xen_platform_host_failed(x);
	return 0;
}

int xen_primary_guest_time(struct platform *p, uint64_t *ns)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_dom d;

	if (need(x, false))
		return -1;
	if (xen_hv_get_dom(x->h, x->domid, &d))
		return xen_platform_host_failed(x);
	*ns = d.guest_time;
	return 0;
}

int xen_primary_release(struct platform *p, uint64_t generation,
			uint64_t epoch)
{
	struct xen_platform *x = to_xen(p);

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	/* Captured by a controller before this one; or not: see below. */
	if (!x->console_known && look_at_console(x) && errno != EAGAIN)
		return -1;
	if (xen_hv_release(x->h, x->domid, generation, epoch))
		return xen_platform_host_failed(x);
	x->console_known = false;
	return 0;
}

/* Will the daemon look at the ring again, without being told anew? */
static int console_busy(struct xen_platform *x, bool *busy)
{
	struct xen_hvm_kemari_evtchn console;
	uint32_t n = 1;

	if (xen_hv_get_evtchns(x->h, x->domid, x->console_port, &console, &n))
		return xen_platform_host_failed(x);
	*busy = n && console.busy;
	return 0;
}

int xen_primary_drained(struct platform *p)
{
	struct xen_platform *x = to_xen(p);
	uint32_t left = 0;
	bool busy = false;

	if (need(x, true) || xen_primary_prepare(x))
		return -1;
	if (!x->console_drains)
		return 1;
	/* A daemon that was woken and has not read yet would read what the
	 * guest writes next.  INV-4 */
	if ((!x->console_held ||
	     ring_console_drained(xen_map_page(x->map, x->console_gfn),
				  x->console_produced, &left)) &&
	    console_busy(x, &busy))
		return -1;
	if (!left && !busy) {
		x->console_held = false;
		return 1;
	}
	platform_fail(p, EAGAIN, "domain %u: %u bytes on port %u, the console, "
		      "are not read yet by its daemon%s", x->domid, left,
		      x->console_port, busy ? ", which is awake" : "");
	return 0;
}
