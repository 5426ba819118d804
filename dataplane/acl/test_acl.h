/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests: what a group means, written down the slow and obvious way, and random groups to try it on. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ob_acl.h"

/* ---- the oracle: one rule after the other, one bit after the other ------------------------------------------------------- */

static inline bool oracle_prefix(const struct ob_acl_prefix *p, const uint8_t *addr)
{
	for (unsigned i = 0; i < p->len; i++)
		if ((p->b[i / 8] ^ addr[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

static inline bool oracle_prefixes(const struct ob_acl_prefix *p, uint32_t n, const uint8_t *addr)
{
	for (uint32_t i = 0; i < n; i++)
		if (oracle_prefix(&p[i], addr))
			return true;
	return false;
}

static inline bool oracle_addr(const struct ob_acl_prefix *p, uint32_t n, const uint16_t *tag,
    uint32_t n_tag, const struct ob_acl_tag_cfg *tags, const uint8_t *addr)
{
	if (n == 0 && n_tag == 0)
		return true;
	for (uint32_t i = 0; i < n_tag; i++)
		if (oracle_prefixes(tags[tag[i]].prefixes, tags[tag[i]].n_prefixes, addr))
			return true;
	return oracle_prefixes(p, n, addr);
}

static inline bool oracle_range(const struct ob_acl_range *r, uint32_t n, uint16_t v)
{
	for (uint32_t i = 0; i < n; i++)
		if (v >= r[i].lo && v <= r[i].hi)
			return true;
	return n == 0;
}

static inline bool oracle_all_ports(const struct ob_acl_range *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (r[i].lo == 0 && r[i].hi == 65535)
			return true;
	return n == 0;
}

static inline bool oracle_rule(
    const struct ob_acl_rule *r, const struct ob_acl_tag_cfg *tags, const struct ob_acl_pkt *p)
{
	bool any = !r->protos[0] && !r->protos[1] && !r->protos[2] && !r->protos[3];
	bool ports =
	    p->proto == 6 || p->proto == 17 || p->proto == 33 || p->proto == 132 || p->proto == 136;
	bool icmp = p->proto == (p->family == AF_INET ? 1 : 58);

	if (!any && !(r->protos[p->proto / 64] >> p->proto % 64 & 1))
		return false;
	if (!oracle_addr(r->src, r->n_src, r->src_tags, r->n_src_tags, tags, p->src) ||
	    !oracle_addr(r->dst, r->n_dst, r->dst_tags, r->n_dst_tags, tags, p->dst))
		return false;
	if (!oracle_all_ports(r->sports, r->n_sports) &&
	    !(ports && oracle_range(r->sports, r->n_sports, p->sport)))
		return false;
	if (!oracle_all_ports(r->dports, r->n_dports) &&
	    !(ports && oracle_range(r->dports, r->n_dports, p->dport)))
		return false;
	return r->n_icmp == 0 || (icmp && oracle_range(r->icmp, r->n_icmp, p->dport));
}

/* The rule that decides, or NULL. 'tags': by number. */
static inline const struct ob_acl_rule *oracle_group(
    const struct ob_acl_group_cfg *g, const struct ob_acl_tag_cfg *tags, const struct ob_acl_pkt *p)
{
	const struct ob_acl_rule *best = NULL;

	for (uint32_t i = 0; i < g->n_rules; i++)
		if ((best == NULL || g->rules[i].priority < best->priority) &&
		    oracle_rule(&g->rules[i], tags, p))
			best = &g->rules[i];
	return best;
}

/* The verdict over stages; 'group[i]' NULL: none. */
static inline enum ob_acl_verdict oracle_verdict(
    const struct ob_acl_group_cfg *const group[OB_ACL_STAGES], const struct ob_acl_tag_cfg *tags,
    const struct ob_acl_pkt *p, enum ob_acl_verdict by_default)
{
	enum ob_acl_verdict verdict = by_default;

	for (unsigned s = 0; s < OB_ACL_STAGES; s++) {
		const struct ob_acl_rule *r;

		if (group[s] == NULL || group[s]->family != p->family)
			continue;
		r = oracle_group(group[s], tags, p);
		if (r == NULL)
			return OB_ACL_DENY;
		verdict = r->action == OB_ACL_PERMIT ? OB_ACL_PERMIT : OB_ACL_DENY;
		if (r->terminate)
			return verdict;
	}
	return verdict;
}

/* ---- random groups ----------------------------------------------------------------------------------------------------------- */

/* Where random numbers come from: a generator, or the bytes of a fuzz input and then a generator seeded by them. */
struct acl_rand {
	uint64_t state;
	const uint8_t *bytes;
	size_t left;
};

static inline uint32_t acl_rand32(struct acl_rand *r)
{
	uint32_t v;

	if (r->left >= 1) {
		v = *r->bytes++;
		r->left--;
		r->state = (r->state ^ v) * 0x9e3779b97f4a7c15ull + 1;
		return v | v << 8 | v << 16 | v << 24;
	}
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)(r->state >> 16);
}

static inline uint32_t acl_below(struct acl_rand *r, uint32_t n)
{
	return acl_rand32(r) % n;
}

/* How random groups look: few distinct bytes make prefixes nest and meet. */
struct acl_shape {
	uint8_t family;
	uint32_t n_rules, max_prefixes, max_ranges, n_tags;
	uint32_t any_in; /* one list in so many is empty */
	bool spread;	 /* addresses all over the space */
};

static inline void acl_rand_addr(struct acl_rand *r, const struct acl_shape *s, uint8_t b[16])
{
	static const uint8_t byte[8] = {0, 10, 255, 1, 128, 127, 0x20, 254};
	unsigned n = s->family == AF_INET ? 4 : 16;

	memset(b, 0, 16);
	for (unsigned i = 0; i < n; i++)
		b[i] = s->spread ? (uint8_t)(acl_rand32(r) >> 8) : byte[acl_below(r, 8)];
	if (!s->spread && s->family == AF_INET6)
		memset(b + 1, 10, acl_below(r, 12));
}

static inline void acl_rand_prefix(
    struct acl_rand *r, const struct acl_shape *s, struct ob_acl_prefix *p)
{
	unsigned bits = s->family == AF_INET ? 32 : 128;

	memset(p, 0, sizeof(*p));
	acl_rand_addr(r, s, p->b);
	p->len =
	    (uint8_t)(s->spread ? bits / 2 + acl_below(r, bits / 2 + 1) : acl_below(r, bits + 1));
	for (unsigned i = p->len; i < 128; i++)
		p->b[i / 8] = (uint8_t)(p->b[i / 8] & ~(0x80 >> i % 8));
}

static inline uint16_t acl_rand_port(struct acl_rand *r)
{
	static const uint16_t port[8] = {0, 1, 80, 255, 256, 32768, 65534, 65535};
	uint32_t v = acl_rand32(r);

	return v & 0x100 ? (uint16_t)(v >> 16) : port[v % 8];
}

static inline const struct ob_acl_prefix *acl_rand_prefixes(
    struct acl_rand *r, const struct acl_shape *s, uint32_t *n)
{
	struct ob_acl_prefix *p;

	*n = acl_below(r, s->any_in) == 0 ? 0 : 1 + acl_below(r, s->max_prefixes);
	p = calloc(*n + 1, sizeof(*p));
	for (uint32_t i = 0; i < *n; i++)
		acl_rand_prefix(r, s, &p[i]);
	return p;
}

static inline const struct ob_acl_range *acl_rand_ranges(
    struct acl_rand *r, const struct acl_shape *s, uint32_t *n)
{
	struct ob_acl_range *p;

	*n = acl_below(r, s->any_in) == 0 ? 0 : 1 + acl_below(r, s->max_ranges);
	p = calloc(*n + 1, sizeof(*p));
	for (uint32_t i = 0; i < *n; i++) {
		p[i].lo = acl_rand_port(r);
		p[i].hi = acl_below(r, 4) == 0 ? p[i].lo : acl_rand_port(r);
		if (p[i].hi < p[i].lo)
			p[i] = (struct ob_acl_range){p[i].hi, p[i].lo};
	}
	return p;
}

static inline const uint16_t *acl_rand_tags(
    struct acl_rand *r, const struct acl_shape *s, uint32_t *n)
{
	uint16_t *p;

	*n = s->n_tags > 0 && acl_below(r, 4) == 0 ? 1 + acl_below(r, 3) : 0;
	p = calloc(*n + 1, sizeof(*p));
	for (uint32_t i = 0; i < *n; i++)
		p[i] = (uint16_t)acl_below(r, s->n_tags);
	return p;
}

static inline void acl_rand_rule(
    struct acl_rand *r, const struct acl_shape *s, uint32_t priority, struct ob_acl_rule *rule)
{
	static const uint8_t protos[8] = {6, 17, 1, 58, 132, 47, 33, 255};
	uint32_t kind = acl_below(r, 4);

	memset(rule, 0, sizeof(*rule));
	rule->priority = priority;
	rule->action = acl_rand32(r) & 1;
	rule->terminate = acl_rand32(r) & 1;
	rule->src = acl_rand_prefixes(r, s, &rule->n_src);
	rule->dst = acl_rand_prefixes(r, s, &rule->n_dst);
	rule->src_tags = acl_rand_tags(r, s, &rule->n_src_tags);
	rule->dst_tags = acl_rand_tags(r, s, &rule->n_dst_tags);
	if (kind == 0) {
		uint8_t icmp = s->family == AF_INET ? 1 : 58;

		rule->icmp = acl_rand_ranges(r, s, &rule->n_icmp);
		if (acl_rand32(r) & 1)
			rule->protos[icmp / 64] |= 1ull << icmp % 64;
		return;
	}
	for (uint32_t i = kind == 1 ? 0 : 1 + acl_below(r, 3); i > 0; i--) {
		uint8_t p = protos[acl_below(r, 8)];

		rule->protos[p / 64] |= 1ull << p % 64;
	}
	rule->sports = acl_rand_ranges(r, s, &rule->n_sports);
	rule->dports = acl_rand_ranges(r, s, &rule->n_dports);
}

static inline struct ob_acl_group_cfg *acl_rand_group(struct acl_rand *r, const struct acl_shape *s)
{
	struct ob_acl_group_cfg *g = calloc(1, sizeof(*g));
	struct ob_acl_rule *rules = calloc(s->n_rules + 1, sizeof(*rules));
	uint32_t priority = acl_below(r, 100);

	for (uint32_t i = 0; i < s->n_rules; i++, priority += 1 + acl_below(r, 10))
		acl_rand_rule(r, s, priority, &rules[i]);
	/* In any order. */
	for (uint32_t i = s->n_rules; i > 1; i--) {
		uint32_t k = acl_below(r, i);
		struct ob_acl_rule t = rules[k];

		rules[k] = rules[i - 1];
		rules[i - 1] = t;
	}
	*g = (struct ob_acl_group_cfg){.family = s->family, .n_rules = s->n_rules, .rules = rules};
	return g;
}

static inline void acl_test_free(const void *p)
{
	free((void *)(uintptr_t)p);
}

static inline void acl_rand_group_free(struct ob_acl_group_cfg *g)
{
	for (uint32_t i = 0; i < g->n_rules; i++) {
		const struct ob_acl_rule *r = &g->rules[i];

		acl_test_free(r->src);
		acl_test_free(r->dst);
		acl_test_free(r->src_tags);
		acl_test_free(r->dst_tags);
		acl_test_free(r->sports);
		acl_test_free(r->dports);
		acl_test_free(r->icmp);
	}
	acl_test_free(g->rules);
	free(g);
}

/* ---- probes: at the edges of what the rules name ------------------------------------------------------------------------------ */

struct acl_probe {
	struct ob_acl_pkt p;
	uint8_t src[16], dst[16];
};

/* First or last address of the prefix, or one beyond. */
static inline void acl_edge_addr(
    struct acl_rand *r, const struct ob_acl_prefix *p, uint8_t family, uint8_t out[16])
{
	unsigned n = family == AF_INET ? 4 : 16, how = acl_below(r, 6);
	int step = how == 0 ? -1 : how == 1 ? 1 : 0;

	memcpy(out, p->b, 16);
	if (how & 1)
		for (unsigned i = p->len; i < n * 8; i++)
			out[i / 8] |= (uint8_t)(0x80 >> i % 8);
	for (int i = (int)n - 1; i >= 0 && step != 0; i--) {
		out[i] = (uint8_t)(out[i] + step);
		if (out[i] != (step > 0 ? 0 : 0xff))
			step = 0;
	}
	if (how == 4)
		for (unsigned i = p->len; i < n * 8; i++)
			out[i / 8] ^= (uint8_t)((acl_rand32(r) & 0x100) >> 8 << (7 - i % 8));
}

static inline void acl_probe_addr(struct acl_rand *r, const struct acl_shape *s,
    const struct ob_acl_prefix *p, uint32_t n, const uint16_t *tag, uint32_t n_tag,
    const struct ob_acl_tag_cfg *tags, uint8_t out[16])
{
	if (n_tag > 0 && (n == 0 || acl_below(r, 2))) {
		const struct ob_acl_tag_cfg *t = &tags[tag[acl_below(r, n_tag)]];

		p = t->prefixes;
		n = t->n_prefixes;
	}
	if (n == 0 || acl_below(r, 16) == 0)
		acl_rand_addr(r, s, out);
	else
		acl_edge_addr(r, &p[acl_below(r, n)], s->family, out);
}

static inline uint16_t acl_probe_port(struct acl_rand *r, const struct ob_acl_range *p, uint32_t n)
{
	const struct ob_acl_range *e;

	if (n == 0 || acl_below(r, 16) == 0)
		return acl_rand_port(r);
	e = &p[acl_below(r, n)];
	switch (acl_below(r, 4)) {
	case 0:
		return e->lo;
	case 1:
		return e->hi;
	case 2:
		return (uint16_t)(e->lo - 1);
	default:
		return (uint16_t)(e->hi + 1);
	}
}

static inline void acl_rand_probe(struct acl_rand *r, const struct acl_shape *s,
    const struct ob_acl_group_cfg *g, const struct ob_acl_tag_cfg *tags, struct acl_probe *out)
{
	static const struct ob_acl_rule none;
	static const uint8_t protos[8] = {6, 17, 1, 58, 132, 47, 33, 0};
	const struct ob_acl_rule *a = g->n_rules > 0 ? &g->rules[acl_below(r, g->n_rules)] : &none;
	uint8_t proto = protos[acl_below(r, 8)];

	/* Mostly a protocol that the rule names. */
	for (unsigned i = 0; i < 8; i++)
		if (a->protos[protos[i] / 64] >> protos[i] % 64 & 1 && acl_below(r, 3) > 0)
			proto = protos[i];
	acl_probe_addr(r, s, a->src, a->n_src, a->src_tags, a->n_src_tags, tags, out->src);
	acl_probe_addr(r, s, a->dst, a->n_dst, a->dst_tags, a->n_dst_tags, tags, out->dst);
	out->p = (struct ob_acl_pkt){.family = s->family,
	    .proto = proto,
	    .sport = acl_probe_port(r, a->sports, a->n_sports),
	    .dport = a->n_icmp > 0 ? acl_probe_port(r, a->icmp, a->n_icmp)
				   : acl_probe_port(r, a->dports, a->n_dports),
	    .src = out->src,
	    .dst = out->dst};
}
