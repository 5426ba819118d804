/* SPDX-License-Identifier: BSD-3-Clause */
/* Targets behind a socket: NVMe and virtio-blk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block_initiator.h"
#include "nvme_drv.h"
#include "vblk_drv.h"

#define SECTOR 512u

uint64_t bb_cpu_ns(int pid)
{
	clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
	struct timespec ts = {0};

	/* With threads that ended meanwhile, and those that the kernel made for io_uring. */
	if (pid != 0 && clock_getcpuclockid(pid, &clock) != 0)
		return 0;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- NVMe ---- */

struct nvme {
	struct nvd d;
	uint64_t data_iova;
	uint32_t bytes, nsid;
	unsigned lba_shift;
};

static int nvme_queue(struct bb_dev *dev, unsigned slot, bool write, uint64_t off)
{
	struct nvme *n = dev->ctx;
	struct nvd_sqe cmd = nvd_rw(
	    write ? NVD_WRITE : NVD_READ, n->nsid, off >> n->lba_shift, n->bytes >> n->lba_shift);

	nvd_data(&n->d, &cmd, n->data_iova + (uint64_t)slot * n->bytes, n->bytes);
	nvd_queue_as(&n->d.sq[1], &cmd, (uint16_t)slot);
	return 0;
}

static int nvme_flush(struct bb_dev *dev)
{
	struct nvme *n = dev->ctx;

	return nvd_ring(&n->d, &n->d.sq[1]);
}

static unsigned nvme_reap(struct bb_dev *dev, unsigned slot[64], bool ok[64])
{
	struct nvme *n = dev->ctx;
	struct nvd_cqe cqe;
	unsigned i = 0;

	while (i < 64 && nvd_reap(&n->d, &n->d.cq[1], &cqe)) {
		slot[i] = cqe.cid;
		ok[i++] = NVD_SC(&cqe) == 0;
	}
	if (i > 0)
		(void)nvd_reaped(&n->d, &n->d.cq[1]);
	return i;
}

static void nvme_close(struct bb_dev *dev)
{
	struct nvme *n = dev->ctx;

	nvd_close(&n->d);
	free(n);
}

static uint64_t nvme_bells(const struct bb_dev *dev)
{
	const struct nvme *n = dev->ctx;

	return n->d.n_bells;
}

int bb_nvme_open(struct bb_dev *dev, const struct bb_conf *conf)
{
	size_t room = ((size_t)conf->qd * conf->bytes + 4095) & ~(size_t)4095;
	uint16_t entries = (uint16_t)(2 * conf->qd < 64 ? 64 : 2 * conf->qd);
	struct nvme_id_ns id;
	struct nvme *n = calloc(1, sizeof(*n));
	int rc;

	if (n == NULL || conf->path == NULL)
		return -EINVAL;
	rc = nvd_open(&n->d, conf->path, room + (8u << 20));
	if (rc < 0) {
		free(n);
		return rc;
	}
	rc = nvd_enable(&n->d, 32);
	if (rc == 0)
		rc = nvd_identify(&n->d, NVME_IDENTIFY_CNS_NS, conf->nsid, 0, &id);
	if (rc == 0)
		rc = nvd_create_queues(&n->d, 1, entries, entries, NVD_NO_IRQ);
	if (rc == 0 && !conf->no_shadow)
		rc = nvd_use_shadow(&n->d);
	n->data_iova = fake_guest_alloc(&n->d.g, room, 4096);
	if (rc == 0 && n->data_iova == 0)
		rc = -ENOMEM;
	if (rc != 0) {
		nvd_close(&n->d);
		free(n);
		return rc;
	}
	n->bytes = conf->bytes;
	n->nsid = conf->nsid;
	n->lba_shift = id.lbaf[id.flbas & 0xf].ds;
	n->d.n_bells = 0;
	*dev = (struct bb_dev){.bytes = le64toh(id.nsze) << n->lba_shift,
	    .data = fake_guest_ptr(&n->d.g, n->data_iova),
	    .queue = nvme_queue,
	    .flush = nvme_flush,
	    .reap = nvme_reap,
	    .close = nvme_close,
	    .bells = nvme_bells,
	    .ctx = n};
	return 0;
}

/* ---- virtio-blk ---- */

struct virtio {
	struct vbd d;
	uint64_t data_iova;
	uint32_t bytes;
};

static int virtio_queue(struct bb_dev *dev, unsigned slot, bool write, uint64_t off)
{
	struct virtio *v = dev->ctx;
	struct fake_sg sg = {v->data_iova + (uint64_t)slot * v->bytes, v->bytes};

	return vbd_add(
	    &v->d, 0, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, off / SECTOR, &sg, 1, slot);
}

static int virtio_flush(struct bb_dev *dev)
{
	struct virtio *v = dev->ctx;

	return vbd_kick(&v->d, 0);
}

static unsigned virtio_reap(struct bb_dev *dev, unsigned slot[64], bool ok[64])
{
	struct virtio *v = dev->ctx;
	uint64_t cookie;
	uint8_t status;
	unsigned i = 0;

	while (i < 64 && vbd_reap(&v->d, 0, &cookie, &status) == 1) {
		slot[i] = (unsigned)cookie;
		ok[i++] = status == VIRTIO_BLK_S_OK;
	}
	/* With the event index, the device interrupts again once it has gone round from here. */
	if (i > 0 && v->d.conf.event_idx)
		fake_ring_want_interrupt(&v->d.q[0].ring, false);
	return i;
}

static void virtio_close(struct bb_dev *dev)
{
	struct virtio *v = dev->ctx;

	vbd_close(&v->d);
	free(v);
}

int bb_virtio_open(struct bb_dev *dev, const struct bb_conf *conf)
{
	size_t room = ((size_t)conf->qd * conf->bytes + 4095) & ~(size_t)4095;
	struct vbd_conf vc = {.path = conf->path,
	    .vhost = strcmp(conf->kind, "vhost") == 0,
	    .packed = conf->packed,
	    .event_idx = conf->event_idx,
	    .queue_size = 256,
	    .mem_bytes = room + (4u << 20)};
	struct virtio *v = calloc(1, sizeof(*v));
	int rc;

	if (v == NULL || conf->path == NULL)
		return -EINVAL;
	/* Header, data, status: three descriptors each. */
	while (vc.queue_size < 3 * conf->qd)
		vc.queue_size = (uint16_t)(vc.queue_size * 2);
	rc = vbd_open(&v->d, &vc);
	if (rc < 0) {
		free(v);
		return rc;
	}
	v->bytes = conf->bytes;
	v->data_iova = fake_guest_alloc(&v->d.g, room, 4096);
	if (v->data_iova == 0) {
		vbd_close(&v->d);
		free(v);
		return -ENOMEM;
	}
	*dev = (struct bb_dev){.bytes = le64toh(v->d.cfg.capacity) * SECTOR,
	    .data = fake_guest_ptr(&v->d.g, v->data_iova),
	    .queue = virtio_queue,
	    .flush = virtio_flush,
	    .reap = virtio_reap,
	    .close = virtio_close,
	    .ctx = v};
	return 0;
}
