/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin queue: dispatch, I/O queues, features, events, Abort, Keep Alive. */
#include "nvme_test_util.h"

/* ---- dispatch ---- */

static void unknown_opcodes_are_invalid(void **state)
{
	struct t *t = *state;
	const uint8_t none[] = {nvme_admin_directive_send, nvme_admin_directive_recv,
	    nvme_admin_virtual_mgmt, nvme_admin_nvme_mi_send, nvme_admin_nvme_mi_recv,
	    nvme_admin_security_send, nvme_admin_security_recv, nvme_admin_sanitize_nvm,
	    nvme_admin_get_lba_status, nvme_admin_fabrics, nvme_admin_capacity_mgmt,
	    nvme_admin_lockdown, nvme_admin_fw_commit, nvme_admin_fw_download, 0x03, 0x07, 0xc0,
	    0xff};

	for (unsigned i = 0; i < sizeof(none); i++)
		assert_int_equal(t_do(t, none[i], 0, 0, 0, NULL), NVME_SC_INVALID_OPCODE);
	assert_int_equal(t->st->n_admin_err, sizeof(none));
}

static void fused_and_sgl_admin_commands_are_refused(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_identify, 0, 1, 0);

	e.flags = 1;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.flags = 0x40;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.flags = 0;
	assert_int_equal(t_admin(t, &e, NULL), 0);
}

static void errors_have_more_and_do_not_retry_and_are_in_the_log(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_get_log_page, 5, 0x77, 0);
	const struct nvme_error_log_page *log = t_mem(t, t->data);
	struct t_cqe c;
	uint16_t cid = t_send(t, &e);

	assert_true(t_done(t, &c));
	assert_int_equal(
	    c.status >> 1, T_CMD(NVME_SC_INVALID_LOG_PAGE) | NVME_SC_DNR | NVME_SC_MORE);
	assert_int_equal(t_log(t, NVME_LOG_LID_ERROR, 0, 64, false), 0);
	assert_int_equal(log->error_count, 1);
	assert_int_equal(log->cmdid, cid);
	assert_int_equal(log->nsid, 5);
	assert_int_equal(log->parm_error_location, 40); /* byte 0 of dword 10 */
	assert_int_equal(log->status_field >> 1 & T_STATUS, T_CMD(NVME_SC_INVALID_LOG_PAGE));
}

static void a_full_completion_queue_holds_commands_back(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	struct t_cqe c;
	unsigned n = 0;

	/* A smaller completion queue than submission queue. */
	t_write(NVME_REG_CC, 0, 4);
	memset(t_mem(t, t->admin.cq), 0, 4096);
	t_write(NVME_REG_AQA, 3u << 16 | (T_ENTRIES - 1), 4);
	t_write(NVME_REG_CC, T_EN, 4);
	t->admin.tail = t->admin.head = 0;
	for (unsigned i = 0; i < 9; i++) {
		e.cid = (uint16_t)i;
		t_put(t, &t->admin, &e);
	}
	t_write(0x1000, t->admin.tail, 4);
	t_run(t);
	assert_int_equal(t->st->n_admin, 3);
	t->admin.size = 4;
	while (t_done(t, &c)) {
		assert_int_equal(c.cid, n++);
		t_run(t);
	}
	assert_int_equal(n, 9);
}

static void many_commands_in_one_doorbell_take_several_turns(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	struct t_cqe c;

	for (unsigned i = 0; i < T_ENTRIES - 1; i++)
		t_put(t, &t->admin, &e);
	t_write(0x1000, t->admin.tail, 4);
	t_run(t);
	for (unsigned i = 0; i < T_ENTRIES - 1; i++)
		assert_true(t_done(t, &c));
	assert_false(t_done(t, &c));
}

static void payloads_outside_of_memory_fail_with_the_transfer_status(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_identify, 0, 1, 0);

	e.dptr[0] = 0x7777000000;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_DATA_XFER_ERROR);
	e.dptr[0] = t->data + 2; /* not a dword */
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_PRP_INVALID_OFFSET);
	e.dptr[0] = t->data + 4096 - 512;
	e.dptr[1] = t->data + 8192;
	assert_int_equal(t_admin(t, &e, NULL), 0);
	assert_memory_equal((uint8_t *)t_mem(t, t->data) + 4096 - 512 + 4, "OB-0001 ", 8);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 1);
}

/* ---- I/O queues ---- */

static void an_io_queue_pair_moves_data_and_can_be_deleted(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	struct ob_nvme_queue_status s;

	memset(t_mem(t, t->data), 0x5a, 8192);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, 8, 16), 0);
	memset(t_mem(t, t->data), 0, 8192);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 8, 16), 0);
	assert_int_equal(((uint8_t *)t_mem(t, t->data))[8191], 0x5a);
	assert_int_equal(ob_nvme_get_queue(t->c, true, 0, &s), 0);
	assert_int_equal(s.qid, 1);
	assert_int_equal(s.size, 16);
	assert_int_equal(s.worker, 0);
	assert_int_equal(ob_nvme_get_queue(t->c, true, 1, &s), -ENOENT);
	assert_int_equal(
	    t_do(t, nvme_admin_delete_cq, 0, 1, 0, NULL), T_CMD(NVME_SC_INVALID_QUEUE));
	assert_int_equal(t_do(t, nvme_admin_delete_sq, 0, 1, 0, NULL), 0);
	assert_int_equal(t_do(t, nvme_admin_delete_sq, 0, 1, 0, NULL), T_CMD(NVME_SC_QID_INVALID));
	assert_int_equal(t_do(t, nvme_admin_delete_cq, 0, 1, 0, NULL), 0);
	assert_int_equal(t_do(t, nvme_admin_delete_cq, 0, 1, 0, NULL), T_CMD(NVME_SC_QID_INVALID));
	q = t_io_queues(t, 1);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_flush, 1, 0, 1), 0);
}

static void create_queue_checks_every_field(void **state)
{
	struct t *t = *state;
	const struct {
		uint8_t opcode;
		uint32_t cdw10, cdw11;
		uint32_t off;
		uint16_t status;
	} bad[] = {
	    {nvme_admin_create_cq, 0 | 15u << 16, 1, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_cq, 5 | 15u << 16, 1, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_cq, 1 | 15u << 16, 1, 0, T_CMD(NVME_SC_QID_INVALID)}, /* is there */
	    {nvme_admin_create_cq, 2, 1, 0, T_CMD(NVME_SC_QUEUE_SIZE)},
	    {nvme_admin_create_cq, 2 | 64u << 16, 1, 0, T_CMD(NVME_SC_QUEUE_SIZE)},
	    {nvme_admin_create_cq, 2 | 15u << 16, 0, 0, NVME_SC_INVALID_FIELD}, /* PC */
	    {nvme_admin_create_cq, 2 | 15u << 16, 1, 8, NVME_SC_PRP_INVALID_OFFSET},
	    {nvme_admin_create_cq, 2 | 15u << 16, 3 | 5u << 16, 0, T_CMD(NVME_SC_INVALID_VECTOR)},
	    /* Without MSI-X there is vector 0 only. */
	    {nvme_admin_create_cq, 2 | 15u << 16, 3 | 1u << 16, 0, T_CMD(NVME_SC_INVALID_VECTOR)},
	    {nvme_admin_create_sq, 0 | 15u << 16, 1 | 1u << 16, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_sq, 1 | 15u << 16, 1 | 1u << 16, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_sq, 2 | 15u << 16, 1 | 0u << 16, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_sq, 2 | 15u << 16, 1 | 9u << 16, 0, T_CMD(NVME_SC_QID_INVALID)},
	    {nvme_admin_create_sq, 2 | 15u << 16, 1 | 3u << 16, 0, T_CMD(NVME_SC_CQ_INVALID)},
	    {nvme_admin_create_sq, 2 | 0u << 16, 1 | 1u << 16, 0, T_CMD(NVME_SC_QUEUE_SIZE)},
	    {nvme_admin_create_sq, 2 | 15u << 16, 0 | 1u << 16, 0, NVME_SC_INVALID_FIELD},
	};

	(void)t_io_queues(t, 1);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ob_nvme_sqe e = t_cmd(t, bad[i].opcode, 0, bad[i].cdw10, bad[i].cdw11);

		e.dptr[0] += 8192 + bad[i].off;
		assert_int_equal(t_admin(t, &e, NULL), bad[i].status);
	}
}

static void entry_sizes_other_than_64_and_16_are_refused_at_queue_creation(void **state)
{
	struct t *t = *state;

	t_write(NVME_REG_CC, 1u | 7u << 16 | 5u << 20, 4);
	assert_int_equal(
	    t_do(t, nvme_admin_create_cq, 0, 1 | 15u << 16, 1, NULL), T_CMD(NVME_SC_QUEUE_SIZE));
}

static void number_of_queues_is_granted_and_fixed_once_there_are_some(void **state)
{
	struct t *t = *state;
	uint32_t v;

	assert_int_equal(t_set_feature(t, 7, 0xffff | 0u << 16, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_set_feature(t, 7, 0 | 0xffffu << 16, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_set_feature(t, 7, 99 | 1u << 16, &v), 0);
	assert_int_equal(v, 3 | 1u << 16);
	assert_int_equal(t_get_feature(t, 7, 0, &v), 0);
	assert_int_equal(v, 3 | 1u << 16);
	(void)t_io_queues(t, 2);
	assert_int_equal(t_do(t, nvme_admin_create_cq, 0, 3 | 15u << 16, 1, NULL),
	    T_CMD(NVME_SC_QID_INVALID)); /* two were granted */
	assert_int_equal(t_set_feature(t, 7, 1 | 1u << 16, NULL), NVME_SC_CMD_SEQ_ERROR);
}

static void doorbell_buffers_have_to_be_pages(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_dbbuf, 0, 0, 0);
	struct ob_nvme_status s;

	e.dptr[0] = t->data + 4;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.dptr[0] = t->data;
	e.dptr[1] = 0;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.dptr[1] = t->data + 4096;
	assert_int_equal(t_admin(t, &e, NULL), 0);
	ob_nvme_get_status(t->c, &s);
	assert_true(s.shadow_doorbells);
	t_write(NVME_REG_CC, 0, 4);
	ob_nvme_get_status(t->c, &s);
	assert_false(s.shadow_doorbells);
}

/* ---- features ---- */

static void simple_features_are_set_saved_and_reset(void **state)
{
	struct t *t = *state;
	uint32_t v;

	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 3, &v), 0);
	assert_int_equal(v, 5); /* saveable, changeable, not of a namespace */
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_TEMP_THRESH, 350, NULL), 0);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 0, &v), 0);
	assert_int_equal(v, 350);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 1, &v), 0);
	assert_int_equal(v, 343);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 2, &v), 0);
	assert_int_equal(v, 343);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 0, &v), 0);
	assert_int_equal(v, 343);
	assert_int_equal(
	    t_do(t, nvme_admin_set_features, 0, NVME_FEAT_FID_TEMP_THRESH | 1u << 31, 355, NULL),
	    0);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 0, &v), 0);
	assert_int_equal(v, 355);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TEMP_THRESH, 2, &v), 0);
	assert_int_equal(v, 355);
}

static void bad_feature_requests_have_their_status(void **state)
{
	struct t *t = *state;
	const struct {
		uint32_t fid, v;
		uint32_t nsid;
		uint16_t status;
	} bad[] = {
	    {0x00, 0, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_AUTO_PST, 0, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_HOST_MEM_BUF, 0, 0, NVME_SC_INVALID_FIELD},
	    {0xff, 0, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_POWER_MGMT, 1, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_TEMP_THRESH, 3u << 16, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_TEMP_THRESH, 2u << 20, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_ERR_RECOVERY, 1u << 16, 1, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_ERR_RECOVERY, 0, 2, NVME_SC_INVALID_NS},
	    {NVME_FEAT_FID_IRQ_CONFIG, 5, 0, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_ASYNC_EVENT, 1u << 9, 0, NVME_SC_INVALID_FIELD}, /* no firmware */
	    {NVME_FEAT_FID_KATO, 0xffffffff, 0, NVME_SC_KAT_INVALID},
	    {NVME_FEAT_FID_WRITE_PROTECT, 3, 1, NVME_SC_INVALID_FIELD},
	    {NVME_FEAT_FID_WRITE_PROTECT, 1, 0xffffffff, NVME_SC_INVALID_NS},
	    {NVME_FEAT_FID_RESV_PERSIST, 1, 1, NVME_SC_INVALID_FIELD}, /* no store */
	    {NVME_FEAT_FID_NUM_QUEUES | 1u << 31, 0, 0, T_CMD(NVME_SC_FEATURE_NOT_SAVEABLE)},
	    {NVME_FEAT_FID_TIMESTAMP | 1u << 31, 0, 0, T_CMD(NVME_SC_FEATURE_NOT_SAVEABLE)},
	    {NVME_FEAT_FID_ARBITRATION, 0, 1, T_CMD(NVME_SC_FEATURE_NOT_PER_NS)},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    t_do(t, nvme_admin_set_features, bad[i].nsid, bad[i].fid, bad[i].v, NULL),
		    bad[i].status);
	assert_int_equal(t_get_feature(t, 0xff, 0, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(
	    t_get_feature(t, NVME_FEAT_FID_ARBITRATION, 4, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_ERR_RECOVERY, 0, NULL), NVME_SC_INVALID_NS);
}

static void every_supported_feature_can_be_got_in_all_four_ways(void **state)
{
	struct t *t = *state;
	const uint8_t fids[] = {
	    1, 2, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xe, 0xf, 0x80, 0x81, 0x82, 0x83, 0x84};
	uint32_t caps;

	for (unsigned i = 0; i < sizeof(fids); i++)
		for (unsigned sel = 0; sel < 4; sel++) {
			assert_int_equal(
			    t_do(t, nvme_admin_get_features, 1, fids[i] | sel << 8, 0, &caps), 0);
			if (sel == 3)
				assert_true(caps & 4);
		}
}

static void a_namespaces_features_are_its_own_and_end_with_a_reset(void **state)
{
	struct t *t = *state;
	struct ob_nvme_ns *second = t_new_ns("vol1", 1 << 20, 8);
	uint32_t nsid = 0, v;

	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, second), 0);
	assert_int_equal(nsid, 2);
	assert_int_equal(t_do(t, nvme_admin_set_features, 2, 5, 77, NULL), 0);
	assert_int_equal(t_do(t, nvme_admin_get_features, 2, 5, 0, &v), 0);
	assert_int_equal(v, 77);
	assert_int_equal(t_do(t, nvme_admin_get_features, 1, 5, 0, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(t_do(t, nvme_admin_set_features, 0xffffffff, 0x82, 0xff, NULL), 0);
	assert_int_equal(t_do(t, nvme_admin_get_features, 1, 0x82, 0, &v), 0);
	assert_int_equal(v, 0x0e);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_do(t, nvme_admin_get_features, 2, 5, 0, &v), 0);
	assert_int_equal(v, 0);
	ob_nvme_ns_put(second);
}

static void write_protection_stops_writes(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	uint32_t v;

	assert_int_equal(t_do(t, nvme_admin_set_features, 1, 0x84, 1, NULL), 0);
	assert_int_equal(t_do(t, nvme_admin_get_features, 1, 0x84, 0, &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, 0, 1), NVME_SC_NS_WRITE_PROTECTED);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 0, 0, NULL), NVME_SC_NS_WRITE_PROTECTED);
	assert_int_equal(t_identify(t, 0, 1, 0), 0);
	assert_int_equal(((struct nvme_id_ns *)t_mem(t, t->data))->nsattr, 1);
	assert_int_equal(t_do(t, nvme_admin_set_features, 1, 0x84, 0, NULL), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, 0, 1), 0);
}

static void timestamp_and_host_identifier_go_by_memory(void **state)
{
	struct t *t = *state;
	uint8_t *p = t_mem(t, t->data);
	const uint8_t when[8] = {0x10, 0x32, 0x54, 0x76, 0x98, 0x01};

	memcpy(p, when, sizeof(when));
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_TIMESTAMP, 0, NULL), 0);
	memset(p, 0xff, 16);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_TIMESTAMP, 0, NULL), 0);
	assert_memory_equal(p + 2, when + 2, 4); /* it goes on */
	assert_int_equal(p[6], 1 << 1);
	for (unsigned i = 0; i < 16; i++)
		p[i] = (uint8_t)(i + 1);
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_HOST_ID, 1, NULL), 0);
	memset(p, 0, 16);
	assert_int_equal(t_do(t, nvme_admin_get_features, 0, NVME_FEAT_FID_HOST_ID, 1, NULL), 0);
	assert_int_equal(p[15], 16);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_do(t, nvme_admin_get_features, 0, NVME_FEAT_FID_HOST_ID, 1, NULL), 0);
	assert_int_equal(p[15], 0);
}

/* ---- events ---- */

static void a_namespace_that_comes_is_told_once_until_its_log_is_read(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct ob_nvme_ns *second = t_new_ns("vol1", 1 << 20, 8);
	const uint32_t *list = t_mem(t, t->data);
	uint32_t nsid = 9;
	struct t_cqe c;

	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 4096, false), 0);
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_ASYNC_EVENT, 1 << 8, NULL), 0);
	(void)t_send(t, &e);
	(void)t_send(t, &e);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, second), 0);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 2 | 0 << 8 | 4 << 16);
	assert_int_equal(ob_nvme_del_ns(t->c, 9), 0);
	assert_false(t_done(t, &c)); /* masked */
	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 4096, true), 0);
	assert_int_equal(list[0], 9);
	assert_int_equal(list[1], 0);
	assert_false(t_done(t, &c)); /* retained */
	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 4096, false), 0);
	assert_int_equal(list[0], 9);
	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 4096, false), 0);
	assert_int_equal(list[0], 0);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, second), 0);
	assert_true(t_done(t, &c));
	ob_nvme_ns_put(second);
}

static void events_that_are_not_enabled_do_not_come(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct t_cqe c;

	(void)t_send(t, &e);
	ob_nvme_ns_changed(t->c, 1);
	assert_int_equal(ob_nvme_set_ana(t->c, 1, OB_NVME_ANA_INACCESSIBLE), 0);
	assert_false(t_done(t, &c));
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_ASYNC_EVENT, 1 << 11, NULL), 0);
	assert_int_equal(ob_nvme_set_ana(t->c, 1, OB_NVME_ANA_OPTIMIZED), 0);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 2 | 3 << 8 | 0xc << 16);
	assert_int_equal(ob_nvme_set_ana(t->c, 2, OB_NVME_ANA_OPTIMIZED), -ENOENT);
}

static void an_event_waits_for_a_request(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct t_cqe c;

	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_ASYNC_EVENT, 1 << 8, NULL), 0);
	ob_nvme_ns_changed(t->c, 1);
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 2 | 4 << 16);
}

static void too_hot_is_told(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct t_cqe c;

	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_ASYNC_EVENT, 1 << 1, NULL), 0);
	(void)t_send(t, &e);
	e = t_cmd(t, nvme_admin_set_features, 0, NVME_FEAT_FID_TEMP_THRESH, 300);
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 1 | 1 << 8 | 2 << 16);
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, e.cid);
	assert_int_equal(t_log(t, NVME_LOG_LID_SMART, 0xffffffff, 512, false), 0);
	assert_int_equal(((struct nvme_smart_log *)t_mem(t, t->data))->critical_warning, 2);
}

static void no_more_event_requests_than_the_limit(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct t_cqe c;

	for (unsigned i = 0; i < NVME_N_AER; i++)
		(void)t_send(t, &e);
	assert_false(t_done(t, &c));
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_int_equal(c.status >> 1 & T_STATUS, T_CMD(NVME_SC_ASYNC_LIMIT));
	t_write(NVME_REG_CC, 0, 4); /* they are gone without completions */
	t_enable(t);
	(void)t_send(t, &e);
	assert_false(t_done(t, &c));
	assert_int_equal(t->st->n_aer, 1);
}

static void an_event_request_can_be_aborted_and_its_number_is_taken_meanwhile(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0), same;
	struct t_cqe c;
	uint16_t cid = t_send(t, &e);
	uint32_t v;

	same = t_cmd(t, nvme_admin_keep_alive, 0, 0, 0);
	same.cid = cid;
	t_put(t, &t->admin, &same);
	t_write(0x1000, t->admin.tail, 4);
	assert_true(t_done(t, &c));
	assert_int_equal(c.status >> 1 & T_STATUS, NVME_SC_CMDID_CONFLICT);
	assert_int_equal(t_do(t, nvme_admin_abort_cmd, 0, 0 | 0x7777u << 16, 0, &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(t_do(t, nvme_admin_abort_cmd, 0, 3 | (uint32_t)cid << 16, 0, NULL),
	    NVME_SC_INVALID_FIELD); /* no such queue */
	e = t_cmd(t, nvme_admin_abort_cmd, 0, (uint32_t)cid << 16, 0);
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, cid);
	assert_int_equal(c.status >> 1 & T_STATUS, NVME_SC_ABORT_REQ);
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, e.cid);
	assert_int_equal(c.dw0, 0);
}

static void events_keep_for_a_full_completion_queue(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	struct t_cqe c;

	t_write(NVME_REG_CC, 0, 4);
	memset(t_mem(t, t->admin.cq), 0, 4096);
	t_write(NVME_REG_AQA, 1u << 16 | (T_ENTRIES - 1), 4); /* room for one completion */
	t_write(NVME_REG_CC, T_EN, 4);
	t->admin.tail = t->admin.head = 0;
	(void)t_send(t, &e);
	e.opcode = nvme_admin_keep_alive;
	(void)t_send(t, &e);
	t_write(0x1000 + 8 * 4, 1, 4); /* a wrong doorbell */
	t->admin.size = 2;
	t->admin.phase = 1;
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, e.cid);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 1 << 16);
}

/* ---- keep alive ---- */

static void without_keep_alive_the_controller_stops(void **state)
{
	struct t *t = *state;
	uint32_t v;

	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_KATO, 1, NULL), 0);
	assert_int_equal(t_get_feature(t, NVME_FEAT_FID_KATO, 0, &v), 0);
	assert_int_equal(v, 1000); /* rounded up to what KAS says */
	assert_true(event_pending(t->c->kato, EV_TIMEOUT, NULL));
	assert_int_equal(t_do(t, nvme_admin_keep_alive, 0, 0, 0, NULL), 0);
	event_active(t->c->kato, EV_TIMEOUT, 0);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_int_equal(t_read(NVME_REG_CSTS, 4), 3);
	t_write(NVME_REG_CC, 0, 4);
	assert_false(event_pending(t->c->kato, EV_TIMEOUT, NULL));
	t_enable(t);
	assert_int_equal(t_do(t, nvme_admin_keep_alive, 0, 0, 0, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TE(unknown_opcodes_are_invalid),
	    TE(fused_and_sgl_admin_commands_are_refused),
	    TE(errors_have_more_and_do_not_retry_and_are_in_the_log),
	    TE(a_full_completion_queue_holds_commands_back),
	    TE(many_commands_in_one_doorbell_take_several_turns),
	    TE(payloads_outside_of_memory_fail_with_the_transfer_status),
	    TE(an_io_queue_pair_moves_data_and_can_be_deleted),
	    TE(create_queue_checks_every_field),
	    TE(entry_sizes_other_than_64_and_16_are_refused_at_queue_creation),
	    TE(number_of_queues_is_granted_and_fixed_once_there_are_some),
	    TE(doorbell_buffers_have_to_be_pages),
	    TE(simple_features_are_set_saved_and_reset),
	    TE(bad_feature_requests_have_their_status),
	    TE(every_supported_feature_can_be_got_in_all_four_ways),
	    TE(a_namespaces_features_are_its_own_and_end_with_a_reset),
	    TE(write_protection_stops_writes),
	    TE(timestamp_and_host_identifier_go_by_memory),
	    TE(a_namespace_that_comes_is_told_once_until_its_log_is_read),
	    TE(events_that_are_not_enabled_do_not_come),
	    TE(an_event_waits_for_a_request),
	    TE(too_hot_is_told),
	    TE(no_more_event_requests_than_the_limit),
	    TE(an_event_request_can_be_aborted_and_its_number_is_taken_meanwhile),
	    TE(events_keep_for_a_full_completion_queue),
	    TE(without_keep_alive_the_controller_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
