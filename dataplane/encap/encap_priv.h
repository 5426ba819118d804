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
static_assert(HDR_MAX <= OB_HEADROOM, "any encapsulation fits in front");

/* Everything in front of the inner frame, with lengths, checksums, source port and VNI still zero. */
struct tmpl {
	uint8_t len; /* 0: no next hop */
	uint8_t udp_off;
	uint8_t vni_off;
	bool is_ip6, csum, dscp_copy;
	uint16_t inner_mtu; /* 0 unknown */
	uint32_t ip_sum;    /* IPv4 header, one's complement sum of the constant part */
	uint32_t udp_sum;   /* pseudo header and UDP header, the constant part */
	uint8_t bytes[HDR_MAX];
};

/* A tunnel as workers see it; immutable. */
struct tunnel {
	struct tmpl tx;
	struct ob_ip local; /* family 0: any own address */
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
	uint8_t n_addrs, n_ports;
	struct port port[OB_MAX_TUNNEL_PORTS];
	struct ob_ip addr[OB_MAX_LOCAL_ADDRS];
};

/* tunnel.c */
extern struct tunnel *encap_tunnels[OB_MAX_TUNNELS]; /* RCU */
extern struct ob_map *encap_by_remote;
extern struct ob_tunnel_counters *encap_counters; /* arena, [OB_MAX_WORKERS][OB_MAX_TUNNELS] */

static inline struct ob_tunnel_counters *encap_counters_of(
    const struct ob_worker *w, uint32_t tunnel)
{
	return &encap_counters[ob_worker_id(w) * (size_t)OB_MAX_TUNNELS + tunnel];
}

/* Single writer: a store that a reader in another process sees whole. */
static inline void encap_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

struct ob_key encap_key(uint8_t type, uint16_t port, const struct ob_ip *remote);

/* template.c */
void tmpl_build(struct tmpl *t, const struct ob_tunnel_cfg *cfg, const struct ob_nexthop *nh);
unsigned tmpl_opts_bytes(const struct ob_geneve_opt *opt, unsigned n);
uint16_t tmpl_port(const struct ob_tunnel_cfg *cfg);

/* local.c */
/* Which UDP ports are overlay: those of the tunnels and the two defaults. Returns 0, -ENOMEM. */
int local_set_ports(const struct port *port, unsigned n);
void local_fini(void);
bool local_has_addr(const struct ob_encap_local *l, const struct ob_ip *ip);
