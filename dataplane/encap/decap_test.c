/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_encap.h"

#define OVERLAY OB_OUTER_OVERLAY
#define KERNEL	OB_OUTER_KERNEL
#define DROP	OB_OUTER_DROP

static const char *const peers[] = {"198.51.100.7", "2001:db8:9::7"};

static enum ob_drop pop_one(
    const struct ob_encap_local *l, struct rte_mbuf *m, const struct ob_outer *o, uint32_t tunnel)
{
	struct ob_decap_run r;
	enum ob_drop why;

	ob_decap_begin(&r, test_worker);
	why = ob_outer_pop(&r, l, m, o, tunnel);
	ob_decap_end(&r);
	return why;
}

/* Carries bytes through parse, find and pop; frees the packet unless 'out' wants it. Returns what parse returned; '*why' OB_PASS when
 * the frame came through. */
static enum ob_outer_verdict carry(const uint8_t *b, unsigned n, unsigned seg, enum ob_drop *why,
    uint32_t *vni, struct test_pkt *out)
{
	const struct ob_encap_local *l = ob_encap_local();
	struct rte_mbuf *m = test_mbuf(b, n, seg);
	struct ob_outer o;
	uint32_t tunnel;
	enum ob_outer_verdict rc;

	*why = OB_PASS;
	rc = ob_outer_parse(l, m, &o, why);
	if (rc == OVERLAY) {
		ob_outer_find(&o, &tunnel, 1);
		*why = tunnel == OB_TABLE_MISS ? OB_DROP_TUNNEL_UNKNOWN : pop_one(l, m, &o, tunnel);
		if (vni != NULL)
			*vni = o.vni;
		if (*why == OB_PASS && out != NULL)
			out->len = test_flat(m, out->b, sizeof(out->b));
	}
	rte_pktmbuf_free(m);
	return rc;
}

static enum ob_drop why_of(const struct test_pkt *p)
{
	enum ob_drop why;

	assert_int_not_equal(carry(p->b, p->len, 0, &why, NULL, NULL), KERNEL);
	return why;
}

static void both_types(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct ob_tunnel_cfg v = test_tunnel(OB_ENCAP_VXLAN, peers[i]);
		struct ob_tunnel_cfg g = test_tunnel(OB_ENCAP_GENEVE, peers[i]);

		test_add_tunnel(2 * i, &v);
		test_add_tunnel(2 * i + 1, &g);
	}
}

static void every_kind_comes_back_as_it_went_in(void **state)
{
	static const uint8_t opts[8] = {0x01, 0x02, 0x03, 0x01, 9, 9, 9, 9};
	struct test_pkt in, p, out;
	enum ob_drop why;
	uint32_t vni;

	(void)state;
	both_types();
	test_inner(&in, 0);
	for (unsigned kind = 0; kind < 4; kind++) {
		enum ob_encap_type type = kind & 1 ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN;

		test_outer(&p, type, peers[kind >> 1], 0xabcdef, &in, 0, opts, kind & 1 ? 8 : 0);
		for (unsigned seg = 0; seg < 80; seg += 13) {
			assert_int_equal(carry(p.b, p.len, seg, &why, &vni, &out), OVERLAY);
			assert_int_equal(why, OB_PASS);
			assert_int_equal(vni, 0xabcdef);
			assert_int_equal(out.len, in.len);
			assert_memory_equal(out.b, in.b, in.len);
		}
		/* Padding behind the datagram is not part of the frame. */
		tp_fill(&p, 5);
		assert_int_equal(carry(p.b, p.len, 0, &why, &vni, &out), OVERLAY);
		assert_int_equal(why, OB_PASS);
		assert_int_equal(out.len, in.len);
	}
}

static void every_truncation_is_dropped_or_left_to_the_kernel(void **state)
{
	static const uint8_t opts[16] = {1, 2, 3, 1, 9, 9, 9, 9, 1, 2, 4, 1, 9, 9, 9, 9};
	struct test_pkt in, p;
	enum ob_drop why;

	(void)state;
	both_types();
	test_inner(&in, 0);
	for (unsigned kind = 0; kind < 4; kind++) {
		enum ob_encap_type type = kind & 1 ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN;

		test_outer(&p, type, peers[kind >> 1], 7, &in, 0, opts, kind & 1 ? 16 : 0);
		for (unsigned n = 0; n < p.len; n++) {
			for (unsigned seg = 0; seg < 60; seg += 19) {
				enum ob_outer_verdict rc = carry(p.b, n, seg, &why, NULL, NULL);

				assert_int_not_equal(rc, OVERLAY);
				if (rc == DROP)
					assert_int_equal(why, OB_DROP_OUTER_MALFORMED);
				else
					assert_true(n < 54);
			}
		}
	}
}

/* Shortens the inner frame with all lengths right. */
static void inner_shorter_than_ethernet(void **state)
{
	struct test_pkt in, p;

	(void)state;
	both_types();
	test_inner(&in, 0);
	for (unsigned n = 0; n <= in.len; n++) {
		in.len = n;
		test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &in, 3, NULL, 0);
		if (n < 14)
			assert_int_equal(why_of(&p), OB_DROP_OUTER_MALFORMED);
		else
			assert_true(why_of(&p) == OB_PASS || why_of(&p) == OB_DROP_ECN_CE);
		test_inner(&in, 0);
	}
}

static void what_is_not_for_us_goes_to_the_kernel(void **state)
{
	struct test_pkt in, p, q;
	enum ob_drop why;

	(void)state;
	both_types();
	test_inner(&in, 0);
	assert_int_equal(carry(in.b, in.len, 0, &why, NULL, NULL), KERNEL); /* other MAC */
	test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &in, 0, NULL, 0);
	q = p;
	q.b[14 + 19] ^= 1; /* other destination */
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q = p;
	tp_put16(&q, 36, 53); /* other port */
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q = p;
	q.b[23] = 6; /* TCP */
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q = p;
	q.b[13] = 6; /* ARP */
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
}

static void reasons(void **state)
{
	struct test_pkt in, p, q;
	enum ob_drop why;

	(void)state;
	both_types();
	test_inner(&in, 0);
	test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &in, 0, NULL, 0);
	q = p;
	q.b[24] ^= 1;
	assert_int_equal(why_of(&q), OB_DROP_OUTER_CHECKSUM);
	q = p;
	q.b[80] ^= 1; /* payload */
	assert_int_equal(why_of(&q), OB_DROP_OUTER_CHECKSUM);
	tp_put16(&q, 40, 0); /* no checksum over IPv4: fine */
	assert_int_equal(why_of(&q), OB_PASS);
	q = p;
	q.b[42] = 0;
	tp_udp_end(&q, 14, 34, true);
	assert_int_equal(why_of(&q), OB_DROP_VXLAN_FLAGS);
	memset(q.b + 42, 0xff, 4); /* reserved bits are ignored */
	q.b[49] = 0xff;
	tp_udp_end(&q, 14, 34, true);
	assert_int_equal(why_of(&q), OB_PASS);
	q = p;
	q.b[20] = 0x20; /* more fragments */
	tp_ip_end(&q, 14);
	assert_int_equal(why_of(&q), OB_DROP_OUTER_FRAGMENT);
	q.b[21] = 9; /* a later one */
	tp_ip_end(&q, 14);
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q = p;
	tp_put16(&q, 38, p.len); /* UDP length beyond IP */
	assert_int_equal(why_of(&q), OB_DROP_OUTER_MALFORMED);
	q = p;
	q.b[14] = 0x44; /* header length under 20 */
	assert_int_equal(why_of(&q), OB_DROP_OUTER_MALFORMED);
	test_outer(&q, OB_ENCAP_VXLAN, "198.51.100.8", 7, &in, 0, NULL, 0);
	assert_int_equal(why_of(&q), OB_DROP_TUNNEL_UNKNOWN);
	test_outer(&q, OB_ENCAP_VXLAN, peers[1], 7, &in, 0, NULL, 0);
	tp_put16(&q, 60, 0); /* IPv6 must have one */
	assert_int_equal(why_of(&q), OB_DROP_OUTER_CHECKSUM);
}

static void ipv4_options_and_ipv6_fragments(void **state)
{
	struct test_pkt in, p, q;
	enum ob_drop why;

	(void)state;
	both_types();
	test_inner(&in, 0);
	test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &in, 0, NULL, 0);
	q.len = 0;
	tp_bytes(&q, p.b, 34);
	q.b[14] = 0x46;
	tp_u32(&q, 0x01010101);
	tp_bytes(&q, p.b + 34, p.len - 34);
	tp_ip_end(&q, 14);
	assert_int_equal(why_of(&q), OB_PASS);

	test_outer(&p, OB_ENCAP_VXLAN, peers[1], 7, &in, 0, NULL, 0);
	q.len = 0;
	tp_bytes(&q, p.b, 54);
	q.b[20] = 44;
	tp_u32(&q, 0x11000001); /* next UDP, offset 0, more */
	tp_u32(&q, 0x01020304);
	tp_bytes(&q, p.b + 54, p.len - 54);
	tp_ip_end(&q, 14);
	assert_int_equal(why_of(&q), OB_DROP_OUTER_FRAGMENT);
	tp_put16(&q, 56, 0x0010);
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q.b[54] = 6;
	assert_int_equal(carry(q.b, q.len, 0, &why, NULL, NULL), KERNEL);
	q.len = 60; /* cut in the fragment header */
	tp_ip_end(&q, 14);
	assert_int_equal(why_of(&q), OB_DROP_OUTER_MALFORMED);
}

static enum ob_drop geneve_with(const uint8_t *opts, unsigned len)
{
	struct test_pkt in, p;

	test_inner(&in, 0);
	test_outer(&p, OB_ENCAP_GENEVE, peers[0], 7, &in, 0, opts, len);
	return why_of(&p);
}

static void geneve_options(void **state)
{
	static const uint8_t plain[] = {9, 9, 0x01, 0}, critical[] = {9, 9, 0x81, 0};
	static const uint8_t match[] = {9, 9, 0x01, 0, 1, 2, 0x83, 1, 0xde, 0xad, 0xbe, 0xef};
	static const uint8_t wrong[] = {1, 2, 0x83, 1, 0xde, 0xad, 0xbe, 0xee};
	static const uint8_t too_long[] = {9, 9, 0x01, 2, 0, 0, 0, 0};
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_GENEVE, peers[0]);
	struct test_pkt in, p;

	(void)state;
	test_add_tunnel(0, &c);
	assert_int_equal(geneve_with(NULL, 0), OB_PASS);
	assert_int_equal(geneve_with(plain, sizeof(plain)), OB_PASS);
	assert_int_equal(geneve_with(critical, sizeof(critical)), OB_DROP_GENEVE_CRITICAL);
	assert_int_equal(geneve_with(too_long, sizeof(too_long)), OB_DROP_GENEVE_HEADER);
	c.n_match = 1;
	c.match[0] = (struct ob_geneve_opt){htons(0x0102), 0x83, 4, {0xde, 0xad, 0xbe, 0xef}};
	test_add_tunnel(0, &c);
	assert_int_equal(geneve_with(NULL, 0), OB_DROP_GENEVE_MATCH);
	assert_int_equal(geneve_with(wrong, sizeof(wrong)), OB_DROP_GENEVE_MATCH);
	assert_int_equal(geneve_with(match, sizeof(match)), OB_PASS);

	test_inner(&in, 0);
	test_outer(&p, OB_ENCAP_GENEVE, peers[0], 7, &in, 0, match, sizeof(match));
	for (unsigned i = 0; i < 4; i++) {
		static const uint8_t flip[4][2] = {{42, 0x40}, {43, 0x80}, {44, 1}, {42, 0x3f}};
		struct test_pkt q = p;

		q.b[flip[i][0]] ^= flip[i][1];
		tp_udp_end(&q, 14, 34, true);
		assert_int_equal(why_of(&q), OB_DROP_GENEVE_HEADER);
	}
}

static void ecn_is_combined_as_rfc_6040_says(void **state)
{
	static const uint8_t want[4][4] = {/* [inner][outer]; 9: dropped */
	    {0, 0, 0, 9}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
	static const uint8_t mac[6] = {2};
	struct test_pkt in, p, out;
	enum ob_drop why;

	(void)state;
	both_types();
	for (unsigned i = 0; i < 32; i++) {
		unsigned inner = i & 3, outer = i >> 2 & 3;

		test_inner(&in, 0x28 | inner);
		if (i & 16) {
			tp_udp_frame(&in, mac, mac, "2001:db8::2", "2001:db8::3", 1, 2, 10);
			tp_put16(&in, 14, 0x6000 | (0x28 | inner) << 4);
		}
		test_outer(&p, OB_ENCAP_VXLAN, peers[i & 1], 7, &in, outer, NULL, 0);
		assert_int_equal(carry(p.b, p.len, 0, &why, NULL, &out), OVERLAY);
		if (want[inner][outer] == 9) {
			assert_int_equal(why, OB_DROP_ECN_CE);
			continue;
		}
		assert_int_equal(why, OB_PASS);
		if (i & 16) {
			assert_int_equal(
			    tp_get16(out.b + 14) >> 4 & 0xff, 0x28 | want[inner][outer]);
		} else {
			assert_int_equal(out.b[15], 0x28 | want[inner][outer]);
			assert_int_equal(tp_sum(0, out.b + 14, 20), 0xffff);
		}
	}
}

static void tunnel_in_tunnel_to_us_is_dropped(void **state)
{
	struct test_pkt in, mid, p;

	(void)state;
	both_types();
	for (unsigned i = 0; i < 4; i++) {
		test_inner(&in, 0);
		test_outer(&mid, i & 1 ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, peers[i >> 1], 7, &in, 0,
		    NULL, 0);
		test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &mid, 0, NULL, 0);
		assert_int_equal(why_of(&p), OB_DROP_NESTED_TUNNEL);
		mid.b[i >> 1 ? 53 : 33] ^=
		    0x10; /* a tenant's own tunnel to elsewhere is his matter */
		test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &mid, 0, NULL, 0);
		assert_int_equal(why_of(&p), OB_PASS);
	}
}

static void local_address_of_the_tunnel_is_demanded(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, peers[0]);
	struct ob_ip local[2] = {test_ip("192.0.2.1"), test_ip("192.0.2.9")};
	struct test_pkt in, p;

	(void)state;
	assert_int_equal(ob_encap_set_local(local, 2, NULL), 0);
	c.local = local[1];
	test_add_tunnel(0, &c);
	test_inner(&in, 0);
	test_outer(&p, OB_ENCAP_VXLAN, peers[0], 7, &in, 0, NULL, 0);
	assert_int_equal(why_of(&p), OB_DROP_TUNNEL_UNKNOWN);
	c.local = local[0];
	test_add_tunnel(0, &c);
	assert_int_equal(why_of(&p), OB_PASS);
}

int decap_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		every_kind_comes_back_as_it_went_in, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		every_truncation_is_dropped_or_left_to_the_kernel, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(inner_shorter_than_ethernet, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		what_is_not_for_us_goes_to_the_kernel, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(reasons, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(ipv4_options_and_ipv6_fragments, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(geneve_options, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(ecn_is_combined_as_rfc_6040_says, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		tunnel_in_tunnel_to_us_is_dropped, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		local_address_of_the_tunnel_is_demanded, test_begin, test_end),
	};

	return cmocka_run_group_tests_name("decap", tests, NULL, NULL);
}
