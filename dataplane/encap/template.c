/* SPDX-License-Identifier: BSD-3-Clause */
#include "encap_priv.h"

#include <string.h>

#define VXLAN_FLAG_VNI 0x08000000u
#define DEFAULT_TTL    64

unsigned tmpl_opts_bytes(const struct ob_geneve_opt *opt, unsigned n)
{
	unsigned bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += 4u + opt[i].len;
	return bytes;
}

uint16_t tmpl_port(const struct ob_tunnel_cfg *cfg)
{
	if (cfg->dst_port != 0)
		return cfg->dst_port;
	return cfg->type == OB_ENCAP_VXLAN ? RTE_VXLAN_DEFAULT_PORT : RTE_GENEVE_DEFAULT_PORT;
}

static uint8_t *put_ether(uint8_t *p, const struct ob_nexthop *nh, bool is_ip6)
{
	struct rte_ether_hdr eth = {
	    .ether_type = rte_cpu_to_be_16(is_ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4)};

	memcpy(&eth.dst_addr, nh->dmac, 6);
	memcpy(&eth.src_addr, nh->smac, 6);
	memcpy(p, &eth, sizeof(eth));
	return p + sizeof(eth);
}

static uint8_t *put_ip(uint8_t *p, const struct ob_tunnel_cfg *cfg, const struct ob_nexthop *nh)
{
	uint8_t ttl = cfg->ttl ? cfg->ttl : DEFAULT_TTL;

	if (cfg->remote.family == AF_INET6) {
		struct rte_ipv6_hdr ip6 = {.vtc_flow = rte_cpu_to_be_32(6u << 28),
		    .proto = IPPROTO_UDP,
		    .hop_limits = ttl};

		memcpy(ip6.src_addr, nh->src.b, 16);
		memcpy(ip6.dst_addr, cfg->remote.b, 16);
		memcpy(p, &ip6, sizeof(ip6));
		return p + sizeof(ip6);
	}
	struct rte_ipv4_hdr ip4 = {.version_ihl = 0x45,
	    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
	    .time_to_live = ttl,
	    .next_proto_id = IPPROTO_UDP};

	memcpy(&ip4.src_addr, nh->src.b, 4);
	memcpy(&ip4.dst_addr, cfg->remote.b, 4);
	memcpy(p, &ip4, sizeof(ip4));
	return p + sizeof(ip4);
}

static uint8_t *put_overlay(uint8_t *p, const struct ob_tunnel_cfg *cfg)
{
	unsigned opts = tmpl_opts_bytes(cfg->opt, cfg->n_opts);
	bool critical = false;

	if (cfg->type == OB_ENCAP_VXLAN) {
		struct rte_vxlan_hdr vx = {.vx_flags = rte_cpu_to_be_32(VXLAN_FLAG_VNI)};

		memcpy(p, &vx, sizeof(vx));
		return p + sizeof(vx);
	}
	for (unsigned i = 0; i < cfg->n_opts; i++)
		critical |= (cfg->opt[i].type & 0x80) != 0;
	/* Byte by byte: version and length share the first, the flags the second (RFC 8926, 3.4). */
	p[0] = (uint8_t)(opts / 4);
	p[1] = critical ? 0x40 : 0;
	p[2] = RTE_GENEVE_TYPE_ETH >> 8;
	p[3] = RTE_GENEVE_TYPE_ETH & 0xff;
	memset(p + 4, 0, 4);
	p += sizeof(struct rte_geneve_hdr);
	for (unsigned i = 0; i < cfg->n_opts; i++) {
		const struct ob_geneve_opt *o = &cfg->opt[i];

		memcpy(p, &o->class_be, 2);
		p[2] = o->type;
		p[3] = o->len / 4;
		memcpy(p + 4, o->data, o->len);
		p += 4 + o->len;
	}
	return p;
}

void tmpl_build(struct tmpl *t, const struct ob_tunnel_cfg *cfg, const struct ob_nexthop *nh)
{
	struct rte_udp_hdr udp = {.dst_port = rte_cpu_to_be_16(tmpl_port(cfg))};
	uint8_t bytes[HDR_BLOCK] = {0}, *p = bytes;
	unsigned l3_overhead;

	memset(t, 0, sizeof(*t));
	if (!nh->valid)
		return;
	t->is_ip6 = cfg->remote.family == AF_INET6;
	t->csum = t->is_ip6 || cfg->csum;
	t->tos_mask = cfg->dscp_copy ? 0xff : 0x03;
	p = put_ether(p, nh, t->is_ip6);
	p = put_ip(p, cfg, nh);
	t->udp_off = (uint8_t)(p - bytes);
	memcpy(p, &udp, sizeof(udp));
	p += sizeof(udp);
	t->vni_off = (uint8_t)(p - bytes + 4); /* both headers have it at byte 4 */
	p = put_overlay(p, cfg);
	t->len = (uint8_t)(p - bytes);
	memcpy(t->block + HDR_BLOCK - t->len, bytes, t->len);

	l3_overhead = t->len; /* outer Ethernet goes, inner Ethernet comes */
	t->inner_mtu = nh->mtu > l3_overhead ? (uint16_t)(nh->mtu - l3_overhead) : 0;
	t->udp_sum = rte_raw_cksum(&udp, sizeof(udp)) + (uint32_t)rte_cpu_to_be_16(IPPROTO_UDP);
	if (t->is_ip6) {
		t->udp_sum += rte_raw_cksum(nh->src.b, 16);
		t->udp_sum += rte_raw_cksum(cfg->remote.b, 16);
	} else {
		t->ip_sum = rte_raw_cksum(bytes + RTE_ETHER_HDR_LEN, sizeof(struct rte_ipv4_hdr));
		t->udp_sum += rte_raw_cksum(nh->src.b, 4);
		t->udp_sum += rte_raw_cksum(cfg->remote.b, 4);
	}
}
