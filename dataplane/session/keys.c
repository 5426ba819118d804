/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of packets that are neither TCP nor UDP, and of what ICMP errors carry. */
#include "ob_session.h"

#include <rte_icmp.h>

#include "session_priv.h"

#define IP6_EXT_MAX 8

/* What an ICMP message is to a connection. */
enum icmp_kind {
	ICMP_OTHER, /* on its own */
	ICMP_QUERY,
	ICMP_ANSWER,
	ICMP_ERROR
};

/* 'query': the type that an answer answers. */
static enum icmp_kind icmp_kind_of(bool six, uint8_t type, uint8_t *query)
{
	*query = type;
	if (six) {
		if (type < 128)
			return ICMP_ERROR; /* RFC 4443, 2.1 */
		*query = 128;
		return type == 128 ? ICMP_QUERY : type == 129 ? ICMP_ANSWER : ICMP_OTHER;
	}
	switch (type) {
	case 3:	 /* destination unreachable */
	case 4:	 /* source quench */
	case 5:	 /* redirect */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
		return ICMP_ERROR;
	case 8:	 /* echo */
	case 13: /* timestamp */
		return ICMP_QUERY;
	case 0:
		*query = 8;
		return ICMP_ANSWER;
	case 14:
		*query = 13;
		return ICMP_ANSWER;
	default:
		return ICMP_OTHER;
	}
}

static uint32_t word_of(const uint8_t src[2], const uint8_t dst[2])
{
	uint8_t b[4] = {src[0], src[1], dst[0], dst[1]};
	uint32_t w;

	memcpy(&w, b, sizeof(w));
	return w;
}

/* 'icmp': eight bytes of header. */
static enum icmp_kind icmp_ports(bool six, const uint8_t *icmp, uint32_t *ports)
{
	static const uint8_t none[2];
	uint8_t question[2] = {0, 0};
	enum icmp_kind kind = icmp_kind_of(six, icmp[0], &question[0]);

	if (kind == ICMP_QUERY)
		*ports = word_of(icmp + 4, question);
	else if (kind == ICMP_ANSWER)
		*ports = word_of(question, icmp + 4);
	else
		*ports = word_of(none, icmp);
	return kind;
}

unsigned session_l4_ports(const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ports)
{
	uint32_t off = (uint32_t)meta->l2_len + meta->l3_len;
	uint8_t buf[4];
	const uint8_t *p;

	*ports = 0;
	if (meta->flags & OB_PKT_ICMP) {
		p = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, off);
		return icmp_ports((meta->flags & OB_PKT_IP6) != 0, p, ports) == ICMP_ERROR
			   ? (unsigned)OB_SESSION_IS_ERROR
			   : OB_PASS;
	}
	if ((meta->flags & (OB_PKT_TCP | OB_PKT_UDP)) == 0 && meta->ip_proto != IPPROTO_SCTP)
		return OB_PASS;
	p = rte_pktmbuf_read(pkt, off, sizeof(buf), buf);
	if (p == NULL)
		return OB_DROP_MALFORMED_L4;
	memcpy(ports, p, sizeof(*ports));
	return OB_PASS;
}

bool session_icmp_opens(uint8_t proto, const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	bool six = (meta->flags & OB_PKT_IP6) != 0;
	uint8_t query;

	/* ICMP of the other family is payload. */
	if ((proto == IPPROTO_ICMPV6) != six)
		return true;
	if ((meta->flags & OB_PKT_ICMP) == 0)
		return false;
	return icmp_kind_of(six,
		   *rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + meta->l3_len),
		   &query) != ICMP_ANSWER;
}

unsigned ob_session_ports_slow(
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ports)
{
	return meta->flags & OB_PKT_FRAG ? (unsigned)OB_SESSION_IS_FRAGMENT
					 : session_l4_ports(pkt, meta, ports);
}

/* Ports of the packet in an error, of which only the first eight bytes behind IP may be there. */
static bool embedded_ports(
    const struct rte_mbuf *pkt, uint32_t off, bool six, uint8_t proto, uint32_t *ports)
{
	uint8_t buf[8];
	const uint8_t *p = rte_pktmbuf_read(pkt, off, sizeof(buf), buf);

	*ports = 0;
	switch (proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		if (p == NULL)
			return false;
		memcpy(ports, p, sizeof(*ports));
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((proto == IPPROTO_ICMPV6) != six)
			return true;
		/* No error is sent about an error: who does so means no good (RFC 1122, 3.2.2). */
		return p != NULL && icmp_ports(six, p, ports) != ICMP_ERROR;
	default:
		return true;
	}
}

/* Finds the IPv4 packet in an error. 'l4': where its own payload begins. */
static bool embedded4(
    const struct rte_mbuf *pkt, const struct ob_meta *meta, struct rte_ipv4_hdr *ip, uint32_t *l4)
{
	uint32_t off = (uint32_t)meta->l2_len + meta->l3_len + sizeof(struct rte_icmp_hdr);
	const struct rte_ipv4_hdr *p = rte_pktmbuf_read(pkt, off, sizeof(*ip), ip);

	if (p == NULL)
		return false;
	if (p != ip)
		memcpy(ip, p, sizeof(*ip));
	if (ip->version_ihl >> 4 != 4 || (ip->version_ihl & 15) < 5 ||
	    (rte_be_to_cpu_16(ip->fragment_offset) & RTE_IPV4_HDR_OFFSET_MASK) != 0)
		return false;
	*l4 = off + (ip->version_ihl & 15) * 4u;
	return true;
}

static bool embedded6(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    struct rte_ipv6_hdr *ip, uint8_t *proto, uint32_t *l4)
{
	uint32_t off = (uint32_t)meta->l2_len + meta->l3_len + sizeof(struct rte_icmp_hdr);
	const struct rte_ipv6_hdr *p = rte_pktmbuf_read(pkt, off, sizeof(*ip), ip);

	if (p == NULL)
		return false;
	if (p != ip)
		memcpy(ip, p, sizeof(*ip));
	if (rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return false;
	off += sizeof(*ip);
	*proto = ip->proto;
	for (unsigned i = 0; i < IP6_EXT_MAX; i++) {
		uint8_t buf[8];
		const uint8_t *x;

		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_ROUTING &&
		    *proto != IPPROTO_DSTOPTS && *proto != IPPROTO_FRAGMENT) {
			*l4 = off;
			return true;
		}
		x = rte_pktmbuf_read(pkt, off, sizeof(buf), buf);
		if (x == NULL || (*proto == IPPROTO_FRAGMENT && ((x[2] << 8 | x[3]) & 0xfff8) != 0))
			return false;
		off += *proto == IPPROTO_FRAGMENT ? 8u : (x[1] + 1u) * 8;
		*proto = x[0];
	}
	return false;
}

unsigned ob_session_icmp_embedded4(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key4 *key)
{
	struct ob_session_key4 k;
	struct rte_ipv4_hdr ip;
	uint32_t l4;

	if (!embedded4(pkt, meta, &ip, &l4) ||
	    !embedded_ports(pkt, l4, false, ip.next_proto_id, &k.ports))
		return OB_DROP_ICMP_UNRELATED;
	/* It goes to who sent that packet, or it is about nothing that its receiver did. */
	if (memcmp(&ip.src_addr, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + 16),
		4) != 0)
		return OB_DROP_ICMP_UNRELATED;
	memcpy(&k.addrs, &ip.src_addr, sizeof(k.addrs));
	k.ctx_proto = ctx << 8 | ip.next_proto_id;
	*key = ob_session_reverse4(&k);
	return OB_PASS;
}

unsigned ob_session_icmp_embedded6(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key6 *key)
{
	struct ob_session_key6 k;
	struct rte_ipv6_hdr ip;
	uint8_t proto;
	uint32_t l4;

	if (!embedded6(pkt, meta, &ip, &proto, &l4) ||
	    !embedded_ports(pkt, l4, true, proto, &k.ports))
		return OB_DROP_ICMP_UNRELATED;
	if (memcmp(ip.src_addr, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + 24),
		16) != 0)
		return OB_DROP_ICMP_UNRELATED;
	memcpy(k.src, ip.src_addr, 16);
	memcpy(k.dst, ip.dst_addr, 16);
	k.ctx_proto = ctx << 8 | proto;
	*key = ob_session_reverse6(&k);
	return OB_PASS;
}

unsigned ob_session_track_error(struct ob_session_shard *s, uint32_t ref,
    const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	struct ob_session_line *l = ob_session_line(s, ref), *peer = ob_session_line(s, ref ^ 1);
	union {
		struct rte_ipv4_hdr ip4;
		struct rte_ipv6_hdr ip6;
	} ip;
	uint8_t buf[4], proto = IPPROTO_ICMP;
	const uint8_t *seq;
	uint32_t l4, word;

	if (l->state == OB_SESSION_FREE)
		return OB_SESSION_MISS;
	if (meta->flags & OB_PKT_IP6) {
		if (!embedded6(pkt, meta, &ip.ip6, &proto, &l4))
			return OB_DROP_ICMP_UNRELATED;
	} else {
		if (!embedded4(pkt, meta, &ip.ip4, &l4))
			return OB_DROP_ICMP_UNRELATED;
		proto = ip.ip4.next_proto_id;
	}
	if (proto == IPPROTO_TCP) {
		seq = rte_pktmbuf_read(pkt, l4 + 4, sizeof(buf), buf);
		if (seq == NULL)
			return OB_DROP_ICMP_UNRELATED;
		memcpy(&word, seq, sizeof(word));
		if (!session_tcp_in_flight(peer, l, rte_be_to_cpu_32(word)))
			return OB_DROP_ICMP_UNRELATED;
	}
	ob_session_count(s, l, ref, rte_pktmbuf_pkt_len(pkt));
	return OB_PASS;
}
