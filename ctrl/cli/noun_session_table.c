/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_session_table

#define N(n, h, m)                                                                    \
	{                                                                             \
		.name = n, .head = h, .kind = K_UINT, .flags = F_COUNTER, FIELD(R, m) \
	}

static const struct field fields[] = {
    {.name = "worker",
	.head = "WORKER",
	.kind = K_UINT,
	.flags = F_FILTER,
	FIELD(R, worker),
	.arg = "N",
	.help = "only this worker's"},
    {.name = "live_ip4", .head = "IPV4", .kind = K_UINT, FIELD(R, n_live4)},
    {.name = "live_ip4_max", .head = "HIGHEST", .kind = K_UINT, FIELD(R, n_live4_max)},
    {.name = "live_ip6", .head = "IPV6", .kind = K_UINT, FIELD(R, n_live6)},
    {.name = "live_ip6_max", .head = "HIGHEST", .kind = K_UINT, FIELD(R, n_live6_max)},
    N("added", "ADDED", n_added),
    N("deleted", "DELETED", n_deleted),
    N("expired", "EXPIRED", n_expired),
    N("flushed", "FLUSHED", n_flushed),
    N("refused_full", "FULL", n_refused_full),
    N("refused_limit", "LIMIT", n_refused_limit),
    N("refused_half_open", "HALF-OPEN", n_refused_half_open),
    N("refused_protocol", "PROTOCOL", n_refused_proto),
    N("displaced", NULL, n_displaced),
    {.name = "fragmented", .kind = K_UINT, FIELD(R, n_frag_live)},
    {.name = "fragmented_max", .kind = K_UINT, FIELD(R, n_frag_live_max)},
    {.name = "memory_bytes", .head = "BYTES", .kind = K_UINT, FIELD(R, memory_bytes)},
};

const struct noun noun_session_table = {
    .name = "session-table",
    .bus = OB_BUS_SESSION_TABLE,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW | V_LIST,
    .help = "the workers' tables of connections: how full, what was refused",
    .about = "Each worker has a table of its own. Its size is set when the card starts (ob-card "
	     "--sessions); memory is used as\n"
	     "connections come. The columns FULL, LIMIT, HALF-OPEN and PROTOCOL count connections "
	     "that were refused, by reason.",
    .examples = "  obctl session-table show\n  obctl -i 1 session-table show     (per second)\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
