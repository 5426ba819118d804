/* SPDX-License-Identifier: BSD-3-Clause */
/* A thin device in memory. Which file: cow_store.c what is on the store, cow_space.c free clusters, cow_io.c I/Os, cow_alloc.c the first
 * write to a cluster and what removes one, cow_snap.c snapshots, cow.c the device.
 *
 * Sharing among workers: map entries are atomic words, read without a lock. Who changes one claims it (COW_BUSY by compare-and-swap);
 * writers that meet a claimed entry wait, readers use what it says. A cluster that was unlinked is used again when the unlinking is
 * durable and all I/Os that were under way then are over (epochs, as in EBR: channels publish the epoch they run in and count the
 * parts they have under way in each). Only allocation and giving back take the lock, for some instructions.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "block_priv.h"
#include "cow_fmt.h"

#define COW_STORE  0 /* children */
#define COW_PARENT 1

#define COW_IDLE       UINT64_MAX /* cow_ch.local outside of a run */
#define COW_MAX_OPS    256
#define COW_MAX_PARTS  256
#define COW_MAX_BLOCKS 32
#define COW_BLOCK_IOV  (OB_BLK_MAX_IOV + OB_BLK_MAX_BYTES / COW_MIN_CLUSTER + 1)
#define COW_BATCH      64
#define COW_MAX_SLOTS  32
#define COW_SCAN_MAX   65536 /* entries that one look at an I/O goes over */

struct cow;
struct cow_ch;

struct cow_op {
	struct ob_blk_io *io;
	struct cow_op *next;
	uint32_t n_left; /* parts and slots under way, and one while it is issued */
	int32_t result;
	uint64_t pos;
	bool flush_after; /* FUA: what it wrote, or found there, is not durable by itself */
	unsigned n_iov;
	struct iovec *iov; /* COW_BLOCK_IOV, or NULL */
};

struct cow_part {
	struct ob_blk_io io; /* first */
	struct cow_ch *c;
	struct cow_op *op;
	struct cow_part *next;
	uint8_t epoch; /* modulo 3 */
	bool writes;
};

struct cow_slot_io {
	struct ob_blk_io io; /* first */
	struct cow_slot *s;
};

/* One change of the map: a cluster that is allocated, or up to a page of entries that are removed. */
struct cow_slot {
	/* Head and tail of the old content; then [0] the data, the map page. */
	struct cow_slot_io io[2];
	struct iovec iov[2];
	struct cow_ch *c;
	struct cow_op *op;
	struct cow_slot *next;
	struct cow_slot *joined; /* those whose entries go out with our page */
	unsigned n_ios;		 /* under way */
	int32_t result;
	bool unmap;
	uint64_t v, n;	    /* first entry, number of them */
	uint64_t old, phys; /* of an allocation */
	uint8_t *buf;	    /* a cluster; of an unmap: the old entries, UINT64_MAX not claimed */
	uint8_t *page;	    /* COW_PAGE_BYTES */
};

struct cow_list {
	struct cow_slot *head, **tail;
};

struct cow_ch {
	struct ob_blk_ch ch;
	struct cow_ch *next; /* of the device's */
	/* Written by the owner, read by whoever advances the epoch or pauses the device. */
	_Atomic uint64_t local;
	_Atomic uint32_t under_way[3];
	_Atomic uint32_t n_changing; /* parts that write in place, and slots */

	uint64_t epoch; /* of this run */
	bool running, again;
	bool stuck; /* waits for another channel */
	struct ob_blk_io *in, **in_tail;
	struct cow_op *todo, **todo_tail;
	struct cow_op *free_op, *ops;
	struct cow_part *free_part, *parts;
	struct iovec *blocks, *free_block[COW_MAX_BLOCKS];
	unsigned n_free_blocks;
	struct cow_slot slots[COW_MAX_SLOTS], *free_slot;
	uint8_t *slot_mem;
	/* One store flush at a time serves all who asked before it was submitted. */
	struct ob_blk_io flush;
	bool flushing;
	/* Waits for space that a flush gives back; it does not end before the flush, so that nothing of the channel is under way then. */
	struct cow_op *space_op, *space_op_now;
	int flush_error; /* of the last one */
	uint64_t flush_seq;
	struct cow_list flush_wait, flush_now;
	struct cow_op *flush_op_wait, *flush_op_now;
	struct cow_list map_wait;
	unsigned n_batch[2];
	struct ob_blk_io *batch[2][COW_BATCH];
};

/* Sets of clusters. */
struct cow_set {
	uint64_t *w;
	uint64_t n; /* members */
	uint64_t n_max;
};

struct cow {
	struct ob_blk b;
	struct cow *next;   /* of all there are */
	struct cow *origin; /* of a snapshot's device; holds a reference */
	unsigned snap_idx;
	struct cow_super sb; /* host order but for names, uuids */
	unsigned shift;
	uint64_t parent_bytes; /* 0 without a parent */
	uint64_t n_entries;    /* of the greatest size */
	_Atomic uint64_t *map;
	_Atomic uint8_t *page_lock; /* one channel at a time writes a map page */
	uint32_t seed;
	bool store_volatile;
	struct ob_blk_ch *ctl; /* control's own channel to the store */
	_Atomic uint64_t n_copied, n_damaged;

	_Atomic bool paused;
	_Atomic bool failed; /* the map on the store is in doubt: no more changes */
	_Atomic uint64_t epoch;
	_Atomic uint64_t map_seq, durable_seq; /* map pages written; those known to be durable */

	pthread_mutex_t lock;
	struct cow_ch *chs;
	uint64_t n_clusters, n_words;
	uint64_t hint; /* word where the search for a free one starts */
	struct cow_set free;
	/* Unlinked ones: 'limbo' gathers, 'grace' waits for its epoch and sequence number. */
	struct cow_set limbo, grace;
	uint64_t grace_epoch, grace_seq;
	bool snap_open[COW_N_MAPS - 1];
};

static inline uint64_t cow_load(const struct cow *d, uint64_t v)
{
	return atomic_load_explicit(&d->map[v], memory_order_acquire);
}

static inline uint64_t cow_phys_off(const struct cow *d, uint64_t e)
{
	return d->sb.data_off + ((e & COW_PHYS) << d->shift);
}

/* Entries of the device's present size. */
static inline uint64_t cow_n_used(const struct cow *d)
{
	return (d->sb.bytes + (1ull << d->shift) - 1) >> d->shift;
}

/* ---- cow_store.c; control ---- */
int cow_sync(struct cow *d, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len);
/* Writes d->sb with the next generation to both slots. */
int cow_write_super(struct cow *d);
/* Reads and checks the superblocks and the maps; repairs. */
int cow_load_store(struct cow *d, const struct ob_blk_cow_conf *conf, char *err, size_t err_len);
int cow_check_store(struct cow *d, char *err, size_t err_len);
/* Reads map 'map' of 'n' entries; calls 'fn' with each entry that is not a hole. Returns 0, -ENOMEM, -errno. */
int cow_read_map(struct cow *d, unsigned map, uint64_t n,
    void (*fn)(void *ctx, uint64_t v, uint64_t e), void *ctx);
/* Writes 'n' entries from 'from', the first of a page, on; the rest of the last page is made holes. */
int cow_write_map(struct cow *d, unsigned map, uint64_t from, const uint64_t *entries, uint64_t n);
int cow_map_alloc(struct cow *d);

/* ---- cow_space.c ---- */
int cow_set_init(struct cow_set *s, uint64_t n_words);
bool cow_set_has(const struct cow_set *s, uint64_t i);
bool cow_set_add(struct cow_set *s, uint64_t i); /* returns false: was there */
/* Returns 0; -EAGAIN: clusters are about to become free, ask again; -ENOSPC. */
int cow_get_cluster(struct cow *d, uint64_t *phys);
void cow_put_cluster(struct cow *d, uint64_t phys);
/* Moves clusters on that were given back. */
void cow_reclaim(struct cow *d);
int cow_grow(struct cow *d, uint64_t n_clusters); /* control */
/* Stops changes and waits for those under way. Returns 0, -ETIMEDOUT (and goes on). Control. */
int cow_pause(struct cow *d);
void cow_resume(struct cow *d);

/* ---- cow_io.c; the channel's owner ---- */
int cow_ch_open(struct ob_blk_ch *ch);
void cow_ch_close(struct ob_blk_ch *ch);
void cow_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n);
void cow_poll(struct ob_blk_ch *ch);
bool cow_arm(struct ob_blk_ch *ch, bool *must_poll);
void cow_cancel(struct ob_blk_ch *ch, const void *owner);
void cow_run(struct cow_ch *c);
void cow_op_put(struct cow_ch *c, struct cow_op *op);
bool cow_op_iov(struct cow_ch *c, struct cow_op *op);
void cow_push(struct cow_ch *c, unsigned child, struct ob_blk_io *io);

/* ---- cow_alloc.c; the channel's owner ---- */
void cow_slots_init(struct cow_ch *c);
void cow_list_init(struct cow_list *l);
void cow_list_add(struct cow_list *l, struct cow_slot *s);
/* Starts what bytes [at, at + len) of entry 'e' (not DATA alone, not BUSY) need. Returns 1 started, 0 wait, -errno. */
int cow_alloc(struct cow_ch *c, struct cow_op *op, uint64_t at, uint64_t len, uint64_t e);
/* Removes whole clusters from entry 'v' on, at most 'n' and to the end of the page. Returns entries done, 0: wait. */
uint64_t cow_unmap(struct cow_ch *c, struct cow_op *op, uint64_t v, uint64_t n);
/* An entry that a DISCARD or WRITE_ZEROES of whole clusters has to change. */
bool cow_unmaps(const struct cow *d, const struct ob_blk_io *io, uint64_t v, uint64_t e);
void cow_flushed(struct cow_ch *c, struct cow_slot *s, int result);
void cow_write_maps(struct cow_ch *c);

/* ---- cow_snap.c, cow.c ---- */
bool cow_is(const struct ob_blk *b); /* thin device or a snapshot's */
const uint8_t *cow_uuid(const struct ob_blk *b);
bool cow_name_ok(const char name[32]);
extern const struct blk_ops cow_ops, cow_snap_ops;
