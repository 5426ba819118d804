/* SPDX-License-Identifier: BSD-3-Clause */
/* Overlay encapsulation: VXLAN (RFC 7348) and Geneve (RFC 8926) over IPv4 or IPv6.
 *
 * A tunnel is one remote end with its encapsulation. Control resolves its underlay next hop and publishes an immutable
 * header template; the encap stage copies the template in front of the packet and fixes the lengths, the source port and the
 * checksums. Decap parses and checks the outer headers of a received packet. Tables are indexed by small integers.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "ob_worker.h"

#define OB_MAX_TUNNELS        16384
#define OB_TUNNEL_NONE        UINT32_MAX
#define OB_GENEVE_MAX_OPTIONS 8
#define OB_GENEVE_OPTS_BYTES  128 /* all options of a tunnel with their headers */

/* An address of either family. IPv4: family AF_INET, bytes 0..3; the rest is zero, so that addresses compare by memcmp. */
struct ob_ip {
	uint8_t family; /* AF_INET, AF_INET6, 0 unset */
	uint8_t reserved[3];
	uint8_t b[16];  /* network byte order */
};

enum ob_encap_type {
	OB_ENCAP_VXLAN = 1,
	OB_ENCAP_GENEVE = 2,
};

struct ob_geneve_opt {
	uint16_t class_be; /* network byte order */
	uint8_t type;      /* bit 7: critical */
	uint8_t len;       /* bytes of data, a multiple of 4, <= 124 */
	uint8_t data[124];
};

struct ob_tunnel_cfg {
	uint8_t type;          /* enum ob_encap_type */
	uint8_t csum;          /* UDP checksum on transmit over IPv4 (IPv6: always) */
	uint16_t dst_port;     /* host byte order; 0: 4789 / 6081 */
	struct ob_ip local;    /* family 0: the underlay's own address toward remote */
	struct ob_ip remote;
	uint8_t ttl, dscp_copy; /* ttl 0: 64; dscp_copy: copy the inner DSCP, else 0 */
	uint8_t n_opts;        /* Geneve options put on every packet sent */
	uint8_t n_match;       /* options that every received packet must carry with these bytes */
	struct ob_geneve_opt opt[OB_GENEVE_MAX_OPTIONS];
	struct ob_geneve_opt match[OB_GENEVE_MAX_OPTIONS];
};

/* Where a tunnel's packets leave: filled by the underlay (netlink). */
struct ob_nexthop {
	bool valid;
	uint8_t smac[6], dmac[6];
	struct ob_ip src;    /* source address of outgoing packets */
	uint16_t mtu;        /* underlay L3 MTU toward remote (route, interface, learned path MTU), bytes */
};

int ob_encap_init(struct ob_arena *arena);

/* Adds, replaces or deletes tunnel 'idx' (chosen by the caller, < OB_MAX_TUNNELS). Context: control.
 * Returns 0, -EINVAL (with a reason in 'err' if not NULL), -ENOENT, -ENOMEM. A duplicate {type, remote, port} is -EEXIST. */
int ob_tunnel_set(uint32_t idx, const struct ob_tunnel_cfg *cfg, char *err, size_t err_len);
int ob_tunnel_del(uint32_t idx);
const struct ob_tunnel_cfg *ob_tunnel_get(uint32_t idx);
/* Publishes the way to tunnel 'idx'; invalid: packets are dropped NO_NEXTHOP. Context: control. */
int ob_tunnel_set_nexthop(uint32_t idx, const struct ob_nexthop *nh);
/* Largest inner L3 packet that fits the tunnel now, 0 unknown. Context: control or worker. */
uint16_t ob_tunnel_inner_mtu(uint32_t idx);
struct ob_tunnel_counters {
	uint64_t tx_pkts, tx_bytes, rx_pkts, rx_bytes;
};
void ob_tunnel_counters(uint32_t idx, struct ob_tunnel_counters *out);

/* The card's own underlay addresses: decap accepts packets to these only. Copied, swapped by RCU. Context: control. */
int ob_encap_set_local(const struct ob_ip *addr, unsigned n, const uint8_t mac[6]);
