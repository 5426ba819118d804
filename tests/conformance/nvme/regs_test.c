/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers, enabling, every way to reset and to shut down. NVMe base 2.0, 3.1.3 and 3.5 to 3.7. */
#include "nvme_suite.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#define CSTS_RDY 1u
#define CSTS_CFS 2u
#define SHST(c)	 ((c) >> 2 & 3)
#define N_RESETS 20
#define QUIET_US 60000
#define FLAG_FLR 0x8000u

static void capabilities_make_sense(void **state)
{
	struct suite *s = *state;
	uint64_t cap = s->a.cap;

	assert_true((cap & 0xffff) >= 127);   /* MQES */
	assert_int_equal(cap >> 16 & 1, 1);   /* CQR */
	assert_true((cap >> 24 & 0xff) > 0);  /* TO */
	assert_int_equal(cap >> 32 & 0xf, 0); /* DSTRD: doorbells fit the shadow's page */
	assert_int_equal(cap >> 37 & 1, 1);   /* CSS: NVM */
	assert_int_equal(cap >> 48 & 0xf, 0); /* MPSMIN: 4 KiB */
	assert_true((cap >> 52 & 0xf) >= (cap >> 48 & 0xf));
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_VS), 0x20000);
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_CC), 0);
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_CSTS), 0);
}

static void capabilities_cannot_be_written(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_set64(&s->a, NVME_REG_CAP, 0), 0);
	assert_int_equal(nvd_set32(&s->a, NVME_REG_VS, 0), 0);
	assert_int_equal(nvd_reg64(&s->a, NVME_REG_CAP), s->a.cap);
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_VS), 0x20000);
	assert_int_equal(nvd_set32(&s->a, NVME_REG_CSTS, CSTS_RDY | CSTS_CFS), 0);
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_CSTS) & (CSTS_RDY | CSTS_CFS), 0);
}

static void registers_can_be_read_in_parts(void **state)
{
	struct suite *s = *state;
	uint64_t whole = 0;

	whole = nvd_reg32(&s->a, NVME_REG_CAP) | (uint64_t)nvd_reg32(&s->a, NVME_REG_CAP + 4) << 32;
	assert_int_equal(whole, s->a.cap);
	assert_int_equal(nvd_set32(&s->a, NVME_REG_ASQ, 0x12345000), 0);
	assert_int_equal(nvd_set32(&s->a, NVME_REG_ASQ + 4, 0x1), 0);
	assert_int_equal(nvd_reg64(&s->a, NVME_REG_ASQ), 0x112345000);
}

static void enable_makes_ready_and_disable_unready(void **state)
{
	struct suite *s = *state;

	for (unsigned i = 0; i < 3; i++) {
		suite_on(s);
		assert_int_equal(nvd_reg32(&s->a, NVME_REG_CSTS), CSTS_RDY);
		works(s);
		assert_int_equal(nvd_disable(&s->a), 0);
		assert_int_equal(nvd_reg32(&s->a, NVME_REG_CSTS), 0);
	}
}

/* 3.7.2: CC.EN = 0 resets all registers but these. */
static void admin_queue_registers_survive_a_controller_reset(void **state)
{
	struct suite *s = *state;
	uint64_t asq, acq;
	uint32_t aqa;

	assert_int_equal(nvd_enable(&s->a, 16), 0);
	asq = nvd_reg64(&s->a, NVME_REG_ASQ);
	acq = nvd_reg64(&s->a, NVME_REG_ACQ);
	aqa = nvd_reg32(&s->a, NVME_REG_AQA);
	assert_int_equal(aqa, 0x000f000f);
	assert_int_equal(nvd_disable(&s->a), 0);
	assert_int_equal(nvd_reg64(&s->a, NVME_REG_ASQ), asq);
	assert_int_equal(nvd_reg64(&s->a, NVME_REG_ACQ), acq);
	assert_int_equal(nvd_reg32(&s->a, NVME_REG_AQA), aqa);
}

/* Whatever an enable with wrong registers gives, it is no working controller, and a reset mends it. */
static void wrong_enable_is_refused(struct suite *s, uint32_t cc)
{
	assert_int_equal(nvd_set32(&s->a, NVME_REG_CC, cc), 0);
	usleep(20000);
	assert_true((nvd_reg32(&s->a, NVME_REG_CSTS) & (CSTS_RDY | CSTS_CFS)) != CSTS_RDY);
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	works(s);
	assert_int_equal(nvd_disable(&s->a), 0);
}

static void enable_with_an_unsupported_page_size_is_refused(void **state)
{
	struct suite *s = *state;
	unsigned mpsmax = (unsigned)(s->a.cap >> 52 & 0xf);

	if (mpsmax == 15)
		skip();
	assert_int_equal(nvd_admin_queues(&s->a, 32), 0);
	wrong_enable_is_refused(s, nvd_cc() | (mpsmax + 1) << 7);
}

static void enable_with_an_unsupported_command_set_is_refused(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_admin_queues(&s->a, 32), 0);
	wrong_enable_is_refused(s, nvd_cc() | 2u << 4);
}

static void enable_with_an_unsupported_arbitration_is_refused(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_admin_queues(&s->a, 32), 0);
	wrong_enable_is_refused(s, nvd_cc() | 7u << 11);
}

static void enable_with_queues_outside_memory_is_refused(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_admin_queues(&s->a, 32), 0);
	assert_int_equal(nvd_set64(&s->a, NVME_REG_ASQ, 0x700000000000), 0);
	assert_int_equal(nvd_set64(&s->a, NVME_REG_ACQ, 0x700000100000), 0);
	/* A controller may find out only when it is told of a command. */
	assert_int_equal(nvd_set32(&s->a, NVME_REG_CC, nvd_cc()), 0);
	usleep(20000);
	(void)nvd_bell(&s->a, 0, false, 1);
	usleep(20000);
	assert_true((nvd_reg32(&s->a, NVME_REG_CSTS) & CSTS_CFS) != 0);
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	works(s);
}

static void shutdown_completes(struct suite *s, bool abrupt)
{
	suite_on(s);
	works(s);
	assert_int_equal(nvd_shutdown(&s->a, abrupt), 0);
	assert_int_equal(SHST(nvd_reg32(&s->a, NVME_REG_CSTS)), 2);
	/* 3.6.1: a controller reset is the way out. */
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	assert_int_equal(SHST(nvd_reg32(&s->a, NVME_REG_CSTS)), 0);
	works(s);
}

static void normal_shutdown_completes(void **state)
{
	shutdown_completes(*state, false);
}

static void abrupt_shutdown_completes(void **state)
{
	shutdown_completes(*state, true);
}

static void shutdown_with_queues_left_and_io_under_way(void **state)
{
	struct suite *s = *state;

	for (unsigned i = 0; i < 4; i++) {
		suite_on(s);
		for (unsigned n = 0; n < 100; n++) {
			struct nvd_sqe cmd = nvd_rw(NVD_READ, SLOW, n, 1);

			nvd_data(&s->a, &cmd, s->buf + 4096ull * n, 512);
			nvd_queue(&s->a.sq[1], &cmd);
		}
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		assert_int_equal(nvd_shutdown(&s->a, i & 1), 0);
		assert_int_equal(nvd_disable(&s->a), 0);
	}
	suite_on(s);
	works(s);
}

/* Fills queue pair 1 with slow reads and writes. */
static void pile_up(struct suite *s)
{
	for (unsigned n = 0; n < 120; n++) {
		struct nvd_sqe cmd = nvd_rw(n & 1 ? NVD_WRITE : NVD_READ, n & 2 ? SLOW : RAM, n, 8);

		nvd_data(&s->a, &cmd, s->buf + 4096ull * n, 4096);
		nvd_queue(&s->a.sq[1], &cmd);
	}
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
}

/* Nobody may write to memory that the host has back. */
static void memory_is_left_alone(struct suite *s, uint64_t cq_iova)
{
	uint8_t *cq = fake_guest_ptr(&s->a.g, cq_iova);

	memset(cq, 0x5a, 128 * sizeof(struct nvd_cqe));
	memset(s->mem, 0x5a, BUF_BYTES);
	usleep(QUIET_US);
	for (size_t i = 0; i < 128 * sizeof(struct nvd_cqe); i++)
		assert_int_equal(cq[i], 0x5a);
	for (size_t i = 0; i < BUF_BYTES; i += 64)
		assert_int_equal(s->mem[i], 0x5a);
}

static void controller_reset_with_io_under_way(void **state)
{
	struct suite *s = *state;

	for (unsigned i = 0; i < N_RESETS; i++) {
		uint64_t cq;

		suite_on(s);
		cq = s->a.cq[1].iova;
		pile_up(s);
		usleep(i * 100);
		assert_int_equal(nvd_disable(&s->a), 0);
		if (i % 5 == 0)
			memory_is_left_alone(s, cq);
		s->a.g.brk = s->buf - s->a.g.iova + BUF_BYTES;
	}
	suite_on(s);
	works(s);
}

static void enable_bit_toggles_without_waiting(void **state)
{
	struct suite *s = *state;

	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(nvd_admin_queues(&s->a, 32), 0);
		assert_int_equal(nvd_set32(&s->a, NVME_REG_CC, nvd_cc()), 0);
		assert_int_equal(nvd_set32(&s->a, NVME_REG_CC, 0), 0);
		s->a.g.brk = s->buf - s->a.g.iova + BUF_BYTES;
	}
	assert_int_equal(nvd_wait_csts(&s->a, CSTS_RDY, 0), 0);
	suite_on(s);
	works(s);
}

static void device_reset_with_io_under_way(void **state)
{
	struct suite *s = *state;
	uint16_t cmd = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	for (unsigned i = 0; i < 5; i++) {
		suite_on(s);
		pile_up(s);
		assert_int_equal(vfu_client_reset(&s->a.vfu), 0);
		assert_int_equal(nvd_reg32(&s->a, NVME_REG_CC), 0);
		assert_int_equal(nvd_reg32(&s->a, NVME_REG_CSTS), 0);
		assert_int_equal(vfu_client_cfg_set16(&s->a.vfu, PCI_COMMAND, cmd), 0);
		s->a.g.brk = s->buf - s->a.g.iova + BUF_BYTES;
	}
	suite_on(s);
	works(s);
}

static void function_level_reset_with_io_under_way(void **state)
{
	struct suite *s = *state;
	unsigned cap = vfu_client_cap(&s->a.vfu, PCI_CAP_ID_EXP, 0);
	uint16_t cmd = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	assert_int_not_equal(cap, 0);
	for (unsigned i = 0; i < 5; i++) {
		suite_on(s);
		pile_up(s);
		assert_int_equal(
		    vfu_client_cfg_set16(&s->a.vfu, cap + PCI_EXP_DEVCTL, FLAG_FLR), 0);
		assert_int_equal(nvd_reg32(&s->a, NVME_REG_CC), 0);
		/* 3.7.2: a function level reset leaves no admin queue registers either. */
		assert_int_equal(nvd_reg64(&s->a, NVME_REG_ASQ), 0);
		assert_int_equal(vfu_client_cfg_set16(&s->a.vfu, PCI_COMMAND, cmd), 0);
		s->a.g.brk = s->buf - s->a.g.iova + BUF_BYTES;
	}
	suite_on(s);
	works(s);
}

static void disconnect_with_io_under_way(void **state)
{
	struct suite *s = *state;

	suite_on(s);
	for (unsigned i = 0; i < 10; i++) {
		pile_up(s);
		usleep(i * 200);
		suite_again(s);
	}
	works(s);
}

static void disconnect_in_every_state(void **state)
{
	struct suite *s = *state;

	suite_on(s);
	assert_int_equal(nvd_shutdown(&s->a, false), 0);
	suite_again(s);
	assert_int_equal(nvd_set32(&s->a, NVME_REG_CC, 0), 0);
	suite_again(s);
	works(s);
}

static void the_other_controller_does_not_notice(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd;

	suite_open_b(s);
	suite_on(s);
	for (unsigned i = 0; i < 5; i++) {
		pile_up(s);
		suite_again(s);
		cmd = nvd_rw(NVD_READ, RAM, i, 8);
		nvd_data(&s->b, &cmd, s->b.page, 4096);
		IS(0, nvd_exec(&s->b, &s->b.sq[1], &cmd, NULL));
	}
}

static void no_bus_master_no_access(void **state)
{
	struct suite *s = *state;
	uint16_t off = PCI_COMMAND_MEMORY, on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	suite_on(s);
	assert_int_equal(vfu_client_cfg_set16(&s->a.vfu, PCI_COMMAND, off), 0);
	pile_up(s);
	memory_is_left_alone(s, s->a.cq[1].iova);
	assert_int_equal(vfu_client_cfg_set16(&s->a.vfu, PCI_COMMAND, on), 0);
	suite_again(s);
	works(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_connect, suite_close)
	const struct CMUnitTest tests[] = {
	    T(capabilities_make_sense),
	    T(capabilities_cannot_be_written),
	    T(registers_can_be_read_in_parts),
	    T(enable_makes_ready_and_disable_unready),
	    T(admin_queue_registers_survive_a_controller_reset),
	    T(enable_with_an_unsupported_page_size_is_refused),
	    T(enable_with_an_unsupported_command_set_is_refused),
	    T(enable_with_an_unsupported_arbitration_is_refused),
	    T(enable_with_queues_outside_memory_is_refused),
	    T(normal_shutdown_completes),
	    T(abrupt_shutdown_completes),
	    T(shutdown_with_queues_left_and_io_under_way),
	    T(controller_reset_with_io_under_way),
	    T(enable_bit_toggles_without_waiting),
	    T(device_reset_with_io_under_way),
	    T(function_level_reset_with_io_under_way),
	    T(disconnect_with_io_under_way),
	    T(disconnect_in_every_state),
	    T(the_other_controller_does_not_notice),
	    T(no_bus_master_no_access),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
