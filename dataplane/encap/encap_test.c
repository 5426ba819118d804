/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_encap.h"

static struct ob_meta meta_of(uint32_t tunnel, uint32_t vni)
{
	return (struct ob_meta){
	    .tunnel = tunnel, .vni = vni, .l2_len = 14, .flags = OB_PKT_IP4, .hash = 0x00010203};
}

static enum ob_drop push_one(struct rte_mbuf *m, const struct ob_meta *meta)
{
	struct ob_encap_run r;
	enum ob_drop why;

	ob_encap_begin(&r, test_worker);
	why = ob_encap_push(&r, m, meta);
	ob_encap_end(&r);
	return why;
}

/* Encapsulates 'in' and returns the wire bytes in 'out'. */
static void push(uint32_t tunnel, const struct test_pkt *in, unsigned seg, struct test_pkt *out)
{
	struct ob_meta meta = meta_of(tunnel, 0x123456);
	struct rte_mbuf *m = test_mbuf(in->b, in->len, seg);

	assert_int_equal(push_one(m, &meta), OB_PASS);
	out->len = test_flat(m, out->b, sizeof(out->b));
	rte_pktmbuf_free(m);
}

static void vxlan_over_ipv4_is_these_bytes(void **state)
{
	static const uint8_t want[50] = {
	    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,  /* Ethernet */
	    0x45, 0x02, 0, 100, 0, 0, 0x40, 0, 64, 17, 0, 0, /* IPv4: ECT(0), DF */
	    192, 0, 2, 1, 198, 51, 100, 7,		     /* addresses */
	    0xc2, 0x02, 0x12, 0xb5, 0, 80, 0, 0,	     /* UDP: no checksum */
	    0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0,		     /* VXLAN */
	};
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	struct test_pkt in, out;

	(void)state;
	test_add_tunnel(3, &c);
	test_inner(&in, 0xba); /* DSCP is not copied, ECN is */
	assert_int_equal(in.len, 64);
	push(3, &in, 0, &out);
	assert_int_equal(out.len, 50 + 64);
	assert_int_equal(tp_sum(0, out.b + 14, 20), 0xffff);
	out.b[18] = out.b[19] = 0; /* running id */
	out.b[24] = out.b[25] = 0; /* checksum, checked above */
	/* 0x0203 ^ 0x0001 with the two upper bits set */
	assert_memory_equal(out.b, want, sizeof(want));
	assert_memory_equal(out.b + 50, in.b, in.len);
}

static void geneve_over_ipv6_with_options(void **state)
{
	static const uint8_t want[] = {0x04, 0x40, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, /* C bit */
	    0x01, 0x02, 0x83, 0x01, 0xde, 0xad, 0xbe, 0xef, /* critical option */
	    0xff, 0x01, 0x05, 0x01, 1, 2, 3, 4};
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_GENEVE, "2001:db8:9::7");
	struct test_pkt in, out;

	(void)state;
	c.dscp_copy = 1;
	c.ttl = 33;
	c.n_opts = 2;
	c.opt[0] = (struct ob_geneve_opt){htons(0x0102), 0x83, 4, {0xde, 0xad, 0xbe, 0xef}};
	c.opt[1] = (struct ob_geneve_opt){htons(0xff01), 0x05, 4, {1, 2, 3, 4}};
	test_add_tunnel(0, &c);
	test_inner(&in, 0xb9);
	for (unsigned seg = 0; seg < 60; seg += 23) {
		push(0, &in, seg, &out);
		assert_int_equal(out.len, 14 + 40 + 8 + 24 + in.len);
		assert_int_equal(tp_get16(out.b + 12), 0x86dd);
		assert_int_equal(out.b[14] << 4 | out.b[15] >> 4, 0x600 | 0xb9);
		assert_int_equal(tp_get16(out.b + 18), out.len - 54);
		assert_int_equal(out.b[20], 17);
		assert_int_equal(out.b[21], 33);
		assert_int_equal(tp_get16(out.b + 56), 6081);
		assert_int_equal(tp_get16(out.b + 58), out.len - 54);
		assert_int_not_equal(tp_get16(out.b + 60), 0);
		assert_int_equal(tp_l4_sum(out.b + 14, 17, out.b + 54, out.len - 54), 0xffff);
		assert_memory_equal(out.b + 62, want, sizeof(want));
		assert_memory_equal(out.b + 62 + sizeof(want), in.b, in.len);
	}
}

static void udp_checksum_over_ipv4_when_asked(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	struct test_pkt in, out;

	(void)state;
	c.csum = 1;
	c.dst_port = 8472;
	test_add_tunnel(0, &c);
	for (unsigned n = 0; n < 300; n++) {
		static const uint8_t d[6] = {2, 1, 0, 0, 0, 1};

		tp_udp_frame(&in, d, d, "10.0.0.2", "10.0.0.1", n, 2000, n);
		push(0, &in, n % 3 ? 21 + n % 50 : 0, &out);
		assert_int_equal(tp_get16(out.b + 36), 8472);
		assert_int_equal(tp_l4_sum(out.b + 14, 17, out.b + 34, out.len - 34), 0xffff);
		assert_int_equal(tp_sum(0, out.b + 14, 20), 0xffff);
	}
}

static void source_port_follows_the_hash_in_the_dynamic_range(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	unsigned seen[2] = {0, 0};
	struct test_pkt in;

	(void)state;
	test_add_tunnel(0, &c);
	test_inner(&in, 0);
	for (uint32_t h = 1; h != 0; h <<= 1) {
		struct ob_meta meta = meta_of(0, 1);
		struct rte_mbuf *m = test_mbuf(in.b, in.len, 0);
		uint8_t b[512];

		meta.hash = h;
		assert_int_equal(push_one(m, &meta), OB_PASS);
		test_flat(m, b, sizeof(b));
		assert_true(tp_get16(b + 34) >= 49152);
		seen[tp_get16(b + 34) != 49152]++;
		rte_pktmbuf_free(m);
	}
	assert_true(seen[1] >= 28);
}

static void no_next_hop_no_headroom_too_long(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	struct ob_meta meta = meta_of(5, 1);
	struct ob_tunnel_counters n;
	struct test_pkt in;
	struct rte_mbuf *m;

	(void)state;
	test_inner(&in, 0);
	m = test_mbuf(in.b, in.len, 0);
	assert_int_equal(push_one(m, &meta), OB_DROP_NO_NEXTHOP);
	meta.tunnel = OB_TUNNEL_NONE;
	assert_int_equal(push_one(m, &meta), OB_DROP_NO_NEXTHOP);
	meta.tunnel = 5;
	assert_int_equal(ob_tunnel_set(5, &c, NULL, 0), 0);
	assert_int_equal(push_one(m, &meta), OB_DROP_NO_NEXTHOP);
	assert_int_equal(ob_tunnel_inner_mtu(5), 0);
	test_add_tunnel(5, &c);
	assert_int_equal(ob_tunnel_inner_mtu(5), 1450);
	assert_non_null(rte_pktmbuf_prepend(m, OB_HEADROOM - 20));
	assert_int_equal(push_one(m, &meta), OB_DROP_NO_MBUF);
	rte_pktmbuf_adj(m, OB_HEADROOM - 20);
	ob_tunnel_counters(5, &n);
	assert_int_equal(n.tx_pkts, 0);
	assert_int_equal(push_one(m, &meta), OB_PASS);
	ob_tunnel_counters(5, &n);
	assert_int_equal(n.tx_pkts, 1);
	assert_int_equal(n.tx_bytes, in.len);
	m->pkt_len = 65500;
	assert_int_equal(push_one(m, &meta), OB_DROP_TOO_BIG);
	m->pkt_len = m->data_len;
	rte_pktmbuf_free(m);
}

static void inner_mtu_counts_every_header(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_GENEVE, "2001:db8:9::7");

	(void)state;
	c.n_opts = 1;
	c.opt[0] = (struct ob_geneve_opt){htons(1), 1, 8, {0}};
	test_add_tunnel(0, &c);
	/* 1500 - IPv6 40 - UDP 8 - Geneve 8 - option 12 - inner Ethernet 14 */
	assert_int_equal(ob_tunnel_inner_mtu(0), 1418);
}

int encap_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(vxlan_over_ipv4_is_these_bytes, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(geneve_over_ipv6_with_options, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		udp_checksum_over_ipv4_when_asked, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		source_port_follows_the_hash_in_the_dynamic_range, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(no_next_hop_no_headroom_too_long, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(inner_mtu_counts_every_header, test_begin, test_end),
	};

	return cmocka_run_group_tests_name("encap", tests, NULL, NULL);
}
