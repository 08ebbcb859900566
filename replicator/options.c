// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options.c - the command line: one table of options, used by every verb
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/options.h"
#include "replicator/tls.h"

enum kind { FLAG, NUMBER, TEXT, ADDRESS, SERVE, POLICY };

#define AT(member) offsetof(struct options, member)

/* A letter stands for the option in struct command and nowhere else. */
static const struct opt {
	char letter;
	const char *name;
	enum kind kind;
	size_t at;
	uint32_t min, max;
	const char *value;	/* its name in the help */
	const char *help;
} table[] = {
	{ 't', "to", ADDRESS, 0, 0, 0, "HOST[:PORT]",
	  "where the other host listens" },
	{ 'l', "listen", ADDRESS, 0, 0, 0, "ADDR[:PORT]",
	  "address to listen on, of the replication network" },
	{ 'p', "plaintext", FLAG, AT(plaintext), 0, 0, NULL,
	  "no TLS: guest memory can be read and changed on its way" },
	{ 'C', "tls-ca", TEXT, AT(tls_ca), 0, 0, "FILE",
	  "certificate of the CA that every host's is of" },
	{ 'T', "tls-cert", TEXT, AT(tls_cert), 0, 0, "FILE",
	  "certificate of this host" },
	{ 'K', "tls-key", TEXT, AT(tls_key), 0, 0, "FILE",
	  "private key of this host" },
	{ 'n', "peer", TEXT, AT(peer), 0, 0, "NAME",
	  "name or address that the other host's certificate bears" },
	{ 'j', "json", FLAG, AT(json), 0, 0, NULL, "print JSON" },
	{ 'f', "force", FLAG, AT(force), 0, 0, NULL,
	  "the operator decides who goes on" },
	{ 'x', "standby-is-dead", FLAG, AT(standby_is_dead), 0, 0, NULL,
	  "with --force: nobody will ever take over from the standby" },
	{ 'c', "fence", TEXT, AT(fence), 0, 0, "COMMAND",
	  "run before taking over; exit 0: the primary can do nothing more" },
	{ 'e', "max-epoch", NUMBER, AT(max_epoch_ms), MAX_EPOCH_MS_MIN,
	  MAX_EPOCH_MS_MAX, "MS", "longest epoch without output" },
	{ 'd', "dirty-limit", NUMBER, AT(dirty_limit), DIRTY_LIMIT_MIN,
	  DIRTY_LIMIT_MAX, "PAGES", "dirty pages that end an epoch" },
	{ 's', "staging", NUMBER, AT(staging_mib), STAGING_MIB_MIN,
	  STAGING_MIB_MAX, "MIB", "largest checkpoint taken, decoded" },
	{ 'b', "heartbeat", NUMBER, AT(heartbeat_ms), HEARTBEAT_MS_MIN,
	  HEARTBEAT_MS_MAX, "MS", "interval between heartbeats" },
	{ 'o', "timeout", NUMBER, AT(timeout_ms), TIMEOUT_MS_MIN,
	  TIMEOUT_MS_MAX, "MS", "silence that makes the peer suspected" },
	{ 'g', "grace", NUMBER, AT(grace_ms), GRACE_MS_MIN, GRACE_MS_MAX,
	  "MS", "wait between suspicion and fence" },
	{ 'k', "codec-cache", NUMBER, AT(codec_cache_mib), CODEC_CACHE_MIB_MIN,
	  CODEC_CACHE_MIB_MAX, "MIB",
	  "pages kept, so that only what changed in them is sent" },
	{ 'w', "unsafe-storage", FLAG, AT(unsafe_storage), 0, 0, NULL,
	  "disks on any storage, fenced or not: data may be lost" },
	{ 'L', "listen", SERVE, 0, 0, 0, "ADDR[:PORT]",
	  "be the other end; uses the next port, too" },
	{ 'z', "size", NUMBER, AT(bench_size_mib), BENCH_SIZE_MIB_MIN,
	  BENCH_SIZE_MIB_MAX, "MIB", "memory of the guest" },
	{ 'N', "pages", NUMBER, AT(bench_pages), BENCH_PAGES_MIN,
	  BENCH_PAGES_MAX, "PAGES", "that change between two checkpoints" },
	{ 'a', "pattern", TEXT, AT(pattern), 0, 0, "NAME",
	  "one only: zero, same, sparse, text or random" },
	{ 'r', "rate", NUMBER, AT(bench_rate), BENCH_RATE_MIN, BENCH_RATE_MAX,
	  "MB/S", "send no faster; 0: as fast as it goes" },
	{ 'i', "rounds", NUMBER, AT(bench_rounds), BENCH_ROUNDS_MIN,
	  BENCH_ROUNDS_MOST, "N", "of which the median counts" },
	{ 'S', "seed", NUMBER, AT(bench_seed), 0, UINT32_MAX, "N",
	  "of the guest's contents" },
	{ 'J', "json", TEXT, AT(json_file), 0, 0, "FILE",
	  "write the figures there, too" },
	{ 'u', "unsafe-policy", POLICY, AT(unsafe), 0, 0, "none|hold",
	  "weaken the output rule, for proofs that it matters" },
};

enum { OPTS = sizeof(table) / sizeof(table[0]) };

static const struct options defaults = {
	.port = KEMARI_PORT,
	.tls_ca = TLS_DIR "/ca.pem",
	.tls_cert = TLS_DIR "/host.pem",
	.tls_key = TLS_DIR "/host.key",
	.max_epoch_ms = MAX_EPOCH_MS_DEFAULT,
	.dirty_limit = DIRTY_LIMIT_DEFAULT,
	.staging_mib = STAGING_MIB_DEFAULT,
	.heartbeat_ms = HEARTBEAT_MS_DEFAULT,
	.timeout_ms = TIMEOUT_MS_DEFAULT,
	.grace_ms = GRACE_MS_DEFAULT,
	.codec_cache_mib = CODEC_CACHE_MIB_DEFAULT,
	.bench_size_mib = BENCH_SIZE_MIB_DEFAULT,
	.bench_pages = BENCH_PAGES_DEFAULT,
	.bench_rounds = BENCH_ROUNDS_DEFAULT,
	.bench_seed = 1,
};

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT; a bare IPv6 address too. */
static int address(const char *text, struct options *o)
{
	const char *host = text, *end, *port = NULL;
	size_t n;

	if (*text == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -1;
		if (end[1])
			port = end + 2;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port = end + 1;
		else
			end = text + strlen(text);
	}
	n = end - host;
	if (!n || n >= OPTIONS_HOST_MAX)
		return -1;
	memcpy(o->host, host, n);
	o->host[n] = '\0';
	if (port) {
		unsigned long v;
		char *rest;

		errno = 0;
		v = strtoul(port, &rest, 10);
		if (*port < '0' || *port > '9' || *rest || v < 1 || v > 65535)
			return -1;
		snprintf(o->port, sizeof(o->port), "%lu", v);
	}
	return 0;
}

static int number(const struct opt *t, const char *text, uint32_t *out)
{
	unsigned long long v;
	char *rest;

	errno = 0;
	v = strtoull(text, &rest, 10);
	if (*text < '0' || *text > '9' || *rest || errno || v < t->min ||
	    v > t->max)
		return -1;
	*out = v;
	return 0;
}

/* Store the value of one option. */
static int take(const struct command *c, const struct opt *t,
		const char *text, struct options *o)
{
	char *at = (char *)o + t->at;

	switch (t->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case TEXT:
		if (!*text) {
			fprintf(stderr, "kemari %s: --%s is empty; it takes "
				"%s\n", c->name, t->name, t->value);
			return -1;
		}
		*(const char **)at = text;
		return 0;
	case NUMBER:
		if (!number(t, text, (uint32_t *)at))
			return 0;
		fprintf(stderr, "kemari %s: --%s %s: must be a whole number "
			"from %" PRIu32 " to %" PRIu32 " (%s)\n", c->name,
			t->name, text, t->min, t->max, t->value);
		return -1;
	case SERVE:
		o->serve = true;
		/* fall through */
	case ADDRESS:
		if (*o->host)
			break;
		if (!address(text, o))
			return 0;
		fprintf(stderr, "kemari %s: --%s %s: must be %s with a port "
			"from 1 to 65535; an IPv6 address with a port stands "
			"in brackets\n", c->name, t->name, text, t->value);
		return -1;
	case POLICY:
		if (!strcmp(text, "none"))
			o->unsafe = UNSAFE_POLICY_NONE;
		else if (!strcmp(text, "hold"))
			o->unsafe = UNSAFE_POLICY_HOLD;
		else
			break;
		return 0;
	}
	fprintf(stderr, "kemari %s: --%s %s: must be %s%s\n", c->name, t->name,
		text, t->value, t->kind == POLICY ? "" :
		", once, and the only address");
	return -1;
}

/* Rules that span options. */
static int whole(const struct command *c, const struct options *o)
{
	const char *rule = NULL;

	if (c->words > o->n_words) {
		fprintf(stderr, "kemari %s: %d arguments, it takes %s\n",
			c->name, o->n_words, c->args);
		return -1;
	}
	if (c->domain && !o->domain)
		rule = "a domain is needed: its name, ID or UUID";
	else if (strchr(c->letters, 'l') && !*o->host)
		rule = "--listen is needed: the address of the replication "
		       "network to listen on";
	else if (strchr(c->letters, 't') && strchr(c->letters, 'b') &&
		 !*o->host)
		rule = "--to is needed: the host that runs `kemari receive`";
	else if (o->plaintext && (o->peer || o->tls_ca != defaults.tls_ca ||
				  o->tls_cert != defaults.tls_cert ||
				  o->tls_key != defaults.tls_key))
		rule = "--plaintext goes without --peer and --tls-ca, "
		       "--tls-cert, --tls-key";
	else if (o->standby_is_dead && !o->force)
		rule = "--standby-is-dead goes with --force";
	else if (strchr(c->letters, 'b') && o->timeout_ms < 2 * o->heartbeat_ms)
		rule = "--timeout must be at least twice --heartbeat";
	if (!rule)
		return 0;
	fprintf(stderr, "kemari %s: %s\n", c->name, rule);
	return -1;
}

int options_parse(const struct command *c, int argc, char **argv,
		  struct options *o)
{
	struct option longs[OPTS + 1];
	int i, index, got, n = 0;

	memset(longs, 0, sizeof(longs));
	for (i = 0; i < OPTS; i++)
		if (strchr(c->letters, table[i].letter))
			longs[n++] = (struct option){
				.name = table[i].name,
				.has_arg = table[i].kind == FLAG ?
					   no_argument : required_argument,
				.val = i,
			};
	*o = defaults;
	opterr = 0;
	optind = 1;
	for (;;) {
		got = getopt_long(argc, argv, ":", longs, &index);
		if (got < 0)
			break;
		if (got == ':' || got == '?') {
			fprintf(stderr, "kemari %s: %s: %s\n", c->name,
				argv[optind - 1], got == ':' ?
				"needs a value" : "no such option here");
			return -1;
		}
		if (take(c, &table[got], optarg, o))
			return -1;
	}
	if (optind < argc && (c->domain || c->optional_domain))
		o->domain = argv[optind++];
	if (c->words) {
		o->words = argv + optind;
		o->n_words = argc - optind;
		optind = argc;
	}
	if (optind < argc) {
		fprintf(stderr, "kemari %s: %s: one argument too many\n",
			c->name, argv[optind]);
		return -1;
	}
	return whole(c, o);
}

void options_address(const struct options *o, char *out, size_t len)
{
	bool v6 = strchr(o->host, ':');

	snprintf(out, len, "%s%s%s:%s", v6 ? "[" : "", o->host, v6 ? "]" : "",
		 o->port);
}

void options_help(const struct command *c)
{
	char left[64];
	int i;

	for (i = 0; i < OPTS; i++) {
		const struct opt *t = &table[i];

		if (!strchr(c->letters, t->letter))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", t->name,
			 t->value ? " " : "", t->value ? t->value : "");
		printf("  %-26s %s", left, t->help);
		if (t->kind == NUMBER)
			printf(" (%" PRIu32 ")", *(const uint32_t *)
			       ((const char *)&defaults + t->at));
		if (t->kind == TEXT && *(const char *const *)
		    ((const char *)&defaults + t->at))
			printf(" (%s)", *(const char *const *)
			       ((const char *)&defaults + t->at));
		printf("\n");
	}
}
