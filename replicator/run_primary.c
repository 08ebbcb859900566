// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run_primary.c - kemari protect: drives primary.c from libevent
 *
 * The supervisor holds the outbox and the facts of the command line; a worker
 * opens everything else anew in each life.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <event2/event.h>

#include "backends/gate.h"
#include "libxc-ext/platform.h"
#include "replicator/commands.h"
#include "replicator/control.h"
#include "replicator/eligible.h"
#include "replicator/link.h"
#include "replicator/link_tcp.h"
#include "replicator/options.h"
#include "replicator/outbox.h"
#include "replicator/primary.h"
#include "replicator/run.h"
#include "replicator/status.h"
#include "replicator/status_print.h"
#include "replicator/supervise.h"
#include "replicator/tls.h"

enum {
	RECONNECT_MS = 500,
	ATTACH_TRIES = 20,
	OUTBOX_PAGES = 1 << 15,		/* 128 MiB, unless --dirty-limit */
	OUTBOX_RESERVE = 1 << 13,	/* always-copy set, late writes */
	PAGES_PER_MIB = 256,
	NS_PER_MS = 1000000,
};

struct protect {
	const struct options *o;
	int outbox_fd;
	struct tls *tls;		/* NULL: plaintext */
	uint8_t session[16];
	char address[OPTIONS_HOST_MAX + OPTIONS_PORT_MAX + 4];

	/* of this life */
	unsigned int life;
	struct event_base *base;
	struct platform *platform;
	struct gate *gate;
	struct outbox *outbox;
	struct primary *primary;
	struct report report;
	struct control *control;
	struct control_call *leaving;	/* unprotect waits for the outcome */
	struct link *link;		/* NULL: to be connected */
	bool ever_up;
	struct event *ev_platform, *ev_gate;
	struct event *ev_reconnect, *ev_term, *ev_int;
	struct run_timer *timer;
	enum status_state shown;
};

static void proceed(struct protect *r);

/* --- the link ------------------------------------------------------------ */

static void on_message(void *arg, const void *bytes, size_t len)
{
	struct protect *r = arg;

	r->ever_up = true;
	primary_message(r->primary, bytes, len);
	proceed(r);
}

static void on_writable(void *arg)
{
	struct protect *r = arg;

	primary_writable(r->primary);
	proceed(r);
}

static void reconnect_later(struct protect *r)
{
	const struct timeval tv = {
		.tv_usec = (suseconds_t)RECONNECT_MS * 1000,
	};

	evtimer_add(r->ev_reconnect, &tv);
}

static void on_closed(void *arg, int err, const char *why)
{
	struct protect *r = arg;
	bool hopeless;

	primary_link_down(r->primary, err, why);
	hopeless = !r->ever_up && !r->life &&
		   primary_outcome(r->primary) == PRIMARY_GOING;
	if (hopeless)
		fprintf(stderr, "kemari protect: %s: no answer from `kemari "
			"receive` there: %s; the guest runs on unprotected\n",
			r->address, why);
	/* @why goes with the link. */
	r->link->ops->close(r->link);
	r->link = NULL;
	if (hopeless) {
		event_base_loopbreak(r->base);
		return;
	}
	reconnect_later(r);
	proceed(r);
}

static void on_reconnect(evutil_socket_t fd, short what, void *arg)
{
	struct protect *r = arg;
	char why[LINK_TCP_WHY_MAX];

	(void)fd;
	(void)what;
	if (r->link)
		return;
	r->link = link_tcp_connect(r->base, r->tls, r->address, why);
	if (!r->link) {
		int err = errno;

		if (!r->ever_up && !r->life) {
			fprintf(stderr, "kemari protect: --to %s: %s\n",
				r->address, why);
			event_base_loopbreak(r->base);
			return;
		}
		primary_link_down(r->primary, err, why);
		reconnect_later(r);
		proceed(r);
		return;
	}
	r->link->handler = (struct link_handler){
		on_message, on_closed, on_writable, r
	};
	primary_link_up(r->primary, r->link);
	proceed(r);
}

/* --- everything else that happens ---------------------------------------- */

static void on_platform(evutil_socket_t fd, short what, void *arg)
{
	struct protect *r = arg;

	(void)fd;
	(void)what;
	primary_platform_event(r->primary);
	proceed(r);
}

static void on_gate(evutil_socket_t fd, short what, void *arg)
{
	struct protect *r = arg;

	(void)fd;
	(void)what;
	primary_gate_event(r->primary);
	proceed(r);
}

static void on_tick(void *arg)
{
	struct protect *r = arg;

	primary_tick(r->primary);
	proceed(r);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct protect *r = arg;

	(void)what;
	printf("kemari protect: %s: ending the protection\n", strsignal(sig));
	if (primary_unprotect(r->primary, false) && errno != EALREADY)
		fprintf(stderr, "kemari protect: cannot end it: %s\n",
			strerror(errno));
	proceed(r);
}

static struct status_facts facts(const struct protect *r)
{
	static const char *const policy[] = {
		[UNSAFE_NOTHING] = "hold-and-drain",
		[UNSAFE_POLICY_NONE] = "none",
		[UNSAFE_POLICY_HOLD] = "hold",
	};

	return (struct status_facts){
		.peer = r->address,
		.transport = run_transport(r->link, r->tls),
		.policy = policy[r->o->unsafe], .life = r->life,
		.unsafe_storage = r->o->unsafe_storage,
	};
}

static void on_control(void *arg, struct control_call *call, const char *line)
{
	struct protect *r = arg;
	struct status_facts f = facts(r);
	struct run_request q;
	struct status s;

	primary_status(r->primary, &s);
	if (!run_request(line, &q)) {
		control_answer(call, false, "malformed request");
	} else if (!run_is(&s.guest, q.domain)) {
		control_answer(call, false, RUN_NOT_MINE);
	} else if (!strcmp(q.verb, "status")) {
		run_answer_status(call, q.flag, &s, &f);
	} else if (!strcmp(q.verb, "unprotect")) {
		if (r->leaving) {
			control_answer(call, false, "is being unprotected");
		} else if (primary_unprotect(r->primary,
					     !strcmp(q.flag, "dead"))) {
			control_answer(call, false, strerror(errno));
		} else {
			r->leaving = call;
			proceed(r);
		}
	} else if (!strcmp(q.verb, "failover")) {
		control_answer(call, false, "this host is the primary: fail "
			       "over on the secondary");
	} else {
		control_answer(call, false, "no such request");
	}
}

/* @ev waits for @fd from now on; -1: for nothing. */
static void watch(struct protect *r, struct event **ev, int fd,
		  event_callback_fn then)
{
	if (*ev ? event_get_fd(*ev) == fd : fd < 0)
		return;
	if (*ev)
		event_free(*ev);
	*ev = fd < 0 ? NULL :
		event_new(r->base, fd, EV_READ | EV_PERSIST, then, r);
	if (*ev)
		event_add(*ev, NULL);
}

/* The platform's fd exists while the tap does; the gate's is readable for
 * nothing when it is open. */
static void watch_guest(struct protect *r)
{
	watch(r, &r->ev_platform, r->platform->ops->event_fd(r->platform),
	      on_platform);
	watch(r, &r->ev_gate, primary_gate_is_shut(r->primary) ?
	      r->gate->ops->event_fd(r->gate) : -1, on_gate);
}

/* After every event: say what changed, set the timer, see if it is over. */
static void proceed(struct protect *r)
{
	struct status s;

	primary_state(r->primary, &s);
	if (s.state != r->shown) {
		r->shown = s.state;
		printf("kemari protect: %s: %s%s%s%s%s\n", s.guest.name,
		       status_state_str(s.state), *s.reason ? " (" : "",
		       s.reason, *s.reason ? "): " : ": ", s.detail);
	}
	if (primary_outcome(r->primary) != PRIMARY_GOING)
		event_base_loopbreak(r->base);
	else
		watch_guest(r);
	run_timer_set(r->timer, primary_deadline(r->primary),
		      r->platform->ops->now_ns(r->platform));
}

/* --- a life --------------------------------------------------------------- */

static struct event *signal_event(struct protect *r, int sig)
{
	struct event *ev = evsignal_new(r->base, sig, on_signal, r);

	if (ev)
		evsignal_add(ev, NULL);
	return ev;
}

static int open_guest(struct protect *r)
{
	char why[PLATFORM_WHY_MAX];

	if (platform_open_xen(&r->platform, r->o->domain, why)) {
		fprintf(stderr, "kemari protect: %s: %s\n", r->o->domain, why);
		return -1;
	}
	if (r->o->unsafe_storage)
		platform_xen_storage(r->platform, PLATFORM_XEN_UNSAFE);
	if (r->o->unsafe == UNSAFE_POLICY_NONE)
		platform_xen_unsafe(r->platform, PLATFORM_XEN_NO_TAP);
	else if (r->o->unsafe == UNSAFE_POLICY_HOLD)
		platform_xen_unsafe(r->platform, PLATFORM_XEN_NO_DRAIN);
	return 0;
}

static int open_engine(struct protect *r)
{
	uint64_t limit = r->o->dirty_limit;
	struct primary_config c;
	char why[PLATFORM_WHY_MAX];

	r->gate = eligible_gate(r->platform, why);
	if (!r->gate) {
		fprintf(stderr, "kemari protect: %s: %s\n", r->o->domain, why);
		return -1;
	}
	r->outbox = outbox_open(r->outbox_fd, limit ? limit + OUTBOX_RESERVE :
				OUTBOX_PAGES);
	if (!r->outbox) {
		fprintf(stderr, "kemari protect: outbox: %s\n",
			strerror(errno));
		return -1;
	}
	primary_config_default(&c);
	c.mode = PLATFORM_SYNC;
	c.max_epoch = (uint64_t)r->o->max_epoch_ms * NS_PER_MS;
	c.dirty_limit = limit;
	c.heartbeat = (uint64_t)r->o->heartbeat_ms * NS_PER_MS;
	c.silence = (uint64_t)r->o->timeout_ms * NS_PER_MS;
	c.codec_cache = (size_t)r->o->codec_cache_mib * PAGES_PER_MIB;
	memcpy(c.session, r->session, sizeof(c.session));
	r->report = run_report("protect");
	r->primary = primary_new(r->platform, r->gate, r->outbox, &c,
				 &r->report);
	return r->primary ? 0 : -1;
}

static int open_loop(struct protect *r)
{
	struct platform_info info;
	char why[CONTROL_LINE_MAX];

	r->base = event_base_new();
	if (!r->base || r->platform->ops->info(r->platform, &info)) {
		fprintf(stderr, "kemari protect: %s\n",
			r->base ? platform_why(r->platform) : "no event loop");
		return -1;
	}
	r->control = control_open(r->base, info.name, on_control, r, why,
				  sizeof(why));
	if (!r->control) {
		fprintf(stderr, "kemari protect: %s\n", why);
		return -1;
	}
	r->timer = run_timer_new(r->base, on_tick, r);
	r->ev_reconnect = evtimer_new(r->base, on_reconnect, r);
	r->ev_term = signal_event(r, SIGTERM);
	r->ev_int = signal_event(r, SIGINT);
	return r->timer && r->ev_reconnect && r->ev_term && r->ev_int ? 0 : -1;
}

static void close_all(struct protect *r)
{
	control_close(r->control);
	if (r->link)
		r->link->ops->close(r->link);
	if (r->ev_platform)
		event_free(r->ev_platform);
	if (r->ev_gate)
		event_free(r->ev_gate);
	if (r->ev_reconnect)
		event_free(r->ev_reconnect);
	if (r->ev_term)
		event_free(r->ev_term);
	if (r->ev_int)
		event_free(r->ev_int);
	run_timer_free(r->timer);
	if (r->primary)
		primary_free(r->primary);
	if (r->outbox)
		outbox_close(r->outbox);
	if (r->gate)
		r->gate->ops->close(r->gate);
	if (r->platform)
		r->platform->ops->close(r->platform);
	if (r->base)
		event_base_free(r->base);
}

/* What became of it, for people and the exit status. */
static int conclude(struct protect *r)
{
	enum primary_outcome out = primary_outcome(r->primary);
	bool ok = out == PRIMARY_UNPROTECTED || out == PRIMARY_ENDED;
	struct status s;
	char text[256];

	primary_status(r->primary, &s);
	snprintf(text, sizeof(text), "%s: %s\n", s.guest.name,
		 primary_outcome_str(out));
	if (r->leaving)
		control_answer(r->leaving, ok, text);
	if (out != PRIMARY_GOING)	/* else it has been said why */
		fprintf(ok ? stdout : stderr, "kemari protect: %s%s%s", text,
			*s.detail ? s.detail : "", *s.detail ? "\n" : "");
	return ok ? 0 : 1;
}

/* The guest waits with its output held: not given up at the first trouble. */
static int attach_again(struct protect *r)
{
	for (int i = 0; primary_attach(r->primary); i++) {
		if (errno == ENOENT || i == ATTACH_TRIES)
			return -1;
		usleep(RECONNECT_MS * 1000);
	}
	return 0;
}

static int life(void *arg, unsigned int number)
{
	struct protect *r = arg;
	int status = 1;

	r->life = number;
	if (open_guest(r) || open_engine(r) || open_loop(r))
		goto out;
	if (number ? attach_again(r) : primary_start(r->primary))
		goto out;
	on_reconnect(-1, 0, r);
	event_base_dispatch(r->base);
	status = conclude(r);
out:
	close_all(r);
	return status;
}

int cmd_protect(const struct options *o)
{
	struct protect r = { .o = o, .shown = STATUS_NUM };
	int status;

	options_address(o, r.address, sizeof(r.address));
	if (run_tls("protect", o, o->peer ? o->peer : o->host, &r.tls))
		return 1;
	if (getrandom(r.session, sizeof(r.session), 0) !=
	    (ssize_t)sizeof(r.session)) {
		perror("kemari protect: getrandom");
		return 1;
	}
	r.outbox_fd = run_memfd("kemari-outbox");
	if (r.outbox_fd < 0)
		return 1;
	status = supervise("protect", life, &r);
	tls_free(r.tls);
	return status;
}
