/* SPDX-License-Identifier: BSD-3-Clause */
/* Data pointers, right and wrong: PRP entries and lists, SGL segments. NVMe base 2.0, 4.1. */
#include "nvme_suite.h"

#define XFER	 NVME_SC_DATA_XFER_ERROR
#define PRP_OFF	 NVME_SC_PRP_INVALID_OFFSET
#define NOWHERE	 0x700000000000ull
#define BLOCK_AT 2000

static int io(struct suite *s, struct nvd_sqe *cmd)
{
	return nvd_exec(&s->a, &s->a.sq[1], cmd, NULL);
}

static struct nvd_sqe read_of(uint32_t bytes)
{
	return nvd_rw(NVD_READ, RAM, BLOCK_AT, bytes / 512);
}

static bool has_sgl(struct suite *s)
{
	struct nvme_id_ctrl id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	return (le32toh(id.sgls) & 3) != 0;
}

static bool has_bit_bucket(struct suite *s)
{
	struct nvme_id_ctrl id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	return (le32toh(id.sgls) & 1 << 16) != 0;
}

static void prp1_not_at_a_dword(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(512);

	cmd.prp1 = s->buf + 2;
	/* Checking the lowest bits is a may; then they are taken as zero (4.1.1). */
	IN(io(s, &cmd), PRP_OFF, 0);
	works(s);
}

static void prp2_with_an_offset(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(8192);

	cmd.prp1 = s->buf;
	cmd.prp2 = s->buf + 4096 + 512;
	IS(PRP_OFF, io(s, &cmd));
	works(s);
}

static void prp_outside_memory(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(8192);

	cmd.prp1 = NOWHERE;
	cmd.prp2 = s->buf;
	IS(XFER, io(s, &cmd));
	cmd.prp1 = s->buf;
	cmd.prp2 = NOWHERE;
	IS(XFER, io(s, &cmd));
	cmd.opc = NVD_WRITE;
	IS(XFER, io(s, &cmd));
	cmd.prp1 = 0;
	cmd.prp2 = 0;
	IS(XFER, io(s, &cmd));
	cmd.prp1 = ~0xfffull;
	IS(XFER, io(s, &cmd));
	/* The last page of memory, and the one behind it. */
	cmd.prp1 = s->a.g.iova + s->a.g.len - 4096;
	cmd.prp2 = s->a.g.iova + s->a.g.len;
	IS(XFER, io(s, &cmd));
	works(s);
}

/* Entries of a list at 'list' for 'n' pages of s->buf + 64 KiB, then what 'change' makes of them. */
static int with_list(
    struct suite *s, uint32_t bytes, unsigned at, uint64_t entry, uint64_t list_off)
{
	struct nvd_sqe cmd = read_of(bytes);
	uint64_t *list = (uint64_t *)(void *)(s->mem + list_off);
	unsigned n = bytes / 4096 - 1;

	for (unsigned i = 0; i < n; i++)
		list[i] = s->buf + (64u << 10) + 4096ull * (i + 1);
	if (at < n)
		list[at] = entry;
	cmd.prp1 = s->buf + (64u << 10);
	cmd.prp2 = s->buf + list_off;
	return io(s, &cmd);
}

static void lists_with_wrong_entries(void **state)
{
	struct suite *s = *state;

	IS(0, with_list(s, 65536, 999, 0, 0));
	IS(0, with_list(s, 65536, 999, 0, 4096 - 15 * 8));
	IS(PRP_OFF, with_list(s, 65536, 7, s->buf + 512, 0));
	IS(PRP_OFF, with_list(s, 65536, 14, s->buf + 4, 0));
	IS(XFER, with_list(s, 65536, 0, NOWHERE, 0));
	IS(XFER, with_list(s, 65536, 14, NOWHERE, 0));
	IS(XFER, with_list(s, 65536, 14, 0, 0));
	works(s);
}

static void list_not_at_a_qword(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(65536);

	nvd_data(&s->a, &cmd, s->buf, 65536);
	cmd.prp2 += 4;
	IN(io(s, &cmd), PRP_OFF, 0, XFER);
	cmd.prp2 = NOWHERE;
	IS(XFER, io(s, &cmd));
	works(s);
}

/* A list may lie at the end of its page: its last entry then points to the next one. To itself, if the host is hostile. */
static void list_that_leads_to_itself(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(1u << 20);
	uint64_t *last = (uint64_t *)(void *)(s->mem + 4096 - 8);

	*last = s->buf;
	for (unsigned i = 0; i < 511; i++)
		((uint64_t *)(void *)s->mem)[i] = s->buf + 8192;
	cmd.prp1 = s->buf + 8192;
	cmd.prp2 = s->buf + 4096 - 8;
	/* 255 entries are wanted: the chain to the page of this very entry ends there. */
	IN(io(s, &cmd), 0, XFER, PRP_OFF);
	*last = s->buf + 4096 - 8;
	IN(io(s, &cmd), XFER, PRP_OFF, NVME_SC_INVALID_FIELD);
	works(s);
}

/* ---- SGL ---- */

static void sgl_moves_data(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = nvd_rw(NVD_WRITE, RAM, BLOCK_AT, 16);
	struct nvd_sgl sgl[5];

	if (!has_sgl(s))
		skip();
	fill(s, 0, 8192, 17);
	nvd_data_sgl(&cmd, s->buf, 8192);
	IS(0, io(s, &cmd));
	/* Pieces of odd places and lengths, all multiples of 4. */
	sgl[0] = (struct nvd_sgl){.addr = s->buf + 65536 + 4, .len = 100};
	sgl[1] = (struct nvd_sgl){.addr = s->buf + 131072 - 8, .len = 4000};
	sgl[2] = (struct nvd_sgl){.addr = s->buf + 262144, .len = 4092};
	cmd = read_of(8192);
	nvd_data_sgls(&s->a, &cmd, sgl, 3);
	IS(0, io(s, &cmd));
	assert_true(holds(s, 65536 + 4, 100, 17));
	assert_true(holds(s, 131072 - 8, 4000, 117));
	assert_true(holds(s, 262144, 4092, 4117));
}

static void sgl_in_several_segments(void **state)
{
	struct suite *s = *state;
	struct nvd_sgl *seg = (struct nvd_sgl *)(void *)s->mem, first;
	struct nvd_sqe cmd = read_of(8192);

	if (!has_sgl(s))
		skip();
	fill(s, 65536, 8192, 18);
	IS(0, rw(s, NVD_WRITE, RAM, BLOCK_AT, 16, 65536));
	memset(s->mem + 65536, 0, 8192);
	seg[0] = (struct nvd_sgl){.addr = s->buf + 65536, .len = 4096};
	seg[1] = (struct nvd_sgl){.addr = s->buf + 1024, .len = 16, .type = NVD_SGL_LAST};
	seg[64] = (struct nvd_sgl){.addr = s->buf + 65536 + 4096, .len = 4096};
	first = (struct nvd_sgl){.addr = s->buf, .len = 32, .type = NVD_SGL_SEGMENT};
	cmd.flags = NVD_PSDT_SGL;
	memcpy(&cmd.prp1, &first, sizeof(first));
	IS(0, io(s, &cmd));
	assert_true(holds(s, 65536, 8192, 18));
}

static void sgl_bit_bucket_skips(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(1024);
	struct nvd_sgl sgl[2] = {{.len = 512, .type = NVD_SGL_BIT_BUCKET}};

	if (!has_sgl(s) || !has_bit_bucket(s))
		skip();
	fill(s, 0, 1024, 19);
	IS(0, rw(s, NVD_WRITE, RAM, BLOCK_AT, 2, 0));
	sgl[1] = (struct nvd_sgl){.addr = s->buf + 4096, .len = 512};
	nvd_data_sgls(&s->a, &cmd, sgl, 2);
	IS(0, io(s, &cmd));
	assert_true(holds(s, 4096, 512, 19 + 512));
}

static int one_sgl(struct suite *s, struct nvd_sgl d, uint32_t bytes)
{
	struct nvd_sqe cmd = read_of(bytes);

	cmd.flags = NVD_PSDT_SGL;
	memcpy(&cmd.prp1, &d, sizeof(d));
	return io(s, &cmd);
}

static void sgl_with_wrong_descriptors(void **state)
{
	struct suite *s = *state;
	struct nvd_sgl *seg = (struct nvd_sgl *)(void *)s->mem;
	struct nvd_sgl last = {.addr = s->buf, .len = 32, .type = NVD_SGL_LAST};

	if (!has_sgl(s))
		skip();
	IS(NVME_SC_SGL_INVALID_TYPE,
	    one_sgl(s, (struct nvd_sgl){.addr = s->buf, .len = 512, .type = 0x70}, 512));
	IS(NVME_SC_SGL_INVALID_TYPE,
	    one_sgl(s, (struct nvd_sgl){.addr = s->buf, .len = 512, .type = 0x0f}, 512));
	/* Too little data. Too much is allowed only where SGLS says so. */
	IS(NVME_SC_SGL_INVALID_DATA, one_sgl(s, (struct nvd_sgl){.addr = s->buf, .len = 508}, 512));
	IS(XFER, one_sgl(s, (struct nvd_sgl){.addr = NOWHERE, .len = 512}, 512));
	IS(XFER, one_sgl(s, (struct nvd_sgl){.addr = ~0ull - 8, .len = 512}, 512));
	/* A segment whose length is no multiple of a descriptor, or zero. */
	IN(one_sgl(s, (struct nvd_sgl){.addr = s->buf, .len = 17, .type = NVD_SGL_LAST}, 512),
	    NVME_SC_SGL_INVALID_COUNT, NVME_SC_SGL_INVALID_LAST);
	IN(one_sgl(s, (struct nvd_sgl){.addr = s->buf, .len = 0, .type = NVD_SGL_LAST}, 512),
	    NVME_SC_SGL_INVALID_COUNT, NVME_SC_SGL_INVALID_LAST, NVME_SC_SGL_INVALID_DATA);
	IN(one_sgl(s, (struct nvd_sgl){.addr = NOWHERE, .len = 32, .type = NVD_SGL_LAST}, 512),
	    XFER);
	/* A last segment that goes on. */
	seg[0] = (struct nvd_sgl){.addr = s->buf + 4096, .len = 512};
	seg[1] = (struct nvd_sgl){.addr = s->buf, .len = 32, .type = NVD_SGL_SEGMENT};
	IN(one_sgl(s, last, 1024), NVME_SC_SGL_INVALID_LAST, NVME_SC_SGL_INVALID_TYPE,
	    NVME_SC_SGL_INVALID_COUNT);
	works(s);
}

static void sgl_that_leads_to_itself(void **state)
{
	struct suite *s = *state;
	struct nvd_sgl *seg = (struct nvd_sgl *)(void *)s->mem;

	if (!has_sgl(s))
		skip();
	seg[0] = (struct nvd_sgl){.addr = s->buf, .len = 16, .type = NVD_SGL_SEGMENT};
	IN(one_sgl(s, seg[0], 512), NVME_SC_SGL_INVALID_COUNT, NVME_SC_SGL_INVALID_LAST,
	    NVME_SC_SGL_INVALID_DATA, NVME_SC_INVALID_FIELD);
	seg[0] = (struct nvd_sgl){.addr = s->buf + 4096, .len = 0};
	seg[1] = (struct nvd_sgl){.addr = s->buf, .len = 32, .type = NVD_SGL_SEGMENT};
	IN(one_sgl(s, seg[1], 512), NVME_SC_SGL_INVALID_COUNT, NVME_SC_SGL_INVALID_LAST,
	    NVME_SC_SGL_INVALID_DATA, NVME_SC_INVALID_FIELD);
	works(s);
}

static void reserved_kind_of_data_pointer(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = read_of(512);

	nvd_data(&s->a, &cmd, s->buf, 512);
	cmd.flags |= 0xc0;
	IS(NVME_SC_INVALID_FIELD, io(s, &cmd));
	works(s);
}

static void memory_taken_away_under_io(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;
	uint64_t at = 0x900000000;
	uint8_t *mem;

	for (unsigned round = 0; round < 10; round++) {
		unsigned n_bad = 0;

		assert_int_equal(vfu_client_share(&s->a.vfu, at, 1 << 20, 3, &mem), 0);
		for (unsigned i = 0; i < 60; i++) {
			struct nvd_sqe cmd = nvd_rw(NVD_READ, i & 1 ? SLOW : RAM, i, 8);

			nvd_data(&s->a, &cmd, at + 4096 * i, 4096);
			nvd_queue(&s->a.sq[1], &cmd);
		}
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		usleep(round * 100);
		assert_int_equal(vfu_client_unmap(&s->a.vfu, at, 1 << 20, 0), 0);
		memset(mem, 0x5a, 1 << 20);
		usleep(5000);
		for (unsigned i = 0; i < 1 << 20; i += 512)
			assert_int_equal(mem[i], 0x5a);
		for (unsigned i = 0; i < 60; i++) {
			assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &cqe, NVD_WAIT_MS), 0);
			IN(NVD_SC(&cqe), 0, XFER);
			n_bad += NVD_SC(&cqe) != 0;
		}
		/* What was throttled cannot have had its data anywhere. */
		assert_true(n_bad > 0);
	}
	works(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
	const struct CMUnitTest tests[] = {
	    T(prp1_not_at_a_dword),
	    T(prp2_with_an_offset),
	    T(prp_outside_memory),
	    T(lists_with_wrong_entries),
	    T(list_not_at_a_qword),
	    T(list_that_leads_to_itself),
	    T(sgl_moves_data),
	    T(sgl_in_several_segments),
	    T(sgl_bit_bucket_skips),
	    T(sgl_with_wrong_descriptors),
	    T(sgl_that_leads_to_itself),
	    T(reserved_kind_of_data_pointer),
	    T(memory_taken_away_under_io),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
