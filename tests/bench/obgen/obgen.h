/* SPDX-License-Identifier: BSD-3-Clause */
/* net_obgen: what its parts share. README.md has the picture and the meaning of every argument. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define OBG_MAX_QUEUES	16
#define OBG_MAX_FLOWS	10000000u
#define OBG_MAX_FRAME	9000u
#define OBG_MAX_WINDOWS 64
#define OBG_N_SECONDS	300
#define OBG_BURST	64
#define OBG_OUTER	50 /* Ethernet, IPv4, UDP, VXLAN or Geneve without options */
#define OBG_L4		34 /* in an inner frame: Ethernet and IPv4 come before it */
#define OBG_UDP_DATA	42
#define OBG_TCP_DATA	54

enum obg_role { OBG_GUEST, OBG_WIRE };
enum obg_mode { OBG_ESTABLISHED, OBG_CRR, OBG_LATENCY };
enum obg_encap { OBG_VXLAN, OBG_GENEVE, OBG_NONE };
enum obg_expect { OBG_WANT_PLAIN, OBG_WANT_TUNNEL, OBG_WANT_ANY };

/* In order; what is emitted in which is rx.c's business. */
enum obg_phase { OBG_WAIT, OBG_OPEN, OBG_WARM, OBG_MEASURE, OBG_DONE, OBG_STOPPED };

/* The packets of a connection, in order. The guest sends 0, 2, 3 and 5. UDP: the first two. Opening TCP: the first three. */
enum obg_step {
	OBG_SYN,
	OBG_SYN_ACK,
	OBG_ACK,
	OBG_REQUEST,
	OBG_RESPONSE,
	OBG_LAST_ACK,
	OBG_N_STEPS,
};

static inline enum obg_role obg_step_sender(uint32_t step)
{
	return step == OBG_SYN_ACK || step == OBG_RESPONSE ? OBG_WIRE : OBG_GUEST;
}

/* Forms of a received packet, and what can be wrong with one. */
enum obg_kind { OBG_K_PLAIN, OBG_K_VXLAN, OBG_K_GENEVE, OBG_K_ARP, OBG_K_OTHER, OBG_N_KINDS };

enum obg_err {
	OBG_E_SHORT,	 /* cut off within a header */
	OBG_E_FORM,	 /* plain where a tunnel is expected, or the other way round, or neither */
	OBG_E_OUTER_ETH, /* not to far_mac */
	OBG_E_OUTER_IP,	 /* header fields, length, addresses */
	OBG_E_OUTER_SUM, /* IPv4 or UDP checksum */
	OBG_E_OUTER_UDP, /* length, ports */
	OBG_E_TUNNEL,	 /* flags, VNI, protocol */
	OBG_E_INNER_ETH, /* toward the guest: not to its address */
	OBG_E_INNER_IP,	 /* header fields, length, TTL */
	OBG_E_INNER_SUM, /* IPv4 checksum */
	OBG_E_TUPLE,	 /* a connection that there is not, or its other direction */
	OBG_E_L4,	 /* header fields, length */
	OBG_E_L4_SUM,	 /* TCP or UDP checksum */
	OBG_E_SEQ,	 /* hand-shakes: not the sequence numbers that were sent */
	OBG_E_ORDER,	 /* hand-shakes: not the packet that comes next */
	OBG_E_STAMP,	 /* a time that has not come */
	OBG_N_ERRS,
	OBG_OK = OBG_N_ERRS,
};

extern const char *const obg_kind_names[OBG_N_KINDS];
extern const char *const obg_err_names[OBG_N_ERRS];
extern const char *const obg_phase_names[];
extern const char *const obg_mode_names[];
extern const char *const obg_encap_names[];

/* The pair's arguments. Addresses are in network order except 'peer'. */
struct obg_conf {
	enum obg_mode mode;
	enum obg_encap encap;
	uint32_t flows, live, inflight, vni;
	double zipf, rate, touch, warm, measure;
	unsigned windows;
	uint16_t size; /* 0: imix */
	bool tcp, open;
	rte_be32_t card, far, guest;
	uint32_t peer, peers;
	unsigned peers_log2;
	uint16_t dport;
	uint8_t ttl_drop;
	struct rte_ether_addr far_mac, guest_mac, peer_mac, gw_mac;
	const char *go, *report; /* NULL: none */
};

/* One port's. */
struct obg_port_conf {
	enum obg_role role;
	enum obg_expect expect;
	unsigned queues, check;
	bool txcsum;
	struct rte_ether_addr mac;
};

/* Headers of one kind of packet, and what of its checksums does not change. Sums are of words as they lie in memory. */
struct obg_tmpl {
	uint8_t b[128];
	uint16_t copy; /* bytes of b that are written: 64 or 128 */
	uint16_t len, payload;
	uint16_t stamp_at; /* in the inner frame */
	uint64_t stamp_mask;
	uint32_t ip_sum;
	uint64_t l4_sum;
	uint32_t packet_type;
};

enum { OBG_T_DATA, OBG_T_SYN = 3, OBG_T_ACK, OBG_T_FIN, OBG_N_TMPL };

struct obg_zipf {
	uint32_t log2_rank[257]; /* of twice the rank, by probability; 27 fractional bits */
	uint32_t exp2_frac[257]; /* 31 fractional bits */
};

/* Walks the connections [base, base+n) in scattered order, each once a round. */
struct obg_walk {
	uint32_t base, n, at, stride, left;
	uint32_t round;
	uint64_t inverse; /* 2^64 / n */
	uint32_t *list;	  /* instead of base.. when several queues share the connections */
};

/* When packets are due. Times are TSC since the pair's start, << 12. */
struct obg_pace {
	uint64_t period, next; /* period 0: at once */
	uint64_t backlog;      /* how many can wait */
};

#define OBG_SUB_BITS 6
#define OBG_N_BINS   ((65 - OBG_SUB_BITS) << OBG_SUB_BITS)

struct obg_hist {
	uint64_t n, sum, min, max;
	uint64_t bin[OBG_N_BINS];
};

struct obg_port;
struct obg_pair;

struct obg_rxq {
	struct obg_port *port;
	struct rte_mempool *mp;
	uint16_t idx, n_desc;
	bool zeroed; /* the pool's buffers hold nothing but headers of ours */
	uint64_t rearm, ol_flags;
	uint64_t rng;
	unsigned imix_at;
	struct obg_walk walk, live; /* 'live': the connections beside those of crr */
	struct obg_pace pace, live_pace;
	uint32_t launch, lap, sweep; /* hand-shakes: next connection, how often around, next slot */
	struct rte_ring *steps;	     /* hand-shake packets to send: connection << 8 | step */
	unsigned run;		     /* of the pair, as it was when this queue set itself up */
	pthread_t thread;
	bool has_thread;
	clockid_t cpu;
	uint64_t pkts, bytes, missed, nombuf, retries, timeouts;
} __rte_cache_aligned;

struct obg_out {
	unsigned n;
	void *e[OBG_BURST + 2];
};

struct obg_txq {
	struct obg_port *port;
	uint16_t idx;
	unsigned until_check, hist_run;
	uint64_t pkts, bytes, checked, opened, connections;
	uint64_t kinds[OBG_N_KINDS], errs[OBG_N_ERRS];
	struct obg_out
	    out[OBG_MAX_QUEUES]; /* steps for the port's receive queues, sent once a burst */
	struct obg_hist hist;
	uint8_t linear[OBG_MAX_FRAME + OBG_OUTER];
} __rte_cache_aligned;

/* Sequence numbers of a step, relative to the first ones of both sides. */
struct obg_number {
	uint32_t seq, ack, ack_mask;
	uint8_t tmpl, sender;
};

struct obg_totals {
	uint64_t emitted, emitted_bytes, received, received_bytes, missed, errors, connections,
	    timeouts;
	uint64_t cpu_ns;
	unsigned threads;
};

struct obg_arp {
	uint32_t state; /* 0 free, 1 being written, 2 to be answered */
	struct rte_ether_addr to;
	rte_be32_t to_ip, ip;
};

struct obg_port {
	char name[64];
	uint16_t port_id;
	struct obg_pair *pair;
	struct obg_port_conf conf;
	bool tunnel; /* what it emits */
	bool started;
	unsigned n_rxq, n_txq;
	struct obg_rxq *rxq[OBG_MAX_QUEUES];
	struct obg_txq *txq[OBG_MAX_QUEUES];
	struct obg_tmpl tmpl[OBG_N_TMPL];
	struct obg_arp arp;
	struct rte_ether_addr mac;
	struct obg_totals zero; /* what its statistics count from */
};

/* One hand-shake under way. Written by whoever sees its next packet. */
struct obg_slot {
	uint32_t flow;
	uint32_t isn[2]; /* by side */
	uint32_t next;	 /* the step that has to be seen next; OBG_FREE */
	uint32_t tries;
	uint64_t since; /* TSC since the pair's start */
};

#define OBG_FREE UINT32_MAX

struct obg_window {
	double seconds;
	struct obg_totals d;
	struct obg_hist *hist; /* NULL where none was kept */
};

struct obg_second {
	double t;
	enum obg_phase phase;
	struct obg_totals d;
};

struct obg_pair {
	char name[32];
	struct obg_pair *next;
	struct obg_conf conf;
	struct obg_port *port[2]; /* by role */
	uint32_t phase;		  /* enum obg_phase; written by the control thread */
	uint32_t run;
	uint32_t hist_run; /* a new number: begin histograms anew */
	uint32_t total;	   /* connections, those of 'live' among them */
	uint32_t isn;	   /* grows with time */
	uint64_t tsc0;	   /* stamps count from here */
	bool advance;	   /* TCP data moves on */
	bool zeroed;
	struct obg_zipf zipf;
	struct obg_number number[OBG_N_STEPS];
	struct obg_slot *slot; /* conf.inflight of them */
	uint64_t timeout_tsc;
	char *value[64]; /* arguments as they were given, by their place in the table of args.c */

	/* control thread */
	pthread_t control;
	bool running, quit;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	double start_s, open_s, opened_s;
	unsigned n_windows;
	struct obg_window window[OBG_MAX_WINDOWS];
	unsigned n_seconds;
	struct obg_second second[OBG_N_SECONDS];
};

/* (DPDK's own are volatile assembly, of which nothing can be computed ahead, and an exchange of halves is slow) */
static inline uint16_t obg_be16(uint16_t v)
{
	return RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN ? __builtin_bswap16(v) : v;
}

static inline uint32_t obg_be32(uint32_t v)
{
	return RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN ? __builtin_bswap32(v) : v;
}

/* ---- plan.c -------------------------------------------------------------------------------------------------------- */

/* Connection 'f' of the plan: remote address in network order, ports in host order. */
static inline rte_be32_t obg_flow_peer(const struct obg_conf *c, uint32_t f)
{
	return obg_be32(c->peer + (f & (c->peers - 1)));
}

static inline uint16_t obg_flow_sport(const struct obg_conf *c, uint32_t f)
{
	return (uint16_t)(1024 + ((f >> c->peers_log2) & 32767));
}

static inline uint16_t obg_flow_dport(const struct obg_conf *c, uint32_t f)
{
	return (uint16_t)(c->dport + (f >> c->peers_log2 >> 15));
}

/* Symmetric: the same for both directions. */
static inline uint32_t obg_flow_hash(const struct obg_conf *c, uint32_t f)
{
	uint64_t a = c->guest ^ obg_flow_peer(c, f);
	uint64_t p = (uint64_t)(obg_flow_sport(c, f) ^ obg_flow_dport(c, f));

	return (uint32_t)(((a << 16 ^ p) * 0x9e3779b97f4a7c15) >> 32);
}

static inline uint16_t obg_outer_sport(uint32_t hash)
{
	return (uint16_t)(49152 | (hash >> 16 & 0x3fff));
}

static inline uint32_t obg_outer_hash(const struct obg_conf *c, uint16_t sport)
{
	return (uint32_t)(((uint64_t)(c->card ^ c->far) << 16 ^ sport) * 0x9e3779b97f4a7c15 >> 32);
}

/* The receive queue of a port on which connection 'f' arrives. */
static inline unsigned obg_flow_queue(
    const struct obg_port *port, const struct obg_conf *c, uint32_t f)
{
	uint32_t hash;

	if (port->n_rxq == 1)
		return 0;
	hash = obg_flow_hash(c, f);
	if (port->tunnel)
		hash = obg_outer_hash(c, obg_outer_sport(hash));
	return (unsigned)((uint64_t)hash * port->n_rxq >> 32);
}

/* Returns the connection of these, or UINT32_MAX where the plan of 'n' has none. Ports in host order. */
uint32_t obg_flow_of(
    const struct obg_conf *c, uint32_t n, rte_be32_t peer, uint16_t sport, uint16_t dport);

/* 'n' > 0 connections from 'base' on; 'half': begin in the middle of the order. */
void obg_walk_init(struct obg_walk *w, uint32_t base, uint32_t n, bool half);
/* Only those connections that arrive at queue 'q' of the port. -ENOMEM. */
int obg_walk_pick(struct obg_walk *w, const struct obg_port *port, unsigned q, bool half);

/* The next 'n' connections, and in which round each is. */
void obg_walk_fill(struct obg_walk *w, uint32_t *flow, uint32_t *round, unsigned n);
/* The same by Zipf's law; there are no rounds. */
void obg_walk_zipf(
    struct obg_walk *w, const struct obg_zipf *z, uint64_t *rng, uint32_t *flow, unsigned n);

/* 's': the exponent, 0.5 to 1.5. */
void obg_zipf_init(struct obg_zipf *z, double s, uint32_t n);
/* ---- packet.c ------------------------------------------------------------------------------------------------------ */

void obg_templates(struct obg_port *port);
/* First sequence number of a side of a connection. */
uint32_t obg_isn(const struct obg_pair *pair, enum obg_role side, uint32_t flow);
/* Fills pair->number[] from the templates. */
void obg_numbers(struct obg_pair *pair);
/* A hand-shake's packet into the mbuf. Context: owner of the queue. */
void obg_emit_step(struct obg_rxq *q, struct rte_mbuf *m, const struct obg_slot *slot,
    enum obg_step step, uint64_t now);
void obg_emit_arp(struct obg_rxq *q, struct rte_mbuf *m, const struct obg_arp *arp);
/* A burst of data, at most OBG_BURST. 'due': the first one's stamp, 'period': what is added for each further one; both << 12. */
void obg_emit_data(struct obg_rxq *q, struct obg_walk *w, struct rte_mbuf **m, unsigned n,
    uint64_t due, uint64_t period);

/* ---- parse.c ------------------------------------------------------------------------------------------------------- */

struct obg_parsed {
	enum obg_kind kind;
	enum obg_role from; /* whose packet it is */
	uint32_t flow, seq, ack;
	uint8_t tcp_flags;
	uint16_t payload;
	bool has_stamp;
	uint64_t stamp;
	struct obg_arp arp; /* of a request, with 'state' 2 */
};

/* Takes a frame apart and holds it against the plan. 'sums': check checksums too, but not those that 'ol_flags' leave to the port. */
enum obg_err obg_parse(const struct obg_port *port, const uint8_t *b, uint32_t len, bool sums,
    uint64_t ol_flags, struct obg_parsed *out);

/* The same without checks, where every packet has to be read: 'kind', 'from', 'flow' and what TCP and the payload say. False: not as usual,
 * to be parsed in full. */
bool obg_parse_quick(
    const struct obg_port *port, const uint8_t *b, uint32_t len, struct obg_parsed *out);

/* ---- rx.c, sink.c, talk.c ------------------------------------------------------------------------------------------ */

uint16_t obg_rx_burst(void *q, struct rte_mbuf **pkts, uint16_t n);
uint16_t obg_tx_burst(void *q, struct rte_mbuf **pkts, uint16_t n);
/* Fills pkts with packets of hand-shakes, answers first. Returns how many. */
uint16_t obg_talk_rx(struct obg_rxq *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now);
/* A packet of a hand-shake has come out. Returns OBG_OK or what is wrong with it. */
enum obg_err obg_talk_seen(struct obg_txq *q, const struct obg_parsed *p, uint64_t now);
void obg_talk_flush(struct obg_txq *q);
/* What a receive queue does differently from now on. Context: its owner, when it sees that the pair's run is another. */
void obg_rxq_new_run(struct obg_rxq *q);

/* ---- hist.c, report.c ---------------------------------------------------------------------------------------------- */

void obg_hist_clear(struct obg_hist *h);
void obg_hist_merge(struct obg_hist *to, const struct obg_hist *from);
/* The value below which a part 'p' (0 to 1) lies. */
uint64_t obg_hist_at(const struct obg_hist *h, double p);

static inline void obg_hist_add(struct obg_hist *h, uint64_t v)
{
	unsigned e = v >> OBG_SUB_BITS ? 63 - (unsigned)__builtin_clzll(v) - OBG_SUB_BITS + 1 : 0;
	unsigned i =
	    e == 0 ? (unsigned)v
		   : (e << OBG_SUB_BITS) + (unsigned)((v >> (e - 1)) & ((1u << OBG_SUB_BITS) - 1));

	h->bin[i]++;
	h->n++;
	h->sum += v;
	h->min = RTE_MIN(h->min, v);
	h->max = RTE_MAX(h->max, v);
}

/* Writes conf.report, replacing it whole. Context: control thread, or with it stopped. */
void obg_report(struct obg_pair *pair);

/* ---- args.c, pair.c ------------------------------------------------------------------------------------------------ */

/* Returns 0; -EINVAL (told in the log): unknown, malformed, or not what the other port of the pair said. Fills the port's own and keeps
 * the pair's; 'pair_name' has room for 32 bytes. */
int obg_args_port(const char *args, struct obg_port_conf *conf, char *pair_name);
int obg_args_pair(const char *args, struct obg_pair *pair);
/* What depends on each other, once both ports have said what they have to. 0; -EINVAL, told in the log. */
int obg_args_settle(struct obg_pair *pair);

struct obg_pair *obg_pair_get(const char *name);
void obg_pair_put(struct obg_pair *pair);
/* Both ports have started: from now on packets flow. -EINVAL, -ENOMEM, -EAGAIN. */
int obg_pair_start(struct obg_pair *pair);
void obg_pair_stop(struct obg_pair *pair);
void obg_pair_totals(const struct obg_pair *pair, struct obg_totals *t);

static inline uint64_t obg_now(const struct obg_pair *pair)
{
	return rte_rdtsc() - pair->tsc0;
}

static inline enum obg_phase obg_phase_of(const struct obg_pair *pair)
{
	/* Pairs with the release in pair.c: what was set up before a phase is seen with it. */
	return (enum obg_phase)__atomic_load_n(&pair->phase, __ATOMIC_ACQUIRE);
}
