/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_worker

static const struct field fields[] = {
    {.name = "id",
	.head = "WORKER",
	.kind = K_UINT,
	.flags = F_FILTER,
	FIELD(R, id),
	.arg = "N",
	.help = "only this worker"},
    {.name = "cpu", .head = "CPU", .kind = K_INT, FIELD(R, cpu)},
    {.name = "busy_ns", .head = "BUSY-NS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, busy_ns)},
    {.name = "rounds", .head = "ROUNDS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_rounds)},
    {.name = "busy_rounds",
	.head = "BUSY",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_busy_rounds)},
    {.name = "sleeps", .head = "SLEEPS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_sleeps)},
    {.name = "wakeups", .head = "WAKEUPS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_wakeups)},
    {.name = "mail", .head = "MAIL", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_mail)},
    {.name = "handoff_in",
	.head = "HANDOFF-IN",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_handoff_in)},
    {.name = "handoff_out",
	.head = "HANDOFF-OUT",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_handoff_out)},
};

const struct noun noun_worker = {
    .name = "worker",
    .bus = OB_BUS_WORKER,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW | V_LIST,
    .help = "the cores that carry packets: how busy, how often asleep",
    .about = "A worker polls while there is work and sleeps when there is none, unless the card "
	     "runs with --idle=poll.",
    .examples = "  obctl -i 1 worker show     (busy-ns a second: 1000000000 is a full core)\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
