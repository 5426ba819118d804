/* SPDX-License-Identifier: BSD-3-Clause */
/* To a guest, over real rings in shared memory, split and packed. */
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

static void rx_frame_arrives_in_mergeable_buffers_of_any_size(void **state)
{
	static const uint32_t sizes[] = {12, 13, 100, 1526, 4096, 66000};

	(void)state;
	for (unsigned i = 0; i < 2 * RTE_DIM(sizes); i++) {
		struct env *e = env_create(i & 1, 1, true);
		struct pkt_spec s = {.v6 = i & 2, .payload = 1000};
		struct virtio_net_hdr_v1_hash h;
		uint32_t size = sizes[i / 2], len;

		env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 512);
		env_post(e, 0, 100, size, i % 3 + 1);
		for (unsigned k = 0; k < (size < 100 ? 1 : 3); k++) {
			len = env_output(e, &s, 0, 0);
			env_round(e);
			assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
			assert_memory_equal(env_flat, env_frame, len);
			assert_int_equal(
			    rte_le_to_cpu_16(h.hdr.num_buffers), (12 + len + size - 1) / size);
			assert_int_equal(h.hdr.flags | h.hdr.gso_type, 0);
			assert_int_equal(env_irqs(e, 0), 1);
		}
		assert_int_equal(env_dropped_all(e), 0);
		env_destroy(e);
	}
}

#define RX_ALL                                                                                 \
	(F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4) | \
	    F(VIRTIO_NET_F_GUEST_TSO6))

/* More buffers in one delivery than the stock holds. */
static void rx_burst_of_many_small_buffers(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	unsigned n = 0;

	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 1024);
	env_post(e, 0, 700, 100, 1);
	for (unsigned i = 0; i < 60; i++)
		env_output(e,
		    &(struct pkt_spec){.udp = true, .payload = 1000, .sport = (uint16_t)(i + 1)}, 0,
		    0);
	assert_int_equal(env_irqs(e, 0), 0);
	env_round(e);
	assert_int_equal(env_irqs(e, 0), 1);
	while (env_receive(e, 0, 12, &h, env_flat) > 0) {
		pkt_build(
		    &(struct pkt_spec){.udp = true, .payload = 1000, .sport = (uint16_t)(++n)},
		    env_frame, &(struct ob_meta){0});
		assert_memory_equal(env_flat, env_frame, 1042);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.num_buffers), 11);
	}
	assert_int_equal(n, 60);
	assert_int_equal(env_dropped_all(e), 0);
	/* What was left over can be used. */
	env_output(e, &(struct pkt_spec){.payload = 10}, 0, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 64);
}

/* More segments in one delivery than there is room for: what is used up makes room. */
static void rx_burst_of_many_segments(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	unsigned n = 0;

	e->indirect = true;
	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 256);
	env_post(e, 0, 256, 300, 64);
	for (unsigned i = 0; i < 64; i++)
		env_output(e,
		    &(struct pkt_spec){.udp = true, .payload = 1000, .sport = (uint16_t)(i + 1)}, 0,
		    0);
	env_round(e);
	while (env_receive(e, 0, 12, &h, env_flat) > 0) {
		pkt_build(
		    &(struct pkt_spec){.udp = true, .payload = 1000, .sport = (uint16_t)(++n)},
		    env_frame, &(struct ob_meta){0});
		assert_memory_equal(env_flat, env_frame, 1042);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.num_buffers), 4);
	}
	assert_int_equal(n, 64);
	assert_int_equal(env_dropped_all(e), 0);
}

static void rx_packet_takes_a_bounded_number_of_buffers(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;

	env_start(e, RX_ALL, 1024);
	env_post(e, 0, 1000, 100, 1);
	env_output(e, &(struct pkt_spec){.payload = 60000, .partial = true}, OB_PKT_GSO, 1448);
	env_output(e, &(struct pkt_spec){.payload = 25000, .partial = true}, OB_PKT_GSO, 1448);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_TOO_LONG), 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 25054);
	assert_memory_equal(env_flat, env_frame, 25054);
}

static void rx_single_buffers_hold_the_whole_packet_or_none(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	uint32_t len;

	env_start(e, 0, 64);
	env_post(e, 0, 1, 12 + 54 + 1000, 7);
	/* One byte too long; the buffer stays for the next. */
	env_output(e, &(struct pkt_spec){.payload = 1001}, 0, 0);
	len = env_output(e, &(struct pkt_spec){.payload = 1000}, 0, 0);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_TOO_LONG), 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
	assert_memory_equal(env_flat, env_frame, len);
	assert_int_equal(rte_le_to_cpu_16(h.hdr.num_buffers), 1);
}

static void rx_full_ring_drops_and_counts(void **state)
{
	struct env *e = *state;
	struct ob_vif_queue_counters c;
	struct virtio_net_hdr_v1_hash h;

	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 64);
	env_post(e, 0, 2, 500, 1);
	for (unsigned i = 0; i < 3; i++)
		env_output(e, &(struct pkt_spec){.payload = 100, .sport = (uint16_t)(i + 1)}, 0, 0);
	/* Needs more than what is left of the ring. */
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_RING_FULL), 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
	assert_int_equal(pkt_get16(env_flat + 34), 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
	assert_int_equal(pkt_get16(env_flat + 34), 2);
	env_post(e, 0, 2, 100, 1);
	env_output(e, &(struct pkt_spec){.payload = 1000}, 0, 0);
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	env_round(e);
	/* The big one took nothing with it. */
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
	assert_int_equal(rte_le_to_cpu_16(h.hdr.num_buffers), 2);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_RING_FULL), 2);
	ob_vif_queue_counters(ob_vif_idx(e->vif), 0, &c);
	assert_int_equal(c.n_full, 2);
	assert_int_equal(c.n_pkts, 3);
	assert_int_equal(c.n_bytes, 3 * 154);
	assert_int_equal(c.n_bursts, 2);
}

static void rx_buffer_without_room_for_the_header_goes_back_empty(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	uint64_t cookie;
	uint32_t used;

	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 64);
	env_post(e, 0, 3, 11, 1);
	env_post(e, 0, 1, 1500, 1);
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	env_round(e);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &used), 1);
		assert_int_equal(used, 0);
	}
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
}

static void rx_bad_address_costs_the_packet_only(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	uint64_t cookie;
	uint32_t used;

	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 64);
	fake_ring_add(&e->ring[0], &(struct fake_sg){0x40, 2000}, 0, 1, 1);
	env_post(e, 0, 1, 2000, 1);
	env_output(e, &(struct pkt_spec){.payload = 100, .sport = 1}, 0, 0);
	env_output(e, &(struct pkt_spec){.payload = 100, .sport = 2}, 0, 0);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_MEMORY), 1);
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &used), 1);
	assert_int_equal(cookie, 1);
	assert_int_equal(used, 0);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
	assert_int_equal(pkt_get16(env_flat + 34), 2);
	assert_int_equal(ob_vif_poll_events(), 0);
}

static void rx_super_packet_passes_as_it_is(void **state)
{
	struct env *e = *state;

	env_start(e, RX_ALL, 256);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct pkt_spec s = {.v6 = v6, .payload = 60000, .partial = true, .opt_len = 12};
		struct virtio_net_hdr_v1_hash h;
		uint32_t len;

		env_post(e, 0, 50, 1526, 1);
		len = env_output(e, &s, OB_PKT_GSO, 1436);
		env_round(e);
		assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
		assert_memory_equal(env_flat, env_frame, len);
		assert_int_equal(h.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(
		    h.hdr.gso_type, v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.gso_size), 1436);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.hdr_len), v6 ? 86 : 66);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.csum_start), v6 ? 54 : 34);
		assert_int_equal(rte_le_to_cpu_16(h.hdr.csum_offset), 16);
		assert_int_equal(env_irqs(e, 0), 1);
	}
}

static void rx_super_packet_is_segmented_for_a_guest_that_takes_none(void **state)
{
	static const uint64_t features[] = {0, F(VIRTIO_NET_F_GUEST_CSUM),
	    F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO6), RX_ALL};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct env *e = env_create(i & 1, 1, true);
		/* The last guest takes super-packets, but not their CWR. */
		struct pkt_spec s = {.v6 = i & 1,
		    .payload = 10000,
		    .partial = true,
		    .tcp_flags = i / 2 == 3 ? 0x90 : 0x18,
		    .id = 7};
		struct virtio_net_hdr_v1_hash h;
		struct ob_meta meta;
		uint32_t len, done = 0;

		env_start(e, features[i / 2], 64);
		env_post(e, 0, 10, 1526, 2);
		pkt_build(&s, env_frame, &meta);
		env_output(e, &s, OB_PKT_GSO, 1400);
		env_round(e);
		assert_int_equal(env_irqs(e, 0), 1);
		for (unsigned k = 0; k < 8; k++) {
			uint32_t hdrs = meta.l2_len + meta.l3_len + 20u;

			len = env_receive(e, 0, 12, &h, env_flat);
			assert_int_equal(len, hdrs + (k < 7 ? 1400 : 200));
			assert_int_equal(h.hdr.flags | h.hdr.gso_type, 0);
			assert_true(pkt_sums_right(env_flat, len, &meta));
			assert_memory_equal(env_flat + hdrs, env_frame + hdrs + done, len - hdrs);
			done += len - hdrs;
		}
		assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 0);
		env_destroy(e);
	}
}

static void rx_super_packet_of_many_segments(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	struct ob_meta meta;
	unsigned n = 0;
	uint32_t len;

	env_start(e, 0, 256);
	env_post(e, 0, 200, 200, 1);
	pkt_build(&(struct pkt_spec){.payload = 10000, .partial = true}, env_frame, &meta);
	env_output(e, &(struct pkt_spec){.payload = 10000, .partial = true}, OB_PKT_GSO, 100);
	env_round(e);
	for (; (len = env_receive(e, 0, 12, &h, env_flat)) > 0; n++) {
		assert_int_equal(len, 154);
		assert_true(pkt_sums_right(env_flat, len, &meta));
		assert_int_equal(pkt_get32(env_flat + 38), 100 * n);
	}
	assert_int_equal(n, 100);
}

static void rx_what_cannot_be_segmented_or_completed_is_dropped(void **state)
{
	struct env *e = *state;
	struct ob_worker *w = ob_worker_get(0);
	struct pkt_spec s = {.payload = 5000, .partial = true};
	struct rte_mbuf *held[1024], *m;
	struct ob_meta meta;
	unsigned n = 0;
	uint32_t len;

	env_start(e, 0, 64);
	env_post(e, 0, 10, 2000, 1);
	/* No size; then a checksum field outside; then no buffers to cut it into. */
	env_output(e, &s, OB_PKT_GSO, 0);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_MALFORMED_L4), 1);
	len = pkt_build(&(struct pkt_spec){.payload = 10, .partial = true}, env_frame, &meta);
	m = pkt_mbuf(ob_worker_pool(w), env_frame, len, 2000);
	meta.out_vif = ob_vif_idx(e->vif);
	meta.csum_start = 1000;
	ob_vif_output(w, &m, &meta, 1);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_MALFORMED_L4), 2);
	env_output(e, &s, OB_PKT_GSO, 1000);
	while (n < 1024 && (held[n] = rte_pktmbuf_alloc(ob_worker_pool(w))) != NULL)
		n++;
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_NO_MBUF), 1);
	rte_pktmbuf_free_bulk(held, n);
	assert_int_equal(fake_ring_outstanding(&e->ring[0]), 10);
}

static void rx_super_packet_with_cwr_passes_with_the_ecn_bit(void **state)
{
	struct env *e = *state;
	struct pkt_spec s = {.payload = 10000, .partial = true, .tcp_flags = 0x90};
	struct virtio_net_hdr_v1_hash h;
	uint32_t len;

	env_start(e, RX_ALL | F(VIRTIO_NET_F_GUEST_ECN), 64);
	env_post(e, 0, 10, 1526, 1);
	len = env_output(e, &s, OB_PKT_GSO, 1400);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
	assert_int_equal(h.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
}

static void rx_partial_checksum_passes_or_is_completed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct env *e = env_create(i & 1, 1, true);
		struct pkt_spec s = {.v6 = i & 2, .udp = true, .payload = 333, .partial = true};
		struct virtio_net_hdr_v1_hash h;
		struct ob_meta meta;
		uint32_t len;
		bool takes = i & 4;

		env_start(e, takes ? F(VIRTIO_NET_F_GUEST_CSUM) : 0, 64);
		env_post(e, 0, 1, 1526, 1);
		pkt_build(&s, env_frame, &meta);
		len = env_output(e, &s, 0, 0);
		env_round(e);
		assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
		assert_int_equal(h.hdr.flags, takes ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		if (takes) {
			assert_memory_equal(env_flat, env_frame, len);
			assert_int_equal(rte_le_to_cpu_16(h.hdr.csum_start), meta.csum_start);
			assert_int_equal(rte_le_to_cpu_16(h.hdr.csum_offset), 6);
		} else {
			assert_true(pkt_sums_right(env_flat, len, &meta));
		}
		env_destroy(e);
	}
}

static void rx_verified_checksum_is_told(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;

	env_start(e, F(VIRTIO_NET_F_GUEST_CSUM), 64);
	env_post(e, 0, 1, 1526, 1);
	env_output(e, &(struct pkt_spec){.payload = 9}, OB_PKT_L4_CSUM_GOOD, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 63);
	assert_int_equal(h.hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
}

static void rx_segments_of_one_round_are_merged(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	struct ob_vif_queue_counters c;
	uint32_t len;

	env_start(e, RX_ALL, 64);
	env_post(e, 0, 20, 1526, 1);
	for (unsigned i = 0; i < 10; i++)
		env_output(e, &(struct pkt_spec){.payload = 1000, .seq = i * 1000}, 0, 0);
	env_round(e);
	len = env_receive(e, 0, 12, &h, env_flat);
	assert_int_equal(len, 54 + 10000);
	pkt_build(
	    &(struct pkt_spec){.payload = 10000, .partial = true}, env_frame, &(struct ob_meta){0});
	assert_memory_equal(env_flat, env_frame, len);
	assert_int_equal(h.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(rte_le_to_cpu_16(h.hdr.gso_size), 1000);
	assert_int_equal(h.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	ob_vif_queue_counters(ob_vif_idx(e->vif), 0, &c);
	assert_int_equal(c.n_gso, 1);
	assert_int_equal(c.n_pkts, 1);
}

static void rx_shared_buffer_is_not_written_to(void **state)
{
	struct env *e = *state;
	struct ob_worker *w = ob_worker_get(0);
	struct virtio_net_hdr_v1_hash h;
	struct ob_meta meta;
	uint32_t len = pkt_build(&(struct pkt_spec){.payload = 100}, env_frame, &meta);
	struct rte_mbuf *m = pkt_mbuf(ob_worker_pool(w), env_frame, len, 2000), *twice = m;

	env_start(e, 0, 64);
	env_post(e, 0, 2, 1526, 1);
	rte_mbuf_refcnt_update(m, 1);
	memset((uint8_t *)m->buf_addr + OB_HEADROOM - 20, 0x55, 20);
	meta.out_vif = ob_vif_idx(e->vif);
	ob_vif_output(w, &m, &meta, 1);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
	assert_memory_equal(env_flat, env_frame, len);
	assert_int_equal(rte_mbuf_refcnt_read(twice), 1);
	assert_int_equal(*((uint8_t *)twice->buf_addr + OB_HEADROOM - 1), 0x55);
	/* The last holder's header goes into the headroom. */
	ob_vif_output(w, &twice, &meta, 1);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), len);
	assert_memory_equal(env_flat, env_frame, len);
}

static void rx_hash_report(void **state)
{
	struct env *e = *state;
	struct ob_vif_steering s = {
	    .n_pairs = 1, .hash_report = true, .hash_types = OB_VIF_HASH_TYPES, .key_len = 40};
	struct virtio_net_hdr_v1_hash h;

	env_start(e, F(VIRTIO_NET_F_HASH_REPORT), 64);
	/* A key of one bit: the hash of these addresses is easily said. */
	s.key[0] = 0x80;
	assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
	env_post(e, 0, 2, 1526, 1);
	env_output(e, &(struct pkt_spec){.payload = 9, .v6 = true}, 0, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 20, &h, env_flat), 83);
	assert_memory_equal(env_flat, env_frame, 83);
	/* First address bit is set (fd..): window of the key at bit 0. */
	assert_int_equal(rte_le_to_cpu_32(h.hash_value), 0x80000000u);
	assert_int_equal(rte_le_to_cpu_16(h.hash_report), VIRTIO_NET_HASH_REPORT_TCPv6);
}

static void rx_nowhere_to_go_is_guest_down(void **state)
{
	struct env *e = *state;
	struct ob_worker *w = ob_worker_get(0);
	struct ob_meta meta;
	uint32_t len = pkt_build(&(struct pkt_spec){.payload = 100}, env_frame, &meta);
	struct rte_mbuf *m;

	/* No queue; then the link; then no such function, which nobody is blamed for. */
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 1);
	env_start(e, 0, 64);
	ob_vif_set_link(e->vif, false);
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 2);
	m = pkt_mbuf(ob_worker_pool(w), env_frame, len, 2000);
	meta.out_vif = 77;
	ob_vif_output(w, &m, &meta, 1);
	assert_int_equal(ob_drops_read(77, OB_DROP_GUEST_DOWN), 1);
	ob_drops_clear(77);
}

static void rx_filter_is_asked(void **state)
{
	struct env *e = *state;
	struct ob_vif_filter f = {.mac = {2, 0, 0, 0, 0, 9}};
	struct virtio_net_hdr_v1_hash h;

	env_start(e, 0, 64);
	env_post(e, 0, 2, 1526, 1);
	assert_int_equal(ob_vif_set_filter(e->vif, &f), 0);
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	env_round(e);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_FILTER), 1);
	f.mac[5] = 2;
	assert_int_equal(ob_vif_set_filter(e->vif, &f), 0);
	env_output(e, &(struct pkt_spec){.payload = 100}, 0, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 154);
	f.n_uni = OB_VIF_MAX_MACS + 1;
	assert_int_equal(ob_vif_set_filter(e->vif, &f), -EINVAL);
}

static void rx_a_full_edge_goes_out_at_once_and_nothing_waits_after_the_round(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;
	unsigned n = 0;

	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 256);
	env_post(e, 0, 150, 200, 1);
	for (unsigned i = 0; i < 150; i++)
		env_output(e,
		    &(struct pkt_spec){.udp = true, .payload = 10, .sport = (uint16_t)(i + 1)}, 0,
		    0);
	assert_true(env_irqs(e, 0) > 0);
	env_round(e);
	while (env_receive(e, 0, 12, &h, env_flat) > 0)
		assert_int_equal(pkt_get16(env_flat + 34), ++n);
	assert_int_equal(n, 150);
	assert_int_equal(env_dropped_all(e), 0);
}

#define BOTH(test)                                                    \
	{#test " (split)", test, setup_split, teardown, NULL},        \
	{                                                             \
#test " (packed)", test, setup_packed, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rx_frame_arrives_in_mergeable_buffers_of_any_size),
	    BOTH(rx_burst_of_many_small_buffers),
	    BOTH(rx_burst_of_many_segments),
	    BOTH(rx_packet_takes_a_bounded_number_of_buffers),
	    BOTH(rx_single_buffers_hold_the_whole_packet_or_none),
	    BOTH(rx_full_ring_drops_and_counts),
	    BOTH(rx_buffer_without_room_for_the_header_goes_back_empty),
	    BOTH(rx_bad_address_costs_the_packet_only),
	    BOTH(rx_super_packet_passes_as_it_is),
	    cmocka_unit_test(rx_super_packet_is_segmented_for_a_guest_that_takes_none),
	    BOTH(rx_super_packet_of_many_segments),
	    BOTH(rx_what_cannot_be_segmented_or_completed_is_dropped),
	    BOTH(rx_super_packet_with_cwr_passes_with_the_ecn_bit),
	    cmocka_unit_test(rx_partial_checksum_passes_or_is_completed),
	    BOTH(rx_verified_checksum_is_told),
	    BOTH(rx_segments_of_one_round_are_merged),
	    BOTH(rx_shared_buffer_is_not_written_to),
	    BOTH(rx_hash_report),
	    BOTH(rx_nowhere_to_go_is_guest_down),
	    BOTH(rx_filter_is_asked),
	    BOTH(rx_a_full_edge_goes_out_at_once_and_nothing_waits_after_the_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
