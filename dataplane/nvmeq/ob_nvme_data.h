/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a command's data lies: PRP entries and lists, SGL segments. Included by ob_nvmeq.h only. NVMe base 2.0, 4.1.1 and 4.1.2.
 *
 * The walker turns a data pointer into ranges of guest addresses. Everything in a list is fetched once; the work is bounded by the
 * transfer's length (PRP) or by the numbers below (SGL), whatever the lists say. Addresses are checked when the ranges are accessed.
 */
#pragma once

#include "ob_nvme_ring.h"

#define OB_NVME_MAX_RANGES   520  /* as many vectors as an ob_blk_io takes */
#define OB_NVME_SGL_MAX_SEGS 64	  /* segments of one command, behind the one descriptor in it */
#define OB_NVME_SGL_MAX_DESC 1024 /* descriptors of one command */

struct ob_nvme_range {
	ob_iova_t iova;
	uint32_t len;
	uint32_t
	    bucket; /* 1: bytes that the host does not want (SGL bit bucket), iova means nothing */
};

struct ob_nvme_walk {
	unsigned page_shift; /* 12 + CC.MPS */
	bool sgl;	     /* SGLs are offered */
	bool to_host;	     /* direction; a bit bucket counts only toward the host (4.1.2.1) */
};

/* The 'len' bytes (1..OB_BLK_MAX_BYTES) that the command's PSDT and DPTR describe. Neighbours are merged. '*n': ranges written to 'out',
 * at most OB_NVME_MAX_RANGES. Context: any.
 * Returns 0 or the status to complete with: PRP Offset Invalid; Invalid Field (PSDT); SGL Descriptor Type Invalid; Invalid SGL Segment
 * Descriptor; Invalid Number of SGL Descriptors; Data SGL Length Invalid; Data Transfer Error (a list is not in readable memory). */
ob_nvme_status_t ob_nvme_walk(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, uint32_t len, struct ob_nvme_range *out, unsigned *n);

/* Payload of a command into 'buf' (host to controller), or from it. As ob_nvme_walk, and Data Transfer Error for addresses that may not be
 * read or written. 'len' 0: nothing to do. */
ob_nvme_status_t ob_nvme_data_in(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, void *buf, uint32_t len);
ob_nvme_status_t ob_nvme_data_out(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, const void *buf, uint32_t len);
