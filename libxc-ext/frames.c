// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * frames.c - Ethernet frames that say where a card is now
 */
#include "libxc-ext/frames.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <string.h>

#define BROADCAST "\xff\xff\xff\xff\xff\xff"
#define ALL_NODES "\x33\x33\x00\x00\x00\x01"

static const struct in6_addr all_nodes = {
	{ { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } }
};

struct advertisement {
	struct nd_neighbor_advert head;
	uint8_t option, units;		/* target's hardware address, 8 bytes */
	uint8_t mac[FRAME_MAC];
} __attribute__((packed));

static size_t begin(uint8_t *frame, const char *to, const uint8_t *mac,
		    uint16_t type)
{
	struct ether_header h = { .ether_type = htons(type) };

	memset(frame, 0, FRAME_MAX);
	memcpy(h.ether_dhost, to, FRAME_MAC);
	memcpy(h.ether_shost, mac, FRAME_MAC);
	memcpy(frame, &h, sizeof(h));
	return sizeof(h);
}

static size_t arp(uint8_t *frame, const uint8_t *mac, uint16_t type,
		  uint16_t op, struct in_addr ip)
{
	size_t at = begin(frame, BROADCAST, mac, type);
	struct ether_arp a = {
		.ea_hdr = {
			.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = FRAME_MAC,
			.ar_pln = sizeof(ip),
			.ar_op = htons(op),
		},
	};

	memcpy(a.arp_sha, mac, FRAME_MAC);
	memcpy(a.arp_spa, &ip, sizeof(ip));
	/* A request to oneself: the target's hardware address is not known,
	 * but to RARP. */
	if (type == ETHERTYPE_REVARP)
		memcpy(a.arp_tha, mac, FRAME_MAC);
	memcpy(a.arp_tpa, &ip, sizeof(ip));
	memcpy(frame + at, &a, sizeof(a));
	return FRAME_MIN;
}

size_t frame_rarp(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC])
{
	return arp(frame, mac, ETHERTYPE_REVARP, ARPOP_RREQUEST,
		   (struct in_addr){ 0 });
}

size_t frame_arp(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC],
		 struct in_addr ip)
{
	return arp(frame, mac, ETHERTYPE_ARP, ARPOP_REQUEST, ip);
}

static uint32_t sum(uint32_t s, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

/* Over addresses, length, protocol and the message, whose own is zero. */
static uint16_t checksum(const struct ip6_hdr *ip, const void *message,
			 uint16_t len)
{
	uint32_t s = sum(0, &ip->ip6_src, 2 * sizeof(ip->ip6_src));

	s = sum(s + len + IPPROTO_ICMPV6, message, len);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons((uint16_t)~s);
}

size_t frame_neighbour(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC],
		       const struct in6_addr *ip)
{
	size_t at = begin(frame, ALL_NODES, mac, ETHERTYPE_IPV6);
	struct advertisement a = {
		.head.nd_na_hdr = {
			.icmp6_type = ND_NEIGHBOR_ADVERT,
			.icmp6_dataun.icmp6_un_data32 = {
				ND_NA_FLAG_OVERRIDE
			},
		},
		.head.nd_na_target = *ip,
		.option = ND_OPT_TARGET_LINKADDR,
		.units = 1,
	};
	struct ip6_hdr h = {
		.ip6_ctlun.ip6_un1 = {
			.ip6_un1_flow = htonl(6u << 28),
			.ip6_un1_plen = htons(sizeof(a)),
			.ip6_un1_nxt = IPPROTO_ICMPV6,
			.ip6_un1_hlim = 255,
		},
		.ip6_src = *ip,
		.ip6_dst = all_nodes,
	};

	memcpy(a.mac, mac, FRAME_MAC);
	a.head.nd_na_hdr.icmp6_cksum = checksum(&h, &a, sizeof(a));
	memcpy(frame + at, &h, sizeof(h));
	memcpy(frame + at + sizeof(h), &a, sizeof(a));
	return at + sizeof(h) + sizeof(a);
}

void frame_link_local(const uint8_t mac[FRAME_MAC], struct in6_addr *ip)
{
	const uint8_t bytes[16] = {
		0xfe, 0x80, 0, 0, 0, 0, 0, 0,
		mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5],
	};

	memcpy(ip->s6_addr, bytes, sizeof(bytes));
}
