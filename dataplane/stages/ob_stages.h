/* SPDX-License-Identifier: BSD-3-Clause */
/* The stages of a packet's way, one file each; a pipeline (pipelines/) puts them into an order.
 *
 * A stage is a loop over a burst with a 'static inline' decision for one packet. Packets that part from the main way leave the
 * burst (which is compacted in place): to a drop reason, to another stage's edge buffer, to the kernel (punt).
 */
#pragma once

#include "ob_policy.h"
#include "ob_vif.h"
#include "ob_worker.h"

/* The uplink as the stages see it. */
struct ob_uplink_conf {
	uint16_t port_id;        /* DPDK ethdev, started */
	uint16_t n_rxq, n_txq;   /* queues; worker i polls rx queue i if there is one, sends on tx queue i % n_txq (locked if shared) */
	uint64_t tx_offloads;    /* RTE_ETH_TX_OFFLOAD_* that are enabled on the port */
	uint64_t rx_offloads;
	uint16_t mtu;            /* L3 */
	/* Packets that are not overlay go to the card's kernel: a single-consumer rte_ring that the underlay (main thread) drains; and what
	 * the kernel sends comes by inject_ring. Both hold mbufs. */
	struct rte_ring *punt_ring;
	struct rte_ring *inject_ring;
	int punt_event_fd;       /* written after a batch was put into punt_ring */
};

struct ob_uplink_counters {
	uint64_t rx_pkts, rx_bytes, tx_pkts, tx_bytes, punted, injected;
};

int ob_stages_init(struct ob_arena *arena);
/* Attaches the port to the workers: sources, flush hooks. Context: control. One uplink per card for now. */
int ob_uplink_attach(const struct ob_uplink_conf *conf);
void ob_uplink_detach(void);
void ob_uplink_counters(struct ob_uplink_counters *out);
