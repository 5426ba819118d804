/* SPDX-License-Identifier: BSD-3-Clause */
/* One virtio-blk function of the card, as a host or a VM sees it (virtio 1.2, 5.2), over a block device of the card.
 *
 * ob_virtio_blk_create makes it a modern virtio PCI device over a vfio-user socket; ob_vhost_blk_create (dpu-fw/vhost) makes
 * the same function over vhost-user. Everything here runs on the main thread; the main loop must run ob_vblk_poll_events
 * when ob_vblk_event_fd is readable.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ob_vblk.h"

struct event_base;
struct ob_arena;
struct ob_virtio_blk;

#define OB_VIRTIO_BLK_PATH_MAX 108

struct ob_virtio_blk_conf {
	/* 1..31 of [A-Za-z0-9_.-]: names arena regions and logs; unique among virtio functions; copied */
	const char *name;
	const char *path; /* of the socket; copied */
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_blk *blk;  /* a reference is taken */
	uint16_t n_queues;   /* 1..OB_VBLK_MAX_QUEUES */
	uint16_t queue_size; /* largest queue offered, a power of two 64..4096; 0: 256 */
	bool packed;	     /* offer VIRTIO_F_RING_PACKED */
	bool read_only;	     /* to this driver, whatever the device can */
	uint64_t features_off;
	const char *
	    id; /* disk serial of GET_ID: printable ASCII, the first 20 bytes count; NULL: the name */
	const char *serial; /* of the card, for PCI VPD; copied */
};

struct ob_virtio_blk_queue_status {
	bool enabled, running, broken;
	uint16_t size;
	uint16_t vector; /* MSI-X, 0xffff none */
	int16_t worker;	 /* -1: none */
};

struct ob_virtio_blk_status {
	char name[OB_VBLK_NAME_MAX];
	const char *transport; /* "vfio-user" | "vhost-user" | "vhost-user-client"; static */
	char path[OB_VIRTIO_BLK_PATH_MAX];
	bool connected;
	pid_t peer_pid;	       /* 0: not known */
	uint8_t driver_status; /* virtio 1.2, 2.1 */
	uint64_t offered, negotiated;
	uint64_t bytes; /* capacity as the driver reads it */
	uint32_t block_bytes;
	bool read_only, writeback;
	uint32_t n_ranges; /* guest memory it can reach */
	uint64_t n_bytes;
	uint64_t n_faults, n_violations;
	uint64_t n_resets, n_needs_reset, n_kicks, n_bad_kicks;
	uint16_t n_queues;
	struct ob_virtio_blk_queue_status queue[OB_VBLK_MAX_QUEUES];
};

/* Makes the function and listens on the socket. A resize of 'blk' reaches the driver by itself: capacity, generation, configuration
 * interrupt. Context: main. Returns 0; -EINVAL bad conf; -EEXIST the name is taken; -EADDRINUSE somebody serves that socket; -ENOMEM; -errno. */
int ob_virtio_blk_create(const struct ob_virtio_blk_conf *conf, struct ob_virtio_blk **out);
/* Closes the connection, lets go of what is under way (the driver hears nothing more), frees all; whichever transport it has. NULL is legal.
 * Context: main. */
void ob_virtio_blk_destroy(struct ob_virtio_blk *vb);

const char *ob_virtio_blk_name(const struct ob_virtio_blk *vb);
/* For counters of its queues. */
struct ob_vblk *ob_virtio_blk_vblk(const struct ob_virtio_blk *vb);
void ob_virtio_blk_get_status(const struct ob_virtio_blk *vb, struct ob_virtio_blk_status *out);
/* Name of a feature bit of virtio-blk ("flush", "ring_packed"), or NULL. Context: any. */
const char *ob_virtio_blk_feature_name(unsigned bit);
