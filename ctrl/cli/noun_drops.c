/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_drop

static const struct field fields[] = {
    {.name = "function",
	.head = "FUNCTION",
	.kind = K_STR,
	.flags = F_FILTER,
	FIELD(R, function),
	.arg = "NAME",
	.help = "only this function, with the reasons that count 0; 'uplink': packets that reached "
		"none"},
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_FILTER,
	FIELD(R, eni),
	.arg = "NAME",
	.help = "only the function of this ENI"},
    {.name = "reason",
	.head = "REASON",
	.kind = K_STR,
	.flags = F_KEY,
	FIELD(R, reason),
	.arg = "NAME",
	.help = "only this reason"},
    {.name = "packets", .head = "PACKETS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_pkts)},
    {.name = "help", .head = "MEANING", .kind = K_STR, FIELD(R, help)},
};

const struct noun noun_drops = {
    .name = "drops",
    .alias = "drop",
    .bus = OB_BUS_DROP,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW | V_LIST,
    .help = "why packets were dropped, per function and reason",
    .about = "Every drop has one reason and is counted there, on the function whose packet it was.",
    .examples = "  obctl drops show\n  obctl drops show --function f1\n  obctl drops show --eni e1 "
		"--reason acl_in\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
