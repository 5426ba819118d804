/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/session only. */
#pragma once

#include <assert.h>

#include <rte_prefetch.h>

#include "ob_session.h"

#define SESSION_LAYOUT 1
#define ENIS_LAYOUT    1

/* A session's name inside this folder: the reference of its direction 0. Bit 0 set: the head of a list instead. */
#define ID_NIL	    UINT32_MAX
#define ID_HEAD(i)  ((uint32_t)(i) << 1 | 1)
#define REC_MAX	    (1u << 29)
#define WHEEL_SLOTS 4096u /* ticks that the wheel looks ahead */
#define WHEEL_LANES 8u	  /* lists per slot: what is walked side by side */
#define BUCKET_KEYS 8u

/* ---- the index ---- */

/* One cache line. A signature is 14 bits of the hash, a 1, and a bit that tells whether the entry lies in its second bucket. */
struct ob_session_bucket {
	uint16_t sig[BUCKET_KEYS]; /* 0: free */
	uint32_t ref[BUCKET_KEYS];
	/* 32 counters of 4 bits, by signature: entries whose first bucket this is and that lie in their second. While it is 0, a miss
	 * need not look there. 15 sticks. */
	uint64_t away[2];
};
static_assert(sizeof(struct ob_session_bucket) == 64, "arena layout");

/* ---- what no packet touches ---- */

struct ob_session_cold {
	uint32_t eni_prev, eni_next; /* list of the ENI; eni_next: also of the free ones */
	uint32_t wheel_prev, wheel_next;
	uint32_t tag;
	uint32_t created; /* tick | FIRST_SLOT: bit 0 is not the tick's */
	/* What was carried out of the lines' counters; sticks at its end. */
	uint16_t pkts_hi[2], bytes_hi[2];
};
static_assert(sizeof(struct ob_session_cold) == 32, "arena layout");

/* Of 'created': the session is still where it was put into the wheel when it was made. */
#define FIRST_SLOT 1u

/* Records of one kind. */
struct session_pool {
	uint32_t max;
	uint32_t high; /* records ever used */
	uint32_t free; /* list through eni_next */
	uint32_t limbo, limbo_last;
	uint32_t n_live;
	uint32_t n_buckets;
	uint32_t reserved;
};

#define N_SEEDS 6

/* First page of a shard's region. */
struct ob_session_region {
	uint64_t seed[N_SEEDS];
	struct session_pool pool[2]; /* IPv4, IPv6 */
	uint32_t wheel_at;	     /* tick whose slot is worked on */
	uint32_t n_frags;	     /* places of the fragments' table */
	uint32_t flush_seen;	     /* of *session_flushes */
	uint32_t doomed;	     /* there may be lists of sessions to be flushed */
	uint32_t reserved[4];
	uint32_t eni_flush[OB_SESSION_MAX_ENIS]; /* struct ob_session_eni.flush as last seen */
	struct ob_session_counters n;
};

/* Lists of a shard: [eni] its sessions, [OB_SESSION_MAX_ENIS + eni] those to be flushed. Stored plus one: 0 is an empty list,
 * as a fresh region has it. The same for the wheel. */
#define N_LISTS (2 * OB_SESSION_MAX_ENIS)

extern uint32_t *session_flushes; /* sum of all flush counts */
extern void (*session_on_delete)(unsigned worker, uint16_t eni, uint32_t tag);

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline unsigned family_of(uint32_t id)
{
	return id >> 31;
}
static inline uint32_t rec_of(uint32_t id)
{
	return (id & ~OB_SESSION_V6) >> 1;
}
static inline uint32_t id_of(unsigned six, uint32_t rec)
{
	return (six ? OB_SESSION_V6 : 0) | rec << 1;
}

static inline struct ob_session_cold *cold_of(const struct ob_session_shard *s, uint32_t id)
{
	return id & OB_SESSION_V6 ? &s->cold6[rec_of(id)] : &s->cold4[rec_of(id)];
}

static inline uint32_t ctx_proto_of(const struct ob_session_shard *s, uint32_t id)
{
	const struct ob_session_dir6 *d;

	if ((id & OB_SESSION_V6) == 0)
		return s->rec4[id].key.ctx_proto;
	d = &s->rec6[id & ~OB_SESSION_V6];
	return d->family == 4 ? d->key.v4.ctx_proto : d->key.v6.ctx_proto;
}
static inline uint16_t eni_of(const struct ob_session_shard *s, uint32_t id)
{
	return (uint16_t)(ctx_proto_of(s, id) >> 8);
}

static inline void prefetch_record(const struct ob_session_shard *s, uint32_t id)
{
	rte_prefetch0(cold_of(s, id));
	rte_prefetch0(ob_session_line(s, id));
	rte_prefetch0(ob_session_line(s, id | 1));
}

static inline void set64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}
static inline void set32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}
static inline void count(uint64_t *p, uint64_t n)
{
	set64(p, *p + n);
}

/* index.c */
uint64_t session_hash4(const struct ob_session_shard *s, const struct ob_session_key4 *k);
uint64_t session_hash6(const struct ob_session_shard *s, const struct ob_session_key6 *k);
uint32_t session_lookup4(
    const struct ob_session_shard *s, const struct ob_session_key4 *k, uint64_t h);
uint32_t session_lookup6(
    const struct ob_session_shard *s, const struct ob_session_key6 *k, uint64_t h);
void session_index_prefetch(const struct ob_session_shard *s, unsigned six, uint64_t h);
/* Returns 0, -ENOSPC. */
int session_index_add(struct ob_session_shard *s, unsigned six, uint64_t h, uint32_t ref);
void session_index_del(struct ob_session_shard *s, unsigned six, uint64_t h, uint32_t ref);
uint64_t session_index_count(const struct ob_session_shard *s, unsigned six);

/* lists.c: 'list' < N_LISTS; the wheel */
void session_list_add(struct ob_session_shard *s, unsigned list, uint32_t id);
void session_list_del(struct ob_session_shard *s, uint32_t id);
uint32_t session_list_first(const struct ob_session_shard *s, unsigned list);
void session_list_splice(struct ob_session_shard *s, unsigned to, unsigned from);
void session_wheel_add(struct ob_session_shard *s, uint32_t id, uint32_t due);
void session_wheel_del(struct ob_session_shard *s, uint32_t id);
/* First of a chain, chain = (tick % WHEEL_SLOTS) * WHEEL_LANES + lane. Heads hold the id plus one. */
static inline uint32_t session_wheel_first(const struct ob_session_shard *s, uint32_t chain)
{
	return s->wheel[chain] - 1;
}

/* table.c */
/* Returns 0, -ENOSPC: neither key is in the index then. */
int session_index_both(struct ob_session_shard *s, uint32_t id);
void session_free_record(struct ob_session_shard *s, uint32_t id);
void session_set_dead(struct ob_session_shard *s, uint32_t id);
void session_prefetch_end(const struct ob_session_shard *s, uint32_t id);
void session_link(struct ob_session_shard *s, uint32_t id);
void session_end(struct ob_session_shard *s, uint32_t id);

/* eni.c */
int session_enis_init(struct ob_arena *a);
bool session_is_half_open(unsigned state);
/* Returns 0, -EDQUOT, -EUSERS. */
int session_eni_take(uint16_t eni, bool half_open);
/* Of a session that was there before this process: no limit holds it back. */
void session_eni_take_over(uint16_t eni, bool half_open);
void session_eni_half_open(uint16_t eni, int by);
void session_eni_put(uint16_t eni, bool half_open);

static inline uint32_t timeout_of(uint16_t eni, unsigned state)
{
	return __atomic_load_n(&ob_session_enis[eni].timeout[state], __ATOMIC_RELAXED);
}
static inline uint32_t eni_flags(uint16_t eni)
{
	return __atomic_load_n(&ob_session_enis[eni].flags, __ATOMIC_RELAXED);
}

/* keys.c */
/* Ports word of a packet whose L4 header is there, or of the first fragment of one. As ob_session_ports_slow. */
unsigned session_l4_ports(const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ports);

/* May this packet open a connection? Not an answer that nobody asked for, nor a later fragment, which may be of one. */
bool session_icmp_opens(uint8_t proto, const struct rte_mbuf *pkt, const struct ob_meta *meta);

/* frag.c */
#define SESSION_MAX_FRAGMENTED (1u << 20)
uint64_t session_frag_bytes(uint32_t max);
void session_frag_init(struct ob_session_shard *s, uint32_t max);

/* track.c */
/* State of a connection that this packet opens, and what it tells of its sender. Returns the state, -EPROTO. */
int session_open(uint16_t eni, uint8_t proto, struct ob_session_line line[2],
    const struct rte_mbuf *pkt, const struct ob_meta *meta);
/* Puts a complete record into its first state. */
void session_start(struct ob_session_shard *s, uint32_t id, unsigned state);
/* Sets the state of both directions, how they are tracked from now on, and moves the session in the wheel if it is due earlier. */
void session_set_state(struct ob_session_shard *s, uint32_t id, unsigned state);
/* How its two directions are tracked in this state. */
void session_set_fast(struct ob_session_shard *s, uint32_t id, unsigned state);
/* Tick at which it ends if no packet comes. */
uint32_t session_due(const struct ob_session_shard *s, uint32_t id);

/* sctp.c */
int session_sctp_open(
    struct ob_session_line line[2], const struct rte_mbuf *pkt, const struct ob_meta *meta);
unsigned session_sctp_track(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta);

/* tcp.c */
int session_tcp_open(uint16_t eni, struct ob_session_line line[2], const struct rte_mbuf *pkt,
    const struct ob_meta *meta);
unsigned session_tcp_track(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta);
/* Is it a sequence number of something that the sender of 'l' has in flight? */
bool session_tcp_in_flight(
    const struct ob_session_line *l, const struct ob_session_line *peer, uint32_t seq);
#define TCP_SCALE   0x0f
#define TCP_LIBERAL 0x10 /* its windows are not known: not checked */
#define TCP_KNOWN   0x20 /* end and max_end say something */
#define TCP_ACKED   0x40 /* max_ack does */
#define TCP_FIN	    0x80 /* it sent a FIN; 'end' is one past it */
