/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share: the vblk object, a worker's share of it, a running queue, a request. */
#pragma once

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "ob_irq.h"
#include "ob_vblk.h"

#define VBLK_BURST 64  /* requests that one poll takes of one queue */
#define VBLK_BATCH 256 /* I/Os that are submitted together */
/* Room for the longest direct chain; an indirect one that is longer breaks its queue. */
#define VBLK_SCRATCH_SEGS OB_VIRTQ_MAX_SIZE
/* Data segments of a request: seg_max, and what header and status share with data. */
#define VBLK_MAX_SEGS	(OB_VBLK_MAX_SEG + 2)
#define VBLK_SMALL_SEGS 4
/* A piece of 4096 bytes crosses at most one border of guest memory ranges, so these always hold a block. */
#define VBLK_SMALL_IOV (2 * VBLK_SMALL_SEGS)
/* Requests of many segments under way in one queue: a room is of 12 KiB, and of functions with many queues there are many. */
#define VBLK_MAX_BIG	     128
#define VBLK_MAX_BIG_OF_MANY 16
#define VBLK_MANY_QUEUES     5
#define VBLK_SECTOR	     512u

static_assert(2 * VBLK_MAX_SEGS <= OB_BLK_MAX_IOV, "a block in the smallest pieces fits one I/O");

/* ---- arena: region "vblk.<name>" -------------------------------------------------------------------------------------- */

#define VBLK_ARENA_LAYOUT 1

/* One request that was taken and that the driver has not been told of, at the place of its slot; one 8-byte store.
 *
 * Order of stores, so that a successor knows after a crash between any two what to do again:
 *   take      'pop_from', 'popping' = 1; the virtqueue's positions (ob_virtq_pop); the entries of what was popped; 'popping' = 0;
 *             only then do I/Os go to the device. Crash while popping: nothing was submitted: the positions go back to
 *             'pop_from', entries that are younger are void ('seq' is that of the burst).
 *   complete  the status byte in the guest; the entry's state DONE with the used position that its element gets; the
 *             virtqueue's flush; then the entry is free. Crash before the driver saw the used element (ob_virtq_state tells):
 *             the element is written again, the I/O is not done again. After: the entry is void.
 *   A TAKEN entry is an I/O that may or may not have reached the medium: it is done again. Reads, writes, discards and
 *   write-zeroes may all be done twice, because the driver was not told of the first time.
 */
enum vblk_entry_state { VBLK_FREE, VBLK_TAKEN, VBLK_DONE };

union vblk_entry {
	struct {
		uint16_t id;	   /* split: head; packed: buffer id */
		uint16_t used_pos; /* DONE: split: used index; packed: slot | wrap counter << 15 */
		uint16_t n_slots;
		uint8_t seq;
		uint8_t state; /* enum vblk_entry_state */
	};
	uint64_t word;
};
static_assert(sizeof(union vblk_entry) == 8, "arena layout, one store");

struct vblk_queue_arena {
	struct ob_virtq_state state;
	uint64_t pop_from; /* ob_virtq_state.pos before the pop that is under way */
	uint8_t popping, seq;
	uint8_t reserved[6];
	struct ob_vblk_queue_counters counters;
};
static_assert(sizeof(struct vblk_queue_arena) == 160, "arena layout");

/* ---- requests --------------------------------------------------------------------------------------------------------- */

struct vblk_queue;

/* What a request of many segments needs beside its slot. */
struct vblk_big {
	struct vblk_big *next;
	union {
		struct ob_virtq_seg seg[VBLK_MAX_SEGS];
		struct virtio_blk_discard_write_zeroes range[OB_VBLK_MAX_RANGES];
	};
	struct iovec iov[OB_BLK_MAX_IOV];
};

/* A request from the pop of its chain to the flush of its used element. Its data goes to the device in one I/O or, where that is too
 * long for one, in several, one after the other. */
struct vblk_req {
	struct ob_blk_io io;
	struct vblk_queue *q;
	struct vblk_req *next; /* free, done, again or canceled */
	struct vblk_big *big;  /* NULL: the small arrays do */
	uint64_t left;	       /* bytes of data from where the present I/O starts; ranges: n left */
	uint32_t seg_off;      /* where it starts: in this segment */
	uint16_t seg_idx;      /* or range */
	uint16_t n_seg;
	uint32_t type;	/* VIRTIO_BLK_T_* */
	uint8_t status; /* VIRTIO_BLK_S_* */
	bool ranges;	/* DISCARD, WRITE_ZEROES: ranges instead of segments */
	ob_iova_t status_at;
	struct ob_virtq_chain chain;
	union {
		struct ob_virtq_seg seg[VBLK_SMALL_SEGS];
		struct virtio_blk_discard_write_zeroes range[VBLK_SMALL_SEGS];
	};
	struct iovec iov[VBLK_SMALL_IOV];
};

struct vblk_list {
	struct vblk_req *head, **tail;
};

static inline void list_init(struct vblk_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static inline void list_add(struct vblk_list *l, struct vblk_req *r)
{
	r->next = NULL;
	*l->tail = r;
	l->tail = &r->next;
}

/* ---- queues ----------------------------------------------------------------------------------------------------------- */

/* A running queue. Written by its worker only, once it runs. */
struct vblk_queue {
	struct ob_virtq *vq;
	struct vblk_shard *sh;
	struct vblk_queue_arena *arena;
	struct ob_vblk_queue_counters *counters;
	union vblk_entry *journal;
	struct vblk_req *slot; /* as many as the ring is long: the ring never has more outside */
	struct vblk_req *free;
	struct vblk_big *big, *free_big;
	struct vblk_list done;	   /* to be told to the driver */
	struct vblk_list again;	   /* with more data to move */
	struct vblk_list canceled; /* to be translated anew */
	unsigned n_free, n_out;	   /* slots; I/Os at the device */
	uint64_t features;
	int irq_fd;
	uint16_t size;
	uint8_t q;
	bool packed;
	bool paused;   /* takes nothing, starts nothing */
	bool closing;  /* what is canceled fails */
	bool reported; /* that it is broken */
};

/* One function's share of one worker: its queues there and their channel. A source of the worker. */
struct vblk_shard {
	struct ob_vblk *vb;
	struct ob_worker *worker;
	struct ob_blk_ch *ch;
	struct vblk_scratch *scratch;
	unsigned n_queues, n_batch;
	struct vblk_queue *queue[OB_VBLK_MAX_QUEUES];
	struct ob_blk_io *batch[VBLK_BATCH];
};

/* One worker's, for all functions. */
struct vblk_scratch {
	unsigned n_users; /* control's */
	struct ob_virtq_chain chain[VBLK_BURST];
	uint32_t written[VBLK_BURST];
	struct ob_virtq_seg seg[VBLK_SCRATCH_SEGS];
};

struct ob_vblk {
	struct ob_vblk_conf conf;
	unsigned first_worker;
	uint32_t block_bytes;
	bool volatile_cache, can_discard;
	uint64_t features;
	uint8_t writeback; /* what the driver chose */
	uint8_t fua;	   /* every write is durable when it completes; read by workers */
	struct vblk_queue_arena *arena;
	union vblk_entry *journal;		      /* queue_size of each queue */
	struct vblk_queue *queue[OB_VBLK_MAX_QUEUES]; /* control's; NULL: not running */
	struct vblk_shard *shard[OB_MAX_WORKERS];     /* control's */
	int32_t queue_worker[OB_VBLK_MAX_QUEUES]; /* for kicks from any thread; -1: not running */
	uint64_t broken;			  /* bit per queue: event not yet delivered */
	uint64_t waited_ns, waited_at_ns;	  /* control's: for queues to finish, wearing off */
	void (*on_broken)(void *ctx, unsigned q);
	void *on_broken_ctx;
	struct ob_vblk *next;
};

/* vblk.c. Tells control, once a break. Context: owner. */
void vblk_queue_broke(struct vblk_queue *q);

/* request.c. Makes a request of a chain that was popped just now.
 * Returns 0: to be submitted, or on the done list if r->io.op is OB_BLK_N_OPS; -ENOBUFS no memory for so many segments now;
 * -EPROTO no header or no status. Context: owner, inside a burst. */
int vblk_req_parse(struct vblk_queue *q, const struct ob_gmem_map *map,
    const struct ob_virtq_chain *c, const struct ob_virtq_seg *segs, bool fua, struct vblk_req *r);

/* data.c. Fills the I/O for what comes next of the request's data. Returns 0; -errno of the translation. */
int vblk_req_next(struct vblk_req *r, const struct ob_gmem_map *map, uint32_t block_bytes);
/* After that I/O: moves on. Returns true if there is more. */
bool vblk_req_advance(struct vblk_req *r);

/* request.c: counts a request by its type. */
void vblk_req_count(struct vblk_queue *q, const struct vblk_req *r);

/* run.c: the source. */
unsigned vblk_poll(struct ob_worker *w, void *arg);
bool vblk_arm(struct ob_worker *w, void *arg);
void vblk_disarm(struct ob_worker *w, void *arg);
/* Starts the I/O that comes next; fails the request where it has no memory behind it. Context: owner. */
void vblk_start(struct vblk_queue *q, struct vblk_req *r, const struct ob_gmem_map *map);
/* Submits what vblk_start collected. Context: owner. */
void vblk_submit(struct vblk_shard *sh);
/* Tells the driver of what is done. Context: owner. */
void vblk_finish(struct vblk_queue *q);

/* Single writer, readers anywhere: no read-modify-write is needed, only no torn store. */
static inline void vblk_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void vblk_fail(struct vblk_queue *q, struct vblk_req *r, uint8_t status)
{
	r->status = status;
	list_add(&q->done, r);
}

static inline const struct ob_virtq_seg *vblk_segs(const struct vblk_req *r)
{
	return r->big != NULL ? r->big->seg : r->seg;
}

static inline const struct virtio_blk_discard_write_zeroes *vblk_ranges(const struct vblk_req *r)
{
	return r->big != NULL ? r->big->range : r->range;
}
