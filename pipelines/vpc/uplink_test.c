/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

#include <unistd.h>

#include <rte_ring.h>

static const char *const peers[2] = {"198.51.100.7", "2001:db8:9::7"};

static void tunnel_to_guest(void **state)
{
	struct test_pkt p, in;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		const struct test_out *o = &tv->guest[0];
		bool v6 = i & 2;

		vpc_clear();
		tp_udp_frame(&in, i & 4 ? mac_b : mac_a, mac_far, v6 ? "fd00::9" : "10.0.0.9",
		    v6 ? "fd00::5" : "10.0.0.5", 5, 6, 33);
		vpc_outer(&p, i & 1 ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, peers[i & 1], 100, &in);
		vpc_from_wire(&p, i & 4 ? 40 : 0);
		assert_int_equal(tv->n_guest, 1);
		assert_int_equal(o->pkt.len, in.len);
		assert_memory_equal(o->pkt.b, in.b, in.len);
		assert_int_equal(o->meta.out_vif, i & 4 ? GUEST_B : GUEST_A);
		assert_int_equal(o->meta.in_vif, OB_VIF_NONE);
		assert_int_equal(o->meta.l2_len, 14);
		assert_int_equal(o->meta.l3_len, v6 ? 40 : 20);
		assert_int_equal(o->meta.l4_len, 8);
	}
}

static void dropped(const struct test_pkt *in, const char *peer, uint32_t vni, enum ob_drop why)
{
	uint64_t before = vpc_drops(OB_VIF_NONE, why);
	struct test_pkt p;

	vpc_clear();
	vpc_outer(&p, strchr(peer, ':') ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, peer, vni, in);
	vpc_from_wire(&p, 0);
	assert_int_equal(tv->n_guest + tv->n_wire, 0);
	assert_int_equal(vpc_drops(OB_VIF_NONE, why), before + 1);
}

static void every_reason_of_the_wires_side(void **state)
{
	struct test_pkt in, q;

	(void)state;
	tp_udp_frame(&in, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 5, 6, 33);
	dropped(&in, "198.51.100.8", 100, OB_DROP_TUNNEL_UNKNOWN);
	dropped(&in, peers[0], 101, OB_DROP_VNI_UNKNOWN);
	dropped(&in, peers[0], 200, OB_DROP_NO_INNER_ENI); /* A is not in that VNET */
	q = in;
	memcpy(q.b, mac_bcast, 6);
	dropped(&q, peers[1], 100, OB_DROP_MULTICAST);
	q = in;
	q.b[24] ^= 1;
	dropped(&q, peers[0], 100, OB_DROP_IP4_CHECKSUM);
	q = in;
	tp_put16(&q, 16, 2000);
	dropped(&q, peers[0], 100, OB_DROP_MALFORMED_L3);
	q = in;
	tp_put16(&q, 12, 0x88cc);
	dropped(&q, peers[0], 100, OB_DROP_ETHERTYPE);
	vpc_outer(&q, OB_ENCAP_GENEVE, peers[1], 100, &in);
	dropped(&q, peers[0], 100, OB_DROP_NESTED_TUNNEL);
}

static void every_truncation_is_counted_or_the_kernels(void **state)
{
	struct test_pkt in, p;

	(void)state;
	tp_udp_frame(&in, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 5, 6, 33);
	for (unsigned i = 0; i < 2; i++) {
		vpc_outer(&p, i ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN, peers[i], 100, &in);
		for (unsigned len = p.len; len-- > 1;) {
			struct rte_mbuf *m = NULL;
			uint64_t sum = 0;

			vpc_clear();
			p.len = len;
			for (unsigned r = 0; r < OB_N_DROPS; r++)
				sum -= vpc_drops(OB_VIF_NONE, r);
			vpc_from_wire(&p, len % 3 ? 0 : 17);
			for (unsigned r = 0; r < OB_N_DROPS; r++)
				sum += vpc_drops(OB_VIF_NONE, r);
			assert_int_equal(tv->n_guest, 0);
			if (rte_ring_dequeue(tv->punt, (void **)&m) == 0) {
				assert_true(len < 60);
				rte_pktmbuf_free(m);
				sum++;
			}
			assert_int_equal(sum, 1);
		}
	}
}

static void the_rest_is_the_kernels(void **state)
{
	struct ob_uplink_counters n;
	struct rte_mbuf *m = NULL;
	struct test_pkt p;
	uint64_t events = 0;

	(void)state;
	if (read(tv->punt_fd, &events, sizeof(events)) < 0)
		events = 0;
	tp_udp_frame(&p, mac_card, mac_peer, "198.51.100.7", "192.0.2.1", 53, 33000, 100);
	vpc_from_wire(&p, 0);
	assert_int_equal(read(tv->punt_fd, &events, sizeof(events)), sizeof(events));
	assert_int_equal(rte_ring_dequeue(tv->punt, (void **)&m), 0);
	assert_int_equal(rte_pktmbuf_pkt_len(m), p.len);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), p.b, p.len);
	/* And what the kernel sends goes out as it is. */
	vpc_clear();
	assert_int_equal(rte_ring_enqueue(tv->inject, m), 0);
	tp_udp_frame(&p, mac_card, mac_peer, "198.51.100.7", "192.0.2.1", 53, 33000, 100);
	vpc_from_wire(&p, 0);
	assert_int_equal(tv->n_wire, 1);
	assert_memory_equal(tv->wire[0].b, p.b, p.len);
	assert_int_equal(rte_ring_dequeue(tv->punt, (void **)&m), 0);
	rte_pktmbuf_free(m);
	ob_uplink_counters(&n);
	assert_true(n.punted >= 2 && n.injected >= 1 && n.rx_pkts >= 2 && n.tx_pkts >= 1);
	assert_true(n.rx_bytes >= 2u * p.len && n.tx_bytes >= p.len);
}

static void full_punt_ring_is_counted(void **state)
{
	struct rte_mbuf *m;
	struct test_pkt p;

	(void)state;
	tp_udp_frame(&p, mac_card, mac_peer, "198.51.100.7", "192.0.2.1", 53, 33000, 10);
	for (unsigned i = 0; i < 300; i++)
		vpc_from_wire(&p, 0);
	assert_int_equal(vpc_drops(OB_VIF_NONE, OB_DROP_PUNT_FULL), 300 - 255);
	while (rte_ring_dequeue(tv->punt, (void **)&m) == 0)
		rte_pktmbuf_free(m);
}

static void second_uplink_is_refused(void **state)
{
	struct ob_uplink_conf up = {
	    .port_id = tv->port, .n_rxq = 1, .n_txq = 1, .punt_event_fd = -1};

	(void)state;
	assert_int_equal(ob_uplink_attach(&up), -EBUSY);
}

static void tunnel_counters_count_inner_frames(void **state)
{
	struct ob_tunnel_counters n;
	struct test_pkt p, in;

	(void)state;
	tp_udp_frame(&in, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 5, 6, 33);
	vpc_outer(&p, OB_ENCAP_VXLAN, peers[0], 100, &in);
	vpc_from_wire(&p, 0);
	tp_udp_frame(&p, mac_far, mac_a, "10.0.0.5", "10.0.0.9", 5, 6, 44);
	vpc_from_guest(GUEST_A, &p);
	ob_tunnel_counters(0, &n);
	assert_int_equal(n.rx_pkts, 1);
	assert_int_equal(n.rx_bytes, in.len);
	assert_int_equal(n.tx_pkts, 1);
	assert_int_equal(n.tx_bytes, p.len);
}

int uplink_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(tunnel_to_guest),
	    T(every_reason_of_the_wires_side),
	    T(every_truncation_is_counted_or_the_kernels),
	    T(the_rest_is_the_kernels),
	    T(full_punt_ring_is_counted),
	    T(second_uplink_is_refused),
	    T(tunnel_counters_count_inner_frames),
	};

	return cmocka_run_group_tests_name("uplink", tests, NULL, NULL);
}
