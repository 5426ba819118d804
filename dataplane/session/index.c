/* SPDX-License-Identifier: BSD-3-Clause */
/* The index: cuckoo hashing of both keys of each session, buckets of one cache line, over the records' own keys.
 *
 * An entry is {signature, reference}. Its other bucket follows from the bucket that it lies in and its signature alone, so that making room
 * touches no record. Entries come to lie in their second bucket only when the first is full, and the first then says so: a miss reads
 * one line, mostly. */
#include "ob_session.h"

#include <rte_prefetch.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "session_priv.h"

#define MAX_NODES 512 /* buckets looked at to make room for one entry */

/* Keyed by the shard's secret: guests choose the keys, and must not be able to choose where they fall. */
static inline uint64_t hash4(const uint64_t *seed, const struct ob_session_key4 *k)
{
	uint64_t pc = (uint64_t)k->ctx_proto << 32 | k->ports;

	return mix(mix(k->addrs ^ seed[0], pc ^ seed[1]) ^ seed[2], seed[3]);
}

static inline uint64_t hash6(const uint64_t *seed, const struct ob_session_key6 *k)
{
	uint64_t pc = (uint64_t)k->ctx_proto << 32 | k->ports;
	uint64_t src = mix(k->src[0] ^ seed[0], k->src[1] ^ seed[1]);
	uint64_t dst = mix(k->dst[0] ^ seed[2], k->dst[1] ^ seed[3]);

	/* The ends are not summed alike: their order is part of the key. */
	return mix(mix(src ^ pc, dst ^ seed[4]) ^ src, seed[5]);
}

uint64_t session_hash4(const struct ob_session_shard *s, const struct ob_session_key4 *k)
{
	return hash4(s->region->seed, k);
}
uint64_t session_hash6(const struct ob_session_shard *s, const struct ob_session_key6 *k)
{
	return hash6(s->region->seed, k);
}

static inline bool same4(const struct ob_session_key4 *a, const struct ob_session_key4 *b)
{
	return ((a->addrs ^ b->addrs) | (a->ports ^ b->ports) | (a->ctx_proto ^ b->ctx_proto)) == 0;
}
static inline bool same6(const struct ob_session_key6 *a, const struct ob_session_key6 *b)
{
	return ((a->src[0] ^ b->src[0]) | (a->src[1] ^ b->src[1]) | (a->dst[0] ^ b->dst[0]) |
		   (a->dst[1] ^ b->dst[1]) | (a->ports ^ b->ports) |
		   (a->ctx_proto ^ b->ctx_proto)) == 0;
}

static inline bool ref_has4(
    const struct ob_session_shard *s, uint32_t ref, const struct ob_session_key4 *k)
{
	const struct ob_session_dir6 *d;

	if (likely((ref & OB_SESSION_V6) == 0))
		return same4(&s->rec4[ref].key, k);
	d = &s->rec6[ref & ~OB_SESSION_V6];
	return d->family == 4 && same4(&d->key.v4, k);
}
static inline bool ref_has6(
    const struct ob_session_shard *s, uint32_t ref, const struct ob_session_key6 *k)
{
	const struct ob_session_dir6 *d = &s->rec6[ref & ~OB_SESSION_V6];

	return d->family == 6 && same6(&d->key.v6, k);
}

/* ---- buckets ---- */

static inline uint32_t bucket_of(uint64_t h, uint32_t n)
{
	return (uint32_t)(((h >> 32) * n) >> 32);
}

/* Of the first bucket; | 1 in the second. Bit 1 keeps it from 0. */
static inline uint16_t sig_of(uint64_t h)
{
	return (uint16_t)(h << 1 | 2);
}

/* The other bucket of an entry: twice applied, it gives the first one again, whatever the number of buckets. */
static inline uint32_t other_bucket(uint32_t b, uint16_t sig, uint32_t n)
{
	uint32_t at = (uint32_t)(((uint64_t)((sig >> 1) * 0x9e3779b1u) * n) >> 32);

	return at >= b ? at - b : at + (n - b);
}

/* Bit i: slot i holds 'sig'. */
static inline unsigned match(const struct ob_session_bucket *b, uint16_t sig)
{
#if defined(__SSE2__)
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)b->sig);
	__m128i eq = _mm_cmpeq_epi16(v, _mm_set1_epi16((short)sig));

	return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(eq, _mm_setzero_si128()));
#elif defined(__aarch64__)
	static const uint16_t bits[BUCKET_KEYS] = {1, 2, 4, 8, 16, 32, 64, 128};

	return vaddvq_u16(
	    vandq_u16(vceqq_u16(vld1q_u16(b->sig), vdupq_n_u16(sig)), vld1q_u16(bits)));
#else
	unsigned mask = 0;

	for (unsigned i = 0; i < BUCKET_KEYS; i++)
		mask |= (unsigned)(b->sig[i] == sig) << i;
	return mask;
#endif
}

static inline unsigned away_shift(uint16_t sig)
{
	return (sig >> 2 & 15) * 4;
}
static inline bool is_away(const struct ob_session_bucket *b, uint16_t sig)
{
	return (b->away[sig >> 6 & 1] >> away_shift(sig) & 15) != 0;
}
static void away_add(struct ob_session_bucket *b, uint16_t sig, int by)
{
	uint64_t *w = &b->away[sig >> 6 & 1];
	uint64_t n = *w >> away_shift(sig) & 15;

	if (n != 15)
		*w += (uint64_t)(int64_t)by << away_shift(sig);
}

/* ---- lookup ---- */

/* The keys of both families take the same way; 'six' is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) bool ref_has(
    const struct ob_session_shard *s, uint32_t ref, const void *key, bool six)
{
	return six ? ref_has6(s, ref, key) : ref_has4(s, ref, key);
}

static inline __attribute__((always_inline)) uint32_t lookup(
    const struct ob_session_shard *s, const void *key, uint64_t h, bool six)
{
	const struct ob_session_bucket *index = six ? s->index6 : s->index4;
	uint32_t n = s->region->pool[six].n_buckets;
	uint32_t at = bucket_of(h, n);
	uint16_t sig = sig_of(h);

	for (unsigned second = 0; second < 2; second++) {
		const struct ob_session_bucket *b = &index[at];

		for (unsigned mask = match(b, (uint16_t)(sig | second)); mask != 0;
		     mask &= mask - 1) {
			uint32_t ref = b->ref[__builtin_ctz(mask)];

			if (ref_has(s, ref, key, six))
				return ref;
		}
		if (second || !is_away(b, sig))
			break;
		at = other_bucket(at, sig, n);
	}
	return OB_SESSION_NONE;
}

uint32_t session_lookup4(
    const struct ob_session_shard *s, const struct ob_session_key4 *k, uint64_t h)
{
	return lookup(s, k, h, false);
}
uint32_t session_lookup6(
    const struct ob_session_shard *s, const struct ob_session_key6 *k, uint64_t h)
{
	return lookup(s, k, h, true);
}

static inline __attribute__((always_inline)) void prefetch_lines(
    const struct ob_session_shard *s, uint32_t ref, bool tcp)
{
	if (unlikely(ref & OB_SESSION_V6)) {
		const struct ob_session_dir6 *d = &s->rec6[ref & ~OB_SESSION_V6];

		rte_prefetch0(&d->key);
		rte_prefetch0(&d->line);
		if (tcp)
			rte_prefetch0(&s->rec6[(ref ^ 1) & ~OB_SESSION_V6].line);
		return;
	}
	rte_prefetch0(&s->rec4[ref]);
	if (tcp)
		rte_prefetch0(&s->rec4[ref ^ 1]);
}

static inline __attribute__((always_inline)) void find(const struct ob_session_shard *s,
    const void *keys, size_t size, uint32_t *refs, unsigned n, bool six)
{
	const struct ob_session_bucket *index = six ? s->index6 : s->index4;
	const uint64_t *seed = s->region->seed;
	uint32_t nb = s->region->pool[six].n_buckets;
	const struct ob_session_bucket *first[OB_SESSION_BURST];
	uint64_t h[OB_SESSION_BURST];
	uint8_t away[OB_SESSION_BURST];
	unsigned n_away = 0;

	assert(n <= OB_SESSION_BURST);
#define KEY(i) ((const void *)((const uint8_t *)keys + (i)*size))
#define IS_TCP(i)                                                       \
	(((six ? ((const struct ob_session_key6 *)KEY(i))->ctx_proto    \
	       : ((const struct ob_session_key4 *)KEY(i))->ctx_proto) & \
	     0xff) == IPPROTO_TCP)
	for (unsigned i = 0; i < n; i++) {
		h[i] = six ? hash6(seed, KEY(i)) : hash4(seed, KEY(i));
		first[i] = &index[bucket_of(h[i], nb)];
		rte_prefetch0(first[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct ob_session_bucket *b = first[i];
		uint16_t sig = sig_of(h[i]);
		unsigned mask = match(b, sig);

		refs[i] = OB_SESSION_NONE;
		if (likely(mask != 0)) {
			refs[i] = b->ref[__builtin_ctz(mask)];
			prefetch_lines(s, refs[i], IS_TCP(i));
		} else if (is_away(b, sig)) {
			rte_prefetch0(&index[other_bucket((uint32_t)(b - index), sig, nb)]);
			away[n_away++] = (uint8_t)i;
		}
	}
	for (unsigned k = 0; k < n_away; k++) {
		unsigned i = away[k];
		uint16_t sig = sig_of(h[i]);
		const struct ob_session_bucket *b =
		    &index[other_bucket((uint32_t)(first[i] - index), sig, nb)];
		unsigned mask = match(b, sig | 1);

		if (mask != 0) {
			refs[i] = b->ref[__builtin_ctz(mask)];
			prefetch_lines(s, refs[i], IS_TCP(i));
		}
	}
	for (unsigned i = 0; i < n; i++) {
		/* Equal signatures of different keys: one in some thousands. */
		if (refs[i] != OB_SESSION_NONE && unlikely(!ref_has(s, refs[i], KEY(i), six)))
			refs[i] = lookup(s, KEY(i), h[i], six);
	}
#undef IS_TCP
#undef KEY
}

void ob_session_find4(
    struct ob_session_shard *s, const struct ob_session_key4 *keys, uint32_t *refs, unsigned n)
{
	find(s, keys, sizeof(keys[0]), refs, n, false);
}

void ob_session_find6(
    struct ob_session_shard *s, const struct ob_session_key6 *keys, uint32_t *refs, unsigned n)
{
	find(s, keys, sizeof(keys[0]), refs, n, true);
}

void session_index_prefetch(const struct ob_session_shard *s, unsigned six, uint64_t h)
{
	rte_prefetch0(&(six ? s->index6 : s->index4)[bucket_of(h, s->region->pool[six].n_buckets)]);
}

/* ---- change ---- */

static bool put(struct ob_session_bucket *b, uint16_t sig, uint32_t ref)
{
	unsigned mask = match(b, 0);
	unsigned i;

	if (mask == 0)
		return false;
	i = (unsigned)__builtin_ctz(mask);
	b->ref[i] = ref;
	b->sig[i] = sig;
	return true;
}

struct node {
	uint32_t bucket;
	int16_t parent; /* -1: a bucket of the new entry itself */
	uint16_t slot;	/* of the parent's bucket: the entry that would move here */
};

/* Moves the entries along the way from node 'at' up to its root, the last one into a free slot of 'to'. Leaves a free slot in the
 * root's bucket. */
static void displace(struct ob_session_shard *s, unsigned six, const struct node *nodes, int at,
    unsigned slot, uint32_t to)
{
	struct ob_session_bucket *index = six ? s->index6 : s->index4;
	struct ob_session_counters *n = &s->region->n;
	unsigned moved = 0;

	for (;; slot = nodes[at].slot, to = nodes[at].bucket, at = nodes[at].parent) {
		struct ob_session_bucket *from = &index[nodes[at].bucket];
		uint16_t sig = from->sig[slot];

		if (sig & 1)
			away_add(&index[to], sig, -1);
		else
			away_add(from, sig, 1);
		put(&index[to], sig ^ 1, from->ref[slot]);
		from->sig[slot] = 0;
		moved++;
		if (nodes[at].parent < 0)
			break;
	}
	count(&n->n_displaced, moved);
	if (moved > n->n_displaced_max)
		set64(&n->n_displaced_max, moved);
}

/* Looks for the shortest chain of moves that frees a slot in b1 or b2, breadth first. */
static bool make_room(struct ob_session_shard *s, unsigned six, uint32_t b1, uint32_t b2)
{
	const struct ob_session_bucket *index = six ? s->index6 : s->index4;
	uint32_t nb = s->region->pool[six].n_buckets;
	struct node nodes[MAX_NODES];
	int n = 0;

	nodes[n++] = (struct node){b1, -1, 0};
	nodes[n++] = (struct node){b2, -1, 0};
	for (int i = 0; i < n; i++) {
		const struct ob_session_bucket *b = &index[nodes[i].bucket];

		for (unsigned slot = 0; slot < BUCKET_KEYS; slot++) {
			uint32_t to = other_bucket(nodes[i].bucket, b->sig[slot], nb);

			if (to == nodes[i].bucket)
				continue;
			if (match(&index[to], 0) != 0) {
				displace(s, six, nodes, i, slot, to);
				return true;
			}
			if (n < MAX_NODES)
				nodes[n++] = (struct node){to, (int16_t)i, (uint16_t)slot};
		}
	}
	return false;
}

int session_index_add(struct ob_session_shard *s, unsigned six, uint64_t h, uint32_t ref)
{
	struct ob_session_bucket *index = six ? s->index6 : s->index4;
	uint32_t nb = s->region->pool[six].n_buckets;
	uint32_t b1 = bucket_of(h, nb), b2;
	uint16_t sig = sig_of(h);

	if (put(&index[b1], sig, ref))
		return 0;
	b2 = other_bucket(b1, sig, nb);
	for (unsigned again = 0; again < 2; again++) {
		if (put(&index[b1], sig, ref))
			return 0;
		if (put(&index[b2], sig | 1, ref)) {
			away_add(&index[b1], sig, 1);
			return 0;
		}
		if (again || !make_room(s, six, b1, b2))
			break;
	}
	return -ENOSPC;
}

void session_index_del(struct ob_session_shard *s, unsigned six, uint64_t h, uint32_t ref)
{
	struct ob_session_bucket *index = six ? s->index6 : s->index4;
	uint32_t nb = s->region->pool[six].n_buckets;
	uint32_t b1 = bucket_of(h, nb), at = b1;
	uint16_t sig = sig_of(h);

	for (unsigned second = 0; second < 2; second++) {
		struct ob_session_bucket *b = &index[at];

		for (unsigned mask = match(b, (uint16_t)(sig | second)); mask != 0;
		     mask &= mask - 1) {
			unsigned i = (unsigned)__builtin_ctz(mask);

			if (b->ref[i] != ref)
				continue;
			b->sig[i] = 0;
			if (second)
				away_add(&index[b1], sig, -1);
			return;
		}
		at = other_bucket(at, sig, nb);
	}
	assert(false); /* the index has each live session */
}

uint64_t session_index_count(const struct ob_session_shard *s, unsigned six)
{
	const struct ob_session_bucket *index = six ? s->index6 : s->index4;
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->region->pool[six].n_buckets; i++)
		n += BUCKET_KEYS - (unsigned)__builtin_popcount(match(&index[i], 0) & 0xff);
	return n;
}
