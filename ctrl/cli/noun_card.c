/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_card

static const struct field fields[] = {
    {.name = "version", .head = "VERSION", .kind = K_STR, FIELD(R, version)},
    {.name = "serial", .head = "SERIAL", .kind = K_STR, FIELD(R, serial)},
    {.name = "uptime", .head = "UPTIME", .kind = K_NS, FIELD(R, uptime_ns)},
    {.name = "pid", .head = "PID", .kind = K_UINT, FIELD(R, pid)},
    {.name = "workers", .head = "WORKERS", .kind = K_UINT, FIELD(R, n_workers)},
    {.name = "functions", .head = "FUNCTIONS", .kind = K_UINT, FIELD(R, n_functions)},
    {.name = "vnets", .head = "VNETS", .kind = K_UINT, FIELD(R, n_vnets)},
    {.name = "enis", .head = "ENIS", .kind = K_UINT, FIELD(R, n_enis)},
    {.name = "routes", .head = "ROUTES", .kind = K_UINT, FIELD(R, n_routes)},
    {.name = "mappings", .head = "MAPPINGS", .kind = K_UINT, FIELD(R, n_mappings)},
    {.name = "tunnels", .head = "TUNNELS", .kind = K_UINT, FIELD(R, n_tunnels)},
    {.name = "arena_bytes", .head = NULL, .kind = K_UINT, FIELD(R, arena_bytes)},
    {.name = "bus_clients", .head = NULL, .kind = K_UINT, FIELD(R, n_bus_clients)},
};

const struct noun noun_card = {
    .name = "card",
    .bus = OB_BUS_CARD,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW,
    .vertical = true,
    .help = "the card itself: version, serial number, what it holds",
    .about = "One card is one ob-card process.",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
