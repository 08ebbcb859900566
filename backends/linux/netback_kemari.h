/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netback_kemari.h - xen-netback's rings at Kemari's gate
 */
#ifndef NETBACK_KEMARI_H
#define NETBACK_KEMARI_H

#include <linux/skbuff.h>
#include <xen/interface/io/netif.h>

struct xenvif;
struct xenvif_queue;

/* --- registry ------------------------------------------------------------ */

/** xenvif_gate_init() - Once for each queue, before anything else here */
void xenvif_gate_init(struct xenvif_queue *queue);

/**
 * xenvif_gate_connect() - Both rings are mapped, nothing serves them yet
 * @tx_port, @rx_port:	the guest's event channels; the same if not split
 *
 * Return: 0, or -errno of kemari_ring_register(); disconnect cleans up
 */
int xenvif_gate_connect(struct xenvif_queue *queue, unsigned int tx_port,
			unsigned int rx_port);

/** xenvif_gate_disconnect() - Nothing serves the rings any more; idempotent */
void xenvif_gate_disconnect(struct xenvif_queue *queue);

/* The same for the control ring of a vif. */
void xenvif_gate_init_ctrl(struct xenvif *vif);
int xenvif_gate_connect_ctrl(struct xenvif *vif, unsigned int port);
void xenvif_gate_disconnect_ctrl(struct xenvif *vif);

/* --- TX of a gated queue ------------------------------------------------- */

/**
 * xenvif_gate_poll() - A poll of a gated queue begins
 *
 * Return: true: for the whole of this poll, each packet is to be taken whole,
 * copied whole and answered whole.  False: as stock does, unanswered ones of
 * before the gate was shut are waited for.
 */
bool xenvif_gate_poll(struct xenvif_queue *queue);

/**
 * xenvif_gate_slots() - Requests that may be taken, 0: no whole packet
 *
 * Of a gated queue.  Any context, response lock not held.
 */
unsigned int xenvif_gate_slots(struct xenvif_queue *queue);

/**
 * xenvif_gate_final_check() - RING_FINAL_CHECK_FOR_REQUESTS of a gated queue
 *
 * Return: is there more to take now?
 */
bool xenvif_gate_final_check(struct xenvif_queue *queue);

/** xenvif_gate_room() - Is there room for one more packet's copies? */
bool xenvif_gate_room(const struct xenvif_queue *queue, unsigned int copy_ops);

/**
 * xenvif_gate_get_requests() - Copy all of a packet to pages of our own
 * @skb:	its head, without frags, is where it begins; its cb is ours
 * @slots:	data slots after @first, in @txfrags; extra slots are between
 *		them; req_cons is behind those
 * @size:	bytes of the packet, at least the head's
 * @copy_ops:	in and out, within queue->tx_copy_ops
 *
 * Return: 0, or -ENOMEM and *@copy_ops is unchanged
 */
int xenvif_gate_get_requests(struct xenvif_queue *queue, struct sk_buff *skb,
			     const struct xen_netif_tx_request *first,
			     const struct xen_netif_tx_request *txfrags,
			     unsigned int slots, unsigned int extra_count,
			     unsigned int size, unsigned int *copy_ops);

/**
 * xenvif_gate_copied() - The copies of a packet were made: answer it
 * @gop:	its first copy; moved on to the next packet's
 *
 * Return: 0 @skb is complete; -EIO a copy failed and @skb was freed
 */
int xenvif_gate_copied(struct xenvif_queue *queue, struct sk_buff *skb,
		       struct gnttab_copy **gop);

/**
 * xenvif_gate_refuse() - Answer a packet at once, with one status
 * @txp:	its first slot; extra slots follow it in the ring
 * @end:	ring index behind its last slot; becomes req_cons
 */
void xenvif_gate_refuse(struct xenvif_queue *queue,
			const struct xen_netif_tx_request *txp,
			unsigned int extra_count, RING_IDX end, s8 status);

/**
 * xenvif_gate_respond() - A response of a gated queue that does not copy
 *
 * One that was taken before the gate was shut.  Response lock held.
 */
void xenvif_gate_respond(struct xenvif_queue *queue, u16 id,
			 unsigned int extra_count, s8 status);

#endif
