/* SPDX-License-Identifier: BSD-3-Clause */
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

static struct ob_ip ip(const char *text)
{
	struct ob_ip a = {0};

	a.family = tp_addr(text, a.b) == 4 ? AF_INET : AF_INET6;
	return a;
}

static uint32_t find_ca(uint16_t vnet, const char *text)
{
	struct ob_ip a = ip(text);
	rte_be32_t ip4;
	struct ob_key k;
	uint32_t v;

	memcpy(&ip4, a.b, 4);
	k = a.family == AF_INET ? ob_key_ca4(vnet, ip4) : ob_key_ca6(vnet, a.b);
	ob_policy_find(&k, &v, 1);
	return v;
}

static uint32_t find_mac(uint32_t vni, const uint8_t mac[6])
{
	struct ob_key k = ob_key_mac(vni, mac);
	uint32_t v;

	ob_policy_find(&k, &v, 1);
	return v;
}

static uint32_t route_of(uint16_t vnet, const char *text)
{
	const struct ob_policy_vnet *v = ob_vnet_at(vnet);
	struct ob_ip a = ip(text);
	rte_be32_t ip4;

	assert_non_null(v);
	memcpy(&ip4, a.b, 4);
	return a.family == AF_INET ? ob_lpm_get(v->lpm4, ob_lpm_key4(ip4))
				   : ob_lpm_get(v->lpm6, ob_lpm_key6(a.b));
}

static struct ob_eni_cfg eni(uint16_t vif, uint16_t vnet, const char *addr)
{
	struct ob_eni_cfg c = {.vif = vif, .vnet = vnet, .mtu = 1400, .n_addrs = 1, .n_routers = 1};

	c.mac[0] = 2;
	c.mac[5] = (uint8_t)(vif + 1);
	c.addr[0] = ip(addr);
	c.prefix_len[0] = c.addr[0].family == AF_INET ? 24 : 64;
	c.router[0] = ip(c.addr[0].family == AF_INET ? "10.0.0.1" : "2001:db8::1");
	return c;
}

static struct ob_route_cfg route(uint16_t vnet, const char *prefix, uint8_t len, uint16_t to)
{
	struct ob_route_cfg c = {
	    .vnet = vnet, .action = OB_ROUTE_VNET, .prefix_len = len, .to_vnet = to};

	c.prefix = ip(prefix);
	return c;
}

static struct ob_mapping_cfg mapping(uint16_t vnet, const char *ca, uint32_t tunnel)
{
	struct ob_mapping_cfg c = {.vnet = vnet, .tunnel = tunnel, .mac = {2, 9, 9, 9, 9, 9}};

	c.ca = ip(ca);
	return c;
}

static int begin(void **state)
{
	struct ob_tunnel_cfg t = {.type = OB_ENCAP_VXLAN};
	struct ob_vnet_cfg v = {.vni = 100};

	(void)state;
	if (ob_arena_create("policy-test", 512ull << 20, &arena) < 0 || ob_encap_init(arena) < 0 ||
	    ob_policy_init(arena) < 0)
		return -1;
	t.remote = ip("198.51.100.7");
	if (ob_tunnel_set(0, &t, NULL, 0) < 0 || ob_vnet_set(0, &v, NULL, 0) < 0)
		return -1;
	v.vni = 200;
	return ob_vnet_set(1, &v, NULL, 0);
}

static int end(void **state)
{
	(void)state;
	ob_policy_fini();
	ob_encap_fini();
	ob_rcu_reclaim();
	ob_arena_destroy(arena);
	return 0;
}

static void vnets_have_unique_vnis(void **state)
{
	struct ob_vnet_cfg v = {.vni = 100};

	(void)state;
	assert_int_equal(ob_vnet_set(2, &v, err, sizeof(err)), -EEXIST);
	v.vni = 1 << 24;
	assert_int_equal(ob_vnet_set(2, &v, err, sizeof(err)), -EINVAL);
	v.vni = 300;
	assert_int_equal(ob_vnet_set(OB_MAX_VNETS, &v, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_vnet_del(2, err, sizeof(err)), -ENOENT);
	assert_null(ob_vnet_get(2));
	assert_null(ob_vnet_at(OB_MAX_VNETS));
	assert_int_equal(ob_vnet_set(2, &v, NULL, 0), 0);
	assert_int_equal(ob_vnet_at(2)->vni, 300);
	assert_int_equal(ob_vnet_del(2, NULL, 0), 0);
	assert_null(ob_vnet_at(2));
}

static void bad_enis_are_refused_with_a_reason(void **state)
{
	struct ob_eni_cfg good = eni(5, 0, "10.0.0.5"), c;

	(void)state;
#define REFUSED(rc, change)                                                \
	do {                                                               \
		c = good;                                                  \
		err[0] = '\0';                                             \
		change;                                                    \
		assert_int_equal(ob_eni_set(0, &c, err, sizeof(err)), rc); \
		assert_true(strlen(err) > 10);                             \
	} while (0)
	REFUSED(-EINVAL, c.vif = OB_MAX_VIFS);
	REFUSED(-EINVAL, c.mac[0] = 1);
	REFUSED(-EINVAL, memset(c.mac, 0, 6));
	REFUSED(-EINVAL, c.router_mac[0] = 1);
	REFUSED(-EINVAL, memcpy(c.router_mac, c.mac, 6));
	REFUSED(-EINVAL, c.n_addrs = OB_ENI_MAX_ADDRS + 1);
	REFUSED(-EINVAL, c.n_routers = OB_ENI_MAX_ROUTERS + 1);
	REFUSED(-EINVAL, c.n_dns = OB_ENI_MAX_ROUTERS + 1);
	REFUSED(-EINVAL, c.prefix_len[0] = 33);
	REFUSED(-EINVAL, c.prefix_len[0] = 0);
	REFUSED(-EINVAL, c.addr[0] = ip("224.0.0.1"));
	REFUSED(-EINVAL, c.addr[0] = ip("ff02::1"));
	REFUSED(-EINVAL, c.addr[0].family = 0);
	REFUSED(-EINVAL, c.n_addrs = 2; c.addr[1] = c.addr[0]; c.prefix_len[1] = 24);
	REFUSED(-EINVAL, c.router[0] = c.addr[0]);
	REFUSED(-EINVAL, c.mtu = 575);
	REFUSED(-EINVAL, c.addr[0] = ip("2001:db8::5"); c.mtu = 1279);
	REFUSED(-ENOENT, c.vnet = 7);
#undef REFUSED
	assert_int_equal(ob_eni_set(OB_MAX_ENIS, &good, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_eni_del(0, err, sizeof(err)), -ENOENT);
	assert_null(ob_eni_of_vif(5));
	assert_null(ob_eni_of_vif(OB_VIF_NONE));
	assert_null(ob_eni_at(0));
}

static void eni_is_found_by_function_mac_and_addresses(void **state)
{
	struct ob_eni_cfg c = eni(5, 0, "10.0.0.5");
	static const uint8_t ll[16] = {
	    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0x6f, 0x62, 0xff, 0xfe, 0, 0, 1};

	(void)state;
	c.n_addrs = 2;
	c.addr[1] = ip("2001:db8::5");
	c.prefix_len[1] = 128;
	assert_int_equal(ob_eni_set(3, &c, NULL, 0), 0);
	assert_int_equal(ob_eni_of_vif(5)->idx, 3);
	assert_int_equal(ob_eni_of_vif(5)->n_addr4, 1);
	assert_int_equal(ob_eni_of_vif(5)->plen6[0], 128);
	assert_int_equal(ob_eni_of_vif(5)->lease_s, 3600);
	assert_memory_equal(ob_eni_of_vif(5)->router_ll, ll, 16);
	/* A router that was given a link-local address speaks with that one. */
	c.n_routers = 2;
	c.router[0] = ip("2001:db8::1");
	c.router[1] = ip("fe80::1");
	assert_int_equal(ob_eni_set(3, &c, NULL, 0), 0);
	assert_memory_equal(ob_eni_of_vif(5)->router_ll, c.router[1].b, 16);
	assert_int_equal(find_mac(100, c.mac), 3);
	assert_int_equal(find_mac(200, c.mac), OB_TABLE_MISS);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_CA_ENI | 3);
	assert_int_equal(find_ca(0, "2001:db8::5"), OB_CA_ENI | 3);
	assert_int_equal(find_ca(1, "10.0.0.5"), OB_TABLE_MISS); /* another VNET */
	/* It moves: other function, VNET, MAC and addresses. */
	c = eni(6, 1, "10.0.0.6");
	assert_int_equal(ob_eni_set(3, &c, NULL, 0), 0);
	assert_null(ob_eni_of_vif(5));
	assert_int_equal(ob_eni_of_vif(6)->idx, 3);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_TABLE_MISS);
	assert_int_equal(find_ca(0, "2001:db8::5"), OB_TABLE_MISS);
	assert_int_equal(find_ca(1, "10.0.0.6"), OB_CA_ENI | 3);
	assert_int_equal(find_mac(200, c.mac), 3);
	assert_int_equal(ob_vnet_del(1, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_eni_del(3, NULL, 0), 0);
	assert_null(ob_eni_of_vif(6));
	assert_int_equal(find_ca(1, "10.0.0.6"), OB_TABLE_MISS);
	assert_int_equal(find_mac(200, c.mac), OB_TABLE_MISS);
	assert_int_equal(ob_vnet_del(1, NULL, 0), 0);
}

static void enis_do_not_share(void **state)
{
	struct ob_eni_cfg a = eni(5, 0, "10.0.0.5"), b;

	(void)state;
	assert_int_equal(ob_eni_set(0, &a, NULL, 0), 0);
	b = eni(6, 0, "10.0.0.5");
	assert_int_equal(ob_eni_set(1, &b, err, sizeof(err)), -EEXIST);
	b = eni(5, 0, "10.0.0.6");
	assert_int_equal(ob_eni_set(1, &b, err, sizeof(err)), -EEXIST);
	b = eni(6, 0, "10.0.0.6");
	memcpy(b.mac, a.mac, 6);
	assert_int_equal(ob_eni_set(1, &b, err, sizeof(err)), -EEXIST);
	b.vnet = 1; /* the same MAC and address in another VNET are nobody's business */
	b.addr[0] = a.addr[0];
	assert_int_equal(ob_eni_set(1, &b, NULL, 0), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_CA_ENI | 0);
	assert_int_equal(find_ca(1, "10.0.0.5"), OB_CA_ENI | 1);
}

static void vni_can_change_under_enis(void **state)
{
	struct ob_eni_cfg c = eni(5, 0, "10.0.0.5");
	struct ob_vnet_cfg v = {.vni = 101};

	(void)state;
	assert_int_equal(ob_eni_set(0, &c, NULL, 0), 0);
	assert_int_equal(ob_vnet_set(0, &v, NULL, 0), 0);
	assert_int_equal(find_mac(101, c.mac), 0);
	assert_int_equal(find_mac(100, c.mac), OB_TABLE_MISS);
	v.vni = 100; /* free again */
	assert_int_equal(ob_vnet_set(9, &v, NULL, 0), 0);
}

static void routes_by_longest_prefix(void **state)
{
	struct ob_route_cfg r = route(0, "10.0.0.0", 8, 1), got;
	uint32_t cursor = 0;

	(void)state;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	r = route(0, "10.1.0.0", 16, 0);
	r.action = OB_ROUTE_DROP;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	r = route(0, "::", 0, 1);
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(route_of(0, "10.2.3.4"), ob_route_value(OB_ROUTE_VNET, 1));
	assert_int_equal(ob_route_value_action(route_of(0, "10.1.3.4")), OB_ROUTE_DROP);
	assert_int_equal(route_of(0, "11.0.0.1"), OB_TABLE_MISS);
	assert_int_equal(route_of(1, "10.2.3.4"), OB_TABLE_MISS);
	assert_int_equal(route_of(0, "2001:db8::1"), ob_route_value(OB_ROUTE_VNET, 1));
	assert_int_equal(ob_route_count(), 3);
	assert_int_equal(ob_vnet_del(1, err, sizeof(err)), -EBUSY);
	r = route(0, "10.0.0.0", 8, 0); /* replaced */
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(ob_route_count(), 3);
	assert_int_equal(route_of(0, "10.2.3.4"), ob_route_value(OB_ROUTE_VNET, 0));
	assert_int_equal(ob_route_get(0, &r.prefix, 8, &got), 0);
	assert_memory_equal(&got, &r, sizeof(r));
	assert_int_equal(ob_route_get(0, &r.prefix, 9, &got), -ENOENT);
	assert_int_equal(ob_route_del(0, &r.prefix, 9), -ENOENT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_route_next(&cursor, &got), 0);
	assert_int_equal(ob_route_next(&cursor, &got), -ENOENT);
	cursor = 0;
	while (ob_route_next(&cursor, &got) == 0)
		assert_int_equal(ob_route_del(got.vnet, &got.prefix, got.prefix_len), 0);
	assert_int_equal(ob_route_count(), 0);
	assert_int_equal(ob_vnet_del(0, NULL, 0), 0);
	assert_int_equal(ob_vnet_del(1, NULL, 0), 0);
}

static void bad_routes_and_mappings(void **state)
{
	struct ob_route_cfg r = route(0, "10.0.0.1", 8, 1);
	struct ob_mapping_cfg m = mapping(0, "10.0.0.9", 0);

	(void)state;
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -EINVAL);
	r = route(0, "10.0.0.0", 33, 1);
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -EINVAL);
	r = route(0, "10.0.0.0", 8, 77);
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -ENOENT);
	r = route(77, "10.0.0.0", 8, 0);
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -ENOENT);
	r = route(0, "10.0.0.0", 8, 1);
	r.action = 9;
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -EINVAL);
	r.prefix.family = 0;
	assert_int_equal(ob_route_set(&r, err, sizeof(err)), -EINVAL);

	m.tunnel = 5;
	assert_int_equal(ob_mapping_set(&m, err, sizeof(err)), -ENOENT);
	m = mapping(7, "10.0.0.9", 0);
	assert_int_equal(ob_mapping_set(&m, err, sizeof(err)), -ENOENT);
	m = mapping(0, "224.0.0.9", 0);
	assert_int_equal(ob_mapping_set(&m, err, sizeof(err)), -EINVAL);
	m = mapping(0, "10.0.0.9", 0);
	m.mac[0] = 1;
	assert_int_equal(ob_mapping_set(&m, err, sizeof(err)), -EINVAL);
	m = mapping(0, "10.0.0.9", 0);
	m.vni = 1 << 24;
	assert_int_equal(ob_mapping_set(&m, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_mapping_del(0, &m.ca), -ENOENT);
	assert_int_equal(ob_mapping_get(0, &m.ca, &m), -ENOENT);
}

static void mappings_hold_their_tunnel(void **state)
{
	struct ob_mapping_cfg m = mapping(0, "10.0.0.9", 0), got;
	uint32_t at, cursor = 0;

	(void)state;
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	at = find_ca(0, "10.0.0.9");
	assert_memory_equal(ob_mapping_at(at)->mac, m.mac, 6);
	assert_int_equal(ob_policy_tunnel_refs(0), 1);
	assert_int_equal(ob_tunnel_del(0), -EBUSY);
	m.vni = 555;
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(
	    ob_mapping_at(at)->vni, 0); /* who still looks at the old one sees no change */
	assert_int_equal(ob_mapping_at(find_ca(0, "10.0.0.9"))->vni, 555);
	assert_int_equal(ob_mapping_count(), 1);
	assert_int_equal(ob_policy_tunnel_refs(0), 1);
	assert_int_equal(ob_mapping_next(&cursor, &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	assert_int_equal(ob_mapping_next(&cursor, &got), -ENOENT);
	assert_int_equal(ob_mapping_del(0, &m.ca), 0);
	assert_int_equal(find_ca(0, "10.0.0.9"), OB_TABLE_MISS);
	assert_int_equal(ob_tunnel_del(0), 0);
}

static void local_eni_covers_a_mapping_while_it_is_there(void **state)
{
	struct ob_mapping_cfg m = mapping(0, "10.0.0.5", 0);
	struct ob_eni_cfg c = eni(5, 0, "10.0.0.5");
	uint32_t at;

	(void)state;
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	at = find_ca(0, "10.0.0.5");
	assert_int_equal(ob_eni_set(0, &c, NULL, 0), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_CA_ENI | 0);
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), at);
	assert_int_equal(ob_eni_set(0, &c, NULL, 0), 0);
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_CA_ENI | 0);
	assert_int_equal(ob_mapping_del(0, &m.ca), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_CA_ENI | 0);
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
	assert_int_equal(find_ca(0, "10.0.0.5"), OB_TABLE_MISS);
}

static void records_survive_and_are_compiled_again(void **state)
{
	struct ob_eni_cfg c = eni(5, 0, "10.0.0.5");
	struct ob_route_cfg r = route(0, "10.9.0.0", 16, 1);
	struct ob_mapping_cfg m = mapping(1, "10.9.0.9", 0);
	struct ob_arena *again;
	uint32_t n = 3000;

	(void)state;
	assert_int_equal(ob_eni_set(11, &c, NULL, 0), 0);
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct ob_mapping_cfg x = mapping(1, "10.8.0.0", 0);

		x.ca.b[2] = (uint8_t)(i >> 8);
		x.ca.b[3] = (uint8_t)i;
		assert_int_equal(ob_mapping_set(&x, NULL, 0), 0);
		if (i % 3 == 0)
			assert_int_equal(ob_mapping_del(1, &x.ca), 0);
	}
	ob_policy_fini();
	ob_encap_fini();
	assert_null(ob_vnet_get(0));
	assert_null(ob_eni_get(11));
	assert_int_equal(ob_mapping_count(), 0);
	/* As a successor does: the same memory, opened again by its fd. */
	assert_int_equal(ob_arena_open(ob_arena_fd(arena), &again), 0);
	ob_arena_destroy(arena);
	arena = again;
	assert_int_equal(ob_encap_init(arena), 0);
	assert_int_equal(ob_policy_init(arena), 0);
	assert_memory_equal(ob_eni_get(11), &c, sizeof(c));
	assert_int_equal(ob_eni_of_vif(5)->idx, 11);
	assert_int_equal(find_mac(100, c.mac), 11);
	assert_int_equal(route_of(0, "10.9.1.1"), ob_route_value(OB_ROUTE_VNET, 1));
	assert_int_equal(ob_mapping_at(find_ca(1, "10.9.0.9"))->tunnel, 0);
	assert_int_equal(ob_mapping_count(), 1 + n - n / 3);
	assert_int_equal(ob_policy_tunnel_refs(0), 1 + n - n / 3);
	assert_int_equal(find_ca(1, "10.8.0.3"), OB_TABLE_MISS);
	assert_int_not_equal(find_ca(1, "10.8.0.4"), OB_TABLE_MISS);
	assert_int_equal(ob_vnet_del(0, NULL, 0), -EBUSY);
	/* Freed numbers are used again. */
	m = mapping(1, "10.7.0.1", 0);
	assert_int_equal(ob_mapping_set(&m, NULL, 0), 0);
	assert_true(find_ca(1, "10.7.0.1") < n + 1);
}

struct area {
	const char *name;
	uint64_t head, len;
	uint32_t max, layout;
};

static void damaged_records_are_not_trusted(void **state)
{
	static const struct area areas[] = {
	    {"policy.vnet", 64, OB_MAX_VNETS * 8ull, OB_MAX_VNETS, 1},
	    {"policy.eni", 64, OB_MAX_ENIS * (4 + sizeof(struct ob_eni_cfg)), OB_MAX_ENIS, 1},
	    {"policy.route", 64, OB_MAX_ROUTES * 28ull, OB_MAX_ROUTES, 2},
	    {"policy.target", 64, OB_MAX_TARGETS * 264ull, OB_MAX_TARGETS, 1},
	    {"policy.mapping", 64, OB_MAX_MAPPINGS * sizeof(struct ob_mapping), OB_MAX_MAPPINGS, 1},
	};
	uint64_t rng = 7;
	bool fresh;
	void *p;

	(void)state;
	ob_policy_fini();
	for (unsigned a = 0; a < RTE_DIM(areas); a++) {
		uint32_t *head;

		assert_int_equal(ob_arena_region(arena, areas[a].name, areas[a].layout,
				     areas[a].head + areas[a].len, &p, &fresh),
		    0);
		assert_false(fresh);
		head = p;
		head[0] = areas[a].max + 1;
		assert_int_equal(ob_policy_init(arena), -EPROTO);
		head[0] = RTE_MIN(areas[a].max, 3000u);
		for (unsigned i = 16; i < 16 + 20000; i++) {
			rng = rng * 6364136223846793005ull + 1442695040888963407ull;
			head[i] = (uint32_t)(rng >> 40) & 0x03030303;
		}
	}
	assert_int_equal(ob_policy_init(arena), 0);
	for (uint16_t vif = 0; vif < OB_MAX_VIFS; vif++)
		if (ob_eni_of_vif(vif) != NULL)
			assert_non_null(ob_vnet_get(ob_eni_of_vif(vif)->vnet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(vnets_have_unique_vnis, begin, end),
	    cmocka_unit_test_setup_teardown(bad_enis_are_refused_with_a_reason, begin, end),
	    cmocka_unit_test_setup_teardown(eni_is_found_by_function_mac_and_addresses, begin, end),
	    cmocka_unit_test_setup_teardown(enis_do_not_share, begin, end),
	    cmocka_unit_test_setup_teardown(vni_can_change_under_enis, begin, end),
	    cmocka_unit_test_setup_teardown(routes_by_longest_prefix, begin, end),
	    cmocka_unit_test_setup_teardown(bad_routes_and_mappings, begin, end),
	    cmocka_unit_test_setup_teardown(mappings_hold_their_tunnel, begin, end),
	    cmocka_unit_test_setup_teardown(
		local_eni_covers_a_mapping_while_it_is_there, begin, end),
	    cmocka_unit_test_setup_teardown(damaged_records_are_not_trusted, begin, end),
	    cmocka_unit_test_setup_teardown(records_survive_and_are_compiled_again, begin, end),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
