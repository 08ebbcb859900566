/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv.h - what the tests of HVMOP_kemari share: one check is one line
 *
 * They call the hypervisor directly, not through libxc-ext, so that the
 * interface is tested and not the library.
 */
#ifndef KEMARI_TESTS_HV_H
#define KEMARI_TESTS_HV_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#include "hypervisor/public/kemari.h"

#define PAGE		4096u
#define GUEST_PAGES	32768u		/* 128 MiB */
#define PATIENCE_S	60		/* a step that takes longer has failed */
#define LIMIT		600u		/* dirty pages */

static struct {
	xc_interface *xch;
	xencall_handle *call;
	xenevtchn_handle *evtchn;
	xenforeignmemory_handle *fmem;
	struct xen_hvm_kemari *op;
	uint64_t *gfns;
	uint32_t domid;
	unsigned int passed, failed;
} t;

static inline bool __attribute__((format(printf, 2, 3)))
check(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%s %u - ", good ? "ok" : "not ok", t.passed + t.failed + 1);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	if (good)
		t.passed++;
	else
		t.failed++;
	return good;
}

/* Run command @cmd on @domid with what is in t.op->u; 0 or errno. */
static inline int kemari(uint32_t domid, uint32_t cmd)
{
	t.op->version = KEMARI_VERSION;
	t.op->cmd = cmd;
	t.op->domid = domid;
	t.op->_pad0 = 0;
	t.op->_pad1 = 0;
	return xencall2(t.call, __HYPERVISOR_hvm_op, HVMOP_kemari,
			(uintptr_t)t.op) < 0 ? errno : 0;
}

static inline void clear(void)
{
	memset(&t.op->u, 0, sizeof(t.op->u));
}

/* The next command must end with @want. */
static inline bool expect(int want, uint32_t domid, uint32_t cmd, const char *what)
{
	int got = kemari(domid, cmd);

	return check(got == want, "%s: %s%s%s", what, strerror(want),
		     got == want ? "" : ", got ", got == want ? "" :
		     strerror(got));
}

static inline int enable(uint32_t domid, uint32_t role, uint32_t mode, uint32_t port)
{
	clear();
	t.op->u.enable.generation = 1;
	t.op->u.enable.dirty_limit = role == KEMARI_ROLE_PRIMARY ? LIMIT : 0;
	t.op->u.enable.role = role;
	t.op->u.enable.mode = mode;
	t.op->u.enable.port = port;
	return kemari(domid, KEMARI_CMD_enable);
}

static inline int disable(uint32_t domid, uint32_t flags)
{
	clear();
	t.op->u.disable.generation = 1;
	t.op->u.disable.flags = flags;
	return kemari(domid, KEMARI_CMD_disable);
}

static inline struct xen_hvm_kemari_query *query(uint32_t domid)
{
	clear();
	if (kemari(domid, KEMARI_CMD_query))
		memset(&t.op->u, 0xff, sizeof(t.op->u));
	return &t.op->u.query;
}

static inline int epoch_op(uint32_t cmd, uint64_t epoch, uint32_t flags)
{
	clear();
	t.op->u.epoch.generation = 1;
	t.op->u.epoch.epoch = epoch;
	t.op->u.epoch.flags = flags;
	return kemari(t.domid, cmd);
}

static inline int set_policy(uint32_t port, uint32_t policy)
{
	clear();
	t.op->u.policy.port = port;
	t.op->u.policy.policy = policy;
	return kemari(t.domid, KEMARI_CMD_policy);
}

static inline int deliver(uint64_t generation, uint32_t port)
{
	clear();
	t.op->u.deliver.generation = generation;
	t.op->u.deliver.port = port;
	return kemari(t.domid, KEMARI_CMD_deliver);
}

static inline int harvest(uint64_t room, uint64_t *nr)
{
	int rc;

	clear();
	t.op->u.harvest.generation = 1;
	t.op->u.harvest.nr = room;
	set_xen_guest_handle_raw(t.op->u.harvest.gfns, t.gfns);
	rc = kemari(t.domid, KEMARI_CMD_harvest);
	*nr = t.op->u.harvest.nr;
	return rc;
}

static inline bool wait_flags(uint32_t flags)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	time_t end = time(NULL) + PATIENCE_S;

	while ((query(t.domid)->flags & flags) != flags) {
		if (time(NULL) > end)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

static inline uint32_t console_port(void)
{
	uint64_t port = 0;

	xc_hvm_param_get(t.xch, t.domid, HVM_PARAM_CONSOLE_EVTCHN, &port);
	return (uint32_t)port;
}

static inline uint64_t page_param(uint32_t param)
{
	uint64_t gfn = 0;

	xc_hvm_param_get(t.xch, t.domid, param, &gfn);
	return gfn;
}

/* Open everything for the domain named in @arg; false: said why. */
static inline bool open_all(const char *arg)
{
	t.domid = (uint32_t)strtoul(arg, NULL, 10);
	t.xch = xc_interface_open(NULL, NULL, 0);
	t.call = xencall_open(NULL, 0);
	t.evtchn = xenevtchn_open(NULL, 0);
	t.fmem = xenforeignmemory_open(NULL, 0);
	if (!t.domid || !t.xch || !t.call || !t.evtchn || !t.fmem) {
		fprintf(stderr, "cannot reach Xen or domain \"%s\": %s\n", arg,
			strerror(errno));
		return false;
	}
	t.op = xencall_alloc_buffer(t.call, sizeof(*t.op));
	t.gfns = xencall_alloc_buffer(t.call,
				      2 * GUEST_PAGES * sizeof(*t.gfns));
	if (!t.op || !t.gfns) {
		perror("hypercall buffers");
		return false;
	}
	memset(t.op, 0, sizeof(*t.op));
	return true;
}

static inline int verdict(void)
{
	printf("%u passed, %u failed\n", t.passed, t.failed);
	return t.failed != 0;
}

#endif
