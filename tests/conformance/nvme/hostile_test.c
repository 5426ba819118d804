/* SPDX-License-Identifier: BSD-3-Clause */
/* A host that does everything wrong: doorbells, registers, commands. The target lives, the other controller goes on, a reset mends all. */
#include "nvme_suite.h"

#define DB_BASE	 0x1000u
#define N_RANDOM 3000

static uint64_t seed;

static uint32_t draw(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void mended(struct suite *s)
{
	struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, 1, 8);

	if (!s->has_b)
		suite_open_b(s);
	nvd_data(&s->b, &cmd, s->b.page, 4096);
	IS(0, nvd_exec(&s->b, &s->b.sq[1], &cmd, NULL));
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	works(s);
}

static void doorbells_with_any_value(void **state)
{
	static const uint32_t value[] = {0, 1, 127, 128, 129, 0xffff, 0x10000, 0x7fffffff, ALL};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(value) / sizeof(*value); i++)
		for (uint16_t q = 0; q < 70; q++) {
			assert_int_equal(nvd_bell(&s->a, q, false, value[i]), 0);
			assert_int_equal(nvd_bell(&s->a, q, true, value[i]), 0);
		}
	usleep(20000);
	mended(s);
}

static void doorbells_before_the_controller_is_ready(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_disable(&s->a), 0);
	for (uint16_t q = 0; q < 4; q++) {
		assert_int_equal(nvd_bell(&s->a, q, false, 1), 0);
		assert_int_equal(nvd_bell(&s->a, q, true, 1), 0);
	}
	suite_on(s);
	works(s);
	mended(s);
}

static void doorbells_of_other_widths(void **state)
{
	struct suite *s = *state;
	uint8_t bytes[64];

	memset(bytes, 0x81, sizeof(bytes));
	for (uint32_t off = 0; off < 32; off++)
		for (uint32_t len = 1; len <= 16; len++)
			assert_int_equal(
			    vfu_client_post(&s->a.vfu, 0, DB_BASE + off, bytes, len), 0);
	usleep(10000);
	mended(s);
}

/* A head beyond the tail claims completions that never were. */
static void completion_head_beyond_what_was_posted(void **state)
{
	struct suite *s = *state;

	assert_int_equal(nvd_bell(&s->a, 1, true, 50), 0);
	for (unsigned i = 0; i < 20; i++) {
		struct nvd_sqe cmd = nvd_rw(NVD_READ, RAM, i, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		nvd_queue(&s->a.sq[1], &cmd);
	}
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
	usleep(20000);
	mended(s);
}

static void shadow_doorbells_with_any_value(void **state)
{
	struct suite *s = *state;
	uint32_t *shadow, *eventidx;

	IS(0, nvd_use_shadow(&s->a));
	shadow = fake_guest_ptr(&s->a.g, s->a.shadow_iova);
	eventidx = fake_guest_ptr(&s->a.g, s->a.eventidx_iova);
	for (unsigned n = 0; n < 2000; n++) {
		shadow[draw() % 8] = draw();
		eventidx[draw() % 8] = draw();
		if (n % 50 == 0)
			assert_int_equal(nvd_bell(&s->a, 1, false, draw() & 127), 0);
	}
	usleep(10000);
	mended(s);
}

static void registers_in_any_order(void **state)
{
	struct suite *s = *state;

	seed = 1;
	for (unsigned n = 0; n < N_RANDOM; n++) {
		static const uint32_t reg[] = {NVME_REG_CC, NVME_REG_AQA, NVME_REG_ASQ,
		    NVME_REG_ASQ + 4, NVME_REG_ACQ, NVME_REG_ACQ + 4, NVME_REG_INTMS,
		    NVME_REG_INTMC, NVME_REG_CSTS, NVME_REG_NSSR, DB_BASE, DB_BASE + 4,
		    DB_BASE + 8};
		uint32_t r = draw(), off = reg[r % 13], val = draw() ^ draw() << 16;

		if (off == NVME_REG_CC && (r & 0x100))
			val = nvd_cc() ^ (1u << draw() % 24);
		assert_int_equal(vfu_client_post(&s->a.vfu, 0, off, &val, 4), 0);
		if (n % 100 == 0)
			(void)nvd_reg32(&s->a, NVME_REG_CSTS);
	}
	mended(s);
}

static void reads_and_writes_of_any_place(void **state)
{
	struct suite *s = *state;
	uint8_t bytes[64];

	seed = 2;
	for (unsigned n = 0; n < N_RANDOM / 4; n++) {
		uint32_t off = draw() % 0x4000, len = 1 + draw() % 64;

		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)draw();
		/* Beyond the BAR it says no. */
		(void)vfu_client_read(&s->a.vfu, 0, off, bytes, len);
		if (off > 0x38)
			(void)vfu_client_write(&s->a.vfu, 0, off, bytes, len);
	}
	mended(s);
}

static void random_command(struct suite *s, struct nvd_sqe *cmd)
{
	uint32_t word[16];

	for (unsigned i = 0; i < 16; i++)
		word[i] = draw() ^ draw() << 16;
	memcpy(cmd, word, sizeof(*cmd));
	cmd->opc = (uint8_t)(draw() % 4 != 0 ? draw() % 0x20 : draw());
	cmd->nsid = draw() % 8 != 0 ? draw() % 4 : cmd->nsid;
	cmd->flags = (uint8_t)(draw() % 4 != 0 ? 0 : cmd->flags);
	if (draw() % 4 != 0)
		cmd->cdw10 &= 0x1ffff;
	if (draw() % 4 != 0)
		cmd->cdw11 &= 0xff;
	if (draw() % 4 != 0)
		cmd->cdw12 &= 0x1ff;
	if (draw() % 4 != 0)
		cmd->prp1 = s->buf + (draw() % BUF_BYTES & ~3u);
	if (draw() % 4 != 0)
		cmd->prp2 = s->buf + (draw() % BUF_BYTES & ~7u);
}

/* Not Format, not those that would delete what the other tests use. */
static bool harmless(uint8_t opc)
{
	return opc != NVD_NS_MGMT && opc != NVD_NS_ATTACH && opc != NVD_FORMAT && opc != 0x84 &&
	       opc != NVD_ASYNC_EVENT && opc != NVD_SET_FEATURES;
}

static void admin_commands_with_any_field(void **state)
{
	struct suite *s = *state;

	seed = 3;
	for (unsigned n = 0; n < N_RANDOM; n++) {
		struct nvd_sqe cmd;

		random_command(s, &cmd);
		if (!harmless(cmd.opc))
			continue;
		if (nvd_admin(&s->a, &cmd, NULL) < 0) {
			/* A controller that cannot go on says so. */
			assert_true((nvd_reg32(&s->a, NVME_REG_CSTS) & 2) != 0);
			assert_int_equal(nvd_disable(&s->a), 0);
			suite_on(s);
		}
	}
	mended(s);
}

static void io_commands_with_any_field(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;
	unsigned n_open = 0;

	seed = 4;
	for (unsigned n = 0; n < 4 * N_RANDOM; n++) {
		struct nvd_sqe cmd;

		random_command(s, &cmd);
		if (cmd.nsid == SLOW)
			cmd.nsid = RAM;
		/* Reservations would outlive the test. */
		if (cmd.opc == NVD_RESV_REGISTER || cmd.opc == NVD_RESV_ACQUIRE ||
		    cmd.opc == NVD_RESV_RELEASE)
			continue;
		nvd_queue_as(&s->a.sq[1], &cmd, (uint16_t)n);
		n_open++;
		if (n_open < 60)
			continue;
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		/* A first half of a fused pair waits for its second. */
		while (n_open > 1 && nvd_wait(&s->a, &s->a.cq[1], &cqe, 2000) == 0)
			n_open--;
		assert_true(n_open <= 1);
	}
	mended(s);
}

/* The host rewrites commands and lists while the controller looks at them. */
static void commands_that_change_under_the_controller(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;

	seed = 5;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 100; i++) {
			struct nvd_sqe cmd = nvd_rw(draw() & 1 ? NVD_READ : NVD_WRITE, RAM, i, 64);

			nvd_data(&s->a, &cmd, s->buf + 4096ull * i, 32768);
			nvd_queue(&s->a.sq[1], &cmd);
		}
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		for (unsigned i = 0; i < 400; i++) {
			uint64_t *list = fake_guest_ptr(&s->a.g, s->a.lists);

			s->a.sq[1].ring[draw() % (128 * 64)] = (uint8_t)draw();
			list[draw() % (3 * 512 * 64)] = draw() & 1 ? draw() : s->buf;
		}
		while (nvd_wait(&s->a, &s->a.cq[1], &cqe, 20) == 0)
			if (nvd_room(&s->a.sq[1]) == 127)
				break;
		if (round % 10 == 9)
			mended(s);
	}
	mended(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
	const struct CMUnitTest tests[] = {
	    T(doorbells_with_any_value),
	    T(doorbells_before_the_controller_is_ready),
	    T(doorbells_of_other_widths),
	    T(completion_head_beyond_what_was_posted),
	    T(shadow_doorbells_with_any_value),
	    T(registers_in_any_order),
	    T(reads_and_writes_of_any_place),
	    T(admin_commands_with_any_field),
	    T(io_commands_with_any_field),
	    T(commands_that_change_under_the_controller),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
