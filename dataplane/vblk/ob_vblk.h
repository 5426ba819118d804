/* SPDX-License-Identifier: BSD-3-Clause */
/* The I/O side of a virtio-blk function, whatever its transport: requests of virtqueues in, I/Os of a block device out.
 *
 * The device model (control) creates a vblk over a struct ob_blk, tells it the negotiated features and starts queues; from
 * then on a worker owns each queue. All queues of one function on one worker share a channel of the device and are polled
 * together: requests of all of them are submitted as one batch. Requests complete in any order.
 *
 * Guest memory that goes away: the function's ob_gmem_conf.sync calls ob_vblk_quiesce, which lets every request go that
 * points into the old map, and translates anew what had not reached the medium.
 *
 * Spec: virtio 1.2, 5.2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ob_block.h"
#include "ob_virtq.h"
#include "ob_worker.h"

#define OB_VBLK_MAX_QUEUES 64
#define OB_VBLK_NAME_MAX   32
#define OB_VBLK_ID_BYTES   20  /* VIRTIO_BLK_T_GET_ID */
#define OB_VBLK_MAX_SEG	   254 /* data segments of one request (seg_max) */
#define OB_VBLK_MAX_RANGES 32  /* of one DISCARD or WRITE_ZEROES */
/* Of one range: 2 GiB - 512. */
#define OB_VBLK_MAX_RANGE_SECTORS 0x3fffffu

struct ob_vblk;

struct ob_vblk_conf {
	char name[OB_VBLK_NAME_MAX];
	struct ob_gmem *gm;
	struct ob_arena *arena; /* queue states, journals and counters: region "vblk.<name>" */
	struct ob_blk *blk;	/* a reference is taken */
	uint16_t n_queues;	/* most that it can have, 1..OB_VBLK_MAX_QUEUES */
	uint16_t
	    queue_size; /* most that a queue can have, <= OB_VIRTQ_MAX_SIZE: bounds the journal */
	char id[OB_VBLK_ID_BYTES]; /* GET_ID; not terminated when it is full */
	bool read_only;		   /* writes fail, whatever the device says */
};

/* Context of everything that follows: control, but for where it says otherwise.
 * Returns 0; -EINVAL; -EEXIST the name is taken; -ENOMEM. */
int ob_vblk_create(const struct ob_vblk_conf *conf, struct ob_vblk **out);
/* Stops what runs. NULL is legal. */
void ob_vblk_destroy(struct ob_vblk *vb);

/* Negotiated virtio-blk and ring feature bits; before queues start. Without FLUSH every write is durable when it completes. */
void ob_vblk_set_features(struct ob_vblk *vb, uint64_t features);
/* Cache mode that the driver chose (CONFIG_WCE): false: every write is durable when it completes. Takes effect with the next
 * request that is taken; what was completed before is made durable by the driver's own FLUSH (5.2.5.2). */
void ob_vblk_set_writeback(struct ob_vblk *vb, bool on);

/* As ob_vif_start_queue. The queue goes to worker (idx + q) % n. -EAGAIN: to be resumed but its rings are not mapped. */
int ob_vblk_start_queue(struct ob_vblk *vb, unsigned q, const struct ob_virtq_conf *conf,
    int irq_fd, bool resume, int32_t start_idx);

enum ob_vblk_stop {
	OB_VBLK_STOP_DROP, /* the ring is over (reset): requests under way end at the medium, the driver hears nothing more */
	/* The ring may go on elsewhere: all that was taken is completed and told to the driver first, as far as that is
	 * done within a second for all stops of the function (a wait wears off in ten times its length); the rest is told as failed. */
	OB_VBLK_STOP_FINISH,
};
/* Takes it from its worker; on return nothing of it is under way and nobody touches the guest's memory for it. Returns the next avail
 * position as ob_vif_stop_queue, or -ENOENT. */
int32_t ob_vblk_stop_queue(struct ob_vblk *vb, unsigned q, enum ob_vblk_stop how);
bool ob_vblk_queue_running(const struct ob_vblk *vb, unsigned q);
/* Worker that owns queue 'q', or -1. Context: any. */
int ob_vblk_queue_worker(const struct ob_vblk *vb, unsigned q);
/* Replaces the interrupt eventfd; the old one is not used any more on return. */
void ob_vblk_set_irq_fd(struct ob_vblk *vb, unsigned q, int irq_fd);
/* The guest rang the doorbell. Any thread but a worker. */
void ob_vblk_kick(struct ob_vblk *vb, unsigned q);

/* To be called from ob_gmem_conf.sync of its gm, which has published the new map: on return no request points into an older
 * one, and every worker has passed a quiescent point. */
void ob_vblk_quiesce(struct ob_vblk *vb);

/* 'fn' is called by ob_vblk_poll_events, once a break: the model sets DEVICE_NEEDS_RESET. It may destroy any vblk. */
void ob_vblk_set_on_broken(struct ob_vblk *vb, void (*fn)(void *ctx, unsigned q), void *ctx);
/* What broke a running queue, in a few words; "sound" if nothing did, "stopped". */
const char *ob_vblk_broken_why(const struct ob_vblk *vb, unsigned q);
/* As ob_vif_event_fd (it is there before the first vblk; -errno) and ob_vif_poll_events. */
int ob_vblk_event_fd(void);
unsigned ob_vblk_poll_events(void);

/* Of one queue, in the arena, single writer (the owner; n_kicks: whoever kicks). They go on counting over a restart of the queue. */
struct ob_vblk_queue_counters {
	uint64_t n_reads, n_writes, n_flushes, n_discards, n_write_zeroes, n_get_ids;
	uint64_t read_bytes, write_bytes;
	uint64_t n_ioerr, n_unsupp; /* requests that ended so */
	uint64_t n_bursts, n_irqs, n_kicks;
	uint64_t n_broken;   /* malformed rings and requests */
	uint64_t n_held;     /* times that requests had to wait for request memory */
	uint64_t n_requeued; /* I/Os translated anew because guest memory changed */
};
/* Returns 0, -ENOENT (zeroes then). */
int ob_vblk_queue_counters(
    const struct ob_vblk *vb, unsigned q, struct ob_vblk_queue_counters *out);
