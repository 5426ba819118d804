/* SPDX-License-Identifier: BSD-3-Clause */
/* The rewrite of a packet whose way is decided. */
#include "stages_priv.h"

static inline void apply_one(
    const struct ob_eni *eni, struct rte_mbuf *pkt, const struct ob_meta *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, struct rte_ether_hdr *);
	uint8_t *p = l3_of(pkt, m);

	memcpy(&eth->dst_addr, m->new_dmac, 6);
	if (!(m->flags & OB_PKT_ROUTED))
		return;
	memcpy(&eth->src_addr, eni->router_mac, 6);
	if (m->flags & OB_PKT_IP4) {
		uint32_t sum;

		/* RFC 1624: the word of TTL and protocol shrinks by 0x0100, so the checksum grows by it. */
		p[8]--;
		sum = load16(p + 10) + 0x0100u;
		store16(p + 10, (uint16_t)(sum + (sum >> 16)));
	} else {
		p[7]--;
	}
}

void ob_stage_apply(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	(void)w;
	for (unsigned i = 0; i < b->n; i++)
		apply_one(eni, b->pkt[i], &b->meta[i]);
}
