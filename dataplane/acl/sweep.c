/* SPDX-License-Identifier: BSD-3-Clause */
/* From the intervals of a field to the records that hold between them. */
#include "acl_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT	    16
#define SMALL_SORT  2048
#define FIRST_INDEX 1024

/* A number for each rule, so that the hash of a set follows each change of a member (Zobrist). It only has to spread: sets are
 * compared in full. */
uint64_t acl_rule_hash(uint32_t rule)
{
	uint64_t z = (rule + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool same_set(const struct acl_builder *b, uint32_t at, const uint64_t *set)
{
	const uint64_t *rec = b->records + at;
	unsigned k = 1;

	if (b->small)
		return rec[0] == set[0];
	for (unsigned i = 0; i < b->n_words; i++)
		if (set[i] != (rec[0] >> i & 1 ? rec[k++] : 0))
			return false;
	return true;
}

static int grow_index(struct acl_builder *b)
{
	size_t cap = b->cap_index ? 2 * b->cap_index : FIRST_INDEX;
	uint32_t *index = calloc(cap, sizeof(*index));
	uint64_t *hashes = malloc(cap * sizeof(*hashes));

	if (index == NULL || hashes == NULL) {
		free(index);
		free(hashes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < b->cap_index; i++) {
		size_t at = b->hashes[i] & (cap - 1);

		if (b->index[i] == 0)
			continue;
		while (index[at] != 0)
			at = (at + 1) & (cap - 1);
		index[at] = b->index[i];
		hashes[at] = b->hashes[i];
	}
	free(b->index);
	free(b->hashes);
	b->index = index;
	b->hashes = hashes;
	b->cap_index = cap;
	return 0;
}

static int append(struct acl_builder *b, const uint64_t *set)
{
	uint64_t *rec;
	unsigned k = 1;

	if (b->n_records + ACL_MAX_WORDS + 1 > b->cap_records) {
		size_t cap = b->cap_records ? 2 * b->cap_records : 1024;
		void *p = realloc(b->records, cap * sizeof(*b->records));

		if (p == NULL)
			return -ENOMEM;
		b->records = p;
		b->cap_records = cap;
	}
	rec = b->records + b->n_records;
	if (b->small) {
		rec[0] = set[0];
	} else {
		rec[0] = 0;
		for (unsigned i = 0; i < b->n_words; i++) {
			if (set[i] == 0)
				continue;
			rec[0] |= 1ull << i;
			rec[k++] = set[i];
		}
	}
	b->n_records += k;
	return b->n_records * sizeof(*rec) > ACL_MAX_COMPILED ? -E2BIG : 0;
}

int acl_intern(struct acl_builder *b, const uint64_t *set, uint64_t hash, uint32_t *ref)
{
	size_t at;
	int rc;

	if (2 * b->n_index >= b->cap_index) {
		rc = grow_index(b);
		if (rc < 0)
			return rc;
	}
	for (at = hash & (b->cap_index - 1); b->index[at] != 0;
	     at = (at + 1) & (b->cap_index - 1)) {
		if (b->hashes[at] == hash && same_set(b, b->index[at] - 1, set)) {
			*ref = b->index[at] - 1;
			return 0;
		}
	}
	*ref = (uint32_t)b->n_records;
	rc = append(b, set);
	if (rc < 0)
		return rc;
	b->index[at] = *ref + 1;
	b->hashes[at] = hash;
	b->n_index++;
	return 0;
}

static int by_key(const void *x, const void *y)
{
	const struct acl_event *a = x, *b = y;

	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

static unsigned digit_of(const struct acl_event *e, unsigned d)
{
	return (uint16_t)(d < 4 ? e->lo >> (d * DIGIT) : e->hi >> ((d - 4) * DIGIT));
}

/* Radix sort from the least digit; digits that are the same everywhere are left out. */
static int sort_events(struct acl_field *f)
{
	uint64_t diff_hi = 0, diff_lo = 0;
	struct acl_event *to;
	size_t *at;

	if (f->n_ev < SMALL_SORT) {
		if (f->n_ev > 1)
			qsort(f->ev, f->n_ev, sizeof(*f->ev), by_key);
		return 0;
	}
	to = malloc(f->n_ev * sizeof(*to));
	at = malloc((1u << DIGIT) * sizeof(*at));
	if (to == NULL || at == NULL) {
		free(to);
		free(at);
		return -ENOMEM;
	}
	for (size_t i = 1; i < f->n_ev; i++) {
		diff_hi |= f->ev[i].hi ^ f->ev[0].hi;
		diff_lo |= f->ev[i].lo ^ f->ev[0].lo;
	}
	for (unsigned d = 0; d < 8; d++) {
		struct acl_event diff = {.hi = diff_hi, .lo = diff_lo}, *from = f->ev;
		size_t sum = 0;

		if (digit_of(&diff, d) == 0)
			continue;
		memset(at, 0, (1u << DIGIT) * sizeof(*at));
		for (size_t i = 0; i < f->n_ev; i++)
			at[digit_of(&from[i], d)]++;
		for (unsigned i = 0; i < 1u << DIGIT; i++) {
			size_t n = at[i];

			at[i] = sum;
			sum += n;
		}
		for (size_t i = 0; i < f->n_ev; i++)
			to[at[digit_of(&from[i], d)]++] = from[i];
		f->ev = to;
		to = from;
	}
	free(to);
	free(at);
	return 0;
}

/* The set of rules at the place that the walk has reached. */
struct state {
	uint64_t set[ACL_MAX_WORDS];
	uint64_t hash;
	uint32_t count[OB_ACL_MAX_RULES]; /* intervals of the rule that are open */
};

static void apply(struct state *s, const struct acl_field *f, uint32_t what)
{
	for (uint32_t i = f->first[what >> 1]; i < f->first[(what >> 1) + 1]; i++) {
		uint32_t r = f->rules[i];
		bool flip = what & 1 ? --s->count[r] == 0 : s->count[r]++ == 0;

		if (flip) {
			s->set[r / 64] ^= 1ull << r % 64;
			s->hash ^= acl_rule_hash(r);
		}
	}
}

int acl_sweep(struct acl_builder *b, struct acl_field *f, struct acl_bound **out, uint32_t *n_out,
    uint32_t *start)
{
	struct state *s = calloc(1, sizeof(*s));
	struct acl_bound *v = NULL;
	uint32_t n = 0, last;
	int rc = -ENOMEM;

	if (s == NULL)
		return -ENOMEM;
	for (uint32_t r = 0; r < b->n_words * 64; r++) {
		if (!(f->always[r / 64] >> r % 64 & 1))
			continue;
		s->set[r / 64] |= 1ull << r % 64;
		s->hash ^= acl_rule_hash(r);
	}
	v = malloc((f->n_ev + 1) * sizeof(*v));
	if (v == NULL)
		goto out;
	rc = sort_events(f);
	if (rc == 0)
		rc = acl_intern(b, s->set, s->hash, start);
	last = *start;
	for (size_t i = 0; i < f->n_ev && rc == 0;) {
		struct acl_event at = f->ev[i];
		uint32_t ref;

		for (; i < f->n_ev && f->ev[i].hi == at.hi && f->ev[i].lo == at.lo; i++)
			apply(s, f, f->ev[i].what);
		rc = acl_intern(b, s->set, s->hash, &ref);
		if (rc < 0 || ref == last)
			continue;
		v[n++] = (struct acl_bound){at.hi, at.lo, ref};
		last = ref;
	}
out:
	free(s);
	if (rc < 0) {
		free(v);
		return rc;
	}
	*out = v;
	*n_out = n;
	return 0;
}
