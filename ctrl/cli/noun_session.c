/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_session

static const struct choice states[] = {{"tcp_syn_sent", OB_BUS_TCP_SYN_SENT},
    {"tcp_syn_sent2", OB_BUS_TCP_SYN_SENT2}, {"tcp_syn_recv", OB_BUS_TCP_SYN_RECV},
    {"tcp_established", OB_BUS_TCP_ESTABLISHED}, {"tcp_fin_wait", OB_BUS_TCP_FIN_WAIT},
    {"tcp_close_wait", OB_BUS_TCP_CLOSE_WAIT}, {"tcp_last_ack", OB_BUS_TCP_LAST_ACK},
    {"tcp_time_wait", OB_BUS_TCP_TIME_WAIT}, {"tcp_close", OB_BUS_TCP_CLOSE},
    {"udp_new", OB_BUS_UDP_NEW}, {"udp_replied", OB_BUS_UDP_REPLIED}, {"icmp_new", OB_BUS_ICMP_NEW},
    {"icmp_replied", OB_BUS_ICMP_REPLIED}, {"sctp_init", OB_BUS_SCTP_INIT},
    {"sctp_established", OB_BUS_SCTP_ESTABLISHED}, {"sctp_shutdown", OB_BUS_SCTP_SHUTDOWN},
    {"sctp_closed", OB_BUS_SCTP_CLOSED}, {"other_new", OB_BUS_OTHER_NEW},
    {"other_replied", OB_BUS_OTHER_REPLIED}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_FILTER,
	FIELD(R, eni),
	.arg = "NAME",
	.help = "of this ENI"},
    {.name = "proto",
	.head = "PROTO",
	.kind = K_PROTO,
	.flags = F_FILTER,
	FIELD(R, proto),
	.choices = ip_protocols,
	.arg = "P",
	.help = "of this protocol, a name or a number"},
    {.name = "state",
	.head = "STATE",
	.kind = K_CHOICE,
	.flags = F_FILTER,
	FIELD(R, state),
	.choices = states,
	.arg = "STATE",
	.help = "in this state"},
    {.name = "src",
	.head = "SRC",
	.kind = K_MATCH,
	.flags = F_FILTER | F_CARD,
	FIELD(R, src),
	.arg = "PREFIX",
	.help = "opened from there"},
    {.name = "sport",
	.head = "SPORT",
	.kind = K_UINT,
	.flags = F_FILTER,
	FIELD(R, sport),
	.arg = "N",
	.help = "opened from this port; of a ping: its identifier"},
    {.name = "dst",
	.head = "DST",
	.kind = K_MATCH,
	.flags = F_FILTER | F_CARD,
	FIELD(R, dst),
	.arg = "PREFIX",
	.help = "opened to there"},
    {.name = "dport",
	.head = "DPORT",
	.kind = K_UINT,
	.flags = F_FILTER,
	FIELD(R, dport),
	.arg = "N",
	.help = "opened to this port; of ICMP: type * 256 + code"},
    {.name = "port",
	.kind = K_UINT,
	.flags = F_FILTER | F_CARD | F_HIDE,
	FIELD(R, port),
	.arg = "N",
	.help = "from or to this port"},
    {.name = "nat_src", .head = "NAT-SRC", .kind = K_IP, FIELD(R, nat_src)},
    {.name = "nat_sport", .head = "NAT-SPORT", .kind = K_UINT, FIELD(R, nat_sport)},
    {.name = "nat_dst", .kind = K_IP, FIELD(R, nat_dst)},
    {.name = "nat_dport", .kind = K_UINT, FIELD(R, nat_dport)},
    {.name = "sent_packets", .head = "SENT", .kind = K_UINT, FIELD(R, n_pkts[0])},
    {.name = "received_packets", .head = "RECEIVED", .kind = K_UINT, FIELD(R, n_pkts[1])},
    {.name = "sent_bytes", .kind = K_UINT, FIELD(R, n_bytes[0])},
    {.name = "received_bytes", .kind = K_UINT, FIELD(R, n_bytes[1])},
    {.name = "age", .head = "AGE", .kind = K_UINT, FIELD(R, age_s)},
    {.name = "idle", .head = "IDLE", .kind = K_UINT, FIELD(R, idle_s)},
    {.name = "expires", .head = "EXPIRES", .kind = K_UINT, FIELD(R, expires_s)},
    {.name = "worker", .kind = K_UINT, FIELD(R, worker)},
    {.name = "limit",
	.kind = K_UINT,
	.flags = F_FILTER | F_CARD | F_HIDE,
	FIELD(R, limit),
	.arg = "N",
	.help = "at most so many; default 1000, 0: all"},
};

static void list_defaults(void *record)
{
	struct R *r = record;

	r->limit = 1000;
}

const struct noun noun_session = {
    .name = "session",
    .bus = OB_BUS_SESSION,
    .record_len = sizeof(struct R),
    .verbs = V_LIST | V_SHOW | V_FLUSH,
    .help = "live connections: list, counts, end them",
    .about =
	"'list' shows connections as who opened them sees it; what a NAT made of it is beside. The "
	"card filters, so that a list of\n"
	"a few out of millions is quick. Connections that come and go meanwhile may be missed. "
	"'show' "
	"counts them for each ENI.\n"
	"'flush' ends all connections of an ENI; what goes on sending is judged anew.\n"
	"Times are seconds. A packet between two ENIs of one card belongs to a connection of each.",
    .examples = "  obctl session list --eni e1 --proto tcp --state tcp_established\n"
		"  obctl session list --dst 203.0.113.0/24 --port 443 --json\n"
		"  obctl session show\n"
		"  obctl session flush --eni e1\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .stream = true,
    .list_defaults = list_defaults,
    .show = &noun_session_eni,
};
