/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static int store(struct ob_card *c, const struct ob_bus_nat64 *r, bool replaces, struct text *t)
{
	struct ob_ip prefix, old;
	uint32_t eni;
	uint8_t len;
	bool there;
	int rc;

	if ((rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni)) < 0 ||
	    (rc = check_ip(t, "prefix", &r->prefix, IP_PREFIX, &prefix, &len)) < 0)
		return rc;
	if (r->reserved != 0)
		return fail(t, -EINVAL, "reserved bytes are not zero");
	if (prefix.family != AF_INET6 || len == 0 ||
	    (len != 96 && (len > 64 || len < 32 || len % 8 != 0)))
		return fail(t, -EINVAL,
		    "prefix: an IPv6 prefix of length 32, 40, 48, 56, 64 or 96, such as "
		    "64:ff9b::/96");
	there = ob_nat64_get(eni, &old) != 0;
	if (there && !replaces)
		return fail(t, -EEXIST,
		    "eni %s has a NAT64 prefix already; 'obctl nat64 set' replaces it", r->eni);
	if (!there && replaces)
		return fail(t, -ENOENT, "eni %s has no NAT64 prefix; add one", r->eni);
	return ob_nat64_set(eni, &prefix, len, t->s, sizeof(t->s));
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
	const struct ob_bus_nat64 *r = rec;
	struct ob_ip old;
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	if (rc < 0)
		return rc;
	if (ob_nat64_get(eni, &old) == 0)
		return fail(t, -ENOENT, "eni %s has no NAT64 prefix", r->eni);
	return ob_nat64_set(eni, &old, 0, t->s, sizeof(t->s));
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_nat64 *)f)->eni);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_nat64 *want = f;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);
	struct ob_bus_nat64 *r = rec;
	struct ob_ip prefix;
	uint8_t len;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	len = ob_nat64_get(i, &prefix);
	if (len == 0 || (want->eni[0] && strcmp(want->eni, names_get(&c->enis, i)) != 0))
		return -EAGAIN;
	strcpy(r->eni, names_get(&c->enis, i));
	put_ip(&r->prefix, &prefix, len);
	return 0;
}

const struct noun noun_nat64 = {.name = "nat64",
    .record_len = sizeof(struct ob_bus_nat64),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
