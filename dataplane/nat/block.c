/* SPDX-License-Identifier: BSD-3-Clause */
/* Giving ports out, on workers.
 *
 * The blocks of an ENI on a worker are a list, which only that worker touches. A new connection looks for a port in the blocks that
 * are there, from a random point on, and takes another block when those have none toward this destination. */
#include "nat_priv.h"

#include <stdlib.h>
#include <sys/random.h>

/* A connection looks into some blocks for a few ports, then takes a new one; if there is none to take it looks harder. */
#define LOOKS	   8
#define TRIES	   6
#define DEEP_LOOKS 4
#define DEEP_TRIES 64
#define END	   0 /* list links are block numbers + 1 */

enum { WHY_LIMIT = 1, WHY_FULL = 2 };

struct lane {
	uint64_t n;
	uint8_t pad[56];
};

uint32_t nat_eni_blocks[OB_MAX_ENIS];
static uint32_t head[OB_MAX_WORKERS][OB_MAX_ENIS];
static uint32_t next[OB_MAX_NAT_ADDRS * OB_NAT_ADDR_BLOCKS];
static uint64_t secret[2];
static struct lane lanes[OB_MAX_WORKERS];

/* What an outsider sees of it are a few bits of a keyed multiplication. */
static inline uint32_t draw(unsigned worker)
{
	unsigned __int128 p;

	p = (unsigned __int128)(++lanes[worker].n * 0x9e3779b97f4a7c15ull ^ secret[0]) *
	    (secret[1] ^ worker);
	return (uint32_t)((uint64_t)p ^ (uint64_t)(p >> 64));
}

static inline void count(uint64_t *c)
{
	__atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
}

static void add_to_list(unsigned worker, uint16_t eni, uint32_t block)
{
	next[block] = head[worker][eni];
	head[worker][eni] = block + 1;
}

static void take_from_list(unsigned worker, uint16_t eni, uint32_t block)
{
	uint32_t *at = &head[worker][eni];

	for (unsigned i = 0; *at != END && i <= OB_NAT_BLOCKS_LIMIT; i++) {
		if (*at == block + 1) {
			*at = next[block];
			return;
		}
		at = &next[*at - 1];
	}
}

void ob_nat_put(unsigned worker, uint32_t tag)
{
	uint32_t block = tag - 1, addr = block / OB_NAT_ADDR_BLOCKS;
	uint64_t *w, v;

	if (tag == 0 || nat_blocks == NULL || addr >= OB_MAX_NAT_ADDRS)
		return;
	w = block_word(block);
	v = __atomic_load_n(w, __ATOMIC_RELAXED);
	/* Only a session out of a damaged arena has another tag. */
	if (!(v & BLOCK_USED) || block_worker(v) != worker)
		return;
	if (block_refs(v) > 1) {
		__atomic_store_n(w, v - 1, __ATOMIC_RELAXED);
		return;
	}
	take_from_list(worker, block_eni(v), block);
	count(&nat_counters[worker][addr_pool(block_addr(block))].blocks_put);
	__atomic_fetch_sub(&nat_eni_blocks[block_eni(v)], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nat_n_free[addr], 1, __ATOMIC_RELAXED);
	/* Release: pairs with the acquire of who takes it next, so that 'next' and the list are left alone from here on. */
	__atomic_store_n(w, 0, __ATOMIC_RELEASE);
}

void ob_nat_on_delete(unsigned worker, uint16_t eni, uint32_t tag)
{
	(void)eni;
	ob_nat_put(worker, tag);
}

/* Is the block one that the ENI's new connections of this family may use? Dying addresses are left to their sessions. */
static bool is_ours(uint32_t block, uint32_t pool, uint64_t flags)
{
	const struct addr *a = block_addr(block);
	uint64_t v = __atomic_load_n(block_word(block), __ATOMIC_RELAXED);

	return addr_kind(a) == ADDR_POOL && addr_pool(a) == pool && (v & BLOCK_IP6) == flags;
}

static uint32_t find_in_list(uint32_t at, uint32_t pool, uint64_t flags)
{
	while (at != END && !is_ours(at - 1, pool, flags))
		at = next[at - 1];
	return at;
}

static uint32_t take_on_addr(unsigned worker, uint32_t addr, uint64_t word)
{
	const struct addr *a = &nat_addrs->rec[addr];
	uint32_t start = draw(worker) % a->n_blocks;

	for (uint32_t i = 0; i < a->n_blocks; i++) {
		uint32_t n = start + i < a->n_blocks ? start + i : start + i - a->n_blocks;
		uint64_t free_word = 0;

		/* Acquire: pairs with the release of who had it. */
		if (__atomic_load_n(&nat_blocks->word[addr][n], __ATOMIC_RELAXED) == 0 &&
		    __atomic_compare_exchange_n(&nat_blocks->word[addr][n], &free_word, word, false,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			__atomic_fetch_sub(&nat_n_free[addr], 1, __ATOMIC_RELAXED);
			return addr * OB_NAT_ADDR_BLOCKS + n + 1;
		}
	}
	return END;
}

/* A block nobody has, with one reference, at the head of the list; END: none. */
static uint32_t take_block(unsigned worker, uint16_t eni, const struct pool *p, uint32_t pool,
    uint64_t flags, uint32_t *why)
{
	uint64_t word = BLOCK_USED | flags | (uint64_t)worker << 48 | (uint64_t)eni << 32 | 1;
	/* An ENI starts at the same address each time: its connections come from one as long as that has blocks (RFC 4787, REQ-2). */
	uint32_t start = (uint32_t)((uint64_t)(eni * 2654435761u) * p->n_addrs >> 32);
	uint32_t block = END;

	if (__atomic_fetch_add(&nat_eni_blocks[eni], 1, __ATOMIC_RELAXED) >= p->max_blocks) {
		__atomic_fetch_sub(&nat_eni_blocks[eni], 1, __ATOMIC_RELAXED);
		*why = WHY_LIMIT;
		return END;
	}
	for (unsigned i = 0; i < p->n_addrs && block == END; i++) {
		unsigned n = start + i < p->n_addrs ? start + i : start + i - p->n_addrs;
		uint32_t addr = p->addr[n];

		if (__atomic_load_n(&nat_n_free[addr], __ATOMIC_RELAXED) > 0)
			block = take_on_addr(worker, addr, word);
	}
	if (block == END) {
		__atomic_fetch_sub(&nat_eni_blocks[eni], 1, __ATOMIC_RELAXED);
		*why = WHY_FULL;
		return END;
	}
	add_to_list(worker, eni, block - 1);
	count(&nat_counters[worker][pool].blocks_taken);
	return block;
}

static void refer(uint32_t block)
{
	uint64_t *w = block_word(block);

	__atomic_store_n(w, __atomic_load_n(w, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* Some block of the ENI, each as likely as the other. */
static uint32_t any_in_list(unsigned worker, uint16_t eni, uint32_t pool, uint64_t flags)
{
	uint32_t n = __atomic_load_n(&nat_eni_blocks[eni], __ATOMIC_RELAXED), n_mine = 0;
	uint32_t at = find_in_list(head[worker][eni], pool, flags);
	uint32_t skip;

	for (uint32_t i = at; i != END && n_mine < n; i = find_in_list(next[i - 1], pool, flags))
		n_mine++;
	if (n_mine == 0)
		return END;
	for (skip = draw(worker) % n_mine; skip > 0; skip--)
		at = find_in_list(next[at - 1], pool, flags);
	return at;
}

/* t->internal[0]: where in the block, and odd steps << 16 from there, so that every port comes once;
 * [1]: looks << 16 | tries in this block; [2]: why there was no new block. */
static void fill(struct ob_nat_try *t)
{
	const struct addr *a = block_addr(t->tag - 1);
	uint32_t n = (t->tag - 1) % OB_NAT_ADDR_BLOCKS;
	uint32_t step = t->internal[0] >> 16 | 1;
	uint32_t off = t->internal[0] + step * (t->internal[1] & 0xffff);

	off &= (1u << a->shift) - 1;
	t->ip = a->ip;
	t->port = rte_cpu_to_be_16((uint16_t)(a->port_min + (n << a->shift) + off));
	t->n++;
}

/* The next block to look into, referred to; END: enough. */
static uint32_t look(unsigned worker, uint16_t eni, const struct pool *p, uint32_t pool,
    uint64_t flags, struct ob_nat_try *t)
{
	uint32_t looks = t->internal[1] >> 16, block = END;

	if (looks < LOOKS) {
		block = find_in_list(t->tag ? next[t->tag - 1] : head[worker][eni], pool, flags);
		looks = block != END ? looks + 1 : LOOKS;
	}
	if (block != END) {
		refer(block - 1);
	} else if (looks == LOOKS) {
		block = take_block(worker, eni, p, pool, flags, &t->internal[2]);
		looks++;
	}
	if (block == END && looks <= LOOKS + DEEP_LOOKS) {
		/* One after the other from a random one on, so that a short list is looked through whole. */
		if (looks > LOOKS + 1)
			block = find_in_list(next[t->tag - 1], pool, flags);
		else
			block = any_in_list(worker, eni, pool, flags);
		if (block == END)
			block = find_in_list(head[worker][eni], pool, flags);
		if (block != END)
			refer(block - 1);
		looks++;
	}
	t->internal[0] = draw(worker);
	t->internal[1] = looks << 16;
	return block;
}

static uint32_t tries_in(const struct ob_nat_try *t)
{
	uint32_t size = 1u << block_addr(t->tag - 1)->shift;

	return t->internal[1] >> 16 <= LOOKS ? TRIES : RTE_MIN(size, (uint32_t)DEEP_TRIES);
}

static bool has_port(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, m->l2_len + m->l3_len);

	if (m->flags & OB_PKT_LATER_FRAG)
		return false;
	if (m->flags & (OB_PKT_TCP | OB_PKT_UDP))
		return true;
	return (m->flags & OB_PKT_ICMP) &&
	       l4[0] == ((m->flags & OB_PKT_IP4) ? RTE_IP_ICMP_ECHO_REQUEST : 128);
}

/* The floating IP of the packet's source. */
static bool floating(uint16_t eni, uint16_t vnet, const struct rte_mbuf *pkt,
    const struct ob_meta *m, rte_be32_t *ip)
{
	const uint8_t *l3 = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, m->l2_len);
	bool is4 = (m->flags & OB_PKT_IP4) != 0;
	struct ob_key k;
	uint32_t at;

	if (!fip_any(eni))
		return false;
	k = nat_private_key(eni, vnet, is4 ? AF_INET : AF_INET6, l3 + (is4 ? 12 : 8));
	at = ob_map_get(nat_map, &k);
	if (at == OB_TABLE_MISS)
		return false;
	*ip = nat_addrs->rec[at].ip;
	return true;
}

/* May the pool translate it? OB_PASS or why not. */
static enum ob_drop may_take(
    const struct pool *p, uint16_t vnet, const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	if (p == NULL || p->vnet != vnet)
		return OB_DROP_NAT_PORTS;
	return has_port(pkt, m) ? OB_PASS : OB_DROP_NAT_UNTRANSLATABLE;
}

enum ob_drop ob_nat_peek(unsigned worker, uint16_t eni, uint16_t vnet, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct ob_nat_peek *out)
{
	uint64_t flags = (m->flags & OB_PKT_IP6) ? BLOCK_IP6 : 0;
	enum ob_drop why;
	uint32_t block;

	*out = (struct ob_nat_peek){.pool = ob_nat_binding(eni)};
	out->floating = floating(eni, vnet, pkt, m, &out->ip);
	if (out->floating)
		return OB_PASS;
	why = may_take(pool_at(out->pool), vnet, pkt, m);
	if (why != OB_PASS)
		return why;
	block = find_in_list(head[worker][eni], out->pool, flags);
	out->known = block != END;
	if (out->known)
		out->ip = block_addr(block - 1)->ip;
	return OB_PASS;
}

enum ob_drop ob_nat_out(unsigned worker, uint16_t eni, uint16_t vnet, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct ob_nat_try *t)
{
	uint64_t flags = (m->flags & OB_PKT_IP6) ? BLOCK_IP6 : 0;
	uint32_t pool = ob_nat_binding(eni), was = t->tag;
	const struct pool *p = pool_at(pool);
	enum ob_drop why;

	if (t->n == 0) {
		if (floating(eni, vnet, pkt, m, &t->ip)) {
			t->n = 1;
			return OB_PASS;
		}
	} else if (was == 0) {
		return OB_DROP_NAT_PORTS; /* a floating IP has no other port */
	}
	why = may_take(p, vnet, pkt, m);
	if (why != OB_PASS) {
		ob_nat_put(worker, was);
		t->tag = 0;
		if (why == OB_DROP_NAT_UNTRANSLATABLE)
			count(&nat_counters[worker][pool].untranslatable);
		return why;
	}
	count(&nat_counters[worker][pool].tries);
	if (was != 0 && (t->internal[1] & 0xffff) + 1 < tries_in(t)) {
		t->internal[1]++;
		fill(t);
		return OB_PASS;
	}
	if (was == 0)
		count(&nat_counters[worker][pool].asked);
	t->tag = look(worker, eni, p, pool, flags, t);
	ob_nat_put(worker, was);
	if (t->tag != 0) {
		fill(t);
		return OB_PASS;
	}
	count(t->internal[2] == WHY_FULL ? &nat_counters[worker][pool].full
					 : &nat_counters[worker][pool].limit);
	return OB_DROP_NAT_PORTS;
}

bool ob_nat_holds(uint16_t eni, uint16_t vnet, uint8_t family, const uint8_t *src,
    rte_be32_t public_ip, uint32_t tag)
{
	const struct addr *a;
	struct ob_key k;
	uint32_t at;

	if (tag != 0) {
		a = block_addr(tag - 1);
		return addr_kind(a) == ADDR_POOL && a->vnet == vnet && a->ip == public_ip &&
		       addr_pool(a) == ob_nat_binding(eni);
	}
	if (!fip_any(eni))
		return false;
	k = nat_private_key(eni, vnet, family, src);
	at = ob_map_get(nat_map, &k);
	return at != OB_TABLE_MISS && nat_addrs->rec[at].ip == public_ip;
}

/* ---- start and end ---- */

void block_init(void)
{
	uint64_t seed[2];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		seed[0] = seed[1] = (uint64_t)(uintptr_t)&seed;
	secret[0] = seed[0];
	secret[1] = seed[1] | 1;
	for (uint32_t i = 0; i < nat_addrs->head.n_high; i++) {
		const struct addr *a = &nat_addrs->rec[i];

		nat_n_free[i] = 0;
		for (uint32_t n = 0; a->kind != ADDR_FREE && n < a->n_blocks; n++) {
			uint64_t *w = &nat_blocks->word[i][n], v = *w;

			if ((v & BLOCK_USED) && block_refs(v) > 0 && block_eni(v) < OB_MAX_ENIS &&
			    block_worker(v) < OB_MAX_WORKERS) {
				add_to_list(
				    block_worker(v), block_eni(v), i * OB_NAT_ADDR_BLOCKS + n);
				nat_eni_blocks[block_eni(v)]++;
			} else {
				*w = 0;
				nat_n_free[i]++;
			}
		}
	}
}

void block_fini(void)
{
	memset(head, 0, sizeof(head));
	memset(nat_eni_blocks, 0, sizeof(nat_eni_blocks));
	memset(nat_n_free, 0, sizeof(nat_n_free));
}
