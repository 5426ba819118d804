/* SPDX-License-Identifier: BSD-3-Clause */
/* Three workers: whatever comes in at the first one reaches the worker that has its connection, in both directions. */
#include "test_vpc.h"

#include "ob_acl.h"
#include "ob_nat.h"
#include "ob_session.h"

#define WORKERS 3
#define FLOWS	60u

static void from_far(const struct test_pkt *in, uint32_t vni)
{
	struct test_pkt p;

	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", vni, in);
	vpc_from_wire(&p, 0);
}

static void expect(unsigned n_guest, unsigned n_wire)
{
	assert_int_equal(tv->n_guest, n_guest);
	assert_int_equal(tv->n_wire, n_wire);
	vpc_clear();
}

static unsigned live(unsigned worker)
{
	struct ob_session_counters c;

	ob_session_counters_read(worker, &c);
	return (unsigned)(c.n_live4 + c.n_live6);
}

static void all_have(unsigned total)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		assert_true(live(i) > 0);
		sum += live(i);
	}
	assert_int_equal(sum, total);
}

static void deny_unasked(void)
{
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(ob_acl_default_set(i, OB_ACL_IN, OB_ACL_DENY), 0);
}

static void directions_meet(void **state)
{
	struct test_pkt p;

	(void)state;
	deny_unasked();
	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned i = 0; i < FLOWS; i++) {
			tp_udp_frame(&p, mac_far, mac_a, v6 ? "fd00::5" : "10.0.0.5",
			    v6 ? "fd00::9" : "10.0.0.9", 1000 + i, 53, 40);
			vpc_from_guest(GUEST_A, &p);
			tp_udp_frame(&p, mac_a, mac_far, v6 ? "fd00::9" : "10.0.0.9",
			    v6 ? "fd00::5" : "10.0.0.5", 53, 1000 + i, 40);
			from_far(&p, 100);
			expect(1, 1);
		}
	all_have(2 * FLOWS);
}

static void local_guests_meet(void **state)
{
	struct test_pkt p;

	(void)state;
	deny_unasked();
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_IN, OB_ACL_PERMIT), 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		tp_udp_frame(&p, mac_b, mac_a, "10.0.0.5", "10.0.0.6", 1000 + i, 53, 40);
		vpc_from_guest(GUEST_A, &p);
		tp_udp_frame(&p, mac_a, mac_b, "10.0.0.6", "10.0.0.5", 53, 1000 + i, 40);
		vpc_from_guest(GUEST_B, &p);
		expect(2, 0);
	}
	all_have(2 * FLOWS);
}

static void fragments_and_errors_meet_their_connection(void **state)
{
	struct test_pkt p, q;

	(void)state;
	deny_unasked();
	for (unsigned i = 0; i < FLOWS; i++) {
		unsigned ip;

		tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1000 + i, 53, 40);
		vpc_from_guest(GUEST_A, &p);
		/* About what was sent. */
		q.len = 0;
		tp_eth(&q, mac_a, mac_far, 0x0800);
		ip = tp_ip(&q, "10.0.0.200", "10.0.0.5", 1, 0, 64, true);
		tp_u32(&q, 0x0b000000);
		tp_u32(&q, 0);
		tp_bytes(&q, p.b + 14, 28);
		tp_ip_end(&q, ip);
		tp_put16(&q, 36, ~tp_sum(0, q.b + 34, q.len - 34) & 0xffff);
		from_far(&q, 100);
		expect(1, 1);
		/* An answer in two pieces. */
		tp_udp_frame(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 53, 1000 + i, 200);
		for (unsigned k = 0; k < 2; k++) {
			unsigned off = k * 104, n = 104;

			q.len = 0;
			tp_bytes(&q, p.b, 34);
			tp_bytes(&q, p.b + 34 + off, n);
			tp_put16(&q, 18, 4711 + i);
			tp_put16(&q, 20, off / 8 | (k ? 0u : 0x2000u));
			tp_ip_end(&q, 14);
			from_far(&q, 100);
		}
		expect(2, 0);
	}
	all_have(FLOWS);
}

static void translated_connections_meet(void **state)
{
	struct ob_mapping_cfg gw = {.vnet = 1, .tunnel = 0, .ca = vpc_ip("203.0.113.1")};
	struct ob_route_cfg r = {.vnet = 0, .action = OB_ROUTE_NAT, .to_vnet = 1, .n_hops = 1};
	struct ob_nat_pool_cfg pool = {.vnet = 1, .n_ranges = 1};
	struct ob_nat_fip_cfg fip = {.vnet = 1, .eni = GUEST_B, .private_ip = vpc_ip("10.0.0.6")};
	struct ob_ip ip = vpc_ip("203.0.113.5");
	uint8_t mac[6];
	struct test_pkt p, in;

	(void)state;
	deny_unasked();
	memcpy(gw.mac, mac_far, 6);
	assert_int_equal(ob_mapping_set(&gw, NULL, 0), 0);
	r.prefix = vpc_ip("0.0.0.0");
	r.hop[0] = gw.ca;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	memcpy(&pool.range[0].first, ip.b, 4);
	pool.range[0].last = pool.range[0].first;
	assert_int_equal(ob_nat_pool_set(0, &pool, NULL, 0), 0);
	assert_int_equal(ob_nat_bind(GUEST_A, 0, NULL, 0), 0);
	ip = vpc_ip("203.0.113.9");
	memcpy(&fip.public_ip, ip.b, 4);
	assert_int_equal(ob_nat_fip_set(&fip, NULL, 0), 0);
	assert_true(ob_nat_answers(1, fip.public_ip, mac));
	for (unsigned i = 0; i < FLOWS; i++) {
		bool by_fip = i & 1;
		uint16_t who = by_fip ? GUEST_B : GUEST_A;

		tp_udp_frame(&p, mac_router, by_fip ? mac_b : mac_a,
		    by_fip ? "10.0.0.6" : "10.0.0.5", "8.8.8.8", 1000 + i, 53, 40);
		vpc_from_guest(who, &p);
		assert_int_equal(tv->n_wire, 1);
		vpc_inner(0, OB_ENCAP_VXLAN, 200, &in);
		tp_udp_frame(&p, mac, mac_far, "8.8.8.8", by_fip ? "203.0.113.9" : "203.0.113.5",
		    53, tp_get16(in.b + 34), 40);
		from_far(&p, 200);
		assert_int_equal(tv->guest[0].meta.out_vif, who);
		assert_int_equal(tp_get16(tv->guest[0].pkt.b + 36), 1000 + i);
		expect(1, 1);
	}
	all_have(FLOWS);
	/* From A to B by B's public address and back. */
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_IN, OB_ACL_PERMIT), 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		unsigned port;

		tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "203.0.113.9", 3000 + i, 80, 40);
		vpc_from_guest(GUEST_A, &p);
		assert_int_equal(tv->guest[0].meta.out_vif, GUEST_B);
		port = tp_get16(tv->guest[0].pkt.b + 34);
		expect(1, 0);
		tp_udp_frame(&p, mac_router, mac_b, "10.0.0.6", "203.0.113.5", 80, port, 40);
		vpc_from_guest(GUEST_B, &p);
		assert_int_equal(tv->guest[0].meta.out_vif, GUEST_A);
		assert_int_equal(tp_get16(tv->guest[0].pkt.b + 36), 3000 + i);
		expect(1, 0);
	}
	all_have(3 * FLOWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(directions_meet),
	    T(local_guests_meet),
	    T(fragments_and_errors_meet_their_connection),
	    T(translated_connections_meet),
	};
	int rc;

	tv->n_workers = WORKERS;
	if (vpc_group_setup(NULL) < 0)
		return 1;
	rc = cmocka_run_group_tests_name("workers", tests, NULL, NULL);
	vpc_group_teardown(NULL);
	return rc;
}
