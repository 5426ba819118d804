/* SPDX-License-Identifier: BSD-3-Clause */
/* From the overlay to a guest of this card: the ENI that has the inner MAC in the VNET of the VNI. */
#include "stages_priv.h"

#define ND_NS 135

/* Asked from the wire for a guest's MAC: the card answers for it, as it does toward its guests. */
static inline bool is_question(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	if (m->flags & OB_PKT_ARP)
		return true;
	return (m->flags & (OB_PKT_IP6 | OB_PKT_ICMP | OB_PKT_FRAG)) ==
		   (OB_PKT_IP6 | OB_PKT_ICMP) &&
	       *l4_of(pkt, m) == ND_NS;
}

/* The number may be another ENI's since the key was found. */
static inline bool is_meant(
    const struct ob_eni *eni, const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	const struct ob_policy_vnet *vnet = ob_vnet_at(eni->vnet);

	return vnet != NULL && vnet->vni == m->vni &&
	       memcmp(eni->mac, rte_pktmbuf_mtod(pkt, const uint8_t *), 6) == 0;
}

/* Why a packet found no ENI; not on the main way. */
static __rte_noinline enum ob_drop lost(const struct ob_meta *m)
{
	struct ob_key key = ob_key_vni(m->vni);
	uint32_t vnet;

	ob_policy_find(&key, &vnet, 1);
	if (vnet == OB_TABLE_MISS)
		return OB_DROP_VNI_UNKNOWN;
	return m->flags & OB_PKT_MCAST ? OB_DROP_MULTICAST : OB_DROP_NO_INNER_ENI;
}

void ob_stage_deliver(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	struct ob_key key[OB_BURST_MAX];
	uint32_t value[OB_BURST_MAX];
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++)
		key[i] = ob_key_mac(b->meta[i].vni, rte_pktmbuf_mtod(b->pkt[i], const uint8_t *));
	ob_policy_find(key, value, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		const struct ob_eni *eni;

		if (unlikely(is_question(b->pkt[i], m))) {
			edge_put(e, m->flags & OB_PKT_ARP ? OB_EDGE_ARP : OB_EDGE_ND, b->pkt[i], m);
			continue;
		}
		eni = value[i] != OB_TABLE_MISS ? ob_eni_at(value[i]) : NULL;
		if (eni != NULL && unlikely(!is_meant(eni, b->pkt[i], m)))
			eni = NULL;
		if (unlikely(eni == NULL || m->l2_len != RTE_ETHER_HDR_LEN)) {
			ob_drop(w, eni == NULL ? lost(m) : OB_DROP_VLAN, OB_VIF_NONE, b->pkt[i]);
			continue;
		}
		m->eni = eni->idx;
		m->out_vif = eni->vif;
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
