/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static int store(struct ob_card *c, const struct ob_bus_nat_bind *r, bool replaces, struct text *t)
{
	uint32_t eni, pool;
	bool bound;
	int rc;

	if ((rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni)) < 0 ||
	    (rc = lookup(t, &c->pools, "nat-pool", "pool", r->pool, &pool)) < 0)
		return rc;
	bound = ob_nat_binding(eni) != OB_IDX_NONE;
	if (bound && !replaces)
		return fail(t, -EEXIST,
		    "eni %s has nat-pool %s already; 'obctl nat bind set' replaces it", r->eni,
		    names_get(&c->pools, ob_nat_binding(eni)));
	if (!bound && replaces)
		return fail(t, -ENOENT, "eni %s has no nat-pool; add it", r->eni);
	return ob_nat_bind(eni, pool, t->s, sizeof(t->s));
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, false, t);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, true, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_nat_bind *r = rec;
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	if (rc < 0)
		return rc;
	if (ob_nat_binding(eni) == OB_IDX_NONE)
		return fail(t, -ENOENT, "eni %s has no nat-pool", r->eni);
	return ob_nat_bind(eni, OB_IDX_NONE, t->s, sizeof(t->s));
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_nat_bind *)f)->eni);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_nat_bind *want = f;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);
	struct ob_bus_nat_bind *r = rec;
	const char *pool;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	pool = names_get(&c->pools, ob_nat_binding(i));
	if (pool == NULL || (want->eni[0] && strcmp(want->eni, names_get(&c->enis, i)) != 0))
		return -EAGAIN;
	strcpy(r->eni, names_get(&c->enis, i));
	strcpy(r->pool, pool);
	return 0;
}

const struct noun noun_nat_bind = {.name = "nat-bind",
    .record_len = sizeof(struct ob_bus_nat_bind),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
