/* SPDX-License-Identifier: BSD-3-Clause */
/* Search in a compiled group; inside dataplane/acl only. */
#pragma once

#include <string.h>

#include <rte_byteorder.h>

#include "acl_priv.h"

#define ACL_NO_RULE UINT32_MAX

typedef uint8_t acl_u8x8 __attribute__((vector_size(8)));
typedef int16_t acl_s16x8 __attribute__((vector_size(16)));
typedef uint16_t acl_u16x8 __attribute__((vector_size(16)));
typedef int32_t acl_s32x4 __attribute__((vector_size(16)));
typedef uint32_t acl_u32x4 __attribute__((vector_size(16)));

/* How many of 8 sorted lanes are less than 'x'. The lanes that are make a prefix, so their bits are counted. */
static inline unsigned acl_less16(const uint32_t *lanes, uint16_t x)
{
	acl_u16x8 v, k = {x, x, x, x, x, x, x, x};
	acl_u8x8 m;
	uint64_t bits;

	memcpy(&v, lanes, sizeof(v));
	m = __builtin_convertvector((acl_u16x8)(v < k), acl_u8x8);
	memcpy(&bits, &m, sizeof(bits));
	return (unsigned)__builtin_popcountll(bits) >> 3;
}

static inline unsigned acl_less32(const uint32_t *lanes, uint32_t x)
{
	acl_u32x4 a, b, k = {x, x, x, x};
	acl_s32x4 m;
	uint64_t lo, hi;

	memcpy(&a, lanes, sizeof(a));
	memcpy(&b, lanes + 4, sizeof(b));
	/* Every lane holds minus the number of hits, 0 to 2. */
	m = (a < k) + (b < k);
	m = -m;
	memcpy(&lo, &m, 8);
	memcpy(&hi, (const char *)&m + 8, 8);
	lo += hi;
	return (unsigned)(lo + (lo >> 32)) & 15;
}

static inline uint32_t acl_step(const uint32_t *nodes, uint32_t ref, uint64_t top, unsigned *bits)
{
	const uint32_t *p = nodes + ((size_t)(ref & ACL_NODE_MASK) << 2);
	unsigned kind = ref >> ACL_KIND_SHIFT & 7, n;

	if (kind <= ACL_DIRECT_16) {
		*bits = 4 + 4 * kind;
		return p[top >> (64 - *bits)];
	}
	if (kind & 1) {
		uint32_t x = (uint32_t)(top >> 32);

		*bits = 32;
		n = acl_less32(p, x);
		p += 8;
		if (kind == ACL_LONG_LIST_32) {
			n += acl_less32(p, x);
			p += 8;
		}
	} else {
		uint16_t x = (uint16_t)(top >> 48);

		*bits = 16;
		n = acl_less16(p, x);
		p += 4;
		if (kind == ACL_LONG_LIST_16) {
			n += acl_less16(p, x);
			p += 4;
		}
	}
	return p[n];
}

/* 'key': 32 or 16 bits, at the top. */
static inline uint32_t acl_find64(const struct acl_classifier *c, uint32_t ref, uint64_t key)
{
	unsigned bits;

	while (ref & ACL_NODE) {
		ref = acl_step(c->nodes, ref, key, &bits);
		key <<= bits;
	}
	return ref;
}

static inline uint32_t acl_find128(
    const struct acl_classifier *c, uint32_t ref, uint64_t hi, uint64_t lo)
{
	unsigned bits;

	while (ref & ACL_NODE) {
		ref = acl_step(c->nodes, ref, hi, &bits);
		hi = hi << bits | lo >> (64 - bits);
		lo <<= bits;
	}
	return ref;
}

/* Addresses of a packet as the search wants them. */
struct acl_key {
	uint64_t src_hi, src_lo, dst_hi, dst_lo;
};

static inline struct acl_key acl_key_of(const struct ob_acl_pkt *p)
{
	struct acl_key k = {0};

	if (p->family == AF_INET) {
		uint32_t s, d;

		memcpy(&s, p->src, 4);
		memcpy(&d, p->dst, 4);
		k.src_hi = (uint64_t)rte_be_to_cpu_32(s) << 32;
		k.dst_hi = (uint64_t)rte_be_to_cpu_32(d) << 32;
	} else {
		uint64_t w[4];

		memcpy(&w[0], p->src, 16);
		memcpy(&w[2], p->dst, 16);
		k.src_hi = rte_be_to_cpu_64(w[0]);
		k.src_lo = rte_be_to_cpu_64(w[1]);
		k.dst_hi = rte_be_to_cpu_64(w[2]);
		k.dst_lo = rte_be_to_cpu_64(w[3]);
	}
	return k;
}

/* Word 'i' of a record of more than one word; the bit of the summary is set. */
static inline uint64_t acl_word(const uint64_t *rec, uint64_t below)
{
	return rec[1 + __builtin_popcountll(rec[0] & below)];
}

/* First rule in all sets of the records. */
static inline uint32_t acl_first_of(const uint64_t *const rec[5], unsigned n)
{
	uint64_t sum = rec[0][0] & rec[1][0] & rec[2][0];

	for (unsigned i = 3; i < n; i++)
		sum &= rec[i][0];
	while (sum != 0) {
		unsigned i = (unsigned)__builtin_ctzll(sum);
		uint64_t below = (1ull << i) - 1;
		uint64_t w =
		    acl_word(rec[0], below) & acl_word(rec[1], below) & acl_word(rec[2], below);

		for (unsigned k = 3; k < n; k++)
			w &= acl_word(rec[k], below);
		if (w != 0)
			return i * 64 + (unsigned)__builtin_ctzll(w);
		sum &= sum - 1;
	}
	return ACL_NO_RULE;
}

/* Number of the rule that decides, or ACL_NO_RULE. */
static inline uint32_t acl_classify(
    const struct acl_classifier *c, const struct ob_acl_pkt *p, const struct acl_key *k)
{
	uint32_t proto = c->proto[p->proto];
	const uint64_t *rec[5];
	unsigned n = 3;

	if (p->family == AF_INET) {
		rec[1] = c->records + acl_find64(c, c->src, k->src_hi);
		rec[2] = c->records + acl_find64(c, c->dst, k->dst_hi);
	} else {
		rec[1] = c->records + acl_find128(c, c->src, k->src_hi, k->src_lo);
		rec[2] = c->records + acl_find128(c, c->dst, k->dst_hi, k->dst_lo);
	}
	rec[0] = c->records + (proto & ACL_REC_MASK);
	if (proto >> ACL_L4_SHIFT == ACL_L4_PORTS) {
		rec[3] = c->records + acl_find64(c, c->dport, (uint64_t)p->dport << 48);
		rec[4] = c->records + acl_find64(c, c->sport, (uint64_t)p->sport << 48);
		n = 5;
	} else if (proto >> ACL_L4_SHIFT == ACL_L4_ICMP) {
		rec[3] = c->records + acl_find64(c, c->icmp, (uint64_t)p->dport << 48);
		n = 4;
	}
	if (c->small) {
		uint64_t w = rec[0][0] & rec[1][0] & rec[2][0];

		for (unsigned i = 3; i < n; i++)
			w &= rec[i][0];
		return w != 0 ? (uint32_t)__builtin_ctzll(w) : ACL_NO_RULE;
	}
	return acl_first_of(rec, n);
}
