/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "ob_acl.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_session.h"
#include "ob_test_eal.h"

static struct test_vpc the_vpc;
struct test_vpc *tv = &the_vpc;

const uint8_t mac_a[6] = {2, 0, 0, 0, 1, 0xa}, mac_b[6] = {2, 0, 0, 0, 1, 0xb},
	      mac_c[6] = {2, 0, 0, 0, 1, 0xc};
const uint8_t mac_far[6] = {2, 0, 0, 0, 1, 9}, mac_router[6] = {0x02, 0x6f, 0x62, 0, 0, 1};
const uint8_t mac_card[6] = {2, 0, 0, 0, 0, 1}, mac_peer[6] = {2, 0, 0, 0, 0, 2};
const uint8_t mac_bcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- the two ends -------------------------------------------------------------------------------------------------------- */

static ob_vif_input_fn guest_input;

void ob_vif_set_input(ob_vif_input_fn fn)
{
	guest_input = fn;
}

/* A function is its number. */
static struct ob_vif *fake_vif(uint16_t idx)
{
	return (struct ob_vif *)((uintptr_t)idx + 1);
}

uint16_t ob_vif_idx(const struct ob_vif *vif)
{
	return (uint16_t)((uintptr_t)vif - 1);
}

void ob_vif_output(struct ob_worker *w, struct rte_mbuf **pkts, struct ob_meta *meta, unsigned n)
{
	(void)w;
	assert(n > 0 && n <= OB_BURST_MAX);
	if (tv->sink) {
		tv->n_guest += n;
		rte_pktmbuf_free_bulk(pkts, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct test_out *o = &tv->guest[tv->n_guest % TEST_MAX_OUT];
		unsigned len = rte_pktmbuf_pkt_len(pkts[i]);

		assert(meta[i].out_vif != OB_VIF_NONE);
		o->pkt.len = RTE_MIN(len, (unsigned)sizeof(o->pkt.b));
		if (rte_pktmbuf_read(pkts[i], 0, o->pkt.len, o->pkt.b) != o->pkt.b)
			memcpy(o->pkt.b, rte_pktmbuf_mtod(pkts[i], void *), o->pkt.len);
		o->meta = meta[i];
		o->tso_segsz = pkts[i]->tso_segsz;
		tv->n_guest++;
		rte_pktmbuf_free(pkts[i]);
	}
}

void ob_vif_handoff_in(struct ob_worker *w, struct ob_burst *b)
{
	ob_vif_output(w, b->pkt, b->meta, b->n);
}

/* ---- set-up -------------------------------------------------------------------------------------------------------------- */

static int port_up(void)
{
	struct rte_eth_conf conf = {0};
	struct rte_ring *rx[1], *tx[1];
	int port;

	tv->to_card = rx[0] = rte_ring_create("to_card", 1024, SOCKET_ID_ANY, 0);
	tv->to_wire = tx[0] = rte_ring_create("to_wire", 1024, SOCKET_ID_ANY, 0);
	tv->punt = rte_ring_create("punt", 256, SOCKET_ID_ANY, 0);
	tv->inject = rte_ring_create("inject", 256, SOCKET_ID_ANY, 0);
	tv->punt_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!rx[0] || !tx[0] || !tv->punt || !tv->inject || tv->punt_fd < 0)
		return -1;
	port = rte_eth_from_rings("wire", rx, 1, tx, 1, 0);
	if (port < 0)
		return -1;
	tv->port = (uint16_t)port;
	if (rte_eth_dev_configure(tv->port, 1, 1, &conf) < 0 ||
	    rte_eth_rx_queue_setup(tv->port, 0, 128, SOCKET_ID_ANY, NULL, ob_worker_pool(tv->w)) <
		0 ||
	    rte_eth_tx_queue_setup(tv->port, 0, 128, SOCKET_ID_ANY, NULL) < 0)
		return -1;
	return rte_eth_dev_start(tv->port);
}

int vpc_up(void)
{
	struct ob_workers_conf conf = {
	    .n_workers = tv->n_workers ? tv->n_workers : 1, .manual = true, .n_mbufs = 2048};
	struct ob_uplink_conf up = {
	    .n_rxq = 1, .n_txq = 1, .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS, .mtu = 1500};

	ob_test_eal();
	if (ob_arena_create("vpc-test", 512ull << 20, &tv->arena) < 0)
		return -1;
	conf.arena = tv->arena;
	if (ob_workers_start(&conf) < 0)
		return -1;
	tv->w = ob_worker_get(0);
	if (ob_stages_init(tv->arena) < 0 || ob_vpc_init() < 0 || port_up() < 0)
		return -1;
	up.port_id = tv->port;
	up.punt_ring = tv->punt;
	up.inject_ring = tv->inject;
	up.punt_event_fd = tv->punt_fd;
	return ob_uplink_attach(&up);
}

int vpc_group_setup(void **state)
{
	(void)state;
	return vpc_up();
}

int vpc_group_teardown(void **state)
{
	(void)state;
	ob_uplink_detach();
	ob_vpc_fini();
	rte_eth_dev_stop(tv->port);
	rte_eth_dev_close(tv->port);
	rte_ring_free(tv->to_card);
	rte_ring_free(tv->to_wire);
	rte_ring_free(tv->punt);
	rte_ring_free(tv->inject);
	close(tv->punt_fd);
	ob_stages_fini();
	ob_workers_stop();
	ob_rcu_reclaim();
	ob_arena_destroy(tv->arena);
	return 0;
}

struct ob_ip vpc_ip(const char *text)
{
	struct ob_ip ip = {0};

	ip.family = tp_addr(text, ip.b) == 4 ? AF_INET : AF_INET6;
	return ip;
}

static void must(int rc, const char *what)
{
	if (rc != 0) {
		fprintf(stderr, "%s: %d\n", what, rc);
		abort();
	}
}

static void add_eni(
    uint16_t idx, uint16_t vnet, const uint8_t mac[6], const char *ip4, const char *ip6)
{
	struct ob_eni_cfg c = {
	    .vif = idx, .vnet = vnet, .mtu = 1450, .n_addrs = 2, .n_routers = 2, .n_dns = 2};
	char err[128] = "";

	memcpy(c.mac, mac, 6);
	c.addr[0] = vpc_ip(ip4);
	c.prefix_len[0] = 24;
	c.addr[1] = vpc_ip(ip6);
	c.prefix_len[1] = 64;
	c.router[0] = vpc_ip("10.0.0.1");
	c.router[1] = vpc_ip("fd00::1");
	c.dns[0] = vpc_ip("10.0.0.2");
	c.dns[1] = vpc_ip("fd00::2");
	must(ob_eni_set(idx, &c, err, sizeof(err)), err);
	/* No router advertisement of its own accord for a day: tests count what comes out. */
	ob_stage_advertise(tv->w, ob_eni_at(idx), ob_worker_tsc(tv->w) + 100000 * rte_get_tsc_hz());
}

static void add_mapping(uint16_t vnet, const char *ca, uint32_t tunnel)
{
	struct ob_mapping_cfg c = {.vnet = vnet, .tunnel = tunnel};
	char err[128] = "";

	memcpy(c.mac, mac_far, 6);
	c.ca = vpc_ip(ca);
	must(ob_mapping_set(&c, err, sizeof(err)), err);
}

static void add_route(uint16_t vnet, const char *prefix, uint8_t len, uint8_t action, uint16_t to)
{
	struct ob_route_cfg c = {.vnet = vnet, .action = action, .prefix_len = len, .to_vnet = to};
	char err[128] = "";

	c.prefix = vpc_ip(prefix);
	must(ob_route_set(&c, err, sizeof(err)), err);
}

/* Tunnel 0: VXLAN to 198.51.100.7 (1450 inside); tunnel 1: Geneve to 2001:db8:9::7 (1430 inside); tunnel 2:
 * Geneve from 198.51.100.7 that demands an option. In VNET 0: 10.0.0.9 behind tunnel 0 and
 * fd00::9 behind tunnel 1, on-link; 10.1.0.9 and fd01::9 behind routes; 10.2.0.0/16 is dropped; 10.3.0.0/16 leads to VNET 1. */
void vpc_policy(void)
{
	static const char *const remote[2] = {"198.51.100.7", "2001:db8:9::7"};
	static const char *const own[2] = {"192.0.2.1", "2001:db8::1"};
	struct ob_tunnel_cfg picky = {.type = OB_ENCAP_GENEVE,
	    .n_match = 1,
	    .match[0] = {RTE_BE16(0x0102), 0x83, 4, {0xde, 0xad, 0xbe, 0xef}}};
	/* Tests of other things begin connections anywhere. */
	const struct ob_session_eni_conf loose = {.tcp_loose = true};
	const struct ob_session_conf sessions = {
	    .n_workers = ob_workers_count(), .max_v4 = 32768, .max_v6 = 4096};
	const struct ob_meter_conf meters = {.arena = tv->arena, .n_workers = ob_workers_count()};
	struct ob_ip local[2];

	picky.local = vpc_ip(own[0]);
	picky.remote = vpc_ip(remote[0]);
	must(ob_session_init(tv->arena, &sessions), "session");
	ob_session_set_on_delete(ob_nat_on_delete);
	ob_worker_round(tv->w); /* its clock goes from here on */
	must(ob_meter_init(&meters), "meter");
	must(ob_encap_init(tv->arena), "encap");
	must(ob_policy_init(tv->arena), "policy");
	must(ob_acl_init(tv->arena), "acl");
	must(ob_nat_init(tv->arena), "nat");
	for (uint16_t i = 0; i < 3; i++)
		must(ob_session_eni_set(i, &loose), "session of an ENI");
	for (uint32_t i = 0; i < 2; i++) {
		struct ob_tunnel_cfg t = {.type = (uint8_t)(i ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN)};
		struct ob_nexthop nh = {.valid = true, .mtu = 1500};
		struct ob_vnet_cfg v = {.vni = 100 + 100 * i};

		local[i] = nh.src = vpc_ip(own[i]);
		memcpy(nh.smac, mac_card, 6);
		memcpy(nh.dmac, mac_peer, 6);
		t.remote = vpc_ip(remote[i]);
		must(ob_tunnel_set(i, &t, NULL, 0), "tunnel");
		must(ob_tunnel_set_nexthop(i, &nh), "nexthop");
		must(ob_vnet_set(i, &v, NULL, 0), "vnet");
	}
	must(ob_tunnel_set(2, &picky, NULL, 0), "tunnel");
	must(ob_encap_set_local(local, 2, mac_card), "local");
	add_eni(GUEST_A, 0, mac_a, "10.0.0.5", "fd00::5");
	add_eni(GUEST_B, 0, mac_b, "10.0.0.6", "fd00::6");
	add_eni(GUEST_C, 1, mac_c, "10.0.0.5", "fd00::5");
	add_mapping(0, "10.0.0.9", 0);
	add_mapping(0, "fd00::9", 1);
	add_mapping(0, "10.1.0.9", 0);
	add_mapping(0, "fd01::9", 1);
	add_mapping(1, "10.3.0.9", 1);
	add_route(0, "10.1.0.0", 16, OB_ROUTE_VNET, 0);
	add_route(0, "fd01::", 64, OB_ROUTE_VNET, 0);
	add_route(0, "10.2.0.0", 16, OB_ROUTE_DROP, 0);
	add_route(0, "10.3.0.0", 16, OB_ROUTE_VNET, 1);
}

int vpc_begin(void **state)
{
	(void)state;
	vpc_policy();
	vpc_clear();
	for (uint16_t i = 0; i < 3; i++)
		ob_drops_clear(i);
	ob_drops_clear(OB_VIF_NONE);
	return 0;
}

int vpc_end(void **state)
{
	struct ob_arena_region_info r;

	(void)state;
	ob_nat_fini();
	ob_acl_fini();
	ob_policy_fini();
	ob_encap_fini();
	ob_meter_fini();
	ob_session_fini();
	for (unsigned i = 0; ob_arena_info(tv->arena, i, &r) == 0;) {
		static const char *const kept[] = {"worker.", "drops.", "uplink.", "stages."};
		bool keep = false;

		for (unsigned j = 0; j < RTE_DIM(kept); j++)
			keep |= strncmp(r.name, kept[j], strlen(kept[j])) == 0;
		if (keep || ob_arena_del_region(tv->arena, r.name) < 0)
			i++;
		else
			i = 0;
	}
	ob_rcu_reclaim();
	for (unsigned i = 0; i < ob_workers_count(); i++)
		if (rte_mempool_in_use_count(ob_worker_pool(ob_worker_get(i))) != 0)
			return -1;
	return 0;
}

/* ---- packets ------------------------------------------------------------------------------------------------------------- */

struct rte_mbuf *vpc_mbuf(const void *b, unsigned n, unsigned seg)
{
	struct rte_mbuf *head = NULL;
	const uint8_t *p = b;
	unsigned off = 0;

	do {
		struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(tv->w));
		unsigned k = RTE_MIN(seg ? seg : 2048u, n - off);

		if (m == NULL)
			abort();
		m->data_off = OB_HEADROOM;
		memcpy(rte_pktmbuf_append(m, (uint16_t)k), p + off, k);
		off += k;
		if (head == NULL)
			head = m;
		else if (rte_pktmbuf_chain(head, m) < 0)
			abort();
	} while (off < n);
	return head;
}

static void drain(void)
{
	struct rte_mbuf *m;

	/* Twice: what is handed over is sent in the round after. */
	for (unsigned i = 0; i < 2 * ob_workers_count(); i++)
		ob_worker_round(ob_worker_get(i % ob_workers_count()));
	while (rte_ring_dequeue(tv->to_wire, (void **)&m) == 0) {
		struct test_pkt *p = &tv->wire[tv->n_wire++ % TEST_MAX_OUT];

		p->len = rte_pktmbuf_pkt_len(m);
		if (rte_pktmbuf_read(m, 0, p->len, p->b) != p->b)
			memcpy(p->b, rte_pktmbuf_mtod(m, void *), p->len);
		rte_pktmbuf_free(m);
	}
}

void vpc_input(uint16_t vif, struct ob_burst *b)
{
	guest_input(tv->w, fake_vif(vif), b);
}

void vpc_from_guest_offload(uint16_t vif, const struct test_pkt *p, uint16_t flags,
    uint16_t csum_start, uint16_t csum_offset, uint16_t segsz)
{
	static struct ob_burst b;

	b.n = 1;
	/* As dataplane/vif does: the first buffer is full before the next begins. */
	b.pkt[0] = vpc_mbuf(p->b, p->len, 0);
	b.pkt[0]->tso_segsz = segsz;
	b.meta[0] = (struct ob_meta){.in_vif = vif,
	    .out_vif = OB_VIF_NONE,
	    .flags = flags,
	    .csum_start = csum_start,
	    .csum_offset = csum_offset};
	vpc_input(vif, &b);
	drain();
}

void vpc_from_guest(uint16_t vif, const struct test_pkt *p)
{
	vpc_from_guest_offload(vif, p, 0, 0, 0, 0);
}

void vpc_from_wire(const struct test_pkt *p, unsigned seg)
{
	if (rte_ring_enqueue(tv->to_card, vpc_mbuf(p->b, p->len, seg)) < 0)
		abort();
	drain();
}

uint64_t vpc_drops(uint16_t vif, enum ob_drop why)
{
	return ob_drops_read(vif, why);
}

void vpc_clear(void)
{
	tv->n_guest = tv->n_wire = 0;
}

void vpc_outer(struct test_pkt *p, enum ob_encap_type type, const char *src, uint32_t vni,
    const struct test_pkt *in)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;

	p->len = 0;
	tp_eth(p, mac_card, mac_peer, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, is4 ? "192.0.2.1" : "2001:db8::1", 17, 0, 64, true);
	l4 = tp_udp(p, 50000, type == OB_ENCAP_VXLAN ? 4789 : 6081);
	tp_u32(p, type == OB_ENCAP_VXLAN ? 0x08000000 : 0x00006558);
	tp_u32(p, vni << 8);
	tp_bytes(p, in->b, in->len);
	tp_ip_end(p, ip);
	tp_udp_end(p, ip, l4, true);
}

void vpc_check_frame(const uint8_t *b, unsigned n)
{
	bool is4 = tp_get16(b + 12) == 0x0800;
	unsigned l3 = is4 ? (b[14] & 15u) * 4 : 40, proto = b[is4 ? 23 : 20];
	unsigned l4_len = n - 14 - l3;

	assert_true(is4 || tp_get16(b + 12) == 0x86dd);
	if (is4) {
		assert_int_equal(tp_sum(0, b + 14, l3), 0xffff);
		assert_int_equal(tp_get16(b + 16), n - 14);
		if (tp_get16(b + 20) & 0x3fff)
			return; /* a fragment */
	} else {
		assert_int_equal(tp_get16(b + 18), n - 54);
	}
	if (is4 && proto == 1)
		assert_int_equal(tp_sum(0, b + 14 + l3, l4_len), 0xffff);
	else if (proto == 6 || proto == 17 || proto == 58)
		assert_int_equal(tp_l4_sum(b + 14, proto, b + 14 + l3, l4_len), 0xffff);
}

void vpc_inner(unsigned i, enum ob_encap_type type, uint32_t vni, struct test_pkt *in)
{
	bool vx = type == OB_ENCAP_VXLAN;
	const uint8_t *b = tv->wire[i].b;
	unsigned n = tv->wire[i].len, l3 = vx ? 20 : 40, hdr = 14 + l3 + 16;

	assert_true(i < tv->n_wire && n > hdr + 14);
	assert_memory_equal(b, mac_peer, 6);
	assert_memory_equal(b + 6, mac_card, 6);
	assert_int_equal(tp_get16(b + 12), vx ? 0x0800 : 0x86dd);
	if (vx) {
		assert_int_equal(tp_sum(0, b + 14, 20), 0xffff);
		assert_int_equal(tp_get16(b + 16), n - 14);
		assert_int_equal(tp_get16(b + 20), 0x4000);
	} else {
		assert_int_equal(tp_get16(b + 18), n - 54);
		assert_int_equal(tp_l4_sum(b + 14, 17, b + 54, n - 54), 0xffff);
	}
	assert_true(n - 14 <= 1500);
	assert_int_equal(tp_get16(b + 14 + l3 + 2), vx ? 4789 : 6081);
	assert_int_equal(b[hdr - 4] << 16 | b[hdr - 3] << 8 | b[hdr - 2], vni);
	in->len = n - hdr;
	memcpy(in->b, b + hdr, in->len);
}
