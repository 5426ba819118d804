/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of several I/Os, namespace states, and Flush. */
#include "test_nvmeq.h"

static void set_range(const struct t_env *e, unsigned i, uint64_t slba, uint32_t nlb)
{
	struct nvme_dsm_range r = {.slba = htole64(slba), .nlb = htole32(nlb)};

	memcpy(t_mem(e, e->buf + i * sizeof(r)), &r, sizeof(r));
}

static void copy_from(const struct t_env *e, unsigned i, uint64_t slba, uint32_t nlb)
{
	struct nvme_copy_range r = {.slba = htole64(slba), .nlb = htole16((uint16_t)(nlb - 1))};

	memcpy(t_mem(e, e->buf + i * sizeof(r)), &r, sizeof(r));
}

/* 'nlb' blocks of a pattern at 'slba', 8 at a time. */
static void write_blocks(struct t_env *e, uint64_t slba, unsigned nlb, uint32_t seed)
{
	for (unsigned i = 0; i < nlb; i += 8) {
		unsigned n = nlb - i < 8 ? nlb - i : 8;
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_write, slba + i, n, e->buf + (2u << 20), 0);

		t_fill(e, e->buf + (2u << 20), 4096, seed + i);
		assert_int_equal(t_do(e, &sqe, NULL), 0);
	}
}

/* Whether the block at 'slba' holds what write_blocks put at block 'i' of its pattern. */
static bool block_is(struct t_env *e, uint64_t slba, unsigned i, uint32_t seed)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, slba, 1, e->buf + (3u << 20), 0);

	assert_int_equal(t_do(e, &sqe, NULL), 0);
	t_fill(e, e->buf + (2u << 20), 4096, seed + i / 8 * 8);
	return memcmp(t_mem(e, e->buf + (3u << 20)), t_mem(e, e->buf + (2u << 20) + i % 8 * 512),
		   512) == 0;
}

static bool block_is_zero(struct t_env *e, uint64_t slba)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, slba, 1, e->buf + (3u << 20), 0);
	static const uint8_t zero[512];

	memset(t_mem(e, e->buf + (3u << 20)), 1, 512);
	assert_int_equal(t_do(e, &sqe, NULL), 0);
	return memcmp(t_mem(e, e->buf + (3u << 20)), zero, 512) == 0;
}

static void write_zeroes_zeroes(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	write_blocks(&e, 100, 16, 1);
	sqe = t_rw(nvme_cmd_write_zeroes, 101, 8, 0, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_true(block_is(&e, 100, 0, 1));
	assert_true(block_is_zero(&e, 101));
	assert_true(block_is_zero(&e, 108));
	assert_true(block_is(&e, 109, 9, 1));
	/* Longer than MDTS: it has no data. With deallocate. */
	sqe = t_rw(nvme_cmd_write_zeroes, 0, 65536, 0, 0);
	sqe.cdw12 |= 1u << 25;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_true(block_is_zero(&e, 100));
	sqe = t_rw(nvme_cmd_write_zeroes, T_BYTES / 512 - 1, 2, 0, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	t_close(&e);
}

static void deallocate_takes_its_ranges_only(void **state)
{
	struct ob_nvme_sqe sqe = {.opcode = nvme_cmd_dsm, .nsid = 1, .cdw10 = 2, .cdw11 = 4};
	struct ob_blk_stats st;
	struct t_env e;

	(void)state;
	t_open(&e);
	sqe.dptr[0] = e.buf;
	write_blocks(&e, 0, 32, 5);
	set_range(&e, 0, 8, 8);
	set_range(&e, 1, 0, 0);
	set_range(&e, 2, 24, 8);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	ob_blk_stats(e.blk, &st);
	assert_int_equal(st.n_ios[OB_BLK_DISCARD], 2);
	assert_int_equal(st.n_bytes[OB_BLK_DISCARD], 8192);
	assert_true(block_is(&e, 7, 7, 5));
	assert_true(block_is(&e, 16, 16, 5));
	/* One bad range: nothing is done. */
	set_range(&e, 1, T_BYTES / 512, 1);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	set_range(&e, 1, UINT64_MAX, 2);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	sqe.cdw11 = 0;
	set_range(&e, 1, 0, 1);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	ob_blk_stats(e.blk, &st);
	assert_int_equal(st.n_ios[OB_BLK_DISCARD], 2);
	/* 256 ranges are a page: one that is not mapped. */
	sqe.cdw10 = 255;
	sqe.dptr[0] = 4096;
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	t_close(&e);
}

static void compare_compares(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	/* A long one, with its data in many pieces. */
	write_blocks(&e, 0, 2048, 9);
	for (unsigned i = 0; i < 2048; i += 8)
		t_fill(&e, e.buf + i * 512, 4096, 9 + i);
	for (unsigned i = 0; i < 256; i++)
		((uint64_t *)t_mem(&e, e.buf + (3u << 20)))[i] = e.buf + (i + 1) * 4096;
	sqe = t_rw(nvme_cmd_compare, 0, 2048, e.buf, e.buf + (3u << 20));
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	((uint8_t *)t_mem(&e, e.buf))[(1u << 20) - 1] ^= 1;
	assert_int_equal(
	    t_do(&e, &sqe, NULL), T_SC(NVME_SCT_MEDIA, NVME_SC_COMPARE_FAILED | NVME_SC_DNR));
	sqe.cdw12 = 2046;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	sqe.cdw12 = 2048;
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_INVALID_FIELD));
	sqe = t_rw(nvme_cmd_compare, T_BYTES / 512, 1, e.buf, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	sqe = t_rw(nvme_cmd_compare, 0, 1, 0, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	t_close(&e);
}

static void verify_reads_and_takes_no_data(void **state)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_verify, 0, 65536, 0, 0);
	struct ob_blk_stats st;
	struct t_env e;

	(void)state;
	t_open(&e);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	ob_blk_stats(e.blk, &st);
	assert_int_equal(st.n_bytes[OB_BLK_READ], 32u << 20);
	sqe = t_rw(nvme_cmd_verify, T_BYTES / 512 - 7, 8, 0, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	t_close(&e);
}

static void copy_gathers_ranges(void **state)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_copy, 5000, 3, 0, 0);
	struct t_env e;
	uint32_t dw0;

	(void)state;
	t_open(&e);
	sqe.dptr[0] = e.buf;
	write_blocks(&e, 0, 2048, 3);
	copy_from(&e, 0, 10, 1);
	copy_from(&e, 1, 0, 2048);
	copy_from(&e, 2, 20, 2);
	assert_int_equal(t_do(&e, &sqe, &dw0), 0);
	assert_int_equal(dw0, 0);
	assert_true(block_is(&e, 5000, 10, 3));
	assert_true(block_is(&e, 5001, 0, 3));
	assert_true(block_is(&e, 5001 + 2047, 2047, 3));
	assert_true(block_is(&e, 5000 + 2049, 20, 3));
	assert_true(block_is(&e, 5000 + 2050, 21, 3));
	assert_true(block_is_zero(&e, 5000 + 2051));
	/* A bad source names its range. */
	copy_from(&e, 1, T_BYTES / 512 - 1, 2);
	assert_int_equal(t_do(&e, &sqe, &dw0), T_ERR(NVME_SC_LBA_RANGE));
	assert_int_equal(dw0, 1);
	copy_from(&e, 1, 0, 2049);
	assert_int_equal(t_do(&e, &sqe, &dw0),
	    T_SC(NVME_SCT_CMD_SPECIFIC, NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR));
	for (unsigned i = 0; i < 9; i++)
		copy_from(&e, i, 0, 2048);
	sqe.cdw12 = 8;
	assert_int_equal(t_do(&e, &sqe, &dw0),
	    T_SC(NVME_SCT_CMD_SPECIFIC, NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR));
	sqe.cdw12 = 128;
	assert_int_equal(t_do(&e, &sqe, &dw0),
	    T_SC(NVME_SCT_CMD_SPECIFIC, NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR));
	sqe.cdw12 = 1 << 8; /* format 1 */
	assert_int_equal(t_do(&e, &sqe, &dw0), T_ERR(NVME_SC_INVALID_FIELD));
	sqe.cdw12 = 0;
	copy_from(&e, 0, 0, 2);
	sqe.cdw10 = T_BYTES / 512 - 1; /* destination */
	assert_int_equal(t_do(&e, &sqe, &dw0), T_ERR(NVME_SC_LBA_RANGE));
	t_close(&e);
}

/* A pair; its two statuses. */
static void pair(struct t_env *e, struct ob_nvme_sqe a, struct ob_nvme_sqe b, uint16_t st[2])
{
	struct t_cqe c;

	a.flags |= 1;
	b.flags |= 2;
	a.cid = 1;
	b.cid = 2;
	t_put(e, &e->io, &a);
	t_put(e, &e->io, &b);
	t_ring(e, &e->io);
	t_run(e);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(t_reap(e, &e->io, &c));
		st[c.cid - 1] = (uint16_t)(c.status >> 1 & ~NVME_SC_MORE);
	}
	assert_false(t_reap(e, &e->io, &c));
}

static void compare_and_write_writes_only_when_equal(void **state)
{
	struct ob_nvme_sqe cmp, wr, rd;
	struct t_env e;
	uint16_t st[2];
	struct t_cqe c;

	(void)state;
	t_open(&e);
	write_blocks(&e, 0, 8, 1);
	cmp = t_rw(nvme_cmd_compare, 0, 1, e.buf, 0);
	wr = t_rw(nvme_cmd_write, 0, 1, e.buf + 4096, 0);
	t_fill(&e, e.buf, 512, 1);
	memset(t_mem(&e, e.buf + 4096), 0, 512);
	pair(&e, cmp, wr, st);
	assert_int_equal(st[0], 0);
	assert_int_equal(st[1], 0);
	assert_true(block_is_zero(&e, 0));
	/* Not equal any more. */
	memset(t_mem(&e, e.buf + 4096), 1, 512);
	pair(&e, cmp, wr, st);
	assert_int_equal(st[0], T_SC(NVME_SCT_MEDIA, NVME_SC_COMPARE_FAILED | NVME_SC_DNR));
	assert_int_equal(st[1], T_ERR(NVME_SC_FUSED_FAIL));
	assert_true(block_is_zero(&e, 0));
	/* The lock was given back. */
	memset(t_mem(&e, e.buf), 0, 512);
	pair(&e, cmp, wr, st);
	assert_int_equal(st[1], 0);
	assert_false(block_is_zero(&e, 0));
	/* Different ranges, wrong commands. */
	wr.cdw10 = 1;
	pair(&e, cmp, wr, st);
	assert_int_equal(st[0], T_ERR(NVME_SC_INVALID_FIELD));
	assert_int_equal(st[1], T_ERR(NVME_SC_INVALID_FIELD));
	rd = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	pair(&e, rd, rd, st);
	assert_int_equal(st[0], T_ERR(NVME_SC_INVALID_FIELD));
	/* A first one without a second. */
	cmp.flags = 1;
	cmp.cid = 4;
	t_put(&e, &e.io, &cmp);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_false(t_reap(&e, &e.io, &c));
	t_put(&e, &e.io, &rd);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.cid, 4);
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_FUSED_MISSING));
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1, 0);
	/* The next one's identifier is in use: by the first one. */
	t_put(&e, &e.io, &cmp);
	rd.cid = cmp.cid;
	t_put(&e, &e.io, &rd);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_CMDID_CONFLICT));
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, T_ERR(NVME_SC_FUSED_MISSING));
	/* And at the end of the queue's life. */
	t_put(&e, &e.io, &cmp);
	t_ring(&e, &e.io);
	t_run(&e);
	assert_int_equal(ob_nvmeq_stop_sq(e.q, 1), 0);
	assert_true(t_reap(&e, &e.io, &c));
	assert_int_equal(c.status >> 1 & ~NVME_SC_MORE, NVME_SC_ABORT_QUEUE);
	t_close(&e);
}

static void more_jobs_than_a_worker_has_wait(void **state)
{
	struct t_env e;
	struct t_cqe c;

	(void)state;
	t_open(&e);
	for (unsigned i = 0; i < 40; i++) {
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_verify, 0, 2048, 0, 0);

		sqe.cid = (uint16_t)i;
		t_put(&e, &e.io, &sqe);
	}
	t_ring(&e, &e.io);
	t_run(&e);
	for (unsigned i = 0; i < 40; i++) {
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1, 0);
	}
	t_close(&e);
}

static void flush_of_all_reaches_every_volume(void **state)
{
	struct ob_nvme_sqe sqe = {.opcode = nvme_cmd_flush, .nsid = OB_NVME_BROADCAST};
	struct ob_nvme_ns_conf nc = {.name = "two", .ana_group = 1};
	struct ob_blk_stats st;
	struct ob_nvme_ns *two;
	struct ob_blk *blk;
	struct t_env e;
	char err[64];

	(void)state;
	t_open(&e);
	assert_int_equal(ob_blk_null_create("two", 1 << 20, 4096, &blk, err, sizeof(err)), 0);
	nc.blk = blk;
	assert_int_equal(ob_nvme_ns_create(&nc, &two), 0);
	assert_int_equal(ob_nvmeq_set_ns(e.q, 9, two), 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	ob_blk_stats(blk, &st);
	assert_int_equal(st.n_ios[OB_BLK_FLUSH], 1);
	ob_blk_stats(e.blk, &st);
	assert_int_equal(st.n_ios[OB_BLK_FLUSH], 1);
	sqe.nsid = 9;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	ob_blk_stats(blk, &st);
	assert_int_equal(st.n_ios[OB_BLK_FLUSH], 2);
	/* Blocks of 4096. */
	sqe = t_rw(nvme_cmd_read, 255, 1, e.buf, 0);
	sqe.nsid = 9;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	sqe.cdw10 = 256;
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	assert_int_equal(ob_nvmeq_set_ns(e.q, 9, NULL), 0);
	ob_nvme_ns_put(two);
	ob_blk_put(blk);
	t_close(&e);
}

static void states_of_a_namespace_have_their_status(void **state)
{
	struct ob_nvme_sqe rd, wr, fl = {.opcode = nvme_cmd_flush, .nsid = 1};
	struct ob_nvme_ns_info info;
	struct ob_nvme_ns_stats st;
	struct t_env e;

	(void)state;
	t_open(&e);
	rd = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	wr = t_rw(nvme_cmd_write, 0, 1, e.buf, 0);
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, OB_NVME_WP_ON), 0);
	assert_int_equal(t_do(&e, &rd, NULL), 0);
	assert_int_equal(t_do(&e, &fl, NULL), 0);
	assert_int_equal(t_do(&e, &wr, NULL), T_ERR(NVME_SC_NS_WRITE_PROTECTED));
	wr.opcode = nvme_cmd_write_zeroes;
	assert_int_equal(t_do(&e, &wr, NULL), T_ERR(NVME_SC_NS_WRITE_PROTECTED));
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, OB_NVME_WP_NONE), 0);
	assert_int_equal(t_do(&e, &wr, NULL), 0);
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, 9), -EINVAL);

	ob_nvme_ns_set_formatting(e.ns, true);
	assert_int_equal(t_do(&e, &rd, NULL), NVME_SC_FORMAT_IN_PROGRESS);
	ob_nvmeq_drain(e.q, 1);
	assert_int_equal(ob_nvme_ns_set_lba_bytes(e.ns, 4096), 0);
	assert_int_equal(ob_nvme_ns_set_lba_bytes(e.ns, 520), -EINVAL);
	ob_nvme_ns_set_formatting(e.ns, false);
	assert_int_equal(ob_nvme_ns_set_lba_bytes(e.ns, 512), -EBUSY);
	ob_nvme_ns_info(e.ns, &info);
	assert_int_equal(info.n_lbas, T_BYTES / 4096);
	rd.cdw10 = T_BYTES / 4096;
	assert_int_equal(t_do(&e, &rd, NULL), T_ERR(NVME_SC_LBA_RANGE));
	rd.cdw10--;
	assert_int_equal(t_do(&e, &rd, NULL), 0);

	for (unsigned ana = 1; ana < 16; ana++) {
		static const uint16_t want[16] = {[3] = T_SC(NVME_SCT_PATH, 2),
		    [4] = T_SC(NVME_SCT_PATH, 1),
		    [15] = T_SC(NVME_SCT_PATH, 3)};

		if (ana > 4 && ana < 15) {
			assert_int_equal(ob_nvmeq_set_ana(e.q, 1, ana), -EINVAL);
			continue;
		}
		assert_int_equal(ob_nvmeq_set_ana(e.q, 1, ana), 0);
		assert_int_equal(t_do(&e, &rd, NULL), want[ana]);
	}
	assert_int_equal(ob_nvmeq_set_ana(e.q, 2, OB_NVME_ANA_OPTIMIZED), -ENOENT);
	ob_nvme_ns_stats(e.ns, &st);
	assert_int_equal(st.n_errors, 7);
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, OB_NVME_WP_PERMANENT), 0);
	assert_int_equal(ob_nvme_ns_set_wp(e.ns, OB_NVME_WP_NONE), -EPERM);
	t_close(&e);
}

static void on_resize(void *ctx, struct ob_nvme_ns *ns)
{
	(void)ns;
	++*(unsigned *)ctx;
}

static void a_resize_is_told_and_holds_at_once(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	unsigned n = 0;

	(void)state;
	t_open(&e);
	assert_int_equal(ob_nvme_ns_on_resize(e.ns, on_resize, &n), 0);
	sqe = t_rw(nvme_cmd_read, T_BYTES / 512, 1, e.buf, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	e.n_events = 0;
	assert_int_equal(ob_blk_resize(e.blk, 2 * T_BYTES), 0);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(e.n_events, 1);
	assert_int_equal(e.event[0].type, OB_NVMEQ_EV_NS_CHANGED);
	assert_int_equal(e.event[0].nsid, 1);
	ob_nvme_ns_off_resize(e.ns, on_resize, &n);
	assert_int_equal(ob_blk_resize(e.blk, T_BYTES), 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_LBA_RANGE));
	assert_int_equal(n, 1);
	t_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(write_zeroes_zeroes),
	    cmocka_unit_test(deallocate_takes_its_ranges_only),
	    cmocka_unit_test(compare_compares),
	    cmocka_unit_test(verify_reads_and_takes_no_data),
	    cmocka_unit_test(copy_gathers_ranges),
	    cmocka_unit_test(compare_and_write_writes_only_when_equal),
	    cmocka_unit_test(more_jobs_than_a_worker_has_wait),
	    cmocka_unit_test(flush_of_all_reaches_every_volume),
	    cmocka_unit_test(states_of_a_namespace_have_their_status),
	    cmocka_unit_test(a_resize_is_told_and_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
