/* SPDX-License-Identifier: BSD-3-Clause */
#include "nl_parse.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_ATTR 64

struct attrs {
	const struct nlattr *at[MAX_ATTR];
};

unsigned nl_ip_len(uint8_t family)
{
	switch (family) {
	case AF_INET:
		return 4;
	case AF_INET6:
		return 16;
	default:
		return 0;
	}
}

static int collect(const struct nlattr *attr, void *data)
{
	struct attrs *a = data;
	uint16_t type = mnl_attr_get_type(attr);

	if (type < MAX_ATTR)
		a->at[type] = attr;
	return MNL_CB_OK;
}

/* The header of 'len' bytes is there, and the attributes after it are whole. */
static int parse_attrs(const struct nlmsghdr *nlh, size_t len, struct attrs *out)
{
	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_len < MNL_NLMSG_HDRLEN + len)
		return -EPROTO;
	mnl_attr_parse(nlh, (unsigned)len, collect, out);
	return 0;
}

static int get_u32(const struct attrs *a, unsigned type, uint32_t *out)
{
	const struct nlattr *attr = a->at[type];

	if (attr == NULL)
		return 0;
	if (mnl_attr_get_payload_len(attr) != sizeof(*out))
		return -EPROTO;
	*out = mnl_attr_get_u32(attr);
	return 0;
}

static int get_ip(const struct attrs *a, unsigned type, uint8_t family, struct ob_ip *out)
{
	const struct nlattr *attr = a->at[type];

	if (attr == NULL)
		return 0;
	if (mnl_attr_get_payload_len(attr) != nl_ip_len(family))
		return -EPROTO;
	memset(out, 0, sizeof(*out));
	out->family = family;
	memcpy(out->b, mnl_attr_get_payload(attr), nl_ip_len(family));
	return 0;
}

static int get_mac(const struct attrs *a, unsigned type, uint8_t mac[6], bool *has)
{
	const struct nlattr *attr = a->at[type];

	*has = attr != NULL && mnl_attr_get_payload_len(attr) == 6;
	if (*has)
		memcpy(mac, mnl_attr_get_payload(attr), 6);
	return 0;
}

int nl_parse_link(const struct nlmsghdr *nlh, struct nl_link *out)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(nlh);
	struct attrs a;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_attrs(nlh, sizeof(*m), &a);
	if (rc < 0)
		return rc;
	if (m->ifi_family != AF_UNSPEC)
		return -EAFNOSUPPORT;
	out->ifindex = m->ifi_index;
	out->flags = m->ifi_flags;
	if (a.at[IFLA_IFNAME] != NULL) {
		if (mnl_attr_validate(a.at[IFLA_IFNAME], MNL_TYPE_NUL_STRING) < 0)
			return -EPROTO;
		strncpy(out->name, mnl_attr_get_str(a.at[IFLA_IFNAME]), sizeof(out->name) - 1);
	}
	get_mac(&a, IFLA_ADDRESS, out->mac, &out->has_mac);
	return get_u32(&a, IFLA_MTU, &out->mtu);
}

int nl_parse_addr(const struct nlmsghdr *nlh, struct nl_addr *out)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	struct attrs a;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_attrs(nlh, sizeof(*m), &a);
	if (rc < 0)
		return rc;
	if (nl_ip_len(m->ifa_family) == 0)
		return -EAFNOSUPPORT;
	out->ifindex = (int)m->ifa_index;
	out->prefix_len = m->ifa_prefixlen;
	out->scope = m->ifa_scope;
	out->flags = m->ifa_flags;
	rc = get_u32(&a, IFA_FLAGS, &out->flags);
	if (rc < 0)
		return rc;
	/* On a point-to-point link IFA_ADDRESS is the peer and IFA_LOCAL is us; elsewhere IPv6 has only IFA_ADDRESS. */
	rc = get_ip(&a, a.at[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS, m->ifa_family, &out->ip);
	if (rc < 0)
		return rc;
	return out->ip.family ? 0 : -EPROTO;
}

static int parse_metrics(const struct nlattr *metrics, uint32_t *mtu)
{
	struct attrs a = {0};

	if (metrics == NULL)
		return 0;
	mnl_attr_parse_nested(metrics, collect, &a);
	return get_u32(&a, RTAX_MTU, mtu);
}

/* RTA_VIA: an IPv4 route through an IPv6 neighbour (RFC 5549). */
static int parse_via(const struct nlattr *attr, struct ob_ip *out)
{
	const struct rtvia *via;
	size_t len;

	if (attr == NULL)
		return 0;
	len = mnl_attr_get_payload_len(attr);
	via = mnl_attr_get_payload(attr);
	if (len < sizeof(*via) || via->rtvia_family > AF_MAX ||
	    nl_ip_len((uint8_t)via->rtvia_family) == 0 ||
	    len != sizeof(*via) + nl_ip_len((uint8_t)via->rtvia_family))
		return -EPROTO;
	memset(out, 0, sizeof(*out));
	out->family = (uint8_t)via->rtvia_family;
	memcpy(out->b, via->rtvia_addr, nl_ip_len(out->family));
	return 0;
}

int nl_parse_route(const struct nlmsghdr *nlh, struct nl_route *out)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	uint32_t oif = 0;
	struct attrs a;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_attrs(nlh, sizeof(*m), &a);
	if (rc < 0)
		return rc;
	if (nl_ip_len(m->rtm_family) == 0)
		return -EAFNOSUPPORT;
	out->family = m->rtm_family;
	out->type = m->rtm_type;
	out->table = m->rtm_table;
	out->cloned = m->rtm_flags & RTM_F_CLONED;
	if ((rc = get_u32(&a, RTA_TABLE, &out->table)) < 0 ||
	    (rc = get_u32(&a, RTA_OIF, &oif)) < 0 ||
	    (rc = get_ip(&a, RTA_GATEWAY, m->rtm_family, &out->via)) < 0 ||
	    (rc = parse_via(a.at[RTA_VIA], &out->via)) < 0 ||
	    (rc = get_ip(&a, RTA_PREFSRC, m->rtm_family, &out->src)) < 0 ||
	    (rc = parse_metrics(a.at[RTA_METRICS], &out->mtu)) < 0)
		return rc;
	out->oif = (int)oif;
	return 0;
}

int nl_parse_neigh(const struct nlmsghdr *nlh, struct nl_neigh *out)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(nlh);
	struct attrs a;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_attrs(nlh, sizeof(*m), &a);
	if (rc < 0)
		return rc;
	if (nl_ip_len(m->ndm_family) == 0)
		return -EAFNOSUPPORT;
	out->ifindex = m->ndm_ifindex;
	out->state = m->ndm_state;
	get_mac(&a, NDA_LLADDR, out->lladdr, &out->has_lladdr);
	rc = get_ip(&a, NDA_DST, m->ndm_family, &out->ip);
	if (rc < 0)
		return rc;
	return out->ip.family ? 0 : -EPROTO;
}
