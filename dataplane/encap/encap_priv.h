/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/encap only. */
#pragma once

#include <rte_ether.h>
#include <rte_geneve.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "ob_encap.h"

#define HDR_MAX                                                                         \
	(RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr) + \
	    sizeof(struct rte_geneve_hdr) + OB_GENEVE_OPTS_BYTES)
#define HDR_BLOCK 208
static_assert(HDR_MAX <= HDR_BLOCK && HDR_BLOCK <= OB_HEADROOM, "any encapsulation fits in front");

/* Everything in front of the inner frame, with lengths, checksums, source port and VNI still zero. */
struct tmpl {
	uint8_t len; /* 0: no next hop */
	uint8_t udp_off;
	uint8_t vni_off;
	bool is_ip6, csum;
	uint8_t tos_mask;   /* what of the inner TOS is copied */
	uint16_t inner_mtu; /* 0 unknown */
	uint32_t ip_sum;    /* IPv4 header, one's complement sum of the constant part */
	uint32_t udp_sum;   /* pseudo header and UDP header, the constant part */
	/* The header lies at the end, so that a copy of the last 64 bytes to 64 bytes before the frame puts it where it belongs: a copy of
	 * a length that the compiler knows is a few stores. */
	uint8_t block[HDR_BLOCK];
};

/* A tunnel as workers see it; immutable. */
struct tunnel {
	struct tmpl tx;
	bool has_local;	   /* else any own address will do */
	uint64_t local[2]; /* as struct ob_outer has them */
	uint8_t n_match, n_known;
	struct ob_geneve_opt match[OB_GENEVE_MAX_OPTIONS];
	struct {
		uint16_t class_be;
		uint8_t type;
	} known[2 * OB_GENEVE_MAX_OPTIONS];
};

struct port {
	rte_be16_t port;
	uint8_t type;
};

struct ob_encap_local {
	struct rte_ether_addr mac;
	bool check_mac;
	uint8_t n_addr4, n_addr6, n_ports;
	struct port port[OB_MAX_TUNNEL_PORTS];
	uint32_t addr4[OB_MAX_LOCAL_ADDRS]; /* bytes as in the packet */
	uint64_t addr6[OB_MAX_LOCAL_ADDRS][2];
};

static inline bool local_has4(const struct ob_encap_local *l, uint32_t ip)
{
	for (unsigned i = 0; i < l->n_addr4; i++)
		if (l->addr4[i] == ip)
			return true;
	return false;
}

static inline bool local_has6(const struct ob_encap_local *l, const uint64_t ip[2])
{
	for (unsigned i = 0; i < l->n_addr6; i++)
		if (((l->addr6[i][0] ^ ip[0]) | (l->addr6[i][1] ^ ip[1])) == 0)
			return true;
	return false;
}

/* Words, not bytes: what was stored in pieces and is loaded whole costs a stall on every packet. */
static inline struct ob_key encap_key(
    uint8_t type, uint16_t port, bool is_ip6, uint64_t a, uint64_t b)
{
	return (struct ob_key){{(uint64_t)type << 24 | (uint64_t)is_ip6 << 16 | port, a, b}};
}

/* The two words of an address. */
static inline void encap_words(const struct ob_ip *ip, uint64_t out[2])
{
	uint32_t ip4;

	memcpy(out, ip->b, 16);
	if (ip->family == AF_INET) {
		memcpy(&ip4, ip->b, 4);
		out[0] = ip4;
		out[1] = 0;
	}
}

/* tunnel.c */
extern struct tunnel *encap_tunnels[OB_MAX_TUNNELS]; /* RCU */
extern struct ob_map *encap_by_remote;
extern struct ob_tunnel_counters *encap_counters; /* arena, [OB_MAX_WORKERS][OB_MAX_TUNNELS] */

/* Single writer: a store that a reader in another process sees whole. */
static inline void encap_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* template.c */
void tmpl_build(struct tmpl *t, const struct ob_tunnel_cfg *cfg, const struct ob_nexthop *nh);
unsigned tmpl_opts_bytes(const struct ob_geneve_opt *opt, unsigned n);
uint16_t tmpl_port(const struct ob_tunnel_cfg *cfg);

/* local.c */
/* Which UDP ports are overlay: those of the tunnels and the two defaults. Returns 0, -ENOMEM. */
int local_set_ports(const struct port *port, unsigned n);
void local_fini(void);
