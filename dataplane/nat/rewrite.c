/* SPDX-License-Identifier: BSD-3-Clause */
#include "nat_priv.h"

#define PROTO_UDPLITE 136
#define PROTO_DCCP    33
#define CSUM_OTHER    6 /* its place, in both */
#define ICMP_HDR      8
#define MAX_INSIDE    (60 + 20) /* headers of the packet in an error that are rewritten */

void ob_nat_fix_other(struct rte_mbuf *pkt, const struct ob_meta *m, uint64_t addrs)
{
	unsigned at = (unsigned)m->l2_len + m->l3_len + CSUM_OTHER;

	/* SCTP, GRE, ESP and the rest do not look at addresses. */
	if (m->ip_proto != PROTO_UDPLITE && m->ip_proto != PROTO_DCCP)
		return;
	if (at + 2 <= rte_pktmbuf_data_len(pkt))
		ob_nat_fix(rte_pktmbuf_mtod_offset(pkt, uint8_t *, at), addrs);
}

static uint64_t diff16(uint16_t before, uint16_t after)
{
	return (uint64_t)after + (uint16_t)~before;
}

/* Corrects a checksum field in the packet inside; returns what that does to the sum around it. */
static uint64_t fix_inside(uint8_t *field, uint64_t diff, bool zero_is_none)
{
	uint16_t before, after;

	memcpy(&before, field, 2);
	if (zero_is_none && before == 0)
		return 0;
	ob_nat_fix(field, diff);
	memcpy(&after, field, 2);
	if (zero_is_none && after == 0) {
		after = 0xffff;
		memcpy(field, &after, 2);
	}
	return diff16(before, after);
}

uint64_t inside_l4(uint8_t *l4, unsigned room, uint8_t proto, uint64_t addrs, uint32_t new_ports)
{
	uint64_t ports, sum;
	uint32_t old;
	uint16_t id, new_id;

	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		if (room < 4)
			return 0;
		memcpy(&old, l4, 4);
		memcpy(l4, &new_ports, 4);
		ports = sum = ob_nat_diff32(old, new_ports);
		if (proto == IPPROTO_UDP && room >= 8)
			sum += fix_inside(l4 + 6, addrs + ports, true);
		else if (proto == IPPROTO_TCP && room >= 18)
			sum += fix_inside(l4 + 16, addrs + ports, false);
		return sum;
	case IPPROTO_ICMP:
		if (room < 6 ||
		    (l4[0] != RTE_IP_ICMP_ECHO_REQUEST && l4[0] != RTE_IP_ICMP_ECHO_REPLY))
			return 0;
		new_id = ob_nat_id(l4[0] == RTE_IP_ICMP_ECHO_REQUEST, new_ports);
		memcpy(&id, l4 + 4, 2);
		memcpy(l4 + 4, &new_id, 2);
		sum = diff16(id, new_id);
		return sum + fix_inside(l4 + 2, sum, false);
	case PROTO_UDPLITE:
	case PROTO_DCCP:
		return room >= CSUM_OTHER + 2 ? fix_inside(l4 + CSUM_OTHER, addrs, false) : 0;
	default:
		return 0;
	}
}

enum ob_drop ob_nat_rewrite4_error(
    struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *emb)
{
	unsigned at = (unsigned)m->l2_len + m->l3_len + ICMP_HDR, room, hlen;
	uint64_t addrs, sum, outer = 0;
	uint32_t src, dst, osrc, odst;
	uint8_t *p, *e;

	if (ob_pkt_pull(pkt, RTE_MIN(rte_pktmbuf_pkt_len(pkt), at + MAX_INSIDE)) < 0)
		return OB_DROP_NAT_UNTRANSLATABLE;
	p = rte_pktmbuf_mtod_offset(pkt, uint8_t *, m->l2_len);
	e = rte_pktmbuf_mtod_offset(pkt, uint8_t *, at);
	room = rte_pktmbuf_data_len(pkt) < at ? 0 : rte_pktmbuf_data_len(pkt) - at;
	if (room < sizeof(struct rte_ipv4_hdr) || e[0] >> 4 != 4)
		return OB_DROP_ICMP_UNRELATED;
	hlen = (e[0] & 15u) * 4;
	if (hlen < sizeof(struct rte_ipv4_hdr) || room < hlen)
		return OB_DROP_ICMP_UNRELATED;
	memcpy(&osrc, p + 12, 4);
	memcpy(&odst, p + 16, 4);
	memcpy(&src, e + 12, 4);
	memcpy(&dst, e + 16, 4);
	/* An error goes to whom the packet inside came from; anything else is made up. */
	if (odst != src)
		return OB_DROP_ICMP_UNRELATED;
	addrs = ob_nat_diff32(src, emb->src) + ob_nat_diff32(dst, emb->dst);
	memcpy(e + 12, &emb->src, 4);
	memcpy(e + 16, &emb->dst, 4);
	sum = addrs + fix_inside(e + 10, addrs, false);
	if ((e[6] & 0x1f) == 0 && e[7] == 0)
		sum += inside_l4(e + hlen, room - hlen, e[9], addrs, emb->ports);
	if (!(m->flags & OB_PKT_L4_CSUM_PARTIAL))
		ob_nat_fix(p + m->l3_len + 2, sum);
	if (src != emb->src) {
		outer += ob_nat_diff32(odst, emb->src);
		memcpy(p + 16, &emb->src, 4);
	}
	/* Who is behind the translation speaks with its public address, though another host there may have sent it (RFC 5508, REQ-5). */
	if (dst != emb->dst) {
		outer += ob_nat_diff32(osrc, emb->dst);
		memcpy(p + 12, &emb->dst, 4);
	}
	ob_nat_fix(p + 10, outer);
	return OB_PASS;
}
