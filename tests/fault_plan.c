// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fault_plan.c - which call fails, and how
 */
#include "tests/fault_plan.h"

#include <stddef.h>
#include <string.h>

struct fault_plan fault_nth(uint64_t n, enum fault_span span, int err)
{
	return (struct fault_plan){ .at = n, .span = span, .err = err };
}

static bool at_random(struct fault_plan *plan)
{
	uint64_t z;

	if (!plan->per_mille)
		return false;
	/* splitmix64 */
	plan->rng += 0x9e3779b97f4a7c15;
	z = plan->rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % 1000 < plan->per_mille;
}

static bool in_span(const struct fault_plan *plan, const char *op)
{
	if (!plan->op)
		return false;
	return plan->span == FAULT_ALL ||
	       (plan->span == FAULT_OP && strcmp(plan->op, op) == 0);
}

bool fault_due(struct fault_plan *plan, const char *op)
{
	if (plan->delay)
		plan->delay(plan->delay_arg, op);
	if (plan->only && strcmp(plan->only, op) != 0)
		return false;
	if (plan->calls++ != plan->at && !in_span(plan, op) &&
	    !at_random(plan))
		return false;
	plan->fired++;
	if (!plan->op)
		plan->op = op;
	return true;
}
