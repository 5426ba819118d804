/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include "ob_worker.h"

RTE_LOG_REGISTER(port_log, ob.port, NOTICE);

#define N_RX_DESC     1024
#define N_TX_DESC     1024
#define AF_PACKET_HDR 128 /* more than TPACKET_V2 puts before a frame in its ring */

/* What the stages can make use of; what of it the port has is enabled. */
#define WANT_RX                                                                  \
	(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM |          \
	    RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_OUTER_IPV4_CKSUM | \
	    RTE_ETH_RX_OFFLOAD_OUTER_UDP_CKSUM)
#define WANT_TX                                                                  \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |          \
	    RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM | \
	    RTE_ETH_TX_OFFLOAD_OUTER_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | \
	    RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_VXLAN_TNL_TSO |      \
	    RTE_ETH_TX_OFFLOAD_GENEVE_TNL_TSO)
/* Overlay packets of one pair of cards differ in their outer UDP source port only. */
#define WANT_RSS (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP)

static void probe_error(
    const struct ob_port *p, const char *name, int rc, char *err, size_t err_len)
{
	const char *devargs = p->devargs;
	const char *what =
	    strchr(devargs, ':') != NULL && strncmp(name, "net_", 4) != 0
		? "is it bound to vfio-pci (dpdk-devbind.py --status), and is its "
		  "librte-net-* package installed?"
	    : rc == -EFAULT || rc == -ENODEV || rc == -ENOENT
		? "no driver of that name: 'net_af_packet0,iface=eth1' takes over a "
		  "kernel interface; each driver is a package librte-net-*"
		: "check the arguments after the name: the interface must exist in "
		  "this network namespace, and it takes root; if it says PACKET_FANOUT "
		  "above, another card took the same group number by chance: start again";

	/* What DPDK says for an unknown driver (EFAULT: "bad address") would lead people astray. */
	snprintf(err, err_len, "%s '%s': %s%s(%s)", p->who, devargs,
	    rc == -EFAULT ? "" : strerror(-rc), rc == -EFAULT ? "" : " ", what);
}

/* The port of the device that was just probed. */
static int find_port(const char *name, uint16_t *id)
{
	if (rte_eth_dev_get_port_by_name(name, id) == 0)
		return 0;
	for (uint16_t p = 0; p < RTE_MAX_ETHPORTS; p++) {
		struct rte_eth_dev_info info;

		if (rte_eth_dev_is_valid_port(p) && rte_eth_dev_info_get(p, &info) == 0 &&
		    info.device != NULL && strcmp(rte_dev_name(info.device), name) == 0) {
			*id = p;
			return 0;
		}
	}
	return -ENODEV;
}

/* From here on the port is ours, and no other part of this process gets it. */
static int take(struct ob_port *p, char *err, size_t err_len)
{
	struct rte_eth_dev_owner owner = {0};
	int rc = rte_eth_dev_owner_new(&owner.id);

	if (rc < 0)
		return rc;
	snprintf(owner.name, sizeof(owner.name), "%s", p->who);
	rc = rte_eth_dev_owner_set(p->id, &owner);
	if (rc == 0)
		return 0;
	if (rte_eth_dev_owner_get(p->id, &owner) == 0)
		snprintf(err, err_len, "%s '%s': %s has this port already", p->who, p->devargs,
		    owner.name);
	return -EBUSY;
}

static int probe(struct ob_port *p, const char *devargs, char *err, size_t err_len)
{
	struct rte_devargs da = {0};
	int rc;

	if (strlen(devargs) >= sizeof(p->devargs)) {
		snprintf(err, err_len, "%s: device arguments are longer than %zu bytes", p->who,
		    sizeof(p->devargs) - 1);
		return -EINVAL;
	}
	strcpy(p->devargs, devargs);
	rc = rte_devargs_parse(&da, devargs);
	if (rc < 0) {
		probe_error(p, devargs, rc, err, err_len);
		return -ENOTSUP;
	}
	/* A PCI port was probed with the EAL already, by its place on the allow list. */
	if (find_port(da.name, &p->id) < 0) {
		rc = rte_dev_probe(devargs);
		if (rc == 0 && find_port(da.name, &p->id) < 0)
			rc = -ENODEV;
		if (rc < 0)
			probe_error(p, da.name, rc, err, err_len);
	}
	rte_devargs_reset(&da);
	return rc < 0 ? rc : take(p, err, err_len);
}

static int setup_queues(
    struct ob_port *p, const struct rte_eth_dev_info *info, unsigned first_worker)
{
	uint16_t n_rx = N_RX_DESC, n_tx = N_TX_DESC;
	int rc, socket = rte_eth_dev_socket_id(p->id);
	struct rte_eth_rxconf rxc = info->default_rxconf;
	struct rte_eth_txconf txc = info->default_txconf;

	rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &n_rx, &n_tx);
	if (rc < 0)
		return rc;
	rxc.offloads = p->rx_offloads;
	txc.offloads = p->tx_offloads;
	for (uint16_t q = 0; q < p->n_rxq; q++) {
		rc = rte_eth_rx_queue_setup(p->id, q, n_rx, (unsigned)socket, &rxc,
		    ob_worker_pool(ob_worker_get((first_worker + q) % ob_workers_count())));
		if (rc < 0)
			return rc;
	}
	for (uint16_t q = 0; q < p->n_txq; q++) {
		rc = rte_eth_tx_queue_setup(p->id, q, n_tx, (unsigned)socket, &txc);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* net_af_packet of DPDK 22.11 says 1518 bytes whatever its ring takes: its arguments tell the truth. */
static int set_af_packet_mtu(struct ob_port *p, uint16_t mtu, char *err, size_t err_len)
{
	const char *arg = strstr(p->devargs, "framesz=");
	unsigned long framesz = arg != NULL ? strtoul(arg + strlen("framesz="), NULL, 10) : 2048;
	unsigned need = mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN + AF_PACKET_HDR;

	if (framesz >= need) {
		p->mtu = mtu;
		return 0;
	}
	snprintf(err, err_len,
	    "%s '%s': MTU %u needs frames of %u bytes in its ring; add "
	    "framesz=%u,blocksz=65536",
	    p->who, p->devargs, mtu, need, rte_align32pow2(need));
	return -EINVAL;
}

static int set_mtu(
    struct ob_port *p, const struct rte_eth_dev_info *info, uint16_t mtu, char *err, size_t err_len)
{
	int rc;

	if (mtu == 0)
		return rte_eth_dev_get_mtu(p->id, &p->mtu);
	if (strcmp(p->driver, "net_af_packet") == 0)
		return set_af_packet_mtu(p, mtu, err, err_len);
	rc = rte_eth_dev_set_mtu(p->id, mtu);
	if (rc < 0 && rc != -ENOTSUP) {
		snprintf(err, err_len,
		    "%s '%s': MTU %u refused: %s (driver %s takes %u..%u, frames up to %u "
		    "bytes)",
		    p->who, p->devargs, mtu, strerror(-rc), p->driver, info->min_mtu, info->max_mtu,
		    info->max_rx_pktlen);
		return rc;
	}
	if (rc == -ENOTSUP)
		rte_log(RTE_LOG_WARNING, port_log,
		    "%s: driver %s cannot set an MTU; %u is taken as it is\n", p->who, p->driver,
		    mtu);
	p->mtu = mtu;
	return 0;
}

static uint16_t at_most(unsigned a, unsigned b)
{
	return (uint16_t)(a < b ? a : b);
}

static int configure(struct ob_port *p, const struct ob_port_conf *pc, char *err, size_t err_len)
{
	unsigned n = pc->max_queues && pc->max_queues < ob_workers_count() ? pc->max_queues
									   : ob_workers_count();
	struct rte_eth_conf conf = {0};
	uint16_t mtu = pc->mtu;
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(p->id, &info);

	if (rc < 0)
		return rc;
	snprintf(p->driver, sizeof(p->driver), "%s", info.driver_name);
	p->n_rxq = at_most(n, info.max_rx_queues);
	p->n_txq = at_most(n, info.max_tx_queues);
	if (p->n_rxq == 0 || p->n_txq == 0) {
		snprintf(err, err_len, "%s '%s': driver %s has no %s queue", p->who, p->devargs,
		    p->driver, p->n_rxq ? "transmit" : "receive");
		return -ENOTSUP;
	}
	p->rx_offloads = info.rx_offload_capa & WANT_RX;
	p->tx_offloads = info.tx_offload_capa & WANT_TX;
	/* Frames longer than a buffer arrive as chains where the port can do that. */
	if (rte_pktmbuf_data_room_size(ob_worker_pool(ob_worker_get(0))) <
	    (mtu ? mtu : 1500u) + RTE_ETHER_HDR_LEN + RTE_PKTMBUF_HEADROOM)
		p->rx_offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.rxmode.offloads = p->rx_offloads;
	conf.txmode.offloads = p->tx_offloads;
	if (p->n_rxq > 1 && (info.flow_type_rss_offloads & WANT_RSS)) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & WANT_RSS;
	}
	rc = rte_eth_dev_configure(p->id, p->n_rxq, p->n_txq, &conf);
	if (rc < 0) {
		snprintf(err, err_len,
		    "%s '%s': driver %s refuses %u receive and %u transmit queues: %s", p->who,
		    p->devargs, p->driver, p->n_rxq, p->n_txq, strerror(-rc));
		return rc;
	}
	rc = set_mtu(p, &info, mtu, err, err_len);
	return rc < 0 ? rc : setup_queues(p, &info, pc->first_worker);
}

static int start(struct ob_port *p, bool promiscuous, char *err, size_t err_len)
{
	struct rte_ether_addr mac;
	int rc = rte_eth_dev_start(p->id);

	if (rc < 0) {
		snprintf(err, err_len, "%s '%s': driver %s does not start: %s", p->who, p->devargs,
		    p->driver, strerror(-rc));
		return rc;
	}
	p->started = true;
	/* ND comes to solicited-node groups that only the kernel behind the TAP knows of. */
	if ((promiscuous || rte_eth_allmulticast_enable(p->id) < 0) &&
	    rte_eth_promiscuous_enable(p->id) < 0)
		rte_log(RTE_LOG_INFO, port_log,
		    "%s: driver %s filters no multicast, or cannot stop filtering it\n", p->who,
		    p->driver);
	rc = rte_eth_macaddr_get(p->id, &mac);
	if (rc < 0)
		return rc;
	if (!rte_is_valid_assigned_ether_addr(&mac)) {
		/* A ring or null port has none; the kernel's TAP needs one, and so do replies to it. */
		rte_eth_random_addr(mac.addr_bytes);
		(void)rte_eth_dev_default_mac_addr_set(p->id, &mac);
	}
	memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
	return 0;
}

int ob_port_open(struct ob_port *p, const struct ob_port_conf *conf, char *err, size_t err_len)
{
	int rc;

	memset(p, 0, sizeof(*p));
	p->id = RTE_MAX_ETHPORTS;
	p->who = conf->who;
	err[0] = '\0';
	rc = probe(p, conf->devargs, err, err_len);
	if (rc < 0) {
		p->id = RTE_MAX_ETHPORTS;
		return rc;
	}
	rc = configure(p, conf, err, err_len);
	if (rc == 0)
		rc = start(p, conf->promiscuous, err, err_len);
	if (rc < 0) {
		if (err[0] == '\0')
			snprintf(err, err_len, "%s '%s': driver %s: %s", p->who, p->devargs,
			    p->driver, strerror(-rc));
		ob_port_close(p);
	}
	return rc;
}

/* A device with several ports (a NIC and its representors) goes with the last. */
static bool has_port(const struct rte_device *dev)
{
	struct rte_eth_dev_info info;

	for (uint16_t p = 0; p < RTE_MAX_ETHPORTS; p++) {
		if (rte_eth_dev_is_valid_port(p) && rte_eth_dev_info_get(p, &info) == 0 &&
		    info.device == dev)
			return true;
	}
	return false;
}

void ob_port_close(struct ob_port *p)
{
	struct rte_eth_dev_info info;

	if (!rte_eth_dev_is_valid_port(p->id))
		return;
	if (rte_eth_dev_info_get(p->id, &info) < 0)
		info.device = NULL;
	if (p->started)
		(void)rte_eth_dev_stop(p->id);
	p->started = false;
	(void)rte_eth_dev_close(p->id);
	if (info.device != NULL && !has_port(info.device))
		(void)rte_dev_remove(info.device);
	p->id = RTE_MAX_ETHPORTS;
}

bool ob_port_link_up(const struct ob_port *p, uint32_t *speed_mbps)
{
	struct rte_eth_link link = {0};

	*speed_mbps = 0;
	if (rte_eth_link_get_nowait(p->id, &link) < 0)
		return false;
	if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		*speed_mbps = link.link_speed;
	return link.link_status == RTE_ETH_LINK_UP;
}
