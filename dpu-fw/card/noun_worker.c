/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>

#include <rte_cycles.h>

#define SAMPLED 64 /* rounds per sampled one, ob_worker_counters */

static int next(struct ob_card *c, const void *filter, uint64_t *cursor, void *rec)
{
	struct ob_worker_counters n = {0};
	struct ob_bus_worker *r = rec;
	unsigned id = (unsigned)*cursor;

	(void)c;
	(void)filter;
	if (id >= ob_workers_count())
		return -ENOENT;
	(*cursor)++;
	ob_worker_counters_read(id, &n);
	r->id = id;
	r->cpu = ob_worker_cpu(ob_worker_get(id));
	r->n_rounds = n.n_rounds;
	r->n_busy_rounds = n.n_busy_rounds;
	r->n_sleeps = n.n_sleeps;
	r->n_wakeups = n.n_wakeups;
	r->n_mail = n.n_mail;
	r->n_handoff_in = n.n_handoff_in;
	r->n_handoff_out = n.n_handoff_out;
	r->busy_ns =
	    (uint64_t)((double)n.busy_tsc_sampled * SAMPLED * 1e9 / (double)rte_get_tsc_hz());
	return 0;
}

const struct noun noun_worker = {
    .name = "worker", .record_len = sizeof(struct ob_bus_worker), .next = next};
