/* SPDX-License-Identifier: BSD-3-Clause */
/* The receive filter, and the choice of a receive queue. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ob_test_eal.h"

#include "test_pkt.h"
#include "vif_int.h"

static struct rte_mempool *pool;
static uint8_t frame[2048];

static int setup(void **state)
{
	(void)state;
	ob_test_eal();
	pool = rte_pktmbuf_pool_create("steer", 63, 0, 64, OB_HEADROOM + 2048, SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

/* ---- Toeplitz: the verification suite that Microsoft publishes for RSS ---- */

static const uint8_t ms_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25,
    0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d,
    0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
	uint8_t src[4], dst[4];
	uint16_t sport, dport;
	uint32_t ip, tcp;
} v4_vectors[] = {
    {{66, 9, 149, 187}, {161, 142, 100, 80}, 2794, 1766, 0x323e8fc2, 0x51ccc178},
    {{199, 92, 111, 2}, {65, 69, 140, 83}, 14230, 4739, 0xd718262a, 0xc626b0ea},
    {{24, 19, 198, 95}, {12, 22, 207, 184}, 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
    {{38, 27, 205, 30}, {209, 142, 163, 6}, 48228, 2217, 0x82989176, 0xafc7327f},
    {{153, 39, 163, 191}, {202, 188, 127, 2}, 44251, 1303, 0x5d1809c5, 0x10e828a2},
};

static const struct {
	uint8_t src[16], dst[16];
	uint16_t sport, dport;
	uint32_t ip, tcp;
} v6_vectors[] = {
    {{0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
	{0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1}, 2794, 1766,
	0x2cc18cd5, 0x40207d3d},
    {{0x3f, 0xfe, 0x05, 0x01, 0x00, 0x08, 0, 0, 0x02, 0x60, 0x97, 0xff, 0xfe, 0x40, 0xef, 0xab},
	{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 14230, 4739, 0x0f0c461c,
	0xdde51bbf},
    {{0x3f, 0xfe, 0x19, 0x00, 0x45, 0x45, 0x00, 0x03, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67,
	 0xcf},
	{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf}, 44251,
	38024, 0x4b61e985, 0x02d1feef},
};

static struct vif_steering *make(struct ob_vif_steering *conf)
{
	struct vif_steering *s;

	memcpy(conf->key, ms_key, sizeof(ms_key));
	conf->key_len = sizeof(ms_key);
	conf->n_pairs = 8;
	conf->rss = true;
	assert_int_equal(vif_steering_create(conf, 16, &s), 0);
	return s;
}

static uint32_t hash_of(const struct vif_steering *s, const struct pkt_spec *spec,
    const uint8_t *src, const uint8_t *dst, uint16_t extra_flags, uint16_t *report)
{
	struct ob_meta meta;
	uint32_t len = pkt_build(spec, frame, &meta), hash;
	uint32_t n = spec->v6 ? 16 : 4, at = meta.l2_len + (spec->v6 ? 8u : 12u);
	struct rte_mbuf *m;

	memcpy(frame + at, src, n);
	memcpy(frame + at + n, dst, n);
	m = pkt_mbuf(pool, frame, len, 2000);
	meta.flags |= extra_flags;
	hash = vif_rss_hash(s, m, &meta, report);
	rte_pktmbuf_free(m);
	return hash;
}

static void toeplitz_matches_published_vectors(void **state)
{
	struct ob_vif_steering conf = {.table_len = 1, .hash_types = OB_VIF_HASH_TYPES},
			       l3 = {.table_len = 1,
				   .hash_types = VIRTIO_NET_RSS_HASH_TYPE_IPv4 |
						 VIRTIO_NET_RSS_HASH_TYPE_IPv6};
	struct vif_steering *all = make(&conf), *ip = make(&l3);
	uint16_t report;

	(void)state;
	for (unsigned udp = 0; udp < 2; udp++) {
		for (unsigned i = 0; i < RTE_DIM(v4_vectors); i++) {
			struct pkt_spec s = {.udp = udp,
			    .vlan = i & 1,
			    .sport = v4_vectors[i].sport,
			    .dport = v4_vectors[i].dport};

			assert_int_equal(
			    hash_of(all, &s, v4_vectors[i].src, v4_vectors[i].dst, 0, &report),
			    v4_vectors[i].tcp);
			assert_int_equal(report,
			    udp ? VIRTIO_NET_HASH_REPORT_UDPv4 : VIRTIO_NET_HASH_REPORT_TCPv4);
			assert_int_equal(
			    hash_of(ip, &s, v4_vectors[i].src, v4_vectors[i].dst, 0, &report),
			    v4_vectors[i].ip);
			assert_int_equal(report, VIRTIO_NET_HASH_REPORT_IPv4);
			assert_int_equal(hash_of(all, &s, v4_vectors[i].src, v4_vectors[i].dst,
					     OB_PKT_FRAG, &report),
			    v4_vectors[i].ip);
		}
		for (unsigned i = 0; i < RTE_DIM(v6_vectors); i++) {
			struct pkt_spec s = {.v6 = true,
			    .udp = udp,
			    .sport = v6_vectors[i].sport,
			    .dport = v6_vectors[i].dport};

			assert_int_equal(
			    hash_of(all, &s, v6_vectors[i].src, v6_vectors[i].dst, 0, &report),
			    v6_vectors[i].tcp);
			assert_int_equal(report,
			    udp ? VIRTIO_NET_HASH_REPORT_UDPv6 : VIRTIO_NET_HASH_REPORT_TCPv6);
			assert_int_equal(
			    hash_of(ip, &s, v6_vectors[i].src, v6_vectors[i].dst, 0, &report),
			    v6_vectors[i].ip);
			assert_int_equal(report, VIRTIO_NET_HASH_REPORT_IPv6);
		}
	}
	free(all);
	free(ip);
}

static void steer_takes_the_table_or_unclassified(void **state)
{
	struct ob_vif_steering conf = {.table_len = 8,
	    .table = {7, 6, 5, 4, 3, 2, 1, 0},
	    .unclassified = 5,
	    .hash_types = VIRTIO_NET_RSS_HASH_TYPE_TCPv4};
	struct vif_steering *s = make(&conf);
	struct pkt_spec tcp = {.sport = v4_vectors[0].sport, .dport = v4_vectors[0].dport},
			udp = {.udp = true}, v6 = {.v6 = true};
	struct ob_meta meta;
	struct rte_mbuf *m;
	uint32_t len = pkt_build(&tcp, frame, &meta);

	(void)state;
	memcpy(frame + 26, v4_vectors[0].src, 4);
	memcpy(frame + 30, v4_vectors[0].dst, 4);
	m = pkt_mbuf(pool, frame, len, 2000);
	assert_int_equal(vif_steer(s, m, &meta), 7 - (0x51ccc178 & 7));
	rte_pktmbuf_free(m);
	len = pkt_build(&udp, frame, &meta);
	m = pkt_mbuf(pool, frame, len, 2000);
	assert_int_equal(vif_steer(s, m, &meta), 5);
	rte_pktmbuf_free(m);
	len = pkt_build(&v6, frame, &meta);
	m = pkt_mbuf(pool, frame, len, 2000);
	assert_int_equal(vif_steer(s, m, &meta), 5);
	/* Headers beyond the first buffer are not looked for. */
	rte_pktmbuf_free(m);
	m = pkt_mbuf(pool, frame, len, 40);
	assert_int_equal(vif_steer(s, m, &meta), 5);
	rte_pktmbuf_free(m);
	free(s);
}

static void steer_without_rss_spreads_by_symmetric_hash(void **state)
{
	struct ob_vif_steering conf = {.n_pairs = 3};
	struct vif_steering *s;
	struct ob_meta meta = {0};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	unsigned n[3] = {0};

	(void)state;
	assert_int_equal(vif_steering_create(&conf, 16, &s), 0);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned pair;

		meta.hash = i * 0x9e3779b1u;
		pair = vif_steer(s, m, &meta);
		assert_in_range(pair, 0, 2);
		n[pair]++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(n[i], 900, 1100);
	rte_pktmbuf_free(m);
	free(s);
}

static void steering_nonsense_is_einval(void **state)
{
	static const struct ob_vif_steering good = {.n_pairs = 2,
	    .rss = true,
	    .hash_types = 1,
	    .table_len = 2,
	    .table = {0, 1},
	    .key_len = 40};
	struct ob_vif_steering bad[9];
	struct vif_steering *s;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(bad); i++)
		bad[i] = good;
	bad[0].n_pairs = 0;
	bad[1].n_pairs = 17;
	bad[2].table_len = 3;
	bad[3].table_len = 256;
	bad[4].table[1] = 2;
	bad[5].unclassified = 2;
	bad[6].key_len = 41;
	bad[7].hash_types = 1 << 6;
	bad[8].table_len = 0;
	for (unsigned i = 0; i < RTE_DIM(bad); i++)
		assert_int_equal(vif_steering_create(&bad[i], 16, &s), -EINVAL);
	assert_int_equal(vif_steering_create(&good, 16, &s), 0);
	free(s);
}

/* ---- filter ---- */

static const uint8_t own[6] = {2, 0, 0, 0, 0, 1}, uni[6] = {2, 0, 0, 0, 0, 2},
		     other[6] = {2, 0, 0, 0, 0, 3}, multi[6] = {1, 0, 0x5e, 0, 0, 1},
		     multi2[6] = {1, 0, 0x5e, 0, 0, 2}, bcast[6] = {255, 255, 255, 255, 255, 255};

static bool passes(const struct ob_vif_filter *conf, const uint8_t *mac, int vid)
{
	struct vif_filter f = {*conf};
	uint8_t p[64] = {0};
	struct ob_meta meta = {.l2_len = vid < 0 ? 14 : 18};

	memcpy(p, mac, 6);
	if (vid >= 0) {
		pkt_be16(p + 12, 0x8100);
		pkt_be16(p + 14, 0xe000u | (uint32_t)vid);
	}
	return vif_filter_pass(&f, p, &meta);
}

static struct ob_vif_filter base_filter(void)
{
	struct ob_vif_filter f = {.n_uni = 1, .n_multi = 1};

	memcpy(f.mac, own, 6);
	memcpy(f.uni[0], uni, 6);
	memcpy(f.multi[0], multi, 6);
	return f;
}

static void filter_passes_own_listed_and_broadcast(void **state)
{
	struct ob_vif_filter f = base_filter();

	(void)state;
	assert_true(passes(&f, own, -1));
	assert_true(passes(&f, uni, -1));
	assert_true(passes(&f, multi, -1));
	assert_true(passes(&f, bcast, -1));
	assert_false(passes(&f, other, -1));
	assert_false(passes(&f, multi2, -1));
}

static void filter_modes(void **state)
{
	struct ob_vif_filter f = base_filter();

	(void)state;
	f.promisc = true;
	assert_true(passes(&f, other, -1));
	assert_true(passes(&f, multi2, -1));
	f = base_filter();
	f.allmulti = true;
	assert_true(passes(&f, multi2, -1));
	assert_false(passes(&f, other, -1));
	f = base_filter();
	f.alluni = true;
	assert_true(passes(&f, other, -1));
	assert_false(passes(&f, multi2, -1));
	f = base_filter();
	f.nomulti = true;
	assert_false(passes(&f, multi, -1));
	assert_true(passes(&f, bcast, -1));
	f = base_filter();
	f.nobcast = true;
	assert_false(passes(&f, bcast, -1));
	assert_true(passes(&f, multi, -1));
	f = base_filter();
	f.nouni = true;
	assert_false(passes(&f, own, -1));
	assert_false(passes(&f, uni, -1));
	f = base_filter();
	f.uni_overflow = true;
	assert_true(passes(&f, other, -1));
	assert_false(passes(&f, multi2, -1));
	f = base_filter();
	f.multi_overflow = true;
	assert_true(passes(&f, multi2, -1));
	assert_false(passes(&f, other, -1));
}

static void filter_vlan(void **state)
{
	struct ob_vif_filter f = base_filter();

	(void)state;
	assert_true(passes(&f, own, 100));
	f.vlan_filter = true;
	assert_false(passes(&f, own, 100));
	assert_true(passes(&f, own, -1));
	assert_true(passes(&f, own, 0));
	f.vlan[100 / 64] |= 1ull << (100 % 64);
	f.vlan[63] |= 1ull << 62;
	assert_true(passes(&f, own, 100));
	assert_true(passes(&f, own, 4094));
	assert_false(passes(&f, own, 101));
	assert_false(passes(&f, other, 100));
	f.promisc = true;
	assert_true(passes(&f, other, 101));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(toeplitz_matches_published_vectors),
	    cmocka_unit_test(steer_takes_the_table_or_unclassified),
	    cmocka_unit_test(steer_without_rss_spreads_by_symmetric_hash),
	    cmocka_unit_test(steering_nonsense_is_einval),
	    cmocka_unit_test(filter_passes_own_listed_and_broadcast),
	    cmocka_unit_test(filter_modes),
	    cmocka_unit_test(filter_vlan),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
