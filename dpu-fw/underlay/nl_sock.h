/* SPDX-License-Identifier: BSD-3-Clause */
/* Two netlink sockets in the underlay's namespace: one hears changes, one asks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nl_parse.h"

struct nl_sock;

/* Opens both in the calling thread's namespace. Returns 0, -ENOMEM, -errno. */
int nl_open(struct nl_sock **out);
void nl_close(struct nl_sock *nl); /* NULL is legal */
/* Readable when something changed. */
int nl_event_fd(const struct nl_sock *nl);

/* Called for each message of an event or a dump. */
typedef void (*nl_msg_fn)(const struct nlmsghdr *nlh, void *arg);

/* Reads up to 'budget' datagrams of changes. Returns 0 nothing is left, 1 more may be there, -ENOBUFS changes were lost (the caller dumps
 * again), -errno. */
int nl_read_events(struct nl_sock *nl, unsigned budget, nl_msg_fn fn, void *arg);

/* Walks all objects of 'type' (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE) and 'family' (AF_UNSPEC: all). Returns 0, -errno. */
int nl_dump(struct nl_sock *nl, uint16_t type, uint8_t family, nl_msg_fn fn, void *arg);

/* How the kernel would send to 'dst' (from 'src', family 0: any), with learned exceptions. Returns 0, -ENETUNREACH, -EHOSTUNREACH,
 * -errno. */
int nl_route_get(
    struct nl_sock *nl, const struct ob_ip *dst, const struct ob_ip *src, struct nl_route *out);

/* The kernel's neighbour entry. Returns 0, -ENOENT. */
int nl_neigh_get(struct nl_sock *nl, int ifindex, const struct ob_ip *ip, struct nl_neigh *out);

/* Lets the kernel believe that it is about to send to that neighbour: it resolves an unknown one and probes a stale one. */
int nl_neigh_use(struct nl_sock *nl, int ifindex, const struct ob_ip *ip);

int nl_link_get(struct nl_sock *nl, const char *name, struct nl_link *out);
/* Sets MAC and MTU and brings the interface up. */
int nl_link_setup(struct nl_sock *nl, int ifindex, const uint8_t mac[6], uint32_t mtu);
