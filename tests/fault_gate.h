/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault_gate.h - a gate around a gate, whose calls fail by plan
 *
 * In plans its operations are gate_freeze, gate_capture, gate_thaw,
 * gate_release and gate_open, so that they are not taken for a platform's.
 */
#ifndef KEMARI_TESTS_FAULT_GATE_H
#define KEMARI_TESTS_FAULT_GATE_H

struct fault_plan;
struct gate;

/** fault_gate() - As fault_platform() */
struct gate *fault_gate(struct gate *next, struct fault_plan *plan);

#endif
