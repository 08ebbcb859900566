/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_linux.h - the gate in front of this host's xen-blkback and xen-netback
 *
 * A handle on what the module kemari-gate keeps for a domain
 * (backends/kemari-gate.h): closing it, or dying, changes nothing there.
 */
#ifndef KEMARI_GATE_LINUX_H
#define KEMARI_GATE_LINUX_H

#include <stdint.h>

#include "gate.h"

/**
 * gate_linux_open() - The gate of a domain of this host
 * @uuid:	Of the domain: a later one with its number is another
 *
 * Changes nothing; ops->shut binds this handle to the domain.
 * Return: closed by ops->close, or NULL: ENODEV the module is not loaded,
 *	   EPROTO it speaks another version, EACCES, EMFILE, ENOMEM
 */
struct gate *gate_linux_open(uint32_t domid, const uint8_t uuid[16]);

/** gate_linux_is_shut() - Is the domain's gate shut, by whomever?  1, 0, -1 */
int gate_linux_is_shut(struct gate *g);

#endif
