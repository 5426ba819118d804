/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_binding

static const struct choice directions[] = {{"in", OB_BUS_IN}, {"out", OB_BUS_OUT}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, eni),
	.arg = "ENI",
	.help = "whose connections are judged"},
    {.name = "dir",
	.head = "DIR",
	.kind = K_CHOICE,
	.flags = F_KEY,
	FIELD(R, dir),
	.choices = directions,
	.arg = "DIR",
	.help = "connections that others open to the guest, or that it opens"},
    {.name = "stage",
	.head = "STAGE",
	.kind = K_UINT,
	.flags = F_KEY,
	FIELD(R, stage),
	.arg = "N",
	.help = "1 to 5, asked in this order"},
    {.name = "sg",
	.head = "SG",
	.kind = K_STR,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, sg),
	.arg = "NAME",
	.help = "security group that is asked there"},
};

const struct noun noun_binding = {
    .name = "binding",
    .alias = "bind",
    .bus = OB_BUS_BINDING,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .help = "which security groups judge the connections of which ENI",
    .about =
	"A new connection is judged stage by stage, 1 to 5; stages without a group are skipped. "
	"The verdict of a permit or deny is final.\n"
	"permit-continue and deny-continue are kept in mind, and the last of them stands: a later "
	"stage overrides a soft deny. A group none\n"
	"of whose rules matches denies, finally. While an ENI has no group in a direction, its "
	"default decides ('obctl eni set e1\n"
	"--default-in deny'). A binding is for IPv4 and IPv6 alike. Live connections are judged "
	"anew "
	"after every change.",
    .examples = "  obctl binding add e1 --dir in --stage 1 --sg baseline\n"
		"  obctl binding add e1 --dir in --stage 2 --sg web\n"
		"  obctl eni set e1 --default-in deny\n"
		"  obctl binding list e1\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
