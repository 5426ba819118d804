/* SPDX-License-Identifier: BSD-3-Clause */
/* Out of the port: a buffer per worker, emptied when it fills and at the end of each round. */
#include "stages_priv.h"

#include <rte_ethdev.h>
#include <rte_spinlock.h>

#define TRIES \
	4 /* a port that takes nothing four times is full, and waiting would stop the guests too */

static uint64_t bytes_of(struct rte_mbuf **pkts, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += rte_pktmbuf_pkt_len(pkts[i]);
	return bytes;
}

/* For a port that takes only linear packets; what cannot be made one is dropped. */
static unsigned linearize(struct ob_worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		if (pkts[i]->nb_segs > 1 && rte_pktmbuf_linearize(pkts[i]) < 0)
			ob_drop(w, OB_DROP_NO_MBUF, OB_VIF_NONE, pkts[i]);
		else
			pkts[k++] = pkts[i];
	}
	return k;
}

void uplink_tx_flush(struct ob_worker *w, void *arg)
{
	struct stage_ctx *c = ctx_of(w);
	struct uplink *u = ob_rcu_load(&uplink);
	struct ob_uplink_counters *n = &uplink_counters[ob_worker_id(w)];
	uint16_t queue, count, sent = 0;
	uint64_t bytes;

	(void)arg;
	if (c->n_tx == 0)
		return;
	if (unlikely(u == NULL)) {
		ob_drop_bulk(w, OB_DROP_NO_NEXTHOP, OB_VIF_NONE, c->tx, c->n_tx);
		c->n_tx = 0;
		return;
	}
	count = (uint16_t)(u->multi_seg ? c->n_tx : linearize(w, c->tx, c->n_tx));
	bytes = bytes_of(c->tx, count);
	/* Before the port has them: afterwards they may be gone. What it then does not take is seen once more, as a drop. */
	stage_show(w, OB_FATE_WIRE_OUT, c->tx, count);
	queue = (uint16_t)(ob_worker_id(w) % u->conf.n_txq);
	if (u->shared_txq)
		rte_spinlock_lock(&u->tx_lock[queue]);
	for (unsigned i = 0; i < TRIES && sent < count; i++)
		sent = (uint16_t)(sent + rte_eth_tx_burst(u->conf.port_id, queue, c->tx + sent,
					     (uint16_t)(count - sent)));
	if (u->shared_txq)
		rte_spinlock_unlock(&u->tx_lock[queue]);
	if (unlikely(sent < count)) {
		bytes -= bytes_of(c->tx + sent, count - sent);
		ob_drop_bulk(w, OB_DROP_UPLINK_FULL, OB_VIF_NONE, c->tx + sent, count - sent);
	}
	stage_count(&n->tx_pkts, sent);
	stage_count(&n->tx_bytes, bytes);
	c->n_tx = 0;
}

void ob_stage_uplink_tx(struct ob_worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct stage_ctx *c = ctx_of(w);

	for (unsigned i = 0; i < n; i++)
		uplink_tx_put(w, c, pkts[i]);
}
