/* SPDX-License-Identifier: BSD-3-Clause */
/* One virtio-net function of the card, as a host or a VM sees it (virtio 1.2, 5.1).
 *
 * The function owns its guest memory map, its vif (the packet side) and its transport. ob_vnet_create makes it a modern
 * virtio PCI device over a vfio-user socket; ob_vhost_create (dpu-fw/vhost) makes the same function over vhost-user. Both
 * give a struct ob_vnet, so whoever lists, links or deletes functions need not know which.
 *
 * Everything here runs on the main thread. Before the first function: ob_gmem_catch_faults, ob_workers_start, ob_vif_init;
 * and the main loop must run ob_vif_poll_events when ob_vif_event_fd is readable (a broken ring reaches the driver as
 * DEVICE_NEEDS_RESET that way).
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ob_vif.h"

struct event_base;
struct ob_arena;
struct ob_vnet;

#define OB_VNET_MAX_QUEUES (2 * OB_VIF_MAX_PAIRS + 1)
#define OB_VNET_PATH_MAX   108 /* of a Unix socket, with the closing NUL */

struct ob_vnet_conf {
	/* 1..31 of [A-Za-z0-9_.-]: names the vif, the arena region "vnet.<name>" and logs; copied */
	const char *name;
	const char *path;	 /* of the socket; copied */
	struct event_base *base; /* the main loop */
	struct ob_arena *arena;	 /* what must survive lives there */
	uint8_t mac[6];		 /* unicast, not zero */
	uint16_t mtu;		 /* 68..9216, told to the driver */
	uint16_t n_pairs;	 /* most queue pairs, 1..OB_VIF_MAX_PAIRS */
	uint16_t queue_size;	 /* largest queue offered, a power of two 64..4096; 0: 256 */
	bool packed;		 /* offer VIRTIO_F_RING_PACKED */
	uint64_t features_off;	 /* feature bits not to offer (tests, workarounds); 0: offer all */
	const char *serial;	 /* of the card, for PCI VPD; copied */
	uint32_t speed_mbps;	 /* 0: unknown */
	bool link_down;		 /* start with the link down */
};

struct ob_vnet_queue_status {
	bool enabled; /* by the driver */
	bool running; /* a worker serves it (control queue: the main thread) */
	bool broken;  /* malformed ring */
	uint16_t size;
	uint16_t vector; /* MSI-X, 0xffff none */
	int16_t worker;	 /* -1: none, or the control queue */
};

struct ob_vnet_status {
	char name[OB_VIF_NAME_MAX];
	const char *transport; /* "vfio-user" | "vhost-user" | "vhost-user-client"; static */
	char path[OB_VNET_PATH_MAX];
	bool connected;
	pid_t peer_pid; /* 0: not known */
	uint16_t vif_idx;
	uint8_t mac[6]; /* as it is now: the driver may have changed it */
	uint16_t mtu;
	bool link_up, announce_pending;
	uint8_t
	    driver_status; /* virtio 1.2, 2.1: ACKNOWLEDGE 1, DRIVER 2, DRIVER_OK 4, FEATURES_OK 8, NEEDS_RESET 0x40, FAILED 0x80 */
	uint64_t offered, negotiated; /* feature bits; negotiated is 0 until FEATURES_OK */
	uint16_t n_pairs, pairs_in_use;
	uint32_t n_ranges; /* guest memory it can reach */
	uint64_t n_bytes;
	uint64_t n_faults;     /* pages that went away under the card */
	uint64_t n_violations; /* accesses that the memory firewall refused */
	uint64_t n_resets, n_needs_reset, n_kicks, n_bad_kicks, n_ctrl, n_ctrl_err;
	/* Valid entries of queue[]. The control queue is number 2 * n_pairs, or 2 without MQ and RSS (5.1.2). */
	uint16_t n_queues;
	struct ob_vnet_queue_status queue[OB_VNET_MAX_QUEUES];
};

/* Makes the function and listens on the socket; it serves one peer after the other. Context: main.
 * Returns 0; -EINVAL bad conf; -EEXIST the name is taken; -EADDRINUSE somebody serves that socket; -ENOSPC no vif left; -ENOMEM; -errno. */
int ob_vnet_create(const struct ob_vnet_conf *conf, struct ob_vnet **out);

/* Closes the connection, stops the queues, frees all; whichever transport it has. NULL is legal. Context: main. */
void ob_vnet_destroy(struct ob_vnet *vn);

const char *ob_vnet_name(const struct ob_vnet *vn);
struct ob_vif *ob_vnet_vif(const struct ob_vnet *vn);

/* Carrier, as the guest sees it. The driver gets a configuration interrupt when it changed. Context: main. */
void ob_vnet_set_link(struct ob_vnet *vn, bool up);

/* Asks the driver to send gratuitous packets (after a move): STATUS announce bit (5.1.5.1) until the driver acknowledges.
 * Context: main. Returns 0; -EAGAIN no running driver; -ENOTSUP the driver did not negotiate GUEST_ANNOUNCE. */
int ob_vnet_announce(struct ob_vnet *vn);

void ob_vnet_get_status(const struct ob_vnet *vn, struct ob_vnet_status *out);

/* Name of a feature bit ("mrg_rxbuf", "ring_packed"), or NULL. Context: any. */
const char *ob_vnet_feature_name(unsigned bit);

/* ---- for transports ---------------------------------------------------------------------------------------------- */

/* One queue as its driver set it up; arena layout. Start positions: see ob_vif_start_queue. */
struct ob_vnet_queue {
	uint64_t desc, driver, device; /* iova */
	uint16_t size;
	uint16_t vector; /* MSI-X, 0xffff none */
	uint8_t enabled; /* the driver wants it */
	uint8_t started; /* it ran since the last reset: positions are in the arena */
	uint16_t reserved;
	int32_t start_idx; /* position given by the peer (vhost), -1: none */
	uint32_t reserved2;
};
static_assert(sizeof(struct ob_vnet_queue) == 40, "arena layout");

/* What a transport does for the function. All on the main thread. */
struct ob_vnet_transport {
	const char *name;
	/* First step of ob_vnet_destroy: close the peer, free 'ctx'. */
	void (*destroy)(void *ctx);
	/* Device configuration or status changed: interrupt the driver. */
	void (*config_changed)(void *ctx);
	/* Eventfd that a worker writes to interrupt queue 'q', or -1. */
	int (*queue_irq_fd)(void *ctx, unsigned q);
	/* The control queue's own interrupt (main thread). */
	void (*queue_irq)(void *ctx, unsigned q);
	/* Fills connected and peer_pid. */
	void (*get_status)(void *ctx, struct ob_vnet_status *out);
	/* Features that this transport cannot carry. */
	uint64_t features_off;
	bool peer_has_ctrl; /* the control queue is the peer's own business (vhost) */
};

/* Makes all of a function but its transport; 'tr' must stay. Returns as ob_vnet_create. */
int ob_vnet_create_on(const struct ob_vnet_conf *conf, const struct ob_vnet_transport *tr,
    void *ctx, struct ob_vnet **out);

struct ob_gmem *ob_vnet_gmem(struct ob_vnet *vn);
uint64_t ob_vnet_offered(const struct ob_vnet *vn);
/* Number of data queues and the control queue, the most that can exist. */
unsigned ob_vnet_n_queues(const struct ob_vnet *vn);
struct ob_vnet_queue *ob_vnet_queue(struct ob_vnet *vn, unsigned q);

/* Fixes the negotiated features. Returns 0; -EINVAL a bit that was not offered, or one without what it depends on (5.1.3.1). */
int ob_vnet_set_features(struct ob_vnet *vn, uint64_t features);
/* Driver status bits (2.1) as they now stand; queues start and stop to match. 0 resets the function. */
void ob_vnet_set_status(struct ob_vnet *vn, uint8_t status);
/* Whether it may touch guest memory (PCI bus master, vhost: memory table known). Queues keep their positions. */
void ob_vnet_set_dma(struct ob_vnet *vn, bool on);
/* Starts and stops queues so that they match what queue->enabled, status and DMA say. */
void ob_vnet_update(struct ob_vnet *vn);
/* Stops one queue and forgets that it was enabled. Returns its position as ob_vif_stop_queue, or -ENOENT. */
int32_t ob_vnet_stop_queue(struct ob_vnet *vn, unsigned q);
bool ob_vnet_queue_running(const struct ob_vnet *vn, unsigned q);
/* The interrupt eventfd of queue 'q' is another one now. */
void ob_vnet_irq_changed(struct ob_vnet *vn, unsigned q);
/* The driver rang for queue 'q'; any value. */
void ob_vnet_kick(struct ob_vnet *vn, uint32_t q);
/* Guest memory was mapped or unmapped: queues that stalled look again. */
void ob_vnet_dma_changed(struct ob_vnet *vn);
/* Number of pairs in use, where the peer decides it (vhost). */
void ob_vnet_set_pairs(struct ob_vnet *vn, uint16_t n);

#include "ob_virtio_blk.h"
