/* SPDX-License-Identifier: BSD-3-Clause */
/* NVMe submission and completion queues as a controller sees them: entries, positions, phase. Used by the I/O queues (workers) and by
 * the admin queue (main thread). Included by ob_nvmeq.h only. NVMe base 2.0, 3.3.3 and 4.1.
 *
 * Queues are physically contiguous (CAP.CQR = 1): each is one window of gmem. Entries are in host byte order here; fetch and post
 * convert. One owner a queue; nothing here locks.
 */
#pragma once

#include <assert.h>
#include <errno.h>

#include <nvme/types.h>

#include "ob_gmem.h"

#define OB_NVME_SQE_BYTES   64u
#define OB_NVME_CQE_BYTES   16u
#define OB_NVME_MAX_ENTRIES 4096u /* largest queue that can be offered (CAP.MQES + 1) */

/* Submission queue entry (4.1, figure 86). */
struct ob_nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* bits 1:0 FUSE, 7:6 PSDT */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t dptr[2]; /* PRP1 and PRP2, or one SGL descriptor */
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct ob_nvme_sqe) == OB_NVME_SQE_BYTES, "wire format");

#define OB_NVME_FUSE(sqe) ((sqe)->flags & 3u)
#define OB_NVME_PSDT(sqe) ((sqe)->flags >> 6)

/* A status as in completion dword 3 bits 31:17, which is how <nvme/types.h> has it: NVME_SC_* | NVME_SCT_* << NVME_SCT_SHIFT |
 * NVME_SC_MORE | NVME_SC_DNR. 0 is success. */
typedef uint16_t ob_nvme_status_t;

#define OB_NVME_SC(sct, sc) ((ob_nvme_status_t)((sct) << NVME_SCT_SHIFT | (sc)))
#define OB_NVME_ERR(sc)	    ((ob_nvme_status_t)((sc) | NVME_SC_DNR)) /* generic, retry is of no use */

struct ob_nvme_sq {
	int window;    /* -1: none */
	uint16_t size; /* entries */
	uint16_t head; /* next to fetch */
};

struct ob_nvme_cq {
	int window;
	uint16_t size;
	uint16_t head;	   /* the host has taken what is before */
	uint16_t tail;	   /* next to write */
	uint16_t pub;	   /* first that was written and is not visible yet; tail: none */
	uint8_t phase;	   /* of the entry at tail */
	uint64_t first_hi; /* of the entry at pub: its phase makes the burst visible */
	uint32_t n_total;  /* entries ever written */
};

/* Registers the window. 'entries': 2..OB_NVME_MAX_ENTRIES. Context: control. Returns 0; -EINVAL alignment to 4096, size, wrap;
 * -ENOSPC no window; -ENOMEM. Memory that is not mapped (yet) is legal. */
int ob_nvme_sq_init(struct ob_nvme_sq *sq, struct ob_gmem *gm, ob_iova_t at, uint32_t entries);
int ob_nvme_cq_init(struct ob_nvme_cq *cq, struct ob_gmem *gm, ob_iova_t at, uint32_t entries);
void ob_nvme_sq_fini(struct ob_nvme_sq *sq, struct ob_gmem *gm);
void ob_nvme_cq_fini(struct ob_nvme_cq *cq, struct ob_gmem *gm);

/* Entries between head and 'tail', which is a doorbell value that was checked to be below size. */
static inline unsigned ob_nvme_sq_avail(const struct ob_nvme_sq *sq, uint16_t tail)
{
	return tail >= sq->head ? (unsigned)(tail - sq->head)
				: (unsigned)(tail + sq->size - sq->head);
}

/* Entries of which the host has not moved its head past; a queue of n entries holds n - 1. */
static inline unsigned ob_nvme_cq_used(const struct ob_nvme_cq *cq)
{
	return cq->tail >= cq->head ? (unsigned)(cq->tail - cq->head)
				    : (unsigned)(cq->tail + cq->size - cq->head);
}

static inline unsigned ob_nvme_cq_room(const struct ob_nvme_cq *cq)
{
	return cq->size - 1u - ob_nvme_cq_used(cq);
}

/* Takes a new head doorbell value. Returns false, and changes nothing, if it is not below size or passes what was made visible: the
 * caller raises Invalid Doorbell Write Value (5.2, figure 146). */
static inline bool ob_nvme_cq_set_head(struct ob_nvme_cq *cq, uint32_t head)
{
	unsigned moved, used;

	if (head >= cq->size)
		return false;
	moved = head >= cq->head ? head - cq->head : head + cq->size - cq->head;
	used = cq->pub >= cq->head ? (unsigned)(cq->pub - cq->head)
				   : (unsigned)(cq->pub + cq->size - cq->head);
	if (moved > used)
		return false;
	cq->head = (uint16_t)head;
	return true;
}

/* Copies the entry at head out, once, and moves on. 'mem' is the window in the burst's map, not NULL; the doorbell that told of the
 * entry was read with acquire. Context: owner. */
static inline void ob_nvme_sq_take(struct ob_nvme_sq *sq, const void *mem, struct ob_nvme_sqe *out)
{
	ob_gmem_ld_bytes(
	    out, (const uint8_t *)mem + (size_t)sq->head * OB_NVME_SQE_BYTES, OB_NVME_SQE_BYTES);
#if __BYTE_ORDER == __BIG_ENDIAN
#error "entries are converted nowhere yet"
#endif
	if (++sq->head == sq->size)
		sq->head = 0;
}

/* Writes a completion behind the others of this burst; the host sees none of them before ob_nvme_cq_publish. There must be room. 'mem' as
 * above. 'sqhd': where the submission queue's head is now. Context: owner. */
static inline void ob_nvme_cq_put(struct ob_nvme_cq *cq, void *mem, uint32_t dw0, uint32_t dw1,
    uint16_t sqhd, uint16_t sqid, uint16_t cid, ob_nvme_status_t status)
{
	uint8_t *at = (uint8_t *)mem + (size_t)cq->tail * OB_NVME_CQE_BYTES;
	uint64_t hi = (uint64_t)sqhd | (uint64_t)sqid << 16 | (uint64_t)cid << 32 |
		      (uint64_t)(uint16_t)(status << 1 | cq->phase) << 48;

	ob_gmem_st_le64(at, (uint64_t)dw0 | (uint64_t)dw1 << 32);
	if (cq->tail == cq->pub)
		cq->first_hi = hi;
	else
		ob_gmem_st_le64(at + 8, hi);
	cq->n_total++;
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase ^= 1;
	}
}

/* Makes the burst visible: the first entry's phase comes last, with release; the host's acquire of it covers the others, which it reads
 * in order. Returns whether there was something. Context: owner. */
static inline bool ob_nvme_cq_publish(struct ob_nvme_cq *cq, void *mem)
{
	if (cq->tail == cq->pub)
		return false;
	ob_gmem_st_le64_rel((uint8_t *)mem + (size_t)cq->pub * OB_NVME_CQE_BYTES + 8, cq->first_hi);
	cq->pub = cq->tail;
	return true;
}

/* For a queue without hurry (admin): one completion, visible at once. Returns 0, -EAGAIN the queue is not mapped, -ENOSPC full. */
int ob_nvme_cq_post(struct ob_nvme_cq *cq, const struct ob_gmem_map *map, uint32_t dw0,
    uint32_t dw1, uint16_t sqhd, uint16_t sqid, uint16_t cid, ob_nvme_status_t status);
/* Up to 'max' entries before 'tail'. Returns their number, -EAGAIN not mapped, -EINVAL 'tail' is not below size. */
int ob_nvme_sq_fetch(struct ob_nvme_sq *sq, const struct ob_gmem_map *map, uint32_t tail,
    struct ob_nvme_sqe *out, unsigned max);
