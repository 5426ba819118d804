/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest behind a DPDK port (a virtual function, a generator) instead of behind virtqueues. */
#include <errno.h>
#include <stdlib.h>

#include <rte_ethdev.h>

#include "vif_int.h"

#define TRIES \
	4 /* a port that takes nothing four times is full, and waiting would stop the other guests too */

/* ---- from the port ---- */

static inline void meta_init(struct ob_meta *meta, const struct rte_mbuf *m, uint16_t vif)
{
	memset(meta, 0, sizeof(*meta));
	meta->in_vif = vif;
	meta->out_vif = OB_VIF_NONE;
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		meta->flags = OB_PKT_L4_CSUM_GOOD;
}

static unsigned port_poll(struct ob_worker *w, void *arg)
{
	const struct vif_port_rx *r = arg;
	struct vif_port *p = r->port;
	struct ob_burst *b = &r->vw->in;
	uint64_t bytes = 0;
	uint16_t n = rte_eth_rx_burst(p->conf.port_id, r->queue, b->pkt, OB_BURST_MAX);

	if (n == 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		bytes += b->pkt[i]->pkt_len;
		meta_init(&b->meta[i], b->pkt[i], p->vif_idx);
	}
	b->n = n;
	vif_count(&r->counters->n_pkts, n);
	vif_count(&r->counters->n_bytes, bytes);
	vif_count(&r->counters->n_bursts, 1);
	if (likely(vif_input != NULL && __atomic_load_n(&p->vif->link_up, __ATOMIC_RELAXED))) {
		vif_input(w, p->vif, b);
		return n;
	}
	for (unsigned i = 0; i < n; i++)
		ob_drop(w, OB_DROP_GUEST_DOWN, p->vif_idx, b->pkt[i]);
	return n;
}

/* ---- to the port ---- */

static uint64_t bytes_of(struct rte_mbuf **pkts, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += rte_pktmbuf_pkt_len(pkts[i]);
	return bytes;
}

/* For a port that takes only linear packets; what cannot be made one is dropped. */
static unsigned linearize(
    struct ob_worker *w, const struct vif_port *p, struct rte_mbuf **pkts, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		if (pkts[i]->nb_segs > 1 && rte_pktmbuf_linearize(pkts[i]) < 0)
			ob_drop(w, OB_DROP_NO_MBUF, p->vif_idx, pkts[i]);
		else
			pkts[k++] = pkts[i];
	}
	return k;
}

void vif_port_flush(struct ob_worker *w, struct vif_port_tx *t)
{
	struct vif_port *p = t->port;
	uint16_t sent = 0, n = (uint16_t)(p->multi_seg ? t->n : linearize(w, p, t->pkt, t->n));
	uint64_t bytes = bytes_of(t->pkt, n);

	t->n = 0;
	if (p->shared_txq)
		rte_spinlock_lock(&p->lock[t->queue]);
	for (unsigned i = 0; i < TRIES && sent < n; i++)
		sent = (uint16_t)(sent + rte_eth_tx_burst(p->conf.port_id, t->queue, t->pkt + sent,
					     (uint16_t)(n - sent)));
	if (unlikely(sent < n)) {
		bytes -= bytes_of(t->pkt + sent, n - sent);
		vif_count(&t->counters->n_full, 1);
	}
	vif_count(&t->counters->n_pkts, sent);
	vif_count(&t->counters->n_bytes, bytes);
	vif_count(&t->counters->n_bursts, 1);
	if (p->shared_txq)
		rte_spinlock_unlock(&p->lock[t->queue]);
	if (unlikely(sent < n)) {
		ob_drop_bulk(w, OB_DROP_GUEST_RING_FULL, p->vif_idx, t->pkt + sent, n - sent);
	}
}

/* Leaves the checksum to the port if it can do this one; the field holds the pseudo header's sum already. */
static bool offload_csum(const struct vif_port *p, struct rte_mbuf *m, struct ob_meta *meta)
{
	uint64_t l4;

	if (meta->csum_start != meta->l2_len + meta->l3_len || (meta->flags & OB_PKT_FRAG) ||
	    meta->l3_len >= 1 << RTE_MBUF_L3_LEN_BITS)
		return false;
	if ((meta->flags & OB_PKT_TCP) && (p->conf.tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM))
		l4 = RTE_MBUF_F_TX_TCP_CKSUM;
	else if ((meta->flags & OB_PKT_UDP) && (p->conf.tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM))
		l4 = RTE_MBUF_F_TX_UDP_CKSUM;
	else
		return false;
	m->ol_flags |= l4 | ((meta->flags & OB_PKT_IP4) ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
	m->tx_offload = rte_mbuf_tx_offload(meta->l2_len, meta->l3_len, meta->l4_len, 0, 0, 0, 0);
	meta->flags &= (uint16_t)~OB_PKT_L4_CSUM_PARTIAL;
	return true;
}

void vif_port_put_slow(
    struct ob_worker *w, struct vif_port_tx *t, struct rte_mbuf *m, struct ob_meta *meta)
{
	struct rte_mbuf **seg = t->vw->seg;
	int n = 1;

	if (meta->flags & OB_PKT_GSO) {
		n = ob_pkt_segment(m, meta, ob_worker_pool(w), seg, OB_PKT_MAX_SEGS);
	} else {
		seg[0] = m;
		if (!offload_csum(t->port, m, meta) && ob_pkt_complete_csum(m, meta) != 0)
			n = -EINVAL;
	}
	if (n < 0) {
		ob_drop(
		    w, n == -ENOMEM ? OB_DROP_NO_MBUF : OB_DROP_MALFORMED_L4, t->port->vif_idx, m);
		return;
	}
	for (int i = 0; i < n; i++)
		vif_port_add(w, t, seg[i]);
}

/* ---- control ---- */

struct ob_worker *ob_vif_port_worker(const struct ob_vif *vif, unsigned q)
{
	return ob_worker_get((vif->idx + q) % ob_workers_count());
}

static struct ob_source rx_source(struct vif_port_rx *r)
{
	return (struct ob_source){.name = r->port->vif->conf.name,
	    .poll = port_poll,
	    .wake_fd = -1,
	    .must_poll = true,
	    .arg = r};
}

/* On the worker: what waits goes out, then nothing of the port is left here. */
static int leave(struct ob_worker *w, void *arg)
{
	struct vif_port_tx *t = arg;

	for (struct vif_port_tx **p = &t->vw->dirty_ports; t->dirty && *p != NULL;
	     p = &(*p)->next_dirty) {
		if (*p != t)
			continue;
		*p = t->next_dirty;
		t->dirty = false;
		vif_port_flush(w, t);
		break;
	}
	return 0;
}

static void from_workers(struct vif_port *p)
{
	for (unsigned q = 0; q < p->conf.n_rxq; q++) {
		struct ob_source src = rx_source(&p->rx[q]);

		ob_worker_del_source(ob_vif_port_worker(p->vif, q), &src);
	}
	for (unsigned i = 0; i < p->n_workers; i++) {
		struct ob_worker *w = ob_worker_get(i);

		if (p->tx[i].vw == NULL)
			continue;
		ob_worker_call(w, leave, &p->tx[i]);
		vif_worker_put(w);
	}
}

static int to_workers(struct vif_port *p)
{
	struct vif_arena *a = p->vif->arena;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < p->n_workers; i++) {
		struct vif_port_tx *t = &p->tx[i];

		t->port = p;
		t->queue = (uint16_t)(i % p->conf.n_txq);
		t->counters = &a->counters[2 * t->queue];
		rc = vif_worker_get(ob_worker_get(i), &t->vw);
	}
	/* Answers need a way back before questions come. */
	if (rc == 0)
		ob_rcu_publish(&p->vif->port, p);
	for (unsigned q = 0; rc == 0 && q < p->conf.n_rxq; q++) {
		struct ob_worker *w = ob_vif_port_worker(p->vif, q);
		struct ob_source src;

		p->rx[q] = (struct vif_port_rx){.port = p,
		    .vw = p->tx[ob_worker_id(w)].vw,
		    .counters = &a->counters[2 * q + 1],
		    .queue = (uint16_t)q};
		src = rx_source(&p->rx[q]);
		rc = ob_worker_add_source(w, &src);
	}
	return rc;
}

int ob_vif_attach_port(struct ob_vif *vif, const struct ob_vif_port_conf *conf)
{
	unsigned most = RTE_MIN(ob_workers_count(), (unsigned)OB_VIF_MAX_PAIRS);
	struct vif_port *p;
	int rc;

	if (vif->conf.gm != NULL || conf->n_rxq == 0 || conf->n_rxq > most || conf->n_txq == 0 ||
	    conf->n_txq > most || conf->n_rxq > vif->conf.n_pairs ||
	    conf->n_txq > vif->conf.n_pairs || !rte_eth_dev_is_valid_port(conf->port_id))
		return -EINVAL;
	if (vif->port != NULL)
		return -EALREADY;
	p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*p), RTE_CACHE_LINE_SIZE));
	if (p == NULL)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->conf = *conf;
	p->vif = vif;
	p->vif_idx = vif->idx;
	p->n_workers = ob_workers_count();
	p->multi_seg = (conf->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	p->shared_txq = conf->n_txq < p->n_workers;
	for (unsigned i = 0; i < OB_VIF_MAX_PAIRS; i++)
		rte_spinlock_init(&p->lock[i]);
	rc = to_workers(p);
	if (rc == 0)
		return 0;
	ob_rcu_publish(&vif->port, NULL);
	from_workers(p);
	ob_rcu_defer(free, p);
	return rc;
}

void ob_vif_detach_port(struct ob_vif *vif)
{
	struct vif_port *p = vif->port;

	if (p == NULL)
		return;
	ob_rcu_publish(&vif->port, NULL);
	from_workers(p);
	ob_rcu_defer(free, p);
}
