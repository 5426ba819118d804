/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers: one poll-mode thread per core that runs packets to completion.
 *
 * A worker polls its sources in turn; a source takes a burst in, carries it through the stages and leaves the packets in
 * edge buffers, which the flush hooks empty once a round. Control talks to a worker by its mailbox only. Shared
 * configuration is immutable and read through RCU: a pointer loaded in a round dies with the round.
 *
 * Idle: after some empty rounds a worker arms its sources (they ask for notifications), goes offline for RCU and sleeps on
 * its eventfd and the sources' fds, or in short sleeps while a source has nothing to be woken by.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "ob_arena.h"

#define OB_MAX_WORKERS 32
#define OB_MAX_VIFS    1024
#define OB_VIF_NONE    UINT16_MAX
#define OB_BURST_MAX   64

/* ---- why a packet was dropped: one edge per reason ---------------------------------------------------------------------- */

/* X(id, "name", "what it means and what to do") */
#define OB_DROP_REASONS(X)                                                                        \
	X(MALFORMED_L2, "malformed_l2", "shorter than its Ethernet or VLAN header")               \
	X(MALFORMED_L3, "malformed_l3",                                                           \
	    "bad IP version, header length, total length or extension chain")                     \
	X(MALFORMED_L4, "malformed_l4", "shorter than its TCP, UDP or ICMP header")               \
	X(IP4_CHECKSUM, "ip4_checksum", "wrong IPv4 header checksum")                             \
	X(ETHERTYPE, "ethertype", "neither IPv4, IPv6 nor ARP")                                   \
	X(NO_ENI, "no_eni", "the function has no ENI: add one")                                   \
	X(VLAN, "vlan", "VLAN-tagged frame: a VPC has no VLANs")                                  \
	X(SPOOFED_MAC, "spoofed_mac", "the guest sent from a MAC that its ENI does not own")      \
	X(SPOOFED_IP, "spoofed_ip", "the guest sent from an address that its ENI does not own")   \
	X(MULTICAST, "multicast", "multicast or broadcast that the card does not answer")         \
	X(ARP_UNANSWERED, "arp_unanswered", "ARP or ND for an address that is not mapped")        \
	X(NO_ROUTE, "no_route", "no route of the VNET covers the destination")                    \
	X(ROUTE_DROP, "route_drop", "a route says drop")                                          \
	X(NO_MAPPING, "no_mapping", "the destination has no CA-to-PA mapping")                    \
	X(TO_ROUTER, "to_router",                                                                 \
	    "sent to the virtual router's own address, which answers echo and DHCP only")         \
	X(BAD_REQUEST, "bad_request", "malformed ARP, ND or DHCP, or one that needs no answer")   \
	X(TTL_EXPIRED, "ttl_expired", "TTL or hop limit ran out at the virtual router")           \
	X(TOO_BIG, "too_big", "does not fit the path MTU; the sender was told by ICMP")           \
	X(ICMP_LIMIT, "icmp_limit", "an ICMP error was due but the ENI's rate limit was reached") \
	X(NO_NEXTHOP, "no_nexthop",                                                               \
	    "the underlay has no route or no neighbour for the tunnel yet")                       \
	X(OUTER_MALFORMED, "outer_malformed", "truncated or inconsistent outer headers")          \
	X(OUTER_CHECKSUM, "outer_checksum", "wrong outer IPv4 or UDP checksum")                   \
	X(OUTER_FRAGMENT, "outer_fragment", "fragmented tunnel packet: raise the underlay's MTU") \
	X(ECN_CE, "ecn_ce",                                                                       \
	    "congestion was marked on a packet whose sender does not understand the mark (RFC "   \
	    "6040)")                                                                              \
	X(TUNNEL_UNKNOWN, "tunnel_unknown",                                                       \
	    "overlay packet from a tunnel end that is not configured")                            \
	X(VNI_UNKNOWN, "vni_unknown", "overlay packet with a VNI that is not configured")         \
	X(VXLAN_FLAGS, "vxlan_flags", "VXLAN header without a valid VNI flag")                    \
	X(GENEVE_HEADER, "geneve_header",                                                         \
	    "Geneve version, length or protocol type not understood")                             \
	X(GENEVE_CRITICAL, "geneve_critical", "unknown critical Geneve option")                   \
	X(GENEVE_MATCH, "geneve_match",                                                           \
	    "a Geneve option that the tunnel demands is missing or different")                    \
	X(NESTED_TUNNEL, "nested_tunnel", "tunnel in tunnel addressed to this card")              \
	X(NO_INNER_ENI, "no_inner_eni", "no ENI of this VNET has the inner destination MAC")      \
	X(GUEST_RING_FULL, "guest_ring_full", "the guest posted no receive buffer")               \
	X(GUEST_FILTER, "guest_filter",                                                           \
	    "the guest's own receive filter (MAC, VLAN, mode) refused it")                        \
	X(GUEST_DOWN, "guest_down", "the guest's driver is not running")                          \
	X(GUEST_TOO_LONG, "guest_too_long",                                                       \
	    "longer than the guest's buffers and it takes no merged buffers")                     \
	X(VNET_HDR, "vnet_hdr", "the guest's virtio-net header makes no sense")                   \
	X(GUEST_MEMORY, "guest_memory",                                                           \
	    "a descriptor points outside the memory that the host mapped")                        \
	X(NO_MBUF, "no_mbuf", "packet buffers ran out")                                           \
	X(UPLINK_FULL, "uplink_full", "the uplink's transmit queue was full")                     \
	X(HANDOFF_FULL, "handoff_full", "another worker's handoff ring was full")                 \
	X(PUNT_FULL, "punt_full", "the ring toward the card's kernel was full")                   \
	X(ACL_OUT, "acl_out", "a security group of the ENI denies what its guest sent")           \
	X(ACL_IN, "acl_in", "a security group of the ENI denies what was sent to its guest")      \
	X(SESSION_FULL, "session_full",                                                           \
	    "the worker's session table is full: no new connections, live ones go on")            \
	X(CONN_LIMIT, "conn_limit", "the ENI has as many live connections as it is allowed")      \
	X(HALF_OPEN_LIMIT, "half_open_limit",                                                     \
	    "the ENI has as many unanswered connections as it is allowed (a flood?)")             \
	X(CPS_LIMIT, "cps_limit", "the ENI opens connections faster than it is allowed")          \
	X(BW_LIMIT, "bw_limit", "the ENI's bandwidth allowance is used up")                       \
	X(PPS_LIMIT, "pps_limit", "the ENI's packet rate allowance is used up")                   \
	X(TCP_STATE, "tcp_state", "TCP segment that its connection's state does not allow")       \
	X(TCP_WINDOW, "tcp_window", "TCP segment outside of its connection's window")             \
	X(ICMP_UNRELATED, "icmp_unrelated",                                                       \
	    "ICMP error, or answer, that belongs to no known connection")                         \
	X(FRAG_LIMIT, "frag_limit", "more datagrams in fragments than the worker keeps track of") \
	X(FRAG_ORDER, "frag_order", "later fragment whose first one was not seen")                \
	X(FRAG_OVERLAP, "frag_overlap", "overlapping or impossible fragment")                     \
	X(NAT_PORTS, "nat_ports", "no free port of the NAT pool for a new connection")            \
	X(NAT_UNSOLICITED, "nat_unsolicited",                                                     \
	    "sent to a NAT's public address, but part of no connection")                          \
	X(NAT_UNTRANSLATABLE, "nat_untranslatable",                                               \
	    "a protocol or option that this translation does not know")

enum ob_drop {
#define OB_DROP_ENUM(id, name, help) OB_DROP_##id,
	OB_DROP_REASONS(OB_DROP_ENUM)
#undef OB_DROP_ENUM
	    OB_N_DROPS
};

#define OB_PASS OB_N_DROPS /* "not dropped", where an enum ob_drop is returned */

/* Name and help of a reason for people and programs; NULL past the end. Context: any. */
const char *ob_drop_name(unsigned reason);
const char *ob_drop_help(unsigned reason);

/* ---- packets and what is known of them --------------------------------------------------------------------------------- */

enum ob_pkt_flags {
	OB_PKT_IP4 = 1 << 0,
	OB_PKT_IP6 = 1 << 1,
	OB_PKT_TCP = 1 << 2,
	OB_PKT_UDP = 1 << 3,
	OB_PKT_ICMP = 1 << 4, /* ICMP or ICMPv6 */
	OB_PKT_ARP = 1 << 5,
	OB_PKT_FRAG = 1 << 6,	    /* any IP fragment */
	OB_PKT_LATER_FRAG = 1 << 7, /* a fragment without the L4 header */
	OB_PKT_MCAST = 1 << 8,	    /* group bit of the destination MAC */
	/* L4 checksum still to be filled in: field holds the pseudo-header sum (virtio NEEDS_CSUM) */
	OB_PKT_L4_CSUM_PARTIAL = 1 << 9,
	OB_PKT_L4_CSUM_GOOD = 1 << 10, /* L4 checksum was verified */
	OB_PKT_GSO = 1 << 11,	       /* TCP super-packet, mbuf tso_segsz = MSS */
	/* crosses the virtual router: TTL is decremented, MACs are rewritten */
	OB_PKT_ROUTED = 1 << 12,
	OB_PKT_DF = 1 << 13,	 /* IPv4 DF set, or IPv6 */
	OB_PKT_NAT = 1 << 14,	 /* its session rewrites addresses or ports */
	OB_PKT_TO_NAT = 1 << 15, /* sent to a public address of this card, and not translated yet */
};

/* Metadata of one packet, in a side array. Offsets are from the start of the (inner) Ethernet header. 48 bytes. */
struct ob_meta {
	uint16_t in_vif;  /* function it came from, or OB_VIF_NONE (uplink) */
	uint16_t out_vif; /* local delivery, or OB_VIF_NONE */
	uint16_t eni;	  /* ENI index whose policy applies */
	uint16_t flags;	  /* enum ob_pkt_flags */
	uint8_t l2_len;	  /* 14, 18 */
	uint8_t l4_len;	  /* TCP/UDP/ICMP header bytes, 0 unknown */
	uint8_t ip_proto; /* final protocol after IPv6 extension headers */
	uint8_t
	    resume; /* of a packet handed over between workers: where it goes on, as the pipeline numbers it; else 0 */
	uint16_t l3_len;    /* with options / extension headers */
	uint16_t ethertype; /* host byte order, after VLAN */
	uint32_t hash;	    /* symmetric flow hash of the (inner) packet */
	/* The next three lie as in a session's record, whence they are copied in one piece. */
	uint32_t tunnel;     /* index of struct ob_tunnel_cfg, valid when out_vif == OB_VIF_NONE */
	uint32_t vni;	     /* of the tunnel: received with, or to send with */
	uint8_t new_dmac[6]; /* of a routed packet */
	uint16_t mtu;	     /* largest inner L3 packet that fits the way out, 0 unknown */
	/* Of OB_PKT_L4_CSUM_PARTIAL: sum from csum_start to the end, put it at csum_start + csum_offset. Offset like l2_len; not always
	 * l2_len + l3_len: a guest that runs a tunnel of its own means its inner header. */
	uint16_t csum_start;
	uint16_t csum_offset;
	uint32_t
	    vif_gen; /* of a packet handed over between workers: which function out_vif meant */
	uint32_t session; /* reference of its session and direction; valid where a stage says so */
};
static_assert(sizeof(struct ob_meta) == 48, "copied at every divergence: keep it small");

/* A burst: parallel arrays, so that stages prefetch packets and keep metadata dense. */
struct ob_burst {
	uint16_t n;
	struct rte_mbuf *pkt[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
};

/* ---- a worker ------------------------------------------------------------------------------------------------------------ */

/* What the packet path asks of a worker; the rest is worker_priv.h's. */
struct ob_worker_head {
	unsigned id;
	int cpu;      /* pinned to, or -1 */
	uint64_t tsc; /* at the start of this round */
	struct rte_mempool *pool;
};

struct ob_worker;

/* A source of work. All callbacks run on the worker. */
struct ob_source {
	const char *name;
	/* One round: take a burst, carry it through. Returns packets handled (0: idle). */
	unsigned (*poll)(struct ob_worker *w, void *arg);
	/* Before sleep: ask for a notification. Returns true if work is there already (no sleep). NULL: nothing to arm. */
	bool (*arm)(struct ob_worker *w, void *arg);
	void (*disarm)(struct ob_worker *w, void *arg);
	int wake_fd; /* readable when there is work; -1: kicks arrive by ob_worker_wake; */
	/* nothing can wake us for it: sleep in short naps only (port without rx interrupts) */
	bool must_poll;
	void *arg;
};

/* Called at the end of each round: empty an edge buffer. */
struct ob_flush {
	void (*flush)(struct ob_worker *w, void *arg);
	void *arg;
};

/* Worker-owned counters, in the arena region "worker.<id>"; single writer, readers use relaxed loads. */
struct ob_worker_counters {
	uint64_t n_rounds, n_busy_rounds, n_sleeps, n_wakeups, n_mail, n_handoff_in, n_handoff_out;
	uint64_t busy_tsc_sampled, busy_rounds_sampled; /* 1 round in 64 */
	uint64_t reserved[7];
};

struct ob_workers_conf {
	struct ob_arena *arena;
	/* 1..OB_MAX_WORKERS; threads of our own, registered with EAL */
	unsigned n_workers;
	/* n_workers CPU numbers to pin to; NULL: the scheduler places them */
	const int *cpus;
	bool poll_always; /* --idle=poll */
	/* no threads: the caller drives rounds with ob_worker_round (tests, fuzzing) */
	bool manual;
	unsigned n_mbufs;	 /* per worker, 0: default */
	uint16_t mbuf_data_room; /* bytes without headroom; 0: 2048 */
};

/* Starts the workers. Context: main, once per process (tests: start, stop, start again). Returns 0, -EINVAL, -ENOMEM, -errno. */
int ob_workers_start(const struct ob_workers_conf *conf);
/* Stops and joins them; sources must have been removed. */
void ob_workers_stop(void);
unsigned ob_workers_count(void);
/* Runs one round of a manual worker on the caller's thread. Returns packets handled. */
unsigned ob_worker_round(struct ob_worker *w);
struct ob_worker *ob_worker_get(unsigned id);

static inline unsigned ob_worker_id(const struct ob_worker *w)
{
	return ((const struct ob_worker_head *)w)->id;
}

/* Pinned CPU, or -1. */
static inline int ob_worker_cpu(const struct ob_worker *w)
{
	return ((const struct ob_worker_head *)w)->cpu;
}

/* Packet buffers; headroom is OB_HEADROOM so that any encapsulation fits in front. */
#define OB_HEADROOM 256
static inline struct rte_mempool *ob_worker_pool(const struct ob_worker *w)
{
	return ((const struct ob_worker_head *)w)->pool;
}

/* TSC at the start of this round. */
static inline uint64_t ob_worker_tsc(const struct ob_worker *w)
{
	return ((const struct ob_worker_head *)w)->tsc;
}

/* Runs fn(w, arg) on the worker between rounds and waits for it. Context: control (never a worker: would deadlock).
 * Returns what fn returned. */
int ob_worker_call(struct ob_worker *w, int (*fn)(struct ob_worker *w, void *arg), void *arg);
/* The same without waiting; 'arg' must live until fn ran. Returns 0, -ENOBUFS mailbox full. Context: control. */
int ob_worker_post(struct ob_worker *w, void (*fn)(struct ob_worker *w, void *arg), void *arg);

/* Adds / removes a source or flush hook, by ob_worker_call. The struct is copied. Identified by (poll, arg) / (flush, arg).
 * Returns 0, -ENOSPC, -ENOENT. Context: control. */
int ob_worker_add_source(struct ob_worker *w, const struct ob_source *src);
int ob_worker_del_source(struct ob_worker *w, const struct ob_source *src);
int ob_worker_add_flush(struct ob_worker *w, const struct ob_flush *fl);
int ob_worker_del_flush(struct ob_worker *w, const struct ob_flush *fl);

/* Wakes a sleeping worker; cheap when it is awake. Context: any thread. */
void ob_worker_wake(struct ob_worker *w);

/* Hands packets to another worker; they arrive in its handoff handler. The metadata travels with the mbuf (private area).
 * Packets that do not fit are dropped and counted HANDOFF_FULL. Context: worker 'from'. */
void ob_worker_handoff(struct ob_worker *from, struct ob_worker *to, struct rte_mbuf **pkts,
    const struct ob_meta *meta, unsigned n);
/* Who takes handed-over packets; same for all workers, set before start of traffic. */
void ob_workers_set_handoff(
    void (*fn)(struct ob_worker *w, struct ob_burst *b, void *arg), void *arg);

/* ---- drops ----------------------------------------------------------------------------------------------------------------- */

/* Counts and frees. 'vif': whose packet it is, or OB_VIF_NONE (uplink). Context: owner. */
void ob_drop(struct ob_worker *w, enum ob_drop reason, uint16_t vif, struct rte_mbuf *pkt);
/* Counts without a packet (n may be > 1). */
void ob_drop_count(struct ob_worker *w, enum ob_drop reason, uint16_t vif, uint64_t n);
/* As ob_drop, for all of 'pkts'. Context: owner. */
void ob_drop_bulk(
    struct ob_worker *w, enum ob_drop reason, uint16_t vif, struct rte_mbuf **pkts, unsigned n);
/* Sum over workers. 'vif' may be OB_VIF_NONE. Context: control. */
uint64_t ob_drops_read(uint16_t vif, enum ob_drop reason);
/* Zeroes a function's row when its index is given to a new function. Context: control. */
void ob_drops_clear(uint16_t vif);
void ob_worker_counters_read(unsigned id, struct ob_worker_counters *out);

/* ---- who watches packets (dataplane/capture) ------------------------------------------------------------------------------- */

/* What becomes of a packet, told where it is known. */
enum ob_fate {
	OB_FATE_DROPPED,   /* reason; in_vif: on whom it was counted */
	OB_FATE_DELIVERED, /* to the guest of out_vif */
	OB_FATE_SENT,	   /* of in_vif, into 'tunnel' with 'vni' */
	OB_FATE_ANSWERED,  /* by the card, in its guest's or the overlay's stead */
	OB_FATE_WIRE_IN,   /* uplink: came in, belongs to the overlay */
	OB_FATE_WIRE_OUT,  /* uplink: handed to the port */
	OB_FATE_KERNEL,	   /* uplink: handed to the card's kernel */
	OB_N_FATES
};

struct ob_seen {
	uint8_t fate;	 /* enum ob_fate */
	uint8_t reason;	 /* enum ob_drop */
	uint16_t flags;	 /* OB_PKT_NAT: translated; others are not looked at */
	uint16_t in_vif; /* OB_VIF_NONE: the uplink */
	uint16_t out_vif;
	uint32_t tunnel, vni;
	uint32_t skip; /* bytes in front that are left out: outer headers */
};

/* Copies what it wants of the packet and keeps nothing of it. Context: owner. */
typedef void (*ob_tap_fn)(
    struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_seen *seen);

extern ob_tap_fn ob_tap_installed;

/* NULL: nobody watches. A stage looks once a burst. */
static inline ob_tap_fn ob_tap(void)
{
	/* Acquire: pairs with the release in ob_tap_set, so that who sees the function sees what it works with. */
	return __atomic_load_n(&ob_tap_installed, __ATOMIC_ACQUIRE);
}

/* NULL: nobody. A worker may be in the old one until a grace period has passed. Context: control. */
void ob_tap_set(ob_tap_fn fn);

/* ---- RCU (QSBR) ------------------------------------------------------------------------------------------------------------ */

/* Loads a pointer that control publishes with ob_rcu_publish; acquire/release pair. */
#define ob_rcu_load(pp)	      __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define ob_rcu_publish(pp, v) __atomic_store_n((pp), (v), __ATOMIC_RELEASE)

/* Frees 'p' by fn(p) once every worker has passed a quiescent point. Never blocks. Context: control. */
void ob_rcu_defer(void (*fn)(void *p), void *p);
/* Waits for a grace period (sleeping workers do not delay it). Context: control. 'ctx' is ignored: fits ob_gmem_conf.sync. */
void ob_rcu_sync(void *ctx);
/* Runs what is due of the deferred work; main's event loop calls it now and then. */
void ob_rcu_reclaim(void);
