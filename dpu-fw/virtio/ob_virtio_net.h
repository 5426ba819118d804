/* SPDX-License-Identifier: BSD-3-Clause */
/* One virtio-net function of the card, as a host or a VM sees it (virtio 1.2, 5.1).
 *
 * ob_vnet_create makes it a modern virtio PCI device over a vfio-user socket; ob_vhost_create (dpu-fw/vhost) makes the same
 * function over vhost-user. Both give a struct ob_vnet, so whoever lists, links or deletes functions need not know which.
 * Everything here runs on the main thread.
 */
#pragma once

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
