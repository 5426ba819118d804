/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The rules that the record announces. */
static int read_body(
    struct ob_card *c, const struct ob_bus_sg *r, struct rules *rules, struct text *t)
{
	const uint8_t *body = NULL;
	int rc;

	memset(rules, 0, sizeof(*rules));
	if (r->is.body_len > 0) {
		body = upload_body(c->upload, r->is.body_len, t);
		if (body == NULL)
			return -EINVAL;
	}
	rc = rules_read(body, r->is.body_len, r->is.n_items, &c->tags, rules, t);
	upload_drop(c->upload);
	return rc;
}

/* Both families change, or none does: what may be refused is tried beside first. */
static int set_both(uint32_t idx, const struct rules *rules, struct text *t)
{
	struct ob_acl_group_cfg *old = NULL;
	int rc;

	rc = ob_acl_group_set(SCRATCH_GROUP, &rules->cfg[1], t->s, sizeof(t->s));
	if (rc < 0)
		return rc;
	ob_acl_group_del(SCRATCH_GROUP, NULL, 0);
	rc = ob_acl_group_get(PER_FAMILY(idx, 0), &old);
	if (rc < 0 && rc != -ENOENT && rc != -EPROTO)
		return rc;
	rc = ob_acl_group_set(PER_FAMILY(idx, 0), &rules->cfg[0], t->s, sizeof(t->s));
	if (rc == 0) {
		rc = ob_acl_group_set(PER_FAMILY(idx, 1), &rules->cfg[1], t->s, sizeof(t->s));
		/* Memory ran out between the two. */
		if (rc < 0 && old != NULL)
			ob_acl_group_set(PER_FAMILY(idx, 0), old, NULL, 0);
		else if (rc < 0)
			ob_acl_group_del(PER_FAMILY(idx, 0), NULL, 0);
	}
	free(old);
	return rc;
}

static int store(
    struct ob_card *c, uint32_t idx, const struct rules *rules, uint32_t n_rules, struct text *t)
{
	int rc = set_both(idx, rules, t);

	if (rc < 0)
		return rc;
	c->sg_meta[idx].n_items = n_rules;
	c->sg_meta[idx].generation++;
	return 0;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_sg *r = rec;
	struct rules rules;
	uint32_t idx;
	int rc = read_body(c, r, &rules, t);

	if (rc == 0 && (rc = take_name(t, &c->sgs, "sg", r->is.name, &idx)) == 0) {
		rc = store(c, idx, &rules, r->is.n_items, t);
		if (rc < 0)
			names_del(&c->sgs, idx);
	}
	rules_free(&rules);
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_sg *r = rec;
	struct rules rules;
	uint32_t idx;
	int rc = read_body(c, r, &rules, t);

	if (rc == 0 && (rc = lookup(t, &c->sgs, "sg", "name", r->is.name, &idx)) == 0)
		rc = store(c, idx, &rules, r->is.n_items, t);
	rules_free(&rules);
	return rc;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_sg *r = rec;
	uint32_t idx, eni;
	int rc = lookup(t, &c->sgs, "sg", "name", r->is.name, &idx);

	if (rc < 0)
		return rc;
	eni = card_eni_of_sg(c, idx);
	if (eni != NAMES_NONE)
		return fail(t, -EBUSY, "sg %s is bound to eni %s; see 'obctl binding list %s'",
		    r->is.name, names_get(&c->enis, eni), names_get(&c->enis, eni));
	for (unsigned f = 0; f < 2; f++) {
		rc = ob_acl_group_del(PER_FAMILY(idx, f), t->s, sizeof(t->s));
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	names_del(&c->sgs, idx);
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->sgs, "sg", ((const struct ob_bus_sg *)f)->is.name);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_sg *want = f;
	uint32_t i = names_next(&c->sgs, (uint32_t)*cursor);
	struct ob_acl_group_info info;
	struct ob_bus_sg *r = rec;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->is.name[0] && strcmp(want->is.name, names_get(&c->sgs, i)) != 0)
		return -EAGAIN;
	strcpy(r->is.name, names_get(&c->sgs, i));
	r->is.n_items = c->sg_meta[i].n_items;
	r->generation = c->sg_meta[i].generation;
	r->state = 1;
	for (unsigned k = 0; k < 2; k++) {
		if (ob_acl_group_info(PER_FAMILY(i, k), &info) < 0) {
			r->state = 2;
			continue;
		}
		if (info.broken)
			r->state = 2;
		r->n_prefixes += info.n_prefixes;
		r->n_bindings = info.n_bindings; /* a binding is of both */
		r->compile_us += info.compile_us;
		r->compiled_bytes += info.compiled_bytes;
	}
	return 0;
}

const struct noun noun_sg = {.name = "sg",
    .record_len = sizeof(struct ob_bus_sg),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
