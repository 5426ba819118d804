/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static enum ob_acl_dir acl_dir(uint8_t dir)
{
	return dir == OB_BUS_IN ? OB_ACL_IN : OB_ACL_OUT;
}

static int key(struct ob_card *c, const struct ob_bus_binding *r, uint16_t *eni, struct text *t)
{
	uint32_t idx;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &idx);

	if (rc < 0)
		return rc;
	if (r->dir != OB_BUS_IN && r->dir != OB_BUS_OUT)
		return fail(t, -EINVAL, "direction %u is neither 1 (in) nor 2 (out)", r->dir);
	if (r->stage < 1 || r->stage > OB_ACL_STAGES)
		return fail(t, -EINVAL, "stage %u is not in 1..%d", r->stage, OB_ACL_STAGES);
	for (unsigned i = 0; i < sizeof(r->reserved); i++) {
		if (r->reserved[i] != 0)
			return fail(t, -EINVAL, "reserved bytes are not zero");
	}
	*eni = (uint16_t)idx;
	return 0;
}

/* The security group bound there, or NAMES_NONE. */
static uint32_t bound(uint16_t eni, enum ob_acl_dir dir, unsigned stage)
{
	int group = ob_acl_bound(eni, dir, stage, AF_INET);

	return group < 0 ? NAMES_NONE : (uint32_t)group / 2;
}

uint32_t card_eni_of_sg(const struct ob_card *c, uint32_t sg)
{
	for (uint32_t i = 0; (i = names_next(&c->enis, i)) != NAMES_NONE; i++) {
		for (unsigned k = 0; k < OB_ACL_N_DIRS * OB_ACL_STAGES; k++) {
			if (bound((uint16_t)i, (enum ob_acl_dir)(k / OB_ACL_STAGES),
				k % OB_ACL_STAGES + 1) == sg)
				return i;
		}
	}
	return NAMES_NONE;
}

static int store(struct ob_card *c, const struct ob_bus_binding *r, bool replaces, struct text *t)
{
	enum ob_acl_dir dir = acl_dir(r->dir);
	uint32_t sg, old;
	uint16_t eni;
	int rc = key(c, r, &eni, t);

	if (rc < 0 || (rc = lookup(t, &c->sgs, "sg", "sg", r->sg, &sg)) < 0)
		return rc;
	old = bound(eni, dir, r->stage);
	if (replaces && old == NAMES_NONE)
		return fail(t, -ENOENT,
		    "eni %s has no security group there; see 'obctl binding list "
		    "%s'",
		    r->eni, r->eni);
	if (!replaces && old != NAMES_NONE)
		return fail(t, -EEXIST,
		    "eni %s has sg %s there already; 'obctl binding set' replaces "
		    "it",
		    r->eni, names_get(&c->sgs, old));
	for (unsigned f = 0; f < 2 && rc == 0; f++)
		rc = ob_acl_bind(eni, dir, r->stage, PER_FAMILY(sg, f), t->s, sizeof(t->s));
	return rc;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, false, t);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, true, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_binding *r = rec;
	uint16_t eni;
	int rc = key(c, r, &eni, t), rc6;

	if (rc < 0)
		return rc;
	rc = ob_acl_unbind(eni, acl_dir(r->dir), r->stage, AF_INET);
	rc6 = ob_acl_unbind(eni, acl_dir(r->dir), r->stage, AF_INET6);
	if (rc == -ENOENT && rc6 == -ENOENT)
		return fail(t, rc,
		    "eni %s has no security group there; see 'obctl binding list %s'", r->eni,
		    r->eni);
	return rc < 0 && rc != -ENOENT ? rc : rc6 < 0 && rc6 != -ENOENT ? rc6 : 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_binding *)f)->eni);
}

/* Cursor: ENI << 8 | direction and stage. */
static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_binding *want = f;
	struct ob_bus_binding *r = rec;
	unsigned k = *cursor & 255;
	uint32_t eni = names_next(&c->enis, (uint32_t)(*cursor >> 8)), sg;

	if (eni == NAMES_NONE)
		return -ENOENT;
	if (eni != *cursor >> 8)
		k = 0;
	if (k == OB_ACL_N_DIRS * OB_ACL_STAGES ||
	    (want->eni[0] && strcmp(want->eni, names_get(&c->enis, eni)) != 0)) {
		*cursor = (eni + 1ull) << 8;
		return -EAGAIN;
	}
	*cursor = (uint64_t)eni << 8 | (k + 1);
	r->dir = k < OB_ACL_STAGES ? OB_BUS_IN : OB_BUS_OUT;
	r->stage = (uint8_t)(k % OB_ACL_STAGES + 1);
	sg = bound((uint16_t)eni, acl_dir(r->dir), r->stage);
	if (sg == NAMES_NONE || names_get(&c->sgs, sg) == NULL ||
	    (want->dir && (want->dir != r->dir)) || (want->stage && want->stage != r->stage))
		return -EAGAIN;
	strcpy(r->eni, names_get(&c->enis, eni));
	strcpy(r->sg, names_get(&c->sgs, sg));
	return 0;
}

const struct noun noun_binding = {.name = "binding",
    .record_len = sizeof(struct ob_bus_binding),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
