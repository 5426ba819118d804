/* SPDX-License-Identifier: BSD-3-Clause */
/* The stages of a packet's way, one file each; a pipeline (pipelines/) puts them into an order.
 *
 * A stage is a loop over a burst with a 'static inline' decision for one packet. Packets that part from the main way leave the
 * burst (which is compacted in place): to a drop reason, to another stage's edge buffer, to the kernel (punt).
 */
#pragma once

#include "ob_policy.h"
#include "ob_trace.h"
#include "ob_vif.h"
#include "ob_worker.h"

/* X(name, "what it does"): the files of this folder, for people and for the picture in docs/. */
#define OB_STAGES(X)                                                                          \
	X(parse, "Ethernet, VLAN, IP, L4: offsets, flags, symmetric hash; what is not well "  \
		 "formed ends here")                                                          \
	X(session, "the connection it belongs to: verdict, state and way out in one lookup")  \
	X(first_packet, "from a guest, way unknown: anti-spoofing, route, mapping, or which " \
			"answer it gets")                                                     \
	X(place, "to the worker that has the connection, if it is another")                   \
	X(meter, "bandwidth and packets within the ENI's allowance")                          \
	X(admit, "may it open a connection: security groups, allowances, NAT")                \
	X(pmtu, "does not fit the way out: told by ICMP, or cut where IPv4 allows it")        \
	X(fragment, "IPv4 without DF, cut to the path MTU")                                   \
	X(apply, "the rewrite: TTL, MAC addresses, NAT")                                      \
	X(encap, "checksums and segments complete, outer headers in front")                   \
	X(uplink_tx, "out of the port")                                                       \
	X(uplink_rx, "in from the port: overlay to us, or the kernel's")                      \
	X(decap, "tunnel found and checked, outer headers off")                               \
	X(deliver, "the ENI of the VNET that has the inner MAC")                              \
	X(answer_arp, "ARP answered by the card")                                             \
	X(answer_nd, "neighbour and router solicitations answered by the card")               \
	X(answer_dhcp4, "DHCPv4 server of each ENI")                                          \
	X(answer_dhcp6, "DHCPv6 server of each ENI")                                          \
	X(answer_icmp, "echo to the virtual router; time exceeded")                           \
	X(punt, "to the card's kernel")                                                       \
	X(inject, "from the card's kernel")

/* ---- control ------------------------------------------------------------------------------------------------------------- */

/* The uplink as the stages see it. */
struct ob_uplink_conf {
	uint16_t port_id; /* DPDK ethdev, started */
	uint16_t n_rxq,
	    n_txq; /* worker i polls the rx queues i, i + workers, ...; sends on tx queue i % n_txq (locked if shared) */
	uint64_t tx_offloads; /* RTE_ETH_TX_OFFLOAD_* that are enabled on the port */
	uint64_t rx_offloads;
	uint16_t mtu; /* L3 */
	/* Packets that are not overlay go to the card's kernel: a single-consumer rte_ring that the underlay (main thread) drains; and what
	 * the kernel sends comes by inject_ring. Both hold mbufs; either may be NULL. Worker 0 drains inject_ring: wake it after a put. */
	struct rte_ring *punt_ring;
	struct rte_ring *inject_ring;
	int punt_event_fd; /* written after a batch was put into punt_ring; -1: none */
};

struct ob_uplink_counters {
	uint64_t rx_pkts, rx_bytes, tx_pkts, tx_bytes, punted, injected;
};

/* Before the uplink and the pipeline. Returns 0, or as ob_arena_region. Context: control. */
int ob_stages_init(struct ob_arena *arena);
/* After the uplink is detached and the workers are stopped. Context: control. */
void ob_stages_fini(void);
/* Attaches the port to the workers: sources, flush hooks. Context: control, workers running. One uplink per card for now.
 * Returns 0, -EBUSY one is attached, -EINVAL, or as ob_worker_add_source. */
int ob_uplink_attach(const struct ob_uplink_conf *conf);
/* Takes it from the workers; on return nobody touches the port or the rings. Legal without an uplink. */
void ob_uplink_detach(void);
void ob_uplink_counters(struct ob_uplink_counters *out);

/* ---- worker side, for pipelines ------------------------------------------------------------------------------------------ */

/* Where packets part from the main way of a burst. Each edge holds what left one burst, and is emptied before the next comes in. */
enum ob_edge {
	OB_EDGE_ARP,
	OB_EDGE_ND,
	OB_EDGE_DHCP4,
	OB_EDGE_DHCP6,
	OB_EDGE_ECHO,	  /* echo request to the virtual router */
	OB_EDGE_TTL,	  /* time exceeded is due */
	OB_EDGE_TOO_BIG,  /* fragmentation needed / packet too big is due */
	OB_EDGE_FRAGMENT, /* to be cut */
	OB_EDGE_LOCAL,	  /* to a guest of this card */
	OB_EDGE_FIRST, /* no connection yet, or one whose way is to be decided anew: ob_meta.session tells */
	OB_N_EDGES
};

struct ob_edges {
	uint32_t used; /* bit per edge that is not empty */
	struct ob_burst burst[OB_N_EDGES];
	uint32_t first_ports[OB_BURST_MAX]; /* of OB_EDGE_FIRST: as in the key of a session */
};

/* The worker's edge buffers; all empty between bursts. */
struct ob_edges *ob_stage_edges(struct ob_worker *w);

/* Each stage takes a burst and leaves in it what goes on along the main way. */
void ob_stage_parse(struct ob_worker *w, struct ob_burst *b);
/* Where a packet that was handed over goes on (ob_meta.resume). */
enum ob_resume {
	OB_RESUME_VIF = 0, /* in a queue of its function */
	OB_RESUME_OUT,	   /* in front of ob_stage_session_out */
	OB_RESUME_IN,	   /* in front of ob_stage_session_in */
};

/* Hands what other workers own over to them. 'eni': of all packets, or NULL: their meta->eni is set. */
void ob_stage_place(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, enum ob_resume resume);
/* Finds the guest behind the public address of each OB_PKT_TO_NAT. */
void ob_stage_deliver_public(struct ob_worker *w, struct ob_burst *b);
/* Packets of known connections stay; what the policy has to see leaves by OB_EDGE_FIRST. 'out': from the guest of 'eni'. 'in': to the
 * guests of their meta->eni, meta->out_vif its function. */
void ob_stage_session_out(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, struct ob_edges *e);
void ob_stage_session_in(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e);
/* The policy for OB_EDGE_FIRST, which is empty afterwards: what it lets pass is appended to 'b', whence it came. */
void ob_stage_first_packet(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, struct ob_edges *e);
void ob_stage_admit_in(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e);
/* Once a round, after its packets: ages sessions. A flush hook; 'arg' is not used. */
void ob_stage_session_round(struct ob_worker *w, void *arg);
/* Bandwidth and packet allowances: what is beyond them is dropped. */
void ob_stage_meter_out(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);
void ob_stage_meter_in(struct ob_worker *w, struct ob_burst *b);
void ob_stage_pmtu(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e);
/* By the ENI of each packet. */
void ob_stage_apply(struct ob_worker *w, struct ob_burst *b);
/* Leaves nothing in the burst: what got its outer headers is in the uplink's buffer, sent when that fills or the round ends. */
void ob_stage_encap(struct ob_worker *w, struct ob_burst *b);

/* Cuts packet 'i' of a burst into 'out' (empty before). Consumes it. */
void ob_stage_fragment(
    struct ob_worker *w, struct rte_mbuf *pkt, const struct ob_meta *meta, struct ob_burst *out);

/* Answers: consume the burst. Sent to the guest that asked; with in_vif OB_VIF_NONE back through the tunnel. */
void ob_stage_answer_arp(struct ob_worker *w, struct ob_burst *b);
void ob_stage_answer_nd(struct ob_worker *w, struct ob_burst *b);
void ob_stage_answer_dhcp4(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);
void ob_stage_answer_dhcp6(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);
void ob_stage_answer_echo(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);
void ob_stage_answer_ttl(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);
void ob_stage_answer_too_big(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b);

/* Repeats the router advertisement to a guest that is heard from: 10 s after its first packet, then every 600 s. Once a burst,
 * before it is parsed. */
void ob_stage_advertise(struct ob_worker *w, const struct ob_eni *eni, uint64_t now_tsc);

/* What the pipeline does with a burst of overlay packets; 'o' describes their outer headers, metadata is not filled in. */
typedef void (*ob_uplink_input_fn)(
    struct ob_worker *w, struct ob_burst *b, const struct ob_outer *o);
void ob_uplink_set_input(ob_uplink_input_fn fn);
void ob_stage_decap(struct ob_worker *w, struct ob_burst *b, const struct ob_outer *o);
/* ARP requests and neighbour solicitations leave by their edges. */
void ob_stage_deliver(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e);
/* Sends frames as they are. Consumes the burst. */
void ob_stage_uplink_tx(struct ob_worker *w, struct rte_mbuf **pkts, unsigned n);
