/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio function of the card, as a host or a VM sees it: what every device type and every transport share.
 *
 * A function owns its guest memory map, its data side (vif or vblk), and has a transport: a modern virtio PCI device over a
 * vfio-user socket (here), or vhost-user (dpu-fw/vhost). Types: ob_virtio_net.h and ob_virtio_blk.h, both included here.
 *
 * Everything runs on the main thread. Before the first function: ob_gmem_catch_faults, ob_workers_start, ob_vif_init; and the
 * main loop must run ob_vif_poll_events and ob_vblk_poll_events when their event fds are readable (a broken ring reaches
 * the driver as DEVICE_NEEDS_RESET that way).
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ob_vblk.h"
#include "ob_vif.h"

struct event_base;
struct ob_arena;
struct ob_virtio;

#define OB_VIRTIO_MAX_QUEUES 64
#define OB_VIRTIO_NAME_MAX   32
#define OB_VIRTIO_PATH_MAX   108 /* of a Unix socket, with the closing NUL */

static_assert(OB_VBLK_MAX_QUEUES <= OB_VIRTIO_MAX_QUEUES, "all queues of a block function");
static_assert(2 * OB_VIF_MAX_PAIRS + 1 <= OB_VIRTIO_MAX_QUEUES, "all queues of a network function");

#include "ob_virtio_blk.h"
#include "ob_virtio_net.h"

/* ---- for transports ---------------------------------------------------------------------------------------------- */

/* One queue as its driver set it up; arena layout. Start positions: see ob_vif_start_queue. */
struct ob_virtio_queue {
	uint64_t desc, driver, device; /* iova */
	uint16_t size;
	uint16_t vector; /* MSI-X, 0xffff none */
	uint8_t enabled; /* the driver wants it */
	uint8_t started; /* it ran since the last reset: positions are in the arena */
	uint16_t reserved;
	int32_t start_idx; /* position given by the peer (vhost), -1: none */
	uint32_t reserved2;
};
static_assert(sizeof(struct ob_virtio_queue) == 40, "arena layout");

struct ob_virtio_peer {
	bool connected;
	pid_t pid; /* 0: not known */
};

/* What a transport does for the function. All on the main thread. */
struct ob_virtio_transport {
	const char *name;
	/* First step of the function's end: close the peer, free 'ctx'. */
	void (*destroy)(void *ctx);
	/* Device configuration or status changed: interrupt the driver. */
	void (*config_changed)(void *ctx);
	/* Eventfd that a worker writes to interrupt queue 'q', or -1. */
	int (*queue_irq_fd)(void *ctx, unsigned q);
	/* The interrupt of a queue that the main thread serves itself (control queue). */
	void (*queue_irq)(void *ctx, unsigned q);
	void (*get_peer)(void *ctx, struct ob_virtio_peer *out);
	/* Features that this transport cannot carry. */
	uint64_t features_off;
	bool peer_has_ctrl; /* net: the control queue is the peer's own business (vhost) */
	bool peer_has_size; /* the peer picks the sizes of queues by itself (vhost) */
};

/* The function behind a type's handle. */
struct ob_virtio *ob_vnet_virtio(struct ob_vnet *vn);
struct ob_virtio *ob_virtio_blk_virtio(struct ob_virtio_blk *vb);

/* Make all of a function but its transport; 'tr' must stay. Return as ob_vnet_create, ob_virtio_blk_create. */
int ob_vnet_create_on(const struct ob_vnet_conf *conf, const struct ob_virtio_transport *tr,
    void *ctx, struct ob_vnet **out);
int ob_virtio_blk_create_on(const struct ob_virtio_blk_conf *conf,
    const struct ob_virtio_transport *tr, void *ctx, struct ob_virtio_blk **out);
/* Ends a function of any type. NULL is legal. */
void ob_virtio_destroy(struct ob_virtio *v);

const char *ob_virtio_name(const struct ob_virtio *v);
struct ob_gmem *ob_virtio_gmem(struct ob_virtio *v);
uint64_t ob_virtio_offered(const struct ob_virtio *v);
uint64_t ob_virtio_negotiated(const struct ob_virtio *v);
uint8_t ob_virtio_status(const struct ob_virtio *v);
/* The most queues that can exist; of a network function with its control queue. */
unsigned ob_virtio_n_queues(const struct ob_virtio *v);
struct ob_virtio_queue *ob_virtio_queue(struct ob_virtio *v, unsigned q);

/* Fixes the negotiated features. Returns 0; -EINVAL a bit that was not offered, or one without what it depends on. */
int ob_virtio_set_features(struct ob_virtio *v, uint64_t features);
/* Driver status bits (2.1) as they now stand; queues start and stop to match. 0 resets the function. */
void ob_virtio_set_status(struct ob_virtio *v, uint8_t status);
/* Whether it may touch guest memory (PCI bus master, vhost: memory table known). Queues keep their positions. */
void ob_virtio_set_dma(struct ob_virtio *v, bool on);
/* Starts and stops queues so that they match what queue->enabled, status and DMA say. */
void ob_virtio_update(struct ob_virtio *v);
/* Stops one queue and forgets that it was enabled. What it took is completed first. Returns its position as
 * ob_vif_stop_queue, or -ENOENT. */
int32_t ob_virtio_stop_queue(struct ob_virtio *v, unsigned q);
bool ob_virtio_queue_running(const struct ob_virtio *v, unsigned q);
/* The interrupt eventfd of queue 'q' is another one now. */
void ob_virtio_irq_changed(struct ob_virtio *v, unsigned q);
/* The driver rang for queue 'q'; any value. */
void ob_virtio_kick(struct ob_virtio *v, uint32_t q);
/* Guest memory was mapped or unmapped: queues that stalled look again. */
void ob_virtio_dma_changed(struct ob_virtio *v);
/* Device configuration space: any offset, any length. Beyond its end it reads 0. */
void ob_virtio_config_read(const struct ob_virtio *v, uint64_t off, void *buf, size_t len);
void ob_virtio_config_write(struct ob_virtio *v, uint64_t off, const void *buf, size_t len);

/* Number of pairs in use, where the peer decides it (vhost). */
void ob_vnet_set_pairs(struct ob_vnet *vn, uint16_t n);
