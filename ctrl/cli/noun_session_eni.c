/* SPDX-License-Identifier: BSD-3-Clause */
/* What 'session show' shows. */
#include "cli.h"

#define R ob_bus_session_eni

static const struct field fields[] = {
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_FILTER,
	FIELD(R, eni),
	.arg = "NAME",
	.help = "only this ENI"},
    {.name = "live", .head = "LIVE", .kind = K_UINT, FIELD(R, live)},
    {.name = "live_max", .head = "HIGHEST", .kind = K_UINT, FIELD(R, live_max)},
    {.name = "limit", .head = "LIMIT", .kind = K_UINT, FIELD(R, limit)},
    {.name = "half_open", .head = "HALF-OPEN", .kind = K_UINT, FIELD(R, half_open)},
    {.name = "half_open_max", .head = "HIGHEST", .kind = K_UINT, FIELD(R, half_open_max)},
    {.name = "half_open_limit", .head = "LIMIT", .kind = K_UINT, FIELD(R, half_open_limit)},
    {.name = "refused_limit",
	.head = "REFUSED",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_refused_limit)},
    {.name = "refused_half_open",
	.head = "REFUSED-HALF",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_refused_half_open)},
    {.name = "denied_in",
	.head = "DENIED-IN",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_denied_in)},
    {.name = "denied_out",
	.head = "DENIED-OUT",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_denied_out)},
};

const struct noun noun_session_eni = {
    .name = "session",
    .bus = OB_BUS_SESSION_ENI,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW,
    .help = "connections of an ENI, counted",
    .about = "",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
