/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_vnet

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, name),
	.arg = "NAME",
	.help = "of the VNET"},
    {.name = "vni",
	.head = "VNI",
	.kind = K_UINT,
	.flags = F_ADD | F_REQUIRED,
	FIELD(R, vni),
	.arg = "N",
	.help = "virtual network identifier on the wire, 1 to 16777215"},
};

const struct noun noun_vnet = {
    .name = "vnet",
    .bus = OB_BUS_VNET,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "tenants' virtual networks",
    .about = "A VNET is an address space of its own. Packets cross from one to another only where "
	     "a route says so.",
    .examples = "  obctl vnet add red --vni 100\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
