/* SPDX-License-Identifier: BSD-3-Clause */
/* net_obgen as an ethdev: what EAL and ethdev ask of a driver. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_log.h>

#include "obgen.h"

#define MIN_DESC 32
#define MAX_DESC 8192

static struct obg_port *port_of(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static int configure(struct rte_eth_dev *dev)
{
	struct obg_port *port = port_of(dev);

	if (dev->data->nb_rx_queues > port->conf.queues ||
	    dev->data->nb_tx_queues > port->conf.queues)
		return -EINVAL;
	return 0;
}

/* One mbuf's fields that are the same in all, as one word. */
static uint64_t rearm_word(const struct rte_eth_dev *dev)
{
	struct rte_mbuf m = {
	    .nb_segs = 1, .data_off = RTE_PKTMBUF_HEADROOM, .port = dev->data->port_id};
	uint64_t word;

	rte_mbuf_refcnt_set(&m, 1);
	memcpy(&word, (const char *)&m + offsetof(struct rte_mbuf, rearm_data), 8);
	return word;
}

static int start(struct rte_eth_dev *dev)
{
	struct obg_port *port = port_of(dev), *other = port->pair->port[!port->conf.role];
	int rc = 0;

	if (dev->data->nb_rx_queues == 0 || dev->data->nb_tx_queues == 0)
		return -EINVAL;
	port->n_rxq = dev->data->nb_rx_queues;
	port->n_txq = dev->data->nb_tx_queues;
	for (unsigned i = 0; i < port->n_rxq; i++) {
		port->rxq[i] = dev->data->rx_queues[i];
		port->rxq[i]->rearm = rearm_word(dev);
	}
	for (unsigned i = 0; i < port->n_txq; i++)
		port->txq[i] = dev->data->tx_queues[i];
	port->started = true;
	if (other != NULL && other->started)
		rc = obg_pair_start(port->pair);
	if (rc < 0) {
		port->started = false;
		return rc;
	}
	dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
	for (unsigned i = 0; i < port->n_rxq; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	for (unsigned i = 0; i < port->n_txq; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int stop(struct rte_eth_dev *dev)
{
	struct obg_port *port = port_of(dev);

	obg_pair_stop(port->pair);
	port->started = false;
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	for (unsigned i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	for (unsigned i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int rx_queue_setup(struct rte_eth_dev *dev, uint16_t idx, uint16_t n_desc, unsigned socket,
    const struct rte_eth_rxconf *conf __rte_unused, struct rte_mempool *mp)
{
	struct obg_rxq *q =
	    rte_zmalloc_socket("obgen", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);

	if (q == NULL)
		return -ENOMEM;
	q->port = port_of(dev);
	q->idx = idx;
	q->n_desc = n_desc;
	q->mp = mp;
	dev->data->rx_queues[idx] = q;
	return 0;
}

static void rx_queue_release(struct rte_eth_dev *dev, uint16_t idx)
{
	struct obg_rxq *q = dev->data->rx_queues[idx];

	if (q == NULL)
		return;
	free(q->walk.list);
	free(q->live.list);
	rte_free(q->steps);
	rte_free(q);
	dev->data->rx_queues[idx] = NULL;
}

static int tx_queue_setup(struct rte_eth_dev *dev, uint16_t idx, uint16_t n_desc __rte_unused,
    unsigned socket, const struct rte_eth_txconf *conf __rte_unused)
{
	struct obg_txq *q =
	    rte_zmalloc_socket("obgen", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);

	if (q == NULL)
		return -ENOMEM;
	q->port = port_of(dev);
	q->idx = idx;
	dev->data->tx_queues[idx] = q;
	return 0;
}

static void tx_queue_release(struct rte_eth_dev *dev, uint16_t idx)
{
	rte_free(dev->data->tx_queues[idx]);
	dev->data->tx_queues[idx] = NULL;
}

static int close_port(struct rte_eth_dev *dev)
{
	struct obg_port *port = port_of(dev);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY || port == NULL)
		return 0;
	obg_pair_stop(port->pair);
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		rx_queue_release(dev, i);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		tx_queue_release(dev, i);
	port->pair->port[port->conf.role] = NULL;
	obg_pair_put(port->pair);
	/* It is a part of the private data, which ethdev frees. */
	dev->data->mac_addrs = NULL;
	return 0;
}

/* ---- what it can do ------------------------------------------------------------------------------------------------ */

static int infos(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct obg_port *port = port_of(dev);

	info->max_mac_addrs = 1;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_mtu = OBG_MAX_FRAME + OBG_OUTER;
	info->max_rx_pktlen = info->max_mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	info->min_rx_bufsize = 0;
	info->max_rx_queues = (uint16_t)port->conf.queues;
	info->max_tx_queues = (uint16_t)port->conf.queues;
	info->rx_desc_lim =
	    (struct rte_eth_desc_lim){.nb_max = MAX_DESC, .nb_min = MIN_DESC, .nb_align = 1};
	info->tx_desc_lim = (struct rte_eth_desc_lim){.nb_max = MAX_DESC,
	    .nb_min = MIN_DESC,
	    .nb_align = 1,
	    .nb_seg_max = 64,
	    .nb_mtu_seg_max = 64};
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM |
				RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_OUTER_IPV4_CKSUM |
				RTE_ETH_RX_OFFLOAD_OUTER_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (port->conf.txcsum)
		info->tx_offload_capa |=
		    RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
		    RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM |
		    RTE_ETH_TX_OFFLOAD_OUTER_UDP_CKSUM;
	info->flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
	info->speed_capa = RTE_ETH_LINK_SPEED_100G;
	info->default_rxportconf =
	    (struct rte_eth_dev_portconf){.burst_size = 32, .ring_size = 1024, .nb_queues = 1};
	info->default_txportconf =
	    (struct rte_eth_dev_portconf){.burst_size = 32, .ring_size = 1024, .nb_queues = 1};
	return 0;
}

static int link_update(struct rte_eth_dev *dev __rte_unused, int wait __rte_unused)
{
	return 0;
}

static int set_mtu(struct rte_eth_dev *dev __rte_unused, uint16_t mtu __rte_unused)
{
	return 0;
}

static int set_mac(struct rte_eth_dev *dev __rte_unused, struct rte_ether_addr *mac __rte_unused)
{
	return 0; /* ethdev keeps it; packets go to it from the next start on */
}

static int yes(struct rte_eth_dev *dev __rte_unused)
{
	return 0;
}

static int rss_update(
    struct rte_eth_dev *dev __rte_unused, struct rte_eth_rss_conf *conf __rte_unused)
{
	return 0; /* the hash is always over both tuples, and symmetric */
}

/* ---- counters ------------------------------------------------------------------------------------------------------ */

static int stats(struct rte_eth_dev *dev, struct rte_eth_stats *s)
{
	const struct obg_port *port = port_of(dev);

	for (unsigned i = 0; i < dev->data->nb_rx_queues; i++) {
		const struct obg_rxq *q = dev->data->rx_queues[i];

		s->ipackets += q->pkts;
		s->ibytes += q->bytes;
		s->imissed += q->missed;
		s->rx_nombuf += q->nombuf;
	}
	for (unsigned i = 0; i < dev->data->nb_tx_queues; i++) {
		const struct obg_txq *q = dev->data->tx_queues[i];

		s->opackets += q->pkts;
		s->obytes += q->bytes;
	}
	s->ipackets -= port->zero.emitted;
	s->ibytes -= port->zero.emitted_bytes;
	s->imissed -= port->zero.missed;
	s->opackets -= port->zero.received;
	s->obytes -= port->zero.received_bytes;
	return 0;
}

/* The queues' own counters are the pair's books and stay. */
static int stats_reset(struct rte_eth_dev *dev)
{
	struct obg_port *port = port_of(dev);
	struct rte_eth_stats s = {0};

	memset(&port->zero, 0, sizeof(port->zero));
	stats(dev, &s);
	port->zero.emitted = s.ipackets;
	port->zero.emitted_bytes = s.ibytes;
	port->zero.missed = s.imissed;
	port->zero.received = s.opackets;
	port->zero.received_bytes = s.obytes;
	return 0;
}

enum {
	X_CHECKED,
	X_OPENED,
	X_CONNECTIONS,
	X_TIMEOUTS,
	X_RETRIES,
	X_KINDS,
	X_ERRS = X_KINDS + OBG_N_KINDS,
	X_ALL = X_ERRS + OBG_N_ERRS
};

static int xstats_names(
    struct rte_eth_dev *dev __rte_unused, struct rte_eth_xstat_name *names, unsigned n)
{
	static const char *const own[] = {
	    "checked", "opened", "connections", "timeouts", "retries"};

	for (unsigned i = 0; names != NULL && i < X_ALL && i < n; i++) {
		const char *kind = i < X_KINDS	? "obgen"
				   : i < X_ERRS ? "obgen_kind"
						: "obgen_error";

		snprintf(names[i].name, sizeof(names[i].name), "%s_%s", kind,
		    i < X_KINDS	 ? own[i]
		    : i < X_ERRS ? obg_kind_names[i - X_KINDS]
				 : obg_err_names[i - X_ERRS]);
	}
	return X_ALL;
}

static int xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *x, unsigned n)
{
	uint64_t v[X_ALL] = {0};

	if (n < X_ALL)
		return X_ALL;
	for (unsigned i = 0; i < dev->data->nb_rx_queues; i++) {
		const struct obg_rxq *q = dev->data->rx_queues[i];

		v[X_TIMEOUTS] += q->timeouts;
		v[X_RETRIES] += q->retries;
	}
	for (unsigned i = 0; i < dev->data->nb_tx_queues; i++) {
		const struct obg_txq *q = dev->data->tx_queues[i];

		v[X_CHECKED] += q->checked;
		v[X_OPENED] += q->opened;
		v[X_CONNECTIONS] += q->connections;
		for (unsigned k = 0; k < OBG_N_KINDS; k++)
			v[X_KINDS + k] += q->kinds[k];
		for (unsigned k = 0; k < OBG_N_ERRS; k++)
			v[X_ERRS + k] += q->errs[k];
	}
	for (unsigned i = 0; i < X_ALL; i++) {
		x[i].id = i;
		x[i].value = v[i];
	}
	return X_ALL;
}

static const struct eth_dev_ops ops = {
    .dev_configure = configure,
    .dev_start = start,
    .dev_stop = stop,
    .dev_close = close_port,
    .dev_infos_get = infos,
    .rx_queue_setup = rx_queue_setup,
    .rx_queue_release = rx_queue_release,
    .tx_queue_setup = tx_queue_setup,
    .tx_queue_release = tx_queue_release,
    .link_update = link_update,
    .mtu_set = set_mtu,
    .mac_addr_set = set_mac,
    .promiscuous_enable = yes,
    .promiscuous_disable = yes,
    .allmulticast_enable = yes,
    .allmulticast_disable = yes,
    .rss_hash_update = rss_update,
    .stats_get = stats,
    .stats_reset = stats_reset,
    .xstats_get = xstats,
    .xstats_get_names = xstats_names,
};

/* ---- probe --------------------------------------------------------------------------------------------------------- */

static int join(struct obg_port *port, const char *pair_name, const char *args)
{
	struct obg_pair *pair = obg_pair_get(pair_name);
	int rc;

	if (pair == NULL)
		return -ENOMEM;
	rc = pair->port[port->conf.role] != NULL ? -EEXIST : obg_args_pair(args, pair);
	if (rc == 0) {
		port->pair = pair;
		pair->port[port->conf.role] = port;
	}
	obg_pair_put(pair);
	return rc;
}

static int probe(struct rte_vdev_device *vdev)
{
	const char *args = rte_vdev_device_args(vdev);
	struct obg_port_conf conf;
	struct rte_eth_dev *dev;
	struct obg_port *port;
	char pair_name[32];
	int rc;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return -ENOTSUP;
	rc = obg_args_port(args, &conf, pair_name);
	if (rc < 0)
		return rc;
	dev = rte_eth_vdev_allocate(vdev, sizeof(*port));
	if (dev == NULL)
		return -ENOMEM;
	port = port_of(dev);
	snprintf(port->name, sizeof(port->name), "%s", rte_vdev_device_name(vdev));
	port->conf = conf;
	port->mac = conf.mac;
	rc = join(port, pair_name, args);
	if (rc < 0) {
		rte_eth_dev_release_port(dev);
		return rc;
	}
	dev->data->mac_addrs = &port->mac;
	dev->data->dev_link = (struct rte_eth_link){
	    .link_speed = RTE_ETH_SPEED_NUM_100G,
	    .link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
	    .link_autoneg = RTE_ETH_LINK_FIXED,
	    .link_status = RTE_ETH_LINK_DOWN,
	};
	dev->data->promiscuous = 1;
	dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->dev_ops = &ops;
	dev->rx_pkt_burst = obg_rx_burst;
	dev->tx_pkt_burst = obg_tx_burst;
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int remove_port(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return 0;
	close_port(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver net_obgen = {.probe = probe, .remove = remove_port};

RTE_PMD_REGISTER_VDEV(net_obgen, net_obgen);
RTE_PMD_REGISTER_PARAM_STRING(
    net_obgen, "role=guest|wire pair=<name> ... (tests/bench/obgen/README.md)");
