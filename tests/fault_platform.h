/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault_platform.h - a platform around a platform, whose calls fail by plan
 *
 * now_ns() and close() never fail; page() and page_rw() only if the plan says
 * so.  A failed call gives -1 (or NULL), the plan's errno and a sentence.
 */
#ifndef KEMARI_TESTS_FAULT_PLATFORM_H
#define KEMARI_TESTS_FAULT_PLATFORM_H

struct fault_plan;
struct platform;

/**
 * fault_platform() - Wrap @next
 * @next:	Closed with the wrapper
 * @plan:	The caller's, must outlive the wrapper
 * Return: closed by ops->close, or NULL with ENOMEM, @next is untouched
 */
struct platform *fault_platform(struct platform *next,
				struct fault_plan *plan);

#endif
