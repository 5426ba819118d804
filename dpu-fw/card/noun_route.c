/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

/* The key: VNET and prefix. */
static int key(
    struct ob_card *c, const struct ob_bus_route *r, struct ob_route_cfg *cfg, struct text *t)
{
	uint32_t vnet;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if ((rc = lookup(t, &c->vnets, "vnet", "vnet", r->vnet, &vnet)) < 0 ||
	    (rc = check_ip(t, "prefix", &r->prefix, IP_PREFIX, &cfg->prefix, &cfg->prefix_len)) < 0)
		return rc;
	cfg->vnet = (uint16_t)vnet;
	return 0;
}

static int convert_hops(const struct ob_bus_route *r, struct ob_route_cfg *cfg, struct text *t)
{
	static const struct ob_bus_ip none;
	int rc;

	if (r->n_hops > OB_BUS_ROUTE_HOPS)
		return fail(t, -EINVAL, "%u next hops; a route has at most %d", r->n_hops,
		    OB_BUS_ROUTE_HOPS);
	for (unsigned i = 0; i < r->n_hops; i++) {
		rc = check_ip(t, "next hop", &r->hop[i], IP_HOST, &cfg->hop[i], NULL);
		if (rc < 0)
			return rc;
	}
	for (unsigned i = r->n_hops; i < OB_BUS_ROUTE_HOPS; i++) {
		if (memcmp(&r->hop[i], &none, sizeof(none)) != 0)
			return fail(t, -EINVAL, "unused next hops are not zero");
	}
	cfg->n_hops = r->n_hops;
	return 0;
}

/* The VNET that the route leads to; its own if none is named. */
static int convert_target(
    struct ob_card *c, const struct ob_bus_route *r, struct ob_route_cfg *cfg, struct text *t)
{
	uint32_t to = cfg->vnet;
	int rc;

	if (r->to_vnet[0] == '\0')
		rc = check_filter(t, "to_vnet", r->to_vnet);
	else
		rc = lookup(t, &c->vnets, "vnet", "to_vnet", r->to_vnet, &to);
	cfg->to_vnet = (uint16_t)to;
	return rc;
}

static int convert(
    struct ob_card *c, const struct ob_bus_route *r, struct ob_route_cfg *cfg, struct text *t)
{
	int rc = key(c, r, cfg, t);

	if (rc < 0 || (rc = convert_hops(r, cfg, t)) < 0)
		return rc;
	if (r->reserved[0] | r->reserved[1])
		return fail(t, -EINVAL, "reserved bytes are not zero");
	cfg->action = r->action;
	switch (r->action) {
	case OB_ROUTE_DROP:
		if (r->to_vnet[0] != '\0' || r->n_hops > 0)
			return fail(t, -EINVAL, "a route that drops leads to no VNET");
		return 0;
	case OB_ROUTE_VNET:
		if (r->n_hops > 0)
			return fail(t, -EINVAL, "a route to a VNET has no next hops");
		return convert_target(c, r, cfg, t);
	case OB_ROUTE_VIA:
	case OB_ROUTE_NAT:
		if (r->n_hops == 0)
			return fail(t, -EINVAL, "the route has no next hop");
		return convert_target(c, r, cfg, t);
	default:
		return fail(t, -EINVAL,
		    "action %u is none of 1 (to a VNET), 2 (drop), 3 (via next hops), 4 (NAT)",
		    r->action);
	}
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_route *r = rec;
	struct ob_route_cfg cfg, old;
	char buf[IP_TEXT];
	int rc = convert(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	if (ob_route_get(cfg.vnet, &cfg.prefix, cfg.prefix_len, &old) == 0)
		return fail(t, -EEXIST, "vnet %s has a route for %s/%u already", r->vnet,
		    ip_text(&cfg.prefix, buf), cfg.prefix_len);
	return ob_route_set(&cfg, t->s, sizeof(t->s));
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_route *r = rec;
	struct ob_route_cfg cfg;
	char buf[IP_TEXT];
	int rc = key(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	rc = ob_route_del(cfg.vnet, &cfg.prefix, cfg.prefix_len);
	if (rc == -ENOENT)
		return fail(t, rc, "vnet %s has no route for %s/%u; see 'obctl route list'",
		    r->vnet, ip_text(&cfg.prefix, buf), cfg.prefix_len);
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_route *r = rec;
	struct ob_route_cfg cfg, old;
	int rc = convert(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	if (ob_route_get(cfg.vnet, &cfg.prefix, cfg.prefix_len, &old) < 0)
		return fail(
		    t, -ENOENT, "vnet %s has no such route; see 'obctl route list'", r->vnet);
	return ob_route_set(&cfg, t->s, sizeof(t->s));
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->vnets, "vnet", ((const struct ob_bus_route *)f)->vnet);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_route *want = f;
	struct ob_bus_route *r = rec;
	uint32_t at = (uint32_t)*cursor;
	struct ob_route_cfg cfg;
	const char *name;

	if (ob_route_next(&at, &cfg) < 0)
		return -ENOENT;
	*cursor = at;
	name = names_get(&c->vnets, cfg.vnet);
	if (name == NULL || (want->vnet[0] && strcmp(want->vnet, name) != 0))
		return -EAGAIN;
	strcpy(r->vnet, name);
	put_ip(&r->prefix, &cfg.prefix, cfg.prefix_len);
	r->action = cfg.action;
	name = cfg.action != OB_ROUTE_DROP ? names_get(&c->vnets, cfg.to_vnet) : NULL;
	strcpy(r->to_vnet, name ? name : "");
	r->n_hops = cfg.n_hops;
	for (unsigned i = 0; i < cfg.n_hops; i++)
		put_ip(&r->hop[i], &cfg.hop[i], ip_bits(cfg.hop[i].family));
	return 0;
}

static_assert(OB_BUS_ROUTE_HOPS == OB_ROUTE_MAX_HOPS && OB_BUS_TO_VNET == (int)OB_ROUTE_VNET &&
		  OB_BUS_TO_DROP == (int)OB_ROUTE_DROP && OB_BUS_TO_VIA == (int)OB_ROUTE_VIA &&
		  OB_BUS_TO_NAT == (int)OB_ROUTE_NAT,
    "the bus carries what the dataplane holds");

const struct noun noun_route = {.name = "route",
    .record_len = sizeof(struct ob_bus_route),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
