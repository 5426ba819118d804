/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions: the six BARs, config space; ROM and VGA are there and empty. */
#include "vfu_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TABLE_ENTRY 16u

uint64_t vfu_region_size(const struct ob_vfu *v, unsigned region)
{
	if (region < OB_VFU_N_BARS)
		return v->conf.bar[region].size;
	return region == VFIO_PCI_CONFIG_REGION_INDEX ? VFU_CFG_BYTES : 0;
}

int vfu_on_device_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_device_info info;

	(void)v;
	memcpy(&info, msg->body, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info = (struct vfu_device_info){
	    .argsz = sizeof(info),
	    .flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
	    .num_regions = VFU_N_REGIONS,
	    .num_irqs = VFU_N_IRQS,
	};
	memcpy(rep->body, &info, sizeof(info));
	rep->len = sizeof(info);
	return 0;
}

int vfu_on_region_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_sparse_reply full = {.info.argsz = sizeof(struct vfio_region_info)};
	const struct ob_vfu_bar *bar;
	struct vfio_region_info req;

	memcpy(&req, msg->body, sizeof(req));
	if (req.argsz < sizeof(req) || req.index >= VFU_N_REGIONS)
		return -EINVAL;
	full.info.index = req.index;
	full.info.size = vfu_region_size(v, req.index);
	if (full.info.size > 0)
		full.info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	rep->len = sizeof(full.info);
	bar = req.index < OB_VFU_N_BARS ? &v->conf.bar[req.index] : NULL;
	if (bar != NULL && bar->mmap_len > 0) {
		full.info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		full.info.argsz = sizeof(full);
		/* QEMU refuses a short answer whose cap_offset is 0 although CAPS is set. */
		full.info.cap_offset = offsetof(struct vfu_sparse_reply, cap);
		full.cap.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		full.cap.header.version = 1;
		full.cap.nr_areas = 1;
		full.area.offset = bar->mmap_off;
		full.area.size = bar->mmap_len;
		if (req.argsz >= sizeof(full)) {
			rep->len = sizeof(full);
			rep->fd = bar->mmap_fd;
		}
	}
	memcpy(rep->body, &full, rep->len);
	return 0;
}

/* A BAR is cut into stretches: one is the server's (MSI-X table, pending bits, mmapped page) or the model's. */
enum owner {
	MODEL,
	TABLE,
	PBA,
	MMAP,
};

struct stretch {
	enum owner owner;
	uint64_t off; /* within the owner's area; within the BAR for the model */
	size_t len;
};

/* If [off, off + *len) begins in the area then says so; if the area begins later then shortens *len to end before it. */
static bool in_area(uint64_t area, uint64_t area_len, uint64_t off, size_t *len)
{
	if (area_len == 0 || off >= area + area_len)
		return false;
	if (off >= area) {
		if (*len > area + area_len - off)
			*len = (size_t)(area + area_len - off);
		return true;
	}
	if (*len > area - off)
		*len = (size_t)(area - off);
	return false;
}

static struct stretch first_stretch(const struct ob_vfu *v, unsigned b, uint64_t off, size_t len)
{
	const struct ob_vfu_conf *c = &v->conf;
	uint64_t pba_len = ((uint64_t)c->n_vectors + 63) / 64 * 8;
	bool msix_here = c->n_vectors > 0 && c->msix_bar == b;

	if (in_area(c->bar[b].mmap_off, c->bar[b].mmap_len, off, &len))
		return (struct stretch){MMAP, off, len};
	if (msix_here &&
	    in_area(c->msix_table_off, (uint64_t)c->n_vectors * TABLE_ENTRY, off, &len))
		return (struct stretch){TABLE, off - c->msix_table_off, len};
	if (msix_here && in_area(c->msix_pba_off, pba_len, off, &len))
		return (struct stretch){PBA, off - c->msix_pba_off, len};
	return (struct stretch){MODEL, off, len};
}

static void bar_read(struct ob_vfu *v, unsigned b, uint64_t off, uint8_t *buf, size_t len)
{
	memset(buf, 0, len);
	while (len > 0) {
		struct stretch s = first_stretch(v, b, off, len);

		switch (s.owner) {
		case MODEL:
			v->conf.ops->bar_read(v->conf.ctx, b, s.off, buf, s.len);
			break;
		case TABLE:
			memcpy(buf, v->irq.table + s.off, s.len);
			break;
		case PBA:
			vfu_irq_pba_read(v, s.off, buf, s.len);
			break;
		case MMAP:
			if (pread(v->conf.bar[b].mmap_fd, buf, s.len, (off_t)s.off) < 0)
				VFU_LOG_PEER(ERR, v, "BAR %u: the mmapped page cannot be read", b);
			break;
		}
		buf += s.len;
		off += s.len;
		len -= s.len;
	}
}

static void bar_write(struct ob_vfu *v, unsigned b, uint64_t off, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		struct stretch s = first_stretch(v, b, off, len);

		switch (s.owner) {
		case MODEL:
			v->conf.ops->bar_write(v->conf.ctx, b, s.off, buf, s.len);
			break;
		case TABLE:
			memcpy(v->irq.table + s.off, buf, s.len);
			break;
		case PBA:
			break;
		case MMAP:
			if (pwrite(v->conf.bar[b].mmap_fd, buf, s.len, (off_t)s.off) < 0)
				VFU_LOG_PEER(
				    ERR, v, "BAR %u: the mmapped page cannot be written", b);
			break;
		}
		buf += s.len;
		off += s.len;
		len -= s.len;
	}
}

static int check_access(const struct ob_vfu *v, const struct vfu_region_io *io)
{
	uint64_t size;

	if (io->region >= VFU_N_REGIONS || io->count == 0 || io->count > VFU_MAX_XFER)
		return -EINVAL;
	size = vfu_region_size(v, io->region);
	return io->count <= size && io->off <= size - io->count ? 0 : -EINVAL;
}

static int region_write(struct ob_vfu *v, const struct vfu_region_io *io, const uint8_t *data)
{
	int rc = check_access(v, io);

	if (rc < 0)
		return rc;
	if (io->region == VFIO_PCI_CONFIG_REGION_INDEX)
		vfu_config_write(v, (unsigned)io->off, data, io->count);
	else
		bar_write(v, io->region, io->off, data, io->count);
	return 0;
}

int vfu_on_region_read(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_region_io io;
	uint8_t *data;
	int rc;

	memcpy(&io, msg->body, sizeof(io));
	rc = check_access(v, &io);
	if (rc < 0)
		return rc;
	data = rep->body + sizeof(io);
	if (io.region == VFIO_PCI_CONFIG_REGION_INDEX)
		vfu_config_read(v, (unsigned)io.off, data, io.count);
	else
		bar_read(v, io.region, io.off, data, io.count);
	memcpy(rep->body, &io, sizeof(io));
	rep->len = sizeof(io) + io.count;
	return 0;
}

int vfu_on_region_write(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_region_io io;
	int rc;

	memcpy(&io, msg->body, sizeof(io));
	if (io.count != msg->len - sizeof(io))
		return -EINVAL;
	rc = region_write(v, &io, msg->body + sizeof(io));
	memcpy(rep->body, &io, sizeof(io));
	rep->len = sizeof(io);
	return rc;
}

int vfu_on_write_multi(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_region_io io;
	struct vfu_multi_write w;
	uint64_t n, i;
	int rc = 0;

	memcpy(&n, msg->body, sizeof(n));
	if (n > VFU_MAX_MULTI || msg->len != sizeof(n) + n * sizeof(w))
		return -EINVAL;
	for (i = 0; i < n; i++) {
		memcpy(&w, msg->body + sizeof(n) + i * sizeof(w), sizeof(w));
		io = (struct vfu_region_io){.off = w.off, .region = w.region, .count = w.count};
		/* Only BARs are written without waiting; a write of config space can restart the whole function, and a thousand
		 * of them in one message would hold up everybody. */
		if (w.region >= OB_VFU_N_BARS || w.count > sizeof(w.data) ||
		    region_write(v, &io, w.data) < 0) {
			/* The others are writes of other CPUs that got into the same message. */
			rc = -EINVAL;
			continue;
		}
	}
	memcpy(rep->body, &n, sizeof(n));
	rep->len = sizeof(n);
	return rc;
}
