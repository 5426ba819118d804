/* SPDX-License-Identifier: BSD-3-Clause */
/* From a command to an I/O: what may be done, where the data lies; Read, Write, Flush. */
#include "nvmeq_int.h"

#define NLB(sqe)   (((sqe)->cdw12 & 0xffffu) + 1)
#define SLBA(sqe)  ((uint64_t)(sqe)->cdw11 << 32 | (sqe)->cdw10)
#define DEAC	   (1u << 25)
#define DTYPE(sqe) ((sqe)->cdw12 >> 20 & 15)

/* ---- may it ---- */

ob_nvme_status_t nvmeq_gate_status(uint32_t gate, unsigned class)
{
	if (gate & NVMEQ_GATE_FORMAT)
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_FORMAT_IN_PROGRESS);
	switch (gate >> NVMEQ_GATE_ANA_SHIFT) {
	case OB_NVME_ANA_INACCESSIBLE:
		return OB_NVME_SC(NVME_SCT_PATH, NVME_SC_ANA_INACCESSIBLE);
	case OB_NVME_ANA_PERSISTENT_LOSS:
		return OB_NVME_SC(NVME_SCT_PATH, NVME_SC_ANA_PERSISTENT_LOSS);
	case OB_NVME_ANA_CHANGE:
		return OB_NVME_SC(NVME_SCT_PATH, NVME_SC_ANA_TRANSITION);
	default:
		break;
	}
	if (((gate & NVMEQ_GATE_READ) && (class & NVMEQ_IS_READ)) ||
	    ((gate & NVMEQ_GATE_WRITE) && (class & NVMEQ_IS_WRITE)))
		return OB_NVME_ERR(NVME_SC_RESERVATION_CONFLICT);
	if ((gate & NVMEQ_GATE_WP) && (class & NVMEQ_MODIFIES))
		return OB_NVME_ERR(NVME_SC_NS_WRITE_PROTECTED);
	return 0;
}

ob_nvme_status_t nvmeq_lba_range(
    const struct nvmeq_att *att, uint64_t slba, uint64_t nlb, uint64_t *off, uint64_t *len)
{
	uint64_t n_lbas = __atomic_load_n(&att->n_lbas, __ATOMIC_RELAXED);
	uint32_t shift = __atomic_load_n(&att->shift, __ATOMIC_RELAXED);

	if (unlikely(slba >= n_lbas || nlb > n_lbas - slba))
		return OB_NVME_ERR(NVME_SC_LBA_RANGE);
	*off = slba << shift;
	*len = nlb << shift;
	return 0;
}

/* ---- where the data lies ---- */

static struct iovec *get_list(struct nvmeq_worker *nw)
{
	struct iovec *list = nw->lists;

	if (list != NULL) {
		nw->lists = list[0].iov_base;
		return list;
	}
	if (nw->n_lists == NVMEQ_MAX_LISTS)
		return NULL;
	list = malloc(OB_BLK_MAX_IOV * sizeof(*list));
	nw->n_lists += list != NULL;
	return list;
}

/* The ranges as vectors of our address space. Returns their number, -errno of gmem, -ENOSPC. */
static int translate(struct nvmeq_worker *nw, const struct ob_nvme_range *range, unsigned n_ranges,
    unsigned prot, struct iovec *iov, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_ranges; i++) {
		uint32_t left = range[i].len;
		int rc;

		for (; range[i].bucket && left > 0; n++) {
			uint32_t len = RTE_MIN(left, NVMEQ_TRASH);

			if (n == max)
				return -ENOSPC;
			iov[n] = (struct iovec){.iov_base = nw->trash, .iov_len = len};
			left -= len;
		}
		if (range[i].bucket)
			continue;
		rc = ob_gmem_iov(nw->map, range[i].iova, left, prot, iov + n, max - n);
		if (rc < 0)
			return rc;
		n += (unsigned)rc;
	}
	return (int)n;
}

/* Anything but a PRP in one piece. Returns 0, a status, or -1: no list now. */
static int map_slow(struct nvmeq_worker *nw, struct nvmeq_req *r, unsigned prot)
{
	struct ob_nvme_walk walk = {.page_shift = nw->q->page_shift,
	    .sgl = nw->q->conf.sgl,
	    .to_host = prot == OB_GMEM_WRITE};
	ob_nvme_status_t st;
	unsigned n;
	int rc = -ENOSPC;

	st = ob_nvme_walk(nw->map, &walk, r->sqe, (uint32_t)r->io.len, nw->ranges, &n);
	if (st != 0)
		return st;
	if (n <= NVMEQ_INLINE && r->list == NULL) {
		rc = translate(nw, nw->ranges, n, prot, r->iov, NVMEQ_INLINE);
		r->io.iov = r->iov;
	}
	if (rc == -ENOSPC) {
		if (r->list == NULL)
			r->list = get_list(nw);
		if (r->list == NULL)
			return -1;
		rc = translate(nw, nw->ranges, n, prot, r->list, OB_BLK_MAX_IOV);
		r->io.iov = r->list;
	}
	if (rc == -ENOSPC)
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_COUNT);
	if (rc < 0)
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_DATA_XFER_ERROR);
	r->io.n_iov = (uint16_t)rc;
	return 0;
}

/* Vectors for io.len bytes of the command's data. */
static inline int map_data(struct nvmeq_worker *nw, struct nvmeq_req *r, unsigned prot)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	uint64_t page = 1ull << nw->q->page_shift, at = sqe->dptr[0];

	if (likely(OB_NVME_PSDT(sqe) == 0 && (at & 3) == 0 &&
		   (at & (page - 1)) + r->io.len <= page &&
		   ob_gmem_iov_hit(nw->map, (ob_iova_t){at}, r->io.len, prot, r->iov))) {
		r->io.iov = r->iov;
		r->io.n_iov = 1;
		return 0;
	}
	return map_slow(nw, r, prot);
}

/* ---- Read, Write ---- */

static void rw_done(struct ob_blk_io *io)
{
	struct nvmeq_req *r = (struct nvmeq_req *)io;
	struct ob_nvmeq_counters *cnt = r->sq->cnt;

	if (unlikely(io->result != 0)) {
		if (!nvmeq_held(r))
			nvmeq_complete(r, nvmeq_blk_status(r, io->result));
		return;
	}
	if (io->op == OB_BLK_READ) {
		nvmeq_count(&cnt->n_reads, 1);
		nvmeq_count(&cnt->n_read_bytes, io->len);
	} else {
		nvmeq_count(&cnt->n_writes, 1);
		nvmeq_count(&cnt->n_write_bytes, io->len);
	}
	nvmeq_complete(r, 0);
}

bool nvmeq_start_rw(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	bool write = sqe->opcode == nvme_cmd_write;
	uint64_t len;
	int st;

	st = nvmeq_lba_range(r->nsw->att, SLBA(sqe), NLB(sqe), &r->io.off, &len);
	if (likely(st == 0) && unlikely(len > nw->q->conf.mdts_bytes || (write && DTYPE(sqe) != 0)))
		st = OB_NVME_ERR(NVME_SC_INVALID_FIELD);
	if (likely(st == 0)) {
		r->io.op = write ? OB_BLK_WRITE : OB_BLK_READ;
		r->io.flags = write ? nvmeq_fua(nw, sqe) : 0;
		r->io.len = len;
		r->io.done = rw_done;
		r->flags |= NVMEQ_DIRECT;
		st = map_data(nw, r, write ? OB_GMEM_READ : OB_GMEM_WRITE);
	}
	if (unlikely(st != 0)) {
		if (st < 0)
			return false;
		nvmeq_complete(r, (ob_nvme_status_t)st);
		return true;
	}
	nvmeq_issue(nw, r);
	return true;
}

/* ---- Flush, Write Zeroes: no data ---- */

static void plain_done(struct ob_blk_io *io)
{
	struct nvmeq_req *r = (struct nvmeq_req *)io;

	if (!nvmeq_held(r))
		nvmeq_complete(r, nvmeq_blk_status(r, io->result));
}

static bool start_flush(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	r->io.op = OB_BLK_FLUSH;
	r->io.flags = 0;
	r->io.off = r->io.len = 0;
	r->io.n_iov = 0;
	r->io.done = plain_done;
	nvmeq_issue(nw, r);
	return true;
}

static bool start_write_zeroes(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	ob_nvme_status_t st;

	st = nvmeq_lba_range(r->nsw->att, SLBA(sqe), NLB(sqe), &r->io.off, &r->io.len);
	if (st != 0) {
		nvmeq_complete(r, st);
		return true;
	}
	r->io.op = OB_BLK_WRITE_ZEROES;
	r->io.flags = (uint8_t)(nvmeq_fua(nw, sqe) | (sqe->cdw12 & DEAC ? OB_BLK_MAY_UNMAP : 0));
	r->io.n_iov = 0;
	r->io.done = plain_done;
	nvmeq_issue(nw, r);
	return true;
}

/* ---- any command ---- */

static unsigned class_of(const struct ob_nvme_sqe *sqe)
{
	switch (sqe->opcode) {
	case nvme_cmd_read:
	case nvme_cmd_compare:
	case nvme_cmd_verify:
		return NVMEQ_IS_READ;
	case nvme_cmd_write:
	case nvme_cmd_write_zeroes:
		return NVMEQ_IS_WRITE | NVMEQ_MODIFIES;
	case nvme_cmd_copy:
		return NVMEQ_IS_READ | NVMEQ_IS_WRITE | NVMEQ_MODIFIES;
	case nvme_cmd_dsm:
		return NVMEQ_IS_WRITE | (sqe->cdw11 & 4 ? NVMEQ_MODIFIES : 0);
	case nvme_cmd_flush:
		return NVMEQ_IS_WRITE;
	default: /* reservations, which have rules of their own */
		return 0;
	}
}

static bool known(uint8_t opcode)
{
	switch (opcode) {
	case nvme_cmd_flush:
	case nvme_cmd_write:
	case nvme_cmd_read:
	case nvme_cmd_compare:
	case nvme_cmd_write_zeroes:
	case nvme_cmd_dsm:
	case nvme_cmd_verify:
	case nvme_cmd_resv_register:
	case nvme_cmd_resv_report:
	case nvme_cmd_resv_acquire:
	case nvme_cmd_resv_release:
	case nvme_cmd_copy:
		return true;
	default:
		return false;
	}
}

/* What is rare. 'r->nsw' is set. */
static bool start_other(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	switch (r->sqe->opcode) {
	case nvme_cmd_flush:
		return start_flush(nw, r);
	case nvme_cmd_write_zeroes:
		return start_write_zeroes(nw, r);
	case nvme_cmd_resv_register:
	case nvme_cmd_resv_report:
	case nvme_cmd_resv_acquire:
	case nvme_cmd_resv_release:
		nvmeq_to_control(r);
		return true;
	default:
		return nvmeq_start_job(nw, r);
	}
}

/* Both commands of a fused pair end here when the first cannot start. */
static void refuse(struct nvmeq_req *r, ob_nvme_status_t status)
{
	struct nvmeq_req *second = r->pair;

	r->pair = NULL;
	nvmeq_complete(r, status);
	if (second != NULL)
		nvmeq_complete(second, OB_NVME_ERR(NVME_SC_FUSED_FAIL));
}

ob_nvme_status_t nvmeq_still_may(const struct nvmeq_req *r)
{
	uint32_t gate = __atomic_load_n(&r->nsw->att->gate, __ATOMIC_RELAXED);

	return nvmeq_gate_status(
	    gate, class_of(r->sqe) | (r->pair != NULL ? class_of(r->pair->sqe) : 0));
}

bool nvmeq_start(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	const struct ob_nvme_sqe *sqe = r->sqe;
	uint32_t idx = sqe->nsid - 1, gate;
	bool rw = sqe->opcode == nvme_cmd_read || sqe->opcode == nvme_cmd_write;
	struct nvmeq_nsw *nsw = idx < OB_NVMEQ_MAX_NS ? nw->ns[idx] : NULL;

	if (unlikely(!rw && !known(sqe->opcode))) {
		refuse(r, OB_NVME_ERR(NVME_SC_INVALID_OPCODE));
		return true;
	}
	if (unlikely(nsw == NULL)) {
		if (sqe->opcode == nvme_cmd_flush && sqe->nsid == OB_NVME_BROADCAST &&
		    r->pair == NULL)
			return nvmeq_start_job(nw, r);
		refuse(r, OB_NVME_ERR(NVME_SC_INVALID_NS));
		return true;
	}
	if (likely(r->nsw == NULL))
		nvmeq_count(&nsw->n_cmds, 1);
	r->nsw = nsw;
	gate = __atomic_load_n(&nsw->att->gate, __ATOMIC_RELAXED);
	if (unlikely(gate != 0)) {
		unsigned class = class_of(sqe) | (r->pair != NULL ? class_of(r->pair->sqe) : 0);
		ob_nvme_status_t st = nvmeq_gate_status(gate, class);

		if (st != 0) {
			refuse(r, st);
			return true;
		}
	}
	if (unlikely(r->pair != NULL))
		return nvmeq_start_job(nw, r);
	return likely(rw) ? nvmeq_start_rw(nw, r) : start_other(nw, r);
}

void nvmeq_replay(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	int st = nvmeq_still_may(r);

	if (st != 0) {
		refuse(r, (ob_nvme_status_t)st);
		return;
	}
	if (r->flags & NVMEQ_DIRECT)
		st = map_data(nw, r, r->io.op == OB_BLK_WRITE ? OB_GMEM_READ : OB_GMEM_WRITE);
	if (st == 0) {
		nvmeq_issue(nw, r);
		return;
	}
	/* -1: it fitted into the request before, and the lists have run out. */
	nvmeq_complete(r,
	    st > 0 ? (ob_nvme_status_t)st : OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_DATA_XFER_ERROR));
}
