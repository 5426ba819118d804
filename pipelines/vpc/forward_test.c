/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

static void switched_packet_goes_through_unchanged(void **state)
{
	struct test_pkt p, in;

	(void)state;
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1000, 2000, 100);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 1);
	vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
	assert_int_equal(in.len, p.len);
	assert_memory_equal(in.b, p.b, p.len);
	tp_udp_frame(&p, mac_far, mac_a, "fd00::5", "fd00::9", 1000, 2000, 100);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 2);
	vpc_inner(1, OB_ENCAP_GENEVE, 100, &in);
	assert_int_equal(in.len, p.len);
	assert_memory_equal(in.b, p.b, p.len);
}

static void routed_packet_loses_a_hop_and_changes_macs(void **state)
{
	static const char *const ends[2][2] = {{"10.0.0.5", "10.1.0.9"}, {"fd00::5", "fd01::9"}};
	struct test_pkt p, in;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		vpc_clear();
		tp_udp_frame(&p, mac_router, mac_a, ends[i][0], ends[i][1], 1000, 2000, 100);
		vpc_from_guest(GUEST_A, &p);
		assert_int_equal(tv->n_wire, 1);
		vpc_inner(0, i ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, 100, &in);
		assert_memory_equal(in.b, mac_far, 6);
		assert_memory_equal(in.b + 6, mac_router, 6);
		assert_int_equal(in.b[i ? 21 : 22], 63);
		vpc_check_frame(in.b, in.len);
		assert_memory_equal(in.b + 54, p.b + 54, p.len - 54);
	}
	/* Every TTL keeps a right checksum. */
	for (unsigned ttl = 2; ttl < 256; ttl++) {
		vpc_clear();
		tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.1.0.9", ttl, 2000, 10);
		p.b[22] = (uint8_t)ttl;
		tp_put16(&p, 18, ttl * 257);
		tp_ip_end(&p, 14);
		vpc_from_guest(GUEST_A, &p);
		vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
		vpc_check_frame(in.b, in.len);
	}
}

static void guests_of_one_card_meet(void **state)
{
	struct test_pkt p;

	(void)state;
	tp_udp_frame(&p, mac_b, mac_a, "10.0.0.5", "10.0.0.6", 1000, 2000, 100);
	vpc_from_guest(GUEST_A, &p);
	tp_udp_frame(&p, mac_a, mac_b, "fd00::6", "fd00::5", 1000, 2000, 100);
	vpc_from_guest(GUEST_B, &p);
	assert_int_equal(tv->n_guest, 2);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->guest[0].meta.out_vif, GUEST_B);
	assert_int_equal(tv->guest[1].meta.out_vif, GUEST_A);
	assert_memory_equal(tv->guest[1].pkt.b, p.b, p.len);
	assert_int_equal(tv->guest[1].meta.l3_len, 40);
	assert_int_equal(
	    tv->guest[1].meta.flags & (OB_PKT_IP6 | OB_PKT_UDP), OB_PKT_IP6 | OB_PKT_UDP);
}

static void vnets_are_islands_but_for_routes(void **state)
{
	struct test_pkt p, in;

	(void)state;
	/* C has A's addresses in another VNET, and neither route nor mapping out of it. */
	tp_udp_frame(&p, mac_router, mac_c, "10.0.0.5", "10.0.0.6", 1, 2, 10);
	vpc_from_guest(GUEST_C, &p);
	tp_udp_frame(&p, mac_router, mac_c, "10.0.0.5", "10.0.0.9", 1, 2, 10);
	vpc_from_guest(GUEST_C, &p);
	tp_udp_frame(&p, mac_router, mac_c, "10.0.0.5", "10.1.0.9", 1, 2, 10);
	vpc_from_guest(GUEST_C, &p);
	tp_udp_frame(&p, mac_a, mac_c, "fd00::5", "fd00::6", 1, 2, 10);
	vpc_from_guest(GUEST_C, &p);
	assert_int_equal(tv->n_guest + tv->n_wire, 0);
	assert_int_equal(vpc_drops(GUEST_C, OB_DROP_NO_MAPPING), 3);
	assert_int_equal(vpc_drops(GUEST_C, OB_DROP_NO_ROUTE), 1);
	/* A is routed into VNET 1, with that VNET's VNI. */
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.3.0.9", 1, 2, 10);
	vpc_from_guest(GUEST_A, &p);
	vpc_inner(0, OB_ENCAP_GENEVE, 200, &in);
	vpc_check_frame(in.b, in.len);
}

static void dropped(uint16_t vif, const struct test_pkt *p, enum ob_drop why)
{
	uint64_t before = vpc_drops(vif, why);

	vpc_clear();
	vpc_from_guest(vif, p);
	assert_int_equal(tv->n_guest + tv->n_wire, 0);
	assert_int_equal(vpc_drops(vif, why), before + 1);
}

static void spoofing_is_counted(void **state)
{
	struct test_pkt p;

	(void)state;
	tp_udp_frame(&p, mac_far, mac_b, "10.0.0.5", "10.0.0.9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_MAC);
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.6", "10.0.0.9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_far, mac_a, "0.0.0.0", "10.0.0.9", 68, 67, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_bcast, mac_a, "0.0.0.0", "255.255.255.255", 68, 69, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_bcast, mac_a, "10.0.0.6", "255.255.255.255", 68, 67, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_far, mac_a, "fd00::6", "fd00::9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_far, mac_a, "fe80::1", "fd00::9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
	tp_udp_frame(&p, mac_far, mac_a, "::", "fd00::9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_SPOOFED_IP);
}

static void every_reason_of_the_guests_side(void **state)
{
	struct test_pkt p, q;

	(void)state;
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.9.0.9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_NO_ROUTE);
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.2.0.9", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_ROUTE_DROP);
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.1.0.10", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_NO_MAPPING);
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.0.0.1", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_TO_ROUTER);
	tp_udp_frame(&p, mac_bcast, mac_a, "10.0.0.5", "255.255.255.255", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_MULTICAST);
	tp_udp_frame(&p, mac_bcast, mac_a, "10.0.0.5", "224.0.0.251", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_MULTICAST);
	tp_udp_frame(&p, mac_bcast, mac_a, "fd00::5", "ff02::fb", 1, 2, 10);
	dropped(GUEST_A, &p, OB_DROP_MULTICAST);
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1, 2, 10);
	dropped(7, &p, OB_DROP_NO_ENI);
	q = p;
	tp_put16(&q, 12, 0x88cc);
	dropped(GUEST_A, &q, OB_DROP_ETHERTYPE);
	q.len = 13;
	dropped(GUEST_A, &q, OB_DROP_MALFORMED_L2);
	q.len = 0;
	tp_bytes(&q, p.b, 12);
	tp_u32(&q, 0x81000005);
	tp_bytes(&q, p.b + 12, p.len - 12);
	dropped(GUEST_A, &q, OB_DROP_VLAN);
	assert_int_equal(ob_tunnel_set_nexthop(0, &(struct ob_nexthop){0}), 0);
	dropped(GUEST_A, &p, OB_DROP_NO_NEXTHOP);
}

/* Every frame, cut anywhere and with any byte of its headers changed, ends somewhere and is counted. */
static void hurt_frames_are_counted(void **state)
{
	static const char *const ends[2][2] = {{"10.0.0.5", "10.0.0.9"}, {"fd00::5", "fd00::9"}};
	struct test_pkt p, q;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		tp_udp_frame(&p, mac_far, mac_a, ends[i][0], ends[i][1], 1, 2, 30);
		for (unsigned n = 1; n < p.len; n++) {
			q = p;
			q.len = n;
			dropped(GUEST_A, &q, n < 14 ? OB_DROP_MALFORMED_L2 : OB_DROP_MALFORMED_L3);
		}
		for (unsigned at = 0; at < 64; at++) {
			for (unsigned v = 0; v < 256; v += 5) {
				uint64_t sum = 0;

				vpc_clear();
				q = p;
				q.b[at] = (uint8_t)v;
				for (unsigned r = 0; r < OB_N_DROPS; r++)
					sum -= vpc_drops(GUEST_A, r);
				vpc_from_guest(GUEST_A, &q);
				for (unsigned r = 0; r < OB_N_DROPS; r++)
					sum += vpc_drops(GUEST_A, r);
				assert_int_equal(sum + tv->n_guest + tv->n_wire, 1);
			}
		}
	}
}

static void padding_is_cut_off(void **state)
{
	struct test_pkt p, in;
	unsigned len;

	(void)state;
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1, 2, 2500);
	len = p.len;
	ob_tunnel_set_nexthop(
	    0, &(struct ob_nexthop){.valid = true, .mtu = 9000, .src = vpc_ip("192.0.2.1")});
	tp_fill(&p, 1800); /* the padding reaches over buffers */
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 1);
	assert_int_equal(tv->wire[0].len, 50 + len);
	tp_udp_frame(&p, mac_far, mac_a, "fd00::5", "fd00::9", 1, 2, 20);
	len = p.len;
	tp_fill(&p, 6);
	vpc_from_guest(GUEST_A, &p);
	vpc_inner(1, OB_ENCAP_GENEVE, 100, &in);
	assert_int_equal(in.len, len);
}

static void ipv6_extension_headers(void **state)
{
	struct test_pkt p;
	unsigned ip;

	(void)state;
	for (unsigned n = 0; n < 12; n++) {
		vpc_clear();
		p.len = 0;
		tp_eth(&p, mac_far, mac_a, 0x86dd);
		ip = tp_ip(&p, "fd00::5", "fd00::9", n ? 60 : 17, 0, 64, true);
		for (unsigned i = 0; i < n; i++) {
			tp_u8(&p, i + 1 < n ? 60 : 17);
			tp_u8(&p, 0);
			tp_u16(&p, 0x0104);
			tp_u32(&p, 0);
		}
		tp_u32(&p, 1 << 16 | 2);
		tp_u32(&p, 8 << 16);
		tp_ip_end(&p, ip);
		vpc_from_guest(GUEST_A, &p);
		assert_int_equal(tv->n_wire, n <= 8);
	}
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_MALFORMED_L3), 3);
	/* An extension header that says more than there is. */
	vpc_clear();
	p.b[14 + 40 + 1] = 200;
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_MALFORMED_L3), 4);
}

static void both_directions_hash_alike(void **state)
{
	struct test_pkt p;
	uint32_t hash;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		vpc_clear();
		tp_udp_frame(&p, mac_b, mac_a, i & 1 ? "10.0.0.5" : "fd00::5",
		    i & 1 ? "10.0.0.6" : "fd00::6", 1000 + i, 7, 10);
		vpc_from_guest(GUEST_A, &p);
		tp_udp_frame(&p, mac_a, mac_b, i & 1 ? "10.0.0.6" : "fd00::6",
		    i & 1 ? "10.0.0.5" : "fd00::5", 7, 1000 + i, 10);
		vpc_from_guest(GUEST_B, &p);
		assert_int_equal(tv->n_guest, 2);
		assert_int_equal(tv->guest[0].meta.hash, tv->guest[1].meta.hash);
		if (i > 1)
			assert_int_not_equal(tv->guest[0].meta.hash, hash);
		hash = tv->guest[0].meta.hash;
	}
}

static void tcp_frame(struct test_pkt *p, const char *src, const char *dst, unsigned n, bool df)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;

	p->len = 0;
	tp_eth(p, mac_far, mac_a, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, dst, 6, 0, 64, df);
	l4 = p->len;
	tp_u32(p, 5000 << 16 | 80);
	tp_u32(p, 1000000);
	tp_u32(p, 2);
	tp_u32(p, 0x50180400);
	tp_u32(p, 0);
	tp_fill(p, n);
	tp_ip_end(p, ip);
	/* The pseudo header's sum, as NEEDS_CSUM wants it. */
	n = p->len - l4;
	tp_put16(p, l4 + 16,
	    tp_l4_sum(p->b + ip, 6, ((const uint8_t[]){0}), 0) + n > 0xffff
		? (tp_l4_sum(p->b + ip, 6, ((const uint8_t[]){0}), 0) + n) - 0xffff
		: tp_l4_sum(p->b + ip, 6, ((const uint8_t[]){0}), 0) + n);
}

static void super_packets_are_cut_before_the_tunnel(void **state)
{
	static const char *const ends[2][2] = {{"10.0.0.5", "10.0.0.9"}, {"fd00::5", "fd00::9"}};
	struct test_pkt p, in;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		unsigned l4 = i ? 54 : 34, payload = 0;

		vpc_clear();
		tcp_frame(&p, ends[i][0], ends[i][1], 9000, true);
		vpc_from_guest_offload(
		    GUEST_A, &p, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL, (uint16_t)l4, 16, 1300);
		assert_int_equal(tv->n_wire, 7);
		for (unsigned k = 0; k < 7; k++) {
			vpc_inner(k, i ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, 100, &in);
			vpc_check_frame(in.b, in.len);
			assert_memory_equal(
			    in.b + l4 + 20, p.b + l4 + 20 + payload, in.len - l4 - 20);
			payload += in.len - l4 - 20;
		}
		assert_int_equal(payload, 9000);
		/* To a guest of this card it goes whole. */
		vpc_clear();
		tcp_frame(&p, ends[i][0], i ? "fd00::6" : "10.0.0.6", 9000, true);
		vpc_from_guest_offload(
		    GUEST_A, &p, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL, (uint16_t)l4, 16, 1300);
		assert_int_equal(tv->n_guest, 1);
		assert_int_equal(tv->guest[0].pkt.len, p.len);
		assert_true(tv->guest[0].meta.flags & OB_PKT_GSO);
		assert_int_equal(tv->guest[0].tso_segsz, 1300);
	}
}

static void partial_checksum_is_completed_before_the_tunnel(void **state)
{
	struct test_pkt p, in;

	(void)state;
	tcp_frame(&p, "10.0.0.5", "10.0.0.9", 777, true);
	vpc_from_guest_offload(GUEST_A, &p, OB_PKT_L4_CSUM_PARTIAL, 34, 16, 0);
	vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
	vpc_check_frame(in.b, in.len);
	/* A checksum outside the datagram was promised of padding. */
	tp_put16(&p, 16, 40);
	tp_put16(&p, 24, 0);
	vpc_from_guest_offload(GUEST_A, &p, OB_PKT_L4_CSUM_PARTIAL, 500, 16, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_MALFORMED_L4), 1);
}

/* The guest may ask for a checksum only where one belongs: the card writes it after the policy has looked at the packet. */
static void checksum_request_cannot_rewrite_what_policy_saw(void **state)
{
	static const struct {
		uint16_t start, offset;
	} at[] = {
	    {14, 10}, {14, 14}, {14, 16}, {14, 8}, {34, 0}, {34, 2}, {34, 8}, {30, 4}, {0, 26}};
	struct test_pkt p;

	(void)state;
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 1000, 2000, 100);
		vpc_from_guest_offload(
		    GUEST_A, &p, OB_PKT_L4_CSUM_PARTIAL, at[i].start, at[i].offset, 0);
	}
	/* An echo request that its checksum would turn into an advertisement. */
	tp_udp_frame(&p, mac_far, mac_a, "fd00::5", "fd00::9", 1000, 2000, 100);
	p.b[20] = 58;
	p.b[54] = 128;
	p.b[55] = 0;
	vpc_from_guest_offload(GUEST_A, &p, OB_PKT_L4_CSUM_PARTIAL, 54, 0, 0);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_MALFORMED_L4), sizeof(at) / sizeof(at[0]) + 1);
}

int forward_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(switched_packet_goes_through_unchanged),
	    T(routed_packet_loses_a_hop_and_changes_macs),
	    T(guests_of_one_card_meet),
	    T(vnets_are_islands_but_for_routes),
	    T(spoofing_is_counted),
	    T(every_reason_of_the_guests_side),
	    T(hurt_frames_are_counted),
	    T(padding_is_cut_off),
	    T(ipv6_extension_headers),
	    T(both_directions_hash_alike),
	    T(super_packets_are_cut_before_the_tunnel),
	    T(partial_checksum_is_completed_before_the_tunnel),
	    T(checksum_request_cannot_rewrite_what_policy_saw),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
