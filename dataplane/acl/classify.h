/* SPDX-License-Identifier: BSD-3-Clause */
/* Search in a compiled group; inside dataplane/acl only. */
#pragma once

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <rte_byteorder.h>
#include <rte_prefetch.h>

#include "acl_priv.h"

#define ACL_NO_RULE UINT32_MAX

/* How many of 8 or 16 sorted lanes are less than 'x'. */
#ifdef __SSE2__

static inline __m128i acl_lanes(const uint32_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline unsigned acl_less_16x8(const uint32_t *p, uint16_t x)
{
	__m128i k = _mm_set1_epi16((short)(x ^ 0x8000));

	return (unsigned)__builtin_popcount(
		   (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi16(k, acl_lanes(p)))) >>
	       1;
}

static inline unsigned acl_less_16x16(const uint32_t *p, uint16_t x)
{
	__m128i k = _mm_set1_epi16((short)(x ^ 0x8000));
	__m128i m =
	    _mm_packs_epi16(_mm_cmpgt_epi16(k, acl_lanes(p)), _mm_cmpgt_epi16(k, acl_lanes(p + 4)));

	return (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(m));
}

static inline __m128i acl_mask_32x8(const uint32_t *p, __m128i k)
{
	return _mm_packs_epi32(
	    _mm_cmpgt_epi32(k, acl_lanes(p)), _mm_cmpgt_epi32(k, acl_lanes(p + 4)));
}

static inline unsigned acl_less_32x8(const uint32_t *p, uint32_t x)
{
	__m128i k = _mm_set1_epi32((int)(x ^ 0x80000000u));

	return (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(acl_mask_32x8(p, k))) >> 1;
}

static inline unsigned acl_less_32x16(const uint32_t *p, uint32_t x)
{
	__m128i k = _mm_set1_epi32((int)(x ^ 0x80000000u));
	__m128i m = _mm_packs_epi16(acl_mask_32x8(p, k), acl_mask_32x8(p + 8, k));

	return (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(m));
}

#else

static inline unsigned acl_less_16(const uint32_t *p, unsigned n, uint16_t x)
{
	int16_t lane[16], k = (int16_t)(x ^ 0x8000);
	unsigned less = 0;

	memcpy(lane, p, n * sizeof(lane[0]));
	for (unsigned i = 0; i < n; i++)
		less += lane[i] < k;
	return less;
}

static inline unsigned acl_less_32(const uint32_t *p, unsigned n, uint32_t x)
{
	int32_t lane[16], k = (int32_t)(x ^ 0x80000000u);
	unsigned less = 0;

	memcpy(lane, p, n * sizeof(lane[0]));
	for (unsigned i = 0; i < n; i++)
		less += lane[i] < k;
	return less;
}

#define acl_less_16x8(p, x)  acl_less_16(p, 8, x)
#define acl_less_16x16(p, x) acl_less_16(p, 16, x)
#define acl_less_32x8(p, x)  acl_less_32(p, 8, x)
#define acl_less_32x16(p, x) acl_less_32(p, 16, x)

#endif

/* One node on: 'top' holds the next bits of the value, '*bits' says how many of them were used. */
static __rte_always_inline uint32_t acl_step(
    const uint32_t *nodes, uint32_t ref, uint64_t top, unsigned *bits)
{
	const uint32_t *p = nodes + ((size_t)(ref & ACL_NODE_MASK) << 2);
	unsigned kind = ref >> ACL_KIND_SHIFT & 7;

	*bits = 16;
	if (kind == ACL_LIST_16)
		return p[4 + acl_less_16x8(p, (uint16_t)(top >> 48))];
	if (kind == ACL_LONG_LIST_16)
		return p[8 + acl_less_16x16(p, (uint16_t)(top >> 48))];
	*bits = 32;
	if (kind == ACL_LIST_32)
		return p[8 + acl_less_32x8(p, (uint32_t)(top >> 32))];
	if (kind == ACL_LONG_LIST_32)
		return p[16 + acl_less_32x16(p, (uint32_t)(top >> 32))];
	*bits = 4 + 4 * kind;
	return p[top >> (64 - *bits)];
}

static inline uint32_t acl_start(const uint32_t *nodes, const struct acl_root *r, uint64_t key)
{
	uint64_t i = (key ^ r->base) >> r->shift;

	return nodes[r->at + (i < r->size ? i : r->size)];
}

/* From what the root said to the record. 'key': 32 or 16 bits, at the top. */
static __rte_always_inline uint32_t acl_go_on64(
    const uint32_t *nodes, const struct acl_root *r, uint32_t ref, uint64_t key)
{
	unsigned bits = 64 - r->shift;

	while (ref & ACL_NODE) {
		key <<= bits;
		ref = acl_step(nodes, ref, key, &bits);
	}
	return ref;
}

static __rte_always_inline uint32_t acl_go_on128(
    const uint32_t *nodes, const struct acl_root *r, uint32_t ref, uint64_t hi, uint64_t lo)
{
	unsigned bits = 64 - r->shift;

	if (!(ref & ACL_NODE))
		return ref;
	/* In two steps: the root may have used all of 'hi'. */
	hi = hi << 1 << (bits - 1) | lo >> (64 - bits);
	lo = lo << 1 << (bits - 1);
	for (;;) {
		ref = acl_step(nodes, ref, hi, &bits);
		if (!(ref & ACL_NODE))
			return ref;
		hi = hi << bits | lo >> (64 - bits);
		lo <<= bits;
	}
}

static __rte_always_inline uint32_t acl_find64(
    const uint32_t *nodes, const struct acl_root *r, uint64_t key)
{
	return acl_go_on64(nodes, r, acl_start(nodes, r, key), key);
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
static inline uint32_t acl_first_of(const uint64_t *const rec[5])
{
	uint64_t sum = rec[0][0] & rec[1][0] & rec[2][0] & rec[3][0] & rec[4][0];

	while (sum != 0) {
		unsigned i = (unsigned)__builtin_ctzll(sum);
		uint64_t below = (1ull << i) - 1;
		uint64_t w = acl_word(rec[0], below) & acl_word(rec[1], below) &
			     acl_word(rec[2], below) & acl_word(rec[3], below) &
			     acl_word(rec[4], below);

		if (w != 0)
			return i * 64 + (unsigned)__builtin_ctzll(w);
		sum &= sum - 1;
	}
	return ACL_NO_RULE;
}

/* A search under way: of each address, what the root says. The searches of all stages are started before the first one is
 * finished, so that they wait for memory together. */
struct acl_search {
	const struct acl_classifier *c;
	uint32_t src, dst;
};

static inline void acl_prefetch(const uint32_t *nodes, uint32_t ref)
{
	if (ref & ACL_NODE)
		rte_prefetch0(nodes + ((size_t)(ref & ACL_NODE_MASK) << 2));
}

static inline void acl_begin(
    struct acl_search *s, const struct acl_classifier *c, const struct acl_key *k)
{
	s->c = c;
	s->src = acl_start(c->nodes, &c->src, k->src_hi);
	s->dst = acl_start(c->nodes, &c->dst, k->dst_hi);
	acl_prefetch(c->nodes, s->src);
	acl_prefetch(c->nodes, s->dst);
}

/* Number of the rule that decides, or ACL_NO_RULE. */
static inline uint32_t acl_finish(
    const struct acl_search *s, const struct ob_acl_pkt *p, const struct acl_key *k)
{
	const struct acl_classifier *c = s->c;
	const uint64_t *records = c->records, *rec[5];
	const uint32_t *nodes = c->nodes;
	uint32_t proto = c->proto[p->proto];

	if (p->family == AF_INET) {
		rec[1] = records + acl_go_on64(nodes, &c->src, s->src, k->src_hi);
		rec[2] = records + acl_go_on64(nodes, &c->dst, s->dst, k->dst_hi);
	} else {
		rec[1] = records + acl_go_on128(nodes, &c->src, s->src, k->src_hi, k->src_lo);
		rec[2] = records + acl_go_on128(nodes, &c->dst, s->dst, k->dst_hi, k->dst_lo);
	}
	/* A field that the protocol does not have takes part as the protocol once more. */
	rec[0] = rec[3] = rec[4] = records + (proto & ACL_REC_MASK);
	if (proto >> ACL_L4_SHIFT == ACL_L4_PORTS) {
		rec[3] = records + acl_find64(nodes, &c->dport, (uint64_t)p->dport << 48);
		if (c->sport.size != 0)
			rec[4] = records + acl_find64(nodes, &c->sport, (uint64_t)p->sport << 48);
	} else if (proto >> ACL_L4_SHIFT == ACL_L4_ICMP) {
		rec[3] = records + acl_find64(nodes, &c->icmp, (uint64_t)p->dport << 48);
	}
	if (c->small) {
		uint64_t w = rec[0][0] & rec[1][0] & rec[2][0] & rec[3][0] & rec[4][0];

		return w != 0 ? (uint32_t)__builtin_ctzll(w) : ACL_NO_RULE;
	}
	return acl_first_of(rec);
}

static inline uint32_t acl_classify(
    const struct acl_classifier *c, const struct ob_acl_pkt *p, const struct acl_key *k)
{
	struct acl_search s;

	acl_begin(&s, c, k);
	return acl_finish(&s, p, k);
}
