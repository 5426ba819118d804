/* SPDX-License-Identifier: BSD-3-Clause */
/* Identify, features, logs, asynchronous events, abort. NVMe base 2.0, 5. */
#include "nvme_suite.h"

#include <ctype.h>

#define FIELD	  NVME_SC_INVALID_FIELD
#define BAD_NS	  NVME_SC_INVALID_NS
#define BAD_LOG	  NVD_CMD(NVME_SC_INVALID_LOG_PAGE)
#define NOT_SAVED NVD_CMD(NVME_SC_FEATURE_NOT_SAVEABLE)
#define SAVE	  0x80000000u

static bool is_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		if (b[i] != 0)
			return false;
	return true;
}

/* ---- identify ---- */

static void identify_controller(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ctrl id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	assert_int_equal(le32toh(id.ver), 0x20000);
	assert_int_equal(id.sqes, 0x66);
	assert_int_equal(id.cqes, 0x44);
	assert_true(id.mdts == 0 || id.mdts >= 8);
	assert_true(le32toh(id.nn) >= 3);
	assert_int_equal(id.cntrltype, NVME_CTRL_CNTRLTYPE_IO);
	for (unsigned i = 0; i < sizeof(id.sn); i++)
		assert_true(isprint(id.sn[i]));
	assert_memory_equal(id.subnqn, "nqn.", 4);
	assert_true((le16toh(id.oncs) & 0x1) != 0);  /* Compare */
	assert_true((le16toh(id.oncs) & 0x4) != 0);  /* Dataset Management */
	assert_true((le16toh(id.oncs) & 0x8) != 0);  /* Write Zeroes */
	assert_true((le16toh(id.oncs) & 0x20) != 0); /* Reservations */
	assert_true((le16toh(id.oncs) & 0x80) != 0); /* Verify */
	assert_true((le16toh(id.fuses) & 1) != 0);
	assert_true((le16toh(id.oacs) & NVME_CTRL_OACS_FORMAT) != 0);
	assert_true((le16toh(id.oacs) & NVME_CTRL_OACS_DBBUF_CFG) != 0);
	assert_true((le32toh(id.sgls) & 3) != 0);
	assert_true(id.elpe < 255);
}

static void identify_namespace(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ns id;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, RAM, 0, &id));
	assert_int_equal(le64toh(id.nsze), RAM_BLOCKS);
	assert_int_equal(id.lbaf[id.flbas & 0xf].ds, 9);
	assert_int_equal(id.nmic & 1, 1);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, NULL_4K, 0, &id));
	assert_int_equal(le64toh(id.nsze), 1u << 18);
	assert_int_equal(id.lbaf[id.flbas & 0xf].ds, 12);
}

static void identify_wrong_namespaces(void **state)
{
	struct suite *s = *state;
	uint8_t page[4096];

	/* Not allocated: all zero, and no error (5.17.2.1). */
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, NO_NSID, 0, page));
	assert_true(is_zero(page, sizeof(page)));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, 0, 0, page));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, 0xfffffffe, 0, page));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_DESC_LIST, 0, 0, page));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_DESC_LIST, ALL, 0, page));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, ALL, 0, page));
	IS(BAD_NS, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 0xfffffffe, 0, page));
}

static void identify_common_namespace_values(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ns id;

	/* With Namespace Management, the broadcast value asks for what all have in common. */
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, ALL, 0, &id));
	assert_int_equal(id.nsze, 0);
	assert_true(id.lbaf[0].ds >= 9);
}

static void identify_lists(void **state)
{
	struct suite *s = *state;
	uint32_t nsid[1024];
	uint16_t ctrl[2048];

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 0, 0, nsid));
	assert_int_equal(nsid[0], 1);
	assert_int_equal(nsid[1], 2);
	assert_int_equal(nsid[2], 3);
	assert_int_equal(nsid[3], 0);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 2, 0, nsid));
	assert_int_equal(nsid[0], 3);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, 0, 0, nsid));
	assert_int_equal(nsid[0], 1);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL_LIST, 0, 0, ctrl));
	assert_int_equal(ctrl[0], 2);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_CTRL_LIST, RAM, 0, ctrl));
	assert_int_equal(ctrl[0], 2);
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_CTRL_LIST, NULL_4K, 0, ctrl));
	assert_int_equal(ctrl[0], 1);
}

static void identify_descriptors(void **state)
{
	struct suite *s = *state;
	uint8_t page[4096];
	bool uuid = false;
	unsigned at = 0;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS_DESC_LIST, RAM, 0, page));
	while (at + 4 < sizeof(page) && page[at + 1] != 0) {
		uuid |= page[at] == NVME_NIDT_UUID && page[at + 1] == NVME_NIDT_UUID_LEN;
		at += 4u + page[at + 1];
	}
	assert_true(uuid);
}

static void identify_command_set_pages(void **state)
{
	struct suite *s = *state;
	uint8_t page[4096];

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CSI_CTRL, 0, 0, page));
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CSI_NS, RAM, 0, page));
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS, RAM, 0, page));
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE, 0, 0xffff, page));
}

static void identify_refuses_unknown_pages(void **state)
{
	static const uint8_t cns[] = {0x04, 0x0f, 0x1d, 0x20, 0x7f, 0xff};
	struct suite *s = *state;
	uint8_t page[4096];

	for (unsigned i = 0; i < sizeof(cns); i++)
		IN(nvd_identify(&s->a, cns[i], RAM, 0, page), FIELD, BAD_NS);
}

/* ---- features ---- */

static void features_are_told_and_kept(void **state)
{
	static const struct {
		uint8_t fid;
		uint32_t value, mask;
	} f[] = {
	    {NVME_FEAT_FID_ARBITRATION, 3, 7},
	    {NVME_FEAT_FID_TEMP_THRESH, 350, 0xffff},
	    {NVME_FEAT_FID_IRQ_COALESCE, 0x0203, 0xffff},
	    {NVME_FEAT_FID_ASYNC_EVENT, 0x100, 0x1ff},
	    {NVME_FEAT_FID_WRITE_ATOMIC, 1, 1},
	};
	struct suite *s = *state;
	uint32_t was, now;

	for (unsigned i = 0; i < sizeof(f) / sizeof(*f); i++) {
		IS(0, nvd_get_feature(&s->a, f[i].fid, 0, 0, &was));
		IS(0, nvd_set_feature(&s->a, f[i].fid, 0, f[i].value, NULL));
		IS(0, nvd_get_feature(&s->a, f[i].fid, 0, 0, &now));
		assert_int_equal(now & f[i].mask, f[i].value);
		/* The default did not move (select 1), and 3 tells what can be done. */
		IS(0, nvd_get_feature(&s->a, f[i].fid, 0, 1, &now));
		assert_int_equal(now & f[i].mask, was & f[i].mask);
		IS(0, nvd_get_feature(&s->a, f[i].fid, 0, 3, &now));
		assert_true((now & 4) != 0);
		IS(0, nvd_set_feature(&s->a, f[i].fid, 0, was, NULL));
	}
}

static void features_are_forgotten_by_a_reset(void **state)
{
	struct suite *s = *state;
	uint32_t was, now;

	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_IRQ_COALESCE, 0, 0, &was));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_IRQ_COALESCE, 0, 0x0405, NULL));
	assert_int_equal(nvd_disable(&s->a), 0);
	suite_on(s);
	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_IRQ_COALESCE, 0, 0, &now));
	assert_int_equal(now, was);
}

static void features_that_do_not_exist(void **state)
{
	static const uint8_t fid[] = {0x00, 0x0d, 0x15, 0x30, 0x7a, 0xbf};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(fid); i++) {
		IS(FIELD, nvd_get_feature(&s->a, fid[i], 0, 0, NULL));
		IS(FIELD, nvd_set_feature(&s->a, fid[i], 0, 0, NULL));
	}
}

/* 5.27: what a feature says of itself (select 3) and what saving it gives agree. */
static void features_are_saved_or_not(void **state)
{
	static const uint8_t fid[] = {NVME_FEAT_FID_ARBITRATION, NVME_FEAT_FID_TEMP_THRESH,
	    NVME_FEAT_FID_IRQ_COALESCE, NVME_FEAT_FID_ASYNC_EVENT};
	struct suite *s = *state;

	for (unsigned i = 0; i < sizeof(fid); i++) {
		struct nvd_sqe cmd = {.opc = NVD_SET_FEATURES, .cdw10 = SAVE | fid[i]};
		uint32_t can = 0, was = 0, saved = 0;

		IS(0, nvd_get_feature(&s->a, fid[i], 0, 3, &can));
		IS(0, nvd_get_feature(&s->a, fid[i], 0, 0, &was));
		cmd.cdw11 = was;
		IS((can & 1) != 0 ? 0 : NOT_SAVED, nvd_admin(&s->a, &cmd, NULL));
		if ((can & 1) == 0)
			continue;
		IS(0, nvd_get_feature(&s->a, fid[i], 0, 2, &saved));
		assert_int_equal(saved, was);
	}
}

static void features_with_wrong_values(void **state)
{
	struct suite *s = *state;

	IS(FIELD, nvd_set_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0xffff0000, NULL));
	IS(FIELD, nvd_set_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0x0000ffff, NULL));
	IS(FIELD, nvd_set_feature(&s->a, NVME_FEAT_FID_POWER_MGMT, 0, 31, NULL));
	IN(nvd_set_feature(&s->a, NVME_FEAT_FID_IRQ_CONFIG, 0, 0xfff0, NULL), FIELD,
	    NVD_CMD(NVME_SC_INVALID_VECTOR));
	IN(nvd_set_feature(&s->a, NVME_FEAT_FID_WRITE_PROTECT, RAM, 7, NULL), FIELD);
	IN(nvd_set_feature(&s->a, NVME_FEAT_FID_WRITE_PROTECT, ALL, 1, NULL), FIELD, BAD_NS);
	IS(FIELD, nvd_get_feature(&s->a, NVME_FEAT_FID_ARBITRATION, 0, 7, NULL));
}

static void number_of_queues_before_and_after_the_first(void **state)
{
	struct suite *s = *state;
	uint32_t n = 0;

	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0x00070007, &n));
	assert_true((n & 0xffff) >= 7 && n >> 16 >= 7);
	IS(0, nvd_create_queues(&s->a, 1, 64, 64, NVD_NO_IRQ));
	IS(NVME_SC_CMD_SEQ_ERROR,
	    nvd_set_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0x00030003, NULL));
	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_NUM_QUEUES, 0, 0, &n));
	assert_true((n & 0xffff) >= 7);
}

static void timestamp_goes_on(void **state)
{
	struct suite *s = *state;
	uint64_t stamp = 0x0000012345678900, *page = fake_guest_ptr(&s->a.g, s->a.page);

	memcpy(page, &stamp, sizeof(stamp));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_TIMESTAMP, 0, 0, NULL));
	memset(page, 0, 8);
	usleep(20000);
	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_TIMESTAMP, 0, 0, NULL));
	assert_in_range(*page & 0xffffffffffff, stamp + 10, stamp + 5000);
}

/* ---- logs ---- */

static void logs_can_be_read(void **state)
{
	static const uint8_t lid[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0c};
	struct suite *s = *state;
	uint8_t page[4096];

	for (unsigned i = 0; i < sizeof(lid); i++)
		IS(0, nvd_log(&s->a, lid[i], lid[i] == 0x02 ? ALL : 0, 512, page));
}

static void logs_that_do_not_exist(void **state)
{
	static const uint8_t lid[] = {0x1f, 0x6f, 0xbf};
	struct suite *s = *state;
	uint8_t page[4096];

	for (unsigned i = 0; i < sizeof(lid); i++)
		IN(nvd_log(&s->a, lid[i], 0, 512, page), BAD_LOG, FIELD);
}

static void log_beyond_its_end(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_GET_LOG,
	    .nsid = ALL,
	    .cdw10 = 127u << 16 | NVME_LOG_LID_SMART,
	    .cdw12 = 0x100000,
	    .prp1 = s->a.page};

	IS(FIELD, nvd_admin(&s->a, &cmd, NULL));
	cmd.cdw12 = 2; /* not a multiple of 4 */
	IN(nvd_admin(&s->a, &cmd, NULL), FIELD, 0);
}

static void errors_are_logged(void **state)
{
	struct suite *s = *state;
	struct nvme_error_log_page e[4];
	uint64_t before;

	IS(0, nvd_log(&s->a, NVME_LOG_LID_ERROR, 0, sizeof(e), e));
	before = le64toh(e[0].error_count);
	IS(NVME_SC_LBA_RANGE, rw(s, NVD_READ, RAM, RAM_BLOCKS, 1, 0));
	usleep(50000);
	IS(0, nvd_log(&s->a, NVME_LOG_LID_ERROR, 0, sizeof(e), e));
	assert_true(le64toh(e[0].error_count) > before);
	assert_int_equal(le16toh(e[0].sqid), 1);
	assert_int_equal(le16toh(e[0].status_field) >> 1 & 0x7ff, NVME_SC_LBA_RANGE);
	assert_int_equal(le32toh(e[0].nsid), RAM);
}

static void smart_counts(void **state)
{
	struct suite *s = *state;
	struct nvme_smart_log a, b;
	uint64_t x, y;

	IS(0, nvd_log(&s->a, NVME_LOG_LID_SMART, ALL, sizeof(a), &a));
	for (unsigned i = 0; i < 20; i++)
		IS(0, rw(s, NVD_READ, RAM, i, 8, 0));
	IS(0, nvd_log(&s->a, NVME_LOG_LID_SMART, ALL, sizeof(b), &b));
	memcpy(&x, a.host_reads, sizeof(x));
	memcpy(&y, b.host_reads, sizeof(y));
	assert_true(y >= x + 20);
	assert_true((b.temperature[1] << 8 | b.temperature[0]) > 200);
}

/* ---- asynchronous events, abort, keep alive ---- */

static uint16_t ask_event(struct suite *s)
{
	struct nvd_sqe cmd = {.opc = NVD_ASYNC_EVENT};
	uint16_t cid = nvd_queue(&s->a.sq[0], &cmd);

	assert_int_equal(nvd_ring(&s->a, &s->a.sq[0]), 0);
	return cid;
}

static void event_for_an_invalid_doorbell(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;
	uint16_t cid = ask_event(s);

	assert_int_equal(nvd_bell(&s->a, 60, false, 1), 0);
	assert_int_equal(nvd_wait(&s->a, &s->a.cq[0], &cqe, 1000), 0);
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.dw0 & 7, NVME_AER_ERROR);
	assert_int_equal(cqe.dw0 >> 8 & 0xff, NVME_AER_ERROR_INVALID_DB_REG);
	cid = ask_event(s);
	/* The log page that the first one named was not read: events of that type are held back (5.2). */
	IS(0, nvd_log(&s->a, NVME_LOG_LID_ERROR, 0, 64, s->mem));
	assert_int_equal(nvd_bell(&s->a, 1, false, 4000), 0);
	if (s->a.n_stray == 0) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[0], &cqe, 1000), 0);
		assert_int_equal(cqe.cid, cid);
		assert_int_equal(cqe.dw0 >> 8 & 0xff, NVME_AER_ERROR_INVALID_DB_VAL);
	}
	works(s);
}

static void event_for_temperature(void **state)
{
	struct suite *s = *state;
	struct nvd_cqe cqe;
	uint16_t cid;
	uint32_t was;

	IS(0, nvd_get_feature(&s->a, NVME_FEAT_FID_TEMP_THRESH, 0, 0, &was));
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_ASYNC_EVENT, 0, 0x1f, NULL));
	cid = ask_event(s);
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_TEMP_THRESH, 0, 100, NULL));
	if (s->a.n_stray == 0)
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[0], &cqe, 1000), 0);
	else
		cqe = s->a.stray[0];
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.dw0 & 7, NVME_AER_SMART);
	assert_int_equal(cqe.dw0 >> 16 & 0xff, NVME_LOG_LID_SMART);
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_TEMP_THRESH, 0, was, NULL));
}

static void more_events_than_allowed(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ctrl id;
	struct nvd_cqe cqe;
	uint16_t cid = 0;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	if (id.aerl > 20)
		skip();
	for (unsigned i = 0; i < id.aerl + 2u; i++)
		cid = ask_event(s);
	assert_int_equal(nvd_wait(&s->a, &s->a.cq[0], &cqe, 1000), 0);
	assert_int_equal(cqe.cid, cid);
	IS(NVD_CMD(NVME_SC_ASYNC_LIMIT), NVD_SC(&cqe));
}

static void abort_of_what_is_not_there(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_ABORT, .cdw10 = 0x1234u << 16 | 1};
	struct nvd_cqe cqe;

	IS(0, nvd_admin(&s->a, &cmd, &cqe));
	assert_int_equal(cqe.dw0 & 1, 1);
	cmd.cdw10 = 0x1234u << 16 | 50; /* no such queue */
	IN(nvd_admin(&s->a, &cmd, &cqe), 0, FIELD);
}

static void abort_of_what_waits(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_ABORT}, io;
	struct nvd_cqe cqe, done;
	unsigned n_aborted = 0;

	for (unsigned i = 0; i < 20; i++) {
		io = nvd_rw(NVD_READ, SLOW, i, 1);
		nvd_data(&s->a, &io, s->buf, 512);
		nvd_queue_as(&s->a.sq[1], &io, (uint16_t)(100 + i));
	}
	assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
	usleep(5000);
	cmd.cdw10 = 119u << 16 | 1;
	IS(0, nvd_admin(&s->a, &cmd, &cqe));
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &done, NVD_WAIT_MS), 0);
		if (NVD_SC(&done) == NVME_SC_ABORT_REQ) {
			n_aborted++;
			assert_int_equal(done.cid, 119);
		} else {
			IS(0, NVD_SC(&done));
		}
	}
	assert_int_equal(n_aborted, (cqe.dw0 & 1) == 0 ? 1 : 0);
}

static void keep_alive(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_KEEP_ALIVE};

	IS(0, nvd_admin(&s->a, &cmd, NULL));
}

/* ---- what no admin command may be ---- */

static void opcodes_that_do_not_exist(void **state)
{
	static const uint8_t opc[] = {0x03, 0x07, 0x0b, 0x0e, 0x1b, 0x30, 0x7f, 0x8f, 0xff};
	struct suite *s = *state;
	struct nvd_cqe cqe;

	for (unsigned i = 0; i < sizeof(opc); i++) {
		struct nvd_sqe cmd = {.opc = opc[i], .nsid = RAM, .prp1 = s->a.page};

		IS(NVME_SC_INVALID_OPCODE, nvd_admin(&s->a, &cmd, &cqe));
		assert_int_equal(NVD_DNR(&cqe), 1);
	}
}

static void admin_commands_are_not_fused_and_use_no_sgl(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {
	    .opc = NVD_IDENTIFY, .cdw10 = NVME_IDENTIFY_CNS_CTRL, .prp1 = s->a.page};

	cmd.flags = NVD_FUSE_FIRST;
	IN(nvd_admin(&s->a, &cmd, NULL), FIELD, NVME_SC_FUSED_MISSING);
	cmd.flags = 0;
	nvd_data_sgl(&cmd, s->a.page, 4096);
	IS(FIELD, nvd_admin(&s->a, &cmd, NULL));
}

static void admin_data_outside_memory(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {
	    .opc = NVD_IDENTIFY, .cdw10 = NVME_IDENTIFY_CNS_CTRL, .prp1 = 0x700000000000};

	IS(NVME_SC_DATA_XFER_ERROR, nvd_admin(&s->a, &cmd, NULL));
	cmd.prp1 = s->a.page + 2;
	IN(nvd_admin(&s->a, &cmd, NULL), NVME_SC_PRP_INVALID_OFFSET, 0);
	cmd.prp1 = s->a.page + 2048;
	cmd.prp2 = s->a.page + 4;
	IS(NVME_SC_PRP_INVALID_OFFSET, nvd_admin(&s->a, &cmd, NULL));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
#define E(name) cmocka_unit_test_setup_teardown(name, suite_enable, suite_close)
	const struct CMUnitTest tests[] = {
	    T(identify_controller),
	    T(identify_namespace),
	    T(identify_wrong_namespaces),
	    T(identify_common_namespace_values),
	    T(identify_lists),
	    T(identify_descriptors),
	    T(identify_command_set_pages),
	    T(identify_refuses_unknown_pages),
	    T(features_are_told_and_kept),
	    T(features_are_forgotten_by_a_reset),
	    T(features_that_do_not_exist),
	    T(features_are_saved_or_not),
	    T(features_with_wrong_values),
	    E(number_of_queues_before_and_after_the_first),
	    T(timestamp_goes_on),
	    T(logs_can_be_read),
	    T(logs_that_do_not_exist),
	    T(log_beyond_its_end),
	    T(errors_are_logged),
	    T(smart_counts),
	    T(event_for_an_invalid_doorbell),
	    T(event_for_temperature),
	    T(more_events_than_allowed),
	    T(abort_of_what_is_not_there),
	    T(abort_of_what_waits),
	    T(keep_alive),
	    T(opcodes_that_do_not_exist),
	    T(admin_commands_are_not_fused_and_use_no_sgl),
	    T(admin_data_outside_memory),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
