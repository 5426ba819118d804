/* SPDX-License-Identifier: BSD-3-Clause */
/* Translation on the whole way of a packet: ICMP errors about translated packets, and NAT64. The outside is VNET 1 (VNI 200), its
 * gateway 203.0.113.1 is behind tunnel 0, the pool has 203.0.113.5, floating IPs are 203.0.113.9. */
#include "test_vpc.h"

#include "ob_nat.h"
#include "ob_session.h"

#define REMOTE4 "8.8.8.8"
#define REMOTE6 "64:ff9b::808:808"
#define ROUTER4 "192.0.2.77"
#define ROUTER6 "64:ff9b::c000:24d"
#define POOL	"203.0.113.5"
#define FIP	"203.0.113.9"

static const uint8_t mac_gw[6] = {2, 0, 0, 0, 2, 1};
static uint8_t mac_nat[6];

static void outside(void)
{
	struct ob_mapping_cfg gw = {.vnet = 1, .tunnel = 0, .ca = vpc_ip("203.0.113.1")};
	struct ob_route_cfg r = {.vnet = 0, .action = OB_ROUTE_NAT, .to_vnet = 1, .n_hops = 1};
	struct ob_nat_pool_cfg pool = {.vnet = 1, .n_ranges = 1};
	struct ob_ip ip = vpc_ip(POOL), n64 = vpc_ip("64:ff9b::");

	memcpy(gw.mac, mac_gw, 6);
	assert_int_equal(ob_mapping_set(&gw, NULL, 0), 0);
	r.hop[0] = gw.ca;
	r.prefix = vpc_ip("0.0.0.0");
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	r.prefix = n64;
	r.prefix_len = 96;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	memcpy(&pool.range[0].first, ip.b, 4);
	pool.range[0].last = pool.range[0].first;
	assert_int_equal(ob_nat_pool_set(0, &pool, NULL, 0), 0);
	assert_int_equal(ob_nat_bind(GUEST_A, 0, NULL, 0), 0);
	assert_int_equal(ob_nat64_set(GUEST_A, &n64, 96, NULL, 0), 0);
	assert_true(ob_nat_answers(1, pool.range[0].first, mac_nat));
}

static void give_fip(const char *private_ip)
{
	struct ob_nat_fip_cfg fip = {.vnet = 1, .eni = GUEST_A, .private_ip = vpc_ip(private_ip)};
	struct ob_ip ip = vpc_ip(FIP);

	memcpy(&fip.public_ip, ip.b, 4);
	assert_int_equal(ob_nat_fip_set(&fip, NULL, 0), 0);
}

static void from_gw(const struct test_pkt *in)
{
	struct test_pkt p;

	vpc_outer(&p, OB_ENCAP_VXLAN, "198.51.100.7", 200, in);
	vpc_from_wire(&p, 0);
}

static void check_addrs(const struct test_pkt *p, const char *src, const char *dst)
{
	uint8_t a[16];
	unsigned n = tp_addr(src, a), at = n == 4 ? 26 : 22;

	assert_int_equal(tp_get16(p->b + 12), n == 4 ? 0x0800 : 0x86dd);
	assert_memory_equal(p->b + at, a, n);
	tp_addr(dst, a);
	assert_memory_equal(p->b + at + n, a, n);
}

/* The one packet on the wire: its inner frame. */
static void sent(struct test_pkt *in, const char *src, const char *dst)
{
	assert_int_equal(tv->n_guest, 0);
	assert_int_equal(tv->n_wire, 1);
	vpc_inner(0, OB_ENCAP_VXLAN, 200, in);
	vpc_check_frame(in->b, in->len);
	assert_memory_equal(in->b, mac_gw, 6);
	check_addrs(in, src, dst);
	vpc_clear();
}

/* The one packet that guest A got. */
static const struct test_pkt *got(const char *src, const char *dst)
{
	const struct test_pkt *p = &tv->guest[0].pkt;

	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->n_guest, 1);
	assert_int_equal(tv->guest[0].meta.out_vif, GUEST_A);
	vpc_check_frame(p->b, p->len);
	assert_memory_equal(p->b, mac_a, 6);
	check_addrs(p, src, dst);
	vpc_clear();
	return p;
}

static void frame(struct test_pkt *p, bool from_guest, const char *src)
{
	uint8_t a[16];

	p->len = 0;
	tp_eth(p, from_guest ? mac_router : mac_nat, from_guest ? mac_a : mac_gw,
	    tp_addr(src, a) == 4 ? 0x0800 : 0x86dd);
}

static void tcp(struct test_pkt *p, bool from_guest, const char *src, const char *dst, unsigned s,
    unsigned d, uint32_t seq, uint32_t ack, unsigned flags)
{
	unsigned ip, l4;

	frame(p, from_guest, src);
	ip = tp_ip(p, src, dst, 6, 0, 64, false);
	l4 = p->len;
	tp_u16(p, s);
	tp_u16(p, d);
	tp_u32(p, seq);
	tp_u32(p, ack);
	tp_u16(p, 0x5000 | flags);
	tp_u16(p, 5000);
	tp_u32(p, 0);
	tp_ip_end(p, ip);
	tp_put16(p, l4 + 16, ~tp_l4_sum(p->b + ip, 6, p->b + l4, p->len - l4) & 0xffff);
}

/* ICMP of either family with 'word' behind the checksum, and 'n' bytes. */
static void icmp(struct test_pkt *p, bool from_guest, const char *src, const char *dst,
    unsigned type, unsigned code, uint32_t word, const uint8_t *data, unsigned n)
{
	unsigned ip, l4;
	bool is4;

	frame(p, from_guest, src);
	is4 = p->b[12] == 8;
	ip = tp_ip(p, src, dst, is4 ? 1 : 58, 0, 64, false);
	l4 = p->len;
	tp_u32(p, type << 24 | code << 16);
	tp_u32(p, word);
	tp_bytes(p, data, n);
	tp_ip_end(p, ip);
	tp_put16(p, l4 + 2,
	    ~(is4 ? tp_sum(0, p->b + l4, p->len - l4)
		  : tp_l4_sum(p->b + ip, 58, p->b + l4, p->len - l4)) &
		0xffff);
}

static void udp(
    struct test_pkt *p, bool from_guest, const char *src, const char *dst, unsigned s, unsigned d)
{
	tp_udp_frame(
	    p, from_guest ? mac_router : mac_nat, from_guest ? mac_a : mac_gw, src, dst, s, d, 40);
}

/* What an error carries is what was sent; 'at': where its IP header is in each frame; the hop count went down on the way. */
static void check_quote(
    const struct test_pkt *error, unsigned at, const struct test_pkt *was, unsigned n, bool is4)
{
	unsigned ttl = is4 ? 8 : 7;

	assert_int_equal(error->b[at + ttl] + 1, was->b[14 + ttl]);
	for (unsigned i = 0; i < n; i++)
		if (i != ttl && !(is4 && (i == 10 || i == 11)))
			assert_int_equal(error->b[at + i], was->b[14 + i]);
	if (is4)
		assert_int_equal(tp_sum(0, error->b + at, 20), 0xffff);
}

static void traceroute_through_a_pool_shows_the_way(void **state)
{
	struct test_pkt p, left, e;
	const struct test_pkt *g;

	(void)state;
	outside();
	udp(&p, true, "10.0.0.5", REMOTE4, 33000, 33434);
	vpc_from_guest(GUEST_A, &p);
	sent(&left, POOL, REMOTE4);
	icmp(&e, false, ROUTER4, POOL, 11, 0, 0, left.b + 14, 28);
	from_gw(&e);
	g = got(ROUTER4, "10.0.0.5");
	check_quote(g, 42, &p, 28, true);
	/* Echo too, by its identifier. */
	icmp(&p, true, "10.0.0.5", REMOTE4, 8, 0, 0x12340001, NULL, 0);
	vpc_from_guest(GUEST_A, &p);
	sent(&left, POOL, REMOTE4);
	icmp(&e, false, ROUTER4, POOL, 11, 0, 0, left.b + 14, 28);
	from_gw(&e);
	g = got(ROUTER4, "10.0.0.5");
	check_quote(g, 42, &p, 28, true);
	/* One about a packet that was never sent, and one to another than its sender. */
	left.b[39] ^= 1;
	icmp(&e, false, ROUTER4, POOL, 11, 0, 0, left.b + 14, 28);
	from_gw(&e);
	assert_int_equal(tv->n_guest, 0);
}

static void path_mtu_is_told_through_a_pool(void **state)
{
	struct test_pkt p, left, e;
	const struct test_pkt *g;

	(void)state;
	outside();
	tcp(&p, true, "10.0.0.5", REMOTE4, 40000, 80, 1, 0, 2);
	vpc_from_guest(GUEST_A, &p);
	sent(&left, POOL, REMOTE4);
	icmp(&e, false, ROUTER4, POOL, 3, 4, 1280, left.b + 14, 40);
	from_gw(&e);
	g = got(ROUTER4, "10.0.0.5");
	assert_int_equal(tp_get16(g->b + 34), 0x0304);
	assert_int_equal(tp_get16(g->b + 40), 1280);
	check_quote(g, 42, &p, 40, true);
}

static void a_guest_with_a_floating_ip_complains_with_it(void **state)
{
	struct test_pkt p, e, out;
	const struct test_pkt *g;

	(void)state;
	outside();
	give_fip("10.0.0.5");
	udp(&p, false, REMOTE4, FIP, 4000, 80);
	from_gw(&p);
	g = got(REMOTE4, "10.0.0.5");
	icmp(&e, true, "10.0.0.5", REMOTE4, 3, 3, 0, g->b + 14, 28);
	vpc_from_guest(GUEST_A, &e);
	sent(&out, FIP, REMOTE4);
	check_quote(&out, 42, &p, 28, true);
}

static void udp_and_tcp_cross_the_families(void **state)
{
	const struct test_pkt *g;
	struct test_pkt p, out;
	unsigned port;

	(void)state;
	outside();
	udp(&p, true, "fd00::5", REMOTE6, 5000, 53);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	port = tp_get16(out.b + 34);
	assert_int_equal(tp_get16(out.b + 36), 53);
	assert_int_equal(out.b[22], 63);
	udp(&p, false, REMOTE4, POOL, 53, port);
	from_gw(&p);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(tp_get16(g->b + 54), 53);
	assert_int_equal(tp_get16(g->b + 56), 5000);
	assert_int_equal(g->b[21], 63);
	/* A server that makes no checksum. */
	tp_put16(&p, 40, 0);
	from_gw(&p);
	got(REMOTE6, "fd00::5");
	tcp(&p, true, "fd00::5", REMOTE6, 40000, 80, 1000, 0, 2);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	port = tp_get16(out.b + 34);
	tcp(&p, false, REMOTE4, POOL, 80, port, 7000, 1001, 0x12);
	from_gw(&p);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(tp_get16(g->b + 56), 40000);
	tcp(&p, true, "fd00::5", REMOTE6, 40000, 80, 1001, 7001, 0x10);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	assert_int_equal(tp_get16(out.b + 34), port);
	/* Another VNET address under the prefix that must not be translated. */
	udp(&p, true, "fd00::5", "64:ff9b::a00:1", 5000, 53);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_NAT_UNTRANSLATABLE), 1);
}

static void echo_and_errors_cross_the_families(void **state)
{
	const struct test_pkt *g;
	struct test_pkt p, out, e;
	unsigned id;

	(void)state;
	outside();
	icmp(&p, true, "fd00::5", REMOTE6, 128, 0, 0x12340001, NULL, 0);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	assert_int_equal(out.b[34], 8);
	id = tp_get16(out.b + 38);
	icmp(&e, false, REMOTE4, POOL, 0, 0, id << 16 | 1, NULL, 0);
	from_gw(&e);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(g->b[54], 129);
	assert_int_equal(tp_get16(g->b + 58), 0x1234);
	/* traceroute6 -I */
	icmp(&e, false, ROUTER4, POOL, 11, 0, 0, out.b + 14, 28);
	from_gw(&e);
	g = got(ROUTER6, "fd00::5");
	assert_int_equal(g->b[54], 3);
	check_quote(g, 62, &p, 48, false);
	/* A router with a private address still tells the path MTU, in the other end's name. */
	udp(&p, true, "fd00::5", REMOTE6, 5000, 53);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	icmp(&e, false, "10.9.9.9", POOL, 3, 4, 1300, out.b + 14, 28);
	from_gw(&e);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(g->b[54], 2);
	assert_int_equal(tp_get16(g->b + 60), 1320);
	check_quote(g, 62, &p, 48, false);
}

static void ipv6_guest_has_a_floating_ip(void **state)
{
	const struct test_pkt *g;
	struct test_pkt p, out, e;

	(void)state;
	outside();
	give_fip("fd00::5");
	udp(&p, true, "fd00::5", REMOTE6, 5000, 53);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, FIP, REMOTE4);
	assert_int_equal(tp_get16(out.b + 34), 5000);
	udp(&p, false, REMOTE4, FIP, 4000, 80);
	from_gw(&p);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(tp_get16(g->b + 54), 4000);
	assert_int_equal(tp_get16(g->b + 56), 80);
	icmp(&e, true, "fd00::5", REMOTE6, 1, 4, 0, g->b + 14, 60);
	vpc_from_guest(GUEST_A, &e);
	sent(&out, FIP, REMOTE4);
	assert_int_equal(tp_get16(out.b + 34), 0x0303);
	check_addrs(&p, REMOTE4, FIP);
	assert_memory_equal(out.b + 42 + 12, p.b + 26, 8);
	assert_memory_equal(out.b + 62, p.b + 34, 8);
	udp(&p, true, "fd00::5", REMOTE6, 80, 4000);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, FIP, REMOTE4);
	icmp(&e, false, REMOTE4, FIP, 8, 0, 0x00070001, NULL, 0);
	from_gw(&e);
	g = got(REMOTE6, "fd00::5");
	assert_int_equal(g->b[54], 128);
	icmp(&p, true, "fd00::5", REMOTE6, 129, 0, 0x00070001, NULL, 0);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, FIP, REMOTE4);
	assert_int_equal(out.b[34], 0);
	assert_int_equal(tp_get16(out.b + 38), 7);
}

/* 1450 bytes fit the tunnel: 1470 of IPv6 are 1450 of IPv4. */
static void path_mtu_counts_the_other_header(void **state)
{
	struct test_pkt p, out;
	const struct test_pkt *g;

	(void)state;
	outside();
	tp_udp_frame(&p, mac_router, mac_a, "fd00::5", REMOTE6, 5000, 53, 1470 - 48);
	vpc_from_guest(GUEST_A, &p);
	sent(&out, POOL, REMOTE4);
	assert_int_equal(out.len, 14 + 1450);
	tp_udp_frame(&p, mac_router, mac_a, "fd00::5", REMOTE6, 5000, 53, 1471 - 48);
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(tv->n_wire, 0);
	assert_int_equal(tv->n_guest, 1);
	g = &tv->guest[0].pkt;
	assert_int_equal(g->b[54], 2);
	assert_int_equal(tp_get16(g->b + 60), 1470);
}

int nat64_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(traceroute_through_a_pool_shows_the_way),
	    T(path_mtu_is_told_through_a_pool),
	    T(a_guest_with_a_floating_ip_complains_with_it),
	    T(udp_and_tcp_cross_the_families),
	    T(echo_and_errors_cross_the_families),
	    T(ipv6_guest_has_a_floating_ip),
	    T(path_mtu_counts_the_other_header),
	};

	return cmocka_run_group_tests_name("nat64", tests, NULL, NULL);
}
