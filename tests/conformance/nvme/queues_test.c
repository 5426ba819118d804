/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O queues: creating and deleting them in every order, sharing, wrapping, interrupts, shadow doorbells.
 * NVMe base 2.0, 3.3, 5.4 to 5.8 and B.5. */
#include "nvme_suite.h"

#include <poll.h>

#define BAD_QID	 NVD_CMD(NVME_SC_QID_INVALID)
#define BAD_SIZE NVD_CMD(NVME_SC_QUEUE_SIZE)
#define BAD_CQ	 NVD_CMD(NVME_SC_CQ_INVALID)
#define IN_USE	 NVD_CMD(NVME_SC_INVALID_QUEUE)
#define BAD_VEC	 NVD_CMD(NVME_SC_INVALID_VECTOR)
#define FIELD	 NVME_SC_INVALID_FIELD

static int create(struct suite *s, uint8_t opc, uint64_t at, uint32_t cdw10, uint32_t cdw11)
{
	struct nvd_sqe cmd = {.opc = opc, .prp1 = at, .cdw10 = cdw10, .cdw11 = cdw11};

	return nvd_admin(&s->a, &cmd, NULL);
}

static void completion_queues_with_wrong_fields(void **state)
{
	struct suite *s = *state;
	uint32_t mqes = (uint32_t)(s->a.cap & 0xffff);

	IS(BAD_QID, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 0, 1));
	IS(BAD_QID, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 1, 1)); /* exists */
	IS(BAD_QID, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 65, 1));
	IS(BAD_QID, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 0xffff, 1));
	IS(BAD_SIZE, create(s, NVD_CREATE_CQ, s->buf, 0u << 16 | 2, 1));
	if (mqes < 0xffff)
		IS(BAD_SIZE, create(s, NVD_CREATE_CQ, s->buf, (mqes + 1) << 16 | 2, 1));
	IS(FIELD, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 2, 0)); /* CAP.CQR */
	IN(create(s, NVD_CREATE_CQ, s->buf + 8, 63u << 16 | 2, 1), NVME_SC_PRP_INVALID_OFFSET);
	IS(BAD_VEC, create(s, NVD_CREATE_CQ, s->buf, 63u << 16 | 2, 0xfff0u << 16 | 3));
}

static void submission_queues_with_wrong_fields(void **state)
{
	struct suite *s = *state;
	uint32_t mqes = (uint32_t)(s->a.cap & 0xffff), cq = 1u << 16;

	IS(BAD_QID, create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 0, cq | 1));
	IS(BAD_QID, create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 1, cq | 1)); /* exists */
	IS(BAD_QID, create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 65, cq | 1));
	IS(BAD_SIZE, create(s, NVD_CREATE_SQ, s->buf, 0u << 16 | 2, cq | 1));
	if (mqes < 0xffff)
		IS(BAD_SIZE, create(s, NVD_CREATE_SQ, s->buf, (mqes + 1) << 16 | 2, cq | 1));
	IS(FIELD, create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 2, cq));
	IN(create(s, NVD_CREATE_SQ, s->buf + 8, 63u << 16 | 2, cq | 1), NVME_SC_PRP_INVALID_OFFSET);
	IS(BAD_CQ, create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 2, 5u << 16 | 1));
	IN(create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 2, 70u << 16 | 1), BAD_QID, BAD_CQ);
	IN(create(s, NVD_CREATE_SQ, s->buf, 63u << 16 | 2, 0u << 16 | 1), BAD_CQ, BAD_QID);
}

static void queues_that_do_not_exist_cannot_be_deleted(void **state)
{
	struct suite *s = *state;

	IS(BAD_QID, nvd_delete_sq(&s->a, 0));
	IS(BAD_QID, nvd_delete_cq(&s->a, 0));
	IS(BAD_QID, nvd_delete_sq(&s->a, 2));
	IS(BAD_QID, nvd_delete_cq(&s->a, 2));
	IS(BAD_QID, nvd_delete_sq(&s->a, 0xffff));
	IS(BAD_QID, nvd_delete_cq(&s->a, 0xffff));
}

static void completion_queue_in_use_cannot_be_deleted(void **state)
{
	struct suite *s = *state;

	IS(IN_USE, nvd_delete_cq(&s->a, 1));
	works(s);
	IS(0, nvd_delete_sq(&s->a, 1));
	IS(0, nvd_delete_cq(&s->a, 1));
	IS(BAD_QID, nvd_delete_cq(&s->a, 1));
	IS(0, nvd_create_queues(&s->a, 1, 64, 64, NVD_NO_IRQ));
	works(s);
}

/* 3.3.1.3: what was not completed ends with Command Aborted due to SQ Deletion, or normally; all before the deletion completes. */
static void submission_queue_deleted_with_io_under_way(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;

	for (unsigned round = 0; round < 5; round++) {
		unsigned n = 0;

		for (unsigned i = 0; i < 60; i++) {
			struct nvd_sqe cmd = nvd_rw(NVD_READ, i & 1 ? SLOW : RAM, i, 1);

			nvd_data(&s->a, &cmd, s->buf + 4096 * i, 512);
			nvd_queue(&s->a.sq[1], &cmd);
		}
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		usleep(round * 300);
		IS(0, nvd_delete_sq(&s->a, 1));
		while (nvd_reap(&s->a, &s->a.cq[1], &cqe)) {
			IN(NVD_SC(&cqe), 0, NVME_SC_ABORT_QUEUE);
			n++;
		}
		assert_true(n <= 60);
		assert_int_equal(nvd_reaped(&s->a, &s->a.cq[1]), 0);
		usleep(30000);
		assert_false(nvd_reap(&s->a, &s->a.cq[1], &cqe));
		assert_int_equal(nvd_make_sq(&s->a, 1, 128, 1), 0);
		IS(0, nvd_create_sq(&s->a, 1));
		works(s);
	}
}

static void all_queues_work(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ctrl id;
	uint32_t n = 0;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0x003f003f, &n));
	assert_int_equal(n, 0x003f003f);
	for (uint16_t q = 1; q <= 64; q++)
		IS(0, nvd_create_queues(&s->a, q, 32, 32, NVD_NO_IRQ));
	for (uint16_t q = 1; q <= 64; q++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, q, 1);

		nvd_data(&s->a, &cmd, s->buf + 4096ull * q, 512);
		nvd_queue(&s->a.sq[q], &cmd);
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[q]), 0);
	}
	for (uint16_t q = 1; q <= 64; q++) {
		struct nvd_cqe cqe;

		assert_int_equal(nvd_wait(&s->a, &s->a.cq[q], &cqe, NVD_WAIT_MS), 0);
		IS(0, NVD_SC(&cqe));
		assert_int_equal(cqe.sqid, q);
	}
}

static void submission_queues_share_a_completion_queue(void **state)
{
	struct suite *s = *state;
	unsigned n[4] = {0};
	struct nvd_cqe cqe;

	for (uint16_t q = 2; q <= 4; q++) {
		assert_int_equal(nvd_make_sq(&s->a, q, 32, 1), 0);
		IS(0, nvd_create_sq(&s->a, q));
	}
	for (unsigned i = 0; i < 60; i++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, i, 1);
		struct nvd_sq *sq = &s->a.sq[2 + i % 3];

		nvd_data(&s->a, &cmd, s->buf + 4096ull * i, 512);
		nvd_queue(sq, &cmd);
		assert_int_equal(nvd_ring(&s->a, sq), 0);
	}
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &cqe, NVD_WAIT_MS), 0);
		assert_in_range(cqe.sqid, 2, 4);
		n[cqe.sqid - 2]++;
	}
	assert_int_equal(n[0], 20);
	assert_int_equal(n[1], 20);
	assert_int_equal(n[2], 20);
	IS(IN_USE, nvd_delete_cq(&s->a, 1));
	for (uint16_t q = 2; q <= 4; q++)
		IS(0, nvd_delete_sq(&s->a, q));
}

static void smallest_queues_wrap(void **state)
{
	struct suite *s = *state;

	IS(0, nvd_create_queues(&s->a, 2, 2, 2, NVD_NO_IRQ));
	for (unsigned i = 0; i < 50; i++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, i, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		IS(0, nvd_exec(&s->a, &s->a.sq[2], &cmd, NULL));
	}
}

/* A host that takes completions late: the controller waits for room and loses none. */
static void full_completion_queue_stalls_and_goes_on(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;
	bool seen[60] = {false};
	unsigned n = 0;

	assert_int_equal(nvd_make_cq(&s->a, 2, 8), 0);
	assert_int_equal(nvd_make_sq(&s->a, 2, 64, 2), 0);
	IS(0, nvd_create_cq(&s->a, 2, NVD_NO_IRQ));
	IS(0, nvd_create_sq(&s->a, 2));
	for (unsigned i = 0; i < 60; i++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, i, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		nvd_queue_as(&s->a.sq[2], &cmd, (uint16_t)i);
	}
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[2]), 0);
	usleep(20000);
	while (n < 60) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[2], &cqe, NVD_WAIT_MS), 0);
		assert_true(cqe.cid < 60 && !seen[cqe.cid]);
		seen[cqe.cid] = true;
		n++;
	}
	assert_false(nvd_reap(&s->a, &s->a.cq[2], &cqe));
}

static bool interrupted(const struct nvd_cq *cq, int ms)
{
	struct pollfd p = {.fd = cq->irq_fd, .events = POLLIN};
	uint64_t n;

	if (poll(&p, 1, ms) != 1)
		return false;
	return read(cq->irq_fd, &n, sizeof(n)) == sizeof(n);
}

static void interrupts_come_when_wanted(void **state)
{
	struct suite *s = *state;

	for (unsigned i = 0; i < 3; i++) {
		(void)interrupted(&s->a.cq[1], 0);
		IS(0, rw(s, NVD_READ, RAM, i, 1, 0));
		assert_true(interrupted(&s->a.cq[1], 1000));
	}
	/* Coalesced: 8 completions or 10 ms, whichever comes first; that one comes at all is what matters here. */
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_IRQ_COALESCE, 0, 100u << 8 | 7, NULL));
	(void)interrupted(&s->a.cq[1], 0);
	IS(0, rw(s, NVD_READ, RAM, 1, 1, 0));
	assert_true(interrupted(&s->a.cq[1], 1000));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_IRQ_COALESCE, 0, 0, NULL));
	/* None for a queue without. */
	IS(0, nvd_create_queues(&s->a, 2, 16, 16, NVD_NO_IRQ));
	(void)interrupted(&s->a.cq[1], 0);
	{
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, 1, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		IS(0, nvd_exec(&s->a, &s->a.sq[2], &cmd, NULL));
	}
	assert_false(interrupted(&s->a.cq[1], 20));
}

static void shadow_doorbells_replace_messages(void **state)
{
	struct suite *s = *state;
	uint64_t before;

	IS(0, nvd_use_shadow(&s->a));
	works(s);
	before = s->a.n_bells;
	for (unsigned i = 0; i < 2000; i++)
		IS(0, rw(s, NVD_READ, RAM, i, 1, 0));
	/* The worker may have slept now and then. */
	assert_true(s->a.n_bells - before < 3000);
	/* Queues made afterwards use it too. */
	IS(0, nvd_create_queues(&s->a, 2, 16, 16, NVD_NO_IRQ));
	for (unsigned i = 0; i < 50; i++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, i, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		IS(0, nvd_exec(&s->a, &s->a.sq[2], &cmd, NULL));
	}
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	works(s);
}

static void shadow_doorbells_after_a_pause(void **state)
{
	struct suite *s = *state;

	IS(0, nvd_use_shadow(&s->a));
	for (unsigned i = 0; i < 30; i++) {
		works(s);
		usleep(i * 500);
	}
}

static void shadow_doorbells_at_wrong_addresses(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_DBBUF, .prp1 = s->buf + 8, .prp2 = s->buf + 4096};

	IN(nvd_admin(&s->a, &cmd, NULL), FIELD, NVME_SC_PRP_INVALID_OFFSET);
	cmd.prp1 = s->buf;
	cmd.prp2 = s->buf + 4096 + 4;
	IN(nvd_admin(&s->a, &cmd, NULL), FIELD, NVME_SC_PRP_INVALID_OFFSET);
	works(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
#define E(name) cmocka_unit_test_setup_teardown(name, suite_enable, suite_close)
	const struct CMUnitTest tests[] = {
	    T(completion_queues_with_wrong_fields),
	    T(submission_queues_with_wrong_fields),
	    T(queues_that_do_not_exist_cannot_be_deleted),
	    T(completion_queue_in_use_cannot_be_deleted),
	    T(submission_queue_deleted_with_io_under_way),
	    E(all_queues_work),
	    T(submission_queues_share_a_completion_queue),
	    T(smallest_queues_wrap),
	    T(full_completion_queue_stalls_and_goes_on),
	    T(interrupts_come_when_wanted),
	    T(shadow_doorbells_replace_messages),
	    T(shadow_doorbells_after_a_pause),
	    T(shadow_doorbells_at_wrong_addresses),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
