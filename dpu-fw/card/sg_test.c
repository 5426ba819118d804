/* SPDX-License-Identifier: BSD-3-Clause */
/* Security groups, tags and bindings on the bus, judged by the verdicts that they lead to. */
#include "test_card.h"

#include <arpa/inet.h>

#include "ob_acl.h"

/* A body in the making. */
static uint8_t body[1u << 20];
static uint32_t body_len, n_items;

static void put(const void *p, size_t n)
{
	assert_true(body_len + n <= sizeof(body));
	memcpy(body + body_len, p, n);
	body_len += (uint32_t)n;
}

static void begin(void)
{
	body_len = n_items = 0;
}

static void put_rule(const struct ob_bus_rule *r)
{
	put(r, sizeof(*r));
	n_items++;
}

static struct ob_bus_rule rule(uint32_t priority, enum ob_bus_action action)
{
	return (struct ob_bus_rule){.priority = priority, .action = (uint8_t)action};
}

static void put_tag(const char *name)
{
	char text[OB_BUS_NAME] = "";

	strcpy(text, name);
	put(text, sizeof(text));
}

static struct ob_bus_ip ip6(uint8_t last, uint8_t len)
{
	return (struct ob_bus_ip){
	    .family = 6, .prefix_len = len, .b = {0x20, 1, 0x0d, 0xb8, [15] = last}};
}

static int upload_piece(uint32_t total, uint32_t offset, uint32_t len)
{
	struct ob_bus_upload u = {.total = total, .offset = offset, .len = len};

	memcpy(u.data, body + offset, len < sizeof(u.data) ? len : sizeof(u.data));
	return ADD(OB_BUS_UPLOAD, u);
}

static void upload(void)
{
	for (uint32_t at = 0, n; at < body_len; at += n) {
		n = body_len - at < OB_BUS_UPLOAD_DATA ? body_len - at : OB_BUS_UPLOAD_DATA;
		assert_int_equal(upload_piece(body_len, at, n), 0);
	}
}

static struct ob_bus_sg sg(const char *name)
{
	struct ob_bus_sg r = {.is = {.n_items = n_items, .body_len = body_len}};

	strcpy(r.is.name, name);
	return r;
}

static int store_sg(uint8_t verb, const char *name)
{
	struct ob_bus_sg r = sg(name);

	upload();
	return send_rec(verb, OB_BUS_SG, &r, sizeof(r));
}

static int store_tag(uint8_t verb, const char *name)
{
	struct ob_bus_tag r = {.is = {.n_items = n_items, .body_len = body_len}};

	strcpy(r.is.name, name);
	upload();
	return send_rec(verb, OB_BUS_TAG, &r, sizeof(r));
}

static struct ob_bus_binding binding(const char *e, uint8_t dir, uint8_t stage, const char *group)
{
	struct ob_bus_binding r = {.dir = dir, .stage = stage};

	strcpy(r.eni, e);
	strcpy(r.sg, group);
	return r;
}

static void add_eni(void)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 100);
	struct ob_bus_eni e = eni("e1", "f1", "red");

	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
}

/* What ENI 0 does with a connection from 10.0.0.9 or 2001:db8::9. */
static bool passes(uint8_t family, uint8_t proto, uint16_t dport)
{
	static const uint8_t src4[4] = {10, 0, 0, 9}, dst4[4] = {10, 0, 0, 5};
	static const uint8_t src6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 9};
	struct ob_acl_pkt p = {.family = family == 4 ? AF_INET : AF_INET6,
	    .proto = proto,
	    .sport = 40000,
	    .dport = dport,
	    .src = family == 4 ? src4 : src6,
	    .dst = family == 4 ? dst4 : src6};

	return ob_acl_eval(0, OB_ACL_IN, &p, NULL) == OB_ACL_PERMIT;
}

/* "permit tcp from 10.0.0.0/8,2001:db8::/32 to any port 80" */
static void put_web(uint32_t priority)
{
	struct ob_bus_rule r = rule(priority, OB_BUS_PERMIT);
	struct ob_bus_ip a = ip4(10, 0, 0, 0, 8), b = ip6(0, 32);
	struct ob_bus_ports p = {80, 80};

	r.n_protos = 1;
	r.proto[0] = IPPROTO_TCP;
	r.n_src = 2;
	r.n_dports = 1;
	put_rule(&r);
	put(&a, sizeof(a));
	put(&b, sizeof(b));
	put(&p, sizeof(p));
}

static void a_bound_group_judges_both_families(void **state)
{
	struct ob_bus_binding b = binding("e1", OB_BUS_IN, 1, "web"), got;
	struct ob_bus_sg r;

	(void)state;
	add_eni();
	begin();
	put_web(100);
	assert_int_equal(store_sg(OB_BUS_ADD, "web"), 0);
	assert_true(passes(4, IPPROTO_TCP, 22));
	assert_int_equal(ADD(OB_BUS_BINDING, b), 0);
	assert_true(passes(4, IPPROTO_TCP, 80));
	assert_true(passes(6, IPPROTO_TCP, 80));
	assert_false(passes(4, IPPROTO_TCP, 22));
	assert_false(passes(6, IPPROTO_UDP, 80));
	assert_int_equal(list(OB_BUS_BINDING, NULL, 0, &got, sizeof(got)), 1);
	assert_memory_equal(&got, &b, sizeof(b));
	assert_int_equal(list(OB_BUS_SG, NULL, 0, &r, sizeof(r)), 1);
	assert_int_equal(r.is.n_items, 1);
	assert_int_equal(r.n_bindings, 1);
	assert_int_equal(r.n_prefixes, 2);
	assert_int_equal(r.state, 1);
	assert_int_equal(DEL(OB_BUS_SG, r), -EBUSY);
	assert_true(says("eni e1"));
	assert_int_equal(DEL(OB_BUS_BINDING, b), 0);
	assert_true(passes(6, IPPROTO_UDP, 80));
	assert_int_equal(DEL(OB_BUS_SG, r), 0);
	assert_int_equal(list(OB_BUS_SG, NULL, 0, NULL, 0), 0);
}

static void a_group_of_one_family_denies_the_other(void **state)
{
	struct ob_bus_binding b = binding("e1", OB_BUS_IN, 1, "v4");
	struct ob_bus_rule r = rule(1, OB_BUS_PERMIT);
	struct ob_bus_ip a = ip4(0, 0, 0, 0, 0);

	(void)state;
	add_eni();
	begin();
	r.n_src = 1;
	put_rule(&r);
	put(&a, sizeof(a));
	assert_int_equal(store_sg(OB_BUS_ADD, "v4"), 0);
	assert_int_equal(ADD(OB_BUS_BINDING, b), 0);
	assert_true(passes(4, IPPROTO_UDP, 1));
	assert_false(passes(6, IPPROTO_UDP, 1));
}

static void a_replaced_group_is_in_force_and_a_bad_one_is_not(void **state)
{
	struct ob_bus_binding b = binding("e1", OB_BUS_IN, 1, "web");
	struct ob_bus_rule r = rule(7, OB_BUS_PERMIT);
	struct ob_bus_sg got;

	(void)state;
	add_eni();
	begin();
	put_web(100);
	assert_int_equal(store_sg(OB_BUS_ADD, "web"), 0);
	assert_int_equal(store_sg(OB_BUS_ADD, "web"), -EEXIST);
	assert_int_equal(ADD(OB_BUS_BINDING, b), 0);
	/* Twice the same priority: refused by the classifier, the old rules stay. */
	begin();
	put_rule(&r);
	put_rule(&r);
	assert_int_equal(store_sg(OB_BUS_SET, "web"), -EINVAL);
	assert_true(says("7"));
	assert_true(passes(4, IPPROTO_TCP, 80));
	assert_false(passes(4, IPPROTO_UDP, 80));
	assert_int_equal(list(OB_BUS_SG, NULL, 0, &got, sizeof(got)), 1);
	assert_int_equal(got.generation, 1);
	begin();
	put_rule(&r);
	assert_int_equal(store_sg(OB_BUS_SET, "web"), 0);
	assert_true(passes(4, IPPROTO_UDP, 80));
	assert_int_equal(list(OB_BUS_SG, NULL, 0, &got, sizeof(got)), 1);
	assert_int_equal(got.generation, 2);
	/* No rules at all: nothing passes. */
	begin();
	assert_int_equal(store_sg(OB_BUS_SET, "web"), 0);
	assert_false(passes(4, IPPROTO_UDP, 80));
	assert_false(passes(6, IPPROTO_TCP, 80));
	assert_int_equal(store_sg(OB_BUS_SET, "none"), -ENOENT);
}

static void tags_are_followed_by_groups(void **state)
{
	struct ob_bus_binding b = binding("e1", OB_BUS_IN, 1, "g");
	struct ob_bus_rule r = rule(1, OB_BUS_PERMIT);
	struct ob_bus_ip a = ip4(10, 0, 0, 0, 24), c = ip6(9, 128);
	struct ob_bus_tag got;
	struct ob_bus_sg g;

	(void)state;
	add_eni();
	begin();
	r.n_src_tags = 1;
	put_rule(&r);
	put_tag("corp");
	assert_int_equal(store_sg(OB_BUS_ADD, "g"), -ENOENT);
	assert_true(says("obctl tag add corp"));
	begin();
	put(&a, sizeof(a));
	n_items = 1;
	assert_int_equal(store_tag(OB_BUS_ADD, "corp"), 0);
	begin();
	put_rule(&r);
	put_tag("corp");
	assert_int_equal(store_sg(OB_BUS_ADD, "g"), 0);
	assert_int_equal(ADD(OB_BUS_BINDING, b), 0);
	assert_true(passes(4, IPPROTO_UDP, 1));
	assert_false(passes(6, IPPROTO_UDP, 1));
	begin();
	put(&c, sizeof(c));
	n_items = 1;
	assert_int_equal(store_tag(OB_BUS_SET, "corp"), 0);
	assert_false(passes(4, IPPROTO_UDP, 1));
	assert_true(passes(6, IPPROTO_UDP, 1));
	assert_int_equal(list(OB_BUS_TAG, NULL, 0, &got, sizeof(got)), 1);
	assert_int_equal(got.is.n_items, 1);
	assert_int_equal(got.n_ip4, 0);
	assert_int_equal(DEL(OB_BUS_TAG, got), -EBUSY);
	assert_true(passes(6, IPPROTO_UDP, 1));
	g = sg("g");
	assert_int_equal(DEL(OB_BUS_BINDING, b), 0);
	assert_int_equal(DEL(OB_BUS_SG, g), 0);
	assert_int_equal(DEL(OB_BUS_TAG, got), 0);
	assert_int_equal(DEL(OB_BUS_TAG, got), -ENOENT);
}

static void what_was_uploaded_comes_back(void **state)
{
	struct ob_bus_body want = {.noun = OB_BUS_SG}, got;
	struct ob_bus_rule r = rule(5, OB_BUS_DENY_CONTINUE), back;
	struct ob_bus_ports types = {8 << 8, 8 << 8 | 255};

	(void)state;
	begin();
	put_web(100);
	r.n_protos = 1;
	r.proto[0] = IPPROTO_ICMP;
	r.n_dports = 1;
	put_rule(&r);
	put(&types, sizeof(types));
	assert_int_equal(store_sg(OB_BUS_ADD, "web"), 0);
	strcpy(want.name, "web");
	assert_int_equal(list(OB_BUS_BODY, &want, sizeof(want), &got, sizeof(got)), 1);
	assert_int_equal(got.total, body_len);
	assert_int_equal(got.len, body_len);
	assert_int_equal(got.generation, 1);
	/* In order of priority. */
	memcpy(&back, got.data, sizeof(back));
	assert_memory_equal(&back, &r, sizeof(r));
	assert_memory_equal(got.data + sizeof(r), &types, sizeof(types));
	assert_memory_equal(got.data + sizeof(r) + sizeof(types), body, sizeof(r) + 2 * 20 + 4);
	want.noun = OB_BUS_VNET;
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_BODY, &want, sizeof(want)), -EINVAL);
	want.noun = OB_BUS_TAG;
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_BODY, &want, sizeof(want)), -ENOENT);
}

/* A thousand rules of a hundred prefixes. */
static void a_large_group_gets_through_and_back(void **state)
{
	struct ob_bus_body want = {.noun = OB_BUS_SG}, got;
	struct ob_bus_sg info;
	static uint8_t big[1000 * (32 + 100 * 20)];
	uint32_t len = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct ob_bus_rule r = rule(i, i % 2 ? OB_BUS_PERMIT : OB_BUS_DENY);

		r.n_src = 100;
		memcpy(big + len, &r, sizeof(r));
		len += (uint32_t)sizeof(r);
		for (unsigned k = 0; k < 100; k++) {
			struct ob_bus_ip a = ip4((uint8_t)(k + 1), (uint8_t)(i / 4),
			    (uint8_t)(i % 4 * 64 + k % 64), 0, 24);

			memcpy(big + len, &a, sizeof(a));
			len += (uint32_t)sizeof(a);
		}
	}
	for (uint32_t at = 0, n; at < len; at += n) {
		struct ob_bus_upload u = {.total = len, .offset = at};

		n = len - at < OB_BUS_UPLOAD_DATA ? len - at : OB_BUS_UPLOAD_DATA;
		u.len = n;
		memcpy(u.data, big + at, n);
		assert_int_equal(ADD(OB_BUS_UPLOAD, u), 0);
	}
	info = (struct ob_bus_sg){.is = {.name = "big", .n_items = 1000, .body_len = len}};
	assert_int_equal(ADD(OB_BUS_SG, info), 0);
	assert_int_equal(list(OB_BUS_SG, NULL, 0, &info, sizeof(info)), 1);
	assert_int_equal(info.n_prefixes, 100000);
	strcpy(want.name, "big");
	assert_true(list(OB_BUS_BODY, &want, sizeof(want), &got, sizeof(got)) > 1);
	assert_true(rep_more);
	assert_int_equal(got.total, len);
	assert_memory_equal(got.data, big, sizeof(got.data));
}

static void pieces_must_follow_on_each_other(void **state)
{
	struct ob_bus_upload u = {.total = 1, .len = 1, .reserved = 1};
	struct ob_bus_sg r;

	(void)state;
	memset(body, 0, sizeof(body));
	assert_int_equal(upload_piece(0, 0, 0), -EINVAL);
	assert_int_equal(upload_piece(OB_BUS_UPLOAD_MAX + 1, 0, OB_BUS_UPLOAD_DATA), -EINVAL);
	assert_int_equal(upload_piece(8, 0, 9), -EINVAL);
	assert_int_equal(upload_piece(8, 0, 7), -EINVAL);
	assert_int_equal(upload_piece(8, 4, 4), -EINVAL);
	assert_int_equal(upload_piece(5000, 0, OB_BUS_UPLOAD_DATA), 0);
	assert_int_equal(upload_piece(5001, OB_BUS_UPLOAD_DATA, 937), -EINVAL);
	assert_int_equal(upload_piece(5000, OB_BUS_UPLOAD_DATA, 936), -EINVAL); /* forgotten */
	assert_int_equal(ADD(OB_BUS_UPLOAD, u), -EINVAL);
	/* A record that takes more, less, or an upload that is not whole. */
	assert_int_equal(upload_piece(5000, 0, OB_BUS_UPLOAD_DATA), 0);
	r = (struct ob_bus_sg){.is = {.name = "x", .n_items = 1, .body_len = 5000}};
	assert_int_equal(ADD(OB_BUS_SG, r), -EINVAL);
	assert_true(says("uploaded"));
	assert_int_equal(upload_piece(40, 0, 40), 0);
	r.is.body_len = 41;
	assert_int_equal(ADD(OB_BUS_SG, r), -EINVAL);
	assert_int_equal(DEL(OB_BUS_UPLOAD, u), 0);
	r.is.body_len = 40;
	assert_int_equal(ADD(OB_BUS_SG, r), -EINVAL);
}

/* Changes one thing about a good rule; it must be refused with that text, and nothing may be left behind. */
#define BAD_RULE(change, text)                                   \
	do {                                                     \
		struct ob_bus_rule bad = rule(3, OB_BUS_PERMIT); \
		change;                                          \
		begin();                                         \
		put_rule(&bad);                                  \
		refused_rules(text);                             \
	} while (0)

static void refused_rules(const char *text)
{
	assert_int_equal(store_sg(OB_BUS_ADD, "x"), -EINVAL);
	if (!says(text))
		fail_msg("'%s' does not say '%s'", (const char *)rep + sizeof(rep_hdr), text);
	assert_int_equal(list(OB_BUS_SG, NULL, 0, NULL, 0), 0);
}

static void rules_are_checked(void **state)
{
	struct ob_bus_rule r = rule(3, OB_BUS_PERMIT);
	struct ob_bus_ports p = {9, 8};
	struct ob_bus_ip a = ip4(10, 0, 0, 1, 8), b = ip6(0, 32);
	uint8_t junk[40] = {0};

	(void)state;
	BAD_RULE(bad.action = 0, "rule 3: action");
	BAD_RULE(bad.action = 5, "rule 3: action");
	BAD_RULE(bad.n_protos = 13, "rule 3: 13 protocols");
	BAD_RULE(bad.reserved = 1, "reserved");
	BAD_RULE(bad.n_src = 65535, "ends within");
	BAD_RULE(bad.n_dst_tags = 1, "ends within");
	BAD_RULE(n_items = 1; bad.n_dports = 1, "ends within");
	begin();
	put_rule(&r);
	n_items = 2;
	refused_rules("ends within a rule");
	n_items = OB_ACL_MAX_RULES + 1;
	refused_rules("at most");
	n_items = 1;
	put(junk, sizeof(junk));
	refused_rules("longer than its 1 rules");
	/* Ports. */
	begin();
	r.n_dports = 1;
	put_rule(&r);
	put(&p, sizeof(p));
	refused_rules("rule 3: ports go with tcp");
	begin();
	r.n_protos = 1;
	r.proto[0] = IPPROTO_SCTP;
	put_rule(&r);
	put(&p, sizeof(p));
	refused_rules("rule 3: the range 9-8");
	/* Addresses. */
	begin();
	r = rule(3, OB_BUS_PERMIT);
	r.n_src = 1;
	put_rule(&r);
	put(&a, sizeof(a));
	refused_rules("rule 3: from 10.0.0.1/8 has bits set");
	begin();
	a.b[3] = 0;
	r.n_dst = 1;
	put_rule(&r);
	put(&a, sizeof(a));
	put(&b, sizeof(b));
	refused_rules("rule 3: no packet can match it");
	begin();
	r = rule(3, OB_BUS_PERMIT);
	r.n_src_tags = 1;
	put_rule(&r);
	put_tag("../x");
	refused_rules("rule 3: a tag's name");
}

static void bindings_are_checked(void **state)
{
	struct ob_bus_binding b = binding("e1", OB_BUS_IN, 1, "g"), other;
	struct ob_bus_eni e = eni("e1", "f1", "red"), got;

	(void)state;
	add_eni();
	begin();
	assert_int_equal(store_sg(OB_BUS_ADD, "g"), 0);
	assert_int_equal(store_sg(OB_BUS_ADD, "h"), 0);
	REFUSED(OB_BUS_BINDING, b, bad.eni[1] = '2', -ENOENT, "e2");
	REFUSED(OB_BUS_BINDING, b, bad.dir = 0, -EINVAL, "direction");
	REFUSED(OB_BUS_BINDING, b, bad.dir = 3, -EINVAL, "direction");
	REFUSED(OB_BUS_BINDING, b, bad.stage = 0, -EINVAL, "stage");
	REFUSED(OB_BUS_BINDING, b, bad.stage = 6, -EINVAL, "stage");
	REFUSED(OB_BUS_BINDING, b, bad.reserved[5] = 1, -EINVAL, "reserved");
	REFUSED(OB_BUS_BINDING, b, bad.sg[0] = 'x', -ENOENT, "sg x");
	assert_int_equal(SET(OB_BUS_BINDING, b), -ENOENT);
	assert_int_equal(DEL(OB_BUS_BINDING, b), -ENOENT);
	assert_int_equal(ADD(OB_BUS_BINDING, b), 0);
	REFUSED(OB_BUS_BINDING, b, bad.sg[0] = 'h', -EEXIST, "sg g");
	b.sg[0] = 'h';
	assert_int_equal(SET(OB_BUS_BINDING, b), 0);
	other = binding("e1", OB_BUS_OUT, 5, "g");
	assert_int_equal(ADD(OB_BUS_BINDING, other), 0);
	assert_int_equal(list(OB_BUS_BINDING, &b, sizeof(b), &other, sizeof(other)), 1);
	assert_string_equal(other.sg, "h");
	/* The ENI's number may be used again, its bindings must not. */
	assert_int_equal(DEL(OB_BUS_ENI, e), 0);
	e.default_in = 2;
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	assert_int_equal(list(OB_BUS_BINDING, NULL, 0, NULL, 0), 0);
	assert_false(passes(4, IPPROTO_TCP, 80));
	list(OB_BUS_ENI, NULL, 0, &got, sizeof(got));
	assert_int_equal(got.default_in, 2);
	assert_int_equal(got.default_out, 1);
	got.default_in = 1;
	assert_int_equal(SET(OB_BUS_ENI, got), 0);
	assert_true(passes(4, IPPROTO_TCP, 80));
	REFUSED(OB_BUS_ENI, e, bad.default_out = 3, -EINVAL, "default");
}

static void groups_and_tags_survive_in_the_arena(void **state)
{
	struct ob_bus_ip a = ip4(10, 0, 0, 0, 24);
	struct ob_bus_sg got;

	(void)state;
	begin();
	put_web(1);
	assert_int_equal(store_sg(OB_BUS_ADD, "web"), 0);
	begin();
	put(&a, sizeof(a));
	n_items = 1;
	assert_int_equal(store_tag(OB_BUS_ADD, "corp"), 0);
	ob_card_destroy(card);
	open_card();
	assert_int_equal(list(OB_BUS_SG, NULL, 0, &got, sizeof(got)), 1);
	assert_string_equal(got.is.name, "web");
	assert_int_equal(got.is.n_items, 1);
	assert_int_equal(list(OB_BUS_TAG, NULL, 0, NULL, 0), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(a_bound_group_judges_both_families),
	    T(a_group_of_one_family_denies_the_other),
	    T(a_replaced_group_is_in_force_and_a_bad_one_is_not), T(tags_are_followed_by_groups),
	    T(what_was_uploaded_comes_back), T(a_large_group_gets_through_and_back),
	    T(pieces_must_follow_on_each_other), T(rules_are_checked), T(bindings_are_checked),
	    T(groups_and_tags_survive_in_the_arena)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
