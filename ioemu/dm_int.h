/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dm_int.h - what dm.c and dm_devices.c share
 */
#ifndef KEMARI_DM_INT_H
#define KEMARI_DM_INT_H

#include "ioemu/dm.h"
#include "ioemu/qmp.h"

/** struct dm - .q.why is everybody's */
struct dm {
	struct qmp q;
	int save_fd;		/* the memory a state is saved into; -1 */
	int save_out;		/* the same, as the device model has it; -1 */
	struct dm_stream stream;	/* scratch */
};

/** dm_fail() - qmp_fail() of a device model */
#define dm_fail(dm, ...) qmp_fail(&(dm)->q, __VA_ARGS__)

#endif
