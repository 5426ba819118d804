/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections: the one exact-match lookup that every packet takes, and what is known of each connection.
 *
 * A session is one bidirectional connection of one context: an ENI's index. Direction 0 is the initiator's, 1 the other. The key of
 * direction d is the 5-tuple of packets as they arrive in d, before any rewrite; a rewrite of d is the key of 1-d turned around.
 * Each worker owns a shard: it alone writes it, without locks or atomics; other threads read it relaxed.
 *
 * All of it lies in the arena ("session.<worker>", "session.enis"): fixed-width words and indices, no pointers. Memory is touched
 * only as connections come. A reference dies with ob_session_expire, which the pipeline calls once a round, after the round's
 * packets: no stage keeps one longer.
 *
 * Once a burst: ob_session_set_now, ob_session_find4/6 (n packets), then for each hit ob_session_track. Keys: ob_session_key4_of/6_of.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "ob_arena.h"
#include "ob_worker.h"

#define OB_SESSION_MAX_ENIS 1024
#define OB_SESSION_BURST    128	       /* most keys of one find */
#define OB_SESSION_NONE	    UINT32_MAX /* no such connection */
#define OB_SESSION_V6	    0x80000000u
#define OB_SESSION_HZ	    8u /* ticks of the coarse clock per second */
#define OB_SESSION_NO_TAG   0u /* nothing to tell the delete hook */
#define OB_SESSION_NO_GEN   0u /* a way that was not resolved: never a valid generation */

/* Beside enum ob_drop and OB_PASS, what ob_session_track and ob_session_key*_of may answer. */
enum {
	OB_SESSION_MISS = OB_N_DROPS + 1, /* the connection is over: treat the packet as a miss */
	OB_SESSION_IS_ERROR =
	    OB_N_DROPS + 2, /* ICMP error: ob_session_icmp_embedded* makes its key */
	OB_SESSION_IS_FRAGMENT = OB_N_DROPS + 3 /* ask ob_session_frag for the ports first */
};

/* Addresses and ports as they lie in the packet, in whole words: source first. ICMP queries: the identifier is the port of who asks,
 * type and code of the question that of who answers, so that request and reply are two directions of one connection. Protocols
 * without ports: 0. */
struct ob_session_key4 {
	uint64_t addrs;
	uint32_t ports;
	uint32_t ctx_proto; /* ENI index << 8 | protocol */
};
struct ob_session_key6 {
	uint64_t src[2], dst[2];
	uint32_t ports;
	uint32_t ctx_proto;
};
static_assert(sizeof(struct ob_session_key4) == 16 && sizeof(struct ob_session_key6) == 40,
    "compared in words");

union ob_session_key {
	struct ob_session_key4 v4;
	struct ob_session_key6 v6;
};

enum ob_session_state {
	OB_SESSION_FREE,
	OB_SESSION_TCP_SYN_SENT,
	OB_SESSION_TCP_SYN_SENT2, /* both ends sent a SYN: simultaneous open */
	OB_SESSION_TCP_SYN_RECV,
	OB_SESSION_TCP_ESTABLISHED,
	OB_SESSION_TCP_FIN_WAIT,   /* one end sent its FIN */
	OB_SESSION_TCP_CLOSE_WAIT, /* ... and the other has acknowledged it */
	OB_SESSION_TCP_LAST_ACK,   /* both ends sent theirs */
	OB_SESSION_TCP_TIME_WAIT,
	OB_SESSION_TCP_CLOSE, /* reset */
	OB_SESSION_UDP_NEW,   /* not answered yet */
	OB_SESSION_UDP_REPLIED,
	OB_SESSION_ICMP_NEW,
	OB_SESSION_ICMP_REPLIED,
	OB_SESSION_SCTP_INIT,
	OB_SESSION_SCTP_ESTABLISHED,
	OB_SESSION_SCTP_SHUTDOWN,
	OB_SESSION_SCTP_CLOSED,
	OB_SESSION_OTHER_NEW,
	OB_SESSION_OTHER_REPLIED,
	OB_SESSION_N_STATES
};

/* Where packets of a direction go, resolved by the policy. 16 bytes; the last is the table's own. */
#define OB_WAY_LOCAL \
	0x80000000u /* of 'out': local delivery to function (out & 0xffff); otherwise a tunnel's index */
struct ob_session_way {
	uint32_t out;
	uint32_t vni;
	uint8_t dmac[6];
	uint8_t flags; /* the policy's: NAT and the like; this folder does not look at them */
	uint8_t fast;  /* not to be set: ob_session_add and ob_session_set_way leave it alone */
};
static_assert(sizeof(struct ob_session_way) == 16, "part of the record");

/* ---- the record; inline code below is its only user outside of this folder ----------------------------------------------- */

enum {
	OB_SESSION_SLOW,       /* ob_session_track_slow decides */
	OB_SESSION_FAST_COUNT, /* nothing to check */
	OB_SESSION_FAST_TCP,   /* established: segments in window */
	OB_SESSION_FAST_TCP_NO_WINDOW,
};

#define OB_SESSION_PKT_SHIFT  37 /* of 'count': packets above, bytes below */
#define OB_SESSION_COUNT_FULL (1ull << 63 | 1ull << (OB_SESSION_PKT_SHIFT - 1))

/* One direction, 48 bytes. TCP as the sender of this direction is known: RFC 9293, 3.3.1; SCTP: its tags, as sctp.c says. */
struct ob_session_line {
	struct ob_session_way way;
	uint32_t gen;	  /* policy generation of 'way' */
	uint32_t seen;	  /* tick of the last packet */
	uint64_t count;	  /* since the carry to the cold part */
	uint32_t end;	  /* one past the highest sequence number sent */
	uint32_t max_end; /* highest sequence number that the other end allows */
	uint32_t max_ack; /* highest acknowledgement sent */
	uint16_t max_win; /* largest window advertised, before scaling */
	uint8_t scale;	  /* window scale (0..14) | flags of tcp.c */
	uint8_t state;	  /* enum ob_session_state, the same in both directions */
};
static_assert(sizeof(struct ob_session_line) == 48, "arena layout");

/* A direction of IPv4: one cache line. */
struct ob_session_dir4 {
	struct ob_session_key4 key;
	struct ob_session_line line;
};
/* A direction of IPv6 (or either end of NAT64): two. */
struct ob_session_dir6 {
	union ob_session_key key;
	uint32_t family; /* 4 or 6: which key */
	uint32_t reserved[5];
	struct ob_session_line line;
	uint64_t reserved2[2];
};
static_assert(sizeof(struct ob_session_dir4) == 64, "arena layout");
static_assert(sizeof(struct ob_session_dir6) == 128, "arena layout");

/* An ENI as all workers see it. Read by every packet: written by control only. */
struct ob_session_eni {
	uint32_t gen;
	uint32_t flush; /* counts ob_session_eni_flush */
	uint32_t max_live, max_half_open;
	uint32_t flags;			       /* OB_SESSION_ENI_* */
	uint32_t timeout[OB_SESSION_N_STATES]; /* ticks */
	uint32_t reserved[7];
	/* Changed by workers, hence on lines of their own. */
	uint32_t live, live_max, half_open, half_open_max;
	uint64_t n_refused_live, n_refused_half_open;
	uint32_t reserved2[8];
};
static_assert(sizeof(struct ob_session_eni) == 192, "arena layout");

struct ob_session_region; /* parts of the arena, session_priv.h */
struct ob_session_bucket;
struct ob_session_cold;
struct ob_session_datagram;

/* A worker's shard: this process's pointers into its region. */
struct ob_session_shard {
	struct ob_session_dir4 *rec4; /* [2 * record + direction] */
	struct ob_session_dir6 *rec6;
	uint32_t now; /* tick */
	uint32_t worker;
	struct ob_session_region *region;
	struct ob_session_bucket *index4, *index6;
	struct ob_session_cold *cold4, *cold6;
	uint32_t *wheel, *lists;
	struct ob_session_datagram *frags;
	void *reserved[2];
};

extern struct ob_session_shard ob_session_shards[OB_MAX_WORKERS];
extern struct ob_session_eni *ob_session_enis; /* [OB_SESSION_MAX_ENIS] */
extern uint64_t ob_session_tick_mult;	       /* 2^64 * OB_SESSION_HZ / TSC hertz */

/* ---- life --------------------------------------------------------------------------------------------------------------------- */

struct ob_session_conf {
	unsigned n_workers;	 /* 1..OB_MAX_WORKERS */
	uint32_t max_v4, max_v6; /* connections per worker, each 1..2^29; NAT64 counts as IPv6 */
	uint32_t max_fragmented; /* datagrams in fragments per worker at one time; 0: 2048 */
	unsigned index_load_pct; /* how full the index is when the table is; 50..97, 0: 87 */
	uint64_t tsc_hz;	 /* 0: rte_get_tsc_hz() */
};

/* Finds or makes the regions. A region that a process before left is taken over: its connections live on, its index, lists and wheel are
 * made anew from the records. Context: control, before traffic.
 * Returns 0; -EINVAL; -ENOSPC the arena is too small; -ENOTSUP, -EMSGSIZE left there with another layout or size; -EEXIST called twice. */
int ob_session_init(struct ob_arena *arena, const struct ob_session_conf *conf);
/* Forgets the regions; they stay in the arena. Context: control, workers stopped. */
void ob_session_fini(void);

static inline struct ob_session_shard *ob_session_shard(unsigned worker)
{
	return &ob_session_shards[worker];
}

/* Called for each session that ends with a tag other than OB_SESSION_NO_TAG, on its worker, whyever it ended.
 * Context: control, before traffic. NULL: none. */
void ob_session_set_on_delete(void (*fn)(unsigned worker, uint16_t eni, uint32_t tag));

/* ---- time --------------------------------------------------------------------------------------------------------------------- */

/* Coarse clock of a TSC value (ob_worker_tsc); wraps after 17 years. Context: any. */
static inline uint32_t ob_session_ticks(uint64_t tsc)
{
	return (uint32_t)(((unsigned __int128)tsc * ob_session_tick_mult) >> 64);
}

/* Once a burst, before anything else of the burst. Context: owner. */
static inline void ob_session_set_now(struct ob_session_shard *s, uint64_t tsc)
{
	s->now = ob_session_ticks(tsc);
}

/* Ages: visits at most 'budget' sessions whose time may have come, deletes or requeues them, and does a slice of what flushes ask
 * for. Frees what was deleted since the last call: references taken before are void. 'now': ob_session_ticks. Once a round.
 * Returns sessions visited. Context: owner. */
unsigned ob_session_expire(struct ob_session_shard *s, uint32_t now, unsigned budget);

/* ---- lookup ------------------------------------------------------------------------------------------------------------------- */

/* refs[i] = session and direction of keys[i], or OB_SESSION_NONE. n <= OB_SESSION_BURST. find4 may answer with references that have
 * OB_SESSION_V6 set (NAT64). The lines that ob_session_track will touch are on their way when it returns. Context: owner. */
void ob_session_find4(
    struct ob_session_shard *s, const struct ob_session_key4 *keys, uint32_t *refs, unsigned n);
void ob_session_find6(
    struct ob_session_shard *s, const struct ob_session_key6 *keys, uint32_t *refs, unsigned n);

static inline unsigned ob_session_dir(uint32_t ref)
{
	return ref & 1;
}
/* The same connection's other direction. */
static inline uint32_t ob_session_peer(uint32_t ref)
{
	return ref ^ 1;
}

static inline struct ob_session_key4 ob_session_reverse4(const struct ob_session_key4 *k)
{
	return (struct ob_session_key4){
	    k->addrs << 32 | k->addrs >> 32, k->ports << 16 | k->ports >> 16, k->ctx_proto};
}
static inline struct ob_session_key6 ob_session_reverse6(const struct ob_session_key6 *k)
{
	return (struct ob_session_key6){{k->dst[0], k->dst[1]}, {k->src[0], k->src[1]},
	    k->ports << 16 | k->ports >> 16, k->ctx_proto};
}

/* Ports word of a parsed packet that is neither TCP nor UDP, or a fragment. Returns OB_PASS, OB_SESSION_IS_ERROR,
 * OB_SESSION_IS_FRAGMENT, OB_DROP_MALFORMED_L4. Context: owner. */
unsigned ob_session_ports_slow(
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ports);

static inline unsigned ob_session_ports(
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ports)
{
	if (unlikely(
		(meta->flags & (OB_PKT_TCP | OB_PKT_UDP)) == 0 || (meta->flags & OB_PKT_FRAG) != 0))
		return ob_session_ports_slow(pkt, meta, ports);
	memcpy(
	    ports, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + meta->l3_len), 4);
	return OB_PASS;
}

/* Key of a parsed IPv4 packet of ENI 'ctx' (< OB_SESSION_MAX_ENIS). Returns OB_PASS; OB_SESSION_IS_ERROR and OB_SESSION_IS_FRAGMENT (all but
 * 'ports' is filled in); OB_DROP_MALFORMED_L4. */
static inline unsigned ob_session_key4_of(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key4 *key)
{
	memcpy(&key->addrs, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + 12), 8);
	key->ctx_proto = ctx << 8 | meta->ip_proto;
	key->ports = 0;
	return ob_session_ports(pkt, meta, &key->ports);
}
static inline unsigned ob_session_key6_of(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key6 *key)
{
	memcpy(key->src, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len + 8), 32);
	key->ctx_proto = ctx << 8 | meta->ip_proto;
	key->ports = 0;
	return ob_session_ports(pkt, meta, &key->ports);
}

/* ICMP errors (RFC 5508): makes the key of packets that travel as the error does, from the packet that it carries: that one, turned
 * around. So a hit's direction is the error's own, and its rewrite is that of any packet of the direction, applied to the outer
 * header, and turned around to the carried one. Then ob_session_track_error instead of ob_session_track.
 * Returns OB_PASS, OB_DROP_ICMP_UNRELATED (too short, a later fragment, an error in an error, not addressed to who sent that packet). Context: owner. */
unsigned ob_session_icmp_embedded4(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key4 *key);
unsigned ob_session_icmp_embedded6(const struct rte_mbuf *pkt, const struct ob_meta *meta,
    uint32_t ctx, struct ob_session_key6 *key);
/* Counts the error; it does not keep the connection alive. With window checks, the sequence number that a TCP error carries must be one
 * in flight (RFC 5927, 4.1). Returns OB_PASS, OB_DROP_ICMP_UNRELATED, OB_SESSION_MISS. Context: owner. */
unsigned ob_session_track_error(struct ob_session_shard *s, uint32_t ref,
    const struct rte_mbuf *pkt, const struct ob_meta *meta);

/* Fragments (meta->flags has OB_PKT_FRAG): the first gives the ports, later ones find them. Nothing is held back: a later fragment
 * before its first one is dropped; so are what overlaps with parts that passed, impossible offsets and lengths, and a TCP fragment
 * at offset 8 (RFC 1858, 5722, 8200). 'ports': as ob_session_key4.ports.
 * Returns OB_PASS, OB_DROP_FRAG_LIMIT, OB_DROP_FRAG_ORDER, OB_DROP_FRAG_OVERLAP, OB_DROP_MALFORMED_L3, OB_DROP_MALFORMED_L4,
 * OB_DROP_ICMP_UNRELATED (an error in fragments). Context: owner. */
#define OB_SESSION_FRAG_OWNERS \
	8192u /* contexts that differ by a multiple of it share what one may hold of the table */
unsigned ob_session_frag(struct ob_session_shard *s, uint32_t ctx, const struct rte_mbuf *pkt,
    const struct ob_meta *meta, uint32_t *ports);

/* ---- a session --------------------------------------------------------------------------------------------------------------- */

static inline struct ob_session_line *ob_session_line(
    const struct ob_session_shard *s, uint32_t ref)
{
	if (unlikely(ref & OB_SESSION_V6))
		return &s->rec6[ref & ~OB_SESSION_V6].line;
	return &s->rec4[ref].line;
}

/* Where packets of this direction go. Valid until the next expire. Context: owner. */
static inline const struct ob_session_way *ob_session_way(
    const struct ob_session_shard *s, uint32_t ref)
{
	return &ob_session_line(s, ref)->way;
}
/* Policy generation under which that was decided. Context: owner. */
static inline uint32_t ob_session_gen(const struct ob_session_shard *s, uint32_t ref)
{
	return ob_session_line(s, ref)->gen;
}
/* Context: owner. */
void ob_session_set_way(
    struct ob_session_shard *s, uint32_t ref, const struct ob_session_way *way, uint32_t gen);
/* Key of a direction. Returns its family, 4 or 6 (the directions of NAT64 differ). Context: owner. */
unsigned ob_session_key(const struct ob_session_shard *s, uint32_t ref, union ob_session_key *key);
uint32_t ob_session_tag(const struct ob_session_shard *s, uint32_t ref);
unsigned ob_session_state_of(const struct ob_session_shard *s, uint32_t ref);
/* "tcp_established", ...; NULL past the end. Context: any. */
const char *ob_session_state_name(unsigned state);

unsigned ob_session_track_slow(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta);
void ob_session_carry(struct ob_session_shard *s, uint32_t ref);

static inline void ob_session_count(
    struct ob_session_shard *s, struct ob_session_line *l, uint32_t ref, uint32_t bytes)
{
	uint64_t n = l->count + (1ull << OB_SESSION_PKT_SHIFT) + bytes;

	__atomic_store_n(&l->count, n, __ATOMIC_RELAXED);
	if (unlikely(n & OB_SESSION_COUNT_FULL))
		ob_session_carry(s, ref);
}

/* An established connection's data or bare ACK, wholly in window. What it refuses is not wrong yet: the slow path says. */
static inline bool ob_session_tcp_fast(struct ob_session_line *l, struct ob_session_line *peer,
    const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	uint32_t hdr = (uint32_t)meta->l2_len + meta->l3_len;
	const struct rte_tcp_hdr *th =
	    rte_pktmbuf_mtod_offset(pkt, const struct rte_tcp_hdr *, hdr);
	uint32_t seq = rte_be_to_cpu_32(th->sent_seq), ack = rte_be_to_cpu_32(th->recv_ack);
	uint32_t end = seq + (rte_pktmbuf_pkt_len(pkt) - hdr - meta->l4_len);
	uint16_t win = rte_be_to_cpu_16(th->rx_win);
	uint32_t edge = ack + ((uint32_t)win << (l->scale & 15)) + (win == 0);

	if (unlikely(meta->flags & OB_PKT_FRAG) ||
	    (th->tcp_flags & (RTE_TCP_ACK_FLAG | RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG |
				 RTE_TCP_RST_FLAG | RTE_TCP_URG_FLAG)) != RTE_TCP_ACK_FLAG)
		return false;
	if (l->way.fast == OB_SESSION_FAST_TCP_NO_WINDOW)
		return true;
	/* New data inside of the peer's window, old data inside of the largest one; acknowledges what was sent, and not long ago. */
	if ((int32_t)(l->max_end - end) < 0 ||
	    (int32_t)(seq + ((uint32_t)peer->max_win << (peer->scale & 15)) - l->end) < 0 ||
	    peer->end - ack > ((uint32_t)l->max_win << (l->scale & 15) | UINT16_MAX))
		return false;
	if ((int32_t)(end - l->end) > 0)
		l->end = end;
	if ((int32_t)(ack - l->max_ack) > 0)
		l->max_ack = ack;
	if (win > l->max_win)
		l->max_win = win;
	if ((int32_t)(edge - peer->max_end) > 0)
		peer->max_end = edge;
	return true;
}

/* One packet of a session: state, window, time-out, counters. Not for the packet that opened it: ob_session_add has counted that.
 * Returns OB_PASS; OB_DROP_TCP_STATE, OB_DROP_TCP_WINDOW; OB_SESSION_MISS: the connection is gone (deleted earlier in the burst, or this
 * packet opens it anew): look it up again or treat it as a first packet. Context: owner. */
static inline unsigned ob_session_track(struct ob_session_shard *s, uint32_t ref,
    const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	struct ob_session_line *l = ob_session_line(s, ref);

	if (unlikely(l->way.fast != OB_SESSION_FAST_COUNT) &&
	    (l->way.fast == OB_SESSION_SLOW ||
		!ob_session_tcp_fast(l, ob_session_line(s, ref ^ 1), pkt, meta)))
		return ob_session_track_slow(s, ref, pkt, meta);
	l->seen = s->now;
	ob_session_count(s, l, ref, rte_pktmbuf_pkt_len(pkt));
	return OB_PASS;
}

struct ob_session_new {
	uint8_t family[2]; /* 4 or 6, of the key of each direction */
	uint32_t tag;	   /* for the delete hook, or OB_SESSION_NO_TAG */
	union ob_session_key key[2];
	struct ob_session_way way[2];
	uint32_t gen[2]; /* OB_SESSION_NO_GEN: way[i] is not resolved */
};

/* Makes a session of the packet that opens it, and counts that packet. '*ref': direction 0. Context: owner.
 * Returns 0; -ENOSPC the table is full (SESSION_FULL); -EDQUOT the ENI's live limit (CONN_LIMIT); -EUSERS its half-open limit
 * (HALF_OPEN_LIMIT); -EEXIST a key is taken ('*ref': by which session, so that a second packet of a burst finds the first one's; for NAT: try
 * another port); -EPROTO the packet may not open one (TCP_STATE; ICMP_UNRELATED: an answer that nobody asked for). */
int ob_session_add(struct ob_session_shard *s, const struct ob_session_new *n,
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ref);
/* Ends it. References to it stay harmless until the next expire (ob_session_track: OB_SESSION_MISS). Context: owner. */
void ob_session_del(struct ob_session_shard *s, uint32_t ref);

/* ---- ENIs --------------------------------------------------------------------------------------------------------------------- */

struct ob_session_eni_conf {
	/* Seconds, by enum ob_session_state; 0: the default. TCP established 60..432000, others 1..432000. */
	uint32_t timeout_s[OB_SESSION_N_STATES];
	uint32_t max_live;	/* connections over all workers; 0: no limit */
	uint32_t max_half_open; /* of these unanswered; 0: no limit */
	bool tcp_loose;		/* take up connections whose SYN was not seen */
	bool tcp_no_window;	/* do not check sequence numbers */
};

#define OB_SESSION_ENI_LOOSE	 1u
#define OB_SESSION_ENI_NO_WINDOW 2u

/* Sets what new packets of the ENI meet; live sessions take new time-outs when they are next looked at. All ENIs have the defaults before.
 * Returns 0, -EINVAL. Context: control. */
int ob_session_eni_set(uint16_t eni, const struct ob_session_eni_conf *conf);
uint32_t ob_session_timeout_default_s(unsigned state);

/* Policy generation; never OB_SESSION_NO_GEN. Context: any. */
static inline uint32_t ob_session_eni_gen(uint16_t eni)
{
	/* Acquire: pairs with ob_session_gen_bump, so that who sees the number also sees the policy that it stands for. */
	return __atomic_load_n(&ob_session_enis[eni].gen, __ATOMIC_ACQUIRE);
}
/* After the change is published. Context: control. */
void ob_session_gen_bump(uint16_t eni);
void ob_session_gen_bump_all(void);

/* Ends the sessions that the ENI has now: the workers do it in slices (ob_session_expire). Context: control. */
void ob_session_eni_flush(uint16_t eni);

/* For an index that is given to another ENI: flushes, sets the defaults, and counters and high-water marks begin anew.
 * Returns 0, -EINVAL. Context: control. */
int ob_session_eni_clear(uint16_t eni);

struct ob_session_eni_counters {
	uint32_t live, live_max, half_open, half_open_max;
	uint64_t n_refused_live, n_refused_half_open;
};
void ob_session_eni_read(uint16_t eni, struct ob_session_eni_counters *out);

/* ---- for people -------------------------------------------------------------------------------------------------------------- */

struct ob_session_info {
	uint32_t ref; /* direction 0 */
	uint16_t eni;
	uint8_t proto, state;
	uint8_t family[2];
	union ob_session_key key[2];
	struct ob_session_way way[2];
	uint32_t gen[2];
	uint64_t n_pkts[2], n_bytes[2];
	uint32_t tag, age_s, idle_s, expires_s;
};

/* The session of a reference that was found in this round. Returns 0, -ENOENT it has ended. Context: owner. */
int ob_session_read(unsigned worker, uint32_t ref, struct ob_session_info *out);

/* Next live session of a worker from '*cursor' (0 at first) on. Each is seen whole; those that come and go meanwhile may be missed.
 * Returns 0; -EAGAIN only free records in this stretch, call again; -ENOENT at the end. Context: control. */
int ob_session_next(unsigned worker, uint32_t *cursor, struct ob_session_info *out);

/* Of a shard; single writer, read relaxed. */
struct ob_session_counters {
	uint64_t n_live4, n_live6, n_live4_max, n_live6_max; /* and high-water marks */
	uint64_t n_added, n_deleted, n_expired, n_flushed, n_reopened;
	uint64_t n_displaced; /* index entries moved to make room */
	uint64_t n_refused_full, n_refused_live, n_refused_half_open, n_refused_proto, n_exist;
	uint64_t n_wheel_visits, n_frag_live, n_frag_live_max;
	uint64_t n_displaced_max; /* most of one insertion */
	uint64_t reserved[5];
};
void ob_session_counters_read(unsigned worker, struct ob_session_counters *out);

/* Memory of a shard that its connections occupy, and that its fixed parts do, in bytes. Context: control. */
void ob_session_memory(unsigned worker, uint64_t *records, uint64_t *index, uint64_t *fixed);
