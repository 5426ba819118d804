/* SPDX-License-Identifier: BSD-3-Clause */
/* A block function's rings with a guest on the one side and a device of the test's on the other: one worker that the test drives
 * round by round. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_driver.h"
#include "ob_test_eal.h"

#include "vblk_int.h"

#define ENV_QUEUES 2
#define ENV_IOVA   0x100000u
#define ENV_LEN	   (16u << 20)
#define ENV_SIZE   64
#define F(bit)	   (1ull << (bit))
#define ENV_F	   (F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_DISCARD) | F(VIRTIO_BLK_F_WRITE_ZEROES))

struct env {
	struct ob_arena *arena;
	struct ob_gmem *gm;
	struct fake_guest g;
	struct ob_blk *blk;
	struct ob_vblk *vb;
	struct fake_ring ring[ENV_QUEUES];
	int irq;
	bool packed;
};

static inline void env_sync(void *ctx)
{
	struct env *e = ctx;

	if (e->vb != NULL)
		ob_vblk_quiesce(e->vb);
}

/* Takes 'blk' over. */
static inline struct env *env_create(struct ob_blk *blk, bool packed, bool by_hva, bool read_only)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true, .n_mbufs = 255};
	struct env *e = calloc(1, sizeof(*e));
	struct ob_gmem_conf gc = {.name = "t0", .sync = env_sync, .sync_ctx = e};
	struct ob_vblk_conf vc = {.name = "t0",
	    .n_queues = ENV_QUEUES,
	    .queue_size = 2 * ENV_SIZE,
	    .id = "the-disk",
	    .read_only = read_only};

	ob_test_eal();
	assert_non_null(e);
	e->packed = packed;
	e->blk = blk;
	assert_int_equal(ob_arena_create("vblk-test", 64u << 20, &e->arena), 0);
	wc.arena = e->arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(ob_gmem_create(&gc, &e->gm), 0);
	assert_int_equal(fake_guest_init(&e->g, ENV_LEN, ENV_IOVA), 0);
	if (by_hva)
		assert_int_equal(ob_gmem_add_hva(e->gm, (ob_iova_t){ENV_IOVA}, ENV_LEN,
				     OB_GMEM_READ | OB_GMEM_WRITE, e->g.mem),
		    0);
	else
		assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){ENV_IOVA}, ENV_LEN,
				     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
		    0);
	vc.gm = e->gm;
	vc.arena = e->arena;
	vc.blk = blk;
	assert_int_equal(ob_vblk_create(&vc, &e->vb), 0);
	e->irq = eventfd(0, EFD_NONBLOCK);
	return e;
}

static inline void env_start_queue(struct env *e, unsigned q, bool indirect)
{
	struct ob_virtq_conf c = {.size = ENV_SIZE, .packed = e->packed, .indirect = true};

	assert_int_equal(fake_ring_init(&e->ring[q], &e->g,
			     &(struct fake_ring_conf){
				 .size = ENV_SIZE, .packed = e->packed, .indirect = indirect}),
	    0);
	c.desc.v = e->ring[q].desc_iova;
	c.driver.v = e->ring[q].driver_iova;
	c.device.v = e->ring[q].device_iova;
	fake_ring_want_interrupt(&e->ring[q], true);
	assert_int_equal(ob_vblk_start_queue(e->vb, q, &c, e->irq, false, -1), 0);
}

static inline void env_start(struct env *e, uint64_t features)
{
	ob_vblk_set_features(
	    e->vb, features | F(VIRTIO_F_VERSION_1) | (e->packed ? F(VIRTIO_F_RING_PACKED) : 0));
	env_start_queue(e, 0, false);
}

static inline void env_destroy(struct env *e)
{
	ob_vblk_destroy(e->vb);
	e->vb = NULL;
	for (unsigned q = 0; q < ENV_QUEUES; q++)
		fake_ring_fini(&e->ring[q]);
	ob_blk_put(e->blk);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_gmem_destroy(e->gm);
	fake_guest_fini(&e->g);
	ob_arena_destroy(e->arena);
	close(e->irq);
	free(e);
}

static inline unsigned env_round(void)
{
	return ob_worker_round(ob_worker_get(0));
}

static inline uint64_t env_irqs(struct env *e)
{
	uint64_t n;

	return read(e->irq, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static inline struct ob_blk_ch *env_ch(struct env *e)
{
	return e->vb->shard[0]->ch;
}

/* A request's memory in the guest: header, data, status. */
struct env_req {
	uint64_t hdr, data, status;
	uint32_t len;
};

static inline struct env_req env_req(struct env *e, uint32_t type, uint64_t sector, uint32_t len)
{
	struct env_req r = {.len = len};
	struct virtio_blk_outhdr h = {.type = type, .sector = sector};

	r.hdr = fake_guest_alloc(&e->g, sizeof(h), 16);
	r.data = fake_guest_alloc(&e->g, len > 0 ? len : 1, 512);
	r.status = fake_guest_alloc(&e->g, 1, 1);
	assert_true(r.hdr != 0 && r.data != 0 && r.status != 0);
	memcpy(fake_guest_ptr(&e->g, r.hdr), &h, sizeof(h));
	memset(fake_guest_ptr(&e->g, r.status), 0xee, 1);
	return r;
}

/* Posts it as most drivers do. 'pieces': of the data. The cookie is the status byte's address. */
static inline void env_post(
    struct env *e, unsigned q, const struct env_req *r, bool to_driver, unsigned pieces)
{
	struct fake_sg sg[64];
	unsigned n = 0;

	assert_true(pieces <= 60);
	sg[n++] = (struct fake_sg){r->hdr, sizeof(struct virtio_blk_outhdr)};
	for (unsigned k = 0; k < pieces; k++) {
		uint32_t from = r->len * k / pieces, to = r->len * (k + 1) / pieces;

		sg[n++] = (struct fake_sg){r->data + from, to - from};
	}
	sg[n++] = (struct fake_sg){r->status, 1};
	assert_int_equal(
	    fake_ring_add(&e->ring[q], sg, to_driver ? 1 : n - 1, to_driver ? n - 1 : 1, r->status),
	    0);
}

static inline uint8_t env_status(struct env *e, const struct env_req *r)
{
	return *(uint8_t *)fake_guest_ptr(&e->g, r->status);
}

/* One that completes within a round: its status. */
static inline uint8_t env_exec(
    struct env *e, const struct env_req *r, bool to_driver, unsigned pieces)
{
	uint64_t cookie;
	uint32_t len;

	env_post(e, 0, r, to_driver, pieces);
	for (unsigned i = 0; i < 8; i++)
		env_round();
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(cookie, r->status);
	assert_int_equal(len, (to_driver ? r->len : 0) + 1);
	return env_status(e, r);
}
