/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the card bus for packet capture and for tracing. Included by ob_bus.h. */
#pragma once

#include "ob_bus.h"

#include <assert.h>
#include <stdint.h>

#define OB_BUS_CAPTURE_IFS 7
#define OB_BUS_PROTO_ARP   255 /* where a protocol of IP stands */

enum ob_bus_capture_state {
	OB_BUS_CAPTURE_RUNNING = 1,
	OB_BUS_CAPTURE_STOPPED = 2, /* as asked */
	OB_BUS_CAPTURE_LIMIT = 3,   /* it has what it was asked for */
	OB_BUS_CAPTURE_GONE = 4,    /* the reader of its socket, or its last interface, is gone */
	OB_BUS_CAPTURE_FAILED = 5,  /* 'error' of writing */
	OB_BUS_CAPTURE_ENDING = 6,  /* the end of the file is being written */
};

/* ADD: starts; the packet of the request carries one file descriptor (SCM_RIGHTS), a regular file or a stream socket that is open for
 * writing, and one record. DEL: ends a running one, forgets one that has ended. Captures do not outlive the card's process. */
struct ob_bus_capture {
	char name[OB_BUS_NAME]; /* key */
	char file[OB_BUS_PATH]; /* what the client calls it; for people */
	char eni[OB_BUS_CAPTURE_IFS][OB_BUS_NAME];
	char function[OB_BUS_CAPTURE_IFS][OB_BUS_NAME];
	uint8_t n_enis, n_functions;
	uint8_t uplink;	    /* 1: the uplink too */
	uint8_t direction;  /* 0 both; 1 in: to the guest, from the wire; 2 out */
	uint8_t only_drops; /* 1: nothing else */
	uint8_t proto;	    /* 0 any; OB_BUS_PROTO_ARP */
	uint16_t port;	    /* 0 any; either end */
	uint8_t n_ips;
	uint8_t state; /* answer: enum ob_bus_capture_state */
	uint8_t reserved[2];
	/* Prefixes: one: either end has it; two: one end has the first, the other end the second. */
	struct ob_bus_ip ip[2];
	uint32_t snaplen;      /* bytes of a packet; 0: all */
	uint32_t max_seconds;  /* 0: no limit; of the others too */
	uint32_t buffer_bytes; /* of a worker; 0: default */
	uint32_t reserved2;
	uint64_t max_pkts;	 /* written */
	uint64_t max_bytes;	 /* of packets, as they were */
	uint64_t max_file_bytes; /* of the file */
	/* answers */
	uint64_t n_matched;
	uint64_t n_lost; /* of these: the writing did not keep up */
	uint64_t n_written, n_bytes, n_file_bytes;
	uint64_t age_ns;
	int32_t error; /* errno of writing */
	uint32_t reserved3;
};
static_assert(sizeof(struct ob_bus_capture) == 736, "wire layout");

enum ob_bus_trace_verdict {
	OB_BUS_TRACE_DROPPED = 1, /* 'reason' */
	OB_BUS_TRACE_SENT = 2,
	OB_BUS_TRACE_DELIVERED = 3,
	OB_BUS_TRACE_ANSWERED = 4, /* by the card */
	OB_BUS_TRACE_UNKNOWN = 5,  /* it depends on what a trace does not take, such as a port */
};

/* LIST with a packet as its filter: what would happen to it, a record a step; the last tells the verdict. Nothing is changed by it. */
struct ob_bus_trace {
	char eni[OB_BUS_NAME];	  /* whose guest sends it, or gets it */
	char tunnel[OB_BUS_NAME]; /* from the wire: that it comes by; empty: not told */
	uint8_t from_wire;	  /* 1: to the ENI, from the wire */
	uint8_t proto;		  /* of IP */
	uint8_t ttl;		  /* 0: 64 */
	uint8_t tcp_flags;	  /* 0: SYN */
	uint8_t may_cut;	  /* 1: IPv4 without DF */
	uint8_t has_vni;	  /* 0: that of the ENI's VNET */
	uint16_t len;		  /* of the IP packet; 0: as short as it can be */
	uint32_t vni;		  /* from the wire */
	uint16_t sport, dport;	  /* ICMP: identifier, and type << 8 | code (0: echo request) */
	struct ob_bus_ip src, dst;
	uint8_t smac[6], dmac[6]; /* zero: what belongs there */
	/* answers */
	char stage[16];
	char result[24];
	char text[240];
	char reason[OB_BUS_NAME]; /* of a drop */
	uint16_t step, n_steps;
	uint8_t verdict; /* enum ob_bus_trace_verdict, of the whole */
	uint8_t reserved[7];
};
static_assert(sizeof(struct ob_bus_trace) == 456, "wire layout");
