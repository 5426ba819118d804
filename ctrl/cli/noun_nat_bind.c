/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_nat_bind

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, eni),
	.arg = "ENI",
	.help = "whose connections are translated"},
    {.name = "pool",
	.head = "POOL",
	.kind = K_STR,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, pool),
	.arg = "NAME",
	.help = "that it takes public addresses and ports from"},
};

const struct noun noun_nat_bind = {
    .name = "nat-bind",
    .bus = OB_BUS_NAT_BIND,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "which NAT pool translates which ENI (may be written 'nat bind')",
    .about = "An ENI has at most one pool. Addresses of it that have a floating IP do not use it.",
    .examples = "  obctl nat bind add e1 --pool shared\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
