/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_report.h - figures of `kemari bench`, as tables and as JSON
 */
#ifndef KEMARI_BENCH_REPORT_H
#define KEMARI_BENCH_REPORT_H

#include <stdbool.h>

#include "replicator/bench_measure.h"

struct bench_report;

/**
 * bench_report_new() - Begin
 * @file:	Gets the JSON at the end; opened here; NULL: none
 * Return: ended by bench_report_end(), or NULL with errno
 */
struct bench_report *bench_report_new(const char *file);

/** bench_report_way() - A row of the table of patterns */
void bench_report_way(struct bench_report *r, const struct bench_way *way,
		      const struct bench_result *b);

/** bench_report_baselines() - What the rows so far were measured against */
void bench_report_baselines(struct bench_report *r);

/** bench_report_target() - A row of the table of targets */
void bench_report_target(struct bench_report *r, const char *what,
			 double figure, double want, bool at_most);

/** bench_report_parts() - What the commit of the row before consists of */
void bench_report_parts(const struct bench_result *b);

/** bench_report_end() - Write the JSON if @whole, free.  0, or -1 with errno */
int bench_report_end(struct bench_report *r, bool whole);

#endif
