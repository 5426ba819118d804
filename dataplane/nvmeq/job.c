/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of several I/Os: Dataset Management, Compare (fused with Write, too), Verify, Copy, Flush of all namespaces. One I/O of at most
 * NVMEQ_CHUNK bytes is under way for each, and a step is made once a round, so that a long one does not keep the worker from the
 * others. */
#include "nvmeq_int.h"

#include <string.h>

#define NLB(sqe)  (((sqe)->cdw12 & 0xffffu) + 1)
#define SLBA(sqe) ((uint64_t)(sqe)->cdw11 << 32 | (sqe)->cdw10)

#define ISSUED \
	(-1) /* of a step: it goes on when the I/O has ended; else the status to complete with */

#define TOO_LONG OB_NVME_SC(NVME_SCT_CMD_SPECIFIC, NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | NVME_SC_DNR)

static struct nvmeq_job *get_job(struct nvmeq_worker *nw)
{
	struct nvmeq_job *job = nw->jobs;

	if (job != NULL) {
		nw->jobs = job->next;
	} else {
		if (nw->n_jobs == NVMEQ_MAX_JOBS)
			return NULL;
		job = aligned_alloc(4096, RTE_ALIGN_CEIL(sizeof(*job), 4096));
		if (job == NULL)
			return NULL;
		nw->n_jobs++;
	}
	memset(job, 0, offsetof(struct nvmeq_job, lba));
	return job;
}

void nvmeq_put_job(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	r->job->next = nw->jobs;
	nw->jobs = r->job;
	r->job = NULL;
}

/* ---- I/Os ---- */

static void job_done(struct ob_blk_io *io)
{
	struct nvmeq_req *r = (struct nvmeq_req *)io;

	if (!nvmeq_held(r))
		nvmeq_list_add(&nvmeq_worker_of(r)->ready, r);
}

static int issue(struct nvmeq_worker *nw, struct nvmeq_req *r, enum ob_blk_op op, uint64_t off,
    uint64_t len, void *buf)
{
	r->io.op = (uint8_t)op;
	r->io.flags = 0;
	r->io.off = off;
	r->io.len = len;
	r->iov[0] = (struct iovec){.iov_base = buf, .iov_len = len};
	r->io.iov = r->iov;
	r->io.n_iov = buf != NULL;
	r->io.done = job_done;
	r->flags &= (uint8_t)~NVMEQ_DIRECT;
	nvmeq_issue(nw, r);
	return ISSUED;
}

static uint32_t chunk(const struct nvmeq_job *job)
{
	return job->left < NVMEQ_CHUNK ? (uint32_t)job->left : NVMEQ_CHUNK;
}

static int read_chunk(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;

	return issue(nw, r, OB_BLK_READ, job->at, chunk(job), job->buf[0]);
}

/* Data of the command, of a size that the command gives. */
static ob_nvme_status_t payload(
    struct nvmeq_worker *nw, const struct nvmeq_req *r, void *buf, uint32_t len)
{
	const struct ob_nvme_walk walk = {.page_shift = nw->q->page_shift, .sgl = nw->q->conf.sgl};

	return ob_nvme_data_in(nw->map, &walk, r->sqe, buf, len);
}

/* ---- Dataset Management (NVM 3.2.3) ---- */

static int dsm_next(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	uint64_t off = 0, len = 0;

	while (job->range < job->n_ranges && job->lba[job->range].nlb == 0)
		job->range++;
	if (job->range == job->n_ranges)
		return 0;
	if (nvmeq_lba_range(
		r->nsw->att, job->lba[job->range].slba, job->lba[job->range].nlb, &off, &len) != 0)
		return OB_NVME_ERR(NVME_SC_LBA_RANGE);
	job->range++;
	return issue(nw, r, OB_BLK_DISCARD, off, len, NULL);
}

static int dsm_start(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	unsigned n = (r->sqe->cdw10 & 255) + 1;
	struct nvme_dsm_range range[256];
	ob_nvme_status_t st = payload(nw, r, range, (uint32_t)(n * sizeof(range[0])));

	if (st != 0)
		return st;
	/* A range that is out of the namespace refuses all of them. */
	for (unsigned i = 0; i < n; i++) {
		uint64_t off, len;

		job->lba[i].slba = le64toh(range[i].slba);
		job->lba[i].nlb = le32toh(range[i].nlb);
		st = nvmeq_lba_range(r->nsw->att, job->lba[i].slba, job->lba[i].nlb, &off, &len);
		if (st != 0 && job->lba[i].nlb != 0)
			return st;
	}
	/* The other attributes are hints that mean nothing here, and so is this one to a volume that cannot. */
	if (!(r->sqe->cdw11 & 4) || r->nsw->att->ns->blk_info.discard_bytes == 0)
		return 0;
	job->n_ranges = n;
	return dsm_next(nw, r);
}

/* ---- Verify (NVM 3.2.6), Compare (NVM 3.2.1) ---- */

static int read_start(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	ob_nvme_status_t st;

	st = nvmeq_lba_range(r->nsw->att, SLBA(r->sqe), NLB(r->sqe), &job->at, &job->left);
	return st != 0 ? st : read_chunk(nw, r);
}

static int verify_step(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	r->job->at += r->io.len;
	r->job->left -= r->io.len;
	return r->job->left == 0 ? 0 : read_chunk(nw, r);
}

static int compare_start(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	const struct ob_nvme_walk walk = {.page_shift = nw->q->page_shift, .sgl = nw->q->conf.sgl};
	struct nvmeq_job *job = r->job;
	ob_nvme_status_t st;

	st = nvmeq_lba_range(r->nsw->att, SLBA(r->sqe), NLB(r->sqe), &job->at, &job->left);
	if (st == 0 && job->left > nw->q->conf.mdts_bytes)
		st = OB_NVME_ERR(NVME_SC_INVALID_FIELD);
	if (st == 0)
		st = ob_nvme_walk(
		    nw->map, &walk, r->sqe, (uint32_t)job->left, job->data_range, &job->n_data);
	return st != 0 ? st : read_chunk(nw, r);
}

/* The next 'len' bytes of the host's data into the second buffer. */
static bool fetch_data(struct nvmeq_worker *nw, struct nvmeq_job *job, uint32_t len)
{
	uint32_t at = 0;

	while (at < len && job->data < job->n_data) {
		const struct ob_nvme_range *range = &job->data_range[job->data];
		uint32_t n = RTE_MIN(len - at, range->len - job->data_at);

		if (ob_gmem_fetch(nw->map, job->buf[1] + at,
			(ob_iova_t){range->iova.v + job->data_at}, n) != 0)
			return false;
		at += n;
		job->data_at += n;
		if (job->data_at == range->len) {
			job->data++;
			job->data_at = 0;
		}
	}
	return at == len;
}

static int compare_step(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	uint32_t len = (uint32_t)r->io.len;

	if (!fetch_data(nw, job, len))
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_DATA_XFER_ERROR);
	if (memcmp(job->buf[0], job->buf[1], len) != 0)
		return OB_NVME_SC(NVME_SCT_MEDIA, NVME_SC_COMPARE_FAILED | NVME_SC_DNR);
	job->at += len;
	job->left -= len;
	return job->left == 0 ? 0 : read_chunk(nw, r);
}

/* ---- Copy (NVM 3.2.2), source format 0 ---- */

static void copy_range(struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	uint64_t off = 0, len = 0;

	/* It was checked; after a resize the device refuses it. */
	if (nvmeq_lba_range(
		r->nsw->att, job->lba[job->range].slba, job->lba[job->range].nlb, &off, &len) == 0)
		job->at = off;
	job->left = len;
	r->dw0 = job->range;
}

static int copy_start(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	struct nvme_copy_range range[256];
	struct nvmeq_job *job = r->job;
	uint64_t total = 0, off, len;
	ob_nvme_status_t st;

	job->n_ranges = (sqe->cdw12 & 255) + 1;
	if ((sqe->cdw12 >> 8 & 15) != 0 || (sqe->cdw12 >> 20 & 15) != 0)
		return OB_NVME_ERR(NVME_SC_INVALID_FIELD);
	if (job->n_ranges > NVMEQ_COPY_RANGES)
		return TOO_LONG;
	st = payload(nw, r, range, (uint32_t)(job->n_ranges * sizeof(range[0])));
	for (unsigned i = 0; st == 0 && i < job->n_ranges; i++) {
		job->lba[i].slba = le64toh(range[i].slba);
		job->lba[i].nlb = le16toh(range[i].nlb) + 1u;
		total += job->lba[i].nlb;
		r->dw0 = i;
		if (job->lba[i].nlb > NVMEQ_COPY_RANGE_LBAS || total > NVMEQ_COPY_LBAS)
			return TOO_LONG;
		st = nvmeq_lba_range(r->nsw->att, job->lba[i].slba, job->lba[i].nlb, &off, &len);
	}
	if (st != 0)
		return st;
	r->dw0 = 0;
	st = nvmeq_lba_range(r->nsw->att, SLBA(sqe), total, &job->to, &len);
	if (st != 0)
		return st;
	copy_range(r);
	return read_chunk(nw, r);
}

static int copy_step(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;
	uint64_t len = r->io.len;
	int rc;

	job->writing = !job->writing;
	if (job->writing) {
		rc = issue(nw, r, OB_BLK_WRITE, job->to, len, job->buf[0]);
		r->io.flags = nvmeq_fua(nw, r->sqe);
		return rc;
	}
	job->to += len;
	job->at += len;
	job->left -= len;
	if (job->left == 0) {
		if (++job->range == job->n_ranges) {
			r->dw0 = 0;
			return 0;
		}
		copy_range(r);
	}
	return read_chunk(nw, r);
}

/* ---- Flush of all namespaces (base 7.1) ---- */

static int flush_next(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	struct nvmeq_job *job = r->job;

	while (job->nsid < OB_NVMEQ_MAX_NS) {
		struct nvmeq_nsw *nsw = nw->ns[job->nsid++];
		ob_nvme_status_t st;

		if (nsw == NULL)
			continue;
		st = nvmeq_gate_status(
		    __atomic_load_n(&nsw->att->gate, __ATOMIC_RELAXED), NVMEQ_IS_WRITE);
		if (st != 0)
			return st;
		r->nsw = nsw;
		return issue(nw, r, OB_BLK_FLUSH, 0, 0, NULL);
	}
	return 0;
}

/* ---- Compare and Write (NVM 2.1.4.1) ---- */

/* Fused operations of one namespace exclude each other, on whatever worker they are. */
static bool lock(struct nvmeq_req *r)
{
	/* Acquire: pairs with the release of the holder before. */
	if (__atomic_exchange_n(&r->nsw->att->ns->fused, 1, __ATOMIC_ACQUIRE) != 0)
		return false;
	r->flags |= NVMEQ_FUSED_LOCK;
	return true;
}

static bool same_range(const struct ob_nvme_sqe *a, const struct ob_nvme_sqe *b)
{
	return a->nsid == b->nsid && a->cdw10 == b->cdw10 && a->cdw11 == b->cdw11 &&
	       NLB(a) == NLB(b);
}

/* The first command ended; the second goes on, or fails with it. */
static void fused(struct nvmeq_worker *nw, struct nvmeq_req *r, ob_nvme_status_t status)
{
	struct nvmeq_req *second = r->pair;

	r->pair = NULL;
	if (status == 0) {
		second->nsw = r->nsw;
		second->flags |= r->flags & NVMEQ_FUSED_LOCK;
		r->flags &= (uint8_t)~NVMEQ_FUSED_LOCK;
	}
	nvmeq_complete(r, status);
	if (status != 0)
		nvmeq_complete(second, OB_NVME_ERR(NVME_SC_FUSED_FAIL));
	else if (!nvmeq_start_rw(nw, second))
		nvmeq_list_add(&nw->wait, second);
}

static void finish(struct nvmeq_worker *nw, struct nvmeq_req *r, int status)
{
	if (status == ISSUED)
		return;
	if (r->pair != NULL)
		fused(nw, r, (ob_nvme_status_t)status);
	else
		nvmeq_complete(r, (ob_nvme_status_t)status);
}

/* ---- all ---- */

static int first_step(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	switch (r->sqe->opcode) {
	case nvme_cmd_dsm:
		return dsm_start(nw, r);
	case nvme_cmd_verify:
		return read_start(nw, r);
	case nvme_cmd_compare:
		return compare_start(nw, r);
	case nvme_cmd_copy:
		return copy_start(nw, r);
	default:
		return flush_next(nw, r);
	}
}

/* The I/O before went well. */
static int next_step(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	switch (r->sqe->opcode) {
	case nvme_cmd_dsm:
		return dsm_next(nw, r);
	case nvme_cmd_verify:
		return verify_step(nw, r);
	case nvme_cmd_compare:
		return compare_step(nw, r);
	case nvme_cmd_copy:
		return copy_step(nw, r);
	default:
		return flush_next(nw, r);
	}
}

bool nvmeq_start_job(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	int st = 0;

	if (r->pair != NULL &&
	    (r->sqe->opcode != nvme_cmd_compare || r->pair->sqe->opcode != nvme_cmd_write ||
		!same_range(r->sqe, r->pair->sqe))) {
		struct nvmeq_req *second = r->pair;

		r->pair = NULL;
		nvmeq_complete(r, OB_NVME_ERR(NVME_SC_INVALID_FIELD));
		nvmeq_complete(second, OB_NVME_ERR(NVME_SC_INVALID_FIELD));
		return true;
	}
	r->job = get_job(nw);
	if (r->job == NULL)
		return false;
	if (r->pair != NULL && !lock(r)) {
		nvmeq_put_job(nw, r);
		return false;
	}
	st = first_step(nw, r);
	finish(nw, r, st);
	return true;
}

unsigned nvmeq_advance(struct nvmeq_worker *nw)
{
	struct nvmeq_list l = nw->ready;
	struct nvmeq_req *r;
	unsigned n = 0;

	nw->ready.head = NULL;
	for (; (r = nvmeq_list_pop(&l)) != NULL; n++) {
		int st = nvmeq_blk_status(r, r->io.result);

		if (st == 0 && (r->sq->stopping || (r->flags & NVMEQ_ABORTED) || r->nsw->gone))
			st = nvmeq_blk_status(r, -ECANCELED);
		if (st == 0)
			st = nvmeq_still_may(r);
		finish(nw, r, st != 0 ? st : next_step(nw, r));
	}
	return n;
}
