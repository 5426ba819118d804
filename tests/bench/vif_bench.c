/* SPDX-License-Identifier: BSD-3-Clause */
/* What a packet costs between a virtqueue and the pipeline: ns from the guest into a sink, and from a source to the guest. The
 * driver's work is not in the figures. usage: vif_bench [BURSTS] [CASE] */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "fake_driver.h"
#include "ob_test_eal.h"
#include "ob_vif.h"

#include <linux/virtio_net.h>

#define RING	 256
#define BURST	 64
#define BUF	 2048
#define REPEATS	 7
#define IOVA	 0x100000u
#define MERGE	 (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define OFFLOADS (1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4)

static struct fake_guest g;
static struct fake_ring ring[2];
static struct ob_vif *vif;
static struct ob_worker *w;
static uint64_t bufs;

struct bench_case {
	const char *name;
	bool packed, to_guest, tcp;
	uint64_t features;
	uint32_t len;
};

static const struct bench_case cases[] = {
    {.name = "guest->sink  64 split", .len = 64},
    {.name = "guest->sink  64 packed", .packed = true, .len = 64},
    {.name = "guest->sink  1500 split", .len = 1500},
    {.name = "guest->sink  1500 packed", .packed = true, .len = 1500},
    {.name = "source->guest 64 split", .to_guest = true, .features = MERGE, .len = 64},
    {.name = "source->guest 64 packed",
	.packed = true,
	.to_guest = true,
	.features = MERGE,
	.len = 64},
    {.name = "source->guest 1500 split", .to_guest = true, .features = MERGE, .len = 1500},
    {.name = "source->guest 1500 packed",
	.packed = true,
	.to_guest = true,
	.features = MERGE,
	.len = 1500},
    {.name = "source->guest 1500 tcp, merged",
	.to_guest = true,
	.tcp = true,
	.features = MERGE | OFFLOADS,
	.len = 1500},
};

static void sink(struct ob_worker *worker, struct ob_vif *from, struct ob_burst *b)
{
	(void)worker;
	(void)from;
	rte_pktmbuf_free_bulk(b->pkt, b->n);
}

static void start(const struct bench_case *c)
{
	ob_vif_set_features(vif, c->features | 1ull << VIRTIO_F_VERSION_1);
	for (unsigned q = 0; q < 2; q++) {
		struct ob_virtq_conf vc = {.size = RING, .packed = c->packed};

		if (fake_ring_init(&ring[q], &g,
			&(struct fake_ring_conf){.size = RING, .packed = c->packed}) < 0)
			abort();
		vc.desc.v = ring[q].desc_iova;
		vc.driver.v = ring[q].driver_iova;
		vc.device.v = ring[q].device_iova;
		if (ob_vif_start_queue(vif, q, &vc, -1, false, -1) < 0)
			abort();
	}
}

static void stop(void)
{
	for (unsigned q = 0; q < 2; q++) {
		ob_vif_stop_queue(vif, q);
		fake_ring_fini(&ring[q]);
	}
	ob_rcu_reclaim();
}

static void drive(struct fake_ring *r, bool to_guest, uint32_t len)
{
	uint64_t cookie;
	uint32_t used;

	while (fake_ring_reap(r, &cookie, &used) == 1)
		;
	for (unsigned i = 0; i < BURST; i++) {
		static unsigned next;
		struct fake_sg sg = {
		    bufs + (uint64_t)(next++ % RING) * BUF, to_guest ? BUF : len + 12};

		fake_ring_add(r, &sg, !to_guest, to_guest, 0);
	}
}

/* A TCP frame whose checksum was verified, so that the merge alone is measured. */
static void make_frame(
    const struct bench_case *c, struct rte_mbuf *m, struct ob_meta *meta, uint32_t seq)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	static const uint8_t hdr[54] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0,
	    0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0,
	    0, 1, 0x50, 0x10};

	memcpy(p, hdr, sizeof(hdr));
	p[16] = (uint8_t)((c->len - 14) >> 8);
	p[17] = (uint8_t)(c->len - 14);
	seq = rte_cpu_to_be_32(seq);
	memcpy(p + 38, &seq, sizeof(seq));
	*meta = (struct ob_meta){.out_vif = ob_vif_idx(vif),
	    .l2_len = 14,
	    .l3_len = 20,
	    .l4_len = c->tcp ? 20 : 8,
	    .flags =
		(uint16_t)(OB_PKT_IP4 | (c->tcp ? OB_PKT_TCP | OB_PKT_L4_CSUM_GOOD : OB_PKT_UDP))};
}

static uint64_t one_burst(const struct bench_case *c)
{
	struct rte_mbuf *m[BURST];
	struct ob_meta meta[BURST];
	uint64_t t0, t1;

	drive(&ring[c->to_guest ? 0 : 1], c->to_guest, c->len);
	if (c->to_guest) {
		if (rte_pktmbuf_alloc_bulk(ob_worker_pool(w), m, BURST) < 0)
			abort();
		for (unsigned i = 0; i < BURST; i++) {
			m[i]->data_off = OB_HEADROOM;
			m[i]->data_len = (uint16_t)c->len;
			m[i]->pkt_len = c->len;
			make_frame(c, m[i], &meta[i], i * (c->len - 54));
		}
	}
	t0 = rte_rdtsc_precise();
	if (c->to_guest)
		ob_vif_output(w, m, meta, BURST);
	ob_worker_round(w);
	t1 = rte_rdtsc_precise();
	return t1 - t0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(const struct bench_case *c, unsigned bursts)
{
	double ns[REPEATS];

	start(c);
	for (unsigned r = 0; r < REPEATS; r++) {
		uint64_t tsc = 0;

		for (unsigned i = 0; i < bursts; i++)
			tsc += one_burst(c);
		ns[r] = (double)tsc * 1e9 / (double)rte_get_tsc_hz() / bursts / BURST;
	}
	stop();
	qsort(ns, REPEATS, sizeof(ns[0]), by_value);
	printf("%-32s %7.1f ns/packet (min %.1f)\n", c->name, ns[REPEATS / 2], ns[0]);
}

int main(int argc, char **argv)
{
	unsigned bursts = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
	int only = argc > 2 ? atoi(argv[2]) : -1;
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};
	struct ob_vif_conf vc = {.name = "bench", .n_pairs = 1};

	ob_test_eal();
	if (ob_arena_create("bench", 64u << 20, &wc.arena) < 0 || ob_workers_start(&wc) < 0 ||
	    ob_vif_init(wc.arena) < 0 || fake_guest_init(&g, 16u << 20, IOVA) < 0 ||
	    ob_gmem_create(&(struct ob_gmem_conf){.name = "bench"}, &vc.gm) < 0 ||
	    ob_gmem_add(vc.gm, (ob_iova_t){IOVA}, g.len, OB_GMEM_READ | OB_GMEM_WRITE, g.fd, 0) <
		0 ||
	    ob_vif_create(&vc, &vif) < 0)
		return 1;
	w = ob_worker_get(0);
	ob_vif_set_input(sink);
	bufs = fake_guest_alloc(&g, RING * BUF, 64);
	for (unsigned i = 0; i < RTE_DIM(cases); i++)
		if (only < 0 || only == (int)i)
			run(&cases[i], bursts);
	ob_vif_destroy(vif);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_gmem_destroy(vc.gm);
	ob_arena_destroy(wc.arena);
	return 0;
}
