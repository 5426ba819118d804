/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_route

static const struct field fields[] = {
    {.name = "vnet",
	.head = "VNET",
	.kind = K_STR,
	.flags = F_KEY | F_FILTER,
	FIELD(R, vnet),
	.arg = "NAME",
	.help = "whose table it is in"},
    {.name = "prefix",
	.head = "PREFIX",
	.kind = K_PREFIX,
	.flags = F_KEY | F_POS,
	FIELD(R, prefix),
	.arg = "PREFIX",
	.help = "of destinations"},
    {.name = "to",
	.head = "TO",
	.kind = K_ROUTE_TO,
	.flags = F_ADD | F_SET | F_REQUIRED,
	.off = 0,
	.size = sizeof(struct R),
	.arg = "vnet:NAME|drop",
	.help = "VNET whose mappings know the destination, or drop"},
};

const struct noun noun_route = {
    .name = "route",
    .bus = OB_BUS_ROUTE,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "routes of the VNETs, longest prefix first",
    .about = "A route says in which VNET a destination is looked up. Without a route a packet is "
	     "dropped and counted (no_route).",
    .examples = "  obctl route add 10.1.0.0/16 --vnet red --to vnet:red\n"
		"  obctl route add 10.2.0.0/16 --vnet red --to vnet:blue     (peering)\n"
		"  obctl route add 10.1.9.0/24 --vnet red --to drop\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
