/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_session_policy

static const struct choice on_off[] = {{"on", 1}, {"off", 2}, {NULL, 0}};

/* A time-out: the option has the state's name. */
#define TIMEOUT(state_name, state, text)                                                        \
	{                                                                                       \
		.name = state_name, .kind = K_UINT, .flags = F_SET, FIELD(R, timeout_s[state]), \
		.arg = "SECONDS", .help = text                                                  \
	}

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, eni),
	.arg = "ENI",
	.help = "whose connections"},
    {.name = "tcp_strict",
	.head = "STRICT",
	.kind = K_CHOICE,
	.flags = F_SET,
	FIELD(R, tcp_strict),
	.choices = on_off,
	.arg = "S",
	.help = "a TCP connection begins with its SYN; off: it may be taken up later; default on"},
    {.name = "window_check",
	.head = "WINDOW-CHECK",
	.kind = K_CHOICE,
	.flags = F_SET,
	FIELD(R, window_check),
	.choices = on_off,
	.arg = "W",
	.help = "drop TCP segments outside of the window; default on"},
    {.name = "max_half_open",
	.head = "MAX-HALF-OPEN",
	.kind = K_UINT,
	.flags = F_SET,
	FIELD(R, max_half_open),
	.arg = "N",
	.help = "most connections that are not answered yet; default 0: no limit"},
    {.name = "tcp_established",
	.head = "TCP",
	.kind = K_UINT,
	.flags = F_SET,
	FIELD(R, timeout_s[OB_BUS_TCP_ESTABLISHED]),
	.arg = "SECONDS",
	.help = "idle time of an established TCP connection, 60 to 432000; default 7440"},
    {.name = "udp_replied",
	.head = "UDP",
	.kind = K_UINT,
	.flags = F_SET,
	FIELD(R, timeout_s[OB_BUS_UDP_REPLIED]),
	.arg = "SECONDS",
	.help = "idle time of UDP that was answered; default 300"},
    {.name = "icmp_replied",
	.head = "ICMP",
	.kind = K_UINT,
	.flags = F_SET,
	FIELD(R, timeout_s[OB_BUS_ICMP_REPLIED]),
	.arg = "SECONDS",
	.help = "idle time of a ping; default 60"},
    {.name = "other_replied",
	.head = "OTHER",
	.kind = K_UINT,
	.flags = F_SET,
	FIELD(R, timeout_s[OB_BUS_OTHER_REPLIED]),
	.arg = "SECONDS",
	.help = "idle time of other protocols; default 600"},
    TIMEOUT("tcp_syn_sent", OB_BUS_TCP_SYN_SENT, "a SYN is not answered; default 30"),
    TIMEOUT("tcp_syn_sent2", OB_BUS_TCP_SYN_SENT2, "both ends sent a SYN; default 30"),
    TIMEOUT("tcp_syn_recv", OB_BUS_TCP_SYN_RECV,
	"the last ACK of the handshake is missing; "
	"default 30"),
    TIMEOUT("tcp_fin_wait", OB_BUS_TCP_FIN_WAIT, "one end is done; default 240"),
    TIMEOUT("tcp_close_wait", OB_BUS_TCP_CLOSE_WAIT, "the other end knows that; default 240"),
    TIMEOUT("tcp_last_ack", OB_BUS_TCP_LAST_ACK, "both ends are done; default 30"),
    TIMEOUT("tcp_time_wait", OB_BUS_TCP_TIME_WAIT, "closed, late segments may come; default 30"),
    TIMEOUT("tcp_close", OB_BUS_TCP_CLOSE, "after a reset; default 10"),
    TIMEOUT("udp_new", OB_BUS_UDP_NEW, "UDP is not answered; default 30"),
    TIMEOUT("icmp_new", OB_BUS_ICMP_NEW, "a ping is not answered; default 60"),
    TIMEOUT("sctp_init", OB_BUS_SCTP_INIT, "SCTP's handshake; default 30"),
    TIMEOUT("sctp_established", OB_BUS_SCTP_ESTABLISHED, "idle SCTP; default 7440"),
    TIMEOUT("sctp_shutdown", OB_BUS_SCTP_SHUTDOWN, "SCTP's end; default 30"),
    TIMEOUT("sctp_closed", OB_BUS_SCTP_CLOSED, "after it; default 10"),
    TIMEOUT("other_new", OB_BUS_OTHER_NEW, "another protocol is not answered; default 60"),
};

const struct noun noun_session_policy = {
    .name = "session-policy",
    .bus = OB_BUS_SESSION_POLICY,
    .record_len = sizeof(struct R),
    .verbs = V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "time-outs and checks of an ENI's connections",
    .about = "Every ENI has the defaults until something is set; 'del' goes back to them. Live "
	     "connections follow when they are next\n"
	     "looked at. The time-outs are named for the states of 'obctl session list'. How many "
	     "connections an ENI may have is an\n"
	     "allowance ('obctl meter --help').",
    .examples = "  obctl session-policy set e1 --tcp-established 350 --max-half-open 1000\n"
		"  obctl session-policy show e1\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
