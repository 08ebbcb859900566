/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * platform_xen.c - struct platform on Xen: opening a domain, both roles' part
 */
#include "libxc-ext/xen_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "libxc-ext/xen_hv.h"

enum { DOMAINS_MAX = 64 };		/* listed at a time */

int xen_platform_host_failed(struct xen_platform *x)
{
	return platform_fail(&x->base, errno, "%s", x->h->why);
}

int xen_platform_store_failed(struct xen_platform *x)
{
	return platform_fail(&x->base, errno, "%s", xen_store_why(x->store));
}

void xen_platform_unmap(struct xen_platform *x)
{
	xen_map_close(x->map);
	x->map = NULL;
	xen_grants_unmap(x->h, &x->grants);
}

/* --- both roles -------------------------------------------------------- */

/* The first @len bytes of the text of a file under /proc or /sys. */
static int read_text(const char *path, char *text, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, text, len - 1);
	close(fd);
	if (got < 0)
		return -1;
	text[got] = '\0';
	return 0;
}

/* Return: whether @text begins with a UUID, that is then in @uuid. */
static bool parse_uuid(const char *text, uint8_t uuid[16])
{
	for (int i = 0; i < 16; i++) {
		unsigned int byte;
		int used = 0;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*text++ != '-')
				return false;
		if (sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
			return false;
		uuid[i] = byte;
		text += 2;
	}
	return true;
}

static void host_ids(struct platform_info *out)
{
	static const uint8_t none[16];
	char text[64];

	if (!read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text)))
		parse_uuid(text, out->boot_id);
	if (!read_text("/sys/class/dmi/id/product_uuid", text, sizeof(text)))
		parse_uuid(text, out->host_uuid);
	if (!memcmp(out->host_uuid, none, sizeof(none)))
		memcpy(out->host_uuid, out->boot_id, sizeof(out->host_uuid));
}

/* The name as it will be: xen_store.c marks that of a standby. */
static void guest_name(char *name)
{
	static const char mark[] = "--standby";
	size_t len = strlen(name);

	if (len >= sizeof(mark) &&
	    !strcmp(name + len - (sizeof(mark) - 1), mark))
		name[len - (sizeof(mark) - 1)] = '\0';
}

static int xen_info(struct platform *p, struct platform_info *out)
{
	struct xen_platform *x = to_xen(p);

	memset(out, 0, sizeof(*out));
	if (!x->domid)
		return platform_fail(p, ENOENT, "the standby is not built yet");
	if (!x->shape.dom.domid && xen_primary_prepare(x))
		return -1;
	host_ids(out);
	if (xen_store_name(x->store, out->name))
		return xen_platform_store_failed(x);
	if (x->shape.dom.domid)
		guest_name(out->name);
	memcpy(out->uuid, x->uuid, sizeof(out->uuid));
	out->domid = x->domid;
	out->vcpus = x->vcpus;
	out->pages = x->shape.dom.domid ? x->shape.p2m.pages : x->p2m.pages;
	return 0;
}

static int xen_query(struct platform *p, struct platform_query *out)
{
	struct xen_platform *x = to_xen(p);
	struct xen_hvm_kemari_query q;

	memset(out, 0, sizeof(*out));
	if (!x->domid)
		return 0;
	if (xen_hv_query(x->h, x->domid, &q)) {
		if (errno == ESRCH)
			return 0;
		return xen_platform_host_failed(x);
	}
	out->role = q.role == KEMARI_ROLE_PRIMARY ? PLATFORM_PRIMARY :
		    q.role == KEMARI_ROLE_STANDBY ? PLATFORM_STANDBY :
		    PLATFORM_NONE;
	out->mode = q.mode == KEMARI_MODE_NOTIFY ? PLATFORM_PIPELINED :
		    PLATFORM_SYNC;
	out->generation = q.generation;
	out->running = q.running;
	out->captured = q.captured;
	out->released = q.released;
	out->dirty = q.dirty;
	out->dirty_limit = q.dirty_limit;
	out->taps = q.taps;
	out->held_running = q.held_running;
	out->held_captured = q.held_captured;
	out->stopped = q.flags & KEMARI_QF_PAUSED;
	out->lost = q.flags & (KEMARI_QF_LOST | KEMARI_QF_P2M);
	out->shutdown = q.flags & KEMARI_QF_SHUTDOWN;
	out->shutdown_reason = q.shutdown_reason;
	return 0;
}

static uint64_t xen_now_ns(struct platform *p)
{
	struct timespec t;

	(void)p;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int xen_ranges(struct platform *p, struct gfn_range *out, size_t *n)
{
	struct xen_platform *x = to_xen(p);
	const struct xen_p2m *m = &x->shape.p2m;
	size_t room = *n;

	if (!x->domid)
		return platform_fail(p, ENOENT, "the standby is not built yet");
	if (!x->shape.dom.domid) {
		if (xen_primary_prepare(x))
			return -1;
		m = &x->p2m;
	}
	*n = m->n;
	if (m->n > room)
		return platform_fail(p, ENOBUFS, "the guest's memory has %zu "
				     "ranges, there is room for %zu", m->n,
				     room);
	memcpy(out, m->range, m->n * sizeof(*out));
	return 0;
}

static void xen_close(struct platform *p)
{
	struct xen_platform *x = to_xen(p);

	xen_primary_close(x);
	xen_announce_free(x->announce);
	if (x->unmapping)
		pthread_join(x->unmapper, NULL);
	if (x->h)
		xen_platform_unmap(x);
	xen_p2m_free(&x->p2m);
	xen_shape_free(&x->shape);
	xen_store_close(x->store);
	xen_host_close(x->h);
	free(x);
}

static const struct platform_ops xen_ops = {
	.name = "xen",
	.info = xen_info,
	.query = xen_query,
	.now_ns = xen_now_ns,
	.ranges = xen_ranges,
	.close = xen_close,
	.check = xen_primary_check,
	.rings = xen_rings_list,
	.describe = xen_primary_describe,
	.enable = xen_primary_enable,
	.disable = xen_primary_disable,
	.track = xen_primary_track,
	.event_fd = xen_primary_event_fd,
	.events = xen_primary_events,
	.stop = xen_primary_stop,
	.held = xen_rings_held,
	.deliver = xen_rings_deliver,
	.go = xen_primary_go,
	.settled = xen_primary_settled,
	.begin = xen_primary_begin,
	.harvest = xen_primary_harvest,
	.page = xen_primary_page,
	.save = xen_primary_save,
	.guest_time = xen_primary_guest_time,
	.release = xen_primary_release,
	.drained = xen_primary_drained,
	.build = xen_standby_build,
	.attach = xen_standby_attach,
	.page_rw = xen_standby_page_rw,
	.verify = xen_standby_verify,
	.rehearse = xen_standby_rehearse,
	.load = xen_standby_load,
	.activate = xen_standby_activate,
	.served = xen_standby_served,
	.destroy = xen_standby_destroy,
};

/* --- opening ----------------------------------------------------------- */

/* Return: whether domain @domid is called @name in xenstore. */
static bool is_called(struct xs_handle *xs, uint32_t domid, const char *name)
{
	char path[64], *value;
	unsigned int len;
	bool is;

	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	value = xs_read(xs, XBT_NULL, path, &len);
	is = value && !strcmp(value, name);
	free(value);
	return is;
}

/* Find the domain that @what names: its ID, its UUID or its name. */
static int find(struct xen_platform *x, const char *what, char *why)
{
	struct xs_handle *xs = xs_open(0);
	xc_domaininfo_t list[DOMAINS_MAX];
	unsigned long id;
	uint8_t uuid[16];
	bool by_uuid = parse_uuid(what, uuid);
	uint32_t next = 1;
	char *end;
	int n;

	id = strtoul(what, &end, 10);
	if (*end || end == what)
		id = DOMID_FIRST_RESERVED;
	while ((n = xc_domain_getinfolist(x->h->xch, next, DOMAINS_MAX,
					  list)) > 0) {
		for (int i = 0; i < n; i++) {
			uint32_t domid = list[i].domain;

			next = domid + 1;
			if (list[i].flags & XEN_DOMINF_dying ||
			    !(domid == id ||
			      (by_uuid && !memcmp(list[i].handle, uuid, 16)) ||
			      (xs && is_called(xs, domid, what))))
				continue;
			x->domid = domid;
			x->vcpus = list[i].max_vcpu_id + 1;
			memcpy(x->uuid, list[i].handle, sizeof(x->uuid));
			if (xs)
				xs_close(xs);
			return 0;
		}
	}
	if (xs)
		xs_close(xs);
	snprintf(why, PLATFORM_WHY_MAX, "no domain of this host has the name, "
		 "ID or UUID \"%.64s\"", what);
	errno = ENOENT;
	return -1;
}

/* Does this Xen know Kemari, and is its controller here already? */
static int probe(struct xen_platform *x, char *why)
{
	struct xen_hvm_kemari_query q;

	if (xen_hv_query(x->h, x->domid, &q)) {
		/* Not HVM, or nobody there: for check() or build() to say. */
		if (errno == EOPNOTSUPP || (!x->domid && errno != ENOSYS &&
					    errno != EPROTO))
			return 0;
		if (errno == EPERM)
			errno = EACCES;
		snprintf(why, PLATFORM_WHY_MAX, "%s", x->h->why);
		return -1;
	}
	if (q.role == KEMARI_ROLE_NONE)
		return 0;
	x->generation = q.generation;
	x->port = q.port;
	return 0;
}

int platform_open_xen(struct platform **out, const char *domain, char *why)
{
	struct xen_platform *x = calloc(1, sizeof(*x));
	int err;

	if (!x) {
		snprintf(why, PLATFORM_WHY_MAX, "out of memory");
		return -1;
	}
	x->base.ops = &xen_ops;
	x->epfd = -1;
	x->h = xen_host_open(why);
	if (!x->h || (domain && find(x, domain, why)) || probe(x, why) ||
	    (domain && xen_store_open(&x->store, x->h->xch, x->domid, x->uuid,
				      why))) {
		err = errno;
		xen_close(&x->base);
		errno = err;
		return -1;
	}
	*out = &x->base;
	return 0;
}

void platform_xen_unsafe(struct platform *p, unsigned int unsafe)
{
	to_xen(p)->unsafe = unsafe;
}

void platform_xen_storage(struct platform *p, enum platform_xen_storage how)
{
	to_xen(p)->storage = how;
}
