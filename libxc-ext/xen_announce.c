// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_announce.c - tell the network that a guest's cards are here now
 *
 * Not out of the bridge itself: that would reach the guest, which would take
 * an advertisement of its own address for that of another host, and would
 * teach the bridge nothing.
 */
#include "libxc-ext/xen_announce.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "libxc-ext/device.h"
#include "libxc-ext/frames.h"

enum {
	FRAMES_MAX = 16,		/* of one card */
	SYS_PATH_MAX = 128,
	TEXT_MAX = 256,
};

/* Between two announcements, ms: all within the first second, but for a card
 * that the guest's driver attaches later. */
static const unsigned int pause_ms[] = { 0, 50, 100, 150, 300, 400 };

enum {
	TIMES = sizeof(pause_ms) / sizeof(pause_ms[0]),	/* for each card */
	ROUNDS_MAX = 75,				/* half a minute */
};

struct card {
	char netdev[DEVICE_IFNAME_MAX + 1];
	uint8_t mac[DEVICE_MAC_LEN];
	uint8_t frame[FRAMES_MAX][FRAME_MAX];
	size_t length[FRAMES_MAX], frames;
	bool said;			/* or not for us to say */
	unsigned int times;		/* since then */
};

struct xen_announce {
	pthread_t thread;
	bool started;
	atomic_bool done, stop;
	struct card card[DEVICES_MAX];
	size_t n;
	int packet, netlink;		/* sockets, -1: not open */
	char why[XEN_ANNOUNCE_WHY_MAX];	/* "" or the last failure */
};

/* --- what is said ------------------------------------------------------ */

static uint8_t *next_frame(struct card *c)
{
	return c->frames < FRAMES_MAX ? c->frame[c->frames] : NULL;
}

static void add_address(struct card *c, const char *text)
{
	uint8_t *frame = next_frame(c);
	struct in6_addr ip6;
	struct in_addr ip;

	if (!frame)
		return;
	if (inet_pton(AF_INET, text, &ip) == 1)
		c->length[c->frames++] = frame_arp(frame, c->mac, ip);
	else if (inet_pton(AF_INET6, text, &ip6) == 1)
		c->length[c->frames++] = frame_neighbour(frame, c->mac, &ip6);
}

/* Addresses between blanks, perhaps with the length of a prefix. */
static void add_addresses(struct card *c, const char *list)
{
	char text[TEXT_MAX], *one, *rest;

	snprintf(text, sizeof(text), "%s", list);
	for (one = strtok_r(text, " ", &rest); one;
	     one = strtok_r(NULL, " ", &rest)) {
		one[strcspn(one, "/")] = '\0';
		add_address(c, one);
	}
}

static void add_card(struct xen_announce *a, const struct nodes *l,
		     const struct device *d, uint32_t domid)
{
	const char *mac = device_value(l, d, "mac");
	const char *ip = device_value(l, d, "ip");
	struct card *c = &a->card[a->n];
	struct in6_addr own;

	if (!mac || device_mac(mac, c->mac))
		return;
	a->n++;
	device_netdev(l, d, domid, c->netdev);
	c->length[c->frames] = frame_rarp(next_frame(c), c->mac);
	c->frames++;
	frame_link_local(c->mac, &own);
	c->length[c->frames] = frame_neighbour(next_frame(c), c->mac, &own);
	c->frames++;
	if (ip)
		add_addresses(c, ip);
}

/* --- how it is said ---------------------------------------------------- */

/* The bridge that the card is in: false if in none. */
static bool bridge_of(const struct card *c, char bridge[IF_NAMESIZE])
{
	char path[SYS_PATH_MAX], to[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%s/master", c->netdev);
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return false;
	to[n] = '\0';
	name = strrchr(to, '/');
	snprintf(bridge, IF_NAMESIZE, "%.15s", name ? name + 1 : to);
	return true;
}

/* The bridge's own table: @c's address is behind @c. */
static int tell_bridge(struct xen_announce *a, const struct card *c)
{
	struct {
		struct nlmsghdr head;
		struct ndmsg neighbour;
		struct rtattr attr;
		uint8_t mac[8];
	} ask = {
		.head = {
			.nlmsg_type = RTM_NEWNEIGH,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK |
				       NLM_F_CREATE | NLM_F_REPLACE,
		},
		.neighbour = {
			.ndm_family = AF_BRIDGE,
			.ndm_state = NUD_REACHABLE,
			.ndm_flags = NTF_MASTER,
			.ndm_ifindex = (int)if_nametoindex(c->netdev),
		},
		.attr = {
			.rta_type = NDA_LLADDR,
			.rta_len = RTA_LENGTH(DEVICE_MAC_LEN),
		},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		uint8_t rest[256];
	} answer;
	ssize_t n;

	ask.head.nlmsg_len = sizeof(ask);
	memcpy(ask.mac, c->mac, DEVICE_MAC_LEN);
	if (send(a->netlink, &ask, sizeof(ask), 0) != sizeof(ask))
		return -1;
	n = recv(a->netlink, &answer, sizeof(answer), 0);
	if (n < (ssize_t)(sizeof(answer.head) + sizeof(answer.err)) ||
	    answer.head.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	errno = -answer.err.error;
	return answer.err.error ? -1 : 0;
}

static void say(struct xen_announce *a, const struct card *c, const char *port)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(port),
		.sll_halen = DEVICE_MAC_LEN,
	};
	size_t i;

	/* Like all on a network: it may get lost, and is said again. */
	for (i = 0; i < c->frames; i++) {
		memcpy(to.sll_addr, c->frame[i], DEVICE_MAC_LEN);
		(void)sendto(a->packet, c->frame[i], c->length[i],
			     MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
	}
}

static void announce(struct xen_announce *a, struct card *c)
{
	char bridge[IF_NAMESIZE] = "", path[SYS_PATH_MAX];
	struct dirent *e;
	DIR *ports;

	/* Routed, or in a switch that is not the kernel's: not for us. */
	c->said = !bridge_of(c, bridge);
	snprintf(path, sizeof(path), "/sys/class/net/%s/brif", bridge);
	ports = c->said ? NULL : opendir(path);
	if (!ports) {
		c->said = true;
		return;
	}
	if (tell_bridge(a, c))
		snprintf(a->why, sizeof(a->why), "%s: bridge %s does not learn its address: %s",
			 c->netdev, bridge, strerror(errno));
	else
		c->said = true;
	while ((e = readdir(ports)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, c->netdev))
			say(a, c, e->d_name);
	closedir(ports);
}

/* One more time for those that are not through; how many these are. */
static size_t round_of(struct xen_announce *a)
{
	size_t k, left = 0;

	for (k = 0; k < a->n; k++) {
		struct card *c = &a->card[k];

		if (c->times == TIMES)
			continue;
		announce(a, c);
		c->times += c->said;
		left += c->times < TIMES;
	}
	return left;
}

static void *run(void *arg)
{
	struct xen_announce *a = arg;
	size_t left = 1;

	for (unsigned int i = 0; left && i < ROUNDS_MAX &&
	     !atomic_load(&a->stop); i++) {
		const struct timespec pause = {
			.tv_nsec = pause_ms[i < TIMES ? i : TIMES - 1] *
				   1000000L
		};

		nanosleep(&pause, NULL);
		left = round_of(a);
	}
	if (!left)
		a->why[0] = '\0';
	atomic_store(&a->done, true);
	return NULL;
}

static int open_sockets(struct xen_announce *a)
{
	a->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	a->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			    NETLINK_ROUTE);
	return a->packet < 0 || a->netlink < 0 ? -1 : 0;
}

void xen_announce_free(struct xen_announce *a)
{
	if (!a)
		return;
	atomic_store(&a->stop, true);
	if (a->started)
		pthread_join(a->thread, NULL);
	if (a->packet >= 0)
		close(a->packet);
	if (a->netlink >= 0)
		close(a->netlink);
	free(a);
}

struct xen_announce *xen_announce_new(const struct nodes *l, uint32_t domid)
{
	struct xen_announce *a = calloc(1, sizeof(*a));
	struct device d;
	size_t pos = 0;
	int err = 0;

	if (!a)
		return NULL;
	a->packet = a->netlink = -1;
	while (a->n < DEVICES_MAX && device_next(l, &pos, &d))
		if (d.root == NODE_VIF)
			add_card(a, l, &d, domid);
	if (a->n && !open_sockets(a))
		return a;
	if (a->n)
		err = errno;
	xen_announce_free(a);
	errno = err;
	return NULL;
}

int xen_announce_start(struct xen_announce *a)
{
	errno = pthread_create(&a->thread, NULL, run, a);
	a->started = !errno;
	return a->started ? 0 : -1;
}

int xen_announce_done(struct xen_announce *a, char *why)
{
	if (!atomic_load(&a->done))
		return 0;
	snprintf(why, XEN_ANNOUNCE_WHY_MAX, "%s", a->why);
	return a->why[0] ? -1 : 1;
}
