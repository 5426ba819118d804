/* SPDX-License-Identifier: BSD-3-Clause */
/* From sorted bounds to a search tree of few cache lines. */
#include "acl_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LANES	   8
#define MAX_LIST   (2 * LANES)
#define MANY	   16384 /* bounds that are worth a table of 65,536 references wherever they lie */
#define UNIT_WORDS 4
#define MAX_ROOT   16

struct slice {
	const struct acl_bound *v;
	uint32_t n;
	uint32_t before; /* what holds below the first bound */
	unsigned pos;	 /* bits that all of them share, and that the search has used */
};

struct tree {
	struct acl_builder *b;
	unsigned width;
};

static int build(const struct tree *t, struct slice s, uint32_t *ref);

/* Bits pos to pos + n - 1, and all from pos on. */
static uint64_t tail_top(const struct acl_bound *v, unsigned pos)
{
	if (pos == 0)
		return v->hi;
	if (pos >= 64)
		return pos >= 128 ? 0 : v->lo << (pos - 64);
	return v->hi << pos | v->lo >> (64 - pos);
}

static uint64_t window(const struct acl_bound *v, unsigned pos, unsigned n)
{
	return tail_top(v, pos) >> (64 - n);
}

static bool tail_is_zero(const struct acl_bound *v, unsigned pos)
{
	if (tail_top(v, pos) != 0)
		return false;
	return pos >= 64 || (v->lo << pos) == 0;
}

/* How many bounds from the first on share its window. */
static uint32_t run(const struct slice *s, uint32_t from, unsigned bits, uint64_t *w)
{
	uint32_t i = from + 1;

	*w = window(&s->v[from], s->pos, bits);
	while (i < s->n && window(&s->v[i], s->pos, bits) == *w)
		i++;
	return i - from;
}

static int take(struct acl_builder *b, size_t words, uint32_t *at)
{
	words = (words + UNIT_WORDS - 1) / UNIT_WORDS * UNIT_WORDS;
	if ((b->n_nodes + words) * sizeof(*b->nodes) > ACL_MAX_COMPILED)
		return -E2BIG;
	if (b->n_nodes + words > b->cap_nodes) {
		size_t cap = 2 * b->cap_nodes + words + 1024;
		void *p = realloc(b->nodes, cap * sizeof(*b->nodes));

		if (p == NULL)
			return -ENOMEM;
		b->nodes = p;
		b->cap_nodes = cap;
	}
	memset(b->nodes + b->n_nodes, 0, words * sizeof(*b->nodes));
	*at = (uint32_t)b->n_nodes;
	b->n_nodes += words;
	return 0;
}

static uint32_t node_ref(enum acl_node_kind kind, uint32_t at)
{
	return ACL_NODE | (uint32_t)kind << ACL_KIND_SHIFT | at / UNIT_WORDS;
}

/* Starts of intervals over a window and what holds in each; start[0] is 0 and is not kept in the node. */
struct list {
	unsigned n;
	uint64_t start[MAX_LIST + 1];
	uint32_t ref[MAX_LIST + 1];
};

/* False: too many. */
static bool put(struct list *l, uint64_t start, uint32_t ref)
{
	if (l->start[l->n - 1] != start) {
		if (l->n > MAX_LIST)
			return false;
		l->start[l->n++] = start;
	}
	l->ref[l->n - 1] = ref;
	return true;
}

/* Fits the slice into one list? A window in which more than its start is a bound needs a child, which only 'deep' builds.
 * Returns 1, 0 no, -errno. */
static int fill(
    const struct tree *t, const struct slice *s, unsigned bits, bool deep, struct list *l)
{
	uint64_t max = (1ull << bits) - 1;
	uint32_t before = s->before, i = 0;

	l->n = 1;
	l->start[0] = 0;
	l->ref[0] = before;
	while (i < s->n) {
		uint64_t w;
		uint32_t n = run(s, i, bits, &w);
		bool simple = n == 1 && tail_is_zero(&s->v[i], s->pos + bits);
		uint32_t ref = s->v[i].ref;

		if (!simple && deep) {
			struct slice child = {&s->v[i], n, before, s->pos + bits};
			int rc = build(t, child, &ref);

			if (rc < 0)
				return rc;
		}
		before = s->v[i + n - 1].ref;
		if (!put(l, w, ref) || (!simple && w < max && !put(l, w + 1, before)))
			return 0;
		i += n;
	}
	return 1;
}

static int emit_list(const struct tree *t, const struct list *l, unsigned bits, uint32_t *ref)
{
	unsigned blocks = l->n - 1 > LANES ? 2 : 1;
	unsigned lane_words = blocks * LANES * bits / 32;
	enum acl_node_kind kind = bits == 16 ? ACL_LIST_16 : ACL_LIST_32;
	uint32_t at, *p;
	int rc = take(t->b, lane_words + l->n, &at);

	if (rc < 0)
		return rc;
	p = t->b->nodes + at;
	/* Kept less one and compared by "less": the highest value, which fills the lanes left over, is less than nothing. */
	for (unsigned i = 0; i < lane_words; i++)
		p[i] = bits == 16 ? 0x7fff7fffu : 0x7fffffffu;
	for (unsigned i = 1; i < l->n; i++) {
		uint32_t start = (uint32_t)(l->start[i] - 1) ^ 0x80000000u;
		uint16_t start16 = (uint16_t)(l->start[i] - 1) ^ 0x8000u;

		if (bits == 16)
			memcpy((char *)p + (i - 1) * 2, &start16, 2);
		else
			p[i - 1] = start;
	}
	memcpy(p + lane_words, l->ref, l->n * sizeof(*p));
	*ref = node_ref(blocks == 2 ? kind + 2 : kind, at);
	return 0;
}

/* A table should be used at one place in eight, or the bounds be many. */
static unsigned direct_bits(const struct tree *t, const struct slice *s)
{
	unsigned left = t->width - s->pos;

	for (unsigned bits = 16; bits > 4; bits -= 4) {
		uint32_t used = 0;
		uint64_t w;

		if (bits > left)
			continue;
		if (bits == 16 && s->n >= MANY)
			return bits;
		if (s->n < 1u << bits >> 3)
			continue;
		for (uint32_t i = 0; i < s->n; i += run(s, i, bits, &w))
			used++;
		if (used >= 1u << bits >> 3)
			return bits;
	}
	return left < 8 ? 4 : 8;
}

static int build_direct(const struct tree *t, const struct slice *s, uint32_t *ref)
{
	unsigned bits = direct_bits(t, s);
	uint32_t before = s->before, at, i = 0;
	int rc = take(t->b, 1u << bits, &at);

	if (rc < 0)
		return rc;
	for (uint32_t slot = 0; slot < 1u << bits; slot++) {
		struct slice child = {&s->v[i], 0, before, s->pos + bits};
		uint32_t r;
		uint64_t w;

		if (i < s->n && window(&s->v[i], s->pos, bits) == slot)
			child.n = run(s, i, bits, &w);
		rc = build(t, child, &r);
		if (rc < 0)
			return rc;
		t->b->nodes[at + slot] = r;
		i += child.n;
		if (child.n > 0)
			before = s->v[i - 1].ref;
	}
	*ref = node_ref((enum acl_node_kind)(bits / 4 - 1), at);
	return 0;
}

static int build(const struct tree *t, struct slice s, uint32_t *ref)
{
	struct list l;

	if (s.n > 0 && tail_is_zero(s.v, s.pos)) {
		s.before = s.v->ref;
		s.v++;
		s.n--;
	}
	if (s.n == 0) {
		*ref = s.before;
		return 0;
	}
	/* The wide list looks at the most bits at once; what is left of the key may need no more than the narrow one. */
	for (unsigned bits = t->width - s.pos <= 16 ? 16 : 32; bits >= 16; bits -= 16) {
		int rc = fill(t, &s, bits, false, &l);

		if (rc == 0)
			continue;
		rc = fill(t, &s, bits, true, &l);
		if (rc < 0)
			return rc;
		return emit_list(t, &l, bits, ref);
	}
	return build_direct(t, &s, ref);
}

/* The smallest aligned block outside of which nothing but 'start' holds: how many bits its values share. */
static unsigned block_bits(const struct acl_bound *v, uint32_t n, uint32_t start, uint64_t *base)
{
	const struct acl_bound *last = &v[n - 1];
	uint64_t diff;
	unsigned bits;

	*base = 0;
	if (last->ref != start)
		return 0;
	diff = v->hi ^ (last->hi - (last->lo == 0));
	bits = diff == 0 ? 63 : (unsigned)__builtin_clzll(diff);
	if (bits > 0)
		*base = v->hi & ~0ull << (64 - bits);
	return bits;
}

/* About two places in the table for each bound. */
static unsigned root_bits(uint32_t n, unsigned room)
{
	unsigned bits = 1;

	while (bits < MAX_ROOT && 1u << bits < 2 * n)
		bits++;
	return bits < room ? bits : room;
}

int acl_tree(struct acl_builder *b, const struct acl_bound *v, uint32_t n, uint32_t start,
    unsigned width, struct acl_root *root)
{
	struct tree t = {b, width};
	unsigned shared, bits, top = width < 64 ? width : 64;
	uint32_t before = start, i = 0, ref;
	int rc;

	*root = (struct acl_root){.shift = 63};
	if (n == 0) {
		rc = take(b, 1, &root->at);
		if (rc == 0)
			b->nodes[root->at] = start;
		return rc;
	}
	shared = block_bits(v, n, start, &root->base);
	bits = root_bits(n, top - shared);
	root->size = 1u << bits;
	root->shift = (uint8_t)(64 - shared - bits);
	rc = take(b, root->size + 1, &root->at);
	if (rc < 0)
		return rc;
	for (uint32_t slot = 0; slot < root->size; slot++) {
		struct slice child = {&v[i], 0, before, shared + bits};

		while (i + child.n < n && (v[i + child.n].hi ^ root->base) >> root->shift == slot)
			child.n++;
		rc = build(&t, child, &ref);
		if (rc < 0)
			return rc;
		b->nodes[root->at + slot] = ref;
		i += child.n;
		if (child.n > 0)
			before = v[i - 1].ref;
	}
	b->nodes[root->at + root->size] = start;
	return 0;
}
