/* SPDX-License-Identifier: BSD-3-Clause */
/* A function with a guest behind it, for the tests of this folder: one worker that the test drives round by round. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_driver.h"
#include "ob_test_eal.h"

#include "test_pkt.h"
#include "vif_int.h"

#define ENV_PAIRS 2
#define ENV_IOVA  0x100000u
#define F(bit)	  (1ull << (bit))

struct env {
	struct ob_arena *arena;
	struct ob_gmem *gm;
	struct fake_guest g;
	struct ob_vif *vif;
	struct fake_ring ring[2 * ENV_PAIRS];
	int irq[2 * ENV_PAIRS];
	bool packed, indirect;
	unsigned n_workers;
	/* What the input got. */
	unsigned n_in;
	struct rte_mbuf *in[512];
	struct ob_meta in_meta[512];
	void (*on_input)(struct env *e);
};

static struct env *env_now;
static bool env_by_hva; /* the guest's memory is the test's own mapping */
static uint8_t env_frame[PKT_MAX], env_flat[PKT_MAX];

static inline void env_input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	struct env *e = env_now;

	(void)w;
	assert_ptr_equal(vif, e->vif);
	assert_in_range(b->n, 1, OB_BURST_MAX);
	if (e->on_input != NULL)
		e->on_input(e);
	for (unsigned i = 0; i < b->n; i++) {
		assert_true(e->n_in < RTE_DIM(e->in));
		e->in[e->n_in] = b->pkt[i];
		e->in_meta[e->n_in++] = b->meta[i];
	}
}

static inline struct env *env_create(bool packed, unsigned n_workers, bool manual)
{
	struct ob_workers_conf wc = {.n_workers = n_workers, .manual = manual, .n_mbufs = 1023};
	struct ob_vif_conf vc = {
	    .name = "t0", .n_pairs = ENV_PAIRS, .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500};
	struct ob_gmem_conf gc = {.name = "t0", .sync = ob_rcu_sync};
	struct env *e = calloc(1, sizeof(*e));

	ob_test_eal();
	assert_non_null(e);
	e->packed = packed;
	e->n_workers = n_workers;
	assert_int_equal(ob_arena_create("vif-test", 256u << 20, &e->arena), 0);
	wc.arena = e->arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(ob_vif_init(e->arena), 0);
	assert_int_equal(ob_gmem_create(&gc, &e->gm), 0);
	assert_int_equal(fake_guest_init(&e->g, 16u << 20, ENV_IOVA), 0);
	if (env_by_hva)
		assert_int_equal(ob_gmem_add_hva(e->gm, (ob_iova_t){e->g.iova}, e->g.len,
				     OB_GMEM_READ | OB_GMEM_WRITE, e->g.mem),
		    0);
	else
		assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){e->g.iova}, e->g.len,
				     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
		    0);
	vc.gm = e->gm;
	assert_int_equal(ob_vif_create(&vc, &e->vif), 0);
	ob_vif_set_input(env_input);
	for (unsigned q = 0; q < 2 * ENV_PAIRS; q++)
		e->irq[q] = -1;
	env_now = e;
	return e;
}

static inline void env_start_queue(struct env *e, unsigned q, uint16_t size)
{
	struct ob_virtq_conf c = {.size = size, .packed = e->packed, .indirect = true};

	assert_int_equal(fake_ring_init(&e->ring[q], &e->g,
			     &(struct fake_ring_conf){
				 .size = size, .packed = e->packed, .indirect = e->indirect}),
	    0);
	c.desc.v = e->ring[q].desc_iova;
	c.driver.v = e->ring[q].driver_iova;
	c.device.v = e->ring[q].device_iova;
	e->irq[q] = eventfd(0, EFD_NONBLOCK);
	fake_ring_want_interrupt(&e->ring[q], true);
	assert_int_equal(ob_vif_start_queue(e->vif, q, &c, e->irq[q], false, -1), 0);
}

static inline void env_start(struct env *e, uint64_t features, uint16_t size)
{
	ob_vif_set_features(
	    e->vif, features | F(VIRTIO_F_VERSION_1) | (e->packed ? F(VIRTIO_F_RING_PACKED) : 0));
	env_start_queue(e, 0, size);
	env_start_queue(e, 1, size);
}

static inline void env_drop_in(struct env *e)
{
	rte_pktmbuf_free_bulk(e->in, e->n_in);
	e->n_in = 0;
}

static inline void env_destroy(struct env *e)
{
	env_drop_in(e);
	for (unsigned q = 0; q < 2 * ENV_PAIRS; q++) {
		ob_vif_stop_queue(e->vif, q);
		fake_ring_fini(&e->ring[q]);
		if (e->irq[q] >= 0)
			close(e->irq[q]);
	}
	for (unsigned i = 0; i < e->n_workers; i++)
		assert_int_equal(rte_mempool_in_use_count(ob_worker_pool(ob_worker_get(i))), 0);
	ob_vif_destroy(e->vif);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_gmem_destroy(e->gm);
	fake_guest_fini(&e->g);
	ob_arena_destroy(e->arena);
	ob_vif_set_input(NULL);
	free(e);
	env_now = NULL;
}

static inline void env_round(struct env *e)
{
	for (unsigned k = 0; k < e->n_workers; k++)
		for (unsigned i = 0; i < e->n_workers; i++)
			ob_worker_round(ob_worker_get(i));
}

static inline uint64_t env_irqs(struct env *e, unsigned q)
{
	uint64_t n;

	return read(e->irq[q], &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static inline uint64_t env_dropped(const struct env *e, enum ob_drop why)
{
	return ob_drops_read(ob_vif_idx(e->vif), why);
}

static inline uint64_t env_dropped_all(const struct env *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < OB_N_DROPS; i++)
		n += env_dropped(e, i);
	return n;
}

/* The guest sends header and frame, cut at 'cut' (0: one piece). */
static inline void env_send(
    struct env *e, const struct virtio_net_hdr_v1 *h, const uint8_t *f, uint32_t len, uint32_t cut)
{
	uint32_t total = (uint32_t)sizeof(*h) + len;
	uint64_t at = fake_guest_alloc(&e->g, total, 1);
	uint8_t *p = fake_guest_ptr(&e->g, at);
	struct fake_sg sg[2] = {{at, cut ? cut : total}, {at + cut, total - cut}};

	assert_true(at != 0);
	memcpy(p, h, sizeof(*h));
	memcpy(p + sizeof(*h), f, len);
	assert_int_equal(fake_ring_add(&e->ring[1], sg, cut ? 2 : 1, 0, at), 0);
}

/* The guest posts 'n' receive buffers of 'len' bytes each, of 'pieces' pieces. The cookie is the address. */
static inline void env_post(struct env *e, unsigned q, unsigned n, uint32_t len, unsigned pieces)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = fake_guest_alloc(&e->g, len, 1);
		struct fake_sg sg[64];

		assert_true(at != 0 && pieces <= 64);
		for (unsigned k = 0; k < pieces; k++) {
			uint32_t from = len * k / pieces, to = len * (k + 1) / pieces;

			sg[k] = (struct fake_sg){at + from, to - from};
		}
		assert_int_equal(fake_ring_add(&e->ring[q], sg, 0, pieces, at), 0);
	}
}

/* One packet as the guest's driver sees it: joins num_buffers buffers. Returns the frame's length, 0: none. */
static inline uint32_t env_receive(
    struct env *e, unsigned q, unsigned hdr_len, struct virtio_net_hdr_v1_hash *h, uint8_t *out)
{
	uint64_t at;
	uint32_t len, total;
	unsigned n;

	memset(h, 0, sizeof(*h));
	if (fake_ring_reap(&e->ring[q], &at, &len) != 1)
		return 0;
	assert_true(len >= hdr_len);
	memcpy(h, fake_guest_ptr(&e->g, at), hdr_len);
	total = len - hdr_len;
	memcpy(out, (uint8_t *)fake_guest_ptr(&e->g, at) + hdr_len, total);
	n = rte_le_to_cpu_16(h->hdr.num_buffers);
	assert_true(n > 0);
	while (--n > 0) {
		assert_int_equal(fake_ring_reap(&e->ring[q], &at, &len), 1);
		memcpy(out + total, fake_guest_ptr(&e->g, at), len);
		total += len;
	}
	return total;
}

/* The card delivers a frame of 'spec'. Returns its length. */
static inline uint32_t env_output(
    struct env *e, const struct pkt_spec *spec, uint16_t flags, uint16_t mss)
{
	struct ob_worker *w = ob_worker_get(0);
	struct ob_meta meta;
	uint32_t len = pkt_build(spec, env_frame, &meta);
	struct rte_mbuf *m = pkt_mbuf(ob_worker_pool(w), env_frame, len, 2000);

	meta.flags |= flags;
	m->tso_segsz = mss;
	meta.out_vif = ob_vif_idx(e->vif);
	ob_vif_output(w, &m, &meta, 1);
	return len;
}
