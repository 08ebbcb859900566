// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run_secondary.c - kemari receive: drives secondary.c from libevent
 *
 * The supervisor holds the staging; a worker opens everything else anew in
 * each life.  One session follows the other until a guest has been taken over:
 * then the worker stays with it to its end, and cleans up after it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "libxc-ext/platform.h"
#include "replicator/commands.h"
#include "replicator/control.h"
#include "replicator/fence.h"
#include "replicator/link.h"
#include "replicator/link_tcp.h"
#include "replicator/options.h"
#include "replicator/run.h"
#include "replicator/secondary.h"
#include "replicator/staging.h"
#include "replicator/status.h"
#include "replicator/status_print.h"
#include "replicator/supervise.h"
#include "replicator/tls.h"

enum {
	PAGES_PER_MIB = 256,
	NS_PER_MS = 1000000,
	ATTACH_TRIES = 20,
	ATTACH_PAUSE_MS = 500,
};

struct receiver {
	const struct options *o;
	int staging_fd;
	struct tls *tls;		/* NULL: plaintext */
	char address[OPTIONS_HOST_MAX + OPTIONS_PORT_MAX + 4];

	/* of this life */
	unsigned int life;
	struct event_base *base;
	struct report report;
	struct control *control;
	struct link_listener *listener;
	struct run_rate rate;		/* of lines about refused peers */
	struct fence *fence;
	struct event *ev_term, *ev_int;
	struct run_timer *timer;
	struct staging *staging;

	/* of this session */
	struct platform *platform;
	struct secondary *secondary;
	struct link *link;
	char peer[LINK_TCP_PEER_MAX];
	struct control_call *failing_over;
	enum status_state shown;
	struct platform_reaper *reaper;	/* of the guest that runs here */
	struct event *ev_reaper;
	bool reaper_tried;
};

static void proceed(struct receiver *r);

/* --- the link ------------------------------------------------------------ */

static void on_message(void *arg, const void *bytes, size_t len)
{
	struct receiver *r = arg;

	secondary_message(r->secondary, bytes, len);
	proceed(r);
}

static void on_writable(void *arg)
{
	struct receiver *r = arg;

	secondary_writable(r->secondary);
	proceed(r);
}

static void on_closed(void *arg, int err, const char *why)
{
	struct receiver *r = arg;

	secondary_link_down(r->secondary, err, why);
	r->link->ops->close(r->link);
	r->link = NULL;
	proceed(r);
}

static void on_refused(void *arg, const char *peer, const char *why)
{
	struct receiver *r = arg;
	unsigned int unsaid;

	if (!run_rate(&r->rate, r->platform->ops->now_ns(r->platform),
		      &unsaid))
		return;
	if (unsaid)
		printf("kemari receive: refused %u more\n", unsaid);
	printf("kemari receive: refused %s: %s\n", peer, why);
}

static void on_accepted(void *arg, struct link *l, const char *peer)
{
	char text[LINK_TCP_PEER_MAX + 16];

	struct receiver *r = arg;

	if (r->link) {
		/* The one we have may be dead without our knowing: a
		 * reconnect of the same primary comes before our timeout.
		 * It must ask again once silence has settled the matter. */
		snprintf(text, sizeof(text), "connected to %s", r->peer);
		on_refused(r, peer, text);
		l->ops->close(l);
		return;
	}
	l->handler = (struct link_handler){
		on_message, on_closed, on_writable, r
	};
	if (secondary_link_up(r->secondary, l)) {
		on_refused(r, peer, strerror(errno));
		l->ops->close(l);
		return;
	}
	r->link = l;
	snprintf(r->peer, sizeof(r->peer), "%s", peer);
	proceed(r);
}

/* --- everything else that happens ---------------------------------------- */

static void on_tick(void *arg)
{
	struct receiver *r = arg;

	secondary_tick(r->secondary);
	proceed(r);
}

static int on_fence_wanted(void *arg, const uint8_t host_uuid[16],
			   const struct platform_info *guest)
{
	struct receiver *r = arg;

	return fence_start(r->fence, host_uuid, guest);
}

static void on_fence_done(void *arg, bool ok, const char *why)
{
	struct receiver *r = arg;

	secondary_fence_done(r->secondary, ok, why);
	proceed(r);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct receiver *r = arg;
	struct status s;

	(void)what;
	secondary_status(r->secondary, &s);
	if (s.state != STATUS_UNPROTECTED && s.state != STATUS_FAILED_OVER) {
		fprintf(stderr, "kemari receive: %s: %s holds a standby that "
			"is %s; end it on the primary: kemari unprotect %s\n",
			strsignal(sig), r->address, status_state_str(s.state),
			s.guest.name);
		return;
	}
	event_base_loopbreak(r->base);
}

static void on_control(void *arg, struct control_call *call, const char *line)
{
	struct receiver *r = arg;
	struct status_facts f = {
		.peer = *r->peer ? r->peer : "nobody yet",
		.transport = run_transport(r->link, r->tls),
		.policy = "hold-and-drain",
		.life = r->life, .unsafe_storage = r->o->unsafe_storage,
	};
	struct run_request q;
	struct status s;

	secondary_status(r->secondary, &s);
	if (!run_request(line, &q)) {
		control_answer(call, false, "malformed request");
	} else if (!*s.guest.name || !run_is(&s.guest, q.domain)) {
		control_answer(call, false, RUN_NOT_MINE);
	} else if (!strcmp(q.verb, "status")) {
		run_answer_status(call, q.flag, &s, &f);
	} else if (!strcmp(q.verb, "failover")) {
		if (r->failing_over)
			control_answer(call, false, "is failing over");
		else if (secondary_failover(r->secondary))
			control_answer(call, false, errno == EPERM ?
				       "the standby is not eligible: it holds "
				       "no committed checkpoint" :
				       strerror(errno));
		else
			r->failing_over = call;
		proceed(r);
	} else if (!strcmp(q.verb, "unprotect")) {
		control_answer(call, false, "this host is the secondary: "
			       "unprotect on the primary");
	} else {
		control_answer(call, false, "no such request");
	}
}

/* --- a session ------------------------------------------------------------ */

static void session_close(struct receiver *r)
{
	if (r->link)
		r->link->ops->close(r->link);
	if (r->secondary)
		secondary_free(r->secondary);
	if (r->platform)
		r->platform->ops->close(r->platform);
	r->link = NULL;
	r->secondary = NULL;
	r->platform = NULL;
}

/* A conductor for the next session, or for the one that staging knows. */
static int session_open(struct receiver *r)
{
	struct secondary_config c;
	char why[PLATFORM_WHY_MAX];

	if (platform_open_xen(&r->platform, NULL, why)) {
		fprintf(stderr, "kemari receive: %s\n", why);
		return -1;
	}
	if (r->o->unsafe_storage)
		platform_xen_storage(r->platform, PLATFORM_XEN_UNSAFE);
	else if (r->o->fence)
		platform_xen_storage(r->platform, PLATFORM_XEN_FENCED);
	secondary_config_default(&c);
	c.heartbeat = (uint64_t)r->o->heartbeat_ms * NS_PER_MS;
	c.silence = (uint64_t)r->o->timeout_ms * NS_PER_MS;
	c.grace = (uint64_t)r->o->grace_ms * NS_PER_MS;
	if (r->fence) {
		c.fence = on_fence_wanted;
		c.fence_arg = r;
	}
	r->secondary = secondary_new(r->platform, r->staging, &c, &r->report);
	return r->secondary ? secondary_attach(r->secondary) : -1;
}

static void show(struct receiver *r, const struct status *s)
{
	if (s->state == r->shown)
		return;
	r->shown = s->state;
	printf("kemari receive: %s: %s%s%s%s%s\n",
	       *s->guest.name ? s->guest.name : "no guest",
	       status_state_str(s->state), *s->reason ? " (" : "", s->reason,
	       *s->reason ? "): " : ": ", s->detail);
}

/* --- a guest that was taken over ------------------------------------------ */

static void reaper_close(struct receiver *r)
{
	if (r->ev_reaper)
		event_free(r->ev_reaper);
	platform_reaper_close(r->reaper);
	r->ev_reaper = NULL;
	r->reaper = NULL;
	r->reaper_tried = false;
}

static void session_next(struct receiver *r)
{
	session_close(r);
	*r->peer = '\0';
	if (session_open(r))
		event_base_loopbreak(r->base);
	else
		proceed(r);
}

static void on_guest(evutil_socket_t fd, short what, void *arg)
{
	struct receiver *r = arg;
	char say[PLATFORM_WHY_MAX];
	int over = platform_reaper_run(r->reaper, say);

	(void)fd;
	(void)what;
	if (!over)
		return;
	printf("kemari receive: %s%s\n", say, over > 0 ? "; listening" : "");
	if (over < 0)
		return;
	reaper_close(r);
	staging_move(r->staging, STAGING_EMPTY);
	session_next(r);
}

/* xl has no process here that would do it. */
static void reap_later(struct receiver *r, const struct platform_info *guest)
{
	char why[PLATFORM_WHY_MAX] = "its domain ID is not known any more";

	if (r->reaper_tried)
		return;
	r->reaper_tried = true;
	if (guest->domid)
		r->reaper = platform_reaper_open(guest->domid, guest->uuid,
						 why);
	if (r->reaper)
		r->ev_reaper = event_new(r->base,
					 platform_reaper_fd(r->reaper),
					 EV_READ | EV_PERSIST, on_guest, r);
	if (!r->ev_reaper || event_add(r->ev_reaper, NULL))
		printf("kemari receive: nobody will clean up after the guest: "
		       "%s; once it has shut down: xl destroy\n", why);
}

/* After every event: say what changed, set the timer, see if it is over. */
static void proceed(struct receiver *r)
{
	enum secondary_outcome out = secondary_outcome(r->secondary);
	struct status s;

	secondary_status(r->secondary, &s);
	show(r, &s);
	if (r->failing_over && s.state != STATUS_FAILING_OVER) {
		bool ok = out == SECONDARY_TOOK_OVER;

		control_answer(r->failing_over, ok, ok ? "the guest runs here"
			       "\n" : s.detail);
		r->failing_over = NULL;
	}
	if (out == SECONDARY_TOOK_OVER)
		reap_later(r, &s.guest);
	if (out == SECONDARY_ENDED || out == SECONDARY_ABANDONED) {
		printf("kemari receive: session is over: %s; listening\n",
		       secondary_outcome_str(out));
		session_next(r);
		return;
	}
	run_timer_set(r->timer, secondary_deadline(r->secondary),
		      r->platform->ops->now_ns(r->platform));
}

/* --- a life --------------------------------------------------------------- */

static struct event *signal_event(struct receiver *r, int sig)
{
	struct event *ev = evsignal_new(r->base, sig, on_signal, r);

	if (ev)
		evsignal_add(ev, NULL);
	return ev;
}

static int open_loop(struct receiver *r)
{
	const struct link_listen tell = { on_accepted, on_refused, r };
	char why[LINK_TCP_WHY_MAX], name[OPTIONS_PORT_MAX + 16];

	r->base = event_base_new();
	if (!r->base)
		return -1;
	snprintf(name, sizeof(name), "receive-%s", r->o->port);
	r->control = control_open(r->base, name, on_control, r, why,
				  sizeof(why));
	if (r->control)
		r->listener = link_tcp_listen(r->base, r->tls, r->address,
					      &tell, why);
	if (!r->listener) {
		fprintf(stderr, "kemari receive: %s\n", why);
		return -1;
	}
	if (r->o->fence)
		r->fence = fence_new(r->base, r->o->fence, on_fence_done, r);
	r->timer = run_timer_new(r->base, on_tick, r);
	r->ev_term = signal_event(r, SIGTERM);
	r->ev_int = signal_event(r, SIGINT);
	return r->timer && r->ev_term && r->ev_int &&
	       (r->fence || !r->o->fence) ? 0 : -1;
}

static void close_all(struct receiver *r)
{
	session_close(r);
	control_close(r->control);
	link_tcp_unlisten(r->listener);
	fence_free(r->fence);
	if (r->ev_term)
		event_free(r->ev_term);
	if (r->ev_int)
		event_free(r->ev_int);
	reaper_close(r);
	run_timer_free(r->timer);
	staging_close(r->staging);
	if (r->base)
		event_base_free(r->base);
}

/* A standby that cannot be found at once is not given up at once. */
static int session_find(struct receiver *r)
{
	const struct timespec pause = { .tv_nsec = ATTACH_PAUSE_MS * 1000000L };
	int i;

	for (i = 0; session_open(r); i++) {
		if (i == ATTACH_TRIES ||
		    staging_view(r->staging)->phase == STAGING_EMPTY)
			return -1;
		session_close(r);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int life(void *arg, unsigned int number)
{
	struct receiver *r = arg;
	char why[WIRE_WHY_MAX];
	int status = 1;

	r->life = number;
	r->report = run_report("receive");
	r->staging = staging_open(r->staging_fd, why);
	if (!r->staging) {
		fprintf(stderr, "kemari receive: staging: %s\n", why);
		goto out;
	}
	if (open_loop(r) || session_find(r))
		goto out;
	printf("kemari receive: listening on %s, %s%s\n", r->address,
	       run_transport(NULL, r->tls), r->fence ? "" : "; no --fence: only an operator can fail over");
	proceed(r);
	event_base_dispatch(r->base);
	status = 0;
out:
	close_all(r);
	return status;
}

int cmd_receive(const struct options *o)
{
	struct receiver r = { .o = o, .shown = STATUS_NUM };
	int status;

	options_address(o, r.address, sizeof(r.address));
	if (run_tls("receive", o, o->peer, &r.tls))
		return 1;
	r.staging_fd = staging_create((uint64_t)o->staging_mib * PAGES_PER_MIB,
				      STAGING_STATE_DEFAULT);
	if (r.staging_fd < 0) {
		fprintf(stderr, "kemari receive: --staging %u: %s: two "
			"checkpoints of that size are reserved at the start\n",
			o->staging_mib, strerror(errno));
		return 1;
	}
	status = supervise("receive", life, &r);
	tls_free(r.tls);
	return status;
}
