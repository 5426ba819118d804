/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share: the vif object, a running queue, a worker's scratch. */
#pragma once

#include <errno.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include <rte_spinlock.h>

#include "ob_irq.h"
#include "ob_vif.h"

#define VIF_QUEUES    (2 * OB_VIF_MAX_PAIRS)
#define VIF_PREFETCH  8 /* packets ahead of the one that is copied */
#define VIF_FRAME_MIN 14u
#define VIF_FRAME_MAX (65535u + 22u) /* largest IP packet behind two VLAN tags */
/* Most bytes that one poll takes from one guest, so that super-packets do not starve the worker's other guests. */
#define VIF_POLL_BYTES (512u * 1024u)
/* Most receive buffers that one packet may take; 64 KiB into the smallest buffers that Linux posts takes 44. */
#define VIF_PKT_BUFS 256u
#define VIF_STOCK    (VIF_PKT_BUFS + OB_BURST_MAX)
/* Room for the longest chain that is taken (indirect ones may be longer than the queue), and as much again, so that there always
 * is that room after compaction. */
#define VIF_SEGS (2u * OB_VIRTQ_MAX_SIZE)

/* Arena region "vif.<idx>". */
#define VIF_ARENA_LAYOUT 1
struct vif_arena {
	struct ob_virtq_state state[VIF_QUEUES];
	struct ob_vif_queue_counters counters[VIF_QUEUES];
};

struct vif_worker;

/* What the guest takes (receive queues) or may send (transmit queues), from the features. */
enum vif_queue_flags {
	VIF_Q_MERGE = 1 << 0,
	VIF_Q_CSUM = 1 << 1,
	VIF_Q_TSO4 = 1 << 2,
	VIF_Q_TSO6 = 1 << 3,
	VIF_Q_ECN = 1 << 4,
	VIF_Q_HASH = 1 << 5,
};

/* A running queue. Written by its worker only, once published. */
struct vif_queue {
	struct ob_virtq *vq;
	struct ob_vif *vif;
	struct vif_worker *vw;
	struct ob_worker *worker; /* the owner; others read it to know whom to hand over to */
	struct ob_vif_queue_counters *counters;
	struct ob_virtq_state *state;
	struct vif_queue *next_dirty;
	struct ob_burst *edge; /* receive queues: packets that wait for the end of the round */
	int irq_fd;
	uint32_t vif_gen;
	uint16_t vif_idx;
	uint8_t q, pair;
	uint8_t flags; /* enum vif_queue_flags */
	uint8_t hdr_len;
	bool packed;
	bool dirty;    /* on the worker's list */
	bool reported; /* that it is broken */
};

/* What one delivery works with. Receive buffers popped and not yet pushed: [0, first) filled, [first, n) free; packets that went
 * out and wait to be freed together; counts, written once. */
struct vif_stock {
	unsigned first, n, n_segs, n_done;
	uint64_t n_pkts, n_bytes, n_gso;
	struct rte_mbuf *done[OB_BURST_MAX];
	struct ob_virtq_chain chain[VIF_STOCK];
	uint32_t written[VIF_STOCK];
	struct ob_virtq_seg seg[VIF_SEGS];
};

/* What one worker sends to a port at the end of the round. */
#define VIF_PORT_BUF 128
struct vif_port_tx {
	unsigned n;
	uint16_t queue;
	bool dirty; /* on the worker's list */
	struct vif_port_tx *next_dirty;
	struct vif_port *port;
	struct vif_worker *vw;
	struct ob_vif_queue_counters *counters; /* under the lock where the queue is shared */
	struct rte_mbuf *pkt[VIF_PORT_BUF];
} __rte_cache_aligned;

/* A receive queue of a port: a worker's source. */
struct vif_port_rx {
	struct vif_port *port;
	struct vif_worker *vw;
	struct ob_vif_queue_counters *counters;
	uint16_t queue;
};

struct vif_port {
	struct ob_vif_port_conf conf;
	struct ob_vif *vif;
	uint16_t vif_idx;
	unsigned n_workers;
	bool multi_seg, shared_txq;
	rte_spinlock_t lock[OB_VIF_MAX_PAIRS]; /* by transmit queue */
	struct vif_port_rx rx[OB_VIF_MAX_PAIRS];
	struct vif_port_tx tx[OB_MAX_WORKERS]; /* by worker */
};

/* One worker's scratch. The dirty lists hold what has something in its buffer. */
struct vif_worker {
	struct vif_queue *dirty;
	struct vif_port_tx *dirty_ports;
	unsigned n_queues; /* control's: the scratch goes with the last queue */
	struct ob_burst in;
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS];
	struct vif_stock stock;
};

struct vif_filter {
	struct ob_vif_filter conf;
};

/* Toeplitz by nibbles: 72 lookups at most, in 4.6 KB; a table per byte would be 37 KB a function. */
#define VIF_HASH_BYTES 36
struct vif_steering {
	struct ob_vif_steering conf;
	uint32_t nibble[2 * VIF_HASH_BYTES][16];
};

struct ob_vif {
	struct ob_vif_conf conf;
	uint16_t idx;
	uint32_t gen; /* tells this function from the next one of its index; not 0 */
	uint32_t link_up;
	uint64_t features;
	const struct vif_filter *filter;     /* RCU; NULL: all pass */
	const struct vif_steering *steering; /* RCU; NULL: pair 0 */
	struct vif_queue *queue[VIF_QUEUES]; /* RCU; NULL: not running */
	int32_t queue_worker[VIF_QUEUES];    /* for kicks from any thread; -1: not running */
	uint32_t broken;		     /* bit per queue: event not yet delivered */
	struct vif_port *port;		     /* RCU; NULL: virtqueues */
	struct vif_arena *arena;
	void (*on_broken)(void *ctx, unsigned q);
	void *on_broken_ctx;
};

extern ob_vif_input_fn vif_input;

/* Tells control, once a break. Context: owner. */
void vif_queue_broke(struct vif_queue *q);

/* queue.c: a worker's scratch, there while something of the worker uses it. Returns 0, -ENOMEM, -ENOSPC. */
int vif_worker_get(struct ob_worker *w, struct vif_worker **out);
void vif_worker_put(struct ob_worker *w);

/* port.c */
void vif_port_flush(struct ob_worker *w, struct vif_port_tx *t);
/* What a port cannot take as it is: super-packets, checksums to be filled in. */
void vif_port_put_slow(
    struct ob_worker *w, struct vif_port_tx *t, struct rte_mbuf *m, struct ob_meta *meta);

/* guest_rx.c: the source of a transmit queue. */
unsigned vif_tx_poll(struct ob_worker *w, void *arg);
bool vif_tx_arm(struct ob_worker *w, void *arg);
void vif_tx_disarm(struct ob_worker *w, void *arg);

/* guest_tx.c: empties one edge buffer, or all of a worker's. */
void vif_deliver(struct ob_worker *w, struct vif_queue *q);
void vif_flush(struct ob_worker *w, void *vw);

/* filter.c */
bool vif_filter_pass(const struct vif_filter *f, const uint8_t *frame, const struct ob_meta *meta);

/* steer.c. '*report': VIRTIO_NET_HASH_REPORT_*. */
int vif_steering_create(
    const struct ob_vif_steering *conf, uint16_t max_pairs, struct vif_steering **out);
uint32_t vif_rss_hash(const struct vif_steering *s, const struct rte_mbuf *pkt,
    const struct ob_meta *meta, uint16_t *report);
unsigned vif_steer(
    const struct vif_steering *s, const struct rte_mbuf *pkt, const struct ob_meta *meta);

/* gro.c: merges in place what belongs together; returns how many packets are left. Order within a flow is kept. */
unsigned vif_gro(struct rte_mbuf **pkts, struct ob_meta *meta, unsigned n, bool tso4, bool tso6);

/* Single writer, readers anywhere: no read-modify-write is needed, only no torn store. */
static inline void vif_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void vif_port_add(struct ob_worker *w, struct vif_port_tx *t, struct rte_mbuf *m)
{
	if (unlikely(t->n == VIF_PORT_BUF))
		vif_port_flush(w, t);
	if (!t->dirty) {
		t->dirty = true;
		t->next_dirty = t->vw->dirty_ports;
		t->vw->dirty_ports = t;
	}
	t->pkt[t->n++] = m;
}

static inline void vif_signal(struct vif_queue *q)
{
	int rc;

	if (q->irq_fd < 0)
		return;
	rc = ob_irq_signal(q->irq_fd);
	if (rc == 0) {
		vif_count(&q->counters->n_irqs, 1);
	} else if (unlikely(rc == -EDEADLK)) {
		ob_virtq_break(q->vq, OB_VIRTQ_BLOCKED);
		vif_queue_broke(q);
	}
}
