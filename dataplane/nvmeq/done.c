/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of a command: its status, its completion, and what it held. */
#include "nvmeq_int.h"

bool nvmeq_list_del(struct nvmeq_list *l, const struct nvmeq_req *r)
{
	struct nvmeq_req *prev = NULL;

	for (struct nvmeq_req *p = l->head; p != NULL; prev = p, p = p->next) {
		if (p != r)
			continue;
		if (prev == NULL)
			l->head = p->next;
		else
			prev->next = p->next;
		if (l->tail == p)
			l->tail = prev;
		return true;
	}
	return false;
}

ob_nvme_status_t nvmeq_blk_status(const struct nvmeq_req *r, int result)
{
	switch (result) {
	case 0:
		return 0;
	case -EINVAL: /* the volume shrank under the command */
		return OB_NVME_ERR(NVME_SC_LBA_RANGE);
	case -ENOSPC:
		return OB_NVME_ERR(NVME_SC_CAP_EXCEEDED);
	case -EROFS:
		return OB_NVME_ERR(NVME_SC_NS_WRITE_PROTECTED);
	case -EOPNOTSUPP:
		return OB_NVME_ERR(NVME_SC_INVALID_OPCODE);
	case -ENODEV:
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_NS_NOT_READY);
	case -EILSEQ:
		return OB_NVME_SC(NVME_SCT_MEDIA, NVME_SC_GUARD_CHECK);
	case -ECANCELED:
		if (r->flags & NVMEQ_ABORTED)
			return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_ABORT_REQ);
		if (r->nsw != NULL && r->nsw->gone)
			return OB_NVME_ERR(NVME_SC_INVALID_NS);
		if (r->nsw != NULL && r->nsw->preempted)
			return OB_NVME_ERR(NVME_SC_CMD_ABORTED_PREMEPT);
		if (r->nsw != NULL &&
		    (__atomic_load_n(&r->nsw->att->gate, __ATOMIC_RELAXED) & NVMEQ_GATE_FORMAT))
			return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_FORMAT_IN_PROGRESS);
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_ABORT_QUEUE);
	default:
		return OB_NVME_SC(NVME_SCT_MEDIA,
		    r->io.op == OB_BLK_READ ? NVME_SC_READ_ERROR : NVME_SC_WRITE_FAULT);
	}
}

bool nvmeq_held(struct nvmeq_req *r)
{
	struct nvmeq_worker *nw = nvmeq_worker_of(r);

	if (r->io.result != -ECANCELED || !nw->holding || r->sq->stopping ||
	    (r->flags & NVMEQ_ABORTED) || r->nsw->gone)
		return false;
	nvmeq_list_add(&nw->replay, r);
	return true;
}

void nvmeq_put_list(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct iovec *list = r->list;

	r->list = NULL;
	list[0].iov_base = nw->lists;
	nw->lists = list;
}

/* An entry of the Error Information log; its completion says More then. */
static ob_nvme_status_t log_error(struct nvmeq_req *r, ob_nvme_status_t status)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	struct ob_nvmeq_error e = {.sqid = r->sq->qid,
	    .cid = sqe->cid,
	    .status = status | NVME_SC_MORE,
	    .opcode = sqe->opcode,
	    .nsid = sqe->nsid,
	    .lba = (uint64_t)sqe->cdw11 << 32 | sqe->cdw10};

	return nvmeq_error(nvmeq_worker_of(r)->q, &e) ? e.status : status;
}

/* What does not happen to a command that goes well. */
static ob_nvme_status_t failed(struct nvmeq_req *r, ob_nvme_status_t status)
{
	bool conflict = (status & 0x7ff) == NVME_SC_RESERVATION_CONFLICT;

	nvmeq_count(&r->sq->cnt->n_errors, 1);
	if (r->nsw != NULL) {
		nvmeq_count(&r->nsw->n_errors, 1);
		nvmeq_count(&r->nsw->n_conflicts, conflict);
	}
	return log_error(r, status);
}

static void release(struct nvmeq_req *r)
{
	struct nvmeq_worker *nw = nvmeq_worker_of(r);

	if (r->list != NULL)
		nvmeq_put_list(nw, r);
	if (r->job != NULL)
		nvmeq_put_job(nw, r);
	/* Release: the next holder's commands come behind this one's. */
	if (r->flags & NVMEQ_FUSED_LOCK)
		__atomic_store_n(&r->nsw->att->ns->fused, 0, __ATOMIC_RELEASE);
}

static void post(struct nvmeq_req *r, ob_nvme_status_t status)
{
	struct nvmeq_sq *sq = r->sq;
	struct nvmeq_cq *cq = sq->cq;
	uint16_t cid = r->sqe->cid;

	if (likely(!(r->flags & NVMEQ_NO_CID)))
		sq->cids[cid / 64] &= ~(1ull << cid % 64);
	/* Order of stores: nvmeq_int.h. */
	__atomic_store_n(
	    &sq->journal[r->slot], (uint64_t)cq->ring.n_total << 32 | NVMEQ_DONE, __ATOMIC_RELAXED);
	sq->free[sq->n_free++] = r->slot;
	if (unlikely(cq->mute))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	ob_nvme_cq_put(&cq->ring, cq->mem, r->dw0, 0, sq->ring.head, sq->qid, cid, status);
	if (!cq->dirty) {
		cq->dirty = true;
		sq->nw->dirty[sq->nw->n_dirty++] = cq;
	}
}

void nvmeq_complete(struct nvmeq_req *r, ob_nvme_status_t status)
{
	struct nvmeq_cq *cq = r->sq->cq;

	if (unlikely(r->list != NULL || r->job != NULL || (r->flags & NVMEQ_FUSED_LOCK)))
		release(r);
	if (unlikely(status != 0))
		status = failed(r, status);
	if (unlikely(cq->mem == NULL && !cq->mute)) {
		r->status = status;
		r->nsw = NULL; /* may go */
		r->flags |= NVMEQ_STUCK;
		nvmeq_list_add(&cq->stuck, r);
		return;
	}
	post(r, status);
}

void nvmeq_stuck(struct nvmeq_cq *cq)
{
	struct nvmeq_req *r;

	while ((r = nvmeq_list_pop(&cq->stuck)) != NULL)
		post(r, r->status);
}
