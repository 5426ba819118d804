/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools, blocks, floating IPs, owners. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_nat.h"

#define N_ENIS 4

static struct ob_arena *arena;
static char err[128];
static uint32_t heard;
static struct test_mbuf udp, icmp, gre, udp6;
static struct ob_meta udp_meta, icmp_meta, gre_meta, udp6_meta;

static void on_change(uint32_t eni)
{
	heard |= 1u << eni;
}

static void packet(struct test_mbuf *m, struct ob_meta *meta, unsigned proto, unsigned first)
{
	static const uint8_t mac[6] = {2};
	struct test_pkt p = {.len = 0};
	unsigned at;

	tp_eth(&p, mac, mac, 0x0800);
	at = tp_ip(&p, "10.0.0.10", "198.51.100.1", proto, 0, 64, false);
	tp_u8(&p, first);
	tp_fill(&p, 19);
	tp_ip_end(&p, at);
	assert_true(test_parse(p.b, p.len, meta));
	test_mbuf_set(m, p.b, p.len);
}

static int begin(void **state)
{
	static const uint8_t mac[6] = {2};
	struct test_pkt p;

	(void)state;
	if (ob_arena_create("nat-test", TEST_ARENA, &arena) < 0 || test_vpc(arena, N_ENIS) < 0)
		return -1;
	packet(&udp, &udp_meta, 17, 1);
	packet(&icmp, &icmp_meta, 1, 8);
	packet(&gre, &gre_meta, 47, 0);
	tp_udp_frame(&p, mac, mac, "2001:db8::a", "64:ff9b::c633:6401", 1, 2, 4);
	test_parse(p.b, p.len, &udp6_meta);
	test_mbuf_set(&udp6, p.b, p.len);
	ob_policy_set_on_change(on_change);
	heard = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	ob_policy_set_on_change(NULL);
	ob_nat_fini();
	ob_policy_fini();
	ob_encap_fini();
	ob_rcu_reclaim();
	ob_arena_destroy(arena);
	return 0;
}

static enum ob_drop out(unsigned worker, uint16_t eni, struct ob_nat_try *t)
{
	return ob_nat_out(worker, eni, OUTSIDE, &udp.m, &udp_meta, t);
}

/* One new connection whose first candidate is free. */
static struct ob_nat_try open_one(unsigned worker, uint16_t eni)
{
	struct ob_nat_try t = {0};

	assert_int_equal(out(worker, eni, &t), OB_PASS);
	assert_int_not_equal(t.tag, 0);
	return t;
}

static enum ob_nat_kind owner_of(
    rte_be32_t ip, uint8_t proto, rte_be16_t port, struct ob_nat_owner *o)
{
	struct ob_key k = ob_nat_key(OUTSIDE, ip);
	uint32_t addr;

	ob_nat_find(&k, &addr, 1);
	return addr == OB_TABLE_MISS ? OB_NAT_NONE : ob_nat_owner(addr, proto, port, o);
}

static uint32_t blocks_used(uint32_t pool)
{
	struct ob_nat_pool_state s;

	assert_int_equal(ob_nat_pool_state(pool, &s), 0);
	return s.n_blocks_used;
}

static void set_up_pool(const char *first, const char *last)
{
	struct ob_nat_pool_cfg c = test_pool(first, last);

	assert_int_equal(ob_nat_pool_set(0, &c, err, sizeof(err)), 0);
	for (uint32_t i = 0; i < N_ENIS; i++)
		assert_int_equal(ob_nat_bind(i, 0, NULL, 0), 0);
}

static void bad_pools_are_refused_with_a_reason(void **state)
{
	struct ob_nat_pool_cfg good = test_pool("203.0.113.1", "203.0.113.8"), c;
	struct ob_nat_pool_state s;

	(void)state;
#define REFUSED(rc, change)                                                     \
	do {                                                                    \
		c = good;                                                       \
		err[0] = '\0';                                                  \
		change;                                                         \
		assert_int_equal(ob_nat_pool_set(0, &c, err, sizeof(err)), rc); \
		assert_true(strlen(err) > 10);                                  \
	} while (0)
	REFUSED(-EINVAL, c.mac[0] = 1);
	REFUSED(-EINVAL, c.port_min = 1023);
	REFUSED(-EINVAL, c.port_min = 3000; c.port_max = 2999);
	REFUSED(-EINVAL, c.port_min = 3000; c.port_max = 3100);
	REFUSED(-EINVAL, c.block_size = 32);
	REFUSED(-EINVAL, c.block_size = 8192);
	REFUSED(-EINVAL, c.block_size = 100);
	REFUSED(-EINVAL, c.max_blocks = OB_NAT_BLOCKS_LIMIT + 1);
	REFUSED(-EINVAL, c.n_ranges = 0);
	REFUSED(-EINVAL, c.n_ranges = OB_NAT_POOL_RANGES + 1);
	REFUSED(-EINVAL, c.range[0].last = nat_ip4("203.0.113.0"));
	REFUSED(-EINVAL, c.range[0].last = nat_ip4("203.0.117.1"));
	REFUSED(-EINVAL, c.range[0].first = c.range[0].last = nat_ip4("127.0.0.1"));
	REFUSED(-EINVAL, c.range[0].first = c.range[0].last = nat_ip4("224.0.0.1"));
	REFUSED(-EINVAL, c.n_ranges = 2; c.range[1] = c.range[0]);
	REFUSED(-ENOENT, c.vnet = 9);
#undef REFUSED
	assert_int_equal(ob_nat_pool_set(OB_MAX_NAT_POOLS, &good, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_nat_pool_del(0, err, sizeof(err)), -ENOENT);
	assert_null(ob_nat_pool_get(0));
	assert_int_equal(ob_nat_pool_state(0, &s), -ENOENT);
	assert_int_equal(ob_nat_bind(0, 0, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_nat_bind(9, OB_IDX_NONE, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_nat_pool_set(0, &good, NULL, 0), 0);
	assert_int_equal(ob_nat_pool_set(1, &good, err, sizeof(err)), -EEXIST);
	assert_int_equal(ob_vnet_del(OUTSIDE, NULL, 0), -EBUSY);
	assert_int_equal(ob_nat_bind(0, 0, NULL, 0), 0);
	assert_int_equal(ob_nat_pool_del(0, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_eni_del(0, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_nat_bind(0, OB_IDX_NONE, NULL, 0), 0);
	assert_int_equal(ob_nat_pool_del(0, NULL, 0), 0);
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
	assert_int_equal(ob_vnet_del(OUTSIDE, NULL, 0), 0);
}

static void block_belongs_to_who_took_it_until_its_last_session(void **state)
{
	struct ob_nat_try a, b, c;
	struct ob_nat_owner o;

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.1");
	a = open_one(0, 0);
	b = open_one(0, 0);
	c = open_one(1, 0);
	assert_int_equal(a.tag, b.tag);
	assert_int_not_equal(a.tag, c.tag);
	assert_int_equal(a.ip, nat_ip4("203.0.113.1"));
	assert_true(rte_be_to_cpu_16(a.port) >= 1024);
	assert_int_equal(blocks_used(0), 2);
	assert_int_equal(owner_of(a.ip, 17, a.port, &o), OB_NAT_BLOCK);
	assert_int_equal(o.eni, 0);
	assert_int_equal(o.worker, 0);
	assert_int_equal(o.family, AF_INET);
	assert_int_equal(owner_of(c.ip, 6, c.port, &o), OB_NAT_BLOCK);
	assert_int_equal(o.worker, 1);
	assert_int_equal(owner_of(c.ip, 47, c.port, &o), OB_NAT_NONE);
	assert_int_equal(owner_of(c.ip, 6, rte_cpu_to_be_16(80), &o), OB_NAT_NONE);
	assert_int_equal(owner_of(nat_ip4("203.0.113.2"), 6, c.port, &o), OB_NAT_NONE);
	ob_nat_put(0, a.tag);
	assert_int_equal(blocks_used(0), 2);
	ob_nat_on_delete(0, 0, b.tag);
	assert_int_equal(blocks_used(0), 1);
	assert_int_equal(owner_of(a.ip, 17, a.port, &o), OB_NAT_NONE);
	ob_nat_put(1, c.tag);
	assert_int_equal(blocks_used(0), 0);
	ob_nat_put(0, 0);
}

static void taken_ports_are_passed_over(void **state)
{
	static uint8_t used[65536];
	struct ob_nat_pool_state s;
	unsigned n = 0;

	(void)state;
	memset(used, 0, sizeof(used));
	set_up_pool("203.0.113.1", "203.0.113.1");
	/* All to one destination: no port may serve twice. 32 blocks of 256 are allowed. */
	for (;;) {
		struct ob_nat_try t = {0};
		enum ob_drop rc;

		do
			rc = out(0, 1, &t);
		while (rc == OB_PASS && used[rte_be_to_cpu_16(t.port)]);
		if (rc != OB_PASS) {
			assert_int_equal(rc, OB_DROP_NAT_PORTS);
			assert_int_equal(t.tag, 0);
			break;
		}
		used[rte_be_to_cpu_16(t.port)] = 1;
		n++;
	}
	assert_int_equal(ob_nat_pool_state(0, &s), 0);
	assert_int_equal(s.n_blocks_used, 32);
	assert_int_equal(s.c.limit, 1);
	/* Nearly all ports were found although each connection's tries are bounded. */
	assert_in_range(n, 32 * 256 * 95 / 100, 32 * 256);
	/* Another ENI is not touched by it. */
	open_one(0, 2);
}

static void full_pool_refuses_and_recovers(void **state)
{
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.2");
	struct ob_nat_try t[8], more = {0};
	struct ob_nat_pool_state s;

	(void)state;
	c.port_min = 2000;
	c.port_max = 2255; /* four blocks an address */
	c.block_size = 64;
	assert_int_equal(ob_nat_pool_set(0, &c, NULL, 0), 0);
	for (uint32_t i = 0; i < N_ENIS; i++)
		assert_int_equal(ob_nat_bind(i, 0, NULL, 0), 0);
	for (unsigned i = 0; i < 8; i++)
		t[i] = open_one(i % 2, (uint16_t)(i / 2));
	assert_int_equal(out(2, 0, &more), OB_DROP_NAT_PORTS);
	assert_int_equal(ob_nat_pool_state(0, &s), 0);
	assert_int_equal(s.n_blocks, 8);
	assert_int_equal(s.n_blocks_used, 8);
	assert_int_equal(s.n_addrs, 2);
	assert_int_equal(s.n_enis, N_ENIS);
	assert_int_equal(s.c.full, 1);
	assert_int_equal(s.c.blocks_taken, 8);
	ob_nat_put(1, t[7].tag);
	memset(&more, 0, sizeof(more));
	assert_int_equal(out(2, 0, &more), OB_PASS);
	assert_int_equal(more.tag, t[7].tag);
	ob_nat_put(2, more.tag);
	for (unsigned i = 0; i < 7; i++)
		ob_nat_put(i % 2, t[i].tag);
	assert_int_equal(blocks_used(0), 0);
}

static void eni_keeps_one_public_address(void **state)
{
	struct ob_nat_try a;

	(void)state;
	set_up_pool("203.0.113.0", "203.0.113.63");
	for (uint16_t eni = 0; eni < N_ENIS; eni++) {
		a = open_one(0, eni);
		for (unsigned w = 1; w < 8; w++)
			assert_int_equal(open_one(w, eni).ip, a.ip);
	}
}

static void protocols_without_ports_need_a_floating_ip(void **state)
{
	struct ob_nat_fip_cfg f = {.vnet = OUTSIDE, .public_ip = nat_ip4("203.0.113.99")};
	struct ob_nat_try t = {0};
	struct ob_nat_owner o;
	struct ob_meta later = udp_meta;

	(void)state;
	f.private_ip = nat_ip("10.0.0.10");
	assert_int_equal(out(0, 0, &t), OB_DROP_NAT_PORTS); /* no binding */
	set_up_pool("203.0.113.1", "203.0.113.1");
	assert_int_equal(
	    ob_nat_out(0, 0, 0, &udp.m, &udp_meta, &t), OB_DROP_NAT_PORTS); /* another outside */
	assert_int_equal(
	    ob_nat_out(0, 0, OUTSIDE, &gre.m, &gre_meta, &t), OB_DROP_NAT_UNTRANSLATABLE);
	later.flags |= OB_PKT_FRAG | OB_PKT_LATER_FRAG;
	assert_int_equal(ob_nat_out(0, 0, OUTSIDE, &udp.m, &later, &t), OB_DROP_NAT_UNTRANSLATABLE);
	assert_int_equal(ob_nat_out(0, 0, OUTSIDE, &icmp.m, &icmp_meta, &t), OB_PASS);
	ob_nat_put(0, t.tag);
	assert_int_equal(ob_nat_fip_set(&f, NULL, 0), 0);
	memset(&t, 0, sizeof(t));
	assert_int_equal(ob_nat_out(0, 0, OUTSIDE, &gre.m, &gre_meta, &t), OB_PASS);
	assert_int_equal(t.ip, f.public_ip);
	assert_int_equal(t.tag, 0);
	assert_int_equal(ob_nat_out(0, 0, OUTSIDE, &gre.m, &gre_meta, &t), OB_DROP_NAT_PORTS);
	memset(&t, 0, sizeof(t));
	assert_int_equal(out(0, 0, &t), OB_PASS); /* it wins over the pool */
	assert_int_equal(t.ip, f.public_ip);
	assert_int_equal(owner_of(f.public_ip, 47, 0, &o), OB_NAT_FIP);
	assert_int_equal(o.eni, 0);
	assert_int_equal(o.family, AF_INET);
	assert_memory_equal(o.private_ip, f.private_ip.b, 16);
	assert_true(ob_nat_holds(0, OUTSIDE, AF_INET, f.private_ip.b, f.public_ip, 0));
	heard = 0;
	assert_int_equal(ob_nat_fip_del(OUTSIDE, f.public_ip), 0);
	assert_int_equal(heard, 1);
	assert_false(ob_nat_holds(0, OUTSIDE, AF_INET, f.private_ip.b, f.public_ip, 0));
	assert_int_equal(owner_of(f.public_ip, 47, 0, &o), OB_NAT_NONE);
	assert_int_equal(ob_nat_fip_del(OUTSIDE, f.public_ip), -ENOENT);
}

static void bad_floating_ips_are_refused(void **state)
{
	struct ob_nat_fip_cfg good = {.vnet = OUTSIDE, .public_ip = nat_ip4("203.0.113.99")}, c,
			      got;
	uint32_t cursor = 0;

	(void)state;
	good.private_ip = nat_ip("10.0.0.10");
	set_up_pool("203.0.113.1", "203.0.113.1");
#define REFUSED(rc, change)                                                 \
	do {                                                                \
		c = good;                                                   \
		err[0] = '\0';                                              \
		change;                                                     \
		assert_int_equal(ob_nat_fip_set(&c, err, sizeof(err)), rc); \
		assert_true(strlen(err) > 10);                              \
	} while (0)
	REFUSED(-EINVAL, c.public_ip = 0);
	REFUSED(-EINVAL, c.mac[0] = 1);
	REFUSED(-EINVAL, c.private_ip.family = 0);
	REFUSED(-ENOENT, c.eni = 9);
	REFUSED(-ENOENT, c.vnet = 9);
	REFUSED(-ENOENT, c.private_ip = nat_ip("10.0.0.11"));
	REFUSED(-EEXIST, c.public_ip = nat_ip4("203.0.113.1"));
	assert_int_equal(ob_nat_fip_next(&cursor, &got), -ENOENT);
	assert_int_equal(ob_nat_fip_set(&good, NULL, 0), 0);
	REFUSED(-EEXIST, c.public_ip = nat_ip4("203.0.113.98")); /* the same private address */
#undef REFUSED
	assert_int_equal(ob_nat_fip_get(OUTSIDE, good.public_ip, &got), 0);
	assert_memory_equal(&got.private_ip, &good.private_ip, sizeof(got.private_ip));
	assert_int_equal(ob_nat_fip_get(OUTSIDE, nat_ip4("203.0.113.1"), &got), -ENOENT);
	assert_int_equal(ob_eni_del(0, NULL, 0), -EBUSY);
	/* It moves to another ENI. */
	heard = 0;
	good.eni = 1;
	good.private_ip = nat_ip("10.0.0.11");
	assert_int_equal(ob_nat_fip_set(&good, NULL, 0), 0);
	assert_int_equal(heard, 1);
	assert_int_equal(ob_nat_fip_get(OUTSIDE, good.public_ip, &got), 0);
	assert_int_equal(got.eni, 1);
	cursor = 0;
	assert_int_equal(ob_nat_fip_next(&cursor, &got), 0);
	assert_int_equal(ob_nat_fip_next(&cursor, &got), -ENOENT);
	assert_int_equal(ob_nat_bind(0, OB_IDX_NONE, NULL, 0), 0);
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
}

static void arp_is_answered_for_public_addresses(void **state)
{
	static const uint8_t fixed[6] = {0x02, 0x6f, 0x62, 0, 0, 2}, own[6] = {2, 1, 1, 1, 1, 1};
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.3");
	struct ob_nat_fip_cfg f = {.vnet = OUTSIDE, .public_ip = nat_ip4("203.0.113.99")};
	uint8_t mac[6];

	(void)state;
	assert_int_equal(ob_nat_pool_set(0, &c, NULL, 0), 0);
	f.private_ip = nat_ip("10.0.0.10");
	memcpy(f.mac, own, 6);
	assert_int_equal(ob_nat_fip_set(&f, NULL, 0), 0);
	assert_true(ob_nat_answers(OUTSIDE, nat_ip4("203.0.113.3"), mac));
	assert_memory_equal(mac, fixed, 6);
	assert_true(ob_nat_answers(OUTSIDE, f.public_ip, mac));
	assert_memory_equal(mac, own, 6);
	assert_false(ob_nat_answers(OUTSIDE, nat_ip4("203.0.113.4"), mac));
	assert_false(ob_nat_answers(0, f.public_ip, mac));
	memcpy(c.mac, own, 6);
	assert_int_equal(ob_nat_pool_set(0, &c, NULL, 0), 0);
	assert_true(ob_nat_answers(OUTSIDE, nat_ip4("203.0.113.3"), mac));
	assert_memory_equal(mac, own, 6);
}

static void address_that_goes_ends_with_its_sessions(void **state)
{
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.1");
	struct ob_nat_fip_cfg f = {.vnet = OUTSIDE};
	static const uint8_t src[16] = {10, 0, 0, 10};
	struct ob_nat_owner o;
	struct ob_nat_try t;
	uint8_t mac[6];

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.1");
	t = open_one(0, 0);
	assert_true(ob_nat_holds(0, OUTSIDE, AF_INET, src, t.ip, t.tag));
	heard = 0;
	c.block_size = 64;
	assert_int_equal(ob_nat_pool_set(0, &c, err, sizeof(err)), -EBUSY);
	c.block_size = 0;
	c.range[0] = test_pool("203.0.113.7", "203.0.113.8").range[0];
	assert_int_equal(ob_nat_pool_set(0, &c, NULL, 0), 0);
	assert_int_equal(heard, (1 << N_ENIS) - 1);
	assert_false(ob_nat_holds(0, OUTSIDE, AF_INET, src, t.ip, t.tag));
	assert_int_equal(owner_of(t.ip, 17, t.port, &o), OB_NAT_NONE);
	assert_false(ob_nat_answers(OUTSIDE, t.ip, mac));
	assert_int_equal(open_one(0, 0).ip & 0x00ffffff, c.range[0].first & 0x00ffffff);
	assert_int_not_equal(open_one(0, 0).ip, t.ip);
	/* Nobody else gets it while sessions go on with it. */
	f.public_ip = t.ip;
	f.private_ip = nat_ip("10.0.0.10");
	assert_int_equal(ob_nat_fip_set(&f, err, sizeof(err)), -EBUSY);
	c = test_pool("203.0.113.1", "203.0.113.1");
	c.block_size = 64;
	assert_int_equal(ob_nat_pool_set(1, &c, err, sizeof(err)), -EBUSY);
	ob_nat_put(0, t.tag);
	assert_int_equal(ob_nat_fip_set(&f, NULL, 0), 0);
}

static void address_that_comes_back_finds_its_sessions(void **state)
{
	struct ob_nat_pool_cfg a = test_pool("203.0.113.1", "203.0.113.2"), b = a;
	struct ob_nat_owner o;
	struct ob_nat_try t;

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.2");
	t = open_one(3, 2);
	b.range[0] = test_pool("203.0.113.5", "203.0.113.5").range[0];
	assert_int_equal(ob_nat_pool_set(0, &b, NULL, 0), 0);
	assert_int_equal(ob_nat_pool_set(0, &a, NULL, 0), 0);
	assert_int_equal(owner_of(t.ip, 17, t.port, &o), OB_NAT_BLOCK);
	assert_int_equal(o.eni, 2);
	assert_int_equal(o.worker, 3);
	assert_int_equal(blocks_used(0), 1);
	ob_nat_put(3, t.tag);
	assert_int_equal(blocks_used(0), 0);
}

static void families_do_not_share_blocks(void **state)
{
	struct ob_nat_try a, b = {0};
	struct ob_nat_owner o;

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.1");
	a = open_one(0, 0);
	assert_int_equal(ob_nat_out(0, 0, OUTSIDE, &udp6.m, &udp6_meta, &b), OB_PASS);
	assert_int_not_equal(a.tag, b.tag);
	assert_int_equal(owner_of(b.ip, 17, b.port, &o), OB_NAT_BLOCK);
	assert_int_equal(o.family, AF_INET6);
}

static void nat64_prefixes_hold_addresses(void **state)
{
	/* RFC 6052, 2.4 */
	static const struct {
		const char *prefix;
		uint8_t len;
		const char *ip6;
	} row[] = {
	    {"2001:db8::", 32, "2001:db8:c000:221::"},
	    {"2001:db8:100::", 40, "2001:db8:1c0:2:21::"},
	    {"2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"},
	    {"2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"},
	    {"2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"},
	    {"2001:db8:122:344::", 96, "2001:db8:122:344::c000:221"},
	    {"64:ff9b::", 96, "64:ff9b::c000:221"},
	};
	struct ob_ip p, got, ip6;
	uint8_t made[16];
	rte_be32_t ip4;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(row); i++) {
		p = nat_ip(row[i].prefix);
		ip6 = nat_ip(row[i].ip6);
		assert_int_equal(ob_nat64_set(0, &p, row[i].len, err, sizeof(err)), 0);
		assert_int_equal(ob_nat64_get(0, &got), row[i].len);
		assert_memory_equal(&got, &p, sizeof(p));
		assert_true(ob_nat64_to_ip4(0, ip6.b, &ip4));
		assert_int_equal(ip4, nat_ip4("192.0.2.33"));
		assert_true(ob_nat64_to_ip6(0, ip4, made));
		assert_memory_equal(made, ip6.b, 16);
		ip6.b[0] ^= 1;
		assert_false(ob_nat64_to_ip4(0, ip6.b, &ip4));
	}
	/* The well-known prefix stands for global addresses only, no prefix for what is no host. */
	assert_false(ob_nat64_to_ip6(0, nat_ip4("10.0.0.1"), made));
	ip6 = nat_ip("64:ff9b::a00:1");
	assert_false(ob_nat64_to_ip4(0, ip6.b, &ip4));
	ip6 = nat_ip("64:ff9b::e000:1");
	assert_false(ob_nat64_to_ip4(0, ip6.b, &ip4));
	assert_int_equal(ob_eni_del(0, NULL, 0), -EBUSY);
	assert_int_equal(ob_nat64_set(0, &p, 95, err, sizeof(err)), -EINVAL);
	p.b[15] = 1;
	assert_int_equal(ob_nat64_set(0, &p, 96, err, sizeof(err)), -EINVAL);
	p = nat_ip("2001:db8:122:344:100::");
	assert_int_equal(ob_nat64_set(0, &p, 96, err, sizeof(err)), -EINVAL);
	p = nat_ip("10.0.0.0");
	assert_int_equal(ob_nat64_set(0, &p, 32, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_nat64_set(9, &p, 0, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_nat64_set(0, &p, 0, NULL, 0), 0);
	assert_int_equal(ob_nat64_get(0, &got), 0);
	assert_false(ob_nat64_to_ip6(0, nat_ip4("8.8.8.8"), made));
	assert_int_equal(ob_eni_del(0, NULL, 0), 0);
}

static void everything_survives(void **state)
{
	struct ob_nat_fip_cfg f = {.vnet = OUTSIDE, .eni = 1, .public_ip = nat_ip4("203.0.113.99")};
	struct ob_ip p = nat_ip("64:ff9b::");
	struct ob_nat_pool_state s;
	struct ob_nat_try a, b, c;
	struct ob_nat_owner o;
	struct ob_arena *again;

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.2");
	f.private_ip = nat_ip("10.0.0.11");
	assert_int_equal(ob_nat_fip_set(&f, NULL, 0), 0);
	assert_int_equal(ob_nat64_set(2, &p, 96, NULL, 0), 0);
	a = open_one(0, 0);
	b = open_one(0, 0);
	c = open_one(5, 3);
	ob_nat_fini();
	ob_policy_fini();
	ob_encap_fini();
	ob_rcu_reclaim();
	assert_int_equal(ob_arena_open(ob_arena_fd(arena), &again), 0);
	ob_arena_destroy(arena);
	arena = again;
	assert_int_equal(ob_encap_init(arena), 0);
	assert_int_equal(ob_policy_init(arena), 0);
	assert_int_equal(ob_nat_init(arena), 0);
	assert_int_equal(ob_nat_binding(3), 0);
	assert_int_equal(ob_nat64_get(2, &p), 96);
	assert_int_equal(owner_of(f.public_ip, 50, 0, &o), OB_NAT_FIP);
	assert_int_equal(owner_of(c.ip, 17, c.port, &o), OB_NAT_BLOCK);
	assert_int_equal(o.worker, 5);
	assert_int_equal(ob_nat_pool_state(0, &s), 0);
	assert_int_equal(s.n_blocks_used, 2);
	assert_int_equal(s.n_addrs, 2);
	assert_int_equal(s.c.blocks_taken, 2);
	/* The successor's worker goes on with the block. */
	assert_int_equal(open_one(0, 0).tag, a.tag);
	ob_nat_put(0, a.tag);
	ob_nat_put(0, a.tag);
	ob_nat_put(0, b.tag);
	ob_nat_put(5, c.tag);
	assert_int_equal(blocks_used(0), 0);
	assert_int_equal(ob_eni_del(1, NULL, 0), -EBUSY);
}

struct area {
	const char *name;
	uint64_t len;
	uint32_t max; /* 0: no count in front */
};

static void damaged_records_are_not_trusted(void **state)
{
	static const struct area areas[] = {
	    {"nat.addr", 64 + OB_MAX_NAT_ADDRS * 40ull, OB_MAX_NAT_ADDRS},
	    {"nat.pool", 64 + OB_MAX_NAT_POOLS * 88ull, OB_MAX_NAT_POOLS},
	    {"nat.bind", 64 + OB_MAX_ENIS * 24ull, 0},
	    {"nat.block", OB_MAX_NAT_ADDRS * OB_NAT_ADDR_BLOCKS * 8ull, 0},
	};
	struct ob_nat_pool_cfg c;
	uint64_t rng = 7;
	bool fresh;
	void *p;

	(void)state;
	set_up_pool("203.0.113.1", "203.0.113.100");
	c = *ob_nat_pool_get(0);
	ob_nat_fini();
	for (unsigned a = 0; a < RTE_DIM(areas); a++) {
		uint32_t *head;

		assert_int_equal(
		    ob_arena_region(arena, areas[a].name, 1, areas[a].len, &p, &fresh), 0);
		assert_false(fresh);
		head = p;
		if (areas[a].max > 0) {
			head[0] = areas[a].max + 1;
			assert_int_equal(ob_nat_init(arena), -EPROTO);
			head[0] = RTE_MIN(areas[a].max, 3000u);
		}
		for (unsigned i = 16; i < RTE_MIN(areas[a].len / 4, 100000); i++) {
			rng = rng * 6364136223846793005ull + 1442695040888963407ull;
			head[i] = (uint32_t)(rng >> 40) & 0x03030303;
		}
	}
	assert_int_equal(ob_nat_init(arena), 0);
	/* And it works. */
	c.range[0] = test_pool("192.0.2.1", "192.0.2.4").range[0];
	for (uint32_t i = 0; i < N_ENIS; i++)
		assert_int_equal(ob_nat_bind(i, OB_IDX_NONE, NULL, 0), 0);
	assert_int_equal(ob_nat_pool_set(OB_MAX_NAT_POOLS - 1, &c, NULL, 0), 0);
	assert_int_equal(ob_nat_bind(1, OB_MAX_NAT_POOLS - 1, NULL, 0), 0);
	ob_nat_put(0, open_one(0, 1).tag);
}

/* Workers take blocks of few addresses at the same time: none is given to two. */
#define N_THREADS 4

struct job {
	unsigned worker;
	unsigned n, n_refused;
	uint64_t bad;
};

static uint8_t taken[65536];

static void *hammer(void *arg)
{
	struct job *j = arg;
	struct ob_nat_try live[8] = {0};

	for (unsigned i = 0; i < 20000; i++) {
		struct ob_nat_try *t = &live[i % 8];
		uint16_t eni = (uint16_t)(i * 7 % N_ENIS);

		if (t->tag != 0) {
			__atomic_store_n(&taken[rte_be_to_cpu_16(t->port)], 0, __ATOMIC_SEQ_CST);
			ob_nat_put(j->worker, t->tag);
		}
		memset(t, 0, sizeof(*t));
		if (ob_nat_out(j->worker, eni, OUTSIDE, &udp.m, &udp_meta, t) != OB_PASS) {
			j->n_refused++;
			continue;
		}
		/* Several connections of this worker may share the port; another worker's may not. */
		for (unsigned k = 0; k < 8; k++) {
			if (&live[k] != t && live[k].tag != 0 && live[k].port == t->port) {
				ob_nat_put(j->worker, t->tag);
				t->tag = 0;
				break;
			}
		}
		if (t->tag == 0)
			continue;
		j->bad +=
		    __atomic_exchange_n(&taken[rte_be_to_cpu_16(t->port)], 1, __ATOMIC_SEQ_CST);
		j->n++;
	}
	for (unsigned k = 0; k < 8; k++) {
		if (live[k].tag == 0)
			continue;
		__atomic_store_n(&taken[rte_be_to_cpu_16(live[k].port)], 0, __ATOMIC_SEQ_CST);
		ob_nat_put(j->worker, live[k].tag);
	}
	return NULL;
}

static void workers_never_share_a_block(void **state)
{
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.1");
	struct job job[N_THREADS] = {{0}};
	pthread_t th[N_THREADS];
	unsigned n = 0;

	(void)state;
	memset(taken, 0, sizeof(taken));
	c.port_min = 2048;
	c.port_max = 2048 + 8 * 64 - 1;
	c.block_size = 64;
	assert_int_equal(ob_nat_pool_set(0, &c, NULL, 0), 0);
	for (uint32_t i = 0; i < N_ENIS; i++)
		assert_int_equal(ob_nat_bind(i, 0, NULL, 0), 0);
	for (unsigned i = 0; i < N_THREADS; i++) {
		job[i].worker = i;
		assert_int_equal(pthread_create(&th[i], NULL, hammer, &job[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		pthread_join(th[i], NULL);
		assert_int_equal(job[i].bad, 0);
		n += job[i].n;
	}
	assert_true(n > 1000);
	assert_int_equal(blocks_used(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(bad_pools_are_refused_with_a_reason, begin, end),
	    cmocka_unit_test_setup_teardown(
		block_belongs_to_who_took_it_until_its_last_session, begin, end),
	    cmocka_unit_test_setup_teardown(taken_ports_are_passed_over, begin, end),
	    cmocka_unit_test_setup_teardown(full_pool_refuses_and_recovers, begin, end),
	    cmocka_unit_test_setup_teardown(eni_keeps_one_public_address, begin, end),
	    cmocka_unit_test_setup_teardown(protocols_without_ports_need_a_floating_ip, begin, end),
	    cmocka_unit_test_setup_teardown(bad_floating_ips_are_refused, begin, end),
	    cmocka_unit_test_setup_teardown(arp_is_answered_for_public_addresses, begin, end),
	    cmocka_unit_test_setup_teardown(address_that_goes_ends_with_its_sessions, begin, end),
	    cmocka_unit_test_setup_teardown(address_that_comes_back_finds_its_sessions, begin, end),
	    cmocka_unit_test_setup_teardown(families_do_not_share_blocks, begin, end),
	    cmocka_unit_test_setup_teardown(nat64_prefixes_hold_addresses, begin, end),
	    cmocka_unit_test_setup_teardown(everything_survives, begin, end),
	    cmocka_unit_test_setup_teardown(damaged_records_are_not_trusted, begin, end),
	    cmocka_unit_test_setup_teardown(workers_never_share_a_block, begin, end),
	};

	return cmocka_run_group_tests_name("nat", tests, NULL, NULL);
}
