/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

struct handoff_fn ob_handoff;

void ob_workers_set_handoff(
    void (*fn)(struct ob_worker *w, struct ob_burst *b, void *arg), void *arg)
{
	ob_handoff = (struct handoff_fn){.fn = fn, .arg = arg};
}

void ob_worker_handoff(struct ob_worker *from, struct ob_worker *to, struct rte_mbuf **pkts,
    const struct ob_meta *meta, unsigned n)
{
	unsigned put;

	for (unsigned i = 0; i < n; i++)
		*(struct ob_meta *)rte_mbuf_to_priv(pkts[i]) = meta[i];
	put = rte_ring_mp_enqueue_burst(to->handoff, (void *const *)pkts, n, NULL);
	from->counters->n_handoff_out += put;
	for (unsigned i = put; i < n; i++)
		ob_drop(from, OB_DROP_HANDOFF_FULL, meta[i].in_vif, pkts[i]);
	if (put > 0)
		ob_worker_wake(to);
}
