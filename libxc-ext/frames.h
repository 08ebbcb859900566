/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frames.h - Ethernet frames that say where a card is now
 *
 * Pure.  Each is sent in the card's name, padded to the least that Ethernet
 * carries; each returns its length, at most FRAME_MAX.
 */
#ifndef KEMARI_FRAMES_H
#define KEMARI_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

enum {
	FRAME_MAX = 96,
	FRAME_MIN = 60,
	FRAME_MAC = 6,			/* bytes of a hardware address */
};

/** frame_rarp() - For switches: broadcast that no host answers or believes */
size_t frame_rarp(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC]);

/** frame_arp() - Gratuitous ARP: @ip is at @mac */
size_t frame_arp(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC],
		 struct in_addr ip);

/** frame_neighbour() - Unsolicited neighbour advertisement: @ip is at @mac */
size_t frame_neighbour(uint8_t frame[FRAME_MAX], const uint8_t mac[FRAME_MAC],
		       const struct in6_addr *ip);

/** frame_link_local() - The address that a host makes of @mac by itself */
void frame_link_local(const uint8_t mac[FRAME_MAC], struct in6_addr *ip);

#endif
