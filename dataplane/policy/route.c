/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy_priv.h"

#include <errno.h>

#define LAYOUT 2

struct record {
	uint8_t used, family, prefix_len, action;
	uint16_t vnet, to_vnet;
	uint8_t prefix[16];
	uint32_t target; /* OB_IDX_NONE without next hops */
};
static_assert(sizeof(struct record) == 28, "arena layout");

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

static bool has_hops(uint8_t action)
{
	return action == OB_ROUTE_VIA || action == OB_ROUTE_NAT;
}

static const char *check_hops(const struct ob_route_cfg *cfg)
{
	if (!has_hops(cfg->action))
		return cfg->n_hops == 0 ? NULL : "this action takes no next hops";
	if (cfg->n_hops == 0 || cfg->n_hops > OB_ROUTE_MAX_HOPS)
		return "the action takes 1 to 16 next hops";
	for (unsigned i = 0; i < cfg->n_hops; i++) {
		if (!ip_is_unicast(&cfg->hop[i]))
			return "next hops must be unicast";
		if (cfg->hop[i].family != cfg->hop[0].family)
			return "the next hops of a route must be of one family";
		for (unsigned j = 0; j < i; j++)
			if (ob_ip_equal(&cfg->hop[i], &cfg->hop[j]))
				return "a next hop is given twice";
	}
	return NULL;
}

static int admit(const struct ob_route_cfg *cfg, char *err, size_t err_len)
{
	const char *why;

	if (cfg->action < OB_ROUTE_VNET || cfg->action > OB_ROUTE_NAT)
		return policy_fail(-EINVAL, err, err_len,
		    "a route leads to a VNET, by next hops, through NAT, or drops");
	if (cfg->prefix.family != AF_INET && cfg->prefix.family != AF_INET6)
		return policy_fail(-EINVAL, err, err_len, "the prefix must be IPv4 or IPv6");
	if (cfg->prefix_len > (cfg->prefix.family == AF_INET ? 32 : 128) ||
	    !host_bits_zero(&cfg->prefix, cfg->prefix_len))
		return policy_fail(-EINVAL, err, err_len, "the prefix has bits beyond its length");
	why = check_hops(cfg);
	if (why != NULL)
		return policy_fail(-EINVAL, err, err_len, why);
	if (ob_vnet_get(cfg->vnet) == NULL)
		return policy_fail(-ENOENT, err, err_len, "the route's VNET does not exist");
	if (cfg->action != OB_ROUTE_DROP && ob_vnet_get(cfg->to_vnet) == NULL)
		return policy_fail(
		    -ENOENT, err, err_len, "the VNET that the route leads to does not exist");
	return 0;
}

/* False: a record of next hops that do not exist; only at the start. */
static bool cfg_of(const struct record *r, struct ob_route_cfg *c)
{
	memset(c, 0, sizeof(*c));
	c->vnet = r->vnet;
	c->action = r->action;
	c->prefix_len = r->prefix_len;
	c->to_vnet = r->to_vnet;
	c->prefix.family = r->family;
	memcpy(c->prefix.b, r->prefix, 16);
	return !has_hops(r->action) || target_fill(r->target, c);
}

static struct ob_key key_of(const struct ob_route_cfg *cfg)
{
	return control_key(KEY_ROUTE, cfg->vnet, cfg->prefix_len, &cfg->prefix);
}

static struct ob_key link_key(uint16_t from, uint16_t to)
{
	return (struct ob_key){{(uint64_t)KEY_LINK << 56 | (uint64_t)from << 16 | to}};
}

bool route_leads(uint16_t from, uint16_t to)
{
	struct ob_key key = link_key(from, to);

	return ob_map_get(policy_keys, &key) != OB_TABLE_MISS;
}

/* Holds what the route refers to, and counts the way from VNET to VNET. A route that drops leads nowhere. */
static int hold(const struct ob_route_cfg *cfg)
{
	struct ob_key key = link_key(cfg->vnet, cfg->to_vnet);
	uint32_t n;
	int rc;

	if (cfg->action != OB_ROUTE_DROP) {
		n = ob_map_get(policy_keys, &key);
		rc = ob_map_set(policy_keys, &key, n == OB_TABLE_MISS ? 1 : n + 1);
		if (rc < 0)
			return rc;
		ob_vnet_hold(cfg->to_vnet);
	}
	ob_vnet_hold(cfg->vnet);
	return 0;
}

static void release(const struct ob_route_cfg *cfg)
{
	struct ob_key key = link_key(cfg->vnet, cfg->to_vnet);
	uint32_t n;

	ob_vnet_release(cfg->vnet);
	if (cfg->action == OB_ROUTE_DROP)
		return;
	ob_vnet_release(cfg->to_vnet);
	n = ob_map_get(policy_keys, &key);
	if (n > 1)
		ob_map_set(policy_keys, &key, n - 1);
	else
		ob_map_del(policy_keys, &key);
}

static int put_lpm(const struct ob_route_cfg *cfg, uint32_t target)
{
	return ob_lpm_set(vnet_lpm(cfg->vnet, cfg->prefix.family), lpm_key(&cfg->prefix),
	    cfg->prefix_len,
	    ob_route_value(cfg->action, has_hops(cfg->action) ? target : cfg->to_vnet));
}

/* Tables of control and workers; the record is the caller's. */
static int install(const struct ob_route_cfg *cfg, uint32_t target, uint32_t idx)
{
	struct ob_key key = key_of(cfg);
	int rc = hold(cfg);

	if (rc < 0)
		return rc;
	rc = ob_map_set(policy_keys, &key, idx);
	if (rc < 0)
		goto err_hold;
	rc = put_lpm(cfg, target);
	if (rc < 0)
		goto err_key;
	return 0;

err_key:
	ob_map_del(policy_keys, &key);
err_hold:
	release(cfg);
	return rc;
}

static int replace(const struct ob_route_cfg *cfg, uint32_t target, struct record *r)
{
	struct ob_route_cfg old;
	int rc;

	cfg_of(r, &old);
	rc = hold(cfg);
	if (rc < 0)
		return rc;
	rc = put_lpm(cfg, target);
	if (rc < 0) {
		release(cfg);
		return rc;
	}
	release(&old);
	if (r->target != OB_IDX_NONE)
		target_drop(r->target);
	r->action = cfg->action;
	r->to_vnet = cfg->to_vnet;
	r->target = target;
	return 0;
}

static int add(const struct ob_route_cfg *cfg, uint32_t target)
{
	uint32_t idx = slots_take(&slots);
	struct record *r;
	int rc;

	if (idx == OB_IDX_NONE)
		return -ENOSPC;
	rc = install(cfg, target, idx);
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
	    .to_vnet = cfg->to_vnet,
	    .target = target};
	memcpy(r->prefix, cfg->prefix.b, 16);
	n_routes++;
	return 0;
}

static bool is_same(const struct record *r, const struct ob_route_cfg *cfg, uint32_t target)
{
	return r->action == cfg->action && r->target == target &&
	       (cfg->action == OB_ROUTE_DROP || r->to_vnet == cfg->to_vnet);
}

int ob_route_set(const struct ob_route_cfg *cfg, char *err, size_t err_len)
{
	struct ob_key key = key_of(cfg);
	uint32_t idx, target = OB_IDX_NONE;
	int rc;

	rc = admit(cfg, err, err_len);
	if (rc < 0)
		return rc;
	if (has_hops(cfg->action)) {
		rc = target_take(cfg, &target);
		if (rc < 0)
			return policy_fail(
			    rc, err, err_len, "too many different sets of next hops");
	}
	idx = ob_map_get(policy_keys, &key);
	if (idx == OB_TABLE_MISS)
		rc = add(cfg, target);
	else if (is_same(&region->record[idx], cfg, target))
		goto same;
	else
		rc = replace(cfg, target, &region->record[idx]);
	if (rc == 0) {
		changed_vnet(cfg->vnet);
		return 0;
	}
	if (rc == -ENOSPC)
		policy_fail(rc, err, err_len, "too many routes");
same:
	if (target != OB_IDX_NONE)
		target_drop(target);
	return rc;
}

int ob_route_del(uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len)
{
	struct ob_key key = control_key(KEY_ROUTE, vnet, prefix_len, prefix);
	uint32_t idx = ob_map_get(policy_keys, &key);
	struct ob_route_cfg cfg;
	int rc;

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	cfg_of(&region->record[idx], &cfg);
	rc = ob_lpm_del(vnet_lpm(vnet, prefix->family), lpm_key(prefix), prefix_len);
	if (rc < 0)
		return rc;
	ob_map_del(policy_keys, &key);
	release(&cfg);
	if (region->record[idx].target != OB_IDX_NONE)
		target_drop(region->record[idx].target);
	region->record[idx].used = 0;
	slots_put(&slots, idx);
	n_routes--;
	changed_vnet(vnet);
	return 0;
}

int ob_route_get(
    uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len, struct ob_route_cfg *out)
{
	struct ob_key key = control_key(KEY_ROUTE, vnet, prefix_len, prefix);
	uint32_t idx = ob_map_get(policy_keys, &key);

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	cfg_of(&region->record[idx], out);
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
			cfg_of(r, out);
			return 0;
		}
	}
	return -ENOENT;
}

/* A record of the arena: 0 it is in force, 1 it does not pass, -errno. */
static int restore(struct record *r, uint32_t idx)
{
	struct ob_route_cfg cfg;
	struct ob_key key;
	int rc;

	if (!r->used || !cfg_of(r, &cfg))
		return 1;
	key = key_of(&cfg);
	if (admit(&cfg, NULL, 0) < 0 || ob_map_get(policy_keys, &key) != OB_TABLE_MISS)
		return 1;
	if (has_hops(r->action)) {
		rc = target_adopt(r->target);
		if (rc < 0)
			return rc;
	} else {
		r->target = OB_IDX_NONE;
	}
	r->to_vnet = cfg.to_vnet;
	rc = install(&cfg, r->target, idx);
	if (rc < 0 && r->target != OB_IDX_NONE)
		target_drop(r->target);
	return rc;
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

		rc = restore(r, i);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			n_routes++;
			continue;
		}
		r->used = 0;
		slots_put(&slots, i);
	}
	target_sweep();
	return 0;
}

void route_fini(void)
{
	slots_fini(&slots);
	region = NULL;
	n_routes = 0;
}
