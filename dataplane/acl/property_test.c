/* SPDX-License-Identifier: BSD-3-Clause */
/* Random groups give the verdicts of a slow and obvious reference. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "acl_priv.h"
#include "classify.h"
#include "ob_worker.h"
#include "test_acl.h"

#define N_TAGS 16

static struct ob_arena *arena;
static struct ob_acl_tag_cfg tags[2][N_TAGS]; /* by family */

/* Both families have their own numbers in the store; the group of a family is given tags of it only. */
static uint16_t base_of(uint8_t family)
{
	return family == AF_INET ? 0 : N_TAGS;
}

static struct ob_acl_tag_cfg *tags_of(uint8_t family)
{
	return &tags[family == AF_INET6][0] - base_of(family);
}

static int setup(void **state)
{
	struct acl_rand r = {.state = 7};

	(void)state;
	assert_int_equal(ob_arena_create("acl-property", 256ull << 20, &arena), 0);
	assert_int_equal(ob_acl_init(arena), 0);
	for (unsigned f = 0; f < 2; f++) {
		struct acl_shape s = {
		    .family = f ? AF_INET6 : AF_INET, .max_prefixes = 40, .any_in = 20};

		for (uint16_t t = 0; t < N_TAGS; t++) {
			struct ob_acl_tag_cfg *tag = &tags[f][t];
			char err[200] = "";

			tag->family = s.family;
			tag->prefixes = acl_rand_prefixes(&r, &s, &tag->n_prefixes);
			assert_int_equal(
			    ob_acl_tag_set(base_of(s.family) + t, tag, err, sizeof(err)), 0);
		}
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ob_acl_fini();
	ob_arena_destroy(arena);
	for (unsigned i = 0; i < 2 * N_TAGS; i++)
		acl_test_free(tags[i / N_TAGS][i % N_TAGS].prefixes);
	return 0;
}

/* Random tags are numbered from 0: moves those of a group to its family's numbers. */
static void move_tags(struct ob_acl_group_cfg *g)
{
	for (uint32_t i = 0; i < g->n_rules; i++) {
		const struct ob_acl_rule *r = &g->rules[i];

		for (uint32_t k = 0; k < r->n_src_tags; k++)
			((uint16_t *)(uintptr_t)r->src_tags)[k] += base_of(g->family);
		for (uint32_t k = 0; k < r->n_dst_tags; k++)
			((uint16_t *)(uintptr_t)r->dst_tags)[k] += base_of(g->family);
	}
}

static struct ob_acl_group_cfg *set_random(
    struct acl_rand *r, const struct acl_shape *s, uint32_t idx)
{
	struct ob_acl_group_cfg *g = acl_rand_group(r, s);
	char err[200] = "";
	int rc;

	move_tags(g);
	rc = ob_acl_group_set(idx, g, err, sizeof(err));
	if (rc != 0)
		print_error("%s\n", err);
	assert_int_equal(rc, 0);
	return g;
}

static void compare(struct acl_rand *r, const struct acl_shape *s, const struct ob_acl_group_cfg *g,
    uint32_t idx, unsigned n)
{
	const struct acl_classifier *c = acl_group_at(idx);
	unsigned n_hit = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct ob_acl_rule *want;
		struct acl_probe probe;
		struct acl_key key;
		uint32_t got;

		acl_rand_probe(r, s, g, tags_of(s->family), &probe);
		want = oracle_group(g, tags_of(s->family), &probe.p);
		key = acl_key_of(&probe.p);
		got = acl_classify(c, &probe.p, &key);
		assert_int_equal(got == ACL_NO_RULE, want == NULL);
		if (want != NULL)
			assert_int_equal(c->priority[got], want->priority);
		n_hit += want != NULL;
	}
	if (g->n_rules > 3)
		assert_true(n_hit > 0);
}

static void try_shapes(
    const struct acl_shape *shape, unsigned n_groups, unsigned n_probes, uint64_t seed)
{
	struct acl_rand r = {.state = seed};

	for (unsigned i = 0; i < n_groups; i++) {
		struct acl_shape s = *shape;
		struct ob_acl_group_cfg *g;

		s.family = i & 1 ? AF_INET6 : AF_INET;
		if (shape->n_rules > 1)
			s.n_rules = shape->n_rules / 2 + acl_below(&r, shape->n_rules / 2 + 1);
		g = set_random(&r, &s, 1);
		compare(&r, &s, g, 1, n_probes);
		acl_rand_group_free(g);
	}
}

static void few_rules_match_as_the_reference_says(void **state)
{
	struct acl_shape s = {
	    .n_rules = 8, .max_prefixes = 4, .max_ranges = 3, .n_tags = N_TAGS, .any_in = 3};

	(void)state;
	try_shapes(&s, 200, 300, 1);
}

static void sixty_four_rules_match_as_the_reference_says(void **state)
{
	struct acl_shape s = {
	    .n_rules = 66, .max_prefixes = 12, .max_ranges = 4, .n_tags = N_TAGS, .any_in = 6};

	(void)state;
	try_shapes(&s, 40, 400, 2);
}

static void crowded_prefixes_match_as_the_reference_says(void **state)
{
	struct acl_shape s = {
	    .n_rules = 300, .max_prefixes = 60, .max_ranges = 10, .n_tags = N_TAGS, .any_in = 12};

	(void)state;
	try_shapes(&s, 8, 300, 3);
}

static void thousand_rules_match_as_the_reference_says(void **state)
{
	struct acl_shape s = {.n_rules = 1000,
	    .max_prefixes = 100,
	    .max_ranges = 4,
	    .n_tags = N_TAGS,
	    .any_in = 10,
	    .spread = true};

	(void)state;
	try_shapes(&s, 2, 500, 4);
}

static void most_rules_match_as_the_reference_says(void **state)
{
	struct acl_shape s = {.n_rules = OB_ACL_MAX_RULES,
	    .max_prefixes = 6,
	    .max_ranges = 2,
	    .any_in = 8,
	    .spread = true};
	struct acl_rand r = {.state = 11};
	struct ob_acl_group_cfg *g;

	(void)state;
	s.family = AF_INET;
	g = set_random(&r, &s, 1);
	compare(&r, &s, g, 1, 500);
	acl_rand_group_free(g);
}

/* Every port of a group with many ranges, so that no node of the tree is left out. */
static void every_port_matches_as_the_reference_says(void **state)
{
	struct acl_shape s = {
	    .family = AF_INET, .n_rules = 40, .max_prefixes = 1, .max_ranges = 200, .any_in = 50};
	const uint8_t addr[4] = {10, 0, 0, 1};
	struct acl_rand r = {.state = 5};
	struct ob_acl_group_cfg *g = acl_rand_group(&r, &s);
	const struct acl_classifier *c;

	(void)state;
	for (uint32_t i = 0; i < g->n_rules; i++) {
		struct ob_acl_rule *rule = (struct ob_acl_rule *)(uintptr_t)&g->rules[i];

		rule->n_src = rule->n_dst = 0;
		rule->protos[0] |= 1 << 6;
		if (rule->n_icmp > 0)
			rule->protos[0] = 1 << 1;
	}
	assert_int_equal(ob_acl_group_set(1, g, NULL, 0), 0);
	c = acl_group_at(1);
	for (uint32_t port = 0; port < 65536; port++) {
		struct ob_acl_pkt p = {.family = AF_INET,
		    .proto = port & 1 ? 6 : 1,
		    .sport = (uint16_t)(port * 7),
		    .dport = (uint16_t)port,
		    .src = addr,
		    .dst = addr};
		struct acl_key key = acl_key_of(&p);
		const struct ob_acl_rule *want = oracle_group(g, NULL, &p);
		uint32_t got = acl_classify(c, &p, &key);

		assert_int_equal(got == ACL_NO_RULE, want == NULL);
		if (want != NULL)
			assert_int_equal(c->priority[got], want->priority);
	}
	acl_rand_group_free(g);
}

/* Several stages, some without a group, and both defaults. */
static void stages_end_as_the_reference_says(void **state)
{
	struct acl_shape s = {
	    .n_rules = 12, .max_prefixes = 4, .max_ranges = 3, .n_tags = N_TAGS, .any_in = 2};
	struct acl_rand r = {.state = 21};

	(void)state;
	for (unsigned round = 0; round < 120; round++) {
		const struct ob_acl_group_cfg *stage[OB_ACL_STAGES] = {0};
		struct ob_acl_group_cfg *g[OB_ACL_STAGES] = {0};
		enum ob_acl_verdict by_default = acl_below(&r, 2) ? OB_ACL_PERMIT : OB_ACL_DENY;
		enum ob_acl_dir dir = acl_below(&r, 2) ? OB_ACL_IN : OB_ACL_OUT;
		uint16_t eni = (uint16_t)acl_below(&r, OB_ACL_MAX_ENIS);

		s.family = round & 1 ? AF_INET6 : AF_INET;
		assert_int_equal(ob_acl_default_set(eni, dir, by_default), 0);
		for (unsigned i = 0; i < OB_ACL_STAGES; i++) {
			if (acl_below(&r, 2))
				continue;
			stage[i] = g[i] = set_random(&r, &s, 10 + i);
			assert_int_equal(ob_acl_bind(eni, dir, i + 1, 10 + i, NULL, 0), 0);
		}
		for (unsigned i = 0; i < 100; i++) {
			const struct ob_acl_group_cfg *of = g[i % OB_ACL_STAGES];
			struct acl_probe probe;

			if (of == NULL)
				continue;
			acl_rand_probe(&r, &s, of, tags_of(s.family), &probe);
			assert_int_equal(ob_acl_eval(eni, dir, &probe.p, NULL),
			    oracle_verdict(stage, tags_of(s.family), &probe.p, by_default));
		}
		ob_acl_eni_clear(eni);
		for (unsigned i = 0; i < OB_ACL_STAGES; i++) {
			if (g[i] == NULL)
				continue;
			assert_int_equal(ob_acl_group_del(10 + i, NULL, 0), 0);
			acl_rand_group_free(g[i]);
		}
		ob_rcu_reclaim();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(few_rules_match_as_the_reference_says),
	    cmocka_unit_test(sixty_four_rules_match_as_the_reference_says),
	    cmocka_unit_test(crowded_prefixes_match_as_the_reference_says),
	    cmocka_unit_test(thousand_rules_match_as_the_reference_says),
	    cmocka_unit_test(most_rules_match_as_the_reference_says),
	    cmocka_unit_test(every_port_matches_as_the_reference_says),
	    cmocka_unit_test(stages_end_as_the_reference_says),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
