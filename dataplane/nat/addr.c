/* SPDX-License-Identifier: BSD-3-Clause */
/* Public addresses, and what workers look up by them. */
#include "nat_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LAYOUT 1

enum nat_key { NAT_KEY_PUBLIC = 1, NAT_KEY_PRIVATE = 2 };

struct addr_region *nat_addrs;
struct block_region *nat_blocks;
struct ob_nat_counters (*nat_counters)[OB_MAX_NAT_POOLS];
uint32_t nat_n_free[OB_MAX_NAT_ADDRS];
struct ob_map *nat_map;
static struct ob_map *keys; /* control: public key to any record, dying ones too */
static uint8_t
    quiet[OB_MAX_NAT_ADDRS]; /* dying for a grace period: no worker takes a block of it any more */

int nat_fail(int rc, char *err, size_t len, const char *why)
{
	if (err != NULL && len > 0)
		snprintf(err, len, "%s", why);
	return rc;
}

bool nat_ip_ok(rte_be32_t ip)
{
	uint32_t v = rte_be_to_cpu_32(ip);

	return v >> 24 != 0 && v >> 24 != 127 && v >> 28 < 14;
}

struct ob_key nat_private_key(uint16_t eni, uint16_t vnet, uint8_t family, const uint8_t *ip)
{
	struct ob_key k = {{(uint64_t)NAT_KEY_PRIVATE << 56 | (uint64_t)family << 40 |
			    (uint64_t)eni << 16 | vnet}};

	memcpy(&k.w[1], ip, family == AF_INET ? 4 : 16);
	return k;
}

uint32_t addr_find(uint16_t vnet, rte_be32_t ip)
{
	struct ob_key k = ob_nat_key(vnet, ip);

	return ob_map_get(keys, &k);
}

int addr_new(const struct addr *a, uint32_t *idx)
{
	struct ob_key k = ob_nat_key(a->vnet, a->ip);
	uint32_t i = 0;
	int rc;

	while (i < nat_addrs->head.n_high && nat_addrs->rec[i].kind != ADDR_FREE)
		i++;
	if (i == OB_MAX_NAT_ADDRS)
		return -ENOSPC;
	rc = ob_map_set(keys, &k, i);
	if (rc < 0)
		return rc;
	nat_addrs->rec[i] = *a;
	nat_n_free[i] = a->n_blocks;
	quiet[i] = 0;
	if (i >= nat_addrs->head.n_high)
		nat_addrs->head.n_high = i + 1;
	*idx = i;
	return 0;
}

int addr_show(uint32_t idx)
{
	const struct addr *a = &nat_addrs->rec[idx];
	struct ob_key k = ob_nat_key(a->vnet, a->ip), priv;
	int rc;

	if (a->kind != ADDR_FIP)
		return ob_map_set(nat_map, &k, idx);
	/* One that replaces another has the public key already: then only the private one can fail. */
	priv = nat_private_key(a->eni, a->vnet, a->family, a->private_ip);
	rc = ob_map_set(nat_map, &priv, idx);
	if (rc < 0)
		return rc;
	rc = ob_map_set(nat_map, &k, idx);
	if (rc < 0)
		ob_map_del(nat_map, &priv);
	return rc;
}

void addr_hide(uint32_t idx)
{
	const struct addr *a = &nat_addrs->rec[idx];
	struct ob_key k = ob_nat_key(a->vnet, a->ip);

	if (ob_map_get(nat_map, &k) == idx)
		ob_map_del(nat_map, &k);
	if (a->kind != ADDR_FIP)
		return;
	k = nat_private_key(a->eni, a->vnet, a->family, a->private_ip);
	if (ob_map_get(nat_map, &k) == idx)
		ob_map_del(nat_map, &k);
}

static void make_quiet(void *p)
{
	uint32_t *idx = p;

	quiet[*idx] = 1;
	free(idx);
}

void addr_own(uint32_t idx)
{
	struct ob_key k = ob_nat_key(nat_addrs->rec[idx].vnet, nat_addrs->rec[idx].ip);

	ob_map_set(keys, &k, idx); /* the key is there: only its value changes */
}

void addr_kill(uint32_t idx)
{
	struct addr *a = &nat_addrs->rec[idx];
	uint32_t *p = malloc(sizeof(*p));

	addr_hide(idx);
	__atomic_store_n(&a->kind, ADDR_DYING, __ATOMIC_RELAXED);
	quiet[idx] = 0;
	if (p == NULL)
		return; /* the address waits for the next start */
	*p = idx;
	ob_rcu_defer(make_quiet, p);
}

static bool drained(uint32_t idx)
{
	for (unsigned i = 0; i < nat_addrs->rec[idx].n_blocks; i++)
		if (__atomic_load_n(&nat_blocks->word[idx][i], __ATOMIC_RELAXED) != 0)
			return false;
	return true;
}

void addr_reap(void)
{
	ob_rcu_reclaim();
	for (uint32_t i = 0; i < nat_addrs->head.n_high; i++) {
		struct addr *a = &nat_addrs->rec[i];
		struct ob_key k = ob_nat_key(a->vnet, a->ip);

		if (a->kind != ADDR_DYING || !quiet[i] || !drained(i))
			continue;
		if (ob_map_get(keys, &k) == i)
			ob_map_del(keys, &k);
		a->kind = ADDR_FREE;
	}
}

/* ---- worker ---- */

void ob_nat_find(const struct ob_key *key, uint32_t *addr, unsigned n)
{
	if (likely(nat_map != NULL)) {
		ob_map_get_burst(nat_map, key, addr, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		addr[i] = OB_TABLE_MISS;
}

enum ob_nat_kind ob_nat_owner(
    uint32_t addr, uint8_t proto, rte_be16_t port, struct ob_nat_owner *out)
{
	const struct addr *a = &nat_addrs->rec[addr];
	uint32_t off = (uint32_t)rte_be_to_cpu_16(port) - a->port_min;
	uint64_t w;

	out->kind = OB_NAT_NONE;
	if (addr_kind(a) == ADDR_FIP) {
		out->kind = OB_NAT_FIP;
		out->family = a->family;
		out->eni = a->eni;
		out->worker = 0;
		memcpy(out->private_ip, a->private_ip, 16);
	} else if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMP) {
		/* A port below the first one wraps, and is beyond all blocks. */
		if (off >> a->shift >= a->n_blocks)
			return OB_NAT_NONE;
		/* Acquire: pairs with the owner's release when it took the block. */
		w = __atomic_load_n(&nat_blocks->word[addr][off >> a->shift], __ATOMIC_ACQUIRE);
		if (!(w & BLOCK_USED))
			return OB_NAT_NONE;
		out->kind = OB_NAT_BLOCK;
		out->family = (w & BLOCK_IP6) ? AF_INET6 : AF_INET;
		out->eni = block_eni(w);
		out->worker = block_worker(w);
	}
	return (enum ob_nat_kind)out->kind;
}

bool ob_nat_answers(uint16_t vnet, rte_be32_t ip, uint8_t mac[6])
{
	struct ob_key k = ob_nat_key(vnet, ip);
	const struct pool *p;
	const struct addr *a;
	uint32_t idx;

	if (nat_map == NULL)
		return false;
	idx = ob_map_get(nat_map, &k);
	if (idx == OB_TABLE_MISS)
		return false;
	a = &nat_addrs->rec[idx];
	if (addr_kind(a) == ADDR_FIP) {
		memcpy(mac, a->mac, 6);
		return true;
	}
	p = pool_at(addr_pool(a));
	if (p == NULL)
		return false;
	memcpy(mac, p->mac, 6);
	return true;
}

/* ---- start and end ---- */

static bool record_ok(const struct addr *a)
{
	uint32_t ports = (uint32_t)a->n_blocks << a->shift;

	if (a->kind == ADDR_FREE || a->kind > ADDR_DYING || a->vnet >= OB_MAX_VNETS ||
	    !nat_ip_ok(a->ip))
		return false;
	if (a->kind == ADDR_FIP)
		return a->n_blocks == 0;
	return a->shift >= 6 && a->shift <= 12 && a->n_blocks <= OB_NAT_ADDR_BLOCKS &&
	       a->port_min >= OB_NAT_PORT_MIN && a->port_min + ports <= 65536;
}

/* Pools and floating IPs claim theirs afterwards; until then all are dying, and what nobody claims is. */
static int restore(uint32_t i)
{
	struct addr *a = &nat_addrs->rec[i];
	struct ob_key k = ob_nat_key(a->vnet, a->ip);
	int rc;

	if (!record_ok(a) || ob_map_get(keys, &k) != OB_TABLE_MISS) {
		memset(nat_blocks->word[i], 0, sizeof(nat_blocks->word[i]));
		a->kind = ADDR_FREE;
		return 0;
	}
	rc = ob_map_set(keys, &k, i);
	if (rc < 0)
		return rc;
	if (a->kind == ADDR_POOL)
		a->kind = ADDR_DYING;
	quiet[i] = 1;
	return 0;
}

int addr_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_map_create(2 * OB_MAX_NAT_ADDRS + 65536, &nat_map);
	if (rc == 0)
		rc = ob_map_create(OB_MAX_NAT_ADDRS + 65536, &keys);
	if (rc == 0)
		rc = ob_arena_region(arena, "nat.block", LAYOUT, sizeof(*nat_blocks), &p, &fresh);
	if (rc < 0)
		return rc;
	nat_blocks = p;
	rc = ob_arena_region(arena, "nat.counters", LAYOUT,
	    OB_MAX_WORKERS * OB_MAX_NAT_POOLS * sizeof(struct ob_nat_counters), &p, &fresh);
	if (rc < 0)
		return rc;
	nat_counters = p;
	rc = ob_arena_region(arena, "nat.addr", LAYOUT, sizeof(*nat_addrs), &p, &fresh);
	if (rc < 0)
		return rc;
	nat_addrs = p;
	if (nat_addrs->head.n_high > OB_MAX_NAT_ADDRS)
		return -EPROTO;
	for (uint32_t i = 0; i < nat_addrs->head.n_high; i++) {
		rc = restore(i);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void addr_fini(void)
{
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	ob_map_destroy(nat_map);
	ob_map_destroy(keys);
	nat_map = keys = NULL;
	nat_addrs = NULL;
	nat_blocks = NULL;
	nat_counters = NULL;
}

int ob_nat_init(struct ob_arena *arena)
{
	int rc = addr_init(arena);

	if (rc == 0)
		rc = pool_init(arena);
	if (rc == 0)
		rc = fip_init();
	if (rc == 0)
		rc = bind_init(arena);
	if (rc < 0) {
		ob_nat_fini();
		return rc;
	}
	block_init();
	addr_reap();
	return 0;
}

void ob_nat_fini(void)
{
	block_fini();
	bind_fini();
	fip_fini();
	pool_fini();
	addr_fini();
}
