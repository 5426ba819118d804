/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_meter

/* An allowance with its burst and what was refused because of it. */
#define ALLOWANCE(n, h, kind_idx, argument, text)                                               \
	{                                                                                       \
		.name = n, .head = h, .kind = K_RATE, .flags = F_SET, FIELD(R, rate[kind_idx]), \
		.arg = argument, .help = text                                                   \
	}
#define BURST(n, kind_idx, argument, text)                                            \
	{                                                                             \
		.name = n, .kind = K_RATE, .flags = F_SET, FIELD(R, burst[kind_idx]), \
		.arg = argument, .help = text                                         \
	}
#define EXCEEDED(n, h, kind_idx)                                          \
	{                                                                 \
		.name = n, .head = h, .kind = K_UINT, .flags = F_COUNTER, \
		FIELD(R, exceeded[kind_idx])                              \
	}

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, eni),
	.arg = "ENI",
	.help = "whose allowances"},
    ALLOWANCE("bw_in", "BW-IN", OB_BUS_BW_IN, "BITS", "to the guest, bits a second: 500M, 10G"),
    ALLOWANCE("bw_out", "BW-OUT", OB_BUS_BW_OUT, "BITS", "from the guest, bits a second"),
    ALLOWANCE("pps_in", "PPS-IN", OB_BUS_PPS_IN, "N", "to the guest, packets a second"),
    ALLOWANCE("pps_out", "PPS-OUT", OB_BUS_PPS_OUT, "N", "from the guest, packets a second"),
    ALLOWANCE("cps", "CPS", OB_BUS_CPS, "N", "new connections a second, either way"),
    ALLOWANCE("connections", "CONNECTIONS", OB_BUS_CONNECTIONS, "N", "live connections"),
    EXCEEDED("bw_in_allowance_exceeded", "X-BW-IN", OB_BUS_BW_IN),
    EXCEEDED("bw_out_allowance_exceeded", "X-BW-OUT", OB_BUS_BW_OUT),
    EXCEEDED("pps_in_allowance_exceeded", "X-PPS-IN", OB_BUS_PPS_IN),
    EXCEEDED("pps_out_allowance_exceeded", "X-PPS-OUT", OB_BUS_PPS_OUT),
    EXCEEDED("cps_allowance_exceeded", "X-CPS", OB_BUS_CPS),
    EXCEEDED("conntrack_allowance_exceeded", "X-CONNECTIONS", OB_BUS_CONNECTIONS),
    BURST("bw_in_burst", OB_BUS_BW_IN, "BYTES", "at once after a silence; default 50 ms' worth"),
    BURST("bw_out_burst", OB_BUS_BW_OUT, "BYTES", "the same from the guest"),
    BURST("pps_in_burst", OB_BUS_PPS_IN, "N", "packets at once"),
    BURST("pps_out_burst", OB_BUS_PPS_OUT, "N", "the same from the guest"),
    BURST("cps_burst", OB_BUS_CPS, "N", "connections at once"),
};

const struct noun noun_meter = {
    .name = "meter",
    .bus = OB_BUS_METER,
    .record_len = sizeof(struct R),
    .verbs = V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "allowances of an ENI: bandwidth, packets, connections",
    .about =
	"What is over an allowance is dropped and counted as exceeded; 0 means no limit. Numbers "
	"take "
	"k, M, G and T (thousands).\n"
	"'del' takes all limits away. The counters are also in the metrics, under the names that "
	"alerting rules for clouds know.",
    .examples = "  obctl meter set e1 --bw-in 5G --bw-out 5G --pps-out 1M --cps 20k --connections "
		"200k\n"
		"  obctl -i 1 meter show e1\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
