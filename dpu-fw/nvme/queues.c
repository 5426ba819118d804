/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O queues: create, delete, Doorbell Buffer Config (NVMe 2.0, 5.4 to 5.6, 5.8; Linux' name of the last is dbbuf). */
#include "nvme.h"

#include <errno.h>
#include <string.h>

static uint16_t n_max(const struct ob_nvme *c, uint16_t granted)
{
	return granted != 0 ? granted : c->conf.n_qpairs;
}

/* What both kinds are checked for. Returns 0 or the status. */
static uint16_t check(
    struct ob_nvme *c, const struct ob_nvme_sqe *e, const struct nvme_queue_state *q, uint16_t max)
{
	uint16_t qid = (uint16_t)e->cdw10;
	uint32_t size = (e->cdw10 >> 16) + 1u;

	if (qid == 0 || qid > max || q[qid - 1].size != 0)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_QID_INVALID));
	if (size < 2 || size > c->conf.queue_entries)
		return nvme_bad(c, 10, 16, NVME_CMD(NVME_SC_QUEUE_SIZE));
	if (!(e->cdw11 & 1)) /* CAP.CQR: physically contiguous only */
		return nvme_bad(c, 11, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (e->dptr[0] % nvme_page_bytes(c) != 0)
		return nvme_bad(c, 6, 0, NVME_GEN(NVME_SC_PRP_INVALID_OFFSET));
	return 0;
}

static uint16_t status_of(int rc)
{
	switch (-rc) {
	case 0:
		return 0;
	case EINVAL:
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	default:
		return NVME_SC_INTERNAL;
	}
}

uint16_t nvme_create_cq(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t qid = (uint16_t)e->cdw10, vector = (uint16_t)(e->cdw11 >> 16);
	bool ien = (e->cdw11 & 2) != 0;
	uint32_t size = (e->cdw10 >> 16) + 1u;
	uint16_t status = check(c, e, c->st->cq, n_max(c, c->st->n_cq_max));
	int rc;

	if (status != 0)
		return status;
	if (NVME_CC_IOCQES(c->st->cc) != NVME_CQE_SHIFT)
		return nvme_bad(c, 10, 16, NVME_CMD(NVME_SC_QUEUE_SIZE));
	/* With INTx there is vector 0 only. */
	if (vector >= nvme_n_vectors(c) || (ien && vector != 0 && !ob_vfu_msix_enabled(c->vfu)))
		return nvme_bad(c, 11, 16, NVME_CMD(NVME_SC_INVALID_VECTOR));
	nvme_doorbells_clear(c, qid, true);
	c->st->cq[qid - 1] = (struct nvme_queue_state){
	    .iova = e->dptr[0], .size = (uint16_t)size, .vector = vector, .ien = ien};
	if (ien)
		nvme_irq_use(c, vector);
	rc = ob_nvmeq_start_cq(c->q, qid, (ob_iova_t){e->dptr[0]}, size, vector, ien);
	if (rc != 0)
		memset(&c->st->cq[qid - 1], 0, sizeof(c->st->cq[0]));
	return status_of(rc);
}

uint16_t nvme_create_sq(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t qid = (uint16_t)e->cdw10, cqid = (uint16_t)(e->cdw11 >> 16);
	uint32_t size = (e->cdw10 >> 16) + 1u;
	uint16_t status = check(c, e, c->st->sq, n_max(c, c->st->n_sq_max));
	int rc;

	if (status != 0)
		return status;
	if (NVME_CC_IOSQES(c->st->cc) != NVME_SQE_SHIFT)
		return nvme_bad(c, 10, 16, NVME_CMD(NVME_SC_QUEUE_SIZE));
	if (cqid == 0 || cqid > n_max(c, c->st->n_cq_max))
		return nvme_bad(c, 11, 16, NVME_CMD(NVME_SC_QID_INVALID));
	if (c->st->cq[cqid - 1].size == 0)
		return nvme_bad(c, 11, 16, NVME_CMD(NVME_SC_CQ_INVALID));
	nvme_doorbells_clear(c, qid, false);
	rc = ob_nvmeq_start_sq(c->q, qid, cqid, (ob_iova_t){e->dptr[0]}, size);
	if (rc == 0)
		c->st->sq[qid - 1] = (struct nvme_queue_state){.iova = e->dptr[0],
		    .size = (uint16_t)size,
		    .cqid = cqid,
		    .vector = NVME_NO_VECTOR,
		    .prio = e->cdw11 >> 1 & 3};
	return status_of(rc);
}

uint16_t nvme_delete_sq(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t qid = (uint16_t)e->cdw10;

	if (qid == 0 || qid > c->conf.n_qpairs || c->st->sq[qid - 1].size == 0)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_QID_INVALID));
	(void)ob_nvmeq_stop_sq(c->q, qid);
	memset(&c->st->sq[qid - 1], 0, sizeof(c->st->sq[0]));
	return 0;
}

uint16_t nvme_delete_cq(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t qid = (uint16_t)e->cdw10;

	if (qid == 0 || qid > c->conf.n_qpairs || c->st->cq[qid - 1].size == 0)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_QID_INVALID));
	for (unsigned i = 0; i < c->conf.n_qpairs; i++)
		if (c->st->sq[i].size != 0 && c->st->sq[i].cqid == qid)
			return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_INVALID_QUEUE));
	(void)ob_nvmeq_stop_cq(c->q, qid);
	nvme_irq_answered(c, c->st->cq[qid - 1].vector);
	memset(&c->st->cq[qid - 1], 0, sizeof(c->st->cq[0]));
	return 0;
}

void nvme_queues_reset(struct ob_nvme *c)
{
	ob_nvmeq_stop_all(c->q);
	for (unsigned i = 0; i < c->conf.n_qpairs; i++) {
		nvme_doorbells_clear(c, i + 1, false);
		nvme_doorbells_clear(c, i + 1, true);
	}
	memset(c->st->sq, 0, sizeof(c->st->sq));
	memset(c->st->cq, 0, sizeof(c->st->cq));
	c->st->n_sq_max = c->st->n_cq_max = 0;
	c->st->dbbuf = c->st->dbbuf_ei = 0;
}

/* The admin queue's own pair of words stays unused: its doorbells come as register writes. */
uint16_t nvme_dbbuf(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint32_t page = nvme_page_bytes(c);
	int rc;

	if (e->dptr[0] == 0 || e->dptr[0] % page != 0)
		return nvme_bad(c, 6, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (e->dptr[1] == 0 || e->dptr[1] % page != 0)
		return nvme_bad(c, 8, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	rc = ob_nvmeq_shadow(c->q, (ob_iova_t){e->dptr[0]}, (ob_iova_t){e->dptr[1]});
	if (rc == 0) {
		c->st->dbbuf = e->dptr[0];
		c->st->dbbuf_ei = e->dptr[1];
	}
	return status_of(rc);
}
