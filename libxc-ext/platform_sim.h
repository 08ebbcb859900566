/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * platform_sim.h - hosts, a guest and an observer in this process
 *
 * A struct sim_world holds some hosts with clocks of their own, the domains
 * on them, and the outside: an observer who sees what leaves each host and
 * knows the rules.  Everything is drawn from one seed, time is virtual: only
 * sim_run() lets it pass, so a run is repeated by its seed.
 *
 * The guest is real in what matters here: it runs from its memory and its
 * registers alone.  It dirties pages, rewrites some with the same bytes,
 * clears some; keeps every page and their sum checksummed; prints numbered
 * lines on a console ring whose reader sees whatever is in the ring when it
 * looks; queues numbered requests on a disk ring and expects one answer to
 * each; writes xenstore nodes, some in transactions; reads the clock and
 * complains if it goes back.  The clock is part of what it prints, so a
 * repeated execution prints something else.
 *
 * Ports: console is hold-and-drain, disk is hold (fence it by gate_sim, or
 * leave it out with .disk = 0), store is not tapped.
 *
 * The whole world lives in one shared mapping: a process forked from the one
 * that made it works on the same world, and what it did stays when it is
 * killed.  Platforms and gates are private to the process that opened them.
 *
 * Hosts are numbers from 0.  Times are nanoseconds.
 */
#ifndef KEMARI_PLATFORM_SIM_H
#define KEMARI_PLATFORM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"

enum {
	SIM_HOSTS_MAX = 4,
	SIM_DOMAINS_MAX = 4,		/* of one host, at one time */
	SIM_VCPUS_MAX = 4,
	SIM_PAGES_MIN = 64,		/* of a guest */
	SIM_PAGES_MAX = 4096,
	SIM_OUTPUTS_MAX = 1 << 16,	/* of a world */
};

/* Where output leaves. */
enum sim_port {
	SIM_PORT_STORE = 1,		/* never output */
	SIM_PORT_CONSOLE = 2,
	SIM_PORT_DISK = 3,
	SIM_PORT_SHUTDOWN = 4,		/* no port: the guest's last word */
	SIM_PORTS,
};

/** struct sim_knobs - a world; rates are per mille of guest steps */
struct sim_knobs {
	uint32_t hosts;		/* 2..SIM_HOSTS_MAX */
	uint32_t pages;		/* SIM_PAGES_MIN..SIM_PAGES_MAX a guest */
	uint32_t vcpus;		/* 1..SIM_VCPUS_MAX */
	uint32_t host_pages;	/* memory of each host for guests */
	uint32_t step_ns;	/* one step of a guest, at least 1 */
	uint32_t writes;	/* pages written in a step, at most */
	uint32_t rewrite;	/* per mille of writes: same bytes again */
	uint32_t clear;		/* per mille of writes: page zeroed */
	uint32_t console;	/* prints a line */
	uint32_t disk;		/* queues a request */
	uint32_t quiet;		/* per mille of those: without an event, as
				 * the backend was awake */
	uint32_t idle;		/* sends on the disk's port for nothing */
	uint32_t store;		/* begins a xenstore write */
	uint32_t transaction;	/* per mille of those: a transaction that
				 * needs the guest to run on */
	uint32_t console_ns;	/* from notification to reading the ring */
	uint32_t disk_ns;	/* a request's execution */
	uint32_t store_ns;	/* a xenstore write */
	int32_t drift_ppm;	/* of odd hosts' clocks; within +-100000 */
	bool no_tap;		/* unsafe: nothing is held */
	bool no_drain;		/* unsafe: console is hold only */
};

/** sim_knobs_default() - Two hosts, 256 pages, everything happens */
struct sim_knobs sim_knobs_default(void);

struct sim_world;

/**
 * sim_world_new() - Hosts, switched on and empty
 * @knobs:	NULL for the default
 * Return: freed by sim_world_free(), or NULL: EINVAL, ENOMEM, EMFILE
 */
struct sim_world *sim_world_new(uint64_t seed, const struct sim_knobs *knobs);
void sim_world_free(struct sim_world *w);

/** sim_knobs() - The world's knobs; rates may be changed at any time */
struct sim_knobs *sim_knobs(struct sim_world *w);

/**
 * sim_start() - Start a guest on @host, running and unprotected
 * @name:	Unique in the world: it stands for the guest's identity
 * Return: 0, or -1: EADDRINUSE @domid is taken there, ENOMEM, EIO host is off
 */
int sim_start(struct sim_world *w, unsigned int host, const char *name,
	      uint32_t domid);

/**
 * platform_open_sim() - Open a domain of a simulated host
 * @domain:	Name or decimal domain ID; NULL for a standby yet to be built
 * @why:	As platform_open_xen()
 * Return: 0, or -1: ENOENT no such domain, EIO the host is off, ENOMEM
 */
int platform_open_sim(struct platform **out, struct sim_world *w,
		      unsigned int host, const char *domain, char *why);

/** sim_run() - Let @ns pass: guests, backends and clocks go on */
void sim_run(struct sim_world *w, uint64_t ns);

/**
 * sim_run_to_event() - Let up to @ns pass, until an event waits for a
 *			platform, or for a gate whose event_fd was asked for
 * Return: whether one waits; so it may be at once
 */
bool sim_run_to_event(struct sim_world *w, uint64_t ns);

/** sim_now() - Time of the world, since its beginning; no host shows it */
uint64_t sim_now(const struct sim_world *w);

/** sim_host_now() - The clock of @host, like ops->now_ns; stands if off */
uint64_t sim_host_now(const struct sim_world *w, unsigned int host);

/**
 * sim_power_off() - Cut the power of @host
 *
 * Its guests and backends do no more.  Every call on its platforms and gates
 * fails with EIO, but close; pointers they gave stay valid and mean nothing.
 */
void sim_power_off(struct sim_world *w, unsigned int host);

/* What a toolstack or a bad day does to domain @domid of @host.
 * Each: 0, or -1 with ENOENT. */

/** sim_shutdown() - The guest asks for @reason (SHUTDOWN_*) in its next step */
int sim_shutdown(struct sim_world *w, unsigned int host, uint32_t domid,
		 uint32_t reason);
/** sim_destroy() - xl destroy */
int sim_destroy(struct sim_world *w, unsigned int host, uint32_t domid);
/** sim_lose_dirty() - Dirty information is lost */
int sim_lose_dirty(struct sim_world *w, unsigned int host, uint32_t domid);
/** sim_extra_frame() - A frame of memory comes, or goes again; track() fails
 *		       with EXDEV while it is there */
int sim_extra_frame(struct sim_world *w, unsigned int host, uint32_t domid,
		    bool there);
/** sim_other_rings() - The guest connects its disk anew, on another port;
 *			settled() fails with EXDEV from then on */
int sim_other_rings(struct sim_world *w, unsigned int host, uint32_t domid);
/** sim_ineligible() - check() gives @reason; NULL: no more. Kept, not copied */
int sim_ineligible(struct sim_world *w, unsigned int host, uint32_t domid,
		   const char *reason);

/** struct sim_domain_info - what an omniscient test may look at */
struct sim_domain_info {
	bool running;		/* would execute if time passed */
	uint64_t steps;		/* executed by the guest, in its own memory */
	uint64_t printed;	/* lines printed, in its own memory */
	uint64_t queued;	/* disk requests, in its own memory */
	uint64_t digest;	/* of all its memory */
};
int sim_domain_info(const struct sim_world *w, unsigned int host,
		    uint32_t domid, struct sim_domain_info *out);

/** struct sim_output - something that left a host */
struct sim_output {
	char guest[PLATFORM_NAME_MAX];
	uint64_t when;		/* sim_now() */
	uint64_t seq;		/* number of this guest on this port, from 1 */
	uint64_t content;
	uint64_t generation;	/* of the protection, 0 unprotected */
	uint64_t epoch;		/* in which it was produced, 0 unprotected */
	uint32_t host;
	uint32_t port;		/* enum sim_port */
};

/**
 * sim_outputs() - All that left, in order
 * @out:	Points into the world
 * Return: how many
 */
size_t sim_outputs(const struct sim_world *w, const struct sim_output **out);

/**
 * sim_check() - Is the world as it should be?
 *
 * Looks at every guest that may run, and remembers what happened before:
 * output before its release, output that the state that continues does not
 * know (missing or contradicted), two runners, a guest revived after its
 * shutdown, damaged memory, a request answered twice or never, a clock that
 * went back, store nodes that the guest did not write.
 *
 * Return: NULL, or the first violation as a sentence, which stays
 */
const char *sim_check(struct sim_world *w);

#endif
