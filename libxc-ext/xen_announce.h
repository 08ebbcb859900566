/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_announce.h - tell the network that a guest's cards are here now
 *
 * Switches, and the bridge of this host, have learnt the way to the host where
 * the guest was.  A card says by a frame of its own where it is; so that
 * nobody waits until the guest has something to say, it is said for it, several
 * times in the first second, or in the second after the card's port came up if
 * that takes longer, half a minute at most.  The guest's own driver says it
 * once more, with all of its addresses, when it sees its backend connected.
 */
#ifndef KEMARI_XEN_ANNOUNCE_H
#define KEMARI_XEN_ANNOUNCE_H

#include <stdint.h>

#include "libxc-ext/nodes.h"

struct xen_announce;

enum { XEN_ANNOUNCE_WHY_MAX = 160 };

/**
 * xen_announce_new() - Make ready to announce each network card of @l
 * @l:		Nodes of the guest, checked; not needed after the return
 * @domid:	Its number here, which the cards' names are made of
 *
 * For a card in a bridge of Linux (others are not for us): the bridge is told that the card's address is behind
 * it, and out of each other port goes a frame for switches, one for each of
 * the addresses that the toolstack knows, and one for the link-local address
 * that is made of the card's own.
 * Return: to be freed; NULL with errno 0 if there is no card, else of why
 */
struct xen_announce *xen_announce_new(const struct nodes *l, uint32_t domid);

/** xen_announce_start() - Begin, aside: 0, or -1 with errno */
int xen_announce_start(struct xen_announce *a);

/**
 * xen_announce_done() - How is it going?
 * @why:	Gets a sentence if -1, XEN_ANNOUNCE_WHY_MAX bytes
 * Return: 1 all said, 0 not yet, -1 a card could not be announced
 */
int xen_announce_done(struct xen_announce *a, char *why);

/** xen_announce_free() - Waits for its end, half a second or so.  NULL is fine */
void xen_announce_free(struct xen_announce *a);

#endif
