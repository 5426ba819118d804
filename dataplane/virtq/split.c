/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueues (virtio 1.2, 2.7). */
#include "virtq_priv.h"

#include <errno.h>
#include <stddef.h>

/* Heads are fetched this many at a time, so that their descriptors are on the way while the first are looked at. */
#define HEADS 32

#define AVAIL_IDX offsetof(struct vring_avail, idx)
#define USED_IDX  offsetof(struct vring_used, idx)

static const uint8_t *desc_at(const struct ob_virtq *vq, uint16_t idx)
{
	return vq->desc + (size_t)idx * sizeof(struct vring_desc);
}

/* A descriptor, as its two halves. */
struct copy {
	uint64_t addr;
	uint64_t rest; /* len, flags, next from the low end */
};

static inline struct copy desc_fetch(const uint8_t *at)
{
	return (struct copy){.addr = ob_gmem_ld_le64(at), .rest = ob_gmem_ld_le64(at + 8)};
}

static inline uint16_t flags_of(struct copy d)
{
	return (uint16_t)(d.rest >> 32);
}

/* A chain of more than one descriptor whose first is 'd'. Returns 0, NO_ROOM or -EPROTO. */
static int walk(struct ob_virtq *vq, struct build *b, struct copy d)
{
	for (unsigned ttl = vq->size;; ttl--) {
		uint16_t flags = flags_of(d), next = (uint16_t)(d.rest >> 48);
		int rc;

		if (flags & VRING_DESC_F_INDIRECT) {
			/* 2.7.5.3.1: a driver must not set both. */
			if (flags & VRING_DESC_F_NEXT)
				return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
			return virtq_indirect(vq, b, d.addr, (uint32_t)d.rest, true);
		}
		rc = build_add(vq, b, d.addr, (uint32_t)d.rest, flags & VRING_DESC_F_WRITE);
		if (rc != 0 || (flags & VRING_DESC_F_NEXT) == 0)
			return rc;
		if (next >= vq->size || ttl == 1)
			return virtq_break(vq, OB_VIRTQ_BAD_NEXT);
		d = desc_fetch(desc_at(vq, next));
	}
}

/* How many entries of the avail ring may be looked at; fetches the index only if fewer than 'want' are known.
 * Returns -EPROTO on a jump. */
static int ready(struct ob_virtq *vq, union pos p, unsigned want)
{
	uint16_t n = (uint16_t)(vq->seen_avail - p.avail_idx);
	uint16_t out = (uint16_t)(p.avail_idx - p.used_idx);
	uint16_t idx;

	if (n >= want)
		return n;
	/* Pairs with the barrier of the guest's driver between filling entries and moving the index. */
	idx = ob_gmem_ld_le16_acq(vq->driver + AVAIL_IDX);
	n = (uint16_t)(idx - p.avail_idx);
	/* A driver has at most one queue size of chains outside. */
	if (n > vq->size || n + out > vq->size)
		return virtq_break(vq, OB_VIRTQ_BAD_JUMP);
	vq->seen_avail = idx;
	return n;
}

/* Fetches 'n' heads. Returns 0, -EPROTO. */
static inline int heads_fetch(struct ob_virtq *vq, uint16_t from, uint16_t *head, unsigned n)
{
	const uint8_t *ring = vq->driver + offsetof(struct vring_avail, ring), *desc = vq->desc;
	unsigned size = vq->size, mask = size - 1;

	for (unsigned i = 0; i < n; i++) {
		head[i] = ob_gmem_ld_le16(ring + 2 * (size_t)((from + i) & mask));
		if (head[i] >= size)
			return virtq_break(vq, OB_VIRTQ_BAD_HEAD);
		__builtin_prefetch(desc + sizeof(struct vring_desc) * head[i]);
	}
	return 0;
}

/* The chain at 'head' whose first descriptor is 'd'. Returns 0, NO_ROOM or -EPROTO. Out of line, or the loop over plain
 * chains gets its registers spilled. */
static __attribute__((noinline)) int chain_long(struct ob_virtq *vq, uint16_t head, struct copy d,
    struct ob_virtq_chain *c, struct ob_virtq_seg *segs, unsigned n_seg, unsigned max_segs)
{
	struct build b = {.seg = segs + n_seg, .room = max_segs - n_seg};
	int rc = walk(vq, &b, d);

	if (rc != 0)
		return rc;
	*c = (struct ob_virtq_chain){
	    .id = head,
	    .n_slots = 1,
	    .n_seg = (uint16_t)b.n,
	    .n_readable = (uint16_t)b.n_readable,
	    .seg_first = n_seg,
	    .readable_bytes = (uint32_t)b.readable_bytes,
	    .writable_bytes = (uint32_t)b.writable_bytes,
	};
	return 0;
}

/* The chains at 'n' heads, until one does not fit; '*done' of them, whose segments bring '*n_seg' up to date.
 * Returns 0, NO_ROOM or -EPROTO. */
static inline int chains_fetch(struct ob_virtq *vq, const uint16_t *head, unsigned n,
    struct ob_virtq_chain *chains, unsigned *done, struct ob_virtq_seg *segs, unsigned *n_seg,
    unsigned max_segs)
{
	const uint8_t *desc = vq->desc;
	unsigned used = *n_seg, i;
	int rc = 0;

	for (i = 0; i < n; i++) {
		struct copy d = desc_fetch(desc + sizeof(struct vring_desc) * head[i]);
		uint16_t flags = flags_of(d);

		if ((flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == 0)
			rc = build_single(vq, &chains[i], head[i], segs, used, max_segs, d.addr,
			    (uint32_t)d.rest, flags & VRING_DESC_F_WRITE);
		else
			rc = chain_long(vq, head[i], d, &chains[i], segs, used, max_segs);
		if (rc != 0)
			break;
		used += chains[i].n_seg;
	}
	*n_seg = used;
	*done += i;
	return rc;
}

int split_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);
	unsigned done = 0, n_seg = 0, n;
	uint16_t head[HEADS];
	int rc = ready(vq, p, max_chains);

	if (rc < 0)
		return rc;
	n = (unsigned)rc < max_chains ? (unsigned)rc : max_chains;
	rc = 0;
	while (done < n && rc == 0) {
		unsigned batch = n - done < HEADS ? n - done : HEADS;

		rc = heads_fetch(vq, (uint16_t)(p.avail_idx + done), head, batch);
		if (rc == 0)
			rc = chains_fetch(
			    vq, head, batch, chains + done, &done, segs, &n_seg, max_segs);
	}
	if (rc == NO_ROOM && done == 0)
		return virtq_break(vq, OB_VIRTQ_TOO_LONG);
	if (rc < 0)
		return rc;
	if (done == 0)
		return 0;
	st->inflight = (uint16_t)(st->inflight + done);
	p.avail_idx = (uint16_t)(p.avail_idx + done);
	pos_store(st, p);
	return (int)done;
}

void split_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n)
{
	uint8_t *ring = vq->device + offsetof(struct vring_used, ring);
	unsigned idx = vq->push_idx, mask = vq->size - 1u;
	bool in_order = vq->in_order;

	for (unsigned i = 0; i < n; i++, idx++) {
		uint8_t *at = ring + sizeof(struct vring_used_elem) * (idx & mask);

		/* 2.7.9: one element for a run, at the first one's place, with the last one's id. What a driver learns
		 * of the others is "used completely", which says nothing wrong where nothing could be written. */
		if (in_order && chains[i].writable_bytes == 0) {
			for (; i + 1 < n && chains[i + 1].writable_bytes == 0; i++)
				idx++;
		}
		/* Two stores: the ring is aligned to 4 bytes only. */
		ob_gmem_st_le32(at, chains[i].id);
		ob_gmem_st_le32(at + 4, written[i]);
	}
	vq->push_idx = (uint16_t)idx;
}

/* Does the guest want an interrupt for the used entries [old, now)? Spec: 2.7.7.2. */
static bool wants_interrupt(struct ob_virtq *vq, uint16_t now, uint16_t old)
{
	bool valid = vq->state->signalled_valid;

	/* Pairs with the barrier of the guest's driver between saying what it wants and looking at the used index. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!vq->event_idx)
		return (ob_gmem_ld_le16(vq->driver) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	vq->state->signalled_valid = 1;
	return vring_need_event(ob_gmem_ld_le16(vq->driver + offsetof(struct vring_avail, ring) +
						2 * (size_t)vq->size),
		   now, old) ||
	       !valid;
}

bool split_flush(struct ob_virtq *vq)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);
	uint16_t now = vq->push_idx, old = p.signalled_used;

	if (now == p.used_idx)
		return false;
	st->flush_to = now;
	crash_point();
	st->flushing = 1;
	crash_point();
	/* Pairs with the barrier of the guest's driver between reading the index and the elements. */
	ob_gmem_st_le16_rel(vq->device + USED_IDX, now);
	p.used_idx = now;
	p.signalled_used = now;
	pos_store(st, p);
	st->flushing = 0;
	return wants_interrupt(vq, now, old);
}

unsigned split_available(const struct ob_virtq *vq)
{
	uint16_t n = (uint16_t)(ob_gmem_ld_le16_acq(vq->driver + AVAIL_IDX) - vq->state->avail_idx);

	return n <= vq->size ? n : vq->size;
}

void split_arm(struct ob_virtq *vq)
{
	if (vq->event_idx)
		ob_gmem_st_le16(vq->device + offsetof(struct vring_used, ring) +
				    sizeof(struct vring_used_elem) * (size_t)vq->size,
		    vq->state->avail_idx);
	else
		ob_gmem_st_le16(vq->device, 0);
}

void split_disarm(struct ob_virtq *vq)
{
	/* 2.7.10.2: with event indices the flag stays 0; the index that was asked for last is behind us. */
	if (!vq->event_idx)
		ob_gmem_st_le16(vq->device, VRING_USED_F_NO_NOTIFY);
}

int split_recover(struct ob_virtq *vq)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);

	if (st->flushing && ob_gmem_ld_le16(vq->device + USED_IDX) == st->flush_to &&
	    (uint16_t)(p.avail_idx - st->flush_to) <= vq->size) {
		p.used_idx = st->flush_to;
		pos_store(st, p);
	}
	return 0;
}
