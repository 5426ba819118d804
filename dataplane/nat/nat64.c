/* SPDX-License-Identifier: BSD-3-Clause */
/* NAT64: translation of headers (RFC 7915). L4 checksums by difference, as for IPv4. */
#include "nat64_priv.h"

#include <errno.h>

#define OPT_LSRR 131
#define OPT_SSRR 137

/* Identifications of whole packets that may be fragmented on their way; each worker counts for itself. */
static __thread uint16_t next_id;

bool proto_ok(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH: /* it covers the addresses */
	case IPPROTO_MH:
	case 139: /* HIP */
	case 140: /* Shim6 */
		return false;
	default:
		return true;
	}
}

int ext_walk(const uint8_t *ip6, unsigned room, struct ext *x)
{
	memset(x, 0, sizeof(*x));
	x->proto = ip6[6];
	x->len = IP6_HDR;
	for (;;) {
		const uint8_t *h = ip6 + x->len;
		unsigned len = 8;

		switch (x->proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
			if (room < x->len + 8)
				return -EMSGSIZE;
			/* RFC 7915, 5.1: a route that is not at its end cannot be followed in IPv4. */
			if (x->proto == IPPROTO_ROUTING && h[3] != 0)
				return -ENOTSUP;
			len = (h[1] + 1u) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (room < x->len + 8)
				return -EMSGSIZE;
			if (x->has_frag)
				return -ENOTSUP;
			x->has_frag = true;
			x->frag = load16(h + 2);
			memcpy(&x->id, h + 4, 4);
			x->id = rte_be_to_cpu_32(x->id);
			break;
		default:
			return proto_ok(x->proto) ? 0 : -ENOTSUP;
		}
		if (room < x->len + len)
			return -EMSGSIZE;
		x->proto = h[0];
		x->len += len;
		/* What follows in a later fragment is payload. */
		if (x->frag & 0xfff8)
			return proto_ok(x->proto) ? 0 : -ENOTSUP;
	}
}

void make_ip4(uint8_t *h, const uint8_t *ip6, const struct ext *x, uint32_t len, bool is_gso,
    rte_be32_t src, rte_be32_t dst)
{
	uint16_t csum;

	memset(h, 0, IP4_HDR);
	h[0] = 0x45;
	h[1] = (uint8_t)(ip6[0] << 4 | ip6[1] >> 4);
	store16(h + 2, IP4_HDR + len);
	if (x->has_frag) {
		store16(h + 4, x->id & 0xffff);
		store16(h + 6, (uint32_t)x->frag >> 3 | ((x->frag & 1) ? RTE_IPV4_HDR_MF_FLAG : 0));
	} else if (is_gso || IP4_HDR + len > MIN_MTU6_IN4) {
		store16(h + 6, RTE_IPV4_HDR_DF_FLAG);
	} else {
		store16(h + 4, ++next_id);
	}
	h[8] = ip6[7];
	h[9] = x->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : x->proto;
	memcpy(h + 12, &src, 4);
	memcpy(h + 16, &dst, 4);
	csum = (uint16_t)~ob_nat_fold(words(h, IP4_HDR));
	memcpy(h + 10, &csum, 2);
}

unsigned make_ip6(
    uint8_t *h, const uint8_t *ip4, uint32_t len, const uint8_t src[16], const uint8_t dst[16])
{
	uint16_t frag = load16(ip4 + 6) & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
	uint8_t proto = ip4[9] == IPPROTO_ICMP ? IPPROTO_ICMPV6 : ip4[9];
	unsigned n = frag != 0 ? IP6_HDR + FRAG_HDR : IP6_HDR;

	memset(h, 0, n);
	h[0] = (uint8_t)(0x60 | ip4[1] >> 4);
	h[1] = (uint8_t)(ip4[1] << 4);
	store16(h + 4, len + n - IP6_HDR);
	h[6] = proto;
	h[7] = ip4[8];
	memcpy(h + 8, src, 16);
	memcpy(h + 24, dst, 16);
	if (frag != 0) {
		h[6] = IPPROTO_FRAGMENT;
		h[40] = proto;
		store16(h + 42, (uint32_t)frag << 3 | ((frag & RTE_IPV4_HDR_MF_FLAG) ? 1 : 0));
		memcpy(h + 46, ip4 + 4, 2);
	}
	return n;
}

/* Type, id and pseudo header change; the code is 0 on both sides. */
static void echo(
    uint8_t *icmp, uint8_t type, uint64_t diff, uint64_t pseudo, uint16_t id, bool is_partial)
{
	uint16_t field = ob_nat_fold(pseudo);

	diff += minus(words(icmp, 8)); /* with the checksum itself, which comes back below */
	icmp[0] = type;
	memcpy(icmp + 4, &id, 2);
	diff += words(icmp, 8);
	if (is_partial)
		memcpy(icmp + 2, &field, 2);
	else
		ob_nat_fix(icmp + 2, diff);
}

bool echo_to4(uint8_t *icmp, uint64_t pseudo, uint32_t ports, bool is_partial)
{
	bool is_request = icmp[0] == ICMP6_ECHO;

	if ((!is_request && icmp[0] != ICMP6_REPLY) || icmp[1] != 0)
		return false;
	echo(icmp, is_request ? RTE_IP_ICMP_ECHO_REQUEST : RTE_IP_ICMP_ECHO_REPLY, minus(pseudo), 0,
	    ob_nat_id(is_request, ports), is_partial);
	return true;
}

bool echo_to6(uint8_t *icmp, uint64_t pseudo, uint32_t ports, bool is_partial)
{
	bool is_request = icmp[0] == RTE_IP_ICMP_ECHO_REQUEST;

	if ((!is_request && icmp[0] != RTE_IP_ICMP_ECHO_REPLY) || icmp[1] != 0)
		return false;
	echo(icmp, is_request ? ICMP6_ECHO : ICMP6_REPLY, pseudo, pseudo,
	    ob_nat_id(is_request, ports), is_partial);
	return true;
}

static bool is_partial(const struct ob_meta *m)
{
	return (m->flags & OB_PKT_L4_CSUM_PARTIAL) && m->csum_start == m->l2_len + m->l3_len;
}

/* Ports and checksum of TCP and UDP; of others the checksum, if it covers addresses. */
static void fix_l4(
    struct rte_mbuf *pkt, const struct ob_meta *m, uint8_t *l4, uint64_t addrs, uint32_t new_ports)
{
	uint32_t ports;

	if (m->flags & (OB_PKT_TCP | OB_PKT_UDP)) {
		memcpy(&ports, l4, 4);
		memcpy(l4, &new_ports, 4);
		ob_nat_fix_l4(m, l4, addrs, ob_nat_diff32(ports, new_ports));
	} else if (!(m->flags & (OB_PKT_ICMP | OB_PKT_LATER_FRAG))) {
		ob_nat_fix_other(pkt, m, addrs);
	}
}

/* The Ethernet header moves to the other header; metadata follows. */
static void exchange(
    struct rte_mbuf *pkt, struct ob_meta *m, const uint8_t *h, unsigned n, uint16_t ethertype)
{
	int growth = (int)n - m->l3_len;
	uint8_t *eth = rte_pktmbuf_mtod(pkt, uint8_t *);

	memmove(eth - growth, eth, m->l2_len);
	pkt->data_off = (uint16_t)(pkt->data_off - growth);
	pkt->data_len = (uint16_t)(pkt->data_len + growth);
	pkt->pkt_len = (uint32_t)((int)pkt->pkt_len + growth);
	eth -= growth;
	memcpy(eth + m->l2_len, h, n);
	store16(eth + m->l2_len - 2, ethertype);
	m->ethertype = ethertype;
	m->l3_len = (uint16_t)n;
	m->csum_start = (uint16_t)(m->csum_start + growth);
	m->flags &= (uint16_t) ~(OB_PKT_IP4 | OB_PKT_IP6 | OB_PKT_DF);
	if (ethertype == RTE_ETHER_TYPE_IPV6)
		m->flags |= OB_PKT_IP6 | OB_PKT_DF;
	else
		m->flags |= OB_PKT_IP4 | ((h[6] & 0x40) ? OB_PKT_DF : 0);
}

enum ob_drop ob_nat64_to4(struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *to)
{
	uint8_t *p = rte_pktmbuf_mtod_offset(pkt, uint8_t *, m->l2_len), *l4 = p + m->l3_len;
	uint32_t len = rte_pktmbuf_pkt_len(pkt) - m->l2_len - m->l3_len;
	uint64_t addrs = words(p + 8, 32);
	uint8_t h[IP4_HDR];
	struct ext x;

	if (ext_walk(p, m->l3_len, &x) < 0 || x.len != m->l3_len || x.proto == IPPROTO_ICMP ||
	    (x.frag & 0xfff8u) + len > UINT16_MAX - IP4_HDR)
		return OB_DROP_NAT_UNTRANSLATABLE;
	if (x.proto == IPPROTO_ICMPV6) {
		/* RFC 7915, 1.2: the pseudo header has the length of the whole. */
		if ((m->flags & OB_PKT_FRAG) ||
		    !echo_to4(l4, addrs + pseudo6(IPPROTO_ICMPV6, len), to->ports, is_partial(m)))
			return OB_DROP_NAT_UNTRANSLATABLE;
		m->ip_proto = IPPROTO_ICMP;
	} else {
		fix_l4(
		    pkt, m, l4, minus(addrs) + words(&to->src, 4) + words(&to->dst, 4), to->ports);
	}
	make_ip4(h, p, &x, len, (m->flags & OB_PKT_GSO) != 0, to->src, to->dst);
	exchange(pkt, m, h, sizeof(h), RTE_ETHER_TYPE_IPV4);
	return OB_PASS;
}

/* RFC 7915, 4.1: a source route that is not at its end cannot be followed in IPv6. */
static bool options_ok(const uint8_t *ip4, unsigned len)
{
	for (unsigned i = IP4_HDR; i < len;) {
		unsigned n;

		if (ip4[i] == 0)
			return true;
		if (ip4[i] == 1) {
			i++;
			continue;
		}
		if (i + 3 > len)
			return ip4[i] != OPT_LSRR && ip4[i] != OPT_SSRR;
		n = ip4[i + 1];
		if (n < 2 || n > len - i)
			return false;
		if ((ip4[i] == OPT_LSRR || ip4[i] == OPT_SSRR) && ip4[i + 2] <= n)
			return false;
		i += n;
	}
	return true;
}

/* IPv6 has no UDP without checksum. */
static void make_udp_sum(struct rte_mbuf *pkt, const struct ob_meta *m, uint8_t *l4, uint16_t len,
    const struct ob_nat_to6 *to)
{
	uint64_t sum = pseudo6(IPPROTO_UDP, len) + words(to->src, 16) + words(to->dst, 16);
	uint16_t c;

	sum += ob_pkt_sum(pkt, (uint32_t)m->l2_len + m->l3_len, len);
	c = (uint16_t)~ob_nat_fold(sum);
	c = c == 0 ? 0xffff : c;
	memcpy(l4 + 6, &c, 2);
}

static bool udp_has_none(const struct ob_meta *m, const uint8_t *l4)
{
	return (m->flags & OB_PKT_UDP) && !is_partial(m) && l4[6] == 0 && l4[7] == 0;
}

enum ob_drop ob_nat64_to6(struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to6 *to)
{
	uint8_t *p = rte_pktmbuf_mtod_offset(pkt, uint8_t *, m->l2_len), *l4 = p + m->l3_len;
	uint32_t len = rte_pktmbuf_pkt_len(pkt) - m->l2_len - m->l3_len;
	uint64_t addrs6 = words(to->src, 16) + words(to->dst, 16);
	uint8_t h[IP6_HDR + FRAG_HDR];
	unsigned n;

	if (!proto_ok(m->ip_proto) || m->ip_proto == IPPROTO_ICMPV6 ||
	    len > UINT16_MAX - FRAG_HDR || !options_ok(p, m->l3_len))
		return OB_DROP_NAT_UNTRANSLATABLE;
	n = make_ip6(h, p, len, to->src, to->dst);
	if ((int)n - m->l3_len > (int)rte_pktmbuf_headroom(pkt))
		return OB_DROP_NO_MBUF;
	if (m->ip_proto == IPPROTO_ICMP) {
		if ((m->flags & OB_PKT_FRAG) ||
		    !echo_to6(l4, addrs6 + pseudo6(IPPROTO_ICMPV6, len), to->ports, is_partial(m)))
			return OB_DROP_NAT_UNTRANSLATABLE;
		m->ip_proto = IPPROTO_ICMPV6;
	} else if (udp_has_none(m, l4)) {
		uint16_t ulen = load16(l4 + 4);

		if ((m->flags & OB_PKT_FRAG) || ulen < sizeof(struct rte_udp_hdr) || ulen > len)
			return OB_DROP_NAT_UNTRANSLATABLE;
		memcpy(l4, &to->ports, 4);
		make_udp_sum(pkt, m, l4, ulen, to);
	} else {
		fix_l4(pkt, m, l4, minus(words(p + 12, 8)) + addrs6, to->ports);
	}
	exchange(pkt, m, h, n, RTE_ETHER_TYPE_IPV6);
	return OB_PASS;
}
