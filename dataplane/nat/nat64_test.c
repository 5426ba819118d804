/* SPDX-License-Identifier: BSD-3-Clause */
/* NAT64 packets: whole frames before and after, written by hand; checksums judged by the slow sum. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_nat.h"

#define GUEST	"2001:db8::a"
#define REMOTE6 "64:ff9b::c633:6401"
#define REMOTE4 "198.51.100.1"
#define PUBLIC	"203.0.113.5"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static struct test_mbuf mb;
static struct ob_meta meta;

static uint32_t ports(unsigned s, unsigned d)
{
	uint8_t b[4] = {(uint8_t)(s >> 8), (uint8_t)s, (uint8_t)(d >> 8), (uint8_t)d};
	uint32_t v;

	memcpy(&v, b, 4);
	return v;
}

static struct ob_nat_to4 out4(unsigned s, unsigned d)
{
	return (struct ob_nat_to4){nat_ip4(PUBLIC), nat_ip4(REMOTE4), ports(s, d)};
}

static struct ob_nat_to6 in6(unsigned s, unsigned d)
{
	struct ob_nat_to6 t = {.ports = ports(s, d)};

	tp_addr(REMOTE6, t.src);
	tp_addr(GUEST, t.dst);
	return t;
}

static void load(const struct test_pkt *p)
{
	assert_true(test_parse(p->b, p->len, &meta));
	test_mbuf_set(&mb, p->b, p->len);
}

static const uint8_t *frame(void)
{
	return rte_pktmbuf_mtod(&mb.m, const uint8_t *);
}

/* What the parser finds in the result is what the metadata says. */
static void check_meta(void)
{
	struct ob_meta m;

	assert_int_equal(mb.m.pkt_len, mb.m.data_len);
	assert_true(test_parse(frame(), mb.m.pkt_len, &m));
	assert_int_equal(m.flags, meta.flags & ~(OB_PKT_L4_CSUM_PARTIAL | OB_PKT_GSO));
	assert_int_equal(m.l3_len, meta.l3_len);
	assert_int_equal(m.l4_len, meta.l4_len);
	assert_int_equal(m.ip_proto, meta.ip_proto);
	assert_int_equal(m.ethertype, meta.ethertype);
}

static void same(const struct test_pkt *want)
{
	assert_int_equal(mb.m.pkt_len, want->len);
	assert_memory_equal(frame(), want->b, want->len);
	check_meta();
}

static void tcp(
    struct test_pkt *p, const char *src, const char *dst, unsigned s, unsigned d, unsigned n)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;

	p->len = 0;
	tp_eth(p, mac, mac, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, dst, 6, 0xb9, 64, n > 1220);
	l4 = p->len;
	tp_u16(p, s);
	tp_u16(p, d);
	tp_u32(p, 1);
	tp_u32(p, 2);
	tp_u32(p, 0x501801f4);
	tp_u32(p, 0);
	tp_fill(p, n);
	if (is4 && n > 1220)
		tp_put16(p, ip + 4, 0);
	tp_ip_end(p, ip);
	tp_put16(p, l4 + 16, ~tp_l4_sum(p->b + ip, 6, p->b + l4, p->len - l4) & 0xffff);
}

static void echo(struct test_pkt *p, const char *src, const char *dst, unsigned type, unsigned id)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;
	uint32_t sum;

	p->len = 0;
	tp_eth(p, mac, mac, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, dst, is4 ? 1 : 58, 0, 64, false);
	l4 = p->len;
	tp_u32(p, type << 24);
	tp_u16(p, id);
	tp_u16(p, 7);
	tp_fill(p, 33);
	tp_ip_end(p, ip);
	sum = is4 ? tp_sum(0, p->b + l4, p->len - l4)
		  : tp_l4_sum(p->b + ip, 58, p->b + l4, p->len - l4);
	tp_put16(p, l4 + 2, ~sum & 0xffff);
}

/* The identification is the translator's own. */
static void settle_id(struct test_pkt *want)
{
	tp_put16(want, 18, tp_get16(frame() + 18));
	tp_ip_end(want, 14);
}

static void tcp_goes_out_and_comes_back(void **state)
{
	struct ob_nat_to4 o = out4(1024, 80);
	struct ob_nat_to6 i = in6(80, 40000);
	struct test_pkt p, want;

	(void)state;
	for (unsigned n = 0; n < 1400; n += 97) {
		tcp(&p, GUEST, REMOTE6, 40000, 80, n);
		load(&p);
		assert_int_equal(ob_nat64_growth(&meta), -20);
		assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
		tcp(&want, PUBLIC, REMOTE4, 1024, 80, n);
		if (n <= 1220)
			settle_id(&want);
		same(&want);
		tcp(&p, REMOTE4, PUBLIC, 80, 1024, n);
		load(&p);
		assert_int_equal(ob_nat64_growth(&meta), 20);
		assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
		tcp(&want, REMOTE6, GUEST, 80, 40000, n);
		same(&want);
	}
}

static void echo_goes_out_and_comes_back(void **state)
{
	struct ob_nat_to4 o = out4(0xabcd, 0x0800);
	struct ob_nat_to6 i = in6(0x8000, 0x1234);
	struct test_pkt p, want;

	(void)state;
	echo(&p, GUEST, REMOTE6, 128, 0x1234);
	load(&p);
	assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
	echo(&want, PUBLIC, REMOTE4, 8, 0xabcd);
	settle_id(&want);
	same(&want);
	echo(&p, REMOTE4, PUBLIC, 0, 0xabcd);
	load(&p);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
	echo(&want, REMOTE6, GUEST, 129, 0x1234);
	same(&want);
	/* Other ICMP has no counterpart here. */
	echo(&p, GUEST, REMOTE6, 135, 1);
	load(&p);
	assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_DROP_NAT_UNTRANSLATABLE);
	echo(&p, REMOTE4, PUBLIC, 13, 1);
	load(&p);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NAT_UNTRANSLATABLE);
}

static void partial_checksums_stay_partial(void **state)
{
	struct ob_nat_to4 o = out4(1024, 80);
	struct ob_nat_to6 i = in6(80, 40000);
	struct test_pkt p;
	const uint8_t *b;
	uint8_t ph[4] = {0, 6, 0, 0};

	(void)state;
	for (unsigned gso = 0; gso < 2; gso++) {
		tcp(&p, GUEST, REMOTE6, 40000, 80, 3000);
		ph[2] = (uint8_t)((p.len - 54) >> 8);
		ph[3] = (uint8_t)(p.len - 54);
		tp_put16(&p, 70, tp_sum(tp_sum(0, p.b + 22, 32), ph, 4));
		load(&p);
		meta.flags |= OB_PKT_L4_CSUM_PARTIAL | (gso ? OB_PKT_GSO : 0);
		meta.csum_start = 54;
		meta.csum_offset = 16;
		assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
		b = frame();
		assert_int_equal(meta.csum_start, 34);
		assert_int_equal(tp_get16(b + 50), tp_sum(tp_sum(0, b + 26, 8), ph, 4));
		check_meta();
		tcp(&p, REMOTE4, PUBLIC, 80, 1024, 3000);
		tp_put16(&p, 50, tp_sum(tp_sum(0, p.b + 26, 8), ph, 4));
		load(&p);
		meta.flags |= OB_PKT_L4_CSUM_PARTIAL | (gso ? OB_PKT_GSO : 0);
		meta.csum_start = 34;
		meta.csum_offset = 16;
		assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
		b = frame();
		assert_int_equal(meta.csum_start, 54);
		assert_int_equal(tp_get16(b + 70), tp_sum(tp_sum(0, b + 22, 32), ph, 4));
		check_meta();
	}
	/* ICMP: only one family has a pseudo header. */
	echo(&p, GUEST, REMOTE6, 128, 0x1234);
	load(&p);
	meta.flags |= OB_PKT_L4_CSUM_PARTIAL;
	meta.csum_start = 54;
	meta.csum_offset = 2;
	assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
	assert_int_equal(tp_get16(frame() + 36), 0);
	echo(&p, REMOTE4, PUBLIC, 0, 0xabcd);
	load(&p);
	meta.flags |= OB_PKT_L4_CSUM_PARTIAL;
	meta.csum_start = 34;
	meta.csum_offset = 2;
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
	ph[1] = 58;
	ph[2] = 0;
	ph[3] = 41;
	assert_int_equal(tp_get16(frame() + 56), tp_sum(tp_sum(0, frame() + 22, 32), ph, 4));
}

static void udp_without_checksum_gets_one(void **state)
{
	struct ob_nat_to6 i = in6(53, 5000);
	struct test_pkt p, want;

	(void)state;
	for (unsigned n = 0; n < 9; n++) {
		tp_udp_frame(&p, mac, mac, REMOTE4, PUBLIC, 53, 1024, n);
		tp_put16(&p, 40, 0);
		load(&p);
		assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
		tp_udp_frame(&want, mac, mac, REMOTE6, GUEST, 53, 5000, n);
		same(&want);
	}
	/* A fragment's cannot be made; nor can that of a length that is not there. */
	tp_put16(&p, 20, 0x2000);
	tp_ip_end(&p, 14);
	load(&p);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NAT_UNTRANSLATABLE);
	tp_put16(&p, 20, 0);
	tp_put16(&p, 38, 100);
	tp_ip_end(&p, 14);
	load(&p);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NAT_UNTRANSLATABLE);
}

static void fragments_stay_fragments(void **state)
{
	struct ob_nat_to4 o = out4(1024, 53);
	struct ob_nat_to6 i = in6(53, 5000);
	struct test_pkt whole, p;
	uint8_t all[600];
	const uint8_t *b;

	(void)state;
	/* Out: first and last of an IPv6 datagram. */
	tp_udp_frame(&whole, mac, mac, GUEST, REMOTE6, 5000, 53, 200);
	for (unsigned last = 0; last < 2; last++) {
		p.len = 0;
		tp_bytes(&p, whole.b, 54);
		p.b[20] = 44;
		tp_u8(&p, 17);
		tp_u8(&p, 0);
		tp_u16(&p, last ? 104 : 1);
		tp_u32(&p, 0x89abcdef);
		tp_bytes(&p, whole.b + 54 + (last ? 104 : 0), last ? 104 : 104);
		tp_ip_end(&p, 14);
		load(&p);
		assert_int_equal(meta.l3_len, 48);
		assert_int_equal(ob_nat64_growth(&meta), -28);
		assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
		check_meta();
		b = frame();
		assert_int_equal(tp_get16(b + 18), 0xcdef);
		assert_int_equal(tp_get16(b + 20), last ? 104 / 8 : 0x2000);
		assert_int_equal(tp_sum(0, b + 14, 20), 0xffff);
		memcpy(all + (last ? 34 + 104 : 0), b + (last ? 34 : 0), last ? 104 : 34 + 104);
	}
	assert_int_equal(tp_l4_sum(all + 14, 17, all + 34, 208), 0xffff);
	/* Back. */
	tp_udp_frame(&whole, mac, mac, REMOTE4, PUBLIC, 53, 1024, 200);
	for (unsigned last = 0; last < 2; last++) {
		p.len = 0;
		tp_bytes(&p, whole.b, 34);
		tp_put16(&p, 18, 0x4321);
		tp_put16(&p, 20, last ? 104 / 8 : 0x2000);
		tp_bytes(&p, whole.b + 34 + (last ? 104 : 0), 104);
		tp_ip_end(&p, 14);
		load(&p);
		assert_int_equal(ob_nat64_growth(&meta), 28);
		assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_PASS);
		check_meta();
		b = frame();
		assert_int_equal(b[20], 44);
		assert_int_equal(b[54], 17);
		assert_int_equal(tp_get16(b + 56), last ? 104 : 1);
		assert_int_equal(tp_get16(b + 58), 0);
		assert_int_equal(tp_get16(b + 60), 0x4321);
		memcpy(all + (last ? 54 + 104 : 0), b + 62, 104);
		if (!last) {
			memcpy(all, b, 54);
			memcpy(all + 54, b + 62, 104);
		}
	}
	assert_int_equal(tp_l4_sum(all + 14, 17, all + 54, 208), 0xffff);
	/* ICMP's checksum needs the whole. */
	echo(&p, REMOTE4, PUBLIC, 0, 1);
	tp_put16(&p, 20, 0x2000);
	tp_ip_end(&p, 14);
	load(&p);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NAT_UNTRANSLATABLE);
}

/* 'h': extension headers, the last one's next header is UDP. */
static enum ob_drop with_ext(unsigned first, const uint8_t *h, unsigned n)
{
	struct ob_nat_to4 o = out4(1024, 53);
	struct test_pkt whole, p = {.len = 0};

	tp_udp_frame(&whole, mac, mac, GUEST, REMOTE6, 5000, 53, 10);
	tp_bytes(&p, whole.b, 54);
	p.b[20] = (uint8_t)first;
	tp_bytes(&p, h, n);
	tp_bytes(&p, whole.b + 54, whole.len - 54);
	tp_ip_end(&p, 14);
	load(&p);
	return ob_nat64_to4(&mb.m, &meta, &o);
}

static void extension_headers_are_left_away_or_refused(void **state)
{
	static const uint8_t hop[16] = {60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4};
	static const uint8_t route[8] = {17, 0, 4, 0}, unspent[8] = {17, 0, 4, 1};
	static const uint8_t ah[24] = {17, 4}, atomic[8] = {17, 0, 0, 0, 1, 2, 3, 4};
	static const uint8_t twice[16] = {44, 0, 0, 0, 1, 2, 3, 4, 17};
	struct test_pkt want;

	(void)state;
	assert_int_equal(with_ext(0, hop, 16), OB_PASS);
	tp_udp_frame(&want, mac, mac, PUBLIC, REMOTE4, 1024, 53, 10);
	tp_put16(&want, 20, 0);
	settle_id(&want);
	same(&want);
	assert_int_equal(with_ext(43, route, 8), OB_PASS);
	settle_id(&want);
	same(&want);
	assert_int_equal(with_ext(44, atomic, 8), OB_PASS);
	assert_int_equal(tp_get16(frame() + 18), 0x0304);
	settle_id(&want);
	same(&want);
	assert_int_equal(with_ext(43, unspent, 8), OB_DROP_NAT_UNTRANSLATABLE);
	assert_int_equal(with_ext(51, ah, 24), OB_DROP_NAT_UNTRANSLATABLE);
	assert_int_equal(with_ext(44, twice, 16), OB_DROP_NAT_UNTRANSLATABLE);
}

static enum ob_drop with_options(const uint8_t *o, unsigned n)
{
	struct ob_nat_to6 i = in6(53, 5000);
	struct test_pkt whole, p = {.len = 0};

	tp_udp_frame(&whole, mac, mac, REMOTE4, PUBLIC, 53, 1024, 10);
	tp_bytes(&p, whole.b, 34);
	p.b[14] = (uint8_t)(0x45 + n / 4);
	tp_bytes(&p, o, n);
	tp_bytes(&p, whole.b + 34, whole.len - 34);
	tp_ip_end(&p, 14);
	load(&p);
	return ob_nat64_to6(&mb.m, &meta, &i);
}

static void ip4_options_are_left_away_or_refused(void **state)
{
	static const uint8_t nops[40] = {1, 1, 1, 1}, alert[4] = {148, 4};
	static const uint8_t spent[8] = {131, 7, 8, 1, 2, 3, 4},
			     unspent[8] = {1, 137, 7, 4, 1, 2, 3, 4};
	static const uint8_t wrong[4] = {7, 200}, cut[4] = {1, 1, 1, 131};
	struct test_pkt want;

	(void)state;
	tp_udp_frame(&want, mac, mac, REMOTE6, GUEST, 53, 5000, 10);
	assert_int_equal(with_options(nops, 40), OB_PASS);
	same(&want);
	assert_int_equal(with_options(alert, 4), OB_PASS);
	same(&want);
	assert_int_equal(with_options(spent, 8), OB_PASS);
	same(&want);
	assert_int_equal(with_options(unspent, 8), OB_DROP_NAT_UNTRANSLATABLE);
	assert_int_equal(with_options(wrong, 4), OB_DROP_NAT_UNTRANSLATABLE);
	assert_int_equal(with_options(cut, 4), OB_DROP_NAT_UNTRANSLATABLE);
}

static void protocols_of_one_family_only_are_refused(void **state)
{
	static const uint8_t bad4[] = {0, 43, 44, 51, 58, 60, 135, 139, 140},
			     good[] = {47, 50, 132, 4};
	struct ob_nat_to4 o = out4(0, 0);
	struct ob_nat_to6 i = in6(0, 0);
	struct test_pkt p;

	(void)state;
	for (unsigned n = 0; n < RTE_DIM(bad4); n++) {
		p.len = 0;
		tp_eth(&p, mac, mac, 0x0800);
		tp_ip(&p, REMOTE4, PUBLIC, bad4[n], 0, 64, false);
		tp_fill(&p, 40);
		tp_ip_end(&p, 14);
		load(&p);
		assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NAT_UNTRANSLATABLE);
	}
	for (unsigned n = 0; n < RTE_DIM(good); n++) {
		p.len = 0;
		tp_eth(&p, mac, mac, 0x86dd);
		tp_ip(&p, GUEST, REMOTE6, good[n], 0, 64, false);
		tp_fill(&p, 40);
		tp_ip_end(&p, 14);
		load(&p);
		assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_PASS);
		assert_int_equal(frame()[23], good[n]);
		assert_memory_equal(frame() + 34, p.b + 54, 40);
		check_meta();
	}
	p.len = 0;
	tp_eth(&p, mac, mac, 0x86dd);
	tp_ip(&p, GUEST, REMOTE6, 1, 0, 64, false);
	tp_fill(&p, 40);
	tp_ip_end(&p, 14);
	load(&p);
	assert_int_equal(ob_nat64_to4(&mb.m, &meta, &o), OB_DROP_NAT_UNTRANSLATABLE);
}

static void no_headroom_is_told(void **state)
{
	struct ob_nat_to6 i = in6(53, 5000);
	struct test_pkt p;

	(void)state;
	tp_udp_frame(&p, mac, mac, REMOTE4, PUBLIC, 53, 1024, 10);
	load(&p);
	memmove(mb.room, mb.room + OB_HEADROOM, p.len + 19);
	mb.m.data_off = 19;
	memcpy(mb.room + 19, p.b, p.len);
	assert_int_equal(ob_nat64_to6(&mb.m, &meta, &i), OB_DROP_NO_MBUF);
	assert_memory_equal(frame(), p.b, p.len);
}

/* An ICMP error about the packet in 'in' (its first 'keep' bytes behind Ethernet). 'head': type, code and the last word. */
static void error_about(struct test_pkt *p, const struct test_pkt *in, unsigned keep,
    const char *src, const char *dst, unsigned type, unsigned code, uint32_t word)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;
	uint32_t sum;

	p->len = 0;
	tp_eth(p, mac, mac, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, dst, is4 ? 1 : 58, 0, 64, false);
	l4 = p->len;
	tp_u32(p, type << 24 | code << 16);
	tp_u32(p, word);
	tp_bytes(p, in->b + 14, keep);
	tp_ip_end(p, ip);
	sum = is4 ? tp_sum(0, p->b + l4, p->len - l4)
		  : tp_l4_sum(p->b + ip, 58, p->b + l4, p->len - l4);
	tp_put16(p, l4 + 2, ~sum & 0xffff);
}

static void check_error6(const char *src)
{
	const uint8_t *b = frame();
	uint8_t a[16];

	check_meta();
	tp_addr(src, a);
	assert_memory_equal(b + 22, a, 16);
	tp_addr(GUEST, a);
	assert_memory_equal(b + 38, a, 16);
	assert_int_equal(tp_l4_sum(b + 14, 58, b + 54, mb.m.pkt_len - 54), 0xffff);
}

/* A router outside complains about what the guest sent. */
static void error_from_outside_shows_what_the_guest_sent(void **state)
{
	/* emb: what was inside before its translation. */
	struct ob_nat_to6 emb = {.ports = ports(40000, 80)};
	struct test_pkt sent, left, p;
	uint8_t router[16];
	const uint8_t *b;

	(void)state;
	tp_addr(GUEST, emb.src);
	tp_addr(REMOTE6, emb.dst);
	tp_addr("64:ff9b::c000:24d", router);
	for (unsigned kind = 0; kind < 3; kind++) {
		if (kind == 0) {
			tcp(&sent, GUEST, REMOTE6, 40000, 80, 30);
			tcp(&left, PUBLIC, REMOTE4, 1024, 80, 30);
		} else if (kind == 1) {
			tp_udp_frame(&sent, mac, mac, GUEST, REMOTE6, 40000, 80, 30);
			tp_udp_frame(&left, mac, mac, PUBLIC, REMOTE4, 1024, 80, 30);
		} else {
			echo(&sent, GUEST, REMOTE6, 128, 0x1234);
			echo(&left, PUBLIC, REMOTE4, 8, 0xabcd);
			emb.ports = ports(0x1234, 0x8000);
		}
		/* Traffic class and flow label are what the IPv4 header kept. */
		for (unsigned keep = 28; keep <= left.len - 14; keep++) {
			error_about(&p, &left, keep, "192.0.2.77", PUBLIC, 3, 4, 1300);
			load(&p);
			assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &emb), OB_PASS);
			check_error6("64:ff9b::c000:24d");
			b = frame();
			assert_int_equal(b[54], 2); /* too big */
			assert_int_equal(tp_get16(b + 60), 1320);
			assert_int_equal(mb.m.pkt_len, 54 + 8 + keep + 20);
			if (kind == 0 && keep < 38)
				assert_memory_equal(b + 62, sent.b + 14, 44);
			else
				assert_memory_equal(b + 62, sent.b + 14, keep + 20);
		}
	}
}

/* The guest complains about what came to it: outside it is its public address that complains. */
static void error_of_the_guest_goes_out(void **state)
{
	struct ob_nat_to4 emb = {nat_ip4(REMOTE4), nat_ip4(PUBLIC), ports(80, 1024)};
	struct test_pkt in, was, p;
	const uint8_t *b;

	(void)state;
	tp_udp_frame(&in, mac, mac, REMOTE6, GUEST, 80, 40000, 30);
	tp_udp_frame(&was, mac, mac, REMOTE4, PUBLIC, 80, 1024, 30);
	for (unsigned keep = 48; keep <= in.len - 14; keep++) {
		error_about(&p, &in, keep, GUEST, REMOTE6, 1, 4, 0);
		load(&p);
		assert_int_equal(ob_nat64_error_to4(&mb.m, &meta, &emb), OB_PASS);
		check_meta();
		b = frame();
		assert_int_equal(tp_sum(0, b + 14, 20), 0xffff);
		assert_memory_equal(b + 26, &emb.dst, 4);
		assert_memory_equal(b + 30, &emb.src, 4);
		assert_int_equal(tp_sum(0, b + 34, mb.m.pkt_len - 34), 0xffff);
		assert_int_equal(tp_get16(b + 34), 0x0303);
		assert_int_equal(tp_sum(0, b + 42, 20), 0xffff);
		assert_memory_equal(b + 42 + 12, was.b + 26, keep - 48 + 16);
	}
}

static void types_and_codes_are_mapped(void **state)
{
	/* RFC 7915, 4.2 and 5.2: type, code, word before; type, code, word after; type 0xff: dropped. */
	static const struct {
		uint8_t t, c;
		uint32_t w;
		uint8_t to_t, to_c;
		uint32_t to_w;
	} to6[] = {{3, 0, 0, 1, 0, 0}, {3, 1, 0, 1, 0, 0}, {3, 2, 0, 4, 1, 6}, {3, 3, 0, 1, 4, 0},
	    {3, 4, 1400, 2, 0, 1420}, {3, 4, 0, 2, 0, 1280}, {3, 5, 0, 1, 0, 0}, {3, 9, 0, 1, 1, 0},
	    {3, 10, 0, 1, 1, 0}, {3, 13, 0, 1, 1, 0}, {3, 14, 0, 255, 0, 0}, {3, 15, 0, 1, 1, 0},
	    {3, 16, 0, 255, 0, 0}, {4, 0, 0, 255, 0, 0}, {5, 0, 0, 255, 0, 0}, {11, 0, 0, 3, 0, 0},
	    {11, 1, 0, 3, 1, 0}, {12, 0, 8u << 24, 4, 0, 7}, {12, 0, 4u << 24, 255, 0, 0},
	    {12, 0, 16u << 24, 4, 0, 24}, {12, 0, 20u << 24, 255, 0, 0}, {12, 1, 0, 255, 0, 0},
	    {12, 2, 9u << 24, 4, 0, 6}},
	  to4[] = {{1, 0, 0, 3, 1, 0}, {1, 1, 0, 3, 10, 0}, {1, 2, 0, 3, 1, 0}, {1, 3, 0, 3, 1, 0},
	      {1, 4, 0, 3, 3, 0}, {1, 5, 0, 255, 0, 0}, {2, 0, 1400, 3, 4, 1380},
	      {2, 0, 10, 3, 4, 68}, {2, 0, 0xffffffff, 3, 4, 65535}, {3, 0, 0, 11, 0, 0},
	      {3, 1, 0, 11, 1, 0}, {4, 1, 0, 3, 2, 0}, {4, 0, 6, 12, 0, 9u << 24},
	      {4, 0, 2, 255, 0, 0}, {4, 0, 23, 12, 0, 12u << 24}, {4, 0, 39, 12, 0, 16u << 24},
	      {4, 0, 40, 255, 0, 0}, {4, 2, 0, 255, 0, 0}, {137, 0, 0, 255, 0, 0}};
	struct ob_nat_to6 e6 = {.ports = ports(40000, 80)};
	struct ob_nat_to4 e4 = {nat_ip4(REMOTE4), nat_ip4(PUBLIC), ports(80, 1024)};
	struct test_pkt in, p;
	uint8_t router[16];

	(void)state;
	tp_addr(GUEST, e6.src);
	tp_addr(REMOTE6, e6.dst);
	tp_addr(REMOTE6, router);
	tp_udp_frame(&in, mac, mac, PUBLIC, REMOTE4, 1024, 80, 30);
	for (unsigned i = 0; i < RTE_DIM(to6); i++) {
		error_about(&p, &in, 28, REMOTE4, PUBLIC, to6[i].t, to6[i].c, to6[i].w);
		load(&p);
		if (to6[i].to_t == 255) {
			assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &e6),
			    OB_DROP_NAT_UNTRANSLATABLE);
			continue;
		}
		assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &e6), OB_PASS);
		assert_int_equal(frame()[54], to6[i].to_t);
		assert_int_equal(frame()[55], to6[i].to_c);
		assert_int_equal(
		    (uint32_t)tp_get16(frame() + 58) << 16 | tp_get16(frame() + 60), to6[i].to_w);
		check_error6(REMOTE6);
	}
	tp_udp_frame(&in, mac, mac, REMOTE6, GUEST, 80, 40000, 30);
	for (unsigned i = 0; i < RTE_DIM(to4); i++) {
		error_about(&p, &in, 48, GUEST, REMOTE6, to4[i].t, to4[i].c, to4[i].w);
		load(&p);
		if (to4[i].to_t == 255) {
			assert_int_equal(
			    ob_nat64_error_to4(&mb.m, &meta, &e4), OB_DROP_NAT_UNTRANSLATABLE);
			continue;
		}
		assert_int_equal(ob_nat64_error_to4(&mb.m, &meta, &e4), OB_PASS);
		assert_int_equal(frame()[34], to4[i].to_t);
		assert_int_equal(frame()[35], to4[i].to_c);
		assert_int_equal(
		    (uint32_t)tp_get16(frame() + 38) << 16 | tp_get16(frame() + 40), to4[i].to_w);
		assert_int_equal(tp_sum(0, frame() + 34, mb.m.pkt_len - 34), 0xffff);
	}
}

static void extensions_and_long_errors_are_cut(void **state)
{
	struct ob_nat_to6 emb = {.ports = ports(40000, 80)};
	struct test_pkt in, p;
	uint8_t router[16];

	(void)state;
	tp_addr(GUEST, emb.src);
	tp_addr(REMOTE6, emb.dst);
	tp_addr(REMOTE6, router);
	tp_udp_frame(&in, mac, mac, PUBLIC, REMOTE4, 1024, 80, 2000);
	/* RFC 4884: 32 words of the packet, an extension behind them. */
	error_about(&p, &in, 160, REMOTE4, PUBLIC, 11, 0, 32u << 16);
	load(&p);
	assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &emb), OB_PASS);
	assert_int_equal(mb.m.pkt_len, 54 + 8 + 40 + 108);
	check_error6(REMOTE6);
	error_about(&p, &in, 1900, REMOTE4, PUBLIC, 11, 0, 0);
	load(&p);
	assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &emb), OB_PASS);
	assert_int_equal(mb.m.pkt_len, 14 + 1280);
	check_error6(REMOTE6);
}

static void made_up_errors_are_refused(void **state)
{
	struct ob_nat_to6 e6 = {.ports = 0};
	struct ob_nat_to4 e4 = {.ports = 0};
	struct test_pkt in, p;
	uint8_t router[16] = {0};

	(void)state;
	tp_udp_frame(&in, mac, mac, PUBLIC, REMOTE4, 1024, 80, 30);
	for (unsigned keep = 0; keep < 20; keep++) {
		error_about(&p, &in, keep, REMOTE4, PUBLIC, 3, 3, 0);
		load(&p);
		assert_int_equal(
		    ob_nat64_error_to6(&mb.m, &meta, router, &e6), OB_DROP_ICMP_UNRELATED);
	}
	error_about(&p, &in, 28, REMOTE4, "203.0.113.6", 3, 3, 0);
	load(&p);
	assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &e6), OB_DROP_ICMP_UNRELATED);
	in.b[14] = 0x46;
	tp_put16(&in, 16, 20); /* shorter than its header */
	error_about(&p, &in, 28, REMOTE4, PUBLIC, 3, 3, 0);
	load(&p);
	assert_int_equal(ob_nat64_error_to6(&mb.m, &meta, router, &e6), OB_DROP_ICMP_UNRELATED);
	tp_udp_frame(&in, mac, mac, REMOTE6, GUEST, 80, 40000, 30);
	for (unsigned keep = 0; keep < 40; keep++) {
		error_about(&p, &in, keep, GUEST, REMOTE6, 1, 4, 0);
		load(&p);
		assert_int_equal(ob_nat64_error_to4(&mb.m, &meta, &e4), OB_DROP_ICMP_UNRELATED);
	}
	in.b[20] = 0; /* a header that is not all there */
	error_about(&p, &in, 44, GUEST, REMOTE6, 1, 4, 0);
	load(&p);
	assert_int_equal(ob_nat64_error_to4(&mb.m, &meta, &e4), OB_DROP_ICMP_UNRELATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tcp_goes_out_and_comes_back),
	    cmocka_unit_test(echo_goes_out_and_comes_back),
	    cmocka_unit_test(partial_checksums_stay_partial),
	    cmocka_unit_test(udp_without_checksum_gets_one),
	    cmocka_unit_test(fragments_stay_fragments),
	    cmocka_unit_test(extension_headers_are_left_away_or_refused),
	    cmocka_unit_test(ip4_options_are_left_away_or_refused),
	    cmocka_unit_test(protocols_of_one_family_only_are_refused),
	    cmocka_unit_test(no_headroom_is_told),
	    cmocka_unit_test(error_from_outside_shows_what_the_guest_sent),
	    cmocka_unit_test(error_of_the_guest_goes_out),
	    cmocka_unit_test(types_and_codes_are_mapped),
	    cmocka_unit_test(extensions_and_long_errors_are_cut),
	    cmocka_unit_test(made_up_errors_are_refused),
	};

	return cmocka_run_group_tests_name("nat64", tests, NULL, NULL);
}
