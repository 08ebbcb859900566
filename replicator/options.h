/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - the command line, checked, as one read-only structure
 */
#ifndef KEMARI_OPTIONS_H
#define KEMARI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEMARI_PORT "7766"	/* LINK_TCP_PORT */

enum {
	EXIT_USAGE = 2,

	OPTIONS_HOST_MAX = 256,
	OPTIONS_PORT_MAX = 32,

	MAX_EPOCH_MS_MIN = 1,
	MAX_EPOCH_MS_MAX = 60000,
	MAX_EPOCH_MS_DEFAULT = 100,
	DIRTY_LIMIT_MIN = 64,		/* pages */
	DIRTY_LIMIT_MAX = 1 << 22,	/* 16 GiB */
	DIRTY_LIMIT_DEFAULT = 0,	/* as much as staging takes */
	STAGING_MIB_MIN = 4,
	STAGING_MIB_MAX = 65536,
	STAGING_MIB_DEFAULT = 96,
	HEARTBEAT_MS_MIN = 10,
	HEARTBEAT_MS_MAX = 10000,
	HEARTBEAT_MS_DEFAULT = 200,
	TIMEOUT_MS_MIN = 100,
	TIMEOUT_MS_MAX = 600000,
	TIMEOUT_MS_DEFAULT = 2000,
	GRACE_MS_MIN = 0,
	GRACE_MS_MAX = 600000,
	GRACE_MS_DEFAULT = 1000,
	CODEC_CACHE_MIB_MIN = 0,
	CODEC_CACHE_MIB_MAX = 65536,
	CODEC_CACHE_MIB_DEFAULT = 64,

	/* kemari bench */
	BENCH_SIZE_MIB_MIN = 16,
	BENCH_SIZE_MIB_MAX = 16384,
	BENCH_SIZE_MIB_DEFAULT = 256,
	BENCH_PAGES_MIN = 1,		/* that change between checkpoints */
	BENCH_PAGES_MAX = 4096,		/* a page in each 4 of the smallest */
	BENCH_PAGES_DEFAULT = 1000,
	BENCH_RATE_MIN = 0,		/* MB/s, decimal; 0: not paced */
	BENCH_RATE_MAX = 100000,
	BENCH_ROUNDS_MIN = 1,
	BENCH_ROUNDS_MOST = 64,
	BENCH_ROUNDS_DEFAULT = 5,
};

/* enum unsafe_policy - for the negative proofs only */
enum unsafe_policy { UNSAFE_NOTHING, UNSAFE_POLICY_NONE, UNSAFE_POLICY_HOLD };

struct options {
	const char *domain;		/* name, ID or UUID; NULL: none given */
	char **words;			/* what a verb with .words was given */
	int n_words;
	char host[OPTIONS_HOST_MAX];	/* of --to or --listen; "" none */
	char port[OPTIONS_PORT_MAX];
	bool plaintext;
	const char *tls_ca, *tls_cert, *tls_key;	/* files */
	const char *peer;		/* of its certificate; NULL none */
	bool json;
	bool force;
	bool standby_is_dead;
	const char *fence;		/* shell command; NULL none */
	uint32_t max_epoch_ms;
	uint32_t dirty_limit;		/* pages */
	uint32_t staging_mib;		/* of one checkpoint */
	uint32_t heartbeat_ms;
	uint32_t timeout_ms;		/* silence that makes suspicious */
	uint32_t grace_ms;		/* from suspicion to fence */
	uint32_t codec_cache_mib;
	bool serve;			/* .host is --listen's, not --to's */
	const char *pattern;		/* one only; NULL: all */
	const char *json_file;		/* NULL none */
	uint32_t bench_size_mib, bench_pages, bench_rate, bench_rounds;
	uint32_t bench_seed;
	enum unsafe_policy unsafe;
	bool unsafe_storage;
};

/** struct command - one verb; options are a string of its letters */
struct command {
	const char *name;
	const char *args;	/* after the name, for the usage line */
	const char *letters;	/* options it takes, as in the table of
				 * options.c */
	bool domain;		/* needs a domain */
	bool optional_domain;	/* takes one */
	int words;		/* takes that many words or more, and no
				 * domain; 0 none */
	int (*run)(const struct options *o);
	const char *help;
};

/**
 * options_parse() - Parse what follows the verb
 * @c:		The verb
 * @argc:	Number of arguments; argv[0] is the verb
 * @argv:	Kept by reference in @o
 * @o:		Filled in, defaults included
 * Return: 0, or -1 after a message on standard error
 */
int options_parse(const struct command *c, int argc, char **argv,
		  struct options *o);

/** options_address() - Host and port as one text, for link_tcp.h */
void options_address(const struct options *o, char *out, size_t len);

/** options_help() - Print the options of @c, one a line */
void options_help(const struct command *c);

#endif
