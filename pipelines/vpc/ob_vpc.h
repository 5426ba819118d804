/* SPDX-License-Identifier: BSD-3-Clause */
/* The VPC pipeline: which stages, in which order, for tenants' virtual networks.
 *
 *   guest:   parse -> first_packet -> apply -> {guest_tx | pmtu -> encap -> uplink_tx}      ARP, ND, DHCP -> answered
 *   uplink:  uplink_rx -> decap -> parse -> deliver -> guest_tx                              not overlay -> kernel
 */
#pragma once

#include "ob_stages.h"

/* Binds the pipeline to all vifs (ob_vif_set_input), the uplink and the handoff rings. Context: main, once before traffic. */
int ob_vpc_init(void);
