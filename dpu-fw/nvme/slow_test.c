/* SPDX-License-Identifier: BSD-3-Clause */
/* What takes long (format, shutdown, self-test), over a volume that answers when it is told to. */
#include "nvme_test_util.h"

#include "job.h"
#include "test_block.h"

/* Namespace 2, whose medium is asked for everything and cancels nothing. */
static struct slow *add_slow(struct t *t)
{
	struct ob_nvme_ns_conf nc = {.name = "slow", .ana_group = 1};
	struct ob_nvme_ns *ns;
	uint32_t nsid = 2;
	struct slow *s;

	assert_int_equal(slow_create(T_BYTES, &nc.blk), 0);
	s = (struct slow *)nc.blk;
	s->deaf = true;
	s->blk.info.discard_bytes = 4096;
	s->blk.info.write_zeroes = true;
	s->blk.info.volatile_cache = true;
	assert_int_equal(ob_nvme_ns_create(&nc, &ns), 0);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, ns), 0);
	ob_nvme_ns_put(ns);
	ob_blk_put(nc.blk);
	return s;
}

/* The medium answers everything, and so does what is asked thereupon. */
static void answer(struct t *t, struct slow *s)
{
	do
		t_run(t);
	while (s->last != NULL && slow_let_go(s->last, 16) > 0);
	t_run(t);
}

static void a_format_that_was_given_up_keeps_its_namespace_shut_until_its_last_step_ended(
    void **state)
{
	struct t *t = *state;
	struct slow *s = add_slow(t);
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_format_nvm, 2, 1 << 9, 0);
	struct ob_nvme_ns *again;
	struct ob_nvme_ns_conf nc = {.name = "again", .ana_group = 1, .blk = &s->blk};
	uint32_t nsid = 3;
	struct t_q q;

	(void)t_send(t, &e);
	assert_non_null(t->c->format);
	t_write(NVME_REG_CC, 0, 4);
	assert_null(t->c->format);
	t_enable(t);
	q = t_io_queues(t, 1);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 2, 0, 1), NVME_SC_FORMAT_IN_PROGRESS);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 2, 0, 0, NULL), NVME_SC_FORMAT_IN_PROGRESS);
	assert_int_equal(ob_nvme_ns_create(&nc, &again), 0);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, again), -EBUSY);
	assert_true(nvme_jobs_on(&s->blk, true));
	assert_int_equal(slow_let_go(s->last, 1), 1);
	t_run(t);
	assert_false(nvme_jobs_on(&s->blk, false));
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, again), 0);
	ob_nvme_ns_put(again);
	(void)t_send(t, &e);
	assert_non_null(t->c->format);
	answer(t, s);
	assert_null(t->c->format);
}

#define SHUT(en) ((en) | 1u << 14)

static void enabling_forgets_the_shutdown_before(void **state)
{
	struct t *t = *state;
	struct slow *s = add_slow(t);

	t_write(NVME_REG_CC, 0, 4);
	t_write(NVME_REG_CC, SHUT(0u), 4);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1 << 2);
	t_enable(t);
	assert_null(t->c->shutdown);
	answer(t, s);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1);
	t_write(NVME_REG_CC, SHUT(T_EN), 4);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1 | 1 << 2);
	answer(t, s);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1 | 2 << 2);
	assert_int_equal(t->st->n_shutdowns, 1);
}

static void a_shutdown_whose_flush_fails_is_not_complete(void **state)
{
	struct t *t = *state;
	struct slow *s = add_slow(t);

	s->result = -EIO;
	t_write(NVME_REG_CC, SHUT(T_EN), 4);
	answer(t, s);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1 | 1 << 1 | 1 << 2);
	assert_int_equal(t->st->n_shutdowns, 0);
	s->result = 0;
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TE(enabling_forgets_the_shutdown_before),
	    TE(a_shutdown_whose_flush_fails_is_not_complete),
	    TE(a_format_that_was_given_up_keeps_its_namespace_shut_until_its_last_step_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
