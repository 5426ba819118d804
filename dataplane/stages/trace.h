/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/stages only: what a trace found out, between the workers' part (trace.c) and its words (trace_text.c). */
#pragma once

#include "ob_meter.h"
#include "stages_priv.h"

/* One ENI's judgement of the packet. */
struct trace_pass {
	bool done, from_guest;
	uint16_t eni;
	unsigned worker;
	struct rte_mbuf *pkt;
	struct ob_meta m; /* before; and after, with the way */

	verdict_t verdict;
	bool hit, stale;
	uint32_t gen; /* of the policy now */
	struct ob_session_info info;
	unsigned dir; /* of the packet in its session */
	bool asked_first;
	verdict_t first_verdict;
	struct first first;
	struct first_why why;
	bool asked_acl;
	struct ob_acl_why acl;
	enum ob_acl_dir acl_dir;
	bool is_new;
	struct ob_session_new n;
	bool asked_nat;
	struct ob_nat_peek nat;
	bool asked_pmtu;
	enum pmtu_way pmtu;
	bool unknown; /* what it looks like from here on depends on the port that it gets */
};

struct trace_run {
	const struct ob_trace_req *req;
	const struct ob_trace_names *names;
	uint8_t ip[2][16]; /* source and destination as it was sent */
	uint16_t ip_len;
	verdict_t arrival; /* from the wire: found an ENI? */
	struct trace_pass pass[2];
};

/* Puts a run into words. Context: control. */
void trace_text(const struct trace_run *r, struct ob_trace *out);
