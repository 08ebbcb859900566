/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netback_packet.h - where a packet ends in a TX ring
 *
 * In a file of its own for its test, which brings the ring's types itself.
 */
#ifndef NETBACK_PACKET_H
#define NETBACK_PACKET_H

/**
 * xenvif_whole_packet() - Are all slots of the packet at req_cons there?
 * @limit:	end of what may be looked at, at most a ring's size away
 *
 * Its first slot, extra slots, and further data slots.  The guest may rewrite
 * them at any time: the answer says how to go on, not that it is safe.
 */
static inline bool xenvif_whole_packet(const struct xen_netif_tx_back_ring *tx,
				       RING_IDX limit)
{
	RING_IDX i = tx->req_cons;
	const struct xen_netif_extra_info *extra;
	uint16_t flags;

	if (i == limit)
		return false;
	flags = READ_ONCE(RING_GET_REQUEST(tx, i++)->flags);
	if (flags & XEN_NETTXF_extra_info)
		do {
			if (i == limit)
				return false;
			extra = (const void *)RING_GET_REQUEST(tx, i++);
		} while (READ_ONCE(extra->flags) & XEN_NETIF_EXTRA_FLAG_MORE);
	while (flags & XEN_NETTXF_more_data) {
		if (i == limit)
			return false;
		flags = READ_ONCE(RING_GET_REQUEST(tx, i++)->flags);
	}
	return true;
}

#endif
