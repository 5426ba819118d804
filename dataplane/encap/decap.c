/* SPDX-License-Identifier: BSD-3-Clause */
/* Decapsulation. Bytes come from a hostile network: each length is checked before what it covers is read. */
#include "encap_priv.h"

#include <string.h>

#define VXLAN_FLAG_I	0x08
#define GENEVE_FLAG_OAM 0x80
#define GENEVE_VERSION	0xc0
#define GENEVE_CRITICAL 0x80
#define ECN_MASK	0x03
#define ECN_NOT_ECT	0
#define ECN_CE		3

#define OVERLAY OB_OUTER_OVERLAY
#define KERNEL	OB_OUTER_KERNEL
#define DROP	OB_OUTER_DROP

int ob_pkt_pull(struct rte_mbuf *pkt, unsigned len)
{
	unsigned want = RTE_MIN(len, rte_pktmbuf_pkt_len(pkt));

	if (likely(rte_pktmbuf_data_len(pkt) >= want))
		return 0;
	if (want - rte_pktmbuf_data_len(pkt) > rte_pktmbuf_tailroom(pkt) || !RTE_MBUF_DIRECT(pkt) ||
	    rte_mbuf_refcnt_read(pkt) != 1)
		return -EMSGSIZE;
	while (rte_pktmbuf_data_len(pkt) < want) {
		struct rte_mbuf *seg = pkt->next;
		unsigned n;

		if (seg == NULL)
			return -EMSGSIZE; /* pkt_len promised more than the chain has */
		n = RTE_MIN(want - rte_pktmbuf_data_len(pkt), (unsigned)rte_pktmbuf_data_len(seg));
		memcpy(rte_pktmbuf_mtod_offset(pkt, char *, rte_pktmbuf_data_len(pkt)),
		    rte_pktmbuf_mtod(seg, char *), n);
		pkt->data_len = (uint16_t)(pkt->data_len + n);
		seg->data_len = (uint16_t)(seg->data_len - n);
		seg->data_off = (uint16_t)(seg->data_off + n);
		if (seg->data_len == 0) {
			pkt->next = seg->next;
			pkt->nb_segs--;
			seg->next = NULL;
			seg->nb_segs = 1;
			rte_pktmbuf_free_seg(seg);
		}
	}
	return 0;
}

static inline enum ob_outer_verdict drop(enum ob_drop *why, enum ob_drop reason)
{
	*why = reason;
	return DROP;
}

static inline uint8_t port_type(const struct ob_encap_local *l, rte_be16_t port)
{
	for (unsigned i = 0; i < l->n_ports; i++)
		if (l->port[i].port == port)
			return l->port[i].type;
	return 0;
}

/* What the IP header says, both families. */
struct ip_view {
	uint64_t src[2], dst[2]; /* bytes as in the packet, the rest zero */
	uint32_t l4_off, l4_len; /* as the IP header has it, inside the packet */
	uint8_t ecn;
	bool is_ip6, frag, first_frag;
};

/* Returns OVERLAY (UDP to one of our addresses), KERNEL or DROP. 'len' bytes are contiguous. */
static inline enum ob_outer_verdict parse_ip4(const struct ob_encap_local *l,
    const struct rte_mbuf *pkt, const uint8_t *p, uint32_t len, struct ip_view *v,
    enum ob_drop *why)
{
	struct rte_ipv4_hdr ip;
	uint32_t hlen, total;
	uint16_t frag;

	if (len < RTE_ETHER_HDR_LEN + sizeof(ip))
		return KERNEL;
	memcpy(&ip, p + RTE_ETHER_HDR_LEN, sizeof(ip));
	if ((ip.version_ihl >> 4) != 4 || ip.next_proto_id != IPPROTO_UDP)
		return KERNEL;
	if (!local_has4(l, ip.dst_addr))
		return KERNEL;
	hlen = (ip.version_ihl & 0x0fu) * 4;
	total = rte_be_to_cpu_16(ip.total_length);
	if (hlen < sizeof(ip) || total < hlen + sizeof(struct rte_udp_hdr) ||
	    total > rte_pktmbuf_pkt_len(pkt) - RTE_ETHER_HDR_LEN || len < RTE_ETHER_HDR_LEN + hlen)
		return drop(why, OB_DROP_OUTER_MALFORMED);
	if ((pkt->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
	    !ob_ip4_sum_ok(p + RTE_ETHER_HDR_LEN, hlen))
		return drop(why, OB_DROP_OUTER_CHECKSUM);
	frag = rte_be_to_cpu_16(ip.fragment_offset);
	v->frag = (frag & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0;
	v->first_frag = (frag & RTE_IPV4_HDR_OFFSET_MASK) == 0;
	v->src[0] = ip.src_addr;
	v->dst[0] = ip.dst_addr;
	v->src[1] = v->dst[1] = 0;
	v->is_ip6 = false;
	v->l4_off = RTE_ETHER_HDR_LEN + hlen;
	v->l4_len = total - hlen;
	v->ecn = ip.type_of_service & ECN_MASK;
	return OVERLAY;
}

static inline enum ob_outer_verdict parse_ip6(const struct ob_encap_local *l,
    const struct rte_mbuf *pkt, const uint8_t *p, uint32_t len, struct ip_view *v,
    enum ob_drop *why)
{
	struct rte_ipv6_fragment_ext frag;
	struct rte_ipv6_hdr ip;
	uint32_t payload;
	uint8_t proto;

	if (len < RTE_ETHER_HDR_LEN + sizeof(ip))
		return KERNEL;
	memcpy(&ip, p + RTE_ETHER_HDR_LEN, sizeof(ip));
	proto = ip.proto;
	if (rte_be_to_cpu_32(ip.vtc_flow) >> 28 != 6 ||
	    (proto != IPPROTO_UDP && proto != IPPROTO_FRAGMENT))
		return KERNEL;
	memcpy(v->dst, p + RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv6_hdr, dst_addr), 16);
	if (!local_has6(l, v->dst))
		return KERNEL;
	payload = rte_be_to_cpu_16(ip.payload_len);
	v->l4_off = RTE_ETHER_HDR_LEN + sizeof(ip);
	if (payload > rte_pktmbuf_pkt_len(pkt) - v->l4_off)
		return drop(why, OB_DROP_OUTER_MALFORMED);
	v->frag = proto == IPPROTO_FRAGMENT;
	v->first_frag = true;
	if (v->frag) {
		if (payload < sizeof(frag) || len < v->l4_off + sizeof(frag))
			return drop(why, OB_DROP_OUTER_MALFORMED);
		memcpy(&frag, p + v->l4_off, sizeof(frag));
		if (frag.next_header != IPPROTO_UDP)
			return KERNEL;
		v->first_frag = (rte_be_to_cpu_16(frag.frag_data) & 0xfff8) == 0;
		v->l4_off += sizeof(frag);
		payload -= (uint32_t)sizeof(frag);
	}
	if (payload < sizeof(struct rte_udp_hdr))
		return drop(why, OB_DROP_OUTER_MALFORMED);
	memcpy(v->src, p + RTE_ETHER_HDR_LEN + offsetof(struct rte_ipv6_hdr, src_addr), 16);
	v->is_ip6 = true;
	v->l4_len = payload;
	v->ecn = (rte_be_to_cpu_32(ip.vtc_flow) >> 20) & ECN_MASK;
	return OVERLAY;
}

/* RFC 768; RFC 8200, 8.1: over IPv6 a zero checksum is not accepted (tunnels may agree on it, RFC 6935; ours do not). */
static bool udp_csum_ok(const struct rte_mbuf *pkt, const struct ip_view *v,
    const struct rte_udp_hdr *udp, uint32_t udp_len)
{
	uint32_t sum;

	if (udp->dgram_cksum == 0)
		return !v->is_ip6;
	if ((pkt->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	/* Addresses are zero beyond their family's length. */
	sum = ob_pkt_sum(pkt, v->l4_off, udp_len) + (uint32_t)rte_raw_cksum(v->src, 16) +
	      (uint32_t)rte_raw_cksum(v->dst, 16) + (uint32_t)rte_cpu_to_be_16(IPPROTO_UDP) +
	      (uint32_t)rte_cpu_to_be_16((uint16_t)udp_len);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static inline enum ob_outer_verdict parse_vxlan(
    const uint8_t *p, struct ob_outer *o, enum ob_drop *why)
{
	/* RFC 7348, 5: only the I flag counts, everything reserved is ignored. */
	if ((p[0] & VXLAN_FLAG_I) == 0)
		return drop(why, OB_DROP_VXLAN_FLAGS);
	o->vni = (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6];
	return OVERLAY;
}

static inline enum ob_outer_verdict parse_geneve(
    const uint8_t *p, struct ob_outer *o, enum ob_drop *why)
{
	/* RFC 8926, 3.4: unknown versions are dropped. Control packets (O) carry no tenant frame that we could use. */
	if ((p[0] & GENEVE_VERSION) != 0 || (p[1] & GENEVE_FLAG_OAM) != 0 ||
	    (p[2] << 8 | p[3]) != RTE_GENEVE_TYPE_ETH)
		return drop(why, OB_DROP_GENEVE_HEADER);
	o->opts_len = (uint8_t)((p[0] & 0x3f) * 4);
	o->vni = (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6];
	return OVERLAY;
}

/* The UDP and tunnel headers; 'p' and 'len' as above. */
static enum ob_outer_verdict parse_udp(const struct ob_encap_local *l, const struct rte_mbuf *pkt,
    const uint8_t *p, uint32_t len, const struct ip_view *v, struct ob_outer *o, enum ob_drop *why)
{
	struct rte_udp_hdr udp;
	uint32_t udp_len, off, end;
	enum ob_outer_verdict rc;

	/* A later fragment has no ports. The kernel gets it and forgets it: the first one was dropped here. */
	if (!v->first_frag)
		return KERNEL;
	if (len < v->l4_off + sizeof(udp))
		return drop(why, OB_DROP_OUTER_MALFORMED);
	memcpy(&udp, p + v->l4_off, sizeof(udp));
	o->type = port_type(l, udp.dst_port);
	if (o->type == 0)
		return KERNEL;
	if (v->frag)
		return drop(why, OB_DROP_OUTER_FRAGMENT);
	udp_len = rte_be_to_cpu_16(udp.dgram_len);
	off = v->l4_off + (uint32_t)sizeof(udp);
	if (udp_len < sizeof(udp) + sizeof(struct rte_vxlan_hdr) || udp_len > v->l4_len ||
	    len < off + sizeof(struct rte_vxlan_hdr))
		return drop(why, OB_DROP_OUTER_MALFORMED);
	if (!udp_csum_ok(pkt, v, &udp, udp_len))
		return drop(why, OB_DROP_OUTER_CHECKSUM);
	end = v->l4_off + udp_len;
	o->opts_len = 0;
	rc = o->type == OB_ENCAP_VXLAN ? parse_vxlan(p + off, o, why)
				       : parse_geneve(p + off, o, why);
	if (rc != OVERLAY)
		return rc;
	off += (uint32_t)sizeof(struct rte_vxlan_hdr);
	o->opts_off = (uint16_t)off;
	if (o->opts_len > end - off || len < off + o->opts_len)
		return drop(why, OB_DROP_GENEVE_HEADER);
	off += o->opts_len;
	if (end - off < RTE_ETHER_HDR_LEN)
		return drop(why, OB_DROP_OUTER_MALFORMED);
	o->hdr_len = (uint16_t)off;
	o->frame_len = end - off;
	o->ecn = v->ecn;
	o->dst[0] = v->dst[0];
	o->dst[1] = v->dst[1];
	o->is_ip6 = v->is_ip6;
	o->key =
	    encap_key(o->type, rte_be_to_cpu_16(udp.dst_port), v->is_ip6, v->src[0], v->src[1]);
	return OVERLAY;
}

/* Longest outer headers, and enough of the inner frame for its own headers. */
#define PULL_LEN (14 + 60 + 8 + 8 + 252 + 256)

/* VXLAN as nearly all of it comes: IPv4 without options to our first address, whole, no UDP checksum (RFC 7348, 5) or a checked one, the
 * datagram to the end of the packet, the default port. False: anything else, right or wrong, which is the general code's. */
static inline bool parse_plain(
    const struct ob_encap_local *l, const struct rte_mbuf *pkt, struct ob_outer *o)
{
	enum { IP = RTE_ETHER_HDR_LEN, UDP = IP + 20, VXLAN = UDP + 8, FRAME = VXLAN + 8 };
	const uint8_t *p = rte_pktmbuf_mtod(pkt, const uint8_t *);
	uint32_t len = rte_pktmbuf_data_len(pkt), total = len - IP, type, frag, dst, src, ports;
	uint16_t ip_len, udp_len, csum;

	if (unlikely(len < FRAME + RTE_ETHER_HDR_LEN || pkt->next != NULL))
		return false;
	memcpy(&type, p + 12, 4);
	memcpy(&frag, p + IP + 6, 4);
	memcpy(&ip_len, p + IP + 2, 2);
	memcpy(&src, p + IP + 12, 4);
	memcpy(&dst, p + IP + 16, 4);
	memcpy(&ports, p + UDP, 4);
	memcpy(&udp_len, p + UDP + 4, 2);
	memcpy(&csum, p + UDP + 6, 2);
	if (unlikely(
		(type & rte_cpu_to_be_32(0xffffff00)) != rte_cpu_to_be_32(0x08004500) ||
		(frag & rte_cpu_to_be_32(0xbfff00ff)) != rte_cpu_to_be_32(IPPROTO_UDP) ||
		rte_be_to_cpu_16(ip_len) != total || rte_be_to_cpu_16(udp_len) != total - 20 ||
		l->n_addr4 == 0 || dst != l->addr4[0] ||
		(ports & rte_cpu_to_be_32(0xffff)) != rte_cpu_to_be_32(RTE_VXLAN_DEFAULT_PORT) ||
		(p[VXLAN] & VXLAN_FLAG_I) == 0))
		return false;
	if (unlikely(l->check_mac && memcmp(p, &l->mac, 6) != 0))
		return false;
	if (unlikely(csum != 0 &&
		     (pkt->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_GOOD))
		return false;
	if ((pkt->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
	    unlikely(!ob_ip4_sum5_ok(p + IP)))
		return false;
	*o = (struct ob_outer){
	    .key = encap_key(OB_ENCAP_VXLAN, RTE_VXLAN_DEFAULT_PORT, false, src, 0),
	    .dst = {dst, 0},
	    .vni = (uint32_t)p[VXLAN + 4] << 16 | (uint32_t)p[VXLAN + 5] << 8 | p[VXLAN + 6],
	    .frame_len = len - FRAME,
	    .hdr_len = FRAME,
	    .opts_off = FRAME,
	    .type = OB_ENCAP_VXLAN,
	    .ecn = p[IP + 1] & ECN_MASK};
	return true;
}

enum ob_outer_verdict ob_outer_parse(
    const struct ob_encap_local *l, struct rte_mbuf *pkt, struct ob_outer *o, enum ob_drop *why)
{
	struct rte_ether_hdr eth;
	struct ip_view v;
	const uint8_t *p;
	uint32_t len;
	enum ob_outer_verdict rc;

	if (likely(parse_plain(l, pkt, o)))
		return OVERLAY;
	if (unlikely(pkt->next != NULL) && ob_pkt_pull(pkt, PULL_LEN) < 0)
		return drop(why, OB_DROP_OUTER_MALFORMED);
	p = rte_pktmbuf_mtod(pkt, const uint8_t *);
	len = rte_pktmbuf_data_len(pkt);
	if (len < sizeof(eth))
		return drop(why, OB_DROP_OUTER_MALFORMED);
	memcpy(&eth, p, sizeof(eth));
	if (l->check_mac && !rte_is_same_ether_addr(&eth.dst_addr, &l->mac))
		return KERNEL;
	if (eth.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		rc = parse_ip4(l, pkt, p, len, &v, why);
	else if (eth.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
		rc = parse_ip6(l, pkt, p, len, &v, why);
	else
		return KERNEL;
	return rc == OVERLAY ? parse_udp(l, pkt, p, len, &v, o, why) : rc;
}

void ob_outer_find(const struct ob_outer *o, uint32_t *tunnel, unsigned n)
{
	struct ob_key key[OB_BURST_MAX];

	for (unsigned i = 0; i < n; i++)
		key[i] = o[i].key;
	ob_map_get_burst(encap_by_remote, key, tunnel, n);
}

/* Walks the options (RFC 8926, 3.5). Each step takes at least four bytes, so there are at most 63. */
static enum ob_drop check_opts(const struct tunnel *t, const uint8_t *p, unsigned len)
{
	unsigned found = 0;

	for (unsigned off = 0; off < len;) {
		unsigned data_len;
		uint16_t class_be;
		bool known = false;

		if (len - off < 4)
			return OB_DROP_GENEVE_HEADER;
		memcpy(&class_be, p + off, 2);
		data_len = (p[off + 3] & 0x1fu) * 4;
		if (data_len > len - off - 4)
			return OB_DROP_GENEVE_HEADER;
		for (unsigned i = 0; i < t->n_match; i++) {
			const struct ob_geneve_opt *m = &t->match[i];

			if (m->class_be == class_be && m->type == p[off + 2] &&
			    m->len == data_len && memcmp(m->data, p + off + 4, data_len) == 0)
				found |= 1u << i;
		}
		for (unsigned i = 0; i < t->n_known; i++)
			known |= t->known[i].class_be == class_be && t->known[i].type == p[off + 2];
		if ((p[off + 2] & GENEVE_CRITICAL) != 0 && !known)
			return OB_DROP_GENEVE_CRITICAL;
		off += 4 + data_len;
	}
	return found == (1u << t->n_match) - 1 ? OB_PASS : OB_DROP_GENEVE_MATCH;
}

/* RFC 6040, 4.2: inner and outer ECN to what is passed on; CE on a packet that cannot carry it is a loss. */
static enum ob_drop combine_ecn(uint8_t *frame, uint32_t len, uint8_t outer)
{
	uint8_t *ip = frame + RTE_ETHER_HDR_LEN;
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
	bool is_ip4 = type == RTE_ETHER_TYPE_IPV4;
	uint8_t inner, tos;

	if (outer == ECN_NOT_ECT || (!is_ip4 && type != RTE_ETHER_TYPE_IPV6) ||
	    len < RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr))
		return OB_PASS;
	tos = is_ip4 ? ip[1] : (uint8_t)((unsigned)ip[0] << 4 | ip[1] >> 4);
	inner = tos & ECN_MASK;
	if (inner == ECN_NOT_ECT)
		return outer == ECN_CE ? OB_DROP_ECN_CE : OB_PASS;
	/* CE wins over all; ECT(1) of the outer over ECT(0): as numbers, 2 -> 1, anything -> 3. */
	if (inner == ECN_CE || (outer != ECN_CE && (inner == 1 || outer == 2)))
		return OB_PASS;
	if (is_ip4) {
		uint16_t csum, old_word, new_word;
		uint32_t sum;

		memcpy(&old_word, ip, 2);
		ip[1] = (uint8_t)((tos & (uint8_t)~ECN_MASK) | outer);
		memcpy(&new_word, ip, 2);
		memcpy(&csum, ip + 10, 2);
		/* RFC 1624, equation 3. */
		sum = (uint16_t)~csum + (uint32_t)(uint16_t)~old_word + new_word;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		csum = (uint16_t)~sum;
		memcpy(ip + 10, &csum, 2);
	} else {
		ip[1] = (uint8_t)((ip[1] & 0xcf) | outer << 4);
	}
	return OB_PASS;
}

/* The inner packet is itself a tunnel packet to this card: nothing legitimate loops like that. */
static inline bool is_nested(const struct ob_encap_local *l, const uint8_t *frame, uint32_t len)
{
	const uint8_t *ip = frame + RTE_ETHER_HDR_LEN;
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
	rte_be16_t port;
	uint32_t l4;

	if (type == RTE_ETHER_TYPE_IPV4 && len >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr)) {
		uint32_t dst;

		memcpy(&dst, ip + offsetof(struct rte_ipv4_hdr, dst_addr), 4);
		if (likely(ip[9] != IPPROTO_UDP || !local_has4(l, dst)))
			return false;
		l4 = RTE_ETHER_HDR_LEN + (ip[0] & 0x0fu) * 4;
	} else if (type == RTE_ETHER_TYPE_IPV6 &&
		   len >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr)) {
		uint64_t dst[2];

		memcpy(dst, ip + offsetof(struct rte_ipv6_hdr, dst_addr), 16);
		if (likely(ip[6] != IPPROTO_UDP || !local_has6(l, dst)))
			return false;
		l4 = RTE_ETHER_HDR_LEN + (uint32_t)sizeof(struct rte_ipv6_hdr);
	} else {
		return false;
	}
	if (len < l4 + 4)
		return false;
	memcpy(&port, frame + l4 + 2, 2);
	return port_type(l, port) != 0;
}

void ob_decap_begin(struct ob_decap_run *r, const struct ob_worker *w)
{
	*r = (struct ob_decap_run){.worker = ob_worker_id(w), .tunnel = OB_TUNNEL_NONE};
}

void ob_decap_end(struct ob_decap_run *r)
{
	struct ob_tunnel_counters *c;

	if (r->n_pkts == 0)
		return;
	c = &encap_counters[r->worker * (size_t)OB_MAX_TUNNELS + r->tunnel];
	encap_count(&c->rx_pkts, r->n_pkts);
	encap_count(&c->rx_bytes, r->n_bytes);
	r->n_pkts = 0;
	r->n_bytes = 0;
}

enum ob_drop ob_outer_pop(struct ob_decap_run *r, const struct ob_encap_local *l,
    struct rte_mbuf *pkt, const struct ob_outer *o, uint32_t idx)
{
	const struct tunnel *t;
	enum ob_drop why;
	uint32_t len, extra;
	uint8_t *p;

	if (unlikely(idx != r->tunnel)) {
		ob_decap_end(r);
		r->tunnel = idx;
		r->t = idx < OB_MAX_TUNNELS ? ob_rcu_load(&encap_tunnels[idx]) : NULL;
	}
	t = r->t;
	if (unlikely(t == NULL))
		return OB_DROP_TUNNEL_UNKNOWN;
	if (t->has_local && ((t->local[0] ^ o->dst[0]) | (t->local[1] ^ o->dst[1])) != 0)
		return OB_DROP_TUNNEL_UNKNOWN;
	p = rte_pktmbuf_mtod(pkt, uint8_t *);
	if (o->opts_len > 0 || t->n_match > 0) {
		why = check_opts(t, p + o->opts_off, o->opts_len);
		if (why != OB_PASS)
			return why;
	}
	p += o->hdr_len;
	/* The headers are contiguous, the frame behind them as far as the segment goes. */
	len = RTE_MIN(o->frame_len, (uint32_t)rte_pktmbuf_data_len(pkt) - o->hdr_len);
	if (unlikely(len < RTE_ETHER_HDR_LEN))
		return OB_DROP_OUTER_MALFORMED;
	if (is_nested(l, p, len))
		return OB_DROP_NESTED_TUNNEL;
	why = combine_ecn(p, len, o->ecn);
	if (why != OB_PASS)
		return why;
	rte_pktmbuf_adj(pkt, o->hdr_len);
	extra = rte_pktmbuf_pkt_len(pkt) - o->frame_len; /* Ethernet padding behind the datagram */
	if (unlikely(extra > 0) && rte_pktmbuf_trim(pkt, (uint16_t)extra) < 0)
		return OB_DROP_OUTER_MALFORMED;
	/* What the port said of checksums was about the outer headers. */
	pkt->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	r->n_pkts++;
	r->n_bytes += o->frame_len;
	return OB_PASS;
}
