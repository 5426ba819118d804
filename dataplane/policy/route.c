/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy_priv.h"

#include <errno.h>

#define LAYOUT 1

struct record {
	uint8_t used, family, prefix_len, action;
	uint16_t vnet, to_vnet;
	uint8_t prefix[16];
};
static_assert(sizeof(struct record) == 24, "arena layout");

struct region {
	struct region_head head;
	struct record record[OB_MAX_ROUTES];
};

static struct region *region;
static struct slots slots;
static uint32_t n_routes;

static struct ob_lpm_key lpm_key(const struct ob_ip *ip)
{
	rte_be32_t ip4;

	if (ip->family == AF_INET6)
		return ob_lpm_key6(ip->b);
	memcpy(&ip4, ip->b, 4);
	return ob_lpm_key4(ip4);
}

static bool host_bits_zero(const struct ob_ip *ip, unsigned len)
{
	for (unsigned i = len; i < 128; i++)
		if (ip->b[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

static int admit(const struct ob_route_cfg *cfg, char *err, size_t err_len)
{
	if (cfg->action == OB_ROUTE_VIA || cfg->action == OB_ROUTE_NAT)
		return policy_fail(-ENOTSUP, err, err_len, "next hops are not supported yet");
	if (cfg->action != OB_ROUTE_VNET && cfg->action != OB_ROUTE_DROP)
		return policy_fail(-EINVAL, err, err_len, "a route leads to a VNET or drops");
	if (cfg->prefix.family != AF_INET && cfg->prefix.family != AF_INET6)
		return policy_fail(-EINVAL, err, err_len, "the prefix must be IPv4 or IPv6");
	if (cfg->prefix_len > (cfg->prefix.family == AF_INET ? 32 : 128) ||
	    !host_bits_zero(&cfg->prefix, cfg->prefix_len))
		return policy_fail(-EINVAL, err, err_len, "the prefix has bits beyond its length");
	if (ob_vnet_get(cfg->vnet) == NULL)
		return policy_fail(-ENOENT, err, err_len, "the route's VNET does not exist");
	if (cfg->action == OB_ROUTE_VNET && ob_vnet_get(cfg->to_vnet) == NULL)
		return policy_fail(
		    -ENOENT, err, err_len, "the VNET that the route leads to does not exist");
	return 0;
}

static struct ob_route_cfg cfg_of(const struct record *r)
{
	struct ob_route_cfg c = {.vnet = r->vnet,
	    .action = r->action,
	    .prefix_len = r->prefix_len,
	    .to_vnet = r->to_vnet};

	c.prefix.family = r->family;
	memcpy(c.prefix.b, r->prefix, 16);
	return c;
}

static struct ob_key key_of(const struct ob_route_cfg *cfg)
{
	return control_key(KEY_ROUTE, cfg->vnet, cfg->prefix_len, &cfg->prefix);
}

/* A route that drops leads nowhere. */
static void hold(const struct ob_route_cfg *cfg)
{
	vnet_hold(cfg->vnet);
	if (cfg->action == OB_ROUTE_VNET)
		vnet_hold(cfg->to_vnet);
}

static void release(const struct ob_route_cfg *cfg)
{
	vnet_release(cfg->vnet);
	if (cfg->action == OB_ROUTE_VNET)
		vnet_release(cfg->to_vnet);
}

/* Tables of control and workers; the record is the caller's. */
static int install(const struct ob_route_cfg *cfg, uint32_t idx)
{
	struct ob_key key = key_of(cfg);
	int rc = ob_map_set(policy_keys, &key, idx);

	if (rc < 0)
		return rc;
	rc = ob_lpm_set(vnet_lpm(cfg->vnet, cfg->prefix.family), lpm_key(&cfg->prefix),
	    cfg->prefix_len, ob_route_value(cfg->action, cfg->to_vnet));
	if (rc < 0)
		ob_map_del(policy_keys, &key);
	else
		hold(cfg);
	return rc;
}

int ob_route_set(const struct ob_route_cfg *cfg, char *err, size_t err_len)
{
	struct ob_key key = key_of(cfg);
	struct ob_route_cfg old;
	struct record *r;
	uint32_t idx;
	int rc;

	rc = admit(cfg, err, err_len);
	if (rc < 0)
		return rc;
	idx = ob_map_get(policy_keys, &key);
	if (idx != OB_TABLE_MISS) {
		r = &region->record[idx];
		old = cfg_of(r);
		rc = ob_lpm_set(vnet_lpm(cfg->vnet, cfg->prefix.family), lpm_key(&cfg->prefix),
		    cfg->prefix_len, ob_route_value(cfg->action, cfg->to_vnet));
		if (rc < 0)
			return rc;
		hold(cfg);
		release(&old);
		r->action = cfg->action;
		r->to_vnet = cfg->to_vnet;
		return 0;
	}
	idx = slots_take(&slots);
	if (idx == OB_IDX_NONE)
		return policy_fail(-ENOSPC, err, err_len, "too many routes");
	rc = install(cfg, idx);
	if (rc < 0) {
		slots_put(&slots, idx);
		return rc;
	}
	r = &region->record[idx];
	*r = (struct record){.used = 1,
	    .family = cfg->prefix.family,
	    .prefix_len = cfg->prefix_len,
	    .action = cfg->action,
	    .vnet = cfg->vnet,
	    .to_vnet = cfg->to_vnet};
	memcpy(r->prefix, cfg->prefix.b, 16);
	n_routes++;
	return 0;
}

int ob_route_del(uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len)
{
	struct ob_key key = control_key(KEY_ROUTE, vnet, prefix_len, prefix);
	uint32_t idx = ob_map_get(policy_keys, &key);
	struct ob_route_cfg cfg;
	int rc;

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	cfg = cfg_of(&region->record[idx]);
	rc = ob_lpm_del(vnet_lpm(vnet, prefix->family), lpm_key(prefix), prefix_len);
	if (rc < 0)
		return rc;
	ob_map_del(policy_keys, &key);
	release(&cfg);
	region->record[idx].used = 0;
	slots_put(&slots, idx);
	n_routes--;
	return 0;
}

int ob_route_get(
    uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len, struct ob_route_cfg *out)
{
	struct ob_key key = control_key(KEY_ROUTE, vnet, prefix_len, prefix);
	uint32_t idx = ob_map_get(policy_keys, &key);

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	*out = cfg_of(&region->record[idx]);
	return 0;
}

uint32_t ob_route_count(void)
{
	return n_routes;
}

int ob_route_next(uint32_t *cursor, struct ob_route_cfg *out)
{
	while (region != NULL && *cursor < region->head.n_high) {
		const struct record *r = &region->record[(*cursor)++];

		if (r->used) {
			*out = cfg_of(r);
			return 0;
		}
	}
	return -ENOENT;
}

int route_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "policy.route", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_ROUTES)
		return -EPROTO;
	slots_init(&slots, &region->head.n_high, OB_MAX_ROUTES);
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		struct record *r = &region->record[i];
		struct ob_route_cfg cfg = cfg_of(r);
		struct ob_key key = key_of(&cfg);

		if (r->used && admit(&cfg, NULL, 0) == 0 &&
		    ob_map_get(policy_keys, &key) == OB_TABLE_MISS) {
			rc = install(&cfg, i);
			if (rc < 0)
				return rc;
			n_routes++;
			continue;
		}
		r->used = 0;
		slots_put(&slots, i);
	}
	return 0;
}

void route_fini(void)
{
	slots_fini(&slots);
	region = NULL;
	n_routes = 0;
}
