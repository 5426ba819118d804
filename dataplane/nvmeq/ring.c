/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues: registration, and the calls for a queue without hurry. */
#include "ob_nvmeq.h"

static int window(
    struct ob_gmem *gm, ob_iova_t at, uint32_t entries, uint32_t entry_bytes, unsigned prot)
{
	if (entries < 2 || entries > OB_NVME_MAX_ENTRIES || (at.v & 4095) != 0)
		return -EINVAL;
	return ob_gmem_window_add(gm, at, entries * entry_bytes, prot);
}

int ob_nvme_sq_init(struct ob_nvme_sq *sq, struct ob_gmem *gm, ob_iova_t at, uint32_t entries)
{
	int w = window(gm, at, entries, OB_NVME_SQE_BYTES, OB_GMEM_READ);

	*sq = (struct ob_nvme_sq){.window = w < 0 ? -1 : w, .size = (uint16_t)entries};
	return w < 0 ? w : 0;
}

int ob_nvme_cq_init(struct ob_nvme_cq *cq, struct ob_gmem *gm, ob_iova_t at, uint32_t entries)
{
	int w = window(gm, at, entries, OB_NVME_CQE_BYTES, OB_GMEM_WRITE);

	*cq = (struct ob_nvme_cq){.window = w < 0 ? -1 : w, .size = (uint16_t)entries, .phase = 1};
	return w < 0 ? w : 0;
}

void ob_nvme_sq_fini(struct ob_nvme_sq *sq, struct ob_gmem *gm)
{
	if (sq->window >= 0)
		ob_gmem_window_del(gm, sq->window);
	sq->window = -1;
}

void ob_nvme_cq_fini(struct ob_nvme_cq *cq, struct ob_gmem *gm)
{
	if (cq->window >= 0)
		ob_gmem_window_del(gm, cq->window);
	cq->window = -1;
}

int ob_nvme_cq_post(struct ob_nvme_cq *cq, const struct ob_gmem_map *map, uint32_t dw0,
    uint32_t dw1, uint16_t sqhd, uint16_t sqid, uint16_t cid, ob_nvme_status_t status)
{
	void *mem = ob_gmem_window(map, cq->window);

	if (mem == NULL)
		return -EAGAIN;
	if (ob_nvme_cq_room(cq) == 0)
		return -ENOSPC;
	ob_nvme_cq_put(cq, mem, dw0, dw1, sqhd, sqid, cid, status);
	ob_nvme_cq_publish(cq, mem);
	return 0;
}

int ob_nvme_sq_fetch(struct ob_nvme_sq *sq, const struct ob_gmem_map *map, uint32_t tail,
    struct ob_nvme_sqe *out, unsigned max)
{
	const void *mem = ob_gmem_window(map, sq->window);
	unsigned n;

	if (tail >= sq->size)
		return -EINVAL;
	if (mem == NULL)
		return -EAGAIN;
	n = ob_nvme_sq_avail(sq, (uint16_t)tail);
	n = n < max ? n : max;
	for (unsigned i = 0; i < n; i++)
		ob_nvme_sq_take(sq, mem, &out[i]);
	return (int)n;
}
