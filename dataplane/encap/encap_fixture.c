/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_encap.h"

struct ob_arena *test_arena;
struct ob_worker *test_worker;
const uint8_t test_mac_us[6] = {2, 0, 0, 0, 0, 1}, test_mac_peer[6] = {2, 0, 0, 0, 0, 2};

int test_setup(void **state)
{
	struct ob_workers_conf conf = {.n_workers = 1, .manual = true, .n_mbufs = 1024};

	(void)state;
	ob_test_eal();
	if (ob_arena_create("encap-test", TEST_ARENA, &test_arena) < 0)
		return -1;
	conf.arena = test_arena;
	if (ob_workers_start(&conf) < 0)
		return -1;
	test_worker = ob_worker_get(0);
	return 0;
}

int test_teardown(void **state)
{
	(void)state;
	ob_workers_stop();
	ob_rcu_reclaim();
	ob_arena_destroy(test_arena);
	return 0;
}

int test_begin(void **state)
{
	struct ob_ip local[2] = {test_ip("192.0.2.1"), test_ip("2001:db8::1")};

	(void)state;
	if (ob_encap_init(test_arena) < 0)
		return -1;
	return ob_encap_set_local(local, 2, test_mac_us);
}

int test_end(void **state)
{
	(void)state;
	ob_encap_fini();
	ob_arena_del_region(test_arena, "encap.tunnel");
	ob_arena_del_region(test_arena, "encap.counters");
	ob_rcu_reclaim();
	return rte_mempool_in_use_count(ob_worker_pool(test_worker)) == 0 ? 0 : -1;
}

struct ob_ip test_ip(const char *text)
{
	struct ob_ip ip = {0};

	ip.family = tp_addr(text, ip.b) == 4 ? AF_INET : AF_INET6;
	return ip;
}

struct ob_tunnel_cfg test_tunnel(enum ob_encap_type type, const char *remote)
{
	struct ob_tunnel_cfg c = {.type = (uint8_t)type};

	c.remote = test_ip(remote);
	return c;
}

void test_add_tunnel(uint32_t idx, const struct ob_tunnel_cfg *cfg)
{
	struct ob_nexthop nh = {.valid = true, .mtu = 1500};
	char err[128] = "";

	if (ob_tunnel_set(idx, cfg, err, sizeof(err)) < 0)
		fail_msg("tunnel: %s", err);
	nh.src = test_ip(cfg->remote.family == AF_INET ? "192.0.2.1" : "2001:db8::1");
	memcpy(nh.smac, test_mac_us, 6);
	memcpy(nh.dmac, test_mac_peer, 6);
	assert_int_equal(ob_tunnel_set_nexthop(idx, &nh), 0);
}

struct rte_mbuf *test_mbuf(const void *b, unsigned n, unsigned seg)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(test_worker));
	const uint8_t *p = b;
	unsigned first = seg ? RTE_MIN(seg, n) : n;

	assert_non_null(m);
	m->data_off = OB_HEADROOM;
	memcpy(rte_pktmbuf_append(m, (uint16_t)first), p, first);
	for (unsigned off = first; off < n; off += seg) {
		struct rte_mbuf *s = rte_pktmbuf_alloc(ob_worker_pool(test_worker));
		unsigned k = RTE_MIN(seg, n - off);

		assert_non_null(s);
		memcpy(rte_pktmbuf_append(s, (uint16_t)k), p + off, k);
		assert_int_equal(rte_pktmbuf_chain(m, s), 0);
	}
	return m;
}

unsigned test_flat(const struct rte_mbuf *m, uint8_t *out, unsigned max)
{
	unsigned n = rte_pktmbuf_pkt_len(m);
	const void *p;

	assert_true(n <= max);
	p = rte_pktmbuf_read(m, 0, n, out);
	assert_non_null(p);
	if (p != out)
		memcpy(out, p, n);
	return n;
}

void test_inner(struct test_pkt *p, unsigned tos)
{
	static const uint8_t d[6] = {2, 1, 0, 0, 0, 1}, s[6] = {2, 1, 0, 0, 0, 2};

	tp_udp_frame(p, d, s, "10.0.0.2", "10.0.0.1", 1000, 2000, 22);
	p->b[15] = (uint8_t)tos;
	tp_ip_end(p, 14);
}

void test_outer(struct test_pkt *p, enum ob_encap_type type, const char *src, uint32_t vni,
    const struct test_pkt *in, unsigned tos, const uint8_t *opts, unsigned opts_len)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;

	p->len = 0;
	tp_eth(p, test_mac_us, test_mac_peer, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, is4 ? "192.0.2.1" : "2001:db8::1", 17, tos, 64, true);
	l4 = tp_udp(p, 55555, type == OB_ENCAP_VXLAN ? 4789 : 6081);
	if (type == OB_ENCAP_VXLAN) {
		tp_u32(p, 0x08000000);
	} else {
		tp_u16(p, opts_len / 4 << 8);
		tp_u16(p, 0x6558);
	}
	tp_u32(p, vni << 8);
	tp_bytes(p, opts, opts_len);
	tp_bytes(p, in->b, in->len);
	tp_ip_end(p, ip);
	tp_udp_end(p, ip, l4, true);
}
