/* SPDX-License-Identifier: BSD-3-Clause */
/* What the underlay needs of rtnetlink's messages, as plain structs. The kernel is trusted, lengths are checked all the same. */
#pragma once

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "ob_encap.h"

struct nl_link {
	int ifindex;
	unsigned flags; /* IFF_* */
	uint32_t mtu;
	bool has_mac;
	uint8_t mac[6];
	char name[IFNAMSIZ];
};

struct nl_addr {
	int ifindex;
	uint8_t prefix_len, scope; /* RT_SCOPE_* */
	uint32_t flags;		   /* IFA_F_* */
	struct ob_ip ip;	   /* the local end */
};

struct nl_route {
	uint8_t family, type; /* RTN_* */
	uint32_t table;
	bool cloned;	  /* a cache entry, not a route of the table */
	int oif;	  /* 0: none */
	struct ob_ip via; /* gateway; family 0: on link */
	struct ob_ip src; /* preferred source; family 0: not told */
	uint32_t mtu;	  /* metric or learned path MTU; 0: the interface's */
};

struct nl_neigh {
	int ifindex;
	uint16_t state; /* NUD_* */
	bool has_lladdr;
	uint8_t lladdr[6];
	struct ob_ip ip;
};

/* Each parses the payload of its message kind. Returns 0; -EPROTO too short or an attribute of a bad length;
 * -EAFNOSUPPORT a family that is not IPv4 or IPv6 (bridge entries arrive on the same group). Context: any. */
int nl_parse_link(const struct nlmsghdr *nlh, struct nl_link *out);
int nl_parse_addr(const struct nlmsghdr *nlh, struct nl_addr *out);
int nl_parse_route(const struct nlmsghdr *nlh, struct nl_route *out);
int nl_parse_neigh(const struct nlmsghdr *nlh, struct nl_neigh *out);

/* Address bytes of a family; 0 for other families. */
unsigned nl_ip_len(uint8_t family);
