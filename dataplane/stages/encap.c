/* SPDX-License-Identifier: BSD-3-Clause */
/* Into the tunnel. What a guest left to hardware is done here in software: its segments and checksums are finished before the outer headers
 * go in front, so that the port needs no offload for tunnelled packets. */
#include "stages_priv.h"

#include <errno.h>

/* 'tap' is a constant where nobody watches. */
static __rte_always_inline void encap_one(struct ob_worker *w, struct ob_encap_run *r,
    ob_tap_fn tap, struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint32_t len = tap != NULL ? rte_pktmbuf_pkt_len(pkt) : 0;
	enum ob_drop why = ob_encap_push(r, pkt, m);

	if (unlikely(why != OB_PASS)) {
		ob_drop(w, why, m->in_vif, pkt);
		return;
	}
	if (tap != NULL)
		stage_show_one(tap, w, OB_FATE_SENT, pkt, m, rte_pktmbuf_pkt_len(pkt) - len);
	uplink_tx_put(w, ctx_of(w), pkt);
}

/* Kept out of the loop: one super-packet is worth many packets. */
static __rte_noinline void encap_gso(struct ob_worker *w, struct ob_encap_run *r, ob_tap_fn tap,
    struct rte_mbuf *pkt, struct ob_meta *m)
{
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS];
	int n = ob_pkt_segment(pkt, m, ob_worker_pool(w), seg, OB_PKT_MAX_SEGS);

	if (n < 0) {
		ob_drop(w, n == -ENOMEM ? OB_DROP_NO_MBUF : OB_DROP_MALFORMED_L4, m->in_vif, pkt);
		return;
	}
	for (int i = 0; i < n; i++)
		encap_one(w, r, tap, seg[i], m);
}

static __rte_always_inline void encap_all(struct ob_worker *w, ob_tap_fn tap, struct ob_burst *b)
{
	struct ob_encap_run run;

	ob_encap_begin(&run, w);
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];

		if (unlikely(m->flags & OB_PKT_GSO)) {
			encap_gso(w, &run, tap, b->pkt[i], m);
			continue;
		}
		if ((m->flags & OB_PKT_L4_CSUM_PARTIAL) && ob_pkt_complete_csum(b->pkt[i], m) < 0) {
			ob_drop(w, OB_DROP_MALFORMED_L4, m->in_vif, b->pkt[i]);
			continue;
		}
		encap_one(w, &run, tap, b->pkt[i], m);
	}
	ob_encap_end(&run);
	b->n = 0;
}

/* The loop once more, so that a packet that nobody watches pays nothing. */
static __rte_noinline void encap_watched(struct ob_worker *w, ob_tap_fn tap, struct ob_burst *b)
{
	encap_all(w, tap, b);
}

void ob_stage_encap(struct ob_worker *w, struct ob_burst *b)
{
	ob_tap_fn tap = ob_tap();

	if (unlikely(tap != NULL))
		encap_watched(w, tap, b);
	else
		encap_all(w, NULL, b);
}
