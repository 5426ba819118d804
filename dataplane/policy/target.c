/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of next hops. Routes with the same set share one: a full table of routes has few different ones. What workers see is immutable,
 * and its number is given out again after a grace period. */
#include "policy_priv.h"

#include <errno.h>
#include <stdlib.h>

#define LAYOUT 1

struct record {
	uint8_t used, family, n, reserved;
	uint16_t to_vnet, reserved2;
	uint8_t hop[OB_ROUTE_MAX_HOPS][16];
};
static_assert(sizeof(struct record) == 264, "arena layout");

struct region {
	struct region_head head;
	struct record record[OB_MAX_TARGETS];
};

static struct region *region;
static struct slots slots;
static struct ob_target *targets[OB_MAX_TARGETS]; /* RCU */
static uint32_t refs[OB_MAX_TARGETS];		  /* routes */

const struct ob_target *ob_target_at(uint32_t idx)
{
	return idx < OB_MAX_TARGETS ? ob_rcu_load(&targets[idx]) : NULL;
}

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = 0;

		memcpy(&v, b + i, RTE_MIN((size_t)8, n - i));
		h = (h ^ v) * 0x9fb21c651e98df25ull;
		h ^= h >> 29;
	}
	return h;
}

/* Sets that only share the hash are not shared: the caller compares. */
static struct ob_key key_of(const struct record *r)
{
	return (struct ob_key){{(uint64_t)KEY_TARGET << 56, hash_bytes(1, r, sizeof(*r)),
	    hash_bytes(0x1d8e4e27c47d124full, r, sizeof(*r))}};
}

static struct record record_of(const struct ob_route_cfg *cfg)
{
	struct record r = {
	    .used = 1, .family = cfg->hop[0].family, .n = cfg->n_hops, .to_vnet = cfg->to_vnet};

	for (unsigned i = 0; i < cfg->n_hops; i++)
		memcpy(r.hop[i], cfg->hop[i].b, 16);
	return r;
}

static struct ob_target *compile(const struct record *r)
{
	struct ob_target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->to_vnet = r->to_vnet;
	t->n = r->n;
	for (unsigned i = 0; i < r->n; i++) {
		rte_be32_t ip4;

		/* Of the address alone: a flow keeps its hop whatever else is in the set, here and on other cards. */
		t->seed[i] = (uint32_t)(hash_bytes(r->family, r->hop[i], 16) >> 32);
		memcpy(&ip4, r->hop[i], 4);
		t->ca[i] = r->family == AF_INET ? ob_key_ca4(r->to_vnet, ip4)
						: ob_key_ca6(r->to_vnet, r->hop[i]);
	}
	return t;
}

/* Publishes the record's object and lets equal sets find it. */
static int install(uint32_t idx)
{
	struct record *r = &region->record[idx];
	struct ob_key key = key_of(r);
	struct ob_target *t = compile(r);
	int rc;

	if (t == NULL)
		return -ENOMEM;
	if (ob_map_get(policy_keys, &key) == OB_TABLE_MISS) {
		rc = ob_map_set(policy_keys, &key, idx);
		if (rc < 0) {
			free(t);
			return rc;
		}
	}
	ob_rcu_publish(&targets[idx], t);
	return 0;
}

int target_take(const struct ob_route_cfg *cfg, uint32_t *idx)
{
	struct record r = record_of(cfg);
	struct ob_key key = key_of(&r);
	uint32_t at = ob_map_get(policy_keys, &key);
	int rc;

	if (at != OB_TABLE_MISS && memcmp(&region->record[at], &r, sizeof(r)) == 0) {
		refs[at]++;
		*idx = at;
		return 0;
	}
	at = slots_take(&slots);
	if (at == OB_IDX_NONE)
		return -ENOSPC;
	region->record[at] = r;
	rc = install(at);
	if (rc < 0) {
		region->record[at].used = 0;
		slots_put(&slots, at);
		return rc;
	}
	refs[at] = 1;
	*idx = at;
	return 0;
}

static void put_slot(void *p)
{
	uint32_t *idx = p;

	free(targets[*idx]);
	targets[*idx] = NULL;
	slots_put(&slots, *idx);
	free(idx);
}

void target_drop(uint32_t idx)
{
	struct ob_key key;
	uint32_t *p;

	assert(refs[idx] > 0);
	if (--refs[idx] > 0)
		return;
	key = key_of(&region->record[idx]);
	if (ob_map_get(policy_keys, &key) == idx)
		ob_map_del(policy_keys, &key);
	region->record[idx].used = 0;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return; /* number and object are lost until the next start */
	*p = idx;
	ob_rcu_defer(put_slot, p);
}

bool target_fill(uint32_t idx, struct ob_route_cfg *cfg)
{
	const struct record *r = &region->record[idx];

	if (idx >= region->head.n_high || !r->used || r->n == 0 || r->n > OB_ROUTE_MAX_HOPS)
		return false;
	cfg->to_vnet = r->to_vnet;
	cfg->n_hops = r->n;
	for (unsigned i = 0; i < r->n; i++) {
		cfg->hop[i].family = r->family;
		memcpy(cfg->hop[i].b, r->hop[i], 16);
	}
	return true;
}

int target_adopt(uint32_t idx)
{
	int rc = 0;

	if (targets[idx] == NULL)
		rc = install(idx);
	if (rc == 0)
		refs[idx]++;
	return rc;
}

void target_sweep(void)
{
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		if (refs[i] > 0)
			continue;
		region->record[i].used = 0;
		slots_put(&slots, i);
	}
}

int target_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "policy.target", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_TARGETS)
		return -EPROTO;
	slots_init(&slots, &region->head.n_high, OB_MAX_TARGETS);
	return 0;
}

void target_fini(void)
{
	/* Numbers on their way through RCU come back before the objects go. */
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	for (uint32_t i = 0; i < OB_MAX_TARGETS; i++) {
		free(targets[i]);
		targets[i] = NULL;
		refs[i] = 0;
	}
	slots_fini(&slots);
	region = NULL;
}
