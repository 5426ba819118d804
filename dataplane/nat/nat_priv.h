/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/nat only. */
#pragma once

#include "ob_nat.h"

#define POOL_MAX_ADDRS 1024

/* ---- public addresses: arena, read by workers in place ---- */

enum addr_kind {
	ADDR_FREE,
	ADDR_POOL,
	ADDR_FIP,
	ADDR_DYING, /* of a pool that no longer has it: its blocks end with their sessions */
};

/* Immutable while it is used, but for the kind (POOL and DYING) and the pool. */
struct addr {
	uint8_t kind, family; /* of private_ip */
	uint8_t shift;	      /* ports of a block: 1 << shift */
	uint8_t reserved;
	uint16_t vnet;
	uint16_t pool; /* ADDR_POOL */
	uint16_t eni;  /* ADDR_FIP */
	uint16_t port_min, n_blocks;
	uint8_t mac[6]; /* ADDR_FIP */
	rte_be32_t ip;
	uint8_t private_ip[16];
};
static_assert(sizeof(struct addr) == 40, "arena layout");

/* Start of each region; records from n_high on were never used. */
struct region_head {
	uint32_t n_high;
	uint32_t reserved[15];
};

struct addr_region {
	struct region_head head;
	struct addr rec[OB_MAX_NAT_ADDRS];
};

/* Who has a block. Written by compare and swap when free, by its worker when not: 0, or
 * refs | ENI << 32 | worker << 48 | BLOCK_USED (| BLOCK_IP6). */
#define BLOCK_USED (1ull << 56)
#define BLOCK_IP6  (1ull << 57)

struct block_region {
	uint64_t word[OB_MAX_NAT_ADDRS][OB_NAT_ADDR_BLOCKS];
};

extern struct addr_region *nat_addrs;
extern struct block_region *nat_blocks;
extern struct ob_nat_counters (*nat_counters)[OB_MAX_NAT_POOLS]; /* arena, [OB_MAX_WORKERS] */
/* Hints of this process: free blocks of an address, blocks of an ENI. */
extern uint32_t nat_n_free[OB_MAX_NAT_ADDRS];
extern uint32_t nat_eni_blocks[OB_MAX_ENIS];

static inline uint32_t block_refs(uint64_t w)
{
	return (uint32_t)w;
}

static inline uint16_t block_eni(uint64_t w)
{
	return (uint16_t)(w >> 32);
}

static inline uint8_t block_worker(uint64_t w)
{
	return (uint8_t)(w >> 48);
}

/* Blocks are numbered through; a tag is the number + 1. */
static inline uint64_t *block_word(uint32_t block)
{
	return &nat_blocks->word[block / OB_NAT_ADDR_BLOCKS][block % OB_NAT_ADDR_BLOCKS];
}

static inline const struct addr *block_addr(uint32_t block)
{
	return &nat_addrs->rec[block / OB_NAT_ADDR_BLOCKS];
}

static inline uint8_t addr_kind(const struct addr *a)
{
	return __atomic_load_n(&a->kind, __ATOMIC_RELAXED);
}

static inline uint16_t addr_pool(const struct addr *a)
{
	return __atomic_load_n(&a->pool, __ATOMIC_RELAXED);
}

/* addr.c: control. */
extern struct ob_map *nat_map; /* workers: NAT_KEY_PUBLIC, NAT_KEY_PRIVATE to addresses */

struct ob_key nat_private_key(uint16_t eni, uint16_t vnet, uint8_t family, const uint8_t *ip);
int addr_init(struct ob_arena *arena);
void addr_fini(void);
int nat_fail(int rc, char *err, size_t len, const char *why);
bool nat_ip_ok(rte_be32_t ip);
/* Any use of the address, dying too; OB_IDX_NONE: none. */
uint32_t addr_find(uint16_t vnet, rte_be32_t ip);
/* A new record as it is in 'a' (not yet seen by workers). Returns 0, -ENOSPC, -ENOMEM. */
int addr_new(const struct addr *a, uint32_t *idx);
/* The record that addr_find tells, of two of the same address. */
void addr_own(uint32_t idx);
/* Workers see it, or not any more. */
int addr_show(uint32_t idx);
void addr_hide(uint32_t idx);
/* A pool address goes when its blocks have ended; a floating IP after a grace period. Both are hidden. */
void addr_kill(uint32_t idx);
/* Looks which dying addresses can be given back. */
void addr_reap(void);

/* pool.c */
struct pool {
	uint16_t vnet, max_blocks;
	uint8_t mac[6];
	uint16_t n_addrs;
	uint32_t addr[];
};

int pool_init(struct ob_arena *arena);
void pool_fini(void);
const struct pool *pool_at(uint32_t idx); /* any; NULL: none */
void pool_hold(uint32_t idx);		  /* by an ENI */
void pool_release(uint32_t idx);
void nat_mac(uint8_t out[6], const uint8_t mac[6]); /* its default, if it is all zero */

/* fip.c: records are addresses. */
int fip_init(void);
void fip_fini(void);
/* Has the ENI any? */
bool fip_any(uint16_t eni);

/* bind.c */
int bind_init(struct ob_arena *arena);
void bind_fini(void);
void bind_changed(uint32_t pool); /* reports to the ENIs that are bound to the pool */

/* block.c */
void block_init(void);
void block_fini(void);

/* rewrite.c: L4 header of a packet inside an ICMP error, 'room' bytes of it, no later fragment. Returns the difference that this makes
 * to the sum of the bytes. */
uint64_t inside_l4(uint8_t *l4, unsigned room, uint8_t proto, uint64_t addrs, uint32_t new_ports);
