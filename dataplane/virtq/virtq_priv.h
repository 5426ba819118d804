/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share. */
#pragma once

#include <linux/virtio_ring.h>
#include <stdatomic.h>

#include "ob_virtq.h"

/* An indirect table of up to so many descriptors is copied at once, a longer one descriptor by descriptor, so that a
 * guest cannot make us copy much more than it uses. */
#define TABLE_COPY 64

/* A used element of a packed ring that waits for flush. */
struct pending {
	uint64_t word; /* length, id and flags, as they go into the slot */
	uint16_t slot;
};

struct ob_virtq {
	/* Looked at in each burst. */
	struct ob_virtq_state *state;
	const struct ob_gmem_map *map;
	uint64_t map_gen;		 /* tells a new map at an old address */
	uint8_t *desc, *driver, *device; /* the windows in 'map' */
	uint16_t size;
	uint16_t seen_avail; /* split: avail idx as last fetched and checked */
	uint16_t push_idx;   /* used position behind everything pushed */
	uint8_t push_wrap;
	bool packed, event_idx, in_order, indirect;
	uint16_t n_pending; /* packed */
	struct pending *pending;
	struct ob_gmem *gm;
	int win_desc, win_driver, win_device;
	struct vring_desc table[TABLE_COPY];
};

/* The positions of the state, on their way from one store to the next. */
union pos {
	struct {
		uint16_t avail_idx, used_idx;
		uint8_t avail_wrap, used_wrap;
		uint16_t signalled_used;
	};
	uint64_t word;
};
static_assert(sizeof(union pos) == 8, "one store");

static inline union pos pos_load(const struct ob_virtq_state *st)
{
	return (union pos){.word = __atomic_load_n(&st->pos, __ATOMIC_RELAXED)};
}

/* A crash stops this thread between two instructions; what it stored before is in the arena. So only the compiler must
 * be kept from changing the order of stores to it. */
static inline void crash_point(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	ob_gmem_fake_crash_point();
}

static inline void pos_store(struct ob_virtq_state *st, union pos p)
{
	crash_point();
	__atomic_store_n(&st->pos, p.word, __ATOMIC_RELAXED);
	crash_point();
}

/* A chain under construction. */
struct build {
	struct ob_virtq_seg *seg;
	unsigned room;
	unsigned n, n_readable;
	uint64_t readable_bytes, writable_bytes;
};

/* Marks the queue broken. Returns -EPROTO. */
int virtq_break(struct ob_virtq *vq, enum ob_virtq_fault why);

#define NO_ROOM 1 /* the segments do not fit; nothing is wrong with the chain so far */

/* Adds a segment. Returns 0, NO_ROOM or -EPROTO. */
static inline int build_add(
    struct ob_virtq *vq, struct build *b, uint64_t addr, uint32_t len, bool writable)
{
	if (len == 0)
		return virtq_break(vq, OB_VIRTQ_BAD_LENGTH);
	if (b->n == b->room)
		return NO_ROOM;
	if (writable) {
		b->writable_bytes += len;
	} else {
		/* 2.7.4.2, 2.8.5: readable elements come first. */
		if (b->n != b->n_readable)
			return virtq_break(vq, OB_VIRTQ_BAD_ORDER);
		b->n_readable++;
		b->readable_bytes += len;
	}
	/* 2.7.5.1: no chain is longer than 2^32 bytes. */
	if (b->readable_bytes + b->writable_bytes > UINT32_MAX)
		return virtq_break(vq, OB_VIRTQ_BAD_LENGTH);
	b->seg[b->n++] = (struct ob_virtq_seg){.iova = {addr}, .len = len, .writable = writable};
	return 0;
}

/* A chain of one plain descriptor, which nearly all are: what build_add and the copy into 'c' come to.
 * Returns 0, NO_ROOM or -EPROTO. */
static inline int build_single(struct ob_virtq *vq, struct ob_virtq_chain *c, uint16_t id,
    struct ob_virtq_seg *segs, unsigned n_seg, unsigned max_segs, uint64_t addr, uint32_t len,
    bool writable)
{
	if (len == 0)
		return virtq_break(vq, OB_VIRTQ_BAD_LENGTH);
	if (n_seg == max_segs)
		return NO_ROOM;
	segs[n_seg] = (struct ob_virtq_seg){.iova = {addr}, .len = len, .writable = writable};
	*c = (struct ob_virtq_chain){
	    .id = id,
	    .n_slots = 1,
	    .n_seg = 1,
	    .n_readable = !writable,
	    .seg_first = n_seg,
	    .readable_bytes = writable ? 0 : len,
	    .writable_bytes = writable ? len : 0,
	};
	return 0;
}

/* Follows the indirect table at 'addr'. 'linked': by its next fields (split); else all of it in order (packed).
 * Returns 0, NO_ROOM or -EPROTO. */
int virtq_indirect(struct ob_virtq *vq, struct build *b, uint64_t addr, uint32_t len, bool linked);

int split_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs);
void split_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n);
bool split_flush(struct ob_virtq *vq);
unsigned split_available(const struct ob_virtq *vq);
void split_arm(struct ob_virtq *vq);
void split_disarm(struct ob_virtq *vq);
int split_recover(struct ob_virtq *vq);

int packed_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs);
void packed_unpop(struct ob_virtq *vq, const struct ob_virtq_chain *chains, unsigned n);
void packed_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n);
bool packed_flush(struct ob_virtq *vq);
unsigned packed_available(const struct ob_virtq *vq);
void packed_arm(struct ob_virtq *vq);
void packed_disarm(struct ob_virtq *vq);
int packed_recover(struct ob_virtq *vq);
