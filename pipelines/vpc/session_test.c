/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections, security groups and allowances on the whole way of a packet. */
#include "test_vpc.h"

#include "ob_acl.h"
#include "ob_meter.h"
#include "ob_session.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static void tcp(struct test_pkt *p, const uint8_t *dmac, const uint8_t *smac, const char *src,
    const char *dst, unsigned sport, unsigned dport, unsigned flags, uint32_t seq, uint32_t ack)
{
	unsigned ip;

	p->len = 0;
	tp_eth(p, dmac, smac, strchr(src, ':') ? 0x86dd : 0x0800);
	ip = tp_ip(p, src, dst, 6, 0, 64, true);
	tp_u16(p, sport);
	tp_u16(p, dport);
	tp_u32(p, seq);
	tp_u32(p, ack);
	tp_u16(p, 0x5000 | flags);
	tp_u16(p, 60000);
	tp_u32(p, 0);
	tp_ip_end(p, ip);
	tp_put16(p, ip + (strchr(src, ':') ? 40u : 20u) + 16,
	    ~tp_l4_sum(p->b + 14, 6, p->b + p->len - 20, 20) & 0xffff);
}

static void from_far(const struct test_pkt *in)
{
	struct test_pkt p;

	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 100, in);
	vpc_from_wire(&p, 0);
}

static void udp_from_far(unsigned sport, unsigned dport)
{
	struct test_pkt p;

	tp_udp_frame(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", sport, dport, 40);
	from_far(&p);
}

static void udp_from_a(unsigned sport, unsigned dport)
{
	struct test_pkt p;

	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", sport, dport, 40);
	vpc_from_guest(GUEST_A, &p);
}

static uint64_t live(void)
{
	struct ob_session_counters c;

	ob_session_counters_read(0, &c);
	return c.n_live4 + c.n_live6;
}

static void expect(unsigned n_guest, unsigned n_wire)
{
	assert_int_equal(tv->n_guest, n_guest);
	assert_int_equal(tv->n_wire, n_wire);
	vpc_clear();
}

static void answers_pass_where_questions_do_not(void **state)
{
	(void)state;
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	udp_from_far(53, 1000);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_IN), 1);
	assert_int_equal(live(), 0);
	udp_from_a(1000, 53);
	expect(0, 1);
	udp_from_far(53, 1000);
	expect(1, 0);
	udp_from_far(54, 1000);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_IN), 2);
	assert_int_equal(live(), 1);
}

static void a_connection_from_outside_is_answered(void **state)
{
	(void)state;
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_OUT, OB_ACL_DENY), 0);
	udp_from_a(53, 1000);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_OUT), 1);
	for (unsigned i = 0; i < 3; i++) {
		udp_from_far(1000, 53);
		expect(1, 0);
		udp_from_a(53, 1000);
		expect(0, 1);
	}
	assert_int_equal(live(), 1);
}

static void a_rule_change_reaches_live_connections(void **state)
{
	(void)state;
	udp_from_a(1000, 53);
	udp_from_far(53, 1000);
	expect(1, 1);
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_OUT, OB_ACL_DENY), 0);
	/* Whichever direction is next is judged by the one that opened it. */
	udp_from_far(53, 1000);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_OUT), 1);
	assert_int_equal(live(), 0);
	udp_from_a(1000, 53);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ACL_OUT), 2);
	/* And back. */
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_OUT, OB_ACL_PERMIT), 0);
	udp_from_a(1000, 53);
	expect(0, 1);
	/* A change that does not concern the connection leaves it alone. */
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	udp_from_far(53, 1000);
	udp_from_a(1000, 53);
	expect(1, 1);
	assert_int_equal(live(), 1);
}

static void a_live_connection_follows_its_mapping(void **state)
{
	struct ob_mapping_cfg c = {.vnet = 0, .tunnel = 1};
	struct test_pkt in;

	(void)state;
	udp_from_a(1000, 53);
	vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
	expect(0, 1);
	memcpy(c.mac, mac_peer, 6);
	c.ca = vpc_ip("10.0.0.9");
	assert_int_equal(ob_mapping_set(&c, NULL, 0), 0);
	udp_from_a(1000, 53);
	vpc_inner(0, OB_ENCAP_GENEVE, 100, &in);
	assert_memory_equal(in.b, mac_peer, 6);
	expect(0, 1);
	assert_int_equal(ob_mapping_del(0, &c.ca), 0);
	udp_from_a(1000, 53);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NO_MAPPING), 1);
}

static void the_wire_cannot_speak_for_the_guest(void **state)
{
	struct test_pkt p;

	(void)state;
	udp_from_a(1000, 53);
	expect(0, 1);
	/* What only A may send, from the wire to A. */
	tp_udp_frame(&p, mac_a, mac_far, "10.0.0.5", "10.0.0.9", 1000, 53, 40);
	from_far(&p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_IP), 1);
	/* A says what only its peer may say: its address is not A's. */
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.9", "10.0.0.5", 53, 1000, 40);
	vpc_from_guest(GUEST_A, &p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_IP), 2);
	/* Another MAC than its own, in the middle of a connection. */
	tp_udp_frame(&p, mac_far, mac_b, "10.0.0.5", "10.0.0.9", 1000, 53, 40);
	vpc_from_guest(GUEST_A, &p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_MAC), 1);
}

static void both_guests_of_a_card_have_their_say(void **state)
{
	struct test_pkt p, q;

	(void)state;
	tp_udp_frame(&p, mac_b, mac_a, "10.0.0.5", "10.0.0.6", 1000, 53, 40);
	tp_udp_frame(&q, mac_a, mac_b, "10.0.0.6", "10.0.0.5", 53, 1000, 40);
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_IN, OB_ACL_DENY), 0);
	vpc_from_guest(GUEST_A, &p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_B, OB_DROP_ACL_IN), 1);
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_IN, OB_ACL_PERMIT), 0);
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_OUT, OB_ACL_DENY), 0);
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	vpc_from_guest(GUEST_A, &p);
	vpc_from_guest(GUEST_B, &q);
	assert_int_equal(tv->guest[0].meta.out_vif, GUEST_B);
	assert_int_equal(tv->guest[1].meta.out_vif, GUEST_A);
	assert_memory_equal(tv->guest[1].pkt.b, q.b, q.len);
	expect(2, 0);
	assert_int_equal(live(), 2);
}

static void tcp_is_followed_to_its_end(void **state)
{
	const struct ob_session_eni_conf strict = {0};
	struct test_pkt p;

	(void)state;
	assert_int_equal(ob_session_eni_set(GUEST_A, &strict), 0);
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	/* Out of nowhere. */
	tcp(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 4000, 80, ACK, 100, 1);
	vpc_from_guest(GUEST_A, &p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_TCP_STATE), 1);
	tcp(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 4000, 80, SYN, 99, 0);
	vpc_from_guest(GUEST_A, &p);
	tcp(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 80, 4000, SYN | ACK, 499, 100);
	from_far(&p);
	tcp(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 4000, 80, ACK, 100, 500);
	vpc_from_guest(GUEST_A, &p);
	expect(1, 2);
	/* Far outside of the window. */
	tcp(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 80, 4000, ACK, 500 + 1000000, 100);
	from_far(&p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_TCP_WINDOW), 1);
	tcp(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 80, 4000, RST, 500 + 1000000, 0);
	from_far(&p);
	expect(0, 0);
	tcp(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 80, 4000, ACK, 500, 100);
	from_far(&p);
	expect(1, 0);
	assert_int_equal(live(), 1);
}

static void a_burst_of_one_new_connection_is_one_session(void **state)
{
	static struct ob_burst b;
	struct test_pkt p;

	(void)state;
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 7, 8, 30);
	b.n = 32;
	for (unsigned i = 0; i < b.n; i++) {
		b.pkt[i] = vpc_mbuf(p.b, p.len, 0);
		b.meta[i] = (struct ob_meta){.in_vif = GUEST_A, .out_vif = OB_VIF_NONE};
	}
	vpc_input(GUEST_A, &b);
	udp_from_a(9, 8);
	expect(0, 33);
	assert_int_equal(live(), 2);
}

static void icmp_errors_belong_to_connections(void **state)
{
	struct test_pkt udp, p;
	unsigned ip;

	(void)state;
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	for (unsigned known = 0; known < 2; known++) {
		vpc_clear();
		tp_udp_frame(&udp, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1000, 53 + known, 40);
		if (known)
			vpc_from_guest(GUEST_A, &udp);
		p.len = 0;
		tp_eth(&p, mac_a, mac_far, 0x0800);
		ip = tp_ip(&p, "10.0.0.9", "10.0.0.5", 1, 0, 64, true);
		tp_u32(&p, 0x03030000);
		tp_u32(&p, 0);
		tp_bytes(&p, udp.b + 14, 28);
		tp_ip_end(&p, ip);
		tp_put16(&p, 36, ~tp_sum(0, p.b + 34, p.len - 34) & 0xffff);
		from_far(&p);
		expect(known, known);
	}
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ICMP_UNRELATED), 1);
	/* A guest's own error is the first that it says in a connection. */
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_PERMIT), 0);
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_OUT, OB_ACL_DENY), 0);
	tp_udp_frame(&udp, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 77, 78, 40);
	from_far(&udp);
	p.len = 0;
	tp_eth(&p, mac_far, mac_a, 0x0800);
	ip = tp_ip(&p, "10.0.0.5", "10.0.0.9", 1, 0, 64, true);
	tp_u32(&p, 0x03030000);
	tp_u32(&p, 0);
	tp_bytes(&p, udp.b + 14, 28);
	tp_ip_end(&p, ip);
	tp_put16(&p, 36, ~tp_sum(0, p.b + 34, p.len - 34) & 0xffff);
	vpc_from_guest(GUEST_A, &p);
	expect(1, 1);
}

static void fragments_follow_their_first(void **state)
{
	struct test_pkt p, f[2];

	(void)state;
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	udp_from_a(1000, 53);
	expect(0, 1);
	tp_udp_frame(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 53, 1000, 200);
	for (unsigned i = 0; i < 2; i++) {
		unsigned off = i ? 104 : 0, n = i ? 208 - 104 : 104;

		f[i].len = 0;
		tp_bytes(&f[i], p.b, 34);
		tp_bytes(&f[i], p.b + 34 + off, n);
		tp_put16(&f[i], 16, 20 + n);
		tp_put16(&f[i], 18, 4711);
		tp_put16(&f[i], 20, off / 8 | (i ? 0u : 0x2000u));
		tp_put16(&f[i], 24, 0);
		tp_put16(&f[i], 24, ~tp_sum(0, f[i].b + 14, 20) & 0xffff);
	}
	from_far(&f[1]);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_FRAG_ORDER), 1);
	from_far(&f[0]);
	from_far(&f[1]);
	expect(2, 0);
}

static void allowances_hold_and_are_counted(void **state)
{
	struct ob_meter_cfg cfg = {
	    .rate = {[OB_METER_CPS] = 1, [OB_METER_PPS_IN] = 1},
	    .burst = {[OB_METER_CPS] = 2, [OB_METER_PPS_IN] = 5},
	};
	const struct ob_session_eni_conf few = {.max_live = 1};
	unsigned n;

	(void)state;
	assert_int_equal(ob_meter_set(GUEST_A, &cfg, NULL, 0), 0);
	for (unsigned i = 0; i < 10; i++)
		udp_from_a(1000 + i, 53);
	/* A bucket that is not empty lets one more pass, into debt. */
	n = tv->n_wire;
	assert_in_range(n, 2, 3);
	vpc_clear();
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_CPS_LIMIT), 10 - n);
	assert_int_equal(ob_meter_exceeded(GUEST_A, OB_METER_CPS), 10 - n);
	/* Connections that are open go on. */
	udp_from_a(1000, 53);
	expect(0, 1);
	for (unsigned i = 0; i < 20; i++)
		udp_from_far(53, 1000);
	assert_in_range(tv->n_guest, 5, 6);
	assert_true(vpc_drops(GUEST_A, OB_DROP_PPS_LIMIT) >= 14);
	vpc_clear();
	assert_int_equal(ob_session_eni_set(GUEST_B, &few), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct test_pkt p;

		tp_udp_frame(&p, mac_far, mac_b, "10.0.0.6", "10.0.0.9", 1000 + i, 53, 40);
		vpc_from_guest(GUEST_B, &p);
	}
	expect(0, 1);
	assert_int_equal(vpc_drops(GUEST_B, OB_DROP_CONN_LIMIT), 2);
	assert_int_equal(ob_meter_exceeded(GUEST_B, OB_METER_CONNS), 2);
}

static void a_hop_is_lost_in_a_session_too(void **state)
{
	struct test_pkt p, in;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		unsigned ttl = 64 - 21 * i;

		tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.1.0.9", 1000, 2000, 100);
		p.b[22] = (uint8_t)ttl;
		tp_ip_end(&p, 14);
		vpc_from_guest(GUEST_A, &p);
		if (ttl > 1) {
			vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
			assert_int_equal(in.b[22], ttl - 1);
			vpc_check_frame(in.b, in.len);
			expect(0, 1);
		} else {
			expect(1, 0);
			assert_int_equal(vpc_drops(GUEST_A, OB_DROP_TTL_EXPIRED), 1);
		}
	}
}

static void a_guest_sends_no_errors_as_somebody_else(void **state)
{
	struct test_pkt udp, p;

	(void)state;
	tp_udp_frame(&udp, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 77, 78, 40);
	from_far(&udp);
	expect(1, 0);
	udp_from_a(78, 77);
	expect(0, 1);
	for (unsigned own = 0; own < 2; own++) {
		unsigned ip;

		p.len = 0;
		tp_eth(&p, mac_far, mac_a, 0x0800);
		ip = tp_ip(&p, own ? "10.0.0.5" : "10.0.0.1", "10.0.0.9", 1, 0, 64, true);
		tp_u32(&p, 0x03030000);
		tp_u32(&p, 0);
		tp_bytes(&p, udp.b + 14, 28);
		tp_ip_end(&p, ip);
		tp_put16(&p, 36, ~tp_sum(0, p.b + 34, p.len - 34) & 0xffff);
		vpc_from_guest(GUEST_A, &p);
		expect(0, own);
	}
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_IP), 1);
}

static void a_peer_is_no_guests_router(void **state)
{
	struct test_pkt p;
	unsigned ip;

	(void)state;
	p.len = 0;
	tp_eth(&p, mac_a, mac_far, 0x86dd);
	ip = tp_ip(&p, "fe80::1", "fd00::5", 58, 0, 255, false);
	tp_u32(&p, 134u << 24);
	tp_u32(&p, 0x40000708);
	tp_u32(&p, 0);
	tp_u32(&p, 0);
	tp_ip_end(&p, ip);
	tp_put16(&p, 56, ~tp_l4_sum(p.b + 14, 58, p.b + 54, p.len - 54) & 0xffff);
	from_far(&p);
	expect(0, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_MULTICAST), 1);
}

int session_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(answers_pass_where_questions_do_not),
	    T(a_connection_from_outside_is_answered),
	    T(a_rule_change_reaches_live_connections),
	    T(a_live_connection_follows_its_mapping),
	    T(the_wire_cannot_speak_for_the_guest),
	    T(both_guests_of_a_card_have_their_say),
	    T(tcp_is_followed_to_its_end),
	    T(a_burst_of_one_new_connection_is_one_session),
	    T(icmp_errors_belong_to_connections),
	    T(fragments_follow_their_first),
	    T(a_guest_sends_no_errors_as_somebody_else),
	    T(a_peer_is_no_guests_router),
	    T(allowances_hold_and_are_counted),
	    T(a_hop_is_lost_in_a_session_too),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
