/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the card bus for NAT, allowances and live connections. Included by ob_bus.h. */
#pragma once

#include "ob_bus.h"

#include <assert.h>
#include <stdint.h>

/* ---- NAT ------------------------------------------------------------------------------------------------------------------ */

/* IPv4, network byte order; both ends belong to it. */
struct ob_bus_range {
	uint8_t first[4], last[4];
};
static_assert(sizeof(struct ob_bus_range) == 8, "wire layout");

#define OB_BUS_NAT_RANGES 8

/* Public addresses that ENIs share, a block of ports each. */
struct ob_bus_nat_pool {
	char name[OB_BUS_NAME]; /* key */
	char vnet[OB_BUS_NAME]; /* the outside */
	uint8_t mac[6];		/* told by ARP; zero: a fixed local one */
	uint16_t port_min, port_max, block_size, max_blocks; /* 0: default */
	uint8_t n_ranges;
	uint8_t reserved;
	struct ob_bus_range range[OB_BUS_NAT_RANGES];
	/* answers only */
	uint32_t n_addrs, n_blocks, n_blocks_used, n_enis;
	uint64_t n_asked, n_tries, n_blocks_taken, n_blocks_put, n_full, n_limit, n_untranslatable;
};
static_assert(sizeof(struct ob_bus_nat_pool) == 216, "wire layout");

/* Which pool translates an ENI's sources. */
struct ob_bus_nat_bind {
	char eni[OB_BUS_NAME]; /* key */
	char pool[OB_BUS_NAME];
};
static_assert(sizeof(struct ob_bus_nat_bind) == 64, "wire layout");

/* A public address that is one private address's alone, both ways. */
struct ob_bus_fip {
	char vnet[OB_BUS_NAME];	    /* key: the outside */
	struct ob_bus_ip public_ip; /* key: IPv4 */
	struct ob_bus_ip private_ip;
	char eni[OB_BUS_NAME];
	uint8_t mac[6]; /* as of a pool */
	uint8_t reserved[2];
};
static_assert(sizeof(struct ob_bus_fip) == 112, "wire layout");

/* The prefix under which an ENI's guest reaches IPv4. */
struct ob_bus_nat64 {
	char eni[OB_BUS_NAME]; /* key */
	struct ob_bus_ip prefix;
	uint32_t reserved;
};
static_assert(sizeof(struct ob_bus_nat64) == 56, "wire layout");

/* ---- allowances of an ENI --------------------------------------------------------------------------------------------------- */

enum ob_bus_meter_kind {
	OB_BUS_BW_OUT,
	OB_BUS_BW_IN,
	OB_BUS_PPS_OUT,
	OB_BUS_PPS_IN,
	OB_BUS_CPS,
	OB_BUS_CONNECTIONS,
	OB_BUS_N_METERS = 8 /* room */
};

/* SET all of them; DEL: no limits. Each ENI is listed. */
struct ob_bus_meter {
	char eni[OB_BUS_NAME]; /* key */
	uint64_t rate
	    [OB_BUS_N_METERS]; /* bits, packets, connections a second; live connections; 0: no limit */
	uint64_t burst[OB_BUS_N_METERS];    /* bytes, packets, connections; 0: default */
	uint64_t exceeded[OB_BUS_N_METERS]; /* answer: packets or connections refused */
};
static_assert(sizeof(struct ob_bus_meter) == 224, "wire layout");

/* ---- connections ------------------------------------------------------------------------------------------------------------ */

enum ob_bus_session_state {
	OB_BUS_TCP_SYN_SENT = 1,
	OB_BUS_TCP_SYN_SENT2,
	OB_BUS_TCP_SYN_RECV,
	OB_BUS_TCP_ESTABLISHED,
	OB_BUS_TCP_FIN_WAIT,
	OB_BUS_TCP_CLOSE_WAIT,
	OB_BUS_TCP_LAST_ACK,
	OB_BUS_TCP_TIME_WAIT,
	OB_BUS_TCP_CLOSE,
	OB_BUS_UDP_NEW,
	OB_BUS_UDP_REPLIED,
	OB_BUS_ICMP_NEW,
	OB_BUS_ICMP_REPLIED,
	OB_BUS_SCTP_INIT,
	OB_BUS_SCTP_ESTABLISHED,
	OB_BUS_SCTP_SHUTDOWN,
	OB_BUS_SCTP_CLOSED,
	OB_BUS_OTHER_NEW,
	OB_BUS_OTHER_REPLIED,
	OB_BUS_N_STATES
};

#define OB_BUS_MAX_STATES 24

/* What the connections of an ENI meet. SET; DEL: the defaults. Each ENI is listed. */
struct ob_bus_session_policy {
	char eni[OB_BUS_NAME]; /* key */
	uint8_t tcp_strict;    /* only a SYN opens a TCP connection: 0 default (on), 1 on, 2 off */
	uint8_t window_check;  /* sequence numbers: 0 default (on), 1 on, 2 off */
	uint8_t reserved[2];
	uint32_t max_half_open;		       /* unanswered connections; 0: no limit */
	uint32_t timeout_s[OB_BUS_MAX_STATES]; /* by enum ob_bus_session_state; 0: default */
};
static_assert(sizeof(struct ob_bus_session_policy) == 136, "wire layout");

/* LIST: live connections; the filter's non-zero fields that say so select. DEL with an ENI alone: ends all of its connections. */
struct ob_bus_session {
	char eni[OB_BUS_NAME];
	uint32_t worker;
	uint8_t proto; /* filter */
	uint8_t state; /* filter: enum ob_bus_session_state */
	uint8_t reserved[2];
	struct ob_bus_ip src, dst; /* of who opened it, as its packets arrived; filter: prefixes */
	uint16_t sport, dport;	   /* ICMP: identifier, type << 8 | code */
	uint16_t port;		   /* filter: either of them */
	uint8_t nat;		   /* 1: translated, what the other side sees is: */
	uint8_t reserved2;
	struct ob_bus_ip nat_src, nat_dst;
	uint16_t nat_sport, nat_dport;
	uint32_t limit; /* filter: at most so many; 0: all */
	uint32_t age_s, idle_s, expires_s;
	uint32_t reserved3;
	uint64_t n_pkts[2], n_bytes[2]; /* of who opened it, of the other */
};
static_assert(sizeof(struct ob_bus_session) == 184, "wire layout");

/* LIST: connections of an ENI, counted. */
struct ob_bus_session_eni {
	char eni[OB_BUS_NAME]; /* key */
	uint32_t live, live_max, half_open, half_open_max;
	uint32_t limit, half_open_limit; /* 0: none */
	uint64_t n_refused_limit, n_refused_half_open;
	uint64_t n_denied_in, n_denied_out; /* by security groups: packets */
	uint32_t available;		    /* under the limit; UINT32_MAX: there is none */
	uint32_t reserved;
};
static_assert(sizeof(struct ob_bus_session_eni) == 96, "wire layout");

/* LIST: a worker's table of connections. */
struct ob_bus_session_table {
	uint32_t worker;
	uint32_t reserved;
	uint64_t n_live4, n_live6, n_live4_max, n_live6_max;
	uint64_t n_added, n_deleted, n_expired, n_flushed;
	uint64_t n_refused_full, n_refused_limit, n_refused_half_open, n_refused_proto;
	uint64_t n_displaced, n_frag_live, n_frag_live_max;
	uint64_t memory_bytes; /* that its connections and its index occupy */
};
static_assert(sizeof(struct ob_bus_session_table) == 136, "wire layout");
