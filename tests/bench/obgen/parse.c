/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes what came out of the system apart, and holds it against what it should be. */
#include <string.h>

#include <rte_arp.h>
#include <rte_geneve.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "obgen.h"

const char *const obg_kind_names[OBG_N_KINDS] = {"plain", "vxlan", "geneve", "arp", "other"};

const char *const obg_err_names[OBG_N_ERRS] = {
    [OBG_E_SHORT] = "short",
    [OBG_E_FORM] = "form",
    [OBG_E_OUTER_ETH] = "outer_eth",
    [OBG_E_OUTER_IP] = "outer_ip",
    [OBG_E_OUTER_SUM] = "outer_sum",
    [OBG_E_OUTER_UDP] = "outer_udp",
    [OBG_E_TUNNEL] = "tunnel",
    [OBG_E_INNER_ETH] = "inner_eth",
    [OBG_E_INNER_IP] = "inner_ip",
    [OBG_E_INNER_SUM] = "inner_sum",
    [OBG_E_TUPLE] = "tuple",
    [OBG_E_L4] = "l4",
    [OBG_E_L4_SUM] = "l4_sum",
    [OBG_E_SEQ] = "seq",
    [OBG_E_ORDER] = "order",
    [OBG_E_STAMP] = "stamp",
};

/* What is left of the frame. */
struct at {
	const uint8_t *b;
	uint32_t len;
};

static unsigned be16(const uint8_t *b)
{
	return (unsigned)b[0] << 8 | b[1];
}

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)be16(b) << 16 | be16(b + 2);
}

/* An IPv4 header without options that is no fragment; what follows is cut to its length. */
static inline bool ip_header(struct at *a, struct rte_ipv4_hdr *ip, bool sums, bool *sum_ok)
{
	unsigned len;

	if (a->len < 20)
		return false;
	memcpy(ip, a->b, 20);
	len = rte_be_to_cpu_16(ip->total_length);
	if (ip->version_ihl != RTE_IPV4_VHL_DEF || len < 20 || len > a->len ||
	    (ip->fragment_offset & rte_cpu_to_be_16(0x3fff)) != 0)
		return false;
	*sum_ok = !sums || rte_raw_cksum(a->b, 20) == 0xffff;
	a->b += 20;
	a->len = len - 20;
	return true;
}

static bool l4_sum_ok(const struct rte_ipv4_hdr *ip, const struct at *a)
{
	uint32_t sum = rte_raw_cksum(a->b, a->len);
	uint16_t pseudo[6];

	memcpy(pseudo, &ip->src_addr, 8);
	pseudo[4] = rte_cpu_to_be_16(ip->next_proto_id);
	pseudo[5] = rte_cpu_to_be_16((uint16_t)a->len);
	sum += rte_raw_cksum(pseudo, 12);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Steps into the tunnel; 'a' is behind the outer IPv4 header. */
static inline enum obg_err tunnel(const struct obg_conf *c, const struct rte_ipv4_hdr *ip,
    struct at *a, bool sums, struct obg_parsed *out)
{
	unsigned port, len;

	if (a->len < 16)
		return OBG_E_SHORT;
	port = be16(a->b + 2);
	len = be16(a->b + 4);
	out->kind = port == RTE_GENEVE_DEFAULT_PORT ? OBG_K_GENEVE : OBG_K_VXLAN;
	if (len != a->len || be16(a->b) == 0)
		return OBG_E_OUTER_UDP;
	if (sums && be16(a->b + 6) != 0 && !l4_sum_ok(ip, a))
		return OBG_E_OUTER_SUM;
	if (out->kind != (c->encap == OBG_GENEVE ? OBG_K_GENEVE : OBG_K_VXLAN))
		return OBG_E_TUNNEL;
	a->b += 8;
	a->len -= 8;
	if (be32(a->b + 4) >> 8 != c->vni)
		return OBG_E_TUNNEL;
	if (out->kind == OBG_K_VXLAN) {
		len = 8;
		if (!(a->b[0] & 8))
			return OBG_E_TUNNEL;
	} else {
		len = 8 + (a->b[0] & 0x3fu) * 4;
		if (a->b[0] >> 6 != 0 || be16(a->b + 2) != RTE_ETHER_TYPE_TEB || len > a->len)
			return OBG_E_TUNNEL;
	}
	a->b += len;
	a->len -= len;
	return OBG_OK;
}

static enum obg_err arp_request(
    const struct obg_port *port, const struct at *a, struct obg_parsed *out)
{
	const struct obg_conf *c = &port->pair->conf;
	bool guest = port->conf.role == OBG_GUEST;
	uint32_t ip;

	out->kind = OBG_K_ARP;
	if (a->len < sizeof(struct rte_arp_hdr) || be16(a->b + 6) != RTE_ARP_OP_REQUEST)
		return OBG_OK;
	memcpy(&out->arp.to, a->b + 8, 6);
	memcpy(&out->arp.to_ip, a->b + 14, 4);
	memcpy(&out->arp.ip, a->b + 24, 4);
	ip = rte_be_to_cpu_32(out->arp.ip);
	if (port->tunnel ? out->arp.ip == c->far
	    : guest	 ? out->arp.ip == c->guest
			 : ip - c->peer < c->peers)
		out->arp.state = 2;
	return OBG_OK;
}

static inline enum obg_err l4(const struct obg_conf *c, const struct rte_ipv4_hdr *ip, struct at *a,
    bool sums, uint16_t port[2], struct obg_parsed *out)
{
	unsigned header = c->tcp ? 20 : 8;

	if (a->len < header || ip->next_proto_id != (c->tcp ? IPPROTO_TCP : IPPROTO_UDP))
		return OBG_E_L4;
	port[0] = (uint16_t)be16(a->b);
	port[1] = (uint16_t)be16(a->b + 2);
	if (c->tcp) {
		out->seq = be32(a->b + 4);
		out->ack = be32(a->b + 8);
		out->tcp_flags = a->b[13];
		header = (a->b[12] >> 4) * 4u;
		if (header < 20 || header > a->len)
			return OBG_E_L4;
	} else if (be16(a->b + 4) != a->len) {
		return OBG_E_L4;
	}
	if (sums && (c->tcp || be16(a->b + 6) != 0) && !l4_sum_ok(ip, a))
		return OBG_E_L4_SUM;
	out->payload = (uint16_t)(a->len - header);
	out->has_stamp = out->payload >= 8;
	if (out->has_stamp)
		memcpy(&out->stamp, a->b + header, 8);
	return OBG_OK;
}

/* The inner frame; 'a' begins at its Ethernet header. */
static __rte_always_inline enum obg_err inner(
    const struct obg_port *port, struct at a, bool sums, bool l4_sums, struct obg_parsed *out)
{
	const struct obg_conf *c = &port->pair->conf;
	const uint8_t *eth = a.b;
	struct rte_ipv4_hdr ip;
	uint16_t ports[2];
	enum obg_err rc;
	bool sum_ok;

	if (a.len < 14)
		return OBG_E_SHORT;
	if (be16(eth + 12) != RTE_ETHER_TYPE_IPV4)
		return OBG_E_INNER_ETH;
	a.b += 14;
	a.len -= 14;
	if (!ip_header(&a, &ip, sums, &sum_ok) || ip.time_to_live > 64 ||
	    ip.time_to_live + c->ttl_drop < 64)
		return OBG_E_INNER_IP;
	if (!sum_ok)
		return OBG_E_INNER_SUM;
	rc = l4(c, &ip, &a, l4_sums, ports, out);
	if (rc != OBG_OK)
		return rc;
	out->from = port->conf.role == OBG_GUEST ? OBG_WIRE : OBG_GUEST;
	if (out->from == OBG_GUEST)
		out->flow = ip.src_addr != c->guest ? UINT32_MAX
						    : obg_flow_of(c, port->pair->total, ip.dst_addr,
							  ports[0], ports[1]);
	else
		out->flow = ip.dst_addr != c->guest ? UINT32_MAX
						    : obg_flow_of(c, port->pair->total, ip.src_addr,
							  ports[1], ports[0]);
	if (out->flow == UINT32_MAX)
		return OBG_E_TUPLE;
	if (out->from == OBG_WIRE && memcmp(eth, &c->guest_mac, 6) != 0)
		return OBG_E_INNER_ETH;
	return OBG_OK;
}

enum obg_err obg_parse(const struct obg_port *port, const uint8_t *b, uint32_t len, bool sums,
    uint64_t ol_flags, struct obg_parsed *out)
{
	const struct obg_conf *c = &port->pair->conf;
	struct at a = {b, len};
	struct rte_ipv4_hdr ip;
	enum obg_err rc;
	bool sum_ok, tunnelled, ip_left, l4_left;

	memset(out, 0, sizeof(*out));
	out->kind = OBG_K_OTHER;
	if (len < 14)
		return OBG_E_SHORT;
	if (be16(b + 12) == RTE_ETHER_TYPE_ARP) {
		a.b += 14;
		a.len -= 14;
		return arp_request(port, &a, out);
	}
	/* The system's kernel and its like may say things of their own; they are counted by kind. */
	if (be16(b + 12) != RTE_ETHER_TYPE_IPV4)
		return OBG_OK;
	ip_left = ol_flags & RTE_MBUF_F_TX_IP_CKSUM;
	l4_left = (ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0 || !port->pair->zeroed;
	a.b += 14;
	a.len -= 14;
	if (!ip_header(&a, &ip, sums, &sum_ok))
		return OBG_E_OUTER_IP;
	/* (a connection may well use a tunnel's port number; who expects no tunnel is not fooled by it) */
	tunnelled =
	    port->conf.expect != OBG_WANT_PLAIN && ip.next_proto_id == IPPROTO_UDP && a.len >= 8 &&
	    (be16(a.b + 2) == RTE_VXLAN_DEFAULT_PORT || be16(a.b + 2) == RTE_GENEVE_DEFAULT_PORT);
	out->kind = tunnelled ? OBG_K_VXLAN : OBG_K_PLAIN;
	if (port->conf.expect != OBG_WANT_ANY &&
	    tunnelled != (port->conf.expect == OBG_WANT_TUNNEL))
		return OBG_E_FORM;
	if (!tunnelled)
		return inner(port, (struct at){b, len}, sums && !ip_left, sums && !l4_left, out);
	if (!sum_ok && !(ol_flags & (RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM)))
		return OBG_E_OUTER_SUM;
	/* In a port that expects either, these are the generator's own packets, that nothing has turned around. */
	if (port->conf.expect == OBG_WANT_TUNNEL) {
		if (memcmp(b, &c->far_mac, 6) != 0)
			return OBG_E_OUTER_ETH;
		if (ip.src_addr != c->card || ip.dst_addr != c->far || ip.time_to_live == 0)
			return OBG_E_OUTER_IP;
	}
	rc = tunnel(c, &ip, &a, sums && !(ol_flags & RTE_MBUF_F_TX_OUTER_UDP_CKSUM), out);
	if (rc != OBG_OK)
		return rc;
	return inner(port, a, sums && !ip_left, sums && !l4_left, out);
}

static inline uint16_t raw16(const uint8_t *b)
{
	uint16_t v;

	memcpy(&v, b, 2);
	return v;
}

static inline uint32_t raw32(const uint8_t *b)
{
	uint32_t v;

	memcpy(&v, b, 4);
	return v;
}

bool obg_parse_quick(
    const struct obg_port *port, const uint8_t *b, uint32_t len, struct obg_parsed *out)
{
	const struct obg_conf *c = &port->pair->conf;
	bool guest = port->conf.role == OBG_GUEST;
	unsigned header = c->tcp ? OBG_TCP_DATA : OBG_UDP_DATA, total;
	const uint8_t *near, *far;

	out->kind = OBG_K_PLAIN;
	if (port->conf.expect != OBG_WANT_PLAIN && len >= OBG_OUTER + header &&
	    b[23] == IPPROTO_UDP &&
	    raw16(b + 36) == (c->encap == OBG_GENEVE ? RTE_BE16(RTE_GENEVE_DEFAULT_PORT)
						     : RTE_BE16(RTE_VXLAN_DEFAULT_PORT))) {
		out->kind = c->encap == OBG_GENEVE ? OBG_K_GENEVE : OBG_K_VXLAN;
		/* (Geneve: no options) */
		if (b[14] != RTE_IPV4_VHL_DEF || (out->kind == OBG_K_GENEVE && b[42] != 0) ||
		    raw32(b + 46) != obg_be32(c->vni << 8))
			return false;
		b += OBG_OUTER;
		len -= OBG_OUTER;
	}
	if (port->conf.expect != OBG_WANT_ANY &&
	    (out->kind == OBG_K_PLAIN) != (port->conf.expect == OBG_WANT_PLAIN))
		return false;
	if (len < header || raw16(b + 12) != RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
	    b[14] != RTE_IPV4_VHL_DEF || b[23] != (c->tcp ? IPPROTO_TCP : IPPROTO_UDP))
		return false;
	near = b + (guest ? 30 : 26);
	far = b + (guest ? 26 : 30);
	if (raw32(near) != c->guest)
		return false;
	out->from = guest ? OBG_WIRE : OBG_GUEST;
	out->flow = obg_flow_of(c, port->pair->total, raw32(far),
	    obg_be16(raw16(b + (guest ? 36 : 34))), obg_be16(raw16(b + (guest ? 34 : 36))));
	total = obg_be16(raw16(b + 16)) + 14u;
	if (out->flow == UINT32_MAX || total > len)
		return false;
	if (c->tcp) {
		out->seq = obg_be32(raw32(b + 38));
		out->ack = obg_be32(raw32(b + 42));
		out->tcp_flags = b[47];
		header = OBG_L4 + (b[46] >> 4) * 4u;
	}
	if (total < header)
		return false;
	out->payload = (uint16_t)(total - header);
	out->has_stamp = out->payload >= 8;
	if (out->has_stamp)
		memcpy(&out->stamp, b + header, 8);
	return true;
}
