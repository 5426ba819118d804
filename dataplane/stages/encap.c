/* SPDX-License-Identifier: BSD-3-Clause */
/* Into the tunnel. What a guest left to hardware is done here in software: its segments and checksums are finished before the outer headers
 * go in front, so that the port needs no offload for tunnelled packets. */
#include "stages_priv.h"

#include <errno.h>

static inline void encap_one(
    struct ob_worker *w, struct stage_ctx *c, struct rte_mbuf *pkt, const struct ob_meta *m)
{
	enum ob_drop why = ob_encap_push(w, pkt, m);

	if (unlikely(why != OB_PASS))
		ob_drop(w, why, m->in_vif, pkt);
	else
		uplink_tx_put(w, c, pkt);
}

/* Kept out of the loop: one super-packet is worth many packets. */
static __rte_noinline void encap_gso(
    struct ob_worker *w, struct stage_ctx *c, struct rte_mbuf *pkt, struct ob_meta *m)
{
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS];
	int n = ob_pkt_segment(pkt, m, ob_worker_pool(w), seg, OB_PKT_MAX_SEGS);

	if (n < 0) {
		ob_drop(w, n == -ENOMEM ? OB_DROP_NO_MBUF : OB_DROP_MALFORMED_L4, m->in_vif, pkt);
		return;
	}
	for (int i = 0; i < n; i++)
		encap_one(w, c, seg[i], m);
}

void ob_stage_encap(struct ob_worker *w, struct ob_burst *b)
{
	struct stage_ctx *c = ctx_of(w);

	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];

		if (unlikely(m->flags & OB_PKT_GSO)) {
			encap_gso(w, c, b->pkt[i], m);
			continue;
		}
		if ((m->flags & OB_PKT_L4_CSUM_PARTIAL) && ob_pkt_complete_csum(b->pkt[i], m) < 0) {
			ob_drop(w, OB_DROP_MALFORMED_L4, m->in_vif, b->pkt[i]);
			continue;
		}
		encap_one(w, c, b->pkt[i], m);
	}
	b->n = 0;
}
