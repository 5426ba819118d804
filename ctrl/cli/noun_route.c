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
	.arg = "WAY",
	.help = "vnet:NAME, via:ADDR[,ADDR...]@VNET, nat:ADDR[,ADDR...]@VNET or drop"},
};

const struct noun noun_route = {
    .name = "route",
    .bus = OB_BUS_ROUTE,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "routes of the VNETs, longest prefix first",
    .about =
	"A route says where packets to a prefix go. Without a route a packet is dropped and "
	"counted "
	"(no_route).\n\n"
	"  vnet:NAME                 to whoever has the destination in that VNET (its own, or a "
	"peer)\n"
	"  via:ADDR[,ADDR...]@VNET   to a next hop, an address of that VNET; connections are "
	"spread "
	"over several\n"
	"  nat:ADDR[,ADDR...]@VNET   the same, with a public address as the source: the floating "
	"IP "
	"or the NAT pool of the ENI\n"
	"  drop                      nowhere",
    .examples = "  obctl route add 10.1.0.0/16 --vnet red --to vnet:red\n"
		"  obctl route add 10.2.0.0/16 --vnet red --to vnet:blue     (peering)\n"
		"  obctl route add 10.9.0.0/16 --vnet red --to via:10.1.0.20,10.1.0.21@red\n"
		"  obctl route add 0.0.0.0/0 --vnet red --to nat:198.51.100.1@internet\n"
		"  obctl route add 10.1.9.0/24 --vnet red --to drop\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
