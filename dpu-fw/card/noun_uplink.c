/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static int next(struct ob_card *c, const void *filter, uint64_t *cursor, void *rec)
{
	struct ob_uplink_counters n = {0};
	struct ob_underlay_info info;
	struct ob_bus_uplink *r = rec;

	(void)filter;
	if (c->conf.underlay == NULL || (*cursor)++ > 0)
		return -ENOENT;
	ob_underlay_get_info(c->conf.underlay, &info);
	ob_uplink_counters(&n);
	memcpy(r->devargs, info.devargs, sizeof(r->devargs));
	memcpy(r->kernel_if, info.kernel_if, sizeof(r->kernel_if));
	memcpy(r->driver, info.driver, sizeof(r->driver));
	memcpy(r->mac, info.mac, sizeof(r->mac));
	r->mtu = info.mtu;
	r->link_up = info.link_up;
	r->n_rxq = info.n_rxq;
	r->n_txq = info.n_txq;
	r->speed_mbps = info.speed_mbps;
	for (unsigned i = 0; i < info.n_addrs && r->n_addrs < OB_BUS_UPLINK_ADDRS; i++)
		put_ip(&r->addr[r->n_addrs++], &info.addr[i], info.prefix_len[i]);
	r->rx_pkts = n.rx_pkts;
	r->rx_bytes = n.rx_bytes;
	r->tx_pkts = n.tx_pkts;
	r->tx_bytes = n.tx_bytes;
	r->rx_missed = info.rx_missed;
	r->rx_errors = info.rx_errors;
	r->tx_errors = info.tx_errors;
	r->punted = n.punted;
	r->injected = n.injected;
	r->n_routes = info.n_routes;
	r->n_neighbours = info.n_neighbours;
	return 0;
}

static_assert(sizeof(((struct ob_bus_uplink *)0)->devargs) == OB_UNDERLAY_DEVARGS &&
		  sizeof(((struct ob_bus_uplink *)0)->kernel_if) == OB_UNDERLAY_IF,
    "copied whole");

const struct noun noun_uplink = {
    .name = "uplink", .record_len = sizeof(struct ob_bus_uplink), .next = next};
