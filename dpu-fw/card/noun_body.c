/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int write_sg(struct ob_card *c, uint32_t idx, uint8_t **out, size_t *len)
{
	struct ob_acl_group_cfg *cfg[2] = {0};
	int rc = ob_acl_group_get(PER_FAMILY(idx, 0), &cfg[0]);

	if (rc == 0)
		rc = ob_acl_group_get(PER_FAMILY(idx, 1), &cfg[1]);
	if (rc == 0)
		rc = rules_write((const struct ob_acl_group_cfg *const *)cfg, &c->tags, out, len);
	free(cfg[0]);
	free(cfg[1]);
	return rc < 0 ? rc : 0;
}

static int write_tag(uint32_t idx, uint8_t **out, size_t *len)
{
	struct ob_acl_tag_cfg *cfg[2] = {0};
	int rc = ob_acl_tag_get(PER_FAMILY(idx, 0), &cfg[0]);

	if (rc == 0)
		rc = ob_acl_tag_get(PER_FAMILY(idx, 1), &cfg[1]);
	if (rc == 0)
		rc = prefixes_write((const struct ob_acl_tag_cfg *const *)cfg, out, len);
	free(cfg[0]);
	free(cfg[1]);
	return rc;
}

/* The whole body is made once, not for each piece of it. */
static int make(struct ob_card *c, uint8_t noun, uint32_t idx, uint32_t generation)
{
	struct body_cache *b = &c->body;
	uint8_t *bytes = NULL;
	size_t len = 0;
	int rc;

	if (b->valid && b->noun == noun && b->idx == idx && b->generation == generation)
		return 0;
	rc = noun == OB_BUS_SG ? write_sg(c, idx, &bytes, &len) : write_tag(idx, &bytes, &len);
	if (rc < 0)
		return rc;
	free(b->bytes);
	*b = (struct body_cache){true, noun, idx, generation, bytes, len};
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_body *r = f;
	uint32_t idx;
	int rc;

	if (r->noun == OB_BUS_SG)
		rc = lookup(t, &c->sgs, "sg", "name", r->name, &idx);
	else if (r->noun == OB_BUS_TAG)
		rc = lookup(t, &c->tags, "tag", "name", r->name, &idx);
	else
		return fail(t, -EINVAL, "objects of kind %u hold no list", r->noun);
	if (rc < 0)
		return rc;
	rc = make(c, r->noun, idx,
	    r->noun == OB_BUS_SG ? c->sg_meta[idx].generation : c->tag_meta[idx].generation);
	return rc == -EPROTO || rc == -ENOENT
		   ? fail(t, -EIO, "what the card remembers of %s is damaged; set it anew", r->name)
		   : rc;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_body *want = f;
	struct ob_bus_body *r = rec;
	bool sg = want->noun == OB_BUS_SG;
	uint32_t idx = names_find(sg ? &c->sgs : &c->tags, want->name);
	size_t left;

	if (idx == NAMES_NONE)
		return -ENOENT;
	r->generation = sg ? c->sg_meta[idx].generation : c->tag_meta[idx].generation;
	if (make(c, want->noun, idx, r->generation) < 0 || *cursor >= c->body.len)
		return -ENOENT;
	left = c->body.len - *cursor;
	strcpy(r->name, want->name);
	r->noun = want->noun;
	r->total = (uint32_t)c->body.len;
	r->offset = (uint32_t)*cursor;
	r->len = left < sizeof(r->data) ? (uint32_t)left : (uint32_t)sizeof(r->data);
	memcpy(r->data, c->body.bytes + *cursor, r->len);
	*cursor += r->len;
	return 0;
}

const struct noun noun_body = {
    .name = "body", .record_len = sizeof(struct ob_bus_body), .filter = filter, .next = next};
