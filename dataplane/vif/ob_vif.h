/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet side of a virtio-net function, whatever its transport: virtqueues in, mbufs out, and the other way.
 *
 * The device model (control) creates a vif, tells it the negotiated features and starts queues; from then on a worker owns
 * each queue. Queue pair i has receive queue 2i (card to guest) and transmit queue 2i+1 (guest to card), virtio 1.2, 5.1.2.
 * The control queue is not a vif matter.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ob_virtq.h"
#include "ob_worker.h"

#define OB_VIF_MAX_PAIRS 16
#define OB_VIF_NAME_MAX	 32
#define OB_VIF_MAX_MACS	 64
#define OB_VIF_RSS_MAX	 128 /* largest indirection table that the device offers */
#define OB_VIF_RSS_KEY	 40  /* bytes of the Toeplitz key that the device offers */
#define OB_VIF_HASH_TYPES \
	0x3fu /* VIRTIO_NET_RSS_HASH_TYPE_*: IPv4, IPv6, TCP and UDP over each; no _EX types */

struct ob_vif;

struct ob_vif_conf {
	char name[OB_VIF_NAME_MAX];
	struct ob_gmem *gm; /* NULL: no queues of a guest, a port (ob_vif_attach_port) */
	uint16_t n_pairs;   /* most queue pairs that it can have */
	uint8_t mac[6];
	uint16_t mtu;
	/* Carries packets from the guest through the pipeline; set by who builds the pipeline (pipelines/vpc), the same for all vifs:
	 * see ob_vif_set_input. */
};

/* What the pipeline does with packets that came from a guest; called on the worker with at most OB_BURST_MAX packets. */
typedef void (*ob_vif_input_fn)(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b);
void ob_vif_set_input(ob_vif_input_fn fn);

/* Arena, for queue states and counters ("vif.<idx>"); once, before the first vif. */
int ob_vif_init(struct ob_arena *arena);

/* Takes a free index (smallest first). Context: control. Returns 0, -ENOSPC, -EINVAL, -ENOMEM, -EEXIST name. */
int ob_vif_create(const struct ob_vif_conf *conf, struct ob_vif **out);
/* All queues must be stopped. NULL is legal. */
void ob_vif_destroy(struct ob_vif *vif);

uint16_t ob_vif_idx(const struct ob_vif *vif);
const char *ob_vif_name(const struct ob_vif *vif);
/* By index: valid on a worker until the end of its round (RCU), on control always; NULL: none. */
struct ob_vif *ob_vif_get(uint16_t idx);

/* Negotiated virtio-net and ring feature bits (as virtio numbers them); before queues start. Context: control. */
void ob_vif_set_features(struct ob_vif *vif, uint64_t features);

/* Starts queue 'q' (2i / 2i+1). conf->state and conf->gm are filled in by the vif; 'irq_fd': eventfd to write for an
 * interrupt, or -1. The queue goes to worker (idx + pair) % n. 'resume': keep the arena's positions instead of starting at 0.
 * 'start_idx': for vhost, the position given by the frontend (split: index; packed: index | wrap << 15), -1 none.
 * Context: control. Returns 0, -EINVAL, -EALREADY, -EAGAIN to be resumed but its rings are not mapped,
 * or as ob_virtq_create. */
int ob_vif_start_queue(struct ob_vif *vif, unsigned q, const struct ob_virtq_conf *conf, int irq_fd,
    bool resume, int32_t start_idx);
/* Takes it from its worker; on return nobody touches it. Returns the next avail position (split index; packed index|wrap<<15) for
 * vhost's GET_VRING_BASE, or -ENOENT. Context: control. */
int32_t ob_vif_stop_queue(struct ob_vif *vif, unsigned q);
bool ob_vif_queue_running(const struct ob_vif *vif, unsigned q);
/* Replaces the interrupt eventfd; the old one is not used any more on return. */
void ob_vif_set_irq_fd(struct ob_vif *vif, unsigned q, int irq_fd);
/* The guest rang the doorbell. Any thread but a worker. */
void ob_vif_kick(struct ob_vif *vif, unsigned q);
/* True if a queue broke (malformed ring): the model sets DEVICE_NEEDS_RESET. 'on_broken' is called on the main thread's
 * poll (ob_vif_poll_events) at most once per break. */
void ob_vif_set_on_broken(struct ob_vif *vif, void (*fn)(void *ctx, unsigned q), void *ctx);
/* What broke a running queue, in a few words for a log; "sound" if nothing did, "stopped". Context: control. */
const char *ob_vif_broken_why(const struct ob_vif *vif, unsigned q);
/* Runs pending events of all vifs on the main thread; returns the number. fd: readable when there are some. */
int ob_vif_event_fd(void);
unsigned ob_vif_poll_events(void);

/* Receive filter (virtio 1.2, 5.1.6.5.1-3). Immutable copy, swapped by RCU. */
struct ob_vif_filter {
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool vlan_filter; /* VLAN filtering negotiated: only set VLANs pass */
	uint16_t n_uni, n_multi;
	uint8_t uni[OB_VIF_MAX_MACS][6], multi[OB_VIF_MAX_MACS][6];
	bool uni_overflow, multi_overflow; /* table too long: let all of the kind pass */
	uint8_t mac[6];
	uint64_t vlan[64]; /* bit per VLAN id */
};
int ob_vif_set_filter(struct ob_vif *vif, const struct ob_vif_filter *f);

/* Receive steering (5.1.6.5.5-7). n_pairs: pairs in use (VQ_PAIRS_SET). rss.enabled: hash types, key and indirection table as set by
 * the driver; else the packet's symmetric hash picks the pair. */
struct ob_vif_steering {
	uint16_t n_pairs;
	bool rss;
	bool hash_report;
	uint32_t hash_types;
	uint16_t table_len;		/* power of two */
	uint16_t table[OB_VIF_RSS_MAX]; /* pair numbers, all < n_pairs */
	uint16_t unclassified;
	uint8_t key_len;
	uint8_t key[40];
};
int ob_vif_set_steering(struct ob_vif *vif, const struct ob_vif_steering *s);
/* Pairs in use now (1..n_pairs). */
uint16_t ob_vif_pairs(const struct ob_vif *vif);
void ob_vif_set_link(struct ob_vif *vif, bool up); /* down: nothing is delivered either way */

/* ---- a port instead of virtqueues ---- */

/* The guest is behind a DPDK port: what the port receives is what the guest sent. */
struct ob_vif_port_conf {
	uint16_t
	    port_id; /* started, receive queue q filled from the pool of ob_vif_port_worker(vif, q) */
	uint16_t n_rxq, n_txq; /* 1..OB_VIF_MAX_PAIRS and at most one a worker */
	uint64_t
	    tx_offloads; /* RTE_ETH_TX_OFFLOAD_* that are on: checksums, MULTI_SEGS; the rest is done in software */
};
/* The vif has no gmem and no port yet. From here on workers own the port's queues: receive queue q belongs to worker (idx + q) % n, and
 * every worker transmits by itself (under a lock where there are fewer queues than workers). A checksum that the port found good is
 * not looked at again. Super-packets are cut up: no port gets one. Counters: of queue 2i what was sent to the port's queue i, of
 * 2i+1 what came from it. Context: control. Returns 0, -EINVAL, -EALREADY, -ENOMEM, -ENOSPC. */
int ob_vif_attach_port(struct ob_vif *vif, const struct ob_vif_port_conf *conf);
/* On return nobody touches the port; what waited has been sent. Nothing to do without a port. ob_vif_destroy does it too. Context: control. */
void ob_vif_detach_port(struct ob_vif *vif);
/* Worker that will poll receive queue 'q' of this vif's port. Context: control. */
struct ob_worker *ob_vif_port_worker(const struct ob_vif *vif, unsigned q);

/* ---- worker side ---- */

/* Queues packets for delivery to the guest; they go out at the end of the round (or when a burst is full). Picks the receive queue
 * by the steering; hands over to the worker that owns it. Consumes all packets; what cannot be delivered is dropped and
 * counted. GSO and partial-checksum packets are passed on as they are when the guest negotiated it, else segmented / completed here.
 * Received TCP segments are merged (rte_gro) toward guests that accept it. Context: worker. */
void ob_vif_output(struct ob_worker *w, struct rte_mbuf **pkts, struct ob_meta *meta,
    unsigned n); /* by meta[i].out_vif */

/* Counters of one queue, in the arena, single writer (the owner). */
struct ob_vif_queue_counters {
	uint64_t n_pkts, n_bytes, n_bursts, n_irqs, n_kicks, n_gso, n_full, n_errors;
};
int ob_vif_queue_counters(uint16_t vif_idx, unsigned q, struct ob_vif_queue_counters *out);
/* Worker that owns queue q, or -1 not running. */
int ob_vif_queue_worker(const struct ob_vif *vif, unsigned q);

/* What arrived by ob_worker_handoff with meta.out_vif set: goes on as if output here. Context: worker. */
void ob_vif_handoff_in(struct ob_worker *w, struct ob_burst *b);

/* ---- software offloads, for every way out that cannot do them ---- */

#define OB_PKT_MAX_SEGS \
	256 /* a guest's super-packet that would make more is refused when it comes in */

/* Fills in a partial checksum (OB_PKT_L4_CSUM_PARTIAL, meta->csum_start/offset) and clears the flag; nothing to do without
 * the flag. Context: worker. Returns 0, -EINVAL the field is not inside the packet. */
int ob_pkt_complete_csum(struct rte_mbuf *pkt, struct ob_meta *meta);

/* Cuts a TCP super-packet (OB_PKT_GSO, IPv4 or IPv6, payload per segment in pkt->tso_segsz) into packets of their own from
 * 'pool': linear where they fit a buffer, headroom OB_HEADROOM, lengths, IPv4 ids, sequence numbers, flags and all
 * checksums complete. On success 'pkt' is freed and meta->flags lose GSO and L4_CSUM_PARTIAL: the one 'meta' then describes
 * each segment. Needs l2_len, l3_len and l4_len of the parser. Context: worker.
 * Returns the number of segments (1..OB_PKT_MAX_SEGS); -EINVAL not a TCP super-packet, or headers not in the first mbuf segment,
 * -ENOSPC more than 'max', -ENOMEM pool empty: 'pkt' and 'meta' are then the caller's as they were. */
int ob_pkt_segment(struct rte_mbuf *pkt, struct ob_meta *meta, struct rte_mempool *pool,
    struct rte_mbuf **out, unsigned max);

/* True if the TCP or UDP checksum of a parsed, unfragmented packet is right (or partial, or UDP over IPv4 without one). */
bool ob_pkt_l4_csum_ok(const struct rte_mbuf *pkt, const struct ob_meta *meta);
