/* SPDX-License-Identifier: BSD-3-Clause */
/* Translation on the whole way of a packet. The outside is VNET 1 (VNI 200): its gateway 203.0.113.1 is behind tunnel 0, 203.0.113.9 is A's
 * floating IP when a test says so, the pool has 203.0.113.5. */
#include "test_vpc.h"

#include "ob_acl.h"
#include "ob_nat.h"
#include "ob_session.h"

static const uint8_t mac_gw[6] = {2, 0, 0, 0, 2, 1};

static void outside(void)
{
	struct ob_mapping_cfg gw = {.vnet = 1, .tunnel = 0, .ca = vpc_ip("203.0.113.1")};
	struct ob_route_cfg r = {.vnet = 0, .action = OB_ROUTE_NAT, .to_vnet = 1, .n_hops = 1};
	struct ob_nat_pool_cfg pool = {.vnet = 1, .n_ranges = 1, .block_size = 64, .max_blocks = 2};
	struct ob_ip ip = vpc_ip("203.0.113.5");

	memcpy(gw.mac, mac_gw, 6);
	assert_int_equal(ob_mapping_set(&gw, NULL, 0), 0);
	r.prefix = vpc_ip("0.0.0.0");
	r.hop[0] = gw.ca;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	memcpy(&pool.range[0].first, ip.b, 4);
	pool.range[0].last = pool.range[0].first;
	assert_int_equal(ob_nat_pool_set(0, &pool, NULL, 0), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(ob_nat_bind(i, 0, NULL, 0), 0);
}

static void give_fip(uint16_t eni, const char *private_ip, const char *public_ip)
{
	struct ob_nat_fip_cfg fip = {.vnet = 1, .eni = eni, .private_ip = vpc_ip(private_ip)};
	struct ob_ip ip = vpc_ip(public_ip);

	memcpy(&fip.public_ip, ip.b, 4);
	assert_int_equal(ob_nat_fip_set(&fip, NULL, 0), 0);
}

static void public_mac(const char *ip, uint8_t mac[6])
{
	struct ob_ip a = vpc_ip(ip);
	rte_be32_t b;

	memcpy(&b, a.b, 4);
	assert_true(ob_nat_answers(1, b, mac));
}

/* From outside to a public address. */
static void from_gw(const struct test_pkt *in)
{
	struct test_pkt p;

	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 200, in);
	vpc_from_wire(&p, 0);
}

static void expect(unsigned n_guest, unsigned n_wire)
{
	assert_int_equal(tv->n_guest, n_guest);
	assert_int_equal(tv->n_wire, n_wire);
	vpc_clear();
}

/* The one packet on the wire: its inner frame, its checksums right, its addresses. */
static void sent(struct test_pkt *in, const char *src, const char *dst)
{
	uint8_t a[16];

	assert_int_equal(tv->n_wire, 1);
	vpc_inner(0, OB_ENCAP_VXLAN, 200, in);
	vpc_check_frame(in->b, in->len);
	assert_memory_equal(in->b, mac_gw, 6);
	tp_addr(src, a);
	assert_memory_equal(in->b + 26, a, 4);
	tp_addr(dst, a);
	assert_memory_equal(in->b + 30, a, 4);
	vpc_clear();
}

static const struct test_pkt *got(uint16_t vif, const char *src, const char *dst)
{
	const struct test_pkt *p = &tv->guest[0].pkt;
	uint8_t a[16];

	assert_int_equal(tv->n_guest, 1);
	assert_int_equal(tv->guest[0].meta.out_vif, vif);
	vpc_check_frame(p->b, p->len);
	tp_addr(src, a);
	assert_memory_equal(p->b + 26, a, 4);
	tp_addr(dst, a);
	assert_memory_equal(p->b + 30, a, 4);
	vpc_clear();
	return p;
}

static unsigned public_port(unsigned sport, unsigned dport, const char *dst)
{
	struct test_pkt p, in;

	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", dst, sport, dport, 40);
	vpc_from_guest(GUEST_A, &p);
	sent(&in, "203.0.113.5", dst);
	assert_int_equal(tp_get16(in.b + 36), dport);
	assert_int_equal(in.b[22], 63);
	return tp_get16(in.b + 34);
}

static void a_guest_reaches_out_and_is_answered(void **state)
{
	struct test_pkt p, in;
	const struct test_pkt *g;
	unsigned port;
	uint8_t mac[6];

	(void)state;
	outside();
	public_mac("203.0.113.5", mac);
	port = public_port(1000, 53, "8.8.8.8");
	assert_true(port >= 1024);
	assert_int_equal(public_port(1000, 53, "8.8.8.8"), port);
	tp_udp_frame(&p, mac, mac_gw, "8.8.8.8", "203.0.113.5", 53, port, 70);
	from_gw(&p);
	g = got(GUEST_A, "8.8.8.8", "10.0.0.5");
	assert_int_equal(tp_get16(g->b + 34), 53);
	assert_int_equal(tp_get16(g->b + 36), 1000);
	assert_memory_equal(g->b, mac_a, 6);
	assert_memory_equal(g->b + 6, mac_router, 6);
	assert_int_equal(g->b[22], 63);
	/* From another place, to another port: nobody asked. */
	tp_udp_frame(&p, mac, mac_gw, "8.8.4.4", "203.0.113.5", 53, port, 70);
	from_gw(&p);
	tp_udp_frame(&p, mac, mac_gw, "8.8.8.8", "203.0.113.5", 53, port ^ 4096, 70);
	from_gw(&p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NAT_UNSOLICITED) +
			     vpc_drops(OB_VIF_NONE, OB_DROP_NAT_UNSOLICITED),
	    2);
	/* Echo: the identifier is translated. */
	p.len = 0;
	tp_eth(&p, mac_router, mac_a, 0x0800);
	tp_ip(&p, "10.0.0.5", "8.8.8.8", 1, 0, 64, true);
	tp_u32(&p, 0x08000000);
	tp_u32(&p, 0x12340001);
	tp_ip_end(&p, 14);
	tp_put16(&p, 36, ~tp_sum(0, p.b + 34, 8) & 0xffff);
	vpc_from_guest(GUEST_A, &p);
	sent(&in, "203.0.113.5", "8.8.8.8");
	port = tp_get16(in.b + 38);
	p.len = 0;
	tp_eth(&p, mac, mac_gw, 0x0800);
	tp_ip(&p, "8.8.8.8", "203.0.113.5", 1, 0, 64, true);
	tp_u32(&p, 0);
	tp_u32(&p, port << 16 | 1);
	tp_ip_end(&p, 14);
	tp_put16(&p, 36, ~tp_sum(0, p.b + 34, 8) & 0xffff);
	from_gw(&p);
	g = got(GUEST_A, "8.8.8.8", "10.0.0.5");
	assert_int_equal(tp_get16(g->b + 38), 0x1234);
}

static void ports_come_back_and_never_collide(void **state)
{
	struct ob_nat_pool_state st;
	uint8_t used[65536] = {0};
	struct test_pkt p, in;
	unsigned n = 0;

	(void)state;
	outside();
	/* One destination: every connection needs a port of its own. Two blocks of 64 are what an ENI may have. */
	for (;; n++) {
		unsigned port;

		tp_udp_frame(
		    &p, mac_router, mac_a, "10.0.0.5", "8.8.8.8", (uint16_t)(2000 + n), 53, 40);
		vpc_from_guest(GUEST_A, &p);
		if (tv->n_wire == 0)
			break;
		sent(&in, "203.0.113.5", "8.8.8.8");
		port = tp_get16(in.b + 34);
		assert_false(used[port]);
		used[port] = 1;
	}
	assert_int_equal(n, 128);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NAT_PORTS), 1);
	/* Another destination has all of them again. */
	assert_true(public_port(5000, 53, "8.8.4.4") >= 1024);
	assert_int_equal(ob_nat_pool_state(0, &st), 0);
	assert_int_equal(st.n_blocks_used, 2);
	ob_session_eni_flush(GUEST_A);
	for (unsigned i = 0; i < 100; i++)
		ob_worker_round(tv->w);
	assert_int_equal(ob_nat_pool_state(0, &st), 0);
	assert_int_equal(st.n_blocks_used, 0);
}

static void a_floating_ip_goes_both_ways(void **state)
{
	struct test_pkt p, in;
	const struct test_pkt *g;
	uint8_t mac[6];

	(void)state;
	outside();
	give_fip(GUEST_A, "10.0.0.5", "203.0.113.9");
	public_mac("203.0.113.9", mac);
	tp_udp_frame(&p, mac, mac_gw, "8.8.8.8", "203.0.113.9", 4000, 80, 70);
	from_gw(&p);
	g = got(GUEST_A, "8.8.8.8", "10.0.0.5");
	assert_int_equal(tp_get16(g->b + 34), 4000);
	assert_int_equal(tp_get16(g->b + 36), 80);
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "8.8.8.8", 80, 4000, 40);
	vpc_from_guest(GUEST_A, &p);
	sent(&in, "203.0.113.9", "8.8.8.8");
	assert_int_equal(tp_get16(in.b + 34), 80);
	/* Its own connections keep their ports. */
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "8.8.8.8", 1234, 53, 40);
	vpc_from_guest(GUEST_A, &p);
	sent(&in, "203.0.113.9", "8.8.8.8");
	assert_int_equal(tp_get16(in.b + 34), 1234);
	/* The security group sees the guest's private address. */
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	tp_udp_frame(&p, mac, mac_gw, "8.8.8.8", "203.0.113.9", 4001, 80, 70);
	from_gw(&p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_IN), 1);
	/* Without the address the live connection ends. */
	assert_int_equal(ob_nat_fip_del(1, RTE_BE32(0xcb007109)), 0);
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "8.8.8.8", 1234, 53, 40);
	vpc_from_guest(GUEST_A, &p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NAT_UNSOLICITED), 1);
}

static void public_addresses_work_from_inside(void **state)
{
	const struct test_pkt *g;
	struct test_pkt p;
	unsigned port;

	(void)state;
	outside();
	give_fip(GUEST_B, "10.0.0.6", "203.0.113.9");
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "203.0.113.9", 1000, 80, 40);
	for (unsigned i = 0; i < 2; i++) {
		vpc_from_guest(GUEST_A, &p);
		g = got(GUEST_B, "203.0.113.5", "10.0.0.6");
		port = tp_get16(g->b + 34);
		assert_int_equal(tp_get16(g->b + 36), 80);
		assert_memory_equal(g->b, mac_b, 6);
		tp_udp_frame(&p, mac_router, mac_b, "10.0.0.6", "203.0.113.5", 80, port, 40);
		vpc_from_guest(GUEST_B, &p);
		g = got(GUEST_A, "203.0.113.9", "10.0.0.5");
		assert_int_equal(tp_get16(g->b + 34), 80);
		assert_int_equal(tp_get16(g->b + 36), 1000);
		tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "203.0.113.9", 1000, 80, 40);
	}
}

static void what_the_card_cuts_is_translated_once(void **state)
{
	uint8_t all[4096], src[16];
	struct test_pkt p, in;
	unsigned ip, l4, end = 0;

	(void)state;
	outside();
	p.len = 0;
	tp_eth(&p, mac_router, mac_a, 0x0800);
	ip = tp_ip(&p, "10.0.0.5", "8.8.8.8", 17, 0, 64, false);
	l4 = tp_udp(&p, 1000, 53);
	tp_fill(&p, 2500);
	tp_ip_end(&p, ip);
	tp_udp_end(&p, ip, l4, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 2);
	for (unsigned i = 0; i < 2; i++) {
		vpc_inner(i, OB_ENCAP_VXLAN, 200, &in);
		assert_int_equal((tp_get16(in.b + 20) & 0x1fff) * 8, end);
		memcpy(all + end, in.b + 34, in.len - 34);
		end += in.len - 34;
	}
	tp_addr("203.0.113.5", src);
	assert_memory_equal(in.b + 26, src, 4);
	assert_int_equal(end, 2508);
	assert_memory_equal(all + 8, p.b + 42, 2500);
	assert_int_equal(tp_l4_sum(in.b + 14, 17, all, end), 0xffff);
}

static void answers_do_not_come_through_the_guests_own_network(void **state)
{
	struct test_pkt p, in;
	unsigned port;

	(void)state;
	outside();
	port = public_port(1000, 53, "8.8.8.8");
	tp_udp_frame(&in, mac_a, mac_far, "8.8.8.8", "203.0.113.5", 53, port, 70);
	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 100, &in);
	vpc_from_wire(&p, 0);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NAT_UNSOLICITED), 1);
}

int nat_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_guest_reaches_out_and_is_answered),
	    T(ports_come_back_and_never_collide),
	    T(a_floating_ip_goes_both_ways),
	    T(public_addresses_work_from_inside),
	    T(what_the_card_cuts_is_translated_once),
	    T(answers_do_not_come_through_the_guests_own_network),
	};

	return cmocka_run_group_tests_name("nat", tests, NULL, NULL);
}
