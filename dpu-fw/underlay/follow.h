/* SPDX-License-Identifier: BSD-3-Clause */
/* Follows the kernel: for each tunnel the route to its remote end, the neighbour behind that route, and the path MTU.
 *
 *   tunnel --route_get--> {via, source, MTU} --neigh--> MAC  => ob_nexthop, published when it changes
 *
 * Tunnels share neighbours. Memory is bounded by the tunnels, not by what the network makes the kernel remember.
 * All calls on the main thread. The kernel and the dataplane are reached through 'ops' only, so tests run without either.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nl_parse.h"
#include "ob_underlay.h"
#include "pmtu.h"

struct follow;

struct follow_ops {
	/* As nl_route_get (and -EADDRNOTAVAIL: 'src' is not an address of the card), nl_neigh_get, nl_neigh_use. */
	int (*route_get)(
	    void *ctx, const struct ob_ip *dst, const struct ob_ip *src, struct nl_route *out);
	int (*neigh_get)(void *ctx, const struct ob_ip *ip, struct nl_neigh *out);
	int (*neigh_use)(void *ctx, const struct ob_ip *ip);
	void (*publish)(void *ctx, uint32_t tunnel, const struct ob_nexthop *nh);
	/* Packets that the tunnel has sent so far: tells which neighbours are in use. */
	uint64_t (*tx_pkts)(void *ctx, uint32_t tunnel);
};

#define FOLLOW_TICK_NS	  1000000000ull
#define FOLLOW_RECHECK_NS 2000000000ull		/* age at which a route in use is asked for again */
#define FOLLOW_PMTU_NS	  (600 * 1000000000ull) /* RFC 1191, 6.3: ten minutes */
#define FOLLOW_PER_TICK	  2048			/* routes asked for in one tick */
#define FOLLOW_BACKOFF_NS \
	(16 * 1000000000ull) /* longest pause between attempts to resolve a neighbour */

int follow_create(const struct follow_ops *ops, void *ctx, struct follow **out);
void follow_destroy(struct follow *f); /* NULL is legal; publishes nothing */

/* The interface that the uplink is. up false: every tunnel is without a way. */
void follow_set_link(struct follow *f, int ifindex, const uint8_t mac[6], uint32_t mtu, bool up);

/* Adds or changes. 'port': UDP destination, for ICMP errors. Returns 0, -EINVAL, -ENOMEM. */
int follow_add(struct follow *f, uint32_t tunnel, const struct ob_ip *remote,
    const struct ob_ip *local, uint16_t port);
void follow_del(struct follow *f, uint32_t tunnel);

/* A neighbour of the uplink changed, or is gone (deleted). */
void follow_neigh(struct follow *f, const struct nl_neigh *n, bool deleted);
/* Routes or addresses changed: everything is asked for anew, spread over ticks. */
void follow_routes_changed(struct follow *f);
/* Neighbour events were lost: asks for the state of each one in use. */
void follow_resync(struct follow *f);
/* An ICMP error came. Returns 0 if it lowered a tunnel's MTU, -ENOENT it is not about one of ours. */
int follow_pmtu(struct follow *f, const struct pmtu_news *news, uint64_t now_ns);

/* Once a second; and soon again while it returns true (more to ask for). */
bool follow_tick(struct follow *f, uint64_t now_ns);

int follow_way(const struct follow *f, uint32_t tunnel, struct ob_underlay_way *out);
uint32_t follow_n_neighbours(const struct follow *f);
