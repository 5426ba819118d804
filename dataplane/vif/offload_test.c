/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums, segmentation and large receive against a slow oracle (test_pkt.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ob_test_eal.h"

#include "test_pkt.h"
#include "vif_int.h"

#define N_MBUFS 2048

static struct rte_mempool *pool;
static uint8_t frame[PKT_MAX], flat[PKT_MAX];

static int setup(void **state)
{
	(void)state;
	ob_test_eal();
	pool =
	    rte_pktmbuf_pool_create("offload", N_MBUFS, 0, 64, OB_HEADROOM + 2048, SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

static int nothing_leaks(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	return 0;
}

/* ---- checksums ---- */

static void complete_csum_matches_oracle_over_any_chain(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		struct pkt_spec s = {.v6 = i & 1,
		    .udp = i & 2,
		    .vlan = i & 4,
		    .partial = true,
		    .payload = 1 + i * 131,
		    .seed = (uint8_t)i};
		struct ob_meta meta;
		uint32_t len = pkt_build(&s, frame, &meta);
		/* Odd cuts, also through the field itself. */
		struct rte_mbuf *m = pkt_mbuf(pool, frame, len, 33 + i % 60);

		assert_int_equal(ob_pkt_complete_csum(m, &meta), 0);
		assert_false(meta.flags & OB_PKT_L4_CSUM_PARTIAL);
		assert_int_equal(pkt_flat(m, flat), len);
		assert_true(pkt_sums_right(flat, len, &meta));
		rte_pktmbuf_free(m);
	}
}

static void complete_csum_of_an_inner_header(void **state)
{
	struct pkt_spec s = {.udp = true, .payload = 300};
	struct ob_meta meta;
	uint32_t len = pkt_build(&s, frame, &meta);
	struct rte_mbuf *m;

	(void)state;
	/* The guest's own tunnel: sum from 101 on, result at 111. */
	meta.flags |= OB_PKT_L4_CSUM_PARTIAL;
	meta.csum_start = 101;
	meta.csum_offset = 10;
	pkt_be16(frame + 111, 0);
	m = pkt_mbuf(pool, frame, len, 200);
	assert_int_equal(ob_pkt_complete_csum(m, &meta), 0);
	pkt_flat(m, flat);
	assert_int_equal(pkt_sum(flat + 101, len - 101, 0), 0xffff);
	rte_pktmbuf_free(m);
}

static void complete_csum_never_writes_zero(void **state)
{
	struct ob_meta meta = {.flags = OB_PKT_L4_CSUM_PARTIAL, .csum_start = 20, .csum_offset = 6};
	struct rte_mbuf *m;

	(void)state;
	memset(frame, 0, 64);
	pkt_be16(frame + 30, 0xffff);
	m = pkt_mbuf(pool, frame, 64, 64);
	assert_int_equal(ob_pkt_complete_csum(m, &meta), 0);
	pkt_flat(m, flat);
	assert_int_equal(pkt_get16(flat + 26), 0xffff);
	rte_pktmbuf_free(m);
}

static void complete_csum_field_outside_is_einval(void **state)
{
	struct ob_meta meta = {.flags = OB_PKT_L4_CSUM_PARTIAL, .csum_start = 60, .csum_offset = 3};
	struct rte_mbuf *m;

	(void)state;
	memset(frame, 0, 64);
	m = pkt_mbuf(pool, frame, 64, 64);
	assert_int_equal(ob_pkt_complete_csum(m, &meta), -EINVAL);
	assert_true(meta.flags & OB_PKT_L4_CSUM_PARTIAL);
	meta.csum_start = meta.csum_offset = UINT16_MAX;
	assert_int_equal(ob_pkt_complete_csum(m, &meta), -EINVAL);
	rte_pktmbuf_free(m);
}

static void l4_csum_ok_sees_each_flipped_bit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct pkt_spec s = {.v6 = i & 1, .udp = i & 2, .vlan = i & 4, .payload = 33};
		struct ob_meta meta;
		uint32_t len = pkt_build(&s, frame, &meta);

		for (uint32_t bit = 0; bit <= 33 * 8; bit++) {
			struct rte_mbuf *m;

			if (bit > 0)
				frame[len - 1 - (bit - 1) / 8] ^= (uint8_t)(1u << (bit - 1) % 8);
			m = pkt_mbuf(pool, frame, len, 90);
			assert_int_equal(ob_pkt_l4_csum_ok(m, &meta), bit == 0);
			rte_pktmbuf_free(m);
			if (bit > 0)
				frame[len - 1 - (bit - 1) / 8] ^= (uint8_t)(1u << (bit - 1) % 8);
		}
	}
}

static void l4_csum_ok_knows_udp_without_checksum(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct pkt_spec s = {.v6 = v6, .udp = true, .payload = 10};
		struct ob_meta meta;
		uint32_t len = pkt_build(&s, frame, &meta);
		struct rte_mbuf *m;

		pkt_be16(frame + meta.l2_len + meta.l3_len + 6, 0);
		m = pkt_mbuf(pool, frame, len, 2000);
		assert_int_equal(ob_pkt_l4_csum_ok(m, &meta), !v6);
		rte_pktmbuf_free(m);
	}
}

static void l4_csum_ok_refuses_lying_lengths(void **state)
{
	struct pkt_spec s = {.payload = 20};
	struct ob_meta meta;
	uint32_t len = pkt_build(&s, frame, &meta);
	static const uint16_t lengths[] = {0, 19, 27, 61, 0xffff};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
		struct rte_mbuf *m;

		pkt_be16(frame + 16, lengths[i]);
		m = pkt_mbuf(pool, frame, len, 2000);
		assert_false(ob_pkt_l4_csum_ok(m, &meta));
		rte_pktmbuf_free(m);
	}
}

/* ---- segmentation ---- */

/* Checks n segments against the frame they were cut from. */
static void check_segments(const struct pkt_spec *s, const struct ob_meta *meta,
    struct rte_mbuf **seg, unsigned n, uint32_t mss)
{
	uint32_t l3 = meta->l2_len, l4 = l3 + meta->l3_len, hdrs = l4 + meta->l4_len, done = 0;
	uint8_t want_flags = s->tcp_flags ? s->tcp_flags : 0x10;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = pkt_flat(seg[i], flat);
		uint32_t payload = len - hdrs;
		uint8_t flags = want_flags;

		assert_int_equal(seg[i]->pkt_len, len);
		assert_int_equal(payload, i + 1 < n ? mss : s->payload - done);
		assert_true(pkt_sums_right(flat, len, meta));
		assert_memory_equal(flat, frame, l3);
		assert_memory_equal(flat + hdrs, frame + hdrs + done, payload);
		assert_int_equal(pkt_get32(flat + l4 + 4), s->seq + done);
		if (i + 1 < n)
			flags &= (uint8_t)~0x09;
		if (i > 0)
			flags &= 0x7f;
		assert_int_equal(flat[l4 + 13], flags);
		if (s->v6) {
			assert_int_equal(pkt_get16(flat + l3 + 4), len - l4);
		} else {
			assert_int_equal(pkt_get16(flat + l3 + 2), len - l3);
			assert_int_equal(pkt_get16(flat + l3 + 4), (s->id + i) & 0xffff);
		}
		done += payload;
		assert_true(rte_pktmbuf_headroom(seg[i]) >= OB_HEADROOM);
		rte_pktmbuf_free(seg[i]);
	}
	assert_int_equal(done, s->payload);
}

static void segments_match_oracle(void **state)
{
	static const struct {
		uint32_t payload, mss, first;
	} cases[] = {{1, 1, 2000}, {2, 1, 80}, {1448 * 3, 1448, 2000}, {1448 * 3 + 1, 1448, 94},
	    {65000, 1448, 2000}, {65000, 8948, 300}, {5000, 4999, 1000}, {65000, 256, 2000},
	    {100, 1000, 2000}};
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(cases) * 8; i++) {
		uint32_t payload = cases[i / 8].payload, mss = cases[i / 8].mss;
		struct pkt_spec s = {.v6 = i & 1,
		    .vlan = i & 2,
		    .opt_len = i & 4 ? 12 : 0,
		    .partial = i & 1,
		    .tcp_flags = 0x99,
		    .seq = 0xfffffff0u,
		    .id = 0xfffe,
		    .payload = payload};
		struct ob_meta meta;
		uint32_t len = pkt_build(&s, frame, &meta);
		struct rte_mbuf *m = pkt_mbuf(pool, frame, len,
		    RTE_MAX(cases[i / 8].first, meta.l2_len + meta.l3_len + meta.l4_len + 0u));
		int n;

		meta.flags |= OB_PKT_GSO;
		m->tso_segsz = (uint16_t)mss;
		n = ob_pkt_segment(m, &meta, pool, seg, OB_PKT_MAX_SEGS);
		assert_int_equal(n, (payload + mss - 1) / mss);
		assert_false(meta.flags & (OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL));
		check_segments(&s, &meta, seg, (unsigned)n, mss);
	}
}

static void segment_refuses(void **state)
{
	struct pkt_spec s = {.payload = 3000, .partial = true};
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS], *m;
	struct ob_meta good, meta;
	uint32_t len = pkt_build(&s, frame, &good);

	(void)state;
	good.flags |= OB_PKT_GSO;
	m = pkt_mbuf(pool, frame, len, 100);
	m->tso_segsz = 1000;
	meta = good;
	meta.flags &= (uint16_t)~OB_PKT_GSO;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	meta.flags = (uint16_t)((meta.flags & ~OB_PKT_TCP) | OB_PKT_UDP);
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	meta.flags |= OB_PKT_FRAG;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	meta.csum_start++;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	meta.l4_len = 16;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	meta.l4_len = 60;
	meta.l3_len = 40;
	meta.csum_start = 54;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	meta = good;
	m->tso_segsz = 0;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 8), -EINVAL);
	m->tso_segsz = 1000;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, 2), -ENOSPC);
	m->tso_segsz = 1;
	assert_int_equal(ob_pkt_segment(m, &meta, pool, seg, OB_PKT_MAX_SEGS), -ENOSPC);
	assert_memory_equal(&meta, &good, sizeof(meta));
	assert_int_equal(pkt_flat(m, flat), len);
	assert_memory_equal(flat, frame, len);
	rte_pktmbuf_free(m);
}

static void segment_without_buffers_is_enomem_and_leaves_all(void **state)
{
	struct rte_mempool *tiny =
	    rte_pktmbuf_pool_create("tiny", 7, 0, 64, OB_HEADROOM + 2048, SOCKET_ID_ANY);
	struct pkt_spec s = {.payload = 30000};
	struct rte_mbuf *seg[OB_PKT_MAX_SEGS], *m;
	struct ob_meta meta;
	uint32_t len = pkt_build(&s, frame, &meta);

	(void)state;
	assert_non_null(tiny);
	meta.flags |= OB_PKT_GSO;
	m = pkt_mbuf(pool, frame, len, 2000);
	m->tso_segsz = 1448;
	assert_int_equal(ob_pkt_segment(m, &meta, tiny, seg, OB_PKT_MAX_SEGS), -ENOMEM);
	/* Heads there are enough, second buffers not. */
	m->tso_segsz = 8000;
	assert_int_equal(ob_pkt_segment(m, &meta, tiny, seg, OB_PKT_MAX_SEGS), -ENOMEM);
	assert_true(meta.flags & OB_PKT_GSO);
	assert_int_equal(rte_mempool_avail_count(tiny), 7);
	rte_pktmbuf_free(m);
	rte_mempool_free(tiny);
}

/* ---- large receive ---- */

static void gro_undoes_segmentation(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct pkt_spec s = {.v6 = i & 1,
		    .vlan = i & 2,
		    .opt_len = i & 4 ? 12 : 0,
		    .tcp_flags = 0x18,
		    .payload = 1448 * 20 + (i & 8 ? 77 : 0),
		    .partial = true,
		    .seq = 5};
		struct rte_mbuf *seg[OB_PKT_MAX_SEGS], *m;
		struct ob_meta meta, metas[64];
		uint32_t len = pkt_build(&s, frame, &meta);
		int n;

		m = pkt_mbuf(pool, frame, len, 2000);
		m->tso_segsz = 1448;
		meta.flags |= OB_PKT_GSO;
		n = ob_pkt_segment(m, &meta, pool, seg, OB_PKT_MAX_SEGS);
		assert_int_equal(n, i & 8 ? 21 : 20);
		for (int k = 0; k < n; k++)
			metas[k] = meta;
		assert_int_equal(vif_gro(seg, metas, (unsigned)n, true, true), 1);
		assert_int_equal(seg[0]->tso_segsz, 1448);
		assert_int_equal(metas[0].flags & (OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL),
		    OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL);
		assert_int_equal(metas[0].csum_start, meta.l2_len + meta.l3_len);
		assert_int_equal(metas[0].csum_offset, 16);
		assert_int_equal(pkt_flat(seg[0], flat), len);
		/* Byte for byte what the sender had, the pseudo-header's sum included. */
		assert_memory_equal(flat, frame, len);
		rte_pktmbuf_free(seg[0]);
	}
}

struct gro_case {
	const char *what;
	struct pkt_spec a, b;
	uint32_t at; /* byte of the second frame to change, and its checksums with it; 0: none */
	uint8_t xor ;
	bool break_sum; /* of the second */
	unsigned left;
};

static void fix_sums(uint8_t *f, uint32_t len, const struct ob_meta *meta)
{
	uint8_t *ip = f + meta->l2_len, *t = ip + meta->l3_len;
	bool v6 = (meta->flags & OB_PKT_IP6) != 0;
	uint32_t l4_len = len - meta->l2_len - meta->l3_len;

	if (!v6) {
		pkt_be16(ip + 10, 0);
		pkt_be16(ip + 10, ~pkt_sum(ip, 20, 0) & 0xffff);
	}
	pkt_be16(t + 16, 0);
	pkt_be16(t + 16, ~pkt_sum(t, l4_len, pkt_pseudo(ip, v6, 6, l4_len)) & 0xffff);
}

static const struct gro_case gro_cases[] = {
    {.what = "plain", .a = {.payload = 100}, .b = {.payload = 100, .seq = 100}, .left = 1},
    {.what = "shorter last", .a = {.payload = 100}, .b = {.payload = 99, .seq = 100}, .left = 1},
    {.what = "push last",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .tcp_flags = 0x18},
	.left = 1},
    {.what = "longer", .a = {.payload = 100}, .b = {.payload = 101, .seq = 100}, .left = 2},
    {.what = "push first",
	.a = {.payload = 100, .tcp_flags = 0x18},
	.b = {.payload = 100, .seq = 100},
	.left = 2},
    {.what = "gap", .a = {.payload = 100}, .b = {.payload = 100, .seq = 101}, .left = 2},
    {.what = "again", .a = {.payload = 100}, .b = {.payload = 100}, .left = 2},
    {.what = "no data", .a = {.payload = 100}, .b = {.seq = 100}, .left = 2},
    {.what = "fin",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .tcp_flags = 0x11},
	.left = 2},
    {.what = "cwr",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .tcp_flags = 0x90},
	.left = 2},
    {.what = "other port",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .dport = 81},
	.left = 2},
    {.what = "other host",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .host = 9},
	.left = 2},
    {.what = "other vlan",
	.a = {.payload = 100, .vlan = true, .vid = 3},
	.b = {.payload = 100, .seq = 100, .vlan = true, .vid = 4},
	.left = 2},
    {.what = "one tagged",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .vlan = true},
	.left = 2},
    {.what = "options",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100, .opt_len = 12},
	.left = 2},
    {.what = "udp",
	.a = {.udp = true, .payload = 100},
	.b = {.udp = true, .payload = 100, .seq = 100},
	.left = 2},
    {.what = "tos",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 15,
	.xor = 2,
	.left = 2},
    {.what = "ttl",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 22,
	.xor = 1,
	.left = 2},
    {.what = "df",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 20,
	.xor = 0x40,
	.left = 2},
    {.what = "ack",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 45,
	.xor = 1,
	.left = 2},
    {.what = "window",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 48,
	.xor = 1,
	.left = 2},
    {.what = "option bytes",
	.a = {.payload = 100, .opt_len = 12},
	.b = {.payload = 100, .seq = 100, .opt_len = 12},
	.at = 60,
	.xor = 1,
	.left = 2},
    {.what = "source mac",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.at = 11,
	.xor = 4,
	.left = 2},
    {.what = "flow label",
	.a = {.v6 = true, .payload = 100},
	.b = {.v6 = true, .payload = 100, .seq = 100},
	.at = 17,
	.xor = 1,
	.left = 2},
    {.what = "hop limit",
	.a = {.v6 = true, .payload = 100},
	.b = {.v6 = true, .payload = 100, .seq = 100},
	.at = 21,
	.xor = 1,
	.left = 2},
    {.what = "v4 and v6",
	.a = {.payload = 100},
	.b = {.v6 = true, .payload = 100, .seq = 100},
	.left = 2},
    {.what = "bad sum",
	.a = {.payload = 100},
	.b = {.payload = 100, .seq = 100},
	.break_sum = true,
	.left = 2},
};

static void gro_merges_only_what_nobody_can_tell_apart(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(gro_cases); i++) {
		const struct gro_case *c = &gro_cases[i];
		struct rte_mbuf *pkt[2];
		struct ob_meta meta[2];
		uint32_t len;
		unsigned left;

		len = pkt_build(&c->a, frame, &meta[0]);
		pkt[0] = pkt_mbuf(pool, frame, len, 2000);
		len = pkt_build(&c->b, frame, &meta[1]);
		if (c->at > 0) {
			frame[c->at] ^= c->xor ;
			fix_sums(frame, len, &meta[1]);
		}
		if (c->break_sum)
			frame[len - 1] ^= 1;
		pkt[1] = pkt_mbuf(pool, frame, len, 2000);
		/* Only the hash would tell them apart otherwise. */
		meta[1].hash = meta[0].hash;
		left = vif_gro(pkt, meta, 2, true, true);
		if (left != c->left)
			fail_msg("%s: %u packets left, %u expected", c->what, left, c->left);
		for (unsigned k = 0; k < left; k++)
			rte_pktmbuf_free(pkt[k]);
	}
}

static void gro_keeps_order_around_what_it_leaves_alone(void **state)
{
	/* Data, data, pure FIN, data: the last must not move in front of the FIN. */
	static const struct pkt_spec specs[] = {{.payload = 10}, {.payload = 10, .seq = 10},
	    {.tcp_flags = 0x11, .seq = 20}, {.payload = 10, .seq = 20}};
	struct rte_mbuf *pkt[4];
	struct ob_meta meta[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t len = pkt_build(&specs[i], frame, &meta[i]);

		pkt[i] = pkt_mbuf(pool, frame, len, 2000);
	}
	assert_int_equal(vif_gro(pkt, meta, 4, true, true), 3);
	assert_int_equal(pkt[0]->pkt_len, 54 + 20);
	pkt_flat(pkt[1], flat);
	assert_int_equal(flat[47], 0x11);
	assert_int_equal(pkt[2]->pkt_len, 54 + 10);
	rte_pktmbuf_free_bulk(pkt, 3);
}

static void gro_many_flows_interleaved(void **state)
{
	struct rte_mbuf *pkt[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
	uint32_t seen = 0;
	unsigned left;

	(void)state;
	/* More flows than there are slots: all bytes still arrive, in order in each flow. */
	for (unsigned i = 0; i < OB_BURST_MAX; i++) {
		struct pkt_spec s = {.host = (uint8_t)(i % 20), .payload = 50, .seq = i / 20 * 50};
		uint32_t len = pkt_build(&s, frame, &meta[i]);

		pkt[i] = pkt_mbuf(pool, frame, len, 2000);
	}
	left = vif_gro(pkt, meta, OB_BURST_MAX, true, true);
	assert_true(left < OB_BURST_MAX);
	for (unsigned host = 0; host < 20; host++) {
		uint32_t next = 0;

		for (unsigned i = 0; i < left; i++) {
			pkt_flat(pkt[i], flat);
			if (flat[29] != host)
				continue;
			assert_int_equal(pkt_get32(flat + 38), next);
			next += pkt[i]->pkt_len - 54;
		}
		seen += next;
	}
	assert_int_equal(seen, OB_BURST_MAX * 50);
	rte_pktmbuf_free_bulk(pkt, left);
}

static void gro_slot_of_a_finished_flow_is_taken(void **state)
{
	struct rte_mbuf *pkt[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
	unsigned n = 0, left;

	(void)state;
	/* 16 flows of two, the second with PSH, then one more: every slot is closed by then. */
	for (unsigned host = 0; host < 17; host++) {
		for (unsigned k = 0; k < 2; k++) {
			struct pkt_spec s = {.host = (uint8_t)host,
			    .payload = 50,
			    .seq = 50 * k,
			    .tcp_flags = k ? 0x18 : 0x10};
			uint32_t len = pkt_build(&s, frame, &meta[n]);

			pkt[n++] = pkt_mbuf(pool, frame, len, 2000);
		}
	}
	left = vif_gro(pkt, meta, n, true, true);
	assert_int_equal(left, 17);
	for (unsigned i = 0; i < left; i++) {
		assert_int_equal(pkt[i]->pkt_len, 154);
		assert_true(meta[i].flags & OB_PKT_GSO);
		pkt_flat(pkt[i], flat);
		assert_int_equal(pkt_get16(flat + 16), 140);
	}
	rte_pktmbuf_free_bulk(pkt, left);
}

static void gro_respects_what_the_guest_takes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct rte_mbuf *pkt[2];
		struct ob_meta meta[2];
		bool v6 = i & 1, tso4 = i & 2, tso6 = i & 4;
		unsigned left;

		for (unsigned k = 0; k < 2; k++) {
			struct pkt_spec s = {.v6 = v6, .payload = 10, .seq = 10 * k};
			uint32_t len = pkt_build(&s, frame, &meta[k]);

			pkt[k] = pkt_mbuf(pool, frame, len, 2000);
		}
		left = vif_gro(pkt, meta, 2, tso4, tso6);
		assert_int_equal(left, (v6 ? tso6 : tso4) ? 1 : 2);
		rte_pktmbuf_free_bulk(pkt, left);
	}
}

static void gro_stops_at_64k(void **state)
{
	struct rte_mbuf *pkt[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
	unsigned left;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct pkt_spec s = {.payload = 1448, .seq = i * 1448};
		uint32_t len = pkt_build(&s, frame, &meta[i]);

		pkt[i] = pkt_mbuf(pool, frame, len, 2000);
	}
	left = vif_gro(pkt, meta, 50, true, true);
	assert_int_equal(left, 2);
	for (unsigned i = 0; i < left; i++)
		assert_true(pkt[i]->pkt_len - 14 <= 65535);
	rte_pktmbuf_free_bulk(pkt, left);
}

static void gro_does_not_take_padding_for_data(void **state)
{
	struct pkt_spec s = {.payload = 2};
	struct rte_mbuf *pkt[2];
	struct ob_meta meta[2];
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		s.seq = 2 * i;
		len = pkt_build(&s, frame, &meta[i]);
		memset(frame + len, 0, 60 - len);
		pkt[i] = pkt_mbuf(pool, frame, 60, 2000);
	}
	assert_int_equal(vif_gro(pkt, meta, 2, true, true), 2);
	rte_pktmbuf_free_bulk(pkt, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(complete_csum_matches_oracle_over_any_chain, nothing_leaks),
	    cmocka_unit_test_teardown(complete_csum_of_an_inner_header, nothing_leaks),
	    cmocka_unit_test_teardown(complete_csum_never_writes_zero, nothing_leaks),
	    cmocka_unit_test_teardown(complete_csum_field_outside_is_einval, nothing_leaks),
	    cmocka_unit_test_teardown(l4_csum_ok_sees_each_flipped_bit, nothing_leaks),
	    cmocka_unit_test_teardown(l4_csum_ok_knows_udp_without_checksum, nothing_leaks),
	    cmocka_unit_test_teardown(l4_csum_ok_refuses_lying_lengths, nothing_leaks),
	    cmocka_unit_test_teardown(segments_match_oracle, nothing_leaks),
	    cmocka_unit_test_teardown(segment_refuses, nothing_leaks),
	    cmocka_unit_test_teardown(
		segment_without_buffers_is_enomem_and_leaves_all, nothing_leaks),
	    cmocka_unit_test_teardown(gro_undoes_segmentation, nothing_leaks),
	    cmocka_unit_test_teardown(gro_merges_only_what_nobody_can_tell_apart, nothing_leaks),
	    cmocka_unit_test_teardown(gro_keeps_order_around_what_it_leaves_alone, nothing_leaks),
	    cmocka_unit_test_teardown(gro_many_flows_interleaved, nothing_leaks),
	    cmocka_unit_test_teardown(gro_slot_of_a_finished_flow_is_taken, nothing_leaks),
	    cmocka_unit_test_teardown(gro_respects_what_the_guest_takes, nothing_leaks),
	    cmocka_unit_test_teardown(gro_stops_at_64k, nothing_leaks),
	    cmocka_unit_test_teardown(gro_does_not_take_padding_for_data, nothing_leaks),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
