/* SPDX-License-Identifier: BSD-3-Clause */
/* Longest prefix match: a trie with a stride of eight bits, one-way branches skipped.
 *
 * Control keeps a plain trie of 'struct branch'; each branch that decides something (it holds prefixes, or parts the way) is
 * compiled into an immutable 'struct node', in which equal neighbours among the 256 ways share one entry. A change compiles the
 * nodes from the changed branch up to the root and publishes the root. */
#include "ob_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 256

struct way {
	const struct node *child;
	uint32_t value; /* of the longest prefix that ends in this node and covers the way */
	uint32_t reserved;
};

struct node {
	struct ob_lpm_key key,
	    mask;	  /* bytes above 'depth' that must match: skipped levels are checked here */
	uint64_t runs[4]; /* bit b: way b differs from way b - 1 */
	uint16_t rank[4]; /* runs before this word, minus one */
	uint8_t use_lo, shift; /* where the byte that picks the way lies */
	struct node *limbo_next;
	struct way way[];
};

struct prefix {
	uint8_t bits; /* upper 'len' bits of the byte */
	uint8_t len;  /* 0..8; 0 only at the root */
	uint32_t value;
};

struct branch {
	struct branch *parent;
	struct ob_lpm_key key; /* bytes on the way to here */
	uint8_t depth;	       /* in bytes */
	uint8_t byte;	       /* way in the parent */
	uint16_t n_children, cap_children, n_prefixes, cap_prefixes;
	struct branch **child;
	struct prefix *prefix;
	struct node *node;  /* published */
	struct node *fresh; /* compiled, to be published */
};

struct ob_lpm {
	const struct node *root;
	struct branch *top;
};

static inline struct ob_lpm_key mask_bits(unsigned len)
{
	struct ob_lpm_key m = {0, 0};

	if (len > 64) {
		m.hi = UINT64_MAX;
		m.lo = len == 128 ? UINT64_MAX : ~(UINT64_MAX >> (len - 64));
	} else if (len > 0) {
		m.hi = len == 64 ? UINT64_MAX : ~(UINT64_MAX >> len);
	}
	return m;
}

static inline uint8_t byte_at(struct ob_lpm_key k, unsigned depth)
{
	return (uint8_t)((depth < 8 ? k.hi : k.lo) >> (56 - 8 * (depth & 7)));
}

uint32_t ob_lpm_get(const struct ob_lpm *lpm, struct ob_lpm_key k)
{
	const struct node *n = ob_rcu_load(&lpm->root);
	uint32_t best = OB_TABLE_MISS;

	while (n != NULL) {
		const struct way *w;
		unsigned b, word;

		if (((k.hi ^ n->key.hi) & n->mask.hi) | ((k.lo ^ n->key.lo) & n->mask.lo))
			break;
		b = ((n->use_lo ? k.lo : k.hi) >> n->shift) & 0xff;
		word = b >> 6;
		/* Run 0 starts at way 0, so there is at least one bit at or below b. */
		w = &n->way[(uint16_t)(n->rank[word] +
				       __builtin_popcountll(
					   n->runs[word] & (UINT64_MAX >> (63 - (b & 63)))))];
		if (w->value != OB_TABLE_MISS)
			best = w->value;
		n = w->child;
	}
	return best;
}

static struct branch *branch_new(struct branch *parent, struct ob_lpm_key key, unsigned depth)
{
	struct ob_lpm_key m = mask_bits(8 * depth);
	struct branch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->parent = parent;
	b->depth = (uint8_t)depth;
	b->key.hi = key.hi & m.hi;
	b->key.lo = key.lo & m.lo;
	b->byte = depth ? byte_at(key, depth - 1) : 0;
	return b;
}

static void branch_free(struct branch *b)
{
	free(b->child);
	free(b->prefix);
	free(b->node);
	free(b);
}

static struct branch *child_of(const struct branch *b, uint8_t byte)
{
	for (unsigned i = 0; i < b->n_children; i++)
		if (b->child[i]->byte == byte)
			return b->child[i];
	return NULL;
}

static int child_add(struct branch *b, struct branch *c)
{
	if (b->n_children == b->cap_children) {
		unsigned cap = b->cap_children ? 2u * b->cap_children : 2u;
		struct branch **p = realloc(b->child, cap * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		b->child = p;
		b->cap_children = (uint16_t)cap;
	}
	b->child[b->n_children++] = c;
	return 0;
}

static void child_del(struct branch *b, const struct branch *c)
{
	for (unsigned i = 0; i < b->n_children; i++) {
		if (b->child[i] == c) {
			b->child[i] = b->child[--b->n_children];
			return;
		}
	}
}

/* Decides something; the others are stepped over. */
static bool is_real(const struct branch *b)
{
	return b->parent == NULL || b->n_prefixes > 0 || b->n_children >= 2;
}

static const struct node *node_below(const struct branch *b)
{
	while (!is_real(b)) {
		if (b->n_children == 0)
			return NULL; /* about to be pruned */
		b = b->child[0];
	}
	return b->fresh != NULL ? b->fresh : b->node;
}

static struct node *compile(const struct branch *b)
{
	const struct node *child[WAYS] = {NULL};
	uint32_t value[WAYS];
	uint64_t runs[4] = {0};
	unsigned n_runs = 0;
	struct node *n;

	for (unsigned i = 0; i < WAYS; i++)
		value[i] = OB_TABLE_MISS;
	for (unsigned len = 0; len <= 8; len++) {
		for (unsigned i = 0; i < b->n_prefixes; i++) {
			const struct prefix *p = &b->prefix[i];

			for (unsigned j = 0; p->len == len && j < (1u << (8 - len)); j++)
				value[p->bits + j] = p->value;
		}
	}
	for (unsigned i = 0; i < b->n_children; i++)
		child[b->child[i]->byte] = node_below(b->child[i]);
	for (unsigned i = 0; i < WAYS; i++) {
		if (i == 0 || child[i] != child[i - 1] || value[i] != value[i - 1]) {
			runs[i >> 6] |= 1ull << (i & 63);
			n_runs++;
		}
	}
	n = calloc(1, sizeof(*n) + n_runs * sizeof(n->way[0]));
	if (n == NULL)
		return NULL;
	n->key = b->key;
	n->mask = mask_bits(8u * b->depth);
	n->use_lo = b->depth >= 8;
	n->shift = (uint8_t)(56 - 8 * (b->depth & 7));
	memcpy(n->runs, runs, sizeof(runs));
	n_runs = 0;
	for (unsigned i = 0; i < WAYS; i++) {
		if ((i & 63) == 0)
			n->rank[i >> 6] = (uint16_t)(n_runs - 1);
		if (runs[i >> 6] & (1ull << (i & 63))) {
			n->way[n_runs].child = child[i];
			n->way[n_runs++].value = value[i];
		}
	}
	return n;
}

static void free_limbo(void *p)
{
	struct node *n = p;

	while (n != NULL) {
		struct node *next = n->limbo_next;

		free(n);
		n = next;
	}
}

static void to_limbo(struct node **limbo, struct node *n)
{
	if (n == NULL)
		return;
	n->limbo_next = *limbo;
	*limbo = n;
}

/* Takes branches away that hold nothing any more. */
static void prune(struct branch *b, struct node **limbo)
{
	while (b->parent != NULL && b->n_prefixes == 0 && b->n_children == 0) {
		struct branch *up = b->parent;

		child_del(up, b);
		to_limbo(limbo, b->node);
		b->node = NULL;
		branch_free(b);
		b = up;
	}
}

/* Compiles what a change of 'b' touches and publishes it. On -ENOMEM nothing is published. */
static int publish(struct ob_lpm *lpm, struct branch *b)
{
	struct node *limbo = NULL;

	for (struct branch *i = b; i != NULL; i = i->parent) {
		if (!is_real(i))
			continue;
		i->fresh = compile(i);
		if (i->fresh == NULL)
			goto err_fresh;
	}
	ob_rcu_publish(&lpm->root, lpm->top->fresh);
	for (struct branch *i = b; i != NULL; i = i->parent) {
		to_limbo(&limbo, i->node);
		i->node = i->fresh;
		i->fresh = NULL;
	}
	prune(b, &limbo);
	if (limbo != NULL)
		ob_rcu_defer(free_limbo, limbo);
	return 0;

err_fresh:
	for (struct branch *i = b; i != NULL; i = i->parent) {
		free(i->fresh);
		i->fresh = NULL;
	}
	return -ENOMEM;
}

/* Where a prefix ends; NULL when it is not there and 'make' is false, or on lack of memory. */
static struct branch *walk(struct ob_lpm *lpm, struct ob_lpm_key key, unsigned len, bool make)
{
	unsigned depth = len ? (len - 1) / 8 : 0;
	struct branch *b = lpm->top;

	while (b->depth < depth) {
		struct branch *c = child_of(b, byte_at(key, b->depth));

		if (c == NULL) {
			if (!make)
				return NULL;
			c = branch_new(b, key, b->depth + 1u);
			if (c == NULL)
				return NULL;
			if (child_add(b, c) < 0) {
				branch_free(c);
				return NULL;
			}
		}
		b = c;
	}
	return b;
}

static struct prefix *prefix_find(const struct branch *b, uint8_t bits, uint8_t len)
{
	for (unsigned i = 0; i < b->n_prefixes; i++)
		if (b->prefix[i].bits == bits && b->prefix[i].len == len)
			return &b->prefix[i];
	return NULL;
}

static struct prefix *prefix_add(struct branch *b, uint8_t bits, uint8_t len)
{
	if (b->n_prefixes == b->cap_prefixes) {
		unsigned cap = b->cap_prefixes ? 2u * b->cap_prefixes : 2u;
		struct prefix *p = realloc(b->prefix, cap * sizeof(*p));

		if (p == NULL)
			return NULL;
		b->prefix = p;
		b->cap_prefixes = (uint16_t)cap;
	}
	b->prefix[b->n_prefixes] =
	    (struct prefix){.bits = bits, .len = len, .value = OB_TABLE_MISS};
	return &b->prefix[b->n_prefixes++];
}

int ob_lpm_set(struct ob_lpm *lpm, struct ob_lpm_key key, unsigned len, uint32_t value)
{
	struct ob_lpm_key m;
	struct branch *b;
	struct prefix *p;
	struct node *limbo = NULL;
	uint32_t old = OB_TABLE_MISS;
	uint8_t bits, plen;
	int rc;

	if (len > 128 || value == OB_TABLE_MISS)
		return -EINVAL;
	m = mask_bits(len);
	if ((key.hi & ~m.hi) | (key.lo & ~m.lo))
		return -EINVAL;
	b = walk(lpm, key, len, true);
	if (b == NULL)
		return -ENOMEM;
	bits = len ? byte_at(key, b->depth) : 0;
	plen = (uint8_t)(len - 8u * b->depth);
	p = prefix_find(b, bits, plen);
	if (p != NULL)
		old = p->value;
	else
		p = prefix_add(b, bits, plen);
	if (p == NULL) {
		rc = -ENOMEM;
		goto err_walk;
	}
	p->value = value;
	rc = publish(lpm, b);
	if (rc == 0)
		return 0;
	p->value = old;
	if (old == OB_TABLE_MISS)
		b->n_prefixes--;
err_walk:
	prune(b, &limbo); /* branches made just now were never published: nothing gets into limbo */
	assert(limbo == NULL);
	return rc;
}

int ob_lpm_del(struct ob_lpm *lpm, struct ob_lpm_key key, unsigned len)
{
	struct branch *b = len <= 128 ? walk(lpm, key, len, false) : NULL;
	struct prefix *p = NULL;
	struct prefix old;
	int rc;

	if (b != NULL)
		p = prefix_find(
		    b, len ? byte_at(key, b->depth) : 0, (uint8_t)(len - 8u * b->depth));
	if (p == NULL)
		return -ENOENT;
	old = *p;
	*p = b->prefix[--b->n_prefixes];
	rc = publish(lpm, b);
	if (rc < 0)
		b->prefix[b->n_prefixes++] = old;
	return rc;
}

int ob_lpm_create(struct ob_lpm **out)
{
	struct ob_lpm *lpm = calloc(1, sizeof(*lpm));

	if (lpm == NULL)
		return -ENOMEM;
	lpm->top = branch_new(NULL, (struct ob_lpm_key){0, 0}, 0);
	if (lpm->top == NULL)
		goto err_lpm;
	lpm->top->node = compile(lpm->top);
	if (lpm->top->node == NULL)
		goto err_top;
	lpm->root = lpm->top->node;
	*out = lpm;
	return 0;

err_top:
	branch_free(lpm->top);
err_lpm:
	free(lpm);
	return -ENOMEM;
}

void ob_lpm_destroy(struct ob_lpm *lpm)
{
	struct branch *b;

	if (lpm == NULL)
		return;
	b = lpm->top;
	while (b != NULL) {
		struct branch *up = b->parent;

		if (b->n_children > 0) {
			b = b->child[--b->n_children];
			continue;
		}
		branch_free(b);
		b = up;
	}
	free(lpm);
}
