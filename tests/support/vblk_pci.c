/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over modern PCI, the driver's side. Spec: virtio 1.2, 4.1.4 and 3.1.1. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "vblk_drv.h"

#define COMMON(field) offsetof(struct virtio_pci_common_cfg, field)

int vbd_pci_read(struct vbd *d, unsigned cap, uint32_t off, void *buf, uint32_t len)
{
	return vfu_client_read(&d->vfu, d->cap[cap].bar, d->cap[cap].off + off, buf, len);
}

int vbd_pci_write(struct vbd *d, unsigned cap, uint32_t off, const void *buf, uint32_t len)
{
	return vfu_client_write(&d->vfu, d->cap[cap].bar, d->cap[cap].off + off, buf, len);
}

static int set8(struct vbd *d, uint32_t off, uint8_t val)
{
	return vbd_pci_write(d, VIRTIO_PCI_CAP_COMMON_CFG, off, &val, sizeof(val));
}

static int set16(struct vbd *d, uint32_t off, uint16_t val)
{
	return vbd_pci_write(d, VIRTIO_PCI_CAP_COMMON_CFG, off, &val, sizeof(val));
}

static int set32(struct vbd *d, uint32_t off, uint32_t val)
{
	return vbd_pci_write(d, VIRTIO_PCI_CAP_COMMON_CFG, off, &val, sizeof(val));
}

static int set64(struct vbd *d, uint32_t off, uint64_t val)
{
	int rc = set32(d, off, (uint32_t)val);

	return rc < 0 ? rc : set32(d, off + 4, (uint32_t)(val >> 32));
}

int vbd_status(struct vbd *d)
{
	uint8_t val;
	int rc =
	    vbd_pci_read(d, VIRTIO_PCI_CAP_COMMON_CFG, COMMON(device_status), &val, sizeof(val));

	return rc < 0 ? rc : val;
}

int vbd_set_status(struct vbd *d, uint8_t status)
{
	int rc = set8(d, COMMON(device_status), status), now = 1;

	/* 4.1.4.3.2: after a reset the driver waits until it reads 0. */
	for (unsigned i = 0; rc == 0 && status == 0 && now != 0; i++) {
		now = vbd_status(d);
		if (now < 0 || i > 5000)
			return now < 0 ? now : -ETIMEDOUT;
		if (now > 0)
			usleep(1000);
	}
	return rc;
}

static int find_caps(struct vbd *d)
{
	unsigned at = 0;

	while ((at = vfu_client_cap(&d->vfu, PCI_CAP_ID_VNDR, at)) != 0) {
		uint8_t type = vfu_client_cfg8(&d->vfu, at + 3);

		if (type > 5 || d->cap[type].len != 0)
			continue;
		d->cap[type].bar = vfu_client_cfg8(&d->vfu, at + 4);
		d->cap[type].off = vfu_client_cfg32(&d->vfu, at + 8);
		d->cap[type].len = vfu_client_cfg32(&d->vfu, at + 12);
		if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
			d->notify_multiplier = vfu_client_cfg32(&d->vfu, at + 16);
	}
	return d->cap[VIRTIO_PCI_CAP_COMMON_CFG].len == 0 ||
		       d->cap[VIRTIO_PCI_CAP_NOTIFY_CFG].len == 0 ||
		       d->cap[VIRTIO_PCI_CAP_DEVICE_CFG].len == 0
		   ? -EPROTO
		   : 0;
}

static int offered(struct vbd *d)
{
	uint32_t half[2] = {0, 0};
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < 2; i++) {
		rc = set32(d, COMMON(device_feature_select), i);
		if (rc == 0)
			rc = vbd_pci_read(d, VIRTIO_PCI_CAP_COMMON_CFG, COMMON(device_feature),
			    &half[i], sizeof(half[i]));
	}
	d->offered = (uint64_t)half[1] << 32 | half[0];
	return rc;
}

int vbd_pci_open(struct vbd *d)
{
	int rc = vfu_client_connect(&d->vfu, d->conf.path, NULL, NULL);

	if (rc == 0)
		rc = vfu_client_start(&d->vfu);
	if (rc == 0)
		rc = vfu_client_map(&d->vfu, d->g.iova, d->g.len,
		    VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, d->g.fd, 0);
	if (rc == 0)
		rc = vfu_client_cfg_set16(
		    &d->vfu, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (rc == 0)
		rc = find_caps(d);
	if (rc == 0)
		rc = vbd_set_status(d, 0);
	if (rc == 0)
		rc = vbd_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	return rc < 0 ? rc : offered(d);
}

static int start_queue(struct vbd *d, uint16_t i)
{
	struct vbd_queue *q = &d->q[i];
	uint16_t notify_off = 0;
	int rc = set16(d, COMMON(queue_select), i);

	if (rc == 0)
		rc = set16(d, COMMON(queue_size), q->ring.conf.size);
	if (rc == 0)
		rc = set64(d, COMMON(queue_desc_lo), q->ring.desc_iova);
	if (rc == 0)
		rc = set64(d, COMMON(queue_avail_lo), q->ring.driver_iova);
	if (rc == 0)
		rc = set64(d, COMMON(queue_used_lo), q->ring.device_iova);
	if (rc == 0)
		rc = vfu_client_msix(&d->vfu, i + 1u, q->call_fd);
	if (rc == 0)
		rc = set16(d, COMMON(queue_msix_vector), (uint16_t)(i + 1));
	if (rc == 0)
		rc = vbd_pci_read(d, VIRTIO_PCI_CAP_COMMON_CFG, COMMON(queue_notify_off),
		    &notify_off, sizeof(notify_off));
	q->notify_at =
	    d->cap[VIRTIO_PCI_CAP_NOTIFY_CFG].off + (uint64_t)notify_off * d->notify_multiplier;
	return rc < 0 ? rc : set16(d, COMMON(queue_enable), 1);
}

int vbd_pci_start(struct vbd *d)
{
	uint8_t status =
	    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < 2; i++) {
		rc = set32(d, COMMON(guest_feature_select), i);
		if (rc == 0)
			rc = set32(d, COMMON(guest_feature), (uint32_t)(d->features >> (32 * i)));
	}
	if (rc == 0)
		rc = vbd_set_status(d, status);
	if (rc == 0)
		rc = vbd_status(d);
	if (rc >= 0 && (rc & VIRTIO_CONFIG_S_FEATURES_OK) == 0)
		return -ENOTSUP;
	for (uint16_t i = 0; rc >= 0 && i < d->conf.n_queues; i++)
		rc = start_queue(d, i);
	return rc < 0 ? rc : vbd_set_status(d, status | VIRTIO_CONFIG_S_DRIVER_OK);
}
