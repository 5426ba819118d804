/* SPDX-License-Identifier: BSD-3-Clause */
/* CA-to-PA mappings. Workers read the arena's records, so a record that they may see is never changed: a new one takes its place,
 * and its number is given back after a grace period. */
#include "policy_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ether.h>

#define LAYOUT 1

static_assert(sizeof(struct ob_mapping) == 36, "arena layout");

struct region {
	struct region_head head;
	struct ob_mapping record[OB_MAX_MAPPINGS];
};

static struct region *region;
static struct slots slots;
static uint32_t n_mappings;

const struct ob_mapping *ob_mapping_at(uint32_t idx)
{
	return &region->record[idx];
}

static struct ob_key worker_key(uint16_t vnet, const struct ob_ip *ca)
{
	rte_be32_t ip4;

	if (ca->family == AF_INET6)
		return ob_key_ca6(vnet, ca->b);
	memcpy(&ip4, ca->b, 4);
	return ob_key_ca4(vnet, ip4);
}

static int admit(const struct ob_mapping_cfg *cfg, char *err, size_t err_len)
{
	struct rte_ether_addr mac;

	memcpy(&mac, cfg->mac, 6);
	if (!ip_is_unicast(&cfg->ca))
		return policy_fail(
		    -EINVAL, err, err_len, "the address must be unicast IPv4 or IPv6");
	if (!rte_is_valid_assigned_ether_addr(&mac))
		return policy_fail(
		    -EINVAL, err, err_len, "the MAC address must be unicast and not zero");
	if (cfg->vni >= 1u << 24)
		return policy_fail(-EINVAL, err, err_len, "a VNI has 24 bits");
	if (ob_vnet_get(cfg->vnet) == NULL)
		return policy_fail(-ENOENT, err, err_len, "the mapping's VNET does not exist");
	if (ob_tunnel_get(cfg->tunnel) == NULL)
		return policy_fail(-ENOENT, err, err_len, "the mapping's tunnel does not exist");
	return 0;
}

static struct ob_mapping_cfg cfg_of(const struct ob_mapping *m)
{
	struct ob_mapping_cfg c = {.vnet = m->vnet, .tunnel = m->tunnel, .vni = m->vni};

	memcpy(c.mac, m->mac, 6);
	c.ca.family = m->family;
	memcpy(c.ca.b, m->ca, 16);
	return c;
}

static bool is_same(const struct ob_mapping *m, const struct ob_mapping_cfg *cfg)
{
	return m->tunnel == cfg->tunnel && m->vni == cfg->vni && memcmp(m->mac, cfg->mac, 6) == 0;
}

static void put_slot(void *p)
{
	uint32_t *idx = p;

	slots_put(&slots, *idx);
	free(idx);
}

/* Forgets a record that workers may still read. */
static void retire(uint32_t idx)
{
	uint32_t *p = malloc(sizeof(*p));

	region->record[idx].used = 0;
	if (p == NULL)
		return; /* the number is lost until the next start */
	*p = idx;
	ob_rcu_defer(put_slot, p);
}

/* Keys for control and workers; 'idx' is complete. The ENI of the same address stays in front. */
static int install(const struct ob_mapping_cfg *cfg, uint32_t idx, uint32_t old)
{
	struct ob_key key = control_key(KEY_MAPPING, cfg->vnet, 0, &cfg->ca);
	struct ob_key wkey = worker_key(cfg->vnet, &cfg->ca);
	uint32_t at = ob_map_get(policy_map, &wkey);
	int rc;

	rc = ob_map_set(policy_keys, &key, idx);
	if (rc < 0)
		return rc;
	if (at == OB_TABLE_MISS || !(at & OB_CA_ENI))
		rc = ob_map_set(policy_map, &wkey, idx);
	if (rc == 0)
		return 0;
	if (old == OB_TABLE_MISS)
		ob_map_del(policy_keys, &key);
	else
		ob_map_set(policy_keys, &key, old);
	return rc;
}

int ob_mapping_set(const struct ob_mapping_cfg *cfg, char *err, size_t err_len)
{
	struct ob_key key = control_key(KEY_MAPPING, cfg->vnet, 0, &cfg->ca);
	struct ob_mapping *m;
	uint32_t idx, old;
	int rc;

	rc = admit(cfg, err, err_len);
	if (rc < 0)
		return rc;
	old = ob_map_get(policy_keys, &key);
	if (old != OB_TABLE_MISS && is_same(&region->record[old], cfg))
		return 0;
	idx = slots_take(&slots);
	if (idx == OB_IDX_NONE)
		return policy_fail(-ENOSPC, err, err_len, "too many mappings");
	m = &region->record[idx];
	*m = (struct ob_mapping){
	    .family = cfg->ca.family, .vnet = cfg->vnet, .tunnel = cfg->tunnel, .vni = cfg->vni};
	memcpy(m->mac, cfg->mac, 6);
	memcpy(m->ca, cfg->ca.b, 16);
	rc = install(cfg, idx, old);
	if (rc < 0) {
		slots_put(&slots, idx);
		return rc;
	}
	m->used = 1;
	ob_tunnel_hold(cfg->tunnel);
	ob_vnet_hold(cfg->vnet);
	if (old != OB_TABLE_MISS) {
		ob_tunnel_release(region->record[old].tunnel);
		ob_vnet_release(cfg->vnet);
		retire(old);
		changed_reach(cfg->vnet);
	} else {
		n_mappings++;
	}
	return 0;
}

int ob_mapping_del(uint16_t vnet, const struct ob_ip *ca)
{
	struct ob_key key = control_key(KEY_MAPPING, vnet, 0, ca);
	struct ob_key wkey = worker_key(vnet, ca);
	uint32_t idx = ob_map_get(policy_keys, &key);

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	ob_map_del(policy_keys, &key);
	if (ob_map_get(policy_map, &wkey) == idx)
		ob_map_del(policy_map, &wkey);
	ob_tunnel_release(region->record[idx].tunnel);
	ob_vnet_release(vnet);
	retire(idx);
	n_mappings--;
	changed_reach(vnet);
	return 0;
}

int ob_mapping_get(uint16_t vnet, const struct ob_ip *ca, struct ob_mapping_cfg *out)
{
	struct ob_key key = control_key(KEY_MAPPING, vnet, 0, ca);
	uint32_t idx = ob_map_get(policy_keys, &key);

	if (idx == OB_TABLE_MISS)
		return -ENOENT;
	*out = cfg_of(&region->record[idx]);
	return 0;
}

bool mapping_exists(uint16_t vnet, const struct ob_ip *ca)
{
	struct ob_key key = control_key(KEY_MAPPING, vnet, 0, ca);

	return ob_map_get(policy_keys, &key) != OB_TABLE_MISS;
}

bool mapping_uncover(uint16_t vnet, const struct ob_ip *ca)
{
	struct ob_key key = control_key(KEY_MAPPING, vnet, 0, ca);
	struct ob_key wkey = worker_key(vnet, ca);
	uint32_t idx = ob_map_get(policy_keys, &key);

	/* The key is there already, so this only changes its value and cannot fail. */
	return idx != OB_TABLE_MISS && ob_map_set(policy_map, &wkey, idx) == 0;
}

uint32_t ob_mapping_count(void)
{
	return n_mappings;
}

uint32_t ob_policy_tunnel_refs(uint32_t tunnel)
{
	return ob_tunnel_refs(tunnel);
}

int ob_mapping_next(uint32_t *cursor, struct ob_mapping_cfg *out)
{
	while (region != NULL && *cursor < region->head.n_high) {
		const struct ob_mapping *m = &region->record[(*cursor)++];

		if (m->used) {
			*out = cfg_of(m);
			return 0;
		}
	}
	return -ENOENT;
}

int mapping_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "policy.mapping", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_MAPPINGS)
		return -EPROTO;
	slots_init(&slots, &region->head.n_high, OB_MAX_MAPPINGS);
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		struct ob_mapping *m = &region->record[i];
		struct ob_mapping_cfg cfg = cfg_of(m);
		struct ob_key key = control_key(KEY_MAPPING, cfg.vnet, 0, &cfg.ca);

		/* A replacement that was cut short leaves two of a key: one of them is enough. */
		if (m->used && admit(&cfg, NULL, 0) == 0 &&
		    ob_map_get(policy_keys, &key) == OB_TABLE_MISS) {
			rc = install(&cfg, i, OB_TABLE_MISS);
			if (rc < 0)
				return rc;
			ob_tunnel_hold(cfg.tunnel);
			ob_vnet_hold(cfg.vnet);
			n_mappings++;
			continue;
		}
		m->used = 0;
		slots_put(&slots, i);
	}
	return 0;
}

void mapping_fini(void)
{
	uint32_t cursor = 0;
	struct ob_mapping_cfg cfg;

	while (ob_mapping_next(&cursor, &cfg) == 0)
		ob_tunnel_release(cfg.tunnel);
	/* Numbers on their way through RCU come back before the records go. */
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	slots_fini(&slots);
	region = NULL;
	n_mappings = 0;
}
