// SPDX-License-Identifier: GPL-2.0-only
/*
 * netback_kemari.c - xen-netback's rings at Kemari's gate
 *
 * A queue of a guest whose gate is shut copies.  Stock netback maps what does
 * not fit into an skb's head, and then the response to a slot waits until the
 * last holder of the packet lets go of it: a capture nobody drains, a stalled
 * guest's queue.  In ring order everything behind would wait, too.  So each
 * packet is taken when all its slots are within the fence, copied into pages
 * of our own by one batch of grant copies, answered as a whole, and only then
 * handed to the network: between two polls nothing is in flight, the ring
 * holds whole packets, and no grant is mapped.
 */
#include "common.h"

#include <linux/etherdevice.h>
#include <linux/rtnetlink.h>

#include <xen/events.h>

#include "backends/kemari-gate.h"
#include "backends/linux/netback_packet.h"

/*
 * Copies of one packet: each slot, and each slot again that goes on in the
 * next piece of the skb (head, head in two pages, frags).
 */
#define OPS_MAX	(XEN_NETBK_LEGACY_SLOTS_MAX + 1 + MAX_SKB_FRAGS + 1)

/** struct tx_cb - a packet between its copy operations and its answer */
struct tx_cb {
	RING_IDX idx;
	u16 slots, extras;	/* in all; of them, extra info */
	u16 flags;		/* of the first slot */
	u16 ops;
};

static inline struct tx_cb *tx_cb(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct tx_cb) > sizeof(skb->cb));
	return (struct tx_cb *)skb->cb;
}

static inline u16 *id_of(struct xenvif_queue *queue, RING_IDX idx)
{
	return &queue->tx_id[idx & (XEN_NETIF_TX_RING_SIZE - 1)];
}

/* --- responses ----------------------------------------------------------- */

/*
 * Answer @slots slots from @idx on, of which @extras are extra info.  Their
 * ids are known; req_cons is beyond them.  INV-33.
 */
static void answer(struct xenvif_queue *queue, RING_IDX idx, u16 slots,
		   u16 extras, s8 status)
{
	struct xen_netif_tx_back_ring *tx = &queue->tx;
	int notify = 0;
	unsigned long flags;
	bool gated;
	u16 i;

	kemari_ring_packet(&queue->tx_gate, idx, slots);
	spin_lock_irqsave(&queue->response_lock, flags);
	/* The gate may have been opened since the packet was taken. */
	gated = kemari_ring_gated(&queue->tx_gate);
	for (i = 0; i < slots; i++) {
		struct xen_netif_tx_response rsp = {
			.id = *id_of(queue, idx + i),
			.status = i && i <= extras ? XEN_NETIF_RSP_NULL :
						     status,
		};

		if (gated)
			notify |= kemari_ring_answer(&queue->tx_gate, idx + i,
						     &rsp);
		else
			*RING_GET_RESPONSE(tx, tx->rsp_prod_pvt++) = rsp;
	}
	if (!gated)
		RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(tx, notify);
	spin_unlock_irqrestore(&queue->response_lock, flags);
	if (notify)
		notify_remote_via_irq(queue->tx_irq);
}

void xenvif_gate_refuse(struct xenvif_queue *queue,
			const struct xen_netif_tx_request *txp,
			unsigned int extra_count, RING_IDX end, s8 status)
{
	RING_IDX i, idx = queue->tx.req_cons - extra_count - 1;

	*id_of(queue, idx) = txp->id;
	for (i = queue->tx.req_cons; i != end; i++)
		*id_of(queue, i) =
			READ_ONCE(RING_GET_REQUEST(&queue->tx, i)->id);
	queue->tx.req_cons = end;
	answer(queue, idx, end - idx, extra_count, status);
}

void xenvif_gate_respond(struct xenvif_queue *queue, u16 id,
			 unsigned int extra_count, s8 status)
{
	struct xen_netif_tx_response rsp = { .id = id, .status = status };
	bool notify;

	notify = kemari_ring_answer(&queue->tx_gate, queue->tx.rsp_prod_pvt,
				    &rsp);
	rsp.status = XEN_NETIF_RSP_NULL;
	while (extra_count--)
		notify |= kemari_ring_answer(&queue->tx_gate,
					     queue->tx.rsp_prod_pvt, &rsp);
	if (notify)
		notify_remote_via_irq(queue->tx_irq);
}

/* --- requests ------------------------------------------------------------ */

bool xenvif_gate_poll(struct xenvif_queue *queue)
{
	if (kemari_ring_unsettled(&queue->tx_gate))
		kemari_ring_settle(&queue->tx_gate);
	return kemari_ring_ordered(&queue->tx_gate);
}

/*
 * Requests that may be taken now, if a whole packet is there; or 0.  @limit is
 * how far was looked.  INV-33, INV-34.
 */
static unsigned int takeable(struct xenvif_queue *queue, RING_IDX *limit)
{
	RING_IDX prod = READ_ONCE(queue->tx.sring->req_prod);
	unsigned int slots;

	*limit = kemari_ring_limit(&queue->tx_gate, prod);
	slots = *limit - queue->tx.req_cons;
	/* Opened just now: nobody has looked at what the guest says. */
	if (slots > XEN_NETIF_TX_RING_SIZE)
		return 0;
	rmb(); /* requests are there before their producer index */
	return xenvif_whole_packet(&queue->tx, *limit) ? slots : 0;
}

unsigned int xenvif_gate_slots(struct xenvif_queue *queue)
{
	RING_IDX limit;

	return takeable(queue, &limit);
}

bool xenvif_gate_final_check(struct xenvif_queue *queue)
{
	RING_IDX limit;

	return takeable(queue, &limit) ||
	       kemari_ring_final_check_at(&queue->tx_gate, limit);
}

bool xenvif_gate_room(const struct xenvif_queue *queue, unsigned int copy_ops)
{
	return copy_ops + OPS_MAX <= ARRAY_SIZE(queue->tx_copy_ops);
}

/* --- copies -------------------------------------------------------------- */

static int add_frags(struct sk_buff *skb, unsigned int bytes)
{
	unsigned int len;
	int i;

	for (i = 0; bytes; i++, bytes -= len) {
		struct page *page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);

		if (!page || WARN_ON_ONCE(i == MAX_SKB_FRAGS)) {
			if (page)
				__free_page(page);
			return -ENOMEM;	/* kfree_skb() frees the others */
		}
		len = min_t(unsigned int, bytes, PAGE_SIZE);
		skb_add_rx_frag(skb, i, page, 0, len, PAGE_SIZE);
	}
	return 0;
}

/* Where byte @at of @skb lies, and how many follow it in the same page. */
static void *piece(struct sk_buff *skb, unsigned int at, unsigned int *len)
{
	skb_frag_t *frag;
	void *to;

	if (at < skb_headlen(skb)) {
		to = skb->data + at;
		*len = min_t(unsigned int, skb_headlen(skb) - at,
			     XEN_PAGE_SIZE - xen_offset_in_page(to));
		return to;
	}
	at -= skb_headlen(skb);
	frag = &skb_shinfo(skb)->frags[at / PAGE_SIZE];
	at %= PAGE_SIZE;
	*len = skb_frag_size(frag) - at;
	return skb_frag_address(frag) + at;
}

/* Copy operations for one slot, whose bytes go to @at of @skb. */
static struct gnttab_copy *copy_slot(struct xenvif_queue *queue,
				     struct sk_buff *skb,
				     const struct xen_netif_tx_request *txp,
				     unsigned int at, struct gnttab_copy *op)
{
	unsigned int done, len;

	for (done = 0; done < txp->size; done += len, op++) {
		void *to = piece(skb, at + done, &len);

		len = min_t(unsigned int, len, txp->size - done);
		op->source.u.ref = txp->gref;
		op->source.domid = queue->vif->domid;
		op->source.offset = txp->offset + done;
		op->dest.u.gmfn = virt_to_gfn(to);
		op->dest.domid = DOMID_SELF;
		op->dest.offset = xen_offset_in_page(to);
		op->len = len;
		op->flags = GNTCOPY_source_gref;
	}
	return op;
}

int xenvif_gate_get_requests(struct xenvif_queue *queue, struct sk_buff *skb,
			     const struct xen_netif_tx_request *first,
			     const struct xen_netif_tx_request *txfrags,
			     unsigned int slots, unsigned int extra_count,
			     unsigned int size, unsigned int *copy_ops)
{
	struct gnttab_copy *start = queue->tx_copy_ops + *copy_ops, *op;
	RING_IDX idx = queue->tx.req_cons - extra_count - 1;
	unsigned int i, at = first->size;

	if (add_frags(skb, size - skb_headlen(skb)))
		return -ENOMEM;
	*id_of(queue, idx) = first->id;
	op = copy_slot(queue, skb, first, 0, start);
	for (i = 0; i < slots; i++) {
		*id_of(queue, idx + 1 + extra_count + i) = txfrags[i].id;
		op = copy_slot(queue, skb, &txfrags[i], at, op);
		at += txfrags[i].size;
	}
	*tx_cb(skb) = (struct tx_cb){
		.idx = idx,
		.slots = 1 + extra_count + slots,
		.extras = extra_count,
		.flags = first->flags,
		.ops = op - start,
	};
	*copy_ops += op - start;
	return 0;
}

int xenvif_gate_copied(struct xenvif_queue *queue, struct sk_buff *skb,
		       struct gnttab_copy **gop)
{
	const struct tx_cb cb = *tx_cb(skb);
	bool good = true;
	u16 i;

	for (i = 0; i < cb.ops; i++)
		good &= (*gop)++->status == GNTST_okay;
	answer(queue, cb.idx, cb.slots, cb.extras,
	       good ? XEN_NETIF_RSP_OKAY : XEN_NETIF_RSP_ERROR);
	if (!good) {
		kfree_skb(skb);
		return -EIO;
	}
	if (cb.flags & XEN_NETTXF_csum_blank)
		skb->ip_summed = CHECKSUM_PARTIAL;
	else if (cb.flags & XEN_NETTXF_data_validated)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	return 0;
}

/* --- the gate's kicks ---------------------------------------------------- */

static void kick_tx(struct kemari_ring *kr)
{
	struct xenvif_queue *queue =
		container_of(kr, struct xenvif_queue, tx_gate);
	struct xenvif *vif = queue->vif;

	/* Opened: only from now on can RX be stalled. */
	WRITE_ONCE(queue->last_rx_time, jiffies);
	/* An interface that is down polls nothing: settle in its place. */
	if (kemari_ring_unsettled(kr) && rtnl_trylock()) {
		if (!netif_running(vif->dev) ||
		    !test_bit(VIF_STATUS_CONNECTED, &vif->status))
			kemari_ring_settle(kr);
		rtnl_unlock();
	}
	local_bh_disable();
	napi_schedule(&queue->napi);
	local_bh_enable();
}

static void kick_rx(struct kemari_ring *kr)
{
	struct xenvif_queue *queue =
		container_of(kr, struct xenvif_queue, rx_gate);

	xenvif_kick_thread(queue);
}

static void kick_ctrl(struct kemari_ring *kr)
{
	struct xenvif *vif = container_of(kr, struct xenvif, ctrl_gate);

	irq_wake_thread(vif->ctrl_irq, vif);
}

/* --- registry ------------------------------------------------------------ */

void xenvif_gate_init(struct xenvif_queue *queue)
{
	kemari_ring_init(&queue->tx_gate);
	kemari_ring_init(&queue->rx_gate);
}

int xenvif_gate_connect(struct xenvif_queue *queue, unsigned int tx_port,
			unsigned int rx_port)
{
	struct kemari_ring_desc tx = {
		.domid = queue->vif->domid,
		.kind = KEMARI_GATE_NET_TX,
		.device = queue->vif->handle,
		.queue = queue->id,
		.port = tx_port,
		.back = &queue->tx,
		.stride = sizeof(union xen_netif_tx_sring_entry),
		.rsp_bytes = sizeof(struct xen_netif_tx_response),
		.lock = &queue->response_lock,
		.kick = kick_tx,
	};
	struct kemari_ring_desc rx = {
		.domid = queue->vif->domid,
		.kind = KEMARI_GATE_NET_RX,
		.device = queue->vif->handle,
		.queue = queue->id,
		.port = rx_port,
		.back = &queue->rx,
		.stride = sizeof(union xen_netif_rx_sring_entry),
		.rsp_bytes = sizeof(struct xen_netif_rx_response),
		.kick = kick_rx,
	};
	int err = kemari_ring_register(&queue->tx_gate, &tx);

	return err ? err : kemari_ring_register(&queue->rx_gate, &rx);
}

void xenvif_gate_disconnect(struct xenvif_queue *queue)
{
	kemari_ring_unregister(&queue->tx_gate);
	kemari_ring_unregister(&queue->rx_gate);
}

void xenvif_gate_init_ctrl(struct xenvif *vif)
{
	kemari_ring_init(&vif->ctrl_gate);
}

int xenvif_gate_connect_ctrl(struct xenvif *vif, unsigned int port)
{
	struct kemari_ring_desc ctrl = {
		.domid = vif->domid,
		.kind = KEMARI_GATE_NET_CTRL,
		.device = vif->handle,
		.port = port,
		.back = &vif->ctrl,
		.stride = sizeof(union xen_netif_ctrl_sring_entry),
		.rsp_bytes = sizeof(struct xen_netif_ctrl_response),
		.kick = kick_ctrl,
	};

	return kemari_ring_register(&vif->ctrl_gate, &ctrl);
}

void xenvif_gate_disconnect_ctrl(struct xenvif *vif)
{
	kemari_ring_unregister(&vif->ctrl_gate);
}
