/* SPDX-License-Identifier: BSD-3-Clause */
/* The VPC pipeline: which stages, in which order, for tenants' virtual networks.
 *
 *   guest:   parse -> meter -> session -> pmtu -> apply -> {another guest | encap -> uplink_tx}
 *                              | miss: first_packet -> admit                                 ARP, ND, DHCP, echo -> answered
 *   uplink:  uplink_rx -> decap -> parse -> deliver -> meter -> session -> guest_tx          not overlay -> kernel
 *                                                               | miss: admit
 */
#pragma once

#include "ob_stages.h"

/* X(from, to, "what takes this way"): every edge between stages; each stage also has its drop reasons. guest_rx and guest_tx are the
 * two ends of a function (dataplane/vif). */
#define OB_VPC_EDGES(X)                                                      \
	X(guest_rx, parse, "frames of a guest")                              \
	X(parse, meter, "from a guest, well formed")                         \
	X(meter, session, "within the allowance")                            \
	X(session, pmtu, "of a connection, to the wire or a guest")          \
	X(session, first_packet, "from a guest, way unknown")                \
	X(session, admit, "to a guest, no connection yet")                   \
	X(session, apply, "to a guest, translated")                          \
	X(session, guest_tx, "of a connection, to its guest")                \
	X(session, answer_icmp, "TTL ran out")                               \
	X(first_packet, admit, "route and mapping found")                    \
	X(admit, pmtu, "from a guest, may go")                               \
	X(admit, guest_tx, "to a guest, may go")                             \
	X(first_packet, answer_arp, "ARP")                                   \
	X(first_packet, answer_nd, "neighbour and router solicitations")     \
	X(first_packet, answer_dhcp4, "DHCPv4")                              \
	X(first_packet, answer_dhcp6, "DHCPv6")                              \
	X(first_packet, answer_icmp, "echo to the router; TTL ran out")      \
	X(pmtu, apply, "fits")                                               \
	X(pmtu, fragment, "too long, IPv4 without DF")                       \
	X(pmtu, answer_icmp, "too long")                                     \
	X(fragment, apply, "fragments")                                      \
	X(apply, meter, "to an ENI of this card: judged again as its")       \
	X(apply, guest_tx, "translated for its guest")                       \
	X(apply, encap, "to another card")                                   \
	X(encap, uplink_tx, "")                                              \
	X(answer_arp, guest_tx, "")                                          \
	X(answer_nd, guest_tx, "")                                           \
	X(answer_dhcp4, guest_tx, "")                                        \
	X(answer_dhcp6, guest_tx, "")                                        \
	X(answer_icmp, guest_tx, "")                                         \
	X(uplink_rx, decap, "overlay to an own address")                     \
	X(uplink_rx, punt, "everything else")                                \
	X(decap, parse, "from a known tunnel")                               \
	X(parse, deliver, "well formed")                                     \
	X(deliver, meter, "VNI and MAC of a local ENI, or a public address") \
	X(deliver, answer_arp, "ARP from the overlay")                       \
	X(deliver, answer_nd, "neighbour solicitation from the overlay")     \
	X(answer_arp, encap, "asked from the overlay")                       \
	X(answer_nd, encap, "asked from the overlay")                        \
	X(inject, uplink_tx, "from the kernel")

/* Binds the pipeline to all vifs (ob_vif_set_input), the uplink, the handoff rings and what reports changes of the policy. After the
 * workers and ob_session_init. Context: main, once before traffic. Returns 0, or as ob_worker_add_flush. */
int ob_vpc_init(void);
/* Before the workers stop. Context: main. */
void ob_vpc_fini(void);
