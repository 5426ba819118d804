/* SPDX-License-Identifier: BSD-3-Clause */
/* What the arena holds of groups, tags and bindings, whole and damaged. */
#include "acl_priv.h"
#include "test_acl_eni.h"

static void group_is_given_back_as_it_was_set(void **state)
{
	struct acl_shape s = {
	    .family = AF_INET6, .n_rules = 70, .max_prefixes = 30, .max_ranges = 5, .any_in = 3};
	struct acl_rand rnd = {.state = 3};
	struct ob_acl_group_cfg *g = acl_rand_group(&rnd, &s), *have;

	(void)state;
	assert_int_equal(ob_acl_group_set(5, g, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_group_get(5, &have), 0);
	assert_int_equal(have->family, AF_INET6);
	assert_int_equal(have->n_rules, g->n_rules);
	for (uint32_t i = 0; i < have->n_rules; i++) {
		const struct ob_acl_rule *h = &have->rules[i], *w = NULL;

		assert_true(i == 0 || h->priority > have->rules[i - 1].priority);
		for (uint32_t k = 0; k < g->n_rules; k++)
			if (g->rules[k].priority == h->priority)
				w = &g->rules[k];
		assert_non_null(w);
		assert_int_equal(h->action, w->action);
		assert_int_equal(h->terminate, w->terminate);
		assert_memory_equal(h->protos, w->protos, sizeof(h->protos));
		assert_int_equal(h->n_src, w->n_src);
		assert_int_equal(h->n_dports, w->n_dports);
		assert_int_equal(h->n_icmp, w->n_icmp);
		if (h->n_src > 0)
			assert_memory_equal(h->src, w->src, h->n_src * sizeof(*h->src));
		if (h->n_dports > 0)
			assert_memory_equal(h->dports, w->dports, h->n_dports * sizeof(*h->dports));
	}
	free(have);
	acl_rand_group_free(g);
}

static void restart(void)
{
	ob_acl_fini();
	assert_int_equal(ob_acl_init(arena), 0);
}

static void groups_tags_bindings_and_defaults_survive(void **state)
{
	struct ob_acl_prefix p[300];
	struct ob_acl_tag_cfg tag = {AF_INET, 300, p};
	const uint16_t id = 1;
	struct ob_acl_rule r = {
	    .action = OB_ACL_PERMIT, .terminate = 1, .dst_tags = &id, .n_dst_tags = 1};
	struct ob_acl_group_cfg g = {AF_INET, 1, &r};
	struct ob_acl_group_info info;

	(void)state;
	memset(p, 0, sizeof(p));
	for (unsigned i = 0; i < 300; i++) {
		p[i].b[0] = 10;
		p[i].b[1] = (uint8_t)(i >> 8);
		p[i].b[2] = (uint8_t)i;
		p[i].len = 24;
	}
	assert_int_equal(ob_acl_tag_set(1, &tag, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_group_set(4094, &g, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 5, 4094, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_default_set(1023, OB_ACL_IN, OB_ACL_DENY), 0);
	restart();
	assert_int_equal(ask("1.1.1.1", "10.1.43.9", 6, 80, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("1.1.1.1", "10.1.44.9", 6, 80, NULL), OB_ACL_DENY);
	assert_int_equal(ob_acl_default_get(1023, OB_ACL_IN), OB_ACL_DENY);
	assert_int_equal(ob_acl_group_info(4094, &info), 0);
	assert_false(info.broken);
	assert_int_equal(info.n_prefixes, 300);
	/* The tag is still known to be used. */
	assert_int_equal(ob_acl_tag_del(1, err, sizeof(err)), -EBUSY);
	ob_acl_eni_clear(ENI);
	assert_int_equal(ob_acl_group_del(4094, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_del(1, err, sizeof(err)), 0);
	restart();
	assert_int_equal(ob_acl_group_info(4094, &info), -ENOENT);
	assert_int_equal(ask("1.1.1.1", "10.1.44.9", 6, 80, NULL), OB_ACL_PERMIT);
}

/* Whatever bytes the arena holds for a group, a start ends well, and what is not a good group denies. */
static void damaged_group_denies_until_it_is_set_anew(void **state)
{
	struct acl_shape s = {
	    .family = AF_INET, .n_rules = 30, .max_prefixes = 20, .max_ranges = 5, .any_in = 5};
	struct acl_rand rnd = {.state = 9};
	struct ob_acl_group_cfg *g = acl_rand_group(&rnd, &s);
	struct ob_acl_group_info info;
	unsigned n_broken = 0;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint8_t *bytes;
		size_t len;

		assert_int_equal(ob_acl_group_set(1, g, err, sizeof(err)), 0);
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
		assert_int_equal(acl_store_get(ACL_GROUP, 1, (void **)&bytes, &len), 0);
		if (round & 1)
			bytes[acl_below(&rnd, round < 100 ? 600 : (uint32_t)len)] =
			    (uint8_t)acl_rand32(&rnd);
		else
			len = acl_below(&rnd, (uint32_t)len);
		assert_int_equal(acl_store_put(ACL_GROUP, 1, bytes, len), 0);
		free(bytes);
		restart();
		assert_int_equal(ob_acl_group_info(1, &info), 0);
		if (!info.broken)
			continue;
		n_broken++;
		assert_int_equal(ask("10.0.0.1", "10.0.0.1", 6, 80, NULL), OB_ACL_DENY);
	}
	assert_true(n_broken > 100);
	permit_all(1, AF_INET);
	assert_int_equal(ask("10.0.0.1", "10.0.0.1", 6, 80, NULL), OB_ACL_PERMIT);
	acl_rand_group_free(g);
}

/* The chains of blocks: no number in them is believed. */
static void damaged_store_is_opened_without_harm(void **state)
{
	struct acl_shape s = {
	    .family = AF_INET, .n_rules = 60, .max_prefixes = 60, .max_ranges = 5, .any_in = 50};
	struct acl_rand rnd = {.state = 13};
	struct ob_acl_group_cfg *g = acl_rand_group(&rnd, &s);
	bool fresh;
	void *p;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		uint32_t *w;

		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(ob_acl_group_set(i, g, err, sizeof(err)), 0);
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 2, NULL, 0), 0);
		assert_int_equal(
		    ob_arena_region(arena, "acl.blocks.0", 1, 8u << 20, &p, &fresh), 0);
		/* next, len or owner of some block */
		w = (uint32_t *)p + 1024 * acl_below(&rnd, 64) + acl_below(&rnd, 3);
		*w = acl_below(&rnd, 2) ? acl_below(&rnd, 64) : acl_rand32(&rnd);
		restart();
		for (uint32_t i = 0; i < 4; i++) {
			struct ob_acl_group_info info;

			if (i == 2 && (ob_acl_group_info(i, &info) < 0 || info.broken))
				assert_int_equal(
				    ask("10.0.0.1", "10.0.0.1", 6, 80, NULL), OB_ACL_DENY);
		}
		ob_acl_eni_clear(ENI);
		for (uint32_t i = 0; i < 4; i++)
			ob_acl_group_del(i, NULL, 0);
	}
	acl_rand_group_free(g);
}

/* Chains that bite their own tail, or another one. */
static void crossed_chains_are_cut(void **state)
{
	struct acl_shape s = {
	    .family = AF_INET, .n_rules = 60, .max_prefixes = 60, .max_ranges = 5, .any_in = 50};
	struct acl_rand rnd = {.state = 17};
	struct ob_acl_group_cfg *g = acl_rand_group(&rnd, &s);
	const uint32_t words = 4096 / 4;

	(void)state;
	for (unsigned way = 0; way < 3; way++) {
		uint32_t *blocks, first[2], n = 0;
		bool fresh;

		for (uint32_t i = 0; i < 2; i++)
			assert_int_equal(ob_acl_group_set(i, g, err, sizeof(err)), 0);
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
		assert_int_equal(
		    ob_arena_region(arena, "acl.blocks.0", 1, 8u << 20, (void **)&blocks, &fresh),
		    0);
		/* {next + 1, length, owner + 1, ...}: the first block of each, by the order in which they were written. */
		for (uint32_t b = 0; n < 2; b++)
			if (blocks[b * words + 2] == n + 1)
				first[n++] = b;
		assert_true(first[1] > first[0] + 1);
		if (way == 0)
			blocks[(first[1] + 1) * words] = first[1] + 1;
		else if (way == 1)
			blocks[(first[1] + 1) * words] = first[0] + 2;
		else
			blocks[(first[1] + 1) * words] = UINT32_MAX;
		restart();
		assert_int_equal(ask("10.0.0.1", "10.0.0.1", 6, 80, NULL), OB_ACL_DENY);
		/* The other one is whole. */
		assert_int_equal(ob_acl_group_set(0, g, err, sizeof(err)), 0);
		assert_int_equal(ob_acl_group_set(1, g, err, sizeof(err)), 0);
		ob_acl_eni_clear(ENI);
		assert_int_equal(ob_acl_group_del(0, NULL, 0), 0);
		assert_int_equal(ob_acl_group_del(1, NULL, 0), 0);
	}
	acl_rand_group_free(g);
}

static void full_arena_is_enospc_and_changes_nothing(void **state)
{
	enum { N = 100000 };
	struct ob_acl_prefix *p = calloc(N, sizeof(*p));
	struct ob_acl_tag_cfg tag = {AF_INET, N, p};
	unsigned n = 0;
	int rc;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		p[i].len = 8;
	do {
		p[0].b[0] = (uint8_t)n; /* no two alike */
		rc = ob_acl_tag_set(n++, &tag, err, sizeof(err));
	} while (rc == 0);
	assert_int_equal(rc, -ENOSPC);
	assert_string_equal(err, "no room in the arena");
	assert_true(n > 20);
	assert_int_equal(ob_acl_tag_get(n - 1, &(struct ob_acl_tag_cfg *){0}), -ENOENT);
	/* What is given back can be used again. */
	for (unsigned i = 0; i < n - 1; i++)
		assert_int_equal(ob_acl_tag_del(i, err, sizeof(err)), 0);
	for (unsigned i = 0; i < n - 1; i++)
		assert_int_equal(ob_acl_tag_set(i, &tag, err, sizeof(err)), 0);
	free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(group_is_given_back_as_it_was_set),
	    TEST(groups_tags_bindings_and_defaults_survive),
	    TEST(damaged_group_denies_until_it_is_set_anew),
	    TEST(damaged_store_is_opened_without_harm),
	    TEST(crossed_chains_are_cut),
	    TEST(full_arena_is_enospc_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
