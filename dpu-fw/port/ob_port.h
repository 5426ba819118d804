/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK ports: probe, configure, start, stop; and functions whose guest is behind one.
 *
 * A port is any ethdev, named by its device arguments: "net_af_packet0,iface=eth1", "0000:03:00.2", or just the name of one that
 * was probed with the EAL. Whoever opens it owns it: nobody else of this process gets it. Everything here runs on the main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_vif.h"

#define OB_PORT_DEVARGS 128

struct ob_port_conf {
	const char *who; /* for messages: "uplink", "function f1"; static or as long as the port */
	const char *devargs;
	uint16_t mtu; /* L3 bytes; 0: the port's own */
	/* Receive queue q gets the buffers of worker (first_worker + q) % n; a queue for each worker, at most 'max_queues' (0: no limit). */
	unsigned first_worker, max_queues;
	bool promiscuous; /* else only what is for its MAC, and multicast */
};

struct ob_port {
	bool started;
	uint16_t id;
	const char *who;
	char devargs[OB_PORT_DEVARGS];
	char driver[32];
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t n_rxq, n_txq;
	uint64_t rx_offloads, tx_offloads;
};

/* Probes the device if it is not there yet, and starts it. The workers run already. 'err' gets a text that says what to do.
 * Returns 0; -EINVAL devargs or MTU; -ENODEV no such port; -EBUSY somebody has it; -EPERM not allowed; -ENOTSUP no driver for it;
 * -ENOMEM; -errno. Context: main. */
int ob_port_open(struct ob_port *p, const struct ob_port_conf *conf, char *err, size_t err_len);
/* Stops, closes and removes the device. Harmless on a port that is not open (all zero is not; ob_port_open that failed is). */
void ob_port_close(struct ob_port *p);
/* '*speed_mbps': 0 unknown. */
bool ob_port_link_up(const struct ob_port *p, uint32_t *speed_mbps);

/* ---- a function whose guest is behind a port ---- */

struct ob_port_guest;

struct ob_port_guest_conf {
	const char *name;    /* of the vif; copied */
	const char *devargs; /* copied */
	uint8_t mac[6];
	uint16_t mtu;	  /* of the guest */
	uint16_t n_pairs; /* most queue pairs, 1..OB_VIF_MAX_PAIRS */
	bool link_down;	  /* start with the link down */
};

/* Makes the vif, opens the port and joins them. Returns as ob_vif_create, ob_port_open, ob_vif_attach_port; 'err' as ob_port_open, or empty. */
int ob_port_guest_create(
    const struct ob_port_guest_conf *conf, struct ob_port_guest **out, char *err, size_t err_len);
/* NULL is legal. */
void ob_port_guest_destroy(struct ob_port_guest *g);
struct ob_vif *ob_port_guest_vif(const struct ob_port_guest *g);
const struct ob_port *ob_port_guest_port(const struct ob_port_guest *g);
