/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads the headers once. Later stages trust what is noted here, and nothing else: every header that a flag or length speaks of is
 * complete and in the first segment of the packet. */
#include "stages_priv.h"

#define MAX_EXT 8 /* IPv6 extension headers; more is nobody's packet */

/* Ends the packet after 'len' bytes: what is behind the datagram is Ethernet padding. */
static void cut(struct rte_mbuf *pkt, uint32_t len)
{
	struct rte_mbuf *seg = pkt;
	uint32_t left = len;

	while (seg->next != NULL && left > rte_pktmbuf_data_len(seg)) {
		left -= rte_pktmbuf_data_len(seg);
		seg = seg->next;
	}
	seg->data_len = (uint16_t)left;
	if (seg->next != NULL) {
		struct rte_mbuf *rest = seg->next;

		seg->next = NULL;
		pkt->nb_segs = 1;
		for (struct rte_mbuf *s = pkt; s != seg; s = s->next)
			pkt->nb_segs++;
		while (rest != NULL) {
			struct rte_mbuf *next = rest->next;

			rest->next = NULL;
			rest->nb_segs = 1;
			rte_pktmbuf_free_seg(rest);
			rest = next;
		}
	}
	pkt->pkt_len = len;
}

/* 'len' bytes are contiguous from l4 on. Returns OB_PASS or why not; fills flags, l4_len and the ports. */
static inline enum ob_drop parse_l4(
    const uint8_t *l4, uint32_t len, struct ob_meta *m, uint16_t *sport, uint16_t *dport)
{
	switch (m->ip_proto) {
	case IPPROTO_TCP:
		if (len < sizeof(struct rte_tcp_hdr))
			return OB_DROP_MALFORMED_L4;
		m->l4_len = (uint8_t)((l4[12] >> 4) * 4);
		if (m->l4_len < sizeof(struct rte_tcp_hdr) || len < m->l4_len)
			return OB_DROP_MALFORMED_L4;
		m->flags |= OB_PKT_TCP;
		break;
	case IPPROTO_UDP:
		if (len < sizeof(struct rte_udp_hdr))
			return OB_DROP_MALFORMED_L4;
		m->l4_len = sizeof(struct rte_udp_hdr);
		m->flags |= OB_PKT_UDP;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		/* ICMP in IPv6 and the other way round is somebody's payload, not ours to read. */
		if ((m->ip_proto == IPPROTO_ICMP) != ((m->flags & OB_PKT_IP4) != 0))
			return OB_PASS;
		if (len < sizeof(struct rte_icmp_hdr))
			return OB_DROP_MALFORMED_L4;
		m->l4_len = sizeof(struct rte_icmp_hdr);
		m->flags |= OB_PKT_ICMP;
		return OB_PASS;
	default:
		return OB_PASS;
	}
	/* Fragments of one datagram must stay together, and only the first has ports. */
	if ((m->flags & OB_PKT_FRAG) == 0) {
		*sport = load16(l4);
		*dport = load16(l4 + 2);
	}
	return OB_PASS;
}

static inline enum ob_drop parse_ip4(struct rte_mbuf *pkt, struct ob_meta *m)
{
	const uint8_t *p = l3_of(pkt, m);
	uint32_t len = rte_pktmbuf_data_len(pkt) - m->l2_len;
	uint16_t sport = 0, dport = 0, frag;
	rte_be32_t src, dst;
	uint32_t total;
	enum ob_drop why = OB_PASS;

	if (len < sizeof(struct rte_ipv4_hdr) || (p[0] >> 4) != 4)
		return OB_DROP_MALFORMED_L3;
	m->l3_len = (uint16_t)((p[0] & 0x0f) * 4);
	total = load16(p + 2);
	if (m->l3_len < sizeof(struct rte_ipv4_hdr) || len < m->l3_len || total < m->l3_len ||
	    total > rte_pktmbuf_pkt_len(pkt) - m->l2_len)
		return OB_DROP_MALFORMED_L3;
	/* A guest harms only itself with a wrong one, and it is kept wrong; from the wire it may hide a broken address. */
	if (m->in_vif == OB_VIF_NONE && !ob_ip4_sum_ok(p, m->l3_len))
		return OB_DROP_IP4_CHECKSUM;
	if (unlikely(rte_pktmbuf_pkt_len(pkt) != m->l2_len + total)) {
		cut(pkt, m->l2_len + total);
		len = RTE_MIN(len, total);
	}
	frag = load16(p + 6);
	if ((frag & RTE_IPV4_HDR_OFFSET_MASK) * 8u + total - m->l3_len > UINT16_MAX)
		return OB_DROP_MALFORMED_L3;
	m->flags |= OB_PKT_IP4;
	if (frag & RTE_IPV4_HDR_DF_FLAG)
		m->flags |= OB_PKT_DF;
	if (frag & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
		m->flags |= OB_PKT_FRAG;
	m->ip_proto = p[9];
	if (frag & RTE_IPV4_HDR_OFFSET_MASK)
		m->flags |= OB_PKT_LATER_FRAG;
	else
		why = parse_l4(p + m->l3_len, len - m->l3_len, m, &sport, &dport);
	memcpy(&src, p + 12, 4);
	memcpy(&dst, p + 16, 4);
	m->hash = flow_hash(src, dst, sport, dport, m->ip_proto);
	return why;
}

/* Walks the extension headers; notes the last protocol and their length. */
static inline enum ob_drop walk_ext(const uint8_t *p, uint32_t len, uint32_t end, struct ob_meta *m)
{
	uint32_t off = sizeof(struct rte_ipv6_hdr);
	uint8_t proto = p[6];

	for (unsigned i = 0; i <= MAX_EXT; i++) {
		uint32_t hlen;

		switch (proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			m->ip_proto = proto;
			m->l3_len = (uint16_t)off;
			return OB_PASS;
		}
		if (end - off < 8 || len < off + 8)
			return OB_DROP_MALFORMED_L3;
		hlen = proto == IPPROTO_FRAGMENT ? 8
		       : proto == IPPROTO_AH	 ? (p[off + 1] + 2u) * 4
						 : (p[off + 1] + 1u) * 8;
		if (hlen > end - off || len < off + hlen)
			return OB_DROP_MALFORMED_L3;
		if (proto == IPPROTO_FRAGMENT) {
			uint16_t frag = load16(p + off + 2);

			/* An atomic fragment (RFC 6946) is a whole packet. */
			if (frag & 0xfff9)
				m->flags |= OB_PKT_FRAG;
			if (frag & 0xfff8) {
				m->flags |= OB_PKT_LATER_FRAG;
				m->ip_proto = p[off];
				m->l3_len = (uint16_t)(off + hlen);
				return OB_PASS;
			}
		}
		proto = p[off];
		off += hlen;
	}
	return OB_DROP_MALFORMED_L3;
}

static inline enum ob_drop parse_ip6(struct rte_mbuf *pkt, struct ob_meta *m)
{
	const uint8_t *p = l3_of(pkt, m);
	uint32_t len = rte_pktmbuf_data_len(pkt) - m->l2_len;
	uint16_t sport = 0, dport = 0;
	uint64_t src[2], dst[2];
	enum ob_drop why;
	uint32_t total;

	if (len < sizeof(struct rte_ipv6_hdr) || (p[0] >> 4) != 6)
		return OB_DROP_MALFORMED_L3;
	total = (uint32_t)sizeof(struct rte_ipv6_hdr) + load16(p + 4);
	if (total > rte_pktmbuf_pkt_len(pkt) - m->l2_len)
		return OB_DROP_MALFORMED_L3;
	if (unlikely(rte_pktmbuf_pkt_len(pkt) != m->l2_len + total)) {
		cut(pkt, m->l2_len + total);
		len = RTE_MIN(len, total);
	}
	m->flags |= OB_PKT_IP6 | OB_PKT_DF;
	why = walk_ext(p, len, total, m);
	if (why != OB_PASS)
		return why;
	if ((m->flags & OB_PKT_LATER_FRAG) == 0)
		why = parse_l4(p + m->l3_len, RTE_MIN(len, total) - m->l3_len, m, &sport, &dport);
	memcpy(src, p + 8, 16);
	memcpy(dst, p + 24, 16);
	m->hash = flow_hash(hash_ip6(src), hash_ip6(dst), sport, dport, m->ip_proto);
	return why;
}

/* A guest's checksum request is a write into its packet after the policy has looked at it: only into bytes on which nothing was decided. */
static inline bool csum_field_ok(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint32_t l4 = (uint32_t)m->l2_len + m->l3_len;
	uint32_t field = (uint32_t)m->csum_start + m->csum_offset;

	if (m->csum_start < l4 || field + 2 > rte_pktmbuf_pkt_len(pkt))
		return false;
	if (m->csum_start == l4 && (m->flags & OB_PKT_TCP))
		return m->csum_offset == offsetof(struct rte_tcp_hdr, cksum);
	if (m->csum_start == l4 && (m->flags & OB_PKT_UDP))
		return m->csum_offset == offsetof(struct rte_udp_hdr, dgram_cksum);
	if (m->csum_start == l4 && (m->flags & OB_PKT_ICMP))
		return m->csum_offset == offsetof(struct rte_icmp_hdr, icmp_cksum);
	return field >= l4 + m->l4_len;
}

/* Most packets: IPv4 without options, whole, nothing behind it, TCP or UDP whose checksum is there. False: anything else, right or wrong,
 * which is the general code's. */
static inline bool parse_plain(const struct rte_mbuf *pkt, struct ob_meta *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(pkt, const uint8_t *), *ip = p + RTE_ETHER_HDR_LEN;
	uint32_t len = rte_pktmbuf_data_len(pkt), word;
	uint16_t flags = m->flags & OB_PKT_L4_CSUM_GOOD, sport, dport, frag;
	rte_be32_t src, dst;

	if (unlikely(len < RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) +
			       sizeof(struct rte_tcp_hdr) ||
		     (m->flags & (OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL))))
		return false;
	/* Type, version, header length and what is left of the word. */
	memcpy(&word, p + 12, 4);
	frag = load16(ip + 6);
	if (unlikely((word & rte_cpu_to_be_32(0xffffff00)) != rte_cpu_to_be_32(0x08004500) ||
		     (frag & ~RTE_IPV4_HDR_DF_FLAG) != 0 ||
		     load16(ip + 2) + RTE_ETHER_HDR_LEN != (int)rte_pktmbuf_pkt_len(pkt)))
		return false;
	m->ip_proto = ip[9];
	if (likely(m->ip_proto == IPPROTO_UDP)) {
		flags |= OB_PKT_UDP;
		m->l4_len = sizeof(struct rte_udp_hdr);
	} else if (m->ip_proto == IPPROTO_TCP) {
		flags |= OB_PKT_TCP;
		m->l4_len = (uint8_t)((ip[32] >> 4) * 4);
		if (unlikely(m->l4_len < sizeof(struct rte_tcp_hdr) ||
			     len < RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + m->l4_len))
			return false;
	} else {
		return false;
	}
	if (m->in_vif == OB_VIF_NONE && unlikely(!ob_ip4_sum5_ok(ip)))
		return false;
	flags |= OB_PKT_IP4 | (p[0] & 1 ? OB_PKT_MCAST : 0) | (frag != 0 ? OB_PKT_DF : 0);
	m->flags = flags;
	m->l2_len = RTE_ETHER_HDR_LEN;
	m->l3_len = sizeof(struct rte_ipv4_hdr);
	m->ethertype = RTE_ETHER_TYPE_IPV4;
	memcpy(&src, ip + 12, 4);
	memcpy(&dst, ip + 16, 4);
	sport = load16(ip + 20);
	dport = load16(ip + 22);
	m->hash = flow_hash(src, dst, sport, dport, m->ip_proto);
	return true;
}

static __rte_noinline enum ob_drop parse_one(struct rte_mbuf *pkt, struct ob_meta *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(pkt, const uint8_t *);
	uint32_t len = rte_pktmbuf_data_len(pkt);
	enum ob_drop why;

	/* Checksum and segmentation requests of the guest's virtio header stay; everything else is found here. */
	m->flags &= OB_PKT_L4_CSUM_PARTIAL | OB_PKT_L4_CSUM_GOOD | OB_PKT_GSO;
	m->l4_len = 0;
	m->l3_len = 0;
	m->ip_proto = 0;
	m->hash = 0;
	if (unlikely(len < RTE_ETHER_HDR_LEN))
		return OB_DROP_MALFORMED_L2;
	m->flags |= (p[0] & 1) ? OB_PKT_MCAST : 0;
	m->ethertype = load16(p + 12);
	m->l2_len = RTE_ETHER_HDR_LEN;
	if (unlikely(m->ethertype == RTE_ETHER_TYPE_VLAN || m->ethertype == RTE_ETHER_TYPE_QINQ)) {
		if (len < RTE_ETHER_HDR_LEN + sizeof(struct rte_vlan_hdr))
			return OB_DROP_MALFORMED_L2;
		m->ethertype = load16(p + 16);
		m->l2_len = RTE_ETHER_HDR_LEN + sizeof(struct rte_vlan_hdr);
	}
	if (m->ethertype == RTE_ETHER_TYPE_IPV4)
		why = parse_ip4(pkt, m);
	else if (m->ethertype == RTE_ETHER_TYPE_IPV6)
		why = parse_ip6(pkt, m);
	else if (m->ethertype == RTE_ETHER_TYPE_ARP)
		m->flags |= OB_PKT_ARP, why = OB_PASS;
	else
		return OB_DROP_ETHERTYPE;
	if (unlikely(m->flags & (OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL)) && why == OB_PASS) {
		/* What was promised of the frame must still hold for the datagram in it. */
		if ((m->flags & OB_PKT_L4_CSUM_PARTIAL) && !csum_field_ok(pkt, m))
			return OB_DROP_MALFORMED_L4;
		if ((m->flags & OB_PKT_GSO) &&
		    ((m->flags & (OB_PKT_TCP | OB_PKT_FRAG)) != OB_PKT_TCP ||
			m->csum_start != m->l2_len + m->l3_len))
			return OB_DROP_MALFORMED_L4;
	}
	return why;
}

enum ob_drop parse_decide(struct rte_mbuf *pkt, struct ob_meta *m)
{
	return parse_one(pkt, m);
}

void ob_stage_parse(struct ob_worker *w, struct ob_burst *b)
{
	unsigned k = 0;

	for (unsigned i = 0; i < PREFETCH; i++)
		prefetch_pkt(b, i);
	for (unsigned i = 0; i < b->n; i++) {
		enum ob_drop why;

		prefetch_pkt(b, i + PREFETCH);
		if (likely(parse_plain(b->pkt[i], &b->meta[i]))) {
			burst_keep(b, k++, i);
			continue;
		}
		why = parse_one(b->pkt[i], &b->meta[i]);
		if (unlikely(why != OB_PASS)) {
			ob_drop(w, why, b->meta[i].in_vif, b->pkt[i]);
			continue;
		}
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
