// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_reap.c - platform_reaper_*: clean up after a domain that was taken over
 */
#include "libxc-ext/platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

#include "libxc-ext/xen_dm.h"
#include "libxc-ext/xen_store.h"

struct platform_reaper {
	struct xen_host *h;
	struct xen_store *store;
	pid_t dm;			/* 0: no device model */
	uint32_t domid;
};

static const char *const reason_str[] = {
	[SHUTDOWN_poweroff] = "was powered off",
	[SHUTDOWN_reboot] = "wants to be booted anew, which is for xl create",
	[SHUTDOWN_suspend] = "was suspended",
	[SHUTDOWN_crash] = "crashed",
	[SHUTDOWN_watchdog] = "was ended by its watchdog",
	[SHUTDOWN_soft_reset] = "wants a soft reset, which is for xl create",
};

struct platform_reaper *platform_reaper_open(uint32_t domid,
					     const uint8_t uuid[16], char *why)
{
	struct platform_reaper *r = calloc(1, sizeof(*r));
	int err;

	snprintf(why, PLATFORM_WHY_MAX, "no memory");
	if (!r)
		return NULL;
	r->domid = domid;
	r->h = xen_host_open(why);
	if (r->h && !xen_store_open(&r->store, r->h->xch, domid, uuid, why)) {
		r->dm = xen_dm_find(r->h, domid);
		if (r->dm < 0)
			snprintf(why, PLATFORM_WHY_MAX, "%s", r->h->why);
		else if (!xen_store_follow(r->store))
			return r;
		else
			snprintf(why, PLATFORM_WHY_MAX, "%s",
				 xen_store_why(r->store));
	}
	err = errno;
	platform_reaper_close(r);
	errno = err;
	return NULL;
}

int platform_reaper_fd(const struct platform_reaper *r)
{
	return xen_store_event_fd(r->store);
}

int platform_reaper_run(struct platform_reaper *r, char *say)
{
	uint32_t reason = 0;
	int events = xen_store_events(r->store, &reason), rc;

	if (!events || (events == PLATFORM_EV_SHUTDOWN &&
			reason == SHUTDOWN_suspend))
		return 0;
	rc = xen_store_reap(r->store);
	/* It would keep the domain as a zombie. */
	if (rc > 0 && xen_dm_end(r->h, r->domid, r->dm)) {
		snprintf(say, PLATFORM_WHY_MAX, "%s", r->h->why);
		return -1;
	}
	if (rc < 0)
		snprintf(say, PLATFORM_WHY_MAX, "%s", xen_store_why(r->store));
	else if (events & PLATFORM_EV_GONE)
		snprintf(say, PLATFORM_WHY_MAX, "domain %u was destroyed",
			 r->domid);
	else
		snprintf(say, PLATFORM_WHY_MAX,
			 "domain %u %s; it was destroyed", r->domid,
			 reason < sizeof(reason_str) / sizeof(reason_str[0]) ?
			 reason_str[reason] : "has shut down");
	return rc;
}

void platform_reaper_close(struct platform_reaper *r)
{
	if (!r)
		return;
	xen_store_close(r->store);
	xen_host_close(r->h);
	free(r);
}
