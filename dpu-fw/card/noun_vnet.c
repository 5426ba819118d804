/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#define MAX_VNI ((1u << 24) - 1)

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_vnet *r = rec;
	struct ob_vnet_cfg cfg = {.vni = r->vni};
	uint32_t idx;
	int rc;

	if (r->vni == 0 || r->vni > MAX_VNI)
		return fail(t, -EINVAL, "vni %u is not in 1..%u", r->vni, MAX_VNI);
	if (r->reserved != 0)
		return fail(t, -EINVAL, "reserved bytes are not zero");
	rc = take_name(t, &c->vnets, "vnet", r->name, &idx);
	if (rc < 0)
		return rc;
	rc = ob_vnet_set(idx, &cfg, t->s, sizeof(t->s));
	if (rc < 0)
		names_del(&c->vnets, idx);
	return rc == -EEXIST
		   ? fail(t, rc, "vni %u is another VNET's already; see 'obctl vnet list'", r->vni)
		   : rc;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_vnet *r = rec;
	const struct ob_eni_cfg *eni;
	uint32_t idx;
	int rc = lookup(t, &c->vnets, "vnet", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; (i = names_next(&c->enis, i)) != NAMES_NONE; i++) {
		eni = ob_eni_get(i);
		if (eni != NULL && eni->vnet == idx)
			return fail(t, -EBUSY, "vnet %s is used by eni %s; delete that first",
			    r->name, names_get(&c->enis, i));
	}
	rc = ob_vnet_del(idx, t->s, sizeof(t->s));
	if (rc == -EBUSY)
		return fail(t, rc,
		    "vnet %s has routes or mappings, is the target of a route, or the outside of a "
		    "NAT "
		    "pool or floating IP; see 'obctl route list', 'obctl mapping list --vnet %s', "
		    "'obctl nat pool list'",
		    r->name, r->name);
	if (rc == 0)
		names_del(&c->vnets, idx);
	return rc;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->vnets, "vnet", ((const struct ob_bus_vnet *)f)->name);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_vnet *want = f;
	struct ob_bus_vnet *r = rec;
	const struct ob_vnet_cfg *cfg;
	uint32_t i = names_next(&c->vnets, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	cfg = ob_vnet_get(i);
	if (cfg == NULL || (want->name[0] && strcmp(want->name, names_get(&c->vnets, i)) != 0))
		return -EAGAIN;
	strcpy(r->name, names_get(&c->vnets, i));
	r->vni = cfg->vni;
	return 0;
}

const struct noun noun_vnet = {.name = "vnet",
    .record_len = sizeof(struct ob_bus_vnet),
    .add = add,
    .del = del,
    .filter = filter,
    .next = next};
