/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sim_int.h - the simulated world from inside; for sim_*.c and gate_sim.c
 *
 * Everything here lies in the world's shared mapping: pointers are good in
 * every process that was forked from its maker.
 */
#ifndef KEMARI_SIM_INT_H
#define KEMARI_SIM_INT_H

#include "backends/gate_order.h"
#include "libxc-ext/platform_sim.h"

/* --- layout of a guest ---------------------------------------------------
 * Frames [0, pages - SIM_SPECIALS) are its memory, frame 0 its own notes; the
 * special ones lie far above, as they do on a real machine. */
enum {
	SIM_SPECIALS = 4,
	SIM_SPECIAL_GFN = 0xfeff8,
	SIM_NODES = 8,		/* xenstore nodes that the guest may write;
				 * value 0: there is none */
	SIM_LINES = 32,		/* slots of the console ring */
	SIM_REQUESTS = 16,	/* slots of the disk ring */
	SIM_PAGE_WORDS = PLATFORM_PAGE / 8,
	SIM_FENCES = 4,		/* epochs captured and not released */
	SIM_WHY_MAX = 256,
};

enum sim_special { SIM_SHARED, SIM_CONSOLE, SIM_STORE, SIM_DISK };

/** struct sim_regs - a virtual processor; equals its copy in sim_notes */
struct sim_regs {
	uint64_t rng;
	uint64_t steps;
	uint64_t last_time;	/* guest time of its last step */
	uint64_t zero;
};

/** struct sim_notes - frame 0 */
struct sim_notes {
	uint64_t magic;
	uint64_t sum;		/* of all pages' checks */
	uint64_t chain;		/* digest of what it did and when */
	uint64_t printed;	/* last line's number */
	uint64_t queued;	/* last request's number */
	uint64_t answered;	/* last answer's number */
	uint64_t node[SIM_NODES];
	uint64_t want_index, want_value;	/* request under way */
	uint64_t transaction;	/* open, and left open for so many steps */
	struct sim_regs vcpu[SIM_VCPUS_MAX];
	uint64_t clock_back;	/* the clock went back */
	uint64_t bad_answer;	/* number of the answer that was expected */
	uint64_t bad_store;	/* xenstore lost a transaction or an answer */
};

/** struct sim_page - all other frames of its memory, or all zeroes */
struct sim_page {
	uint64_t index;
	uint64_t version;
	uint64_t check;		/* sim_body_check() of body */
	uint64_t body[SIM_PAGE_WORDS - 3];
};

/** struct sim_shared - written by the host behind log-dirty's back */
struct sim_shared {
	uint64_t pending;	/* bit per sim_port */
};

struct sim_slot {
	uint64_t seq, content;
};

struct sim_console {
	uint64_t prod;		/* guest's */
	uint64_t cons;		/* the reader's */
	struct sim_slot line[SIM_LINES];
};

struct sim_disk {
	uint64_t req_prod;	/* guest's */
	uint64_t rsp_prod;	/* the backend's; answers replace requests */
	uint64_t rsp_cons;	/* guest's */
	struct sim_slot slot[SIM_REQUESTS];
};

struct sim_store {
	uint64_t req_prod;	/* guest's */
	uint64_t req_cons;	/* the daemon's */
	uint64_t rsp_prod;	/* the daemon's */
	uint64_t rsp_cons;	/* guest's */
	uint64_t index, value;	/* of the one request there can be */
};

/* --- host side ---------------------------------------------------------- */

enum sim_life { SIM_FREE, SIM_LIVE, SIM_GONE };

/** struct sim_fence - the host's side of gate_sim */
struct sim_fence {
	struct gate_order order;
	bool closed;		/* there is a fence */
	bool met;		/* the backend met it, and nobody was told */
	bool watched;		/* somebody waits for that */
	uint64_t seen;		/* req_prod, when it was met last */
	uint64_t fence;		/* requests up to here may be executed */
	uint64_t mark[SIM_FENCES];	/* ... once this epoch is released */
	uint64_t mark_epoch[SIM_FENCES];
	uint64_t marks_of;	/* generation that captured them */
	uint32_t marks;
};

/** struct sim_domain - one domain of one host */
struct sim_domain {
	enum sim_life life;
	uint64_t serial;	/* of this incarnation, unique in the world */
	uint32_t domid;
	uint32_t host;
	uint32_t guest;		/* index of its struct sim_guest */
	uint32_t pages, vcpus;
	uint8_t *mem;		/* pages frames, by sim_index() */

	struct sim_regs vcpu[SIM_VCPUS_MAX];
	uint64_t time_offset;	/* guest time = host clock + this */
	uint64_t node[SIM_NODES];
	bool transaction;	/* open in the store */
	bool nodes_known;	/* node_saved is of the last save() */
	uint64_t node_saved[SIM_NODES];
	uint64_t node_before[SIM_NODES];	/* ... and of the one before */
	uint64_t node_epoch;	/* in which it was */
	uint32_t next_vcpu;
	uint32_t told;		/* 1 + reason: shutdown to be asked for */
	const char *ineligible;

	/* Kemari. */
	enum platform_role role;
	enum platform_mode mode;
	bool stopped;
	bool lost;
	bool other_rings;	/* than when it was protected */
	bool extra_frame;	/* one that nobody knew of at the build */
	bool tracking;
	bool loaded;		/* standby */
	uint64_t generation, running, captured, released;
	uint64_t dirty_limit, dirty, taps;
	uint32_t held_running, held_captured;	/* bit per sim_port */
	uint32_t policy_hold, policy_drain;	/* ditto */
	uint32_t shutdown;	/* 1 + reason: held */
	uint64_t shutdown_epoch;
	uint64_t console_prod;	/* at the last begin */
	uint64_t line_epoch[SIM_LINES];		/* of what is in the ring */
	uint64_t request_epoch[SIM_REQUESTS];
	uint64_t dirty_map[SIM_PAGES_MAX / 64];
	bool special_known;	/* special_sum is of the last harvest */
	uint64_t special_sum[SIM_SPECIALS];
	bool watched;		/* a primary's platform is open */
	int event_fd;
	int events;		/* enum platform_event */
	int gate_fd;		/* readable: .gate.met */

	/* Backends: when they act next on the host's clock, 0 idle. */
	uint64_t console_at, store_at, disk_at;
	uint64_t disk_taken;	/* requests executed, by ring index */
	struct sim_fence gate;
};

struct sim_host {
	bool on;
	uint64_t boot_offset;
	uint64_t stopped_at;	/* clock when the power went */
	uint32_t pages_used;
	uint8_t uuid[16], boot_id[16];
	struct sim_domain domain[SIM_DOMAINS_MAX];
};

/** struct sim_guest - a guest's identity, and what the observer saw of it */
struct sim_guest {
	char name[PLATFORM_NAME_MAX];
	uint8_t uuid[16];
	uint64_t runner;		/* serial of the domain that may run */
	uint64_t left[SIM_PORTS];	/* highest number that left */
	uint64_t known[SIM_PORTS];	/* ... known to the runner when it
					 * took over */
	uint64_t content[SIM_PORTS][SIM_OUTPUTS_MAX];	/* by number */
};

struct sim_world {
	size_t bytes;		/* of the mapping */
	struct sim_knobs knobs;
	uint64_t rng;
	uint64_t now;
	uint64_t serial;
	uint32_t guests;
	char violation[SIM_WHY_MAX];
	struct sim_host host[SIM_HOSTS_MAX];
	struct sim_guest guest[SIM_DOMAINS_MAX];
	size_t outputs;
	struct sim_output output[SIM_OUTPUTS_MAX];
};

/* --- sim_world.c -------------------------------------------------------- */

uint64_t sim_random(uint64_t *state);
uint64_t sim_mix(uint64_t h, uint64_t v);
uint64_t sim_hash(const void *bytes, size_t len);	/* len % 8 == 0 */

/** sim_domain_at() - Live domain @domid of a host that is on, or NULL */
struct sim_domain *sim_domain_at(struct sim_world *w, unsigned int host,
				 uint32_t domid);

/** sim_domain_new() - A live, empty domain, or NULL: EADDRINUSE, ENOMEM,
 *		       ENOSPC no slot */
struct sim_domain *sim_domain_new(struct sim_world *w, unsigned int host,
				  uint32_t guest, uint32_t domid,
				  uint32_t pages, uint32_t vcpus);
/** sim_domain_free() - It goes; event PLATFORM_EV_GONE stays behind */
void sim_domain_free(struct sim_world *w, struct sim_domain *d);

/** sim_raise(), sim_drain() - Event fd readable, no more readable */
void sim_raise(struct sim_domain *d, int event);
void sim_drain(struct sim_domain *d);
/** sim_meet(), sim_met() - The backend met the fence; did it, since the last
 *			    call? */
void sim_meet(struct sim_domain *d);
bool sim_met(struct sim_domain *d);
bool sim_runs(const struct sim_world *w, const struct sim_domain *d);
uint64_t sim_guest_time(const struct sim_world *w, const struct sim_domain *d);

/** sim_index() - Place of @gfn in .mem, or -1 */
int64_t sim_index(const struct sim_domain *d, uint64_t gfn);
uint64_t sim_gfn(const struct sim_domain *d, uint32_t index);
/** sim_frame() - By place in .mem */
void *sim_frame(const struct sim_domain *d, uint32_t index);
void *sim_special(const struct sim_domain *d, enum sim_special which);

/* --- sim_guest.c -------------------------------------------------------- */

/** sim_guest_boot() - Fill the memory of a new guest */
void sim_guest_boot(struct sim_world *w, struct sim_domain *d);
/** sim_guest_step() - Execute one step of one vCPU */
void sim_guest_step(struct sim_world *w, struct sim_domain *d);
/** sim_guest_verify() - Is the memory, with the registers, that of a guest
 *			 between two steps?  NULL, or what is wrong, into @why
 *			 of SIM_WHY_MAX bytes */
const char *sim_guest_verify(const struct sim_domain *d, char *why);
/** sim_answer() - What the disk answers to request @seq */
uint64_t sim_answer(uint64_t seq);
/** sim_touch() - The guest is about to write frame @index */
void *sim_touch(struct sim_domain *d, uint32_t index);

/* --- sim_backend.c ------------------------------------------------------ */

/** sim_send() - The guest sends on @port: held, or delivered */
void sim_send(struct sim_world *w, struct sim_domain *d, enum sim_port port);
/** sim_deliver() - The remote end of each port of @set (bits) is notified */
void sim_deliver(struct sim_world *w, struct sim_domain *d, uint32_t set);
/** sim_ask_shutdown(), sim_perform_shutdown() - held first if protected */
void sim_ask_shutdown(struct sim_world *w, struct sim_domain *d,
		      uint32_t reason);
void sim_perform_shutdown(struct sim_world *w, struct sim_domain *d);
/** sim_backends_run() - Console reader, store and disk do what is due */
void sim_backends_run(struct sim_world *w, struct sim_domain *d);
/** sim_backends_attach() - Backends of a domain that just became live here */
void sim_backends_attach(struct sim_world *w, struct sim_domain *d);

/* --- sim_observe.c ------------------------------------------------------ */

void sim_violation(struct sim_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** sim_leave() - Number @seq of @port, produced in @epoch, leaves the host of
 *		  @d, where @released epochs are released */
void sim_leave(struct sim_world *w, struct sim_domain *d, enum sim_port port,
	       const struct sim_slot *what, uint64_t epoch, uint64_t released);
/** sim_took_over() - @d is the one that continues from now on */
void sim_took_over(struct sim_world *w, struct sim_domain *d);

/* --- sim_state.c -------------------------------------------------------- */

/** struct sim_shell - what build() needs, from a checked record */
struct sim_shell {
	uint8_t uuid[16];
	char name[PLATFORM_NAME_MAX];
	uint32_t domid, vcpus, pages, zero;
};

int sim_shell_save(const struct sim_world *w, const struct sim_domain *d,
		   struct recbuf *out);
/** sim_shell_parse() - 0, or -1 with EPROTO and platform_why() */
int sim_shell_parse(struct platform *p, const void *records, size_t len,
		    struct sim_shell *out);
int sim_state_save(struct sim_world *w, struct sim_domain *d,
		   enum platform_phase phase, struct recbuf *out);

/** struct sim_state - a checkpoint's records, checked */
struct sim_state {
	struct sim_regs vcpu[SIM_VCPUS_MAX];
	uint64_t node[SIM_NODES];
	uint64_t ports;			/* bit per sim_port */
	uint64_t transaction;
	uint64_t guest_time;
};

/** sim_state_parse() - 0, or -1 with EPROTO and platform_why() */
int sim_state_parse(struct platform *p, const struct sim_domain *d,
		    const void *records, size_t len, struct sim_state *out);
void sim_state_load(const struct sim_world *w, struct sim_domain *d,
		    const struct sim_state *s, uint64_t guest_time);

/* --- platform_sim.c, sim_primary.c, sim_standby.c ------------------------ */

/** struct sim_platform - private to a process */
struct sim_platform {
	struct platform base;
	struct sim_world *world;
	unsigned int host;
	struct sim_domain *domain;	/* NULL: standby not built */
	uint64_t serial;
	bool standby;			/* opened without a domain */
};

/** sim_dom() - The live domain of @p, or NULL with errno EIO, ESRCH, ENOENT */
struct sim_domain *sim_dom(struct platform *p);

/* Operations of the table in platform_sim.c. */
int sim_check_eligible(struct platform *p, const char **reasons,
		       size_t *n);
int sim_rings(struct platform *p, struct platform_ring *out, size_t *n);
int sim_describe(struct platform *p, struct recbuf *out);
int sim_enable(struct platform *p, uint64_t generation,
	       enum platform_mode mode, uint64_t dirty_limit);
int sim_disable(struct platform *p, uint64_t generation);
int sim_track(struct platform *p);
int sim_event_fd(struct platform *p);
int sim_events(struct platform *p);
int sim_stop(struct platform *p);
int sim_held(struct platform *p, uint32_t *port, size_t *n);
int sim_deliver_held(struct platform *p, uint64_t generation, uint32_t port);
int sim_go(struct platform *p);
int sim_settled(struct platform *p);
int sim_begin(struct platform *p, uint64_t generation, uint64_t epoch,
	      bool merge);
int sim_harvest(struct platform *p, uint64_t *gfn, size_t cap,
		size_t *n);
const void *sim_page(struct platform *p, uint64_t gfn);
int sim_save(struct platform *p, enum platform_phase phase,
	     struct recbuf *out);
int sim_guest_clock(struct platform *p, uint64_t *ns);
int sim_release(struct platform *p, uint64_t generation, uint64_t epoch);
int sim_drained(struct platform *p);

int sim_build(struct platform *p, uint64_t generation, const void *records,
	      size_t len);
int sim_attach(struct platform *p, const void *records, size_t len);
void *sim_page_rw(struct platform *p, uint64_t gfn);
int sim_verify(struct platform *p, const void *records, size_t len);
int sim_rehearse(struct platform *p, const void *records, size_t len);
int sim_load(struct platform *p, const void *records, size_t len,
	     uint64_t guest_time);
int sim_served(struct platform *p);
int sim_activate(struct platform *p, uint64_t generation,
		 uint64_t new_generation);
int sim_destroy_shell(struct platform *p);

#endif
