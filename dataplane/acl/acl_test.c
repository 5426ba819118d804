/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_acl_eni.h"

/* Two stages, and what their decisions make together: DASH's idea of levels, each combination once. */
static void two_stages_decide_together(void **state)
{
	const struct simple_rule first[] = {
	    {"10.0.1.0/24", OB_ACL_PERMIT, 0},
	    {"10.0.2.0/24", OB_ACL_DENY, 1},
	    {"10.0.3.0/24", OB_ACL_PERMIT, 1},
	    {"10.0.4.0/24", OB_ACL_DENY, 0},
	};
	const struct simple_rule second[] = {
	    {"10.0.0.1/32", OB_ACL_PERMIT, 0}, /* never: the first stage does not match */
	    {"10.0.1.1/32", OB_ACL_PERMIT, 0},
	    {"10.0.1.2/32", OB_ACL_DENY, 1},
	    {"10.0.1.3/32", OB_ACL_DENY, 0},
	    {"10.0.1.4/32", OB_ACL_PERMIT, 1},
	    {"10.0.2.0/24", OB_ACL_PERMIT, 1},
	    {"10.0.3.0/24", OB_ACL_DENY, 1},
	    {"10.0.4.1/32", OB_ACL_PERMIT, 0},
	    {"10.0.4.2/32", OB_ACL_PERMIT, 1},
	    {"10.0.4.3/32", OB_ACL_DENY, 0},
	    {"10.0.4.4/32", OB_ACL_DENY, 1},
	};
	const struct {
		const char *dst;
		uint8_t r1, r2; /* enum ob_acl_result of each stage */
		enum ob_acl_verdict verdict;
	} want[] = {
	    {"10.0.0.1", OB_ACL_NO_MATCH, OB_ACL_SKIPPED, OB_ACL_DENY},
	    {"10.0.1.1", OB_ACL_PERMITS_SOFTLY, OB_ACL_PERMITS_SOFTLY, OB_ACL_PERMIT},
	    {"10.0.1.2", OB_ACL_PERMITS_SOFTLY, OB_ACL_DENIES, OB_ACL_DENY},
	    {"10.0.1.3", OB_ACL_PERMITS_SOFTLY, OB_ACL_DENIES_SOFTLY, OB_ACL_DENY},
	    {"10.0.1.4", OB_ACL_PERMITS_SOFTLY, OB_ACL_PERMITS, OB_ACL_PERMIT},
	    {"10.0.1.9", OB_ACL_PERMITS_SOFTLY, OB_ACL_NO_MATCH, OB_ACL_DENY},
	    {"10.0.2.1", OB_ACL_DENIES, OB_ACL_SKIPPED, OB_ACL_DENY},
	    {"10.0.3.1", OB_ACL_PERMITS, OB_ACL_SKIPPED, OB_ACL_PERMIT},
	    /* A soft deny is a proposal: a later permit overrides it. */
	    {"10.0.4.1", OB_ACL_DENIES_SOFTLY, OB_ACL_PERMITS_SOFTLY, OB_ACL_PERMIT},
	    {"10.0.4.2", OB_ACL_DENIES_SOFTLY, OB_ACL_PERMITS, OB_ACL_PERMIT},
	    {"10.0.4.3", OB_ACL_DENIES_SOFTLY, OB_ACL_DENIES_SOFTLY, OB_ACL_DENY},
	    {"10.0.4.4", OB_ACL_DENIES_SOFTLY, OB_ACL_DENIES, OB_ACL_DENY},
	    {"10.0.4.9", OB_ACL_DENIES_SOFTLY, OB_ACL_NO_MATCH, OB_ACL_DENY},
	};

	(void)state;
	assert_int_equal(set_simple(100, AF_INET, first, RTE_DIM(first)), 0);
	assert_int_equal(set_simple(200, AF_INET, second, RTE_DIM(second)), 0);
	/* Stages 2 and 5: those between have no group. */
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 2, 100, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 5, 200, err, sizeof(err)), 0);
	for (unsigned d = 0; d < 2; d++) {
		/* The default does not matter as soon as one stage has a group. */
		assert_int_equal(
		    ob_acl_default_set(ENI, OB_ACL_OUT, d ? OB_ACL_PERMIT : OB_ACL_DENY), 0);
		for (unsigned i = 0; i < RTE_DIM(want); i++) {
			struct ob_acl_why why;

			assert_int_equal(
			    ask("10.9.9.9", want[i].dst, 6, 80, &why), want[i].verdict);
			assert_int_equal(
			    ask("10.9.9.9", want[i].dst, 6, 80, NULL), want[i].verdict);
			assert_int_equal(why.verdict, want[i].verdict);
			assert_int_equal(why.by_default, 0);
			assert_int_equal(why.stage[1].result, want[i].r1);
			assert_int_equal(why.stage[4].result, want[i].r2);
			assert_int_equal(why.decided_stage, want[i].r2 == OB_ACL_SKIPPED ? 2 : 5);
			assert_int_equal(why.stage[1].group, 100);
			assert_int_equal(why.stage[0].result, OB_ACL_SKIPPED);
			assert_int_equal(why.stage[2].result, OB_ACL_SKIPPED);
		}
	}
}

static void all_five_stages_are_asked(void **state)
{
	const struct simple_rule soft[] = {{NULL, OB_ACL_PERMIT, 0}};
	const struct simple_rule last[] = {
	    {"10.0.0.0/8", OB_ACL_DENY, 1}, {NULL, OB_ACL_PERMIT, 0}};

	(void)state;
	assert_int_equal(set_simple(0, AF_INET, soft, 1), 0);
	assert_int_equal(set_simple(1, AF_INET, last, 2), 0);
	for (unsigned s = 1; s < OB_ACL_STAGES; s++)
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, s, 0, NULL, 0), 0);
	assert_int_equal(ask("1.1.1.1", "10.0.0.1", 6, 80, NULL), OB_ACL_PERMIT);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, OB_ACL_STAGES, 1, NULL, 0), 0);
	assert_int_equal(ask("1.1.1.1", "10.0.0.1", 6, 80, NULL), OB_ACL_DENY);
	assert_int_equal(ask("1.1.1.1", "11.0.0.1", 6, 80, NULL), OB_ACL_PERMIT);
}

static void default_decides_without_groups(void **state)
{
	struct ob_acl_why why;

	(void)state;
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 6, 80, &why), OB_ACL_PERMIT);
	assert_int_equal(why.by_default, 1);
	assert_int_equal(why.decided_stage, 0);
	assert_int_equal(ob_acl_default_set(ENI, OB_ACL_OUT, OB_ACL_DENY), 0);
	assert_int_equal(ob_acl_default_get(ENI, OB_ACL_OUT), OB_ACL_DENY);
	assert_int_equal(ob_acl_default_get(ENI, OB_ACL_IN), OB_ACL_PERMIT);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 6, 80, &why), OB_ACL_DENY);
	assert_int_equal(ask("2001:db8::1", "2001:db8::2", 6, 80, NULL), OB_ACL_DENY);
	/* A group of the other family changes nothing for this one. */
	permit_all(1, AF_INET6);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 6, 80, &why), OB_ACL_DENY);
	assert_int_equal(why.by_default, 1);
	assert_int_equal(ask("2001:db8::1", "2001:db8::2", 6, 80, &why), OB_ACL_PERMIT);
	assert_int_equal(why.by_default, 0);
	assert_int_equal(ob_acl_default_set(ENI, OB_ACL_N_DIRS, OB_ACL_DENY), -EINVAL);
	assert_int_equal(ob_acl_default_set(OB_ACL_MAX_ENIS, OB_ACL_IN, OB_ACL_DENY), -EINVAL);
}

static void empty_group_denies(void **state)
{
	(void)state;
	assert_int_equal(set_simple(1, AF_INET, NULL, 0), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 3, 1, NULL, 0), 0);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 6, 80, NULL), OB_ACL_DENY);
}

/* Ports bind protocols with ports only, ICMP types ICMP only; a list of all ports binds nothing. */
static void ports_and_icmp_types_bind_their_protocols(void **state)
{
	const struct ob_acl_range all = {0, 65535}, web = {80, 80}, echo = {8 << 8, 8 << 8 | 255};
	struct ob_acl_rule r[] = {
	    {.priority = 1, .action = OB_ACL_PERMIT, .terminate = 1, .dports = &web, .n_dports = 1},
	    {.priority = 2, .action = OB_ACL_PERMIT, .terminate = 1, .icmp = &echo, .n_icmp = 1},
	    {.priority = 3,
		.action = OB_ACL_PERMIT,
		.terminate = 1,
		.protos = {1ull << 47},
		.sports = &all,
		.n_sports = 1,
		.dports = &all,
		.n_dports = 1},
	};
	struct ob_acl_group_cfg g = {AF_INET, RTE_DIM(r), r};
	static const uint8_t with_ports[] = {6, 17, 33, 132, 136};

	(void)state;
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
	for (unsigned i = 0; i < RTE_DIM(with_ports); i++) {
		assert_int_equal(ask("1.1.1.1", "2.2.2.2", with_ports[i], 80, NULL), OB_ACL_PERMIT);
		assert_int_equal(ask("1.1.1.1", "2.2.2.2", with_ports[i], 81, NULL), OB_ACL_DENY);
		assert_int_equal(
		    ask("1.1.1.1", "2.2.2.2", with_ports[i], 8 << 8, NULL), OB_ACL_DENY);
	}
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 1, 80, NULL), OB_ACL_DENY);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 1, 8 << 8 | 3, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 1, 0, NULL), OB_ACL_DENY);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 47, 0, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 50, 80, NULL), OB_ACL_DENY);
	/* ICMPv6 is not IPv4's. */
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 58, 8 << 8, NULL), OB_ACL_DENY);
}

static void tag_matches_when_any_of_its_prefixes_does(void **state)
{
	struct ob_acl_prefix p[2] = {prefix("10.1.0.0/16"), prefix("10.2.0.0/16")},
			     q = prefix("10.3.0.0/16");
	struct ob_acl_tag_cfg tag = {AF_INET, 2, p}, empty = {AF_INET, 0, NULL}, *have;
	const uint16_t id = 9, both[2] = {9, 10};
	struct ob_acl_rule r = {.action = OB_ACL_PERMIT,
	    .terminate = 1,
	    .src_tags = both,
	    .n_src_tags = 1,
	    .src = &q,
	    .n_src = 1};
	struct ob_acl_group_cfg g = {AF_INET, 1, &r};

	(void)state;
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "rule with priority 0: tag 9 does not exist");
	assert_int_equal(ob_acl_tag_set(id, &tag, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_set(10, &empty, err, sizeof(err)), 0);
	r.n_src_tags = 2;
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
	assert_int_equal(ask("10.1.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("10.2.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("10.3.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("10.4.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_DENY);
	/* A new list of the tag is in force in the groups that name it. */
	p[1] = prefix("10.4.0.0/16");
	n_changes = 0;
	assert_int_equal(ob_acl_tag_set(id, &tag, err, sizeof(err)), 0);
	assert_int_equal(n_changes, 1);
	assert_int_equal(changed_eni, ENI);
	assert_int_equal(ask("10.4.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_PERMIT);
	assert_int_equal(ask("10.2.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_DENY);
	assert_int_equal(ob_acl_tag_get(id, &have), 0);
	assert_int_equal(have->n_prefixes, 2);
	assert_memory_equal(have->prefixes, p, sizeof(p));
	free(have);
	/* The same once more is no change. */
	n_changes = 0;
	assert_int_equal(ob_acl_tag_set(id, &tag, err, sizeof(err)), 0);
	assert_int_equal(n_changes, 0);
	/* A rule whose only tag is empty matches nothing. */
	r.n_src = 0;
	r.src_tags = &both[1];
	r.n_src_tags = 1;
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), 0);
	assert_int_equal(ask("10.1.2.3", "2.2.2.2", 6, 1, NULL), OB_ACL_DENY);
}

static void tag_errors(void **state)
{
	struct ob_acl_prefix p = prefix("10.1.0.0/16");
	struct ob_acl_tag_cfg tag = {AF_INET, 1, &p}, six = {AF_INET6, 0, NULL},
			      bad = {AF_INET, 1, &p};
	const uint16_t id = 3;
	struct ob_acl_rule r = {.dst_tags = &id, .n_dst_tags = 1};
	struct ob_acl_group_cfg g = {AF_INET6, 1, &r};

	(void)state;
	assert_int_equal(ob_acl_tag_set(OB_ACL_MAX_TAGS, &tag, err, sizeof(err)), -EINVAL);
	bad.family = 99;
	assert_int_equal(ob_acl_tag_set(3, &bad, err, sizeof(err)), -EINVAL);
	bad.family = AF_INET;
	p.len = 33;
	assert_int_equal(ob_acl_tag_set(3, &bad, err, sizeof(err)), -EINVAL);
	p.len = 8;
	assert_int_equal(ob_acl_tag_set(3, &bad, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "a prefix has bits set beyond its length");
	p.len = 16;
	bad.n_prefixes = OB_ACL_MAX_PREFIXES + 1;
	assert_int_equal(ob_acl_tag_set(3, &bad, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_acl_tag_del(3, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_acl_tag_set(3, &tag, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "tag 3 is of the other address family");
	g.family = AF_INET;
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_del(3, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_acl_tag_set(3, &six, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_acl_group_del(1, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_set(3, &six, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_del(3, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_tag_get(3, &(struct ob_acl_tag_cfg *){0}), -ENOENT);
}

static void refused(struct ob_acl_group_cfg *g, int rc, const char *why)
{
	assert_int_equal(ob_acl_group_set(1, g, err, sizeof(err)), rc);
	assert_string_equal(err, why);
	/* The old group stays. */
	assert_int_equal(ask("1.1.1.1", "2.2.2.2", 6, 80, NULL), OB_ACL_PERMIT);
	assert_int_equal(n_changes, 0);
}

static void bad_group_is_refused_whole_with_rule_and_reason(void **state)
{
	struct ob_acl_prefix p = prefix("10.0.0.0/8");
	struct ob_acl_range range = {5, 4}, icmp = {0, 0};
	const uint16_t tag = OB_ACL_MAX_TAGS;
	struct ob_acl_rule r[2] = {{.priority = 5}, {.priority = 6}};
	struct ob_acl_group_cfg g = {AF_INET, 2, r};

	(void)state;
	permit_all(1, AF_INET);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
	n_changes = 0;
	r[1].priority = 5;
	refused(&g, -EINVAL, "rule with priority 5: another one has the same priority");
	r[1] = (struct ob_acl_rule){.priority = 6, .action = 2};
	refused(&g, -EINVAL,
	    "rule with priority 6: the action is neither permit nor deny, terminating or not");
	r[1] = (struct ob_acl_rule){.priority = 6, .src = &p, .n_src = 1};
	p.len = 40;
	refused(&g, -EINVAL, "rule with priority 6: a prefix is longer than 32 bits");
	p.len = 4;
	refused(&g, -EINVAL, "rule with priority 6: a prefix has bits set beyond its length");
	r[1] = (struct ob_acl_rule){.priority = 6, .dports = &range, .n_dports = 1};
	refused(&g, -EINVAL, "rule with priority 6: a range ends before it starts");
	r[1] = (struct ob_acl_rule){.priority = 6, .src_tags = &tag, .n_src_tags = 1};
	refused(&g, -EINVAL, "rule with priority 6: a tag number is out of range");
	range.hi = 9;
	r[1] = (struct ob_acl_rule){
	    .priority = 6, .dports = &range, .n_dports = 1, .icmp = &icmp, .n_icmp = 1};
	refused(&g, -EINVAL, "rule with priority 6: ICMP types and ports are in one rule");
	r[1] = (struct ob_acl_rule){
	    .priority = 6, .icmp = &icmp, .n_icmp = 1, .protos = {1 << 1 | 1 << 6}};
	refused(&g, -EINVAL, "rule with priority 6: ICMP types are given for another protocol");
	r[1] = (struct ob_acl_rule){.priority = 6, .n_src = OB_ACL_MAX_PREFIXES + 1};
	refused(&g, -EINVAL,
	    "rule with priority 6: more prefixes, ranges or tags than a group may have");
	r[1] = (struct ob_acl_rule){.priority = 6};
	g.family = AF_INET6;
	refused(&g, -EBUSY, "the group is bound: its address family cannot change");
	g.family = 0;
	refused(&g, -EINVAL, "the address family is neither IPv4 nor IPv6");
	g.family = AF_INET;
	g.n_rules = OB_ACL_MAX_RULES + 1;
	refused(&g, -EINVAL, "more than 4096 rules");
	assert_int_equal(ob_acl_group_set(OB_ACL_MAX_GROUPS, &g, err, sizeof(err)), -EINVAL);
}

/* Tags of many prefixes in many rules: compiled in time, or refused. */
static void too_much_to_compile_is_refused(void **state)
{
	enum { N = 30000, RULES = 2048, TAGS = 12 };
	struct ob_acl_prefix *p = calloc(N, sizeof(*p));
	struct ob_acl_rule *r = calloc(RULES, sizeof(*r));
	struct ob_acl_group_cfg g = {AF_INET, RULES, r};
	uint16_t id[TAGS];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		uint32_t a = htonl(0x0a000000u + (i << 8));

		memcpy(p[i].b, &a, 4);
		p[i].len = 24;
	}
	for (uint16_t t = 0; t < TAGS; t++) {
		struct ob_acl_tag_cfg tag = {AF_INET, N, p};

		assert_int_equal(ob_acl_tag_set(t, &tag, err, sizeof(err)), 0);
		id[t] = t;
	}
	for (unsigned i = 0; i < RULES; i++)
		r[i] = (struct ob_acl_rule){.priority = i, .src_tags = id, .n_src_tags = TAGS};
	assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), -E2BIG);
	assert_non_null(strstr(err, "too many prefixes by way of tags"));
	assert_int_equal(ob_acl_group_info(1, &(struct ob_acl_group_info){0}), -ENOENT);
	free(p);
	free(r);
}

static void bindings_and_errors(void **state)
{
	struct ob_acl_group_info info;

	(void)state;
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, err, sizeof(err)), -ENOENT);
	permit_all(1, AF_INET);
	permit_all(2, AF_INET6);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 0, 1, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 6, 1, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_acl_bind(ENI, 2, 1, 1, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_acl_bind(OB_ACL_MAX_ENIS, OB_ACL_OUT, 1, 1, err, sizeof(err)), -EINVAL);
	assert_int_equal(
	    ob_acl_bind(ENI, OB_ACL_OUT, 1, OB_ACL_MAX_GROUPS, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_IN, 4, 1, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_IN, 4, 2, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_bound(ENI, OB_ACL_OUT, 1, AF_INET), 1);
	assert_int_equal(ob_acl_bound(ENI, OB_ACL_OUT, 1, AF_INET6), -ENOENT);
	assert_int_equal(ob_acl_bound(ENI, OB_ACL_IN, 4, AF_INET6), 2);
	assert_int_equal(ob_acl_bound(ENI, OB_ACL_IN, 4, 0), -EINVAL);
	assert_int_equal(ob_acl_group_info(1, &info), 0);
	assert_int_equal(info.n_bindings, 2);
	assert_int_equal(info.n_rules, 1);
	assert_int_equal(info.family, AF_INET);
	assert_false(info.broken);
	assert_int_equal(ob_acl_group_del(1, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_acl_unbind(ENI, OB_ACL_OUT, 1, AF_INET6), -ENOENT);
	assert_int_equal(ob_acl_unbind(ENI, OB_ACL_OUT, 9, AF_INET), -EINVAL);
	assert_int_equal(ob_acl_unbind(ENI, OB_ACL_OUT, 1, AF_INET), 0);
	assert_int_equal(ob_acl_group_del(1, err, sizeof(err)), -EBUSY);
	ob_acl_eni_clear(ENI);
	assert_int_equal(ob_acl_bound(ENI, OB_ACL_IN, 4, AF_INET6), -ENOENT);
	assert_int_equal(ob_acl_group_del(1, err, sizeof(err)), 0);
	assert_int_equal(ob_acl_group_del(1, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_acl_group_get(1, &(struct ob_acl_group_cfg *){0}), -ENOENT);
}

static void changes_are_told_for_each_eni_they_touch(void **state)
{
	const struct simple_rule deny = {NULL, OB_ACL_DENY, 1};

	(void)state;
	permit_all(1, AF_INET);
	assert_int_equal(n_changes, 0);
	assert_int_equal(ob_acl_bind(3, OB_ACL_IN, 1, 1, NULL, 0), 0);
	assert_int_equal(n_changes, 1);
	assert_int_equal(ob_acl_bind(4, OB_ACL_IN, 1, 1, NULL, 0), 0);
	assert_int_equal(ob_acl_bind(4, OB_ACL_OUT, 2, 1, NULL, 0), 0);
	assert_int_equal(n_changes, 3);
	/* Nothing new: nothing told. */
	assert_int_equal(ob_acl_bind(4, OB_ACL_OUT, 2, 1, NULL, 0), 0);
	permit_all(1, AF_INET);
	assert_int_equal(ob_acl_default_set(4, OB_ACL_OUT, OB_ACL_PERMIT), 0);
	assert_int_equal(n_changes, 3);
	/* Once per ENI. */
	assert_int_equal(set_simple(1, AF_INET, &deny, 1), 0);
	assert_int_equal(n_changes, 5);
	assert_int_equal(changed_eni, 4);
	assert_int_equal(ob_acl_default_set(9, OB_ACL_OUT, OB_ACL_DENY), 0);
	assert_int_equal(changed_eni, 9);
	assert_int_equal(ob_acl_unbind(3, OB_ACL_IN, 1, AF_INET), 0);
	assert_int_equal(changed_eni, 3);
	ob_acl_eni_clear(4);
	assert_int_equal(changed_eni, 4);
	assert_int_equal(n_changes, 8);
	ob_acl_eni_clear(4);
	assert_int_equal(n_changes, 8);
}

/* Bounds that differ from others only far behind. */
static void long_runs_of_zeros_are_looked_into(void **state)
{
	const struct simple_rule r[] = {
	    {"2001:db8::1/128", OB_ACL_DENY, 1},
	    {"2001:db8::4:0/112", OB_ACL_DENY, 1},
	    {"2001:db9::/32", OB_ACL_DENY, 1},
	    {"::1/128", OB_ACL_DENY, 1},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", OB_ACL_DENY, 1},
	    {NULL, OB_ACL_PERMIT, 1},
	};
	const struct {
		const char *dst;
		enum ob_acl_verdict verdict;
	} want[] = {
	    {"2001:db8::", OB_ACL_PERMIT},
	    {"2001:db8::1", OB_ACL_DENY},
	    {"2001:db8::2", OB_ACL_PERMIT},
	    {"2001:db8::3:ffff", OB_ACL_PERMIT},
	    {"2001:db8::4:0", OB_ACL_DENY},
	    {"2001:db8::4:ffff", OB_ACL_DENY},
	    {"2001:db8::5:0", OB_ACL_PERMIT},
	    {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", OB_ACL_PERMIT},
	    {"2001:db9::", OB_ACL_DENY},
	    {"2001:db9:ffff:ffff:ffff:ffff:ffff:ffff", OB_ACL_DENY},
	    {"2001:dba::", OB_ACL_PERMIT},
	    {"::", OB_ACL_PERMIT},
	    {"::1", OB_ACL_DENY},
	    {"::2", OB_ACL_PERMIT},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", OB_ACL_PERMIT},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", OB_ACL_DENY},
	};

	(void)state;
	/* All of them, and each with the rest only, so that every root block comes about. */
	for (unsigned only = 0; only < RTE_DIM(r); only++) {
		struct simple_rule some[2] = {r[only], r[RTE_DIM(r) - 1]};

		assert_int_equal(set_simple(1, AF_INET6, only == RTE_DIM(r) - 1 ? r : some,
				     only == RTE_DIM(r) - 1 ? RTE_DIM(r) : 2),
		    0);
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1, 1, NULL, 0), 0);
		for (unsigned i = 0; i < RTE_DIM(want); i++) {
			enum ob_acl_verdict v = want[i].verdict;

			if (only < RTE_DIM(r) - 1) {
				struct ob_acl_prefix p = prefix(r[only].dst);
				uint8_t d[16];

				assert_int_equal(inet_pton(AF_INET6, want[i].dst, d), 1);
				v = oracle_prefix(&p, d) ? OB_ACL_DENY : OB_ACL_PERMIT;
			}
			assert_int_equal(ask("2001:db8::9", want[i].dst, 6, 80, NULL), v);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(two_stages_decide_together),
	    TEST(all_five_stages_are_asked),
	    TEST(default_decides_without_groups),
	    TEST(empty_group_denies),
	    TEST(ports_and_icmp_types_bind_their_protocols),
	    TEST(tag_matches_when_any_of_its_prefixes_does),
	    TEST(tag_errors),
	    TEST(bad_group_is_refused_whole_with_rule_and_reason),
	    TEST(too_much_to_compile_is_refused),
	    TEST(bindings_and_errors),
	    TEST(changes_are_told_for_each_eni_they_touch),
	    TEST(long_runs_of_zeros_are_looked_into),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
