/* SPDX-License-Identifier: BSD-3-Clause */
/* A small virtio-blk driver in user space, over vfio-user (modern PCI) or vhost-user, split or packed rings. For tests and
 * benches.
 *
 *   struct vbd d;
 *   vbd_open(&d, &(struct vbd_conf){.path = "/run/f.sock", .vhost = true, .n_queues = 1, .queue_size = 128});
 *   sg = (struct fake_sg){fake_guest_alloc(&d.g, 4096, 4096), 4096};
 *   vbd_add(&d, 0, VIRTIO_BLK_T_IN, sector, &sg, 1, cookie); vbd_kick(&d, 0);
 *   while (vbd_reap(&d, 0, &cookie, &status) == 1) ...
 *   status = vbd_exec(&d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
 *   vbd_close(&d);
 *
 * -errno: of the connection (vfu_client.h, vhost_client.h), -EPROTO the device has no place for what a driver needs,
 * -ENOTSUP it refused the features. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_blk.h>

#include "fake_driver.h"
#include "vfu_client.h"
#include "vhost_client.h"

#define VBD_MAX_QUEUES 16
#define VBD_MAX_SG     60
#define VBD_IOVA       0x20000000ull

struct vbd_conf {
	const char *path;
	bool vhost; /* else vfio-user */
	bool packed, event_idx, indirect;
	uint16_t n_queues;     /* 0: 1 */
	uint16_t queue_size;   /* 0: 128 */
	uint64_t features_off; /* not to negotiate though offered */
	size_t mem_bytes;      /* 0: 32 MiB */
};

struct vbd_queue {
	struct fake_ring ring;
	uint64_t *cookie; /* of each request slot */
	uint16_t *free_slot, n_free;
	uint64_t slots;	      /* iova: header and status of each */
	int kick_fd, call_fd; /* vhost; call_fd also the MSI-X vector's */
	uint64_t notify_at;   /* vfio-user: in its BAR */
};

struct vbd {
	struct vbd_conf conf;
	struct fake_guest g;
	struct vfu_client vfu;
	struct vhost_client vhost;
	uint64_t offered, features;
	struct virtio_blk_config cfg;
	struct {
		uint8_t bar;
		uint32_t off, len;
	} cap[6]; /* virtio PCI capabilities by type */
	uint32_t notify_multiplier;
	struct vbd_queue q[VBD_MAX_QUEUES];
};

/* Connects, negotiates, starts the queues; polled: no interrupts are asked for. */
int vbd_open(struct vbd *d, const struct vbd_conf *conf);
/* Closes at once, whatever is under way. */
void vbd_close(struct vbd *d);
/* Reads the configuration space again into d->cfg. */
int vbd_read_config(struct vbd *d);
/* Writes one byte of it (writeback). */
int vbd_set_config8(struct vbd *d, uint32_t off, uint8_t val);
/* vfio-user: device status; writing 0 resets. */
int vbd_status(struct vbd *d);
int vbd_set_status(struct vbd *d, uint8_t status);

/* One request: header, 'n' segments of data (device-writable for reads and GET_ID), status. Returns 0, -ENOSPC. */
int vbd_add(struct vbd *d, unsigned q, uint32_t type, uint64_t sector, const struct fake_sg *sg,
    unsigned n, uint64_t cookie);
/* Notifies where the device asked for it. */
int vbd_kick(struct vbd *d, unsigned q);
/* Returns 1 and the request's cookie and status byte; 0 none; -EPROTO. */
int vbd_reap(struct vbd *d, unsigned q, uint64_t *cookie, uint8_t *status);
/* One request from start to end. Returns the status byte, -errno, -ETIMEDOUT (5 s). */
int vbd_exec(struct vbd *d, unsigned q, uint32_t type, uint64_t sector, const struct fake_sg *sg,
    unsigned n);

/* ---- the PCI side, used by vbd_open ---- */

int vbd_pci_open(struct vbd *d);
int vbd_pci_start(struct vbd *d);
int vbd_pci_read(struct vbd *d, unsigned cap, uint32_t off, void *buf, uint32_t len);
int vbd_pci_write(struct vbd *d, unsigned cap, uint32_t off, const void *buf, uint32_t len);
