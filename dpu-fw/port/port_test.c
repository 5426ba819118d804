/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_port.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "ob_test_eal.h"

#define N_WORKERS 2

static struct ob_arena *arena;
static char err[256];
static unsigned n_in;
static uint16_t in_vif;

static void input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	(void)w;
	in_vif = ob_vif_idx(vif);
	n_in += b->n;
	for (unsigned i = 0; i < b->n; i++)
		b->meta[i].out_vif = in_vif;
	ob_vif_output(w, b->pkt, b->meta, b->n);
}

static int setup(void **state)
{
	struct ob_workers_conf wc = {.n_workers = N_WORKERS, .manual = true, .n_mbufs = 2047};

	(void)state;
	ob_test_eal();
	n_in = 0;
	assert_int_equal(ob_arena_create("port-test", 64u << 20, &arena), 0);
	wc.arena = arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(ob_vif_init(arena), 0);
	ob_vif_set_input(input);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ob_rcu_reclaim();
	for (unsigned i = 0; i < N_WORKERS; i++)
		assert_int_equal(rte_mempool_in_use_count(ob_worker_pool(ob_worker_get(i))), 0);
	ob_workers_stop();
	ob_vif_set_input(NULL);
	ob_arena_destroy(arena);
	return 0;
}

static int open_as(struct ob_port *p, const char *who, const char *devargs)
{
	struct ob_port_conf c = {.who = who, .devargs = devargs};

	return ob_port_open(p, &c, err, sizeof(err));
}

static bool is_there(const char *name)
{
	uint16_t id;

	return rte_eth_dev_get_port_by_name(name, &id) == 0;
}

static void open_starts_and_close_removes_the_device(void **state)
{
	struct ob_port p;
	uint32_t speed;

	(void)state;
	assert_int_equal(open_as(&p, "uplink", "net_null0,size=64"), 0);
	assert_true(p.started);
	assert_string_equal(p.driver, "net_null");
	assert_int_equal(p.n_rxq, N_WORKERS);
	assert_int_equal(p.mtu, 1500);
	(void)ob_port_link_up(&p, &speed);
	assert_true(is_there("net_null0"));
	ob_port_close(&p);
	ob_port_close(&p);
	assert_false(is_there("net_null0"));
}

static void what_is_wrong_is_told(void **state)
{
	char longest[OB_PORT_DEVARGS + 1];
	struct ob_port p;

	(void)state;
	assert_true(open_as(&p, "uplink", "net_nonsense0") < 0);
	assert_non_null(strstr(err, "uplink 'net_nonsense0'"));
	assert_non_null(strstr(err, "no driver of that name"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(open_as(&p, "function f1", longest), -EINVAL);
	assert_non_null(strstr(err, "function f1"));
	ob_port_close(&p);
}

static void port_of_somebody_else_is_ebusy_and_stays_his(void **state)
{
	struct ob_port p, q;

	(void)state;
	assert_int_equal(open_as(&p, "uplink", "net_null1"), 0);
	assert_int_equal(open_as(&q, "function f1", "net_null1"), -EBUSY);
	assert_non_null(strstr(err, "uplink has this port already"));
	ob_port_close(&q);
	assert_true(is_there("net_null1"));
	ob_port_close(&p);
	assert_int_equal(open_as(&q, "function f1", "net_null1"), 0);
	ob_port_close(&q);
}

static void guest_sends_and_receives_by_its_port(void **state)
{
	struct ob_port_guest_conf c = {.name = "f1",
	    .devargs = "net_null2,size=64",
	    .mac = {2, 0, 0, 0, 0, 1},
	    .mtu = 1500,
	    .n_pairs = N_WORKERS};
	struct ob_vif_queue_counters qc;
	struct ob_port_guest *g;
	uint16_t idx;

	(void)state;
	assert_int_equal(ob_port_guest_create(&c, &g, err, sizeof(err)), 0);
	idx = ob_vif_idx(ob_port_guest_vif(g));
	assert_int_equal(ob_port_guest_port(g)->n_rxq, N_WORKERS);
	for (unsigned i = 0; i < N_WORKERS; i++)
		ob_worker_round(ob_worker_get(i));
	assert_true(n_in >= N_WORKERS);
	assert_int_equal(in_vif, idx);
	for (unsigned q = 0; q < 2 * N_WORKERS; q++) {
		assert_int_equal(ob_vif_queue_counters(idx, q, &qc), 0);
		assert_true(qc.n_pkts > 0);
		assert_true(qc.n_bytes == 64 * qc.n_pkts);
	}
	ob_port_guest_destroy(g);
	assert_false(is_there("net_null2"));
	ob_port_guest_destroy(NULL);
}

static void guest_without_a_port_leaves_nothing(void **state)
{
	struct ob_port_guest_conf c = {
	    .name = "f1", .devargs = "net_nonsense0", .mtu = 1500, .n_pairs = 1};
	struct ob_port_guest *g;

	(void)state;
	assert_true(ob_port_guest_create(&c, &g, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "function f1"));
	assert_null(ob_vif_get(0));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(open_starts_and_close_removes_the_device),
	    T(what_is_wrong_is_told),
	    T(port_of_somebody_else_is_ebusy_and_stays_his),
	    T(guest_sends_and_receives_by_its_port),
	    T(guest_without_a_port_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
