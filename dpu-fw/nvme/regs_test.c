/* SPDX-License-Identifier: BSD-3-Clause */
/* The register machine: any width, any order; enable, reset, shutdown; doorbells. */
#include "nvme_test_util.h"

#define CC   NVME_REG_CC
#define CSTS NVME_REG_CSTS

static void capabilities_read_whole_in_halves_and_in_bytes(void **state)
{
	uint64_t cap = t_read(NVME_REG_CAP, 8), v = 0;

	(void)state;
	assert_int_equal(NVME_CAP_MQES(cap), 63);
	assert_int_equal(NVME_CAP_CQR(cap), 1);
	assert_int_equal(NVME_CAP_DSTRD(cap), 0);
	assert_int_equal(NVME_CAP_MPSMIN(cap), 0);
	assert_true(NVME_CAP_TO(cap) > 0);
	assert_true(NVME_CAP_CSS(cap) & NVME_CAP_CSS_NVM);
	assert_true(NVME_CAP_CRMS(cap) & NVME_CAP_CRWMS);
	assert_int_equal(t_read(0, 4) | t_read(4, 4) << 32, cap);
	for (unsigned i = 0; i < 8; i++)
		v |= t_read(i, 1) << 8 * i;
	assert_int_equal(v, cap);
	assert_int_equal(t_read(NVME_REG_VS, 4), 0x20000);
	assert_true((t_read(NVME_REG_CRTO, 4) & 0xffff) > 0);
	t_write(NVME_REG_CAP, 0, 8);
	t_write(NVME_REG_VS, 0, 4);
	assert_int_equal(t_read(NVME_REG_CAP, 8), cap);
	assert_int_equal(t_read(0xf00, 4), 0);
}

static void an_access_over_several_registers_touches_each(void **state)
{
	uint8_t buf[64];
	uint32_t vs;

	(void)state;
	fake_nvfu[0].conf.ops->bar_read(fake_nvfu[0].conf.ctx, 0, 2, buf, sizeof(buf));
	memcpy(&vs, buf + 6, 4);
	assert_int_equal(vs, 0x20000);
	memset(buf, 0, sizeof(buf));
	buf[0] = 15; /* AQA.ASQS */
	buf[2] = 7;
	buf[5] = 0x20; /* ASQ bits 15:8 */
	buf[13] = 0x30;
	t_bar(0, NVME_REG_AQA, buf, 20);
	assert_int_equal(t_read(NVME_REG_AQA, 4), 0x7000f);
	assert_int_equal(t_read(NVME_REG_ASQ, 8), 0x2000);
	assert_int_equal(t_read(NVME_REG_ACQ, 8), 0x3000);
}

static void admin_queue_registers_take_bytes_keep_page_bits_zero_and_freeze_while_enabled(
    void **state)
{
	struct t *t = *state;

	t_write(NVME_REG_ASQ, 0x123456789abcdfffull, 8);
	assert_int_equal(t_read(NVME_REG_ASQ, 8), 0x123456789abcd000ull);
	t_write(NVME_REG_ASQ + 4, 0, 4);
	t_write(NVME_REG_ASQ + 1, 0x10, 1);
	assert_int_equal(t_read(NVME_REG_ASQ, 8), 0x9abc1000);
	t_write(NVME_REG_AQA, 0xffffffff, 4);
	assert_int_equal(t_read(NVME_REG_AQA, 4), 0x0fff0fff);
	t_enable(t);
	t_write(NVME_REG_AQA, 0, 4);
	t_write(NVME_REG_ASQ, 0, 8);
	t_write(NVME_REG_ACQ, 0, 8);
	assert_int_equal(t_read(NVME_REG_AQA, 4), 0xf000f);
	assert_int_equal(t_read(NVME_REG_ASQ, 8), t->admin.sq);
	assert_int_equal(t_read(NVME_REG_ACQ, 8), t->admin.cq);
}

static void interrupt_mask_sets_and_clears(void **state)
{
	(void)state;
	t_write(NVME_REG_INTMS, 0x80000005, 4);
	assert_int_equal(t_read(NVME_REG_INTMC, 4), 0x80000005);
	t_write(NVME_REG_INTMC, 1, 1);
	assert_int_equal(t_read(NVME_REG_INTMS, 4), 0x80000004);
	t_write(NVME_REG_INTMS, 0x30, 4);
	assert_int_equal(t_read(NVME_REG_INTMS, 4), 0x80000034);
}

static void enabling_makes_ready_and_disabling_resets_but_keeps_the_admin_queues_registers(
    void **state)
{
	struct t *t = *state;

	for (unsigned i = 0; i < 3; i++) {
		t_enable(t);
		assert_int_equal(t_identify(t, 1, 0, 0), 0);
		t_write(CC, T_EN & ~1u, 4);
		assert_int_equal(t_read(CSTS, 4), 0);
		assert_int_equal(t_read(NVME_REG_ASQ, 8), t->admin.sq);
		assert_int_equal(t_read(NVME_REG_AQA, 4), 0xf000f);
	}
	/* One byte of CC is enough. */
	t->admin.tail = t->admin.head = 0;
	t_write(CC, 1, 1);
	assert_int_equal(t_read(CC, 4), T_EN);
	assert_int_equal(t_read(CSTS, 4), 1);
	t_write(CC, 0, 1);
	assert_int_equal(t_read(CSTS, 4), 0);
}

static void what_cannot_be_enabled_is_fatal_until_it_is_disabled(void **state)
{
	struct t *t = *state;
	const uint32_t bad[] = {
	    T_EN | 1u << 4,  /* command set */
	    T_EN | 7u << 4,  /* admin only */
	    T_EN | 5u << 7,  /* page size over the most */
	    T_EN | 1u << 11, /* arbitration */
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		t_enable(t);
		t_write(CC, 0, 4);
		t_write(CC, bad[i], 4);
		assert_int_equal(t_read(CSTS, 4), 2);
		t_write(0x1000, 1, 4); /* nothing happens */
		t_write(CC, 0, 4);
		assert_int_equal(t_read(CSTS, 4), 0);
	}
	t_write(NVME_REG_AQA, 0x000f0000, 4); /* a submission queue of one entry */
	t_write(CC, T_EN, 4);
	assert_int_equal(t_read(CSTS, 4), 2);
	t_write(CC, 0, 4);
	t_write(NVME_REG_AQA, 0x000f000f, 4);
	t_write(NVME_REG_ASQ, t->admin.sq + 4096, 8);
	t_write(CC, T_EN | 1u << 7, 4); /* pages of 8 KiB: ASQ or ACQ is not at one */
	assert_int_equal(t_read(CSTS, 4), 2);
	t_write(CC, 0, 4);
	t_enable(t);
}

static void command_set_page_size_and_arbitration_do_not_change_while_enabled(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(CC, T_EN | 0x3ff0, 4);
	assert_int_equal(t_read(CC, 4), T_EN);
	assert_int_equal(t_read(CSTS, 4), 1);
	t_write(CC, (T_EN & 0xffff) | 7u << 16 | 5u << 20, 4);
	assert_int_equal(NVME_CC_IOSQES(t_read(CC, 4)), 7);
}

static void csi_command_set_selection_works(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(CC, 0, 4);
	t->admin.tail = t->admin.head = 0;
	memset(t_mem(t, t->admin.cq), 0, 4096);
	t_write(CC, T_EN | 6u << 4, 4);
	assert_int_equal(t_read(CSTS, 4), 1);
	assert_int_equal(t_identify(t, 0x1c, 0, 0xffff), 0);
}

static void a_shutdown_completes_and_flushes_and_lasts_until_a_reset(void **state)
{
	struct t *t = *state;

	for (unsigned shn = 1; shn <= 2; shn++) {
		t_enable(t);
		(void)t_io_queues(t, 1);
		t_write(CC, T_EN | shn << 14, 4);
		t_run(t);
		assert_int_equal(t_read(CSTS, 4), 1 | 2 << 2);
		assert_false(ob_nvmeq_sq_running(t->c->q, 1));
		/* Another one changes nothing. */
		t_write(CC, T_EN | (3 - shn) << 14, 4);
		assert_int_equal(t_read(CSTS, 4), 1 | 2 << 2);
		t_write(CC, T_EN & ~1u, 4);
		assert_int_equal(t_read(CSTS, 4), 0);
	}
	assert_int_equal(t->st->n_shutdowns, 2);
	assert_int_equal(t->st->n_unsafe_shutdowns, 0);
}

static void a_shutdown_of_a_disabled_controller_completes_and_enabling_ends_it(void **state)
{
	struct t *t = *state;

	t_write(CC, 1u << 14, 4);
	t_run(t);
	assert_int_equal(t_read(CSTS, 4), 2 << 2);
	t_enable(t);
}

static void reserved_shutdown_value_does_nothing(void **state)
{
	t_enable(*state);
	t_write(CC, T_EN | 3u << 14, 4);
	assert_int_equal(t_read(CSTS, 4), 1);
}

static void a_subsystem_reset_needs_its_word(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(NVME_REG_NSSR, 0x4e564d64, 4);
	assert_int_equal(t_read(CSTS, 4), 1);
	t_write(NVME_REG_NSSR, 0x4e564d65, 4);
	assert_int_equal(t_read(CSTS, 4), 1 << 4);
	assert_int_equal(t_read(CC, 4), 0);
	assert_int_equal(t_read(NVME_REG_ASQ, 8), 0);
	t_write(CSTS, 1 << 4, 4);
	assert_int_equal(t_read(CSTS, 4), 0);
	t_enable(t);
}

static void a_function_reset_clears_all_registers(void **state)
{
	struct t *t = *state;

	t_enable(t);
	(void)t_io_queues(t, 2);
	fake_nvfu[0].conf.ops->reset(fake_nvfu[0].conf.ctx);
	assert_int_equal(t_read(CC, 4) | t_read(CSTS, 4) | t_read(NVME_REG_AQA, 4), 0);
	assert_int_equal(t_read(NVME_REG_ASQ, 8) | t_read(NVME_REG_ACQ, 8), 0);
	assert_false(ob_nvmeq_sq_running(t->c->q, 2));
	assert_int_equal(t->st->n_unsafe_shutdowns, 1);
	t_enable(t);
	assert_int_equal(t_identify(t, 1, 0, 0), 0);
}

/* ---- doorbells ---- */

static void doorbells_before_ready_are_ignored(void **state)
{
	struct t *t = *state;

	t_write(0x1000, 1, 4);
	assert_int_equal(t->st->n_bad_doorbells, 1);
	t_enable(t);
	assert_int_equal(t->st->n_admin, 0);
}

static void odd_doorbell_accesses_are_ignored(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(0x1000, 1, 2);
	t_write(0x1001, 1, 4);
	t_write(0x1000, 1, 1);
	assert_int_equal(t->st->n_bad_doorbells, 3);
	assert_int_equal(t->st->n_admin, 0);
	assert_int_equal(t_read(0x1000, 4), 0);
	assert_int_equal(t_read(CSTS, 4), 1);
}

static void one_access_may_ring_two_doorbells(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	struct t_cqe c;

	t_enable(t);
	t_put(t, &t->admin, &e);
	t_write(0x1000, t->admin.tail, 8); /* and head 0 */
	assert_true(t_done(t, &c));
	assert_int_equal(t->st->n_bad_doorbells, 0);
}

static void a_wrong_doorbell_is_told_by_an_event_and_the_error_log(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	const struct nvme_error_log_page *log = t_mem(t, t->data);
	struct t_cqe c;

	t_enable(t);
	(void)t_send(t, &e);
	t_write(0x1000, T_ENTRIES, 4); /* beyond the queue */
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 0 | 1 << 8 | 1 << 16);
	(void)t_send(t, &e);
	t_write(0x1000 + 8 * 3, 1, 4); /* queue 3 does not exist: masked until the log is read */
	assert_false(t_done(t, &c));
	/* What is pending was told by the page. */
	assert_int_equal(t_log(t, NVME_LOG_LID_ERROR, 0, 128, false), 0);
	assert_int_equal(log[0].error_count, 2);
	assert_int_equal(log[0].sqid, 3);
	assert_int_equal(log[0].cmdid, 0xffff);
	t_write(0x1000 + 8 * 3, 1, 4);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 0 | 0 << 8 | 1 << 16);
	t_write(0x1000 + 8 * 64, 1, 4);
	assert_int_equal(t_read(CSTS, 4), 1);
}

static void a_completion_head_past_what_was_posted_is_refused(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(0x1004, 1, 4);
	assert_int_equal(t->st->n_bad_doorbells, 1);
	assert_int_equal(t_identify(t, 1, 0, 0), 0);
}

static void the_first_doorbell_asks_whether_memory_is_shared(void **state)
{
	struct t *t = *state;

	for (unsigned i = 1; i <= 2; i++) {
		t_enable(t);
		assert_int_equal(t_identify(t, 1, 0, 0), 0);
		assert_int_equal(t_identify(t, 1, 0, 0), 0);
		assert_int_equal(fake_nvfu[0].n_checks, i);
		t_write(CC, 0, 4);
	}
}

static void queues_outside_of_memory_are_fatal(void **state)
{
	struct t *t = *state;

	t_enable(t);
	t_write(CC, 0, 4);
	t_write(NVME_REG_ASQ, 0x77770000, 8);
	t_write(CC, T_EN, 4);
	assert_int_equal(t_read(CSTS, 4), 1);
	t_write(0x1000, 1, 4);
	assert_int_equal(t_read(CSTS, 4), 3);
	t_write(CC, 0, 4);
	t_write(NVME_REG_ASQ, t->admin.sq, 8);
	t_write(NVME_REG_ACQ, 0x77770000, 8);
	t_write(CC, T_EN, 4);
	t_write(0x1000, 1, 4);
	assert_int_equal(t_read(CSTS, 4), 3);
	assert_true(t->c->fatal_why[0] != '\0');
	t_write(CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_identify(t, 1, 0, 0), 0);
}

static void nothing_is_fetched_without_bus_mastering(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	struct t_cqe c;

	t_enable(t);
	t_command(PCI_COMMAND_MEMORY);
	(void)t_send(t, &e);
	assert_false(t_done(t, &c));
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(t_done(t, &c));
	/* Neither is anything stored. */
	e.opcode = nvme_admin_async_event;
	(void)t_send(t, &e);
	t_command(PCI_COMMAND_MEMORY);
	t_write(0x1000 + 8 * 3, 1, 4);
	assert_false(t_done(t, &c));
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(t_done(t, &c));
	(void)t_io_queues(t, 1);
	t_command(PCI_COMMAND_MEMORY);
	assert_int_equal(t_read(CSTS, 4), 3);
}

/* ---- interrupts ---- */

static void msix_raises_vector_0_for_the_admin_queue(void **state)
{
	struct t *t = *state;

	fake_nvfu[0].msix = true;
	t_enable(t);
	assert_int_equal(t_identify(t, 1, 0, 0), 0);
	assert_int_equal(fake_nvfu[0].n_irq[0], 1);
	assert_false(fake_nvfu[0].intx);
}

static void intx_is_high_until_the_head_moves_and_can_be_masked(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	struct t_cqe c;

	t_enable(t);
	(void)t_send(t, &e);
	assert_true(fake_nvfu[0].intx);
	t_write(NVME_REG_INTMS, 1, 4);
	assert_false(fake_nvfu[0].intx);
	t_write(NVME_REG_INTMC, 1, 4);
	assert_true(fake_nvfu[0].intx);
	assert_true(t_done(t, &c));
	assert_false(fake_nvfu[0].intx);
	(void)t_send(t, &e);
	t_write(CC, 0, 4);
	assert_false(fake_nvfu[0].intx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(capabilities_read_whole_in_halves_and_in_bytes),
	    T(an_access_over_several_registers_touches_each),
	    T(admin_queue_registers_take_bytes_keep_page_bits_zero_and_freeze_while_enabled),
	    T(interrupt_mask_sets_and_clears),
	    T(enabling_makes_ready_and_disabling_resets_but_keeps_the_admin_queues_registers),
	    T(what_cannot_be_enabled_is_fatal_until_it_is_disabled),
	    T(command_set_page_size_and_arbitration_do_not_change_while_enabled),
	    T(csi_command_set_selection_works),
	    T(a_shutdown_completes_and_flushes_and_lasts_until_a_reset),
	    T(a_shutdown_of_a_disabled_controller_completes_and_enabling_ends_it),
	    T(reserved_shutdown_value_does_nothing),
	    T(a_subsystem_reset_needs_its_word),
	    T(a_function_reset_clears_all_registers),
	    T(doorbells_before_ready_are_ignored),
	    T(odd_doorbell_accesses_are_ignored),
	    T(one_access_may_ring_two_doorbells),
	    T(a_wrong_doorbell_is_told_by_an_event_and_the_error_log),
	    T(a_completion_head_past_what_was_posted_is_refused),
	    T(the_first_doorbell_asks_whether_memory_is_shared),
	    T(queues_outside_of_memory_are_fatal),
	    T(nothing_is_fetched_without_bus_mastering),
	    T(msix_raises_vector_0_for_the_admin_queue),
	    T(intx_is_high_until_the_head_moves_and_can_be_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
