/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of this folder: a controller over a stand-in of the vfio-user server and the real I/O side, RAM volumes, one worker
 * driven by hand, and a driver's way to registers and queues. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <linux/pci_regs.h>

#include "fake_driver.h"
#include "fake_nvfu.h"
#include "nvme.h"
#include "ob_test_eal.h"
#include "ob_worker.h"

#define T_IOVA	  0x100000ull
#define T_MEM	  (8u << 20)
#define T_ENTRIES 16u
#define T_QPAIRS  4u
#define T_BYTES	  (16ull << 20)
#define T_EN	  (1u | 6u << 16 | 4u << 20)
#define T_STATUS  0x7ffu /* type and code, without More and Do Not Retry */

struct t_cqe {
	uint32_t dw0, dw1;
	uint16_t sqhd, sqid, cid, status;
};

struct t_q {
	uint64_t sq, cq;
	uint16_t size, tail, head, next_cid;
	uint8_t phase;
};

struct t {
	struct event_base *base;
	struct ob_arena *arena;
	struct fake_guest g;
	struct ob_worker *w;
	struct ob_nvme *c;
	struct nvme_state *st;
	struct ob_blk *blk;
	struct ob_nvme_ns *ns;
	struct t_q admin;
	uint64_t data; /* 64 KiB of the guest's */
	struct ob_nvme_hooks hooks;
};

static inline void t_bar(unsigned ctrl, uint64_t off, const void *buf, size_t len)
{
	fake_nvfu[ctrl].conf.ops->bar_write(fake_nvfu[ctrl].conf.ctx, 0, off, buf, len);
}

static inline void t_write(uint64_t off, uint64_t v, size_t len)
{
	t_bar(0, off, &v, len); /* little-endian hosts */
}

static inline uint64_t t_read(uint64_t off, size_t len)
{
	uint64_t v = 0;

	fake_nvfu[0].conf.ops->bar_read(fake_nvfu[0].conf.ctx, 0, off, &v, len);
	return v;
}

static inline void t_command(uint16_t command)
{
	fake_nvfu[0].conf.ops->command(fake_nvfu[0].conf.ctx, command);
}

/* Turns of the event loop and rounds of the worker, until nothing happens. */
static inline void t_run(struct t *t)
{
	for (unsigned idle = 0, n = 0; idle < 3 && n < 100000; n++) {
		unsigned did = ob_worker_round(t->w);

		did += ob_nvmeq_poll_events();
		event_base_loop(t->base, EVLOOP_NONBLOCK);
		idle = did > 0 ? 0 : idle + 1;
	}
}

static inline struct ob_nvme_conf t_conf(struct t *t)
{
	return (struct ob_nvme_conf){
	    .name = "nvme0",
	    .path = "/run/nvme0.sock",
	    .base = t->base,
	    .arena = t->arena,
	    .serial = "OB-0001",
	    .cntlid = OB_NVME_CNTLID_AUTO,
	    .n_qpairs = T_QPAIRS,
	    .queue_entries = 64,
	    .hooks = &t->hooks,
	    .hooks_ctx = t,
	};
}

static inline struct ob_nvme_ns *t_new_ns(const char *name, uint64_t bytes, uint8_t id)
{
	struct ob_nvme_ns_conf nc = {.ana_group = 1, .uuid = {id}, .nguid = {id, 1}};
	struct ob_nvme_ns *ns;
	char err[128];

	strncpy(nc.name, name, sizeof(nc.name) - 1);
	assert_int_equal(ob_blk_ram_create(name, bytes, 512, &nc.blk, err, sizeof(err)), 0);
	assert_int_equal(ob_nvme_ns_create(&nc, &ns), 0);
	ob_blk_put(nc.blk);
	return ns;
}

static inline void t_map(struct t *t, struct ob_nvme *c)
{
	assert_int_equal(ob_gmem_add(c->gm, (ob_iova_t){T_IOVA}, T_MEM,
			     OB_GMEM_READ | OB_GMEM_WRITE, t->g.fd, 0),
	    0);
}

static inline int t_setup(void **state)
{
	static struct t t;
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};
	struct ob_nvme_conf conf;
	uint32_t nsid = 1;

	memset(&t, 0, sizeof(t));
	ob_test_eal();
	fake_nvfu_reset();
	t.base = event_base_new();
	if (ob_arena_create("t", 64u << 20, &t.arena) != 0)
		return -1;
	wc.arena = t.arena;
	if (ob_workers_start(&wc) != 0 || fake_guest_init(&t.g, T_MEM, T_IOVA) != 0)
		return -1;
	t.w = ob_worker_get(0);
	conf = t_conf(&t);
	if (ob_nvme_create(&conf, &t.c) != 0)
		return -1;
	t.st = t.c->st;
	t_map(&t, t.c);
	t.ns = t_new_ns("vol0", T_BYTES, 7);
	if (ob_nvme_add_ns(t.c, &nsid, t.ns) != 0)
		return -1;
	t.admin.sq = fake_guest_alloc(&t.g, 4096, 4096);
	t.admin.cq = fake_guest_alloc(&t.g, 4096, 4096);
	t.data = fake_guest_alloc(&t.g, 65536, 4096);
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	*state = &t;
	return 0;
}

static inline int t_teardown(void **state)
{
	struct t *t = *state;

	ob_nvme_destroy(t->c);
	ob_nvme_ns_put(t->ns);
	fake_guest_fini(&t->g);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_arena_destroy(t->arena);
	event_base_free(t->base);
	return 0;
}

static inline void *t_mem(const struct t *t, uint64_t iova)
{
	return fake_guest_ptr(&t->g, iova);
}

/* Fresh admin queues and CC.EN. */
static inline void t_enable(struct t *t)
{
	t->admin.size = T_ENTRIES;
	t->admin.tail = t->admin.head = 0;
	t->admin.phase = 1;
	memset(t_mem(t, t->admin.cq), 0, 4096);
	t_write(NVME_REG_AQA, (T_ENTRIES - 1) << 16 | (T_ENTRIES - 1), 4);
	t_write(NVME_REG_ASQ, t->admin.sq, 8);
	t_write(NVME_REG_ACQ, t->admin.cq, 8);
	t_write(NVME_REG_CC, T_EN, 4);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1);
}

static inline int t_setup_enabled(void **state)
{
	if (t_setup(state) != 0)
		return -1;
	t_enable(*state);
	return 0;
}

static inline void t_put(struct t *t, struct t_q *q, const struct ob_nvme_sqe *e)
{
	memcpy((uint8_t *)t_mem(t, q->sq) + q->tail * 64u, e, sizeof(*e));
	q->tail = (uint16_t)((q->tail + 1) % q->size);
}

static inline bool t_reap(struct t *t, struct t_q *q, uint64_t doorbell, struct t_cqe *out)
{
	memcpy(out, (uint8_t *)t_mem(t, q->cq) + q->head * 16u, sizeof(*out));
	if ((out->status & 1) != q->phase)
		return false;
	q->head = (uint16_t)((q->head + 1) % q->size);
	if (q->head == 0)
		q->phase ^= 1;
	t_write(doorbell, q->head, 4);
	return true;
}

/* Sends an admin command; nothing is waited for. */
static inline uint16_t t_send(struct t *t, struct ob_nvme_sqe *e)
{
	e->cid = ++t->admin.next_cid;
	t_put(t, &t->admin, e);
	t_write(0x1000, t->admin.tail, 4);
	return e->cid;
}

static inline bool t_done(struct t *t, struct t_cqe *out)
{
	return t_reap(t, &t->admin, 0x1004, out);
}

/* One admin command and its completion. Returns type and code; '*dw0' may be NULL. */
static inline uint16_t t_admin(struct t *t, struct ob_nvme_sqe *e, uint32_t *dw0)
{
	struct t_cqe c;
	uint16_t cid = t_send(t, e);

	t_run(t);
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, cid);
	assert_int_equal(c.sqid, 0);
	if (dw0 != NULL)
		*dw0 = c.dw0;
	return c.status >> 1 & T_STATUS;
}

static inline struct ob_nvme_sqe t_cmd(
    const struct t *t, uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11)
{
	return (struct ob_nvme_sqe){.opcode = opcode,
	    .nsid = nsid,
	    .dptr = {t->data, t->data + 4096},
	    .cdw10 = cdw10,
	    .cdw11 = cdw11};
}

static inline uint16_t t_do(
    struct t *t, uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11, uint32_t *dw0)
{
	struct ob_nvme_sqe e = t_cmd(t, opcode, nsid, cdw10, cdw11);

	return t_admin(t, &e, dw0);
}

static inline uint16_t t_identify(struct t *t, uint8_t cns, uint32_t nsid, uint16_t cntid)
{
	memset(t_mem(t, t->data), 0xee, 4096);
	return t_do(t, nvme_admin_identify, nsid, cns | (uint32_t)cntid << 16, 0, NULL);
}

/* 'len' bytes (at most 8192) of a log page, into t->data. */
static inline uint16_t t_log(struct t *t, uint8_t lid, uint32_t nsid, uint32_t len, bool retain)
{
	memset(t_mem(t, t->data), 0xee, 8192);
	return t_do(t, nvme_admin_get_log_page, nsid,
	    lid | (uint32_t)retain << 15 | (len / 4 - 1) << 16, 0, NULL);
}

static inline uint16_t t_set_feature(struct t *t, uint8_t fid, uint32_t v, uint32_t *dw0)
{
	return t_do(t, nvme_admin_set_features, 0, fid, v, dw0);
}

static inline uint16_t t_get_feature(struct t *t, uint8_t fid, unsigned sel, uint32_t *dw0)
{
	return t_do(t, nvme_admin_get_features, 0, fid | sel << 8, 0, dw0);
}

/* An I/O queue pair with number 'qid' of 16 entries. */
static inline struct t_q t_io_queues(struct t *t, uint16_t qid)
{
	struct t_q q = {.size = 16, .phase = 1};
	struct ob_nvme_sqe e;

	q.sq = fake_guest_alloc(&t->g, 4096, 4096);
	q.cq = fake_guest_alloc(&t->g, 4096, 4096);
	memset(t_mem(t, q.cq), 0, 4096);
	e = t_cmd(t, nvme_admin_create_cq, 0, qid | 15u << 16, 1);
	e.dptr[0] = q.cq;
	assert_int_equal(t_admin(t, &e, NULL), 0);
	e = t_cmd(t, nvme_admin_create_sq, 0, qid | 15u << 16, 1 | (uint32_t)qid << 16);
	e.dptr[0] = q.sq;
	assert_int_equal(t_admin(t, &e, NULL), 0);
	return q;
}

/* One I/O command; returns its type and code. */
static inline uint16_t t_io(struct t *t, struct t_q *q, uint16_t qid, uint8_t opcode, uint32_t nsid,
    uint64_t slba, uint32_t n_lbas)
{
	struct ob_nvme_sqe e = {.opcode = opcode,
	    .cid = 9,
	    .nsid = nsid,
	    .dptr = {t->data, t->data + 4096},
	    .cdw10 = (uint32_t)slba,
	    .cdw11 = (uint32_t)(slba >> 32),
	    .cdw12 = n_lbas - 1};
	struct t_cqe c;

	t_put(t, q, &e);
	t_write(0x1000 + 8u * qid, q->tail, 4);
	t_run(t);
	assert_true(t_reap(t, q, 0x1004 + 8u * qid, &c));
	return c.status >> 1 & T_STATUS;
}

#define T_CMD(sc) (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | (sc))
#define T(f)	  cmocka_unit_test_setup_teardown(f, t_setup, t_teardown)
#define TE(f)	  cmocka_unit_test_setup_teardown(f, t_setup_enabled, t_teardown)
