/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of dpu-fw/vhost. Two threads meet here: rte_vhost's, which hears the peer, and the main thread, which owns the
 * function. Each event is a snapshot of all that the peer has told, taken on the one and applied on the other while the
 * one waits. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <linux/virtio_config.h>
#include <rte_log.h>
#include <rte_vhost.h>

#include "ob_vhost.h"

#define VHOST_MAX_RINGS	  OB_VIRTIO_MAX_QUEUES
#define VHOST_MAX_REGIONS 8 /* as rte_vhost takes */

struct event;

struct vhost_region {
	uint64_t gpa, len, fd_off;
	int fd; /* rte_vhost's; valid while its thread waits */
};

struct vhost_ring {
	bool on;		       /* configured and enabled by the peer */
	uint64_t desc, driver, device; /* guest physical */
	uint16_t size;
	int32_t base;	      /* where to go on; after a stop: where we stopped, or -1 */
	int kick_fd, call_fd; /* duplicates of the peer's; -1 none */
};

struct vhost_snapshot {
	bool running;	 /* rte_vhost calls the device ready */
	bool new_memory; /* the peer has just sent its memory table */
	uint64_t features;
	unsigned n_regions;
	struct vhost_region region[VHOST_MAX_REGIONS];
	struct vhost_ring ring[VHOST_MAX_RINGS];
};

struct vhost_kick {
	struct ob_vhost *vh;
	struct event *ev;
	int kick_fd, call_fd;
	uint16_t q;
};

struct ob_vhost {
	struct ob_virtio *v;
	struct ob_vnet *net; /* NULL: a block function */
	unsigned n_rings;    /* that the peer may use */
	char path[OB_VIRTIO_PATH_MAX];
	enum ob_vhost_mode mode;
	struct event_base *base;
	/* rte_vhost's thread */
	int vid; /* -1: nobody is connected */
	bool running;
	bool has_memory; /* rte_vhost_get_mem_table may be called */
	bool kicked
	    [VHOST_MAX_RINGS]; /* block: the ring was started, as far as the peer is concerned */
	bool on[VHOST_MAX_RINGS];
	/* handing over: 'lock' guards what is here */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int call_fd;
	struct event *call_ev;
	struct vhost_call *call;
	/* 'backend_lock' guards it: where we may send messages to, a duplicate; -1: nowhere */
	pthread_mutex_t backend_lock;
	int backend_fd;
	bool closing, came;
	pid_t came_pid; /* of the peer that 'came' */
	/* main thread */
	bool registered, connected;
	time_t log_s;
	pid_t peer_pid;
	unsigned n_regions;
	struct vhost_region region[VHOST_MAX_REGIONS];
	struct vhost_kick kick[VHOST_MAX_RINGS];
	struct ob_vhost *next; /* of the list by path */
};

extern int vhost_logtype;
/* True once a second and function, with a burst of ten. Main thread. */
bool vhost_may_log(struct ob_vhost *vh);
/* For what a peer can trigger. */
#define vhost_log(level, vh, fmt, ...)                                                     \
	do {                                                                               \
		if (vhost_may_log(vh))                                                     \
			rte_log(RTE_LOG_##level, (uint32_t)vhost_logtype, "%s: " fmt "\n", \
			    ob_virtio_name((vh)->v), ##__VA_ARGS__);                       \
	} while (0)

#define VHOST_CONFIG_MAX 256 /* as rte_vhost takes */

/* Body of GET_CONFIG and SET_CONFIG. */
struct vhost_config {
	uint32_t off, len, flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};

/* What the one thread asks of the other. */
struct vhost_call {
	void (*fn)(struct ob_vhost *vh, struct vhost_call *c);
	struct vhost_snapshot *s; /* NULL: about something else */
	struct vhost_config *config;
	int rc;
	bool done;
};

/* vhost.c. Hands 'c' to the main thread and waits. Returns what it answers, or -ESHUTDOWN. rte_vhost's thread. */
int vhost_call_main(struct ob_vhost *vh, struct vhost_call *c);
/* Makes the function what the peer has told until now. rte_vhost's thread. */
int vhost_sync(struct ob_vhost *vh, bool new_memory);

/* config.c, rte_vhost's thread. The body of a message about the configuration space: answers in place.
 * Returns 0; -EPROTO it makes no sense; as vhost_call_main. */
int vhost_config_get(struct ob_vhost *vh, struct vhost_config *c, uint32_t size);
int vhost_config_set(struct ob_vhost *vh, const struct vhost_config *c, uint32_t size);

/* A message without a body, for a peer that wants such. Never waits: one that stops reading does not get it. Any thread. */
void vhost_tell_peer(struct ob_vhost *vh, uint32_t request);

/* vhost.c, for blk.c: what every type's transport has. */
void vhost_destroy(void *ctx);
int vhost_queue_irq_fd(void *ctx, unsigned q);
void vhost_queue_irq(void *ctx, unsigned q);
void vhost_get_peer(void *ctx, struct ob_virtio_peer *out);
/* The steps of making a function: memory and path, then (with the function made on it) the socket. */
int vhost_new(
    const char *path, struct event_base *base, enum ob_vhost_mode mode, struct ob_vhost **out);
int vhost_listen(struct ob_vhost *vh, struct ob_virtio *v, uint64_t protocol_features);
#define VHOST_BIT(b) (UINT64_C(1) << (b))
/* What no vhost device can have: there is no vIOMMU, the VMM resets queues, doorbells are eventfds. */
#define VHOST_FEATURES_OFF                                                      \
	(VHOST_BIT(VIRTIO_F_ACCESS_PLATFORM) | VHOST_BIT(VIRTIO_F_RING_RESET) | \
	    VHOST_BIT(38 /* NOTIFICATION_DATA */))

/* apply.c, main thread. Makes the function what the snapshot says; takes its descriptors over. Rings that it stops get their
 * position in 'base'. Returns 0, or -errno: the device cannot run. */
int vhost_apply(struct ob_vhost *vh, struct vhost_snapshot *s);
/* Nobody is connected any more. */
void vhost_clear(struct ob_vhost *vh);

/* snapshot.c, rte_vhost's thread. */
void vhost_snapshot_take(const struct ob_vhost *vh, struct vhost_snapshot *s);
/* Tells rte_vhost where the rings that apply stopped have stopped. */
void vhost_snapshot_bases(const struct ob_vhost *vh, const struct vhost_snapshot *s);

/* Closes what nobody took over. */
void vhost_snapshot_drop(struct vhost_snapshot *s);

/* guard.c: what a hostile peer could do to rte_vhost itself. */
int vhost_guard_init(void);
/* Call on rte_vhost's thread at the start of each message. */
void vhost_guard_thread(void);
/* Bounds how long a peer that stalls in the middle of a message holds rte_vhost's thread. Returns the peer's pid, or 0. */
pid_t vhost_guard_connection(const char *path);
