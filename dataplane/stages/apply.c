/* SPDX-License-Identifier: BSD-3-Clause */
/* The rewrite of a packet whose way is decided. */
#include "stages_priv.h"

/* An error: the packet in it was sent the other way, and becomes what it was there before its translation. */
static enum ob_drop translate_error(
    struct rte_mbuf *pkt, struct ob_meta *m, unsigned family, const union ob_session_key *k)
{
	rte_be32_t ip[2];

	if (family == 4) {
		struct ob_nat_to4 emb;

		memcpy(ip, &k->v4.addrs, 8);
		emb = (struct ob_nat_to4){ip[0], ip[1], k->v4.ports};
		return m->flags & OB_PKT_IP4 ? ob_nat_rewrite4_error(pkt, m, &emb)
					     : ob_nat64_error_to4(pkt, m, &emb);
	} else {
		struct ob_nat_to6 emb = {.ports = k->v6.ports};
		uint8_t src[16];

		memcpy(emb.src, k->v6.src, 16);
		memcpy(emb.dst, k->v6.dst, 16);
		memcpy(ip, l3_of(pkt, m) + 12, 4);
		if (!(m->flags & OB_PKT_IP4))
			return OB_DROP_NAT_UNTRANSLATABLE;
		/* A router that has no address under the prefix (a private one): its news comes from the other end, rather than not. */
		if (!ob_nat64_to_ip6(m->eni, ip[0], src))
			memcpy(src, emb.dst, 16);
		return ob_nat64_error_to6(pkt, m, src, &emb);
	}
}

/* As the other direction's packets look, turned around. */
static __rte_noinline enum ob_drop translate(
    struct ob_worker *w, struct rte_mbuf *pkt, struct ob_meta *m)
{
	uint32_t other = ob_session_peer(m->session);
	union ob_session_key k;
	unsigned family = ob_session_key(ob_session_shard(ob_worker_id(w)), other, &k);

	if (unlikely(is_icmp_error(pkt, m)))
		return translate_error(pkt, m, family, &k);
	if (family == 4) {
		struct ob_session_key4 r = ob_session_reverse4(&k.v4);
		struct ob_nat_to4 to;

		memcpy(&to, &r.addrs, 8);
		to.ports = r.ports;
		if (unlikely(!(m->flags & OB_PKT_IP4)))
			return ob_nat64_to4(pkt, m, &to);
		ob_nat_rewrite4(pkt, m, &to);
		return OB_PASS;
	} else {
		struct ob_session_key6 r = ob_session_reverse6(&k.v6);
		struct ob_nat_to6 to = {.ports = r.ports};

		memcpy(to.src, r.src, 16);
		memcpy(to.dst, r.dst, 16);
		return ob_nat64_to6(pkt, m, &to);
	}
}

enum ob_drop apply_translation(struct ob_worker *w, struct rte_mbuf *pkt, struct ob_meta *m)
{
	return translate(w, pkt, m);
}

static inline void route_one(
    const struct ob_eni *eni, struct rte_mbuf *pkt, const struct ob_meta *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, struct rte_ether_hdr *);
	uint8_t *p = l3_of(pkt, m);

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

void ob_stage_apply(struct ob_worker *w, struct ob_burst *b)
{
	const struct ob_eni *eni = NULL;
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *pkt = b->pkt[i];
		struct ob_meta *m = &b->meta[i];

		if (unlikely(m->flags & OB_PKT_NAT)) {
			enum ob_drop why = translate(w, pkt, m);

			if (why != OB_PASS) {
				ob_drop(w, why, m->in_vif, pkt);
				continue;
			}
		}
		memcpy(rte_pktmbuf_mtod(pkt, struct rte_ether_hdr *)->dst_addr.addr_bytes,
		    m->new_dmac, 6);
		if (m->flags & OB_PKT_ROUTED) {
			/* Mostly that of the packet before. */
			if (unlikely(eni == NULL || eni->idx != m->eni))
				eni = ob_eni_at(m->eni);
			if (likely(eni != NULL))
				route_one(eni, pkt, m);
		}
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
