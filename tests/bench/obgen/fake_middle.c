/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_obgen.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <rte_bus_vdev.h>

#include "ob_test_eal.h"

#define BURST 32

static const char *const phases[] = {"wait", "open", "warm", "measure", "done", "stopped"};
static const uint8_t far_mac[6] = {2, 0x0b, 0, 0, 0xff, 2};

static void load(void)
{
	static void *driver;

	ob_test_eal();
	if (driver == NULL)
		driver = dlopen(OBGEN_SO, RTLD_NOW);
	assert_non_null(driver);
}

void pair_port_up(struct pair *p, uint16_t port)
{
	struct rte_eth_conf conf = {0};

	assert_int_equal(0, rte_eth_dev_configure(port, (uint16_t)p->n_q, (uint16_t)p->n_q, &conf));
	for (uint16_t q = 0; q < p->n_q; q++) {
		assert_int_equal(0, rte_eth_rx_queue_setup(port, q, 256, 0, NULL, p->mp));
		assert_int_equal(0, rte_eth_tx_queue_setup(port, q, 256, 0, NULL));
	}
	assert_int_equal(0, rte_eth_dev_start(port));
}

void pair_up(struct pair *p, const char *args, unsigned n_queues)
{
	static unsigned n;
	char text[1024], pool[32];

	load();
	memset(p, 0, sizeof(*p));
	p->n_q = n_queues;
	snprintf(p->report, sizeof(p->report), "/tmp/obgen-test-%d.json", getpid());
	snprintf(p->go, sizeof(p->go), "/tmp/obgen-test-%d.go", getpid());
	unlink(p->report);
	unlink(p->go);
	snprintf(pool, sizeof(pool), "obgen%u", n++);
	p->mp = rte_pktmbuf_pool_create(pool, 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(p->mp);
	snprintf(text, sizeof(text), "role=guest,check=1,report=%s,%s", p->report, args);
	assert_int_equal(0, rte_vdev_init("net_obgen_g", text));
	assert_int_equal(0, rte_vdev_init("net_obgen_w", "role=wire,check=1"));
	assert_int_equal(0, rte_eth_dev_get_port_by_name("net_obgen_g", &p->guest));
	assert_int_equal(0, rte_eth_dev_get_port_by_name("net_obgen_w", &p->wire));
	pair_port_up(p, p->guest);
	pair_port_up(p, p->wire);
}

void pair_down(struct pair *p)
{
	rte_eth_dev_stop(p->guest);
	rte_eth_dev_stop(p->wire);
	/* Whatever was received has been sent and freed. */
	assert_true(rte_mempool_full(p->mp));
	assert_int_equal(0, rte_vdev_uninit("net_obgen_g"));
	assert_int_equal(0, rte_vdev_uninit("net_obgen_w"));
	rte_mempool_free(p->mp);
	unlink(p->report);
	unlink(p->go);
}

/* VXLAN with VNI 100 from 192.0.2.1 to 192.0.2.2, and off again. */
static void encap(struct rte_mbuf *m)
{
	static const uint8_t card_mac[6] = {2, 0x0b, 0, 0, 0, 2};
	struct test_pkt o = {0};
	unsigned inner = m->pkt_len, ip, udp;

	tp_eth(&o, far_mac, card_mac, 0x0800);
	ip = tp_ip(&o, "192.0.2.1", "192.0.2.2", 17, 0, 64, true);
	udp = tp_udp(&o, 50000 + (m->hash.rss & 1023), 4789);
	tp_u32(&o, 0x08000000);
	tp_u32(&o, 100 << 8);
	assert_int_equal(OUTER, o.len);
	tp_bytes(&o, rte_pktmbuf_mtod(m, uint8_t *), inner);
	tp_ip_end(&o, ip);
	tp_udp_end(&o, ip, udp, false);
	memcpy(rte_pktmbuf_prepend(m, OUTER), o.b, OUTER);
}

static unsigned pass(struct pair *p, uint16_t from, uint16_t to, uint16_t q)
{
	struct rte_mbuf *m[BURST];
	bool guest = from == p->guest;
	uint16_t n = rte_eth_rx_burst(from, q, m, BURST), kept = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t *seen = guest ? &p->to_wire : &p->to_guest;

		rte_mbuf_sanity_check(m[i], 1);
		if ((p->look != NULL && !p->look(p, m[i], guest, q)) ||
		    (p->lose > 0 && ++*seen % p->lose == 0)) {
			rte_pktmbuf_free(m[i]);
			continue;
		}
		if (p->lose == 0)
			++*seen;
		if (guest)
			encap(m[i]);
		else
			assert_non_null(rte_pktmbuf_adj(m[i], OUTER));
		if (p->spoil != NULL)
			p->spoil(p, m[i], guest);
		m[kept++] = m[i];
	}
	assert_int_equal(kept, rte_eth_tx_burst(to, q, m, kept));
	return n;
}

unsigned pair_round(struct pair *p)
{
	unsigned n = 0;

	for (uint16_t q = 0; q < p->n_q; q++) {
		n += pass(p, p->guest, p->wire, q);
		n += pass(p, p->wire, p->guest, q);
	}
	return n;
}

void pair_packets(struct pair *p, unsigned n)
{
	uint64_t end = p->to_wire + p->to_guest + n;
	time_t late = time(NULL) + 10;

	while (p->to_wire + p->to_guest < end) {
		pair_round(p);
		if (time(NULL) > late)
			fail_msg("%u packets do not come", n);
	}
}

static json_object *read_report(struct pair *p)
{
	return json_object_from_file(p->report);
}

static unsigned phase_of(struct pair *p)
{
	json_object *o = read_report(p), *phase;
	unsigned i = 0;

	if (o == NULL)
		return 0;
	assert_true(json_object_object_get_ex(o, "phase", &phase));
	while (strcmp(phases[i], json_object_get_string(phase)) != 0)
		i++;
	json_object_put(o);
	return i;
}

bool pair_is(struct pair *p, const char *phase)
{
	return strcmp(phases[phase_of(p)], phase) == 0;
}

void pair_until(struct pair *p, const char *phase)
{
	time_t end = time(NULL) + 10;
	unsigned want = 0, is;

	while (strcmp(phases[want], phase) != 0)
		want++;
	do {
		for (unsigned i = 0; i < 64; i++)
			pair_round(p);
		if (time(NULL) > end)
			fail_msg("phase %s does not come", phase);
		is = phase_of(p);
		/* 'stopped' is what was before ports were started again. */
	} while (is < want || is == RTE_DIM(phases) - 1);
}

uint64_t pair_xstat(uint16_t port, const char *name)
{
	uint64_t id, value;

	assert_int_equal(0, rte_eth_xstats_get_id_by_name(port, name, &id));
	assert_int_equal(1, rte_eth_xstats_get_by_id(port, &id, &value, 1));
	return value;
}

uint64_t pair_errors(uint16_t port)
{
	struct rte_eth_xstat_name names[128];
	struct rte_eth_xstat values[128];
	int n = rte_eth_xstats_get_names(port, names, RTE_DIM(names));
	uint64_t sum = 0;

	assert_int_equal(n, rte_eth_xstats_get(port, values, RTE_DIM(values)));
	for (int i = 0; i < n; i++) {
		if (strncmp(names[i].name, "obgen_error", 11) == 0)
			sum += values[i].value;
	}
	return sum;
}

double pair_report(struct pair *p, const char *path)
{
	json_object *top = read_report(p), *o = top;
	char text[128], *save = NULL;
	double v;

	assert_non_null(top);
	snprintf(text, sizeof(text), "%s", path);
	for (char *s = strtok_r(text, ".", &save); s != NULL; s = strtok_r(NULL, ".", &save)) {
		if (json_object_is_type(o, json_type_array))
			o = json_object_array_get_idx(o, strtoul(s, NULL, 10));
		else if (!json_object_object_get_ex(o, s, &o))
			o = NULL;
		if (o == NULL)
			fail_msg("the report has no %s", path);
	}
	v = json_object_get_double(o);
	json_object_put(top);
	return v;
}
