/* SPDX-License-Identifier: BSD-3-Clause */
/* Network address translation: pools with port blocks, floating IPs, NAT64, and the rewrite of packets.
 *
 * The outside is a VNET of its own; public addresses (IPv4) belong to a pool or a floating IP of that VNET, and the card answers ARP for
 * them. A pool cuts the ports of each of its addresses into blocks. A block belongs to one ENI on one worker for one family as long
 * as a session uses a port of it: so a port is given out without a lock, and the owner of a packet from outside is one lookup.
 * Within a block ports are told apart by the session table (endpoint-dependent mapping): many destinations share a port.
 *
 * NAT64 (RFC 6146, 7915): direction 0 of the session has an IPv6 key, direction 1 an IPv4 key.
 *
 * What is not there: IPv6 to IPv6, ALGs, port preservation or parity, destination port forwarding.
 */
#pragma once

#include <rte_ip.h>

#include "ob_policy.h"

#define OB_MAX_NAT_POOLS    256
#define OB_MAX_NAT_ADDRS    8192 /* public addresses of all pools and floating IPs */
#define OB_NAT_POOL_RANGES  8
#define OB_NAT_PORT_MIN	    1024
#define OB_NAT_BLOCK_MIN    64
#define OB_NAT_BLOCK_MAX    4096
#define OB_NAT_ADDR_BLOCKS  1024 /* room for blocks per address */
#define OB_NAT_BLOCKS_LIMIT 1024 /* highest max_blocks */

struct ob_nat_range {
	rte_be32_t first, last; /* both are in it */
};

struct ob_nat_pool_cfg {
	uint16_t vnet;		     /* the outside */
	uint8_t mac[6];		     /* told by ARP; all zero: a fixed locally administered one */
	uint16_t port_min, port_max; /* 0: 1024, 65535 */
	uint16_t block_size;	     /* ports, a power of two, 64..4096; 0: 256 */
	uint16_t max_blocks;	     /* that one ENI may hold on all workers; 0: 32 */
	uint8_t n_ranges;	     /* 1..OB_NAT_POOL_RANGES */
	uint8_t reserved[3];
	struct ob_nat_range range[OB_NAT_POOL_RANGES];
};

struct ob_nat_fip_cfg {
	uint16_t vnet; /* the outside */
	uint16_t eni;
	uint8_t mac[6]; /* as of a pool */
	uint8_t reserved[2];
	rte_be32_t public_ip;
	struct ob_ip private_ip; /* an address of the ENI; IPv6: reached through NAT64 */
};

struct ob_nat_counters {
	uint64_t asked;	       /* connections that asked for a port */
	uint64_t tries;	       /* ports that were tried for them */
	uint64_t blocks_taken; /* and given back: */
	uint64_t blocks_put;
	/* Refused: the pool has no free block; the ENI holds its max_blocks, and found no port toward the destination in those that it looked
	 * into; neither TCP, UDP nor ICMP echo. */
	uint64_t full, limit, untranslatable;
	uint64_t reserved;
};

struct ob_nat_pool_state {
	uint32_t n_addrs, n_blocks, n_blocks_used;
	uint32_t n_enis; /* bound to it */
	struct ob_nat_counters c;
};

/* ---- control ------------------------------------------------------------------------------------------------------------- */

/* Finds or makes the arena's records; those that no longer pass are forgotten. After ob_policy_init. Blocks that sessions hold stay theirs.
 * Returns 0, -ENOMEM, -EPROTO damaged records, or as ob_arena_region. Context: control, once per arena; ob_nat_fini before another. */
int ob_nat_init(struct ob_arena *arena);
/* Waits for a grace period. Before ob_policy_fini. */
void ob_nat_fini(void);

/* Set = add or replace; 'idx' is chosen by the caller. 'err' as for ob_vnet_set. Context: control.
 * Returns 0; -EINVAL; -ENOENT the VNET is not there; -EEXIST an address is another pool's or a floating IP; -EBUSY: addresses that go or
 * are cut anew still carry sessions (VNET, ports and block size of a pool with sessions stay), (del) ENIs are bound; -ENOSPC; -ENOMEM.
 * On error nothing has changed. An address that was taken away carries its last sessions until they are decided anew. */
int ob_nat_pool_set(uint32_t idx, const struct ob_nat_pool_cfg *cfg, char *err, size_t err_len);
int ob_nat_pool_del(uint32_t idx, char *err, size_t err_len);
const struct ob_nat_pool_cfg *ob_nat_pool_get(uint32_t idx);	    /* NULL: not set */
int ob_nat_pool_state(uint32_t idx, struct ob_nat_pool_state *out); /* 0, -ENOENT */

/* Keyed by {vnet, public address}. Returns as above; -EEXIST: the address is a pool's, or the private address has a floating IP in that
 * VNET already. del, get: -ENOENT. */
int ob_nat_fip_set(const struct ob_nat_fip_cfg *cfg, char *err, size_t err_len);
int ob_nat_fip_del(uint16_t vnet, rte_be32_t public_ip);
int ob_nat_fip_get(uint16_t vnet, rte_be32_t public_ip, struct ob_nat_fip_cfg *out);
/* '*cursor' starts at 0; 0 and fills, or -ENOENT at the end. */
int ob_nat_fip_next(uint32_t *cursor, struct ob_nat_fip_cfg *out);

/* The pool that translates the ENI's sources (those without a floating IP); OB_IDX_NONE: none. Holds ENI and pool.
 * Returns 0, -ENOENT. Context: control. */
int ob_nat_bind(uint32_t eni, uint32_t pool, char *err, size_t err_len);
uint32_t ob_nat_binding(uint32_t eni); /* OB_IDX_NONE: none */

/* The ENI's prefix under which its guest reaches IPv4 (RFC 6052): 'len' 32, 40, 48, 56, 64 or 96; 0: none. Holds the ENI.
 * Returns 0, -EINVAL, -ENOENT, -ENOMEM. Context: control. */
int ob_nat64_set(uint32_t eni, const struct ob_ip *prefix, uint8_t len, char *err, size_t err_len);
uint8_t ob_nat64_get(uint32_t eni, struct ob_ip *prefix); /* length, 0: none */

/* ---- worker: who gets which address -------------------------------------------------------------------------------------- */

/* A translation that is being looked for. All zero before the first try. */
struct ob_nat_try {
	rte_be32_t ip; /* public address */
	rte_be16_t
	    port; /* public port or ICMP id; valid if tag != 0. A floating IP (tag 0) leaves ports as they are */
	uint16_t n;   /* tries so far */
	uint32_t tag; /* of the session to be (a reference to the block); 0: floating IP */
	uint32_t internal[3];
};

/* The next candidate for the source of 'pkt', which ENI 'eni' sends to the outside 'vnet'. Loop: make the reply key of it, try
 * ob_session_add, and at -EEXIST call again with the same 't'; a floating IP has one try. Success: the session keeps t->tag, and
 * ob_nat_put is called when it dies. Any other end: ob_nat_put(worker, t->tag).
 * Returns OB_PASS; OB_DROP_NAT_PORTS no binding, or no port (nothing is held, t->tag is 0); OB_DROP_NAT_UNTRANSLATABLE a protocol without
 * ports and no floating IP. Context: worker (packets of an ENI are looked for on the worker that owns the session). */
enum ob_drop ob_nat_out(unsigned worker, uint16_t eni, uint16_t vnet, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct ob_nat_try *t);
/* What ob_nat_out would give, with nothing taken or counted. */
struct ob_nat_peek {
	bool floating; /* 'ip' is the floating IP; ports stay */
	bool
	    known; /* 'ip' is that of a block which the ENI has on this worker; else it would take another block of the pool */
	rte_be32_t ip;
	uint32_t pool; /* OB_IDX_NONE: none */
};

/* Returns as ob_nat_out, but for a pool that is used up. Context: worker. */
enum ob_drop ob_nat_peek(unsigned worker, uint16_t eni, uint16_t vnet, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct ob_nat_peek *out);
/* A session with the tag is gone; tag 0 is legal. Its last one gives the block back. Context: worker that owned it. */
void ob_nat_put(unsigned worker, uint32_t tag);
/* The same with the arguments of ob_session_set_on_delete. */
void ob_nat_on_delete(unsigned worker, uint16_t eni, uint32_t tag);
/* For a live session that is decided anew: is its translation of 'src' (bytes of 'family') to 'public_ip' still in force? Context: any. */
bool ob_nat_holds(uint16_t eni, uint16_t vnet, uint8_t family, const uint8_t *src,
    rte_be32_t public_ip, uint32_t tag);

enum ob_nat_kind { OB_NAT_NONE, OB_NAT_FIP, OB_NAT_BLOCK };

struct ob_nat_owner {
	uint8_t kind;	/* enum ob_nat_kind */
	uint8_t family; /* of the guest: AF_INET6 means NAT64 */
	uint16_t eni;
	uint16_t worker; /* OB_NAT_BLOCK: who has the session. OB_NAT_FIP: 0, the flow hash says */
	uint8_t private_ip[16]; /* OB_NAT_FIP */
};

/* Packets from outside, in two steps: addresses of a burst (or OB_TABLE_MISS: no public address of this card), then the owner of
 * {address, port}. Also for hairpin: a guest's packet to a public address of this card. Context: worker. */
static inline struct ob_key ob_nat_key(uint16_t vnet, rte_be32_t ip)
{
	return (struct ob_key){{1ull << 56 | vnet, ip, 0}};
}

void ob_nat_find(const struct ob_key *keys, uint32_t *addr, unsigned n); /* n <= OB_BURST_MAX */
/* 'port': TCP, UDP: destination port, ICMP: id, of an error: source port of the packet inside; others: 0. Returns kind; OB_NAT_NONE: drop
 * NAT_UNSOLICITED. */
enum ob_nat_kind ob_nat_owner(
    uint32_t addr, uint8_t proto, rte_be16_t port, struct ob_nat_owner *out);
/* Does the card answer ARP for 'ip' in 'vnet', and with which MAC? Context: worker. */
bool ob_nat_answers(uint16_t vnet, rte_be32_t ip, uint8_t mac[6]);

/* NAT64 addresses of an ENI. False: no prefix, not under it, or an address that must not be translated (RFC 6052, 3.1). */
bool ob_nat64_to_ip4(uint16_t eni, const uint8_t ip6[16], rte_be32_t *ip4);
bool ob_nat64_to_ip6(uint16_t eni, rte_be32_t ip4, uint8_t ip6[16]);

/* ---- worker: rewrite ------------------------------------------------------------------------------------------------------ */

/* What a packet says afterwards: the reverse of the key of the other direction. 'ports': both, as they lie in the packet (source first);
 * ICMP echo: the id in the source's half of a request, in the destination's of a reply. Later fragments and protocols without ports: not looked at. */
struct ob_nat_to4 {
	rte_be32_t src, dst;
	uint32_t ports;
};

struct ob_nat_to6 {
	uint8_t src[16], dst[16];
	uint32_t ports;
};

/* An IPv4 packet of any protocol; for ICMP errors the next one. Checksums by difference (RFC 1624): a wrong one stays wrong.
 * OB_PKT_L4_CSUM_PARTIAL: the pseudo header alone. */
static inline void ob_nat_rewrite4(
    struct rte_mbuf *pkt, const struct ob_meta *m, const struct ob_nat_to4 *to);
/* An ICMP error about a packet of a translated connection (RFC 5508): the packet inside becomes 'emb', what it was before its
 * translation (the key of the direction in which it went, that is not the error's); outside, the destination follows, and the source
 * if the packet inside had its destination translated. Returns OB_PASS; OB_DROP_ICMP_UNRELATED no header inside, or not what the
 * destination had sent; NAT_UNTRANSLATABLE cannot be pulled together. */
enum ob_drop ob_nat_rewrite4_error(
    struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *emb);

/* NAT64: headers are exchanged in place (the Ethernet header moves, its type changes), meta follows. Fragments stay fragments. The
 * hop limit is not decremented here. The path MTU is to be compared before: a packet grows by ob_nat64_growth(m) bytes.
 * Returns OB_PASS; NAT_UNTRANSLATABLE: fragmented ICMP, ICMP types without a counterpart, AH, an unspent source route, a fragment of UDP
 * without checksum; NO_MBUF: no headroom. */
enum ob_drop ob_nat64_to4(struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *to);
enum ob_drop ob_nat64_to6(struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to6 *to);
/* ICMP errors of either side. 'emb' as above, in the other family; 'src': of the outer header. To IPv4 it is the source that 'emb' was
 * sent to. */
enum ob_drop ob_nat64_error_to4(
    struct rte_mbuf *pkt, struct ob_meta *m, const struct ob_nat_to4 *emb);
enum ob_drop ob_nat64_error_to6(
    struct rte_mbuf *pkt, struct ob_meta *m, const uint8_t src[16], const struct ob_nat_to6 *emb);

#define OB_NAT64_GROWTH 28 /* at most: IPv6 and fragment header for one of IPv4 */

static inline int ob_nat64_growth(const struct ob_meta *m)
{
	if (m->flags & OB_PKT_IP6)
		return 20 - m->l3_len;
	return 40 - m->l3_len + ((m->flags & OB_PKT_FRAG) ? 8 : 0);
}

#include "ob_nat_rewrite.h"
