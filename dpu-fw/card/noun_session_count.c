/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections counted: of each ENI, and of each worker's table. */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static int eni_filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_session_eni *)f)->eni);
}

static int eni_next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_session_eni *want = f;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);
	struct ob_session_eni_counters n = {0};
	struct ob_session_eni_conf conf;
	struct ob_bus_session_eni *r = rec;
	uint16_t vif;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->eni[0] && strcmp(want->eni, names_get(&c->enis, i)) != 0)
		return -EAGAIN;
	strcpy(r->eni, names_get(&c->enis, i));
	ob_session_eni_read((uint16_t)i, &n);
	card_session_conf((uint16_t)i, &conf);
	r->live = n.live;
	r->live_max = n.live_max;
	r->half_open = n.half_open;
	r->half_open_max = n.half_open_max;
	r->limit = conf.max_live;
	r->half_open_limit = conf.max_half_open;
	r->available = UINT32_MAX;
	if (conf.max_live != 0)
		r->available = conf.max_live > n.live ? conf.max_live - n.live : 0;
	r->n_refused_limit = n.n_refused_live;
	r->n_refused_half_open = n.n_refused_half_open;
	vif = card_fn_vif(c, c->eni_fn[i]);
	if (vif != OB_VIF_NONE) {
		r->n_denied_in = ob_drops_read(vif, OB_DROP_ACL_IN);
		r->n_denied_out = ob_drops_read(vif, OB_DROP_ACL_OUT);
	}
	return 0;
}

static int table_next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	struct ob_bus_session_table *r = rec;
	unsigned worker = (unsigned)*cursor;
	uint64_t records, index, fixed;
	struct ob_session_counters n;

	(void)c;
	(void)f;
	if (worker >= ob_workers_count())
		return -ENOENT;
	(*cursor)++;
	ob_session_counters_read(worker, &n);
	ob_session_memory(worker, &records, &index, &fixed);
	r->worker = worker;
	r->n_live4 = n.n_live4;
	r->n_live6 = n.n_live6;
	r->n_live4_max = n.n_live4_max;
	r->n_live6_max = n.n_live6_max;
	r->n_added = n.n_added;
	r->n_deleted = n.n_deleted;
	r->n_expired = n.n_expired;
	r->n_flushed = n.n_flushed;
	r->n_refused_full = n.n_refused_full;
	r->n_refused_limit = n.n_refused_live;
	r->n_refused_half_open = n.n_refused_half_open;
	r->n_refused_proto = n.n_refused_proto;
	r->n_displaced = n.n_displaced;
	r->n_frag_live = n.n_frag_live;
	r->n_frag_live_max = n.n_frag_live_max;
	r->memory_bytes = records + index + fixed;
	return 0;
}

const struct noun noun_session_eni = {.name = "session-eni",
    .record_len = sizeof(struct ob_bus_session_eni),
    .filter = eni_filter,
    .next = eni_next};

const struct noun noun_session_table = {
    .name = "session-table", .record_len = sizeof(struct ob_bus_session_table), .next = table_next};
