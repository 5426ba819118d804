/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces that come and go, Format, firmware, reservations. NVMe base 2.0, 5.12 to 5.14, 5.23, 8.11, 8.19. */
#include "nvme_suite.h"

#define BAD_NS	 NVME_SC_INVALID_NS
#define FIELD	 NVME_SC_INVALID_FIELD
#define CONFLICT NVME_SC_RESERVATION_CONFLICT
#define KEY_A	 0xaaaaull
#define KEY_B	 0xbbbbull

/* ---- namespace management ---- */

static int ns_create(struct suite *s, uint64_t blocks, uint8_t flbas, uint32_t *nsid)
{
	struct nvme_id_ns *id = fake_guest_ptr(&s->a.g, s->a.page);
	struct nvd_sqe cmd = {.opc = NVD_NS_MGMT, .cdw10 = 0, .prp1 = s->a.page};
	struct nvd_cqe cqe = {0};
	int rc;

	memset(id, 0, 4096);
	id->nsze = id->ncap = htole64(blocks);
	id->flbas = flbas;
	id->nmic = 1;
	rc = nvd_admin(&s->a, &cmd, &cqe);
	*nsid = cqe.dw0;
	return rc;
}

static int ns_delete(struct suite *s, uint32_t nsid)
{
	struct nvd_sqe cmd = {.opc = NVD_NS_MGMT, .nsid = nsid, .cdw10 = 1};

	return nvd_admin(&s->a, &cmd, NULL);
}

static int ns_attach(struct suite *s, uint32_t nsid, bool attach, uint16_t n, uint16_t cntlid)
{
	uint16_t *list = fake_guest_ptr(&s->a.g, s->a.page);
	struct nvd_sqe cmd = {
	    .opc = NVD_NS_ATTACH, .nsid = nsid, .cdw10 = attach ? 0 : 1, .prp1 = s->a.page};

	memset(list, 0, 4096);
	list[0] = htole16(n);
	list[1] = htole16(cntlid);
	return nvd_admin(&s->a, &cmd, NULL);
}

static uint16_t own_id(struct nvd *d)
{
	struct nvme_id_ctrl id;

	IS(0, nvd_identify(d, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	return le16toh(id.cntlid);
}

static void namespace_is_made_used_and_deleted(void **state)
{
	struct suite *s = *state;
	uint16_t me = own_id(&s->a);
	uint32_t nsid = 0;

	IS(0, ns_create(s, 8192, 0, &nsid));
	assert_in_range(nsid, 4, 256);
	IS(BAD_NS, rw(s, NVD_READ, nsid, 0, 1, 0));
	IS(0, ns_attach(s, nsid, true, 1, me));
	fill(s, 0, 512, 8);
	IS(0, rw(s, NVD_WRITE, nsid, 8191, 1, 0));
	IS(0, rw(s, NVD_READ, nsid, 8191, 1, 4096));
	assert_true(holds(s, 4096, 512, 8));
	IS(NVD_CMD(NVME_SC_NS_ALREADY_ATTACHED), ns_attach(s, nsid, true, 1, me));
	IS(0, ns_attach(s, nsid, false, 1, me));
	IS(BAD_NS, rw(s, NVD_READ, nsid, 0, 1, 0));
	IS(NVD_CMD(NVME_SC_NS_NOT_ATTACHED), ns_attach(s, nsid, false, 1, me));
	IS(0, ns_delete(s, nsid));
	IN(ns_delete(s, nsid), BAD_NS, FIELD);
}

static void namespace_is_deleted_with_io_under_way(void **state)
{
	struct suite *s = *state;
	uint16_t me = own_id(&s->a);
	struct nvd_cqe cqe;
	uint32_t nsid = 0;

	for (unsigned round = 0; round < 5; round++) {
		IS(0, ns_create(s, 8192, 0, &nsid));
		IS(0, ns_attach(s, nsid, true, 1, me));
		for (unsigned i = 0; i < 100; i++) {
			struct nvd_sqe cmd = nvd_rw(NVD_WRITE, nsid, i, 8);

			nvd_data(&s->a, &cmd, s->buf, 4096);
			nvd_queue(&s->a.sq[1], &cmd);
		}
		assert_int_equal(nvd_ring(&s->a, &s->a.sq[1]), 0);
		IS(0, ns_delete(s, nsid));
		for (unsigned i = 0; i < 100; i++) {
			assert_int_equal(nvd_wait(&s->a, &s->a.cq[1], &cqe, NVD_WAIT_MS), 0);
			IN(NVD_SC(&cqe), 0, BAD_NS);
		}
	}
	works(s);
}

static void namespace_management_refuses(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {.opc = NVD_NS_MGMT, .cdw10 = 5, .prp1 = s->a.page};
	uint16_t me = own_id(&s->a);
	uint32_t nsid;

	IS(NVD_CMD(NVME_SC_NS_INSUFFICIENT_CAP), ns_create(s, 1ull << 40, 0, &nsid));
	IN(ns_create(s, 8192, 0xf, &nsid), NVD_CMD(NVME_SC_INVALID_FORMAT), FIELD);
	IS(FIELD, nvd_admin(&s->a, &cmd, NULL));
	IN(ns_delete(s, NO_NSID), BAD_NS, FIELD);
	IN(ns_delete(s, 0), BAD_NS, FIELD);
	IN(ns_attach(s, NO_NSID, true, 1, me), BAD_NS, FIELD);
	IS(NVD_CMD(NVME_SC_CTRL_LIST_INVALID), ns_attach(s, NULL_4K, false, 0, me));
	IS(NVD_CMD(NVME_SC_CTRL_LIST_INVALID), ns_attach(s, NULL_4K, false, 5000, me));
	IN(ns_attach(s, NULL_4K, false, 1, 0x1234), NVD_CMD(NVME_SC_CTRL_LIST_INVALID),
	    NVD_CMD(NVME_SC_INVALID_CTRL_ID));
	works(s);
}

static void the_host_hears_of_a_change(void **state)
{
	struct suite *s = *state;
	uint16_t me = own_id(&s->a);
	struct nvd_sqe aer = {.opc = NVD_ASYNC_EVENT};
	uint32_t changed[1024];
	struct nvd_cqe cqe;
	uint16_t cid;

	suite_open_b(s);
	IS(0, nvd_set_feature(&s->b, NVME_FEAT_FID_ASYNC_EVENT, 0, 1u << 8, NULL));
	IS(0, nvd_log(&s->b, NVME_LOG_LID_CHANGED_NS, 0, 4096, changed));
	cid = nvd_queue(&s->b.sq[0], &aer);
	assert_int_equal(nvd_ring(&s->b, &s->b.sq[0]), 0);
	/* a takes nsid 1 away from b. */
	IS(0, ns_attach(s, RAM, false, 1, own_id(&s->b)));
	if (s->b.n_stray == 0)
		assert_int_equal(nvd_wait(&s->b, &s->b.cq[0], &cqe, 2000), 0);
	else
		cqe = s->b.stray[0];
	IS(0, ns_attach(s, RAM, true, 1, own_id(&s->b)));
	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.dw0 & 7, NVME_AER_NOTICE);
	assert_int_equal(cqe.dw0 >> 8 & 0xff, NVME_AER_NOTICE_NS_CHANGED);
	IS(0, nvd_log(&s->b, NVME_LOG_LID_CHANGED_NS, 0, 4096, changed));
	assert_int_equal(le32toh(changed[0]), RAM);
	assert_true(me != own_id(&s->b));
}

/* ---- format ---- */

static int format(struct suite *s, uint32_t nsid, uint32_t lbaf, uint32_t ses)
{
	struct nvd_sqe cmd = {.opc = NVD_FORMAT, .nsid = nsid, .cdw10 = lbaf | ses << 9};

	return nvd_admin(&s->a, &cmd, NULL);
}

static void format_erases(void **state)
{
	struct suite *s = *state;

	for (uint32_t ses = 0; ses < 3; ses++) {
		fill(s, 0, 4096, 90);
		IS(0, rw(s, NVD_WRITE, RAM, 0, 8, 0));
		IS(0, format(s, RAM, 0, ses));
		IS(0, rw(s, NVD_READ, RAM, 0, 8, 8192));
		/* The test's own crypto erase has no key to change. */
		if (ses == 1)
			for (unsigned i = 0; i < 4096; i++)
				assert_int_equal(s->mem[8192 + i], 0);
		works(s);
	}
}

static void format_changes_the_block_size(void **state)
{
	struct suite *s = *state;
	struct nvme_id_ns id;
	uint32_t big = 99;

	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, RAM, 0, &id));
	for (uint32_t i = 0; i <= id.nlbaf; i++)
		if (id.lbaf[i].ds == 12 && id.lbaf[i].ms == 0)
			big = i;
	if (big == 99)
		skip();
	IS(0, format(s, RAM, big, 0));
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_NS, RAM, 0, &id));
	assert_int_equal(le64toh(id.nsze), RAM_BLOCKS / 8);
	IS(0, rw(s, NVD_READ, RAM, RAM_BLOCKS / 8 - 1, 8, 0) == NVME_SC_LBA_RANGE ? 0 : 1);
	IS(0, format(s, RAM, 0, 0));
	works(s);
}

static void format_refuses(void **state)
{
	struct suite *s = *state;

	IS(NVD_CMD(NVME_SC_INVALID_FORMAT), format(s, RAM, 15, 0));
	IN(format(s, RAM, 0, 7), FIELD, NVD_CMD(NVME_SC_INVALID_FORMAT));
	IN(format(s, NO_NSID, 0, 0), BAD_NS, FIELD);
	IN(format(s, 0, 0, 0), BAD_NS, FIELD);
	works(s);
}

/* ---- firmware ---- */

static int fw_download(struct suite *s, const void *image, uint32_t len, uint32_t off)
{
	struct nvd_sqe cmd = {
	    .opc = NVD_FW_DOWNLOAD, .cdw10 = len / 4 - 1, .cdw11 = off / 4, .prp1 = s->a.page};

	memcpy(fake_guest_ptr(&s->a.g, s->a.page), image, len);
	return nvd_admin(&s->a, &cmd, NULL);
}

static int fw_commit(struct suite *s, uint32_t slot, uint32_t action)
{
	struct nvd_sqe cmd = {.opc = NVD_FW_COMMIT, .cdw10 = action << 3 | slot};

	return nvd_admin(&s->a, &cmd, NULL);
}

static void firmware_is_downloaded_and_committed(void **state)
{
	static uint8_t good[4096] = "OBFW good", bad[4096] = "junk";
	struct suite *s = *state;

	IS(0, fw_download(s, good, sizeof(good), 0));
	IS(0, fw_download(s, good, sizeof(good), 4096));
	IN(fw_commit(s, 2, 1), 0, NVD_CMD(NVME_SC_FW_NEEDS_RESET),
	    NVD_CMD(NVME_SC_FW_NEEDS_SUBSYS_RESET), NVD_CMD(NVME_SC_FW_NEEDS_CONV_RESET),
	    NVD_CMD(NVME_SC_FIRMWARE_SLOT));
	IS(0, fw_download(s, bad, sizeof(bad), 0));
	IS(NVD_CMD(NVME_SC_FIRMWARE_IMAGE), fw_commit(s, 2, 3));
	works(s);
}

static void firmware_refuses(void **state)
{
	static uint8_t good[4096] = "OBFW good";
	struct suite *s = *state;
	struct nvme_id_ctrl id;

	IS(NVD_CMD(NVME_SC_FIRMWARE_IMAGE), fw_commit(s, 2, 0));
	IS(0, fw_download(s, good, sizeof(good), 0));
	IS(0, fw_download(s, good, sizeof(good), 8192)); /* a hole */
	IS(NVD_CMD(NVME_SC_FIRMWARE_IMAGE), fw_commit(s, 2, 0));
	IS(0, fw_download(s, good, sizeof(good), 0));
	IS(NVD_CMD(NVME_SC_FIRMWARE_SLOT), fw_commit(s, 7, 1));
	IS(0, nvd_identify(&s->a, NVME_IDENTIFY_CNS_CTRL, 0, 0, &id));
	if ((id.frmw & 1) != 0) /* slot 1 cannot be written */
		IS(NVD_CMD(NVME_SC_FIRMWARE_SLOT), fw_commit(s, 1, 1));
	IN(fw_download(s, good, 4096, 0xfffffff0), FIELD, NVD_CMD(NVME_SC_OVERLAPPING_RANGE));
	works(s);
}

/* ---- reservations ---- */

static int resv(struct nvd *d, uint8_t opc, uint32_t cdw10, uint64_t crkey, uint64_t other)
{
	struct nvd_sqe cmd = {.opc = opc, .nsid = RAM, .cdw10 = cdw10, .prp1 = d->page};
	uint64_t *p = fake_guest_ptr(&d->g, d->page);

	p[0] = htole64(crkey);
	p[1] = htole64(other);
	return nvd_exec(d, &d->sq[1], &cmd, NULL);
}

static int on(struct nvd *d, uint8_t opc)
{
	struct nvd_sqe cmd = nvd_rw(opc, RAM, 77, 1);

	nvd_data(d, &cmd, d->page, 512);
	return nvd_exec(d, &d->sq[1], &cmd, NULL);
}

static void host_ids(struct suite *s)
{
	uint8_t *p = fake_guest_ptr(&s->a.g, s->a.page);

	suite_open_b(s);
	memset(p, 0x0a, 16);
	IS(0, nvd_set_feature(&s->a, NVME_FEAT_FID_HOST_ID, 0, 1, NULL));
	p = fake_guest_ptr(&s->b.g, s->b.page);
	memset(p, 0x0b, 16);
	IS(0, nvd_set_feature(&s->b, NVME_FEAT_FID_HOST_ID, 0, 1, NULL));
}

static void reservation_keeps_others_out(void **state)
{
	struct suite *s = *state;

	host_ids(s);
	IS(CONFLICT, resv(&s->a, NVD_RESV_ACQUIRE, 1u << 8, KEY_A, 0)); /* not registered */
	IS(0, resv(&s->a, NVD_RESV_REGISTER, 0, 0, KEY_A));
	IS(0, resv(&s->b, NVD_RESV_REGISTER, 0, 0, KEY_B));
	IS(CONFLICT, resv(&s->a, NVD_RESV_ACQUIRE, 1u << 8, KEY_B, 0)); /* a's key it is not */
	IS(0, resv(&s->a, NVD_RESV_ACQUIRE, 1u << 8, KEY_A, 0));	/* write exclusive */
	IS(0, on(&s->a, NVD_WRITE));
	IS(CONFLICT, on(&s->b, NVD_WRITE));
	IS(0, on(&s->b, NVD_READ));
	IS(CONFLICT, resv(&s->b, NVD_RESV_ACQUIRE, 2u << 8, KEY_B, 0));
	IS(0, resv(&s->a, NVD_RESV_RELEASE, 1u << 8, KEY_A, 0));
	IS(0, on(&s->b, NVD_WRITE));
	/* Exclusive access: reads too. */
	IS(0, resv(&s->b, NVD_RESV_ACQUIRE, 2u << 8, KEY_B, 0));
	IS(CONFLICT, on(&s->a, NVD_READ));
	IS(CONFLICT, on(&s->a, NVD_WRITE));
	/* Preempt: b's registration goes. */
	IS(0, resv(&s->a, NVD_RESV_ACQUIRE, 2u << 8 | 1, KEY_A, KEY_B));
	IS(CONFLICT, on(&s->b, NVD_READ));
	IS(0, on(&s->a, NVD_WRITE));
	/* Clear. */
	IS(0, resv(&s->a, NVD_RESV_RELEASE, 1, KEY_A, 0));
	IS(0, on(&s->b, NVD_WRITE));
}

static void reservations_are_reported(void **state)
{
	struct suite *s = *state;
	struct nvd_sqe cmd = {
	    .opc = NVD_RESV_REPORT, .nsid = RAM, .cdw10 = 1023, .cdw11 = 1, .prp1 = 0};
	const uint8_t *p;

	host_ids(s);
	cmd.prp1 = s->a.page;
	p = fake_guest_ptr(&s->a.g, s->a.page);
	IS(0, resv(&s->a, NVD_RESV_REGISTER, 0, 0, KEY_A));
	IS(0, resv(&s->a, NVD_RESV_ACQUIRE, 3u << 8, KEY_A, 0));
	IS(0, nvd_exec(&s->a, &s->a.sq[1], &cmd, NULL));
	assert_int_equal(p[4], 3);	       /* RTYPE */
	assert_int_equal(p[5] | p[6] << 8, 1); /* REGCTL */
	assert_int_equal(p[64 + 2] & 1, 1);    /* holds it */
	/* The host identifier is of 128 bits: the short form is for those of 64. */
	cmd.cdw11 = 0;
	IS(NVME_SC_HOSTID_FORMAT, nvd_exec(&s->a, &s->a.sq[1], &cmd, NULL));
	IS(0, resv(&s->a, NVD_RESV_REGISTER, 1, KEY_A, 0)); /* unregister: releases */
	IS(0, on(&s->b, NVD_WRITE));
}

static void reservations_refuse_unknown_fields(void **state)
{
	struct suite *s = *state;

	host_ids(s);
	IS(FIELD, resv(&s->a, NVD_RESV_REGISTER, 7, 0, KEY_A));
	IS(0, resv(&s->a, NVD_RESV_REGISTER, 0, 0, KEY_A));
	IS(FIELD, resv(&s->a, NVD_RESV_ACQUIRE, 9u << 8, KEY_A, 0));
	IS(FIELD, resv(&s->a, NVD_RESV_ACQUIRE, 7, KEY_A, 0));
	IS(FIELD, resv(&s->a, NVD_RESV_RELEASE, 7, KEY_A, 0));
	IS(0, resv(&s->a, NVD_RESV_REGISTER, 1, KEY_A, 0));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, suite_queues, suite_close)
	const struct CMUnitTest tests[] = {
	    T(namespace_is_made_used_and_deleted),
	    T(namespace_is_deleted_with_io_under_way),
	    T(namespace_management_refuses),
	    T(the_host_hears_of_a_change),
	    T(format_erases),
	    T(format_changes_the_block_size),
	    T(format_refuses),
	    T(firmware_is_downloaded_and_committed),
	    T(firmware_refuses),
	    T(reservation_keeps_others_out),
	    T(reservations_are_reported),
	    T(reservations_refuse_unknown_fields),
	};

	return cmocka_run_group_tests(tests, suite_start, suite_stop);
}
