/* SPDX-License-Identifier: BSD-3-Clause */
/* The I/O command set. NVM command set 1.0, 3. */
#include "nvme_suite.h"

#define BAD_NS NVME_SC_INVALID_NS
#define RANGE  NVME_SC_LBA_RANGE
#define FIELD  NVME_SC_INVALID_FIELD

static int io(struct suite *s, struct nvd_sqe *cmd)
{
	return nvd_exec(&s->a, &s->a.sq[1], cmd, NULL);
}

static int io_nodata(struct suite *s, uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t n)
{
	struct nvd_sqe cmd = nvd_rw(opc, nsid, slba, n);

	return io(s, &cmd);
}

static void data_comes_back_at_every_size(void **state)
{
	static const uint32_t n[] = {1, 2, 7, 8, 9, 16, 17, 255, 256, 1024, 2047, 2048};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(n) / sizeof(*n); i++) {
		uint32_t len = n[i] * 512;

		fill(s, 0, len, i);
		IS(0, rw(s, NVD_WRITE, RAM, 100 + i, n[i], 0));
		memset(s->mem + (2 << 20), 0, len);
		IS(0, rw(s, NVD_READ, RAM, 100 + i, n[i], 2 << 20));
		assert_true(holds(s, 2 << 20, len, i));
	}
}

static void data_comes_back_at_every_offset_of_a_page(void **state)
{
	struct suite *s = *state;

	for (uint32_t off = 0; off < 4096; off += 508) {
		fill(s, off, 16384, off);
		IS(0, rw(s, NVD_WRITE, RAM, 300, 32, off));
		memset(s->mem + (1 << 20), 0, 32768);
		IS(0, rw(s, NVD_READ, RAM, 300, 32, (1 << 20) + 4092 - off % 4092));
		assert_true(holds(s, (1 << 20) + 4092 - off % 4092, 16384, off));
	}
}

static void the_last_block_and_the_one_behind(void **state)
{
	struct suite *s = *state;

	IS(0, rw(s, NVD_WRITE, RAM, RAM_BLOCKS - 1, 1, 0));
	IS(0, rw(s, NVD_READ, RAM, RAM_BLOCKS - 8, 8, 0));
	IS(RANGE, rw(s, NVD_READ, RAM, RAM_BLOCKS, 1, 0));
	IS(RANGE, rw(s, NVD_READ, RAM, RAM_BLOCKS - 7, 8, 0));
	IS(RANGE, rw(s, NVD_WRITE, RAM, RAM_BLOCKS - 7, 8, 0));
	IS(RANGE, rw(s, NVD_READ, RAM, ~0ull, 1, 0));
	IS(RANGE, rw(s, NVD_WRITE, RAM, ~0ull - 3, 8, 0));
	IS(RANGE, io_nodata(s, NVD_WRITE_ZEROES, RAM, RAM_BLOCKS - 1, 2));
	IS(RANGE, io_nodata(s, NVD_VERIFY, RAM, RAM_BLOCKS - 1, 2));
	IS(RANGE, rw(s, NVD_COMPARE, RAM, RAM_BLOCKS - 1, 2, 0));
}

static void namespaces_that_are_not_there(void **state)
{
	static const uint32_t nsid[] = {0, NO_NSID, 4, 0xfffffffe, ALL};
	static const uint8_t opc[] = {NVD_READ, NVD_WRITE, NVD_COMPARE, NVD_WRITE_ZEROES, NVD_DSM,
	    NVD_VERIFY, NVD_RESV_REPORT};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(nsid) / sizeof(*nsid); i++)
		for (unsigned k = 0; k < sizeof(opc); k++) {
			struct nvd_sqe cmd = nvd_rw(opc[k], nsid[i], 0, 1);

			nvd_data(&s->a, &cmd, s->buf, 512);
			IN(io(s, &cmd), BAD_NS, FIELD);
		}
	IS(BAD_NS, io_nodata(s, NVD_FLUSH, 0, 0, 1));
	IS(BAD_NS, io_nodata(s, NVD_FLUSH, NO_NSID, 0, 1));
}

static void transfers_longer_than_mdts(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ctrl id;
	uint32_t most;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	if (id.mdts == 0 || id.mdts > 9)
		skip();
	most = 4096u << id.mdts;
	IS(0, rw(s, NVD_READ, RAM, 0, most / 512, 0));
	IS(FIELD, rw(s, NVD_READ, RAM, 0, most / 512 + 1, 0));
	IS(FIELD, rw(s, NVD_WRITE, RAM, 0, most / 512 + 1, 0));
	works(s);
}

static void flush_of_one_and_of_all(void **state)
{
	struct suite *s = *state;

	IS(0, io_nodata(s, NVD_FLUSH, RAM, 0, 1));
	IN(io_nodata(s, NVD_FLUSH, ALL, 0, 1), 0, BAD_NS, FIELD);
}

static void force_unit_access(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = nvd_rw(NVD_WRITE, RAM, 5, 8);

	fill(s, 0, 4096, 5);
	nvd_data(&s->a, &cmd, s->buf, 4096);
	cmd.cdw12 |= 1u << 30;
	IS(0, io(s, &cmd));
	cmd.opc = NVD_READ;
	nvd_data(&s->a, &cmd, s->buf + 8192, 4096);
	IS(0, io(s, &cmd));
	assert_true(holds(s, 8192, 4096, 5));
}

static void zeroes_are_written(void **state)
{
	struct suite *s = *state;

	for (unsigned deac = 0; deac < 2; deac++) {
		struct nvd_sqe cmd = nvd_rw(NVD_WRITE_ZEROES, RAM, 1001, 13);

		fill(s, 0, 8192, 9);
		IS(0, rw(s, NVD_WRITE, RAM, 1000, 16, 0));
		cmd.cdw12 |= deac << 25;
		IS(0, io(s, &cmd));
		IS(0, rw(s, NVD_READ, RAM, 1000, 16, 16384));
		assert_memory_equal(s->mem + 16384, s->mem, 512);
		for (unsigned i = 512; i < 14 * 512; i++)
			assert_int_equal(s->mem[16384 + i], 0);
		assert_memory_equal(s->mem + 16384 + 14 * 512, s->mem + 14 * 512, 1024);
	}
	/* As many blocks as the field holds. */
	IS(0, io_nodata(s, NVD_WRITE_ZEROES, RAM, 0, RAM_BLOCKS));
	works(s);
}

static int dsm(struct suite *s, const struct nvme_dsm_range *r, unsigned n, uint32_t what)
{
	struct nvd_sqe cmd = {.opc = NVD_DSM, .nsid = RAM, .cdw10 = n - 1, .cdw11 = what};

	memcpy(s->mem, r, n * sizeof(*r));
	nvd_data(&s->a, &cmd, s->buf, n * sizeof(*r));
	return io(s, &cmd);
}

static void ranges_are_deallocated(void **state)
{
	struct nvme_dsm_range r[256];
	struct suite *s = *state;

	fill(s, 0, 1 << 20, 3);
	IS(0, rw(s, NVD_WRITE, RAM, 2048, 2048, 0));
	for (unsigned i = 0; i < 256; i++)
		r[i] = (struct nvme_dsm_range){.nlb = htole32(4), .slba = htole64(2048 + 8 * i)};
	IS(0, dsm(s, r, 256, 4));
	IS(0, rw(s, NVD_READ, RAM, 2048, 2048, 0));
	/* What was not named is as it was. */
	for (unsigned i = 0; i < 256; i++)
		assert_true(holds(s, i * 4096 + 2048, 2048, 3 + i * 4096 + 2048));
	r[3].slba = htole64(RAM_BLOCKS - 1);
	IS(RANGE, dsm(s, r, 256, 4));
	IS(0, dsm(s, r, 2, 1)); /* advice only */
	r[0].nlb = 0;
	IS(0, dsm(s, r, 1, 4));
}

static void compare_tells(void **state)
{
	struct suite *s = *state;

	fill(s, 0, 65536, 70);
	IS(0, rw(s, NVD_WRITE, RAM, 500, 128, 0));
	IS(0, rw(s, NVD_COMPARE, RAM, 500, 128, 0));
	s->mem[65535] ^= 1;
	IS(NVD_MEDIA(NVME_SC_COMPARE_FAILED), rw(s, NVD_COMPARE, RAM, 500, 128, 0));
	s->mem[65535] ^= 1;
	IS(0, rw(s, NVD_COMPARE, RAM, 500, 128, 0));
}

static void pair(struct suite *s, struct nvd_sqe *first, struct nvd_sqe *second, int sc[2])
{
	struct nvd_cqe cqe;

	first->flags |= NVD_FUSE_FIRST;
	second->flags |= NVD_FUSE_SECOND;
	nvd_queue_as(&s->a.sq[1], first, 1000);
	nvd_queue_as(&s->a.sq[1], second, 1001);
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &cqe, NVD_WAIT_MS), 0);
		assert_in_range(cqe.cid, 1000, 1001);
		sc[cqe.cid - 1000] = NVD_SC(&cqe);
	}
}

static void compare_and_write_is_one(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmp = nvd_rw(NVD_COMPARE, RAM, 40, 1), wr = nvd_rw(NVD_WRITE, RAM, 40, 1);
	int sc[2];

	fill(s, 0, 512, 1);
	fill(s, 4096, 512, 2);
	IS(0, rw(s, NVD_WRITE, RAM, 40, 1, 0));
	nvd_data(&s->a, &cmp, s->buf, 512);
	nvd_data(&s->a, &wr, s->buf + 4096, 512);
	pair(s, &cmp, &wr, sc);
	IS(0, sc[0]);
	IS(0, sc[1]);
	IS(0, rw(s, NVD_READ, RAM, 40, 1, 8192));
	assert_true(holds(s, 8192, 512, 2));
	/* Now it is 2: the compare fails, and nothing is written. */
	fill(s, 4096, 512, 3);
	pair(s, &cmp, &wr, sc);
	IS(NVD_MEDIA(NVME_SC_COMPARE_FAILED), sc[0]);
	IS(NVME_SC_FUSED_FAIL, sc[1]);
	IS(0, rw(s, NVD_READ, RAM, 40, 1, 8192));
	assert_true(holds(s, 8192, 512, 2));
}

static void half_a_fused_command(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmp = nvd_rw(NVD_COMPARE, RAM, 40, 1), wr = nvd_rw(NVD_WRITE, RAM, 40, 1),
		       rd = nvd_rw(NVD_READ, RAM, 40, 1);
	struct nvd_cqe cqe;

	nvd_data(&s->a, &cmp, s->buf, 512);
	nvd_data(&s->a, &wr, s->buf, 512);
	nvd_data(&s->a, &rd, s->buf, 512);
	wr.flags |= NVD_FUSE_SECOND;
	IS(NVME_SC_FUSED_MISSING, io(s, &wr));
	cmp.flags |= NVD_FUSE_FIRST;
	nvd_queue_as(&s->a.sq[1], &cmp, 900);
	nvd_queue_as(&s->a.sq[1], &rd, 901);
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &cqe, NVD_WAIT_MS), 0);
		IS(cqe.cid == 900 ? NVME_SC_FUSED_MISSING : 0, NVD_SC(&cqe));
	}
	rd.flags |= 3;
	IS(FIELD, io(s, &rd));
	works(s);
}

static void fused_halves_that_do_not_match(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmp = nvd_rw(NVD_COMPARE, RAM, 40, 1), wr = nvd_rw(NVD_WRITE, RAM, 41, 1);
	int sc[2];

	nvd_data(&s->a, &cmp, s->buf, 512);
	nvd_data(&s->a, &wr, s->buf, 512);
	fill(s, 0, 512, 1);
	IS(0, rw(s, NVD_WRITE, RAM, 41, 1, 0));
	fill(s, 0, 512, 2);
	pair(s, &cmp, &wr, sc);
	assert_true(sc[0] != 0 || sc[1] != 0);
	IS(0, rw(s, NVD_READ, RAM, 41, 1, 4096));
	assert_true(holds(s, 4096, 512, 1));
	works(s);
}

static void verify_reads_without_data(void **state)
{
	struct suite *s = *state;

	IS(0, io_nodata(s, NVD_VERIFY, RAM, 0, 256));
}

static int copy(struct suite *s, const struct nvme_copy_range *r, unsigned n, uint64_t to)
{
	struct nvd_sqe cmd = {.opc = NVD_COPY,
	    .nsid = RAM,
	    .cdw10 = (uint32_t)to,
	    .cdw11 = (uint32_t)(to >> 32),
	    .cdw12 = n - 1};

	memcpy(s->mem, r, n * sizeof(*r));
	nvd_data(&s->a, &cmd, s->buf, n * sizeof(*r));
	return io(s, &cmd);
}

static void ranges_are_copied(void **state)
{
	struct suite *s = *state;
	struct nvme_copy_range r[2] = {
	    {.nlb = htole16(7), .slba = htole64(600)}, {.nlb = htole16(3), .slba = htole64(700)}};
	struct nvme_id_ctrl id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	if ((le16toh(id.oncs) & 0x100) == 0)
		skip();
	fill(s, 4096, 4096, 60);
	IS(0, rw(s, NVD_WRITE, RAM, 600, 8, 4096));
	fill(s, 4096, 2048, 61);
	IS(0, rw(s, NVD_WRITE, RAM, 700, 4, 4096));
	IS(0, copy(s, r, 2, 800));
	IS(0, rw(s, NVD_READ, RAM, 800, 12, 16384));
	assert_true(holds(s, 16384, 4096, 60));
	assert_true(holds(s, 16384 + 4096, 2048, 61));
	IS(RANGE, copy(s, r, 2, RAM_BLOCKS - 4));
	r[1].slba = htole64(RAM_BLOCKS - 2);
	IS(RANGE, copy(s, r, 2, 800));
}

static void copies_beyond_the_limits(void **state)
{
	static struct nvme_copy_range r[256];
	struct suite *s = *state;
	struct nvme_id_ns id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, RAM, 0, &id));
	if (le16toh(id.mssrl) == 0)
		skip();
	if (id.msrc < 127)
		IS(NVD_CMD(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED), copy(s, r, id.msrc + 2u, 800));
	if (le16toh(id.mssrl) < 0xffff) {
		r[0].nlb = id.mssrl;
		IS(NVD_CMD(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED), copy(s, r, 1, 800));
	}
}

static void write_protection(void **state)
{
	struct suite *s = *state;
	uint32_t now = 0;

	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_WRITE_PROTECT, RAM, 1, NULL));
	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_WRITE_PROTECT, RAM, 0, &now));
	assert_int_equal(now, 1);
	IS(NVME_SC_NS_WRITE_PROTECTED, rw(s, NVD_WRITE, RAM, 0, 1, 0));
	IS(NVME_SC_NS_WRITE_PROTECTED, io_nodata(s, NVD_WRITE_ZEROES, RAM, 0, 1));
	IS(0, rw(s, NVD_READ, RAM, 0, 1, 0));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_WRITE_PROTECT, RAM, 0, NULL));
	works(s);
}

static void opcodes_that_do_not_exist(void **state)
{
	static const uint8_t opc[] = {0x03, 0x06, 0x0a, 0x10, 0x20, 0x79, 0x7d, 0x80, 0xff};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(opc); i++) {
		struct nvd_sqe cmd = nvd_rw(opc[i], RAM, 0, 1);

		nvd_data(&s->a, &cmd, s->buf, 512);
		IS(NVME_SC_INVALID_OPCODE, io(s, &cmd));
	}
	IN(io_nodata(s, NVD_WRITE_UNCOR, RAM, 0, 1), NVME_SC_INVALID_OPCODE, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
	const struct CMUnitTest tests[] = {
	    T(data_comes_back_at_every_size),
	    T(data_comes_back_at_every_offset_of_a_page),
	    T(the_last_block_and_the_one_behind),
	    T(namespaces_that_are_not_there),
	    T(transfers_longer_than_mdts),
	    T(flush_of_one_and_of_all),
	    T(force_unit_access),
	    T(zeroes_are_written),
	    T(ranges_are_deallocated),
	    T(compare_tells),
	    T(compare_and_write_is_one),
	    T(half_a_fused_command),
	    T(fused_halves_that_do_not_match),
	    T(verify_reads_without_data),
	    T(ranges_are_copied),
	    T(copies_beyond_the_limits),
	    T(write_protection),
	    T(opcodes_that_do_not_exist),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
