/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbour discovery (RFC 4861). Neighbour solicitations are answered as ARP is; router solicitations with the virtual router's
 * advertisement: managed addresses (they come by DHCPv6), on-link prefixes, MTU, DNS servers (RFC 8106). */
#include "stages_priv.h"

#include <rte_cycles.h>

#define NS	      135
#define NA	      136
#define RS	      133
#define RA	      134
#define NS_LEN	      24
#define NA_LEN	      32
#define NA_ROUTER     0x80
#define NA_SOLICITED  0x40
#define NA_OVERRIDE   0x20
#define RA_MANAGED    0xc0   /* M and O */
#define RA_LIFETIME   65535u /* RFC 8319: the longest there is */
#define RA_INTERVAL_S 600    /* RFC 4861, 6.2.1: default MaxRtrAdvInterval */
#define RA_FIRST_S    10     /* for guests that asked before the ENI was there */
#define OPT_TLLA      2
#define OPT_SLLA      1
#define OPT_PREFIX    3
#define OPT_MTU	      5
#define OPT_RDNSS     25
#define PREFIX_ONLINK 0x80

static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t none[16];

/* The ICMPv6 message in 'len' contiguous bytes, or NULL. RFC 4861, 6.1.1 and 7.1.1: hop limit, code, checksum. */
static const uint8_t *good_message(
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint16_t *len)
{
	const uint8_t *ip = l3_of(pkt, m), *l4 = l4_of(pkt, m);
	uint32_t n = rte_pktmbuf_pkt_len(pkt) - m->l2_len - m->l3_len;
	uint32_t sum;

	if (m->l2_len != RTE_ETHER_HDR_LEN || n > 256 ||
	    n + m->l2_len + m->l3_len > rte_pktmbuf_data_len(pkt) || ip[7] != 255 || l4[1] != 0)
		return NULL;
	sum = rte_raw_cksum(ip + 8, 32) + (uint32_t)rte_cpu_to_be_16(IPPROTO_ICMPV6) +
	      rte_cpu_to_be_16((uint16_t)n) + rte_raw_cksum(l4, n);
	if (!(m->flags & OB_PKT_L4_CSUM_PARTIAL) && fold_sum(sum) != 0xffff)
		return NULL;
	*len = (uint16_t)n;
	return l4;
}

/* As for ARP. 'eni' NULL: asked from the wire. */
static enum ob_drop lookup(const struct ob_eni *eni, uint16_t vnet, const uint8_t target[16],
    uint8_t mac[6], bool *is_router)
{
	struct ob_key key = ob_key_ca6(vnet, target);
	uint32_t value;

	*is_router = false;
	if (eni != NULL) {
		if (eni_has6(eni, target))
			return OB_DROP_BAD_REQUEST; /* duplicate address detection of its own */
		if (eni_routes6(eni, target)) {
			*is_router = true;
			memcpy(mac, eni->router_mac, 6);
			return OB_PASS;
		}
	}
	ob_policy_find(&key, &value, 1);
	if (value == OB_TABLE_MISS || (!(value & OB_CA_ENI) && eni == NULL))
		return OB_DROP_ARP_UNANSWERED;
	if (value & OB_CA_ENI) {
		const struct ob_eni *of = ob_eni_at(value & ~OB_CA_ENI);

		if (of == NULL || of->vnet != vnet)
			return OB_DROP_ARP_UNANSWERED;
		memcpy(mac, of->mac, 6);
	} else {
		memcpy(mac, ob_mapping_at(value)->mac, 6);
	}
	return OB_PASS;
}

static void finish(struct rte_mbuf *m, struct ob_meta *meta, uint8_t *ip, uint8_t *l4, uint16_t len)
{
	uint16_t csum;

	csum = answer_csum6(ip, IPPROTO_ICMPV6, l4, len);
	memcpy(l4 + 2, &csum, 2);
	m->data_len = (uint16_t)(l4 + len - rte_pktmbuf_mtod(m, uint8_t *));
	m->pkt_len = m->data_len;
	answer_meta(meta, true, IPPROTO_ICMPV6, 8);
}

static enum ob_drop solicited(struct ob_worker *w, const struct rte_mbuf *pkt,
    const struct ob_meta *m, const struct ob_eni *eni, uint16_t vnet, const uint8_t *l4,
    uint16_t len, struct ob_burst *out)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, const struct rte_ether_hdr *);
	const uint8_t *asker = l3_of(pkt, m) + 8;
	struct rte_mbuf *a;
	enum ob_drop why;
	bool is_router, is_dad = memcmp(asker, none, 16) == 0;
	uint8_t mac[6];
	uint8_t *ip, *p;

	if (len < NS_LEN || l4[8] == 0xff || !rte_is_unicast_ether_addr(&eth->src_addr))
		return OB_DROP_BAD_REQUEST;
	why = lookup(eni, vnet, l4 + 8, mac, &is_router);
	if (why != OB_PASS)
		return why;
	a = answer_new(w, m, &out->meta[out->n]);
	if (a == NULL)
		return OB_DROP_BAD_REQUEST;
	ip = answer_ether(
	    rte_pktmbuf_mtod(a, uint8_t *), eth->src_addr.addr_bytes, mac, RTE_ETHER_TYPE_IPV6);
	/* RFC 4861, 7.2.4: duplicate address detection is answered to all nodes. */
	p = answer_ip6(ip, l4 + 8, is_dad ? all_nodes : asker, IPPROTO_ICMPV6, 255, NA_LEN);
	memset(p, 0, NA_LEN);
	p[0] = NA;
	p[4] = (uint8_t)(NA_OVERRIDE | (is_dad ? 0 : NA_SOLICITED) | (is_router ? NA_ROUTER : 0));
	memcpy(p + 8, l4 + 8, 16);
	p[24] = OPT_TLLA;
	p[25] = 1;
	memcpy(p + 26, mac, 6);
	finish(a, &out->meta[out->n], ip, p, NA_LEN);
	out->pkt[out->n++] = a;
	return OB_PASS;
}

static uint8_t *put_prefix(uint8_t *p, const uint8_t addr[16], unsigned len)
{
	memset(p, 0, 32);
	p[0] = OPT_PREFIX;
	p[1] = 4;
	p[2] = (uint8_t)len;
	p[3] = PREFIX_ONLINK;
	store32(p + 4, UINT32_MAX);
	store32(p + 8, UINT32_MAX);
	memcpy(p + 16, addr, len / 8);
	if (len % 8 != 0)
		p[16 + len / 8] = (uint8_t)(addr[len / 8] & ~(0xff >> len % 8));
	return p + 32;
}

/* 'asker': the unspecified address for all nodes. */
static enum ob_drop advertise(struct ob_worker *w, const struct ob_meta *m,
    const struct ob_eni *eni, const uint8_t asker[16], struct ob_burst *out)
{
	bool unspec = memcmp(asker, none, 16) == 0;
	struct rte_mbuf *a = answer_new(w, m, &out->meta[out->n]);
	uint8_t *ip, *l4, *p;

	if (a == NULL)
		return OB_DROP_BAD_REQUEST;
	ip = answer_ether(
	    rte_pktmbuf_mtod(a, uint8_t *), eni->mac, eni->router_mac, RTE_ETHER_TYPE_IPV6);
	l4 = ip + sizeof(struct rte_ipv6_hdr);
	memset(l4, 0, 16);
	l4[0] = RA;
	l4[4] = 64; /* hop limit */
	l4[5] = RA_MANAGED;
	store16(l4 + 6, eni->n_addr6 > 0 ? RA_LIFETIME : 0);
	p = l4 + 16;
	p[0] = OPT_SLLA;
	p[1] = 1;
	memcpy(p + 2, eni->router_mac, 6);
	p += 8;
	p[0] = OPT_MTU;
	p[1] = 1;
	store16(p + 2, 0);
	store32(p + 4, eni->mtu);
	p += 8;
	for (unsigned i = 0; i < eni->n_addr6; i++)
		if (eni->plen6[i] < 128)
			p = put_prefix(p, eni->addr6[i], eni->plen6[i]);
	if (eni->n_dns6 > 0) {
		p[0] = OPT_RDNSS;
		p[1] = (uint8_t)(1 + 2 * eni->n_dns6);
		store16(p + 2, 0);
		store32(p + 4, RA_LIFETIME);
		memcpy(p + 8, eni->dns6, 16u * eni->n_dns6);
		p += 8 + 16 * eni->n_dns6;
	}
	answer_ip6(ip, eni->router_ll, unspec ? all_nodes : asker, IPPROTO_ICMPV6, 255,
	    (uint16_t)(p - l4));
	finish(a, &out->meta[out->n], ip, l4, (uint16_t)(p - l4));
	out->pkt[out->n++] = a;
	return OB_PASS;
}

static enum ob_drop answer_one(
    struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_meta *m, struct ob_burst *out)
{
	struct ob_key key = ob_key_vni(m->vni);
	const struct ob_eni *eni = NULL;
	const uint8_t *l4;
	uint32_t vnet;
	uint16_t len;

	l4 = good_message(pkt, m, &len);
	if (l4 == NULL)
		return OB_DROP_BAD_REQUEST;
	if (m->in_vif != OB_VIF_NONE) {
		eni = ob_eni_at(m->eni);
		if (eni == NULL)
			return OB_DROP_NO_ENI;
		if (l4[0] == RS)
			return advertise(w, m, eni, l3_of(pkt, m) + 8, out);
		vnet = eni->vnet;
	} else {
		ob_policy_find(&key, &vnet, 1);
		if (vnet == OB_TABLE_MISS)
			return OB_DROP_VNI_UNKNOWN;
	}
	return l4[0] == NS ? solicited(w, pkt, m, eni, (uint16_t)vnet, l4, len, out)
			   : OB_DROP_BAD_REQUEST;
}

void ob_stage_answer_nd(struct ob_worker *w, struct ob_burst *b)
{
	struct ob_burst out = {.n = 0};

	for (unsigned i = 0; i < b->n; i++) {
		enum ob_drop why = answer_one(w, b->pkt[i], &b->meta[i], &out);

		if (why != OB_PASS)
			ob_drop(w, why, b->meta[i].in_vif, b->pkt[i]);
		else
			answer_done(w, b->pkt[i], &b->meta[i]);
	}
	b->n = 0;
	answer_send(w, &out);
}

/* Linux asks once, when the link comes up; a lifetime that then ends takes the default route with it. */
void ob_stage_advertise(struct ob_worker *w, const struct ob_eni *eni, uint64_t now_tsc)
{
	uint64_t *due = &ctx_of(w)->ra_due[eni->idx];
	const struct ob_meta m = {.in_vif = eni->vif, .out_vif = eni->vif, .eni = eni->idx};
	struct ob_burst *out;

	if (likely(now_tsc < *due))
		return;
	if (*due != 0 && eni->n_addr6 > 0) {
		out = &ob_stage_edges(w)->burst[OB_EDGE_ND];
		/* Between bursts the edge is empty, and the guest's own questions come later. */
		assert(out->n == 0);
		advertise(w, &m, eni, none, out);
		answer_send(w, out);
		*due = now_tsc + RA_INTERVAL_S * rte_get_tsc_hz();
	} else {
		*due = now_tsc + RA_FIRST_S * rte_get_tsc_hz();
	}
}
