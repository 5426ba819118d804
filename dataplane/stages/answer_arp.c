/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP (RFC 826). A guest's request is answered for its router and for every mapped address of its VNET; a request from the wire for
 * an address of a local ENI; both for public addresses of the card's NAT. Nothing is learned, nothing is flooded. */
#include "stages_priv.h"

#include "ob_nat.h"

#define ARP_LEN (RTE_ETHER_HDR_LEN + sizeof(struct rte_arp_hdr))

static bool good_request(const struct rte_mbuf *pkt, struct rte_arp_hdr *arp)
{
	if (rte_pktmbuf_data_len(pkt) < ARP_LEN)
		return false;
	memcpy(arp, rte_pktmbuf_mtod_offset(pkt, void *, RTE_ETHER_HDR_LEN), sizeof(*arp));
	return arp->arp_hardware == rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) &&
	       arp->arp_protocol == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) && arp->arp_hlen == 6 &&
	       arp->arp_plen == 4 && arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REQUEST);
}

/* The VNET in which the question was asked, or NULL; 'eni': who asks, NULL from the wire. */
static bool scope(const struct ob_meta *m, const struct ob_eni **eni, uint16_t *vnet)
{
	struct ob_key key = ob_key_vni(m->vni);
	uint32_t idx;

	*eni = NULL;
	if (m->in_vif != OB_VIF_NONE) {
		*eni = ob_eni_at(m->eni);
		*vnet = *eni != NULL ? (*eni)->vnet : 0;
		return *eni != NULL;
	}
	ob_policy_find(&key, &idx, 1);
	*vnet = (uint16_t)idx;
	return idx != OB_TABLE_MISS;
}

/* Whose MAC is told. Returns OB_PASS or why there is no answer. */
static enum ob_drop lookup(
    const struct ob_eni *eni, uint16_t vnet, const struct rte_arp_hdr *arp, uint8_t mac[6])
{
	struct ob_key key = ob_key_ca4(vnet, arp->arp_data.arp_tip);
	uint32_t value;

	if (eni != NULL) {
		rte_be32_t sip = arp->arp_data.arp_sip;

		/* A probe (RFC 5227) has no sender address. */
		if (memcmp(&arp->arp_data.arp_sha, eni->mac, 6) != 0)
			return OB_DROP_SPOOFED_MAC;
		if (sip != 0 && !eni_has4(eni, sip))
			return OB_DROP_SPOOFED_IP;
		if (eni_has4(eni, arp->arp_data.arp_tip))
			return OB_DROP_BAD_REQUEST; /* an announcement */
		if (eni_routes4(eni, arp->arp_data.arp_tip)) {
			memcpy(mac, eni->router_mac, 6);
			return OB_PASS;
		}
	}
	ob_policy_find(&key, &value, 1);
	if (value == OB_TABLE_MISS)
		return ob_nat_answers(vnet, arp->arp_data.arp_tip, mac) ? OB_PASS
									: OB_DROP_ARP_UNANSWERED;
	if (value & OB_CA_ENI) {
		const struct ob_eni *of = ob_eni_at(value & ~OB_CA_ENI);

		if (of == NULL || of->vnet != vnet)
			return OB_DROP_ARP_UNANSWERED;
		memcpy(mac, of->mac, 6);
		return OB_PASS;
	}
	if (eni == NULL)
		return OB_DROP_ARP_UNANSWERED; /* the wire asks us for somebody else */
	memcpy(mac, ob_mapping_at(value)->mac, 6);
	return OB_PASS;
}

static enum ob_drop answer_one(struct rte_mbuf *pkt, struct ob_meta *m)
{
	const struct ob_eni *eni;
	struct rte_arp_hdr arp;
	struct rte_ether_addr asker;
	rte_be32_t sip;
	enum ob_drop why;
	uint8_t mac[6];
	uint16_t vnet;
	uint8_t *p;

	if (m->l2_len != RTE_ETHER_HDR_LEN || !good_request(pkt, &arp))
		return OB_DROP_BAD_REQUEST;
	if (!scope(m, &eni, &vnet))
		return m->in_vif == OB_VIF_NONE ? OB_DROP_VNI_UNKNOWN : OB_DROP_NO_ENI;
	why = lookup(eni, vnet, &arp, mac);
	if (why != OB_PASS)
		return why;
	asker = arp.arp_data.arp_sha;
	if (!rte_is_valid_assigned_ether_addr(&asker))
		return OB_DROP_BAD_REQUEST;
	/* In place: the question's buffer is long enough for the answer, and its padding goes. */
	sip = arp.arp_data.arp_sip;
	arp.arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
	arp.arp_data.arp_tha = asker;
	arp.arp_data.arp_sip = arp.arp_data.arp_tip;
	arp.arp_data.arp_tip = sip;
	memcpy(&arp.arp_data.arp_sha, mac, 6);
	p = answer_ether(
	    rte_pktmbuf_mtod(pkt, uint8_t *), asker.addr_bytes, mac, RTE_ETHER_TYPE_ARP);
	memcpy(p, &arp, sizeof(arp));
	if (pkt->next == NULL)
		pkt->pkt_len = pkt->data_len = ARP_LEN;
	m->out_vif = m->in_vif;
	m->flags = OB_PKT_ARP;
	return OB_PASS;
}

void ob_stage_answer_arp(struct ob_worker *w, struct ob_burst *b)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *was = answer_copy(w, b->pkt[i]);
		enum ob_drop why = answer_one(b->pkt[i], &b->meta[i]);

		if (why != OB_PASS) {
			rte_pktmbuf_free(was);
			ob_drop(w, why, b->meta[i].in_vif, b->pkt[i]);
			continue;
		}
		answer_done(w, was, &b->meta[i]);
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
	answer_send(w, b);
}
