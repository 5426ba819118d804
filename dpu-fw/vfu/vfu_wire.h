/* SPDX-License-Identifier: BSD-3-Clause */
/* Layouts of vfio-user messages that no system header has. Region, IRQ and sparse-mmap structures are those of
 * <linux/vfio.h>. Everything on the wire is little-endian. Spec: vfio-user, "Header" and "Commands". */
#pragma once

#include <assert.h>
#include <stdint.h>
#include <linux/vfio.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are read in host order");

enum vfu_cmd_id {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_GET_REGION_INFO = 5,
	VFU_GET_REGION_IO_FDS = 6,
	VFU_GET_IRQ_INFO = 7,
	VFU_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,  /* server to client */
	VFU_DMA_WRITE = 12, /* server to client */
	VFU_DEVICE_RESET = 13,
	VFU_DIRTY_PAGES = 14,
	VFU_REGION_WRITE_MULTI = 15,
	VFU_DEVICE_FEATURE = 16,
	VFU_MIG_DATA_READ = 17,
	VFU_MIG_DATA_WRITE = 18,
	VFU_N_CMDS,
};

#define VFU_F_TYPE_MASK 0xfu
#define VFU_F_COMMAND	0x0u
#define VFU_F_REPLY	0x1u
#define VFU_F_NO_REPLY	0x10u
#define VFU_F_ERROR	0x20u

struct vfu_hdr {
	uint16_t id;
	uint16_t cmd;
	uint32_t size; /* of the whole message, this header included */
	uint32_t flags;
	uint32_t error;
};
static_assert(sizeof(struct vfu_hdr) == 16, "wire");

struct vfu_version {
	uint16_t major;
	uint16_t minor;
	/* then optional JSON, NUL-terminated */
};
static_assert(sizeof(struct vfu_version) == 4, "wire");

struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DMA_MAP_FLAG_READ, _WRITE */
	uint64_t offset;
	uint64_t iova;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_map) == 32, "wire");

struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_unmap) == 24, "wire");

struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};
static_assert(sizeof(struct vfu_device_info) == 16, "wire");

struct vfu_sparse_reply {
	struct vfio_region_info info;
	struct vfio_region_info_cap_sparse_mmap cap;
	struct vfio_region_sparse_mmap_area area;
};
static_assert(sizeof(struct vfio_region_info) == 32, "wire");
static_assert(sizeof(struct vfu_sparse_reply) == 64, "wire");
static_assert(sizeof(struct vfio_irq_info) == 16, "wire");
static_assert(sizeof(struct vfio_irq_set) == 20, "wire");

struct vfu_region_io {
	uint64_t off;
	uint32_t region;
	uint32_t count;
};
static_assert(sizeof(struct vfu_region_io) == 16, "wire");

struct vfu_multi_write {
	uint64_t off;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
};
static_assert(sizeof(struct vfu_multi_write) == 24, "wire");

struct vfu_dma_io {
	uint64_t iova;
	uint64_t count;
};
static_assert(sizeof(struct vfu_dma_io) == 16, "wire");

/* What this server takes. The peer learns XFER and FDS in the VERSION reply. */
#define VFU_MAX_XFER	65536u
#define VFU_MAX_MSG	(sizeof(struct vfu_hdr) + sizeof(struct vfu_region_io) + VFU_MAX_XFER)
#define VFU_MAX_FDS	16u
#define VFU_MAX_VERSION 4096u
#define VFU_MAX_MULTI	1024u
