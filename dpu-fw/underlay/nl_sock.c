/* SPDX-License-Identifier: BSD-3-Clause */
#include "nl_sock.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A burst of changes (a routing daemon that loads a table) should not overrun the socket. */
#define EVENT_RCVBUF (4 << 20)
#define BUF_BYTES    32768

struct nl_sock {
	struct mnl_socket *events, *query;
	uint32_t seq;
	_Alignas(8) uint8_t buf[BUF_BYTES];
};

static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};

int nl_open(struct nl_sock **out)
{
	struct timeval second = {.tv_sec = 1};
	struct nl_sock *nl = calloc(1, sizeof(*nl));
	int rc, size = EVENT_RCVBUF;

	if (nl == NULL)
		return -ENOMEM;
	nl->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	nl->query = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (nl->events == NULL || nl->query == NULL ||
	    mnl_socket_bind(nl->events, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_bind(nl->query, 0, MNL_SOCKET_AUTOPID) < 0)
		goto err_close;
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(
			nl->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			goto err_close;
	}
	/* Without the privilege the default size stays: then a resync comes sooner. */
	(void)setsockopt(
	    mnl_socket_get_fd(nl->events), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	/* The kernel answers within sendmsg; this only bounds the wait should that ever change. */
	(void)setsockopt(
	    mnl_socket_get_fd(nl->query), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	*out = nl;
	return 0;
err_close:
	rc = -errno;
	nl_close(nl);
	return rc;
}

void nl_close(struct nl_sock *nl)
{
	if (nl == NULL)
		return;
	if (nl->events != NULL)
		mnl_socket_close(nl->events);
	if (nl->query != NULL)
		mnl_socket_close(nl->query);
	free(nl);
}

int nl_event_fd(const struct nl_sock *nl)
{
	return mnl_socket_get_fd(nl->events);
}

int nl_read_events(struct nl_sock *nl, unsigned budget, nl_msg_fn fn, void *arg)
{
	while (budget-- > 0) {
		const struct nlmsghdr *nlh = (const void *)nl->buf;
		ssize_t got = mnl_socket_recvfrom(nl->events, nl->buf, sizeof(nl->buf));
		int len = (int)got;

		if (got < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE)
				fn(nlh, arg);
		}
	}
	return 1;
}

static struct nlmsghdr *request(struct nl_sock *nl, uint8_t *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = ++nl->seq;
	return nlh;
}

/* Sends and takes every message of the answer; an answer of an earlier request that was given up is passed over. */
static int transact(struct nl_sock *nl, const struct nlmsghdr *req, nl_msg_fn fn, void *arg)
{
	bool dump = (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	bool ack = req->nlmsg_flags & NLM_F_ACK;

	if (mnl_socket_sendto(nl->query, req, req->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		const struct nlmsghdr *nlh = (const void *)nl->buf;
		ssize_t got = mnl_socket_recvfrom(nl->query, nl->buf, sizeof(nl->buf));
		int len = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			if (nlh->nlmsg_seq != req->nlmsg_seq)
				continue;
			if (nlh->nlmsg_type == NLMSG_DONE)
				return 0;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

				return nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*e)) ? -EPROTO
										   : e->error;
			}
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && fn != NULL)
				fn(nlh, arg);
			if (!dump && !ack)
				return 0;
		}
	}
}

int nl_dump(struct nl_sock *nl, uint16_t type, uint8_t family, nl_msg_fn fn, void *arg)
{
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 64] = {0};
	struct nlmsghdr *nlh = request(nl, buf, type, NLM_F_DUMP);
	struct rtgenmsg *gen = mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtmsg));

	gen->rtgen_family = family;
	return transact(nl, nlh, fn, arg);
}

static void put_ip(struct nlmsghdr *nlh, uint16_t type, const struct ob_ip *ip)
{
	mnl_attr_put(nlh, type, nl_ip_len(ip->family), ip->b);
}

struct one {
	void *out;
	int rc;
};

static void take_route(const struct nlmsghdr *nlh, void *arg)
{
	struct one *one = arg;

	if (nlh->nlmsg_type == RTM_NEWROUTE)
		one->rc = nl_parse_route(nlh, one->out);
}

static void take_neigh(const struct nlmsghdr *nlh, void *arg)
{
	struct one *one = arg;

	if (nlh->nlmsg_type == RTM_NEWNEIGH)
		one->rc = nl_parse_neigh(nlh, one->out);
}

static void take_link(const struct nlmsghdr *nlh, void *arg)
{
	struct one *one = arg;

	if (nlh->nlmsg_type == RTM_NEWLINK)
		one->rc = nl_parse_link(nlh, one->out);
}

int nl_route_get(
    struct nl_sock *nl, const struct ob_ip *dst, const struct ob_ip *src, struct nl_route *out)
{
	struct one one = {.out = out, .rc = -EPROTO};
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 128] = {0};
	struct nlmsghdr *nlh = request(nl, buf, RTM_GETROUTE, 0);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	int rc;

	m->rtm_family = dst->family;
	m->rtm_dst_len = (uint8_t)(nl_ip_len(dst->family) * 8);
	put_ip(nlh, RTA_DST, dst);
	if (src->family == dst->family) {
		m->rtm_src_len = m->rtm_dst_len;
		put_ip(nlh, RTA_SRC, src);
	}
	rc = transact(nl, nlh, take_route, &one);
	return rc < 0 ? rc : one.rc;
}

static struct nlmsghdr *neigh_request(struct nl_sock *nl, uint8_t *buf, uint16_t type,
    uint16_t flags, int ifindex, const struct ob_ip *ip, uint8_t ntf)
{
	struct nlmsghdr *nlh = request(nl, buf, type, flags);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

	m->ndm_family = ip->family;
	m->ndm_ifindex = ifindex;
	m->ndm_flags = ntf;
	put_ip(nlh, NDA_DST, ip);
	return nlh;
}

int nl_neigh_get(struct nl_sock *nl, int ifindex, const struct ob_ip *ip, struct nl_neigh *out)
{
	struct one one = {.out = out, .rc = -EPROTO};
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 128] = {0};
	int rc =
	    transact(nl, neigh_request(nl, buf, RTM_GETNEIGH, 0, ifindex, ip, 0), take_neigh, &one);

	return rc < 0 ? rc : one.rc;
}

int nl_neigh_use(struct nl_sock *nl, int ifindex, const struct ob_ip *ip)
{
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 128] = {0};

	return transact(nl,
	    neigh_request(nl, buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, ifindex, ip, NTF_USE),
	    NULL, NULL);
}

int nl_link_get(struct nl_sock *nl, const char *name, struct nl_link *out)
{
	struct one one = {.out = out, .rc = -EPROTO};
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 128] = {0};
	struct nlmsghdr *nlh = request(nl, buf, RTM_GETLINK, 0);
	int rc;

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	rc = transact(nl, nlh, take_link, &one);
	return rc < 0 ? rc : one.rc;
}

int nl_link_setup(struct nl_sock *nl, int ifindex, const uint8_t mac[6], uint32_t mtu)
{
	_Alignas(8) uint8_t buf[MNL_NLMSG_HDRLEN + 128] = {0};
	struct nlmsghdr *nlh = request(nl, buf, RTM_NEWLINK, NLM_F_ACK);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

	m->ifi_index = ifindex;
	m->ifi_flags = IFF_UP;
	m->ifi_change = IFF_UP;
	mnl_attr_put(nlh, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return transact(nl, nlh, NULL, NULL);
}
