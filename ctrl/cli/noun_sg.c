/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_sg

static const struct choice states[] = {{"ok", 1}, {"damaged", 2}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, is.name),
	.arg = "NAME",
	.help = "of the security group"},
    {.name = "n_rules", .head = "RULES", .kind = K_UINT, FIELD(R, is.n_items)},
    {.name = "n_prefixes", .head = "PREFIXES", .kind = K_UINT, FIELD(R, n_prefixes)},
    {.name = "bindings", .head = "BINDINGS", .kind = K_UINT, FIELD(R, n_bindings)},
    {.name = "state", .head = "STATE", .kind = K_CHOICE, FIELD(R, state), .choices = states},
    {.name = "generation", .kind = K_UINT, FIELD(R, generation)},
    {.name = "compile_us", .kind = K_UINT, FIELD(R, compile_us)},
    {.name = "compiled_bytes", .kind = K_UINT, FIELD(R, compiled_bytes)},
};

const struct noun noun_sg = {
    .name = "sg",
    .bus = OB_BUS_SG,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "security groups: rules that permit or deny new connections",
    .about =
	"A rule is a line:\n\n"
	"  PRIORITY ACTION PROTOCOLS [from ADDRESSES [port PORTS]] [to ADDRESSES [port PORTS]]\n\n"
	"  PRIORITY   a number, another one for each rule; of the rules that match, the lowest "
	"decides\n"
	"  ACTION     permit or deny: decided, no later stage is asked; permit-continue or\n"
	"             deny-continue: decided unless a rule of a later stage decides otherwise\n"
	"  PROTOCOLS  any, or a list of tcp udp icmp icmp6 sctp esp ah gre and numbers\n"
	"  ADDRESSES  any, or a list of IPv4 and IPv6 prefixes and tag:NAME\n"
	"  PORTS      any, or a list of ports and ranges; with tcp, udp and sctp\n\n"
	"After icmp or icmp6, 'type 8' or 'type 3/4' matches a type, or type and code. What "
	"follows "
	"a '#' is ignored.\n\n"
	"Rules are about who opens a connection; its answers pass by themselves. A group does "
	"nothing until it is bound to an ENI\n"
	"('obctl binding --help'). 'set' replaces all rules at once: live connections are judged "
	"anew with their next packets. A group\n"
	"that the card cannot compile is refused whole, and the old one stays.",
    .examples = "  obctl sg add web --rule '100 permit tcp from any to any port 80,443' \\\n"
		"      --rule '110 permit tcp from 10.0.0.0/8,tag:corp to any port 22'\n"
		"  obctl sg set web --file web.rules\n"
		"  obctl sg show web\n"
		"  generate-rules | obctl sg set web --file -\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .body = &body_rules,
};
