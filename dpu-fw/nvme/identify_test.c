/* SPDX-License-Identifier: BSD-3-Clause */
/* Identify and the log pages: what is in them, and what is refused. */
#include "nvme_test_util.h"

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void the_controller_says_what_it_is(void **state)
{
	struct t *t = *state;
	const struct nvme_id_ctrl *id = t_mem(t, t->data);

	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CTRL, 0, 0), 0);
	assert_memory_equal(id->sn, "OB-0001             ", 20);
	assert_memory_equal(id->mn, "Outboard NVMe function  ", 24);
	assert_memory_equal(id->fr, "1.0     ", 8);
	assert_int_equal(id->ver, 0x20000);
	assert_int_equal(id->cntrltype, 1);
	assert_int_equal(id->mdts, 8); /* 1 MiB */
	assert_int_equal(id->cntlid, 1);
	assert_int_equal(id->nn, OB_NVME_MAX_NS);
	assert_int_equal(id->sqes, 0x66);
	assert_int_equal(id->cqes, 0x44);
	assert_int_equal(id->oacs & NVME_CTRL_OACS_FW, 0); /* no hook */
	assert_true(id->oacs & NVME_CTRL_OACS_FORMAT);
	assert_true(id->oacs & NVME_CTRL_OACS_DBBUF_CFG);
	assert_int_equal(id->fna, 0);
	assert_int_equal(id->cmic & 2, 0);
	assert_memory_equal(id->subnqn, "nqn.", 4);
	assert_true(id->mnan != 0 && id->nanagrpid != 0 && id->kas != 0);
}

static void a_namespace_says_what_it_is(void **state)
{
	struct t *t = *state;
	const struct nvme_id_ns *id = t_mem(t, t->data);

	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 1, 0), 0);
	assert_int_equal(id->nsze, T_BYTES / 512);
	assert_int_equal(id->ncap, id->nsze);
	assert_int_equal(id->nlbaf, 1);
	assert_int_equal(id->flbas, 0);
	assert_int_equal(id->lbaf[0].ds, 9);
	assert_int_equal(id->lbaf[1].ds, 12);
	assert_int_equal(id->nguid[0], 7);
	assert_int_equal(id->anagrpid, 1);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 2, 0), 0); /* inactive */
	assert_true(all_zero(t_mem(t, t->data), 4096));
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 0, 0), NVME_SC_INVALID_NS);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 257, 0), NVME_SC_INVALID_NS);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 0xfffffffe, 0), NVME_SC_INVALID_NS);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS, 0xffffffff, 0), 0);
	assert_int_equal(id->nsze, 0);
	assert_int_equal(id->nlbaf, 1);
}

static void lists_of_namespaces_begin_behind_the_number(void **state)
{
	struct t *t = *state;
	struct ob_nvme_ns *second = t_new_ns("vol1", 1 << 20, 8);
	const uint8_t cns[] = {NVME_IDENTIFY_CNS_NS_ACTIVE_LIST,
	    NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST,
	    NVME_IDENTIFY_CNS_CSI_ALLOCATED_NS_LIST};
	const uint32_t *list = t_mem(t, t->data);
	uint32_t nsid = 200;

	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, second), 0);
	for (unsigned i = 0; i < sizeof(cns); i++) {
		assert_int_equal(t_identify(t, cns[i], 0, 0), 0);
		assert_int_equal(list[0], 1);
		assert_int_equal(list[1], 200);
		assert_int_equal(list[2], 0);
		assert_int_equal(t_identify(t, cns[i], 1, 0), 0);
		assert_int_equal(list[0], 200);
		assert_int_equal(t_identify(t, cns[i], 200, 0), 0);
		assert_true(all_zero(t_mem(t, t->data), 4096));
		assert_int_equal(t_identify(t, cns[i], 0xfffffffd, 0), 0);
		assert_int_equal(t_identify(t, cns[i], 0xfffffffe, 0), NVME_SC_INVALID_NS);
		assert_int_equal(t_identify(t, cns[i], 0xffffffff, 0), NVME_SC_INVALID_NS);
	}
	ob_nvme_ns_put(second);
}

static void descriptors_hold_the_names_and_the_command_set(void **state)
{
	struct t *t = *state;
	const uint8_t *p = t_mem(t, t->data);

	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_DESC_LIST, 1, 0), 0);
	assert_int_equal(p[0], NVME_NIDT_NGUID);
	assert_int_equal(p[1], 16);
	assert_int_equal(p[4], 7);
	assert_int_equal(p[20], NVME_NIDT_UUID);
	assert_int_equal(p[24], 7);
	assert_int_equal(p[40], NVME_NIDT_CSI);
	assert_int_equal(p[41], 1);
	assert_true(all_zero(p + 42, 4096 - 42));
	assert_int_equal(
	    t_identify(t, NVME_IDENTIFY_CNS_NS_DESC_LIST, 2, 0), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_DESC_LIST, 0, 0), NVME_SC_INVALID_NS);
}

static void command_set_structures_are_for_nvm_only(void **state)
{
	struct t *t = *state;
	const uint8_t cns[] = {NVME_IDENTIFY_CNS_CSI_NS, NVME_IDENTIFY_CNS_CSI_CTRL,
	    NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST, NVME_IDENTIFY_CNS_CSI_ALLOCATED_NS_LIST,
	    NVME_IDENTIFY_CNS_CSI_ID_NS_DATA_STRUCTURE};
	const uint64_t *v = t_mem(t, t->data);

	for (unsigned i = 0; i < sizeof(cns); i++) {
		assert_int_equal(t_do(t, nvme_admin_identify, 1, cns[i], 0, NULL), 0);
		assert_int_equal(
		    t_do(t, nvme_admin_identify, 1, cns[i], 2u << 24, NULL), NVME_SC_INVALID_FIELD);
	}
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE, 0, 0xffff), 0);
	assert_int_equal(v[0], 1);
	assert_int_equal(v[1], 0);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE, 0, 1), 0);
	assert_int_equal(
	    t_identify(t, NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE, 0, 2), NVME_SC_INVALID_FIELD);
}

static void the_independent_structure_says_ready(void **state)
{
	struct t *t = *state;
	const struct nvme_id_independent_id_ns *id = t_mem(t, t->data);

	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS, 1, 0), 0);
	assert_int_equal(id->nstat, 1);
	assert_int_equal(id->anagrpid, 1);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS, 3, 0), 0);
	assert_true(all_zero(t_mem(t, t->data), 4096));
	assert_int_equal(
	    t_identify(t, NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS, 0, 0), NVME_SC_INVALID_NS);
}

static void unsupported_structures_are_an_invalid_field(void **state)
{
	struct t *t = *state;
	const uint8_t none[] = {
	    0x04, 0x09, 0x0a, 0x0b, 0x14, 0x15, 0x17, 0x18, 0x19, 0x1d, 0x80, 0xff};

	for (unsigned i = 0; i < sizeof(none); i++)
		assert_int_equal(t_identify(t, none[i], 1, 0), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_GRANULARITY, 0, 0), 0);
}

/* ---- log pages ---- */

static void every_page_that_is_listed_can_be_read_and_no_other(void **state)
{
	struct t *t = *state;
	uint32_t listed[256];
	unsigned n = 0;

	assert_int_equal(t_log(t, NVME_LOG_LID_SUPPORTED_LOG_PAGES, 0, 1024, false), 0);
	memcpy(listed, t_mem(t, t->data), sizeof(listed));
	for (unsigned lid = 0; lid < 256; lid++) {
		uint32_t lsp = lid == NVME_LOG_LID_PERSISTENT_EVENT ? 1 : 0;

		n += listed[lid] & 1;
		assert_int_equal(t_do(t, nvme_admin_get_log_page, 0xffffffff,
				     lid | lsp << 8 | 7u << 16, 0, NULL),
		    listed[lid] & 1 ? 0 : T_CMD(NVME_SC_INVALID_LOG_PAGE));
	}
	assert_int_equal(n, 13);
}

static void offsets_and_lengths_are_checked(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_get_log_page, 0xffffffff, 2 | 3u << 16, 0);
	const uint8_t *p = t_mem(t, t->data);

	e.cdw12 = 2;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.cdw12 = 516;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.cdw12 = 0;
	e.cdw13 = 1;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.cdw13 = 0;
	e.cdw14 = 1u << 23;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	e.cdw14 = 0;
	e.cdw10 |= 0xffffu << 16;
	e.cdw11 = 0xffff;
	assert_int_equal(t_admin(t, &e, NULL), NVME_SC_INVALID_FIELD);
	/* A piece, and beyond the end zero. */
	e = t_cmd(t, nvme_admin_get_log_page, 0xffffffff, NVME_LOG_LID_CMD_EFFECTS | 1u << 16, 0);
	e.cdw12 = 4 * nvme_admin_identify;
	memset(t_mem(t, t->data), 0xee, 16);
	assert_int_equal(t_admin(t, &e, NULL), 0);
	assert_int_equal(p[0], 1);
	assert_int_equal(p[8], 0xee);
	e = t_cmd(t, nvme_admin_get_log_page, 0xffffffff, 2 | 255u << 16, 0);
	memset(t_mem(t, t->data), 0xee, 2048);
	assert_int_equal(t_admin(t, &e, NULL), 0);
	assert_true(all_zero(p + 512, 512));
	assert_int_equal(p[1024], 0xee);
}

static void smart_counts_what_the_host_moved(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const struct nvme_smart_log *s = t_mem(t, t->data);

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, i, 1), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 1), 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_SMART, 0xffffffff, 512, false), 0);
	assert_int_equal(s->host_writes[0], 3);
	assert_int_equal(s->host_reads[0], 1);
	assert_int_equal(s->data_units_written[0], 1);
	assert_int_equal(s->power_cycles[0], 1);
	assert_int_equal(s->temperature[0] | s->temperature[1] << 8, 313);
	assert_int_equal(s->critical_warning, 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_SMART, 1, 512, false), 0);
	assert_int_equal(s->host_writes[0], 3);
	assert_int_equal(t_log(t, NVME_LOG_LID_SMART, 2, 512, false), NVME_SC_INVALID_NS);
}

static void io_errors_reach_the_error_log(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const struct nvme_error_log_page *log = t_mem(t, t->data);

	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, T_BYTES / 512, 1), NVME_SC_LBA_RANGE);
	t_run(t);
	assert_int_equal(t_log(t, NVME_LOG_LID_ERROR, 0, 64, false), 0);
	assert_int_equal(log->sqid, 1);
	assert_int_equal(log->cmdid, 9);
	assert_int_equal(log->nsid, 1);
	assert_int_equal(log->status_field >> 1 & T_STATUS, NVME_SC_LBA_RANGE);
}

static void effects_tell_of_what_is_there(void **state)
{
	struct t *t = *state;
	const struct nvme_cmd_effects_log *l = t_mem(t, t->data);

	assert_int_equal(t_log(t, NVME_LOG_LID_CMD_EFFECTS, 0, 4096, false), 0);
	assert_int_equal(l->acs[nvme_admin_identify], 1);
	assert_true(l->acs[nvme_admin_format_nvm] & NVME_CMD_EFFECTS_LBCC);
	assert_int_equal(l->acs[nvme_admin_sanitize_nvm], 0);
	assert_int_equal(l->acs[nvme_admin_fw_commit], 0);
	assert_int_equal(l->iocs[nvme_cmd_read], 1);
	assert_true(l->iocs[nvme_cmd_write] & NVME_CMD_EFFECTS_LBCC);
	assert_int_equal(l->iocs[nvme_cmd_write_uncor], 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_FID_SUPPORTED_EFFECTS, 0, 1024, false), 0);
	assert_int_equal(((uint32_t *)t_mem(t, t->data))[7], 1 | 2u << 20);
	assert_int_equal(((uint32_t *)t_mem(t, t->data))[3], 0);
}

static void ana_lists_groups_with_their_state(void **state)
{
	struct t *t = *state;
	struct ob_nvme_ns_conf nc = {.name = "two", .blk = ob_nvme_ns_blk(t->ns), .ana_group = 9};
	const struct nvme_ana_log *l = t_mem(t, t->data);
	struct ob_nvme_ns *second;
	struct ob_nvme_sqe e;
	uint32_t nsid = 2;

	assert_int_equal(ob_nvme_set_ana(t->c, 1, OB_NVME_ANA_NON_OPTIMIZED), 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_ANA, 0, 512, false), 0);
	assert_int_equal(l->ngrps, 1);
	assert_int_equal(l->chgcnt, 1);
	assert_int_equal(l->descs[0].grpid, 1);
	assert_int_equal(l->descs[0].nnsids, 1);
	assert_int_equal(l->descs[0].state, 2);
	assert_int_equal(l->descs[0].nsids[0], 1);
	e = t_cmd(t, nvme_admin_get_log_page, 0, NVME_LOG_LID_ANA | 1 << 8 | 63u << 16, 0);
	assert_int_equal(t_admin(t, &e, NULL), 0);
	assert_int_equal(l->descs[0].nnsids, 0);
	assert_int_equal(ob_nvme_ns_create(&nc, &second), 0);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, second), 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_ANA, 0, 512, false), 0);
	assert_int_equal(l->ngrps, 2);
	assert_int_equal(((uint8_t *)t_mem(t, t->data))[16 + 36], 9);
	assert_int_equal(((uint8_t *)t_mem(t, t->data))[16 + 36 + 32], 2);
	ob_nvme_ns_put(second);
}

static uint16_t pel(struct t *t, unsigned action, uint32_t off, uint32_t len)
{
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_get_log_page, 0,
	    NVME_LOG_LID_PERSISTENT_EVENT | action << 8 | (len / 4 - 1) << 16, 0);

	e.cdw12 = off;
	return t_admin(t, &e, NULL);
}

static void persistent_events_are_read_in_a_context(void **state)
{
	struct t *t = *state;
	const struct nvme_persistent_event_log *h = t_mem(t, t->data);
	const struct nvme_persistent_event_entry *e;

	assert_int_equal(pel(t, 0, 0, 512), NVME_SC_CMD_SEQ_ERROR);
	assert_int_equal(pel(t, 3, 0, 512), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_TIMESTAMP, 0, NULL), 0);
	assert_int_equal(pel(t, 1, 0, 512), 0);
	assert_int_equal(h->lid, 0xd);
	assert_int_equal(h->tnev, 2);
	assert_int_equal(h->tll, 512 + 24 + 16 + 24 + 44);
	assert_memory_equal(h->sn, "OB-0001 ", 8);
	assert_int_equal(h->seb[0], 1 << 3 | 1 << 4);
	assert_int_equal(pel(t, 1, 0, 512), NVME_SC_CMD_SEQ_ERROR);
	/* What comes now is not in this context. */
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_TIMESTAMP, 0, NULL), 0);
	assert_int_equal(pel(t, 0, 512, 24), 0);
	e = t_mem(t, t->data);
	assert_int_equal(e->etype, NVME_PEL_TIMESTAMP_EVENT);
	assert_int_equal(e->el, 16);
	assert_int_equal(pel(t, 2, 0, 512), 0);
	assert_int_equal(pel(t, 2, 0, 512), 0);
	assert_int_equal(pel(t, 1, 0, 512), 0);
	assert_int_equal(h->tnev, 3);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(pel(t, 0, 0, 512), NVME_SC_CMD_SEQ_ERROR);
}

static void the_vendor_page_has_latencies_and_sums(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const struct ob_nvme_vendor_log *l = t_mem(t, t->data);
	uint64_t n = 0;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, i, 1), 0);
	assert_int_equal(t_log(t, 0xc0, 1, sizeof(*l), false), 0);
	assert_memory_equal(l->magic, "OBNVMEIO", 8);
	assert_int_equal(l->version, OB_NVME_VENDOR_LOG_VERSION);
	assert_int_equal(l->n_ios[OB_BLK_WRITE], 5);
	assert_int_equal(l->n_bytes[OB_BLK_WRITE], 5 * 512);
	for (unsigned i = 0; i < OB_BLK_LAT_CLASSES; i++)
		n += l->lat[1][i];
	assert_int_equal(n, 5);
	assert_int_equal(t_log(t, 0xc0, 2, sizeof(*l), false), NVME_SC_INVALID_NS);
}

static void reservation_notifications_come_one_a_read_unless_masked(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	const struct nvme_resv_notification_log *l = t_mem(t, t->data);
	struct t_cqe c;

	(void)t_send(t, &e);
	nvme_resv_event(t->c, 1, 2);
	nvme_resv_event(t->c, 1, 3);
	assert_true(t_done(t, &c));
	assert_int_equal(c.dw0, 6 | 0x80 << 16);
	assert_int_equal(t_log(t, NVME_LOG_LID_RESERVATION, 0, 64, false), 0);
	assert_int_equal(l->lpc, 1);
	assert_int_equal(l->rnlpt, 2);
	assert_int_equal(l->nsid, 1);
	assert_int_equal(l->nalp, 1);
	assert_int_equal(t_log(t, NVME_LOG_LID_RESERVATION, 0, 64, false), 0);
	assert_int_equal(l->rnlpt, 3);
	assert_int_equal(l->nalp, 0);
	assert_int_equal(t_log(t, NVME_LOG_LID_RESERVATION, 0, 64, false), 0);
	assert_int_equal(l->lpc, 0);
	assert_int_equal(t_do(t, nvme_admin_set_features, 1, 0x82, 1 << 2, NULL), 0);
	nvme_resv_event(t->c, 1, 2);
	assert_int_equal(t->st->n_resv_kept, 0);
	for (unsigned i = 0; i < 2 * NVME_N_RESV_LOG; i++)
		nvme_resv_event(t->c, 1, 1);
	assert_int_equal(t->st->n_resv_kept, NVME_N_RESV_LOG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TE(the_controller_says_what_it_is),
	    TE(a_namespace_says_what_it_is),
	    TE(lists_of_namespaces_begin_behind_the_number),
	    TE(descriptors_hold_the_names_and_the_command_set),
	    TE(command_set_structures_are_for_nvm_only),
	    TE(the_independent_structure_says_ready),
	    TE(unsupported_structures_are_an_invalid_field),
	    TE(every_page_that_is_listed_can_be_read_and_no_other),
	    TE(offsets_and_lengths_are_checked),
	    TE(smart_counts_what_the_host_moved),
	    TE(io_errors_reach_the_error_log),
	    TE(effects_tell_of_what_is_there),
	    TE(ana_lists_groups_with_their_state),
	    TE(persistent_events_are_read_in_a_context),
	    TE(the_vendor_page_has_latencies_and_sums),
	    TE(reservation_notifications_come_one_a_read_unless_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
