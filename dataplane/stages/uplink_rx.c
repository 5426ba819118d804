/* SPDX-License-Identifier: BSD-3-Clause */
/* In from the port: overlay packets to us go on, everything else is the kernel's. */
#include "stages_priv.h"

#include <rte_ethdev.h>

static ob_uplink_input_fn input;

void ob_uplink_set_input(ob_uplink_input_fn fn)
{
	input = fn;
}

static void rx_burst(
    struct ob_worker *w, struct uplink *u, struct stage_ctx *c, struct rte_mbuf **pkt, unsigned n)
{
	const struct ob_encap_local *local = ob_encap_local();
	struct rte_mbuf *kernel[OB_BURST_MAX];
	struct ob_burst *b = &c->rx;
	unsigned k = 0, n_kernel = 0;

	for (unsigned i = 0; i < n && i < PREFETCH; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkt[i], void *));
	for (unsigned i = 0; i < n; i++) {
		enum ob_drop why = OB_DROP_OUTER_MALFORMED;

		if (i + PREFETCH < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkt[i + PREFETCH], void *));
		switch (ob_outer_parse(local, pkt[i], &c->outer[k], &why)) {
		case OB_OUTER_OVERLAY:
			b->pkt[k++] = pkt[i];
			break;
		case OB_OUTER_KERNEL:
			kernel[n_kernel++] = pkt[i];
			break;
		default:
			ob_drop(w, why, OB_VIF_NONE, pkt[i]);
			break;
		}
	}
	b->n = (uint16_t)k;
	stage_show(w, OB_FATE_WIRE_IN, b->pkt, k);
	if (n_kernel > 0)
		punt_burst(w, u, kernel, n_kernel);
	if (k > 0 && input != NULL)
		input(w, b, c->outer);
	else
		rte_pktmbuf_free_bulk(b->pkt, k);
}

unsigned uplink_rx_poll(struct ob_worker *w, void *arg)
{
	struct uplink *u = arg;
	struct stage_ctx *c = ctx_of(w);
	struct ob_uplink_counters *cnt = &uplink_counters[ob_worker_id(w)];
	unsigned total = 0;

	for (unsigned q = ob_worker_id(w); q < u->conf.n_rxq; q += u->n_workers) {
		struct rte_mbuf *pkt[OB_BURST_MAX];
		uint16_t n = rte_eth_rx_burst(u->conf.port_id, (uint16_t)q, pkt, OB_BURST_MAX);
		uint64_t bytes = 0;

		if (n == 0)
			continue;
		for (unsigned i = 0; i < n; i++)
			bytes += rte_pktmbuf_pkt_len(pkt[i]);
		stage_count(&cnt->rx_pkts, n);
		stage_count(&cnt->rx_bytes, bytes);
		rx_burst(w, u, c, pkt, n);
		total += n;
	}
	return total;
}
