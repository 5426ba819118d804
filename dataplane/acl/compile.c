/* SPDX-License-Identifier: BSD-3-Clause */
/* From the rules of a group to its classifier: five fields, each swept and put into a search tree. */
#include "acl_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#define HUGE_PAGE (2u << 20)

/* The tags that the rules name in one field, each once, with its prefixes. */
struct tags {
	uint16_t *id;
	uint32_t n;
	struct ob_acl_tag_cfg **cfg;
};

struct compile {
	const struct ob_acl_group_cfg *cfg;
	struct acl_builder b;
	struct acl_classifier *c;
	acl_tag_fn tag_fn;
	void *tag_arg;
	char *err;
	size_t err_len;
};

/* The lists of one field in any rule. */
struct lists {
	const struct ob_acl_prefix *prefix;
	const uint16_t *tag;
	const struct ob_acl_range *range;
	uint32_t n_prefix, n_tag, n_range;
};

enum field { SRC, DST, SPORT, DPORT, ICMP };

static struct lists lists_of(const struct ob_acl_rule *r, enum field f)
{
	switch (f) {
	case SRC:
		return (struct lists){r->src, r->src_tags, NULL, r->n_src, r->n_src_tags, 0};
	case DST:
		return (struct lists){r->dst, r->dst_tags, NULL, r->n_dst, r->n_dst_tags, 0};
	case SPORT:
		return (struct lists){NULL, NULL, r->sports, 0, 0,
		    acl_ranges_bind(r->sports, r->n_sports) ? r->n_sports : 0};
	case DPORT:
		return (struct lists){NULL, NULL, r->dports, 0, 0,
		    acl_ranges_bind(r->dports, r->n_dports) ? r->n_dports : 0};
	default:
		return (struct lists){NULL, NULL, r->icmp, 0, 0, r->n_icmp};
	}
}

void acl_classifier_free(void *p)
{
	struct acl_classifier *c = p;

	if (c == NULL)
		return;
	free((void *)(uintptr_t)c->nodes);
	free((void *)(uintptr_t)c->records);
	free((void *)(uintptr_t)c->priority);
	free((void *)(uintptr_t)c->action);
	free(c);
}

static int add_event(struct acl_field *f, uint64_t hi, uint64_t lo, uint32_t what)
{
	if (f->n_ev == f->cap_ev) {
		size_t cap = f->cap_ev ? 2 * f->cap_ev : 256;
		void *p = realloc(f->ev, cap * sizeof(*f->ev));

		if (p == NULL)
			return -ENOMEM;
		f->ev = p;
		f->cap_ev = cap;
	}
	f->ev[f->n_ev++] = (struct acl_event){hi, lo, what};
	return 0;
}

/* Start of the interval, and of what follows it unless it reaches the end of the key space. */
static int add_prefix(
    struct acl_field *f, const struct ob_acl_prefix *p, uint8_t family, uint32_t entity)
{
	uint64_t hi = 0, lo = 0, end_hi, end_lo;
	int rc;

	for (unsigned i = 0; i < 8; i++) {
		hi = hi << 8 | p->b[i];
		lo = lo << 8 | p->b[8 + i];
	}
	if (family == AF_INET) {
		hi &= 0xffffffff00000000ull;
		lo = 0;
	}
	rc = add_event(f, hi, lo, entity << 1);
	if (rc < 0 || p->len == 0)
		return rc;
	end_hi = hi;
	end_lo = lo;
	if (p->len <= 64) {
		end_hi += 1ull << (64 - p->len);
	} else {
		end_lo += 1ull << (128 - p->len);
		end_hi += end_lo == 0;
	}
	return end_hi == 0 && end_lo == 0 ? 0 : add_event(f, end_hi, end_lo, entity << 1 | 1);
}

static int add_range(struct acl_field *f, const struct ob_acl_range *r, uint32_t entity)
{
	int rc = add_event(f, (uint64_t)r->lo << 48, 0, entity << 1);

	if (rc < 0 || r->hi == UINT16_MAX)
		return rc;
	return add_event(f, (uint64_t)(r->hi + 1) << 48, 0, entity << 1 | 1);
}

static int by_id(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

static uint32_t tag_index(const struct tags *t, uint16_t id)
{
	const uint16_t *p = bsearch(&id, t->id, t->n, sizeof(id), by_id);

	return (uint32_t)(p - t->id);
}

static void tags_free(struct tags *t)
{
	for (uint32_t i = 0; t->cfg != NULL && i < t->n; i++)
		free(t->cfg[i]);
	free(t->cfg);
	free(t->id);
}

static int tags_load(struct compile *c, enum field f, struct tags *t)
{
	uint32_t n = 0, uniq = 0;

	for (uint32_t r = 0; r < c->cfg->n_rules; r++)
		n += lists_of(&c->cfg->rules[r], f).n_tag;
	if (n == 0)
		return 0;
	t->id = malloc(n * sizeof(*t->id));
	t->cfg = calloc(n, sizeof(*t->cfg));
	if (t->id == NULL || t->cfg == NULL)
		return -ENOMEM;
	n = 0;
	for (uint32_t r = 0; r < c->cfg->n_rules; r++) {
		struct lists l = lists_of(&c->cfg->rules[r], f);

		for (uint32_t i = 0; i < l.n_tag; i++)
			t->id[n++] = l.tag[i];
	}
	qsort(t->id, n, sizeof(*t->id), by_id);
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || t->id[i] != t->id[uniq - 1])
			t->id[uniq++] = t->id[i];
	t->n = uniq;
	for (uint32_t i = 0; i < uniq; i++) {
		int rc = c->tag_fn(c->tag_arg, t->id[i], &t->cfg[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Which rules an entity stands for. Entities are the rules themselves and then the tags. */
static int entities(
    struct compile *c, enum field f, const struct tags *t, uint32_t **first, uint32_t **rules)
{
	uint32_t n_rules = c->cfg->n_rules, n = n_rules + t->n, sum = 0;
	uint32_t *at = calloc(n + 2, sizeof(*at)), *list, uses = n_rules;

	for (uint32_t r = 0; r < n_rules; r++)
		uses += lists_of(&c->cfg->rules[r], f).n_tag;
	list = malloc((uses + 1) * sizeof(*list));
	*first = at;
	*rules = list;
	if (at == NULL || list == NULL)
		return -ENOMEM;
	/* at[e + 2] counts, then at[e + 1] is where e's list begins, and in the end where it ends. */
	for (uint32_t r = 0; r < n_rules; r++) {
		struct lists l = lists_of(&c->cfg->rules[r], f);

		at[r + 2] = 1;
		for (uint32_t i = 0; i < l.n_tag; i++)
			at[n_rules + tag_index(t, l.tag[i]) + 2]++;
	}
	for (uint32_t e = 0; e <= n; e++) {
		sum += at[e + 1];
		at[e + 1] = sum;
	}
	for (uint32_t r = 0; r < n_rules; r++) {
		struct lists l = lists_of(&c->cfg->rules[r], f);

		list[at[r + 1]++] = r;
		for (uint32_t i = 0; i < l.n_tag; i++)
			list[at[n_rules + tag_index(t, l.tag[i]) + 1]++] = r;
	}
	return 0;
}

static int add_rules(struct compile *c, enum field f, struct acl_field *field, uint64_t *always)
{
	int rc = 0;

	for (uint32_t r = 0; r < c->cfg->n_rules && rc == 0; r++) {
		struct lists l = lists_of(&c->cfg->rules[r], f);

		if (l.n_prefix == 0 && l.n_tag == 0 && l.n_range == 0)
			always[r / 64] |= 1ull << r % 64;
		for (uint32_t i = 0; i < l.n_prefix && rc == 0; i++)
			rc = add_prefix(field, &l.prefix[i], c->cfg->family, r);
		for (uint32_t i = 0; i < l.n_range && rc == 0; i++)
			rc = add_range(field, &l.range[i], r);
		c->c->n_prefixes += l.n_prefix;
	}
	return rc;
}

static int add_tags(struct compile *c, struct acl_field *field, const struct tags *t)
{
	uint64_t flips = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct ob_acl_tag_cfg *tag = t->cfg[i];
		uint32_t e = c->cfg->n_rules + i;

		if (tag->family != c->cfg->family)
			return acl_fail(-EINVAL, c->err, c->err_len,
			    "tag %u is of the other address family", t->id[i]);
		flips += 2ull * tag->n_prefixes * (field->first[e + 1] - field->first[e]);
		if (flips > ACL_MAX_FLIPS ||
		    field->n_ev + 2ull * tag->n_prefixes > 2 * ACL_MAX_EXPANDED)
			return acl_fail(-E2BIG, c->err, c->err_len,
			    "too many prefixes by way of tags: tag %u and those before it",
			    t->id[i]);
		for (uint32_t k = 0; k < tag->n_prefixes; k++) {
			int rc = add_prefix(field, &tag->prefixes[k], c->cfg->family, e);

			if (rc < 0)
				return rc;
		}
		c->c->n_prefixes += tag->n_prefixes;
	}
	return 0;
}

static int compile_field(struct compile *c, enum field f, struct acl_root *root)
{
	unsigned width = f > DST ? 16 : c->cfg->family == AF_INET ? 32 : 128;
	uint64_t always[ACL_MAX_WORDS] = {0};
	struct acl_field field = {.always = always};
	uint32_t *first = NULL, *rules = NULL, n, start;
	struct acl_bound *bounds = NULL;
	struct tags t = {0};
	int rc;

	rc = tags_load(c, f, &t);
	if (rc == 0)
		rc = entities(c, f, &t, &first, &rules);
	field.first = first;
	field.rules = rules;
	if (rc == 0)
		rc = add_rules(c, f, &field, always);
	if (rc == 0)
		rc = add_tags(c, &field, &t);
	if (rc == 0)
		rc = acl_sweep(&c->b, &field, &bounds, &n, &start);
	if (rc == 0)
		rc = acl_tree(&c->b, bounds, n, start, width, root);
	free(bounds);
	free(field.ev);
	free(first);
	free(rules);
	tags_free(&t);
	return rc;
}

static enum acl_l4 l4_of(uint8_t family, unsigned proto)
{
	if (acl_proto_has_ports(proto))
		return ACL_L4_PORTS;
	return proto == acl_icmp_of(family) ? ACL_L4_ICMP : ACL_L4_NONE;
}

static bool matches_proto(const struct ob_acl_rule *r, unsigned proto, enum acl_l4 l4)
{
	static const uint64_t any[4];

	if (memcmp(r->protos, any, sizeof(any)) != 0 && !(r->protos[proto / 64] >> proto % 64 & 1))
		return false;
	if (l4 != ACL_L4_PORTS &&
	    (acl_ranges_bind(r->sports, r->n_sports) || acl_ranges_bind(r->dports, r->n_dports)))
		return false;
	return l4 == ACL_L4_ICMP || r->n_icmp == 0;
}

static int intern_proto(struct compile *c, unsigned proto, enum acl_l4 l4, uint32_t *ref)
{
	uint64_t set[ACL_MAX_WORDS] = {0}, hash = 0;

	for (uint32_t r = 0; r < c->cfg->n_rules; r++) {
		if (!matches_proto(&c->cfg->rules[r], proto, l4))
			continue;
		set[r / 64] |= 1ull << r % 64;
		hash ^= acl_rule_hash(r);
	}
	return acl_intern(&c->b, set, hash, ref);
}

static int compile_protos(struct compile *c)
{
	uint32_t others = 0; /* of protocols without ports that no rule names: one record */
	uint64_t named[4] = {0};
	bool have_others = false;

	for (uint32_t r = 0; r < c->cfg->n_rules; r++)
		for (unsigned i = 0; i < 4; i++)
			named[i] |= c->cfg->rules[r].protos[i];
	for (unsigned p = 0; p < 256; p++) {
		enum acl_l4 l4 = l4_of(c->cfg->family, p);
		bool other = l4 == ACL_L4_NONE && !(named[p / 64] >> p % 64 & 1);
		uint32_t ref = others;
		int rc = other && have_others ? 0 : intern_proto(c, p, l4, &ref);

		if (rc < 0)
			return rc;
		if (other) {
			others = ref;
			have_others = true;
		}
		c->c->proto[p] = ref | (uint32_t)l4 << ACL_L4_SHIFT;
	}
	return 0;
}

/* A copy that is as long as it has to be, on huge pages where it is longer than one. */
static void *settle(const void *p, size_t len)
{
	size_t align = len >= HUGE_PAGE ? HUGE_PAGE : 64;
	size_t room = (len + align - 1) / align * align;
	void *q = aligned_alloc(align, room > 0 ? room : align);

	if (q == NULL)
		return NULL;
	if (align == HUGE_PAGE)
		(void)madvise(q, room, MADV_HUGEPAGE);
	if (len > 0)
		memcpy(q, p, len);
	return q;
}

static int finish(struct compile *c)
{
	size_t n = c->cfg->n_rules > 0 ? c->cfg->n_rules : 1;
	uint32_t *priority = calloc(n, sizeof(*priority));
	uint8_t *action = calloc(n, 1);

	c->c->nodes = settle(c->b.nodes, c->b.n_nodes * sizeof(*c->b.nodes));
	c->c->records = settle(c->b.records, c->b.n_records * sizeof(*c->b.records));
	c->c->priority = priority;
	c->c->action = action;
	if (priority == NULL || action == NULL || c->c->nodes == NULL || c->c->records == NULL)
		return -ENOMEM;
	for (uint32_t r = 0; r < c->cfg->n_rules; r++) {
		const struct ob_acl_rule *rule = &c->cfg->rules[r];

		priority[r] = rule->priority;
		action[r] = (uint8_t)((rule->action == OB_ACL_PERMIT ? ACL_PERMIT : 0) |
				      (rule->terminate ? ACL_FINAL : 0));
	}
	c->c->bytes = sizeof(*c->c) + c->b.n_nodes * sizeof(*c->b.nodes) +
		      c->b.n_records * sizeof(*c->b.records) + n * (sizeof(*priority) + 1);
	return 0;
}

static uint32_t since_us(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (
	    uint32_t)((now.tv_sec - then->tv_sec) * 1000000 + (now.tv_nsec - then->tv_nsec) / 1000);
}

int acl_compile(const struct ob_acl_group_cfg *cfg, acl_tag_fn tag, void *arg,
    struct acl_classifier **out, char *err, size_t err_len)
{
	struct compile c = {
	    .cfg = cfg, .tag_fn = tag, .tag_arg = arg, .err = err, .err_len = err_len};
	struct timespec then;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &then);
	c.c = calloc(1, sizeof(*c.c));
	if (c.c == NULL)
		return -ENOMEM;
	c.c->family = cfg->family;
	c.c->n_rules = cfg->n_rules;
	c.c->small = c.b.small = cfg->n_rules <= 64;
	c.b.n_words = (cfg->n_rules + 63) / 64;
	if (err != NULL && err_len > 0)
		err[0] = 0;
	rc = compile_protos(&c);
	if (rc == 0)
		rc = compile_field(&c, SRC, &c.c->src);
	if (rc == 0)
		rc = compile_field(&c, DST, &c.c->dst);
	if (rc == 0)
		rc = compile_field(&c, SPORT, &c.c->sport);
	if (rc == 0)
		rc = compile_field(&c, DPORT, &c.c->dport);
	if (rc == 0)
		rc = compile_field(&c, ICMP, &c.c->icmp);
	if (rc == 0)
		rc = finish(&c);
	free(c.b.nodes);
	free(c.b.records);
	free(c.b.index);
	free(c.b.hashes);
	if (rc < 0) {
		acl_classifier_free(c.c);
		if (rc == -E2BIG && err != NULL && err_len > 0 && err[0] == 0)
			acl_fail(rc, err, err_len,
			    "the rules overlap in too many ways: over %u MB compiled",
			    ACL_MAX_COMPILED >> 20);
		return rc;
	}
	c.c->compile_us = since_us(&then);
	*out = c.c;
	return 0;
}

struct acl_classifier *acl_compile_broken(uint8_t family)
{
	struct ob_acl_group_cfg none = {.family = family};
	struct acl_classifier *c;

	if (acl_compile(&none, NULL, NULL, &c, NULL, 0) < 0)
		return NULL;
	c->broken = true;
	return c;
}
