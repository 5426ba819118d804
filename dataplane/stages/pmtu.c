/* SPDX-License-Identifier: BSD-3-Clause */
/* What does not fit the way out is told to its sender, cut, or segmented smaller: never lost in silence. */
#include "stages_priv.h"

/* IPv4 hosts need not take less (RFC 791), and a next hop that small would make one packet out of every 8 bytes. */
#define MIN_MTU 68

/* True: goes on. */
static inline bool fits(struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(pkt) - m->l2_len;

	if (unlikely(m->flags & OB_PKT_GSO))
		len = m->l3_len + (uint32_t)m->l4_len + pkt->tso_segsz;
	return len <= m->mtu;
}

void ob_stage_pmtu(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	unsigned k = 0;

	(void)w;
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];

		/* Unknown: no next hop, which the encap stage counts. */
		if (unlikely(m->mtu != 0 && !fits(b->pkt[i], m))) {
			uint32_t hdrs = m->l3_len + (uint32_t)m->l4_len;

			if ((m->flags & OB_PKT_DF) || m->mtu < MIN_MTU) {
				edge_put(e, OB_EDGE_TOO_BIG, b->pkt[i], m);
				continue;
			}
			if (!(m->flags & OB_PKT_GSO)) {
				edge_put(e, OB_EDGE_FRAGMENT, b->pkt[i], m);
				continue;
			}
			/* Without DF the segments may be cut anywhere; smaller segments are the kindest place. */
			if (m->mtu <= hdrs) {
				edge_put(e, OB_EDGE_TOO_BIG, b->pkt[i], m);
				continue;
			}
			b->pkt[i]->tso_segsz = (uint16_t)(m->mtu - hdrs);
		}
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
