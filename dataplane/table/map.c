/* SPDX-License-Identifier: BSD-3-Clause */
/* Exact match: an open-addressed index of {tag, entry number} words over an array of immutable keys.
 *
 * An index word is written once its entry is complete and is one atomic 64-bit store, so a reader sees a whole entry or none.
 * A deleted entry's number is reused only after a grace period. */
#include "ob_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_prefetch.h>

#define MIN_SLOTS 16u
#define SLOT_FREE 0ull
#define IDX_TOMB  UINT32_MAX /* in the low half of a word: a key was here */
#define NO_ENTRY  UINT32_MAX

struct entry {
	struct ob_key key;
	uint32_t value;
	uint32_t next_free;
};

struct slots {
	uint64_t mask;
	uint64_t word[]; /* tag << 32 | entry number + 1 */
};

struct ob_map {
	struct slots *slots;
	struct entry *entries;
	uint32_t max_entries;
	uint32_t n_used, n_tombs;
	uint32_t high; /* entries ever used */
	uint32_t free_head;
	uint32_t n_limbo;
	bool dying;
};

struct limbo {
	struct ob_map *map;
	uint32_t idx;
};

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t hash_key(const struct ob_key *k)
{
	uint64_t h = mix(k->w[0] ^ 0x8ebc6af09c88c6e3ull, k->w[1] ^ 0x589965cc75374cc3ull);

	return mix(h ^ 0x1d8e4e27c47d124full, k->w[2] ^ 0xa0761d6478bd642full);
}

static inline bool same_key(const struct ob_key *a, const struct ob_key *b)
{
	return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2])) == 0;
}

static inline uint32_t tag_of(uint64_t h)
{
	return (uint32_t)(h >> 32);
}

/* Acquire: pairs with the release stores of put_word, so that the entry behind the word is complete. */
static inline uint64_t get_word(const struct slots *s, uint64_t i)
{
	return __atomic_load_n(&s->word[i & s->mask], __ATOMIC_ACQUIRE);
}

static inline void put_word(struct slots *s, uint64_t i, uint64_t word)
{
	__atomic_store_n(&s->word[i & s->mask], word, __ATOMIC_RELEASE);
}

/* Position of the key's word from 'at' on, or -1. The index is never full, so a free word ends the walk. */
static inline int64_t find(const struct ob_map *m, const struct slots *s, const struct ob_key *k,
    uint64_t h, uint32_t *idx)
{
	for (uint64_t i = h; i <= h + s->mask; i++) {
		uint64_t word = get_word(s, i);

		if (word == SLOT_FREE)
			return -1;
		if ((uint32_t)(word >> 32) != tag_of(h) || (uint32_t)word == IDX_TOMB)
			continue;
		*idx = (uint32_t)word - 1;
		if (same_key(&m->entries[*idx].key, k))
			return (int64_t)(i & s->mask);
	}
	return -1;
}

static struct slots *slots_new(uint64_t n)
{
	struct slots *s = calloc(1, sizeof(*s) + n * sizeof(s->word[0]));

	if (s != NULL)
		s->mask = n - 1;
	return s;
}

int ob_map_create(uint32_t max_entries, struct ob_map **out)
{
	struct ob_map *m;

	if (max_entries == 0 || max_entries > (1u << 30))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return -ENOMEM;
	m->max_entries = max_entries;
	m->free_head = NO_ENTRY;
	m->slots = slots_new(MIN_SLOTS);
	if (m->slots == NULL)
		goto err_map;
	/* Reserved, not touched: an entry's address never changes while the table grows. */
	m->entries = mmap(NULL, (size_t)max_entries * sizeof(struct entry), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->entries == MAP_FAILED)
		goto err_slots;
	*out = m;
	return 0;

err_slots:
	free(m->slots);
err_map:
	free(m);
	return -ENOMEM;
}

static void map_free(struct ob_map *m)
{
	munmap(m->entries, (size_t)m->max_entries * sizeof(struct entry));
	free(m->slots);
	free(m);
}

void ob_map_destroy(struct ob_map *m)
{
	if (m == NULL)
		return;
	m->dying = true;
	if (m->n_limbo == 0)
		map_free(m);
}

/* Moves all live words to an index of a fitting size, which also sweeps the tombs away. */
static int rebuild(struct ob_map *m)
{
	struct slots *old = m->slots;
	struct slots *s;
	uint64_t n = MIN_SLOTS;

	while (n < 2 * ((uint64_t)m->n_used + 1))
		n *= 2;
	s = slots_new(n);
	if (s == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i <= old->mask; i++) {
		uint64_t word = old->word[i];
		uint64_t at;

		if (word == SLOT_FREE || (uint32_t)word == IDX_TOMB)
			continue;
		at = hash_key(&m->entries[(uint32_t)word - 1].key);
		while (s->word[at & s->mask] != SLOT_FREE)
			at++;
		s->word[at & s->mask] = word;
	}
	m->n_tombs = 0;
	ob_rcu_publish(&m->slots, s);
	ob_rcu_defer(free, old);
	return 0;
}

static uint32_t take_entry(struct ob_map *m)
{
	uint32_t idx = m->free_head;

	if (idx != NO_ENTRY) {
		m->free_head = m->entries[idx].next_free;
		return idx;
	}
	return m->high < m->max_entries ? m->high++ : NO_ENTRY;
}

int ob_map_set(struct ob_map *m, const struct ob_key *key, uint32_t value)
{
	uint64_t h = hash_key(key);
	uint32_t idx;
	uint64_t at;

	if (find(m, m->slots, key, h, &idx) >= 0) {
		/* Release: what the value stands for was written before. */
		__atomic_store_n(&m->entries[idx].value, value, __ATOMIC_RELEASE);
		return 0;
	}
	if (4 * ((uint64_t)m->n_used + m->n_tombs + 1) > 3 * (m->slots->mask + 1)) {
		int rc = rebuild(m);

		if (rc < 0)
			return rc;
	}
	idx = take_entry(m);
	if (idx == NO_ENTRY)
		return -ENOSPC;
	m->entries[idx].key = *key;
	m->entries[idx].value = value;
	for (at = h;; at++) {
		uint64_t word = m->slots->word[at & m->slots->mask];

		if (word == SLOT_FREE)
			break;
		if ((uint32_t)word == IDX_TOMB) {
			m->n_tombs--;
			break;
		}
	}
	put_word(m->slots, at, (uint64_t)tag_of(h) << 32 | (idx + 1));
	m->n_used++;
	return 0;
}

static void recycle(void *p)
{
	struct limbo *l = p;
	struct ob_map *m = l->map;

	m->entries[l->idx].next_free = m->free_head;
	m->free_head = l->idx;
	m->n_limbo--;
	if (m->dying && m->n_limbo == 0)
		map_free(m);
	free(l);
}

int ob_map_del(struct ob_map *m, const struct ob_key *key)
{
	struct limbo *l;
	uint32_t idx;
	int64_t at = find(m, m->slots, key, hash_key(key), &idx);

	if (at < 0)
		return -ENOENT;
	put_word(m->slots, (uint64_t)at, IDX_TOMB);
	m->n_used--;
	m->n_tombs++;
	l = malloc(sizeof(*l));
	if (l == NULL)
		return 0; /* the entry's number is lost, the key is gone */
	l->map = m;
	l->idx = idx;
	m->n_limbo++;
	ob_rcu_defer(recycle, l);
	return 0;
}

uint32_t ob_map_count(const struct ob_map *m)
{
	return m->n_used;
}

uint32_t ob_map_get(const struct ob_map *m, const struct ob_key *key)
{
	const struct slots *s = ob_rcu_load(&m->slots);
	uint32_t idx;

	if (find(m, s, key, hash_key(key), &idx) < 0)
		return OB_TABLE_MISS;
	return __atomic_load_n(&m->entries[idx].value, __ATOMIC_ACQUIRE);
}

void ob_map_get_burst(
    const struct ob_map *m, const struct ob_key *keys, uint32_t *values, unsigned n)
{
	const struct slots *s = ob_rcu_load(&m->slots);
	uint64_t h[OB_BURST_MAX];
	uint8_t first[OB_BURST_MAX + 1]; /* of each run of equal keys */
	unsigned runs = 0;

	assert(n <= OB_BURST_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (i > 0 && same_key(&keys[i], &keys[i - 1]))
			continue;
		h[runs] = hash_key(&keys[i]);
		rte_prefetch0(&s->word[h[runs] & s->mask]);
		first[runs++] = (uint8_t)i;
	}
	first[runs] = (uint8_t)n;
	for (unsigned r = 0; r < runs; r++) {
		uint64_t word = get_word(s, h[r]);

		/* Most keys sit at their first place; the others are found below. */
		if (word != SLOT_FREE && (uint32_t)word != IDX_TOMB)
			rte_prefetch0(&m->entries[(uint32_t)word - 1]);
	}
	for (unsigned r = 0; r < runs; r++) {
		uint32_t idx, value = OB_TABLE_MISS;

		if (find(m, s, &keys[first[r]], h[r], &idx) >= 0)
			value = __atomic_load_n(&m->entries[idx].value, __ATOMIC_ACQUIRE);
		for (unsigned i = first[r]; i < first[r + 1]; i++)
			values[i] = value;
	}
}
