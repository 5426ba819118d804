/* SPDX-License-Identifier: BSD-3-Clause */
/* What does not fit the way out is told to its sender, cut, or segmented smaller: never lost in silence. */
#include "stages_priv.h"

/* IPv4 hosts need not take less (RFC 791), and a next hop that small would make one packet out of every 8 bytes. */
#define MIN_MTU 68

/* True: goes on. */
static inline bool fits(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(pkt) - m->l2_len;

	if (unlikely(m->flags & OB_PKT_GSO))
		len = m->l3_len + (uint32_t)m->l4_len + pkt->tso_segsz;
	return len <= m->mtu;
}

static inline enum pmtu_way way_of(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	/* Unknown: no next hop, which the encap stage counts. */
	if (likely(m->mtu == 0 || fits(pkt, m)))
		return PMTU_FITS;
	if ((m->flags & OB_PKT_DF) || m->mtu < MIN_MTU)
		return PMTU_TOLD;
	if (!(m->flags & OB_PKT_GSO))
		return PMTU_CUT;
	/* Without DF the segments may be cut anywhere; smaller segments are the kindest place. */
	return m->mtu <= m->l3_len + (uint32_t)m->l4_len ? PMTU_TOLD : PMTU_SMALLER;
}

enum pmtu_way pmtu_decide(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	return way_of(pkt, m);
}

void ob_stage_pmtu(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	unsigned k = 0;

	(void)w;
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		enum pmtu_way way = way_of(b->pkt[i], m);

		if (unlikely(way == PMTU_TOLD || way == PMTU_CUT)) {
			edge_put(
			    e, way == PMTU_TOLD ? OB_EDGE_TOO_BIG : OB_EDGE_FRAGMENT, b->pkt[i], m);
			continue;
		}
		if (unlikely(way == PMTU_SMALLER))
			b->pkt[i]->tso_segsz = (uint16_t)(m->mtu - (m->l3_len + m->l4_len));
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
