/* SPDX-License-Identifier: BSD-3-Clause */
/* The uplink as a DPDK port: probe, configure, start, stop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_underlay.h"

struct port {
	bool started;
	uint16_t id;
	char devargs[OB_UNDERLAY_DEVARGS];
	char driver[32];
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t n_rxq, n_txq;
	uint64_t rx_offloads, tx_offloads;
};

/* Probes 'devargs', gives it a receive queue for each worker as far as it has them, and starts it. 'mtu' 0: the port's own.
 * Returns as ob_underlay_create. Context: main. */
int port_open(struct port *p, const char *devargs, uint16_t mtu, char *err, size_t err_len);
/* Stops, closes and removes the device. Harmless on a port that is not open. */
void port_close(struct port *p);
/* '*speed_mbps': 0 unknown. */
bool port_link_up(const struct port *p, uint32_t *speed_mbps);
