/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/stages only. */
#pragma once

#include <assert.h>
#include <stddef.h>

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_spinlock.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "ob_acl.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_session.h"
#include "ob_stages.h"

#define TX_BUF	 256
#define PREFETCH 4 /* packets ahead of the one that is worked on */

/* A refill of ICMP errors, per worker and ENI. */
struct bucket {
	uint64_t tsc;
	uint32_t tokens;
	uint32_t reserved;
};

/* Flags of a session's way (struct ob_session_way). */
enum {
	WAY_NAT =
	    1
	    << 0, /* addresses or ports become those of the other direction's key, turned around */
	WAY_FROM_GUEST =
	    1
	    << 1, /* packets of this direction come from the ENI's guest; else from the wire or another guest */
	WAY_NAT64 = 1 << 2, /* with WAY_NAT: into the other family */
	WAY_TO_NAT =
	    1
	    << 3, /* to a guest of this card by its public address: its own session translates that */
};

/* Contexts of fragments beside the ENIs': who has to know a fragment's ports before its session's stage does keeps books of its own. */
enum {
	CTX_PLACE = OB_SESSION_FRAG_OWNERS, /* + ENI: to find its worker; charged to the ENI */
	CTX_PUBLIC = 2 * OB_SESSION_FRAG_OWNERS +
		     OB_MAX_ENIS, /* + VNET: to find whose public address it is */
};

/* Keys of a burst, by family, and whose they are. */
struct session_keys {
	unsigned n4, n6;
	uint8_t at4[OB_BURST_MAX], at6[OB_BURST_MAX];
	uint32_t ref[OB_BURST_MAX];
	struct ob_session_key4 k4[OB_BURST_MAX];
	struct ob_session_key6 k6[OB_BURST_MAX];
};

/* What the stages keep on a worker. */
struct stage_ctx {
	struct ob_edges edges;
	unsigned n_tx;
	struct rte_mbuf *tx[TX_BUF];
	struct ob_burst rx;
	struct ob_outer outer[OB_BURST_MAX];
	struct session_keys keys;
	struct bucket redo; /* decisions anew after a change of policy */
	struct bucket icmp[OB_MAX_ENIS];
	uint64_t
	    ra_due[OB_MAX_ENIS]; /* TSC of the next router advertisement; 0: not heard from yet */
} __rte_cache_aligned;

extern struct stage_ctx stage_ctxs[OB_MAX_WORKERS];
extern struct ob_uplink_counters *uplink_counters; /* arena, [OB_MAX_WORKERS] */

static inline struct stage_ctx *ctx_of(const struct ob_worker *w)
{
	return &stage_ctxs[ob_worker_id(w)];
}

/* Single writer: a store that a reader in another process sees whole. */
static inline void stage_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* stages.c: tells whoever watches. */
void stage_show_all(
    ob_tap_fn tap, struct ob_worker *w, enum ob_fate fate, struct rte_mbuf **pkts, unsigned n);
/* 'skip': bytes in front of 'pkt' that are not 'm's. */
void stage_show_one(ob_tap_fn tap, struct ob_worker *w, enum ob_fate fate,
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t skip);

static inline void stage_show(
    struct ob_worker *w, enum ob_fate fate, struct rte_mbuf **pkts, unsigned n)
{
	ob_tap_fn tap = ob_tap();

	if (unlikely(tap != NULL))
		stage_show_all(tap, w, fate, pkts, n);
}

static inline void edge_put(
    struct ob_edges *e, enum ob_edge edge, struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	struct ob_burst *b = &e->burst[edge];

	b->pkt[b->n] = pkt;
	b->meta[b->n++] = *meta;
	e->used |= 1u << edge;
}

/* To the virtual router: OB_PKT_ROUTED or 0. */
static inline uint16_t is_routed(const struct ob_eni *eni, const struct rte_mbuf *pkt)
{
	return memcmp(rte_pktmbuf_mtod(pkt, const void *), eni->router_mac, 6) == 0 ? OB_PKT_ROUTED
										    : 0;
}

/* What the way that was last taken leads to: most packets of a burst go where the one before went. */
struct way_memo {
	uint32_t out;
	uint16_t out_vif, mtu;
};
#define WAY_MEMO_NONE ((struct way_memo){.out = UINT32_MAX})

/* session.c */
void way_look_up(struct way_memo *memo, uint32_t out);
void way_translates(struct ob_meta *m, const struct ob_session_way *way);

/* What a session knows of the way, noted with the packet. */
static inline void take_way(
    struct way_memo *memo, struct ob_meta *m, const struct ob_session_way *way)
{
	static_assert(
	    offsetof(struct ob_meta, vni) == offsetof(struct ob_meta, tunnel) + 4 &&
		offsetof(struct ob_meta, new_dmac) == offsetof(struct ob_meta, tunnel) + 8,
	    "as struct ob_session_way");
	memcpy((uint8_t *)m + offsetof(struct ob_meta, tunnel), way, sizeof(*way));
	if (unlikely(way->out != memo->out))
		way_look_up(memo, way->out);
	m->out_vif = memo->out_vif;
	m->mtu = memo->mtu;
	if (unlikely(way->flags & (WAY_NAT | WAY_TO_NAT)))
		way_translates(m, way);
}

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Both directions of a flow have the same: sums and differences of the ends, not their order. Ports in host order. */
static inline uint32_t flow_hash(
    uint64_t a, uint64_t b, uint16_t sport, uint16_t dport, uint8_t proto)
{
	uint64_t addrs = hash_mix((a ^ b) ^ 0x8ebc6af09c88c6e3ull, (a + b) ^ 0x589965cc75374cc3ull);
	uint64_t ports = (uint64_t)proto << 48 | (uint64_t)(sport ^ dport) << 24 |
			 (uint64_t)((uint32_t)sport + dport);
	uint64_t h = hash_mix(addrs ^ 0x1d8e4e27c47d124full, ports ^ 0xa0761d6478bd642full);

	return (uint32_t)(h ^ h >> 32);
}

static inline uint64_t hash_ip6(const uint64_t ip[2])
{
	return hash_mix(ip[0] ^ 0xe7037ed1a0b428dbull, ip[1] ^ 0x8ebc6af09c88c6e3ull);
}

/* Moves packet 'i' of a burst to position 'k' <= i. */
static inline void burst_keep(struct ob_burst *b, unsigned k, unsigned i)
{
	if (k != i) {
		b->pkt[k] = b->pkt[i];
		b->meta[k] = b->meta[i];
	}
}

static inline void prefetch_pkt(const struct ob_burst *b, unsigned i)
{
	if (i < b->n)
		rte_prefetch0(rte_pktmbuf_mtod(b->pkt[i], void *));
}

static inline uint8_t *l3_of(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	return rte_pktmbuf_mtod_offset(pkt, uint8_t *, meta->l2_len);
}

static inline uint8_t *l4_of(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	return rte_pktmbuf_mtod_offset(pkt, uint8_t *, meta->l2_len + meta->l3_len);
}

static inline uint16_t fold_sum(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store16(p, (uint16_t)(v >> 16));
	store16(p + 2, (uint16_t)v);
}

/* Does the ENI own / is its router? 'ip' as in the packet. */
static inline bool eni_has4(const struct ob_eni *eni, rte_be32_t ip)
{
	bool has = false;

	for (unsigned i = 0; i < eni->n_addr4; i++)
		has |= eni->addr4[i] == ip;
	return has;
}

bool eni_has6(const struct ob_eni *eni, const uint8_t ip[16]);
bool eni_on_link4(const struct ob_eni *eni, rte_be32_t ip);
bool eni_on_link6(const struct ob_eni *eni, const uint8_t ip[16]);
bool eni_routes4(const struct ob_eni *eni, rte_be32_t ip);
bool eni_routes6(const struct ob_eni *eni, const uint8_t ip[16]); /* its link-local address too */

/* A verdict: goes on, leaves by an edge, or is dropped. */
typedef uint32_t verdict_t;
#define GO	   0u
#define EDGE(e)	   (0x10000u | (e))
#define DROP(r)	   (0x20000u | (r))
#define IS_EDGE(v) ((v)&0x10000u)
#define IS_DROP(v) ((v)&0x20000u)
#define LOW(v)	   ((v)&0xffffu)

static inline bool is_link_local(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

/* admit.c */

/* What is found out about a first packet before it is judged. */
struct first {
	uint32_t ports; /* as in the key of a session */
	uint16_t to;	/* VNET that it goes to, or comes from */
};

/* The policy's last word on a packet whose way is in its metadata: ACLs, allowances, translation, and a session for it (or a new way for
 * the one that it has). 'gen': read before anything else of the policy. 'again': another packet of the burst may have opened it.
 * From a guest OB_PKT_NAT says that the route translates; afterwards it says that the session does. Returns OB_PASS or why not. */
unsigned admit(struct ob_worker *w, const struct ob_eni *eni, bool from_guest, uint32_t gen,
    bool again, const struct rte_mbuf *pkt, struct ob_meta *m, struct first first);
/* The same questions for one packet, with nothing changed by asking (trace.c). */

/* What was found on the way to a verdict. */
struct first_why {
	struct ob_key key; /* who has the destination, or is the next hop */
	uint32_t value;	   /* mapping or ENI, or OB_TABLE_MISS */
	uint32_t addr;	   /* public address of this card, or OB_TABLE_MISS */
};

/* first_packet.c: from a guest, way unknown. GO: the metadata has the way, first->to is set. */
verdict_t first_decide(const struct ob_eni *eni, struct rte_mbuf *pkt, struct ob_meta *m,
    struct first *first, struct first_why *why);
/* admit.c: may it open 'n' (family[0], key[0] and gen are set)? OB_PASS: keys and ways are set, but for the translation of a guest's
 * packet. 'acl' may be NULL. */
unsigned admit_new(const struct ob_eni *eni, bool from_guest, struct ob_session_new *n,
    const struct rte_mbuf *pkt, const struct ob_meta *m, struct first first,
    struct ob_acl_why *acl);
/* May the session that it has go on? */
unsigned admit_again(const struct ob_session_shard *s, const struct ob_eni *eni, bool from_guest,
    const struct ob_meta *m, struct first first, struct ob_acl_why *acl);
/* Its key; returns the family. */
unsigned admit_key(
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports, union ob_session_key *k);
uint32_t admit_find(struct ob_session_shard *s, unsigned family, const union ob_session_key *k);
/* parse.c */
enum ob_drop parse_decide(struct rte_mbuf *pkt, struct ob_meta *m);
/* deliver.c: by the inner MAC, or the public address; and where that is known already. */
verdict_t deliver_decide(struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m);
unsigned deliver_public_decide(struct ob_worker *w, const struct rte_mbuf *pkt, struct ob_meta *m);
/* place.c: OB_PASS and whose it is. */
unsigned place_decide(
    struct ob_session_shard *s, const struct rte_mbuf *pkt, struct ob_meta *m, unsigned *owner);
/* pmtu.c */
enum pmtu_way { PMTU_FITS, PMTU_TOLD, PMTU_CUT, PMTU_SMALLER };
enum pmtu_way pmtu_decide(const struct rte_mbuf *pkt, const struct ob_meta *m);
/* apply.c: rewrites the packet as its session says. */
enum ob_drop apply_translation(struct ob_worker *w, struct rte_mbuf *pkt, struct ob_meta *m);

bool is_icmp_error(const struct rte_mbuf *pkt, const struct ob_meta *m);
/* The port by which a public address's owner is told, of a packet to it. */
rte_be16_t nat_port(const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports);

/* place.c: the flow hash that parse would have found, had it seen the whole packet of the key. */
uint32_t hash_of_key4(const struct ob_session_key4 *k);
uint32_t hash_of_key6(const struct ob_session_key6 *k);
/* A hash that names worker 'worker' as the owner. */
uint32_t hash_for_worker(uint32_t hash, unsigned worker);

/* deliver.c: OB_MAX_VNETS: none has the VNI. */
uint16_t vnet_of_vni(uint32_t vni);

/* session.c */

/* Is it something that a guest may open a connection with? ARP, another's MAC and VLANs are the policy's to tell. */
static inline bool session_is_own(
    const struct ob_eni *eni, const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, const struct rte_ether_hdr *);

	return memcmp(&eth->src_addr, eni->mac, 6) == 0 && m->l2_len == RTE_ETHER_HDR_LEN;
}

/* A peer that sends what only the guest may send, or the other way round. */
static inline bool session_wrong_side(const struct ob_session_way *way, bool from_guest)
{
	return !(way->flags & WAY_FROM_GUEST) == from_guest;
}

/* OB_PASS, or why a packet of a known session does not go on. */
unsigned session_go_on(
    struct ob_session_shard *s, bool from_guest, const struct rte_mbuf *pkt, struct ob_meta *m);

/* answer.c: what all answers share. */

/* An empty packet with room in front, and its metadata: to the guest that 'to' came from. NULL: counted NO_MBUF. */
struct rte_mbuf *answer_new(struct ob_worker *w, const struct ob_meta *to, struct ob_meta *meta);
/* The question, once its answer is made: frees it. */
void answer_done(struct ob_worker *w, struct rte_mbuf *pkt, const struct ob_meta *m);
/* For a question that becomes its answer: a copy for who watches, or NULL. answer_done with the copy if it was answered; else
 * rte_pktmbuf_free. Both take NULL. */
struct rte_mbuf *answer_copy(struct ob_worker *w, const struct rte_mbuf *pkt);
/* Sends made packets: to in_vif's guest, or through the tunnel they came by. */
void answer_send(struct ob_worker *w, struct ob_burst *b);
/* Each fills in a header and returns what is behind it. */
uint8_t *answer_ether(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type);
uint8_t *answer_ip4(
    uint8_t *p, rte_be32_t src, rte_be32_t dst, uint8_t proto, uint16_t payload_len);
uint8_t *answer_ip6(uint8_t *p, const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
    uint8_t hops, uint16_t payload_len);
/* Checksum of an L4 packet of 'len' bytes at 'l4'; 'ip' is its header. To be stored as it is. */
uint16_t answer_csum4(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint16_t len);
uint16_t answer_csum6(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint16_t len);
/* Metadata of a made IP packet with Ethernet in front. */
void answer_meta(struct ob_meta *meta, bool is_ip6, uint8_t proto, uint8_t l4_len);

/* answer_icmp.c */
/* Who is told, why: one ICMP error about 'pkt' to its sender, within the ENI's rate. Consumes 'pkt' (counted 'reason', or ICMP_LIMIT). */
struct icmp_error {
	uint8_t type4, code4, type6, code6;
	enum ob_drop reason;
};
void icmp_error_burst(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b,
    const struct icmp_error *err);

/* uplink_tx.c */
void uplink_tx_flush(struct ob_worker *w, void *arg);
extern struct uplink *uplink; /* control side; NULL: detached */

struct uplink {
	struct ob_uplink_conf conf;
	bool multi_seg, shared_txq;
	unsigned n_workers;
	rte_spinlock_t tx_lock[OB_MAX_WORKERS]; /* by tx queue */
};

static inline void uplink_tx_put(struct ob_worker *w, struct stage_ctx *c, struct rte_mbuf *pkt)
{
	if (unlikely(c->n_tx == TX_BUF))
		uplink_tx_flush(w, NULL);
	c->tx[c->n_tx++] = pkt;
}

/* uplink_rx.c */
unsigned uplink_rx_poll(struct ob_worker *w, void *arg);
/* punt.c */
void punt_burst(struct ob_worker *w, struct uplink *u, struct rte_mbuf **pkts, unsigned n);
/* inject.c */
unsigned inject_poll(struct ob_worker *w, void *arg);
bool inject_arm(struct ob_worker *w, void *arg);
