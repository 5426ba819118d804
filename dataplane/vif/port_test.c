/* SPDX-License-Identifier: BSD-3-Clause */
/* A vif whose guest is behind a port: rings stand for its wire. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "ob_test_eal.h"
#include "test_pkt.h"
#include "vif_int.h"

#define N_WORKERS 2
#define RING_SIZE 64

static struct {
	struct ob_arena *arena;
	struct rte_ring *rx[N_WORKERS], *tx[N_WORKERS]; /* as the card sees them */
	uint16_t port;
	struct ob_vif *vif;
	unsigned n_in;
	struct rte_mbuf *in[256];
	struct ob_meta meta[256];
	struct ob_worker *by[256];
} t;
static uint8_t frame[PKT_MAX], flat[PKT_MAX];

static void input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	assert_ptr_equal(vif, t.vif);
	assert_in_range(b->n, 1, OB_BURST_MAX);
	for (unsigned i = 0; i < b->n; i++) {
		t.by[t.n_in] = w;
		t.in[t.n_in] = b->pkt[i];
		t.meta[t.n_in++] = b->meta[i];
	}
}

static struct rte_ring *ring(const char *dir, unsigned q)
{
	static unsigned serial;
	char name[32];
	struct rte_ring *r;

	snprintf(name, sizeof(name), "t_%s%u_%u", dir, q, serial++);
	r = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, 0);
	assert_non_null(r);
	return r;
}

static void port_up(void)
{
	static unsigned serial;
	struct rte_eth_conf conf = {0};
	char name[32];
	int port;

	for (unsigned q = 0; q < N_WORKERS; q++) {
		t.rx[q] = ring("rx", q);
		t.tx[q] = ring("tx", q);
	}
	snprintf(name, sizeof(name), "t%u", serial++);
	port = rte_eth_from_rings(name, t.rx, N_WORKERS, t.tx, N_WORKERS, 0);
	assert_true(port >= 0);
	t.port = (uint16_t)port;
	assert_int_equal(rte_eth_dev_configure(t.port, N_WORKERS, N_WORKERS, &conf), 0);
	for (uint16_t q = 0; q < N_WORKERS; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(t.port, q, 64, SOCKET_ID_ANY, NULL,
				     ob_worker_pool(ob_worker_get(q))),
		    0);
		assert_int_equal(rte_eth_tx_queue_setup(t.port, q, 64, SOCKET_ID_ANY, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(t.port), 0);
}

static int setup(void **state)
{
	struct ob_workers_conf wc = {.n_workers = N_WORKERS, .manual = true, .n_mbufs = 511};
	struct ob_vif_conf vc = {
	    .name = "p0", .n_pairs = N_WORKERS, .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500};

	(void)state;
	ob_test_eal();
	memset(&t, 0, sizeof(t));
	assert_int_equal(ob_arena_create("port-test", 64u << 20, &t.arena), 0);
	wc.arena = t.arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(ob_vif_init(t.arena), 0);
	assert_int_equal(ob_vif_create(&vc, &t.vif), 0);
	ob_vif_set_input(input);
	port_up();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rte_pktmbuf_free_bulk(t.in, t.n_in);
	ob_vif_destroy(t.vif);
	ob_rcu_reclaim();
	rte_eth_dev_stop(t.port);
	for (unsigned q = 0; q < N_WORKERS; q++) {
		struct rte_mbuf *m;

		while (rte_ring_dequeue(t.rx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(t.tx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		assert_int_equal(rte_mempool_in_use_count(ob_worker_pool(ob_worker_get(i))), 0);
	rte_eth_dev_close(t.port);
	ob_workers_stop();
	ob_vif_set_input(NULL);
	ob_arena_destroy(t.arena);
	return 0;
}

static struct ob_vif_port_conf conf(uint16_t n_txq, uint64_t tx_offloads)
{
	return (struct ob_vif_port_conf){
	    .port_id = t.port, .n_rxq = N_WORKERS, .n_txq = n_txq, .tx_offloads = tx_offloads};
}

static void attach(uint16_t n_txq, uint64_t tx_offloads)
{
	struct ob_vif_port_conf c = conf(n_txq, tx_offloads);

	assert_int_equal(ob_vif_attach_port(t.vif, &c), 0);
}

/* The port receives a frame on queue 'q'. */
static void arrive(unsigned q, uint64_t ol_flags)
{
	struct ob_meta meta;
	uint32_t len = pkt_build(&(struct pkt_spec){.payload = 10, .udp = true}, frame, &meta);
	struct rte_mbuf *m = pkt_mbuf(ob_worker_pool(ob_worker_get(q)), frame, len, 2000);

	m->ol_flags |= ol_flags;
	assert_int_equal(rte_ring_enqueue(t.rx[q], m), 0);
}

/* The pipeline of worker 'id' delivers a frame. */
static struct ob_meta output(unsigned id, const struct pkt_spec *s, uint16_t flags, uint32_t first)
{
	struct ob_worker *w = ob_worker_get(id);
	struct ob_meta meta;
	uint32_t len = pkt_build(s, frame, &meta);
	struct rte_mbuf *m = pkt_mbuf(ob_worker_pool(w), frame, len, first);

	meta.flags |= flags;
	m->tso_segsz = 1000;
	meta.out_vif = ob_vif_idx(t.vif);
	ob_vif_output(w, &m, &meta, 1);
	return meta;
}

static void rounds(void)
{
	for (unsigned i = 0; i < N_WORKERS; i++)
		ob_worker_round(ob_worker_get(i));
}

static struct rte_mbuf *sent(unsigned q)
{
	struct rte_mbuf *m = NULL;

	return rte_ring_dequeue(t.tx[q], (void **)&m) == 0 ? m : NULL;
}

static uint64_t dropped(enum ob_drop why)
{
	return ob_drops_read(ob_vif_idx(t.vif), why);
}

/* ---- control ---- */

static void attach_checks_its_arguments(void **state)
{
	struct ob_vif_port_conf c = conf(N_WORKERS, 0), bad;

	(void)state;
	bad = c, bad.n_rxq = 0;
	assert_int_equal(ob_vif_attach_port(t.vif, &bad), -EINVAL);
	bad = c, bad.n_rxq = N_WORKERS + 1;
	assert_int_equal(ob_vif_attach_port(t.vif, &bad), -EINVAL);
	bad = c, bad.n_txq = 0;
	assert_int_equal(ob_vif_attach_port(t.vif, &bad), -EINVAL);
	bad = c, bad.n_txq = N_WORKERS + 1;
	assert_int_equal(ob_vif_attach_port(t.vif, &bad), -EINVAL);
	bad = c, bad.port_id = RTE_MAX_ETHPORTS;
	assert_int_equal(ob_vif_attach_port(t.vif, &bad), -EINVAL);
	assert_int_equal(ob_vif_attach_port(t.vif, &c), 0);
	assert_int_equal(ob_vif_attach_port(t.vif, &c), -EALREADY);
}

static void queues_of_a_guest_need_its_memory(void **state)
{
	struct ob_virtq_conf c = {.size = 64};

	(void)state;
	assert_int_equal(ob_vif_start_queue(t.vif, 0, &c, -1, false, -1), -EINVAL);
}

static void without_a_port_nothing_is_delivered(void **state)
{
	(void)state;
	output(0, &(struct pkt_spec){.payload = 10}, 0, 2000);
	rounds();
	assert_int_equal(dropped(OB_DROP_GUEST_DOWN), 1);
}

static void detach_sends_what_waits_and_takes_no_more(void **state)
{
	(void)state;
	attach(N_WORKERS, 0);
	output(1, &(struct pkt_spec){.payload = 10}, 0, 2000);
	assert_null(sent(1));
	ob_vif_detach_port(t.vif);
	rte_pktmbuf_free(sent(1));
	arrive(0, 0);
	rounds();
	assert_int_equal(t.n_in, 0);
	output(0, &(struct pkt_spec){.payload = 10}, 0, 2000);
	assert_int_equal(dropped(OB_DROP_GUEST_DOWN), 1);
	ob_vif_detach_port(t.vif);
	attach(N_WORKERS, 0);
	rounds();
	assert_int_equal(t.n_in, 1);
}

/* ---- from the port ---- */

static void each_queue_is_its_workers(void **state)
{
	struct ob_vif_queue_counters c;

	(void)state;
	attach(N_WORKERS, 0);
	for (unsigned q = 0; q < N_WORKERS; q++) {
		arrive(q, 0);
		rounds();
		assert_int_equal(t.n_in, q + 1);
		assert_ptr_equal(t.by[q], ob_vif_port_worker(t.vif, q));
		assert_int_equal(t.meta[q].in_vif, ob_vif_idx(t.vif));
		assert_int_equal(t.meta[q].out_vif, OB_VIF_NONE);
		assert_int_equal(ob_vif_queue_counters(ob_vif_idx(t.vif), 2 * q + 1, &c), 0);
		assert_int_equal(c.n_pkts, 1);
		assert_int_equal(c.n_bytes, t.in[q]->pkt_len);
	}
}

static void only_a_good_checksum_is_trusted(void **state)
{
	(void)state;
	attach(N_WORKERS, 0);
	arrive(0, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	arrive(0, RTE_MBUF_F_RX_L4_CKSUM_BAD);
	arrive(0, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	arrive(0, 0);
	rounds();
	assert_int_equal(t.n_in, 4);
	assert_int_equal(t.meta[0].flags, OB_PKT_L4_CSUM_GOOD);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(t.meta[i].flags, 0);
}

static void link_down_stops_both_ways(void **state)
{
	(void)state;
	attach(N_WORKERS, 0);
	ob_vif_set_link(t.vif, false);
	arrive(0, 0);
	output(0, &(struct pkt_spec){.payload = 10}, 0, 2000);
	rounds();
	assert_int_equal(t.n_in, 0);
	assert_null(sent(0));
	assert_int_equal(dropped(OB_DROP_GUEST_DOWN), 2);
	ob_vif_set_link(t.vif, true);
	arrive(0, 0);
	rounds();
	assert_int_equal(t.n_in, 1);
}

/* ---- to the port ---- */

static void each_worker_sends_by_itself_at_the_end_of_its_round(void **state)
{
	struct ob_vif_queue_counters c;

	(void)state;
	attach(N_WORKERS, 0);
	for (unsigned q = 0; q < N_WORKERS; q++) {
		struct rte_mbuf *m;

		output(q, &(struct pkt_spec){.payload = 10 + q}, 0, 2000);
		assert_null(sent(q));
		rounds();
		m = sent(q);
		assert_non_null(m);
		assert_int_equal(pkt_flat(m, flat), m->pkt_len);
		assert_memory_equal(flat, frame, m->pkt_len);
		assert_int_equal(ob_vif_queue_counters(ob_vif_idx(t.vif), 2 * q, &c), 0);
		assert_int_equal(c.n_pkts, 1);
		assert_int_equal(c.n_bytes, m->pkt_len);
		rte_pktmbuf_free(m);
	}
}

static void one_queue_serves_all_workers(void **state)
{
	struct ob_vif_queue_counters c;

	(void)state;
	attach(1, 0);
	output(0, &(struct pkt_spec){.payload = 10}, 0, 2000);
	output(1, &(struct pkt_spec){.payload = 10}, 0, 2000);
	rounds();
	for (unsigned i = 0; i < 2; i++) {
		struct rte_mbuf *m = sent(0);

		assert_non_null(m);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(ob_vif_queue_counters(ob_vif_idx(t.vif), 0, &c), 0);
	assert_int_equal(c.n_pkts, 2);
}

static void full_port_is_counted_as_full_ring(void **state)
{
	struct ob_vif_queue_counters c;
	unsigned n = 0;

	(void)state;
	attach(N_WORKERS, 0);
	/* Also more than the buffer holds. */
	for (unsigned i = 0; i < VIF_PORT_BUF + 10; i++)
		output(0, &(struct pkt_spec){.payload = 10}, 0, 2000);
	rounds();
	for (struct rte_mbuf *m; (m = sent(0)) != NULL; n++)
		rte_pktmbuf_free(m);
	assert_int_equal(n, RING_SIZE - 1);
	assert_int_equal(dropped(OB_DROP_GUEST_RING_FULL), VIF_PORT_BUF + 10 - n);
	assert_int_equal(ob_vif_queue_counters(ob_vif_idx(t.vif), 0, &c), 0);
	assert_int_equal(c.n_pkts, n);
	assert_true(c.n_full > 0);
}

static void partial_checksum_is_completed_or_left_to_the_port(void **state)
{
	const struct pkt_spec spec[] = {{.payload = 99, .partial = true},
	    {.payload = 99, .partial = true, .udp = true, .v6 = true}};

	(void)state;
	attach(N_WORKERS, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct ob_meta meta = output(0, &spec[i], 0, 2000);
		struct rte_mbuf *m;

		assert_int_equal(meta.flags & OB_PKT_L4_CSUM_PARTIAL, 0);
		rounds();
		m = sent(0);
		assert_non_null(m);
		pkt_flat(m, flat);
		assert_true(pkt_sums_right(flat, m->pkt_len, &meta));
		rte_pktmbuf_free(m);
	}
	ob_vif_detach_port(t.vif);
	attach(N_WORKERS, RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	for (unsigned i = 0; i < 2; i++) {
		struct ob_meta meta = output(0, &spec[i], 0, 2000);
		struct rte_mbuf *m;

		rounds();
		m = sent(0);
		assert_non_null(m);
		assert_true((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) ==
			    (i == 0 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM));
		assert_int_equal(m->l2_len, meta.l2_len);
		assert_int_equal(m->l3_len, meta.l3_len);
		pkt_flat(m, flat);
		assert_memory_equal(flat, frame, m->pkt_len);
		rte_pktmbuf_free(m);
	}
}

static void checksum_outside_the_packet_is_dropped(void **state)
{
	struct ob_worker *w = ob_worker_get(0);
	struct ob_meta meta;
	uint32_t len = pkt_build(&(struct pkt_spec){.payload = 9, .partial = true}, frame, &meta);
	struct rte_mbuf *m = pkt_mbuf(ob_worker_pool(w), frame, len, 2000);

	(void)state;
	attach(N_WORKERS, 0);
	meta.out_vif = ob_vif_idx(t.vif);
	meta.csum_offset = 5000;
	ob_vif_output(w, &m, &meta, 1);
	rounds();
	assert_null(sent(0));
	assert_int_equal(dropped(OB_DROP_MALFORMED_L4), 1);
}

static void super_packet_is_cut_up(void **state)
{
	struct ob_meta meta;
	uint32_t bytes = 0;
	unsigned n = 0;

	(void)state;
	attach(N_WORKERS, RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	meta = output(0, &(struct pkt_spec){.payload = 4500, .partial = true}, OB_PKT_GSO, 2000);
	rounds();
	for (struct rte_mbuf *m; (m = sent(0)) != NULL; n++) {
		bytes += m->pkt_len - 54;
		pkt_flat(m, flat);
		assert_true(pkt_sums_right(flat, m->pkt_len, &meta));
		rte_pktmbuf_free(m);
	}
	assert_int_equal(n, 5);
	assert_int_equal(bytes, 4500);
}

static void chain_is_made_linear_for_a_port_that_needs_it(void **state)
{
	(void)state;
	attach(N_WORKERS, 0);
	for (unsigned multi = 0; multi < 2; multi++) {
		struct rte_mbuf *m;

		output(0, &(struct pkt_spec){.payload = 900}, 0, 100);
		rounds();
		m = sent(0);
		assert_non_null(m);
		assert_int_equal(m->nb_segs, multi ? 2 : 1);
		pkt_flat(m, flat);
		assert_memory_equal(flat, frame, m->pkt_len);
		rte_pktmbuf_free(m);
		ob_vif_detach_port(t.vif);
		attach(N_WORKERS, RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(attach_checks_its_arguments),
	    T(queues_of_a_guest_need_its_memory),
	    T(without_a_port_nothing_is_delivered),
	    T(detach_sends_what_waits_and_takes_no_more),
	    T(each_queue_is_its_workers),
	    T(only_a_good_checksum_is_trusted),
	    T(link_down_stops_both_ways),
	    T(each_worker_sends_by_itself_at_the_end_of_its_round),
	    T(one_queue_serves_all_workers),
	    T(full_port_is_counted_as_full_ring),
	    T(partial_checksum_is_completed_or_left_to_the_port),
	    T(checksum_outside_the_packet_is_dropped),
	    T(super_packet_is_cut_up),
	    T(chain_is_made_linear_for_a_port_that_needs_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
