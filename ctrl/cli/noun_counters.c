/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_queue

static const struct choice flags[] = {{"running", 1}, {"packed", 2}, {"broken", 4}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "function",
	.head = "FUNCTION",
	.kind = K_STR,
	.flags = F_FILTER,
	FIELD(R, function),
	.arg = "NAME",
	.help = "only this function"},
    {.name = "queue",
	.head = "QUEUE",
	.kind = K_UINT,
	.flags = F_KEY,
	FIELD(R, queue),
	.arg = "N",
	.help = "only this virtqueue"},
    {.name = "size", .head = "SIZE", .kind = K_UINT, FIELD(R, size)},
    {.name = "worker", .head = "WORKER", .kind = K_INT, FIELD(R, worker)},
    {.name = "packets", .head = "PACKETS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_pkts)},
    {.name = "bytes", .head = "BYTES", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_bytes)},
    {.name = "bursts", .head = "BURSTS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_bursts)},
    {.name = "interrupts", .head = "IRQS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_irqs)},
    {.name = "kicks", .head = "KICKS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_kicks)},
    {.name = "gso_packets", .head = "GSO", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_gso)},
    {.name = "full", .head = "FULL", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_full)},
    {.name = "errors", .head = "ERRORS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_errors)},
    {.name = "flags", .head = "FLAGS", .kind = K_FLAGS, FIELD(R, flags), .choices = flags},
};

const struct noun noun_counters = {
    .name = "counters",
    .alias = "queue",
    .bus = OB_BUS_QUEUE,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW | V_LIST,
    .help = "packets, bytes, interrupts of every queue",
    .about = "Even queues carry packets from the card to the guest, odd ones from the guest to the "
	     "card (virtio 1.2, 5.1.2).",
    .examples = "  obctl counters show --function f1\n"
		"  obctl -i 1 counters show            (rates per second)\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
