/* SPDX-License-Identifier: BSD-3-Clause */
/* What all answers of the card share. */
#include "stages_priv.h"

#define TTL 64

struct rte_mbuf *answer_new(struct ob_worker *w, const struct ob_meta *to, struct ob_meta *meta)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(w));

	if (m == NULL) {
		ob_drop_count(w, OB_DROP_NO_MBUF, to->in_vif, 1);
		return NULL;
	}
	m->data_off = OB_HEADROOM;
	*meta = (struct ob_meta){.in_vif = to->in_vif,
	    .out_vif = to->in_vif,
	    .eni = to->eni,
	    .vni = to->vni,
	    .tunnel = to->tunnel,
	    .hash = to->hash,
	    .l2_len = RTE_ETHER_HDR_LEN};
	return m;
}

void answer_done(struct ob_worker *w, struct rte_mbuf *pkt, const struct ob_meta *m)
{
	ob_tap_fn tap = ob_tap();

	if (unlikely(tap != NULL && pkt != NULL))
		stage_show_one(tap, w, OB_FATE_ANSWERED, pkt, m, 0);
	rte_pktmbuf_free(pkt);
}

struct rte_mbuf *answer_copy(struct ob_worker *w, const struct rte_mbuf *pkt)
{
	if (likely(ob_tap() == NULL))
		return NULL;
	return rte_pktmbuf_copy(pkt, ob_worker_pool(w), 0, UINT32_MAX);
}

void answer_send(struct ob_worker *w, struct ob_burst *b)
{
	if (b->n == 0)
		return;
	if (b->meta[0].in_vif == OB_VIF_NONE)
		ob_stage_encap(w, b);
	else
		ob_vif_output(w, b->pkt, b->meta, b->n);
	b->n = 0;
}

uint8_t *answer_ether(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, src, 6);
	store16(p + 12, type);
	return p + RTE_ETHER_HDR_LEN;
}

uint8_t *answer_ip4(uint8_t *p, rte_be32_t src, rte_be32_t dst, uint8_t proto, uint16_t payload_len)
{
	struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
	    .total_length = rte_cpu_to_be_16((uint16_t)(sizeof(ip) + payload_len)),
	    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
	    .time_to_live = TTL,
	    .next_proto_id = proto,
	    .src_addr = src,
	    .dst_addr = dst};

	ip.hdr_checksum = (uint16_t)~rte_raw_cksum(&ip, sizeof(ip));
	memcpy(p, &ip, sizeof(ip));
	return p + sizeof(ip);
}

uint8_t *answer_ip6(uint8_t *p, const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
    uint8_t hops, uint16_t payload_len)
{
	struct rte_ipv6_hdr ip = {.vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16(payload_len),
	    .proto = proto,
	    .hop_limits = hops};

	memcpy(ip.src_addr, src, 16);
	memcpy(ip.dst_addr, dst, 16);
	memcpy(p, &ip, sizeof(ip));
	return p + sizeof(ip);
}

static uint16_t l4_csum(uint32_t sum, uint8_t proto, const uint8_t *l4, uint16_t len)
{
	uint16_t csum;

	sum += (uint32_t)rte_cpu_to_be_16(proto) + rte_cpu_to_be_16(len) + rte_raw_cksum(l4, len);
	csum = (uint16_t)~fold_sum(sum);
	return csum == 0 ? 0xffff : csum;
}

uint16_t answer_csum4(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint16_t len)
{
	return l4_csum(rte_raw_cksum(ip + 12, 8), proto, l4, len);
}

uint16_t answer_csum6(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint16_t len)
{
	return l4_csum(rte_raw_cksum(ip + 8, 32), proto, l4, len);
}

void answer_meta(struct ob_meta *meta, bool is_ip6, uint8_t proto, uint8_t l4_len)
{
	meta->flags =
	    (uint16_t)(OB_PKT_L4_CSUM_GOOD | (is_ip6 ? OB_PKT_IP6 | OB_PKT_DF : OB_PKT_IP4) |
		       (proto == IPPROTO_UDP ? OB_PKT_UDP : OB_PKT_ICMP));
	meta->ethertype = is_ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	meta->l2_len = RTE_ETHER_HDR_LEN;
	meta->l3_len = is_ip6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	meta->l4_len = l4_len;
	meta->ip_proto = proto;
}
