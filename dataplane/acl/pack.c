/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups and tags as one piece of bytes, for the arena: fixed-width integers of the machine's byte order. */
#include "acl_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A rule without its lists; they follow all rules, in the order of the counts. */
struct packed_rule {
	uint32_t priority;
	uint8_t action, terminate;
	uint16_t reserved;
	uint64_t protos[4];
	uint32_t n_src, n_dst, n_src_tags, n_dst_tags, n_sports, n_dports, n_icmp;
	uint32_t reserved2;
};
static_assert(sizeof(struct packed_rule) == 72, "arena layout");

struct packed_head {
	uint32_t family, n;
};
static_assert(sizeof(struct packed_head) == 8, "arena layout");
static_assert(
    sizeof(struct ob_acl_prefix) == 20 && sizeof(struct ob_acl_range) == 4, "arena layout");

struct writer {
	uint8_t *at;
};

/* Lists of 16-bit numbers are filled up to whole words, so that everything stays aligned. */
static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static void put(struct writer *w, const void *p, size_t len)
{
	if (len > 0)
		memcpy(w->at, p, len);
	w->at += padded(len);
}

static size_t lists_len(const struct packed_rule *r)
{
	return ((size_t)r->n_src + r->n_dst) * sizeof(struct ob_acl_prefix) +
	       padded((size_t)r->n_src_tags * 2) + padded((size_t)r->n_dst_tags * 2) +
	       ((size_t)r->n_sports + r->n_dports + r->n_icmp) * sizeof(struct ob_acl_range);
}

static struct packed_rule pack_rule(const struct ob_acl_rule *r)
{
	struct packed_rule p = {.priority = r->priority,
	    .action = r->action,
	    .terminate = r->terminate,
	    .n_src = r->n_src,
	    .n_dst = r->n_dst,
	    .n_src_tags = r->n_src_tags,
	    .n_dst_tags = r->n_dst_tags,
	    .n_sports = r->n_sports,
	    .n_dports = r->n_dports,
	    .n_icmp = r->n_icmp};

	memcpy(p.protos, r->protos, sizeof(p.protos));
	return p;
}

static int by_priority(const void *x, const void *y)
{
	const struct ob_acl_rule *const *a = x, *const *b = y;

	return (*a)->priority < (*b)->priority ? -1 : (*a)->priority > (*b)->priority;
}

int acl_pack_group(const struct ob_acl_group_cfg *cfg, void **out, size_t *len)
{
	const struct ob_acl_rule **order = malloc((cfg->n_rules + 1) * sizeof(*order));
	struct packed_head head = {cfg->family, cfg->n_rules};
	size_t n = sizeof(head);
	struct writer w;

	if (order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < cfg->n_rules; i++) {
		struct packed_rule p = pack_rule(&cfg->rules[i]);

		order[i] = &cfg->rules[i];
		n += sizeof(p) + lists_len(&p);
	}
	qsort(order, cfg->n_rules, sizeof(*order), by_priority);
	*out = calloc(1, n);
	*len = n;
	w.at = *out;
	if (w.at == NULL) {
		free(order);
		return -ENOMEM;
	}
	put(&w, &head, sizeof(head));
	for (uint32_t i = 0; i < cfg->n_rules; i++) {
		struct packed_rule p = pack_rule(order[i]);

		put(&w, &p, sizeof(p));
	}
	for (uint32_t i = 0; i < cfg->n_rules; i++) {
		const struct ob_acl_rule *r = order[i];

		put(&w, r->src, (size_t)r->n_src * sizeof(*r->src));
		put(&w, r->dst, (size_t)r->n_dst * sizeof(*r->dst));
		put(&w, r->src_tags, (size_t)r->n_src_tags * 2);
		put(&w, r->dst_tags, (size_t)r->n_dst_tags * 2);
		put(&w, r->sports, (size_t)r->n_sports * sizeof(*r->sports));
		put(&w, r->dports, (size_t)r->n_dports * sizeof(*r->dports));
		put(&w, r->icmp, (size_t)r->n_icmp * sizeof(*r->icmp));
	}
	free(order);
	return 0;
}

struct reader {
	const uint8_t *at;
	size_t left;
};

/* The next 'n' items where they lie, or NULL past the end. */
static const void *get(struct reader *r, uint32_t n, size_t size)
{
	size_t len = padded((size_t)n * size);
	const void *p = r->at;

	if (len > r->left)
		return NULL;
	r->at += len;
	r->left -= len;
	return p;
}

static bool unpack_rule(struct reader *in, const struct packed_rule *p, struct ob_acl_rule *r)
{
	*r = (struct ob_acl_rule){.priority = p->priority,
	    .action = p->action,
	    .terminate = p->terminate,
	    .n_src = p->n_src,
	    .n_dst = p->n_dst,
	    .n_src_tags = p->n_src_tags,
	    .n_dst_tags = p->n_dst_tags,
	    .n_sports = p->n_sports,
	    .n_dports = p->n_dports,
	    .n_icmp = p->n_icmp};
	memcpy(r->protos, p->protos, sizeof(r->protos));
	r->src = get(in, r->n_src, sizeof(*r->src));
	r->dst = get(in, r->n_dst, sizeof(*r->dst));
	r->src_tags = get(in, r->n_src_tags, 2);
	r->dst_tags = get(in, r->n_dst_tags, 2);
	r->sports = get(in, r->n_sports, sizeof(*r->sports));
	r->dports = get(in, r->n_dports, sizeof(*r->dports));
	r->icmp = get(in, r->n_icmp, sizeof(*r->icmp));
	/* Once past the end, a longer list after it could fit again by its padding only if it is empty. */
	return r->src && r->dst && r->src_tags && r->dst_tags && r->sports && r->dports && r->icmp;
}

int acl_unpack_group(const void *bytes, size_t len, struct ob_acl_group_cfg **out)
{
	const struct packed_rule *packed;
	struct ob_acl_group_cfg *cfg;
	struct ob_acl_rule *rules;
	struct packed_head head;
	struct reader in;
	size_t fixed;
	uint8_t *raw;

	if (len < sizeof(head))
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	if (head.n > OB_ACL_MAX_RULES)
		return -EPROTO;
	fixed = sizeof(*cfg) + head.n * sizeof(*rules);
	cfg = malloc(fixed + len);
	if (cfg == NULL)
		return -ENOMEM;
	rules = (struct ob_acl_rule *)(cfg + 1);
	raw = (uint8_t *)cfg + fixed;
	memcpy(raw, bytes, len);
	*cfg = (struct ob_acl_group_cfg){
	    .family = (uint8_t)head.family, .n_rules = head.n, .rules = rules};
	in = (struct reader){raw + sizeof(head), len - sizeof(head)};
	packed = get(&in, head.n, sizeof(*packed));
	for (uint32_t i = 0; packed != NULL && i < head.n; i++)
		if (!unpack_rule(&in, &packed[i], &rules[i]))
			packed = NULL;
	if (packed == NULL || in.left != 0 || head.family > UINT8_MAX) {
		free(cfg);
		return -EPROTO;
	}
	*out = cfg;
	return 0;
}

int acl_pack_tag(const struct ob_acl_tag_cfg *cfg, void **out, size_t *len)
{
	struct packed_head head = {cfg->family, cfg->n_prefixes};
	struct writer w;

	*len = sizeof(head) + (size_t)cfg->n_prefixes * sizeof(*cfg->prefixes);
	*out = calloc(1, *len);
	w.at = *out;
	if (w.at == NULL)
		return -ENOMEM;
	put(&w, &head, sizeof(head));
	put(&w, cfg->prefixes, (size_t)cfg->n_prefixes * sizeof(*cfg->prefixes));
	return 0;
}

int acl_unpack_tag(const void *bytes, size_t len, struct ob_acl_tag_cfg **out)
{
	struct ob_acl_tag_cfg *cfg;
	struct packed_head head;

	if (len < sizeof(head))
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	if (head.family > UINT8_MAX ||
	    len - sizeof(head) != (uint64_t)head.n * sizeof(struct ob_acl_prefix))
		return -EPROTO;
	cfg = malloc(sizeof(*cfg) + len);
	if (cfg == NULL)
		return -ENOMEM;
	memcpy(cfg + 1, bytes, len);
	*cfg = (struct ob_acl_tag_cfg){.family = (uint8_t)head.family,
	    .n_prefixes = head.n,
	    .prefixes = (const struct ob_acl_prefix *)((const uint8_t *)(cfg + 1) + sizeof(head))};
	*out = cfg;
	return 0;
}
