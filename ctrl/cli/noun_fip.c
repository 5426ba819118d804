/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_fip

static const struct field fields[] = {
    {.name = "public",
	.head = "PUBLIC",
	.kind = K_IP,
	.flags = F_KEY | F_POS,
	FIELD(R, public_ip),
	.arg = "ADDR",
	.help = "public IPv4 address"},
    {.name = "vnet",
	.head = "VNET",
	.kind = K_STR,
	.flags = F_KEY | F_FILTER,
	FIELD(R, vnet),
	.arg = "NAME",
	.help = "the outside: where the public address is"},
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_ADD | F_SET | F_REQUIRED | F_FILTER,
	FIELD(R, eni),
	.arg = "NAME",
	.help = "that has the private address"},
    {.name = "private",
	.head = "PRIVATE",
	.kind = K_IP,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, private_ip),
	.arg = "ADDR",
	.help = "address of the ENI; an IPv6 one is reached through NAT64"},
    {.name = "mac",
	.kind = K_MAC,
	.flags = F_ADD | F_SET,
	FIELD(R, mac),
	.arg = "MAC",
	.help = "that the card answers ARP with for the public address; default a fixed local one"},
};

const struct noun noun_fip = {
    .name = "fip",
    .bus = OB_BUS_FIP,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "floating IPs: a public address for one private one, both ways",
    .about = "Whatever comes to the public address goes to the private one, as far as the security "
	     "groups of the ENI permit, and what the\n"
	     "private address sends through a route with '--to nat:' leaves with the public one. "
	     "Ports stay as they are.",
    .examples = "  obctl fip add 203.0.113.5 --vnet internet --eni e1 --private 10.1.0.11\n"
		"  obctl fip del 203.0.113.5 --vnet internet\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
