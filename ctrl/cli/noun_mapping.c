/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_mapping

static const struct field fields[] = {
    {.name = "vnet",
	.head = "VNET",
	.kind = K_STR,
	.flags = F_KEY | F_FILTER,
	FIELD(R, vnet),
	.arg = "NAME",
	.help = "that the address belongs to"},
    {.name = "ip",
	.head = "ADDRESS",
	.kind = K_IP,
	.flags = F_KEY,
	FIELD(R, ca),
	.arg = "ADDR",
	.help = "customer address"},
    {.name = "mac",
	.head = "MAC",
	.kind = K_MAC,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, mac),
	.arg = "MAC",
	.help = "of the remote ENI"},
    {.name = "tunnel",
	.head = "TUNNEL",
	.kind = K_STR,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, tunnel),
	.arg = "NAME",
	.help = "to the card that has it"},
    {.name = "vni",
	.head = "VNI",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, vni),
	.arg = "N",
	.help = "to put on the wire; default the VNET's"},
};

const struct noun noun_mapping = {
    .name = "mapping",
    .bus = OB_BUS_MAPPING,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST,
    .help = "which customer address is behind which tunnel (CA to PA)",
    .about = "A mapping places an address of a VNET on another card. ENIs of this card need none.",
    .examples =
	"  obctl mapping add --vnet red --ip 10.1.0.12 --mac 02:00:00:00:00:12 --tunnel to-b\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
