/* SPDX-License-Identifier: BSD-3-Clause */
/* Device side of split and packed virtqueues (virtio 1.2, 2.7 and 2.8) over guest memory.
 *
 * One worker owns a queue at a time. All the guest's bytes are hostile: every index and descriptor is fetched once,
 * checked, and used from the copy; a malformed ring breaks the queue (-EPROTO) and nothing else.
 *
 * Life of a burst:  begin -> pop... -> push... -> flush.  Positions live in struct ob_virtq_state, which the caller
 * keeps in the arena, and are advanced there in an order that lets a successor continue after a crash at any store.
 */
#pragma once

#include <assert.h>
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "ob_gmem.h"

#define OB_VIRTQ_MAX_SIZE 4096 /* largest queue we offer; a power of two for split rings */

/* Positions that must survive; arena layout, native byte order, no pointers. Written by the owner only.
 *
 * Order of stores, so that a successor finds its way after a crash between any two (ob_virtq_recover):
 *   pop     'inflight', then the positions (one 8-byte store).
 *   flush   'flush_to', 'flushing' = 1; used elements into the guest's ring; the guest sees them (split: used idx;
 *           packed: flags of the first slot, the later slots having been written last to first); the positions;
 *           'flushing' = 0.
 * A crash before the guest saw it: the chains are popped again. After: they are used, and the interrupt may be missing.
 */
struct ob_virtq_state {
	union {
		struct {
			uint16_t
			    avail_idx; /* split: next entry of the avail ring; packed: next slot, 0..size-1 */
			uint16_t
			    used_idx; /* split: next entry of the used ring; packed: next slot to write used */
			uint8_t avail_wrap; /* packed: the wrap counters (virtio 1.2, 2.8.1) */
			uint8_t used_wrap;
			uint16_t
			    signalled_used; /* used position at the last interrupt decision (2.7.7, 2.8.10) */
		};
		uint64_t pos; /* the five above, for one store */
	};
	uint8_t signalled_valid;
	uint8_t broken;	   /* enum ob_virtq_fault; not 0: needs a device reset */
	uint16_t inflight; /* popped, not yet pushed */
	uint16_t
	    flush_to; /* the used position that a flush under way leads to; packed: wrap counter in bit 15 */
	uint8_t flushing;
	uint8_t reserved;
};
static_assert(sizeof(struct ob_virtq_state) == 16, "arena layout");

/* Why a queue is broken. */
enum ob_virtq_fault {
	OB_VIRTQ_SOUND,
	OB_VIRTQ_BAD_JUMP, /* the avail index is further ahead than the queue is long */
	OB_VIRTQ_BAD_HEAD, /* an avail entry names no descriptor */
	OB_VIRTQ_BAD_NEXT, /* a chain leads out of the table, in a circle, or past the free slots */
	OB_VIRTQ_BAD_INDIRECT, /* without the feature, nested, of bad length, chained on, or not in readable memory */
	OB_VIRTQ_BAD_ORDER,   /* a device-readable segment behind a device-writable one */
	OB_VIRTQ_BAD_LENGTH,  /* a segment of 0 bytes, or 2^32 and more in total */
	OB_VIRTQ_TOO_LONG,    /* more segments than the caller can take */
	OB_VIRTQ_POISONED,    /* the guest's memory went away under us */
	OB_VIRTQ_BLOCKED,     /* the host made an interrupt of ours block */
	OB_VIRTQ_BAD_REQUEST, /* the chain has no room for what its device type demands */
};

struct ob_virtq_conf {
	struct ob_gmem *gm;
	struct ob_virtq_state *
	    state; /* caller's, in the arena; continued from as it stands (zero it for a fresh queue: ob_virtq_state_init) */
	ob_iova_t desc, driver,
	    device;	/* descriptor area, driver area (avail), device area (used) */
	uint16_t size;	/* split: power of two <= OB_VIRTQ_MAX_SIZE; packed: 1..OB_VIRTQ_MAX_SIZE */
	bool packed;	/* VIRTIO_F_RING_PACKED */
	bool event_idx; /* VIRTIO_F_EVENT_IDX */
	bool in_order;	/* VIRTIO_F_IN_ORDER: chains are pushed in the order they were popped */
	bool indirect;	/* VIRTIO_F_INDIRECT_DESC */
};

struct ob_virtq; /* opaque to control; its size is public for the hot path's sake only */

struct ob_virtq_seg {
	ob_iova_t iova;
	uint32_t len;	   /* > 0 */
	uint32_t writable; /* 0 or 1: 1 = the device writes */
};

/* A popped descriptor chain: a private, checked copy. Device-readable segments come before device-writable ones. */
struct ob_virtq_chain {
	uint16_t
	    id; /* split: head index, < size; packed: buffer id, any number: echo it, index nothing by it */
	uint16_t n_slots; /* ring slots that the chain took (packed needs them to push; split: 1) */
	uint16_t n_seg;	  /* segments, first at seg[seg_first] of the array given to pop */
	uint16_t n_readable; /* the first n_readable of them are device-readable */
	uint32_t seg_first;
	uint32_t readable_bytes; /* sums; a chain whose sum exceeds 2^32-1 is malformed */
	uint32_t writable_bytes;
};

/* Fresh positions for a queue that starts at 0 with both wrap counters 1. */
void ob_virtq_state_init(struct ob_virtq_state *st);

/* Checks the configuration, registers the windows. Context: control. The queue is then handed to its worker.
 * Returns 0; -EINVAL bad size, alignment (2.7: 16/2/4, 2.8: 16/4/4) or wrapping address; -ENOSPC no window; -ENOMEM. */
int ob_virtq_create(const struct ob_virtq_conf *conf, struct ob_virtq **out);
/* Unregisters; the worker must have let go. Leaves the state as it stands. NULL is legal. Context: control. */
void ob_virtq_destroy(struct ob_virtq *vq);

/* Loads the guest map for this burst. Context: owner. Returns 0; -EAGAIN the ring's memory is not mapped now (stalled:
 * try later); -EPROTO the queue is broken, or its guest's memory is poisoned, which breaks it. Every other call of a
 * burst needs a begin that returned 0. */
int ob_virtq_begin(struct ob_virtq *vq);
/* The map that begin loaded, for ob_gmem_fetch/store of the segments. */
const struct ob_gmem_map *ob_virtq_map(const struct ob_virtq *vq);

/* Pops up to 'max_chains' chains whose segments all fit into 'segs' together. Context: owner.
 * Returns the number popped (0: none available); less than are available when the next needs more of 'segs' than the
 * others of this call left. -EPROTO malformed (enum ob_virtq_fault says how; a chain that needs more than 'max_segs'
 * alone is one). The queue is then broken and what was popped in this call is lost. A chain of direct descriptors is
 * bounded by the queue size; one in an indirect table by 'max_segs', because drivers do build longer ones there. */
int ob_virtq_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs);

/* Gives the last 'n' popped and not pushed chains back, newest first, as if never popped: chains[0] is the oldest of
 * them. Context: owner. */
void ob_virtq_unpop(struct ob_virtq *vq, const struct ob_virtq_chain *chains, unsigned n);

/* Queues chains as used with 'written[i]' bytes written into the writable part (0 for transmit). Not visible to the
 * guest until flush, so that a mergeable packet's buffers appear together (5.1.6.4). With in_order a run of chains
 * without writable segments is given back by one used element (2.7.9, 2.8.9). Context: owner. */
void ob_virtq_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n);

/* Publishes everything pushed (release; the guest's driver acquires). Context: owner.
 * Returns true if the guest wants an interrupt for it (flags or event index, 2.7.7, 2.8.10). */
bool ob_virtq_flush(struct ob_virtq *vq);

/* Number of chains that may be popped now as far as the index tells (one load, no validation); packed: 0 or 1 = "at
 * least one". Context: owner, inside a burst. */
unsigned ob_virtq_available(struct ob_virtq *vq);

/* Asks the guest for a notification at the next available buffer, with a full fence, and looks again.
 * Returns true if buffers are available already (caller goes on polling). Context: owner, inside a burst. */
bool ob_virtq_arm(struct ob_virtq *vq);
/* Tells the guest that no notification is needed. Context: owner, inside a burst. */
void ob_virtq_disarm(struct ob_virtq *vq);

/* For the successor of an owner that died: finishes or forgets the flush that was under way, so that whatever the guest
 * has not seen used is popped again. Right only for an owner that pushes in the order it pops (the network); another
 * needs a journal of its own. A packed flush that was cut short while its slots were being written is finished with 0
 * bytes written for the chains that were still to come. Interrupt the guest once afterwards. Context: owner, before its
 * first burst. Returns 0, or as ob_virtq_begin. */
int ob_virtq_recover(struct ob_virtq *vq);

/* Breaks the queue for a reason that its owner found. Context: owner. */
void ob_virtq_break(struct ob_virtq *vq, enum ob_virtq_fault why);

bool ob_virtq_broken(const struct ob_virtq *vq);
/* What broke it, in a few words; "sound" if nothing did. */
const char *ob_virtq_broken_why(const struct ob_virtq *vq);
uint16_t ob_virtq_size(const struct ob_virtq *vq);
