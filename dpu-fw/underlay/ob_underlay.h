/* SPDX-License-Identifier: BSD-3-Clause */
/* The underlay: the card's uplink port, and the card's kernel behind it.
 *
 * The port is any DPDK ethdev. What is not overlay goes to a TAP whose namespace owns the underlay addresses, so ARP, ND, routing
 * daemons and ssh work there as on any Linux machine. The underlay follows that kernel by netlink: its addresses become
 * the addresses that decap accepts, and each tunnel gets the next hop, source and MTU that the kernel would use.
 *
 * Everything here runs on the main thread's event loop. Nothing blocks: netlink requests are answered by the kernel within
 * the system call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_encap.h"
#include "ob_stages.h"

struct event_base;
struct ob_underlay;

#define OB_UNDERLAY_DEVARGS   128
#define OB_UNDERLAY_IF	      16
#define OB_UNDERLAY_MAX_ADDRS OB_MAX_LOCAL_ADDRS

struct ob_underlay_conf {
	struct event_base *base;
	const char
	    *devargs; /* "net_af_packet0,iface=eth1", "0000:03:00.0": a vdev or PCI port; copied */
	const char
	    *netns; /* named network namespace of the TAP (ip netns); NULL: the process's own */
	const char *kernel_if; /* name of the TAP; NULL: ob-up0 */
	uint16_t mtu;	       /* L3 bytes; 0: as the port comes up (1500 with most drivers) */
};

struct ob_underlay_info {
	char devargs[OB_UNDERLAY_DEVARGS];
	char kernel_if[OB_UNDERLAY_IF];
	char driver[32];
	uint8_t mac[6];
	uint16_t mtu;
	bool link_up;
	uint16_t n_rxq, n_txq;
	uint32_t speed_mbps; /* 0: unknown */
	unsigned n_addrs;
	struct ob_ip addr[OB_UNDERLAY_MAX_ADDRS];
	uint8_t prefix_len[OB_UNDERLAY_MAX_ADDRS];
	uint64_t rx_missed, rx_errors, tx_errors; /* of the port */
	uint64_t punt_failed;			  /* packets that the TAP did not take */
	uint64_t inject_failed; /* kernel packets for which there was no buffer or no room */
	uint32_t n_routes;	/* unicast routes in the kernel's main table */
	uint32_t n_neighbours;	/* next hops that tunnels use */
};

/* How a tunnel leaves the card, for people. */
struct ob_underlay_way {
	struct ob_nexthop nexthop;
	struct ob_ip via; /* the neighbour; family 0: no route */
	uint16_t pmtu;	  /* learned path MTU, 0: none */
	char why[96];	  /* what is missing while nexthop.valid is false */
};

/* Probes and starts the port, makes the TAP, reads the kernel's state, attaches the port to the workers (ob_uplink_attach). The
 * workers run already. 'err' gets a text that says what to do. Context: main, once.
 * Returns 0; -EINVAL devargs or MTU; -ENODEV no such port; -EPERM not allowed; -ENOENT no such namespace, or no /dev/net/tun;
 * -EBUSY the TAP's name is taken, or somebody has the port; -ENOTSUP no driver for it; -ENOMEM; -errno. */
int ob_underlay_create(
    const struct ob_underlay_conf *conf, struct ob_underlay **out, char *err, size_t err_len);

/* Detaches and stops the port, closes the TAP (which removes it). NULL is legal. Context: main. */
void ob_underlay_destroy(struct ob_underlay *u);

/* Tunnel 'idx' was set by ob_tunnel_set (again: its remote or local may have changed) or is about to be deleted. 'u' may be NULL (a card
 * without uplink). Context: main. Returns 0, -EINVAL, -ENOMEM. */
int ob_underlay_tunnel_add(struct ob_underlay *u, uint32_t idx);
void ob_underlay_tunnel_del(struct ob_underlay *u, uint32_t idx);

/* Returns 0; -ENOENT this tunnel is not followed. Context: main. */
int ob_underlay_way(const struct ob_underlay *u, uint32_t idx, struct ob_underlay_way *out);
void ob_underlay_get_info(const struct ob_underlay *u, struct ob_underlay_info *out);
