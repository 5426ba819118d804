/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

#include <rte_cycles.h>

static const uint8_t zero6[6];

static void arp_frame(struct test_pkt *p, const uint8_t *dmac, const uint8_t *smac, unsigned op,
    const uint8_t *sha, const char *sip, const char *tip)
{
	uint8_t a[16];

	p->len = 0;
	tp_eth(p, dmac, smac, 0x0806);
	tp_u32(p, 0x00010800);
	tp_u16(p, 0x0604);
	tp_u16(p, op);
	tp_bytes(p, sha, 6);
	tp_addr(sip, a);
	tp_bytes(p, a, 4);
	tp_bytes(p, zero6, 6);
	tp_addr(tip, a);
	tp_bytes(p, a, 4);
	tp_fill(p, 18);
}

static void arp_says(const char *tip, const uint8_t *mac)
{
	struct test_pkt p, want;

	vpc_clear();
	arp_frame(&p, mac_bcast, mac_a, 1, mac_a, "10.0.0.5", tip);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->n_guest, mac != NULL);
	if (mac == NULL)
		return;
	arp_frame(&want, mac_a, mac, 2, mac, tip, "10.0.0.5");
	memcpy(want.b + 32, mac_a, 6);
	assert_int_equal(tv->guest[0].meta.out_vif, GUEST_A);
	assert_int_equal(tv->guest[0].pkt.len, 42);
	assert_memory_equal(tv->guest[0].pkt.b, want.b, 42);
}

static void arp_transcript(void **state)
{
	struct test_pkt p;

	(void)state;
	arp_says("10.0.0.1", mac_router);
	arp_says("10.0.0.9", mac_far);
	arp_says("10.0.0.6", mac_b);
	arp_says("10.0.0.77", NULL);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ARP_UNANSWERED), 1);
	arp_says("10.0.0.5", NULL); /* announcement of its own address */
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_BAD_REQUEST), 1);
	/* A probe has no sender address. */
	vpc_clear();
	arp_frame(&p, mac_bcast, mac_a, 1, mac_a, "0.0.0.0", "10.0.0.6");
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	arp_frame(&p, mac_bcast, mac_a, 1, mac_a, "10.0.0.6", "10.0.0.9");
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_IP), 1);
	arp_frame(&p, mac_bcast, mac_a, 1, mac_b, "10.0.0.5", "10.0.0.9");
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_MAC), 1);
	/* Another VNET's addresses are not told. */
	vpc_clear();
	arp_frame(&p, mac_bcast, mac_c, 1, mac_c, "10.0.0.5", "10.0.0.6");
	vpc_from_guest(GUEST_C, &p);
	assert_int_equal(tv->n_guest, 0);
	assert_int_equal(vpc_drops(GUEST_C, OB_DROP_ARP_UNANSWERED), 1);
}

static void malformed_arp_is_counted(void **state)
{
	struct test_pkt p, q;

	(void)state;
	arp_frame(&p, mac_bcast, mac_a, 1, mac_a, "10.0.0.5", "10.0.0.9");
	for (unsigned at = 14; at < 22; at++) {
		q = p;
		q.b[at] ^= 0x10;
		vpc_from_guest(GUEST_A, &q);
	}
	for (unsigned n = 14; n < 42; n++) {
		q = p;
		q.len = n;
		vpc_from_guest(GUEST_A, &q);
	}
	assert_int_equal(tv->n_guest, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_BAD_REQUEST), 8 + 28);
}

static void arp_from_the_overlay_is_answered_for_local_enis(void **state)
{
	struct test_pkt in, p;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		vpc_clear();
		arp_frame(&in, i ? mac_a : mac_bcast, mac_far, 1, mac_far, "10.0.0.9", "10.0.0.5");
		vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 100, &in);
		vpc_from_wire(&p, 0);
		assert_int_equal(tv->n_guest, 0);
		vpc_inner(0, OB_ENCAP_VXLAN, 100, &in);
		assert_memory_equal(in.b, mac_far, 6);
		assert_memory_equal(in.b + 6, mac_a, 6);
		assert_int_equal(tp_get16(in.b + 20), 2);
		assert_memory_equal(in.b + 22, mac_a, 6);
	}
	/* Not for what is behind a tunnel itself, and not in another VNET. */
	vpc_clear();
	arp_frame(&in, mac_bcast, mac_far, 1, mac_far, "10.0.0.8", "10.0.0.9");
	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 100, &in);
	vpc_from_wire(&p, 0);
	arp_frame(&in, mac_bcast, mac_far, 1, mac_far, "10.0.0.9", "10.0.0.6");
	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 200, &in);
	vpc_from_wire(&p, 0);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(vpc_drops(OB_VIF_NONE, OB_DROP_ARP_UNANSWERED), 2);
	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 300, &in);
	vpc_from_wire(&p, 0);
	assert_int_equal(vpc_drops(OB_VIF_NONE, OB_DROP_VNI_UNKNOWN), 1);
}

static void icmp6_end(struct test_pkt *p)
{
	tp_ip_end(p, 14);
	tp_put16(p, 56, 0);
	tp_put16(p, 56, ~tp_l4_sum(p->b + 14, 58, p->b + 54, p->len - 54) & 0xffff);
}

static void ns_frame(
    struct test_pkt *p, const uint8_t *smac, const char *src, const char *dst, const char *target)
{
	uint8_t a[16];

	p->len = 0;
	tp_eth(p, ((const uint8_t[]){0x33, 0x33, 0xff, 0, 0, 1}), smac, 0x86dd);
	tp_ip(p, src, dst, 58, 0, 255, true);
	tp_u32(p, 135u << 24);
	tp_u32(p, 0);
	tp_addr(target, a);
	tp_bytes(p, a, 16);
	tp_u16(p, 0x0101);
	tp_bytes(p, smac, 6);
	icmp6_end(p);
}

static void na_is(const uint8_t *b, unsigned n, const uint8_t *mac, const char *src,
    const char *dst, unsigned flags)
{
	uint8_t a[16];

	assert_int_equal(n, 14 + 40 + 32);
	vpc_check_frame(b, n);
	assert_memory_equal(b + 6, mac, 6);
	assert_int_equal(b[21], 255);
	tp_addr(src, a);
	assert_memory_equal(b + 22, a, 16);
	assert_memory_equal(b + 62, a, 16);
	tp_addr(dst, a);
	assert_memory_equal(b + 38, a, 16);
	assert_int_equal(b[54], 136);
	assert_int_equal(b[58], flags);
	assert_int_equal(tp_get16(b + 78), 0x0201);
	assert_memory_equal(b + 80, mac, 6);
}

static void nd_says(const char *src, const char *target, const uint8_t *mac, unsigned flags)
{
	struct test_pkt p;

	vpc_clear();
	ns_frame(&p, mac_a, src, "ff02::1:ff00:1", target);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->n_guest, mac != NULL);
	if (mac != NULL)
		na_is(tv->guest[0].pkt.b, tv->guest[0].pkt.len, mac, target,
		    strcmp(src, "::") ? src : "ff02::1", flags);
}

static void nd_transcript(void **state)
{
	struct test_pkt p, q;

	(void)state;
	nd_says("fd00::5", "fd00::1", mac_router, 0xe0);
	nd_says("fe80::1234", "fe80::6f:62ff:fe00:1", mac_router, 0xe0);
	nd_says("fd00::5", "fd00::9", mac_far, 0x60);
	nd_says("fe80::1234", "fd00::6", mac_b, 0x60);
	nd_says("::", "fd00::6", mac_b, 0x20); /* somebody else has it */
	nd_says("::", "fd00::5", NULL, 0);     /* its own */
	nd_says("fd00::5", "fd00::77", NULL, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_ARP_UNANSWERED), 1);
	nd_says("fd00::6", "fd00::9", NULL, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_SPOOFED_IP), 1);
	/* Hop limit, code, checksum, length (RFC 4861, 7.1.1). */
	ns_frame(&p, mac_a, "fd00::5", "ff02::1:ff00:9", "fd00::9");
	for (unsigned i = 0; i < 4; i++) {
		q = p;
		if (i == 0)
			q.b[21] = 254;
		else if (i == 1)
			q.b[55] = 1;
		else if (i == 2)
			q.b[70] ^= 1;
		else
			q.len = 54 + 20;
		if (i != 2)
			icmp6_end(&q);
		vpc_clear();
		vpc_from_guest(GUEST_A, &q);
		assert_int_equal(tv->n_guest, 0);
	}
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_BAD_REQUEST), 5);
}

static void nd_from_the_overlay_is_answered_for_local_enis(void **state)
{
	struct test_pkt in, p;

	(void)state;
	ns_frame(&in, mac_far, "fd00::9", "ff02::1:ff00:5", "fd00::5");
	vpc_outer(&p, OB_ENCAP_GENEVE, "2001:db8:9::7", 100, &in);
	vpc_from_wire(&p, 0);
	vpc_inner(0, OB_ENCAP_GENEVE, 100, &in);
	na_is(in.b, in.len, mac_a, "fd00::5", "fd00::9", 0x60);
	ns_frame(&in, mac_far, "fd00::9", "ff02::1:ff00:1",
	    "fd00::1"); /* the router is each card's own */
	vpc_outer(&p, OB_ENCAP_GENEVE, "2001:db8:9::7", 100, &in);
	vpc_from_wire(&p, 0);
	assert_int_equal(tv->n_wire, 1);
	assert_int_equal(vpc_drops(OB_VIF_NONE, OB_DROP_ARP_UNANSWERED), 1);
}

static void router_advertisement_has_mtu_prefix_and_flags(void **state)
{
	static const uint8_t ll[16] = {
	    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x6f, 0x62, 0xff, 0xfe, 0, 0, 1};
	static const uint8_t prefix[16] = {0xfd};
	static const uint8_t dns[16] = {0xfd, [15] = 2};
	const uint8_t *b = tv->guest[0].pkt.b;
	struct test_pkt p;

	(void)state;
	p.len = 0;
	tp_eth(&p, ((const uint8_t[]){0x33, 0x33, 0, 0, 0, 2}), mac_a, 0x86dd);
	tp_ip(&p, "fe80::1234", "ff02::2", 58, 0, 255, true);
	tp_u32(&p, 133u << 24);
	tp_u32(&p, 0);
	icmp6_end(&p);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_memory_equal(b + 22, ll, 16);
	assert_memory_equal(b + 38, p.b + 22, 16);
	assert_int_equal(b[54], 134);
	assert_int_equal(b[59], 0xc0);
	assert_int_equal(tp_get16(b + 60), 65535);
	assert_memory_equal(b + 72, mac_router, 6);
	assert_int_equal(tp_get16(b + 78), 0x0501);
	assert_int_equal(tp_get16(b + 84), 1450);
	assert_int_equal(tp_get16(b + 86), 0x0304);
	assert_int_equal(tp_get16(b + 88), 0x4080);
	assert_memory_equal(b + 102, prefix, 16);
	assert_int_equal(tp_get16(b + 118), 0x1903);
	assert_memory_equal(b + 126, dns, 16);
	assert_int_equal(tv->guest[0].pkt.len, 142);
}

static void router_advertisement_is_repeated(void **state)
{
	const struct ob_eni *eni = ob_eni_of_vif(GUEST_B);
	uint64_t hz = rte_get_tsc_hz(), now = ob_worker_tsc(tv->w) + 200000 * hz;
	static const uint8_t all[16] = {0xff, 2, [15] = 1};

	(void)state;
	ob_stage_advertise(tv->w, eni, now); /* whatever was due */
	vpc_clear();
	for (unsigned i = 0; i < 1300; i++)
		ob_stage_advertise(tv->w, eni, now + i * hz);
	assert_int_equal(tv->n_guest, 2);
	assert_int_equal(tv->guest[1].meta.out_vif, GUEST_B);
	assert_int_equal(tv->guest[1].pkt.b[54], 134);
	assert_memory_equal(tv->guest[1].pkt.b + 38, all, 16);
	vpc_check_frame(tv->guest[1].pkt.b, tv->guest[1].pkt.len);
}

static void router_answers_echo(void **state)
{
	struct test_pkt p;
	unsigned ip;

	(void)state;
	p.len = 0;
	tp_eth(&p, mac_router, mac_a, 0x0800);
	ip = tp_ip(&p, "10.0.0.5", "10.0.0.1", 1, 0, 1, true);
	tp_u32(&p, 0x08000000);
	tp_u32(&p, 0x12340001);
	tp_fill(&p, 3000); /* over several buffers */
	tp_ip_end(&p, ip);
	tp_put16(&p, 36, ~tp_sum(0, p.b + 34, p.len - 34) & 0xffff);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(tv->guest[0].pkt.b, tv->guest[0].pkt.len);
	assert_memory_equal(tv->guest[0].pkt.b, mac_a, 6);
	assert_memory_equal(tv->guest[0].pkt.b + 26, p.b + 30, 4);
	assert_int_equal(tv->guest[0].pkt.b[34], 0);
	assert_memory_equal(tv->guest[0].pkt.b + 38, p.b + 38, p.len - 38);

	for (unsigned i = 0; i < 2; i++) {
		vpc_clear();
		p.len = 0;
		tp_eth(&p, mac_router, mac_a, 0x86dd);
		tp_ip(&p, i ? "fe80::77" : "fd00::5", i ? "fe80::6f:62ff:fe00:1" : "fd00::1", 58, 0,
		    64, true);
		tp_u32(&p, 0x80000000);
		tp_u32(&p, 0x12340001);
		tp_fill(&p, 56);
		icmp6_end(&p);
		vpc_from_guest(GUEST_A, &p);
		assert_int_equal(tv->n_guest, 1);
		vpc_check_frame(tv->guest[0].pkt.b, tv->guest[0].pkt.len);
		assert_int_equal(tv->guest[0].pkt.b[54], 129);
		assert_memory_equal(tv->guest[0].pkt.b + 22, p.b + 38, 16);
	}
}

static void time_exceeded_is_told(void **state)
{
	struct test_pkt p;
	const uint8_t *b = tv->guest[0].pkt.b;

	(void)state;
	tp_udp_frame(&p, mac_router, mac_a, "10.0.0.5", "10.1.0.9", 5, 6, 20);
	p.b[22] = 1;
	tp_ip_end(&p, 14);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_memory_equal(b + 26, ((const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 5}), 8);
	assert_int_equal(tp_get16(b + 34), 0x0b00);
	assert_memory_equal(b + 42, p.b + 14, p.len - 14);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_TTL_EXPIRED), 1);
	vpc_clear();
	tp_udp_frame(&p, mac_router, mac_a, "fd00::5", "fd01::9", 5, 6, 20);
	p.b[21] = 1;
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_int_equal(tp_get16(b + 54), 0x0300);
	assert_memory_equal(b + 62, p.b + 14, p.len - 14);
}

int answer_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(arp_transcript),
	    T(malformed_arp_is_counted),
	    T(arp_from_the_overlay_is_answered_for_local_enis),
	    T(nd_transcript),
	    T(nd_from_the_overlay_is_answered_for_local_enis),
	    T(router_advertisement_has_mtu_prefix_and_flags),
	    T(router_advertisement_is_repeated),
	    T(router_answers_echo),
	    T(time_exceeded_is_told),
	};

	return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
