/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes with next hops, and who hears of changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_common.h>

#include "ob_policy.h"
#include "test_packet.h"

static struct ob_arena *arena;
static char err[128];
static uint32_t heard; /* a bit per ENI 0..30, bit 31: all */

static void on_change(uint32_t eni)
{
	heard |= eni == OB_IDX_NONE ? 1u << 31 : 1u << eni;
}

static uint32_t what_was_heard(void)
{
	uint32_t h = heard;

	heard = 0;
	return h;
}

static struct ob_ip ip(const char *text)
{
	struct ob_ip a = {0};

	a.family = tp_addr(text, a.b) == 4 ? AF_INET : AF_INET6;
	return a;
}

static int add_eni(uint32_t idx, uint16_t vnet, const char *addr)
{
	struct ob_eni_cfg c = {.vif = (uint16_t)idx, .vnet = vnet, .mtu = 1400, .n_addrs = 1};

	c.mac[0] = 2;
	c.mac[5] = (uint8_t)idx;
	c.addr[0] = ip(addr);
	c.prefix_len[0] = 24;
	return ob_eni_set(idx, &c, NULL, 0);
}

static struct ob_mapping_cfg mapping(uint16_t vnet, const char *ca)
{
	struct ob_mapping_cfg m = {.vnet = vnet, .mac = {2, 0, 0, 0, 1, 1}};

	m.ca = ip(ca);
	return m;
}

static struct ob_route_cfg via(
    uint16_t vnet, const char *prefix, uint8_t len, uint16_t to, unsigned n)
{
	struct ob_route_cfg c = {.vnet = vnet,
	    .action = OB_ROUTE_VIA,
	    .prefix_len = len,
	    .to_vnet = to,
	    .n_hops = (uint8_t)n};

	c.prefix = ip(prefix);
	for (unsigned i = 0; i < n; i++) {
		c.hop[i] = ip("192.0.2.0");
		c.hop[i].b[3] = (uint8_t)(i + 1);
	}
	return c;
}

static uint32_t value_of(uint16_t vnet, const char *text)
{
	struct ob_ip a = ip(text);
	rte_be32_t ip4;

	memcpy(&ip4, a.b, 4);
	return a.family == AF_INET ? ob_lpm_get(ob_vnet_at(vnet)->lpm4, ob_lpm_key4(ip4))
				   : ob_lpm_get(ob_vnet_at(vnet)->lpm6, ob_lpm_key6(a.b));
}

static const struct ob_target *target_of(uint16_t vnet, const char *text)
{
	return ob_target_at(ob_route_value_arg(value_of(vnet, text)));
}

static int begin(void **state)
{
	struct ob_tunnel_cfg t = {.type = OB_ENCAP_VXLAN};
	struct ob_vnet_cfg v;

	(void)state;
	if (ob_arena_create("hops-test", 512ull << 20, &arena) < 0 || ob_encap_init(arena) < 0 ||
	    ob_policy_init(arena) < 0)
		return -1;
	t.remote = ip("198.51.100.7");
	if (ob_tunnel_set(0, &t, NULL, 0) < 0)
		return -1;
	for (uint32_t i = 0; i < 4; i++) {
		v.vni = 100 + i;
		if (ob_vnet_set(i, &v, NULL, 0) < 0)
			return -1;
	}
	ob_policy_set_on_change(on_change);
	heard = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	ob_policy_set_on_change(NULL);
	ob_policy_fini();
	ob_encap_fini();
	ob_rcu_reclaim();
	ob_arena_destroy(arena);
	return 0;
}

static void next_hop_leads_to_its_mapping_or_eni(void **state)
{
	struct ob_route_cfg r = via(0, "0.0.0.0", 0, 1, 1), got;
	struct ob_mapping_cfg m = mapping(1, "192.0.2.1");
	const struct ob_target *t;
	uint32_t at;

	(void)state;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(ob_route_value_action(value_of(0, "8.8.8.8")), OB_ROUTE_VIA);
	t = target_of(0, "8.8.8.8");
	assert_int_equal(t->to_vnet, 1);
	ob_policy_find(ob_target_pick(t, 5), &at, 1);
	assert_int_equal(at, OB_TABLE_MISS);
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	ob_policy_find(ob_target_pick(t, 5), &at, 1);
	assert_memory_equal(ob_mapping_at(at)->mac, m.mac, 6);
	assert_int_equal(add_eni(3, 1, "192.0.2.1"), 0);
	ob_policy_find(ob_target_pick(t, 5), &at, 1);
	assert_int_equal(at, OB_CA_ENI | 3);
	assert_int_equal(ob_route_get(0, &r.prefix, 0, &got), 0);
	assert_memory_equal(&got, &r, sizeof(r));
	/* IPv6 by an IPv4 next hop, as NAT64 does. */
	r = via(0, "64:ff9b::", 96, 1, 2);
	r.action = OB_ROUTE_NAT;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(ob_route_value_action(value_of(0, "64:ff9b::808:808")), OB_ROUTE_NAT);
	assert_int_equal(target_of(0, "64:ff9b::808:808")->n, 2);
	assert_int_equal(ob_vnet_del(1, err, sizeof(err)), -EBUSY);
}

static void bad_next_hops_are_refused(void **state)
{
	struct ob_route_cfg good = via(0, "0.0.0.0", 0, 1, 2), c;

	(void)state;
#define REFUSED(rc, change)                                               \
	do {                                                              \
		c = good;                                                 \
		err[0] = '\0';                                            \
		change;                                                   \
		assert_int_equal(ob_route_set(&c, err, sizeof(err)), rc); \
		assert_true(strlen(err) > 10);                            \
	} while (0)
	REFUSED(-EINVAL, c.n_hops = 0);
	REFUSED(-EINVAL, c.n_hops = OB_ROUTE_MAX_HOPS + 1);
	REFUSED(-EINVAL, c.hop[1] = c.hop[0]);
	REFUSED(-EINVAL, c.hop[1] = ip("2001:db8::1"));
	REFUSED(-EINVAL, c.hop[1] = ip("224.0.0.1"));
	REFUSED(-EINVAL, c.hop[1].family = 0);
	REFUSED(-EINVAL, c.action = OB_ROUTE_VNET);
	REFUSED(-EINVAL, c.action = OB_ROUTE_DROP);
	REFUSED(-EINVAL, c.action = OB_ROUTE_NAT + 1);
	REFUSED(-ENOENT, c.to_vnet = 9);
#undef REFUSED
	assert_int_equal(ob_route_count(), 0);
	assert_int_equal(what_was_heard(), 0);
}

static void flows_spread_and_only_those_of_a_lost_hop_move(void **state)
{
	struct ob_route_cfg r = via(0, "0.0.0.0", 0, 1, 8);
	enum { FLOWS = 20000 };
	static uint8_t hop[FLOWS];
	const struct ob_target *t;
	unsigned n[9] = {0}, moved = 0;

	(void)state;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	t = target_of(0, "8.8.8.8");
	for (uint32_t i = 0; i < FLOWS; i++) {
		hop[i] = (uint8_t)(ob_target_pick(t, i * 2654435761u)->w[1] >> 24);
		n[hop[i]]++;
	}
	for (unsigned i = 1; i <= 8; i++)
		assert_in_range(n[i], FLOWS / 8 * 85 / 100, FLOWS / 8 * 115 / 100);
	/* Hop 3 goes; the last takes its place in the list. */
	r.hop[2] = r.hop[7];
	memset(&r.hop[7], 0, sizeof(r.hop[7]));
	r.n_hops = 7;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	t = target_of(0, "8.8.8.8");
	for (uint32_t i = 0; i < FLOWS; i++) {
		unsigned now = (unsigned)(ob_target_pick(t, i * 2654435761u)->w[1] >> 24);

		assert_int_not_equal(now, 3);
		if (hop[i] != 3)
			assert_int_equal(now, hop[i]);
		else
			moved++;
	}
	assert_int_equal(moved, n[3]);
}

static void hundred_thousand_routes_share_few_sets(void **state)
{
	struct ob_route_cfg r;
	enum { N = 100000 };

	(void)state;
	ob_policy_set_on_change(NULL);
	for (uint32_t i = 0; i < N; i++) {
		rte_be32_t p = rte_cpu_to_be_32(0x0b000000u + (i << 8));

		r = via(0, "11.0.0.0", 24, 1, 1 + i % 16);
		memcpy(r.prefix.b, &p, 4);
		assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	}
	assert_int_equal(ob_route_count(), N);
	assert_ptr_equal(target_of(0, "11.0.0.1"), target_of(0, "11.0.16.1"));
	assert_ptr_not_equal(target_of(0, "11.0.0.1"), target_of(0, "11.0.1.1"));
	assert_int_equal(ob_route_value_arg(value_of(0, "11.0.15.1")), 15);
	assert_non_null(ob_target_at(15));
	assert_null(ob_target_at(16));
	for (uint32_t i = 0; i < N; i++) {
		rte_be32_t p = rte_cpu_to_be_32(0x0b000000u + (i << 8));

		r = via(0, "11.0.0.0", 24, 1, 1);
		memcpy(r.prefix.b, &p, 4);
		assert_int_equal(ob_route_del(0, &r.prefix, 24), 0);
	}
	ob_rcu_reclaim();
	assert_null(ob_target_at(0));
	assert_int_equal(ob_vnet_del(1, err, sizeof(err)), 0);
}

static void full_of_sets_changes_nothing(void **state)
{
	struct ob_route_cfg r;
	int rc = 0;
	uint32_t i;

	(void)state;
	ob_policy_set_on_change(NULL);
	for (i = 0; rc == 0; i++) {
		rte_be32_t p = rte_cpu_to_be_32(0x0b000000u + i);

		r = via(0, "11.0.0.0", 32, 1, 1);
		memcpy(r.prefix.b, &p, 4);
		memcpy(r.hop[0].b, &p, 4);
		rc = ob_route_set(&r, err, sizeof(err));
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(ob_route_count(), OB_MAX_TARGETS);
	assert_int_equal(ob_route_get(0, &r.prefix, 32, &r), -ENOENT);
	/* A set that is there already has room for more routes, and one that goes makes room. */
	r = via(0, "12.0.0.0", 32, 1, 1);
	r.hop[0] = ip("11.0.0.5");
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	r.prefix = ip("11.0.0.6");
	assert_int_equal(ob_route_del(0, &r.prefix, 32), 0);
	ob_rcu_reclaim();
	r.hop[0] = ip("192.0.2.1");
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
}

static void next_hops_survive(void **state)
{
	struct ob_route_cfg a = via(0, "10.0.0.0", 8, 1, 16), b = via(2, "10.0.0.0", 8, 1, 16), got;
	struct ob_arena *again;

	(void)state;
	assert_int_equal(ob_route_set(&a, NULL, 0), 0);
	assert_int_equal(ob_route_set(&b, NULL, 0), 0);
	b.prefix = ip("11.0.0.0");
	b.n_hops = 2;
	memset(&b.hop[2], 0, 14 * sizeof(b.hop[0]));
	assert_int_equal(ob_route_set(&b, NULL, 0), 0);
	ob_policy_fini();
	ob_encap_fini();
	assert_int_equal(ob_arena_open(ob_arena_fd(arena), &again), 0);
	ob_arena_destroy(arena);
	arena = again;
	assert_int_equal(ob_encap_init(arena), 0);
	assert_int_equal(ob_policy_init(arena), 0);
	assert_int_equal(ob_route_count(), 3);
	assert_int_equal(ob_route_get(0, &a.prefix, 8, &got), 0);
	assert_memory_equal(&got, &a, sizeof(a));
	assert_int_equal(target_of(0, "10.1.1.1")->n, 16);
	assert_ptr_equal(target_of(0, "10.1.1.1"), target_of(2, "10.1.1.1"));
	assert_int_equal(target_of(2, "11.1.1.1")->n, 2);
	/* Deleting the last user gives the set's number back. */
	assert_int_equal(ob_route_del(2, &b.prefix, 8), 0);
	ob_rcu_reclaim();
	assert_null(ob_target_at(1));
	assert_non_null(ob_target_at(0));
}

static void changes_reach_the_enis_that_they_can_touch(void **state)
{
	struct ob_route_cfg r;
	struct ob_mapping_cfg m;
	struct ob_vnet_cfg v = {.vni = 300};

	(void)state;
	assert_int_equal(add_eni(0, 0, "10.0.0.5"), 0);
	assert_int_equal(what_was_heard(), 1 << 0);
	assert_int_equal(add_eni(1, 1, "10.1.0.5"), 0);
	assert_int_equal(add_eni(2, 2, "10.2.0.5"), 0);
	what_was_heard();
	/* Routes: the ENIs of their VNET. */
	r = via(0, "192.0.2.0", 24, 1, 2);
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 1 << 0);
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 0); /* set to what it is */
	/* Mappings: a new one changes no session; then also those that have routes into the VNET. */
	m = mapping(1, "192.0.2.1");
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 0);
	m.vni = 77;
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1);
	assert_int_equal(add_eni(3, 1, "192.0.2.1"), 0); /* covers it */
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1 | 1 << 3);
	assert_int_equal(add_eni(3, 1, "192.0.2.1"), 0);
	assert_int_equal(what_was_heard(), 0);
	assert_int_equal(ob_eni_del(3, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1 | 1 << 3);
	assert_int_equal(ob_mapping_del(1, &m.ca), 0);
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1);
	assert_int_equal(ob_vnet_set(1, &v, NULL, 0), 0);
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1);
	assert_int_equal(add_eni(2, 1, "10.2.0.5"), 0); /* moves from VNET 2 */
	assert_int_equal(what_was_heard(), 1 << 0 | 1 << 1 | 1 << 2);
	assert_int_equal(ob_route_del(0, &r.prefix, 24), 0);
	assert_int_equal(what_was_heard(), 1 << 0);
	m.vni = 78;
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(ob_mapping_del(1, &m.ca), 0);
	assert_int_equal(what_was_heard(), 1 << 1 | 1 << 2); /* no way from VNET 0 any more */
}

static void objects_that_are_held_stay(void **state)
{
	(void)state;
	assert_int_equal(ob_vnet_hold(9), -ENOENT);
	assert_int_equal(ob_eni_hold(0), -ENOENT);
	assert_int_equal(add_eni(0, 0, "10.0.0.5"), 0);
	assert_int_equal(ob_eni_hold(0), 0);
	assert_int_equal(ob_vnet_hold(3), 0);
	assert_int_equal(ob_eni_del(0, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_vnet_del(3, err, sizeof(err)), -EBUSY);
	ob_eni_release(0);
	ob_vnet_release(3);
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
	assert_int_equal(ob_vnet_del(3, NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(next_hop_leads_to_its_mapping_or_eni, begin, end),
	    cmocka_unit_test_setup_teardown(bad_next_hops_are_refused, begin, end),
	    cmocka_unit_test_setup_teardown(
		flows_spread_and_only_those_of_a_lost_hop_move, begin, end),
	    cmocka_unit_test_setup_teardown(hundred_thousand_routes_share_few_sets, begin, end),
	    cmocka_unit_test_setup_teardown(full_of_sets_changes_nothing, begin, end),
	    cmocka_unit_test_setup_teardown(next_hops_survive, begin, end),
	    cmocka_unit_test_setup_teardown(changes_reach_the_enis_that_they_can_touch, begin, end),
	    cmocka_unit_test_setup_teardown(objects_that_are_held_stay, begin, end),
	};

	return cmocka_run_group_tests_name("policy_hops", tests, NULL, NULL);
}
