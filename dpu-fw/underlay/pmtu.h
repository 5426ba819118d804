/* SPDX-License-Identifier: BSD-3-Clause */
/* Path MTU of the underlay, from the ICMP errors about the card's own tunnel packets.
 *
 * The kernel cannot learn it: it takes an ICMP error only for a socket that it has, and the tunnels' packets are not sent by one. So
 * the packets on their way to the kernel are looked at here.
 */
#pragma once

#include <stdint.h>

#include "ob_encap.h"

/* What an ICMP error says. */
struct pmtu_news {
	struct ob_ip local, remote; /* source and destination of the packet that did not fit */
	uint16_t dst_port;	    /* its UDP destination, host byte order */
	uint16_t mtu; /* largest L3 packet that fits, not below the protocol's minimum */
};

#define PMTU_MIN4 576  /* lower values are forged or useless; Linux has 552 */
#define PMTU_MIN6 1280 /* RFC 8200, 5 */

/* Looks at an Ethernet frame. Returns 0: 'out' is filled; -ENOENT it is not such an error. Context: any. */
int pmtu_parse(const uint8_t *frame, uint32_t len, struct pmtu_news *out);
