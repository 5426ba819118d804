/* SPDX-License-Identifier: BSD-3-Clause */
#include "rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left of the body. */
struct cursor {
	const uint8_t *at;
	size_t left;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->at;

	if (n > c->left)
		return NULL;
	c->at += n;
	c->left -= n;
	return p;
}

/* A rule as it came: the lists are bytes that may lie at any address. */
struct wire {
	struct ob_bus_rule r;
	const uint8_t *ips[2], *tags[2], *ports[2]; /* source, destination */
	unsigned n_ips[2], n_tags[2], n_ports[2];
	bool icmp; /* ICMP of one family alone: 'ports[1]' are types */
};

static int take_rule(struct cursor *c, struct wire *w, struct text *t)
{
	const uint8_t *head = take(c, sizeof(w->r));

	if (head == NULL)
		return fail(t, -EINVAL, "the body ends within a rule");
	memcpy(&w->r, head, sizeof(w->r));
	w->n_ips[0] = w->r.n_src;
	w->n_ips[1] = w->r.n_dst;
	w->n_tags[0] = w->r.n_src_tags;
	w->n_tags[1] = w->r.n_dst_tags;
	w->n_ports[0] = w->r.n_sports;
	w->n_ports[1] = w->r.n_dports;
	for (unsigned s = 0; s < 2; s++)
		w->ips[s] = take(c, w->n_ips[s] * sizeof(struct ob_bus_ip));
	for (unsigned s = 0; s < 2; s++)
		w->tags[s] = take(c, (size_t)w->n_tags[s] * OB_BUS_NAME);
	for (unsigned s = 0; s < 2; s++)
		w->ports[s] = take(c, w->n_ports[s] * sizeof(struct ob_bus_ports));
	for (unsigned s = 0; s < 2; s++) {
		if (w->ips[s] == NULL || w->tags[s] == NULL || w->ports[s] == NULL)
			return fail(
			    t, -EINVAL, "rule %u: the body ends within its lists", w->r.priority);
	}
	return 0;
}

static int check_head(struct wire *w, struct text *t)
{
	const struct ob_bus_rule *r = &w->r;
	bool ported = r->n_protos > 0;

	if (r->action < OB_BUS_PERMIT || r->action > OB_BUS_DENY_CONTINUE)
		return fail(
		    t, -EINVAL, "rule %u: action %u is none of 1 to 4", r->priority, r->action);
	if (r->n_protos > OB_BUS_RULE_PROTOS)
		return fail(t, -EINVAL, "rule %u: %u protocols; a rule has at most %d", r->priority,
		    r->n_protos, OB_BUS_RULE_PROTOS);
	if (r->reserved != 0)
		return fail(t, -EINVAL, "rule %u: reserved bytes are not zero", r->priority);
	for (unsigned i = 0; i < r->n_protos; i++)
		ported &= r->proto[i] == IPPROTO_TCP || r->proto[i] == IPPROTO_UDP ||
			  r->proto[i] == IPPROTO_SCTP;
	w->icmp =
	    r->n_protos == 1 && (r->proto[0] == IPPROTO_ICMP || r->proto[0] == IPPROTO_ICMPV6);
	if ((r->n_sports > 0 && !ported) || (r->n_dports > 0 && !ported && !w->icmp))
		return fail(t, -EINVAL,
		    "rule %u: ports go with tcp, udp and sctp only; name the protocols or leave "
		    "the ports out",
		    r->priority);
	return 0;
}

/* Appends the addresses of side 's' that are of family 'f' to the prefixes. */
static int read_ips(
    const struct wire *w, unsigned s, unsigned f, struct ob_acl_prefix **to, struct text *t)
{
	for (unsigned i = 0; i < w->n_ips[s]; i++) {
		struct ob_acl_prefix *p = *to;
		struct ob_bus_ip in;
		struct text why;
		struct ob_ip ip;
		int rc;

		memcpy(&in, w->ips[s] + i * sizeof(in), sizeof(in));
		memset(p, 0, sizeof(*p));
		rc = check_ip(&why, s ? "to" : "from", &in, IP_PREFIX, &ip, &p->len);
		if (rc < 0)
			return fail(t, rc, "rule %u: %.200s", w->r.priority, why.s);
		if ((ip.family == AF_INET6) != f)
			continue;
		memcpy(p->b, ip.b, sizeof(p->b));
		(*to)++;
	}
	return 0;
}

static int read_tags(const struct wire *w, unsigned s, unsigned f, const struct names *tags,
    uint16_t **to, struct text *t)
{
	for (unsigned i = 0; i < w->n_tags[s]; i++) {
		char name[OB_BUS_NAME];
		uint32_t idx;

		memcpy(name, w->tags[s] + (size_t)i * OB_BUS_NAME, OB_BUS_NAME);
		if (!check_name(name))
			return fail(t, -EINVAL,
			    "rule %u: a tag's name has 1 to %d characters of A-Z "
			    "a-z 0-9 . _ -",
			    w->r.priority, OB_BUS_NAME - 1);
		idx = names_find(tags, name);
		if (idx == NAMES_NONE)
			return fail(t, -ENOENT,
			    "rule %u: there is no tag %s; add it first ('obctl tag add %s')",
			    w->r.priority, name, name);
		*(*to)++ = (uint16_t)PER_FAMILY(idx, f);
	}
	return 0;
}

static int read_ports(const struct wire *w, unsigned s, struct ob_acl_range **to, struct text *t)
{
	for (unsigned i = 0; i < w->n_ports[s]; i++) {
		struct ob_bus_ports p;

		memcpy(&p, w->ports[s] + i * sizeof(p), sizeof(p));
		if (p.last < p.first)
			return fail(t, -EINVAL, "rule %u: the range %u-%u ends before it begins",
			    w->r.priority, p.first, p.last);
		*(*to)++ = (struct ob_acl_range){p.first, p.last};
	}
	return 0;
}

/* Where the next list goes. */
struct room {
	struct ob_acl_prefix *prefix;
	uint16_t *tag;
	struct ob_acl_range *range;
};

static int read_side(const struct wire *w, unsigned s, unsigned f, const struct names *tags,
    struct room *at, struct ob_acl_rule *out, struct text *t)
{
	const struct ob_acl_prefix *prefix = at->prefix;
	const uint16_t *tag = at->tag;
	int rc;

	if ((rc = read_ips(w, s, f, &at->prefix, t)) < 0 ||
	    (rc = read_tags(w, s, f, tags, &at->tag, t)) < 0)
		return rc;
	if (s == 0) {
		out->src = prefix;
		out->n_src = (uint32_t)(at->prefix - prefix);
		out->src_tags = tag;
		out->n_src_tags = (uint32_t)(at->tag - tag);
	} else {
		out->dst = prefix;
		out->n_dst = (uint32_t)(at->prefix - prefix);
		out->dst_tags = tag;
		out->n_dst_tags = (uint32_t)(at->tag - tag);
	}
	return 0;
}

static int read_ranges(
    const struct wire *w, struct room *at, struct ob_acl_rule *out, struct text *t)
{
	int rc;

	out->sports = at->range;
	out->n_sports = w->n_ports[0];
	if ((rc = read_ports(w, 0, &at->range, t)) < 0)
		return rc;
	if (w->icmp) {
		out->icmp = at->range;
		out->n_icmp = w->n_ports[1];
	} else {
		out->dports = at->range;
		out->n_dports = w->n_ports[1];
	}
	return read_ports(w, 1, &at->range, t);
}

/* What 'w' is for family 'f'. Returns 1; 0 it can match nothing there; -errno. */
static int read_for(const struct wire *w, unsigned f, const struct names *tags, struct room *at,
    struct ob_acl_rule *out, struct text *t)
{
	uint8_t others_icmp = f ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	unsigned n_protos = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	out->priority = w->r.priority;
	out->action = w->r.action == OB_BUS_PERMIT || w->r.action == OB_BUS_PERMIT_CONTINUE
			  ? OB_ACL_PERMIT
			  : OB_ACL_DENY;
	out->terminate = w->r.action == OB_BUS_PERMIT || w->r.action == OB_BUS_DENY;
	for (unsigned i = 0; i < w->r.n_protos; i++) {
		uint8_t p = w->r.proto[i];

		if (p == others_icmp)
			continue;
		out->protos[p / 64] |= 1ull << p % 64;
		n_protos++;
	}
	if ((rc = read_side(w, 0, f, tags, at, out, t)) < 0 ||
	    (rc = read_side(w, 1, f, tags, at, out, t)) < 0 ||
	    (rc = read_ranges(w, at, out, t)) < 0)
		return rc;
	if (w->r.n_protos > 0 && n_protos == 0)
		return 0;
	if (w->n_ips[0] + w->n_tags[0] > 0 && out->n_src + out->n_src_tags == 0)
		return 0;
	return w->n_ips[1] + w->n_tags[1] == 0 || out->n_dst + out->n_dst_tags > 0;
}

void rules_free(struct rules *r)
{
	free(r->rule[0]);
	free(r->rule[1]);
	free(r->prefix);
	free(r->tag);
	free(r->range);
	memset(r, 0, sizeof(*r));
}

static int make_room(struct rules *r, size_t len, uint32_t n)
{
	/* No list can have more members than fit into the body; a range is written once per family, a tag too. */
	memset(r, 0, sizeof(*r));
	r->rule[0] = calloc(n + 1, sizeof(*r->rule[0]));
	r->rule[1] = calloc(n + 1, sizeof(*r->rule[1]));
	r->prefix = calloc(len / sizeof(struct ob_bus_ip) + 1, sizeof(*r->prefix));
	r->tag = calloc(2 * (len / OB_BUS_NAME) + 1, sizeof(*r->tag));
	r->range = calloc(2 * (len / sizeof(struct ob_bus_ports)) + 1, sizeof(*r->range));
	return r->rule[0] && r->rule[1] && r->prefix && r->tag && r->range ? 0 : -ENOMEM;
}

int rules_read(const uint8_t *body, size_t len, uint32_t n, const struct names *tags,
    struct rules *out, struct text *t)
{
	struct cursor c = {body, len};
	struct room at;

	memset(out, 0, sizeof(*out));
	if (n > OB_ACL_MAX_RULES)
		return fail(
		    t, -EINVAL, "%u rules; a security group has at most %d", n, OB_ACL_MAX_RULES);
	if (make_room(out, len, n) < 0)
		return fail(t, -ENOMEM, "no memory for %u rules", n);
	at = (struct room){out->prefix, out->tag, out->range};
	for (unsigned f = 0; f < 2; f++) {
		out->cfg[f].family = f ? AF_INET6 : AF_INET;
		out->cfg[f].rules = out->rule[f];
	}
	for (uint32_t i = 0; i < n; i++) {
		struct wire w;
		int rc, used = 0;

		if ((rc = take_rule(&c, &w, t)) < 0 || (rc = check_head(&w, t)) < 0)
			return rc;
		for (unsigned f = 0; f < 2; f++) {
			rc = read_for(&w, f, tags, &at, &out->rule[f][out->cfg[f].n_rules], t);
			if (rc < 0)
				return rc;
			out->cfg[f].n_rules += (uint32_t)rc;
			used += rc;
		}
		if (used == 0)
			return fail(t, -EINVAL,
			    "rule %u: no packet can match it: sources, destinations and ICMP are "
			    "of "
			    "different IP versions",
			    w.r.priority);
	}
	return c.left == 0 ? 0 : fail(t, -EINVAL, "the body is longer than its %u rules", n);
}

/* ---- the way back ---- */

/* Bytes that grow. */
struct out {
	uint8_t *bytes;
	size_t len, cap;
	int error;
};

static void put(struct out *o, const void *p, size_t n)
{
	if (o->error == 0 && o->len + n > o->cap) {
		size_t cap = 2 * (o->len + n);
		uint8_t *b = realloc(o->bytes, cap);

		if (b == NULL)
			o->error = -ENOMEM;
		else {
			o->bytes = b;
			o->cap = cap;
		}
	}
	if (o->error < 0)
		return;
	if (n > 0)
		memcpy(o->bytes + o->len, p, n);
	o->len += n;
}

static void put_prefixes(struct out *o, uint8_t family, const struct ob_acl_prefix *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct ob_bus_ip ip = {.family = family, .prefix_len = p[i].len};

		memcpy(ip.b, p[i].b, family == 4 ? 4 : 16);
		put(o, &ip, sizeof(ip));
	}
}

static void put_tags(struct out *o, const struct names *tags, const uint16_t *idx, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *name = names_get(tags, idx[i] / 2u);
		char text[OB_BUS_NAME] = "";

		strncpy(text, name ? name : "", OB_BUS_NAME - 1);
		put(o, text, sizeof(text));
	}
}

static void put_ranges(struct out *o, const struct ob_acl_range *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct ob_bus_ports p = {r[i].lo, r[i].hi};

		put(o, &p, sizeof(p));
	}
}

static uint16_t n16(uint32_t a, uint32_t b)
{
	return a + b > UINT16_MAX ? UINT16_MAX : (uint16_t)(a + b);
}

/* One rule of the operator: what it is for IPv4 ('a') and IPv6 ('b'); either may be NULL. */
static void put_rule(struct out *o, const struct names *tags, const struct ob_acl_rule *a,
    const struct ob_acl_rule *b)
{
	static const struct ob_acl_rule none;
	const struct ob_acl_rule *any = a ? a : b, *r4 = a ? a : &none, *r6 = b ? b : &none;
	uint32_t n_dports = any->n_icmp ? any->n_icmp : any->n_dports;
	struct ob_bus_rule r = {.priority = any->priority,
	    .n_src = n16(r4->n_src, r6->n_src),
	    .n_dst = n16(r4->n_dst, r6->n_dst),
	    /* Tags stand in both families alike. */
	    .n_src_tags = (uint16_t)any->n_src_tags,
	    .n_dst_tags = (uint16_t)any->n_dst_tags,
	    .n_sports = (uint16_t)any->n_sports,
	    .n_dports = (uint16_t)n_dports};

	if (any->action == OB_ACL_PERMIT)
		r.action = any->terminate ? OB_BUS_PERMIT : OB_BUS_PERMIT_CONTINUE;
	else
		r.action = any->terminate ? OB_BUS_DENY : OB_BUS_DENY_CONTINUE;
	for (unsigned p = 0; p < 256; p++) {
		if (((r4->protos[p / 64] | r6->protos[p / 64]) >> p % 64 & 1) &&
		    r.n_protos < OB_BUS_RULE_PROTOS)
			r.proto[r.n_protos++] = (uint8_t)p;
	}
	put(o, &r, sizeof(r));
	put_prefixes(o, 4, r4->src, r4->n_src);
	put_prefixes(o, 6, r6->src, r.n_src - r4->n_src);
	put_prefixes(o, 4, r4->dst, r4->n_dst);
	put_prefixes(o, 6, r6->dst, r.n_dst - r4->n_dst);
	put_tags(o, tags, any->src_tags, r.n_src_tags);
	put_tags(o, tags, any->dst_tags, r.n_dst_tags);
	put_ranges(o, any->sports, r.n_sports);
	put_ranges(o, any->n_icmp ? any->icmp : any->dports, r.n_dports);
}

int rules_write(const struct ob_acl_group_cfg *const cfg[2], const struct names *tags,
    uint8_t **out, size_t *len)
{
	struct out o = {0};
	uint32_t i = 0, j = 0;
	int n = 0;

	while (i < cfg[0]->n_rules || j < cfg[1]->n_rules) {
		const struct ob_acl_rule *a = i < cfg[0]->n_rules ? &cfg[0]->rules[i] : NULL;
		const struct ob_acl_rule *b = j < cfg[1]->n_rules ? &cfg[1]->rules[j] : NULL;

		if (a != NULL && b != NULL && a->priority != b->priority) {
			if (a->priority < b->priority)
				b = NULL;
			else
				a = NULL;
		}
		put_rule(&o, tags, a, b);
		i += a != NULL;
		j += b != NULL;
		n++;
	}
	if (o.error < 0) {
		free(o.bytes);
		return o.error;
	}
	*out = o.bytes;
	*len = o.len;
	return n;
}

/* ---- tags ---- */

int prefixes_read(const uint8_t *body, size_t len, uint32_t n, struct ob_acl_prefix **prefix,
    uint32_t *n4, struct text *t)
{
	struct ob_acl_prefix *to;

	*prefix = NULL;
	*n4 = 0;
	if (len / sizeof(struct ob_bus_ip) != n || len % sizeof(struct ob_bus_ip) != 0)
		return fail(t, -EINVAL, "%u prefixes are not %zu bytes", n, len);
	*prefix = to = calloc(n + 1, sizeof(*to));
	if (to == NULL)
		return fail(t, -ENOMEM, "no memory for %u prefixes", n);
	for (unsigned f = 0; f < 2; f++) {
		for (uint32_t i = 0; i < n; i++) {
			struct ob_bus_ip in;
			struct ob_ip ip;
			int rc;

			memcpy(&in, body + i * sizeof(in), sizeof(in));
			rc = check_ip(t, "prefix", &in, IP_PREFIX, &ip, &to->len);
			if (rc < 0)
				return rc;
			if ((ip.family == AF_INET6) != f)
				continue;
			memcpy(to->b, ip.b, sizeof(to->b));
			to++;
		}
		if (f == 0)
			*n4 = (uint32_t)(to - *prefix);
	}
	return 0;
}

int prefixes_write(const struct ob_acl_tag_cfg *const cfg[2], uint8_t **out, size_t *len)
{
	struct out o = {0};

	put_prefixes(&o, 4, cfg[0]->prefixes, cfg[0]->n_prefixes);
	put_prefixes(&o, 6, cfg[1]->prefixes, cfg[1]->n_prefixes);
	if (o.error < 0) {
		free(o.bytes);
		return o.error;
	}
	*out = o.bytes;
	*len = o.len;
	return 0;
}
