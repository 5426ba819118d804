/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets in several buffers: what is rewritten beyond the headers is pulled together, or left where it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ob_test_eal.h"
#include "test_nat.h"

static const uint8_t mac[6] = {2};
static struct rte_mempool *pool;
static struct ob_meta meta;

static int begin(void **state)
{
	(void)state;
	ob_test_eal();
	pool = rte_pktmbuf_pool_create("nat-test", 255, 0, 0, OB_HEADROOM + 1024, SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

static int end(void **state)
{
	unsigned left = rte_mempool_avail_count(pool);

	(void)state;
	rte_mempool_free(pool);
	return left == 255 ? 0 : -1; /* each buffer came back */
}

/* 'first' bytes, then buffers of 'seg'. */
static struct rte_mbuf *chain(const struct test_pkt *p, unsigned first, unsigned seg)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *at = m;

	assert_true(test_parse(p->b, p->len, &meta));
	assert_non_null(m);
	for (unsigned off = 0; off < p->len;) {
		unsigned n = RTE_MIN(off == 0 ? first : seg, p->len - off);

		if (off > 0) {
			at->next = rte_pktmbuf_alloc(pool);
			at = at->next;
			assert_non_null(at);
			m->nb_segs++;
		}
		at->data_off = OB_HEADROOM;
		at->data_len = (uint16_t)n;
		memcpy(rte_pktmbuf_mtod(at, void *), p->b + off, n);
		off += n;
	}
	m->pkt_len = p->len;
	return m;
}

static unsigned flat(struct rte_mbuf *m, uint8_t *out)
{
	unsigned n = rte_pktmbuf_pkt_len(m), at = 0, segs = 0;

	for (const struct rte_mbuf *s = m; s != NULL; s = s->next, segs++) {
		memcpy(out + at, rte_pktmbuf_mtod(s, void *), s->data_len);
		at += s->data_len;
	}
	assert_int_equal(at, n);
	assert_int_equal(segs, m->nb_segs);
	rte_pktmbuf_free(m);
	return n;
}

/* ICMP error about {203.0.113.5:1024 -> 198.51.100.1:80}, UDP. */
static void error(struct test_pkt *p, unsigned payload)
{
	struct test_pkt in;
	unsigned ip;

	tp_udp_frame(&in, mac, mac, "203.0.113.5", "198.51.100.1", 1024, 80, payload);
	p->len = 0;
	tp_eth(p, mac, mac, 0x0800);
	ip = tp_ip(p, "198.51.100.1", "203.0.113.5", 1, 0, 64, false);
	tp_u32(p, 0x03030000);
	tp_u32(p, 0);
	tp_bytes(p, in.b + 14, in.len - 14);
	tp_ip_end(p, ip);
	tp_put16(p, 36, ~tp_sum(0, p->b + 34, p->len - 34) & 0xffff);
}

static void error_in_pieces_is_pulled_together(void **state)
{
	struct ob_nat_to4 emb = {nat_ip4("10.0.0.10"), nat_ip4("198.51.100.1"), 0x01020304};
	struct test_pkt p;
	uint8_t b[4000];

	(void)state;
	for (unsigned seg = 1; seg < 60; seg++) {
		struct rte_mbuf *m;
		unsigned n;

		error(&p, 70);
		m = chain(&p, 42, seg);
		assert_int_equal(ob_nat_rewrite4_error(m, &meta, &emb), OB_PASS);
		n = flat(m, b);
		assert_int_equal(n, p.len);
		assert_int_equal(tp_sum(0, b + 34, n - 34), 0xffff);
		assert_memory_equal(b + 42 + 12, &emb.src, 8);
		assert_memory_equal(b + 62, &emb.ports, 4);
		assert_memory_equal(b + 70, p.b + 70, n - 70);
		assert_int_equal(tp_l4_sum(b + 42, 17, b + 62, n - 62), 0xffff);
	}
}

static void error_in_pieces_becomes_ipv6(void **state)
{
	struct ob_nat_to6 emb = {.ports = 0x01020304};
	struct test_pkt p;
	uint8_t b[4000], router[16];
	struct rte_mbuf *m;

	(void)state;
	tp_addr("2001:db8::a", emb.src);
	tp_addr("64:ff9b::c633:6401", emb.dst);
	memcpy(router, emb.dst, 16);
	for (unsigned seg = 1; seg < 900; seg += 13) {
		unsigned n;

		error(&p, 100);
		m = chain(&p, 42, seg);
		assert_int_equal(ob_nat64_error_to6(m, &meta, router, &emb), OB_PASS);
		n = flat(m, b);
		assert_int_equal(n, p.len + 40);
		assert_int_equal(tp_l4_sum(b + 14, 58, b + 54, n - 54), 0xffff);
		assert_int_equal(tp_l4_sum(b + 62, 17, b + 102, n - 102), 0xffff);
	}
	/* More than the first buffer holds. */
	error(&p, 1240);
	m = chain(&p, 42, 500);
	assert_int_equal(ob_nat64_error_to6(m, &meta, router, &emb), OB_DROP_NO_MBUF);
	rte_pktmbuf_free(m);
}

static void payload_in_pieces_is_summed_where_it_lies(void **state)
{
	struct ob_nat_to6 to = {.ports = 0x01020304};
	struct test_pkt p;
	uint8_t b[4000];

	(void)state;
	tp_addr("64:ff9b::c633:6401", to.src);
	tp_addr("2001:db8::a", to.dst);
	for (unsigned seg = 1; seg < 40; seg++) {
		struct rte_mbuf *m;
		unsigned n;

		tp_udp_frame(&p, mac, mac, "198.51.100.1", "203.0.113.5", 53, 1024, 101);
		tp_put16(&p, 40, 0);
		m = chain(&p, 42, seg);
		assert_int_equal(ob_nat64_to6(m, &meta, &to), OB_PASS);
		n = flat(m, b);
		assert_int_equal(n, p.len + 20);
		assert_int_equal(tp_l4_sum(b + 14, 17, b + 54, n - 54), 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(error_in_pieces_is_pulled_together),
	    cmocka_unit_test(error_in_pieces_becomes_ipv6),
	    cmocka_unit_test(payload_in_pieces_is_summed_where_it_lies),
	};

	return cmocka_run_group_tests_name("nat_segments", tests, begin, end);
}
