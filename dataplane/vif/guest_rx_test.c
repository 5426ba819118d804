/* SPDX-License-Identifier: BSD-3-Clause */
/* From a guest, over real rings in shared memory, split and packed. */
#include "fake_vif.h"

static int setup_split(void **state)
{
	*state = env_create(false, 1, true);
	return 0;
}

static int setup_packed(void **state)
{
	*state = env_create(true, 1, true);
	return 0;
}

static int teardown(void **state)
{
	env_destroy(*state);
	return 0;
}

static const struct virtio_net_hdr_v1 plain;

static void tx_frame_arrives_whole_and_named(void **state)
{
	static const uint32_t cuts[] = {0, 1, 11, 12, 13, 40, 66};
	struct env *e = *state;

	env_start(e, 0, 64);
	for (unsigned i = 0; i < RTE_DIM(cuts); i++) {
		struct pkt_spec s = {.v6 = i & 1, .payload = i * 200};
		struct ob_meta meta;
		uint32_t len = pkt_build(&s, env_frame, &meta);
		uint64_t cookie;
		uint32_t used;

		env_send(e, &plain, env_frame, len, cuts[i]);
		env_round(e);
		assert_int_equal(e->n_in, 1);
		assert_int_equal(e->in[0]->pkt_len, len);
		assert_int_equal(pkt_flat(e->in[0], env_flat), len);
		assert_memory_equal(env_flat, env_frame, len);
		assert_int_equal(rte_pktmbuf_headroom(e->in[0]), OB_HEADROOM);
		assert_int_equal(e->in_meta[0].in_vif, ob_vif_idx(e->vif));
		assert_int_equal(e->in_meta[0].out_vif, OB_VIF_NONE);
		assert_int_equal(e->in_meta[0].flags, 0);
		assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &used), 1);
		assert_int_equal(used, 0);
		env_drop_in(e);
	}
	assert_int_equal(env_dropped_all(e), 0);
}

static void expect_buffers_back(struct env *e)
{
	uint64_t cookie;
	uint32_t used;

	assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &used), 1);
}

static void tx_buffers_go_back_before_the_work_in_one_interrupt(void **state)
{
	struct env *e = *state;
	struct ob_vif_queue_counters c;

	env_start(e, 0, 64);
	memset(env_frame, 0, 60);
	for (unsigned i = 0; i < 20; i++)
		env_send(e, &plain, env_frame, 60, 0);
	e->on_input = expect_buffers_back;
	env_round(e);
	assert_int_equal(e->n_in, 20);
	assert_int_equal(env_irqs(e, 1), 1);
	assert_int_equal(ob_vif_queue_counters(ob_vif_idx(e->vif), 1, &c), 0);
	assert_int_equal(c.n_pkts, 20);
	assert_int_equal(c.n_bytes, 20 * 60);
	assert_int_equal(c.n_bursts, 1);
	assert_int_equal(c.n_irqs, 1);
	/* Not asked for: none. */
	fake_ring_want_interrupt(&e->ring[1], false);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(env_irqs(e, 1), 0);
}

#define CSUM  F(VIRTIO_NET_F_CSUM)
#define TSO   (CSUM | F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_HOST_TSO6))
#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4  VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6  VIRTIO_NET_HDR_GSO_TCPV6
#define ECN   VIRTIO_NET_HDR_GSO_ECN
#define PART  OB_PKT_L4_CSUM_PARTIAL
#define GSO   OB_PKT_GSO

struct hdr_case {
	const char *what;
	uint64_t features;
	struct virtio_net_hdr_v1 h;
	struct pkt_spec s;
	unsigned at; /* byte of the frame to overwrite, 0: none */
	uint8_t byte;
	bool taken;
	uint16_t flags;
};

/* A plain IPv4 frame here has its TCP header at 34 and is 54 bytes and payload long; IPv6: 54 and 74. */
static const struct hdr_case hdr_cases[] = {
    {.what = "unknown flags are ignored", .h = {.flags = 0xf8, .hdr_len = 0xffff}, .taken = true},
    {.what = "data valid is ignored", .h = {.flags = VIRTIO_NET_HDR_F_DATA_VALID}, .taken = true},
    {.what = "csum",
	.features = CSUM,
	.h = {.flags = NEEDS, .csum_start = 34, .csum_offset = 16},
	.taken = true,
	.flags = PART},
    {.what = "csum not negotiated", .h = {.flags = NEEDS, .csum_start = 34, .csum_offset = 16}},
    {.what = "csum field at the very end",
	.features = CSUM,
	.h = {.flags = NEEDS, .csum_start = 34, .csum_offset = 118},
	.s.payload = 100,
	.taken = true,
	.flags = PART},
    {.what = "csum field half outside",
	.features = CSUM,
	.h = {.flags = NEEDS, .csum_start = 34, .csum_offset = 119},
	.s.payload = 100},
    {.what = "csum far outside",
	.features = CSUM,
	.h = {.flags = NEEDS, .csum_start = 0xffff, .csum_offset = 0xffff}},
    {.what = "csum in the ethernet header",
	.features = CSUM,
	.h = {.flags = NEEDS, .csum_start = 13, .csum_offset = 16}},
    {.what = "tso4",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.taken = true,
	.flags = PART | GSO},
    {.what = "tso6",
	.features = TSO,
	.h = {NEEDS, TCP6, 0, 1000, {{54, 16}}, 0},
	.s = {.v6 = true, .payload = 3000},
	.taken = true,
	.flags = PART | GSO},
    {.what = "tso4 tagged",
	.features = TSO,
	.h = {NEEDS, TCP4, 0, 1000, {{38, 16}}, 0},
	.s = {.vlan = true, .payload = 3000},
	.taken = true,
	.flags = PART | GSO},
    {.what = "tso of one segment is none",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 1000,
	.taken = true,
	.flags = PART},
    {.what = "tso4 not negotiated",
	.features = CSUM,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso6 not negotiated",
	.features = CSUM | F(VIRTIO_NET_F_HOST_TSO4),
	.h = {NEEDS, TCP6, 0, 1000, {{54, 16}}, 0},
	.s = {.v6 = true, .payload = 3000}},
    {.what = "tso without csum negotiated",
	.features = F(VIRTIO_NET_F_HOST_TSO4),
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso without needs csum",
	.features = TSO,
	.h = {0, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso with udp's offset",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 6}}, 0},
	.s.payload = 3000},
    {.what = "tso of size 0",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 0, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso of too many segments",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 10, {{34, 16}}, 0},
	.s.payload = 2561},
    {.what = "tso of the most segments",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 10, {{34, 16}}, 0},
	.s.payload = 2560,
	.taken = true,
	.flags = PART | GSO},
    {.what = "tso without data", .features = TSO, .h = {NEEDS, TCP4, 54, 10, {{34, 16}}, 0}},
    {.what = "tso4 of ipv6",
	.features = TSO,
	.h = {NEEDS, TCP4, 0, 1000, {{54, 16}}, 0},
	.s = {.v6 = true, .payload = 3000}},
    {.what = "tso6 of ipv4",
	.features = TSO,
	.h = {NEEDS, TCP6, 0, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso of udp",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s = {.udp = true, .payload = 3000}},
    {.what = "tso6 of udp",
	.features = TSO,
	.h = {NEEDS, TCP6, 54, 1000, {{54, 16}}, 0},
	.s = {.udp = true, .v6 = true, .payload = 3000}},
    {.what = "tso of a fragment",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.at = 20,
	.byte = 0x20},
    {.what = "tso of a later fragment",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.at = 21,
	.byte = 1},
    {.what = "tso with another csum start",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{36, 16}}, 0},
	.s.payload = 3000},
    {.what = "tso with a short total length",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.at = 17,
	.byte = 0x01},
    {.what = "tso with a short tcp header",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.at = 46,
	.byte = 0x40},
    {.what = "tso with a long tcp header",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 10, {{34, 16}}, 0},
	.s.payload = 30,
	.at = 46,
	.byte = 0xf0},
    {.what = "tso4 of version 5",
	.features = TSO,
	.h = {NEEDS, TCP4, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.at = 14,
	.byte = 0x55},
    {.what = "tso with csum start beyond the first buffer",
	.features = TSO,
	.h = {NEEDS, TCP6, 0, 1000, {{2500, 16}}, 0},
	.s = {.v6 = true, .payload = 3000}},
    {.what = "ecn not negotiated",
	.features = TSO,
	.h = {NEEDS, TCP4 | ECN, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "ecn",
	.features = TSO | F(VIRTIO_NET_F_HOST_ECN),
	.h = {NEEDS, TCP4 | ECN, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000,
	.taken = true,
	.flags = PART | GSO},
    {.what = "ecn alone",
	.features = TSO | F(VIRTIO_NET_F_HOST_ECN),
	.h = {NEEDS, ECN, 54, 1000, {{34, 16}}, 0},
	.s.payload = 3000},
    {.what = "ufo",
	.features = TSO,
	.h = {NEEDS, VIRTIO_NET_HDR_GSO_UDP, 0, 1000, {{34, 6}}, 0},
	.s = {.udp = true, .payload = 3000}},
    {.what = "uso",
	.features = TSO,
	.h = {NEEDS, 5, 0, 1000, {{34, 6}}, 0},
	.s = {.udp = true, .payload = 3000}},
};

static void tx_header_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(hdr_cases); i++) {
		const struct hdr_case *c = &hdr_cases[i];
		struct env *e = env_create(i & 1, 1, true);
		struct virtio_net_hdr_v1 h = c->h;
		struct ob_meta meta;
		uint32_t len = pkt_build(&c->s, env_frame, &meta);
		uint64_t cookie;

		if (c->at > 0)
			env_frame[c->at] = c->byte;
		env_start(e, c->features, 16);
		env_send(e, &h, env_frame, len, 0);
		env_round(e);
		if (e->n_in != (c->taken ? 1 : 0) || (c->taken && e->in_meta[0].flags != c->flags))
			fail_msg("%s: %u packets, flags %x", c->what, e->n_in, e->in_meta[0].flags);
		assert_int_equal(env_dropped(e, OB_DROP_VNET_HDR), !c->taken);
		assert_int_equal(env_dropped_all(e), !c->taken);
		if (c->flags & GSO)
			assert_int_equal(e->in[0]->tso_segsz, c->h.gso_size);
		if (c->flags & PART) {
			assert_int_equal(e->in_meta[0].csum_start, c->h.csum_start);
			assert_int_equal(e->in_meta[0].csum_offset, c->h.csum_offset);
		}
		/* The buffer goes back either way, and the queue lives. */
		assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &len), 1);
		assert_int_equal(ob_vif_poll_events(), 0);
		env_destroy(e);
	}
}

static void tx_lengths(void **state)
{
	static const struct {
		uint32_t len;
		bool taken;
	} cases[] = {{0, false}, {1, false}, {13, false}, {14, true}, {65535 + 22, true},
	    {65535 + 23, false}};
	struct env *e = *state;
	uint64_t at;

	env_start(e, 0, 64);
	for (unsigned i = 0; i < PKT_MAX; i++)
		env_frame[i] = (uint8_t)(i * 31);
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		env_send(e, &plain, env_frame, cases[i].len, 0);
		env_round(e);
		assert_int_equal(e->n_in, cases[i].taken);
		if (cases[i].taken) {
			assert_int_equal(pkt_flat(e->in[0], env_flat), cases[i].len);
			assert_memory_equal(env_flat, env_frame, cases[i].len);
			assert_int_equal(e->in[0]->pkt_len, cases[i].len);
			assert_true(e->in[0]->data_len >= RTE_MIN(256u, cases[i].len));
			rte_mbuf_sanity_check(e->in[0], 1);
		}
		env_drop_in(e);
	}
	/* Less than a header, and nothing readable at all. */
	at = fake_guest_alloc(&e->g, 64, 1);
	fake_ring_add(&e->ring[1], &(struct fake_sg){at, 11}, 1, 0, 1);
	fake_ring_add(&e->ring[1], &(struct fake_sg){at, 64}, 0, 1, 2);
	env_round(e);
	assert_int_equal(e->n_in, 0);
	assert_int_equal(env_dropped(e, OB_DROP_VNET_HDR), 6);
	assert_int_equal(ob_vif_poll_events(), 0);
}

static void tx_bad_address_costs_the_packet_only(void **state)
{
	struct env *e = *state;
	uint64_t good = fake_guest_alloc(&e->g, 128, 1), cookie;
	struct fake_sg sg[2] = {{good, 60}, {0x40, 100}};
	uint32_t used;

	env_start(e, 0, 64);
	fake_ring_add(&e->ring[1], sg, 2, 0, 1);
	fake_ring_add(&e->ring[1], &(struct fake_sg){e->g.iova + e->g.len - 20, 100}, 1, 0, 2);
	fake_ring_add(&e->ring[1], &(struct fake_sg){good, 100}, 1, 0, 3);
	env_round(e);
	assert_int_equal(e->n_in, 1);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_MEMORY), 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &used), 1);
	assert_int_equal(ob_vif_poll_events(), 0);
}

static void tx_without_mbufs_drops_and_goes_on(void **state)
{
	struct env *e = *state;
	struct rte_mempool *pool = ob_worker_pool(ob_worker_get(0));
	struct rte_mbuf *held[1024];
	unsigned n = 0;

	env_start(e, 0, 64);
	while (n < 1024 && (held[n] = rte_pktmbuf_alloc(pool)) != NULL)
		n++;
	memset(env_frame, 0, 4000);
	/* Three left: two small packets, then one that would need two. */
	for (unsigned i = 0; i < 3; i++)
		rte_pktmbuf_free(held[--n]);
	env_send(e, &plain, env_frame, 60, 0);
	env_send(e, &plain, env_frame, 60, 0);
	env_send(e, &plain, env_frame, 4000, 0);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(e->n_in + env_dropped(e, OB_DROP_NO_MBUF), 4);
	assert_in_range(env_dropped(e, OB_DROP_NO_MBUF), 1, 2);
	assert_int_equal(fake_ring_outstanding(&e->ring[1]), 4);
	rte_pktmbuf_free_bulk(held, n);
	env_drop_in(e);
	env_send(e, &plain, env_frame, 4000, 0);
	env_round(e);
	assert_int_equal(e->n_in, 1);
}

static void tx_one_poll_takes_a_bounded_number_of_bytes(void **state)
{
	struct env *e = *state;
	uint64_t at = fake_guest_alloc(&e->g, 65000, 1);
	unsigned rounds = 0, seen = 0;

	env_start(e, 0, 64);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(
		    fake_ring_add(&e->ring[1], &(struct fake_sg){at, 65000}, 1, 0, i), 0);
	while (seen < 20) {
		env_round(e);
		assert_in_range(e->n_in, 1, VIF_POLL_BYTES / 65000);
		seen += e->n_in;
		env_drop_in(e);
		assert_in_range(++rounds, 1, 3);
	}
}

static void tx_with_link_down_goes_nowhere(void **state)
{
	struct env *e = *state;
	uint64_t cookie;
	uint32_t used;

	env_start(e, 0, 64);
	ob_vif_set_link(e->vif, false);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(e->n_in, 0);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 1);
	assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &used), 1);
	ob_vif_set_link(e->vif, true);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(e->n_in, 1);
}

#define BOTH(test)                                                    \
	{#test " (split)", test, setup_split, teardown, NULL},        \
	{                                                             \
#test " (packed)", test, setup_packed, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(tx_frame_arrives_whole_and_named),
	    BOTH(tx_buffers_go_back_before_the_work_in_one_interrupt),
	    cmocka_unit_test(tx_header_rules),
	    BOTH(tx_lengths),
	    BOTH(tx_bad_address_costs_the_packet_only),
	    BOTH(tx_without_mbufs_drops_and_goes_on),
	    BOTH(tx_one_poll_takes_a_bounded_number_of_bytes),
	    BOTH(tx_with_link_down_goes_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
