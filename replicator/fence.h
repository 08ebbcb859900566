/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fence.h - run the site's fence command without waiting for it
 *
 * Exit status 0 of the command means: the primary's host can do nothing any
 * more, from now on.  Anything else is a failure and decides nothing.
 */
#ifndef KEMARI_FENCE_H
#define KEMARI_FENCE_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct fence;
struct platform_info;

/**
 * fence_new() - Prepare a fence
 * @command:	For /bin/sh -c; outlives the fence
 * @done:	Called from the event loop when the command has ended; @why is
 *		a sentence if it failed
 * Return: to be freed by fence_free(), or NULL with errno
 */
struct fence *fence_new(struct event_base *base, const char *command,
			void (*done)(void *arg, bool ok, const char *why),
			void *arg);

/**
 * fence_start() - Start the command
 *
 * It finds KEMARI_GUEST, KEMARI_GUEST_UUID and KEMARI_PRIMARY_UUID in its
 * environment; its output is ours.
 * Return: 0, or -1 with errno; EBUSY: it runs already
 */
int fence_start(struct fence *f, const uint8_t host_uuid[16],
		const struct platform_info *guest);

/** fence_free() - Forget it; a running command goes on by itself */
void fence_free(struct fence *f);

#endif
