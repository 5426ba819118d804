/* SPDX-License-Identifier: BSD-3-Clause */
/* From the card's kernel to the port. */
#include "stages_priv.h"

#include <rte_ring.h>

unsigned inject_poll(struct ob_worker *w, void *arg)
{
	struct uplink *u = arg;
	struct rte_mbuf *pkt[OB_BURST_MAX];
	unsigned n =
	    rte_ring_sc_dequeue_burst(u->conf.inject_ring, (void **)pkt, OB_BURST_MAX, NULL);

	if (n == 0)
		return 0;
	ob_stage_uplink_tx(w, pkt, n);
	stage_count(&uplink_counters[ob_worker_id(w)].injected, n);
	return n;
}

bool inject_arm(struct ob_worker *w, void *arg)
{
	const struct uplink *u = arg;

	(void)w;
	return !rte_ring_empty(u->conf.inject_ring);
}
