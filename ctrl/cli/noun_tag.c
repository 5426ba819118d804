/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_tag

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, is.name),
	.arg = "NAME",
	.help = "of the tag"},
    {.name = "n_prefixes", .head = "PREFIXES", .kind = K_UINT, FIELD(R, is.n_items)},
    {.name = "n_ip4", .head = "IPV4", .kind = K_UINT, FIELD(R, n_ip4)},
    {.name = "generation", .head = "GENERATION", .kind = K_UINT, FIELD(R, generation)},
};

const struct noun noun_tag = {
    .name = "tag",
    .bus = OB_BUS_TAG,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "named lists of prefixes for the rules of security groups",
    .about =
	"A rule names a tag as tag:NAME in place of prefixes. 'set' replaces the list, and all "
	"groups that name it follow at once.\n"
	"A file has one prefix a line; IPv4 and IPv6 may be mixed.",
    .examples = "  obctl tag add corp --prefix 203.0.113.0/24 --prefix 2001:db8:c0::/48\n"
		"  obctl tag set corp --file corp.prefixes\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .body = &body_prefixes,
};
