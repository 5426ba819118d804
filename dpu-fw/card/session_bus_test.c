/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections on the bus: the list and its filters, counts, time-outs, limits, the end of an ENI's. */
#include "test_card.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

static void add_enis(void)
{
	struct ob_bus_function f = function("f1"), g = function("f2");
	struct ob_bus_vnet v = vnet("red", 100);
	struct ob_bus_eni a = eni("e1", "f1", "red"), b = eni("e2", "f2", "red");

	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, g), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, a), 0);
	b.addr[0].b[3] = 6;
	b.mac[5] = 10;
	assert_int_equal(ADD(OB_BUS_ENI, b), 0);
}

/* A UDP packet of ENI 'eni' from 10.0.0.'last', that opens a connection to 192.0.2.1:53. */
struct packet {
	struct rte_mbuf m;
	struct ob_meta meta;
	uint8_t bytes[128];
	struct ob_session_new n;
};

static void make(struct packet *p, uint16_t eni_idx, uint8_t last, uint16_t sport)
{
	struct rte_ipv4_hdr *ip = (void *)(p->bytes + 14);
	struct rte_udp_hdr *udp = (void *)(p->bytes + 34);

	memset(p, 0, sizeof(*p));
	p->m.buf_addr = p->bytes;
	p->m.nb_segs = 1;
	p->m.pkt_len = p->m.data_len = 60;
	ip->version_ihl = 0x45;
	ip->next_proto_id = IPPROTO_UDP;
	ip->src_addr = rte_cpu_to_be_32(0x0a000000u + last);
	ip->dst_addr = rte_cpu_to_be_32(0xc0000201u);
	udp->src_port = rte_cpu_to_be_16(sport);
	udp->dst_port = rte_cpu_to_be_16(53);
	p->meta = (struct ob_meta){.eni = eni_idx,
	    .flags = OB_PKT_IP4 | OB_PKT_UDP,
	    .l2_len = 14,
	    .l3_len = 20,
	    .l4_len = 8,
	    .ip_proto = IPPROTO_UDP};
	p->n.family[0] = p->n.family[1] = 4;
	assert_int_equal(ob_session_key4_of(&p->m, &p->meta, eni_idx, &p->n.key[0].v4), OB_N_DROPS);
	p->n.key[1].v4 = ob_session_reverse4(&p->n.key[0].v4);
	p->n.gen[0] = 1;
}

static int opened(struct packet *p)
{
	uint32_t ref;

	return ob_session_add(ob_session_shard(0), &p->n, &p->m, &p->meta, &ref);
}

static void open_one(uint16_t eni_idx, uint8_t last, uint16_t sport)
{
	struct packet p;

	make(&p, eni_idx, last, sport);
	assert_int_equal(opened(&p), 0);
}

static unsigned found(const struct ob_bus_session *want)
{
	unsigned n = 0;
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_SESSION, 1, sizeof(*want));

	/* All workers' tables are asked: empty ones make empty parts. */
	assert_int_equal(send_raw(&h, want, sizeof(*want)), 0);
	n = rep_hdr.count;
	assert_false(rep_more);
	return n;
}

static void list_tells_a_connection_as_its_opener_sees_it(void **state)
{
	struct ob_bus_session r;

	(void)state;
	add_enis();
	open_one(0, 5, 4000);
	assert_int_equal(list(OB_BUS_SESSION, NULL, 0, &r, sizeof(r)), 1);
	assert_string_equal(r.eni, "e1");
	assert_int_equal(r.proto, IPPROTO_UDP);
	assert_int_equal(r.state, OB_BUS_UDP_NEW);
	assert_int_equal(r.src.family, 4);
	assert_int_equal(r.src.b[3], 5);
	assert_int_equal(r.dst.b[0], 192);
	assert_int_equal(r.sport, 4000);
	assert_int_equal(r.dport, 53);
	assert_int_equal(r.nat, 0);
	assert_int_equal(r.nat_src.family, 0);
	assert_int_equal(r.n_pkts[0], 1);
	assert_int_equal(r.n_pkts[1], 0);
	assert_int_equal(r.expires_s, 30);
}

static void a_translated_connection_tells_both_views(void **state)
{
	struct ob_bus_session r;
	struct packet p;
	uint8_t public_ip[4] = {198, 51, 100, 7};
	uint16_t port = rte_cpu_to_be_16(2000);

	(void)state;
	add_enis();
	make(&p, 0, 5, 4000);
	/* The reply comes to 198.51.100.7:2000. */
	memcpy((uint8_t *)&p.n.key[1].v4.addrs + 4, public_ip, 4);
	memcpy((uint8_t *)&p.n.key[1].v4.ports + 2, &port, 2);
	assert_int_equal(opened(&p), 0);
	assert_int_equal(list(OB_BUS_SESSION, NULL, 0, &r, sizeof(r)), 1);
	assert_int_equal(r.nat, 1);
	assert_int_equal(r.src.b[3], 5);
	assert_int_equal(r.sport, 4000);
	assert_memory_equal(r.nat_src.b, public_ip, 4);
	assert_int_equal(r.nat_sport, 2000);
	assert_int_equal(r.nat_dst.b[0], 192);
	assert_int_equal(r.nat_dport, 53);
}

static void the_card_filters(void **state)
{
	struct ob_bus_session w = {.eni = ""};

	(void)state;
	add_enis();
	for (uint8_t i = 0; i < 20; i++)
		open_one(i & 1, i, (uint16_t)(1000 + i));
	assert_int_equal(found(&w), 20);
	strcpy(w.eni, "e2");
	assert_int_equal(found(&w), 10);
	w.limit = 3;
	assert_int_equal(found(&w), 3);
	w = (struct ob_bus_session){.proto = IPPROTO_TCP};
	assert_int_equal(found(&w), 0);
	w = (struct ob_bus_session){.state = OB_BUS_UDP_NEW, .src = ip4(10, 0, 0, 16, 30)};
	assert_int_equal(found(&w), 4);
	w = (struct ob_bus_session){.src = ip4(10, 0, 0, 7, 32), .dst = ip4(192, 0, 0, 0, 8)};
	assert_int_equal(found(&w), 1);
	w = (struct ob_bus_session){.dst = ip4(193, 0, 0, 0, 8)};
	assert_int_equal(found(&w), 0);
	w = (struct ob_bus_session){.dport = 53, .sport = 1004};
	assert_int_equal(found(&w), 1);
	w = (struct ob_bus_session){.port = 1005};
	assert_int_equal(found(&w), 1);
	w = (struct ob_bus_session){.port = 53};
	assert_int_equal(found(&w), 20);
	w = (struct ob_bus_session){.dst = {.family = 6, .prefix_len = 0}};
	assert_int_equal(found(&w), 0);
	w = (struct ob_bus_session){.eni = "e9"};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_SESSION, &w, sizeof(w)), -ENOENT);
	w = (struct ob_bus_session){.state = OB_BUS_N_STATES};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_SESSION, &w, sizeof(w)), -EINVAL);
	w = (struct ob_bus_session){.src = ip4(10, 0, 0, 7, 8)};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_SESSION, &w, sizeof(w)), -EINVAL);
	w = (struct ob_bus_session){.dst = {.family = 4, .prefix_len = 200}};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_SESSION, &w, sizeof(w)), -EINVAL);
}

static void flush_ends_what_an_eni_has(void **state)
{
	struct ob_bus_session w = {.eni = "e1"}, all = {.eni = ""};
	struct ob_session_shard *s = ob_session_shard(0);

	(void)state;
	add_enis();
	open_one(0, 5, 1);
	open_one(1, 5, 2);
	REFUSED(OB_BUS_SESSION, w, (void)0, -EOPNOTSUPP, "cannot be added");
	w.proto = 17;
	assert_int_equal(DEL(OB_BUS_SESSION, w), -EINVAL);
	assert_int_equal(DEL(OB_BUS_SESSION, all), -EINVAL);
	assert_int_equal(found(&all), 2);
	w.proto = 0;
	assert_int_equal(DEL(OB_BUS_SESSION, w), 0);
	ob_session_expire(s, s->now, 1000);
	ob_session_expire(s, s->now, 1000);
	assert_int_equal(found(&all), 1);
	assert_int_equal(found(&w), 0);
}

static void counts_and_high_water_marks_are_told(void **state)
{
	struct ob_bus_session w = {.eni = "e1"};
	struct ob_session_shard *s = ob_session_shard(0);
	struct ob_bus_session_eni e;

	(void)state;
	add_enis();
	open_one(0, 5, 1);
	open_one(0, 5, 2);
	assert_int_equal(DEL(OB_BUS_SESSION, w), 0);
	ob_session_expire(s, s->now, 1000);
	ob_session_expire(s, s->now, 1000);
	open_one(0, 5, 3);
	assert_int_equal(list(OB_BUS_SESSION_ENI, NULL, 0, &e, sizeof(e)), 2);
	assert_string_equal(e.eni, "e1");
	assert_int_equal(e.live, 1);
	assert_int_equal(e.live_max, 2);
	assert_int_equal(e.half_open, 1);
	assert_int_equal(e.half_open_max, 2);
	e = (struct ob_bus_session_eni){.eni = "e2"};
	assert_int_equal(list(OB_BUS_SESSION_ENI, &e, sizeof(e), &e, sizeof(e)), 1);
	assert_int_equal(e.live_max, 0);
}

static void policy_comes_back_and_is_obeyed(void **state)
{
	struct ob_bus_session_policy p = {.eni = "e1"}, r;
	struct ob_bus_eni gone = eni("e1", "f1", "red");
	struct packet x;

	(void)state;
	add_enis();
	assert_int_equal(list(OB_BUS_SESSION_POLICY, NULL, 0, &r, sizeof(r)), 2);
	assert_int_equal(r.tcp_strict, 1);
	assert_int_equal(r.window_check, 1);
	assert_int_equal(r.timeout_s[OB_BUS_UDP_NEW], 30);
	r.timeout_s[OB_BUS_UDP_NEW] = 7;
	r.timeout_s[OB_BUS_TCP_ESTABLISHED] = 350;
	r.max_half_open = 1;
	r.window_check = 2;
	p = r;
	assert_int_equal(SET(OB_BUS_SESSION_POLICY, p), 0);
	assert_int_equal(list(OB_BUS_SESSION_POLICY, &p, sizeof(p), &r, sizeof(r)), 1);
	assert_memory_equal(&r, &p, sizeof(p));
	open_one(0, 5, 1);
	make(&x, 0, 5, 2);
	assert_int_equal(opened(&x), -EUSERS);
	assert_int_equal(DEL(OB_BUS_SESSION_POLICY, p), 0);
	assert_int_equal(opened(&x), 0);
	assert_int_equal(list(OB_BUS_SESSION_POLICY, &p, sizeof(p), &r, sizeof(r)), 1);
	assert_int_equal(r.timeout_s[OB_BUS_UDP_NEW], 30);
	assert_int_equal(SET(OB_BUS_SESSION_POLICY, p), 0);
	/* A new ENI of the same number does not inherit them. */
	assert_int_equal(DEL(OB_BUS_ENI, gone), 0);
	assert_int_equal(ADD(OB_BUS_ENI, gone), 0);
	assert_int_equal(list(OB_BUS_SESSION_POLICY, &p, sizeof(p), &r, sizeof(r)), 1);
	assert_int_equal(r.max_half_open, 0);
}

#define BAD_POLICY(change, rc, text)                                   \
	do {                                                           \
		struct ob_bus_session_policy bad = p;                  \
		change;                                                \
		assert_int_equal(SET(OB_BUS_SESSION_POLICY, bad), rc); \
		assert_true(says(text));                               \
	} while (0)

static void policy_fields_are_checked(void **state)
{
	struct ob_bus_session_policy p = {.eni = "e1"};

	(void)state;
	add_enis();
	BAD_POLICY(bad.eni[1] = '9', -ENOENT, "e9");
	BAD_POLICY(bad.tcp_strict = 3, -EINVAL, "tcp_strict");
	BAD_POLICY(bad.window_check = 3, -EINVAL, "window_check");
	BAD_POLICY(bad.reserved[1] = 1, -EINVAL, "reserved");
	BAD_POLICY(bad.timeout_s[0] = 1, -EINVAL, "no state 0");
	BAD_POLICY(bad.timeout_s[OB_BUS_N_STATES] = 1, -EINVAL, "no state");
	BAD_POLICY(bad.timeout_s[OB_BUS_UDP_NEW] = 432001, -EINVAL, "udp_new");
	BAD_POLICY(bad.timeout_s[OB_BUS_TCP_ESTABLISHED] = 59, -EINVAL, "less than 60");
	assert_int_equal(SET(OB_BUS_SESSION_POLICY, p), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(list_tells_a_connection_as_its_opener_sees_it),
	    T(a_translated_connection_tells_both_views), T(the_card_filters),
	    T(flush_ends_what_an_eni_has), T(counts_and_high_water_marks_are_told),
	    T(policy_comes_back_and_is_obeyed), T(policy_fields_are_checked)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
