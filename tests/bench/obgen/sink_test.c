/* SPDX-License-Identifier: BSD-3-Clause */
/* What net_obgen's sink finds, how it keeps time, and its life as a device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_bus_vdev.h>

#include "test_obgen.h"

#define WINDOW "warm=0.02,measure=0.04"

/* ---- the sink ------------------------------------------------------------------------------------------------------ */

struct wrong {
	const char *error;
	bool toward_wire;
	unsigned at; /* the byte of which these bits are flipped */
	uint8_t flip;
	bool sum; /* make the outer header's checksum right again */
};

static void spoil(struct pair *p, struct rte_mbuf *m, bool from_guest)
{
	const struct wrong *w = p->arg;

	struct test_pkt t;

	if (w == NULL || w->toward_wire != from_guest)
		return;
	rte_pktmbuf_mtod(m, uint8_t *)[w->at] ^= w->flip;
	if (w->sum) {
		t.len = m->pkt_len;
		memcpy(t.b, rte_pktmbuf_mtod(m, uint8_t *), t.len);
		tp_ip_end(&t, 14);
		memcpy(rte_pktmbuf_mtod(m, uint8_t *), t.b, t.len);
	}
}

static void broken_packets_are_told_by_what_is_wrong(void **state)
{
	/* Outer: Ethernet 0, IPv4 14, UDP 34, VXLAN 42; inner Ethernet 50, IPv4 64, UDP 84, payload 92. */
	static const struct wrong all[] = {
	    {"outer_eth", true, 0, 0x66, false},
	    {"outer_ip", true, 14, 3, false},
	    {"outer_ip", true, 17, 0xff, false},
	    {"outer_ip", true, 26, 9, true},
	    {"outer_ip", true, 33, 9, true},
	    {"outer_sum", true, 24, 0x77, false},
	    {"outer_udp", true, 39, 1, false},
	    {"form", true, 37, 0x11, false},
	    {"tunnel", true, 42, 8, false},
	    {"tunnel", true, 48, 9, false},
	    {"inner_eth", true, 63, 9, false},
	    {"inner_ip", true, 64, 0x10, false},
	    {"inner_ip", true, 67, 0xff, false},
	    {"inner_ip", true, 72, 0x43, false},
	    {"inner_sum", true, 75, 0xaa, false},
	    {"l4", true, 89, 1, false},
	    {"l4_sum", true, 108, 1, false},
	    /* Plain: Ethernet 0, IPv4 14, UDP 34, payload 42. */
	    {"inner_eth", false, 5, 9, false},
	    {"inner_ip", false, 22, 0x43, false},
	    {"inner_sum", false, 24, 0x77, false},
	    {"l4_sum", false, 40, 0x77, false},
	};
	struct pair p;

	(void)state;
	pair_up(&p, "flows=10,warm=0,measure=0", 1);
	p.spoil = spoil;
	pair_until(&p, "measure");
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	for (unsigned i = 0; i < RTE_DIM(all); i++) {
		uint16_t port = all[i].toward_wire ? p.wire : p.guest;
		uint64_t before = pair_errors(port), n;
		struct rte_eth_stats s;
		char name[64];

		snprintf(name, sizeof(name), "obgen_error_%s", all[i].error);
		n = pair_xstat(port, name);
		rte_eth_stats_reset(port);
		p.arg = (void *)(uintptr_t)&all[i];
		while (pair_round(&p) == 0)
			;
		p.arg = NULL;
		rte_eth_stats_get(port, &s);
		if (pair_xstat(port, name) - n != s.opackets ||
		    pair_errors(port) - before != s.opackets)
			fail_msg("case %u: not all of %lu are counted as %s", i, s.opackets,
			    all[i].error);
	}
	pair_down(&p);
}

static void a_connection_that_there_is_not_is_an_error(void **state)
{
	struct rte_mbuf *m[4];
	struct pair p;
	uint8_t *b;

	(void)state;
	pair_up(&p, "flows=10,warm=0,measure=0", 1);
	pair_until(&p, "measure");
	/* The guest's own packet comes back to it as it was sent. */
	assert_int_equal(4, rte_eth_rx_burst(p.guest, 0, m, 4));
	for (unsigned i = 0; i < 4; i++) {
		b = rte_pktmbuf_mtod(m[i], uint8_t *);
		memcpy(b, b + 6, 6);
	}
	assert_int_equal(4, rte_eth_tx_burst(p.guest, 0, m, 4));
	assert_int_equal(4, pair_xstat(p.guest, "obgen_error_tuple"));
	/* Cut short, and in two pieces. */
	assert_int_equal(2, rte_eth_rx_burst(p.wire, 0, m, 2));
	rte_pktmbuf_adj(m[0], OUTER);
	rte_pktmbuf_trim(m[0], 40);
	rte_pktmbuf_adj(m[1], OUTER);
	m[2] = rte_pktmbuf_alloc(p.mp);
	memcpy(rte_pktmbuf_append(m[2], 34), rte_pktmbuf_mtod_offset(m[1], uint8_t *, 30), 34);
	rte_pktmbuf_trim(m[1], 34);
	assert_int_equal(0, rte_pktmbuf_chain(m[1], m[2]));
	assert_int_equal(2, rte_eth_tx_burst(p.guest, 0, m, 2));
	assert_int_equal(1, pair_xstat(p.guest, "obgen_error_outer_ip"));
	assert_int_equal(5, pair_errors(p.guest));
	pair_down(&p);
}

static void a_connection_may_use_a_tunnels_port(void **state)
{
	struct pair p;

	(void)state;
	/* Source ports 4789 and 6081 are among them: replies go there. */
	pair_up(&p, "flows=5100,peers=1," WINDOW, 1);
	pair_until(&p, "done");
	assert_int_equal(5100, pair_report(&p, "open.opened"));
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	pair_down(&p);
}

static void arp_for_the_tunnels_end_is_answered(void **state)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, me[6] = {2, 1, 1, 1, 1, 1},
			     far_mac[6] = {2, 0x0b, 0, 0, 0xff, 2};
	struct test_pkt a = {0};
	struct rte_mbuf *m;
	const uint8_t *b;
	struct pair p;

	(void)state;
	pair_up(&p, "flows=10,go=/nonexistent/go", 1);
	tp_eth(&a, all, me, 0x0806);
	tp_u32(&a, 0x00010800);
	tp_u32(&a, 0x06040001);
	tp_bytes(&a, me, 6);
	tp_u32(&a, 0xc0000201);
	tp_bytes(&a, "\0\0\0\0\0\0", 6);
	tp_u32(&a, 0xc0000202);
	m = rte_pktmbuf_alloc(p.mp);
	memcpy(rte_pktmbuf_append(m, 42), a.b, 42);
	assert_int_equal(1, rte_eth_tx_burst(p.wire, 0, &m, 1));
	assert_int_equal(1, rte_eth_rx_burst(p.wire, 0, &m, 1));
	b = rte_pktmbuf_mtod(m, const uint8_t *);
	assert_memory_equal(b, me, 6);
	assert_memory_equal(b + 6, far_mac, 6);
	assert_int_equal(2, tp_get16(b + 20));
	assert_memory_equal(b + 22, far_mac, 6);
	assert_int_equal(0xc0000202, tp_get32(b + 28));
	assert_memory_equal(b + 32, me, 6);
	rte_pktmbuf_free(m);
	assert_int_equal(0, rte_eth_rx_burst(p.wire, 0, &m, 1));
	pair_down(&p);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

static void latency_counts_from_when_a_packet_was_due(void **state)
{
	struct pair p;

	(void)state;
	pair_up(&p, "mode=latency,rate=20000,flows=10,warm=0.05,measure=0.3", 1);
	pair_until(&p, "measure");
	/* Nobody polls: at most 256 wait in the queue, the others are missed, and those that waited are old. */
	usleep(50000);
	pair_until(&p, "done");
	assert_true(pair_report(&p, "windows.0.missed") > 2 * 500);
	assert_true(pair_report(&p, "windows.0.latency_ns.max") > 10e6);
	assert_true(pair_report(&p, "windows.0.latency_ns.count") > 1000);
	assert_true(pair_report(&p, "windows.0.latency_ns.p50") <
		    pair_report(&p, "windows.0.latency_ns.max"));
	/* Two ports at 20,000 a second; what was missed is no more to come. */
	assert_true(pair_report(&p, "windows.0.emitted") + pair_report(&p, "windows.0.missed") <
		    45000 * pair_report(&p, "windows.0.seconds") + 600);
	pair_down(&p);
}

static void packets_flow_while_the_go_file_is_there(void **state)
{
	char args[256];
	struct pair p;
	FILE *f;

	(void)state;
	snprintf(
	    args, sizeof(args), "flows=10,windows=2,go=/tmp/obgen-test-%d.go," WINDOW, getpid());
	pair_up(&p, args, 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(0, pair_round(&p));
	for (unsigned run = 1; run <= 2; run++) {
		f = fopen(p.go, "w");
		assert_non_null(f);
		fclose(f);
		do
			pair_until(&p, "done");
		while (pair_report(&p, "run") < run);
		assert_true(pair_report(&p, "windows.1.emitted") > 0);
		assert_int_equal(0, pair_round(&p));
		unlink(p.go);
		while (!pair_is(&p, "wait"))
			usleep(500);
	}
	pair_down(&p);
}

static void ports_can_be_stopped_and_set_up_anew(void **state)
{
	struct rte_eth_conf conf = {0};
	struct rte_mbuf *m[4];
	struct pair p;

	(void)state;
	pair_up(&p, "flows=100,proto=tcp,warm=0,measure=0", 1);
	pair_until(&p, "measure");
	rte_eth_dev_stop(p.guest);
	assert_int_equal(0, rte_eth_rx_burst(p.wire, 0, m, 4));
	/* It comes back with two queues, and connections begin anew. */
	rte_eth_dev_stop(p.wire);
	assert_int_equal(-EINVAL, rte_eth_dev_configure(p.guest, 20, 1, &conf));
	p.n_q = 2;
	pair_port_up(&p, p.guest);
	pair_port_up(&p, p.wire);
	pair_until(&p, "measure");
	assert_int_equal(100, pair_report(&p, "open.opened"));
	pair_down(&p);
}

static void bad_arguments_are_refused(void **state)
{
	static const char *const bad[] = {"", "role=host", "role=guest,flows=0",
	    "role=guest,flows=20000000", "role=guest,flows=1x", "role=guest,size=63",
	    "role=guest,zipf=-1", "role=guest,nothing=1", "role=guest,mac=1:2",
	    "role=guest,card=1.2.3", "role=guest,proto=sctp",
	    "role=guest,pair=", "role=guest,open=2"};
	static const char *const late[] = {"zipf=0.1", "peers=3", "peer=10.1.0.1", "inflight=100",
	    "live=5", "mode=latency", "mode=crr,proto=udp", "mode=crr,zipf=1"};
	struct rte_eth_conf conf = {0};
	struct rte_mempool *mp;
	char args[256];
	uint16_t g, w;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(bad); i++) {
		if (rte_vdev_init("net_obgen_g", bad[i]) == 0)
			fail_msg("'%s' is taken", bad[i]);
	}
	mp = rte_pktmbuf_pool_create("obgen_bad", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	for (unsigned i = 0; i < RTE_DIM(late); i++) {
		snprintf(args, sizeof(args), "role=guest,%s", late[i]);
		assert_int_equal(0, rte_vdev_init("net_obgen_g", args));
		assert_int_equal(0, rte_vdev_init("net_obgen_w", "role=wire"));
		rte_eth_dev_get_port_by_name("net_obgen_g", &g);
		rte_eth_dev_get_port_by_name("net_obgen_w", &w);
		rte_eth_dev_configure(g, 1, 1, &conf);
		rte_eth_dev_configure(w, 1, 1, &conf);
		rte_eth_rx_queue_setup(g, 0, 256, 0, NULL, mp);
		rte_eth_rx_queue_setup(w, 0, 256, 0, NULL, mp);
		rte_eth_tx_queue_setup(g, 0, 256, 0, NULL);
		rte_eth_tx_queue_setup(w, 0, 256, 0, NULL);
		assert_int_equal(0, rte_eth_dev_start(g));
		if (rte_eth_dev_start(w) != -EINVAL)
			fail_msg("'%s' is taken", late[i]);
		rte_eth_dev_stop(g);
		rte_vdev_uninit("net_obgen_g");
		rte_vdev_uninit("net_obgen_w");
	}
	/* The two ports of a pair must not contradict each other, nor be two of a kind. */
	assert_int_equal(0, rte_vdev_init("net_obgen_g", "role=guest,flows=10"));
	assert_int_not_equal(0, rte_vdev_init("net_obgen_w", "role=wire,flows=11"));
	assert_int_not_equal(0, rte_vdev_init("net_obgen_w", "role=guest"));
	assert_int_equal(0, rte_vdev_init("net_obgen_w", "role=wire,flows=10"));
	rte_vdev_uninit("net_obgen_g");
	rte_vdev_uninit("net_obgen_w");
	rte_mempool_free(mp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(broken_packets_are_told_by_what_is_wrong),
	    cmocka_unit_test(a_connection_that_there_is_not_is_an_error),
	    cmocka_unit_test(a_connection_may_use_a_tunnels_port),
	    cmocka_unit_test(arp_for_the_tunnels_end_is_answered),
	    cmocka_unit_test(latency_counts_from_when_a_packet_was_due),
	    cmocka_unit_test(packets_flow_while_the_go_file_is_there),
	    cmocka_unit_test(ports_can_be_stopped_and_set_up_anew),
	    cmocka_unit_test(bad_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
