/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_underlay.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_ring.h>

#include "follow.h"
#include "netns.h"
#include "nl_sock.h"
#include "ob_port.h"
#include "pmtu.h"
#include "pump.h"
#include "tap.h"

RTE_LOG_REGISTER(underlay_log, ob.underlay, NOTICE);

#define LOG(level, ...) rte_log(RTE_LOG_##level, underlay_log, "underlay: " __VA_ARGS__)
#define EVENTS_PER_READ 64
#define DRAIN_MAX	1024 /* times EVENTS_PER_READ: more than the socket holds */
#define SOON_US \
	20000 /* pause between parts of a long re-resolution: registers are served in between */

struct local {
	int ifindex;
	uint8_t prefix_len;
	struct ob_ip ip;
};

struct ob_underlay {
	struct ob_underlay_conf conf;
	struct ob_port port;
	struct tap tap;
	struct pump *pump;
	struct nl_sock *nl;
	struct follow *follow;
	struct event *nl_event, *tick;
	bool attached, link_up, too_many_locals;
	uint8_t mac[6]; /* of the TAP: what the kernel answers ARP with */
	uint32_t speed_mbps, n_routes;
	unsigned n_locals;
	struct local local[OB_MAX_LOCAL_ADDRS];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static bool is_local(const struct ob_underlay *u, const struct ob_ip *ip)
{
	for (unsigned i = 0; i < u->n_locals; i++) {
		if (memcmp(&u->local[i].ip, ip, sizeof(*ip)) == 0)
			return true;
	}
	return false;
}

/* ---- what the follower needs of kernel and dataplane ---- */

static int op_route_get(
    void *ctx, const struct ob_ip *dst, const struct ob_ip *src, struct nl_route *out)
{
	struct ob_underlay *u = ctx;

	if (src->family != 0 && !is_local(u, src))
		return -EADDRNOTAVAIL;
	return nl_route_get(u->nl, dst, src, out);
}

static int op_neigh_get(void *ctx, const struct ob_ip *ip, struct nl_neigh *out)
{
	struct ob_underlay *u = ctx;

	return nl_neigh_get(u->nl, u->tap.ifindex, ip, out);
}

static int op_neigh_use(void *ctx, const struct ob_ip *ip)
{
	struct ob_underlay *u = ctx;

	return nl_neigh_use(u->nl, u->tap.ifindex, ip);
}

static void op_publish(void *ctx, uint32_t tunnel, const struct ob_nexthop *nh)
{
	int rc = ob_tunnel_set_nexthop(tunnel, nh);

	(void)ctx;
	if (rc < 0)
		LOG(ERR, "tunnel %u: next hop refused: %s\n", tunnel, strerror(-rc));
}

static uint64_t op_tx_pkts(void *ctx, uint32_t tunnel)
{
	struct ob_tunnel_counters c = {0};

	(void)ctx;
	ob_tunnel_counters(tunnel, &c);
	return c.tx_pkts;
}

static const struct follow_ops ops = {
    op_route_get, op_neigh_get, op_neigh_use, op_publish, op_tx_pkts};

/* ---- the kernel's addresses ---- */

static void publish_locals(struct ob_underlay *u)
{
	struct ob_ip addr[OB_MAX_LOCAL_ADDRS];
	unsigned n = 0;
	int rc;

	for (unsigned i = 0; i < u->n_locals; i++) {
		unsigned j = 0;

		while (j < n && memcmp(&addr[j], &u->local[i].ip, sizeof(addr[j])) != 0)
			j++;
		if (j == n)
			addr[n++] = u->local[i].ip;
	}
	rc = ob_encap_set_local(addr, n, u->mac);
	if (rc < 0)
		LOG(ERR, "%u local addresses refused: %s\n", n, strerror(-rc));
}

static void change_local(struct ob_underlay *u, const struct nl_addr *a, bool deleted)
{
	unsigned i = 0;

	/* Loopback and link-local addresses are no tunnel ends. */
	if (a->scope >= RT_SCOPE_LINK)
		return;
	while (i < u->n_locals && (u->local[i].ifindex != a->ifindex ||
				      memcmp(&u->local[i].ip, &a->ip, sizeof(a->ip)) != 0))
		i++;
	if (deleted || (a->flags & IFA_F_DADFAILED)) {
		if (i < u->n_locals)
			u->local[i] = u->local[--u->n_locals];
		return;
	}
	if (i < u->n_locals)
		return;
	if (u->n_locals == OB_MAX_LOCAL_ADDRS) {
		if (!u->too_many_locals)
			LOG(WARNING, "more than %d local addresses: the rest is not accepted\n",
			    OB_MAX_LOCAL_ADDRS);
		u->too_many_locals = true;
		return;
	}
	u->local[u->n_locals].ifindex = a->ifindex;
	u->local[u->n_locals].prefix_len = a->prefix_len;
	u->local[u->n_locals++].ip = a->ip;
}

/* ---- netlink ---- */

static void take_link(struct ob_underlay *u, const struct nl_link *l, bool deleted)
{
	bool up = !deleted && (l->flags & IFF_UP);

	if (l->ifindex != u->tap.ifindex)
		return;
	if (l->has_mac && memcmp(u->mac, l->mac, sizeof(u->mac)) != 0) {
		struct rte_ether_addr mac;

		memcpy(u->mac, l->mac, sizeof(u->mac));
		memcpy(mac.addr_bytes, l->mac, sizeof(mac.addr_bytes));
		/* The operator gave the TAP another MAC: peers will send to that one. */
		(void)rte_eth_dev_default_mac_addr_set(u->port.id, &mac);
		publish_locals(u);
	}
	follow_set_link(u->follow, u->tap.ifindex, u->mac,
	    l->mtu && l->mtu < u->port.mtu ? l->mtu : u->port.mtu, up);
}

static void count_route(
    struct ob_underlay *u, const struct nlmsghdr *nlh, const struct nl_route *rt)
{
	if (rt->cloned || rt->type != RTN_UNICAST || rt->table != RT_TABLE_MAIN)
		return;
	if (nlh->nlmsg_type == RTM_DELROUTE)
		u->n_routes -= u->n_routes > 0;
	else if (!(nlh->nlmsg_flags & NLM_F_REPLACE))
		u->n_routes++;
}

/* One message, of a dump or of a change. */
static void take_msg(const struct nlmsghdr *nlh, void *arg)
{
	struct ob_underlay *u = arg;
	union {
		struct nl_link link;
		struct nl_addr addr;
		struct nl_route route;
		struct nl_neigh neigh;
	} m;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (nl_parse_link(nlh, &m.link) == 0)
			take_link(u, &m.link, nlh->nlmsg_type == RTM_DELLINK);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (nl_parse_addr(nlh, &m.addr) == 0)
			change_local(u, &m.addr, nlh->nlmsg_type == RTM_DELADDR);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (nl_parse_route(nlh, &m.route) == 0)
			count_route(u, nlh, &m.route);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (nl_parse_neigh(nlh, &m.neigh) == 0)
			follow_neigh(u->follow, &m.neigh, nlh->nlmsg_type == RTM_DELNEIGH);
		break;
	default:
		break;
	}
}

/* Everything anew: at the start, and after changes were lost. */
static int resync(struct ob_underlay *u)
{
	int rc;

	u->n_locals = 0;
	u->n_routes = 0;
	rc = nl_dump(u->nl, RTM_GETLINK, AF_UNSPEC, take_msg, u);
	if (rc == 0)
		rc = nl_dump(u->nl, RTM_GETADDR, AF_UNSPEC, take_msg, u);
	if (rc == 0)
		rc = nl_dump(u->nl, RTM_GETROUTE, AF_UNSPEC, take_msg, u);
	publish_locals(u);
	follow_resync(u->follow);
	return rc;
}

static void tick_in(struct ob_underlay *u, bool soon)
{
	struct timeval tv = {.tv_sec = soon ? 0 : 1, .tv_usec = soon ? SOON_US : 0};

	evtimer_add(u->tick, &tv);
}

struct changes {
	struct ob_underlay *u;
	bool addrs, routes;
};

static void take_change(const struct nlmsghdr *nlh, void *arg)
{
	struct changes *c = arg;

	take_msg(nlh, c->u);
	switch (nlh->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		c->addrs = true;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		c->routes = true;
		break;
	default:
		break;
	}
}

static void ignore(const struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	(void)arg;
}

static void on_netlink(evutil_socket_t fd, short what, void *arg)
{
	struct changes c = {.u = arg};
	int rc = nl_read_events(c.u->nl, EVENTS_PER_READ, take_change, &c);

	(void)fd;
	(void)what;
	if (rc == -ENOBUFS) {
		LOG(NOTICE, "netlink changes were lost: reading everything anew\n");
		/* What is still queued is older than the dump, and the kernel drops on, silently, until the queue was empty once. */
		for (unsigned i = 0; i < DRAIN_MAX && (rc == 1 || rc == -ENOBUFS); i++)
			rc = nl_read_events(c.u->nl, EVENTS_PER_READ, ignore, NULL);
		rc = resync(c.u);
	}
	if (rc < 0)
		LOG(ERR, "netlink: %s\n", strerror(-rc));
	if (c.addrs)
		publish_locals(c.u);
	if (c.addrs || c.routes) {
		follow_routes_changed(c.u->follow);
		tick_in(c.u, true);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ob_underlay *u = arg;
	bool up = ob_port_link_up(&u->port, &u->speed_mbps);

	(void)fd;
	(void)what;
	if (up != u->link_up) {
		LOG(NOTICE, "uplink %s is %s\n", u->port.devargs, up ? "up" : "down");
		u->link_up = up;
		tap_set_carrier(&u->tap, up);
	}
	tick_in(u, follow_tick(u->follow, now_ns()));
}

/* A frame that is on its way to the kernel. */
static void on_punt(void *arg, const uint8_t *frame, uint32_t len)
{
	struct ob_underlay *u = arg;
	struct pmtu_news news;

	if (pmtu_parse(frame, len, &news) == 0)
		(void)follow_pmtu(u->follow, &news, now_ns());
}

/* ---- life ---- */

/* What lives in the TAP's namespace. */
static int open_kernel_side(struct ob_underlay *u, char *err, size_t err_len)
{
	int rc, back;

	rc = netns_enter(u->conf.netns, &back, err, err_len);
	if (rc < 0)
		return rc;
	rc = nl_open(&u->nl);
	if (rc < 0)
		snprintf(err, err_len, "netlink: %s", strerror(-rc));
	else
		rc = tap_open(
		    &u->tap, u->conf.kernel_if, u->nl, u->port.mac, u->port.mtu, err, err_len);
	netns_leave(back);
	return rc;
}

static int attach(struct ob_underlay *u)
{
	struct ob_uplink_conf conf = {
	    .port_id = u->port.id,
	    .n_rxq = u->port.n_rxq,
	    .n_txq = u->port.n_txq,
	    .rx_offloads = u->port.rx_offloads,
	    .tx_offloads = u->port.tx_offloads,
	    .mtu = u->port.mtu,
	    .punt_ring = pump_punt_ring(u->pump),
	    .inject_ring = pump_inject_ring(u->pump),
	    .punt_event_fd = pump_event_fd(u->pump),
	};
	int rc = ob_uplink_attach(&conf);

	u->attached = rc == 0;
	return rc;
}

static int start_events(struct ob_underlay *u)
{
	u->nl_event =
	    event_new(u->conf.base, nl_event_fd(u->nl), EV_READ | EV_PERSIST, on_netlink, u);
	u->tick = evtimer_new(u->conf.base, on_tick, u);
	if (u->nl_event == NULL || u->tick == NULL || event_add(u->nl_event, NULL) < 0)
		return -ENOMEM;
	u->link_up = ob_port_link_up(&u->port, &u->speed_mbps);
	tap_set_carrier(&u->tap, u->link_up);
	tick_in(u, false);
	return 0;
}

int ob_underlay_create(
    const struct ob_underlay_conf *conf, struct ob_underlay **out, char *err, size_t err_len)
{
	struct ob_underlay *u = calloc(1, sizeof(*u));
	int rc = -ENOMEM;

	if (u == NULL)
		return -ENOMEM;
	err[0] = '\0';
	u->conf = *conf;
	u->conf.devargs = u->port.devargs;
	if (conf->kernel_if == NULL)
		u->conf.kernel_if = "ob-up0";
	u->tap.fd = -1;
	u->port.id = RTE_MAX_ETHPORTS;
	rc = ob_port_open(&u->port,
	    &(struct ob_port_conf){.who = "uplink", .devargs = conf->devargs, .mtu = conf->mtu},
	    err, err_len);
	if (rc == 0)
		rc = open_kernel_side(u, err, err_len);
	if (rc == 0) {
		memcpy(u->mac, u->port.mac, sizeof(u->mac));
		rc = follow_create(&ops, u, &u->follow);
	}
	if (rc == 0)
		rc = pump_create(conf->base, &u->tap, u->port.mtu, on_punt, u, &u->pump);
	if (rc == 0)
		rc = resync(u);
	if (rc == 0)
		rc = start_events(u);
	if (rc == 0)
		rc = attach(u);
	if (rc < 0) {
		if (err[0] == '\0')
			snprintf(err, err_len, "uplink '%s': %s", conf->devargs, strerror(-rc));
		ob_underlay_destroy(u);
		return rc;
	}
	/* Pointers of the caller that are not needed any more. */
	u->conf.kernel_if = u->tap.name;
	u->conf.netns = NULL;
	*out = u;
	return 0;
}

void ob_underlay_destroy(struct ob_underlay *u)
{
	if (u == NULL)
		return;
	if (u->attached)
		ob_uplink_detach();
	if (u->nl_event != NULL)
		event_free(u->nl_event);
	if (u->tick != NULL)
		event_free(u->tick);
	ob_port_close(&u->port);
	pump_destroy(u->pump);
	tap_close(&u->tap);
	follow_destroy(u->follow);
	nl_close(u->nl);
	free(u);
}

int ob_underlay_tunnel_add(struct ob_underlay *u, uint32_t idx)
{
	const struct ob_tunnel_cfg *cfg = ob_tunnel_get(idx);
	uint16_t port;

	if (cfg == NULL)
		return -EINVAL;
	if (u == NULL)
		return 0;
	port = cfg->dst_port ? cfg->dst_port : cfg->type == OB_ENCAP_VXLAN ? 4789 : 6081;
	return follow_add(u->follow, idx, &cfg->remote, &cfg->local, port);
}

void ob_underlay_tunnel_del(struct ob_underlay *u, uint32_t idx)
{
	if (u != NULL)
		follow_del(u->follow, idx);
}

int ob_underlay_way(const struct ob_underlay *u, uint32_t idx, struct ob_underlay_way *out)
{
	return u == NULL ? -ENOENT : follow_way(u->follow, idx, out);
}

void ob_underlay_get_info(const struct ob_underlay *u, struct ob_underlay_info *out)
{
	struct rte_eth_stats st = {0};

	memset(out, 0, sizeof(*out));
	memcpy(out->devargs, u->port.devargs, sizeof(out->devargs));
	memcpy(out->kernel_if, u->tap.name, sizeof(out->kernel_if));
	memcpy(out->driver, u->port.driver, sizeof(out->driver));
	memcpy(out->mac, u->mac, sizeof(out->mac));
	out->mtu = u->port.mtu;
	out->link_up = u->link_up;
	out->n_rxq = u->port.n_rxq;
	out->n_txq = u->port.n_txq;
	out->speed_mbps = u->speed_mbps;
	for (unsigned i = 0; i < u->n_locals && out->n_addrs < OB_UNDERLAY_MAX_ADDRS; i++) {
		out->prefix_len[out->n_addrs] = u->local[i].prefix_len;
		out->addr[out->n_addrs++] = u->local[i].ip;
	}
	if (rte_eth_stats_get(u->port.id, &st) == 0) {
		out->rx_missed = st.imissed + st.rx_nombuf;
		out->rx_errors = st.ierrors;
		out->tx_errors = st.oerrors;
	}
	pump_counters(u->pump, &out->punt_failed, &out->inject_failed);
	out->n_routes = u->n_routes;
	out->n_neighbours = follow_n_neighbours(u->follow);
}
