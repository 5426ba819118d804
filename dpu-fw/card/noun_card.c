/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static int next(struct ob_card *c, const void *filter, uint64_t *cursor, void *rec)
{
	struct ob_bus_card *r = rec;

	(void)filter;
	if ((*cursor)++ > 0)
		return -ENOENT;
	snprintf(r->version, sizeof(r->version), "%s", c->conf.version);
	snprintf(r->serial, sizeof(r->serial), "%s", c->serial);
	r->uptime_ns = card_now_ns() - c->started_ns;
	r->pid = (uint32_t)getpid();
	r->n_workers = ob_workers_count();
	r->n_functions = c->functions.n;
	r->n_vnets = c->vnets.n;
	r->n_enis = c->enis.n;
	r->n_routes = ob_route_count();
	r->n_mappings = ob_mapping_count();
	r->n_tunnels = c->tunnels.n;
	r->arena_bytes = c->conf.arena_bytes;
	r->n_bus_clients = ob_bus_n_clients(c->bus);
	return 0;
}

const struct noun noun_card = {
    .name = "card", .record_len = sizeof(struct ob_bus_card), .next = next};
