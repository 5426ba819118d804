/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of I/O queues: a guest with one queue pair in its memory, a controller over a volume, one worker driven by hand. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_driver.h"
#include "nvmeq_int.h"
#include "ob_test_eal.h"

#define T_IOVA	  0x100000ull
#define T_MEM	  (16u << 20)
#define T_ENTRIES 64u
#define T_BYTES	  (64ull << 20)

struct t_queue {
	uint64_t sq, cq; /* iova */
	uint16_t qid, size, tail, head;
	uint8_t phase;
};

struct t_cqe {
	uint32_t dw0, dw1;
	uint16_t sqhd, sqid, cid, status;
};

struct t_env {
	struct fake_guest g;
	struct ob_gmem *gm;
	struct ob_arena *arena;
	struct ob_worker *w;
	struct ob_blk *blk;
	struct ob_nvme_ns *ns;
	struct ob_nvmeq *q;
	struct t_queue io;
	int irq;
	uint64_t buf; /* 4 MiB of guest memory */
	unsigned n_events;
	struct ob_nvmeq_event event[64];
};

static inline void t_on_event(void *ctx, const struct ob_nvmeq_event *ev)
{
	struct t_env *e = ctx;

	if (e->n_events < 64)
		e->event[e->n_events++] = *ev;
}

static inline void t_sync(void *ctx)
{
	struct t_env *e = ctx;

	ob_nvmeq_sync(e->q);
}

static inline void t_start_queue(struct t_env *e, struct t_queue *tq, uint16_t qid, uint16_t size)
{
	*tq = (struct t_queue){.qid = qid, .size = size, .phase = 1};
	tq->sq = fake_guest_alloc(&e->g, (size_t)size * 64, 4096);
	tq->cq = fake_guest_alloc(&e->g, (size_t)size * 16, 4096);
	assert_true(tq->sq != 0 && tq->cq != 0);
	assert_int_equal(ob_nvmeq_start_cq(e->q, qid, (ob_iova_t){tq->cq}, size, qid, true), 0);
	assert_int_equal(ob_nvmeq_start_sq(e->q, qid, qid, (ob_iova_t){tq->sq}, size), 0);
}

static inline void t_open_with(struct t_env *e, struct ob_blk *blk, uint32_t lba_bytes)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};
	struct ob_gmem_conf gc = {.name = "test", .sync = t_sync, .sync_ctx = e};
	struct ob_nvme_ns_conf nc = {
	    .name = "vol", .blk = blk, .lba_bytes = lba_bytes, .ana_group = 1};
	struct ob_nvmeq_conf qc = {.name = "nvme0",
	    .cntlid = 1,
	    .max_qpairs = 4,
	    .max_entries = 256,
	    .mdts_bytes = 1u << 20,
	    .sgl = true,
	    .on_event = t_on_event,
	    .ctx = e};

	memset(e, 0, sizeof(*e));
	ob_test_eal();
	e->blk = blk;
	assert_int_equal(ob_arena_create("test", 64u << 20, &e->arena), 0);
	wc.arena = e->arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	e->w = ob_worker_get(0);
	assert_int_equal(fake_guest_init(&e->g, T_MEM, T_IOVA), 0);
	assert_int_equal(ob_gmem_create(&gc, &e->gm), 0);
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){T_IOVA}, T_MEM,
			     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
	    0);
	assert_int_equal(ob_nvme_ns_create(&nc, &e->ns), 0);
	qc.gm = e->gm;
	qc.arena = e->arena;
	assert_int_equal(ob_nvmeq_create(&qc, &e->q), 0);
	assert_int_equal(ob_nvmeq_enable(e->q, 12), 0);
	assert_int_equal(ob_nvmeq_set_ns(e->q, 1, e->ns), 0);
	e->irq = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ob_nvmeq_set_irq_fd(e->q, 1, e->irq), 0);
	e->buf = fake_guest_alloc(&e->g, 4u << 20, 4096);
	t_start_queue(e, &e->io, 1, T_ENTRIES);
}

static inline void t_open(struct t_env *e)
{
	struct ob_blk *blk;
	char err[128];

	ob_test_eal();
	assert_int_equal(ob_blk_ram_create("ram", T_BYTES, 512, &blk, err, sizeof(err)), 0);
	t_open_with(e, blk, 512);
}

static inline void t_close(struct t_env *e)
{
	ob_nvmeq_destroy(e->q);
	e->q = NULL;
	ob_nvme_ns_put(e->ns);
	ob_blk_put(e->blk);
	ob_gmem_destroy(e->gm);
	fake_guest_fini(&e->g);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_arena_destroy(e->arena);
	close(e->irq);
}

/* A command into the ring, without the doorbell. */
static inline void t_put(struct t_env *e, struct t_queue *tq, const struct ob_nvme_sqe *sqe)
{
	memcpy(fake_guest_ptr(&e->g, tq->sq + tq->tail * 64ull), sqe, 64);
	tq->tail = (uint16_t)((tq->tail + 1) % tq->size);
}

static inline void t_ring(struct t_env *e, const struct t_queue *tq)
{
	assert_int_equal(ob_nvmeq_doorbell(e->q, tq->qid, false, tq->tail), 0);
}

/* The next completion, whose head doorbell follows. Returns false: none. */
static inline bool t_reap(struct t_env *e, struct t_queue *tq, struct t_cqe *out)
{
	memcpy(out, fake_guest_ptr(&e->g, tq->cq + tq->head * 16ull), 16);
	if ((out->status & 1) != tq->phase)
		return false;
	tq->head = (uint16_t)(tq->head + 1);
	if (tq->head == tq->size) {
		tq->head = 0;
		tq->phase ^= 1;
	}
	assert_int_equal(ob_nvmeq_doorbell(e->q, tq->qid, true, tq->head), 0);
	return true;
}

/* Rounds of the worker and of the control thread until nothing happens. */
static inline void t_run(struct t_env *e)
{
	for (unsigned idle = 0, n = 0; idle < 2 && n < 100000; n++) {
		unsigned did = ob_worker_round(e->w);

		did += ob_nvmeq_poll_events();
		idle = did > 0 ? 0 : idle + 1;
	}
}

/* One command, alone. Returns its status without phase, and without More. */
static inline uint16_t t_do(struct t_env *e, const struct ob_nvme_sqe *sqe, uint32_t *dw0)
{
	struct t_cqe c;

	t_put(e, &e->io, sqe);
	t_ring(e, &e->io);
	t_run(e);
	assert_true(t_reap(e, &e->io, &c));
	assert_int_equal(c.cid, sqe->cid);
	assert_int_equal(c.sqid, e->io.qid);
	assert_int_equal(c.sqhd, e->io.tail);
	if (dw0 != NULL)
		*dw0 = c.dw0;
	return (uint16_t)(c.status >> 1 & ~NVME_SC_MORE);
}

static inline struct ob_nvme_sqe t_rw(
    uint8_t op, uint64_t slba, uint32_t nlb, uint64_t prp1, uint64_t prp2)
{
	return (struct ob_nvme_sqe){.opcode = op,
	    .cid = 7,
	    .nsid = 1,
	    .dptr = {prp1, prp2},
	    .cdw10 = (uint32_t)slba,
	    .cdw11 = (uint32_t)(slba >> 32),
	    .cdw12 = nlb - 1};
}

static inline void *t_mem(const struct t_env *e, uint64_t iova)
{
	return fake_guest_ptr(&e->g, iova);
}

static inline void t_fill(const struct t_env *e, uint64_t iova, size_t len, uint32_t seed)
{
	uint8_t *p = t_mem(e, iova);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((seed + i) * 2654435761u >> 24);
}

static inline uint64_t t_irqs(const struct t_env *e)
{
	uint64_t n = 0;

	return read(e->irq, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

#define T_ERR(sc)     ((uint16_t)((sc) | NVME_SC_DNR))
#define T_SC(sct, sc) ((uint16_t)((sct) << NVME_SCT_SHIFT | (sc)))
