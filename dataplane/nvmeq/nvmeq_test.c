/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues and the data commands: what goes well, and the status of what does not. */
#include "test_nvmeq.h"

static void write_then_read_gives_the_same_bytes(void **state)
{
	struct t_env e;
	struct ob_nvme_sqe sqe;

	(void)state;
	t_open(&e);
	for (unsigned nlb = 1; nlb <= 2048; nlb *= 2) {
		uint64_t list = e.buf + (3u << 20);
		uint64_t *prp = t_mem(&e, list);

		/* The second page onward by a list, in reverse order, so that nothing merges. */
		for (unsigned i = 0; i < 256; i++)
			prp[i] = e.buf + (1u << 20) + (255 - i) * 4096ull;
		t_fill(&e, e.buf, 2u << 20, nlb);
		sqe = t_rw(nvme_cmd_write, nlb, nlb, e.buf, list);
		if (nlb * 512 > 4096 && nlb * 512 <= 8192)
			sqe.dptr[1] = prp[0];
		assert_int_equal(t_do(&e, &sqe, NULL), 0);
		memset(t_mem(&e, e.buf), 0, 2u << 20);
		sqe.opcode = nvme_cmd_read;
		assert_int_equal(t_do(&e, &sqe, NULL), 0);
		/* What was written, from where it was fetched; the rest was not touched. */
		for (unsigned at = 0; at < nlb * 512; at += 512) {
			uint64_t where = at < 4096 ? e.buf + at : prp[at / 4096 - 1] + at % 4096;
			uint8_t want[512], *got = t_mem(&e, where);

			for (unsigned i = 0; i < 512; i++)
				want[i] =
				    (uint8_t)((nlb + (where - e.buf) + i) * 2654435761u >> 24);
			assert_memory_equal(got, want, 512);
		}
		assert_int_equal(
		    ((uint8_t *)t_mem(&e, e.buf))[nlb * 512 < 4096 ? nlb * 512 : 4096], 0);
	}
	t_close(&e);
}

static void each_status_of_a_bad_read(void **state)
{
	static const struct {
		struct ob_nvme_sqe sqe;
		uint16_t status;
	} bad[] = {
	    {{.opcode = nvme_cmd_read, .nsid = 0}, T_ERR(NVME_SC_INVALID_NS)},
	    {{.opcode = nvme_cmd_read, .nsid = 2}, T_ERR(NVME_SC_INVALID_NS)},
	    {{.opcode = nvme_cmd_read, .nsid = 257}, T_ERR(NVME_SC_INVALID_NS)},
	    {{.opcode = nvme_cmd_read, .nsid = OB_NVME_BROADCAST}, T_ERR(NVME_SC_INVALID_NS)},
	    {{.opcode = 0x7f, .nsid = 1}, T_ERR(NVME_SC_INVALID_OPCODE)},
	    {{.opcode = nvme_cmd_write_uncor, .nsid = 1}, T_ERR(NVME_SC_INVALID_OPCODE)},
	    {{.opcode = 0xff, .nsid = 1}, T_ERR(NVME_SC_INVALID_OPCODE)},
	    /* the end of the namespace, and a wrap of the LBA */
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw10 = T_BYTES / 512},
		T_ERR(NVME_SC_LBA_RANGE)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw10 = T_BYTES / 512 - 1, .cdw12 = 1},
		T_ERR(NVME_SC_LBA_RANGE)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw10 = ~0u, .cdw11 = ~0u, .cdw12 = 7},
		T_ERR(NVME_SC_LBA_RANGE)},
	    /* longer than MDTS */
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 2048}, T_ERR(NVME_SC_INVALID_FIELD)},
	    {{.opcode = nvme_cmd_write, .nsid = 1, .cdw12 = 1 << 20}, T_ERR(NVME_SC_INVALID_FIELD)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .flags = 3 << 6}, T_ERR(NVME_SC_INVALID_FIELD)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .flags = 3}, T_ERR(NVME_SC_INVALID_FIELD)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .flags = 2}, T_ERR(NVME_SC_FUSED_MISSING)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .dptr = {T_IOVA + 1, 0}},
		T_ERR(NVME_SC_PRP_INVALID_OFFSET)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 15, .dptr = {T_IOVA, T_IOVA + 8}},
		T_ERR(NVME_SC_PRP_INVALID_OFFSET)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 31, .dptr = {T_IOVA, T_IOVA + 4}},
		T_ERR(NVME_SC_PRP_INVALID_OFFSET)},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .dptr = {0, 0}}, NVME_SC_DATA_XFER_ERROR},
	    {{.opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 31, .dptr = {T_IOVA, 0}},
		NVME_SC_DATA_XFER_ERROR},
	};
	struct t_env e;

	(void)state;
	t_open(&e);
	for (unsigned i = 0; i < RTE_DIM(bad); i++) {
		struct ob_nvmeq_error err[4];
		struct ob_nvme_sqe sqe = bad[i].sqe;
		struct ob_nvmeq_counters c;

		sqe.cid = (uint16_t)(i * 3001);
		assert_int_equal(t_do(&e, &sqe, NULL), bad[i].status);
		assert_int_equal(ob_nvmeq_errors(e.q, err, 4), 1);
		assert_int_equal(err[0].cid, sqe.cid);
		assert_int_equal(err[0].status, bad[i].status | NVME_SC_MORE);
		assert_int_equal(ob_nvmeq_counters(e.q, 1, &c), 0);
		assert_int_equal(c.n_errors, i + 1);
	}
	t_close(&e);
}

static void every_opcode_is_answered(void **state)
{
	struct t_env e;

	(void)state;
	t_open(&e);
	for (unsigned op = 0; op < 256; op++) {
		struct ob_nvme_sqe sqe = {
		    .opcode = (uint8_t)op, .nsid = 1, .cid = (uint16_t)op, .dptr = {e.buf, 0}};
		uint16_t st = t_do(&e, &sqe, NULL);
		bool known = op <= 2 || op == 5 || op == 8 || op == 9 || op == 0xc || op == 0xd ||
			     op == 0xe || op == 0x11 || op == 0x15 || op == 0x19;

		assert_int_equal(st == T_ERR(NVME_SC_INVALID_OPCODE), !known);
	}
	t_close(&e);
}

static void the_queues_wrap(void **state)
{
	struct t_env e;
	unsigned n = 0;

	(void)state;
	t_open(&e);
	for (unsigned round = 0; round < 40; round++) {
		struct t_cqe c;
		unsigned burst = 1 + round * 7 % 63;

		for (unsigned i = 0; i < burst; i++) {
			struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, i, 1, e.buf, 0);

			sqe.cid = (uint16_t)(n + i);
			t_put(&e, &e.io, &sqe);
		}
		t_ring(&e, &e.io);
		t_run(&e);
		for (unsigned i = 0; i < burst; i++) {
			assert_true(t_reap(&e, &e.io, &c));
			assert_int_equal(c.cid, n++ & 0xffff);
			assert_int_equal(c.status >> 1, 0);
		}
		assert_false(t_reap(&e, &e.io, &c));
	}
	t_close(&e);
}

/* A host that never takes its completions gets no more of them than fit, and loses none when it goes on. */
static void a_full_cq_stops_the_taking(void **state)
{
	struct t_env e;
	struct ob_nvmeq_counters c;
	struct t_cqe cqe;
	unsigned n = 0;

	(void)state;
	t_open(&e);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < T_ENTRIES / 2; i++) {
			struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, i, 1, e.buf, 0);

			sqe.cid = (uint16_t)(round * T_ENTRIES + i);
			t_put(&e, &e.io, &sqe);
		}
		t_ring(&e, &e.io);
		t_run(&e);
	}
	assert_int_equal(ob_nvmeq_counters(e.q, 1, &c), 0);
	assert_int_equal(c.n_cmds, T_ENTRIES - 1);
	assert_true(c.n_cq_full > 0);
	while (t_reap(&e, &e.io, &cqe)) {
		n++;
		t_run(&e);
	}
	/* The submission queue was full in the third round, and its fourth overwrote it: what counts is that the taking went on. */
	assert_true(n > T_ENTRIES - 1);
	t_close(&e);
}

static void one_interrupt_a_burst(void **state)
{
	struct t_env e;

	(void)state;
	t_open(&e);
	for (unsigned i = 0; i < 20; i++) {
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, i, 1, e.buf, 0);

		sqe.cid = (uint16_t)i;
		t_put(&e, &e.io, &sqe);
	}
	t_ring(&e, &e.io);
	ob_worker_round(e.w);
	assert_int_equal(t_irqs(&e), 1);
	ob_worker_round(e.w);
	assert_int_equal(t_irqs(&e), 0);
	t_close(&e);
}

static void coalescing_waits_for_the_threshold(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	ob_nvmeq_set_coalescing(e.q, 4, 1000000);
	for (unsigned i = 0; i < 7; i++) {
		sqe = t_rw(nvme_cmd_read, i, 1, e.buf, 0);
		assert_int_equal(t_do(&e, &sqe, NULL), 0);
		assert_int_equal(t_irqs(&e), i == 3);
	}
	/* Idle: what waits is told at once. */
	assert_false(nvmeq_arm(e.w, e.q->nw[0]));
	assert_int_equal(t_irqs(&e), 1);
	nvmeq_disarm(e.w, e.q->nw[0]);
	assert_int_equal(ob_nvmeq_set_vector_coalescing(e.q, 1, false), 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_int_equal(t_irqs(&e), 1);
	ob_nvmeq_set_vector_coalescing(e.q, 1, true);
	ob_nvmeq_set_coalescing(e.q, 4, 1);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	usleep(50);
	ob_worker_round(e.w);
	assert_int_equal(t_irqs(&e), 1);
	t_close(&e);
}

static void an_interrupt_without_a_vector_is_kept(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	ob_nvmeq_set_irq_fd(e.q, 1, -1);
	sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_int_equal(t_irqs(&e), 0);
	ob_nvmeq_set_irq_fd(e.q, 1, e.irq);
	assert_int_equal(t_irqs(&e), 1);
	assert_int_equal(ob_nvmeq_set_irq_fd(e.q, OB_NVMEQ_N_VECTORS, 1), -EINVAL);
	t_close(&e);
}

static void doorbells_beyond_the_queue_are_refused(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, false, T_ENTRIES), -EINVAL);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, true, 0xffffffff), -EINVAL);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 2, false, 0), -ENOENT);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 0, false, 0), -ENOENT);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 65, true, 0), -ENOENT);
	/* A head that passes the tail, or goes back, is found when room is short: half of the queue was taken. */
	for (unsigned i = 0; i < T_ENTRIES - 1; i++) {
		sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
		sqe.cid = (uint16_t)i;
		t_put(&e, &e.io, &sqe);
	}
	t_ring(&e, &e.io);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, true, 50), 0);
	ob_worker_round(e.w); /* 32 fit without a look */
	t_run(&e);
	assert_int_equal(e.n_events, 0);
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	t_run(&e); /* 63 are there: 50 is a head now */
	assert_int_equal(e.n_events, 0);
	assert_int_equal(ob_nvmeq_doorbell(e.q, 1, true, 49), 0);
	for (unsigned i = 0; i < 60; i++) {
		sqe.cid = (uint16_t)(100 + i);
		t_put(&e, &e.io, &sqe);
		if (i < 26 || i == 56)
			t_ring(&e, &e.io);
		t_run(&e);
	}
	assert_int_equal(e.n_events, 1);
	assert_int_equal(e.event[0].type, OB_NVMEQ_EV_DOORBELL);
	assert_true(e.event[0].is_cq);
	assert_int_equal(e.event[0].qid, 1);
	assert_int_equal(e.event[0].value, 49);
	t_close(&e);
}

static void a_second_command_of_the_same_identifier_is_a_conflict(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	struct t_cqe c;

	(void)state;
	t_open(&e);
	/* A reservation command waits for the control thread. */
	sqe = (struct ob_nvme_sqe){
	    .opcode = nvme_cmd_resv_report, .nsid = 1, .cid = 9, .dptr = {e.buf, 0}, .cdw10 = 5};
	t_put(&e, &e.io, &sqe);
	sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	sqe.cid = 9;
	t_put(&e, &e.io, &sqe);
	t_ring(&e, &e.io);
	ob_worker_round(e.w);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_CMDID_CONFLICT));
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1, 0);
	assert_int_equal(c.cid, 9);
	/* Both are gone, so the identifier is free. */
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	t_close(&e);
}

static void starting_queues_says_what_is_wrong(void **state)
{
	struct t_env e;
	ob_iova_t at;

	(void)state;
	t_open(&e);
	at = (ob_iova_t){e.buf};
	assert_int_equal(ob_nvmeq_start_cq(e.q, 1, at, 16, 0, true), -EEXIST);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 0, at, 16, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 5, at, 16, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 2, at, 1, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 2, at, 257, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 2, (ob_iova_t){e.buf + 8}, 16, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_cq(e.q, 2, at, 16, OB_NVMEQ_N_VECTORS, true), -EINVAL);
	assert_int_equal(
	    ob_nvmeq_start_cq(e.q, 2, (ob_iova_t){0xfffffffffffff000}, 257, 0, true), -EINVAL);
	assert_int_equal(ob_nvmeq_start_sq(e.q, 2, 2, at, 16), -ENOENT);
	assert_int_equal(ob_nvmeq_start_sq(e.q, 1, 1, at, 16), -EEXIST);
	assert_int_equal(ob_nvmeq_stop_cq(e.q, 1), -EBUSY);
	assert_int_equal(ob_nvmeq_stop_sq(e.q, 2), -ENOENT);
	assert_int_equal(ob_nvmeq_stop_cq(e.q, 2), -ENOENT);
	assert_int_equal(ob_nvmeq_stop_sq(e.q, 1), 0);
	assert_int_equal(ob_nvmeq_stop_cq(e.q, 1), 0);
	assert_false(ob_nvmeq_sq_running(e.q, 1));
	t_start_queue(&e, &e.io, 1, 16);
	assert_int_equal(ob_nvmeq_worker(e.q, 1), 0);
	t_close(&e);
}

static void two_queues_share_a_completion_queue(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_queue two;
	struct t_env e;
	struct t_cqe c;
	unsigned seen = 0;

	(void)state;
	t_open(&e);
	two = e.io;
	two.qid = 3;
	two.tail = 0;
	two.sq = fake_guest_alloc(&e.g, 4096, 4096);
	assert_int_equal(ob_nvmeq_start_sq(e.q, 3, 1, (ob_iova_t){two.sq}, T_ENTRIES), 0);
	sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	t_put(&e, &e.io, &sqe);
	t_put(&e, &two, &sqe);
	t_put(&e, &two, &(struct ob_nvme_sqe){.opcode = nvme_cmd_flush, .nsid = 1, .cid = 8});
	t_ring(&e, &e.io);
	t_ring(&e, &two);
	t_run(&e);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1, 0);
		assert_int_equal(c.sqhd, c.sqid == 1 ? 1 : 2);
		seen += c.sqid;
	}
	assert_int_equal(seen, 7);
	t_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(write_then_read_gives_the_same_bytes),
	    cmocka_unit_test(each_status_of_a_bad_read),
	    cmocka_unit_test(every_opcode_is_answered),
	    cmocka_unit_test(the_queues_wrap),
	    cmocka_unit_test(a_full_cq_stops_the_taking),
	    cmocka_unit_test(one_interrupt_a_burst),
	    cmocka_unit_test(coalescing_waits_for_the_threshold),
	    cmocka_unit_test(an_interrupt_without_a_vector_is_kept),
	    cmocka_unit_test(doorbells_beyond_the_queue_are_refused),
	    cmocka_unit_test(a_second_command_of_the_same_identifier_is_a_conflict),
	    cmocka_unit_test(starting_queues_says_what_is_wrong),
	    cmocka_unit_test(two_queues_share_a_completion_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
