/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed virtqueues (virtio 1.2, 2.8). */
#include "virtq_priv.h"

#include <errno.h>
#include <stddef.h>

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)

/* A place in the ring and the wrap counter that goes with it. */
struct place {
	uint16_t idx;
	uint8_t wrap;
};

static inline struct place step(unsigned size, struct place at, unsigned n)
{
	unsigned idx = at.idx + n;

	if (idx >= size) {
		idx -= size;
		at.wrap ^= 1;
	}
	at.idx = (uint16_t)idx;
	return at;
}

/* Slots from 'from' up to 'to', which is at most one round ahead. */
static inline unsigned distance(const struct ob_virtq *vq, struct place from, struct place to)
{
	return from.wrap == to.wrap ? (unsigned)(to.idx - from.idx)
				    : (unsigned)(vq->size + to.idx - from.idx);
}

static inline struct place used_place(union pos p)
{
	return (struct place){p.used_idx, p.used_wrap};
}

static inline struct place avail_place(union pos p)
{
	return (struct place){p.avail_idx, p.avail_wrap};
}

static inline uint8_t *slot_at(const struct ob_virtq *vq, uint16_t idx)
{
	return vq->desc + (size_t)idx * sizeof(struct vring_packed_desc);
}

/* The second half of a descriptor: len, id, flags from the low end. */
static inline uint16_t flags_of(uint64_t word)
{
	return (uint16_t)(word >> 48);
}

static inline uint16_t id_of(uint64_t word)
{
	return (uint16_t)(word >> 32);
}

/* 2.8.1: the avail bit equals the wrap counter and the used bit does not. */
static inline bool is_avail(uint16_t flags, uint8_t wrap)
{
	return (flags & (AVAIL_BIT | USED_BIT)) == (wrap ? AVAIL_BIT : USED_BIT);
}

static inline bool is_used(uint16_t flags, uint8_t wrap)
{
	return (flags & (AVAIL_BIT | USED_BIT)) == (wrap ? AVAIL_BIT | USED_BIT : 0);
}

static inline uint64_t used_word(uint16_t id, uint32_t len, uint8_t wrap)
{
	uint64_t flags = (wrap ? AVAIL_BIT | USED_BIT : 0) | (len > 0 ? VRING_DESC_F_WRITE : 0);

	return len | (uint64_t)id << 32 | flags << 48;
}

/* A chain that starts at 'at' with 'word' and is more than one plain descriptor; 'room' slots may belong to it.
 * Returns the number of its slots, 0 when the segments do not fit, or -EPROTO. */
static int walk(struct ob_virtq *vq, struct build *b, struct place at, uint64_t word, unsigned room,
    uint16_t *id)
{
	for (unsigned n = 1;; n++) {
		uint16_t flags = flags_of(word);
		uint64_t addr = ob_gmem_ld_le64(slot_at(vq, at.idx));
		int rc;

		if (flags & VRING_DESC_F_INDIRECT) {
			/* 2.8.6: a list holds descriptors of one type only. */
			if (n > 1 || (flags & VRING_DESC_F_NEXT))
				return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
			rc = virtq_indirect(vq, b, addr, (uint32_t)word, false);
		} else {
			rc = build_add(vq, b, addr, (uint32_t)word, flags & VRING_DESC_F_WRITE);
		}
		if (rc != 0)
			return rc == NO_ROOM ? 0 : rc;
		*id = id_of(word);
		if ((flags & VRING_DESC_F_NEXT) == 0)
			return (int)n;
		if (n == room)
			return virtq_break(vq, OB_VIRTQ_BAD_NEXT);
		at = step(vq->size, at, 1);
		/* The acquire at the head covers the whole list: its first descriptor is made available last (2.8.5). */
		word = ob_gmem_ld_le64(slot_at(vq, at.idx) + 8);
	}
}

/* As walk, and fills 'c'. Out of line, or the loop over plain chains gets its registers spilled. */
static __attribute__((noinline)) int chain_long(struct ob_virtq *vq, struct place at, uint64_t word,
    unsigned room, struct ob_virtq_chain *c, struct ob_virtq_seg *segs, unsigned n_seg,
    unsigned max_segs)
{
	struct build b = {.seg = segs + n_seg, .room = max_segs - n_seg};
	uint16_t id = 0;
	int n_slots = walk(vq, &b, at, word, room, &id);

	if (n_slots <= 0)
		return n_slots;
	*c = (struct ob_virtq_chain){
	    .id = id,
	    .n_slots = (uint16_t)n_slots,
	    .n_seg = (uint16_t)b.n,
	    .n_readable = (uint16_t)b.n_readable,
	    .seg_first = n_seg,
	    .readable_bytes = (uint32_t)b.readable_bytes,
	    .writable_bytes = (uint32_t)b.writable_bytes,
	};
	return n_slots;
}

int packed_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);
	struct place at = avail_place(p);
	unsigned size = vq->size, room = size - distance(vq, used_place(p), at);
	const uint8_t *ring = vq->desc;
	unsigned done, n_seg = 0;
	int n_slots = 1;

	for (done = 0; done < max_chains && room > 0; done++) {
		const uint8_t *slot = ring + sizeof(struct vring_packed_desc) * at.idx;
		/* Pairs with the guest's write barrier before the flags, which lie in the same word. */
		uint64_t word = ob_gmem_ld_le64_acq(slot + 8);
		uint16_t flags = flags_of(word);

		if (!is_avail(flags, at.wrap))
			break;
		if ((flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == 0) {
			int rc = build_single(vq, &chains[done], id_of(word), segs, n_seg, max_segs,
			    ob_gmem_ld_le64(slot), (uint32_t)word, flags & VRING_DESC_F_WRITE);

			n_slots = rc == 0 ? 1 : rc == NO_ROOM ? 0 : rc;
		} else {
			n_slots =
			    chain_long(vq, at, word, room, &chains[done], segs, n_seg, max_segs);
		}
		if (n_slots <= 0)
			break;
		n_seg += chains[done].n_seg;
		room -= (unsigned)n_slots;
		at = step(size, at, (unsigned)n_slots);
	}
	if (n_slots < 0)
		return n_slots;
	if (n_slots == 0 && done == 0)
		return virtq_break(vq, OB_VIRTQ_TOO_LONG);
	if (done == 0)
		return 0;
	st->inflight = (uint16_t)(st->inflight + done);
	p.avail_idx = at.idx;
	p.avail_wrap = at.wrap;
	pos_store(st, p);
	return (int)done;
}

void packed_unpop(struct ob_virtq *vq, const struct ob_virtq_chain *chains, unsigned n)
{
	union pos p = pos_load(vq->state);
	unsigned back = 0, idx = p.avail_idx;

	for (unsigned i = 0; i < n; i++)
		back += chains[i].n_slots;
	if (back > idx) {
		idx += vq->size;
		p.avail_wrap ^= 1;
	}
	p.avail_idx = (uint16_t)(idx - back);
	pos_store(vq->state, p);
}

void packed_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n)
{
	struct place at = {vq->push_idx, vq->push_wrap};
	struct pending *e = vq->pending + vq->n_pending;
	unsigned size = vq->size;
	bool in_order = vq->in_order;

	for (unsigned i = 0; i < n; i++, e++) {
		unsigned n_slots = chains[i].n_slots;

		/* 2.8.9: one descriptor for a run, at the first one's place, with the last one's id. */
		if (in_order && chains[i].writable_bytes == 0) {
			for (; i + 1 < n && chains[i + 1].writable_bytes == 0; i++)
				n_slots += chains[i + 1].n_slots;
		}
		e->word = used_word(chains[i].id, written[i], at.wrap);
		e->slot = at.idx;
		at = step(size, at, n_slots);
	}
	vq->n_pending = (uint16_t)(e - vq->pending);
	vq->push_idx = at.idx;
	vq->push_wrap = at.wrap;
}

/* Does the guest want an interrupt for the used slots [old, now)? Spec: 2.8.10. */
static bool wants_interrupt(struct ob_virtq *vq, struct place now, uint16_t old)
{
	bool valid = vq->state->signalled_valid;
	uint32_t word;
	uint16_t flags, off, event, behind = old;

	/* Pairs with the barrier of the guest's driver between saying what it wants and looking at the next slot. */
	atomic_thread_fence(memory_order_seq_cst);
	word = ob_gmem_ld_le32(vq->driver);
	flags = (uint16_t)(word >> 16) & 3;
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx)
		return true;
	vq->state->signalled_valid = 1;
	off = (uint16_t)word;
	event = off & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	/* All three as numbers on one line on which 'now' is in the present round, the others there or in the last. */
	if ((off >> VRING_PACKED_EVENT_F_WRAP_CTR) != now.wrap)
		event = (uint16_t)(event - vq->size);
	if (now.idx <= old)
		behind = (uint16_t)(old - vq->size);
	return vring_need_event(event, now.idx, behind) || !valid;
}

static inline uint8_t *word_at(uint8_t *ring, const struct pending *e)
{
	return ring + sizeof(struct vring_packed_desc) * e->slot + 8;
}

bool packed_flush(struct ob_virtq *vq)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);
	struct place now = {vq->push_idx, vq->push_wrap};
	const struct pending *e = vq->pending;
	uint8_t *ring = vq->desc;
	uint16_t old = p.signalled_used;

	if (vq->n_pending == 0)
		return false;
	st->flush_to = (uint16_t)(now.idx | now.wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
	crash_point();
	st->flushing = 1;
	crash_point();
	/* Last to first: the guest looks at the first only, and a successor that finds some of them written knows that
	 * those before are still as the guest made them. */
	for (unsigned i = vq->n_pending - 1u; i > 0; i--) {
		ob_gmem_st_le64(word_at(ring, &e[i]), e[i].word);
		crash_point();
	}
	/* Pairs with the guest's read barrier behind the flags; makes all the slots above visible too. */
	ob_gmem_st_le64_rel(word_at(ring, e), e->word);
	vq->n_pending = 0;
	p.used_idx = now.idx;
	p.used_wrap = now.wrap;
	p.signalled_used = now.idx;
	pos_store(st, p);
	st->flushing = 0;
	return wants_interrupt(vq, now, old);
}

unsigned packed_available(const struct ob_virtq *vq)
{
	union pos p = pos_load(vq->state);
	struct place at = avail_place(p);

	if (distance(vq, used_place(p), at) == vq->size)
		return 0;
	return is_avail(flags_of(ob_gmem_ld_le64_acq(slot_at(vq, at.idx) + 8)), at.wrap);
}

/* The device event suppression structure is one word: offset and wrap counter low, flags high (2.8.10). */
void packed_arm(struct ob_virtq *vq)
{
	const struct ob_virtq_state *st = vq->state;
	uint32_t off = st->avail_idx | (uint32_t)st->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR;

	ob_gmem_st_le32(vq->device, vq->event_idx
					? off | (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16
					: (uint32_t)VRING_PACKED_EVENT_FLAG_ENABLE << 16);
}

void packed_disarm(struct ob_virtq *vq)
{
	ob_gmem_st_le32(vq->device, (uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << 16);
}

/* Lists in vq->pending, as used with 0 bytes, the chains from the used position on that are still as the guest made
 * them. Returns true if one that the predecessor has overwritten ends the list, false if 'to' does; -EPROTO if the ring
 * makes no sense. */
static int untouched(struct ob_virtq *vq, struct place at, struct place to)
{
	vq->n_pending = 0;
	while (distance(vq, at, to) > 0) {
		struct pending *e = &vq->pending[vq->n_pending];
		unsigned n = 1, room = distance(vq, at, to);
		struct place last = at;
		uint64_t word = ob_gmem_ld_le64_acq(slot_at(vq, at.idx) + 8);

		if (is_used(flags_of(word), at.wrap))
			return true;
		if (!is_avail(flags_of(word), at.wrap))
			return virtq_break(vq, OB_VIRTQ_BAD_NEXT);
		for (; flags_of(word) & VRING_DESC_F_NEXT; n++) {
			if (n == room)
				return virtq_break(vq, OB_VIRTQ_BAD_NEXT);
			last = step(vq->size, last, 1);
			word = ob_gmem_ld_le64(slot_at(vq, last.idx) + 8);
		}
		e->slot = at.idx;
		e->word = used_word(id_of(word), 0, at.wrap);
		vq->n_pending++;
		at = step(vq->size, at, n);
	}
	return false;
}

int packed_recover(struct ob_virtq *vq)
{
	struct ob_virtq_state *st = vq->state;
	union pos p = pos_load(st);
	struct place from = used_place(p);
	struct place to = {st->flush_to & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR),
	    (uint8_t)(st->flush_to >> VRING_PACKED_EVENT_F_WRAP_CTR)};
	int rc;

	if (!st->flushing || (to.idx == from.idx && to.wrap == from.wrap))
		return 0;
	if (to.idx >= vq->size || distance(vq, from, to) > vq->size)
		return virtq_break(vq, OB_VIRTQ_BAD_JUMP);
	rc = untouched(vq, from, to);
	if (rc < 0)
		return rc;
	if (rc == false)
		return 0;
	for (unsigned i = vq->n_pending; i-- > 0;) {
		/* The first makes the others visible, as in packed_flush. */
		atomic_thread_fence(memory_order_release);
		ob_gmem_st_le64(word_at(vq->desc, &vq->pending[i]), vq->pending[i].word);
		crash_point();
	}
	p.used_idx = to.idx;
	p.used_wrap = to.wrap;
	pos_store(st, p);
	return 0;
}
