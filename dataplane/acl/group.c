/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups and tags: what is configured lies in the arena, what is compiled from it here. */
#include "acl_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ob_worker.h"

struct acl_classifier *acl_groups[OB_ACL_MAX_GROUPS]; /* RCU */
static uint64_t *uses[OB_ACL_MAX_GROUPS];	      /* tags that the group names: bit per tag */

#define TAG_WORDS (OB_ACL_MAX_TAGS / 64)

/* A tag as it is in the arena, or as it is about to be. */
struct tag_view {
	uint32_t new_idx; /* OB_ACL_MAX_TAGS: none */
	const struct ob_acl_tag_cfg *new_cfg;
};

static int load_tag(uint16_t idx, struct ob_acl_tag_cfg **out)
{
	void *bytes;
	size_t len;
	int rc = acl_store_get(ACL_TAG, idx, &bytes, &len);

	if (rc < 0)
		return rc;
	rc = acl_unpack_tag(bytes, len, out);
	free(bytes);
	if (rc == 0 && acl_check_tag(*out, NULL, 0) < 0) {
		free(*out);
		rc = -EPROTO;
	}
	return rc;
}

static int view_tag(void *arg, uint16_t idx, struct ob_acl_tag_cfg **out)
{
	const struct tag_view *v = arg;
	size_t len;

	if (idx != v->new_idx)
		return load_tag(idx, out);
	len = v->new_cfg->n_prefixes * sizeof(struct ob_acl_prefix);
	*out = malloc(sizeof(**out) + len);
	if (*out == NULL)
		return -ENOMEM;
	**out = *v->new_cfg;
	(*out)->prefixes = (const struct ob_acl_prefix *)(*out + 1);
	if (len > 0)
		memcpy(*out + 1, v->new_cfg->prefixes, len);
	return 0;
}

static uint64_t *tags_of(const struct ob_acl_group_cfg *cfg)
{
	uint64_t *set = calloc(TAG_WORDS, sizeof(*set));

	if (set == NULL)
		return NULL;
	for (uint32_t r = 0; r < cfg->n_rules; r++) {
		const struct ob_acl_rule *rule = &cfg->rules[r];

		for (uint32_t i = 0; i < rule->n_src_tags; i++)
			set[rule->src_tags[i] / 64] |= 1ull << rule->src_tags[i] % 64;
		for (uint32_t i = 0; i < rule->n_dst_tags; i++)
			set[rule->dst_tags[i] / 64] |= 1ull << rule->dst_tags[i] % 64;
	}
	return set;
}

static bool names_tag(uint32_t group, uint32_t tag)
{
	return uses[group] != NULL && uses[group][tag / 64] >> tag % 64 & 1;
}

static void publish(uint32_t idx, struct acl_classifier *c)
{
	struct acl_classifier *old = acl_groups[idx];

	ob_rcu_publish(&acl_groups[idx], c);
	ob_rcu_defer(acl_classifier_free, old);
}

/* A tag that a rule names and that is not there, to tell it. */
static int check_tags(const struct ob_acl_group_cfg *cfg, char *err, size_t err_len)
{
	for (uint32_t r = 0; r < cfg->n_rules; r++) {
		const struct ob_acl_rule *rule = &cfg->rules[r];

		for (uint32_t i = 0; i < rule->n_src_tags + rule->n_dst_tags; i++) {
			uint16_t tag = i < rule->n_src_tags ? rule->src_tags[i]
							    : rule->dst_tags[i - rule->n_src_tags];

			if (!acl_store_has(ACL_TAG, tag))
				return acl_fail(-ENOENT, err, err_len,
				    "rule with priority %u: tag %u does not exist", rule->priority,
				    tag);
		}
	}
	return 0;
}

/* From the bytes of a group to its classifier and the tags that it names; all checks. */
static int prepare(const void *bytes, size_t len, struct acl_classifier **c, uint64_t **tags,
    char *err, size_t err_len)
{
	struct tag_view view = {.new_idx = OB_ACL_MAX_TAGS};
	struct ob_acl_group_cfg *cfg;
	int rc = acl_unpack_group(bytes, len, &cfg);

	if (rc < 0)
		return rc;
	*tags = NULL;
	rc = acl_check_group(cfg, err, err_len);
	if (rc == 0)
		rc = acl_check_sorted(cfg, err, err_len);
	if (rc == 0)
		rc = check_tags(cfg, err, err_len);
	if (rc == 0)
		rc = acl_compile(cfg, view_tag, &view, c, err, err_len);
	if (rc == 0) {
		*tags = tags_of(cfg);
		if (*tags == NULL) {
			acl_classifier_free(*c);
			rc = -ENOMEM;
		}
	}
	free(cfg);
	return rc;
}

/* Is it what the arena has already? Then there is nothing to do: a control plane that applies all it wants anew costs nothing. */
static bool unchanged(enum acl_kind kind, uint32_t idx, const void *bytes, size_t len)
{
	void *have;
	size_t n;
	bool same;

	if (acl_store_get(kind, idx, &have, &n) < 0)
		return false;
	same = n == len && memcmp(have, bytes, len) == 0;
	free(have);
	return same;
}

int ob_acl_group_set(uint32_t idx, const struct ob_acl_group_cfg *cfg, char *err, size_t err_len)
{
	struct acl_classifier *c, *old;
	uint64_t *tags;
	void *bytes;
	size_t len;
	int rc;

	if (idx >= OB_ACL_MAX_GROUPS)
		return acl_fail(-EINVAL, err, err_len, "group number out of range");
	rc = acl_check_group(cfg, err, err_len);
	if (rc < 0)
		return rc;
	old = acl_groups[idx];
	if (acl_group_bound_as(idx, cfg->family == AF_INET ? AF_INET6 : AF_INET))
		return acl_fail(
		    -EBUSY, err, err_len, "the group is bound: its address family cannot change");
	rc = acl_pack_group(cfg, &bytes, &len);
	if (rc < 0)
		return rc;
	if (old != NULL && !old->broken && unchanged(ACL_GROUP, idx, bytes, len))
		goto out;
	rc = prepare(bytes, len, &c, &tags, err, err_len);
	if (rc < 0)
		goto out;
	rc = acl_store_put(ACL_GROUP, idx, bytes, len);
	if (rc < 0) {
		acl_fail(rc, err, err_len, "no room in the arena");
		acl_classifier_free(c);
		free(tags);
		goto out;
	}
	publish(idx, c);
	free(uses[idx]);
	uses[idx] = tags;
	acl_group_changed(idx);
out:
	free(bytes);
	return rc;
}

int ob_acl_group_del(uint32_t idx, char *err, size_t err_len)
{
	if (idx >= OB_ACL_MAX_GROUPS || acl_groups[idx] == NULL)
		return acl_fail(-ENOENT, err, err_len, "no such group");
	if (acl_group_bindings(idx) > 0)
		return acl_fail(-EBUSY, err, err_len, "the group is bound to an ENI");
	publish(idx, NULL);
	acl_store_del(ACL_GROUP, idx);
	free(uses[idx]);
	uses[idx] = NULL;
	return 0;
}

int ob_acl_group_get(uint32_t idx, struct ob_acl_group_cfg **out)
{
	void *bytes;
	size_t len;
	int rc;

	if (idx >= OB_ACL_MAX_GROUPS)
		return -ENOENT;
	rc = acl_store_get(ACL_GROUP, idx, &bytes, &len);
	if (rc < 0)
		return rc;
	rc = acl_unpack_group(bytes, len, out);
	free(bytes);
	return rc;
}

int ob_acl_group_info(uint32_t idx, struct ob_acl_group_info *out)
{
	const struct acl_classifier *c = idx < OB_ACL_MAX_GROUPS ? acl_groups[idx] : NULL;

	if (c == NULL)
		return -ENOENT;
	*out = (struct ob_acl_group_info){.family = c->family,
	    .broken = c->broken,
	    .n_rules = c->n_rules,
	    .n_prefixes = c->n_prefixes,
	    .n_bindings = acl_group_bindings(idx),
	    .compile_us = c->compile_us,
	    .compiled_bytes = c->bytes};
	return 0;
}

static bool tag_in_use(uint32_t idx)
{
	for (uint32_t g = 0; g < OB_ACL_MAX_GROUPS; g++)
		if (names_tag(g, idx))
			return true;
	return false;
}

/* A group with the tag as it is about to be. */
static int recompile(
    uint32_t group, struct tag_view *view, struct acl_classifier **c, char *err, size_t err_len)
{
	struct ob_acl_group_cfg *cfg;
	char why[128] = "";
	int rc = ob_acl_group_get(group, &cfg);

	if (rc < 0)
		return rc;
	rc = acl_compile(cfg, view_tag, view, c, why, sizeof(why));
	free(cfg);
	if (rc < 0)
		acl_fail(rc, err, err_len, "group %u, which uses the tag: %s", group, why);
	return rc;
}

/* All groups that use the tag, compiled before any of them is put in force. */
static int apply_tag(
    struct tag_view *view, const void *bytes, size_t len, char *err, size_t err_len)
{
	struct acl_classifier **fresh = calloc(OB_ACL_MAX_GROUPS, sizeof(*fresh));
	int rc = 0;

	if (fresh == NULL)
		return -ENOMEM;
	for (uint32_t g = 0; g < OB_ACL_MAX_GROUPS && rc == 0; g++)
		if (names_tag(g, view->new_idx))
			rc = recompile(g, view, &fresh[g], err, err_len);
	if (rc == 0) {
		rc = acl_store_put(ACL_TAG, view->new_idx, bytes, len);
		if (rc < 0)
			acl_fail(rc, err, err_len, "no room in the arena");
	}
	for (uint32_t g = 0; g < OB_ACL_MAX_GROUPS; g++) {
		if (fresh[g] == NULL)
			continue;
		if (rc < 0) {
			acl_classifier_free(fresh[g]);
			continue;
		}
		publish(g, fresh[g]);
		acl_group_changed(g);
	}
	free(fresh);
	return rc;
}

int ob_acl_tag_set(uint32_t idx, const struct ob_acl_tag_cfg *cfg, char *err, size_t err_len)
{
	struct tag_view view = {idx, cfg};
	struct ob_acl_tag_cfg *old;
	void *bytes;
	size_t len;
	int rc;

	if (idx >= OB_ACL_MAX_TAGS)
		return acl_fail(-EINVAL, err, err_len, "tag number out of range");
	rc = acl_check_tag(cfg, err, err_len);
	if (rc < 0)
		return rc;
	if (tag_in_use(idx) && load_tag((uint16_t)idx, &old) == 0) {
		bool same = old->family == cfg->family;

		free(old);
		if (!same)
			return acl_fail(-EBUSY, err, err_len,
			    "the tag is used: its address family cannot change");
	}
	rc = acl_pack_tag(cfg, &bytes, &len);
	if (rc < 0)
		return rc;
	if (!unchanged(ACL_TAG, idx, bytes, len))
		rc = apply_tag(&view, bytes, len, err, err_len);
	free(bytes);
	return rc;
}

int ob_acl_tag_del(uint32_t idx, char *err, size_t err_len)
{
	if (idx >= OB_ACL_MAX_TAGS || !acl_store_has(ACL_TAG, idx))
		return acl_fail(-ENOENT, err, err_len, "no such tag");
	if (tag_in_use(idx))
		return acl_fail(-EBUSY, err, err_len, "a group uses the tag");
	acl_store_del(ACL_TAG, idx);
	return 0;
}

int ob_acl_tag_get(uint32_t idx, struct ob_acl_tag_cfg **out)
{
	return idx < OB_ACL_MAX_TAGS ? load_tag((uint16_t)idx, out) : -ENOENT;
}

/* A group whose record or tags do not pass stays, and denies. */
static int revive(uint32_t idx)
{
	struct acl_classifier *c = NULL;
	uint64_t *tags = NULL;
	uint8_t family = 0;
	void *bytes;
	size_t len;
	int rc = acl_store_get(ACL_GROUP, idx, &bytes, &len);

	if (rc == 0) {
		if (len > 0)
			memcpy(&family, bytes, 1);
		rc = prepare(bytes, len, &c, &tags, NULL, 0);
		free(bytes);
	}
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		c = acl_compile_broken(family);
	if (c == NULL)
		return -ENOMEM;
	publish(idx, c);
	uses[idx] = tags;
	return 0;
}

int acl_groups_init(void)
{
	for (uint32_t t = 0; t < OB_ACL_MAX_TAGS; t++) {
		struct ob_acl_tag_cfg *cfg;
		int rc = load_tag((uint16_t)t, &cfg);

		if (rc == 0)
			free(cfg);
		else if (rc == -ENOMEM)
			return rc;
		else if (rc != -ENOENT)
			acl_store_del(ACL_TAG, t);
	}
	for (uint32_t g = 0; g < OB_ACL_MAX_GROUPS; g++) {
		int rc = acl_store_has(ACL_GROUP, g) ? revive(g) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

void acl_groups_fini(void)
{
	for (uint32_t g = 0; g < OB_ACL_MAX_GROUPS; g++) {
		publish(g, NULL);
		free(uses[g]);
		uses[g] = NULL;
	}
}
