/* SPDX-License-Identifier: BSD-3-Clause */
/* Submission and completion queue entries, which no system header has, and how a test writes them. The controller's own
 * structures (Identify, logs) are those of <nvme/types.h>. Spec: NVMe base 2.0, 3.3.3. */
#pragma once

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <nvme/types.h>

static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "entries are written in host order");

struct nvd_sqe {
	uint8_t opc;
	uint8_t flags; /* bits 0-1 fused, bits 6-7 PSDT */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t prp1, prp2; /* or one SGL descriptor */
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvd_sqe) == 64, "wire");

struct nvd_cqe {
	uint32_t dw0, dw1;
	uint16_t sqhd, sqid;
	uint16_t cid;
	uint16_t status; /* bit 0: phase */
};
static_assert(sizeof(struct nvd_cqe) == 16, "wire");

struct nvd_sgl {
	uint64_t addr;
	uint32_t len;
	uint8_t reserved[3];
	uint8_t type; /* descriptor type << 4 | subtype */
};
static_assert(sizeof(struct nvd_sgl) == 16, "wire");

enum nvd_sgl_type {
	NVD_SGL_DATA = 0x00,
	NVD_SGL_BIT_BUCKET = 0x10,
	NVD_SGL_SEGMENT = 0x20,
	NVD_SGL_LAST = 0x30,
};

#define NVD_PSDT_SGL	  0x40
#define NVD_PSDT_SGL_MPTR 0x80
#define NVD_FUSE_FIRST	  1
#define NVD_FUSE_SECOND	  2

/* Status code type << 8 | status code, as in <nvme/types.h>'s enum nvme_status_field with the type: NVD_CMD(NVME_SC_..). */
#define NVD_SC(cqe)   ((cqe)->status >> 1 & 0x7ff)
#define NVD_DNR(cqe)  ((cqe)->status >> 15)
#define NVD_CMD(sc)   (NVME_SCT_CMD_SPECIFIC << 8 | (sc))
#define NVD_MEDIA(sc) (NVME_SCT_MEDIA << 8 | (sc))

enum nvd_admin_opc {
	NVD_DELETE_SQ = 0x00,
	NVD_CREATE_SQ = 0x01,
	NVD_GET_LOG = 0x02,
	NVD_DELETE_CQ = 0x04,
	NVD_CREATE_CQ = 0x05,
	NVD_IDENTIFY = 0x06,
	NVD_ABORT = 0x08,
	NVD_SET_FEATURES = 0x09,
	NVD_GET_FEATURES = 0x0a,
	NVD_ASYNC_EVENT = 0x0c,
	NVD_NS_MGMT = 0x0d,
	NVD_FW_COMMIT = 0x10,
	NVD_FW_DOWNLOAD = 0x11,
	NVD_NS_ATTACH = 0x15,
	NVD_KEEP_ALIVE = 0x18,
	NVD_DBBUF = 0x7c,
	NVD_FORMAT = 0x80,
};

enum nvd_io_opc {
	NVD_FLUSH = 0x00,
	NVD_WRITE = 0x01,
	NVD_READ = 0x02,
	NVD_WRITE_UNCOR = 0x04,
	NVD_COMPARE = 0x05,
	NVD_WRITE_ZEROES = 0x08,
	NVD_DSM = 0x09,
	NVD_VERIFY = 0x0c,
	NVD_RESV_REGISTER = 0x0d,
	NVD_RESV_REPORT = 0x0e,
	NVD_RESV_ACQUIRE = 0x11,
	NVD_RESV_RELEASE = 0x15,
	NVD_COPY = 0x19,
};
