/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commands.h - the verbs of kemari: each takes checked options and returns
 *		the exit status, having said why if that is not 0
 */
#ifndef KEMARI_COMMANDS_H
#define KEMARI_COMMANDS_H

struct options;

int cmd_check(const struct options *o);		/* cmd_check.c */
int cmd_protect(const struct options *o);	/* run_primary.c */
int cmd_receive(const struct options *o);	/* run_secondary.c */
int cmd_status(const struct options *o);	/* cmd_client.c */
int cmd_unprotect(const struct options *o);
int cmd_failover(const struct options *o);
int cmd_pki(const struct options *o);		/* cmd_pki.c */
int cmd_bench(const struct options *o);		/* cmd_bench.c */

#endif
