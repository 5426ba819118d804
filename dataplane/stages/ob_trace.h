/* SPDX-License-Identifier: BSD-3-Clause */
/* What would happen to a packet, stage by stage, and why. Included by ob_stages.h.
 *
 * The decisions are those of the stages themselves, asked on the worker that owns the packet's connection, with nothing counted, opened
 * or charged. Not judged: TCP state and window of a connection that is known, what is left of allowances, and whether the guest
 * or the port takes the packet. Fragments and ICMP errors cannot be traced.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ob_encap.h"

struct ob_trace_req {
	bool from_guest; /* of 'eni'; else from the wire, to it */
	uint16_t eni;
	uint8_t proto; /* of IP; TCP packets are a SYN unless told otherwise */
	uint8_t ttl;   /* 0: 64 */
	uint8_t tcp_flags;
	bool no_df; /* IPv4: may be cut */
	struct ob_ip src, dst;
	uint16_t sport,
	    dport;    /* host order; ICMP: identifier, and type << 8 | code (0: echo request) */
	uint16_t len; /* of the IP packet; 0: as short as it can be */
	uint8_t smac[6], dmac[6]; /* zero: what belongs there */
	uint32_t vni;		  /* from the wire; UINT32_MAX: of the ENI's VNET */
	uint32_t tunnel;	  /* that it comes by; UINT32_MAX: none is named */
};

/* What a trace calls things. NULL: numbers. */
enum ob_trace_kind {
	OB_TRACE_ENI,
	OB_TRACE_FUNCTION, /* by vif */
	OB_TRACE_VNET,
	OB_TRACE_TUNNEL,
	OB_TRACE_GROUP,
	OB_TRACE_POOL
};

struct ob_trace_names {
	const char *(*get)(void *ctx, enum ob_trace_kind kind, uint32_t idx); /* or NULL */
	void *ctx;
};

enum ob_trace_verdict {
	OB_TRACE_DROPPED = 1, /* reason */
	OB_TRACE_SENT,	      /* into 'tunnel' */
	OB_TRACE_DELIVERED,   /* to the guest of 'eni' */
	OB_TRACE_ANSWERED,    /* by the card */
	OB_TRACE_UNKNOWN,     /* the rest depends on what a trace does not take, such as a port */
};

#define OB_TRACE_STEPS 40
#define OB_TRACE_TEXT  240

struct ob_trace_step {
	char stage[16];
	char result[24];
	char text[OB_TRACE_TEXT];
};

struct ob_trace {
	uint8_t verdict; /* enum ob_trace_verdict */
	uint8_t reason;	 /* enum ob_drop */
	uint16_t eni;	 /* whose policy had the last word */
	uint32_t tunnel;
	unsigned n;
	struct ob_trace_step step[OB_TRACE_STEPS]; /* the last tells the verdict */
};

/* Traces a packet. 'err' (may be NULL): what is wrong with the request. Context: control.
 * Returns 0; -EINVAL; -ENOENT no such ENI; -ENOMEM. */
int ob_trace(const struct ob_trace_req *req, const struct ob_trace_names *names,
    struct ob_trace *out, char *err, size_t err_len);
