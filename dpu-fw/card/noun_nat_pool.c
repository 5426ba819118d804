/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static uint32_t host_order(const uint8_t b[4])
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int convert_ranges(
    const struct ob_bus_nat_pool *r, struct ob_nat_pool_cfg *cfg, struct text *t)
{
	static const struct ob_bus_range none;

	if (r->n_ranges == 0 || r->n_ranges > OB_BUS_NAT_RANGES)
		return fail(t, -EINVAL,
		    "%u address ranges; a pool has 1 to %d (--range FIRST-LAST)", r->n_ranges,
		    OB_BUS_NAT_RANGES);
	for (unsigned i = 0; i < OB_BUS_NAT_RANGES; i++) {
		const struct ob_bus_range *g = &r->range[i];

		if (i >= r->n_ranges) {
			if (memcmp(g, &none, sizeof(none)) != 0)
				return fail(t, -EINVAL, "unused ranges are not zero");
			continue;
		}
		if (host_order(g->last) < host_order(g->first))
			return fail(t, -EINVAL, "range %u ends before it begins", i + 1);
		if (g->first[0] == 0 || g->first[0] == 127 || g->last[0] >= 224)
			return fail(
			    t, -EINVAL, "range %u holds addresses that no host can have", i + 1);
		memcpy(&cfg->range[i].first, g->first, 4);
		memcpy(&cfg->range[i].last, g->last, 4);
	}
	cfg->n_ranges = r->n_ranges;
	return 0;
}

static int convert(
    struct ob_card *c, const struct ob_bus_nat_pool *r, struct ob_nat_pool_cfg *cfg, struct text *t)
{
	uint32_t vnet;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if ((rc = lookup(t, &c->vnets, "vnet", "vnet", r->vnet, &vnet)) < 0 ||
	    (rc = convert_ranges(r, cfg, t)) < 0)
		return rc;
	if (r->reserved != 0)
		return fail(t, -EINVAL, "reserved bytes are not zero");
	if (!mac_is_zero(r->mac) && (rc = check_mac(t, "mac", r->mac)) < 0)
		return rc;
	cfg->vnet = (uint16_t)vnet;
	memcpy(cfg->mac, r->mac, sizeof(cfg->mac));
	cfg->port_min = r->port_min;
	cfg->port_max = r->port_max;
	cfg->block_size = r->block_size;
	cfg->max_blocks = r->max_blocks;
	return 0;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_nat_pool *r = rec;
	struct ob_nat_pool_cfg cfg;
	uint32_t idx;
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = convert(c, r, &cfg, t)) < 0 ||
	    (rc = take_name(t, &c->pools, "nat-pool", r->name, &idx)) < 0)
		return rc;
	rc = ob_nat_pool_set(idx, &cfg, t->s, sizeof(t->s));
	if (rc < 0)
		names_del(&c->pools, idx);
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_nat_pool *r = rec;
	struct ob_nat_pool_cfg cfg;
	uint32_t idx;
	int rc = lookup(t, &c->pools, "nat-pool", "name", r->name, &idx);

	if (rc < 0 || (rc = convert(c, r, &cfg, t)) < 0)
		return rc;
	return ob_nat_pool_set(idx, &cfg, t->s, sizeof(t->s));
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_nat_pool *r = rec;
	uint32_t idx;
	int rc = lookup(t, &c->pools, "nat-pool", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; (i = names_next(&c->enis, i)) != NAMES_NONE; i++) {
		if (ob_nat_binding(i) == idx)
			return fail(t, -EBUSY,
			    "nat-pool %s translates eni %s; first 'obctl nat bind del %s'", r->name,
			    names_get(&c->enis, i), names_get(&c->enis, i));
	}
	rc = ob_nat_pool_del(idx, t->s, sizeof(t->s));
	if (rc == 0)
		names_del(&c->pools, idx);
	return rc;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->pools, "nat-pool", ((const struct ob_bus_nat_pool *)f)->name);
}

static void fill(const struct ob_card *c, uint32_t idx, const struct ob_nat_pool_cfg *cfg,
    struct ob_bus_nat_pool *r)
{
	struct ob_nat_pool_state st = {0};
	const char *vnet = names_get(&c->vnets, cfg->vnet);

	strcpy(r->name, names_get(&c->pools, idx));
	strcpy(r->vnet, vnet ? vnet : "");
	memcpy(r->mac, cfg->mac, sizeof(r->mac));
	r->port_min = cfg->port_min;
	r->port_max = cfg->port_max;
	r->block_size = cfg->block_size;
	r->max_blocks = cfg->max_blocks;
	r->n_ranges = cfg->n_ranges;
	for (unsigned i = 0; i < cfg->n_ranges && i < OB_BUS_NAT_RANGES; i++) {
		memcpy(r->range[i].first, &cfg->range[i].first, 4);
		memcpy(r->range[i].last, &cfg->range[i].last, 4);
	}
	ob_nat_pool_state(idx, &st);
	r->n_addrs = st.n_addrs;
	r->n_blocks = st.n_blocks;
	r->n_blocks_used = st.n_blocks_used;
	r->n_enis = st.n_enis;
	r->n_asked = st.c.asked;
	r->n_tries = st.c.tries;
	r->n_blocks_taken = st.c.blocks_taken;
	r->n_blocks_put = st.c.blocks_put;
	r->n_full = st.c.full;
	r->n_limit = st.c.limit;
	r->n_untranslatable = st.c.untranslatable;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_nat_pool *want = f;
	const struct ob_nat_pool_cfg *cfg;
	uint32_t i = names_next(&c->pools, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	cfg = ob_nat_pool_get(i);
	if (cfg == NULL || (want->name[0] && strcmp(want->name, names_get(&c->pools, i)) != 0))
		return -EAGAIN;
	fill(c, i, cfg, rec);
	return 0;
}

static_assert(OB_BUS_NAT_RANGES == OB_NAT_POOL_RANGES, "the bus carries what the dataplane holds");

const struct noun noun_nat_pool = {.name = "nat-pool",
    .record_len = sizeof(struct ob_bus_nat_pool),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
