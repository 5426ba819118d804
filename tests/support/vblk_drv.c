/* SPDX-License-Identifier: BSD-3-Clause */
#include "vblk_drv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>

#define BIT(n)	     (1ull << (n))
#define SLOT_BYTES   32u
#define STATUS_AT    16u
#define PACKED_START 0x80008000u /* both wrap counters 1 */
#define POISON	     0xee

static uint64_t wanted(const struct vbd *d)
{
	const struct vbd_conf *c = &d->conf;
	uint64_t f = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_BLK_F_SIZE_MAX) |
		     BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
		     BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
		     BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_DISCARD) |
		     BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(16 /* SECURE_ERASE */);

	if (c->n_queues > 1)
		f |= BIT(VIRTIO_BLK_F_MQ);
	if (c->packed)
		f |= BIT(VIRTIO_F_RING_PACKED);
	if (c->event_idx)
		f |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (c->indirect)
		f |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	return f & ~c->features_off;
}

static int make_queue(struct vbd *d, struct vbd_queue *q)
{
	struct fake_ring_conf conf = {.size = d->conf.queue_size,
	    .packed = d->conf.packed,
	    .event_idx = d->conf.event_idx,
	    .indirect = d->conf.indirect};
	unsigned n = conf.size;

	q->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->cookie = calloc(n, sizeof(*q->cookie));
	q->free_slot = calloc(n, sizeof(*q->free_slot));
	q->slots = fake_guest_alloc(&d->g, (size_t)n * SLOT_BYTES, 64);
	if (q->kick_fd < 0 || q->call_fd < 0 || q->cookie == NULL || q->free_slot == NULL ||
	    q->slots == 0)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		q->free_slot[i] = (uint16_t)i;
	q->n_free = (uint16_t)n;
	return fake_ring_init(&q->ring, &d->g, &conf);
}

static int start_vhost(struct vbd *d)
{
	int rc = vhost_client_set_u64(
	    &d->vhost, VHC_SET_FEATURES, d->features | VHOST_CLIENT_PROTOCOL_FEATURES);

	if (rc == 0)
		rc = vhost_client_mem(&d->vhost, d->g.iova, d->g.len, d->g.mem, d->g.fd);
	for (uint32_t i = 0; rc == 0 && i < d->conf.n_queues; i++) {
		struct vbd_queue *q = &d->q[i];
		struct vhost_client_ring r = {.index = i,
		    .size = q->ring.conf.size,
		    .base = d->conf.packed ? PACKED_START : 0,
		    .desc = q->ring.desc,
		    .driver = q->ring.driver,
		    .device = q->ring.device,
		    .kick_fd = q->kick_fd,
		    .call_fd = q->call_fd};

		rc = vhost_client_start_ring(&d->vhost, &r);
	}
	return rc;
}

static int open_vhost(struct vbd *d)
{
	int rc = vhost_client_connect(&d->vhost, d->conf.path);

	return rc < 0 ? rc
		      : vhost_client_start(&d->vhost,
			    BIT(VHC_P_MQ) | BIT(VHC_P_REPLY_ACK) | BIT(VHC_P_CONFIG), &d->offered);
}

int vbd_read_config(struct vbd *d)
{
	uint32_t len = sizeof(d->cfg);
	int rc;

	/* A back end refuses to tell more than it has (SECURE_ERASE and ZONED came late). */
	do {
		rc = d->conf.vhost ? vhost_client_get_config(&d->vhost, 0, &d->cfg, len) : 0;
		len -= 4;
	} while (rc == -EREMOTEIO && len >= offsetof(struct virtio_blk_config, unused1));
	if (d->conf.vhost)
		return rc;
	return vbd_pci_read(d, VIRTIO_PCI_CAP_DEVICE_CFG, 0, &d->cfg, sizeof(d->cfg));
}

int vbd_set_config8(struct vbd *d, uint32_t off, uint8_t val)
{
	if (d->conf.vhost)
		return vhost_client_set_config(&d->vhost, off, &val, sizeof(val));
	return vbd_pci_write(d, VIRTIO_PCI_CAP_DEVICE_CFG, off, &val, sizeof(val));
}

int vbd_open(struct vbd *d, const struct vbd_conf *conf)
{
	uint64_t must = BIT(VIRTIO_F_VERSION_1);
	int rc;

	memset(d, 0, sizeof(*d));
	d->conf = *conf;
	d->conf.n_queues = conf->n_queues == 0 ? 1 : conf->n_queues;
	d->conf.queue_size = conf->queue_size == 0 ? 128 : conf->queue_size;
	d->vfu.fd = d->vfu.reply_fd = d->vhost.fd = -1;
	for (unsigned i = 0; i < VBD_MAX_QUEUES; i++)
		d->q[i].kick_fd = d->q[i].call_fd = -1;
	if (d->conf.n_queues > VBD_MAX_QUEUES)
		return -EINVAL;
	rc = fake_guest_init(&d->g, conf->mem_bytes == 0 ? 32 << 20 : conf->mem_bytes, VBD_IOVA);
	if (rc < 0)
		return rc;
	rc = conf->vhost ? open_vhost(d) : vbd_pci_open(d);
	d->features = d->offered & wanted(d);
	if (conf->packed)
		must |= BIT(VIRTIO_F_RING_PACKED);
	if (conf->event_idx)
		must |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (conf->indirect)
		must |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (rc == 0 && (d->features & must) != must)
		rc = -ENOTSUP;
	for (unsigned i = 0; rc == 0 && i < d->conf.n_queues; i++)
		rc = make_queue(d, &d->q[i]);
	if (rc == 0)
		rc = conf->vhost ? start_vhost(d) : vbd_pci_start(d);
	if (rc == 0)
		rc = vbd_read_config(d);
	for (unsigned i = 0; rc == 0 && i < d->conf.n_queues; i++)
		fake_ring_want_interrupt(&d->q[i].ring, false);
	if (rc < 0)
		vbd_close(d);
	return rc;
}

void vbd_close(struct vbd *d)
{
	for (unsigned i = 0; i < VBD_MAX_QUEUES; i++) {
		struct vbd_queue *q = &d->q[i];

		fake_ring_fini(&q->ring);
		free(q->cookie);
		free(q->free_slot);
		if (q->kick_fd >= 0)
			close(q->kick_fd);
		if (q->call_fd >= 0)
			close(q->call_fd);
		*q = (struct vbd_queue){.kick_fd = -1, .call_fd = -1};
	}
	vfu_client_close(&d->vfu);
	vhost_client_close(&d->vhost);
	fake_guest_fini(&d->g);
}

/* ---- requests ---- */

static bool to_driver(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

int vbd_add(struct vbd *d, unsigned qi, uint32_t type, uint64_t sector, const struct fake_sg *sg,
    unsigned n, uint64_t cookie)
{
	struct vbd_queue *q = &d->q[qi];
	struct virtio_blk_outhdr hdr = {.type = htole32(type), .sector = htole64(sector)};
	struct fake_sg all[VBD_MAX_SG + 2];
	unsigned n_out = to_driver(type) ? 1 : n + 1;
	uint64_t at;
	uint8_t *mem;
	uint16_t slot;
	int rc;

	if (q->n_free == 0 || n > VBD_MAX_SG)
		return -ENOSPC;
	slot = q->free_slot[q->n_free - 1];
	at = q->slots + (uint64_t)slot * SLOT_BYTES;
	mem = fake_guest_ptr(&d->g, at);
	memcpy(mem, &hdr, sizeof(hdr));
	mem[STATUS_AT] = POISON;
	all[0] = (struct fake_sg){at, sizeof(hdr)};
	for (unsigned i = 0; i < n; i++)
		all[1 + i] = sg[i];
	all[1 + n] = (struct fake_sg){at + STATUS_AT, 1};
	rc = fake_ring_add(&q->ring, all, n_out, n + 2 - n_out, slot);
	if (rc < 0)
		return rc;
	q->n_free--;
	q->cookie[slot] = cookie;
	return 0;
}

int vbd_kick(struct vbd *d, unsigned qi)
{
	struct vbd_queue *q = &d->q[qi];
	uint16_t index = (uint16_t)qi;
	uint64_t one = 1;

	if (!fake_ring_kick(&q->ring))
		return 0;
	if (d->conf.vhost)
		return write(q->kick_fd, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
	return vfu_client_post(
	    &d->vfu, d->cap[VIRTIO_PCI_CAP_NOTIFY_CFG].bar, q->notify_at, &index, sizeof(index));
}

int vbd_reap(struct vbd *d, unsigned qi, uint64_t *cookie, uint8_t *status)
{
	struct vbd_queue *q = &d->q[qi];
	uint64_t slot;
	uint32_t len;
	int rc = fake_ring_reap(&q->ring, &slot, &len);

	if (rc != 1)
		return rc;
	*cookie = q->cookie[slot];
	*status = *((uint8_t *)fake_guest_ptr(&d->g, q->slots + slot * SLOT_BYTES) + STATUS_AT);
	q->free_slot[q->n_free++] = (uint16_t)slot;
	return 1;
}

int vbd_exec(
    struct vbd *d, unsigned q, uint32_t type, uint64_t sector, const struct fake_sg *sg, unsigned n)
{
	time_t until = time(NULL) + 6;
	uint64_t cookie = 0;
	uint8_t status = POISON;
	int rc = vbd_add(d, q, type, sector, sg, n, 0);

	if (rc == 0)
		rc = vbd_kick(d, q);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; (rc = vbd_reap(d, q, &cookie, &status)) == 0; i++) {
		if (time(NULL) > until)
			return -ETIMEDOUT;
		if (i > 4000)
			usleep(50);
	}
	return rc < 0 ? rc : status;
}
