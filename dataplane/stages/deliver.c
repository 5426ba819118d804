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

uint16_t vnet_of_vni(uint32_t vni)
{
	struct ob_key key = ob_key_vni(vni);
	uint32_t vnet;

	ob_policy_find(&key, &vnet, 1);
	return vnet == OB_TABLE_MISS ? OB_MAX_VNETS : (uint16_t)vnet;
}

/* Key of a packet to a public address, as if it were a whole one, before it is known whose it is. Returns OB_PASS or why not. */
static unsigned public_key(struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_meta *m,
    uint16_t vnet, struct ob_session_key4 *k)
{
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));
	unsigned rc = ob_session_key4_of(pkt, m, 0, k);

	if (rc == OB_SESSION_IS_FRAGMENT)
		return ob_session_frag(s, CTX_PUBLIC + vnet, pkt, m, &k->ports);
	if (rc == OB_SESSION_IS_ERROR)
		return ob_session_icmp_embedded4(pkt, m, 0, k);
	return rc;
}

/* The flow hash by which the guest's own packets of the connection are placed. */
static uint32_t private_hash(
    const struct ob_nat_owner *owner, const struct ob_meta *m, const struct ob_session_key4 *k)
{
	struct ob_session_key6 k6 = {.ports = k->ports, .ctx_proto = k->ctx_proto};
	struct ob_session_key4 k4 = *k;
	rte_be32_t src;

	if (owner->kind == OB_NAT_BLOCK)
		return hash_for_worker(m->hash, owner->worker);
	if (owner->family == AF_INET) {
		memcpy((uint8_t *)&k4.addrs + 4, owner->private_ip, 4);
		return hash_of_key4(&k4);
	}
	memcpy(&src, &k->addrs, 4);
	memcpy(k6.dst, owner->private_ip, 16);
	if ((k->ctx_proto & 0xff) == IPPROTO_ICMP)
		k6.ctx_proto = IPPROTO_ICMPV6;
	return ob_nat64_to_ip6(owner->eni, src, (uint8_t *)k6.src) ? hash_of_key6(&k6) : m->hash;
}

/* The guest behind a public address of 'vnet'. Returns OB_PASS with eni, out_vif and hash set, or why not. */
static unsigned find_public(
    struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m, uint16_t vnet)
{
	const struct ob_eni *eni;
	struct ob_session_key4 k;
	struct ob_nat_owner owner;
	struct ob_key key;
	rte_be32_t ip[2];
	uint32_t addr;
	unsigned rc;

	rc = public_key(w, pkt, m, vnet, &k);
	if (rc != OB_PASS)
		return rc;
	memcpy(ip, &k.addrs, 8);
	key = ob_nat_key(vnet, ip[1]);
	ob_nat_find(&key, &addr, 1);
	if (addr == OB_TABLE_MISS || ob_nat_owner(addr, (uint8_t)k.ctx_proto,
					 nat_port(pkt, m, k.ports), &owner) == OB_NAT_NONE)
		return OB_DROP_NAT_UNSOLICITED;
	eni = ob_eni_at(owner.eni);
	if (eni == NULL)
		return OB_DROP_NAT_UNSOLICITED;
	m->flags |= OB_PKT_TO_NAT | OB_PKT_ROUTED;
	m->eni = eni->idx;
	m->out_vif = eni->vif;
	m->hash = private_hash(&owner, m, &k);
	return OB_PASS;
}

/* No ENI has the inner MAC: perhaps it is for a public address of the card. */
static __rte_noinline unsigned by_public_address(
    struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m)
{
	uint16_t vnet = vnet_of_vni(m->vni);
	uint8_t mac[6];
	rte_be32_t dst;

	if (vnet == OB_MAX_VNETS)
		return OB_DROP_VNI_UNKNOWN;
	if (m->flags & OB_PKT_MCAST)
		return OB_DROP_MULTICAST;
	if (!(m->flags & OB_PKT_IP4))
		return OB_DROP_NO_INNER_ENI;
	memcpy(&dst, l3_of(pkt, m) + 16, 4);
	if (!ob_nat_answers(vnet, dst, mac) ||
	    memcmp(mac, rte_pktmbuf_mtod(pkt, const void *), 6) != 0)
		return OB_DROP_NO_INNER_ENI;
	return find_public(w, pkt, m, vnet);
}

unsigned deliver_public_decide(struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m)
{
	return m->flags & OB_PKT_TO_NAT ? find_public(w, pkt, m, vnet_of_vni(m->vni)) : OB_PASS;
}

void ob_stage_deliver_public(struct ob_worker *w, struct ob_burst *b)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		unsigned why = deliver_public_decide(w, b->pkt[i], m);

		if (unlikely(why != OB_PASS)) {
			ob_drop(w, (enum ob_drop)why, m->in_vif, b->pkt[i]);
			continue;
		}
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}

/* 'value': of the key of VNI and MAC. */
static inline verdict_t deliver_one(
    struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m, uint32_t value)
{
	const struct ob_eni *eni;
	unsigned why;

	if (unlikely(is_question(pkt, m)))
		return EDGE(m->flags & OB_PKT_ARP ? OB_EDGE_ARP : OB_EDGE_ND);
	eni = value != OB_TABLE_MISS ? ob_eni_at(value) : NULL;
	if (eni != NULL && unlikely(!is_meant(eni, pkt, m)))
		eni = NULL;
	if (unlikely(m->l2_len != RTE_ETHER_HDR_LEN))
		return DROP(OB_DROP_VLAN);
	if (likely(eni != NULL)) {
		m->eni = eni->idx;
		m->out_vif = eni->vif;
		return GO;
	}
	why = by_public_address(w, pkt, m);
	return why == OB_PASS ? GO : DROP(why);
}

verdict_t deliver_decide(struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m)
{
	struct ob_key key = ob_key_mac(m->vni, rte_pktmbuf_mtod(pkt, const uint8_t *));
	uint32_t value;

	ob_policy_find(&key, &value, 1);
	return deliver_one(w, pkt, m, value);
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
		verdict_t v = deliver_one(w, b->pkt[i], m, value[i]);

		if (unlikely(v != GO)) {
			if (IS_EDGE(v))
				edge_put(e, (enum ob_edge)LOW(v), b->pkt[i], m);
			else
				ob_drop(w, (enum ob_drop)LOW(v), OB_VIF_NONE, b->pkt[i]);
			continue;
		}
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
