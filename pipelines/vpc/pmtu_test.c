/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

/* A UDP packet of 'l3' bytes from A. */
static void sized(struct test_pkt *p, const char *dst, unsigned l3, bool df)
{
	bool is4 = strchr(dst, ':') == NULL;

	tp_udp_frame(
	    p, mac_router, mac_a, is4 ? "10.0.0.5" : "fd00::5", dst, 1, 2, l3 - (is4 ? 28 : 48));
	if (is4 && !df)
		p->b[20] = 0;
	tp_ip_end(p, 14);
}

static void what_fits_exactly_goes(void **state)
{
	struct test_pkt p;

	(void)state;
	sized(&p, "10.1.0.9", 1450, true);
	vpc_from_guest(GUEST_A, &p);
	sized(&p, "fd01::9", 1430, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 2);
	assert_int_equal(tv->wire[0].len, 1514);
	assert_int_equal(tv->wire[1].len, 1514);
	sized(&p, "10.0.0.6", 1450, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
}

static void one_byte_more_is_told(void **state)
{
	const uint8_t *b = tv->guest[0].pkt.b;
	struct test_pkt p;

	(void)state;
	sized(&p, "10.1.0.9", 1451, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_memory_equal(b, mac_a, 6);
	assert_memory_equal(b + 26, ((const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 5}), 8);
	assert_int_equal(tp_get16(b + 34), 0x0304);
	assert_int_equal(tp_get16(b + 38), 0);
	assert_int_equal(tp_get16(b + 40), 1450);
	assert_memory_equal(b + 42, p.b + 14, 548); /* as it was sent, TTL and all */
	assert_int_equal(tv->guest[0].pkt.len, 14 + 576);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_TOO_BIG), 1);

	vpc_clear();
	sized(&p, "fd01::9", 1431, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_int_equal(tp_get16(b + 54), 0x0200);
	assert_int_equal(tp_get16(b + 60), 1430);
	assert_int_equal(tv->guest[0].pkt.len, 14 + 1280);
	assert_memory_equal(b + 62, p.b + 14, 1232);
	/* Between guests of the card it is the receiver's MTU. */
	vpc_clear();
	sized(&p, "10.0.0.6", 1451, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tp_get16(b + 40), 1450);
	/* The next hop's MTU counts, now. */
	vpc_clear();
	ob_tunnel_set_nexthop(
	    0, &(struct ob_nexthop){.valid = true, .mtu = 1400, .src = vpc_ip("192.0.2.1")});
	sized(&p, "10.1.0.9", 1400, true);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tp_get16(b + 40), 1350);
}

static void without_df_it_is_cut_and_fits_together_again(void **state)
{
	struct test_pkt p, in;
	static uint8_t all[10000];

	(void)state;
	for (unsigned l3 = 1451; l3 < 9000; l3 += 611) {
		unsigned end = 0;

		vpc_clear();
		sized(&p, "10.1.0.9", l3, false);
		vpc_from_guest(GUEST_A, &p);
		assert_int_equal(tv->n_guest, 0);
		assert_int_equal(tv->n_wire, (l3 - 20 + 1423) / 1424);
		for (unsigned i = 0; i < tv->n_wire; i++) {
			unsigned off;

			vpc_inner(i, OB_ENCAP_VXLAN, 100, &in);
			assert_int_equal(tp_sum(0, in.b + 14, 20), 0xffff);
			assert_int_equal(tp_get16(in.b + 16), in.len - 14);
			assert_int_equal(in.b[22], 63);
			assert_memory_equal(in.b + 18, p.b + 18, 2);
			off = (tp_get16(in.b + 20) & 0x1fff) * 8;
			assert_int_equal(off, end);
			assert_int_equal((tp_get16(in.b + 20) & 0x2000) != 0, i + 1 < tv->n_wire);
			memcpy(all + off, in.b + 34, in.len - 34);
			end = off + in.len - 34;
		}
		assert_int_equal(end, l3 - 20);
		assert_memory_equal(all, p.b + 34, end);
	}
}

static void fragments_keep_options_and_their_own_offset(void **state)
{
	static const uint8_t opts[12] = {0x94, 4, 0, 0, 0x07, 7, 4, 0, 0, 0, 0,
	    0}; /* router alert (copied), record route (not) */
	struct test_pkt p, q, in;

	(void)state;
	/* The first of the datagram: what follows it belongs to a connection. */
	sized(&p, "10.1.0.9", 20 + 800, false);
	tp_put16(&p, 20, 0x2000);
	tp_ip_end(&p, 14);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 1);
	vpc_clear();
	sized(&p, "10.1.0.9", 20 + 1984, false);
	q.len = 0;
	tp_bytes(&q, p.b, 34);
	q.b[14] = 0x48;
	tp_bytes(&q, opts, sizeof(opts));
	tp_bytes(&q, p.b + 34, p.len - 34);
	tp_put16(&q, 20, 0x2000 | 100); /* itself a fragment of something */
	tp_ip_end(&q, 14);
	vpc_from_guest(GUEST_A, &q);
	assert_int_equal(tv->n_wire, 2);
	vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
	assert_int_equal(in.b[14], 0x48);
	assert_int_equal(tp_get16(in.b + 20), 0x2000 | 100);
	assert_memory_equal(in.b + 34, opts, sizeof(opts));
	vpc_inner(1, OB_ENCAP_VXLAN, 100, &in);
	assert_int_equal(in.b[14], 0x46);
	assert_memory_equal(in.b + 34, opts, 4);
	assert_int_equal(tp_get16(in.b + 20), 0x2000 | (100 + 1416 / 8));
	assert_int_equal(tp_sum(0, in.b + 14, 24), 0xffff);
}

static void tcp(struct test_pkt *p, bool v6, unsigned n, bool df)
{
	unsigned ip;

	p->len = 0;
	tp_eth(p, mac_router, mac_a, v6 ? 0x86dd : 0x0800);
	ip = tp_ip(p, v6 ? "fd00::5" : "10.0.0.5", v6 ? "fd01::9" : "10.1.0.9", 6, 0, 64, df);
	tp_u32(p, 5000 << 16 | 80);
	tp_u32(p, 1);
	tp_u32(p, 2);
	tp_u32(p, 0x50180400);
	tp_u32(p, 0);
	tp_fill(p, n);
	tp_ip_end(p, ip);
}

static void super_packets_are_judged_by_their_segments(void **state)
{
	struct test_pkt p, in;

	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		uint16_t l4 = v6 ? 54 : 34, fits = (uint16_t)((v6 ? 1430 - 60 : 1450 - 40));

		vpc_clear();
		tcp(&p, v6, 8000, true);
		vpc_from_guest_offload(
		    GUEST_A, &p, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL, l4, 16, fits);
		assert_int_equal(tv->n_guest, 0);
		assert_int_equal(tv->n_wire, (8000 + fits - 1) / fits);
		assert_int_equal(tv->wire[0].len, 1514);
		vpc_clear();
		vpc_from_guest_offload(
		    GUEST_A, &p, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL, l4, 16, (uint16_t)(fits + 1));
		assert_int_equal(tv->n_wire, 0);
		assert_int_equal(tv->n_guest, 1);
		assert_int_equal(tp_get16(tv->guest[0].pkt.b + (v6 ? 60 : 40)), v6 ? 1430 : 1450);
	}
	/* Without DF the segments are made smaller. */
	vpc_clear();
	tcp(&p, false, 8000, false);
	vpc_from_guest_offload(GUEST_A, &p, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL, 34, 16, 1460);
	assert_int_equal(tv->n_guest, 0);
	assert_int_equal(tv->n_wire, 6);
	vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
	assert_int_equal(in.len, 1464);
}

static void errors_are_limited_and_never_about_errors(void **state)
{
	struct test_pkt p;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		vpc_clear();
		sized(&p, "10.1.0.9", 1451, true);
		vpc_from_guest(GUEST_B, &p); /* spoofed: no error for that */
		assert_int_equal(tv->n_guest, 0);
		vpc_from_guest(GUEST_A, &p);
	}
	assert_true(vpc_drops(GUEST_A, OB_DROP_TOO_BIG) >= 50);
	assert_true(vpc_drops(GUEST_A, OB_DROP_ICMP_LIMIT) > 0);
	assert_int_equal(
	    vpc_drops(GUEST_A, OB_DROP_TOO_BIG) + vpc_drops(GUEST_A, OB_DROP_ICMP_LIMIT), 300);
	/* An ICMP error that is too long is lost without an answer. */
	vpc_clear();
	p.b[23] = 1;
	p.b[34] = 3;
	tp_ip_end(&p, 14);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 0);
}

int pmtu_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_fits_exactly_goes),
	    T(one_byte_more_is_told),
	    T(without_df_it_is_cut_and_fits_together_again),
	    T(fragments_keep_options_and_their_own_offset),
	    T(super_packets_are_judged_by_their_segments),
	    T(errors_are_limited_and_never_about_errors),
	};

	return cmocka_run_group_tests_name("pmtu", tests, NULL, NULL);
}
