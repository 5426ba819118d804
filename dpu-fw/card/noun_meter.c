/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static_assert(OB_BUS_BW_OUT == (int)OB_METER_BW_OUT && OB_BUS_BW_IN == (int)OB_METER_BW_IN &&
		  OB_BUS_PPS_OUT == (int)OB_METER_PPS_OUT &&
		  OB_BUS_PPS_IN == (int)OB_METER_PPS_IN && OB_BUS_CPS == (int)OB_METER_CPS &&
		  OB_BUS_CONNECTIONS == (int)OB_METER_CONNS &&
		  OB_METER_N_KINDS <= (int)OB_BUS_N_METERS,
    "the bus carries what the dataplane holds");

/* The connections are counted by the session table, which therefore has their limit too. */
static int store(uint16_t eni, const struct ob_meter_cfg *cfg, struct text *t)
{
	struct ob_session_eni_conf conf;
	int rc;

	card_session_conf(eni, &conf);
	conf.max_live = (uint32_t)cfg->rate[OB_METER_CONNS];
	rc = ob_meter_set(eni, cfg, t->s, sizeof(t->s));
	return rc < 0 ? rc : ob_session_eni_set(eni, &conf);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_meter *r = rec;
	struct ob_meter_cfg cfg = {0};
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	if (rc < 0)
		return rc;
	for (unsigned k = OB_METER_N_KINDS; k < OB_BUS_N_METERS; k++) {
		if (r->rate[k] != 0 || r->burst[k] != 0)
			return fail(t, -EINVAL, "there is no allowance of kind %u", k);
	}
	memcpy(cfg.rate, r->rate, sizeof(cfg.rate));
	memcpy(cfg.burst, r->burst, sizeof(cfg.burst));
	if (cfg.rate[OB_METER_CONNS] > UINT32_MAX)
		return fail(t, -EINVAL, "connections: at most %u", UINT32_MAX);
	if (cfg.burst[OB_METER_CONNS] != 0)
		return fail(t, -EINVAL, "connections have no burst");
	return store((uint16_t)eni, &cfg, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_meter *r = rec;
	const struct ob_meter_cfg none = {0};
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	return rc < 0 ? rc : store((uint16_t)eni, &none, t);
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_meter *)f)->eni);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_meter *want = f;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);
	struct ob_session_eni_counters n = {0};
	struct ob_meter_cfg cfg = {0};
	struct ob_bus_meter *r = rec;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->eni[0] && strcmp(want->eni, names_get(&c->enis, i)) != 0)
		return -EAGAIN;
	strcpy(r->eni, names_get(&c->enis, i));
	ob_meter_get((uint16_t)i, &cfg);
	ob_session_eni_read((uint16_t)i, &n);
	for (unsigned k = 0; k < OB_METER_N_KINDS; k++) {
		r->rate[k] = cfg.rate[k];
		r->burst[k] = cfg.burst[k];
		r->exceeded[k] = ob_meter_exceeded((uint16_t)i, (enum ob_meter_kind)k);
	}
	r->exceeded[OB_METER_CONNS] = n.n_refused_live;
	return 0;
}

const struct noun noun_meter = {.name = "meter",
    .record_len = sizeof(struct ob_bus_meter),
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
