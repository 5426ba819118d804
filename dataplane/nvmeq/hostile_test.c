/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that means harm: lists that lead in circles or nowhere, bytes that change after they were fetched, shadow doorbells. */
#include "test_nvmeq.h"

#include "fake_gmem.h"

enum { DATA = 0, BUCKET = 1, SEGMENT = 2, LAST = 3, KEYED = 4 };

static void sgl(const struct t_env *e, uint64_t at, unsigned type, uint64_t addr, uint32_t len)
{
	uint8_t d[16] = {0};

	memcpy(d, &addr, 8);
	memcpy(d + 8, &len, 4);
	d[15] = (uint8_t)(type << 4);
	memcpy(t_mem(e, at), d, 16);
}

/* A read of 'len' bytes by an SGL whose descriptor in the command is this. */
static struct ob_nvme_sqe sgl_read(unsigned type, uint64_t addr, uint32_t dlen, uint32_t len)
{
	struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, 0, len / 512, addr, dlen);

	sqe.flags = 1 << 6;
	sqe.dptr[1] |= (uint64_t)type << 60;
	return sqe;
}

static ob_nvme_status_t walk(
    const struct t_env *e, const struct ob_nvme_sqe *sqe, uint32_t len, bool to_host, unsigned *n)
{
	static struct ob_nvme_range r[OB_NVME_MAX_RANGES];
	const struct ob_nvme_walk w = {.page_shift = 12, .sgl = true, .to_host = to_host};
	ob_nvme_status_t st = ob_nvme_walk(ob_gmem_map_get(e->gm), &w, sqe, len, r, n);
	uint64_t sum = 0;

	for (unsigned i = 0; i < *n; i++)
		sum += r[i].len;
	assert_true(*n <= OB_NVME_MAX_RANGES);
	if (st == 0)
		assert_int_equal(sum, len);
	return st;
}

static void a_prp_list_that_chains_to_itself_ends(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	uint64_t *list;
	unsigned n;

	(void)state;
	t_open(&e);
	list = t_mem(&e, e.buf);
	for (unsigned i = 0; i < 512; i++)
		list[i] = e.buf; /* data and chain are all this page */
	/* From the last entry of a page: it is a pointer to the same page at once. */
	sqe = t_rw(nvme_cmd_read, 0, 2048, e.buf, e.buf + 4088);
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), 0);
	assert_int_equal(walk(&e, &sqe, 2u << 20, true, &n), 0);
	assert_int_equal(n, 512);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	/* Chained lists start at offset 0. */
	list[511] = e.buf + 8;
	sqe.dptr[1] = e.buf + 4080;
	list[510] = e.buf;
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), T_ERR(NVME_SC_PRP_INVALID_OFFSET));
	list[511] = e.buf;
	list[100] = e.buf + 512;
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), T_ERR(NVME_SC_PRP_INVALID_OFFSET));
	list[511] = 0x77000;
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), NVME_SC_DATA_XFER_ERROR);
	/* The list's last page is at the end of memory and is not needed further than it goes. */
	sqe = t_rw(nvme_cmd_read, 0, 2048, e.buf, T_IOVA + T_MEM - 24);
	assert_int_equal(walk(&e, &sqe, 4096 * 3, true, &n), 0);
	t_close(&e);
}

static void neighbours_are_merged(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	unsigned n;

	(void)state;
	t_open(&e);
	for (unsigned i = 0; i < 256; i++)
		((uint64_t *)t_mem(&e, e.buf))[i] = e.buf + (i + 2) * 4096;
	sqe = t_rw(nvme_cmd_read, 0, 2048, e.buf + 4096, e.buf);
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), 0);
	assert_int_equal(n, 1);
	sqe.dptr[0] += 4;
	assert_int_equal(walk(&e, &sqe, 1u << 20, true, &n), 0);
	assert_int_equal(n, 1);
	sqe.dptr[0] -= 1024;
	assert_int_equal(walk(&e, &sqe, 8192, true, &n), 0);
	assert_int_equal(n, 2);
	t_close(&e);
}

static void sgl_statuses(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	uint64_t s;
	unsigned n;

	(void)state;
	t_open(&e);
	s = e.buf;
	/* One descriptor: right, longer, shorter, of bad types. */
	sqe = sgl_read(DATA, e.buf + 1, 512, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), 0);
	sqe = sgl_read(DATA, e.buf, 4096, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), 0);
	sqe = sgl_read(DATA, e.buf, 511, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_DATA));
	for (unsigned type = KEYED; type < 16; type++) {
		sqe = sgl_read(type, e.buf, 512, 512);
		assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_TYPE));
	}
	sqe = sgl_read(DATA, e.buf, 512, 512);
	sqe.dptr[1] |= 1ull << 56; /* offset sub type */
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_TYPE));
	/* Segments of odd lengths, or none. */
	sqe = sgl_read(LAST, s, 15, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_LAST));
	sqe = sgl_read(LAST, s, 0, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_LAST));
	sqe = sgl_read(LAST, s, 0xfffffff0, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_COUNT));
	sqe = sgl_read(LAST, 0x1000, 16, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), NVME_SC_DATA_XFER_ERROR);
	/* A chain: segment -> last segment. */
	sgl(&e, s, DATA, e.buf + 4096, 100);
	sgl(&e, s + 16, SEGMENT, s + 64, 32);
	sgl(&e, s + 64, DATA, e.buf + 8192, 12);
	sgl(&e, s + 80, LAST, s + 128, 16);
	sgl(&e, s + 128, DATA, e.buf + 12288, 400);
	sqe = sgl_read(SEGMENT, s, 32, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	sgl(&e, s + 128, DATA, e.buf + 12288, 399);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_DATA));
	sgl(&e, s + 128, SEGMENT, s, 32); /* a last one that leads on */
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_LAST));
	sgl(&e, s + 80, DATA, s + 128, 16); /* one that does not and is not the last */
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_LAST));
	sgl(&e, s, SEGMENT, s, 32); /* a pointer that is not at the end */
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_LAST));
	/* In a circle, without data and with. */
	sgl(&e, s, SEGMENT, s, 16);
	sqe = sgl_read(SEGMENT, s, 16, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_COUNT));
	sgl(&e, s, DATA, s, 1);
	sgl(&e, s + 16, SEGMENT, s, 32);
	sqe = sgl_read(SEGMENT, s, 32, 512);
	assert_int_equal(walk(&e, &sqe, 512, true, &n), T_ERR(NVME_SC_SGL_INVALID_COUNT));
	/* More pieces than an I/O takes vectors. */
	for (unsigned i = 0; i < 600; i++)
		sgl(&e, s + i * 16, DATA, e.buf + i * 8, 4);
	sqe = sgl_read(LAST, s, 600 * 16, 2560);
	assert_int_equal(walk(&e, &sqe, 2400, true, &n), T_ERR(NVME_SC_SGL_INVALID_COUNT));
	assert_int_equal(walk(&e, &sqe, 2048, true, &n), 0);
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_SGL_INVALID_COUNT));
	t_close(&e);
}

static void bit_buckets_take_what_is_not_wanted(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	uint8_t *got;
	unsigned n;

	(void)state;
	t_open(&e);
	t_fill(&e, e.buf + (1u << 20), 1u << 20, 5);
	sqe = t_rw(nvme_cmd_write, 0, 2048, e.buf + (1u << 20), 1u << 20);
	sqe.flags = 1 << 6;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	sgl(&e, e.buf, BUCKET, 0xdead, 1000);
	sgl(&e, e.buf + 16, DATA, e.buf + 4096, 24);
	sgl(&e, e.buf + 32, BUCKET, 0, (1u << 20) - 1024);
	sqe = sgl_read(LAST, e.buf, 48, 1u << 20);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	got = t_mem(&e, e.buf + 4096);
	for (unsigned i = 0; i < 24; i++)
		assert_int_equal(got[i], (uint8_t)((5 + 1000 + i) * 2654435761u >> 24));
	/* In a source they are nothing. */
	assert_int_equal(walk(&e, &sqe, 24, false, &n), 0);
	assert_int_equal(walk(&e, &sqe, 25, false, &n), T_ERR(NVME_SC_SGL_INVALID_DATA));
	sqe.opcode = nvme_cmd_write;
	assert_int_equal(t_do(&e, &sqe, NULL), T_ERR(NVME_SC_SGL_INVALID_DATA));
	t_close(&e);
}

static void data_outside_of_the_memory_is_a_transfer_error(void **state)
{
	const uint64_t ro = 0x40000000;
	struct ob_nvme_sqe sqe;
	struct t_env e;

	(void)state;
	t_open(&e);
	sqe = t_rw(nvme_cmd_read, 0, 8, T_IOVA + T_MEM - 2048, T_IOVA + T_MEM);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	sqe = sgl_read(DATA, UINT64_MAX - 100, 512, 512);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	sqe = sgl_read(DATA, T_IOVA + T_MEM - 256, 512, 512);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	/* Memory that the device may not write, or cannot reach. */
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){ro}, 4096, OB_GMEM_READ, e.g.fd, 0), 0);
	sqe = t_rw(nvme_cmd_read, 0, 1, ro, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	sqe.opcode = nvme_cmd_write;
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	assert_int_equal(ob_gmem_add(e.gm, (ob_iova_t){ro + 4096}, 4096, OB_GMEM_READ, -1, 0), 0);
	sqe = t_rw(nvme_cmd_write, 0, 8, ro + 4096, 0);
	assert_int_equal(t_do(&e, &sqe, NULL), NVME_SC_DATA_XFER_ERROR);
	t_close(&e);
}

/* The device's view of the guest's memory. */
static void watch(const struct t_env *e)
{
	fake_gmem_watch(ob_gmem_map_get(e->gm)->range[0].hva, T_MEM);
}

static void build(struct t_env *e, struct ob_nvme_sqe cmd[8])
{
	uint64_t list = e->buf + (3u << 20), seg = list + 65536;
	struct nvme_dsm_range dsm = {.slba = htole64(64), .nlb = htole32(8)};
	struct nvme_copy_range copy = {.slba = htole64(0), .nlb = htole16(7)};

	for (unsigned i = 0; i < 1024; i++)
		((uint64_t *)t_mem(e, list))[i] = e->buf + (255 - i % 256) * 4096;
	((uint64_t *)t_mem(e, list))[511] = list + 4096;
	for (unsigned i = 0; i < 4; i++)
		sgl(e, seg + i * 16, DATA, e->buf + (1u << 20) + i * 8192, 1024);
	sgl(e, seg + 64, LAST, seg + 4096, 16);
	sgl(e, seg + 4096, DATA, e->buf + (2u << 20), 4096);
	memcpy(t_mem(e, seg + 8192), &dsm, sizeof(dsm));
	memcpy(t_mem(e, seg + 12288), &copy, sizeof(copy));
	cmd[0] = t_rw(nvme_cmd_write, 0, 2048, e->buf + (1u << 20), list + 4088 - 100 * 8);
	cmd[1] = t_rw(nvme_cmd_read, 0, 2048, e->buf + (1u << 20), list + 4088 - 100 * 8);
	cmd[2] = t_rw(nvme_cmd_read, 0, 16, seg, 80);
	cmd[2].flags = 1 << 6;
	cmd[2].dptr[1] |= (uint64_t)SEGMENT << 60;
	cmd[3] = t_rw(nvme_cmd_dsm, 0, 1, seg + 8192, 0);
	cmd[3].cdw10 = 0;
	cmd[3].cdw11 = 4;
	cmd[4] = t_rw(nvme_cmd_copy, 4000, 1, seg + 12288, 0);
	cmd[5] = t_rw(nvme_cmd_write, 9000, 1, e->buf, 0);
	cmd[6] = t_rw(nvme_cmd_compare, 9000, 1, e->buf, 0);
	cmd[7] = (struct ob_nvme_sqe){
	    .opcode = nvme_cmd_resv_register, .nsid = 1, .dptr = {seg + 16384, 0}};
	for (unsigned i = 0; i < 8; i++)
		cmd[i].cid = (uint16_t)i;
}

static void every_byte_is_fetched_once(void **state)
{
	struct ob_nvme_sqe cmd[8];
	struct t_env e;

	(void)state;
	t_open(&e);
	build(&e, cmd);
	for (unsigned i = 0; i < 8; i++) {
		watch(&e);
		assert_int_equal(t_do(&e, &cmd[i], NULL), 0);
		assert_int_equal(fake_gmem_most_fetched(0, T_MEM), 1);
		assert_int_equal(fake_gmem_fetched(e.io.sq - T_IOVA + i * 64ull), 1);
		fake_gmem_watch(NULL, 0);
	}
	t_close(&e);
}

static void scribbling_after_the_fetch_changes_nothing(void **state)
{
	struct ob_nvme_sqe cmd[8];
	struct ob_nvmeq_counters c;
	struct t_env e;

	(void)state;
	t_open(&e);
	build(&e, cmd);
	for (unsigned i = 0; i < 8; i++) {
		watch(&e);
		fake_gmem_scribble(true);
		assert_int_equal(t_do(&e, &cmd[i], NULL), 0);
		fake_gmem_scribble(false);
		fake_gmem_restore();
		fake_gmem_watch(NULL, 0);
	}
	assert_int_equal(ob_nvmeq_counters(e.q, 1, &c), 0);
	assert_int_equal(c.n_reads, 2);
	assert_int_equal(c.n_read_bytes, (1u << 20) + 8192);
	assert_int_equal(c.n_writes, 2);
	assert_int_equal(c.n_errors, 0);
	t_close(&e);
}

/* ---- shadow doorbells (Annex B.5) ---- */

static uint32_t *word(const struct t_env *e, uint64_t page, unsigned i)
{
	return (uint32_t *)t_mem(e, page) + i;
}

/* As drivers decide whether to write the register. */
static bool rings(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static void shadow_doorbells_replace_the_registers(void **state)
{
	struct ob_nvme_sqe sqe;
	struct t_env e;
	struct t_cqe c;
	uint64_t sh, ei;
	unsigned n_rings = 0;

	(void)state;
	t_open(&e);
	sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(t_do(&e, &sqe, NULL), 0);
	sh = fake_guest_alloc(&e.g, 4096, 4096);
	ei = fake_guest_alloc(&e.g, 4096, 4096);
	memset(t_mem(&e, sh), 0xff, 4096);
	assert_int_equal(ob_nvmeq_shadow(e.q, (ob_iova_t){sh + 8}, (ob_iova_t){ei}), -EINVAL);
	assert_int_equal(ob_nvmeq_shadow(e.q, (ob_iova_t){sh}, (ob_iova_t){ei}), 0);
	/* Nothing jumps. */
	assert_int_equal(*word(&e, sh, 2), 3);
	assert_int_equal(*word(&e, sh, 3), 3);
	t_run(&e);
	assert_false(t_reap(&e, &e.io, &c));
	for (unsigned i = 0; i < 1000; i++) {
		uint16_t old = e.io.tail;

		t_put(&e, &e.io, &sqe);
		*word(&e, sh, 2) = e.io.tail;
		n_rings += rings((uint16_t)*word(&e, ei, 2), e.io.tail, old);
		ob_worker_round(e.w);
		assert_true(t_reap(&e, &e.io, &c));
		assert_int_equal(c.status >> 1, 0);
		old = (uint16_t)*word(&e, sh, 3);
		*word(&e, sh, 3) = e.io.head;
		n_rings += rings((uint16_t)*word(&e, ei, 3), e.io.head, old);
	}
	/* A register write a wrap of the queue at most, and that only before the first one. */
	assert_true(n_rings <= 2);
	/* Asleep: the next one rings. */
	assert_false(nvmeq_arm(e.w, e.q->nw[0]));
	assert_true(rings((uint16_t)*word(&e, ei, 2), (uint16_t)((e.io.tail + 1) % 64), e.io.tail));
	nvmeq_disarm(e.w, e.q->nw[0]);
	t_put(&e, &e.io, &sqe);
	*word(&e, sh, 2) = e.io.tail;
	assert_true(nvmeq_arm(e.w, e.q->nw[0]));
	nvmeq_disarm(e.w, e.q->nw[0]);
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	/* Nonsense there is told once, and the queue goes on. */
	e.n_events = 0;
	*word(&e, sh, 2) = 64;
	t_run(&e);
	t_run(&e);
	assert_int_equal(e.n_events, 1);
	assert_int_equal(e.event[0].type, OB_NVMEQ_EV_DOORBELL);
	assert_int_equal(e.event[0].value, 64);
	assert_false(e.event[0].is_cq);
	t_put(&e, &e.io, &sqe);
	*word(&e, sh, 2) = e.io.tail;
	t_run(&e);
	assert_true(t_reap(&e, &e.io, &c));
	/* A new queue starts at 0 whatever the page says. */
	ob_nvmeq_stop_sq(e.q, 1);
	assert_int_equal(ob_nvmeq_start_sq(e.q, 1, 1, (ob_iova_t){e.io.sq}, T_ENTRIES), 0);
	assert_int_equal(*word(&e, sh, 2), 0);
	/* Reset forgets them. */
	ob_nvmeq_stop_all(e.q);
	t_start_queue(&e, &e.io, 1, T_ENTRIES);
	assert_int_equal(t_do(&e, &sqe, NULL), 0);
	t_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_prp_list_that_chains_to_itself_ends),
	    cmocka_unit_test(neighbours_are_merged),
	    cmocka_unit_test(sgl_statuses),
	    cmocka_unit_test(bit_buckets_take_what_is_not_wanted),
	    cmocka_unit_test(data_outside_of_the_memory_is_a_transfer_error),
	    cmocka_unit_test(every_byte_is_fetched_once),
	    cmocka_unit_test(scribbling_after_the_fetch_changes_nothing),
	    cmocka_unit_test(shadow_doorbells_replace_the_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
