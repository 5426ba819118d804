/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_nat_pool

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, name),
	.arg = "NAME",
	.help = "of the pool"},
    {.name = "vnet",
	.head = "VNET",
	.kind = K_STR,
	.flags = F_ADD | F_SET | F_REQUIRED,
	FIELD(R, vnet),
	.arg = "NAME",
	.help = "the outside: where the public addresses are"},
    {.name = "range",
	.head = "ADDRESSES",
	.kind = K_RANGE,
	.flags = F_ADD | F_SET | F_REQUIRED,
	LIST_OF(R, range, n_ranges),
	.arg = "RANGE",
	.help = "public IPv4 addresses: ADDR, ADDR-ADDR or ADDR/LEN"},
    {.name = "enis", .head = "ENIS", .kind = K_UINT, FIELD(R, n_enis)},
    {.name = "blocks", .head = "BLOCKS", .kind = K_UINT, FIELD(R, n_blocks)},
    {.name = "blocks_used", .head = "USED", .kind = K_UINT, FIELD(R, n_blocks_used)},
    {.name = "asked", .head = "ASKED", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_asked)},
    {.name = "refused_full", .head = "FULL", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_full)},
    {.name = "refused_limit",
	.head = "LIMIT",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_limit)},
    {.name = "refused_untranslatable",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_untranslatable)},
    {.name = "tries", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_tries)},
    {.name = "blocks_taken", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_blocks_taken)},
    {.name = "blocks_given_back", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_blocks_put)},
    {.name = "addresses", .kind = K_UINT, FIELD(R, n_addrs)},
    {.name = "port_min",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, port_min),
	.arg = "N",
	.help = "lowest port to give out; default 1024, which is the least"},
    {.name = "port_max",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, port_max),
	.arg = "N",
	.help = "highest one; default 65535"},
    {.name = "block_size",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, block_size),
	.arg = "N",
	.help = "ports that an ENI gets at a time, a power of two from 64 to 4096; default 256"},
    {.name = "max_blocks",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, max_blocks),
	.arg = "N",
	.help = "blocks that one ENI may hold; default 32"},
    {.name = "mac",
	.kind = K_MAC,
	.flags = F_ADD | F_SET,
	FIELD(R, mac),
	.arg = "MAC",
	.help = "that the card answers ARP with for these addresses; default a fixed local one"},
};

const struct noun noun_nat_pool = {
    .name = "nat-pool",
    .bus = OB_BUS_NAT_POOL,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "public addresses that ENIs share to reach an outside (may be written 'nat pool')",
    .about =
	"The outside is a VNET of its own, with a mapping to a gateway. An ENI that is bound to a "
	"pool ('obctl nat bind') opens\n"
	"connections through routes with '--to nat:GATEWAY@VNET' and takes ports of the pool's "
	"addresses for them, a block at a time.\n"
	"A block that no connection uses goes back to the pool.",
    .examples = "  obctl vnet add internet --vni 4000\n"
		"  obctl mapping add --vnet internet --ip 198.51.100.1 --mac 02:00:00:00:ff:01 "
		"--tunnel to-gw\n"
		"  obctl nat pool add shared --vnet internet --range 198.51.100.16/28\n"
		"  obctl nat bind add e1 --pool shared\n"
		"  obctl route add 0.0.0.0/0 --vnet red --to nat:198.51.100.1@internet\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
