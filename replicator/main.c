// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * main.c - kemari: a table of verbs
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "replicator/commands.h"
#include "replicator/options.h"

static const struct command commands[] = {
	{ "check", "DOMAIN [--to HOST[:PORT]]", "tpCTKnjw", true, false, 0,
	  cmd_check, "can this guest be protected?" },
	{ "protect", "DOMAIN --to HOST[:PORT]", "tpCTKnedbokuw", true, false, 0,
	  cmd_protect, "protect a running guest" },
	{ "receive", "--listen ADDR[:PORT]", "lpCTKnscbogw", false, false, 0,
	  cmd_receive, "hold the standby of a guest" },
	{ "status", "[DOMAIN]", "j", false, true, 0, cmd_status,
	  "state and figures" },
	{ "unprotect", "DOMAIN", "fx", true, false, 0, cmd_unprotect,
	  "end a protection; the guest runs on" },
	{ "failover", "DOMAIN --force", "f", true, false, 0, cmd_failover,
	  "take over on the secondary, now" },
	{ "pki", "DIR HOST [ADDRESS]...", "", false, false, 2, cmd_pki,
	  "make certificates: of a CA in DIR, and of a host" },
	{ "bench", "[--to HOST[:PORT] | --listen ADDR[:PORT]]", "tLzNarikSJ",
	  false, false, 0, cmd_bench,
	  "what would a link carry? needs no Xen and no guest" },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void usage(FILE *out)
{
	int i;

	fprintf(out, "usage: kemari COMMAND [DOMAIN] [OPTIONS]\n\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name,
			commands[i].help);
	fprintf(out, "\n`kemari COMMAND --help` lists its options; "
		"kemari(8) explains them\n");
}

int main(int argc, char **argv)
{
	const struct command *c = NULL;
	struct options o;
	int i;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			c = &commands[i];
	if (!c) {
		fprintf(stderr, "kemari: %s: no such command\n", argv[1]);
		usage(stderr);
		return EXIT_USAGE;
	}
	for (i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--help"))
			continue;
		printf("usage: kemari %s %s%s\n%s\n", c->name, c->args,
		       *c->letters ? " [OPTIONS]" : "", c->help);
		options_help(c);
		return 0;
	}
	if (options_parse(c, argc - 1, argv + 1, &o))
		return EXIT_USAGE;
	return c->run(&o);
}
