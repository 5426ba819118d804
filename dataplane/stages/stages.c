/* SPDX-License-Identifier: BSD-3-Clause */
/* Control side: what the stages keep per worker, and the uplink's coming and going. */
#include "stages_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ethdev.h>

#define LAYOUT 1

struct stage_ctx
    stage_ctxs[OB_MAX_WORKERS]; /* pages of workers that do not exist are never touched */
struct ob_uplink_counters *uplink_counters;
struct uplink *uplink;

struct ob_edges *ob_stage_edges(struct ob_worker *w)
{
	return &ctx_of(w)->edges;
}

void stage_show_all(
    ob_tap_fn tap, struct ob_worker *w, enum ob_fate fate, struct rte_mbuf **pkts, unsigned n)
{
	const struct ob_seen seen = {
	    .fate = (uint8_t)fate, .in_vif = OB_VIF_NONE, .out_vif = OB_VIF_NONE};

	for (unsigned i = 0; i < n; i++)
		tap(w, pkts[i], &seen);
}

void stage_show_one(ob_tap_fn tap, struct ob_worker *w, enum ob_fate fate,
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t skip)
{
	const struct ob_seen seen = {.fate = (uint8_t)fate,
	    .flags = m->flags,
	    .in_vif = m->in_vif,
	    .out_vif = OB_VIF_NONE,
	    .tunnel = m->tunnel,
	    .vni = m->vni,
	    .skip = skip};

	tap(w, pkt, &seen);
}

int ob_stages_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "uplink.counters", LAYOUT,
	    OB_MAX_WORKERS * sizeof(*uplink_counters), &p, &fresh);
	if (rc < 0)
		return rc;
	uplink_counters = p;
	return 0;
}

void ob_stages_fini(void)
{
	uplink_counters = NULL;
}

static struct ob_source rx_source(struct uplink *u)
{
	return (struct ob_source){
	    .name = "uplink", .poll = uplink_rx_poll, .wake_fd = -1, .must_poll = true, .arg = u};
}

static struct ob_source inject_source(struct uplink *u)
{
	return (struct ob_source){
	    .name = "inject", .poll = inject_poll, .arm = inject_arm, .wake_fd = -1, .arg = u};
}

static const struct ob_flush tx_flush = {.flush = uplink_tx_flush};

static void from_workers(struct uplink *u)
{
	struct ob_source rx = rx_source(u), inject = inject_source(u);

	for (unsigned i = 0; i < u->n_workers; i++) {
		struct ob_worker *w = ob_worker_get(i);

		ob_worker_del_source(w, &rx);
		ob_worker_del_source(w, &inject);
		ob_worker_del_flush(w, &tx_flush);
	}
}

static int to_workers(struct uplink *u)
{
	struct ob_source rx = rx_source(u), inject = inject_source(u);
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < u->n_workers; i++) {
		struct ob_worker *w = ob_worker_get(i);

		rc = ob_worker_add_flush(w, &tx_flush);
		if (rc == 0 && i < u->conf.n_rxq)
			rc = ob_worker_add_source(w, &rx);
		if (rc == 0 && i == 0 && u->conf.inject_ring != NULL)
			rc = ob_worker_add_source(w, &inject);
	}
	return rc;
}

int ob_uplink_attach(const struct ob_uplink_conf *conf)
{
	struct uplink *u;
	int rc;

	if (uplink != NULL)
		return -EBUSY;
	if (conf->n_rxq == 0 || conf->n_txq == 0 || !rte_eth_dev_is_valid_port(conf->port_id) ||
	    ob_workers_count() == 0)
		return -EINVAL;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	u->conf = *conf;
	u->n_workers = ob_workers_count();
	u->multi_seg = (conf->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	u->shared_txq = conf->n_txq < u->n_workers;
	ob_rcu_publish(&uplink, u);
	rc = to_workers(u);
	if (rc < 0) {
		from_workers(u);
		ob_rcu_publish(&uplink, NULL);
		ob_rcu_sync(NULL);
		free(u);
	}
	return rc;
}

void ob_uplink_detach(void)
{
	struct uplink *u = uplink;

	if (u == NULL)
		return;
	/* The hooks first: what is still in a buffer leaves with the round before. */
	from_workers(u);
	ob_rcu_publish(&uplink, NULL);
	ob_rcu_sync(NULL);
	free(u);
}

void ob_uplink_counters(struct ob_uplink_counters *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; uplink_counters != NULL && i < OB_MAX_WORKERS; i++) {
		const struct ob_uplink_counters *c = &uplink_counters[i];

		out->rx_pkts += __atomic_load_n(&c->rx_pkts, __ATOMIC_RELAXED);
		out->rx_bytes += __atomic_load_n(&c->rx_bytes, __ATOMIC_RELAXED);
		out->tx_pkts += __atomic_load_n(&c->tx_pkts, __ATOMIC_RELAXED);
		out->tx_bytes += __atomic_load_n(&c->tx_bytes, __ATOMIC_RELAXED);
		out->punted += __atomic_load_n(&c->punted, __ATOMIC_RELAXED);
		out->injected += __atomic_load_n(&c->injected, __ATOMIC_RELAXED);
	}
}
