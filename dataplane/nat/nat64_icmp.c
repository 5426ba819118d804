/* SPDX-License-Identifier: BSD-3-Clause */
/* NAT64: ICMP errors (RFC 7915, 4.2, 4.3, 5.2, 5.3). They are rare, and the packet inside changes its length: made anew in a buffer. */
#include "nat64_priv.h"

#include <errno.h>

#define MAX_ERROR 1280 /* L3 bytes: RFC 4443, 2.4 */
#define NONE	  0xff

#define UNREACH4 3
#define TIME4	 11
#define PARAM4	 12
#define UNREACH6 1
#define TOO_BIG6 2
#define TIME6	 3
#define PARAM6	 4

/* RFC 1191, 7.1: for routers that do not tell the MTU. */
static const uint16_t plateau[] = {65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};

/* RFC 7915, figures 3 and 6: where a field of one header is in the other. */
static const uint8_t pointer_to6[20] = {
    0, 1, 4, 4, NONE, NONE, NONE, NONE, 7, 6, NONE, NONE, 8, 8, 8, 8, 24, 24, 24, 24};

static uint8_t pointer_to4(uint32_t at)
{
	static const uint8_t low[8] = {0, 1, NONE, NONE, 2, 2, 9, 8};

	if (at < 8)
		return low[at];
	return at < 24 ? 12 : at < 40 ? 16 : NONE;
}

/* Type, code and the word behind the checksum; false: dropped in silence. 'in', 'out': ICMP headers. */
static bool header_to4(const uint8_t *in, uint8_t *out)
{
	static const uint8_t unreach[5] = {1, 10, 1, 1, 3};
	uint32_t word;
	uint8_t at;

	memset(out, 0, ICMP_HDR);
	memcpy(&word, in + 4, 4);
	word = rte_be_to_cpu_32(word);
	switch (in[0]) {
	case UNREACH6:
		if (in[1] >= sizeof(unreach))
			return false;
		out[0] = UNREACH4;
		out[1] = unreach[in[1]];
		return true;
	case TOO_BIG6:
		out[0] = UNREACH4;
		out[1] = 4;
		/* The next hop's own MTU is told by the path MTU stage. */
		store16(out + 6, RTE_MIN(word > 88 ? word - 20 : 68, (uint32_t)UINT16_MAX));
		return true;
	case TIME6:
		out[0] = TIME4;
		out[1] = in[1];
		return true;
	case PARAM6:
		if (in[1] == 1) {
			out[0] = UNREACH4;
			out[1] = 2;
			return true;
		}
		at = pointer_to4(word);
		out[0] = PARAM4;
		out[4] = at;
		return in[1] == 0 && at != NONE;
	default:
		return false;
	}
}

/* RFC 7915, 4.2. 'len': of the packet inside. */
static uint32_t mtu_to6(const uint8_t *in, uint32_t len)
{
	uint32_t mtu = load16(in + 6);

	for (unsigned i = 0; mtu == 0 && i < RTE_DIM(plateau); i++)
		if (plateau[i] < len)
			mtu = plateau[i];
	return RTE_MAX(mtu + 20, 1280u);
}

static bool header_to6(const uint8_t *in, uint32_t len, uint8_t *out)
{
	/* By code of destination unreachable: code of ICMPv6's; 2 and 4 are other types. */
	static const uint8_t unreach[16] = {
	    0, 0, NONE, 4, NONE, 0, 0, 0, 0, 1, 1, 0, 0, 1, NONE, 1};

	memset(out, 0, ICMP_HDR);
	switch (in[0]) {
	case UNREACH4:
		if (in[1] == 2) { /* protocol unreachable: the next header field is at fault */
			out[0] = PARAM6;
			out[1] = 1;
			out[7] = 6;
			return true;
		}
		if (in[1] == 4) {
			out[0] = TOO_BIG6;
			store32(out + 4, mtu_to6(in, len));
			return true;
		}
		if (in[1] >= sizeof(unreach) || unreach[in[1]] == NONE)
			return false;
		out[0] = UNREACH6;
		out[1] = unreach[in[1]];
		return true;
	case TIME4:
		out[0] = TIME6;
		out[1] = in[1];
		return true;
	case PARAM4:
		if ((in[1] != 0 && in[1] != 2) || in[4] >= sizeof(pointer_to6) ||
		    pointer_to6[in[4]] == NONE)
			return false;
		out[0] = PARAM6;
		out[7] = pointer_to6[in[4]];
		return true;
	default:
		return false;
	}
}

/* Bytes of the packet inside: without extensions (RFC 4884), which are left away. */
static unsigned inside_len(const uint8_t *icmp, unsigned n, unsigned field, unsigned unit)
{
	unsigned len = icmp[field] * unit;

	return len != 0 && len < n - ICMP_HDR ? len : n - ICMP_HDR;
}

/* The packet inside, 'n' bytes; returns the bytes of it in 'out', or -errno. */
static int inside_to4(const uint8_t *in, unsigned n, const struct ob_nat_to4 *emb, uint8_t *out)
{
	uint64_t addrs;
	unsigned room;
	uint32_t len;
	struct ext x;
	int rc;

	if (n < IP6_HDR || in[0] >> 4 != 6)
		return -EMSGSIZE;
	rc = ext_walk(in, n, &x);
	if (rc < 0)
		return rc;
	len = load16(in + 4) + IP6_HDR;
	if (len < x.len || x.proto == IPPROTO_ICMP || len - x.len > UINT16_MAX - IP4_HDR)
		return -EMSGSIZE;
	len -= x.len;
	room = RTE_MIN(n - x.len, len);
	make_ip4(out, in, &x, len, false, emb->src, emb->dst);
	memcpy(out + IP4_HDR, in + x.len, room);
	addrs = words(in + 8, 32);
	if (x.frag & 0xfff8)
		return (int)(IP4_HDR + room);
	if (x.proto != IPPROTO_ICMPV6)
		inside_l4(out + IP4_HDR, room, x.proto,
		    minus(addrs) + words(&emb->src, 4) + words(&emb->dst, 4), emb->ports);
	else if (room < ICMP_HDR ||
		 !echo_to4(out + IP4_HDR, addrs + pseudo6(IPPROTO_ICMPV6, len), emb->ports, false))
		return -EMSGSIZE;
	return (int)(IP4_HDR + room);
}

static int inside_to6(const uint8_t *in, unsigned n, const struct ob_nat_to6 *emb, uint8_t *out)
{
	uint64_t addrs6 = words(emb->src, 16) + words(emb->dst, 16);
	unsigned hlen, room, made;
	uint32_t len;

	if (n < IP4_HDR || in[0] >> 4 != 4)
		return -EMSGSIZE;
	hlen = (in[0] & 15u) * 4;
	len = load16(in + 2);
	if (hlen < IP4_HDR || n < hlen || len < hlen || len - hlen > UINT16_MAX - FRAG_HDR)
		return -EMSGSIZE;
	if (!proto_ok(in[9]) || in[9] == IPPROTO_ICMPV6)
		return -ENOTSUP;
	len -= hlen;
	made = make_ip6(out, in, len, emb->src, emb->dst);
	room = RTE_MIN(RTE_MIN(n - hlen, len), MAX_ERROR - IP6_HDR - ICMP_HDR - made);
	memcpy(out + made, in + hlen, room);
	if (load16(in + 6) & RTE_IPV4_HDR_OFFSET_MASK)
		return (int)(made + room);
	if (in[9] != IPPROTO_ICMP)
		inside_l4(out + made, room, in[9], minus(words(in + 12, 8)) + addrs6, emb->ports);
	else if (room < ICMP_HDR ||
		 !echo_to6(out + made, addrs6 + pseudo6(IPPROTO_ICMPV6, len), emb->ports, false))
		return -EMSGSIZE;
	return (int)(made + room);
}

/* Sum of bytes that need not be a multiple of four. */
static uint64_t bytes_sum(uint8_t *p, unsigned n)
{
	memset(p + n, 0, 3); /* the buffer is larger */
	return words(p, RTE_ALIGN_CEIL(n, 4u));
}

/* Puts an L3 packet of 'n' bytes in place of what there is. */
static enum ob_drop replace(
    struct rte_mbuf *pkt, struct ob_meta *m, const uint8_t *l3, unsigned n, bool is_ip4)
{
	uint16_t type = is_ip4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6;
	uint8_t *p = rte_pktmbuf_mtod_offset(pkt, uint8_t *, m->l2_len);

	if ((uint32_t)pkt->data_off + m->l2_len + n > pkt->buf_len)
		return OB_DROP_NO_MBUF;
	if (pkt->next != NULL) {
		rte_pktmbuf_free(pkt->next);
		pkt->next = NULL;
		pkt->nb_segs = 1;
	}
	memcpy(p, l3, n);
	store16(p - 2, type);
	pkt->data_len = (uint16_t)(m->l2_len + n);
	pkt->pkt_len = pkt->data_len;
	m->ethertype = type;
	m->l3_len = is_ip4 ? IP4_HDR : IP6_HDR;
	m->l4_len = ICMP_HDR;
	m->ip_proto = is_ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	m->flags &= (uint16_t) ~(OB_PKT_IP4 | OB_PKT_IP6 | OB_PKT_DF | OB_PKT_FRAG |
				 OB_PKT_L4_CSUM_PARTIAL | OB_PKT_L4_CSUM_GOOD);
	if (!is_ip4)
		m->flags |= OB_PKT_IP6 | OB_PKT_DF;
	else
		m->flags |= OB_PKT_IP4 | ((l3[6] & 0x40) ? OB_PKT_DF : 0);
	return OB_PASS;
}

/* The ICMP message in one piece, or NULL: too short. */
static const uint8_t *message(
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint8_t *buf, unsigned *n)
{
	uint32_t off = (uint32_t)m->l2_len + m->l3_len;

	*n = RTE_MIN(rte_pktmbuf_pkt_len(pkt) - off, (uint32_t)MAX_ERROR);
	return *n < ICMP_HDR ? NULL : rte_pktmbuf_read(pkt, off, *n, buf);
}

enum ob_drop ob_nat64_error_to4(
    struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *emb)
{
	const uint8_t *p = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, m->l2_len), *icmp;
	uint8_t buf[MAX_ERROR], out[MAX_ERROR + IP4_HDR + 4];
	unsigned n, len;
	uint16_t csum;
	struct ext x;
	int rc;

	icmp = message(pkt, m, buf, &n);
	if (icmp == NULL || n < ICMP_HDR + IP6_HDR || memcmp(p + 24, icmp + ICMP_HDR + 8, 16) != 0)
		return OB_DROP_ICMP_UNRELATED;
	if ((m->flags & OB_PKT_FRAG) || ext_walk(p, m->l3_len, &x) < 0 || x.has_frag ||
	    !header_to4(icmp, out + IP4_HDR))
		return OB_DROP_NAT_UNTRANSLATABLE;
	len = icmp[0] == UNREACH6 || icmp[0] == TIME6 ? inside_len(icmp, n, 4, 8) : n - ICMP_HDR;
	rc = inside_to4(icmp + ICMP_HDR, len, emb, out + IP4_HDR + ICMP_HDR);
	if (rc < 0)
		return rc == -EMSGSIZE ? OB_DROP_ICMP_UNRELATED : OB_DROP_NAT_UNTRANSLATABLE;
	len = ICMP_HDR + (unsigned)rc;
	csum = (uint16_t)~ob_nat_fold(bytes_sum(out + IP4_HDR, len));
	memcpy(out + IP4_HDR + 2, &csum, 2);
	/* Who sent it is behind the public address, whichever host that is. */
	make_ip4(out, p, &x, len, false, emb->dst, emb->src);
	return replace(pkt, m, out, IP4_HDR + len, true);
}

enum ob_drop ob_nat64_error_to6(
    struct rte_mbuf *pkt, struct ob_meta *m, const uint8_t src[16], const struct ob_nat_to6 *emb)
{
	const uint8_t *p = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, m->l2_len), *icmp;
	uint8_t buf[MAX_ERROR], out[MAX_ERROR + IP6_HDR + 4];
	uint64_t sum;
	unsigned n, len;
	uint16_t csum;
	int rc;

	icmp = message(pkt, m, buf, &n);
	if (icmp == NULL || n < ICMP_HDR + IP4_HDR || memcmp(p + 16, icmp + ICMP_HDR + 12, 4) != 0)
		return OB_DROP_ICMP_UNRELATED;
	if ((m->flags & OB_PKT_FRAG) ||
	    !header_to6(icmp, load16(icmp + ICMP_HDR + 2), out + IP6_HDR))
		return OB_DROP_NAT_UNTRANSLATABLE;
	len = icmp[0] == UNREACH4 && icmp[1] == 4 ? n - ICMP_HDR : inside_len(icmp, n, 5, 4);
	rc = inside_to6(icmp + ICMP_HDR, len, emb, out + IP6_HDR + ICMP_HDR);
	if (rc < 0)
		return rc == -EMSGSIZE ? OB_DROP_ICMP_UNRELATED : OB_DROP_NAT_UNTRANSLATABLE;
	len = ICMP_HDR + (unsigned)rc;
	make_ip6(out, p, len, src, emb->src);
	sum = words(out + 8, 32) + pseudo6(IPPROTO_ICMPV6, len);
	sum += bytes_sum(out + IP6_HDR, len);
	csum = (uint16_t)~ob_nat_fold(sum);
	memcpy(out + IP6_HDR + 2, &csum, 2);
	return replace(pkt, m, out, IP6_HDR + len, false);
}
