/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of translated IPv4 connections. Checksums are judged by the slow sum of test_packet.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_nat.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static struct test_mbuf mb;
static struct ob_meta meta;

static struct ob_nat_to4 to(const char *src, const char *dst, unsigned sport, unsigned dport)
{
	struct ob_nat_to4 t = {.src = nat_ip4(src), .dst = nat_ip4(dst)};
	uint8_t ports[4] = {
	    (uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8), (uint8_t)dport};

	memcpy(&t.ports, ports, 4);
	return t;
}

/* IPv4 header of 'proto' from 10.0.0.10 to 198.51.100.1 in 'p'; returns its offset. */
static unsigned start(struct test_pkt *p, unsigned proto)
{
	p->len = 0;
	tp_eth(p, mac, mac, 0x0800);
	return tp_ip(p, "10.0.0.10", "198.51.100.1", proto, 0, 64, true);
}

static void tcp(struct test_pkt *p, unsigned payload)
{
	unsigned ip = start(p, 6), l4 = p->len;

	tp_u16(p, 40000);
	tp_u16(p, 80);
	tp_u32(p, 1);
	tp_u32(p, 2);
	tp_u16(p, 0x5018);
	tp_u16(p, 500);
	tp_u32(p, 0);
	tp_fill(p, payload);
	tp_ip_end(p, ip);
	tp_put16(p, l4 + 16, ~tp_l4_sum(p->b + ip, 6, p->b + l4, p->len - l4) & 0xffff);
}

static const uint8_t *load(const struct test_pkt *p)
{
	assert_true(test_parse(p->b, p->len, &meta));
	test_mbuf_set(&mb, p->b, p->len);
	return rte_pktmbuf_mtod(&mb.m, const uint8_t *);
}

static void check_ip(const uint8_t *b, const char *src, const char *dst)
{
	uint8_t a[16];

	tp_addr(src, a);
	assert_memory_equal(b + 26, a, 4);
	tp_addr(dst, a);
	assert_memory_equal(b + 30, a, 4);
	assert_int_equal(tp_sum(0, b + 14, 20), 0xffff);
}

static void tcp_and_udp_keep_right_checksums(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1024, 65535);
	struct test_pkt p;
	const uint8_t *b;

	(void)state;
	for (unsigned n = 0; n < 40; n++) {
		tcp(&p, n);
		b = load(&p);
		ob_nat_rewrite4(&mb.m, &meta, &t);
		check_ip(b, "203.0.113.5", "192.0.2.200");
		assert_memory_equal(b + 34, &t.ports, 4);
		assert_int_equal(tp_l4_sum(b + 14, 6, b + 34, p.len - 34), 0xffff);
		assert_memory_equal(b + 54, p.b + 54, n);
		tp_udp_frame(&p, mac, mac, "10.0.0.10", "198.51.100.1", 5000 + n, 53, n);
		b = load(&p);
		ob_nat_rewrite4(&mb.m, &meta, &t);
		check_ip(b, "203.0.113.5", "192.0.2.200");
		assert_int_equal(tp_l4_sum(b + 14, 17, b + 34, p.len - 34), 0xffff);
		assert_int_not_equal(tp_get16(b + 40), 0);
	}
}

static void wrong_checksum_stays_wrong(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1024, 65535);
	struct test_pkt p;
	const uint8_t *b;

	(void)state;
	tcp(&p, 10);
	p.b[60] ^= 1;
	p.b[22] ^= 1; /* TTL */
	b = load(&p);
	ob_nat_rewrite4(&mb.m, &meta, &t);
	assert_int_not_equal(tp_l4_sum(b + 14, 6, b + 34, p.len - 34), 0xffff);
	assert_int_not_equal(tp_sum(0, b + 14, 20), 0xffff);
}

static void udp_without_checksum_stays_so(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1024, 65535);
	struct test_pkt p;
	const uint8_t *b;

	(void)state;
	tp_udp_frame(&p, mac, mac, "10.0.0.10", "198.51.100.1", 5000, 53, 9);
	tp_put16(&p, 40, 0);
	b = load(&p);
	ob_nat_rewrite4(&mb.m, &meta, &t);
	assert_int_equal(tp_get16(b + 40), 0);
	check_ip(b, "203.0.113.5", "192.0.2.200");
}

/* A difference that makes the sum zero must not read as "none". */
static void udp_checksum_never_becomes_none(void **state)
{
	struct test_pkt p;
	unsigned n = 0;

	(void)state;
	for (unsigned port = 1; port < 65536; port++) {
		struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", port, 53);
		const uint8_t *b;

		tp_udp_frame(&p, mac, mac, "10.0.0.10", "198.51.100.1", 5000, 53, 2);
		b = load(&p);
		ob_nat_rewrite4(&mb.m, &meta, &t);
		assert_int_not_equal(tp_get16(b + 40), 0);
		n += tp_get16(b + 40) == 0xffff;
	}
	assert_true(n > 0);
}

static void partial_checksum_is_the_pseudo_headers(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1024, 65535);
	struct test_pkt p;
	const uint8_t *b;
	uint8_t ph[4] = {0, 6, 0, 0};
	uint32_t sum;

	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		tcp(&p, 1000);
		/* A super-packet's pseudo header has the length too here, as virtio asks. */
		ph[2] = (uint8_t)((p.len - 34) >> 8);
		ph[3] = (uint8_t)(p.len - 34);
		tp_put16(&p, 50, tp_sum(tp_sum(0, p.b + 26, 8), ph, 4));
		b = load(&p);
		meta.flags |= OB_PKT_L4_CSUM_PARTIAL | (n ? OB_PKT_GSO : 0);
		meta.csum_start = 34;
		meta.csum_offset = 16;
		ob_nat_rewrite4(&mb.m, &meta, &t);
		check_ip(b, "203.0.113.5", "192.0.2.200");
		sum = tp_sum(tp_sum(0, b + 26, 8), ph, 4);
		assert_int_equal(tp_get16(b + 50), sum);
	}
	/* A tunnel of the guest's own: its inner checksum is asked for, the outer UDP's is complete. */
	tp_udp_frame(&p, mac, mac, "10.0.0.10", "198.51.100.1", 5000, 4789, 60);
	b = load(&p);
	meta.flags |= OB_PKT_L4_CSUM_PARTIAL;
	meta.csum_start = 34 + 30;
	meta.csum_offset = 6;
	ob_nat_rewrite4(&mb.m, &meta, &t);
	assert_int_equal(tp_l4_sum(b + 14, 17, b + 34, p.len - 34), 0xffff);
}

static void fragments_keep_the_datagrams_checksum(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1024, 65535);
	struct test_pkt whole, first, later;
	uint8_t all[2000];
	const uint8_t *b;

	(void)state;
	tp_udp_frame(&whole, mac, mac, "10.0.0.10", "198.51.100.1", 5000, 53, 200);
	first.len = later.len = 0;
	tp_bytes(&first, whole.b, 34 + 104);
	tp_bytes(&later, whole.b, 34);
	tp_bytes(&later, whole.b + 34 + 104, whole.len - 34 - 104);
	tp_put16(&first, 20, 0x2000);
	tp_ip_end(&first, 14);
	tp_put16(&later, 20, 104 / 8);
	tp_ip_end(&later, 14);
	b = load(&first);
	assert_int_equal(meta.flags & OB_PKT_LATER_FRAG, 0);
	ob_nat_rewrite4(&mb.m, &meta, &t);
	check_ip(b, "203.0.113.5", "192.0.2.200");
	memcpy(all, b, first.len);
	b = load(&later);
	assert_int_not_equal(meta.flags & OB_PKT_LATER_FRAG, 0);
	ob_nat_rewrite4(&mb.m, &meta, &t);
	check_ip(b, "203.0.113.5", "192.0.2.200");
	assert_memory_equal(b + 34, later.b + 34, later.len - 34);
	memcpy(all + first.len, b + 34, later.len - 34);
	assert_int_equal(tp_l4_sum(all + 14, 17, all + 34, whole.len - 34), 0xffff);
}

static void echo_changes_its_id(void **state)
{
	struct ob_nat_to4 t = to("203.0.113.5", "198.51.100.1", 0xabcd, 0x0800), u = t;
	struct test_pkt p;
	const uint8_t *b;

	(void)state;
	u.ports = t.ports << 16 | t.ports >> 16;
	for (unsigned type = 0; type <= 13; type++) {
		unsigned ip = start(&p, 1);

		tp_u8(&p, type);
		tp_u8(&p, 0);
		tp_u16(&p, 0);
		tp_u32(&p, 0x12340001);
		tp_fill(&p, 31);
		tp_ip_end(&p, ip);
		tp_put16(&p, 36, ~tp_sum(0, p.b + 34, p.len - 34) & 0xffff);
		b = load(&p);
		ob_nat_rewrite4(&mb.m, &meta, type == 8 ? &t : &u);
		check_ip(b, "203.0.113.5", "198.51.100.1");
		assert_int_equal(tp_sum(0, b + 34, p.len - 34), 0xffff);
		assert_int_equal(tp_get16(b + 38), type == 0 || type == 8 ? 0xabcd : 0x1234);
	}
}

static void other_protocols_change_their_addresses_only(void **state)
{
	static const uint8_t protos[] = {47, 50, 51, 132, 4, 33, 136, 58};
	struct ob_nat_to4 t = to("203.0.113.5", "192.0.2.200", 1, 2);
	struct test_pkt p;
	const uint8_t *b;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(protos); i++) {
		unsigned ip = start(&p, protos[i]);

		tp_fill(&p, 30);
		tp_ip_end(&p, ip);
		if (protos[i] == 33 || protos[i] == 136) {
			tp_put16(&p, 40, 0);
			tp_put16(&p, 40, ~tp_l4_sum(p.b + 14, protos[i], p.b + 34, 30) & 0xffff);
		}
		b = load(&p);
		ob_nat_rewrite4(&mb.m, &meta, &t);
		check_ip(b, "203.0.113.5", "192.0.2.200");
		if (protos[i] == 33 || protos[i] == 136)
			assert_int_equal(tp_l4_sum(b + 14, protos[i], b + 34, 30), 0xffff);
		else
			assert_memory_equal(b + 34, p.b + 34, 30);
	}
	/* Too short to have a checksum. */
	start(&p, 136);
	tp_fill(&p, 7);
	tp_ip_end(&p, 14);
	b = load(&p);
	ob_nat_rewrite4(&mb.m, &meta, &t);
	assert_memory_equal(b + 34, p.b + 34, 7);
}

/* An ICMP error from 'router' about the packet in 'in' (its first 'keep' bytes behind Ethernet), to 'dst'. */
static void error_about(struct test_pkt *p, const struct test_pkt *in, unsigned keep,
    const char *router, const char *dst)
{
	unsigned ip;

	p->len = 0;
	tp_eth(p, mac, mac, 0x0800);
	ip = tp_ip(p, router, dst, 1, 0, 64, false);
	tp_u32(p, 0x03040000);
	tp_u32(p, 1280);
	tp_bytes(p, in->b + 14, keep);
	tp_ip_end(p, ip);
	tp_put16(p, 36, ~tp_sum(0, p->b + 34, p->len - 34) & 0xffff);
}

/* The packet that left was {203.0.113.5:1024 -> 198.51.100.1:80}; before its translation {10.0.0.10:40000 -> 198.51.100.1:80}. */
static void error_shows_the_packet_as_it_was_sent(void **state)
{
	struct ob_nat_to4 out = to("203.0.113.5", "198.51.100.1", 1024, 80);
	struct ob_nat_to4 back = to("10.0.0.10", "198.51.100.1", 40000, 80);
	struct test_pkt sent, left, p;
	const uint8_t *b;

	(void)state;
	for (unsigned udp = 0; udp < 2; udp++) {
		if (udp)
			tp_udp_frame(&sent, mac, mac, "10.0.0.10", "198.51.100.1", 40000, 80, 30);
		else
			tcp(&sent, 30);
		b = load(&sent);
		ob_nat_rewrite4(&mb.m, &meta, &out);
		left.len = 0;
		tp_bytes(&left, b, sent.len);
		for (unsigned keep = 28; keep <= sent.len - 14; keep++) {
			error_about(&p, &left, keep, "192.0.2.77", "203.0.113.5");
			b = load(&p);
			assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_PASS);
			check_ip(b, "192.0.2.77", "10.0.0.10");
			assert_int_equal(tp_sum(0, b + 34, p.len - 34), 0xffff);
			/* All of it, the checksums inside too, is what the guest sent; but where it was cut before the checksum. */
			if (keep >= (udp ? 28 : 38))
				assert_memory_equal(b + 42, sent.b + 14, keep);
			else
				assert_memory_equal(b + 42, sent.b + 14, 28);
		}
	}
}

/* From outside to a floating IP: {198.51.100.1 -> 203.0.113.5} became {198.51.100.1 -> 10.0.0.10}; the guest complains. */
static void error_of_a_guest_shows_its_public_address(void **state)
{
	struct ob_nat_to4 back = to("198.51.100.1", "203.0.113.5", 40000, 80);
	struct test_pkt in, p;
	const uint8_t *b;

	(void)state;
	tp_udp_frame(&in, mac, mac, "198.51.100.1", "10.0.0.10", 40000, 80, 30);
	error_about(&p, &in, 28, "10.0.0.10", "198.51.100.1");
	b = load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_PASS);
	check_ip(b, "203.0.113.5", "198.51.100.1");
	assert_int_equal(tp_sum(0, b + 34, p.len - 34), 0xffff);
	assert_int_equal(tp_sum(0, b + 42, 20), 0xffff);
	check_ip(b + 28, "198.51.100.1", "203.0.113.5");
}

static void errors_about_echo_fragments_and_others(void **state)
{
	struct ob_nat_to4 back = to("10.0.0.10", "198.51.100.1", 0x1234, 0x0800);
	struct test_pkt in, p;
	const uint8_t *b;

	(void)state;
	/* Echo: the id returns, its checksum with it. */
	in.len = 0;
	tp_eth(&in, mac, mac, 0x0800);
	tp_ip(&in, "203.0.113.5", "198.51.100.1", 1, 0, 64, false);
	tp_u32(&in, 0x08000000);
	tp_u32(&in, 0xabcd0001);
	tp_put16(&in, 36, ~tp_sum(0, in.b + 34, 8) & 0xffff);
	tp_ip_end(&in, 14);
	error_about(&p, &in, 28, "192.0.2.77", "203.0.113.5");
	b = load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_PASS);
	assert_int_equal(tp_get16(b + 42 + 24), 0x1234);
	assert_int_equal(tp_sum(0, b + 42 + 20, 8), 0xffff);
	assert_int_equal(tp_sum(0, b + 34, p.len - 34), 0xffff);
	/* A later fragment has no ports. */
	tp_put16(&in, 20, 5);
	tp_ip_end(&in, 14);
	error_about(&p, &in, 28, "192.0.2.77", "203.0.113.5");
	b = load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_PASS);
	assert_memory_equal(b + 62, in.b + 34, 8);
	assert_int_equal(tp_sum(0, b + 34, p.len - 34), 0xffff);
}

static void made_up_errors_are_refused(void **state)
{
	struct ob_nat_to4 back = to("10.0.0.10", "198.51.100.1", 40000, 80);
	struct test_pkt in, p;

	(void)state;
	tp_udp_frame(&in, mac, mac, "203.0.113.5", "198.51.100.1", 1024, 80, 30);
	for (unsigned keep = 0; keep < 20; keep++) {
		error_about(&p, &in, keep, "192.0.2.77", "203.0.113.5");
		load(&p);
		assert_int_equal(
		    ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_DROP_ICMP_UNRELATED);
	}
	error_about(
	    &p, &in, 28, "192.0.2.77", "203.0.113.6"); /* not the sender of what is inside */
	load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_DROP_ICMP_UNRELATED);
	in.b[14] = 0x4f; /* 60 bytes of header, which are not there */
	error_about(&p, &in, 28, "192.0.2.77", "203.0.113.5");
	load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_DROP_ICMP_UNRELATED);
	in.b[14] = 0x44;
	error_about(&p, &in, 28, "192.0.2.77", "203.0.113.5");
	load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_DROP_ICMP_UNRELATED);
	in.b[14] = 0x65;
	error_about(&p, &in, 28, "192.0.2.77", "203.0.113.5");
	load(&p);
	assert_int_equal(ob_nat_rewrite4_error(&mb.m, &meta, &back), OB_DROP_ICMP_UNRELATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tcp_and_udp_keep_right_checksums),
	    cmocka_unit_test(wrong_checksum_stays_wrong),
	    cmocka_unit_test(udp_without_checksum_stays_so),
	    cmocka_unit_test(udp_checksum_never_becomes_none),
	    cmocka_unit_test(partial_checksum_is_the_pseudo_headers),
	    cmocka_unit_test(fragments_keep_the_datagrams_checksum),
	    cmocka_unit_test(echo_changes_its_id),
	    cmocka_unit_test(other_protocols_change_their_addresses_only),
	    cmocka_unit_test(error_shows_the_packet_as_it_was_sent),
	    cmocka_unit_test(error_of_a_guest_shows_its_public_address),
	    cmocka_unit_test(errors_about_echo_fragments_and_others),
	    cmocka_unit_test(made_up_errors_are_refused),
	};

	return cmocka_run_group_tests_name("nat_rewrite", tests, NULL, NULL);
}
