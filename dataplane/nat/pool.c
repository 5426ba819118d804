/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools: which addresses they have, and how their ports are cut into blocks. */
#include "nat_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ether.h>

#define LAYOUT	       1
#define DEFAULT_BLOCK  256
#define DEFAULT_BLOCKS 32

struct record {
	uint32_t used;
	struct ob_nat_pool_cfg cfg;
};
static_assert(sizeof(struct ob_nat_pool_cfg) == 84, "arena layout");

struct region {
	struct region_head head;
	struct record record[OB_MAX_NAT_POOLS];
};

/* Answered by ARP where control names none: locally administered. */
static const uint8_t default_mac[6] = {0x02, 0x6f, 0x62, 0x00, 0x00, 0x02};

static struct region *region;
static struct pool *pools[OB_MAX_NAT_POOLS]; /* RCU */
static uint32_t refs[OB_MAX_NAT_POOLS];	     /* ENIs that are bound */

const struct pool *pool_at(uint32_t idx)
{
	return idx < OB_MAX_NAT_POOLS ? ob_rcu_load(&pools[idx]) : NULL;
}

void pool_hold(uint32_t idx)
{
	refs[idx]++;
}

void pool_release(uint32_t idx)
{
	assert(refs[idx] > 0);
	refs[idx]--;
}

void nat_mac(uint8_t out[6], const uint8_t mac[6])
{
	static const uint8_t none[6];

	memcpy(out, memcmp(mac, none, 6) == 0 ? default_mac : mac, 6);
}

const struct ob_nat_pool_cfg *ob_nat_pool_get(uint32_t idx)
{
	if (region == NULL || idx >= OB_MAX_NAT_POOLS || !region->record[idx].used)
		return NULL;
	return &region->record[idx].cfg;
}

/* How a pool's addresses are cut. */
static void geometry(const struct ob_nat_pool_cfg *cfg, struct addr *a)
{
	uint32_t min = cfg->port_min ? cfg->port_min : OB_NAT_PORT_MIN;
	uint32_t max = cfg->port_max ? cfg->port_max : UINT16_MAX;
	uint32_t n;

	a->port_min = (uint16_t)min;
	a->shift = (uint8_t)__builtin_ctz(cfg->block_size ? cfg->block_size : DEFAULT_BLOCK);
	n = (max - min + 1) >> a->shift;
	a->n_blocks = (uint16_t)RTE_MIN(n, (uint32_t)OB_NAT_ADDR_BLOCKS);
}

static const char *check(const struct ob_nat_pool_cfg *cfg, uint32_t *n_addrs)
{
	uint32_t min = cfg->port_min ? cfg->port_min : OB_NAT_PORT_MIN;
	uint32_t max = cfg->port_max ? cfg->port_max : UINT16_MAX;
	uint32_t size = cfg->block_size ? cfg->block_size : DEFAULT_BLOCK;

	*n_addrs = 0;
	if (cfg->mac[0] & 1)
		return "the MAC address must be unicast";
	if (min < OB_NAT_PORT_MIN || max < min)
		return "ports must be from 1024 on, the first one not above the last";
	if (size < OB_NAT_BLOCK_MIN || size > OB_NAT_BLOCK_MAX || (size & (size - 1)) != 0)
		return "the block size must be a power of two from 64 to 4096";
	if (max - min + 1 < size)
		return "the port range holds no block";
	if (cfg->max_blocks > OB_NAT_BLOCKS_LIMIT)
		return "an ENI can hold at most 1024 blocks";
	if (cfg->n_ranges == 0 || cfg->n_ranges > OB_NAT_POOL_RANGES)
		return "a pool needs 1 to 8 address ranges";
	for (unsigned i = 0; i < cfg->n_ranges; i++) {
		uint32_t first = rte_be_to_cpu_32(cfg->range[i].first);
		uint32_t last = rte_be_to_cpu_32(cfg->range[i].last);

		if (!nat_ip_ok(cfg->range[i].first) || !nat_ip_ok(cfg->range[i].last) ||
		    last < first || first >> 24 != last >> 24)
			return "an address range must be unicast IPv4, the first one not above "
			       "the last";
		if (last - first >= POOL_MAX_ADDRS - *n_addrs)
			return "a pool holds at most 1024 addresses";
		*n_addrs += last - first + 1;
		for (unsigned j = 0; j < i; j++)
			if (first <= rte_be_to_cpu_32(cfg->range[j].last) &&
			    last >= rte_be_to_cpu_32(cfg->range[j].first))
				return "address ranges overlap";
	}
	return NULL;
}

/* May the pool have the address as it is to be cut? */
static int admit_addr(uint32_t idx, const struct addr *want, char *err, size_t err_len)
{
	uint32_t at = addr_find(want->vnet, want->ip);
	const struct addr *a;

	if (at == OB_IDX_NONE)
		return 0;
	a = &nat_addrs->rec[at];
	if (a->kind == ADDR_FIP)
		return nat_fail(-EEXIST, err, err_len, "an address is a floating IP");
	if (a->kind == ADDR_POOL && a->pool != idx)
		return nat_fail(-EEXIST, err, err_len, "another pool has one of the addresses");
	if (a->shift == want->shift && a->port_min == want->port_min &&
	    a->n_blocks == want->n_blocks)
		return 0;
	if (a->kind == ADDR_POOL)
		return nat_fail(-EBUSY, err, err_len,
		    "ports and block size of an address in use cannot change: delete the pool "
		    "first");
	return nat_fail(-EBUSY, err, err_len,
	    "an address still carries sessions with other ports and block size");
}

static int for_each_addr(
    const struct ob_nat_pool_cfg *cfg, uint32_t idx, struct pool *p, char *err, size_t err_len)
{
	struct addr a = {.kind = ADDR_DYING, .vnet = cfg->vnet, .pool = (uint16_t)idx};
	uint32_t n = 0;
	int rc;

	geometry(cfg, &a);
	for (unsigned i = 0; i < cfg->n_ranges; i++) {
		uint32_t ip = rte_be_to_cpu_32(cfg->range[i].first);

		for (; ip <= rte_be_to_cpu_32(cfg->range[i].last); ip++) {
			a.ip = rte_cpu_to_be_32(ip);
			if (p == NULL) {
				rc = admit_addr(idx, &a, err, err_len);
				if (rc < 0)
					return rc;
				continue;
			}
			p->addr[n] = addr_find(cfg->vnet, a.ip);
			if (p->addr[n] == OB_IDX_NONE) {
				rc = addr_new(&a, &p->addr[n]);
				if (rc < 0)
					return nat_fail(
					    rc, err, err_len, "too many public addresses");
			}
			p->n_addrs = (uint16_t)++n;
		}
	}
	return 0;
}

static bool has_addr(const struct pool *p, uint32_t addr)
{
	for (unsigned i = 0; i < p->n_addrs; i++)
		if (p->addr[i] == addr)
			return true;
	return false;
}

/* Addresses that are not the pool's yet, or were made for it just now. */
static void unwind(struct pool *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (nat_addrs->rec[p->addr[i]].kind == ADDR_DYING)
			addr_kill(p->addr[i]);
}

static void publish(uint32_t idx, struct pool *p)
{
	struct pool *old = pools[idx];

	ob_rcu_publish(&pools[idx], p);
	for (unsigned i = 0; old != NULL && i < old->n_addrs; i++)
		if (p == NULL || !has_addr(p, old->addr[i]))
			addr_kill(old->addr[i]);
	ob_rcu_defer(free, old);
}

static int build(uint32_t idx, const struct ob_nat_pool_cfg *cfg, uint32_t n_addrs,
    struct pool **out, char *err, size_t err_len)
{
	struct pool *p = calloc(1, sizeof(*p) + n_addrs * sizeof(p->addr[0]));
	uint32_t shown;
	int rc;

	if (p == NULL)
		return -ENOMEM;
	p->vnet = cfg->vnet;
	p->max_blocks = cfg->max_blocks ? cfg->max_blocks : DEFAULT_BLOCKS;
	nat_mac(p->mac, cfg->mac);
	rc = for_each_addr(cfg, idx, p, err, err_len);
	for (shown = 0; rc == 0 && shown < p->n_addrs; shown++)
		rc = addr_show(p->addr[shown]);
	if (rc == 0) {
		*out = p;
		return 0;
	}
	unwind(p, p->n_addrs);
	free(p);
	return rc;
}

int ob_nat_pool_set(uint32_t idx, const struct ob_nat_pool_cfg *cfg, char *err, size_t err_len)
{
	const struct ob_nat_pool_cfg *old = ob_nat_pool_get(idx);
	struct pool *p = NULL;
	uint32_t n_addrs;
	const char *why;
	uint16_t vnet;
	int rc;

	if (idx >= OB_MAX_NAT_POOLS)
		return nat_fail(-EINVAL, err, err_len, "pool number out of range");
	why = check(cfg, &n_addrs);
	if (why != NULL)
		return nat_fail(-EINVAL, err, err_len, why);
	if (ob_vnet_get(cfg->vnet) == NULL)
		return nat_fail(-ENOENT, err, err_len, "the pool's VNET does not exist");
	if (old != NULL && memcmp(old, cfg, sizeof(*cfg)) == 0)
		return 0;
	addr_reap();
	rc = for_each_addr(cfg, idx, NULL, err, err_len);
	if (rc == 0)
		rc = build(idx, cfg, n_addrs, &p, err, err_len);
	if (rc < 0)
		return rc;
	vnet = old != NULL ? old->vnet : 0;
	for (unsigned i = 0; i < p->n_addrs; i++) {
		struct addr *a = &nat_addrs->rec[p->addr[i]];

		__atomic_store_n(&a->pool, (uint16_t)idx, __ATOMIC_RELAXED);
		__atomic_store_n(&a->kind, ADDR_POOL, __ATOMIC_RELAXED);
	}
	publish(idx, p);
	ob_vnet_hold(cfg->vnet);
	if (old != NULL)
		ob_vnet_release(vnet);
	region->record[idx].cfg = *cfg;
	region->record[idx].used = 1;
	if (idx >= region->head.n_high)
		region->head.n_high = idx + 1;
	bind_changed(idx);
	return 0;
}

int ob_nat_pool_del(uint32_t idx, char *err, size_t err_len)
{
	const struct ob_nat_pool_cfg *cfg = ob_nat_pool_get(idx);

	if (cfg == NULL)
		return nat_fail(-ENOENT, err, err_len, "no such pool");
	if (refs[idx] > 0)
		return nat_fail(-EBUSY, err, err_len, "ENIs are bound to the pool");
	publish(idx, NULL);
	ob_vnet_release(cfg->vnet);
	region->record[idx].used = 0;
	addr_reap();
	return 0;
}

int ob_nat_pool_state(uint32_t idx, struct ob_nat_pool_state *out)
{
	const struct pool *p = pool_at(idx);

	memset(out, 0, sizeof(*out));
	if (p == NULL)
		return -ENOENT;
	out->n_addrs = p->n_addrs;
	out->n_enis = refs[idx];
	for (unsigned i = 0; i < p->n_addrs; i++) {
		uint32_t n = nat_addrs->rec[p->addr[i]].n_blocks;

		out->n_blocks += n;
		out->n_blocks_used +=
		    n - __atomic_load_n(&nat_n_free[p->addr[i]], __ATOMIC_RELAXED);
	}
	for (unsigned w = 0; w < OB_MAX_WORKERS; w++) {
		const uint64_t *c = (const uint64_t *)&nat_counters[w][idx];
		uint64_t *sum = (uint64_t *)&out->c;

		for (unsigned i = 0; i < sizeof(out->c) / 8; i++)
			sum[i] += __atomic_load_n(&c[i], __ATOMIC_RELAXED);
	}
	return 0;
}

int pool_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "nat.pool", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_NAT_POOLS)
		return -EPROTO;
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		struct ob_nat_pool_cfg cfg = region->record[i].cfg;

		if (!region->record[i].used)
			continue;
		region->record[i].used = 0;
		rc = ob_nat_pool_set(i, &cfg, NULL, 0);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

void pool_fini(void)
{
	for (uint32_t i = 0; i < OB_MAX_NAT_POOLS; i++) {
		ob_rcu_defer(free, pools[i]);
		ob_rcu_publish(&pools[i], NULL);
		refs[i] = 0;
	}
	region = NULL;
}
