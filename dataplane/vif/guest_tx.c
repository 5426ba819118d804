/* SPDX-License-Identifier: BSD-3-Clause */
/* From the pipeline into a guest's receive queue. */
#include <errno.h>

#include "vif_int.h"
#include "vnet_hdr.h"

/* ---- the stock of receive buffers ---- */

static void stock_push_filled(struct vif_queue *q, struct vif_stock *st)
{
	if (st->first > 0)
		ob_virtq_push(q->vq, st->chain, st->written, st->first);
	st->n -= st->first;
	memmove(st->chain, st->chain + st->first, st->n * sizeof(st->chain[0]));
	st->first = 0;
}

/* Moves the segments of the free chains to the front. */
static void stock_compact_segs(struct vif_stock *st)
{
	unsigned from = st->first < st->n ? st->chain[st->first].seg_first : st->n_segs;

	memmove(st->seg, st->seg + from, (st->n_segs - from) * sizeof(st->seg[0]));
	st->n_segs -= from;
	for (unsigned i = st->first; i < st->n; i++)
		st->chain[i].seg_first -= from;
}

/* Gets up to 'want' more buffers. Returns the number, 0: the guest posted no more, -ENOSPC no place for them, -EPROTO. */
static int stock_refill(struct vif_queue *q, struct vif_stock *st, unsigned want)
{
	struct ob_virtq_chain *c;
	int got;

	if (st->n + want > VIF_STOCK)
		stock_push_filled(q, st);
	if (st->n_segs + OB_VIRTQ_MAX_SIZE > VIF_SEGS)
		stock_compact_segs(st);
	if (st->n == VIF_STOCK || st->n_segs + OB_VIRTQ_MAX_SIZE > VIF_SEGS)
		return -ENOSPC;
	c = &st->chain[st->n];
	got = ob_virtq_pop(q->vq, c, RTE_MIN(want, VIF_STOCK - st->n), st->seg + st->n_segs,
	    VIF_SEGS - st->n_segs);
	if (got <= 0)
		return got;
	for (int i = 0; i < got; i++)
		c[i].seg_first += st->n_segs;
	st->n_segs = c[got - 1].seg_first + c[got - 1].n_seg;
	st->n += (unsigned)got;
	return got;
}

/* Finds buffers for 'need' bytes from st->first on. Sets '*n_bufs'. Returns OB_N_DROPS, or why there are none. */
static enum ob_drop stock_reserve(
    struct vif_queue *q, struct vif_stock *st, uint32_t need, unsigned *n_bufs)
{
	uint32_t have = 0;
	unsigned n = 0;
	int rc;

	for (;;) {
		const struct ob_virtq_chain *c;

		if (st->first + n == st->n) {
			/* As many as the missing bytes take at the size of the last one. */
			uint32_t each =
			    n > 0 ? RTE_MAX(st->chain[st->first + n - 1].writable_bytes, 1u) : need;

			rc = stock_refill(
			    q, st, RTE_MIN((need - have) / each + 1, VIF_PKT_BUFS - n));
			if (rc == -ENOSPC)
				return OB_DROP_GUEST_TOO_LONG;
			if (rc <= 0)
				return OB_DROP_GUEST_RING_FULL;
		}
		c = &st->chain[st->first + n];
		if (n == 0 && c->writable_bytes < q->hdr_len) {
			/* No place for the header: the driver breaks 5.1.6.3.1. It gets the buffer back unused. */
			st->written[st->first++] = 0;
			vif_count(&q->counters->n_errors, 1);
			continue;
		}
		have += RTE_MIN(c->writable_bytes, need - have);
		n++;
		if (have == need)
			break;
		if (!(q->flags & VIF_Q_MERGE) || n == VIF_PKT_BUFS)
			return OB_DROP_GUEST_TOO_LONG;
	}
	*n_bufs = n;
	return OB_N_DROPS;
}

static void stock_settle(struct vif_queue *q, struct vif_stock *st)
{
	rte_pktmbuf_free_bulk(st->done, st->n_done);
	vif_count(&q->counters->n_pkts, st->n_pkts);
	vif_count(&q->counters->n_bytes, st->n_bytes);
	vif_count(&q->counters->n_gso, st->n_gso);
	vif_count(&q->counters->n_bursts, 1);
}

/* ---- writing ---- */

struct writer {
	const struct ob_gmem_map *map;
	struct vif_stock *st;
	unsigned chain;
	const struct ob_virtq_seg *seg, *seg_end;
	uint32_t off; /* within seg */
};

static void writer_chain(struct writer *wr, unsigned i)
{
	const struct ob_virtq_chain *c = &wr->st->chain[i];

	wr->chain = i;
	wr->seg = &wr->st->seg[c->seg_first + c->n_readable];
	wr->seg_end = &wr->st->seg[c->seg_first + c->n_seg];
	wr->off = 0;
	wr->st->written[i] = 0;
}

/* There is room: stock_reserve has counted it. */
static int writer_put(struct writer *wr, const uint8_t *p, uint32_t len)
{
	while (len > 0) {
		uint32_t n;
		int rc;

		if (wr->seg == wr->seg_end) {
			writer_chain(wr, wr->chain + 1);
			continue;
		}
		n = RTE_MIN(len, wr->seg->len - wr->off);
		rc = ob_gmem_store(wr->map, (ob_iova_t){wr->seg->iova.v + wr->off}, p, n);
		if (rc != 0)
			return rc;
		wr->st->written[wr->chain] += n;
		wr->off += n;
		p += n;
		len -= n;
		if (wr->off == wr->seg->len) {
			wr->seg++;
			wr->off = 0;
		}
	}
	return 0;
}

/* Header and frame. Where nobody else holds the mbuf the header goes in front of the frame in its headroom, so that the usual packet
 * is one store. */
static int write_packet(struct vif_queue *q, struct vif_stock *st, struct rte_mbuf *m,
    const struct ob_meta *meta, unsigned n_bufs)
{
	struct virtio_net_hdr_v1_hash hdr;
	struct writer wr = {.map = ob_virtq_map(q->vq), .st = st};
	int rc = 0;

	vnet_hdr_fill(&hdr.hdr, m, meta, q->flags, (uint16_t)n_bufs);
	if (q->flags & VIF_Q_HASH) {
		const struct vif_steering *s = ob_rcu_load(&q->vif->steering);
		uint16_t report = VIRTIO_NET_HASH_REPORT_NONE;

		hdr.hash_value = s != NULL && s->conf.hash_report
				     ? rte_cpu_to_le_32(vif_rss_hash(s, m, meta, &report))
				     : 0;
		hdr.hash_report = rte_cpu_to_le_16(report);
		hdr.padding = 0;
	}
	writer_chain(&wr, st->first);
	if (rte_pktmbuf_headroom(m) >= q->hdr_len && rte_mbuf_refcnt_read(m) == 1 &&
	    RTE_MBUF_DIRECT(m))
		memcpy(rte_pktmbuf_prepend(m, q->hdr_len), &hdr, q->hdr_len);
	else
		rc = writer_put(&wr, (const uint8_t *)&hdr, q->hdr_len);
	for (const struct rte_mbuf *s = m; s != NULL && rc == 0; s = s->next)
		rc = writer_put(&wr, rte_pktmbuf_mtod(s, const uint8_t *), s->data_len);
	return rc;
}

/* 'skip': bytes in front of the frame. */
static void show(ob_tap_fn tap, struct ob_worker *w, const struct rte_mbuf *m,
    const struct ob_meta *meta, uint16_t out_vif, uint32_t skip)
{
	const struct ob_seen seen = {.fate = OB_FATE_DELIVERED,
	    .flags = meta->flags,
	    .in_vif = meta->in_vif,
	    .out_vif = out_vif,
	    .skip = skip};

	tap(w, m, &seen);
}

/* One frame that the guest takes as it is. Consumes it. 'tap' is a constant where nobody watches. */
static __rte_always_inline void put_one(struct ob_worker *w, struct vif_queue *q, ob_tap_fn tap,
    struct rte_mbuf *m, const struct ob_meta *meta)
{
	struct vif_stock *st = &q->vw->stock;
	uint32_t bytes = m->pkt_len;
	enum ob_drop why;
	unsigned n_bufs;

	why = stock_reserve(q, st, q->hdr_len + bytes, &n_bufs);
	if (why == OB_N_DROPS && write_packet(q, st, m, meta, n_bufs) != 0) {
		/* These buffers cannot be written: back to the guest as empty, or the queue would stand still. */
		memset(&st->written[st->first], 0, n_bufs * sizeof(st->written[0]));
		st->first += n_bufs;
		why = OB_DROP_GUEST_MEMORY;
	}
	if (why != OB_N_DROPS) {
		if (why == OB_DROP_GUEST_RING_FULL)
			vif_count(&q->counters->n_full, 1);
		else
			vif_count(&q->counters->n_errors, 1);
		/* Without the header that it may have got. */
		rte_pktmbuf_adj(m, (uint16_t)(m->pkt_len - bytes));
		ob_drop(w, why, q->vif_idx, m);
		return;
	}
	if (tap != NULL)
		show(tap, w, m, meta, q->vif_idx, m->pkt_len - bytes);
	st->first += n_bufs;
	st->n_pkts++;
	st->n_bytes += bytes;
	if (st->n_done == OB_BURST_MAX) {
		rte_pktmbuf_free_bulk(st->done, st->n_done);
		st->n_done = 0;
	}
	st->done[st->n_done++] = m;
}

static __rte_noinline void put_segmented(struct ob_worker *w, struct vif_queue *q, ob_tap_fn tap,
    struct rte_mbuf *m, struct ob_meta *meta)
{
	struct rte_mbuf **seg = q->vw->seg;
	int n = ob_pkt_segment(m, meta, ob_worker_pool(w), seg, OB_PKT_MAX_SEGS);

	if (n < 0) {
		ob_drop(w, n == -ENOMEM ? OB_DROP_NO_MBUF : OB_DROP_MALFORMED_L4, q->vif_idx, m);
		vif_count(&q->counters->n_errors, 1);
		return;
	}
	for (int i = 0; i < n; i++)
		put_one(w, q, tap, seg[i], meta);
}

static __rte_always_inline void deliver_one(struct ob_worker *w, struct vif_queue *q, ob_tap_fn tap,
    struct rte_mbuf *m, struct ob_meta *meta)
{
	if (meta->flags & OB_PKT_GSO) {
		if (!vnet_takes_gso(m, meta, q->flags)) {
			put_segmented(w, q, tap, m, meta);
			return;
		}
		q->vw->stock.n_gso++;
	} else if ((meta->flags & OB_PKT_L4_CSUM_PARTIAL) && !(q->flags & VIF_Q_CSUM) &&
		   ob_pkt_complete_csum(m, meta) != 0) {
		ob_drop(w, OB_DROP_MALFORMED_L4, q->vif_idx, m);
		return;
	}
	put_one(w, q, tap, m, meta);
}

/* The loop once more, so that a packet that nobody watches pays nothing. */
static __rte_noinline void deliver_watched(
    struct ob_worker *w, struct vif_queue *q, ob_tap_fn tap, struct ob_burst *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		deliver_one(w, q, tap, b->pkt[i], &b->meta[i]);
}

static void drop_edge(struct ob_worker *w, struct vif_queue *q)
{
	for (unsigned i = 0; i < q->edge->n; i++)
		ob_drop(w, OB_DROP_GUEST_DOWN, q->vif_idx, q->edge->pkt[i]);
	q->edge->n = 0;
}

/* Where packet 'i' from here will go if each takes one buffer. */
static inline void prefetch_buffer(
    const struct vif_queue *q, const struct vif_stock *st, unsigned i)
{
	const struct ob_virtq_chain *c;
	ob_iova_t at;

	if (st->first + i >= st->n)
		return;
	c = &st->chain[st->first + i];
	at = st->seg[c->seg_first + c->n_readable].iova;
	ob_gmem_prefetch(ob_virtq_map(q->vq), at, true);
	ob_gmem_prefetch(ob_virtq_map(q->vq), (ob_iova_t){at.v + RTE_CACHE_LINE_SIZE}, true);
}

void vif_deliver(struct ob_worker *w, struct vif_queue *q)
{
	struct vif_stock *st = &q->vw->stock;
	struct ob_burst *b = q->edge;
	ob_tap_fn tap = ob_tap();
	unsigned n = b->n;
	int rc;

	if (n == 0)
		return;
	rc = ob_virtq_begin(q->vq);
	if (rc == 0 && n > 1 && (q->flags & (VIF_Q_TSO4 | VIF_Q_TSO6)))
		n = b->n = (uint16_t)vif_gro(
		    b->pkt, b->meta, n, (q->flags & VIF_Q_TSO4) != 0, (q->flags & VIF_Q_TSO6) != 0);
	st->first = st->n = st->n_segs = st->n_done = 0;
	st->n_pkts = st->n_bytes = st->n_gso = 0;
	if (rc == 0)
		rc = stock_refill(q, st, n);
	if (rc < 0) {
		if (rc == -EPROTO)
			vif_queue_broke(q);
		drop_edge(w, q);
		return;
	}
	for (unsigned i = 0; i < VIF_PREFETCH; i++)
		prefetch_buffer(q, st, i);
	if (unlikely(tap != NULL))
		deliver_watched(w, q, tap, b, n);
	else
		for (unsigned i = 0; i < n; i++) {
			prefetch_buffer(q, st, VIF_PREFETCH);
			deliver_one(w, q, NULL, b->pkt[i], &b->meta[i]);
		}
	b->n = 0;
	stock_settle(q, st);
	if (ob_virtq_broken(q->vq)) {
		vif_queue_broke(q);
		return;
	}
	stock_push_filled(q, st);
	if (st->n > 0)
		ob_virtq_unpop(q->vq, st->chain, st->n);
	if (ob_virtq_flush(q->vq))
		vif_signal(q);
}

void vif_flush(struct ob_worker *w, void *arg)
{
	struct vif_worker *vw = arg;

	while (vw->dirty != NULL) {
		struct vif_queue *q = vw->dirty;

		vw->dirty = q->next_dirty;
		q->next_dirty = NULL;
		q->dirty = false;
		vif_deliver(w, q);
	}
	while (vw->dirty_ports != NULL) {
		struct vif_port_tx *t = vw->dirty_ports;

		vw->dirty_ports = t->next_dirty;
		t->dirty = false;
		vif_port_flush(w, t);
	}
}

/* ---- the edge buffers ---- */

/* The receive queue for a packet, or NULL and why not. */
static struct vif_queue *choose(const struct ob_vif *vif, const struct rte_mbuf *m,
    const struct ob_meta *meta, enum ob_drop *why)
{
	const struct vif_filter *f;
	const struct vif_steering *s;
	struct vif_queue *q = NULL;

	*why = OB_DROP_GUEST_DOWN;
	if (vif == NULL || !__atomic_load_n(&vif->link_up, __ATOMIC_RELAXED))
		return NULL;
	f = ob_rcu_load(&vif->filter);
	if (m->data_len < VIF_FRAME_MIN ||
	    (f != NULL && !vif_filter_pass(f, rte_pktmbuf_mtod(m, const uint8_t *), meta))) {
		*why = OB_DROP_GUEST_FILTER;
		return NULL;
	}
	s = ob_rcu_load(&vif->steering);
	if (s != NULL)
		q = ob_rcu_load(&vif->queue[2 * vif_steer(s, m, meta)]);
	/* A driver may have started fewer queues than it asked for. */
	return q != NULL ? q : ob_rcu_load(&vif->queue[0]);
}

/* Packets for queues of another worker, handed over in runs. */
struct handoff {
	struct ob_worker *to;
	unsigned n;
	struct rte_mbuf *pkt[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
};

static void handoff_flush(struct ob_worker *w, struct handoff *h)
{
	if (h->n > 0)
		ob_worker_handoff(w, h->to, h->pkt, h->meta, h->n);
	h->n = 0;
}

static void handoff_add(struct ob_worker *w, struct handoff *h, const struct vif_queue *q,
    struct rte_mbuf *m, const struct ob_meta *meta)
{
	if (h->n == OB_BURST_MAX || h->to != q->worker)
		handoff_flush(w, h);
	h->to = q->worker;
	h->pkt[h->n] = m;
	h->meta[h->n] = *meta;
	h->meta[h->n++].vif_gen = q->vif_gen;
}

static inline void edge_add(
    struct ob_worker *w, struct vif_queue *q, struct rte_mbuf *m, const struct ob_meta *meta)
{
	struct ob_burst *b = q->edge;

	if (b->n == OB_BURST_MAX)
		vif_deliver(w, q);
	if (!q->dirty) {
		q->dirty = true;
		q->next_dirty = q->vw->dirty;
		q->vw->dirty = q;
	}
	b->pkt[b->n] = m;
	b->meta[b->n++] = *meta;
}

/* This worker's way to the port, or NULL: no port, or its link was taken down. */
static struct vif_port_tx *port_tx(const struct ob_worker *w, const struct ob_vif *vif)
{
	struct vif_port *p = vif != NULL ? ob_rcu_load(&vif->port) : NULL;

	return p != NULL && __atomic_load_n(&vif->link_up, __ATOMIC_RELAXED)
		   ? &p->tx[ob_worker_id(w)]
		   : NULL;
}

/* To ports: shown when they are put into the port's buffer. What it then does not take is seen once more, as a drop. */
static __rte_noinline void show_to_ports(ob_tap_fn tap, struct ob_worker *w, struct rte_mbuf **pkts,
    const struct ob_meta *meta, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t idx = meta[i].out_vif;

		if (port_tx(w, ob_vif_get(idx)) != NULL)
			show(tap, w, pkts[i], &meta[i], idx, 0);
	}
}

void ob_vif_output(struct ob_worker *w, struct rte_mbuf **pkts, struct ob_meta *meta, unsigned n)
{
	ob_tap_fn tap = ob_tap();
	struct handoff h;
	const struct ob_vif *vif = NULL;
	struct vif_port_tx *tx = NULL;
	uint16_t idx = OB_VIF_NONE;

	if (unlikely(tap != NULL))
		show_to_ports(tap, w, pkts, meta, n);
	h.n = 0;
	h.to = NULL;
	for (unsigned i = 0; i < n; i++) {
		enum ob_drop why;
		struct vif_queue *q;

		if (meta[i].out_vif != idx) {
			idx = meta[i].out_vif;
			vif = ob_vif_get(idx);
			tx = port_tx(w, vif);
		}
		if (tx != NULL) {
			if (unlikely(meta[i].flags & (OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL)))
				vif_port_put_slow(w, tx, pkts[i], &meta[i]);
			else
				vif_port_add(w, tx, pkts[i]);
			continue;
		}
		q = choose(vif, pkts[i], &meta[i], &why);
		if (q == NULL)
			ob_drop(w, why, idx, pkts[i]);
		else if (q->worker == w)
			edge_add(w, q, pkts[i], &meta[i]);
		else
			handoff_add(w, &h, q, pkts[i], &meta[i]);
	}
	handoff_flush(w, &h);
}

void ob_vif_handoff_in(struct ob_worker *w, struct ob_burst *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct ob_vif *vif = ob_vif_get(b->meta[i].out_vif);

		/* The index may belong to somebody else's function by now, who must not see the packet. */
		if (vif == NULL || vif->gen != b->meta[i].vif_gen) {
			ob_drop(w, OB_DROP_GUEST_DOWN, OB_VIF_NONE, b->pkt[i]);
			continue;
		}
		b->pkt[n] = b->pkt[i];
		if (n != i)
			b->meta[n] = b->meta[i];
		n++;
	}
	ob_vif_output(w, b->pkt, b->meta, n);
}
