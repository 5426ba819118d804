/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy_priv.h"

#include <errno.h>
#include <stdlib.h>

#define LAYOUT 1

struct record {
	uint32_t used;
	struct ob_vnet_cfg cfg;
};

struct region {
	struct region_head head;
	struct record record[OB_MAX_VNETS];
};

static struct region *region;
static struct ob_policy_vnet *vnets[OB_MAX_VNETS]; /* RCU */
static struct ob_lpm *lpm4[OB_MAX_VNETS], *lpm6[OB_MAX_VNETS];
static uint32_t refs[OB_MAX_VNETS]; /* ENIs, routes, mappings and NAT that name it */

const struct ob_policy_vnet *ob_vnet_at(uint32_t idx)
{
	return idx < OB_MAX_VNETS ? ob_rcu_load(&vnets[idx]) : NULL;
}

const struct ob_vnet_cfg *ob_vnet_get(uint32_t idx)
{
	if (region == NULL || idx >= OB_MAX_VNETS || !region->record[idx].used)
		return NULL;
	return &region->record[idx].cfg;
}

int ob_vnet_hold(uint32_t idx)
{
	if (ob_vnet_get(idx) == NULL)
		return -ENOENT;
	refs[idx]++;
	return 0;
}

void ob_vnet_release(uint32_t idx)
{
	assert(refs[idx] > 0);
	refs[idx]--;
}

struct ob_lpm *vnet_lpm(uint16_t idx, uint8_t family)
{
	return family == AF_INET ? lpm4[idx] : lpm6[idx];
}

static void publish(uint32_t idx, struct ob_policy_vnet *v)
{
	struct ob_policy_vnet *old = vnets[idx];

	ob_rcu_publish(&vnets[idx], v);
	ob_rcu_defer(free, old);
}

static void drop_tables(uint32_t idx)
{
	if (lpm4[idx] != NULL)
		defer_lpm(lpm4[idx]);
	if (lpm6[idx] != NULL)
		defer_lpm(lpm6[idx]);
	lpm4[idx] = lpm6[idx] = NULL;
}

/* Prefix tables and the compiled record of a VNET that is new or has a new VNI. */
static int compile(uint32_t idx, const struct ob_vnet_cfg *cfg, struct ob_policy_vnet **out)
{
	struct ob_policy_vnet *v = malloc(sizeof(*v));

	if (v == NULL)
		return -ENOMEM;
	if ((lpm4[idx] == NULL && ob_lpm_create(&lpm4[idx]) < 0) ||
	    (lpm6[idx] == NULL && ob_lpm_create(&lpm6[idx]) < 0)) {
		free(v);
		return -ENOMEM;
	}
	*v = (struct ob_policy_vnet){.vni = cfg->vni, .lpm4 = lpm4[idx], .lpm6 = lpm6[idx]};
	*out = v;
	return 0;
}

int ob_vnet_set(uint32_t idx, const struct ob_vnet_cfg *cfg, char *err, size_t err_len)
{
	const struct ob_vnet_cfg *old = ob_vnet_get(idx);
	struct ob_key key = ob_key_vni(cfg->vni), old_key;
	struct ob_policy_vnet *v;
	uint32_t at;
	int rc;

	if (idx >= OB_MAX_VNETS)
		return policy_fail(-EINVAL, err, err_len, "VNET number out of range");
	if (cfg->vni >= 1u << 24)
		return policy_fail(-EINVAL, err, err_len, "a VNI has 24 bits");
	at = ob_map_get(policy_map, &key);
	if (at != OB_TABLE_MISS && at != idx)
		return policy_fail(-EEXIST, err, err_len, "another VNET has this VNI");
	if (old != NULL && old->vni == cfg->vni)
		return 0;
	rc = compile(idx, cfg, &v);
	if (rc < 0)
		goto err_tables;
	rc = ob_map_set(policy_map, &key, idx);
	if (rc < 0)
		goto err_vnet;
	rc = eni_add_vni_keys((uint16_t)idx, cfg->vni);
	if (rc < 0)
		goto err_key;
	publish(idx, v);
	if (old != NULL) {
		old_key = ob_key_vni(old->vni);
		ob_map_del(policy_map, &old_key);
		eni_del_vni_keys((uint16_t)idx, old->vni);
	}
	region->record[idx].cfg = *cfg;
	region->record[idx].used = 1;
	if (idx >= region->head.n_high)
		region->head.n_high = idx + 1;
	changed_reach((uint16_t)idx);
	return 0;

err_key:
	ob_map_del(policy_map, &key);
err_vnet:
	free(v);
err_tables:
	if (old == NULL)
		drop_tables(idx);
	return rc;
}

int ob_vnet_del(uint32_t idx, char *err, size_t err_len)
{
	const struct ob_vnet_cfg *cfg = ob_vnet_get(idx);
	struct ob_key key;

	if (cfg == NULL)
		return policy_fail(-ENOENT, err, err_len, "no such VNET");
	if (refs[idx] > 0)
		return policy_fail(
		    -EBUSY, err, err_len, "ENIs, routes, mappings or NAT still use the VNET");
	key = ob_key_vni(cfg->vni);
	ob_map_del(policy_map, &key);
	publish(idx, NULL);
	drop_tables(idx);
	region->record[idx].used = 0;
	return 0;
}

int vnet_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "policy.vnet", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_VNETS)
		return -EPROTO;
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		struct ob_vnet_cfg cfg = region->record[i].cfg;

		if (!region->record[i].used)
			continue;
		/* As if it were added now; what does not pass is forgotten. */
		region->record[i].used = 0;
		rc = ob_vnet_set(i, &cfg, NULL, 0);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

void vnet_fini(void)
{
	for (uint32_t i = 0; i < OB_MAX_VNETS; i++) {
		publish(i, NULL);
		drop_tables(i);
		refs[i] = 0;
	}
	region = NULL;
}
