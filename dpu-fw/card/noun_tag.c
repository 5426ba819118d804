/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Both families, or none. */
static int set_both(
    uint32_t idx, const struct ob_acl_prefix *prefix, uint32_t n4, uint32_t n, struct text *t)
{
	const struct ob_acl_tag_cfg cfg[2] = {
	    {.family = AF_INET, .n_prefixes = n4, .prefixes = prefix},
	    {.family = AF_INET6, .n_prefixes = n - n4, .prefixes = prefix + n4}};
	struct ob_acl_tag_cfg *old = NULL;
	int rc = ob_acl_tag_get(PER_FAMILY(idx, 0), &old);

	if (rc < 0 && rc != -ENOENT && rc != -EPROTO)
		return rc;
	rc = ob_acl_tag_set(PER_FAMILY(idx, 0), &cfg[0], t->s, sizeof(t->s));
	if (rc == 0) {
		rc = ob_acl_tag_set(PER_FAMILY(idx, 1), &cfg[1], t->s, sizeof(t->s));
		if (rc < 0 && old != NULL)
			ob_acl_tag_set(PER_FAMILY(idx, 0), old, NULL, 0);
		else if (rc < 0)
			ob_acl_tag_del(PER_FAMILY(idx, 0), NULL, 0);
	}
	free(old);
	return rc;
}

/* 'idx': NAMES_NONE for a new one. */
static int store(struct ob_card *c, const struct ob_bus_tag *r, uint32_t idx, struct text *t)
{
	struct ob_acl_prefix *prefix = NULL;
	const uint8_t *body = NULL;
	bool fresh = idx == NAMES_NONE;
	uint32_t n4;
	int rc;

	if (r->is.body_len > 0) {
		body = upload_body(c->upload, r->is.body_len, t);
		if (body == NULL)
			return -EINVAL;
	}
	rc = prefixes_read(body, r->is.body_len, r->is.n_items, &prefix, &n4, t);
	upload_drop(c->upload);
	if (rc == 0 && fresh)
		rc = take_name(t, &c->tags, "tag", r->is.name, &idx);
	if (rc == 0) {
		rc = set_both(idx, prefix, n4, r->is.n_items, t);
		if (rc < 0 && fresh)
			names_del(&c->tags, idx);
		if (rc == 0) {
			c->tag_meta[idx].n_items = r->is.n_items;
			c->tag_meta[idx].n_ip4 = n4;
			c->tag_meta[idx].generation++;
		}
	}
	free(prefix);
	return rc;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, NAMES_NONE, t);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_tag *r = rec;
	uint32_t idx;
	int rc = lookup(t, &c->tags, "tag", "name", r->is.name, &idx);

	return rc < 0 ? rc : store(c, r, idx, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_tag *r = rec;
	struct ob_acl_tag_cfg *old = NULL;
	uint32_t idx;
	int rc = lookup(t, &c->tags, "tag", "name", r->is.name, &idx);

	if (rc < 0)
		return rc;
	(void)ob_acl_tag_get(PER_FAMILY(idx, 0), &old);
	rc = ob_acl_tag_del(PER_FAMILY(idx, 0), t->s, sizeof(t->s));
	if (rc == 0 || rc == -ENOENT) {
		rc = ob_acl_tag_del(PER_FAMILY(idx, 1), t->s, sizeof(t->s));
		if (rc == -EBUSY && old != NULL)
			ob_acl_tag_set(PER_FAMILY(idx, 0), old, NULL, 0);
	}
	free(old);
	if (rc == -EBUSY)
		return fail(t, rc,
		    "tag %s is named in the rules of a security group; change those "
		    "first ('obctl sg show NAME')",
		    r->is.name);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	names_del(&c->tags, idx);
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->tags, "tag", ((const struct ob_bus_tag *)f)->is.name);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_tag *want = f;
	uint32_t i = names_next(&c->tags, (uint32_t)*cursor);
	struct ob_bus_tag *r = rec;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->is.name[0] && strcmp(want->is.name, names_get(&c->tags, i)) != 0)
		return -EAGAIN;
	strcpy(r->is.name, names_get(&c->tags, i));
	r->is.n_items = c->tag_meta[i].n_items;
	r->n_ip4 = c->tag_meta[i].n_ip4;
	r->generation = c->tag_meta[i].generation;
	return 0;
}

const struct noun noun_tag = {.name = "tag",
    .record_len = sizeof(struct ob_bus_tag),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
