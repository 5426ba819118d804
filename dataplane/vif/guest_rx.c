/* SPDX-License-Identifier: BSD-3-Clause */
/* From a guest's transmit queue into the pipeline. */
#include <errno.h>

#include "vif_int.h"
#include "vnet_hdr.h"

/* Copies a chain's readable bytes, so that its virtio-net header ends up in the headroom, right in front of the frame: one copy of
 * each byte, and everything after it works on the copy. 'head' is empty. Returns 0, -errno of the fetch, -ENOMEM. */
static int copy_in(const struct ob_gmem_map *map, const struct ob_virtq_chain *c,
    const struct ob_virtq_seg *seg, struct rte_mbuf *head, unsigned hdr_len)
{
	struct rte_mbuf *tail = head;
	uint8_t *dst = (uint8_t *)head->buf_addr + OB_HEADROOM - hdr_len;
	uint32_t room = head->buf_len - OB_HEADROOM + hdr_len;
	int rc;

	head->data_off = (uint16_t)(OB_HEADROOM - hdr_len);
	for (const struct ob_virtq_seg *s = &seg[c->seg_first], *end = s + c->n_readable; s < end;
	     s++) {
		ob_iova_t from = s->iova;
		uint32_t left = s->len;

		while (left > 0) {
			uint32_t n = RTE_MIN(left, room);

			if (n == 0) {
				tail->next = rte_pktmbuf_alloc(head->pool);
				if (tail->next == NULL)
					return -ENOMEM;
				tail = tail->next;
				tail->data_off = 0;
				head->nb_segs++;
				dst = tail->buf_addr;
				room = tail->buf_len;
				continue;
			}
			rc = ob_gmem_fetch(map, dst, from, n);
			if (rc != 0)
				return rc;
			tail->data_len = (uint16_t)(tail->data_len + n);
			dst += n;
			room -= n;
			from.v += n;
			left -= n;
		}
	}
	head->pkt_len = c->readable_bytes;
	return 0;
}

/* Returns OB_N_DROPS: taken, else why not. */
static inline enum ob_drop take_one(struct vif_queue *q, const struct ob_virtq_chain *c,
    const struct ob_virtq_seg *seg, struct rte_mbuf *m, struct ob_meta *meta)
{
	struct virtio_net_hdr_v1 hdr;
	int rc;

	if (c->readable_bytes < q->hdr_len + VIF_FRAME_MIN ||
	    c->readable_bytes > q->hdr_len + VIF_FRAME_MAX)
		return OB_DROP_VNET_HDR;
	rc = copy_in(ob_virtq_map(q->vq), c, seg, m, q->hdr_len);
	if (rc != 0)
		return rc == -ENOMEM ? OB_DROP_NO_MBUF : OB_DROP_GUEST_MEMORY;
	memcpy(&hdr, rte_pktmbuf_mtod(m, const void *), sizeof(hdr));
	rte_pktmbuf_adj(m, q->hdr_len);
	memset(meta, 0, sizeof(*meta));
	meta->in_vif = q->vif_idx;
	meta->out_vif = OB_VIF_NONE;
	return vnet_hdr_accept(&hdr, m, q->flags, meta) ? OB_N_DROPS : OB_DROP_VNET_HDR;
}

/* A chain's first lines: header and headers, all of a small packet. */
static inline void prefetch_chain(
    const struct ob_gmem_map *map, const struct ob_virtq_chain *c, const struct ob_virtq_seg *seg)
{
	ob_iova_t at = seg[c->seg_first].iova;

	if (c->n_readable == 0)
		return;
	ob_gmem_prefetch(map, at, false);
	ob_gmem_prefetch(map, (ob_iova_t){at.v + RTE_CACHE_LINE_SIZE}, false);
}

static void take_burst(struct ob_worker *w, struct vif_queue *q, const struct ob_virtq_chain *chain,
    const struct ob_virtq_seg *seg, unsigned n, struct ob_burst *b)
{
	struct rte_mbuf *m[OB_BURST_MAX];
	struct rte_mempool *pool = ob_worker_pool(w);
	uint64_t bytes = 0, gso = 0, errors = 0;
	const struct ob_gmem_map *map = ob_virtq_map(q->vq);
	bool bulk;

	for (unsigned i = 0; i < n && i < VIF_PREFETCH; i++)
		prefetch_chain(map, &chain[i], seg);
	bulk = rte_pktmbuf_alloc_bulk(pool, m, n) == 0;
	b->n = 0;
	for (unsigned i = 0; i < n; i++) {
		enum ob_drop why = OB_DROP_NO_MBUF;

		if (i + VIF_PREFETCH < n)
			prefetch_chain(map, &chain[i + VIF_PREFETCH], seg);
		if (!bulk)
			m[i] = rte_pktmbuf_alloc(pool);
		if (m[i] != NULL)
			why = take_one(q, &chain[i], seg, m[i], &b->meta[b->n]);
		if (why != OB_N_DROPS) {
			if (m[i] != NULL)
				ob_drop(w, why, q->vif_idx, m[i]);
			else
				ob_drop_count(w, why, q->vif_idx, 1);
			errors++;
			continue;
		}
		bytes += m[i]->pkt_len;
		gso += (b->meta[b->n].flags & OB_PKT_GSO) != 0;
		b->pkt[b->n++] = m[i];
	}
	vif_count(&q->counters->n_pkts, b->n);
	vif_count(&q->counters->n_bytes, bytes);
	vif_count(&q->counters->n_gso, gso);
	vif_count(&q->counters->n_errors, errors);
	vif_count(&q->counters->n_bursts, 1);
}

/* How many of the popped chains this poll takes; the others go back. */
static unsigned within_budget(struct vif_queue *q, const struct ob_virtq_chain *chain, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		bytes += chain[i].readable_bytes;
		if (bytes > VIF_POLL_BYTES && i > 0) {
			ob_virtq_unpop(q->vq, &chain[i], n - i);
			return i;
		}
	}
	return n;
}

unsigned vif_tx_poll(struct ob_worker *w, void *arg)
{
	static const uint32_t none[OB_BURST_MAX];
	struct vif_queue *q = arg;
	struct vif_stock *st = &q->vw->stock;
	struct ob_burst *b = &q->vw->in;
	unsigned n;
	int rc;

	rc = ob_virtq_begin(q->vq);
	if (rc == 0)
		rc = ob_virtq_pop(q->vq, st->chain, OB_BURST_MAX, st->seg, VIF_SEGS);
	if (rc <= 0) {
		if (rc == -EPROTO)
			vif_queue_broke(q);
		return 0;
	}
	n = within_budget(q, st->chain, (unsigned)rc);
	take_burst(w, q, st->chain, st->seg, n, b);
	/* The guest gets its buffers back before the packets are worked on. */
	ob_virtq_push(q->vq, st->chain, none, n);
	if (ob_virtq_flush(q->vq))
		vif_signal(q);
	if (b->n == 0)
		return n;
	if (vif_input == NULL || !__atomic_load_n(&q->vif->link_up, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < b->n; i++)
			ob_drop(w, OB_DROP_GUEST_DOWN, q->vif_idx, b->pkt[i]);
		return n;
	}
	vif_input(w, q->vif, b);
	return n;
}

bool vif_tx_arm(struct ob_worker *w, void *arg)
{
	struct vif_queue *q = arg;

	(void)w;
	return ob_virtq_begin(q->vq) == 0 && ob_virtq_arm(q->vq);
}

void vif_tx_disarm(struct ob_worker *w, void *arg)
{
	struct vif_queue *q = arg;

	(void)w;
	if (ob_virtq_begin(q->vq) == 0)
		ob_virtq_disarm(q->vq);
}
