/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_sim.h - the gate of a simulated guest's disk ring
 *
 * The backend executes requests up to the fence and no further, and while it
 * is frozen it answers none.  The gate belongs to the simulated host: it stays
 * as it is when a controller closes it or dies, and is found again.
 */
#ifndef KEMARI_GATE_SIM_H
#define KEMARI_GATE_SIM_H

#include <stdint.h>

#include "gate.h"

struct sim_world;

/**
 * gate_sim_open() - The gate of domain @domid on @host
 *
 * Return: closed by ops->close, or NULL: ENOENT no such domain, EIO the host
 * is off, ENOMEM.  Once the host is off every call fails with EIO; once the
 * domain is gone with ESRCH.
 */
struct gate *gate_sim_open(struct sim_world *w, unsigned int host,
			   uint32_t domid);

#endif
