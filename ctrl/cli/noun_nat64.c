/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_nat64

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, eni),
	.arg = "ENI",
	.help = "whose guest speaks IPv6"},
    {.name = "prefix",
	.head = "PREFIX",
	.kind = K_PREFIX,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, prefix),
	.arg = "PREFIX",
	.help = "that IPv4 addresses are reached under; length 32, 40, 48, 56, 64 or 96"},
};

const struct noun noun_nat64 = {
    .name = "nat64",
    .bus = OB_BUS_NAT64,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "the IPv6 prefix under which an ENI reaches IPv4",
    .about = "A packet to an address under the prefix is translated to IPv4 (RFC 6146). It needs a "
	     "route for the prefix with '--to nat:', whose\n"
	     "gateway is an IPv4 address, and a NAT pool or a floating IP for the ENI.",
    .examples = "  obctl nat64 add e1 --prefix 64:ff9b::/96\n"
		"  obctl route add 64:ff9b::/96 --vnet red --to nat:198.51.100.1@internet\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
