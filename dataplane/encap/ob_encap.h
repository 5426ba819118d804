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
#include <string.h>

#include "ob_table.h"
#include "ob_worker.h"

#define OB_MAX_TUNNELS	      16384
#define OB_TUNNEL_NONE	      UINT32_MAX
#define OB_GENEVE_MAX_OPTIONS 8
#define OB_GENEVE_OPTS_BYTES  128 /* all options of a tunnel with their headers */
#define OB_MAX_LOCAL_ADDRS    32
#define OB_MAX_TUNNEL_PORTS   16 /* different UDP ports of all tunnels, with 4789 and 6081 */

/* An address of either family. IPv4: family AF_INET, bytes 0..3; the rest is zero, so that addresses compare by memcmp. */
struct ob_ip {
	uint8_t family; /* AF_INET, AF_INET6, 0 unset */
	uint8_t reserved[3];
	uint8_t b[16]; /* network byte order */
};

enum ob_encap_type {
	OB_ENCAP_VXLAN = 1,
	OB_ENCAP_GENEVE = 2,
};

struct ob_geneve_opt {
	uint16_t class_be; /* network byte order */
	uint8_t type;	   /* bit 7: critical */
	uint8_t len;	   /* bytes of data, a multiple of 4, <= 124 */
	uint8_t data[124];
};

struct ob_tunnel_cfg {
	uint8_t type;	    /* enum ob_encap_type */
	uint8_t csum;	    /* UDP checksum on transmit over IPv4 (IPv6: always) */
	uint16_t dst_port;  /* host byte order; 0: 4789 / 6081 */
	struct ob_ip local; /* family 0: the underlay's own address toward remote */
	struct ob_ip remote;
	uint8_t ttl, dscp_copy; /* ttl 0: 64; dscp_copy: copy the inner DSCP, else 0 */
	uint8_t n_opts;		/* Geneve options put on every packet sent */
	uint8_t n_match;	/* options that every received packet must carry with these bytes */
	struct ob_geneve_opt opt[OB_GENEVE_MAX_OPTIONS];
	struct ob_geneve_opt match[OB_GENEVE_MAX_OPTIONS];
};

/* Where a tunnel's packets leave: filled by the underlay (netlink). */
struct ob_nexthop {
	bool valid;
	uint8_t smac[6], dmac[6];
	struct ob_ip src; /* source address of outgoing packets */
	uint16_t
	    mtu; /* underlay L3 MTU toward remote (route, interface, learned path MTU), bytes */
};

/* Finds or makes the arena's tunnel records and compiles what is there (next hops have to be set again).
 * Returns 0, -ENOMEM, or as ob_arena_region. Context: control, once per arena; ob_encap_fini before another. */
int ob_encap_init(struct ob_arena *arena);
void ob_encap_fini(void);

/* Adds, replaces or deletes tunnel 'idx' (chosen by the caller, < OB_MAX_TUNNELS). Replacing keeps the next hop if the remote
 * stays. Context: control. Returns 0, -EINVAL (with a reason in 'err' if not NULL), -ENOENT, -ENOMEM, -ENOSPC too many different
 * ports, -EBUSY (del) still held. A duplicate {type, remote, port} is -EEXIST. */
int ob_tunnel_set(uint32_t idx, const struct ob_tunnel_cfg *cfg, char *err, size_t err_len);
int ob_tunnel_del(uint32_t idx);
const struct ob_tunnel_cfg *ob_tunnel_get(uint32_t idx);
/* Counts who refers to the tunnel, so that it cannot go before them. Returns 0, -ENOENT. Context: control. */
int ob_tunnel_hold(uint32_t idx);
void ob_tunnel_release(uint32_t idx);
uint32_t ob_tunnel_refs(uint32_t idx);
/* Publishes the way to tunnel 'idx'; invalid: packets are dropped NO_NEXTHOP. Context: control.
 * Returns 0, -ENOENT, -EINVAL (family of src), -ENOMEM. */
int ob_tunnel_set_nexthop(uint32_t idx, const struct ob_nexthop *nh);
/* What was published last; NULL: nothing, or it was taken back. Good until the next call that changes it. Context: control. */
const struct ob_nexthop *ob_tunnel_nexthop(uint32_t idx);
/* Largest inner L3 packet that fits the tunnel now, 0 unknown. Context: control or worker. */
uint16_t ob_tunnel_inner_mtu(uint32_t idx);
struct ob_tunnel_counters {
	uint64_t tx_pkts, tx_bytes, rx_pkts, rx_bytes;
};
/* Sum over workers; bytes of the inner frames. Context: control. */
void ob_tunnel_counters(uint32_t idx, struct ob_tunnel_counters *out);

/* The card's own underlay addresses: decap accepts packets to these only. Copied, swapped by RCU. Context: control.
 * 'mac' NULL or all zero: any destination MAC is taken. Returns 0, -ENOSPC more than OB_MAX_LOCAL_ADDRS, -ENOMEM. */
int ob_encap_set_local(const struct ob_ip *addr, unsigned n, const uint8_t mac[6]);

/* ---- worker side ---------------------------------------------------------------------------------------------------------- */

/* Packets that a worker sends one after the other: what they have in common is looked up once, and counted at the end. */
struct ob_encap_run {
	const struct tmpl *tmpl; /* of 'tunnel' */
	uint32_t tunnel;
	unsigned worker;
	uint32_t n_pkts;
	uint64_t n_bytes;
};

/* Before the first and after the last of a run; a run lies inside of one round. Context: worker. */
void ob_encap_begin(struct ob_encap_run *r, const struct ob_worker *w);
void ob_encap_end(struct ob_encap_run *r);
/* Puts the outer headers of meta->tunnel and meta->vni in front of an inner frame. The inner checksums are complete, meta->l2_len,
 * flags and hash describe the inner packet. What lies in the headroom is lost. Context: worker.
 * Returns OB_PASS; NO_NEXTHOP, NO_MBUF (no headroom), TOO_BIG (more than an IP packet holds): the packet is as it was. */
enum ob_drop ob_encap_push(
    struct ob_encap_run *r, struct rte_mbuf *pkt, const struct ob_meta *meta);

/* What the outer headers of a received packet say. */
struct ob_outer {
	struct ob_key key; /* of the tunnel: {type, port, source} */
	uint64_t dst[2];   /* bytes as in the packet; IPv4: the first four of them */
	uint32_t vni;
	uint32_t frame_len; /* inner frame, bytes */
	uint16_t hdr_len;   /* outer headers with tunnel header and options */
	uint16_t opts_off;  /* Geneve options */
	uint8_t opts_len;
	uint8_t type; /* enum ob_encap_type */
	uint8_t ecn;  /* of the outer header */
	bool is_ip6;
};

enum ob_outer_verdict {
	OB_OUTER_OVERLAY, /* to us: 'o' is filled in */
	OB_OUTER_KERNEL,  /* not overlay: belongs to the card's kernel */
	OB_OUTER_DROP,	  /* '*why' is set */
};

/* Own addresses and ports as workers see them; one load per burst. */
struct ob_encap_local;
const struct ob_encap_local *ob_encap_local(void);

/* Reads the outer headers; each length is checked before what it covers. The packet is unchanged, but its headers may have been
 * pulled together into the first segment. Context: worker. */
enum ob_outer_verdict ob_outer_parse(
    const struct ob_encap_local *l, struct rte_mbuf *pkt, struct ob_outer *o, enum ob_drop *why);
/* Tunnels of a burst of keys: OB_TABLE_MISS or index. Context: worker. */
void ob_outer_find(const struct ob_outer *o, uint32_t *tunnel, unsigned n);
/* Packets that a worker takes one after the other; as struct ob_encap_run. */
struct ob_decap_run {
	const struct tunnel *t; /* 'tunnel' */
	uint32_t tunnel;
	unsigned worker;
	uint32_t n_pkts;
	uint64_t n_bytes;
};
void ob_decap_begin(struct ob_decap_run *r, const struct ob_worker *w);
void ob_decap_end(struct ob_decap_run *r);
/* Checks what the tunnel demands (local address, options), takes the outer headers off, combines ECN (RFC 6040) and counts.
 * Returns OB_PASS or why not. Context: worker. */
enum ob_drop ob_outer_pop(struct ob_decap_run *r, const struct ob_encap_local *l,
    struct rte_mbuf *pkt, const struct ob_outer *o, uint32_t tunnel);

/* Makes the first 'len' bytes contiguous if the packet has them. Context: worker. Returns 0, -EMSGSIZE no room. */
int ob_pkt_pull(struct rte_mbuf *pkt, unsigned len);

/* One's complement sum of 'len' bytes from 'off' on, folded, not inverted, in memory order; what lies behind the packet's end counts as
 * nothing. Context: any. */
uint16_t ob_pkt_sum(const struct rte_mbuf *pkt, uint32_t off, uint32_t len);

/* ---- small helpers ---- */

/* Is the checksum of an IPv4 header of 'len' bytes, a multiple of 4, right? The sum of all words is then 0xffff. */
static inline bool ob_ip4_sum_ok(const uint8_t *p, uint32_t len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < len; i += 4) {
		uint32_t v;

		memcpy(&v, p + i, 4);
		sum += v;
	}
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16)) == UINT16_MAX;
}

/* The same for five words, without a loop. */
static inline bool ob_ip4_sum5_ok(const uint8_t *p)
{
	uint64_t a, b, sum;
	uint32_t c;

	memcpy(&a, p, 8);
	memcpy(&b, p + 8, 8);
	memcpy(&c, p + 16, 4);
	sum = (a & UINT32_MAX) + (a >> 32) + (b & UINT32_MAX) + (b >> 32) + c;
	sum = (sum & UINT16_MAX) + (sum >> 16 & UINT16_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16)) == UINT16_MAX;
}

static inline bool ob_ip_equal(const struct ob_ip *a, const struct ob_ip *b)
{
	return a->family == b->family && memcmp(a->b, b->b, 16) == 0;
}

static inline struct ob_ip ob_ip_from4(const void *b)
{
	struct ob_ip ip = {.family = AF_INET};

	memcpy(ip.b, b, 4);
	return ip;
}

static inline struct ob_ip ob_ip_from6(const void *b)
{
	struct ob_ip ip = {.family = AF_INET6};

	memcpy(ip.b, b, 16);
	return ip;
}
