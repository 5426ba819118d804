/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens while commands are under way: stop, reset, abort, detach, unmap; over a volume that completes when told to. */
#include <fcntl.h>

#include "test_nvmeq.h"

#include "test_block.h"

static struct ob_blk_ch *volume(const struct t_env *e)
{
	return e->q->nw[0]->nsws[0]->ch;
}

static struct slow_ch *slow_of(const struct t_env *e)
{
	return (struct slow_ch *)volume(e);
}

static void open_slow(struct t_env *e)
{
	struct ob_blk *blk;

	assert_int_equal(slow_create(T_BYTES, &blk), 0);
	t_open_with(e, blk, 512);
}

/* 'n' reads with cids 0.., taken. */
static void reads(struct t_env *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, i, 1, e->buf + i * 4096, 0);

		sqe.cid = (uint16_t)i;
		t_put(e, &e->io, &sqe);
	}
	t_ring(e, &e->io);
	t_run(e);
}

static void errors_of_the_volume_have_their_status(void **state)
{
	static const struct {
		int rc;
		uint8_t op;
		uint16_t status;
	} map[] = {
	    {-EIO, nvme_cmd_read, T_SC(NVME_SCT_MEDIA, NVME_SC_READ_ERROR)},
	    {-EIO, nvme_cmd_write, T_SC(NVME_SCT_MEDIA, NVME_SC_WRITE_FAULT)},
	    {-EIO, nvme_cmd_flush, T_SC(NVME_SCT_MEDIA, NVME_SC_WRITE_FAULT)},
	    {-EINVAL, nvme_cmd_read, T_ERR(NVME_SC_LBA_RANGE)},
	    {-ENOSPC, nvme_cmd_write, T_ERR(NVME_SC_CAP_EXCEEDED)},
	    {-EROFS, nvme_cmd_write, T_ERR(NVME_SC_NS_WRITE_PROTECTED)},
	    {-ENODEV, nvme_cmd_read, NVME_SC_NS_NOT_READY},
	    {-EILSEQ, nvme_cmd_read, T_SC(NVME_SCT_MEDIA, NVME_SC_GUARD_CHECK)},
	    {-EIO, nvme_cmd_verify, T_SC(NVME_SCT_MEDIA, NVME_SC_READ_ERROR)},
	    {-EIO, nvme_cmd_compare, T_SC(NVME_SCT_MEDIA, NVME_SC_READ_ERROR)},
	};
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	for (unsigned i = 0; i < RTE_DIM(map); i++) {
		struct ob_nvme_sqe sqe = t_rw(map[i].op, 0, 1, e.buf, 0);

		((struct slow *)e.blk)->result = map[i].rc;
		t_put(&e, &e.io, &sqe);
		t_ring(&e, &e.io);
		t_run(&e);
		assert_int_equal(slow_let_go(volume(&e), 1), 1);
		t_run(&e);
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, map[i].status);
	}
	t_close(&e);
}

static void more_commands_than_slots_wait_in_the_ring(void **state)
{
	struct t_env e;
	struct ob_nvmeq_counters c;

	(void)state;
	open_slow(&e);
	reads(&e, 63);
	assert_int_equal(slow_of(&e)->n_held, 63);
	assert_int_equal(ob_nvmeq_counters(e.q, 1, &c), 0);
	assert_int_equal(c.n_inflight, 63);
	reads(&e, 40);
	/* Completions of those would not fit. */
	assert_int_equal(slow_of(&e)->n_held, 63);
	slow_let_go(volume(&e), 63);
	t_run(&e);
	assert_int_equal(slow_of(&e)->n_held, 0);
	for (unsigned i = 0; i < 63; i++) {
		struct t_cqe cqe;

		assert_true(t_reap(&e, &e.io, &cqe));
	}
	t_run(&e);
	assert_int_equal(slow_of(&e)->n_held, 40);
	slow_let_go(volume(&e), 40);
	t_close(&e);
}

/* slow cancels what it holds, as a throttle does. */
static void stop_sq_ends_what_waits(void **state)
{
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	reads(&e, 5);
	assert_int_equal(ob_nvmeq_stop_sq(e.q, 1), 0);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, NVME_SC_ABORT_QUEUE);
	}
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, false, 1), -ENOENT);
	assert_int_equal(ob_nvmeq_stop_cq(e.q, 1), 0);
	t_close(&e);
}

static void reset_posts_nothing(void **state)
{
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	reads(&e, 5);
	ob_nvmeq_stop_all(e.q);
	memcpy(&c, t_mem(&e, e.io.cq), sizeof(c));
	assert_int_equal(c.status, 0);
	assert_false(ob_nvmeq_cq_running(e.q, 1));
	/* And again from the start. */
	t_start_queue(&e, &e.io, 1, 16);
	reads(&e, 1);
	slow_let_go(volume(&e), 1);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1, 0);
	t_close(&e);
}

static void abort_ends_one_and_the_others_go_on(void **state)
{
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	reads(&e, 5);
	assert_true(ob_nvmeq_abort(e.q, 1, 3));
	assert_false(ob_nvmeq_abort(e.q, 1, 3));
	assert_false(ob_nvmeq_abort(e.q, 1, 77));
	assert_false(ob_nvmeq_abort(e.q, 2, 0));
	assert_false(ob_nvmeq_abort(e.q, 65, 0));
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.cid, 3);
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, NVME_SC_ABORT_REQ);
	assert_false(t_reap(&e, &e.io, &c));
	assert_int_equal(slow_of(&e)->n_held, 4);
	slow_let_go(volume(&e), 4);
	t_run(&e);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1, 0);
		assert_true(c.cid != 3);
	}
	t_close(&e);
}

static void abort_ends_a_job_at_its_next_step(void **state)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_verify, 0, 2048, 0, 0);
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->last_len, NVMEQ_CHUNK);
	assert_true(ob_nvmeq_abort(e.q, 1, sqe.cid));
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, NVME_SC_ABORT_REQ);
	assert_int_equal(slow_of(&e)->n_held, 0);
	t_close(&e);
}

static void a_copy_stops_when_its_namespace_is_write_protected(void **state)
{
	struct ob_nvme_sqe sqe = {.opcode = nvme_cmd_copy, .nsid = 1, .cid = 1, .cdw10 = 100};
	struct nvme_copy_range range = {.nlb = htole16(7)};
	struct t_cqe c;
	struct t_env e;

	(void)state;
	open_slow(&e);
	memcpy(t_mem(&e, e.buf), &range, sizeof(range));
	sqe.dptr[0] = e.buf;
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->last_op, OB_BLK_READ);
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, OB_NVME_WP_ON), 0);
	assert_int_equal(slow_let_go(volume(&e), 1), 1);
	t_run(&e);
	assert_int_equal(slow_of(&e)->n_held, 0);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(
	    (uint16_t)(c.status >> 1 & ~NVME_SC_MORE), T_ERR(NVME_SC_NS_WRITE_PROTECTED));
	t_close(&e);
}

static void detaching_ends_what_waits_with_invalid_namespace(void **state)
{
	struct ob_nvme_ns_info info;
	struct ob_nvme_sqe sqe;
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	reads(&e, 3);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 1, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_INVALID_NS));
	}
	sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_INVALID_NS));
	assert_int_equal(ob_nvmeq_set_ns(e.q, 1, NULL), -ENOENT);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 0, e.ns), -EINVAL);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 257, e.ns), -EINVAL);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 256, e.ns), 0);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 256, e.ns), -EEXIST);
	ob_nvme_ns_info(e.ns, &info);
	assert_int_equal(info.n_attached, 1);
	assert_ptr_equal(ob_nvmeq_ns(e.q, 256), e.ns);
	t_close(&e);
}

/* The throttle holds on; unmapping does not wait for it, and the I/O goes on with the new addresses. */
static void unmapping_other_memory_keeps_waiting_io(void **state)
{
	struct t_env e;
	struct t_cqe c;
	const uint64_t far = 0x40000000;

	(void)state;
	open_slow(&e);
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){far}, 8192, OB_GMEM_WRITE, e.g.fd, 0), 0);
	reads(&e, 4);
	assert_int_equal(slow_of(&e)->n_held, 4);
	assert_int_equal(ob_gmem_del(e.gm, (ob_iova_t){far}, 8192), 1);
	assert_int_equal(slow_of(&e)->n_held, 4);
	assert_false(t_reap(&e, &e.io, &c));
	slow_let_go(volume(&e), 4);
	t_run(&e);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1, 0);
	}
	t_close(&e);
}

static void unmapping_the_data_fails_the_command(void **state)
{
	const uint64_t far = 0x40000000;
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, 0, 8, far, 0);
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){far}, 8192, OB_GMEM_WRITE, e.g.fd, 0), 0);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->n_held, 1);
	assert_int_equal(ob_gmem_del(e.gm, (ob_iova_t){far}, 8192), 1);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, NVME_SC_DATA_XFER_ERROR);
	t_close(&e);
}

/* Completions wait for a queue whose memory went away, and come when it is back. */
static void unmapping_the_queues_stalls_them(void **state)
{
	const uint64_t far = 0x40000000;
	struct ob_nvmeq_counters cnt;
	struct ob_nvme_sqe sqe;
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	ob_nvmeq_stop_all(e.q);
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){far}, 8192, OB_GMEM_READ | OB_GMEM_WRITE,
			     e.g.fd, (off_t)(e.io.sq - T_IOVA)),
	    0);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 1, (ob_iova_t){far + 4096}, T_ENTRIES, 1, true), 0);
	assert_int_equal(ob_nvmeq_start_sq(e.q, 1, 1, (ob_iova_t){far}, T_ENTRIES), 0);
	e.io.cq = e.io.sq + 4096;
	memset(t_mem(&e, e.io.cq), 0, 1024);
	reads(&e, 2);
	assert_int_equal(slow_of(&e)->n_held, 2);
	assert_int_equal(ob_gmem_del(e.gm, (ob_iova_t){far}, 8192), 1);
	slow_let_go(volume(&e), 1);
	t_run(&e);
	assert_false(t_reap(&e, &e.io, &c));
	sqe = t_rw(nvme_cmd_read, 9, 1, e.buf, 0);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(ob_nvmeq_counters(e.q, 1, &cnt), 0);
	assert_true(cnt.n_stalls > 0);
	assert_int_equal(cnt.n_cmds, 2);
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){far}, 8192, OB_GMEM_READ | OB_GMEM_WRITE,
			     e.g.fd, (off_t)(e.io.sq - T_IOVA)),
	    0);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.cid, 0);
	assert_int_equal(slow_of(&e)->n_held, 2);
	/* And once more with completions that nobody will get. */
	assert_int_equal(ob_gmem_del(e.gm, (ob_iova_t){far}, 8192), 1);
	slow_let_go(volume(&e), 2);
	t_run(&e);
	t_close(&e);
}

/* Host B, by a controller without queues, takes the namespace from host A, whose commands wait. */
static void preempt_and_abort_ends_what_waits(void **state)
{
	struct ob_nvmeq_conf qc = {.name = "nvme1",
	    .cntlid = 2,
	    .max_qpairs = 1,
	    .max_entries = 16,
	    .mdts_bytes = 1u << 20};
	struct ob_nvme_sqe sqe = {.opcode = nvme_cmd_resv_register, .nsid = 1};
	uint64_t key[2] = {0, 0xa};
	struct ob_nvmeq *b;
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	qc.gm = e.gm;
	qc.arena = e.arena;
	assert_int_equal(ob_nvmeq_create(&qc, &b), 0);
	assert_int_equal(ob_nvmeq_enable(b, 12), 0);
	ob_nvmeq_set_hostid(e.q, (const uint8_t *)"AAAAAAAA", 8);
	ob_nvmeq_set_hostid(b, (const uint8_t *)"BBBBBBBB", 8);
	assert_int_equal(ob_nvmeq_set_ns(b, 1, e.ns), 0);
	sqe.dptr[0] = e.buf;
	memcpy(t_mem(&e, e.buf), key, sizeof(key));
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	key[1] = 0xb;
	memcpy(t_mem(&e, e.buf), key, sizeof(key));
	assert_int_equal(nvmeq_resv_run(b, b->att[0], &sqe), 0);
	reads(&e, 3);
	key[0] = 0xb;
	key[1] = 0xa;
	memcpy(t_mem(&e, e.buf), key, sizeof(key));
	sqe.opcode = nvme_cmd_resv_acquire;
	sqe.cdw10 = 1 << 8 | 2;
	assert_int_equal(nvmeq_resv_run(b, b->att[0], &sqe), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_CMD_ABORTED_PREMEPT));
	}
	ob_nvmeq_destroy(b);
	t_close(&e);
}

static void memory_that_is_taken_away_is_fatal(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	unsigned n = 0;

	(void)state;
	/* Valgrind takes the signal itself. */
	if (getenv("OB_VALGRIND") != NULL)
		skip();
	assert_int_equal(ob_gmem_catch_faults(), 0);
	t_open(&e);
	sqe = t_rw(nvme_cmd_read, 0, 8, e.buf, 0);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	/* Bad doorbells do not crowd it out. */
	for (unsigned i = 0; i < 100; i++)
		nvmeq_bad_doorbell(e.q->nw[0], 1, false, 1000 + i);
	assert_int_equal(ftruncate(e.g.fd, 4096), 0);
	t_run(&e);
	for (unsigned i = 0; i < e.n_events; i++)
		n += e.event[i].type == OB_NVMEQ_EV_FATAL;
	assert_int_equal(n, 1);
	assert_true(e.n_events < 64);
	/* Nothing is taken any more. */
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, false, 5), 0);
	assert_int_equal(ob_worker_round(e.w), 0);
	t_close(&e);
}

/* The counter of its eventfd is full, and it waits there. */
static void an_interrupt_that_blocks_is_fatal(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	assert_int_equal(write(e.irq, &full, sizeof(full)), sizeof(full));
	assert_int_equal(fcntl(e.irq, F_SETFL, fcntl(e.irq, F_GETFL) & ~O_NONBLOCK), 0);
	sqe = t_rw(nvme_cmd_read, 0, 8, e.buf, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_int_equal(e.n_events, 1);
	assert_int_equal(e.event[0].type, OB_NVMEQ_EV_FATAL);
	t_close(&e);
}

static void drain_waits_for_what_was_taken_before(void **state)
{
	struct t_env e;

	(void)state;
	open_slow(&e);
	ob_nvmeq_drain(e.q, 1);
	ob_nvmeq_drain(e.q, 7);
	reads(&e, 3);
	slow_let_go(volume(&e), 3);
	t_run(&e);
	ob_nvmeq_drain(e.q, OB_NVME_BROADCAST);
	t_close(&e);
}

static void bus_master_off_stops_the_taking(void **state)
{
	struct t_env e;
	struct t_cqe c;

	(void)state;
	open_slow(&e);
	ob_nvmeq_dma(e.q, false);
	reads(&e, 2);
	assert_int_equal(slow_of(&e)->n_held, 0);
	ob_nvmeq_dma(e.q, true);
	t_run(&e);
	assert_int_equal(slow_of(&e)->n_held, 2);
	slow_let_go(volume(&e), 2);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	t_close(&e);
}

static void without_write_cache_every_write_is_durable(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	open_slow(&e);
	sqe = t_rw(nvme_cmd_write, 0, 1, e.buf, 0);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->last_flags, 0);
	ob_nvmeq_set_wce(e.q, false);
	sqe.cid++;
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->last_flags, OB_BLK_FUA);
	ob_nvmeq_set_wce(e.q, true);
	sqe.cid++;
	sqe.cdw12 |= 1u << 30;
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(slow_of(&e)->last_flags, OB_BLK_FUA);
	slow_let_go(volume(&e), 3);
	t_close(&e);
}

/* What a successor needs: each command that was taken and not completed, and no other (nvmeq_int.h). */
static void the_journal_names_what_is_under_way(void **state)
{
	struct t_env e;
	struct nvmeq_sq *sq;
	const struct nvmeq_queue_state *st, *cst;
	unsigned n = 0;

	(void)state;
	open_slow(&e);
	reads(&e, 6);
	slow_let_go(volume(&e), 2);
	t_run(&e);
	sq = e.q->sq[1];
	st = &e.q->arena->sq[1];
	cst = &e.q->arena->cq[1];
	assert_int_equal(st->pos >> 32, 6);
	assert_int_equal(st->pos & 0xffff, 6);
	assert_int_equal(cst->pos >> 32, 2);
	assert_int_equal(cst->pos & 0xffff, 2);
	for (unsigned s = 0; s < sq->n_slots; s++) {
		uint32_t number = (uint32_t)(sq->journal[s] >> 32);

		switch ((uint32_t)sq->journal[s]) {
		case NVMEQ_TAKEN:
			assert_true((int32_t)(number - (uint32_t)(st->pos >> 32)) < 0);
			assert_true(sq->sqe[s].cid >= 2 && sq->sqe[s].cid < 6);
			n++;
			break;
		case NVMEQ_DONE:
			assert_true((int32_t)(number - (uint32_t)(cst->pos >> 32)) < 0);
			break;
		default:
			break;
		}
	}
	assert_int_equal(n, 4);
	slow_let_go(volume(&e), 4);
	t_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(errors_of_the_volume_have_their_status),
	    cmocka_unit_test(more_commands_than_slots_wait_in_the_ring),
	    cmocka_unit_test(stop_sq_ends_what_waits),
	    cmocka_unit_test(reset_posts_nothing),
	    cmocka_unit_test(abort_ends_one_and_the_others_go_on),
	    cmocka_unit_test(abort_ends_a_job_at_its_next_step),
	    cmocka_unit_test(a_copy_stops_when_its_namespace_is_write_protected),
	    cmocka_unit_test(detaching_ends_what_waits_with_invalid_namespace),
	    cmocka_unit_test(unmapping_other_memory_keeps_waiting_io),
	    cmocka_unit_test(unmapping_the_data_fails_the_command),
	    cmocka_unit_test(unmapping_the_queues_stalls_them),
	    cmocka_unit_test(preempt_and_abort_ends_what_waits),
	    cmocka_unit_test(memory_that_is_taken_away_is_fatal),
	    cmocka_unit_test(an_interrupt_that_blocks_is_fatal),
	    cmocka_unit_test(drain_waits_for_what_was_taken_before),
	    cmocka_unit_test(bus_master_off_stops_the_taking),
	    cmocka_unit_test(without_write_cache_every_write_is_durable),
	    cmocka_unit_test(the_journal_names_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
