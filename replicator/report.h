/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - what a conductor tells people while it works
 *
 * Each message has a level, an identifier that never changes ("link-down",
 * for scripts and tests) and a sentence.
 */
#ifndef KEMARI_REPORT_H
#define KEMARI_REPORT_H

enum report_level {
	REPORT_INFO,	/* progress */
	REPORT_WARN,	/* goes on, an operator should look */
	REPORT_ERROR,	/* protection is lost or cannot start */
};

/** struct report - where messages go; zero-initialised: nowhere */
struct report {
	/* @id and @text are valid until it returns. */
	void (*say)(void *arg, enum report_level level, const char *id,
		    const char *text);
	void *arg;
};

/** report_say() - Format and pass on one message; keeps errno */
void report_say(const struct report *r, enum report_level level,
		const char *id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
